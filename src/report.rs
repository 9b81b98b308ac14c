//! The result of a run, for programs and people: report.json, and at most 20 lines of 80 columns for a console.
//!
//! [`Report`] is filled by the stages as they finish ([`Builder`]) and decides only its verdict. [`screen`] lays it
//! out, [`places`] writes it to files, [`consoles`] shows it, [`systemd`] notifies systemd. Knows nothing of the
//! stages.

pub mod consoles;
mod picture;
pub mod places;
pub mod screen;
pub mod systemd;
pub mod timeline;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{At, Code, DiagnosticRecord, Severity};
use crate::order::Order as _;
use crate::page::Style;
use crate::source::Origin;
use crate::verify::Verification;
use crate::verify::cause::{Cause, Certainty};
use crate::verify::checks::Check;
use crate::verify::evidence::Evidence;
use crate::verify::input::Input;
pub use picture::{Row, RowState};
pub use timeline::Timeline;

/// Version of the format of report.json: docs/schema/report.v1.json.
const VERSION: u32 = 1;

/// The verdict.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The network is as described and works.
    Works,
    /// The network was made as described; whether it works was not checked.
    Applied,
    /// Nothing is known to fail, but something that should have been checked could not be.
    Unverified,
    /// Something described is missing or does not work.
    Faults,
    /// There was nothing to apply or verify, or it could not be.
    Nothing,
    /// It was stopped before everything was known.
    Interrupted,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this format.
    pub version: u32,
    /// netapply's own version.
    pub netapply: &'static str,
    /// When it was written, in UTC as `2026-03-01T10:20:30Z`.
    pub written: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The program's exit status.
    pub exit: u8,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Where the time went.
    pub timeline: Timeline,
    /// The origin of the description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Origin>,
    /// The description's format.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Diagnostics of the description and the machine.
    pub diagnostics: Vec<DiagnosticRecord>,
    /// What was done to the machine; absent if nothing was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// The links, as a tree for a person.
    pub picture: Vec<Row>,
    /// Every check; empty without verification.
    pub checks: Vec<Check>,
    /// Why something does not work, by certainty.
    pub causes: Vec<Cause>,
    /// The evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// The lines of the screen, without colour.
    pub screen: Vec<String>,
    /// See [`Builder::only_verified`].
    #[serde(skip)]
    only_verified: bool,
}

/// What was done to the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Number of planned steps.
    pub planned: usize,
    /// Number of steps done.
    pub done: usize,
    /// Steps that failed; those that depended on them were not tried.
    pub failed: Vec<FailedStep>,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStep {
    /// `kernel-refused`, `kernel-lacks`, …
    pub code: String,
    /// The described link that it served.
    pub link: String,
    /// The equivalent ip(8) command, or the step in a few words.
    pub step: String,
    /// Why, in the kernel's words.
    pub why: String,
    /// The place in the description that asked for it; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// What to do if the machine's state is in the way, and not the description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Report {
    /// Whether nothing was applied and nothing failed: this boot was never meant to have a description.
    fn is_by_design(&self) -> bool {
        let notes = self.causes.iter().all(|cause| cause.severity == Severity::Note);
        self.verdict == Verdict::Nothing && notes && !self.causes.is_empty()
    }
}

impl Applied {
    /// Whether a cause only repeats a failed step: its link is missing, steps remain.
    fn explains(&self, cause: &Cause, checks: &[Check]) -> bool {
        let known = |at: &usize| {
            let check = checks.get(*at);
            check.is_some_and(|c| {
                c.code == Code::CheckDescribed || self.failed.iter().any(|f| f.link == c.link)
            })
        };
        let guess = matches!(cause.code, Code::CheckFailed | Code::ChangedByOther | Code::LinkTakenDown);
        let unsure = cause.code == Code::CheckFailed || cause.certainty != Certainty::Proved;
        let follows = cause.code == Code::NotApplied || (guess && unsure && cause.checks.iter().all(known));
        !self.failed.is_empty() && follows
    }
}

/// The results of the stages. Everything is optional: a report is written at every exit, however early.
#[derive(Debug, Default)]
pub struct Builder<'a> {
    /// The origin of the description.
    pub source: Option<Origin>,
    /// The description's format.
    pub format: &'a str,
    /// Diagnostics of the description and the machine.
    pub diagnostics: Vec<DiagnosticRecord>,
    /// What was done.
    pub applied: Option<Applied>,
    /// The verified description, for the picture.
    pub input: Option<&'a Input>,
    /// The result of the verification.
    pub verification: Option<Verification>,
    /// Causes that are known before verification: no drive, an unreadable one.
    pub causes: Vec<Cause>,
    /// The verification only looked at the state: the network was not probed.
    pub glance: bool,
    /// The command was `verify`, which applies nothing.
    pub only_verified: bool,
    /// A signal ended the run.
    pub interrupted: bool,
    /// Seconds from the start of the program.
    pub seconds: f64,
    /// Where the time went.
    pub timeline: Timeline,
}

