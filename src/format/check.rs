//! Checks on a [`Desired`] from any format: references, names, stacking, options, routes.
//!
//! [`check`] repairs what has one sensible reading and reports it, and leaves out contradictions with everything that
//! depends on them. Afterwards every reference is the id of an existing link, and no link depends on itself.

mod bridge_vlans;
pub(super) mod references;
mod routes;
mod stacking;

use std::collections::BTreeMap;

use foldhash::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::model::attribute::{self, Attribute, OptionValue};
use crate::model::{BondMode, Desired, Family, Kind, Link, Located, Mtu, Naming, Place, Settings};

/// The maximum number of links. A link takes a hundred times the memory of the few bytes that request one, and a
/// machine with every VLAN has four thousand.
const MAX_LINKS: usize = 10_000;

/// All checks, in order.
pub(super) fn check(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let had_links = !desired.links.is_empty();
    limit(desired, diags);
    references::unique_ids(desired, diags);
    references::one_link_for_a_mac(desired, diags);
    let memberless = stacking::memberless(desired);
    references::resolve(desired, diags);
    limit(desired, diags);
    stacking::check(desired, &memberless, diags);
    unique_names(desired, diags);
    for link in &mut desired.links {
        numbers(link, diags);
        mtu_of_ipv6(link, diags);
        parameters_of_nics(link, diags);
    }
    for link in desired.links.iter_mut().filter(|l| l.kind == Kind::Bond) {
        bond_options(link, desired.closed, diags);
    }
    bridge_vlans::of_bridges(desired);
    bond_mtus(desired, diags);
    member_options(desired, diags);
    vlan_mtus(desired, diags);
    stacking::networks_of_members(desired, diags);
    routes::addresses(desired, diags);
    let assumed = routes::gateways(desired, diags);
    routes::sources(desired, diags);
    routes::numbers(desired, diags);
    routes::one_route_for_a_key(desired, &assumed, diags);
    if had_links && desired.links.is_empty() {
        let message = "nothing in the description can be used: every link of it was left out";
        diags.push(Diagnostic::new(Code::NothingUsable, Place::NONE, message));
    }
}

/// Discards a description with more links than any machine has.
fn limit(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    if let Some(link) = desired.links.get(MAX_LINKS) {
        diags.push(Diagnostic::new(Code::TooLarge, link.at, "more than 10,000 links"));
        desired.links = Vec::new();
    }
}

/// No two links may have the same interface name.
fn unique_names(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, Place> = HashMap::default();
    for link in &mut desired.links {
        let (Naming::Set(name) | Naming::Alternative(name)) = &link.naming else { continue };
        let Some(first) = seen.get(name.value.as_str()) else {
            seen.insert(name.value.to_string(), name.at);
            continue;
        };
        let message =
            format!("the name {} is given to another link already (line {})", name.value, first.line);
        diags.push(
            Diagnostic::new(Code::DuplicateName, name.at, message).hint("give each link a name of its own"),
        );
        link.naming = if link.kind == Kind::Physical { Naming::Keep } else { Naming::Generate };
    }
}

/// Only NICs have a speed, rings and flow control.
fn parameters_of_nics(link: &mut Link, diags: &mut Vec<Diagnostic>) {
    if link.kind == Kind::Physical {
        return;
    }
    for (name, setting) in std::mem::take(&mut link.tuning).0 {
        let message = format!("\"{}\": {name} has no effect: only NICs have it", link.id);
        diags.push(Diagnostic::new(Code::OptionIgnored, setting.at, message));
    }
}

/// Bridge options that are times in 1/100 s.
const BRIDGE_TIMES: &[&str] = &["forward_delay", "hello_time", "max_age", "ageing_time"];
/// The kernel's range for the forward delay with the spanning tree on (br_set_forward_delay), in 1/100 s.
const FORWARD_DELAY: (i64, i64) = (200, 3000);

/// Leaves out numbers that the kernel refuses, which would cost the whole link.
fn numbers(link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let spanning_tree = link.settings.get("stp_state") == Some(&OptionValue::Bool(true));
    let (kind, id) = (link.kind, link.id.clone());
    let rows = kind.attributes();
    link.settings.0.retain(|name, setting| {
        let OptionValue::Number(number) = setting.value else { return true };
        let row = rows.iter().find(|row| row.name == *name);
        let range = match *name {
            "forward_delay" if spanning_tree => Some(FORWARD_DELAY),
            _ => row.map(attribute::Attribute::range),
        };
        let Some((low, high)) = range.filter(|(low, high)| !(low..=high).contains(&&number)) else {
            return true;
        };
        let is_time = kind == Kind::Bridge && BRIDGE_TIMES.contains(name);
        let shown = |number: i64| match is_time {
            true => format!("{}", number as f64 / 100.0),
            false => number.to_string(),
        };
        let message =
            format!("{name} {} of {} \"{id}\" is out of range, left out", shown(number), kind.noun());
        let unit = if is_time { " seconds" } else { "" };
        let hint = format!("the kernel accepts {} to {}{unit}", shown(low), shown(high));
        diags.push(Diagnostic::new(Code::BadValue, setting.at, message).hint(hint));
        false
    });
}

