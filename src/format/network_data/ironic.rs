//! What Ironic's API would refuse: the rules of ironic/api/controllers/v1/network-data-schema.json as a table.
//!
//! The schema demands more than a working description needs (a `network_id`, `services`), and half of what its own
//! producers write violates it, so it is checked only by `netapply check --for ironic`.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::diagnostic::{Code, Diagnostic};
use crate::format::recognise::{self, Format};
use crate::format::tree::{Node, Value};
use crate::model::Family;

/// The requirements of a kind of object.
struct Shape {
    noun: &'static str,
    rules: &'static [Rule],
}

struct Rule {
    key: &'static str,
    needed: bool,
    takes: Takes,
}

enum Takes {
    Text,
    Texts,
    Word(&'static [&'static str]),
    Integer,
    /// 1 to 65535, or null.
    Mtu,
    /// Six bytes.
    Mac,
    Ip(Family),
    IpOfAnyFamily,
    /// The destination of a route.
    Network(Family),
    /// IPv6 with or without a prefix length of two digits.
    Ip6Prefix,
    /// With or without a zone.
    Gateway6,
    Netmask(Family),
    /// A list of objects, each with the shape that the function chooses.
    Objects(fn(&Node) -> &'static Shape),
}

use Family::{V4, V6};
use Takes::{
    Gateway6, Integer, Ip, Ip6Prefix, IpOfAnyFamily, Mac, Mtu, Netmask, Network, Objects, Text, Texts, Word,
};

const fn needs(key: &'static str, takes: Takes) -> Rule {
    Rule { key, needed: true, takes }
}

const fn may(key: &'static str, takes: Takes) -> Rule {
    Rule { key, needed: false, takes }
}

static DOCUMENT: Shape = Shape {
    noun: "the document",
    rules: &[
        needs("links", Objects(link_shape)),
        needs("networks", Objects(network_shape)),
        needs("services", Objects(|_| &SERVICE)),
    ],
};

const LINK_TYPES: &[&str] =
    &["phy", "vif", "bond", "vlan", "bridge", "dvs", "hw_veb", "hyperv", "ovs", "tap", "vhostuser"];

static NIC: Shape = Shape {
    noun: "a link",
    rules: &[
        needs("id", Text),
        needs("type", Word(LINK_TYPES)),
        needs("ethernet_mac_address", Mac),
        may("mtu", Mtu),
        may("vif_id", Text),
    ],
};

static BOND: Shape = Shape {
    noun: "a bond",
    rules: &[
        needs("id", Text),
        needs("ethernet_mac_address", Mac),
        needs("bond_mode", Word(BOND_MODES)),
        needs("bond_links", Texts),
        may("mtu", Mtu),
        may("vif_id", Text),
    ],
};

const BOND_MODES: &[&str] =
    &["802.3ad", "balance-rr", "active-backup", "balance-xor", "broadcast", "balance-tlb", "balance-alb"];

static VLAN: Shape = Shape {
    noun: "a vlan",
    rules: &[
        needs("id", Text),
        needs("vlan_mac_address", Mac),
        needs("vlan_link", Text),
        needs("vlan_id", Integer),
        may("mtu", Mtu),
        may("vif_id", Text),
    ],
};

const NETWORK_TYPES: &[&str] = &["ipv4", "ipv4_dhcp", "ipv6", "ipv6_dhcp", "ipv6_slaac"];

static NETWORK4: Shape = Shape {
    noun: "a network",
    rules: &[
        needs("id", Text),
        needs("link", Text),
        needs("network_id", Text),
        needs("type", Word(NETWORK_TYPES)),
        may("ip_address", Ip(V4)),
        may("netmask", Netmask(V4)),
        may("routes", Objects(|_| &ROUTE4)),
    ],
};

static NETWORK6: Shape = Shape {
    noun: "a network",
    rules: &[
        needs("id", Text),
        needs("link", Text),
        needs("network_id", Text),
        needs("type", Word(NETWORK_TYPES)),
        may("ip_address", Ip6Prefix),
        may("netmask", Netmask(V6)),
        may("routes", Objects(|_| &ROUTE6)),
    ],
};

static ROUTE4: Shape = Shape {
    noun: "a route",
    rules: &[
        needs("network", Network(V4)),
        needs("netmask", Netmask(V4)),
        needs("gateway", Ip(V4)),
        may("services", Objects(|_| &SERVICE)),
    ],
};

static ROUTE6: Shape = Shape {
    noun: "a route",
    rules: &[
        needs("network", Network(V6)),
        needs("netmask", Netmask(V6)),
        needs("gateway", Gateway6),
        may("services", Objects(|_| &SERVICE)),
    ],
};

