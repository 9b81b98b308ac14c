//! [`Desired`] to the files of another tool: the inverse of `format`. Never looks at the machine, and writes nothing.
//!
//! [`export`] passes the description to the tool's own module. What that tool cannot express is an [`ExportLoss`], at
//! the line that asks for it, and is never dropped silently. `format` and this room share one table of facts:
//! `format`'s.

mod cmdline;
mod debian;
mod eni;
mod ini;
mod keyfile;
mod netplan;
mod network_data;
mod networkd;
mod nixos;
mod nmstate;
mod plain;
mod tree;
mod v1;

use std::fmt;

use foldhash::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::value::Mode;
use crate::model::attribute::{self, Form, OptionValue};
use crate::model::{
    Activation, Address, Desired, Dynamic, Family, Kind, Link, Located, NamePattern, Naming, Place, Resolver,
    Route, RouteKind, Rule, hex, is_plain,
};
use crate::order::Few as _;
use crate::resolve::{Resolved, ResolvedLink};

/// A tool that a description can be written for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// netplan, version 2.
    Netplan,
    /// systemd-networkd's files, and udev's for NICs.
    Networkd,
    /// nmstate 2.
    Nmstate,
    /// network_data.json of OpenStack.
    NetworkData,
    /// cloud-init's network-config version 1.
    CloudInitV1,
    /// Debian interfaces text.
    Eni,
    /// NetworkManager's keyfiles.
    Keyfile,
    /// A module for NixOS, with `systemd.network`.
    Nixos,
    /// Parameters of the kernel command line, for dracut.
    Cmdline,
}

impl Tool {
    /// Every tool, by the name that the command line has for it.
    pub const ALL: &'static [(&'static str, Tool)] = &[
        ("netplan", Tool::Netplan),
        ("networkd", Tool::Networkd),
        ("nmstate", Tool::Nmstate),
        ("network_data", Tool::NetworkData),
        ("v1", Tool::CloudInitV1),
        ("eni", Tool::Eni),
        ("keyfile", Tool::Keyfile),
        ("nixos", Tool::Nixos),
        ("cmdline", Tool::Cmdline),
    ];

    /// Its files are YAML or JSON, in which any text is quoted.
    fn quotes(self) -> bool {
        matches!(self, Tool::Netplan | Tool::Nmstate | Tool::NetworkData | Tool::CloudInitV1)
    }

    /// The name for a person.
    fn name(self) -> &'static str {
        match self {
            Tool::Netplan => "netplan",
            Tool::Networkd => "networkd",
            Tool::Nmstate => "nmstate",
            Tool::NetworkData => "network_data.json",
            Tool::CloudInitV1 => "cloud-init v1",
            Tool::Eni => "interfaces text",
            Tool::Keyfile => "NetworkManager",
            Tool::Nixos => "NixOS",
            Tool::Cmdline => "the command line",
        }
    }
}

/// A file for its tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name below the tool's own folder.
    pub name: String,
    /// Permissions.
    pub mode: u32,
    /// The group that may read it, if not root's.
    pub group: Option<&'static str>,
    /// Its content.
    pub text: String,
}

/// A part of a link that a tool cannot express, named as in [`Link`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // they are the fields of `Link`
pub enum Part {
    Kind,
    Select,
    Naming,
    Mac,
    Mtu,
    Parent,
    Members,
    Settings,
    Port,
    Vlans,
    Ipv6,
    Addresses,
    Routes,
    Rules,
    Resolver,
    Dynamic,
    Dhcp4,
    Features,
    Tuning,
    Remotes,
    Forwarding,
    Promiscuous,
    WakeOnLan,
    Activation,
    Optional,
    IgnoreCarrier,
    HostName,
}

/// Something described that the tool cannot express, or expresses elsewhere (a note).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportLoss {
    /// The id of the link; empty if it belongs to none.
    pub link: String,
    /// Which part of it.
    pub part: Part,
    /// The message.
    pub diagnostic: Diagnostic,
}

/// The result of a conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The files; none if no link can be expressed.
    pub files: Vec<File>,
    /// What is not in them.
    pub losses: Vec<ExportLoss>,
}

