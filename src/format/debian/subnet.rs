//! A subnet of v1 or an `iface` stanza: how the link gets its addresses, and which.

use std::net::Ipv4Addr;

use ipnet::IpNet;

use crate::diagnostic::{Code, Diagnostic};
use crate::format::keys::Fields;
use crate::format::tree::{Node, Value as NodeValue};
use crate::format::value::{
    AddressRules, bad, gateway, interface_address_by, ip, name_servers, number, search_domains, text,
};
use crate::model::{Dynamic, Family, Link, Located, Resolver, Route};

/// How a subnet or stanza is configured.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::format) enum Method {
    /// The addresses that are there.
    Static,
    /// Up, without addresses.
    Manual,
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
            Method::Static | Method::Manual | Method::Loopback => &[],
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

/// Options that only mean something beside an address.
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

/// Reads what the two formats share of a subnet or stanza. `family` is that of a stanza; a subnet takes either.
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
        default_route(fields, link, diags);
    } else {
        for name in STATIC_ONLY {
            if let Some(node) = either(fields, name) {
                let message = format!("\"{name}\" has no effect here: the addresses are not static");
                diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            }
        }
        if let Some(node) = either(fields, "metric") {
            let message = "\"metric\" is left to the image: it is that of a client's routes";
            diags.push(Diagnostic::new(Code::LeftToOthers, node.at, message));
        }
    }
    name_service(fields, &mut link.resolver, diags);
}

/// Name servers and search domains, under every name that they have.
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

/// The addresses: ifupdown-ng and ifupdown2 take several `address` lines in one stanza.
fn addresses(fields: &Fields, family: Option<Family>, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let keys = |key: &str| matches!(key, "address" | "ip_address");
    let nodes: Vec<&Node> = fields
        .entries()
        .iter()
        .filter(|e| keys(&e.key) && !matches!(e.value.value, NodeValue::Null))
        .map(|e| &e.value)
        .collect();
    if nodes.is_empty() {
        let message = "a static configuration without an address";
        diags.push(
            Diagnostic::new(Code::MissingKey, fields.at, message)
                .hint("add \"address\", or make it manual where the link is to have none"),
        );
    }
    let peer = fields.get("pointopoint").and_then(|n| ip(n, "pointopoint", diags));
    let broadcast = fields.get("broadcast").and_then(|n| broadcast(n, diags));
    let preferred = either(fields, "preferred_lifetime").and_then(|n| lifetime(n, diags));
    let host = Node::scalar("32", fields.at);
    let beside = fields.get("netmask").or_else(|| fields.get("prefix"));
    for node in nodes {
        // A point-to-point address without a mask is that of one host.
        let mask = beside.or_else(|| peer.filter(|p| p.value.is_ipv4() && !has_prefix(node)).map(|_| &host));
        // ifupdown goes by the netmask where both are there.
        let rules = AddressRules { netmask_first: family.is_some(), ..AddressRules::USUAL };
        let address = interface_address_by(rules, node, "address", mask, diags);
        let Some(mut address) = address else { continue };
        if family.is_some_and(|f| f != Family::of(&address.net.addr())) {
            let why = "an address of the other family than the stanza's";
            diags.push(bad(Code::BadAddress, node, "address", why));
            continue;
        }
        if let Some(peer) = peer.filter(|p| Family::of(&p.value) == Family::of(&address.net.addr())) {
            address.peer = IpNet::new(peer.value, address.net.prefix_len()).ok();
        }
        address.broadcast = match (broadcast, address.net) {
            (Some(Broadcast::Is(ip)), IpNet::V4(_)) => Some(ip),
            (Some(Broadcast::Zeroes), IpNet::V4(net)) if net.prefix_len() < 31 => Some(net.network()),
            _ => None,
        };
        address.preferred = preferred;
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
    /// `-`: the address of which the host's bits are zeroes.
    Zeroes,
}

/// `+` is the address that follows from the prefix, which the kernel gets anyway.
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

/// 0 is a deprecated address, `forever` what every address is otherwise.
fn lifetime(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<u32> {
    match text(node, "preferred-lifetime", diags)? {
        "0" => Some(0),
        "forever" => None,
        _ => {
            let message = "preferred-lifetime: only 0 and forever are kept, the address was taken as lasting";
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            None
        }
    }
}

/// The default route through `gateway`, with `metric`.
pub(in crate::format) fn default_route(fields: &Fields, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let metric = either(fields, "metric").and_then(|n| metric(n, diags));
    let Some(via) = fields.get("gateway").and_then(|n| gateway(n, "gateway", diags)) else { return };
    let to = Family::of(&via.value).everything();
    link.routes.push(Route { metric, ..Route::new(to, Some(via.value), via.at) });
}

/// A metric; 0 is the kernel's own choice.
pub(in crate::format) fn metric(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<u32> {
    let metric = number(node, "metric", 0..=u64::from(u32::MAX), diags)?;
    u32::try_from(metric.value).ok().filter(|metric| *metric != 0)
}
