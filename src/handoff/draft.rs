//! The plan while the hand-off is being added to it: files that already have their content need no step, files of an
//! earlier description are removed, and every file depends on the steps of its link.

use std::collections::BTreeSet;

use foldhash::HashMap;

use super::image::Presence;
use super::record::{RECORD, Record};
use super::{APPLIED, CHRONY, CONNMAN, DHCPCD, IFUPDOWN, MADE, MARKERS, Surroundings, TIMESYNCD};
use crate::model::Place;
use crate::order::{Few as _, Order as _};
use crate::plan::{Action, LinkChange, Manager, Plan, Service, Step, StepId};
use crate::resolve::ResolvedLink;

/// The plan, and what the hand-off adds to it.
pub(super) struct PlanDraft<'a> {
    pub(super) surroundings: &'a Surroundings,
    plan: &'a mut Plan,
    /// Steps before the network's: a running tool releases a link before the first change. They depend on each other
    /// only.
    first: Vec<Step>,
    /// The steps that configure a described link (by id).
    essential: HashMap<String, Vec<StepId>>,
    /// Every file of the hand-off, whether it exists or has to be written.
    files: BTreeSet<String>,
    /// The same for records in resolvconf(8).
    records: BTreeSet<String>,
    record: Record,
    notes: Vec<String>,
}

