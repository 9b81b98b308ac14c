//! Diagnostics about the description: what is wrong or assumed, where, and what to do.
//!
//! A [`Diagnostic`] carries a [`Code`] that never changes its meaning; `netapply explain CODE` prints the row of the
//! table in `codes`. Rendering needs the documents, for the source line and the path in it.

mod codes;
mod render;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::model::Place;
use crate::page;
pub use codes::Code;
pub use render::{At, DiagnosticRecord, Renderer, headline};

/// The severity, from harmless to fatal.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No effect here; never shown on the console of a boot.
    Note,
    /// Something was assumed or changed.
    Warning,
    /// Cannot work as written.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One message about the description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// The severity.
    pub severity: Severity,
    /// What is wrong: one sentence without a full stop, including names and values.
    pub message: String,
    /// Where; [`Place::NONE`] if it concerns no place in the file.
    pub at: Place,
    /// What to do, if the message does not say it already.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A diagnostic with the severity of the code's row.
    pub fn new(code: Code, at: Place, message: impl Into<String>) -> Self {
        Diagnostic { code, severity: code.severity(), message: printable(message.into()), at, hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable(hint.into()));
        self
    }

    /// Overrides the severity of the code's row.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// A message that quotes foreign text: made printable, and cut after a few lines.
pub fn printable(text: String) -> String {
    const MOST: usize = 400;
    let text = match page::printable(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clean) => clean,
    };
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The worst severity among `diagnostics`.
pub fn worst(diagnostics: &[Diagnostic]) -> Option<Severity> {
    diagnostics.iter().map(|d| d.severity).max()
}

/// The likeliest candidate for a misspelt `wrong`: at most a third of its letters differ, of three one. Never `wrong`
/// itself.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let limit = length / 3;
    // At least the difference in length is the distance: most candidates need no closer look.
    let close = |candidate: &&str| candidate.chars().count().abs_diff(length) <= limit && *candidate != wrong;
    let near = candidates.into_iter().filter(close).map(|c| (distance(wrong, c), c));
    let near = near.filter(|(d, _)| *d <= limit);
    near.min_by_key(|(d, _)| *d).map(|(_, c)| c)
}

/// Levenshtein distance; `-` and `_` are the same, and case is ignored. Texts over 64 letters are far apart.
fn distance(a: &str, b: &str) -> usize {
    let fold = |t: &str| -> Vec<char> {
        t.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let up = *cell;
            left = (diagonal + usize::from(x != y)).min(up + 1).min(left + 1);
            diagonal = up;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typos_and_nothing_unrelated() {
        let keys = ["bond_mode", "bond_links", "mtu"];
        assert_eq!(nearest("bond-mode", keys), Some("bond_mode"));
        assert_eq!(nearest("bond_lnks", keys), Some("bond_links"));
        assert_eq!(nearest("MTU", keys), Some("mtu"));
        assert_eq!(nearest("gateway", keys), None);
        // With two letters, one may differ.
        assert_eq!(nearest("n1", ["n1", "n2", "b1"]), None);
        assert_eq!(nearest("ens3", ["ens3"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
