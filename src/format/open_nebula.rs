//! OpenNebula context.sh (`ETH0_IP=…`): [`tree`] parses it into a tree of values, [`read`] reads that. Nothing is
//! executed.
//!
//! Proxmox VE writes the file, too, with variables of its own and an empty `ETHn_MAC`. Variables unrelated to
//! networking are ignored with one note that names them: some hold passwords.

mod assignments;
mod table;

use std::collections::BTreeMap;

use super::debian::{Draft, metric, metric_alone, nic};
use super::keys::{Fields, report};
use super::tree::{Entry, MAX_ITEMS, Node, Value};
use super::value::{self, bad, gateway, interface_address, mac, mtu, name_servers, search_domains, text};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::{
    AddressGeneration, Desired, Dynamic, Family, Kind, Link, Located, Place, Resolver, Route,
    attribute::boolean,
};
pub(super) use assignments::tree;
#[allow(unused_imports)] // docs and tests walk it
pub(super) use table::OBJECTS;
use table::{ALIAS, NIC};

/// Variables by the number after `ETH` or `ALIAS`, without that prefix.
type Numbered = BTreeMap<u32, Vec<Entry>>;

/// Reads the result of [`tree`].
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let Value::Map(variables) = &root.value else { return Desired::default() };
    duplicates(variables, diags);
    let mut draft = Draft::default();
    let (mut nics, mut passed) = (Numbered::new(), Numbered::new());
    let mut others: Vec<&str> = Vec::new();
    for entry in variables {
        let known = table::TOP.keys.iter().any(|key| key.name == entry.key);
        if known {
            diags.extend(report(&table::TOP, &entry.key, entry.key_at));
        } else if !sort_in(&mut nics, "ETH", entry) && !sort_in(&mut passed, "PCI", entry) {
            others.push(&entry.key);
        }
    }
    for (number, entries) in nics {
        let at = entries.first().map_or(root.at, |e| e.key_at);
        if let Some(method) = skipped(&entries) {
            let message = format!("ETH{number} is left alone: its METHOD is skip");
            diags.push(Diagnostic::new(Code::NoEffect, method, message));
            continue;
        }
        draft.add(link(nic(&format!("eth{number}"), at), Node { at, value: Value::Map(entries) }, diags));
    }
    // NICs passed through from the host: only their MAC address identifies them.
    for (number, entries) in passed.into_iter().filter(|(_, entries)| !entries.is_empty()) {
        let at = entries.first().map_or(root.at, |e| e.key_at);
        let link = link(
            Link::new(format!("pci{number}"), Kind::Physical, at),
            Node { at, value: Value::Map(entries) },
            diags,
        );
        if link.select.mac.is_some() {
            draft.add(link);
            continue;
        }
        let message = format!("PCI{number} has no MAC address, left out: nothing says which NIC to match");
        diags.push(Diagnostic::new(Code::MissingKey, at, message).hint(format!("add PCI{number}_MAC")));
    }
    let resolver = &mut draft.desired.resolver;
    name_service(root, resolver, diags);
    if let Some(node) = root.get("ROUTES") {
        routes(node, diags).into_iter().for_each(|route| draft.route(route));
    }
    value::unrelated(&others, "variables", diags);
    draft.finish(false, diags)
}

/// The place of `METHOD=skip`, which leaves a NIC alone unless `IP6_METHOD` configures it.
fn skipped(entries: &[Entry]) -> Option<Place> {
    let is_skip =
        |entry: &&Entry| entry.value.text().is_some_and(|word| word.trim().eq_ignore_ascii_case("skip"));
    let last = |key: &str| entries.iter().rev().find(|entry| entry.key == key);
    let method = last("METHOD").filter(is_skip)?;
    last("IP6_METHOD").is_none_or(|entry| is_skip(&entry)).then_some(method.value.at)
}

/// The shell uses the last of two; two with the same value are how Proxmox VE writes `ETH1_MTU`.
fn duplicates(variables: &[Entry], diags: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in variables.iter().filter(|e| e.key.starts_with("ETH")) {
        if let Some(first) = seen.insert(&entry.key, entry).filter(|f| f.value.text() != entry.value.text()) {
            let message = format!(
                "{} is set twice (first on line {}); the last value is used",
                entry.key, first.key_at.line
            );
            diags.push(
                Diagnostic::new(Code::DuplicateKey, entry.key_at, message)
                    .severity(Severity::Warning)
                    .hint("remove one of the two"),
            );
        }
    }
}

/// Adds `ETH0_IP` as `IP` of number 0. False for any other name.
fn sort_in(numbered: &mut Numbered, prefix: &str, entry: &Entry) -> bool {
    let rest = entry.key.strip_prefix(prefix).and_then(|rest| rest.split_once('_'));
    let Some((number, name)) = rest.and_then(|(n, name)| Some((n.parse().ok()?, name))) else { return false };
    let entries = numbered.entry(number).or_default();
    // OpenNebula writes every variable that it knows, and most are empty.
    if !is_empty(&entry.value) {
        entries.push(Entry { key: name.to_owned(), ..entry.clone() });
    }
    true
}