/// Writes a description for a tool. `resolved` is the same description resolved on a machine, for the names of links.
pub fn export(tool: Tool, desired: &Desired, resolved: &Resolved) -> Exported {
    let mut losses = Losses { tool: tool.name(), list: Vec::new(), unfit: HashMap::default() };
    let names = Names::new(resolved);
    let plain = (!tool.quotes()).then(|| plain::plain(desired, &names, &mut losses));
    let desired = plain.as_ref().unwrap_or(desired);
    let files = match tool {
        Tool::Netplan => netplan::write(desired, &names, &mut losses),
        Tool::Networkd => networkd::write(desired, &names, networkd::can_make, &mut losses),
        Tool::Nmstate => nmstate::write(desired, &names, &mut losses),
        Tool::NetworkData => network_data::write(desired, &names, &mut losses),
        Tool::CloudInitV1 => v1::write(desired, &names, &mut losses),
        Tool::Eni => eni::write(desired, &names, &mut losses),
        Tool::Keyfile => keyfile::write(desired, &names, &mut losses),
        Tool::Nixos => nixos::write(desired, &names, &mut losses),
        Tool::Cmdline => cmdline::write(desired, &names, &mut losses),
    };
    Exported { files, losses: losses.list }
}

/// The first line of every file that has comments.
const HEADER: &str =
    "# Written by netapply convert. Changes to this file are lost when it is written again.\n";

/// Whether a file was written by an earlier run.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(HEADER)
}

/// Collects what is lost.
struct Losses {
    tool: &'static str,
    list: Vec<ExportLoss>,
    /// Links whose name the tool takes for something else, and that name.
    unfit: HashMap<String, String>,
}

impl Losses {
    /// The tool has no `what`: a clause such as `bond option lacp_active`.
    fn none(&mut self, link: &Link, part: Part, at: Place, what: impl fmt::Display) {
        let message = format!("\"{}\": {} has no {what}, left out", link.id, self.tool);
        self.push(&link.id, part, Diagnostic::new(Code::NotInFormat, at, message));
    }

    /// The tool has no `what`, and the description only implies it: a note.
    fn differs(&mut self, link: &Link, part: Part, at: Place, what: impl fmt::Display) {
        let message = format!("\"{}\": {what}", link.id);
        let note = Diagnostic::new(Code::NotInFormat, at, message).severity(Severity::Note);
        self.push(&link.id, part, note);
    }

    fn push(&mut self, link: &str, part: Part, diagnostic: Diagnostic) {
        self.list.push(ExportLoss { link: link.to_owned(), part, diagnostic });
    }
}

/// Reports the parts of a link that the tool does not support.
fn lacking(link: &Link, parts: &[Part], losses: &mut Losses) {
    for part in parts {
        let found: Vec<(Place, String)> = match part {
            Part::Features => {
                link.features.iter().map(|(name, on)| (on.at, format!("offload {name}"))).collect()
            }
            Part::Tuning => {
                let parameters = link.tuning.0.iter();
                parameters.map(|(name, value)| (value.at, format!("parameter {name} of a NIC"))).collect()
            }
            Part::Remotes => {
                let ends = link.remotes.iter();
                ends.map(|end| (end.at, format!("further far end of a VXLAN ({})", end.value))).collect()
            }
            Part::Forwarding => {
                link.forwarding.iter().map(|on| (on.at, "switch for forwarding IPv4".to_owned())).collect()
            }
            Part::Promiscuous => {
                link.promiscuous.iter().map(|on| (on.at, "switch to take every frame".to_owned())).collect()
            }
            Part::WakeOnLan => link.wake_on_lan.iter().map(|on| (on.at, "Wake-on-LAN".to_owned())).collect(),
            Part::IgnoreCarrier if link.ignore_carrier => {
                vec![(link.at, "switch to ignore the carrier".to_owned())]
            }
            Part::Activation if link.activation != Activation::Up => {
                vec![(link.at, "link that is not brought up".to_owned())]
            }
            Part::Port => {
                let options = link.port.0.iter();
                options
                    .map(|(name, value)| (value.at, format!("port option {name} {}", value.value)))
                    .collect()
            }
            Part::Settings => {
                let options = link.settings.0.iter();
                options
                    .map(|(name, value)| (value.at, format!("{} option {name}", link.kind.noun())))
                    .collect()
            }
            // The VLANs of a bridge itself follow from its ports and the VLANs on it.
            Part::Vlans if link.kind != Kind::Bridge => {
                let vlans = link.vlans.iter();
                let at = |vlans: &Vec<_>| vlans.first().map_or(link.at, |vlan: &Located<_>| vlan.at);
                vlans.map(|vlans| (at(vlans), "VLANs of a bridge's ports".to_owned())).collect()
            }
            Part::Rules => link.rules.iter().map(|rule| (rule.at, "rules".to_owned())).collect(),
            _ => Vec::new(),
        };
        for (at, what) in found {
            losses.none(link, *part, at, what);
        }
    }
    if parts.contains(&Part::Optional) && (link.optional || link.activation != Activation::Up) {
        let what = format!("{} waits for every link", losses.tool);
        losses.differs(link, Part::Optional, link.at, what);
    }
}

