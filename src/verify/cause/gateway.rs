//! Causes around a gateway: it is not there, it is elsewhere, its subnet has our address twice, full packets do not pass.

use std::net::IpAddr;

use super::{Case, Cause, Certainty};
use crate::diagnostic::Code;
use crate::verify::checks::Check;

/// Another machine has an address of ours.
pub(super) fn duplicate(case: &Case<'_>) -> Vec<Cause> {
    let v4 = case.failed(Code::CheckUnique).filter_map(|(position, check)| {
        let ip = check.object.parse::<IpAddr>().ok()?;
        let owner = case.evidence.claim(&check.link, &ip)?.owner?;
        let message = format!("another machine uses {ip} on {}: {owner}", check.link);
        let action = "Find that machine by its MAC address and change one of the two";
        Some(
            Cause::new(Code::DuplicateIpv4, Certainty::Proved, &check.link, message, action)
                .explains([position]),
        )
    });
    let v6 = case.failed(Code::CheckAddress).filter_map(|(position, check)| {
        let ip = check.object.parse::<IpAddr>().ok()?;
        case.evidence.address(&check.link, &ip).filter(|a| a.duplicate)?;
        let owner = case.evidence.claim(&check.link, &ip).and_then(|c| c.owner);
        let who = owner.map_or_else(String::new, |mac| format!(": {mac}"));
        let message = format!("another machine uses {ip} on {}{who}; the kernel does not use it", check.link);
        let action = "Find that machine by its MAC address and change one of the two";
        Some(
            Cause::new(Code::DuplicateIpv6, Certainty::Proved, &check.link, message, action)
                .explains([position]),
        )
    });
    v4.chain(v6).collect()
}

/// The gateway is in another link's subnet, or answers on another link.
pub(super) fn elsewhere(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let (ip, link) = (check.object.parse::<IpAddr>().ok()?, case.input.link(&check.link)?);
        // On the NIC below a VLAN it answers where the VLAN is not tagged: that is the VLAN's own cause.
        let below = |name: &str| case.input.nics_under(&link.name).iter().any(|nic| nic.name == name);
        let answering =
            case.evidence.others.iter().find(|o| o.ip == ip && !below(&o.link) && o.link != link.name);
        if let Some(owner) = answering {
            let message = format!("gateway {ip} of {} answers on {} ({})", link.name, owner.link, owner.mac);
            let action = "Put the route or address on that link, or swap the cables or MAC addresses";
            let cause = Cause::new(Code::GatewayElsewhere, Certainty::Proved, &link.name, message, action);
            return Some(cause.explains([position]));
        }
        if link.has_subnet_of(&ip) {
            return None;
        }
        let other = case.input.links.iter().find(|l| l.name != link.name && l.has_subnet_of(&ip))?;
        let message = format!("gateway {ip} of {} is in the subnet of {}", link.name, other.name);
        let action = format!("Put the route at {}", other.name);
        Some(
            Cause::new(Code::GatewayElsewhere, Certainty::Likely, &link.name, message, action)
                .explains([position]),
        )
    };
    case.failed(Code::CheckGateway).filter_map(cause).collect()
}

/// Nobody has the gateway's address, and others of its subnet answer or are heard.
pub(super) fn absent(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let (ip, link) = (check.object.parse::<IpAddr>().ok()?, case.input.link(&check.link)?);
        let neighbour = |other: &IpAddr| {
            let nets = link.addresses.iter().any(|net| net.contains(&ip) && net.contains(other));
            nets && *other != ip && !link.addresses.iter().any(|net| net.addr() == *other)
        };
        let answers =
            case.evidence.others.iter().filter(|o| o.link == link.name && neighbour(&o.ip)).map(|o| o.ip);
        // Frames of the subnet count only where they come without a tag to a link without one, and the like.
        let untagged = link.vlan.is_none();
        let mut heard =
            case.heard_under(&link.name).filter(|_| untagged).flat_map(|(_, h)| h.untagged.iter().copied());
        let answering = answers.min();
        let other = answering.or_else(|| heard.find(neighbour))?;
        let how = if answering.is_some() { "answers" } else { "is heard" };
        let certainty = if answering.is_some() { Certainty::Proved } else { Certainty::Likely };
        let message = format!("nobody has gateway {ip} on {}, while {other} {how}", link.name);
        let action = "Correct the gateway in the description, or bring that router up";
        Some(Cause::new(Code::GatewayAbsent, certainty, &link.name, message, action).explains([position]))
    };
    case.failed(Code::CheckGateway).filter_map(cause).collect()
}

