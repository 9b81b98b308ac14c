//! Causes at a bond: LACP partners, modes, speeds.

use super::{Case, Cause, Certainty, list};
use crate::diagnostic::{Code, Severity};
use crate::kernel::live::BondPort;
use crate::model::{BondMode, Kind, MacAddr};
use crate::order::Order as _;
use crate::verify::checks::{Check, Subject};
use crate::verify::input::DesiredLink;
use crate::verify::words::speed_words;

/// A member's partner, according to LACP.
struct Member<'a> {
    name: &'a str,
    position: Option<usize>,
    partner: Option<(MacAddr, Option<u16>)>,
}

/// LACP is not negotiated, or not on all members, or not with one partner.
pub(super) fn lacp(case: &Case<'_>) -> Vec<Cause> {
    let bonds = case.index.links.iter().filter(|l| l.kind == Kind::Bond);
    bonds.filter_map(|bond| one_lacp(case, bond)).collect()
}

fn one_lacp(case: &Case<'_>, bond: &DesiredLink) -> Option<Cause> {
    let members: Vec<Member<'_>> = members(case, bond);
    let failed: Vec<usize> = members.iter().filter_map(|m| m.position).collect();
    if failed.is_empty() {
        return None;
    }
    let mut partners: Vec<(MacAddr, Option<u16>)> = members.iter().filter_map(|m| m.partner).collect();
    partners.order();
    partners.dedup();
    let without = || members.iter().filter(|m| m.partner.is_none()).map(|m| m.name);
    let name = &bond.name;
    let cause = match partners.as_slice() {
        [] => {
            let message = format!("{name} speaks LACP, and nobody answers on {}", list(without()));
            let action = "Put the switch's ports into one LACP LAG, or describe another bond mode";
            Cause::new(Code::LacpNoPartner, silence(case, without()), name, message, action)
        }
        [(partner, _)] if without().next().is_some() => {
            let message = format!("{name}: no LACP partner on {}, {partner} on the others", list(without()));
            let ports = list(without().map(|nic| port(case, nic)));
            let action = format!("Put {ports} into the same LAG, or check which port the cable is in");
            Cause::new(Code::LacpPartnerOnSome, silence(case, without()), name, message, action)
        }
        [_] => {
            let message =
                format!("{name}: the LACP partner does not take {} in", list(failing(case, &members)));
            let action = "Check speed, VLANs and minimum of links of the switch's LAG";
            Cause::new(Code::LacpNotThrough, Certainty::Likely, name, message, action)
        }
        [..] => {
            let each =
                members.iter().filter_map(|m| Some(format!("{} to {}", m.name, who(m.partner?, &partners))));
            let message = format!("{name} has two LACP partners: {}", list(each));
            let action = "Cable all members to one LAG, or join the switches (MLAG, vPC)";
            Cause::new(Code::LacpTwoPartners, Certainty::Proved, name, message, action)
        }
    };
    Some(cause.explains(failed))
}

/// Slow LACP sends every 30 s: silence is meaningful only after that.
fn silence<'a>(case: &Case<'_>, mut nics: impl Iterator<Item = &'a str>) -> Certainty {
    const SLOW_MS: u64 = 31_000;
    let since = |nic: &str| case.evidence.carrier_ms.get(nic).copied().unwrap_or(0);
    let long = nics.all(|nic| case.evidence.elapsed_ms.saturating_sub(since(nic)) >= SLOW_MS);
    if long { Certainty::Proved } else { Certainty::Likely }
}

/// The switch port by the name it announces, else by the NIC that it is cabled to.
fn port(case: &Case<'_>, nic: &str) -> String {
    match case.evidence.heard.get(nic).and_then(|heard| heard.lldp.as_ref()) {
        Some(lldp) => format!("port {} of {}", lldp.port, lldp.switch),
        None => format!("the switch's port of {nic}"),
    }
}

