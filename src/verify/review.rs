//! What remains to be done of the description, and who else has configured something on its links. Pure.

use std::net::IpAddr;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::evidence::{Policy, Stranger};
use super::input::{DesiredLink, Input};
use crate::handoff::state::Image;
use crate::inventory::{AddressEntry, Inventory, ObservedLink, RouteEntry};
use crate::model::attribute::OptionValue;
use crate::model::{Protocol, RouteKind, Scope};
use crate::order::Few as _;
use crate::plan::{Plan, Step};

/// How the machine compares with the description at a moment.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// Steps that a new plan would have; empty if the machine is as described.
    pub remaining: Vec<Step>,
    /// What others have configured on described links.
    pub strangers: Vec<Stranger>,
    /// The state of the network in the image's programs and tools; observed by the caller, if there was a hand-off.
    pub image: Image,
    /// Others' rules, forbidding routes and addresses: what decides where packets go.
    pub policy: Policy,
    /// Why machine and description could not be compared; the rest is empty then.
    pub failure: Option<String>,
}

impl Review {
    /// The machine's state could not be read.
    pub fn failed(why: &impl std::fmt::Display) -> Self {
        Review { failure: Some(why.to_string()), ..Review::default() }
    }

    /// From a plan made anew against the machine's current state.
    pub fn of(input: &Input, plan: &Plan, inventory: &Inventory) -> Self {
        let remaining = plan.steps.iter().filter(|step| !step.action.is_handoff()).cloned().collect();
        // By link: there may be thousands of each.
        let mut addresses: HashMap<&str, Vec<&AddressEntry>> = HashMap::default();
        let mut routes: HashMap<&str, Vec<&RouteEntry>> = HashMap::default();
        for address in &inventory.addresses {
            addresses.entry(&address.link).or_default().push(address);
        }
        for route in &inventory.routes {
            routes.entry(route.link.as_deref().unwrap_or_default()).or_default().push(route);
        }
        // A link left to DHCP has what the client configures there.
        let links = input.links.iter().filter(|l| !l.missing && !l.dynamic);
        let of_link = |link: &DesiredLink| {
            let own: HashSet<IpAddr> = link.addresses.iter().map(IpNet::addr).collect();
            let desired: HashSet<_> = link.routes.iter().map(|route| (route.to, route.via)).collect();
            let name = link.name.as_str();
            let addresses = addresses.get(name).into_iter().flatten();
            let addresses = addresses.filter(|a| !own.contains(&a.net.addr())).filter_map(|a| address(a));
            let routes = routes.get(name).into_iter().flatten();
            let routes = routes.filter(|r| !desired.contains(&(r.to, r.via))).filter_map(|r| route(name, r));
            addresses.chain(routes).collect::<Vec<_>>()
        };
        let strangers = links.flat_map(of_link).collect();
        Review {
            remaining,
            strangers,
            policy: policy(input, inventory),
            image: Image::default(),
            failure: None,
        }
    }
}

fn policy(input: &Input, inventory: &Inventory) -> Policy {
    let own: HashSet<(&str, IpAddr)> = input
        .links
        .iter()
        .flat_map(|link| link.addresses.iter().map(|net| (link.name.as_str(), net.addr())))
        .collect();
    let strange = |a: &&AddressEntry| !own.contains(&(a.link.as_str(), a.net.addr()));
    let described: HashSet<&str> = input.links.iter().map(|link| link.name.as_str()).collect();
    let of_described = || inventory.links.iter().filter(|link| described.contains(link.name.as_str()));
    let advertised = of_described().filter_map(|link| Some((link.name.clone(), link.advertised_mtu?)));
    let is_taker = |link: &&ObservedLink| {
        matches!(link.kind.word(), "macvlan" | "macvtap")
            && link.settings.get("mode") == Some(&OptionValue::Text("passthru".into()))
    };
    let taker = |link: &ObservedLink| Some((link.parent.clone()?, link.name.clone()));
    let routes = input
        .links
        .iter()
        .flat_map(|link| link.routes.iter().map(move |r| (link.name.as_str(), r.to, r.via)));
    let routes: HashSet<_> = routes.filter(|(_, to, _)| !to.addr().is_ipv4()).collect();
    let rival = |r: &&RouteEntry| {
        let link = r.link.as_deref().unwrap_or_default();
        let is_routed =
            r.kind == RouteKind::Unicast && r.from.is_none() && r.via.is_some_and(|via| via.is_ipv6());
        is_routed && !routes.contains(&(link, r.to, r.via))
    };
    Policy {
        settings: of_described().map(|link| (link.name.clone(), link.ipv6.clone())).few(),
        advertised_mtus: advertised.few(),
        sysctls: inventory.sysctls.clone(),
        takers: inventory.links.iter().filter(is_taker).filter_map(taker).few(),
        rules: inventory.rules.clone(),
        no_main_rule: inventory.no_main_rule.clone(),
        rivals: inventory.routes.iter().filter(rival).cloned().collect(),
        barriers: inventory.routes.iter().filter(|route| route.kind.is_linkless()).cloned().collect(),
        strange_addresses: inventory.addresses.iter().filter(strange).cloned().collect(),
    }
}

/// Who configured an address that is not described.
fn address(address: &AddressEntry) -> Option<Stranger> {
    // IPv6 addresses with a lifetime come from router advertisements.
    if address.scope != Scope::Global || !address.net.addr().is_ipv4() {
        return None;
    }
    let protocol = (!address.permanent).then_some(Protocol::Dhcp);
    Some(stranger(&address.link, format!("address {}", address.net), protocol))
}

/// Who configured a route that is not described.
fn route(link: &str, route: &RouteEntry) -> Option<Stranger> {
    if matches!(route.protocol, Protocol::Kernel | Protocol::RouterAdvertisement) {
        return None;
    }
    let to = if route.to.prefix_len() == 0 {
        "a default route".to_owned()
    } else {
        format!("a route to {}", route.to)
    };
    let via = route.via.map_or_else(String::new, |via| format!(" via {via}"));
    Some(stranger(link, format!("{to}{via}"), Some(route.protocol)))
}

fn stranger(link: &str, what: String, protocol: Option<Protocol>) -> Stranger {
    let who = protocol.and_then(Protocol::maker).map(str::to_owned);
    Stranger { link: link.to_owned(), what, who, protocol }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use crate::verify::fixture;

    #[test]
    fn a_dhcp_client_is_known_by_its_route_and_its_lease() {
        let mut link = DesiredLink::new("a", "eth0", Kind::Physical);
        link.addresses = vec!["192.0.2.2/24".parse().unwrap()];
        let input = Input { links: vec![link], ..Input::default() };
        let address = |net: &str, permanent| AddressEntry {
            permanent,
            ..AddressEntry::new("eth0", net.parse().unwrap())
        };
        let route = |protocol| fixture::route("eth0", "0.0.0.0/0", "192.0.2.254", protocol);
        let inventory = Inventory {
            addresses: vec![address("192.0.2.2/24", true), address("192.0.2.77/24", false)],
            routes: vec![route(Protocol::Kernel), route(Protocol::Dhcp)],
            ..Inventory::default()
        };
        let review = Review::of(&input, &Plan::default(), &inventory);
        let found: Vec<_> = review.strangers.iter().map(|s| (s.what.as_str(), s.who.as_deref())).collect();
        let dhcp = Some("a DHCP client");
        assert_eq!(found, [("address 192.0.2.77/24", dhcp), ("a default route via 192.0.2.254", dhcp)]);
    }
}
