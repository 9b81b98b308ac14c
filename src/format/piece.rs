//! A description found in a file with others, before it is read.

use super::recognise;
use super::tree::{Node, Tree, Value};
use crate::diagnostic::Diagnostic;
use crate::model::Place;

/// The unread description.
#[derive(Debug)]
pub(super) enum Body {
    /// A part of the file.
    Tree(Tree),
    /// A text embedded in the file, which begins after this many lines and columns; `None` if its lines are not the
    /// file's.
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

/// A non-empty mapping in one of the formats.
pub(super) fn is_description(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if !entries.is_empty()) && recognise::tree(root).is_some()
}

impl Body {
    /// The text of a scalar, with where its lines are in the file if it is a block scalar (`|`).
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
            // A quoted or folded one has other lines.
            (first.get(indent..) == text.lines().next()).then_some((skipped, indent as u32))
        };
        let at = block();
        Body::Text(text, at)
    }
}
