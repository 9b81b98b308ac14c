//! The VLANs of a bridge itself if it filters them.

use foldhash::HashMap;

use crate::model::attribute::OptionValue;
use crate::model::{Desired, Kind, Located, PortVlan};
use crate::order::Order as _;

/// The kernel's `vlan_default_pvid`.
const DEFAULT: u16 = 1;

/// A bridge with VLAN filtering passes none to the VLANs on top of it unless it is in them itself, like a port: it is
/// added to theirs, in addition to the kernel's default (ifupdown2, `addons/vlan.py`).
pub(super) fn of_bridges(desired: &mut Desired) {
    let mut on: HashMap<String, Vec<Located<u16>>> = HashMap::default();
    for vlan in desired.links.iter().filter(|link| link.kind == Kind::Vlan) {
        let id = vlan.settings.number("id").and_then(|id| u16::try_from(id).ok());
        if let (Some(parent), Some(id)) = (&vlan.parent, id) {
            on.entry(parent.value.clone()).or_default().push(Located::new(id, vlan.at));
        }
    }
    let filters = |link: &&mut crate::model::Link| {
        link.kind == Kind::Bridge && link.settings.get("vlan_filtering") == Some(&OptionValue::Bool(true))
    };
    for bridge in desired.links.iter_mut().filter(filters) {
        let default = bridge.settings.number("vlan_default_pvid").and_then(|id| u16::try_from(id).ok());
        let default = default.unwrap_or(DEFAULT);
        let tagged = on.remove(&bridge.id).unwrap_or_default();
        // A VLAN link with this id on the bridge receives it: its frames are tagged.
        let is_free = default != 0 && tagged.iter().all(|vid| vid.value != default);
        let own = match bridge.vlans.take() {
            Some(described) => described,
            None => {
                is_free.then(|| Located::new(PortVlan::untagged(default), bridge.at)).into_iter().collect()
            }
        };
        let has = |vid: u16| own.iter().any(|vlan| (vlan.value.first..=vlan.value.last).contains(&vid));
        let tagged: Vec<Located<u16>> = tagged.into_iter().filter(|vid| !has(vid.value)).collect();
        let tagged = tagged.into_iter().map(|vid| {
            let vlan = PortVlan { first: vid.value, last: vid.value, pvid: false, untagged: false };
            Located::new(vlan, vid.at)
        });
        let mut vlans: Vec<Located<PortVlan>> = own.into_iter().chain(tagged).collect();
        vlans.order_by_key(|vlan| vlan.value);
        vlans.dedup_by_key(|vlan| vlan.value);
        bridge.vlans = Some(vlans);
    }
}