/// What a step of the hand-off is for.
#[derive(Clone, Copy)]
pub(super) enum For<'a> {
    /// This link: the step depends on everything that configures the link.
    Link(&'a ResolvedLink),
    /// The resolver, whose servers this link leads to. If it fails, the link is still not another tool's.
    Resolver(&'a ResolvedLink),
    /// All links: it depends on everything that configures any of them.
    All,
    /// Before the first change.
    First,
}

impl<'a> PlanDraft<'a> {
    pub(super) fn new(plan: &'a mut Plan, surroundings: &'a Surroundings) -> Self {
        let mut essential: HashMap<String, Vec<StepId>> = HashMap::default();
        for (id, step) in plan.numbered() {
            if is_essential(plan, step) {
                essential.entry(step.link.clone()).or_default().push(id);
            }
        }
        PlanDraft {
            surroundings,
            plan,
            first: Vec::new(),
            essential,
            files: BTreeSet::new(),
            records: BTreeSet::new(),
            record: Record::default(),
            notes: Vec::new(),
        }
    }

    /// Adds a note, a complete sentence.
    pub(super) fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Whether a tool of this state reads such a file before it manages the link for the first time: one that runs is not
    /// made to begin anew.
    pub(super) fn learns(&self, tool: Presence, path: &str) -> bool {
        tool > Presence::Masked && (tool != Presence::Running || self.surroundings.files.contains_key(path))
    }

    /// Writes a file, unless it already has this content.
    pub(super) fn file(&mut self, whose: For, path: impl Into<String>, content: impl Into<String>) {
        let (path, content) = (path.into(), content.into());
        let there = self.surroundings.files.get(&path) == Some(&content);
        if self.files.insert(path.clone()) && !there {
            self.push(whose, Action::WriteFile { path, content });
        }
    }

    /// Writes a file that is not netapply's alone: its earlier content is recorded.
    pub(super) fn file_of_others(&mut self, whose: For, path: &str, content: String) {
        let before = self.surroundings.record.files.get(path).cloned();
        let present = || self.surroundings.files.get(path).filter(|text| !is_ours(text)).cloned();
        self.record.files.insert(path.to_owned(), before.unwrap_or_else(present));
        self.file(whose, path, content);
    }

    /// Leaves another program's file unchanged, and keeps its record.
    pub(super) fn keep(&mut self, path: &str) {
        self.files.insert(path.to_owned());
        if let Some(before) = self.surroundings.record.files.get(path) {
            self.record.files.insert(path.to_owned(), before.clone());
        }
    }

    /// Passes name servers to resolvconf(8), unless it has them.
    pub(super) fn resolvconf(&mut self, whose: For, program: &str, record: String, content: String) {
        // Debian's keeps its records in `interface`, openresolv in `interfaces`, since 3.14 in `keys`.
        let mut folders = ["interface", "interfaces", "keys"].iter();
        let there = folders.any(|folder| {
            let path = format!("/run/resolvconf/{folder}/{record}");
            self.surroundings.files.get(&path).is_some_and(|text| text.trim() == content.trim())
        });
        self.records.insert(record.clone());
        if !there {
            let program = program.to_owned();
            self.push(whose, Action::Resolvconf { program, record, content: Some(content) });
        }
    }

    /// Makes NetworkManager release a link before the first change, if it manages it now.
    pub(super) fn release(&mut self, link: &ResolvedLink) {
        let surroundings = self.surroundings;
        let name = &link.name;
        if surroundings.managed.contains(&(name.clone(), Manager::NetworkManager)) {
            let action = Action::Manage { link: name.clone(), by: Manager::NetworkManager, on: false };
            self.push(For::First, action);
            self.record.released.push(name.clone());
        } else if surroundings.record.released.contains(name) {
            self.record.released.push(name.clone());
        }
    }

    /// Leaves everything unchanged that does not belong to these links alone.
    pub(super) fn keep_all_but(&mut self, links: &[String]) {
        let surroundings = self.surroundings;
        let file_names = |link: &String| {
            let marker = format!("{MARKERS}/{link}");
            let network =
                ["00", "!00", "zz"].map(|r| format!("/run/systemd/network/{r}-netapply-{link}.network"));
            let manager = format!("/run/NetworkManager/conf.d/00-netapply-{link}.conf");
            [vec![marker, manager, APPLIED.to_owned()], network.to_vec()].concat()
        };
        let theirs: BTreeSet<String> = links.iter().flat_map(file_names).few();
        self.files = surroundings.files.keys().filter(|path| !theirs.contains(*path)).cloned().few();
        self.records = surroundings.stale_records(&BTreeSet::new()).into_iter().map(str::to_owned).few();
        self.record = surroundings.record.clone();
        self.record.released.retain(|link| !links.contains(link));
        for path in [DHCPCD, CONNMAN, IFUPDOWN] {
            if let Some(text) = surroundings.files.get(path) {
                self.files.remove(path);
                self.file(For::All, path, without(text, links));
            }
        }
    }

    /// Sets the machine's host name.
    pub(super) fn host_name(&mut self, name: &str) {
        let action = Action::Sysctl { key: "kernel/hostname".into(), value: name.to_owned() };
        self.plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
    }

    fn push(&mut self, whose: For, action: Action) {
        let (at, link, mut needs) = match whose {
            For::Link(link) | For::Resolver(link) => {
                let id = link.desired.id.clone();
                (link.desired.at, id.clone(), self.essential.get(&id).cloned().unwrap_or_default())
            }
            For::All => (Place::NONE, String::new(), self.essential.values().flatten().copied().collect()),
            For::First => {
                let needs = (0..self.first.len()).map(StepId).collect();
                self.first.push(Step { action, at: Place::NONE, link: String::new(), needs });
                return;
            }
        };
        needs.order();
        let number = StepId(self.plan.steps.len());
        // A marker comes after what it stands for: it depends on every file that was written for its link.
        match whose {
            For::Resolver(_) => {}
            For::Link(_) => self.essential.entry(link.clone()).or_default().push(number),
            For::All | For::First => self.essential.entry(String::new()).or_default().push(number),
        }
        self.plan.steps.push(Step { action, at, link, needs });
    }

    /// Removes what an earlier description left, makes running services reload, and returns the notes.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.take_back();
        self.keep_record();
        let paths = |steps: &[Step]| -> Vec<String> {
            let path = |step: &Step| match &step.action {
                Action::WriteFile { path, .. } | Action::RemoveFile { path } => Some(path.clone()),
                _ => None,
            };
            steps.iter().filter_map(path).collect()
        };
        let first = paths(&self.first);
        for service in self.refreshed(&first) {
            self.push(For::First, Action::Refresh(service));
            if matches!(service, Service::Networkd | Service::NetworkdAgain) {
                for (link, _) in self.surroundings.managed.iter().filter(|(_, by)| *by == Manager::Networkd) {
                    let waits = Action::Manage { link: link.clone(), by: Manager::Networkd, on: false };
                    self.push(For::First, waits);
                }
            }
        }
        for service in self.refreshed(&paths(&self.plan.steps)) {
            // Depends on those of the files that were written.
            let action = Action::Refresh(service);
            self.plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
        }
        for service in self.surroundings.record.released.clone() {
            if !self.record.released.contains(&service)
                && self.surroundings.network_manager == Presence::Running
            {
                let action = Action::Manage { link: service, by: Manager::NetworkManager, on: true };
                self.plan.steps.push(Step {
                    action,
                    at: Place::NONE,
                    link: String::new(),
                    needs: Vec::new(),
                });
            }
        }
        let shift = self.first.len();
        for step in &mut self.plan.steps {
            step.needs.iter_mut().for_each(|need| need.0 += shift);
        }
        self.plan.steps.splice(..0, self.first);
        self.notes
    }

    /// Which running services have to reread these paths.
    fn refreshed(&self, paths: &[String]) -> Vec<Service> {
        let Surroundings { networkd, network_manager, resolved, dhcpcd, connman, .. } = self.surroundings;
        let Surroundings { timesyncd, chrony, chronyd, .. } = self.surroundings;
        let below = |folder: &str| paths.iter().any(|path| path.starts_with(folder));
        let mut services = Vec::new();
        if *network_manager == Presence::Running && below("/run/NetworkManager/conf.d/") {
            services.push(Service::NetworkManager);
        }
        if *networkd == Presence::Running {
            match (below("/run/systemd/networkd.conf.d/"), below("/run/systemd/network/")) {
                (true, _) => services.push(Service::NetworkdAgain),
                (false, true) => services.push(Service::Networkd),
                (false, false) => {}
            }
        }
        if *resolved == Presence::Running && below("/run/systemd/resolved.conf.d/") {
            services.push(Service::Resolved);
        }
        let restarts = [
            (dhcpcd, DHCPCD, Service::Dhcpcd),
            (connman, CONNMAN, Service::Connman),
            (timesyncd, TIMESYNCD, Service::Timesyncd),
            (chrony, CHRONY, Service::Chrony),
            (chronyd, CHRONY, Service::Chronyd),
        ];
        for (presence, list, service) in restarts {
            if *presence == Presence::Running && paths.iter().any(|path| path == list) {
                services.push(service);
            }
        }
        services
    }

    /// Removes netapply's own files that are no longer part of the hand-off, and restores those of others.
    fn take_back(&mut self) {
        let surroundings = self.surroundings;
        let mut actions: Vec<Action> = surroundings
            .stale(&self.files)
            .map(|path| Action::RemoveFile { path: path.to_owned() })
            .collect();
        for record in surroundings.stale_records(&self.records) {
            if let Some(resolvconf) = &surroundings.resolvconf {
                let (program, record) = (resolvconf.program.clone(), record.to_owned());
                actions.push(Action::Resolvconf { program, record, content: None });
            }
        }
        for (path, before) in surroundings.record.files.iter().filter(|(path, _)| !self.files.contains(*path))
        {
            // Another program has written it since: it is theirs.
            if !surroundings.files.get(path).is_some_and(|text| is_ours(text)) {
                continue;
            }
            let path = path.clone();
            actions.push(match before {
                Some(content) => Action::WriteFile { path, content: content.clone() },
                None => Action::RemoveFile { path },
            });
        }
        for action in actions {
            self.plan.steps.push(Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
        }
    }

    /// Keeps the record before another program's first file is written, so that a killed run leaves it; drops it last.
    fn keep_record(&mut self) {
        let path = RECORD.to_owned();
        let there = self.surroundings.files.contains_key(RECORD);
        if self.record == Record::default() {
            if there {
                let action = Action::RemoveFile { path };
                self.plan.steps.push(Step {
                    action,
                    at: Place::NONE,
                    link: String::new(),
                    needs: Vec::new(),
                });
            }
        } else if self.record != self.surroundings.record {
            let action = Action::WriteFile { path, content: self.record.text() };
            self.first.insert(0, Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() });
            // The steps after it depend on each other, not on the record.
            for step in self.first.iter_mut().skip(1) {
                step.needs.iter_mut().for_each(|need| need.0 += 1);
            }
        }
    }
}

