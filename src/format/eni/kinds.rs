//! The kind of an interface, from the options of all its stanzas, and the options of VRFs, VXLANs, tunnels and veth
//! pairs.
//!
//! What makes a stanza a bridge differs: ifupdown has `bridge_ports`, ifupdown-ng `use bridge` or any bridge option,
//! ifupdown2 `bridge-ports`, `bridge-vlan-aware` or its link type. netapply follows ifupdown2 and also accepts `use
//! bridge`.

use std::net::{IpAddr, Ipv6Addr};

use foldhash::HashSet;
use ipnet::IpNet;

use super::commands::{self, Made, Tables, What};
use super::stanza::Stanza;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::debian::{is_number, vlan};
use crate::format::tree::{Entry, Node};
use crate::format::value::{self, Mode, bad, ends, ip, number, set, set_option, words};
use crate::model::attribute::{self, OptionValue};
use crate::model::{Address, Family, Kind, Link, LinkRef, Located, Place, Route};
use crate::order::Order as _;

/// ifupdown2's first table for `vrf-table auto`.
const FIRST_TABLE: u32 = 1001;
/// The UDP port of VXLANs in ifupdown2 and ifupdown-ng; the kernel's own default is older.
const VXLAN_PORT: i64 = 4789;

/// What stanzas say about others: which are ports of a bridge or members of a bond, and which routing tables there are.
#[derive(Default)]
pub(super) struct Roles {
    ports: HashSet<String>,
    members: HashSet<String>,
    /// The tables that VRFs number themselves, sorted.
    vrf_tables: Vec<u32>,
    /// How many were looked at for `vrf-table auto`.
    looked_at: u32,
    /// The tables that commands name.
    pub(super) tables: Tables,
}

impl Roles {
    pub(super) fn of<'a>(stanzas: impl Iterator<Item = &'a Stanza<'a>> + Clone) -> Self {
        let of_vrf = |stanza: &Stanza| stanza.get("vrf-table")?.text()?.parse().ok();
        let mut vrf_tables: Vec<u32> = stanzas.clone().filter_map(of_vrf).collect();
        vrf_tables.order();
        let tables = Tables::of(commands(stanzas.clone()));
        let mut roles = Roles { vrf_tables, tables, ..Roles::default() };
        for entry in stanzas.flat_map(|stanza| stanza.entries) {
            let names = match entry.key.as_str() {
                "bridge-ports" => &mut roles.ports,
                "bond-slaves" | "bond-ports" | "bond-members" | "slaves" => &mut roles.members,
                _ => continue,
            };
            let list = crate::format::debian::list(&entry.value, &entry.key, &mut Vec::new());
            names.extend(list.into_iter().map(|name| name.value));
        }
        roles
    }
}

/// The kind of an interface. A member may repeat its bond's options next to `bond-master`.
pub(super) fn kind(name: &str, stanzas: &[Stanza], roles: &Roles) -> Kind {
    let has = |wanted: &dyn Fn(&str) -> bool| {
        stanzas.iter().any(|s| s.entries.iter().any(|entry| wanted(&entry.key)))
    };
    let uses = |what: &str| stanzas.iter().any(|stanza| stanza.uses(what));
    let word = |key: &str| stanzas.iter().find_map(|s| s.get(key)).and_then(Node::text);
    let is_on = |key: &str| word(key).and_then(attribute::boolean) == Some(true);
    if let Some(kind) = word("link-type").and_then(Kind::from_word) {
        return kind;
    }
    let is_bridge = has(&|key| key == "bridge-ports") || is_on("bridge-vlan-aware") || uses("bridge");
    let bonds = has(&|key| key.starts_with("bond-") || key == "slaves") && !has(&|key| key == "bond-master");
    if is_bridge && !roles.ports.contains(name) {
        Kind::Bridge
    } else if bonds && !roles.members.contains(name) || uses("bond") {
        Kind::Bond
    } else if has(&|key| key == "vxlan-id") {
        Kind::Vxlan
    } else if has(&|key| key == "vrf-table") {
        Kind::Vrf
    } else if has(&|key| key == "veth-peer-name") {
        Kind::Veth
    } else if let Some(mode) = mode(stanzas) {
        mode.kind
    } else if let Some(made) = made(name, stanzas, roles) {
        made.kind
    } else if has(&|key| key == "vlan-raw-device" || key == "vlan-id") || dotted(name).is_some() {
        Kind::Vlan
    } else {
        Kind::Physical
    }
}

