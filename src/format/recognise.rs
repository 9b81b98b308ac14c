//! Which format a file has: by its content, never by its name.

use super::tree::{Entry, Node, Value};
use super::{cmdline, firmware, nmstate};
use crate::diagnostic::nearest;

/// The formats.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    NetworkData,
    Netplan,
    CloudInitV1,
    Eni,
    OpenNebula,
    Nmstate,
    /// Of the kernel.
    CommandLine,
    /// iBFT, nBFT.
    Firmware,
    /// `network: {config: disabled}`, with which cloud-init does nothing.
    Disabled,
}

impl Format {
    /// Its name for a person.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::NetworkData => "network_data.json",
            Format::Netplan => "netplan",
            Format::CloudInitV1 => "cloud-init network-config v1",
            Format::Eni => "Debian interfaces",
            Format::OpenNebula => "OpenNebula context.sh",
            Format::Nmstate => "nmstate",
            Format::CommandLine => "kernel command line",
            Format::Firmware => "firmware table",
            Format::Disabled => "cloud-init network-config",
        }
    }
}

/// The formats that were tried, for the message about an unrecognised file.
pub(super) const LOOKED_FOR: &str = "looked for: links or networks (network_data.json), version: 2 or ethernets, bonds, … \
     (netplan), version: 1 with config (cloud-init), lines of auto or iface (Debian interfaces), ETH0_IP= (OpenNebula), interfaces with a \
     name each (nmstate), ip= or bond= (a kernel command line)";

/// The kind of a file in none of the formats, if it can be told, for a message. `root` is its tree, if it has one.
pub(super) fn other(text: &str, root: Option<&Node>) -> Option<(&'static str, &'static str)> {
    const KEYFILE: &str = "give netapply the description that the profile was made from";
    let body = text.trim_start_matches('\u{feff}').trim_start();
    let first = body.lines().next().unwrap_or_default().trim_end();
    let begins = |word: &str| body.lines().take(100).any(|line| line.starts_with(word));
    if first == "#cloud-config" || first == "#cloud-init" {
        return Some(("cloud-init's user-data", "the network is in network-config, in the same folder"));
    }
    if first.starts_with("#!") {
        return Some(("a script", "netapply executes nothing: write the network down"));
    }
    if first.starts_with("<?xml") {
        return Some(("XML", "libvirt's definitions are not read: write the guest's network down"));
    }
    if first.len() > 2
        && first.starts_with('[')
        && first.ends_with(']')
        && first.bytes().all(|b| b.is_ascii_alphanumeric() || b"[]-".contains(&b))
    {
        let what = match first {
            "[Match]" | "[Network]" | "[NetDev]" | "[Link]" => "a file of systemd-networkd",
            _ => "a keyfile, such as NetworkManager's",
        };
        return Some((what, KEYFILE));
    }
    if ["BOOTPROTO=", "DEVICE=", "ONBOOT="].into_iter().any(begins) {
        return Some(("an ifcfg file", KEYFILE));
    }
    if body.contains(['\u{201c}', '\u{201d}']) {
        return Some(("written with typographic quotes", "write \" for every one of them"));
    }
    let has = |key: &str| root.is_some_and(|root| root.get(key).is_some());
    if has("apiVersion") && has("kind") {
        return Some((
            "a Kubernetes object",
            "a Secret with networkData or nmstate, and an NMStateConfig, are read if there is one of them",
        ));
    }
    if has("uuid") || has("instance-id") || has("availability_zone") {
        return Some((
            "metadata",
            "the network is in network_data.json or network-config, in the same folder",
        ));
    }
    None
}

/// netplan's keys that contain devices: one of them identifies a netplan file that lacks its version.
const DEVICE_TYPES: &[&str] = &[
    "ethernets",
    "bonds",
    "bridges",
    "vlans",
    "vrfs",
    "tunnels",
    "dummy-devices",
    "virtual-ethernets",
    "wifis",
    "modems",
    "nm-devices",
];

/// netplan's keys beside those.
const GLOBAL: [&str; 2] = ["renderer", "openvswitch"];

/// Whether a top-level key is one of the formats', so that the file is one description.
pub(super) fn is_top_level(key: &str) -> bool {
    const OTHERS: [&str; 16] = [
        "interfaces",
        "capture",
        "routes",
        "route-rules",
        "ovs-db",
        "dns-resolver",
        "network",
        "network_info",
        "network_data",
        "links",
        "networks",
        "services",
        "version",
        "config",
        "renderer",
        "openvswitch",
    ];
    OTHERS.contains(&key) || DEVICE_TYPES.contains(&key)
}

