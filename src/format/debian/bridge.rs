//! bridge-utils-interfaces(5)'s options, which v1 took over: `bridge_stp`, `bridge-fd`, …

use super::{Draft, PortOption, wish_mac};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::Support::{Applied, NoEffect};
use crate::format::keys::{Object, key, report};
use crate::format::tree::{Entry, Node, Value as NodeValue};
use crate::format::value::{bad, set_bridge_option, words};
use crate::model::attribute;
use crate::model::{Kind, Link, Located, Place};

/// Every option. interfaces(5) folds `_` to `-`, and so is either taken in both formats.
pub(in crate::format) static BRIDGE: Object = Object {
    name: "the options of a bridge",
    keys: &[
        key("bridge_ports", Applied, "its ports; `none` for no port"),
        key("bridge_stp", Applied, "spanning tree, on or off"),
        key("bridge_fd", Applied, "forward delay in seconds"),
        key("bridge_hello", Applied, "hello time in seconds"),
        key("bridge_maxage", Applied, "maximum message age in seconds"),
        key("bridge_ageing", Applied, "how long a MAC address is remembered, in seconds"),
        key("bridge_bridgeprio", Applied, "bridge priority, 0 to 65535"),
        key("bridge_pvid", Applied, "VLAN of untagged frames"),
        key("bridge_mcsnoop", Applied, "multicast snooping"),
        key("bridge_pathcost", Applied, "cost of a port: `PORT COST`, or a list of these"),
        key("bridge_portprio", Applied, "priority of a port, 0 to 63: `PORT PRIORITY`, or a list of these"),
        key("bridge_hw", Applied, "MAC address of the bridge"),
        key("bridge_vlan_aware", Applied, FILTERING),
        key("bridge_vids", Applied, FILTERING),
        key("bridge_access", Applied, FILTERING),
        key("bridge_allow_untagged", Applied, FILTERING),
        key("bridge_gcint", NoEffect, "the kernel has had no garbage collection interval since 4.18"),
        key("bridge_maxwait", NoEffect, "netapply waits for what it needs, within its own bounds"),
        key("bridge_waitport", NoEffect, "netapply waits for what it needs, within its own bounds"),
    ],
};

/// Filtering needs the VLANs of every port; without it tagged frames get through, which is what a bridge is asked for.
const FILTERING: &str = "VLAN filtering is left off, said so: the bridge passes every VLAN";

/// Reads one option of a bridge, in any spelling. Members and port options are left in `draft` and `bridge`.
pub(in crate::format) fn bridge_option(
    entry: &Entry,
    bridge: &mut Link,
    draft: &mut Draft,
    diags: &mut Vec<Diagnostic>,
) {
    let (key, node) = (entry.key.as_str(), &entry.value);
    let folded = key.to_ascii_lowercase().replace('-', "_");
    let name = if folded.starts_with("bridge_") { folded } else { format!("bridge_{folded}") };
    if let Some(report) = report(&BRIDGE, &name, entry.key_at) {
        return diags.push(report);
    }
    match name.as_str() {
        "bridge_ports" => ports(node, key, bridge, diags),
        "bridge_pathcost" => port(key, node, "cost", draft, diags),
        "bridge_portprio" => port(key, node, "priority", draft, diags),
        "bridge_hw" => hardware_address(node, key, bridge, diags),
        "bridge_vlan_aware" | "bridge_vids" | "bridge_access" | "bridge_allow_untagged" => {
            if node.text().and_then(attribute::boolean) != Some(false) {
                diags.push(not_filtered(key, node.at));
            }
        }
        _ => {
            set_bridge_option(&mut bridge.settings, node, key, diags);
        }
    }
}

/// The diagnostic for an option of a bridge that is at one of its ports.
pub(in crate::format) fn port_option(entry: &Entry) -> Diagnostic {
    let name = entry.key.to_ascii_lowercase().replace('-', "_");
    let unknown = report(&BRIDGE, &name, entry.key_at);
    unknown.unwrap_or_else(|| not_filtered(&entry.key, entry.key_at))
}

