//! systemd-networkd's files: a `.netdev` for each software link, a `.network` for every link, a `.link` for the
//! settings of a NIC that udev applies. Keys from systemd.netdev(5), systemd.network(5) and systemd.link(5).

use std::net::SocketAddr;

use super::ini::Ini;
use super::{
    Above, DHCP_OPTIONS, File, Links, Losses, Names, Part, expressible, file_name, host_name, lacking_dhcp,
    lacking_match, machine_wide, mark_words, name_incoming,
};
use crate::format::netplan::OFFLOADS;
use crate::model::attribute::OptionValue;
use crate::model::{
    Activation, Address, AddressGeneration, Desired, DesiredMac, Dynamic, Family, Kind, Link, NamePattern,
    Naming, Peer, Route, RouteKind, Rule, Wireguard, hex,
};

/// Files that may contain keys are for networkd alone.
const KEYS: u32 = 0o640;

pub(super) fn write(
    desired: &Desired,
    names: &Names<'_>,
    can_make: fn(&Link, &mut Losses) -> bool,
    losses: &mut Losses,
) -> Vec<File> {
    let mut links = expressible(desired, can_make, true, losses);
    host_name(desired, losses);
    machine_wide(desired, &mut links, losses);
    name_incoming(&mut links, |link| name(link, names).map(str::to_owned), losses);
    let writer = Writer { names, links: Links::new(&links) };
    let mut files = Vec::new();
    for link in &links {
        let stem = format!(
            "10-netapply-{}",
            file_name(if link.kind == Kind::Physical { &link.id } else { names.of(link) })
        );
        if link.kind == Kind::Physical {
            lacking_match(link, losses);
            files.extend(writer.link_file(link, &stem, losses));
        } else if !writer.links.is_second(link) {
            files.push(writer.netdev(link, &stem, losses));
        }
        files.push(writer.network(link, &stem, losses));
    }
    files
}

/// Whether networkd has such links at all; says so where it has none.
pub(super) fn can_make(link: &Link, losses: &mut Losses) -> bool {
    let no_key = link.wireguard.as_ref().is_none_or(|wireguard| wireguard.private_key.is_none());
    if link.kind == Kind::Wireguard && no_key {
        losses.none(link, Part::Kind, link.at, "WireGuard link without a private key");
        return false;
    }
    true
}

impl Ini {
    fn switch(&mut self, key: &str, on: bool) {
        self.put(key, yes(on));
    }

    fn file(self, name: String, mode: u32) -> File {
        let group = (mode == KEYS).then_some("systemd-network");
        File { name, mode, group, text: self.text() }
    }
}