/// `link`, with the settings of its variables.
fn link(mut link: Link, node: Node, diags: &mut Vec<Diagnostic>) -> Link {
    let mut aliases = Numbered::new();
    let Value::Map(entries) = &node.value else { return link };
    let is_alias =
        |key: &str| key.strip_prefix("ALIAS").is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    for entry in entries {
        sort_in(&mut aliases, "ALIAS", entry);
    }
    let Some(fields) = Fields::with_others(&node, &NIC, is_alias, diags) else { return link };
    if let Some(mac) = fields.get("MAC").and_then(|n| mac(n, "MAC", diags)) {
        link = Link::new(link.id, Kind::Physical, node.at);
        link.select.mac = Some(mac);
    }
    link.mtu = fields.get("MTU").and_then(|n| mtu(n, "MTU", diags));
    let mut priority = |key| fields.get(key).filter(|n| !is_empty(n)).and_then(|n| metric(n, diags));
    let (of_v4, of_v6) = (priority("METRIC"), priority("IP6_METRIC"));
    v4(&fields, of_v4, &mut link, diags);
    v6(&fields, of_v6.or(of_v4), &mut link, diags);
    let has_route = |family: Option<Family>| {
        let mut gateways = link.routes.iter().filter(|route| route.is_default());
        gateways.any(|route| family.is_none_or(|family| route.family() == family))
    };
    for (key, family) in [("METRIC", None), ("IP6_METRIC", Some(Family::V6))] {
        let is_used = has_route(family) || (family.is_none() && link.asks(Dynamic::Dhcp4));
        let unused = fields.get(key).filter(|node| !is_empty(node) && !is_used);
        diags.extend(unused.map(|node| metric_alone(node, key)));
    }
    name_service(&node, &mut link.resolver, diags);
    if let Some(node) = fields.get("ROUTES") {
        link.routes.extend(routes(node, diags));
    }
    for entries in aliases.into_values() {
        let node = Node { at: entries.first().map_or(node.at, |e| e.key_at), value: Value::Map(entries) };
        alias(&node, &mut link, diags);
    }
    link
}

/// How one family is configured, in OpenNebula's words.
fn method<'a>(
    fields: &Fields<'a>,
    key: &str,
    words: &[&'static str],
    diags: &mut Vec<Diagnostic>,
) -> Option<Located<&'static str>> {
    let node: &'a Node = fields.get(key)?;
    let word = text(node, key, diags)?;
    let known = words.iter().find(|w| w.eq_ignore_ascii_case(word));
    if known.is_none() {
        diags.push(bad(Code::BadValue, node, key, &format!("expected one of {}", words.join(", "))));
    }
    known.map(|word| Located::new(*word, node.at))
}

/// `YES`, at the place of the variable.
fn yes(fields: &Fields, key: &str) -> Option<Place> {
    let node = fields.get(key)?;
    (boolean(node.text()?.trim()) == Some(true)).then_some(node.at)
}

fn v4(fields: &Fields, metric: Option<u32>, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let method = method(fields, "METHOD", &["static", "dhcp", "skip"], diags);
    let dhcp = yes(fields, "DHCP").or(method.filter(|m| m.value == "dhcp").map(|m| m.at));
    if let Some(at) = dhcp {
        link.dynamic.push(Located::new(Dynamic::Dhcp4, at));
        link.dhcp4.metric = metric;
    }
    if dhcp.is_some() || method.is_some_and(|m| m.value == "skip") {
        return not_static(fields, &["IP", "MASK", "GATEWAY"], diags);
    }
    if let Some(node) = fields.get("IP") {
        link.addresses.extend(interface_address(node, "IP", fields.get("MASK"), diags));
    }
    default_route(fields, &["GATEWAY"], metric, link, diags);
}

fn v6(fields: &Fields, metric: Option<u32>, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let words = &["static", "auto", "dhcp", "disable", "skip"];
    let method = method(fields, "IP6_METHOD", words, diags)
        .or_else(|| method(fields, "METHOD", words, &mut Vec::new()));
    let is = |word: &str| method.filter(|m| m.value == word).map(|m| m.at);
    let dhcp = yes(fields, "DHCP6").or(is("dhcp"));
    if let Some(at) = dhcp {
        link.dynamic.push(Located::new(Dynamic::Dhcp6, at));
    }
    if let Some(at) = dhcp.or(yes(fields, "AUTO6")).or(is("auto")) {
        link.dynamic.push(Located::new(Dynamic::RouterAdvertisements, at));
        link.ipv6.accept_ra = Some(Located::new(true, at));
        return not_static(fields, V6_STATIC, diags);
    }
    if let Some(at) = is("disable") {
        link.ipv6.accept_ra = Some(Located::new(false, at));
        link.ipv6.generation = Some(Located::new(AddressGeneration::None, at));
        return not_static(fields, V6_STATIC, diags);
    }
    if is("skip").is_some() {
        return not_static(fields, V6_STATIC, diags);
    }
    v6_addresses(fields, link, diags);
    default_route(fields, &["IP6_GATEWAY", "GATEWAY6"], metric, link, diags);
}

