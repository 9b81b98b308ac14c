//! The links as a tree: bonds and bridges with their members, VLANs on what they are made on, gateways under the link
//! that leads to them; then name servers and targets. One row each, with what was seen and how it stands.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Severity};
use crate::kernel::live::LinkState;
use crate::model::Kind;
use crate::verify::checks::{Check, Outcome};
use crate::verify::evidence::Evidence;
use crate::verify::input::{Expected, Input};
use crate::verify::words::speed_words;

/// How a row stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All checks of it have passed.
    Ok,
    /// Something of it was not checked, or fails without being a fault.
    Unknown,
    /// It cannot work because something below it does not.
    Blocked,
    /// It does not work.
    Fault,
}

/// A row of the picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// How deep in the tree, from 0.
    pub depth: usize,
    /// True for the last of its siblings.
    pub last: bool,
    /// A link's name, `gateway ADDRESS`, `name server ADDRESS`, or a target.
    pub name: String,
    /// What was seen.
    pub words: String,
    /// How it stands.
    pub state: State,
}

/// Draws everything.
pub(super) fn draw(input: &Input, evidence: &Evidence, checks: &[Check]) -> Vec<Row> {
    let mut drawing = Drawing { input, evidence, checks, rows: Vec::new() };
    let roots: Vec<&Expected> = input.links.iter().filter(|l| is_root(input, l)).collect();
    for link in roots {
        drawing.link(link, 0);
    }
    for code in [Code::CheckResolver, Code::CheckTarget] {
        for check in checks.iter().filter(|c| c.code == code) {
            let name = if code == Code::CheckResolver {
                format!("name server {}", check.object)
            } else {
                check.object.clone()
            };
            drawing.row(0, name, words(check), state([check].into_iter()));
        }
    }
    let mut rows = drawing.rows;
    mark_last(&mut rows);
    rows
}

/// A link that stands under no other row: it has no controller, and no parent that is shown.
fn is_root(input: &Input, link: &Expected) -> bool {
    let parent = link.parent.as_deref().and_then(|name| input.link(name));
    input.controller_of(&link.name).is_none() && parent.is_none()
}

struct Drawing<'a> {
    input: &'a Input,
    evidence: &'a Evidence,
    checks: &'a [Check],
    rows: Vec<Row>,
}

impl<'a> Drawing<'a> {
    fn row(&mut self, depth: usize, name: String, words: String, state: State) {
        self.rows.push(Row { depth, last: false, name, words, state });
    }

    fn link(&mut self, link: &'a Expected, depth: usize) {
        // A description with a circle is none that is drawn.
        if depth > 6 {
            return;
        }
        let own = |c: &&Check| {
            let member =
                |c: &Check| matches!(c.code, Code::CheckLacp | Code::CheckMember | Code::CheckForwarding);
            let below = matches!(c.code, Code::CheckGateway | Code::CheckPathMtu);
            (c.link == link.name && !below && !member(c)) || (member(c) && c.object == link.name)
        };
        let checks: Vec<&Check> = self.checks.iter().filter(own).collect();
        let state = state(checks.iter().copied());
        let words = self.link_words(link, &checks);
        self.row(depth, link.name.clone(), words, state);
        let gateways = self.checks.iter().filter(|c| c.code == Code::CheckGateway && c.link == link.name);
        for gateway in gateways.collect::<Vec<_>>() {
            let same = |c: &&Check| c.link == gateway.link && c.object == gateway.object;
            let full = self.checks.iter().filter(same).find(|c| c.code == Code::CheckPathMtu);
            let mut text = words_of_gateway(gateway, full);
            if gateway.outcome == Outcome::Blocked {
                text = "not asked".to_owned();
            }
            let state = self::state([Some(gateway), full].into_iter().flatten());
            self.row(depth + 1, format!("gateway {}", gateway.object), text, state);
        }
        let input = self.input;
        let members = link.members.iter().filter_map(|name| input.link(name));
        let upper = input.links.iter().filter(|l| l.parent.as_deref() == Some(&link.name));
        let upper = upper.filter(|l| input.controller_of(&l.name).is_none());
        members.chain(upper).for_each(|below| self.link(below, depth + 1));
    }

