//! What only some kinds of links have.

use std::net::IpAddr;

use super::{Port, Reader, below, bridge, items, keys, members, number, only, text};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::{Fields, Object};
use crate::format::tree::{Node, Value as Tree};
use crate::format::value::{
    self, Mode, bad, bond_option, boolean, ends, feature, hop_limits, one_of, set, set_option, try_ip,
};
use crate::model::attribute::{self, NIC, OptionValue};
use crate::model::{Family, Kind, Link, Located};

/// Modes of tunnels that nmstate has.
pub(crate) const MODES: &[&str] = &["ipip", "sit", "ip6ip6", "ipip6"];

/// Reads the mapping `own` of a link. `None` if the link cannot be created.
pub(super) fn read(
    link: &mut Link,
    own: &'static str,
    fields: &Fields<'_>,
    reader: &mut Reader,
    diags: &mut Vec<Diagnostic>,
) -> Option<()> {
    let mut mapping = |object: &'static Object| below(fields, own, object, diags);
    match link.kind {
        Kind::Bond => {
            if let Some(own) = mapping(&keys::BOND) {
                bond(link, &own, reader, diags);
            }
        }
        Kind::Bridge => {
            if let Some(own) = mapping(&keys::BRIDGE) {
                bridge::read(link, &own, reader, diags);
            }
        }
        Kind::Vlan => {
            let own = mapping(&keys::VLAN);
            vlan(link, own, diags)?;
        }
        Kind::Vrf => {
            let own = mapping(&keys::VRF);
            vrf(link, own, diags)?;
        }
        Kind::Vxlan => {
            let own = mapping(&keys::VXLAN);
            vxlan(link, own, diags)?;
        }
        Kind::Veth => {
            let own = mapping(&keys::VETH);
            let node = own.as_ref().and_then(|own| own.get("peer"));
            let Some(node) = node else { return missing(link, "veth.peer", diags) };
            link.peer = text(node, "peer", diags).map(|id| Located::new(id.to_owned(), node.at));
            ethernet(link, fields, diags);
        }
        Kind::Macvlan => {
            let own = mapping(&keys::MACVLAN);
            macvlan(link, own, diags)?;
        }
        Kind::Physical if own == "infiniband" => {
            if let Some(own) = mapping(&keys::INFINIBAND) {
                infiniband(link, &own, diags)?;
            }
        }
        Kind::Physical => ethernet(link, fields, diags),
        Kind::Dummy => {}
        _ => {
            let own = mapping(&keys::TUNNEL);
            tunnel(link, own, diags)?;
        }
    }
    Some(())
}

fn missing(link: &Link, key: &str, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let message = format!("{} \"{}\" has no usable {key}", link.kind.noun(), link.id);
    diags.push(Diagnostic::new(Code::MissingKey, link.at, message).hint(format!("add {key}")));
    None
}

fn bond(link: &mut Link, fields: &Fields<'_>, reader: &mut Reader, diags: &mut Vec<Diagnostic>) {
    members(link, fields, diags);
    let mode = attribute::of(Kind::Bond, "mode");
    if let (Some(row), Some(node)) = (mode, fields.get("mode")) {
        set_option(&mut link.settings, row, node, "mode", diags);
    }
    if let Some(options) = below(fields, "options", &keys::BOND_OPTIONS, diags) {
        for entry in options.entries() {
            let Some(row) = bond_option(&entry.key) else { continue };
            match (row.name, entry.value.text()) {
                ("all_slaves_active", Some(word @ ("dropped" | "delivered"))) => {
                    link.settings.set(row, OptionValue::Bool(word == "delivered"), entry.value.at);
                }
                _ => set_option(&mut link.settings, row, &entry.value, &entry.key, diags),
            }
        }
    }
    for item in items(fields.get("ports-config"), "ports-config", diags) {
        let Some(port) = Fields::new(item, &keys::BOND_PORT, diags) else { continue };
        let Some(node) = port.get("name") else { continue };
        let Some(name) = text(node, "name", diags) else { continue };
        link.members.push(Located::new(name.to_owned(), node.at));
        let mut settings = crate::model::Settings::default();
        for (key, option) in BOND_PORT {
            let Some(node) = port.get(key) else { continue };
            if let Some(row) = attribute::find(Kind::Bond.port_attributes(), option) {
                set_option(&mut settings, row, node, key, diags);
                let of_port = reader.ports.entry(name.to_owned()).or_default();
                of_port.extend(settings.0.remove(row.name).map(|value| Port::Setting(row, value)));
            }
        }
    }
}

