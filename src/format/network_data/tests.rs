//! Whole documents. Plans of real ones are in testdata/network_data; these tests cover what only [`Desired`] shows.

use std::net::IpAddr;

use crate::diagnostic::Code;
use crate::format::{Parsed, parse};
use crate::model::attribute::OptionValue;
use crate::model::{DesiredMac, Dynamic, Kind, Link, NamePattern, Naming};

fn read(text: &str) -> Parsed {
    parse(vec![("network_data.json".into(), text.into())])
}

fn codes(parsed: &Parsed) -> Vec<Code> {
    parsed.diagnostics.iter().map(|d| d.code).collect()
}

fn link<'a>(parsed: &'a Parsed, id: &str) -> &'a Link {
    parsed.desired.links.iter().find(|link| link.id == id).unwrap()
}

fn routes(link: &Link) -> Vec<String> {
    let via = |via: Option<IpAddr>| via.map_or_else(String::new, |via| format!(" via {via}"));
    link.routes.iter().map(|route| format!("{}{}", route.to, via(route.via))).collect()
}

const BOND: &str = r#"{"links": [
  {"id": "nic-a", "type": "phy", "ethernet_mac_address": "52:54:00:00:0A:01", "mtu": 9000},
  {"id": "nic-b", "type": "phy", "ethernet_mac_address": "52-54-00-00-0a-02", "mtu": "9000"},
  {"id": "aggi", "type": "bond", "bond_links": ["nic-a", "nic-b"], "bond_mode": "4", "bond_miimon": "100",
   "bond_xmit_hash_policy": "", "ethernet_mac_address": "52:54:00:00:0a:03", "mtu": 9000},
  {"id": "v", "type": "vlan", "vlan_link": "aggi", "vlan_id": "101", "vlan_mac_address": null}],
 "networks": [
  {"id": "n", "link": "aggi", "type": "ipv4", "ip_address": "192.0.2.10", "netmask": "255.255.255.254",
   "routes": [{"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "192.0.2.11"}]}],
 "services": [{"type": "dns", "address": "192.0.2.53"}]}"#;

#[test]
fn a_bond_with_a_vlan_is_read_completely() {
    let parsed = read(BOND);
    assert_eq!(codes(&parsed), []);
    assert_eq!(parsed.format, "network_data.json");
    let bond = link(&parsed, "aggi");
    assert_eq!(bond.kind, Kind::Bond);
    assert_eq!(bond.settings.word("mode"), Some("802.3ad"));
    assert_eq!(bond.settings.number("miimon"), Some(100));
    assert_eq!(bond.settings.get("xmit_hash_policy"), None);
    assert!(matches!(bond.mac.unwrap().value, DesiredMac::Is(mac) if mac.to_string() == "52:54:00:00:0a:03"));
    assert_eq!(bond.mtu.unwrap().value.get(), 9000);
    assert_eq!(bond.addresses[0].net.to_string(), "192.0.2.10/31");
    assert_eq!(routes(bond), ["10.0.0.0/8 via 192.0.2.11"]);
    let vlan = link(&parsed, "v");
    assert_eq!((vlan.settings.number("id"), vlan.mac), (Some(101), None));
    assert_eq!(parsed.desired.resolver.servers[0].value.to_string(), "192.0.2.53");
    let nic = link(&parsed, "nic-b");
    assert_eq!(nic.select.mac.unwrap().value.to_string(), "52:54:00:00:0a:02");
    assert_eq!(nic.naming, Naming::Keep);
}

#[test]
fn json_and_yaml_are_the_same_document() {
    let yaml = "links:\n- {id: a, type: phy, ethernet_mac_address: '52:54:00:00:0a:01'}\nnetworks:\n- \
                {id: n, type: ipv4, link: a, ip_address: 192.0.2.1, netmask: 24}\nservices: null\n";
    let parsed = read(yaml);
    assert_eq!(codes(&parsed), []);
    assert_eq!(link(&parsed, "a").addresses[0].net.to_string(), "192.0.2.1/24");
}

#[test]
fn every_type_of_link_is_a_nic_but_those_that_are_made() {
    for word in [
        "bridge",
        "cascading",
        "dvs",
        "ethernet",
        "hw_veb",
        "hyperv",
        "ovs",
        "phy",
        "tap",
        "vhostuser",
        "vif",
        "bgpovs",
    ] {
        let parsed = read(&format!(
            r#"{{"links": [{{"id": "a", "type": "{word}", "ethernet_mac_address": "52:54:00:00:0a:01"}}]}}"#
        ));
        assert_eq!((codes(&parsed), link(&parsed, "a").kind), (vec![], Kind::Physical), "{word}");
    }
    for (written, message) in [
        (r#""type": null,"#, "the link type is null: treated as a NIC"),
        ("", "the link has no type: treated as a NIC"),
        (r#""type": "warp","#, "the link type \"warp\" is not known: treated as a NIC"),
    ] {
        let parsed = read(&format!(
            r#"{{"links": [{{"id": "a", {written} "ethernet_mac_address": "52:54:00:00:0a:01"}}]}}"#
        ));
        assert_eq!(link(&parsed, "a").kind, Kind::Physical);
        assert_eq!(parsed.diagnostics[0].message, message);
    }
}

#[test]
fn a_bridge_with_ports_is_made_and_one_without_is_novas() {
    let parsed = read(
        r#"{"links": [
      {"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:0a:01"},
      {"id": "br0", "type": "linux_bridge", "bridge_links": ["a"], "bridge_stp": "on", "bridge_fd": 2},
      {"id": "b", "type": "bridge", "ethernet_mac_address": "52:54:00:00:0a:02"},
      {"id": "br1", "type": "bridge", "bridge_interfaces": []}]}"#,
    );
    assert_eq!(codes(&parsed), []);
    let bridge = link(&parsed, "br0");
    assert_eq!((bridge.kind, bridge.members.len()), (Kind::Bridge, 1));
    assert_eq!(bridge.settings.get("stp_state"), Some(&OptionValue::Bool(true)));
    assert_eq!(bridge.settings.number("forward_delay"), Some(200));
    assert_eq!((link(&parsed, "b").kind, link(&parsed, "br1").kind), (Kind::Physical, Kind::Bridge));
}

#[test]
fn networks_left_to_others_keep_their_addresses_and_routes() {
    use Dynamic::{Dhcp4, Dhcp6, RouterAdvertisements};
    for (word, dynamic) in [
        ("ipv4_dhcp", vec![Dhcp4]),
        ("dhcp4", vec![Dhcp4]),
        ("dhcp6", vec![Dhcp6, RouterAdvertisements]),
        ("ipv6_dhcp", vec![Dhcp6, RouterAdvertisements]),
        ("ipv6_dhcpv6-stateful", vec![Dhcp6, RouterAdvertisements]),
        ("ipv6_dhcpv6-stateless", vec![RouterAdvertisements]),
        ("ipv6_slaac", vec![RouterAdvertisements]),
    ] {
        let v6 = dynamic != [Dhcp4];
        let (ip, mask, to, via) = if v6 {
            ("2001:db8::5", "64", "2001:db8:7::", "2001:db8::1")
        } else {
            ("192.0.2.5", "24", "10.0.0.0", "192.0.2.1")
        };
        let parsed = read(&format!(
            r#"{{"links": [{{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:0a:01"}}],
            "networks": [{{"id": "n", "link": "a", "type": "{word}", "ip_address": "{ip}", "netmask": "{mask}",
                "routes": [{{"network": "{to}", "netmask": "{mask}", "gateway": "{via}"}}]}}]}}"#
        ));
        let link = link(&parsed, "a");
        assert_eq!(codes(&parsed), [], "{word}");
        assert_eq!(link.dynamic.iter().map(|d| d.value).collect::<Vec<_>>(), dynamic, "{word}");
        assert_eq!(link.ipv6.accept_ra.map(|a| a.value), v6.then_some(true), "{word}");
        assert_eq!((link.addresses.len(), link.routes.len()), (1, 1), "{word}");
    }
}

#[test]
fn a_gateway_and_a_default_route_become_one_route() {
    let read = |gateway: &str| {
        let parsed = read(&format!(
            r#"{{"links": [{{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:0a:01"}}],
            "networks": [{{"id": "n", "link": "a", "type": "ipv4", "ip_address": "192.0.2.5", "netmask": "24",
                "gateway": "{gateway}",
                "routes": [{{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}}]}}]}}"#
        ));
        (routes(link(&parsed, "a")), codes(&parsed))
    };
    let one = vec!["0.0.0.0/0 via 192.0.2.1".to_owned()];
    assert_eq!(read("192.0.2.1"), (one.clone(), vec![Code::RepeatedRoute]));
    assert_eq!(read("192.0.2.2"), (one, vec![Code::TwoDefaultRoutes]));
    assert_eq!(read("").1, []);
}

