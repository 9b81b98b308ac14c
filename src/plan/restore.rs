//! The undo: the steps that restore the machine to its earlier state. `--strict` uses it after a failed step.
//!
//! The earlier machine is turned into a description of the links that differ, and the planner does the rest; addresses,
//! routes and rules are restored as they were. What comes and goes by itself is not: carrier, leases, what router
//! advertisements and the kernel added. Entry: [`restore`].

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::Planner;
use super::addresses::must_go;
use super::state::{RouteKey, State, has_connected_route, key};
use super::step::{Action, LinkChange, Means, Plan};
use crate::inventory::{AddressEntry, AddressFlag, Inventory, ObservedLink, RouteEntry};
use crate::model::attribute::NIC;
use crate::model::{
    Activation, AddressProtocol, DesiredMac, IfName, Kind, Link, Located, MacAddr, Mtu, Naming, Place,
    PortVlan, Protocol, Scope,
};
use crate::order::Few as _;
use crate::resolve::{Resolved, ResolvedLink, blank};

/// `rtm_protocol` of the routes created by the kernel and from router advertisements.
const BY_THEMSELVES: &[Protocol] = &[Protocol::Kernel, Protocol::RouterAdvertisement];

/// Undoes `done` on a machine whose state is now `now` and was `before`. `handed_off` undoes the hand-off to the image's
/// other tools, in the order in which it was made. Files and records are restored first, the last change first; running
/// tools are notified last of all, when the links match those files.
pub fn restore(done: &Plan, handed_off: &[Action], before: &Inventory, now: &Inventory) -> Plan {
    let resolved = described(before, now);
    let mut planner = Planner::new(&resolved, now);
    let is_call = |action: &&Action| action.means() == Means::Bus;
    let (calls, files): (Vec<&Action>, Vec<&Action>) = handed_off.iter().partition(is_call);
    files.into_iter().rev().for_each(|action| planner.undo(action.clone()));
    planner.remove_new(done, before, now);
    planner.delete_made(before, now);
    planner.rename_nics();
    for link in &resolved.links {
        planner.link(link);
    }
    planner.altnames(before);
    planner.settings(done, before, now);
    planner.put_back(before, &Removed::by(done));
    planner.ipv6_mtus_back(before);
    calls.into_iter().for_each(|action| planner.undo(action.clone()));
    Plan { steps: planner.steps }
}

