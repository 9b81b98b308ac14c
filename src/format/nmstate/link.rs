//! An interface: what all kinds have in common.

use super::{Reader, ip, items, keys, kind, select_by_name, text};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::Fields;
use crate::format::tree::Node;
use crate::format::value::{self, bad, mac, mac_to_set, one_of};
use crate::model::{Activation, DesiredMac, IfName, Kind, Link, Located, Naming};

/// A type, its kind, and the key of its own settings.
pub(crate) struct Type {
    pub(crate) word: &'static str,
    pub(crate) kind: Kind,
    pub(crate) own: &'static str,
}

pub(crate) const TYPES: &[Type] = &[
    kind_of("ethernet", Kind::Physical, "ethernet"),
    kind_of("bond", Kind::Bond, "link-aggregation"),
    kind_of("vlan", Kind::Vlan, "vlan"),
    kind_of("linux-bridge", Kind::Bridge, "bridge"),
    kind_of("vrf", Kind::Vrf, "vrf"),
    kind_of("vxlan", Kind::Vxlan, "vxlan"),
    kind_of("dummy", Kind::Dummy, ""),
    kind_of("veth", Kind::Veth, "veth"),
    kind_of("mac-vlan", Kind::Macvlan, "mac-vlan"),
    kind_of("infiniband", Kind::Physical, "infiniband"),
    // The mode decides the kind.
    kind_of("ip-tunnel", Kind::Ipip, "ip-tunnel"),
    kind_of("loopback", Kind::Physical, ""),
];

const fn kind_of(word: &'static str, kind: Kind, own: &'static str) -> Type {
    Type { word, kind, own }
}

/// Types that nmstate has but netapply does not support.
const OTHERS: &[&str] = &[
    "hsr",
    "ipsec",
    "ipvlan",
    "mac-vtap",
    "macsec",
    "ovs-bridge",
    "ovs-interface",
    "tun",
    "xfrm",
    "other",
    "unknown",
];

/// Reads an interface into the links; one that is not created is recorded as lost.
pub(super) fn read(node: &Node, reader: &mut Reader, diags: &mut Vec<Diagnostic>) {
    let Some(fields) = Fields::new(node, &keys::INTERFACE, diags) else { return };
    let name = fields
        .get("name")
        .and_then(|node| Some(Located::new(text(node, "name", diags)?.to_owned(), node.at)));
    let Some(name) = name else {
        let message = "an interface without a name was left out";
        diags.push(Diagnostic::new(Code::MissingKey, node.at, message).hint("add name"));
        return;
    };
    match state(&fields, &name.value, diags) {
        Some(activation) => match interface(&name, &fields, reader, diags) {
            Some(mut link) => {
                link.activation = activation;
                link.optional = activation != Activation::Up;
                reader.links.push(link);
            }
            None => {
                reader.lost.insert(name.value);
            }
        },
        // An absent interface is not the parent of another one; an ignored one may be.
        None if fields.get("state").and_then(Node::text) == Some("absent") => {
            reader.lost.insert(name.value);
        }
        None => {}
    }
}

/// Whether it is brought up; `None` if it is not described.
fn state(fields: &Fields<'_>, name: &str, diags: &mut Vec<Diagnostic>) -> Option<Activation> {
    let Some(node) = fields.get("state") else { return Some(Activation::Up) };
    match text(node, "state", diags) {
        None | Some("up") => Some(Activation::Up),
        Some("down") => Some(Activation::Off),
        Some("ignore") => {
            let message = format!("\"{name}\" is left as it is (state: ignore)");
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            None
        }
        Some("absent") => {
            let message = format!("\"{name}\" is not created (state: absent); an existing link stays");
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message).severity(Severity::Warning));
            None
        }
        Some(_) => {
            diags.push(one_of(node, "state", ["up", "down", "absent", "ignore"].into_iter()));
            Some(Activation::Up)
        }
    }
}