/// Reports the IPv6 settings that the tool does not support; `known` are the names of the others.
fn lacking_ipv6(link: &Link, known: &[&str], losses: &mut Losses) {
    let ipv6 = &link.ipv6;
    let all = [
        ("accept_ra", ipv6.accept_ra.map(|v| v.at), "switch for router advertisements"),
        ("autoconf", ipv6.autoconf.map(|v| v.at), "switch for addresses from advertised prefixes"),
        ("generation", ipv6.generation.map(|v| v.at), "mode of IPv6 link-local addresses"),
        ("token", ipv6.token.map(|v| v.at), "IPv6 token"),
        ("ra_name_servers", ipv6.ra_name_servers.map(|v| v.at), "switch for advertised name servers"),
        ("ra_domains", ipv6.ra_domains.map(|v| v.at), "switch for advertised search domains"),
        ("information", ipv6.information.map(|v| v.at), "DHCPv6 without addresses"),
        ("privacy", ipv6.privacy.map(|v| v.at), "IPv6 privacy extensions"),
        ("mtu", ipv6.mtu.map(|v| v.at), "MTU for IPv6 alone"),
        ("forwarding", ipv6.forwarding.map(|v| v.at), "switch for forwarding IPv6"),
    ];
    for (name, at, what) in all {
        if let Some(at) = at.filter(|_| !known.contains(&name)) {
            losses.none(link, Part::Ipv6, at, what);
        }
    }
}

/// Reports the properties of an address that the tool does not support; `known` are the names of the others. False for
/// an address that it cannot have at all.
fn lacking_address(link: &Link, address: &Address, known: &[&str], losses: &mut Losses) -> bool {
    if address.net.prefix_len() == 0 {
        let what = format!("address of prefix length 0 ({})", address.net);
        losses.none(link, Part::Addresses, address.at, what);
        return false;
    }
    let all = [
        ("peer", address.peer.map(|peer| peer.to_string()), "far end of an address"),
        ("label", address.label.clone(), "label of an address"),
        ("preferred", address.preferred.map(|seconds| seconds.to_string()), "lifetime of an address"),
        ("broadcast", address.unusual_broadcast().map(|ip| ip.to_string()), "broadcast address"),
    ];
    for (name, value, what) in all {
        if let Some(value) = value.filter(|_| !known.contains(&name)) {
            losses.none(link, Part::Addresses, address.at, format_args!("{what} ({value})"));
        }
    }
    true
}

/// The DHCP options that both netplan and networkd have, by their names in [`crate::model::DhcpOptions`].
const DHCP_OPTIONS: &[&str] = &[
    "duid",
    "host_name",
    "send_host_name",
    "use_name_servers",
    "use_domains",
    "use_mtu",
    "use_routes",
    "use_host_name",
    "use_time_servers",
    "metric",
];

