//! Each step as the line that a person would type: ip(8), or the shell's own words for what ip(8) does not do. Run in
//! order by a shell they give the network that netapply makes; a test in the guest compares the two.

use std::collections::BTreeMap;

use super::step::{Action, LinkChange, NewLink, Plan};
use crate::inventory::{AddressEntry, NextHop, RouteEntry, RuleEntry};
use crate::model::attribute::{self, Attribute, Value};
use crate::model::{Family, Located, RouteKind, Scope, Wireguard};

/// Seconds that the script waits for duplicate address detection.
const DAD_SECONDS: u32 = 10;

/// Seconds that the script waits for carrier.
const CARRIER_SECONDS: u32 = 10;

/// The plan as a script for sh(1). `files` names the documents that places count: WireGuard's keys are read from there.
pub fn script(plan: &Plan, files: &[&str]) -> String {
    let mut out = String::from("#!/bin/sh\n# Made by netapply --dry-run --format sh.\n");
    for step in &plan.steps {
        match &step.action {
            Action::Wireguard { name, config } => out.push_str(&wireguard_lines(name, config, files)),
            action => out.push_str(&line(action)),
        }
        out.push('\n');
    }
    out
}

/// One step as one line.
pub fn line(action: &Action) -> String {
    let words = match action {
        Action::AddLink(new) => add_link(new),
        Action::DeleteLink { name } => words(["ip", "link", "delete", "dev", name]),
        Action::SetLink { name, change } => set_link(name, change),
        Action::AddAddress(entry) => address("add", entry),
        Action::ReplaceAddress(entry) => address("replace", entry),
        Action::DeleteAddress(entry) => delete_address(entry),
        Action::AddRoute(entry) => route("add", entry),
        Action::AppendRoute(entry) => route("append", entry),
        Action::ReplaceRoute(entry) => route("replace", entry),
        Action::DeleteRoute(entry) => route("delete", entry),
        Action::AddRule(entry) => rule("add", entry),
        Action::DeleteRule(entry) => rule("delete", entry),
        Action::Feature { name, feature, on } => {
            words(["ethtool", "-K", name, feature, if *on { "on" } else { "off" }])
        }
        Action::WakeOnLan { name, on } => words(["ethtool", "-s", name, "wol", if *on { "g" } else { "d" }]),
        Action::Wireguard { name, config } => return wireguard_line(name, config),
        Action::AwaitAddresses { link, .. } => return await_addresses(link),
        Action::AwaitCarrier { link } => return await_carrier(link),
        Action::Sysctl { key, value } => {
            return format!("echo {} >{}", quote(value), quote(&format!("/proc/sys/{key}")));
        }
        Action::WriteFile { path, content } => return write_file(path, content),
        Action::RemoveFile { path } => words(["rm", "-f", path]),
        Action::Refresh(service) => return service.command().to_owned(),
        Action::Resolvconf { program, record, content } => {
            let program = quote(program);
            return format!("printf '%s' {} | {program} -a {}", quote(content), quote(record));
        }
    };
    quoted(&words)
}

