//! Any text at all leads to a description or a diagnostic, never to a panic: a panic would end the boot. Every case in
//! testdata is cut, joined, doubled and garbled, and then goes all the way to the steps and back.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use netapply::diagnostic::Renderer;
use netapply::inventory::{Inventory, ObservedLink};
use netapply::page::Style;
use netapply::resolve::Missing;
use netapply::{format, plan, resolve};
use proptest::prelude::*;
use proptest::sample::Index;

/// From a text to printed steps; the diagnostics' places are checked on the way.
fn whole(text: &str) {
    let parsed = format::parse(vec![("text".into(), text.into())]);
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

/// Two NICs, as simple as can be.
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

/// What is done to a text; the numbers choose places in it.
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
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        whole(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_change_of_a_real_text_is_survived(
        text in any::<Index>(),
        changes in proptest::collection::vec(change(), 1..6),
    ) {
        let text = corpus()[text.index(corpus().len())].clone();
        whole(&changes.iter().fold(text, apply));
    }
}

#[test]
fn every_text_of_the_corpus_is_survived() {
    corpus().iter().for_each(|text| whole(text));
}
