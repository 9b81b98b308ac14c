//! Causes around a gateway: absent, elsewhere, our address is a duplicate, full-sized packets do not pass.

use std::net::IpAddr;

use super::{Case, Cause, Certainty, here, list};
use crate::diagnostic::{Code, Severity};
use crate::verify::checks::{Check, Outcome};
use crate::verify::evidence::{Loss, Owner, at};
use crate::verify::input::DesiredLink;

/// Another host has one of our addresses.
pub(super) fn duplicate(case: &Case<'_>) -> Vec<Cause> {
    const ACTION: &str = "Find that machine by its MAC address and change one of the two";
    let v4 = case.failed(Code::CheckUnique).filter_map(|(position, check)| {
        let ip = check.subject.ip()?;
        let owner = case.evidence.claim(&check.link, &ip)?.owner?;
        // A router that does proxy ARP does not use the address itself.
        let router = case.evidence.neighbours.iter().find(|n| n.link == check.link && n.mac == Some(owner));
        let (certainty, whose) = match router {
            Some(router) => (Certainty::Likely, format!(", which is also {} (or does proxy ARP)", router.ip)),
            None => (Certainty::Proved, String::new()),
        };
        let message = format!("another machine uses {ip} on {}: {owner}{whose}", check.link);
        let code = if ip.is_ipv4() { Code::DuplicateIpv4 } else { Code::DuplicateIpv6 };
        let cause = Cause::new(code, certainty, &check.link, message, ACTION);
        // A gateway that answers requests without our address but not those with it takes the other host for us.
        let refused = case.failed(Code::CheckGateway).filter(move |(_, gateway)| {
            gateway.link == check.link && answers_probe(case, gateway) && asks_from(case, gateway) == Some(ip)
        });
        Some(cause.explains([position]).explains(refused.map(|(position, _)| position)))
    });
    let v6 = case.failed(Code::CheckAddress).filter_map(|(position, check)| {
        let ip = check.subject.ip()?;
        case.evidence.address(&check.link, &ip).filter(|a| a.duplicate)?;
        let owner = case.evidence.claim(&check.link, &ip).and_then(|c| c.owner);
        let who = owner.map_or_else(String::new, |mac| format!(": {mac}"));
        let message = format!("another machine uses {ip} on {}{who}; the kernel does not use it", check.link);
        Some(
            Cause::new(Code::DuplicateIpv6, Certainty::Proved, &check.link, message, ACTION)
                .explains([position]),
        )
    });
    v4.chain(v6).collect()
}

/// Whether a gateway answers ARP on its link when asked without one of our addresses.
fn answers_probe(case: &Case<'_>, gateway: &Check) -> bool {
    gateway.subject.ip().is_some_and(|ip| case.evidence.others.find(at(&gateway.link, ip)).is_some())
}

/// Our address that a gateway is asked from.
fn asks_from(case: &Case<'_>, gateway: &Check) -> Option<IpAddr> {
    case.index.gateway(&gateway.link, gateway.subject.ip()?)?.source
}

/// The gateway exists but does not answer our address.
pub(super) fn ignores_us(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let source = asks_from(case, check).filter(|_| answers_probe(case, check))?;
        let message = format!("gateway {} is on {}, and ignores {source}", check.subject, check.link);
        let action = "Check that the address is in the gateway's subnet, and that nobody else has it";
        let cause = Cause::new(Code::GatewayIgnores, Certainty::Likely, &check.link, message, action);
        Some(cause.explains([position]))
    };
    case.silent_gateways().filter_map(cause).collect()
}