/// Leaves out an MTU with which the kernel refuses the link's IPv6 addresses (ipv6_add_dev).
fn mtu_of_ipv6(link: &mut Link, diags: &mut Vec<Diagnostic>) {
    const LEAST: u32 = 1280;
    let is_v6 = |family: Family| family == Family::V6;
    let has_v6 = link.addresses.iter().any(|address| is_v6(Family::of(&address.net.addr())))
        || link.dynamic.iter().any(|dynamic| is_v6(dynamic.value.family()))
        || link.routes.iter().any(|route| is_v6(route.family()));
    if let Some(mtu) = link.mtu.take_if(|mtu| has_v6 && mtu.value.get() < LEAST) {
        let message = format!("MTU {} of \"{}\" is too small for its IPv6, left out", mtu.value, link.id);
        let hint = format!("IPv6 needs {LEAST} bytes: raise the MTU, or remove what is IPv6");
        diags.push(Diagnostic::new(Code::BadValue, mtu.at, message).hint(hint));
    }
}

/// Leaves out the options that a bond of this mode does not have.
fn of_mode(
    settings: &mut Settings,
    rows: &[Attribute],
    mode: BondMode,
    bond: &str,
    diags: &mut Vec<Diagnostic>,
) {
    settings.0.retain(|name, setting| {
        let is_refused =
            |row: &Attribute| row.name == *name && !row.modes.is_empty() && !row.modes.contains(&mode);
        let refused = rows.iter().any(is_refused);
        if refused {
            let message = format!("bond \"{bond}\": mode {mode} has no {name}, left out");
            diags.push(Diagnostic::new(Code::OptionIgnored, setting.at, message));
        }
        !refused
    });
}

/// The same for a bond's members.
fn member_options(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let bonds = desired.links.iter().filter(|link| link.kind == Kind::Bond);
    let of_bond = |bond: &Link| {
        let (id, mode) = (bond.id.clone(), bond.settings.bond_mode().unwrap_or_default());
        let members: Vec<_> =
            bond.members.iter().map(|member| (member.value.clone(), (id.clone(), mode))).collect();
        members
    };
    let bonds: HashMap<String, (String, BondMode)> = bonds.flat_map(of_bond).collect();
    for link in &mut desired.links {
        if let Some((bond, mode)) = bonds.get(&link.id) {
            of_mode(&mut link.port, attribute::of_port(Kind::Bond), *mode, bond, diags);
        }
    }
}

/// Options that the bond's mode does not have, that exclude each other or that are missing.
fn bond_options(bond: &mut Link, closed: bool, diags: &mut Vec<Diagnostic>) {
    if bond.settings.get("mode").is_none() && !closed {
        let message = format!("bond \"{}\" has no mode: using the kernel's default, balance-rr", bond.id);
        diags.push(
            Diagnostic::new(Code::MissingBondMode, bond.at, message)
                .hint("name the mode that the switch is set up for: 802.3ad for LACP, else active-backup"),
        );
    }
    let mode = bond.settings.bond_mode().unwrap_or_default();
    of_mode(&mut bond.settings, bond.kind.attributes(), mode, &bond.id, diags);
    monitoring(bond, mode, diags);
    // The kernel silently accepts another address but does not set it (bond_set_mac_address).
    let policy = bond.settings.word("fail_over_mac").filter(|policy| *policy != "none");
    if let (Some(policy), BondMode::ActiveBackup, Some(mac)) = (policy, mode, bond.mac) {
        let message = format!(
            "bond \"{}\": with fail_over_mac {policy} it has its active member's address, the described one left out",
            bond.id
        );
        diags.push(Diagnostic::new(Code::OptionIgnored, mac.at, message));
        bond.mac = None;
    }
}

