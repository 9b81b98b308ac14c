//! Addresses and routes: duplicates, gateways outside every subnet, routes that are the same to the kernel.

use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};

use foldhash::HashMap;
use foldhash::HashSet;
use ipnet::IpNet;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::value::family_word;
use crate::model::{Address, Desired, Family, Kind, Link, Place, Rule};

/// One address is on one link, once. Link-local addresses may repeat, and so may the addresses of separate VRFs. The
/// kernel accepts one address on two links, so that is allowed, though it is seldom intended.
pub(super) fn addresses(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let vrfs = vrf_of(desired);
    let mut seen: HashMap<(IpAddr, Option<String>), (String, Place)> = HashMap::default();
    for link in &mut desired.links {
        let (id, vrf) = (link.id.clone(), vrfs.get(&link.id).cloned());
        diags.extend(link.addresses.iter().filter_map(no_host));
        // The kernel has ::1 on lo and on VRFs only (ipv6_add_addr).
        let has_loopback = id == "lo" || link.kind == Kind::Vrf;
        link.addresses.retain(|address| {
            let ip = address.net.addr();
            if ip == IpAddr::V6(Ipv6Addr::LOCALHOST) && !has_loopback {
                let message = format!("{ip} cannot be an address of \"{id}\": only lo has it");
                diags.push(Diagnostic::new(Code::BadAddress, address.at, message));
                return false;
            }
            let local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
            let key = (ip, if local { Some(id.clone()) } else { vrf.clone() });
            let Some((other, first)) = seen.get(&key) else {
                seen.insert(key, (id.clone(), address.at));
                return true;
            };
            let twice = *other == id;
            let (code, message) = if twice {
                (
                    Code::RepeatedAddress,
                    format!("{ip} is a duplicate on \"{id}\", first on line {}", first.line),
                )
            } else {
                let message = format!("{ip} is also on \"{other}\" (line {})", first.line);
                (Code::DuplicateAddress, message)
            };
            diags.push(Diagnostic::new(code, address.at, message).hint("remove one of the two"));
            !twice
        });
    }
}

/// The kernel accepts the two addresses of a subnet that no host should have, but nobody answers to them.
fn no_host(address: &Address) -> Option<Diagnostic> {
    let IpNet::V4(net) = address.net else { return None };
    let what = match net.addr() {
        _ if net.prefix_len() > 30 || net.prefix_len() == 0 || address.peer.is_some() => return None,
        ip if ip == net.network() => "network",
        ip if ip == net.broadcast() => "broadcast",
        _ => return None,
    };
    let message = format!("{net} is the {what} address of its subnet");
    Some(Diagnostic::new(Code::BadAddress, address.at, message).severity(Severity::Warning).hint(format!(
        "check it: hosts have the addresses between {} and {}",
        net.network(),
        net.broadcast()
    )))
}

fn vrf_of(desired: &Desired) -> HashMap<String, String> {
    let vrfs = desired.links.iter().filter(|l| l.kind == Kind::Vrf);
    vrfs.flat_map(|vrf| vrf.members.iter().map(|m| (m.value.clone(), vrf.id.clone()))).collect()
}

/// The networks that links reach without a gateway, for quick lookup: there may be thousands of routes.
struct Subnets {
    /// With the index of the first link that has it.
    networks: HashMap<IpNet, usize>,
    lengths: HashSet<(Family, u8)>,
    /// The broadcast addresses of its links' IPv4 subnets.
    broadcasts: HashSet<IpAddr>,
}

impl Subnets {
    fn of(links: &[Link]) -> Self {
        let mut networks = HashMap::default();
        for (i, link) in links.iter().enumerate() {
            let on_link =
                link.routes.iter().filter(|r| r.via.is_none() && !r.kind.is_linkless()).map(|r| r.to);
            for net in link.addresses.iter().map(|a| a.peer.unwrap_or(a.net).trunc()).chain(on_link) {
                networks.entry(net).or_insert(i);
            }
        }
        let lengths = networks.keys().map(|n| (Family::of(&n.addr()), n.prefix_len())).collect();
        let of_addresses = links.iter().flat_map(|link| &link.addresses).map(|a| a.peer.unwrap_or(a.net));
        let has_broadcast = |net: &IpNet| net.addr().is_ipv4() && net.prefix_len() <= 30;
        let broadcasts = of_addresses.filter(has_broadcast).map(|net| net.broadcast()).collect();
        Subnets { networks, lengths, broadcasts }
    }