impl Planner<'_> {
    fn undo(&mut self, action: Action) {
        self.push("", Place::NONE, action);
    }

    /// Rules, routes and addresses that did not exist before.
    fn remove_new(&mut self, done: &Plan, before: &Inventory, now: &Inventory) {
        let names = earlier_names(before, now);
        let old = |name: &str| names.get(name).copied().unwrap_or(name).to_owned();
        for rule in now.rules.iter().filter(|r| !before.rules.contains(r)) {
            self.undo(Action::DeleteRule(rule.clone()));
        }
        let earlier = State::of(before);
        let as_earlier = |route: &RouteEntry| {
            let mut route = route.clone();
            route.links_mut().flatten().for_each(|link| *link = old(link));
            route
        };
        let made: Vec<&RouteEntry> = done.steps.iter().filter_map(|step| step.action.added_route()).collect();
        // Shown as one with a router's route, ours has the protocol of that.
        let is_made = |r: &RouteEntry| r.weight.is_some() && made.iter().any(|m| m.has_same_next_hop(r));
        let is_new = |r: &&RouteEntry| {
            let was = as_earlier(r);
            (!BY_THEMSELVES.contains(&r.protocol) || is_made(r))
                && !earlier.of_key(&was).iter().any(|there| is_same(there, &was))
        };
        let (through, direct): (Vec<&RouteEntry>, Vec<_>) =
            now.routes.iter().filter(is_new).partition(|r| r.has_gateway());
        for route in through.into_iter().chain(direct) {
            self.undo(Action::DeleteRoute(route.clone()));
        }
        for address in now.addresses.iter().filter(|a| is_lasting(a)) {
            let earlier = |b: &&AddressEntry| {
                b.link == old(&address.link) && b.net == address.net && b.peer == address.peer
            };
            if !before.addresses.iter().any(|b| earlier(&b)) {
                self.undo(Action::DeleteAddress(address.clone()));
            }
        }
    }

    /// Links that did not exist before, those on top of others first.
    fn delete_made(&mut self, before: &Inventory, now: &Inventory) {
        let known: HashSet<u32> = before.links.iter().map(|l| l.index).collect();
        for link in
            now.links.iter().rev().filter(|l| !known.contains(&l.index) && l.kind.with_options().is_some())
        {
            if self.state.link(&link.name).is_some() {
                self.undo(Action::DeleteLink { name: link.name.clone() });
            }
        }
    }

    fn altnames(&mut self, before: &Inventory) {
        for link in &before.links {
            let Some(there) = self.state.link(&link.name) else { continue };
            let there = there.clone();
            let new: Vec<String> =
                there.altnames.iter().filter(|a| !link.altnames.contains(a)).cloned().collect();
            for altname in new {
                let change = LinkChange::DeleteAltName(altname);
                self.undo(Action::SetLink { name: link.name.clone(), change });
            }
            // A link that gets its alternative name as its name loses the alternative one.
            let lost: Vec<String> =
                link.altnames.iter().filter(|a| !there.altnames.contains(a)).cloned().collect();
            for altname in lost {
                let change = LinkChange::AddAltName(altname);
                self.undo(Action::SetLink { name: link.name.clone(), change });
            }
        }
    }

    /// Restores sysctls, and ethtool and WireGuard settings as far as their earlier values are known.
    fn settings(&mut self, done: &Plan, before: &Inventory, now: &Inventory) {
        for link in &before.links {
            let Some(there) = self.state.link(&link.name) else { continue };
            let six = link
                .ipv6
                .iter()
                // A router advertisement sets the hop limit; the MTU is last of all.
                .filter(|(option, _)| !matches!(option.as_ref(), "hop_limit" | "mtu"))
                .filter(|(option, was)| there.ipv6.get(*option).is_some_and(|is| is != *was))
                .map(|(option, was)| (format!("net/ipv6/conf/{}/{option}", link.name), *was));
            let four = ["arp_ignore", "forwarding"].into_iter().filter_map(|option| {
                let was = link.ipv4.get(option).filter(|was| there.ipv4.get(option) != Some(was))?;
                Some((format!("net/ipv4/conf/{}/{option}", link.name), *was))
            });
            let differing: Vec<(String, i64)> = six.chain(four).collect();
            if there.promiscuous != link.promiscuous {
                let change = LinkChange::Promiscuous(link.promiscuous);
                self.undo(Action::SetLink { name: link.name.clone(), change });
            }
            for (key, was) in differing {
                self.undo(Action::Sysctl { key, value: was.to_string() });
            }
        }
        let names = earlier_names(before, now);
        let earlier = |name: &str| before.called(names.get(name).copied().unwrap_or(name));
        for step in &done.steps {
            match &step.action {
                Action::Feature { name, feature, .. } => {
                    if let Some((link, on)) =
                        earlier(name).and_then(|l| Some((l, *l.features.get(*feature)?)))
                    {
                        self.undo(Action::Feature { name: link.name.clone(), feature, on });
                    }
                }
                Action::Tune { name, settings } => {
                    let Some(link) = earlier(name) else { continue };
                    let rows =
                        NIC.iter().flat_map(|group| group.rows).filter(|row| settings.contains_key(row.name));
                    let was = rows.filter_map(|row| Some((row.name, link.tuning.get(row.name)?.clone())));
                    let settings: BTreeMap<_, _> = was.few();
                    if !settings.is_empty() {
                        self.undo(Action::Tune { name: link.name.clone(), settings });
                    }
                }
                Action::WakeOnLan { name, .. } => {
                    if let Some((link, on)) = earlier(name).and_then(|l| Some((l, l.wake_on_lan?))) {
                        self.undo(Action::WakeOnLan { name: link.name.clone(), on });
                    }
                }
                Action::Wireguard { name, .. } => {
                    if let Some((link, config)) = earlier(name).and_then(|l| Some((l, l.wireguard.clone()?)))
                    {
                        self.undo(Action::Wireguard { name: link.name.clone(), config });
                    }
                }
                _ => {}
            }
        }
    }

    /// Restores the MTU of IPv6, as [`Planner::ipv6_mtus`] sets it: a link that came up again waits for carrier.
    fn ipv6_mtus_back(&mut self, before: &Inventory) {
        for link in &before.links {
            let Some(there) = self.state.link(&link.name) else { continue };
            let Some(was) = link.ipv6.get("mtu") else { continue };
            // The kernel sets it to the link's, whatever it is until then.
            let is_reset = *was != i64::from(link.mtu) && link.is_ready() && there.up && !there.is_ready();
            if !is_reset && there.ipv6.get("mtu").is_none_or(|is| is == was) {
                continue;
            }
            if is_reset {
                self.undo(Action::AwaitCarrier { link: link.name.clone() });
            }
            let key = format!("net/ipv6/conf/{}/mtu", link.name);
            self.undo(Action::Sysctl { key, value: was.to_string() });
        }
    }

    /// Connected routes that addresses have now but did not have before: somebody had deleted them.
    fn connected_anew(&self, before: &Inventory, earlier: &State<'_>) -> Vec<RouteEntry> {
        let is_up = |name: &str| before.link(name).is_some_and(|link| link.up);
        let addresses = before.addresses.iter().filter(|a| is_up(&a.link) && !earlier.is_connected(a));
        let of_addresses =
            addresses.filter(|a| has_connected_route(a)).flat_map(|a| self.state.connected_routes(a));
        of_addresses.cloned().collect()
    }

    /// The IPv4 addresses of links whose order would differ from before: the first is the default source. Among those
    /// of one scope the kernel appends a new one, and secondary ones of a subnet go behind all (__inet_insert_ifa).
    fn out_of_order(&self, before: &Inventory) -> Vec<AddressEntry> {
        let is_v4 = |a: &&AddressEntry| a.net.addr().is_ipv4();
        let mut earlier: HashMap<Rank, Vec<&AddressEntry>> = HashMap::default();
        for (rank, address) in ranked(before.addresses.iter().filter(is_v4)) {
            earlier.entry(rank).or_default().push(address);
        }
        let mut there: BTreeMap<&str, Vec<&AddressEntry>> = BTreeMap::new();
        for (link, addresses) in &self.state.addresses {
            there.insert(link, addresses.iter().filter(is_v4).collect());
        }
        let mut wrong = Vec::new();
        let mut seen: HashMap<Rank, usize> = HashMap::default();
        for (rank, address) in there.into_values().flat_map(|addresses| ranked(addresses.into_iter())) {
            let position = seen.entry(rank.clone()).or_default();
            let was = earlier.get(&rank).and_then(|was| was.get(*position));
            let parts = |a: &AddressEntry| (a.net, a.label.clone());
            match was.is_some_and(|was| parts(was) == parts(address)) {
                true => *position += 1,
                // No later one of the rank is in its place then.
                false => {
                    *position = usize::MAX;
                    wrong.push(address.clone());
                }
            }
        }
        wrong
    }

    /// Addresses, routes and rules that are missing now. What comes by itself is restored if a step removed it, with
    /// its earlier lifetime.
    fn put_back(&mut self, before: &Inventory, removed: &Removed) {
        for address in self.out_of_order(before) {
            self.undo(Action::DeleteAddress(address));
        }
        // The kernel lists the newest IPv6 address first (ipv6_link_dev_addr).
        let (four, six): (Vec<_>, Vec<_>) =
            before.addresses.iter().filter(|a| removed.brings_back(a)).partition(|a| a.net.addr().is_ipv4());
        for address in four.into_iter().chain(six.into_iter().rev()) {
            let there = self.state.addresses.get(&address.link).into_iter().flatten();
            let there = there.clone().find(|t| t.net == address.net && t.peer == address.peer).cloned();
            let action = match there {
                Some(there) if !must_go(&there, address) && made_with(&there) == made_with(address) => {
                    continue;
                }
                // When an IPv6 address gets a lifetime, the kernel gives the connected route one that has expired
                // (modify_prefix_route).
                Some(there) if must_go(&there, address) || address.valid.is_some() => {
                    self.undo(Action::DeleteAddress(there));
                    Action::AddAddress(address.clone())
                }
                Some(_) => Action::ReplaceAddress(address.clone()),
                None => Action::AddAddress(address.clone()),
            };
            self.undo(action);
        }
        let routes = before.routes.iter().filter(|r| {
            let returns = BY_THEMSELVES.contains(&r.protocol) && !removed.routes.contains(&key(r));
            !returns && r.unknown.is_empty()
        });
        let (through, direct): (Vec<&RouteEntry>, Vec<_>) = routes.partition(|r| r.has_gateway());
        let earlier = State::of(before);
        for route in direct.into_iter().chain(through) {
            let there = self.state.of_key(route);
            // The kernel created it again with its address.
            let by_kernel =
                |there: &&RouteEntry| route.protocol == Protocol::Kernel && there.has_same_next_hop(route);
            if !there.iter().any(|there| is_same(there, route) || by_kernel(&there)) {
                let action = match there.first() {
                    None => Action::AddRoute,
                    // Of IPv4 routes with one key the first counts.
                    Some(first) if route.to.addr().is_ipv4() && earlier.precedes(route, first) => {
                        Action::PrependRoute
                    }
                    Some(_) => Action::AppendRoute,
                };
                self.undo(action(route.clone()));
            }
        }
        for route in self.connected_anew(before, &earlier) {
            self.undo(Action::DeleteRoute(route));
        }
        for rule in &before.rules {
            if !self.state.rules.contains(rule) {
                self.undo(Action::AddRule(rule.clone()));
            }
        }
    }
}

