//! Where packets should go, as questions to the kernel's own lookup (`RTM_GETROUTE`), and how answers compare. Pure.
//!
//! The whole machine decides where a packet goes: rules, tables, routes and addresses beyond the description. Each
//! gateway, described route, name server and target has a [`Goal`]: a question, and the next hops and source addresses
//! that are as described.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

use ipnet::IpNet;

use super::evidence::{Evidence, Flow, FoundRoute, Question, Routing};
use super::input::{DesiredLink, DesiredRoute, Index, Input, Target};
use super::subject::Subject;
use crate::inventory::RouteEntry;
use crate::model::{Kind, Protocol, RouteKind};

/// A description with its tables and the expected answers of the kernel's lookup. Built once per verification.
#[derive(Debug)]
pub struct View<'a> {
    index: Index<'a>,
    /// Empty until they are asked for: a glance asks the kernel nothing.
    goals: OnceCell<Vec<Goal>>,
}

impl<'a> Deref for View<'a> {
    type Target = Index<'a>;

    fn deref(&self) -> &Index<'a> {
        &self.index
    }
}

impl<'a> View<'a> {
    /// Builds the tables; linear.
    pub fn new(input: &'a Input) -> Self {
        View { index: Index::new(input), goals: OnceCell::new() }
    }

    /// The flow of a query to a name server or target.
    pub fn flow_of(&self, subject: &Subject) -> Option<Flow> {
        match subject {
            Subject::NameServer(_) => Some(Flow::Udp(53)),
            Subject::Target(at, _) => self.index.targets.get(*at).map(Target::flow),
            _ => None,
        }
    }

    /// The expected answers of the kernel's lookup.
    pub fn goals(&self) -> &[Goal] {
        self.goals.get_or_init(|| goals(self))
    }
}

/// A question to the kernel, and the answers that are as described.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// The described link; empty for a name server or target.
    pub link: String,
    /// What it is about.
    pub subject: Subject,
    /// The question.
    pub question: Question,
    /// The described next hops, by the link's kernel name; none if the description has no route to the goal.
    pub hops: Vec<(String, Option<IpAddr>)>,
    /// The goal is the next hop itself: it may be its own next hop, as with `onlink`.
    pub is_next_hop: bool,
    /// The described prefix, and the priority of its route.
    pub route: Option<(IpNet, u32)>,
    /// The source that the description gives the route.
    pub source: Option<IpAddr>,
    /// The metric was given on purpose: a route with a lower one may be meant to take precedence.
    pub metric_given: bool,
}

/// How an answer compares with the description.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing<'e> {
    /// The kernel has not been asked yet.
    NotAsked,
    /// It could not be asked: the system's error text.
    Failed(&'e str),
    /// As described.
    AsDescribed,
    /// The address belongs to this machine itself.
    Local,
    /// Something else.
    Differs(&'e Routing),
    /// A route to the same destination with a lower metric than the one given on purpose.
    Preferred(&'e FoundRoute),
}

/// Addresses that only a default route should cover: documentation addresses (RFC 5737, RFC 3849), and one in the lower
/// half, because VPN clients cover a default route with two halves.
const FAR: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77)),
    IpAddr::V4(Ipv4Addr::new(100, 127, 255, 77)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x77)),
    IpAddr::V6(Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 0x77)),
];

/// The goals of the described links, and those of name servers and targets given by address.
fn goals(index: &View<'_>) -> Vec<Goal> {
    let mut goals = Vec::new();
    for link in index.input().links.iter().filter(|link| !link.missing && link.up) {
        goals.extend(gateways(index, link));
        goals.extend(link.routes.iter().flat_map(|route| of_route(index, link, route)));
    }
    let servers = index.input().resolvers.iter().map(|ip| host(index, Subject::NameServer(*ip), *ip));
    goals.extend(servers.flatten());
    for (at, target) in index.input().targets.iter().enumerate() {
        let subject = Subject::Target(at, target.text.clone());
        goals.extend(target.ip().and_then(|ip| host(index, subject, ip)));
    }
    goals
}

