//! What can be checked on a [`Desired`] whatever format it came from: references, names, stacking, options, routes.
//!
//! [`check`] repairs what has one sensible reading and says so, and leaves out what cannot work together with all that
//! stands on it. After it every reference is the id of a link that is there, and no link is its own foundation.

pub(super) mod references;
mod routes;
mod stacking;

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::model::attribute::Value;
use crate::model::{Desired, Kind, Link, Located, Mtu, Naming, Place};

/// The whole of it.
pub(super) fn check(desired: &mut Desired, said: &mut Vec<Diagnostic>) {
    let had_links = !desired.links.is_empty();
    references::unique_ids(desired, said);
    references::one_link_for_a_mac(desired, said);
    references::resolve(desired, said);
    stacking::check(desired, said);
    unique_names(desired, said);
    for link in desired.links.iter_mut().filter(|l| l.kind == Kind::Bond) {
        bond_options(link, desired.closed, said);
    }
    bond_mtus(desired, said);
    vlan_mtus(desired, said);
    stacking::networks_of_members(desired, said);
    routes::addresses(desired, said);
    let assumed = routes::gateways(desired, said);
    routes::one_route_for_a_key(desired, &assumed, said);
    if had_links && desired.links.is_empty() {
        let message = "nothing in the description can be used: every link of it was left out";
        said.push(Diagnostic::new(Code::NothingUsable, Place::NONE, message));
    }
}

/// Two links cannot have one interface name.
fn unique_names(desired: &mut Desired, said: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, Place> = HashMap::new();
    for link in &mut desired.links {
        let (Naming::Set(name) | Naming::Alternative(name)) = &link.naming else { continue };
        let Some(first) = seen.get(name.value.as_str()) else {
            seen.insert(name.value.to_string(), name.at);
            continue;
        };
        let message =
            format!("the name {} is given to another link already (line {})", name.value, first.line);
        said.push(
            Diagnostic::new(Code::DuplicateName, name.at, message).hint("give each link a name of its own"),
        );
        link.naming = if link.kind == Kind::Physical { Naming::Keep } else { Naming::Generate };
    }
}

/// Options that the bond's mode does not have, that exclude each other or that are missing.
fn bond_options(bond: &mut Link, closed: bool, said: &mut Vec<Diagnostic>) {
    if bond.settings.get("mode").is_none() && !closed {
        let message =
            format!("bond \"{}\" has no mode: the kernel's default, balance-rr, was taken", bond.id);
        said.push(
            Diagnostic::new(Code::MissingBondMode, bond.at, message)
                .hint("name the mode that the switch is set up for: 802.3ad for LACP, else active-backup"),
        );
    }
    let mode = bond.settings.word("mode").unwrap_or("balance-rr").to_owned();
    bond.settings.0.retain(|name, setting| {
        let unknown = bond
            .kind
            .attributes()
            .iter()
            .any(|a| a.name == *name && !a.modes.is_empty() && !a.modes.contains(&mode.as_str()));
        if unknown {
            let message = format!("bond \"{}\": mode {mode} has no {name}, left out", bond.id);
            said.push(Diagnostic::new(Code::OptionIgnored, setting.at, message));
        }
        !unknown
    });
    monitoring(bond, &mode, said);
}

/// The kernel monitors links by MII or by ARP, and in some modes forces MII at 100 ms (bond_option_mode_set).
fn monitoring(bond: &mut Link, mode: &str, said: &mut Vec<Diagnostic>) {
    let set = |bond: &Link, name: &str| bond.settings.number(name).is_some_and(|n| n > 0);
    let forced = matches!(mode, "802.3ad" | "balance-tlb" | "balance-alb");
    if set(bond, "arp_interval") {
        for name in ["miimon", "updelay", "downdelay", "peer_notify_delay"] {
            if !set(bond, name) {
                continue;
            }
            if let Some(setting) = bond.settings.0.remove(name) {
                let message = format!(
                    "bond \"{}\": {name} and arp_interval exclude each other, {name} left out",
                    bond.id
                );
                said.push(Diagnostic::new(Code::OptionConflict, setting.at, message));
            }
        }
    } else if !forced && bond.settings.get("miimon").is_none() {
        let message = format!("bond \"{}\" would not notice a lost link: miimon 100 was taken", bond.id);
        said.push(
            Diagnostic::new(Code::NoLinkMonitoring, bond.at, message)
                .hint("set miimon, or arp_interval and arp_ip_target"),
        );
        if let Some(miimon) = crate::model::attribute::of(Kind::Bond, "miimon") {
            bond.settings.set(miimon, Value::Number(100), bond.at);
        }
    }
}

