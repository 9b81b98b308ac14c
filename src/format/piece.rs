//! A description that was found in a text with others, before it is read.

use super::recognise;
use super::tree::{Node, Tree, Value};
use crate::diagnostic::Diagnostic;
use crate::model::Place;

/// What a description is before it is read.
#[derive(Debug)]
pub(super) enum Body {
    /// A part of the text.
    Tree(Tree),
    /// A text in the text, which begins after this many lines and columns of it; `None` if its lines are not the file's.
    Text(String, Option<(u32, u32)>),
    /// It cannot be read.
    Wrong(Diagnostic),
}

/// A description that was found in a tree.
pub(super) struct Piece {
    pub(super) node: Option<String>,
    pub(super) at: Place,
    pub(super) body: Body,
    pub(super) diags: Vec<Diagnostic>,
}

impl Piece {
    pub(super) fn new(node: Option<String>, at: Place, body: Body) -> Piece {
        Piece { node, at, body, diags: Vec::new() }
    }
}

/// A mapping in one of the formats that says something.
pub(super) fn is_description(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if !entries.is_empty()) && recognise::tree(root).is_some()
}

impl Body {
    /// The text that a scalar is, with where its lines are in the file if it is a block of them (`|`).
    pub(super) fn text(scalar: &Node, file: &str) -> Body {
        let text = scalar.text().unwrap_or_default().to_owned();
        let block = || {
            let mut lines = file.lines().skip((scalar.at.line as usize).checked_sub(1)?);
            let line = lines.next()?;
            let begin = line.char_indices().nth(scalar.at.column as usize - 1)?.0;
            // The parser names the line of the `|`, or the first of the block.
            let (skipped, first) = match line.get(begin..)?.starts_with('|') {
                true => (scalar.at.line, lines.next()?),
                false if line.get(..begin)?.trim().is_empty() => (scalar.at.line - 1, line),
                false => return None,
            };
            let indent = first.len() - first.trim_start_matches(' ').len();
            // One that is quoted or folded has other lines.
            (first.get(indent..) == text.lines().next()).then_some((skipped, indent as u32))
        };
        let at = block();
        Body::Text(text, at)
    }
}
