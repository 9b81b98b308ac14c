//! What verification needs from the description: the links with their final names, what should be on them, and the
//! targets. Built from the resolved description; contains no machine state.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::str::FromStr;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::evidence::Flow;
use crate::machine::Machine;
use crate::model::{
    Activation, BondMode, Desired, Kind, Link, MacAddr, ParseError, Place, Route, RouteKind, Rule, needs_zone,
};
use crate::order::Order as _;
use crate::resolve::{LeaseNote, Leased, NoLease, Resolved, ResolvedLink};

/// Everything to be verified.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The root of the machine's files.
    pub machine: Machine,
    /// The described links.
    pub links: Vec<DesiredLink>,
    /// Name servers, in order.
    pub resolvers: Vec<IpAddr>,
    /// The links of the link-local name servers.
    pub zones: BTreeMap<IpAddr, String>,
    /// Search domains.
    pub search: Vec<String>,
    /// What should be reachable beyond the gateways.
    pub targets: Vec<Target>,
    /// Rules that lead to other tables than the main one.
    pub rules: Vec<DesiredRule>,
    /// DHCP servers and routers may be asked which subnet a link is in, once something fails there.
    pub discover: bool,
}

/// A described rule, reduced to what verification needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredRule {
    /// Source prefix.
    pub from: Option<IpNet>,
    /// Destination prefix.
    pub to: Option<IpNet>,
    /// Firewall mark.
    pub mark: Option<u32>,
    /// The table that it leads to.
    pub table: u32,
}

/// A described link.
#[derive(Clone, Debug)]
pub struct DesiredLink {
    /// Its id in the description.
    pub id: String,
    /// Its name in the kernel, or its id if the NIC is missing.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its position in the file.
    pub at: Place,
    /// The MAC address by which the description names the NIC.
    pub mac: Option<MacAddr>,
    /// No NIC matched when the description was applied.
    pub missing: bool,
    /// Several NICs matched, but only one is meant.
    pub ambiguous: bool,
    /// Kernel names of the members of a bond, bridge or VRF, without missing ones.
    pub members: Vec<String>,
    /// Kernel name of its parent.
    pub parent: Option<String>,
    /// A VLAN's id.
    pub vlan: Option<u16>,
    /// A bond's mode.
    pub mode: Option<BondMode>,
    /// MTU in bytes, if one is desired.
    pub mtu: Option<u32>,
    /// Addresses.
    pub addresses: Vec<IpNet>,
    /// Routes through it.
    pub routes: Vec<DesiredRoute>,
    /// Part of its configuration is left to DHCP or router advertisements.
    pub dynamic: bool,
    /// Why it has no lease, where netapply itself asks for one.
    pub unleased: Option<NoLease>,
    /// What is odd about the lease that it has.
    pub lease_notes: Vec<LeaseNote>,
    /// Its failure is no fault.
    pub optional: bool,
    /// Usable without carrier.
    pub ignore_carrier: bool,
    /// It should be up.
    pub up: bool,
}

/// A route, as far as verification needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredRoute {
    /// Destination.
    pub to: IpNet,
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Its table; `None` is the default: the main table, or that of the link's VRF.
    pub table: Option<u32>,
    /// Its metric, if the description has one.
    pub metric: Option<u32>,
    /// One of several next hops that share the traffic.
    pub shared: bool,
}

impl DesiredRoute {
    /// A plain route in the main table.
    pub fn new(to: IpNet, via: Option<IpAddr>) -> Self {
        DesiredRoute { to, via, source: None, table: None, metric: None, shared: false }
    }

    /// Whether the kernel uses it without a rule of its own: `RT_TABLE_MAIN`.
    pub fn is_in_main(&self) -> bool {
        matches!(self.table, None | Some(254))
    }

    /// The metric in the kernel's form: lower ones take precedence (net/ipv6/route.c, `IP6_RT_PRIO_USER`).
    pub fn priority(&self) -> u32 {
        match self.metric.unwrap_or(0) {
            0 if self.to.addr().is_ipv6() => 1024,
            metric => metric,
        }
    }

