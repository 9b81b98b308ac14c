//! The checks of what is configured on links: addresses, gateways, name servers, targets.

use std::net::IpAddr;

use super::{Base, Check, ECHOES, Judge, Outcome, Subject};
use crate::diagnostic::Code;
use crate::model::{Kind, RouteKind};
use crate::verify::due;
use crate::verify::evidence::{
    Answer, Claim, Evidence, GatewayEvidence, Loss, Question, Routing, TargetEvidence,
};
use crate::verify::input::{DesiredGateway, DesiredLink, Target};
use crate::verify::words::time_words;

/// Packet loss from which a gateway fails its check, in percent.
const LOSS: u32 = 20;
/// The finding for an answer that did not arrive through the link.
const OWN_ANSWER: &str =
    "answered, but not by the link (this machine translates or reroutes it): proves nothing";
/// How long the kernel's own neighbour resolution of a gateway may take if no echo can be sent, in milliseconds.
const KERNEL_ASKS_MS: u64 = 4_000;

/// Whether no link of this machine answers ARP requests: an IPv4 address that works now will not for long.
pub(in crate::verify) fn is_deaf(evidence: &Evidence, ip: &IpAddr) -> bool {
    ip.is_ipv4() && evidence.policy.sysctls.get("net/ipv4/conf/all/arp_ignore") == Some(&8)
}

impl<'a> Judge<'a> {
    pub(super) fn addresses(&mut self, link: &'a DesiredLink) {
        let base = self.base_of(link);
        for net in link.addresses.iter().filter(|_| !link.missing) {
            self.address(link, net.addr(), base);
        }
        if let Some(why) = link.unleased.as_ref().filter(|_| !link.missing) {
            match base {
                Base::Blocked(root) => self.blocked(Code::CheckLease, &link.name, Subject::Whole, root),
                _ => self.add(Code::CheckLease, &link.name, Subject::Whole, Outcome::Failed, why.why.clone()),
            };
        }
    }

    pub(super) fn gateways(&mut self, link: &'a DesiredLink) {
        let base = self.base_of(link);
        for gateway in self.index.gateways(&link.name).iter().filter(|_| !link.missing) {
            self.gateway(link, gateway, base);
        }
    }

    fn base_of(&self, link: &DesiredLink) -> Base {
        self.bases.get(link.name.as_str()).copied().unwrap_or(Base::Idle)
    }

    fn address(&mut self, link: &'a DesiredLink, ip: IpAddr, base: Base) {
        let (name, from) = (link.name.as_str(), self.checks.len());
        self.address_itself(link, ip, base);
        let added = self.checks.iter().enumerate().skip(from);
        let bad = added.filter(|(_, c)| c.code == Code::CheckAddress && c.outcome != Outcome::Passed);
        if let Some(at) = bad.map(|(at, _)| at).max() {
            self.unusable.entry((name, ip)).or_insert(at);
        }
    }

    fn address_itself(&mut self, link: &DesiredLink, ip: IpAddr, base: Base) {
        let (name, subject) = (link.name.as_str(), Subject::Address(ip));
        let state = self.state(name);
        let Some(address) = self.evidence.address(name, &ip) else {
            let finding = "is not on the link".to_owned();
            if state.is_some() {
                self.require(Code::CheckAddress, name, subject, false, finding);
            } else if let Base::Blocked(root) = base {
                self.blocked(Code::CheckAddress, name, subject, root);
            }
            return;
        };
        if address.duplicate {
            let owner = self.evidence.claim(name, &ip).and_then(|claim| claim.owner);
            let who = owner.map_or_else(|| "another machine".to_owned(), |mac| mac.to_string());
            let finding = format!("not used, {who} has it");
            self.add(Code::CheckAddress, name, subject, Outcome::Failed, finding);
            return;
        }
        if is_deaf(self.evidence, &ip) {
            let finding = "is set, but this machine answers no ARP request (arp_ignore is 8)".to_owned();
            self.add(Code::CheckAddress, name, subject, Outcome::Failed, finding);
            return;
        }
        match base {
            Base::Blocked(root) if address.tentative => {
                self.blocked(Code::CheckAddress, name, subject, root);
                return;
            }
            Base::Idle if address.tentative => {
                let finding = "not checked for duplicates: no carrier".to_owned();
                self.add(Code::CheckAddress, name, subject, Outcome::NotChecked, finding);
                return;
            }
            _ => {
                let finding = if address.tentative { "duplicate detection has not ended" } else { "is set" };
                self.require(Code::CheckAddress, name, subject, !address.tentative, finding.to_owned());
            }
        }
        // ARP is Ethernet's; a dummy or a tunnel has no neighbours.
        let ethernet = state.and_then(|l| l.mac).is_some_and(|mac| mac.as_bytes().len() == 6);
        if ethernet && link.kind != Kind::Dummy && matches!(base, Base::Usable) && !address.tentative {
            self.claim(name, &ip);
        }
    }

