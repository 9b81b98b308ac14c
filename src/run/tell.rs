//! Reports a run: to the log, report.json, the consoles, and standard output.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::mem;

use log::Level;
use nix::unistd::geteuid;

use super::options::Options;
use super::settle::Round;
use super::stages::{Ended, Ran, Source, Work};
use super::{Exit, print, print_json, signals, stdout_style, unreadable};
use crate::diagnostic::{Code, Renderer, Severity};
use crate::kernel::apply::{Cost, PlanOutcome, StepOutcome};
use crate::kernel::trouble::Trouble;
use crate::logging;
use crate::page::{Page, Style};
use crate::plan::{Action, Plan, script};
use crate::report::places::{NotWritten, Places};
use crate::report::screen::screen;
use crate::report::timeline::Clock;
use crate::report::{Applied, Builder, FailedStep, Report, Verdict, systemd};
use crate::source::NotFound;
use crate::verify::cause::{Cause, Certainty};

/// Reports a run's result, everywhere. Returns the exit status, which is not success if the report cannot be written.
pub(super) fn tell(ended: Ended, options: &Options, exit: Exit) -> Exit {
    log(&ended);
    let mut report = report(ended, &options.clock, exit);
    let mut exit = exit;
    let mut unwritten = None;
    if let Err(trouble) = Places(&options.machine).write(&report) {
        // Without write permission, the user sees it on the screen.
        if trouble.why.kind() == ErrorKind::PermissionDenied && !geteuid().is_root() {
            log::debug!("{trouble}");
        } else {
            exit = if exit == Exit::Success { Exit::Incomplete } else { exit };
            report.exit = exit as u8;
            log::error!("{trouble}");
            unwritten = Some(trouble);
        }
    }
    if options.boot {
        systemd::journal(&options.machine, &report);
        report.screen.iter().for_each(|line| log::info!("{line}"));
        let failures = options.consoles.take().finish(&on_console(&report, unwritten.as_ref()));
        for (path, error) in failures {
            log::debug!("{}: {error}", path.display());
        }
        logging::finish();
    }
    // The reader may be slow; the report is already written, so a signal need not wait for it.
    signals::end_at_once();
    match options.boot {
        _ if options.json => print_json(&report, exit),
        true => exit,
        false => print(&screen(&report, stdout_style()), exit),
    }
}

/// What the consoles of a boot show.
fn on_console(report: &Report, unwritten: Option<&NotWritten>) -> Page {
    let mut page = Page::new(Style::Plain);
    page.gap();
    // A network that is verified next takes only one line.
    let lines = if report.verdict == Verdict::Applied { 1 } else { usize::MAX };
    report.screen.iter().take(lines).for_each(|line| page.line(format_args!("{line}")));
    if let Some(trouble) = unwritten {
        page.line(format_args!("netapply: {trouble}"));
    }
    page.gap();
    page
}

/// The diagnostics of the description, for a journal or a person at a terminal.
pub(super) fn log(ended: &Ended) {
    let texts = ended.described().map_or(&[][..], |d| &d.parsed.texts);
    let renderer = Renderer { texts, style: Style::Plain };
    for diagnostic in ended.diagnostics() {
        let level = match diagnostic.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warn,
            Severity::Note => Level::Debug,
        };
        logging::page(level, &renderer.render(diagnostic));
    }
    let Some(settled) = ended.settled() else { return };
    settled.rounds.iter().for_each(log_steps);
    for sentence in &settled.handoff_warnings {
        log::warn!("{sentence}");
    }
    match &settled.undone {
        Some(Ok(())) => log::warn!("--strict: all changes were undone"),
        Some(Err(why)) => log::error!("--strict: not all changes could be undone: {why}"),
        None => {}
    }
}

/// The outcome of each step. Consecutive steps of one level are one record: there may be thousands.
fn log_steps(round: &Round) {
    let mut record = (Level::Debug, Page::new(Style::Plain));
    for (step, outcome) in round.plan.steps.iter().zip(&round.outcome.steps) {
        let (level, before, after) = match outcome {
            StepOutcome::Done { warning: None } => (Level::Debug, Cow::from("done: "), String::new()),
            StepOutcome::Done { warning: Some(warning) } => {
                let ours = matches!(step.action, Action::AwaitCarrier { .. });
                let says = if ours { "" } else { "the kernel says: " };
                (Level::Warn, "done: ".into(), format!(": {says}{warning}"))
            }
            StepOutcome::Failed(trouble) => {
                let level = match Cost::of(&step.action, trouble) {
                    Cost::Network => Level::Error,
                    Cost::Extra | Cost::HandOff => Level::Warn,
                };
                (level, "failed: ".into(), format!(": {trouble}"))
            }
            StepOutcome::Underway => (Level::Warn, "interrupted: ".into(), String::new()),
            StepOutcome::Skipped { because } => {
                let before = format!("not tried, because step {because} failed: ");
                (Level::Warn, before.into(), String::new())
            }
            StepOutcome::NotReached => (Level::Warn, "not reached: ".into(), String::new()),
        };
        if level != record.0 {
            let (level, page) = mem::replace(&mut record, (level, Page::new(Style::Plain)));
            logging::page(level, &page);
        }
        record.1.line(format_args!("{before}{}{after}", script::line(&step.action)));
    }
    logging::page(record.0, &record.1);
}