    /// One next hop of a described route.
    fn of(route: &Route, via: Option<IpAddr>) -> Self {
        let Route { to, source, table, metric, .. } = route;
        let (source, shared) = (*source, !route.more.is_empty());
        DesiredRoute { to: *to, via, source, table: *table, metric: *metric, shared }
    }
}

/// A gateway of a link's routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesiredGateway {
    /// Its address.
    pub ip: IpAddr,
    /// Our address that it is asked from, of the same family: the route's own, one in the gateway's subnet, or the
    /// first.
    pub source: Option<IpAddr>,
}

impl DesiredLink {
    /// A link that only has to exist and be up.
    pub fn new(id: &str, name: &str, kind: Kind) -> Self {
        DesiredLink {
            id: id.to_owned(),
            name: name.to_owned(),
            kind,
            at: Place::NONE,
            mac: None,
            missing: false,
            ambiguous: false,
            members: Vec::new(),
            parent: None,
            vlan: None,
            mode: None,
            mtu: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            dynamic: false,
            unleased: None,
            lease_notes: Vec::new(),
            optional: false,
            ignore_carrier: false,
            up: true,
        }
    }

    /// The gateways of its routes, each once. Linear; [`Index::gateways`] has them precomputed.
    fn gateways(&self) -> Vec<DesiredGateway> {
        let mut subnets = PrefixTable::default();
        for net in &self.addresses {
            subnets.insert(*net, net.addr());
        }
        let first = |v4: bool| self.addresses.iter().map(IpNet::addr).find(|ip| ip.is_ipv4() == v4);
        let first = [first(false), first(true)];
        let mut known = HashSet::default();
        let mut found = Vec::new();
        for route in &self.routes {
            let Some(ip) = route.via.filter(|via| known.insert(*via)) else { continue };
            let v4 = ip.is_ipv4();
            let own = subnets.longest(&ip).copied().or(first[usize::from(v4)]);
            let source = route.source.filter(|source| source.is_ipv4() == v4).or(own);
            found.push(DesiredGateway { ip, source });
        }
        found
    }

    /// Whether an address of the link has `ip` in its subnet.
    pub fn has_subnet_of(&self, ip: &IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(ip))
    }
}

impl From<&Link> for DesiredLink {
    /// A link from the description alone, named by its id.
    fn from(link: &Link) -> Self {
        let routes = link.routes.iter().filter(|r| !r.kind.is_linkless()).flat_map(|r| {
            let own = r.more.iter().filter(|hop| hop.link.is_none()).map(|hop| hop.via);
            std::iter::once(r.via).chain(own).map(move |via| DesiredRoute::of(r, via))
        });
        DesiredLink {
            at: link.at,
            mac: link.select.mac.map(|mac| mac.value),
            vlan: link
                .settings
                .number("id")
                .filter(|_| link.kind == Kind::Vlan)
                .and_then(|id| id.try_into().ok()),
            mode: link.settings.bond_mode().filter(|_| link.kind == Kind::Bond),
            mtu: link.mtu.map(|mtu| mtu.value.get()),
            addresses: link.addresses.iter().map(|a| a.net).collect(),
            routes: routes.collect(),
            dynamic: !link.dynamic.is_empty(),
            optional: link.optional,
            ignore_carrier: link.ignore_carrier,
            up: link.activation == Activation::Up,
            ..DesiredLink::new(&link.id, &link.id, link.kind)
        }
    }
}

impl From<&ResolvedLink> for DesiredLink {
    fn from(link: &ResolvedLink) -> Self {
        DesiredLink {
            name: link.name.clone(),
            members: link.members.clone(),
            parent: link.parent.clone(),
            unleased: match &link.lease {
                Some(Leased::Missing(none)) => Some(none.clone()),
                Some(Leased::InForce(_)) | None => None,
            },
            lease_notes: match &link.lease {
                Some(Leased::InForce(notes)) => notes.clone(),
                Some(Leased::Missing(_)) | None => Vec::new(),
            },
            ..DesiredLink::from(&link.desired)
        }
    }
}