fn failing<'a>(case: &Case<'a>, members: &[Member<'a>]) -> Vec<&'a str> {
    let failed = members.iter().filter(|m| m.position.and_then(|at| case.checks.get(at)).is_some());
    failed.map(|m| m.name).collect()
}

/// The partner, with its key if one system has two LAGs.
fn who((mac, key): (MacAddr, Option<u16>), all: &[(MacAddr, Option<u16>)]) -> String {
    match key {
        Some(key) if all.iter().filter(|(other, _)| *other == mac).count() > 1 => {
            format!("{mac} (LAG key {key})")
        }
        _ => mac.to_string(),
    }
}

fn members<'a>(case: &Case<'a>, bond: &'a DesiredLink) -> Vec<Member<'a>> {
    let member = |name: &'a String| {
        let state = case.evidence.link(name).filter(|l| l.carrier)?;
        let port = state.bond_port.as_ref()?;
        let check =
            |(_, c): &(usize, &Check)| c.link == bond.name && c.subject == Subject::Member(name.clone());
        let position = case.failed(Code::CheckLacp).find(check).map(|(position, _)| position);
        Some(Member { name, position, partner: partner(case, name, port) })
    };
    bond.members.iter().filter_map(member).collect()
}

/// The partner from the kernel's LACP state, else as it was heard.
fn partner(case: &Case<'_>, name: &str, port: &BondPort) -> Option<(MacAddr, Option<u16>)> {
    if let Some(mac) = port.partner {
        return Some((mac, port.partner_key));
    }
    let lacp = case.evidence.heard.get(name)?.lacp.as_ref()?;
    Some((lacp.system, Some(lacp.key)))
}

/// LACP is heard on a link that does not run it.
pub(super) fn switch_runs_lacp(case: &Case<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for top in &case.index.links {
        let speaks = top.kind == Kind::Bond && top.mode == Some(BondMode::Lacp);
        let single = top.kind == Kind::Physical && case.index.controller_of(&top.name).is_none();
        if speaks || !(single || top.kind == Kind::Bond) {
            continue;
        }
        let heard: Vec<&str> =
            case.heard_under(&top.name).filter(|(_, h)| h.lacp.is_some()).map(|(nic, _)| nic).collect();
        if heard.is_empty() {
            continue;
        }
        // This may be why anything on top of the link fails.
        let above = |c: &Check| {
            c.is_fault() && case.index.nics_under(&c.link).iter().any(|n| heard.contains(&n.name.as_str()))
        };
        let failed: Vec<usize> =
            case.checks.iter().enumerate().filter(|(_, c)| above(c)).map(|(position, _)| position).collect();
        let mode = top.mode.map_or("a single NIC", BondMode::word);
        let message = format!("{} is {mode}, and the switch speaks LACP on {}", top.name, list(&heard));
        let action = "Describe the bond as 802.3ad, or take these ports out of the switch's LAG";
        let mut cause = Cause::new(Code::SwitchRunsLacp, Certainty::Likely, &top.name, message, action);
        if failed.is_empty() {
            cause.certainty = Certainty::Proved;
            cause.severity = Severity::Warning;
        }
        causes.push(cause.explains(failed));
    }
    causes
}

/// Members with different speeds.
pub(super) fn unequal_speed(case: &Case<'_>) -> Vec<Cause> {
    let cause = |bond: &DesiredLink| {
        let states = bond.members.iter().filter_map(|name| case.evidence.link(name)).filter(|l| l.carrier);
        let speeds: Vec<(&str, u32)> = states.filter_map(|l| Some((l.name.as_str(), l.speed?))).collect();
        let (_, first) = *speeds.first()?;
        if speeds.iter().all(|(_, speed)| *speed == first) {
            return None;
        }
        let each = list(speeds.iter().map(|(name, speed)| format!("{name} {}", speed_words(*speed))));
        let message = format!("the members of {} run at different speeds: {each}", bond.name);
        let action = "Check cables, optics and the switch's ports; members of a bond should be equal";
        Some(Cause::new(Code::UnequalSpeed, Certainty::Proved, &bond.name, message, action))
    };
    case.index.links.iter().filter(|l| l.kind == Kind::Bond).filter_map(cause).collect()
}
