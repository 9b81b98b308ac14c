//! `links`: NICs, bonds, VLANs, bridges.

use foldhash::HashSet;

use super::keys;
use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::format::keys::{Fields, Object};
use crate::format::tree::{Node, Value};
use crate::format::value::{
    bond_option, items, mac_of_nic, mac_to_set, mtu, naming_for, number, set_bridge_option, set_option, text,
};
use crate::model::attribute::{self, OptionValue};
use crate::model::{Desired, DesiredMac, IfName, Kind, Link, Located, NamePattern, Naming};

/// Types that mean a NIC of the machine, whatever the cloud connects it to (Nova's VIF types, and those that other
/// writers use).
const NIC_TYPES: &[&str] = &[
    "phy",
    "physical",
    "vif",
    "ethernet",
    "tap",
    "ovs",
    "bridge",
    "cascading",
    "dvs",
    "hw_veb",
    "hyperv",
    "vhostuser",
    "bgpovs",
    "macvtap",
    "infiniband",
    "ib_hostdev",
    "hostdev",
];
const BRIDGE_TYPES: &[&str] = &["linux_bridge", "linux-bridge", "bridge"];
/// Keys that name the ports of a bridge.
const BRIDGE_PORTS: [&str; 2] = ["bridge_links", "bridge_interfaces"];

/// Reads one link into `desired`; the id of one that cannot be created is added to `lost`.
pub(super) fn read(
    node: &Node,
    desired: &mut Desired,
    lost: &mut HashSet<String>,
    diags: &mut Vec<Diagnostic>,
) {
    let kind = kind(node, diags);
    let object: &'static Object = match kind {
        Kind::Bond => &keys::BOND,
        Kind::Vlan => &keys::VLAN,
        Kind::Bridge => &keys::BRIDGE,
        _ => &keys::NIC,
    };
    let other = |key: &str| is_other_spelling(kind, key);
    let Some(fields) = Fields::with_others(node, object, other, diags) else { return };
    let Some(id) = id(&fields, kind, diags) else { return };
    let mut link = Link::new(id.value, kind, id.at);
    link.naming = naming_for(&link.id, id.at, fields.get("name"), kind, diags);
    link.mtu = fields.get("mtu").and_then(|node| mtu(node, "mtu", diags));
    let made = match kind {
        Kind::Bond => bond(&mut link, &fields, diags),
        Kind::Vlan => vlan(&mut link, &fields, diags),
        Kind::Bridge => bridge(&mut link, &fields, diags),
        _ => nic(&mut link, &fields, diags),
    };
    match made {
        Some(()) => desired.links.push(link),
        None => {
            lost.insert(link.id);
        }
    }
}

/// The meaning of the type. Only a bridge that names ports is created; Nova's `bridge` is on the host's side.
fn kind(node: &Node, diags: &mut Vec<Diagnostic>) -> Kind {
    if !matches!(node.value, Value::Map(_)) {
        return Kind::Physical;
    }
    let written = node.get("type");
    let word = written.and_then(Node::text).unwrap_or_default().trim().to_ascii_lowercase();
    let has_ports = BRIDGE_PORTS.iter().any(|key| node.get(key).is_some());
    match word.as_str() {
        "bond" => return Kind::Bond,
        "vlan" => return Kind::Vlan,
        "linux_bridge" | "linux-bridge" => return Kind::Bridge,
        other if has_ports && BRIDGE_TYPES.contains(&other) => return Kind::Bridge,
        other if NIC_TYPES.contains(&other) => return Kind::Physical,
        _ => {}
    }
    // Without a known type, the link's other keys decide.
    let telling = [
        ("bond_links", Kind::Bond),
        ("vlan_link", Kind::Vlan),
        ("vlan_id", Kind::Vlan),
        ("bridge_links", Kind::Bridge),
    ];
    if let Some((key, kind)) = telling.into_iter().find(|(key, _)| node.get(key).is_some()) {
        let (at, what) = match written {
            Some(node) if !word.is_empty() => (node.at, format!("the link type \"{word}\" is not known")),
            _ => (node.at, "the link has no type".to_owned()),
        };
        let message = format!("{what}: it has {key}, so it is treated as a {}", kind.noun());
        diags.push(Diagnostic::new(Code::UnknownLinkType, at, message));
        return kind;
    }
    let (at, message) = match written {
        Some(node) if !word.is_empty() => {
            (node.at, format!("the link type \"{word}\" is not known: treated as a NIC"))
        }
        Some(node) => (node.at, "the link type is null: treated as a NIC".to_owned()),
        None => (node.at, "the link has no type: treated as a NIC".to_owned()),
    };
    let near = nearest(&word, ["bond", "vlan", "linux_bridge"]).filter(|_| !word.is_empty());
    let mut unknown = Diagnostic::new(Code::UnknownLinkType, at, message);
    if let Some(near) = near {
        unknown = unknown.severity(Severity::Warning).hint(format!("did you mean \"{near}\"?"));
    }
    diags.push(unknown);
    Kind::Physical
}

/// `bond-mode`, `miimon`, `bridge-stp`: spellings of other formats that are accepted here, too.
fn is_other_spelling(kind: Kind, key: &str) -> bool {
    match kind {
        Kind::Bond => bond_option(key).is_some() || key == "bond-links" || key == "bond_interfaces",
        _ => false,
    }
}

