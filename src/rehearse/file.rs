//! `--switch FILE`: the other side as a person describes it. The schema is docs/schema/switch.v1.json. Entries:
//! [`SwitchFile::read`], then [`SwitchFile::switch`] once the NICs are known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::switch::{
    Attachment, Dhcp6Server, DhcpServer, LARGEST_MTU, Lag, Port, PortService, Range, Requests, Segment,
    Switch, Tag, Trunk,
};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::Text;
use crate::format::keys::{Fields, Key, Object, Support, key};
use crate::format::tree::{self, Node};
use crate::format::value::{
    bad, boolean, interface_address, ip, items, mtu, number, one_of, text as text_of,
};
use crate::inventory::{Lldp, ObservedLink};
use crate::lease::ra::message::{AdvertisedPrefix, Advertisement};
use crate::model::{Located, Place};
use crate::order::Few as _;

/// The VLAN of a port without any, as on most switches.
const DEFAULT_VLAN: u16 = 1;
/// The largest VLAN id: 4095 is reserved (IEEE 802.1Q).
const LARGEST_VLAN: u64 = 4094;
/// The lifetime of a lease in seconds if the file has none, and the shortest one.
const LEASE: u32 = 3600;
const SHORTEST_LEASE: u64 = 60;
/// For how long a router is a default router if the file has no lifetime, in seconds (RFC 4861, section 6.2.1).
const ROUTER_LIFETIME: u16 = 1800;

const fn row(name: &'static str) -> Key {
    key(name, Support::Applied, "")
}

const FILE: Object = Object {
    name: "a switch",
    keys: &[
        row("version"),
        row("name"),
        row("ports"),
        row("lags"),
        row("vlans"),
        row("beyond"),
        row("name-servers"),
        row("names"),
        row("services"),
    ],
};
const PORT: Object = Object {
    name: "ports.NIC",
    keys: &[row("name"), row("untagged"), row("tagged"), row("lag"), row("mtu"), row("up")],
};
const LAG: Object =
    Object { name: "lags.NAME", keys: &[row("mode"), row("untagged"), row("tagged"), row("mtu")] };
const VLAN: Object = Object {
    name: "vlans.ID",
    keys: &[row("addresses"), row("dhcp"), row("dhcp6"), row("advertise"), row("way-back"), row("stp")],
};
const DHCP: Object = Object {
    name: "dhcp",
    keys: &[
        row("first"),
        row("last"),
        row("router"),
        row("name-servers"),
        row("lease-time"),
        row("requests"),
    ],
};
const DHCP6: Object = Object {
    name: "dhcp6",
    keys: &[row("first"), row("last"), row("name-servers"), row("lease-time"), row("requests")],
};
const ADVERTISE: Object = Object {
    name: "advertise",
    keys: &[row("prefixes"), row("managed"), row("other"), row("name-servers"), row("mtu"), row("lifetime")],
};

/// The words for how a TCP port answers; a number is an HTTP status.
const SERVICES: [(&str, PortService); 4] = [
    ("accept", PortService::Accept),
    ("http", PortService::Http(200)),
    ("tls", PortService::Tls),
    ("silent", PortService::Silent),
];
/// The words for how requests are answered.
const REQUESTS: [(&str, Requests); 3] =
    [("grant", Requests::Grant), ("refuse", Requests::Refuse), ("ignore", Requests::Ignore)];

/// The VLANs of a port or LAG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Carried {
    /// The VLAN of untagged frames; without one they are dropped.
    untagged: Option<u16>,
    tagged: Vec<u16>,
}

impl Carried {
    fn each(&self) -> impl Iterator<Item = (u16, Vec<Tag>)> {
        let untagged = self.untagged.map(|vid| (vid, Vec::new()));
        let tagged = self.tagged.iter().map(|vid| (*vid, vec![Tag { vid: *vid, service: false }]));
        untagged.into_iter().chain(tagged)
    }
}

#[derive(Debug)]
struct FilePort {
    nic: String,
    name: Option<String>,
    at: Place,
    carried: Carried,
    lag: Option<String>,
    mtu: Option<u32>,
    up: bool,
}

