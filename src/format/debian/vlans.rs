//! Bridges with VLAN filtering, with ifupdown2's meaning of their options (`addons/bridge.py`): `bridge-vids` and
//! `bridge-pvid` of the bridge apply to ports that have none of their own, `bridge-access` puts a port into one VLAN,
//! and without `bridge-pvid` untagged frames belong to VLAN 1. The VLANs of the bridge itself are set in
//! [`crate::format::check`].

use std::collections::BTreeMap;

use foldhash::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::Node;
use crate::format::value::{bad, boolean, words};
use crate::model::attribute::{self, OptionValue};
use crate::model::{Kind, Link, Located, Place, PortVlan};
use crate::order::Order as _;

/// The VLAN of untagged frames by default.
const DEFAULT: u16 = 1;

/// The VLAN options of a bridge or port.
#[derive(Debug, Default)]
pub(super) struct VlanOptions {
    aware: Option<bool>,
    vids: Option<Vec<(u16, u16)>>,
    pvid: Option<u16>,
    access: Option<u16>,
    untagged: Option<bool>,
    /// What `bridge vlan add` and `del` change, in order; whether they add.
    commands: Vec<(Located<PortVlan>, bool)>,
    at: Option<Place>,
}

impl VlanOptions {
    /// Whether it is one of these options, by its name with underscores.
    pub(super) fn knows(name: &str) -> bool {
        ["vlan_aware", "vids", "trunk", "pvid", "access", "allow_untagged"]
            .iter()
            .any(|own| name.strip_prefix("bridge_") == Some(own))
    }

    /// Records a command that adds or removes VLANs.
    pub(super) fn command(&mut self, vlan: PortVlan, adds: bool, at: Place) {
        self.commands.push((Located::new(vlan, at), adds));
        self.at.get_or_insert(at);
    }

    /// Reads one option, by its name with underscores.
    pub(super) fn read(&mut self, name: &str, key: &str, node: &Node, diags: &mut Vec<Diagnostic>) {
        let at = node.at;
        let vid = |diags: &mut Vec<Diagnostic>| ranges(key, node, diags).first().map(|(first, _)| *first);
        match name {
            "bridge_vlan_aware" => self.aware = boolean(node, key, diags).map(|on| on.value),
            "bridge_vids" | "bridge_trunk" => self.vids = Some(ranges(key, node, diags)),
            "bridge_pvid" => self.pvid = vid(diags),
            "bridge_access" => self.access = vid(diags),
            _ => self.untagged = boolean(node, key, diags).map(|on| on.value),
        }
        self.at.get_or_insert(at);
    }

    /// The table of a port, with the bridge's options for ports.
    fn table(&self, bridge: &VlanOptions, at: Place) -> Vec<Located<PortVlan>> {
        let mut vids = BTreeMap::new();
        let untagged = match self.access {
            Some(access) => Some(access),
            None => {
                let tagged = self.vids.as_ref().or(bridge.vids.as_ref()).into_iter().flatten();
                vids.extend(tagged.flat_map(|(first, last)| *first..=*last).map(|vid| (vid, false)));
                let pvid = self.pvid.or(bridge.pvid).unwrap_or(DEFAULT);
                self.untagged.unwrap_or(true).then_some(pvid)
            }
        };
        vids.extend(untagged.map(|vid| (vid, true)));
        after(table(&vids, at), &self.commands)
    }
}

/// A table after commands: an added VLAN replaces one with the same id, and only one is the pvid (`__vlan_add_flags`).
fn after(table: Vec<Located<PortVlan>>, commands: &[(Located<PortVlan>, bool)]) -> Vec<Located<PortVlan>> {
    if commands.is_empty() {
        return table;
    }
    let mut entries: BTreeMap<u16, Located<PortVlan>> = BTreeMap::new();
    let added = table.into_iter().map(|vlan| (vlan, true));
    for (vlan, adds) in added.chain(commands.iter().copied()) {
        if adds && vlan.value.pvid {
            entries.values_mut().for_each(|entry| entry.value.pvid = false);
        }
        for vid in vlan.value.first..=vlan.value.last {
            let one = PortVlan { first: vid, last: vid, ..vlan.value };
            match adds {
                true => drop(entries.insert(vid, Located::new(one, vlan.at))),
                false => drop(entries.remove(&vid)),
            }
        }
    }
    let mut ranges: Vec<Located<PortVlan>> = Vec::new();
    for entry in entries.into_values() {
        let one = entry.value;
        let grows = ranges.last_mut().filter(|range| {
            let last = range.value;
            range.at == entry.at
                && last.last + 1 == one.first
                && !last.pvid
                && !one.pvid
                && last.untagged == one.untagged
        });
        match grows {
            Some(range) => range.value.last = one.last,
            None => ranges.push(entry),
        }
    }
    ranges
}

/// VLANs in order, the untagged one marked, as ranges.
pub(in crate::format) fn table(vids: &BTreeMap<u16, bool>, at: Place) -> Vec<Located<PortVlan>> {
    let mut table: Vec<Located<PortVlan>> = Vec::new();
    for (vid, untagged) in vids {
        let grows = table.last_mut().filter(|last| {
            let last = last.value;
            !untagged && !last.untagged && last.last + 1 == *vid
        });
        match grows {
            Some(last) => last.value.last = *vid,
            None => {
                let one = PortVlan { first: *vid, last: *vid, pvid: *untagged, untagged: *untagged };
                table.push(Located::new(one, at));
            }
        }
    }
    table
}