/// The id; without one, the name or MAC address, as nothing can refer to the link anyway.
fn id(fields: &Fields<'_>, kind: Kind, diags: &mut Vec<Diagnostic>) -> Option<Located<String>> {
    for key in ["id", "name", "ethernet_mac_address", "vlan_mac_address"] {
        let Some(node) = fields.get(key) else { continue };
        let Some(text) = text(node, key, diags) else { continue };
        if key != "id" {
            let message = format!("the {} has no id: it is called by its {key}, \"{text}\"", kind.noun());
            diags.push(Diagnostic::new(Code::MissingKey, fields.at, message).severity(Severity::Warning));
        }
        return Some(Located::new(text.to_owned(), node.at));
    }
    let message = format!("a {} without id, name and MAC address means nothing", kind.noun());
    diags.push(Diagnostic::new(Code::MissingKey, fields.at, message).hint("give it an id"));
    None
}

/// A NIC by its MAC address; without one the id is the name of an interface (Metal3: "nil MAC").
fn nic(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    if let Some(node) = fields.get("ethernet_mac_address") {
        // An unreadable one is not guessed, whatever the id.
        link.select.mac = mac_of_nic(node, "ethernet_mac_address", diags).ok()?;
    }
    if link.select.mac.is_some() {
        return Some(());
    }
    // By its name first, then by its id: a NIC found by the id is renamed.
    let id = link.id.clone();
    if let Naming::Set(name) = &link.naming {
        let message = format!("link \"{id}\" has no MAC address: using the interface {}", name.value);
        let no_mac = Diagnostic::new(Code::NoMac, link.at, message);
        diags.push(no_mac.hint("add its ethernet_mac_address: names can differ between boot images"));
        let exact = NamePattern::Exact(name.value.to_string());
        link.select.name = Some(Located::new(exact, name.at));
        link.select.otherwise.extend(IfName::new(&id).ok().map(|_| Located::new(id, link.at)));
        return Some(());
    }
    match IfName::new(&id) {
        Ok(_) => {
            let message = format!("link \"{id}\" has no MAC address: using the interface {id}");
            diags.push(
                Diagnostic::new(Code::NoMac, link.at, message)
                    .hint("add its ethernet_mac_address: names can differ between boot images"),
            );
            link.select.name = Some(Located::new(NamePattern::Exact(id), link.at));
            Some(())
        }
        Err(_) => {
            let message =
                format!("link \"{id}\" has no MAC address, and its id cannot be the name of an interface");
            diags.push(
                Diagnostic::new(Code::MissingKey, link.at, message).hint("add its ethernet_mac_address"),
            );
            None
        }
    }
}

fn bond(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    desired_mac(link, fields, &["ethernet_mac_address"], diags);
    for key in ["bond_links", "bond-links", "bond_interfaces"] {
        members(link, fields.get(key), key, diags);
    }
    for entry in fields.entries() {
        if let Some(row) = bond_option(&entry.key) {
            set_option(&mut link.settings, row, &entry.value, &entry.key, diags);
        }
    }
    Some(())
}

fn bridge(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    desired_mac(link, fields, &["ethernet_mac_address"], diags);
    for key in BRIDGE_PORTS {
        members(link, fields.get(key), key, diags);
    }
    for entry in fields.entries().iter().filter(|e| e.key.starts_with("bridge_")) {
        set_bridge_option(&mut link.settings, &entry.value, &entry.key, diags);
    }
    Some(())
}

fn vlan(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    desired_mac(link, fields, &["vlan_mac_address", "ethernet_mac_address"], diags);
    let parent = fields.get("vlan_link").and_then(|node| Some((text(node, "vlan_link", diags)?, node.at)));
    let Some((parent, at)) = parent else {
        return missing(link, "vlan_link", "name the id of the link below it", diags);
    };
    link.parent = Some(Located::new(parent.to_owned(), at));
    let Some(node) = fields.get("vlan_id") else {
        return missing(link, "vlan_id", "give it a VLAN id from 1 to 4094", diags);
    };
    let id = number(node, "vlan_id", 0..=4094, diags)?;
    let row = attribute::of(Kind::Vlan, "id")?;
    link.settings.set(row, OptionValue::Number(id.value as i64), node.at);
    Some(())
}

fn missing(link: &Link, key: &str, hint: &str, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let message = format!("{} \"{}\" has no {key}", link.kind.noun(), link.id);
    diags.push(Diagnostic::new(Code::MissingKey, link.at, message).hint(hint));
    None
}

/// The MAC address to set on a software link; the first key that has one.
fn desired_mac(link: &mut Link, fields: &Fields<'_>, keys: &[&str], diags: &mut Vec<Diagnostic>) {
    let mac = keys.iter().find_map(|key| mac_to_set(fields.get(key)?, key, diags));
    link.mac = mac.map(|mac| Located::new(DesiredMac::Is(mac.value), mac.at));
}

/// Members by id. An id may contain spaces, so a single one is not split.
fn members(link: &mut Link, node: Option<&Node>, key: &str, diags: &mut Vec<Diagnostic>) {
    let nodes = match node {
        Some(single @ Node { value: Value::Scalar(_), .. }) => std::slice::from_ref(single),
        _ => items(node, key, diags),
    };
    for node in nodes {
        if let Some(id) = text(node, key, diags) {
            link.members.push(Located::new(id.to_owned(), node.at));
        }
    }
}
