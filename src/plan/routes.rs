//! Routes: those that are not described go from managed links, those that are missing come, links first, gateways after.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use super::state::{RouteKey, key};
use super::step::{Action, StepId};
use super::{Planner, left_to_others};
use crate::inventory::{NextHopEntry, RouteEntry};
use crate::model::{Family, NextHop, Place, Protocol, Route, RouteKind, Scope, few};
use crate::resolve::ResolvedLink;

/// `rtm_protocol` of routes that netapply may remove: boot, static, DHCP (linux/rtnetlink.h).
const REMOVABLE: &[Protocol] = &[Protocol::Boot, Protocol::Static, Protocol::Dhcp];

/// A described route in the kernel's form, with the id of its link and its place.
type DesiredRoute<'a> = (&'a str, Place, RouteEntry);

impl<'a> Planner<'a> {
    /// On managed links, routes of protocol boot, static and DHCP whose key is not described: what has the key is
    /// replaced in place later.
    pub(super) fn remove_routes(&mut self) {
        let desired: HashSet<RouteKey> = self.desired_keys();
        let there = self.state.routes.values().flatten();
        let gone = there.filter(|route| !desired.contains(&key(route)) && self.is_ours(route)).cloned();
        self.remove(gone.collect());
    }

    fn remove(&mut self, mut routes: Vec<RouteEntry>) {
        // Those with a gateway first; beyond that any order that does not change from run to run.
        routes.sort_unstable_by_key(|r| (!r.has_gateway(), r.to, r.table, r.metric, r.via));
        for route in routes {
            let owner = route.links().find_map(|name| self.described(name));
            let (id, at) = owner.map_or(("", Place::NONE), |link| (&link.desired.id, link.desired.at));
            self.push(id, at, Action::DeleteRoute(route));
        }
    }

    /// Made by hand or by a client, and on managed links only, none of which leaves this family to others.
    fn is_ours(&self, route: &RouteEntry) -> bool {
        let managed = |name: &str| {
            self.described(name).is_some_and(|link| {
                let (v4, v6) = left_to_others(link);
                !(if route.to.addr().is_ipv4() { v4 } else { v6 })
            })
        };
        REMOVABLE.contains(&route.protocol) && route.links().next().is_some() && route.links().all(managed)
    }

    pub(super) fn add_routes(&mut self) {
        let fresh = self.fresh_sources();
        let waits = |route: &RouteEntry| route.source.is_some_and(|source| fresh.contains_key(&source));
        // The kernel asks whether a gateway is reachable: routes without one come first. What has to wait comes last.
        let mut desired = self.desired_routes();
        let mut anew = self.groups_to_make_anew(&desired);
        let mut groups: HashMap<RouteKey, Vec<RouteEntry>> = HashMap::new();
        for (_, _, route) in desired.iter().filter(|(_, _, route)| route.weight.is_some()) {
            groups.entry(key(route)).or_default().push(route.clone());
        }
        desired.retain(|(_, _, route)| anew.contains(&key(route)) || !self.is_there(route));
        desired.sort_by_key(|(_, _, route)| (waits(route), route.has_gateway()));
        let mut awaited: Option<Vec<StepId>> = None;
        for (index, (id, at, route)) in desired.iter().enumerate() {
            let wait = waits(route).then(|| {
                let rest = desired.get(index..).unwrap_or_default();
                awaited.get_or_insert_with(|| self.await_sources(rest, &fresh)).clone()
            });
            let number = match anew.remove(&key(route)) {
                true => self.push(id, *at, Action::ReplaceRoute(route.clone())),
                false if self.is_there(route) => continue,
                false => self.bring(id, *at, route, groups.get(&key(route)).map_or(&[], Vec::as_slice)),
            };
            if let (Some(wait), Some(step)) = (wait, self.steps.get_mut(number.0)) {
                step.needs.extend(wait);
            }
        }
        self.remove_leftovers();
        for route in std::mem::take(&mut self.state.lost_routes) {
            let managed = route.links().all(|name| self.described(name).is_some());
            if !managed && REMOVABLE.contains(&route.protocol) && !self.is_there(&route) {
                let beside = !self.state.of_key(&route).is_empty();
                let action = if beside { Action::AppendRoute } else { Action::AddRoute };
                self.push("", Place::NONE, action(route));
            }
        }
    }

