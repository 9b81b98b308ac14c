//! Offload features, compared with ethtool(8).

use std::collections::BTreeSet;

use netapply::kernel::details;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::machine::Machine;
use netapply::model::{Kind, Link, Located, Place};
use netapply::plan::Action;

use crate::plans::{all_done, apply, plan};
use harness::cases::cases;
use harness::namespace::{in_namespace, ip};

const FEATURES: [&str; 7] = [
    "rx-checksum",
    "tx-checksumming",
    "tx-scatter-gather",
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "rx-gro",
    "tx-generic-segmentation",
];

/// Features that a veth does not have, or cannot change, so that no change can be seen.
const UNTRIED: &[&str] = &["rx-lro", "rx-vlan-filter"];

/// Every key of a format has a case in testdata/, and so has every feature.
#[test]
fn every_feature_that_a_description_can_name_is_tried() {
    let plans = cases().into_iter().filter_map(|case| std::fs::read_to_string(case.join("plan.txt")).ok());
    let plans: String = plans.collect();
    let named: BTreeSet<&str> =
        plans.lines().filter_map(|line| line.split_once("ethtool -K ")?.1.split(' ').nth(1)).collect();
    assert!(!named.is_empty(), "testdata has no case with a feature");
    let untried: Vec<_> =
        named.iter().filter(|name| !FEATURES.contains(name) && !UNTRIED.contains(name)).collect();
    assert!(untried.is_empty(), "{untried:?}");
}

/// ethtool(8)'s names of the features, and whether they are on.
fn shown() -> Vec<(String, bool)> {
    let output =
        std::process::Command::new("ethtool").args(["-k", "eth0"]).output().expect("ethtool is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let (name, value) = line.trim().split_once(": ")?;
        let name = match name {
            "generic-receive-offload" => "rx-gro",
            "generic-segmentation-offload" => "tx-generic-segmentation",
            "rx-checksumming" => "rx-checksum",
            name => name,
        };
        Some((name.to_owned(), value.starts_with("on")))
    };
    let mut shown: Vec<_> =
        text.lines().filter_map(line).filter(|(n, _)| FEATURES.contains(&n.as_str())).collect();
    shown.sort();
    assert_eq!(shown.len(), FEATURES.len(), "{text}");
    shown
}

async fn read_features() -> Vec<(String, bool)> {
    let mut link = Link::new("eth0", Kind::Physical, Place::NONE);
    link.features = FEATURES.iter().map(|name| (*name, Located::new(true, Place::NONE))).collect();
    let mut inventory = read::inventory(&mut Session::open(NetlinkFamily::Route).unwrap()).await.unwrap();
    details::complete(&mut inventory, [("eth0", &link)].into_iter(), &Machine::default()).await.unwrap();
    inventory
        .link("eth0")
        .unwrap()
        .features
        .clone()
        .into_iter()
        .map(|(name, on)| (name.into_owned(), on))
        .collect()
}

#[test]
fn features_are_turned_as_ethtool_shows() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        assert_eq!(read_features().await, shown());
        for on in [false, true] {
            let turn =
                |feature: &&'static str| (Action::Feature { name: "eth0".to_owned(), feature, on }, &[][..]);
            all_done(&apply(&plan(FEATURES.iter().map(turn).collect())).await);
            assert!(shown().iter().all(|(_, is)| *is == on), "{:?}", shown());
            assert_eq!(read_features().await, shown());
        }
    });
}

#[test]
fn a_nic_that_cannot_wake_says_so() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        let outcome =
            apply(&plan(vec![(Action::WakeOnLan { name: "eth0".to_owned(), on: true }, &[])])).await;
        let texts: Vec<String> = outcome.failures().map(|(_, trouble)| trouble.to_string()).collect();
        assert_eq!(texts, ["the kernel refused: Operation not supported (EOPNOTSUPP)"]);
    });
}
