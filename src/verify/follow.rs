//! Links whose names change during verification: a NIC is the one that was matched, by its index and MAC address,
//! whatever its name. Pure.

use foldhash::{HashMap, HashSet};

use super::input::DesiredLink;
use super::lookups::View;
use crate::kernel::live::LinkState;
use crate::model::Kind;

/// Gives NICs their described names, in `links` and wherever others refer to them. `followed` keeps the index that each
/// had when first seen.
pub(super) fn names(index: &View<'_>, followed: &mut HashMap<u32, String>, links: &mut [LinkState]) {
    let there: HashSet<u32> = links.iter().map(|link| link.index).collect();
    followed.retain(|index, _| there.contains(index));
    let known: HashSet<String> = followed.values().cloned().collect();
    for desired in index.links.iter().filter(|l| l.kind == Kind::Physical && !l.missing) {
        if known.contains(&desired.name) {
            continue;
        }
        if let Some(link) = matched(desired, links) {
            followed.entry(link.index).or_insert_with(|| desired.name.clone());
        }
    }
    let described: HashSet<&String> = followed.values().collect();
    let mut renamed: HashMap<String, String> = HashMap::default();
    for link in links.iter_mut() {
        let name = match followed.get(&link.index) {
            Some(name) if *name != link.name => name.clone(),
            // Another link now has the name of a described one.
            None if described.contains(&link.name) => format!("{} (index {})", link.name, link.index),
            _ => continue,
        };
        let called = std::mem::replace(&mut link.name, name.clone());
        renamed.insert(called.clone(), name);
        link.renamed = Some(called);
    }
    if renamed.is_empty() {
        return;
    }
    let rename = |name: &mut Option<String>| {
        if let Some(new) = name.as_ref().and_then(|name| renamed.get(name)) {
            *name = Some(new.clone());
        }
    };
    for link in links {
        rename(&mut link.controller);
        rename(&mut link.parent);
        if let Some(bond) = &mut link.bond {
            rename(&mut bond.active);
        }
    }
}

/// The described NIC: the one with its name, unless its MAC address differs and another NIC has the right one.
fn matched<'l>(desired: &DesiredLink, links: &'l [LinkState]) -> Option<&'l LinkState> {
    let is_its = |link: &&LinkState| {
        let nic = link.kind.is_hardware() || link.kind.is(Kind::Veth);
        // A bond gives its members its own address.
        let mac = link.permanent_mac.or(link.mac.filter(|_| link.controller.is_none()));
        nic && !link.loopback && desired.mac.is_some() && mac == desired.mac
    };
    let named = links.iter().find(|link| link.name == desired.name);
    named.filter(is_its).or_else(|| links.iter().find(is_its)).or(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture::{nic, two_links};

    fn called(links: &[LinkState]) -> Vec<(u32, &str, Option<&str>)> {
        links.iter().map(|link| (link.index, link.name.as_str(), link.renamed.as_deref())).collect()
    }

    #[test]
    fn names_that_are_swapped_or_taken_change_nothing() {
        let input = two_links();
        let (index, mut followed) = (View::new(&input), HashMap::default());
        let link = |index, name| {
            nic(index, name, if index == 2 { "02:00:00:00:00:02" } else { "02:00:00:00:00:03" })
        };
        let mut links = [link(2, "eth0"), link(3, "eth1")];
        names(&index, &mut followed, &mut links);
        assert_eq!(called(&links), [(2, "eth0", None), (3, "eth1", None)]);
        let mut links = [link(2, "eth1"), link(3, "eth0")];
        names(&index, &mut followed, &mut links);
        assert_eq!(called(&links), [(2, "eth0", Some("eth1")), (3, "eth1", Some("eth0"))]);
        let mut links = [link(2, "wan"), link(3, "eth1"), nic(7, "eth0", "02:00:00:00:00:07")];
        links[1].controller = Some("wan".into());
        names(&index, &mut followed, &mut links);
        let expected = [(2, "eth0", Some("wan")), (3, "eth1", None), (7, "eth0 (index 7)", Some("eth0"))];
        assert_eq!(called(&links), expected);
        assert_eq!(links[1].controller.as_deref(), Some("eth0"));
        // It has another name when first seen: the rename was refused.
        let mut links = [link(2, "enp1s0"), link(3, "eth1")];
        names(&index, &mut HashMap::default(), &mut links);
        assert_eq!(called(&links), [(2, "eth0", Some("enp1s0")), (3, "eth1", None)]);
    }
}