/// Reports the DHCP options of a link that the tool does not support; `known` are the names of the others.
fn lacking_dhcp(link: &Link, known: &[&str], losses: &mut Losses) {
    let asks = |dynamic| link.dynamic.iter().find(|d| d.value == dynamic).map(|d| d.at);
    let Some(at) = asks(Dynamic::Dhcp4).or(asks(Dynamic::Dhcp6)) else { return };
    let options = &link.dhcp4;
    let all = [
        ("duid", options.duid, "DHCP client identifier"),
        ("client_id", options.client_id.is_some(), "DHCP client id of one's own"),
        ("host_name", options.host_name.is_some(), "host name that DHCP sends"),
        ("send_host_name", !options.send_host_name, "switch for the host name that DHCP sends"),
        ("use_name_servers", !options.use_name_servers, "switch for DHCP's name servers"),
        ("use_mtu", !options.use_mtu, "switch for DHCP's MTU"),
        ("use_routes", !options.use_routes, "switch for DHCP's routes"),
        ("use_host_name", !options.use_host_name, "switch for DHCP's host name"),
        ("use_time_servers", !options.use_time_servers, "switch for DHCP's time servers"),
        ("metric", options.metric.is_some(), "metric of DHCP's routes"),
        ("table", options.table.is_some(), "table of DHCP's routes"),
        ("duid6", options.duid6.is_some(), "identifier of DHCPv6"),
        ("vendor_class", options.vendor_class.is_some(), "DHCP vendor class"),
        ("lifetime", options.lifetime.is_some(), "lifetime that DHCP asks for"),
    ];
    for (_, _, what) in all.into_iter().filter(|(name, set, _)| *set && !known.contains(name)) {
        losses.none(link, Part::Dhcp4, at, what);
    }
    if options.use_domains != options.use_name_servers && !known.contains(&"use_domains") {
        let what = format!("{} takes search domains of DHCP together with its name servers", losses.tool);
        losses.differs(link, Part::Dhcp4, at, what);
    }
}

/// The identifier of DHCPv6 as NetworkManager takes it.
fn duid_words(duid: &[u8]) -> String {
    if duid.is_empty() { "ll".to_owned() } else { hex(duid) }
}

/// Notes the other match criteria of a NIC, which no tool supports.
fn lacking_match(link: &Link, losses: &mut Losses) {
    let tool = losses.tool;
    if let Some(other) = link.select.otherwise.first() {
        let what = format!("{tool} matches no NIC by another name: {} is not looked for", other.value);
        losses.differs(link, Part::Select, other.at, what);
    }
    if let Some(position) = link.select.position {
        let what = format!("{tool} matches no NIC by its position ({position})");
        losses.differs(link, Part::Select, link.at, what);
    }
}

/// Reports the name to give a NIC, for a tool that gives none. `called` is the name by which it matches the NIC, if by a name.
fn lacking_naming(link: &Link, called: Option<&str>, losses: &mut Losses) {
    match &link.naming {
        Naming::Set(name) if called != Some(name.value.as_str()) => {
            losses.none(link, Part::Naming, name.at, format_args!("name to give a NIC ({})", name.value));
        }
        Naming::Alternative(name) => {
            let what = format!("{} has no alternative names: {} is none of the NIC", losses.tool, name.value);
            losses.differs(link, Part::Naming, name.at, what);
        }
        _ => {}
    }
}

/// Whether a tool can have a link that is created, if it knows bonds, bridges and VLANs of 802.1Q only; reports the others.
fn is_bond_bridge_or_vlan(link: &Link, losses: &mut Losses) -> bool {
    match link.kind {
        Kind::Bond | Kind::Bridge => true,
        Kind::Vlan => {
            let tag = other_protocol(link);
            if let Some(tag) = tag {
                losses.none(link, Part::Kind, tag.at, format_args!("VLAN of protocol {}", tag.value));
            }
            tag.is_none()
        }
        kind => {
            losses.none(link, Part::Kind, link.at, kind.noun());
            false
        }
    }
}

/// A VLAN's protocol if it is not 802.1Q.
fn other_protocol(link: &Link) -> Option<&Located<OptionValue>> {
    let protocol = link.settings.0.get("protocol").filter(|_| link.kind == Kind::Vlan);
    protocol.filter(|protocol| protocol.value != OptionValue::Text("802.1Q".into()))
}

/// Name servers as programs accept them, a link-local one with the tool's name of its link.
fn servers<'a>(resolver: &'a Resolver, called: impl Fn(&'a str) -> &'a str) -> impl Iterator<Item = String> {
    resolver.servers.iter().map(move |server| match resolver.zones.get(&server.value) {
        Some(zone) => format!("{}%{}", server.value, called(zone)),
        None => server.value.to_string(),
    })
}