    /// Puts a route in the place of the only one of its key where that is ours and none of its `group`, or has the same
    /// next hop; else beside those that are there.
    fn bring(&mut self, id: &str, at: Place, route: &RouteEntry, group: &[RouteEntry]) -> StepId {
        let ours = |t: &RouteEntry| {
            let ours = self.is_ours(t) || (t.kind.is_linkless() && REMOVABLE.contains(&t.protocol));
            ours && !group.iter().any(|desired| t.serves_as(desired))
        };
        let action = match self.state.of_key(route) {
            [] => Action::AddRoute,
            // A router's own may have the same next hop: it would expire.
            [only] if ours(only) || only.has_same_next_hop(route) => Action::ReplaceRoute,
            several => {
                // The kernel replaces the first one, whichever it is.
                if let Some(twin) = several.iter().find(|t| t.has_same_next_hop(route)).cloned() {
                    self.push(id, at, Action::DeleteRoute(twin));
                }
                Action::AppendRoute
            }
        };
        self.push(id, at, action(route.clone()))
    }

    /// Keys of the IPv6 routes that the kernel shows as one, if all are ours and some not described: the kernel replaces
    /// them together.
    fn groups_to_make_anew(&self, desired: &[DesiredRoute<'a>]) -> HashSet<RouteKey> {
        let ours = |r: &RouteEntry| r.weight.is_some() && self.is_ours(r) && !may_be_a_routers(r);
        let groups = self.state.routes.iter().filter(|(_, there)| there.len() > 1 && there.iter().all(ours));
        let mut strangers: HashMap<RouteKey, Vec<&RouteEntry>> =
            groups.map(|(key, there)| (*key, there.iter().collect())).collect();
        if !strangers.is_empty() {
            for (_, _, route) in desired {
                if let Some(there) = strangers.get_mut(&key(route)) {
                    there.retain(|there| !there.serves_as(route));
                }
            }
        }
        strangers.into_iter().filter(|(_, left)| !left.is_empty()).map(|(key, _)| key).collect()
    }

    /// What is ours and not described beside described routes of the same key, once these are there.
    fn remove_leftovers(&mut self) {
        let several = |routes: &&Vec<RouteEntry>| routes.len() > 1;
        if !self.state.routes.values().any(|routes| several(&routes)) {
            return;
        }
        let mut desired: HashMap<RouteKey, Vec<RouteEntry>> = HashMap::new();
        for (_, _, route) in self.desired_routes() {
            desired.entry(key(&route)).or_default().push(route);
        }
        let mut gone = Vec::new();
        for there in self.state.routes.values().filter(several).flatten() {
            let Some(desired) = desired.get(&key(there)) else { continue };
            if self.is_ours(there) && !may_be_a_routers(there) && !desired.iter().any(|w| there.serves_as(w))
            {
                gone.push(there.clone());
            }
        }
        self.remove(gone);
    }

    /// Every described route.
    fn desired_routes(&self) -> Vec<DesiredRoute<'a>> {
        let routes =
            self.resolved.links.iter().flat_map(|link| link.desired.routes.iter().map(move |r| (link, r)));
        let mut desired: Vec<DesiredRoute<'a>> = Vec::new();
        for (link, route) in routes {
            let single = entry(link, route);
            let mut add = |entry| desired.push((link.desired.id.as_str(), route.at, entry));
            if route.more.is_empty() {
                add(single);
            } else {
                several(single, self.next_hops(link, route)).into_iter().for_each(add);
            }
        }
        desired
    }

    /// The next hops of a route that has several, without those whose link is not there.
    fn next_hops(&self, link: &ResolvedLink, route: &Route) -> Vec<NextHopEntry> {
        let called = |id: &Option<String>| match id {
            None => Some(link.name.clone()),
            Some(id) => self.resolved.links.iter().find(|l| l.desired.id == *id).map(|l| l.name.clone()),
        };
        let first = NextHop { link: None, via: route.via, on_link: route.on_link, weight: route.weight };
        let all = std::iter::once(&first).chain(&route.more);
        let entry = |hop: &NextHop| {
            let NextHop { via, on_link, weight, .. } = *hop;
            Some(NextHopEntry { link: Some(called(&hop.link)?), via, on_link, weight })
        };
        all.filter_map(entry).collect()
    }

    fn desired_keys(&self) -> HashSet<RouteKey> {
        let links = || self.resolved.links.iter();
        let key = |link, r: &Route| RouteKey { to: r.to, table: table(link, r), metric: metric(r) };
        let mut keys = HashSet::with_capacity(links().map(|link| link.desired.routes.len()).sum());
        keys.extend(links().flat_map(|link| link.desired.routes.iter().map(move |r| key(link, r))));
        keys
    }

