//! Causes on this machine that look like the network's: what it refuses to send, and settings that keep it from asking.

use std::net::IpAddr;

use super::{Case, Cause, Certainty, list};
use crate::diagnostic::Code;
use crate::verify::checks::{Check, Subject};

/// The machine itself refuses to send: its firewall, a policy, or its limits.
pub(super) fn refused(case: &Case<'_>) -> Vec<Cause> {
    let mut found: Vec<(i32, Vec<(usize, &Check)>)> = Vec::new();
    for (position, check) in case.checks.iter().enumerate().filter(|(_, c)| c.is_fault()) {
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
        let cause = Cause::new(Code::RefusedHere, Certainty::Proved, "", message, action);
        cause.explains(checks.iter().map(|(position, _)| *position))
    };
    found.into_iter().map(cause).collect()
}

/// The error of a probe; where the kernel's own lookup says why, that is the cause.
fn error_of(case: &Case<'_>, check: &Check) -> Option<i32> {
    let is_probe = matches!(check.code, Code::CheckGateway | Code::CheckResolver | Code::CheckTarget);
    let is_known =
        |c: &Check| c.code == Code::CheckRoute && c.subject == check.subject && c.link == check.link;
    if !is_probe || case.failed(Code::CheckRoute).any(|(_, c)| is_known(c)) {
        return None;
    }
    match check.subject {
        Subject::Gateway(ip) => {
            case.evidence.gateway(&check.link, &ip).filter(|gateway| !gateway.answers())?.refused_here
        }
        Subject::NameServer(ip) => case.evidence.resolver(&ip)?.refused_here,
        Subject::Target(at, _) => {
            case.evidence.targets.get(at).filter(|target| target.answer.is_none())?.refused_here
        }
        _ => None,
    }
}

/// Settings of the link or of the machine with which no neighbour is asked, or no packet gets far.
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
    let solicit = policy.sysctls.get(&format!("net/ipv6/neigh/{link}/mcast_solicit"));
    let solicit = solicit.or_else(|| policy.settings.get(link)?.get("mcast_solicit"));
    if ip.is_ipv6() && solicit == Some(&0) {
        let message = format!("{link} never asks for an IPv6 neighbour (mcast_solicit is 0)");
        let action = format!("Set net.ipv6.neigh.{link}.mcast_solicit to 3");
        return Some((Certainty::Proved, message, action));
    }
    let taker = policy.takers.get(link)?;
    let message = format!("{taker} on {link} takes every frame (macvlan in mode passthru)");
    Some((Certainty::Proved, message, format!("Remove {taker}, or put the address on it")))
}

/// Packets that may make one hop only reach a gateway, and nothing behind it.
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
            IpAddr::V4(_) => policy.sysctls.get("net/ipv4/ip_default_ttl"),
            IpAddr::V6(_) => policy.settings.get(&link.name)?.get("hop_limit"),
        };
        (*limit? < 8).then_some((*limit?, ip.is_ipv4()))
    };
    let failed: Vec<(usize, (i64, bool))> = case
        .checks
        .iter()
        .enumerate()
        .filter(|(_, check)| check.is_fault())
        .filter_map(|(position, check)| Some((position, behind(check)?)))
        .collect();
    let (_, (limit, v4)) = failed.first()?;
    let name = if *v4 { "net.ipv4.ip_default_ttl" } else { "hop_limit" };
    let message =
        format!("{name} is {limit}: packets end after {limit} hop(s), and nothing behind it answers");
    let action = "Set it to 64: something on this machine, or a router advertisement, made it so small";
    let cause = Cause::new(Code::LocalSetting, Certainty::Likely, "", message, action);
    Some(cause.explains(failed.iter().map(|(position, _)| *position)))
}