/// The goal of a name server or target at an address.
pub(super) fn host(index: &View<'_>, subject: Subject, ip: IpAddr) -> Option<Goal> {
    if is_link_local(&ip) {
        return None;
    }
    let hops = index.hops_to(&ip);
    let hops = hops.into_iter().map(|(link, via)| (link.name.clone(), via)).collect();
    let question = Question { flow: index.flow_of(&subject), ..Question::to(ip) };
    Some(Goal { hops, ..Goal::new("", subject, question) })
}

impl Goal {
    fn new(link: &str, subject: Subject, question: Question) -> Self {
        Goal {
            link: link.to_owned(),
            subject,
            question,
            hops: Vec::new(),
            is_next_hop: false,
            route: None,
            source: None,
            metric_given: false,
        }
    }

    /// How the kernel's answer compares.
    pub fn standing<'e>(&self, index: &Index<'_>, evidence: &'e Evidence) -> Standing<'e> {
        let Some(found) = evidence.lookup(&self.question) else { return Standing::NotAsked };
        let route = match found {
            Routing::Failed(words) => return Standing::Failed(words),
            Routing::Route(route) => route,
            // Without a described route there, DHCP or a router may provide one.
            Routing::NoRoute if self.hops.is_empty() => return Standing::AsDescribed,
            Routing::NoRoute | Routing::Forbidden(_) | Routing::NotOurSource => {
                return Standing::Differs(found);
            }
        };
        if matches!(route.kind, RouteKind::Local | RouteKind::Broadcast) {
            // A next hop that is this machine itself sends nothing anywhere, unless described so.
            let meant = !self.is_next_hop || index.is_own(&self.question.to);
            return if meant && !is_swallowed(route) { Standing::Local } else { Standing::Differs(found) };
        }
        let leaves_so = |(link, via): &(String, Option<IpAddr>)| {
            let own = self.is_next_hop && route.via == Some(self.question.to);
            route.link.as_ref() == Some(link) && (route.via == *via || own)
        };
        if !self.hops.is_empty() && !self.hops.iter().any(leaves_so) {
            let lower = self.metric_given && self.is_outranked_by(route);
            return if lower { Standing::Preferred(route) } else { Standing::Differs(found) };
        }
        if self.source_fits(index, route) { Standing::AsDescribed } else { Standing::Differs(found) }
    }

    fn is_outranked_by(&self, found: &FoundRoute) -> bool {
        let same = |(to, priority): (IpNet, u32)| {
            found.entry.as_ref().is_some_and(|entry| entry.to == to && entry.metric < priority)
        };
        self.route.is_some_and(same)
    }

    /// Whether the source is the described one, or the description leaves it to the kernel.
    fn source_fits(&self, index: &Index<'_>, found: &FoundRoute) -> bool {
        let Some(source) = found.source.filter(|_| self.question.from.is_none()) else { return true };
        if let Some(desired) = self.source {
            return source == desired;
        }
        let Some(link) = found.link.as_deref().and_then(|name| index.link(name)) else { return true };
        let mut own = link.addresses.iter().map(IpNet::addr).filter(|ip| ip.is_ipv4() == source.is_ipv4());
        // An unnumbered link borrows another's address.
        let numbered = own.next().is_some();
        link.dynamic || !numbered || is_link_local(&source) || index.is_own(&source)
    }
}

