//! Debian interfaces files, interfaces(5): [`tree`] parses one into a tree of values, [`read`] reads that.
//!
//! The kind of an interface follows from the options of all its stanzas, and its place from other interfaces' stanzas,
//! so stanzas are collected first. What they share with cloud-init v1 is in `debian`.

mod commands;
mod dhcp;
mod inherit;
mod kinds;
mod lines;
mod stanza;
mod table;

use super::debian::{Draft, bond_setting, bridge_option, list, made, nic, port_option};
use super::keys::report;
use super::tree::{Entry, Node, Value};
use super::value::{interface_address, words};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::attribute::OptionValue;
use crate::model::{
    Activation, Address, AddressGeneration, Desired, DesiredMac, Kind, Link, LinkRef, Located, MacAddr,
    NamePattern, Place, Settings, attribute, fits,
};
use commands::{Effect, What};
use foldhash::{HashMap, HashSet};
pub(super) use lines::tree;
use stanza::Stanza;
pub(crate) use stanza::{OFFLOADS, PARAMETERS};
#[allow(unused_imports)] // docs and tests walk it
pub(super) use table::OBJECTS;
use table::{MEMBERS, TOP};

/// The interface that always exists and is always up.
const LOOPBACK: &str = "lo";

/// Reads the result of [`tree`].
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let Some((resolved, templates)) = inherit::resolve(root, diags) else {
        return stanzas(root, &HashSet::default(), diags);
    };
    let before = diags.len();
    let desired = stanzas(&resolved, &templates, diags);
    // An error in a template is an error in each stanza that inherits it.
    let mut seen = HashSet::default();
    let rest = diags.split_off(before);
    diags.extend(rest.into_iter().filter(|d| seen.insert((d.at, d.message.clone()))));
    desired
}

/// Reads stanzas with all their options. `templates` create nothing unless a line of `auto` names them.
fn stanzas(root: &Node, templates: &HashSet<String>, diags: &mut Vec<Diagnostic>) -> Desired {
    let Value::Map(entries) = &root.value else { return Desired::default() };
    let mut wanted: Vec<LinkRef> = Vec::new();
    let mut mapped: Vec<(LinkRef, String)> = Vec::new();
    let mut groups: Groups = Groups::default();
    for entry in entries {
        let word = entry.key.split(' ').next().unwrap_or_default();
        diags.extend(outside(word, entry));
        match word {
            "auto" | "allow-auto" | "allow-hotplug" => {
                for name in words(&entry.value, word, diags) {
                    let located = |text: &str| Located::new(text.to_owned(), name.at);
                    // `eth0=home`: the interface, and the stanza to use for it.
                    if let Some((interface, stanza)) = name.value.split_once('=') {
                        mapped.push((located(interface), stanza.to_owned()));
                        wanted.push(located(stanza));
                    } else {
                        wanted.push(located(name.value));
                    }
                }
            }
            "iface" => match Stanza::read(entry, diags) {
                Some(stanza) => groups.add(stanza),
                None => groups.left_out(&entry.key),
            },
            _ => {}
        }
    }
    groups.without_others(diags);
    groups.0.retain(|(name, _)| !templates.contains(name) || wanted.iter().any(|w| w.value == *name));
    let roles = kinds::Roles::of(groups.0.iter().flat_map(|(_, stanzas)| stanzas));
    let mut reader = Reader { roles, ..Reader::default() };
    for (name, stanzas) in &groups.0 {
        reader.link(name, stanzas, diags);
    }
    reader.map(mapped, diags);
    reader.finish(&wanted, &groups, diags)
}

/// The diagnostic for a line outside a stanza; nothing about `auto` and `iface`.
fn outside(word: &str, entry: &Entry) -> Option<Diagnostic> {
    if word.starts_with("allow-") && !TOP.keys.iter().any(|key| key.name == word) {
        let message = format!("\"{word}\" has no effect here: only ifup --allow brings these up");
        return Some(Diagnostic::new(Code::NoEffect, entry.key_at, message));
    }
    let diags = report(&TOP, word, entry.key_at)?;
    // The other file may contain everything, or nothing: netapply cannot know.
    Some(if word.starts_with("source") { diags.severity(Severity::Warning) } else { diags })
}

