//! Which checks follow from the description, and how each stands on the evidence so far. Pure: no clock, no kernel.
//!
//! [`judge`] goes through the links from the wire upwards. Where one cannot work, what stands on it is
//! [`Outcome::Blocked`] and names its root: with no carrier there is no word about the gateway behind it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::evidence::{Answer, Claim, Evidence, TargetEvidence};
use super::input::{Expected, Input};
use crate::diagnostic::Code;
use crate::kernel::live::LinkState;
use crate::model::Kind;

/// How a check stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not yet as it should be.
    Waiting,
    /// Not as it should be.
    Failed,
    /// Cannot be known before something below it works: [`Check::root`].
    Blocked,
    /// Not looked at, and no fault.
    NotChecked,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What is checked; `netapply explain` has the words.
    pub code: Code,
    /// The link; empty for what belongs to none.
    pub link: String,
    /// The address, member or target.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// How it stands.
    pub outcome: Outcome,
    /// What was seen, for a person.
    pub said: String,
    /// For a blocked check: the position of the one that blocks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<usize>,
    /// Its failure is no fault: the description says so of the link.
    #[serde(skip_serializing_if = "is_false")]
    pub optional: bool,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Check {
    /// True for a failure that counts.
    pub fn is_fault(&self) -> bool {
        self.outcome == Outcome::Failed && !self.optional
    }

    /// Code, link and object tell checks apart.
    pub fn key(&self) -> (Code, &str, &str) {
        (self.code, &self.link, &self.object)
    }
}

/// So many echoes unanswered by a gateway that is there mean that it ignores them.
const ECHOES: u32 = 3;

/// How long a check may wait once nothing below blocks it, within the deadline of all. LACP in slow mode sends every
/// 30 s; classic STP listens and learns for 15 s each.
pub fn bound(check: &Check, input: &Input, evidence: &Evidence) -> Duration {
    let seconds = match check.code {
        Code::CheckPresent | Code::CheckUp | Code::CheckMtu | Code::CheckMember | Code::CheckMode => 3,
        Code::CheckDescribed | Code::CheckAddress => 5,
        Code::CheckCarrier => 30,
        Code::CheckLacp => 40,
        Code::CheckForwarding => 35,
        Code::CheckGateway if is_forwarding(&check.link, input, evidence) => 10,
        Code::CheckGateway => 40,
        Code::CheckResolver => 15,
        Code::CheckTarget => 20,
        _ => 10,
    };
    Duration::from_secs(seconds)
}

/// True where frames of other stations arrive through the link: the switch's port is through with STP.
fn is_forwarding(link: &str, input: &Input, evidence: &Evidence) -> bool {
    let heard = |nic: &&Expected| evidence.heard.get(&nic.name).is_some_and(|h| h.frames > 0);
    input.nics_under(link).iter().any(heard)
}

/// Whether something can stand on a link.
#[derive(Copy, Clone)]
enum Base {
    /// It works.
    Usable,
    /// The check at this position says that it does not, or not yet.
    Blocked(usize),
    /// It has no carrier by nature: a bridge without ports, or one whose description ignores carrier.
    Idle,
}

/// All checks as they stand.
pub fn judge(input: &Input, evidence: &Evidence) -> Vec<Check> {
    let mut judge = Judge { input, evidence, checks: Vec::new(), bases: BTreeMap::new() };
    judge.described();
    for link in &input.links {
        judge.base(link, 0);
    }
    for link in &input.links {
        judge.addresses(link);
    }
    input.resolvers.iter().for_each(|server| judge.resolver(server));
    for (position, target) in input.targets.iter().enumerate() {
        judge.target(&target.text, target.ip(), evidence.targets.get(position));
    }
    judge.one_of_the_alternatives();
    judge.checks
}

struct Judge<'a> {
    input: &'a Input,
    evidence: &'a Evidence,
    checks: Vec<Check>,
    bases: BTreeMap<&'a str, Base>,
}

