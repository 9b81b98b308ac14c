//! What can be decided only when all links are read: ports of bridges, ends of veth pairs, what depends on a link that
//! was left out.

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::{Desired, Kind, Link, LinkRef, Place, Route};

use super::{PortOption, Reader, link};

/// Completes the description, as far as it concerns this format alone.
pub(super) fn finish(reader: Reader<'_>) -> Desired {
    let Reader { diags, mut links, left_out, ports, .. } = reader;
    pairs(&mut links, diags);
    fall(&mut links, left_out, diags);
    bridge_ports(&mut links, ports, diags);
    vrf_gateways(&mut links);
    Desired { links, closed: true, ..Desired::default() }
}

/// netplan forces a VRF's table on its routes and rules and refuses another one.
pub(super) fn vrf_tables(vrf: &mut Link, table: u32, diags: &mut Vec<Diagnostic>) {
    let id = vrf.id.clone();
    let mut wrong = |what: &str, written: u32, at: Place| {
        let message = format!("{what} of VRF \"{id}\" names table {written}: using the VRF's table, {table}");
        diags.push(
            Diagnostic::new(Code::OptionConflict, at, message)
                .severity(Severity::Error)
                .hint("leave the table out: it is the VRF's"),
        );
    };
    for route in &mut vrf.routes {
        if let Some(written) = route.table.filter(|written| *written != table) {
            wrong("a route", written, route.at);
        }
        route.table = Some(table);
    }
    for rule in &mut vrf.rules {
        if !matches!(rule.table, super::MAIN_TABLE) && rule.table != table {
            wrong("a rule", rule.table, rule.at);
        }
        rule.table = table;
    }
}

/// The kernel looks up the gateway of a VRF's route in the VRF's table and puts the route on the member that leads
/// there: it is planned there directly. A route stays on the VRF if no member has the gateway's subnet.
pub(in crate::format) fn vrf_gateways(links: &mut [Link]) {
    let mut moved: Vec<(String, Route)> = Vec::new();
    let subnets: HashMap<String, Vec<IpNet>> =
        links.iter().map(|l| (l.id.clone(), l.addresses.iter().map(|a| a.net.trunc()).collect())).collect();
    for vrf in links.iter_mut().filter(|l| l.kind == Kind::Vrf) {
        let members = std::mem::take(&mut vrf.members);
        vrf.routes.retain(|route| {
            let Some(via) = route.via else { return true };
            let leads_there = |member: &&LinkRef| {
                subnets.get(&member.value).is_some_and(|nets| nets.iter().any(|net| net.contains(&via)))
            };
            let Some(member) = members.iter().find(leads_there) else { return true };
            moved.push((member.value.clone(), route.clone()));
            false
        });
        vrf.members = members;
    }
    let index: HashMap<String, usize> = links.iter().enumerate().map(|(i, l)| (l.id.clone(), i)).collect();
    for (member, route) in moved {
        if let Some(link) = index.get(&member).and_then(|i| links.get_mut(*i)) {
            link.routes.push(route);
        }
    }
}

/// Both ends of a veth pair name each other.
fn pairs(links: &mut [Link], diags: &mut Vec<Diagnostic>) {
    let ends: HashMap<String, (Kind, Option<String>)> =
        links.iter().map(|l| (l.id.clone(), (l.kind, l.peer.as_ref().map(|p| p.value.clone())))).collect();
    for link in links.iter_mut().filter(|l| l.kind == Kind::Veth) {
        let Some(peer) = &link.peer else {
            let message = format!("veth \"{}\" has no peer", link.id);
            diags.push(
                Diagnostic::new(Code::MissingKey, link.at, message).hint("add peer: the id of the other end"),
            );
            continue;
        };
        let why = match ends.get(&peer.value) {
            _ if peer.value == link.id => "is itself",
            Some((Kind::Veth, back)) if back.as_ref() == Some(&link.id) => continue,
            Some((Kind::Veth, _)) => "names another peer",
            Some(_) => "is not a virtual-ethernet",
            // Dangling: reported with all the others.
            None => continue,
        };
        let message = format!("the peer \"{}\" of veth \"{}\" {why}", peer.value, link.id);
        diags.push(
            Diagnostic::new(Code::BadMember, peer.at, message)
                .hint("two virtual-ethernets must name each other as peer"),
        );
        link.peer = None;
    }
}

/// Also leaves out the links above, and distinguishes them from dangling references.
fn fall(links: &mut Vec<Link>, mut left_out: HashSet<String>, diags: &mut Vec<Diagnostic>) {
    for link in links.iter().filter(|l| l.kind == Kind::Veth && l.peer.is_none()) {
        left_out.insert(link.id.clone());
    }
    links.retain(|link| !(link.kind == Kind::Veth && link.peer.is_none()));
    loop {
        let before = left_out.len();
        links.retain(|link| {
            let lost = [&link.parent, &link.peer].into_iter().flatten().find(|r| left_out.contains(&r.value));
            let Some(lost) = lost else { return true };
            let message = format!("\"{}\" is left out: its link \"{}\" is", link.id, lost.value);
            diags.push(Diagnostic::new(Code::LeftOut, lost.at, message));
            left_out.insert(link.id.clone());
            false
        });
        if left_out.len() == before {
            break;
        }
    }
    for link in links.iter_mut() {
        let (id, noun) = (link.id.clone(), link.kind.noun());
        link.members.retain(|member| {
            let lost = left_out.contains(&member.value);
            if lost {
                let message =
                    format!("{noun} \"{id}\" is created without \"{}\", which was left out", member.value);
                diags.push(Diagnostic::new(Code::LeftOut, member.at, message));
            }
            !lost
        });
    }
}

/// Sets the options of ports from their bridge and from themselves.
fn bridge_ports(links: &mut [Link], options: Vec<PortOption>, diags: &mut Vec<Diagnostic>) {
    let bridges: HashMap<String, String> = links
        .iter()
        .filter(|l| l.kind == Kind::Bridge)
        .flat_map(|l| l.members.iter().map(|m| (m.value.clone(), l.id.clone())))
        .collect();
    for link in links.iter_mut() {
        if !bridges.contains_key(&link.id) {
            for (option, setting) in std::mem::take(&mut link.port.0) {
                let key = link::PORT.iter().find(|(_, o)| *o == option).map_or(option, |(key, _)| key);
                let message = format!("{key} has no effect: \"{}\" is in no bridge", link.id);
                diags.push(Diagnostic::new(Code::OptionIgnored, setting.at, message));
            }
        }
    }
    let index: HashMap<String, usize> = links.iter().enumerate().map(|(i, l)| (l.id.clone(), i)).collect();
    for PortOption { bridge, port, key, row, value } in options {
        let there = index.get(&port.value).and_then(|i| links.get_mut(*i));
        let code = if there.is_some() { Code::OptionIgnored } else { Code::DanglingReference };
        if let Some(link) = there.filter(|_| bridges.get(&port.value) == Some(&bridge)) {
            link.port.set(row, value.value, value.at);
            continue;
        }
        let message = format!("{key} names \"{}\", which is not a member of \"{bridge}\"", port.value);
        diags.push(
            Diagnostic::new(code, port.at, message)
                .hint(format!("add it to the interfaces of \"{bridge}\", or remove it here")),
        );
    }
}
