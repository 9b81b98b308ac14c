//! A link of a description, and how a description identifies a NIC.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::attribute::{Attribute, OptionValue};
use super::{
    Address, AddressGeneration, BondMode, Family, IfName, Kind, Located, MacAddr, Mtu, Place, Resolver,
    Route, Rule,
};

/// A reference to another link by its id in the description, and where it was written.
pub type LinkRef = Located<String>;

/// One link of the description.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its id in the description; unique in a [`super::Desired`].
    pub id: String,
    /// Where it was written.
    pub at: Place,
    /// Its kind.
    pub kind: Kind,
    /// For a physical link: which NIC to match. Empty for others.
    pub select: Match,
    /// Its name in the kernel.
    pub naming: Naming,
    /// The MAC address that it should have.
    pub mac: Option<Located<DesiredMac>>,
    /// MTU; unset leaves the kernel's or the parent's default.
    pub mtu: Option<Located<Mtu>>,
    /// The parent of a VLAN, macvlan, VXLAN or tunnel.
    pub parent: Option<LinkRef>,
    /// The other end of a veth pair.
    pub peer: Option<LinkRef>,
    /// For a bond, bridge or VRF: its members, in file order.
    pub members: Vec<LinkRef>,
    /// Options of its kind, by [`Attribute::name`].
    pub settings: Settings,
    /// Options as a port of its bond or bridge, by [`Attribute::name`].
    pub port: Settings,
    /// The VLANs of a port of a bridge with VLAN filtering, or of such a bridge itself: the whole table, in order,
    /// without overlaps. `None` leaves the existing ones.
    pub vlans: Option<Vec<Located<PortVlan>>>,
    /// The far ends of a VXLAN beside its option `remote`.
    pub remotes: Vec<Located<IpAddr>>,
    /// WireGuard keys and peers.
    pub wireguard: Option<Wireguard>,
    /// Forward IPv4 packets that come in by it.
    pub forwarding: Option<Located<bool>>,
    /// Take every frame, whatever its MAC address (`IFF_PROMISC`).
    pub promiscuous: Option<Located<bool>>,
    /// IPv6 behaviour.
    pub ipv6: Ipv6,
    /// Addresses, in file order (the first is the primary one).
    pub addresses: Vec<Address>,
    /// Routes through it.
    pub routes: Vec<Route>,
    /// Rules given with it.
    pub rules: Vec<Rule>,
    /// Name servers given with it.
    pub resolver: Resolver,
    /// What is left to a client of the image: DHCP, router advertisements.
    pub dynamic: Vec<Located<Dynamic>>,
    /// How IPv4 is configured by DHCP, if it is.
    pub dhcp4: DhcpOptions,
    /// Offload features to turn on or off, by ethtool's feature name.
    pub features: BTreeMap<&'static str, Located<bool>>,
    /// Parameters of a NIC that ethtool sets, by the names of [`super::attribute::NIC`].
    pub tuning: Settings,
    /// Wake-on-LAN by magic packet.
    pub wake_on_lan: Option<Located<bool>>,
    /// Bring it up, leave it, or take it down.
    pub activation: Activation,
    /// The boot does not wait for it, and its absence is not a fault.
    pub optional: bool,
    /// Usable without carrier.
    pub ignore_carrier: bool,
    /// It comes from a source of lower preference: where its NIC is another link's, it is left out.
    pub yields: bool,
}

impl Link {
    /// Whether the link's addresses are to come from this.
    pub fn asks(&self, dynamic: Dynamic) -> bool {
        self.dynamic.iter().any(|asked| asked.value == dynamic)
    }

    /// A link with nothing but kind and id.
    pub fn new(id: impl Into<String>, kind: Kind, at: Place) -> Self {
        Link {
            id: id.into(),
            at,
            kind,
            select: Match::default(),
            naming: if kind == Kind::Physical { Naming::Keep } else { Naming::Generate },
            mac: None,
            mtu: None,
            parent: None,
            peer: None,
            members: Vec::new(),
            settings: Settings::default(),
            port: Settings::default(),
            vlans: None,
            remotes: Vec::new(),
            wireguard: None,
            forwarding: None,
            promiscuous: None,
            ipv6: Ipv6::default(),
            addresses: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            resolver: Resolver::default(),
            dynamic: Vec::new(),
            dhcp4: DhcpOptions::default(),
            features: BTreeMap::new(),
            tuning: Settings::default(),
            wake_on_lan: None,
            activation: Activation::Up,
            optional: false,
            ignore_carrier: false,
            yields: false,
        }
    }
}

/// A range of VLANs of a bridge's port, or of the bridge itself, with the same settings (`bridge vlan add dev PORT vid
/// FIRST-LAST [pvid] [untagged]`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortVlan {
    /// The lowest VLAN id.
    pub first: u16,
    /// The highest one.
    pub last: u16,
    /// Incoming untagged frames belong to it; true for one VLAN only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pvid: bool,
    /// Its frames are sent untagged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untagged: bool,
}

