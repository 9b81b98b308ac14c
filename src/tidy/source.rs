//! Parses the sources as far as imports need it: which names a file defines, which paths it uses, and the file that a
//! path leads to. Comments, literals and test-only code are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One file.
pub(super) struct Module {
    /// Below src, as `format/value.rs`.
    pub(super) file: String,
    /// `["format", "value"]`; empty for lib.rs.
    name: Vec<String>,
    /// Names of functions, types, constants and macros.
    defined: BTreeSet<String>,
    /// Names of the types and traits that other files may use.
    pub(super) types: BTreeSet<String>,
    /// What `use` imports: the name here, and the path. A glob's name is `*`.
    imports: Vec<(String, Vec<String>)>,
    /// Those of the paths that are only re-exported: `pub use`.
    handed_on: Vec<Vec<String>>,
    /// Other paths with `::` in them.
    paths: Vec<Vec<String>>,
}

/// By their names.
pub(super) type Modules = BTreeMap<Vec<String>, Module>;

impl Module {
    /// Whether this module is below that one: `format::value` below `format`.
    pub(super) fn is_below(&self, other: &Module) -> bool {
        self.name.len() > other.name.len() && self.name.starts_with(&other.name)
    }

    /// Every path in this file, except re-exports.
    pub(super) fn paths(&self) -> impl Iterator<Item = &[String]> {
        let imports = self.imports.iter().filter(|(_, path)| !self.handed_on.contains(path));
        imports.map(|(_, path)| path.as_slice()).chain(self.paths.iter().map(Vec::as_slice))
    }
}

/// Every module below this folder that is part of the program.
pub(super) fn modules(src: &Path) -> Modules {
    let mut modules = Modules::new();
    read(src, Path::new("lib.rs"), Vec::new(), &mut modules);
    modules
}

/// Reads a file and the modules that it declares.
fn read(src: &Path, file: &Path, name: Vec<String>, modules: &mut Modules) {
    let text = std::fs::read_to_string(src.join(file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let code = without_tests(&code(&text));
    let tokens = tokens(&code);
    let module = Module {
        file: file.display().to_string(),
        defined: defined(&tokens),
        types: types(&tokens),
        imports: imports(&tokens, |_| true),
        handed_on: imports(&tokens, |before| before == "pub" || before == ")")
            .into_iter()
            .map(|(_, p)| p)
            .collect(),
        paths: paths(&tokens),
        name: name.clone(),
    };
    let is_folder = name.is_empty() || file.ends_with("mod.rs");
    let folder = if is_folder { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    modules.insert(name.clone(), module);
    for child in declared(&tokens) {
        let below = [name.as_slice(), std::slice::from_ref(&child)].concat();
        let flat = folder.join(format!("{child}.rs"));
        let path = if src.join(&flat).exists() { flat } else { folder.join(&child).join("mod.rs") };
        read(src, &path, below, modules);
    }
}

/// The file with the definition of this path, written in `module`. `None` for another crate's, for the language's own,
/// and for a module as such.
pub(super) fn resolve<'m>(modules: &'m Modules, module: &Module, path: &[String]) -> Option<&'m Module> {
    match find(modules, &module.name, path, 0)? {
        Found::Item(module) => Some(module),
        Found::Module(_) => None,
    }
}

enum Found<'m> {
    Module(Vec<String>),
    /// Defined in this one.
    Item(&'m Module),
}

/// Imports may lead to imports; this is how many are followed.
const DEEPEST: usize = 20;

fn find<'m>(modules: &'m Modules, from: &[String], path: &[String], depth: usize) -> Option<Found<'m>> {
    if depth > DEEPEST {
        return None;
    }
    let (first, rest) = path.split_first()?;
    let mut here = match first.as_str() {
        "crate" | "netapply" => Vec::new(),
        "self" => from.to_vec(),
        "super" => from[..from.len().checked_sub(1)?].to_vec(),
        _ => match named(modules, from, first, depth)? {
            Found::Module(name) => name,
            item @ Found::Item(_) => return Some(item),
        },
    };
    for (position, word) in rest.iter().enumerate() {
        if word == "super" {
            here.pop();
            continue;
        }
        if word == "*" || word == "self" {
            break;
        }
        match named(modules, &here, word, depth) {
            Some(Found::Module(name)) => here = name,
            Some(item @ Found::Item(_)) => return Some(item),
            // Made by a macro: counts as the named file's.
            None if position > 0 || first == "super" || first == "crate" => {
                return modules.get(&here).map(Found::Item);
            }
            None => return None,
        }
    }
    Some(Found::Module(here))
}

/// The meaning of a name in a module.
fn named<'m>(modules: &'m Modules, within: &[String], name: &str, depth: usize) -> Option<Found<'m>> {
    let below = [within, &[name.to_owned()]].concat();
    if modules.contains_key(&below) {
        return Some(Found::Module(below));
    }
    let module = modules.get(within)?;
    if module.defined.contains(name) {
        return Some(Found::Item(module));
    }
    let import = module.imports.iter().find(|(as_name, path)| as_name == name && path.last() != path.first());
    if let Some((_, path)) = import {
        return find(modules, within, path, depth + 1);
    }
    let globs = module.imports.iter().filter(|(as_name, _)| as_name == "*");
    globs.into_iter().find_map(|(_, path)| match find(modules, within, path, depth + 1)? {
        Found::Module(other) if other != within => named(modules, &other, name, depth + 1),
        _ => None,
    })
}

/// The text without comments, and with every literal empty.
pub(super) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if rest.starts_with("r\"") && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            rest[2..].find('"').map_or(rest.len(), |end| end + 3)
        } else if first == '"' {
            1 + end_of_literal(&rest[1..], '"')
        } else if first == '\'' && is_character(rest) {
            1 + end_of_literal(&rest[1..], '\'')
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.push(' ');
        rest = &rest[skipped..];
    }
    out
}

