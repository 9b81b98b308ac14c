//! What firmware recorded about the network that it booted from, iBFT and nBFT: lines such as
//! `ethernet0/ip-addr=192.0.2.10`, as `source` writes them. [`tree`] parses them into a tree of values, [`read`] reads
//! that.

use super::keys::Support::Applied;
use super::keys::{Fields, Object, key};
use super::tree::{Entry, Node, Value};
use super::value::{self, gateway, host_name, interface_address, mac_of_nic, name_servers};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{
    Desired, Dynamic, Family, Kind, Link, Located, Naming, Place, Route, attribute, attribute::OptionValue,
};

static NIC: Object = Object {
    name: "a NIC of the firmware's table",
    keys: &[
        key("flags", Applied, "bit 0: the entry is valid; bit 1: the machine booted by it"),
        key("mac", Applied, "which NIC to match"),
        key("vlan", Applied, "the addresses are those of this VLAN; 0 is none"),
        key("ip-addr", Applied, "address"),
        key("subnet-mask", Applied, "its netmask (iBFT)"),
        key("prefix-len", Applied, "its prefix length"),
        key("origin", Applied, "3: the address came by DHCP (iBFT)"),
        key("dhcp", Applied, "the DHCP server: the address came from it, and a lease is asked for"),
        key("gateway", Applied, "default route through this address"),
        key("metric", Applied, "metric of the default route (nBFT)"),
        key("primary-dns", Applied, "name server of this link"),
        key("secondary-dns", Applied, "name server of this link"),
        key("hostname", Applied, "the machine's name"),
        key(
            "target",
            Applied,
            "where the root is: a lease of its family is asked for, if there is no address",
        ),
    ],
};

/// Every table, for the reference.
#[allow(dead_code)] // docs and tests walk it
pub(super) static OBJECTS: &[&Object] = &[&NIC];

/// How many lines are read; a table has a few dozen.
const MOST: usize = 4096;

/// Whether a line is from a table.
pub(super) fn is_line(line: &str) -> bool {
    parts(line).is_some()
}

/// `ethernet0`, `ip-addr` and the value.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (name, value) = line.split_once('=')?;
    let (nic, key) = name.split_once('/')?;
    let number = nic.strip_prefix("ethernet").or_else(|| nic.strip_prefix("hfi"))?;
    let is_number = !number.is_empty() && number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit());
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    (is_number && is_key).then_some((nic, key, value))
}

/// The lines as a mapping of NICs.
pub(super) fn tree(text: &str, file: u16, diags: &mut Vec<Diagnostic>) -> Option<Node> {
    let start = Place { file, line: 1, column: 1 };
    let mut nics: Vec<Entry> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = Place { file, line: (index + 1) as u32, column: 1 };
        if index >= MOST {
            diags.push(Diagnostic::new(Code::TooLarge, at, "more than 4,096 lines of a firmware's table"));
            return None;
        }
        let Some((nic, key, value)) = parts(line) else {
            if !line.trim().is_empty() && !line.starts_with('#') {
                let message = "not a line of a firmware's table, such as ethernet0/ip-addr=192.0.2.10";
                diags.push(Diagnostic::new(Code::Syntax, at, message));
            }
            continue;
        };
        let place = |before: usize| Place { column: before as u32 + 1, ..at };
        let value = Node::scalar(value, place(nic.len() + key.len() + 2));
        let entry = Entry { key: key.to_owned(), key_at: place(nic.len() + 1), value };
        match nics.iter_mut().find(|known| known.key == nic).map(|known| &mut known.value.value) {
            Some(Value::Map(entries)) => entries.push(entry),
            _ => {
                let value = Node { at, value: Value::Map(vec![entry]) };
                nics.push(Entry { key: nic.to_owned(), key_at: at, value });
            }
        }
    }
    Some(Node { at: start, value: Value::Map(nics) })
}

/// Reads the result of [`tree`].
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let mut desired = Desired::default();
    let Value::Map(nics) = &root.value else { return desired };
    for nic in nics {
        let Some(fields) = Fields::new(&nic.value, &NIC, diags) else { continue };
        if let Some(name) = fields.get("hostname").and_then(|node| host_name(node, "hostname", diags)) {
            desired.host_name.get_or_insert(name);
        }
        read_nic(&nic.key, &fields, &mut desired.links, diags);
    }
    desired
}