#[test]
fn a_network_finds_its_link_by_name_by_machine_name_or_by_being_the_only_one() {
    let read = |network_link: &str, links: &str| {
        let parsed = read(&format!(
            r#"{{"links": [{links}], "networks": [{{"id": "n", {network_link} "type": "ipv4",
             "ip_address": "192.0.2.5", "netmask": "24"}}]}}"#
        ));
        let with_address = parsed.desired.links.iter().find(|l| !l.addresses.is_empty());
        (with_address.map(|l| l.id.clone()), codes(&parsed))
    };
    let nic = r#"{"id": "a", "type": "phy", "name": "mgmt0", "ethernet_mac_address": "52:54:00:00:0a:01"}"#;
    let bond = r#"{"id": "bond0", "type": "bond", "bond_mode": "802.3ad", "bond_links": ["eno1", "eno2"]}"#;
    assert_eq!(read(r#""link": "mgmt0","#, nic), (Some("a".into()), vec![Code::ReferenceByName]));
    assert_eq!(read(r#""link": "enp7s0","#, nic), (Some("enp7s0".into()), vec![Code::ImpliedLink]));
    assert_eq!(read("", nic), (Some("a".into()), vec![Code::AssumedLink]));
    assert_eq!(read("", ""), (None, vec![Code::NoLinkForNetwork, Code::NothingUsable]));
    let (link, diags) = read("", bond);
    assert_eq!(link.as_deref(), Some("bond0"));
    assert_eq!(diags, [Code::ImpliedLink, Code::ImpliedLink, Code::AssumedLink]);
    assert_eq!(read("", &format!("{nic}, {bond}")).0, None);
}

#[test]
fn a_nic_without_a_mac_is_the_interface_of_its_id() {
    let parsed = read(
        r#"{"links": [{"id": "eno1", "type": "phy"},
            {"id": "port-of-a-long-name", "type": "phy", "ethernet_mac_address": ""},
            {"id": "eno3", "type": "phy", "ethernet_mac_address": "52:54:00"}]}"#,
    );
    assert_eq!(codes(&parsed), [Code::NoMac, Code::MissingKey, Code::BadValue]);
    assert_eq!(parsed.desired.links.len(), 1);
    let name = parsed.desired.links[0].select.name.as_ref().unwrap();
    assert_eq!(name.value, NamePattern::Exact("eno1".into()));
}

#[test]
fn links_above_a_lost_link_are_lost_too() {
    let parsed = read(
        r#"{"links": [
          {"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:0a:0x"},
          {"id": "b", "type": "phy", "ethernet_mac_address": "52:54:00:00:0a:02"},
          {"id": "bond0", "type": "bond", "bond_mode": "active-backup", "bond_miimon": 100, "bond_links": ["a", "b"]},
          {"id": "v1", "type": "vlan", "vlan_link": "bond0", "vlan_id": 4095},
          {"id": "v2", "type": "vlan", "vlan_link": "v1", "vlan_id": 7},
          {"id": "v3", "type": "vlan", "vlan_link": "bond0", "vlan_id": 8}],
         "networks": [{"id": "n", "link": "v2", "type": "ipv4", "ip_address": "192.0.2.5", "netmask": "24"}]}"#,
    );
    let ids: Vec<&str> = parsed.desired.links.iter().map(|l| l.id.as_str()).collect();
    assert_eq!(ids, ["b", "bond0", "v3"]);
    assert_eq!(link(&parsed, "bond0").members.len(), 1);
    let messages: Vec<&str> = parsed.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "ethernet_mac_address \"52:54:00:00:0a:0x\": not a MAC address (six pairs of hex digits, joined by ':')",
            "bond \"bond0\" is created without \"a\", which was left out",
            "vlan_id \"4095\": expected a number from 0 to 4094",
            "VLAN \"v2\" was left out with \"v1\"",
            "network \"n\" was left out with its link \"v2\""
        ]
    );
}

