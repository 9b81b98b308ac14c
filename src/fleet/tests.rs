use super::*;
use crate::diagnostic::Severity;
use crate::format::parse;

/// Code, file and line, and those of the other place.
type Found = (String, String, u32, Option<(String, u32)>);

fn found(texts: &[String], policy: &str) -> Vec<Found> {
    let (policy, wrong, _) = FleetPolicy::read("policy", policy);
    assert!(wrong.is_empty(), "{wrong:?}");
    let nodes: Vec<FleetNode> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let name = format!("n{number}");
            let parsed = parse(vec![(name.clone(), text.clone())]);
            let bad: Vec<_> = parsed.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
            assert!(bad.is_empty(), "{bad:?}\n{text}");
            FleetNode::new(name.clone(), vec![name], &parsed.desired, None)
        })
        .collect();
    compare(&nodes, &policy)
        .into_iter()
        .map(|record| {
            let at = record.at.unwrap();
            let other = record.related.map(|at| (at.file, at.line));
            (record.code.text().to_owned(), at.file, at.line, other)
        })
        .collect()
}

fn codes(texts: &[String], policy: &str) -> Vec<String> {
    let mut codes: Vec<String> =
        found(texts, policy).into_iter().map(|(code, node, ..)| format!("{code} {node}")).collect();
    codes.dedup();
    codes
}

/// A NIC with an address in 10.0.0.0/24, each value of which can be replaced.
fn node(number: usize) -> String {
    format!(
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      match: {{macaddress: '52:54:00:00:00:{number:02x}'}}\n      \
         set-name: eth0\n      mtu: 9000\n      addresses: [10.0.0.{number}/24]\n      routes: [{{to: default, via: 10.0.0.1}}]\n      \
         nameservers: {{addresses: [10.9.0.1]}}\n"
    )
}

fn fleet(change: impl Fn(usize, String) -> String) -> Vec<String> {
    (0..12).map(|number| change(number, node(number + 10))).collect()
}

#[test]
fn a_fleet_without_faults_says_nothing() {
    assert_eq!(codes(&fleet(|_, text| text), ""), Vec::<String>::new());
}

#[test]
fn each_fault_is_found_once_with_both_sides() {
    let one = |from: &'static str, to: &'static str| {
        fleet(move |number, text| if number == 7 { text.replace(from, to) } else { text })
    };
    for (texts, code, line, other) in [
        (one("00:00:00:11", "00:00:00:0b"), "fleet-mac", 5, ("n1", 5)),
        (one("10.0.0.17/24", "10.0.0.11/24"), "fleet-address", 8, ("n1", 8)),
        (one("via: 10.0.0.1}", "via: 10.0.0.2}"), "fleet-gateway", 9, ("n0", 9)),
        (one("10.0.0.17/24", "10.0.0.17/25"), "fleet-prefix", 8, ("n0", 8)),
        (one("10.0.0.17/24", "10.0.0.17/16"), "fleet-prefix", 8, ("n0", 8)),
        (one("10.0.0.17/24", "10.0.0.17/32"), "fleet-prefix", 8, ("n0", 8)),
        (one("mtu: 9000", "mtu: 1500"), "fleet-mtu", 7, ("n0", 7)),
        (one("[10.9.0.1]", "[10.9.0.2]"), "fleet-name-servers", 10, ("n0", 10)),
        (one("via: 10.0.0.1}", "via: 10.0.0.12}"), "fleet-gateway-is-node", 9, ("n2", 8)),
        (one("10.0.0.17/24", "10.0.0.1/24"), "fleet-gateway-is-node", 8, ("n0", 9)),
        (
            one("routes: [{to: default, via: 10.0.0.1}]", "optional: true"),
            "fleet-default-route",
            8,
            ("n0", 9),
        ),
    ] {
        let found = found(&texts, "");
        let expected = (code.to_owned(), "n7".to_owned(), line, Some((other.0.to_owned(), other.1)));
        assert_eq!(found, [expected], "{code}");
    }
}

#[test]
fn a_policy_allows_and_forbids() {
    // VRRP: the gateway's address is on two nodes.
    let vrrp = fleet(|number, text| {
        if number < 2 {
            text.replace("addresses: [10.0.0.1", "addresses: [10.0.0.1/24, 10.0.0.1")
        } else {
            text
        }
    });
    assert!(!codes(&vrrp, "").is_empty());
    assert_eq!(codes(&vrrp, "shared: [10.0.0.1]\n"), Vec::<String>::new());
    let router = fleet(|number, text| {
        if number == 0 {
            text.replace("10.0.0.10/24", "10.0.0.1/24").replace("via: 10.0.0.1}", "via: 10.0.0.2}")
        } else {
            text
        }
    });
    assert!(codes(&router, "").contains(&"fleet-gateway-is-node n0".to_owned()));
    assert_eq!(
        codes(&router, "routers: [10.0.0.1]\ngateways: {10.0.0.0/24: [10.0.0.1, 10.0.0.2]}\n"),
        Vec::<String>::new()
    );
    let outside = fleet(|number, text| text.replace("10.0.0.17", if number == 7 { "10.0.0.77" } else { "" }));
    assert_eq!(codes(&outside, "subnets: [10.0.0.0/26]\n"), ["fleet-outside n7"]);
    assert_eq!(
        codes(&outside, "subnets: [10.0.0.0/26]\nseverity: {fleet-outside: ignore}\n"),
        Vec::<String>::new()
    );
}

