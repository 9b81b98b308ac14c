//! Debian interfaces files, interfaces(5). What ifupdown has an option for is written as that; what only ip(8) can do
//! is a command, which every ifupdown runs and netapply's reader supports; what only ifupdown2 has (VLANs of bridge
//! ports, `link-down`, `accept-ra` without an IPv6 address) uses its names.

use std::fmt::{Display, Write as _};

use foldhash::HashSet;

use super::debian::{Called, far_end, referred};
use super::{
    File, HEADER, Links, Losses, Names, Part, expressible, host_name, lacking, lacking_address, lacking_dhcp,
    lacking_ipv6, lacking_naming, machine_wide, servers,
};
use crate::format::eni::{OFFLOADS, PARAMETERS};
use crate::format::value::BRIDGE_NAMES;
use crate::model::attribute::{self, Form, OptionValue};
use crate::model::{
    Activation, Address, AddressGeneration, Desired, DesiredMac, DhcpOptions, Dynamic, Family, IfName, Kind,
    Link, NamePattern, PortVlan, Route, RouteKind, Rule, hex,
};

/// The main table, by number: in a VRF a route without one goes to the VRF's.
const MAIN: u32 = 254;

pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let mut called = Called::new(desired.links.iter(), names);
    let below = referred(&desired.links);
    let mut globs: HashSet<String> = HashSet::default();
    let can_make = |link: &Link, losses: &mut Losses| match link.kind {
        Kind::Physical if glob(link).is_some() && !below.contains(&link.id) && names.nic(link).is_none() => {
            globs.insert(link.id.clone());
            true
        }
        Kind::Physical => called.nic(link, names, losses),
        Kind::Wireguard => {
            losses.none(link, Part::Kind, link.at, "keys and peers of WireGuard links");
            false
        }
        _ => true,
    };
    let mut links = expressible(desired, can_make, false, losses);
    machine_wide(desired, &mut links, losses);
    host_name(desired, losses);
    if links.is_empty() {
        return Vec::new();
    }
    let writer = Writer { called, globs, links: Links::new(&links) };
    let mut text = format!("{HEADER}\nauto lo\niface lo inet loopback\n");
    for link in writer.order() {
        writer.link(link, &mut text, losses);
    }
    vec![File { name: "interfaces".to_owned(), mode: 0o644, group: None, text }]
}

/// The pattern of a NIC that is matched by nothing else.
fn glob(link: &Link) -> Option<&str> {
    let select = &link.select;
    match &select.name.as_ref()?.value {
        NamePattern::Glob(glob)
            if select.mac.is_none() && select.drivers.is_empty() && select.pci.is_none() =>
        {
            Some(glob)
        }
        _ => None,
    }
}

/// One `iface` stanza.
struct Stanza {
    name: String,
    family: Family,
    method: &'static str,
    /// The text of its options.
    options: String,
}

impl Stanza {
    fn new(name: &str, family: Family, method: &'static str) -> Self {
        Stanza { name: name.to_owned(), family, method, options: String::new() }
    }

    fn put(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.options, "    {key} {value}");
    }

    fn put_some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// A command `ip … add …` whose effect outlives the link, and would be there already at the next ifup.
    fn put_with_undo(&mut self, command: &str) {
        self.put("up", command);
        self.put("post-down", format_args!("{} || true", command.replacen(" add ", " del ", 1)));
    }

    /// Whether the method has this option of ifupdown's own: it ignores those of others. `mtu` beside `inet6 static` is
    /// IPv6's alone. Only `bond-…` and the like, which are for scripts, may have a dash for the underscore.
    fn has(&self, key: &str) -> bool {
        match (self.family, self.method) {
            (Family::V4, "static" | "manual") => key == "mtu",
            (Family::V6, "static") => matches!(key, "accept_ra" | "autoconf" | "privext"),
            (Family::V6, "auto") => matches!(key, "accept_ra" | "privext"),
            (Family::V6, "dhcp") => matches!(key, "accept_ra" | "autoconf"),
            _ => false,
        }
    }
}

struct Writer<'a> {
    called: Called,
    /// NICs that are matched by a pattern.
    globs: HashSet<String>,
    links: Links<'a>,
}

impl<'a> Writer<'a> {
    fn name<'s>(&'s self, link: &'s Link) -> &'s str {
        self.called.of(&link.id)
    }

