//! Leases and what routers advertise become a part of what is described, between resolve and plan: addresses with what is
//! left of their lifetime, routes, name servers, MTU. The plan treats them like anything else that a description asks for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::dhcp4::machine::{Lease, Moment};
use super::dhcp6::machine::Lease6;
use super::entry::LeaseEntry;
use crate::model::{Address, Dynamic, Kind, Located, Mtu, Place, Protocol, Resolver, Route};
use crate::resolve::{Leased, Resolved, ResolvedLink};

/// Metric of the first link's routes if the description sets none, as in netplan; each further link's is one more, so
/// that of two default routes the first link's is used.
const METRIC: u32 = 100;

/// How many time servers are used.
const MOST_TIME_SERVERS: usize = 8;

/// Whether router advertisements are read on a link: the description leaves it to them or takes them beside other things,
/// or DHCPv6 needs them for its routes.
pub fn hears_routers(link: &ResolvedLink) -> bool {
    match link.desired.ipv6.accept_ra {
        Some(accept) => accept.value,
        None => link.desired.asks(Dynamic::RouterAdvertisements) || link.desired.asks(Dynamic::Dhcp6),
    }
}

/// Adds what the leases of these links give. A link without an entry is left to the image.
pub fn join(resolved: &mut Resolved, entries: &BTreeMap<String, LeaseEntry>, now: Moment) {
    let place = |link: &ResolvedLink, asked: Dynamic| {
        let place = link.desired.dynamic.iter().find(|dynamic| dynamic.value == asked);
        place.map_or(Place::NONE, |place| place.at)
    };
    for link in &mut resolved.links {
        let Some(entry) = entries.get(&link.name) else { continue };
        let leases = !entry.only_dhcp6 && link.desired.asks(Dynamic::Dhcp4)
            || entry
                .dhcp6
                .as_ref()
                .is_some_and(|six| !six.on_request || six.lease.is_some() || six.lost.is_some())
            || entry.routers.is_some() && link.desired.asks(Dynamic::RouterAdvertisements);
        if leases {
            link.lease = Some(match entry.lacks(now) {
                true => Leased::Missing(entry.why(now)),
                false => Leased::InForce(entry.notes(now)),
            });
        }
    }
    let mut times = Vec::new();
    for link in &mut resolved.links {
        let Some(entry) = entries.get(&link.name) else { continue };
        let advertised = place(link, Dynamic::RouterAdvertisements);
        for router in entry.routers.iter().flat_map(|ra| ra.in_force(now)) {
            let search: Vec<String> = router.search(now).map(str::to_owned).collect();
            let ipv6 = &link.desired.ipv6;
            let takes = |switch: Option<Located<bool>>| switch.is_none_or(|on| on.value);
            let takes = (takes(ipv6.ra_name_servers), takes(ipv6.ra_domains));
            let servers = router.name_servers(now).map(IpAddr::V6);
            let resolver = names(link, takes, servers, &search, advertised);
            resolved.resolver.merge(&resolver);
        }
        let Some(six) = &entry.dhcp6 else { continue };
        let at = if six.on_request { advertised } else { place(link, Dynamic::Dhcp6) };
        // What routers advertise the kernel takes itself, and it stays.
        if six.lease.as_ref().is_some_and(|lease| !lease.addresses.is_empty()) || six.lost.is_some() {
            let ours = [Dynamic::Dhcp6, Dynamic::RouterAdvertisements];
            link.desired.dynamic.retain(|dynamic| !ours.contains(&dynamic.value));
        }
        if let Some(lease) = six.in_force(now) {
            let resolver = add6(link, lease, at, now);
            resolved.resolver.merge(&resolver);
            if link.desired.dhcp4.use_time_servers {
                times.extend(lease.time_servers.iter().copied().map(IpAddr::V6));
            }
        }
    }
    let asking = resolved.links.iter_mut().filter(|link| link.desired.asks(Dynamic::Dhcp4));
    for (metric, link) in (METRIC..).zip(asking) {
        let metric = link.desired.dhcp4.metric.unwrap_or(metric);
        let Some(entry) = entries.get(&link.name).filter(|entry| !entry.only_dhcp6) else { continue };
        let at = place(link, Dynamic::Dhcp4);
        let lease = entry.in_force(now);
        // Before the first answer everything from an earlier client stays: the root may be mounted over it.
        if lease.is_some() || entry.lost.is_some() {
            link.desired.dynamic.retain(|dynamic| dynamic.value != Dynamic::Dhcp4);
        }
        if let Some(lease) = lease {
            let resolver = add(link, lease, metric, at, now);
            resolved.resolver.merge(&resolver);
            if link.desired.dhcp4.use_time_servers {
                times.extend(lease.terms.time_servers.iter().copied().map(IpAddr::V4));
            }
        }
    }
    let is_first = |(number, server): &(usize, &IpAddr)| !times[..*number].contains(server);
    let different = times.iter().enumerate().filter(is_first).map(|(_, server)| *server);
    resolved.time_servers = different.take(MOST_TIME_SERVERS).collect();
}

