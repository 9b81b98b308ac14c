//! A copy of the machine on which planned steps have the effect that the kernel will give them.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::mem;
use std::net::IpAddr;

use ipnet::IpNet;

use super::step::{Action, LinkChange, NewLink};
use crate::inventory::{AddressEntry, Inventory, ObservedLink, RouteEntry, RuleEntry};
use crate::model::attribute::{Attribute, Value};
use crate::model::{AddressGeneration, Family, Kind, LinkLayer, Protocol, Scope, few};
use crate::resolve::ResolvedLink;

/// The kernel's key of a route. IPv6 also tells routes of one key apart by gateway and link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouteKey {
    pub(super) to: IpNet,
    pub(super) table: u32,
    pub(super) metric: u32,
}

/// In two pieces, where the derived one has six: of ten thousand routes each is looked up several times.
impl Hash for RouteKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(match self.to.addr() {
            IpAddr::V4(v4) => u32::from(v4).into(),
            IpAddr::V6(v6) => v6.into(),
        });
        let [length, table, metric] = [self.to.prefix_len().into(), self.table, self.metric].map(u128::from);
        hasher.write_u128(length << 64 | table << 32 | metric);
    }
}

/// The machine as it will be.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) links: HashMap<String, ObservedLink>,
    /// The links that others are in or stand on, and more that once were: most have none, and need no search.
    carriers: HashSet<String>,
    /// By link, in the kernel's order.
    pub(super) addresses: HashMap<String, Vec<AddressEntry>>,
    pub(super) routes: HashMap<RouteKey, Vec<RouteEntry>>,
    pub(super) rules: Vec<RuleEntry>,
    /// What went with a link that was taken down, for those links whose addresses and routes are not described.
    pub(super) lost_addresses: Vec<AddressEntry>,
    /// The same for routes.
    pub(super) lost_routes: Vec<RouteEntry>,
}

/// The key that the kernel knows a route by.
pub(super) fn key(route: &RouteEntry) -> RouteKey {
    RouteKey { to: route.to, table: route.table, metric: route.metric }
}

impl State {
    pub(super) fn of(inventory: &Inventory) -> Self {
        let mut state = State { rules: inventory.rules.clone(), ..State::default() };
        state.links = inventory.links.iter().map(|l| (l.name.clone(), l.clone())).collect();
        let below = |l: &ObservedLink| l.controller.iter().chain(&l.parent).cloned().collect::<Vec<_>>();
        state.carriers = inventory.links.iter().flat_map(below).collect();
        for address in &inventory.addresses {
            state.addresses.entry(address.link.clone()).or_default().push(address.clone());
        }
        state.routes.reserve(inventory.routes.len());
        for route in &inventory.routes {
            state.add_route(route);
        }
        let owed = inventory.owed.addresses.iter();
        let there = |owed: &&AddressEntry| {
            inventory.addresses.iter().any(|a| a.link == owed.link && a.net == owed.net)
        };
        state.lost_addresses = owed.filter(|address| !there(address)).cloned().collect();
        state.lost_routes = inventory.owed.routes.clone();
        state
    }

    /// Most keys have one route, and a list grows by four at once: of ten thousand that is megabytes.
    fn add_route(&mut self, route: &RouteEntry) {
        self.routes.entry(key(route)).or_insert_with(|| Vec::with_capacity(1)).push(route.clone());
    }

    /// The routes that have the key of this one.
    pub(super) fn of_key(&self, route: &RouteEntry) -> &[RouteEntry] {
        self.routes.get(&key(route)).map_or(&[], Vec::as_slice)
    }

    /// A NIC that is not there: down, and as new. A link of this machine that has its name is not there either.
    pub(super) fn add_stand_in(&mut self, nic: &ResolvedLink) {
        let name = nic.current.as_ref().unwrap_or(&nic.name).clone();
        self.deleted(&name);
        let mac = nic.desired.select.mac.map(|m| m.value);
        let link = ObservedLink {
            name: name.clone(),
            mac,
            permanent_mac: mac,
            layer: LinkLayer::Ether,
            mtu: 1500,
            ..ObservedLink::default()
        };
        self.links.insert(name, link);
    }

    pub(super) fn link(&self, name: &str) -> Option<&ObservedLink> {
        self.links.get(name)
    }

    /// Names of the ports of a link, sorted.
    pub(super) fn ports(&self, controller: &str) -> Vec<String> {
        if !self.carriers.contains(controller) {
            return Vec::new();
        }
        let is_port = |l: &&ObservedLink| l.controller.as_deref() == Some(controller);
        let mut ports: Vec<String> = self.links.values().filter(is_port).map(|l| l.name.clone()).collect();
        ports.sort_unstable();
        ports
    }