fn yes(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// The form of a kernel number.
#[derive(Copy, Clone, PartialEq)]
enum Unit {
    Plain,
    Milliseconds,
    Seconds,
    Hundredths,
}

/// An option, its key, and its unit.
type Row = (&'static str, &'static str, Unit);

const BOND: &[Row] = &[
    ("mode", "Mode", Unit::Plain),
    ("miimon", "MIIMonitorSec", Unit::Milliseconds),
    ("updelay", "UpDelaySec", Unit::Milliseconds),
    ("downdelay", "DownDelaySec", Unit::Milliseconds),
    ("peer_notify_delay", "PeerNotifyDelaySec", Unit::Milliseconds),
    ("arp_interval", "ARPIntervalSec", Unit::Milliseconds),
    ("arp_ip_target", "ARPIPTargets", Unit::Plain),
    ("arp_validate", "ARPValidate", Unit::Plain),
    ("arp_all_targets", "ARPAllTargets", Unit::Plain),
    ("missed_max", "ARPMissedMax", Unit::Plain),
    ("primary_reselect", "PrimaryReselectPolicy", Unit::Plain),
    ("fail_over_mac", "FailOverMACPolicy", Unit::Plain),
    ("xmit_hash_policy", "TransmitHashPolicy", Unit::Plain),
    ("resend_igmp", "ResendIGMP", Unit::Plain),
    ("num_grat_arp", "GratuitousARP", Unit::Plain),
    ("all_slaves_active", "AllSlavesActive", Unit::Plain),
    ("min_links", "MinLinks", Unit::Plain),
    ("lp_interval", "LearnPacketIntervalSec", Unit::Seconds),
    ("packets_per_slave", "PacketsPerSlave", Unit::Plain),
    ("tlb_dynamic_lb", "DynamicTransmitLoadBalancing", Unit::Plain),
    ("lacp_rate", "LACPTransmitRate", Unit::Plain),
    ("ad_select", "AdSelect", Unit::Plain),
    ("ad_actor_sys_prio", "AdActorSystemPriority", Unit::Plain),
    ("ad_user_port_key", "AdUserPortKey", Unit::Plain),
    ("ad_actor_system", "AdActorSystem", Unit::Plain),
];

const BRIDGE: &[Row] = &[
    ("stp_state", "STP", Unit::Plain),
    ("forward_delay", "ForwardDelaySec", Unit::Hundredths),
    ("hello_time", "HelloTimeSec", Unit::Hundredths),
    ("max_age", "MaxAgeSec", Unit::Hundredths),
    ("ageing_time", "AgeingTimeSec", Unit::Hundredths),
    ("priority", "Priority", Unit::Plain),
    ("group_fwd_mask", "GroupForwardMask", Unit::Plain),
    ("mcast_snooping", "MulticastSnooping", Unit::Plain),
    ("mcast_querier", "MulticastQuerier", Unit::Plain),
    ("mcast_igmp_version", "MulticastIGMPVersion", Unit::Plain),
    ("vlan_protocol", "VLANProtocol", Unit::Plain),
    ("vlan_filtering", "VLANFiltering", Unit::Plain),
    ("vlan_default_pvid", "DefaultPVID", Unit::Plain),
];

/// Parameters of a NIC in a .link file: key and unit.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("autoneg", "AutoNegotiation", ""),
    ("speed", "BitsPerSecond", "M"),
    ("duplex", "Duplex", ""),
    ("ring-rx", "RxBufferSize", ""),
    ("ring-rx-mini", "RxMiniBufferSize", ""),
    ("ring-rx-jumbo", "RxJumboBufferSize", ""),
    ("ring-tx", "TxBufferSize", ""),
    ("pause-autoneg", "AutoNegotiationFlowControl", ""),
    ("pause-rx", "RxFlowControl", ""),
    ("pause-tx", "TxFlowControl", ""),
    ("coalesce-adaptive-rx", "UseAdaptiveRxCoalesce", ""),
    ("coalesce-adaptive-tx", "UseAdaptiveTxCoalesce", ""),
    ("coalesce-rx-usecs", "RxCoalesceSec", "us"),
    ("coalesce-rx-usecs-irq", "RxCoalesceIrqSec", "us"),
    ("coalesce-rx-usecs-low", "RxCoalesceLowSec", "us"),
    ("coalesce-rx-usecs-high", "RxCoalesceHighSec", "us"),
    ("coalesce-tx-usecs", "TxCoalesceSec", "us"),
    ("coalesce-tx-usecs-irq", "TxCoalesceIrqSec", "us"),
    ("coalesce-tx-usecs-low", "TxCoalesceLowSec", "us"),
    ("coalesce-tx-usecs-high", "TxCoalesceHighSec", "us"),
    ("coalesce-rx-frames", "RxMaxCoalescedFrames", ""),
    ("coalesce-rx-frames-irq", "RxMaxCoalescedIrqFrames", ""),
    ("coalesce-rx-frames-low", "RxMaxCoalescedLowFrames", ""),
    ("coalesce-rx-frames-high", "RxMaxCoalescedHighFrames", ""),
    ("coalesce-tx-frames", "TxMaxCoalescedFrames", ""),
    ("coalesce-tx-frames-irq", "TxMaxCoalescedIrqFrames", ""),
    ("coalesce-tx-frames-low", "TxMaxCoalescedLowFrames", ""),
    ("coalesce-tx-frames-high", "TxMaxCoalescedHighFrames", ""),
    ("coalesce-pkt-rate-low", "CoalescePacketRateLow", ""),
    ("coalesce-pkt-rate-high", "CoalescePacketRateHigh", ""),
    ("coalesce-sample-interval", "CoalescePacketRateSampleIntervalSec", "s"),
    ("coalesce-stats-block-usecs", "StatisticsBlockCoalesceSec", "us"),
];

const VLAN: &[Row] = &[("id", "Id", Unit::Plain), ("protocol", "Protocol", Unit::Plain)];

