//! netplan v2, by its reader's tables.

use std::net::IpAddr;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::tree::{Map, OutputTree, yaml};
use super::{
    DHCP_OPTIONS, File, HEADER, Links, Losses, Names, Part, expressible, host_name, is_tunnel, lacking,
    lacking_address, lacking_dhcp, lacking_match, lacking_rule, machine_wide, other_protocol, tunnel_mode,
};
use crate::format::netplan::options::{BOND, BRIDGE, How, Parameter, VXLAN};
use crate::format::netplan::{OFFLOADS, PORT, is_id, section};
use crate::format::value::VIRTUAL;
use crate::model::attribute::{self, Form, OptionValue};
use crate::model::{
    Activation, Address, AddressGeneration, Desired, DesiredMac, DhcpOptions, Dynamic, Family, Kind, Link,
    Located, NamePattern, Naming, Peer, Route, Rule, Scope, Wireguard,
};

/// netplan's file, which others may not read: it may contain keys.
pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let mut links = expressible(desired, |link, losses| can_make(link, names, losses), true, losses);
    machine_wide(desired, &mut links, losses);
    host_name(desired, losses);
    if links.is_empty() {
        return Vec::new();
    }
    let writer = Writer { ids: ids(&links, names), links: Links::new(&links), names };
    let mut network = Map::default();
    network.put("version", 2_i64);
    for link in &links {
        let entry = writer.link(link, losses);
        network.below(section(link.kind)).put(writer.id(&link.id), entry);
    }
    let mut root = Map::default();
    root.put("network", network);
    vec![File {
        name: "50-netapply.yaml".to_owned(),
        mode: 0o600,
        group: None,
        text: format!("{HEADER}{}", yaml(&root)),
    }]
}

/// Whether netplan has such links; reports if not.
fn can_make(link: &Link, names: &Names<'_>, losses: &mut Losses) -> bool {
    let lacks = match link.kind {
        Kind::Physical if link.select.pci.is_some() && names.nic(link).is_none() => {
            Some("match by PCI address (--inventory gives the NIC's name)".to_owned())
        }
        Kind::Macvlan => Some("macvlan links".to_owned()),
        Kind::Vxlan if !matches!(link.settings.number("id"), Some(1..)) => Some("VXLAN of id 0".to_owned()),
        Kind::Wireguard if link.wireguard.as_ref().is_none_or(|w| w.private_key.is_none()) => {
            Some("WireGuard link without a private key".to_owned())
        }
        kind if is_tunnel(kind) => tunnel_lacks(link),
        _ => None,
    };
    if let Some(what) = &lacks {
        losses.none(link, Part::Kind, link.at, what);
    }
    lacks.is_none()
}

fn tunnel_lacks(link: &Link) -> Option<String> {
    let noun = link.kind.noun();
    match tunnel_mode(link) {
        None => Some(format!("{noun} of mode {}", link.settings.word("mode").unwrap_or_default())),
        Some(_) if link.settings.get("remote").is_none() => Some(format!("{noun} without a remote address")),
        Some(_) => None,
    }
}

/// netplan's id of each link: the name of a link that netplan makes, and the id of a NIC where it can be one.
fn ids(links: &[Link], names: &Names<'_>) -> HashMap<String, String> {
    let mut ids: HashMap<String, String> = HashMap::default();
    let mut taken: HashSet<String> = HashSet::default();
    let (nics, made): (Vec<&Link>, Vec<&Link>) = links.iter().partition(|link| link.kind == Kind::Physical);
    for link in made {
        taken.insert(names.of(link).to_owned());
        ids.insert(link.id.clone(), names.of(link).to_owned());
    }
    for link in nics {
        let name = match &link.naming {
            Naming::Set(name) | Naming::Alternative(name) => Some(name.value.to_string()),
            Naming::Keep | Naming::Generate => None,
        };
        let own = std::iter::once(link.id.clone()).chain(name);
        let mut candidates = own.chain((0_u32..).map(|n| format!("nic{n}")));
        let id = candidates.find(|id| is_id(id) && !taken.contains(id)).unwrap_or_default();
        taken.insert(id.clone());
        ids.insert(link.id.clone(), id);
    }
    ids
}

