//! Cases of testdata/ in a guest: the result of applying a description, and of the script that it prints; and the
//! result on a machine that had another description before.
//!
//! One machine runs `netapply apply`, the other `sh -e` with the output of `netapply --dry-run --format sh` there. The
//! kernel's state must be the same, and netapply must find nothing left to do on either. Entry points:
//! [`scripts_give_the_same`] and [`the_second_of_two_is_as_if_alone`].

use std::fs;
use std::path::{Path, PathBuf};

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