#[derive(Debug)]
struct FileLag {
    lacp: bool,
    carried: Carried,
    mtu: Option<u32>,
}

#[derive(Clone, Debug, Default)]
struct FileVlan {
    hosts: BTreeSet<IpNet>,
    dhcp: Vec<DhcpServer>,
    dhcp6: Option<Dhcp6Server>,
    advertised: Option<Advertisement>,
    no_way_back: bool,
    stp: bool,
}

/// A switch, whose ports are named by what is plugged into them.
#[derive(Debug, Default)]
pub struct SwitchFile {
    name: String,
    ports: Vec<FilePort>,
    lags: BTreeMap<String, FileLag>,
    vlans: BTreeMap<u16, FileVlan>,
    beyond: BTreeSet<IpAddr>,
    name_servers: BTreeSet<IpAddr>,
    names: Option<BTreeMap<String, BTreeSet<IpAddr>>>,
    services: BTreeSet<(u16, PortService)>,
}

impl SwitchFile {
    /// Reads a switch, and reports its errors.
    pub fn read(name: &str, text: &str) -> (SwitchFile, Vec<Diagnostic>, Text) {
        let mut file = SwitchFile::default();
        let mut diags = Vec::new();
        let root = tree::parse(text, 0, &mut diags);
        if let Some(fields) = root.as_ref().and_then(|root| Fields::new(root, &FILE, &mut diags)) {
            file.fill(&fields, &mut diags);
        }
        (file, diags, Text::new(name.to_owned(), text.to_owned(), root))
    }

