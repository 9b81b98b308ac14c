//! Walks testdata/<format>/<case>: runs the program on each case's file and compares what it prints with the expectation
//! beside it. A case with an `inventory.json` is planned for that machine (`plan.txt`), one without is checked
//! (`diagnostics.txt`). `NETAPPLY_BLESS=1 cargo test --test golden` writes the expectations anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use netapply::diagnostic::Code;

use cases::{cases, source};

#[path = "golden/cases.rs"]
mod cases;

#[test]
fn every_case_prints_what_is_expected() {
    let bless = std::env::var_os("NETAPPLY_BLESS").is_some();
    let cases = cases();
    let mut wrong = String::new();
    for case in &cases {
        let (name, printed) = run(case);
        let expectation = case.join(name);
        if bless {
            std::fs::write(&expectation, &printed).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&expectation).unwrap_or_default();
        if expected != printed {
            let _ = writeln!(wrong, "--- {}\n{}", expectation.display(), difference(&expected, &printed));
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong}NETAPPLY_BLESS=1 writes the expectations anew; read them before you commit"
    );
}

/// Codes about the text or the plan that no case here can raise: from /dev, or only without an inventory, or of a text too
/// large to keep.
const WITHOUT_CASE: &[&str] = &["nic-stand-in", "too-many", "unreadable"];

#[test]
fn every_code_has_a_case_that_raises_it() {
    let read = |case: &PathBuf| {
        let name = if case.join("inventory.json").exists() { "plan.txt" } else { "diagnostics.txt" };
        std::fs::read_to_string(case.join(name)).unwrap_or_default()
    };
    let all: String = cases().iter().map(read).collect();
    let raised = |code: &Code| all.contains(&format!(" [{code}]\n"));
    // The codes of the kernel and of verification come last: a machine raises them.
    let codes = Code::ALL.iter().take_while(|c| **c != Code::KernelRefused);
    let missing: Vec<&str> =
        codes.filter(|c| !raised(c) && !WITHOUT_CASE.contains(&c.text())).map(|c| c.text()).collect();
    assert!(missing.is_empty(), "no case in testdata raises {}", missing.join(", "));
}

/// The expectation's name, and what the program prints on both streams, with its exit code.
fn run(case: &Path) -> (&'static str, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.current_dir(case).env_remove("TERM");
    let name = if case.join("inventory.json").exists() {
        command.args(["--dry-run", "--inventory", "inventory.json"]);
        "plan.txt"
    } else {
        command.arg("check");
        "diagnostics.txt"
    };
    if let Ok(more) = std::fs::read_to_string(case.join("args")) {
        command.args(more.split_whitespace());
    }
    let output = command.arg(source(case)).output().unwrap();
    let mut printed = String::from_utf8(output.stdout).unwrap();
    printed.push_str(&String::from_utf8(output.stderr).unwrap());
    let code = output.status.code().unwrap_or_else(|| panic!("{}: ended by a signal", case.display()));
    let _ = writeln!(printed, "exit {code}");
    (name, printed)
}

/// The first lines that differ.
fn difference(expected: &str, printed: &str) -> String {
    let (mut old, mut new) = (expected.lines(), printed.lines());
    let mut out = String::new();
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                for (sign, line) in [("-", a), ("+", b)] {
                    if let Some(line) = line {
                        let _ = writeln!(out, "{number:>4} {sign} {line}");
                    }
                }
            }
        }
        if out.lines().count() > 12 {
            out.push_str("     …\n");
            break;
        }
    }
    out
}
