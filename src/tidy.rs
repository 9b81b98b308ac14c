//! Project rules that no lint checks. Reads the sources; part of the unit tests.

mod rooms;
mod source;

use std::path::{Path, PathBuf};

/// Every Rust file of the package.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    found
}

/// Whether the condition that begins at `if let` or `while let` continues with `&&` before its block.
fn is_chain(rest: &str) -> bool {
    let mut depth = 0;
    let mut previous = ' ';
    let value = rest.split_once(" = ").map_or("", |(_pattern, value)| value);
    for each in value.chars() {
        match each {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' | ';' if depth == 0 => return false,
            '&' if previous == '&' && depth == 0 => return true,
            _ => {}
        }
        previous = each;
    }
    false
}

/// Let chains compile with current compilers but not with Rust 1.85, which is `rust-version` and what Debian 13 has. No
/// lint reports them.
#[test]
fn no_let_chains() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let starts =
            ["if let ", "while let "].map(|word| text.match_indices(word).collect::<Vec<_>>()).concat();
        for (start, word) in starts {
            if is_chain(&text[start + word.len()..]) {
                found.push((path.clone(), text[..start].lines().count()));
            }
        }
        for (start, _) in text.match_indices(concat!("&& ", "let ")) {
            found.push((path.clone(), text[..start].lines().count()));
        }
    }
    let places: Vec<String> = found.iter().map(|(path, line)| format!("{}:{line}", path.display())).collect();
    assert!(places.is_empty(), "let chains need Rust 1.88, netapply builds with 1.85: {places:#?}");
}

/// Every type of item that is sorted by the standard library has a copy of its sort, 4 KB of the binary.
#[test]
fn only_order_sorts() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap();
        let is_exempt = ["src/order.rs", "tests.rs"].iter().any(|end| name.ends_with(end));
        if !name.starts_with("src/") || name.starts_with("src/tidy") || is_exempt {
            continue;
        }
        let code = source::without_tests(&source::code(&text));
        let sorts = [".sort(", ".sort_"].map(|word| code.match_indices(word).collect::<Vec<_>>()).concat();
        found.extend(sorts.iter().map(|(at, _)| (path.clone(), code[..*at].lines().count())));
    }
    assert!(found.is_empty(), "use order::Order: {found:#?}");
}
