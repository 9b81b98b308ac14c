//! Takes the hand-off back: the image's other tools are told that they may have the links again. The network stays.

use crate::handoff::{Surroundings, take_back};
use crate::kernel::apply::{AfterFailure, StepOutcome, apply};
use crate::kernel::names::Names;
use crate::kernel::session::{Family, Session};
use crate::machine::Machine;
use crate::plan::{Plan, script};

/// A description without links leaves every link to the image: what an earlier one handed off is taken back.
pub(super) async fn take_back_all(machine: &Machine, stop: impl Future<Output = ()>) {
    let mut plan = Plan::default();
    take_back(&mut plan, &[], &Surroundings::observe(machine));
    if plan.steps.is_empty() {
        return;
    }
    let outcome = match Session::open(Family::Route) {
        Ok(mut session) => apply(&mut session, &plan, Names::default(), AfterFailure::GoOn, stop).await,
        Err(failure) => return log::warn!("{failure}"),
    };
    for (step, outcome) in plan.steps.iter().zip(&outcome.steps) {
        match outcome {
            StepOutcome::Failed(trouble) => log::warn!("{}: {trouble}", script::brief(&step.action)),
            _ => log::debug!("{}", script::line(&step.action)),
        }
    }
}
