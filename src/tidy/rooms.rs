//! Imports: the edges between rooms are those in ARCHITECTURE.md, and no two files import each other, directly or
//! through others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::source::{Module, modules, resolve};

type Edges = BTreeMap<String, BTreeSet<String>>;

/// For each file, those whose names it uses. A module may use what its parent defines, which is not counted; files that
/// contain only tests are left out.
fn files() -> Edges {
    let modules = modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let edges = |module: &Module| -> BTreeSet<String> {
        let used = module.paths().filter_map(|path| resolve(&modules, module, path));
        let others = used.filter(|other| other.file != module.file && !module.is_below(other));
        others.map(|other| other.file.clone()).collect()
    };
    modules.values().map(|module| (module.file.clone(), edges(module))).collect()
}

/// `format/value/net.rs` is in the room `format`, `cli.rs` is the room `cli`.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// For each room, the others that it uses; without `run`, which uses all of them.
fn rooms(files: &Edges) -> Edges {
    let mut rooms = Edges::new();
    for (file, used) in files.iter().filter(|(file, _)| !matches!(room(file), "run" | "lib")) {
        let others = used.iter().map(|other| room(other)).filter(|other| *other != room(file));
        rooms.entry(room(file).to_owned()).or_default().extend(others.map(str::to_owned));
    }
    rooms
}

/// The table below "## Edges": a room, and in the second column those that it may import.
fn table() -> Edges {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## Edges\n").expect("ARCHITECTURE.md has a section Edges");
    let section = section.split("\n## ").next().unwrap_or(section);
    let words =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut edges = Edges::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        for room in words(cells[0]) {
            edges.insert(room, cells.get(1).map_or_else(Vec::new, |cell| words(cell)).into_iter().collect());
        }
    }
    edges
}

#[test]
fn rooms_import_only_what_architecture_shows() {
    let (real, shown) = (rooms(&files()), table());
    assert!(real.len() > 10, "only {} rooms were found", real.len());
    let nothing = BTreeSet::new();
    let mut wrong = String::new();
    for (room, used) in &real {
        for other in used.difference(shown.get(room).unwrap_or(&nothing)) {
            wrong += &format!("{room} imports {other}, which the table does not allow\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}The table is in ARCHITECTURE.md, Edges.");
}

/// The name of a type tells a reader which room it belongs to.
#[test]
fn types_of_different_rooms_have_different_names() {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).values() {
        for name in &module.types {
            rooms.entry(name.clone()).or_default().insert(room(&module.file).to_owned());
        }
    }
    assert!(rooms.len() > 300, "only {} types were found", rooms.len());
    rooms.retain(|_, rooms| rooms.len() > 1);
    assert!(rooms.is_empty(), "one name for types of different rooms: {rooms:#?}");
}

/// The files that one uses, directly or through others.
fn reached<'f>(files: &'f Edges, from: &str) -> BTreeSet<&'f str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = files[from].iter().map(String::as_str).collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(files[file].iter().map(String::as_str));
        }
    }
    found
}

/// Every file that imports itself through others, with those.
fn circles(files: &Edges) -> BTreeSet<Vec<&str>> {
    let all: BTreeMap<&str, BTreeSet<&str>> = files.keys().map(|f| (f.as_str(), reached(files, f))).collect();
    let in_circle = all.iter().filter(|(file, others)| others.contains(*file));
    in_circle
        .map(|(file, others)| others.iter().copied().filter(|other| all[other].contains(file)).collect())
        .collect()
}

#[test]
fn no_files_import_each_other() {
    let files = files();
    let mut wrong = String::new();
    for circle in circles(&files) {
        for file in &circle {
            let used: Vec<&str> =
                files[*file].iter().map(String::as_str).filter(|other| circle.contains(other)).collect();
            wrong += &format!("{file} imports {}\n", used.join(", "));
        }
        wrong.push('\n');
    }
    assert!(
        wrong.is_empty(),
        "files that import each other:\n{wrong}Move what both need to a file below them."
    );
}