    fn fill(&mut self, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
        if let Some(version) = fields.get("version") {
            number(version, "version", 1..=1, diags);
        }
        let name = fields.get("name").and_then(|node| text_of(node, "name", diags));
        self.name = name.unwrap_or("switch").to_owned();
        for (name, at, lag) in objects(fields.get("lags"), "lags", &LAG, diags) {
            let mode = lag.get("mode").map(|mode| (mode, mode.text()));
            let lacp = match mode {
                None | Some((_, Some("lacp"))) => true,
                Some((_, Some("static"))) => false,
                Some((node, _)) => {
                    diags.push(one_of(node, "mode", ["lacp", "static"].into_iter()));
                    continue;
                }
            };
            let (carried, mtu) = (carried(&lag, at, diags), largest(&lag, diags));
            self.lags.insert(name.to_owned(), FileLag { lacp, carried, mtu });
        }
        for (name, at, port) in objects(fields.get("ports"), "ports", &PORT, diags) {
            let lag =
                port.get("lag").and_then(|node| Some(Located::new(text_of(node, "lag", diags)?, node.at)));
            if let Some(lag) = lag.filter(|lag| !self.lags.contains_key(lag.value)) {
                let message = format!("there is no LAG \"{}\"", lag.value);
                diags.push(
                    Diagnostic::new(Code::DanglingReference, lag.at, message).hint("add it to \"lags\""),
                );
            }
            for key in ["untagged", "tagged"].into_iter().filter(|_| lag.is_some()) {
                if let Some(node) = port.get(key) {
                    let message = format!("{key}: the VLANs of a member are those of its LAG");
                    diags.push(Diagnostic::new(Code::BadValue, node.at, message));
                }
            }
            self.ports.push(FilePort {
                nic: name.to_owned(),
                name: port.get("name").and_then(|node| text_of(node, "name", diags)).map(str::to_owned),
                at,
                carried: if lag.is_some() { Carried::default() } else { carried(&port, at, diags) },
                lag: lag.map(|lag| lag.value.to_owned()),
                mtu: largest(&port, diags),
                up: flag(&port, "up", true, diags),
            });
        }
        for (name, at, vlan) in objects(fields.get("vlans"), "vlans", &VLAN, diags) {
            let Some(id) = number(&Node::scalar(name, at), "vlans", 1..=LARGEST_VLAN, diags) else {
                continue;
            };
            let mut hosts = BTreeSet::new();
            for node in items(vlan.get("addresses"), "addresses", diags) {
                hosts.extend(interface_address(node, "addresses", None, diags).map(|address| address.net));
            }
            let servers = match vlan.get("dhcp") {
                Some(Node { value: tree::Value::List(servers), .. }) => servers.as_slice(),
                one => one.map_or(&[][..], std::slice::from_ref),
            };
            let dhcp = servers.iter().filter_map(|node| dhcp(node, &hosts, diags)).collect();
            let dhcp6 = vlan.get("dhcp6").and_then(|node| dhcp6(node, &hosts, diags));
            let advertised = vlan.get("advertise").and_then(|node| advertised(node, diags));
            let no_way_back = !flag(&vlan, "way-back", true, diags);
            let stp = flag(&vlan, "stp", false, diags);
            let vlan = FileVlan { hosts, dhcp, dhcp6, advertised, no_way_back, stp };
            self.vlans.insert(id.value as u16, vlan);
        }
        self.beyond = addresses(fields, "beyond", diags);
        self.name_servers = addresses(fields, "name-servers", diags);
        if let Some(names) = fields.get("names").and_then(|node| map(node, "names", diags)) {
            let known = names.iter().map(|entry| {
                let nodes = match &entry.value.value {
                    tree::Value::List(nodes) => nodes.as_slice(),
                    _ => std::slice::from_ref(&entry.value),
                };
                let ips = nodes.iter().filter_map(|node| ip(node, "names", diags)).map(|ip| ip.value);
                (entry.key.trim_end_matches('.').to_ascii_lowercase(), ips.few())
            });
            self.names = Some(known.few());
        }
        for entry in fields.get("services").and_then(|node| map(node, "services", diags)).unwrap_or_default()
        {
            let port = number(&Node::scalar(&entry.key, entry.key_at), "services", 1..=65535, diags);
            let is_status = entry.value.text().is_some_and(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let service = match is_status {
                true => number(&entry.value, "services", 100..=599, diags)
                    .map(|status| PortService::Http(status.value as u16)),
                false => word(&entry.value, "services", &SERVICES, diags),
            };
            self.services.extend(port.map(|port| port.value as u16).zip(service));
        }
    }

    /// The other side of these NICs. A NIC that the file does not name has no cable. Reports ports of other NICs, and
    /// returns the NICs without a port.
    pub fn switch(&self, nics: &[&ObservedLink], diags: &mut Vec<Diagnostic>) -> (Switch, Vec<String>) {
        let unplugged = Port { up: false, ..Port::default() };
        let mut switch = Switch {
            ports: nics.iter().map(|nic| (nic.name.clone(), unplugged.clone())).few(),
            beyond: self.beyond.clone(),
            name_servers: self.name_servers.clone(),
            names: self.names.clone(),
            services: self.services.clone(),
            ..Switch::default()
        };
        for (name, lag) in &self.lags {
            switch.lags.insert(name.clone(), Lag { lacp: lag.lacp, ports: Vec::new() });
        }
        let mut trunks: Vec<(Trunk, &Carried)> = Vec::new();
        let mut plugged = BTreeSet::new();
        for port in &self.ports {
            let Some(nic) = nics.iter().find(|nic| is_named(nic, &port.nic)) else {
                let names: Vec<&str> = nics.iter().map(|nic| nic.name.as_str()).collect();
                let message = format!("no NIC is named \"{}\" or has that MAC address", port.nic);
                let unknown = Diagnostic::new(Code::DanglingReference, port.at, message);
                let hint = format!("the NICs are {}", names.join(", "));
                diags.push(unknown.severity(Severity::Warning).hint(hint));
                continue;
            };
            let lag = port.lag.as_ref().and_then(|name| Some((name, self.lags.get(name)?)));
            let mtu = port.mtu.or(lag.and_then(|(_, lag)| lag.mtu)).unwrap_or(LARGEST_MTU);
            let carried = lag.map_or(&port.carried, |(_, lag)| &lag.carried);
            let lldp = Some(Lldp {
                switch: self.name.clone(),
                port: port.name.clone().unwrap_or_else(|| port.nic.clone()),
                pvid: carried.untagged,
                vlans: carried.each().map(|(vid, _)| vid).collect(),
            });
            switch.ports.insert(nic.name.clone(), Port { mtu, up: port.up, lldp });
            plugged.insert(nic.name.clone());
            match lag {
                Some((name, _)) => {
                    let members = switch.lags.get_mut(name);
                    members.into_iter().for_each(|lag| lag.ports.push(nic.name.clone()));
                }
                None => trunks.push((Trunk::Port(nic.name.clone()), &port.carried)),
            }
        }
        switch.lags.retain(|_, lag| !lag.ports.is_empty());
        let aggregated = self.lags.iter().filter(|(name, _)| switch.lags.contains_key(*name));
        trunks.extend(aggregated.map(|(name, lag)| (Trunk::Lag(name.clone()), &lag.carried)));
        for (id, vlan) in &self.vlans {
            let mut attachments = BTreeSet::new();
            for (trunk, carried) in &trunks {
                let here = carried.each().filter(|(vid, _)| vid == id);
                attachments.extend(here.map(|(_, tags)| Attachment { trunk: trunk.clone(), tags }));
            }
            if !attachments.is_empty() {
                let segment = switch.segment(attachments);
                let FileVlan { hosts, dhcp, dhcp6, advertised, no_way_back, stp } = vlan.clone();
                let attachments = std::mem::take(&mut segment.attachments);
                *segment = Segment {
                    attachments,
                    hosts,
                    dhcp,
                    dhcp6,
                    advertised,
                    no_way_back,
                    stp,
                    chatter: true,
                    ..Segment::default()
                };
            }
        }
        let bare = nics.iter().filter(|nic| !plugged.contains(&nic.name)).map(|nic| nic.name.clone());
        let bare = bare.collect();
        (switch, bare)
    }
}

/// Whether a NIC has this name, alternative name or MAC address.
fn is_named(nic: &ObservedLink, name: &str) -> bool {
    let mac = name.parse().ok();
    nic.name == name
        || nic.altnames.iter().any(|altname| altname == name)
        || mac.is_some() && (nic.permanent_mac == mac || nic.mac == mac)
}

/// The entries of a mapping whose keys are names.
fn map<'a>(node: &'a Node, key: &'static str, diags: &mut Vec<Diagnostic>) -> Option<&'a [tree::Entry]> {
    match &node.value {
        tree::Value::Map(entries) => Some(entries),
        _ => {
            let message = format!("{key} should be a mapping, not {}", node.noun());
            diags.push(Diagnostic::new(Code::WrongShape, node.at, message));
            None
        }
    }
}

/// A mapping from names to objects.
fn objects<'a>(
    node: Option<&'a Node>,
    key: &'static str,
    object: &'static Object,
    diags: &mut Vec<Diagnostic>,
) -> Vec<(&'a str, Place, Fields<'a>)> {
    let entries = node.and_then(|node| map(node, key, diags)).unwrap_or_default();
    let each = entries.iter().filter_map(|entry| {
        Some((entry.key.as_str(), entry.key_at, Fields::new(&entry.value, object, diags)?))
    });
    each.collect()
}

