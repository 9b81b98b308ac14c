//! A subnet of v1 or an `iface` stanza: how the link gets its addresses, and which.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::Fields;
use crate::format::tree::{Duplicate, Entry, Node, Value};
use crate::format::value::{
    AddressRules, bad, gateway, interface_address_by, ip, name_servers, number, search_domains, text,
};
use crate::model::{Dynamic, Family, Link, Located, Resolver, Route};

/// How a subnet or stanza is configured.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::format) enum Method {
    /// The addresses in the stanza.
    Static,
    /// Default routes without addresses of its own: a stanza without a method.
    Routes,
    /// Up, without addresses.
    Manual,
    /// Derived from the kind of the link: a 6to4 tunnel.
    OfKind,
    /// The loopback interface's own.
    Loopback,
    Dhcp4,
    Dhcp6,
    /// Addresses from router advertisements.
    Slaac,
}

impl Method {
    /// What is left to the image's clients.
    fn dynamic(self) -> &'static [Dynamic] {
        match self {
            Method::Static | Method::Routes | Method::Manual | Method::OfKind | Method::Loopback => &[],
            Method::Dhcp4 => &[Dynamic::Dhcp4],
            // DHCPv6 gives no routes: they come with router advertisements.
            Method::Dhcp6 => &[Dynamic::Dhcp6, Dynamic::RouterAdvertisements],
            Method::Slaac => &[Dynamic::RouterAdvertisements],
        }
    }
}

/// The value of a key, spelled with `_` as in v1 or with `-` as in interfaces text.
pub(in crate::format) fn either<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a Node> {
    fields.get(name).or_else(|| fields.get(&name.replace('_', "-")))
}

/// Options that require an address.
const STATIC_ONLY: &[&str] = &[
    "address",
    "ip_address",
    "netmask",
    "prefix",
    "broadcast",
    "pointopoint",
    "gateway",
    "preferred_lifetime",
];

/// Reads the common part of a subnet or stanza. `family` is that of a stanza; a subnet accepts either.
pub(in crate::format) fn subnet(
    fields: &Fields,
    method: Located<Method>,
    family: Option<Family>,
    link: &mut Link,
    diags: &mut Vec<Diagnostic>,
) {
    for dynamic in method.value.dynamic() {
        if !link.dynamic.iter().any(|d| d.value == *dynamic) {
            link.dynamic.push(Located::new(*dynamic, method.at));
        }
        if *dynamic == Dynamic::RouterAdvertisements && link.ipv6.accept_ra.is_none() {
            link.ipv6.accept_ra = Some(Located::new(true, method.at));
        }
    }
    if method.value == Method::Static {
        addresses(fields, family, link, diags);
    }
    if matches!(method.value, Method::Static | Method::Routes) {
        default_routes(fields, link, diags);
    } else if method.value != Method::OfKind {
        for name in STATIC_ONLY {
            if let Some(node) = either(fields, name) {
                let message = format!("\"{name}\" has no effect here: the addresses are not static");
                diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            }
        }
        let of_lease = method.value == Method::Dhcp4;
        if let Some(node) = either(fields, "metric").filter(|_| of_lease) {
            link.dhcp4.metric = metric(node, diags);
        } else if let Some(node) = either(fields, "metric") {
            let (code, message) = match method.value.dynamic() {
                [] => (Code::NoEffect, "\"metric\" has no effect here: there is no gateway"),
                _ => (Code::LeftToOthers, "\"metric\" is left to the image: it is that of a client's routes"),
            };
            diags.push(Diagnostic::new(code, node.at, message));
        }
    }
    name_service(fields, &mut link.resolver, diags);
}

/// Name servers and search domains, under each of their names.
pub(in crate::format) fn name_service(fields: &Fields, resolver: &mut Resolver, diags: &mut Vec<Diagnostic>) {
    for entry in fields.entries() {
        let key = entry.key.as_str();
        match key.replace('-', "_").as_str() {
            "dns_nameservers" | "dns_nameserver" => name_servers(&entry.value, key, resolver, diags),
            "dns_search" | "dns_domain" => search_domains(&entry.value, key, resolver, diags),
            _ => {}
        }
    }
}

/// Options that ifupdown-ng and ifupdown2 allow once for each `address` of a stanza. If there are as many as addresses
/// they belong to them in order (ifupdown2), a single one to every address, and others to the address above them
/// (ifupdown-ng).
fn beside<'a>(
    entries: &'a [Entry],
    keys: &[&str],
    count: usize,
    diags: &mut Vec<Diagnostic>,
) -> Vec<Option<&'a Node>> {
    let is_there = |e: &&Entry| !matches!(e.value.value, Value::Null);
    let options = || entries.iter().filter(|e| keys.contains(&e.key.as_str())).filter(is_there);
    let number = options().count();
    if number <= 1 {
        return vec![options().next().map(|e| &e.value); count];
    }
    if number == count {
        return options().map(|e| Some(&e.value)).collect();
    }
    let mut of_each: Vec<Option<&Entry>> = vec![None; count];
    let mut addresses = 0_usize;
    for entry in entries.iter().filter(is_there) {
        if is_address(&entry.key) {
            addresses += 1;
        } else if keys.contains(&entry.key.as_str()) {
            let Some(of) = of_each.get_mut(addresses.saturating_sub(1)) else { continue };
            if let Some(first) = of.replace(entry) {
                diags.push(duplicate(entry, first).last_is_used());
            }
        }
    }
    of_each.into_iter().map(|entry| entry.map(|e| &e.value)).collect()
}

fn is_address(key: &str) -> bool {
    matches!(key, "address" | "ip_address")
}

