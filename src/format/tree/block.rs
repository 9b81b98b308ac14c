//! The YAML of most files, read line by line: block mappings and lists, and values that end on their line. Whatever else a
//! text has, from an anchor to a wrong indentation, is left to the complete parser in `yaml`, which also words the errors:
//! [`parse`] gives its very tree, or nothing. A sixth of the complete parser's time, which for a large file would be half
//! of all.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Duplicate, Entry, MAX_ITEMS, MAX_NODES, Node, Scalar, Value, duplicate};
use crate::model::Place;

/// How deep lists and mappings may be nested here.
const MAX_DEPTH: usize = 32;
/// How long a line may be here: far from the limits of the complete parser.
const MAX_LINE: usize = 1024;
/// How many lines without a value may follow each other here, for the same reason.
const MAX_SILENT: u32 = 128;

/// The tree, if the text has only what is read here.
pub(super) fn parse(text: &str, file: u16, duplicates: &mut Vec<Duplicate>) -> Option<Node> {
    let known = duplicates.len();
    let mut reader = Reader { left: text, line: 0, next: None, file, nodes: 0, duplicates };
    let root = reader.document();
    if root.is_none() {
        duplicates.truncate(known);
    }
    root
}

/// A line with something to read: where that begins, in columns from 0, and what it is, to the end of the line.
#[derive(Clone, Copy)]
struct Line<'t> {
    column: usize,
    rest: &'t str,
}

