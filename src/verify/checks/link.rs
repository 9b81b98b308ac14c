//! The checks of links, from the wire upwards: present, up, carrier, members, LACP, forwarding.

use super::{Base, Judge, Outcome, Subject};
use crate::diagnostic::Code;
use crate::kernel::live::LinkState;
use crate::model::{BondMode, Kind, MacAddr};
use crate::verify::input::DesiredLink;
use crate::verify::words::speed_words;

/// More changes of carrier than a NIC has that comes up, or is set down once.
pub(in crate::verify) const FLAPS: u32 = 6;

impl<'a> Judge<'a> {
    /// The checks of a link itself, after those of the links below it. `depth` breaks a cycle, which no description
    /// should have.
    pub(super) fn base(&mut self, link: &'a DesiredLink, depth: usize) -> Base {
        if let Some(base) = self.bases.get(link.name.as_str()) {
            return *base;
        }
        let mut below = Vec::new();
        if depth < 8 {
            let names = link.members.iter().chain(&link.parent);
            let links: Vec<_> = names.filter_map(|name| self.index.link(name)).collect();
            below = links.into_iter().map(|l| self.base(l, depth + 1)).collect();
        }
        let base = self.link(link, &below);
        self.bases.insert(&link.name, base);
        base
    }

    fn link(&mut self, link: &'a DesiredLink, below: &[Base]) -> Base {
        let name = link.name.as_str();
        // The loopback link always exists.
        if self.evidence.links.is_empty() {
            let finding = "the kernel's links cannot be read".to_owned();
            return Base::Blocked(self.add(
                Code::CheckPresent,
                name,
                Subject::Whole,
                Outcome::Unknown,
                finding,
            ));
        }
        let Some(state) = self.state(name).filter(|_| !link.missing) else {
            let of_mac = |mac: MacAddr| {
                let is_it = move |l: &&LinkState| l.permanent_mac == Some(mac) || l.mac == Some(mac);
                let nics = self.evidence.links.iter();
                nics.filter(|l| l.kind.is_hardware() || l.kind.is(Kind::Veth)).filter(is_it)
            };
            let late = link.mac.and_then(|mac| of_mac(mac).next());
            let finding = match (&link.mac, link.kind) {
                (Some(mac), Kind::Physical) if of_mac(*mac).count() > 1 => {
                    format!("several NICs have the MAC address {mac}")
                }
                (Some(_), Kind::Physical) if late.is_some() => {
                    format!("came too late, as {}", late.map_or("", |l| l.name.as_str()))
                }
                (Some(mac), Kind::Physical) => format!("no NIC with MAC {mac}"),
                (_, Kind::Physical) => "no such NIC".to_owned(),
                _ => "the link does not exist".to_owned(),
            };
            let at = self.add(Code::CheckPresent, name, Subject::Whole, Outcome::Failed, finding);
            return Base::Blocked(at);
        };
        let called = state.renamed.as_ref().map_or_else(String::new, |called| format!(", called {called}"));
        self.add(Code::CheckPresent, name, Subject::Whole, Outcome::Passed, format!("is there{called}"));
        if !link.up {
            return Base::Idle;
        }
        let up = self.require(Code::CheckUp, name, Subject::Whole, state.up, up_words(state.up).to_owned());
        if let Some(wanted) = link.mtu {
            let finding = format!("MTU {} of {wanted}", state.mtu);
            self.require(Code::CheckMtu, name, Subject::Whole, state.mtu == wanted, finding);
        }
        if let Base::Blocked(_) = up {
            return up;
        }
        match link.kind {
            Kind::Physical => self.nic(link, state),
            Kind::Bond => self.bond(link, state, below),
            Kind::Bridge => self.bridge(link, state, below),
            Kind::Vlan | Kind::Macvlan => self.upper(link, state, below),
            _ => below.iter().copied().find(|b| matches!(b, Base::Blocked(_))).unwrap_or(Base::Usable),
        }
    }

    fn nic(&mut self, link: &DesiredLink, state: &LinkState) -> Base {
        let name = link.name.as_str();
        if link.ignore_carrier && !state.carrier {
            self.add(
                Code::CheckCarrier,
                name,
                Subject::Whole,
                Outcome::NotChecked,
                "no carrier, ignored as described".into(),
            );
            return Base::Idle;
        }
        if state.full_duplex == Some(false) && state.carrier {
            self.add(Code::CheckDuplex, name, Subject::Whole, Outcome::Failed, "half duplex".into());
        }
        let changes = self.evidence.flaps.get(name).copied().unwrap_or(0);
        if changes >= FLAPS {
            let finding = format!("carrier came and went {} times", changes / 2);
            return Base::Blocked(self.add(
                Code::CheckCarrier,
                name,
                Subject::Whole,
                Outcome::Failed,
                finding,
            ));
        }
        let finding = match state.speed.filter(|_| state.carrier) {
            Some(speed) => format!("carrier, {}", speed_words(speed)),
            None if state.carrier => "carrier".to_owned(),
            None => "no carrier".to_owned(),
        };
        self.require(Code::CheckCarrier, name, Subject::Whole, state.carrier, finding)
    }