    /// Whether others have one of our addresses. For IPv6 the kernel asks by itself, only once, and not if `accept_dad`
    /// or the address tells it not to.
    fn claim(&mut self, link: &str, ip: &IpAddr) {
        let (outcome, finding) = match self.evidence.claim(link, ip) {
            Some(Claim { owner: Some(mac), .. }) => (Outcome::Failed, format!("also used by {mac}")),
            Some(Claim { error: Some(error), .. }) => (Outcome::Unknown, format!("not checked: {error}")),
            Some(Claim { finished: true, .. }) => (Outcome::Passed, "nobody else has it".to_owned()),
            _ => (Outcome::Waiting, "asking whether others have it".to_owned()),
        };
        self.add(Code::CheckUnique, link, Subject::Address(*ip), outcome, finding);
    }

    fn gateway(&mut self, link: &'a DesiredLink, gateway: &DesiredGateway, base: Base) {
        let (name, via) = (link.name.as_str(), &gateway.ip);
        let subject = Subject::Gateway(*via);
        match base {
            Base::Blocked(root) => {
                self.blocked(Code::CheckGateway, name, subject, root);
                return;
            }
            Base::Idle => {
                let finding = "not asked: no carrier".to_owned();
                self.add(Code::CheckGateway, name, subject, Outcome::NotChecked, finding);
                return;
            }
            Base::Usable => {}
        }
        let unusable = gateway.source.and_then(|source| self.unusable.get(&(name, source)));
        if let Some(root) = unusable.copied() {
            self.blocked(Code::CheckGateway, name, subject, root);
            return;
        }
        if self.is_itself(*via) {
            let finding = "this machine itself: proves nothing".to_owned();
            self.add(Code::CheckGateway, name, subject, Outcome::NotChecked, finding);
            return;
        }
        let evidence = self.evidence.gateway(name, via);
        let rtt = evidence.and_then(|g| g.rtt_us);
        let answers = evidence.is_some_and(GatewayEvidence::answers);
        let error = evidence.and_then(|g| g.error.as_deref());
        // Without permission to send echoes, rely on the kernel's own neighbour resolution.
        let asked_by_kernel = self.evidence.elapsed_ms < KERNEL_ASKS_MS;
        if let Some(error) = error.filter(|_| !answers && !asked_by_kernel) {
            let finding = format!("not checked: {error}");
            self.add(Code::CheckGateway, name, subject, Outcome::Unknown, finding);
            return;
        }
        // A tunnel has no neighbour discovery: if the gateway ignores echo, nothing can be known.
        let state = self.state(name);
        let ethernet = state.and_then(|s| s.mac).is_some_and(|mac| mac.as_bytes().len() == 6);
        let silent = evidence.is_some_and(|g| g.silent_echoes >= ECHOES) && !answers;
        if silent && !ethernet && state.is_some_and(|s| s.no_arp) {
            let finding = "does not answer echo, and the link has no other question".to_owned();
            self.add(Code::CheckGateway, name, subject, Outcome::NotChecked, finding);
            return;
        }
        // With a lossy gateway the kernel's entry fails now and then.
        let loss = evidence.map_or(Loss::None, |gateway| gateway.losses.meaning());
        let lost = match loss {
            Loss::Packets(percent) if percent >= LOSS => {
                let finding = format!("loses {percent} % of the packets");
                self.add(Code::CheckGateway, name, subject, Outcome::Failed, finding);
                return;
            }
            Loss::Packets(percent) => format!(", loses {percent} % of the packets"),
            Loss::Echoes(percent) => format!(", loses {percent} % of the echoes"),
            Loss::Limited => ", and limits echo".to_owned(),
            Loss::None | Loss::Unclear => String::new(),
        };
        let finding = match (rtt, answers, evidence.and_then(|g| g.heard_ms)) {
            (Some(rtt), true, _) => format!("answers in {}{lost}", time_words(rtt)),
            (None, true, _) if evidence.is_some_and(|g| g.refused_here.is_some()) => {
                "exists, but this machine refuses to send it an echo request".to_owned()
            }
            (None, true, _) => "exists, and ignores echo requests".to_owned(),
            (_, false, Some(_)) => "answered at first, but no longer does".to_owned(),
            (_, false, None) => "does not answer".to_owned(),
        };
        if let Base::Blocked(_) = self.require(Code::CheckGateway, name, subject, answers, finding) {
            return;
        }
        self.path_mtu(name, via);
    }