    /// ifupdown brings links up in file order: each comes after its parent and members, and a VRF before its members.
    fn order(&self) -> Vec<&'a Link> {
        let mut done: HashSet<&str> = HashSet::default();
        let mut order = Vec::new();
        for first in self.links.list {
            let mut stack = vec![(first, false)];
            while let Some((link, needs_are_done)) = stack.pop() {
                if needs_are_done {
                    order.push(link);
                    continue;
                }
                if !done.insert(&link.id) {
                    continue;
                }
                stack.push((link, true));
                let members = link.members.iter().filter(|_| link.kind != Kind::Vrf);
                let needs = members.chain(&link.parent).filter_map(|need| self.links.get(&need.value));
                let vrf = self.links.controller(&link.id).filter(|controller| controller.kind == Kind::Vrf);
                let needs: Vec<&Link> = needs.chain(vrf).collect();
                stack.extend(needs.into_iter().rev().map(|need| (need, false)));
            }
        }
        order
    }

    fn link(&self, link: &Link, out: &mut String, losses: &mut Losses) {
        let mut stanzas = self.stanzas(link, losses);
        if let Some(first) = stanzas.first_mut() {
            self.kind(link, first, losses);
            self.common(link, first, losses);
            for (family, on) in [("ipv4", link.forwarding), ("ipv6", link.ipv6.forwarding)] {
                let command = on.map(|on| sysctl(self.name(link), family, "forwarding", u32::from(on.value)));
                first.put_some("pre-up", command);
            }
        }
        routes(link, self.vrf_table(link).is_some(), &mut stanzas, &self.called, losses);
        if let Some(first) = stanzas.first_mut() {
            self.make_early(link, first, losses);
            for rule in &link.rules {
                first.put_with_undo(&rule_command(rule, &self.called));
            }
        }
        lacking(link, &[Part::IgnoreCarrier, Part::Optional], losses);
        // udev reports a NIC; what ifupdown makes is never reported before, and members are brought up before their bond.
        let by_udev = link.kind == Kind::Physical && self.links.above(&link.id).next().is_none();
        let waits_not = link.optional && link.activation == Activation::Up;
        let verb = if waits_not && by_udev { "allow-hotplug" } else { "auto" };
        out.push('\n');
        if link.activation != Activation::Manual {
            let mut names: Vec<String> = match glob(link).filter(|_| self.globs.contains(&link.id)) {
                Some(glob) => vec![format!("/{glob}={}", self.name(link))],
                None => vec![self.name(link).to_owned()],
            };
            for stanza in &stanzas {
                if stanza.name != self.name(link) && !names.contains(&stanza.name) {
                    names.push(stanza.name.clone());
                }
            }
            if names.iter().any(|name| name != "lo") {
                let _ = writeln!(out, "{verb} {}", names.join(" "));
            }
        } else if self.links.above(&link.id).next().is_some() {
            losses.differs(
                link,
                Part::Activation,
                link.at,
                "ifupdown brings up what other links are made of",
            );
        }
        for Stanza { name, family, method, options } in stanzas {
            let family = if family == Family::V4 { "inet" } else { "inet6" };
            let _ = write!(out, "iface {name} {family} {method}\n{options}");
        }
    }

    /// The stanzas of a link with their addresses; the first is that of the link itself.
    fn stanzas(&self, link: &Link, losses: &mut Losses) -> Vec<Stanza> {
        let name = self.name(link);
        let mut stanzas = Vec::new();
        if link.asks(Dynamic::Dhcp4) {
            let mut stanza = Stanza::new(name, Family::V4, "dhcp");
            dhcp(&link.dhcp4, &mut stanza);
            stanzas.push(stanza);
        }
        let own = |family| link.addresses.iter().filter(move |a| Family::of(&a.net.addr()) == family);
        for address in own(Family::V4) {
            stanzas.extend(self.address(link, address, losses));
        }
        let accept = link.ipv6.accept_ra.map(|accept| accept.value);
        let accept = accept.or(link.asks(Dynamic::RouterAdvertisements).then_some(true));
        let has_six = own(Family::V6).next().is_some();
        // The options that the method implies.
        let mut implied = None;
        if link.asks(Dynamic::Dhcp6) {
            implied = Some(true);
            stanzas.push(Stanza::new(name, Family::V6, "dhcp"));
            if accept.is_none() {
                losses.differs(
                    link,
                    Part::Ipv6,
                    link.at,
                    "DHCPv6 of ifupdown comes with router advertisements",
                );
            }
        } else if accept == Some(true) && !has_six {
            implied = Some(true);
            stanzas.push(Stanza::new(name, Family::V6, "auto"));
        }
        for address in own(Family::V6) {
            stanzas.extend(self.address(link, address, losses));
        }
        // The first is that of the link itself.
        let has_options = |first: &Stanza| (link.mtu.is_none() && link.mac.is_none()) || first.has("mtu");
        if stanzas.first().is_none_or(|first| first.name != name || !has_options(first)) && name != "lo" {
            stanzas.insert(0, Stanza::new(name, Family::V4, "manual"));
        }
        if stanzas.is_empty() {
            stanzas.push(Stanza::new(name, Family::V4, "manual"));
        }
        ipv6(link, accept.filter(|accept| Some(*accept) != implied), name, &mut stanzas, losses);
        let known = ["metric", "host_name", "vendor_class", "lifetime", "client_id"];
        lacking_dhcp(link, if link.asks(Dynamic::Dhcp4) { &known } else { &[] }, losses);
        if let Some([_]) = link.dhcp4.client_id.as_deref() {
            losses.none(link, Part::Dhcp4, link.at, "DHCP client id of one byte");
        }
        stanzas
    }

    fn address(&self, link: &Link, address: &Address, losses: &mut Losses) -> Option<Stanza> {
        let name = self.name(link);
        let family = Family::of(&address.net.addr());
        // An alias is the label of its addresses.
        let begins = |label: &&str| label.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        let alias = address.label.as_deref().filter(begins).filter(|_| family == Family::V4);
        let far = far_end(address);
        let known: Vec<&str> = [
            (alias.is_some(), "label"),
            (far.is_some(), "peer"),
            (family == Family::V6 && address.preferred == Some(0), "preferred"),
            (true, "broadcast"),
        ]
        .into_iter()
        .filter_map(|(is_known, part)| is_known.then_some(part))
        .collect();
        if !lacking_address(link, address, &known, losses) {
            return None;
        }
        let mut stanza = Stanza::new(alias.unwrap_or(name), family, "static");
        stanza.put("address", address.net);
        stanza.put_some("pointopoint", far);
        stanza.put_some("broadcast", address.unusual_broadcast());
        if known.contains(&"preferred") {
            stanza.put("preferred-lifetime", 0);
        }
        Some(stanza)
    }

    /// The options that create the link.
    fn kind(&self, link: &Link, out: &mut Stanza, losses: &mut Losses) {
        // With a controller of the same kind it would be taken for a member that repeats its controller's options.
        if self.links.controller(&link.id).is_some_and(|controller| controller.kind == link.kind) {
            out.put("link-type", link.kind.word());
        }
        let members = || match link.members.is_empty() {
            true => "none".to_owned(),
            false => link.members.iter().map(|m| self.called.of(&m.value)).collect::<Vec<_>>().join(" "),
        };
        match link.kind {
            Kind::Physical => self.nic(link, out, losses),
            Kind::Bond => {
                out.put("bond-slaves", members());
                self.bond(link, out, losses);
            }
            Kind::Bridge => {
                out.put("bridge-ports", members());
                self.bridge(link, out, losses);
            }
            Kind::Vlan => {
                let parent = link.parent.as_ref().map(|parent| self.called.of(&parent.value));
                let id = link.settings.number("id");
                let says_it = format!("{}.{}", parent.unwrap_or_default(), id.unwrap_or_default());
                // By these ifupdown2 and ifupdown-ng order and make it; ifupdown itself makes what is called `bond0.7` only.
                if self.name(link) != says_it {
                    out.put_some("vlan-raw-device", parent);
                    out.put_some("vlan-id", id);
                    self.made(link, out, losses);
                }
                out.put_some("vlan-protocol", super::other_protocol(link).map(|protocol| &protocol.value));
            }
            _ => self.made(link, out, losses),
        }
        if let Some(vrf) = self.vrf(link) {
            out.put("pre-up", format!("ip link set dev {} master {}", self.name(link), self.name(vrf)));
        }
    }

    /// A link created with ip(8).
    fn made(&self, link: &Link, out: &mut Stanza, losses: &mut Losses) {
        let name = self.name(link);
        let parent = link.parent.as_ref().map(|parent| self.called.of(&parent.value));
        let has_dev = attribute::of(link.kind, "dev").is_some();
        let mut command = format!("ip link add name {name}");
        if let Some(parent) = parent.filter(|_| !has_dev) {
            let _ = write!(command, " link {parent}");
        }
        let _ = write!(command, " type {}{}", link.kind.word(), options(link, |_| true, losses));
        if let Some(parent) = parent.filter(|_| has_dev) {
            let _ = write!(command, " dev {parent}");
        }
        if let Some(peer) = &link.peer {
            let _ = write!(command, " peer name {}", self.called.of(&peer.value));
        }
        // It may exist already: ifupdown does not check, and a peer is created with its veth.
        out.put("pre-up", format!("{command} || true"));
        for end in &link.remotes {
            out.put(
                "pre-up",
                format!("bridge fdb append 00:00:00:00:00:00 dev {name} dst {} || true", end.value),
            );
        }
        out.put("post-down", format!("ip link del dev {name} || true"));
    }

    /// The options of a bond: those that ifenslave sets, and with ip(8) the others, before it has members.
    fn bond(&self, link: &Link, out: &mut Stanza, losses: &mut Losses) {
        for (option, setting) in link.settings.0.iter().filter(|(option, _)| IFENSLAVE.contains(option)) {
            let is_link = attribute::of(Kind::Bond, option).is_some_and(|row| row.form == Form::Link);
            let value = match &setting.value {
                OptionValue::Text(id) if is_link => self.called.of(id).to_owned(),
                OptionValue::Ips(ips) => ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                other => other.to_string(),
            };
            out.put(&format!("bond-{}", option.replace('_', "-")), value);
        }
        let others = options(link, |option| !IFENSLAVE.contains(&option), losses);
        if !others.is_empty() {
            // Some are for one mode only.
            let mode = link.settings.word("mode").unwrap_or("balance-rr");
            out.put(
                "pre-up",
                format_args!("ip link set dev {} type bond mode {mode}{others}", self.name(link)),
            );
        }
    }

    fn nic(&self, link: &Link, out: &mut Stanza, losses: &mut Losses) {
        lacking(link, &[Part::Settings], losses);
        if let Some(mac) = link.select.mac.filter(|_| IfName::new(self.name(link)).is_ok()) {
            out.put("hwaddress", mac.value);
        }
        lacking_naming(link, link.select.name.as_ref().map(|_| self.name(link)), losses);
        out.put_some("ethernet-wol", link.wake_on_lan.map(|on| if on.value { "g" } else { "d" }));
        for (name, setting) in &link.tuning.0 {
            let key = PARAMETERS.iter().find(|(_, known)| known == name).map_or("", |(key, _)| *key);
            match &setting.value {
                OptionValue::Bool(on) => out.put(key, if *on { "on" } else { "off" }),
                value => out.put(key, value),
            }
        }
        let mut written: HashSet<&str> = HashSet::default();
        for (key, features) in OFFLOADS {
            let set: Vec<Option<bool>> =
                features.iter().map(|feature| link.features.get(feature).map(|on| on.value)).collect();
            if let [Some(on), rest @ ..] = set.as_slice() {
                if rest.iter().all(|other| *other == Some(*on)) {
                    out.put(key, if *on { "on" } else { "off" });
                    written.extend(features.iter());
                }
            }
        }
        for (feature, on) in link.features.iter().filter(|(feature, _)| !written.contains(*feature)) {
            losses.none(link, Part::Features, on.at, format_args!("offload {feature} by itself"));
        }
    }

    /// The options of a bridge that bridge-utils set, and those of its ports.
    fn bridge(&self, link: &Link, out: &mut Stanza, losses: &mut Losses) {
        for (name, option, seconds) in BRIDGE_NAMES.iter().filter(|(name, ..)| BRIDGE_UTILS.contains(name)) {
            let Some(setting) = link.settings.0.get(option) else { continue };
            let key = format!("bridge-{}", name.replace('_', "-"));
            match &setting.value {
                // bridge-utils compare with this word.
                OptionValue::Bool(on) => out.put(&key, if *on { "yes" } else { "no" }),
                OptionValue::Number(number) if *seconds => out.put(&key, *number as f64 / 100.0),
                other => out.put(&key, other),
            }
        }
        for member in &link.members {
            let Some(port) = self.links.get(&member.value) else { continue };
            for (key, option) in [("bridge-pathcost", "cost"), ("bridge-portprio", "priority")] {
                if let Some(number) = port.port.number(option) {
                    out.put(key, format_args!("{} {number}", self.name(port)));
                }
            }
        }
        if let Some(first) = link.vlans.as_ref().and_then(|vlans| vlans.first()) {
            let what = "the VLANs of the bridge itself follow from those on it";
            losses.differs(link, Part::Vlans, first.at, what);
        }
    }

    /// The scripts of ifenslave and bridge-utils make what is not there yet, but behind these commands, and they do not know
    /// every option of a bridge.
    fn make_early(&self, link: &Link, out: &mut Stanza, losses: &mut Losses) {
        let (others, filtering) = match link.kind {
            Kind::Bond => (String::new(), ""),
            // They turn it on only of a bridge that they make.
            Kind::Bridge => (
                options(link, |option| !is_of_bridge_utils(option), losses),
                if filters(link) { " vlan_filtering 1" } else { "" },
            ),
            _ => return,
        };
        if !others.is_empty() || out.options.contains("    pre-up ") {
            let (name, kind) = (self.name(link), link.kind.word());
            let command =
                format!("    pre-up ip link add name {name} type {kind}{filtering}{others} || true\n");
            out.options.insert_str(0, &command);
        }
    }

    /// The options of links of every kind, and of ports.
    fn common(&self, link: &Link, out: &mut Stanza, losses: &mut Losses) {
        match link.mac.map(|mac| (mac.value, mac.at)) {
            None => {}
            Some((_, at)) if link.select.mac.is_some() => {
                losses.none(link, Part::Mac, at, "MAC address for a NIC that is matched by another");
            }
            // hwaddress of a NIC would be read as its match.
            Some((DesiredMac::Is(mac), _)) if link.kind == Kind::Physical => {
                out.put("pre-up", format!("ip link set dev {} address {mac}", self.name(link)));
            }
            Some((DesiredMac::Is(mac), _)) => out.put("hwaddress", mac),
            Some((DesiredMac::Random, _)) => out.put("hwaddress", "random"),
            Some((DesiredMac::Permanent, at)) => losses.none(link, Part::Mac, at, "permanent MAC address"),
        }
        if let Some(on) = link.promiscuous {
            let word = if on.value { "on" } else { "off" };
            out.put("pre-up", format!("ip link set dev {} promisc {word}", self.name(link)));
        }
        out.put_some("mtu", link.mtu.map(|mtu| mtu.value.get()));
        if link.activation == Activation::Off {
            out.put("link-down", "yes");
        }
        let texts = |key: &str, texts: Vec<String>, out: &mut Stanza| {
            if !texts.is_empty() {
                out.put(key, texts.join(" "));
            }
        };
        texts("dns-nameservers", servers(&link.resolver, |zone| self.called.of(zone)).collect(), out);
        texts("dns-search", link.resolver.search.iter().map(|domain| domain.value.clone()).collect(), out);
        let bridge = self.links.controller(&link.id).filter(|controller| controller.kind == Kind::Bridge);
        for (option, setting) in &link.port.0 {
            match (*option, &setting.value) {
                ("cost" | "priority", _) if bridge.is_some() => {}
                ("learning", OptionValue::Bool(on)) if bridge.is_some() => {
                    out.put("bridge-learning", if *on { "on" } else { "off" });
                }
                ("neigh_suppress", OptionValue::Bool(on)) if bridge.is_some() => {
                    out.put("bridge-arp-nd-suppress", if *on { "on" } else { "off" });
                }
                _ => {
                    let what = format!("port option {option} {}", setting.value);
                    losses.none(link, Part::Port, setting.at, what);
                }
            }
        }
        match (bridge.filter(|bridge| filters(bridge)), &link.vlans) {
            (Some(_), Some(vlans)) => {
                port_vlans(self.name(link), vlans.iter().map(|vlan| vlan.value).collect(), out);
            }
            (Some(bridge), None) => {
                let what =
                    format!("interfaces text gives a port of {} VLAN 1 without a tag", self.name(bridge));
                losses.differs(link, Part::Vlans, link.at, what);
            }
            (None, _) => lacking(link, &[Part::Vlans], losses),
        }
    }

    fn vrf(&self, link: &Link) -> Option<&'a Link> {
        self.links.controller(&link.id).filter(|controller| controller.kind == Kind::Vrf)
    }

    /// The table of the VRF that a link is, or is in.
    fn vrf_table(&self, link: &Link) -> Option<i64> {
        let own = (link.kind == Kind::Vrf).then(|| link.settings.number("table")).flatten();
        own.or_else(|| self.vrf(link)?.settings.number("table"))
    }
}

