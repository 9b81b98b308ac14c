//! netplan's rules one by one. testdata/netplan covers all keys.

mod anything;

use super::*;
use crate::format::tree;
use crate::model::attribute::OptionValue;
use crate::model::{Activation, AddressGeneration, DhcpOptions, Dynamic, Match, NamePattern};

/// Reads documents as files to be merged.
fn files(texts: &[&str]) -> (Desired, Vec<String>) {
    let mut diags = Vec::new();
    let trees: Vec<tree::Tree> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| tree::read(text, i as u16).expect("the test's own text"))
        .collect();
    let duplicates: Vec<Duplicate> = trees.iter().flat_map(|tree| tree.duplicates.clone()).collect();
    let roots: Vec<&Node> = trees.iter().map(|tree| &tree.root).collect();
    let desired = read(&roots, &duplicates, &mut diags);
    (desired, diags.iter().map(|d| format!("{} {}: {}", d.severity, d.code, d.message)).collect())
}

fn one(text: &str) -> (Desired, Vec<String>) {
    files(&[text])
}

/// The only link of an ethernet's keys.
fn nic(keys: &str) -> (Link, Vec<String>) {
    let (desired, diags) = one(&format!("version: 2\nethernets: {{eth0: {{{keys}}}}}\n"));
    (desired.links.into_iter().next().expect("a link"), diags)
}

fn link<'a>(desired: &'a Desired, id: &str) -> &'a Link {
    desired.links.iter().find(|l| l.id == id).expect("a link of this id")
}

fn setting<'a>(link: &'a Link, name: &str) -> Option<&'a OptionValue> {
    link.settings.get(name)
}

#[test]
fn a_match_selects_and_without_one_the_id_is_the_name() {
    let (link, diags) = nic("");
    assert_eq!(link.select.name.unwrap().value, NamePattern::Exact("eth0".into()));
    assert!(!link.select.many && diags.is_empty());
    let (link, diags) = nic("match: {name: 'en*', macaddress: '52:54:00:AB:cd:ef', driver: [ixgbe, 'mlx*']}");
    assert_eq!(link.select.name.unwrap().value, NamePattern::Glob("en*".into()));
    assert_eq!(link.select.mac.unwrap().value.to_string(), "52:54:00:ab:cd:ef");
    assert_eq!(link.select.drivers.iter().map(|d| d.value.as_str()).collect::<Vec<_>>(), ["ixgbe", "mlx*"]);
    assert!(link.select.many && diags.is_empty());
    let (link, diags) = nic("match: {}");
    assert_eq!(link.select, Match { many: true, ..Match::default() });
    assert!(diags.is_empty());
}

#[test]
fn a_match_that_cannot_be_read_fits_nothing() {
    for (wrong, expected) in [
        ("{driver: 'a b'}", "error bad-value: driver \"a b\": a driver's name has no spaces"),
        (
            "{name: 'a b'}",
            "error bad-name: name \"a b\": no interface has a space in its name, so none matches",
        ),
        ("{name: [a]}", "error wrong-shape: name should be a single value, not a list"),
        ("x", "error wrong-shape: match should be a mapping, not a single value"),
    ] {
        let (desired, diags) = one(&format!("version: 2\nethernets: {{eth0: {{match: {wrong}}}}}\n"));
        assert!(desired.links.is_empty(), "{wrong}");
        assert_eq!(diags.first().map(String::as_str), Some(expected), "{wrong}");
    }
}

#[test]
fn set_name_needs_a_match() {
    let (link, _) = nic("match: {name: x}, set-name: lan0");
    assert!(matches!(link.naming, Naming::Set(name) if name.value.as_str() == "lan0"));
    let (link, diags) = nic("set-name: lan0");
    assert_eq!(link.naming, Naming::Keep);
    assert_eq!(diags, ["error missing-key: \"eth0\" has set-name and no match, so it keeps its name"]);
}

