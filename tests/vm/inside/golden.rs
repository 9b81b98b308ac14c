//! Cases of testdata/ in a guest: the result of applying a description, and of the script that it prints; and the
//! result on a machine that had another description before.
//!
//! One machine runs `netapply apply`, the other `sh -e` with the output of `netapply --dry-run --format sh` there. The
//! kernel's state must be the same, and netapply must find nothing left to do on either. Entry points:
//! [`scripts_give_the_same`] and [`the_second_of_two_is_as_if_alone`].

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::disturb::said;
use harness::faults;
use harness::nmstate;
use harness::rehearsal::same_as_applied;
use harness::transition;
use harness::world::{Description, World, make, nics, until_same};

/// Runs the case whose folder is named in /tmp/case.
#[test]
#[ignore = "runs inside a guest"]
fn scripts_give_the_same() {
    let case = fs::read_to_string("/tmp/case").expect("/tmp/case");
    if let Err(what) = run(Path::new(case.trim())) {
        panic!("{what}");
    }
}

/// A `netapply rehearse` by an ordinary user.
fn rehearse() -> Command {
    let mut command = Command::new("netapply");
    command.arg("rehearse").uid(65534).gid(65534);
    command
}

/// Rehearses the case whose folder /tmp/case names.
#[test]
#[ignore = "runs inside a guest"]
fn a_rehearsal_gives_the_same() {
    let case = fs::read_to_string("/tmp/case").expect("/tmp/case");
    if let Err(what) = same_as_applied(Path::new(case.trim()), Path::new("netapply"), rehearse()) {
        panic!("{what}");
    }
}

/// Applies the case whose folder /tmp/case names, and with nmstate what it is converted to.
#[test]
#[ignore = "runs inside a guest"]
fn nmstate_gives_the_same() {
    let case = fs::read_to_string("/tmp/case").expect("/tmp/case");
    match nmstate::same(Path::new(case.trim()), Path::new("netapply"), Path::new("nmstate-oracle")) {
        Ok(outcome) => println!("outcome: {outcome:?}"),
        Err(what) => panic!("{what}"),
    }
}

/// What a rehearsal says of modules, and of a kernel that forbids it.
#[test]
#[ignore = "runs inside a guest"]
fn a_rehearsal_names_modules_and_what_forbids_it() {
    let text = "network: {version: 2, ethernets: {a: {addresses: [192.0.2.2/24]}}, tunnels: {t: {mode: gre, local: 192.0.2.2, remote: 192.0.2.9}}}";
    fs::write("/tmp/net.yaml", text).expect("a description");
    let run = |arguments: &[&str]| {
        let output = rehearse()
            .args(arguments)
            .args(["--no-verify", "/tmp/net.yaml"])
            .output()
            .expect("netapply runs");
        (output.status.code(), said(&output))
    };
    let modules = || fs::read_to_string("/proc/modules").expect("modules");
    assert!(!modules().contains("ip_gre"), "the test needs a module that is not loaded");
    let (exit, text) = run(&["--no-modules"]);
    assert!(
        exit == Some(5) && text.contains("it is not loaded, and --no-modules is given"),
        "{exit:?} {text}"
    );
    assert!(!modules().contains("ip_gre"), "{text}");
    // Nor does verification load one.
    let before = modules();
    let names = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    let plain = "network: {version: 2, ethernets: {a: {addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]}}}";
    fs::write("/tmp/plain.yaml", plain).expect("a description");
    let output =
        rehearse().args(["--no-modules", "--wait=10", "/tmp/plain.yaml"]).output().expect("netapply runs");
    assert_eq!(names(&modules()), names(&before), "{}", said(&output));
    let (exit, text) = run(&[]);
    assert!(
        exit == Some(0) && text.contains("the kernel loaded modules: ") && text.contains("ip_gre"),
        "{exit:?} {text}"
    );
    for (key, remedy) in [
        ("kernel/unprivileged_userns_clone", "as root: sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "as root: sysctl -w user.max_user_namespaces=10000"),
    ] {
        let path = format!("/proc/sys/{key}");
        let usual = fs::read_to_string(&path).expect("Debian's kernel has it");
        fs::write(&path, "0").expect("root may");
        let (exit, text) = run(&[]);
        fs::write(&path, usual).expect("root may");
        assert!(exit == Some(5) && text.contains(remedy), "{exit:?} {text}");
    }
}

/// A bond has its partner, and a VLAN of it answers.
#[test]
#[ignore = "runs inside a guest"]
fn a_rehearsed_bond_has_its_partner() {
    let text = "network:
  version: 2
  ethernets:
    a: {}
    b: {}
    c: {}
    d: {}
    e: {addresses: [172.16.0.2/24], routes: [{to: 172.17.0.0/16, via: 172.16.0.1, table: 10}]}
    f: {addresses: [172.16.0.3/24], routes: [{to: 172.17.0.0/16, via: 172.16.0.1, table: 20}]}
  vrfs: {red: {table: 10, interfaces: [e]}, blue: {table: 20, interfaces: [f]}}
  bonds:
    bond0: {interfaces: [a, b], mtu: 9000, parameters: {mode: 802.3ad, mii-monitor-interval: 100}}
    bond1: {interfaces: [c, d], parameters: {mode: active-backup, mii-monitor-interval: 100}, addresses: [10.0.0.2/24],
      routes: [{to: 10.1.0.0/16, via: 10.0.0.1}]}
  vlans:
    v100: {id: 100, link: bond0, addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}],
      nameservers: {addresses: [192.0.2.53]}}
    v7: {id: 7, link: bond1, addresses: [10.7.0.2/31], routes: [{to: 10.8.0.0/16, via: 10.7.0.3}]}
