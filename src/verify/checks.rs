//! Which checks follow from the description, and the outcome of each on the evidence so far. Pure: no clock, no kernel.
//!
//! [`judge`] goes through the links from the wire upwards. Where one cannot work, everything above it is
//! [`Outcome::Blocked`] and names its root: without carrier nothing is known about the gateway behind it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use serde::Serialize;

use super::evidence::Evidence;
use super::input::DesiredLink;
use super::lookups::View;
use super::probe::MEASURED;
use crate::diagnostic::Code;
use crate::kernel::live::LinkState;
use crate::plan::{Step, script};

mod image;
mod link;
mod network;
mod route;

pub use super::subject::Subject;

pub(super) use link::FLAPS;
pub(super) use network::is_deaf;
pub(super) use route::route_words;

/// The outcome of a check.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not yet as it should be.
    Waiting,
    /// Not as it should be.
    Failed,
    /// Cannot be known until something below it works: [`Check::root`].
    Blocked,
    /// Not checked, intentionally.
    NotChecked,
    /// It should have been checked but could not be: nothing is known about it.
    Unknown,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What is checked; `netapply explain` describes it.
    pub code: Code,
    /// The link; empty if the check belongs to none.
    pub link: String,
    /// Which part of the link or the machine it is about.
    #[serde(rename = "object", skip_serializing_if = "Subject::is_whole")]
    pub subject: Subject,
    /// Its outcome.
    pub outcome: Outcome,
    /// What was seen, for a person.
    pub finding: String,
    /// For a blocked check: the position of the one that blocks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<usize>,
    /// Its failure is not a fault: the description says so for the link.
    #[serde(skip_serializing_if = "crate::inventory::is_false")]
    pub optional: bool,
}

impl Check {
    /// Whether it is a failure that counts.
    pub fn is_fault(&self) -> bool {
        self.outcome == Outcome::Failed && !self.optional
    }

    /// Whether it should have been checked but could not be, unless its failure would not be a fault.
    pub fn is_unknown(&self) -> bool {
        self.outcome == Outcome::Unknown && !self.optional
    }

    /// What identifies a check: code, link and subject.
    pub fn key(&self) -> (Code, &str, &Subject) {
        (self.code, &self.link, &self.subject)
    }
}

/// Seconds of ten unanswered echoes each after which a gateway that exists is taken to ignore them: at 90 % loss, one
/// of fifty is answered in 199 of 200 cases.
const ECHOES: u32 = 5;

/// How long a check that has waited since `since` may wait, both since the start, within the overall deadline. LACP in
/// slow mode sends every 30 s; classic STP listens and learns for 15 s each.
pub fn until(check: &Check, since: Duration, index: &View<'_>, evidence: &Evidence) -> Duration {
    // Nothing waits for an optional link.
    let most = if check.optional { 5 } else { u64::MAX };
    let seconds = match check.code {
        Code::CheckPresent | Code::CheckUp | Code::CheckMtu | Code::CheckMember | Code::CheckMode => 3,
        Code::CheckDescribed | Code::CheckAddress | Code::CheckRoute => 5,
        Code::CheckCarrier => 30,
        Code::CheckLacp => 40,
        Code::CheckForwarding => 35,
        Code::CheckGateway if !check.optional => return gateway_until(&check.link, since, index, evidence),
        Code::CheckResolver => 15,
        Code::CheckTarget => 20,
        // A gateway that limits echo is sent one size after the other.
        // They take turns, and each measures for a second.
        Code::CheckPathMtu => 40 + (index.gateway_count() / MEASURED) as u64,
        _ => 10,
    };
    since + Duration::from_secs(most.min(seconds))
}

/// The outcome of a check that has waited too long: a probe that ran out of time proves nothing.
pub(super) fn overdue(check: &mut Check) {
    check.outcome = match check.code {
        Code::CheckUnique | Code::CheckPathMtu => {
            check.finding = format!("{}: no result in time", check.finding);
            Outcome::Unknown
        }
        _ => Outcome::Failed,
    };
}

/// A gateway has 10 s once STP lets the switch port forward: once frames of other stations arrive.
fn gateway_until(link: &str, since: Duration, index: &View<'_>, evidence: &Evidence) -> Duration {
    // With thousands of links, none needs a look before a NIC has heard something.
    let nics = if evidence.frames_ms.is_empty() { Vec::new() } else { index.nics_under(link) };
    let first = nics.iter().filter_map(|nic| evidence.frames_ms.get(&nic.name)).min();
    let latest = since + Duration::from_secs(40);
    first.map_or(latest, |first| {
        (since.max(Duration::from_millis(*first)) + Duration::from_secs(10)).min(latest)
    })
}

