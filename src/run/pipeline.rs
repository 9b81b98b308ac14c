//! From a description and the machine to a plan, for every command: observe, resolve, complete the details, plan, add
//! the hand-off. A command chooses what to do with the result. Entries: [`plan`] for this machine, [`plan_recorded`]
//! for a recorded one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;

use foldhash::HashMap;

use super::{root, saved};
use crate::diagnostic::Diagnostic;
use crate::handoff::{self, Surroundings};
use crate::inventory::{Inventory, ObservedLink};
use crate::kernel::details;
use crate::kernel::live::Snapshot;
use crate::kernel::read;
use crate::kernel::session::{Failure, Session};
use crate::lease::entry::{Entry6, LeaseEntry, RouterEntry};
use crate::lease::{ask, entry, facts, identity};
use crate::machine::Machine;
use crate::model::{Activation, Desired, Dynamic, Kind};
use crate::plan::{self, Action, LinkChange, Plan, Step, StepId};
use crate::rehearse::nics::StandIn;
use crate::resolve::{Missing, Resolved, ResolvedLink, resolve};

/// The input of a plan.
#[derive(Copy, Clone, Debug)]
pub(super) struct PlanRequest<'a> {
    /// The machine.
    pub(super) machine: &'a Machine,
    /// The description.
    pub(super) desired: &'a Desired,
    /// What to do about a missing NIC.
    pub(super) missing: Missing,
    /// A NIC that udev has not finished with counts as absent.
    pub(super) await_udev: bool,
    /// The hand-off to the rest of the image; absent if there is none.
    pub(super) handoff: Option<Handoff<'a>>,
    /// Who requests leases; `None` keeps the last run's decision.
    pub(super) dhcp: Option<Who>,
    /// Plans only what belongs to leased links: renewal undoes no manual changes elsewhere.
    pub(super) leased_only: bool,
    /// Links that stand in for NICs.
    pub(super) stand_ins: &'a [StandIn],
}

impl<'a> PlanRequest<'a> {
    /// For the network alone: without the hand-off, and with the last run's leases.
    pub(super) fn of_network(
        machine: &'a Machine,
        desired: &'a Desired,
        stand_ins: &'a [StandIn],
    ) -> PlanRequest<'a> {
        PlanRequest {
            machine,
            desired,
            missing: Missing::Report,
            await_udev: false,
            handoff: None,
            dhcp: None,
            leased_only: false,
            stand_ins,
        }
    }
}

/// What the rest of the image is told besides the network.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Handoff<'a> {
    /// The host name from the drive.
    pub(super) hostname: Option<&'a str>,
}

/// Who requests DHCP leases.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Who {
    /// The image's client if one is enabled, else netapply.
    #[default]
    Auto,
    /// netapply.
    Own,
    /// The image's client.
    Image,
}

/// The plan, and what it is based on.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// The machine, with everything needed to compare it with the description.
    pub(super) inventory: Inventory,
    /// What else was observed of its links and addresses.
    pub(super) moment: Snapshot,
    /// The description resolved on this machine.
    pub(super) resolved: Resolved,
    /// The diagnostics of resolving.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The difference; empty if the machine is as described.
    pub(super) plan: Plan,
    /// Existing NICs that count as absent, because udev has not finished with them.
    pub(super) unfinished: Vec<String>,
    /// What the rest of the image cannot be told: complete sentences.
    pub(super) handoff_warnings: Vec<String>,
    /// The state of the links that netapply leases, by name.
    pub(super) entries: BTreeMap<String, LeaseEntry>,
    /// Links that have a lease file but are not leased by this plan.
    pub(super) no_longer_leased: Vec<String>,
}

/// What is observed of a machine before a description is compared with it.
pub(super) async fn observe(
    machine: &Machine,
    session: &mut Session,
) -> Result<(Inventory, Snapshot), Failure> {
    let (inventory, moment) = read::inventory_and_moment(session).await?;
    let root_nics = root::root_nics(machine);
    Ok((Inventory { owed: saved::owed(machine), root_nics, ..inventory }, moment))
}

