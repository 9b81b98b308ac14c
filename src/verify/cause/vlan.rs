//! Causes at a VLAN: what the switch port carries, by what was heard on it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Case, Cause, Certainty, list};
use crate::diagnostic::Code;
use crate::inventory::Lldp;
use crate::model::Kind;
use crate::verify::checks::Check;
use crate::verify::evidence::{Heard, Owner};
use crate::verify::input::DesiredLink;

/// Nothing answers on a link, and what is heard on its NICs is in other VLANs or untagged.
pub(super) fn not_carried(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let link = case.index.link(&check.link)?;
        if case.passed(Code::CheckGateway, &link.name) {
            return None;
        }
        let heard = joined(case, &link.name)?;
        let (certainty, message, action) = match vlan_of(case, link) {
            Some(vlan) => tagged(case, link, vlan, &heard)?,
            None => untagged(link, &heard)?,
        };
        Some(Cause::new(Code::VlanNotCarried, certainty, &link.name, message, action).explains([position]))
    };
    case.silent_gateways().filter_map(cause).collect()
}

/// The VLAN that a link's packets travel in: its own, or that of a link below it.
fn vlan_of(case: &Case<'_>, link: &DesiredLink) -> Option<u16> {
    let below = link.parent.iter().chain(&link.members).filter_map(|name| case.index.link(name));
    let mut line = std::iter::once(link).chain(below);
    line.find(|l| l.kind == Kind::Vlan).and_then(|l| l.vlan)
}

/// What was heard on all NICs below a link, combined.
fn joined(case: &Case<'_>, link: &str) -> Option<Heard> {
    case.heard_under(link).map(|(_, heard)| heard.clone()).reduce(|mut all, heard| {
        for (vlan, count) in heard.tags {
            *all.tags.entry(vlan).or_default() += count;
        }
        all.untagged.extend(heard.untagged);
        all.frames = all.frames.saturating_add(heard.frames);
        all.lldp = all.lldp.or(heard.lldp);
        all
    })
}

type Verdict = (Certainty, String, String);

/// Why frames of a VLAN do not arrive.
fn tagged(case: &Case<'_>, link: &DesiredLink, vlan: u16, heard: &Heard) -> Option<Verdict> {
    if heard.tags.contains_key(&vlan) {
        return None;
    }
    let allow = format!("Allow VLAN {vlan} on the switch's port, or correct the VLAN id");
    if let Some(lldp) = &heard.lldp {
        if lldp.pvid == Some(vlan) {
            let message = format!("{} says that VLAN {vlan} is untagged on {}", lldp.switch, lldp.port);
            return Some((
                Certainty::Proved,
                message,
                format!("Tag VLAN {vlan} on that port, or describe the link without it"),
            ));
        }
        if !lldp.vlans.is_empty() && !lldp.vlans.contains(&vlan) {
            // Some switches announce only part of their VLANs.
            let message = format!("VLAN {vlan} is not on {}; {}", place(lldp), carried(lldp));
            return Some((Certainty::Likely, message, allow));
        }
    }
    // Heard, or found by asking on a link below.
    let lower = case.index.links_under(&link.name);
    let below = |name: &str| name != link.name && lower.iter().any(|lower| lower.name == name);
    let below = || case.evidence.others.iter().filter(|owner| below(&owner.link));
    let echoes = |owner: &&Owner| case.evidence.echoes_on(&owner.link, &owner.ip);
    if let Some(owner) = below().filter(echoes).find(|o| case.index.gateway(&link.name, o.ip).is_some()) {
        let message = format!("gateway {} answers untagged, and nothing in VLAN {vlan}", owner.ip);
        return Some((Certainty::Proved, message, tag(vlan)));
    }
    let answered = below().map(|owner| &owner.ip);
    let untagged = heard.untagged.iter().chain(answered);
    let native: Vec<_> = untagged.filter(|ip| link.has_subnet_of(ip) && !is_own(case, ip)).collect();
    let is_gateway = |ip: &&&IpAddr| case.index.gateway(&link.name, ***ip).is_some();
    if let Some(ip) = native.iter().find(is_gateway).or(native.first()) {
        // A router may answer for each of its addresses on each of its interfaces (Linux does: arp_ignore), and a heard
        // frame may be another's: it is not certain that the subnet itself is untagged here.
        let message = format!("VLAN {vlan} is not heard, and {ip} of its subnet is heard untagged");
        return Some((Certainty::Likely, message, tag(vlan)));
    }
    if !heard.tags.is_empty() {
        let message = format!("VLAN {vlan} is not heard; the port carries {}", vlans(&heard.tags));
        return Some((Certainty::Likely, message, allow));
    }
    (heard.frames > 0)
        .then(|| (Certainty::Possible, format!("VLAN {vlan} is not heard, only untagged frames"), allow))
}

/// What to do if the subnet of a VLAN seems to be untagged.
fn tag(vlan: u16) -> String {
    format!("Allow VLAN {vlan} on the switch's port, or check its untagged VLAN")
}

/// Why a link without a VLAN hears nothing of its own subnet.
fn untagged(link: &DesiredLink, heard: &Heard) -> Option<Verdict> {
    let own = heard.untagged.iter().any(|ip| link.has_subnet_of(ip));
    if own || heard.tags.is_empty() {
        return None;
    }
    let message = format!("{} has no VLAN, and the port carries {}", link.name, vlans(&heard.tags));
    let action = "Describe the intended VLAN, or make it the port's untagged one".to_owned();
    Some((Certainty::Possible, message, action))
}

fn is_own(case: &Case<'_>, ip: &std::net::IpAddr) -> bool {
    case.evidence.addresses.iter().any(|a| a.ip == *ip)
}

fn place(lldp: &Lldp) -> String {
    format!("port {} of {}", lldp.port, lldp.switch)
}

fn carried(lldp: &Lldp) -> String {
    let most = lldp.vlans.iter().take(8).map(|v| v.to_string());
    format!("it has {}", list(most))
}

/// `VLAN 100`, `VLANs 100, 200 and 300`; at most eight.
fn vlans(tags: &BTreeMap<u16, u32>) -> String {
    let noun = if tags.len() == 1 { "VLAN" } else { "VLANs" };
    let more = if tags.len() > 8 { " and more" } else { "" };
    format!("{noun} {}{more}", list(tags.keys().take(8)))
}