struct Reader<'t, 'd> {
    /// Behind the next line.
    left: &'t str,
    /// The number of the next line, from 1.
    line: u32,
    /// What is left of the next line; none at the end.
    next: Option<Line<'t>>,
    file: u16,
    nodes: usize,
    duplicates: &'d mut Vec<Duplicate>,
}

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Option<Node> {
        self.advance()?;
        if self.next.is_some_and(|line| line.column == 0 && line.rest == "---") {
            self.advance()?;
        }
        let root = self.block(0)?;
        // Something that is indented less than the root.
        self.next.is_none().then_some(root)
    }

    /// Goes to the next line that is not empty or a comment. None if it cannot be read here.
    fn advance(&mut self) -> Option<()> {
        let last = self.line;
        self.next = None;
        while !self.left.is_empty() {
            let length = self.left.bytes().position(|byte| !matches!(byte, b' '..=b'~'));
            let (line, behind) = self.left.split_at_checked(length.unwrap_or(self.left.len()))?;
            self.left = match behind {
                "" => "",
                _ => behind.strip_prefix('\n').or_else(|| behind.strip_prefix("\r\n"))?,
            };
            self.line += 1;
            if line.len() > MAX_LINE || self.line - last > MAX_SILENT {
                return None;
            }
            let rest = unindented(line);
            if !rest.is_empty() && !rest.starts_with('#') {
                self.next = Some(Line { column: line.len() - rest.len(), rest: unpadded(rest) });
                break;
            }
        }
        Some(())
    }

    fn at(&self, column: usize) -> Place {
        Place { file: self.file, line: self.line, column: column as u32 + 1 }
    }

    /// A list or mapping, which begins at the next line.
    fn block(&mut self, depth: usize) -> Option<Node> {
        let line = self.next?;
        match is_item(line.rest) {
            true => self.list(line.column, depth),
            false => self.map(line.column, depth),
        }
    }

    /// `begins`: where the list is said to begin.
    fn list(&mut self, begins: usize, depth: usize) -> Option<Node> {
        let at = self.begin(begins, depth)?;
        let column = self.next?.column;
        let mut items = Vec::new();
        while let Some(line) = self.next.filter(|line| line.column == column && is_item(line.rest)) {
            let inner = item(line)?;
            let item = if is_item(inner.rest) || key(inner.rest)?.is_some() {
                self.next = Some(inner);
                self.block(depth + 1)?
            } else {
                self.value(inner, column)?
            };
            self.keep(items.len())?;
            items.push(item);
        }
        self.end(column)?;
        Some(Node { at, value: Value::List(items) })
    }

    fn map(&mut self, column: usize, depth: usize) -> Option<Node> {
        let at = self.begin(column, depth)?;
        // Most mappings of a large file have two entries: `to` and `via`.
        let mut entries = Vec::with_capacity(2);
        while let Some(line) = self.next.filter(|line| line.column == column && !is_item(line.rest)) {
            let (key, behind) = key(line.rest)??;
            let key_at = self.at(column);
            let rest = unindented(behind);
            let value = if rest.is_empty() || rest.starts_with('#') {
                self.advance()?;
                let below = self.next?;
                match below.column.cmp(&column) {
                    Ordering::Greater => self.block(depth + 1)?,
                    // A list that is not indented; the complete parser has it begin with what its first item is.
                    Ordering::Equal if is_item(below.rest) => self.list(item(below)?.column, depth + 1)?,
                    _ => return None,
                }
            } else {
                self.value(Line { column: column + line.rest.len() - rest.len(), rest }, column)?
            };
            self.keep(entries.len())?;
            self.duplicates.extend(duplicate(&entries, key, key_at));
            entries.push(Entry { key: key.to_owned(), key_at, value });
        }
        self.end(column)?;
        Some(Node { at, value: Value::Map(entries) })
    }

    fn begin(&mut self, column: usize, depth: usize) -> Option<Place> {
        self.nodes += 1;
        (depth < MAX_DEPTH).then(|| self.at(column))
    }

    /// Counts a value and its key.
    fn keep(&mut self, items: usize) -> Option<()> {
        self.nodes += 2;
        (items < MAX_ITEMS && self.nodes < MAX_NODES).then_some(())
    }

    /// What follows a list or mapping is indented less, or is the next key below an item of a list that its key does not indent.
    fn end(&self, column: usize) -> Option<()> {
        self.next.is_none_or(|line| line.column <= column).then_some(())
    }

    /// A value that ends on its line; `column` is where its key or dash is.
    fn value(&mut self, line: Line<'t>, column: usize) -> Option<Node> {
        let at = self.at(line.column);
        let (value, behind) = match line.rest.as_bytes().first()? {
            b'[' | b'{' | b'"' | b'\'' => self.flow(line, line.rest, 0)?,
            _ => plain(line.rest).map(|(text, behind)| (scalar(text.into(), false), behind))?,
        };
        let comment = unindented(behind);
        if !behind.is_empty() && (comment.len() == behind.len() || !comment.starts_with('#')) {
            return None;
        }
        self.advance()?;
        // Else the value goes on, or something is wrong.
        let is_whole = self.next.is_none_or(|next| next.column <= column);
        is_whole.then_some(Node { at, value })
    }

    /// Brackets, `[a, {b: "c"}]`, a quoted value, or a word within brackets, where `rest` of the line begins; and what follows.
    fn flow(&mut self, line: Line<'t>, rest: &'t str, depth: usize) -> Option<(Value, &'t str)> {
        let (open, inner) = rest.split_at_checked(1).filter(|_| depth < MAX_DEPTH)?;
        let (is_map, close) = match open {
            "[" => (false, ']'),
            "{" => (true, '}'),
            "\"" | "'" => return quoted(rest).map(|(text, behind)| (scalar(text.into(), true), behind)),
            _ => return word(rest).map(|(text, behind)| (scalar(text.into(), false), behind)),
        };
        let mut items = Vec::new();
        let mut entries = Vec::new();
        let mut rest = unindented(inner);
        let at = |rest: &str| line.column + line.rest.len() - rest.len();
        while !rest.starts_with(close) {
            self.keep(items.len() + entries.len())?;
            let first = self.at(at(rest));
            let behind = if is_map {
                let (key, behind) = match rest.starts_with(['"', '\'']) {
                    true => quoted(rest)?,
                    false => word(rest).filter(|(key, _)| !is_null(key))?,
                };
                let value = unindented(behind.strip_prefix(": ")?);
                let value_at = self.at(at(value));
                let (value, behind) = self.flow(line, value, depth + 1)?;
                self.duplicates.extend(duplicate(&entries, key, first));
                let value = Node { at: value_at, value };
                entries.push(Entry { key: key.to_owned(), key_at: first, value });
                behind
            } else {
                let (value, behind) = self.flow(line, rest, depth + 1)?;
                items.push(Node { at: first, value });
                behind
            };
            let behind = unindented(behind);
            rest = match behind.strip_prefix(',').map(unindented) {
                Some(next) => Some(next).filter(|next| !next.starts_with(close))?,
                None => Some(behind).filter(|behind| behind.starts_with(close))?,
            };
        }
        let value = if is_map { Value::Map(entries) } else { Value::List(items) };
        Some((value, rest.get(1..)?))
    }
}

