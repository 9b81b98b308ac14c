//! The root over the network: a NIC by which the machine reaches its root is never taken down nor left without its
//! address, whatever describes it. The data from the firmware's tables is in the inventory. Entries: [`root_nics`]
//! reads it, [`without_cuts`] is pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use foldhash::HashSet;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::inventory::{AddressEntry, Inventory, RootNic};
use crate::machine::Machine;
use crate::model::{Address, Desired, MacAddr, Place, needs_zone};
use crate::plan::script::line;
use crate::plan::{Action, LinkChange, Plan, Step, plan};
use crate::resolve::{Missing, Resolved, resolve};
use crate::source;

/// The NICs by which the machine reaches its root, according to the firmware's tables.
pub(super) fn root_nics(machine: &Machine) -> Vec<RootNic> {
    source::firmware_tables(machine).iter().flat_map(|(table, text)| of_table(table, text)).collect()
}

fn of_table(table: &str, text: &str) -> Vec<RootNic> {
    let mut nics: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for line in text.lines() {
        let parts = line.split_once('=').and_then(|(key, value)| Some((key.split_once('/')?, value)));
        if let Some(((nic, key), value)) = parts {
            nics.entry(nic).or_default().push((key, value));
        }
    }
    let root_nic = |facts: Vec<(&str, &str)>| {
        let first = |key: &str| facts.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        // The iBFT says which NIC the machine booted from, the nBFT which one reaches a namespace.
        let booted = match first("flags") {
            Some(flags) => flags.parse::<u8>().is_ok_and(|flags| flags & 3 == 3),
            None => first("target").is_some(),
        };
        let mac: MacAddr = first("mac").filter(|_| booted)?.parse().ok()?;
        let address = first("ip-addr").and_then(|text| text.parse().ok());
        let address = address.filter(|address: &IpAddr| !address.is_unspecified());
        let targets = facts.iter().filter(|(key, _)| *key == "target");
        let targets = targets.filter_map(|(_, text)| text.parse().ok()).collect();
        Some(RootNic { mac, address, targets, table: table.to_owned() })
    };
    nics.into_values().filter_map(root_nic).collect()
}

/// How many descriptions are tried: each leaves out another link that would cut off the root.
const ATTEMPTS: usize = 64;

/// The description without the parts that would cut the root off, and an error for each such part. An address of the
/// root that the description lacks is kept, with a warning.
pub(super) fn without_cuts<'a>(
    desired: &'a Desired,
    inventory: &Inventory,
    missing: Missing,
    diags: &mut Vec<Diagnostic>,
) -> Cow<'a, Desired> {
    let mut desired = Cow::Borrowed(desired);
    let guarded: Vec<Guarded<'_>> =
        inventory.root_nics.iter().filter_map(|nic| Guarded::of(nic, inventory)).collect();
    if guarded.is_empty() {
        return desired;
    }
    for _ in 0..ATTEMPTS {
        let (resolved, _) = resolve(&desired, inventory, missing);
        let planned = plan(&resolved, inventory);
        let Some((root, step)) = guarded.iter().find_map(|root| Some((root, root.cut(&planned)?))) else {
            break;
        };
        if !root.keep(step, &resolved, desired.to_mut(), diags) {
            root.leave_out(step, &resolved, desired.to_mut(), diags);
        }
    }
    desired
}

/// A NIC of the root that is in use: it is up and has the address.
struct Guarded<'a> {
    nic: &'a RootNic,
    /// The names of the NIC and of the VLAN or bridge above it that has the address.
    links: HashSet<&'a str>,
    /// The link with the address.
    carrier: &'a str,
    /// The address: the table's, or the link's if a lease gave another one.
    address: Option<IpAddr>,
}

impl<'a> Guarded<'a> {
    fn of(nic: &'a RootNic, inventory: &'a Inventory) -> Option<Self> {
        let is_it = |mac: Option<MacAddr>| mac == Some(nic.mac);
        let link = inventory
            .links
            .iter()
            .find(|link| link.is_nic() && link.up && (is_it(link.permanent_mac) || is_it(link.mac)))?;
        let mut links = HashSet::from_iter([link.name.as_str()]);
        let of_table = inventory.addresses.iter().find(|entry| Some(entry.net.addr()) == nic.address);
        let is_own = |entry: &&AddressEntry| entry.link == link.name && !needs_zone(&entry.net.addr());
        let entry = of_table.or_else(|| inventory.addresses.iter().find(is_own))?;
        let (carrier, address) = (entry.link.as_str(), Some(entry.net.addr()));
        // From the link with the address down to the NIC.
        let mut name = Some(carrier);
        while let Some(below) = name.filter(|below| !links.contains(below)) {
            links.insert(below);
            name = inventory.link(below).and_then(|link| link.parent.as_deref());
        }
        links.extend(link.controller.as_deref());
        Some(Guarded { nic, links, carrier, address })
    }

