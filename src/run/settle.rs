//! Plans and applies, again for each NIC that appears late, until everything described exists or the deadline has
//! passed.
//!
//! A NIC counts as missing until udev has finished with it: one that is brought up before it is renamed keeps the name
//! `eth0` forever on older kernels. What exists is applied at once; the rest follows when it appears.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::leases::Leasing;
use super::options::DhcpWords;
use super::pipeline::{self, Handoff, Planned, Who};
use super::rehearsal::Rehearsal;
use super::saved;
use crate::diagnostic::{Diagnostic, Severity, worst};
use crate::handoff::{MARKERS, Surroundings, take_back};
use crate::inventory::{Inventory, ObservedLink, Owed};
use crate::kernel::apply::{self, AfterFailure, Cost, PlanOutcome, StepOutcome, apply};
use crate::kernel::effects::{Effects, Real};
use crate::kernel::monitor::{Group, Monitor};
use crate::kernel::names::Names;
use crate::kernel::read;
use crate::kernel::session::{Failure, Session};
use crate::kernel::trouble::Trouble;
use crate::lease::entry::LeaseEntry;
use crate::machine::Machine;
use crate::model::{Desired, Kind};
use crate::plan::{self, Action, Plan, Step};
use crate::rehearse::nics::StandIn;
use crate::report::timeline::Clock;
use crate::resolve::Resolved;
use crate::source::Watch;

/// One plan and its outcome.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) plan: Plan,
    pub(super) outcome: PlanOutcome,
}

impl Round {
    /// Without the steps that were not done: another plan contains those.
    fn of_done(plan: Plan, outcome: PlanOutcome) -> Self {
        let PlanOutcome { steps, unsure, inverses } = outcome;
        let is_done = |outcome: &StepOutcome| matches!(outcome, StepOutcome::Done { .. });
        let done = plan.steps.into_iter().zip(steps).filter(|(_, outcome)| is_done(outcome));
        let (plan, steps) = done.unzip();
        Round { plan: Plan { steps: plan }, outcome: PlanOutcome { steps, unsure, inverses } }
    }
}

/// What was done, and the machine after it.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// One round, and one more for each time that NICs appeared late.
    pub(super) rounds: Vec<Round>,
    /// The description resolved on the machine as it was before the last round.
    pub(super) resolved: Resolved,
    /// The diagnostics of resolving then.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The machine after the last round, and the remaining steps.
    pub(super) after: Planned,
    /// What the rest of the image cannot be told: complete sentences.
    pub(super) handoff_warnings: Vec<String>,
    /// The run was stopped by a signal.
    pub(super) interrupted: bool,
    /// A step failed and everything was undone; or why that could not be done in full.
    pub(super) undone: Option<Result<(), NotUndone>>,
}

/// Why not everything could be undone.
#[derive(Debug)]
pub(super) enum NotUndone {
    /// The kernel's state could not be read.
    Unread(Failure),
    /// A step of the undo failed.
    Step {
        /// The equivalent ip(8) command.
        line: String,
        /// The error.
        trouble: Trouble,
    },
}

impl fmt::Display for NotUndone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotUndone::Unread(failure) => failure.fmt(f),
            NotUndone::Step { line, trouble } => write!(f, "{line}: {trouble}"),
        }
    }
}

/// How to proceed.
pub(super) struct SettleOptions<'a> {
    /// The machine.
    pub(super) machine: &'a Machine,
    /// All or nothing: nothing is done while anything is missing, and a failed step undoes those before it.
    pub(super) strict: bool,
    /// How long to wait for described NICs that are missing.
    pub(super) nics: Duration,
    /// Hand off to the rest of the image.
    pub(super) handoff: bool,
    /// Where the time goes.
    pub(super) clock: &'a Clock,
    /// The host name from the drive.
    pub(super) hostname: Option<&'a str>,
    /// Who requests leases.
    pub(super) dhcp: Who,
    /// How netapply requests them.
    pub(super) dhcp_options: &'a DhcpWords,
    /// A service started later in this boot requests them and waits.
    pub(super) boot: bool,
    /// A rehearsal, which leaves the machine's files alone.
    pub(super) rehearsal: Option<&'a Rehearsal>,
}