/// The host name of the first lease that has one.
pub fn host_name<'a>(
    resolved: &Resolved,
    entries: &'a BTreeMap<String, LeaseEntry>,
    now: Moment,
) -> Option<&'a str> {
    let links = resolved.links.iter().filter(|link| link.desired.dhcp4.use_host_name);
    let mut leases = links.filter_map(|link| entries.get(&link.name)?.in_force(now));
    leases.find_map(|lease| lease.terms.host_name.as_deref())
}

/// Adds the addresses of DHCPv6, each alone: on-link prefixes and routers come from router advertisements. Returns the
/// name servers and search domains.
fn add6(link: &mut ResolvedLink, lease: &Lease6, at: Place, now: Moment) -> Resolver {
    for leased in lease.addresses.iter().filter(|leased| leased.is_in_force(now)) {
        let address = IpAddr::V6(leased.address);
        if link.desired.addresses.iter().any(|a| a.net.addr() == address) {
            continue;
        }
        let left = |until: Option<u64>| {
            until.map(|until| {
                let left = std::time::Duration::from_millis(until).saturating_sub(now).as_secs();
                u32::try_from(left).unwrap_or(u32::MAX - 1)
            })
        };
        // The kernel refuses an address with less than a second left.
        let (preferred, valid) = (left(leased.preferred_until), left(leased.valid_until).map(|s| s.max(1)));
        link.desired.addresses.push(Address { preferred, valid, ..Address::new(address.into(), at) });
    }
    let takes = (link.desired.dhcp4.use_name_servers, link.desired.dhcp4.use_domains);
    names(link, takes, lease.name_servers.iter().map(|ip| IpAddr::V6(*ip)), &lease.search, at)
}

/// Gives the link those name servers and search domains that it takes, and returns them.
fn names(
    link: &mut ResolvedLink,
    (takes_servers, takes_domains): (bool, bool),
    servers: impl Iterator<Item = IpAddr>,
    search: &[String],
    at: Place,
) -> Resolver {
    let servers = servers.filter(|_| takes_servers).map(|ip| Located::new(ip, at));
    let search = search.iter().filter(|_| takes_domains).map(|domain| Located::new(domain.clone(), at));
    let mut resolver =
        Resolver { servers: servers.collect(), search: search.collect(), ..Resolver::default() };
    resolver.stand_on(&link.name);
    link.desired.resolver.merge(&resolver);
    resolver
}

