//! Each step as the command that a person would type: ip(8), or plain shell for what ip(8) does not do. Run in order by
//! a shell they set up the network that netapply would; a test in the guest compares the two.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use super::step::{Action, Former, LinkChange, Manager, NewLink, Plan, Secret};
use crate::inventory::{AddressEntry, AddressFlag, RouteEntry, RuleEntry};
use crate::model::attribute::{self, Attribute, NIC, OptionValue};
use crate::model::{Family, Kind, Located, Protocol, RouteKind, Scope, Wireguard};

/// How long the script waits for duplicate address detection, in seconds.
const DAD_SECONDS: u32 = 10;

const NO_MAC: &str = "00:00:00:00:00:00";

/// How long the script waits for carrier, in seconds.
const CARRIER_SECONDS: u32 = 10;

/// The plan as a script for sh(1). `files` names the documents by their number in places: WireGuard's keys are read
/// from there.
pub fn script(plan: &Plan, files: &[&str]) -> String {
    let mut out = String::from("#!/bin/sh\n# Made by netapply --dry-run --format sh.\n");
    for step in &plan.steps {
        match &step.action {
            Action::Wireguard { name, config } => out.push_str(&wireguard_lines(name, config, files)),
            action => out.push_str(&lines(action)),
        }
        out.push('\n');
    }
    out
}

/// One step as one line, and one more for each option that an image's ip(8) may be too old to know: if setting it
/// fails, the script continues.
fn lines(action: &Action) -> String {
    let (name, kind, settings) = match action {
        Action::AddLink(new) => (&new.name, new.kind, &new.settings),
        Action::SetLink { name, change: LinkChange::Options { kind, settings } } => (name, *kind, settings),
        _ => return line(action),
    };
    let all = settings.clone().into_iter();
    let (young, old): (BTreeMap<_, _>, BTreeMap<_, _>) = all.partition(|(option, _)| is_young(kind, option));
    let mut lines = Vec::new();
    match action {
        Action::AddLink(new) => lines.push(line(&Action::AddLink(NewLink { settings: old, ..new.clone() }))),
        _ if old.is_empty() => {}
        _ => lines.push(set_link(name, &LinkChange::Options { kind, settings: old }).0),
    }
    for option in young {
        let settings = BTreeMap::from([option]);
        let change = LinkChange::Options { kind, settings };
        lines.push(format!("{} || true # an older ip(8) does not know it", set_link(name, &change).0));
    }
    lines.join("\n")
}

/// Newer than the iproute2 of supported systems: Debian 12 has 6.1.
fn is_young(kind: Kind, option: &str) -> bool {
    let since = attribute::of(kind, option).and_then(|row| row.since.split_once('.'));
    let number = |text: &str| text.parse::<u32>().unwrap_or_default();
    since.is_some_and(|(major, minor)| (number(major), number(minor)) > (6, 1))
}

/// One step as one line.
pub fn line(action: &Action) -> String {
    let line = match action {
        Action::AddLink(new) => add_link(new),
        Action::DeleteLink { name } => Line::of(&["ip", "link", "delete", "dev", name]),
        Action::SetLink { name, change } => set_link(name, change),
        Action::AddAddress(entry) => address("add", entry),
        Action::ReplaceAddress(entry) => address("replace", entry),
        Action::DeleteAddress(entry) => delete_address(entry),
        Action::AddRoute(entry) => route("add", entry),
        Action::AppendRoute(entry) => route("append", entry),
        Action::PrependRoute(entry) => route("prepend", entry),
        Action::ReplaceRoute(entry) => route("replace", entry),
        Action::DeleteRoute(entry) => route("delete", entry),
        Action::AddRule(entry) => rule("add", entry),
        Action::DeleteRule(entry) => rule("delete", entry),
        Action::Feature { name, feature, on } => {
            Line::of(&["ethtool", "-K", name, feature, if *on { "on" } else { "off" }])
        }
        Action::Tune { name, settings } => tune(name, settings),
        Action::WakeOnLan { name, on } => {
            Line::of(&["ethtool", "-s", name, "wol", if *on { "g" } else { "d" }])
        }
        Action::Wireguard { name, config } => return wireguard_line(name, config),
        Action::AwaitAddresses { link, .. } => return await_addresses(link),
        Action::AwaitCarrier { link } => return await_carrier(link),
        Action::Sysctl { key, value } => {
            return format!("echo {} >{}", quote(value), quote(&format!("/proc/sys/{key}")));
        }
        Action::StableSecret { link, secret } => return stable_secret(link, secret),
        Action::WriteFile { path, content } => return write_file(path, content),
        Action::RemoveFile { path } => Line::of(&["rm", "-f", path]),
        Action::Refresh(service) => return service.command().to_owned(),
        Action::Manage { link, by: Manager::NetworkManager, on } => {
            return format!("nmcli device set {} managed {}", quote(link), if *on { "yes" } else { "no" });
        }
        Action::Manage { link, by: Manager::Networkd, .. } => {
            let link = quote(link);
            return format!(
                "timeout 15 sh -c 'until networkctl --no-legend list \"$0\" | grep -q unmanaged; do sleep 0.1; done' {link}"
            );
        }
        Action::PutBack { path, former: Former::Absent } => Line::of(&["rm", "-f", path]),
        Action::PutBack { path, former: Former::Link(target) } => {
            Line::of(&["ln", "-sfn", &target.to_string_lossy(), path])
        }
        Action::PutBack { path, former: Former::File { content, .. } } => {
            return write_file(path, &String::from_utf8_lossy(content));
        }
        Action::Resolvconf { program, record, content } => {
            let (program, record) = (quote(program), quote(record));
            return match content {
                Some(content) => format!("printf '%s' {} | {program} -a {record}", quote(content)),
                None => format!("{program} -d {record}"),
            };
        }
    };
    line.0
}

