//! network_data.json of OpenStack, as Nova and Ironic write it.

use std::net::IpAddr;

use foldhash::HashMap;

use super::tree::{Map, OutputTree, json};
use super::{
    File, Losses, Names, Nic, Part, expressible, is_bond_bridge_or_vlan, lacking, lacking_address,
    lacking_dhcp, lacking_route, machine_rules, nic, servers, whole_resolver,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::value::BRIDGE_NAMES;
use crate::model::attribute::OptionValue;
use crate::model::{Desired, DesiredMac, Dynamic, Family, Kind, Link, MacAddr, Naming, Route};

/// The file as it is on a config drive.
pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let mut nics: HashMap<String, Map> = HashMap::default();
    let can_make = |link: &Link, losses: &mut Losses| can_make(link, names, &mut nics, losses);
    let links = expressible(desired, can_make, false, losses);
    if links.is_empty() {
        return Vec::new();
    }
    let called = |link: &Link| match nics.get(&link.id).and_then(|map| map.text("id")) {
        Some(id) => id.to_owned(),
        None => names.of(link).to_owned(),
    };
    let writer = Writer {
        ids: links.iter().map(|link| (link.id.clone(), called(link))).collect(),
        macs: links.iter().filter_map(|link| Some((link.id.clone(), link.select.mac?.value))).collect(),
    };
    let mut root = Map::default();
    let written = links.iter().map(|link| writer.link(link, nics.remove(&link.id), losses));
    root.put("links", written.map(OutputTree::Map).collect::<Vec<_>>());
    let mut networks = Vec::new();
    for link in &links {
        writer.networks(link, &mut networks, losses);
    }
    root.put("networks", networks);
    root.put("services", services(desired, &links, &writer));
    if let Some(name) = &desired.host_name {
        let message = format!(
            "network_data.json has no host name ({}: write it as hostname of meta_data.json), left out",
            name.value
        );
        losses.push("", Part::HostName, Diagnostic::new(Code::NotInFormat, name.at, message));
    }
    machine_rules(desired, losses);
    vec![File { name: "network_data.json".to_owned(), mode: 0o644, group: None, text: json(&root) }]
}

fn services(desired: &Desired, links: &[Link], writer: &Writer) -> Vec<OutputTree> {
    let resolver = whole_resolver(desired, links);
    let mut search = Some(OutputTree::texts(resolver.search.iter().map(|domain| &domain.value)));
    let mut services: Vec<OutputTree> = Vec::new();
    for server in servers(&resolver, |zone| writer.id(zone)) {
        let mut one = Map::default();
        one.put("type", "dns");
        one.put("address", server);
        if let Some(search) = search.take() {
            one.put_filled("search", search);
        }
        services.push(one.into());
    }
    if let Some(search) = search.filter(|_| !resolver.search.is_empty()) {
        let mut one = Map::default();
        one.put("type", "dns");
        one.put("search", search);
        services.push(one.into());
    }
    services
}

fn can_make(link: &Link, names: &Names<'_>, nics: &mut HashMap<String, Map>, losses: &mut Losses) -> bool {
    match link.kind {
        Kind::Physical => {
            let Some(nic) = nic(link, names, losses) else { return false };
            let mut out = Map::default();
            match nic {
                Nic::Mac(mac) => {
                    out.put("id", link.id.as_str());
                    out.put("type", "phy");
                    out.put("ethernet_mac_address", mac.value.to_string());
                }
                Nic::Name(name) => {
                    out.put("id", name);
                    out.put("type", "phy");
                }
            }
            nics.insert(link.id.clone(), out);
            true
        }
        _ => is_bond_bridge_or_vlan(link, losses),
    }
}

struct Writer {
    /// The MAC addresses that NICs are matched by, by the link's id.
    macs: HashMap<String, MacAddr>,
    /// The name of each link, by its id in the description.
    ids: HashMap<String, String>,
}

impl Writer {
    fn id<'s>(&'s self, id: &'s str) -> &'s str {
        self.ids.get(id).map_or(id, String::as_str)
    }

