//! Which checks follow from the description, and how each stands on the evidence so far. Pure: no clock, no kernel.
//!
//! [`judge`] goes through the links from the wire upwards. Where one cannot work, what stands on it is
//! [`Outcome::Blocked`] and names its root: with no carrier there is no word about the gateway behind it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::evidence::Evidence;
use super::input::{Expected, Input};
use crate::diagnostic::Code;
use crate::kernel::live::{AddressState, LinkState};

mod link;
mod network;

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

/// Until when a check may wait that has waited since `since`, both since the start, within the deadline of all. LACP in
/// slow mode sends every 30 s; classic STP listens and learns for 15 s each.
pub fn until(check: &Check, since: Duration, input: &Input, evidence: &Evidence) -> Duration {
    // Nobody is kept waiting for what may be missing.
    let most = if check.optional { 5 } else { u64::MAX };
    let seconds = match check.code {
        Code::CheckPresent | Code::CheckUp | Code::CheckMtu | Code::CheckMember | Code::CheckMode => 3,
        Code::CheckDescribed | Code::CheckAddress => 5,
        Code::CheckCarrier => 30,
        Code::CheckLacp => 40,
        Code::CheckForwarding => 35,
        Code::CheckGateway if !check.optional => return gateway_until(&check.link, since, input, evidence),
        Code::CheckResolver => 15,
        Code::CheckTarget => 20,
        _ => 10,
    };
    since + Duration::from_secs(most.min(seconds))
}

/// A gateway has 10 s once the switch's port is through with STP: once frames of other stations arrive.
fn gateway_until(link: &str, since: Duration, input: &Input, evidence: &Evidence) -> Duration {
    // Of thousands of links none needs to be looked at before a NIC has heard something.
    let nics = if evidence.frames_ms.is_empty() { Vec::new() } else { input.nics_under(link) };
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
pub fn judge(input: &Input, evidence: &Evidence) -> Vec<Check> {
    let mut judge = Judge::new(input, evidence);
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
    /// By name or number, because there may be a thousand links with as many addresses.
    wanted: HashMap<&'a str, &'a Expected>,
    links: HashMap<&'a str, &'a LinkState>,
    addresses: HashMap<(u32, IpAddr), &'a AddressState>,
    /// Links whose failure is no fault.
    optional: HashSet<&'a str>,
    /// The checks of addresses that have not passed, by link and address.
    unusable: HashMap<(String, String), usize>,
}

impl<'a> Judge<'a> {
    fn new(input: &'a Input, evidence: &'a Evidence) -> Self {
        let with_members = |l: &'a Expected| l.members.iter().map(String::as_str).chain([l.name.as_str()]);
        Judge {
            input,
            evidence,
            checks: Vec::new(),
            bases: BTreeMap::new(),
            // The first of equal names.
            wanted: input.links.iter().rev().map(|l| (l.name.as_str(), l)).collect(),
            links: evidence.links.iter().map(|l| (l.name.as_str(), l)).collect(),
            addresses: evidence.addresses.iter().map(|a| ((a.index, a.ip), a)).collect(),
            optional: input.links.iter().filter(|l| l.optional).flat_map(with_members).collect(),
            unusable: HashMap::new(),
        }
    }

    /// What the kernel says of a link.
    fn state(&self, name: &str) -> Option<&'a LinkState> {
        self.links.get(name).copied()
    }

    fn add(&mut self, code: Code, link: &str, object: &str, outcome: Outcome, said: String) -> usize {
        let optional = self.optional.contains(link);
        let (link, object) = (link.to_owned(), object.to_owned());
        if code == Code::CheckAddress && outcome != Outcome::Passed {
            self.unusable.entry((link.clone(), object.clone())).or_insert(self.checks.len());
        }
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
}
