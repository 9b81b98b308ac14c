//! One tree of values with line and column, from JSON and from YAML.
//!
//! Scalars keep their text: each format decides whether `1500`, `"1500"` or `yes` is a number, a string or a boolean.
//! [`parse`] is the entry; [`path_of`] finds the keys that lead to a place.

mod block;
mod json;
mod yaml;

use crate::diagnostic::{Code, Diagnostic};
use crate::model::Place;

/// How many bytes of a document are read.
pub const MAX_BYTES: usize = 10 << 20;
/// How many values a document may have. A machine with a thousand VLANs and as many networks and routes has twenty
/// thousand; the results of a hundred thousand fit in 128 MiB.
pub(super) const MAX_NODES: usize = 100_000;
/// How many values a list or mapping may have: links are many times larger than their text.
pub(super) const MAX_ITEMS: usize = 20_000;
/// How deep lists and mappings may be nested.
const MAX_DEPTH: usize = 100;
/// How many characters of YAML may separate two events. The parser keeps a whole flow collection (`[…]`) until it knows
/// whether that is a key, in sixty times the memory.
const MAX_UNREAD: usize = 256 << 10;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its first character.
    pub at: Place,
    /// Its content.
    pub value: Value,
}

/// The content of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's `null`; in YAML an empty value, `~` or `null`.
    Null,
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in file order; a key may occur twice.
    Map(Vec<Entry>),
}