";
    fs::write("/tmp/net.yaml", text).expect("a description");
    let output = rehearse().args(["--handoff", "none", "/tmp/net.yaml"]).output().expect("netapply runs");
    let text = said(&output);
    // What cannot be asked of a busy machine in time is no fault.
    assert!(!text.contains("FAIL"), "{text}");
    for words in [
        "bond0",
        "a  LACP ",
        "192.0.2.1  answers",
        "packets of 9000 bytes pass",
        "10.7.0.3  answers",
        "192.0.2.53  answers",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    // Two VRFs with one subnet.
    assert_eq!(text.matches("172.16.0.1  answers").count(), 2, "{text}");
}

/// The switches of docs/rehearse.md that need a bond or a VLAN.
#[test]
#[ignore = "runs inside a guest"]
fn the_documented_faults_of_a_lag_are_found() {
    let mut all = faults::documented(include_str!("../../../docs/rehearse.md"));
    all.retain(faults::Documented::needs_guest);
    assert!(all.len() > 4, "{} switches", all.len());
    let wrong = faults::rehearse(all, rehearse);
    assert!(wrong.is_empty(), "{wrong}");
}

/// Applies the two cases whose folders are named in /tmp/cases, one per line.
#[test]
#[ignore = "runs inside a guest"]
fn the_second_of_two_is_as_if_alone() {
    let text = fs::read_to_string("/tmp/cases").expect("/tmp/cases");
    let cases: Vec<&Path> = text.lines().map(Path::new).collect();
    if let Err(what) = transition::run(cases[0], cases[1], Path::new("netapply")) {
        panic!("{what}");
    }
}

fn run(case: &Path) -> Result<(), String> {
    let nics = nics(case)?;
    let description = Description { case: case.to_owned(), program: PathBuf::from("netapply") };
    let (applied, scripted) = (World::default(), World::default());
    let ((one, other), (left, right)) =
        ((description.clone(), description.clone()), (nics.clone(), nics.clone()));
    let by_netapply = applied.start(move || make(&left).and_then(|()| one.apply().map(drop)));
    let by_script = scripted.start(move || make(&right).and_then(|()| other.script()));
    by_netapply.recv().expect("the machine lives")?;
    let script = by_script.recv().expect("the machine lives")?;
    until_same(&applied, &scripted, script.contains("ethtool")).map_err(|differs| {
        format!("only after netapply -, only after the script +\n{differs}--- the script\n{script}")
    })?;
    for (world, whose) in [(&applied, "netapply apply"), (&scripted, "the script")] {
        let description = description.clone();
        let left = world.run(move || description.left_to_do())?;
        if !left.is_empty() {
            return Err(format!("left to do after {whose}:\n{left}--- the script\n{script}"));
        }
    }
    Ok(())
}