/// Nothing of the gateway's subnet is heard on a link with carrier.
pub(super) fn silent(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let link = case.input.link(&check.link)?;
        case.heard_under(&link.name).next()?;
        let heard = || case.heard_under(&link.name).map(|(_, heard)| heard);
        let own = |ip: &IpAddr| link.has_subnet_of(ip);
        let answers = case.evidence.others.iter().any(|o| o.link == link.name);
        if answers || heard().flat_map(|h| &h.untagged).any(own) {
            return None;
        }
        let lldp = heard().find_map(|h| h.lldp.as_ref());
        let at = lldp.map_or_else(String::new, |l| format!(" (port {} of {})", l.port, l.switch));
        // Link-local addresses are everywhere, and tell nothing of a subnet.
        let foreign = heard().flat_map(|h| &h.untagged).find(|ip| !is_link_local(ip));
        let (certainty, what) = match foreign {
            _ if heard().all(|h| h.frames == 0) => (Certainty::Likely, String::new()),
            Some(ip) => (Certainty::Likely, format!("; {ip} of another subnet is heard")),
            None => (Certainty::Possible, "; other machines are heard".to_owned()),
        };
        let subnet = link.addresses.iter().find(|net| net.addr().is_ipv4() == check.object.contains('.'));
        let subnet = subnet.map_or_else(String::new, |net| format!(" of {}", net.trunc()));
        let message = format!("nothing{subnet} answers on {}{at}, which has carrier{what}", link.name);
        let action = "Check the port's VLAN, the subnet, and whether the cable is in the right port";
        Some(Cause::new(Code::NothingAnswers, certainty, &link.name, message, action).explains([position]))
    };
    case.failed(Code::CheckGateway).filter_map(cause).collect()
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The switch's port was held back by the spanning tree, or still is.
pub(super) fn stp_delay(case: &Case<'_>) -> Vec<Cause> {
    /// A port without the delay forwards within a few seconds of carrier.
    const DELAY_MS: u64 = 10_000;
    let mut causes: Vec<Cause> = Vec::new();
    for (position, check) in case.checks.iter().enumerate().filter(|(_, c)| c.code == Code::CheckGateway) {
        let Some((nic, stp)) =
            case.heard_under(&check.link).find_map(|(nic, h)| Some((nic, h.stp.as_ref()?)))
        else {
            continue;
        };
        let since = case.evidence.carrier_ms.get(nic).copied().unwrap_or(0);
        let found =
            check.object.parse().ok().and_then(|ip| case.evidence.gateway(&check.link, &ip)?.found_ms);
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

/// Small packets pass and full ones do not.
pub(super) fn mtu_black_hole(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let ip = check.object.parse().ok()?;
        let gateway = case.evidence.gateway(&check.link, &ip)?;
        let (tried, passed) = (gateway.tried?, gateway.largest);
        let some = passed.map_or_else(|| "only small ones".to_owned(), |p| format!("packets of {p} bytes"));
        let message = format!("{} sends {tried} bytes, and {some} reach gateway {ip}", check.link);
        let action = match passed {
            Some(passed) => format!("Raise the MTU on the switch and at {ip}, or describe MTU {passed}"),
            None => format!("Raise the MTU on the switch and at {ip}, or describe a smaller one"),
        };
        Some(
            Cause::new(Code::MtuBlackHole, Certainty::Likely, &check.link, message, action)
                .explains([position]),
        )
    };
    case.failed(Code::CheckPathMtu).filter_map(cause).collect()
}
