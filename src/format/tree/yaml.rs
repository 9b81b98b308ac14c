//! YAML: saphyr-parser's events to a tree. Aliases are copied within a bound, `<<` merges, a second document is refused.

use std::cell::Cell;

use foldhash::HashMap;
use saphyr_parser::input::{Input, is_breakz};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::{
    Duplicate, Entry, MAX_DEPTH, MAX_ITEMS, MAX_NODES, MAX_UNREAD, Node, Tree, TreePart, Value, block,
    duplicate, too_many,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::Place;

/// How many values anchors and aliases may copy: the limit for a bomb of nested aliases.
const MAX_COPIES: usize = 100_000;

/// Reads YAML; the error has the parser's place.
pub(super) fn parse(text: &str, file: u16, duplicates: &mut Vec<Duplicate>) -> Result<Node, Diagnostic> {
    let Some(root) = block::parse(text, file, duplicates) else {
        return complete(text, file, duplicates);
    };
    // Each fuzz target of a text asks whether the two ways to read YAML agree.
    if cfg!(fuzzing) {
        let mut others = Vec::new();
        assert_eq!(complete(text, file, &mut others).ok().as_ref(), Some(&root));
        assert_eq!(&others, duplicates);
    }
    Ok(root)
}

/// Reads any YAML.
fn complete(text: &str, file: u16, duplicates: &mut Vec<Duplicate>) -> Result<Node, Diagnostic> {
    read(text, file, duplicates, None)
}

/// Reads a file part by part, its documents or the entries of its first one, until `found` returns false.
pub(super) fn each(
    text: &str,
    file: u16,
    entries: bool,
    found: &mut dyn FnMut(TreePart) -> bool,
) -> Result<(), Diagnostic> {
    let emit = Emit { entries, stopped: false, found };
    read(text, file, &mut Vec::new(), Some(emit)).map(|_| ())
}

/// The receiver of the parts as they are read.
struct Emit<'d> {
    /// The entries or items of the first document, else whole documents.
    entries: bool,
    /// No more parts are wanted.
    stopped: bool,
    found: &'d mut dyn FnMut(TreePart) -> bool,
}

fn read<'d>(
    text: &str,
    file: u16,
    duplicates: &'d mut Vec<Duplicate>,
    emit: Option<Emit<'d>>,
) -> Result<Node, Diagnostic> {
    let mut builder = Builder {
        file,
        open: Vec::new(),
        root: None,
        anchors: HashMap::default(),
        nodes: 0,
        copies: 0,
        duplicates,
        emit,
    };
    let unread = Cell::new(0_usize);
    let mut at = builder.place(&Marker::default());
    for next in Parser::new(Characters { left: text, looked: 0, unread: &unread }) {
        if unread.replace(0) > MAX_UNREAD {
            return Err(too_long(at));
        }
        let (event, span) = next.map_err(|wrong| {
            at = builder.place(wrong.marker());
            let (plain, hint) = plain(text, at, wrong.info());
            Diagnostic::new(Code::Syntax, at, format!("not valid YAML: {plain}")).hint(hint)
        })?;
        at = builder.place(&span.start);
        builder.event(event, at)?;
        if builder.emit.as_ref().is_some_and(|emit| emit.stopped) {
            break;
        }
    }
    let nothing = Node { at: Place { file, line: 1, column: 1 }, value: Value::Null };
    Ok(builder.root.unwrap_or(nothing))
}

/// The text for the parser, which sees its end once it has read too far without an event. saphyr-parser's own input with such
/// a bound (an iterator) copies each character into a buffer first.
struct Characters<'t> {
    left: &'t str,
    /// How many characters the parser has asked to look ahead for.
    looked: usize,
    /// How many it has taken since the last event.
    unread: &'t Cell<usize>,
}