impl PortVlan {
    /// The VLAN of untagged frames.
    pub fn untagged(vid: u16) -> Self {
        PortVlan { first: vid, last: vid, pvid: true, untagged: true }
    }
}

/// Options by [`Attribute::name`], each with its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(pub BTreeMap<&'static str, Located<OptionValue>>);

impl Settings {
    /// Sets an option; a later one replaces an earlier one.
    pub fn set(&mut self, attribute: &Attribute, value: OptionValue, at: Place) {
        self.0.insert(attribute.name, Located::new(value, at));
    }

    /// An option by name.
    pub fn get(&self, name: &str) -> Option<&OptionValue> {
        self.0.get(name).map(|v| &v.value)
    }

    /// An option that is a word, such as a bond's `mode`.
    pub fn word(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(OptionValue::Text(word)) => Some(word),
            _ => None,
        }
    }

    /// The mode of a bond, if set.
    pub fn bond_mode(&self) -> Option<BondMode> {
        self.word("mode").and_then(BondMode::from_word)
    }

    /// An option that is a number, such as a VLAN's `id`.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(OptionValue::Number(number)) => Some(*number),
            _ => None,
        }
    }
}

/// How to find the NIC of a physical link. All given parts must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The permanent MAC address, else the current one.
    pub mac: Option<Located<MacAddr>>,
    /// Kernel or alternative name.
    pub name: Option<Located<NamePattern>>,
    /// PCI address (`0000:05:00.0`, lowercase).
    pub pci: Option<Located<String>>,
    /// Names to look for, in this order, if nothing else matches. A NIC found this way although `mac` is given gets
    /// that address.
    pub otherwise: Vec<Located<String>>,
    /// Driver names, as shell patterns; one of them must match.
    pub drivers: Vec<Located<String>>,
    /// Index among the machine's NICs in PCI order, from 0, if no NIC has the name (`ethN` without a MAC).
    pub position: Option<usize>,
    /// Whether every matching NIC is meant (netplan's `match`); else more than one is an error.
    pub many: bool,
    /// Whether the NIC has no link of its own in the description, only its name as a member.
    pub implied: bool,
    /// For an implied one: the id of the link that may have been meant.
    pub similar: Option<String>,
}

impl Match {
    /// What a NIC must match, in words: `MAC 52:54:00:00:00:01`, `interface eth0`, `a NIC called en*`.
    pub fn what(&self) -> String {
        if let Some(pci) = &self.pci {
            return format!("PCI address {}", pci.value);
        }
        match (&self.mac, &self.name, self.drivers.first()) {
            (Some(mac), _, _) => format!("MAC {}", mac.value),
            (None, Some(Located { value: NamePattern::Exact(name), .. }), _) => format!("interface {name}"),
            (None, Some(Located { value: NamePattern::Glob(glob), .. }), _) => format!("a NIC called {glob}"),
            (None, None, Some(driver)) => format!("a NIC of the driver {}", driver.value),
            (None, None, None) => "a NIC".to_owned(),
        }
    }
}

/// A name, or a shell pattern for names (`fnmatch(3)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// This name.
    Exact(String),
    /// `en*`, `eth[01]`.
    Glob(String),
}

/// `fnmatch(3)` without flags; an invalid pattern matches only itself.
pub fn fits(pattern: &str, name: &str) -> bool {
    glob::Pattern::new(pattern).map_or(pattern == name, |p| p.matches(name))
}

/// The name of a link in the kernel (a NIC keeps its name unless the description asks for another).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// A NIC keeps the name it has.
    Keep,
    /// This name: a NIC is renamed, a software link is created with it.
    Set(Located<IfName>),
    /// A NIC gets it as an alternative name if no link has it yet.
    Alternative(Located<IfName>),
    /// A software link is named by its kind: `bondN`, `brN`, `<parent>.<vid>`.
    Generate,
}

/// The MAC address that a link should have.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DesiredMac {
    /// This one.
    Is(MacAddr),
    /// The permanent one of the NIC.
    Permanent,
    /// A new random one, locally administered.
    Random,
}