struct Writer<'a> {
    ids: HashMap<String, String>,
    links: Links<'a>,
    names: &'a Names<'a>,
}

impl Writer<'_> {
    /// netplan's id for a link of the description.
    fn id<'s>(&'s self, id: &'s str) -> &'s str {
        self.ids.get(id).map_or(id, String::as_str)
    }

    fn references<'s>(&'s self, of: impl IntoIterator<Item = &'s crate::model::LinkRef>) -> OutputTree {
        OutputTree::texts(of.into_iter().map(|link| self.id(&link.value)))
    }

    fn link(&self, link: &Link, losses: &mut Losses) -> Map {
        let mut out = Map::default();
        match link.kind {
            Kind::Physical => self.nic(link, &mut out, losses),
            _ => self.made(link, &mut out, losses),
        }
        if let Some(mac) = link.mac {
            let text = match mac.value {
                DesiredMac::Is(mac) => mac.to_string(),
                DesiredMac::Permanent => "permanent".to_owned(),
                DesiredMac::Random => "random".to_owned(),
            };
            out.put("macaddress", text);
        }
        lacking(link, &[Part::Tuning, Part::Remotes, Part::Forwarding, Part::Promiscuous], losses);
        out.put_some("mtu", link.mtu.map(|mtu| mtu.value.get()));
        dhcp(link, &mut out, losses);
        let addresses = link.addresses.iter().filter_map(|address| write_address(link, address, losses));
        out.put_filled("addresses", addresses.collect::<Vec<_>>());
        let far = lost_far_ends(link);
        let routes = link.routes.iter().filter_map(|route| write_route(link, route, &far, losses));
        out.put_filled("routes", routes.collect::<Vec<_>>());
        let rules = link.rules.iter().filter(|rule| lacking_rule(link, rule, losses));
        out.put_filled("routing-policy", rules.map(write_rule).collect::<Vec<_>>());
        out.put_filled("nameservers", name_servers(link, losses));
        if let Some(on) = link.ipv6.forwarding {
            losses.none(link, Part::Ipv6, on.at, "switch for forwarding IPv6");
        }
        ipv6(link, &mut out, losses);
        activation(link, &mut out, losses);
        self.port(link, &mut out, losses);
        out
    }

    /// A NIC's match, and the settings that only NICs have.
    fn nic(&self, link: &Link, out: &mut Map, losses: &mut Losses) {
        let select = &link.select;
        let name = select.name.as_ref().map(|name| match &name.value {
            NamePattern::Exact(name) | NamePattern::Glob(name) => name.as_str(),
        });
        let name = name.or(select.pci.as_ref().and_then(|_| self.names.nic(link)));
        if let (Some(pci), Some(name)) = (&select.pci, name) {
            let what = format!("netplan matches no NIC by its PCI address: {name} is matched by its name");
            losses.differs(link, Part::Select, pci.at, what);
        }
        let by_id = name == Some(self.id(&link.id)) && !select.many;
        if !by_id
            || select.mac.is_some()
            || !select.drivers.is_empty()
            || matches!(link.naming, Naming::Set(_))
        {
            let matched = out.below("match");
            matched.put_some("macaddress", select.mac.map(|mac| mac.value.to_string()));
            matched.put_some("name", name);
            match select.drivers.as_slice() {
                [] => {}
                [one] => matched.put("driver", one.value.as_str()),
                several => {
                    matched.put("driver", OutputTree::texts(several.iter().map(|driver| &driver.value)))
                }
            }
        }
        lacking_match(link, losses);
        match &link.naming {
            Naming::Set(name) => out.put("set-name", name.value.as_str()),
            Naming::Alternative(name) => {
                let what = format!("netplan has no alternative names: {} is none of the NIC", name.value);
                losses.differs(link, Part::Naming, name.at, what);
            }
            Naming::Keep | Naming::Generate => {}
        }
        out.put_some("wakeonlan", link.wake_on_lan.map(|on| on.value));
        for (feature, on) in &link.features {
            match OFFLOADS.iter().find(|(_, known)| known == feature) {
                Some((key, _)) => out.put(key, on.value),
                None => losses.none(link, Part::Features, on.at, format_args!("offload {feature}")),
            }
        }
        out.put_some("infiniband-mode", link.settings.word("mode"));
    }

    /// The parents and members of links, and their options.
    fn made(&self, link: &Link, out: &mut Map, losses: &mut Losses) {
        let parent = link.parent.as_ref().map(|parent| self.id(&parent.value));
        match link.kind {
            Kind::Bond => {
                out.put("interfaces", self.references(&link.members));
                let parameters = self.parameters(BOND, link, &[], losses);
                out.put_filled("parameters", parameters);
            }
            Kind::Bridge => {
                out.put("interfaces", self.references(&link.members));
                let parameters = self.bridge(link, losses);
                out.put_filled("parameters", parameters);
            }
            Kind::Vlan => {
                out.put_some("id", link.settings.number("id"));
                out.put_some("link", parent);
                if let Some(tag) = other_protocol(link) {
                    losses.none(link, Part::Settings, tag.at, format_args!("VLAN of protocol {}", tag.value));
                }
            }
            Kind::Vrf => {
                out.put_some("table", link.settings.number("table"));
                out.put("interfaces", self.references(&link.members));
            }
            Kind::Veth => out.put_some("peer", link.peer.as_ref().map(|peer| self.id(&peer.value))),
            Kind::Vxlan => {
                out.put("mode", "vxlan");
                out.put_some("link", parent);
                for (key, options) in [("local", ["local", "local6"]), ("remote", ["remote", "remote6"])] {
                    let set = options.iter().find_map(|option| link.settings.get(option));
                    out.put_some(key, set.map(OptionValue::to_string));
                }
                out.put_some("ttl", link.settings.number("ttl"));
                let ends = ["local", "local6", "remote", "remote6", "ttl"];
                out.0.append(&mut self.parameters(VXLAN, link, &ends, losses).0);
            }
            Kind::Wireguard => {
                out.put(
                    "mode",
                    VIRTUAL.iter().find(|m| m.kind == Kind::Wireguard).map_or("", |mode| mode.word),
                );
                if let Some(wireguard) = &link.wireguard {
                    write_wireguard(wireguard, out);
                }
            }
            _ => tunnel(link, out, losses),
        }
    }

    fn bridge(&self, link: &Link, losses: &mut Losses) -> Map {
        let mut out = self.parameters(BRIDGE, link, &["stp_state"], losses);
        for (key, option) in [("path-cost", "cost"), ("port-priority", "priority")] {
            for member in &link.members {
                let Some(port) = self.links.get(&member.value) else { continue };
                let Some(number) = port.port.number(option) else { continue };
                // 0 is unset for netplan.
                if number > 0 {
                    out.below(key).put(self.id(&port.id), number);
                }
            }
        }
        match link.settings.get("stp_state") {
            Some(OptionValue::Bool(on)) => out.put("stp", *on),
            // netplan turns it on if there are any parameters; the kernel's default is off.
            _ if !out.0.is_empty() => out.put("stp", false),
            _ => {}
        }
        out
    }

    /// Options as a port of a bridge or bond, apart from those that netplan has on the bridge.
    fn port(&self, link: &Link, out: &mut Map, losses: &mut Losses) {
        let controller = self.links.controller(&link.id);
        let is_bridge = controller.is_some_and(|controller| controller.kind == Kind::Bridge);
        for (option, setting) in &link.port.0 {
            let key = PORT.iter().find(|(_, known)| known == option).map(|(key, _)| *key);
            match (key, &setting.value) {
                (Some(key), OptionValue::Bool(on)) => out.put(key, *on),
                (None, OptionValue::Number(1..)) if is_bridge && matches!(*option, "cost" | "priority") => {}
                _ => losses.none(
                    link,
                    Part::Port,
                    setting.at,
                    format_args!("port option {option} {}", setting.value),
                ),
            }
        }
        if let Some(vlans) = &link.vlans {
            let at = vlans.first().map_or(link.at, |vlan| vlan.at);
            losses.none(link, Part::Vlans, at, "VLANs of a bridge's ports");
        }
    }

    /// The options of a table; those named in `others` are written elsewhere.
    fn parameters(
        &self,
        table: &'static [Parameter],
        link: &Link,
        others: &[&str],
        losses: &mut Losses,
    ) -> Map {
        let mut out = Map::default();
        let mut known: HashSet<&str> = others.iter().copied().collect();
        for parameter in table.iter().filter(|parameter| parameter.is_usual()) {
            let name = parameter.key.name;
            if let How::Set(words) = parameter.how {
                known.extend(words.iter().map(|(_, option)| *option));
                let is_on = |option: &str| link.settings.get(option) == Some(&OptionValue::Bool(true));
                let on = words.iter().filter(|(_, option)| is_on(option)).map(|(word, _)| *word);
                out.put_filled(name, OutputTree::texts(on));
                continue;
            }
            let Some(setting) =
                link.settings.0.get(parameter.option).filter(|_| known.insert(parameter.option))
            else {
                continue;
            };
            match self.parameter(parameter, link.kind, &setting.value) {
                Some(value) => out.put(name, value),
                None if is_default(parameter.option, &setting.value) => {}
                None => losses.none(
                    link,
                    Part::Settings,
                    setting.at,
                    format_args!("value {} for {name}", setting.value),
                ),
            }
        }
        for (option, setting) in link.settings.0.iter().filter(|(option, _)| !known.contains(*option)) {
            if is_default(option, &setting.value) {
                continue;
            }
            losses.none(
                link,
                Part::Settings,
                setting.at,
                format_args!("{} option {option}", link.kind.noun()),
            );
        }
        out
    }

    /// The value of an option in netplan's unit; `None` if netplan treats it as unset, or has no word for it.
    fn parameter(&self, parameter: &Parameter, kind: Kind, value: &OptionValue) -> Option<OutputTree> {
        if *value == OptionValue::Number(0) && parameter.zero_is_unset() {
            return None;
        }
        let is_link = attribute::of(kind, parameter.option).is_some_and(|row| row.form == Form::Link);
        Some(match (parameter.how, value) {
            (How::Centiseconds(_), OptionValue::Number(number)) if number % 100 != 0 => {
                OutputTree::Text(format!("{}ms", number * 10))
            }
            (How::Centiseconds(_), OptionValue::Number(number)) => OutputTree::Number(number / 100),
            (How::Words { on, .. }, OptionValue::Text(word)) if word == on => OutputTree::Bool(true),
            (How::Words { off, .. }, OptionValue::Text(word)) if word == off => OutputTree::Bool(false),
            (How::Words { .. }, _) => return None,
            (_, OptionValue::Number(number)) => OutputTree::Number(*number),
            (_, OptionValue::Bool(on)) => OutputTree::Bool(*on),
            (_, OptionValue::Range(low, high)) => {
                OutputTree::List(vec![i64::from(*low).into(), i64::from(*high).into()])
            }
            (_, OptionValue::Ips(ips)) => OutputTree::texts(ips),
            (_, OptionValue::Text(id)) if is_link => OutputTree::Text(self.id(id).to_owned()),
            (_, other) => OutputTree::Text(other.to_string()),
        })
    }
}

