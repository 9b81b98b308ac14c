//! Causes on this machine that look like network faults: what it refuses to send, and settings that keep it from
//! asking.

use std::net::IpAddr;

use super::described::about;
use super::{Case, Cause, Certainty, list};
use crate::diagnostic::{Code, Severity};
use crate::kernel::firewall::{Direction, Filter};
use crate::verify::checks::{self, Check, Outcome, Subject};
use crate::verify::due;
use crate::verify::evidence::{Answer, Flow, Routing, Traffic};

/// The machine itself refuses to send: its firewall, a policy, or its limits.
pub(super) fn refused(case: &Case<'_>) -> Vec<Cause> {
    let mut found: Vec<(i32, Vec<(usize, &Check)>)> = Vec::new();
    let is_open = |c: &Check| c.is_fault() || c.is_unknown();
    for (position, check) in case.checks.iter().enumerate().filter(|(_, c)| is_open(c)) {
        let Some(number) = error_of(case, check) else { continue };
        match found.iter_mut().find(|(known, _)| *known == number) {
            Some((_, checks)) => checks.push((position, check)),
            None => found.push((number, vec![(position, check)])),
        }
    }
    let cause = |(number, checks): (i32, Vec<(usize, &Check)>)| {
        let words = nix::errno::Errno::from_raw(number).desc().to_lowercase();
        let to = list(checks.iter().map(|(_, check)| &check.subject));
        let message = format!("this machine itself refuses to send to {to}: {words}");
        let action = match number {
            libc::EPERM | libc::EACCES => {
                "See its firewall's output rules (`nft list ruleset`, `iptables -S`), `ip xfrm policy` and `ip rule`"
            }
            libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS => {
                "Give netapply more file descriptors and memory (`ulimit -a`, LimitNOFILE=)"
            }
            _ => "See `ip route get` for it, the link's MTU, and `ip xfrm policy`",
        };
        let mut cause = Cause::new(Code::RefusedHere, Certainty::Proved, "", message, action);
        // A gateway that exists but cannot be sent an echo is not a fault.
        if !checks.iter().any(|(_, check)| check.is_fault()) {
            cause.severity = Severity::Warning;
        }
        cause.explains(checks.iter().map(|(position, _)| *position))
    };
    found.into_iter().map(cause).collect()
}

/// The error of a probe, unless the kernel's own lookup already gives the reason.
fn error_of(case: &Case<'_>, check: &Check) -> Option<i32> {
    let is_probe = matches!(
        check.code,
        Code::CheckGateway | Code::CheckPathMtu | Code::CheckResolver | Code::CheckTarget
    );
    if !is_probe || is_of_route(case, check) {
        return None;
    }
    match check.subject {
        Subject::Gateway(ip) => {
            case.evidence.gateway(&check.link, &ip).filter(|gateway| gateway.rtt_us.is_none())?.refused_here
        }
        Subject::NameServer(ip) => case.evidence.resolver(&ip)?.refused_here,
        Subject::Target(at, _) => {
            case.evidence.targets.get(at).filter(|target| target.answer.is_none())?.refused_here
        }
        _ => None,
    }
}

/// A setting of a link.
fn setting(case: &Case<'_>, link: &str, path: &str) -> Option<i64> {
    case.evidence.settings.get(link)?.get(path).copied()
}

/// What this machine drops: answers that arrive but are not delivered, requests that never leave.
pub(super) fn dropped(case: &Case<'_>) -> Vec<Cause> {
    let mut causes = answers_to_echo(case);
    for (position, check) in case.checks.iter().enumerate().filter(|(_, c)| c.is_fault()) {
        let place = match check.subject {
            Subject::Gateway(ip) if check.code == Code::CheckGateway => Some((check.link.clone(), ip)),
            _ => {
                let leaves_by = |ip| due::leaves_by(case.index, case.evidence, &check.subject, ip);
                host_of(case, check).and_then(|ip| Some((leaves_by(ip)?, ip)))
            }
        };
        let Some((link, ip)) = place else { continue };
        let Some(traffic) = case.evidence.traffic(&link, &ip) else { continue };
        let seen = match check.code {
            _ if is_of_route(case, check) => None,
            Code::CheckGateway if setting_of(case, &link, &ip).is_some() => None,
            Code::CheckGateway => of_gateway(case, check, traffic),
            _ => of_host(case, check, traffic),
        };
        let Some((direction, what)) = seen else { continue };
        let (message, action) = match direction {
            Direction::In => (
                format!("{what} {ip} arrive on {link}, but this machine drops them"),
                why_in(case, &link, ip),
            ),
            Direction::Out => {
                let action = by_filters(
                    case,
                    &link,
                    direction,
                    "`tc qdisc show` and `tc filter show` for its egress, `ip xfrm policy`",
                );
                (format!("{what} {ip} leave {link}: this machine drops them"), action)
            }
        };
        let cause = Cause::new(Code::DroppedHere, Certainty::Proved, &link, message, action);
        causes.push(cause.explains([position]));
    }
    causes
}