    fn link(&self, link: &Link, nic: Option<Map>, losses: &mut Losses) -> Map {
        let is_nic = nic.is_some();
        let mut out = nic.unwrap_or_default();
        if !is_nic {
            out.put("id", self.id(&link.id));
        }
        let members = || OutputTree::texts(link.members.iter().map(|member| self.id(&member.value)));
        match link.kind {
            Kind::Bond => {
                out.put("type", "bond");
                out.put("bond_links", members());
                for (option, setting) in &link.settings.0 {
                    let value: OutputTree = match &setting.value {
                        OptionValue::Number(number) => (*number).into(),
                        OptionValue::Bool(on) => i64::from(*on).into(),
                        OptionValue::Text(id) if matches!(*option, "primary" | "active_slave") => {
                            self.id(id).into()
                        }
                        other => other.to_string().into(),
                    };
                    out.put(&format!("bond_{option}"), value);
                }
            }
            Kind::Bridge => {
                out.put("type", "linux_bridge");
                out.put("bridge_links", members());
                bridge(link, &mut out, losses);
                if let Some(first) = link.vlans.as_ref().and_then(|vlans| vlans.first()) {
                    let what = "the VLANs of the bridge itself follow from those on it";
                    losses.differs(link, Part::Vlans, first.at, what);
                }
            }
            Kind::Vlan => {
                out.put("type", "vlan");
                out.put_some("vlan_link", link.parent.as_ref().map(|parent| self.id(&parent.value)));
                out.put_some("vlan_id", link.settings.number("id"));
            }
            _ => lacking(link, &[Part::Settings], losses),
        }
        self.address(link, is_nic, &mut out, losses);
        out.put_some("mtu", link.mtu.map(|mtu| mtu.value.get()));
        let parts = [
            Part::Features,
            Part::Tuning,
            Part::Remotes,
            Part::Forwarding,
            Part::Promiscuous,
            Part::WakeOnLan,
            Part::IgnoreCarrier,
            Part::Activation,
            Part::Port,
            Part::Vlans,
            Part::Rules,
            Part::Optional,
        ];
        lacking(link, &parts, losses);
        out
    }

    /// MAC addresses and names.
    fn address(&self, link: &Link, is_nic: bool, out: &mut Map, losses: &mut Losses) {
        match link.mac.map(|mac| (mac.value, mac.at)) {
            Some((DesiredMac::Is(mac), _)) if !is_nic => {
                let key = if link.kind == Kind::Vlan { "vlan_mac_address" } else { "ethernet_mac_address" };
                out.put(key, mac.to_string());
            }
            Some((_, at)) => losses.none(link, Part::Mac, at, "MAC address that a NIC gets"),
            // Ironic's API requires one; a bond has its first member's.
            None if link.kind == Kind::Bond => {
                let first = link.members.first().and_then(|member| self.macs.get(&member.value));
                if let Some(mac) = first {
                    out.put("ethernet_mac_address", mac.to_string());
                    losses.differs(
                        link,
                        Part::Mac,
                        link.at,
                        "the bond's MAC address, its first member's, is written",
                    );
                }
            }
            None => {}
        }
        match &link.naming {
            Naming::Set(name) if is_nic && link.select.mac.is_some() => out.put("name", name.value.as_str()),
            Naming::Set(name) if is_nic && out.text("id") != Some(name.value.as_str()) => {
                losses.none(link, Part::Naming, name.at, format_args!("rename by name ({})", name.value));
            }
            Naming::Alternative(name) => {
                let what =
                    format!("network_data.json has no alternative names: {} is none of the NIC", name.value);
                losses.differs(link, Part::Naming, name.at, what);
            }
            _ if !is_nic => out.put("name", self.id(&link.id)),
            _ => {}
        }
    }