impl Input for Characters<'_> {
    #[inline]
    fn lookahead(&mut self, count: usize) {
        self.looked = self.looked.max(count);
    }

    #[inline]
    fn buflen(&self) -> usize {
        self.looked
    }

    // There is no buffer: as much as the parser ever asks for at once.
    #[inline]
    fn bufmaxlen(&self) -> usize {
        128
    }

    #[inline]
    fn raw_read_ch(&mut self) -> char {
        let next = self.peek();
        self.skip();
        next
    }

    #[inline]
    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        let next = self.peek_opt().filter(|c| !is_breakz(*c) && *c != '\u{feff}')?;
        self.skip();
        Some(next)
    }

    #[inline(always)]
    fn skip(&mut self) {
        let width = match self.left.as_bytes() {
            [] => return,
            [byte, ..] if byte.is_ascii() => 1,
            _ => self.left.chars().next().map_or(0, char::len_utf8),
        };
        self.left = self.left.get(width..).unwrap_or_default();
        self.unread.set(self.unread.get() + 1);
        if self.unread.get() > MAX_UNREAD {
            self.left = "";
        }
    }

    #[inline]
    fn skip_n(&mut self, count: usize) {
        (0..count).for_each(|_| self.skip());
    }

    #[inline(always)]
    fn peek(&self) -> char {
        match self.left.as_bytes() {
            [byte, ..] if byte.is_ascii() => char::from(*byte),
            _ => self.left.chars().next().unwrap_or('\0'),
        }
    }

    #[inline]
    fn peek_nth(&self, n: usize) -> char {
        self.left.chars().nth(n).unwrap_or('\0')
    }

    #[inline]
    fn peek_opt(&self) -> Option<char> {
        self.left.chars().next()
    }
}

const LOOK: &str = "check the indentation, quotes and brackets of this line and the one before";

/// Fragments of the parser's messages, which are its only form of error: in plain words, and what to do.
const PLAIN: &[(&str, &str, &str)] = &[
    ("tabs disallowed", "a tab in the indentation", LOOK),
    (
        "while scanning a quoted scalar",
        "the quote that begins here is not closed",
        "close the quote, or remove it",
    ),
    (
        "mapping values are not allowed",
        "a ':' does not belong here",
        "is the ':' missing at the end of the line before, or is this line indented too far?",
    ),
    ("illegal placement of ':'", "a ':' does not belong here", LOOK),
    ("did not find expected key", "a key should begin here", LOOK),
    ("did not find expected '-'", "an item of the list, with '-', should begin here", LOOK),
    ("did not find expected ',' or ']'", "a list that begins with '[' is not closed before this place", LOOK),
    (
        "did not find expected ',' or '}'",
        "a mapping that begins with '{' is not closed before this place",
        LOOK,
    ),
    ("found unknown anchor", "an alias (*…) to an anchor (&…) that does not exist", LOOK),
    ("invalid indentation", "the indentation does not fit the lines before", LOOK),
];

/// What is wrong, and what to do.
fn plain<'m>(text: &str, at: Place, message: &'m str) -> (&'m str, &'static str) {
    let known = PLAIN.iter().find(|(part, ..)| message.contains(part));
    let (plain, hint) = known.map_or((message, LOOK), |(_, plain, hint)| (*plain, *hint));
    let line = text.lines().nth((at.line as usize).saturating_sub(1)).unwrap_or_default();
    (plain, if line.contains('\t') { "YAML does not allow tabs for indentation: use spaces" } else { hint })
}

fn too_long(at: Place) -> Diagnostic {
    let message = "more than 256 KiB of YAML behind this place are one value, or none";
    Diagnostic::new(Code::TooLarge, at, message)
        .hint("write lists and mappings on separate lines, or as JSON")
}

/// A list or mapping that is still open.
struct Open {
    node: Node,
    anchor: usize,
    /// In a mapping: the key whose value is pending.
    key: Option<(String, Place)>,
    /// In a mapping: the entries from its merge keys.
    merged: Vec<Entry>,
}

struct Builder<'d> {
    file: u16,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    copies: usize,
    duplicates: &'d mut Vec<Duplicate>,
    emit: Option<Emit<'d>>,
}