impl Input {
    /// From a description and its outcome on this machine. A missing NIC is checked, too, by its id; the links above it
    /// that were left out are not.
    pub fn new(desired: &Desired, resolved: &Resolved, targets: Vec<Target>) -> Self {
        let found = |link: &&Link| resolved.links.iter().any(|l| l.desired.id == link.id);
        let missing = desired.links.iter().filter(|l| l.kind == Kind::Physical && !found(l));
        let missing = missing.map(|link| {
            let ambiguous = resolved.ambiguous.contains(&link.id);
            DesiredLink { missing: true, ambiguous, ..DesiredLink::from(link) }
        });
        let mut links: Vec<DesiredLink> =
            missing.chain(resolved.links.iter().map(DesiredLink::from)).collect();
        let by_id: HashMap<String, usize> =
            links.iter().enumerate().rev().map(|(at, link)| (link.id.clone(), at)).collect();
        // Next hops of a route that lead over other links.
        for route in desired.links.iter().flat_map(|link| &link.routes) {
            for hop in &route.more {
                let at = hop.link.as_ref().and_then(|id| by_id.get(id));
                if let Some(link) = at.and_then(|at| links.get_mut(*at)) {
                    link.routes.push(DesiredRoute::of(route, hop.via));
                }
            }
        }
        let resolvers = resolved.resolver.servers.iter().map(|s| s.value).collect();
        let search = resolved.resolver.search.iter().map(|s| s.value.clone()).collect();
        let rule =
            |rule: &Rule| DesiredRule { from: rule.from, to: rule.to, mark: rule.mark, table: rule.table };
        // The machine's own packets arrive on no link, and those of the others are not asked for.
        let leads = |rule: &&Rule| rule.iif.is_none() && rule.action == RouteKind::Unicast;
        let rules = desired.links.iter().flat_map(|link| &link.rules).filter(leads).map(rule).collect();
        let zones = resolved.resolver.zones.clone();
        Input { links, resolvers, zones, search, targets, rules, ..Input::default() }
    }
}

/// Prefixes with longest-prefix lookup; of equal ones the first inserted counts.
#[derive(Debug)]
struct PrefixTable<T> {
    by_prefix: HashMap<IpNet, T>,
    /// The lengths that occur, for IPv6 and IPv4, longest first.
    lengths: [Vec<u8>; 2],
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        PrefixTable { by_prefix: HashMap::default(), lengths: Default::default() }
    }
}

impl<T> PrefixTable<T> {
    fn note_length(&mut self, net: &IpNet) {
        let lengths = &mut self.lengths[usize::from(net.addr().is_ipv4())];
        if let Err(at) = lengths.binary_search_by(|length| net.prefix_len().cmp(length)) {
            lengths.insert(at, net.prefix_len());
        }
    }

    fn insert(&mut self, net: IpNet, value: T) {
        self.note_length(&net);
        self.by_prefix.entry(net.trunc()).or_insert(value);
    }

    /// The value of exactly this prefix, created if there is none.
    fn entry(&mut self, net: IpNet, new: impl FnOnce() -> T) -> &mut T {
        self.note_length(&net);
        self.by_prefix.entry(net.trunc()).or_insert_with(new)
    }

    /// The value of the longest prefix that contains an address.
    fn longest(&self, ip: &IpAddr) -> Option<&T> {
        let lengths = &self.lengths[usize::from(ip.is_ipv4())];
        lengths.iter().find_map(|length| self.by_prefix.get(&IpNet::new(*ip, *length).ok()?.trunc()))
    }
}

