//! Tunnels and VXLANs: which kind of link a mode is, its ends and keys.

use std::net::IpAddr;

use crate::diagnostic::{Code, Diagnostic};
use crate::format::keys::Fields;
use crate::format::tree::{Node, Value as Tree};
use crate::format::value::{self, family_word};
use crate::model::attribute::{self, Value};
use crate::model::{Family, Kind, Link, Located, Place};

use super::{keys, options, wireguard};

/// A mode of netplan's.
struct Mode {
    word: &'static str,
    kind: Kind,
    /// The family of both ends; `None` where it is free, or there are none.
    family: Option<Family>,
}

const MODES: &[Mode] = &[
    mode("gre", Kind::Gre, Some(Family::V4)),
    mode("gretap", Kind::Gretap, Some(Family::V4)),
    mode("ip6gre", Kind::Ip6gre, Some(Family::V6)),
    mode("ip6gretap", Kind::Ip6gretap, Some(Family::V6)),
    mode("ip6ip6", Kind::Ip6tnl, Some(Family::V6)),
    mode("ipip", Kind::Ipip, Some(Family::V4)),
    mode("ipip6", Kind::Ip6tnl, Some(Family::V6)),
    mode("sit", Kind::Sit, Some(Family::V4)),
    mode("vti", Kind::Vti, Some(Family::V4)),
    mode("vti6", Kind::Vti6, Some(Family::V6)),
    mode("vxlan", Kind::Vxlan, None),
    mode("wireguard", Kind::Wireguard, None),
];

const fn mode(word: &'static str, kind: Kind, family: Option<Family>) -> Mode {
    Mode { word, kind, family }
}

