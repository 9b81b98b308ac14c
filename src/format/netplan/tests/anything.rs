//! Any document of netplan's keys with any values results in a description or a message, never in a panic.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::*;

/// Values that some key accepts, and most keys do not.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "4095",
    "4294967296",
    "18446744073709551616",
    "true",
    "off",
    "1.5",
    "100ms",
    "1min 2s",
    "10.0.0.1",
    "10.0.0.1/24",
    "10.0.0.1/0",
    "10.0.0.9/8",
    "::1/64",
    "fe80::1",
    "::/0",
    "0.0.0.0",
    "default",
    "e0",
    "e1",
    "e2",
    "52:54:00:00:00:01",
    "en*",
    "gre",
    "vxlan",
    "wireguard",
    "ip6ip6",
    "802.3ad",
    "active-backup",
    "blackhole",
    "link",
    "sriov",
    "permanent",
    "/key",
    "é",
    "a-name-much-too-long",
    "192.0.2.1:51820",
    "[::1]:1",
];

fn keys() -> Vec<&'static str> {
    let names = OBJECTS.iter().flat_map(|object| object.keys).map(|key| key.name);
    names.chain(["e0", "e1", "e2", "10.0.0.1/24", "*", "renderer"]).collect()
}

fn value() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        8 => select(VALUES).prop_map(|text| json!(text)),
        1 => any::<i32>().prop_map(|number| json!(number)),
        1 => Just(Json::Null),
        1 => ".{0,12}".prop_map(|text| json!(text)),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            btree_map(select(keys()), inner, 0..8)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// A document whose sections and ids are valid, so that their content is read.
fn document() -> impl Strategy<Value = Json> {
    let sections: Vec<&str> = SECTIONS.iter().map(|(name, ..)| *name).collect();
    let keys = keys();
    let entry = btree_map(select(keys), value(), 0..12);
    let entries = btree_map(select(&["e0", "e1", "e2", "e3"][..]), entry, 0..4);
    btree_map(select(sections), entries, 0..4)
        .prop_map(|document| json!({ "version": 2, "network": document }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(documents in vec(document(), 1..3)) {
        let texts = documents.iter().map(|d| ("x.yaml".to_owned(), d.to_string())).collect();
        let parsed = crate::format::parse(texts);
        prop_assert!(!parsed.desired.links.is_empty() || !parsed.diagnostics.is_empty());
    }

    #[test]
    fn never_panics_on_other_shapes(value in value()) {
        crate::format::parse(vec![("x.yaml".to_owned(), json!({ "version": 2, "network": value }).to_string())]);
    }
}
