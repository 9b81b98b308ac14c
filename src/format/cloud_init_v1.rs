//! cloud-init network-config version 1: a `config` list of typed items. [`read`] is the entry.
//!
//! Links are identified by interface name. A NIC is matched by its `mac_address`, and its `name` is optional: it
//! becomes an alternative name. What the subnets share with Debian interfaces files is in `debian`.

mod table;

use super::debian::{
    Draft, Method, bond_setting, bridge_option, dangling, desired_mac, either, made, metric, nic, subnet,
    vlan,
};
use super::keys::{Fields, Object};
use super::tree::{Node, Value};
use super::value::{
    self, Reported, bad, boolean, items, mac_of_nic, mtu, name_servers, search_domains, text, words,
};
use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::model::{Activation, Desired, IfName, Kind, Link, Located, Mtu, Naming, Resolver, Route};

#[allow(unused_imports)] // docs and tests walk it
pub(super) use table::OBJECTS;
use table::{BOND, BRIDGE, GLOBAL_ROUTE, NAMESERVER, PHYSICAL, ROUTE, SUBNET, TOP, VLAN};

/// The types of items.
const TYPES: &[&str] =
    &["physical", "infiniband", "loopback", "bond", "bridge", "vlan", "nameserver", "route"];

/// The values of `type` in a subnet.
const METHODS: &[(&str, Method)] = &[
    ("static", Method::Static),
    ("static4", Method::Static),
    ("static6", Method::Static),
    ("manual", Method::Manual),
    ("loopback", Method::Loopback),
    ("dhcp", Method::Dhcp4),
    ("dhcp4", Method::Dhcp4),
    ("dhcp6", Method::Dhcp6),
    ("ipv6_slaac", Method::Slaac),
    ("ipv6_dhcpv6-stateless", Method::Slaac),
    ("ipv6_dhcpv6-stateful", Method::Dhcp6),
];

/// Reads the mapping that has `version: 1` and `config`.
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let mut reader = Reader { draft: Draft::default(), servers: Vec::new() };
    let Some(top) = Fields::new(root, &TOP, diags) else { return Desired::default() };
    if top.entry("config").is_none() {
        let message = "\"config\", the list of items, is missing";
        diags.push(Diagnostic::new(Code::MissingKey, root.at, message));
    }
    for item in items(top.get("config"), "config", diags) {
        reader.item(item, diags);
    }
    reader.finish(diags)
}

struct Reader {
    draft: Draft,
    /// Name servers of a link, which may be described further down.
    servers: Vec<(Located<String>, Resolver)>,
}

impl Reader {
    fn item(&mut self, item: &Node, diags: &mut Vec<Diagnostic>) {
        let kind = match (&item.value, item.get("type")) {
            (Value::Map(_), None) => {
                let message = "an item without a type, left out";
                diags.push(
                    Diagnostic::new(Code::MissingKey, item.at, message)
                        .hint("add \"type\": physical, bond, …"),
                );
                return;
            }
            (Value::Map(_), Some(kind)) => kind,
            _ => {
                let message = format!("an item of config should be a mapping, not {}", item.noun());
                diags.push(Diagnostic::new(Code::WrongShape, item.at, message));
                return;
            }
        };
        match text(kind, "type", diags).unwrap_or_default() {
            "physical" | "infiniband" | "loopback" => self.physical(item, diags),
            "bond" => self.bond(item, diags),
            "bridge" => self.bridge(item, diags),
            "vlan" => self.vlan(item, diags),
            "nameserver" => self.nameserver(item, diags),
            "route" => self.route(item, diags),
            other => {
                let why = format!("expected one of {}; the item was left out", TYPES.join(", "));
                let unknown = bad(Code::BadValue, kind, "type", &why);
                diags.push(match nearest(other, TYPES.iter().copied()) {
                    Some(near) => unknown.hint(format!("did you mean \"{near}\"?")),
                    None => unknown,
                });
            }
        }
    }

