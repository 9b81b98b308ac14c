//! The results of the stages of `apply` and `verify`, each its own type, and the exit status that follows.

use std::time::Instant;

use super::Exit;
use super::saved::Saved;
use super::settle::Settled;
use crate::diagnostic::{Diagnostic, Severity, worst};
use crate::format::Parsed;
use crate::kernel::apply::Cost;
use crate::kernel::session::Failure;
use crate::report::Applied;
use crate::source::NotFound;
use crate::verify::Verification;
use crate::verify::input::Input;

/// A run from its beginning to its end.
#[derive(Debug)]
pub(super) struct Ended {
    /// The command.
    pub(super) ran: Ran,
    /// When the run began.
    pub(super) began: Instant,
    /// The origin of the description, and its content.
    pub(super) source: Source,
    /// The state of the machine.
    pub(super) work: Work,
    /// Whether the network works; `None` if that was not checked.
    pub(super) verified: Option<Verified>,
}

/// The command.
#[derive(Debug)]
pub(super) enum Ran {
    /// `apply`.
    Apply,
    /// `verify`, which changes nothing.
    Verify {
        /// What an earlier run of this boot did with the same description.
        earlier: Option<Applied>,
    },
}

/// The result of the search for the description.
#[derive(Debug)]
pub(super) enum Source {
    /// It was found.
    Found(Box<Described>),
    /// There is none, or it cannot be read.
    NotFound(NotFound),
    /// A signal ended the search.
    Interrupted,
}

/// A description that was found.
#[derive(Debug)]
pub(super) struct Described {
    /// The documents and their origin.
    pub(super) saved: Saved,
    /// The parsed description.
    pub(super) parsed: Parsed,
}

/// The state of the machine.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing was tried: nothing is usable, or `--strict` forbids it.
    NotTried,
    /// The machine was made as described, as far as possible.
    Settled(Box<Settled>),
    /// It was only observed, by `verify`.
    Observed {
        /// The diagnostics of resolving.
        diagnostics: Vec<Diagnostic>,
    },
    /// The kernel could not be reached.
    Failed(Failure),
}

/// The state of the network.
#[derive(Debug)]
pub(super) struct Verified {
    /// What should be there.
    pub(super) input: Input,
    /// What was found.
    pub(super) verification: Verification,
    /// Only the kernel was asked, not the network.
    pub(super) glance: bool,
}

impl Ended {
    /// The description, if there is one.
    pub(super) fn described(&self) -> Option<&Described> {
        match &self.source {
            Source::Found(described) => Some(described),
            Source::NotFound(_) | Source::Interrupted => None,
        }
    }

    /// What was done to the machine.
    pub(super) fn settled(&self) -> Option<&Settled> {
        match &self.work {
            Work::Settled(settled) => Some(settled),
            _ => None,
        }
    }

    /// All diagnostics of the description and the machine.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        let of_machine = match &self.work {
            Work::Settled(settled) => settled.diagnostics.as_slice(),
            Work::Observed { diagnostics } => diagnostics,
            Work::NotTried | Work::Failed(_) => &[],
        };
        self.described().into_iter().flat_map(|d| &d.parsed.diagnostics).chain(of_machine)
    }

    /// A signal ended the run.
    pub(super) fn interrupted(&self) -> bool {
        matches!(self.source, Source::Interrupted)
            || self.settled().is_some_and(|s| s.interrupted)
            || self.verified.as_ref().is_some_and(|v| v.verification.interrupted)
    }

    /// The exit status. If several apply: 3, 5, 1.
    pub(super) fn exit(&self, strict: bool) -> Exit {
        let described = match &self.source {
            Source::Found(described) => described,
            Source::NotFound(missing) => return super::not_found(missing),
            Source::Interrupted => return Exit::Incomplete,
        };
        let errors = self.diagnostics().any(|d| d.severity == Severity::Error);
        let unusable = described.parsed.desired.links.is_empty();
        if (errors && (unusable || strict))
            || (unusable && worst(&described.parsed.diagnostics) == Some(Severity::Error))
        {
            return Exit::BadText;
        }
        if unusable {
            return Exit::NoDescription;
        }
        let rounds = || self.settled().into_iter().flat_map(|s| &s.rounds);
        let failed = matches!(self.work, Work::Failed(_));
        if failed || rounds().any(|r| r.outcome.cost(&r.plan) == Some(Cost::Network)) {
            return Exit::Refused;
        }
        // A failed hand-off is a warning, and the network is as described.
        let not_done = rounds().any(|r| !r.outcome.is_complete(&r.plan));
        // A single look cannot tell a network that needs a moment from one that does not work.
        let broken = self.verified.as_ref().is_some_and(|v| !v.glance && !v.verification.passed());
        if errors || not_done || broken || self.interrupted() { Exit::Incomplete } else { Exit::Success }
    }
}
