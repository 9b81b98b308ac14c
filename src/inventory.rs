//! The machine's state in the kernel: links, addresses, routes, rules. Serializable, so that a bug report becomes a
//! test (`netapply inventory`, `--inventory FILE`). Knows nothing of netlink; `kernel` fills it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::attribute::OptionValue;
use crate::model::{
    AddressGeneration, AddressProtocol, Family, Kind, LinkKind, LinkLayer, MacAddr, PortVlan, Protocol,
    RouteKind, Scope, Wireguard,
};

/// The name of a setting of a link or route. Names of netapply's own tables are not copied: a thousand bridges have fifty
/// thousand.
pub type SettingName = Cow<'static, str>;

/// Everything that netapply compares with a description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// Version of this format; 1.
    pub version: u32,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Links by index, ascending.
    pub links: Vec<ObservedLink>,
    /// Addresses.
    pub addresses: Vec<AddressEntry>,
    /// Routes, without cached ones and the kernel's own in the table `local`.
    pub routes: Vec<RouteEntry>,
    /// Policy rules, without the kernel's own three.
    pub rules: Vec<RuleEntry>,
    /// Families without a rule that leads all packets to the main routing table: somebody deleted the kernel's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_main_rule: Vec<Family>,
    /// Settings below /proc/sys for every link, or for new ones: `net/ipv6/conf/all/disable_ipv6`,
    /// `net/ipv4/conf/all/rp_filter`, … Those of IPv6 are missing if the kernel has none (`ipv6.disable=1`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, i64>,
    /// Numbers of routing tables by the names in rt_tables of iproute2, without the kernel's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub routing_tables: BTreeMap<String, i64>,
    /// What could not be decoded, for a person. Normally empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecoded: Vec<String>,
    /// /etc/machine-id exists and is on a drive, so that it survives a reboot.
    #[serde(skip_serializing_if = "is_false")]
    pub machine_id_lasts: bool,
    /// The NICs by which the machine reaches its root, as firmware's tables have it (iBFT, nBFT).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub root_nics: Vec<RootNic>,
    /// A random number, if a description asks for a random MAC address; in memory only.
    #[serde(skip)]
    pub random: u64,
    /// What a killed run had not restored yet; not kernel state, so not serialized.
    #[serde(skip)]
    pub owed: Owed,
}

/// Addresses and routes of undescribed links, which the kernel drops when a link below them is taken down: the plan
/// restores them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// Addresses.
    pub addresses: Vec<AddressEntry>,
    /// Routes.
    pub routes: Vec<RouteEntry>,
}

/// A NIC by which the machine reaches its root over the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootNic {
    /// Its MAC address.
    pub mac: MacAddr,
    /// The address that firmware gave it, if the table has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Where the root is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<IpAddr>,
    /// The table: `iBFT` or `nBFT`.
    pub table: String,
}

/// A switch port, from LLDP (IEEE 802.1AB).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lldp {
    /// System name, else chassis id.
    pub switch: String,
    /// Port id, else port description.
    pub port: String,
    /// The port's own VLAN (PVID), if announced.
    pub pvid: Option<u16>,
    /// VLANs on the port, if announced.
    pub vlans: Vec<u16>,
}

