//! Causes where the kernel's state differs from the description: it was changed, or never applied.

use std::collections::BTreeMap;

use super::{Case, Cause, Certainty};
use crate::diagnostic::{Code, Severity};
use crate::model::{Kind, Protocol};
use crate::order::Few as _;
use crate::plan::{Step, script};
use crate::verify::checks::Check;
use crate::verify::input::DesiredLink;

/// The link is down, although netapply brings every link up.
pub(super) fn taken_down<'a>(case: &Case<'a>) -> Vec<Cause> {
    let down: BTreeMap<&'a str, usize> = case
        .failed(Code::CheckUp)
        .filter(|(_, check)| is_set_up(case, check))
        .map(|(position, check)| (check.link.as_str(), position))
        .few();
    // What a link loses when it goes down (routes, IPv6 addresses) shows as remaining steps, but is no separate cause.
    let lost =
        case.evidence.remaining.iter().all(|step| about(case, step).any(|link| down.contains_key(link)));
    let undone = case.failed(Code::CheckDescribed).map(|(position, _)| position).filter(|_| lost);
    let undone: Vec<usize> = undone.collect();
    let cause = |name: &str| {
        let message = format!("{name} is down but should be up");
        let action = "Run netapply apply; if it goes down again, keep the image's other network tools off it";
        let cause = Cause::new(Code::LinkTakenDown, Certainty::Likely, name, message, action);
        let of_it = |link: &'a str| down.contains_key(link) && lowest(case, &down, link) == name;
        let addresses = case.failed(Code::CheckAddress).filter(|(_, check)| of_it(&check.link));
        let addresses = addresses.filter(|(_, check)| is_gone(case, check)).map(|(position, _)| position);
        let links = down.iter().filter(|(link, _)| of_it(link)).map(|(_, position)| *position);
        cause.explains(links).explains(addresses).explains(undone.iter().copied())
    };
    // A link that goes down takes the links above it down: they are no separate cause.
    down.keys().filter(|name| lower(case, &down, name).is_none()).copied().map(cause).collect()
}

/// The link directly below, if it is down too.
fn lower<'a>(case: &Case<'a>, down: &BTreeMap<&'a str, usize>, name: &str) -> Option<&'a str> {
    let parent = case.index.link(name)?.parent.as_deref()?;
    down.contains_key(parent).then_some(parent)
}

/// The lowest link below that is down, or the link itself.
fn lowest<'a>(case: &Case<'a>, down: &BTreeMap<&'a str, usize>, mut name: &'a str) -> &'a str {
    // Bounded by the number of links: a description may have a cycle.
    for _ in 0..down.len() {
        let Some(below) = lower(case, down, name) else { break };
        name = below;
    }
    name
}

/// Whether a link is otherwise as described. A link that goes down keeps its IPv4 addresses and loses its IPv6 ones: if
/// the IPv4 addresses are missing, it was more likely never set up. A member of a missing bond was not either: it comes
/// up with the bond.
fn is_set_up(case: &Case<'_>, check: &Check) -> bool {
    let missing =
        |address: &Check| address.link == check.link && address.subject.ip().is_some_and(|ip| ip.is_ipv4());
    let has_member = |(_, above): (usize, &Check)| {
        let above = case.index.link(&above.link);
        above.is_some_and(|above| above.members.contains(&check.link))
    };
    !case.failed(Code::CheckAddress).any(|(_, address)| missing(address))
        && !case.failed(Code::CheckPresent).any(has_member)
}

/// Whether an address is missing from its link.
fn is_gone(case: &Case<'_>, check: &Check) -> bool {
    check.subject.ip().is_some_and(|ip| case.evidence.address(&check.link, &ip).is_none())
}

/// The links that a remaining step is about, by their kernel names: those that it changes and the one that it is for.
pub(super) fn about<'a>(case: &Case<'a>, step: &'a Step) -> impl Iterator<Item = &'a str> {
    let hops = step.action.added_route().map(|route| route.links());
    let serves = case.index.name_of(&step.link);
    step.action.link().into_iter().chain(hops.into_iter().flatten()).chain(serves)
}

/// The MTU differs.
pub(super) fn wrong_mtu(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let message = format!("{} has {}", check.link, check.finding);
        let action = "Compare `ip -d link` (maxmtu) for the driver's limit, and see who else sets it";
        Cause::new(Code::WrongMtu, Certainty::Proved, &check.link, message, action).explains([position])
    };
    case.failed(Code::CheckMtu).map(cause).collect()
}

/// A router advertises an MTU below the described one: IPv6 packets, unlike echoes that test the path, have its size.
pub(super) fn advertised_mtu(case: &Case<'_>) -> Vec<Cause> {
    let policy = &case.evidence.policy;
    let cause = |link: &DesiredLink| {
        let (described, advertised) = (link.mtu?, *policy.advertised_mtus.get(&link.name)?);
        let in_force = *policy.settings.get(&link.name)?.get("mtu")?;
        let has_ipv6 = link.addresses.iter().any(|net| net.addr().is_ipv6());
        if !has_ipv6 || advertised >= described || in_force != i64::from(advertised) {
            return None;
        }
        let name = &link.name;
        let message = format!(
            "a router advertises MTU {advertised} on {name}: IPv6 sends no packets of {described} bytes"
        );
        let action =
            format!("Raise the MTU in the router's advertisements, or describe ipv6-mtu {advertised}");
        let mut cause = Cause::new(Code::WrongMtu, Certainty::Proved, name, message, action);
        cause.severity = Severity::Warning;
        Some(cause)
    };
    case.index.links.iter().filter_map(cause).collect()
}

/// Steps remain, or links or addresses are missing: who changed them, if the kernel knows.
pub(super) fn changed(case: &Case<'_>) -> Vec<Cause> {
    let made = |c: &Check| case.index.link(&c.link).is_some_and(|l| l.kind != Kind::Physical);
    let ours = |c: &Check| match c.code {
        Code::CheckDescribed | Code::CheckMember | Code::CheckMode => true,
        Code::CheckPresent => made(c),
        Code::CheckUp => !is_set_up(case, c),
        Code::CheckAddress => is_gone(case, c),
        _ => false,
    };
    let failed: Vec<(usize, &Check)> =
        case.checks.iter().enumerate().filter(|(_, c)| c.is_fault() && ours(c)).collect();
    let Some((_, first)) = failed.first() else { return Vec::new() };
    let positions = failed.iter().map(|(position, _)| *position);
    let steps = &case.evidence.remaining;
    let todo = match steps.as_slice() {
        [] => format!("{} {}", first.link, first.finding).trim().to_owned(),
        [one] => format!("to be done: {}", script::line(&one.action)),
        [one, ..] => format!("to be done, of {} steps: {}", steps.len(), script::line(&one.action)),
    };
    if let Some(stranger) = case.evidence.strangers.first() {
        let who = stranger.who.as_deref().unwrap_or("something else");
        let same = steps.iter().any(|step| about(case, step).any(|link| link == stranger.link));
        let seen = stranger.who.is_some() && same;
        let certainty = if seen { Certainty::Proved } else { Certainty::Likely };
        let message = format!("{who} has put {} on {}; {todo}", stranger.what, stranger.link);
        let action = match stranger.protocol == Some(Protocol::Dhcp) {
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