/// The rank of an IPv4 address: among those of its link and scope, or among the secondary ones.
type Rank = (String, Scope, bool);

/// The addresses of links, each with its rank.
fn ranked<'a>(
    addresses: impl Iterator<Item = &'a AddressEntry>,
) -> impl Iterator<Item = (Rank, &'a AddressEntry)> {
    let mut subnets: HashSet<(&str, IpNet)> = HashSet::default();
    addresses.map(move |address| {
        let is_first = subnets.insert((&address.link, address.peer.unwrap_or(address.net).trunc()));
        let scope = if is_first { address.scope } else { Scope::Global };
        ((address.link.clone(), scope, is_first), address)
    })
}

/// Permanent and global: neither a lease nor created by the kernel.
fn is_lasting(address: &AddressEntry) -> bool {
    address.permanent
        && address.scope == Scope::Global
        && !matches!(address.protocol, AddressProtocol::RouterAdvertisement | AddressProtocol::LinkLocal)
}

/// The addresses and routes that steps removed or changed.
struct Removed {
    addresses: HashSet<IpNet>,
    routes: HashSet<RouteKey>,
}

impl Removed {
    fn by(done: &Plan) -> Self {
        let (mut addresses, mut routes) = (HashSet::default(), HashSet::default());
        for step in &done.steps {
            match &step.action {
                Action::DeleteAddress(address) | Action::ReplaceAddress(address) => {
                    addresses.insert(address.net);
                }
                Action::DeleteRoute(route) | Action::ReplaceRoute(route) => {
                    routes.insert(key(route));
                }
                _ => {}
            }
        }
        Removed { addresses, routes }
    }