/// The name servers of a link. netplan takes addresses without a zone: a link-local one is asked through its own link.
fn name_servers(link: &Link, losses: &mut Losses) -> Map {
    let mut out = Map::default();
    let resolver = &link.resolver;
    let is_own = |server: &IpAddr| resolver.zones.get(server).is_none_or(|zone| *zone == link.id);
    let (own, others): (Vec<Located<IpAddr>>, Vec<_>) =
        resolver.servers.iter().copied().partition(|server| is_own(&server.value));
    for server in others {
        losses.none(
            link,
            Part::Resolver,
            server.at,
            format_args!("name server {} on another link", server.value),
        );
    }
    out.put_filled("addresses", OutputTree::texts(own.iter().map(|server| server.value)));
    out.put_filled("search", OutputTree::texts(resolver.search.iter().map(|domain| &domain.value)));
    out
}

/// Kernel defaults, so that nothing is lost if netplan cannot express them.
fn is_default(option: &str, value: &OptionValue) -> bool {
    const ZERO: &[&str] = &["arp_interval", "downdelay", "maxaddress", "min_links", "tos", "updelay"];
    match value {
        OptionValue::Number(0) => ZERO.contains(&option),
        OptionValue::Bool(false) => option == "vlan_filtering",
        _ => false,
    }
}

