//! The cases of testdata/, and where the description of each is.

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
