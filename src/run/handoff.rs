//! Undoes the hand-off: the image's other tools may manage the links again. The network stays.

use super::lock::{NotTaken, Turn};
use super::signals::Stop;
use super::{Exit, block_on, complain, print_raw};
use crate::cli::Args;
use crate::handoff::{Surroundings, take_back};
use crate::kernel::apply::{AfterFailure, StepOutcome, apply};
use crate::kernel::effects::Real;
use crate::kernel::names::Names;
use crate::kernel::session::{NetlinkFamily, Session};
use crate::machine::Machine;
use crate::plan::{Plan, script};

/// A description without links leaves every link to the image: an earlier hand-off is undone.
pub(super) async fn take_back_all(machine: &Machine, stop: impl Future<Output = ()>) {
    let mut plan = Plan::default();
    take_back(&mut plan, &[], &Surroundings::observe(machine));
    if plan.steps.is_empty() {
        return;
    }
    let outcome = match Session::open(NetlinkFamily::Route) {
        Ok(mut session) => {
            let mut effects = Real::on(machine);
            apply(&mut session, &mut effects, &plan, Names::default(), AfterFailure::GoOn, stop).await
        }
        Err(failure) => return log::warn!("{failure}"),
    };
    for (step, outcome) in plan.steps.iter().zip(&outcome.steps) {
        match outcome {
            StepOutcome::Failed(trouble) => log::warn!("{}: {trouble}", script::brief(&step.action)),
            _ => log::debug!("{}", script::line(&step.action)),
        }
    }
}

/// `netapply handoff --undo`: undoes the hand-off of the named links, or all of it. With `--dry-run` the steps are only
/// printed.
pub(super) fn undo(args: &Args) -> Exit {
    let machine = Machine::default();
    let mut plan = Plan::default();
    let notes = take_back(&mut plan, &args.sources, &Surroundings::observe(&machine));
    notes.iter().for_each(|note| complain(note));
    if args.dry_run || plan.steps.is_empty() {
        let steps: String = plan.steps.iter().map(|step| script::line(&step.action) + "\n").collect();
        let text = if steps.is_empty() { "Nothing was handed off.\n" } else { &steps };
        return print_raw(text, Exit::Success);
    }
    let undone = block_on(async {
        let mut stop = Stop::new();
        let turn = Turn::to_apply(&machine, &mut stop, &mut |line| complain(line)).await;
        match (turn, Session::open(NetlinkFamily::Route)) {
            (Ok(_turn), Ok(mut session)) => {
                let mut effects = Real::on(&machine);
                let outcome =
                    apply(&mut session, &mut effects, &plan, Names::default(), AfterFailure::GoOn, stop);
                Ok(outcome.await)
            }
            (Err(NotTaken::Busy(holder)), _) => Err((holder.to_string(), Exit::Busy)),
            (Err(NotTaken::Interrupted), _) => Err(("interrupted".to_owned(), Exit::Incomplete)),
            (_, Err(failure)) => Err((failure.to_string(), Exit::Refused)),
        }
    });
    let outcome = match undone {
        Ok(Ok(outcome)) => outcome,
        Ok(Err((why, exit))) => {
            complain(&why);
            return exit;
        }
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return Exit::Refused;
        }
    };
    for (number, trouble) in outcome.failures() {
        let step = plan.step(number).map_or_else(String::new, |step| script::brief(&step.action));
        complain(&format!("{step}: {trouble}"));
    }
    let done = outcome.steps.iter().filter(|step| matches!(step, StepOutcome::Done { .. })).count();
    let exit = if done == plan.steps.len() { Exit::Success } else { Exit::Incomplete };
    print_raw(&format!("{done} of {} steps done.\n", plan.steps.len()), exit)
}