/// The kernel monitors links by MII or by ARP, and in some modes forces MII at 100 ms (bond_option_mode_set).
fn monitoring(bond: &mut Link, mode: BondMode, diags: &mut Vec<Diagnostic>) {
    let set = |bond: &Link, name: &str| bond.settings.number(name).is_some_and(|n| n > 0);
    let forced = matches!(mode, BondMode::Lacp | BondMode::BalanceTlb | BondMode::BalanceAlb);
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
                diags.push(Diagnostic::new(Code::OptionConflict, setting.at, message));
            }
        }
    } else if !forced && bond.settings.get("miimon").is_none() {
        let message = format!("bond \"{}\" would not notice a lost link: using miimon 100", bond.id);
        diags.push(
            Diagnostic::new(Code::NoLinkMonitoring, bond.at, message)
                .hint("set miimon, or arp_interval and arp_ip_target"),
        );
        if let Some(miimon) = crate::model::attribute::of(Kind::Bond, "miimon") {
            bond.settings.set(miimon, OptionValue::Number(100), bond.at);
        }
    }
}

/// A member gets its bond's MTU when it joins (bond_enslave), so a bond without one gets its members'.
fn bond_mtus(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let mtus: HashMap<String, (Mtu, Place)> =
        desired.links.iter().filter_map(|l| l.mtu.map(|m| (l.id.clone(), (m.value, m.at)))).collect();
    let mut joined: HashMap<String, (Mtu, String)> = HashMap::default();
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
            diags.push(
                Diagnostic::new(Code::MemberMtu, own.at, message)
                    .hint("give the bond and its members one MTU"),
            );
        }
        if member.mtu.is_none() {
            member.mtu = Some(Located::new(*mtu, member.at));
        }
    }
}

/// The kernel refuses a VLAN whose MTU is larger than its parent's (vlan_dev_change_mtu): a parent without one gets the
/// largest of its VLANs', and a VLAN gets the smaller one.
fn vlan_mtus(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let index: HashMap<String, usize> =
        desired.links.iter().enumerate().map(|(i, l)| (l.id.clone(), i)).collect();
    let vlans: Vec<(usize, usize, Located<Mtu>)> = desired
        .links
        .iter()
        .enumerate()
        .filter(|(_, l)| l.kind == Kind::Vlan)
        .filter_map(|(i, l)| Some((i, *index.get(&l.parent.as_ref()?.value)?, l.mtu?)))
        .collect();
    let mut largest: BTreeMap<usize, (usize, Located<Mtu>)> = BTreeMap::new();
    for (vlan, below, mtu) in vlans.iter().filter(|(_, _, mtu)| mtu.value.get() > 1500) {
        let first = largest.entry(*below).or_insert((*vlan, *mtu));
        if first.1.value < mtu.value {
            *first = (*vlan, *mtu);
        }
    }
    for (below, (vlan, mtu)) in largest {
        let [id, parent] = [vlan, below].map(|i| desired.links.get(i).map_or("", |l| &l.id));
        let message = format!(
            "VLAN \"{id}\" has MTU {0}, \"{parent}\" below it has none: using {0} for both",
            mtu.value
        );
        let hint = format!("set the MTU of \"{parent}\"");
        if raise(desired, &index, below, mtu) {
            diags.push(Diagnostic::new(Code::VlanMtu, mtu.at, message).hint(hint));
        }
    }
    for (vlan, below, mtu) in vlans {
        let Some(parent) = desired.links.get(below) else { continue };
        let Some(lower) = parent.mtu.filter(|lower| lower.value < mtu.value) else { continue };
        let parent = parent.id.clone();
        let Some(link) = desired.links.get_mut(vlan) else { continue };
        link.mtu = Some(Located::new(lower.value, mtu.at));
        let message = format!(
            "VLAN \"{}\" has MTU {}, over the {} of \"{parent}\" below it: using {2}",
            link.id, mtu.value, lower.value
        );
        diags.push(
            Diagnostic::new(Code::VlanMtu, mtu.at, message).hint(format!("raise the MTU of \"{parent}\"")),
        );
    }
}

/// Sets the MTU of a link that has none, with a bond's members and a VLAN's parent. False if it has one.
fn raise(desired: &mut Desired, index: &HashMap<String, usize>, link: usize, mtu: Located<Mtu>) -> bool {
    let mut next = Some(link);
    let mut raised = false;
    while let Some(link) = next.take().and_then(|i| desired.links.get_mut(i)).filter(|l| l.mtu.is_none()) {
        link.mtu = Some(mtu);
        raised = true;
        next = link.parent.as_ref().and_then(|parent| index.get(&parent.value)).copied();
        let members = if link.kind == Kind::Bond { link.members.clone() } else { Vec::new() };
        for member in members.iter().filter_map(|m| index.get(&m.value)) {
            if let Some(member) = desired.links.get_mut(*member) {
                member.mtu = Some(mtu);
            }
        }
    }
    raised
}

#[cfg(test)]
mod tests;