    fn bond(&mut self, link: &DesiredLink, state: &LinkState, below: &[Base]) -> Base {
        let name = link.name.as_str();
        let Some(bond) = &state.bond else {
            let finding = format!("{name} is not a bond");
            return Base::Blocked(self.add(Code::CheckMode, name, Subject::Whole, Outcome::Failed, finding));
        };
        let mode = bond.mode.map_or("unknown", BondMode::word);
        if let Some(wanted) = link.mode {
            let finding = format!("mode {mode} of {wanted}");
            self.require(Code::CheckMode, name, Subject::Whole, bond.mode == Some(wanted), finding);
        }
        for member in &link.members {
            let Some(port) = self.state(member) else { continue };
            let holds = port.controller.as_deref() == Some(name);
            let finding = if holds { "is a member" } else { "is not a member" };
            self.require(Code::CheckMember, name, Subject::Member(member.clone()), holds, finding.to_owned());
            let has_carrier = self.index.link(member).is_some() && port.carrier;
            if holds && has_carrier && bond.mode == Some(BondMode::Lacp) {
                let (holds, finding) = lacp(state, port);
                self.require(Code::CheckLacp, name, Subject::Member(member.clone()), holds, finding);
            }
        }
        if !below.is_empty() && below.iter().all(|b| matches!(b, Base::Blocked(_))) {
            let root = below.iter().find_map(|b| if let Base::Blocked(at) = b { Some(*at) } else { None });
            self.blocked(Code::CheckCarrier, name, Subject::Whole, root.unwrap_or(0));
            return Base::Blocked(self.checks.len() - 1);
        }
        self.own_carrier(link, state, &format!("no member of {name} is active"))
    }

    fn bridge(&mut self, link: &DesiredLink, state: &LinkState, below: &[Base]) -> Base {
        let name = link.name.as_str();
        let ports = self.ports.get(name).cloned().unwrap_or_default();
        if ports.is_empty() && link.members.is_empty() {
            let finding = "no ports, so no carrier by nature".to_owned();
            self.add(Code::CheckCarrier, name, Subject::Whole, Outcome::NotChecked, finding);
            return Base::Idle;
        }
        for member in &link.members {
            let Some(port) = self.state(member) else { continue };
            let holds = port.controller.as_deref() == Some(name);
            let finding = if holds { "is a port" } else { "is not a port" };
            self.require(Code::CheckMember, name, Subject::Member(member.clone()), holds, finding.to_owned());
        }
        if !below.is_empty() && below.iter().all(|b| matches!(b, Base::Blocked(_))) {
            let root = below.iter().find_map(|b| if let Base::Blocked(at) = b { Some(*at) } else { None });
            self.blocked(Code::CheckCarrier, name, Subject::Whole, root.unwrap_or(0));
            return Base::Blocked(self.checks.len() - 1);
        }
        for port in ports.iter().filter(|p| p.carrier && state.stp == Some(true)) {
            let word = port.bridge_port.as_deref().unwrap_or("unknown");
            let holds = matches!(word, "forwarding" | "blocking");
            self.require(
                Code::CheckForwarding,
                name,
                Subject::Member(port.name.clone()),
                holds,
                word.to_owned(),
            );
        }
        self.own_carrier(link, state, "no port of it forwards")
    }

    /// A link on top of another: a VLAN.
    fn upper(&mut self, link: &DesiredLink, state: &LinkState, below: &[Base]) -> Base {
        if let Some(base @ (Base::Blocked(_) | Base::Idle)) = below.first() {
            if let Base::Blocked(at) = base {
                self.blocked(Code::CheckCarrier, &link.name, Subject::Whole, *at);
                return Base::Blocked(self.checks.len() - 1);
            }
            return *base;
        }
        self.own_carrier(link, state, "no carrier")
    }

    fn own_carrier(&mut self, link: &DesiredLink, state: &LinkState, why: &str) -> Base {
        let holds = state.carrier && state.running;
        if !holds && link.ignore_carrier {
            let finding = "no carrier, ignored as described".to_owned();
            self.add(Code::CheckCarrier, &link.name, Subject::Whole, Outcome::NotChecked, finding);
            return Base::Idle;
        }
        let finding = if holds { "carrier" } else { why };
        self.require(Code::CheckCarrier, &link.name, Subject::Whole, holds, finding.to_owned())
    }
}

/// Whether a member's LACP has converged, and the check's finding.
fn lacp(bond: &LinkState, port: &LinkState) -> (bool, String) {
    const SYNCHRONISED_COLLECTING_DISTRIBUTING: u8 = 0b0011_1000;
    const DEFAULTED: u8 = 0b0100_0000;
    let (Some(bond), Some(port)) = (&bond.bond, &port.bond_port) else {
        return (false, "no LACP state".into());
    };
    let state = port.actor_state.unwrap_or(0);
    let Some(partner) = port.partner.filter(|_| state & DEFAULTED == 0) else {
        return (false, "no LACP partner".into());
    };
    let through = state & SYNCHRONISED_COLLECTING_DISTRIBUTING == SYNCHRONISED_COLLECTING_DISTRIBUTING;
    if port.aggregator != bond.aggregator {
        return (false, format!("not in use, LACP partner {partner}"));
    }
    if !through {
        return (false, format!("not in use yet, LACP partner {partner}"));
    }
    (true, format!("LACP partner {partner}"))
}

fn up_words(up: bool) -> &'static str {
    if up { "is up" } else { "is down" }
}