fn stable_secret(link: &str, secret: &Secret) -> String {
    let path = format!("/proc/sys/net/ipv6/conf/{link}/stable_secret");
    let path = quote(&path);
    match secret {
        Secret::MachineId => format!("sed 's/..../&:/g; s/:$//' /etc/machine-id >{path}"),
        Secret::Of(bytes) => format!("echo {} >{path}", Secret::address(bytes)),
    }
}

/// Without its group's prefix, a parameter has ethtool(8)'s name.
fn tune(name: &str, settings: &BTreeMap<&'static str, OptionValue>) -> Line {
    let mut line = Line::of(&["ethtool"]);
    for group in NIC {
        let rows = group.rows.iter().filter_map(|row| Some((row, settings.get(row.name)?)));
        for (number, (row, value)) in rows.enumerate() {
            if number == 0 {
                line.add(&[group.flag, name]);
            }
            line.add(&[row.name.strip_prefix(group.prefix).unwrap_or(row.name)]);
            match value {
                OptionValue::Bool(on) => line.add(&[if *on { "on" } else { "off" }]),
                value => line.plain(value),
            }
        }
    }
    line
}

/// A step in few words for a person at a console: like [`line()`], but without the content it writes and what it does
/// while it waits.
pub fn brief(action: &Action) -> String {
    match action {
        Action::WriteFile { path, .. } => format!("write {path}"),
        Action::Resolvconf { program, record, .. } => format!("{program} -a {record}"),
        Action::AwaitAddresses { link, .. } => format!("wait for IPv6 addresses of {link}"),
        other => line(other),
    }
}

/// Joins words with spaces. There may be ten thousand lines, so each is written in one piece.
struct Line(String);

impl Line {
    fn of(words: &[&str]) -> Self {
        let mut line = Line(String::with_capacity(96));
        line.add(words);
        line
    }

    /// Words, quoted if the shell requires it.
    fn add(&mut self, words: &[&str]) {
        for word in words {
            self.space();
            match is_plain(word) {
                true => self.0.push_str(word),
                false => self.0.push_str(&quote(word)),
            }
        }
    }

    /// An address. Twenty thousand lines may have one, and `Display` asks for padding at each octet.
    fn ip(&mut self, ip: IpAddr) {
        let IpAddr::V4(v4) = ip else { return self.plain(&ip) };
        for (place, octet) in v4.octets().into_iter().enumerate() {
            self.0.push(if place == 0 { ' ' } else { '.' });
            self.number(octet);
        }
    }

    fn net(&mut self, net: IpNet) {
        self.ip(net.addr());
        self.0.push('/');
        self.number(net.prefix_len());
    }

    fn number(&mut self, number: u8) {
        for (least, power) in [(100, 100), (10, 10), (0, 1)] {
            if number >= least {
                self.0.push(char::from(b'0' + number / power % 10));
            }
        }
    }

    /// A word and its value: a number or an address, which need no quotes.
    fn value(&mut self, word: &str, value: &dyn fmt::Display) {
        self.add(&[word]);
        self.plain(value);
    }

    fn plain(&mut self, value: &dyn fmt::Display) {
        self.space();
        let _ = write!(self.0, "{value}");
    }