/// The same, with what the links that stand in for NICs lack.
pub(super) async fn observe_for(
    request: &PlanRequest<'_>,
    session: &mut Session,
) -> Result<(Inventory, Snapshot), Failure> {
    let (mut inventory, moment) = observe(request.machine, session).await?;
    for stand_in in request.stand_ins {
        let mut links = inventory.links.iter_mut();
        links.find(|link| link.index == stand_in.index).into_iter().for_each(|link| stand_in.complete(link));
    }
    Ok((inventory, moment))
}

/// Plans for this machine in its current state.
///
/// # Errors
/// The kernel's state cannot be read.
pub(super) async fn plan(request: &PlanRequest<'_>, session: &mut Session) -> Result<Planned, Failure> {
    let (planned, unread) = plan_unprivileged(request, session).await?;
    unread.map_or(Ok(planned), Err)
}

/// Like [`plan`], for a user who may lack permission to read every detail: what cannot be read counts as absent, and
/// the reason is returned with the plan.
pub(super) async fn plan_unprivileged(
    request: &PlanRequest<'_>,
    session: &mut Session,
) -> Result<(Planned, Option<Failure>), Failure> {
    let (mut inventory, moment) = observe_for(request, session).await?;
    let (ready, unfinished) = match request.await_udev {
        true => without_unfinished(&inventory),
        false => (Cow::Borrowed(&inventory), Vec::new()),
    };
    let (mut resolved, diagnostics) = resolved(request, &ready);
    drop(ready);
    let mut entries = entry::all(request.machine);
    let mut no_longer_leased: Vec<String> = entries.keys().cloned().collect();
    entries.retain(|name, _| resolved.link(name).is_some_and(is_leasable));
    if let Some(who) = request.dhcp {
        choose(&mut entries, &resolved, who, request.machine);
    }
    no_longer_leased.retain(|name| !entries.contains_key(name));
    facts::join(&mut resolved, &entries, ask::now());
    if request.dhcp == Some(Who::Auto) && request.handoff.is_some() {
        identify(&mut resolved, &inventory, request.machine, &no_longer_leased);
    }
    let unread = details::complete(&mut inventory, resolved.present(), request.machine).await.err();
    let surroundings = match request.handoff {
        Some(_) => handoff::observe(request.machine, &resolved).await,
        None => Surroundings::default(),
    };
    let planned = planned(request, inventory, resolved, diagnostics, &surroundings, entries);
    Ok((Planned { moment, unfinished, no_longer_leased, ..planned }, unread))
}

/// The description on a machine, without what would cut it off from its root.
fn resolved(request: &PlanRequest<'_>, inventory: &Inventory) -> (Resolved, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let desired = root::without_cuts(request.desired, inventory, request.missing, &mut diagnostics);
    let (resolved, more) = resolve(&desired, inventory, request.missing);
    diagnostics.extend(more);
    (resolved, diagnostics)
}

/// Plans for a machine recorded with `netapply inventory`.
pub(super) fn plan_recorded(request: &PlanRequest<'_>, inventory: Inventory) -> Planned {
    let (resolved, diagnostics) = resolved(request, &inventory);
    planned(request, inventory, resolved, diagnostics, &Surroundings::default(), BTreeMap::new())
}

fn planned(
    request: &PlanRequest<'_>,
    inventory: Inventory,
    resolved: Resolved,
    diagnostics: Vec<Diagnostic>,
    surroundings: &Surroundings,
    entries: BTreeMap<String, LeaseEntry>,
) -> Planned {
    let mut plan = match request.leased_only {
        false => plan::plan(&resolved, &inventory),
        true => {
            let leased = resolved.links.iter().filter(|link| link.lease.is_some()).cloned();
            let resolved = Resolved { links: leased.collect(), ..Resolved::default() };
            of_leases(plan::plan(&resolved, &inventory))
        }
    };
    let mut handoff_warnings = Vec::new();
    if let Some(Handoff { hostname }) = request.handoff {
        let described = request.desired.host_name.as_ref().map(|name| name.value.as_str());
        let hostname = described.or(hostname).or_else(|| facts::host_name(&resolved, &entries, ask::now()));
        handoff_warnings = handoff::add(&mut plan, request.desired, &resolved, hostname, surroundings);
    }
    Planned { inventory, resolved, diagnostics, plan, handoff_warnings, entries, ..Planned::default() }
}