/// Gateways that exist and seem to ignore echo, although their replies arrive: dropping only echo is not a fault.
fn answers_to_echo(case: &Case<'_>) -> Vec<Cause> {
    let passed = case.checks.iter().filter(|c| c.code == Code::CheckGateway && c.outcome == Outcome::Passed);
    let cause = |check: &Check| {
        let (ip, link) = (check.subject.ip()?, check.link.as_str());
        let silent = case.evidence.gateway(link, &ip)?.rtt_us.is_none() && !is_of_route(case, check);
        let arrives = case.evidence.traffic(link, &ip)?.received.contains(&Flow::Echo);
        let message = format!("echo replies of gateway {ip} arrive on {link}, but this machine drops them");
        let mut cause =
            Cause::new(Code::DroppedHere, Certainty::Proved, link, message, why_in(case, link, ip));
        cause.severity = Severity::Warning;
        (silent && arrives).then_some(cause)
    };
    passed.filter_map(cause).collect()
}

/// The address of a name server or target that a failed check is about.
fn host_of(case: &Case<'_>, check: &Check) -> Option<IpAddr> {
    match check.subject {
        Subject::NameServer(ip) if check.code == Code::CheckResolver => Some(ip),
        Subject::Target(at, _) if check.code == Code::CheckTarget => {
            case.evidence.targets.get(at)?.addresses.first().copied()
        }
        _ => None,
    }
}

/// How long frames must have been watched to conclude that there was none, in milliseconds; probes repeat more often.
const WATCHED_MS: u64 = 2_500;

/// A gateway is silent because this machine drops its answers, or what is sent to it.
pub(super) fn drops(case: &Case<'_>, check: &Check) -> bool {
    let traffic = check.subject.ip().and_then(|ip| case.evidence.traffic(&check.link, &ip));
    traffic.is_some_and(|traffic| of_gateway(case, check, traffic).is_some())
}

fn of_gateway(case: &Case<'_>, check: &Check, traffic: &Traffic) -> Option<(Direction, &'static str)> {
    let gateway = case.evidence.gateway(&check.link, &traffic.ip)?;
    if gateway.fixed.is_some() || gateway.answers() || gateway.heard_ms.is_some() {
        return None;
    }
    let long = case.evidence.elapsed_ms >= traffic.since_ms + WATCHED_MS;
    let other = if traffic.ip.is_ipv4() { "ARP answers of" } else { "neighbour advertisements of" };
    match traffic {
        Traffic { told: true, .. } => Some((Direction::In, other)),
        Traffic { received, .. } if received.contains(&Flow::Echo) => Some((Direction::In, "answers of")),
        Traffic { asked: false, sent, .. } if long && !sent.contains(&Flow::Echo) => {
            Some((Direction::Out, "no packets to"))
        }
        _ => None,
    }
}

fn of_host(case: &Case<'_>, check: &Check, traffic: &Traffic) -> Option<(Direction, &'static str)> {
    let (answered, refused, last, flow) = match check.subject {
        Subject::NameServer(ip) => {
            let resolver = case.evidence.resolver(&ip)?;
            (resolver.rtt_us.is_some(), resolver.refused, case.evidence.elapsed_ms, Flow::Udp(53))
        }
        Subject::Target(at, _) => {
            let target = case.evidence.targets.get(at)?;
            let refused = target.answer == Some(Answer::Refused);
            let last = target.answered_ms.unwrap_or(case.evidence.elapsed_ms);
            (target.answer.is_some() && !refused, refused, last, case.index.targets.get(at)?.flow())
        }
        _ => return None,
    };
    // It does answer, only badly.
    if answered || is_of_route(case, check) || error_of(case, check).is_some() {
        return None;
    }
    // The path probe sends its own echoes; if those are answered, nothing is dropped.
    let echoes = case.evidence.way(&traffic.ip).map(|way| way.echo);
    let lost = flow != Flow::Echo || echoes == Some(Some(false));
    let long = if refused { last >= traffic.since_ms + 500 } else { last >= traffic.since_ms + WATCHED_MS };
    let Traffic { asked, sent, received, .. } = traffic;
    match (sent.contains(&flow), received.contains(&flow)) {
        (_, true) if !refused && lost => Some((Direction::In, "answers of")),
        (false, false) if long && !asked => Some((Direction::Out, "no packets to")),
        _ => None,
    }
}