#[test]
fn addresses_want_a_prefix_length() {
    let (link, diags) = nic("addresses: [192.0.2.1/24, '2001:db8::1/64', 198.51.100.1, 203.0.113.1/0]");
    let nets: Vec<String> = link.addresses.iter().map(|a| a.net.to_string()).collect();
    assert_eq!(nets, ["192.0.2.1/24", "2001:db8::1/64", "198.51.100.1/24"]);
    assert_eq!(
        diags,
        [
            "error assumed-prefix: address 198.51.100.1 has no prefix length or netmask: /24 was assumed",
            "error bad-netmask: address \"203.0.113.1/0\": the prefix length is 0, left out"
        ]
    );
    let (link, diags) =
        nic("addresses: [{192.0.2.1/24: {lifetime: 0, label: 'eth0:a'}}, {'::2/64': {label: x}}]");
    assert_eq!(link.addresses[0].preferred, Some(0));
    assert_eq!(link.addresses[0].label.as_deref(), Some("eth0:a"));
    assert_eq!(diags, ["note no-effect: the label of ::2/64 has no effect: only IPv4 has labels"]);
    let (_, diags) = nic("addresses: [{192.0.2.1/24: {lifetime: 5, label: much-too-long-for-one}}]");
    assert_eq!(diags.len(), 2);
}

