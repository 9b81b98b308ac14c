//! Causes on this machine: what takes precedence over the described routes, by the kernel's own lookup.

use std::net::IpAddr;

use super::{Case, Cause, Certainty};
use crate::diagnostic::{Code, Severity};
use crate::inventory::{AddressEntry, RouteEntry, RuleEntry, Selectors};
use crate::model::{Family, Protocol, RouteKind};
use crate::plan::Step;
use crate::verify::checks::{Check, Outcome, Subject};
use crate::verify::evidence::{FoundRoute, Routing};
use crate::verify::lookups::View;
use crate::verify::lookups::{Goal, Standing, host};

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

/// No rule leads to the table with the described routes.
pub(super) fn without_main_rule(case: &Case<'_>) -> Vec<Cause> {
    let of_family = |family: Family| {
        let is_its = |ip: &IpAddr| Family::of(ip) == family;
        let is_route = |step: &Step| step.action.added_route().is_some_and(|route| is_its(&route.to.addr()));
        let remains = case.evidence.remaining.iter().any(is_route);
        let fails = |check: &Check| match check.subject {
            Subject::Target(at, _) => {
                case.evidence.targets.get(at).is_some_and(|t| t.addresses.first().is_some_and(is_its))
            }
            Subject::Route(to) => is_its(&to.addr()),
            Subject::Gateway(ip) | Subject::NameServer(ip) => is_its(&ip),
            _ => check.code == Code::CheckDescribed && remains,
        };
        let failed = case.checks.iter().enumerate().filter(|(_, check)| check.is_fault() && fails(check));
        let failed: Vec<usize> = failed.map(|(position, _)| position).collect();
        let (word, option) = if family == Family::V4 { ("IPv4", "-4") } else { ("IPv6", "-6") };
        let message =
            format!("no rule leads {word} packets to the routing table main: the kernel's was deleted");
        let action = format!("Add it again: `ip {option} rule add pref 32766 lookup main`");
        let cause = Cause::new(Code::CompetingRoute, Certainty::Proved, "", message, action);
        (!failed.is_empty()).then(|| cause.explains(failed))
    };
    case.evidence.policy.no_main_rule.iter().filter_map(|family| of_family(*family)).collect()
}

/// Something takes precedence over a described route, or forbids what is described.
pub(super) fn competing(case: &Case<'_>) -> Vec<Cause> {
    let mut causes: Vec<(String, Cause)> = Vec::new();
    let is_route = |c: &Check| c.code == Code::CheckRoute && c.outcome == Outcome::Failed;
    for (position, check) in case.checks.iter().enumerate().filter(|(_, check)| is_route(check)) {
        let Some((goal, found)) = answer(case, check) else { continue };
        let family = Family::of(&goal.question.to);
        if matches!(found, Routing::NoRoute) && case.evidence.policy.no_main_rule.contains(&family) {
            continue;
        }
        let (what, action) = competitor(case, &goal, found);
        // What fails because of it: the network checks of the same goal.
        let same = |c: &Check| c.subject == check.subject && c.link == check.link && c.is_fault();
        let failed: Vec<usize> =
            case.checks.iter().enumerate().filter(|(_, c)| same(c)).map(|(at, _)| at).collect();
        let failed = if check.is_fault() { failed } else { vec![position] };
        if let Some((_, known)) = causes.iter_mut().find(|(known, _)| *known == what) {
            known.checks.extend(failed);
            continue;
        }
        let message = format!("{}: {what}", subject_words(check, &goal));
        let mut cause = Cause::new(Code::CompetingRoute, Certainty::Proved, &check.link, message, action);
        if !check.is_fault() {
            cause.severity = Severity::Warning;
        }
        causes.push((what, cause.explains(failed)));
    }
    causes.into_iter().map(|(_, cause)| cause).collect()
}

/// The goal of a failed check, and the answer that is not as described.
fn answer<'a>(case: &Case<'a>, check: &Check) -> Option<(Goal, &'a Routing)> {
    let index: &View<'_> = case.index;
    let found = |goal: &Goal| match goal.standing(index, case.evidence) {
        Standing::Differs(_) | Standing::Preferred(_) => case.evidence.lookup(&goal.question),
        _ => None,
    };
    let its = |goal: &&Goal| goal.link == check.link && goal.subject == check.subject;
    let fixed = index.goals().iter().filter(its).find_map(|goal| Some((goal.clone(), found(goal)?)));
    fixed.or_else(|| {
        let Subject::Target(at, _) = check.subject else { return None };
        let ip = *case.evidence.targets.get(at)?.addresses.first()?;
        let goal = host(index, check.subject.clone(), ip)?;
        Some((goal.clone(), found(&goal)?))
    })
}