    /// What the kernel will do.
    pub(super) fn effect(&mut self, action: &Action) {
        match action {
            Action::AddLink(new) => self.made(new),
            Action::DeleteLink { name } => self.deleted(name),
            Action::SetLink { name, change } => self.changed(name, change),
            Action::AddAddress(entry) => {
                self.addresses.entry(entry.link.clone()).or_default().push(entry.clone());
            }
            Action::ReplaceAddress(entry) => {
                let there = self.addresses.entry(entry.link.clone()).or_default();
                there.retain(|a| a.net != entry.net);
                there.push(entry.clone());
            }
            Action::DeleteAddress(entry) => self.address_deleted(entry),
            Action::AddRoute(entry) | Action::AppendRoute(entry) => self.add_route(entry),
            Action::ReplaceRoute(entry) => {
                self.routes.insert(key(entry), vec![entry.clone()]);
            }
            Action::DeleteRoute(entry) => {
                self.routes.entry(key(entry)).or_default().retain(|r| r != entry);
            }
            Action::AddRule(entry) => self.rules.push(entry.clone()),
            Action::DeleteRule(entry) => self.rules.retain(|r| r != entry),
            Action::Sysctl { key, value } => self.sysctl(key, value),
            Action::Feature { name, feature, on } => {
                if let Some(link) = self.links.get_mut(name) {
                    link.features.insert((*feature).to_owned(), *on);
                }
            }
            Action::WakeOnLan { name, on } => {
                if let Some(link) = self.links.get_mut(name) {
                    link.wake_on_lan = Some(*on);
                }
            }
            Action::AwaitAddresses { .. }
            | Action::AwaitCarrier { .. }
            | Action::Wireguard { .. }
            | Action::WriteFile { .. }
            | Action::RemoveFile { .. }
            | Action::PutBack { .. }
            | Action::Resolvconf { .. }
            | Action::Refresh(_)
            | Action::Manage { .. } => {}
        }
    }

