use std::path::Path;

use proptest::prelude::*;

use super::*;

#[test]
fn the_parser_reads_the_same_from_a_text_as_from_an_iterator() {
    let texts = [
        "network: {version: 2, ethernets: {eth0: {dhcp4: true}}}\n",
        "\u{feff}a: 1\r\nb:\r\n  - x\r\n  - 'it''s'\r\n",
        "# Straße\nname: \"\\u00e9\\x41 ü\" # ä\nlist: [a, \"b\", é]\n",
        "text: |\n  one\n   two\n\n  three\nfolded: >-\n  a\n  b\n",
        "a: &x {b: c}\nd: *x\n<<: *x\n--- # another\n- \t1\n...\n",
        "key:\n    deep:\n                                        deeper: value\n",
        "plain: several words: no\n",
        "a:\n\tb: 1\n",
        "\"open: [1, 2\n",
        "nul: a\0b\n",
        "",
    ];
    for text in texts {
        let unread = Cell::new(0);
        let mut ours = Parser::new(Characters { left: text, looked: 0, unread: &unread });
        // Behind an error the parser goes on for ever.
        for theirs in Parser::new_from_iter(text.chars()) {
            assert_eq!(ours.next().as_ref(), Some(&theirs), "{text:?}");
            if theirs.is_err() {
                break;
            }
        }
    }
}

/// Whether the text was read here; if it was, the complete parser gives the same.
fn is_read(text: &str) -> bool {
    let mut duplicates = Vec::new();
    let Some(root) = block::parse(text, 3, &mut duplicates) else {
        assert!(duplicates.is_empty());
        return false;
    };
    let mut others = Vec::new();
    let other = complete(text, 3, &mut others);
    assert_eq!((Ok(root), duplicates), (other.map_err(|wrong| wrong.message), others), "{text:?}");
    true
}

#[test]
fn what_files_have_is_read_here() {
    for text in [
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [10.0.0.1/24, \"2001:db8::1/64\"]\n",
        "---\n# by terraform\n\"network\":\n  \"version\": 2\n  'bonds': {}\n  \"list\":\n  - \"a: b\" # c\n  - x\n\"z\": []\n",
        "version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets:\n  - type: static\n    address: fe80::1\n- - a\n  - b\n",
        "a:   1   # one\r\n\r\nb: ~\r\nc: null",
        "- 7c:c2:55:6e:90:44\n- /dev/disk\n- .5\n-   spaces: 1\n    more: several words here\n",
        "a: 1\nb:\n  c: 2\na: 3\n",
    ] {
        assert!(is_read(text), "{text:?}");
    }
}

#[test]
fn what_is_read_here_is_what_the_complete_parser_reads() {
    let mut read = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                read += u32::from(is_read(&text));
            }
        }
    }
    assert!(read > 100, "only {read} files of testdata are read here");
}

/// Parts of lines; each line is an indentation, some dashes and one of these.
const PARTS: &[&str] = &[
    "a:",
    "a:",
    "b: 1",
    "c: x y",
    "\"d\": 'e'",
    "f: [g, \"h\", 1::2]",
    "i: {}",
    "j: []",
    "k",
    "\"l\"",
    "'m': n # o",
    "p: \"q\" # r",
    "s:t",
    "u: v: w",
    "x: y:",
    "&z a: 1",
    "b: *z",
    "c: |",
    "d: >-",
    "---",
    "...",
    "# e",
    "",
    "? f",
    "g: [",
    "]",
    "h: [i, ]",
    "j: k#l",
    "m: #n",
    "o: !p q",
    "r: \"s\"t",
    "\"u\" : v",
    "w : x",
    "<<: y",
    "z: 'a''b'",
    "c: \"\\x41\"",
    "[d, e]",
    "{f: g}",
    "h: [i:, j]",
    "\t",
    "k:\tl",
    "ü: 1",
    "m: ~",
    "~: n",
    "%o",
    "@p",
    "q: -",
    "r: - s",
    "t: -u",
    "v:w: x",
    "y: [z a, b]",
    "c: [d # e",
    "f: ]",
    "g: ,",
    "h: =",
    "null",
    "i: [[j]]",
    "k: 'l",
    "m: \"n",
    "--- o",
    "..: p",
    "q: [-r]",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn lines_of_all_kinds_are_read_as_the_complete_parser_reads_them(
        lines in prop::collection::vec((0_usize..4, 0_usize..8, 0..PARTS.len(), any::<bool>()), 1..7),
        crlf in any::<bool>(),
    ) {
        let line = |(indent, dashes, part, usual): &(usize, usize, usize, bool)| {
            // Half of the lines are what is read here, so that many texts are.
            let part = if *usual { part % 14 } else { *part };
            format!("{}{}{}", "  ".repeat(*indent), "- ".repeat(dashes.saturating_sub(5)), PARTS[part])
        };
        let text: Vec<String> = lines.iter().map(line).collect();
        is_read(&text.join(if crlf { "\r\n" } else { "\n" }));
    }
}
