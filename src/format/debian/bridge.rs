//! The options of bridge-utils-interfaces(5), which v1 adopted: `bridge_stp`, `bridge-fd`, …

use super::{Draft, PortOption, VlanOptions, desired_mac};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::Support::{Applied, LeftToOthers, NoEffect, Unsupported};
use crate::format::keys::{KERNEL, Object, key, report_as};
use crate::format::tree::{Entry, Node, Value};
use crate::format::value::{bad, set_bridge_option, set_option, words};
use crate::model::attribute;
use crate::model::{Kind, Link, LinkRef, Located, Place};

/// Every option. interfaces(5) folds `_` to `-`, so both formats accept either.
pub(in crate::format) static BRIDGE: Object = Object {
    name: "the options of a bridge",
    keys: &[
        key("bridge_ports", Applied, "its ports; `none` for no port; `glob eth0-3`"),
        key("bridge_stp", Applied, "spanning tree, on or off"),
        key("bridge_fd", Applied, "forward delay in seconds"),
        key("bridge_hello", Applied, "hello time in seconds"),
        key("bridge_maxage", Applied, "maximum message age in seconds"),
        key("bridge_ageing", Applied, "how long a MAC address is remembered, in seconds"),
        key("bridge_bridgeprio", Applied, "bridge priority, 0 to 65535"),
        key("bridge_mcsnoop", Applied, "multicast snooping"),
        key("bridge_pathcost", Applied, "cost of a port: `PORT COST`, or a list of these"),
        key("bridge_portprio", Applied, "priority of a port, 0 to 63: `PORT PRIORITY`, or a list of these"),
        key("bridge_hw", Applied, "MAC address of the bridge"),
        key("bridge_vlan_aware", Applied, "filter VLANs, by ifupdown2's meaning of the options below"),
        key("bridge_vids", Applied, "VLANs that ports pass with a tag: `2 10-20`; at a port, its own"),
        key("bridge_trunk", Applied, "as bridge_vids"),
        key("bridge_pvid", Applied, "VLAN of untagged frames; 1 by default"),
        key("bridge_access", Applied, "at a port: its only VLAN, untagged"),
        key("bridge_allow_untagged", Applied, "at a port: `no` drops untagged frames"),
        key("bridge_learning", Applied, "at a port: learn MAC addresses"),
        key("bridge_arp_nd_suppress", Applied, "at a port: answer ARP and neighbour discovery for others"),
        key("bridge_gcint", NoEffect, "the kernel has had no garbage collection interval since 4.18"),
        key("bridge_maxwait", NoEffect, "netapply waits for what it needs, within its own bounds"),
        key("bridge_waitport", NoEffect, "netapply waits for what it needs, within its own bounds"),
        key("bridge_ports_condone_regex", NoEffect, "ports by pattern are not supported"),
        key("bridge_always_up", NoEffect, "netapply leaves the carrier of a bridge to its ports"),
        key("bridge_pathcosts", Applied, "as bridge_pathcost, of several ports: `PORT=NUMBER`"),
        key("bridge_portprios", Applied, "as bridge_portprio, of several ports: `PORT=NUMBER`"),
        key("bridge_port_vids", Applied, "as bridge_vids of ports, at the bridge: `PORT=2,10-20 PORT=30`"),
        key("bridge_port_pvids", Applied, "as bridge_pvid of ports, at the bridge: `PORT=2 PORT=30`"),
        key("bridge_vlan_protocol", Applied, "802.1q or 802.1ad"),
        key("bridge_vlan_stats", Applied, "count packets of each VLAN"),
        key("bridge_vlan_vni_map", Unsupported, KERNEL),
        key("bridge_unicast_flood", Unsupported, KERNEL),
        key("bridge_multicast_flood", Unsupported, KERNEL),
        key("bridge_broadcast_flood", Unsupported, KERNEL),
        key("bridge_l2protocol_tunnel", Unsupported, KERNEL),
        key("bridge_portmcrouter", Unsupported, KERNEL),
        key("bridge_portmcfl", Unsupported, KERNEL),
        key("bridge_mclmc", Applied, "queries before a group that was left is dropped"),
        key("bridge_mcrouter", Applied, "multicast routers: 0 none, 1 found by queries, 2 always"),
        key("bridge_mcsqc", Applied, "queries when the bridge starts"),
        key("bridge_mcqifaddr", Applied, "queries have the address of the bridge"),
        key("bridge_mcquerier", Applied, "send queries"),
        key("bridge_hashel", Unsupported, KERNEL),
        key("bridge_hashmax", Applied, "most multicast groups"),
        key("bridge_mclmi", Applied, "time between queries for a group that was left, in seconds"),
        key("bridge_mcmi", Applied, "how long a group is remembered, in seconds"),
        key("bridge_mcqpi", Applied, "how long another querier is remembered, in seconds"),
        key("bridge_mcqi", Applied, "time between queries, in seconds"),
        key("bridge_mcqri", Applied, "time in which queries are answered, in seconds"),
        key("bridge_mcsqi", Applied, "time between queries when the bridge starts, in seconds"),
        key("bridge_mcqv4src", Unsupported, KERNEL),
        key("bridge_mcstats", Applied, "count multicast packets"),
        key("bridge_igmp_querier_src", Unsupported, KERNEL),
        key("bridge_igmp_version", Applied, "IGMP version, 2 or 3"),
        key("bridge_mld_version", Applied, "MLD version, 1 or 2"),
        key("bridge_stp_vlan_…", LeftToOthers, "it is for mstpd"),
    ],
};