static SERVICE: Shape =
    Shape { noun: "a service", rules: &[needs("type", Word(&["dns"])), needs("address", IpOfAnyFamily)] };

fn link_shape(link: &Node) -> &'static Shape {
    match link.get("type").and_then(Node::text) {
        Some("bond") => &BOND,
        Some("vlan") => &VLAN,
        _ => &NIC,
    }
}

fn network_shape(network: &Node) -> &'static Shape {
    let v6 = network.get("type").and_then(Node::text).is_some_and(|word| word.starts_with("ipv6"));
    if v6 { &NETWORK6 } else { &NETWORK4 }
}

/// Adds what Ironic's API would refuse in a whole document.
pub fn check(root: &Node, diags: &mut Vec<Diagnostic>) {
    match recognise::tree(root) {
        // A node may have none.
        _ if matches!(&root.value, Value::Map(entries) if entries.is_empty()) => {}
        Some((Format::NetworkData, body)) => object(body, &DOCUMENT, diags),
        _ => diags.push(
            Diagnostic::new(
                Code::IronicRefuses,
                root.at,
                "Ironic's API takes network_data alone, and this is none",
            )
            .hint("write it with links, networks and services"),
        ),
    }
}

fn object(node: &Node, shape: &Shape, diags: &mut Vec<Diagnostic>) {
    if !matches!(node.value, Value::Map(_)) {
        return refuse(
            node,
            format!("{} that is {}", shape.noun, node.noun()),
            "write it as a mapping",
            diags,
        );
    }
    for rule in shape.rules {
        match node.get(rule.key) {
            Some(value) => self::value(value, shape, rule, diags),
            None if rule.needed => {
                let hint = match rule.key {
                    "network_id" => "add it; any text will do",
                    "services" | "networks" => "add it; an empty list will do",
                    _ => "add it",
                };
                refuse(node, format!("{} without \"{}\"", shape.noun, rule.key), hint, diags);
            }
            None => {}
        }
    }
}

fn value(node: &Node, shape: &Shape, rule: &Rule, diags: &mut Vec<Diagnostic>) {
    let Some(wanted) = unfit(node, &rule.takes) else {
        for item in node.items() {
            match rule.takes {
                Objects(pick) => object(item, pick(item), diags),
                _ if is_text(item) => {}
                _ => refuse(
                    item,
                    format!("{} whose {} holds {}", shape.noun, rule.key, shown(item)),
                    "quote it",
                    diags,
                ),
            }
        }
        return;
    };
    let what = format!("{} whose {} is {}", shape.noun, rule.key, shown(node));
    refuse(node, what, &format!("it wants {wanted}"), diags);
}

/// A value as it is in JSON.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) if scalar.quoted => format!("\"{}\"", scalar.text),
        Value::Scalar(scalar) => scalar.text.clone(),
        _ => node.noun().to_owned(),
    }
}

/// The expected type, if a value does not match.
fn unfit(node: &Node, takes: &Takes) -> Option<String> {
    let text = node.text().unwrap_or_default();
    let is_text = is_text(node);
    let (fits, wanted) = match takes {
        Text => (is_text, "a text in quotes"),

        Word(words) if is_text && words.contains(&text) => return None,
        Word(words) => return Some(format!("one of {}", words.join(", "))),
        // JSON has one kind of number: 100.0 is an integer.
        Integer => {
            let whole = text.parse::<f64>().is_ok_and(|number| number.fract() == 0.0);
            (!is_text && whole, "a whole number without quotes")
        }
        Mtu => {
            let fits = !is_text && text.parse::<f64>().is_ok_and(|mtu| (1.0..=65535.0).contains(&mtu));
            (fits || node.value == Value::Null, "a number from 1 to 65535 without quotes, or null")
        }
        Mac => {
            let hex = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            let pairs: Vec<&str> = whole(text).split([':', '-']).collect();
            (is_text && pairs.len() == 6 && pairs.into_iter().all(hex), "six pairs of hex digits")
        }
        Network(V4) => (whole(text).parse::<Ipv4Addr>().is_ok(), "an IPv4 address without a prefix length"),
        Network(V6) => (is_ip6(whole(text)), "an IPv6 address"),
        Ip(V4) => (is_ip4(text), "an IPv4 address without a prefix length"),
        Ip(V6) => (is_ip6(whole(text)), "an IPv6 address"),
        IpOfAnyFamily => (is_ip4(text) || is_ip6_prefix(whole(text)), "an IP address"),
        Ip6Prefix => {
            (is_ip6_prefix(whole(text)), "an IPv6 address, with a prefix length below 100 or without")
        }
        Gateway6 => (is_ip6_host(whole(text)), "an IPv6 address"),
        Netmask(V4) => {
            (is_netmask(text), "a netmask such as 255.255.255.0 (255.255.255.255 is refused, too)")
        }
        Netmask(V6) => (is_ip6(whole(text)), "a netmask such as ffff:ffff:ffff:ffff::"),
        Texts | Objects(_) => (is_list(node), "a list"),
    };
    (!fits).then(|| wanted.to_owned())
}