fn tunnel(link: &Link, out: &mut Map, losses: &mut Losses) {
    let Some(mode) = tunnel_mode(link) else { return };
    out.put("mode", mode.word);
    for end in ["local", "remote"] {
        out.put_some(end, link.settings.get(end).map(OptionValue::to_string));
    }
    out.put_some(
        "ttl",
        link.settings.number("ttl").or(link.settings.number("hoplimit")).filter(|ttl| *ttl > 0),
    );
    match (link.settings.number("ikey"), link.settings.number("okey")) {
        (Some(input), Some(output)) if input == output => out.put("key", input),
        (input, output) => {
            let mut keys = Map::default();
            keys.put_some("input", input);
            keys.put_some("output", output);
            out.put_filled("keys", keys);
        }
    }
    if let Some(parent) = &link.parent {
        losses.none(
            link,
            Part::Parent,
            parent.at,
            format_args!("link below a tunnel (\"{}\")", parent.value),
        );
    }
    // networkd and netapply give a tunnel 4.
    let limit = link.settings.0.get("encaplimit").filter(|limit| limit.value != OptionValue::Number(4));
    if let Some(limit) = limit {
        losses.none(link, Part::Settings, limit.at, format_args!("encaplimit {}", limit.value));
    }
}

fn write_wireguard(wireguard: &Wireguard, out: &mut Map) {
    out.put_some("key", wireguard.private_key.as_ref().map(|key| key.value.as_str()));
    out.put_some("port", wireguard.listen_port.map(u32::from));
    out.put_some("mark", wireguard.mark);
    let peer = |peer: &Peer| {
        let mut out = Map::default();
        let keys = out.below("keys");
        keys.put("public", peer.public_key.value.as_str());
        keys.put_some("shared", peer.shared_key.as_ref().map(|key| key.value.as_str()));
        out.put("allowed-ips", OutputTree::texts(&peer.allowed));
        out.put_some("keepalive", peer.keepalive.map(u32::from));
        out.put_some("endpoint", peer.endpoint.map(|end| std::net::SocketAddr::from(end.value).to_string()));
        OutputTree::Map(out)
    };
    out.put_filled("peers", wireguard.peers.iter().map(peer).collect::<Vec<_>>());
}

