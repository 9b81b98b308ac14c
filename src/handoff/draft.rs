//! The plan while the hand-off is being added to it: files that are there already are no steps, files of an earlier
//! description go, and every file needs the steps of the link that it speaks of.

use std::collections::{BTreeSet, HashMap};

use super::Surroundings;
use crate::model::Place;
use crate::plan::{Action, LinkChange, Plan, Service, Step, StepId};
use crate::resolve::ResolvedLink;

/// See the module.
pub(super) struct Draft<'a> {
    pub(super) surroundings: &'a Surroundings,
    plan: &'a mut Plan,
    /// The steps that give a described link (by id) what is described.
    essential: HashMap<String, Vec<StepId>>,
    /// Every file that the hand-off consists of, whether it is there or has to be written.
    wanted: BTreeSet<String>,
    notes: Vec<String>,
}

/// What a step of the hand-off is for.
#[derive(Clone, Copy)]
pub(super) enum For<'a> {
    /// This link: the step needs everything that the link gets.
    Link(&'a ResolvedLink),
    /// All links: it needs everything that any of them gets.
    All,
}

impl<'a> Draft<'a> {
    pub(super) fn new(plan: &'a mut Plan, surroundings: &'a Surroundings) -> Self {
        let mut essential: HashMap<String, Vec<StepId>> = HashMap::new();
        for (id, step) in plan.numbered() {
            if is_essential(plan, step) {
                essential.entry(step.link.clone()).or_default().push(id);
            }
        }
        Draft { surroundings, plan, essential, wanted: BTreeSet::new(), notes: Vec::new() }
    }

    /// Says a complete sentence to the person.
    pub(super) fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Writes a file, unless it is there with this content. True where it has to be written.
    pub(super) fn file(&mut self, whose: For, path: impl Into<String>, content: impl Into<String>) -> bool {
        let (path, content) = (path.into(), content.into());
        self.wanted.insert(path.clone());
        let there = self.surroundings.files.get(&path) == Some(&content);
        if !there {
            self.push(whose, Action::WriteFile { path, content });
        }
        !there
    }

    /// Hands name servers to resolvconf(8), unless it has them. True where it has to be done.
    pub(super) fn resolvconf(&mut self, whose: For, program: &str, record: String, content: String) -> bool {
        // Debian's keeps its records in `interface`, openresolv in `interfaces`, since 3.14 in `keys`.
        let mut folders = ["interface", "interfaces", "keys"].iter();
        let there = folders.any(|folder| {
            let path = format!("/run/resolvconf/{folder}/{record}");
            self.surroundings.files.get(&path).is_some_and(|text| text.trim() == content.trim())
        });
        if !there {
            let program = program.to_owned();
            self.push(whose, Action::Resolvconf { program, record, content });
        }
        !there
    }

    /// Writes a setting below /proc/sys that belongs to no link.
    pub(super) fn sysctl(&mut self, key: &str, value: &str) {
        let action = Action::Sysctl { key: key.to_owned(), value: value.to_owned() };
        self.plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
    }

    /// Has a service read again what the last steps have written, whichever of them were done.
    pub(super) fn refresh(&mut self, service: Service) {
        let action = Action::Refresh(service);
        self.plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
    }

    /// Whether a file below this folder is written or removed by the plan.
    fn writes_below(&self, folder: &str) -> bool {
        self.plan.steps.iter().any(|step| match &step.action {
            Action::WriteFile { path, .. } | Action::RemoveFile { path } => path.starts_with(folder),
            _ => false,
        })
    }

    fn push(&mut self, whose: For, action: Action) {
        let (at, link, mut needs) = match whose {
            For::Link(link) => {
                let id = link.desired.id.clone();
                (link.desired.at, id.clone(), self.essential.get(&id).cloned().unwrap_or_default())
            }
            For::All => (Place::NONE, String::new(), self.essential.values().flatten().copied().collect()),
        };
        needs.sort_unstable();
        self.plan.steps.push(Step { action, at, link, needs });
    }

    /// Removes what an earlier description left, has a running networkd read what there is now, and returns what was said.
    pub(super) fn finish(mut self) -> Vec<String> {
        let stale: Vec<String> = self.surroundings.stale(&self.wanted).map(str::to_owned).collect();
        for path in stale {
            let action = Action::RemoveFile { path };
            self.plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
        }
        if self.surroundings.networkd_runs && self.writes_below("/run/systemd/network/") {
            self.refresh(Service::Networkd);
        }
        self.notes
    }
}

/// Whether a link without this step did not get what is described. A further name, offloads and wake-on-LAN are no
/// reason to give a working link to somebody else; and what waits for duplicate detection on a link without carrier is
/// pending, not refused: nobody else could do more for it.
fn is_essential(plan: &Plan, step: &Step) -> bool {
    let waits =
        |step: &Step| matches!(step.action, Action::AwaitAddresses { .. } | Action::AwaitCarrier { .. });
    let extra = matches!(
        step.action,
        Action::Feature { .. }
            | Action::WakeOnLan { .. }
            | Action::SetLink { change: LinkChange::AddAltName(_), .. }
    );
    let pending = waits(step) || step.needs.iter().any(|need| plan.step(*need).is_some_and(waits));
    !extra && !pending
}