/// A name as a part of a file's: letters, digits and a few signs.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

/// The tunnels of ip-tunnel(8).
fn is_tunnel(kind: Kind) -> bool {
    Mode::all().any(|mode| mode.kind == kind)
}

/// What a tunnel carries, in netplan's words; `None` of anything else.
fn tunnel_mode(link: &Link) -> Option<&'static Mode> {
    let inside = link.settings.word("mode");
    Mode::all()
        .filter(|mode| mode.kind == link.kind)
        .find(|mode| inside.is_none_or(|word| word == mode.inside()))
}

/// Reports what of a NIC's match and name the tool knows nothing of. `None` where it cannot say which NIC is meant at
/// all; else the MAC address, or the name that the NIC has.
fn nic<'a>(link: &'a Link, names: &'a Names<'_>, losses: &mut Losses) -> Option<Nic<'a>> {
    let select = &link.select;
    let exact = match &select.name {
        Some(Located { value: NamePattern::Exact(name), .. }) => Some(name.as_str()),
        _ => None,
    };
    let tool = losses.tool;
    lacking_match(link, losses);
    let glob = exact.is_none() && select.name.is_some();
    let beside = !select.drivers.is_empty() || glob || (select.mac.is_some() && exact.is_some());
    if let (Some(mac), false) = (select.mac, beside) {
        return Some(Nic::Mac(mac));
    }
    if let (Some(name), None, true) = (exact, select.mac, select.drivers.is_empty()) {
        return Some(Nic::Name(name));
    }
    if let Some(name) = names.nic(link) {
        let what =
            format!("{tool} has no such match: {name}, which it is on this machine, is matched by its name");
        losses.differs(link, Part::Select, link.at, what);
        return Some(Nic::Name(name));
    }
    losses.none(link, Part::Kind, link.at, names.unnamed(link));
    None
}

/// Which NIC is meant.
enum Nic<'a> {
    Mac(Located<crate::model::MacAddr>),
    Name(&'a str),
}

/// Name servers and search domains of the machine and of its links, for a tool with global ones only.
fn whole_resolver(desired: &Desired, links: &[Link]) -> Resolver {
    let mut resolver = desired.resolver.clone();
    for link in links {
        let mut own = link.resolver.clone();
        own.stand_on(&link.id);
        resolver.merge(&own);
    }
    resolver
}

/// Whether a tool whose routes have only destination, gateway and metric can express such a route; reports the rest.
/// `has_network` if the tool can have routes of its family.
fn lacking_route(link: &Link, route: &Route, has_network: bool, losses: &mut Losses) -> bool {
    let whole = if route.kind != RouteKind::Unicast {
        Some(format!("of type {}", route.kind.word()))
    } else if !route.more.is_empty() {
        Some("with several next hops".to_owned())
    } else if route.table.is_some_and(|table| table != 254) {
        Some(format!("in table {}", route.table.unwrap_or_default()))
    } else if route.via.is_some_and(|via| Family::of(&via) != route.family()) {
        Some("with a gateway of the other family".to_owned())
    } else if !has_network {
        Some("on a link without an address of its family".to_owned())
    } else if route.is_default() && route.via.is_none() {
        Some("without a gateway".to_owned())
    } else {
        None
    };
    if let Some(what) = whole {
        losses.none(link, Part::Routes, route.at, format_args!("route to {} {what}", route.to));
        return false;
    }
    let lost = [
        (route.source.map(|ip| ip.to_string()), "source address of a route"),
        (route.scope.map(|scope| scope.to_string()), "scope of a route"),
        (route.mtu.map(|n| n.to_string()), "MTU of a route"),
        (route.window.map(|n| n.to_string()), "largest window of a route"),
        (route.congestion_window.map(|n| n.to_string()), "congestion window of a route"),
        (route.receive_window.map(|n| n.to_string()), "receive window of a route"),
        (route.advertised_mss.map(|n| n.to_string()), "segment size of a route"),
    ];
    for (value, what) in lost {
        if let Some(value) = value {
            losses.none(link, Part::Routes, route.at, format_args!("{what} ({value})"));
        }
    }
    if route.on_link || link.addresses.iter().any(|address| address.peer.is_some()) {
        let what =
            format!("{} has no on-link routes: that to {} is on-link by its gateway", losses.tool, route.to);
        losses.differs(link, Part::Routes, route.at, what);
    }
    true
}