fn interface(
    name: &Located<String>,
    fields: &Fields<'_>,
    reader: &mut Reader,
    diags: &mut Vec<Diagnostic>,
) -> Option<Link> {
    let of = find_type(name, fields, diags)?;
    let kind = if of.word == "ip-tunnel" { kind::tunnel_kind(&name.value, fields, diags)? } else { of.kind };
    let mut link = Link::new(name.value.clone(), kind, name.at);
    if kind == Kind::Physical {
        nic(&mut link, of.word == "loopback", fields, diags)?;
    } else {
        link.naming = made_name(&link, diags);
        alternative_names(&mut link, fields, diags);
    }
    mac_address(&mut link, fields, reader, diags);
    link.promiscuous = super::switch(fields, "accept-all-mac-addresses", diags);
    link.mtu = fields.get("mtu").and_then(|node| value::mtu(node, "mtu", diags));
    only_own(of, fields, &link, diags);
    kind::read(&mut link, of.own, fields, reader, diags)?;
    ip::read(&mut link, fields, diags);
    kind::ethtool(&mut link, fields, diags);
    for (key, list) in [("controller", &mut reader.joins), ("copy-mac-from", &mut reader.copies)] {
        let Some(node) = fields.get(key) else { continue };
        list.extend(text(node, key, diags).map(|id| (link.id.clone(), Located::new(id.to_owned(), node.at))));
    }
    Some(link)
}

/// The type, or the one implied by the keys; without either it is an Ethernet interface.
fn find_type(
    name: &Located<String>,
    fields: &Fields<'_>,
    diags: &mut Vec<Diagnostic>,
) -> Option<&'static Type> {
    if name.value.starts_with("sriov:") {
        let message = format!("\"{}\": virtual functions are not looked up by number", name.value);
        diags.push(
            Diagnostic::new(Code::Unsupported, name.at, message)
                .hint("name the interface, or its mac-address"),
        );
        return None;
    }
    if let Some(node) = fields.get("type") {
        let word = text(node, "type", diags)?;
        let found = TYPES.iter().find(|of| of.word == word);
        if found.is_none() && OTHERS.contains(&word) {
            diags.push(bad(Code::Unsupported, node, "type", "netapply makes no such links"));
        } else if found.is_none() {
            diags.push(one_of(node, "type", TYPES.iter().map(|of| of.word)));
        }
        return found;
    }
    let by_key = TYPES.iter().find(|of| !of.own.is_empty() && fields.get(of.own).is_some());
    let found = by_key
        .or(TYPES.iter().find(|of| of.word == if name.value == "lo" { "loopback" } else { "ethernet" }));
    if let Some(of) = found {
        let message = format!("\"{}\" has no type: treated as {}", name.value, of.word);
        let hint = format!("write type: {}", of.word);
        diags.push(
            Diagnostic::new(Code::UnknownLinkType, name.at, message).severity(Severity::Warning).hint(hint),
        );
    }
    found
}

/// Reports keys of other types.
fn only_own(of: &Type, fields: &Fields<'_>, link: &Link, diags: &mut Vec<Diagnostic>) {
    let others = TYPES.iter().map(|other| other.own).filter(|own| !own.is_empty() && *own != of.own);
    // A veth pair is Ethernet, too.
    for key in others.filter(|own| *own != "ethernet") {
        if let Some(entry) = fields.entry(key).filter(|entry| super::is_map(&entry.value)) {
            let message = format!("\"{key}\" has no effect: \"{}\" is of type {}", link.id, of.word);
            diags.push(Diagnostic::new(Code::OptionIgnored, entry.key_at, message));
        }
    }
}

