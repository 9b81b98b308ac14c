//! What is read only where a description asks for it: offload features, wake-on-LAN, WireGuard's configuration.

use crate::inventory::Inventory;
use crate::model::Link;

use super::session::Failure;
use super::{ethtool, wireguard};

/// Adds to `inventory` what the described links, by the names that they have in the kernel, need to be compared.
/// A NIC that does not report them is left unchanged.
pub async fn complete<'a>(
    inventory: &mut Inventory,
    described: impl Iterator<Item = (&'a str, &'a Link)>,
) -> Result<(), Failure> {
    let asks =
        |link: &Link| !link.features.is_empty() || link.wake_on_lan.is_some() || link.wireguard.is_some();
    for (name, desired) in described.filter(|(_, desired)| asks(desired)) {
        let Some(link) = inventory.links.iter_mut().find(|link| link.name == name) else { continue };
        if !desired.features.is_empty() {
            link.features =
                refused_is_nothing(ethtool::features(name, desired.features.keys().copied()).await)?;
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

fn refused_is_nothing<T: Default>(result: Result<T, Failure>) -> Result<T, Failure> {
    match result {
        Err(Failure::Refused(_)) => Ok(T::default()),
        result => result,
    }
}