fn filters(bridge: &Link) -> bool {
    bridge.settings.get("vlan_filtering") == Some(&OptionValue::Bool(true))
}

/// The VLANs of a port: options if ifupdown2 has them, commands for VLANs that are untagged in one direction only.
fn port_vlans(name: &str, vlans: Vec<PortVlan>, out: &mut Stanza) {
    let range = |vlan: &PortVlan| match vlan.first == vlan.last {
        true => vlan.first.to_string(),
        false => format!("{}-{}", vlan.first, vlan.last),
    };
    let is_native = |vlan: &&PortVlan| vlan.pvid && vlan.untagged && vlan.first == vlan.last;
    let native = vlans.iter().find(is_native).map(|vlan| vlan.first);
    let tagged: Vec<String> = vlans.iter().filter(|vlan| !vlan.pvid && !vlan.untagged).map(range).collect();
    match native {
        Some(vid) if vlans.len() == 1 => return out.put("bridge-access", vid),
        Some(vid) => out.put("bridge-pvid", vid),
        None => out.put("bridge-allow-untagged", "no"),
    }
    if !tagged.is_empty() {
        out.put("bridge-vids", tagged.join(" "));
    }
    let odd = vlans.iter().filter(|vlan| (vlan.pvid || vlan.untagged) && native != Some(vlan.first));
    for vlan in odd {
        let words = [(vlan.pvid, " pvid"), (vlan.untagged, " untagged")];
        let words: String = words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
        out.put("up", format_args!("bridge vlan add dev {name} vid {}{words}", range(vlan)));
    }
}