/// Executors of ifupdown-ng whose links netapply does not create, and why. Their options begin with their name.
const EXECUTORS: &[(&str, &str)] = &[
    ("batman", "mesh networks are left to the image"),
    ("ppp", "PPP needs a daemon"),
    ("wireguard", "its keys and peers are in a file that is not read; netplan can describe them"),
    ("wireguard-quick", "its keys and peers are in a file that is not read; netplan can describe them"),
];

/// The stanzas of each interface, in file order; the index of each in that list; the interfaces of stanzas that were
/// left out. `eth0:1` belongs to `eth0`.
#[derive(Default)]
struct Groups<'a>(Vec<(String, Vec<Stanza<'a>>)>, HashMap<String, usize>, HashSet<String>);

impl<'a> Groups<'a> {
    /// Records the interface of an unusable stanza, by its header: the reason has been reported.
    fn left_out(&mut self, header: &str) {
        self.2.extend(header.split(' ').nth(1).map(|name| base(name).to_owned()));
    }

    /// Leaves out what other programs create: Open vSwitch, as netplan's reader does, and what ifupdown-ng's executors
    /// create from files that are not read.
    fn without_others(&mut self, diags: &mut Vec<Diagnostic>) {
        let Groups(groups, index, left_out) = self;
        groups.retain(|(name, stanzas)| {
            let options = stanzas.iter().flat_map(|stanza| stanza.entries);
            let of_switch = options
                .filter(|entry| entry.key.starts_with("ovs-") || entry.key.starts_with("ovs_"))
                .filter_map(|entry| report(&table::IFACE, &entry.key, entry.key_at));
            let mut foreign: Vec<Diagnostic> = of_switch.collect();
            for (executor, why) in EXECUTORS {
                let uses = |stanza: &&Stanza| {
                    let prefix = format!("{executor}-");
                    stanza.uses(executor) || stanza.entries.iter().any(|entry| entry.key.starts_with(&prefix))
                };
                let message = format!("\"{name}\" uses {executor}, which is not supported: {why}");
                let at = stanzas.iter().find(uses).map(|stanza| stanza.at);
                foreign.extend(at.map(|at| Diagnostic::new(Code::Unsupported, at, message)));
            }
            if foreign.is_empty() {
                return true;
            }
            let hint = |diagnostic: Diagnostic| diagnostic.hint(format!("\"{name}\" is left out"));
            diags.extend(foreign.into_iter().map(hint));
            left_out.insert(name.clone());
            index.remove(name);
            false
        });
    }

    fn add(&mut self, stanza: Stanza<'a>) {
        let name = stanza.base().to_owned();
        let index = *self.1.entry(name.clone()).or_insert_with(|| {
            self.0.push((name, Vec::new()));
            self.0.len() - 1
        });
        if let Some((_, stanzas)) = self.0.get_mut(index) {
            stanzas.push(stanza);
        }
    }
}

#[derive(Default)]
struct Reader {
    draft: Draft,
    /// `bond-master`: the bond, the member, and bond options given at the member.
    enslaved: Vec<(LinkRef, LinkRef, Settings)>,
    /// What commands request for interfaces other than their stanza's.
    effects: Vec<(LinkRef, What)>,
    /// `vrf`: the VRF and its member.
    in_vrf: Vec<(LinkRef, LinkRef)>,
    roles: kinds::Roles,
    /// Links that commands create besides those of stanzas: they are meant to be up.
    made: HashSet<String>,
    /// What is brought up with a link although it is not on top of it: the link, and what it needs.
    needs: Vec<(String, String)>,
}

impl Reader {
    /// Builds the link of an interface from its stanzas.
    fn link(&mut self, name: &str, stanzas: &[Stanza], diags: &mut Vec<Diagnostic>) {
        let Some(first) = stanzas.first() else { return };
        let node = Node::scalar(name, first.at);
        let mut link = match kinds::kind(name, stanzas, &self.roles) {
            Kind::Physical => nic(name, first.at),
            kind => made(&node, kind, diags),
        };
        if !kinds::read(name, stanzas, &mut link, &mut self.roles, diags) {
            return;
        }
        let mut at_member = Settings::default();
        let mut master = None;
        for stanza in stanzas {
            self.options(stanza, &mut link, &mut master, &mut at_member, diags);
        }
        if let Some(master) = master {
            self.enslaved.push((master, Located::new(name.to_owned(), first.at), at_member));
        }
        if name == LOOPBACK { self.draft.loopback(link, diags) } else { self.draft.add(link) }
    }