    /// The address must be restored: it does not come by itself, or a step removed it.
    fn brings_back(&self, address: &AddressEntry) -> bool {
        let is_global = address.scope == Scope::Global || address.net.addr().is_ipv4();
        let is_brought =
            !matches!(address.protocol, AddressProtocol::RouterAdvertisement | AddressProtocol::LinkLocal);
        (is_global && is_brought) || self.addresses.contains(&address.net)
    }
}

/// For routes that the kernel shows as one, only the next hop is known.
fn is_same(one: &RouteEntry, other: &RouteEntry) -> bool {
    let joined = one.weight.or(other.weight).is_some();
    // A lifetime decreases while a step is made.
    let alike = || *one == RouteEntry { expires: one.expires, ..other.clone() };
    let joined_or_alike = if joined { one.has_same_next_hop(other) } else { alike() };
    joined_or_alike && one.expires.is_some() == other.expires.is_some()
}

/// What can be changed of an address. A lifetime decreases while a step is made.
fn made_with(address: &AddressEntry) -> (Option<u32>, bool, &[AddressFlag], u32) {
    let preferred = address.preferred.filter(|_| address.valid.is_none());
    (preferred, address.valid.is_some(), &address.flags, address.metric)
}

/// Current name to earlier name, of the links that still exist.
fn earlier_names<'a>(before: &'a Inventory, now: &'a Inventory) -> HashMap<&'a str, &'a str> {
    let earlier: HashMap<u32, &str> = before.links.iter().map(|l| (l.index, l.name.as_str())).collect();
    now.links.iter().filter_map(|l| Some((l.name.as_str(), *earlier.get(&l.index)?))).collect()
}