/// The kernel's answer, as it will be once the kernel has forgotten which IPv6 routers did not answer. Until then it passes
/// over a better route (a longer prefix, or a lower metric) whose router is silent (`rt6_check_neigh`), which no flag of a
/// lookup prevents.
pub(super) fn lasting(found: FoundRoute, question: &Question, evidence: &Evidence) -> FoundRoute {
    let Some(taken) = found.entry.as_deref() else { return found };
    let rank = |route: &RouteEntry| (route.to.prefix_len(), Reverse(route.metric));
    let is_up = |name: &str| evidence.link(name).is_some_and(|link| link.up && link.carrier);
    let better = |rival: &&RouteEntry| {
        rival.table == found.table
            && rival.to.contains(&question.to)
            && rank(rival) > rank(taken)
            && rival.link.as_deref().is_some_and(is_up)
    };
    match evidence.policy.rivals.iter().filter(better).max_by_key(|rival| rank(rival)) {
        Some(rival) => FoundRoute {
            link: rival.link.clone(),
            via: rival.via,
            source: None,
            entry: Some(Box::new(rival.clone())),
            passed_over: true,
            ..found
        },
        None => found,
    }
}

/// Whether this machine itself gets packets for a whole subnet only because an address of lo has that subnet
/// (fib_add_ifaddr): the others in it are hosts elsewhere.
fn is_swallowed(route: &FoundRoute) -> bool {
    let is_subnet = |entry: &RouteEntry| {
        entry.protocol == Protocol::Kernel
            && entry.to.prefix_len() < entry.to.max_prefix_len()
            && !entry.to.addr().is_loopback()
    };
    route.kind == RouteKind::Local && route.entry.as_deref().is_some_and(is_subnet)
}

fn gateways<'a>(index: &'a Index<'_>, link: &'a DesiredLink) -> impl Iterator<Item = Goal> + 'a {
    let far = index.gateways(&link.name).iter().filter(|gateway| !is_link_local(&gateway.ip));
    far.map(|gateway| {
        let from = gateway.source.filter(|source| source.is_ipv4() == gateway.ip.is_ipv4());
        let question = Question { from, link: vrf_of(index, link), ..Question::to(gateway.ip) };
        let hops = vec![(link.name.clone(), None)];
        Goal { hops, is_next_hop: true, ..Goal::new(&link.name, Subject::Gateway(gateway.ip), question) }
    })
}

/// The goals of one next hop of a route: none if another to the same destination takes precedence as described, or if
/// no rule that can be queried leads to its table.
fn of_route(index: &Index<'_>, link: &DesiredLink, route: &DesiredRoute) -> Vec<Goal> {
    let vrf = vrf_of(index, link);
    let own_table = route.is_in_main() || vrf.is_some() && route.table.is_none();
    let (mut from, mut mark) = (None, None);
    if !own_table {
        let rule =
            index.input().rules.iter().find(|rule| Some(rule.table) == route.table && rule.to.is_none());
        let Some(rule) = rule else { return Vec::new() };
        let of_family = |net: &IpNet| net.addr().is_ipv4() == route.to.addr().is_ipv4();
        let within = |net: IpNet| {
            let own = link.addresses.iter().filter(|own| of_family(own)).map(IpNet::addr);
            own.clone().find(|ip| net.contains(ip))
        };
        from = rule.from.and_then(within);
        mark = rule.mark;
        if (rule.from.is_some() && from.is_none()) || (from.is_none() && mark.is_none()) {
            return Vec::new();
        }
    }
    let hops: Vec<(String, Option<IpAddr>)> = match own_table && vrf.is_none() {
        true => {
            let best = index.hops_of(&route.to);
            best.iter().map(|(link, via)| (link.name.clone(), *via)).collect()
        }
        false => vec![(link.name.clone(), route.via)],
    };
    // One of several routes to the same destination is as described if the kernel does not choose it.
    if !hops.contains(&(link.name.clone(), route.via))
        || hops.first() != Some(&(link.name.clone(), route.via))
    {
        return Vec::new();
    }
    let goal = |to: IpAddr, from: Option<IpAddr>| Goal {
        hops: hops.clone(),
        route: Some((route.to, route.priority())),
        source: route.source,
        metric_given: route.metric.is_some_and(|metric| metric != 0),
        ..Goal::new(
            &link.name,
            Subject::Route(route.to),
            Question { to, from, link: vrf.clone(), mark, flow: None },
        )
    };
    let mut goals: Vec<Goal> = addresses_in(index, route.to).into_iter().map(|to| goal(to, from)).collect();
    // A rule may send packets with the described source elsewhere, even to a table that has one half of a default route.
    let default = route.to.prefix_len() == 0 && from.is_none();
    let source = route.source.or_else(|| route.via.and_then(|via| index.gateway(&link.name, via)?.source));
    let source = source.filter(|source| default && source.is_ipv4() == route.to.addr().is_ipv4());
    let sourced: Vec<Goal> = match source {
        Some(source) => goals.iter().map(|known| goal(known.question.to, Some(source))).collect(),
        None => Vec::new(),
    };
    goals.extend(sourced);
    goals
}

