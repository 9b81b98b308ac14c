//! Whether the description is true and the network works: compares the description with the kernel's state and the
//! network's answers, and finds the likeliest cause of each failure.
//!
//! [`checks`] says what follows from the description and the outcome of each check on the [`evidence`] so far, `due`
//! which probes that calls for, [`cause`] what explains the failures: all three are pure. `run` is the loop that joins
//! them with the kernel's notifications and with the probes. Entry: [`verify`].

use std::future::Future;
use std::time::Duration;

pub mod cause;
pub mod checks;
mod due;
pub mod evidence;
#[cfg(test)]
pub(crate) mod fixture;
mod follow;
pub mod input;
pub mod keyed;
mod ledger;
pub mod lookups;
mod probe;
mod record;
mod review;
mod run;
pub mod subject;
pub(crate) mod words;

use crate::kernel::live::Snapshot;
use cause::Cause;
use checks::Check;
use evidence::Evidence;
use input::Input;
pub use probe::{LISTEN, announcement, partner};
pub use review::Review;

/// The result of a verification.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Every check, from the wire upwards.
    pub checks: Vec<Check>,
    /// What explains those that failed, the surest first.
    pub causes: Vec<Cause>,
    /// The evidence.
    pub evidence: Evidence,
    /// How long it took.
    pub seconds: f64,
    /// It was stopped before everything was known.
    pub interrupted: bool,
}

impl Verification {
    /// Whether everything that counts was checked and nothing failed.
    pub fn passed(&self) -> bool {
        !self.interrupted && !self.checks.iter().any(|check| check.is_fault() || check.is_unknown())
    }
}

/// Checks the current state of links and addresses, and asks the network nothing. What is not yet as it should be
/// counts as not checked.
/// not checked.
pub fn glance(input: &Input, review: Review, moment: &Snapshot) -> Verification {
    run::glance(input, review, moment)
}

/// Runs all checks at once and returns as soon as all is known, at the latest after `deadline`.
///
/// `review` compares machine and description anew; it is called at the start, after changes, and at the end. `progress`
/// is called every few seconds with a line on what is waited for. `stop` ends it early. Needs a tokio runtime, and
/// CAP_NET_ADMIN and CAP_NET_RAW for most probes; what cannot be asked without them is listed in
/// [`Evidence::unreadable`].
pub async fn verify(
    input: &Input,
    deadline: Duration,
    review: impl AsyncFnMut() -> Review,
    progress: &mut dyn FnMut(&str),
    stop: impl Future<Output = ()>,
) -> Verification {
    run::run(input, deadline, review, progress, stop).await
}