#[test]
fn unknown_keys_and_values_have_hints() {
    let parsed = read(
        r#"{"links": [{"id": "a", "type": "phy", "ethernet_mac_addres": "x", "ethernet_mac_address": "52:54:00:00:0a:01"},
          {"id": "bond0", "type": "bond", "bond-mode": "lacp", "bond_mimon": 100, "bond_links": ["a"]}],
          "networks": [{"id": "n", "link": "bond0", "type": "ipv4_static", "ip_address": "192.0.2.5", "netmask": "24"},
          {"id": "m", "link": "a", "type": "wireless"}, {"id": "o", "link": "a", "type": "ipv4"}]}"#,
    );
    let diags: Vec<String> = parsed
        .diagnostics
        .iter()
        .map(|d| format!("{}: {} ({})", d.severity, d.message, d.hint.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(
        diags,
        [
            "warning: unknown key \"ethernet_mac_addres\" in links[] (NIC), ignored (did you mean \"ethernet_mac_address\"?)",
            "warning: bond \"bond0\" would not notice a lost link: using miimon 100 (set miimon, or arp_interval and arp_ip_target)",
            "error: bond-mode \"lacp\": expected one of balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb; using the kernel's default, balance-rr (did you mean \"802.3ad\"?)",
            "warning: unknown key \"bond_mimon\" in links[] (bond), ignored (did you mean \"bond_miimon\"?)",
            "warning: network \"n\" has the unknown type \"ipv4_static\": its address is used as a static one (write ipv4, ipv6, ipv4_dhcp, ipv6_dhcp or ipv6_slaac)",
            "error: network \"m\" has the unknown type \"wireless\": it was left out (write ipv4, ipv6, ipv4_dhcp, ipv6_dhcp or ipv6_slaac)",
            "error: network \"o\" has no ip_address: it was left out (add ip_address and netmask, or make it a DHCP network)",
        ],
    );
}
