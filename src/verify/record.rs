//! Records what probes learnt in the evidence. Pure: the one place that knows which fact changes what.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::evidence::{
    Claim, Evidence, Owner, ResolverEvidence, Tally, TargetEvidence, Traffic, Undeliverable, Way, at,
};
use super::keyed::Keyed;
use super::probe::{Fact, Frame};

/// So many subnets of a link are kept.
const MOST_SUBNETS: usize = 16;

/// Takes note of a fact that came `now` milliseconds after the start. What tells of the kernel's state is not for here.
pub(super) fn record(evidence: &mut Evidence, now: u64, fact: Fact) {
    match fact {
        Fact::Changed | Fact::Neighbour(..) => {}
        Fact::EchoSent(link, ip) => {
            let gateway = evidence.gateway_mut(&link, &ip);
            gateway.unanswered += u32::from(gateway.resolved);
            gateway.silent_echoes += 1;
        }
        Fact::Echo(link, ip, micros) => {
            let gateway = evidence.gateway_mut(&link, &ip);
            gateway.rtt_us.get_or_insert(micros);
            gateway.found_ms.get_or_insert(now);
            (gateway.heard_ms, gateway.again) = (Some(now), false);
        }
        Fact::Full(link, ip, tried, largest) => {
            let gateway = evidence.gateway_mut(&link, &ip);
            (gateway.tried, gateway.largest) = (Some(tried), largest);
        }
        Fact::EchoOver(link, ip, error) => {
            let gateway = evidence.gateway_mut(&link, &ip);
            gateway.finished = true;
            gateway.error = error;
        }
        Fact::Claimed(link, ip, mac) => {
            // Another of our NICs on the same wire answers for our address, too.
            if !evidence.is_own(&mac) {
                claim(evidence, link, ip).owner = Some(mac);
            }
        }
        Fact::Unclaimed(link, ip, error) => {
            let claim = claim(evidence, link, ip);
            (claim.finished, claim.error) = (true, error);
        }
        Fact::Has(link, ip, mac) => {
            let owner = Owner { link, ip, mac };
            if !evidence.is_own(&mac) && evidence.others.find(owner.key()).is_none() {
                evidence.others.push(owner);
            }
        }
        Fact::Resolver(server, micros) => {
            let resolver = resolver(evidence, server);
            (resolver.rtt_us, resolver.answered_ms) = (Some(micros), Some(now));
        }
        Fact::ResolverError(server, refused, error, here) => {
            let resolver = resolver(evidence, server);
            (resolver.refused, resolver.error) = (refused, Some(error));
            // A refusal sent by one of this machine's rules follows the error.
            resolver.refused_here = here.or(resolver.refused_here);
        }
        Fact::Losses(link, ip, losses) => evidence.gateway_mut(&link, &ip).losses = losses,
        Fact::EchoRefused(link, ip, number) => {
            evidence.gateway_mut(&link, &ip).refused_here = Some(number);
        }
        Fact::Watched(link, ip) => traffic(evidence, link, ip).since_ms = now,
        Fact::Seen(link, ip, frame) => {
            let traffic = traffic(evidence, link, ip);
            match frame {
                Frame::Asked => traffic.asked = true,
                Frame::Told => traffic.told = true,
                Frame::Sent(flow) => drop(traffic.sent.insert(flow)),
                Frame::Received(flow) => drop(traffic.received.insert(flow)),
            }
        }
        Fact::Heard(link, heard) => {
            if heard.frames > 0 {
                evidence.frames_ms.entry(link.clone()).or_insert(now);
            }
            evidence.heard.insert(link, *heard);
        }
        Fact::WayEcho(to, echoes) => {
            let way = way(evidence, to);
            (way.echo, way.echoes) = (Some(echoes.received > 0), echoes);
        }
        Fact::Hop(to, hop, router) => {
            let hops = &mut way(evidence, to).hops;
            if hops.len() < hop {
                hops.resize(hop, None);
            }
            if let Some(slot) = hop.checked_sub(1).and_then(|at| hops.get_mut(at)) {
                *slot = router;
            }
        }
        Fact::WayRefused(to, by, words) => {
            way(evidence, to).refusal = Some(Undeliverable { by, words: words.to_owned() });
        }
        Fact::Resolved(target, addresses) => {
            of_target(evidence, target, |target| target.addresses = addresses);
        }
        Fact::UnknownName(target) => {
            of_target(evidence, target, |target| (target.unknown_name, target.finished) = (true, true));
        }
        Fact::NameRefused(target) => of_target(evidence, target, |target| target.name_refused = true),
        Fact::Answer(target, answer, micros, last) => of_target(evidence, target, |target| {
            (target.answer, target.rtt_us, target.finished) = (Some(answer), Some(micros), last);
            target.answered_ms = Some(now);
        }),
        Fact::Unreachable(target, words, here) => of_target(evidence, target, |target| {
            (target.unreachable, target.refused_here) = (Some(words), here.or(target.refused_here));
        }),
        Fact::Subnet(link, subnet) => {
            let known = evidence.subnets.entry(link).or_default();
            if known.len() < MOST_SUBNETS && !known.contains(&subnet) {
                known.push(subnet);
            }
        }
        Fact::Unreadable(what) => note(&mut evidence.unreadable, what),
    }
}

