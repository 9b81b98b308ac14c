//! Causes beyond the gateways for what answers and for what cannot be asked: names, refusals, unexpected answers.
//! Silent hosts are in `silent`.

use super::here::is_own_refusal;
use super::{Case, Cause, Certainty};
use crate::diagnostic::Code;
use crate::verify::checks::{Check, Outcome, Subject};
use crate::verify::evidence::{Answer, TargetEvidence};
use crate::verify::words::time_words;

/// A failed target check with what is known about it.
pub(super) fn targets<'a>(case: &Case<'a>) -> impl Iterator<Item = (usize, &'a Check, &'a TargetEvidence)> {
    let evidence = case.evidence;
    case.failed(Code::CheckTarget).filter_map(move |(position, check)| {
        let Subject::Target(at, _) = check.subject else { return None };
        let known = evidence.targets.get(at)?;
        Some((position, check, known))
    })
}

/// A target's name has no address.
pub(super) fn name(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check, target): (usize, &Check, &TargetEvidence)| {
        let text = &check.subject;
        let (code, certainty, message, action) = if target.unknown_name {
            (
                Code::NameUnknown,
                Certainty::Proved,
                format!("{text}: the name servers know no such name"),
                "Correct the name, or describe the name servers that know it",
            )
        } else if !target.addresses.is_empty() || target.answer.is_some() {
            return None;
        } else if target.name_refused {
            (
                Code::NameUnknown,
                Certainty::Likely,
                format!("{text}: the name servers refuse to look up its name"),
                "Let them serve this machine, or describe name servers that do",
            )
        } else if case.index.resolvers.is_empty() {
            (
                Code::NoNameServer,
                Certainty::Proved,
                format!("{text}: no name server to resolve its name"),
                match case.index.links.iter().any(|l| l.dynamic) {
                    true => "See why the DHCP client has written none into /etc/resolv.conf",
                    false => "Describe name servers, or give the target by its address",
                },
            )
        } else {
            (
                Code::ResolverDead,
                Certainty::Likely,
                format!("{text}: no name server answers for its name"),
                "Look at those name servers, or describe others",
            )
        };
        Some(Cause::new(code, certainty, "", message, action).explains([position]))
    };
    targets(case).filter_map(cause).collect()
}

/// Name servers that answer late: programs wait for each lookup, and some give up.
pub(super) fn slow_servers(case: &Case<'_>) -> Vec<Cause> {
    /// A distant server that has to ask others takes a second at most.
    const SLOW_US: u64 = 2_000_000;
    let passed = case.checks.iter().filter(|c| c.code == Code::CheckResolver && c.outcome == Outcome::Passed);
    let cause = |check: &Check| {
        let server = check.subject.ip()?;
        let time = case.evidence.resolver(&server)?.rtt_us.filter(|time| *time >= SLOW_US)?;
        let message = format!("name server {server} took {} to answer", time_words(time));
        let action = "Look at its load and at the servers that it asks; programs give up after 5 s";
        Some(Cause::new(Code::ResolverSlow, Certainty::Proved, "", message, action))
    };
    passed.filter_map(cause).collect()
}

/// The target answers, but not as it should.
pub(super) fn answers_badly(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check, target): (usize, &Check, &TargetEvidence)| {
        let text = &check.subject;
        let (code, message, action) = match target.answer.as_ref()? {
            Answer::Refused if is_own_refusal(case, check) => return None,
            Answer::Refused => (
                Code::TargetRefuses,
                format!("{text}: the connection is refused; the path works"),
                "Start the service there, correct the port, or look for a firewall that rejects",
            ),
            Answer::Status(status) => (
                Code::TargetStatus,
                format!("{text}: answers HTTP {status}; the network works"),
                "Look at that service and its log, or correct the path",
            ),
            Answer::Strange(words) => (
                Code::TargetStrange,
                format!("{text}: something else answers: {words}"),
                "Correct the address or port, or look for a proxy in between",
            ),
            Answer::Connected | Answer::Tls => return None,
        };
        Some(Cause::new(code, Certainty::Proved, "", message, action).explains([position]))
    };
    targets(case).filter_map(cause).collect()
}
