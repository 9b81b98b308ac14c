//! cloud-init's network-config version 1.

use super::debian::{Called, far_end};
use super::tree::{Map, OutputTree, yaml};
use super::{
    File, HEADER, Links, Losses, Names, Part, expressible, host_name, is_bond_bridge_or_vlan, lacking,
    lacking_address, lacking_dhcp, lacking_ipv6, lacking_route, machine_rules, servers,
};
use crate::format::value::BRIDGE_NAMES;
use crate::model::attribute::{self, Form, OptionValue};
use crate::model::{Activation, Desired, DesiredMac, Dynamic, Family, Kind, Link, Naming, Resolver, Route};

/// The options of bridges that cloud-init supports.
const BRIDGE: &[&str] = &["stp", "fd", "hello", "maxage", "ageing", "bridgeprio"];

/// The file as it is on a NoCloud drive.
pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let mut called = Called::new(desired.links.iter(), names);
    let links =
        expressible(desired, |link, losses| can_make(link, names, &mut called, losses), false, losses);
    host_name(desired, losses);
    machine_rules(desired, losses);
    if links.is_empty() {
        return Vec::new();
    }
    let writer = Writer { called, links: Links::new(&links) };
    let mut config: Vec<OutputTree> = links.iter().map(|link| writer.item(link, losses).into()).collect();
    for link in links.iter() {
        config.extend(writer.name_servers(&link.resolver, Some(link)));
    }
    config.extend(writer.name_servers(&desired.resolver, None));
    let mut root = Map::default();
    root.put("version", 1_i64);
    root.put("config", config);
    let text = format!("{HEADER}{}", yaml(&root));
    vec![File { name: "network-config".to_owned(), mode: 0o644, group: None, text }]
}

fn can_make(link: &Link, names: &Names<'_>, called: &mut Called, losses: &mut Losses) -> bool {
    match link.kind {
        Kind::Physical => called.nic(link, names, losses),
        _ => is_bond_bridge_or_vlan(link, losses),
    }
}

struct Writer<'a> {
    called: Called,
    links: Links<'a>,
}