const VXLAN: &[Row] = &[
    ("id", "VNI", Unit::Plain),
    ("remote", "Remote", Unit::Plain),
    ("remote6", "Remote", Unit::Plain),
    ("local", "Local", Unit::Plain),
    ("local6", "Local", Unit::Plain),
    ("ttl", "TTL", Unit::Plain),
    ("tos", "TOS", Unit::Plain),
    ("df", "IPDoNotFragment", Unit::Plain),
    ("flowlabel", "FlowLabel", Unit::Plain),
    ("dstport", "DestinationPort", Unit::Plain),
    ("srcport", "PortRange", Unit::Plain),
    ("learning", "MacLearning", Unit::Plain),
    ("proxy", "ReduceARPProxy", Unit::Plain),
    ("rsc", "RouteShortCircuit", Unit::Plain),
    ("l2miss", "L2MissNotification", Unit::Plain),
    ("l3miss", "L3MissNotification", Unit::Plain),
    ("ageing", "FDBAgeingSec", Unit::Seconds),
    ("maxaddress", "MaximumFDBEntries", Unit::Plain),
    ("udpcsum", "UDPChecksum", Unit::Plain),
    ("udp6zerocsumtx", "UDP6ZeroChecksumTx", Unit::Plain),
    ("udp6zerocsumrx", "UDP6ZeroChecksumRx", Unit::Plain),
    ("remcsumtx", "RemoteChecksumTx", Unit::Plain),
    ("remcsumrx", "RemoteChecksumRx", Unit::Plain),
    ("gbp", "GroupPolicyExtension", Unit::Plain),
    ("gpe", "GenericProtocolExtension", Unit::Plain),
];

const TUNNEL: &[Row] = &[
    ("local", "Local", Unit::Plain),
    ("remote", "Remote", Unit::Plain),
    ("ttl", "TTL", Unit::Plain),
    ("hoplimit", "TTL", Unit::Plain),
    ("ikey", "InputKey", Unit::Plain),
    ("okey", "OutputKey", Unit::Plain),
    ("encaplimit", "EncapsulationLimit", Unit::Plain),
];

/// Options of a bridge's port in its own file.
const PORT: &[Row] = &[
    ("cost", "Cost", Unit::Plain),
    ("priority", "Priority", Unit::Plain),
    ("hairpin", "HairPin", Unit::Plain),
    ("learning", "Learning", Unit::Plain),
    ("neigh_suppress", "NeighborSuppression", Unit::Plain),
];

/// The value of an option in networkd's words.
fn value(value: &OptionValue, unit: Unit) -> String {
    match (value, unit) {
        (OptionValue::Bool(on), _) => yes(*on).to_owned(),
        (OptionValue::Number(number), Unit::Milliseconds) => format!("{number}ms"),
        (OptionValue::Number(number), Unit::Hundredths) => format!("{}ms", number * 10),
        (OptionValue::Range(low, high), _) => format!("{low}-{high}"),
        (OptionValue::Ips(ips), _) => ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        // The kernel has it as a keyword of its own.
        (OptionValue::Text(word), _) if matches!(word.as_str(), "set" | "unset") => {
            yes(word == "set").to_owned()
        }
        (other, _) => other.to_string(),
    }
}