/// The line-based formats; `None` for anything that may be JSON or YAML.
pub(super) fn lines(text: &str) -> Option<Format> {
    let body = text.trim_start_matches('\u{feff}').trim_start();
    if body.starts_with(['{', '[']) {
        return None;
    }
    // In JSON, YAML and scripts a later line may look like one.
    let first = body.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if first.and_then(|line| line.split_once(':')).is_some_and(|(key, _)| is_top_level(key.trim_start())) {
        return None;
    }
    let is_command_line = !body.starts_with("#!") && first.is_some_and(cmdline::is_line);
    body.lines().find_map(|line| match () {
        () if is_stanza(line) => Some(Format::Eni),
        () if is_context(line) => Some(Format::OpenNebula),
        () if firmware::is_line(line) => Some(Format::Firmware),
        () if is_command_line && cmdline::is_line(line) => Some(Format::CommandLine),
        () => None,
    })
}

/// `iface eth0 inet static`, `auto eth0`: a first word of interfaces(5) with at least one more. YAML has `auto: …`.
fn is_stanza(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let known = match words.next() {
        Some("iface" | "auto" | "mapping" | "source" | "source-directory") => true,
        Some(first) => first.starts_with("allow-") && !first.ends_with(':'),
        None => false,
    };
    known && words.next().is_some_and(|word| !word.starts_with([':', '#']))
}

