//! Each case of testdata/<format>/<case> is a test with that name: `cargo test --test golden netplan/` runs those of a
//! format. A case runs the program on its file and compares the output with the expectation next to it: one with an
//! `inventory.json` is planned for that machine (`plan.txt`), one without is checked (`diagnostics.txt`).
//! `NETAPPLY_BLESS=1 cargo test --test golden` rewrites the expectations.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use harness::cases::{cases, name, source};
use libtest_mimic::{Arguments, Failed, Trial};
use netapply::diagnostic::Code;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = cases()
        .into_iter()
        .map(|case| Trial::test(name(&case), move || prints_what_is_expected(&case)))
        .collect();
    trials.push(Trial::test("every_code_has_a_case_that_raises_it", every_code_has_a_case_that_raises_it));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn prints_what_is_expected(case: &Path) -> Result<(), Failed> {
    let printed = run(case)?;
    let expectation = case.join(expectation(case));
    if std::env::var_os("NETAPPLY_BLESS").is_some() {
        return std::fs::write(&expectation, &printed).map_err(|error| Failed::from(error.to_string()));
    }
    let expected = std::fs::read_to_string(&expectation).unwrap_or_default();
    if expected == printed {
        return Ok(());
    }
    Err(Failed::from(format!(
        "--- {}\n{}NETAPPLY_BLESS=1 writes the expectation anew; read it before you commit",
        expectation.display(),
        difference(&expected, &printed)
    )))
}

/// Codes about the text or the plan that no case here can raise: from /dev, or only without an inventory, of a text too
/// large to keep, of a conversion, or of two sources.
const WITHOUT_CASE: &[&str] = &["nic-stand-in", "not-in-format", "superseded", "too-many", "unreadable"];

fn every_code_has_a_case_that_raises_it() -> Result<(), Failed> {
    let all: String = cases()
        .iter()
        .map(|case| std::fs::read_to_string(case.join(expectation(case))).unwrap_or_default())
        .collect();
    let raised = |code: &Code| all.contains(&format!(" [{code}]\n"));
    // The codes of the kernel and of verification come last: they need a machine.
    let codes = Code::ALL.iter().take_while(|c| **c != Code::KernelRefused);
    let missing: Vec<&str> =
        codes.filter(|c| !raised(c) && !WITHOUT_CASE.contains(&c.text())).map(|c| c.text()).collect();
    match missing[..] {
        [] => Ok(()),
        _ => Err(Failed::from(format!("no case in testdata raises {}", missing.join(", ")))),
    }
}

/// The file with a case's expected output.
fn expectation(case: &Path) -> &'static str {
    if case.join("inventory.json").exists() { "plan.txt" } else { "diagnostics.txt" }
}

/// The program's output on both streams, with its exit status.
fn run(case: &Path) -> Result<String, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.current_dir(case).env_remove("TERM");
    match expectation(case) {
        "plan.txt" => command.args(["--dry-run", "--inventory", "inventory.json"]),
        _ => command.args(["check", "--log", "info"]),
    };
    if let Ok(more) = std::fs::read_to_string(case.join("args")) {
        command.args(more.split_whitespace());
    }
    let output = command.arg(source(case)).output()?;
    let mut printed = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    let code = output.status.code().ok_or_else(|| Failed::from(format!("ended by {}", output.status)))?;
    let _ = writeln!(printed, "exit {code}");
    Ok(printed)
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