/// The name in the kernel; `None` for a NIC that is matched otherwise.
fn name<'s>(link: &'s Link, names: &'s Names<'_>) -> Option<&'s str> {
    match (&link.select.name, &link.naming) {
        _ if link.kind != Kind::Physical => Some(names.of(link)),
        (_, Naming::Set(name)) => Some(name.value.as_str()),
        (Some(name), _) => match &name.value {
            NamePattern::Exact(name) => Some(name),
            NamePattern::Glob(_) => names.nic(link),
        },
        _ => names.nic(link),
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

    /// The NIC's settings that udev applies.
    fn link_file(&self, link: &Link, stem: &str, losses: &mut Losses) -> Option<File> {
        let mut own = Ini::default();
        match &link.naming {
            Naming::Set(name) => own.put("Name", &name.value),
            // Without a policy the NIC would keep the kernel's name.
            _ => own.put("NamePolicy", "keep kernel database onboard slot path"),
        }
        let before = own.len();
        if let Naming::Alternative(name) = &link.naming {
            own.put("AlternativeName", &name.value);
        }
        own.put_some("WakeOnLan", link.wake_on_lan.map(|on| if on.value { "magic" } else { "off" }));
        for (name, key, unit) in PARAMETERS {
            match link.tuning.get(name) {
                Some(OptionValue::Bool(on)) => own.switch(key, *on),
                value => own.put_some(key, value.map(|value| format!("{value}{unit}"))),
            }
        }
        for (feature, on) in &link.features {
            let key = OFFLOADS.iter().find(|(_, known)| known == feature).map(|(key, _)| key_of(key));
            match key {
                Some(key) => own.switch(&key, on.value),
                None => losses.none(link, Part::Features, on.at, format_args!("offload {feature}")),
            }
        }
        if own.len() == before && !matches!(link.naming, Naming::Set(_)) {
            return None;
        }
        let mut file = Ini::default();
        matched(link, "OriginalName", &mut file);
        file.section("Link");
        file.append(own);
        Some(file.file(format!("{stem}.link"), 0o644))
    }

    fn netdev(&self, link: &Link, stem: &str, losses: &mut Losses) -> File {
        let mut file = Ini::default();
        file.section("NetDev");
        file.put("Name", self.names.of(link));
        file.put("Kind", kind(link));
        file.put_some("MTUBytes", link.mtu.map(|mtu| mtu.value));
        match link.mac.map(|mac| mac.value) {
            Some(DesiredMac::Is(mac)) => file.put("MACAddress", mac),
            Some(DesiredMac::Permanent | DesiredMac::Random) => {
                let at = link.mac.map_or(link.at, |mac| mac.at);
                losses.none(link, Part::Mac, at, "such a MAC address for a link that it makes");
            }
            None => {}
        }
        let mut mode = 0o644;
        match link.kind {
            Kind::Bond => options(link, "Bond", BOND, &["primary", "active_slave"], &mut file, losses),
            Kind::Bridge => options(link, "Bridge", BRIDGE, &[], &mut file, losses),
            Kind::Vlan => options(link, "VLAN", VLAN, &[], &mut file, losses),
            Kind::Vrf => options(link, "VRF", &[("table", "Table", Unit::Plain)], &[], &mut file, losses),
            Kind::Macvlan => {
                options(link, "MACVLAN", &[("mode", "Mode", Unit::Plain)], &[], &mut file, losses)
            }
            Kind::Vxlan => {
                options(link, "VXLAN", VXLAN, &[], &mut file, losses);
                if link.parent.is_none() {
                    file.switch("Independent", true);
                }
            }
            Kind::Veth => {
                file.section("Peer");
                let peer = link.peer.as_ref().and_then(|peer| self.links.get(&peer.value));
                file.put_some("Name", peer.map(|peer| self.names.of(peer)));
            }
            Kind::Wireguard => {
                mode = KEYS;
                if let Some(wireguard) = &link.wireguard {
                    wireguard_sections(wireguard, &mut file);
                }
            }
            Kind::Dummy | Kind::Physical => {}
            _ => {
                options(link, "Tunnel", TUNNEL, &["mode"], &mut file, losses);
                if link.kind == Kind::Ip6tnl {
                    let inside = link.settings.word("mode").filter(|mode| *mode != "any");
                    file.put("Mode", inside.unwrap_or("any"));
                }
                if link.parent.is_none() {
                    file.switch("Independent", true);
                }
            }
        }
        file.file(format!("{stem}.netdev"), mode)
    }

    fn network(&self, link: &Link, stem: &str, losses: &mut Losses) -> File {
        let mut file = Ini::default();
        if link.kind == Kind::Physical {
            match &link.naming {
                Naming::Set(name) => {
                    file.section("Match");
                    file.put("Name", &name.value);
                }
                _ => matched(link, "Name", &mut file),
            }
        } else {
            file.section("Match");
            file.put("Name", self.names.of(link));
        }
        let policy = match link.activation {
            Activation::Up => None,
            Activation::Manual => Some("manual"),
            Activation::Off => Some("always-down"),
        };
        let is_nic = link.kind == Kind::Physical;
        let mtu = link.mtu.map(|mtu| mtu.value).filter(|_| is_nic);
        let mac = link.mac.filter(|_| is_nic);
        if mtu.is_some() || policy.is_some() || link.optional || mac.is_some() || link.promiscuous.is_some() {
            file.section("Link");
            file.put_some("Promiscuous", link.promiscuous.map(|on| yes(on.value)));
            file.put_some("MTUBytes", mtu);
            file.put_some("ActivationPolicy", policy);
            if link.optional {
                file.switch("RequiredForOnline", false);
            }
            match mac.map(|mac| (mac.value, mac.at)) {
                Some((DesiredMac::Is(mac), _)) => file.put("MACAddress", mac),
                Some((_, at)) => {
                    losses.none(
                        link,
                        Part::Mac,
                        at,
                        "such a MAC address in a .network file (a .link file has it)",
                    );
                }
                None => {}
            }
        }
        self.network_section(link, &mut file, losses);
        for address in link.addresses.iter().filter(|address| !is_plain(address)) {
            file.section("Address");
            file.put("Address", address.net);
            file.put_some("Peer", address.peer);
            file.put_some("Label", address.label.as_ref());
            file.put_some("PreferredLifetime", address.preferred);
            file.put_some("Broadcast", address.broadcast);
        }
        for route in &link.routes {
            self.route(link, route, &mut file, losses);
        }
        for rule in &link.rules {
            write_rule(rule, &mut file);
        }
        dhcp(link, &mut file, losses);
        advertisements(link, &mut file);
        self.port(link, &mut file, losses);
        file.file(format!("{stem}.network"), 0o644)
    }

    fn network_section(&self, link: &Link, file: &mut Ini, losses: &mut Losses) {
        file.section("Network");
        let dhcp = match (link.asks(Dynamic::Dhcp4), link.asks(Dynamic::Dhcp6)) {
            (true, true) => "yes",
            (true, false) => "ipv4",
            (false, true) => "ipv6",
            (false, false) => "no",
        };
        file.put("DHCP", dhcp);
        let ipv6 = &link.ipv6;
        let accept = ipv6.accept_ra.map(|accept| accept.value);
        let accept = accept.or((link.asks(Dynamic::RouterAdvertisements) || alone(link)).then_some(true));
        file.put_some("IPv6AcceptRA", accept.map(yes));
        match ipv6.generation.map(|generation| generation.value) {
            Some(AddressGeneration::None) => file.put("LinkLocalAddressing", "no"),
            Some(AddressGeneration::Eui64) => file.put("IPv6LinkLocalAddressGenerationMode", "eui64"),
            Some(AddressGeneration::StableSecret | AddressGeneration::Random) => {
                file.put("IPv6LinkLocalAddressGenerationMode", "stable-privacy");
            }
            None => {}
        }
        file.put_some("IPv6PrivacyExtensions", ipv6.privacy.map(|privacy| yes(privacy.value)));
        file.put_some("IPv6MTUBytes", ipv6.mtu.map(|mtu| mtu.value));
        file.put_some("IPv4Forwarding", link.forwarding.map(|on| yes(on.value)));
        file.put_some("IPv6Forwarding", ipv6.forwarding.map(|on| yes(on.value)));
        for address in link.addresses.iter().filter(|address| is_plain(address)) {
            file.put("Address", address.net);
        }
        for server in &link.resolver.servers {
            file.put("DNS", server.value);
        }
        let domains: Vec<&str> = link.resolver.search.iter().map(|domain| domain.value.as_str()).collect();
        if !domains.is_empty() {
            file.put("Domains", domains.join(" "));
        }
        if link.ignore_carrier {
            file.switch("ConfigureWithoutCarrier", true);
        }
        for (other, how) in self.links.above(&link.id) {
            let key = match (how, other.kind) {
                (Above::Controller, Kind::Bond) => "Bond",
                (Above::Controller, Kind::Bridge) => "Bridge",
                (Above::Controller, _) => "VRF",
                (Above::Child, Kind::Vlan) => "VLAN",
                (Above::Child, Kind::Macvlan) => "MACVLAN",
                (Above::Child, Kind::Vxlan) => "VXLAN",
                (Above::Child, _) => "Tunnel",
            };
            file.put(key, self.names.of(other));
            for (option, key) in [("primary", "PrimarySlave"), ("active_slave", "ActiveSlave")] {
                if how == Above::Controller && other.settings.word(option) == Some(&link.id) {
                    file.switch(key, true);
                }
            }
        }
        let mode = link.settings.0.get("mode").filter(|_| link.kind == Kind::Physical);
        if let Some(mode) = mode {
            file.section("IPoIB");
            file.put("Mode", &mode.value);
        }
        if let Some(zone) = link.resolver.zones.iter().find(|(_, zone)| **zone != link.id) {
            losses.none(
                link,
                Part::Resolver,
                link.at,
                format_args!("name server {} on another link", zone.0),
            );
        }
    }

    fn route(&self, link: &Link, route: &Route, file: &mut Ini, losses: &mut Losses) {
        let mut hops = Vec::new();
        let first = (None, route.via, route.weight);
        let others = route.more.iter().map(|hop| (hop.link.as_deref(), hop.via, hop.weight));
        for (other, via, weight) in std::iter::once(first).chain(others).filter(|_| !route.more.is_empty()) {
            let device = match other.filter(|other| *other != link.id).map(|id| self.links.get(id)) {
                Some(other) => other.and_then(|other| self.name(other)),
                None => Some(self.name(link).unwrap_or_default()),
            };
            let (Some(via), Some(device)) = (via, device) else {
                let what =
                    format!("route to {} with a next hop whose interface's name is not known", route.to);
                return losses.none(link, Part::Routes, route.at, what);
            };
            let at = if device.is_empty() { String::new() } else { format!("@{device}") };
            hops.push(format!("{via}{at} {weight}"));
        }
        file.section("Route");
        file.put("Destination", route.to);
        file.put_some("Gateway", route.via.filter(|_| hops.is_empty()));
        for hop in hops {
            file.put("MultiPathRoute", hop);
        }
        if route.on_link {
            file.switch("GatewayOnLink", true);
        }
        if route.kind != RouteKind::Unicast {
            file.put("Type", route.kind.word());
        }
        file.put_some("Scope", route.scope);
        file.put_some("Metric", route.metric);
        file.put_some("Table", route.table);
        file.put_some("PreferredSource", route.source);
        file.put_some("MTUBytes", route.mtu);
        file.put_some("InitialCongestionWindow", route.congestion_window);
        file.put_some("InitialAdvertisedReceiveWindow", route.receive_window);
        file.put_some("TCPAdvertisedMaximumSegmentSize", route.advertised_mss);
        if let Some(window) = route.window {
            losses.none(link, Part::Routes, route.at, format_args!("largest window of a route ({window})"));
        }
    }

    /// The settings of a link as a port of a bridge.
    fn port(&self, link: &Link, file: &mut Ini, losses: &mut Losses) {
        let controller = self.links.controller(&link.id);
        let is_port = controller.is_some_and(|controller| controller.kind == Kind::Bridge);
        let known = |option: &str| PORT.iter().find(|(known, ..)| *known == option).filter(|_| is_port);
        let rows: Vec<_> =
            link.port.0.iter().filter_map(|(option, set)| Some((known(option)?, set))).collect();
        if !rows.is_empty() {
            file.section("Bridge");
        }
        for ((_, key, unit), setting) in rows {
            file.put(key, value(&setting.value, *unit));
        }
        for (option, setting) in link.port.0.iter().filter(|(option, _)| known(option).is_none()) {
            let what = format!("port option {option} {}", setting.value);
            losses.none(link, Part::Port, setting.at, what);
        }
        for end in &link.remotes {
            file.section("BridgeFDB");
            file.put("MACAddress", "00:00:00:00:00:00");
            file.put("Destination", end.value);
        }
        for vlan in link.vlans.iter().flatten().map(|vlan| vlan.value) {
            file.section("BridgeVLAN");
            let range = if vlan.first == vlan.last {
                vlan.first.to_string()
            } else {
                format!("{}-{}", vlan.first, vlan.last)
            };
            file.put("VLAN", &range);
            if vlan.untagged {
                file.put("EgressUntagged", &range);
            }
            if vlan.pvid {
                file.put("PVID", vlan.first);
            }
        }
    }
}