    fn space(&mut self) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
    }
}

fn add_link(new: &NewLink) -> Line {
    let mut line = Line::of(&["ip", "link", "add", "name", &new.name]);
    // Tunnels and VXLAN have their parent among the options of their kind.
    let dev = attribute::of(new.kind, "dev").is_some();
    if let Some(parent) = new.parent.as_ref().filter(|_| !dev) {
        line.add(&["link", parent]);
    }
    if let Some(mac) = new.mac {
        line.value("address", &mac);
    }
    if let Some(mtu) = new.mtu {
        line.value("mtu", &mtu);
    }
    line.add(&["type", new.kind.word()]);
    options(&mut line, new.kind.attributes(), &new.settings);
    if let Some(parent) = new.parent.as_ref().filter(|_| dev) {
        line.add(&["dev", parent]);
    }
    if let Some(peer) = &new.peer {
        line.add(&["peer", "name", peer]);
    }
    line
}

/// Options in the table's order.
fn options(line: &mut Line, rows: &[Attribute], settings: &BTreeMap<&'static str, OptionValue>) {
    for (row, value) in rows.iter().filter_map(|row| Some((row, settings.get(row.name)?))) {
        row.ip_words(value).iter().for_each(|word| line.add(&[word]));
    }
}

fn set_link(name: &str, change: &LinkChange) -> Line {
    let mut line = match change {
        LinkChange::AddAltName(_) => Line::of(&["ip", "link", "property", "add", "dev", name]),
        LinkChange::DeleteAltName(_) => Line::of(&["ip", "link", "property", "del", "dev", name]),
        LinkChange::Token(_) => Line::of(&["ip", "token", "set"]),
        // Where frames go whose address has no entry: the address of zeroes.
        LinkChange::AddRemote(_) => Line::of(&["bridge", "fdb", "append", NO_MAC, "dev", name]),
        LinkChange::DeleteRemote(_) => Line::of(&["bridge", "fdb", "del", NO_MAC, "dev", name]),
        LinkChange::AddVlan { .. } => Line::of(&["bridge", "vlan", "add", "dev", name]),
        LinkChange::DeleteVlan { .. } => Line::of(&["bridge", "vlan", "del", "dev", name]),
        _ => Line::of(&["ip", "link", "set", "dev", name]),
    };
    match change {
        LinkChange::AddAltName(altname) | LinkChange::DeleteAltName(altname) => {
            line.add(&["altname", altname]);
        }
        LinkChange::Token(token) => {
            line.plain(token);
            line.add(&["dev", name]);
        }
        LinkChange::AddVlan { vlan, own } | LinkChange::DeleteVlan { vlan, own } => {
            line.add(&["vid"]);
            match vlan.first == vlan.last {
                true => line.plain(&vlan.first),
                false => line.plain(&format_args!("{}-{}", vlan.first, vlan.last)),
            }
            let words = [(vlan.pvid, "pvid"), (vlan.untagged, "untagged"), (*own, "self")];
            words.iter().filter(|(on, _)| *on).for_each(|(_, word)| line.add(&[word]));
        }
        LinkChange::AddRemote(ip) | LinkChange::DeleteRemote(ip) => line.value("dst", ip),
        LinkChange::Up => line.add(&["up"]),
        LinkChange::Promiscuous(on) => line.add(&["promisc", if *on { "on" } else { "off" }]),
        LinkChange::Down => line.add(&["down"]),
        LinkChange::Rename(new) => line.add(&["name", new]),
        LinkChange::Mac(mac) => line.value("address", mac),
        LinkChange::Mtu(mtu) => line.value("mtu", mtu),
        LinkChange::Controller(controller) => line.add(&["master", controller]),
        LinkChange::NoController => line.add(&["nomaster"]),
        LinkChange::Generation(generation) => line.add(&["addrgenmode", generation.word()]),
        LinkChange::Options { kind, settings } => {
            line.add(&["type", kind.options_word()]);
            options(&mut line, kind.attributes(), settings);
        }
        LinkChange::PortOptions { kind, settings } => {
            line.add(&["type", &format!("{}_slave", kind.word())]);
            options(&mut line, kind.port_attributes(), settings);
        }
    }
    line
}

