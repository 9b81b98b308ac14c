//! What the stages of `apply` and `verify` return, each its own type, and the exit code that follows.

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
    /// Which command ran.
    pub(super) ran: Ran,
    /// When the run began.
    pub(super) began: Instant,
    /// Where the description came from and what it says.
    pub(super) source: Source,
    /// What became of the machine.
    pub(super) work: Work,
    /// Whether the network works; `None` if that was not checked.
    pub(super) verified: Option<Verified>,
}

/// Which command ran.
#[derive(Debug)]
pub(super) enum Ran {
    /// `apply`.
    Apply,
    /// `verify`, which changes nothing.
    Verify {
        /// What an earlier run of this boot did for the same text.
        earlier: Option<Applied>,
    },
}

/// How the search for the description ended.
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
    /// The texts and where they came from.
    pub(super) saved: Saved,
    /// What they say.
    pub(super) parsed: Parsed,
}

/// What became of the machine.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing was tried: there is nothing usable, or `--strict` forbids it.
    NotTried,
    /// The machine was brought to what is described, as far as that went.
    Settled(Box<Settled>),
    /// It was only observed, by `verify`.
    Observed {
        /// What joining machine and description found.
        diagnostics: Vec<Diagnostic>,
    },
    /// The kernel could not be talked to.
    Failed(Failure),
}

/// How the network works.
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

    /// Everything that was found in the text and on the machine.
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

    /// The exit code. Where several hold: 3, 5, 1.
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
        // What the image's other tools could not be told is a warning, and the network as described.
        let not_done = rounds().any(|r| !r.outcome.is_complete(&r.plan));
        // A glance cannot tell a network that needs a moment from one that does not work.
        let broken = self.verified.as_ref().is_some_and(|v| !v.glance && !v.verification.passed());
        if errors || not_done || broken || self.interrupted() { Exit::Incomplete } else { Exit::Success }
    }
}