    /// Reports a gateway that is a broadcast address, which the kernel refuses (fib_check_nh).
    fn is_broadcast(&self, via: IpAddr, id: &str, at: Place, diags: &mut Vec<Diagnostic>) -> bool {
        let is_one = self.broadcasts.contains(&via);
        if is_one {
            let message = format!("the gateway {via} is the broadcast address of a subnet of \"{id}\"");
            diags.push(Diagnostic::new(Code::BadGateway, at, message).hint("write the router's address"));
        }
        is_one
    }

    /// The index of a link that reaches an address.
    fn reach(&self, ip: IpAddr) -> Option<usize> {
        let family = Family::of(&ip);
        let lengths = self.lengths.iter().filter(|(f, _)| *f == family);
        let nets = lengths.filter_map(|(_, length)| IpNet::new(ip, *length).ok());
        nets.filter_map(|net| self.networks.get(&net.trunc())).min().copied()
    }
}

/// A gateway is another host's address, of the route's family, and in a subnet of the link, or the route is made
/// on-link.
///
/// Returns the places of the routes that were made on-link.
pub(super) fn gateways(desired: &mut Desired, diags: &mut Vec<Diagnostic>) -> HashSet<Place> {
    let mut assumed = HashSet::default();
    let everywhere = Subnets::of(&desired.links);
    if desired.links.iter().any(|link| link.routes.iter().any(|route| !route.more.is_empty())) {
        next_hops(desired, &everywhere, diags);
    }
    let ids: Vec<String> = desired.links.iter().map(|l| l.id.clone()).collect();
    for link in &mut desired.links {
        let own = Subnets::of(std::slice::from_ref(link));
        let addresses: HashSet<IpAddr> = link.addresses.iter().map(|a| a.net.addr()).collect();
        let id = link.id.clone();
        let leased: Vec<Family> = link.dynamic.iter().map(|d| d.value.family()).collect();
        link.routes.retain_mut(|route| {
            let Some(via) = route.via else { return true };
            if Family::of(&via) != route.family() {
                let message =
                    format!("the route to {} has the gateway {via}, which is of the other family", route.to);
                diags.push(Diagnostic::new(Code::MixedFamilies, route.at, message));
                return false;
            }
            if addresses.contains(&via) {
                // The kernel accepts an IPv4 one, and sends on-link (fib_check_nh); it refuses an IPv6 one.
                let message = format!("the gateway {via} is an address of \"{id}\" itself");
                let itself = Diagnostic::new(Code::GatewayIsSelf, route.at, message).hint("write the router's address");
                let taken = via.is_ipv4();
                route.on_link &= !taken;
                diags.push(if taken { itself.severity(Severity::Warning) } else { itself });
                return taken;
            }
            if own.is_broadcast(via, &id, route.at, diags) {
                return false;
            }
            let local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !route.on_link && !local && own.reach(via).is_none() {
                route.on_link = true;
                if leased.contains(&Family::of(&via)) {
                    let message = format!(
                        "the subnet of the gateway {via} comes by DHCP or router advertisement: the route to {} was \
                         made on-link, so that it need not wait for that",
                        route.to
                    );
                    diags.push(Diagnostic::new(Code::GatewayOffSubnet, route.at, message).severity(Severity::Note));
                    return true;
                }
                assumed.insert(route.at);
                let message =
                    format!("the gateway {via} is in no subnet of \"{id}\": the route was made on-link");
                let other = everywhere.reach(via).and_then(|i| ids.get(i));
                diags.push(Diagnostic::new(Code::GatewayOffSubnet, route.at, message).hint(match other {
                    Some(other) => {
                        format!("it is in a subnet of \"{other}\": does the route belong there?")
                    }
                    // Only netplan can express it.
                    None if desired.closed => "check both, or say on-link: true".to_owned(),
                    None => "check the gateway and the prefix length".to_owned(),
                }));
            }
            true
        });
    }
    assumed
}

