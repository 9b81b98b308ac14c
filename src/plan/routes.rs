//! Routes: undescribed ones are removed from managed links, missing ones added, on-link ones first.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::addresses::is_advertised;
use super::links::Advertisements;
use super::state::{RouteKey, key};
use super::step::{Action, StepId};
use super::{Planner, left_to_others};
use crate::inventory::{AddressEntry, NextHopEntry, RouteEntry};
use crate::model::{Family, NextHop, Place, Protocol, Route, RouteKind, Scope};
use crate::order::{Few as _, Order as _};
use crate::resolve::ResolvedLink;

/// Protocols of routes that netapply may remove: added by hand, by a client, by an ICMP redirect.
const REMOVABLE: &[Protocol] = &[Protocol::Boot, Protocol::Static, Protocol::Dhcp, Protocol::Redirect];

/// A described route in the kernel's form, with the id of its link and its position.
type DesiredRoute<'a> = (&'a str, Place, RouteEntry);

impl<'a> Planner<'a> {
    /// On managed links, routes of the removable protocols whose key is not described; a route with a described key is
    /// replaced in place later.
    pub(super) fn remove_routes(&mut self) {
        let desired: HashSet<RouteKey> = self.desired_keys();
        let there = self.state.routes();
        let gone = there.filter(|route| !desired.contains(&key(route)) && self.is_ours(route)).cloned();
        self.remove(gone.collect());
    }

    fn remove(&mut self, mut routes: Vec<RouteEntry>) {
        // Those with a gateway first; apart from that any stable order.
        routes.order_by_key(|r| (!r.has_gateway(), r.to, r.table, r.metric, r.via));
        for route in routes {
            let owner = route.links().find_map(|name| self.described(name));
            let (id, at) = owner.map_or(("", Place::NONE), |link| (&link.desired.id, link.desired.at));
            self.push(id, at, Action::DeleteRoute(route));
        }
    }

    /// Removes what routers advertised on links on which the description turns that off, and what the kernel derived
    /// from it: the sysctls that turn it off leave existing routes in place.
    pub(super) fn remove_advertised(&mut self) {
        let resolved = self.resolved;
        for link in &resolved.links {
            let policy = self.advertisements(link);
            let addresses: Vec<AddressEntry> = self
                .state
                .addresses
                .get(&link.name)
                .into_iter()
                .flatten()
                .filter(|_| policy.accept == Some(false) || policy.autoconf == Some(false))
                .filter(|address| is_advertised(link, address))
                .cloned()
                .collect();
            for address in addresses {
                self.push_for(link, Action::DeleteAddress(address));
            }
            // Every link may have a route with one key (fe80::/64): what is the case for none is not looked for on a
            // thousand.
            if policy.accept != Some(false) && policy.default_route != Some(false) {
                continue;
            }
            let routes: Vec<RouteEntry> = self
                .state
                .routes_of(&link.name)
                .filter(|route| is_withdrawn(&policy, route))
                .cloned()
                .collect();
            self.remove(routes);
        }
    }