fn write_address(link: &Link, address: &Address, losses: &mut Losses) -> Option<OutputTree> {
    if !lacking_address(link, address, &["label", "preferred"], losses) {
        return None;
    }
    let mut options = Map::default();
    options.put_some("lifetime", address.preferred.map(i64::from));
    options.put_some("label", address.label.as_deref());
    if options.0.is_empty() {
        return Some(OutputTree::Text(address.net.to_string()));
    }
    let mut out = Map::default();
    out.put(&address.net.to_string(), options);
    Some(out.into())
}

/// The peers of addresses, for which netplan has no key: a gateway among them is on-link nonetheless.
fn lost_far_ends(link: &Link) -> Vec<IpNet> {
    link.addresses.iter().filter_map(|address| address.peer).collect()
}

fn write_route(link: &Link, route: &Route, far: &[IpNet], losses: &mut Losses) -> Option<OutputTree> {
    let foreign = [route.via, route.source].into_iter().flatten().find(|ip| Family::of(ip) != route.family());
    let whole = match (route.more.is_empty(), foreign) {
        (false, _) => Some("several next hops".to_owned()),
        (true, Some(ip)) => Some(format!("{ip}, of the other family")),
        (true, None) => None,
    };
    if let Some(what) = whole {
        losses.none(link, Part::Routes, route.at, format_args!("route to {} with {what}", route.to));
        return None;
    }
    let mut out = Map::default();
    let to =
        if route.is_default() && route.via.is_some() { "default".to_owned() } else { route.to.to_string() };
    out.put("to", to);
    out.put_some("via", route.via.map(|via| via.to_string()));
    out.put_some("from", route.source.map(|source| source.to_string()));
    let is_far = |via: &std::net::IpAddr| far.iter().any(|net| net.contains(via));
    if let Some(via) = route.via.filter(|via| !route.on_link && is_far(via)) {
        let what = format!("netplan has no far end of an address: the gateway {via} is written as on-link");
        losses.differs(link, Part::Routes, route.at, what);
        out.put("on-link", true);
    } else if route.on_link {
        out.put("on-link", true);
    }
    if route.kind != crate::model::RouteKind::Unicast {
        out.put("type", route.kind.word());
    }
    let is_bare = route.kind == crate::model::RouteKind::Unicast && route.via.is_none();
    match route.scope {
        Some(Scope::Global) if is_bare => {
            losses.none(link, Part::Routes, route.at, "route of global scope without a gateway");
        }
        Some(scope @ (Scope::Global | Scope::Link | Scope::Host)) => out.put("scope", scope.to_string()),
        Some(scope) => losses.none(link, Part::Routes, route.at, format_args!("scope {scope}")),
        None => {}
    }
    out.put_some("metric", route.metric);
    out.put_some("table", route.table);
    out.put_some("mtu", route.mtu);
    out.put_some("congestion-window", route.congestion_window);
    out.put_some("advertised-receive-window", route.receive_window);
    out.put_some("advertised-mss", route.advertised_mss);
    if let Some(window) = route.window {
        losses.none(link, Part::Routes, route.at, format_args!("largest window of a route ({window})"));
    }
    Some(out.into())
}

