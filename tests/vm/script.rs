//! `--dry-run --format sh`: the script of a plan results in the same kernel state as applying the plan.

use std::path::{Path, PathBuf};

use crate::{cases, oracle, switch};
use harness::boot;
use harness::cases as golden;
use harness::guest::{Builder, Guest, Output};
use harness::nmstate;
use harness::rehearsal;
use harness::transition;
use harness::world::nics;

/// The resulting state of two machines of the same kind: one by netapply, one by the script it prints.
#[track_caller]
fn same_by_script(lacp: bool, prepare: &str, name: &str, text: &str) {
    let machine = || {
        let mut guest = switch::machine().netapply().file(&format!("/tmp/{name}"), text, 0o644).boot();
        guest.ok(&if lacp { switch::lacp(9000, &[]) } else { switch::plain(&[]) });
        guest.ok(prepare);
        guest
    };
    let source = format!("/tmp/{name}");
    let mut applied = machine();
    applied.ok(&format!("netapply apply --no-verify {source}"));
    let by_netapply = settled(&mut applied);
    drop(applied);

    let mut scripted = machine();
    let script = scripted.ok(&format!("netapply --dry-run --format sh {source} | tee /tmp/plan.sh"));
    scripted.ok("sh -e /tmp/plan.sh");
    let by_script = settled(&mut scripted);
    assert!(by_netapply == by_script, "{}\n--- the script\n{script}", difference(&by_netapply, &by_script));
    let again = scripted.json(&format!("netapply --dry-run --json {source}"));
    assert_eq!(
        again["steps"],
        serde_json::json!([]),
        "after the script there is nothing left to do\n{script}"
    );
}

/// The state once no address is tentative any more.
fn settled(guest: &mut Guest) -> String {
    guest.until("[ -z \"$(ip -6 address show tentative)\" ]");
    oracle::state(guest)
}

