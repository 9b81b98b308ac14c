//! `netapply capture`: what it says of a machine to which a case of testdata was applied makes the same network on a fresh
//! one, by the kernel's word; or it says what it leaves out.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::cases::name;
use harness::transition::cases_of;
use harness::world::{Description, World, make, nics, until_same};

/// As in transitions.rs.
const KINDS: &[&str] = &["bridge", "veth", "vxlan", "macvlan"];
const LACKING: &[&str] = &[" vlan_", " altname "];

/// One of so many cases is tried; `NETAPPLY_CASES=vxlan` tries all with that word.
const SAMPLE: usize = 5;

/// The description of this namespace's network, and what is said beside it.
fn captured(program: &Path) -> Result<(String, String), String> {
    let output = Command::new(program).arg("capture").output().map_err(|e| e.to_string())?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("capture: {} {messages}", output.status));
    }
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), messages))
}

fn apply(program: &Path, description: &str) -> Result<(), String> {
    fs::write("/run/captured.yaml", description).map_err(|e| e.to_string())?;
    let output = Command::new(program)
        .args(["apply", "--no-verify", "--handoff", "none", "--dhcp", "image", "/run/captured.yaml"])
        .output()
        .map_err(|e| e.to_string())?;
    match output.status.code() {
        Some(0) => Ok(()),
        code => Err(format!("apply: {code:?} {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Whether a case was captured as a whole; an error where the two machines differ.
fn is_the_same(case: &Path) -> Result<bool, String> {
    let program = harness::netapply();
    let (first, second) = (World::default(), World::default());
    let nics = nics(case)?;
    let description = Description { case: case.to_owned(), program: program.clone() };
    let (own, here) = (nics.clone(), program.clone());
    let (text, messages) = first.run(move || {
        make(&own)?;
        description.apply()?;
        captured(&here)
    })?;
    // A note says that something is written elsewhere.
    if messages.lines().any(|line| !line.starts_with("note: ")) {
        println!("{}: not the whole: {messages}", name(case));
        return Ok(false);
    }
    let again = text.clone();
    second.run(move || {
        make(&nics)?;
        apply(&program, &again)
    })?;
    until_same(&first, &second, false).map_err(|differs| format!("{differs}\n{text}"))?;
    Ok(true)
}

#[test]
fn what_is_captured_makes_the_same_network_again() {
    let words = std::env::var("NETAPPLY_CASES").unwrap_or_default();
    let changes_identity = |case: &Path| {
        let plan = fs::read_to_string(case.join("plan.txt")).unwrap_or_default();
        // A stand-in for a NIC has no permanent address: it is known by its name, and whether its address was set is
        // not known.
        plan.lines().any(|line| {
            line.contains("ip link set ") && (line.contains(" name ") || line.contains(" address "))
        })
    };
    let mut cases = cases_of(KINDS, LACKING);
    cases.retain(|case| !changes_identity(case));
    let (mut same, mut wrong) = (0, Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let is_named = words.split_whitespace().all(|word| name(case).contains(word));
        if !is_named || (words.is_empty() && number % SAMPLE != 0) {
            continue;
        }
        match is_the_same(case) {
            Ok(is_whole) => same += usize::from(is_whole),
            Err(what) => {
                eprintln!("=== {}\n{what}", name(case));
                wrong.push(name(case));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases: {wrong:#?}", wrong.len(), cases.len());
    assert!(same > 5 || !words.is_empty(), "{same} of {} cases", cases.len());
}
