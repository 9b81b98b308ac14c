//! Time servers of leases, for the image's daemon that sets the clock.

use super::draft::{For, PlanDraft};
use super::image::Presence;
use super::{CHRONY, MADE, TIMESYNCD, uplink};
use crate::resolve::Resolved;

/// Configures the time servers of the leases; does nothing without any.
pub(super) fn tell(draft: &mut PlanDraft, resolved: &Resolved) {
    let Some(uplink) = uplink(resolved).filter(|_| !resolved.time_servers.is_empty()) else { return };
    let servers: Vec<String> = resolved.time_servers.iter().map(ToString::to_string).collect();
    let surroundings = draft.surroundings;
    let (whose, has) =
        (For::Resolver(uplink), |daemon: Presence| surroundings.initramfs || daemon > Presence::Masked);
    // In an initramfs it is for the following system, which may have either; /run survives.
    if has(surroundings.timesyncd) {
        draft.file(whose, TIMESYNCD, format!("{MADE}[Time]\nNTP={}\n", servers.join(" ")));
    }
    if has(surroundings.chrony.max(surroundings.chronyd)) {
        let lines = servers.iter().map(|server| format!("server {server} iburst\n")).collect::<String>();
        draft.file(whose, CHRONY, format!("{MADE}{lines}"));
    }
}
