//! nmstate 2, by its reader's tables.

use std::net::{IpAddr, Ipv4Addr};

use foldhash::HashMap;

use super::tree::{Map, OutputTree, yaml};
use super::{
    File, HEADER, Links, Losses, Names, Nic, Part, duid_words, expressible, lacking, lacking_address,
    lacking_dhcp, nic, servers, whole_resolver,
};
use crate::format::keys::Support;
use crate::format::nmstate::bridge::{OPTIONS, PORT, STP, router_word};
use crate::format::nmstate::keys::BOND_OPTIONS;
use crate::format::nmstate::kind::{BOND_PORT, MODES, VXLAN};
use crate::format::nmstate::link::TYPES;
use crate::format::value::{Mode, bond_option};
use crate::model::attribute::{NIC, OptionValue};
use crate::model::{
    Activation, Address, AddressGeneration, Desired, DesiredMac, Dynamic, Family, Ipv6, Kind, Link,
    NamePattern, Naming, PortVlan, Resolver, Route, RouteKind, Rule, hex,
};

/// The state, as a file of its own.
pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let mut nics: HashMap<String, Map> = HashMap::default();
    let can_make = |link: &Link, losses: &mut Losses| can_make(link, names, &mut nics, losses);
    let links = expressible(desired, can_make, false, losses);
    if links.is_empty() {
        return Vec::new();
    }
    let called = |link: &Link| match nics.get(&link.id).and_then(|map| map.text("name")) {
        Some(name) => name.to_owned(),
        None => names.of(link).to_owned(),
    };
    let called = links.iter().map(|link| (link.id.clone(), called(link))).collect();
    let writer = Writer { names: called, links: Links::new(&links) };
    let mut root = Map::default();
    if let Some(name) = &desired.host_name {
        root.below("hostname").put("config", name.value.as_str());
    }
    let interfaces = links.iter().map(|link| writer.interface(link, nics.remove(&link.id), losses));
    root.put("interfaces", interfaces.map(OutputTree::Map).collect::<Vec<_>>());
    let routes: Vec<OutputTree> = links.iter().flat_map(|link| writer.routes(link, losses)).collect();
    if !routes.is_empty() {
        root.below("routes").put("config", routes);
    }
    let of_links = links.iter().flat_map(|link| link.rules.iter().map(move |rule| (Some(link), rule)));
    let rules = desired.rules.iter().map(|rule| (None, rule)).chain(of_links);
    let rules: Vec<OutputTree> = rules.filter_map(|(link, rule)| writer.rule(link, rule, losses)).collect();
    if !rules.is_empty() {
        root.below("route-rules").put("config", rules);
    }
    let resolver = kept(whole_resolver(desired, &links), &links, losses);
    if !resolver.servers.is_empty() || !resolver.search.is_empty() {
        let shown = servers(&resolver, |zone| writer.name(zone));
        let config = root.below("dns-resolver").below("config");
        config.put_filled("server", OutputTree::texts(shown));
        config.put_filled("search", OutputTree::texts(resolver.search.iter().map(|domain| &domain.value)));
    }
    vec![File {
        name: "nmstate.yaml".to_owned(),
        mode: 0o644,
        group: None,
        text: format!("{HEADER}{}", yaml(&root)),
    }]
}

/// Whether nmstate has such links; a NIC's match is added to `nics`.
fn can_make(link: &Link, names: &Names<'_>, nics: &mut HashMap<String, Map>, losses: &mut Losses) -> bool {
    let noun = link.kind.noun();
    let tunnel = Mode::all().find(|mode| mode.kind == link.kind);
    let lacks = match link.kind {
        Kind::Physical => return matched(link, names, nics, losses).is_some(),
        Kind::Wireguard => Some("WireGuard links".to_owned()),
        _ if tunnel.is_some() && mode(link).is_none() => {
            Some(format!("{noun} of mode {}", link.settings.word("mode").unwrap_or("gre or vti")))
        }
        _ if tunnel.is_some() && link.settings.get("remote").is_none() => {
            Some(format!("{noun} without a remote address"))
        }
        _ => None,
    };
    if let Some(what) = &lacks {
        losses.none(link, Part::Kind, link.at, what);
    }
    lacks.is_none()
}