/// The additional next hops of multipath routes: which link each uses, if only its gateway tells, and whether it has to
/// be made on-link.
fn next_hops(desired: &mut Desired, everywhere: &Subnets, diags: &mut Vec<Diagnostic>) {
    let own: Vec<(String, Subnets)> =
        desired.links.iter().map(|l| (l.id.clone(), Subnets::of(std::slice::from_ref(l)))).collect();
    for (i, link) in desired.links.iter_mut().enumerate() {
        for route in &mut link.routes {
            let at = route.at;
            route.more.retain_mut(|hop| {
                let Some(via) = hop.via else { return true };
                let local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
                let named = hop.link.as_ref().map(|name| own.iter().position(|(id, _)| id == name));
                let (over, id) = match named {
                    Some(Some(over)) => (over, hop.link.clone()),
                    Some(None) => {
                        let link = hop.link.as_deref().unwrap_or_default();
                        let message = format!(
                            "the route to {} goes through \"{link}\", which is not described: this next hop was left out",
                            route.to
                        );
                        diags.push(Diagnostic::new(Code::DanglingReference, at, message));
                        return false;
                    }
                    None if local => return true,
                    None => match everywhere.reach(via).filter(|over| *over != i) {
                        Some(over) if own.get(i).is_none_or(|(_, nets)| nets.reach(via).is_none()) => {
                            (over, own.get(over).map(|(id, _)| id.clone()))
                        }
                        _ => (i, None),
                    },
                };
                hop.link = id;
                let Some((id, nets)) = own.get(over) else { return true };
                if nets.is_broadcast(via, id, at, diags) {
                    return false;
                }
                if !hop.on_link && !local && nets.reach(via).is_none() {
                    hop.on_link = true;
                    let message =
                        format!("the gateway {via} is in no subnet of \"{id}\": this next hop was made on-link");
                    diags.push(
                        Diagnostic::new(Code::GatewayOffSubnet, at, message)
                            .hint("check the gateway and the prefix length"),
                    );
                }
                true
            });
        }
    }
}

/// The kernel refuses a route whose source is not an address of the machine (fib_create_info). Something undescribed
/// may have it, and a lease may bring it.
pub(super) fn sources(desired: &Desired, diags: &mut Vec<Diagnostic>) {
    let own: HashSet<IpAddr> =
        desired.links.iter().flat_map(|link| &link.addresses).map(|address| address.net.addr()).collect();
    let leased: HashSet<Family> =
        desired.links.iter().flat_map(|link| &link.dynamic).map(|dynamic| dynamic.value.family()).collect();
    for route in desired.links.iter().flat_map(|link| &link.routes) {
        let Some(source) = route.source.filter(|ip| !own.contains(ip)) else { continue };
        if leased.contains(&Family::of(&source)) || source.is_loopback() {
            continue;
        }
        let message = format!(
            "the route to {} has the source address {source}, which no link of the description has",
            route.to
        );
        let foreign = Diagnostic::new(Code::ForeignSource, route.at, message);
        diags
            .push(foreign.hint(
                "the kernel refuses it unless the machine has the address otherwise: add it to a link",
            ));
    }
}

/// The largest values that the kernel keeps for a route (ip_metrics_convert): it cuts larger ones without a word, and
/// they would differ at each run.
const ROUTE_MTU: u32 = 65_535 - 15;
const ROUTE_MSS: u32 = 65_535 - 40;