impl<'a> Judge<'a> {
    fn add(&mut self, code: Code, link: &str, object: &str, outcome: Outcome, said: String) -> usize {
        let optional = self.input.link(link).is_some_and(|l| l.optional)
            || self.input.controller_of(link).is_some_and(|l| l.optional);
        let (link, object) = (link.to_owned(), object.to_owned());
        self.checks.push(Check { code, link, object, outcome, said, root: None, optional });
        self.checks.len() - 1
    }

    /// Adds a check that passes or is waited for; gives its base.
    fn require(&mut self, code: Code, link: &str, object: &str, holds: bool, said: String) -> Base {
        let outcome = if holds { Outcome::Passed } else { Outcome::Waiting };
        let at = self.add(code, link, object, outcome, said);
        if holds { Base::Usable } else { Base::Blocked(at) }
    }

    fn blocked(&mut self, code: Code, link: &str, object: &str, root: usize) {
        // The root of all, so that nobody has to follow a chain.
        let root = self.checks.get(root).and_then(|c| c.root).unwrap_or(root);
        let said = self.checks.get(root).map_or_else(String::new, |c| c.said.clone());
        let at = self.add(code, link, object, Outcome::Blocked, said);
        if let Some(check) = self.checks.get_mut(at) {
            check.root = Some(root);
        }
    }

    fn described(&mut self) {
        let rest = &self.evidence.remaining;
        let said = match rest.as_slice() {
            [] => "the kernel's state is as described".to_owned(),
            [one] => format!("still to be done: {one}"),
            [first, ..] => format!("still to be done: {first}, and {} more", rest.len() - 1),
        };
        self.require(Code::CheckDescribed, "", "", rest.is_empty(), said);
    }

    /// The checks of a link itself, those below it first. `depth` ends a circle that no description should have.
    fn base(&mut self, link: &'a Expected, depth: usize) -> Base {
        if let Some(base) = self.bases.get(link.name.as_str()) {
            return *base;
        }
        let input = self.input;
        let mut below = Vec::new();
        if depth < 8 {
            let names = link.members.iter().chain(&link.parent);
            below = names.filter_map(|name| input.link(name)).map(|l| self.base(l, depth + 1)).collect();
        }
        let base = self.link(link, &below);
        self.bases.insert(&link.name, base);
        base
    }