/// Whether a value is not the firmware's placeholder for none.
fn is_set(node: &&Node) -> bool {
    !matches!(node.text().map(str::trim), None | Some("" | "0.0.0.0" | "::" | "0"))
}

fn read_nic(name: &str, fields: &Fields<'_>, links: &mut Vec<Link>, diags: &mut Vec<Diagnostic>) {
    let get = |key: &str| fields.get(key).filter(is_set);
    if let Some(node) = fields.get("flags") {
        let flags = value::number(node, "flags", 0..=255, diags).map_or(0, |flags| flags.value);
        if flags & 3 != 3 {
            let message = format!("{name} is left alone: the machine did not boot by it (flags {flags})");
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            return;
        }
    }
    let Some(mac) = fields.get("mac").and_then(|node| mac_of_nic(node, "mac", diags).ok().flatten()) else {
        let message = format!("{name} has no MAC address, left out: nothing says which NIC to match");
        diags.push(Diagnostic::new(Code::MissingKey, fields.at, message));
        return;
    };
    let mut nic = Link::new(name, Kind::Physical, fields.at);
    nic.select.mac = Some(mac);
    let vlan = get("vlan").and_then(|node| value::number(node, "vlan", 1..=4094, diags));
    let Some(vlan) = vlan else {
        addresses(&mut nic, fields, diags);
        links.push(nic);
        return;
    };
    let mut link = Link::new(format!("{name}.{}", vlan.value), Kind::Vlan, vlan.at);
    link.naming = Naming::Generate;
    link.parent = Some(Located::new(name.to_owned(), vlan.at));
    if let Some(row) = attribute::of(Kind::Vlan, "id") {
        link.settings.set(row, OptionValue::Number(vlan.value as i64), vlan.at);
    }
    addresses(&mut link, fields, diags);
    links.push(nic);
    links.push(link);
}

fn addresses(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let get = |key: &str| fields.get(key).filter(is_set);
    let written = get("ip-addr");
    // Of a lease that it used without having written its address only the target tells the family.
    let told = written.or_else(|| get("target"));
    let is_v6 = told.and_then(Node::text).is_some_and(|text| text.contains(':'));
    let by_dhcp = get("dhcp").or_else(|| get("origin").filter(|node| node.text() == Some("3")));
    for key in ["primary-dns", "secondary-dns"] {
        if let Some(node) = get(key).filter(|_| by_dhcp.is_none()) {
            name_servers(node, key, &mut link.resolver, diags);
        }
    }
    if let Some(node) = by_dhcp {
        let dynamic = if is_v6 { Dynamic::Dhcp6 } else { Dynamic::Dhcp4 };
        link.dynamic.push(Located::new(dynamic, node.at));
        if is_v6 {
            link.dynamic.push(Located::new(Dynamic::RouterAdvertisements, node.at));
            link.ipv6.accept_ra = Some(Located::new(true, node.at));
        }
        let message = format!(
            "\"{}\" asks for {}, as the firmware did: a client of the image does, or netapply where none is enabled",
            link.id,
            dynamic.words()
        );
        diags.push(Diagnostic::new(Code::LeftToOthers, node.at, message));
        return;
    }
    // The kernel shows the netmask of an IPv6 address as zeroes.
    let mask = if is_v6 { get("prefix-len") } else { get("subnet-mask").or_else(|| get("prefix-len")) };
    link.addresses.extend(written.and_then(|node| interface_address(node, "ip-addr", mask, diags)));
    let metric = get("metric").and_then(|node| value::number(node, "metric", 0..=u64::from(u32::MAX), diags));
    if let Some(via) = get("gateway").and_then(|node| gateway(node, "gateway", diags)) {
        let to = Family::of(&via.value).everything();
        let metric = metric.map(|metric| metric.value as u32);
        link.routes.push(Route { metric, ..Route::new(to, Some(via.value), via.at) });
    }
}

#[cfg(test)]
mod tests {
    use crate::format::parse;

    #[test]
    fn every_line_is_a_fact_or_reported() {
        let parsed =
            parse(vec![("t".into(), "ethernet0/mac=52:54:00:00:00:01\nwhat\nethernet0/tga=1\n".into())]);
        let codes: Vec<String> =
            parsed.diagnostics.iter().map(|d| format!("{} {}", d.code, d.at.line)).collect();
        assert_eq!(codes, ["syntax 2", "unknown-key 3"]);
        assert_eq!(parsed.format, "firmware table");
        assert_eq!(parsed.desired.links.len(), 1);
    }
}
