//! The output of `check`: for a person as results arrive, for programs in their formats. Entry: [`CheckOutput`].

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use log::LevelFilter;
use serde::Serialize;

use super::super::{Exit, print, print_json, print_raw, stdout_style};
use super::baseline::Baseline;
use super::entry::{CheckedSource, ToldDiagnostic};
use super::work::{CheckOptions, Checked};
use super::{is_text, junit, sarif};
use crate::cli::{Args, OutputFormat};
use crate::diagnostic::{At, Code, DiagnosticRecord, Renderer, Severity, headline};
use crate::fleet::booted::BootedNode;
use crate::fleet::policy::FleetPolicy;
use crate::fleet::{self, FleetNode, table};
use crate::order::Order as _;
use crate::page::{Page, Style};
use crate::source::Directory;

/// A run that takes longer shows its progress on a terminal.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines of the summary about single codes.
const CODES: usize = 12;

/// The findings of the run so far.
pub(super) struct CheckOutput<'a> {
    args: &'a Args,
    baseline: Baseline,
    json: Json,
    /// Counted but not shown.
    hidden: usize,
    known: usize,
    descriptions: usize,
    codes: BTreeMap<(Severity, Code), Kind>,
    progress: Progress,
    /// The compared facts of each node, and the rules.
    nodes: Vec<FleetNode>,
    policy: FleetPolicy,
    booted: Vec<BootedNode>,
    /// The worst exit status of what was printed.
    exit: Exit,
}

/// The diagnostics of one code.
#[derive(Default)]
struct Kind {
    count: usize,
    files: usize,
    /// The last description that had one: its number and source.
    last: (usize, String),
    first: String,
}

/// The diagnostics of all descriptions.
#[derive(Default, Serialize)]
pub(super) struct Json {
    version: u32,
    pub(super) files: Vec<CheckedSource>,
    /// How the directories among the sources were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    directories: Vec<Reading>,
    errors: usize,
    warnings: usize,
    notes: usize,
    /// The comparison of the descriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<Compared>,
    /// Those in the baseline, which are not counted otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<usize>,
}

/// The findings in all descriptions together.
#[derive(Serialize)]
struct Compared {
    nodes: usize,
    diagnostics: Vec<ToldDiagnostic>,
}

/// How a directory was read.
#[derive(Serialize)]
struct Reading {
    path: String,
    reading: &'static str,
    descriptions: usize,
    links_not_followed: u32,
}

