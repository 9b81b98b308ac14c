//! What verification needs to know of the description: the links with their final names, what should be on them, and
//! the targets. Made from the resolved description by its owner; no machine in it.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::model::{Activation, Desired, Kind, Link, MacAddr, ParseError, Place};
use crate::resolve::{Resolved, ResolvedLink};

/// All that is to be verified.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The described links.
    pub links: Vec<Expected>,
    /// Name servers, in order.
    pub resolvers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// What should be reachable beyond the gateways.
    pub targets: Vec<Target>,
}

/// A described link.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its id in the description.
    pub id: String,
    /// Its name in the kernel; for a NIC that is missing its id.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where it was written.
    pub at: Place,
    /// The MAC address by which the description names the NIC.
    pub mac: Option<MacAddr>,
    /// No NIC fitted when the description was applied.
    pub missing: bool,
    /// Kernel names of the members of a bond, bridge or VRF; without those that are missing.
    pub members: Vec<String>,
    /// Kernel name of the link it is made on.
    pub parent: Option<String>,
    /// A VLAN's id.
    pub vlan: Option<u16>,
    /// A bond's mode, in the kernel's word.
    pub mode: Option<String>,
    /// MTU in bytes, where one is asked for.
    pub mtu: Option<u32>,
    /// Addresses.
    pub addresses: Vec<IpNet>,
    /// Routes through it.
    pub routes: Vec<Hop>,
    /// Something of it is left to DHCP or router advertisements.
    pub dynamic: bool,
    /// Its failure is no fault.
    pub optional: bool,
    /// Usable without carrier.
    pub ignore_carrier: bool,
    /// It should be up.
    pub up: bool,
}

/// A route, as far as verification needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Destination.
    pub to: IpNet,
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
}

impl Expected {
    /// A link that is there, of which nothing more is asked than to be up.
    pub fn new(id: &str, name: &str, kind: Kind) -> Self {
        Expected {
            id: id.to_owned(),
            name: name.to_owned(),
            kind,
            at: Place::NONE,
            mac: None,
            missing: false,
            members: Vec::new(),
            parent: None,
            vlan: None,
            mode: None,
            mtu: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            dynamic: false,
            optional: false,
            ignore_carrier: false,
            up: true,
        }
    }

    /// The gateways of its routes, each once, with a source address of the same family: the route's own, one in the
    /// gateway's subnet, or the first.
    pub fn gateways(&self) -> Vec<(IpAddr, Option<IpAddr>)> {
        let mut found: Vec<(IpAddr, Option<IpAddr>)> = Vec::new();
        for hop in &self.routes {
            let Some(via) = hop.via.filter(|via| found.iter().all(|(known, _)| known != via)) else {
                continue;
            };
            let same = |net: &&IpNet| net.addr().is_ipv4() == via.is_ipv4();
            let near = self.addresses.iter().filter(same).find(|net| net.contains(&via));
            let own = near.or_else(|| self.addresses.iter().find(same)).map(IpNet::addr);
            let source = hop.source.filter(|s| s.is_ipv4() == via.is_ipv4()).or(own);
            found.push((via, source));
        }
        found
    }

    /// True where an address of the link has `ip` in its subnet.
    pub fn has_subnet_of(&self, ip: &IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(ip))
    }
}

impl From<&Link> for Expected {
    /// A link by what the description says of it alone, called by its id.
    fn from(link: &Link) -> Self {
        let hops = |r: &crate::model::Route| {
            let own = r.more.iter().filter(|way| way.link.is_none()).map(|way| way.via);
            let hop = |via| Hop { to: r.to, via, source: r.source };
            std::iter::once(r.via).chain(own).map(hop).collect::<Vec<_>>()
        };
        Expected {
            at: link.at,
            mac: link.select.mac.map(|mac| mac.value),
            vlan: link
                .settings
                .number("id")
                .filter(|_| link.kind == Kind::Vlan)
                .and_then(|id| id.try_into().ok()),
            mode: link.settings.word("mode").filter(|_| link.kind == Kind::Bond).map(str::to_owned),
            mtu: link.mtu.map(|mtu| mtu.value.get()),
            addresses: link.addresses.iter().map(|a| a.net).collect(),
            routes: link.routes.iter().filter(|r| !r.kind.is_linkless()).flat_map(hops).collect(),
            dynamic: !link.dynamic.is_empty(),
            optional: link.optional,
            ignore_carrier: link.ignore_carrier,
            up: link.activation == Activation::Up,
            ..Expected::new(&link.id, &link.id, link.kind)
        }
    }
}

impl From<&ResolvedLink> for Expected {
    fn from(link: &ResolvedLink) -> Self {
        Expected {
            name: link.name.clone(),
            members: link.members.clone(),
            parent: link.parent.clone(),
            ..Expected::from(&link.desired)
        }
    }
}

impl Input {
    /// From a description and what became of it on this machine. A NIC that was not found is checked, too, by its id;
    /// what stood on it and was left out is not.
    pub fn new(desired: &Desired, resolved: &Resolved, targets: Vec<Target>) -> Self {
        let found = |link: &&Link| resolved.links.iter().any(|l| l.desired.id == link.id);
        let missing = desired.links.iter().filter(|l| l.kind == Kind::Physical && !found(l));
        let missing = missing.map(|link| Expected { missing: true, ..Expected::from(link) });
        let mut links: Vec<Expected> = missing.chain(resolved.links.iter().map(Expected::from)).collect();
        // Ways of a route that lead over other links than its own.
        for route in desired.links.iter().flat_map(|link| &link.routes) {
            for way in &route.more {
                if let Some(link) = links.iter_mut().find(|l| way.link.as_ref() == Some(&l.id)) {
                    link.routes.push(Hop { to: route.to, via: way.via, source: route.source });
                }
            }
        }
        let resolvers = resolved.resolver.servers.iter().map(|s| s.value).collect();
        let search = resolved.resolver.search.iter().map(|s| s.value.clone()).collect();
        Input { links, resolvers, search, targets }
    }

