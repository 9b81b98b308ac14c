//! The VLANs of a bridge with VLAN filtering: those of its ports, and of the bridge itself.

use super::Planner;
use super::step::{Action, LinkChange};
use crate::inventory::ObservedLink;
use crate::model::attribute::OptionValue;
use crate::model::{Located, Place, PortVlan};
use crate::order::Order as _;
use crate::resolve::ResolvedLink;

/// The bridge's option for the initial VLAN of a new port and of the bridge itself.
pub(super) const DEFAULT_PVID: &str = "vlan_default_pvid";

/// The initial VLAN of a port that joins a bridge, and of the bridge itself (`nbp_vlan_init`, `br_vlan_init`), by the
/// bridge's option.
pub(super) fn default_vlans(pvid: Option<&OptionValue>) -> Vec<PortVlan> {
    match pvid {
        Some(OptionValue::Number(0)) => Vec::new(),
        Some(OptionValue::Number(pvid)) => u16::try_from(*pvid).map(PortVlan::untagged).into_iter().collect(),
        _ => vec![PortVlan::untagged(1)],
    }
}

/// One VLAN of a table: pvid, untagged; `None` is absent.
type Entry = Option<(bool, bool)>;

/// The VLANs of one link, by id.
pub(super) struct Table(Vec<Entry>);

impl Table {
    /// If a bridge's or port's table was not read, the kernel's default is assumed.
    pub(super) fn of(link: &ObservedLink) -> Self {
        match &link.vlans {
            Some(vlans) => Table::from_entries(vlans.iter()),
            None => Table::from_entries(default_vlans(None).iter()),
        }
    }

    fn from_entries<'a>(vlans: impl Iterator<Item = &'a PortVlan>) -> Self {
        vlans.fold(Table(vec![None; 4096]), |table, vlan| table.with(*vlan))
    }

    fn ids(&mut self, vlan: PortVlan) -> impl Iterator<Item = &mut Entry> {
        let count = usize::from(vlan.last.saturating_sub(vlan.first)) + 1;
        self.0.iter_mut().skip(vlan.first.into()).take(count)
    }

    /// Replaces an existing entry; only one entry is the pvid (`__vlan_add_flags`).
    pub(super) fn with(mut self, vlan: PortVlan) -> Self {
        if vlan.pvid {
            self.0.iter_mut().flatten().for_each(|(pvid, _)| *pvid = false);
        }
        self.ids(vlan).for_each(|entry| *entry = Some((vlan.pvid, vlan.untagged)));
        self
    }

    pub(super) fn without(mut self, vlan: PortVlan) -> Self {
        self.ids(vlan).for_each(|entry| *entry = None);
        self
    }

    /// The table as ranges, as the kernel lists it.
    pub(super) fn entries(&self) -> Vec<PortVlan> {
        self.ranges(|_, entry| entry)
    }

    /// The entries after `pick`, as ranges. A pvid is a range of its own.
    fn ranges(&self, pick: impl Fn(usize, Entry) -> Entry) -> Vec<PortVlan> {
        let mut ranges: Vec<PortVlan> = Vec::new();
        for (vid, entry) in (0u16..).zip(self.0.iter().enumerate()) {
            let Some((pvid, untagged)) = pick(entry.0, *entry.1) else { continue };
            let grows = ranges
                .last_mut()
                .filter(|last| last.last + 1 == vid && !last.pvid && !pvid && last.untagged == untagged);
            match grows {
                Some(range) => range.last = vid,
                None => ranges.push(PortVlan { first: vid, last: vid, pvid, untagged }),
            }
        }
        ranges
    }

    /// Entries of this table that `there` lacks or has differently: to be added. The pvid comes first, because there is
    /// one only.
    fn missing(&self, there: &Table) -> Vec<PortVlan> {
        let mut missing = self.ranges(|vid, entry| entry.filter(|_| there.0.get(vid) != Some(&entry)));
        missing.order_by_key(|vlan| !vlan.pvid);
        missing
    }

    /// Entries of `there` that this table lacks: to be removed.
    fn surplus(&self, there: &Table) -> Vec<PortVlan> {
        let is_here = |vid: usize| self.0.get(vid).is_some_and(Option::is_some);
        // Whether it was untagged no longer matters.
        there.ranges(|vid, entry| entry.filter(|_| !is_here(vid)).map(|_| (false, false)))
    }
}

impl Planner<'_> {
    /// The table of a bridge's port, or with `own` the bridge's. VLANs are added before others are removed.
    pub(super) fn vlans(&mut self, link: &ResolvedLink, own: bool) {
        let Some(desired) = &link.desired.vlans else { return };
        let Some(there) = self.state.link(&link.name) else { return };
        let (table, there) = (Table::from_entries(desired.iter().map(|vlan| &vlan.value)), Table::of(there));
        let place = |vlan: &PortVlan| {
            let covers =
                |of: &&Located<PortVlan>| of.value.first <= vlan.first && vlan.first <= of.value.last;
            desired.iter().find(covers).or(desired.first()).map_or(link.desired.at, |of| of.at)
        };
        let added = table.missing(&there).into_iter();
        let added = added.map(|vlan| (place(&vlan), LinkChange::AddVlan { vlan, own }));
        let gone = table.surplus(&there).into_iter();
        let gone = gone.map(|vlan| (place(&vlan), LinkChange::DeleteVlan { vlan, own }));
        let changes: Vec<(Place, LinkChange)> = added.chain(gone).collect();
        for (at, change) in changes {
            self.push(&link.desired.id, at, Action::SetLink { name: link.name.clone(), change });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(vlans: &[PortVlan]) -> Table {
        Table::from_entries(vlans.iter())
    }

    fn tagged(first: u16, last: u16) -> PortVlan {
        PortVlan { first, last, pvid: false, untagged: false }
    }

    #[test]
    fn a_table_is_changed_by_the_fewest_ranges_and_the_pvid_comes_first() {
        let there = table(&[PortVlan::untagged(1), tagged(2, 20), tagged(30, 30)]);
        let desired = table(&[tagged(1, 1), PortVlan::untagged(5), tagged(6, 25), tagged(100, 4094)]);
        assert_eq!(
            desired.missing(&there),
            [PortVlan::untagged(5), tagged(1, 1), tagged(21, 25), tagged(100, 4094)]
        );
        assert_eq!(desired.surplus(&there), [tagged(2, 4), tagged(30, 30)]);
        assert!(desired.missing(&desired).is_empty() && desired.surplus(&desired).is_empty());
    }

    #[test]
    fn one_entry_is_the_pvid() {
        let moved = table(&[PortVlan::untagged(1)]).with(PortVlan::untagged(7));
        let was = PortVlan { pvid: false, ..PortVlan::untagged(1) };
        assert_eq!(moved.entries(), [was, PortVlan::untagged(7)]);
        assert_eq!(moved.without(PortVlan::untagged(7)).entries(), [was]);
    }
}