    /// The step of a plan that would cut the root off, the worst first: a link that is taken down loses everything
    /// whatever else is kept.
    fn cut<'p>(&self, plan: &'p Plan) -> Option<&'p Step> {
        let first = |is: &dyn Fn(&Action) -> bool| plan.steps.iter().find(|step| is(&step.action));
        first(&|action| self.takes_away(action))
            .or_else(|| first(&|action| self.loses_route(action, plan)))
            .or_else(|| first(&|action| self.loses_address(action, plan)))
    }

    /// The link goes down or moves to a controller, or another link gets the address.
    fn takes_away(&self, action: &Action) -> bool {
        match action {
            Action::DeleteLink { name } => self.links.contains(name.as_str()),
            Action::SetLink { name, change } => {
                let cuts = matches!(
                    change,
                    LinkChange::Down
                        | LinkChange::Mac(_)
                        | LinkChange::Controller(_)
                        | LinkChange::NoController
                );
                cuts && self.links.contains(name.as_str())
            }
            Action::AddAddress(entry) => entry.link != self.carrier && Some(entry.net.addr()) == self.address,
            _ => false,
        }
    }

    /// The route to the root is removed and not replaced.
    fn loses_route(&self, action: &Action, plan: &Plan) -> bool {
        let Action::DeleteRoute(route) = action else { return false };
        let added = |target: &IpAddr| {
            plan.steps
                .iter()
                .filter_map(|step| step.action.added_route())
                .any(|route| route.to.contains(target))
        };
        let is_its = route.link.as_deref() == Some(self.carrier);
        is_its && self.nic.targets.iter().any(|target| route.to.contains(target) && !added(target))
    }

    /// The address is removed and not added again, as it is if its broadcast address changes.
    fn loses_address(&self, action: &Action, plan: &Plan) -> bool {
        let is_its =
            |entry: &AddressEntry| entry.link == self.carrier && Some(entry.net.addr()) == self.address;
        let comes = |step: &Step| matches!(&step.action, Action::AddAddress(entry) if is_its(entry));
        matches!(action, Action::DeleteAddress(entry) if is_its(entry)) && !plan.steps.iter().any(comes)
    }

    /// Keeps an address that the description lacks. False if the step does something else.
    fn keep(
        &self,
        step: &Step,
        resolved: &Resolved,
        desired: &mut Desired,
        diags: &mut Vec<Diagnostic>,
    ) -> bool {
        let Action::DeleteAddress(entry) = &step.action else { return false };
        let id = resolved.links.iter().find(|link| link.current.as_deref() == Some(&entry.link));
        let Some(link) = id.and_then(|id| desired.links.iter_mut().find(|link| link.id == id.desired.id))
        else {
            return false;
        };
        if link.addresses.iter().any(|address| address.net == entry.net) {
            return false;
        }
        let message = format!(
            "{} keeps {}: by it the machine reaches its root ({})",
            entry.link, entry.net, self.nic.table
        );
        let hint = format!("add {} to \"{}\"", entry.net, link.id);
        diags.push(Diagnostic::new(Code::RootNic, link.at, message).severity(Severity::Warning).hint(hint));
        link.addresses.push(Address {
            peer: entry.peer,
            broadcast: entry.broadcast,
            ..Address::new(entry.net, link.at)
        });
        true
    }

    /// Leaves out the link that the step belongs to.
    fn leave_out(
        &self,
        step: &Step,
        resolved: &Resolved,
        desired: &mut Desired,
        diags: &mut Vec<Diagnostic>,
    ) {
        let name = step.action.link().unwrap_or_default();
        let by_name =
            resolved.links.iter().find(|link| link.current.as_deref() == Some(name) || link.name == name);
        let id = by_name.map(|link| link.desired.id.clone());
        let by_place = || desired.links.iter().find(|link| link.at == step.at).map(|link| link.id.clone());
        let found = id.or_else(by_place);
        let (at, id) = match &found {
            Some(id) => (
                desired.links.iter().find(|link| link.id == *id).map_or(step.at, |link| link.at),
                id.as_str(),
            ),
            None => (Place::NONE, name),
        };
        let message = format!(
            "\"{id}\" is left as it is: by {} the machine reaches its root ({}), and \"{}\" would cut it off",
            self.carrier,
            self.nic.table,
            line(&step.action)
        );
        let hint = "describe the NIC with the address that it has, or boot from another one";
        diags.push(Diagnostic::new(Code::RootNic, at, message).hint(hint));
        match found {
            Some(id) => desired.links.retain(|link| link.id != id),
            // No part of the description asks for it.
            None => desired.links.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nics_by_which_the_machine_booted_are_guarded() {
        let ibft = "ethernet0/flags=3\nethernet0/mac=52:54:00:00:00:01\nethernet0/ip-addr=192.0.2.10\nethernet0/target=192.0.2.200\n\
                    ethernet1/flags=1\nethernet1/mac=52:54:00:00:00:02\n";
        let nics = of_table("iBFT", ibft);
        let [nic] = &nics[..] else { panic!("{nics:?}") };
        assert_eq!((nic.mac.to_string().as_str(), nic.targets.len()), ("52:54:00:00:00:01", 1));
        assert_eq!(of_table("nBFT", "hfi1/mac=52:54:00:00:00:03\n"), []);
        assert_eq!(of_table("nBFT", "hfi1/mac=52:54:00:00:00:03\nhfi1/target=192.0.2.200\n").len(), 1);
    }
}