    fn link(&mut self, link: &'a Expected, below: &[Base]) -> Base {
        let name = link.name.as_str();
        let Some(state) = self.evidence.link(name).filter(|_| !link.missing) else {
            let said = match (&link.mac, link.kind) {
                (Some(mac), Kind::Physical) => format!("no NIC with MAC {mac}"),
                (_, Kind::Physical) => "no such NIC".to_owned(),
                _ => "the link does not exist".to_owned(),
            };
            let at = self.add(Code::CheckPresent, name, "", Outcome::Failed, said);
            return Base::Blocked(at);
        };
        self.add(Code::CheckPresent, name, "", Outcome::Passed, "is there".to_owned());
        if !link.up {
            return Base::Idle;
        }
        let up = self.require(Code::CheckUp, name, "", state.up, up_words(state.up).to_owned());
        if let Some(wanted) = link.mtu {
            let said = format!("MTU {} of {wanted}", state.mtu);
            self.require(Code::CheckMtu, name, "", state.mtu == wanted, said);
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

    fn nic(&mut self, link: &Expected, state: &LinkState) -> Base {
        let name = link.name.as_str();
        if link.ignore_carrier && !state.carrier {
            self.add(
                Code::CheckCarrier,
                name,
                "",
                Outcome::NotChecked,
                "no carrier, ignored as described".into(),
            );
            return Base::Idle;
        }
        if state.full_duplex == Some(false) && state.carrier {
            self.add(Code::CheckDuplex, name, "", Outcome::Failed, "half duplex".into());
        }
        let said = match state.speed.filter(|_| state.carrier) {
            Some(speed) => format!("carrier, {}", speed_words(speed)),
            None if state.carrier => "carrier".to_owned(),
            None => "no carrier".to_owned(),
        };
        self.require(Code::CheckCarrier, name, "", state.carrier, said)
    }

    fn bond(&mut self, link: &Expected, state: &LinkState, below: &[Base]) -> Base {
        let name = link.name.as_str();
        let Some(bond) = &state.bond else {
            let said = format!("{name} is no bond");
            return Base::Blocked(self.add(Code::CheckMode, name, "", Outcome::Failed, said));
        };
        let mode = mode_word(bond.mode);
        if let Some(wanted) = &link.mode {
            let said = format!("mode {mode} of {wanted}");
            self.require(Code::CheckMode, name, "", mode == wanted, said);
        }
        for member in &link.members {
            let Some(port) = self.evidence.link(member) else { continue };
            let holds = port.controller.as_deref() == Some(name);
            let said = if holds { "is a member" } else { "is not a member" };
            self.require(Code::CheckMember, name, member, holds, said.to_owned());
            let has_carrier = self.input.link(member).is_some() && port.carrier;
            if holds && has_carrier && mode == "802.3ad" {
                let (holds, said) = lacp(state, port);
                self.require(Code::CheckLacp, name, member, holds, said);
            }
        }
        if !below.is_empty() && below.iter().all(|b| matches!(b, Base::Blocked(_))) {
            let root = below.iter().find_map(|b| if let Base::Blocked(at) = b { Some(*at) } else { None });
            self.blocked(Code::CheckCarrier, name, "", root.unwrap_or(0));
            return Base::Blocked(self.checks.len() - 1);
        }
        self.own_carrier(link, state, &format!("no member of {name} is active"))
    }

    fn bridge(&mut self, link: &Expected, state: &LinkState, below: &[Base]) -> Base {
        let name = link.name.as_str();
        let ports: Vec<&LinkState> =
            self.evidence.links.iter().filter(|l| l.controller.as_deref() == Some(name)).collect();
        if ports.is_empty() && link.members.is_empty() {
            let said = "no ports, so no carrier by nature".to_owned();
            self.add(Code::CheckCarrier, name, "", Outcome::NotChecked, said);
            return Base::Idle;
        }
        for member in &link.members {
            let Some(port) = self.evidence.link(member) else { continue };
            let holds = port.controller.as_deref() == Some(name);
            let said = if holds { "is a port" } else { "is not a port" };
            self.require(Code::CheckMember, name, member, holds, said.to_owned());
        }
        if !below.is_empty() && below.iter().all(|b| matches!(b, Base::Blocked(_))) {
            let root = below.iter().find_map(|b| if let Base::Blocked(at) = b { Some(*at) } else { None });
            self.blocked(Code::CheckCarrier, name, "", root.unwrap_or(0));
            return Base::Blocked(self.checks.len() - 1);
        }
        for port in ports.iter().filter(|p| p.carrier && state.stp == Some(true)) {
            let word = port.bridge_port.as_deref().unwrap_or("unknown");
            let holds = matches!(word, "forwarding" | "blocking");
            self.require(Code::CheckForwarding, name, &port.name, holds, word.to_owned());
        }
        self.own_carrier(link, state, "no port of it forwards")
    }

    /// A link on one other: a VLAN.
    fn upper(&mut self, link: &Expected, state: &LinkState, below: &[Base]) -> Base {
        if let Some(base @ (Base::Blocked(_) | Base::Idle)) = below.first() {
            if let Base::Blocked(at) = base {
                self.blocked(Code::CheckCarrier, &link.name, "", *at);
                return Base::Blocked(self.checks.len() - 1);
            }
            return *base;
        }
        self.own_carrier(link, state, "no carrier")
    }

    fn own_carrier(&mut self, link: &Expected, state: &LinkState, why: &str) -> Base {
        let holds = state.carrier && state.running;
        if !holds && link.ignore_carrier {
            let said = "no carrier, ignored as described".to_owned();
            self.add(Code::CheckCarrier, &link.name, "", Outcome::NotChecked, said);
            return Base::Idle;
        }
        let said = if holds { "carrier" } else { why };
        self.require(Code::CheckCarrier, &link.name, "", holds, said.to_owned())
    }

    fn addresses(&mut self, link: &'a Expected) {
        let base = self.bases.get(link.name.as_str()).copied().unwrap_or(Base::Idle);
        if link.missing {
            return;
        }
        for net in &link.addresses {
            self.address(link, &net.addr(), base);
        }
        for (via, source) in link.gateways() {
            self.gateway(link, &via, source, base);
        }
    }

    fn address(&mut self, link: &Expected, ip: &IpAddr, base: Base) {
        let (name, object) = (link.name.as_str(), ip.to_string());
        let Some(address) = self.evidence.address(name, ip) else {
            let said = "is not on the link".to_owned();
            if self.evidence.link(name).is_some() {
                self.require(Code::CheckAddress, name, &object, false, said);
            } else if let Base::Blocked(root) = base {
                self.blocked(Code::CheckAddress, name, &object, root);
            }
            return;
        };
        if address.duplicate {
            let said = "another machine has it: it is not used".to_owned();
            self.add(Code::CheckAddress, name, &object, Outcome::Failed, said);
            return;
        }
        match base {
            Base::Blocked(root) if address.tentative => {
                self.blocked(Code::CheckAddress, name, &object, root);
                return;
            }
            Base::Idle if address.tentative => {
                let said = "not checked for duplicates: no carrier".to_owned();
                self.add(Code::CheckAddress, name, &object, Outcome::NotChecked, said);
                return;
            }
            _ => {
                let said = if address.tentative { "duplicate detection has not ended" } else { "is set" };
                self.require(Code::CheckAddress, name, &object, !address.tentative, said.to_owned());
            }
        }
        // ARP is Ethernet's; a dummy or a tunnel has no neighbours.
        let ethernet =
            self.evidence.link(name).and_then(|l| l.mac).is_some_and(|mac| mac.as_bytes().len() == 6);
        if ip.is_ipv4() && ethernet && link.kind != Kind::Dummy && matches!(base, Base::Usable) {
            self.claim(name, ip);
        }
    }

    /// Whether others have an IPv4 address of ours.
    fn claim(&mut self, link: &str, ip: &IpAddr) {
        let (outcome, said) = match self.evidence.claim(link, ip) {
            Some(Claim { owner: Some(mac), .. }) => (Outcome::Failed, format!("{mac} has it, too")),
            Some(Claim { error: Some(error), .. }) => (Outcome::NotChecked, format!("not checked: {error}")),
            Some(Claim { finished: true, .. }) => (Outcome::Passed, "nobody else has it".to_owned()),
            _ => (Outcome::Waiting, "asking whether others have it".to_owned()),
        };
        self.add(Code::CheckUnique, link, &ip.to_string(), outcome, said);
    }

    fn gateway(&mut self, link: &Expected, via: &IpAddr, source: Option<IpAddr>, base: Base) {
        let (name, object) = (link.name.as_str(), via.to_string());
        match base {
            Base::Blocked(root) => return self.blocked(Code::CheckGateway, name, &object, root),
            Base::Idle => {
                let said = "not asked: no carrier".to_owned();
                self.add(Code::CheckGateway, name, &object, Outcome::NotChecked, said);
                return;
            }
            Base::Usable => {}
        }
        let own = |c: &Check| c.code == Code::CheckAddress && c.link == name && c.outcome != Outcome::Passed;
        let source = source.map(|s| s.to_string());
        let unusable = |c: &Check| own(c) && Some(&c.object) == source.as_ref();
        if let Some(root) = self.checks.iter().position(unusable) {
            return self.blocked(Code::CheckGateway, name, &object, root);
        }
        let evidence = self.evidence.gateway(name, via);
        let rtt = evidence.and_then(|g| g.rtt_us);
        let error = evidence.and_then(|g| g.error.as_deref());
        if let Some(error) = error.filter(|_| !evidence.is_some_and(|g| g.resolved)) {
            let said = format!("not checked: {error}");
            self.add(Code::CheckGateway, name, &object, Outcome::NotChecked, said);
            return;
        }
        let resolved = evidence.is_some_and(|g| g.resolved) || rtt.is_some();
        let said = match (rtt, resolved) {
            (Some(rtt), _) => format!("answers in {}", time_words(rtt)),
            (None, true) => "is there, and ignores echo".to_owned(),
            (None, false) => "does not answer".to_owned(),
        };
        if let Base::Blocked(_) = self.require(Code::CheckGateway, name, &object, resolved, said) {
            return;
        }
        self.path_mtu(name, &object, via);
    }

    fn path_mtu(&mut self, link: &str, object: &str, via: &IpAddr) {
        let Some(gateway) = self.evidence.gateway(link, via) else { return };
        let (outcome, said) = match (gateway.rtt_us, gateway.tried, gateway.largest) {
            (Some(_), Some(tried), Some(passed)) if passed >= tried => {
                (Outcome::Passed, format!("packets of {passed} bytes pass"))
            }
            (Some(_), Some(tried), passed) if gateway.finished => {
                let some = passed.map_or_else(String::new, |p| format!(", {p} bytes do"));
                (Outcome::Failed, format!("packets of {tried} bytes do not pass{some}"))
            }
            (None, ..) if gateway.finished || gateway.unanswered >= ECHOES => {
                (Outcome::NotChecked, "not checked: no echo".to_owned())
            }
            _ => (Outcome::Waiting, "sending full packets".to_owned()),
        };
        self.add(Code::CheckPathMtu, link, object, outcome, said);
    }

    /// Whether the way to an address is open: `Err` is the check that stands in it.
    fn way(&self, ip: &IpAddr) -> Result<(), usize> {
        let Some((link, via)) = self.input.way_to(ip) else { return self.any_way() };
        let name = link.name.as_str();
        let stops = |c: &Check| {
            matches!(c.outcome, Outcome::Waiting | Outcome::Failed | Outcome::Blocked) && c.link == name
        };
        let in_the_way = |c: &Check| match (c.code, via) {
            (Code::CheckGateway, Some(via)) => c.object == via.to_string(),
            (Code::CheckCarrier | Code::CheckUp | Code::CheckPresent | Code::CheckMode, _) => true,
            (Code::CheckAddress, None) => true,
            _ => false,
        };
        self.checks.iter().position(|c| stops(c) && in_the_way(c)).map_or(Ok(()), Err)
    }

    /// Where the description has no route to something: DHCP may bring one, so any link that works is hope.
    fn any_way(&self) -> Result<(), usize> {
        let base = |link: &Expected| self.bases.get(link.name.as_str()).copied();
        let mut bases = self.input.links.iter().filter(|l| !l.optional).filter_map(base);
        match bases.clone().any(|b| matches!(b, Base::Usable)) {
            true => Ok(()),
            false => bases
                .find_map(|b| if let Base::Blocked(at) = b { Some(at) } else { None })
                .map_or(Ok(()), Err),
        }
    }

    fn resolver(&mut self, server: &IpAddr) {
        let object = server.to_string();
        if let Err(root) = self.way(server) {
            return self.blocked(Code::CheckResolver, "", &object, root);
        }
        let evidence = self.evidence.resolvers.iter().find(|r| r.server == *server);
        let rtt = evidence.and_then(|r| r.rtt_us);
        let said = match (rtt, evidence.and_then(|r| r.error.as_deref())) {
            (Some(rtt), _) => format!("answers in {}", time_words(rtt)),
            (None, Some(error)) => format!("does not answer: {error}"),
            (None, None) => "does not answer".to_owned(),
        };
        self.require(Code::CheckResolver, "", &object, rtt.is_some(), said);
    }

    fn target(&mut self, text: &str, ip: Option<IpAddr>, evidence: Option<&TargetEvidence>) {
        let way = match ip.or_else(|| evidence.and_then(|e| e.addresses.first().copied())) {
            Some(ip) => self.way(&ip),
            None => self.way_to_names(),
        };
        if let Err(root) = way {
            return self.blocked(Code::CheckTarget, "", text, root);
        }
        let Some(evidence) = evidence else {
            self.add(Code::CheckTarget, "", text, Outcome::Waiting, "not asked yet".into());
            return;
        };
        let good = evidence.answer.as_ref().is_some_and(Answer::is_good);
        let outcome = match (good, evidence.finished) {
            (true, _) => Outcome::Passed,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Waiting,
        };
        self.add(Code::CheckTarget, "", text, outcome, target_words(evidence));
    }

    /// Where one of the alternative targets answers, nobody waits for the others, and they are no fault.
    fn one_of_the_alternatives(&mut self) {
        let targets = &self.input.targets;
        let alternative = |c: &Check| {
            c.code == Code::CheckTarget && targets.iter().any(|t| t.alternative && t.text == c.object)
        };
        if !self.checks.iter().any(|c| alternative(c) && c.outcome == Outcome::Passed) {
            return;
        }
        for check in self.checks.iter_mut().filter(|c| alternative(c) && c.outcome != Outcome::Passed) {
            check.said = format!("{}; another of the list answers", check.said);
            (check.outcome, check.root) = (Outcome::NotChecked, None);
        }
    }

    /// A name needs a name server: the first that answers is enough.
    fn way_to_names(&self) -> Result<(), usize> {
        let is_resolver = |c: &Check| c.code == Code::CheckResolver;
        if self.checks.iter().any(|c| is_resolver(c) && c.outcome == Outcome::Passed) {
            return Ok(());
        }
        // Without any, /etc/hosts may know the name.
        self.checks.iter().position(is_resolver).map_or(Ok(()), Err)
    }
}

/// Whether a member's LACP is through, and what is to be said.
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
        return (false, format!("partner {partner}, but not in the bond's aggregator"));
    }
    if !through {
        return (false, format!("partner {partner}, negotiating"));
    }
    (true, format!("partner {partner}"))
}