fn difference(left: &str, right: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        let b: std::collections::HashSet<&str> = b.lines().collect();
        a.lines().filter(|line| !b.contains(line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    format!("only by netapply:\n{}only by the script:\n{}", only(left, right, "-"), only(right, left, "+"))
}

#[test]
fn of_a_bond() {
    same_by_script(true, "true", "network_data.json", cases::LACP);
}

#[test]
fn of_bridges_vlans_and_both_families() {
    let text = "network:
  version: 2
  ethernets:
    one: {match: {macaddress: '7c:c2:55:6e:90:44'}, mtu: 9000}
    two:
      match: {macaddress: '7c:c2:55:6e:90:45'}
      set-name: lan0
      addresses: [198.51.100.7/32, '2001:db8:2::7/64']
      routes:
        - {to: default, via: 198.51.100.1, on-link: true, metric: 50}
        - {to: '2001:db8:3::/48', via: '2001:db8:2::1'}
  bridges:
    br0:
      interfaces: [one]
      macaddress: '02:11:22:33:44:55'
      addresses: [192.0.2.10/24, '2001:db8::10/64']
      gateway6: '2001:db8::1'
  vlans:
    br0.7: {id: 7, link: br0, mtu: 1400, addresses: [203.0.113.7/31]}
";
    same_by_script(false, "true", "netplan.yaml", text);
}

/// Cases of testdata/ that no guest has a machine for, and why.
const NOT_HERE: &[(&str, &str)] = &[
    ("cloud-init-v1/infiniband", INFINIBAND),
    (
        "eni/links-made-by-commands",
        "its bridge has the lowest address of its ports, and one of them is random",
    ),
    ("eni/vxlan-with-several-far-ends", "what stands in for its NICs is no VXLAN"),
    ("netplan/error-keys-in-another-place", "the kernel refuses its route: no link has the source address"),
    ("netplan/infiniband", INFINIBAND),
    ("netplan/nic-leaves-an-undescribed-bridge", "what stands in for its NICs is in no bridge"),
    ("network_data/infiniband", INFINIBAND),
    ("nmstate/identifiers", "no NIC of a guest has the PCI address"),
    (
        "network_data/nic-with-a-virtual-function-of-its-mac",
        "only Hyper-V's driver makes a NIC another's controller",
    ),
];
const INFINIBAND: &str = "QEMU has no InfiniBand, and no other link has its addresses of 20 bytes";

/// WireGuard keys that descriptions read from files.
const KEY_FILES: &[(&str, &str)] = &[
    ("/etc/wireguard/private.key", "QO1hYkWLQ5yxTbs1P0bFUNYnMTbZ3aFQXvhxX6lPXEE=\n"),
    ("/etc/wireguard/shared.key", "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=\n"),
];

/// For cases of testdata/ with every kind of step, one machine by netapply and one by the script it prints: see
/// inside/golden.rs. `NETAPPLY_CASES='vrf eni/'` runs all those whose names have one of the words: `/` is in each.
#[test]
fn of_every_kind_of_step() {
    let all: Vec<PathBuf> = golden::cases().into_iter().filter(|case| has_steps(case)).collect();
    for (listed, _) in NOT_HERE {
        assert!(
            all.iter().any(|case| golden::name(case) == *listed),
            "testdata has no case {listed} with a plan"
        );
    }
    let is_listed = |case: &PathBuf| NOT_HERE.iter().any(|(listed, _)| golden::name(case) == *listed);
    let able: Vec<PathBuf> = all.into_iter().filter(|case| !is_listed(case)).collect();
    let run: Vec<String> = match std::env::var("NETAPPLY_CASES") {
        Ok(words) => {
            let is_wanted = |case: &String| words.split_whitespace().any(|word| case.contains(word));
            able.iter().map(|case| golden::name(case)).filter(is_wanted).collect()
        }
        Err(_) => golden::covering(able).iter().map(|case| golden::name(case)).collect(),
    };
    let mut guest = guest_with(Guest::builder(), &run);
    let wrong = wrong(&run, |case| {
        passes(inside(&mut guest, &format!("echo /testdata/{case} >/tmp/case"), "scripts_give_the_same"))
    });
    assert!(wrong.is_empty(), "{wrong}");
}

/// Every night, `cargo test --test vm rehearsals -- --ignored`: tests/netns/rehearse.rs rehearses every case that needs no bond and
/// no VLAN. `NETAPPLY_CASES='vrf eni/'` runs only those whose names have one of the words.
#[test]
#[ignore = "takes minutes; run every night"]
fn rehearsals_of_bonds_and_vlans() {
    let cases = golden::cases().into_iter().filter(|case| has_steps(case)).map(|case| golden::name(&case));
    let wanted = std::env::var("NETAPPLY_CASES").unwrap_or_else(|_| "/".to_owned());
    let is_wanted = |case: &String| wanted.split_whitespace().any(|word| case.contains(word));
    let cases: Vec<String> =
        cases.filter(|case| is_wanted(case) && NOT_HERE.iter().all(|(listed, _)| case != listed)).collect();
    let mut guest = guest_with(Guest::builder(), &cases);
    let wrong = rehearsed(&mut guest, &cases);
    assert!(wrong.is_empty(), "{wrong}");
}

/// How many cases are rehearsed; `NETAPPLY_REHEARSALS=500` rehearses all that there are.
const REHEARSALS: usize = 8;

/// Of the cases with a bond or a VLAN some, spread over all of them, rehearsed by an ordinary user; what went wrong.
fn rehearsed(guest: &mut Guest, cases: &[String]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut able: Vec<&String> = cases
        .iter()
        .filter(|case| {
            let plan = std::fs::read_to_string(root.join(case).join("plan.txt")).unwrap_or_default();
            let has_kind = plan.contains(" type bond") || plan.contains(" type vlan");
            has_kind && !rehearsal::needs_hardware(&root.join(case)) && nics(&root.join(case)).is_ok()
        })
        .collect();
    let wanted = std::env::var("NETAPPLY_REHEARSALS").ok().and_then(|count| count.parse().ok());
    let step = able.len().div_ceil(wanted.unwrap_or(REHEARSALS)).max(1);
    able = able.into_iter().step_by(step).collect();
    let mut wrong = String::new();
    for test in [
        "a_rehearsal_names_modules_and_what_forbids_it",
        "a_rehearsed_bond_has_its_partner",
        "the_documented_faults_of_a_lag_are_found",
    ] {
        let output = inside(guest, "true", test);
        if output.status != 0 {
            wrong += &format!("=== {test}\n{}", output.stdout);
        }
    }
    for case in able {
        let output =
            inside(guest, &format!("echo /testdata/{case} >/tmp/case"), "a_rehearsal_gives_the_same");
        if output.status != 0 {
            wrong += &format!("=== {case}, rehearsed\n{}", output.stdout);
        }
    }
    wrong
}

/// How many pairs of cases are tried: each takes seconds. `NETAPPLY_TRANSITIONS=500` tries more.
const TRANSITIONS: usize = 24;

/// From any case to any other: bonds, VLANs and tunnels, which the kernels of tests/netns/transitions.rs need not
/// support. `NETAPPLY_CASES='vrf eni/'` runs only those pairs whose names have all of the words.
#[test]
fn a_description_gives_the_same_after_any_other() {
    let mut cases =
        transition::cases_of(&["bond", "bridge", "dummy", "veth", "vlan", "vrf", "vxlan", "wireguard"], &[]);
    cases.retain(|case| !NOT_HERE.iter().any(|(listed, _)| golden::name(case) == *listed));
    let words = std::env::var("NETAPPLY_CASES").unwrap_or_default();
    let mut pairs = transition::pairs(&cases, transition::wanted(TRANSITIONS));
    pairs.retain(|pair| words.split_whitespace().all(|word| transition::name(pair).contains(word)));
    let mut run: Vec<String> =
        pairs.iter().flat_map(|(from, to)| [from, to]).map(|case| golden::name(case)).collect();
    run.sort();
    run.dedup();
    let mut guest = guest_with(Guest::builder(), &run);
    let pairs: Vec<String> = pairs.iter().map(transition::name).collect();
    let wrong = wrong(&pairs, |pair| {
        let (first, second) = pair.split_once(" -> ").expect("a pair");
        let prepare = format!("printf '/testdata/{first}\\n/testdata/{second}\\n' >/tmp/cases");
        passes(inside(&mut guest, &prepare, "the_second_of_two_is_as_if_alone"))
    });
    assert!(wrong.is_empty(), "{} pairs: {wrong}", pairs.len());
}

/// Every night: bonds and VLANs as nmstate's own library makes them without NetworkManager; tests/tools/nmstate.rs has the cases that
/// need neither.
#[test]
#[ignore = "builds nmstate; run every night"]
fn nmstate_makes_the_bonds_and_vlans_that_netapply_makes() {
    let has_kind = |case: &PathBuf| {
        let plan = std::fs::read_to_string(case.join("plan.txt")).unwrap_or_default();
        plan.contains(" type bond") || plan.contains(" type vlan")
    };
    let mut cases = transition::cases_of(nmstate::KINDS, &[]);
    cases.retain(|case| has_kind(case) && !NOT_HERE.iter().any(|(listed, _)| golden::name(case) == *listed));
    let cases: Vec<String> = cases.iter().map(|case| golden::name(case)).collect();
    let oracle = PathBuf::from(boot::script("tests/nmstate/build", &[]));
    let mut guest = guest_with(Guest::builder().program("/usr/bin/nmstate-oracle", &oracle), &cases);
    let mut same = 0;
    let wrong = wrong(&cases, |case| {
        let output =
            inside(&mut guest, &format!("echo /testdata/{case} >/tmp/case"), "nmstate_gives_the_same");
        same += usize::from(output.stdout.contains("outcome: Same"));
        passes(output)
    });
    assert!(wrong.is_empty(), "{wrong}");
    println!("the same: {same} of {}", cases.len());
    assert!(same > 10, "{same}");
}

/// What is wrong with those of these cases that fail.
fn wrong(cases: &[String], mut run: impl FnMut(&str) -> Result<(), String>) -> String {
    let failed = cases.iter().filter_map(|case| run(case).err().map(|what| (case.clone(), what))).collect();
    let still = golden::second_try(failed, run);
    still.iter().map(|(case, what)| format!("=== {case}\n{what}")).collect()
}

fn passes(output: Output) -> Result<(), String> {
    if output.status == 0 { Ok(()) } else { Err(output.stdout) }
}

/// A guest with these cases below /testdata.
fn guest_with(builder: Builder, cases: &[String]) -> Guest {
    let mut guest = builder.netapply().inside();
    for (path, key) in KEY_FILES {
        guest = guest.file(path, *key, 0o600);
    }
    for case in cases {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(case);
        guest = files(guest, &folder, &format!("/testdata/{case}"));
    }
    let mut guest = guest.boot();
    // No fallback tunnels and no stray bond, in no namespace.
    guest.ok("echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net; modprobe bonding max_bonds=0");
    guest
}

/// Runs a test of inside/golden.rs in a guest.
fn inside(guest: &mut Guest, prepare: &str, test: &str) -> Output {
    let test = format!("inside --ignored --exact --nocapture --color=never inside::golden::{test}");
    guest.run(&format!("{prepare}; exec {test} 2>&1"))
}

/// Whether a case's expected plan has steps.
fn has_steps(case: &Path) -> bool {
    !golden::steps(case).is_empty()
}

/// All files of a folder, into a folder of the guest.
fn files(mut guest: Builder, from: &Path, to: &str) -> Builder {
    for entry in std::fs::read_dir(from).expect("a folder of a case") {
        let path = entry.expect("a file of a case").path();
        let to = format!("{to}/{}", path.file_name().expect("a name").to_string_lossy());
        guest = match path.is_dir() {
            true => files(guest, &path, &to),
            false => guest.file(&to, std::fs::read(&path).expect("a file of a case"), 0o644),
        };
    }
    guest
}