/// An address that needs no section of its own.
fn is_plain(address: &Address) -> bool {
    address.peer.is_none()
        && address.label.is_none()
        && address.preferred.is_none()
        && address.unusual_broadcast().is_none()
}

/// systemd's key for an offload, from netplan's: `tcp-segmentation-offload` is `TCPSegmentationOffload`.
fn key_of(key: &str) -> String {
    let word = |word: &str| match word {
        "tcp" | "tcp6" => word.to_ascii_uppercase(),
        _ => word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect(),
    };
    key.split('-').map(word).collect()
}

/// A NIC's match: its permanent MAC address, since VLANs and bonds share the current one.
fn matched(link: &Link, name_key: &str, file: &mut Ini) {
    let select = &link.select;
    file.section("Match");
    file.put_some("PermanentMACAddress", select.mac.map(|mac| mac.value));
    file.put_some("Path", select.pci.as_ref().map(|pci| format!("pci-{}", pci.value)));
    let name = select.name.as_ref().map(|name| match &name.value {
        NamePattern::Exact(name) | NamePattern::Glob(name) => name.as_str(),
    });
    file.put_some(name_key, name);
    let drivers: Vec<&str> = select.drivers.iter().map(|driver| driver.value.as_str()).collect();
    if !drivers.is_empty() {
        file.put("Driver", drivers.join(" "));
    }
    if select.mac.is_none() && select.pci.is_none() && name.is_none() && drivers.is_empty() {
        file.put("Type", "ether");
        file.put("Kind", "!*");
    }
}