impl<'a> CheckOutput<'a> {
    pub(super) fn new(args: &'a Args, baseline: Baseline) -> CheckOutput<'a> {
        CheckOutput {
            args,
            baseline,
            json: Json { version: 1, known: args.baseline.as_ref().map(|_| 0), ..Json::default() },
            hidden: 0,
            known: 0,
            descriptions: 0,
            codes: BTreeMap::new(),
            progress: Progress::new(),
            nodes: Vec::new(),
            policy: FleetPolicy::default(),
            booted: Vec::new(),
            exit: Exit::Success,
        }
    }

    /// How descriptions are checked for this output.
    pub(super) fn options(&self) -> CheckOptions {
        let style = is_text(self.args).then(|| if self.args.table { Style::Plain } else { stdout_style() });
        CheckOptions { for_ironic: self.args.for_ironic, style, facts: self.args.fleet || self.args.table }
    }

    /// Sets a site's rules, and reports their errors.
    pub(super) fn policy(&mut self, name: &str, text: &str) {
        let (policy, diagnostics, text) = FleetPolicy::read(name, text);
        let texts = [text];
        let renderer = Renderer { texts: &texts, style: stdout_style() };
        let all = diagnostics.iter().map(|d| (renderer.record(d), renderer.render(d))).collect();
        let diagnostics = self.tell(name, None, all);
        if !diagnostics.is_empty() {
            let (source, format) = (name.to_owned(), "fleet policy");
            self.json.files.push(CheckedSource { source, node: None, format, diagnostics });
        }
        self.policy = policy;
    }

    /// Adds the reports of machines that booted.
    pub(super) fn booted(&mut self, booted: Vec<BootedNode>) {
        self.booted = booted;
    }

    /// Records how a directory is read.
    pub(super) fn directory(&mut self, path: &str, directory: &Directory) {
        self.json.directories.push(Reading {
            path: path.to_owned(),
            reading: if directory.is_one { "one" } else { "many" },
            descriptions: directory.paths.len(),
            links_not_followed: directory.links,
        });
    }

    /// Sets the number of sources.
    pub(super) fn expect(&mut self, sources: usize) {
        self.progress.all = sources;
        if self.args.table {
            self.print(&Page::default(), table::HEAD);
        }
    }

    /// Adds the diagnostics of a description.
    pub(super) fn add(&mut self, checked: Checked) {
        let Checked { source, node, format, diagnostics, facts } = checked;
        self.descriptions += 1;
        let diagnostics = self.tell(&source, node.as_deref(), diagnostics);
        self.progress.tell(self.descriptions);
        if let (true, Some(facts)) = (self.args.table, &facts) {
            self.print(&Page::default(), &table::rows(facts));
        }
        self.nodes.extend(facts.filter(|_| self.args.fleet));
        if self.args.json || matches!(self.args.format, OutputFormat::Sarif | OutputFormat::Junit) {
            self.json.files.push(CheckedSource { source, node, format, diagnostics });
        }
    }

    /// Counts diagnostics, and prints them unless they become part of a larger document.
    fn tell(
        &mut self,
        source: &str,
        node: Option<&str>,
        all: Vec<(DiagnosticRecord, Page)>,
    ) -> Vec<ToldDiagnostic> {
        let mut page = Page::default();
        let mut lines = String::new();
        let mut entries = Vec::with_capacity(all.len());
        for (record, shown) in all {
            let known = self.baseline.takes(source, node, &record);
            if !known {
                self.count(&record, source);
                match self.args.format {
                    _ if self.args.json => {}
                    OutputFormat::Github => github(&mut page, source, &record),
                    OutputFormat::Text | OutputFormat::Sh | OutputFormat::Mermaid
                        if self.is_shown(&record) =>
                    {
                        page.append(&shown)
                    }
                    OutputFormat::Text | OutputFormat::Sh | OutputFormat::Mermaid => self.hidden += 1,
                    OutputFormat::JsonLines => lines += &line(source, node, &record),
                    OutputFormat::Sarif | OutputFormat::Junit => {}
                }
            }
            self.known += usize::from(known);
            entries.push(ToldDiagnostic { record, known });
        }
        if !page.is_empty() || !lines.is_empty() {
            self.progress.clear();
        }
        self.print(&page, &lines);
        entries
    }

    /// Compares all descriptions.
    fn compare(&mut self) {
        self.progress.clear();
        let mut found = fleet::compare(&self.nodes, &self.policy);
        found.extend(fleet::booted::compare(&self.nodes, &self.booted, &self.policy));
        let nodes = self.nodes.len();
        self.nodes = Vec::new();
        let style = stdout_style();
        let mut diagnostics = Vec::with_capacity(found.len());
        for record in found {
            let source = record.at.as_ref().map_or(String::new(), |at| at.file.clone());
            let shown = if is_text(self.args) { beside(&record, style) } else { Page::default() };
            diagnostics.extend(self.tell(&source, None, vec![(record, shown)]));
        }
        match self.args.format {
            OutputFormat::Sarif | OutputFormat::Junit if !self.args.json => {
                let (source, format) = ("fleet".to_owned(), "");
                self.json.files.push(CheckedSource { source, node: None, format, diagnostics });
            }
            _ => self.json.fleet = Some(Compared { nodes, diagnostics }),
        }
    }

    fn count(&mut self, record: &DiagnosticRecord, source: &str) {
        *match record.severity {
            Severity::Error => &mut self.json.errors,
            Severity::Warning => &mut self.json.warnings,
            Severity::Note => &mut self.json.notes,
        } += 1;
        let kind = self.codes.entry((record.severity, record.code)).or_default();
        kind.count += 1;
        // Findings about all descriptions have the number of the last one, and their own source.
        if kind.last.0 != self.descriptions || kind.last.1 != source {
            kind.last = (self.descriptions, source.to_owned());
            kind.files += 1;
        }
        if kind.first.is_empty() {
            kind.first = record.at.as_ref().map_or_else(|| source.to_owned(), At::to_string);
        }
    }

    /// A service may require keys without effect in every object; notes about them are only counted.
    fn is_shown(&self, record: &DiagnosticRecord) -> bool {
        record.code != Code::NoEffect
            || record.severity != Severity::Note
            || self.args.log.is_some_and(|level| level >= LevelFilter::Info)
    }

    fn print(&mut self, page: &Page, lines: &str) {
        if self.args.table && !page.is_empty() {
            let _ = std::io::stderr().lock().write_all(page.as_str().as_bytes());
            return self.print(&Page::default(), lines);
        }
        for exit in [
            (!page.is_empty()).then(|| print(page, Exit::Success)),
            (!lines.is_empty()).then(|| print_raw(lines, Exit::Success)),
        ] {
            self.exit = exit.filter(|exit| *exit != Exit::Success).unwrap_or(self.exit);
        }
    }

    /// Prints what remains, and returns the exit status.
    pub(super) fn end(mut self) -> Exit {
        if self.args.fleet {
            self.compare();
        }
        self.progress.clear();
        let exit = if self.json.errors > 0 { Exit::BadText } else { self.exit };
        match self.args.format {
            _ if self.args.json => {
                self.json.known = self.json.known.map(|_| self.known);
                print_json(&self.json, exit)
            }
            _ if self.args.table => {
                self.print(&self.summary(), "");
                exit
            }
            OutputFormat::Text | OutputFormat::Sh | OutputFormat::Mermaid => print(&self.summary(), exit),
            OutputFormat::Github => exit,
            OutputFormat::JsonLines => {
                let Json { errors, warnings, notes, .. } = self.json;
                let summary = serde_json::json!({
                    "summary": {"descriptions": self.descriptions, "errors": errors, "warnings": warnings,
                                "notes": notes, "known": self.known}
                });
                print_raw(&format!("{summary}\n"), exit)
            }
            OutputFormat::Sarif => print_json(&sarif::log(&self.json.files), exit),
            OutputFormat::Junit => print_raw(&junit::report(&self.json.files), exit),
        }
    }

    /// At most one screen, however many descriptions there are.
    fn summary(&self) -> Page {
        let mut page = Page::default();
        for directory in self.json.directories.iter().take(5) {
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
        if let Some(more) = self.json.directories.len().checked_sub(5).filter(|more| *more > 0) {
            page.line(format_args!("and {}", plural(more, "more directory").replace("ys", "ies")));
        }
        self.table(&mut page);
        let hidden = match self.hidden {
            0 => "",
            _ => "; --log info shows all notes",
        };
        let known = match self.known {
            0 => String::new(),
            known => format!("; {known} known from the baseline"),
        };
        page.line(format_args!(
            "{}: {}, {}, {}{known}{hidden}",
            plural(self.descriptions, "description"),
            plural(self.json.errors, "error"),
            plural(self.json.warnings, "warning"),
            plural(self.json.notes, "note")
        ));
        page
    }

    /// If there are too many messages for a screen: how many of each code, the worst first.
    fn table(&self, page: &mut Page) {
        let total = self.json.errors + self.json.warnings;
        if self.descriptions < 2 || total <= 20 {
            return;
        }
        let mut kinds: Vec<_> =
            self.codes.iter().filter(|((severity, _), _)| *severity != Severity::Note).collect();
        kinds.order_by_key(|((severity, _), kind)| {
            (std::cmp::Reverse(*severity), std::cmp::Reverse(kind.count))
        });
        for ((severity, code), kind) in kinds.iter().take(CODES) {
            let files = plural(kind.files, "description");
            page.line(format_args!(
                "{:>7} {severity:<7} {} in {files}, first {}",
                kind.count,
                code.text(),
                kind.first
            ));
        }
        if kinds.len() > CODES {
            let more: usize = kinds.iter().skip(CODES).map(|(_, kind)| kind.count).sum();
            page.line(format_args!("{more:>7} of {}", plural(kinds.len() - CODES, "other code")));
        }
    }
}

/// A diagnostic about two descriptions, for a person.
fn beside(record: &DiagnosticRecord, style: Style) -> Page {
    let mut page = Page::new(style);
    let place = record.at.as_ref().map_or_else(String::new, At::to_string);
    headline(&mut page, &place, record.severity, &record.message, &record.code);
    if let Some(related) = &record.related {
        page.line(format_args!("  the other is at {related}"));
    }
    if let Some(hint) = &record.hint {
        page.line(format_args!("  hint: {hint}"));
    }
    page
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// One object of JSON lines.
fn line(source: &str, node: Option<&str>, record: &DiagnosticRecord) -> String {
    #[derive(Serialize)]
    struct Line<'r> {
        source: &'r str,
        #[serde(skip_serializing_if = "Option::is_none")]
        node: Option<&'r str>,
        #[serde(flatten)]
        record: &'r DiagnosticRecord,
    }
    serde_json::to_string(&Line { source, node, record }).unwrap_or_default() + "\n"
}

/// A workflow command of GitHub: `::error file=F,line=L,col=C,title=CODE::message`.
fn github(page: &mut Page, source: &str, record: &DiagnosticRecord) {
    let command = match record.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    // By its path in the repository.
    let file = record.at.as_ref().map_or(source, |at| &at.file);
    let file = file.strip_prefix("./").unwrap_or(file);
    let place = record.at.as_ref().map_or(String::new(), |at| format!(",line={},col={}", at.line, at.column));
    let also = record.related.as_ref().map_or(String::new(), |at| format!(" (also at {at})"));
    let hint = record.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    let message = data(&format!("{}{also}{hint}", record.message));
    page.line(format_args!("::{command} file={}{place},title={}::{message}", property(file), record.code));
}

/// The progress of a long run, on a terminal.
struct Progress {
    begin: Instant,
    last: Option<Instant>,
    all: usize,
    terminal: bool,
}

impl Progress {
    fn new() -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { begin: Instant::now(), last: None, all: 0, terminal }
    }

    /// Several times a second.
    fn tell(&mut self, done: usize) {
        const EACH: Duration = Duration::from_millis(200);
        if !self.terminal {
            return;
        }
        if self.begin.elapsed() < PATIENCE || self.last.is_some_and(|last| last.elapsed() < EACH) {
            return;
        }
        self.last = Some(Instant::now());
        // One file may have many.
        let of = if done <= self.all { format!(" of {}", self.all) } else { String::new() };
        let _ = write!(std::io::stderr(), "\r\x1b[Knetapply: {done}{of} checked");
    }

    fn clear(&mut self) {
        if self.terminal && self.last.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