/// A step in few words, where somebody reads it on a console: as [`line()`], but without what it writes and what it does
/// while it waits.
pub fn brief(action: &Action) -> String {
    match action {
        Action::WriteFile { path, .. } => format!("write {path}"),
        Action::Resolvconf { program, record, .. } => format!("{program} -a {record}"),
        Action::AwaitAddresses { link, .. } => format!("wait for IPv6 addresses of {link}"),
        other => line(other),
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ")
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn add_link(new: &NewLink) -> Vec<String> {
    let mut line = words(["ip", "link", "add", "name", &new.name]);
    // Tunnels and VXLAN have their parent among the options of their kind.
    let dev = attribute::of(new.kind, "dev").is_some();
    if let Some(parent) = new.parent.as_ref().filter(|_| !dev) {
        line.extend(words(["link", parent]));
    }
    if let Some(mac) = new.mac {
        line.extend(words(["address", &mac.to_string()]));
    }
    if let Some(mtu) = new.mtu {
        line.extend(words(["mtu", &mtu.to_string()]));
    }
    line.extend(words(["type", new.kind.word()]));
    line.extend(options(new.kind.attributes(), &new.settings));
    if let Some(parent) = new.parent.as_ref().filter(|_| dev) {
        line.extend(words(["dev", parent]));
    }
    if let Some(peer) = &new.peer {
        line.extend(words(["peer", "name", peer]));
    }
    line
}

/// Options in the table's order.
fn options(rows: &[Attribute], settings: &BTreeMap<&'static str, Value>) -> Vec<String> {
    rows.iter().filter_map(|row| settings.get(row.name).map(|value| row.ip_words(value))).flatten().collect()
}

fn set_link(name: &str, change: &LinkChange) -> Vec<String> {
    match change {
        LinkChange::AddAltName(altname) => {
            return words(["ip", "link", "property", "add", "dev", name, "altname", altname]);
        }
        LinkChange::DeleteAltName(altname) => {
            return words(["ip", "link", "property", "del", "dev", name, "altname", altname]);
        }
        LinkChange::Token(token) => return words(["ip", "token", "set", &token.to_string(), "dev", name]),
        _ => {}
    }
    let mut line = words(["ip", "link", "set", "dev", name]);
    line.extend(match change {
        LinkChange::Up => words(["up"]),
        LinkChange::Down => words(["down"]),
        LinkChange::Rename(new) => words(["name", new]),
        LinkChange::Mac(mac) => words(["address", &mac.to_string()]),
        LinkChange::Mtu(mtu) => words(["mtu", &mtu.to_string()]),
        LinkChange::Controller(controller) => words(["master", controller]),
        LinkChange::NoController => words(["nomaster"]),
        LinkChange::Generation(generation) => words(["addrgenmode", generation.word()]),
        LinkChange::Options { kind, settings } => {
            typed(kind.options_word().to_owned(), options(kind.attributes(), settings))
        }
        LinkChange::PortOptions { kind, settings } => {
            typed(format!("{}_slave", kind.word()), options(kind.port_attributes(), settings))
        }
        LinkChange::AddAltName(_) | LinkChange::DeleteAltName(_) | LinkChange::Token(_) => Vec::new(),
    });
    line
}

fn typed(kind: String, options: Vec<String>) -> Vec<String> {
    ["type".to_owned(), kind].into_iter().chain(options).collect()
}

fn address(verb: &str, entry: &AddressEntry) -> Vec<String> {
    let mut line = words(["ip", "address", verb]);
    line.extend(local_and_peer(entry));
    if let Some(broadcast) = entry.broadcast {
        line.extend(words(["broadcast", &broadcast.to_string()]));
    }
    line.extend(words(["dev", &entry.link]));
    if let Some(label) = &entry.label {
        line.extend(words(["label", label]));
    }
    if entry.scope != Scope::Global && entry.net.addr().is_ipv4() {
        line.extend(words(["scope", entry.scope.word()]));
    }
    if let Some(preferred) = entry.preferred {
        line.extend(words(["preferred_lft", &preferred.to_string()]));
    }
    line
}

fn local_and_peer(entry: &AddressEntry) -> Vec<String> {
    match entry.peer {
        Some(peer) => words(["local", &entry.net.addr().to_string(), "peer", &peer.to_string()]),
        None => vec![entry.net.to_string()],
    }
}

fn delete_address(entry: &AddressEntry) -> Vec<String> {
    let mut line = words(["ip", "address", "delete"]);
    line.extend(local_and_peer(entry));
    line.extend(words(["dev", &entry.link]));
    line
}

fn route(verb: &str, entry: &RouteEntry) -> Vec<String> {
    let v6 = Family::of(&entry.to.addr()) == Family::V6;
    let mut line = words(if v6 { ["ip", "-6", "route"] } else { ["ip", "-4", "route"] });
    line.push(verb.to_owned());
    if entry.kind != RouteKind::Unicast {
        line.push(entry.kind.word().to_owned());
    }
    line.push(if entry.to.prefix_len() == 0 { "default".to_owned() } else { entry.to.to_string() });
    let RouteEntry { link, via, on_link, weight, .. } = entry.clone();
    let deleted = verb == "delete";
    let only = NextHop { link, via, on_link, weight: weight.unwrap_or(1) };
    // A weight can be given to a next hop only.
    let weighs = only.weight != 1 && !deleted;
    if !weighs {
        line.extend(way(entry, &only));
    }
    // Of routes that the kernel shows as one it tells the maker of the first only.
    if weight.is_none() || !deleted {
        line.extend(words(["proto", &protocol(entry.protocol)]));
    }
    if !v6 && entry.scope != natural_scope(entry) {
        line.extend(words(["scope", entry.scope.word()]));
    }
    if entry.table != entry.kind.natural_table() {
        line.extend(words(["table", &entry.table.to_string()]));
    }
    if entry.metric != if v6 { 1024 } else { 0 } {
        line.extend(words(["metric", &entry.metric.to_string()]));
    }
    if let Some(source) = entry.source {
        line.extend(words(["src", &source.to_string()]));
    }
    for (metric, value) in &entry.metrics {
        line.extend(words([metric, &value.to_string()]));
    }
    for hop in entry.hops.iter().chain(weighs.then_some(&only)) {
        line.push("nexthop".to_owned());
        line.extend(way(entry, hop));
        line.extend(words(["weight", &hop.weight.to_string()]));
    }
    line
}

/// `via GATEWAY dev LINK onlink`, as much of it as there is.
fn way(entry: &RouteEntry, hop: &NextHop) -> Vec<String> {
    let mut line = Vec::new();
    if let Some(via) = hop.via {
        line.push("via".to_owned());
        if via.is_ipv6() && entry.to.addr().is_ipv4() {
            line.push("inet6".to_owned());
        }
        line.push(via.to_string());
    }
    if let Some(link) = &hop.link {
        line.extend(words(["dev", link]));
    }
    if hop.on_link {
        line.push("onlink".to_owned());
    }
    line
}

/// The scope that ip(8) gives a route by itself.
fn natural_scope(entry: &RouteEntry) -> Scope {
    match entry.kind {
        RouteKind::Local => Scope::Host,
        RouteKind::Unicast | RouteKind::Broadcast | RouteKind::Multicast | RouteKind::Anycast
            if entry.via.is_none() && entry.hops.iter().all(|hop| hop.via.is_none()) =>
        {
            Scope::Link
        }
        _ => Scope::Global,
    }
}

fn protocol(number: u8) -> String {
    match number {
        2 => "kernel".to_owned(),
        3 => "boot".to_owned(),
        4 => "static".to_owned(),
        16 => "dhcp".to_owned(),
        other => other.to_string(),
    }
}

fn rule(verb: &str, entry: &RuleEntry) -> Vec<String> {
    let mut line = words(if entry.family == 6 { ["ip", "-6", "rule"] } else { ["ip", "-4", "rule"] });
    line.push(verb.to_owned());
    for (word, prefix) in [("from", entry.from), ("to", entry.to)] {
        if let Some(prefix) = prefix {
            line.extend(words([word, &prefix.to_string()]));
        }
    }
    if let Some(mark) = entry.mark {
        line.extend(words(["fwmark", &mark.to_string()]));
    }
    if let Some(tos) = entry.tos {
        line.extend(words(["tos", &format!("{tos:#x}")]));
    }
    line.extend(words(["table", &entry.table.to_string(), "priority", &entry.priority.to_string()]));
    if entry.protocol != 0 {
        line.extend(words(["protocol", &protocol(entry.protocol)]));
    }
    line
}

/// What wg(8) is told apart from keys that are secret.
fn wireguard(name: &str, config: &Wireguard) -> Vec<String> {
    let mut line = words(["wg", "set", name]);
    if let Some(port) = config.listen_port {
        line.extend(words(["listen-port", &port.to_string()]));
    }
    if let Some(mark) = config.mark {
        line.extend(words(["fwmark", &mark.to_string()]));
    }
    for peer in &config.peers {
        line.extend(words(["peer", &peer.public_key.value]));
        if let Some(endpoint) = &peer.endpoint {
            let (ip, port) = endpoint.value;
            line.extend(words(["endpoint", &std::net::SocketAddr::new(ip, port).to_string()]));
        }
        if let Some(keepalive) = peer.keepalive {
            line.extend(words(["persistent-keepalive", &keepalive.to_string()]));
        }
        let allowed: Vec<String> = peer.allowed.iter().map(ToString::to_string).collect();
        line.extend(words(["allowed-ips", &allowed.join(",")]));
    }
    line
}

/// The secret keys, each behind the words of `wg set NAME` that it belongs to.
fn secrets(config: &Wireguard) -> impl Iterator<Item = (Vec<String>, &Located<String>)> {
    let own = config.private_key.iter().map(|key| (words(["private-key"]), key));
    let shared = config.peers.iter().filter_map(|peer| {
        Some((words(["peer", &peer.public_key.value, "preshared-key"]), peer.shared_key.as_ref()?))
    });
    own.chain(shared)
}

/// A key that is itself in the description is said by its place, one in a file by that file's name.
fn wireguard_line(name: &str, config: &Wireguard) -> String {
    let places: Vec<String> = secrets(config)
        .filter(|(_, key)| key.at.is_known())
        .map(|(_, key)| match is_path(&key.value) {
            true => key.value.clone(),
            false => format!("line {}", key.at.line),
        })
        .collect();
    let line = quoted(&wireguard(name, config));
    if places.is_empty() { line } else { format!("{line} # secret keys from {}", places.join(", ")) }
}

/// For the script: keys go from the description to wg(8) by a pipe and stand in no argument. Other peers go.
fn wireguard_lines(name: &str, config: &Wireguard, files: &[&str]) -> String {
    let link = quote(name);
    let mut lines = vec![
        format!("wg show {link} peers | while read -r peer; do wg set {link} peer \"$peer\" remove; done"),
        quoted(&wireguard(name, config)),
    ];
    for (option, key) in secrets(config) {
        let option = quoted(&option);
        let at = key.at;
        lines.push(if is_path(&key.value) {
            format!("wg set {link} {option} {}", quote(&key.value))
        } else {
            let file = quote(files.get(usize::from(at.file)).copied().unwrap_or_default());
            let before = at.column.saturating_sub(1);
            format!(
                "sed -n '{}s/^.\\{{{before}\\}}//p' {file} | grep -o '[A-Za-z0-9+/]\\{{43\\}}=' | head -n 1 | wg set {link} {option} /dev/stdin",
                at.line
            )
        });
    }
    lines.join("\n")
}

/// A key may begin with a slash, too.
fn is_path(key: &str) -> bool {
    key.starts_with('/') && !(key.len() == 44 && key.ends_with('='))
}

fn await_addresses(link: &str) -> String {
    let link = quote(link);
    format!(
        "n=0; while ip -6 -o address show dev {link} tentative | grep -q . && [ $n -lt {DAD_SECONDS} ]; do sleep 1; n=$((n+1)); done"
    )
}

fn await_carrier(link: &str) -> String {
    let state = quote(&format!("/sys/class/net/{link}/operstate"));
    format!(
        "n=0; until grep -qxE 'up|unknown' {state} || [ $n -ge {CARRIER_SECONDS} ]; do sleep 1; n=$((n+1)); done"
    )
}

fn write_file(path: &str, content: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let make = if folder.is_empty() { String::new() } else { format!("mkdir -p {} && ", quote(folder)) };
    format!("{make}printf '%s' {} >{}", quote(content), quote(path))
}

/// A word that the shell takes as it is.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