/// networkd's name for the kind.
fn kind(link: &Link) -> &'static str {
    match link.kind {
        Kind::Ip6tnl => "ip6tnl",
        other => other.word(),
    }
}

fn options(
    link: &Link,
    section: &str,
    table: &[Row],
    elsewhere: &[&str],
    file: &mut Ini,
    losses: &mut Losses,
) {
    file.section(section);
    for (option, key, unit) in table {
        if let Some(set) = link.settings.get(option) {
            file.put(key, value(set, *unit));
        }
    }
    let known =
        |option: &str| table.iter().any(|(known, ..)| *known == option) || elsewhere.contains(&option);
    for (option, setting) in link.settings.0.iter().filter(|(option, _)| !known(option)) {
        losses.none(link, Part::Settings, setting.at, format_args!("{} option {option}", link.kind.noun()));
    }
}

fn wireguard_sections(wireguard: &Wireguard, file: &mut Ini) {
    let secret = |file: &mut Ini, key: &str, text: &str| match text.starts_with('/') {
        true => file.put(&format!("{key}File"), text),
        false => file.put(key, text),
    };
    file.section("WireGuard");
    if let Some(key) = &wireguard.private_key {
        secret(file, "PrivateKey", &key.value);
    }
    file.put_some("ListenPort", wireguard.listen_port);
    file.put_some("FirewallMark", wireguard.mark);
    for Peer { public_key, shared_key, endpoint, allowed, keepalive } in &wireguard.peers {
        file.section("WireGuardPeer");
        file.put("PublicKey", &public_key.value);
        if let Some(key) = shared_key {
            secret(file, "PresharedKey", &key.value);
        }
        file.put_some("Endpoint", endpoint.map(|end| SocketAddr::from(end.value)));
        for net in allowed {
            file.put("AllowedIPs", net);
        }
        file.put_some("PersistentKeepalive", *keepalive);
    }
}

