//! `--switch FILE`: the other side as a person describes it. The schema is docs/schema/switch.v1.json. Entries:
//! [`SwitchFile::read`], then [`SwitchFile::switch`] once the NICs are known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::switch::{Attachment, DhcpServer, LARGEST_MTU, Lag, Port, PortService, Switch, Tag, Trunk};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::Text;
use crate::format::keys::{Fields, Key, Object, Support, key};
use crate::format::tree::{self, Node};
use crate::format::value::{
    bad, boolean, interface_address, ip, items, mtu, number, one_of, text as text_of,
};
use crate::inventory::{Lldp, ObservedLink};
use crate::model::{Located, Place};

/// The VLAN of a port without any, as on most switches.
const DEFAULT_VLAN: u16 = 1;
/// The largest VLAN id: 4095 is reserved (IEEE 802.1Q).
const LARGEST_VLAN: u64 = 4094;
/// The lifetime of a lease in seconds if the file has none, and the shortest one.
const LEASE: u32 = 3600;
const SHORTEST_LEASE: u64 = 60;

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
        row("services"),
    ],
};
const PORT: Object = Object {
    name: "ports.NIC",
    keys: &[row("name"), row("untagged"), row("tagged"), row("lag"), row("mtu"), row("up")],
};
const LAG: Object =
    Object { name: "lags.NAME", keys: &[row("mode"), row("untagged"), row("tagged"), row("mtu")] };
const VLAN: Object = Object { name: "vlans.ID", keys: &[row("addresses"), row("dhcp"), row("stp")] };
const DHCP: Object =
    Object { name: "dhcp", keys: &[row("first"), row("router"), row("name-servers"), row("lease-time")] };

/// The words for how a TCP port answers.
const SERVICES: [(&str, PortService); 3] =
    [("accept", PortService::Accept), ("http", PortService::Http), ("tls", PortService::Tls)];

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

#[derive(Debug, Default)]
struct FileVlan {
    hosts: BTreeSet<IpNet>,
    dhcp: Option<DhcpServer>,
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
                up: port.get("up").and_then(|up| boolean(up, "up", diags)).is_none_or(|up| up.value),
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
            let dhcp = vlan.get("dhcp").and_then(|node| dhcp(node, &hosts, diags));
            let stp = vlan.get("stp").and_then(|stp| boolean(stp, "stp", diags)).is_some_and(|stp| stp.value);
            self.vlans.insert(id.value as u16, FileVlan { hosts, dhcp, stp });
        }
        self.beyond = addresses(fields, "beyond", diags);
        self.name_servers = addresses(fields, "name-servers", diags);
        for entry in fields.get("services").and_then(|node| map(node, "services", diags)).unwrap_or_default()
        {
            let port = number(&Node::scalar(&entry.key, entry.key_at), "services", 1..=65535, diags);
            let word = entry.value.text().unwrap_or_default();
            let service = SERVICES.iter().find(|(name, _)| *name == word).map(|(_, service)| *service);
            if service.is_none() {
                diags.push(one_of(&entry.value, "services", SERVICES.iter().map(|(name, _)| *name)));
            }
            self.services.extend(port.map(|port| port.value as u16).zip(service));
        }
    }

    /// The other side of these NICs. A NIC that the file does not name has no cable. Reports ports of other NICs, and
    /// returns the NICs without a port.
    pub fn switch(&self, nics: &[&ObservedLink], diags: &mut Vec<Diagnostic>) -> (Switch, Vec<String>) {
        let unplugged = Port { up: false, ..Port::default() };
        let mut switch = Switch {
            ports: nics.iter().map(|nic| (nic.name.clone(), unplugged.clone())).collect(),
            beyond: self.beyond.clone(),
            name_servers: self.name_servers.clone(),
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
                segment.hosts.clone_from(&vlan.hosts);
                (segment.dhcp, segment.stp, segment.chatter) = (vlan.dhcp.clone(), vlan.stp, true);
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
    nodes.iter().filter_map(|node| ip(node, key, diags)).map(|ip| ip.value).collect()
}

/// An IPv4 address.
fn ipv4(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Ipv4Addr> {
    match ip(node, key, diags)?.value {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => {
            diags.push(bad(Code::BadAddress, node, key, "the DHCP server is one for IPv4"));
            None
        }
    }
}

fn dhcp(node: &Node, hosts: &BTreeSet<IpNet>, diags: &mut Vec<Diagnostic>) -> Option<DhcpServer> {
    let fields = Fields::new(node, &DHCP, diags)?;
    let Some(first) = fields.get("first") else {
        let missing = Diagnostic::new(Code::MissingKey, node.at, "the DHCP server has no \"first\"");
        diags.push(missing.hint("add the first address that it gives out, such as first: 192.0.2.100"));
        return None;
    };
    let first_ip = ipv4(first, "first", diags)?;
    let server = hosts.iter().find_map(|host| match host {
        IpNet::V4(net) => Some(*net).filter(|net: &Ipv4Net| net.contains(&first_ip)),
        IpNet::V6(_) => None,
    });
    let Some(server) = server else {
        let why = "no address of the VLAN, which the server would have, is in its subnet";
        diags.push(bad(Code::BadValue, first, "first", why));
        return None;
    };
    let mut name_servers = Vec::new();
    for node in items(fields.get("name-servers"), "name-servers", diags) {
        name_servers.extend(ipv4(node, "name-servers", diags));
    }
    let time = fields.get("lease-time");
    let time = time.and_then(|node| number(node, "lease-time", SHORTEST_LEASE..=u32::MAX.into(), diags));
    Some(DhcpServer {
        server,
        first: first_ip,
        router: fields.get("router").and_then(|node| ipv4(node, "router", diags)),
        name_servers,
        lifetime: time.map_or(LEASE, |time| time.value as u32),
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
  10: {addresses: [192.0.2.1/24, '2001:db8::1/64'], dhcp: {first: 192.0.2.100, router: 192.0.2.1}}
  20: {addresses: [10.0.0.1/24], stp: true}
  30: {addresses: [10.3.0.1/24]}
beyond: [198.51.100.53]
name-servers: [198.51.100.53]
services: {80: http}
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
        assert_eq!(of(0).dhcp.as_ref().map(|dhcp| dhcp.server.addr()), "192.0.2.1".parse().ok());
        assert!(of(1).stp && of(0).attachments.iter().any(|attachment| attachment.tags.is_empty()));
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
services: {80: https, 0: http}
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
            (13, Code::BadValue),
            (14, Code::UnknownKey),
        ];
        assert_eq!(found, expected.into(), "{diags:#?}");
    }
}