fn dhcp(options: &DhcpOptions, out: &mut Stanza) {
    out.put_some("hostname", options.host_name.as_ref());
    out.put_some("metric", options.metric);
    out.put_some("vendor", options.vendor_class.as_ref());
    out.put_some("leasetime", options.lifetime);
    let id = options.client_id.as_ref().filter(|id| id.len() > 1);
    out.put_some("client", id.map(|id| hex(id)));
}

/// IPv6 settings other than addresses: options of an IPv6 stanza if its method has them, else commands.
fn ipv6(link: &Link, accept: Option<bool>, name: &str, stanzas: &mut [Stanza], losses: &mut Losses) {
    // The kernel wants a secret beforehand.
    let generation = link.ipv6.generation.and_then(|generation| match generation.value {
        AddressGeneration::Eui64 => Some(0),
        AddressGeneration::None => Some(1),
        AddressGeneration::Random => Some(3),
        AddressGeneration::StableSecret => None,
    });
    let known = ["accept_ra", "autoconf", "privacy", "forwarding", "mtu", "information", "generation"];
    let known = if generation.is_some() { &known[..] } else { &known[..known.len() - 1] };
    lacking_ipv6(link, known, losses);
    let six = link.addresses.iter().find(|address| address.net.addr().is_ipv6());
    let alone = six.filter(|_| leaves_advertisements(link)).filter(|_| link.ipv6.static_alone);
    let mut autoconf = link.ipv6.autoconf.map(|autoconf| autoconf.value).or(alone.map(|_| false));
    // The last address turns autoconf off once more.
    let last = stanzas.iter().rposition(|stanza| stanza.family == Family::V6 && stanza.method == "static");
    let at = last.or(stanzas.iter().position(|stanza| stanza.family == Family::V6));
    if let Some(address) = alone {
        let what = "the described IPv6 addresses are to be the only ones: autoconf is turned off";
        losses.differs(link, Part::Ipv6, address.at, what);
    } else if let Some(address) = six.filter(|_| autoconf.is_none() && accept != Some(false)) {
        autoconf = Some(true);
        if leaves_advertisements(link) {
            let what = "ifupdown turns autoconf off beside an IPv6 address: it is written as on";
            losses.differs(link, Part::Ipv6, address.at, what);
        }
    }
    // 2 accepts them on a machine that forwards packets, too.
    let options = [
        ("accept_ra", "accept_ra", accept.map(|on| if on { 2 } else { 0 })),
        ("autoconf", "autoconf", autoconf.map(u32::from)),
        ("privext", "use_tempaddr", link.ipv6.privacy.map(|on| if on.value { 2 } else { 0 })),
        ("", "addr_gen_mode", generation),
        ("", "mtu", link.ipv6.mtu.map(|mtu| mtu.value)),
    ];
    for (key, option, value) in options {
        // The link-local address comes with the link; the method has its own values for the others.
        let (at, verb) = match (option, at) {
            ("addr_gen_mode", _) => (0, "pre-up"),
            ("mtu", at) => (at.unwrap_or_default(), "up"),
            (_, Some(at)) => (at, "up"),
            (_, None) => (0, "pre-up"),
        };
        match (value, stanzas.get_mut(at)) {
            (Some(value), Some(stanza)) if stanza.has(key) => stanza.put(key, value),
            (Some(value), Some(stanza)) => stanza.put(verb, sysctl(name, "ipv6", option, value)),
            _ => {}
        }
    }
    let auto = stanzas.iter_mut().find(|stanza| stanza.family == Family::V6 && stanza.method == "auto");
    match (link.ipv6.information.filter(|on| on.value), auto) {
        (Some(_), Some(stanza)) => stanza.put("dhcp", 1),
        (Some(on), None) => losses.none(link, Part::Ipv6, on.at, "DHCPv6 without addresses"),
        (None, _) => {}
    }
}

