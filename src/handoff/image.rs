//! Which services the image has, and whether they run or will.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use super::files::names;
use crate::machine::Machine;
use crate::order::Few as _;

/// The state of a service in the image, from absent to running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// The image does not have it.
    #[default]
    Absent,
    /// Its unit is a link to /dev/null or an empty file: it never starts.
    Masked,
    /// It exists, but nothing starts it.
    Disabled,
    /// It will be started, or was.
    Enabled,
    /// It runs.
    Running,
}

/// Where systemd looks for units, in order of precedence. NixOS has only the one in /etc.
const UNITS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Services that concern netapply.
const SERVICES: &[&str] = &[
    "systemd-resolved.service",
    "systemd-networkd.service",
    "NetworkManager.service",
    "nm-initrd.service",
    "connman.service",
    "dhcpcd.service",
    "networking.service",
    "wicked.service",
    "wickedd.service",
    "cloud-init-local.service",
    "ironic-python-agent.service",
    "systemd-timesyncd.service",
    "chrony.service",
    "chronyd.service",
    LEASE_SERVICE,
];

/// The service that renews leases.
pub(super) const LEASE_SERVICE: &str = "netapply-lease.service";

/// The state of each service in this image.
pub(super) fn services(machine: &Machine) -> BTreeMap<&'static str, Presence> {
    let started = started(machine);
    let presence = |unit: &str| {
        // systemd keeps a link there for each running unit (`unit_export_invocation_id`), for journald.
        if machine.at(&format!("/run/systemd/units/invocation:{unit}")).is_symlink() {
            return Presence::Running;
        }
        let files = UNITS.iter().map(|folder| machine.at(&format!("{folder}/{unit}")));
        let Some(file) = files.into_iter().find(|file| file.symlink_metadata().is_ok()) else {
            return Presence::Absent;
        };
        let is_null = fs::read_link(&file).is_ok_and(|target| target.ends_with("dev/null"));
        if is_null || fs::metadata(&file).is_ok_and(|file| file.is_file() && file.len() == 0) {
            return Presence::Masked;
        }
        if started.iter().any(|name| name == unit) { Presence::Enabled } else { Presence::Disabled }
    };
    SERVICES.iter().map(|unit| (*unit, presence(unit))).few()
}

/// NetworkManager, which dracut's module starts by a unit of its own.
pub(super) fn network_manager(services: &BTreeMap<&'static str, Presence>) -> Presence {
    let of = |unit: &str| services.get(unit).copied().unwrap_or_default();
    of("NetworkManager.service").max(of("nm-initrd.service"))
}

/// diskimage-builder's dhcp-all-interfaces: a udev rule starts a client for each NIC.
pub(super) fn asks_on_every_nic(machine: &Machine) -> bool {
    UNITS.iter().any(|folder| machine.at(&format!("{folder}/dhcp-interface@.service")).exists())
}

/// Units that are started at boot: by a target's folder, or the kernel command line.
fn started(machine: &Machine) -> Vec<String> {
    let mut found = wanted(machine);
    let cmdline = fs::read_to_string(machine.cmdline()).unwrap_or_default();
    let words = cmdline.split_whitespace().filter_map(|word| word.strip_prefix("systemd.wants="));
    found.extend(words.map(str::to_owned));
    found
}

/// The units in the folders of targets, masked ones among them.
pub fn wanted(machine: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    for folder in UNITS {
        for name in names(machine, folder) {
            if name.ends_with(".wants") || name.ends_with(".requires") {
                found.extend(names(machine, &format!("{folder}/{name}")));
            }
        }
    }
    found
}
