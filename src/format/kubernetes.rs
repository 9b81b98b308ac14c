//! Descriptions in Kubernetes manifests: Secrets with `networkData`, as Metal3 and KubeVirt use them, and
//! Metal3DataTemplates (<https://book.metal3.io/>, `Metal3DataTemplate` of cluster-api-provider-metal3), whose literals
//! are checked. Entry: [`descriptions`].

use foldhash::HashSet;

use super::piece::{Body, Piece, is_description};
use super::tree::{Entry, Node, Scalar, Tree, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Place, base64};
use crate::order::Order as _;

/// Keys of a description, without `_`, `-`, `.json` and capitals.
const KEYS: [&str; 4] = ["networkdata", "networkconfig", "networkdatabase64", "nmstate"];
/// How many levels of an object are searched.
const LEVELS: usize = 16;

/// Adds the descriptions in an object; most have none.
pub(super) fn descriptions(object: &Node, text: &str, part: &dyn Fn(&Node) -> Tree, out: &mut Vec<Piece>) {
    let kind = object.get("kind").and_then(Node::text).unwrap_or_default();
    if kind.ends_with("List") {
        let items = object.get("items").map_or(&[][..], Node::items);
        return items.iter().for_each(|item| descriptions(item, text, part, out));
    }
    let of = |key: &str| object.get("metadata").and_then(|metadata| metadata.get(key)?.text());
    let name = match (of("namespace"), of("name")) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (_, name) => format!("{kind} {}", name.unwrap_or("without a name")),
    };
    let spec = object.get("spec");
    match kind {
        "Metal3DataTemplate" => {
            let Some(data) = spec.and_then(|spec| spec.get("networkData")) else { return };
            let mut diags = Vec::new();
            let root = Template { diags: &mut diags }.network_data(data);
            let body = Body::Tree(Tree { root, duplicates: part(data).duplicates, tolerated: None });
            out.push(Piece { diags, ..Piece::new(Some(name), data.at, body) });
        }
        "NMStateConfig" | "NodeNetworkConfigurationPolicy" => {
            let state = |spec: &'_ Node| spec.get("config").or_else(|| spec.get("desiredState")).cloned();
            if let Some(config) = &spec.and_then(state) {
                let mut tree = part(config);
                let mut diags = Vec::new();
                if let Some(names) = spec.and_then(|spec| spec.get("interfaces")) {
                    map_interfaces(&mut tree.root, names, &mut diags);
                }
                out.push(Piece { diags, ..Piece::new(Some(name), config.at, Body::Tree(tree)) });
            }
        }
        _ => {
            let encoded = kind == "Secret";
            search(object, encoded, text, part, 0, &mut |at, body| {
                out.push(Piece::new(Some(name.clone()), at, body));
            });
        }
    }
}

/// OpenShift's mapping: the state's names are its own, and a list says which MAC address the NIC of each has. An interface that
/// is only a port in the state becomes one of its own.
fn map_interfaces(state: &mut Node, names: &Node, diags: &mut Vec<Diagnostic>) {
    let ports: HashSet<String> = match state.get("interfaces") {
        Some(interfaces) => interfaces.items().iter().flat_map(texts).collect(),
        None => return,
    };
    let Value::Map(entries) = &mut state.value else { return };
    let list = entries.iter_mut().find(|entry| entry.key == "interfaces").map(|entry| &mut entry.value.value);
    let Some(Value::List(interfaces)) = list else { return };
    for item in names.items() {
        let (Some(name), Some(mac)) = (item.get("name").and_then(Node::text), item.get("macAddress")) else {
            let message = "an interface of the mapping needs name and macAddress, left out";
            diags.push(Diagnostic::new(Code::MissingKey, item.at, message));
            continue;
        };
        let is_it = |interface: &&mut Node| interface.get("name").and_then(Node::text) == Some(name);
        let by_mac = |at: Place| {
            [
                Entry {
                    value: Node { at, value: scalar("mac-address") },
                    ..entry("identifier", at, Value::Null)
                },
                Entry { value: mac.clone(), ..entry("mac-address", at, Value::Null) },
            ]
        };
        match interfaces.iter_mut().find(is_it) {
            Some(interface) => {
                let at = interface.at;
                if let Value::Map(entries) = &mut interface.value {
                    entries.retain(|entry| !matches!(entry.key.as_str(), "identifier" | "mac-address"));
                    entries.extend(by_mac(at));
                }
            }
            None if ports.contains(name) => {
                let at = item.at;
                let own = [entry("name", at, scalar(name)), entry("type", at, scalar("ethernet"))];
                interfaces.push(Node { at, value: Value::Map(own.into_iter().chain(by_mac(at)).collect()) });
            }
            None => {
                let message =
                    format!("no interface of the config is \"{name}\": its MAC address has no effect");
                diags.push(Diagnostic::new(Code::NoEffect, item.at, message));
            }
        }
    }
}