/// An [`Input`] with lookup tables: there may be a thousand links, gateways and name servers. Built once per
/// verification.
#[derive(Debug)]
pub struct Index<'a> {
    input: &'a Input,
    by_name: HashMap<&'a str, usize>,
    by_id: HashMap<&'a str, usize>,
    controllers: HashMap<&'a str, usize>,
    gateways: Vec<Vec<DesiredGateway>>,
    sources: HashMap<(&'a str, IpAddr), Option<IpAddr>>,
    destinations: PrefixTable<Destination>,
    own: HashSet<IpAddr>,
}

/// The described next hops to a prefix, those with the lowest metric: index of the link, and the gateway.
#[derive(Debug)]
struct Destination {
    prefix: IpNet,
    priority: u32,
    hops: Vec<(usize, Option<IpAddr>)>,
}

impl Deref for Index<'_> {
    type Target = Input;

    fn deref(&self) -> &Input {
        self.input
    }
}

impl<'a> Index<'a> {
    /// Builds the tables; linear.
    pub fn new(input: &'a Input) -> Self {
        let mut index = Index {
            input,
            by_name: HashMap::default(),
            by_id: HashMap::default(),
            controllers: HashMap::default(),
            gateways: input.links.iter().map(DesiredLink::gateways).collect(),
            sources: HashMap::default(),
            destinations: PrefixTable::default(),
            own: input.links.iter().flat_map(|link| &link.addresses).map(IpNet::addr).collect(),
        };
        for (at, link) in input.links.iter().enumerate() {
            // The first of equal names.
            index.by_name.entry(&link.name).or_insert(at);
            index.by_id.entry(&link.id).or_insert(at);
            for member in &link.members {
                index.controllers.entry(member).or_insert(at);
            }
        }
        for (link, gateways) in input.links.iter().zip(&index.gateways) {
            for gateway in gateways {
                index.sources.entry((link.name.as_str(), gateway.ip)).or_insert(gateway.source);
            }
        }
        // Of equal prefixes the lowest metric, then the first in the file; a link's own subnets before its routes.
        // Routes in a VRF are not used outside of it.
        let in_vrf = |link: &DesiredLink| {
            let controller = index.controllers.get(link.name.as_str()).and_then(|at| input.links.get(*at));
            controller.is_some_and(|controller| controller.kind == Kind::Vrf)
        };
        let mut destinations = Vec::new();
        for (at, link) in input.links.iter().enumerate().filter(|(_, link)| !link.missing && !in_vrf(link)) {
            destinations.extend(link.addresses.iter().map(|net| (0, *net, (at, None))));
            let main = link.routes.iter().filter(|route| route.is_in_main());
            destinations.extend(main.map(|route| (route.priority(), route.to, (at, route.via))));
        }
        destinations.order_by_key(|(priority, ..)| *priority);
        for (priority, net, hop) in destinations {
            let new = || Destination { prefix: net.trunc(), priority, hops: Vec::with_capacity(1) };
            let known = index.destinations.entry(net, new);
            if known.priority == priority {
                known.hops.push(hop);
            }
        }
        index
    }