/// A list of links that a tool must not manage, without some of them. The first such line is netapply's.
fn without(text: &str, links: &[String]) -> String {
    const LISTS: [(&str, char); 3] =
        [("denyinterfaces ", ' '), ("EXCLUDE_INTERFACES=\"", ' '), ("NetworkInterfaceBlacklist = ", ',')];
    let mut lists = LISTS.iter();
    let line = |line: &str| {
        let found = lists.clone().find_map(|(key, between)| Some((key, between, line.strip_prefix(key)?)));
        let Some((key, between, list)) = found else { return format!("{line}\n") };
        lists = [].iter();
        let (list, end) = list.strip_suffix('"').map_or((list, ""), |list| (list, "\""));
        let kept: Vec<&str> = list.split(*between).filter(|name| !links.iter().any(|l| l == name)).collect();
        match kept[..] {
            [] => String::new(),
            _ => format!("{key}{}{end}\n", kept.join(&between.to_string())),
        }
    };
    text.lines().map(line).collect()
}

/// Whether netapply has written this text.
fn is_ours(text: &str) -> bool {
    text.starts_with(MADE) || text.contains(super::CLOUD_INIT_OFF)
}

/// Whether a link without this step lacks something described. An alternative name, offloads and wake-on-LAN are no
/// reason to leave a working link to another tool; and what waits for duplicate detection on a link without carrier is
/// pending, not refused: no other tool could do more for it.
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
