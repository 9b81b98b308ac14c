//! Tells what a run has found out: the log, report.json, the consoles, and the person who waits.

use std::borrow::Cow;
use std::mem;

use log::Level;

use super::options::Options;
use super::settle::Round;
use super::stages::{Ended, Ran, Source, Work};
use super::{Exit, json, print, stdout_style, unreadable};
use crate::diagnostic::{Code, Renderer, Severity, Style};
use crate::kernel::apply::{Outcome, StepOutcome, Trouble};
use crate::plan::{Action, Plan, script};
use crate::report::places::Places;
use crate::report::screen::screen;
use crate::report::{Applied, Builder, FailedStep, Report, Said, Verdict, systemd};
use crate::source::NotFound;
use crate::verify::cause::{Cause, Certainty};

/// Reports how a run ended to everybody who may look.
pub(super) fn tell(ended: Ended, options: &Options, exit: Exit) {
    log(&ended);
    let report = report(ended, exit);
    let places = Places(&options.machine);
    for (path, error) in places.write(&report) {
        log::debug!("{}: {error}", path.display());
    }
    if options.json {
        print(&json(&report));
    } else if !options.boot {
        print(&screen(&report, stdout_style()));
    }
    if options.boot {
        systemd::journal(&options.machine, &report);
        // A network that was made and is looked at next needs no more than a line.
        let lines = if report.verdict == Verdict::Applied { 1 } else { usize::MAX };
        let shown: Vec<&str> = report.screen.iter().take(lines).map(String::as_str).collect();
        for (path, error) in places.show(&format!("\n{}\n", shown.join("\n"))) {
            log::debug!("{}: {error}", path.display());
        }
        report.screen.iter().for_each(|line| log::info!("{line}"));
    }
}

/// What is to be said about the text, where a journal or a person behind a terminal reads it.
fn log(ended: &Ended) {
    let texts = ended.described().map_or(&[][..], |d| &d.parsed.texts);
    let renderer = Renderer { texts, style: Style::Plain };
    for diagnostic in ended.diagnostics() {
        let text = renderer.render(diagnostic);
        let text = text.trim_end();
        match diagnostic.severity {
            Severity::Error => log::error!("{text}"),
            Severity::Warning => log::warn!("{text}"),
            Severity::Note => log::debug!("{text}"),
        }
    }
    let Some(settled) = ended.settled() else { return };
    settled.rounds.iter().for_each(log_steps);
    for sentence in &settled.untold {
        log::warn!("{sentence}");
    }
    match &settled.undone {
        Some(Ok(())) => log::warn!("--strict: what was done is undone, the machine is as it was"),
        Some(Err(why)) => log::error!("--strict: not everything could be undone: {why}"),
        None => {}
    }
}

/// What became of each step. Those of one level that follow each other are one record: there may be thousands.
fn log_steps(round: &Round) {
    let mut record = (Level::Debug, String::new());
    for (step, outcome) in round.plan.steps.iter().zip(&round.outcome.steps) {
        let (level, before, after) = match outcome {
            StepOutcome::Done { warning: None } => (Level::Debug, Cow::from("done: "), String::new()),
            StepOutcome::Done { warning: Some(warning) } => {
                let ours = matches!(step.action, Action::AwaitCarrier { .. });
                let says = if ours { "" } else { "the kernel says: " };
                (Level::Warn, "done: ".into(), format!(": {says}{warning}"))
            }
            StepOutcome::Failed(trouble) => (Level::Error, "failed: ".into(), format!(": {trouble}")),
            StepOutcome::Skipped { because } => {
                let before = format!("not tried, because step {because} failed: ");
                (Level::Warn, before.into(), String::new())
            }
            StepOutcome::NotReached => (Level::Warn, "not reached: ".into(), String::new()),
        };
        if level != record.0 {
            let (level, text) = mem::replace(&mut record, (level, String::new()));
            log::log!(level, "{text}");
        }
        record.1.extend([&before, script::line(&step.action).as_str(), &after, "\n"]);
    }
    log::log!(record.0, "{}", record.1);
}

fn report(ended: Ended, exit: Exit) -> Report {
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
            "Run netapply as root; in a boot, see the kernel log",
        ));
    }
    let diagnostics = Said::all(&diagnostics, texts);
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
    };
    let report = builder.finish(exit as u8);
    // The process ends here: what it has read need not be given back piece by piece.
    mem::forget((described, ended.work));
    report
}

/// Adds what became of one plan.
fn add(mut sum: Applied, plan: &Plan, outcome: &Outcome, renderer: &Renderer<'_>) -> Applied {
    sum.planned += plan.steps.len();
    sum.done += plan.numbered().filter(|(id, _)| outcome.is_done(*id)).count();
    for (number, trouble) in outcome.failures() {
        let Some(step) = plan.step(number) else { continue };
        let code = match trouble {
            Trouble::Missing(_) => Code::KernelLacks,
            _ => Code::KernelRefused,
        };
        sum.failed.push(FailedStep {
            code: code.to_string(),
            link: step.action.link().unwrap_or(&step.link).to_owned(),
            step: script::brief(&step.action),
            why: trouble.to_string(),
            at: if step.at.is_known() { renderer.place(step.at) } else { String::new() },
        });
    }
    sum
}

fn no_source(missing: &NotFound) -> Cause {
    let parsed = unreadable("", missing);
    let said = parsed.diagnostics.first();
    let code = said.map_or(Code::NoSource, |d| d.code);
    let hint = said.and_then(|d| d.hint.clone()).unwrap_or_default();
    let cause =
        Cause::new(code, Certainty::Proved, "", said.map_or_else(String::new, |d| d.message.clone()), hint);
    // A boot that was never meant to have a description has no fault.
    let severity = if missing.kind.is_by_design() { Severity::Note } else { cause.severity };
    Cause { severity, ..cause }
}