impl SettleOptions<'_> {
    /// What makes the steps that are not netlink.
    fn effects(&self) -> Box<dyn Effects> {
        let real = Real::on(self.machine);
        match self.rehearsal {
            None => Box::new(real),
            Some(rehearsal) => Box::new(rehearsal.recorder(real, self.machine)),
        }
    }

    /// The NICs that stand in for others.
    fn stand_ins(&self) -> &[StandIn] {
        self.rehearsal.map_or(&[], |rehearsal| rehearsal.stand_ins())
    }
}

/// How often a new plan is made because a reply of the kernel was lost, or a tool has let a link go.
const PLANS_AGAIN: usize = 2;

/// How long udev may take with an existing NIC.
pub(super) const UDEV_BOUND: Duration = Duration::from_secs(30);

/// Makes the machine as described. `stop` ends it at the next step.
pub(super) async fn settle(
    session: &mut Session,
    desired: &Desired,
    how: &SettleOptions<'_>,
    stop: &mut (impl Future<Output = ()> + Unpin),
    progress: &mut dyn FnMut(&str),
) -> Result<Settled, Failure> {
    // Before the first look, so that later changes are events.
    let mut links = Monitor::open(&[Group::Link])?;
    let mut udev = Watch::kernel_and_udev().ok();
    let begin = Instant::now();
    let mut settled = Settled::default();
    let mut told = String::new();
    // The machine before the first of several plans under `--strict`.
    let mut earlier: Option<Inventory> = None;
    let request = pipeline::PlanRequest {
        await_udev: true,
        handoff: how.handoff.then_some(Handoff { hostname: how.hostname }),
        dhcp: Some(how.dhcp),
        ..pipeline::PlanRequest::of_network(how.machine, desired, how.stand_ins())
    };
    let mut leasing = Leasing::new(how.dhcp_options.clone());
    let unchanged = loop {
        // After the bound a NIC is used as it is: a hanging udev must not keep the machine off the network.
        let late = begin.elapsed() >= UDEV_BOUND;
        let request = pipeline::PlanRequest { await_udev: !late, ..request };
        let mut planned = how.clock.during("plan", pipeline::plan(&request, session)).await?;
        settled.handoff_warnings = std::mem::take(&mut planned.handoff_warnings);
        let held_back = how.strict && worst(&planned.diagnostics) == Some(Severity::Error);
        let unchanged = planned.plan.steps.is_empty() || held_back;
        if !unchanged {
            let round = round(session, how, !late, &mut planned, &mut settled, stop);
            let (again, failed) = how.clock.during("apply", round).await;
            if how.strict && (failed || settled.interrupted) {
                let before = earlier.as_ref().unwrap_or(&planned.inventory);
                let undo = undo(session, how, &settled.rounds, before);
                settled.undone = Some(how.clock.during("undo", undo).await);
            } else if again && !settled.interrupted {
                if how.strict {
                    earlier.get_or_insert(planned.inventory);
                }
                continue;
            }
        }
        // A link that this round has made, or renamed, is leased like those that were there before.
        if !unchanged && planned.entries.keys().any(|name| planned.inventory.link(name).is_none()) {
            planned.inventory = pipeline::observe_for(&request, session).await?.0;
        }
        settled.after = planned;
        if settled.interrupted || settled.undone.is_some() {
            break unchanged;
        }
        let (unleased, lease_bound) = leasing.follow(how.machine, &settled.after, how.boot).await;
        let for_nics = bound_for_nics(&settled.after, how, late);
        let for_leases = (!unleased.is_empty()).then_some(lease_bound);
        let Some(bound) = for_nics.max(for_leases) else { break unchanged };
        let awaited = awaited(&settled.after, &unleased);
        let deadline = begin + bound;
        if Instant::now() >= deadline {
            if !told.is_empty() {
                progress(&format!("going on without {awaited}"));
            }
            break unchanged;
        }
        if told != awaited {
            let seconds = deadline.saturating_duration_since(Instant::now()).as_secs();
            progress(&format!("waiting up to {seconds} s for {awaited}"));
            told = awaited;
        }
        let events = async {
            tokio::select! {
                _ = links.changed() => {}
                () = next_of(&mut udev) => {}
                () = leasing.changed(how.machine) => {}
            }
        };
        let phase = if unleased.is_empty() { "wait for NICs" } else { "wait for leases" };
        tokio::select! {
            biased;
            () = &mut *stop => {
                settled.interrupted = true;
                break unchanged;
            }
            _ = how.clock.during(phase, timeout_at(deadline, events)) => {}
        }
    };
    // A rehearsal ends before its leases do.
    if how.rehearsal.is_none() {
        settled.handoff_warnings.extend(leasing.unrenewed(how.machine, &settled.after));
    }
    let Planned { resolved, diagnostics, .. } = &mut settled.after;
    settled.diagnostics = std::mem::take(diagnostics);
    // Unchanged parts are not read again: a machine may have ten thousand routes.
    if unchanged {
        settled.resolved = resolved.clone();
    } else {
        settled.resolved = std::mem::take(resolved);
        let request = pipeline::PlanRequest { await_udev: false, handoff: None, ..request };
        settled.after = how.clock.during("read back", pipeline::plan(&request, session)).await?;
    }
    Ok(settled)
}

