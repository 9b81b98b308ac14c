//! A copy of the machine on which planned steps have the effect that the kernel will give them.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::mem;
use std::net::IpAddr;
use std::slice::from_ref;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::step::{Action, LinkChange, NewLink};
use super::vlans::{DEFAULT_PVID, Table, default_vlans};
use crate::inventory::{
    AddressEntry, AddressFlag, Inventory, MacOrigin, ObservedLink, RouteEntry, RuleEntry, SettingName,
};
use crate::model::attribute::{Attribute, OptionValue};
use crate::model::{AddressGeneration, Family, Kind, LinkLayer, Protocol, Scope};
use crate::order::{Few as _, Order as _};
use crate::resolve::ResolvedLink;

/// The kernel's key of a route. IPv6 also distinguishes routes with one key by gateway and link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteKey {
    pub(super) to: IpNet,
    pub(super) table: u32,
    pub(super) metric: u32,
    /// IPv6: for packets from there only (`RTA_SRC`).
    pub(super) from: Option<IpNet>,
    /// IPv4: for packets of this type of service only.
    pub(super) tos: u8,
}

/// In two pieces, while the derived one has six: with ten thousand routes each is looked up several times.
impl Hash for RouteKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(match self.to.addr() {
            IpAddr::V4(v4) => u32::from(v4).into(),
            IpAddr::V6(v6) => v6.into(),
        });
        let [length, table, metric] = [self.to.prefix_len().into(), self.table, self.metric].map(u128::from);
        hasher.write_u128(u128::from(self.tos) << 72 | length << 64 | table << 32 | metric);
        if let Some(from) = self.from {
            from.hash(hasher);
        }
    }
}

/// The machine as it will be. What no step changes is borrowed from the inventory: there may be a thousand links and ten
/// thousand routes.
#[derive(Clone, Debug, Default)]
pub(super) struct State<'a> {
    pub(super) links: HashMap<String, Cow<'a, ObservedLink>>,
    /// The ports of a link, by its name.
    ports: HashMap<String, BTreeSet<String>>,
    /// The links on top of a link, by its name.
    above: HashMap<String, BTreeSet<String>>,
    /// By link, in the kernel's order.
    pub(super) addresses: HashMap<String, Vec<AddressEntry>>,
    /// In the kernel's order: of IPv4 routes with one key the first counts.
    pub(super) routes: HashMap<RouteKey, Cow<'a, [RouteEntry]>>,
    /// The keys of the kernel's own routes through a link, and possibly of earlier ones, by their destination.
    connected: HashMap<String, HashMap<IpNet, Vec<RouteKey>>>,
    /// Built when first asked for: few plans need it.
    users: OnceCell<RouteUsers>,
    pub(super) rules: Vec<RuleEntry>,
    /// On every link, the next IPv4 address of a subnet is promoted when the first one is removed.
    promote_secondaries: bool,
    /// What was lost when a link was taken down, for links whose addresses and routes are not described.
    pub(super) lost_addresses: Vec<AddressEntry>,
    /// Routes that the kernel dropped with a link or an address.
    pub(super) lost_routes: Vec<RouteEntry>,
    /// For random MAC addresses, see [`Inventory::random`].
    pub(super) random: u64,
    /// See [`Inventory::machine_id_lasts`].
    pub(super) machine_id_lasts: bool,
    /// The initial values of a new link below net.ipv6.conf.
    new_links_ipv6: BTreeMap<SettingName, i64>,
}

/// Which routes use what. Keys of earlier routes may be among them.
#[derive(Clone, Debug, Default)]
struct RouteUsers {
    /// The keys of the routes through a link.
    of_link: HashMap<String, HashSet<RouteKey>>,
    /// The keys of the routes with this preferred source.
    of_source: HashMap<IpAddr, HashSet<RouteKey>>,
}

impl RouteUsers {
    fn add(&mut self, route: &RouteEntry) {
        for link in route.links() {
            match self.of_link.get_mut(link) {
                Some(keys) => keys.insert(key(route)),
                None => self.of_link.entry(link.to_owned()).or_default().insert(key(route)),
            };
        }
        if let Some(source) = route.source {
            self.of_source.entry(source).or_default().insert(key(route));
        }
    }
}

