//! Tunnels and VXLANs: which kind of link a mode is, its ends and keys.

use std::net::IpAddr;

use crate::diagnostic::{Code, Diagnostic};
use crate::format::keys::Fields;
use crate::format::tree::{Node, Value};
use crate::format::value::{self, Mode, VIRTUAL, ends, set};
use crate::model::attribute::{self, OptionValue};
use crate::model::{Family, Kind, Link, Located};

use super::{keys, options, wireguard};

/// The kind of link of a tunnel; `None`, with the reason reported, if there is none.
pub(super) fn kind(id: &str, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<Kind> {
    Some(find(id, fields, diags)?.kind)
}

fn find(id: &str, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<&'static Mode> {
    let Some(node) = fields.get("mode") else {
        let message = format!("tunnel \"{id}\" has no mode");
        let all: Vec<&str> = words().collect();
        let hint = format!("add mode: one of {}", all.join(", "));
        diags.push(Diagnostic::new(Code::MissingKey, fields.at, message).hint(hint));
        return None;
    };
    let text = value::text(node, "mode", diags)?;
    let found = Mode::of(text).or_else(|| VIRTUAL.iter().find(|mode| mode.word == text));
    if found.is_none() {
        diags.push(match text {
            "isatap" => {
                value::bad(Code::Unsupported, node, "mode", "only NetworkManager makes these tunnels")
            }
            _ => value::one_of(node, "mode", words()),
        });
    }
    found
}

/// The keys of a tunnel. `None` if it cannot be created.
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
    mode.set(link);
    match mode.family {
        Some(family) => ends(link, local, remote, family, diags)?,
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

/// The words of all modes.
fn words() -> impl Iterator<Item = &'static str> + Clone {
    Mode::words().chain(VIRTUAL.iter().map(|mode| mode.word))
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
        set(link, if ip.value.is_ipv4() { v4 } else { v6 }, OptionValue::Ip(ip.value), ip.at);
    }
    link.parent = fields.get("link").and_then(|node| super::reference(node, "link", diags));
    options::read(options::VXLAN, fields, Kind::Vxlan, &mut link.settings, diags);
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

/// Removes a number that fits the option's attribute but that the kernel would refuse.
fn within(link: &mut Link, option: &str, key: &str, low: i64, high: i64, diags: &mut Vec<Diagnostic>) {
    let Some(number) = link.settings.number(option).filter(|n| !(low..=high).contains(n)) else { return };
    let at = link.settings.0.remove(option).map_or(link.at, |setting| setting.at);
    let message = format!("{key} \"{number}\": expected a number from {low} to {high}");
    diags.push(Diagnostic::new(Code::BadValue, at, message));
}

fn time_to_live(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let given = fields.get("ttl").and_then(|node| value::number(node, "ttl", 0..=255, diags));
    let given = given.filter(|ttl| ttl.value > 0);
    if !value::hop_limits(link, given) {
        let message = no_such("ttl", link);
        diags.push(Diagnostic::new(Code::OptionIgnored, given.map_or(link.at, |ttl| ttl.at), message));
    }
}

/// `key: 5`, `keys: 1.2.3.4`, `keys: {input: …, output: …}`.
fn tunnel_keys(link: &mut Link, name: &str, node: &Node, diags: &mut Vec<Diagnostic>) {
    if attribute::of(link.kind, "ikey").is_none() {
        let message = no_such(name, link);
        return diags.push(Diagnostic::new(Code::OptionIgnored, node.at, message));
    }
    if !matches!(node.value, Value::Map(_)) {
        if let Some(key) = value::tunnel_key(node, name, diags) {
            set(link, "ikey", OptionValue::Number(key), node.at);
            set(link, "okey", OptionValue::Number(key), node.at);
        }
        return;
    }
    let Some(fields) = Fields::new(node, &keys::TUNNEL_KEYS, diags) else { return };
    for (key, option) in [("input", "ikey"), ("output", "okey")] {
        let Some(node) = fields.get(key) else { continue };
        if let Some(number) = value::tunnel_key(node, key, diags) {
            set(link, option, OptionValue::Number(number), node.at);
        }
    }
    if let Some(entry) = fields.entry("private") {
        let message = no_such("private", link);
        diags.push(Diagnostic::new(Code::OptionIgnored, entry.key_at, message));
    }
}

/// Keys of other tunnels. netplan accepts them and ignores them.
fn no_effect(link: &Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let others = options::keys(options::VXLAN).chain(["link", "mark", "peers"]);
    for entry in others.filter_map(|key| fields.entry(key)) {
        let message = no_such(&entry.key, link);
        diags.push(Diagnostic::new(Code::OptionIgnored, entry.key_at, message));
    }
}

fn no_such(key: &str, link: &Link) -> String {
    format!("{key} has no effect on {} \"{}\", which has no such option", link.kind.noun(), link.id)
}