/// netplan requires one of the sides.
fn write_rule(rule: &Rule) -> OutputTree {
    let mut out = Map::default();
    let from = rule.from.or(rule.to.is_none().then(|| rule.family.everything()));
    out.put_some("from", from.map(|net| net.to_string()));
    out.put_some("to", rule.to.map(|net| net.to_string()));
    out.put("table", rule.table);
    out.put_some("priority", rule.priority);
    out.put_some("mark", rule.mark);
    out.put_some("type-of-service", rule.tos.map(u32::from));
    out.into()
}

/// DHCP, and what it sends and uses. networkd has one set of overrides for both families.
fn dhcp(link: &Link, out: &mut Map, losses: &mut Losses) {
    let asks = |dynamic| link.dynamic.iter().find(|d| d.value == dynamic);
    let (four, six) = (asks(Dynamic::Dhcp4), asks(Dynamic::Dhcp6));
    for (key, dynamic) in [("dhcp4", four), ("dhcp6", six)] {
        if dynamic.is_some() {
            out.put(key, true);
        }
    }
    let options = &link.dhcp4;
    if options.duid {
        out.put("dhcp-identifier", "duid");
    }
    let overrides = dhcp_overrides(options);
    if six.is_some() {
        out.put_filled("dhcp6-overrides", overrides.clone());
    }
    if four.is_some() {
        out.put_filled("dhcp4-overrides", overrides);
    }
    lacking_dhcp(link, DHCP_OPTIONS, losses);
}