/// The VLANs of a port or LAG: untagged ones are in VLAN 1 if nothing is said of them.
fn carried(fields: &Fields<'_>, at: Place, diags: &mut Vec<Diagnostic>) -> Carried {
    let vlan = |node: &Node, key: &str, diags: &mut Vec<Diagnostic>| {
        number(node, key, 1..=LARGEST_VLAN, diags).map(|vid| vid.value as u16)
    };
    let untagged = match fields.get("untagged") {
        Some(node) if node.text() == Some("none") => None,
        Some(node) => vlan(node, "untagged", diags),
        None => Some(DEFAULT_VLAN),
    };
    let mut tagged = Vec::new();
    for node in items(fields.get("tagged"), "tagged", diags) {
        tagged.extend(vlan(node, "tagged", diags));
    }
    if untagged.is_some_and(|vid| tagged.contains(&vid)) {
        let at = fields.get("tagged").map_or(at, |node| node.at);
        diags.push(Diagnostic::new(Code::BadValue, at, "a VLAN is tagged or untagged on a port, not both"));
    }
    Carried { untagged, tagged }
}

/// The largest packet that passes, in bytes.
fn largest(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<u32> {
    fields.get("mtu").and_then(|node| mtu(node, "mtu", diags)).map(|mtu| mtu.value.get())
}

fn addresses(fields: &Fields<'_>, key: &'static str, diags: &mut Vec<Diagnostic>) -> BTreeSet<IpAddr> {
    let nodes = items(fields.get(key), key, diags);
    nodes.iter().filter_map(|node| ip(node, key, diags)).map(|ip| ip.value).few()
}

fn flag(fields: &Fields<'_>, key: &'static str, default: bool, diags: &mut Vec<Diagnostic>) -> bool {
    fields.get(key).and_then(|node| boolean(node, key, diags)).map_or(default, |flag| flag.value)
}

/// One of these words.
fn word<T: Copy>(
    node: &Node,
    key: &'static str,
    words: &'static [(&'static str, T)],
    diags: &mut Vec<Diagnostic>,
) -> Option<T> {
    let text = node.text().unwrap_or_default();
    let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if known.is_none() {
        diags.push(one_of(node, key, words.iter().map(|(word, _)| *word)));
    }
    known
}

