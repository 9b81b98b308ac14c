//! What became of a plan, step by step.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::kernel::modules::Missing;
use crate::kernel::session::Failure;
use crate::kernel::value::Unencodable;
use crate::kernel::wire::Refusal;
use crate::plan::{Plan, StepId};

/// What became of each step of a plan, by the step's position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// One for each step.
    pub steps: Vec<StepOutcome>,
    /// The kernel's answer to a step was lost, which counts as done: a new plan shows whether it is.
    pub unsure: bool,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Done, or so already. The kernel may have had something to say.
    Done {
        /// The kernel's words.
        warning: Option<String>,
    },
    /// Not done.
    Failed(Trouble),
    /// Not tried: a step that it needs has failed.
    Skipped {
        /// The step at the root of it.
        because: StepId,
    },
    /// Not tried: the run was ended before.
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

impl Outcome {
    /// The step is done.
    pub fn is_done(&self, step: StepId) -> bool {
        matches!(self.steps.get(step.0), Some(StepOutcome::Done { .. }))
    }

    /// Every step is done.
    pub fn is_success(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, StepOutcome::Done { .. }))
    }

    /// The run was ended before its last step.
    pub fn is_interrupted(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, StepOutcome::NotReached))
    }

    /// The steps that failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (StepId, &Trouble)> {
        self.steps.iter().enumerate().filter_map(|(number, step)| match step {
            StepOutcome::Failed(trouble) => Some((StepId(number), trouble)),
            _ => None,
        })
    }

    /// A step of `plan` failed that is no hand-off.
    pub fn network_failed(&self, plan: &Plan) -> bool {
        let is_handoff = |step: StepId| plan.step(step).is_some_and(|s| s.action.is_handoff());
        self.failures().any(|(step, _)| !is_handoff(step))
    }

    /// The step whose failure took `step` along; itself where it was not taken along.
    pub(super) fn root(&self, step: StepId) -> StepId {
        match self.steps.get(step.0) {
            Some(StepOutcome::Skipped { because }) => *because,
            _ => step,
        }
    }
}

/// Why a step was not done. Printed, it follows what the step was to do: `bond0: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel refused.
    Refused {
        /// Its number and words.
        refusal: Refusal,
        /// The link option that it means, where it says so.
        option: Option<&'static str>,
    },
    /// The kernel did not answer, even when asked again.
    Unanswered(Failure),
    /// The kernel cannot make a link of this kind.
    Missing(Missing),
    /// A link that the step names is not there.
    NoLink(String),
    /// A value that the kernel's form of the option cannot hold.
    BadValue,
    /// A file could not be written.
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// A program could not be run, or failed.
    Program {
        /// Its path.
        program: String,
        /// What happened.
        why: String,
    },
    /// Duplicate address detection has not ended.
    Tentative {
        /// The addresses it has not ended for.
        addresses: Vec<Ipv6Addr>,
        /// How long it was waited for.
        waited: Duration,
        /// The link has no carrier, without which detection does not end.
        no_carrier: bool,
    },
    /// Another machine has the address.
    Duplicate(Ipv6Addr),
    /// A WireGuard key is not 32 bytes in base64; the file that it stands in, where it is in one.
    BadKey(Option<PathBuf>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { refusal, option: Some(option) } => {
                write!(f, "the kernel refused {option}: {refusal}")
            }
            Self::Refused { refusal, option: None } => write!(f, "the kernel refused: {refusal}"),
            Self::Unanswered(failure) => failure.fmt(f),
            Self::Missing(missing) => missing.fmt(f),
            Self::NoLink(name) => write!(f, "there is no link {name}"),
            Self::BadValue => f.write_str("an option has a value that the kernel cannot take"),
            Self::File { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Program { program, why } => write!(f, "{program}: {why}"),
            Self::Tentative { addresses, waited, no_carrier } => {
                let list: Vec<String> = addresses.iter().map(Ipv6Addr::to_string).collect();
                let list = list.join(", ");
                write!(f, "duplicate address detection of {list} did not end within {} s", waited.as_secs())?;
                f.write_str(if *no_carrier { ": the link has no carrier" } else { "" })
            }
            Self::Duplicate(address) => write!(f, "another machine on the link has {address}"),
            Self::BadKey(None) => f.write_str("a key is not 44 letters of base64"),
            Self::BadKey(Some(path)) => write!(f, "{}: not a key of 44 letters of base64", path.display()),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<Missing> for Trouble {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Refused { refusal, option: None },
            failure => Self::Unanswered(failure),
        }
    }
}

impl From<Unencodable> for Trouble {
    fn from(unencodable: Unencodable) -> Self {
        match unencodable {
            Unencodable::NoLink(name) => Self::NoLink(name),
            Unencodable::WrongForm => Self::BadValue,
        }
    }
}