fn write_rule(rule: &Rule, file: &mut Ini) {
    file.section("RoutingPolicyRule");
    if rule.from.is_none() && rule.to.is_none() {
        file.put("Family", if rule.family == Family::V4 { "ipv4" } else { "ipv6" });
    }
    file.put_some("From", rule.from);
    file.put_some("To", rule.to);
    match rule.action {
        RouteKind::Unicast => file.put("Table", rule.table),
        kind => file.put("Type", kind.word()),
    }
    file.put_some("Priority", rule.priority);
    file.put_some("FirewallMark", rule.mask.map_or(rule.mark.map(|n| n.to_string()), |_| mark_words(rule)));
    file.put_some("TypeOfService", rule.tos);
    file.put_some("IncomingInterface", rule.iif.as_ref());
    file.put_some("SuppressPrefixLength", rule.suppress);
}

fn dhcp(link: &Link, file: &mut Ini, losses: &mut Losses) {
    let options = &link.dhcp4;
    lacking_dhcp(link, &[DHCP_OPTIONS, &["vendor_class", "table", "duid6"]].concat(), losses);
    if link.asks(Dynamic::Dhcp6) {
        file.section("DHCPv6");
        match options.duid6.as_deref() {
            Some([high, low, rest @ ..]) => {
                file.put("DUIDType", u16::from_be_bytes([*high, *low]));
                file.put("DUIDRawData", hex(rest));
            }
            Some(_) => file.put("DUIDType", "link-layer"),
            None => {}
        }
        file.switch("UseDNS", options.use_name_servers);
        file.switch("UseDomains", options.use_domains);
        file.switch("UseHostname", options.use_host_name);
        file.put_some("UseNTP", (!options.use_time_servers).then_some("no"));
    }
    if !link.asks(Dynamic::Dhcp4) {
        return;
    }
    file.section("DHCPv4");
    file.put("ClientIdentifier", if options.duid { "duid" } else { "mac" });
    for (key, on) in [
        ("SendHostname", options.send_host_name),
        ("UseDNS", options.use_name_servers),
        ("UseDomains", options.use_domains),
        ("UseMTU", options.use_mtu),
        ("UseRoutes", options.use_routes),
        ("UseHostname", options.use_host_name),
    ] {
        file.switch(key, on);
    }
    file.put_some("UseNTP", (!options.use_time_servers).then_some("no"));
    file.put_some("Hostname", options.host_name.as_ref());
    file.put_some("RouteMetric", options.metric);
    file.put_some("RouteTable", options.table);
    file.put_some("VendorClassIdentifier", options.vendor_class.as_ref());
}

/// Whether the static IPv6 addresses should be the only ones.
fn alone(link: &Link) -> bool {
    let has_address = link.addresses.iter().any(|address| address.net.addr().is_ipv6());
    link.ipv6.static_alone && has_address && link.ipv6.accept_ra.is_none()
}