/// The steps that a lease may cause.
fn of_leases(plan: Plan) -> Plan {
    let mut kept = Plan::default();
    let mut ids: HashMap<StepId, StepId> = HashMap::default();
    for (id, step) in plan.numbered() {
        let of_lease = match &step.action {
            Action::SetLink { change, .. } => matches!(change, LinkChange::Mtu(_)),
            Action::AddAddress(_) | Action::ReplaceAddress(_) | Action::DeleteAddress(_) => true,
            Action::AddRoute(_) | Action::ReplaceRoute(_) | Action::DeleteRoute(_) => true,
            _ => false,
        };
        if of_lease {
            ids.insert(id, StepId(kept.steps.len()));
            let needs = step.needs.iter().filter_map(|need| ids.get(need).copied()).collect();
            kept.steps.push(Step { needs, ..step.clone() });
        }
    }
    kept
}

/// Whether netapply can lease a link, or hear its routers: a member of a bond or bridge has no address of its own.
fn is_leasable(link: &ResolvedLink) -> bool {
    let alone = link.controller.as_ref().is_none_or(|(_, kind)| *kind == Kind::Vrf);
    let asks = link.desired.asks(Dynamic::Dhcp4) || link.desired.asks(Dynamic::Dhcp6);
    (asks || facts::hears_routers(link)) && alone && link.desired.activation == Activation::Up
}

/// Decides on which links netapply requests leases.
fn choose(entries: &mut BTreeMap<String, LeaseEntry>, resolved: &Resolved, who: Who, machine: &Machine) {
    let links: Vec<&ResolvedLink> = resolved.links.iter().filter(|link| is_leasable(link)).collect();
    let ours = !links.is_empty()
        && match who {
            Who::Own => true,
            Who::Image => false,
            Who::Auto => !handoff::has_client(machine),
        };
    match ours {
        false => entries.clear(),
        true => links.iter().for_each(|link| {
            let new = || LeaseEntry::new(&link.name);
            let entry = entries.entry(link.name.clone()).or_insert_with(new);
            entry.only_dhcp6 = !link.desired.asks(Dynamic::Dhcp4);
            let (asks, hears) = (link.desired.asks(Dynamic::Dhcp6), facts::hears_routers(link));
            entry.dhcp6 = (asks || hears).then(|| {
                let known = entry.dhcp6.take().unwrap_or_default();
                let information = link.desired.ipv6.information.is_some_and(|on| on.value);
                Entry6 { on_request: !asks, information, ..known }
            });
            entry.routers = hears.then(|| {
                let required = link.desired.asks(Dynamic::RouterAdvertisements);
                RouterEntry { required, ..entry.routers.take().unwrap_or_default() }
            });
        }),
    }
}

/// Who the links are to a DHCP server that a client of the image will ask; netapply had leases of those in `leased`.
fn identify(resolved: &mut Resolved, inventory: &Inventory, machine: &Machine, leased: &[String]) {
    let is_left = |link: &ResolvedLink| link.lease.is_none() && is_leasable(link);
    let uuid = fs::read_to_string(machine.product_uuid()).ok();
    let of = |link: &ResolvedLink| {
        let leased = leased.contains(&link.name);
        identity::of(link, resolved, inventory, uuid.as_deref(), leased).filter(|_| is_left(link))
    };
    let identities: Vec<_> = resolved.links.iter().map(of).collect();
    for (link, identity) in resolved.links.iter_mut().zip(identities) {
        link.identity = identity;
    }
}

/// The machine without the NICs that udev has not finished with, and their names.
pub(super) fn without_unfinished(inventory: &Inventory) -> (Cow<'_, Inventory>, Vec<String>) {
    let is_unfinished = |l: &ObservedLink| l.is_nic() && l.udev_done == Some(false);
    let names: Vec<String> =
        inventory.links.iter().filter(|l| is_unfinished(l)).map(|l| l.name.clone()).collect();
    let mut ready = Cow::Borrowed(inventory);
    if !names.is_empty() {
        ready.to_mut().links.retain(|l| !is_unfinished(l));
    }
    (ready, names)
}