fn mode(link: &Link) -> Option<&'static Mode> {
    let inside = link.settings.word("mode");
    let of_kind = Mode::all().filter(|mode| mode.kind == link.kind && MODES.contains(&mode.word));
    of_kind.into_iter().find(|mode| inside.is_none_or(|word| word == mode.inside()))
}

/// How a NIC is identified.
fn matched(
    link: &Link,
    names: &Names<'_>,
    nics: &mut HashMap<String, Map>,
    losses: &mut Losses,
) -> Option<()> {
    let mut out = Map::default();
    // The alternative name must not be that of another NIC, as which nmstate takes the one that it finds no NIC for.
    let is_other = matches!(&link.naming, Naming::Alternative(name) if name.value.as_str() == link.id);
    let id = if is_other { format!("{}-nic", link.id) } else { link.id.clone() };
    if let Some(pci) = &link.select.pci {
        out.put("name", id);
        out.put("type", "ethernet");
        out.put("identifier", "pci-address");
        out.put("pci-address", pci.value.as_str());
    } else {
        match nic(link, names, losses)? {
            Nic::Mac(mac) => {
                out.put("name", id);
                out.put("type", "ethernet");
                out.put("identifier", "mac-address");
                out.put("mac-address", mac.value.to_string());
            }
            Nic::Name(name) => {
                out.put("name", name);
                out.put("type", if name == "lo" { "loopback" } else { "ethernet" });
            }
        }
    }
    if link.settings.get("mode").is_some() {
        out.0.retain(|(key, _)| key != "type");
        out.put("type", "infiniband");
    }
    nics.insert(link.id.clone(), out);
    Some(())
}

struct Writer<'a> {
    /// The name of each link, by its id.
    names: HashMap<String, String>,
    links: Links<'a>,
}

/// Whether nmstate has a family of a link turned on: by an address, or by what brings one.
fn has_family(link: &Link, family: Family) -> bool {
    let is_own =
        |address: &Address| Family::of(&address.net.addr()) == family && address.net.prefix_len() > 0;
    let listens = || family == Family::V6 && link.ipv6.accept_ra.is_some_and(|accept| accept.value);
    let asks = || link.dynamic.iter().any(|dynamic| dynamic.value.family() == family);
    link.addresses.iter().any(is_own) || asks() || listens()
}

/// Leaves out the servers that nmstate finds no link for.
fn kept(mut resolver: Resolver, links: &[Link], losses: &mut Losses) -> Resolver {
    let Some(first) = links.first() else { return resolver };
    resolver.servers.retain(|server| {
        let family = Family::of(&server.value);
        let zone = resolver.zones.get(&server.value);
        let is_kept =
            links.iter().any(|link| zone.is_none_or(|zone| *zone == link.id) && has_family(link, family));
        if !is_kept {
            let what = format!("name server ({}) where no link has an address of its family", server.value);
            losses.none(first, Part::Resolver, server.at, what);
        }
        is_kept
    });
    resolver
}

