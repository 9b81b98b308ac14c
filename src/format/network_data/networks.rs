//! `networks`: addresses, routes and name servers of the links, and what is left to DHCP or router advertisements.

use std::net::IpAddr;

use foldhash::{HashMap, HashSet};

use super::{keys, resolver, services};
use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::format::check::references::ReferenceResolver;
use crate::format::debian::metric_alone;
use crate::format::keys::Fields;
use crate::format::tree::Node;
use crate::format::value::{bad, gateway, interface_address, ip, items, number, route, text};
use crate::model::{Desired, Dynamic, Family, Link, Located, Place, Route};

use Dynamic::{Dhcp4, Dhcp6, RouterAdvertisements};

/// A network's type: its family, and the clients that it is left to. DHCPv6 provides no routes, so router
/// advertisements are needed as well.
struct Type {
    words: &'static [&'static str],
    family: Family,
    dynamic: &'static [Dynamic],
}

const TYPES: &[Type] = &[
    Type { words: &["ipv4", "static", "static4"], family: Family::V4, dynamic: &[] },
    Type { words: &["ipv6", "static6"], family: Family::V6, dynamic: &[] },
    Type { words: &["ipv4_dhcp", "dhcp4", "dhcp", "ipv4_dhcp4"], family: Family::V4, dynamic: &[Dhcp4] },
    Type {
        words: &["ipv6_dhcp", "dhcp6", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6_stateful", "ipv6_dhcp6"],
        family: Family::V6,
        dynamic: &[Dhcp6, RouterAdvertisements],
    },
    Type {
        words: &["ipv6_slaac", "slaac", "ipv6_dhcpv6-stateless", "ipv6_dhcpv6_stateless"],
        family: Family::V6,
        dynamic: &[RouterAdvertisements],
    },
];

/// Reads all networks into the links of `desired`. `lost` are the links that were left out.
pub(super) fn read(
    nodes: &[Node],
    desired: &mut Desired,
    lost: &HashSet<String>,
    diags: &mut Vec<Diagnostic>,
) {
    let mut links = ReferenceResolver::new(&desired.links, desired.closed);
    let only = only_link(desired);
    let mut index: HashMap<String, usize> =
        desired.links.iter().enumerate().rev().map(|(i, link)| (link.id.clone(), i)).collect();
    for node in nodes {
        let Some(fields) = Fields::new(node, &keys::NETWORK, diags) else { continue };
        let network = Network::new(fields, diags);
        let Some(id) = network.link(&mut links, &only, lost, diags) else { continue };
        for implied in links.implied.drain(..) {
            index.insert(implied.id.clone(), desired.links.len());
            desired.links.push(implied);
        }
        if let Some(link) = index.get(&id).and_then(|i| desired.links.get_mut(*i)) {
            network.read(link, diags);
        }
    }
}

/// The only link that a network without `link` can mean: the one that is no member of another. `Err` is their number.
fn only_link(desired: &Desired) -> Result<String, usize> {
    let members: HashSet<&str> =
        desired.links.iter().flat_map(|link| link.members.iter().map(|m| m.value.as_str())).collect();
    let mut free = desired.links.iter().filter(|link| !members.contains(link.id.as_str()));
    match (free.next(), free.count()) {
        (Some(link), 0) => Ok(link.id.clone()),
        (first, more) => Err(more + usize::from(first.is_some())),
    }
}

struct Network<'a> {
    fields: Fields<'a>,
    /// `"private"`, or a substitute, for a message.
    name: String,
}

impl<'a> Network<'a> {
    fn new(fields: Fields<'a>, diags: &mut Vec<Diagnostic>) -> Self {
        let id = fields.get("id").and_then(|node| text(node, "id", diags));
        Network { name: id.unwrap_or("without id").to_owned(), fields }
    }

