//! What is read only if a description asks for it: offload features and other parameters of NICs, wake-on-LAN, WireGuard's configuration, the origin
//! of a MAC address.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};

use crate::inventory::{Inventory, MacOrigin};
use crate::machine::Machine;
use crate::model::{DesiredMac, Link};

use super::session::Failure;
use super::{ethtool, wireguard};

/// Adds to `inventory` what is needed to compare the described links, given by their names in the kernel.
/// A NIC that does not report them is left unchanged.
pub async fn complete<'a>(
    inventory: &mut Inventory,
    described: impl Iterator<Item = (&'a str, &'a Link)>,
    machine: &Machine,
) -> Result<(), Failure> {
    let is_random = |link: &Link| link.mac.is_some_and(|mac| mac.value == DesiredMac::Random);
    let asks = |link: &Link| {
        !link.features.is_empty()
            || !link.tuning.0.is_empty()
            || link.wake_on_lan.is_some()
            || link.wireguard.is_some()
            || is_random(link)
    };
    for (name, desired) in described.filter(|(_, desired)| asks(desired)) {
        if is_random(desired) {
            // The keys are random numbers chosen by the kernel.
            inventory.random = RandomState::new().hash_one(());
        }
        let Some(link) = inventory.links.iter_mut().find(|link| link.name == name) else { continue };
        if is_random(desired) {
            link.mac_origin = mac_origin(machine, name);
        }
        if !desired.features.is_empty() {
            link.features =
                refused_is_nothing(ethtool::features(name, desired.features.keys().copied()).await)?;
        }
        if !desired.tuning.0.is_empty() {
            link.tuning = ethtool::parameters(name, &desired.tuning).await?;
        }
        if desired.wake_on_lan.is_some() {
            link.wake_on_lan = ethtool::wake_on_lan(name).await?;
        }
        if let Some(config) = &desired.wireguard {
            let observed = refused_is_nothing(wireguard::observe(name).await)?;
            link.wireguard_as_described = Some(observed.as_ref().is_some_and(|there| there.is_as(config)));
            link.wireguard = observed.map(|there| there.described());
        }
    }
    Ok(())
}

fn mac_origin(machine: &Machine, link: &str) -> Option<MacOrigin> {
    let number = fs::read_to_string(machine.sys_net().join(link).join("addr_assign_type")).ok()?;
    MacOrigin::from_number(number.trim().parse().ok()?)
}

fn refused_is_nothing<T: Default>(result: Result<T, Failure>) -> Result<T, Failure> {
    match result {
        Err(Failure::Refused(_)) => Ok(T::default()),
        result => result,
    }
}