/// Addresses in a destination that no longer described prefix covers.
fn addresses_in(index: &Index<'_>, to: IpNet) -> Vec<IpAddr> {
    let is_its =
        |ip: &IpAddr| index.prefix_of(ip).is_none_or(|longest| longest.prefix_len() <= to.prefix_len());
    let far = FAR.into_iter().filter(|ip| to.prefix_len() == 0 && to.contains(ip));
    let far: Vec<IpAddr> = far.filter(|ip| is_its(ip)).collect();
    if !far.is_empty() {
        return far;
    }
    // Both ends, and the middle.
    let (first, last) = (to.network(), to.broadcast());
    let step = |ip: IpAddr, by: i128| match ip {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from((i128::from(u32::from(ip)) + by) as u32)),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip).wrapping_add_signed(by))),
    };
    let inner = [step(first, 1), step(last, -1), step(first, 2), first];
    inner.into_iter().filter(|ip| to.contains(ip)).find(is_its).into_iter().collect()
}

/// The VRF of a link.
fn vrf_of(index: &Index<'_>, link: &DesiredLink) -> Option<String> {
    index.controller_of(&link.name).filter(|c| c.kind == Kind::Vrf).map(|vrf| vrf.name.clone())
}

/// Whether an address is valid on one link only.
pub(super) fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture::{self, ip, one_nic};

    fn found(link: &str, via: Option<&str>, source: &str) -> Routing {
        Routing::Route(FoundRoute {
            kind: RouteKind::Unicast,
            link: Some(link.into()),
            via: via.map(ip),
            source: Some(ip(source)),
            table: 254,
            entry: None,
            passed_over: false,
        })
    }

    fn standing(input: &Input, subject: &Subject, answer: Routing) -> String {
        let index = View::new(input);
        let goal = index.goals().iter().find(|goal| goal.subject == *subject).unwrap();
        let mut evidence = Evidence::default();
        evidence.take_lookup(goal.question.clone(), answer);
        format!("{:?}", goal.standing(&index, &evidence)).split(['(', ' ']).next().unwrap().to_owned()
    }

    #[test]
    fn an_answer_is_as_described_by_link_next_hop_and_source() {
        let (mut input, _) = one_nic();
        input.resolvers = vec![ip("198.51.100.53")];
        let default = Subject::Route("0.0.0.0/0".parse().unwrap());
        let gateway = Some("192.0.2.1");
        let cases = [
            (&default, found("eth0", gateway, "192.0.2.2"), "AsDescribed"),
            (&default, found("eth1", gateway, "192.0.2.2"), "Differs"),
            (&default, found("eth0", Some("192.0.2.254"), "192.0.2.2"), "Differs"),
            (&default, found("eth0", gateway, "192.0.2.9"), "Differs"),
            (&default, Routing::NoRoute, "Differs"),
            (&default, Routing::Forbidden(RouteKind::Prohibit), "Differs"),
            (&Subject::Gateway(ip("192.0.2.1")), found("eth0", None, "192.0.2.2"), "AsDescribed"),
            (&Subject::Gateway(ip("192.0.2.1")), found("eth0", gateway, "192.0.2.2"), "AsDescribed"),
            (&Subject::Gateway(ip("192.0.2.1")), found("eth0", Some("192.0.2.9"), "192.0.2.2"), "Differs"),
            (&Subject::NameServer(ip("198.51.100.53")), found("eth0", gateway, "192.0.2.2"), "AsDescribed"),
            (&Subject::NameServer(ip("198.51.100.53")), found("eth1", None, "10.0.0.2"), "Differs"),
        ];
        for (subject, answer, expected) in cases {
            assert_eq!(standing(&input, subject, answer.clone()), expected, "{subject:?} {answer:?}");
        }
    }

    #[test]
    fn a_better_route_whose_router_is_silent_is_the_lasting_answer() {
        let route = |to: &str, link: &str, metric| RouteEntry {
            metric,
            ..fixture::route(link, to, "fe80::99", Protocol::Boot)
        };
        let taken = |to: &str, metric| {
            let Routing::Route(found) = found("eth0", Some("2001:db8::1"), "2001:db8::2") else {
                unreachable!()
            };
            FoundRoute { entry: Some(Box::new(route(to, "eth0", metric))), ..found }
        };
        let mut evidence = Evidence::default();
        let mut down = fixture::nic(4, "eth2", "02:00:00:00:00:04");
        down.carrier = false;
        evidence.links = vec![fixture::nic(3, "eth1", "02:00:00:00:00:03"), down].into();
        let question = Question::to(ip("2001:db8:ff::5"));
        let cases = [
            (route("2000::/3", "eth1", 1024), true),
            (route("::/0", "eth1", 100), true),
            (route("::/0", "eth1", 1024), false),
            (route("2000::/3", "eth2", 1024), false),
            (route("fd00::/8", "eth1", 1024), false),
            (RouteEntry { table: 100, ..route("2000::/3", "eth1", 1024) }, false),
        ];
        for (rival, expected) in cases {
            evidence.policy.rivals = vec![rival.clone()];
            let lasting = lasting(taken("::/0", 1024), &question, &evidence);
            assert_eq!(
                (lasting.passed_over, lasting.link.as_deref() == Some("eth1")),
                (expected, expected),
                "{rival:?}"
            );
        }
    }

    #[test]
    fn of_routes_with_one_destination_the_lowest_metric_is_looked_up() {
        let (mut input, _) = one_nic();
        let mut other = DesiredLink::new("b", "eth1", Kind::Physical);
        other.addresses = vec!["10.1.0.2/24".parse().unwrap()];
        other.routes = vec![crate::verify::fixture::default_via("10.1.0.1")];
        other.routes[0].metric = Some(100);
        input.links.push(other);
        let index = View::new(&input);
        let routes: Vec<&str> = index
            .goals()
            .iter()
            .filter(|goal| matches!(goal.subject, Subject::Route(_)))
            .map(|goal| goal.link.as_str())
            .collect();
        assert_eq!(routes, ["eth0"; 4], "two far addresses, and both with the described source");
    }

    #[test]
    fn the_address_asked_for_is_in_no_longer_described_prefix() {
        let (mut input, _) = one_nic();
        let via = Some(ip("192.0.2.1"));
        for to in ["10.0.0.0/8", "10.0.0.0/16", "203.0.113.0/24"] {
            input.links[0].routes.push(DesiredRoute::new(to.parse().unwrap(), via));
        }
        let index = View::new(&input);
        let asked = |to: &str| addresses_in(&index, to.parse().unwrap());
        assert_eq!(asked("10.0.0.0/16"), [ip("10.0.0.1")]);
        assert_eq!(asked("10.0.0.0/8"), [ip("10.255.255.254")]);
        assert_eq!(asked("0.0.0.0/0"), [ip("100.127.255.77")]);
        assert_eq!(asked("198.51.100.7/32"), [ip("198.51.100.7")]);
    }
}