impl Builder<'_> {
    /// Lines count from 1 in the parser, columns from 0.
    fn place(&self, marker: &Marker) -> Place {
        Place { file: self.file, line: marker.line().max(1) as u32, column: marker.col() as u32 + 1 }
    }

    fn event(&mut self, event: Event<'_>, at: Place) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentEnd if self.emit.as_ref().is_some_and(|emit| !emit.entries) => {
                if let Some(root) = self.root.take() {
                    self.emit(None, root);
                }
                self.anchors.clear();
            }
            Event::DocumentEnd => {
                // Anything after the first document is ignored.
                self.emit.iter_mut().for_each(|emit| emit.stopped = true);
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                return Err(Diagnostic::new(Code::Syntax, at, "a second YAML document begins here")
                    .hint("keep one document in the file"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain || tag.is_some_and(|t| t.suffix == "str");
                self.add(Node { at, value: block::scalar(text, quoted) }, anchor, 1)?;
            }
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::SequenceStart(anchor, _) => self.begin(Value::List(Vec::new()), anchor, at)?,
            Event::MappingStart(anchor, _) => self.begin(Value::Map(Vec::new()), anchor, at)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(mut done) = self.open.pop() {
                    if let Value::Map(entries) = &mut done.node.value {
                        done.merged.retain(|e| !entries.iter().any(|own| own.key == e.key));
                        entries.splice(0..0, done.merged);
                    }
                    self.add(done.node, done.anchor, 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, value: Value, anchor: usize, at: Place) -> Result<(), Diagnostic> {
        if self.open.len() > MAX_DEPTH {
            return Err(too_many(at));
        }
        self.open.push(Open { node: Node { at, value }, anchor, key: None, merged: Vec::new() });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Place) -> Result<(), Diagnostic> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::new(Code::Syntax, at, "an alias to an anchor that is not complete here"));
        };
        let (mut node, size) = (node.clone(), *size);
        self.copied(size, at)?;
        // The copy gets the place of the alias, so that paths stay in order.
        node.at = at;
        self.add(node, 0, size)
    }

    fn copied(&mut self, size: usize, at: Place) -> Result<(), Diagnostic> {
        self.copies += size;
        match self.copies > MAX_COPIES {
            true => Err(Diagnostic::new(Code::TooLarge, at, "aliases expand to more than 100,000 values")),
            false => Ok(()),
        }
    }

    /// Adds a complete value of `size` values to its parent.
    fn add(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Diagnostic> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            return Err(too_many(node.at));
        }
        if anchor > 0 {
            let size = count(&node);
            self.copied(size, node.at)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        if items_of(&parent.node) >= MAX_ITEMS {
            return Err(too_many(node.at));
        }
        if self.open.len() == 1 && self.emit.as_ref().is_some_and(|emit| emit.entries) {
            return self.add_to_root(node);
        }
        let Some(parent) = self.open.last_mut() else { return Ok(()) };
        match (&mut parent.node.value, parent.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, key_at))) => {
                if key == "<<" && merge(&mut parent.merged, &node) {
                    return Ok(());
                }
                self.duplicates.extend(duplicate(entries, &key, key_at));
                entries.push(Entry { key, key_at, value: node });
            }
            (Value::Map(_), None) => parent.key = Some(key_of(node)?),
            _ => {}
        }
        Ok(())
    }

    /// Passes a part of the first document on instead of keeping it; each has the limits of a file of its own.
    fn add_to_root(&mut self, node: Node) -> Result<(), Diagnostic> {
        let Some(root) = self.open.last_mut() else { return Ok(()) };
        match (&root.node.value, root.key.take()) {
            (Value::Map(_), None) => root.key = Some(key_of(node)?),
            (_, key) => self.emit(key, node),
        }
        Ok(())
    }

    fn emit(&mut self, key: Option<(String, Place)>, root: Node) {
        self.nodes = 0;
        let duplicates = std::mem::take(self.duplicates);
        if let Some(emit) = &mut self.emit {
            let tree = Tree { root, duplicates, tolerated: None };
            emit.stopped = !(emit.found)(TreePart { key, value: Ok(tree) });
        }
    }
}

/// A node that is a mapping's key.
fn key_of(node: Node) -> Result<(String, Place), Diagnostic> {
    match node.value {
        Value::Scalar(scalar) => Ok((scalar.text, node.at)),
        Value::Null => Ok((String::new(), node.at)),
        _ => Err(Diagnostic::new(Code::Syntax, node.at, format!("{} cannot be a key", node.noun()))),
    }
}

/// YAML 1.1's merge key: collects the mappings' entries, the first mapping's where several have one.
fn merge(merged: &mut Vec<Entry>, from: &Node) -> bool {
    let sources = match &from.value {
        Value::Map(_) => std::slice::from_ref(from),
        Value::List(items) => items.as_slice(),
        _ => return false,
    };
    for source in sources {
        let Value::Map(entries) = &source.value else { return false };
        for entry in entries {
            if !merged.iter().any(|m| m.key == entry.key) {
                merged.push(entry.clone());
            }
        }
    }
    true
}

fn items_of(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => 0,
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|e| 1 + count(&e.value)).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