    /// The description itself.
    pub fn input(&self) -> &'a Input {
        self.input
    }

    fn at(&self, position: usize) -> Option<&'a DesiredLink> {
        self.input.links.get(position)
    }

    /// The link with this name in the kernel.
    pub fn link(&self, name: &str) -> Option<&'a DesiredLink> {
        self.at(*self.by_name.get(name)?)
    }

    /// The kernel's name of the link with this id.
    pub fn name_of(&self, id: &str) -> Option<&'a str> {
        Some(&self.at(*self.by_id.get(id)?)?.name)
    }

    /// The controller that has this link as a member.
    pub fn controller_of(&self, name: &str) -> Option<&'a DesiredLink> {
        self.at(*self.controllers.get(name)?)
    }

    /// The gateways of a link's routes, each once.
    pub fn gateways(&self, name: &str) -> &[DesiredGateway] {
        let at = self.by_name.get(name).copied();
        at.and_then(|at| self.gateways.get(at)).map_or(&[], Vec::as_slice)
    }

    /// How many gateways there are.
    pub fn gateway_count(&self) -> usize {
        self.sources.len()
    }

    /// A gateway of a link's routes.
    pub fn gateway(&self, link: &str, ip: IpAddr) -> Option<DesiredGateway> {
        Some(DesiredGateway { ip, source: *self.sources.get(&(link, ip))? })
    }

    /// The described route to an address, by longest prefix: its link, and the gateway if any.
    pub fn route_to(&self, ip: &IpAddr) -> Option<(&'a DesiredLink, Option<IpAddr>)> {
        self.hops_to(ip).first().copied()
    }

    /// The link that a link-local name server is asked through: that of its zone, else the first that is up.
    pub fn link_of_server(&self, server: &IpAddr) -> Option<&'a DesiredLink> {
        let zone = self.input.zones.get(server);
        let mut links = self.input.links.iter().filter(|link| !link.missing && link.up);
        links.find(|link| zone.is_none_or(|zone| link.name == *zone))
    }

    /// The described next hops to an address.
    pub fn hops_to(&self, ip: &IpAddr) -> Vec<(&'a DesiredLink, Option<IpAddr>)> {
        if needs_zone(ip) {
            return self.link_of_server(ip).map(|link| (link, None)).into_iter().collect();
        }
        self.destinations.longest(ip).map_or_else(Vec::new, |destination| self.hops(destination))
    }

    /// The described next hops to exactly this prefix.
    pub fn hops_of(&self, net: &IpNet) -> Vec<(&'a DesiredLink, Option<IpAddr>)> {
        self.destinations.by_prefix.get(&net.trunc()).map_or_else(Vec::new, |known| self.hops(known))
    }

    fn hops(&self, destination: &Destination) -> Vec<(&'a DesiredLink, Option<IpAddr>)> {
        destination.hops.iter().filter_map(|(at, via)| Some((self.at(*at)?, *via))).collect()
    }

    /// The longest described prefix that contains an address.
    pub fn prefix_of(&self, ip: &IpAddr) -> Option<IpNet> {
        self.destinations.longest(ip).map(|destination| destination.prefix)
    }

    /// True for a described address of this machine.
    pub fn is_own(&self, ip: &IpAddr) -> bool {
        self.own.contains(ip)
    }

    /// The physical NICs below a link, itself included, in file order.
    pub fn nics_under(&self, name: &str) -> Vec<&'a DesiredLink> {
        let mut links = self.links_under(name);
        links.retain(|link| link.kind == Kind::Physical);
        links
    }

    /// The other links that share a NIC or bond with a link: those that it stands on, and those that stand on the same.
    pub fn relatives(&self, name: &str) -> Vec<&'a DesiredLink> {
        const MOST: usize = 32;
        let below: HashSet<&str> = self.links_under(name).iter().map(|link| link.name.as_str()).collect();
        let stands_on =
            |link: &DesiredLink| link.parent.as_deref().is_some_and(|parent| below.contains(parent));
        let links = self.input.links.iter().filter(|link| link.name != name);
        links.filter(|link| below.contains(link.name.as_str()) || stands_on(link)).take(MOST).collect()
    }

    /// The links that a link is made of or stands on, itself included.
    pub fn links_under(&self, name: &str) -> Vec<&'a DesiredLink> {
        let mut found = Vec::new();
        let mut seen = HashSet::default();
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            let Some(link) = self.link(name).filter(|link| seen.insert(link.name.as_str())) else { continue };
            found.push(link);
            todo.extend(link.members.iter().rev().map(String::as_str));
            todo.extend(link.parent.as_deref());
        }
        found
    }
}

/// How a target is asked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A TCP connection.
    Tcp,
    /// A TCP connection and an HTTP status.
    Http,
    /// A TCP connection and the beginning of a TLS handshake. Nothing is encrypted, no certificate is checked.
    Https,
    /// An ICMP echo.
    Ping,
}

