//! JSON: serde_json decides whether the text is valid, a scanner then finds the places.

use super::{
    Duplicate, Entry, MAX_DEPTH, MAX_ITEMS, MAX_NODES, Node, Scalar, Tree, TreePart, Value, duplicate,
    too_many,
};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::Place;

/// Reads valid JSON; the error is serde_json's, with its place.
pub(super) fn parse(text: &str, file: u16, duplicates: &mut Vec<Duplicate>) -> Result<Node, Diagnostic> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|wrong| invalid(text, file, &wrong))?;
    Scanner::new(text, file, duplicates).value(0)
}

fn invalid(text: &str, file: u16, wrong: &serde_json::Error) -> Diagnostic {
    let at = place(text, file, wrong.line(), wrong.column());
    let full = wrong.to_string();
    let message = full.split(" at line ").next().unwrap_or_default();
    let closes = rest_of_line(text, at).starts_with([']', '}']);
    let plain = match message {
        "trailing comma" => "trailing comma",
        "expected value" if closes => "trailing comma",
        "key must be a string" => "expected a key in double quotes",
        other => other,
    };
    let hint = if wrong.is_eof() {
        "the file ends in the middle: was it cut off when it was written or uploaded?"
    } else {
        "look just before this place for a missing or extra comma, quote or bracket"
    };
    Diagnostic::new(Code::Syntax, at, format!("not valid JSON: {plain}")).hint(hint)
}

/// Whether the text contains more than one value, as in JSON lines.
pub(super) fn is_several(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => text.get(values.byte_offset()..).is_some_and(|rest| !rest.trim_start().is_empty()),
        // One broken line does not make the others something else.
        _ => {
            let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
            let is_object = |line: &str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
            lines().all(|line| line.starts_with('{') && line.ends_with('}')) && lines().skip(1).any(is_object)
        }
    }
}

/// Reads the values of JSON lines one after the other, until `found` returns false. A broken line is a part, too.
pub(super) fn lines(text: &str, file: u16, found: &mut dyn FnMut(TreePart) -> bool) {
    let mut duplicates = Vec::new();
    let mut scanner = Scanner::new(text, file, &mut duplicates);
    while scanner.peek() != 0 {
        let rest = scanner.rest;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
        scanner.nodes = 0;
        let value = match values.next() {
            Some(Err(wrong)) => {
                let begin = scanner.here();
                let wrong = invalid(rest, file, &wrong);
                scanner.take(rest.find('\n').unwrap_or(rest.len()));
                // To serde_json the value may continue; in JSON lines it ends here.
                let at = if wrong.at.line == 1 { wrong.at.within(begin) } else { begin };
                Err(Diagnostic { at, ..wrong })
            }
            _ => scanner.value(0),
        };
        let duplicates = std::mem::take(scanner.duplicates);
        let tree = value.map(|root| Tree { root, duplicates, tolerated: None });
        if !found(TreePart { key: None, value: tree }) {
            break;
        }
    }
}

/// Reads the entries of the mapping, or the items of the list, that the text is, until `found` returns false.
pub(super) fn entries(
    text: &str,
    file: u16,
    found: &mut dyn FnMut(TreePart) -> bool,
) -> Result<(), Diagnostic> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|wrong| invalid(text, file, &wrong))?;
    let mut duplicates = Vec::new();
    let mut scanner = Scanner::new(text, file, &mut duplicates);
    let is_map = scanner.peek() == b'{';
    scanner.take(1);
    while !matches!(scanner.peek(), b']' | b'}' | 0) {
        let key_at = scanner.here();
        let key = is_map.then(|| scanner.string());
        if is_map {
            scanner.peek();
            scanner.take(1); // the colon
        }
        scanner.nodes = 0;
        let value = scanner.value(1);
        let duplicates = std::mem::take(scanner.duplicates);
        let value = value.map(|root| Tree { root, duplicates, tolerated: None });
        if !found(TreePart { key: key.map(|key| (key, key_at)), value }) {
            break;
        }
        if scanner.peek() == b',' {
            scanner.take(1);
        }
    }
    Ok(())
}

/// Whether invalid JSON was meant to be JSON: its first key is quoted. YAML's flow style mostly has none.
pub(super) fn is_meant(text: &str) -> bool {
    text.trim_start().trim_start_matches(['{', '[']).trim_start().starts_with(['"', '\'', '/', '#'])
}

/// Whether `// …` or `/* … */` is where the text stops being JSON.
pub(super) fn is_comment(text: &str, at: Place) -> bool {
    let rest = rest_of_line(text, at);
    rest.starts_with("//") || rest.starts_with("/*")
}