fn report(ended: Ended, clock: &Clock, exit: Exit) -> Report {
    let texts = ended.described().map_or(&[][..], |d| &d.parsed.texts);
    let diagnostics = ended.diagnostics().cloned().collect::<Vec<_>>();
    let renderer = Renderer { texts, style: Style::Plain };
    let rounds = ended.settled().into_iter().flat_map(|s| &s.rounds);
    let done = rounds.fold(None, |sum: Option<Applied>, round| {
        Some(add(sum.unwrap_or_default(), &round.plan, &round.outcome, &renderer))
    });
    let mut causes = Vec::new();
    if let Source::NotFound(missing) = &ended.source {
        causes.push(no_source(missing));
    }
    if let Work::Failed(failure) = &ended.work {
        causes.push(Cause::new(
            Code::KernelRefused,
            Certainty::Proved,
            "",
            failure.to_string(),
            if geteuid().is_root() {
                "Check the kernel's log, and the restrictions of the container or unit"
            } else {
                "Run netapply as root"
            },
        ));
    }
    let diagnostics = renderer.records(&diagnostics);
    let interrupted = ended.interrupted();
    let nothing_left = ended.settled().is_some();
    let (only_verified, earlier) = match ended.ran {
        Ran::Apply => (false, nothing_left.then(Applied::default)),
        Ran::Verify { earlier } => (true, earlier),
    };
    let described = match ended.source {
        Source::Found(described) => Some(*described),
        Source::NotFound(_) | Source::Interrupted => None,
    };
    let glance = ended.verified.as_ref().is_some_and(|v| v.glance);
    let (input, verification) =
        ended.verified.map_or((None, None), |v| (Some(v.input), Some(v.verification)));
    let builder = Builder {
        source: described.as_ref().map(|d| d.saved.origin.clone()),
        format: described.as_ref().map_or("", |d| d.parsed.format),
        diagnostics,
        applied: done.or(earlier),
        input: input.as_ref(),
        verification,
        causes,
        glance,
        only_verified,
        interrupted,
        seconds: ended.began.elapsed().as_secs_f64(),
        timeline: clock.timeline(),
    };
    let report = builder.finish(exit as u8);
    // The process ends here: its memory need not be freed piece by piece.
    mem::forget((described, ended.work));
    report
}

/// Adds the outcome of one plan.
fn add(mut sum: Applied, plan: &Plan, outcome: &PlanOutcome, renderer: &Renderer<'_>) -> Applied {
    sum.planned += plan.steps.len();
    sum.done += plan.numbered().filter(|(id, _)| outcome.is_done(*id)).count();
    for (number, trouble) in outcome.failures() {
        let Some(step) = plan.step(number) else { continue };
        // It is in the log; the network is as described.
        if Cost::of(&step.action, trouble) == Cost::HandOff {
            continue;
        }
        let code = match trouble {
            Trouble::Missing(_) => Code::KernelLacks,
            _ => Code::KernelRefused,
        };
        sum.failed.push(FailedStep {
            code: code.to_string(),
            link: step.action.link().unwrap_or(&step.link).to_owned(),
            step: script::brief(&step.action),
            why: trouble.to_string(),
            at: renderer.at(step.at, None),
            remedy: trouble.remedy(&step.action),
        });
    }
    sum
}

fn no_source(missing: &NotFound) -> Cause {
    let parsed = unreadable("", missing);
    let diagnostic = parsed.diagnostics.first();
    let code = diagnostic.map_or(Code::NoSource, |d| d.code);
    let hint = diagnostic.and_then(|d| d.hint.clone()).unwrap_or_default();
    let cause = Cause::new(
        code,
        Certainty::Proved,
        "",
        diagnostic.map_or_else(String::new, |d| d.message.clone()),
        hint,
    );
    // A boot that needs no description has not failed.
    let severity = if missing.kind.is_by_design() { Severity::Note } else { cause.severity };
    Cause { severity, ..cause }
}