/// A link of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObservedLink {
    /// Kernel index.
    pub index: u32,
    /// Kernel name.
    pub name: String,
    /// Alternative names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub altnames: Vec<String>,
    /// Current hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Permanent hardware address (`IFLA_PERM_ADDRESS`, kernel 5.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permanent_mac: Option<MacAddr>,
    /// The origin of the current hardware address; read only if the description asks for a random one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_origin: Option<MacOrigin>,
    /// Its kind (`IFLA_INFO_KIND`).
    #[serde(skip_serializing_if = "LinkKind::is_hardware")]
    pub kind: LinkKind,
    /// Link layer.
    pub layer: LinkLayer,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// `IFF_LOWER_UP`.
    pub carrier: bool,
    /// RFC 2863 state in lowercase: `up`, `down`, `lowerlayerdown`, …
    pub operstate: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// Smallest MTU that the driver accepts; 0 is unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_mtu: u32,
    /// Largest MTU that the driver accepts; 0 is unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_mtu: u32,
    /// Name of its bond, bridge or VRF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Name of its parent, if that is in this namespace (`IFLA_LINK`); a veth's peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Driver, for hardware.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Where the device is: the target of /sys/class/net/X/device without its root, `pci0000:00/0000:00:03.0/virtio1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bus: String,
    /// The switch port at the other end of its cable, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lldp: Option<Lldp>,
    /// Options of its kind, by the table's names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<SettingName, OptionValue>,
    /// Options as a port, by the table's names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub port: BTreeMap<SettingName, OptionValue>,
    /// The VLANs of a bridge or of a bridge's port, in order; `None` for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlans: Option<Vec<PortVlan>>,
    /// The far ends of a VXLAN: where it sends what has no entry of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<IpAddr>,
    /// How IPv6 addresses are generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<AddressGeneration>,
    /// Token for addresses from router advertisements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Ipv6Addr>,
    /// It does not resolve neighbours (`IFF_NOARP`): `arp off` on a NIC; normal for a tunnel, VXLAN, VRF or dummy link.
    #[serde(skip_serializing_if = "is_false")]
    pub no_arp: bool,
    /// It was told to take every frame (`IFF_PROMISC`).
    #[serde(skip_serializing_if = "is_false")]
    pub promiscuous: bool,
    /// The MTU of the last router advertisement, in bytes (kernel 5.15).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertised_mtu: Option<u32>,
    /// net.ipv6.conf.X settings that affect IPv6 on the link: `disable_ipv6`, `accept_ra`, `autoconf`, `mtu`, …
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ipv6: BTreeMap<SettingName, i64>,
    /// net.ipv4.conf.X settings that affect IPv4 on the link: `rp_filter`, `forwarding`, `arp_ignore`, …
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ipv4: BTreeMap<SettingName, i64>,
    /// Offload features that are on or off, by ethtool's name; read only for links whose description names one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<SettingName, bool>,
    /// Parameters that ethtool sets, by the table's names; read only for links whose description names one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tuning: BTreeMap<SettingName, OptionValue>,
    /// Wake-on-LAN by magic packet; read only if the description sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_on_lan: Option<bool>,
    /// Whether a WireGuard link has the described keys and peers; read only if a description has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wireguard_as_described: Option<bool>,
    /// Its keys and peers, to be restored under `--strict`; kept in memory only.
    #[serde(skip)]
    pub wireguard: Option<Wireguard>,
    /// False while udev has not finished with a NIC (it runs, and has no entry for it yet).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udev_done: Option<bool>,
}

impl ObservedLink {
    /// The NIC's PCI address: the last part of the path that is one.
    pub fn pci_address(&self) -> Option<&str> {
        let is_address = |part: &&str| part.len() >= 12 && part.contains(':') && part.contains('.');
        self.bus.rsplit('/').find(is_address)
    }

    /// Whether it is a NIC: hardware, or a veth (which is what a container has), not one of netapply's own kinds.
    pub fn is_nic(&self) -> bool {
        matches!(self.kind.known(), Some(Kind::Physical | Kind::Veth)) && self.layer != LinkLayer::Loopback
    }

    /// Whether it carries packets: it has carrier, and the kernel considers it operational (`netif_oper_up`). A bond
    /// without an active member and a bridge without a forwarding port are not; a NIC that has just come up has carrier
    /// some time before.
    pub fn is_ready(&self) -> bool {
        self.up && self.carrier && matches!(self.operstate.as_str(), "up" | "unknown" | "")
    }

    /// Whether it has this name or alternative name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.altnames.iter().any(|a| a == name)
    }
}

