//! `netapply check`: diagnostics only, for pipelines.

use serde::Serialize;

use super::{
    Exit, Said, block_on, complain, find, json, parse, print, request, said, stdout_style, unreadable,
};
use crate::cli::{Args, Format};
use crate::diagnostic::{Diagnostic, Renderer, Severity};
use crate::format::{self, Parsed};
use crate::source::{Found, NotFound};

/// What is said of all descriptions together.
#[derive(Default, Serialize)]
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
    diagnostics: Vec<Said>,
}

/// Exit code 3 on any error, 0 with warnings or notes only.
pub(super) fn check(args: &Args) -> Exit {
    let mut output = Output { version: 1, ..Output::default() };
    // One runtime and one look at the machine for all descriptions, of which one at a time is held.
    let done = block_on(async {
        let mut request = request(args, None);
        for source in &args.sources {
            request.source = Some(source.clone());
            let parsed = checked(args, source, find(&request).await);
            output.add(args, source, &parsed);
        }
    });
    if let Err(error) = done {
        complain(&format!("nothing can be read: {error}"));
        return Exit::BadText;
    }
    if args.json {
        print(&json(&output));
    } else if args.format == Format::Text {
        print(&output.summary(args.sources.len()));
    }
    if output.errors > 0 { Exit::BadText } else { Exit::Success }
}

impl<'a> Output<'a> {
    /// Counts what is said of a description, and prints it unless it becomes part of the JSON.
    fn add(&mut self, args: &Args, source: &'a str, parsed: &Parsed) {
        for diagnostic in &parsed.diagnostics {
            *match diagnostic.severity {
                Severity::Error => &mut self.errors,
                Severity::Warning => &mut self.warnings,
                Severity::Note => &mut self.notes,
            } += 1;
            if !args.json {
                print(&line(args, parsed, diagnostic));
            }
        }
        if args.json {
            let diagnostics = said(&parsed.texts, &parsed.diagnostics);
            self.files.push(File { source, format: parsed.format, diagnostics });
        }
    }

    fn summary(&self, descriptions: usize) -> String {
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        format!(
            "{}: {}, {}, {}\n",
            plural(descriptions, "description"),
            plural(self.errors, "error"),
            plural(self.warnings, "warning"),
            plural(self.notes, "note")
        )
    }
}

fn checked(args: &Args, source: &str, found: Result<Found, NotFound>) -> Parsed {
    let mut parsed = match found {
        Ok(found) => parse(&found),
        Err(missing) => unreadable(source, &missing),
    };
    if args.for_ironic {
        format::for_ironic(&mut parsed);
    }
    parsed
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