/// Reports what of a rule a tool lacks that knows source, destination, mark, type of service and table. False where it
/// would be another rule.
fn lacking_rule(link: &Link, rule: &Rule, losses: &mut Losses) -> bool {
    let lacks = [
        (rule.action != RouteKind::Unicast, "rules that drop packets"),
        (rule.iif.is_some(), "incoming interface of a rule"),
        (rule.mask.is_some(), "mask of a rule's mark"),
        (rule.suppress.is_some(), "prefix length that a rule suppresses"),
    ];
    let lost = lacks.into_iter().find(|(is_set, _)| *is_set);
    if let Some((_, what)) = lost {
        losses.none(link, Part::Rules, rule.at, what);
    }
    lost.is_none()
}

/// Puts the tool's names of links into rules; a rule whose incoming link has none is lost.
fn name_incoming(links: &mut [Link], name: impl Fn(&Link) -> Option<String>, losses: &mut Losses) {
    for at in 0..links.len() {
        let mut rules = links.get_mut(at).map(|link| std::mem::take(&mut link.rules)).unwrap_or_default();
        let described = |id: &String| links.iter().find(|link| link.id == *id);
        rules.retain_mut(|rule| {
            let Some(incoming) = rule.iif.as_ref().and_then(described) else { return true };
            rule.iif = name(incoming);
            if let (None, Some(link)) = (&rule.iif, links.get(at)) {
                let what = format!("incoming interface {} by anything but its name", incoming.id);
                losses.none(link, Part::Rules, rule.at, what);
            }
            rule.iif.is_some()
        });
        if let Some(link) = links.get_mut(at) {
            link.rules = rules;
        }
    }
}

/// The mark of a rule with its mask, as ip-rule(8) has it.
fn mark_words(rule: &Rule) -> Option<String> {
    let mask = rule.mask.map(|mask| format!("/{mask:#x}")).unwrap_or_default();
    rule.mark.map(|mark| format!("{mark:#x}{mask}"))
}

/// What else a rule selects behind its source, and its priority, as ip-rule(8) has it.
fn rule_words(rule: &Rule, incoming: Option<&str>, priority: Option<u32>) -> String {
    let words = [
        ("to", rule.to.map(|net| net.to_string())),
        ("iif", incoming.map(str::to_owned)),
        ("fwmark", mark_words(rule)),
        ("tos", rule.tos.map(|tos| format!("{tos:#x}"))),
        ("priority", priority.map(|priority| priority.to_string())),
        ("suppress_prefixlength", rule.suppress.map(|length| length.to_string())),
    ];
    words.into_iter().filter_map(|(word, value)| Some(format!(" {word} {}", value?))).collect()
}

/// Reports rules of the machine, for a tool without rules.
fn machine_rules(desired: &Desired, losses: &mut Losses) {
    if let Some(rule) = desired.rules.first() {
        let message = format!("{} has no rules, left out", losses.tool);
        losses.push("", Part::Rules, Diagnostic::new(Code::NotInFormat, rule.at, message));
    }
}

/// Reports the host name, for a tool that has it elsewhere.
fn host_name(desired: &Desired, losses: &mut Losses) {
    if let Some(name) = &desired.host_name {
        let message = format!("{} has no host name ({}), left out", losses.tool, name.value);
        losses.push("", Part::HostName, Diagnostic::new(Code::NotInFormat, name.at, message));
    }
}

/// Moves name servers and rules of the machine to a link, for a tool that has them on links only.
fn machine_wide(desired: &Desired, links: &mut [Link], losses: &mut Losses) {
    let Some(link) = main_link(links).and_then(|at| links.get_mut(at)) else { return };
    let at = desired.resolver.servers.first().map(|s| s.at).or(desired.resolver.search.first().map(|s| s.at));
    if let Some(at) = at {
        let what =
            format!("{} has name servers at links only: those of the machine are written here", losses.tool);
        losses.differs(link, Part::Resolver, at, what);
        let own = std::mem::take(&mut link.resolver);
        link.resolver = desired.resolver.clone();
        link.resolver.merge(&own);
    }
    if let Some(rule) = desired.rules.first() {
        let what = format!("{} has rules at links only: those of the machine are written here", losses.tool);
        losses.differs(link, Part::Rules, rule.at, what);
        link.rules.extend(desired.rules.iter().cloned());
    }
}