    /// What to say of a link: first what fails, then what it is, then its addresses.
    fn link_words(&self, link: &Expected, checks: &[&Check]) -> String {
        let of_address = |c: &&Check| matches!(c.code, Code::CheckAddress | Code::CheckUnique);
        let failing = || checks.iter().copied().filter(|c| c.outcome == Outcome::Failed);
        // Without carrier that may come yet, or is not needed; a bridge without ports says so itself.
        let dark = |c: &&&Check| c.code == Code::CheckCarrier && c.outcome == Outcome::NotChecked;
        let dark = checks.iter().filter(dark).filter(|_| link.kind != Kind::Bridge).copied();
        let mut parts: Vec<String> = failing().filter(|c| !of_address(c)).chain(dark).map(words).collect();
        let state = self.evidence.link(&link.name);
        match link.kind {
            Kind::Bond => parts.extend(self.bond_words(link, state)),
            Kind::Bridge => parts.push(match link.members.len() {
                0 => "bridge without ports".to_owned(),
                count => format!("bridge, {count} port{}", if count == 1 { "" } else { "s" }),
            }),
            Kind::Vlan => parts.extend(link.vlan.map(|id| format!("VLAN {id}"))),
            Kind::Physical => {}
            kind => parts.push(kind.noun().to_owned()),
        }
        if let Some(state) = state {
            if state.carrier && link.kind == Kind::Physical {
                parts.extend(state.speed.map(speed_words));
            }
            let partner = state.bond_port.as_ref().and_then(|p| p.partner).map(|mac| mac.to_string());
            // What fails may have named it.
            let told = |mac: &String| parts.iter().any(|part| part.contains(mac.as_str()));
            parts.extend(partner.filter(|mac| !told(mac)).map(|mac| format!("LACP {mac}")));
            if state.mtu != 1500 && state.mtu != 0 {
                parts.push(format!("MTU {}", state.mtu));
            }
        }
        parts.extend(self.switch_words(link));
        // Those with trouble first; of the others as many as there is room for.
        let trouble =
            |net: &&IpNet| failing().filter(of_address).find(|c| c.object == net.addr().to_string());
        let (bad, good): (Vec<&IpNet>, Vec<&IpNet>) =
            link.addresses.iter().partition(|net| trouble(net).is_some());
        let shown = bad.into_iter().chain(good).take(2);
        parts.extend(shown.map(|net| match trouble(&net) {
            Some(check) => format!("{net} {}", check.said),
            None => net.to_string(),
        }));
        match link.addresses.len() {
            0..3 => {}
            3 => parts.push("1 more address".to_owned()),
            count => parts.push(format!("{} more addresses", count - 2)),
        }
        if link.dynamic {
            parts.push(self.dynamic_words(link, state));
        }
        parts.join(", ")
    }

    /// What a DHCP client or router advertisements have brought so far.
    fn dynamic_words(&self, link: &Expected, state: Option<&LinkState>) -> String {
        let described = |ip| link.addresses.iter().any(|net| net.addr() == ip);
        let local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let brought = self.evidence.addresses.iter().filter(|a| state.is_some_and(|s| s.index == a.index));
        let mut brought = brought.filter(|a| !described(a.ip) && !local(a.ip));
        match brought.next() {
            Some(address) => format!("{}/{} by DHCP or router advertisement", address.ip, address.prefix),
            None => "left to DHCP or router advertisement, no address yet".to_owned(),
        }
    }

    fn bond_words(&self, link: &Expected, state: Option<&LinkState>) -> Option<String> {
        let works = |name: &&String| {
            let member = self.evidence.link(name);
            member.is_some_and(|m| m.carrier && m.controller.as_deref() == Some(&link.name))
        };
        let count = link.members.iter().filter(works).count();
        let mode = link.mode.as_deref().unwrap_or("bond");
        let active = state.and_then(|s| s.bond.as_ref()?.active.as_ref());
        let active = active.map_or_else(String::new, |name| format!(", {name} active"));
        Some(format!("{mode}, {count} of {} members{active}", link.members.len()))
    }

    /// The switch and its port, where they have said so.
    fn switch_words(&self, link: &Expected) -> Option<String> {
        let lldp = self.evidence.heard.get(&link.name)?.lldp.as_ref()?;
        Some(match (lldp.switch.as_str(), lldp.port.as_str()) {
            ("", port) => format!("at port {port}"),
            (switch, "") => format!("at {switch}"),
            (switch, port) => format!("at {switch} port {port}"),
        })
    }
}

fn words(check: &Check) -> String {
    match check.code {
        Code::CheckTarget | Code::CheckResolver if check.outcome == Outcome::Blocked => {
            "not asked".to_owned()
        }
        _ => check.said.clone(),
    }
}

fn words_of_gateway(gateway: &Check, full: Option<&Check>) -> String {
    match full.filter(|c| c.outcome != Outcome::NotChecked) {
        Some(full) => format!("{}, {}", gateway.said, full.said),
        None => gateway.said.clone(),
    }
}

/// The worst of the checks; what was not looked at counts only where nothing was.
fn state<'c>(checks: impl Iterator<Item = &'c Check>) -> State {
    let one = |check: &Check| match check.outcome {
        Outcome::Passed => Some(State::Ok),
        Outcome::Failed if check.is_fault() && check.code.severity() == Severity::Error => Some(State::Fault),
        Outcome::Blocked if !check.optional => Some(State::Blocked),
        Outcome::Failed | Outcome::Blocked | Outcome::Waiting => Some(State::Unknown),
        Outcome::NotChecked => None,
    };
    checks.filter_map(one).max().unwrap_or(State::Unknown)
}

/// Finds the last of each row's siblings.
fn mark_last(rows: &mut [Row]) {
    let depths: Vec<usize> = rows.iter().map(|r| r.depth).collect();
    for (at, row) in rows.iter_mut().enumerate() {
        let after = depths.iter().skip(at + 1).find(|depth| **depth <= row.depth);
        row.last = after != Some(&row.depth);
    }
}