/// An address of one family.
fn of_family<T>(
    node: &Node,
    key: &'static str,
    take: fn(IpAddr) -> Option<T>,
    diags: &mut Vec<Diagnostic>,
) -> Option<T> {
    let ip = ip(node, key, diags)?.value;
    let taken = take(ip);
    if taken.is_none() {
        let other = if ip.is_ipv4() { "IPv6" } else { "IPv4" };
        diags.push(bad(Code::BadAddress, node, key, &format!("expected an {other} address")));
    }
    taken
}

fn four(ip: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(ip) = ip { Some(ip) } else { None }
}

fn six(ip: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(ip) = ip { Some(ip) } else { None }
}

/// All addresses of a list, of one family.
fn all_of_family<T>(
    fields: &Fields<'_>,
    key: &'static str,
    take: fn(IpAddr) -> Option<T>,
    diags: &mut Vec<Diagnostic>,
) -> Vec<T> {
    let nodes = items(fields.get(key), key, diags);
    nodes.iter().filter_map(|node| of_family(node, key, take, diags)).collect()
}

/// What a server gives out, and the subnet that it is in: that of one of these hosts.
fn range<T: Copy + Ord>(
    at: Place,
    fields: &Fields<'_>,
    hosts: &BTreeSet<IpNet>,
    take: fn(IpAddr) -> Option<T>,
    diags: &mut Vec<Diagnostic>,
) -> Option<(Range<T>, IpNet)> {
    let Some(node) = fields.get("first") else {
        let missing = Diagnostic::new(Code::MissingKey, at, "the server has no \"first\"");
        diags.push(missing.hint("add the first address that it gives out"));
        return None;
    };
    let first = of_family(node, "first", take, diags)?;
    let subnet = hosts
        .iter()
        .find(|host| ip(node, "first", &mut Vec::new()).is_some_and(|ip| host.contains(&ip.value)));
    let Some(subnet) = subnet else {
        let why = "no address of the VLAN, which the server would have, is in its subnet";
        diags.push(bad(Code::BadValue, node, "first", why));
        return None;
    };
    let last = match fields.get("last") {
        Some(node) => {
            let last = of_family(node, "last", take, diags)?;
            let is_after = last >= first;
            if !is_after || !ip(node, "last", diags).is_some_and(|ip| subnet.contains(&ip.value)) {
                diags.push(bad(Code::BadValue, node, "last", "it is not after the first one in its subnet"));
                return None;
            }
            last
        }
        // The broadcast address of IPv4 is no machine's.
        None => take(subnet.hosts().next_back().unwrap_or(subnet.addr()))?,
    };
    let time = fields.get("lease-time");
    let time = time.and_then(|node| number(node, "lease-time", SHORTEST_LEASE..=u32::MAX.into(), diags));
    let requests = fields.get("requests").and_then(|node| word(node, "requests", &REQUESTS, diags));
    let (lifetime, requests) =
        (time.map_or(LEASE, |time| time.value as u32), requests.unwrap_or(Requests::Grant));
    Some((Range { first, last, lifetime, requests }, *subnet))
}