/// Which NIC is meant. `None` if that cannot be read: none is guessed.
fn nic(link: &mut Link, loopback: bool, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let identifier = fields.get("identifier");
    let key = match identifier.and_then(|node| text(node, "identifier", diags)) {
        None | Some("name") => {
            if loopback && link.id != "lo" {
                let message = format!("\"{}\" is not a loopback interface: only lo is", link.id);
                diags.push(Diagnostic::new(Code::BadName, link.at, message));
                return None;
            }
            select_by_name(link);
            if IfName::new(&link.id).is_err() && link.id.len() > 127 {
                let message = format!("\"{}\" cannot be the name of an interface", link.id);
                diags.push(Diagnostic::new(Code::BadName, link.at, message));
                return None;
            }
            alternative_names(link, fields, diags);
            return Some(());
        }
        Some(key @ ("mac-address" | "pci-address")) => key,
        Some(_) => {
            let words = ["name", "mac-address", "pci-address"].into_iter();
            diags.extend(identifier.map(|node| one_of(node, "identifier", words)));
            return None;
        }
    };
    alternative_names(link, fields, diags);
    let Some(node) = fields.get(key) else {
        let message = format!("\"{}\" is to be matched by its {key}, which is missing", link.id);
        diags.push(Diagnostic::new(Code::MissingKey, link.at, message).hint(format!("add {key}")));
        return None;
    };
    if key == "mac-address" {
        link.select.mac = Some(mac(node, key, diags)?);
        return Some(());
    }
    let address = text(node, key, diags)?.to_ascii_lowercase();
    if !is_pci(&address) {
        diags.push(bad(Code::BadValue, node, key, "not a PCI address, such as 0000:05:00.0"));
        return None;
    }
    link.select.pci = Some(Located::new(address, node.at));
    Some(())
}

/// `0000:05:00.0`.
fn is_pci(text: &str) -> bool {
    let hex = |part: &str, digits: usize| part.len() >= digits && part.bytes().all(|b| b.is_ascii_hexdigit());
    let mut parts = text.split([':', '.']);
    let lengths = [4, 2, 2, 1];
    lengths.iter().all(|digits| parts.next().is_some_and(|part| hex(part, *digits))) && parts.next().is_none()
}

fn made_name(link: &Link, diags: &mut Vec<Diagnostic>) -> Naming {
    match IfName::to_give(&link.id) {
        Ok(name) => Naming::Set(Located::new(name, link.at)),
        Err(why) => {
            let message =
                format!("the name \"{}\" is {why}: the {} is not named by it", link.id, link.kind.noun());
            diags.push(Diagnostic::new(Code::BadName, link.at, message));
            Naming::Generate
        }
    }
}

/// Alternative names: for a NIC the first.
fn alternative_names(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    for item in items(fields.get("alt-names"), "alt-names", diags) {
        let Some(fields) = Fields::new(item, &keys::ALT_NAME, diags) else { continue };
        let Some(node) = fields.get("name") else { continue };
        if fields.get("state").and_then(|node| text(node, "state", diags)) == Some("absent") {
            let message = format!("no alternative name is removed: {}", node.text().unwrap_or_default());
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            continue;
        }
        let Some(name) = value::interface_name(node, "alt-names", diags) else { continue };
        if link.kind == Kind::Physical && link.naming == Naming::Keep {
            link.naming = Naming::Alternative(name);
        } else {
            let why = if link.kind == Kind::Physical {
                "one alternative name is added"
            } else {
                "made links get none"
            };
            let message = format!("{} is not added to \"{}\": {why}", name.value, link.id);
            diags.push(Diagnostic::new(Code::Unsupported, node.at, message).severity(Severity::Warning));
        }
    }
}

/// The address to set on the link, unless its NIC is matched by it.
fn mac_address(link: &mut Link, fields: &Fields<'_>, reader: &mut Reader, diags: &mut Vec<Diagnostic>) {
    let mac = match link.select.mac {
        Some(mac) => Some(mac),
        None => fields.get("mac-address").and_then(|node| mac_to_set(node, "mac-address", diags)),
    };
    let Some(mac) = mac else { return };
    reader.macs.insert(link.id.clone(), mac.value);
    if link.select.mac.is_none() {
        link.mac = Some(Located::new(DesiredMac::Is(mac.value), mac.at));
    }
}
