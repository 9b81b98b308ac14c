//! The stand-ins: for the NICs of a recorded machine, or those that the description names. Pure.

use foldhash::HashSet;

use crate::inventory::{Inventory, ObservedLink};
use crate::model::{Desired, IfName, Kind, LinkKind, LinkLayer, MacAddr, NamePattern, fits};

/// A link that stands in for a NIC.
#[derive(Clone, Debug, PartialEq)]
pub struct StandIn {
    /// Its index in the kernel.
    pub index: u32,
    /// The NIC. The stand-in has its name, MTU and permanent MAC address, and is up if it is.
    pub nic: ObservedLink,
}

impl StandIn {
    /// Adds to an observed link what the kernel does not have for a stand-in: the driver, bus and permanent address of
    /// hardware.
    pub fn complete(&self, link: &mut ObservedLink) {
        link.permanent_mac = self.nic.permanent_mac;
        link.driver.clone_from(&self.nic.driver);
        link.bus.clone_from(&self.nic.bus);
    }
}

/// The NICs of a recorded machine, and the names of those without a possible Ethernet stand-in.
pub fn of_inventory(inventory: &Inventory) -> (Vec<ObservedLink>, Vec<String>) {
    let nics = inventory.links.iter().filter(|link| link.is_nic());
    let (able, unable): (Vec<&ObservedLink>, Vec<&ObservedLink>) =
        nics.partition(|nic| nic.layer == LinkLayer::Ether && nic.kind != LinkKind::Ipoib);
    (able.into_iter().cloned().collect(), unable.into_iter().map(|nic| nic.name.clone()).collect())
}

/// NICs that match the description, with made-up addresses where it has none.
pub fn of_description(desired: &Desired) -> Vec<ObservedLink> {
    let ids: HashSet<&str> = desired.links.iter().map(|link| link.id.as_str()).collect();
    let mut taken: HashSet<String> = HashSet::from_iter(["lo".to_owned()]);
    let mut nics = Vec::new();
    for link in desired.links.iter().filter(|link| link.kind == Kind::Physical) {
        let number = nics.len();
        let named = link.select.name.as_ref().map(|name| match &name.value {
            NamePattern::Exact(name) => name.clone(),
            NamePattern::Glob(glob) => one_of(glob).unwrap_or_else(|| glob.clone()),
        });
        if named.as_deref() == Some("lo") {
            continue;
        }
        let own = || Some(link.id.clone()).filter(|id| named.is_none() && ids.contains(id.as_str()));
        let names = named.clone().into_iter().chain(own()).chain((number..).map(|n| format!("nic{n}")));
        let mut free = names.filter(|name| IfName::new(name).is_ok() && !taken.contains(name));
        let Some(name) = free.next() else { continue };
        let made_up = MacAddr::from_bytes(&[2, 0, 0, 0x52, (number >> 8) as u8, number as u8]);
        let mac = link.select.mac.as_ref().map(|mac| mac.value).or(made_up);
        taken.insert(name.clone());
        nics.push(ObservedLink {
            name,
            mac,
            permanent_mac: mac,
            layer: LinkLayer::Ether,
            mtu: 1500,
            driver: link.select.drivers.iter().find_map(|driver| one_of(&driver.value)).unwrap_or_default(),
            bus: link.select.pci.as_ref().map(|pci| format!("pci/{}", pci.value)).unwrap_or_default(),
            ..ObservedLink::default()
        });
    }
    nics
}

/// A string that matches a shell pattern, if there is a simple one.
fn one_of(glob: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' => text.push('0'),
            '[' => {
                text.extend(rest.next());
                rest.by_ref().find(|c| *c == ']')?;
            }
            c => text.push(c),
        }
    }
    fits(glob, &text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{Missing, resolve};

    /// Every link of the description matches one of the stand-ins.
    #[test]
    fn stand_ins_fit_what_the_description_says_of_its_nics() {
        let text = "network:\n  version: 2\n  ethernets:\n    a: {match: {macaddress: '52:54:00:00:00:01'}, set-name: lan0}\n    \
                    b: {match: {name: 'en*s[0-9]'}, addresses: [192.0.2.2/24]}\n    c: {match: {driver: 'virtio_*'}}\n    eth7: {}\n    lo: {addresses: [10.0.0.1/32]}\n";
        let desired = crate::format::parse(vec![("n".into(), text.into())]).desired;
        let nics = of_description(&desired);
        let names: Vec<&str> = nics.iter().map(|nic| nic.name.as_str()).collect();
        assert_eq!(names, ["a", "en0s0", "c", "eth7"]);
        assert_eq!(nics[0].mac, "52:54:00:00:00:01".parse().ok());
        let lo = ObservedLink { name: "lo".into(), layer: LinkLayer::Loopback, ..ObservedLink::default() };
        let links = nics.into_iter().chain([lo]).collect();
        let (resolved, _) = resolve(&desired, &Inventory { links, ..Inventory::default() }, Missing::Report);
        assert_eq!(resolved.unmatched, Vec::<String>::new());
    }

    #[test]
    fn a_pattern_has_a_text_that_fits() {
        for glob in ["en*", "e?h[0-9]", "eth0", "[!e]th0"] {
            assert!(one_of(glob).is_none_or(|text| fits(glob, &text)), "{glob}");
        }
        assert_eq!(one_of("enp*s?").as_deref(), Some("enp0s0"));
    }
}
