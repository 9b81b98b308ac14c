//! The checks of where packets go: the kernel's own lookup against the description.

use foldhash::HashSet;

use super::{Base, Judge, Outcome, Subject};
use crate::diagnostic::Code;
use crate::plan::Action;
use crate::verify::evidence::{FoundRoute, Routing};
use crate::verify::lookups::{self, Goal, Standing};

impl<'a> Judge<'a> {
    /// The lookups of gateways and described routes; those that are as described are only counted.
    pub(super) fn routes(&mut self) {
        if self.evidence.lookups.is_empty() {
            return;
        }
        let undone = self.undone();
        let mut fine: Vec<(&'a str, usize)> = Vec::new();
        let mut failed: HashSet<(&str, &Subject)> = HashSet::default();
        for goal in self.index.goals().iter().filter(|goal| !goal.link.is_empty()) {
            let name = goal.link.as_str();
            let usable = matches!(self.bases.get(name), Some(Base::Usable)) && !undone.contains(name);
            let source = goal.question.from.or(goal.source);
            let ready = source.is_none_or(|source| !self.unusable.contains_key(&(name, source)));
            // One failure per route is enough, however many of its addresses were looked up.
            if !usable || !ready || failed.contains(&(name, &goal.subject)) {
                continue;
            }
            match self.stand(goal) {
                None => match fine.last_mut().filter(|(last, _)| *last == name) {
                    Some((_, count)) => *count += 1,
                    None => fine.push((name, 1)),
                },
                Some(_) => {
                    failed.insert((name, &goal.subject));
                }
            }
        }
        for (name, count) in fine {
            let plural = if count == 1 { "" } else { "s" };
            let finding = format!("the kernel agrees in {count} lookup{plural}");
            self.add(Code::CheckRoute, name, Subject::Whole, Outcome::Passed, finding);
        }
    }

    /// Links with remaining steps that decide where packets go: their lookups say nothing new.
    fn undone(&self) -> HashSet<&'a str> {
        let routing = |action: &Action| {
            !matches!(
                action,
                Action::Sysctl { .. }
                    | Action::StableSecret { .. }
                    | Action::Feature { .. }
                    | Action::WakeOnLan { .. }
                    | Action::WriteFile { .. }
            )
        };
        let steps = self.evidence.remaining.iter().filter(|step| routing(&step.action));
        steps.flat_map(|step| step.action.link().into_iter().chain(self.index.name_of(&step.link))).collect()
    }

    /// Adds the check of a goal, unless it is as described.
    fn stand(&mut self, goal: &Goal) -> Option<usize> {
        let (code, link, subject) = (Code::CheckRoute, goal.link.as_str(), goal.subject.clone());
        match goal.standing(self.index, self.evidence) {
            Standing::AsDescribed | Standing::Local => None,
            Standing::NotAsked => {
                Some(self.add(code, link, subject, Outcome::Waiting, "not asked yet".into()))
            }
            Standing::Failed(words) => {
                let finding = format!("the kernel's lookup failed: {words}");
                Some(self.add(code, link, subject, Outcome::Unknown, finding))
            }
            Standing::Differs(found) => {
                self.require(code, link, subject, false, words(found));
                Some(self.checks.len() - 1)
            }
            Standing::Preferred(route) => {
                let at = self.add(code, link, subject, Outcome::Failed, route_words(route));
                if let Some(check) = self.checks.get_mut(at) {
                    check.optional = true;
                }
                Some(at)
            }
        }
    }

    /// The lookup of a name server or target: `Err` says that it is this machine itself. A difference is a check of its
    /// own, and how packets leave instead is returned as text for the answer.
    pub(super) fn host(&mut self, subject: &Subject, ip: std::net::IpAddr) -> Result<String, ()> {
        let Some(goal) = lookups::host(self.index, subject.clone(), ip) else { return Ok(String::new()) };
        if self.evidence.lookup(&goal.question).is_none() {
            return Ok(String::new());
        }
        match goal.standing(self.index, self.evidence) {
            Standing::Local => return Err(()),
            Standing::Differs(Routing::Route(route)) | Standing::Preferred(route) => {
                let words = format!(", {}", route_words(route));
                self.stand(&goal);
                return Ok(words);
            }
            _ => {}
        }
        self.stand(&goal);
        Ok(String::new())
    }
}

/// What the kernel would do with the packet.
fn words(found: &Routing) -> String {
    match found {
        Routing::Route(route) => route_words(route),
        Routing::NoRoute => "the kernel has no route there".to_owned(),
        Routing::Forbidden(kind) => format!("the kernel refuses to send there: {}", kind.word()),
        Routing::NotOurSource => "the described source is not an address of this machine".to_owned(),
        Routing::Failed(words) => words.clone(),
    }
}

/// `leaves by eth1 via 10.1.0.1 from 10.1.0.2`.
pub(in crate::verify) fn route_words(route: &FoundRoute) -> String {
    let part = |word: &str, value: Option<String>| value.map_or_else(String::new, |v| format!(" {word} {v}"));
    let link = part("by", route.link.clone());
    let via = part("via", route.via.map(|via| via.to_string()));
    let from = part("from", route.source.map(|source| source.to_string()));
    let leaves = if route.passed_over { "would leave" } else { "leaves" };
    format!("{leaves}{link}{via}{from}")
}