/// Whether the description leaves it to the kernel if router advertisements are accepted.
fn leaves_advertisements(link: &Link) -> bool {
    link.ipv6.accept_ra.is_none() && !link.asks(Dynamic::RouterAdvertisements)
}

/// Writes a file of a link below /proc/sys/net. sysctl(8) takes a slash for a dot behind the first one.
fn sysctl(name: &str, family: &str, option: &str, value: u32) -> String {
    format!("sysctl -q -e -w net.{family}.conf.{}.{option}={value}", name.replace('.', "/"))
}

/// The options of a link for which `wanted` holds, as ip-link(8) has them behind its kind.
fn options(link: &Link, wanted: impl Fn(&str) -> bool, losses: &mut Losses) -> String {
    let mut out = String::new();
    for row in link.kind.attributes().iter().filter(|row| wanted(row.name)) {
        let Some(setting) = link.settings.0.get(row.name) else { continue };
        let words = row.ip_words(&setting.value);
        if words.is_empty() {
            let what = format!("{} option {}", link.kind.noun(), row.name);
            losses.none(link, Part::Settings, setting.at, what);
        }
        words.iter().for_each(|word| out.extend([" ", word]));
    }
    out
}

/// The options of bridges that the scripts of bridge-utils set, by the names that they have for them.
const BRIDGE_UTILS: &[&str] = &["ageing", "bridgeprio", "fd", "hello", "maxage", "stp", "vlan_aware"];

