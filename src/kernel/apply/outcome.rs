//! The outcome of a plan, step by step.

use crate::kernel::trouble::Trouble;
use crate::plan::{Action, Plan, StepId};

/// The outcome of each step of a plan, by the step's index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanOutcome {
    /// One for each step.
    pub steps: Vec<StepOutcome>,
    /// The kernel's reply to a step was lost. It counts as done; a new plan shows whether it is.
    pub unsure: bool,
    /// The inverses of the hand-off's steps, in the order in which the steps were made; collected for
    /// [`AfterFailure::Stop`](super::AfterFailure) only.
    pub inverses: Vec<Action>,
}

/// The cost of a failed step, in increasing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Another tool of the image could not be notified; the network is as described.
    HandOff,
    /// Something described is missing that is not the network itself, or is pending: a host name, an offload,
    /// wake-on-LAN, what waits for carrier.
    Extra,
    /// A part of the network. Under `--strict` the machine is restored to its earlier state.
    Network,
}

impl Cost {
    /// The cost of `action` failing for this reason.
    pub fn of(action: &Action, trouble: &Trouble) -> Self {
        match trouble {
            _ if action.sets_host_name() || action.is_tuning() => Self::Extra,
            _ if action.is_handoff() => Self::HandOff,
            // A duplicate address is not pending: the wait for it has ended.
            Trouble::Duplicate(_) => Self::Network,
            _ if action.is_wait() => Self::Extra,
            _ => Self::Network,
        }
    }
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Done, or already so. The kernel may have sent a warning.
    Done {
        /// The kernel's text.
        warning: Option<String>,
    },
    /// Not done.
    Failed(Trouble),
    /// Not tried: a step that it depends on failed.
    Skipped {
        /// The step whose failure is the root cause.
        because: StepId,
    },
    /// The run was stopped while it was being made: done or not.
    Underway,
    /// Not tried: the run was stopped before it.
    NotReached,
}

impl From<Result<Option<String>, Trouble>> for StepOutcome {
    fn from(result: Result<Option<String>, Trouble>) -> Self {
        match result {
            Ok(warning) => Self::Done { warning },
            Err(trouble) => Self::Failed(trouble),
        }
    }
}

impl PlanOutcome {
    /// The step is done.
    pub fn is_done(&self, step: StepId) -> bool {
        matches!(self.steps.get(step.0), Some(StepOutcome::Done { .. }))
    }

    /// Every step is done.
    pub fn is_success(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, StepOutcome::Done { .. }))
    }

    /// The run was stopped before its last step.
    pub fn is_interrupted(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, StepOutcome::NotReached | StepOutcome::Underway))
    }

    /// The steps that failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (StepId, &Trouble)> {
        self.steps.iter().enumerate().filter_map(|(number, step)| match step {
            StepOutcome::Failed(trouble) => Some((StepId(number), trouble)),
            _ => None,
        })
    }

    /// The highest cost among the failed steps of `plan`; `None` if none failed.
    pub fn cost(&self, plan: &Plan) -> Option<Cost> {
        let cost = |(step, trouble): (StepId, &Trouble)| Some(Cost::of(&plan.step(step)?.action, trouble));
        self.failures().filter_map(cost).max()
    }

    /// Every step of `plan` is done, except for the hand-off.
    pub fn is_complete(&self, plan: &Plan) -> bool {
        plan.numbered()
            .all(|(id, step)| self.is_done(id) || (step.action.is_handoff() && !step.action.sets_host_name()))
    }

    /// The failed step because of which `step` was skipped; `step` itself if it was not skipped.
    pub(super) fn root(&self, step: StepId) -> StepId {
        match self.steps.get(step.0) {
            Some(StepOutcome::Skipped { because }) => *because,
            _ => step,
        }
    }
}
