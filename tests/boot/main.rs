//! Whole boots: a Debian root with systemd and udev, netapply's own units in it, and a drive.
//!
//! tests/boot/image makes the roots; the guests and drives are those of tests/vm.

#[path = "../vm/drive.rs"]
mod drive;
#[path = "../vm/guest.rs"]
mod guest;
mod units;

use guest::{Builder, Guest};
use std::path::PathBuf;
use std::process::Command;

/// A guest that boots this root (a name that tests/boot/image knows) with netapply and its units enabled.
fn machine(root: &str) -> Builder {
    let system = "/usr/lib/systemd/system";
    let mut builder = Guest::builder().memory(1024).root(&image(root)).netapply();
    for (unit, text, target) in [
        ("netapply.service", include_str!("../../systemd/netapply.service"), "sysinit.target"),
        (
            "netapply-wait-online.service",
            include_str!("../../systemd/netapply-wait-online.service"),
            "network-online.target",
        ),
    ] {
        let path = format!("{system}/{unit}");
        // What `systemctl enable` would do.
        builder = builder
            .file(&path, text, 0o644)
            .link(&format!("/etc/systemd/system/{target}.wants/{unit}"), &path);
        assert!(text.contains(&format!("WantedBy={target}\n")), "{unit} is wanted by {target}");
    }
    builder
}

/// Waits until systemd has nothing more to start; returns the units that failed.
fn booted(guest: &mut Guest) -> String {
    guest.run("systemctl is-system-running --wait");
    guest.ok("systemctl --failed --plain --no-legend")
}

fn image(root: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boot/image");
    let output = Command::new(script).arg(root).output().expect("tests/boot/image runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tests/boot/image {root} failed:\n{messages}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