/// Not a lifetime.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    let (one, two) = (chars.next(), chars.next());
    one == Some('\\') || two == Some('\'')
}

fn end_of_literal(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, each) in text.char_indices() {
        match each {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if each == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The code without the items below `#[cfg(test)]`.
pub(super) fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let mut depth = 0;
        let end = after.find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && (c == ';' || c == '}')
        });
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    out + rest
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        out.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    out
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The modules in files of their own.
fn declared(tokens: &[&str]) -> Vec<String> {
    let declares = |three: &&[&str]| three[0] == "mod" && three[2] == ";";
    tokens.windows(3).filter(declares).map(|three| three[1].to_owned()).collect()
}

fn defined(tokens: &[&str]) -> BTreeSet<String> {
    const KEYWORDS: &[&str] = &["fn", "struct", "enum", "trait", "const", "static", "type", "union"];
    let pairs = tokens.windows(2).filter(|pair| KEYWORDS.contains(&pair[0]) && is_word(pair[1]));
    let macros = tokens.windows(3).filter(|three| three[0] == "macro_rules").map(|three| three[2]);
    pairs.map(|pair| pair[1]).chain(macros).map(str::to_owned).collect()
}

fn types(tokens: &[&str]) -> BTreeSet<String> {
    let is_type = |three: &&[&str]| {
        matches!(three[0], "pub" | ")") && matches!(three[1], "struct" | "enum" | "trait" | "type" | "union")
    };
    tokens.windows(3).filter(is_type).map(|three| three[2].to_owned()).collect()
}

/// Where each `use` begins and ends.
fn uses(tokens: &[&str]) -> Vec<(usize, usize)> {
    let begins = tokens.iter().enumerate().filter(|(_, token)| **token == "use").map(|(at, _)| at + 1);
    begins
        .map(|begin| (begin, tokens[begin..].iter().position(|t| *t == ";").map_or(begin, |n| begin + n)))
        .collect()
}

/// The imports of each `use` whose preceding token is as requested: `)` ends `pub(crate)`.
fn imports(tokens: &[&str], wanted: impl Fn(&str) -> bool) -> Vec<(String, Vec<String>)> {
    let mut out = Vec::new();
    let before = |begin: usize| if begin < 2 { "" } else { tokens[begin - 2] };
    for (begin, end) in uses(tokens).into_iter().filter(|(begin, _)| wanted(before(*begin))) {
        tree(&tokens[begin..end], &[], &mut out);
    }
    out
}

/// One path of a `use`, with the content of its braces.
fn tree(tokens: &[&str], before: &[String], out: &mut Vec<(String, Vec<String>)>) {
    if let Some(open) = tokens.iter().position(|token| *token == "{") {
        let path = [before, &words(&tokens[..open])].concat();
        let (mut depth, mut begin) = (0, open + 1);
        for (at, token) in tokens.iter().enumerate().skip(open) {
            match *token {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 || depth == 1 && *token == "," {
                tree(&tokens[begin..at], &path, out);
                begin = at + 1;
            }
        }
        return;
    }
    let (path, alias) = match tokens.iter().position(|token| *token == "as") {
        Some(at) => (&tokens[..at], tokens.get(at + 1)),
        None => (tokens, None),
    };
    let path = [before, &words(path)].concat();
    let name = path.iter().rev().find(|word| *word != "self");
    if let Some(name) = alias.map(|alias| (*alias).to_owned()).or(name.cloned()) {
        out.push((name, path));
    }
}

fn words(tokens: &[&str]) -> Vec<String> {
    tokens.iter().filter(|token| is_word(token) || **token == "*").map(|token| (*token).to_owned()).collect()
}

/// Paths outside of `use`.
fn paths(tokens: &[&str]) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            at += tokens[at..].iter().position(|token| *token == ";").unwrap_or(1);
            continue;
        }
        let mut path = vec![tokens[at].to_owned()];
        while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|token| is_word(token)) {
            at += 2;
            path.push(tokens[at].to_owned());
        }
        if path.len() > 1 && is_word(&path[0]) {
            out.push(path);
        }
        at += 1;
    }
    out
}

#[test]
fn paths_resolve_to_the_file_that_defines_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("lib.rs", "pub mod a; mod b; #[cfg(test)] mod tests;");
    put(
        "a/mod.rs",
        "mod deep; pub use deep::{Thing, other as Renamed}; pub fn own<'a>(c: &'a str) -> char { '\"' }",
    );
    put("a/deep.rs", "pub struct Thing; pub fn other() {} // crate::b::comment()");
    put(
        "b.rs",
        "use crate::a::{self, Thing}; use super::a::Renamed; fn f() { a::own(\"crate::b::f\"); std::mem::drop(1) }
        #[cfg(test)] mod tests { use crate::nowhere::N; }",
    );
    let modules = modules(folder.path());
    assert_eq!(
        modules.values().map(|m| m.file.as_str()).collect::<Vec<_>>(),
        ["lib.rs", "a/mod.rs", "a/deep.rs", "b.rs"]
    );
    let b = &modules[&vec!["b".to_owned()]];
    let mut found: Vec<(String, Option<&str>)> = b
        .paths()
        .map(|path| (path.join("::"), resolve(&modules, b, path).map(|m| m.file.as_str())))
        .collect();
    found.sort();
    let expected = [
        ("a::own", Some("a/mod.rs")),
        ("crate::a::Thing", Some("a/deep.rs")),
        ("crate::a::self", None),
        ("std::mem::drop", None),
        ("super::a::Renamed", Some("a/deep.rs")),
    ];
    assert_eq!(found, expected.map(|(path, file)| (path.to_owned(), file)));
}
