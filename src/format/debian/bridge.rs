//! bridge-utils-interfaces(5)'s options, which v1 took over: `bridge_stp`, `bridge-fd`, …

use super::{Draft, PortOption, wish_mac};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::format::tree::{Node, Value as NodeValue};
use crate::format::value::{bad, set_option, text, words};
use crate::model::attribute::{self, Value};
use crate::model::{Kind, Link, Located};

/// How an option is written and what it becomes.
#[derive(Debug)]
pub(in crate::format) struct BridgeOption {
    /// Without `bridge_`, with `-` for `_`.
    pub(in crate::format) name: &'static str,
    pub(in crate::format) becomes: Becomes,
    /// For the reference.
    pub(in crate::format) what: &'static str,
}

#[derive(Debug, PartialEq)]
pub(in crate::format) enum Becomes {
    /// The bridge's option of this name: a truth or a number.
    Plain(&'static str),
    /// As before, in seconds with a fraction; the kernel counts hundredths.
    Seconds(&'static str),
    /// An option of a port: `PORT VALUE`.
    Port(&'static str),
    /// Its MAC address.
    Mac,
    /// Its ports.
    Ports,
    /// Accepted and of no effect, with the reason.
    Nothing,
    /// Cannot be done.
    Unsupported,
}

const fn option(name: &'static str, becomes: Becomes, what: &'static str) -> BridgeOption {
    BridgeOption { name, becomes, what }
}

/// Every option.
pub(in crate::format) const OPTIONS: &[BridgeOption] = &[
    option("ports", Becomes::Ports, "its ports; `none` for no port"),
    option("stp", Becomes::Plain("stp_state"), "spanning tree, on or off"),
    option("fd", Becomes::Seconds("forward_delay"), "forward delay in seconds"),
    option("hello", Becomes::Seconds("hello_time"), "hello time in seconds"),
    option("maxage", Becomes::Seconds("max_age"), "maximum message age in seconds"),
    option("ageing", Becomes::Seconds("ageing_time"), "how long a MAC address is remembered, in seconds"),
    option("bridgeprio", Becomes::Plain("priority"), "bridge priority, 0 to 65535"),
    option("vlan-aware", Becomes::Plain("vlan_filtering"), "VLAN filtering"),
    option("pvid", Becomes::Plain("vlan_default_pvid"), "VLAN of untagged frames"),
    option("mcsnoop", Becomes::Plain("mcast_snooping"), "multicast snooping"),
    option("pathcost", Becomes::Port("cost"), "cost of a port: `PORT COST`"),
    option("portprio", Becomes::Port("priority"), "priority of a port, 0 to 63: `PORT PRIORITY`"),
    option("hw", Becomes::Mac, "MAC address of the bridge"),
    option("gcint", Becomes::Nothing, "the kernel has had no garbage collection interval since 4.18"),
    option("maxwait", Becomes::Nothing, "netapply waits for what it needs, within its own bounds"),
    option("waitport", Becomes::Nothing, "netapply waits for what it needs, within its own bounds"),
    option("vids", Becomes::Unsupported, "VLANs of single ports are not set by netapply"),
];

/// Reads one option of a bridge, in any spelling. Members and port options are left in `draft` and `bridge`.
pub(in crate::format) fn bridge_option(
    key: &str,
    node: &Node,
    bridge: &mut Link,
    draft: &mut Draft,
    said: &mut Vec<Diagnostic>,
) {
    let folded = key.to_ascii_lowercase().replace('_', "-");
    let name = folded.strip_prefix("bridge-").unwrap_or(&folded);
    let Some(option) = OPTIONS.iter().find(|o| o.name == name) else {
        let message = format!("unknown bridge option \"{key}\", ignored");
        let near = nearest(name, OPTIONS.iter().map(|o| o.name));
        let diagnostic = Diagnostic::new(Code::UnknownKey, node.at, message);
        said.push(match near {
            Some(near) => diagnostic.hint(format!("did you mean \"bridge_{}\"?", near.replace('-', "_"))),
            None => diagnostic,
        });
        return;
    };
    match option.becomes {
        Becomes::Plain(name) => plain(key, node, name, bridge, said),
        Becomes::Seconds(name) => seconds(key, node, name, bridge, said),
        Becomes::Port(name) => port(key, node, name, draft, said),
        Becomes::Mac => hardware_address(node, key, bridge, said),
        Becomes::Ports => ports(node, key, bridge, said),
        Becomes::Nothing => said.push(Diagnostic::new(
            Code::NoEffect,
            node.at,
            format!("\"{key}\" has no effect here: {}", option.what),
        )),
        Becomes::Unsupported => said.push(Diagnostic::new(
            Code::Unsupported,
            node.at,
            format!("\"{key}\" cannot be done: {}", option.what),
        )),
    }
}

fn plain(key: &str, node: &Node, name: &str, bridge: &mut Link, said: &mut Vec<Diagnostic>) {
    if let Some(row) = attribute::of(Kind::Bridge, name) {
        set_option(&mut bridge.settings, row, node, key, said);
    }
}

/// Seconds with up to two digits of a fraction, to hundredths.
fn seconds(key: &str, node: &Node, name: &str, bridge: &mut Link, said: &mut Vec<Diagnostic>) {
    let Some(text) = text(node, key, said) else { return };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let hundredths = part.parse().ok().map(|n: i64| if part.len() == 1 { n * 10 } else { n });
    let hundredths = if part.is_empty() { Some(0) } else { hundredths };
    let whole = whole.parse().ok().filter(|n: &i64| (0..=100_000).contains(n));
    match (whole, hundredths.filter(|n| *n >= 0 && part.len() <= 2), attribute::of(Kind::Bridge, name)) {
        (Some(whole), Some(hundredths), Some(row)) => {
            bridge.settings.set(row, Value::Number(whole * 100 + hundredths), node.at);
        }
        _ => said.push(bad(Code::BadUnit, node, key, "expected seconds, such as 15 or 0.5")),
    }
}

/// `eth0 50`, or a list of such texts. A list of two words is one option, as interfaces text has it.
fn port(key: &str, node: &Node, name: &str, draft: &mut Draft, said: &mut Vec<Diagnostic>) {
    let Some(row) = attribute::find(attribute::of_port(Kind::Bridge), name) else { return };
    let all = words(node, key, said);
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
                said.push(Diagnostic::new(Code::BadValue, at, message).hint("write it as \"eth0 50\""));
            }
        }
    }
}