    /// Reads one stanza into its link.
    fn options(
        &mut self,
        stanza: &Stanza,
        link: &mut Link,
        master: &mut Option<LinkRef>,
        at_member: &mut Settings,
        diags: &mut Vec<Diagnostic>,
    ) {
        // Commands come after the stanza's own addresses, as in ifupdown.
        stanza.apply(link, diags);
        for entry in stanza.entries {
            match entry.key.as_str() {
                "bond-slaves" | "bond-ports" | "bond-members" | "slaves" => members(entry, link, diags),
                "vrf" | "vrf-member" => {
                    let word = words(&entry.value, &entry.key, diags).into_iter().next();
                    let member = Located::new(link.id.clone(), stanza.at);
                    self.in_vrf.extend(word.map(|w| (Located::new(w.value.to_owned(), w.at), member)));
                }
                "bond-master" => {
                    diags.extend(report(&MEMBERS, &entry.key, entry.key_at));
                    let word = words(&entry.value, "bond-master", diags).into_iter().next();
                    *master = word.map(|w| Located::new(w.value.to_owned(), w.at));
                }
                key if key.starts_with("bond-") || key.starts_with("bond_") => {
                    let settings = if link.kind == Kind::Bond { &mut link.settings } else { &mut *at_member };
                    bond_setting(entry, settings, diags);
                }
                key if is_bridge(key) && link.kind == Kind::Bridge => {
                    bridge_option(entry, link, &mut self.draft, diags);
                }
                key if is_bridge(key) => port_option(entry, link, &mut self.draft, diags),
                "requires" => self.requires(entry, stanza, link, diags),
                "gre-dev" => self.needs(entry, link, diags),
                "address-virtual" => self.virtual_addresses(stanza, entry, link, diags),
                "use" => used(entry, diags),
                "up" | "post-up" | "pre-up" => self.command(stanza, entry, link, diags),
                _ => {}
            }
        }
    }

    /// `address-virtual [MAC] ADDRESS…` of ifupdown2: a macvlan with the addresses that several routers share.
    fn virtual_addresses(
        &mut self,
        stanza: &Stanza,
        entry: &Entry,
        link: &Link,
        diags: &mut Vec<Diagnostic>,
    ) {
        let all = words(&entry.value, &entry.key, diags);
        let name = (0..).map(|n| format!("{}-v{n}", link.id)).find(|name| !self.made.contains(name));
        let Some(name) = name.filter(|_| !all.is_empty()) else { return };
        let mut made = made(&Node::scalar(&name, entry.key_at), Kind::Macvlan, diags);
        made.parent = Some(Located::new(link.id.clone(), entry.key_at));
        if let Some(row) = attribute::of(Kind::Macvlan, "mode") {
            made.settings.set(row, OptionValue::Text("private".to_owned()), entry.key_at);
        }
        for word in all {
            let node = Node::scalar(word.value, word.at);
            match word.value.parse() {
                Ok(mac) => made.mac = Some(Located::new(DesiredMac::Is(mac), word.at)),
                Err(_) => made.addresses.extend(interface_address(&node, &entry.key, None, diags)),
            }
        }
        let addrgen = stanza.get("address-virtual-ipv6-addrgen");
        if let Some(off) = addrgen.filter(|node| node.text().and_then(attribute::boolean) == Some(false)) {
            made.ipv6.generation = Some(Located::new(AddressGeneration::None, off.at));
        }
        let vrf = stanza.get("vrf").and_then(|node| words(node, "vrf", diags).into_iter().next());
        let member = Located::new(name.clone(), entry.key_at);
        self.in_vrf.extend(vrf.map(|vrf| (Located::new(vrf.value.to_owned(), vrf.at), member)));
        self.made.insert(name);
        self.draft.add(made);
    }

    /// `requires eth0 eth1` of ifupdown-ng: the members of a bond or bridge that does not name them otherwise; any
    /// other link brings them up first.
    fn requires(&mut self, entry: &Entry, stanza: &Stanza, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        let named = ["bond-members", "bond-slaves", "bond-ports", "bridge-ports"];
        if matches!(link.kind, Kind::Bond | Kind::Bridge) && named.iter().all(|key| stanza.get(key).is_none())
        {
            let words = words(&entry.value, &entry.key, diags).into_iter();
            link.members.extend(words.map(|w| Located::new(w.value.to_owned(), w.at)));
        } else {
            self.needs(entry, link, diags);
        }
    }

