//! Addresses: undescribed ones are removed, missing ones added.

use std::net::{IpAddr, Ipv4Addr};

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::state::has_connected_route;
use super::step::Action;
use super::{Planner, left_to_others};
use crate::inventory::{AddressEntry, AddressFlag};
use crate::model::attribute::OptionValue;
use crate::model::{Address, AddressProtocol, Kind, LinkLayer, Place, Scope};
use crate::resolve::ResolvedLink;

impl Planner<'_> {
    /// On managed links, permanent addresses of global scope that are not described.
    pub(super) fn remove_addresses(&mut self) {
        for link in &self.resolved.links {
            let Some(there) = self.state.addresses.get(&link.name).cloned() else { continue };
            let desired: Vec<AddressEntry> = link.desired.addresses.iter().map(|a| entry(link, a)).collect();
            let pairs = desired.iter().zip(&link.desired.addresses);
            let by_net: HashMap<IpNet, (&AddressEntry, &Address)> =
                pairs.map(|(entry, address)| (entry.net, (entry, address))).collect();
            let gateways: HashSet<IpAddr> =
                link.desired.routes.iter().filter_map(|route| route.via).collect();
            let stays = |a: &&AddressEntry| {
                by_net.get(&a.net).is_some_and(|(entry, address)| {
                    !must_go(a, entry) && !has_another_broadcast(&gateways, a, address)
                })
            };
            let subnets = Subnets::of(&desired);
            let order = Order::new(there.iter().filter(stays), &desired);
            for address in &there {
                // An IPv6 address exists once per link, whatever its prefix: the old prefix is replaced by the new one.
                let goes = !stays(&address) || order.is_broken(address);
                let blocks = !by_net.contains_key(&address.net) && subnets.is_blocked_by(address);
                if goes && (blocks || is_ours(link, address)) {
                    self.push_for(link, Action::DeleteAddress(address.clone()));
                }
            }
        }
    }

    pub(super) fn add_addresses(&mut self) {
        for link in &self.resolved.links {
            let mut there: HashMap<IpNet, AddressEntry> = HashMap::default();
            for address in self.state.addresses.get(&link.name).into_iter().flatten() {
                there.entry(address.net).or_insert_with(|| address.clone());
            }
            for address in &link.desired.addresses {
                let entry = entry(link, address);
                let action = match there.get(&entry.net) {
                    Some(there) if self.lost_connected_route(there) => {
                        self.push(&link.desired.id, address.at, Action::DeleteAddress(there.clone()));
                        Action::AddAddress(entry)
                    }
                    Some(there) if is_same(there, &entry) => continue,
                    Some(_) => Action::ReplaceAddress(entry),
                    None => Action::AddAddress(entry),
                };
                self.push(&link.desired.id, address.at, action);
            }
        }
        // What undescribed links lost when a link below them was taken down.
        for address in std::mem::take(&mut self.state.lost_addresses) {
            let described = self.described(&address.link).is_some_and(|l| is_ours(l, &address));
            let lasting = address.permanent
                && address.scope == Scope::Global
                && address.protocol != AddressProtocol::RouterAdvertisement;
            if !described && lasting && self.state.links.contains_key(&address.link) {
                self.push("", Place::NONE, Action::AddAddress(address));
            }
        }
    }
}

impl Planner<'_> {
    /// Somebody deleted the address's connected route: the kernel creates it only together with the address.
    fn lost_connected_route(&self, address: &AddressEntry) -> bool {
        let is_up = self.state.link(&address.link).is_some_and(|l| l.up && l.layer != LinkLayer::Loopback);
        is_up && has_connected_route(address) && !self.state.is_connected(address)
    }
}

/// The scopes of the described IPv4 addresses, by subnet.
struct Subnets(HashMap<IpNet, Scope>);

impl Subnets {
    fn of(desired: &[AddressEntry]) -> Self {
        let four = desired.iter().filter(|address| address.net.addr().is_ipv4());
        Subnets(four.map(|address| (address.net.trunc(), address.scope)).collect())
    }

    /// The kernel refuses an address next to one of the same subnet with another scope (__inet_insert_ifa).
    fn is_blocked_by(&self, address: &AddressEntry) -> bool {
        self.0.get(&address.net.trunc()).is_some_and(|scope| *scope != address.scope)
    }
}

/// The first IPv4 address of a subnet is its primary one, the default source: if the existing ones do not begin with
/// the described ones in their order, they are removed and added again.
struct Order {
    /// Each subnet's addresses: those that could stay, and the described ones.
    subnets: HashMap<IpNet, (Vec<IpNet>, Vec<IpNet>)>,
}

impl Order {
    fn new<'a>(kept: impl Iterator<Item = &'a AddressEntry>, desired: &[AddressEntry]) -> Self {
        let mut subnets: HashMap<IpNet, (Vec<IpNet>, Vec<IpNet>)> = HashMap::default();
        for address in kept.filter(|a| a.net.addr().is_ipv4()) {
            subnets.entry(address.net.trunc()).or_default().0.push(address.net);
        }
        for address in desired {
            if let Some((_, described)) = subnets.get_mut(&address.net.trunc()) {
                described.push(address.net);
            }
        }
        Order { subnets }
    }

    fn is_broken(&self, address: &AddressEntry) -> bool {
        self.subnets.get(&address.net.trunc()).is_some_and(|(kept, described)| !described.starts_with(kept))
    }
}