fn dhcp_overrides(options: &DhcpOptions) -> Map {
    let mut out = Map::default();
    // With DHCP netplan uses search domains only if told to.
    let switches = [
        ("send-hostname", options.send_host_name, true),
        ("use-dns", options.use_name_servers, true),
        ("use-domains", options.use_domains, false),
        ("use-hostname", options.use_host_name, true),
        ("use-mtu", options.use_mtu, true),
        ("use-ntp", options.use_time_servers, true),
        ("use-routes", options.use_routes, true),
    ];
    for (key, on, _) in switches.into_iter().filter(|(_, on, usual)| on != usual) {
        out.put(key, on);
    }
    out.put_some("route-metric", options.metric);
    out.put_some("hostname", options.host_name.as_deref());
    out
}

fn ipv6(link: &Link, out: &mut Map, losses: &mut Losses) {
    let ipv6 = &link.ipv6;
    let asked = link.dynamic.iter().find(|d| d.value == Dynamic::RouterAdvertisements);
    let accept = ipv6.accept_ra.map(|accept| accept.value).or(asked.map(|_| true));
    out.put_some("accept-ra", accept);
    let mut overrides = Map::default();
    overrides.put_some("use-dns", ipv6.ra_name_servers.map(|on| on.value));
    overrides.put_some("use-domains", ipv6.ra_domains.map(|on| on.value));
    out.put_filled("ra-overrides", overrides);
    if let Some(autoconf) = ipv6.autoconf.filter(|autoconf| accept != Some(true) || !autoconf.value) {
        let what = format!("switch for addresses from advertised prefixes (autoconf {})", autoconf.value);
        losses.none(link, Part::Ipv6, autoconf.at, what);
    }
    if let Some(information) = ipv6.information {
        losses.none(link, Part::Ipv6, information.at, "DHCPv6 without addresses");
    }
    let six = link.addresses.iter().find(|address| address.net.addr().is_ipv6());
    if let Some(address) = six.filter(|_| ipv6.static_alone && accept.is_none()) {
        let what = "netplan accepts advertised addresses in addition to the described ones";
        losses.differs(link, Part::Ipv6, address.at, what);
    }
    match ipv6.generation.map(|generation| generation.value) {
        Some(AddressGeneration::None) => out.put("link-local", OutputTree::List(Vec::new())),
        Some(AddressGeneration::Eui64) => out.put("ipv6-address-generation", "eui64"),
        Some(AddressGeneration::Random | AddressGeneration::StableSecret) => {
            out.put("ipv6-address-generation", "stable-privacy");
        }
        None => {}
    }
    out.put_some("ipv6-address-token", ipv6.token.map(|token| token.value.to_string()));
    out.put_some("ipv6-privacy", ipv6.privacy.map(|privacy| privacy.value));
    out.put_some("ipv6-mtu", ipv6.mtu.map(|mtu| mtu.value));
}

fn activation(link: &Link, out: &mut Map, losses: &mut Losses) {
    let mode = match link.activation {
        Activation::Up => None,
        Activation::Manual => Some("manual"),
        Activation::Off => Some("off"),
    };
    out.put_some("activation-mode", mode);
    match (mode, link.optional) {
        (None, true) => out.put("optional", true),
        (Some(_), false) => {
            losses.differs(
                link,
                Part::Optional,
                link.at,
                "netplan waits for no link that it does not bring up",
            );
        }
        _ => {}
    }
    if link.ignore_carrier {
        out.put("ignore-carrier", true);
    }
}

#[cfg(test)]
mod tests;
