//! Tells what a run has found out.

use super::Exit;
use super::apply::Story;
use super::options::Options;
use crate::diagnostic::{Renderer, Severity, Style};

/// To the log and the person who waits.
pub(super) fn tell(story: &Story, options: &Options, exit: Exit) {
    let renderer = Renderer { texts: &story.parsed.texts, style: Style::Plain };
    for diagnostic in story.said() {
        let text = renderer.render(diagnostic);
        let text = text.trim_end();
        match diagnostic.severity {
            Severity::Error => log::error!("{text}"),
            Severity::Warning => log::warn!("{text}"),
            Severity::Note => log::debug!("{text}"),
        }
    }
    if let Some(missing) = &story.not_found {
        log::error!("{} {}", missing.message, missing.hint);
    }
    for round in story.settled.iter().flat_map(|s| &s.rounds) {
        for (number, trouble) in round.outcome.failures() {
            let step = round.plan.steps.get(number);
            let line = step.map_or_else(String::new, |s| crate::plan::script::line(&s.action));
            let at = step.map_or_else(String::new, |s| renderer.place(s.at));
            log::error!("{at}: {line}: {trouble}");
        }
    }
    if let Some(verification) = &story.verification {
        for cause in &verification.causes {
            log::error!("{} ({}): {}", cause.message, cause.certainty, cause.action);
        }
    }
    log::debug!(
        "exit {}, boot {}, hand-off {}, JSON {}",
        exit as u8,
        options.boot,
        options.handoff,
        options.json
    );
}
