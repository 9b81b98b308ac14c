//! nmstate's own library with what is written of testdata for it: it reads every case; without NetworkManager it makes links,
//! addresses and routes; with the connections that it writes for NetworkManager, the whole of a description.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::boot::script;
use harness::cases;
use harness::nmstate::{KINDS, Outcome, same};

use super::{CONNECTIONS, CONVERTED, described, made, made_by_network_manager};

/// The program of tests/nmstate.
fn oracle() -> PathBuf {
    PathBuf::from(script("tests/nmstate/build", &[]))
}

/// What nmstate refuses without a machine: a rule for frames of an interface that is not described.
const REFUSED: &[&str] = &["required by route rule"];

#[test]
fn nmstate_reads_every_case() {
    let folder = tempfile::tempdir().unwrap();
    let mut check = Command::new(oracle());
    check.arg("check");
    let mut written = 0;
    for case in cases::cases() {
        let out = folder.path().join(cases::name(&case).replace('/', "_"));
        let mut convert = Command::new(env!("CARGO_BIN_EXE_netapply"));
        convert.args(["convert", "--to", "nmstate", "--output"]).arg(&out).arg(&case);
        let _ = convert.output().expect("netapply runs");
        if out.join("nmstate.yaml").exists() {
            check.arg(out.join("nmstate.yaml"));
            written += 1;
        }
    }
    assert!(written > 200, "{written}");
    let output = check.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let refused: Vec<&str> =
        text.lines().filter(|line| !REFUSED.iter().any(|what| line.contains(what))).collect();
    assert!(output.status.success() && refused.is_empty(), "{refused:#?}");
    for what in REFUSED {
        assert!(text.contains(what), "it no longer refuses: {what}");
    }
}

/// Of every case that nmstate's format can say, and whose kinds of links this kernel has: what it makes without NetworkManager.
#[test]
fn nmstate_makes_the_links_addresses_and_routes_that_netapply_makes() {
    let (netapply, nmstate) = (Path::new(env!("CARGO_BIN_EXE_netapply")), oracle());
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = String::new();
    for case in harness::transition::cases_of(KINDS, &[]) {
        match same(&case, netapply, &nmstate) {
            Ok(Outcome::Same) => *outcomes.entry("the same".to_owned()).or_default() += 1,
            Ok(Outcome::Not(why)) => *outcomes.entry(why).or_default() += 1,
            Err(what) => wrong += &format!("=== {}\n{what}\n", cases::name(&case)),
        }
    }
    println!("{outcomes:#?}");
    assert!(wrong.is_empty(), "{wrong}");
    assert!(outcomes.get("the same").is_some_and(|count| *count > 50), "{outcomes:#?}");
}

/// NetworkManager with nmstate's connections makes of a description what netapply makes.
#[test]
fn nmstate_and_network_manager_make_of_what_was_converted_what_netapply_makes() {
    // As in network_manager_makes_of_what_was_converted_what_netapply_makes; nmstate has no on-link routes and no type of service.
    let description = CONVERTED
        .replace("        - '2001:db8::10/64': {lifetime: 0}\n", "")
        .replace(", path-cost: {eth1: 77}", "")
        .replace("via: 198.18.0.1, on-link: true", "via: 192.0.2.1")
        .replace(", type-of-service: 16", "");
    let own = made(&description);
    let theirs = made_by_network_manager(&description, |machine| {
        machine.ok("netapply convert --to nmstate --output /root /root/net.yaml");
        let root = machine.root();
        let mut keyfiles = Command::new(oracle());
        keyfiles.arg("keyfiles").arg(root.join("root/nmstate.yaml"));
        let output = keyfiles.arg(root.join(CONNECTIONS.trim_start_matches('/'))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    super::same("nmstate", &described(&own), &described(&theirs));
}