/// The key by which the kernel identifies a route.
pub(super) fn key(route: &RouteEntry) -> RouteKey {
    let RouteEntry { to, table, metric, from, tos, .. } = *route;
    RouteKey { to, table, metric, from, tos }
}

impl<'a> State<'a> {
    /// The kernel has CONFIG_IPV6_ROUTE_INFO.
    pub(super) fn knows_route_information(&self) -> bool {
        self.new_links_ipv6.contains_key("accept_ra_rt_info_max_plen")
    }

    pub(super) fn of(inventory: &'a Inventory) -> Self {
        let promote_secondaries = inventory.sysctls.get("net/ipv4/conf/all/promote_secondaries") == Some(&1);
        let Inventory { random, machine_id_lasts, .. } = *inventory;
        let rules = inventory.rules.clone();
        let mut state = State { rules, promote_secondaries, random, machine_id_lasts, ..State::default() };
        state.links = inventory.links.iter().map(|l| (l.name.clone(), Cow::Borrowed(l))).collect();
        for link in &inventory.links {
            state.index_link(link);
        }
        state.new_links_ipv6 = inventory
            .sysctls
            .iter()
            .filter_map(|(key, value)| {
                Some((key.strip_prefix("net/ipv6/conf/default/")?.to_owned().into(), *value))
            })
            .few();
        for address in &inventory.addresses {
            state.addresses.entry(address.link.clone()).or_default().push(address.clone());
        }
        state.routes.reserve(inventory.routes.len());
        for route in &inventory.routes {
            state.index_route(route);
            let same = state.routes.entry(key(route));
            same.and_modify(|same| same.to_mut().push(route.clone()))
                .or_insert(Cow::Borrowed(from_ref(route)));
        }
        let there = |owed: &&AddressEntry| {
            state.addresses.get(&owed.link).into_iter().flatten().any(|address| address.net == owed.net)
        };
        let lost = inventory.owed.addresses.iter().filter(|address| !there(address)).cloned().collect();
        state.lost_addresses = lost;
        state.lost_routes = inventory.owed.routes.clone();
        state
    }

    /// Adds a link to the lookup tables.
    fn index_link(&mut self, link: &ObservedLink) {
        let ObservedLink { name, controller, parent, kind, .. } = link;
        if let Some(controller) = controller {
            self.ports.entry(controller.clone()).or_default().insert(name.clone());
        }
        if let Some(parent) = parent.as_ref().filter(|_| !kind.is(Kind::Veth)) {
            self.above.entry(parent.clone()).or_default().insert(name.clone());
        }
    }

    fn unindex_link(&mut self, link: &ObservedLink) {
        for (index, below) in [(&mut self.ports, &link.controller), (&mut self.above, &link.parent)] {
            if let Some(names) = below.as_ref().and_then(|below| index.get_mut(below)) {
                names.remove(&link.name);
            }
        }
    }

    fn add_route(&mut self, route: &RouteEntry) {
        self.index_route(route);
        // Most keys have one route, and a list starts with room for four: with ten thousand that is megabytes.
        let same = self.routes.entry(key(route)).or_insert_with(|| Vec::with_capacity(1).into());
        same.to_mut().push(route.clone());
    }

    fn index_route(&mut self, route: &RouteEntry) {
        if let Some(users) = self.users.get_mut() {
            users.add(route);
        }
        if let (Protocol::Kernel, None, Some(link)) = (route.protocol, route.via, &route.link) {
            let keys = self.connected.entry(link.clone()).or_default().entry(route.to).or_default();
            if !keys.contains(&key(route)) {
                keys.push(key(route));
            }
        }
    }

    fn users(&self) -> &RouteUsers {
        self.users.get_or_init(|| {
            let mut users = RouteUsers::default();
            self.routes().for_each(|route| users.add(route));
            users
        })
    }

    /// The keys of the routes through a link, sorted.
    fn keys_of_link(&self, link: &str) -> Vec<RouteKey> {
        let mut keys: Vec<RouteKey> = self.users().of_link.get(link).into_iter().flatten().copied().collect();
        keys.order();
        keys
    }

