//! NetworkManager's keyfiles, nm-settings-keyfile(5): one connection for each link, for root alone.

use std::net::IpAddr;

use super::ini::Ini;
use super::{
    DHCP_OPTIONS, File, Links, Losses, Names, Part, duid_words, expressible, host_name, is_tunnel, lacking,
    lacking_address, lacking_dhcp, lacking_ipv6, lacking_match, lacking_naming, machine_wide, name_incoming,
    tunnel_mode,
};
use crate::format::nmstate::bridge::router_word;
use crate::model::attribute::{self, Form, NIC, OptionValue};
use crate::model::{
    Activation, Address, AddressGeneration, Desired, DesiredMac, Dynamic, Family, Kind, Link, Located,
    MacAddr, NamePattern, Peer, Place, Route, RouteKind, Rule, Wireguard, hex,
};

/// Priority of the first rule that has none: NetworkManager wants one of each. The kernel puts new rules before 32766.
const FIRST_PRIORITY: u32 = 30_000;

pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let mut links = expressible(desired, can_make, true, losses);
    machine_wide(desired, &mut links, losses);
    // A connection of the loopback interface has all of its addresses.
    for link in links.iter_mut().filter(|link| kind(link) == "loopback") {
        let own = ["127.0.0.1/8", "::1/128"].into_iter().filter_map(|net| net.parse().ok());
        link.addresses.splice(0..0, own.map(|net| Address::new(net, Place::NONE)));
    }
    host_name(desired, losses);
    name_incoming(&mut links, |link| name(link, names).map(str::to_owned), losses);
    let writer = Writer { names, links: Links::new(&links) };
    let mut priorities = FIRST_PRIORITY..;
    let mut file = |link: &Link| File {
        name: format!("netapply-{}.nmconnection", super::file_name(writer.name(link).unwrap_or(&link.id))),
        mode: 0o600,
        group: None,
        text: writer.connection(link, &mut priorities, losses).text(),
    };
    links.iter().map(&mut file).collect()
}

/// Whether NetworkManager has such links at all; says so where it has none.
fn can_make(link: &Link, losses: &mut Losses) -> bool {
    let noun = link.kind.noun();
    let is_path = |key: &str| key.starts_with('/');
    let lacks = match link.kind {
        Kind::Wireguard => match &link.wireguard {
            Some(Wireguard { private_key: Some(key), peers, .. }) => {
                let shared = peers.iter().filter_map(|peer| peer.shared_key.as_ref());
                let is_elsewhere = shared.chain([key]).any(|key| is_path(&key.value));
                is_elsewhere.then(|| "WireGuard key in a file of its own".to_owned())
            }
            _ => Some("WireGuard link without a private key".to_owned()),
        },
        kind if is_tunnel(kind) && mode(link).is_none() => {
            Some(format!("{noun} of mode {}", link.settings.word("mode").unwrap_or("any")))
        }
        kind if is_tunnel(kind) && link.settings.get("remote").is_none() => {
            Some(format!("{noun} without a remote address"))
        }
        Kind::Macvlan if macvlan_mode(link).is_none() => Some("macvlan of such a mode".to_owned()),
        _ => None,
    };
    if let Some(what) = &lacks {
        losses.none(link, Part::Kind, link.at, what);
    }
    lacks.is_none()
}

/// `NMIPTunnelMode` (nm-dbus-interface.h).
const MODES: &[(&str, u8)] = &[
    ("ipip", 1),
    ("gre", 2),
    ("sit", 3),
    ("vti", 5),
    ("ip6ip6", 6),
    ("ipip6", 7),
    ("ip6gre", 8),
    ("vti6", 9),
    ("gretap", 10),
    ("ip6gretap", 11),
];

fn mode(link: &Link) -> Option<u8> {
    let mode = tunnel_mode(link)?;
    MODES.iter().find(|(word, _)| *word == mode.word).map(|(_, number)| *number)
}

/// `NMSettingMacvlanMode`; the kernel's default is VEPA.
fn macvlan_mode(link: &Link) -> Option<u8> {
    match link.settings.word("mode") {
        None | Some("vepa") => Some(1),
        Some("bridge") => Some(2),
        Some("private") => Some(3),
        Some("passthru") => Some(4),
        Some("source") => Some(5),
        Some(_) => None,
    }
}