/// How to request DHCP, and which parts of the answer to use; what DHCPv6 shares applies to both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpOptions {
    /// Identify as a DUID with an IAID (RFC 4361) instead of by the MAC address.
    pub duid: bool,
    /// The name to send instead of the machine's.
    pub host_name: Option<String>,
    /// Send a name.
    pub send_host_name: bool,
    /// Use name servers.
    pub use_name_servers: bool,
    /// Use search domains.
    pub use_domains: bool,
    /// Use the MTU.
    pub use_mtu: bool,
    /// Use routes.
    pub use_routes: bool,
    /// Use the host name.
    pub use_host_name: bool,
    /// Use time servers.
    pub use_time_servers: bool,
    /// Metric of the lease's routes.
    pub metric: Option<u32>,
    /// Their routing table, if not the main one.
    pub table: Option<u32>,
    /// Vendor class to send (option 60).
    pub vendor_class: Option<String>,
    /// The requested lifetime, in seconds.
    pub lifetime: Option<u32>,
    /// The client identifier (option 61), instead of the one derived according to `duid`.
    pub client_id: Option<Vec<u8>>,
    /// The identifier for DHCPv6 (RFC 8415, 11), instead of the machine's: empty for the one of the link's hardware address.
    pub duid6: Option<Vec<u8>>,
}

impl Default for DhcpOptions {
    fn default() -> Self {
        DhcpOptions {
            duid: false,
            host_name: None,
            send_host_name: true,
            use_name_servers: true,
            use_domains: true,
            use_mtu: true,
            use_routes: true,
            use_host_name: true,
            use_time_servers: true,
            metric: None,
            table: None,
            vendor_class: None,
            lifetime: None,
            client_id: None,
            duid6: None,
        }
    }
}

/// What is left to a client in the image.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dynamic {
    /// IPv4 by DHCP.
    Dhcp4,
    /// IPv6 by DHCPv6.
    Dhcp6,
    /// IPv6 by router advertisements, which the kernel itself can handle.
    RouterAdvertisements,
}

impl Dynamic {
    /// The family whose addresses it provides.
    pub fn family(self) -> Family {
        match self {
            Dynamic::Dhcp4 => Family::V4,
            Dynamic::Dhcp6 | Dynamic::RouterAdvertisements => Family::V6,
        }
    }

    /// The name for a person.
    pub fn words(self) -> &'static str {
        match self {
            Dynamic::Dhcp4 => "DHCP",
            Dynamic::Dhcp6 => "DHCPv6",
            Dynamic::RouterAdvertisements => "router advertisements",
        }
    }
}

/// IPv6 behaviour of a link. `None` leaves the kernel's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ipv6 {
    /// Accept router advertisements.
    pub accept_ra: Option<Located<bool>>,
    /// Use addresses from advertised prefixes; unset is derived from `accept_ra` and `static_alone`.
    pub autoconf: Option<Located<bool>>,
    /// The format requests addresses from advertisements only by a network of their own (`ipv6_slaac`), and the
    /// description has static IPv6 addresses without it: the link should have these and no others.
    pub static_alone: bool,
    /// How the link-local address is generated; [`AddressGeneration::None`] for a link that should have none.
    pub generation: Option<Located<AddressGeneration>>,
    /// The lower half of addresses from router advertisements.
    pub token: Option<Located<Ipv6Addr>>,
    /// Prefer temporary addresses.
    pub privacy: Option<Located<bool>>,
    /// Take name servers from router advertisements; unset takes them.
    pub ra_name_servers: Option<Located<bool>>,
    /// Take search domains from router advertisements; unset takes them.
    pub ra_domains: Option<Located<bool>>,
    /// Ask DHCPv6 for what comes without addresses, whether routers say that there is some or not.
    pub information: Option<Located<bool>>,
    /// Forward packets that come in by it.
    pub forwarding: Option<Located<bool>>,
    /// MTU for IPv6 alone, bytes.
    pub mtu: Option<Located<u32>>,
}

/// Bring a link up, leave it as it is, or take it down.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Up.
    #[default]
    Up,
    /// Unchanged.
    Manual,
    /// Down.
    Off,
}

/// WireGuard's own configuration. Keys are never printed: a plan shows where they are.
#[derive(Clone, Default, PartialEq)]
pub struct Wireguard {
    /// The private key, base64 or an absolute path.
    pub private_key: Option<Located<String>>,
    /// UDP port to listen on; `None` is any.
    pub listen_port: Option<u16>,
    /// Firewall mark; `None` is none.
    pub mark: Option<u32>,
    /// The peers, in file order.
    pub peers: Vec<Peer>,
}

/// A WireGuard peer.
#[derive(Clone, PartialEq)]
pub struct Peer {
    /// Its public key, base64.
    pub public_key: Located<String>,
    /// The preshared key, base64 or an absolute path.
    pub shared_key: Option<Located<String>>,
    /// Address and port.
    pub endpoint: Option<Located<(IpAddr, u16)>>,
    /// Prefixes that it may send from.
    pub allowed: Vec<IpNet>,
    /// Keepalive in seconds, 0 is off.
    pub keepalive: Option<u16>,
}

impl std::fmt::Debug for Wireguard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wireguard {{ {} peers, keys hidden }}", self.peers.len())
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer {{ {} prefixes, keys hidden }}", self.allowed.len())
    }
}