fn duplicate(entry: &Entry, first: &Entry) -> Duplicate {
    Duplicate { key: entry.key.clone(), at: entry.key_at, first: first.key_at }
}

/// The addresses: ifupdown-ng and ifupdown2 allow several `address` lines in one stanza.
fn addresses(fields: &Fields, family: Option<Family>, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let entries = fields.entries();
    let nodes: Vec<&Node> = entries
        .iter()
        .filter(|e| is_address(&e.key) && !matches!(e.value.value, Value::Null))
        .map(|e| &e.value)
        .collect();
    if nodes.is_empty() {
        let message = "a static configuration without an address";
        diags.push(
            Diagnostic::new(Code::MissingKey, fields.at, message)
                .hint("add \"address\", or make it manual where the link is to have none"),
        );
    }
    let mut of_each = |keys: &[&str]| beside(entries, keys, nodes.len(), diags).into_iter();
    let options = of_each(&["netmask", "prefix"])
        .zip(of_each(&["pointopoint", "dstaddr", "point-to-point"]))
        .zip(of_each(&["broadcast"]))
        .zip(of_each(&["preferred-lifetime", "preferred_lifetime"]));
    let options: Vec<_> = options.collect();
    for (node, (((netmask, peer), broadcast_node), lifetime_node)) in nodes.into_iter().zip(options) {
        let peer = peer.and_then(|n| ip(n, "pointopoint", diags));
        // A point-to-point address without a mask is a single host's.
        let host = Node::scalar("32", fields.at);
        let mask = netmask.or_else(|| peer.filter(|p| p.value.is_ipv4() && !has_prefix(node)).map(|_| &host));
        // ifupdown uses the netmask if both are given.
        let rules = AddressRules { netmask_first: family.is_some(), ..AddressRules::USUAL };
        let address = interface_address_by(rules, node, "address", mask, diags);
        let Some(mut address) = address else { continue };
        if family.is_some_and(|f| f != Family::of(&address.net.addr())) {
            let why =
                "an address of the other family than the stanza's: ifupdown2 takes it, ifupdown refuses it";
            diags.push(bad(Code::BadAddress, node, "address", why).severity(Severity::Warning));
        }
        if let Some(peer) = peer.filter(|p| Family::of(&p.value) == Family::of(&address.net.addr())) {
            address.peer = IpNet::new(peer.value, address.net.prefix_len()).ok();
        }
        let broadcast = broadcast_node.and_then(|n| broadcast(n, diags));
        address.broadcast = match (broadcast, address.net) {
            (Some(Broadcast::Is(ip)), IpNet::V4(_)) => Some(ip),
            (Some(Broadcast::Zeroes), IpNet::V4(net)) if net.prefix_len() < 31 => Some(net.network()),
            _ => None,
        };
        address.preferred = lifetime_node.and_then(|n| lifetime(n, diags));
        link.addresses.push(address);
    }
}

fn has_prefix(node: &Node) -> bool {
    node.text().is_some_and(|text| text.contains('/'))
}

/// A value of `broadcast`.
#[derive(Copy, Clone)]
enum Broadcast {
    Is(Ipv4Addr),
    /// `-`: the address with all host bits zero.
    Zeroes,
}

/// `+` is the broadcast address of the prefix, which is the default.
fn broadcast(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Broadcast> {
    let text = text(node, "broadcast", diags).filter(|text| *text != "+")?;
    if text == "-" {
        return Some(Broadcast::Zeroes);
    }
    match text.parse() {
        Ok(ip) => Some(Broadcast::Is(ip)),
        Err(_) => {
            diags.push(bad(Code::BadAddress, node, "broadcast", "not an IPv4 address"));
            None
        }
    }
}

/// 0 is a deprecated address, `forever` the default.
fn lifetime(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<u32> {
    match text(node, "preferred-lifetime", diags)? {
        "0" => Some(0),
        "forever" => None,
        _ => {
            let message = "preferred-lifetime: only 0 and forever are supported; using forever";
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            None
        }
    }
}

/// The default routes through `gateway`, one per family, with `metric`.
pub(in crate::format) fn default_routes(fields: &Fields, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let written: Vec<&Entry> = fields.entries().iter().filter(|e| e.key == "gateway").collect();
    // A key that occurs twice in a mapping has been reported, and its last value is used.
    let from = if fields.repeats { 0 } else { written.len().saturating_sub(1) };
    let mut of_family: BTreeMap<Family, (&Entry, Located<IpAddr>)> = BTreeMap::new();
    for entry in written.iter().skip(from).copied() {
        let Some(via) = gateway(&entry.value, "gateway", diags) else { continue };
        if let Some((first, _)) = of_family.insert(Family::of(&via.value), (entry, via)) {
            diags.push(duplicate(entry, first).last_is_used());
        }
    }
    let of_routes = either(fields, "metric");
    if let (Some(node), true) = (of_routes, written.is_empty()) {
        diags.push(metric_alone(node, "metric"));
    }
    let metric = of_routes.and_then(|n| metric(n, diags));
    for (family, (_, via)) in of_family {
        link.routes.push(Route { metric, ..Route::new(family.everything(), Some(via.value), via.at) });
    }
}

/// The diagnostic for a metric of no route.
pub(in crate::format) fn metric_alone(node: &Node, key: &str) -> Diagnostic {
    let message = format!("\"{key}\" has no effect: there is no gateway");
    Diagnostic::new(Code::OptionIgnored, node.at, message)
}

/// A metric; 0 is the kernel's default.
pub(in crate::format) fn metric(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<u32> {
    let metric = number(node, "metric", 0..=u64::from(u32::MAX), diags)?;
    u32::try_from(metric.value).ok().filter(|metric| *metric != 0)
}
