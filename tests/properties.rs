//! What network_data can express is read back unchanged. Robustness against any input is tested in any_text.rs.

use std::fmt::Write as _;

use netapply::diagnostic::Severity;
use netapply::format::{Parsed, parse};
use netapply::model::attribute::{self, OptionValue};
use netapply::model::{Desired, DesiredMac, Kind, Link, Naming};
use proptest::prelude::*;

fn read(text: String) -> Parsed {
    parse(vec![("text".into(), text)])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn network_data_round_trips(machine in machine()) {
        let text = machine.to_network_data();
        let parsed = read(text.clone());
        let errors: Vec<_> = parsed.diagnostics.iter().filter(|d| d.severity != Severity::Note).collect();
        prop_assert!(errors.is_empty(), "{errors:?}\n{text}");
        prop_assert_eq!(told(&parsed.desired), machine.told(), "{}", text);
    }
}

/// A machine as network_data can describe it.
#[derive(Clone, Debug)]
struct Machine {
    nics: Vec<Nic>,
    /// The first NICs are members of a bond in this mode, by its number, with these options.
    bond: Option<(u8, Vec<(&'static str, i64)>)>,
    /// VLAN ids on the bond, or on the first NIC.
    vlans: Vec<u16>,
    /// Which link (modulo their number), prefix length of an IPv4 and an IPv6 address, and whether it has routes.
    networks: Vec<(usize, u8, u8, bool)>,
    /// Last byte of the servers.
    dns: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Nic {
    mtu: Option<u32>,
    named: bool,
}

fn machine() -> impl Strategy<Value = Machine> {
    let nic = (prop::option::of(1280..9000u32), any::<bool>()).prop_map(|(mtu, named)| Nic { mtu, named });
    let options = prop::collection::vec(
        prop::sample::select(vec![
            ("updelay", 200),
            ("downdelay", 400),
            ("min_links", 1),
            ("resend_igmp", 3),
            ("num_grat_arp", 2),
            ("all_slaves_active", 1),
        ]),
        0..4,
    );
    // active-backup, balance-xor and 802.3ad have all of these options.
    let bond = prop::option::of((prop::sample::select(vec![1u8, 2, 4]), options));
    let vlans = prop::collection::btree_set(1..4095u16, 0..4).prop_map(|ids| ids.into_iter().collect());
    let networks = prop::collection::vec((0..8usize, 8..31u8, 32..128u8, any::<bool>()), 0..4);
    let dns = prop::collection::btree_set(1..250u8, 0..3).prop_map(|bytes| bytes.into_iter().collect());
    (prop::collection::vec(nic, 2..5), bond, vlans, networks, dns).prop_map(
        |(mut nics, bond, vlans, networks, dns)| {
            if bond.is_some() {
                // Members get their bond's MTU, which would be reported.
                nics.iter_mut().take(2).for_each(|nic| nic.mtu = None);
            }
            Machine { nics, bond, vlans, networks, dns }
        },
    )
}

impl Machine {
    fn mac(i: usize) -> String {
        format!("52:54:00:aa:00:{i:02x}")
    }

    /// Ids of the links that may have networks: all but the bond's members.
    fn ids(&self) -> Vec<String> {
        let members = if self.bond.is_some() { 2 } else { 0 };
        let nics = (members..self.nics.len()).map(|i| format!("nic-{i}"));
        let bond = self.bond.iter().map(|_| "bond7".to_owned());
        nics.chain(bond).chain(self.vlans.iter().map(|id| format!("v{id}"))).collect()
    }

    /// Each network with the id of its link and its number, from which its addresses are derived.
    fn with_links(&self) -> Vec<(String, u8, u8, u8, bool)> {
        let ids = self.ids();
        let networks = (1..).zip(&self.networks);
        networks
            .map(|(n, (link, v4, v6, routes))| (ids[link % ids.len()].clone(), n, *v4, *v6, *routes))
            .collect()
    }

    fn parent(&self) -> &'static str {
        if self.bond.is_some() { "bond7" } else { "nic-0" }
    }

    fn to_network_data(&self) -> String {
        use serde_json::json;
        let mut links = Vec::new();
        for (i, nic) in self.nics.iter().enumerate() {
            let mut link = json!({"id": format!("nic-{i}"), "type": "phy", "mtu": nic.mtu,
                "ethernet_mac_address": Machine::mac(i)});
            if nic.named {
                link["name"] = json!(format!("lan{i}"));
            }
            links.push(link);
        }
        if let Some((mode, options)) = &self.bond {
            let mut link = json!({"id": "bond7", "type": "bond", "bond_mode": mode.to_string(), "bond_miimon": "100",
                "bond_links": ["nic-0", "nic-1"], "ethernet_mac_address": Machine::mac(0).to_uppercase()});
            for (name, value) in options {
                link[format!("bond_{name}")] = json!(value);
            }
            links.push(link);
        }
        for id in &self.vlans {
            links.push(
                json!({"id": format!("v{id}"), "type": "vlan", "vlan_id": id, "vlan_link": self.parent(),
                "vlan_mac_address": null}),
            );
        }
        let mut networks = Vec::new();
        for (link, n, v4, v6, routes) in self.with_links() {
            let to4 = [
                json!({"network": format!("172.16.{n}.0"), "netmask": "255.255.255.0", "gateway": format!("10.{n}.0.2")}),
            ];
            let to6 = [
                json!({"network": format!("2001:db8:{n}::"), "netmask": "ffff:ffff:ffff::", "gateway": "fe80::1"}),
            ];
            networks.push(json!({"id": "n", "link": link, "type": "ipv4", "ip_address": format!("10.{n}.0.1"), "netmask": v4,
                "routes": if routes { &to4[..] } else { &[] }}));
            networks.push(
                json!({"id": "n", "link": link, "type": "ipv6", "ip_address": format!("fd00:{n}::1/{v6}"),
                "routes": if routes { &to6[..] } else { &[] }}),
            );
        }
        let services: Vec<_> =
            self.dns.iter().map(|n| json!({"type": "dns", "address": format!("192.0.2.{n}")})).collect();
        json!({"links": links, "networks": networks, "services": services}).to_string()
    }

    /// In the form of [`told`].
    fn told(&self) -> String {
        let mut out = String::new();
        let networks = |out: &mut String, id: &str| {
            for (link, n, v4, v6, routes) in self.with_links() {
                if link == id {
                    let _ = writeln!(out, " 10.{n}.0.1/{v4}\n fd00:{n}::1/{v6}");
                    if routes {
                        let _ = writeln!(out, " to 172.16.{n}.0/24 via 10.{n}.0.2");
                        let _ = writeln!(out, " to 2001:db8:{n}::/48 via fe80::1");
                    }
                }
            }
        };
        for (i, nic) in self.nics.iter().enumerate() {
            let name = if nic.named { format!(" named lan{i}") } else { String::new() };
            let _ = writeln!(out, "nic-{i} NIC{name} of {} mtu {:?}", Machine::mac(i), nic.mtu);
            networks(&mut out, &format!("nic-{i}"));
        }
        if let Some((mode, options)) = &self.bond {
            let words = attribute::of(Kind::Bond, "mode").unwrap().words();
            let mode = words.iter().find(|(_, number)| *number == u32::from(*mode)).unwrap().0;
            let mut settings: std::collections::BTreeMap<&str, String> =
                options.iter().map(|(name, value)| (*name, value.to_string())).collect();
            settings.insert("mode", mode.to_owned());
            settings.insert("miimon", "100".to_owned());
            let _ = writeln!(out, "bond7 bond named bond7 has {} +nic-0 +nic-1 mtu None", Machine::mac(0));
            settings.iter().for_each(|(name, value)| writeln!(out, " {name} {value}").unwrap());
            networks(&mut out, "bond7");
        }
        for id in &self.vlans {
            let _ = writeln!(out, "v{id} VLAN named v{id} on {} mtu None\n id {id}", self.parent());
            networks(&mut out, &format!("v{id}"));
        }
        self.dns.iter().for_each(|n| writeln!(out, "server 192.0.2.{n}").unwrap());
        out
    }
}

/// The content of a description, as text without places.
fn told(desired: &Desired) -> String {
    let mut out = String::new();
    for link in &desired.links {
        tell(link, &mut out);
    }
    desired.resolver.servers.iter().for_each(|s| writeln!(out, "server {}", s.value).unwrap());
    out
}

fn tell(link: &Link, out: &mut String) {
    let _ = write!(out, "{} {}", link.id, link.kind.noun());
    if let Naming::Set(name) = &link.naming {
        let _ = write!(out, " named {}", name.value);
    }
    if let Some(mac) = link.select.mac {
        let _ = write!(out, " of {}", mac.value);
    }
    if let Some(DesiredMac::Is(mac)) = link.mac.map(|m| m.value) {
        let _ = write!(out, " has {mac}");
    }
    if let Some(parent) = &link.parent {
        let _ = write!(out, " on {}", parent.value);
    }
    link.members.iter().for_each(|m| write!(out, " +{}", m.value).unwrap());
    let _ = writeln!(out, " mtu {:?}", link.mtu.map(|m| m.value.get()));
    for (name, value) in &link.settings.0 {
        let value = match &value.value {
            OptionValue::Bool(on) => u8::from(*on).to_string(),
            other => other.to_string(),
        };
        let _ = writeln!(out, " {name} {value}");
    }
    // Networks come in file order: an address of each family, then their routes.
    for pair in link.addresses.chunks(2) {
        let n = match pair[0].net.addr() {
            std::net::IpAddr::V4(ip) => ip.octets()[1],
            std::net::IpAddr::V6(_) => 0,
        };
        pair.iter().for_each(|a| writeln!(out, " {}", a.net).unwrap());
        for route in &link.routes {
            let text = route.to.to_string();
            if text == format!("172.16.{n}.0/24") || text == format!("2001:db8:{n}::/48") {
                let _ = writeln!(out, " to {text} via {}", route.via.unwrap());
            }
        }
    }
}
