//! The links as a tree: bonds and bridges with their members, VLANs under their parents, gateways under their link;
//! then name servers and targets. One row each, with what was observed and its state.

use std::net::IpAddr;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Severity};
use crate::kernel::live::LinkState;
use crate::model::{BondMode, Kind};
use crate::verify::checks::{Check, Outcome, Subject};
use crate::verify::evidence::Evidence;
use crate::verify::input::{DesiredLink, Input};
use crate::verify::words::speed_words;

/// The state of a row.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowState {
    /// All its checks have passed.
    Ok,
    /// A check was not done, or failed without being a fault.
    Unknown,
    /// It cannot work because something that it depends on does not.
    Blocked,
    /// A check has failed.
    Fault,
}

/// A row of the picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Depth in the tree, from 0.
    pub depth: usize,
    /// Whether it is the last of its siblings.
    pub last: bool,
    /// A link's name, `gateway ADDRESS`, `name server ADDRESS`, or a target.
    pub name: String,
    /// What was observed.
    pub words: String,
    /// Its state.
    pub state: RowState,
}

/// Builds the whole picture.
pub(super) fn draw(input: &Input, evidence: &Evidence, checks: &[Check]) -> Vec<Row> {
    let mut drawing = Drawing::new(input, evidence, checks);
    for link in input.links.iter().filter(|link| drawing.is_root(link)).collect::<Vec<_>>() {
        drawing.link(link, 0);
    }
    for code in [Code::CheckResolver, Code::CheckTarget] {
        for check in checks.iter().filter(|c| c.code == code) {
            let name = if code == Code::CheckResolver {
                format!("name server {}", check.subject)
            } else {
                check.subject.to_string()
            };
            let route = drawing.routes.get(&check.subject).copied();
            drawing.row(0, name, words(check), state([Some(check), route].into_iter().flatten()));
        }
    }
    let mut rows = drawing.rows;
    mark_last(&mut rows);
    rows
}

/// By name of the link: there may be thousands.
struct Drawing<'a> {
    evidence: &'a Evidence,
    links: HashMap<&'a str, &'a DesiredLink>,
    /// The links that have a controller.
    ports: HashSet<&'a str>,
    /// The links whose parent is a link.
    upper: HashMap<&'a str, Vec<&'a DesiredLink>>,
    states: HashMap<&'a str, &'a LinkState>,
    checks: HashMap<&'a str, Vec<&'a Check>>,
    /// The lookups of name servers and targets that are not as described.
    routes: HashMap<&'a Subject, &'a Check>,
    rows: Vec<Row>,
}

impl<'a> Drawing<'a> {
    fn new(input: &'a Input, evidence: &'a Evidence, checks: &'a [Check]) -> Self {
        let members = input.links.iter().flat_map(|link| &link.members);
        let mut drawing = Drawing {
            evidence,
            links: input.links.iter().map(|link| (link.name.as_str(), link)).collect(),
            ports: members.map(String::as_str).collect(),
            upper: HashMap::default(),
            states: evidence.links.iter().map(|state| (state.name.as_str(), state)).collect(),
            checks: HashMap::default(),
            routes: checks
                .iter()
                .filter(|check| check.code == Code::CheckRoute && check.link.is_empty())
                .map(|check| (&check.subject, check))
                .collect(),
            rows: Vec::new(),
        };
        for link in &input.links {
            if let Some(parent) = &link.parent {
                drawing.upper.entry(parent).or_default().push(link);
            }
        }
        for check in checks {
            let link = match &check.subject {
                Subject::Member(port) => port,
                _ => &check.link,
            };
            drawing.checks.entry(link).or_default().push(check);
        }
        drawing
    }

    fn row(&mut self, depth: usize, name: String, words: String, state: RowState) {
        self.rows.push(Row { depth, last: false, name, words, state });
    }

    /// A top-level row: without a controller, and without a parent that is shown.
    fn is_root(&self, link: &DesiredLink) -> bool {
        let parent = link.parent.as_deref().and_then(|name| self.links.get(name));
        !self.ports.contains(link.name.as_str()) && parent.is_none()
    }

    fn link(&mut self, link: &'a DesiredLink, depth: usize) {
        // A description with a cycle is not drawn.
        if depth > 6 {
            return;
        }
        let name = link.name.as_str();
        let all = self.checks.get(name).cloned().unwrap_or_default();
        let is_below = |c: &&Check| matches!(c.code, Code::CheckGateway | Code::CheckPathMtu);
        let (below, own): (Vec<&Check>, Vec<&Check>) = all.into_iter().partition(is_below);
        let state = state(own.iter().copied());
        let words = self.link_words(link, &own);
        self.row(depth, link.name.clone(), words, state);
        for gateway in below.iter().filter(|c| c.code == Code::CheckGateway) {
            let same = |c: &&&Check| c.code == Code::CheckPathMtu && c.subject == gateway.subject;
            let full = below.iter().find(same).copied();
            let mut text = words_of_gateway(gateway, full);
            if gateway.outcome == Outcome::Blocked {
                text = "not asked".to_owned();
            }
            let route =
                own.iter().find(|c| c.code == Code::CheckRoute && c.subject == gateway.subject).copied();
            let state = self::state([Some(*gateway), full, route].into_iter().flatten());
            self.row(depth + 1, format!("gateway {}", gateway.subject), text, state);
        }
        for member in &link.members {
            if let Some(member) = self.links.get(member.as_str()).copied() {
                self.link(member, depth + 1);
            }
        }
        for upper in self.upper.get(name).cloned().unwrap_or_default() {
            if !self.ports.contains(upper.name.as_str()) {
                self.link(upper, depth + 1);
            }
        }
    }