impl Writer<'_> {
    fn name<'s>(&'s self, id: &'s str) -> &'s str {
        self.names.get(id).map_or(id, String::as_str)
    }

    fn interface(&self, link: &Link, nic: Option<Map>, losses: &mut Losses) -> Map {
        let is_nic = nic.is_some();
        let by_mac = link.select.mac.is_some() && is_nic;
        let mut out = nic.unwrap_or_default();
        if !is_nic {
            out.put("name", self.name(&link.id));
            // The mode determines the kind of a tunnel.
            let of = TYPES
                .iter()
                .find(|of| of.kind == link.kind)
                .or(TYPES.iter().find(|of| of.own == "ip-tunnel"));
            out.put("type", of.map_or("", |of| of.word));
        }
        let down = link.activation == Activation::Off;
        out.put("state", if down { "down" } else { "up" });
        match &link.naming {
            Naming::Alternative(name) if out.text("name") != Some(name.value.as_str()) => {
                let mut one = Map::default();
                one.put("name", name.value.as_str());
                out.put("alt-names", vec![OutputTree::Map(one)]);
            }
            // The name of a NIC that is found by its address renames nothing.
            Naming::Set(name) if is_nic && !is_found_by(link, name.value.as_str()) => {
                losses.none(link, Part::Naming, name.at, format_args!("name to give a NIC ({})", name.value));
            }
            _ => {}
        }
        match link.mac.map(|mac| (mac.value, mac.at)) {
            Some((DesiredMac::Is(mac), _)) if !by_mac => out.put("mac-address", mac.to_string()),
            Some((_, at)) => losses.none(link, Part::Mac, at, "such a MAC address here"),
            None => {}
        }
        out.put_some("accept-all-mac-addresses", link.promiscuous.map(|on| on.value));
        let of_vxlan = self.links.vxlan_mtu(link).filter(|_| link.mtu.is_none());
        if of_vxlan.is_some() {
            let what = "NetworkManager makes a VXLAN before it sets the MTU of the link below: it gets the one that follows";
            losses.differs(link, Part::Mtu, link.at, what);
        }
        out.put_some("mtu", of_vxlan.or(link.mtu.map(|mtu| mtu.value.get())));
        self.kind(link, &mut out, losses);
        let controller = self.links.controller(&link.id).map(|controller| controller.kind);
        let is_port = matches!(controller, Some(Kind::Bond | Kind::Bridge));
        let is_off = link.ipv6.generation.is_some_and(|mode| mode.value == AddressGeneration::None);
        let settings = Ipv6 { static_alone: false, ..link.ipv6.clone() };
        let has_ipv6 = has_family(link, Family::V6) || (settings != Ipv6::default() && !is_off);
        if is_port && (has_family(link, Family::V4) || has_ipv6) {
            let all = [
                (Part::Addresses, !link.addresses.is_empty(), "address"),
                (Part::Dynamic, !link.dynamic.is_empty(), "lease"),
                (Part::Ipv6, settings != Ipv6::default(), "IPv6 setting"),
            ];
            for (part, _, what) in all.into_iter().filter(|(_, is_set, _)| *is_set) {
                losses.none(link, part, link.at, format_args!("{what} of a port of a bond or bridge"));
            }
        } else {
            ipv4(link, &mut out, losses);
            ipv6(link, &mut out, losses);
        }
        for group in NIC {
            for row in group.rows {
                let Some(value) = link.tuning.get(row.name) else { continue };
                let (own, key) = match group.prefix.strip_suffix('-') {
                    Some(part) => (out.below("ethtool").below(part), row.name.strip_prefix(group.prefix)),
                    None => (
                        out.below("ethernet"),
                        Some(if row.name == "autoneg" { "auto-negotiation" } else { row.name }),
                    ),
                };
                let key = key.unwrap_or(row.name);
                match value {
                    OptionValue::Bool(on) => own.put(key, *on),
                    OptionValue::Number(number) => own.put(key, *number),
                    other => own.put(key, other.to_string()),
                }
            }
        }
        for (feature, on) in &link.features {
            // ethtool's own name for a group of features is not a kernel feature.
            match *feature {
                "tx-checksumming" => losses.none(link, Part::Features, on.at, "offload tx-checksumming"),
                feature => out.below("ethtool").below("feature").put(feature, on.value),
            }
        }
        let parts: &[Part] = &[Part::WakeOnLan, Part::Remotes, Part::IgnoreCarrier];
        lacking(link, parts, losses);
        if link.activation == Activation::Manual {
            losses.none(link, Part::Activation, link.at, "link that is left as it is");
        }
        if (link.optional || link.activation == Activation::Manual) && !down {
            losses.differs(link, Part::Optional, link.at, "nmstate waits for no link in particular");
        }
        self.port(link, losses);
        out
    }

    fn kind(&self, link: &Link, out: &mut Map, losses: &mut Losses) {
        let parent = link.parent.as_ref().map(|parent| self.name(&parent.value));
        let members = || OutputTree::texts(link.members.iter().map(|member| self.name(&member.value)));
        match link.kind {
            Kind::Physical => {
                if let Some(mode) = link.settings.word("mode") {
                    out.below("infiniband").put("mode", mode);
                    // No partition, which it wants to be told.
                    out.below("infiniband").put("pkey", "0xffff");
                }
            }
            Kind::Bond => {
                let own = out.below("link-aggregation");
                own.put("mode", link.settings.word("mode").unwrap_or("balance-rr"));
                own.put("port", members());
                self.bond(link, own, losses);
            }
            Kind::Bridge => self.bridge(link, out.below("bridge"), losses),
            Kind::Vlan => {
                let own = out.below("vlan");
                own.put_some("base-iface", parent);
                own.put_some("id", link.settings.number("id"));
                own.put_some("protocol", link.settings.word("protocol").map(str::to_lowercase));
            }
            Kind::Vrf => {
                let own = out.below("vrf");
                own.put_some("route-table-id", link.settings.number("table"));
                own.put("port", members());
            }
            Kind::Veth => {
                out.below("veth").put_some("peer", link.peer.as_ref().map(|peer| self.name(&peer.value)));
            }
            Kind::Macvlan => {
                let own = out.below("mac-vlan");
                own.put_some("base-iface", parent);
                own.put_some("mode", link.settings.word("mode"));
            }
            Kind::Vxlan => vxlan(link, parent, out.below("vxlan"), losses),
            Kind::Dummy | Kind::Wireguard => {}
            _ => tunnel(link, out.below("ip-tunnel"), losses),
        }
    }

    fn bond(&self, link: &Link, own: &mut Map, losses: &mut Losses) {
        for (option, setting) in link.settings.0.iter().filter(|(option, _)| **option != "mode") {
            let is_key = |name: &str| bond_option(name).is_some_and(|row| row.name == *option);
            let key =
                BOND_OPTIONS.keys.iter().find(|key| key.support == Support::Applied && is_key(key.name));
            let Some(key) = key else {
                losses.none(link, Part::Settings, setting.at, format_args!("bond option {option}"));
                continue;
            };
            let value: OutputTree = match (&setting.value, *option) {
                (OptionValue::Bool(on), "all_slaves_active") => {
                    if *on { "delivered" } else { "dropped" }.into()
                }
                (OptionValue::Bool(on), _) => (*on).into(),
                (OptionValue::Number(number), _) => (*number).into(),
                (OptionValue::Text(id), "primary") => self.name(id).into(),
                (OptionValue::Ips(ips), "ns_ip6_target") => OutputTree::texts(ips),
                (other, _) => other.to_string().into(),
            };
            own.below("options").put(key.name, value);
        }
        let (mut ports, mut is_configured) = (Vec::new(), false);
        for member in &link.members {
            let Some(port) = self.links.get(&member.value) else { continue };
            let mut one = Map::default();
            for (key, option) in BOND_PORT {
                one.put_some(key, port.port.number(option));
            }
            is_configured |= !one.0.is_empty();
            one.0.insert(0, ("name".to_owned(), self.name(&port.id).into()));
            ports.push(OutputTree::Map(one));
        }
        // All of them, or none.
        if is_configured {
            own.put("ports-config", ports);
        }
    }

    fn bridge(&self, link: &Link, own: &mut Map, losses: &mut Losses) {
        let mut filters = false;
        let mut ports = Vec::new();
        for member in &link.members {
            let mut one = Map::default();
            one.put("name", self.name(&member.value));
            if let Some(port) = self.links.get(&member.value) {
                for (key, option) in PORT {
                    match port.port.get(option) {
                        Some(OptionValue::Bool(on)) => one.put(key, *on),
                        Some(OptionValue::Number(number)) => one.put(key, *number),
                        _ => {}
                    }
                }
                if let Some(vlans) = &port.vlans {
                    filters = true;
                    one.put("vlan", port_vlans(port, vlans.iter().map(|vlan| vlan.value), losses));
                }
            }
            ports.push(OutputTree::Map(one));
        }
        for (option, setting) in &link.settings.0 {
            let find =
                |table: &'static [(&str, &str, bool)]| table.iter().find(|(_, known, _)| known == option);
            // It is the VLAN of frames without a tag, which nmstate wants to be 1 where there are no VLANs.
            if *option == "vlan_default_pvid" && !filters && setting.value != OptionValue::Number(1) {
                losses.none(
                    link,
                    Part::Settings,
                    setting.at,
                    format_args!("bridge option {option} without VLANs"),
                );
                continue;
            }
            // nmstate has the range of a bridge with STP.
            let is_short = *option == "forward_delay"
                && !matches!(setting.value, OptionValue::Number(hundredths) if (200..=3000).contains(&hundredths));
            let (into, row) = match (find(OPTIONS), find(STP).filter(|_| !is_short)) {
                (Some(row), _) => (own.below("options"), row),
                (None, Some(row)) => (own.below("options").below("stp"), row),
                (None, None) => {
                    // It follows from the VLANs of ports.
                    if *option != "vlan_filtering" || (setting.value == OptionValue::Bool(true) && !filters) {
                        losses.none(link, Part::Settings, setting.at, format_args!("bridge option {option}"));
                    }
                    continue;
                }
            };
            match (&setting.value, row.2) {
                (OptionValue::Bool(on), _) => into.put(row.0, *on),
                (OptionValue::Number(number), false) if *option == "mcast_router" => {
                    into.put_some(row.0, router_word(*number));
                }
                (OptionValue::Number(number), false) => into.put(row.0, *number),
                (OptionValue::Text(_) | OptionValue::Mac(_), false) => {
                    into.put(row.0, setting.value.to_string().to_ascii_lowercase());
                }
                (OptionValue::Number(number), true) if number % 100 == 0 => into.put(row.0, number / 100),
                (value, _) => {
                    losses.none(
                        link,
                        Part::Settings,
                        setting.at,
                        format_args!("{option} of {value} hundredths"),
                    );
                }
            }
        }
        own.put("port", ports);
        if let Some(first) = link.vlans.as_ref().and_then(|vlans| vlans.first()) {
            losses.differs(
                link,
                Part::Vlans,
                first.at,
                "the VLANs of the bridge itself follow from those on it",
            );
        }
    }

    /// Options as a port that nmstate cannot express.
    fn port(&self, link: &Link, losses: &mut Losses) {
        let known: &[(&str, &str)] = match self.links.controller(&link.id).map(|controller| controller.kind) {
            Some(Kind::Bond) => BOND_PORT,
            Some(Kind::Bridge) => PORT,
            _ => &[],
        };
        let lost = link.port.0.iter().filter(|(option, _)| known.iter().all(|(_, own)| own != *option));
        for (option, setting) in lost {
            losses.none(link, Part::Port, setting.at, format_args!("port option {option} {}", setting.value));
        }
    }

    fn rule(&self, link: Option<&Link>, rule: &Rule, losses: &mut Losses) -> Option<OutputTree> {
        if rule.tos.is_some() {
            let message = format!(
                "nmstate has no type of service in rules: the rule for table {} is left out",
                rule.table
            );
            let code = crate::diagnostic::Code::NotInFormat;
            let id = link.map_or("", |link| &link.id);
            losses.push(id, Part::Rules, crate::diagnostic::Diagnostic::new(code, rule.at, message));
            return None;
        }
        let mut out = Map::default();
        out.put("family", if rule.family == Family::V4 { "ipv4" } else { "ipv6" });
        out.put_some("ip-from", rule.from.map(|net| net.to_string()));
        out.put_some("ip-to", rule.to.map(|net| net.to_string()));
        out.put_some("iif", rule.iif.as_ref().map(|id| self.name(id)));
        out.put_some("fwmark", rule.mark);
        out.put_some("fwmask", rule.mask);
        out.put_some("priority", rule.priority);
        out.put_some("suppress-prefix-length", rule.suppress);
        match rule.action {
            RouteKind::Unicast => out.put("route-table", rule.table),
            kind => out.put("action", kind.word()),
        }
        Some(out.into())
    }

    fn routes(&self, link: &Link, losses: &mut Losses) -> Vec<OutputTree> {
        let mut out = Vec::new();
        for route in &link.routes {
            let Some(one) = self.route(link, route, losses) else { continue };
            out.push(one);
            for hop in &route.more {
                let mut more = out.last().map_or(Map::default(), |first| match first {
                    OutputTree::Map(first) => first.clone(),
                    _ => Map::default(),
                });
                more.0.retain(|(key, _)| !key.starts_with("next-hop") && key != "weight");
                more.put("next-hop-interface", self.name(hop.link.as_ref().unwrap_or(&link.id)));
                more.put_some("next-hop-address", hop.via.map(|via| via.to_string()));
                more.put("weight", i64::from(hop.weight));
                out.push(OutputTree::Map(more));
            }
        }
        out
    }

    fn route(&self, link: &Link, route: &Route, losses: &mut Losses) -> Option<OutputTree> {
        const KINDS: [RouteKind; 3] = [RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit];
        let kind = KINDS.contains(&route.kind).then(|| route.kind.word());
        if kind.is_none() && route.kind != RouteKind::Unicast {
            losses.none(link, Part::Routes, route.at, format_args!("route of type {}", route.kind.word()));
            return None;
        }
        let family = route.family();
        let is_zero = route.to.addr() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && route.to.prefix_len() >= 8;
        let lacks = match () {
            () if kind.is_some() => None,
            () if family == Family::V4 && !has_family(link, family) => {
                Some("on a link without an IPv4 address")
            }
            () if is_zero => Some("in the network of no address"),
            () => None,
        };
        if let Some(what) = lacks {
            losses.none(link, Part::Routes, route.at, format_args!("route to {} {what}", route.to));
            return None;
        }
        let mut out = Map::default();
        out.put("destination", route.to.to_string());
        // Those that drop packets are on no link.
        out.put_some("next-hop-interface", kind.is_none().then(|| self.name(&link.id)));
        out.put_some("next-hop-address", route.via.map(|via| via.to_string()));
        out.put_some("route-type", kind);
        out.put_some("metric", route.metric);
        out.put_some("table-id", route.table);
        out.put_some("source", route.source.map(|source| source.to_string()));
        out.put_some("mtu", route.mtu);
        out.put_some("cwnd", route.congestion_window);
        out.put_some("initrwnd", route.receive_window);
        out.put_some("advmss", route.advertised_mss);
        if !route.more.is_empty() {
            out.put("weight", i64::from(route.weight));
        }
        let lost = [
            (route.scope.map(|scope| scope.to_string()), "scope of a route"),
            (route.window.map(|window| window.to_string()), "largest window of a route"),
        ];
        for (value, what) in lost {
            if let Some(value) = value {
                losses.none(link, Part::Routes, route.at, format_args!("{what} ({value})"));
            }
        }
        if route.on_link || route.more.iter().any(|hop| hop.on_link) {
            let what =
                format!("nmstate has no on-link routes: that to {} needs a gateway in a subnet", route.to);
            losses.differs(link, Part::Routes, route.at, what);
        } else if route.via.is_some() && link.addresses.iter().any(|address| address.peer.is_some()) {
            let what = "nmstate has no far end of an address, in which a gateway may be";
            losses.differs(link, Part::Routes, route.at, what);
        }
        Some(out.into())
    }
}

