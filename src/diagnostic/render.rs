//! A diagnostic in the form for people: place, message, source line with a caret, hint.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Code, Diagnostic, Severity};
use crate::format::Text;
use crate::model::Place;
use crate::page::{Look, Page, Style, one_column};

/// Prints diagnostics with their source lines.
#[derive(Copy, Clone, Debug)]
pub struct Renderer<'a> {
    /// The documents, in the order of [`Place::file`].
    pub texts: &'a [Text],
    /// How to print.
    pub style: Style,
}

impl Renderer<'_> {
    /// `net.json:3:7` or, without a place, the name of the first document.
    pub fn place(&self, at: Place) -> String {
        let name = self.texts.get(usize::from(at.file)).map_or("", |t| t.name.as_str());
        if at.is_known() { format!("{name}:{}:{}", at.line, at.column) } else { name.to_owned() }
    }

    /// The path in the document, such as `links[2].bond_mode`, or empty. For a missing key it is the mapping's path.
    pub fn path(&self, at: Place, code: Option<Code>) -> String {
        let of_value = code == Some(Code::MissingKey);
        self.texts.get(usize::from(at.file)).map_or_else(String::new, |t| t.path(at, of_value))
    }

    /// All of it, on several lines; a note is one line.
    pub fn render(&self, diagnostic: &Diagnostic) -> Page {
        let mut page = Page::new(self.style);
        self.render_to(&mut page, diagnostic);
        page
    }

    /// As [`Renderer::render`], onto a page.
    pub fn render_to(&self, page: &mut Page, diagnostic: &Diagnostic) {
        let place = self.place(diagnostic.at);
        let Diagnostic { severity, message, code, .. } = diagnostic;
        headline(page, &place, *severity, message, code);
        // A note takes one line only.
        if *severity == Severity::Note {
            return;
        }
        let path = self.path(diagnostic.at, Some(*code));
        if !path.is_empty() {
            page.line(format_args!("  at {path}"));
        }
        if let Some((line, column)) = self.source_line(diagnostic.at) {
            let number = diagnostic.at.line.to_string();
            page.line(format_args!("  {number} | {line}"));
            let caret = format!("  {:w$} | {:column$}", "", "", w = number.len());
            page.styled(&[(Look::Normal, &caret), (look(diagnostic.severity), "^")]);
        }
        if let Some(hint) = &diagnostic.hint {
            page.line(format_args!("  hint: {hint}"));
        }
    }

    /// A place in its JSON form; `None` without one.
    pub fn at(&self, at: Place, code: Option<Code>) -> Option<At> {
        let file = self.texts.get(usize::from(at.file)).map(|t| t.name.clone()).unwrap_or_default();
        at.is_known().then(|| At { file, line: at.line, column: at.column, path: self.path(at, code) })
    }

    /// A diagnostic in its JSON form.
    pub fn record(&self, diagnostic: &Diagnostic) -> DiagnosticRecord {
        let Diagnostic { code, severity, message, at, hint } = diagnostic.clone();
        DiagnosticRecord { code, severity, message, at: self.at(at, Some(code)), hint, related: None }
    }

    /// Diagnostics in their JSON form.
    pub fn records(&self, diagnostics: &[Diagnostic]) -> Vec<DiagnosticRecord> {
        diagnostics.iter().map(|diagnostic| self.record(diagnostic)).collect()
    }

    /// The source line, cut around the column to fit a console, and the caret's offset in it. Secrets are masked.
    fn source_line(&self, at: Place) -> Option<(String, usize)> {
        const WIDTH: usize = 70;
        if !at.is_known() {
            return None;
        }
        let text = self.texts.get(usize::from(at.file))?;
        let line = text.line(at.line)?;
        let column = (at.column as usize).saturating_sub(1);
        let start = if column < WIDTH - 10 { 0 } else { column - WIDTH / 2 };
        let shown: String = line.chars().skip(start).take(WIDTH).map(one_column).collect();
        Some((shown, column - start))
    }
}

fn look(severity: Severity) -> Look {
    match severity {
        Severity::Error => Look::Red,
        Severity::Warning => Look::Yellow,
        Severity::Note => Look::Cyan,
    }
}

/// The first line of a diagnostic: `FILE:LINE:COLUMN: error: MESSAGE [CODE]`.
pub fn headline(page: &mut Page, place: &str, severity: Severity, message: &str, code: &impl fmt::Display) {
    let colon = if place.is_empty() { "" } else { ": " };
    page.styled(&[
        (Look::Bold, &format!("{place}{colon}")),
        (look(severity), &severity.to_string()),
        (Look::Bold, &format!(": {message}")),
        (Look::Normal, &format!(" [{code}]")),
    ]);
}

/// A place in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The path in the document, such as `links[2].bond_mode`; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

impl fmt::Display for At {
    /// `net.json:3:7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A diagnostic in JSON, wherever JSON has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiagnosticRecord {
    /// What it is about.
    pub code: Code,
    /// The severity.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where; absent without a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The other place, if two descriptions conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<At>,
}
