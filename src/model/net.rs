//! Addresses, routes, rules and resolver.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Located, Place, Protocol, RouteKind, Scope};

/// An address on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Address and prefix length; host bits are kept.
    pub net: IpNet,
    /// The peer of a point-to-point address (`peer`), if it differs from `net`.
    pub peer: Option<IpNet>,
    /// IPv4 label, at most 15 bytes and beginning with the interface's name (the kernel checks only the length).
    pub label: Option<String>,
    /// Preferred lifetime in seconds; `None` is forever. A description has only 0 and forever.
    pub preferred: Option<u32>,
    /// Valid lifetime in seconds; `None` is forever, as for every described address. A lease's is the remaining time.
    pub valid: Option<u32>,
    /// IPv4 broadcast address if the description names one; else the plan derives it for prefixes up to /30.
    pub broadcast: Option<Ipv4Addr>,
    /// Where it was written.
    pub at: Place,
}

impl Address {
    /// A plain address without lifetimes.
    pub fn new(net: IpNet, at: Place) -> Self {
        Address { net, peer: None, label: None, preferred: None, valid: None, broadcast: None, at }
    }

    /// The described broadcast address, if it differs from the subnet's.
    pub fn unusual_broadcast(&self) -> Option<Ipv4Addr> {
        let usual = IpAddr::V4(self.broadcast?) == self.net.broadcast() && self.net.prefix_len() <= 30;
        self.broadcast.filter(|_| !usual)
    }
}

/// The two address families.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: &IpAddr) -> Self {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// `0.0.0.0/0` or `::/0`.
    pub fn everything(self) -> IpNet {
        match self {
            Family::V4 => IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Family::V6 => IpNet::new_assert(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }

    /// 4 or 6.
    pub fn number(self) -> u8 {
        match self {
            Family::V4 => 4,
            Family::V6 => 6,
        }
    }

    /// Length of a host prefix: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

/// A route. The kernel's key is destination, table, metric (and, for IPv6, gateway and link).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination, host bits cleared; a prefix of length 0 is the default route.
    pub to: IpNet,
    /// Gateway; only an IPv4 route may have one of the other family.
    pub via: Option<IpAddr>,
    /// Do not check that the gateway is on a connected subnet (`onlink`).
    pub on_link: bool,
    /// Kind of route.
    pub kind: RouteKind,
    /// IPv4 scope; `None` is ip(8)'s default.
    pub scope: Option<Scope>,
    /// Priority: lower wins. `None` is 0 for IPv4 and 1024 for IPv6 (net/ipv6/route.c, IP6_RT_PRIO_USER).
    pub metric: Option<u32>,
    /// Routing table; `None` is main (254), or the VRF's for a link in one.
    pub table: Option<u32>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Its weight, 1 to 256, if there are `more` next hops.
    pub weight: u16,
    /// Further next hops that share the traffic with `via`.
    pub more: Vec<NextHop>,
    /// Path MTU in bytes.
    pub mtu: Option<u32>,
    /// Largest window to advertise, bytes (`window`).
    pub window: Option<u32>,
    /// Initial congestion window in segments (`initcwnd`).
    pub congestion_window: Option<u32>,
    /// Initial receive window in segments (`initrwnd`).
    pub receive_window: Option<u32>,
    /// Maximum segment size to advertise, bytes (`advmss`).
    pub advertised_mss: Option<u32>,
    /// Its protocol: static if described, dhcp if it comes with a lease.
    pub protocol: Protocol,
    /// Where it was written.
    pub at: Place,
}

impl Route {
    /// A unicast route to `to` through `via`, with defaults for everything else.
    pub fn new(to: IpNet, via: Option<IpAddr>, at: Place) -> Self {
        Route {
            to: to.trunc(),
            via,
            on_link: false,
            kind: RouteKind::Unicast,
            scope: None,
            metric: None,
            table: None,
            source: None,
            weight: 1,
            more: Vec::new(),
            mtu: None,
            window: None,
            congestion_window: None,
            receive_window: None,
            advertised_mss: None,
            protocol: Protocol::Static,
            at,
        }
    }

    /// The family of the destination.
    pub fn family(&self) -> Family {
        Family::of(&self.to.addr())
    }

    /// Whether it is `0.0.0.0/0` or `::/0`.
    pub fn is_default(&self) -> bool {
        self.to.prefix_len() == 0
    }
}

/// One of several next hops of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Id of its link, if that differs from the route's.
    pub link: Option<String>,
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Do not check that the gateway is on a connected subnet.
    pub on_link: bool,
    /// Its weight, 1 to 256.
    pub weight: u16,
}