/// The mode of a tunnel.
fn mode(stanzas: &[Stanza]) -> Option<&'static Mode> {
    let has_end = || option(stanzas, &["endpoint", "tunnel-endpoint", "tunnel-remote"]).is_some();
    let written = |key: &'static str| option(stanzas, &[key]).and_then(|(_, node)| node.text());
    match method(stanzas) {
        Some("v4tunnel" | "6to4") => Mode::of("sit"),
        Some(_) => Mode::of(written("mode").unwrap_or("ipip")),
        // ifupdown-ng's executor of GRE tunnels needs `gre-local`.
        None if written("gre-local").is_some() => Mode::of(written("gre-mode").unwrap_or("gre")),
        None => written("tunnel-mode").or_else(|| written("mode").filter(|_| has_end())).and_then(Mode::of),
    }
}

/// The method that creates a tunnel.
fn method<'a>(stanzas: &[Stanza<'a>]) -> Option<&'a str> {
    stanzas.iter().find_map(|stanza| stanza.tunnel)
}

/// The kind that a command of the stanzas creates for their own interface.
fn made(name: &str, stanzas: &[Stanza], roles: &Roles) -> Option<Made> {
    let effects = commands(stanzas.iter())
        .filter_map(|entry| commands::understand(&super::words_of(entry), name, &roles.tables, entry.key_at));
    effects.flatten().find_map(|effect| match effect.what {
        What::Make(made) if effect.dev.as_deref() == Some(name) => Some(made),
        _ => None,
    })
}

/// The commands of stanzas.
fn commands<'a>(
    stanzas: impl Iterator<Item = &'a Stanza<'a>> + Clone,
) -> impl Iterator<Item = &'a Entry> + Clone {
    stanzas.flat_map(|stanza| stanza.entries).filter(|entry| super::is_command(&entry.key))
}

/// The first stanza that has one of these options, which are synonyms.
fn option<'a>(stanzas: &[Stanza<'a>], keys: &[&'static str]) -> Option<(&'static str, &'a Node)> {
    keys.iter().find_map(|key| Some((*key, stanzas.iter().find_map(|stanza| stanza.get(key))?)))
}

/// Reads the options that define the link's kind. False, with a diagnostic, if it cannot be created.
pub(super) fn read(
    name: &str,
    stanzas: &[Stanza],
    link: &mut Link,
    roles: &mut Roles,
    diags: &mut Vec<Diagnostic>,
) -> bool {
    match link.kind {
        Kind::Vlan if made(name, stanzas, roles).is_none() => vlan_of(name, stanzas, link, diags),
        Kind::Vxlan if option(stanzas, &["vxlan-id"]).is_some() => vxlan(stanzas, link, diags),
        Kind::Vrf if option(stanzas, &["vrf-table"]).is_some() => vrf(stanzas, link, roles, diags),
        Kind::Veth if made(name, stanzas, roles).is_none() => {
            let peer = option(stanzas, &["veth-peer-name"]);
            link.peer = peer.and_then(|(key, node)| reference(node, key, diags));
            if link.peer.is_none() {
                let message = format!("veth \"{name}\" has no veth-peer-name, left out");
                diags
                    .push(Diagnostic::new(Code::MissingKey, link.at, message).hint("add \"veth-peer-name\""));
            }
            link.peer.is_some()
        }
        _ => match mode(stanzas) {
            Some(mode) if mode.kind == link.kind => tunnel(mode, stanzas, link, diags).is_some(),
            _ => true,
        },
    }
}

fn reference(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<LinkRef> {
    let word = words(node, key, diags).into_iter().next()?;
    Some(Located::new(word.value.to_owned(), word.at))
}

/// `eth0.100`: parent and VLAN id, which may be out of range.
fn dotted(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(parent, id)| !parent.is_empty() && is_number(id))
}

/// Fills in parent and id of a VLAN. False, with a diagnostic, if one of them is missing.
fn vlan_of(name: &str, stanzas: &[Stanza], link: &mut Link, diags: &mut Vec<Diagnostic>) -> bool {
    let at = stanzas.first().map_or(Place::NONE, |s| s.at);
    let raw = option(stanzas, &["vlan-raw-device"]).and_then(|(key, node)| reference(node, key, diags));
    let parent = raw.or_else(|| dotted(name).map(|(parent, _)| Located::new(parent.to_owned(), at)));
    // `vlan100`, and with a raw device any name that ends in the number.
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let behind_dot = name.rsplit_once('.').map(|(_, id)| id);
    let in_name = behind_dot.or(name.get(digits..)).filter(|id| is_number(id));
    let in_name = in_name.map(|id| Node::scalar(id, at));
    let id = match option(stanzas, &["vlan-id"]).map(|(_, node)| node).or(in_name.as_ref()) {
        Some(node) => number(node, "vlan-id", 0..=4094, diags),
        None => {
            let message = format!("no VLAN id for \"{name}\", left out");
            diags.push(Diagnostic::new(Code::MissingKey, at, message).hint("add \"vlan-id\""));
            return false;
        }
    };
    if parent.is_none() {
        let message = format!("VLAN \"{name}\" has no parent link, left out");
        diags.push(Diagnostic::new(Code::MissingKey, at, message).hint("add \"vlan-raw-device\""));
    }
    let (Some(parent), Some(id)) = (parent, id) else { return false };
    vlan(link, parent, id);
    let protocol = option(stanzas, &["vlan-protocol"]);
    if let (Some((key, node)), Some(row)) = (protocol, attribute::of(Kind::Vlan, "protocol")) {
        set_option(&mut link.settings, row, node, key, diags);
    }
    true
}

