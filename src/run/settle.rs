//! Plan and apply, again for each NIC that comes late, until everything described is there or the deadline has passed.
//!
//! A NIC counts as not there until udev has finished with it: one that is brought up before it is renamed keeps the
//! name `eth0` for ever on older kernels. What is there is applied at once; the rest follows when it comes.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::diagnostic::{Code, Diagnostic, Severity, worst};
use crate::handoff::{self, Surroundings};
use crate::inventory::{Inventory, ObservedLink, Owed};
use crate::kernel::apply::{AfterFailure, Outcome, StepOutcome, apply};
use crate::kernel::details;
use crate::kernel::live::Moment;
use crate::kernel::monitor::{Group, Monitor};
use crate::kernel::names::Names;
use crate::kernel::read;
use crate::kernel::session::{Failure, Session};
use crate::machine::Machine;
use crate::model::Desired;
use crate::plan::{self, Plan};
use crate::resolve::{Missing, Resolved, resolve};
use crate::source::Watch;

use super::saved;

/// One plan and what became of it.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) plan: Plan,
    pub(super) outcome: Outcome,
}

/// What was done, and the machine after it.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// One round, and one more for each time that NICs came late.
    pub(super) rounds: Vec<Round>,
    /// The description on the machine as it was at the last round.
    pub(super) resolved: Resolved,
    /// What the last look at the machine had to say.
    pub(super) said: Vec<Diagnostic>,
    /// The machine after the last round.
    pub(super) inventory: Inventory,
    /// What else was seen of its links and addresses.
    pub(super) moment: Moment,
    /// That machine was planned for, and nothing was left to do.
    pub(super) nothing_to_do: bool,
    /// What the rest of the image cannot be told: complete sentences.
    pub(super) untold: Vec<String>,
    /// The run was ended by a signal.
    pub(super) interrupted: bool,
    /// A step failed and what was done is undone; or why that could not be done in full.
    pub(super) undone: Option<Result<(), String>>,
}

/// How to go about it.
pub(super) struct How<'a> {
    /// The machine.
    pub(super) machine: &'a Machine,
    /// All or nothing: nothing is done while anything is missing, and a step that fails undoes those before it.
    pub(super) strict: bool,
    /// How long to wait for NICs that are described and not there.
    pub(super) nics: Duration,
    /// Tell the rest of the image what was done.
    pub(super) handoff: bool,
    /// The machine's name, as the drive has it.
    pub(super) hostname: Option<String>,
}

/// How often a new plan is made because an answer of the kernel was lost.
const PLANS_AGAIN: usize = 2;

/// How long udev may take with a NIC that is there.
pub(super) const UDEV_BOUND: Duration = Duration::from_secs(30);

