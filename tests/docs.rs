//! The commands and outputs in README.md and docs/ are real: each `$ netapply …` in a console block is run in the
//! project's root and its output compared. `NETAPPLY_BLESS=1 cargo test --test docs` rewrites the outputs.

use std::path::{Path, PathBuf};
use std::process::Command;

const BEGIN: &str = "```console\n";
const END: &str = "```\n";

#[test]
fn every_console_block_prints_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents: Vec<PathBuf> = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    documents.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path()));
    documents.retain(|path| path.extension().is_some_and(|e| e == "md"));
    let mut blocks = 0;
    for document in documents {
        let shown = std::fs::read_to_string(&document).unwrap();
        let mut real = String::new();
        let mut rest = shown.as_str();
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let (block, after) = after.split_once(END).expect("a console block without an end");
            real.push_str(before);
            real.push_str(BEGIN);
            real.push_str(&run(root, block));
            real.push_str(END);
            rest = after;
            blocks += 1;
        }
        real.push_str(rest);
        if std::env::var_os("NETAPPLY_BLESS").is_some() {
            std::fs::write(&document, real).unwrap();
        } else {
            assert!(shown == real, "{} shows what is not so; it should be:\n{real}", document.display());
        }
    }
    assert!(blocks >= 2, "only {blocks} console blocks were found");
}

/// The block with each command's real output.
fn run(root: &Path, block: &str) -> String {
    let mut out = String::new();
    for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut words = command.split_whitespace();
        assert_eq!(words.next(), Some("netapply"), "{command}");
        let output =
            Command::new(env!("CARGO_BIN_EXE_netapply")).current_dir(root).args(words).output().unwrap();
        out.push_str(&format!("$ {command}\n"));
        out.push_str(&String::from_utf8(output.stdout).unwrap());
        out.push_str(&String::from_utf8(output.stderr).unwrap());
    }
    out
}

/// Quoted lines that a console block cannot show, because they need a network: their fixed words are the program's.
#[test]
fn progress_lines_in_the_documents_match_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = std::fs::read_to_string(root.join("src/verify/words.rs")).unwrap();
    let mut quoted = 0;
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for line in text.lines().filter_map(|line| line.strip_prefix("netapply: waiting for ")) {
            // Between the fixed words are an address and a link, neither of which consists of letters and spaces alone.
            let fixed: String = line.chars().take_while(|c| c.is_alphabetic() || *c == ' ').collect();
            assert!(words.contains(&format!("\"{fixed}{{object}}")), "{}: {fixed}", path.display());
            assert!(words.contains("at most {} s more") && line.ends_with(" s more"), "{line}");
            quoted += 1;
        }
    }
    assert!(quoted > 0, "no document quotes a progress line");
}

/// Each row of the hand-off's matrix is printed by the test that verified it.
#[test]
fn every_tested_combination_has_a_test() {
    let (document, tests) = (include_str!("../docs/handoff.md"), include_str!("tools.rs"));
    let (_, table) = document.split_once("## Tested combinations").expect("the chapter");
    let rows: Vec<&str> = table.lines().filter(|row| row.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "{rows:?}");
    let tests: String = tests.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in rows {
        let state = row.split(" | ").next().unwrap_or_default().trim_start_matches("| ");
        assert!(tests.contains(&format!("\"{state}\"")), "no test for: {state}");
    }
}