fn vrf(stanzas: &[Stanza], link: &mut Link, roles: &mut Roles, diags: &mut Vec<Diagnostic>) -> bool {
    let Some((key, node)) = option(stanzas, &["vrf-table"]) else { return false };
    let table = if node.text() == Some("auto") {
        let mut table = FIRST_TABLE + roles.looked_at;
        while roles.vrf_tables.binary_search(&table).is_ok() {
            table += 1;
        }
        roles.looked_at = table + 1 - FIRST_TABLE;
        Located::new(u64::from(table), node.at)
    } else {
        let Some(table) = number(node, key, 1..=u64::from(u32::MAX), diags) else { return false };
        table
    };
    set(link, "table", OptionValue::Number(table.value as i64), table.at);
    true
}

/// A VXLAN's options with one row each.
const VXLAN: &[(&[&str], &str)] = &[
    (&["vxlan-learning"], "learning"),
    (&["vxlan-ageing"], "ageing"),
    (&["vxlan-port", "vxlan-dstport"], "dstport"),
    (&["vxlan-tos"], "tos"),
    (&["vxlan-udp-csum"], "udpcsum"),
];

fn vxlan(stanzas: &[Stanza], link: &mut Link, diags: &mut Vec<Diagnostic>) -> bool {
    let Some((key, node)) = option(stanzas, &["vxlan-id"]) else { return false };
    let Some(id) = number(node, key, 1..=0xff_ffff, diags) else { return false };
    set(link, "id", OptionValue::Number(id.value as i64), id.at);
    for (keys, row) in VXLAN {
        let Some((key, node)) = option(stanzas, keys) else { continue };
        if let Some(row) = attribute::of(Kind::Vxlan, row) {
            set_option(&mut link.settings, row, node, key, diags);
        }
    }
    if link.settings.get("dstport").is_none() {
        set(link, "dstport", OptionValue::Number(VXLAN_PORT), link.at);
    }
    let ttl = option(stanzas, &["vxlan-ttl"]).filter(|(_, node)| node.text() != Some("auto"));
    if let Some((key, node)) = ttl {
        if let Some(ttl) = number(node, key, 0..=255, diags) {
            set(link, "ttl", OptionValue::Number(ttl.value as i64), ttl.at);
        }
    }
    let parent = option(stanzas, &["vxlan-physdev"]);
    link.parent = parent.and_then(|(key, node)| reference(node, key, diags));
    let end = |name: &str, ip: IpAddr| if ip.is_ipv6() { format!("{name}6") } else { name.to_owned() };
    if let Some((key, node)) = option(stanzas, &["vxlan-local-tunnelip", "vxlan-local-ip"]) {
        if let Some(local) = ip(node, key, diags) {
            set(link, &end("local", local.value), OptionValue::Ip(local.value), local.at);
        }
    }
    let remotes = |entry: &&Entry| REMOTES.contains(&entry.key.as_str());
    let nodes: Vec<&Entry> = stanzas.iter().flat_map(|stanza| stanza.entries).filter(remotes).collect();
    let all: Vec<(&str, Located<&str>)> = nodes
        .iter()
        .flat_map(|entry| {
            words(&entry.value, &entry.key, diags).into_iter().map(|word| (entry.key.as_str(), word))
        })
        .collect();
    let mut ends: Vec<Located<IpAddr>> =
        all.iter().filter_map(|(key, word)| ip(&Node::scalar(word.value, word.at), key, diags)).collect();
    ends.dedup_by_key(|end| end.value);
    // A group, else the first one, is an option of the link, which decides the family.
    let first = ends.iter().position(|end| end.value.is_multicast()).unwrap_or(0);
    if first < ends.len() {
        let remote = ends.remove(first);
        set(link, &end("remote", remote.value), OptionValue::Ip(remote.value), remote.at);
    }
    link.remotes = ends;
    true
}