const V6_STATIC: &[&str] =
    &["IP6", "IPV6", "IP6_ULA", "IP6_PREFIX_LENGTH", "MASK6", "IP6_GATEWAY", "GATEWAY6"];

fn v6_addresses(fields: &Fields, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let mask = fields.get("IP6_PREFIX_LENGTH").or_else(|| fields.get("MASK6"));
    if let Some(node) = fields.get("IP6").or_else(|| fields.get("IPV6")) {
        link.addresses.extend(interface_address(node, "IP6", mask.filter(|m| !is_empty(m)), diags));
    }
    if let Some(node) = fields.get("IP6_ULA") {
        let length = Node::scalar("64", node.at);
        link.addresses.extend(interface_address(node, "IP6_ULA", Some(&length), diags));
    }
}

fn is_empty(node: &Node) -> bool {
    node.text().is_none_or(|text| text.trim().is_empty())
}

/// Reports variables that have no effect with the method.
fn not_static(fields: &Fields, keys: &[&str], diags: &mut Vec<Diagnostic>) {
    for key in keys {
        if let Some(node) = fields.get(key).filter(|n| !is_empty(n)) {
            let message = format!("{key} has no effect here: the addresses are not static");
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
        }
    }
}

/// Through the first of the variables that is present.
fn default_route(
    fields: &Fields,
    gateways: &[&str],
    metric: Option<u32>,
    link: &mut Link,
    diags: &mut Vec<Diagnostic>,
) {
    let via = gateways.iter().find_map(|key| fields.get(key).filter(|n| !is_empty(n)));
    let Some(via) = via.and_then(|n| gateway(n, "GATEWAY", diags)) else { return };
    let to = Family::of(&via.value).everything();
    link.routes.push(Route { metric, ..Route::new(to, Some(via.value), via.at) });
}

fn name_service(node: &Node, resolver: &mut Resolver, diags: &mut Vec<Diagnostic>) {
    if let Some(servers) = node.get("DNS") {
        name_servers(servers, "DNS", resolver, diags);
    }
    for key in ["SEARCH_DOMAIN", "DOMAIN"] {
        if let Some(domains) = node.get(key) {
            search_domains(domains, key, resolver, diags);
        }
    }
}

/// `10.0.0.0/8 via 192.0.2.1, 198.51.100.0/24 via 192.0.2.2`.
fn routes(node: &Node, diags: &mut Vec<Diagnostic>) -> Vec<Route> {
    let text = node.text().unwrap_or_default();
    let written = text.split(',').filter(|one| !one.trim().is_empty());
    if written.clone().nth(MAX_ITEMS).is_some() {
        diags.push(Diagnostic::new(Code::TooLarge, node.at, "ROUTES: more than 20,000 routes, left out"));
        return Vec::new();
    }
    let mut routes = Vec::new();
    for one in written {
        let words: Vec<&str> = one.split_whitespace().collect();
        let scalar = |word: &&str| Node::scalar(word, node.at);
        let is_mask = |word: &str| word.contains(['.', ':']);
        let (to, mask, via, metric) = match words.as_slice() {
            [to, "via", via] => (scalar(to), None, scalar(via), None),
            // With a mask, as in older contexts and other readers.
            [to, mask, via] if is_mask(mask) => (scalar(to), Some(scalar(mask)), scalar(via), None),
            [to, mask, via, metric] if is_mask(mask) => {
                (scalar(to), Some(scalar(mask)), scalar(via), Some(scalar(metric)))
            }
            _ => {
                let message = format!("ROUTES \"{}\": not a route", words.join(" "));
                let hint = "write it as \"10.0.0.0/8 via 192.0.2.1\"";
                diags.push(Diagnostic::new(Code::BadValue, node.at, message).hint(hint));
                continue;
            }
        };
        let to = Located::new(&to, node.at);
        let metric = metric.and_then(|node| value::number(&node, "ROUTES", 0..=u64::from(u32::MAX), diags));
        let route = value::route(to, "ROUTES", mask.as_ref(), Some(&via), diags);
        routes.extend(route.map(|route| Route { metric: metric.map(|m| m.value as u32), ..route }));
    }
    routes
}

/// Addresses of an alias, unless the cloud keeps them outside the machine.
fn alias(node: &Node, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let Some(fields) = Fields::new(node, &ALIAS, diags) else { return };
    if yes(&fields, "EXTERNAL").is_some() || fields.get("DETACH").is_some_and(|n| !is_empty(n)) {
        return;
    }
    if let Some(node) = fields.get("IP") {
        link.addresses.extend(interface_address(node, "IP", fields.get("MASK"), diags));
    }
    v6_addresses(&fields, link, diags);
}
