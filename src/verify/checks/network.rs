//! The checks of what stands on links: addresses, gateways, name servers, targets.

use std::net::IpAddr;

use super::{Base, Check, ECHOES, Judge, Outcome};
use crate::diagnostic::Code;
use crate::model::Kind;
use crate::verify::evidence::{Answer, Claim, TargetEvidence};
use crate::verify::input::Expected;
use crate::verify::words::time_words;

impl<'a> Judge<'a> {
    pub(super) fn addresses(&mut self, link: &'a Expected) {
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
        let state = self.state(name);
        let Some(address) = state.and_then(|l| self.addresses.get(&(l.index, *ip))) else {
            let said = "is not on the link".to_owned();
            if state.is_some() {
                self.require(Code::CheckAddress, name, &object, false, said);
            } else if let Base::Blocked(root) = base {
                self.blocked(Code::CheckAddress, name, &object, root);
            }
            return;
        };
        if address.duplicate {
            let owner = self.evidence.claim(name, ip).and_then(|claim| claim.owner);
            let who = owner.map_or_else(|| "another machine".to_owned(), |mac| mac.to_string());
            let said = format!("not used, {who} has it");
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
        let ethernet = state.and_then(|l| l.mac).is_some_and(|mac| mac.as_bytes().len() == 6);
        if ip.is_ipv4() && ethernet && link.kind != Kind::Dummy && matches!(base, Base::Usable) {
            self.claim(name, ip);
        }
    }

    /// Whether others have an IPv4 address of ours.
    fn claim(&mut self, link: &str, ip: &IpAddr) {
        let (outcome, said) = match self.evidence.claim(link, ip) {
            Some(Claim { owner: Some(mac), .. }) => (Outcome::Failed, format!("also used by {mac}")),
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
        let unusable = source.and_then(|s| self.unusable.get(&(name.to_owned(), s.to_string())));
        if let Some(root) = unusable.copied() {
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
                let some = passed.map_or_else(String::new, |p| format!(" ({p} do)"));
                (Outcome::Failed, format!("{tried} bytes do not pass{some}"))
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

    pub(super) fn resolver(&mut self, server: &IpAddr) {
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

    pub(super) fn target(&mut self, text: &str, ip: Option<IpAddr>, evidence: Option<&TargetEvidence>) {
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
    pub(super) fn one_of_the_alternatives(&mut self) {
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
