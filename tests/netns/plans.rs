//! Links, addresses, routes and rules for plans made by hand.

use std::collections::BTreeMap;

use netapply::inventory::{AddressEntry, RouteEntry, RuleEntry};
use netapply::model::attribute::OptionValue;
use netapply::model::{Family, Kind, Protocol, RouteKind};
use netapply::plan::{Action, NewLink};

#[path = "../harness/plans.rs"]
mod made;

pub(crate) use made::{all_done, apply, new_link, plan, set};

pub(crate) fn bridge(name: &str) -> Action {
    let settings =
        BTreeMap::from([("stp_state", OptionValue::Bool(true)), ("forward_delay", OptionValue::Number(400))]);
    let mac = Some("02:00:00:00:00:10".parse().unwrap());
    Action::AddLink(NewLink { settings, mac, ..new_link(name, Kind::Bridge) })
}

pub(crate) fn veth(name: &str, peer: &str) -> Action {
    Action::AddLink(NewLink { peer: Some(peer.to_owned()), ..new_link(name, Kind::Veth) })
}

pub(crate) fn address(link: &str, net: &str) -> AddressEntry {
    AddressEntry::new(link, net.parse().unwrap())
}

pub(crate) fn route(link: &str, to: &str, via: &str) -> RouteEntry {
    RouteEntry {
        link: Some(link.to_owned()),
        via: Some(via.parse().unwrap()),
        metric: 100,
        ..RouteEntry::new(to.parse().unwrap())
    }
}

pub(crate) fn rule(from: &str) -> RuleEntry {
    RuleEntry {
        family: Family::V4,
        from: Some(from.parse().unwrap()),
        to: None,
        table: 1000,
        action: RouteKind::Unicast,
        priority: 99,
        mark: Some(7),
        mask: None,
        suppress: None,
        tos: None,
        protocol: Protocol::Static,
        foreign: false,
        selectors: Default::default(),
    }
}