fn subject_words(check: &Check, goal: &Goal) -> String {
    match &check.subject {
        Subject::Gateway(ip) => format!("gateway {ip} of {}", check.link),
        Subject::Route(to) if to.prefix_len() == 0 => format!("the default route of {}", check.link),
        Subject::Route(to) => format!("the route to {to} of {}", check.link),
        Subject::NameServer(ip) => format!("name server {ip}"),
        _ => format!("{} ({})", check.subject, goal.question.to),
    }
}

/// What takes precedence and who made it; and what to do.
fn competitor(case: &Case<'_>, goal: &Goal, found: &Routing) -> (String, String) {
    match found {
        Routing::Route(route) => other_route(case, goal, route),
        Routing::NoRoute => no_route(case, goal),
        Routing::Forbidden(kind) => forbidden(case, goal, *kind),
        Routing::NotOurSource => {
            let from = goal.question.from.map_or_else(String::new, |ip| ip.to_string());
            let action = "Run netapply apply; see who removes the address";
            (format!("{from} is not an address of this machine"), action.to_owned())
        }
        Routing::Failed(words) => (words.clone(), "See `ip route get` for it".to_owned()),
    }
}

fn other_route(case: &Case<'_>, goal: &Goal, route: &FoundRoute) -> (String, String) {
    let leaves = crate::verify::checks::route_words(route);
    if route.kind == RouteKind::Local {
        let has = |a: &&AddressEntry| a.net.contains(&goal.question.to);
        let address = case.evidence.policy.strange_addresses.iter().find(has);
        let by = address.map_or_else(String::new, |address| format!(", by {}", address_words(address)));
        let action =
            "See `ip route show table local`, and remove the address that has the whole subnet".to_owned();
        return (format!("the kernel delivers packets to it to this machine itself{by}"), action);
    }
    let expected = expected_table(goal);
    if expected.is_some_and(|table| route.table != table) && route.table != 0 {
        let rules = || case.evidence.policy.rules.iter().filter(|rule| rule.table == route.table);
        let rule = rules().find(|rule| concerns(rule, goal)).or_else(|| rules().next());
        let rule = rule.map_or_else(|| "a rule".to_owned(), rule_words);
        let action = format!("Remove it (`ip rule`), or describe what table {} should hold", route.table);
        return (format!("it {leaves}: {rule} leads to table {}", route.table), action);
    }
    let right_hop =
        goal.hops.iter().any(|(link, via)| route.link.as_ref() == Some(link) && route.via == *via);
    if right_hop {
        let source = route.source.map_or_else(String::new, |ip| ip.to_string());
        let address =
            case.evidence.policy.strange_addresses.iter().find(|a| Some(a.net.addr()) == route.source);
        let maker = address.map_or_else(String::new, |address| format!(" ({})", address_words(address)));
        let action = format!("Remove {source}, or describe the source address of the route");
        return (format!("it leaves from {source}{maker}, not from the described address"), action);
    }
    let Some(entry) = &route.entry else {
        return (format!("it {leaves}"), "See `ip route` and `ip rule` for what leads there".to_owned());
    };
    let link = route.link.as_deref().unwrap_or_default();
    if entry.protocol == Protocol::Kernel && entry.via.is_none() {
        let within = |a: &&AddressEntry| a.link == link && entry.to.contains(&a.net.addr());
        let address = case.evidence.policy.strange_addresses.iter().find(within);
        let address = address.map_or_else(String::new, |address| format!(", by {}", address_words(address)));
        let action = format!("Remove the address or subnet from {link}, or set {link} down");
        return (format!("it {leaves}: {link} also has the subnet {}{address}", entry.to), action);
    }
    let maker = entry.protocol.maker().map_or_else(String::new, |maker| format!(", made by {maker}"));
    // A metric does not help against a longer prefix.
    let longer = goal.route.is_some_and(|(to, _)| entry.to.prefix_len() > to.prefix_len());
    let describe = if longer || goal.route.is_none() {
        format!("describe a route to {}", entry.to)
    } else {
        "describe a lower metric or that route".to_owned()
    };
    let keep = match entry.protocol.maker() {
        Some(maker) => format!("Keep {maker} from adding it, or {describe}"),
        None => format!("Delete that route, or {describe}"),
    };
    let until = match (route.passed_over, route.via) {
        (true, Some(via)) => format!("; the kernel passes over it only while {via} does not answer"),
        _ => String::new(),
    };
    (format!("it {leaves}: {} takes precedence{maker}{until}", entry_words(entry)), keep)
}

/// The table of the description's route; `None` for a VRF, whose number only the kernel knows.
fn expected_table(goal: &Goal) -> Option<u32> {
    let other = goal.question.mark.is_some() || goal.question.link.is_some();
    // A rule by source leads to the route's own table.
    let by_source =
        goal.question.from.is_some() && matches!(goal.subject, Subject::Route(_)) && goal.source.is_none();
    (!other && !by_source).then_some(MAIN)
}

