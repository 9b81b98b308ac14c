//! Causes beyond the gateways for what does not answer: name servers and targets, by where the path to them ends.

use std::net::IpAddr;

use super::here::is_own_refusal;
use super::target::targets;
use super::{Case, Cause, Certainty, list};
use crate::diagnostic::Code;
use crate::model::{Kind, needs_zone};
use crate::verify::checks::{Check, Outcome};
use crate::verify::evidence::{Tally, Undeliverable, Way, at};
use crate::verify::input::DesiredLink;
use crate::verify::lookups::View;

/// A name server or target that does not answer.
struct Silent<'a> {
    /// Index of its check.
    position: usize,
    /// `name server ADDRESS`, or the target as given.
    text: String,
    ip: IpAddr,
    /// The protocol to ask it by: DNS or the target's port.
    port: &'static str,
    code: Code,
    way: Option<&'a Way>,
    /// Its host exists, but nothing listens.
    refused: bool,
    /// Why nothing could be sent: the system's error text.
    error: Option<&'a str>,
}

/// Silent name servers and targets: those behind one gateway with no path at all share one cause.
pub(super) fn silent(case: &Case<'_>) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    let mut behind: Vec<(IpAddr, Vec<Silent<'_>>)> = Vec::new();
    for host in resolvers(case).chain(silent_targets(case)) {
        match by_way(case, &host) {
            Ok(cause) => causes.push(cause.explains([host.position])),
            Err(via) => match behind.iter_mut().find(|(known, _)| *known == via) {
                Some((_, hosts)) => hosts.push(host),
                None => behind.push((via, vec![host])),
            },
        }
    }
    causes.extend(behind.iter().map(|(via, hosts)| nothing_behind(case, via, hosts)));
    causes
}

fn resolvers<'a>(case: &Case<'a>) -> impl Iterator<Item = Silent<'a>> {
    let evidence = case.evidence;
    case.failed(Code::CheckResolver).filter_map(move |(position, check)| {
        let ip = check.subject.ip()?;
        let known = evidence.resolver(&ip);
        let refused = known.is_some_and(|r| r.refused) && !is_own_refusal(case, check);
        let (refused, error) = (refused, known.and_then(|r| r.error.as_deref()));
        let text = format!("name server {ip}");
        let (port, code) = ("name queries", Code::ResolverDead);
        Some(Silent { position, text, ip, port, code, way: evidence.way(&ip), refused, error })
    })
}

fn silent_targets<'a>(case: &Case<'a>) -> impl Iterator<Item = Silent<'a>> {
    let (evidence, index) = (case.evidence, case.index);
    targets(case).filter(|(_, _, t)| t.answer.is_none() && !t.unknown_name).filter_map(
        move |(position, check, target)| {
            // Of several addresses, one that the description has a route to.
            let known = target.addresses.iter().find(|ip| index.route_to(ip).is_some());
            let ip = *known.or(target.addresses.first())?;
            let (text, error) = (check.subject.to_string(), target.unreachable.as_deref());
            let (port, code) = ("this port", Code::TargetSilent);
            Some(Silent { position, text, ip, port, code, way: evidence.way(&ip), refused: false, error })
        },
    )
}

/// The cause by where the path ends; `Err` is the gateway beyond which nothing was seen.
fn by_way(case: &Case<'_>, host: &Silent<'_>) -> Result<Cause, IpAddr> {
    let Silent { text, ip, way, .. } = host;
    let cause =
        |code, certainty, message: String, action: &str| Ok(Cause::new(code, certainty, "", message, action));
    let described = case.index.route_to(ip);
    if described.is_none() && !needs_zone(ip) && !case.index.links.iter().any(|l| l.dynamic) {
        // Router advertisements may have provided a route anyway.
        let certainty = if host.error.is_some() { Certainty::Proved } else { Certainty::Likely };
        if let Some(place) = elsewhere(case.index, ip) {
            let message = format!("{text}: the description has a route to {ip} in {place} only");
            let action = "Describe one outside of it: programs that are not told otherwise ask there";
            return cause(Code::NoRoute, certainty, message, action);
        }
        let message = format!("{text}: the description has no route to {ip}");
        return cause(Code::NoRoute, certainty, message, "Describe a default route");
    }
    if host.refused {
        let message = format!("{text} refuses name queries; the path works");
        let action = "Start the service there, or correct its address in the description";
        return cause(host.code, Certainty::Proved, message, action);
    }
    if way.is_some_and(|way| way.echo == Some(true)) {
        // If packets are lost, those to the port may be lost, too.
        let echoes = way.map(|way| way.echoes).filter(|echoes| !echoes.is_whole());
        if let Some(Tally { sent, received }) = echoes {
            let message =
                format!("{text}: {ip} answers echo {received} of {sent} times, and not {}", host.port);
            let action = "See whether packets are lost on the path; look at that service and at firewalls";
            return cause(host.code, Certainty::Possible, message, action);
        }
        let message = format!("{text}: {ip} answers echo, and not {}", host.port);
        let action = "Look at that service and at firewalls, or correct the address and port";
        return cause(host.code, Certainty::Likely, message, action);
    }
    if let Some(Undeliverable { by, words }) = way.and_then(|way| way.refusal.as_ref()) {
        // This machine itself says so if it cannot resolve the next hop.
        if case.evidence.addresses.iter().any(|address| address.ip == *by) {
            let hop = described.and_then(|(_, via)| via).unwrap_or(*ip);
            let message = format!("{text}: next hop {hop} does not answer");
            let action = "Check whether that machine is up, its address, and the VLAN of the port";
            return cause(host.code, Certainty::Likely, message, action);
        }
        let message = format!("{text}: {words}, says {by}");
        let action = "Check whether that host is up, its address, and the routes and filters there";
        return cause(host.code, Certainty::Likely, message, action);
    }
    let via = match described {
        Some((_, Some(via))) => via,
        Some((link, None)) => {
            let known = case.evidence.neighbour(&link.name, ip).is_some_and(|n| n.mac.is_some());
            if known || case.evidence.others.find(at(&link.name, *ip)).is_some() {
                let message = format!("{text}: {ip} is found on {}, but no packets come back", link.name);
                let action = "Look for a firewall there, and for one on this machine (`nft list ruleset`)";
                return cause(host.code, Certainty::Possible, message, action);
            }
            let message = format!("{text}: nothing answers for {ip} in {}'s subnet", link.name);
            let action = "Check whether that host is up, and its address";
            return cause(host.code, Certainty::Likely, message, action);
        }
        None => {
            let words = host.error.unwrap_or("no answer");
            let message = format!("{text}: {words}; the route is left to DHCP or the router");
            let action = "Look at `ip route` and the log of the DHCP client";
            return cause(Code::NoRoute, Certainty::Possible, message, action);
        }
    };
    match last_router(way, &via, ip) {
        Some(router) => {
            let message = format!("{text}: the path leads through {router}, but nothing answers behind it");
            let action = "Check whether that host is up, and the routes and firewalls on the path";
            cause(host.code, Certainty::Possible, message, action)
        }
        None if others_answer(case, &via) => {
            let message = format!("{text}: no answer, while others behind gateway {via} answer");
            let action = "Check whether that host is up, its address, and firewalls on the path";
            cause(host.code, Certainty::Likely, message, action)
        }
        None => Err(via),
    }
}

