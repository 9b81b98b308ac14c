//! From a description and the machine to a plan, for every command: observe, resolve, complete the details, plan, add the
//! hand-off. A command is a choice of what to do with the result. Entries: [`plan`] for this machine, [`plan_recorded`]
//! for one that was recorded.

use std::borrow::Cow;

use super::saved;
use crate::diagnostic::Diagnostic;
use crate::handoff::{self, Surroundings};
use crate::inventory::{Inventory, ObservedLink};
use crate::kernel::details;
use crate::kernel::live::Moment;
use crate::kernel::read;
use crate::kernel::session::{Failure, Session};
use crate::machine::Machine;
use crate::model::Desired;
use crate::plan::{self, Plan};
use crate::resolve::{Missing, Resolved, resolve};

/// What is planned, and for whom.
#[derive(Copy, Clone, Debug)]
pub(super) struct Request<'a> {
    /// The machine.
    pub(super) machine: &'a Machine,
    /// What it is to be.
    pub(super) desired: &'a Desired,
    /// What to do about a NIC that is not there.
    pub(super) missing: Missing,
    /// A NIC that udev has not finished with counts as absent.
    pub(super) await_udev: bool,
    /// The rest of the image is told; absent where it is not.
    pub(super) handoff: Option<Handoff<'a>>,
}

/// What the rest of the image is told beside the network.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Handoff<'a> {
    /// The machine's name, as the drive has it.
    pub(super) hostname: Option<&'a str>,
}

/// The plan, and what it rests on.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// The machine, with all that the description needs to be compared with it.
    pub(super) inventory: Inventory,
    /// What else was observed of its links and addresses.
    pub(super) moment: Moment,
    /// The description on this machine.
    pub(super) resolved: Resolved,
    /// What joining the two found.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The difference; empty where the machine is as described.
    pub(super) plan: Plan,
    /// NICs that are there and count as absent, because udev has not finished with them.
    pub(super) unfinished: Vec<String>,
    /// What the rest of the image cannot be told: complete sentences.
    pub(super) handoff_warnings: Vec<String>,
}

/// What is observed of a machine before a description is compared with it.
pub(super) async fn observe(
    machine: &Machine,
    session: &mut Session,
) -> Result<(Inventory, Moment), Failure> {
    let (inventory, moment) = read::inventory_and_moment(session).await?;
    Ok((Inventory { owed: saved::owed(machine), ..inventory }, moment))
}

/// Plans for this machine as it is now.
///
/// # Errors
/// The kernel's state cannot be read.
pub(super) async fn plan(request: &Request<'_>, session: &mut Session) -> Result<Planned, Failure> {
    let (planned, unread) = plan_unprivileged(request, session).await?;
    unread.map_or(Ok(planned), Err)
}

/// As [`plan`], for a user who may lack the right to read every detail: what cannot be read is planned as if it were not
/// there, and why it cannot be read is returned beside the plan.
pub(super) async fn plan_unprivileged(
    request: &Request<'_>,
    session: &mut Session,
) -> Result<(Planned, Option<Failure>), Failure> {
    let (mut inventory, moment) = observe(request.machine, session).await?;
    let (ready, unfinished) = match request.await_udev {
        true => without_unfinished(&inventory),
        false => (Cow::Borrowed(&inventory), Vec::new()),
    };
    let (resolved, diagnostics) = resolve(request.desired, &ready, request.missing);
    drop(ready);
    let unread = details::complete(&mut inventory, resolved.present()).await.err();
    let surroundings = match request.handoff {
        Some(_) => handoff::observe(request.machine, &resolved).await,
        None => Surroundings::default(),
    };
    let planned = planned(request, inventory, resolved, diagnostics, &surroundings);
    Ok((Planned { moment, unfinished, ..planned }, unread))
}

/// Plans for a machine that was recorded with `netapply inventory`.
pub(super) fn plan_recorded(request: &Request<'_>, inventory: Inventory) -> Planned {
    let (resolved, diagnostics) = resolve(request.desired, &inventory, request.missing);
    planned(request, inventory, resolved, diagnostics, &Surroundings::default())
}

fn planned(
    request: &Request<'_>,
    inventory: Inventory,
    resolved: Resolved,
    diagnostics: Vec<Diagnostic>,
    surroundings: &Surroundings,
) -> Planned {
    let mut plan = plan::plan(&resolved, &inventory);
    let mut handoff_warnings = Vec::new();
    if let Some(Handoff { hostname }) = request.handoff {
        handoff_warnings = handoff::add(&mut plan, request.desired, &resolved, hostname, surroundings);
    }
    Planned { inventory, resolved, diagnostics, plan, handoff_warnings, ..Planned::default() }
}

/// The machine without the NICs that udev has not finished with, and their names.
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
