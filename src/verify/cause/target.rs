//! Causes beyond the gateways: name servers, names, targets, the way back.

use std::net::IpAddr;

use super::{Case, Cause, Certainty, list};
use crate::diagnostic::Code;
use crate::verify::checks::{Check, Outcome};
use crate::verify::evidence::{Answer, TargetEvidence};

/// The gateway on the way to an address, where there is one.
fn gateway_to(case: &Case<'_>, ip: &IpAddr) -> Option<IpAddr> {
    case.input.way_to(ip).and_then(|(_, via)| via)
}

/// A name server does not answer, although the way to it is open.
pub(super) fn resolver_dead(case: &Case<'_>) -> Vec<Cause> {
    let answering = |c: &Check| c.code == Code::CheckResolver && c.outcome == Outcome::Passed;
    let some = case.checks.iter().any(answering);
    let cause = |(position, check): (usize, &Check)| {
        let others = if some { "; another one does" } else { "" };
        let message = format!("name server {} does not answer{others}", check.object);
        let action = "Correct its address in the description, or bring it up";
        Cause::new(Code::ResolverDead, Certainty::Likely, "", message, action).explains([position])
    };
    case.failed(Code::CheckResolver).map(cause).collect()
}

/// A failed target's check with what is known of it.
fn targets<'a>(case: &Case<'a>) -> impl Iterator<Item = (usize, &'a Check, &'a TargetEvidence)> {
    let evidence = case.evidence;
    case.failed(Code::CheckTarget).filter_map(move |(position, check)| {
        let known = evidence.targets.iter().find(|t| t.target == check.object)?;
        Some((position, check, known))
    })
}

/// No name server knows the target's name.
pub(super) fn name_unknown(case: &Case<'_>) -> Vec<Cause> {
    let unknown = targets(case).filter(|(_, _, target)| target.unknown_name);
    let cause = |(position, check, _): (usize, &Check, _)| {
        let message = format!("{}: the name servers know no such name", check.object);
        let action = "Correct the name, or describe the name servers that know it";
        Cause::new(Code::NameUnknown, Certainty::Proved, "", message, action).explains([position])
    };
    unknown.map(cause).collect()
}

/// The target answers, and not as it should.
pub(super) fn answers_badly(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check, target): (usize, &Check, &TargetEvidence)| {
        let text = &check.object;
        let (code, message, action) = match target.answer.as_ref()? {
            Answer::Refused => (
                Code::TargetRefuses,
                format!("{text}: the host refuses the connection; the network works"),
                "Start the service there, or correct the port",
            ),
            Answer::Status(status) => (
                Code::TargetStatus,
                format!("{text}: answers HTTP {status}; the network works"),
                "Look at that service, or correct the path",
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

/// The target does not answer: by where the way to it ends.
pub(super) fn silent(case: &Case<'_>) -> Vec<Cause> {
    let silent = targets(case).filter(|(_, _, t)| t.answer.is_none() && !t.unknown_name);
    silent.map(|(position, check, target)| one_silent(case, check, target).explains([position])).collect()
}

fn one_silent(case: &Case<'_>, check: &Check, target: &TargetEvidence) -> Cause {
    let text = &check.object;
    let Some(ip) = target.addresses.first() else {
        let message = format!("{text}: no name server answers for its name");
        return Cause::new(Code::ResolverDead, Certainty::Likely, "", message, "Check the name servers");
    };
    let via = gateway_to(case, ip);
    let on_link = case.input.way_to(ip).is_some_and(|(_, via)| via.is_none());
    let dynamic = case.input.links.iter().any(|l| l.dynamic);
    if !on_link && via.is_none() && !dynamic {
        let message = format!("{text}: no route to {ip} in the description");
        return Cause::new(Code::NoRoute, Certainty::Proved, "", message, "Describe a default route");
    }
    if target.echo == Some(true) {
        let message = format!("{text}: {ip} answers echo and not this port");
        let action = "Look for a firewall at the target, and correct the port";
        return Cause::new(Code::TargetSilent, Certainty::Likely, "", message, action);
    }
    let routers: Vec<IpAddr> = target.trace.iter().flatten().filter(|hop| *hop != ip).copied().collect();
    if let Some(words) = &target.unreachable {
        let by = routers.last().map_or_else(String::new, |r| format!(", says {r}"));
        let message = format!("{text}: {words}{by}");
        let action = "Check the target's address and whether its host is up";
        return Cause::new(Code::TargetSilent, Certainty::Likely, "", message, action);
    }
    let Some(via) = via else {
        let message = format!("{text}: {ip} does not answer on its own subnet");
        return Cause::new(
            Code::TargetSilent,
            Certainty::Likely,
            "",
            message,
            "Check whether that host is up",
        );
    };
    let beyond = routers.iter().filter(|router| **router != via && !is_first(target, router)).copied();
    let beyond: Vec<IpAddr> = beyond.collect();
    if beyond.is_empty() {
        let subnet =
            case.input.way_to(ip).and_then(|(link, _)| link.addresses.iter().find(|n| n.contains(&via)));
        let subnet = subnet.map_or_else(|| "this machine".to_owned(), |net| net.trunc().to_string());
        let message = format!("{text}: gateway {via} answers, and nothing behind it does");
        let action = format!("Give the routers behind {via} a route back to {subnet}; check its firewall");
        return Cause::new(Code::NoWayBack, Certainty::Likely, "", message, action);
    }
    let message =
        format!("{text}: the way leads through {} and ends there", list(beyond.iter().rev().take(1)));
    let action = "Check whether the target's host is up, and firewalls on the way";
    Cause::new(Code::TargetSilent, Certainty::Possible, "", message, action)
}

/// The first hop is the gateway, whatever address it answers from.
fn is_first(target: &TargetEvidence, router: &IpAddr) -> bool {
    target.trace.first().is_some_and(|first| first.as_ref() == Some(router))
}
