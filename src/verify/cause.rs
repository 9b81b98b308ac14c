//! Why something does not work: from failed checks and the evidence to causes, each with how sure it is and what to do.
//! Pure. [`RULES`] is the table; each rule looks at everything and adds the causes that it sees.

use serde::Serialize;

use super::checks::{Check, Outcome};
use super::evidence::Evidence;
use super::input::Input;
use crate::diagnostic::{Code, Severity};

mod bond;
mod gateway;
mod link;
mod target;
mod vlan;

#[cfg(test)]
mod tests;

/// How sure a cause is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// It was seen.
    Proved,
    /// It explains what was seen better than anything else.
    Likely,
    /// It would explain what was seen.
    Possible,
}

impl std::fmt::Display for Certainty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Certainty::Proved => "proved",
            Certainty::Likely => "likely",
            Certainty::Possible => "possible",
        })
    }
}

/// Why something does not work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// What it is, stably; `netapply explain` has the words.
    pub code: Code,
    /// Errors explain failures; warnings are found beside them.
    pub severity: Severity,
    /// How sure it is.
    pub certainty: Certainty,
    /// The link; empty for what belongs to none.
    pub link: String,
    /// What is wrong: one sentence without a full stop, with names and values.
    pub message: String,
    /// What to do: one sentence without a full stop.
    pub action: String,
    /// Positions of the checks that it explains.
    pub checks: Vec<usize>,
}

impl Cause {
    /// A cause of the severity that the code's row has.
    pub fn new(
        code: Code,
        certainty: Certainty,
        link: &str,
        message: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        let (message, action) = (message.into(), action.into());
        let severity = code.severity();
        Cause { code, severity, certainty, link: link.to_owned(), message, action, checks: Vec::new() }
    }

    /// Says which checks it explains.
    #[must_use]
    fn explains(mut self, checks: impl IntoIterator<Item = usize>) -> Self {
        self.checks.extend(checks);
        self
    }
}

/// What the rules look at.
struct Case<'a> {
    input: &'a Input,
    evidence: &'a Evidence,
    checks: &'a [Check],
}

impl<'a> Case<'a> {
    /// Failed checks of a kind that count, with their positions.
    fn failed(&self, code: Code) -> impl Iterator<Item = (usize, &'a Check)> {
        self.checks.iter().enumerate().filter(move |(_, c)| c.code == code && c.is_fault())
    }

    /// True where a check of this kind has passed on a link.
    fn passed(&self, code: Code, link: &str) -> bool {
        self.checks.iter().any(|c| c.code == code && c.link == link && c.outcome == Outcome::Passed)
    }

    /// The kernel's state of the NICs under a link, with what was heard on them.
    fn heard_under(&self, link: &str) -> impl Iterator<Item = (&'a str, &'a super::evidence::Heard)> {
        let nics = self.input.nics_under(link);
        nics.into_iter().filter_map(|nic| Some((nic.name.as_str(), self.evidence.heard.get(&nic.name)?)))
    }
}

type Rule = fn(&Case<'_>) -> Vec<Cause>;

/// The rules, from the wire upwards.
const RULES: &[Rule] = &[
    link::nic_missing,
    link::no_cable,
    link::taken_down,
    link::half_duplex,
    link::wrong_mtu,
    bond::lacp,
    bond::switch_runs_lacp,
    bond::unequal_speed,
    vlan::not_carried,
    gateway::duplicate,
    gateway::elsewhere,
    gateway::absent,
    gateway::silent,
    gateway::stp_delay,
    gateway::mtu_black_hole,
    target::resolver_dead,
    target::name_unknown,
    target::answers_badly,
    target::silent,
    link::changed_by_other,
];

/// What explains the failed checks: errors before warnings, the surest first, then in the order of the rules. Every
/// failure has a cause, if only that nothing tells why.
pub fn explain(input: &Input, evidence: &Evidence, checks: &[Check]) -> Vec<Cause> {
    let case = Case { input, evidence, checks };
    let mut causes: Vec<Cause> = RULES.iter().flat_map(|rule| rule(&case)).collect();
    drop_weaker(&mut causes);
    for (position, check) in checks.iter().enumerate().filter(|(_, c)| c.is_fault()) {
        if !causes.iter().any(|c| c.checks.contains(&position)) {
            causes.push(unexplained(check).explains([position]));
        }
    }
    causes.sort_by_key(|c| (std::cmp::Reverse(c.severity), c.certainty));
    causes
}

/// Where a cause is proved, others for the same failures are not worth a line.
fn drop_weaker(causes: &mut Vec<Cause>) {
    let proved: Vec<usize> = causes
        .iter()
        .filter(|c| c.certainty == Certainty::Proved && c.severity == Severity::Error)
        .flat_map(|c| c.checks.iter().copied())
        .collect();
    causes.retain(|c| {
        c.certainty == Certainty::Proved
            || c.checks.is_empty()
            || !c.checks.iter().all(|check| proved.contains(check))
    });
}

fn unexplained(check: &Check) -> Cause {
    let object = if check.object.is_empty() { String::new() } else { format!("{}: ", check.object) };
    let message = format!("{object}{}", check.said);
    let action = format!("See `netapply explain {}`", check.code);
    Cause::new(Code::CheckFailed, Certainty::Proved, &check.link, message, action)
}

/// `a`, `a and b`, `a, b and c`.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