fn is_of_bridge_utils(option: &str) -> bool {
    BRIDGE_NAMES.iter().any(|(name, known, _)| *known == option && BRIDGE_UTILS.contains(name))
}

/// The options of bonds that ifenslave's script for ifupdown sets.
const IFENSLAVE: &[&str] = &[
    "active_slave",
    "ad_select",
    "arp_interval",
    "arp_ip_target",
    "arp_validate",
    "downdelay",
    "fail_over_mac",
    "lacp_rate",
    "miimon",
    "mode",
    "num_grat_arp",
    "packets_per_slave",
    "primary",
    "primary_reselect",
    "tlb_dynamic_lb",
    "updelay",
    "use_carrier",
    "xmit_hash_policy",
];

/// Routes: a default route as `gateway` if there is an address of its family, else with ip(8).
fn routes(link: &Link, in_vrf: bool, stanzas: &mut [Stanza], called: &Called, losses: &mut Losses) {
    let mut with_gateway: HashSet<Family> = HashSet::default();
    for route in &link.routes {
        let family = route.family();
        let own = stanzas.iter_mut().find(|stanza| stanza.family == family && stanza.method == "static");
        // Beside an IPv6 gateway ifupdown turns router advertisements off.
        let is_gateway = is_plain(route)
            && !in_vrf
            && (family == Family::V4 || link.ipv6.static_alone || !leaves_advertisements(link));
        match (own, route.via.filter(|_| is_gateway)) {
            (Some(stanza), Some(via)) if with_gateway.insert(family) => {
                stanza.put("gateway", via);
                stanza.put_some("metric", route.metric);
            }
            _ => {
                let Some(command) = route_command(link, route, in_vrf, called, losses) else { continue };
                let of_family = stanzas.iter().position(|stanza| stanza.family == family).unwrap_or_default();
                let Some(stanza) = stanzas.get_mut(of_family) else { continue };
                match route.kind.is_linkless() {
                    true => stanza.put_with_undo(&command),
                    false => stanza.put("up", command),
                }
            }
        }
    }
}