fn is_list(node: &Node) -> bool {
    matches!(node.value, Value::List(_))
}

/// A JSON string. YAML's plain scalars are strings unless they are numbers or booleans.
fn is_text(node: &Node) -> bool {
    let Value::Scalar(scalar) = &node.value else { return false };
    let plain = scalar.text.parse::<f64>().is_err() && !matches!(scalar.text.as_str(), "true" | "false");
    scalar.quoted || plain
}

/// The part that a pattern between `^` and `$` matches: Python's `$` also matches before a trailing line feed.
fn whole(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

/// Four numbers up to 255; the pattern allows leading zeroes in three digits.
fn is_ip4(text: &str) -> bool {
    let number = |part: &str| {
        let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits && part.parse::<u16>().is_ok_and(|number| number <= 255)
    };
    let parts: Vec<&str> = whole(text).split('.').collect();
    parts.len() == 4 && parts.into_iter().all(number)
}

/// `^A\.0\.0\.0|255\.A\.0\.0|255\.255\.A\.0|255\.255\.255\.A$`, of which only the first alternative is anchored at the
/// start and only the last one at the end.
fn is_netmask(text: &str) -> bool {
    const PARTS: [&str; 8] = ["254", "252", "248", "240", "224", "192", "128", "0"];
    PARTS.iter().any(|part| {
        text.starts_with(&format!("{part}.0.0.0"))
            || text.contains(&format!("255.{part}.0.0"))
            || text.contains(&format!("255.255.{part}.0"))
            || whole(text).ends_with(&format!("255.255.255.{part}"))
    })
}

fn is_ip6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

fn is_ip6_prefix(text: &str) -> bool {
    match text.split_once('/') {
        Some((ip, length)) => {
            is_ip6_host(ip) && matches!(length.len(), 1 | 2) && length.bytes().all(|b| b.is_ascii_digit())
        }
        None => is_ip6_host(text),
    }
}

/// An address, or a link-local one with a zone as the pattern has it: `fe80:`, at most four groups, `%eth0`.
fn is_ip6_host(text: &str) -> bool {
    let with_zone = || {
        let (ip, zone) = text.split_once('%')?;
        let mut groups = ip.strip_prefix("fe80:")?.split(':');
        let fits = |group: &str| group.len() <= 4 && group.bytes().all(|b| b.is_ascii_hexdigit());
        let is_zone = !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric());
        Some(is_zone && groups.next() == Some("") && groups.clone().count() <= 4 && groups.all(fits))
    };
    is_ip6(text) || with_zone() == Some(true)
}