/// How long to wait for NICs that are missing, or that udev has not finished with; `None` if there are none.
fn bound_for_nics(planned: &Planned, how: &SettleOptions<'_>, late: bool) -> Option<Duration> {
    let for_udev = !planned.unfinished.is_empty() && !late;
    let bound = if for_udev { how.nics.max(UDEV_BOUND) } else { how.nics };
    (!planned.resolved.unmatched.is_empty()).then_some(bound)
}

/// What is waited for, in words.
fn awaited(planned: &Planned, unleased: &[String]) -> String {
    let why = if planned.unfinished.is_empty() { "" } else { " (udev has not finished)" };
    let nics = planned.resolved.unmatched.iter().map(|nic| format!("{nic}{why}"));
    let leases = unleased.iter().map(|link| {
        let hears = planned.entries.get(link).is_some_and(LeaseEntry::only_hears_routers);
        let what = if hears { "router advertisement" } else { "DHCP lease" };
        format!("a {what} for {link}")
    });
    nics.chain(leases).collect::<Vec<_>>().join(", ")
}

/// The next event of udev or the kernel; never if they are not available.
pub(super) async fn next_of(udev: &mut Option<Watch>) {
    match udev {
        Some(udev) => drop(udev.next().await),
        None => std::future::pending().await,
    }
}

/// Executes one plan. Returns whether a new one is needed to find the remaining steps, because a reply was lost or,
/// `in_time`, a NIC was, and whether a step of the network failed.
async fn round(
    session: &mut Session,
    how: &SettleOptions<'_>,
    in_time: bool,
    planned: &mut Planned,
    settled: &mut Settled,
    stop: &mut (impl Future<Output = ()> + Unpin),
) -> (bool, bool) {
    let after_failure = if how.strict { AfterFailure::Stop } else { AfterFailure::GoOn };
    let mut plan = std::mem::take(&mut planned.plan);
    let may_again = settled.rounds.len() < PLANS_AGAIN;
    let released = may_again && end_at_release(&mut plan, &settled.rounds);
    // If this run is killed, the next one restores what is listed here.
    saved::keep_owed(how.machine, &plan.owed());
    let names = Names::from(&planned.inventory);
    let mut effects = how.effects();
    let outcome = apply(session, effects.as_mut(), &plan, names, after_failure, &mut *stop).await;
    log::debug!("the kernel has answered {} steps", plan.steps.len());
    let lost = if in_time { lost_nic(session, planned, &plan, &outcome).await } else { None };
    if let Some(nic) = lost {
        log::warn!("{nic} disappeared, or was created again, while it was being configured: planning again");
        settled.rounds.push(Round::of_done(plan, outcome));
        return (true, false);
    }
    let failed = outcome.cost(&plan) == Some(Cost::Network);
    let again = may_again && (outcome.unsure || released);
    settled.interrupted = !failed && outcome.is_interrupted();
    if !settled.interrupted || how.strict {
        saved::keep_owed(how.machine, &Owed::default());
    }
    let lost =
        if how.handoff && !how.strict && !again { without_marker(&plan, &outcome) } else { Vec::new() };
    settled.rounds.push(Round { plan, outcome });
    if !lost.is_empty() && !settled.interrupted {
        let mut plan = Plan::default();
        take_back(&mut plan, &lost, &Surroundings::observe(how.machine));
        let names = Names::default();
        let outcome = apply(session, effects.as_mut(), &plan, names, AfterFailure::GoOn, stop).await;
        settled.interrupted = outcome.is_interrupted();
        settled.rounds.push(Round { plan, outcome });
    }
    (again, failed)
}