    /// The text of a link's row: first what fails, then what it is, then its addresses.
    fn link_words(&self, link: &DesiredLink, checks: &[&Check]) -> String {
        let of_address = |c: &&Check| matches!(c.code, Code::CheckAddress | Code::CheckUnique);
        let failing = || checks.iter().copied().filter(|c| c.outcome == Outcome::Failed);
        // Not if carrier may still come or is not needed; a bridge without ports says so itself.
        let dark = |c: &&&Check| c.code == Code::CheckCarrier && c.outcome == Outcome::NotChecked;
        let dark = checks.iter().filter(dark).filter(|_| link.kind != Kind::Bridge).copied();
        let mut parts: Vec<String> = failing().filter(|c| !of_address(c)).chain(dark).map(words).collect();
        let state = self.states.get(link.name.as_str()).copied();
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
            // A failed check may have named it already.
            let is_shown = |mac: &String| parts.iter().any(|part| part.contains(mac.as_str()));
            parts.extend(partner.filter(|mac| !is_shown(mac)).map(|mac| format!("LACP {mac}")));
            if state.mtu != 1500 && state.mtu != 0 {
                parts.push(format!("MTU {}", state.mtu));
            }
        }
        parts.extend(self.switch_words(link));
        // Faulty addresses first; of the others as many as fit.
        let trouble =
            |net: &&IpNet| failing().filter(of_address).find(|c| c.subject == Subject::Address(net.addr()));
        let (bad, good): (Vec<&IpNet>, Vec<&IpNet>) =
            link.addresses.iter().partition(|net| trouble(net).is_some());
        let shown = bad.into_iter().chain(good).take(2);
        parts.extend(shown.map(|net| match trouble(&net) {
            Some(check) => format!("{net} {}", check.finding),
            None => net.to_string(),
        }));
        match link.addresses.len() {
            0..3 => {}
            3 => parts.push("1 more address".to_owned()),
            count => parts.push(format!("{} more addresses", count - 2)),
        }
        if let Some(none) = &link.unleased {
            parts.push(format!("no {}: {}", none.what, none.why));
        } else if link.dynamic {
            parts.push(self.dynamic_words(link, state));
        }
        parts.join(", ")
    }

    /// The addresses from DHCP or router advertisements so far.
    fn dynamic_words(&self, link: &DesiredLink, state: Option<&LinkState>) -> String {
        let described = |ip| link.addresses.iter().any(|net| net.addr() == ip);
        let local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let brought = self.evidence.addresses.iter().filter(|a| state.is_some_and(|s| s.index == a.index));
        let mut brought = brought.filter(|a| !described(a.ip) && !local(a.ip));
        match brought.next() {
            Some(address) => format!("{}/{} by DHCP or router advertisement", address.ip, address.prefix),
            None => "left to DHCP or router advertisement, no address yet".to_owned(),
        }
    }

    fn bond_words(&self, link: &DesiredLink, state: Option<&LinkState>) -> Option<String> {
        let works = |name: &&String| {
            let member = self.states.get(name.as_str());
            member.is_some_and(|m| m.carrier && m.controller.as_deref() == Some(&link.name))
        };
        let count = link.members.iter().filter(works).count();
        let mode = link.mode.map_or("bond", BondMode::word);
        let active = state.and_then(|s| s.bond.as_ref()?.active.as_ref());
        let active = active.map_or_else(String::new, |name| format!(", {name} active"));
        Some(format!("{mode}, {count} of {} members{active}", link.members.len()))
    }

    /// The switch and its port, if LLDP has named them.
    fn switch_words(&self, link: &DesiredLink) -> Option<String> {
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
        _ => check.finding.clone(),
    }
}

fn words_of_gateway(gateway: &Check, full: Option<&Check>) -> String {
    match full.filter(|c| c.outcome != Outcome::NotChecked) {
        Some(full) => format!("{}, {}", gateway.finding, full.finding),
        None => gateway.finding.clone(),
    }
}

/// The worst of the checks; those that were not done count only if no other was.
fn state<'c>(checks: impl Iterator<Item = &'c Check>) -> RowState {
    let one = |check: &Check| match check.outcome {
        Outcome::Passed => Some(RowState::Ok),
        Outcome::Failed if check.is_fault() && check.code.severity() == Severity::Error => {
            Some(RowState::Fault)
        }
        Outcome::Blocked if !check.optional => Some(RowState::Blocked),
        Outcome::Failed | Outcome::Blocked | Outcome::Waiting => Some(RowState::Unknown),
        Outcome::Unknown => Some(RowState::Unknown),
        Outcome::NotChecked => None,
    };
    checks.filter_map(one).max().unwrap_or(RowState::Unknown)
}

/// Marks the last of each row's siblings.
fn mark_last(rows: &mut [Row]) {
    let depths: Vec<usize> = rows.iter().map(|r| r.depth).collect();
    for (at, row) in rows.iter_mut().enumerate() {
        let after = depths.iter().skip(at + 1).find(|depth| **depth <= row.depth);
        row.last = after != Some(&row.depth);
    }
}
