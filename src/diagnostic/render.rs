//! A diagnostic as a person reads it: place, message, source line with a caret, hint.

use std::fmt::Write as _;

use super::{Code, Diagnostic, Severity};
use crate::format::Text;
use crate::model::Place;

/// Plain ASCII for a serial console, or colours for a terminal.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Colour,
}

/// Prints diagnostics with the lines that they speak of.
#[derive(Copy, Clone, Debug)]
pub struct Renderer<'a> {
    /// The texts, in the order of [`Place::file`].
    pub texts: &'a [Text],
    /// How to print.
    pub style: Style,
}

impl Renderer<'_> {
    /// `net.json:3:7` or, without a place, the name of the first text.
    pub fn place(&self, at: Place) -> String {
        let name = self.texts.get(usize::from(at.file)).map_or("", |t| t.name.as_str());
        if at.is_known() { format!("{name}:{}:{}", at.line, at.column) } else { name.to_owned() }
    }

    /// The path in the document, such as `links[2].bond_mode`; empty without one. A key that is missing is missing in a
    /// mapping: the path is the mapping's.
    pub fn path(&self, at: Place, code: Option<Code>) -> String {
        let of_value = code == Some(Code::MissingKey);
        self.texts.get(usize::from(at.file)).map_or_else(String::new, |t| t.path(at, of_value))
    }

    /// The whole of it, some lines, each ended by a line feed; a note is one line.
    pub fn render(&self, diagnostic: &Diagnostic) -> String {
        let (bold, colour, reset) = match self.style {
            Style::Plain => ("", "", ""),
            Style::Colour => ("\x1b[1m", colour(diagnostic.severity), "\x1b[0m"),
        };
        let mut out = String::new();
        let place = self.place(diagnostic.at);
        let colon = if place.is_empty() { "" } else { ": " };
        let Diagnostic { severity, message, code, .. } = diagnostic;
        let _ =
            writeln!(out, "{bold}{place}{colon}{colour}{severity}{reset}{bold}: {message}{reset} [{code}]");
        // What has no effect needs no more than a line.
        if *severity == Severity::Note {
            return out;
        }
        let path = self.path(diagnostic.at, Some(*code));
        if !path.is_empty() {
            let _ = writeln!(out, "  at {path}");
        }
        if let Some((line, column)) = self.source_line(diagnostic.at) {
            let number = diagnostic.at.line.to_string();
            let _ = writeln!(out, "  {number} | {line}");
            let _ = writeln!(out, "  {:w$} | {:column$}{colour}^{reset}", "", "", w = number.len());
        }
        if let Some(hint) = &diagnostic.hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
        out
    }

    /// The source line, cut to what fits a console around the column, and the caret's offset in it. Lines of keys are
    /// secrets.
    fn source_line(&self, at: Place) -> Option<(String, usize)> {
        const WIDTH: usize = 70;
        if !at.is_known() {
            return None;
        }
        let text = self.texts.get(usize::from(at.file))?;
        let line = text.line(at.line)?;
        let column = (at.column as usize).saturating_sub(1);
        let start = if column < WIDTH - 10 { 0 } else { column - WIDTH / 2 };
        let shown: String =
            line.chars().skip(start).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some((shown, column - start))
    }
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "\x1b[31m",
        Severity::Warning => "\x1b[33m",
        Severity::Note => "\x1b[36m",
    }
}
