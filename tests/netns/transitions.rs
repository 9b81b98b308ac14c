//! From any case of testdata/ to any other, on the running kernel: see [`harness::transition`].

use harness::transition::{cases_of, name, pairs, run, wanted};

/// The kinds of links that every kernel of these tests supports. The others are tried in a guest (tests/vm/script.rs).
const KINDS: &[&str] = &["bridge", "veth", "vxlan", "macvlan"];

/// What a kernel may have been built without: VLANs of bridges.
const LACKING: &[&str] = &[" vlan_"];

/// How many pairs are tried; `NETAPPLY_TRANSITIONS=2000` tries more, `NETAPPLY_CASES=vxlan` only those with that word.
const USUAL: usize = 120;

#[test]
fn a_description_gives_the_same_after_any_other() {
    let words = std::env::var("NETAPPLY_CASES").unwrap_or_default();
    let cases = cases_of(KINDS, LACKING);
    let mut wrong = Vec::new();
    for pair in pairs(&cases, wanted(USUAL)) {
        let name = name(&pair);
        if !words.split_whitespace().all(|word| name.contains(word)) {
            continue;
        }
        if let Err(what) = run(&pair.0, &pair.1, &harness::netapply()) {
            eprintln!("=== {name}\n{what}");
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases: {wrong:#?}", wrong.len(), cases.len());
}