    fn made(&mut self, new: &NewLink) {
        self.carriers.extend(new.parent.iter().cloned());
        let parent_mtu = new.parent.as_ref().and_then(|p| self.links.get(p)).map(|p| p.mtu);
        let link = ObservedLink {
            name: new.name.clone(),
            kind: new.kind.into(),
            layer: LinkLayer::Ether,
            mac: new.mac,
            mtu: new.mtu.or(parent_mtu).unwrap_or(1500),
            parent: new.parent.clone(),
            settings: few(new.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()))),
            ..ObservedLink::default()
        };
        if let Some(peer) = &new.peer {
            let other = ObservedLink {
                name: peer.clone(),
                kind: Kind::Veth.into(),
                parent: Some(new.name.clone()),
                ..link.clone()
            };
            self.links.insert(peer.clone(), ObservedLink { mac: None, mtu: 1500, ..other });
        }
        self.links.insert(new.name.clone(), link);
    }

    /// Links on a deleted one go with it, its members leave it, a veth takes its peer along.
    fn deleted(&mut self, name: &str) {
        for port in self.ports(name) {
            self.released(&port);
        }
        let peer = self.links.get(name).filter(|l| l.kind.is(Kind::Veth)).and_then(|l| l.parent.clone());
        if let Some(peer) = peer {
            self.down(&peer, false);
            self.addresses.remove(&peer);
            self.links.remove(&peer);
        }
        self.down(name, false);
        self.addresses.remove(name);
        self.links.remove(name);
        let above: Vec<String> = self.above(name);
        for link in above {
            self.deleted(&link);
        }
    }

    /// Names of the links that are made on a link.
    fn above(&self, name: &str) -> Vec<String> {
        if !self.carriers.contains(name) {
            return Vec::new();
        }
        let on = self.links.values().filter(|l| l.parent.as_deref() == Some(name) && !l.kind.is(Kind::Veth));
        let mut names: Vec<String> = on.map(|l| l.name.clone()).collect();
        names.sort_unstable();
        names
    }

    fn changed(&mut self, name: &str, change: &LinkChange) {
        match change {
            LinkChange::Down => return self.down(name, true),
            LinkChange::Rename(new) => return self.renamed(name, new),
            LinkChange::Mtu(mtu) => return self.mtu(name, *mtu),
            LinkChange::Controller(controller) => return self.enslaved(name, controller),
            LinkChange::NoController => return self.released(name),
            _ => {}
        }
        let Some(link) = self.links.get_mut(name) else { return };
        match change {
            LinkChange::Up => {
                link.up = true;
                // IPv6 follows the link's MTU again (addrconf_notify, NETDEV_UP).
                link.ipv6.insert("mtu".to_owned(), link.mtu.into());
                // Bringing a link up brings up the VLANs on it (vlan_device_event, NETDEV_UP).
                for vlan in self.above(name) {
                    if let Some(vlan) = self.links.get_mut(&vlan).filter(|l| l.kind.is(Kind::Vlan)) {
                        vlan.up = true;
                    }
                }
            }
            LinkChange::AddAltName(altname) => link.altnames.push(altname.clone()),
            LinkChange::DeleteAltName(altname) => link.altnames.retain(|a| a != altname),
            LinkChange::Mac(mac) => link.mac = Some(*mac),
            LinkChange::Options { settings, .. } => {
                link.settings
                    .extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            }
            LinkChange::PortOptions { settings, .. } => {
                link.port.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            }
            LinkChange::Generation(generation) => link.generation = Some(*generation),
            LinkChange::Token(token) => link.token = Some(*token),
            _ => {}
        }
    }

    /// A link that goes down loses its routes and its IPv6 addresses, and so do the VLANs on it (addrconf_ifdown,
    /// fib_disable_ip, vlan_device_event).
    fn down(&mut self, name: &str, keep: bool) {
        if let Some(link) = self.links.get_mut(name) {
            (link.up, link.carrier) = (false, false);
        }
        let mut lost_routes = Vec::new();
        for routes in self.routes.values_mut() {
            // Of several next hops all stay while one is left, unless a link is removed (fib_sync_down_dev, fib6_ifdown).
            let links = &self.links;
            let is_up = |name: &str| links.get(name).is_some_and(|link| link.up);
            let joined: Vec<&str> =
                routes.iter().filter(|r| r.weight.is_some()).flat_map(RouteEntry::links).collect();
            let is_lost =
                |ways: &[&str]| ways.contains(&name) && !(keep && ways.iter().any(|way| is_up(way)));
            let group_is_lost = is_lost(&joined);
            let goes = |r: &RouteEntry| match r.weight {
                Some(_) => group_is_lost,
                None => is_lost(&r.links().collect::<Vec<_>>()),
            };
            let (gone, stay): (Vec<_>, Vec<_>) = mem::take(routes).into_iter().partition(goes);
            lost_routes.extend(gone);
            *routes = stay;
        }
        let addresses = self.addresses.entry(name.to_owned()).or_default();
        let (gone, stay): (Vec<_>, Vec<_>) =
            addresses.drain(..).partition(|a| Family::of(&a.net.addr()) == Family::V6);
        *addresses = stay;
        if keep {
            lost_routes.sort_unstable_by_key(|r| (r.has_gateway(), r.to, r.metric));
            self.lost_routes.extend(lost_routes);
            // The kernel has the newest first (ipv6_link_dev_addr).
            self.lost_addresses.extend(gone.into_iter().rev());
        }
        for above in self.above(name) {
            self.down(&above, keep);
        }
    }

    fn renamed(&mut self, name: &str, new: &str) {
        let Some(mut link) = self.links.remove(name) else { return };
        self.carriers.insert(new.to_owned());
        link.altnames.retain(|a| a != new);
        link.name = new.to_owned();
        self.links.insert(new.to_owned(), link);
        let replace = |slot: &mut Option<String>| {
            if slot.as_deref() == Some(name) {
                *slot = Some(new.to_owned());
            }
        };
        for link in self.links.values_mut() {
            replace(&mut link.controller);
            replace(&mut link.parent);
        }
        self.routes.values_mut().flatten().for_each(|r| r.links_mut().for_each(replace));
        self.lost_routes.iter_mut().for_each(|r| r.links_mut().for_each(replace));
        self.lost_addresses.iter_mut().filter(|a| a.link == name).for_each(|a| new.clone_into(&mut a.link));
        if let Some(mut addresses) = self.addresses.remove(name) {
            addresses.iter_mut().for_each(|a| new.clone_into(&mut a.link));
            // The second IPv4 address and those after it get labels (inetdev_changename).
            let labelled = addresses.iter_mut().filter(|a| a.net.addr().is_ipv4()).zip(1..);
            for (address, number) in labelled {
                let end = address.label.as_deref().and_then(|label| label.split_once(':'));
                let end = end.map_or_else(|| number.to_string(), |(_, end)| end.to_owned());
                address.label = (number > 1).then(|| format!("{new}:{end}"));
            }
            self.addresses.insert(new.to_owned(), addresses);
        }
    }

    /// A bond's MTU goes to its members (bond_change_mtu), a lowered one to the VLANs above (vlan_device_event).
    fn mtu(&mut self, name: &str, mtu: u32) {
        let Some(link) = self.links.get_mut(name) else { return };
        link.mtu = mtu;
        link.ipv6.insert("mtu".to_owned(), mtu.into());
        if link.kind.is(Kind::Bond) {
            for port in self.ports(name) {
                if let Some(port) = self.links.get_mut(&port) {
                    port.mtu = mtu;
                }
            }
        }
        for above in self.above(name) {
            if self.links.get(&above).is_some_and(|l| l.kind.is(Kind::Vlan) && l.mtu > mtu) {
                self.mtu(&above, mtu);
            }
        }
    }

    /// A new member of a bond gets its MTU and is brought up (bond_enslave); a bridge takes its ports' (br_mtu_auto_adjust);
    /// one of a VRF is taken down and up again
    /// (cycle_netdev).
    fn enslaved(&mut self, name: &str, controller: &str) {
        let (kind, mtu) = self.links.get(controller).map_or((None, 1500), |c| (c.kind.known(), c.mtu));
        if kind == Some(Kind::Vrf) && self.links.get(name).is_some_and(|l| l.up) {
            self.down(name, true);
            if let Some(link) = self.links.get_mut(name) {
                link.up = true;
            }
        }
        if let Some(link) = self.links.get_mut(name) {
            self.carriers.insert(controller.to_owned());
            link.controller = Some(controller.to_owned());
            link.port.clear();
            if kind == Some(Kind::Bond) {
                let nothing = |row: &Attribute| (row.name.to_owned(), Value::Number(0));
                link.port = Kind::Bond.port_attributes().iter().map(nothing).collect();
                link.mtu = mtu;
                link.up = true;
            }
        }
        // A bond without an address of its own gets the first member's.
        let own = self.links.get(name).and_then(|l| l.mac);
        if let Some(bond) = self.links.get_mut(controller).filter(|c| c.kind.is(Kind::Bond)) {
            bond.mac = bond.mac.or(own);
        }
        if kind == Some(Kind::Bridge) {
            let smallest =
                self.ports(controller).iter().filter_map(|p| self.links.get(p)).map(|p| p.mtu).min();
            if let (Some(bridge), Some(smallest)) = (self.links.get_mut(controller), smallest) {
                bridge.mtu = smallest;
            }
        }
    }

    /// A member that leaves a bond is down after it (__bond_release_one).
    fn released(&mut self, name: &str) {
        let controller = self.links.get(name).and_then(|l| l.controller.clone());
        let from_bond =
            controller.as_ref().and_then(|c| self.links.get(c)).is_some_and(|c| c.kind.is(Kind::Bond));
        if let Some(link) = self.links.get_mut(name) {
            link.controller = None;
            link.port.clear();
            // The kernel restores the MTU that it had before; nobody knows it any more.
            link.mtu = if from_bond { 0 } else { link.mtu };
            link.mac = if from_bond { link.permanent_mac.or(link.mac) } else { link.mac };
            link.up &= !from_bond;
        }
        // With its last member a bond loses its address, too (__bond_release_one).
        if let Some(bond) = controller.filter(|bond| from_bond && self.ports(bond).is_empty()) {
            if let Some(bond) = self.links.get_mut(&bond) {
                bond.mac = None;
            }
        }
    }

    /// The connected route goes with an address, and so do the secondary addresses of its subnet where the kernel does
    /// not promote them.
    fn address_deleted(&mut self, entry: &AddressEntry) {
        let addresses = self.addresses.entry(entry.link.clone()).or_default();
        addresses.retain(|a| a != entry);
        let subnet = entry.net.trunc();
        let (is_v4, ip): (bool, IpAddr) = (entry.net.addr().is_ipv4(), entry.net.addr());
        if is_v4 {
            addresses.retain(|a| a.net.trunc() != subnet);
        }
        // With its last address a link loses all its IPv4 routes (fib_inetaddr_event).
        let last = is_v4 && !addresses.iter().any(|a| a.net.addr().is_ipv4());
        for routes in self.routes.values_mut() {
            routes.retain(|r| {
                let connected = r.via.is_none()
                    && r.to == subnet
                    && r.scope == Scope::Link
                    && r.protocol == Protocol::Kernel;
                let own = r.links().next().is_some() && r.links().all(|link| link == entry.link);
                let gone = last && r.to.addr().is_ipv4();
                !(own && (gone || (is_v4 && connected) || r.source == Some(ip)))
            });
        }
    }

    fn sysctl(&mut self, key: &str, value: &str) {
        let mut parts = key.rsplitn(3, '/');
        let (Some(option), Some(name)) = (parts.next(), parts.next()) else { return };
        let (Some(link), Ok(number)) = (self.links.get_mut(name), value.parse()) else { return };
        if option == "addr_gen_mode" {
            link.generation = u8::try_from(number).ok().and_then(AddressGeneration::from_number);
        } else {
            link.ipv6.insert(option.to_owned(), number);
        }
    }
}