/// `ETH0_IP="192.0.2.1"`, with or without `export`.
fn is_context(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let Some((name, _)) = line.strip_prefix("ETH").and_then(|rest| rest.split_once('=')) else {
        return false;
    };
    let Some((number, key)) = name.trim_end().split_once('_') else { return false };
    !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && !key.is_empty()
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The format of a tree, and the part of it that the format's module reads.
pub(super) fn tree(root: &Node) -> Option<(Format, &Node)> {
    let Value::Map(entries) = &root.value else { return None };
    if nmstate::is_state(root) && mapping(root).is_none() {
        return Some((Format::Nmstate, root));
    }
    if let Some(format) = mapping(root).filter(|format| *format != Format::Netplan || is_netplan(entries)) {
        return Some((format, root));
    }
    // The wrappers of cloud-init and netplan, and of vendor_data.json.
    let wrapper = ["network", "network_info", "network_data"].into_iter().find_map(|key| root.get(key));
    // A file that has settings for all of netplan only, or contains nothing yet.
    let is_shell = |network: &Node| match &network.value {
        Value::Null => true,
        Value::Map(entries) => entries.iter().all(|e| GLOBAL.contains(&e.key.as_str())),
        _ => false,
    };
    if root.get("network").is_some_and(is_shell) || (!entries.is_empty() && is_shell(root)) {
        return Some((Format::Netplan, root));
    }
    if let Some(inner) = wrapper.filter(|n| matches!(n.value, Value::Map(_))) {
        let inner = repeated(inner).map_or(inner, |entry| &entry.value);
        return mapping(inner).map(|format| match format {
            Format::Netplan => (format, root),
            _ => (format, inner),
        });
    }
    // CloudStack writes an empty object if a machine has no network.
    entries.is_empty().then_some((Format::NetworkData, root))
}

/// The `network` in a `network` that has nothing else to say.
pub(super) fn repeated(network: &Node) -> Option<&Entry> {
    let Value::Map(entries) = &network.value else { return None };
    let says_nothing = |key: &str| matches!(key, "network" | "version" | "renderer") || !is_top_level(key);
    let is_outer = entries.iter().all(|entry| says_nothing(&entry.key));
    entries
        .iter()
        .find(|entry| is_outer && entry.key == "network" && matches!(entry.value.value, Value::Map(_)))
}

/// Other programs have a version 2 at the top of their files, too: one of netplan's keys, or nearly one, is required.
fn is_netplan(entries: &[Entry]) -> bool {
    let known = || DEVICE_TYPES.iter().copied().chain(GLOBAL);
    let is_other = |entry: &&Entry| entry.key != "version";
    let mut others = entries.iter().filter(is_other).take(100).peekable();
    others.peek().is_none()
        || others.any(|e| known().any(|k| k == e.key) || nearest(&e.key, known()).is_some())
}

fn mapping(node: &Node) -> Option<Format> {
    let has = |key: &str| node.get(key).is_some();
    let version = node.get("version").and_then(Node::text);
    if has("links") || has("networks") {
        Some(Format::NetworkData)
    } else if node.get("config").and_then(Node::text) == Some("disabled") {
        Some(Format::Disabled)
    } else if version == Some("1")
        || (version.is_none() && matches!(node.get("config"), Some(c) if !c.items().is_empty()))
    {
        Some(Format::CloudInitV1)
    } else if version == Some("2") || DEVICE_TYPES.iter().any(|key| has(key)) {
        Some(Format::Netplan)
    } else {
        (has("services") && node.get("services").is_some_and(|s| matches!(s.value, Value::List(_))))
            .then_some(Format::NetworkData)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Option<Format> {
        lines(text).or_else(|| {
            let root = super::super::tree::parse(text, 0, &mut Vec::new())?;
            tree(&root).map(|(format, _)| format)
        })
    }

    #[test]
    fn other_files_are_recognised() {
        for (text, expected) in [
            ("#cloud-config\nhostname: x\n", "cloud-init's user-data"),
            ("#!/bin/sh\nip link\n", "a script"),
            ("<?xml version='1.0'?>\n<network/>\n", "XML"),
            ("[connection]\nid=x\n", "a keyfile, such as NetworkManager's"),
            ("[Match]\nName=x\n", "a file of systemd-networkd"),
            ("# made\nDEVICE=eth0\nONBOOT=yes\n", "an ifcfg file"),
            ("{\u{201c}links\u{201d}: []}", "written with typographic quotes"),
            ("apiVersion: v1\nkind: Secret\n", "a Kubernetes object"),
            ("{\"uuid\": \"x\", \"hostname\": \"y\"}", "metadata"),
        ] {
            assert_eq!(format(text), None, "{text}");
            let root = super::super::tree::parse(text, 0, &mut Vec::new());
            assert_eq!(other(text, root.as_ref()).map(|(what, _)| what), Some(expected), "{text}");
        }
        assert_eq!(other("[]", None), None);
        assert_eq!(other("a: b\n", None), None);
    }

    #[test]
    fn each_format_is_known_by_its_content() {
        for (text, expected) in [
            ("{}", Some(Format::NetworkData)),
            ("{\"links\": null}", Some(Format::NetworkData)),
            ("interfaces: [{name: eth0, type: ethernet}]\n", Some(Format::Nmstate)),
            ("interfaces: []\n", Some(Format::Nmstate)),
            ("interfaces: [eth0]\n", None),
            ("routes: {config: []}\n", Some(Format::Nmstate)),
            ("hostname: {config: box}\n", Some(Format::Nmstate)),
            ("hostname: {running: box}\n", Some(Format::Nmstate)),
            ("hostname: box\n", None),
            ("route-rules: {config: []}\n", Some(Format::Nmstate)),
            ("dns-resolver: {config: {}}\n", Some(Format::Nmstate)),
            ("ovs-db: {external_ids: {}}\n", Some(Format::Nmstate)),
            ("capture: {a: interfaces}\ndesired: {interfaces: []}\n", Some(Format::Nmstate)),
            ("renderer: networkd\n", Some(Format::Netplan)),
            ("renderer: networkd\ncolour: red\n", None),
            ("network: {renderer: networkd, openvswitch: {}}\n", Some(Format::Netplan)),
            ("links: []\nnetworks: []\n", Some(Format::NetworkData)),
            ("{\"network_info\": {\"links\": []}}", Some(Format::NetworkData)),
            ("network:\n  version: 2\n", Some(Format::Netplan)),
            ("network:\n  ethernets: {}\n", Some(Format::Netplan)),
            ("network:\n  renderer: networkd\n", Some(Format::Netplan)),
            ("network:\n", Some(Format::Netplan)),
            ("network:\n  hostname: x\n", None),
            ("{\"version\": 2, \"ethernets\": {}}", Some(Format::Netplan)),
            ("version: '1'\nconfig: []\n", Some(Format::CloudInitV1)),
            ("network: {version: 1, config: [{type: physical}]}", Some(Format::CloudInitV1)),
            ("network: {config: disabled}", Some(Format::Disabled)),
            ("# made by hand\nauto lo\niface lo inet loopback\n", Some(Format::Eni)),
            ("\u{feff}allow-hotplug eth0\n", Some(Format::Eni)),
            ("USERNAME=x\nexport ETH0_IP=\"192.0.2.1\"\n", Some(Format::OpenNebula)),
            ("version: 2\n", Some(Format::Netplan)),
            ("version: 2\nethernet: {}\n", Some(Format::Netplan)),
            ("version: 2\nbuild: {os: debian}\npython: {}\n", None),
            ("version: '2'\nservices: {web: {image: x}}\n", None),
            ("ETH0_IP = \"192.0.2.1\"\n", Some(Format::OpenNebula)),
            ("auto: true\n", None),
            ("#cloud-config\nhostname: x\n", None),
            ("ETHERNET_IP=1", None),
            ("BOOT_IMAGE=/vmlinuz quiet ip=dhcp\n", Some(Format::CommandLine)),
            ("# made\nvlan=eth0.5:eth0\nip=eth0.5:dhcp\n", Some(Format::CommandLine)),
            ("kernelParams: ip=dhcp\n", None),
            ("- ip=dhcp\n", None),
            ("runcmd:\n- |\n  curl ip=1\n  ip=2\n", None),
            ("rd.neednet=1\nip=dhcp\n", Some(Format::CommandLine)),
            ("#!/bin/sh\nip=$(hostname -I)\n", None),
            ("[]", None),
        ] {
            assert_eq!(format(text), expected, "{text}");
        }
    }
}
