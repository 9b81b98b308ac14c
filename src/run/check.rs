//! `netapply check`: diagnostics only, for pipelines.

use serde::Serialize;

use super::{Exit, Said, block_on, broken, find, json, parse, print, said, stdout_style, unreadable};
use crate::cli::{Args, Format};
use crate::diagnostic::{Diagnostic, Renderer, Severity};
use crate::format::{self, Parsed};

/// One SOURCE with what is to be said about it.
struct Checked {
    source: String,
    parsed: Parsed,
}

#[derive(Serialize)]
struct Output<'a> {
    version: u32,
    files: Vec<File<'a>>,
    errors: usize,
    warnings: usize,
    notes: usize,
}

#[derive(Serialize)]
struct File<'a> {
    source: &'a str,
    format: &'static str,
    diagnostics: Vec<Said<'a>>,
}

/// Exit code 3 on any error, 0 with warnings or notes only.
pub(super) fn check(args: &Args) -> Exit {
    let checked: Vec<Checked> = args.sources.iter().map(|source| check_one(args, source)).collect();
    let count = |severity| {
        checked.iter().flat_map(|c| &c.parsed.diagnostics).filter(|d| d.severity == severity).count()
    };
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    if args.json {
        let files = checked
            .iter()
            .map(|c| File {
                source: &c.source,
                format: c.parsed.format,
                diagnostics: said(&c.parsed.texts, &c.parsed.diagnostics),
            })
            .collect();
        print(&json(&Output { version: 1, files, errors, warnings, notes }));
    } else {
        for one in &checked {
            for diagnostic in &one.parsed.diagnostics {
                print(&line(args, &one.parsed, diagnostic));
            }
        }
        if args.format == Format::Text {
            let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            print(&format!(
                "{}: {}, {}, {}\n",
                plural(checked.len(), "description"),
                plural(errors, "error"),
                plural(warnings, "warning"),
                plural(notes, "note")
            ));
        }
    }
    if errors > 0 { Exit::BadText } else { Exit::Success }
}

fn check_one(args: &Args, source: &str) -> Checked {
    let found = block_on(find(args, Some(&source.to_owned())));
    let mut parsed = match found {
        Ok(Ok(found)) => parse(&found),
        Ok(Err(missing)) => unreadable(source, &missing),
        Err(error) => unreadable(source, &broken(&error)),
    };
    if args.for_ironic {
        format::for_ironic(&mut parsed);
    }
    // The name that the user typed is the one to show, except within a drive or directory.
    let is_text = std::path::Path::new(source).is_file() && !source.ends_with(".iso");
    if let ([text], true) = (parsed.texts.as_mut_slice(), is_text) {
        source.clone_into(&mut text.name);
    }
    Checked { source: source.to_owned(), parsed }
}

fn line(args: &Args, parsed: &Parsed, diagnostic: &Diagnostic) -> String {
    let renderer = Renderer { texts: &parsed.texts, style: stdout_style() };
    match args.format {
        Format::Github => github(parsed, diagnostic),
        _ => renderer.render(diagnostic),
    }
}

/// A workflow command of GitHub: `::error file=F,line=L,col=C,title=CODE::message`.
fn github(parsed: &Parsed, diagnostic: &Diagnostic) -> String {
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let file = parsed.texts.get(usize::from(diagnostic.at.file)).map_or("", |t| t.name.as_str());
    let place = match diagnostic.at.is_known() {
        true => format!(",line={},col={}", diagnostic.at.line, diagnostic.at.column),
        false => String::new(),
    };
    let hint = diagnostic.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    let message = data(&format!("{}{hint}", diagnostic.message));
    format!("::{command} file={}{place},title={}::{message}\n", property(file), diagnostic.code)
}