/// Adds what is not in the list yet.
pub(super) fn note(list: &mut Vec<String>, what: String) {
    if !list.contains(&what) {
        list.push(what);
    }
}

fn of_target(evidence: &mut Evidence, position: usize, change: impl FnOnce(&mut TargetEvidence)) {
    if let Some(target) = evidence.targets.get_mut(position) {
        change(target);
    }
}

fn claim(evidence: &mut Evidence, link: String, ip: IpAddr) -> &mut Claim {
    let new = || Claim { link: link.clone(), ip, owner: None, finished: false, error: None };
    evidence.claims.find_or_push(at(&link, ip), new)
}

fn traffic(evidence: &mut Evidence, link: String, ip: IpAddr) -> &mut Traffic {
    let (sent, received) = (BTreeSet::new(), BTreeSet::new());
    let new = || Traffic { link: link.clone(), ip, since_ms: 0, asked: false, told: false, sent, received };
    evidence.traffic.find_or_push(at(&link, ip), new)
}

fn resolver(evidence: &mut Evidence, server: IpAddr) -> &mut ResolverEvidence {
    let new = || ResolverEvidence::silent(server);
    evidence.resolvers.find_or_push(at("", server), new)
}

fn way(evidence: &mut Evidence, to: IpAddr) -> &mut Way {
    let new = || Way { to, echo: None, echoes: Tally::default(), hops: Vec::new(), refusal: None };
    evidence.ways.find_or_push(at("", to), new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::evidence::Heard;
    use crate::verify::fixture::{ip, mac, one_nic};

    #[test]
    fn hops_come_in_any_order() {
        let mut evidence = Evidence::default();
        let to = ip("198.51.100.5");
        record(&mut evidence, 5, Fact::Hop(to, 3, Some(ip("10.0.0.3"))));
        record(&mut evidence, 6, Fact::Hop(to, 1, Some(ip("10.0.0.1"))));
        record(&mut evidence, 7, Fact::WayEcho(to, Tally { sent: 3, received: 0 }));
        let hops = vec![Some(ip("10.0.0.1")), None, Some(ip("10.0.0.3"))];
        let echoes = Tally { sent: 3, received: 0 };
        let way = Way { to, echo: Some(false), echoes, hops, refusal: None };
        assert_eq!(&evidence.ways[..], [way]);
    }

    #[test]
    fn the_first_forwarded_frame_is_remembered() {
        let mut evidence = Evidence::default();
        for (now, frames) in [(5, 0), (900, 1), (1_000, 2)] {
            let heard = Box::new(Heard { frames, ..Heard::default() });
            record(&mut evidence, now, Fact::Heard("eth0".into(), heard));
        }
        assert_eq!(evidence.frames_ms, [("eth0".to_owned(), 900)].into());
        assert_eq!(evidence.heard["eth0"].frames, 2);
    }

    #[test]
    fn our_own_nic_is_not_another_owner() {
        let (_, mut evidence) = one_nic();
        let address = ip("192.0.2.2");
        record(&mut evidence, 1, Fact::Claimed("eth0".into(), address, mac("7c:c2:55:6e:90:44")));
        assert_eq!(evidence.claim("eth0", &address).unwrap().owner, None);
        record(&mut evidence, 1, Fact::Claimed("eth0".into(), address, mac("02:00:00:00:00:09")));
        assert_eq!(evidence.claim("eth0", &address).unwrap().owner, Some(mac("02:00:00:00:00:09")));
    }
}