    fn physical(&mut self, item: &Node, diags: &mut Vec<Diagnostic>) {
        let Some(fields) = Fields::new(item, &PHYSICAL, diags) else { return };
        let mac = fields.get("mac_address").map_or(Ok(None), |n| mac_of_nic(n, "mac_address", diags));
        let name = named_text(&fields, diags);
        let is_lo = name.as_ref().is_some_and(|n| n.value == "lo");
        if is_lo || item.get("type").and_then(Node::text) == Some("loopback") {
            let mut link = Link::new("lo", Kind::Physical, item.at);
            common(&fields, &mut link, diags);
            return self.draft.loopback(link, diags);
        }
        let mut link = match (mac, name) {
            (Err(Reported), None) => return,
            (Err(Reported), Some(name)) => {
                let message =
                    format!("\"{}\" has no usable mac_address: matching its NIC by name", name.value);
                diags.push(Diagnostic::new(Code::NoMac, name.at, message).hint("correct its mac_address"));
                nic(name.value, name.at)
            }
            (Ok(None), None) => {
                let message = "a NIC without mac_address and name, left out: it matches no NIC";
                diags.push(Diagnostic::new(Code::MissingKey, item.at, message).hint("add its mac_address"));
                return;
            }
            (Ok(None), Some(name)) => {
                let message = format!("\"{}\" has no mac_address: matching its NIC by name", name.value);
                let hint = "add its mac_address: names can differ between boot images";
                diags.push(Diagnostic::new(Code::NoMac, name.at, message).hint(hint));
                nic(name.value, name.at)
            }
            (Ok(Some(mac)), name) => {
                let id = name.as_ref().map_or_else(|| mac.value.to_string(), |n| n.value.to_owned());
                let mut link = Link::new(id, Kind::Physical, item.at);
                link.select.mac = Some(mac);
                link.naming = name.map_or(Naming::Keep, |name| alternative_name(&name, diags));
                link
            }
        };
        common(&fields, &mut link, diags);
        link.wake_on_lan = fields.get("wakeonlan").and_then(|n| boolean(n, "wakeonlan", diags));
        self.draft.add(link);
    }

    fn bond(&mut self, item: &Node, diags: &mut Vec<Diagnostic>) {
        let Some((fields, mut link)) = named(item, &BOND, Kind::Bond, diags) else { return };
        link.members = references(&fields, "bond_interfaces", diags);
        for entry in params(&fields, diags) {
            bond_setting(entry, &mut link.settings, diags);
        }
        self.draft.add(link);
    }

    fn bridge(&mut self, item: &Node, diags: &mut Vec<Diagnostic>) {
        let Some((fields, mut link)) = named(item, &BRIDGE, Kind::Bridge, diags) else { return };
        link.members = references(&fields, "bridge_interfaces", diags);
        for entry in params(&fields, diags) {
            bridge_option(entry, &mut link, &mut self.draft, diags);
        }
        self.draft.add(link);
    }

    fn vlan(&mut self, item: &Node, diags: &mut Vec<Diagnostic>) {
        let Some((fields, mut link)) = named(item, &VLAN, Kind::Vlan, diags) else { return };
        let parent = fields
            .get("vlan_link")
            .and_then(|n| text(n, "vlan_link", diags).map(|parent| Located::new(parent.to_owned(), n.at)));
        let id = fields.get("vlan_id").and_then(|n| value::number(n, "vlan_id", 0..=4094, diags));
        for (key, there) in [("vlan_link", fields.get("vlan_link")), ("vlan_id", fields.get("vlan_id"))] {
            if there.is_none() {
                let message = format!("VLAN \"{}\" has no {key}, left out", link.id);
                diags.push(Diagnostic::new(Code::MissingKey, item.at, message));
            }
        }
        if let (Some(parent), Some(id)) = (parent, id) {
            vlan(&mut link, parent, id);
            self.draft.add(link);
        }
    }

    fn nameserver(&mut self, item: &Node, diags: &mut Vec<Diagnostic>) {
        let Some(fields) = Fields::new(item, &NAMESERVER, diags) else { return };
        let mut resolver = Resolver::default();
        if let Some(node) = fields.get("address") {
            name_servers(node, "address", &mut resolver, diags);
        }
        if let Some(node) = fields.get("search") {
            search_domains(node, "search", &mut resolver, diags);
        }
        if fields.get("address").is_none() && fields.get("search").is_none() {
            let message = "a nameserver item without address and search domain";
            diags.push(Diagnostic::new(Code::NoEffect, item.at, message));
        }
        match fields.get("interface").and_then(|n| text(n, "interface", diags).map(|t| (n, t))) {
            Some((node, name)) => self.servers.push((Located::new(name.to_owned(), node.at), resolver)),
            None => self.draft.desired.resolver.merge(&resolver),
        }
    }