    /// The links that an entry names are brought up with this one.
    fn needs(&mut self, entry: &Entry, link: &Link, diags: &mut Vec<Diagnostic>) {
        let words = words(&entry.value, &entry.key, diags).into_iter();
        self.needs.extend(words.map(|word| (link.id.clone(), word.value.to_owned())));
    }

    /// Interprets a command, or reports that it is not executed.
    fn command(&mut self, stanza: &Stanza, entry: &Entry, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        let words = words_of(entry);
        if let Some((name, number)) = commands::tables::added(&words) {
            let message =
                format!("the routing table {name} has the number {number} here: no file is written");
            diags.push(Diagnostic::new(Code::NoEffect, entry.key_at, message));
            return;
        }
        let tables = &self.roles.tables;
        let Some(effects) = commands::understand(&words, stanza.base(), tables, entry.key_at) else {
            let program = words.first().copied().unwrap_or_default();
            let message = format!("the command \"{program} …\" of \"{}\" is not executed", stanza.name);
            diags.push(
                Diagnostic::new(Code::CommandIgnored, entry.key_at, message)
                    .hint("netapply understands ip route add, route add and the like; see netapply explain"),
            );
            return;
        };
        for Effect { dev, mut what } in effects {
            if let What::Route(route) = &mut what {
                // For a next hop without a link, its subnet decides: see `format::check`.
                let own = dev.as_deref().unwrap_or(&link.id);
                for hop in route.more.iter_mut().filter(|hop| hop.link.as_deref() == Some(own)) {
                    hop.link = None;
                }
            }
            let dev = dev.filter(|dev| *dev != link.id);
            match (dev, what) {
                (_, What::Nothing) => {}
                (dev, What::Vlans { vlan, adds }) => {
                    let name = dev.as_deref().unwrap_or(&link.id);
                    self.draft.vlan_command(name, vlan, adds, entry.key_at);
                }
                (_, What::Rule(rule)) => self.draft.desired.rules.push(rule),
                (None, what) => take_effect(link, what, entry.key_at, diags),
                (Some(dev), what) => self.effects.push((Located::new(dev, entry.key_at), what)),
            }
        }
    }

    /// Assigns stanzas to the interfaces that `auto` lines name for them: one, or by a pattern.
    fn map(&mut self, mapped: Vec<(LinkRef, String)>, diags: &mut Vec<Diagnostic>) {
        let mut seen = HashSet::default();
        for (interface, stanza) in mapped {
            let Some(link) = self.draft.link(&stanza).filter(|link| link.kind == Kind::Physical) else {
                continue;
            };
            if !seen.insert(stanza.clone()) {
                let message =
                    format!("\"{}={stanza}\": the stanza is another interface's already", interface.value);
                let hint = format!("write a pattern that fits both, such as /eth*={stanza}");
                diags.push(Diagnostic::new(Code::Unsupported, interface.at, message).hint(hint));
                continue;
            }
            let pattern = interface.value.strip_prefix('/').map(str::to_owned);
            link.select.many = pattern.is_some();
            let name = pattern.map_or(NamePattern::Exact(interface.value), NamePattern::Glob);
            link.select.name = Some(Located::new(name, interface.at));
            link.select.position = None;
        }
    }