/// The features that NetworkManager has by ethtool(8)'s short names, by the kernel's.
const FEATURES: &[(&str, &str)] = &[
    ("rx-checksum", "rx"),
    ("tx-checksumming", "tx"),
    ("tx-generic-segmentation", "gso"),
    ("rx-gro", "gro"),
    ("rx-lro", "lro"),
    ("tx-tcp-segmentation", "tx-tcp-segmentation"),
    ("tx-tcp6-segmentation", "tx-tcp6-segmentation"),
    ("tx-checksum-ipv4", "tx-checksum-ipv4"),
    ("tx-checksum-ipv6", "tx-checksum-ipv6"),
    ("tx-checksum-ip-generic", "tx-checksum-ip-generic"),
    ("rx-vlan-hw-parse", "rxvlan"),
    ("tx-vlan-hw-insert", "txvlan"),
    ("rx-hashing", "rxhash"),
    ("rx-ntuple-filter", "ntuple"),
    ("tx-scatter-gather", "tx-scatter-gather"),
];

/// Options of a bond that NetworkManager has by another name, and those that it lacks.
const BOND: &[(&str, Option<&str>)] = &[
    ("peer_notify_delay", Some("peer_notif_delay")),
    ("missed_max", None),
    ("ns_ip6_target", None),
    ("lacp_active", None),
    ("coupled_control", None),
];

/// The times of a bridge, in seconds where the kernel has 1/100 s, and what NetworkManager takes (nm-setting-bridge.c).
const BRIDGE_TIMES: &[(&str, &str, std::ops::RangeInclusive<i64>)] = &[
    ("forward_delay", "forward-delay", 2..=30),
    ("hello_time", "hello-time", 1..=10),
    ("max_age", "max-age", 6..=40),
    ("ageing_time", "ageing-time", 0..=1_000_000),
];

/// The other options of a bridge.
const BRIDGE: &[(&str, &str)] = &[
    ("priority", "priority"),
    ("group_fwd_mask", "group-forward-mask"),
    ("group_address", "group-address"),
    ("mcast_hash_max", "multicast-hash-max"),
    ("mcast_last_member_count", "multicast-last-member-count"),
    ("mcast_last_member_interval", "multicast-last-member-interval"),
    ("mcast_membership_interval", "multicast-membership-interval"),
    ("mcast_querier", "multicast-querier"),
    ("mcast_querier_interval", "multicast-querier-interval"),
    ("mcast_query_interval", "multicast-query-interval"),
    ("mcast_query_response_interval", "multicast-query-response-interval"),
    ("mcast_query_use_ifaddr", "multicast-query-use-ifaddr"),
    ("mcast_router", "multicast-router"),
    ("mcast_snooping", "multicast-snooping"),
    ("mcast_startup_query_count", "multicast-startup-query-count"),
    ("mcast_startup_query_interval", "multicast-startup-query-interval"),
    ("vlan_protocol", "vlan-protocol"),
    ("vlan_stats_enabled", "vlan-stats-enabled"),
    ("vlan_filtering", "vlan-filtering"),
    ("vlan_default_pvid", "vlan-default-pvid"),
];

const VXLAN: &[(&str, &str)] = &[
    ("id", "id"),
    ("local", "local"),
    ("local6", "local"),
    ("remote", "remote"),
    ("remote6", "remote"),
    ("ttl", "ttl"),
    ("tos", "tos"),
    ("dstport", "destination-port"),
    ("ageing", "ageing"),
    ("maxaddress", "limit"),
    ("learning", "learning"),
    ("proxy", "proxy"),
    ("rsc", "rsc"),
    ("l2miss", "l2-miss"),
    ("l3miss", "l3-miss"),
];

const TUNNEL: &[(&str, &str)] = &[
    ("local", "local"),
    ("remote", "remote"),
    ("ttl", "ttl"),
    ("hoplimit", "ttl"),
    ("ikey", "input-key"),
    ("okey", "output-key"),
    ("encaplimit", "encapsulation-limit"),
];

/// The interface name; `None` of a NIC that is known by something else.
fn name<'s>(link: &'s Link, names: &'s Names<'_>) -> Option<&'s str> {
    match &link.select.name {
        _ if link.kind != Kind::Physical => Some(names.of(link)),
        Some(name) => match &name.value {
            NamePattern::Exact(name) => Some(name),
            NamePattern::Glob(_) => None,
        },
        None => None,
    }
}

struct Writer<'a> {
    names: &'a Names<'a>,
    links: Links<'a>,
}