/// The origin of a link's hardware address (`addr_assign_type` in /sys/class/net; `NET_ADDR_…`, linux/netdevice.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacOrigin {
    /// The device's own.
    Permanent,
    /// Chosen at random by the kernel.
    Random,
    /// Taken from another link: a VLAN's parent, a bond's member.
    Stolen,
    /// Set by a program.
    Set,
}

impl MacOrigin {
    /// By the kernel's number.
    pub fn from_number(number: u8) -> Option<Self> {
        [MacOrigin::Permanent, MacOrigin::Random, MacOrigin::Stolen, MacOrigin::Set]
            .get(usize::from(number))
            .copied()
    }
}

/// An address in the kernel's form: observed or desired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressEntry {
    /// Name of its link.
    pub link: String,
    /// Address and prefix (`IFA_LOCAL` where there is one).
    pub net: IpNet,
    /// Peer of a point-to-point address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpNet>,
    /// IPv4 broadcast address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Ipv4Addr>,
    /// IPv4 label, if it is not the link's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Scope.
    pub scope: Scope,
    /// Preferred lifetime in seconds; `None` is forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<u32>,
    /// Valid lifetime in seconds; `None` is forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<u32>,
    /// Duplicate address detection has not finished.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
    /// Permanent, not from router advertisements or a lease (`IFA_F_PERMANENT`).
    pub permanent: bool,
    /// What made it (`IFA_PROTO`, kernel 5.18).
    #[serde(default, skip_serializing_if = "AddressProtocol::is_unspecified")]
    pub protocol: AddressProtocol,
    /// Flags it was created with, by ip(8)'s names: `ADDRESS_FLAGS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<AddressFlag>,
    /// Metric of its connected route (`IFA_RT_PRIORITY`); 0 is the kernel's default.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub metric: u32,
}

impl AddressEntry {
    /// A permanent address of global scope, without peer, broadcast, label, lifetime or protocol.
    pub fn new(link: impl Into<String>, net: IpNet) -> Self {
        Self {
            link: link.into(),
            net,
            peer: None,
            broadcast: None,
            label: None,
            scope: Scope::Global,
            preferred: None,
            valid: None,
            tentative: false,
            duplicate: false,
            permanent: true,
            protocol: AddressProtocol::Unspecified,
            flags: Vec::new(),
            metric: 0,
        }
    }
}

/// A flag for creating an address, numbered as in the kernel (`IFA_F_…`, linux/if_addr.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressFlag {
    /// No duplicate detection.
    NoDad = 0x02,
    /// Mobile IPv6's home address.
    Home = 0x10,
    /// Temporary addresses are made from it.
    MngTmpAddr = 0x100,
    /// No connected route is created with it.
    NoPrefixRoute = 0x200,
    /// Multicast groups are joined with it.
    AutoJoin = 0x400,
}

impl AddressFlag {
    /// Each with ip(8)'s name.
    pub const WORDS: &'static [(AddressFlag, &'static str)] = &[
        (AddressFlag::NoDad, "nodad"),
        (AddressFlag::Home, "home"),
        (AddressFlag::MngTmpAddr, "mngtmpaddr"),
        (AddressFlag::NoPrefixRoute, "noprefixroute"),
        (AddressFlag::AutoJoin, "autojoin"),
    ];
}