    /// The link that is called so in the kernel.
    pub fn link(&self, name: &str) -> Option<&Expected> {
        self.links.iter().find(|l| l.name == name)
    }

    /// The controller that has this link as a member.
    pub fn controller_of(&self, name: &str) -> Option<&Expected> {
        self.links.iter().find(|l| l.members.iter().any(|m| m == name))
    }

    /// The way to an address: its link, and the gateway where there is one. The longest prefix wins.
    pub fn way_to(&self, ip: &IpAddr) -> Option<(&Expected, Option<IpAddr>)> {
        let ways = self.links.iter().filter(|l| !l.missing).flat_map(|link| {
            let connected = link.addresses.iter().filter(|net| net.contains(ip));
            let connected = connected.map(move |net| (net.prefix_len(), link, None));
            let routed = link.routes.iter().filter(|hop| hop.to.contains(ip));
            connected.chain(routed.map(move |hop| (hop.to.prefix_len(), link, hop.via)))
        });
        // The first of equals: the order of the text.
        ways.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, link, via)| (link, via))
    }

    /// The physical NICs under a link, itself included, in the order of the text.
    pub fn nics_under(&self, name: &str) -> Vec<&Expected> {
        let mut found: Vec<&Expected> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            let Some(link) = self.link(name).filter(|l| !seen.contains(&l.name.as_str())) else { continue };
            seen.push(&link.name);
            if link.kind == Kind::Physical {
                found.push(link);
            }
            todo.extend(link.members.iter().rev().map(String::as_str));
            todo.extend(link.parent.as_deref());
        }
        found
    }
}

/// How a target is asked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A TCP connection.
    Tcp,
    /// A TCP connection and an HTTP status.
    Http,
    /// A TCP connection and the beginning of a TLS handshake. Nothing is encrypted, no certificate is looked at.
    Https,
    /// An ICMP echo.
    Ping,
}

/// Something that should be reachable: `tcp://host:port`, `http://host:port/path`, `https://…`, `ping://host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub text: String,
    /// How it is asked.
    pub scheme: Scheme,
    /// Name or address.
    pub host: String,
    /// TCP port; 0 for `ping`.
    pub port: u16,
    /// Path and query, for HTTP.
    pub path: String,
    /// One of several such that say the same: one that answers is enough.
    pub alternative: bool,
}

impl Target {
    /// The address, where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for Target {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const WRONG: ParseError =
            ParseError("expected tcp://host:port, http://host:port/path, https://host:port or ping://host");
        let clean = text.bytes().all(|b| b.is_ascii_graphic());
        let (scheme, rest) = text.split_once("://").filter(|_| clean).ok_or(WRONG)?;
        let (scheme, default) = match scheme.to_ascii_lowercase().as_str() {
            "tcp" => (Scheme::Tcp, 0),
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            "ping" => (Scheme::Ping, 0),
            _ => return Err(WRONG),
        };
        let (place, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or(WRONG)?;
                (host, rest.strip_prefix(':'))
            }
            None if place.matches(':').count() > 1 => (place, None),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(default), str::parse).map_err(|_| WRONG)?;
        if host.is_empty() || (port == 0 && scheme != Scheme::Ping) {
            return Err(WRONG);
        }
        let (host, path) = (host.to_owned(), path.to_owned());
        Ok(Target { text: text.to_owned(), scheme, host, port, path, alternative: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_their_usual_forms() {
        let read = |text: &str| text.parse::<Target>().map(|t| (t.scheme, t.host, t.port, t.path));
        let is = |scheme, host: &str, port, path: &str| Ok((scheme, host.to_owned(), port, path.to_owned()));
        assert_eq!(read("tcp://10.0.0.1:22"), is(Scheme::Tcp, "10.0.0.1", 22, "/"));
        assert_eq!(read("http://api.example/v1?x=1"), is(Scheme::Http, "api.example", 80, "/v1?x=1"));
        assert_eq!(read("https://[fd00::1]:6385"), is(Scheme::Https, "fd00::1", 6385, "/"));
        assert_eq!(read("ping://fd00::1"), is(Scheme::Ping, "fd00::1", 0, "/"));
        for wrong in
            ["", "10.0.0.1", "tcp://10.0.0.1", "ftp://x", "http://:80", "tcp://a b:1", "tcp://x:99999"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_way_is_the_longest_prefix() {
        let mut one = Expected::new("a", "eth0", Kind::Physical);
        one.addresses = vec!["10.0.0.2/24".parse().unwrap()];
        let hop = |to: &str, via: &str| Hop { to: to.parse().unwrap(), via: via.parse().ok(), source: None };
        one.routes = vec![hop("0.0.0.0/0", "10.0.0.1")];
        let mut two = Expected::new("b", "eth1", Kind::Physical);
        two.addresses = vec!["10.1.0.2/24".parse().unwrap()];
        two.routes = vec![hop("10.2.0.0/16", "10.1.0.1")];
        let input = Input { links: vec![one, two], ..Input::default() };
        let way = |ip: &str| {
            let (link, via) = input.way_to(&ip.parse().unwrap()).unwrap();
            (link.name.clone(), via.map(|v| v.to_string()))
        };
        assert_eq!(way("10.0.0.7"), ("eth0".into(), None));
        assert_eq!(way("10.2.9.9"), ("eth1".into(), Some("10.1.0.1".into())));
        assert_eq!(way("8.8.8.8"), ("eth0".into(), Some("10.0.0.1".into())));
    }
}