#[test]
fn times_have_the_units_of_their_keys() {
    let (desired, diags) = one("
network:
  bonds:
    b0: {parameters: {mode: active-backup, mii-monitor-interval: 100, up-delay: 1s, down-delay: '0'}}
    b1: {parameters: {mode: balance-alb, learn-packet-interval: 2, mii-monitor-interval: 1min}}
    b2: {parameters: {mode: active-backup, arp-interval: 15x}}
  bridges:
    br0: {parameters: {ageing-time: 0, forward-delay: 4, hello-time: 1500ms, max-age: 0}}
    br1: {parameters: {hello-time: 20, forward-delay: 1, stp: false}}
");
    let get = |id: &str, name: &str| link(&desired, id).settings.number(name);
    assert_eq!(get("b0", "miimon"), Some(100));
    assert_eq!(get("b0", "updelay"), Some(1000));
    assert_eq!(get("b0", "downdelay"), None);
    assert_eq!(get("b1", "lp_interval"), Some(2));
    assert_eq!(get("b1", "miimon"), Some(60_000));
    assert_eq!(get("br0", "ageing_time"), Some(0));
    assert_eq!(get("br0", "forward_delay"), Some(400));
    assert_eq!(get("br0", "hello_time"), Some(150));
    assert_eq!(get("br0", "max_age"), None);
    assert_eq!(setting(link(&desired, "br0"), "stp_state"), Some(&OptionValue::Bool(true)));
    assert_eq!(setting(link(&desired, "br1"), "stp_state"), Some(&OptionValue::Bool(false)));
    assert_eq!(get("br1", "forward_delay"), Some(100));
    assert_eq!(
        diags,
        [
            "error bad-unit: arp-interval \"15x\": not a time",
            "note no-effect: max-age 0 counts as not set, as in netplan: the kernel's default stays"
        ]
    );
}

#[test]
fn the_spanning_tree_is_on_only_with_parameters() {
    let (desired, _) = one("bridges: {br0: {}, br1: {parameters: {}}}");
    assert_eq!(setting(link(&desired, "br0"), "stp_state"), None);
    assert_eq!(setting(link(&desired, "br1"), "stp_state"), Some(&OptionValue::Bool(true)));
}

#[test]
fn routes_with_their_rules() {
    let (link, diags) = nic("routes: [
      {to: default, via: 192.0.2.254, metric: 0},
      {to: default, via: 'fe80::1', on-link: true},
      {to: 198.51.100.7, via: 192.0.2.253, from: 192.0.2.1, table: 100, mtu: 1400, advertised-mss: 1360,
       congestion-window: 20, advertised-receive-window: 30},
      {to: 10.0.0.0/8, type: blackhole},
      {to: 10.1.0.0/16, scope: link},
      {to: 10.2.0.1/32, type: local}]");
    assert!(diags.is_empty(), "{diags:?}");
    let texts: Vec<String> = link.routes.iter().map(|r| r.to.to_string()).collect();
    assert_eq!(texts, ["0.0.0.0/0", "::/0", "198.51.100.7/32", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.1/32"]);
    assert_eq!(link.routes[0].metric, Some(0));
    assert!(link.routes[1].on_link);
    assert_eq!(link.routes[2].receive_window, Some(30));
    assert_eq!(link.routes[5].table, Some(255));

    for (route, expected) in [
        ("{via: 192.0.2.1}", "error missing-key: the route has no destination, left out"),
        (
            "{to: 10.0.0.0/8, via: 'fe80::1'}",
            "error mixed-families: the route mixes IPv4 (to 10.0.0.0/8) and IPv6 (via fe80::1), left out",
        ),
        (
            "{to: 10.0.0.0/8, scope: global}",
            "error bad-gateway: the route to 10.0.0.0/8 has global scope and no gateway, left out",
        ),
        (
            "{to: 10.0.0.0/8, type: nat}",
            "error unsupported: the kernel has no routes of type nat any more, left out",
        ),
        (
            "{to: 10.0.0.0/8, type: black}",
            "error bad-value: type \"black\": expected one of unicast, local, broadcast, anycast, multicast, blackhole, \
             unreachable, prohibit, throw",
        ),
        ("{to: 10.0.0.0/8, via: gateway}", "error bad-address: via \"gateway\": not an IP address"),
        ("{to: nowhere, via: 192.0.2.1}", "error bad-address: to \"nowhere\": not an IP address"),
    ] {
        let (link, diags) = nic(&format!("routes: [{route}]"));
        assert!(link.routes.is_empty(), "{route}");
        assert_eq!(diags, [expected], "{route}");
    }
}

#[test]
fn rules_need_a_side_of_one_family() {
    let (link, diags) = nic("routing-policy: [
      {from: 192.0.2.0/24, to: 198.51.100.1, table: 100, priority: 5, mark: 7, type-of-service: 16},
      {to: '2001:db8::/32'}]");
    assert!(diags.is_empty());
    let rule = &link.rules[0];
    assert_eq!((rule.table, rule.priority, rule.mark, rule.tos), (100, Some(5), Some(7), Some(16)));
    assert_eq!(rule.to.unwrap().to_string(), "198.51.100.1/32");
    assert_eq!((link.rules[1].table, link.rules[1].priority), (254, None));
    for (rule, expected) in [
        ("{table: 5}", "error missing-key: the rule has neither from nor to, left out"),
        (
            "{from: 192.0.2.0/24, to: '2001:db8::/32'}",
            "error mixed-families: the rule mixes IPv4 (from 192.0.2.0/24) and IPv6 (to 2001:db8::), left out",
        ),
    ] {
        let (link, diags) = nic(&format!("routing-policy: [{rule}]"));
        assert!(link.rules.is_empty());
        assert_eq!(diags, [expected]);
    }
    let (_, diags) = nic("routing-policy: [{from: 192.0.2.0/24, type-of-service: 256}]");
    assert_eq!(diags, ["error bad-value: type-of-service \"256\": expected a number from 0 to 255"]);
}

#[test]
fn a_vrf_forces_its_table() {
    let (desired, diags) = one("
vrfs:
  v:
    table: 1000
    interfaces: [eth0]
    routes: [{to: default, via: 192.0.2.1}, {to: 10.0.0.0/8, via: 192.0.2.1, table: 5}]
    routing-policy: [{from: 192.0.2.0/24}]
  w: {interfaces: []}
ethernets: {eth0: {}}
");
    let vrf = link(&desired, "v");
    assert!(vrf.routes.iter().all(|r| r.table == Some(1000)) && vrf.rules[0].table == 1000);
    assert_eq!(
        diags,
        [
            "error option-conflict: a route of VRF \"v\" names table 5: using the VRF's table, 1000",
            "error missing-key: VRF \"w\" has no table"
        ]
    );
}

#[test]
fn ipv6_behaviour() {
    let (link, diags) = nic("accept-ra: no, ipv6-privacy: yes, ipv6-mtu: 1400, link-local: []");
    assert_eq!(link.ipv6.accept_ra.map(|v| v.value), Some(false));
    assert_eq!(link.ipv6.privacy.map(|v| v.value), Some(true));
    assert_eq!(link.ipv6.mtu.map(|v| v.value), Some(1400));
    assert_eq!(link.ipv6.generation.map(|v| v.value), Some(AddressGeneration::None));
    assert!(diags.is_empty());
    let (link, diags) =
        nic("ipv6-address-token: '::2', ipv6-address-generation: eui64, link-local: [ipv4, ipv6]");
    assert_eq!((link.ipv6.generation, link.ipv6.token.unwrap().value), (None, "::2".parse().unwrap()));
    assert_eq!(
        diags,
        [
            "error option-conflict: ipv6-address-generation and ipv6-address-token exclude each other: using the token",
            "warning left-to-others: link-local ipv4 is left to the image: a daemon must claim such an address"
        ]
    );
    let (_, diags) =
        nic("ipv6-address-token: '2001:db8::2', ipv6-mtu: 1000, ipv6-address-generation: random");
    assert_eq!(diags.len(), 3);
}

#[test]
fn activation_and_dhcp() {
    let (link, diags) = nic("activation-mode: manual, dhcp4: true, dhcp6: false");
    assert_eq!((link.activation, link.optional), (Activation::Manual, true));
    assert_eq!(link.dynamic.iter().map(|d| d.value).collect::<Vec<_>>(), [Dynamic::Dhcp4]);
    assert_eq!(
        diags,
        [
            "note left-to-others: \"eth0\" asks for DHCP: a client of the image does, or netapply where none is enabled"
        ]
    );
    let (link, _) = nic("dhcp4: true");
    assert_eq!(link.dhcp4, DhcpOptions { use_domains: false, ..DhcpOptions::default() }, "as networkd");
    let (link, diags) = nic(
        "dhcp4: true, dhcp-identifier: DUID, dhcp4-overrides: {use-dns: no, use-mtu: off, use-routes: false, \
         use-domains: yes, use-hostname: no, use-ntp: no, send-hostname: no, hostname: n1, route-metric: 50}",
    );
    let all_but = DhcpOptions {
        duid: true,
        host_name: Some("n1".to_owned()),
        send_host_name: false,
        use_name_servers: false,
        use_mtu: false,
        use_routes: false,
        use_host_name: false,
        use_time_servers: false,
        metric: Some(50),
        ..DhcpOptions::default()
    };
    assert_eq!((link.dhcp4, diags.len()), (all_but, 1), "{diags:?}");
    let (_, diags) =
        nic("dhcp4: yes, dhcp6: yes, dhcp4-overrides: {use-dns: no}, dhcp6-overrides: {use-ntp: on}");
    assert!(diags.contains(
        &"error option-conflict: use-dns differs between dhcp4-overrides and dhcp6-overrides".to_owned()
    ));
    assert_eq!(diags.iter().filter(|s| s.contains("option-conflict")).count(), 1);
}

#[test]
fn scalars_are_strings_and_booleans_have_many_spellings() {
    let (link, diags) = nic("mtu: '1400', optional: YES, ignore-carrier: on, wakeonlan: 'true'");
    assert_eq!(link.mtu.unwrap().value.get(), 1400);
    assert!(link.optional && link.ignore_carrier && link.wake_on_lan.unwrap().value && diags.is_empty());
}

#[test]
fn several_files_merge() {
    let (desired, diags) = files(&[
        "network: {version: 2, ethernets: {eth0: {mtu: 1500, addresses: [192.0.2.1/24], link-local: [ipv6]}}}",
        "ethernets: {eth0: {mtu: 9000, addresses: [192.0.2.1/24, 192.0.2.2/24], link-local: []}, eth1: {}}",
        "network: {bonds: {b: {interfaces: [eth1], parameters: {mode: 802.3ad}}}}",
        "network: {bonds: {b: {parameters: {lacp-rate: fast}}}}",
    ]);
    assert!(diags.is_empty(), "{diags:?}");
    let eth0 = link(&desired, "eth0");
    let mtu = eth0.mtu.unwrap();
    assert_eq!((mtu.value.get(), mtu.at.file), (9000, 1));
    assert_eq!(eth0.addresses.len(), 2);
    assert_eq!(eth0.ipv6.generation.unwrap().value, AddressGeneration::None);
    let bond = link(&desired, "b");
    assert_eq!(
        (bond.settings.word("mode"), bond.settings.word("lacp_rate")),
        (Some("802.3ad"), Some("fast"))
    );
    assert_eq!(desired.links.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["eth0", "eth1", "b"]);
}

#[test]
fn tunnels_by_mode() {
    let (desired, diags) = one("
tunnels:
  a: {mode: gre, local: 192.0.2.1, remote: 192.0.2.2, keys: {input: 1, output: 0.0.1.0}, ttl: 64}
  b: {mode: ip6ip6, local: '2001:db8::1', remote: '2001:db8::2'}
  c: {mode: vti6, local: '2001:db8::1', remote: '2001:db8::2', key: 5, ttl: 3}
  d: {mode: vxlan, id: 7, remote: 239.0.0.1, link: eth0, port-range: [9, 5], checksums: [udp], notifications: [l3-miss]}
  e: {mode: sit, local: 192.0.2.1, remote: 192.0.2.2, key: 5}
ethernets: {eth0: {}}
");
    let get = |id: &str, name: &str| setting(link(&desired, id), name).cloned();
    assert_eq!(get("a", "okey"), Some(OptionValue::Number(256)));
    assert_eq!(get("a", "ttl"), Some(OptionValue::Number(64)));
    assert_eq!(get("b", "mode"), Some(OptionValue::Text("ip6ip6".into())));
    assert_eq!(
        (get("b", "hoplimit"), get("b", "encaplimit")),
        (Some(OptionValue::Number(64)), Some(OptionValue::Number(4)))
    );
    assert_eq!(get("e", "mode"), Some(OptionValue::Text("ip6ip".into())));
    assert_eq!(get("c", "ikey"), Some(OptionValue::Number(5)));
    assert_eq!(get("d", "srcport"), Some(OptionValue::Range(5, 9)));
    assert_eq!(get("d", "remote"), Some(OptionValue::Ip("239.0.0.1".parse().unwrap())));
    assert_eq!(get("d", "l3miss"), Some(OptionValue::Bool(true)));
    assert_eq!(link(&desired, "d").parent.as_ref().unwrap().value, "eth0");
    assert_eq!(
        diags,
        [
            "warning option-ignored: ttl has no effect on IPv6 VTI tunnel \"c\", which has no such option",
            "warning bad-value: port-range [9, 5] is read as [5, 9]",
            "warning option-ignored: key has no effect on SIT tunnel \"e\", which has no such option",
        ]
    );
    for (tunnel, expected) in [
        ("local: 192.0.2.1", "error missing-key: tunnel \"t\" has no mode"),
        ("mode: gre, local: 192.0.2.1", "error missing-key: GRE tunnel \"t\" has no remote address"),
        (
            "mode: gre, local: '2001:db8::1', remote: 192.0.2.1",
            "error mixed-families: local 2001:db8::1 of GRE tunnel \"t\" should be an IPv4 address",
        ),
        ("mode: isatap", "error unsupported: mode \"isatap\": only NetworkManager makes these tunnels"),
        ("mode: vxlan", "error missing-key: VXLAN \"t\" has no usable id"),
        (
            "mode: vxlan, id: 1, local: 192.0.2.1, remote: 'ff02::1'",
            "error mixed-families: local 192.0.2.1 and remote ff02::1 are of two families",
        ),
    ] {
        let (desired, diags) = one(&format!("tunnels: {{t: {{{tunnel}}}}}"));
        assert!(desired.links.is_empty(), "{tunnel}");
        assert_eq!(diags, [expected], "{tunnel}");
    }
}

#[test]
fn wireguard_keys_are_never_printed() {
    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    let (desired, diags) = one(&format!("
tunnels:
  w:
    mode: wireguard
    key: {KEY}
    port: 51820
    mark: 42
    peers:
      - {{keys: {{public: {KEY}, shared: /run/shared}}, allowed-ips: [0.0.0.0/0], keepalive: 25, endpoint: '192.0.2.1:1'}}
      - {{keys: {{public: {KEY}}}, allowed-ips: ['2001:db8::/32'], endpoint: 'vpn.example:1'}}
      - {{keys: {{public: short}}, allowed-ips: [10.0.0.0/8]}}
"));
    let wireguard = link(&desired, "w").wireguard.as_ref().unwrap();
    assert_eq!((wireguard.listen_port, wireguard.mark, wireguard.peers.len()), (Some(51820), Some(42), 2));
    assert_eq!(wireguard.peers[0].endpoint.unwrap().value, ("192.0.2.1".parse().unwrap(), 1));
    assert_eq!(
        diags,
        [
            "warning unsupported: endpoint vpn.example:1: names cannot be resolved before the network is up",
            "error bad-value: the public key is not a WireGuard key"
        ]
    );
    let (desired, diags) = one(&format!("tunnels: {{w: {{mode: wireguard, key: 'x{KEY}'}}}}"));
    assert!(desired.links.is_empty());
    assert!(diags.iter().all(|s| !s.contains("Anz5")), "{diags:?}");
}

#[test]
fn bridges_report_for_their_ports() {
    let (desired, diags) = one("
ethernets: {eth0: {hairpin: true, port-mac-learning: no}, eth1: {neigh-suppress: true}}
bridges:
  br0: {interfaces: [eth0], parameters: {path-cost: {eth0: 5, eth1: 6}, port-priority: {eth0: 63, eth9: 1}}}
");
    let port = &link(&desired, "eth0").port;
    assert_eq!((port.number("cost"), port.number("priority")), (Some(5), Some(63)));
    assert_eq!(
        (port.get("hairpin"), port.get("learning")),
        (Some(&OptionValue::Bool(true)), Some(&OptionValue::Bool(false)))
    );
    assert_eq!(
        diags,
        [
            "warning option-ignored: neigh-suppress has no effect: \"eth1\" is in no bridge",
            "warning option-ignored: path-cost names \"eth1\", which is not a member of \"br0\"",
            "error dangling-reference: port-priority names \"eth9\", which is not a member of \"br0\"",
        ]
    );
}

#[test]
fn veth_pairs_name_each_other() {
    let (desired, diags) =
        one("virtual-ethernets: {a: {peer: b}, b: {peer: a}, c: {peer: a}, d: {peer: d}, e: {}}");
    assert_eq!(desired.links.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        diags,
        [
            "error bad-member: the peer \"a\" of veth \"c\" names another peer",
            "error bad-member: the peer \"d\" of veth \"d\" is itself",
            "error missing-key: veth \"e\" has no peer"
        ]
    );
}

#[test]
fn refused_links_cost_the_links_above_them() {
    let (desired, diags) = one("
wifis: {wlan0: {access-points: {x: {}}}}
vlans: {v: {id: 5, link: wlan0}, w: {id: 6, link: v}, bad: {id: 4095, link: eth0}, s: {id: 3, link: eth0, renderer: sriov}}
bonds: {b: {interfaces: [wlan0, eth0], parameters: {mode: 802.3ad}}, o: {openvswitch: {}, interfaces: [eth1]}}
ethernets: {eth0: {}, eth1: {}, 'a b': {}, 'x*': {}}
");
    assert_eq!(desired.links.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["b", "eth0", "eth1"]);
    assert_eq!(
        diags,
        [
            "error unsupported: \"wifis\" is not supported: Wi-Fi needs a supplicant, which an early boot does not have",
            "error bad-value: id \"4095\": expected a number from 0 to 4094",
            "note no-effect: \"renderer\" has no effect here: netapply configures the kernel itself",
            "note left-to-others: VLAN \"s\" is a filter in an SR-IOV NIC, left to netplan's SR-IOV tools",
            "error unsupported: \"openvswitch\" is not supported: Open vSwitch needs its daemons and database",
            "error bad-name: \"a b\" is not an id",
            "error bad-name: \"x*\" is not an id",
            "error left-out: \"v\" is left out: its link \"wlan0\" is",
            "error left-out: \"w\" is left out: its link \"v\" is",
            "error left-out: bond \"b\" is created without \"wlan0\", which was left out",
        ]
    );
}

#[test]
fn made_links_are_called_by_their_id() {
    let (desired, diags) = one("bridges: {br0: {}, a-very-long-bridge: {}}");
    assert!(matches!(&link(&desired, "br0").naming, Naming::Set(name) if name.value.as_str() == "br0"));
    assert_eq!(link(&desired, "a-very-long-bridge").naming, Naming::Generate);
    assert_eq!(diags.len(), 1);
}

#[test]
fn mac_addresses_and_their_words() {
    for (text, is_set) in
        [("permanent", true), ("random", true), ("stable", false), ("'52:54:00:ab:cd:ef'", true)]
    {
        let (link, diags) = nic(&format!("macaddress: {text}"));
        assert_eq!((link.mac.is_some(), diags.is_empty()), (is_set, is_set), "{text}");
    }
}
