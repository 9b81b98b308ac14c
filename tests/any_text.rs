//! Any input leads to a description or a diagnostic, never to a panic, which would end the boot. Every case in testdata
//! is cut, joined, doubled and garbled, and then goes all the way to the steps and back.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use netapply::diagnostic::Renderer;
use netapply::inventory::{Inventory, ObservedLink};
use netapply::page::Style;
use netapply::resolve::Missing;
use netapply::{format, plan, resolve};
use proptest::prelude::*;
use proptest::sample::Index;

/// From a file to printed steps; the diagnostics' places are checked on the way.
fn whole(text: &str) {
    let parsed = format::parse(vec![("text".into(), text.into())]);
    assert!(!parsed.desired.links.is_empty() || !parsed.diagnostics.is_empty(), "nothing is reported");
    // YAML ends a line at a carriage return, too.
    let ends = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = text.matches(ends).count() as u32 + 1;
    let renderer = Renderer { texts: &parsed.texts, style: Style::Plain };
    for said in &parsed.diagnostics {
        assert!(said.at.line <= lines + 1, "{} is at line {} of {lines}", said.message, said.at.line);
        assert!(!renderer.render(said).is_empty());
    }
    for missing in [Missing::Report, Missing::StandIn] {
        let (resolved, _) = resolve::resolve(&parsed.desired, machine(), missing);
        let plan = plan::plan(&resolved, machine());
        assert!(plan::script::script(&plan, &[]).starts_with("#!"));
    }
}

/// Words that the formats know, and almost valid values.
const WORDS: &[&str] = &[
    "links",
    "networks",
    "services",
    "id",
    "type",
    "name",
    "mtu",
    "ethernet_mac_address",
    "vlan_mac_address",
    "bond_links",
    "bond_mode",
    "bond_miimon",
    "bond_primary",
    "bond_arp_ip_target",
    "vlan_link",
    "vlan_id",
    "bridge_links",
    "bridge_fd",
    "link",
    "ip_address",
    "netmask",
    "gateway",
    "routes",
    "network",
    "dns_nameservers",
    "dns_search",
    "address",
    "phy",
    "bond",
    "vlan",
    "linux_bridge",
    "ipv4",
    "ipv6",
    "ipv4_dhcp",
    "ipv6_slaac",
    "dns",
    "a",
    "b",
    "bond0",
    "eth0",
    "52:54:00:00:00:01",
    "52-54-00-00-00-02",
    "192.0.2.1",
    "192.0.2.1/24",
    "0.0.0.0",
    "255.255.255.0",
    "255.0.255.0",
    "::",
    "::/0",
    "::0",
    "2001:db8::1",
    "fe80::1%eth0",
    "24",
    "64",
    "0",
    "-1",
    "4095",
    "65536",
    "99999999999999999999",
    "802.3ad",
    "",
    " ",
    "~",
    "true",
    "version",
    "1",
    "2",
    "config",
    "ethernets",
    "interfaces",
    "state",
    "absent",
    "link-aggregation",
    "ipv4",
    "dns-resolver",
    "bonds",
    "vlans",
    "match",
    "macaddress",
    "addresses",
    "parameters",
    "mode",
    "physical",
    "subnets",
    "static",
    "nameserver",
    "network_info",
    "renderer",
    "\u{1b}[31m",
    "é",
    "\u{0}",
];

/// A tree of those words.
fn tree() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value as Json;
    let word = || prop::sample::select(WORDS);
    let leaf = prop_oneof![
        6 => word().prop_map(|w| Json::String(w.into())),
        2 => any::<i32>().prop_map(Json::from),
        1 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            prop::collection::vec((word(), inner), 0..8).prop_map(|entries| Json::Object(
                entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

/// A document with valid sections and arbitrary content.
fn document() -> impl Strategy<Value = serde_json::Value> {
    let list = || prop::collection::vec(tree(), 0..5);
    (list(), list(), tree()).prop_map(
        |(links, networks, services)| serde_json::json!({"links": links, "networks": networks, "services": services}),
    )
}

/// Lines that look like interfaces files, context.sh, YAML or nothing.
fn lines() -> impl Strategy<Value = String> {
    const STARTS: &[&str] = &[
        "auto ",
        "iface ",
        "iface eth0 inet static",
        " address ",
        " up ip route add ",
        " bond-slaves ",
        "allow-hotplug ",
        "ETH0_IP=",
        "ETH1_ALIAS0_IP=\"",
        "export ETH0_MAC='",
        "network:",
        "  ethernets: ",
        "- ",
        "? ",
        "&a ",
        "*a",
        "<<: *a",
        "{",
        "[",
        "\"",
        "# ",
        "\t",
        "x: |",
        "\\",
    ];
    let line = (prop::sample::select(STARTS), prop::collection::vec(prop::sample::select(WORDS), 0..4))
        .prop_map(|(start, words)| format!("{start}{}", words.join(" ")));
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

/// Two plain NICs.
fn machine() -> &'static Inventory {
    static MACHINE: OnceLock<Inventory> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let nic = |index: u32, name: &str| ObservedLink {
            index,
            name: name.into(),
            mac: format!("52:54:00:6b:30:{:02x}", index - 1).parse().ok(),
            permanent_mac: format!("52:54:00:6b:30:{:02x}", index - 1).parse().ok(),
            layer: "ether".into(),
            mtu: 1500,
            ..ObservedLink::default()
        };
        Inventory { version: 1, links: vec![nic(2, "eth0"), nic(3, "eth1")], ..Inventory::default() }
    })
}

/// Every description in testdata.
fn corpus() -> &'static [String] {
    static CORPUS: OnceLock<Vec<String>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let mut texts = Vec::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"), &mut texts);
        assert!(texts.len() > 50, "testdata is missing");
        texts
    })
}