fn dhcp(node: &Node, hosts: &BTreeSet<IpNet>, diags: &mut Vec<Diagnostic>) -> Option<DhcpServer> {
    let fields = Fields::new(node, &DHCP, diags)?;
    let (range, IpNet::V4(server)) = range(node.at, &fields, hosts, four, diags)? else { return None };
    let router = fields.get("router").and_then(|node| of_family(node, "router", four, diags));
    Some(DhcpServer {
        server,
        range,
        router,
        name_servers: all_of_family(&fields, "name-servers", four, diags),
    })
}

fn dhcp6(node: &Node, hosts: &BTreeSet<IpNet>, diags: &mut Vec<Diagnostic>) -> Option<Dhcp6Server> {
    let fields = Fields::new(node, &DHCP6, diags)?;
    let (range, _) = range(node.at, &fields, hosts, six, diags)?;
    Some(Dhcp6Server { range, name_servers: all_of_family(&fields, "name-servers", six, diags) })
}

/// What a router advertises. Machines make addresses of its prefixes unless they are to ask for them by DHCPv6.
fn advertised(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Advertisement> {
    let fields = Fields::new(node, &ADVERTISE, diags)?;
    let managed = flag(&fields, "managed", false, diags);
    let mut prefixes = Vec::new();
    for node in items(fields.get("prefixes"), "prefixes", diags) {
        match interface_address(node, "prefixes", None, diags).map(|address| address.net) {
            Some(IpNet::V6(net)) => prefixes.push(AdvertisedPrefix {
                net: net.trunc(),
                on_link: true,
                autonomous: !managed,
                valid: u32::MAX,
            }),
            Some(IpNet::V4(_)) => {
                diags.push(bad(Code::BadAddress, node, "prefixes", "expected an IPv6 prefix"));
            }
            None => {}
        }
    }
    let lifetime = fields.get("lifetime").and_then(|node| number(node, "lifetime", 0..=9000, diags));
    let name_servers = all_of_family(&fields, "name-servers", six, diags);
    Some(Advertisement {
        managed,
        other: flag(&fields, "other", false, diags),
        lifetime: lifetime.map_or(ROUTER_LIFETIME, |lifetime| lifetime.value as u16),
        mtu: largest(&fields, diags),
        prefixes,
        name_servers: name_servers.into_iter().map(|server| (server, u32::MAX)).collect(),
        ..Advertisement::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1
ports:
  eno1: {lag: po1}
  '52:54:00:00:00:02': {lag: po1, mtu: 9000}
  eno3: {untagged: 10, up: false}
  eno9: {}
lags:
  po1: {mode: static, untagged: none, tagged: [10, 20], mtu: 9216}
vlans:
  10:
    addresses: [192.0.2.1/24, '2001:db8::1/64']
    dhcp: {first: 192.0.2.100, router: 192.0.2.1}
    dhcp6: {first: '2001:db8::100', last: '2001:db8::1ff', requests: refuse}
    advertise: {prefixes: ['2001:db8::/64'], managed: true, mtu: 1500}
  20: {addresses: [10.0.0.1/24], way-back: false, stp: true}
  30: {addresses: [10.3.0.1/24]}
beyond: [198.51.100.53]
name-servers: [198.51.100.53]
names: {API.example.: 198.51.100.7}
services: {80: http, 81: 503}
";

    fn nic(name: &str, mac: &str) -> ObservedLink {
        ObservedLink { name: name.to_owned(), mac: mac.parse().ok(), ..ObservedLink::default() }
    }

    #[test]
    fn a_file_becomes_the_other_side_of_these_nics() {
        let (file, diags, _) = SwitchFile::read("switch.yaml", TEXT);
        assert_eq!(diags, []);
        let nics = [
            nic("eno1", "52:54:00:00:00:01"),
            nic("eno2", "52:54:00:00:00:02"),
            nic("eno3", "52:54:00:00:00:03"),
            nic("eno4", "52:54:00:00:00:04"),
        ];
        let mut diags = Vec::new();
        let (switch, bare) = file.switch(&nics.each_ref(), &mut diags);
        assert_eq!((diags.len(), diags[0].at.line, bare), (1, 6, vec!["eno4".to_owned()]));
        let lag = Lag { lacp: false, ports: vec!["eno1".to_owned(), "eno2".to_owned()] };
        assert_eq!(switch.lags, [("po1".to_owned(), lag)].into());
        assert_eq!((switch.ports["eno1"].mtu, switch.ports["eno2"].mtu), (9216, 9000));
        assert!(!switch.ports["eno3"].up && !switch.ports["eno4"].up);
        // VLAN 10 on the LAG tagged and on eno3 untagged; VLAN 20 on the LAG; VLAN 30 nowhere.
        let of = |id: usize| &switch.segments[id];
        assert_eq!((switch.segments.len(), of(0).attachments.len(), of(1).attachments.len()), (2, 2, 1));
        let range = &of(0).dhcp[0].range;
        assert_eq!(
            (of(0).dhcp[0].server.addr().octets(), range.last.octets()),
            ([192, 0, 2, 1], [192, 0, 2, 254])
        );
        let range = &of(0).dhcp6.as_ref().unwrap().range;
        assert_eq!((range.last.segments()[7], range.requests), (0x1ff, Requests::Refuse));
        let advertised = of(0).advertised.as_ref().unwrap();
        assert!(advertised.managed && !advertised.prefixes[0].autonomous && advertised.mtu == Some(1500));
        assert!(switch.names.unwrap().contains_key("api.example"));
        assert_eq!(switch.services, [(80, PortService::Http(200)), (81, PortService::Http(503))].into());
        assert!(
            of(1).stp
                && of(1).no_way_back
                && of(0).attachments.iter().any(|attachment| attachment.tags.is_empty())
        );
    }

    #[test]
    fn every_key_is_read_or_reported_with_its_place() {
        let text = "version: 2
ports:
  a: {untaged: 1, tagged: [1]}
  b: {lag: x, untagged: 5}
  c: {untagged: 4095}
  d: {mtu: 12}
lags: {po1: {mode: lcap}}
vlans:
  x: {}
  7: {addresses: [192.0.2.300/24]}
  8: {addresses: [10.0.0.1/24], dhcp: {first: 10.1.0.5}}
  9: {dhcp: {router: 10.0.0.1}}
  10: {addresses: [10.0.0.1/24], dhcp: [{first: 10.0.0.5}, {first: '2001:db8::5'}]}
  11: {addresses: ['2001:db8::1/64'], dhcp6: {first: '2001:db8::5', last: '2001:db8::4', requests: never}}
  12: {advertise: {prefixes: [10.0.0.0/24], manged: true}}
names: {api.example: nowhere}
services: {80: https, 0: http, 81: 700}
port: {}
";
        let (_, diags, _) = SwitchFile::read("switch.yaml", text);
        let found: BTreeSet<(u32, Code)> = diags.iter().map(|d| (d.at.line, d.code)).collect();
        let expected = [
            (1, Code::BadValue),
            (3, Code::UnknownKey),
            (3, Code::BadValue),
            (4, Code::DanglingReference),
            (4, Code::BadValue),
            (5, Code::BadValue),
            (6, Code::BadValue),
            (7, Code::BadValue),
            (9, Code::BadValue),
            (10, Code::BadAddress),
            (11, Code::BadValue),
            (12, Code::MissingKey),
            (13, Code::BadAddress),
            (14, Code::BadValue),
            (15, Code::BadAddress),
            (15, Code::UnknownKey),
            (16, Code::BadAddress),
            (17, Code::BadValue),
            (18, Code::UnknownKey),
        ];
        assert_eq!(found, expected.into(), "{diags:#?}");
    }
}
