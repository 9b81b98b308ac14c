//! Addresses: those that are not described go, those that are missing come.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::step::Action;
use super::{Planner, left_to_others};
use crate::inventory::AddressEntry;
use crate::model::{Address, AddressProtocol, Place, Scope};
use crate::resolve::ResolvedLink;

impl Planner<'_> {
    /// On managed links, permanent addresses of global scope that are not described.
    pub(super) fn remove_addresses(&mut self) {
        for link in &self.resolved.links {
            let Some(there) = self.state.addresses.get(&link.name).cloned() else { continue };
            let desired: Vec<AddressEntry> = link.desired.addresses.iter().map(|a| entry(link, a)).collect();
            let by_net: HashMap<IpNet, &AddressEntry> = desired.iter().map(|w| (w.net, w)).collect();
            let stays = |a: &&AddressEntry| by_net.get(&a.net).is_some_and(|w| !must_go(a, w));
            let order = Order::new(there.iter().filter(stays), &desired);
            for address in &there {
                // An IPv6 address is on a link once, whatever its prefix: the old prefix goes for the new one.
                let goes = !stays(&address) || order.is_broken(address);
                if goes && is_ours(link, address) {
                    self.push_for(link, Action::DeleteAddress(address.clone()));
                }
            }
        }
    }

    pub(super) fn add_addresses(&mut self) {
        for link in &self.resolved.links {
            let mut there: HashMap<IpNet, AddressEntry> = HashMap::new();
            for address in self.state.addresses.get(&link.name).into_iter().flatten() {
                there.entry(address.net).or_insert_with(|| address.clone());
            }
            for address in &link.desired.addresses {
                let entry = entry(link, address);
                let action = match there.get(&entry.net) {
                    Some(there) if is_same(there, &entry) => continue,
                    Some(_) => Action::ReplaceAddress(entry),
                    None => Action::AddAddress(entry),
                };
                self.push(&link.desired.id, address.at, action);
            }
        }
        // What undescribed links lost when a link under them was taken down.
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

/// The first IPv4 address of a subnet is its primary one, from which the machine speaks: where those that are there do
/// not begin the described ones in their order, they go and come again.
struct Order {
    /// Each subnet's addresses: those that could stay, and the described ones.
    subnets: HashMap<IpNet, (Vec<IpNet>, Vec<IpNet>)>,
}

impl Order {
    fn new<'a>(kept: impl Iterator<Item = &'a AddressEntry>, desired: &[AddressEntry]) -> Self {
        let mut subnets: HashMap<IpNet, (Vec<IpNet>, Vec<IpNet>)> = HashMap::new();
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

/// Permanent and global, on a link whose addresses of this family are described.
fn is_ours(link: &ResolvedLink, address: &AddressEntry) -> bool {
    let (v4, v6) = left_to_others(link);
    let left = if address.net.addr().is_ipv4() { v4 } else { v6 };
    let lasting = address.permanent
        && !matches!(address.protocol, AddressProtocol::RouterAdvertisement | AddressProtocol::LinkLocal);
    let described = link.desired.addresses.iter().any(|a| a.net.addr() == address.net.addr());
    (lasting || described) && address.scope == Scope::Global && !left
}

/// What cannot be changed in place: the far end and the label; a broadcast address only where the text names it, so that
/// an address that carries the root file system is not taken away for one.
fn must_go(there: &AddressEntry, desired: &AddressEntry) -> bool {
    there.peer != desired.peer || (desired.label.is_some() && there.label != desired.label)
}

fn is_same(there: &AddressEntry, desired: &AddressEntry) -> bool {
    !must_go(there, desired) && there.preferred == desired.preferred && there.valid == desired.valid
}

/// A described address in the kernel's form.
fn entry(link: &ResolvedLink, address: &Address) -> AddressEntry {
    let derived = match address.net {
        // RFC 3021: a /31 has no broadcast address; a /32 has nobody to hear it.
        ipnet::IpNet::V4(net) if net.prefix_len() < 31 && address.peer.is_none() => Some(net.broadcast()),
        _ => None,
    };
    AddressEntry {
        peer: address.peer,
        broadcast: address.broadcast.filter(|b| *b != Ipv4Addr::UNSPECIFIED).or(derived),
        label: address.label.clone(),
        scope: scope(&address.net.addr()),
        preferred: address.preferred,
        ..AddressEntry::new(&link.name, address.net)
    }
}

/// As ip(8) and the kernel have it: host for loopback addresses, link for link-local IPv6, else global.
fn scope(ip: &IpAddr) -> Scope {
    match ip {
        IpAddr::V4(v4) if v4.is_loopback() => Scope::Host,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::Link,
        _ => Scope::Global,
    }
}
