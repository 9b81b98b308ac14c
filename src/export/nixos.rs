//! A module for NixOS: what is written for systemd-networkd, section by section, as `systemd.network` has it (25.11), and
//! NixOS' own scripts for the network turned off.

use std::fmt::Write as _;

use super::ini::{Section, sections};
use super::{File, HEADER, Losses, Names, Part, networkd};
use crate::model::{Desired, Kind, Link};

/// A section of networkd's, the attribute of `systemd.network`, and true where there may be several of it.
type Row = (&'static str, &'static str, bool);

const NETDEV: &[Row] = &[
    ("NetDev", "netdevConfig", false),
    ("Bond", "bondConfig", false),
    ("Bridge", "bridgeConfig", false),
    ("VLAN", "vlanConfig", false),
    ("VRF", "vrfConfig", false),
    ("MACVLAN", "macvlanConfig", false),
    ("VXLAN", "vxlanConfig", false),
    ("Tunnel", "tunnelConfig", false),
    ("Peer", "peerConfig", false),
    ("WireGuard", "wireguardConfig", false),
    ("WireGuardPeer", "wireguardPeers", true),
];

const NETWORK: &[Row] = &[
    ("Match", "matchConfig", false),
    ("Link", "linkConfig", false),
    ("Network", "networkConfig", false),
    ("Address", "addresses", true),
    ("Route", "routes", true),
    ("RoutingPolicyRule", "routingPolicyRules", true),
    ("DHCPv4", "dhcpV4Config", false),
    ("DHCPv6", "dhcpV6Config", false),
    ("IPv6AcceptRA", "ipv6AcceptRAConfig", false),
    ("Bridge", "bridgeConfig", false),
    ("BridgeFDB", "bridgeFDBs", true),
    ("BridgeVLAN", "bridgeVLANs", true),
    ("IPoIB", "ipoIBConfig", false),
];

const LINK: &[Row] = &[("Match", "matchConfig", false), ("Link", "linkConfig", false)];

/// What NixOS wants as text although it is a number.
const TEXTS: &[&str] = &["MTUBytes", "IPv6MTUBytes"];

pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let (host_name, desired) = (desired.host_name.clone(), Desired { host_name: None, ..desired.clone() });
    let files = networkd::write(&desired, names, can_make, losses);
    if files.is_empty() {
        return Vec::new();
    }
    let mut out = format!(
        "{HEADER}# Import it in the configuration of the system and rebuild that.
{{ ... }}:
{{
  networking.useNetworkd = true;
  networking.useDHCP = false;
  networking.dhcpcd.enable = false;
"
    );
    if let Some(name) = host_name {
        let _ = writeln!(out, "  networking.hostName = {};", quoted(&name.value));
    }
    out.push_str("  systemd.network.enable = true;\n");
    for (kind, ending, table) in
        [("links", ".link", LINK), ("netdevs", ".netdev", NETDEV), ("networks", ".network", NETWORK)]
    {
        for file in &files {
            let Some(name) = file.name.strip_suffix(ending) else { continue };
            let _ = writeln!(out, "  systemd.network.{kind}.{} = {{", quoted(name));
            entry(&sections(&file.text), table, &mut out);
            out.push_str("  };\n");
        }
    }
    out.push_str("}\n");
    vec![File { name: "netapply.nix".to_owned(), mode: 0o644, group: None, text: out }]
}

/// Whatever a module has is in the store, which everybody reads.
fn can_make(link: &Link, losses: &mut Losses) -> bool {
    let keys = link.wireguard.iter().flat_map(|wireguard| {
        let shared = wireguard.peers.iter().filter_map(|peer| peer.shared_key.as_ref());
        wireguard.private_key.iter().chain(shared)
    });
    let is_text = keys.into_iter().find(|key| !key.value.starts_with('/'));
    if let Some(key) = is_text.filter(|_| link.kind == Kind::Wireguard) {
        let what = "WireGuard key in the text: everybody reads the Nix store (write the key's path)";
        losses.none(link, Part::Kind, key.at, what);
        return false;
    }
    networkd::can_make(link, losses)
}

/// The sections of a file; of those that may be repeated one list.
fn entry(sections: &[Section<'_>], table: &[Row], out: &mut String) {
    for (section, attribute, several) in table {
        let mut own = sections.iter().filter(|(name, _)| name == section).peekable();
        if own.peek().is_none() {
            continue;
        }
        if !several {
            let _ = writeln!(out, "    {attribute} = {{");
            own.for_each(|(_, keys)| settings(keys, 6, out));
            out.push_str("    };\n");
            continue;
        }
        let _ = writeln!(out, "    {attribute} = [");
        for (_, keys) in own {
            out.push_str("      {\n");
            settings(keys, 8, out);
            out.push_str("      }\n");
        }
        out.push_str("    ];\n");
    }
}

/// A key that is repeated is a list.
fn settings(keys: &[(&str, &str)], indent: usize, out: &mut String) {
    let mut done: Vec<&str> = Vec::new();
    for (key, first) in keys {
        if done.contains(key) {
            continue;
        }
        done.push(key);
        let values: Vec<&str> =
            keys.iter().filter(|(other, _)| other == key).map(|(_, value)| *value).collect();
        let value = match values.as_slice() {
            [_] => value(key, first),
            several => {
                let shown: Vec<String> = several.iter().map(|one| value(key, one)).collect();
                format!("[ {} ]", shown.join(" "))
            }
        };
        let _ = writeln!(out, "{:indent$}{key} = {value};", "");
    }
}

/// Numbers as such, and everything else as text.
fn value(key: &str, text: &str) -> String {
    let is_number = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    if is_number && !TEXTS.contains(&key) { text.to_owned() } else { quoted(text) }
}

/// A string of the Nix language.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_texts_or_lists() {
        let keys = [
            ("Address", "192.0.2.2/24"),
            ("Address", "2001:db8::2/64"),
            ("Table", "7"),
            ("MTUBytes", "9000"),
        ];
        let mut out = String::new();
        settings(&keys, 2, &mut out);
        assert_eq!(
            out,
            "  Address = [ \"192.0.2.2/24\" \"2001:db8::2/64\" ];\n  Table = 7;\n  MTUBytes = \"9000\";\n"
        );
        assert_eq!(quoted("a\"${b}\\"), r#""a\"\${b}\\""#);
        assert_eq!(value("Id", "007"), "\"007\"");
    }
}