/// Options of ports, and the kernel's names for them.
const PORT: &[(&str, &str)] =
    &[("bridge_learning", "learning"), ("bridge_arp_nd_suppress", "neigh_suppress")];

/// An option's name with underscores and the bridge-utils prefix.
fn folded(key: &str) -> String {
    let folded = key.to_ascii_lowercase().replace('-', "_");
    if folded.starts_with("bridge_") { folded } else { format!("bridge_{folded}") }
}

/// Reports an option. Ignoring a kernel option that keeps its value costs nothing else.
fn reported(name: &str, written: &str, at: Place) -> Option<Diagnostic> {
    let report = report_as(&BRIDGE, name, written, at)?;
    Some(if report.code == Code::Unsupported { report.severity(Severity::Warning) } else { report })
}

/// Reads one option of a bridge, in any spelling. Members and port options are left in `draft` and `bridge`.
pub(in crate::format) fn bridge_option(
    entry: &Entry,
    bridge: &mut Link,
    draft: &mut Draft,
    diags: &mut Vec<Diagnostic>,
) {
    let (key, node) = (entry.key.as_str(), &entry.value);
    let name = folded(key);
    if let Some(report) = reported(&name, key, entry.key_at) {
        return diags.push(report);
    }
    match name.as_str() {
        "bridge_ports" => bridge.members.extend(list(node, key, diags)),
        "bridge_pathcost" | "bridge_pathcosts" => port(key, node, "cost", draft, diags),
        "bridge_portprio" | "bridge_portprios" => port(key, node, "priority", draft, diags),
        "bridge_port_vids" => port_vlans(key, node, "bridge_vids", draft, diags),
        "bridge_port_pvids" => port_vlans(key, node, "bridge_pvid", draft, diags),
        "bridge_hw" => hardware_address(node, key, bridge, diags),
        _ if VlanOptions::knows(&name) => {
            draft.vlans.entry(bridge.id.clone()).or_default().read(&name, key, node, diags);
        }
        _ if PORT.iter().any(|(option, _)| *option == name) => {
            let message = format!("\"{key}\" has no effect at the bridge: it is an option of ports");
            diags.push(Diagnostic::new(Code::OptionIgnored, entry.key_at, message));
        }
        _ => {
            set_bridge_option(&mut bridge.settings, node, key, diags);
        }
    }
}

/// VLANs of ports at the bridge, ifupdown2's older form: `bond0=1-1000,1010 bond1=20`.
fn port_vlans(key: &str, node: &Node, option: &str, draft: &mut Draft, diags: &mut Vec<Diagnostic>) {
    let nodes = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let words = |node: &Node| {
        let words: Vec<String> =
            node.text().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        (node.at, words)
    };
    for (at, words) in nodes.iter().map(words) {
        for word in words {
            match word.split_once('=').filter(|(port, vlans)| !port.is_empty() && !vlans.is_empty()) {
                Some((port, vlans)) => {
                    let of_port = draft.vlans.entry(port.to_owned()).or_default();
                    of_port.read(option, key, &Node::scalar(vlans, at), diags);
                }
                None => {
                    let wrong = bad(Code::BadValue, &Node::scalar(&word, at), key, "expected PORT=VLANS");
                    diags.push(wrong.hint(format!("write {key} eth0=10-20,30")));
                }
            }
        }
    }
}