#[test]
fn vlans_bonds_vrfs_and_keys() {
    let with = |number: usize, vlan: u32, mode: &str, hash: &str, vrf: u32| {
        format!(
            "network:\n  version: 2\n  ethernets:\n    a: {{match: {{macaddress: '52:54:00:01:00:{number:02x}'}}}}\n    \
             b: {{match: {{macaddress: '52:54:00:02:00:{number:02x}'}}}}\n  bonds:\n    bond0:\n      interfaces: [a, b]\n      \
             parameters: {{mode: {mode}, transmit-hash-policy: {hash}, mii-monitor-interval: 100}}\n  vlans:\n    v:\n      id: {vlan}\n      link: bond0\n      \
             addresses: [10.1.0.{number}/24]\n  vrfs:\n    red: {{table: {vrf}, interfaces: []}}\n"
        )
    };
    let all = |odd: &dyn Fn() -> String| -> Vec<String> {
        (0..8).map(|n| if n == 5 { odd() } else { with(n, 100, "802.3ad", "layer3+4", 10) }).collect()
    };
    assert_eq!(codes(&all(&|| with(5, 100, "802.3ad", "layer3+4", 10)), ""), Vec::<String>::new());
    assert_eq!(codes(&all(&|| with(5, 200, "802.3ad", "layer3+4", 10)), ""), ["fleet-vlan n5"]);
    assert_eq!(codes(&all(&|| with(5, 100, "balance-xor", "layer3+4", 10)), ""), ["fleet-bond n5"]);
    assert_eq!(codes(&all(&|| with(5, 100, "802.3ad", "layer2", 10)), ""), ["fleet-bond n5"]);
    // The same address in another VLAN or VRF is another address.
    let link = |vlan: u32, vrf: &str| {
        format!(
            "network:\n  version: 2\n  ethernets: {{a: {{}}}}\n  vlans:\n    v: {{id: {vlan}, link: a, addresses: [10.1.0.5/24]}}\n{vrf}"
        )
    };
    let vrf = "  vrfs:\n    red: {table: 10, interfaces: [v]}\n";
    assert_eq!(codes(&[link(100, ""), link(100, "")], ""), ["fleet-address n1"]);
    assert_eq!(codes(&[link(100, ""), link(100, vrf)], ""), Vec::<String>::new());
    assert_eq!(codes(&[link(100, ""), link(200, "")], ""), ["fleet-vlan n1"]);
    let peer = "M9nt4YujIOmNrRmpIRTmYSfMdrpvE7u6WkG8FY8WjG4=";
    let tunnel = |number: u32, key: &str| {
        format!(
            "network:\n  version: 2\n  tunnels:\n    wg0:\n      mode: wireguard\n      key: {key}\n      \
             addresses: [10.2.0.{number}/24]\n      \
             peers: [{{keys: {{public: {peer}}}, allowed-ips: [0.0.0.0/0]}}]\n"
        )
    };
    let key = "4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8=";
    assert_eq!(codes(&[tunnel(1, key), tunnel(2, key)], ""), ["fleet-wireguard-key n1"]);
    assert_eq!(codes(&[tunnel(1, "/etc/key"), tunnel(2, "/etc/key")], ""), Vec::<String>::new());
}

#[test]
fn overlapping_subnets_of_two_nics_of_one_node_do_not_count() {
    let net =
        |address: &str| format!("network:\n  version: 2\n  ethernets: {{a: {{addresses: [{address}]}}}}\n");
    assert_eq!(codes(&[net("10.0.0.5/16"), net("10.0.7.5/24")], ""), ["fleet-overlap n0"]);
    assert_eq!(codes(&[net("10.0.0.5/24"), net("10.0.7.5/24")], ""), Vec::<String>::new());
    let twice = "network:\n  version: 2\n  ethernets:\n    a: {addresses: [10.0.0.5/24], macaddress: '52:54:00:00:00:01'}\n    \
                 b: {addresses: [10.0.0.6/24], mtu: 9000, macaddress: '52:54:00:00:00:01'}\n";
    assert_eq!(codes(&[twice.to_owned(), net("10.0.0.9/24")], ""), Vec::<String>::new());
}
