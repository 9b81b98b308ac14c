//! Debian interfaces text, interfaces(5): [`tree`] makes a tree of values of it, [`read`] reads that.
//!
//! What an interface is follows from the options of all its stanzas, and where it belongs from other interfaces'
//! stanzas, so stanzas are collected first. What they share with cloud-init v1 is in `debian`.

mod commands;
mod inherit;
mod lines;
mod stanza;
mod table;

use std::collections::{HashMap, HashSet};

use super::debian::{Draft, bond_setting, bridge_option, is_number, made, nic, port_option, vlan};
use super::keys::report;
use super::tree::{Entry, Node, Value};
use super::value::{number, set_option, words};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::{
    Activation, Address, Desired, Kind, Link, LinkRef, Located, Place, Settings, attribute, fits,
};
use commands::{Effect, What};
pub(super) use lines::tree;
use stanza::Stanza;
#[allow(unused_imports)] // docs and tests walk it
pub(super) use table::OBJECTS;
use table::{MEMBERS, TOP};

/// The interface that is always up and that everybody has.
const LOOPBACK: &str = "lo";

/// Reads what [`tree`] made.
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let Some((resolved, templates)) = inherit::resolve(root, diags) else {
        return stanzas(root, &HashSet::new(), diags);
    };
    let before = diags.len();
    let desired = stanzas(&resolved, &templates, diags);
    // What is wrong in a template is wrong in each that inherits it.
    let mut seen = HashSet::new();
    let rest = diags.split_off(before);
    diags.extend(rest.into_iter().filter(|d| seen.insert((d.at, d.message.clone()))));
    desired
}

/// Reads stanzas that have all their options. Nothing is made of the `templates`, unless a line of `auto` names them.
fn stanzas(root: &Node, templates: &HashSet<String>, diags: &mut Vec<Diagnostic>) -> Desired {
    let Value::Map(entries) = &root.value else { return Desired::default() };
    let mut wanted: Vec<LinkRef> = Vec::new();
    let mut groups: Groups = Groups::default();
    for entry in entries {
        let word = entry.key.split(' ').next().unwrap_or_default();
        diags.extend(outside(word, entry));
        match word {
            "auto" | "allow-auto" | "allow-hotplug" => wanted.extend(
                words(&entry.value, word, diags).into_iter().map(|w| Located::new(w.value.to_owned(), w.at)),
            ),
            "iface" => match Stanza::read(entry, diags) {
                Some(stanza) => groups.add(stanza),
                None => groups.left_out(&entry.key),
            },
            _ => {}
        }
    }
    groups.0.retain(|(name, _)| !templates.contains(name) || wanted.iter().any(|w| w.value == *name));
    let mut reader = Reader::default();
    for (name, stanzas) in &groups.0 {
        reader.link(name, stanzas, diags);
    }
    reader.finish(&wanted, &groups, diags)
}

/// The diagnostic for a line outside a stanza; nothing about `auto` and `iface`.
fn outside(word: &str, entry: &Entry) -> Option<Diagnostic> {
    if word.starts_with("allow-") && !TOP.keys.iter().any(|key| key.name == word) {
        let message = format!("\"{word}\" has no effect here: only ifup --allow brings these up");
        return Some(Diagnostic::new(Code::NoEffect, entry.key_at, message));
    }
    let diags = report(&TOP, word, entry.key_at)?;
    // What another file holds may be all there is, or nothing: netapply cannot know.
    Some(if word.starts_with("source") { diags.severity(Severity::Warning) } else { diags })
}

/// The stanzas of each interface, in the order of the text; where each is in that list; the interfaces of stanzas that
/// were left out. `eth0:1` belongs to `eth0`.
#[derive(Default)]
struct Groups<'a>(Vec<(String, Vec<Stanza<'a>>)>, HashMap<String, usize>, HashSet<String>);

impl<'a> Groups<'a> {
    /// Notes the interface of a stanza that cannot be used, by its header: why has been reported.
    fn left_out(&mut self, header: &str) {
        self.2.extend(header.split(' ').nth(1).map(|name| base(name).to_owned()));
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
    /// `bond-master`: the bond, the member, and bond options that are at the member.
    enslaved: Vec<(LinkRef, LinkRef, Settings)>,
    /// What commands ask for on other interfaces than their stanza's.
    effects: Vec<(LinkRef, What)>,
}

impl Reader {
    /// Makes the link of an interface from its stanzas.
    fn link(&mut self, name: &str, stanzas: &[Stanza], diags: &mut Vec<Diagnostic>) {
        let Some(first) = stanzas.first() else { return };
        let node = Node::scalar(name, first.at);
        let mut link = match kind(name, stanzas) {
            Kind::Physical => nic(name, first.at),
            kind => made(&node, kind, diags),
        };
        if link.kind == Kind::Vlan && !vlan_of(name, stanzas, &mut link, diags) {
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
                "bond-master" => {
                    diags.extend(report(&MEMBERS, &entry.key, entry.key_at));
                    let word = words(&entry.value, "bond-master", diags).into_iter().next();
                    *master = word.map(|w| Located::new(w.value.to_owned(), w.at));
                }
                key if key.starts_with("bond-") => {
                    let settings = if link.kind == Kind::Bond { &mut link.settings } else { &mut *at_member };
                    bond_setting(entry, settings, diags);
                }
                key if key.starts_with("bridge-") && link.kind == Kind::Bridge => {
                    bridge_option(entry, link, &mut self.draft, diags);
                }
                key if key.starts_with("bridge-") => diags.push(port_option(entry)),
                "requires" => requires(entry, stanza, link, diags),
                "use" => used(entry, diags),
                "up" | "post-up" | "pre-up" => self.command(stanza, entry, link, diags),
                _ => {}
            }
        }
    }