/// Whether a link can carry what is on top of it.
#[derive(Copy, Clone)]
enum Base {
    /// It works.
    Usable,
    /// The check at this index says that it does not, or not yet.
    Blocked(usize),
    /// It has no carrier by design: a bridge without ports, or one whose description ignores carrier.
    Idle,
}

/// All checks with their outcomes.
pub fn judge(index: &View<'_>, evidence: &Evidence) -> Vec<Check> {
    let input = index.input();
    let mut judge = Judge::new(index, evidence);
    judge.described();
    for link in &input.links {
        judge.base(link, 0);
    }
    for link in &input.links {
        judge.addresses(link);
        judge.gateways(link);
    }
    judge.routes();
    judge.note_obstacles();
    input.resolvers.iter().for_each(|server| judge.resolver(server));
    for (position, target) in input.targets.iter().enumerate() {
        judge.target(position, target, evidence.targets.get(position));
    }
    judge.one_of_the_alternatives();
    judge.image();
    judge.checks
}

struct Judge<'a> {
    index: &'a View<'a>,
    evidence: &'a Evidence,
    checks: Vec<Check>,
    bases: BTreeMap<&'a str, Base>,
    /// Links whose failure is not a fault.
    optional: HashSet<&'a str>,
    /// The current ports of each controller.
    ports: HashMap<&'a str, Vec<&'a LinkState>>,
    /// The address checks that have not passed.
    unusable: HashMap<(&'a str, IpAddr), usize>,
    /// The first check of a link that blocks all traffic, and likewise of its gateways and of its own subnets.
    obstacles: HashMap<&'a str, usize>,
    gateways: HashMap<(&'a str, IpAddr), usize>,
    subnets: HashMap<&'a str, usize>,
}

impl<'a> Judge<'a> {
    fn new(index: &'a View<'a>, evidence: &'a Evidence) -> Self {
        let with_members = |l: &'a DesiredLink| l.members.iter().map(String::as_str).chain([l.name.as_str()]);
        let mut ports: HashMap<&str, Vec<&LinkState>> = HashMap::default();
        for port in &evidence.links {
            if let Some(controller) = &port.controller {
                ports.entry(controller).or_default().push(port);
            }
        }
        Judge {
            index,
            evidence,
            checks: Vec::new(),
            bases: BTreeMap::new(),
            optional: index.input().links.iter().filter(|l| l.optional).flat_map(with_members).collect(),
            ports,
            unusable: HashMap::default(),
            obstacles: HashMap::default(),
            gateways: HashMap::default(),
            subnets: HashMap::default(),
        }
    }

    /// The kernel's state of the link.
    fn state(&self, name: &str) -> Option<&'a LinkState> {
        self.evidence.link(name)
    }

    fn add(&mut self, code: Code, link: &str, subject: Subject, outcome: Outcome, finding: String) -> usize {
        let optional = self.optional.contains(link);
        let link = link.to_owned();
        self.checks.push(Check { code, link, subject, outcome, finding, root: None, optional });
        self.checks.len() - 1
    }

    /// Adds a check that passes or is waited for; returns its base.
    fn require(&mut self, code: Code, link: &str, subject: Subject, holds: bool, finding: String) -> Base {
        let outcome = if holds { Outcome::Passed } else { Outcome::Waiting };
        let at = self.add(code, link, subject, outcome, finding);
        if holds { Base::Usable } else { Base::Blocked(at) }
    }

    fn blocked(&mut self, code: Code, link: &str, subject: Subject, root: usize) -> usize {
        // The root of all, so that nobody has to follow a chain.
        let root = self.checks.get(root).and_then(|c| c.root).unwrap_or(root);
        let finding = self.checks.get(root).map_or_else(String::new, |c| c.finding.clone());
        let at = self.add(code, link, subject, Outcome::Blocked, finding);
        if let Some(check) = self.checks.get_mut(at) {
            check.root = Some(root);
        }
        at
    }

    fn described(&mut self) {
        let rest = &self.evidence.remaining;
        if let Some(why) = &self.evidence.unreviewed {
            let finding = format!("the machine cannot be read: {why}");
            self.add(Code::CheckDescribed, "", Subject::Whole, Outcome::Unknown, finding);
            return;
        }
        let line = |step: &Step| script::line(&step.action);
        let finding = match rest.as_slice() {
            [] => "the kernel's state is as described".to_owned(),
            [one] => format!("still to be done: {}", line(one)),
            [first, ..] => format!("still to be done: {}, and {} more", line(first), rest.len() - 1),
        };
        self.require(Code::CheckDescribed, "", Subject::Whole, rest.is_empty(), finding);
    }
}