/// `2000 2200-3000`, ids from 1 to 4094.
fn ranges(key: &str, node: &Node, diags: &mut Vec<Diagnostic>) -> Vec<(u16, u16)> {
    let id = |text: &str| text.parse::<u16>().ok().filter(|id| (1..=4094).contains(id));
    let mut ranges = Vec::new();
    let words = words(node, key, diags);
    // ifupdown2 takes commas, too.
    let words = words.iter().flat_map(|word| word.value.split(',').map(|part| (part, word.at)));
    for (word, at) in words.filter(|(word, _)| !word.is_empty()) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        match (id(first), id(last)) {
            (Some(first), Some(last)) if first <= last => ranges.push((first, last)),
            _ => {
                let one = Node::scalar(word, at);
                diags.push(bad(
                    Code::BadValue,
                    &one,
                    key,
                    "expected VLAN ids from 1 to 4094, such as 2 or 10-20",
                ));
            }
        }
    }
    ranges
}

/// Sets the tables of bridges with VLAN filtering and of their ports; reports options that have no effect on others.
pub(super) fn tables(
    links: &mut [Link],
    mut options: HashMap<String, VlanOptions>,
    diags: &mut Vec<Diagnostic>,
) {
    if options.is_empty() {
        return;
    }
    let index: HashMap<String, usize> = links.iter().enumerate().map(|(i, l)| (l.id.clone(), i)).collect();
    let bridges: Vec<usize> = (0..links.len()).filter(|i| is_bridge(links, *i)).collect();
    for bridge in bridges {
        let Some((id, members)) = links.get(bridge).map(|l| (l.id.clone(), l.members.clone())) else {
            continue;
        };
        let own = options.remove(&id).unwrap_or_default();
        let at = own.at.unwrap_or(Place::NONE);
        if let (Some(aware), Some(link)) = (own.aware, links.get_mut(bridge)) {
            set(link, "vlan_filtering", OptionValue::Bool(aware), at);
        }
        // A command may have turned it on.
        let filters = links.get(bridge).and_then(|link| link.settings.get("vlan_filtering"));
        if filters != Some(&OptionValue::Bool(true)) {
            default_pvid(links.get_mut(bridge), &own, at);
            continue;
        }
        if let Some(link) = links.get_mut(bridge).filter(|_| !own.commands.is_empty()) {
            let default = Located::new(PortVlan::untagged(DEFAULT), link.at);
            link.vlans = Some(after(vec![default], &own.commands));
        }
        for member in &members {
            let of_port = options.remove(&member.value).unwrap_or_default();
            let table = of_port.table(&own, of_port.at.unwrap_or(at));
            if let Some(port) = index.get(&member.value).and_then(|i| links.get_mut(*i)) {
                port.vlans = Some(table);
            }
        }
    }
    let mut left: Vec<(String, VlanOptions)> = options.into_iter().collect();
    left.order_by(|(a, _), (b, _)| a.cmp(b));
    for (id, option) in left {
        let message = format!(
            "the VLANs of \"{id}\" have no effect: it is not a port of a bridge that filters VLANs (bridge-vlan-aware)"
        );
        diags.push(Diagnostic::new(Code::OptionIgnored, option.at.unwrap_or(Place::NONE), message));
    }
}

fn is_bridge(links: &[Link], index: usize) -> bool {
    links.get(index).is_some_and(|link| link.kind == Kind::Bridge)
}

/// A bridge without filtering has the VLAN of untagged frames as an option.
fn default_pvid(bridge: Option<&mut Link>, options: &VlanOptions, at: Place) {
    if let (Some(bridge), Some(pvid)) = (bridge, options.pvid) {
        set(bridge, "vlan_default_pvid", OptionValue::Number(pvid.into()), at);
    }
}

fn set(bridge: &mut Link, name: &str, value: OptionValue, at: Place) {
    if let Some(row) = attribute::of(Kind::Bridge, name) {
        bridge.settings.set(row, value, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &[Located<PortVlan>]) -> String {
        let one = |v: &Located<PortVlan>| {
            let v = v.value;
            let range =
                if v.first == v.last { v.first.to_string() } else { format!("{}-{}", v.first, v.last) };
            range + if v.pvid { "u" } else { "" }
        };
        table.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The tables that ifupdown2's own tests expect of `bridge vlan show` (tests/eni/bridge2 to bridge4).
    #[test]
    fn ports_have_the_vlans_of_ifupdown2() {
        let bridge = |pvid, vids: &[(u16, u16)]| VlanOptions {
            aware: Some(true),
            pvid,
            vids: Some(vids.to_vec()),
            ..Default::default()
        };
        let port = VlanOptions::default;
        let of = |port: VlanOptions, bridge: &VlanOptions| shown(&port.table(bridge, Place::NONE));
        let two = bridge(Some(2), &[(1, 20)]);
        assert_eq!(of(port(), &two), "1 2u 3-20");
        assert_eq!(of(VlanOptions { access: Some(100), ..port() }, &two), "100u");
        assert_eq!(of(VlanOptions { vids: Some(vec![(200, 200)]), ..port() }, &two), "2u 200");
        assert_eq!(of(VlanOptions { pvid: Some(4), ..port() }, &two), "1-3 4u 5-20");
        assert_eq!(of(VlanOptions { untagged: Some(false), ..port() }, &two), "1-20");
        assert_eq!(of(port(), &bridge(None, &[(2, 4094)])), "1u 2-4094");
    }
}