/// The links that differ, as a description of their earlier state.
fn described(before: &Inventory, now: &Inventory) -> Resolved {
    let present: HashMap<u32, &ObservedLink> = now.links.iter().map(|l| (l.index, l)).collect();
    let differs = |l: &&ObservedLink| !present.get(&l.index).is_some_and(|there| is_as_it_was(l, there));
    let mut wanted: HashSet<&str> = before.links.iter().filter(differs).map(|l| l.name.as_str()).collect();
    // A controller that differs includes its members, and a member its controller.
    for link in &before.links {
        if let Some(controller) = link.controller.as_deref() {
            if wanted.contains(controller) || wanted.contains(link.name.as_str()) {
                wanted.extend([controller, link.name.as_str()]);
            }
        }
    }
    let links = before.links.iter().filter(|l| wanted.contains(l.name.as_str()));
    let links = links.map(|link| as_described(link, present.get(&link.index).copied(), before)).collect();
    Resolved { links: crate::resolve::foundations_first(links), ..Resolved::default() }
}

fn is_as_it_was(before: &ObservedLink, now: &ObservedLink) -> bool {
    let settings = |l: &ObservedLink| {
        let mut settings = l.settings.clone();
        settings.remove("active_slave");
        settings
    };
    let parts =
        |l: &ObservedLink| (l.name.clone(), l.up, l.mtu, l.mac, l.controller.clone(), l.parent.clone());
    parts(before) == parts(now)
        && settings(before) == settings(now)
        && (before.port == now.port || before.controller.is_none())
        && (before.vlans == now.vlans || before.vlans.is_none())
        && before.remotes == now.remotes
        && before.generation == now.generation
        && before.token == now.token
}

/// The address to give to a link. A member of a bond has the bond's; its own is the one it had before, which it gets
/// back once it is released.
fn own_mac(before: &ObservedLink, now: Option<&ObservedLink>, all: &Inventory) -> Option<MacAddr> {
    let controller = before.controller.as_deref();
    let bond = controller.and_then(|name| all.link(name)).filter(|c| c.kind.is(Kind::Bond));
    match bond {
        None => before.mac,
        Some(bond) if now.and_then(|l| l.controller.as_deref()) == Some(&bond.name) => None,
        Some(_) => before.permanent_mac,
    }
}