fn no_route(case: &Case<'_>, goal: &Goal) -> (String, String) {
    let to = goal.question.to;
    let is_hop = |a: &&AddressEntry| goal.hops.iter().any(|(_, via)| *via == Some(a.net.addr()));
    if let Some(own) = case.evidence.policy.strange_addresses.iter().find(is_hop) {
        let message =
            format!("the kernel takes no address of this machine for a gateway: {}", address_words(own));
        return (message, format!("Remove that address from {}, and run netapply apply", own.link));
    }
    let rule = case.evidence.policy.rules.iter().find(|rule| concerns(rule, goal));
    let rules = rule.map_or_else(String::new, |rule| format!("; {} concerns it", rule_words(rule)));
    let message = format!("the kernel has no route to {to}{rules}");
    let action = "Check with `ip route` whether the route exists, and with `ip rule` for a rule that leads to its table";
    (message, action.to_owned())
}

fn forbidden(case: &Case<'_>, goal: &Goal, kind: RouteKind) -> (String, String) {
    let to = goal.question.to;
    let barriers = case.evidence.policy.barriers.iter().filter(|route| route.to.contains(&to));
    let barrier = barriers.max_by_key(|route| (route.to.prefix_len(), std::cmp::Reverse(route.metric)));
    if let Some(route) = barrier {
        let maker = route.protocol.maker().map_or_else(String::new, |maker| format!(", made by {maker}"));
        let action = format!("Delete it: `ip route del {}`", entry_words(route));
        return (format!("{} forbids it{maker}", entry_words(route)), action);
    }
    let rule = case.evidence.policy.rules.iter().find(|rule| concerns(rule, goal));
    let rule = rule.map_or_else(|| "a rule".to_owned(), rule_words);
    let action = "Delete that rule: `ip rule` shows it".to_owned();
    (format!("{rule} forbids it ({})", kind.word()), action)
}

/// Whether a rule may match the packet of a goal, which the machine itself sends.
fn concerns(rule: &RuleEntry, goal: &Goal) -> bool {
    let question = &goal.question;
    if rule.family != Family::of(&question.to) {
        return false;
    }
    let protocol = question.flow.map(|flow| flow.protocol(question.to.is_ipv4()));
    let Selectors { not, iif, oif, uids, ipproto, sport, dport } = &rule.selectors;
    let within = |(first, last): (u16, u16), port: u16| (first..=last).contains(&port);
    let matches = rule.to.is_none_or(|net| net.contains(&question.to))
        && rule.from.is_none_or(|net| question.from.is_some_and(|ip| net.contains(&ip)))
        && rule.mark.is_none_or(|mark| {
            question.mark.is_some_and(|own| own & rule.mask.unwrap_or(u32::MAX) == mark)
        })
        && iif.as_ref().is_none_or(|iif| iif == "lo")
        && oif.as_ref().is_none_or(|oif| question.link.as_ref() == Some(oif))
        // The kernel was asked as root.
        && uids.is_none_or(|(first, _)| first == 0)
        && ipproto.is_none_or(|number| protocol.is_some_and(|(known, _)| known == number))
        && sport.is_none()
        && dport.is_none_or(|ports| protocol.and_then(|(_, port)| port).is_some_and(|port| within(ports, port)));
    matches != *not
}

fn rule_words(rule: &RuleEntry) -> String {
    let not = if rule.selectors.not { "not " } else { "" };
    let from = rule.from.map_or_else(|| "all".to_owned(), |net| net.to_string());
    let to = rule.to.map_or_else(String::new, |net| format!(" to {net}"));
    let mark = rule.mark.map_or_else(String::new, |mark| format!(" fwmark {mark:#x}"));
    format!("rule {} ({not}from {from}{to}{mark}{})", rule.priority, rule.selectors)
}

/// A route roughly as ip(8) shows it.
fn entry_words(entry: &RouteEntry) -> String {
    let to = if entry.to.prefix_len() == 0 { "default".to_owned() } else { entry.to.to_string() };
    let kind =
        if entry.kind == RouteKind::Unicast { String::new() } else { format!("{} ", entry.kind.word()) };
    let via = entry.via.map_or_else(String::new, |via| format!(" via {via}"));
    let link = entry.link.as_ref().map_or_else(String::new, |link| format!(" dev {link}"));
    format!("{kind}{to}{via}{link} proto {} metric {}", entry.protocol, entry.metric)
}

/// `192.0.2.9/24 on eth1, leased`.
fn address_words(address: &AddressEntry) -> String {
    let made = match (address.permanent, address.net.addr().is_ipv4()) {
        (true, _) => "",
        (false, true) => ", leased",
        (false, false) => ", from a router advertisement",
    };
    format!("{} on {}{made}", address.net, address.link)
}