/// A default route with a gateway of its family and nothing else but a metric.
fn is_plain(route: &Route) -> bool {
    let family = route.via.map(|via| Family::of(&via));
    let bare = Route { metric: route.metric, at: route.at, ..Route::new(route.to, route.via, route.at) };
    route.is_default() && family == Some(route.family()) && *route == bare && route.metric != Some(0)
}

fn route_command(
    link: &Link,
    route: &Route,
    in_vrf: bool,
    called: &Called,
    losses: &mut Losses,
) -> Option<String> {
    let family = route.family();
    let hops: Vec<_> = route.more.iter().map(|hop| hop.via).chain([route.via]).collect();
    if !route.more.is_empty()
        && hops
            .iter()
            .any(|via| via.is_none_or(|via| Some(Family::of(&via)) != route.via.map(|v| Family::of(&v))))
    {
        let what = format!("route to {} with next hops without a gateway, or of both families", route.to);
        losses.none(link, Part::Routes, route.at, what);
        return None;
    }
    let version = if family == Family::V4 { 4 } else { 6 };
    let mut out = format!("ip -{version} route add ");
    if route.kind != RouteKind::Unicast {
        let _ = write!(out, "{} ", route.kind.word());
    }
    let _ = write!(out, "{}", route.to);
    let via = |ip: std::net::IpAddr| match Family::of(&ip) == family {
        true => format!(" via {ip}"),
        false => format!(" via inet6 {ip}"),
    };
    let name = called.of(&link.id);
    if route.more.is_empty() {
        out.extend(route.via.map(via));
        if !route.kind.is_linkless() {
            let _ = write!(out, " dev {name}");
        }
        if route.on_link {
            out.push_str(" onlink");
        }
    }
    let table = route.table.or(in_vrf.then_some(MAIN));
    let words = [
        ("metric", route.metric.map(|metric| metric.to_string())),
        ("table", table.map(|table| table.to_string())),
        ("src", route.source.map(|source| source.to_string())),
        ("scope", route.scope.map(|scope| scope.to_string())),
        ("mtu", route.mtu.map(|mtu| mtu.to_string())),
        ("window", route.window.map(|window| window.to_string())),
        ("initcwnd", route.congestion_window.map(|window| window.to_string())),
        ("initrwnd", route.receive_window.map(|window| window.to_string())),
        ("advmss", route.advertised_mss.map(|size| size.to_string())),
    ];
    for (word, value) in words {
        if let Some(value) = value {
            let _ = write!(out, " {word} {value}");
        }
    }
    if !route.more.is_empty() {
        let first = (None, route.via, route.weight, route.on_link);
        let others = route.more.iter().map(|hop| (hop.link.as_deref(), hop.via, hop.weight, hop.on_link));
        for (other, gateway, weight, on_link) in std::iter::once(first).chain(others) {
            let dev = other.map_or(name, |id| called.of(id));
            let gateway = gateway.map(via).unwrap_or_default();
            let _ = write!(out, " nexthop{gateway} dev {dev} weight {weight}");
            if on_link {
                out.push_str(" onlink");
            }
        }
    }
    Some(out)
}

fn rule_command(rule: &Rule, called: &Called) -> String {
    let version = if rule.family == Family::V4 { 4 } else { 6 };
    let from = rule.from.map_or("all".to_owned(), |net| net.to_string());
    let words = super::rule_words(rule, rule.iif.as_deref().map(|id| called.of(id)), rule.priority);
    let action = match rule.action {
        RouteKind::Unicast => format!("lookup {}", rule.table),
        kind => kind.word().to_owned(),
    };
    format!("ip -{version} rule add from {from}{words} {action}")
}
