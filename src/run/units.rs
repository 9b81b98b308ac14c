//! The units in systemd/ and the code have to agree; these tests compare them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fallback;
use super::leases::LEASE_BOUND;
use super::lock;
use super::options::{BOOT_NICS, WAIT};
use super::settle::UDEV_BOUND;
use crate::handoff::{APPLIED, MARKERS};
use crate::kernel::apply::{HANDOFF_BOUND, UNDO_BOUND, WAIT_BOUND};
use crate::kernel::effects::{FILE_BOUND, MODULE_BOUND};
use crate::kernel::session;
use crate::logging;
use crate::report::{consoles, systemd};
use crate::source::{LONGEST_WAIT, OVERRUN};

/// How long the report may take when nothing reads it: the lock, the journal, the consoles, the log.
const REPORT: Duration = lock::MOMENT
    .saturating_add(systemd::JOURNAL)
    .saturating_add(consoles::BOUND)
    .saturating_add(logging::FINISH);
/// How long the steps outside of netlink may take: modules (of one kind of link; those of a second are seldom missing,
/// too), a hanging file or sysctl, and the whole hand-off.
const EFFECTS: Duration = MODULE_BOUND.saturating_add(FILE_BOUND).saturating_add(HANDOFF_BOUND);
/// A lost reply of the kernel, and reading the list again after it.
const LOST: Duration = session::BOUND.saturating_mul(7);
/// Allowance for a slow machine, on top of the sum of the bounds.
const SLACK: Duration = Duration::from_secs(30);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// The values of each key of a unit file.
fn unit(path: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut unit: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once('=')) {
        unit.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    unit
}

fn seconds(unit: &BTreeMap<String, Vec<String>>, key: &str) -> Duration {
    Duration::from_secs(unit[key][0].parse().unwrap())
}

#[test]
fn unit_timeouts_exceed_the_sum_of_all_waits() {
    let search = LONGEST_WAIT + OVERRUN;
    let apply = unit(&folder().join("netapply.service"));
    let work = fallback::BOUND + BOOT_NICS.max(UDEV_BOUND).max(LEASE_BOUND) + WAIT_BOUND + EFFECTS + LOST;
    assert!(seconds(&apply, "TimeoutStartSec") >= search + lock::BOUND + work + REPORT + SLACK);
    let verify = unit(&folder().join("netapply-wait-online.service"));
    // Once for another apply, once for the network.
    assert!(seconds(&verify, "TimeoutStartSec") >= search + 2 * WAIT + LOST + REPORT + SLACK);
    // A signal takes effect at once; only the report is left, and under --strict the undo.
    assert!(seconds(&apply, "TimeoutStopSec") > UNDO_BOUND + REPORT);
    assert!(seconds(&verify, "TimeoutStopSec") > REPORT);
    let early = unit(&folder().join("../dracut/50netapply/netapply-initrd.service"));
    for key in ["TimeoutStartSec", "TimeoutStopSec"] {
        assert_eq!(early[key], apply[key], "{key} of the unit in the initramfs");
    }
}

#[test]
fn renewing_is_restricted_as_applying_and_more() {
    let apply = restrictions("netapply.service");
    let mut renew = restrictions("netapply-lease.service");
    for more in ["MemoryDenyWriteExecute", "ProtectKernelLogs"] {
        assert_eq!(renew[more], ["yes"], "{more}");
    }
    assert_eq!(
        renew.remove("CapabilityBoundingSet"),
        Some(vec!["CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE".to_owned()])
    );
    for (directive, values) in apply.iter().filter(|(directive, _)| *directive != "CapabilityBoundingSet") {
        let strict = renew[directive].join(" ");
        let same = ["MemoryMax", "RestrictNamespaces"].contains(&directive.as_str());
        let words = values.iter().flat_map(|value| value.split(' '));
        words.for_each(|word| assert!(same || strict.contains(word), "{directive}={word}"));
    }
}

/// What restricts a unit: each directive with its values.
fn restrictions(name: &str) -> BTreeMap<String, Vec<String>> {
    let mut unit = unit(&folder().join(name));
    unit.retain(|key, _| {
        let words = [
            "Capability",
            "NoNew",
            "Private",
            "Restrict",
            "Protect",
            "Lock",
            "Memory",
            "Keyring",
            "SystemCall",
        ];
        words.iter().any(|word| key.starts_with(word))
    });
    unit
}

#[test]
fn the_verifying_unit_has_all_restrictions_of_the_applying_unit() {
    let apply = restrictions("netapply.service");
    let mut verify = restrictions("netapply-wait-online.service");
    assert_eq!(
        apply["CapabilityBoundingSet"],
        ["CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_ADMIN CAP_SYS_MODULE"]
    );
    assert_eq!(verify["CapabilityBoundingSet"], ["CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_ADMIN"]);
    for more in ["ProtectKernelModules", "ProtectKernelTunables", "ProtectHostname"] {
        assert_eq!(verify.remove(more), Some(vec!["yes".to_owned()]), "{more}");
    }
    for (directive, values) in &apply {
        if directive != "CapabilityBoundingSet" {
            let strict = verify[directive].join(" ");
            let words = values.iter().flat_map(|value| value.split(' '));
            words.for_each(|word| assert!(strict.contains(word), "{directive}={word}"));
        }
    }
    assert_eq!(apply.len(), verify.len());
}

#[test]
fn unit_conditions_test_the_markers_that_are_written() {
    let mut conditions = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(whose) = name.strip_suffix(".d") else { continue };
        let drop_in = unit(&path.join("50-netapply.conf"));
        let wanted = if whose.contains('@') {
            vec![format!("!{MARKERS}/%I"), format!("!{MARKERS}/%i")]
        } else {
            vec![format!("!{APPLIED}")]
        };
        if let Some(tested) = drop_in.get("ConditionPathExists") {
            assert_eq!(*tested, wanted, "{whose}");
            conditions += 1;
        }
    }
    assert!(conditions >= 8, "{conditions}");
}