    /// Every route, in any order.
    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteEntry> {
        self.routes.values().flat_map(|same| same.iter())
    }

    /// The routes through a link.
    pub(super) fn routes_of<'b>(&'b self, link: &'b str) -> impl Iterator<Item = &'b RouteEntry> {
        let keys = self.keys_of_link(link).into_iter();
        let routes = keys.filter_map(|key| self.routes.get(&key)).flat_map(|same| same.iter());
        routes.filter(move |route| route.links().any(|name| name == link))
    }

    /// The routes with the same key as this one.
    pub(super) fn of_key(&self, route: &RouteEntry) -> &[RouteEntry] {
        self.routes.get(&key(route)).map_or(&[], |same| same)
    }

    /// Of two routes with one key the first one comes before the other.
    pub(super) fn precedes(&self, route: &RouteEntry, other: &RouteEntry) -> bool {
        let there = self.of_key(route);
        let position = |route| there.iter().position(|there| there == route);
        position(other).is_some_and(|other| position(route).is_some_and(|own| own < other))
    }

    /// A missing NIC: down, and as new. A link of this machine that has its name is removed, too.
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
        self.links.insert(name, Cow::Owned(link));
    }

    pub(super) fn link(&self, name: &str) -> Option<&ObservedLink> {
        self.links.get(name).map(Cow::as_ref)
    }

    fn link_mut(&mut self, name: &str) -> Option<&mut ObservedLink> {
        self.links.get_mut(name).map(Cow::to_mut)
    }

    /// Names of the ports of a link, sorted.
    pub(super) fn ports(&self, controller: &str) -> Vec<String> {
        self.ports.get(controller).into_iter().flatten().cloned().collect()
    }

    /// Applies the effect that the action will have in the kernel.
    pub(super) fn effect(&mut self, action: &Action) {
        match action {
            Action::AddLink(new) => self.made(new),
            Action::DeleteLink { name } => self.deleted(name),
            Action::SetLink { name, change } => self.changed(name, change),
            Action::AddAddress(entry) => {
                self.addresses.entry(entry.link.clone()).or_default().push(entry.clone());
                self.connect(&entry.link, Some(entry.net));
            }
            Action::ReplaceAddress(entry) => {
                let there = self.addresses.entry(entry.link.clone()).or_default();
                there.retain(|a| a.net != entry.net);
                there.push(entry.clone());
                self.connect(&entry.link, Some(entry.net));
            }
            Action::DeleteAddress(entry) => self.address_deleted(entry),
            Action::AddRoute(entry) | Action::AppendRoute(entry) => self.add_route(entry),
            Action::PrependRoute(entry) => {
                self.index_route(entry);
                self.routes.entry(key(entry)).or_default().to_mut().insert(0, entry.clone());
            }
            Action::ReplaceRoute(entry) => {
                self.index_route(entry);
                self.routes.insert(key(entry), vec![entry.clone()].into());
            }
            Action::DeleteRoute(entry) => {
                self.routes.entry(key(entry)).or_default().to_mut().retain(|r| r != entry);
            }
            Action::AddRule(entry) => self.rules.push(entry.clone()),
            Action::DeleteRule(entry) => self.rules.retain(|r| r != entry),
            Action::Sysctl { key, value } => self.sysctl(key, value),
            Action::Feature { name, feature, on } => {
                if let Some(link) = self.link_mut(name) {
                    link.features.insert(SettingName::Borrowed(feature), *on);
                }
            }
            Action::Tune { name, settings } => {
                if let Some(link) = self.link_mut(name) {
                    extend(&mut link.tuning, settings);
                }
            }
            Action::WakeOnLan { name, on } => {
                if let Some(link) = self.link_mut(name) {
                    link.wake_on_lan = Some(*on);
                }
            }
            Action::StableSecret { link, .. } => {
                if let Some(link) = self.link_mut(link) {
                    link.generation = Some(AddressGeneration::StableSecret);
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
        let parent_mtu = new.parent.as_ref().and_then(|p| self.links.get(p)).map(|p| p.mtu);
        let mut settings = BTreeMap::new();
        extend(&mut settings, &new.settings);
        if new.kind == Kind::Bridge {
            settings.entry("vlan_filtering".into()).or_insert(OptionValue::Bool(false));
        }
        let link = ObservedLink {
            name: new.name.clone(),
            kind: new.kind.into(),
            layer: LinkLayer::Ether,
            mac: new.mac,
            mac_origin: new.mac.map(|_| MacOrigin::Set),
            mtu: new.mtu.or(parent_mtu).unwrap_or(1500),
            parent: new.parent.clone(),
            remotes: if new.kind == Kind::Vxlan { far_ends(|end| settings.get(end)) } else { Vec::new() },
            settings,
            vlans: (new.kind == Kind::Bridge).then(|| default_vlans(new.settings.get(DEFAULT_PVID))),
            ipv6: self.new_links_ipv6.clone(),
            ..ObservedLink::default()
        };
        self.index_link(&link);
        if let Some(peer) = &new.peer {
            let other = ObservedLink {
                name: peer.clone(),
                kind: Kind::Veth.into(),
                parent: Some(new.name.clone()),
                ..link.clone()
            };
            let other = ObservedLink { mac: None, mtu: 1500, ..other };
            self.links.insert(peer.clone(), Cow::Owned(other));
        }
        self.links.insert(new.name.clone(), Cow::Owned(link));
    }

    /// Links on top of a deleted one are deleted too, its members are released, a veth's peer is deleted.
    fn deleted(&mut self, name: &str) {
        for port in self.ports(name) {
            self.released(&port);
        }
        let peer = self.links.get(name).filter(|l| l.kind.is(Kind::Veth)).and_then(|l| l.parent.clone());
        if let Some(peer) = peer {
            self.forget(&peer);
        }
        self.forget(name);
        let above: Vec<String> = self.above(name);
        for link in above {
            self.deleted(&link);
        }
    }

    /// The link is gone, with its addresses and routes.
    fn forget(&mut self, name: &str) {
        self.down(name, false);
        self.addresses.remove(name);
        if let Some(link) = self.links.remove(name) {
            self.unindex_link(&link);
        }
    }

    /// Names of the links on top of a link, sorted.
    fn above(&self, name: &str) -> Vec<String> {
        self.above.get(name).into_iter().flatten().cloned().collect()
    }

    /// A link that comes up gets the connected route of each address; one that is up gets it with a new address
    /// (fib_add_ifaddr, addrconf_prefix_route).
    fn connect(&mut self, name: &str, new: Option<IpNet>) {
        let Some(link) = self.links.get(name).filter(|link| link.up) else { return };
        let table = link.controller.as_ref().and_then(|vrf| self.link(vrf)).and_then(vrf_table);
        let all = self.addresses.get(name).map_or(&[][..], Vec::as_slice);
        let concerned = match new {
            // It was added at the end.
            Some(new) => all.rchunks(1).find(|address| address[0].net == new).unwrap_or_default(),
            None => all,
        };
        let missing: Vec<RouteEntry> = concerned
            .iter()
            .filter(|address| has_connected_route(address) && !self.is_connected(address))
            .map(|address| connected_route(address, table))
            .collect();
        for route in missing {
            // Two addresses of one subnet have one connected route.
            if !self.of_key(&route).iter().any(|there| there.link == route.link && there.via.is_none()) {
                self.add_route(&route);
            }
        }
    }

    /// Whether the address's connected route, which the kernel creates with it, exists.
    pub(super) fn is_connected(&self, address: &AddressEntry) -> bool {
        self.connected_routes(address).next().is_some()
    }

    /// The connected routes of the address's subnet on its link, in any table.
    pub(super) fn connected_routes<'b>(
        &'b self,
        address: &'b AddressEntry,
    ) -> impl Iterator<Item = &'b RouteEntry> {
        let keys = self.connected.get(&address.link).and_then(|keys| keys.get(&subnet(address)));
        let routes = keys.into_iter().flatten().filter_map(|key| self.routes.get(key));
        let routes = routes.flat_map(|same| same.iter());
        routes.filter(|route| {
            let is_connected = route.via.is_none() && route.protocol == Protocol::Kernel;
            is_connected && route.links().any(|name| name == address.link)
        })
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
        let Some(link) = self.link_mut(name) else { return };
        match change {
            LinkChange::Up => {
                link.up = true;
                // IPv6 follows the link's MTU again (addrconf_notify, NETDEV_UP).
                link.ipv6.insert("mtu".into(), link.mtu.into());
                // Bringing a link up brings up the VLANs on it (vlan_device_event, NETDEV_UP).
                for vlan in self.above(name) {
                    if let Some(link) = self.link_mut(&vlan).filter(|l| l.kind.is(Kind::Vlan)) {
                        link.up = true;
                        self.connect(&vlan, None);
                    }
                }
                self.connect(name, None);
            }
            LinkChange::AddAltName(altname) => link.altnames.push(altname.clone()),
            LinkChange::DeleteAltName(altname) => link.altnames.retain(|a| a != altname),
            LinkChange::Mac(mac) => {
                link.mac = Some(*mac);
                link.mac_origin = Some(MacOrigin::Set);
            }
            LinkChange::Options { settings, .. } => {
                // The kernel puts the new far end in the place of the former one (vxlan_changelink).
                let former = far_ends(|end| link.settings.get(end));
                extend(&mut link.settings, settings);
                if link.kind.is(Kind::Vxlan) && END_NAMES.iter().any(|end| settings.contains_key(end)) {
                    link.remotes.retain(|ip| !former.contains(ip));
                    link.remotes.extend(far_ends(|end| link.settings.get(end)));
                }
            }
            LinkChange::PortOptions { settings, .. } => extend(&mut link.port, settings),
            LinkChange::AddRemote(ip) => link.remotes.push(*ip),
            LinkChange::DeleteRemote(ip) => link.remotes.retain(|there| there != ip),
            LinkChange::Generation(generation) => link.generation = Some(*generation),
            LinkChange::Token(token) => link.token = Some(*token),
            LinkChange::Promiscuous(on) => link.promiscuous = *on,
            LinkChange::AddVlan { vlan, .. } => link.vlans = Some(Table::of(link).with(*vlan).entries()),
            LinkChange::DeleteVlan { vlan, .. } => {
                link.vlans = Some(Table::of(link).without(*vlan).entries())
            }
            _ => {}
        }
    }

    /// A link that goes down loses its routes and its IPv6 addresses, and so do the VLANs on it (addrconf_ifdown,
    /// fib_disable_ip, vlan_device_event).
    fn down(&mut self, name: &str, keep: bool) {
        if let Some(link) = self.link_mut(name) {
            (link.up, link.carrier) = (false, false);
        }
        let mut lost_routes = Vec::new();
        for key in self.keys_of_link(name) {
            let Some(routes) = self.routes.get_mut(&key) else { continue };
            // Of several next hops all stay while one is left, unless a link is removed (fib_sync_down_dev,
            // fib6_ifdown).
            let links = &self.links;
            let is_up = |name: &str| links.get(name).is_some_and(|link| link.up);
            let joined: Vec<&str> =
                routes.iter().filter(|r| r.weight.is_some()).flat_map(RouteEntry::links).collect();
            let is_lost =
                |links: &[&str]| links.contains(&name) && !(keep && links.iter().any(|link| is_up(link)));
            let group_is_lost = is_lost(&joined);
            let goes = |r: &RouteEntry| match r.weight {
                Some(_) => group_is_lost,
                None => is_lost(&r.links().collect::<Vec<_>>()),
            };
            lost_routes.extend(take_out(routes, goes));
        }
        let addresses = self.addresses.entry(name.to_owned()).or_default();
        let (gone, stay): (Vec<_>, Vec<_>) =
            addresses.drain(..).partition(|a| Family::of(&a.net.addr()) == Family::V6);
        *addresses = stay;
        if keep {
            self.lost_routes.extend(lost_routes);
            // The kernel lists the newest first (ipv6_link_dev_addr).
            self.lost_addresses.extend(gone.into_iter().rev());
        }
        for above in self.above(name) {
            self.down(&above, keep);
        }
    }

    fn renamed(&mut self, name: &str, new: &str) {
        let Some(mut link) = self.links.remove(name) else { return };
        self.unindex_link(&link);
        link.to_mut().name = new.to_owned();
        self.index_link(&link);
        self.links.insert(new.to_owned(), link);
        let replace = |slot: &mut Option<String>| {
            if slot.as_deref() == Some(name) {
                *slot = Some(new.to_owned());
            }
        };
        let peer = self.links.get(new).filter(|l| l.kind.is(Kind::Veth)).and_then(|l| l.parent.clone());
        let ports = self.ports.remove(name).unwrap_or_default();
        let above = self.above.remove(name).unwrap_or_default();
        for link in ports.iter().chain(&above).chain(&peer) {
            if let Some(link) = self.link_mut(link) {
                replace(&mut link.controller);
                replace(&mut link.parent);
            }
        }
        self.ports.insert(new.to_owned(), ports);
        self.above.insert(new.to_owned(), above);
        for key in self.keys_of_link(name) {
            let routes = self.routes.get_mut(&key).into_iter().flat_map(|same| same.to_mut());
            routes.for_each(|route| route.links_mut().for_each(replace));
        }
        // A link that had the name has been removed, with its routes.
        let keys = self.connected.remove(name).unwrap_or_default();
        self.connected.insert(new.to_owned(), keys);
        if let Some(users) = self.users.get_mut() {
            let keys = users.of_link.remove(name).unwrap_or_default();
            users.of_link.insert(new.to_owned(), keys);
        }
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

    /// A bond's MTU is set on its members (bond_change_mtu), a lowered one also on the VLANs above (vlan_device_event).
    fn mtu(&mut self, name: &str, mtu: u32) {
        let Some(link) = self.link_mut(name) else { return };
        link.mtu = mtu;
        link.ipv6.insert("mtu".into(), mtu.into());
        if link.kind.is(Kind::Bond) {
            for port in self.ports(name) {
                if let Some(port) = self.link_mut(&port) {
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

    /// A new member of a bond gets its MTU and is brought up (bond_enslave); a bridge follows its ports'
    /// (br_mtu_auto_adjust); a member of a VRF is taken down and up again (cycle_netdev).
    fn enslaved(&mut self, name: &str, controller: &str) {
        let mut cycled = false;
        let (kind, mtu) = self.links.get(controller).map_or((None, 1500), |c| (c.kind.known(), c.mtu));
        if kind == Some(Kind::Vrf) && self.links.get(name).is_some_and(|l| l.up) {
            self.down(name, true);
            if let Some(link) = self.link_mut(name) {
                link.up = true;
            }
            cycled = true;
        }
        let vlans = self.links.get(controller).filter(|c| c.kind.is(Kind::Bridge));
        let vlans = vlans.map(|bridge| default_vlans(bridge.settings.get(DEFAULT_PVID)));
        if let Some(link) = self.links.get_mut(name).map(Cow::to_mut) {
            self.ports.entry(controller.to_owned()).or_default().insert(name.to_owned());
            link.controller = Some(controller.to_owned());
            link.port.clear();
            link.vlans = vlans;
            if kind == Some(Kind::Bond) {
                let nothing = |row: &Attribute| (SettingName::Borrowed(row.name), OptionValue::Number(0));
                link.port = Kind::Bond.port_attributes().iter().map(nothing).few();
                link.mtu = mtu;
                link.up = true;
            }
        }
        if cycled {
            self.connect(name, None);
        }
        // A bond without an address of its own gets the first member's.
        let own = self.links.get(name).and_then(|l| l.mac);
        if let Some(bond) = self.link_mut(controller).filter(|c| c.kind.is(Kind::Bond)) {
            bond.mac = bond.mac.or(own);
        }
        if kind == Some(Kind::Bridge) {
            let smallest =
                self.ports(controller).iter().filter_map(|p| self.links.get(p)).map(|p| p.mtu).min();
            if let (Some(bridge), Some(smallest)) = (self.link_mut(controller), smallest) {
                bridge.mtu = smallest;
            }
        }
    }

    /// A member that leaves a bond is down afterwards (__bond_release_one).
    fn released(&mut self, name: &str) {
        let controller = self.links.get(name).and_then(|l| l.controller.clone());
        let from_bond =
            controller.as_ref().and_then(|c| self.links.get(c)).is_some_and(|c| c.kind.is(Kind::Bond));
        if let Some(ports) = controller.as_ref().and_then(|c| self.ports.get_mut(c)) {
            ports.remove(name);
        }
        if let Some(link) = self.link_mut(name) {
            link.controller = None;
            link.port.clear();
            link.vlans = None;
            // The kernel restores the member's earlier MTU, which is not known here.
            link.mtu = if from_bond { 0 } else { link.mtu };
            link.mac = if from_bond { link.permanent_mac.or(link.mac) } else { link.mac };
            link.up &= !from_bond;
        }
        // A bond that loses its last member loses its address, too (__bond_release_one).
        if let Some(bond) = controller.filter(|bond| from_bond && self.ports(bond).is_empty()) {
            if let Some(bond) = self.link_mut(&bond) {
                bond.mac = None;
            }
        }
    }

    /// An address takes its connected route with it, and the secondary addresses of its subnet unless the kernel
    /// promotes them. An IPv4 route is removed if the machine no longer has its preferred source, whatever link it is
    /// on (fib_sync_down_addr); an IPv6 route loses the source (fib6_remove_prefsrc: seen on 6.18 on any link; where the
    /// kernel keeps it, it is set to what it is).
    fn address_deleted(&mut self, entry: &AddressEntry) {
        let subnet = entry.net.trunc();
        let ip = entry.net.addr();
        let promotes = self.promotes(&entry.link);
        let addresses = self.addresses.entry(entry.link.clone()).or_default();
        let is_of_subnet = |a: &AddressEntry| ip.is_ipv4() && a.net.trunc() == subnet;
        // The first address of a subnet takes the others with it, unless the next one is promoted (__inet_del_ifa).
        let takes_others = !promotes && addresses.iter().find(|a| is_of_subnet(a)) == Some(entry);
        addresses.retain(|a| a != entry && !(takes_others && is_of_subnet(a)));
        // With its last address a link loses all its IPv4 routes (fib_inetaddr_event).
        let is_last = ip.is_ipv4() && !addresses.iter().any(|a| a.net.addr().is_ipv4());
        // That of an IPv6 address with a lifetime expires by itself (ipv6_del_addr).
        let goes_along = ip.is_ipv4() || entry.permanent;
        let shares_subnet = addresses.iter().any(|a| a.net.trunc() == subnet);
        let is_elsewhere = self.addresses.values().flatten().any(|a| a.net.addr() == ip);
        let mut keys = self.keys_of_link(&entry.link);
        keys.extend(self.users().of_source.get(&ip).into_iter().flatten());
        keys.order();
        keys.dedup();
        for key in keys {
            let Some(routes) = self.routes.get_mut(&key) else { continue };
            let loses_source = |r: &RouteEntry| ip.is_ipv6() && r.source == Some(ip);
            let losing = if routes.iter().any(loses_source) { &mut routes.to_mut()[..] } else { &mut [] };
            for route in losing.iter_mut().filter(|route| loses_source(route)) {
                if !is_elsewhere || route.links().any(|link| link == entry.link) {
                    self.lost_routes.push(route.clone());
                    route.source = None;
                }
            }
            let is_lost = |r: &RouteEntry| {
                let on_link = r.links().next().is_some() && r.links().all(|link| link == entry.link);
                let connected =
                    goes_along && r.via.is_none() && r.to == subnet && r.protocol == Protocol::Kernel;
                let by_source = ip.is_ipv4() && r.source == Some(ip) && !is_elsewhere;
                by_source
                    || (on_link && ((connected && !shares_subnet) || (is_last && r.to.addr().is_ipv4())))
            };
            self.lost_routes.extend(take_out(routes, is_lost));
        }
    }

    /// Whether the next address of the subnet is promoted when one of the link is removed (`promote_secondaries`).
    fn promotes(&self, link: &str) -> bool {
        let own = self.links.get(link).and_then(|link| link.ipv4.get("promote_secondaries"));
        self.promote_secondaries || own.is_some_and(|on| *on != 0)
    }

    fn sysctl(&mut self, key: &str, value: &str) {
        let mut parts = key.rsplitn(3, '/');
        let (Some(option), Some(name)) = (parts.next(), parts.next()) else { return };
        let (Some(link), Ok(number)) = (self.link_mut(name), value.parse()) else { return };
        if parts.next() == Some("net/ipv4/conf") {
            link.ipv4.insert(option.to_owned().into(), number);
        } else if option == "addr_gen_mode" {
            link.generation = u8::try_from(number).ok().and_then(AddressGeneration::from_number);
        } else {
            link.ipv6.insert(option.to_owned().into(), number);
        }
    }
}

/// Takes the routes out that `go`; where there are none, nothing is copied.
fn take_out(routes: &mut Cow<'_, [RouteEntry]>, go: impl Fn(&RouteEntry) -> bool) -> Vec<RouteEntry> {
    if !routes.iter().any(&go) {
        return Vec::new();
    }
    let (gone, stay): (Vec<_>, Vec<_>) = mem::take(routes).into_owned().into_iter().partition(go);
    *routes = stay.into();
    gone
}

/// The options of a VXLAN for the far end that is not one of several.
const END_NAMES: [&str; 2] = ["remote", "remote6"];

/// The far ends in the options of a VXLAN: a group or zero is none.
pub(crate) fn far_ends<'a>(option: impl Fn(&str) -> Option<&'a OptionValue>) -> Vec<IpAddr> {
    let far_end = |name: &&str| match option(name) {
        Some(OptionValue::Ip(ip)) if !ip.is_unspecified() && !ip.is_multicast() => Some(*ip),
        _ => None,
    };
    END_NAMES.iter().filter_map(far_end).collect()
}

fn extend(settings: &mut BTreeMap<SettingName, OptionValue>, others: &BTreeMap<&'static str, OptionValue>) {
    settings.extend(others.iter().map(|(name, value)| (SettingName::Borrowed(name), value.clone())));
}

/// The table of a VRF.
fn vrf_table(link: &ObservedLink) -> Option<u32> {
    match link.settings.get("table").filter(|_| link.kind.is(Kind::Vrf)) {
        Some(OptionValue::Number(table)) => u32::try_from(*table).ok(),
        _ => None,
    }
}

/// The kernel creates a connected route with the address.
pub(super) fn has_connected_route(address: &AddressEntry) -> bool {
    let subnet = address.peer.unwrap_or(address.net);
    let is_host = subnet.prefix_len() == subnet.max_prefix_len();
    // The kernel creates none to 0.0.0.0 (fib_add_ifaddr).
    let is_zero = subnet.addr().is_ipv4() && subnet.trunc().addr().is_unspecified();
    address.scope == Scope::Global
        && !is_host
        && !is_zero
        && !address.flags.contains(&AddressFlag::NoPrefixRoute)
}

/// The subnet that an address connects its link to.
fn subnet(address: &AddressEntry) -> IpNet {
    address.peer.unwrap_or(address.net).trunc()
}

pub(super) fn connected_route(address: &AddressEntry, table: Option<u32>) -> RouteEntry {
    let ip = address.net.addr();
    let metric = match (address.metric, ip) {
        (0, IpAddr::V4(_)) => 0,
        // IP6_RT_PRIO_ADDRCONF.
        (0, IpAddr::V6(_)) => 256,
        (metric, _) => metric,
    };
    let bare = RouteEntry::new(subnet(address));
    RouteEntry {
        link: Some(address.link.clone()),
        scope: if ip.is_ipv4() { Scope::Link } else { Scope::Global },
        protocol: Protocol::Kernel,
        source: Some(ip).filter(IpAddr::is_ipv4),
        table: table.unwrap_or(bare.table),
        metric,
        ..bare
    }
}