    /// Joins the parts from different stanzas.
    fn finish(mut self, wanted: &[LinkRef], groups: &Groups, diags: &mut Vec<Diagnostic>) -> Desired {
        shared_hwaddress(&mut self.draft.desired.links, diags);
        self.make(diags);
        self.pairs(diags);
        for (master, member, settings) in std::mem::take(&mut self.enslaved) {
            if self.draft.link(&master.value).is_none() {
                let node = Node::scalar(&master.value, master.at);
                self.draft.add(made(&node, Kind::Bond, diags));
            }
            let Some(bond) = self.draft.link(&master.value).filter(|l| l.kind == Kind::Bond) else {
                continue;
            };
            bond.members.push(member);
            for (name, option) in settings.0 {
                bond.settings.0.entry(name).or_insert(option);
            }
        }
        for (dev, what) in std::mem::take(&mut self.effects) {
            if dev.value == LOOPBACK && self.draft.link(LOOPBACK).is_none() {
                self.draft.add(nic(LOOPBACK, dev.at));
            }
            match self.draft.link(&dev.value) {
                Some(link) => take_effect(link, what, dev.at, diags),
                None => {
                    let message = format!("the command names \"{}\", which has no stanza", dev.value);
                    diags.push(Diagnostic::new(Code::DanglingReference, dev.at, message));
                }
            }
        }
        let made = std::mem::take(&mut self.made);
        let mut needs = std::mem::take(&mut self.needs);
        for (vrf, member) in std::mem::take(&mut self.in_vrf) {
            needs.push((member.value.clone(), vrf.value.clone()));
            match self.draft.link(&vrf.value).filter(|link| link.kind == Kind::Vrf) {
                Some(link) => link.members.push(member),
                None => {
                    let message = format!(
                        "\"{}\" is to be in VRF \"{}\", which no stanza creates",
                        member.value, vrf.value
                    );
                    diags.push(
                        Diagnostic::new(Code::DanglingReference, vrf.at, message)
                            .hint(format!("add a stanza: iface {} with vrf-table", vrf.value)),
                    );
                }
            }
        }
        let mut desired = self.draft.finish(false, diags);
        desired.tables = self.roles.tables.names;
        vrf_routes(&mut desired.links);
        activate(&mut desired, wanted, (&made, &needs), groups, diags);
        desired
    }

    /// Adds the links that commands create besides those of stanzas, so that other commands find them.
    fn make(&mut self, diags: &mut Vec<Diagnostic>) {
        let (make, others) = std::mem::take(&mut self.effects)
            .into_iter()
            .partition(|(_, what)| matches!(what, What::Make(_)));
        self.effects = others;
        let make: Vec<(LinkRef, What)> = make;
        for (name, what) in make {
            let What::Make(command) = &what else { continue };
            if self.draft.link(&name.value).is_none() {
                self.draft.add(made(&Node::scalar(&name.value, name.at), command.kind, diags));
                self.made.insert(name.value.clone());
            }
            if let Some(link) = self.draft.link(&name.value) {
                take_effect(link, what, name.at, diags);
            }
        }
    }

    /// Both ends of a veth pair name each other; one that only the other names is created, too.
    fn pairs(&mut self, diags: &mut Vec<Diagnostic>) {
        let ends: Vec<(String, LinkRef)> = self
            .draft
            .desired
            .links
            .iter()
            .filter(|link| link.kind == Kind::Veth)
            .filter_map(|link| Some((link.id.clone(), link.peer.clone()?)))
            .collect();
        for (id, peer) in ends {
            let back = Located::new(id, peer.at);
            if let Some(link) = self.draft.link(&peer.value) {
                if link.kind == Kind::Physical {
                    link.kind = Kind::Veth;
                    link.select = Default::default();
                    link.naming = made(&Node::scalar(&peer.value, link.at), Kind::Veth, diags).naming;
                }
                link.peer.get_or_insert(back);
                continue;
            }
            let mut link = made(&Node::scalar(&peer.value, peer.at), Kind::Veth, diags);
            link.peer = Some(back);
            self.made.insert(peer.value.clone());
            self.draft.add(link);
        }
    }
}

/// One hwaddress for several stanzas does not identify a NIC: their names do, and each gets the address, as ifupdown
/// sets it.
fn shared_hwaddress(links: &mut [Link], diags: &mut Vec<Diagnostic>) {
    let mut first: HashMap<MacAddr, usize> = HashMap::default();
    for index in 0..links.len() {
        let Some(mac) = links.get(index).and_then(|link| link.select.mac) else { continue };
        let Some(earlier) = first.get(&mac.value).copied() else {
            first.insert(mac.value, index);
            continue;
        };
        let id = |index: usize| links.get(index).map_or("", |link| link.id.as_str());
        let message = format!(
            "\"{}\" and \"{}\" have the same hwaddress: each gets it, by its name",
            id(earlier),
            id(index)
        );
        diags.push(
            Diagnostic::new(Code::DuplicateMac, mac.at, message).hint("give each an address of its own"),
        );
        for index in [earlier, index] {
            let Some(link) = links.get_mut(index).filter(|link| link.select.mac.is_some()) else { continue };
            let mac = link.select.mac.map(|mac| Located::new(DesiredMac::Is(mac.value), mac.at));
            let Link { select, naming, .. } = nic(&link.id.clone(), link.at);
            (link.select, link.naming, link.mac) = (select, naming, mac);
        }
    }
}

