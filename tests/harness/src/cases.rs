//! The cases of testdata/, and where the description of each is.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The files of a case that are not its description.
const BESIDE: &[&str] = &["inventory.json", "plan.txt", "diagnostics.txt", "args"];

/// Every testdata/<format>/<case>, sorted.
pub fn cases() -> Vec<PathBuf> {
    let root = crate::root().join("testdata");
    let mut cases: Vec<PathBuf> = folders(&root).iter().flat_map(|format| folders(format)).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases found");
    cases
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).unwrap().map(|e| e.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// The description of a case: its one other file, or the whole folder if there are several.
pub fn source(case: &Path) -> String {
    let names = std::fs::read_dir(case).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut others: Vec<String> = names.filter(|name| !BESIDE.contains(&name.as_str())).collect();
    match others.len() {
        1 => others.remove(0),
        0 => panic!("{} has no description", case.display()),
        _ => ".".to_owned(),
    }
}

/// A case's name: `<format>/<case>`.
pub fn name(case: &Path) -> String {
    let root = crate::root().join("testdata");
    case.strip_prefix(root).expect("a case of testdata").display().to_string()
}

/// The steps of a case's expected plan, as ip(8) lines; none if the case has no plan.
pub fn steps(case: &Path) -> Vec<String> {
    let plan = std::fs::read_to_string(case.join("plan.txt")).unwrap_or_default();
    let listed = plan.lines().skip_while(|line| *line != "Steps:").skip(1);
    let listed = listed.take_while(|line| line.starts_with(' '));
    // "  12  ~ ip link set ...": a number, what it does to the machine, and the command.
    let command = |line: &str| {
        let line = line.trim().trim_start_matches(|c: char| c.is_ascii_digit()).trim();
        line.trim_start_matches(['+', '~', '-']).trim().to_owned()
    };
    listed.map(command).collect()
}

/// Those cases with which every kind of step and every option of one occurs at least once. Two steps are of a kind if
/// they differ in names, numbers and addresses only.
pub fn covering(mut cases: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut missing: BTreeSet<String> = cases.iter().flat_map(|case| kinds(case)).collect();
    let mut chosen = Vec::new();
    while !missing.is_empty() {
        let adds = |case: &PathBuf| kinds(case).intersection(&missing).count();
        // The first of those that add most, so that the choice is always the same.
        let best =
            (0..cases.len()).rev().max_by_key(|&at| adds(&cases[at])).expect("each kind is some case's");
        let case = cases.remove(best);
        missing = &missing - &kinds(&case);
        chosen.push(case);
    }
    chosen.sort();
    chosen
}

/// The kinds of a case's steps.
fn kinds(case: &Path) -> BTreeSet<String> {
    steps(case).iter().map(|step| kind(step)).collect()
}

/// What follows these words is a name.
const NAMED: &[&str] = &["dev", "name", "master", "link", "via", "conf", "altname", "primary"];

fn kind(step: &str) -> String {
    let mut is_named = false;
    let words = step.split([' ', '/']).map(|word| {
        let is_name = std::mem::replace(&mut is_named, NAMED.contains(&word));
        // "ip link set", "peer name": what follows is a word again.
        let is_value = is_name && !matches!(word, "add" | "set" | "property" | "name")
            || word.contains(|c: char| c.is_ascii_digit() || c == ':');
        if is_value { "*" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// How many failed cases of one test are tried again: more are no chance.
const SECOND_TRIES: usize = 2;

/// What is still wrong, by case, after a second try of those cases of a guest's test that failed: an emulated machine
/// can lose seconds at a time. What passes only then is named on standard error, which the test runner does not capture;
/// tests/all shows it at its end.
pub fn second_try(
    wrong: Vec<(String, String)>,
    mut again: impl FnMut(&str) -> Result<(), String>,
) -> Vec<(String, String)> {
    if wrong.len() > SECOND_TRIES {
        return wrong;
    }
    let mut still = Vec::new();
    for (case, first) in wrong {
        match again(&case) {
            Ok(()) => {
                let _ = writeln!(std::io::stderr(), "FLAKY: {case} passed only at its second try: {first}");
            }
            Err(second) => still.push((case, format!("{first}\n--- the second try\n{second}"))),
        }
    }
    still
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_cases_have_every_kind_of_step() {
        let all: Vec<PathBuf> = cases().into_iter().filter(|case| !steps(case).is_empty()).collect();
        let few = covering(all.clone());
        let kinds_of =
            |cases: &[PathBuf]| -> BTreeSet<String> { cases.iter().flat_map(|case| kinds(case)).collect() };
        assert_eq!(kinds_of(&few), kinds_of(&all));
        assert!(few.len() * 2 < all.len(), "{} of {}", few.len(), all.len());
        assert_eq!(kind("ip link set dev eno1 master br0"), kind("ip link set dev a master b"));
        assert_ne!(kind("ip link set dev eno1 mtu 9000"), kind("ip link set dev eno1 up"));
    }

    #[test]
    fn only_what_fails_twice_is_wrong() {
        let failed =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "first".to_owned())).collect();
        let only_b = |case: &str| if case == "b" { Err("again".to_owned()) } else { Ok(()) };
        let still = second_try(failed(&["a", "b"]), only_b);
        assert_eq!(still.iter().map(|(case, _)| case.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(second_try(failed(&["a", "c", "d"]), only_b).len(), 3);
    }
}
