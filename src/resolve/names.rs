//! Names of software links, renames, and which existing link a described one already is.

use foldhash::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::inventory::{Inventory, ObservedLink};
use crate::model::attribute::{self, Form, OptionValue};
use crate::model::{Kind, Link, Naming};

use super::ResolvedLink;

/// Gives each link its name, and finds what already exists.
pub(super) fn give(links: &mut [ResolvedLink], inventory: &Inventory, diags: &mut Vec<Diagnostic>) {
    let mut used: HashSet<String> = HashSet::default();
    for link in links.iter_mut() {
        if let Naming::Set(name) = &link.desired.naming {
            link.name = name.value.to_string();
        }
        used.insert(link.name.clone());
    }
    kept_by_others(links, inventory, diags);
    alternative_names(links, inventory);
    generate_all(links, &mut used, inventory);
    existing(links, inventory);
}

/// Names the remaining links, parents first: a VLAN's name contains its parent's.
fn generate_all(links: &mut [ResolvedLink], used: &mut HashSet<String>, inventory: &Inventory) {
    let mut names: HashMap<String, String> = HashMap::default();
    for link in links.iter().rev() {
        names.insert(link.desired.id.clone(), link.name.clone());
    }
    loop {
        let before = used.len();
        let mut waiting = false;
        for link in links.iter_mut().filter(|link| link.name.is_empty()) {
            let parent = link.desired.parent.as_ref().and_then(|parent| names.get(&parent.value)).cloned();
            if parent.as_deref() == Some("") {
                waiting = true;
                continue;
            }
            link.name = generate(&link.desired, parent.as_deref(), used, inventory);
            used.insert(link.name.clone());
            names.insert(link.desired.id.clone(), link.name.clone());
        }
        if !waiting || used.len() == before {
            return;
        }
    }
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

/// `<parent>.<vid>`, `bond0`, `br0`: the same in every run, whatever exists, unless another link has the name.
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

/// The default port of a VXLAN (drivers/net/vxlan, `vxlan_port`).
const VXLAN_PORT: i64 = 8472;

/// An existing software link with the name, or a VLAN or VXLAN under another name: the kernel has one VLAN per id and
/// tag protocol on a link, and refuses a second VXLAN with the same id and port.
fn existing(links: &mut [ResolvedLink], inventory: &Inventory) {
    let mut by_link: HashMap<&str, &ResolvedLink> = HashMap::default();
    for link in links.iter().rev() {
        by_link.insert(&link.desired.id, link);
    }
    let parents: Vec<Option<String>> = links
        .iter()
        .map(|l| {
            let parent = by_link.get(l.desired.parent.as_ref()?.value.as_str())?;
            Some(parent.current.clone().unwrap_or_else(|| parent.name.clone()))
        })
        .collect();
    let there: HashMap<&str, &ObservedLink> = inventory.links.iter().map(|l| (l.name.as_str(), l)).collect();
    let mut by_id: HashMap<(Option<&str>, i64), Vec<&ObservedLink>> = HashMap::default();
    for link in &inventory.links {
        if let Some(OptionValue::Number(id)) = link.settings.get("id") {
            by_id.entry((link.parent.as_deref(), *id)).or_default().push(link);
        }
    }
    for (link, parent) in links.iter_mut().zip(parents) {
        let kind = link.desired.kind;
        if kind == Kind::Physical {
            continue;
        }
        let same_kind = |l: &&ObservedLink| l.kind.is(kind);
        let named = there.get(link.name.as_str()).copied();
        let twin = || {
            let id =
                link.desired.settings.number("id").filter(|_| matches!(kind, Kind::Vlan | Kind::Vxlan))?;
            let tag = link.desired.settings.word("protocol").unwrap_or("802.1Q");
            let port = link.desired.settings.number("dstport").unwrap_or(VXLAN_PORT);
            let is_twin = |l: &&&ObservedLink| {
                let same_tag = match (l.settings.get("protocol"), l.settings.get("dstport")) {
                    (Some(OptionValue::Text(word)), _) if kind == Kind::Vlan => word == tag,
                    (_, Some(OptionValue::Number(there))) => *there == port,
                    _ => true,
                };
                same_kind(l) && same_tag
            };
            by_id.get(&(parent.as_deref(), id))?.iter().find(is_twin).copied()
        };
        link.current = named.filter(same_kind).or_else(twin).map(|l| l.name.clone());
    }
}

/// A name, or an alternative one, that a link of the machine keeps is not free: a NIC keeps its name, a software link
/// is named by its kind. A software link may replace another with the same name.
fn kept_by_others(links: &mut [ResolvedLink], inventory: &Inventory, diags: &mut Vec<Diagnostic>) {
    let leaving: HashSet<String> = links
        .iter()
        .filter(|l| l.current.as_ref() != Some(&l.name))
        .filter_map(|l| l.current.clone())
        .collect();
    let mut holders: HashMap<&str, &ObservedLink> = HashMap::default();
    for link in &inventory.links {
        let names = link.altnames.iter().chain(Some(&link.name).filter(|name| !leaving.contains(*name)));
        holders.extend(names.map(|name| (name.as_str(), link)));
    }
    let used: HashSet<String> = links.iter().map(|l| l.name.clone()).collect();
    let described: HashSet<String> = links.iter().filter_map(|l| l.current.clone()).collect();
    for link in links.iter_mut() {
        let Naming::Set(name) = &link.desired.naming else { continue };
        let physical = link.desired.kind == Kind::Physical;
        let Some(holder) = holders.get(link.name.as_str()) else { continue };
        // A described veth is a NIC to `is_nic`, and exists on a second run.
        let own = holder.kind.is(link.desired.kind) || !holder.is_nic();
        let replaced = !physical && own && holder.name == link.name;
        // A stand-in is a NIC of another machine: names of this machine's NICs may be free there.
        let elsewhere = link.stand_in && !described.contains(&holder.name);
        if link.current.as_ref() == Some(&holder.name) || replaced || elsewhere {
            continue;
        }
        let old = link.name.clone();
        link.name = match &link.current {
            Some(current) if physical => current.clone(),
            _ => generate(&link.desired, None, &used, inventory),
        };
        let noun = link.desired.kind.noun();
        let what = if holder.is_nic() { "NIC" } else { "link" };
        let message = format!(
            "{noun} \"{}\" cannot be called {old}: the {what} {} has that name; it is called {} instead",
            link.desired.id, holder.name, link.name
        );
        diags.push(Diagnostic::new(Code::DuplicateName, name.at, message).hint("give it another name"));
        link.desired.naming = Naming::Keep;
    }
}

/// Replaces ids by names in options that are links.
pub(super) fn settings_by_name(link: &mut Link, name_of: &impl Fn(&str) -> Option<String>) {
    let kind = link.kind;
    for (option, setting) in &mut link.settings.0 {
        let is_link = attribute::of(kind, option).is_some_and(|a| a.form == Form::Link);
        if let (true, OptionValue::Text(id)) = (is_link, &mut setting.value) {
            if let Some(name) = name_of(id) {
                *id = name;
            }
        }
    }
}