fn address(verb: &str, entry: &AddressEntry) -> Line {
    let mut line = Line::of(&["ip", "address", verb]);
    local_and_peer(&mut line, entry);
    if let Some(broadcast) = entry.broadcast {
        line.value("broadcast", &broadcast);
    }
    line.add(&["dev", &entry.link]);
    if let Some(label) = &entry.label {
        line.add(&["label", label]);
    }
    if entry.scope != Scope::Global && entry.net.addr().is_ipv4() {
        line.value("scope", &entry.scope);
    }
    for (flag, word) in AddressFlag::WORDS {
        if entry.flags.contains(flag) {
            line.add(&[word]);
        }
    }
    if entry.metric != 0 {
        line.value("metric", &entry.metric);
    }
    if let Some(valid) = entry.valid {
        line.value("valid_lft", &valid);
    }
    if let Some(preferred) = entry.preferred {
        line.value("preferred_lft", &preferred);
    }
    line
}

fn local_and_peer(line: &mut Line, entry: &AddressEntry) {
    match entry.peer {
        Some(peer) => {
            line.value("local", &entry.net.addr());
            line.value("peer", &peer);
        }
        None => line.net(entry.net),
    }
}

fn delete_address(entry: &AddressEntry) -> Line {
    let mut line = Line::of(&["ip", "address", "delete"]);
    local_and_peer(&mut line, entry);
    line.add(&["dev", &entry.link]);
    line
}

fn route(verb: &str, entry: &RouteEntry) -> Line {
    let v6 = Family::of(&entry.to.addr()) == Family::V6;
    let mut line = Line::of(&["ip", if v6 { "-6" } else { "-4" }, "route", verb]);
    if entry.kind != RouteKind::Unicast {
        line.add(&[entry.kind.word()]);
    }
    match entry.to.prefix_len() {
        0 => line.add(&["default"]),
        _ => line.net(entry.to),
    }
    let deleted = verb == "delete";
    // Only a next hop can have a weight.
    let weighs = entry.weight.filter(|weight| *weight != 1 && !deleted);
    if let Some(from) = entry.from {
        line.value("from", &from);
    }
    if entry.tos != 0 {
        line.add(&["tos", &format!("{:#x}", entry.tos)]);
    }
    if let Some(id) = entry.next_hop_id {
        line.value("nhid", &id);
    } else if weighs.is_none() {
        next_hop(&mut line, entry, entry.link.as_deref(), entry.via, entry.on_link);
    }
    // For routes that the kernel shows as one, only the first one's protocol is known.
    if entry.weight.is_none() || !deleted {
        line.value("proto", &entry.protocol);
    }
    if !v6 && entry.scope != natural_scope(entry) {
        line.value("scope", &entry.scope);
    }
    if entry.table != entry.kind.natural_table() {
        line.value("table", &entry.table);
    }
    if entry.metric != if v6 { 1024 } else { 0 } {
        line.value("metric", &entry.metric);
    }
    if let Some(source) = entry.source {
        line.value("src", &source);
    }
    for (metric, value) in &entry.metrics {
        line.value(metric, value);
    }
    if let Some(preference) = entry.preference {
        line.add(&["pref", if preference == 1 { "high" } else { "low" }]);
    }
    if let Some(seconds) = entry.expires.filter(|_| !deleted) {
        line.value("expires", &seconds);
    }
    for hop in &entry.hops {
        line.add(&["nexthop"]);
        next_hop(&mut line, entry, hop.link.as_deref(), hop.via, hop.on_link);
        line.value("weight", &hop.weight);
    }
    if let Some(weight) = weighs {
        line.add(&["nexthop"]);
        next_hop(&mut line, entry, entry.link.as_deref(), entry.via, entry.on_link);
        line.value("weight", &weight);
    }
    line
}

/// `via GATEWAY dev LINK onlink`, as far as present.
fn next_hop(line: &mut Line, entry: &RouteEntry, link: Option<&str>, via: Option<IpAddr>, on_link: bool) {
    match via {
        Some(via) if via.is_ipv6() && entry.to.addr().is_ipv4() => {
            line.add(&["via"]);
            line.value("inet6", &via);
        }
        Some(via) => {
            line.add(&["via"]);
            line.ip(via);
        }
        None => {}
    }
    if let Some(link) = link {
        line.add(&["dev", link]);
    }
    if on_link {
        line.add(&["onlink"]);
    }
}

/// The scope that ip(8) gives a route by default.
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

