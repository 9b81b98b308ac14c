//! What holds for all formats: every key of the tables has a golden case, and the reference lists every key.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::keys::{Object, Support, seen};
use super::*;

/// Every format's tables.
fn tables() -> [(&'static str, &'static [&'static Object]); 8] {
    [
        ("network_data.json", network_data::keys::OBJECTS),
        ("netplan", netplan::OBJECTS),
        ("cloud-init network-config v1", cloud_init_v1::OBJECTS),
        ("Debian interfaces", eni::OBJECTS),
        ("OpenNebula context.sh", open_nebula::OBJECTS),
        ("nmstate", nmstate::keys::OBJECTS),
        ("kernel command line", cmdline::OBJECTS),
        ("firmware table", firmware::OBJECTS),
    ]
}

/// What docs/keys.md says before a format's tables.
const NOTES: &[(&str, &str)] = &[
    (
        "firmware table",
        "What `netapply.source=ibft` and `nbft` read, as lines such as `ethernet0/ip-addr=192.0.2.10`.",
    ),
    (
        "kernel command line",
        "Each form of `ip=` and of the other parameters, and its support: [The kernel command line](cmdline.md).",
    ),
    (
        "Debian interfaces",
        "ifupdown, ifupdown2 and ifupdown-ng read this file, and differ. Where they do, netapply follows ifupdown2: a stanza is \
     a bridge if it has `bridge-ports`, `bridge-vlan-aware yes` or `link-type bridge` (ifupdown-ng's `use bridge` makes one, \
     too), and never where another bridge names it as its port; any other `bridge-…` option in it is one of a port. All \
     `address` lines count, each with the `netmask` behind it, and one `gateway` a family; an IPv6 address in an `inet` \
     stanza is taken with a warning. `inherit` of ifupdown-ng takes over the addresses, too. A `NIC.N` that is \
     named as a port or member only is made, as Debian's bridge-utils and ifenslave make it. A routing table that a \
     command names has the number that a command in the file adds to /etc/iproute2/rt_tables (which is not written), or the \
     machine's number: that of rt_tables in /etc/iproute2, /usr/share/iproute2 or /usr/lib/iproute2, or rt_tables.d/*.conf there.",
    ),
];

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_key_of_every_format_has_a_golden_case() {
    for folder in below(&manifest().join("testdata")).iter().flat_map(|format| below(format)) {
        let is_text = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            path.is_file() && !name.ends_with(".txt") && name != "inventory.json" && name != "args"
        };
        let texts = below(&folder).into_iter().filter(is_text);
        let texts =
            texts.map(|path| (String::new(), String::from_utf8_lossy(&std::fs::read(path).unwrap()).into()));
        parse(texts.collect());
    }
    let mut missing = String::new();
    for (format, objects) in tables() {
        for (object, key) in objects.iter().flat_map(|o| o.keys.iter().map(move |key| (o, key))) {
            // A name with a number in it has a table of its own.
            if !key.name.ends_with('…') && !seen::has(key) {
                let _ = writeln!(missing, "{format}, {}: {}", object.name, key.name);
            }
        }
    }
    assert!(missing.is_empty(), "no case in testdata has:\n{missing}");
}

/// A hint to another place is true: the mapping is one, lacks the key, and another of the format has it.
#[test]
fn misplaced_keys_have_another_place() {
    for (names, keys, _) in super::keys::MISPLACED {
        let formats = tables();
        for name in *names {
            let of_format = formats.iter().find(|(_, objects)| objects.iter().any(|o| o.name == *name));
            let (_, objects) = of_format.unwrap_or_else(|| panic!("no mapping is called {name}"));
            let has = |object: &Object, key: &str| object.keys.iter().any(|known| known.name == key);
            let (here, others): (Vec<&&Object>, Vec<&&Object>) =
                objects.iter().partition(|object| object.name == *name);
            let lacking = keys.iter().filter(|key| here.iter().all(|object| !has(object, key)));
            let lost: Vec<_> = lacking.filter(|key| !others.iter().any(|object| has(object, key))).collect();
            assert!(lost.is_empty(), "{name}: {lost:?}");
        }
    }
}

/// docs/keys.md is generated from the tables; `NETAPPLY_BLESS=1` rewrites it.
#[test]
fn the_reference_lists_every_key() {
    let mut text = String::from(
        "# Every key of every format, and its support\n\n\
         This page is made of the tables that the program reads with. A key that is in none of them is reported as unknown \
         and ignored. *Applied* keys have an effect; *no effect* ones are accepted and noted; *unsupported* ones are errors \
         with the reason; *left to the image* ones are for a client in the image, such as a DHCP client.\n",
    );
    for (format, objects) in tables() {
        let _ = writeln!(text, "\n## {format}");
        if let Some((_, note)) = NOTES.iter().find(|(of, _)| *of == format) {
            let _ = writeln!(text, "\n{note}");
        }
        for object in objects {
            let _ = writeln!(text, "\n### {}\n\n| key | | |\n|---|---|---|", object.name);
            for key in object.keys {
                let _ = writeln!(
                    text,
                    "| `{}` | {} | {} |",
                    key.name,
                    support(key.support),
                    key.what.replace('|', "\\|")
                );
            }
        }
    }
    let file = manifest().join("docs/keys.md");
    if std::env::var_os("NETAPPLY_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == text, "docs/keys.md is not what the tables say: run this test with NETAPPLY_BLESS=1");
}

fn support(support: Support) -> &'static str {
    match support {
        Support::Applied => "applied",
        Support::NoEffect => "no effect",
        Support::Unsupported => "unsupported",
        Support::Deprecated => "deprecated",
        Support::LeftToOthers => "left to the image",
    }
}

#[test]
fn messages_end_and_the_rest_is_counted() {
    let keys: String = (0..1500).map(|i| format!("k{i}: 1, ")).collect();
    let parsed =
        parse(vec![("x".into(), format!("{{version: 2, ethernets: {{eth0: {{{keys}dhcp4: maybe}}}}}}"))]);
    let last = parsed.diagnostics.last().unwrap();
    assert_eq!((parsed.diagnostics.len(), last.code), (MAX_DIAGNOSTICS + 1, Code::TooMany));
    assert_eq!(last.message, "501 more messages are not shown");
    // Messages that are not shown count for the exit status: the last key's value was an error.
    assert_eq!(last.severity, Severity::Error);
}

/// Many descriptions, which `check` reads, are none for a boot, which reports that.
#[test]
fn several_nodes_in_one_file_are_reported() {
    let parsed = parse(vec![("nodes".into(), r#"{"n1": {"links": []}, "n2": {"links": []}}"#.into())]);
    let [only] = &parsed.diagnostics[..] else { panic!("{:?}", parsed.diagnostics) };
    assert_eq!(only.message, "the file has descriptions of several nodes");
}