impl Writer<'_> {
    fn name<'s>(&'s self, link: &'s Link) -> Option<&'s str> {
        name(link, self.names)
    }

    /// How one connection names another: by the interface's name, else by the connection's own id.
    fn reference(&self, id: &str) -> String {
        let name = self.links.get(id).and_then(|link| self.name(link));
        name.map_or_else(|| uuid(id), str::to_owned)
    }

    fn connection(
        &self,
        link: &Link,
        priorities: &mut impl Iterator<Item = u32>,
        losses: &mut Losses,
    ) -> Ini {
        let mut file = Ini::default();
        let controller = self.links.controller(&link.id);
        file.section("connection");
        file.put("id", super::file_name(self.name(link).unwrap_or(&link.id)));
        file.put("uuid", uuid(&link.id));
        file.put("type", kind(link));
        file.put_some("interface-name", self.name(link));
        if link.select.many && self.name(link).is_none() && link.select.mac.is_none() {
            file.put("multi-connect", 3);
        }
        match link.activation {
            Activation::Up => {}
            Activation::Manual => file.put("autoconnect", false),
            Activation::Off => {
                file.put("autoconnect", false);
                losses.none(link, Part::Activation, link.at, "link that is taken down");
            }
        }
        if let Some(controller) = controller {
            file.put("master", uuid(&controller.id));
            file.put("slave-type", controller.kind.word());
        }
        self.hardware(link, &mut file, losses);
        self.kind(link, &mut file, losses);
        self.port(link, controller, &mut file, losses);
        // A port of a bond or bridge has no addresses of its own.
        let is_port = controller.is_some_and(|controller| controller.kind != Kind::Vrf);
        if is_port {
            for address in &link.addresses {
                losses.none(link, Part::Addresses, address.at, "addresses of a port");
            }
        } else {
            ipv4(link, priorities, &mut file, losses);
            ipv6(link, priorities, &mut file, losses);
        }
        let other = link.resolver.zones.iter().find(|(_, zone)| **zone != link.id);
        if let Some((server, _)) = other {
            losses.none(link, Part::Resolver, link.at, format_args!("name server {server} on another link"));
        }
        lacking(link, &[Part::IgnoreCarrier, Part::Optional, Part::Remotes, Part::Forwarding], losses);
        file
    }

    /// Which NIC is meant, and what Ethernet has: addresses, MTU, offloads.
    fn hardware(&self, link: &Link, file: &mut Ini, losses: &mut Losses) {
        let select = &link.select;
        let mut own = Ini::default();
        own.put_some("mac-address", select.mac.map(|mac| mac.value));
        match link.mac.map(|mac| mac.value) {
            Some(DesiredMac::Is(mac)) => own.put("cloned-mac-address", mac),
            Some(DesiredMac::Permanent) => own.put("cloned-mac-address", "permanent"),
            Some(DesiredMac::Random) => own.put("cloned-mac-address", "random"),
            None => {}
        }
        let is_ether = !is_tunnel(link.kind) && link.kind != Kind::Wireguard;
        let mtu = link.mtu.map(|mtu| mtu.value.get()).or_else(|| self.links.vxlan_mtu(link));
        own.put_some("mtu", mtu.filter(|_| is_ether));
        for (name, key) in [("autoneg", "auto-negotiate"), ("speed", "speed"), ("duplex", "duplex")] {
            match link.tuning.get(name) {
                Some(OptionValue::Bool(on)) => own.put(key, on),
                value => own.put_some(key, value),
            }
        }
        own.put_some("accept-all-mac-addresses", link.promiscuous.map(|on| i32::from(on.value)));
        // The magic packet of `NMSettingWiredWakeOnLan`, or none.
        own.put_some("wake-on-lan", link.wake_on_lan.map(|on| if on.value { 64 } else { 0 }));
        if !own.is_empty() {
            file.section(if is_infiniband(link) { "infiniband" } else { "ethernet" });
            file.append(own);
        }
        if link.kind != Kind::Physical {
            return;
        }
        if is_infiniband(link) {
            if !file.has("infiniband") {
                file.section("infiniband");
            }
            // NetworkManager demands a mode; the kernel's own is this one.
            file.put("transport-mode", link.settings.word("mode").unwrap_or("datagram"));
        }
        lacking_match(link, losses);
        let mut matched = Ini::default();
        if let Some(NamePattern::Glob(glob)) = select.name.as_ref().map(|name| &name.value) {
            matched.list("interface-name", [glob]);
        }
        matched.list("driver", select.drivers.iter().map(|driver| &driver.value));
        matched.list("path", select.pci.iter().map(|pci| format!("pci-{}", pci.value)));
        if !matched.is_empty() {
            file.section("match");
            file.append(matched);
        }
        lacking_naming(link, self.name(link), losses);
        let mut ethtool = Ini::default();
        for group in NIC.iter().filter(|group| !group.prefix.is_empty()) {
            for (name, value) in
                group.rows.iter().filter_map(|row| Some((row.name, link.tuning.get(row.name)?)))
            {
                match value {
                    // A number among the others of coalescing.
                    OptionValue::Bool(on) if group.prefix == "pause-" => ethtool.put(name, on),
                    value => ethtool.put(name, value),
                }
            }
        }
        for (feature, on) in &link.features {
            match FEATURES.iter().find(|(known, _)| known == feature) {
                Some((_, name)) => ethtool.put(&format!("feature-{name}"), on.value),
                None => losses.none(link, Part::Features, on.at, format_args!("offload {feature}")),
            }
        }
        if !ethtool.is_empty() {
            file.section("ethtool");
            file.append(ethtool);
        }
    }

    fn kind(&self, link: &Link, file: &mut Ini, losses: &mut Losses) {
        let parent = link.parent.as_ref().map(|parent| self.reference(&parent.value));
        match link.kind {
            Kind::Bond => self.bond(link, file, losses),
            Kind::Bridge => bridge(link, file, losses),
            Kind::Vlan => {
                file.section("vlan");
                file.put_some("id", link.settings.number("id"));
                file.put_some("parent", parent);
                file.put_some("protocol", super::other_protocol(link).map(|protocol| &protocol.value));
            }
            Kind::Vrf => {
                file.section("vrf");
                file.put_some("table", link.settings.number("table"));
            }
            Kind::Veth => {
                file.section("veth");
                file.put_some("peer", link.peer.as_ref().map(|peer| self.reference(&peer.value)));
            }
            Kind::Macvlan => {
                file.section("macvlan");
                file.put_some("mode", macvlan_mode(link));
                file.put_some("parent", parent);
            }
            Kind::Vxlan => {
                file.section("vxlan");
                file.put_some("parent", parent);
                options(link, VXLAN, &["srcport"], file, losses);
                if let Some(OptionValue::Range(low, high)) = link.settings.get("srcport") {
                    file.put("source-port-min", low);
                    file.put("source-port-max", high);
                }
            }
            Kind::Wireguard => wireguard(link, file),
            Kind::Physical | Kind::Dummy => {}
            _ => {
                file.section("ip-tunnel");
                file.put_some("mode", mode(link));
                file.put_some("parent", parent);
                options(link, TUNNEL, &["mode"], file, losses);
                // 0 is NetworkManager's word for the kernel's own.
                let none = link.settings.0.get("encaplimit").filter(|l| l.value == OptionValue::Number(0));
                if let Some(none) = none {
                    losses.none(link, Part::Settings, none.at, "tunnel of encaplimit 0");
                }
                file.put_some("mtu", link.mtu.map(|mtu| mtu.value));
                if let Some(mac) = link.mac.filter(|_| !link.kind.is_ethernet()) {
                    losses.none(link, Part::Mac, mac.at, "MAC address of a tunnel");
                }
            }
        }
    }

    fn bond(&self, link: &Link, file: &mut Ini, losses: &mut Losses) {
        file.section("bond");
        for (option, setting) in &link.settings.0 {
            let key = BOND.iter().find(|(known, _)| known == option).map_or(Some(*option), |(_, key)| *key);
            let is_link = attribute::of(Kind::Bond, option).is_some_and(|row| row.form == Form::Link);
            let value = match &setting.value {
                OptionValue::Text(id) if is_link => {
                    self.links.get(id).and_then(|link| self.name(link)).map(str::to_owned)
                }
                other => Some(other.to_string()),
            };
            match (key, value) {
                (Some(key), Some(value)) => file.put(key, value),
                (Some(_), None) => {
                    let what = format!("{option} that is known by its MAC address alone");
                    losses.none(link, Part::Settings, setting.at, what);
                }
                (None, _) => {
                    losses.none(link, Part::Settings, setting.at, format_args!("bond option {option}"));
                }
            }
        }
        let watched = ["miimon", "arp_interval"].iter().any(|option| link.settings.get(option).is_some());
        if !watched {
            let what = "NetworkManager looks at the carrier of a bond's members every 100 ms (miimon)";
            losses.differs(link, Part::Settings, link.at, what);
        }
    }

    /// What a link is as a port.
    fn port(&self, link: &Link, controller: Option<&Link>, file: &mut Ini, losses: &mut Losses) {
        const OF_BRIDGE: &[(&str, &str)] =
            &[("priority", "priority"), ("cost", "path-cost"), ("hairpin", "hairpin-mode")];
        const OF_BOND: &[(&str, &str)] = &[("queue_id", "queue-id"), ("prio", "prio")];
        let (section, known) = match controller.map(|controller| controller.kind) {
            Some(Kind::Bridge) => ("bridge-port", OF_BRIDGE),
            Some(Kind::Bond) => ("bond-port", OF_BOND),
            _ => ("", [].as_slice()),
        };
        let mut own = Ini::default();
        for (option, setting) in &link.port.0 {
            match known.iter().find(|(known, _)| known == option) {
                Some((_, key)) => own.put(key, value(&setting.value)),
                None => {
                    let what = format!("port option {option} {}", setting.value);
                    losses.none(link, Part::Port, setting.at, what);
                }
            }
        }
        if section == "bridge-port" {
            own.put_some("vlans", vlans(link));
            let stp = controller.and_then(|controller| controller.settings.get("stp_state"));
            if link.port.get("cost").is_none() && stp == Some(&OptionValue::Bool(true)) {
                let what = "NetworkManager gives a port of a bridge the cost 100 where none is described";
                losses.differs(link, Part::Port, link.at, what);
            }
        } else {
            lacking(link, &[Part::Vlans], losses);
        }
        if !own.is_empty() {
            file.section(section);
            file.append(own);
        }
    }
}