/// The VLANs of a port.
fn port_vlans(port: &Link, vlans: impl Iterator<Item = PortVlan>, losses: &mut Losses) -> Map {
    let vlans: Vec<PortVlan> = vlans.collect();
    let mut out = Map::default();
    let (native, tagged): (Vec<PortVlan>, Vec<PortVlan>) =
        vlans.iter().partition(|vlan| vlan.pvid && vlan.untagged && vlan.first == vlan.last);
    let odd = tagged.iter().any(|vlan| vlan.pvid || vlan.untagged) || native.len() > 1;
    if odd {
        losses.none(port, Part::Vlans, port.at, "VLAN of untagged frames in one direction only");
    }
    let native = native.first().map(|vlan| i64::from(vlan.first));
    if let (Some(tag), true) = (native, tagged.is_empty()) {
        out.put("mode", "access");
        out.put("tag", tag);
        return out;
    }
    out.put("mode", "trunk");
    let tags = tagged.iter().filter(|vlan| !vlan.pvid && !vlan.untagged).map(|vlan| {
        let mut one = Map::default();
        if vlan.first == vlan.last {
            one.put("id", i64::from(vlan.first));
        } else {
            let range = one.below("id-range");
            range.put("min", i64::from(vlan.first));
            range.put("max", i64::from(vlan.last));
        }
        OutputTree::Map(one)
    });
    out.put("trunk-tags", tags.collect::<Vec<_>>());
    if let Some(tag) = native {
        out.put("tag", tag);
        out.put("enable-native", true);
    }
    out
}