/// serde_json's place with its column in characters, like all other places: serde_json counts bytes.
fn place(text: &str, file: u16, line: usize, column: usize) -> Place {
    let start = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let before = start.as_bytes().get(..column.saturating_sub(1)).unwrap_or(start.as_bytes());
    let characters = before.iter().filter(|byte| begins_character(**byte)).count();
    Place { file, line: line.max(1) as u32, column: characters as u32 + 1 }
}

/// Every byte but a continuation byte of UTF-8.
fn begins_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// The line from a place on.
fn rest_of_line(text: &str, at: Place) -> &str {
    let line = text.lines().nth((at.line as usize).saturating_sub(1)).unwrap_or_default();
    let start = line.char_indices().nth((at.column as usize).saturating_sub(1));
    start.and_then(|(start, _)| line.get(start..)).unwrap_or_default()
}

/// The diagnostic for a comment.
pub(super) fn comment(at: Place) -> Diagnostic {
    Diagnostic::new(Code::Syntax, at, "not valid JSON: JSON has no comments")
        .hint("remove the comment; in YAML a comment begins with #")
}

/// The diagnostic if YAML accepts what JSON does not: a trailing comma, comments, single quotes.
pub(super) fn only_yaml(wrong: &Diagnostic) -> Diagnostic {
    let message = format!("{}; it was read as YAML", wrong.message);
    Diagnostic::new(wrong.code, wrong.at, message)
        .severity(Severity::Warning)
        .hint("fix it: strict JSON parsers reject this")
}

/// Walks text that is known to be valid JSON, so that it only has to find where things begin.
struct Scanner<'a, 'd> {
    rest: &'a str,
    file: u16,
    line: u32,
    column: u32,
    nodes: usize,
    duplicates: &'d mut Vec<Duplicate>,
}

impl<'a, 'd> Scanner<'a, 'd> {
    fn new(text: &'a str, file: u16, duplicates: &'d mut Vec<Duplicate>) -> Scanner<'a, 'd> {
        Scanner { rest: text, file, line: 1, column: 1, nodes: 0, duplicates }
    }

    fn here(&self) -> Place {
        Place { file: self.file, line: self.line, column: self.column }
    }

    /// Consumes `bytes` bytes, which end at a character boundary.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        for byte in taken.bytes() {
            if byte == b'\n' {
                self.line += 1;
                self.column = 1;
            } else if begins_character(byte) {
                self.column += 1;
            }
        }
        taken
    }

    /// The next character that is not a space.
    fn peek(&mut self) -> u8 {
        let space = self.rest.bytes().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.take(space.unwrap_or(self.rest.len()));
        self.rest.bytes().next().unwrap_or(0)
    }

    fn value(&mut self, depth: usize) -> Result<Node, Diagnostic> {
        let first = self.peek();
        let at = self.here();
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(too_many(at));
        }
        let value = match first {
            b'{' => self.map(depth)?,
            b'[' => self.list(depth)?,
            b'"' => Value::Scalar(Scalar { text: self.string(), quoted: true }),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
                match self.take(end) {
                    "null" => Value::Null,
                    plain => Value::Scalar(Scalar { text: plain.to_owned(), quoted: false }),
                }
            }
        };
        Ok(Node { at, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value, Diagnostic> {
        let mut entries: Vec<Entry> = Vec::new();
        self.take(1);
        while self.peek() == b'"' {
            let key_at = self.here();
            let key = self.string();
            self.duplicates.extend(duplicate(&entries, &key, key_at));
            self.peek();
            self.take(1); // the colon
            let value = self.value(depth + 1)?;
            if entries.len() >= MAX_ITEMS {
                return Err(too_many(key_at));
            }
            entries.push(Entry { key, key_at, value });
            if self.peek() == b',' {
                self.take(1);
            }
        }
        self.take(1);
        Ok(Value::Map(entries))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Diagnostic> {
        let mut items = Vec::new();
        self.take(1);
        while !matches!(self.peek(), b']' | 0) {
            let item = self.value(depth + 1)?;
            if items.len() >= MAX_ITEMS {
                return Err(too_many(item.at));
            }
            items.push(item);
            if self.peek() == b',' {
                self.take(1);
            }
        }
        self.take(1);
        Ok(Value::List(items))
    }

    fn string(&mut self) -> String {
        let mut end = 1;
        let bytes = self.rest.as_bytes();
        loop {
            match bytes.get(end) {
                Some(b'\\') => end += 2,
                Some(b'"') | None => break,
                _ => end += 1,
            }
        }
        let raw = self.take(end + 1);
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if inner.contains('\\') { serde_json::from_str(raw).unwrap_or_default() } else { inner.to_owned() }
    }
}
