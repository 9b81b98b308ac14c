//! Causes where the kernel's state is not as described: somebody changed it, or it was never made so.

use super::{Case, Cause, Certainty};
use crate::diagnostic::Code;
use crate::model::Kind;
use crate::verify::checks::Check;

/// Down, although netapply brings every link up.
pub(super) fn taken_down(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let message = format!("{} is down, and it is described to be up", check.link);
        let action = "Run netapply apply; if it goes down again, keep the image's other network tools off it";
        let cause = Cause::new(Code::LinkTakenDown, Certainty::Likely, &check.link, message, action);
        // A link that goes down loses its routes: they are left to do, and no cause of their own.
        let mut rest = case.evidence.remaining.iter();
        let undone = case.failed(Code::CheckDescribed).map(|(position, _)| position);
        let undone = undone.filter(|_| rest.all(|step| is_about(step, &check.link)));
        cause.explains([position]).explains(undone)
    };
    case.failed(Code::CheckUp).filter(|(_, check)| is_set_up(case, check)).map(cause).collect()
}

/// True for a link that is otherwise as described. One that goes down keeps its IPv4 addresses: without them it was more
/// likely never set up.
fn is_set_up(case: &Case<'_>, check: &Check) -> bool {
    !case.failed(Code::CheckAddress).any(|(_, address)| address.link == check.link)
}

/// True for a step, an ip(8) line, that names the link.
fn is_about(step: &str, link: &str) -> bool {
    step.split_whitespace().any(|word| word == link)
}

/// The MTU is another one.
pub(super) fn wrong_mtu(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let message = format!("{} has {}", check.link, check.said);
        let action = "Compare `ip -d link` (maxmtu) for the driver's limit, and see who else sets it";
        Cause::new(Code::WrongMtu, Certainty::Proved, &check.link, message, action).explains([position])
    };
    case.failed(Code::CheckMtu).map(cause).collect()
}

/// Steps are left, links or addresses are not there: who did it, where the kernel knows.
pub(super) fn changed(case: &Case<'_>) -> Vec<Cause> {
    let made = |c: &Check| case.input.link(&c.link).is_some_and(|l| l.kind != Kind::Physical);
    let gone = |c: &Check| c.object.parse().is_ok_and(|ip| case.evidence.address(&c.link, &ip).is_none());
    let ours = |c: &Check| match c.code {
        Code::CheckDescribed | Code::CheckMember | Code::CheckMode => true,
        Code::CheckPresent => made(c),
        Code::CheckUp => !is_set_up(case, c),
        Code::CheckAddress => gone(c),
        _ => false,
    };
    let failed: Vec<(usize, &Check)> =
        case.checks.iter().enumerate().filter(|(_, c)| c.is_fault() && ours(c)).collect();
    let Some((_, first)) = failed.first() else { return Vec::new() };
    let positions = failed.iter().map(|(position, _)| *position);
    let steps = &case.evidence.remaining;
    let todo = match steps.as_slice() {
        [] => format!("{} {}", first.link, first.said).trim().to_owned(),
        [one] => format!("to be done: {one}"),
        [one, ..] => format!("to be done, of {} steps: {one}", steps.len()),
    };
    if let Some(stranger) = case.evidence.strangers.first() {
        let who = stranger.who.as_deref().unwrap_or("something else");
        let same = steps.iter().any(|step| is_about(step, &stranger.link));
        let seen = stranger.who.is_some() && same;
        let certainty = if seen { Certainty::Proved } else { Certainty::Likely };
        let message = format!("{who} has put {} on {}; {todo}", stranger.what, stranger.link);
        let action = match who.contains("DHCP") {
            true => format!(
                "Keep it off {}: dhclient, dhcpcd, udhcpc, NetworkManager or systemd-networkd",
                stranger.link
            ),
            false => format!("Keep it off {}, or describe what it adds", stranger.link),
        };
        let cause = Cause::new(Code::ChangedByOther, certainty, &stranger.link, message, action);
        return vec![cause.explains(positions)];
    }
    let message = format!("not as described; {todo}");
    let action =
        "Run netapply apply; if it comes back, its log names the step refused, or something undoes it";
    vec![Cause::new(Code::NotApplied, Certainty::Likely, &first.link, message, action).explains(positions)]
}