fn advertisements(link: &Link, file: &mut Ini) {
    let autoconf = link.ipv6.autoconf.map(|autoconf| autoconf.value).or(alone(link).then_some(false));
    let names = [("UseDNS", link.ipv6.ra_name_servers), ("UseDomains", link.ipv6.ra_domains)];
    let information = link.ipv6.information.filter(|on| on.value);
    let has_none = names.iter().all(|(_, on)| on.is_none()) && information.is_none();
    if autoconf.is_none() && link.ipv6.token.is_none() && has_none {
        return;
    }
    file.section("IPv6AcceptRA");
    file.put_some("DHCPv6Client", information.map(|_| "always"));
    file.put_some("UseAutonomousPrefix", autoconf.map(yes));
    for (key, on) in names {
        file.put_some(key, on.map(|on| yes(on.value)));
    }
    file.put_some("Token", link.ipv6.token.map(|token| format!("static:{}", token.value)));
    if alone(link) {
        let described = link.routes.iter().any(|route| route.is_default() && route.family() == Family::V6);
        file.switch("UseGateway", !described);
    }
}

#[cfg(test)]
mod tests {
    use super::super::HEADER;
    use super::*;
    use crate::format::parse;
    use crate::inventory::Inventory;
    use crate::resolve::{Missing, resolve};

    fn files(text: &str) -> Vec<File> {
        let parsed = parse(vec![("x".into(), text.into())]);
        let (resolved, _) = resolve(&parsed.desired, &Inventory::default(), Missing::StandIn);
        let exported = super::super::export(super::super::Tool::Networkd, &parsed.desired, &resolved);
        assert!(exported.losses.is_empty(), "{:?}", exported.losses);
        exported.files
    }

    fn text(files: &[File], name: &str) -> String {
        let file = files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no {name}"));
        file.text.trim_start_matches(HEADER).replace("\n\n", "\n").trim().to_owned()
    }

    #[test]
    fn a_bond_with_a_vlan_is_two_netdevs_and_four_networks() {
        let files = files(
            "network:
  version: 2
  ethernets:
    a: {match: {macaddress: '52:54:00:00:00:01'}, set-name: lan0, wakeonlan: true}
    eth1: {}
  bonds:
    bond0: {interfaces: [a, eth1], parameters: {mode: active-backup, mii-monitor-interval: 100, primary: eth1}}
  vlans:
    bond0.7:
      id: 7
      link: bond0
      addresses: [192.0.2.2/24, '2001:db8::2/64': {lifetime: 0}]
      routes: [{to: default, via: 192.0.2.1, metric: 50, on-link: true}]
      nameservers: {addresses: [192.0.2.53], search: [example.org]}
",
        );
        assert_eq!(files.len(), 7, "{files:?}");
        assert_eq!(
            text(&files, "10-netapply-a.link"),
            "[Match]\nPermanentMACAddress=52:54:00:00:00:01\n[Link]\nName=lan0\nWakeOnLan=magic"
        );
        assert_eq!(
            text(&files, "10-netapply-bond0.netdev"),
            "[NetDev]\nName=bond0\nKind=bond\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms"
        );
        assert_eq!(
            text(&files, "10-netapply-eth1.network"),
            "[Match]\nName=eth1\n[Network]\nDHCP=no\nBond=bond0\nPrimarySlave=yes"
        );
        assert_eq!(
            text(&files, "10-netapply-bond0.network"),
            "[Match]\nName=bond0\n[Network]\nDHCP=no\nVLAN=bond0.7"
        );
        assert_eq!(
            text(&files, "10-netapply-bond0.7.network"),
            "[Match]\nName=bond0.7\n[Network]\nDHCP=no\nAddress=192.0.2.2/24\nDNS=192.0.2.53\nDomains=example.org\n\
             [Address]\nAddress=2001:db8::2/64\nPreferredLifetime=0\n[Route]\nDestination=0.0.0.0/0\n\
             Gateway=192.0.2.1\nGatewayOnLink=yes\nMetric=50"
        );
    }

    #[test]
    fn keys_are_for_networkd_alone() {
        let files = files(
            "network:
  version: 2
  tunnels:
    wg0:
      mode: wireguard
      key: QO1hYkWLQ5yxTbs1P0bFUNYnMTbZ3aFQXvhxX6lPXEE=
      peers: [{keys: {public: FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=, shared: /etc/wireguard/psk}, allowed-ips: [0.0.0.0/0]}]
",
        );
        let netdev = files.iter().find(|file| file.name.ends_with(".netdev")).unwrap();
        assert_eq!(netdev.mode, 0o640);
        assert!(netdev.text.contains("PresharedKeyFile=/etc/wireguard/psk\n"), "{}", netdev.text);
    }

    #[test]
    fn keys_of_offloads_are_systemds() {
        let keys: Vec<String> = OFFLOADS.iter().map(|(key, _)| key_of(key)).collect();
        assert!(keys.contains(&"TCP6SegmentationOffload".to_owned()), "{keys:?}");
        assert!(keys.contains(&"ReceiveChecksumOffload".to_owned()), "{keys:?}");
    }
}