    /// One network for each address, and one for each client that the link is left to.
    fn networks(&self, link: &Link, networks: &mut Vec<OutputTree>, losses: &mut Losses) {
        let mut own: Vec<(Family, Map)> = Vec::new();
        let add = |family, kind: &str, own: &mut Vec<(Family, Map)>| {
            let mut one = Map::default();
            let id = format!("network{}", networks.len() + own.len());
            one.put("network_id", id.as_str());
            one.put("id", id);
            one.put("link", self.id(&link.id));
            one.put("type", kind);
            own.push((family, one));
        };
        for address in &link.addresses {
            if !lacking_address(link, address, &["broadcast"], losses) {
                continue;
            }
            let family = Family::of(&address.net.addr());
            add(family, if family == Family::V4 { "ipv4" } else { "ipv6" }, &mut own);
            if let Some((_, one)) = own.last_mut() {
                one.put("ip_address", address.net.addr().to_string());
                one.put("netmask", address.net.netmask().to_string());
                one.put_some("broadcast", address.unusual_broadcast().map(|ip| ip.to_string()));
            }
        }
        let accept = link.ipv6.accept_ra.map(|accept| accept.value);
        let advertised = accept == Some(true) || link.asks(Dynamic::RouterAdvertisements);
        for (is_asked, family, kind) in [
            (link.asks(Dynamic::Dhcp4), Family::V4, "ipv4_dhcp"),
            (link.asks(Dynamic::Dhcp6), Family::V6, "ipv6_dhcp"),
            (advertised && !link.asks(Dynamic::Dhcp6), Family::V6, "ipv6_slaac"),
        ] {
            if is_asked {
                add(family, kind, &mut own);
            }
        }
        lacking_dhcp(link, &[], losses);
        ipv6(link, advertised, losses);
        for route in &link.routes {
            let network = own.iter_mut().find(|(family, _)| *family == route.family());
            let Some(one) = write_route(link, route, network.is_some(), losses) else { continue };
            if let Some((_, network)) = network {
                network.push("routes", one);
            }
        }
        networks.extend(own.into_iter().map(|(_, one)| OutputTree::Map(one)));
    }
}

fn bridge(link: &Link, out: &mut Map, losses: &mut Losses) {
    for (option, setting) in &link.settings.0 {
        let row = BRIDGE_NAMES.iter().find(|(_, known, _)| known == option);
        let Some((name, _, seconds)) = row else {
            losses.none(link, Part::Settings, setting.at, format_args!("bridge option {option}"));
            continue;
        };
        let key = format!("bridge_{name}");
        match &setting.value {
            OptionValue::Bool(on) => out.put(&key, if *on { "on" } else { "off" }),
            OptionValue::Number(number) if *seconds && number % 100 == 0 => out.put(&key, number / 100),
            OptionValue::Number(number) if *seconds => out.put(&key, format!("{}", *number as f64 / 100.0)),
            OptionValue::Number(number) => out.put(&key, *number),
            other => out.put(&key, other.to_string()),
        }
    }
}

fn ipv6(link: &Link, advertised: bool, losses: &mut Losses) {
    super::lacking_ipv6(link, if advertised { &["accept_ra", "autoconf"] } else { &["autoconf"] }, losses);
    if let Some(autoconf) = link.ipv6.autoconf.filter(|autoconf| !advertised || !autoconf.value) {
        losses.none(link, Part::Ipv6, autoconf.at, "switch for addresses from advertised prefixes");
    }
    let asks = link.dynamic.iter().find(|d| d.value == Dynamic::Dhcp6);
    if let Some(asks) = asks.filter(|_| !advertised) {
        losses.differs(
            link,
            Part::Ipv6,
            asks.at,
            "network_data.json has DHCPv6 with router advertisements only",
        );
    }
    let six = link.addresses.iter().find(|address| address.net.addr().is_ipv6());
    if let Some(address) = six.filter(|_| !link.ipv6.static_alone) {
        let what = "network_data.json has addresses by router advertisements only where it asks for them";
        losses.differs(link, Part::Ipv6, address.at, what);
    }
}

fn write_route(link: &Link, route: &Route, has_network: bool, losses: &mut Losses) -> Option<OutputTree> {
    if !lacking_route(link, route, has_network, losses) {
        return None;
    }
    let mut out = Map::default();
    out.put("network", route.to.addr().to_string());
    out.put("netmask", route.to.netmask().to_string());
    out.put_some("gateway", route.via.as_ref().map(IpAddr::to_string));
    out.put_some("metric", route.metric);
    Some(out.into())
}