/// An option of a bridge in the stanza of another link: of a port, or without effect.
pub(in crate::format) fn port_option(
    entry: &Entry,
    link: &mut Link,
    draft: &mut Draft,
    diags: &mut Vec<Diagnostic>,
) {
    let name = folded(&entry.key);
    if let Some(report) = reported(&name, &entry.key, entry.key_at) {
        return diags.push(report);
    }
    if let Some((_, option)) = PORT.iter().find(|(key, _)| *key == name) {
        if let Some(row) = attribute::find(attribute::of_port(Kind::Bridge), option) {
            set_option(&mut link.port, row, &entry.value, &entry.key, diags);
        }
        return;
    }
    if VlanOptions::knows(&name) {
        let options = draft.vlans.entry(link.id.clone()).or_default();
        return options.read(&name, &entry.key, &entry.value, diags);
    }
    let message = format!("\"{}\" has no effect: \"{}\" is not a bridge", entry.key, link.id);
    let ignored = Diagnostic::new(Code::OptionIgnored, entry.key_at, message);
    diags.push(match name.as_str() {
        "bridge_ports" => ignored.hint("it is a port of another bridge"),
        _ => ignored.hint("bridge_ports, bridge-vlan-aware or use bridge makes one"),
    });
}

/// `eth0 50`, a list of such items, or ifupdown2's `eth0=50`. A list of two words is one option, as in interfaces
/// files.
fn port(key: &str, node: &Node, name: &str, draft: &mut Draft, diags: &mut Vec<Diagnostic>) {
    let Some(row) = attribute::find(attribute::of_port(Kind::Bridge), name) else { return };
    let mut all = words(node, key, diags).into_iter();
    while let Some(first) = all.next() {
        let (port, value) = match first.value.split_once('=') {
            Some((port, value)) => (port, Some(value)),
            None => (first.value, all.next().map(|word| word.value)),
        };
        let parsed = value.ok_or_else(|| "expected a port and a number".to_owned());
        match parsed.and_then(|value| row.parse(value)) {
            Ok(value) => {
                let port = Located::new(port.to_owned(), first.at);
                draft.ports.push(PortOption { port, row, value });
            }
            Err(why) => {
                let pair = [port].into_iter().chain(value).collect::<Vec<_>>().join(" ");
                let message = format!("{key} \"{pair}\": {why}");
                let wrong = Diagnostic::new(Code::BadValue, first.at, message);
                diags.push(wrong.hint("write it as \"eth0 50\""));
            }
        }
    }
}

/// An address, with or without `ether` before it, or the name of the port whose address to use.
fn hardware_address(node: &Node, key: &str, bridge: &mut Link, diags: &mut Vec<Diagnostic>) {
    let last = match &node.value {
        Value::List(items) => items.last(),
        _ => Some(node),
    };
    let Some(last) = last else { return };
    if last.text().is_some_and(|text| !text.contains([':', '-'])) {
        let why = "the address of a port is not looked up: write it out";
        diags.push(bad(Code::Unsupported, last, key, why));
        return;
    }
    desired_mac(last, key, bridge, diags);
}

/// Names that a `glob` may stand for.
const MOST: u32 = 4096;

/// Names of links: `eth0 eth1`, `none`, and ifupdown2's `glob swp1-4`. Only the machine knows which NICs `all` and
/// `regex` mean.
pub(in crate::format) fn list(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Vec<LinkRef> {
    let mut names = Vec::new();
    let words = words(node, key, diags);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut refuse = |pattern: &str| {
            let message = format!("{key} {pattern}: links by pattern are not supported");
            diags.push(Diagnostic::new(Code::Unsupported, word.at, message).hint("name them one by one"));
        };
        match word.value {
            "none" | "noregex" | "noglob" => {}
            "all" => refuse("all"),
            "regex" => {
                refuse(&format!("regex {}", words.next().map_or("", |w| w.value)));
            }
            "glob" => {
                let Some(pattern) = words.next() else { continue };
                match expand(pattern.value) {
                    Some(all) => names.extend(all.into_iter().map(|name| Located::new(name, pattern.at))),
                    None => refuse(&format!("glob {}", pattern.value)),
                }
            }
            name => names.push(Located::new(name.to_owned(), word.at)),
        }
    }
    names
}