/// Every text of a value, of which some are names of interfaces.
fn texts(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Scalar(scalar) => vec![scalar.text.clone()],
        Value::List(items) => items.iter().flat_map(texts).collect(),
        Value::Map(entries) => entries.iter().flat_map(|entry| texts(&entry.value)).collect(),
        Value::Null => Vec::new(),
    }
}

/// Finds the keys with a description; below `data` of a Secret they are base64.
fn search(
    node: &Node,
    is_secret: bool,
    text: &str,
    part: &dyn Fn(&Node) -> Tree,
    level: usize,
    found: &mut dyn FnMut(Place, Body),
) {
    let entries = match &node.value {
        Value::Map(entries) => entries,
        Value::List(items) if level < LEVELS => {
            return items.iter().for_each(|item| search(item, is_secret, text, part, level + 1, found));
        }
        _ => return,
    };
    for Entry { key, value, .. } in entries {
        let plain: String = key.trim_end_matches(".json").chars().filter(|c| !"_-".contains(*c)).collect();
        let plain = plain.to_ascii_lowercase();
        match &value.value {
            // A rendered object contains what was applied once more, in an annotation.
            Value::Scalar(_) if KEYS.contains(&plain.as_str()) => {
                let encoded = plain.ends_with("base64") || (is_secret && level == 1);
                found(value.at, if encoded { decoded(value) } else { Body::text(value, text) });
            }
            Value::Map(_) if KEYS.contains(&plain.as_str()) && is_description(value) => {
                found(value.at, Body::Tree(part(value)));
            }
            Value::Map(_) | Value::List(_) if level < LEVELS && (level > 0 || key != "metadata") => {
                // `stringData` is plain text.
                let is_secret = is_secret && key == "data";
                search(value, is_secret, text, part, level + 1, found);
            }
            _ => {}
        }
    }
}

fn decoded(value: &Node) -> Body {
    let encoded: String = value.text().unwrap_or_default().split_whitespace().collect();
    let text = base64::decode(&encoded).and_then(|bytes| String::from_utf8(bytes).ok());
    match text {
        Some(text) => Body::Text(text, None),
        None => Body::Wrong(
            Diagnostic::new(Code::BadValue, value.at, "the value is not base64 of UTF-8 text")
                .hint("data of a Secret is base64; stringData takes the text as it is"),
        ),
    }
}

/// Converts a template to network_data: literals stay, with their places; values filled in per host are named and left
/// out.
struct Template<'d> {
    diags: &'d mut Vec<Diagnostic>,
}

/// The template's keys and those of network_data.
const LINK_KEYS: [(&str, &str); 8] = [
    ("bondMode", "bond_mode"),
    ("bondLinks", "bond_links"),
    ("bondXmitHashPolicy", "bond_xmit_hash_policy"),
    ("vlanID", "vlan_id"),
    ("vlanLink", "vlan_link"),
    ("id", "id"),
    ("mtu", "mtu"),
    ("type", "type"),
];
/// Its lists of links, with their type in network_data; an Ethernet link names its own.
const LINK_LISTS: [(&str, Option<&str>); 3] =
    [("ethernets", None), ("bonds", Some("bond")), ("vlans", Some("vlan"))];
/// Its lists of networks, with their types. One whose addresses come from a pool has none to check.
const NETWORK_LISTS: [(&str, &str); 5] = [
    ("ipv4", "ipv4_dhcp"),
    ("ipv6", "ipv6_dhcp"),
    ("ipv4DHCP", "ipv4_dhcp"),
    ("ipv6DHCP", "ipv6_dhcp"),
    ("ipv6SLAAC", "ipv6_slaac"),
];

