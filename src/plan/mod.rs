//! Resolved and Inventory to [`Plan`]: what differs, in which order, and each step as the equivalent ip(8) command.
//!
//! Pure: no clock, no files, no kernel. What is not in the plan does not happen to the machine. Planning runs on a copy
//! of the machine (`state::State`) on which each step has the effect that it will have on the real one, so that side
//! effects of a step (taking a link down drops its IPv6 addresses and routes) are repaired by later steps. Entry:
//! [`plan`].

mod addresses;
mod links;
mod restore;
mod routes;
mod rules;
pub mod script;
mod state;
mod step;
mod vlans;

use foldhash::{HashMap, HashSet};

use crate::inventory::Inventory;
use crate::model::{Dynamic, Place, Route};
use crate::order::Order as _;
use crate::resolve::{Resolved, ResolvedLink};
pub use restore::restore;
pub(crate) use state::far_ends;
use state::{RouteKey, State};
pub use step::{
    Action, Former, LinkChange, Manager, Mark, Means, NewLink, Plan, Secret, Service, Step, StepId,
};

/// The steps that make the machine as described; empty if it already is.
///
/// Order: undescribed items are removed first, so that an address can move from one link to another; then links, those
/// below first, each with its members and brought up; then addresses; then routes, those without a gateway first; then
/// rules; then what has to wait for carrier.
pub fn plan(resolved: &Resolved, inventory: &Inventory) -> Plan {
    // Nothing usable: `apply` does nothing.
    if resolved.links.is_empty() {
        return Plan::default();
    }
    let mut planner = Planner::new(resolved, inventory);
    planner.bring_up_loopback();
    planner.rename_nics();
    planner.find_shifted();
    planner.remove_addresses();
    planner.remove_routes();
    for link in &resolved.links {
        planner.link(link);
    }
    planner.remove_advertised();
    planner.add_addresses();
    planner.add_routes();
    planner.rules();
    planner.ipv6_mtus();
    Plan { steps: planner.steps }
}

/// The steps so far, and the machine as it will be after them.
struct Planner<'a> {
    resolved: &'a Resolved,
    /// The described links by name: thousands of routes may look theirs up.
    described: HashMap<&'a str, &'a ResolvedLink>,
    /// The first described link with an id.
    by_id: HashMap<&'a str, &'a ResolvedLink>,
    /// The described links on top of a link, by its name.
    described_above: HashMap<&'a str, Vec<&'a ResolvedLink>>,
    /// The main table has a described IPv6 default route.
    has_default6: bool,
    /// The kernel has IPv6.
    has_ipv6: bool,
    state: State<'a>,
    steps: Vec<Step>,
    /// Keys of described routes that get the metric below, see [`Planner::find_shifted`].
    shifted: HashSet<RouteKey>,
    /// The controllers that a step adds a member to.
    filled: HashSet<String>,
    /// The steps that later steps on a link depend on, by the link's current name.
    made: HashMap<String, Vec<StepId>>,
}

impl<'a> Planner<'a> {
    fn new(resolved: &'a Resolved, inventory: &'a Inventory) -> Self {
        let mut state = State::of(inventory);
        for nic in resolved.links.iter().filter(|l| l.stand_in) {
            state.add_stand_in(nic);
        }
        state.routes.reserve(resolved.links.iter().map(|link| link.desired.routes.len()).sum());
        let described = resolved.links.iter().map(|link| (link.name.as_str(), link)).collect();
        let by_id = resolved.links.iter().rev().map(|link| (link.desired.id.as_str(), link)).collect();
        let mut described_above: HashMap<&str, Vec<&ResolvedLink>> = HashMap::default();
        for link in &resolved.links {
            if let Some(parent) = &link.parent {
                described_above.entry(parent).or_default().push(link);
            }
        }
        let is_default6 =
            |route: &Route| route.is_default() && route.to.addr().is_ipv6() && route.table.is_none();
        let has_default6 = resolved.links.iter().any(|link| link.desired.routes.iter().any(is_default6));
        Planner {
            resolved,
            described_above,
            has_default6,
            has_ipv6: inventory.has_ipv6(),
            described,
            by_id,
            state,
            steps: Vec::new(),
            shifted: HashSet::default(),
            filled: HashSet::default(),
            made: HashMap::default(),
        }
    }

    /// The described link with this name in the kernel.
    fn described(&self, name: &str) -> Option<&'a ResolvedLink> {
        self.described.get(name).copied()
    }

    /// Appends a step and applies its effect. It depends on the steps that created the links that it names.
    fn push(&mut self, serves: &str, at: Place, action: Action) -> StepId {
        let mut needs: Vec<StepId> = Vec::new();
        for name in action.link().into_iter().chain(other_links(&action)) {
            needs.extend(self.made.get(name).into_iter().flatten());
        }
        needs.order();
        needs.dedup();
        let id = StepId(self.steps.len());
        self.state.effect(&action);
        if let Action::SetLink { change: LinkChange::Controller(controller), .. } = &action {
            self.filled.insert(controller.clone());
        }
        self.steps.push(Step { action, at, link: serves.to_owned(), needs });
        id
    }

    /// Appends a step for a described link.
    fn push_for(&mut self, link: &ResolvedLink, action: Action) -> StepId {
        self.push(&link.desired.id, link.desired.at, action)
    }

    fn change(&mut self, link: &ResolvedLink, name: &str, change: LinkChange) -> StepId {
        self.push_for(link, Action::SetLink { name: name.to_owned(), change })
    }

    /// From now on, steps on `name` depend on `step`.
    fn needs(&mut self, name: &str, step: StepId) {
        self.made.entry(name.to_owned()).or_default().push(step);
    }
}

/// Links that an action names besides the one it acts on.
fn other_links(action: &Action) -> Vec<&str> {
    match action {
        Action::AddLink(new) => new.parent.iter().chain(&new.peer).map(String::as_str).collect(),
        Action::SetLink { change: LinkChange::Controller(name), .. } => vec![name],
        _ => {
            let hops = action.added_route().into_iter().flat_map(|route| &route.hops);
            hops.filter_map(|hop| hop.link.as_deref()).collect()
        }
    }
}

/// Which families of a link are left to a client of the image: (IPv4, IPv6).
fn left_to_others(link: &ResolvedLink) -> (bool, bool) {
    let left: HashSet<Dynamic> = link.desired.dynamic.iter().map(|d| d.value).collect();
    (
        left.contains(&Dynamic::Dhcp4),
        left.contains(&Dynamic::Dhcp6) || left.contains(&Dynamic::RouterAdvertisements),
    )
}

#[cfg(test)]
mod tests;