/// Where else the description has a route to an address: in a VRF, or in a table that only rules lead to.
fn elsewhere(index: &View<'_>, ip: &IpAddr) -> Option<String> {
    let of_link = |link: &DesiredLink| {
        let vrf = index.controller_of(&link.name).filter(|controller| controller.kind == Kind::Vrf);
        let in_subnet = vrf.is_some() && link.addresses.iter().any(|net| net.contains(ip));
        let route = link.routes.iter().find(|route| route.to.contains(ip));
        match (vrf, route.and_then(|route| route.table)) {
            (Some(vrf), None) if in_subnet || route.is_some() => Some(format!("VRF {}", vrf.name)),
            (_, table) => table.map(|table| format!("table {table}")),
        }
    };
    index.links.iter().find_map(of_link)
}

/// The last router seen beyond the gateway. The first hop is the gateway, whatever address it answers from.
fn last_router(way: &Option<&Way>, via: &IpAddr, to: &IpAddr) -> Option<IpAddr> {
    let hops = way.map(|way| way.hops.as_slice()).unwrap_or_default();
    hops.iter().skip(1).rev().flatten().find(|hop| *hop != via && *hop != to).copied()
}

/// Whether a name server or target behind the gateway answers at all.
fn others_answer(case: &Case<'_>, via: &IpAddr) -> bool {
    let behind = |ip: &IpAddr| case.index.route_to(ip).is_some_and(|(_, gateway)| gateway == Some(*via));
    let passed = |c: &Check| c.code == Code::CheckResolver && c.outcome == Outcome::Passed;
    let resolver =
        case.checks.iter().filter(|c| passed(c)).any(|c| c.subject.ip().is_some_and(|ip| behind(&ip)));
    let target = case.evidence.targets.iter().filter(|t| t.answer.is_some());
    let way = case.evidence.ways.iter().any(|w| w.echo == Some(true) && behind(&w.to));
    resolver || way || target.flat_map(|t| t.addresses.first()).any(behind)
}

fn nothing_behind(case: &Case<'_>, via: &IpAddr, hosts: &[Silent<'_>]) -> Cause {
    let link = case.index.route_to(&hosts.first().map_or(*via, |h| h.ip)).map(|(link, _)| link);
    let subnet = link.and_then(|link| link.addresses.iter().find(|net| net.contains(via)));
    let subnet = subnet.map_or_else(|| "this machine".to_owned(), |net| net.trunc().to_string());
    // One silent host may just be down; several are no coincidence.
    let looked = hosts.iter().all(|h| h.way.is_some_and(|way| way.echo == Some(false)));
    let certainty = if looked { Certainty::Likely } else { Certainty::Possible };
    let who = list(hosts.iter().map(|h| h.text.as_str()));
    let message = format!("gateway {via} answers, and nothing behind it does: {who}");
    let action = format!("Give the routers behind {via} a route back to {subnet}; check firewalls there");
    Cause::new(Code::NoWayBack, certainty, "", message, action).explains(hosts.iter().map(|h| h.position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture::{ip, one_nic};
    use crate::verify::input::Input;

    #[test]
    fn a_vrf_and_a_table_are_named_where_they_alone_have_a_route() {
        let (mut input, _) = one_nic();
        let place = |input: &Input, to: &str| elsewhere(&View::new(input), &ip(to));
        assert_eq!(place(&input, "198.51.100.5"), None);
        let vrf = DesiredLink::new("v", "vrf0", Kind::Vrf);
        input.links.push(DesiredLink { members: vec!["eth0".into()], ..vrf });
        for to in ["198.51.100.5", "192.0.2.53"] {
            assert_eq!(place(&input, to).as_deref(), Some("VRF vrf0"), "{to}");
        }
        input.links[0].routes[0].table = Some(100);
        assert_eq!(place(&input, "198.51.100.5").as_deref(), Some("table 100"));
    }
}