/// A member takes its bond's MTU when it joins (bond_enslave), so a bond without one takes its members'.
fn bond_mtus(desired: &mut Desired, said: &mut Vec<Diagnostic>) {
    let mtus: HashMap<String, (Mtu, Place)> =
        desired.links.iter().filter_map(|l| l.mtu.map(|m| (l.id.clone(), (m.value, m.at)))).collect();
    let mut joined: HashMap<String, (Mtu, String)> = HashMap::new();
    for bond in desired.links.iter_mut().filter(|l| l.kind == Kind::Bond) {
        let smallest = bond.members.iter().filter_map(|m| mtus.get(&m.value)).min_by_key(|(mtu, _)| *mtu);
        if let (None, Some((mtu, at))) = (bond.mtu, smallest) {
            bond.mtu = Some(Located::new(*mtu, *at));
        }
        if let Some(mtu) = bond.mtu {
            joined.extend(bond.members.iter().map(|m| (m.value.clone(), (mtu.value, bond.id.clone()))));
        }
    }
    for member in &mut desired.links {
        let Some((mtu, bond)) = joined.get(&member.id) else { continue };
        if let Some(own) = member.mtu.take_if(|own| own.value != *mtu) {
            let message = format!(
                "\"{}\" has MTU {}, its bond \"{bond}\" {mtu}: members take the bond's",
                member.id, own.value
            );
            said.push(
                Diagnostic::new(Code::MemberMtu, own.at, message)
                    .hint("give the bond and its members one MTU"),
            );
        }
        if member.mtu.is_none() {
            member.mtu = Some(Located::new(*mtu, member.at));
        }
    }
}

/// The kernel refuses a VLAN whose MTU is larger than that of the link below (vlan_dev_change_mtu).
fn vlan_mtus(desired: &mut Desired, said: &mut Vec<Diagnostic>) {
    for i in 0..desired.links.len() {
        let Some(vlan) = desired.links.get(i).filter(|l| l.kind == Kind::Vlan) else { continue };
        let (Some(mtu), Some(parent)) = (vlan.mtu, vlan.parent.as_ref()) else { continue };
        let (id, parent) = (vlan.id.clone(), parent.value.clone());
        let Some(below) = desired.links.iter().position(|l| l.id == parent) else { continue };
        let parent_mtu = desired.links.get(below).and_then(|l| l.mtu);
        let said_so = |what: String| Diagnostic::new(Code::VlanMtu, mtu.at, what);
        match parent_mtu {
            Some(lower) if lower.value < mtu.value => {
                let message = format!(
                    "VLAN \"{id}\" has MTU {}, over the {} of \"{parent}\" below it: {} was taken",
                    mtu.value, lower.value, lower.value
                );
                said.push(said_so(message).hint(format!("raise the MTU of \"{parent}\"")));
                if let Some(link) = desired.links.get_mut(i) {
                    link.mtu = Some(Located::new(lower.value, mtu.at));
                }
            }
            None if mtu.value.get() > 1500 => {
                let message = format!(
                    "VLAN \"{id}\" has MTU {0}, \"{parent}\" below it has none: it was given {0}, too",
                    mtu.value
                );
                said.push(said_so(message).hint(format!("set the MTU of \"{parent}\"")));
                raise(desired, below, mtu.value, mtu.at);
            }
            _ => {}
        }
    }
}

/// Gives a link, and where it is a bond its members, at least this MTU.
fn raise(desired: &mut Desired, index: usize, mtu: Mtu, at: Place) {
    let Some(link) = desired.links.get_mut(index) else { return };
    link.mtu = Some(Located::new(mtu, at));
    if link.kind == Kind::Bond {
        let members: Vec<String> = link.members.iter().map(|m| m.value.clone()).collect();
        for member in desired.links.iter_mut().filter(|l| members.contains(&l.id)) {
            member.mtu = Some(Located::new(mtu, at));
        }
    }
}

#[cfg(test)]
mod tests;