fn vxlan(link: &Link, parent: Option<&str>, own: &mut Map, losses: &mut Losses) {
    own.put_some("base-iface", parent);
    own.put_some("id", link.settings.number("id"));
    let ends = [("local", "local"), ("local", "local6"), ("remote", "remote"), ("remote", "remote6")];
    for (key, option) in ends {
        own.put_some(key, link.settings.get(option).map(OptionValue::to_string));
    }
    for (option, setting) in &link.settings.0 {
        let key = VXLAN.iter().find(|(_, known)| known == option).map(|(key, _)| *key);
        match (key, &setting.value) {
            (Some(key), OptionValue::Bool(on)) => own.put(key, *on),
            (Some(key), OptionValue::Number(number)) => own.put(key, *number),
            _ if *option == "id" || ends.iter().any(|(_, end)| end == option) => {}
            (_, OptionValue::Number(0)) if matches!(*option, "maxaddress" | "tos") => {}
            _ => losses.none(link, Part::Settings, setting.at, format_args!("VXLAN option {option}")),
        }
    }
}

fn tunnel(link: &Link, own: &mut Map, losses: &mut Losses) {
    own.put_some("mode", mode(link).map(|mode| mode.word));
    for end in ["local", "remote"] {
        own.put_some(end, link.settings.get(end).map(OptionValue::to_string));
    }
    own.put_some(
        "ttl",
        link.settings.number("ttl").or(link.settings.number("hoplimit")).filter(|ttl| *ttl > 0),
    );
    own.put_some("encap-limit", link.settings.number("encaplimit"));
    if let Some(parent) = &link.parent {
        losses.none(link, Part::Parent, parent.at, "link below a tunnel that netapply would read back");
    }
}