/// `- …` or `-`.
fn is_item(rest: &str) -> bool {
    rest.starts_with('-') && ends(rest, 1)
}

/// What is behind the dash.
fn item(line: Line<'_>) -> Option<Line<'_>> {
    let rest = unindented(line.rest.get(1..)?);
    Some(Line { column: line.column + line.rest.len() - rest.len(), rest })
}

/// The key that the line begins with, and what is behind its colon. None if that cannot be read here; none within if it
/// begins with a value.
fn key(rest: &str) -> Option<Option<(&str, &str)>> {
    let (key, behind) = match rest.as_bytes().first()? {
        b'[' | b'{' => return Some(None),
        b'"' | b'\'' => quoted(rest)?,
        _ => match colon(rest) {
            Some(colon) => rest.split_at_checked(colon)?,
            None => return Some(None),
        },
    };
    let Some(behind) = behind.strip_prefix(':').filter(|behind| ends(behind, 0)) else {
        return Some(None);
    };
    let is_key = rest.starts_with(['"', '\'']) || begins_plain(key) && !key.contains(' ') && !is_null(key);
    is_key.then_some(Some((key, behind)))
}

// Bytes, not characters and patterns: half of the time is spent here.

/// Where a colon ends a key, if one does before a comment.
fn colon(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let found = bytes.iter().enumerate().position(|(at, byte)| match byte {
        b':' => ends(rest, at + 1),
        b'#' => at > 0 && bytes.get(at - 1) == Some(&b' '),
        _ => false,
    })?;
    (bytes.get(found) == Some(&b':')).then_some(found)
}

/// Whether a space or the end of the line is there.
fn ends(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_none_or(|byte| *byte == b' ')
}

/// The text behind its first spaces.
fn unindented(text: &str) -> &str {
    let spaces = text.bytes().position(|byte| byte != b' ').unwrap_or(text.len());
    text.get(spaces..).unwrap_or_default()
}

/// The text before its last spaces.
fn unpadded(text: &str) -> &str {
    let length = text.bytes().rposition(|byte| byte != b' ').map_or(0, |last| last + 1);
    text.get(..length).unwrap_or_default()
}

/// The text between the quote that this begins with and the next one, if nothing in it is escaped, and what follows.
fn quoted(rest: &str) -> Option<(&str, &str)> {
    let quote = rest.bytes().next()?;
    let inner = rest.get(1..)?;
    let length = inner.bytes().position(|byte| byte == quote || byte == b'\\')?;
    let (text, behind) = inner.split_at_checked(length)?;
    let behind = behind.strip_prefix(char::from(quote))?;
    (behind.bytes().next() != Some(quote)).then_some((text, behind))
}

/// The plain value that the line is, but for a comment, and what follows.
fn plain(rest: &str) -> Option<(&str, &str)> {
    let comment = rest.as_bytes().windows(2).position(|two| two == b" #");
    let text = unpadded(rest.get(..comment.unwrap_or(rest.len()))?);
    (begins_plain(text) && colon(text).is_none()).then_some((text, rest.get(text.len()..)?))
}

/// The plain word within brackets that this begins with, and what follows.
fn word(rest: &str) -> Option<(&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_/.-+:~".contains(&byte);
    let length = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    let word = rest.get(..length)?;
    // A colon at its end is behind a key.
    let word = word.strip_suffix(':').unwrap_or(word);
    let behind = rest.get(word.len()..)?;
    let is_whole = unindented(behind).starts_with([',', ']', '}']) || behind.starts_with(": ");
    (begins_plain(word) && !word.ends_with(':') && is_whole).then_some((word, behind))
}

/// Whether this is nothing but plain text, by its first character.
fn begins_plain(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_/.+~".contains(&byte))
}

/// A scalar as it is written: null, or its text.
pub(super) fn scalar(text: Cow<'_, str>, quoted: bool) -> Value {
    match !quoted && is_null(&text) {
        true => Value::Null,
        false => Value::Scalar(Scalar { text: text.into_owned(), quoted }),
    }
}

/// Whether a plain text is null.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
