//! The commands: each takes the arguments through the stages and exits with a status.

mod apply;
mod capture;
mod check;
mod convert;
mod diagram;
mod dry_run;
mod fallback;
mod handoff;
mod leases;
mod lock;
mod options;
mod persist;
mod pipeline;
mod process;
mod rehearsal;
mod rehearse;
mod renew;
mod root;
mod saved;
mod settle;
mod show;
mod signals;
mod stages;
mod tell;
#[cfg(test)]
mod units;

use std::io::{IsTerminal, Write};

use crate::cli::{Args, BootPlace, Command};
use crate::diagnostic::{Code, Diagnostic, Renderer};
use crate::format::{self, Parsed, Text};
use crate::machine::Machine;
use crate::model::Place;
use crate::page::{Page, Style, printable};
use crate::source::{self, BootSource, Cmdline, Found, NotFoundKind, SearchOptions};
pub use process::prepare as prepare_process;
use serde::Serialize;

/// The exit status. If several apply: 3, then 5, then 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As described and working.
    Success = 0,
    /// Something described is missing or does not work.
    Incomplete = 1,
    /// Usage.
    Usage = 2,
    /// The description cannot be parsed, has nothing usable, or has an error under `--strict`.
    BadText = 3,
    /// No description, or one without any link.
    NoDescription = 4,
    /// The kernel refused a step.
    Refused = 5,
    /// Another netapply was running and did not exit in time (EX_TEMPFAIL of sysexits.h).
    Busy = 75,
}

/// Runs a command.
pub fn run(args: &Args) -> Exit {
    match &args.command {
        Command::Apply => apply::apply(args),
        Command::Verify => apply::verify(args),
        Command::Rehearse => rehearse::rehearse(args),
        Command::DryRun => dry_run::dry_run(args),
        Command::Check => check::check(args),
        Command::Convert(tool) => convert::convert(args, *tool),
        Command::Persist(root) => persist::persist(args, root),
        Command::Capture(tool) => capture::capture(args, convert::tool_of(*tool)),
        Command::Inventory => show::inventory(args),
        Command::Report => show::report(args),
        Command::Handoff => handoff::undo(args),
        Command::Leases => leases::show(args),
        Command::Release => renew::release(args),
        Command::Renew => renew::renew(args),
        Command::Explain(code) => show::explain(args, code),
        Command::Codes => show::codes(args),
    }
}

/// One runtime on the calling thread; everything asynchronous in the program runs in it.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, std::io::Error> {
    process::has_spare_files()?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().on_thread_park(process::before_waiting).build()?;
    let result = runtime.block_on(future);
    // A thread that hangs on a dead drive is not waited for.
    runtime.shutdown_background();
    Ok(result)
}

/// Prints a page and returns the exit status: that of the command, or 1 if it would be 0 and the page cannot be
/// printed.
fn print(page: &Page, exit: Exit) -> Exit {
    print_raw(page.as_str(), exit)
}

/// Prints a value as JSON, which has its own escapes; otherwise as [`print`].
fn print_json(value: &impl Serialize, exit: Exit) -> Exit {
    print_raw(&(serde_json::to_string_pretty(value).unwrap_or_default() + "\n"), exit)
}

/// Prints text that is our own or is escaped already.
fn print_raw(text: &str, exit: Exit) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A closed pipe (`| head`) is not an error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {error}"));
            if exit == Exit::Success { Exit::Incomplete } else { exit }
        }
        _ => exit,
    }
}

/// Prints a sentence to standard error, prefixed with the program's name.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "netapply: {}", printable(text));
}

/// Prints diagnostics to standard error, for commands whose result is on standard output.
fn complain_of<'a>(texts: &[Text], diagnostics: impl IntoIterator<Item = &'a Diagnostic>) {
    let style = style(std::io::stderr().is_terminal());
    let renderer = Renderer { texts, style };
    let mut page = Page::new(style);
    diagnostics.into_iter().for_each(|diagnostic| renderer.render_to(&mut page, diagnostic));
    let _ = std::io::stderr().lock().write_all(page.as_str().as_bytes());
}

/// Colour on a terminal, unless disabled (no-color.org).
fn style(terminal: bool) -> Style {
    let wanted = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    if wanted && std::env::var("TERM").is_ok_and(|t| t != "dumb") { Style::Colour } else { Style::Plain }
}

fn stdout_style() -> Style {
    style(std::io::stdout().is_terminal())
}

/// Whether to hand off to the rest of the image: `--handoff`, else `netapply.handoff=`, else yes.
fn tells_the_image(args: &Args, cmdline: &Cmdline) -> bool {
    args.handoff.unwrap_or_else(|| cmdline.handoff.as_deref() != Some("none"))
}

/// The places of `--source`.
fn boot_sources(args: &Args) -> Vec<BootSource> {
    let places = args.boot_sources.iter();
    places
        .map(|place| match place {
            BootPlace::Drive => BootSource::Drive,
            BootPlace::Cmdline => BootSource::CommandLine,
            BootPlace::Ibft => BootSource::Ibft,
            BootPlace::Nbft => BootSource::Nbft,
        })
        .collect()
}

/// What to look for: the named description, or the one that a boot would find.
fn request(args: &Args, source: Option<&String>) -> SearchOptions {
    let machine = Machine::default();
    let cmdline = Cmdline::read(&machine);
    SearchOptions {
        source: source.cloned(),
        boot_sources: boot_sources(args),
        wait: args.wait_for,
        cmdline,
        machine,
        follow_links: args.follow_links,
        many: false,
    }
}

/// Finds and reads the description.
async fn find(request: &SearchOptions) -> Result<Found, source::NotFound> {
    source::find(request, &mut |line| log::info!("{line}")).await
}

/// Parses what was found.
fn parse(found: &Found) -> Parsed {
    format::parse(found.documents.iter().map(|d| (d.name.clone(), d.text.clone())).collect())
}

/// The exit status for a description that was not found.
fn not_found(missing: &source::NotFound) -> Exit {
    if missing.kind.is_unreadable() { Exit::BadText } else { Exit::NoDescription }
}

/// A description that could not be read, with the reason as its only diagnostic.
fn unreadable(source: &str, missing: &source::NotFound) -> Parsed {
    let code = match missing.kind {
        NotFoundKind::NoDescription | NotFoundKind::NodeWithoutNetwork => Code::NoDescription,
        NotFoundKind::NoDrive | NotFoundKind::PxeBoot => Code::NoSource,
        _ => Code::SourceUnreadable,
    };
    let diagnostic = Diagnostic::new(code, Place::NONE, as_clause(&missing.message));
    let hint = as_clause(&missing.hint);
    let diagnostic = if hint.is_empty() { diagnostic } else { diagnostic.hint(hint) };
    let texts = vec![Text::new(source.to_owned(), String::new(), None)];
    Parsed { diagnostics: vec![diagnostic], texts, ..Parsed::default() }
}

/// A sentence in the form of a diagnostic: lowercase at the beginning, except for acronyms (ISO), without a full stop.
fn as_clause(sentence: &str) -> String {
    let mut letters = sentence.trim_end_matches('.').chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        (first, _) => first.into_iter().chain(letters).collect(),
    }
}

/// The runtime could not be created: reported like a description that cannot be read.
fn broken(error: &std::io::Error) -> source::NotFound {
    source::NotFound::new(NotFoundKind::Unreadable, error.to_string(), String::new())
}