/// Whether a refusal did not come from the host: nothing was sent to it.
pub(super) fn is_own_refusal(case: &Case<'_>, check: &Check) -> bool {
    let Some(ip) = host_of(case, check) else { return false };
    let link = due::leaves_by(case.index, case.evidence, &check.subject, ip);
    let traffic = link.and_then(|link| case.evidence.traffic(&link, &ip));
    traffic.is_some_and(|traffic| of_host(case, check, traffic).is_some_and(|(way, _)| way == Direction::Out))
}

/// What may drop incoming packets.
fn why_in(case: &Case<'_>, link: &str, ip: IpAddr) -> String {
    let policy = &case.evidence.policy;
    if let Some(taker) = policy.takers.get(link) {
        return format!(
            "Remove {taker} (a macvlan in mode passthru takes every frame), or put the address on it"
        );
    }
    let all = policy.sysctls.get("net/ipv4/conf/all/rp_filter").copied().unwrap_or(0);
    let own = setting(case, link, "ipv4/conf/*/rp_filter").unwrap_or(0);
    let answers = case.evidence.lookups.iter().filter(|known| known.question.to == ip);
    let elsewhere = answers.map(|known| &known.found).find_map(|found| match found {
        Routing::Route(route) => route.link.as_deref().filter(|by| *by != link),
        _ => None,
    });
    if let Some(by) = elsewhere.filter(|_| ip.is_ipv4() && all.max(own) == 1) {
        return format!(
            "Correct the route to {ip}, which leads by {by}; rp_filter of {link} is 1, and takes packets of {ip} there only"
        );
    }
    by_filters(
        case,
        link,
        Direction::In,
        "`tc filter show` for its ingress, `ip xfrm policy`, `ip route show table local`, and net.ipv4.conf.*.rp_filter",
    )
}

/// Which filters packets pass in that direction.
fn by_filters(case: &Case<'_>, link: &str, direction: Direction, other: &str) -> String {
    let here = |filter: &&Filter| {
        filter.direction == Some(direction) && filter.device.as_deref().is_none_or(|device| device == link)
    };
    let names: Vec<&str> =
        case.evidence.filters.iter().filter(here).map(|filter| filter.name.as_str()).collect();
    match names.as_slice() {
        [] => format!("See {other}, `nft list ruleset` and `iptables-save`"),
        [one] => format!("See the rules of {one}; if it is not those, {other}"),
        _ => format!("See the rules of {}; if it is not those, {other}", list(names.iter().take(4))),
    }
}

/// Whether the kernel's own lookup gives the reason.
fn is_of_route(case: &Case<'_>, check: &Check) -> bool {
    case.failed(Code::CheckRoute).any(|(_, c)| c.subject == check.subject && c.link == check.link)
}

/// Settings of the link or the machine that prevent neighbour resolution, or keep packets from getting far.
pub(super) fn settings(case: &Case<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (position, check) in case.silent_gateways() {
        let (link, Some(ip)) = (check.link.as_str(), check.subject.ip()) else { continue };
        let Some((certainty, message, action)) = setting_of(case, link, &ip) else { continue };
        causes.push(Cause::new(Code::LocalSetting, certainty, link, message, action).explains([position]));
    }
    causes.extend(hop_limit(case));
    causes
}

fn setting_of(case: &Case<'_>, link: &str, ip: &IpAddr) -> Option<(Certainty, String, String)> {
    let state = case.evidence.link(link)?;
    let policy = &case.evidence.policy;
    let ethernet = state.mac.is_some_and(|mac| mac.as_bytes().len() == 6);
    if state.no_arp && ethernet {
        let message = format!("{link} does not resolve neighbours (NOARP), so gateway {ip} cannot be found");
        return Some((Certainty::Proved, message, format!("Run `ip link set {link} arp on`")));
    }
    let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    if setting(case, link, &format!("{family}/neigh/*/mcast_solicit")) == Some(0) {
        let message = format!("{link} never asks for an unknown neighbour ({family} mcast_solicit is 0)");
        let action = format!("Set net.{family}.neigh.{link}.mcast_solicit to 3");
        return Some((Certainty::Proved, message, action));
    }
    let taker = policy.takers.get(link)?;
    let message = format!("{taker} on {link} takes every frame (macvlan in mode passthru)");
    Some((Certainty::Proved, message, format!("Remove {taker}, or put the address on it")))
}

/// No link answers ARP requests.
pub(super) fn deaf(case: &Case<'_>) -> Vec<Cause> {
    let is_deaf = |check: &Check| check.subject.ip().is_some_and(|ip| checks::is_deaf(case.evidence, &ip));
    let failed: Vec<usize> = case
        .failed(Code::CheckAddress)
        .filter(|(_, check)| is_deaf(check))
        .map(|(position, _)| position)
        .collect();
    let message = "this machine answers no ARP request (net.ipv4.conf.all.arp_ignore is 8)";
    let action = "Set it to 0: without answers others lose the way to this machine after a minute";
    let cause = Cause::new(Code::LocalSetting, Certainty::Proved, "", message, action);
    if failed.is_empty() { Vec::new() } else { vec![cause.explains(failed)] }
}