impl Writer<'_> {
    fn name<'s>(&'s self, link: &'s Link) -> &'s str {
        self.called.of(&link.id)
    }

    fn item(&self, link: &Link, losses: &mut Losses) -> Map {
        let mut out = Map::default();
        let of_kind = match link.kind {
            Kind::Physical => "physical",
            kind => kind.word(),
        };
        out.put("type", of_kind);
        out.put("name", self.name(link));
        let members = || OutputTree::texts(link.members.iter().map(|m| self.called.of(&m.value)));
        match link.kind {
            Kind::Bond => {
                out.put("bond_interfaces", members());
                let mut params = Map::default();
                for (option, setting) in &link.settings.0 {
                    params.put(
                        &format!("bond-{}", option.replace('_', "-")),
                        self.bond(option, &setting.value),
                    );
                }
                out.put_filled("params", params);
            }
            Kind::Bridge => {
                out.put("bridge_interfaces", members());
                let params = self.bridge(link, losses);
                out.put_filled("params", params);
            }
            Kind::Vlan => {
                out.put_some("vlan_link", link.parent.as_ref().map(|parent| self.called.of(&parent.value)));
                out.put_some("vlan_id", link.settings.number("id"));
            }
            _ => self.nic(link, &mut out, losses),
        }
        match link.mac.map(|mac| (mac.value, mac.at)) {
            Some((DesiredMac::Is(mac), _)) if link.kind != Kind::Physical => {
                out.put("mac_address", mac.to_string());
            }
            Some((_, at)) => losses.none(link, Part::Mac, at, "MAC address that a NIC gets"),
            None => {}
        }
        out.put_some("mtu", link.mtu.map(|mtu| mtu.value.get()));
        out.put_some("accept-ra", link.ipv6.accept_ra.map(|accept| accept.value));
        out.put_filled("subnets", self.subnets(link, losses));
        let parts = [
            Part::Features,
            Part::Tuning,
            Part::Remotes,
            Part::Forwarding,
            Part::Promiscuous,
            Part::IgnoreCarrier,
            Part::Rules,
            Part::Vlans,
            Part::Optional,
        ];
        lacking(link, &parts, losses);
        if link.kind == Kind::Bridge {
            if let Some(first) = link.vlans.as_ref().and_then(|vlans| vlans.first()) {
                losses.none(link, Part::Vlans, first.at, "VLANs of a bridge");
            }
        }
        if link.activation == Activation::Off {
            losses.none(link, Part::Activation, link.at, "link that is taken down");
        }
        let is_port = self.links.controller(&link.id).is_some_and(|other| other.kind == Kind::Bridge);
        for (option, setting) in &link.port.0 {
            if !(is_port && matches!(*option, "cost" | "priority")) {
                let what = format!("port option {option} {}", setting.value);
                losses.none(link, Part::Port, setting.at, what);
            }
        }
        out
    }

    fn nic(&self, link: &Link, out: &mut Map, losses: &mut Losses) {
        out.put_some("mac_address", link.select.mac.map(|mac| mac.value.to_string()));
        out.put_some("wakeonlan", link.wake_on_lan.map(|on| on.value));
        lacking(link, &[Part::Settings], losses);
        let name = self.name(link);
        match &link.naming {
            Naming::Alternative(own) if own.value.as_str() == name && link.select.mac.is_some() => {}
            Naming::Set(own) if link.select.mac.is_none() && own.value.as_str() != name => {
                losses.none(link, Part::Naming, own.at, format_args!("name to give a NIC ({})", own.value));
            }
            _ if link.select.mac.is_some() => {
                let what = format!("cloud-init renames a NIC that is matched by its MAC address: to {name}");
                losses.differs(link, Part::Naming, link.at, what);
            }
            Naming::Alternative(own) => {
                let what = format!("cloud-init has no alternative names: {} is none of the NIC", own.value);
                losses.differs(link, Part::Naming, own.at, what);
            }
            _ => {}
        }
    }

    fn bond(&self, option: &str, value: &OptionValue) -> OutputTree {
        let is_link = attribute::of(Kind::Bond, option).is_some_and(|row| row.form == Form::Link);
        match value {
            OptionValue::Text(id) if is_link => self.called.of(id).into(),
            OptionValue::Number(number) => (*number).into(),
            OptionValue::Bool(on) => i64::from(*on).into(),
            OptionValue::Ips(ips) => OutputTree::texts(ips),
            other => other.to_string().into(),
        }
    }

    fn bridge(&self, link: &Link, losses: &mut Losses) -> Map {
        let mut out = Map::default();
        for (option, setting) in &link.settings.0 {
            let row = BRIDGE_NAMES.iter().find(|(name, known, _)| known == option && BRIDGE.contains(name));
            let Some((name, _, seconds)) = row else {
                if (*option, &setting.value) != ("vlan_filtering", &OptionValue::Bool(false)) {
                    losses.none(link, Part::Settings, setting.at, format_args!("bridge option {option}"));
                }
                continue;
            };
            let key = format!("bridge_{name}");
            match &setting.value {
                OptionValue::Bool(on) => out.put(&key, *on),
                OptionValue::Number(number) if *seconds && number % 100 != 0 => {
                    out.put(&key, format!("{}", *number as f64 / 100.0));
                }
                OptionValue::Number(number) if *seconds => out.put(&key, number / 100),
                OptionValue::Number(number) => out.put(&key, *number),
                other => out.put(&key, other.to_string()),
            }
        }
        for (key, option) in [("bridge_pathcost", "cost"), ("bridge_portprio", "priority")] {
            let ports = link.members.iter().filter_map(|member| self.links.get(&member.value));
            let of_ports =
                ports.filter_map(|port| Some(format!("{} {}", self.name(port), port.port.number(option)?)));
            out.put_filled(key, OutputTree::texts(of_ports));
        }
        out
    }

    /// One subnet for each address, and one for each client that the link is left to.
    fn subnets(&self, link: &Link, losses: &mut Losses) -> Vec<OutputTree> {
        let mut subnets: Vec<(Family, Map)> = Vec::new();
        let add = |family: Family, kind: &str, subnets: &mut Vec<(Family, Map)>| {
            let mut one = Map::default();
            one.put("type", kind);
            subnets.push((family, one));
        };
        if link.asks(Dynamic::Dhcp4) {
            add(Family::V4, "dhcp4", &mut subnets);
        }
        for address in &link.addresses {
            let far = far_end(address).filter(|_| address.net.addr().is_ipv4());
            let known: &[&str] = if far.is_some() { &["broadcast", "peer"] } else { &["broadcast"] };
            if !lacking_address(link, address, known, losses) {
                continue;
            }
            let family = Family::of(&address.net.addr());
            add(family, if family == Family::V4 { "static" } else { "static6" }, &mut subnets);
            if let Some((_, one)) = subnets.last_mut() {
                one.put("address", address.net.to_string());
                one.put_some("broadcast", address.unusual_broadcast().map(|ip| ip.to_string()));
                one.put_some("pointopoint", far);
            }
        }
        let accept = link.ipv6.accept_ra.map(|accept| accept.value);
        if link.asks(Dynamic::Dhcp6) {
            add(Family::V6, "ipv6_dhcpv6-stateful", &mut subnets);
            if accept.is_none() {
                losses.differs(
                    link,
                    Part::Ipv6,
                    link.at,
                    "DHCPv6 of cloud-init comes with router advertisements",
                );
            }
        } else if accept == Some(true) || link.asks(Dynamic::RouterAdvertisements) {
            add(Family::V6, "ipv6_slaac", &mut subnets);
        }
        lacking_dhcp(link, &[], losses);
        ipv6(link, &mut subnets, losses);
        for route in &link.routes {
            if lacking_route(link, route, true, losses) {
                let same = subnets.iter().position(|(family, _)| *family == route.family());
                let at = same.or((!subnets.is_empty()).then_some(0)).unwrap_or_else(|| {
                    add(route.family(), "manual", &mut subnets);
                    0
                });
                if let Some((_, subnet)) = subnets.get_mut(at) {
                    subnet.push("routes", write_route(route));
                }
            }
        }
        if link.activation == Activation::Manual && subnets.is_empty() {
            add(Family::V4, "manual", &mut subnets);
        }
        let control = (link.activation == Activation::Manual).then_some("manual");
        let subnet = |(_, mut one): (Family, Map)| {
            one.put_some("control", control);
            OutputTree::Map(one)
        };
        subnets.into_iter().map(subnet).collect()
    }

    /// Name servers of the machine, or of a link.
    fn name_servers(&self, resolver: &Resolver, link: Option<&Link>) -> Option<OutputTree> {
        if resolver.servers.is_empty() && resolver.search.is_empty() {
            return None;
        }
        let mut out = Map::default();
        out.put("type", "nameserver");
        out.put_filled("address", OutputTree::texts(servers(resolver, |zone| self.called.of(zone))));
        out.put_filled("search", OutputTree::texts(resolver.search.iter().map(|domain| &domain.value)));
        out.put_some("interface", link.map(|link| self.name(link)));
        Some(out.into())
    }
}