    fn route(&mut self, item: &Node, diags: &mut Vec<Diagnostic>) {
        let Some(fields) = Fields::new(item, &GLOBAL_ROUTE, diags) else { return };
        if fields.get("gateway").is_none_or(|n| n.text().is_some_and(|t| t.trim().is_empty())) {
            let message = "a route without a link needs a gateway to find its link: left out";
            diags.push(Diagnostic::new(Code::MissingKey, item.at, message).hint("add \"gateway\""));
        } else if let Some(route) = route(&fields, diags) {
            self.draft.route(route);
        }
    }

    fn finish(mut self, diags: &mut Vec<Diagnostic>) -> Desired {
        for (name, resolver) in std::mem::take(&mut self.servers) {
            match self.draft.link(&name.value) {
                Some(link) => link.resolver.merge(&resolver),
                None => {
                    diags.push(
                        dangling(&name, "a nameserver item belongs to")
                            .hint("its servers are used for the whole machine"),
                    );
                    self.draft.desired.resolver.merge(&resolver);
                }
            }
        }
        self.draft.finish(true, diags)
    }
}

/// The keys and the link of an item that must have a name. `None`, with a diagnostic, if it has none.
fn named<'a>(
    item: &'a Node,
    object: &'static Object,
    kind: Kind,
    diags: &mut Vec<Diagnostic>,
) -> Option<(Fields<'a>, Link)> {
    let fields = Fields::new(item, object, diags)?;
    let Some(name) = named_text(&fields, diags) else {
        let message = format!("a {} without a name, left out", kind.noun());
        diags.push(Diagnostic::new(Code::MissingKey, item.at, message).hint("add \"name\""));
        return None;
    };
    let mut link = made(&Node::scalar(name.value, name.at), kind, diags);
    link.at = item.at;
    if let Some(node) = fields.get("mac_address") {
        desired_mac(node, "mac_address", &mut link, diags);
    }
    common(&fields, &mut link, diags);
    Some((fields, link))
}

/// The name, unless it is absent or empty.
fn named_text<'a>(fields: &Fields<'a>, diags: &mut Vec<Diagnostic>) -> Option<Located<&'a str>> {
    let node = fields.get("name")?;
    text(node, "name", diags).map(|name| Located::new(name, node.at))
}

/// A NIC's name is optional: an invalid one is a warning.
fn alternative_name(name: &Located<&str>, diags: &mut Vec<Diagnostic>) -> Naming {
    match IfName::to_give(name.value) {
        Ok(valid) => Naming::Alternative(Located::new(valid, name.at)),
        Err(why) => {
            let message = format!("name \"{}\": {why}; the NIC keeps the name that it has", name.value);
            diags.push(Diagnostic::new(Code::BadName, name.at, message).severity(Severity::Warning));
            Naming::Keep
        }
    }
}

/// The keys of links of every kind.
fn common(fields: &Fields, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    link.mtu = fields.get("mtu").and_then(|n| mtu(n, "mtu", diags));
    link.ipv6.accept_ra = fields.get("accept-ra").and_then(|n| boolean(n, "accept-ra", diags));
    let subnets = items(fields.get("subnets"), "subnets", diags);
    let mut manual = 0;
    let mut of_subnet = None;
    for item in subnets {
        let Some(fields) = Fields::new(item, &SUBNET, diags) else { continue };
        manual += usize::from(is_manual(&fields, diags));
        let Some(method) = method(&fields, diags) else { continue };
        subnet(&fields, method, None, link, diags);
        subnet_mtu(&fields, method.value, link, &mut of_subnet, diags);
        for item in items(fields.get("routes"), "routes", diags) {
            let Some(fields) = Fields::new(item, &ROUTE, diags) else { continue };
            link.routes.extend(route(&fields, diags));
        }
    }
    if let Some(bytes) = of_subnet {
        if let Some(own) = link.mtu.filter(|own| own.value != bytes.value) {
            let message = format!(
                "mtu {} of \"{}\" and mtu {} of its subnet differ: using the subnet's",
                own.value.get(),
                link.id,
                bytes.value.get()
            );
            diags
                .push(Diagnostic::new(Code::OptionConflict, bytes.at, message).hint("remove one of the two"));
        }
        link.mtu = Some(bytes);
    }
    if manual > 0 && manual == subnets.len() {
        link.activation = Activation::Manual;
    }
}