fn up_words(up: bool) -> &'static str {
    if up { "is up" } else { "is down" }
}

/// The kernel's words for bond modes.
pub(super) fn mode_word(mode: u8) -> &'static str {
    const MODES: [&str; 7] =
        ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];
    MODES.get(usize::from(mode)).copied().unwrap_or("unknown")
}

/// `10 Gb/s`, `100 Mb/s`.
pub fn speed_words(megabits: u32) -> String {
    match megabits {
        1000.. if megabits % 1000 == 0 => format!("{} Gb/s", megabits / 1000),
        2500 => "2.5 Gb/s".to_owned(),
        _ => format!("{megabits} Mb/s"),
    }
}

/// `0.4 ms`, `12 ms`.
pub fn time_words(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        _ => format!("{} ms", micros / 1000),
    }
}

fn target_words(evidence: &TargetEvidence) -> String {
    let time = evidence.rtt_us.map_or_else(String::new, |rtt| format!(" in {}", time_words(rtt)));
    match &evidence.answer {
        Some(Answer::Connected) => format!("answers{time}"),
        Some(Answer::Status(status)) => format!("HTTP {status}{time}"),
        Some(Answer::Tls) => format!("answers in TLS{time}, certificate not checked"),
        Some(Answer::Strange(bytes)) => format!("answers something else: {bytes}"),
        Some(Answer::Refused) => "refuses the connection".to_owned(),
        None if evidence.unknown_name => "the name has no address".to_owned(),
        None => match &evidence.unreachable {
            Some(words) => words.clone(),
            None => "does not answer".to_owned(),
        },
    }
}