/// A route in the kernel's form: observed or desired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// Destination.
    pub to: IpNet,
    /// Name of the link; `None` if it has none, or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The gateway counts as on-link (`RTNH_F_ONLINK`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub on_link: bool,
    /// Type.
    pub kind: RouteKind,
    /// Scope (IPv4).
    pub scope: Scope,
    /// What made it (`rtm_protocol`).
    pub protocol: Protocol,
    /// Priority.
    pub metric: u32,
    /// Table.
    pub table: u32,
    /// Preferred source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Metrics (`RTAX_…`): `mtu`, `hoplimit`, `initcwnd`, …, by ip(8)'s names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<SettingName, u32>,
    /// The next hops of a multipath IPv4 route: `link`, `via` and `on_link` are empty then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<NextHopEntry>,
    /// One of several IPv6 routes with one destination, table and metric that the kernel uses together and shows as
    /// one: its weight, 1 to 256. Protocol, source and metrics are those of the first; the kernel does not show the
    /// others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Source prefix that it is for (`RTA_SRC`; IPv6 only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpNet>,
    /// Type of service that it is for; 0 is any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tos: u8,
    /// Seconds until the kernel removes it; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u32>,
    /// Id of the next-hop object that it uses (`RTA_NH_ID`, ip-nexthop(8)); link and gateway are the object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop_id: Option<u32>,
    /// Router preference (`RTA_PREF`, RFC 4191): 1 high, 3 low; `None` is medium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<u8>,
    /// Attributes (`RTA_…`) that netapply does not know, encapsulation among them: whatever they mean, the route
    /// differs from one without them, and cannot be recreated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<u16>,
}

impl RouteEntry {
    /// A unicast route to `to` in the table `main`, of global scope and protocol static, without link, gateway or
    /// metric.
    pub fn new(to: IpNet) -> Self {
        Self {
            to,
            link: None,
            via: None,
            on_link: false,
            kind: RouteKind::Unicast,
            scope: Scope::Global,
            protocol: Protocol::Static,
            metric: 0,
            table: RT_TABLE_MAIN,
            source: None,
            metrics: BTreeMap::new(),
            hops: Vec::new(),
            weight: None,
            from: None,
            tos: 0,
            expires: None,
            next_hop_id: None,
            preference: None,
            unknown: Vec::new(),
        }
    }

    /// Whether it leads through another host: the kernel looks up how to reach that first.
    pub fn has_gateway(&self) -> bool {
        self.via.is_some() || !self.hops.is_empty()
    }

    /// Its links; none for a blackhole and the like.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.link.as_deref().into_iter().chain(self.hops.iter().filter_map(|hop| hop.link.as_deref()))
    }

    /// The names of its links, to be changed.
    pub fn links_mut(&mut self) -> impl Iterator<Item = &mut Option<String>> {
        std::iter::once(&mut self.link).chain(self.hops.iter_mut().map(|hop| &mut hop.link))
    }

    /// Whether destination, table, metric and next hops are the same, whoever added it.
    pub fn has_same_next_hop(&self, other: &RouteEntry) -> bool {
        let parts = |r: &RouteEntry| (r.to, r.table, r.metric, r.via);
        parts(self) == parts(other) && self.link == other.link && self.hops == other.hops
    }

    /// Whether this existing route is `wanted`, as far as the kernel shows: of a route shown together with others, only
    /// the next hop. The kernel's own connected route counts as the same one added by hand.
    pub fn serves_as(&self, wanted: &RouteEntry) -> bool {
        // With ten thousand routes, nearly all match.
        if self == wanted {
            return true;
        }
        if self.weight.is_some() {
            return self.has_same_next_hop(wanted)
                && wanted.weight.is_none_or(|weight| self.weight == Some(weight));
        }
        let mut alike = RouteEntry { weight: None, ..wanted.clone() };
        if self.to.addr().is_ipv6() {
            // Only IPv4 has a scope.
            alike.scope = self.scope;
        }
        if self.kind.is_linkless() {
            // IPv6 shows them on the loopback interface.
            alike.link = self.link.clone();
        }
        if self.protocol == Protocol::Kernel {
            alike.protocol = Protocol::Kernel;
            alike.source = alike.source.or(self.source);
        }
        *self == alike && wanted.weight.is_none_or(|weight| weight == 1)
    }
}

const RT_TABLE_MAIN: u32 = 254;