    /// The id of its link.
    fn link(
        &self,
        links: &mut ReferenceResolver,
        only: &Result<String, usize>,
        lost: &HashSet<String>,
        diags: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let written =
            self.fields.get("link").and_then(|node| Some(Located::new(text(node, "link", diags)?, node.at)));
        let Some(written) = written else { return self.assume_link(only, diags) };
        if lost.contains(written.value) {
            let message =
                format!("network \"{}\" was left out with its link \"{}\"", self.name, written.value);
            diags.push(Diagnostic::new(Code::LeftOut, written.at, message));
            return None;
        }
        let mut reference = Located::new(written.value.to_owned(), written.at);
        links.resolve(&self.name, "link", &mut reference, diags).then_some(reference.value)
    }

    fn assume_link(&self, only: &Result<String, usize>, diags: &mut Vec<Diagnostic>) -> Option<String> {
        let (name, at) = (&self.name, self.at("id"));
        diags.push(match only {
            Ok(link) => {
                let message = format!("network \"{name}\" names no link: using \"{link}\"");
                Diagnostic::new(Code::AssumedLink, at, message).hint(format!("write \"link\": \"{link}\""))
            }
            Err(count) => {
                let message = match count {
                    0 => format!("network \"{name}\" names no link, and there is none"),
                    count => format!("network \"{name}\" names no link, and {count} could be meant"),
                };
                Diagnostic::new(Code::NoLinkForNetwork, at, message)
                    .hint("add \"link\" with the id of its link")
            }
        });
        only.clone().ok()
    }

    /// Adds its settings to its link.
    fn read(&self, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        self.resolve_names(link, diags);
        let Some(dynamic) = self.dynamic(diags) else { return };
        for (what, at) in dynamic.iter().map(|what| (*what, self.at("type"))) {
            if link.dynamic.iter().all(|d| d.value != what) {
                link.dynamic.push(Located::new(what, at));
            }
            if what == RouterAdvertisements {
                link.ipv6.accept_ra = Some(Located::new(true, at));
            }
        }
        if !self.address(link, dynamic.is_empty(), diags) {
            return;
        }
        let routes: Vec<Route> = items(self.fields.get("routes"), "routes", diags)
            .iter()
            .filter_map(|node| self.route(node, link, diags))
            .collect();
        let gateway = self.gateway(&routes, diags);
        if let (Some(node), None) = (self.fields.get("metric"), self.fields.get("gateway")) {
            diags.push(metric_alone(node, "metric"));
        }
        link.routes.extend(routes.into_iter().chain(gateway));
    }

    /// The place of a key's value, else of the id, else of the network itself.
    fn at(&self, key: &str) -> Place {
        self.fields.get(key).or(self.fields.get("id")).map_or(self.fields.at, |node| node.at)
    }

    /// Name servers are used even if the addresses are not.
    fn resolve_names(&self, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        services(self.fields.get("services"), &mut link.resolver, diags);
        resolver(&self.fields, &mut link.resolver, diags);
    }