/// ifupdown2's globs: `swp1-4`, `swp1-4.100`, `swp[1-4]`, `swp[1-4]s[0-3].100`; a plain name stands for itself.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let number = |text: &str| text.parse::<u32>().ok();
    if let Some((before, rest)) = pattern.split_once('[') {
        let (range, after) = rest.split_once(']')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let behind = expand(after)?;
        let count = u64::from(last.checked_sub(first)?) * behind.len() as u64;
        let names =
            (first..=last).flat_map(|n| behind.iter().map(move |after| format!("{before}{n}{after}")));
        return (count < u64::from(MOST)).then(|| names.collect());
    }
    let Some((before, after)) = pattern.split_once('-') else { return Some(vec![pattern.to_owned()]) };
    let prefix = before.trim_end_matches(|c: char| c.is_ascii_digit());
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (last, suffix) = after.split_at_checked(end)?;
    let (first, last) = (number(before.get(prefix.len()..)?)?, number(last)?);
    (last.checked_sub(first)? < MOST)
        .then(|| (first..=last).map(|n| format!("{prefix}{n}{suffix}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree;
    use crate::model::Place;
    use crate::model::attribute::OptionValue;

    fn read(key: &str, yaml: &str) -> (Link, Draft, Vec<String>) {
        let mut diags = Vec::new();
        let root = tree::parse(&format!("x: {yaml}\n"), 0, &mut diags).unwrap();
        let mut bridge = Link::new("br0", Kind::Bridge, Place::NONE);
        let mut draft = Draft::default();
        let value = root.get("x").unwrap().clone();
        let entry = Entry { key: key.into(), key_at: value.at, value };
        bridge_option(&entry, &mut bridge, &mut draft, &mut diags);
        (bridge, draft, diags.into_iter().map(|d| d.message).collect())
    }

    #[test]
    fn every_option_that_sets_something_has_its_row() {
        let of_port = |name: &str| PORT.iter().any(|(port, _)| *port == name);
        for key in BRIDGE.keys.iter().filter(|k| k.support == Applied && !of_port(k.name)) {
            let value = match key.name {
                "bridge_hw" => "'52:54:00:00:00:01'",
                "bridge_ports" | "bridge_pathcost" | "bridge_portprio" => "eth0 1",
                "bridge_pathcosts" | "bridge_portprios" | "bridge_port_vids" | "bridge_port_pvids" => {
                    "eth0=1"
                }
                "bridge_vlan_protocol" => "802.1q",
                "bridge_igmp_version" => "2",
                _ => "1",
            };
            let (bridge, draft, diags) = read(key.name, value);
            assert!(diags.is_empty(), "{} {diags:?}", key.name);
            let done = bridge.settings.0.len() + draft.ports.len() + bridge.members.len() + draft.vlans.len();
            assert!(done > 0 || bridge.mac.is_some(), "{}", key.name);
        }
    }

    #[test]
    fn globs_stand_for_the_names_that_ifupdown2_makes_of_them() {
        for (glob, names) in [
            ("eth7-8", Some("eth7 eth8")),
            ("swp1-2.100", Some("swp1.100 swp2.100")),
            ("swp[1-2]s[0-1]", Some("swp1s0 swp1s1 swp2s0 swp2s1")),
            ("swp[9-10].5", Some("swp9.5 swp10.5")),
            ("eth0", Some("eth0")),
            ("eth8-7", None),
            ("eth0-99999", None),
            ("eth[0-9999999]x[0-9999999]", None),
            ("eth-x", None),
        ] {
            assert_eq!(expand(glob).map(|all| all.join(" ")).as_deref(), names, "{glob}");
        }
    }

    #[test]
    fn port_options_in_both_forms() {
        for (key, yaml) in [
            ("bridge-pathcost", "'eth0 50'"),
            ("bridge-pathcost", "[eth0, 50]"),
            ("bridge-pathcost", "['eth0 50']"),
            ("bridge-pathcosts", "'eth0=50 eth1=60'"),
            ("bridge-pathcosts", "[eth0=50, eth1=60]"),
        ] {
            let (_, draft, diags) = read(key, yaml);
            assert!(diags.is_empty(), "{diags:?}");
            assert_eq!(draft.ports[0].port.value, "eth0");
            assert_eq!(draft.ports[0].value, OptionValue::Number(50));
        }
        assert_eq!(
            read("bridge_portprio", "eth0").2,
            ["bridge_portprio \"eth0\": expected a port and a number"]
        );
    }
}