    fn is_there(&self, route: &RouteEntry) -> bool {
        self.state.of_key(route).iter().any(|there| there.serves_as(route))
    }

    /// The IPv6 addresses that this plan adds, with their links: they are tentative at first.
    fn fresh_sources(&self) -> HashMap<IpAddr, String> {
        let added = self.steps.iter().filter_map(|step| match &step.action {
            Action::AddAddress(entry) if entry.net.addr().is_ipv6() => {
                Some((entry.net.addr(), entry.link.clone()))
            }
            _ => None,
        });
        added.collect()
    }

    /// The kernel refuses a route whose preferred source is tentative (ip6_route_info_create).
    /// Returns the steps that wait.
    fn await_sources(&mut self, routes: &[DesiredRoute<'a>], fresh: &HashMap<IpAddr, String>) -> Vec<StepId> {
        let mut waits: BTreeMap<String, (&str, Place, Vec<Ipv6Addr>)> = BTreeMap::new();
        for (id, at, route) in routes {
            let Some(IpAddr::V6(source)) = route.source else { continue };
            let Some(link) = fresh.get(&IpAddr::V6(source)) else { continue };
            let wait = waits.entry(link.clone()).or_insert_with(|| (*id, *at, Vec::new()));
            if !wait.2.contains(&source) {
                wait.2.push(source);
            }
        }
        let push = |(link, (id, at, addresses)): (String, (&str, Place, Vec<Ipv6Addr>))| {
            self.push(id, at, Action::AwaitAddresses { link, addresses })
        };
        waits.into_iter().map(push).collect()
    }
}

/// One of several routes that the kernel shows as one, telling the maker of the first only, by a gateway such as routers
/// announce: a program that listens to them may have made it.
fn may_be_a_routers(route: &RouteEntry) -> bool {
    let local = |via: IpAddr| matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
    route.weight.is_some() && route.via.is_some_and(local)
}

/// A route of several next hops in the kernel's form: IPv4 has one route with them, IPv6 one route each.
fn several(route: RouteEntry, hops: Vec<NextHopEntry>) -> Vec<RouteEntry> {
    let led = |hop: &NextHopEntry, weight| RouteEntry {
        link: hop.link.clone(),
        via: hop.via,
        on_link: hop.on_link,
        weight,
        ..route.clone()
    };
    match hops.as_slice() {
        [only] => vec![led(only, None)],
        hops if route.to.addr().is_ipv6() => hops.iter().map(|hop| led(hop, Some(hop.weight))).collect(),
        _ => vec![RouteEntry { link: None, via: None, on_link: false, hops, ..route }],
    }
}

fn table(link: &ResolvedLink, route: &Route) -> u32 {
    route.table.or(link.vrf_table).unwrap_or(route.kind.natural_table())
}

/// The kernel gives an IPv6 route a metric where none is asked for.
fn metric(route: &Route) -> u32 {
    route.metric.unwrap_or(if route.family() == Family::V6 { 1024 } else { 0 })
}

/// A described route in the kernel's form.
fn entry(link: &ResolvedLink, route: &Route) -> RouteEntry {
    let metrics = [
        ("mtu", route.mtu),
        ("initcwnd", route.congestion_window),
        ("initrwnd", route.receive_window),
        ("window", route.window),
        ("advmss", route.advertised_mss),
    ];
    RouteEntry {
        link: (!route.kind.is_linkless()).then(|| link.name.clone()),
        via: route.via,
        on_link: route.on_link && route.via.is_some(),
        kind: route.kind,
        scope: scope(route),
        protocol: Protocol::Static,
        metric: metric(route),
        table: table(link, route),
        source: route.source,
        metrics: few(metrics.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))),
        ..RouteEntry::new(route.to)
    }
}

/// As ip(8) chooses it (iproute.c): IPv6 has one scope; local is host, what has no gateway is link.
fn scope(route: &Route) -> Scope {
    if route.family() == Family::V6 {
        return Scope::Global;
    }
    route.scope.unwrap_or(match route.kind {
        RouteKind::Local => Scope::Host,
        RouteKind::Broadcast | RouteKind::Multicast | RouteKind::Anycast => Scope::Link,
        RouteKind::Unicast if route.via.is_none() => Scope::Link,
        _ => Scope::Global,
    })
}