fn as_described(before: &ObservedLink, now: Option<&ObservedLink>, all: &Inventory) -> ResolvedLink {
    let kind = before.kind.known().unwrap_or(Kind::Physical);
    let mut link = Link::new(before.name.clone(), kind, Place::NONE);
    let at = Place::NONE;
    if let Ok(name) = IfName::new(&before.name) {
        link.naming = Naming::Set(Located::new(name, at));
    }
    link.mac = own_mac(before, now, all).map(|mac| Located::new(DesiredMac::Is(mac), at));
    link.mtu = Mtu::new(before.mtu.into()).ok().map(|mtu| Located::new(mtu, at));
    link.activation = if before.up { Activation::Up } else { Activation::Off };
    link.ipv6.generation = before.generation.map(|g| Located::new(g, at));
    link.ipv6.token = before.token.map(|t| Located::new(t, at));
    for row in kind.attributes().iter().filter(|row| row.name != "active_slave") {
        if let Some(value) = before.settings.get(row.name) {
            link.settings.set(row, value.clone(), at);
        }
    }
    let vlans = |vlans: &Vec<PortVlan>| vlans.iter().map(|vlan| Located::new(*vlan, at)).collect();
    link.vlans = before.vlans.as_ref().map(vlans);
    link.remotes = before.remotes.iter().map(|ip| Located::new(*ip, at)).collect();
    let controller = before.controller.as_ref().and_then(|name| all.link(name));
    let controller_kind = controller.and_then(|c| c.kind.with_options());
    for row in controller_kind.map(Kind::port_attributes).unwrap_or_default() {
        if let Some(value) = before.port.get(row.name) {
            link.port.set(row, value.clone(), at);
        }
    }
    let members = all.links.iter().filter(|l| l.controller.as_deref() == Some(&before.name));
    let mut resolved = blank(&link, before.name.clone(), now.map(|l| l.name.clone()));
    resolved.members = members.map(|l| l.name.clone()).collect();
    resolved.parent = before.parent.clone().filter(|_| kind != Kind::Veth && kind != Kind::Physical);
    resolved.peer = before.parent.clone().filter(|_| kind == Kind::Veth);
    resolved.controller = controller.zip(controller_kind).map(|(c, kind)| (c.name.clone(), kind));
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: &str) -> ObservedLink {
        ObservedLink {
            index,
            name: name.into(),
            kind: kind.into(),
            layer: "ether".into(),
            mtu: 1500,
            ..ObservedLink::default()
        }
    }

    fn lines(before: &Inventory, now: &Inventory) -> Vec<String> {
        let plan = restore(&Plan::default(), &[], before, now);
        plan.steps.iter().map(|s| super::super::script::line(&s.action)).collect()
    }

    #[test]
    fn a_bridge_that_had_no_port_before_stays_up() {
        let eth0 = ObservedLink { up: true, ..link(2, "eth0", "") };
        let br0 = ObservedLink { up: true, ..link(3, "br0", "bridge") };
        let before = Inventory { links: vec![eth0.clone(), br0.clone()], ..Inventory::default() };
        let port = ObservedLink { controller: Some("br0".to_owned()), ..eth0 };
        let now = Inventory { links: vec![port, br0], ..Inventory::default() };
        assert_eq!(lines(&before, &now), ["ip link set dev eth0 nomaster"]);
    }

    #[test]
    fn created_links_are_removed_and_members_restored() {
        let mut eth0 = link(2, "eth0", "");
        eth0.mac = "52:54:00:00:00:01".parse().ok();
        eth0.permanent_mac = eth0.mac;
        let before = Inventory { links: vec![eth0.clone()], ..Inventory::default() };
        eth0.controller = Some("bond0".into());
        eth0.up = true;
        eth0.mtu = 9000;
        let mut vlan = link(4, "bond0.100", "vlan");
        vlan.parent = Some("bond0".into());
        let now = Inventory { links: vec![eth0, link(3, "bond0", "bond"), vlan], ..Inventory::default() };
        assert_eq!(
            lines(&before, &now),
            ["ip link delete dev bond0.100", "ip link delete dev bond0", "ip link set dev eth0 mtu 1500"]
        );
        assert!(lines(&before, &before).is_empty());
    }

    #[test]
    fn the_mtu_of_ipv6_comes_back_when_the_link_has_carrier_again() {
        let mut eth0 = ObservedLink { up: true, carrier: true, ..link(2, "eth0", "") };
        eth0.ipv6 = BTreeMap::from([("mtu".into(), 1280)]);
        let before = Inventory { links: vec![eth0.clone()], ..Inventory::default() };
        let wait = super::super::script::line(&Action::AwaitCarrier { link: "eth0".to_owned() });
        let set = "echo 1280 >/proc/sys/net/ipv6/conf/eth0/mtu";
        // Up again, and the kernel has not reset it yet.
        let operstate = "down".to_owned();
        let now = |link: ObservedLink| Inventory { links: vec![link], ..Inventory::default() };
        assert_eq!(lines(&before, &now(ObservedLink { operstate, ..eth0.clone() })), [&wait, set]);
        let down = ObservedLink { up: false, carrier: false, ..eth0.clone() };
        assert_eq!(lines(&before, &now(down)), ["ip link set dev eth0 up", &wait, set]);
        eth0.ipv6 = BTreeMap::from([("mtu".into(), 1500)]);
        assert_eq!(lines(&before, &now(eth0)), [set]);
    }

    #[test]
    fn a_link_that_was_taken_down_and_renamed_comes_back_with_its_routes() {
        let mut eth0 = link(2, "eth0", "");
        eth0.up = true;
        let route = RouteEntry {
            link: Some("eth0".into()),
            via: "10.0.0.1".parse().ok(),
            protocol: Protocol::Boot,
            ..RouteEntry::new("0.0.0.0/0".parse().unwrap())
        };
        let before = Inventory { links: vec![eth0], routes: vec![route], ..Inventory::default() };
        let now = Inventory { links: vec![link(2, "lan0", "")], ..Inventory::default() };
        assert_eq!(
            lines(&before, &now),
            [
                "ip link set dev lan0 name eth0",
                "ip link set dev eth0 up",
                "ip -4 route add default via 10.0.0.1 dev eth0 proto boot",
            ]
        );
    }
}
