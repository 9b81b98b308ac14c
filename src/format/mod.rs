//! Text to [`Desired`]. Never sees the machine.
//!
//! [`parse`] recognises each text by its content, reads it with the format's own module and joins what several texts
//! say. Whatever is wrong or assumed is a [`Diagnostic`]; a text of which nothing can be used has an error and leaves
//! `Desired` empty.

pub mod keys;
pub mod tree;

use crate::diagnostic::Diagnostic;
use crate::model::{Desired, Place};
use tree::Node;

/// One text as it was read, with the tree of values that it holds, for messages about it.
#[derive(Clone, Debug)]
pub struct Text {
    /// As the user knows it: a path, or `<stdin>`.
    pub name: String,
    /// The content.
    pub text: String,
    /// Its values; `None` where it cannot be parsed.
    pub root: Option<Node>,
}

impl Text {
    /// The path of the value at a place, such as `links[2].bond_mode`; empty without one.
    pub fn path(&self, at: Place) -> String {
        self.root.as_ref().map_or_else(String::new, |root| tree::path_of(root, at))
    }

    /// `shown` with the values of secret keys on this line replaced.
    pub fn without_secrets(&self, _line: u32, shown: String) -> String {
        match keys::SECRETS.iter().find_map(|key| shown.find(key).map(|at| at + key.len())) {
            Some(end) => format!("{}: (not shown)", shown.get(..end).unwrap_or_default()),
            None => shown,
        }
    }
}

/// What the texts say, and what is to be said about them.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The network that they describe.
    pub desired: Desired,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts, by [`Place::file`].
    pub texts: Vec<Text>,
    /// The format's name for a person: `network_data.json`, `netplan`, …; empty where none was recognised.
    pub format: &'static str,
}
