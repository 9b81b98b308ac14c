//! `netapply check`: diagnostics only, for pipelines.

use log::LevelFilter;
use serde::Serialize;

use super::{Exit, block_on, complain, find, parse, print, print_json, request, stdout_style, unreadable};
use crate::cli::{Args, OutputFormat};
use crate::diagnostic::{Code, Diagnostic, DiagnosticRecord, Renderer, Severity};
use crate::format::{self, Parsed};
use crate::page::Page;
use crate::source::{self, Directory, Found, NotFound};

/// The diagnostics of all descriptions.
#[derive(Default, Serialize)]
struct Output {
    version: u32,
    files: Vec<File>,
    /// How the directories among the sources were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    directories: Vec<Reading>,
    errors: usize,
    warnings: usize,
    notes: usize,
    /// Notes that are counted and not shown.
    #[serde(skip)]
    hidden: usize,
    #[serde(skip)]
    descriptions: usize,
}

/// How a directory was read.
#[derive(Serialize)]
struct Reading {
    path: String,
    reading: &'static str,
    descriptions: usize,
    links_not_followed: u32,
}

impl Reading {
    fn new(path: &str, directory: &Directory) -> Reading {
        Reading {
            path: path.to_owned(),
            reading: if directory.is_one { "one" } else { "many" },
            descriptions: directory.paths.len(),
            links_not_followed: directory.links,
        }
    }
}

#[derive(Serialize)]
struct File {
    source: String,
    format: &'static str,
    diagnostics: Vec<DiagnosticRecord>,
}

/// Exit code 3 on any error, 0 with warnings or notes only.
pub(super) fn check(args: &Args) -> Exit {
    let mut output = Output { version: 1, ..Output::default() };
    // One runtime and one look at the machine for all descriptions, of which one at a time is held.
    let done = block_on(async {
        let mut request = request(args, None);
        for source in &args.sources {
            let directory = if args.merge { Ok(None) } else { source::directory(source, &request).await };
            let paths = match directory {
                Ok(Some(directory)) => {
                    output.directories.push(Reading::new(source, &directory));
                    directory.paths
                }
                Ok(None) => vec![source.clone()],
                Err(problem) => {
                    output.add(args, source, &unreadable(source, &problem));
                    continue;
                }
            };
            for path in paths {
                request.source = Some(path.clone());
                let parsed = checked(args, &path, find(&request).await);
                output.add(args, &path, &parsed);
            }
        }
    });
    if let Err(error) = done {
        complain(&format!("cannot start: {error}"));
        return Exit::BadText;
    }
    let exit = if output.errors > 0 { Exit::BadText } else { Exit::Success };
    match args.format {
        _ if args.json => print_json(&output, exit),
        OutputFormat::Text => print(&output.summary(), exit),
        OutputFormat::Github | OutputFormat::Sh => exit,
    }
}

impl Output {
    /// Counts the diagnostics of a description, and prints them unless they become part of the JSON.
    fn add(&mut self, args: &Args, source: &str, parsed: &Parsed) {
        self.descriptions += 1;
        let renderer = Renderer { texts: &parsed.texts, style: stdout_style() };
        let mut page = Page::new(renderer.style);
        // A service may require keys without effect in every object; notes about them are only counted.
        let is_shown = |diagnostic: &Diagnostic| {
            diagnostic.code != Code::NoEffect
                || diagnostic.severity != Severity::Note
                || args.log.is_some_and(|level| level >= LevelFilter::Info)
        };
        for diagnostic in &parsed.diagnostics {
            *match diagnostic.severity {
                Severity::Error => &mut self.errors,
                Severity::Warning => &mut self.warnings,
                Severity::Note => &mut self.notes,
            } += 1;
            match args.format {
                _ if args.json => {}
                OutputFormat::Github => github(&mut page, parsed, diagnostic),
                OutputFormat::Text | OutputFormat::Sh if is_shown(diagnostic) => {
                    renderer.render_to(&mut page, diagnostic)
                }
                OutputFormat::Text | OutputFormat::Sh => self.hidden += 1,
            }
        }
        if args.json {
            let diagnostics = renderer.records(&parsed.diagnostics);
            self.files.push(File { source: source.to_owned(), format: parsed.format, diagnostics });
        } else {
            print(&page, Exit::Success);
        }
    }

    fn summary(&self) -> Page {
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut page = Page::default();
        for directory in &self.directories {
            let read = match directory.reading {
                "one" => "read as one description".to_owned(),
                _ => format!(
                    "read as {}; --merge reads it as one",
                    plural(directory.descriptions, "description")
                ),
            };
            page.line(format_args!("{}: {read}", directory.path));
            if directory.links_not_followed > 0 {
                let links = plural(directory.links_not_followed as usize, "symbolic link");
                page.line(format_args!(
                    "{}: {links} not followed; --follow-links reads them",
                    directory.path
                ));
            }
        }
        let hidden = match self.hidden {
            0 => "",
            _ => "; --log info shows all notes",
        };
        page.line(format_args!(
            "{}: {}, {}, {}{hidden}",
            plural(self.descriptions, "description"),
            plural(self.errors, "error"),
            plural(self.warnings, "warning"),
            plural(self.notes, "note")
        ));
        page
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

/// A workflow command of GitHub: `::error file=F,line=L,col=C,title=CODE::message`.
fn github(page: &mut Page, parsed: &Parsed, diagnostic: &Diagnostic) {
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
    page.line(format_args!(
        "::{command} file={}{place},title={}::{message}",
        property(file),
        diagnostic.code
    ));
}
