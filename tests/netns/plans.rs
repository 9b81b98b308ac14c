//! Plans made by hand, and their execution.

use std::collections::BTreeMap;

use netapply::inventory::{AddressEntry, RouteEntry, RuleEntry};
use netapply::kernel::apply::{self, AfterFailure, Outcome};
use netapply::kernel::names::Names;
use netapply::kernel::read;
use netapply::kernel::session::{Family, Session};
use netapply::model::attribute::Value;
use netapply::model::{Kind, Place, Protocol, RouteKind, Scope};
use netapply::plan::{Action, LinkChange, NewLink, Plan, Step};

/// A plan whose steps need those at the positions beside them.
pub(crate) fn plan(steps: Vec<(Action, &[usize])>) -> Plan {
    let step = |(action, needs): (Action, &[usize])| Step {
        action,
        at: Place::NONE,
        link: String::new(),
        needs: needs.to_vec(),
    };
    Plan { steps: steps.into_iter().map(step).collect() }
}

pub(crate) async fn apply(plan: &Plan) -> Outcome {
    let mut session = Session::open(Family::Route).unwrap();
    let inventory = read::inventory(&mut session).await.unwrap();
    let names = Names::from(&inventory);
    apply::apply(&mut session, plan, names, AfterFailure::GoOn, std::future::pending()).await
}

#[track_caller]
pub(crate) fn all_done(outcome: &Outcome) {
    let failures: Vec<String> = outcome.failures().map(|(n, t)| format!("step {}: {t}", n + 1)).collect();
    assert!(outcome.is_success(), "{failures:?}");
}

pub(crate) fn new_link(name: &str, kind: Kind) -> NewLink {
    let (name, settings) = (name.to_owned(), BTreeMap::new());
    NewLink { name, kind, parent: None, peer: None, mac: None, mtu: None, settings }
}

pub(crate) fn bridge(name: &str) -> Action {
    let settings = BTreeMap::from([("stp_state", Value::Bool(true)), ("forward_delay", Value::Number(400))]);
    let mac = Some("02:00:00:00:00:10".parse().unwrap());
    Action::AddLink(NewLink { settings, mac, ..new_link(name, Kind::Bridge) })
}

pub(crate) fn veth(name: &str, peer: &str) -> Action {
    Action::AddLink(NewLink { peer: Some(peer.to_owned()), ..new_link(name, Kind::Veth) })
}

pub(crate) fn set(name: &str, change: LinkChange) -> Action {
    Action::SetLink { name: name.to_owned(), change }
}

pub(crate) fn address(link: &str, net: &str) -> AddressEntry {
    AddressEntry::new(link, net.parse().unwrap())
}

pub(crate) fn route(link: &str, to: &str, via: &str) -> RouteEntry {
    RouteEntry {
        to: to.parse().unwrap(),
        link: Some(link.to_owned()),
        via: Some(via.parse().unwrap()),
        on_link: false,
        kind: RouteKind::Unicast,
        scope: Scope::Global,
        protocol: Protocol::Static,
        metric: 100,
        table: 254,
        source: None,
        metrics: BTreeMap::new(),
        hops: Vec::new(),
        weight: None,
    }
}

pub(crate) fn rule(from: &str) -> RuleEntry {
    RuleEntry {
        family: 4,
        from: Some(from.parse().unwrap()),
        to: None,
        table: 1000,
        priority: 99,
        mark: Some(7),
        tos: None,
        protocol: Protocol::Static,
        foreign: false,
    }
}