/// Routes of a VRF and of its members go into its table, as in ifupdown2 and ifupdown-ng.
fn vrf_routes(links: &mut [Link]) {
    let table = |link: &Link| link.settings.number("table").and_then(|table| u32::try_from(table).ok());
    let tables: HashMap<String, u32> = links
        .iter()
        .filter(|link| link.kind == Kind::Vrf)
        .filter_map(|link| Some((link, table(link)?)))
        .flat_map(|(link, table)| {
            let members = link.members.iter().map(move |member| (member.value.clone(), table));
            members.chain([(link.id.clone(), table)])
        })
        .collect();
    for link in links.iter_mut() {
        let Some(table) = tables.get(&link.id) else { continue };
        for route in &mut link.routes {
            route.table.get_or_insert(*table);
        }
    }
    super::netplan::vrf_gateways(links);
}

/// An option of a bridge, in any spelling.
fn is_bridge(key: &str) -> bool {
    key.starts_with("bridge-") || key.starts_with("bridge_")
}

fn is_command(key: &str) -> bool {
    matches!(key, "up" | "post-up" | "pre-up")
}

/// The words of a command.
fn words_of(entry: &Entry) -> Vec<&str> {
    let nodes = match &entry.value.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.value),
    };
    nodes.iter().filter_map(Node::text).collect()
}

/// `bond-slaves eth0 eth1` or `none`.
fn members(entry: &Entry, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    diags.extend(report(&MEMBERS, &entry.key, entry.key_at));
    link.members.extend(list(&entry.value, &entry.key, diags));
}

/// `use bond` of ifupdown-ng. Most of its values follow from the options anyway.
fn used(entry: &Entry, diags: &mut Vec<Diagnostic>) {
    const KNOWN: &[&str] = &[
        "bond",
        "bridge",
        "dhcp",
        "dummy",
        "ethtool",
        "gre",
        "ipv6",
        "ipv6-ra",
        "ipv6-tempaddr",
        "link",
        "loopback",
        "static",
        "tunnel",
        "veth",
        "vlan",
        "vrf",
        "vxlan",
    ];
    for word in words(&entry.value, "use", diags).into_iter().filter(|w| !KNOWN.contains(&w.value)) {
        let message =
            format!("\"use {}\" has no effect here: only bond, bridge and dhcp have one", word.value);
        diags.push(Diagnostic::new(Code::NoEffect, word.at, message).severity(Severity::Warning));
    }
}

/// The effect of an `up` command.
fn take_effect(link: &mut Link, what: What, at: Place, diags: &mut Vec<Diagnostic>) {
    match what {
        What::Route(route) => link.routes.push(route),
        What::Address(net) => link.addresses.push(Address::new(net, at)),
        What::Remote(ip) => link.remotes.push(Located::new(ip, at)),
        What::Tuned(tuned) => {
            let features = tuned.features.into_iter();
            link.features.extend(features.map(|(feature, on)| (feature, Located::new(on, at))));
            link.wake_on_lan = tuned.wake_on_lan.map(|on| Located::new(on, at)).or(link.wake_on_lan);
            for (name, value) in tuned.parameters {
                if let Some(row) = attribute::parameter(name) {
                    link.tuning.set(row, value, at);
                }
            }
        }
        What::Mtu(mtu) => link.mtu = Some(Located::new(mtu, at)),
        What::Promiscuous(on) => link.promiscuous = Some(Located::new(on, at)),
        What::Mac(mac) => link.mac = Some(Located::new(DesiredMac::Is(mac), at)),
        What::Members(members) => {
            let named: HashSet<String> = link.members.iter().map(|member| member.value.clone()).collect();
            let members = members.into_iter().filter(|member| !named.contains(member));
            link.members.extend(members.map(|m| Located::new(m, at)));
        }
        What::Options(command) if command.kind != link.kind => {
            let noun = command.kind.noun();
            let message = format!("the command sets options of a {noun}, and \"{}\" is none", link.id);
            diags.push(Diagnostic::new(Code::CommandIgnored, at, message));
        }
        What::Make(command) | What::Options(command) => {
            link.parent = command.parent.map(|parent| Located::new(parent, at)).or(link.parent.take());
            link.peer = command.peer.map(|peer| Located::new(peer, at)).or(link.peer.take());
            link.mac = link.mac.or(command.mac.map(|mac| Located::new(DesiredMac::Is(mac), at)));
            link.mtu = link.mtu.or(command.mtu.map(|mtu| Located::new(mtu, at)));
            for (name, value) in command.settings {
                if let Some(row) = attribute::of(link.kind, name) {
                    link.settings.set(row, value, at);
                }
            }
        }
        What::Sysctl(key, value) => {
            let on = Some(Located::new(value > 0, at));
            match key {
                "ipv4/forwarding" => link.forwarding = on,
                "ipv6/forwarding" => link.ipv6.forwarding = on,
                "ipv6/accept_ra" => link.ipv6.accept_ra = on,
                "ipv6/autoconf" => link.ipv6.autoconf = on,
                "ipv6/use_tempaddr" => link.ipv6.privacy = on,
                "ipv6/mtu" => link.ipv6.mtu = Some(Located::new(value, at)),
                _ => {
                    let generation = match value {
                        0 => AddressGeneration::Eui64,
                        1 => AddressGeneration::None,
                        _ => AddressGeneration::Random,
                    };
                    link.ipv6.generation = Some(Located::new(generation, at));
                }
            }
        }
        What::Vlans { .. } | What::Rule(_) | What::Nothing => {}
    }
}