/// The kernel names of links, by their ids.
struct Names<'a> {
    resolved: &'a Resolved,
    by_id: HashMap<&'a str, &'a ResolvedLink>,
}

impl<'a> Names<'a> {
    fn new(resolved: &'a Resolved) -> Self {
        let links = resolved.links.iter().rev();
        Names { resolved, by_id: links.map(|link| (link.desired.id.as_str(), link)).collect() }
    }

    /// The name of a software link, which is its id if it has none.
    fn of<'n>(&'n self, link: &'n Link) -> &'n str {
        self.by_id.get(link.id.as_str()).map_or(&link.id, |resolved| &resolved.name)
    }

    /// Whether a description is of several NICs of the machine.
    fn is_of_several(&self, link: &Link) -> bool {
        let is_own = |resolved: &&ResolvedLink| resolved.desired.id == link.id && !resolved.stand_in;
        link.select.many && self.resolved.links.iter().filter(is_own).nth(1).is_some()
    }

    /// The match of a NIC that only the machine tells the name of, and how it is told.
    fn unnamed(&self, link: &Link) -> String {
        match self.is_of_several(link) {
            true => format!("match for several NICs ({})", link.select.what()),
            false => format!("match for {} (--inventory gives its name)", link.select.what()),
        }
    }

    /// The name of a NIC of the machine; `None` if only the description is known, or the NIC is missing or one of several.
    fn nic(&self, link: &Link) -> Option<&str> {
        let resolved = self.by_id.get(link.id.as_str()).filter(|resolved| !resolved.stand_in)?;
        if self.is_of_several(link) {
            return None;
        }
        resolved.current.as_deref().filter(|name| is_plain(name))
    }
}

/// The links to write, with lookup tables, because there may be thousands.
struct Links<'a> {
    list: &'a [Link],
    by_id: HashMap<&'a str, usize>,
    /// The links on top of a link, by its id, in the order of the list.
    above: HashMap<&'a str, Vec<(usize, Above)>>,
}

/// How a link is above another.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Above {
    /// As its bond, bridge or VRF.
    Controller,
    /// As its child: it is created on top of it.
    Child,
}

impl<'a> Links<'a> {
    /// The MTU that the kernel gives to a new VXLAN (`vxlan_headroom`): NetworkManager creates it before it sets the MTU of
    /// the link below.
    fn vxlan_mtu(&self, link: &Link) -> Option<u32> {
        let below = link.parent.as_ref().filter(|_| link.kind == Kind::Vxlan)?;
        let mtu = self.get(&below.value)?.mtu?.value.get();
        let is_six = ["local6", "remote6"].iter().any(|end| link.settings.get(end).is_some());
        mtu.checked_sub(if is_six { 70 } else { 50 })
    }

    fn new(list: &'a [Link]) -> Self {
        let mut above: HashMap<&str, Vec<(usize, Above)>> = HashMap::default();
        for (at, link) in list.iter().enumerate() {
            let members = link.members.iter().map(|member| (member, Above::Controller));
            for (below, how) in members.chain(link.parent.iter().map(|parent| (parent, Above::Child))) {
                above.entry(&below.value).or_default().push((at, how));
            }
        }
        let by_id = list.iter().enumerate().rev().map(|(at, link)| (link.id.as_str(), at));
        Links { list, by_id: by_id.collect(), above }
    }

    fn get(&self, id: &str) -> Option<&'a Link> {
        self.list.get(*self.by_id.get(id)?)
    }

    /// The links above one.
    fn above(&self, id: &str) -> impl Iterator<Item = (&'a Link, Above)> {
        let above = self.above.get(id).into_iter().flatten();
        above.filter_map(|(at, how)| Some((self.list.get(*at)?, *how)))
    }

    /// The bond, bridge or VRF that a link is a member of.
    fn controller(&self, id: &str) -> Option<&'a Link> {
        self.above(id).find(|(_, how)| *how == Above::Controller).map(|(link, _)| link)
    }

    /// The peer of a veth is created with it.
    fn is_second(&self, link: &Link) -> bool {
        let at = |id: &str| self.by_id.get(id);
        link.peer.as_ref().is_some_and(|peer| at(&peer.value).is_some_and(|peer| Some(peer) < at(&link.id)))
    }
}