/// A policy rule (ip-rule(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Family; both prefixes are of it.
    pub family: Family,
    /// Source prefix.
    pub from: Option<IpNet>,
    /// Destination prefix.
    pub to: Option<IpNet>,
    /// Table to look in; 0 if `action` looks in none.
    pub table: u32,
    /// What happens to the packets: `Unicast` looks in the table, the others drop or refuse them.
    pub action: RouteKind,
    /// Priority: rules with lower values come first. `None` lets the plan number it, so that the script and the kernel
    /// agree.
    pub priority: Option<u32>,
    /// Firewall mark.
    pub mark: Option<u32>,
    /// The bits of the mark that are compared, if not all.
    pub mask: Option<u32>,
    /// Type of service, 0 to 255.
    pub tos: Option<u8>,
    /// The link that packets arrive on: its id, or the name of a link that is not described.
    pub iif: Option<String>,
    /// Routes of this prefix length or shorter ones are not used.
    pub suppress: Option<u32>,
    /// Where it was written.
    pub at: Place,
}

impl Rule {
    /// A rule for all packets of a family.
    pub fn new(family: Family, table: u32, at: Place) -> Self {
        Rule {
            family,
            from: None,
            to: None,
            table,
            action: RouteKind::Unicast,
            priority: None,
            mark: None,
            mask: None,
            tos: None,
            iif: None,
            suppress: None,
            at,
        }
    }
}

/// Name servers and search domains, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Addresses of name servers.
    pub servers: Vec<Located<IpAddr>>,
    /// Search domains.
    pub search: Vec<Located<String>>,
    /// The link that a link-local server is asked through: a link's id or name, and after `resolve` its name.
    pub zones: BTreeMap<IpAddr, String>,
}

impl Resolver {
    /// The limit on name servers and on search domains. No resolver uses more than a few; nobody writes thousands.
    pub const MOST: usize = 64;

    /// Adds what `other` has and this has not, keeping the order, up to [`Resolver::MOST`].
    pub fn merge(&mut self, other: &Resolver) {
        for server in &other.servers {
            if self.servers.len() < Self::MOST && !self.servers.iter().any(|s| s.value == server.value) {
                self.servers.push(*server);
                if let Some(zone) = other.zones.get(&server.value) {
                    self.zones.insert(server.value, zone.clone());
                }
            }
        }
        for domain in &other.search {
            if self.search.len() < Self::MOST && !self.search.iter().any(|s| s.value == domain.value) {
                self.search.push(domain.clone());
            }
        }
    }

    /// Sets the zone of link-local servers without one: the link that they were given with.
    pub fn stand_on(&mut self, link: &str) {
        for server in self.servers.iter().filter(|server| needs_zone(&server.value)) {
            self.zones.entry(server.value).or_insert_with(|| link.to_owned());
        }
    }

    /// A server in the form that programs accept: `192.0.2.53`, `fe80::53%eth0`.
    pub fn shown(&self, server: &IpAddr) -> String {
        match self.zones.get(server) {
            Some(zone) => format!("{server}%{zone}"),
            None => server.to_string(),
        }
    }
}

/// Whether a socket needs a link for this address: IPv6's link-local ones.
pub fn needs_zone(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// How IPv6 link-local and router-advertised addresses get their lower half (`IFLA_INET6_ADDR_GEN_MODE`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressGeneration {
    /// From the MAC address.
    Eui64 = 0,
    /// No link-local address.
    None = 1,
    /// RFC 7217, from the secret in `stable_secret`.
    StableSecret = 2,
    /// RFC 7217, from a random secret.
    Random = 3,
}

impl AddressGeneration {
    /// ip(8)'s name (`ip link set dev X addrgenmode WORD`).
    pub fn word(self) -> &'static str {
        match self {
            AddressGeneration::Eui64 => "eui64",
            AddressGeneration::None => "none",
            AddressGeneration::StableSecret => "stable_secret",
            AddressGeneration::Random => "random",
        }
    }

    /// The mode for the kernel's number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Eui64, Self::None, Self::StableSecret, Self::Random].into_iter().find(|m| *m as u8 == number)
    }
}