    /// Understands a command, or says that it is not executed.
    fn command(&mut self, stanza: &Stanza, entry: &Entry, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        let nodes = match &entry.value.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.value),
        };
        let words: Vec<&str> = nodes.iter().filter_map(Node::text).collect();
        let Some(effects) = commands::understand(&words, stanza.base(), entry.key_at) else {
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
                // Of a way that says nothing its subnet tells, see `format::check`.
                let own = dev.as_deref().unwrap_or(&link.id);
                for way in route.more.iter_mut().filter(|way| way.link.as_deref() == Some(own)) {
                    way.link = None;
                }
            }
            let dev = dev.filter(|dev| *dev != link.id);
            match (dev, what) {
                (_, What::Nothing) => {}
                (_, What::Rule(rule)) => self.draft.desired.rules.push(rule),
                (None, what) => take_effect(link, what, entry.key_at),
                (Some(dev), what) => self.effects.push((Located::new(dev, entry.key_at), what)),
            }
        }
    }

    /// Joins what is in different stanzas.
    fn finish(mut self, wanted: &[LinkRef], groups: &Groups, diags: &mut Vec<Diagnostic>) -> Desired {
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
                Some(link) => take_effect(link, what, dev.at),
                None => {
                    let message = format!("the command names \"{}\", which has no stanza", dev.value);
                    diags.push(Diagnostic::new(Code::DanglingReference, dev.at, message));
                }
            }
        }
        let mut desired = self.draft.finish(false, diags);
        activate(&mut desired, wanted, groups, diags);
        desired
    }
}

/// ifupdown2's and ifupdown-ng's options of a bridge that filters VLANs, which are at its ports, too.
const PORT_OPTIONS: &[&str] = &["bridge-access", "bridge-allow-untagged", "bridge-pvid", "bridge-vids"];

/// What an interface is. A member may repeat its bond's options beside `bond-master`.
fn kind(name: &str, stanzas: &[Stanza]) -> Kind {
    let has = |wanted: &dyn Fn(&str) -> bool| {
        stanzas.iter().any(|s| s.entries.iter().any(|entry| wanted(&entry.key)))
    };
    let uses = |what: &str| stanzas.iter().any(|stanza| stanza.uses(what));
    if has(&|key| key.starts_with("bridge-") && !PORT_OPTIONS.contains(&key)) || uses("bridge") {
        Kind::Bridge
    } else if has(&|key| key.starts_with("bond-") || key == "slaves") && !has(&|key| key == "bond-master")
        || uses("bond")
    {
        Kind::Bond
    } else if has(&|key| key == "vlan-raw-device" || key == "vlan-id") || dotted(name).is_some() {
        Kind::Vlan
    } else {
        Kind::Physical
    }
}

/// `eth0.100`: parent and VLAN id.
fn dotted(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(parent, id)| !parent.is_empty() && is_number(id))
}

/// Fills in parent and id of a VLAN. False, with a diagnostic, where one of them is nowhere.
fn vlan_of(name: &str, stanzas: &[Stanza], link: &mut Link, diags: &mut Vec<Diagnostic>) -> bool {
    let at = stanzas.first().map_or(Place::NONE, |s| s.at);
    let option = |key: &str| stanzas.iter().find_map(|s| s.get(key));
    let raw = option("vlan-raw-device").and_then(|n| words(n, "vlan-raw-device", diags).into_iter().next());
    let parent = raw.map(|w| Located::new(w.value.to_owned(), w.at));
    let parent = parent.or_else(|| dotted(name).map(|(parent, _)| Located::new(parent.to_owned(), at)));
    // `vlan100`, and with a raw device any name that ends in the number.
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let in_name = dotted(name).map(|(_, id)| id).or(name.get(digits..)).filter(|id| is_number(id));
    let in_name = in_name.map(|id| Node::scalar(id, at));
    let id = match option("vlan-id").or(in_name.as_ref()) {
        Some(node) => number(node, "vlan-id", 0..=4094, diags),
        None => {
            let message = format!("no VLAN id for \"{name}\", left out");
            diags.push(Diagnostic::new(Code::MissingKey, at, message).hint("add \"vlan-id\""));
            return false;
        }
    };
    if parent.is_none() {
        let message = format!("VLAN \"{name}\" has no parent link, left out");
        diags.push(Diagnostic::new(Code::MissingKey, at, message).hint("add \"vlan-raw-device\""));
    }
    let (Some(parent), Some(id)) = (parent, id) else { return false };
    vlan(link, parent, id);
    if let (Some(node), Some(row)) = (option("vlan-protocol"), attribute::of(Kind::Vlan, "protocol")) {
        set_option(&mut link.settings, row, node, "vlan-protocol", diags);
    }
    true
}