    /// Added by hand or by a client, on managed links only, none of which leaves this family to others.
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
        // The kernel checks that a gateway is reachable: routes without one come first. Those that have to wait come
        // last.
        let lost = self.lost_routes();
        let mut anew = self.groups_to_make_anew(&lost);
        let mut groups: HashMap<RouteKey, Vec<RouteEntry>> = HashMap::default();
        let mut desired: Vec<DesiredRoute<'a>> = Vec::new();
        let mut add = |(id, at, route): DesiredRoute<'a>| {
            if route.weight.is_some() {
                groups.entry(key(&route)).or_default().push(route.clone());
            }
            if anew.contains(&key(&route)) || !self.is_in_force(id, &route) {
                desired.push((id, at, route));
            }
        };
        self.each_desired(&mut add);
        lost.into_iter().for_each(add);
        desired.order_by_key(|(_, _, route)| (waits(route), route.has_gateway()));
        self.steps.reserve(desired.len());
        let late = desired.split_off(desired.partition_point(|(_, _, route)| !waits(route)));
        for route in desired {
            self.bring_desired(route, &mut anew, &groups);
        }
        let sources = self.await_sources(&late, &fresh);
        for route in late {
            let step = self.bring_desired(route, &mut anew, &groups);
            if let Some(step) = step.and_then(|step| self.steps.get_mut(step.0)) {
                step.needs.extend(&sources);
            }
        }
        self.remove_joined();
        self.remove_leftovers();
    }

    /// Makes a route that an earlier step has not already brought about.
    fn bring_desired(
        &mut self,
        (id, at, route): DesiredRoute<'a>,
        anew: &mut HashSet<RouteKey>,
        groups: &HashMap<RouteKey, Vec<RouteEntry>>,
    ) -> Option<StepId> {
        let key = key(&route);
        match anew.remove(&key) {
            true => Some(self.push(id, at, Action::ReplaceRoute(route))),
            false if self.is_in_force(id, &route) => None,
            false => Some(self.bring(id, at, route, groups.get(&key).map_or(&[], Vec::as_slice))),
        }
    }

    /// What the kernel drops because of the plan's steps and does not restore by itself, whoever added it, except for
    /// our own: the description decides about those; and for those over a gateway whose subnet is gone with an address.
    fn lost_routes(&mut self) -> Vec<DesiredRoute<'a>> {
        let mut lost = std::mem::take(&mut self.state.lost_routes);
        lost.order_by_key(|r| (r.has_gateway(), key(r), r.via));
        lost.dedup();
        let addresses: HashSet<IpAddr> =
            self.state.addresses.values().flatten().map(|address| address.net.addr()).collect();
        lost.retain(|route| {
            let returns = matches!(route.protocol, Protocol::Kernel | Protocol::RouterAdvertisement);
            let is_up = |name: &str| self.state.link(name).is_some_and(|link| link.up);
            !returns
                && !self.is_ours(route)
                && route.unknown.is_empty()
                && route.links().all(is_up)
                && route.source.is_none_or(|source| addresses.contains(&source))
        });
        let (through, mut kept): (Vec<_>, Vec<_>) = lost.into_iter().partition(RouteEntry::has_gateway);
        let mut direct: Vec<(String, IpNet)> = Vec::new();
        if !through.is_empty() {
            let mut add = |route: &RouteEntry| {
                direct
                    .extend(route.link.clone().filter(|_| !route.has_gateway()).map(|link| (link, route.to)));
            };
            kept.iter().for_each(&mut add);
            self.each_desired(&mut |(_, _, route)| add(&route));
        }
        let reached: Vec<RouteEntry> =
            through.into_iter().filter(|route| self.reaches_gateways(route, &direct)).collect();
        kept.extend(reached);
        kept.into_iter().map(|route| ("", Place::NONE, route)).collect()
    }

    /// Whether every gateway of a route is in a subnet of its link, by an address or a route without a gateway, those of
    /// `direct` included: the kernel refuses others (`fib_check_nh`, `ip6_route_check_nh`).
    fn reaches_gateways(&self, route: &RouteEntry, direct: &[(String, IpNet)]) -> bool {
        let single = (route.link.as_deref(), route.via, route.on_link);
        let several = route.hops.iter().map(|hop| (hop.link.as_deref(), hop.via, hop.on_link));
        std::iter::once(single).chain(several).all(|(link, via, on_link)| {
            let (Some(link), Some(via)) = (link, via) else { return true };
            let mut addresses = self.state.addresses.get(link).into_iter().flatten();
            on_link
                || matches!(via, IpAddr::V6(via) if via.is_unicast_link_local())
                || addresses.any(|address| address.net.contains(&via))
                || direct.iter().any(|(name, to)| *name == link && to.contains(&via))
                || self.state.routes_of(link).any(|r| !r.has_gateway() && r.to.contains(&via))
        })
    }

    /// Whether a route exists; for a described IPv4 one also whether it precedes others' with its key, since the first
    /// of them is the one that counts.
    fn is_in_force(&self, id: &str, route: &RouteEntry) -> bool {
        let there = self.state.of_key(route);
        let Some(position) = there.iter().position(|there| there.serves_as(route)) else { return false };
        let before = there.get(..position).unwrap_or_default();
        id.is_empty() || route.to.addr().is_ipv6() || before.iter().all(|there| self.is_ours(there))
    }

    /// IPv6: our next hop in another's route, which the kernel merged, is removed once it has a route of its own.
    fn remove_joined(&mut self) {
        if self.shifted.is_empty() {
            return;
        }
        let mut shifted: Vec<DesiredRoute<'a>> = Vec::new();
        self.each_desired(&mut |desired| {
            if self.shifted.contains(&unshifted(&desired.2)) {
                shifted.push(desired);
            }
        });
        for (id, at, route) in shifted {
            let joined = RouteEntry { metric: route.metric + 1, ..route };
            let twin = self.state.of_key(&joined).iter().find(|t| t.has_same_next_hop(&joined)).cloned();
            if let Some(twin) = twin {
                self.push(id, at, Action::DeleteRoute(twin));
            }
        }
    }

    /// Keys of described IPv6 routes by a gateway for which another's route has the same metric: the kernel would use
    /// both, or merge them. These get the metric below.
    pub(super) fn find_shifted(&mut self) {
        let is_v6 =
            |route: &Route| route.to.addr().is_ipv6() && (route.via.is_some() || !route.more.is_empty());
        if !self.resolved.links.iter().any(|link| link.desired.routes.iter().any(is_v6)) {
            return;
        }
        let mut keys: Vec<(RouteKey, RouteEntry)> = Vec::new();
        self.each_desired(&mut |(_, _, route)| {
            if route.to.addr().is_ipv6() && route.via.is_some() && route.metric > 1 {
                keys.push((key(&route), route));
            }
        });
        let mut described: HashMap<RouteKey, Vec<&RouteEntry>> = HashMap::default();
        for (key, route) in &keys {
            described.entry(*key).or_default().push(route);
        }
        let competes = |route: &RouteEntry| {
            let group = described.get(&key(route)).map_or(&[][..], Vec::as_slice);
            let there = self.state.of_key(route);
            let ours = there.iter().position(|there| there.weight.is_none() && there.serves_as(route));
            there.iter().enumerate().any(|(position, there)| {
                // Routes that the kernel later adds from advertisements go behind ours, and are not merged with it
                // (fib6_add_rt2node, rt6_qualify_for_ecmp).
                let is_behind = there.protocol == Protocol::RouterAdvertisement
                    && there.weight.is_none()
                    && ours.is_some_and(|ours| ours < position);
                let is_known = group.iter().any(|described| there.has_same_next_hop(described));
                let goes = there.links().next().is_some()
                    && there.links().all(|name| {
                        self.described(name)
                            .is_some_and(|link| is_withdrawn(&self.advertisements(link), there))
                    });
                !is_behind && !is_known && !goes && (!self.is_ours(there) || may_be_a_routers(there))
            })
        };
        let shifted = keys.iter().filter(|(_, route)| competes(route));
        self.shifted = shifted.map(|(key, _)| *key).collect();
    }

    /// Replaces the only route with its key if that is ours and not in its `group`, or has the same next hop; else adds
    /// the route.
    fn bring(&mut self, id: &str, at: Place, route: RouteEntry, group: &[RouteEntry]) -> StepId {
        let ours = |t: &RouteEntry| {
            let ours = self.is_ours(t) || (t.kind.is_linkless() && REMOVABLE.contains(&t.protocol));
            ours && !group.iter().any(|desired| t.serves_as(desired))
        };
        let action = match self.state.of_key(&route) {
            [] => Action::AddRoute,
            // A step of its own, which is marked as not undoable.
            [only] if (ours(only) || only.has_same_next_hop(&route)) && !only.unknown.is_empty() => {
                self.push(id, at, Action::DeleteRoute(only.clone()));
                Action::AddRoute
            }
            // A router's own may have the same next hop: it would expire.
            [only] if ours(only) || only.has_same_next_hop(&route) => Action::ReplaceRoute,
            several => {
                // The kernel replaces the first one, whichever it is.
                if let Some(twin) = several.iter().find(|t| t.has_same_next_hop(&route)).cloned() {
                    self.push(id, at, Action::DeleteRoute(twin));
                }
                // A described route takes precedence over one that another program added.
                let precedes = !id.is_empty() && route.to.addr().is_ipv4();
                if precedes { Action::PrependRoute } else { Action::AppendRoute }
            }
        };
        self.push(id, at, action(route))
    }

    /// Keys of the IPv6 routes that the kernel shows as one, if all are ours and some are not described: the kernel
    /// replaces them together.
    fn groups_to_make_anew(&self, lost: &[DesiredRoute<'a>]) -> HashSet<RouteKey> {
        let ours = |r: &RouteEntry| r.weight.is_some() && self.is_ours(r) && !may_be_a_routers(r);
        let groups = self.state.routes.iter().filter(|(_, there)| there.len() > 1 && there.iter().all(ours));
        let mut strangers: HashMap<RouteKey, Vec<&RouteEntry>> =
            groups.map(|(key, there)| (*key, there.iter().collect())).collect();
        if !strangers.is_empty() {
            let mut is_described = |route: &RouteEntry| {
                if let Some(there) = strangers.get_mut(&key(route)) {
                    there.retain(|there| !there.serves_as(route));
                }
            };
            self.each_desired(&mut |(_, _, route)| is_described(&route));
            lost.iter().for_each(|(_, _, route)| is_described(route));
        }
        strangers.into_iter().filter(|(_, left)| !left.is_empty()).map(|(key, _)| key).collect()
    }

    /// Our undescribed routes with the key of described ones, once these exist.
    fn remove_leftovers(&mut self) {
        let several = |routes: &&Cow<'_, [RouteEntry]>| routes.len() > 1;
        if !self.state.routes.values().any(|routes| several(&routes)) {
            return;
        }
        let mut desired: HashMap<RouteKey, Vec<RouteEntry>> = HashMap::default();
        self.each_desired(&mut |(_, _, route)| desired.entry(key(&route)).or_default().push(route));
        let mut gone = Vec::new();
        for there in self.state.routes.values().filter(several).flat_map(|same| same.iter()) {
            let Some(desired) = desired.get(&key(there)) else { continue };
            if self.is_ours(there) && !may_be_a_routers(there) && !desired.iter().any(|w| there.serves_as(w))
            {
                gone.push(there.clone());
            }
        }
        self.remove(gone);
    }

    /// Calls `each` with every described route. They are made anew each time: there may be ten thousand, and few of them
    /// are kept.
    fn each_desired(&self, each: &mut dyn FnMut(DesiredRoute<'a>)) {
        for link in &self.resolved.links {
            for route in &link.desired.routes {
                let mut each = |mut entry: RouteEntry| {
                    if self.shifted.contains(&key(&entry)) {
                        entry.metric -= 1;
                    }
                    each((&link.desired.id, route.at, entry));
                };
                let single = entry(link, route);
                match route.more.is_empty() {
                    true => each(single),
                    false => several(single, self.next_hops(link, route)).into_iter().for_each(each),
                }
            }
        }
    }

    /// The next hops of a multipath route, without those whose link is missing.
    fn next_hops(&self, link: &ResolvedLink, route: &Route) -> Vec<NextHopEntry> {
        let called = |id: &Option<String>| match id {
            None => Some(link.name.clone()),
            Some(id) => self.by_id.get(id.as_str()).map(|l| l.name.clone()),
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
        let key = |link, r: &Route| {
            let (to, table, metric) = (r.to, table(link, r), metric(r));
            RouteKey { to, table, metric, from: None, tos: 0 }
        };
        let mut keys = HashSet::with_capacity_and_hasher(
            links().map(|link| link.desired.routes.len()).sum(),
            Default::default(),
        );
        keys.extend(links().flat_map(|link| link.desired.routes.iter().map(move |r| key(link, r))));
        keys.extend(self.shifted.iter().map(|key| RouteKey { metric: key.metric - 1, ..*key }));
        keys
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

/// One of several routes that the kernel shows as one, with only the first one's protocol, by a gateway that may be an
/// advertised one: a program that listens to advertisements may have added it.
fn may_be_a_routers(route: &RouteEntry) -> bool {
    let local = |via: IpAddr| matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
    route.weight.is_some() && route.via.is_some_and(local)
}

/// A router advertised the route, and the description of its link decides about it.
fn is_withdrawn(policy: &Advertisements, route: &RouteEntry) -> bool {
    let by_router = route.protocol == Protocol::RouterAdvertisement;
    // The kernel marks the prefix's route as its own and lets it expire.
    let of_prefix = route.protocol == Protocol::Kernel && route.expires.is_some();
    let is_default = route.to.prefix_len() == 0;
    route.to.addr().is_ipv6()
        && match policy.accept {
            Some(false) => by_router || of_prefix,
            _ => by_router && is_default && policy.default_route == Some(false),
        }
}

/// The key that a route has before it gets the metric below.
fn unshifted(route: &RouteEntry) -> RouteKey {
    RouteKey { metric: route.metric.saturating_add(1), ..key(route) }
}

/// A multipath route in the kernel's form: for IPv4 one route, for IPv6 one per next hop.
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

/// The kernel's metric for an IPv6 route without one.
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
        protocol: route.protocol,
        metric: metric(route),
        table: table(link, route),
        source: route.source,
        metrics: metrics.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).few(),
        ..RouteEntry::new(route.to)
    }
}

/// The defaults of ip(8) (iproute.c): IPv6 has one scope; local is host, a route without a gateway is link.
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