impl Template<'_> {
    fn network_data(&mut self, data: &Node) -> Node {
        let links = data.get("links");
        let mut list = Vec::new();
        for (key, kind) in LINK_LISTS {
            for link in links.and_then(|links| links.get(key)).map_or(&[][..], Node::items) {
                list.push(self.link(link, kind, list.len()));
            }
        }
        list.order_by_key(|link| link.at);
        let networks = data.get("networks");
        let mut nets = Vec::new();
        for (key, kind) in NETWORK_LISTS {
            for network in networks.and_then(|networks| networks.get(key)).map_or(&[][..], Node::items) {
                nets.push(self.network(network, kind));
            }
        }
        nets.order_by_key(|network: &Node| network.at);
        let mut out = vec![
            entry("links", links.map_or(data.at, |links| links.at), Value::List(list)),
            entry("networks", networks.map_or(data.at, |networks| networks.at), Value::List(nets)),
        ];
        if let Some(services) = data.get("services") {
            out.push(entry("services", services.at, self.services(services)));
        }
        mapping(data.at, out)
    }

    fn link(&mut self, link: &Node, kind: Option<&str>, number: usize) -> Node {
        let Value::Map(entries) = &link.value else { return link.clone() };
        let mut out = Vec::new();
        for from in entries {
            let known = LINK_KEYS.iter().find(|(key, _)| *key == from.key).map(|(_, key)| *key);
            match (from.key.as_str(), known) {
                ("macAddress", _) => {
                    let key = if kind == Some("vlan") { "vlan_mac_address" } else { "ethernet_mac_address" };
                    match self.literal(&from.value, "the MAC address") {
                        Some(value) => out.push(Entry { key: key.to_owned(), key_at: from.key_at, value }),
                        // A NIC needs one to be identified; no vendor's looks like this.
                        None if kind.is_none() => {
                            let mac = format!("02:00:00:00:{:02x}:{:02x}", number >> 8 & 0xff, number & 0xff);
                            out.push(Entry {
                                key: key.to_owned(),
                                key_at: from.key_at,
                                value: Node::scalar(&mac, from.value.at),
                            });
                        }
                        None => {}
                    }
                }
                ("parameters", _) => {
                    if let Value::Map(parameters) = &from.value.value {
                        out.extend(parameters.iter().cloned());
                    }
                }
                // Another key is reported as unknown by network_data's reader.
                (key, known) => out.push(Entry { key: known.unwrap_or(key).to_owned(), ..from.clone() }),
            }
        }
        if let Some(kind) = kind {
            out.push(entry("type", link.at, scalar(kind)));
        }
        mapping(link.at, out)
    }

    fn network(&mut self, network: &Node, kind: &str) -> Node {
        let Value::Map(entries) = &network.value else { return network.clone() };
        let mut out = Vec::new();
        for from in entries {
            match from.key.as_str() {
                key if key.starts_with("ipAddressFrom")
                    || key == "fromPoolRef"
                    || key == "fromPoolAnnotation" =>
                {
                    self.templated(from.value.at, "the address");
                }
                "routes" => {
                    let routes = from.value.items().iter().filter_map(|route| self.route(route)).collect();
                    out.push(entry("routes", from.value.at, Value::List(routes)));
                }
                _ => out.push(from.clone()),
            }
        }
        out.push(entry("type", network.at, scalar(kind)));
        mapping(network.at, out)
    }

    /// A route, without one whose gateway comes from a pool.
    fn route(&mut self, route: &Node) -> Option<Node> {
        let Value::Map(entries) = &route.value else { return Some(route.clone()) };
        let mut out = Vec::new();
        let mut network = None;
        for from in entries {
            match from.key.as_str() {
                "gateway" => {
                    let gateway = self.literal(&from.value, "the gateway")?;
                    out.push(Entry { value: gateway, ..from.clone() });
                }
                "services" => out.push(entry("services", from.value.at, self.services(&from.value))),
                "network" => network = Some(from),
                "prefix" => {}
                _ => out.push(from.clone()),
            }
        }
        if let Some(network) = network {
            let to = network.value.text().unwrap_or_default();
            let prefix = route.get("prefix").and_then(Node::text);
            let to = prefix.map_or_else(|| to.to_owned(), |prefix| format!("{to}/{prefix}"));
            out.push(Entry { value: Node::scalar(&to, network.value.at), ..network.clone() });
        }
        Some(mapping(route.at, out))
    }

    fn services(&mut self, services: &Node) -> Value {
        if let Some(pool) = services.get("dnsFromIPPool") {
            self.templated(pool.at, "the name servers");
        }
        let servers = services.get("dns").map_or(&[][..], Node::items).iter();
        let server = |address: &Node| Node {
            at: address.at,
            value: Value::Map(vec![
                entry("type", address.at, scalar("dns")),
                entry("address", address.at, address.value.clone()),
            ]),
        };
        Value::List(servers.map(server).collect())
    }

    /// A value that is a literal or `{string: …}`; others come from the host or a pool.
    fn literal(&mut self, node: &Node, what: &str) -> Option<Node> {
        match (&node.value, node.get("string")) {
            (Value::Scalar(_), _) => Some(node.clone()),
            (_, Some(text)) => Some(text.clone()),
            _ => {
                self.templated(node.at, what);
                None
            }
        }
    }

    fn templated(&mut self, at: Place, what: &str) {
        let message = format!("{what} is filled in for each machine: not checked");
        self.diags.push(Diagnostic::new(Code::Templated, at, message));
    }
}

/// A mapping whose entries are in file order, by which a place finds its path.
fn mapping(at: Place, mut entries: Vec<Entry>) -> Node {
    entries.order_by_key(|entry| entry.key_at);
    Node { at, value: Value::Map(entries) }
}

fn entry(key: &str, at: Place, value: Value) -> Entry {
    Entry { key: key.to_owned(), key_at: at, value: Node { at, value } }
}

fn scalar(text: &str) -> Value {
    Value::Scalar(Scalar { text: text.to_owned(), quoted: true })
}