/// IPv6 is off on a link that should have IPv6 addresses: turned off by the kernel, whose duplicate address detection
/// failed for the link-local address (`accept_dad` 2, addrconf_dad_failure), or by somebody.
pub(super) fn ipv6_off(case: &Case<'_>) -> Vec<Cause> {
    let is_six = |check: &&Check| check.subject.ip().is_some_and(|ip| ip.is_ipv6());
    let missing = |check: &&Check| {
        check.subject.ip().is_some_and(|ip| case.evidence.address(&check.link, &ip).is_none())
    };
    let failed = || case.failed(Code::CheckAddress).filter(|(_, check)| is_six(check) && missing(check));
    let mut links: Vec<&str> = failed().map(|(_, check)| check.link.as_str()).collect();
    links.dedup();
    let cause = |link: &str| {
        if setting(case, link, "ipv6/conf/*/disable_ipv6") != Some(1) {
            return None;
        }
        let own = setting(case, link, "ipv6/conf/*/accept_dad").unwrap_or(0);
        let all = case.evidence.policy.sysctls.get("net/ipv6/conf/all/accept_dad").copied().unwrap_or(0);
        let mac = case.evidence.link(link)?.mac?;
        let local = IpAddr::V6(due::link_local_of(&mac)?);
        let owner = case.evidence.claim(link, &local).and_then(|claim| claim.owner);
        let cause = match owner.filter(|_| own.max(all) >= 2) {
            Some(owner) => {
                let message = format!(
                    "the kernel turned IPv6 off on {link}: {owner} has {local}, too (accept_dad is 2)"
                );
                let action = format!(
                    "Give one of the two another MAC address, or set net.ipv6.conf.{link}.accept_dad to 1"
                );
                Cause::new(Code::DuplicateIpv6, Certainty::Proved, link, message, action)
            }
            None => {
                let message = format!("IPv6 is disabled on {link} (disable_ipv6 is 1)");
                let action = "Run netapply apply; if it comes back, see what writes net.ipv6.conf (sysctl.d, other network tools)";
                Cause::new(Code::LocalSetting, Certainty::Proved, link, message, action)
            }
        };
        let addresses = failed().filter(|(_, check)| check.link == link).map(|(position, _)| position);
        let ours = case.evidence.remaining.iter().all(|step| about(case, step).any(|name| name == link));
        let undone = case.failed(Code::CheckDescribed).map(|(position, _)| position).filter(|_| ours);
        Some(cause.explains(addresses).explains(undone))
    };
    links.into_iter().filter_map(cause).collect()
}

/// Packets limited to one hop reach a gateway and nothing beyond it.
fn hop_limit(case: &Case<'_>) -> Option<Cause> {
    let behind = |check: &Check| {
        let ip = match check.subject {
            Subject::NameServer(ip) => ip,
            Subject::Target(at, _) => *case.evidence.targets.get(at)?.addresses.first()?,
            _ => return None,
        };
        let (link, via) = case.index.route_to(&ip)?;
        via?;
        let policy = &case.evidence.policy;
        let limit = match ip {
            IpAddr::V4(_) => *policy.sysctls.get("net/ipv4/ip_default_ttl")?,
            IpAddr::V6(_) => setting(case, &link.name, "ipv6/conf/*/hop_limit")?,
        };
        // The path probe sets its own hop limit, and got through.
        let proved = case.evidence.way(&ip).is_some_and(|way| way.echo == Some(true));
        (limit < 8).then_some((limit, ip.is_ipv4(), proved))
    };
    let failed: Vec<(usize, (i64, bool, bool))> = case
        .checks
        .iter()
        .enumerate()
        .filter(|(_, check)| check.is_fault())
        .filter_map(|(position, check)| Some((position, behind(check)?)))
        .collect();
    let (_, (limit, v4, _)) = failed.first()?;
    let proved = failed.iter().all(|(_, (.., proved))| *proved);
    let certainty = if proved { Certainty::Proved } else { Certainty::Likely };
    let name = if *v4 { "net.ipv4.ip_default_ttl" } else { "hop_limit" };
    let message =
        format!("{name} is {limit}: packets end after {limit} hop(s), and nothing behind it answers");
    let action = "Set it to 64: something on this machine, or a router advertisement, made it so small";
    let cause = Cause::new(Code::LocalSetting, certainty, "", message, action);
    Some(cause.explains(failed.iter().map(|(position, _)| *position)))
}