fn collect(folder: &Path, texts: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, texts);
        } else if !name.ends_with(".txt") && name != "inventory.json" && name != "args" {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            if text.len() < 20_000 {
                texts.push(text);
            }
        }
    }
}

/// How a file is garbled; the numbers choose places in it.
#[derive(Clone, Debug)]
enum Change {
    DropLine(Index),
    DoubleLine(Index),
    SwapLines(Index, Index),
    CutAt(Index),
    Word(Index, String),
    Splice(Index, Index, Index),
    Garble(Index, char),
}

fn change() -> impl Strategy<Value = Change> {
    let odd = prop_oneof![
        Just("null".to_owned()),
        Just("''".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("::/0".to_owned()),
        Just("0.0.0.0/0".to_owned()),
        Just("255.255.255.255".to_owned()),
        Just("eth0".to_owned()),
        Just("\u{1f600}\u{0}".to_owned()),
        "[ -~]{0,12}",
    ];
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Change::DropLine),
        at().prop_map(Change::DoubleLine),
        (at(), at()).prop_map(|(a, b)| Change::SwapLines(a, b)),
        at().prop_map(Change::CutAt),
        (at(), odd).prop_map(|(i, word)| Change::Word(i, word)),
        (at(), at(), at()).prop_map(|(text, from, to)| Change::Splice(text, from, to)),
        (at(), any::<char>()).prop_map(|(i, c)| Change::Garble(i, c)),
    ]
}

fn apply(text: String, change: &Change) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return text;
    }
    match change {
        Change::DropLine(i) => drop(lines.remove(i.index(lines.len()))),
        Change::DoubleLine(i) => {
            let i = i.index(lines.len());
            lines.insert(i, lines[i].clone());
        }
        Change::SwapLines(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        Change::CutAt(i) => {
            let chars: Vec<char> = text.chars().collect();
            return chars[..i.index(chars.len() + 1)].iter().collect();
        }
        Change::Word(i, word) => {
            let line = &mut lines[i.index(text.lines().count())];
            let mut words: Vec<&str> = line.split(' ').collect();
            let last = words.len() - 1;
            words[last] = word;
            *line = words.join(" ");
        }
        Change::Splice(other, from, to) => {
            let other = &corpus()[other.index(corpus().len())];
            let others: Vec<&str> = other.lines().collect();
            if !others.is_empty() {
                lines.insert(to.index(lines.len()), others[from.index(others.len())].to_owned());
            }
        }
        Change::Garble(i, c) => {
            let mut chars: Vec<char> = text.chars().collect();
            let i = i.index(chars.len());
            chars[i] = *c;
            return chars.into_iter().collect();
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        whole(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_is_handled(text in "\\PC*") {
        whole(&text);
    }

    #[test]
    fn any_tree_is_handled(tree in tree()) {
        whole(&tree.to_string());
    }

    #[test]
    fn any_document_is_handled(tree in document()) {
        whole(&tree.to_string());
    }

    #[test]
    fn any_lines_are_handled(text in lines()) {
        whole(&text);
    }

    #[test]
    fn any_change_of_a_real_description_is_handled(
        text in any::<Index>(),
        changes in proptest::collection::vec(change(), 1..6),
    ) {
        let text = corpus()[text.index(corpus().len())].clone();
        whole(&changes.iter().fold(text, apply));
    }
}

#[test]
fn every_text_of_the_corpus_is_handled() {
    corpus().iter().for_each(|text| whole(text));
}
