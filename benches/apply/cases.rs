//! The benchmarked networks, each as a description, and how it is removed again.

use std::fmt::Write as _;

/// A network to be made.
pub(crate) struct Case {
    /// For tables and for `--inside`.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) title: &'static str,
    /// The description's file name: its extension says how it is read.
    pub(crate) file: &'static str,
    pub(crate) text: fn() -> String,
    /// Commands of ip(8) that undo it; some may find nothing to undo.
    pub(crate) undo: &'static [&'static str],
}

/// The MAC addresses of the guest's two NICs.
pub(crate) const NICS: [&str; 2] = ["7c:c2:55:6e:90:44", "7c:c2:55:6e:90:45"];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "a",
        title: "two NICs in an LACP bond, an address, a route",
        file: "network_data.json",
        text: bond,
        undo: &["link del aggi", "link set eth0 down mtu 1500", "link set eth1 down mtu 1500"],
    },
    Case {
        name: "b",
        title: "1,000 VLANs on a bond, an address on each, 1,000 routes",
        file: "network_data.json",
        text: vlans,
        undo: &["link del trunk", "link set eth0 down", "link set eth1 down"],
    },
    Case {
        name: "c",
        title: "a bridge, 1,000 addresses, 10,000 routes, 500 rules",
        file: "netplan.yaml",
        text: || bridge(10_000),
        undo: &["link del br0", "rule flush protocol static"],
    },
    Case {
        name: "c-1000",
        title: "the same with 1,000 routes",
        file: "netplan.yaml",
        text: || bridge(1_000),
        undo: &["link del br0", "rule flush protocol static"],
    },
];

fn bond() -> String {
    let [first, second] = NICS;
    format!(
        r#"{{"links": [
  {{"id": "private-int1", "type": "phy", "ethernet_mac_address": "{first}", "mtu": 9000}},
  {{"id": "private-int2", "type": "phy", "ethernet_mac_address": "{second}", "mtu": 9000}},
  {{"id": "aggi", "type": "bond", "bond_links": ["private-int1", "private-int2"], "bond_mode": "802.3ad", "mtu": 9000}}],
 "networks": [
  {{"id": "private_network", "link": "aggi", "type": "ipv4", "ip_address": "10.158.175.249", "netmask": "255.255.255.254",
   "routes": [{{"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "10.158.175.248"}}]}}]}}
"#
    )
}

fn vlans() -> String {
    let [first, second] = NICS;
    // A guest's NICs: software ones have no permanent MAC address by which they could be found in a bond.
    let mut links = format!(
        r#"  {{"id": "nic0", "type": "phy", "ethernet_mac_address": "{first}"}},
  {{"id": "nic1", "type": "phy", "ethernet_mac_address": "{second}"}},
  {{"id": "trunk", "type": "bond", "bond_links": ["nic0", "nic1"], "bond_mode": "active-backup", "bond_miimon": 100}}"#
    );
    let mut networks = String::new();
    for number in 0..1000 {
        let (vid, high, low) = (number + 2, number / 250, number % 250);
        let _ = write!(
            links,
            ",\n  {{\"id\": \"v{vid}\", \"type\": \"vlan\", \"vlan_link\": \"trunk\", \"vlan_id\": {vid}}}"
        );
        let comma = if number == 0 { "" } else { ",\n" };
        let _ = write!(
            networks,
            r#"{comma}  {{"id": "n{vid}", "link": "v{vid}", "type": "ipv4", "ip_address": "10.{high}.{low}.2", "netmask": "255.255.255.0",
   "routes": [{{"network": "172.{}.{low}.0", "netmask": "255.255.255.0", "gateway": "10.{high}.{low}.1"}}]}}"#,
            16 + high
        );
    }
    format!("{{\"links\": [\n{links}],\n \"networks\": [\n{networks}]}}\n")
}

fn bridge(routes: usize) -> String {
    let mut text = String::from("network:\n  version: 2\n  bridges:\n    br0:\n      addresses:\n");
    for number in 0..1000 {
        let _ = writeln!(text, "        - 10.{}.{}.1/24", number / 250, number % 250);
    }
    text += "      routes:\n";
    for number in 0..routes {
        let (high, middle, low) = (16 + number / 2500, number / 10 % 250, number % 10 * 16);
        let _ = writeln!(text, "        - to: 172.{high}.{middle}.{low}/28\n          via: 10.0.0.2");
    }
    text += "      routing-policy:\n";
    for number in 0..500 {
        let (high, low, table) = (number / 250, number % 250, 1000 + number % 7);
        let _ = writeln!(
            text,
            "        - from: 10.{high}.{low}.0/24\n          table: {table}\n          priority: {}",
            1000 + number
        );
    }
    text
}