/// Returns the name servers and search domains.
fn add(link: &mut ResolvedLink, lease: &Lease, metric: u32, at: Place, now: Moment) -> Resolver {
    let terms = &lease.terms;
    let address = IpAddr::V4(terms.address.addr());
    // The kernel refuses an address with less than a second left.
    let seconds =
        |end: Moment| u32::try_from(end.saturating_sub(now).as_secs().max(1)).unwrap_or(u32::MAX - 1);
    let left = lease.end().map(seconds);
    let described = link.desired.addresses.iter().any(|a| a.net.addr() == address);
    if !described {
        let net = IpNet::V4(terms.address);
        let broadcast = terms.broadcast;
        let address = Address { preferred: left, valid: left, broadcast, ..Address::new(net, at) };
        link.desired.addresses.push(address);
    }
    if link.desired.dhcp4.use_routes {
        for route in &terms.routes {
            // A gateway outside of the subnet is reached directly: clouds lease a /32.
            let on_link = route.via.is_some_and(|via| !terms.address.contains(&via));
            let to = IpNet::V4(route.to);
            link.desired.routes.push(Route {
                on_link,
                metric: Some(metric),
                table: link.desired.dhcp4.table,
                source: Some(address),
                protocol: Protocol::Dhcp,
                ..Route::new(to, route.via.map(IpAddr::V4), at)
            });
        }
    }
    let mtu = terms.mtu.filter(|_| link.desired.dhcp4.use_mtu && link.desired.mtu.is_none());
    // A link on top of another cannot exceed its MTU; whether a NIC can is up to the driver.
    let mtu = mtu.filter(|mtu| *mtu <= 1500 || matches!(link.desired.kind, Kind::Physical | Kind::Bond));
    link.desired.mtu =
        link.desired.mtu.or(mtu.and_then(|mtu| Some(Located::new(Mtu::new(mtu.into()).ok()?, at))));
    let takes = (link.desired.dhcp4.use_name_servers, link.desired.dhcp4.use_domains);
    names(link, takes, terms.name_servers.iter().map(|ip| IpAddr::V4(*ip)), &terms.search, at)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::inventory::{Inventory, ObservedLink, RouteEntry};
    use crate::lease::dhcp4::machine::LeaseEnd;
    use crate::lease::dhcp4::terms::{self, Terms};
    use crate::lease::entry::{Entry6, RouterEntry};
    use crate::lease::ra::machine::Router;
    use crate::model::{Desired, Link, NamePattern, Scope};
    use crate::plan::{Action, plan, script};
    use crate::resolve::{Missing, resolve};

    const NOW: Moment = Duration::from_secs(1000);

    fn lease() -> Lease {
        let terms = Terms {
            address: "192.0.2.7/24".parse().unwrap(),
            server: Ipv4Addr::new(192, 0, 2, 1),
            broadcast: None,
            routes: vec![terms::LeasedRoute {
                to: "0.0.0.0/0".parse().unwrap(),
                via: Some(Ipv4Addr::new(192, 0, 2, 1)),
            }],
            name_servers: vec![Ipv4Addr::new(192, 0, 2, 53)],
            search: vec!["example.org".to_owned()],
            time_servers: Vec::new(),
            mtu: Some(1400),
            host_name: Some("node1".to_owned()),
            vendor_specific: None,
            lifetime: Some(600),
            t1: 300,
            t2: 525,
        };
        Lease { terms, asked: 900_000 }
    }

    fn machine() -> (Desired, Inventory) {
        let mut link = Link::new("eth0", Kind::Physical, Place::NONE);
        link.select.name = Some(Located::new(NamePattern::Exact("eth0".to_owned()), Place::NONE));
        link.dynamic = vec![Located::new(Dynamic::Dhcp4, Place { file: 0, line: 3, column: 5 })];
        let observed = ObservedLink {
            index: 2,
            name: "eth0".to_owned(),
            up: true,
            mtu: 1400,
            ..ObservedLink::default()
        };
        let inventory = Inventory { links: vec![observed], ..Inventory::default() };
        (Desired { links: vec![link], ..Desired::default() }, inventory)
    }

    fn steps(entry: Option<LeaseEntry>, inventory: &Inventory) -> Vec<String> {
        let (desired, _) = machine();
        let mut resolved = resolve(&desired, inventory, Missing::Report).0;
        join(&mut resolved, &entry.into_iter().map(|e| (e.link.clone(), e)).collect(), NOW);
        plan(&resolved, inventory).steps.iter().map(|step| script::line(&step.action)).collect()
    }

    fn bound() -> LeaseEntry {
        LeaseEntry { lease: Some(lease()), ..LeaseEntry::new("eth0") }
    }

    #[test]
    fn a_lease_is_planned_with_what_is_left_of_it() {
        let (_, inventory) = machine();
        let expected = [
            "ip address add 192.0.2.7/24 broadcast 192.0.2.255 dev eth0 valid_lft 500 preferred_lft 500",
            "ip -4 route add default via 192.0.2.1 dev eth0 proto dhcp metric 100 src 192.0.2.7",
        ];
        assert_eq!(steps(Some(bound()), &inventory), expected);
    }

    #[test]
    fn an_ageing_lease_is_no_difference_but_a_renewed_one_is() {
        let (desired, mut inventory) = machine();
        let mut resolved = resolve(&desired, &inventory, Missing::Report).0;
        join(&mut resolved, &[("eth0".to_owned(), bound())].into(), NOW);
        let done = plan(&resolved, &inventory);
        for step in done.steps {
            match step.action {
                Action::AddAddress(entry) => {
                    // The kernel's own connected route comes with it.
                    let route = RouteEntry::new(entry.net.trunc());
                    let (link, source) = (Some(entry.link.clone()), Some(entry.net.addr()));
                    let (scope, protocol) = (Scope::Link, Protocol::Kernel);
                    inventory.routes.push(RouteEntry { link, source, scope, protocol, ..route });
                    inventory.addresses.push(entry);
                }
                Action::AddRoute(entry) => inventory.routes.push(entry),
                other => panic!("{other:?}"),
            }
        }
        // The kernel counts down, and so does the lease.
        for address in &mut inventory.addresses {
            address.valid = address.valid.map(|left| left - 399);
            address.preferred = address.preferred.map(|left| left - 399);
        }
        let later = NOW + Duration::from_secs(400);
        let steps_at = |entry: LeaseEntry, now| {
            let mut resolved = resolve(&desired, &inventory, Missing::Report).0;
            join(&mut resolved, &[("eth0".to_owned(), entry)].into(), now);
            plan(&resolved, &inventory).steps.len()
        };
        assert_eq!(steps_at(bound(), later), 0);
        let renewed = LeaseEntry { lease: Some(Lease { asked: 1_200_000, ..lease() }), ..bound() };
        assert_eq!(steps_at(renewed, later), 1);
    }

    #[test]
    fn an_address_is_removed_with_its_lease_but_not_before_the_first_answer() {
        let (_, mut inventory) = machine();
        let mut address = crate::inventory::AddressEntry::new("eth0", "192.0.2.7/24".parse().unwrap());
        (address.permanent, address.valid, address.preferred) = (false, Some(60), Some(60));
        inventory.addresses = vec![address];
        assert_eq!(steps(None, &inventory), [""; 0], "left to the image");
        assert_eq!(steps(Some(LeaseEntry::new("eth0")), &inventory), [""; 0], "nobody has answered");
        let lost = LeaseEntry { lost: Some(LeaseEnd::Refused), ..LeaseEntry::new("eth0") };
        assert_eq!(steps(Some(lost), &inventory).len(), 1, "it is another's now");
        let over = LeaseEntry {
            lease: Some(Lease { asked: 0, ..lease() }),
            lost: Some(LeaseEnd::Expired),
            ..bound()
        };
        assert_eq!(steps(Some(over), &inventory).len(), 1);
    }

    #[test]
    fn the_kernel_accepts_the_last_second_of_a_lease() {
        let (desired, inventory) = machine();
        let mut resolved = resolve(&desired, &inventory, Missing::Report).0;
        let end = Duration::from_millis(900_000 + 600_000);
        join(&mut resolved, &[("eth0".to_owned(), bound())].into(), end - Duration::from_millis(300));
        assert_eq!(resolved.links[0].desired.addresses[0].valid, Some(1));
    }

    fn routers() -> LeaseEntry {
        let server = |text: &str, until| (text.parse().unwrap(), until);
        let router = Router {
            address: "fe80::1".parse().unwrap(),
            managed: false,
            other: false,
            default_until: 2_000_000,
            prefixes: Vec::new(),
            name_servers: vec![server("2001:db8::53", Some(1_100_000)), server("fe80::53", None)],
            search: vec![("example.org".to_owned(), Some(1_050_000))],
            until: 2_800_000,
        };
        let routers = Some(RouterEntry { routers: vec![router], ..RouterEntry::default() });
        let dhcp6 = Some(Entry6 { on_request: true, ..Entry6::default() });
        LeaseEntry { only_dhcp6: true, routers, dhcp6, ..LeaseEntry::new("eth0") }
    }

    #[test]
    fn name_servers_of_routers_last_as_long_as_they_say() {
        let (mut desired, inventory) = machine();
        desired.links[0].dynamic = vec![Located::new(Dynamic::RouterAdvertisements, Place::NONE)];
        let of = |desired: &Desired, seconds| {
            let mut resolved = resolve(desired, &inventory, Missing::Report).0;
            join(&mut resolved, &[("eth0".to_owned(), routers())].into(), Duration::from_secs(seconds));
            assert_eq!(resolved.links[0].lease, Some(Leased::InForce(Vec::new())));
            assert!(
                resolved.links[0].desired.asks(Dynamic::RouterAdvertisements),
                "the kernel takes their addresses"
            );
            let resolver = &resolved.links[0].desired.resolver;
            let servers = resolver.servers.iter().map(|server| resolver.shown(&server.value));
            (servers.collect::<Vec<_>>(), resolver.search.len(), resolved.resolver.servers.len())
        };
        let both = vec!["2001:db8::53".to_owned(), "fe80::53%eth0".to_owned()];
        assert_eq!(of(&desired, 1000), (both.clone(), 1, 2));
        assert_eq!(of(&desired, 1060), (both, 0, 2));
        assert_eq!(of(&desired, 1100), (vec!["fe80::53%eth0".to_owned()], 0, 1));
        let off = Some(Located::new(false, Place::NONE));
        desired.links[0].ipv6.ra_name_servers = off;
        assert_eq!(of(&desired, 1000), (vec![], 1, 0));
        (desired.links[0].ipv6.ra_name_servers, desired.links[0].ipv6.ra_domains) = (None, off);
        assert_eq!((of(&desired, 1000).0.len(), of(&desired, 1000).1), (2, 0));
    }

    #[test]
    fn overrides_leave_parts_out() {
        let (mut desired, inventory) = machine();
        let of = |desired: &Desired| {
            let mut resolved = resolve(desired, &inventory, Missing::Report).0;
            join(&mut resolved, &[("eth0".to_owned(), bound())].into(), NOW);
            let named = host_name(&resolved, &[("eth0".to_owned(), bound())].into(), NOW).is_some();
            let link = resolved.links.remove(0).desired;
            let metric = link.routes.first().and_then(|route| route.metric);
            (
                metric,
                resolved.resolver.servers.len(),
                resolved.resolver.search.len(),
                link.mtu.is_some(),
                named,
            )
        };
        assert_eq!(of(&desired), (Some(100), 1, 1, true, true));
        let dhcp4 = &mut desired.links[0].dhcp4;
        dhcp4.metric = Some(7);
        (dhcp4.use_name_servers, dhcp4.use_domains, dhcp4.use_mtu, dhcp4.use_host_name) =
            (false, false, false, false);
        assert_eq!(of(&desired), (Some(7), 0, 0, false, false));
        desired.links[0].dhcp4.use_routes = false;
        assert_eq!(of(&desired).0, None);
    }

    #[test]
    fn time_servers_of_both_families_are_taken_once() {
        let (mut desired, inventory) = machine();
        let mut entry = bound();
        let four = ["192.0.2.123", "192.0.2.124", "192.0.2.123"].map(|ip| ip.parse().unwrap());
        entry.lease.as_mut().unwrap().terms.time_servers = four.to_vec();
        let six = Lease6 {
            server: vec![0, 3, 0, 1],
            addresses: Vec::new(),
            t1: None,
            t2: None,
            name_servers: Vec::new(),
            search: Vec::new(),
            time_servers: vec!["2001:db8::123".parse().unwrap()],
            delegated: Vec::new(),
        };
        entry.dhcp6 = Some(Entry6 { on_request: true, lease: Some(six), ..Entry6::default() });
        let of = |desired: &Desired| {
            let mut resolved = resolve(desired, &inventory, Missing::Report).0;
            join(&mut resolved, &[("eth0".to_owned(), entry.clone())].into(), NOW);
            resolved.time_servers.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&desired), ["2001:db8::123", "192.0.2.123", "192.0.2.124"]);
        desired.links[0].dhcp4.use_time_servers = false;
        assert_eq!(of(&desired), [""; 0]);
    }
}