/// A scalar's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// As written, without quotes and escapes.
    pub text: String,
    /// Whether it was quoted: certainly a string.
    pub quoted: bool,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub key_at: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A string as a value of its own: a key, or a part of a longer one.
    pub fn scalar(text: &str, at: Place) -> Node {
        Node { at, value: Value::Scalar(Scalar { text: text.to_owned(), quoted: true }) }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The items of a list; empty for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key of a mapping, the last if it is repeated.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().rev().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// Its type, for a message: `a list`.
    pub fn noun(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// A key that its mapping already has. The format decides whether the last value counts, both do, or it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The key.
    pub key: String,
    /// Where it occurs again.
    pub at: Place,
    /// Where it occurs first.
    pub first: Place,
}

impl Duplicate {
    /// The diagnostic if the last value is used, as in most programs.
    pub fn last_is_used(&self) -> Diagnostic {
        self.diagnostic("the last one is used", "remove one of the two")
    }

    /// The diagnostic, with how the two are treated and what to do.
    pub fn diagnostic(&self, outcome: &str, hint: &str) -> Diagnostic {
        let message = format!("duplicate key \"{}\", first on line {}: {outcome}", self.key, self.first.line);
        Diagnostic::new(Code::DuplicateKey, self.at, message).hint(hint)
    }
}

/// A document's values and syntax diagnostics.
#[derive(Debug)]
pub struct Tree {
    /// The values.
    pub root: Node,
    /// Keys that occur more than once in their mapping.
    pub duplicates: Vec<Duplicate>,
    /// What was tolerated: JSON that only a YAML parser accepts.
    pub tolerated: Option<Diagnostic>,
}

/// A value of a file that has several: a document, a line, or an entry of its mapping.
#[derive(Debug)]
pub struct TreePart {
    /// An entry's key, and where it is.
    pub key: Option<(String, Place)>,
    /// The value, or why it cannot be read.
    pub value: Result<Tree, Diagnostic>,
}

/// Whether a file is several values: YAML documents or JSON lines.
pub fn is_several(text: &str) -> bool {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    if body.trim_start().starts_with(['{', '[']) {
        return json::is_several(body);
    }
    if !body.contains("\n---") {
        return false;
    }
    let says_something = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut lines = body.lines().filter(says_something).skip_while(|line| begins_document(line));
    lines.next().is_some() && lines.skip_while(|line| !begins_document(line)).nth(1).is_some()
}

/// `---`, with or without something after it.
fn begins_document(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']))
}

/// Reads a file of any size value by value: its documents or lines, or with `entries` the entries or items of its first
/// value. Each has the limits of a file of its own. Ends when `found` returns false; an error that ends the file early
/// is its last part.
pub fn each(text: &str, entries: bool, found: &mut dyn FnMut(TreePart) -> bool) {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_json = body.trim_start().starts_with(['{', '[']);
    let read = match (is_json, entries) {
        (true, true) => json::entries(body, 0, found),
        (true, false) => {
            json::lines(body, 0, found);
            Ok(())
        }
        _ => yaml::each(body, 0, entries, found),
    };
    if let Err(wrong) = read {
        found(TreePart { key: None, value: Err(wrong) });
    }
}

/// Reads JSON or YAML, whichever it is, like [`read`], and reports everything. `None` with an error if it is neither.
pub fn parse(text: &str, file: u16, diags: &mut Vec<Diagnostic>) -> Option<Node> {
    let tree = read(text, file).map_err(|wrong| diags.push(wrong)).ok()?;
    diags.extend(tree.tolerated);
    diags.extend(tree.duplicates.iter().map(Duplicate::last_is_used));
    Some(tree.root)
}

/// Reads JSON or YAML, whichever it is; `file` is the index that the places get. A byte-order mark is ignored. The
/// error is the one for the language that was intended.
pub fn read(text: &str, file: u16) -> Result<Tree, Diagnostic> {
    let start = Place { file, line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return Err(Diagnostic::new(Code::TooLarge, start, "the file is larger than 10 MiB"));
    }
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    if body.trim().is_empty() {
        return Err(Diagnostic::new(Code::EmptyText, start, "the file is empty"));
    }
    let mut duplicates = Vec::new();
    if !body.trim_start().starts_with(['{', '[']) {
        odd_space(body, file)?;
        let root = yaml::parse(body, file, &mut duplicates)?;
        return Ok(Tree { root, duplicates, tolerated: None });
    }
    let wrong = match json::parse(body, file, &mut duplicates) {
        Ok(root) => return Ok(Tree { root, duplicates, tolerated: None }),
        Err(wrong) if wrong.code != Code::Syntax => return Err(wrong),
        Err(wrong) => wrong,
    };
    // YAML would make a comment part of the next key.
    if json::is_comment(body, wrong.at) {
        return Err(json::comment(wrong.at));
    }
    // YAML's flow style looks like JSON: `{version: 2}`. If both refuse, JSON's message is the right one.
    let mut duplicates = Vec::new();
    match yaml::parse(body, file, &mut duplicates) {
        Ok(root) => {
            let tolerated = json::is_meant(body).then(|| json::only_yaml(&wrong));
            Ok(Tree { root, duplicates, tolerated })
        }
        Err(_) => Err(wrong),
    }
}

/// A line indented with characters that are not spaces to YAML, as copied from a web page: they would become part of a
/// key.
fn odd_space(text: &str, file: u16) -> Result<(), Diagnostic> {
    if text.is_ascii() {
        return Ok(());
    }
    let odd = |c: char| !c.is_ascii() && (c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}'));
    for (index, line) in text.lines().enumerate() {
        let indented = line.trim_start_matches(' ');
        if let Some(space) = indented.chars().next().filter(|c| odd(*c)) {
            let column = (line.len() - indented.len() + 1) as u32;
            let at = Place { file, line: (index + 1) as u32, column };
            let message =
                format!("not valid YAML: the line is indented with the character U+{:04X}", space as u32);
            return Err(Diagnostic::new(Code::Syntax, at, message)
                .hint("indent with spaces; probably pasted from a web page"));
        }
    }
    Ok(())
}

/// The keys and indexes that lead to the value (or key) at a place: `links[2].bond_mode`. If nothing begins exactly
/// there, the path of the last value that begins before it. Empty for the root. A YAML mapping begins where its first
/// key does: `of_value` selects the mapping, if it is the root or an item of a list.
pub fn path_of(root: &Node, at: Place, of_value: bool) -> String {
    let mut path = String::new();
    let mut node = root;
    loop {
        let no_entry = path.is_empty() || path.ends_with(']');
        if of_value && no_entry && node.at == at && matches!(node.value, Value::Map(_)) {
            return path;
        }
        let next = match &node.value {
            Value::List(items) => {
                let index = items.partition_point(|n| n.at <= at).checked_sub(1);
                index.and_then(|i| items.get(i).map(|n| (format!("[{i}]"), n)))
            }
            Value::Map(entries) => {
                let index = entries.partition_point(|e| e.key_at <= at).checked_sub(1);
                index.and_then(|i| entries.get(i)).map(|e| {
                    let dot = if path.is_empty() { "" } else { "." };
                    (format!("{dot}{}", e.key), &e.value)
                })
            }
            _ => None,
        };
        match next {
            Some((step, child)) if at.is_known() => {
                path.push_str(&step);
                node = child;
                if child.at > at {
                    return path;
                }
            }
            _ => return path,
        }
    }
}

/// A key that a mapping already has.
fn duplicate(entries: &[Entry], key: &str, at: Place) -> Option<Duplicate> {
    // Large mappings are checked only near the end, because this would be quadratic.
    let near = entries.len().saturating_sub(64);
    let first = entries.iter().skip(near).find(|e| e.key == key)?;
    Some(Duplicate { key: key.to_owned(), at, first: first.key_at })
}

fn too_many(at: Place) -> Diagnostic {
    let message = "more than 100,000 values, 20,000 in one list or mapping, or 100 levels";
    Diagnostic::new(Code::TooLarge, at, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
        let mut diags = Vec::new();
        let root = parse(text, 0, &mut diags);
        (root, diags)
    }

    #[test]
    fn json_and_yaml_give_one_tree_and_places() {
        let (json, diags) = read("{\"links\": [\n  {\"id\": \"a\", \"mtu\": 9000, \"x\": null}]}");
        assert!(diags.is_empty());
        let (yaml, diags) = read("links:\n- id: 'a'\n  mtu: 9000\n  x:\n");
        assert!(diags.is_empty());
        let (json, yaml) = (json.unwrap(), yaml.unwrap());
        for root in [&json, &yaml] {
            let link = &root.get("links").unwrap().items()[0];
            assert_eq!(link.get("id").unwrap().text(), Some("a"));
            assert_eq!(link.get("mtu").unwrap().text(), Some("9000"));
            assert_eq!(link.get("x").unwrap().value, Value::Null);
        }
        let mtu = json.get("links").unwrap().items()[0].get("mtu").unwrap().at;
        assert_eq!((mtu.line, mtu.column), (2, 22));
        assert_eq!(path_of(&json, mtu, false), "links[0].mtu");
        let mtu = yaml.get("links").unwrap().items()[0].get("mtu").unwrap().at;
        assert_eq!((mtu.line, mtu.column), (3, 8));
        assert_eq!(path_of(&yaml, mtu, false), "links[0].mtu");
        let link = yaml.get("links").unwrap().items()[0].at;
        assert_eq!(path_of(&yaml, link, false), "links[0].id");
        assert_eq!(path_of(&yaml, link, true), "links[0]");
    }

    #[test]
    fn what_json_allows_is_read_as_json_does() {
        let (root, _) = read(r#"{"a": "\ud83d\ude00 \"x\"", "b": [-1.5e3, true, {}], "c": "é"}"#);
        let root = root.unwrap();
        assert_eq!(root.get("a").unwrap().text(), Some("\u{1f600} \"x\""));
        assert_eq!(root.get("b").unwrap().items()[0].text(), Some("-1.5e3"));
        assert_eq!(root.get("c").unwrap().text(), Some("é"));
    }

    #[test]
    fn a_broken_text_says_where() {
        let (root, diags) = read("{\"links\": [\n  {\"id\": \"a\"},,\n]}");
        assert!(root.is_none());
        assert_eq!((diags[0].code, diags[0].at.line, diags[0].at.column), (Code::Syntax, 2, 15));
        let (root, diags) = read("network:\n\tversion: 2\n");
        assert!(root.is_none());
        assert_eq!((diags[0].code, diags[0].at.line), (Code::Syntax, 2));
        for empty in ["", " \n", "\u{feff}"] {
            assert_eq!(read(empty).1[0].code, Code::EmptyText);
        }
    }

    #[test]
    fn columns_count_characters_in_json_too() {
        let text = "{\"links\": \"äöü\",,}";
        assert_eq!(text.chars().position(|c| c == ',').map(|at| at + 2), Some(17));
        let (root, diags) = read(text);
        assert!(root.is_none());
        assert_eq!((diags[0].at.line, diags[0].at.column), (1, 17));
        // A comment is recognised after such characters, too.
        let (_, diags) = read("{\"é\": \"ü\", // x\n}");
        assert_eq!((diags[0].at.column, diags[0].message.contains("comments")), (12, true), "{diags:?}");
    }

    #[test]
    fn bombs_and_depths_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert_eq!(read(&bomb).1[0].code, Code::TooLarge);
        assert_eq!(read(&"[".repeat(100_000)).1[0].code, Code::Syntax);
        let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
        assert_eq!(read(&deep).1[0].code, Code::TooLarge);
        assert!(read(&"- ".repeat(1000)).0.is_none());
    }

    #[test]
    fn merge_keys_and_duplicates() {
        let (root, diags) = read("base: &b {mtu: 1, x: 2}\nlink: {<<: *b, mtu: 3}\nlink: 4\n");
        assert_eq!(diags.len(), 1);
        assert_eq!(diags[0].code, Code::DuplicateKey);
        let Value::Map(entries) = root.unwrap().value else { panic!() };
        assert_eq!(entries[1].value.get("mtu").unwrap().text(), Some("3"));
        assert_eq!(entries[1].value.get("x").unwrap().text(), Some("2"));
    }
}