    /// What its type leaves to others; empty for a static one. Without a known type, an address makes it static.
    fn dynamic(&self, diags: &mut Vec<Diagnostic>) -> Option<&'static [Dynamic]> {
        let node = self.fields.get("type");
        let word = node.and_then(|node| text(node, "type", diags)).unwrap_or_default().to_ascii_lowercase();
        let known = TYPES.iter().find(|t| t.words.contains(&word.as_str()));
        let address = self.fields.get("ip_address").and_then(Node::text).unwrap_or_default();
        if let Some(known) = known {
            let v6 = address.contains(':');
            if !address.is_empty() && v6 != (known.family == Family::V6) {
                let family = if v6 { "IPv6" } else { "IPv4" };
                let message =
                    format!("network \"{}\" is of type {word} and has an {family} address", self.name);
                diags.push(
                    Diagnostic::new(Code::BadValue, self.at("type"), message)
                        .severity(Severity::Warning)
                        .hint("the address is used as written; correct the type"),
                );
            }
            return Some(known.dynamic);
        }
        let what = if word.is_empty() {
            "has no type".to_owned()
        } else {
            format!("has the unknown type \"{word}\"")
        };
        let is_static = !address.is_empty();
        let then = if is_static { "its address is used as a static one" } else { "it was left out" };
        let message = format!("network \"{}\" {what}: {then}", self.name);
        let severity = if is_static { Severity::Warning } else { Severity::Error };
        let near = nearest(&word, TYPES.iter().flat_map(|t| t.words.iter().copied()));
        diags.push(Diagnostic::new(Code::BadValue, self.at("type"), message).severity(severity).hint(
            match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "write ipv4, ipv6, ipv4_dhcp, ipv6_dhcp or ipv6_slaac".to_owned(),
            },
        ));
        is_static.then_some(&[])
    }

    /// Adds its address. False if the address is needed but unusable: its routes would lead nowhere.
    fn address(&self, link: &mut Link, needed: bool, diags: &mut Vec<Diagnostic>) -> bool {
        let node = self.fields.get("ip_address");
        let address =
            node.and_then(|n| interface_address(n, "ip_address", self.fields.get("netmask"), diags));
        let Some(mut address) = address else {
            // A value that cannot be read has been reported.
            if needed && node.is_none() {
                let message = format!("network \"{}\" has no ip_address: it was left out", self.name);
                diags.push(
                    Diagnostic::new(Code::MissingKey, self.at("id"), message)
                        .hint("add ip_address and netmask, or make it a DHCP network"),
                );
            }
            return !needed;
        };
        if let Some(node) = self.fields.get("broadcast") {
            match ip(node, "broadcast", diags).map(|broadcast| broadcast.value) {
                Some(IpAddr::V4(v4)) if address.net.addr().is_ipv4() => address.broadcast = Some(v4),
                Some(_) => {
                    diags.push(bad(Code::BadAddress, node, "broadcast", "only IPv4 has broadcast addresses"))
                }
                None => {}
            }
        }
        // `ipv6_slaac` would request addresses from advertisements.
        link.ipv6.static_alone |= address.net.addr().is_ipv6();
        link.addresses.push(address);
        true
    }

    fn route(&self, node: &Node, link: &mut Link, diags: &mut Vec<Diagnostic>) -> Option<Route> {
        let fields = Fields::new(node, &keys::ROUTE, diags)?;
        services(fields.get("services"), &mut link.resolver, diags);
        let Some(network) = fields.get("network") else {
            let message = format!("a route of network \"{}\" has no destination: it was left out", self.name);
            diags.push(
                Diagnostic::new(Code::MissingKey, fields.at, message)
                    .hint("add \"network\" and \"netmask\"; 0.0.0.0 with 0.0.0.0 is the default route"),
            );
            return None;
        };
        let at = fields.get("gateway").unwrap_or(network).at;
        let mut route =
            route(Located::new(network, at), "network", fields.get("netmask"), fields.get("gateway"), diags)?;
        route.metric = metric(&fields, diags);
        Some(route)
    }

    /// The default route of `gateway`, unless a route already says the same.
    fn gateway(&self, routes: &[Route], diags: &mut Vec<Diagnostic>) -> Option<Route> {
        let gateway = gateway(self.fields.get("gateway")?, "gateway", diags)?;
        let family = Family::of(&gateway.value);
        if let Some(other) = routes.iter().find(|r| r.is_default() && r.family() == family) {
            let via = other.via.map_or_else(String::new, |via| format!(" via {via}"));
            let (code, message) = if other.via == Some(gateway.value) {
                (
                    Code::RepeatedRoute,
                    format!("gateway {} is also in the routes; once is enough", gateway.value),
                )
            } else {
                let message = format!(
                    "network \"{}\" has the gateway {} and a default route{via}: using the route",
                    self.name, gateway.value
                );
                (Code::TwoDefaultRoutes, message)
            };
            diags.push(Diagnostic::new(code, gateway.at, message));
            return None;
        }
        let mut route = Route::new(family.everything(), Some(gateway.value), gateway.at);
        route.metric = metric(&self.fields, diags);
        Some(route)
    }
}

fn metric(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<u32> {
    let metric = number(fields.get("metric")?, "metric", 0..=u64::from(u32::MAX), diags)?;
    u32::try_from(metric.value).ok()
}