fn addresses(link: &Link, family: Family, losses: &mut Losses) -> Vec<OutputTree> {
    let own = link.addresses.iter().filter(|address| Family::of(&address.net.addr()) == family);
    let mut out = Vec::new();
    for address in own {
        if lacking_address(link, address, &[], losses) {
            let mut one = Map::default();
            one.put("ip", address.net.addr().to_string());
            one.put("prefix-length", i64::from(address.net.prefix_len()));
            out.push(OutputTree::Map(one));
        }
    }
    out
}

fn ipv4(link: &Link, out: &mut Map, losses: &mut Losses) {
    let dhcp = link.asks(Dynamic::Dhcp4);
    let addresses = addresses(link, Family::V4, losses);
    let own = out.below("ipv4");
    own.put("enabled", dhcp || !addresses.is_empty());
    if dhcp || !addresses.is_empty() {
        own.put("dhcp", dhcp);
    }
    own.put_some("forwarding", link.forwarding.map(|on| on.value));
    own.put_filled("address", addresses);
    if !dhcp {
        return lacking_dhcp(link, &["duid6"], losses);
    }
    let options = &link.dhcp4;
    // nmstate reads one byte as text.
    let id = options.client_id.as_deref().filter(|id| id.len() > 1);
    match id {
        Some(id) => own.put("dhcp-client-id", hex(id)),
        None if options.duid => own.put("dhcp-client-id", "iaid+duid"),
        None => {}
    }
    let switches = [
        ("dhcp-send-hostname", options.send_host_name),
        ("auto-dns", options.use_name_servers),
        ("auto-routes", options.use_routes),
        ("auto-gateway", options.use_routes),
    ];
    for (key, on) in switches.into_iter().filter(|(_, on)| !on) {
        own.put(key, on);
    }
    own.put_some("dhcp-custom-hostname", options.host_name.as_deref());
    own.put_some("auto-route-metric", options.metric);
    own.put_some("auto-route-table-id", options.table);
    let known = [
        id.map_or("", |_| "client_id"),
        "duid",
        "send_host_name",
        "host_name",
        "use_name_servers",
        "use_routes",
        "metric",
        "table",
        "duid6",
    ];
    lacking_dhcp(link, &known, losses);
}