/// `bond-slaves eth0 eth1` or `none`.
fn members(entry: &Entry, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    diags.extend(report(&MEMBERS, &entry.key, entry.key_at));
    let words = words(&entry.value, &entry.key, diags).into_iter().filter(|w| w.value != "none");
    link.members.extend(words.map(|w| Located::new(w.value.to_owned(), w.at)));
}

/// `requires eth0 eth1` of ifupdown-ng: the members of a bond or bridge that does not name them otherwise.
fn requires(entry: &Entry, stanza: &Stanza, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let named = ["bond-members", "bond-slaves", "bond-ports", "bridge-ports"];
    if matches!(link.kind, Kind::Bond | Kind::Bridge) && named.iter().all(|key| stanza.get(key).is_none()) {
        let words = words(&entry.value, &entry.key, diags).into_iter();
        link.members.extend(words.map(|w| Located::new(w.value.to_owned(), w.at)));
    } else {
        let message = "\"requires\" has no effect here: netapply finds out itself what goes first";
        diags.push(Diagnostic::new(Code::NoEffect, entry.key_at, message));
    }
}

/// `use bond` of ifupdown-ng. Most of its words say what follows from the options anyway.
fn used(entry: &Entry, diags: &mut Vec<Diagnostic>) {
    const KNOWN: &[&str] =
        &["bond", "bridge", "dhcp", "ethtool", "ipv6-ra", "link", "loopback", "static", "vlan"];
    for word in words(&entry.value, "use", diags).into_iter().filter(|w| !KNOWN.contains(&w.value)) {
        let message =
            format!("\"use {}\" has no effect here: only bond, bridge and dhcp have one", word.value);
        diags.push(Diagnostic::new(Code::NoEffect, word.at, message).severity(Severity::Warning));
    }
}

/// What a command of `up` asks for.
fn take_effect(link: &mut Link, what: What, at: Place) {
    match what {
        What::Route(route) => link.routes.push(route),
        What::Address(net) => link.addresses.push(Address::new(net, at)),
        What::Mtu(mtu) => link.mtu = Some(Located::new(mtu, at)),
        What::Members(members) => link.members.extend(members.into_iter().map(|m| Located::new(m, at))),
        What::Rule(_) | What::Nothing => {}
    }
}

/// ifupdown brings up what `auto` and `allow-hotplug` name, and what those are on.
fn activate(desired: &mut Desired, wanted: &[LinkRef], groups: &Groups, diags: &mut Vec<Diagnostic>) {
    // ifupdown takes `/eth*` as a pattern; a text with hundreds of them is no description.
    let patterns: Vec<&str> = wanted.iter().filter_map(|w| w.value.strip_prefix('/')).take(100).collect();
    let mut up: HashSet<String> = wanted.iter().map(|w| base(&w.value).to_owned()).collect();
    for link in &desired.links {
        up.extend(link.members.iter().chain(&link.parent).map(|r| r.value.clone()));
    }
    let there: HashSet<&str> = desired.links.iter().map(|l| l.id.as_str()).collect();
    for name in wanted.iter().filter(|w| !w.value.starts_with('/') && base(&w.value) != LOOPBACK) {
        let known_as = base(&name.value);
        let described = groups.1.contains_key(known_as) || groups.2.contains(known_as);
        if !there.contains(known_as) && !described {
            let message = format!("\"{}\" is to be brought up, and no iface stanza describes it", name.value);
            diags
                .push(Diagnostic::new(Code::DanglingReference, name.at, message).severity(Severity::Warning));
        }
    }
    up.insert(LOOPBACK.to_owned());
    for link in &mut desired.links {
        if !up.contains(&link.id) && !patterns.iter().any(|p| fits(p, &link.id)) {
            link.activation = Activation::Manual;
            link.optional = true;
            let message =
                format!("no auto or allow-hotplug line names \"{0}\": it is not brought up", link.id);
            diags.push(
                Diagnostic::new(Code::NotBroughtUp, link.at, message)
                    .hint(format!("add the line: auto {}", link.id)),
            );
        }
    }
}

/// `eth0` for the alias `eth0:1`.
fn base(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
