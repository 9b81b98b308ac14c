//! Routes: those that are not described go from managed links, those that are missing come, links first, gateways after.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use super::state::{RouteKey, key};
use super::step::Action;
use super::{Planner, left_to_others};
use crate::inventory::RouteEntry;
use crate::model::{Family, Place, Route, RouteKind, Scope};
use crate::resolve::ResolvedLink;

/// `rtm_protocol` of routes that netapply may remove: boot, static, DHCP (linux/rtnetlink.h).
const REMOVABLE: &[u8] = &[3, 4, 16];
/// What netapply's own routes carry.
const STATIC: u8 = 4;

impl Planner<'_> {
    /// On managed links, routes of protocol boot, static and DHCP whose key is not described: what has the key is
    /// replaced in place later.
    pub(super) fn remove_routes(&mut self) {
        let wished: HashSet<RouteKey> = self.wished_keys();
        let mut gone: Vec<(String, Place, RouteEntry)> = Vec::new();
        for route in self.state.routes.values().flatten() {
            let link = route.link.as_deref().and_then(|name| self.described(name));
            let Some(link) = link.filter(|_| REMOVABLE.contains(&route.protocol) && !route.multipath) else {
                continue;
            };
            let (v4, v6) = left_to_others(link);
            let left = if Family::of(&route.to.addr()) == Family::V4 { v4 } else { v6 };
            if !left && !wished.contains(&key(route)) {
                gone.push((link.desired.id.clone(), link.desired.at, route.clone()));
            }
        }
        // Those with a gateway first; beyond that any order that does not change from run to run.
        gone.sort_by_key(|(_, _, r)| (r.via.is_none(), r.to, r.table, r.metric, r.via));
        for (id, at, route) in gone {
            self.push(&id, at, Action::DeleteRoute(route));
        }
    }

    pub(super) fn add_routes(&mut self) {
        let fresh = self.fresh_sources();
        let waits = |route: &RouteEntry| route.source.is_some_and(|source| fresh.contains_key(&source));
        // The kernel asks whether a gateway is reachable: routes without one come first. What has to wait comes last.
        let mut wished = self.wished();
        wished.retain(|(_, _, route)| self.missing(route).is_some());
        wished.sort_by_key(|(_, _, route)| (waits(route), route.via.is_some()));
        let mut awaited: Option<Vec<usize>> = None;
        for (index, (id, at, route)) in wished.iter().enumerate() {
            let wait = waits(route).then(|| {
                let rest = wished.get(index..).unwrap_or_default();
                awaited.get_or_insert_with(|| self.await_sources(rest, &fresh)).clone()
            });
            let Some(action) = self.missing(route) else { continue };
            let number = self.push(id, *at, action(route.clone()));
            if let (Some(wait), Some(step)) = (wait, self.steps.get_mut(number)) {
                step.needs.extend(wait);
            }
        }
        for route in std::mem::take(&mut self.state.lost_routes) {
            let managed = route.link.as_deref().and_then(|name| self.described(name)).is_some();
            if !managed && REMOVABLE.contains(&route.protocol) && self.missing(&route).is_some() {
                self.push("", Place::NONE, Action::AddRoute(route));
            }
        }
    }

    /// Every described route in the kernel's form, with the id and place it comes from.
    fn wished(&self) -> Vec<(String, Place, RouteEntry)> {
        let routes =
            self.resolved.links.iter().flat_map(|link| link.desired.routes.iter().map(move |r| (link, r)));
        routes.map(|(link, route)| (link.desired.id.clone(), route.at, entry(link, route))).collect()
    }

    fn wished_keys(&self) -> HashSet<RouteKey> {
        let links = self.resolved.links.iter();
        links.flat_map(|link| link.desired.routes.iter().map(|r| (r.to, table(link, r), metric(r)))).collect()
    }

    /// How a route gets there, if it is not: added, or put in the place of one of the same key.
    fn missing(&self, route: &RouteEntry) -> Option<fn(RouteEntry) -> Action> {
        let there = self.state.routes.get(&key(route)).map_or(&[][..], Vec::as_slice);
        if there.iter().any(|t| is_same(t, route)) {
            return None;
        }
        let ours = |t: &&RouteEntry| {
            let link = t.link.as_deref().and_then(|name| self.described(name));
            REMOVABLE.contains(&t.protocol) && (link.is_some() || t.kind.is_linkless())
        };
        Some(match there.iter().any(|t| ours(&t)) {
            true => Action::ReplaceRoute,
            // A router's own route may be there (fib6_add_rt2node tells them apart by what made them).
            false if !there.is_empty() && Family::of(&route.to.addr()) == Family::V6 => Action::AppendRoute,
            false => Action::AddRoute,
        })
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
    fn await_sources(
        &mut self,
        routes: &[(String, Place, RouteEntry)],
        fresh: &HashMap<IpAddr, String>,
    ) -> Vec<usize> {
        let mut waits: BTreeMap<String, (String, Place, Vec<Ipv6Addr>)> = BTreeMap::new();
        for (id, at, route) in routes {
            let Some(IpAddr::V6(source)) = route.source else { continue };
            let Some(link) = fresh.get(&IpAddr::V6(source)) else { continue };
            let wait = waits.entry(link.clone()).or_insert_with(|| (id.clone(), *at, Vec::new()));
            if !wait.2.contains(&source) {
                wait.2.push(source);
            }
        }
        let push = |(link, (id, at, addresses)): (String, (String, Place, Vec<Ipv6Addr>))| {
            self.push(&id, at, Action::AwaitAddresses { link, addresses })
        };
        waits.into_iter().map(push).collect()
    }
}

fn is_same(there: &RouteEntry, wished: &RouteEntry) -> bool {
    let link = wished.kind.is_linkless() || there.link == wished.link;
    // Only IPv4 keeps a scope; the kernel may turn on-link off where the gateway is on a subnet after all.
    let scope = Family::of(&wished.to.addr()) == Family::V6 || there.scope == wished.scope;
    link && scope
        && there.via == wished.via
        && there.on_link == wished.on_link
        && there.kind == wished.kind
        && there.source == wished.source
        && there.metrics == wished.metrics
        && there.protocol == wished.protocol
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
        ("advmss", route.advertised_mss),
    ];
    RouteEntry {
        to: route.to,
        link: (!route.kind.is_linkless()).then(|| link.name.clone()),
        via: route.via,
        on_link: route.on_link && route.via.is_some(),
        kind: route.kind,
        scope: scope(route),
        protocol: STATIC,
        metric: metric(route),
        table: table(link, route),
        source: route.source,
        metrics: metrics.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        multipath: false,
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