    /// Whether it is an address of this machine, described or not.
    fn is_itself(&self, ip: IpAddr) -> bool {
        let question = Question::to(ip);
        let own = self.evidence.lookup(&question);
        self.index.is_own(&ip) || matches!(own, Some(Routing::Route(route)) if route.kind == RouteKind::Local)
    }

    fn path_mtu(&mut self, link: &str, via: &IpAddr) {
        let Some(gateway) = self.evidence.gateway(link, via) else { return };
        let (outcome, finding) = match (gateway.rtt_us, gateway.tried, gateway.largest) {
            (Some(_), Some(tried), Some(passed)) if passed >= tried => {
                (Outcome::Passed, format!("packets of {passed} bytes pass"))
            }
            (Some(_), Some(tried), passed) if gateway.finished => {
                let some = passed.map_or_else(String::new, |p| format!(" ({p} do)"));
                (Outcome::Failed, format!("{tried} bytes do not pass{some}"))
            }
            (Some(_), None, _) if gateway.finished => {
                (Outcome::NotChecked, "not checked: echoes are lost".to_owned())
            }
            (None, ..) if gateway.refused_here.is_some() => {
                (Outcome::Unknown, "not checked: this machine refuses to send echo".to_owned())
            }
            (None, ..) if gateway.finished || gateway.unanswered >= ECHOES => {
                (Outcome::NotChecked, "not checked: no echo".to_owned())
            }
            _ => (Outcome::Waiting, "sending full packets".to_owned()),
        };
        self.add(Code::CheckPathMtu, link, Subject::Gateway(*via), outcome, finding);
    }

    /// Records what keeps packets from getting through links, their gateways and subnets, for what lies behind them.
    pub(super) fn note_obstacles(&mut self) {
        let stops = |c: &Check| matches!(c.outcome, Outcome::Waiting | Outcome::Failed | Outcome::Blocked);
        for (at, check) in self.checks.iter().enumerate().filter(|(_, c)| stops(c)) {
            let Some(link) = self.index.link(&check.link) else { continue };
            let name = link.name.as_str();
            match (check.code, &check.subject) {
                (Code::CheckCarrier | Code::CheckUp | Code::CheckPresent | Code::CheckMode, _) => {
                    self.obstacles.entry(name).or_insert(at);
                }
                (Code::CheckAddress, _) => {
                    self.subnets.entry(name).or_insert(at);
                }
                (Code::CheckGateway, Subject::Gateway(via)) => {
                    self.gateways.entry((name, *via)).or_insert(at);
                }
                _ => {}
            }
        }
    }

    /// Whether packets can reach an address: `Err` is the check that prevents it.
    fn open(&self, ip: &IpAddr) -> Result<(), usize> {
        let Some((link, via)) = self.index.route_to(ip) else { return self.any_link() };
        let name = link.name.as_str();
        let further = match via {
            Some(via) => self.gateways.get(&(name, via)),
            None => self.subnets.get(name),
        };
        let first = [self.obstacles.get(name), further].into_iter().flatten().min();
        first.map_or(Ok(()), |at| Err(*at))
    }

    /// The description has no route to it: DHCP may provide one, so any working link will do.
    fn any_link(&self) -> Result<(), usize> {
        let base = |link: &DesiredLink| self.bases.get(link.name.as_str()).copied();
        let mut bases = self.index.links.iter().filter(|l| !l.optional).filter_map(base);
        match bases.clone().any(|b| matches!(b, Base::Usable)) {
            true => Ok(()),
            false => bases
                .find_map(|b| if let Base::Blocked(at) = b { Some(at) } else { None })
                .map_or(Ok(()), Err),
        }
    }