/// The described NIC that steps failed for because it no longer exists: its driver was reloaded, say. One with the same
/// name and another index is another NIC.
async fn lost_nic(
    session: &mut Session,
    planned: &Planned,
    plan: &Plan,
    outcome: &PlanOutcome,
) -> Option<String> {
    if outcome.cost(plan) != Some(Cost::Network)
        || !outcome.failures().any(|(_, trouble)| trouble.is_of_lost_link())
    {
        return None;
    }
    let now = read::inventory(session).await.ok()?;
    let nics = planned.resolved.links.iter().filter(|link| link.desired.kind == Kind::Physical);
    let then = nics.filter_map(|nic| planned.inventory.link(nic.current.as_ref().unwrap_or(&nic.name)));
    let is_gone = |nic: &&ObservedLink| now.links.iter().all(|link| link.index != nic.index);
    then.filter(is_gone).map(|nic| nic.name.clone()).next()
}

/// A client that restarts removes what it configured on its links, and may set them down; any tool may have configured
/// something after the observation and before it let go. The following plan starts from the result, unless an earlier
/// round did the same. Returns whether the plan was cut short for that.
fn end_at_release(plan: &mut Plan, earlier: &[Round]) -> bool {
    let is_new = |step: &Step| {
        earlier.iter().all(|round| round.plan.steps.iter().all(|old| old.action != step.action))
    };
    let releases =
        |step: &Step| matches!(step.action, Action::Refresh(_) | Action::Manage { .. }) && is_new(step);
    let network = plan.steps.iter().position(|step| !step.action.is_handoff());
    let last = plan.steps.iter().take(network.unwrap_or(0)).rposition(releases);
    if let Some(last) = last {
        plan.steps.truncate(last + 1);
    }
    last.is_some()
}

/// Links that were not configured although a running tool has released them: they go back to it.
fn without_marker(plan: &Plan, outcome: &PlanOutcome) -> Vec<String> {
    let steps = plan.steps.iter().zip(&outcome.steps);
    let skipped = steps.filter(|(_, outcome)| matches!(outcome, StepOutcome::Skipped { .. }));
    let marker = |(step, _): (&Step, _)| match &step.action {
        Action::WriteFile { path, .. } => Some(path.strip_prefix(MARKERS)?.strip_prefix('/')?.to_owned()),
        _ => None,
    };
    skipped.filter_map(marker).collect()
}

/// Undoes the rounds, so that the machine is as in `before`.
async fn undo(
    session: &mut Session,
    how: &SettleOptions<'_>,
    rounds: &[Round],
    before: &Inventory,
) -> Result<(), NotUndone> {
    let now = read::inventory(session).await.map_err(NotUndone::Unread)?;
    let tried = rounds.iter().flat_map(|round| round.plan.steps.iter().zip(&round.outcome.steps));
    let tried = tried.filter(|(_, o)| !matches!(o, StepOutcome::Skipped { .. } | StepOutcome::NotReached));
    let done = Plan { steps: tried.map(|(step, _)| step.clone()).collect() };
    let told: Vec<Action> = rounds.iter().flat_map(|round| round.outcome.inverses.iter().cloned()).collect();
    let plan = plan::restore(&done, &told, before, &now);
    let outcome = apply::undo(session, how.effects().as_mut(), &plan, Names::from(&now)).await;
    match outcome.failures().next() {
        None => Ok(()),
        Some((number, trouble)) => {
            let line = plan.step(number).map_or_else(String::new, |s| plan::script::line(&s.action));
            Err(NotUndone::Step { line, trouble: trouble.clone() })
        }
    }
}