/// Keys of a bond's ports, and their options.
pub(crate) const BOND_PORT: &[(&str, &str)] = &[("priority", "prio"), ("queue-id", "queue_id")];

fn parent(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let node = fields.get("base-iface");
    link.parent =
        node.and_then(|node| Some(Located::new(text(node, "base-iface", diags)?.to_owned(), node.at)));
}

fn vlan(link: &mut Link, own: Option<Fields<'_>>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let Some(fields) = own else { return missing(link, "vlan", diags) };
    parent(link, &fields, diags);
    if link.parent.is_none() {
        return missing(link, "vlan.base-iface", diags);
    }
    let Some(node) = fields.get("id") else { return missing(link, "vlan.id", diags) };
    let id = number(node, "id", 4094, diags)?;
    set(link, "id", OptionValue::Number(id.value as i64), id.at);
    if let (Some(row), Some(node)) = (attribute::of(Kind::Vlan, "protocol"), fields.get("protocol")) {
        set_option(&mut link.settings, row, node, "protocol", diags);
    }
    let usual = "only the kernel's default is set up";
    only(&fields, "registration-protocol", |word| word == "none", usual, diags);
    only(&fields, "reorder-headers", |word| attribute::boolean(word) == Some(true), usual, diags);
    only(&fields, "loose-binding", |word| attribute::boolean(word) == Some(false), usual, diags);
    Some(())
}

fn vrf(link: &mut Link, own: Option<Fields<'_>>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let Some(fields) = own else { return missing(link, "vrf", diags) };
    members(link, &fields, diags);
    let Some(node) = fields.get("route-table-id") else { return missing(link, "vrf.route-table-id", diags) };
    let table = value::number(node, "route-table-id", 1..=u64::from(u32::MAX), diags)?;
    set(link, "table", OptionValue::Number(table.value as i64), table.at);
    Some(())
}

fn vxlan(link: &mut Link, own: Option<Fields<'_>>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let Some(fields) = own else { return missing(link, "vxlan", diags) };
    parent(link, &fields, diags);
    let Some(node) = fields.get("id") else { return missing(link, "vxlan.id", diags) };
    let id = number(node, "id", 0xff_ffff, diags)?;
    set(link, "id", OptionValue::Number(id.value as i64), id.at);
    let mut seen: Option<Located<IpAddr>> = None;
    for (key, four, six) in [("local", "local", "local6"), ("remote", "remote", "remote6")] {
        let Some(ip) = end(&fields, key, diags)? else { continue };
        if let Some(other) = seen.filter(|other| Family::of(&other.value) != Family::of(&ip.value)) {
            let message = format!("local {} and remote {} are of two families", other.value, ip.value);
            diags.push(Diagnostic::new(Code::MixedFamilies, ip.at, message).hint("use one family for both"));
            return None;
        }
        seen = Some(ip);
        set(link, if ip.value.is_ipv4() { four } else { six }, OptionValue::Ip(ip.value), ip.at);
    }
    for (key, option) in VXLAN {
        let Some(node) = fields.get(key) else { continue };
        if let Some(row) = attribute::of(Kind::Vxlan, option) {
            set_option(&mut link.settings, row, node, key, diags);
        }
    }
    Some(())
}

/// Keys of VXLANs with one option each.
pub(crate) const VXLAN: &[(&str, &str)] = &[("learning", "learning"), ("destination-port", "dstport")];

/// An address of a tunnel's end; an error if it cannot be read, because it would be another tunnel without it.
fn end(fields: &Fields<'_>, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Option<Located<IpAddr>>> {
    match fields.get(key) {
        Some(node) => try_ip(node, key, diags).ok(),
        None => Some(None),
    }
}

fn macvlan(link: &mut Link, own: Option<Fields<'_>>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let Some(fields) = own else { return missing(link, "mac-vlan", diags) };
    parent(link, &fields, diags);
    if link.parent.is_none() {
        return missing(link, "mac-vlan.base-iface", diags);
    }
    if let (Some(row), Some(node)) = (attribute::of(Kind::Macvlan, "mode"), fields.get("mode")) {
        set_option(&mut link.settings, row, node, "mode", diags);
    }
    for key in ["promiscuous", "accept-all-mac"] {
        only(
            &fields,
            key,
            |word| attribute::boolean(word) == Some(true),
            "the kernel's default stays",
            diags,
        );
    }
    Some(())
}

/// A partition is a link of its own.
fn infiniband(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    if let (Some(row), Some(node)) = (attribute::of(Kind::Physical, "mode"), fields.get("mode")) {
        set_option(&mut link.settings, row, node, "mode", diags);
    }
    let is_default = |word: &str| matches!(word, "0xffff" | "65535");
    only(fields, "pkey", is_default, "partitions (P_Key) are not made", diags);
    let pkey = fields.get("pkey").is_some_and(|node| node.text().is_none_or(|text| !is_default(text)));
    (!pkey && fields.get("base-iface").is_none()).then_some(())
}