/// Brings the machine to what is described. `stop` ends it at the next step.
pub(super) async fn settle(
    session: &mut Session,
    desired: &Desired,
    how: &How<'_>,
    stop: &mut (impl Future<Output = ()> + Unpin),
    progress: &mut dyn FnMut(&str),
) -> Result<Settled, Failure> {
    // Before the first look: whatever comes after it is an event.
    let mut links = Monitor::open(&[Group::Link])?;
    let mut udev = Watch::kernel_and_udev().ok();
    let begin = Instant::now();
    let mut settled = Settled::default();
    let mut told = false;
    let mut known;
    // The machine before the first of several plans under `--strict`.
    let mut earlier: Option<Inventory> = None;
    loop {
        let (mut inventory, moment) = read::inventory_and_moment(session).await?;
        inventory.owed = saved::owed(how.machine);
        let (ready, at_udev) = without_unfinished(&inventory);
        // Past the bound a NIC is taken as it is: a udev that hangs must not keep the machine off the network.
        let late = begin.elapsed() >= UDEV_BOUND;
        (settled.resolved, settled.said) =
            resolve(desired, if late { &inventory } else { &ready }, Missing::Report);
        details::complete(&mut inventory, settled.resolved.present()).await?;
        let mut plan = plan::plan(&settled.resolved, &inventory);
        if how.handoff {
            let surroundings = Surroundings::observe(how.machine.root());
            let hostname = how.hostname.as_deref();
            settled.untold = handoff::add(&mut plan, desired, &settled.resolved, hostname, &surroundings);
        }
        let held_back = how.strict && worst(&settled.said) == Some(Severity::Error);
        settled.nothing_to_do = plan.steps.is_empty();
        let unchanged = settled.nothing_to_do || held_back;
        if !unchanged {
            let after_failure = if how.strict { AfterFailure::Stop } else { AfterFailure::GoOn };
            // A run that is killed now is one whose successor knows what it took.
            saved::keep_owed(how.machine, &plan.owed());
            let outcome = apply(session, &plan, Names::from(&inventory), after_failure, &mut *stop).await;
            log::debug!("the kernel has answered {} steps", plan.steps.len());
            let failed = outcome.network_failed(&plan);
            let again = outcome.unsure && settled.rounds.len() < PLANS_AGAIN;
            settled.interrupted = !failed && outcome.is_interrupted();
            if !settled.interrupted || how.strict {
                saved::keep_owed(how.machine, &Owed::default());
            }
            settled.rounds.push(Round { plan, outcome });
            if how.strict && (failed || settled.interrupted) {
                let before = earlier.as_ref().unwrap_or(&inventory);
                settled.undone = Some(undo(session, &settled.rounds, before).await);
            } else if again && !settled.interrupted {
                if how.strict {
                    earlier.get_or_insert(inventory);
                }
                continue;
            }
        }
        // What was not changed need not be read again: a machine may have ten thousand routes.
        known = unchanged;
        settled.inventory = inventory;
        settled.moment = moment;
        if settled.interrupted || settled.undone.is_some() {
            break;
        }
        let absent = missing(&settled.said);
        let bound = match (at_udev.is_empty() || late, absent.is_empty()) {
            (_, true) => break,
            (true, false) => how.nics,
            (false, false) => how.nics.max(UDEV_BOUND),
        };
        let deadline = begin + bound;
        if Instant::now() >= deadline {
            break;
        }
        if !told {
            let seconds = deadline.saturating_duration_since(Instant::now()).as_secs();
            let whose = if at_udev.is_empty() { "" } else { " (udev has not finished)" };
            progress(&format!("waiting up to {seconds} s for {}{whose}", absent.join(", ")));
            told = true;
        }
        let events = async {
            match &mut udev {
                Some(udev) => tokio::select! {
                    _ = links.changed() => {}
                    _ = udev.next() => {}
                },
                None => drop(links.changed().await),
            }
        };
        tokio::select! {
            _ = timeout_at(deadline, events) => {}
            () = &mut *stop => {
                settled.interrupted = true;
                break;
            }
        }
    }
    if known {
        return Ok(settled);
    }
    (settled.inventory, settled.moment) = read::inventory_and_moment(session).await?;
    // Links that were renamed have the names now that they should.
    let described = settled.resolved.links.iter().map(|link| (link.name.as_str(), &link.desired));
    details::complete(&mut settled.inventory, described).await?;
    Ok(settled)
}

/// Takes back what the rounds did, so that the machine is as `before` says.
async fn undo(session: &mut Session, rounds: &[Round], before: &Inventory) -> Result<(), String> {
    let now = read::inventory(session).await.map_err(|failure| failure.to_string())?;
    let tried = rounds.iter().flat_map(|round| round.plan.steps.iter().zip(&round.outcome.steps));
    let tried = tried.filter(|(_, o)| matches!(o, StepOutcome::Done { .. } | StepOutcome::Failed(_)));
    let done = Plan { steps: tried.map(|(step, _)| step.clone()).collect() };
    let plan = plan::restore(&done, before, &now);
    let never = std::future::pending();
    let outcome = apply(session, &plan, Names::from(&now), AfterFailure::GoOn, never).await;
    match outcome.failures().next() {
        None => Ok(()),
        Some((number, trouble)) => {
            let step = plan.steps.get(number).map_or_else(String::new, |s| plan::script::line(&s.action));
            Err(format!("{step}: {trouble}"))
        }
    }
}

/// The machine without the NICs that udev is still at, and their names.
fn without_unfinished(inventory: &Inventory) -> (Cow<'_, Inventory>, Vec<String>) {
    let is_unfinished = |l: &ObservedLink| l.is_nic() && l.udev_done == Some(false);
    let names: Vec<String> =
        inventory.links.iter().filter(|l| is_unfinished(l)).map(|l| l.name.clone()).collect();
    let mut ready = Cow::Borrowed(inventory);
    if !names.is_empty() {
        ready.to_mut().links.retain(|l| !is_unfinished(l));
    }
    (ready, names)
}

/// What a late NIC would mend, in words for the progress line.
fn missing(said: &[Diagnostic]) -> Vec<String> {
    let late = [Code::NicMissing, Code::DanglingReference];
    let words = |d: &Diagnostic| {
        d.message.trim_start_matches("no NIC has ").trim_start_matches("there is no ").to_owned()
    };
    said.iter().filter(|d| late.contains(&d.code)).map(words).collect()
}
