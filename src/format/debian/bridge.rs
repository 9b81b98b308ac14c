//! bridge-utils-interfaces(5)'s options, which v1 took over: `bridge_stp`, `bridge-fd`, …

use super::{Draft, PortOption, wish_mac};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::format::tree::{Node, Value as NodeValue};
use crate::format::value::{bad, set_bridge_option, words};
use crate::model::attribute;
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
    /// An option of the bridge itself, by [`set_bridge_option`].
    Setting,
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
    option("stp", Becomes::Setting, "spanning tree, on or off"),
    option("fd", Becomes::Setting, "forward delay in seconds"),
    option("hello", Becomes::Setting, "hello time in seconds"),
    option("maxage", Becomes::Setting, "maximum message age in seconds"),
    option("ageing", Becomes::Setting, "how long a MAC address is remembered, in seconds"),
    option("bridgeprio", Becomes::Setting, "bridge priority, 0 to 65535"),
    option("vlan-aware", Becomes::Setting, "VLAN filtering"),
    option("pvid", Becomes::Setting, "VLAN of untagged frames"),
    option("mcsnoop", Becomes::Setting, "multicast snooping"),
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
        Becomes::Setting => {
            set_bridge_option(&mut bridge.settings, node, key, said);
        }
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
    use crate::model::attribute::Value;

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
                Becomes::Setting => {
                    let (bridge, _, _) = read(&format!("bridge_{}", option.name.replace('-', "_")), "1");
                    assert_eq!(bridge.settings.0.len(), 1, "{}", option.name);
                }
                Becomes::Port(name) => {
                    assert!(attribute::find(attribute::of_port(Kind::Bridge), name).is_some(), "{name}");
                }
                _ => {}
            }
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