/// Something that should be reachable: `tcp://host:port`, `http://host:port/path`, `https://…`, `ping://host`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// As given.
    pub text: String,
    /// How it is asked.
    pub scheme: Scheme,
    /// Name or address.
    pub host: String,
    /// TCP port; 0 for `ping`.
    pub port: u16,
    /// Path and query, for HTTP.
    pub path: String,
    /// One of several alternatives: one answer is enough.
    pub alternative: bool,
}

impl Target {
    /// The kind of flow to it.
    pub fn flow(&self) -> Flow {
        match self.scheme {
            Scheme::Ping => Flow::Echo,
            Scheme::Tcp | Scheme::Http | Scheme::Https => Flow::Tcp(self.port),
        }
    }

    /// The address, if the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for Target {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const WRONG: ParseError =
            ParseError("expected tcp://host:port, http://host:port/path, https://host:port or ping://host");
        let clean = text.bytes().all(|b| b.is_ascii_graphic());
        let (scheme, rest) = text.split_once("://").filter(|_| clean).ok_or(WRONG)?;
        let (scheme, default) = match scheme.to_ascii_lowercase().as_str() {
            "tcp" => (Scheme::Tcp, 0),
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            "ping" => (Scheme::Ping, 0),
            _ => return Err(WRONG),
        };
        let (place, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or(WRONG)?;
                (host, rest.strip_prefix(':'))
            }
            None if place.matches(':').count() > 1 => (place, None),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(default), str::parse).map_err(|_| WRONG)?;
        if host.is_empty() || (port == 0 && scheme != Scheme::Ping) {
            return Err(WRONG);
        }
        let (host, path) = (host.to_owned(), path.to_owned());
        Ok(Target { text: text.to_owned(), scheme, host, port, path, alternative: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_their_usual_forms() {
        let read = |text: &str| text.parse::<Target>().map(|t| (t.scheme, t.host, t.port, t.path));
        let is = |scheme, host: &str, port, path: &str| Ok((scheme, host.to_owned(), port, path.to_owned()));
        assert_eq!(read("tcp://10.0.0.1:22"), is(Scheme::Tcp, "10.0.0.1", 22, "/"));
        assert_eq!(read("http://api.example/v1?x=1"), is(Scheme::Http, "api.example", 80, "/v1?x=1"));
        assert_eq!(read("https://[fd00::1]:6385"), is(Scheme::Https, "fd00::1", 6385, "/"));
        assert_eq!(read("ping://fd00::1"), is(Scheme::Ping, "fd00::1", 0, "/"));
        for wrong in
            ["", "10.0.0.1", "tcp://10.0.0.1", "ftp://x", "http://:80", "tcp://a b:1", "tcp://x:99999"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let mut one = DesiredLink::new("a", "eth0", Kind::Physical);
        one.addresses = vec!["10.0.0.2/24".parse().unwrap()];
        let hop = |to: &str, via: &str| DesiredRoute::new(to.parse().unwrap(), via.parse().ok());
        one.routes = vec![hop("0.0.0.0/0", "10.0.0.1")];
        let mut two = DesiredLink::new("b", "eth1", Kind::Physical);
        two.addresses = vec!["10.1.0.2/24".parse().unwrap()];
        two.routes = vec![hop("10.2.0.0/16", "10.1.0.1")];
        let input = Input { links: vec![one, two], ..Input::default() };
        let index = Index::new(&input);
        let route_to = |ip: &str| {
            let (link, via) = index.route_to(&ip.parse().unwrap()).unwrap();
            (link.name.clone(), via.map(|v| v.to_string()))
        };
        assert_eq!(route_to("10.0.0.7"), ("eth0".into(), None));
        assert_eq!(route_to("10.2.9.9"), ("eth1".into(), Some("10.1.0.1".into())));
        assert_eq!(route_to("8.8.8.8"), ("eth0".into(), Some("10.0.0.1".into())));
    }
}