/// The links that a tool can create: those that `can_make` accepts, without those that depend on others. What is left
/// out has been reported, and is removed from its controllers. `empty_bonds` says whether the tool supports bonds
/// without members.
fn expressible(
    desired: &Desired,
    mut can_make: impl FnMut(&Link, &mut Losses) -> bool,
    empty_bonds: bool,
    losses: &mut Losses,
) -> Vec<Link> {
    let mut links = desired.links.clone();
    let mut lost: HashSet<String> = HashSet::default();
    links.retain(|link| {
        let unfit = losses.unfit.get(&link.id).cloned();
        if let Some(name) = &unfit {
            losses.none(link, Part::Kind, link.at, format_args!("name as \"{}\"", name.escape_debug()));
        }
        let can = unfit.is_none() && can_make(link, losses);
        if !can {
            lost.insert(link.id.clone());
        }
        can
    });
    loop {
        let before = lost.len();
        links.retain(|link| {
            let below = link.parent.iter().chain(&link.peer).find(|below| lost.contains(&below.value));
            let is_empty = link.kind == Kind::Bond && link.members.iter().all(|m| lost.contains(&m.value));
            if is_empty && !empty_bonds {
                losses.none(link, Part::Kind, link.at, "bond without members");
                lost.insert(link.id.clone());
                return false;
            }
            let Some(below) = below else { return true };
            let what = format!("\"{}\", which {} \"{0}\" needs", below.value, link.kind.noun());
            losses.none(link, Part::Kind, link.at, what);
            lost.insert(link.id.clone());
            false
        });
        if lost.len() == before {
            break;
        }
    }
    for link in &mut links {
        let members = std::mem::take(&mut link.members);
        let (stay, go) = members.into_iter().partition(|member| !lost.contains(&member.value));
        link.members = stay;
        for member in go {
            losses.none(link, Part::Members, member.at, format_args!("member \"{}\"", member.value));
        }
        without_lost(link, &lost, losses);
    }
    links
}

/// Takes away what else of a link names one that is left out: options, next hops, the link of a name server.
fn without_lost(link: &mut Link, lost: &HashSet<String>, losses: &mut Losses) {
    let is_gone = |option: &str, value: &OptionValue| {
        let is_link = attribute::of(link.kind, option).is_some_and(|row| row.form == Form::Link);
        matches!(value, OptionValue::Text(id) if is_link && lost.contains(id))
    };
    let gone: Vec<(&'static str, Place)> = link
        .settings
        .0
        .iter()
        .filter(|(option, setting)| is_gone(option, &setting.value))
        .map(|(option, setting)| (*option, setting.at))
        .collect();
    for (option, at) in gone {
        losses.none(link, Part::Settings, at, format_args!("{option}: that link is left out"));
        link.settings.0.remove(option);
    }
    let (stay, go): (Vec<Route>, Vec<Route>) =
        std::mem::take(&mut link.routes).into_iter().partition(|route| {
            route.more.iter().all(|hop| hop.link.as_ref().is_none_or(|id| !lost.contains(id)))
        });
    link.routes = stay;
    for route in go {
        losses.none(link, Part::Routes, route.at, format_args!("route to {} by such a link", route.to));
    }
    let zones = std::mem::take(&mut link.resolver.zones);
    link.resolver.zones = zones.into_iter().filter(|(_, zone)| !lost.contains(zone)).few();
}

/// Where to put what belongs to no link in a tool that has such things at links only: the link with a default route,
/// else the first that has an address, else the first.
fn main_link(links: &[Link]) -> Option<usize> {
    let with = |what: fn(&Link) -> bool| links.iter().position(what);
    with(|link| link.routes.iter().any(Route::is_default))
        .or_else(|| with(|link| !link.addresses.is_empty() || !link.dynamic.is_empty()))
        .or_else(|| with(|link| link.kind != Kind::Physical || !link.select.implied))
        .or((!links.is_empty()).then_some(0))
}

#[cfg(test)]
mod tests;
