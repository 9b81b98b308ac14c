//! What is left of the description to be done, and who else has put something on its links. Pure.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::evidence::Stranger;
use super::input::{DesiredLink, Input};
use crate::handoff::state::Image;
use crate::inventory::{AddressEntry, Inventory, RouteEntry};
use crate::model::{Protocol, Scope};
use crate::plan::{Plan, Step};

/// How the machine compares with the description at a moment.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// Steps that a new plan would have. Empty is as described.
    pub remaining: Vec<Step>,
    /// What others have put on described links.
    pub strangers: Vec<Stranger>,
    /// What the image's programs and tools make of the network; observed by the caller, where it was told anything.
    pub image: Image,
}

impl Review {
    /// From a plan made anew against the machine as it is.
    pub fn of(input: &Input, plan: &Plan, inventory: &Inventory) -> Self {
        let remaining = plan.steps.iter().filter(|step| !step.action.is_handoff()).cloned().collect();
        // By link: there may be thousands of each.
        let mut addresses: HashMap<&str, Vec<&AddressEntry>> = HashMap::new();
        let mut routes: HashMap<&str, Vec<&RouteEntry>> = HashMap::new();
        for address in &inventory.addresses {
            addresses.entry(&address.link).or_default().push(address);
        }
        for route in &inventory.routes {
            routes.entry(route.link.as_deref().unwrap_or_default()).or_default().push(route);
        }
        // A link left to DHCP has what the client puts there.
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
        Review { remaining, strangers: links.flat_map(of_link).collect(), image: Image::default() }
    }
}

/// Whose an address is that nobody described.
fn address(address: &AddressEntry) -> Option<Stranger> {
    // IPv6 addresses with a lifetime come from router advertisements.
    if address.scope != Scope::Global || !address.net.addr().is_ipv4() {
        return None;
    }
    let who = (!address.permanent).then(|| Protocol::Dhcp.maker()).flatten().map(str::to_owned);
    Some(Stranger { link: address.link.clone(), what: format!("address {}", address.net), who })
}

/// Whose a route is that nobody described.
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
    Some(Stranger {
        link: link.to_owned(),
        what: format!("{to}{via}"),
        who: route.protocol.maker().map(str::to_owned),
    })
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