/// nmstate accepts advertisements only with `autoconf`, which comes with DHCPv6.
fn ipv6(link: &Link, out: &mut Map, losses: &mut Losses) {
    let ipv6 = &link.ipv6;
    super::lacking_ipv6(link, &["accept_ra", "autoconf", "generation", "token"], losses);
    let dhcp = link.dynamic.iter().find(|d| d.value == Dynamic::Dhcp6);
    let asked = link.asks(Dynamic::RouterAdvertisements);
    let accept = ipv6.accept_ra.map(|accept| accept.value).or(asked.then_some(true));
    if let Some(autoconf) = ipv6.autoconf.filter(|autoconf| accept != Some(true) || !autoconf.value) {
        losses.none(link, Part::Ipv6, autoconf.at, "switch for addresses from advertised prefixes");
    }
    let addresses = addresses(link, Family::V6, losses);
    let none = ipv6.generation.filter(|generation| generation.value == AddressGeneration::None);
    if let Some(none) = none {
        if addresses.is_empty() && dhcp.is_none() && accept != Some(true) {
            out.below("ipv6").put("enabled", false);
            if accept.is_none() {
                let what = "nmstate turns router advertisements off with the link-local address";
                losses.differs(link, Part::Ipv6, none.at, what);
            }
            return;
        }
        losses.none(link, Part::Ipv6, none.at, "link with IPv6 and no link-local address");
    }
    let is_gateway = |route: &Route| route.family() == Family::V6 && route.kind == RouteKind::Unicast;
    let is_needed = link.routes.iter().any(is_gateway);
    let is_on = !addresses.is_empty() || dhcp.is_some() || accept.is_some() || is_needed;
    let own = out.below("ipv6");
    if is_on {
        // Routes from router advertisements are used if there is no other default route.
        let has_default =
            || link.routes.iter().any(|route| route.is_default() && route.family() == Family::V6);
        let autoconf = accept.unwrap_or(dhcp.is_some() && !ipv6.static_alone && !has_default());
        own.put("enabled", true);
        own.put("autoconf", autoconf);
        own.put("dhcp", dhcp.is_some() || autoconf);
        if autoconf && dhcp.is_none() {
            let what = "nmstate has router advertisements with DHCPv6 only, where they ask for it";
            losses.differs(link, Part::Dynamic, link.at, what);
        }
        if accept.is_none() {
            let word = if autoconf { "takes" } else { "ignores" };
            let what = format!("nmstate says whether router advertisements are taken: it {word} them here");
            losses.differs(link, Part::Ipv6, link.at, what);
        } else if ipv6.static_alone {
            losses.differs(link, Part::Ipv6, link.at, "nmstate takes all that routers advertise, or nothing");
        }
    }
    own.put_filled("address", addresses);
    let mode = match ipv6.generation.map(|generation| generation.value) {
        Some(AddressGeneration::Eui64) => Some("eui64"),
        Some(AddressGeneration::StableSecret | AddressGeneration::Random) => Some("stable-privacy"),
        Some(AddressGeneration::None) | None => None,
    };
    own.put_some("addr-gen-mode", mode);
    if let Some(duid) = link.dhcp4.duid6.as_deref().filter(|_| dhcp.is_some()) {
        own.put("dhcp-duid", duid_words(duid));
    }
    own.put_some("token", ipv6.token.map(|token| token.value.to_string()));
    if own.0.is_empty() {
        out.0.retain(|(key, _)| key != "ipv6");
    }
}

/// Whether a NIC is matched by this name.
fn is_found_by(link: &Link, name: &str) -> bool {
    matches!(link.select.name.as_ref().map(|known| &known.value), Some(NamePattern::Exact(known)) if known == name)
}