/// Numbers of routes and rules that the kernel cuts or refuses.
pub(super) fn numbers(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    for route in desired.links.iter_mut().flat_map(|link| &mut link.routes) {
        let cut = [("mtu", &mut route.mtu, ROUTE_MTU), ("advmss", &mut route.advertised_mss, ROUTE_MSS)];
        for (name, value, most) in cut {
            if let Some(larger) = value.filter(|value| *value > most) {
                *value = Some(most);
                let message = format!("{name} {larger} of the route to {}: the kernel uses {most}", route.to);
                let cut = Diagnostic::new(Code::BadValue, route.at, message);
                diags.push(cut.severity(Severity::Warning));
            }
        }
    }
    // The lowest two bits are those of congestion notification; IPv4 takes three of the others (fib4_rule_configure).
    let mut is_taken = |rule: &Rule| {
        let most = if rule.family == Family::V4 { 28 } else { 252 };
        let Some(tos) = rule.tos.filter(|tos| tos % 4 != 0 || *tos > most) else { return true };
        let message =
            format!("the kernel refuses the type of service {tos} in an {} rule", family_word(rule.family));
        let hint = format!("it accepts multiples of 4 up to {most}; a firewall's mark can select others");
        diags.push(Diagnostic::new(Code::BadValue, rule.at, message).hint(hint));
        false
    };
    desired.rules.retain(&mut is_taken);
    for link in &mut desired.links {
        link.rules.retain(&mut is_taken);
    }
}

/// The kernel identifies routes by destination, table and metric: a second one gets a higher metric, an equal one is
/// dropped.
///
/// Of two default routes, the one whose gateway is in a subnet of its link wins over one of the `assumed`.
pub(super) fn one_route_for_a_key(
    desired: &mut Desired,
    assumed: &HashSet<Place>,
    diags: &mut Vec<Diagnostic>,
) {
    /// The last is the VRF's id.
    type Key<'a> = ((IpNet, Option<u32>, u32), Option<&'a str>);
    /// The index of the link, the gateway, the place.
    type First = (usize, Option<IpAddr>, Place);
    let vrfs = vrf_of(desired);
    let mut seen: HashMap<Key<'_>, First> = HashMap::default();
    seen.reserve(desired.links.iter().map(|link| link.routes.len()).sum());
    // The metric that the last of several routes got: thousands may share one.
    let mut given: HashMap<Key<'_>, u32> = HashMap::default();
    let links = desired.links.len();
    let passes = [false, true].into_iter().flat_map(|doubtful| (0..links).map(move |i| (doubtful, i)));
    for (doubtful, i) in passes {
        let Some(link) = desired.links.get_mut(i) else { continue };
        let vrf = vrfs.get(&link.id).map(String::as_str);
        link.routes.retain_mut(|route| {
            if assumed.contains(&route.at) != doubtful {
                return true;
            }
            let default = if route.family() == Family::V6 { 1024 } else { 0 };
            let mut key: Key<'_> = ((route.to, route.table, route.metric.unwrap_or(default)), vrf);
            let (other, via, first) = match seen.entry(key) {
                Entry::Occupied(there) => *there.get(),
                Entry::Vacant(free) => {
                    free.insert((i, route.via, route.at));
                    return true;
                }
            };
            if other == i && via == route.via {
                let message = format!("duplicate route to {}, first on line {}", route.to, first.line);
                diags.push(Diagnostic::new(Code::RepeatedRoute, route.at, message));
                return false;
            }
            let first = first.line;
            let last = given.entry(key).or_insert(key.0.2);
            key.0.2 = *last;
            while seen.contains_key(&key) {
                key.0.2 = key.0.2.wrapping_add(100);
            }
            *last = key.0.2;
            route.metric = Some(key.0.2);
            let code = if route.is_default() { Code::TwoDefaultRoutes } else { Code::ConflictingRoute };
            let what = if route.is_default() {
                "a second default route".to_owned()
            } else {
                format!("a second route to {}", route.to)
            };
            let message = format!(
                "{what} with the same metric (first on line {first}): this one was given metric {}",
                key.0.2
            );
            diags.push(
                Diagnostic::new(code, route.at, message)
                    .hint("say which one is to be used by a metric for each"),
            );
            seen.insert(key, (i, route.via, route.at));
            true
        });
    }
}
