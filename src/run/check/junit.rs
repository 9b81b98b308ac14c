//! JUnit XML, in the form of Ant and Jenkins that CI servers show: a suite for each description, a case for each error.
//! Entry: [`report`].

use std::fmt::Write as _;

use super::entry::{CheckedSource, ToldDiagnostic};
use crate::diagnostic::{At, Severity};

/// The complete report.
pub(super) fn report(files: &[CheckedSource]) -> String {
    let is_error = |entry: &&ToldDiagnostic| entry.record.severity == Severity::Error && !entry.known;
    let count = |file: &CheckedSource| file.diagnostics.iter().filter(is_error).count();
    let failures: usize = files.iter().map(count).sum();
    let tests: usize = files.iter().map(|file| count(file).max(1)).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"netapply check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
    );
    for file in files {
        let name = match &file.node {
            Some(node) => format!("{} {node}", file.source),
            None => file.source.clone(),
        };
        let name = attribute(&name);
        let errors: Vec<&ToldDiagnostic> = file.diagnostics.iter().filter(is_error).collect();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
            errors.len().max(1),
            errors.len()
        );
        if errors.is_empty() {
            let _ = writeln!(out, "    <testcase classname=\"{name}\" name=\"check\"/>");
        }
        for entry in errors {
            let record = &entry.record;
            let place = record.at.as_ref().map_or_else(|| file.source.clone(), At::to_string);
            let (code, message) = (record.code.text(), attribute(&record.message));
            let mut text = format!("{place}: {}", record.message);
            if let Some(related) = &record.related {
                let _ = write!(text, "\nalso at {related}");
            }
            if let Some(hint) = &record.hint {
                let _ = write!(text, "\nhint: {hint}");
            }
            let _ = writeln!(
                out,
                "    <testcase classname=\"{name}\" name=\"{}\">\n      <failure type=\"{code}\" message=\"{message}\">{}</failure>\n    </testcase>",
                attribute(&format!("{code} {place}")),
                text_of(&text)
            );
        }
        let others: String = file
            .diagnostics
            .iter()
            .filter(|entry| entry.record.severity != Severity::Error && !entry.known)
            .map(|ToldDiagnostic { record, .. }| {
                let place = record.at.as_ref().map_or_else(|| file.source.clone(), At::to_string);
                format!("{place}: {}: {} [{}]\n", record.severity, record.message, record.code)
            })
            .collect();
        if !others.is_empty() {
            let _ = writeln!(out, "    <system-out>{}</system-out>", text_of(&others));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn attribute(text: &str) -> String {
    text_of(text).replace('"', "&quot;").replace(['\n', '\t'], " ")
}

/// Text in XML 1.0; invalid characters become U+FFFD.
fn text_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || matches!(c, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}')
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(attribute("a<b>&\"\u{1}\n"), "a&lt;b&gt;&amp;&quot;\u{fffd} ");
    }
}