fn is_manual(fields: &Fields, diags: &mut Vec<Diagnostic>) -> bool {
    let Some(node) = fields.get("control") else { return false };
    match text(node, "control", diags) {
        Some("manual") => true,
        None | Some("auto" | "hotplug") => false,
        Some(_) => {
            diags.push(bad(Code::BadValue, node, "control", "expected auto, manual or hotplug"));
            false
        }
    }
}

fn method(fields: &Fields, diags: &mut Vec<Diagnostic>) -> Option<Located<Method>> {
    let Some(node) = fields.get("type") else {
        let addressed = fields.get("address").is_some();
        let message =
            if addressed { "a subnet without a type: assuming static" } else { "a subnet without a type" };
        let severity = if addressed { Severity::Warning } else { Severity::Error };
        let missing = Diagnostic::new(Code::MissingKey, fields.at, message).severity(severity);
        diags.push(missing.hint("add \"type\": static, dhcp4, …"));
        return addressed.then(|| Located::new(Method::Static, fields.at));
    };
    let word = text(node, "type", diags)?;
    match METHODS.iter().find(|(name, _)| *name == word) {
        Some((_, method)) => Some(Located::new(*method, node.at)),
        None => {
            let names = METHODS.iter().map(|(name, _)| *name);
            let why = format!("expected one of {}", names.clone().collect::<Vec<_>>().join(", "));
            let unknown = bad(Code::BadValue, node, "type", &why);
            diags.push(match nearest(word, names) {
                Some(near) => unknown.hint(format!("did you mean \"{near}\"?")),
                None => unknown,
            });
            None
        }
    }
}

/// The MTU of a subnet applies to the link, before the link's own, or next to an IPv6 address to IPv6 alone, as
/// cloud-init passes it to netplan. Of several IPv4 subnets the first counts.
fn subnet_mtu(
    fields: &Fields,
    method: Method,
    link: &mut Link,
    of_subnet: &mut Option<Located<Mtu>>,
    diags: &mut Vec<Diagnostic>,
) {
    let Some(bytes) = fields.get("mtu").and_then(|n| mtu(n, "mtu", diags)) else { return };
    let address = either(fields, "address").and_then(Node::text).unwrap_or_default();
    let v6 = address.contains(':') || matches!(method, Method::Dhcp6 | Method::Slaac);
    if v6 {
        link.ipv6.mtu = Some(Located::new(bytes.value.get(), bytes.at));
    } else if of_subnet.is_none() {
        *of_subnet = Some(bytes);
    }
}

fn route(fields: &Fields, diags: &mut Vec<Diagnostic>) -> Option<Route> {
    let Some(network) = fields.get("destination").or_else(|| fields.get("network")) else {
        let message = "a route without a destination, left out";
        diags.push(Diagnostic::new(Code::MissingKey, fields.at, message));
        return None;
    };
    let mask = fields.get("netmask").or_else(|| fields.get("prefix"));
    let metric = fields.get("metric").and_then(|n| metric(n, diags));
    let network = Located::new(network, fields.at);
    let route = value::route(network, "destination", mask, fields.get("gateway"), diags)?;
    Some(Route { metric, ..route })
}

fn references(fields: &Fields, key: &str, diags: &mut Vec<Diagnostic>) -> Vec<Located<String>> {
    let Some(node) = fields.get(key) else {
        if fields.entry(key).is_none() {
            let message = format!("\"{key}\" is missing");
            diags.push(Diagnostic::new(Code::MissingKey, fields.at, message));
        }
        return Vec::new();
    };
    words(node, key, diags).into_iter().map(|w| Located::new(w.value.to_owned(), w.at)).collect()
}

/// The entries of `params`.
fn params<'a>(fields: &Fields<'a>, diags: &mut Vec<Diagnostic>) -> &'a [super::tree::Entry] {
    match fields.get("params").map(|n| (n, &n.value)) {
        None => &[],
        Some((_, Value::Map(entries))) => entries,
        Some((node, _)) => {
            let message = format!("params should be a mapping, not {}", node.noun());
            diags.push(Diagnostic::new(Code::WrongShape, node.at, message));
            &[]
        }
    }
}