/// Remote ends of VXLANs, and their groups.
const REMOTES: &[&str] = &[
    "vxlan-remoteip",
    "vxlan-peer-ips",
    "vxlan-remote-ip",
    "vxlan-svcnodeip",
    "vxlan-mcastgrp",
    "vxlan-peer-group",
    "vxlan-remote-group",
    "vxlan-svcnodeip6",
    "vxlan-mcastgrp6",
];

fn tunnel(mode: &Mode, stanzas: &[Stanza], link: &mut Link, diags: &mut Vec<Diagnostic>) -> Option<()> {
    mode.set(link);
    let mut end =
        |keys: &[&'static str]| option(stanzas, keys).map(|(key, node)| value::try_ip(node, key, diags));
    let (local, remote) = (
        end(&["local", "tunnel-local", "gre-local"]),
        end(&["endpoint", "tunnel-endpoint", "tunnel-remote", "gre-remote"]),
    );
    let (local, remote) = (local.transpose().ok()?.flatten(), remote.transpose().ok()?.flatten());
    // ifupdown's `local any` means no address.
    match method(stanzas) {
        Some("6to4") => six_to_four(local, stanzas, link, diags)?,
        _ => ends(link, local, remote, mode.family.unwrap_or(Family::V4), diags)?,
    }
    let ttl = option(stanzas, &["ttl", "tunnel-ttl", "tunnel-hoplimit", "gre-ttl"])
        .filter(|(_, node)| node.text() != Some("inherit"));
    let ttl = ttl.and_then(|(key, node)| number(node, key, 0..=255, diags)).filter(|ttl| ttl.value > 0);
    value::hop_limits(link, ttl);
    if let (Some((key, node)), Some(row)) =
        (option(stanzas, &["encaplimit"]), attribute::of(link.kind, "encaplimit"))
    {
        match node.text() {
            Some("none") => {
                let why = "not supported: packets are given room for 4 tunnels in one another";
                diags.push(bad(Code::Unsupported, node, key, why).severity(Severity::Warning));
            }
            _ => set_option(&mut link.settings, row, node, key, diags),
        }
    }
    const KEYS: &[(&[&str], &[&str])] = &[
        (&["tunnel-key", "gre-key"], &["ikey", "okey"]),
        (&["tunnel-ikey"], &["ikey"]),
        (&["tunnel-okey"], &["okey"]),
    ];
    for (keys, rows) in KEYS {
        let Some((key, node)) = option(stanzas, keys) else { continue };
        if attribute::of(link.kind, "ikey").is_none() {
            diags.push(bad(Code::OptionIgnored, node, key, "this kind of tunnel has no key"));
        } else if let Some(number) = value::tunnel_key(node, key, diags) {
            rows.iter().for_each(|row| set(link, row, OptionValue::Number(number), node.at));
        }
    }
    let parent = option(stanzas, &["tunnel-dev", "tunnel-physdev"]);
    link.parent = parent.and_then(|(key, node)| reference(node, key, diags));
    Some(())
}

/// A tunnel whose remote ends are in the packets' addresses (RFC 3056): the address of its own subnet, and the route to
/// all others through the relays' address, as ifupdown sets them.
fn six_to_four(
    local: Option<Located<IpAddr>>,
    stanzas: &[Stanza],
    link: &mut Link,
    diags: &mut Vec<Diagnostic>,
) -> Option<()> {
    const RELAYS: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0xc058, 0x6301);
    const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
    let Some(Located { value: IpAddr::V4(v4), at }) = local else {
        let message = format!("the 6to4 tunnel \"{}\" needs an IPv4 address as local, left out", link.id);
        diags.push(Diagnostic::new(Code::MissingKey, link.at, message).hint("add \"local\""));
        return None;
    };
    set(link, "local", OptionValue::Ip(v4.into()), at);
    let [a, b, c, d] = v4.octets();
    let subnet = [0x2002, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), 0, 0, 0, 0, 1];
    link.addresses.push(Address::new(IpNet::new(Ipv6Addr::from(subnet).into(), 16).ok()?, at));
    let metric = option(stanzas, &["metric"]);
    let metric = metric.and_then(|(key, node)| number(node, key, 0..=u64::from(u32::MAX), diags));
    let mut route = Route::new(IpNet::new(GLOBAL.into(), 3).ok()?, Some(RELAYS.into()), at);
    // A SIT link has the subnet of all addresses that embed an IPv4 one; `format::check` cannot know.
    route.on_link = true;
    route.metric = metric.and_then(|metric| u32::try_from(metric.value).ok());
    link.routes.push(route);
    Some(())
}
