//! Names of made links, renames, and which existing link a made one already is.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::inventory::{Inventory, ObservedLink};
use crate::model::attribute::{self, Form, Value};
use crate::model::{Kind, Link, Naming};

use super::ResolvedLink;

/// Gives each link its name, and finds what already exists.
pub(super) fn give(links: &mut [ResolvedLink], inventory: &Inventory, diags: &mut Vec<Diagnostic>) {
    let mut used: HashSet<String> = HashSet::new();
    for link in links.iter_mut() {
        if let Naming::Set(name) = &link.desired.naming {
            link.name = name.value.to_string();
        }
        used.insert(link.name.clone());
    }
    kept_by_nics(links, inventory, diags);
    alternative_names(links, inventory);
    // Foundations first: a VLAN's name has its parent's in it.
    for _ in 0..links.len() {
        let Some(next) = links.iter().position(|l| l.name.is_empty() && parent_is_named(l, links)) else {
            break;
        };
        let parent = links.get(next).and_then(|l| name_of_parent(l, links));
        let Some(link) = links.get_mut(next) else { break };
        link.name = generate(&link.desired, parent.as_deref(), &used, inventory);
        used.insert(link.name.clone());
    }
    existing(links, inventory);
}

/// A requested name becomes an alternative name if no link has it.
fn alternative_names(links: &mut [ResolvedLink], inventory: &Inventory) {
    let names: HashSet<String> = links.iter().map(|l| l.name.clone()).collect();
    for link in links.iter_mut() {
        let Naming::Alternative(name) = &link.desired.naming else { continue };
        let name = name.value.as_str();
        let taken = names.contains(name) || inventory.called(name).is_some();
        link.altname = (!taken || (link.stand_in && link.name != name)).then(|| name.to_owned());
    }
}

fn name_of_parent(link: &ResolvedLink, links: &[ResolvedLink]) -> Option<String> {
    let parent = &link.desired.parent.as_ref()?.value;
    links.iter().find(|l| l.desired.id == *parent).map(|l| l.name.clone())
}

fn parent_is_named(link: &ResolvedLink, links: &[ResolvedLink]) -> bool {
    name_of_parent(link, links).is_none_or(|name| !name.is_empty())
}

/// `<parent>.<vid>`, `bond0`, `br0`: the same at every run, whatever exists, unless something else has the name.
fn generate(link: &Link, parent: Option<&str>, used: &HashSet<String>, inventory: &Inventory) -> String {
    let free = |name: &String| {
        let foreign = inventory.link(name).is_some_and(|l| !l.kind.is(link.kind));
        name.len() <= 15 && !used.contains(name) && !foreign
    };
    if let (Kind::Vlan, Some(parent), Some(id)) = (link.kind, parent, link.settings.number("id")) {
        let by_parent = [format!("{parent}.{id}"), format!("vlan{id}")].into_iter().find(free);
        if let Some(name) = by_parent {
            return name;
        }
    }
    let stem = match link.kind {
        Kind::Bridge => "br",
        Kind::Physical => "nic",
        other => other.word(),
    };
    (0..).map(|n: u32| format!("{stem}{n}")).find(free).unwrap_or_default()
}

/// A made link that exists under its name, or a VLAN that exists under another: the kernel has one VLAN of an id on a
/// link.
fn existing(links: &mut [ResolvedLink], inventory: &Inventory) {
    let parents: Vec<Option<String>> = links
        .iter()
        .map(|l| {
            let parent = &l.desired.parent.as_ref()?.value;
            links
                .iter()
                .find(|p| p.desired.id == *parent)?
                .current
                .clone()
                .or_else(|| name_of_parent(l, links))
        })
        .collect();
    let there: HashMap<&str, &ObservedLink> = inventory.links.iter().map(|l| (l.name.as_str(), l)).collect();
    for (link, parent) in links.iter_mut().zip(parents) {
        let kind = link.desired.kind;
        if kind == Kind::Physical {
            continue;
        }
        let same_kind = |l: &&ObservedLink| l.kind.is(kind);
        let named = there.get(link.name.as_str()).copied();
        let twin = || {
            let id = link.desired.settings.number("id")?;
            let is_twin =
                |l: &&ObservedLink| l.parent == parent && l.settings.get("id") == Some(&Value::Number(id));
            inventory.links.iter().filter(|l| kind == Kind::Vlan && same_kind(l)).find(is_twin)
        };
        link.current = named.filter(same_kind).or_else(twin).map(|l| l.name.clone());
    }
}

/// A name that a NIC of the machine keeps is not free.
fn kept_by_nics(links: &mut [ResolvedLink], inventory: &Inventory, diags: &mut Vec<Diagnostic>) {
    let leaving: HashSet<String> = links
        .iter()
        .filter(|l| l.current.as_ref() != Some(&l.name))
        .filter_map(|l| l.current.clone())
        .collect();
    let used: HashSet<String> = links.iter().map(|l| l.name.clone()).collect();
    let described: HashSet<String> = links.iter().filter_map(|l| l.current.clone()).collect();
    for link in links.iter_mut() {
        let Naming::Set(name) = &link.desired.naming else { continue };
        let holder =
            inventory.link(&link.name).filter(|l| l.kind.is_hardware() && !leaving.contains(&l.name));
        let Some(holder) = holder.filter(|h| link.current.as_ref() != Some(&h.name)) else { continue };
        // A stand-in is a NIC of another machine: the names that NICs have here need not be taken there.
        if link.stand_in && !described.contains(&holder.name) {
            continue;
        }
        let old = link.name.clone();
        link.name = match &link.current {
            Some(current) if link.desired.kind == Kind::Physical => current.clone(),
            _ => generate(&link.desired, None, &used, inventory),
        };
        let noun = link.desired.kind.noun();
        let message = format!(
            "{noun} \"{}\" cannot be called {old}: the NIC {} is; it is {} instead",
            link.desired.id, holder.name, link.name
        );
        diags.push(Diagnostic::new(Code::DuplicateName, name.at, message).hint("give it another name"));
        link.desired.naming = Naming::Keep;
    }
}

/// Options that are links get those links' names in place of their ids.
pub(super) fn settings_by_name(link: &mut Link, name_of: &impl Fn(&str) -> Option<String>) {
    let kind = link.kind;
    for (option, setting) in &mut link.settings.0 {
        let is_link = attribute::of(kind, option).is_some_and(|a| a.form == Form::Link);
        if let (true, Value::Text(id)) = (is_link, &mut setting.value) {
            if let Some(name) = name_of(id) {
                *id = name;
            }
        }
    }
}