/// The gateway is in another link's subnet, or answers on another link.
pub(super) fn elsewhere(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let (ip, link) = (check.subject.ip()?, case.index.link(&check.link)?);
        // On the link below a VLAN it answers if the VLAN is untagged there: the VLAN rules cover that.
        let below = |name: &str| case.index.links_under(&link.name).iter().any(|lower| lower.name == name);
        let answering =
            case.evidence.others.iter().find(|o| o.ip == ip && !below(&o.link) && o.link != link.name);
        if let Some(owner) = answering {
            let Owner { link: other, mac, .. } = owner;
            // A router may answer ARP requests for each of its addresses on each of its interfaces.
            let (certainty, answers) = match case.evidence.echoes_on(other, &ip) {
                true => (Certainty::Proved, "answers"),
                false => (Certainty::Likely, "answers ARP requests"),
            };
            let message = format!("gateway {ip} of {} {answers} on {other} ({mac})", link.name);
            let action = match (certainty, share_nics(case, &link.name, other)) {
                (Certainty::Proved, true) => {
                    format!("Describe the route at {other}, or correct the VLAN ids")
                }
                (Certainty::Proved, false) => {
                    format!("Describe the route at {other}, or swap the cables (or MAC addresses) of the two")
                }
                (_, true) => format!("Check the VLANs of the port, and whether the route belongs to {other}"),
                (_, false) => format!(
                    "Check the port and VLAN of {}, its cable, and whether the route belongs to {other}",
                    link.name
                ),
            };
            let cause = Cause::new(Code::GatewayElsewhere, certainty, &link.name, message, action);
            return Some(cause.explains([position]));
        }
        if link.has_subnet_of(&ip) {
            return None;
        }
        let other = case.index.links.iter().find(|l| l.name != link.name && l.has_subnet_of(&ip))?;
        let message = format!("gateway {ip} of {} is in the subnet of {}", link.name, other.name);
        let action = format!("Put the route at {}", other.name);
        Some(
            Cause::new(Code::GatewayElsewhere, Certainty::Likely, &link.name, message, action)
                .explains([position]),
        )
    };
    // What this machine drops, refuses to send, or sends to a static neighbour entry proves nothing about the network.
    let is_own = |check: &Check| {
        let gateway = check.subject.ip().and_then(|ip| case.evidence.gateway(&check.link, &ip));
        let kept = gateway.is_some_and(|g| g.fixed.is_some() || g.refused_here.is_some());
        kept || here::drops(case, check)
    };
    case.silent_gateways().filter(|(_, check)| !is_own(check)).filter_map(cause).collect()
}

/// Whether two links send through the same NICs.
fn share_nics(case: &Case<'_>, one: &str, other: &str) -> bool {
    let nics = case.index.nics_under(other);
    case.index.nics_under(one).iter().any(|nic| nics.iter().any(|other| other.name == nic.name))
}

/// Nobody answers for the gateway's address, but others in its subnet answer or are heard.
pub(super) fn absent(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let (ip, link) = (check.subject.ip()?, case.index.link(&check.link)?);
        if answers_probe(case, check) {
            return None;
        }
        let near = |other: &IpAddr| {
            let of_subnet = link.addresses.iter().any(|net| net.contains(&ip) && net.contains(other));
            // Every host on the link is a neighbour of a link-local gateway.
            let local = matches!(ip, IpAddr::V6(_)) && is_link_local(&ip) && is_link_local(other);
            let ours = case.evidence.addresses.iter().any(|a| a.ip == *other);
            (of_subnet || local && other.is_ipv6()) && *other != ip && !ours
        };
        let answers =
            case.evidence.others.iter().filter(|o| o.link == link.name && near(&o.ip)).map(|o| o.ip);
        // Frames of the subnet count only if they are tagged as the link is.
        let untagged = link.vlan.is_none();
        let mut heard =
            case.heard_under(&link.name).filter(|_| untagged).flat_map(|(_, h)| h.untagged.iter().copied());
        let answering = answers.min();
        let other = answering.or_else(|| heard.find(near))?;
        let how = if answering.is_some() { "does" } else { "is heard" };
        // A filter or private VLANs may isolate hosts that do exist.
        let certainty = if answering.is_some() { Certainty::Likely } else { Certainty::Possible };
        let message = format!("nobody answers for gateway {ip} on {}, while {other} {how}", link.name);
        let action = "Correct the gateway in the description, or bring that router up";
        Some(Cause::new(Code::GatewayAbsent, certainty, &link.name, message, action).explains([position]))
    };
    case.silent_gateways().filter_map(cause).collect()
}