/// An address, with or without `ether` before it, or the name of the port whose address it gets.
fn hardware_address(node: &Node, key: &str, bridge: &mut Link, said: &mut Vec<Diagnostic>) {
    let last = match &node.value {
        NodeValue::List(items) => items.last(),
        _ => Some(node),
    };
    let Some(last) = last else { return };
    if last.text().is_some_and(|text| !text.contains([':', '-'])) {
        let why = "the address of a port is not looked up: write it out";
        said.push(bad(Code::Unsupported, last, key, why));
        return;
    }
    wish_mac(last, key, bridge, said);
}

/// `eth0 eth1`, `none`; patterns of names are bridge-utils' own.
fn ports(node: &Node, key: &str, bridge: &mut Link, said: &mut Vec<Diagnostic>) {
    for word in words(node, key, said) {
        match word.value {
            "none" => {}
            "all" | "regex" => {
                let message = format!("{key} {}: ports by pattern are not supported", word.value);
                said.push(
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

    fn read(key: &str, yaml: &str) -> (Link, Draft, Vec<String>) {
        let mut said = Vec::new();
        let root = tree::parse(&format!("x: {yaml}\n"), 0, &mut said).unwrap();
        let mut bridge = Link::new("br0", Kind::Bridge, Place::NONE);
        let mut draft = Draft::default();
        bridge_option(key, root.get("x").unwrap(), &mut bridge, &mut draft, &mut said);
        (bridge, draft, said.into_iter().map(|d| d.message).collect())
    }

    #[test]
    fn every_option_that_sets_something_has_its_row() {
        for option in OPTIONS {
            match option.becomes {
                Becomes::Plain(name) | Becomes::Seconds(name) => {
                    assert!(attribute::of(Kind::Bridge, name).is_some(), "{name}");
                }
                Becomes::Port(name) => {
                    assert!(attribute::find(attribute::of_port(Kind::Bridge), name).is_some(), "{name}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn seconds_become_hundredths() {
        for (yaml, expected) in [("15", 1500), ("0", 0), ("0.5", 50), ("'1.25'", 125), ("0.05", 5)] {
            let (bridge, _, said) = read("bridge_fd", yaml);
            assert_eq!(bridge.settings.number("forward_delay"), Some(expected), "{yaml} {said:?}");
        }
        for yaml in ["fast", "-1", "1.234", "1.-5", "1e3"] {
            assert_eq!(
                read("bridge_fd", yaml).2,
                [format!("bridge_fd \"{yaml}\": expected seconds, such as 15 or 0.5")]
            );
        }
    }

    #[test]
    fn port_options_in_both_forms() {
        for yaml in ["'eth0 50'", "[eth0, 50]", "['eth0 50']"] {
            let (_, draft, said) = read("bridge-pathcost", yaml);
            assert!(said.is_empty(), "{said:?}");
            assert_eq!(draft.ports[0].port.value, "eth0");
            assert_eq!(draft.ports[0].value, Value::Number(50));
        }
        assert_eq!(
            read("bridge_portprio", "eth0").2,
            ["bridge_portprio \"eth0\": expected a port and a number"]
        );
    }
}