/// ifupdown brings up what `auto` and `allow-hotplug` name, and their parents; ifupdown-ng and ifupdown2 whatever those
/// need: links that commands have `made`, and by `needs` their VRFs and what `requires` names.
fn activate(
    desired: &mut Desired,
    wanted: &[LinkRef],
    (made, needs): (&HashSet<String>, &[(String, String)]),
    groups: &Groups,
    diags: &mut Vec<Diagnostic>,
) {
    // ifupdown accepts `/eth*` as a pattern; a file with hundreds of them is no description.
    let patterns: Vec<&str> = wanted.iter().filter_map(|w| w.value.strip_prefix('/')).take(100).collect();
    let mut up: HashSet<String> = wanted.iter().map(|w| base(&w.value).to_owned()).collect();
    for link in &desired.links {
        up.extend(link.members.iter().chain(&link.parent).map(|r| r.value.clone()));
    }
    up.extend(made.iter().cloned());
    let by_pattern = |link: &&Link| patterns.iter().any(|pattern| fits(pattern, &link.id));
    up.extend(desired.links.iter().filter(by_pattern).map(|link| link.id.clone()));
    let mut needed: HashMap<&str, Vec<&str>> = HashMap::default();
    for (link, other) in needs {
        needed.entry(link).or_default().push(other);
    }
    let mut next: Vec<String> = up.iter().cloned().collect();
    while let Some(link) = next.pop() {
        let others = needed.remove(link.as_str()).into_iter().flatten();
        next.extend(others.filter(|other| up.insert((*other).to_owned())).map(str::to_owned));
    }
    let there: HashSet<&str> = desired.links.iter().map(|l| l.id.as_str()).collect();
    for name in wanted.iter().filter(|w| !w.value.starts_with('/') && base(&w.value) != LOOPBACK) {
        let known_as = base(&name.value);
        let described = groups.1.contains_key(known_as) || groups.2.contains(known_as);
        if !there.contains(known_as) && !described {
            let message = format!("\"{}\" is to be brought up, but no iface stanza describes it", name.value);
            diags
                .push(Diagnostic::new(Code::DanglingReference, name.at, message).severity(Severity::Warning));
        }
    }
    up.insert(LOOPBACK.to_owned());
    for link in &mut desired.links {
        if !up.contains(&link.id) {
            link.activation = Activation::Manual;
            link.optional = true;
            let message =
                format!("no auto or allow-hotplug line names \"{0}\": it is not brought up", link.id);
            // Proxmox writes such a stanza for each unused NIC.
            let is_bare = link.kind == Kind::Physical
                && (link.addresses.is_empty() && link.routes.is_empty() && link.dynamic.is_empty());
            let severity = if is_bare { Severity::Note } else { Severity::Warning };
            diags.push(
                Diagnostic::new(Code::NotBroughtUp, link.at, message)
                    .severity(severity)
                    .hint(format!("add the line: auto {}", link.id)),
            );
        }
    }
}

/// `eth0` for the alias `eth0:1`.
fn base(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