/// A NIC is one of InfiniBand by its options or its long address.
fn is_infiniband(link: &Link) -> bool {
    let is_long = |mac: &Located<MacAddr>| mac.value.as_bytes().len() > 6;
    link.kind == Kind::Physical
        && (link.settings.get("mode").is_some() || link.select.mac.as_ref().is_some_and(is_long))
}

/// NetworkManager's word for the kind.
fn kind(link: &Link) -> &'static str {
    match link.kind {
        Kind::Physical if is_infiniband(link) => "infiniband",
        Kind::Physical => match &link.select.name {
            Some(name) if name.value == NamePattern::Exact("lo".to_owned()) => "loopback",
            _ => "ethernet",
        },
        kind if is_tunnel(kind) => "ip-tunnel",
        kind => kind.word(),
    }
}

/// A stable id of a connection, from the id of its link: FNV-1a of 128 bits as a UUID of version 8 (RFC 9562).
fn uuid(id: &str) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = "netapply\0".bytes().chain(id.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    let hash = hash & !(0xf << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    let hex = format!("{hash:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn value(value: &OptionValue) -> String {
    match value {
        OptionValue::Bool(on) => on.to_string(),
        other => other.to_string(),
    }
}

/// The options of a table; those that `others` names are written elsewhere. What the kernel has anyway is not lost.
fn options(link: &Link, table: &[(&str, &str)], others: &[&str], file: &mut Ini, losses: &mut Losses) {
    for (option, setting) in link.settings.0.iter().filter(|(option, _)| !others.contains(*option)) {
        match table.iter().find(|(known, _)| known == option) {
            Some((_, key)) => file.put(key, value(&setting.value)),
            None => {
                let what = format!("{} option {option}", link.kind.noun());
                losses.none(link, Part::Settings, setting.at, what);
            }
        }
    }
}

fn bridge(link: &Link, file: &mut Ini, losses: &mut Losses) {
    file.section("bridge");
    // NetworkManager has it on where nothing is said, the kernel off.
    file.put("stp", link.settings.get("stp_state") == Some(&OptionValue::Bool(true)));
    for (option, setting) in link.settings.0.iter().filter(|(option, _)| **option != "stp_state") {
        let time = BRIDGE_TIMES.iter().find(|(known, ..)| known == option);
        let other = BRIDGE.iter().find(|(known, _)| known == option);
        match (time, other, &setting.value) {
            (Some((_, key, range)), _, OptionValue::Number(number))
                if number % 100 == 0 && range.contains(&(number / 100)) =>
            {
                file.put(key, number / 100);
            }
            (None, Some((_, key)), OptionValue::Number(number)) if *option == "mcast_router" => {
                file.put_some(key, router_word(*number));
            }
            (None, Some((_, key)), set) => file.put(key, value(set)),
            (_, _, set) => {
                let what = format!("bridge option {option} of {set}");
                losses.none(link, Part::Settings, setting.at, what);
            }
        }
    }
    file.put_some("vlans", vlans(link));
}

/// `1 pvid untagged, 10-20`.
fn vlans(link: &Link) -> Option<String> {
    let vlans = link.vlans.as_ref().filter(|vlans| !vlans.is_empty())?;
    let shown = vlans.iter().map(|vlan| vlan.value).map(|vlan| {
        let range = match vlan.first == vlan.last {
            true => vlan.first.to_string(),
            false => format!("{}-{}", vlan.first, vlan.last),
        };
        let flag = |on: bool, word: &'static str| if on { word } else { "" };
        format!("{range}{}{}", flag(vlan.pvid, " pvid"), flag(vlan.untagged, " untagged"))
    });
    Some(shown.collect::<Vec<_>>().join(", "))
}

fn wireguard(link: &Link, file: &mut Ini) {
    let Some(wireguard) = &link.wireguard else { return };
    file.section("wireguard");
    // What peers may send from is no route: those are described.
    file.put("peer-routes", false);
    file.put("ip4-auto-default-route", 0);
    file.put("ip6-auto-default-route", 0);
    file.put_some("private-key", wireguard.private_key.as_ref().map(|key| &key.value));
    file.put_some("listen-port", wireguard.listen_port);
    file.put_some("fwmark", wireguard.mark);
    file.put_some("mtu", link.mtu.map(|mtu| mtu.value));
    for Peer { public_key, shared_key, endpoint, allowed, keepalive } in &wireguard.peers {
        file.section(&format!("wireguard-peer.{}", public_key.value));
        if let Some(key) = shared_key {
            file.put("preshared-key", &key.value);
            file.put("preshared-key-flags", 0);
        }
        file.put_some("endpoint", endpoint.map(|end| std::net::SocketAddr::from(end.value)));
        file.list("allowed-ips", allowed);
        file.put_some("persistent-keepalive", *keepalive);
    }
}

/// What both families have: addresses, routes, rules and name servers.
fn family(
    link: &Link,
    family: Family,
    priorities: &mut impl Iterator<Item = u32>,
    file: &mut Ini,
    losses: &mut Losses,
) {
    let own = link.addresses.iter().filter(|address| Family::of(&address.net.addr()) == family);
    let written = own.filter(|address| lacking_address(link, address, &[], losses));
    let addresses: Vec<String> = written.map(|address| address.net.to_string()).collect();
    for (number, address) in (1..).zip(addresses) {
        file.put(&format!("address{number}"), address);
    }
    let mut number = 0;
    for route in link.routes.iter().filter(|route| route.family() == family) {
        number += 1;
        if !write_route(link, route, number, file, losses) {
            number -= 1;
        }
    }
    for (number, rule) in (1..).zip(link.rules.iter().filter(|rule| rule.family == family)) {
        let priority = rule.priority.or_else(|| {
            let priority = priorities.next()?;
            let what = format!("NetworkManager wants a priority of each rule: {priority} is written");
            losses.differs(link, Part::Rules, rule.at, what);
            Some(priority)
        });
        file.put(&format!("routing-rule{number}"), rule_text(rule, priority.unwrap_or(FIRST_PRIORITY)));
    }
}

/// The name servers of a family.
fn servers(link: &Link, family: Family) -> Vec<IpAddr> {
    let all = link.resolver.servers.iter().map(|server| server.value);
    all.filter(|server| Family::of(server) == family).collect()
}

fn ipv4(link: &Link, priorities: &mut impl Iterator<Item = u32>, file: &mut Ini, losses: &mut Losses) {
    let has = |family| link.addresses.iter().any(|address| Family::of(&address.net.addr()) == family);
    file.section("ipv4");
    let is_used = link.asks(Dynamic::Dhcp4) || has(Family::V4);
    let method = match (link.asks(Dynamic::Dhcp4), has(Family::V4)) {
        (true, _) => "auto",
        (false, true) => "manual",
        (false, false) => "disabled",
    };
    file.put("method", method);
    if !is_used {
        let routes = link.routes.iter().filter(|route| route.family() == Family::V4);
        for route in routes {
            let what = format!("IPv4 route ({}) at a link without IPv4 addresses", route.to);
            losses.none(link, Part::Routes, route.at, what);
        }
        for rule in link.rules.iter().filter(|rule| rule.family == Family::V4) {
            losses.none(link, Part::Rules, rule.at, "IPv4 rules at a link without IPv4 addresses");
        }
        let mut servers = link.resolver.servers.iter();
        if let Some(server) = servers.find(|server| server.value.is_ipv4()) {
            let what = format!("IPv4 name server ({}) at a link without IPv4 addresses", server.value);
            losses.none(link, Part::Resolver, server.at, what);
        }
        lacking_dhcp(link, if link.asks(Dynamic::Dhcp6) { &SIX } else { &[] }, losses);
        return;
    }
    family(link, Family::V4, priorities, file, losses);
    file.list("dns", servers(link, Family::V4));
    file.list("dns-search", link.resolver.search.iter().map(|domain| &domain.value));
    let options = &link.dhcp4;
    // The routes of addresses have the kernel's metric.
    file.put_some("route-metric", options.metric.or((!link.asks(Dynamic::Dhcp4)).then_some(0)));
    file.put_some("route-table", options.table.filter(|_| link.asks(Dynamic::Dhcp4)));
    if link.asks(Dynamic::Dhcp4) {
        let id = options.client_id.as_deref().map(hex);
        file.put(
            "dhcp-client-id",
            id.unwrap_or_else(|| if options.duid { "duid" } else { "mac" }.to_owned()),
        );
        shared_dhcp(link, file);
        if let Some(class) = &options.vendor_class {
            file.text_of("dhcp-vendor-class-identifier", class);
        }
    }
    let known: Vec<&str> = DHCP_OPTIONS.iter().copied().filter(|option| !LACKS.contains(option)).collect();
    lacking_dhcp(link, &[&known[..], &["vendor_class", "client_id", "table", "duid6"]].concat(), losses);
}

/// What netplan and networkd take of DHCP, and NetworkManager does not.
const LACKS: &[&str] = &["use_mtu", "use_host_name", "use_time_servers", "use_domains"];
/// What NetworkManager has of DHCPv6.
const SIX: [&str; 5] = ["duid6", "host_name", "send_host_name", "use_name_servers", "use_routes"];

/// What NetworkManager has of DHCP in both families.
fn shared_dhcp(link: &Link, file: &mut Ini) {
    let options = &link.dhcp4;
    if let Some(name) = &options.host_name {
        file.text_of("dhcp-hostname", name);
    }
    for (key, is_set) in [
        ("dhcp-send-hostname", options.send_host_name),
        ("ignore-auto-dns", options.use_name_servers),
        ("ignore-auto-routes", options.use_routes),
    ] {
        if !is_set {
            file.put(key, key.starts_with("ignore"));
        }
    }
}

fn ipv6(link: &Link, priorities: &mut impl Iterator<Item = u32>, file: &mut Ini, losses: &mut Losses) {
    let ipv6 = &link.ipv6;
    lacking_ipv6(link, &["accept_ra", "autoconf", "generation", "token", "privacy", "mtu"], losses);
    let accept = ipv6.accept_ra.map(|accept| accept.value);
    let accept = accept.or(link.asks(Dynamic::RouterAdvertisements).then_some(true));
    let six = link.addresses.iter().find(|address| address.net.addr().is_ipv6());
    let none = ipv6.generation.filter(|generation| generation.value == AddressGeneration::None);
    let has_more = link.routes.iter().any(|route| route.family() == Family::V6)
        || link.rules.iter().any(|rule| rule.family == Family::V6)
        || !servers(link, Family::V6).is_empty()
        || ipv6.token.is_some()
        || ipv6.privacy.is_some()
        || ipv6.mtu.is_some()
        || ipv6.generation.is_some();
    file.section("ipv6");
    let method = match (accept, link.asks(Dynamic::Dhcp6)) {
        (Some(false), true) => "dhcp",
        (Some(true), _) | (None, true) => "auto",
        _ if six.is_some() => "manual",
        _ if none.is_some() && !has_v6(link) => "disabled",
        (Some(false), false) => "link-local",
        // NetworkManager leaves IPv6 to the kernel, which takes what routers announce.
        (None, false) if !has_more => "ignore",
        (None, false) => "auto",
    };
    file.put("method", method);
    // It takes no name servers for such a link.
    let is_local = method == "link-local";
    if let Some(server) = link.resolver.servers.iter().find(|server| server.value.is_ipv6() && is_local) {
        let what = format!("IPv6 name server ({}) at a link without IPv6 addresses", server.value);
        losses.none(link, Part::Resolver, server.at, what);
    }
    if let Some(address) = six.filter(|_| method == "manual" && accept.is_none()) {
        let what = "NetworkManager ignores router advertisements beside static IPv6 addresses";
        losses.differs(link, Part::Ipv6, address.at, what);
    }
    if let Some(autoconf) = ipv6.autoconf.filter(|autoconf| accept != Some(true) || !autoconf.value) {
        losses.none(link, Part::Ipv6, autoconf.at, "switch for addresses from advertised prefixes");
    }
    if let Some(none) = none.filter(|_| method != "disabled") {
        losses.none(link, Part::Ipv6, none.at, "link with IPv6 and no link-local address");
    }
    if matches!(method, "ignore" | "disabled") {
        return;
    }
    family(link, Family::V6, priorities, file, losses);
    file.list("dns", servers(link, Family::V6).into_iter().filter(|_| !is_local));
    let has_four =
        link.asks(Dynamic::Dhcp4) || link.addresses.iter().any(|address| address.net.addr().is_ipv4());
    if !has_four {
        file.list("dns-search", link.resolver.search.iter().map(|domain| &domain.value));
    }
    if method == "manual" {
        // What the kernel gives the routes of addresses.
        file.put("route-metric", 256);
    }
    if link.asks(Dynamic::Dhcp6) {
        file.put_some("dhcp-duid", link.dhcp4.duid6.as_deref().map(duid_words));
        shared_dhcp(link, file);
    }
    let generation = match ipv6.generation.map(|generation| generation.value) {
        Some(AddressGeneration::StableSecret | AddressGeneration::Random) => "stable-privacy",
        _ => "eui64",
    };
    file.put("addr-gen-mode", generation);
    file.put_some("token", ipv6.token.map(|token| token.value));
    file.put_some("ip6-privacy", ipv6.privacy.map(|privacy| if privacy.value { 2 } else { 0 }));
    file.put_some("mtu", ipv6.mtu.map(|mtu| mtu.value));
}

/// Anything of IPv6 that needs an address.
fn has_v6(link: &Link) -> bool {
    link.routes.iter().any(|route| route.family() == Family::V6) || !servers(link, Family::V6).is_empty()
}

/// `route1=TO,GATEWAY,METRIC` and `route1_options=…`. False, with a diagnostic, for a route that cannot be written.
fn write_route(link: &Link, route: &Route, number: usize, file: &mut Ini, losses: &mut Losses) -> bool {
    const KINDS: [RouteKind; 5] = [
        RouteKind::Unicast,
        RouteKind::Local,
        RouteKind::Blackhole,
        RouteKind::Unreachable,
        RouteKind::Prohibit,
    ];
    let whole = if !KINDS.contains(&route.kind) {
        Some(format!("of type {}", route.kind.word()))
    } else if !route.more.is_empty() {
        Some("with several next hops".to_owned())
    } else if route.via.is_some_and(|via| Family::of(&via) != route.family()) {
        Some("with a gateway of the other family".to_owned())
    } else {
        None
    };
    if let Some(what) = whole {
        losses.none(link, Part::Routes, route.at, format_args!("route to {} {what}", route.to));
        return false;
    }
    // Without a metric NetworkManager gives that of the connection, the kernel one of its own.
    let metric = route.metric.unwrap_or(if route.family() == Family::V4 { 0 } else { 1024 });
    let via = route.via.map_or_else(|| route.family().everything().addr().to_string(), |via| via.to_string());
    // Else they are in the table of the lease's.
    let is_leased = link.asks(Dynamic::Dhcp4) && route.family() == Family::V4;
    let beside = link.dhcp4.table.filter(|_| is_leased).map(|_| 254);
    file.put(&format!("route{number}"), format_args!("{},{via},{metric}", route.to));
    let options: Vec<String> = [
        ("table", route.table.or(beside).map(|n| n.to_string())),
        ("src", route.source.map(|ip| ip.to_string())),
        ("mtu", route.mtu.map(|n| n.to_string())),
        ("initcwnd", route.congestion_window.map(|n| n.to_string())),
        ("initrwnd", route.receive_window.map(|n| n.to_string())),
        ("window", route.window.map(|n| n.to_string())),
        ("onlink", route.on_link.then(|| "true".to_owned())),
        ("type", (route.kind != RouteKind::Unicast).then(|| route.kind.word().to_owned())),
        ("scope", route.scope.filter(|_| route.family() == Family::V4).map(|s| s.number().to_string())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(format!("{key}={}", value?)))
    .collect();
    if !options.is_empty() {
        file.put(&format!("route{number}_options"), options.join(","));
    }
    if let Some(size) = route.advertised_mss {
        losses.none(link, Part::Routes, route.at, format_args!("segment size of a route ({size})"));
    }
    true
}

/// `priority 100 from 192.0.2.0/24 table 7`, as ip-rule(8) has it.
fn rule_text(rule: &Rule, priority: u32) -> String {
    let everything = rule.family.everything();
    let words = super::rule_words(rule, rule.iif.as_deref(), None);
    let action = match rule.action {
        RouteKind::Unicast => format!("table {}", rule.table),
        kind => format!("type {}", kind.word()),
    };
    format!("priority {priority} from {}{words} {action}", rule.from.unwrap_or(everything))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_keeps_its_id() {
        assert_eq!(uuid("bond0"), uuid("bond0"));
        assert_ne!(uuid("bond0"), uuid("bond1"));
        let id = uuid("bond0");
        assert_eq!((id.len(), id.get(14..15)), (36, Some("8")), "{id}");
        assert!(id.get(19..20).is_some_and(|variant| "89ab".contains(variant)), "{id}");
    }
}