    pub(super) fn resolver(&mut self, server: &IpAddr) {
        let subject = Subject::NameServer(*server);
        if let Err(root) = self.open(server) {
            self.blocked(Code::CheckResolver, "", subject, root);
            return;
        }
        let Ok(leaves) = self.host(&subject, *server) else {
            return self.itself(Code::CheckResolver, subject);
        };
        let evidence = self.evidence.resolver(server);
        let rtt = evidence.and_then(|r| r.rtt_us);
        if let Some(outcome) = self.own_answer(&subject, *server, evidence.and_then(|r| r.answered_ms)) {
            self.add(Code::CheckResolver, "", subject, outcome, OWN_ANSWER.to_owned());
            return;
        }
        let finding = match (rtt, evidence.and_then(|r| r.error.as_deref())) {
            (Some(rtt), _) => format!("answers in {}{leaves}", time_words(rtt)),
            (None, Some(error)) => format!("does not answer: {error}"),
            (None, None) => "does not answer".to_owned(),
        };
        self.require(Code::CheckResolver, "", subject, rtt.is_some(), finding);
    }

    pub(super) fn target(&mut self, at: usize, target: &Target, evidence: Option<&TargetEvidence>) {
        let subject = Subject::Target(at, target.text.clone());
        let ip = target.ip().or_else(|| evidence.and_then(|e| e.addresses.first().copied()));
        let open = match ip {
            Some(ip) => self.open(&ip),
            None => self.names_open(),
        };
        if let Err(root) = open {
            self.blocked(Code::CheckTarget, "", subject, root);
            return;
        }
        let Ok(leaves) = ip.map_or(Ok(String::new()), |ip| self.host(&subject, ip)) else {
            return self.itself(Code::CheckTarget, subject);
        };
        let Some(evidence) = evidence else {
            self.add(Code::CheckTarget, "", subject, Outcome::Waiting, "not asked yet".into());
            return;
        };
        let good = evidence.answer.as_ref().is_some_and(Answer::is_good);
        let own = ip.filter(|_| good).and_then(|ip| self.own_answer(&subject, ip, evidence.answered_ms));
        if let Some(outcome) = own {
            self.add(Code::CheckTarget, "", subject, outcome, OWN_ANSWER.to_owned());
            return;
        }
        let outcome = match (good, evidence.finished) {
            (true, _) => Outcome::Passed,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Waiting,
        };
        self.add(Code::CheckTarget, "", subject, outcome, format!("{}{leaves}", target_words(evidence)));
    }

    /// One of this machine's own addresses says nothing about the network.
    fn itself(&mut self, code: Code, subject: Subject) {
        let finding = "this machine itself: proves nothing".to_owned();
        self.add(code, "", subject, Outcome::NotChecked, finding);
    }

    /// If this machine translates the addresses of what it sends, an answer that did not arrive through the link comes
    /// from this machine itself: its finding. `None` for an answer from another host.
    fn own_answer(&self, subject: &Subject, ip: IpAddr, answered_ms: Option<u64>) -> Option<Outcome> {
        let answered_ms = answered_ms.filter(|_| self.evidence.redirects())?;
        let (link, flow) =
            (due::leaves_by(self.index, self.evidence, subject, ip)?, self.index.flow_of(subject)?);
        if self.evidence.traffic(&link, &ip)?.received.contains(&flow) {
            return None;
        }
        // The frame may be reported slightly later than the answer.
        let soon = self.evidence.elapsed_ms < answered_ms + 500;
        Some(if soon { Outcome::Waiting } else { Outcome::NotChecked })
    }

    /// If one of the alternative targets answers, the others are neither waited for nor a fault.
    pub(super) fn one_of_the_alternatives(&mut self) {
        let targets = &self.index.targets;
        let alternative = |c: &Check| match c.subject {
            Subject::Target(at, _) => targets.get(at).is_some_and(|t| t.alternative),
            _ => false,
        };
        if !self.checks.iter().any(|c| alternative(c) && c.outcome == Outcome::Passed) {
            return;
        }
        for check in self.checks.iter_mut().filter(|c| alternative(c) && c.outcome != Outcome::Passed) {
            check.finding = format!("{}; another of the list answers", check.finding);
            (check.outcome, check.root) = (Outcome::NotChecked, None);
        }
    }

    /// A name needs a name server: the first that answers is enough.
    fn names_open(&self) -> Result<(), usize> {
        let is_resolver = |c: &Check| c.code == Code::CheckResolver;
        if self.checks.iter().any(|c| is_resolver(c) && c.outcome == Outcome::Passed) {
            return Ok(());
        }
        // Without a name server, /etc/hosts may have the name.
        self.checks.iter().position(is_resolver).map_or(Ok(()), Err)
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
