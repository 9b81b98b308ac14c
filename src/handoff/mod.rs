//! What the rest of the image must be told once the network is up: resolver, time daemons, networkd, NetworkManager, cloud-init,
//! dracut, and markers for the conditions of other units.
//!
//! [`Surroundings::observe`] looks at the image and decides nothing; [`add`] appends to the plan what has to be
//! written, and touches nothing. Hand-off is per link: a link's files depend on the steps that configure it, so that a
//! link whose step fails stays with the image's own tools.

mod draft;
mod files;
mod image;
mod links;
mod record;
pub(crate) mod resolv_conf;
mod resolver;
pub mod state;
mod surroundings;
mod time;

use crate::machine::{Machine, is_host_name};
use crate::model::{Desired, Dynamic, Kind};
use crate::plan::Plan;
use crate::resolve::{Resolved, ResolvedLink};
use draft::PlanDraft;
pub use image::{Presence, wanted};
pub use record::Record;
pub use resolv_conf::{Access, End, ResolvConf, Resolvconf, Server};
pub use surroundings::Surroundings;

/// The first line of every file that is written.
const MADE: &str = "# Made by netapply from the network description.\n";
/// Configuration for cloud-init. It is merged over the files in /etc/cloud (cloudinit/stages.py, `fetch_base_config`)
/// and lets user-data and everything else on the drive be processed.
const CLOUD_INIT_OFF: &str = "network: {config: disabled}\n";
/// dhcpcd's configuration with the links that it must not manage; a drop-in of dhcpcd.service mounts it over the
/// image's.
const DHCPCD: &str = "/run/netapply/dhcpcd.conf";
/// The same for connman.
const CONNMAN: &str = "/run/netapply/connman.conf";
/// A drop-in of timesyncd.conf(5): its servers are asked beside those of the image's own files.
const TIMESYNCD: &str = "/run/systemd/timesyncd.conf.d/50-netapply.conf";
/// chrony's servers by DHCP, in the folder that its packages configure for them (`sourcedir`, chrony.conf(5)).
const CHRONY: &str = "/run/chrony-dhcp/netapply.sources";
/// Variables that ifup(8) and ifupdown2 read; a drop-in of networking.service makes it read this file.
const IFUPDOWN: &str = "/run/netapply/ifupdown.env";

/// A file in this folder with a link's name says that the link is configured as described.
pub const MARKERS: &str = "/run/netapply/links";
/// This file says that no described link is left to others.
pub const APPLIED: &str = "/run/netapply/applied";

/// Observes the image, and asks its running tools which links they manage although these are not left to them.
pub async fn observe(machine: &Machine, resolved: &Resolved) -> Surroundings {
    let mut surroundings = Surroundings::observe(machine);
    let links: Vec<&str> = resolved.links.iter().filter(|l| !is_left(l)).map(|l| l.name.as_str()).collect();
    surroundings.ask(machine, &links).await;
    surroundings
}

/// Appends the steps of the hand-off to `plan`, which is the difference between `resolved` and the machine. `hostname`
/// is the drive's. If everything is handed off already, nothing is appended.
///
/// Returns complete sentences on what cannot be handed off.
pub fn add(
    plan: &mut Plan,
    desired: &Desired,
    resolved: &Resolved,
    hostname: Option<&str>,
    surroundings: &Surroundings,
) -> Vec<String> {
    let mut draft = PlanDraft::new(plan, surroundings);
    // Nothing usable: everything stays with the image's own tools, and an earlier hand-off is undone.
    if resolved.links.is_empty() {
        return draft.finish();
    }
    resolver::tell(&mut draft, resolved);
    time::tell(&mut draft, resolved);
    for link in &resolved.links {
        links::tell(&mut draft, link);
    }
    links::tell_of_all(&mut draft, desired, resolved);
    name_machine(&mut draft, hostname);
    draft.finish()
}

/// Appends the steps that undo the whole hand-off, or that of some links: the network stays, and the image's tools may
/// take the links.
///
/// Returns complete sentences on what cannot be undone.
pub fn take_back(plan: &mut Plan, links: &[String], surroundings: &Surroundings) -> Vec<String> {
    let mut draft = PlanDraft::new(plan, surroundings);
    if !links.is_empty() {
        draft.keep_all_but(links);
    }
    draft.finish()
}

/// Whether the image has a DHCP client that will ask on the links left to it. In an initramfs none counts: the
/// following system starts too late for what needs the network.
pub fn has_client(machine: &Machine) -> bool {
    let surroundings = Surroundings::observe(machine);
    let Surroundings { networkd, network_manager, connman, dhcpcd, ifupdown, wicked, .. } = surroundings;
    let services = [networkd, network_manager, connman, dhcpcd, ifupdown, wicked];
    !surroundings.initramfs
        && (services.into_iter().any(|service| service >= Presence::Enabled)
            || image::asks_on_every_nic(machine))
}

/// Whether netapply-lease.service runs or will be started in this boot.
pub fn renewal(machine: &Machine) -> Presence {
    image::services(machine).get(image::LEASE_SERVICE).copied().unwrap_or_default()
}

/// Whether any link was handed off.
pub fn handed_off(machine: &Machine) -> bool {
    files::names(machine, MARKERS).next().is_some()
}

/// Whether a client of the image has to configure the link. The kernel itself handles router advertisements.
fn is_left(link: &ResolvedLink) -> bool {
    // A link is never leased by two clients.
    link.lease.is_none()
        && link.desired.dynamic.iter().any(|d| matches!(d.value, Dynamic::Dhcp4 | Dynamic::Dhcp6))
}

/// The link that name servers are reached through: the one with the default route, else one with routes, else one with
/// addresses, else the first that is no port of another.
fn uplink(resolved: &Resolved) -> Option<&ResolvedLink> {
    let rank = |link: &&ResolvedLink| {
        let routes = &link.desired.routes;
        match () {
            () if routes.iter().any(|r| r.is_default()) => 0,
            () if routes.iter().any(|r| r.via.is_some()) => 1,
            () if !link.desired.addresses.is_empty() => 2,
            () if is_left(link) => 3,
            () if link.controller.as_ref().is_none_or(|(_, kind)| *kind == Kind::Vrf) => 4,
            () => 5,
        }
    };
    resolved.links.iter().min_by_key(rank)
}

/// Sets the host name from the drive if the machine has none. Never in the agent's ramdisk, whose name the image
/// decides, and never in an initramfs: the following system knows whether it has a name.
fn name_machine(draft: &mut PlanDraft, hostname: Option<&str>) {
    let surroundings = draft.surroundings;
    if surroundings.initramfs || surroundings.ipa || surroundings.hostname.is_some() {
        return;
    }
    // The kernel's name is the first label; the domain is the resolver's concern.
    let Some(name) = hostname.and_then(|h| h.split('.').next()) else { return };
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.is_empty() && !is_host_name(name) {
        return;
    }
    if name.is_empty() || name.len() > 63 || name.starts_with('-') || !name.chars().all(valid) {
        let shown = crate::page::printable(name);
        draft.note(format!(
            "The drive's host name \"{shown}\" is not valid: the machine keeps the one it has."
        ));
        return;
    }
    draft.host_name(name);
}

#[cfg(test)]
mod tests;