/// One of a route's next hops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHopEntry {
    /// Name of its link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The gateway counts as on-link (`RTNH_F_ONLINK`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub on_link: bool,
    /// Its weight, 1 to 256.
    pub weight: u16,
}

/// A policy rule in the kernel's form: observed or desired.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RuleEntry {
    /// In JSON 4 or 6.
    #[serde(with = "family_number")]
    pub family: Family,
    /// Source prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpNet>,
    /// Destination prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<IpNet>,
    /// Table.
    pub table: u32,
    /// What happens to packets: `Unicast` looks in the table.
    #[serde(default = "unicast", skip_serializing_if = "is_unicast")]
    pub action: RouteKind,
    /// Priority.
    pub priority: u32,
    /// Firewall mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// The bits of the mark that are compared, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<u32>,
    /// Routes of this prefix length or shorter ones are not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress: Option<u32>,
    /// Type of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tos: Option<u8>,
    /// What made it (`FRA_PROTOCOL`).
    #[serde(default)]
    pub protocol: Protocol,
    /// Has selectors that netapply's rules never have, so it is not netapply's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub foreign: bool,
    /// Those that match packets.
    #[serde(default, skip_serializing_if = "Selectors::is_empty")]
    pub selectors: Selectors,
}

/// A rule's selectors of which a description can only express `iif`. Ranges include both ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Selectors {
    /// It applies to packets that do *not* match.
    #[serde(skip_serializing_if = "is_false")]
    pub not: bool,
    /// The link that packets arrived on; `lo` for those of this machine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iif: Option<String>,
    /// The link that the socket is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oif: Option<String>,
    /// Users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uids: Option<(u32, u32)>,
    /// IP protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipproto: Option<u8>,
    /// Source ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<(u16, u16)>,
    /// Destination ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dport: Option<(u16, u16)>,
}

impl Selectors {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Selectors::default()
    }
}

/// As ip(8) shows them after source and destination, each preceded by a space; "not" is not included.
impl std::fmt::Display for Selectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = |(first, last): (u32, u32)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        let ports = |(first, last): (u16, u16)| range((first.into(), last.into()));
        let protocol = |number: u8| match number {
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            58 => "ipv6-icmp".to_owned(),
            other => other.to_string(),
        };
        let words = [
            ("iif", self.iif.clone()),
            ("oif", self.oif.clone()),
            ("uidrange", self.uids.map(|(first, last)| format!("{first}-{last}"))),
            ("ipproto", self.ipproto.map(protocol)),
            ("sport", self.sport.map(ports)),
            ("dport", self.dport.map(ports)),
        ];
        words.iter().try_for_each(|(word, value)| match value {
            Some(value) => write!(f, " {word} {value}"),
            None => Ok(()),
        })
    }
}

mod family_number {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::model::Family;

    pub(super) fn serialize<S: Serializer>(family: &Family, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(family.number())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Family, D::Error> {
        let number = u8::deserialize(deserializer)?;
        let known = [Family::V4, Family::V6].into_iter().find(|family| family.number() == number);
        known.ok_or_else(|| de::Error::custom("a family is 4 or 6"))
    }
}

impl Inventory {
    /// Whether the kernel has IPv6; true if the inventory does not tell.
    pub fn has_ipv6(&self) -> bool {
        self.sysctls.is_empty() || self.sysctls.keys().any(|key| key.starts_with("net/ipv6/"))
    }

    /// The link with this kernel name.
    pub fn link(&self, name: &str) -> Option<&ObservedLink> {
        self.links.iter().find(|l| l.name == name)
    }

    /// The link with this kernel name or alternative name.
    pub fn called(&self, name: &str) -> Option<&ObservedLink> {
        self.link(name).or_else(|| self.links.iter().find(|l| l.is_called(name)))
    }
}

fn unicast() -> RouteKind {
    RouteKind::Unicast
}

fn is_unicast(kind: &RouteKind) -> bool {
    *kind == RouteKind::Unicast
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}