fn not_filtered(key: &str, at: Place) -> Diagnostic {
    let message =
        format!("\"{key}\" is not set up: VLAN filtering is left off, the bridge passes every VLAN");
    Diagnostic::new(Code::Unsupported, at, message).severity(Severity::Warning)
}

/// `eth0 50`, or a list of such texts. A list of two words is one option, as interfaces text has it.
fn port(key: &str, node: &Node, name: &str, draft: &mut Draft, diags: &mut Vec<Diagnostic>) {
    let Some(row) = attribute::find(attribute::of_port(Kind::Bridge), name) else { return };
    let all = words(node, key, diags);
    for pair in all.chunks(2) {
        let parsed = match pair {
            [port, value] => row.parse(value.value).map(|value| (port, value)),
            _ => Err("expected a port and a number".to_owned()),
        };
        match parsed {
            Ok((port, value)) => {
                let port = Located::new(port.value.to_owned(), port.at);
                draft.ports.push(PortOption { port, row, value });
            }
            Err(why) => {
                let words: Vec<&str> = pair.iter().map(|w| w.value).collect();
                let at = pair.first().map_or(node.at, |w| w.at);
                let message = format!("{key} \"{}\": {why}", words.join(" "));
                diags.push(Diagnostic::new(Code::BadValue, at, message).hint("write it as \"eth0 50\""));
            }
        }
    }
}

/// An address, with or without `ether` before it, or the name of the port whose address it gets.
fn hardware_address(node: &Node, key: &str, bridge: &mut Link, diags: &mut Vec<Diagnostic>) {
    let last = match &node.value {
        NodeValue::List(items) => items.last(),
        _ => Some(node),
    };
    let Some(last) = last else { return };
    if last.text().is_some_and(|text| !text.contains([':', '-'])) {
        let why = "the address of a port is not looked up: write it out";
        diags.push(bad(Code::Unsupported, last, key, why));
        return;
    }
    wish_mac(last, key, bridge, diags);
}

/// `eth0 eth1`, `none`; patterns of names are bridge-utils' own.
fn ports(node: &Node, key: &str, bridge: &mut Link, diags: &mut Vec<Diagnostic>) {
    for word in words(node, key, diags) {
        match word.value {
            "none" => {}
            "all" | "regex" | "glob" => {
                let message = format!("{key} {}: ports by pattern are not supported", word.value);
                diags.push(
                    Diagnostic::new(Code::Unsupported, word.at, message).hint("name the ports one by one"),
                );
                return;
            }
            name => bridge.members.push(Located::new(name.to_owned(), word.at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree;
    use crate::model::Place;
    use crate::model::attribute::Value;

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
        for key in BRIDGE.keys.iter().filter(|k| k.support == Applied && k.what != FILTERING) {
            let value = if key.name == "bridge_hw" { "'52:54:00:00:00:01'" } else { "eth0 1" };
            let value = if BRIDGE_SETTINGS.contains(&key.name) { "1" } else { value };
            let (bridge, draft, diags) = read(key.name, value);
            assert!(diags.is_empty(), "{} {diags:?}", key.name);
            let done = bridge.settings.0.len() + draft.ports.len() + bridge.members.len();
            assert!(done > 0 || bridge.mac.is_some(), "{}", key.name);
        }
    }

    const BRIDGE_SETTINGS: &[&str] = &[
        "bridge_stp",
        "bridge_fd",
        "bridge_hello",
        "bridge_maxage",
        "bridge_ageing",
        "bridge_bridgeprio",
        "bridge_pvid",
        "bridge_mcsnoop",
    ];

    #[test]
    fn port_options_in_both_forms() {
        for yaml in ["'eth0 50'", "[eth0, 50]", "['eth0 50']"] {
            let (_, draft, diags) = read("bridge-pathcost", yaml);
            assert!(diags.is_empty(), "{diags:?}");
            assert_eq!(draft.ports[0].port.value, "eth0");
            assert_eq!(draft.ports[0].value, Value::Number(50));
        }
        assert_eq!(
            read("bridge_portprio", "eth0").2,
            ["bridge_portprio \"eth0\": expected a port and a number"]
        );
    }
}