/// Nothing of the gateways' subnets is heard on a link with carrier.
pub(super) fn silent(case: &Case<'_>) -> Vec<Cause> {
    let mut links: Vec<&str> = case.silent_gateways().map(|(_, c)| c.link.as_str()).collect();
    links.dedup();
    links.into_iter().filter_map(|link| one_silent(case, case.index.link(link)?)).collect()
}

fn one_silent(case: &Case<'_>, link: &DesiredLink) -> Option<Cause> {
    case.heard_under(&link.name).next()?;
    let failed: Vec<(usize, &Check)> = case.silent_gateways().filter(|(_, c)| c.link == link.name).collect();
    let heard = || case.heard_under(&link.name).map(|(_, heard)| heard);
    let others = || heard().flat_map(|h| &h.untagged);
    if case.evidence.others.iter().any(|o| o.link == link.name) || others().any(|ip| link.has_subnet_of(ip)) {
        return None;
    }
    let lldp = heard().find_map(|h| h.lldp.as_ref());
    let at = lldp.map_or_else(String::new, |l| format!(" (port {} of {})", l.port, l.switch));
    // Link-local addresses are everywhere, and say nothing about a subnet.
    let foreign = others().find(|ip| !is_link_local(ip));
    let (certainty, what) = match foreign {
        _ if heard().all(|h| h.frames == 0) => (Certainty::Likely, "nothing is heard".to_owned()),
        Some(ip) => (Certainty::Likely, format!("{ip} of another subnet is heard")),
        None => (Certainty::Possible, "only other machines are heard".to_owned()),
    };
    let gateways = list(failed.iter().map(|(_, c)| &c.subject));
    let noun = if failed.len() == 1 { "gateway" } else { "gateways" };
    let not = if failed.len() == 1 { "does not answer" } else { "do not answer" };
    let message = format!("{}{at} has carrier, but {noun} {gateways} {not} and {what}", link.name);
    let action = "Check the port's VLAN, the subnet, and whether the cable is in the right port";
    let cause = Cause::new(Code::NothingAnswers, certainty, &link.name, message, action);
    Some(cause.explains(failed.iter().map(|(position, _)| *position)))
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Spanning tree held the switch port back, or still does.
pub(super) fn stp_delay(case: &Case<'_>) -> Vec<Cause> {
    /// A port without the STP delay forwards within a few seconds of carrier.
    const DELAY_MS: u64 = 10_000;
    let mut causes: Vec<Cause> = Vec::new();
    for (position, check) in case.checks.iter().enumerate().filter(|(_, c)| c.code == Code::CheckGateway) {
        let Some((nic, stp)) =
            case.heard_under(&check.link).find_map(|(nic, h)| Some((nic, h.stp.as_ref()?)))
        else {
            continue;
        };
        let since = case.evidence.carrier_ms.get(nic).copied().unwrap_or(0);
        let found = check.subject.ip().and_then(|ip| case.evidence.gateway(&check.link, &ip)?.found_ms);
        let action = "Make it an edge port (portfast)";
        if let Some(took) = found.and_then(|at| at.checked_sub(since)).filter(|took| *took >= DELAY_MS) {
            let seconds = took / 1000;
            let message =
                format!("{nic}: the switch's port runs STP ({}) and took {seconds} s to forward", stp.bridge);
            causes.push(Cause::new(Code::StpDelay, Certainty::Likely, nic, message, action));
        } else if check.is_fault() && case.heard_under(&check.link).all(|(_, h)| h.frames == 0) {
            let message =
                format!("{nic}: the switch's port runs STP ({}) and may not forward yet", stp.bridge);
            causes.push(
                Cause::new(Code::StpDelay, Certainty::Possible, nic, message, action).explains([position]),
            );
        }
    }
    causes.dedup_by(|a, b| a.link == b.link);
    causes
}

/// What to do about packet loss.
const LOST: &str =
    "Check cable, optics and duplex, error counters (`ip -s -s link`), and the load of the gateway";

/// Much of what is sent to the gateway is lost; if only echoes are, it is not a fault.
pub(super) fn lossy(case: &Case<'_>) -> Vec<Cause> {
    let lacp_fails = case.failed(Code::CheckLacp).next().is_some();
    let cause = |(position, check): (usize, &Check)| {
        let gateway = case.evidence.gateway(&check.link, &check.subject.ip()?)?;
        let (ip, link) = (&check.subject, &check.link);
        match gateway.losses.meaning() {
            Loss::Packets(percent) if check.is_fault() => {
                let message = format!("{percent} % of the packets between gateway {ip} and {link} are lost");
                let cause = Cause::new(Code::PacketLoss, Certainty::Proved, link, message, LOST);
                Some(cause.explains([position]))
            }
            Loss::Packets(percent) if check.outcome == Outcome::Passed && !lacp_fails => {
                let message = format!("{percent} % of the packets between gateway {ip} and {link} are lost");
                let mut cause = Cause::new(Code::PacketLoss, Certainty::Proved, link, message, LOST);
                cause.severity = Severity::Warning;
                Some(cause)
            }
            Loss::Unclear if check.is_fault() && gateway.losses.echoes.received > 0 => {
                let percent = gateway.losses.echoes.loss()?;
                let message = format!(
                    "{percent} % of the echoes to gateway {ip} on {link} were lost, and it does not answer any more"
                );
                let cause = Cause::new(Code::PacketLoss, Certainty::Likely, link, message, LOST);
                Some(cause.explains([position]))
            }
            // If LACP fails, the bond may send through a port that the other side does not use.
            Loss::Echoes(percent) if check.outcome == Outcome::Passed && !lacp_fails => {
                let v4 = ip.ip().is_some_and(|ip| ip.is_ipv4());
                let other = if v4 { "ARP request" } else { "neighbour solicitation" };
                let message =
                    format!("{percent} % of the echoes to gateway {ip} on {link} are lost, and no {other}");
                let action = "See whether it limits echo for all machines together; if not, check its load and the links of a bond on the way";
                let mut cause = Cause::new(Code::PacketLoss, Certainty::Possible, link, message, action);
                cause.severity = Severity::Warning;
                Some(cause)
            }
            _ => None,
        }
    };
    let gateways = case.checks.iter().enumerate().filter(|(_, check)| check.code == Code::CheckGateway);
    gateways.filter_map(cause).collect()
}

/// A static neighbour entry keeps the kernel from resolving the gateway.
pub(super) fn fixed(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let ip = check.subject.ip()?;
        let mac = case.evidence.gateway(&check.link, &ip)?.fixed?;
        let real = case.evidence.others.find(at(&check.link, ip)).map(|owner| owner.mac);
        let (certainty, real) = match real {
            Some(real) if real != mac => (Certainty::Proved, format!(", but {real} answers for it")),
            _ => (Certainty::Likely, ", so the kernel asks nobody".to_owned()),
        };
        let message = format!("gateway {ip} on {} has the static neighbour entry {mac}{real}", check.link);
        let action = format!("Delete the entry: `ip neighbour del {ip} dev {}`", check.link);
        let cause = Cause::new(Code::NeighbourFixed, certainty, &check.link, message, action);
        Some(cause.explains([position]))
    };
    case.silent_gateways().filter_map(cause).collect()
}

/// Small packets pass, full-sized ones do not.
pub(super) fn mtu_black_hole(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let ip = check.subject.ip()?;
        let gateway = case.evidence.gateway(&check.link, &ip)?;
        let (tried, passed) = (gateway.tried?, gateway.largest);
        // With a lossy gateway, which sizes pass is chance.
        let certainty = match gateway.losses.meaning() {
            Loss::None => Certainty::Likely,
            _ => Certainty::Possible,
        };
        let some = passed.map_or_else(|| "only small ones".to_owned(), |p| format!("packets of {p} bytes"));
        let message = format!("{} sends {tried} bytes, and {some} reach gateway {ip}", check.link);
        let action = match passed {
            Some(passed) => format!("Raise the MTU on the switch and at {ip}, or describe MTU {passed}"),
            None => format!("Raise the MTU on the switch and at {ip}, or describe a smaller one"),
        };
        Some(Cause::new(Code::MtuBlackHole, certainty, &check.link, message, action).explains([position]))
    };
    case.failed(Code::CheckPathMtu).filter_map(cause).collect()
}
