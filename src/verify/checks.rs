//! Which checks follow from the description, and how each stands on the evidence so far. Pure: no clock, no kernel.
//!
//! [`judge`] goes through the links from the wire upwards. Where one cannot work, what stands on it is
//! [`Outcome::Blocked`] and names its root: with no carrier there is no word about the gateway behind it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

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
pub(super) use route::route_words;

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
    /// Not checked, and not meant to be.
    NotChecked,
    /// It should have been checked and could not be: nothing is known of it.
    Unknown,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What is checked; `netapply explain` has the words.
    pub code: Code,
    /// The link; empty for what belongs to none.
    pub link: String,
    /// What of the link, or of the machine, it is about.
    #[serde(rename = "object", skip_serializing_if = "Subject::is_whole")]
    pub subject: Subject,
    /// How it stands.
    pub outcome: Outcome,
    /// What was seen, for a person.
    pub finding: String,
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

    /// True for what should have been checked and could not be, unless its failure would be no fault.
    pub fn is_unknown(&self) -> bool {
        self.outcome == Outcome::Unknown && !self.optional
    }

    /// Code, link and subject tell checks apart.
    pub fn key(&self) -> (Code, &str, &Subject) {
        (self.code, &self.link, &self.subject)
    }
}

/// So many seconds of ten echoes each unanswered by a gateway that is there mean that it ignores them: where nine of ten are
/// lost, one of fifty is answered in 199 of 200 cases.
const ECHOES: u32 = 5;

/// Until when a check may wait that has waited since `since`, both since the start, within the deadline of all. LACP in
/// slow mode sends every 30 s; classic STP listens and learns for 15 s each.
pub fn until(check: &Check, since: Duration, index: &View<'_>, evidence: &Evidence) -> Duration {
    // Nobody is kept waiting for what may be missing.
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
        // One that limits echo is sent one size after the other.
        // They take turns, and each measures for a second.
        Code::CheckPathMtu => 40 + (index.gateway_count() / MEASURED) as u64,
        _ => 10,
    };
    since + Duration::from_secs(most.min(seconds))
}

/// What becomes of a check that has waited too long: a question that the time did not suffice for is no answer.
pub(super) fn overdue(check: &mut Check) {
    check.outcome = match check.code {
        Code::CheckUnique | Code::CheckPathMtu => {
            check.finding = format!("{}: no result in time", check.finding);
            Outcome::Unknown
        }
        _ => Outcome::Failed,
    };
}

/// A gateway has 10 s once the switch's port is through with STP: once frames of other stations arrive.
fn gateway_until(link: &str, since: Duration, index: &View<'_>, evidence: &Evidence) -> Duration {
    // Of thousands of links none needs to be looked at before a NIC has heard something.
    let nics = if evidence.frames_ms.is_empty() { Vec::new() } else { index.nics_under(link) };
    let first = nics.iter().filter_map(|nic| evidence.frames_ms.get(&nic.name)).min();
    let latest = since + Duration::from_secs(40);
    first.map_or(latest, |first| {
        (since.max(Duration::from_millis(*first)) + Duration::from_secs(10)).min(latest)
    })
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
    /// Links whose failure is no fault.
    optional: HashSet<&'a str>,
    /// The ports of each controller, as they are now.
    ports: HashMap<&'a str, Vec<&'a LinkState>>,
    /// The checks of addresses that have not passed.
    unusable: HashMap<(&'a str, IpAddr), usize>,
    /// The first check of a link that keeps anything from passing, and the same of its gateways and of its own subnets.
    obstacles: HashMap<&'a str, usize>,
    gateways: HashMap<(&'a str, IpAddr), usize>,
    subnets: HashMap<&'a str, usize>,
}

impl<'a> Judge<'a> {
    fn new(index: &'a View<'a>, evidence: &'a Evidence) -> Self {
        let with_members = |l: &'a DesiredLink| l.members.iter().map(String::as_str).chain([l.name.as_str()]);
        let mut ports: HashMap<&str, Vec<&LinkState>> = HashMap::new();
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
            unusable: HashMap::new(),
            obstacles: HashMap::new(),
            gateways: HashMap::new(),
            subnets: HashMap::new(),
        }
    }

    /// What the kernel says of a link.
    fn state(&self, name: &str) -> Option<&'a LinkState> {
        self.evidence.link(name)
    }

    fn add(&mut self, code: Code, link: &str, subject: Subject, outcome: Outcome, finding: String) -> usize {
        let optional = self.optional.contains(link);
        let link = link.to_owned();
        self.checks.push(Check { code, link, subject, outcome, finding, root: None, optional });
        self.checks.len() - 1
    }

    /// Adds a check that passes or is waited for; gives its base.
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