/// The kind of link that a tunnel is; `None`, with the reason reported, where it is none.
pub(super) fn kind(id: &str, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<Kind> {
    Some(find(id, fields, diags)?.kind)
}

fn find(id: &str, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<&'static Mode> {
    let Some(node) = fields.get("mode") else {
        let message = format!("tunnel \"{id}\" has no mode");
        let all: Vec<&str> = MODES.iter().map(|mode| mode.word).collect();
        let hint = format!("add mode: one of {}", all.join(", "));
        diags.push(Diagnostic::new(Code::MissingKey, fields.at, message).hint(hint));
        return None;
    };
    let text = value::text(node, "mode", diags)?;
    let found = MODES.iter().find(|mode| mode.word == text);
    if found.is_none() {
        diags.push(match text {
            "isatap" => {
                value::bad(Code::Unsupported, node, "mode", "only NetworkManager makes these tunnels")
            }
            _ => value::one_of(node, "mode", MODES.iter().map(|mode| mode.word)),
        });
    }
    found
}

/// The keys of a tunnel. `None` where it cannot be made.
pub(super) fn read(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let mode = find(&link.id, fields, &mut Vec::new())?;
    if mode.kind == Kind::Wireguard {
        link.wireguard = Some(wireguard::read(link, fields, diags)?);
        return Some(());
    }
    let mut end =
        |key: &'static str| fields.get(key).map_or(Ok(None), |node| value::try_ip(node, key, diags));
    let (local, remote) = (end("local"), end("remote"));
    let (local, remote) = (local.ok()?, remote.ok()?);
    // What is inside, in ip(8)'s word: netplan's own but for sit.
    let inside = if mode.kind == Kind::Sit { "ip6ip" } else { mode.word };
    set(link, "mode", Value::Text(inside.to_owned()), link.at);
    match mode.family {
        Some(family) => fixed_ends(link, [("local", local), ("remote", remote)], family, diags)?,
        None => vxlan(link, local, remote, fields, diags)?,
    }
    time_to_live(link, fields, diags);
    let names = ["key", "keys"];
    for (name, node) in names.into_iter().filter_map(|name| Some((name, fields.get(name)?))) {
        tunnel_keys(link, name, node, diags);
    }
    if link.kind != Kind::Vxlan {
        no_effect(link, fields, diags);
    }
    Some(())
}

/// Both ends, of the family that the outer packets have.
fn fixed_ends(
    link: &mut Link,
    ends: [(&'static str, Option<Located<IpAddr>>); 2],
    family: Family,
    diags: &mut Vec<Diagnostic>,
) -> Option<()> {
    for (key, ip) in ends {
        let Some(ip) = ip else {
            let message = format!("{} \"{}\" has no {key} address", link.kind.noun(), link.id);
            diags.push(Diagnostic::new(Code::MissingKey, link.at, message).hint(format!("add {key}")));
            return None;
        };
        if Family::of(&ip.value) != family {
            let message = format!(
                "{key} {} of {} \"{}\" should be an {} address",
                ip.value,
                link.kind.noun(),
                link.id,
                family_word(family)
            );
            diags.push(Diagnostic::new(Code::MixedFamilies, ip.at, message));
            return None;
        }
        set(link, key, Value::Ip(ip.value), ip.at);
    }
    Some(())
}

fn vxlan(
    link: &mut Link,
    local: Option<Located<IpAddr>>,
    remote: Option<Located<IpAddr>>,
    fields: &Fields<'_>,
    diags: &mut Vec<Diagnostic>,
) -> Option<()> {
    if let (Some(local), Some(remote)) = (local, remote) {
        if Family::of(&local.value) != Family::of(&remote.value) {
            let message = format!("local {} and remote {} are of two families", local.value, remote.value);
            let mixed = Diagnostic::new(Code::MixedFamilies, remote.at, message);
            diags.push(mixed.hint("use one family for both"));
            return None;
        }
    }
    for (ip, v4, v6) in [(local, "local", "local6"), (remote, "remote", "remote6")] {
        let Some(ip) = ip else { continue };
        set(link, if ip.value.is_ipv4() { v4 } else { v6 }, Value::Ip(ip.value), ip.at);
    }
    link.parent = fields.get("link").and_then(|node| super::reference(node, "link", diags));
    options::read(options::VXLAN, fields, Kind::Vxlan, &mut link.settings, diags);
    within(link, "flowlabel", "flow-label", 0, 0xf_ffff, diags);
    within(link, "id", "id", 1, 0xff_ffff, diags);
    if link.settings.get("id").is_none() {
        let message = format!("VXLAN \"{}\" has no usable id", link.id);
        diags.push(
            Diagnostic::new(Code::MissingKey, link.at, message).hint("add id: its number, 1 to 16777215"),
        );
        return None;
    }
    Some(())
}

/// Takes back a number that the option's attribute could carry and the kernel would refuse.
fn within(link: &mut Link, option: &str, key: &str, low: i64, high: i64, diags: &mut Vec<Diagnostic>) {
    let Some(number) = link.settings.number(option).filter(|n| !(low..=high).contains(n)) else { return };
    let at = link.settings.0.remove(option).map_or(link.at, |setting| setting.at);
    let message = format!("{key} \"{number}\": expected a number from {low} to {high}");
    diags.push(Diagnostic::new(Code::BadValue, at, message));
}

/// The kernel's own value of 0 means "as the inner packet" with IPv4 outside. With IPv6 outside it would be a hop limit
/// of 0 in older kernels and no room for nested tunnels, so what ip(8) sets is set here: 64 and 4.
fn time_to_live(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let given = fields.get("ttl").and_then(|node| value::number(node, "ttl", 0..=255, diags));
    let given = given.filter(|ttl| ttl.value > 0);
    let has = |name| attribute::of(link.kind, name).is_some();
    let ttl = |ttl: Located<u64>| Value::Number(ttl.value as i64);
    match given {
        Some(number) if has("ttl") => set(link, "ttl", ttl(number), number.at),
        Some(number) if has("hoplimit") => set(link, "hoplimit", ttl(number), number.at),
        Some(number) => {
            let message = no_such("ttl", link);
            diags.push(Diagnostic::new(Code::OptionIgnored, number.at, message));
        }
        None => set(link, "hoplimit", Value::Number(64), link.at),
    }
    set(link, "encaplimit", Value::Number(4), link.at);
}

/// `key: 5`, `keys: 1.2.3.4`, `keys: {input: …, output: …}`.
fn tunnel_keys(link: &mut Link, name: &str, node: &Node, diags: &mut Vec<Diagnostic>) {
    if attribute::of(link.kind, "ikey").is_none() {
        let message = no_such(name, link);
        return diags.push(Diagnostic::new(Code::OptionIgnored, node.at, message));
    }
    if !matches!(node.value, Tree::Map(_)) {
        if let Some(key) = tunnel_key(node, name, diags) {
            set(link, "ikey", Value::Number(key), node.at);
            set(link, "okey", Value::Number(key), node.at);
        }
        return;
    }
    let Some(fields) = Fields::new(node, &keys::TUNNEL_KEYS, diags) else { return };
    for (key, option) in [("input", "ikey"), ("output", "okey")] {
        let Some(node) = fields.get(key) else { continue };
        if let Some(number) = tunnel_key(node, key, diags) {
            set(link, option, Value::Number(number), node.at);
        }
    }
    if let Some(entry) = fields.entry("private") {
        let message = no_such("private", link);
        diags.push(Diagnostic::new(Code::OptionIgnored, entry.key_at, message));
    }
}

/// A number of 32 bits, or the same as a dotted quad.
fn tunnel_key(node: &Node, name: &str, diags: &mut Vec<Diagnostic>) -> Option<i64> {
    let text = value::text(node, name, diags)?;
    let quad = || text.parse::<std::net::Ipv4Addr>().ok().map(u32::from);
    let key = text.parse::<u32>().ok().or_else(quad);
    if key.is_none() {
        let why = "not a tunnel key: a number up to 4294967295, or four numbers such as 10.0.0.1";
        diags.push(value::bad(Code::BadValue, node, name, why));
    }
    key.map(i64::from)
}

/// Keys of other tunnels. netplan takes them and does nothing.
fn no_effect(link: &Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let others = options::keys(options::VXLAN).chain(["link", "mark", "peers"]);
    for entry in others.filter_map(|key| fields.entry(key)) {
        let message = no_such(&entry.key, link);
        diags.push(Diagnostic::new(Code::OptionIgnored, entry.key_at, message));
    }
}

/// Sets an option where the kind has it.
fn set(link: &mut Link, name: &str, value: Value, at: Place) {
    if let Some(row) = attribute::of(link.kind, name) {
        link.settings.set(row, value, at);
    }
}

fn no_such(key: &str, link: &Link) -> String {
    format!("{key} has no effect on {} \"{}\", which has no such option", link.kind.noun(), link.id)
}