fn ipv6(link: &Link, subnets: &mut [(Family, Map)], losses: &mut Losses) {
    let six = subnets.iter_mut().find(|(family, _)| *family == Family::V6);
    let mtu = link.ipv6.mtu.map(|mtu| mtu.value);
    let known: &[&str] =
        if six.is_some() { &["accept_ra", "autoconf", "mtu"] } else { &["accept_ra", "autoconf"] };
    lacking_ipv6(link, known, losses);
    if let Some((_, subnet)) = six {
        subnet.put_some("mtu", mtu);
    }
    let accept = link.ipv6.accept_ra.is_some_and(|accept| accept.value);
    if let Some(autoconf) = link.ipv6.autoconf.filter(|autoconf| !accept || !autoconf.value) {
        losses.none(link, Part::Ipv6, autoconf.at, "switch for addresses from advertised prefixes");
    }
    let six = link.addresses.iter().find(|address| address.net.addr().is_ipv6());
    if let Some(address) = six.filter(|_| link.ipv6.static_alone) {
        let what = "cloud-init leaves open whether routers give addresses beside those that are described";
        losses.differs(link, Part::Ipv6, address.at, what);
    }
}

fn write_route(route: &Route) -> OutputTree {
    let mut out = Map::default();
    out.put("destination", route.to.to_string());
    out.put_some("gateway", route.via.map(|via| via.to_string()));
    out.put_some("metric", route.metric);
    out.into()
}