impl Builder<'_> {
    /// Builds the report.
    pub fn finish(self, exit_code: u8) -> Report {
        let (checks, mut causes, evidence) = match self.verification {
            Some(v) => (v.checks, v.causes, Some(v.evidence)),
            None => Default::default(),
        };
        let picture = match (self.input, &evidence) {
            (Some(input), Some(evidence)) => picture::draw(input, evidence, &checks),
            _ => Vec::new(),
        };
        let mut earlier = self.causes;
        earlier.extend(self.applied.iter().flat_map(|applied| &applied.failed).map(from_step));
        earlier.extend(self.diagnostics.iter().filter_map(from_diagnostic));
        earlier.retain(|cause| !causes.iter().any(|known| says_more(known.code, cause.code)));
        causes.retain(|cause| !self.applied.iter().any(|applied| applied.explains(cause, &checks)));
        // A NIC that matches twice does exist: that the link has none only repeats that.
        let described = self.input.map_or(&[][..], |input| &input.links);
        let is_ambiguous = |name: &str| described.iter().any(|link| link.ambiguous && link.name == name);
        causes.retain(|cause| cause.code != Code::NicMissing || !is_ambiguous(&cause.link));
        causes.splice(0..0, earlier);
        causes.order_by_key(|cause| std::cmp::Reverse(cause.severity));
        let refused = self.applied.as_ref().is_some_and(|applied| !applied.failed.is_empty());
        let faulty = refused || causes.iter().any(|cause| cause.severity == Severity::Error);
        let verdict = match exit_code {
            _ if self.interrupted => Verdict::Interrupted,
            3 | 4 => Verdict::Nothing,
            0 if checks.is_empty() || self.glance => Verdict::Applied,
            0 => Verdict::Works,
            1 if checks.iter().any(Check::is_unknown) && !faulty => Verdict::Unverified,
            _ => Verdict::Faults,
        };
        let mut report = Report {
            version: VERSION,
            netapply: env!("CARGO_PKG_VERSION"),
            written: places::utc(std::time::SystemTime::now()),
            verdict,
            exit: exit_code,
            seconds: self.seconds,
            timeline: self.timeline,
            source: self.source,
            format: self.format.to_owned(),
            diagnostics: self.diagnostics,
            applied: self.applied,
            picture,
            checks,
            causes,
            evidence,
            screen: Vec::new(),
            only_verified: self.only_verified,
        };
        report.screen = screen::screen(&report, Style::Plain).as_str().lines().map(str::to_owned).collect();
        report
    }
}

/// Whether a cause found by verification repeats that of an earlier stage, or follows from it.
fn says_more(found: Code, earlier: Code) -> bool {
    let nic = matches!(found, Code::NicMissing | Code::NicLate);
    let follows = [Code::NicMissing, Code::NicAmbiguous, Code::LeftOut, Code::BondWithoutMembers];
    found == earlier || (nic && follows.contains(&earlier))
}

/// A refused step is its own cause: the kernel's text is the reason.
fn from_step(step: &FailedStep) -> Cause {
    let code = step.code.parse().unwrap_or(Code::KernelRefused);
    let at = step.at.as_ref().map_or_else(String::new, |at| format!(" ({at})"));
    let message = format!("`{}` failed: {}{at}", step.step, step.why);
    let action = match (code, &step.at) {
        _ if step.remedy.is_some() => step.remedy.clone().unwrap_or_default(),
        (Code::KernelLacks, _) => {
            "Put that module into the image, or describe another kind of link".to_owned()
        }
        (_, None) => format!("See `netapply explain {code}` and the kernel's log"),
        (_, Some(at)) => format!("Fix the description at {at}; the kernel's log may say more"),
    };
    Cause::new(code, Certainty::Proved, &step.link, message, action)
}

/// An error in the description is its own cause.
fn from_diagnostic(record: &DiagnosticRecord) -> Option<Cause> {
    if record.severity != Severity::Error {
        return None;
    }
    let code = record.code;
    let at = record.at.as_ref().map_or_else(String::new, |at| format!("{at}: "));
    let message = format!("{at}{}", record.message);
    let action = record.hint.clone().unwrap_or_else(|| format!("See `netapply explain {code}`"));
    let cause = Cause::new(code, Certainty::Proved, "", message, action);
    Some(Cause { severity: Severity::Error, ..cause })
}
