//! The cases of testdata/, and where in each of them its description is.

use std::path::{Path, PathBuf};

/// The files of a case that are not its description.
const BESIDE: &[&str] = &["inventory.json", "plan.txt", "diagnostics.txt", "args"];

/// Every testdata/<format>/<case>, sorted.
pub(crate) fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut cases: Vec<PathBuf> = folders(&root).iter().flat_map(|format| folders(format)).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases found");
    cases
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).unwrap().map(|e| e.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// The description of a case: its one other file, or the whole folder where there are several.
pub(crate) fn source(case: &Path) -> String {
    let names = std::fs::read_dir(case).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut others: Vec<String> = names.filter(|name| !BESIDE.contains(&name.as_str())).collect();
    match others.len() {
        1 => others.remove(0),
        0 => panic!("{} has no description", case.display()),
        _ => ".".to_owned(),
    }
}