fn refuse(node: &Node, what: String, hint: &str, diags: &mut Vec<Diagnostic>) {
    diags.push(
        Diagnostic::new(Code::IronicRefuses, node.at, format!("Ironic's API refuses {what}")).hint(hint),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree;

    fn refused(text: &str) -> Vec<String> {
        let mut diags = Vec::new();
        let root = tree::parse(text, 0, &mut diags).unwrap();
        check(&root, &mut diags);
        diags.into_iter().map(|d| format!("{} ({})", d.message, d.hint.unwrap_or_default())).collect()
    }

    #[test]
    fn descriptions_that_match_the_schema_are_accepted() {
        let text = r#"{"links": [
            {"id": "a", "type": "phy", "ethernet_mac_address": "52-54-00-AA-00-01", "mtu": null, "name": "x"},
            {"id": "b", "type": "bond", "ethernet_mac_address": "52:54:00:aa:00:01", "bond_mode": "802.3ad",
             "bond_links": ["a"], "bond_miimon": 100},
            {"id": "c", "type": "vlan", "vlan_mac_address": "52:54:00:aa:00:01", "vlan_link": "b", "vlan_id": 5}],
            "networks": [
            {"id": "n", "type": "ipv4", "link": "b", "network_id": "n", "ip_address": "192.0.2.1",
             "netmask": "255.255.255.254", "routes": [
              {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.0"}]},
            {"id": "n", "type": "ipv6", "link": "b", "network_id": "n", "ip_address": "2001:db8::1/64", "routes": [
              {"network": "::", "netmask": "::", "gateway": "fe80::1",
               "services": [{"type": "dns", "address": "2001:db8::53"}]}]},
            {"id": "m", "type": "ipv4_dhcp", "link": "c", "network_id": "m"}],
            "services": [{"type": "dns", "address": "192.0.2.53"}]}"#;
        assert!(refused(text).is_empty(), "{:?}", refused(text));
    }

    /// What a real Ironic's API accepted, though it looks wrong: its patterns are Python's.
    #[test]
    fn odd_values_that_the_api_accepts_are_accepted() {
        assert!(refused("{}").is_empty());
        let text = r#"{"links": [
            {"id": "a", "type": "phy", "ethernet_mac_address": "52-54:00-AA:00-01"},
            {"id": "b", "type": "phy", "ethernet_mac_address": "52:54:00:aa:00:02\n"},
            {"id": "c", "type": "vlan", "vlan_mac_address": "52:54:00:aa:00:01", "vlan_link": "a", "vlan_id": 100.0}],
            "networks": [
            {"id": "n", "type": "ipv4", "link": "a", "network_id": "n", "ip_address": "010.77.0.20", "netmask": "254.0.0.0.0"},
            {"id": "m", "type": "ipv4", "link": "b", "network_id": "m", "ip_address": "10.77.0.21\n", "netmask": "192.0.0.0xyz"}],
            "services": []}"#;
        assert_eq!(refused(text), [""; 0]);
        for netmask in ["255.255.255.255", "254.0.0", "255.0.255.0", "24", ""] {
            assert!(!is_netmask(netmask), "{netmask}");
        }
        for zoned in ["fe80::1%eth0", "fe80::%1", "fe80::1:2:3:4%x", "fe80::1%eth0/64"] {
            assert!(is_ip6_prefix(zoned), "{zoned}");
        }
        for wrong in ["FE80::1%eth0", "2001:db8::1%eth0", "fe80:1::1%eth0", "fe80::1%", "fe80::1%eth-0"] {
            assert!(!is_ip6_prefix(wrong), "{wrong}");
        }
        assert!(!is_ip4("192.0.2.1/32") && !is_ip4("0192.0.2.1") && !is_ip4("192.0.2.256"));
    }

    #[test]
    fn refusals_are_reported() {
        let text = r#"{"links": [
            {"id": "a", "type": "ethernet", "ethernet_mac_address": "52:54:00:aa:00:01", "mtu": "1500", "vif_id": 1},
            {"id": "b", "type": "bond", "bond_links": ["a", 2]},
            {"id": "c", "type": "vlan", "vlan_mac_address": "", "vlan_link": "b", "vlan_id": "5"}],
            "networks": [
            {"id": "n", "type": "ipv4", "link": "b", "ip_address": "192.0.2.1/32", "netmask": "255.255.255.255"},
            {"id": "n", "type": "ipv6_dhcpv6-stateful", "link": "b", "network_id": "n", "netmask": "64",
             "ip_address": "2001:db8::1/128", "routes": [{"network": "::", "gateway": "fe80::1"}, 7]}]}"#;
        assert_eq!(
            refused(text),
            [
                "Ironic's API refuses a link whose type is \"ethernet\" (it wants one of phy, vif, bond, vlan, bridge, dvs, hw_veb, hyperv, ovs, tap, vhostuser)",
                "Ironic's API refuses a link whose mtu is \"1500\" (it wants a number from 1 to 65535 without quotes, or null)",
                "Ironic's API refuses a link whose vif_id is 1 (it wants a text in quotes)",
                "Ironic's API refuses a bond without \"ethernet_mac_address\" (add it)",
                "Ironic's API refuses a bond without \"bond_mode\" (add it)",
                "Ironic's API refuses a bond whose bond_links holds 2 (quote it)",
                "Ironic's API refuses a vlan whose vlan_mac_address is \"\" (it wants six pairs of hex digits)",
                "Ironic's API refuses a vlan whose vlan_id is \"5\" (it wants a whole number without quotes)",
                "Ironic's API refuses a network without \"network_id\" (add it; any text will do)",
                "Ironic's API refuses a network whose ip_address is \"192.0.2.1/32\" (it wants an IPv4 address without a prefix length)",
                "Ironic's API refuses a network whose netmask is \"255.255.255.255\" (it wants a netmask such as 255.255.255.0 (255.255.255.255 is refused, too))",
                "Ironic's API refuses a network whose type is \"ipv6_dhcpv6-stateful\" (it wants one of ipv4, ipv4_dhcp, ipv6, ipv6_dhcp, ipv6_slaac)",
                "Ironic's API refuses a network whose ip_address is \"2001:db8::1/128\" (it wants an IPv6 address, with a prefix length below 100 or without)",
                "Ironic's API refuses a network whose netmask is \"64\" (it wants a netmask such as ffff:ffff:ffff:ffff::)",
                "Ironic's API refuses a route without \"netmask\" (add it)",
                "Ironic's API refuses a route that is a single value (write it as a mapping)",
                "Ironic's API refuses the document without \"services\" (add it; an empty list will do)",
            ]
        );
    }
}