/// Global, on a link whose addresses of this family are described: permanent IPv6 addresses; IPv4 and single IPv6
/// addresses even with a lifetime, which are leases of an earlier client; and described ones, whatever their current
/// scope.
fn is_ours(link: &ResolvedLink, address: &AddressEntry) -> bool {
    let (v4, v6) = left_to_others(link);
    let is_v4 = address.net.addr().is_ipv4();
    let left = if is_v4 { v4 } else { v6 };
    let by_kernel =
        matches!(address.protocol, AddressProtocol::RouterAdvertisement | AddressProtocol::LinkLocal);
    // No advertised prefix is as long as an address: it is a DHCPv6 lease.
    let lasting = is_v4 || address.permanent || address.net.prefix_len() == 128;
    let lasting = lasting && !by_kernel && !is_of_tunnel(link, address);
    let described = link.desired.addresses.iter().any(|a| a.net.addr() == address.net.addr());
    (described || (lasting && address.scope == Scope::Global)) && !left
}

/// The kernel gives a SIT link without a remote end the IPv6 address `::LOCAL` (`sit_add_v4_addrs`).
fn is_of_tunnel(link: &ResolvedLink, address: &AddressEntry) -> bool {
    let local = link.desired.settings.get("local").filter(|_| link.desired.kind == Kind::Sit);
    match (address.net.addr(), local) {
        (IpAddr::V6(ip), Some(OptionValue::Ip(IpAddr::V4(local)))) => {
            u128::from(ip) == u128::from(u32::from(*local))
        }
        _ => false,
    }
}

/// The kernel created it from a router advertisement. Kernels before 5.18 do not say so: there it is any address with a
/// lifetime, unless a DHCPv6 client may have added it.
pub(super) fn is_advertised(link: &ResolvedLink, address: &AddressEntry) -> bool {
    let by_router = match address.protocol {
        AddressProtocol::RouterAdvertisement => true,
        AddressProtocol::Unspecified => !left_to_others(link).1,
        _ => false,
    };
    let is_described = link.desired.addresses.iter().any(|a| a.net.addr() == address.net.addr());
    let is_global_v6 = address.net.addr().is_ipv6() && address.scope == Scope::Global;
    is_global_v6 && by_router && !address.permanent && !is_described
}

/// A broadcast address cannot be changed in place either. It counts if the description names it, or if it is a
/// described gateway, to which the kernel then sends nothing else; an address that carries the root file system is not
/// removed for any other.
fn has_another_broadcast(gateways: &HashSet<IpAddr>, there: &AddressEntry, described: &Address) -> bool {
    let is_gateway = |b: Ipv4Addr| gateways.contains(&IpAddr::V4(b));
    if described.broadcast.is_none() && there.broadcast.is_some_and(is_gateway) {
        return true;
    }
    described.broadcast.is_some_and(|b| there.broadcast != Some(b).filter(|b| *b != Ipv4Addr::UNSPECIFIED))
}

/// What cannot be changed in place: the peer and the label (only if the description names one, so that an address that
/// carries the root file system is not removed for it); for IPv4 the scope and the absence of a connected route
/// (inet_rtm_newaddr); for IPv6 a metric, back to the kernel's default (inet6_addr_modify), and failed duplicate
/// detection: the other host may be gone.
pub(super) fn must_go(there: &AddressEntry, desired: &AddressEntry) -> bool {
    let is_v4 = desired.net.addr().is_ipv4();
    let no_route = |a: &AddressEntry| a.flags.contains(&AddressFlag::NoPrefixRoute);
    let of_family = match is_v4 {
        true => there.scope != desired.scope || no_route(there) != no_route(desired),
        false => there.duplicate || (there.metric != desired.metric && there.metric != 0),
    };
    of_family || there.peer != desired.peer || (desired.label.is_some() && there.label != desired.label)
}

fn is_same(there: &AddressEntry, desired: &AddressEntry) -> bool {
    // What decides where packets go, and what else the kernel derives from the address.
    let flags = |a: &AddressEntry| {
        [AddressFlag::NoPrefixRoute, AddressFlag::MngTmpAddr].map(|flag| a.flags.contains(&flag))
    };
    let parts = |a: &AddressEntry| (a.metric, flags(a));
    let lifetimes = lasts(there.preferred, desired.preferred) && lasts(there.valid, desired.valid);
    !must_go(there, desired) && parts(there) == parts(desired) && lifetimes
}

/// Whether a lifetime is the desired one. A lease's remaining lifetime is measured by two clocks, read at different
/// moments: a lease that ages is no difference, a renewed one is.
fn lasts(there: Option<u32>, wanted: Option<u32>) -> bool {
    match (there, wanted) {
        (Some(there), Some(wanted)) if there > 0 && wanted > 0 => there.abs_diff(wanted) <= 2,
        _ => there == wanted,
    }
}

/// A described address in the kernel's form.
fn entry(link: &ResolvedLink, address: &Address) -> AddressEntry {
    let derived = match address.net {
        // RFC 3021: a /31 has no broadcast address; a /32 has no other host.
        ipnet::IpNet::V4(net) if net.prefix_len() < 31 && address.peer.is_none() => Some(net.broadcast()),
        _ => None,
    };
    AddressEntry {
        peer: address.peer,
        broadcast: address.broadcast.filter(|b| *b != Ipv4Addr::UNSPECIFIED).or(derived),
        label: address.label.clone(),
        scope: scope(&address.net.addr()),
        preferred: address.preferred,
        valid: address.valid,
        permanent: address.valid.is_none(),
        ..AddressEntry::new(&link.name, address.net)
    }
}

/// As in ip(8) and the kernel: host for loopback addresses, link for link-local IPv6, else global.
fn scope(ip: &IpAddr) -> Scope {
    match ip {
        IpAddr::V4(v4) if v4.is_loopback() => Scope::Host,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::Link,
        _ => Scope::Global,
    }
}
