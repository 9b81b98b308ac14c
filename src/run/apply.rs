//! `netapply apply` and `netapply verify`.

use std::time::Duration;

use super::settle::{How, Round, Settled, settle};
use super::{Exit, block_on, find, json, not_found, parse};
use crate::cli::Args;
use crate::diagnostic::{Diagnostic, Renderer, Severity, Style, worst};
use crate::kernel::apply::AfterFailure;
use crate::kernel::session::{Family, Session};

pub(super) fn apply(args: &Args) -> Exit {
    block_on(applied(args)).unwrap_or(Exit::Refused)
}

pub(super) fn verify(_args: &Args) -> Exit {
    Exit::Incomplete
}

async fn applied(args: &Args) -> Exit {
    let found = match find(args, args.sources.first()).await {
        Ok(found) => found,
        Err(missing) => {
            super::complain(&format!("{} {}", missing.message, missing.hint));
            return not_found(&missing);
        }
    };
    let parsed = parse(&found);
    let _ = (args.strict, Duration::ZERO, json(&0), worst(&parsed.diagnostics), Severity::Error);
    let mut session = match Session::open(Family::Route) {
        Ok(session) => session,
        Err(_) => return Exit::Refused,
    };
    let how = How { after_failure: AfterFailure::GoOn, nics: args.wait_for.unwrap_or_default() };
    let mut stop = Box::pin(std::future::pending());
    let settled =
        settle(&mut session, &parsed.desired, &how, &mut stop, &mut |line| super::complain(line)).await;
    let Ok(Settled { rounds, said, .. }) = settled else { return Exit::Refused };
    let renderer = Renderer { texts: &parsed.texts, style: Style::Plain };
    for d in parsed.diagnostics.iter().chain(&said) {
        let d: &Diagnostic = d;
        eprint!("{}", renderer.render(d));
    }
    let mut exit =
        if said.iter().any(|d| d.severity == Severity::Error) { Exit::Incomplete } else { Exit::Success };
    for Round { plan, outcome } in &rounds {
        for (n, trouble) in outcome.failures() {
            super::complain(&format!("{}: {trouble}", plan.steps.get(n).map_or("", |s| s.link.as_str())));
            exit = Exit::Refused;
        }
    }
    exit
}