fn rule(verb: &str, entry: &RuleEntry) -> Line {
    let mut line = Line::of(&["ip", if entry.family == Family::V6 { "-6" } else { "-4" }, "rule", verb]);
    for (word, prefix) in [("from", entry.from), ("to", entry.to)] {
        if let Some(prefix) = prefix {
            line.value(word, &prefix);
        }
    }
    if let Some(iif) = &entry.selectors.iif {
        line.value("iif", iif);
    }
    match (entry.mark, entry.mask) {
        (Some(mark), Some(mask)) => line.value("fwmark", &format_args!("{mark:#x}/{mask:#x}")),
        (Some(mark), None) => line.value("fwmark", &mark),
        (None, _) => {}
    }
    if let Some(tos) = entry.tos {
        line.value("tos", &format_args!("{tos:#x}"));
    }
    match entry.action {
        RouteKind::Unicast => line.value("table", &entry.table),
        kind => line.add(&[kind.word()]),
    }
    if let Some(length) = entry.suppress {
        line.value("suppress_prefixlength", &length);
    }
    line.value("priority", &entry.priority);
    if entry.protocol != Protocol::Unspecified {
        line.value("protocol", &entry.protocol);
    }
    line
}

/// The arguments of wg(8) except for secret keys.
fn wireguard(name: &str, config: &Wireguard) -> String {
    let mut line = Line::of(&["wg", "set", name]);
    if let Some(port) = config.listen_port {
        line.value("listen-port", &port);
    }
    if let Some(mark) = config.mark {
        line.value("fwmark", &mark);
    }
    for peer in &config.peers {
        line.add(&["peer", &peer.public_key.value]);
        if let Some(endpoint) = &peer.endpoint {
            let (ip, port) = endpoint.value;
            line.add(&["endpoint", &std::net::SocketAddr::new(ip, port).to_string()]);
        }
        if let Some(keepalive) = peer.keepalive {
            line.value("persistent-keepalive", &keepalive);
        }
        let allowed: Vec<String> = peer.allowed.iter().map(ToString::to_string).collect();
        line.add(&["allowed-ips", &allowed.join(",")]);
    }
    line.0
}

/// The secret keys, each after the words of `wg set NAME` that it belongs to.
fn secrets(config: &Wireguard) -> impl Iterator<Item = (String, &Located<String>)> {
    let own = config.private_key.iter().map(|key| (Line::of(&["private-key"]).0, key));
    let shared = config.peers.iter().filter_map(|peer| {
        let words = Line::of(&["peer", &peer.public_key.value, "preshared-key"]);
        Some((words.0, peer.shared_key.as_ref()?))
    });
    own.chain(shared)
}

/// A key in the description is shown as its place, a key in a file as the file's name.
fn wireguard_line(name: &str, config: &Wireguard) -> String {
    let places: Vec<String> = secrets(config)
        .filter(|(_, key)| key.at.is_known())
        .map(|(_, key)| match is_path(&key.value) {
            true => key.value.clone(),
            false => format!("line {}", key.at.line),
        })
        .collect();
    let line = wireguard(name, config);
    if places.is_empty() { line } else { format!("{line} # secret keys from {}", places.join(", ")) }
}

/// For the script: keys are piped from the description to wg(8) and are not in its arguments. Other peers are removed.
fn wireguard_lines(name: &str, config: &Wireguard, files: &[&str]) -> String {
    let link = quote(name);
    let mut lines = vec![
        format!("wg show {link} peers | while read -r peer; do wg set {link} peer \"$peer\" remove; done"),
        wireguard(name, config),
    ];
    for (option, key) in secrets(config) {
        let at = key.at;
        lines.push(if is_path(&key.value) {
            format!("wg set {link} {option} {}", quote(&key.value))
        } else {
            let file = quote(files.get(usize::from(at.file)).copied().unwrap_or_default());
            let before = at.column.saturating_sub(1);
            format!(
                "sed -n '{}s/^.\\{{{before}\\}}//p' {file} | grep -o '[A-Za-z0-9+/]\\{{43\\}}=' | head -n 1 | wg set {link} {option} /proc/self/fd/0",
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
    let state = format!("/sys/class/net/{link}/operstate");
    let state = quote(&state);
    format!(
        "n=0; until grep -qxE 'up|unknown' {state} || [ $n -ge {CARRIER_SECONDS} ]; do sleep 1; n=$((n+1)); done"
    )
}

fn write_file(path: &str, content: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let make = if folder.is_empty() { String::new() } else { format!("mkdir -p {} && ", quote(folder)) };
    format!("{make}printf '%s' {} >{}", quote(content), quote(path))
}

/// Whether the shell takes the word literally.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_./:,+@=".contains(&c))
}

/// A word quoted for the shell.
fn quote(word: &str) -> Cow<'_, str> {
    match is_plain(word) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")).into(),
    }
}