/// The kind of link of a tunnel's mode.
pub(super) fn tunnel_kind(id: &str, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<Kind> {
    let node = fields.get("ip-tunnel").and_then(|own| own.get("mode"));
    let Some(node) = node else {
        let message = format!("tunnel \"{id}\" has no mode");
        let hint = format!("add ip-tunnel.mode: one of {}", MODES.join(", "));
        diags.push(Diagnostic::new(Code::MissingKey, fields.at, message).hint(hint));
        return None;
    };
    let word = text(node, "mode", diags)?;
    let found = Mode::of(word).filter(|_| MODES.contains(&word));
    if found.is_none() {
        diags.push(one_of(node, "mode", MODES.iter().copied()));
    }
    found.map(|mode| mode.kind)
}

fn tunnel(link: &mut Link, own: Option<Fields<'_>>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let Some(fields) = own else { return missing(link, "ip-tunnel", diags) };
    let mode = fields.get("mode").and_then(Node::text).and_then(Mode::of)?;
    let (local, remote) = (end(&fields, "local", diags)?, end(&fields, "remote", diags)?);
    mode.set(link);
    ends(link, local, remote, mode.family?, diags)?;
    let ttl = fields.get("ttl").and_then(|node| value::number(node, "ttl", 0..=255, diags));
    hop_limits(link, ttl.filter(|ttl| ttl.value > 0));
    if let Some(node) = fields.get("encap-limit") {
        match attribute::of(link.kind, "encaplimit") {
            Some(row) => set_option(&mut link.settings, row, node, "encap-limit", diags),
            None => {
                let message = format!("encap-limit has no effect on {} \"{}\"", link.kind.noun(), link.id);
                diags.push(Diagnostic::new(Code::OptionIgnored, node.at, message));
            }
        }
    }
    let usual = "the kernel's default stays";
    only(&fields, "pmtu-disc", |word| attribute::boolean(word) == Some(true), usual, diags);
    if let Some(node) = fields.get("base-iface") {
        parent(link, &fields, diags);
        // The tunnel works without it: its packets take the route to the remote end.
        if link.parent.take().is_some() {
            let why = "the outer packets take the route to the other end";
            diags.push(bad(Code::Unsupported, node, "base-iface", why).severity(Severity::Warning));
        }
    }
    Some(())
}

fn ethernet(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let Some(own) = below(fields, "ethernet", &keys::ETHERNET, diags) else { return };
    for (key, name) in [("auto-negotiation", "autoneg"), ("speed", "speed"), ("duplex", "duplex")] {
        if let (Some(node), Some(row)) = (own.get(key), attribute::parameter(name)) {
            set_option(&mut link.tuning, row, node, key, diags);
        }
    }
}

/// Offloads, ring sizes, interrupt coalescing and flow control.
pub(super) fn ethtool(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let Some(own) = below(fields, "ethtool", &keys::ETHTOOL, diags) else { return };
    let groups = [("ring", &keys::RING), ("coalesce", &keys::COALESCE), ("pause", &keys::PAUSE)];
    for (group, object) in groups {
        let Some(fields) = below(&own, group, object, diags) else { continue };
        for row in NIC.iter().flat_map(|group| group.rows) {
            let key = row.name.strip_prefix(group).and_then(|rest| rest.strip_prefix('-'));
            if let Some((key, node)) = key.and_then(|key| Some((key, fields.get(key)?))) {
                set_option(&mut link.tuning, row, node, key, diags);
            }
        }
    }
    let Some(node) = own.get("feature") else { return };
    let Tree::Map(entries) = &node.value else {
        let message =
            format!("feature should be a mapping of features to true or false, not {}", node.noun());
        return diags.push(Diagnostic::new(Code::WrongShape, node.at, message));
    };
    for entry in entries {
        let Some(on) = boolean(&entry.value, &entry.key, diags) else { continue };
        match feature(&entry.key) {
            Some(feature) => {
                link.features.insert(feature, on);
            }
            None => {
                let message = format!("unknown feature \"{}\", ignored", entry.key);
                let near = crate::diagnostic::nearest(&entry.key, value::features());
                let unknown = Diagnostic::new(Code::UnknownKey, entry.key_at, message);
                diags.push(match near {
                    Some(near) => unknown.hint(format!("did you mean \"{near}\"?")),
                    None => unknown,
                });
            }
        }
    }
}
