//! Whole boots: a Debian root with systemd and udev, netapply's own units in it, and a drive.
//!
//! tests/boot/image makes the roots; the guests and drives are those of tests/vm.

mod cloud_init;
mod dracut;
#[path = "../vm/drive.rs"]
mod drive;
mod fallback;
#[path = "../vm/guest.rs"]
mod guest;
mod ipa;
mod ironic;
mod late;
mod network;
mod units;

use guest::{Builder, Guest};
use std::path::{Path, PathBuf};
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
    for (unit, text) in drop_ins() {
        builder = builder.file(&format!("{system}/{unit}.d/50-netapply.conf"), text, 0o644);
    }
    builder
}

/// The conditions that are installed for the image's own units: the unit's name, and the text.
fn drop_ins() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let entries = std::fs::read_dir(folder).expect("systemd/ is there").flatten();
    let drop_in = |entry: std::fs::DirEntry| {
        let unit = entry.file_name().to_str()?.strip_suffix(".d")?.to_owned();
        let text = std::fs::read_to_string(entry.path().join("50-netapply.conf")).expect("a drop-in");
        Some((unit, text))
    };
    entries.filter_map(drop_in).collect()
}

/// Waits until systemd has nothing more to start; returns the units that failed.
fn booted(guest: &mut Guest) -> String {
    // cloud-init takes minutes under software emulation on a busy machine, and one script may not run that long.
    for _ in 0..5 {
        if guest.run("timeout 100 systemctl is-system-running --wait").status != 124 {
            break;
        }
    }
    guest.ok("systemctl --failed --plain --no-legend")
}

/// As [`booted`], where the described name server is not on the wire: verification says so, and nothing else may fail.
fn booted_but_for_the_name_server(guest: &mut Guest) {
    let failed = booted(guest);
    let journal = guest.ok("journalctl -b --no-pager | tail -n 80");
    let others: Vec<&str> =
        failed.lines().filter(|line| !line.starts_with("netapply-wait-online.service ")).collect();
    assert!(others.is_empty(), "{failed}{journal}");
    if !failed.is_empty() {
        let said = guest.ok("journalctl -b -o cat -u netapply-wait-online.service");
        let faults: Vec<&str> = said.lines().filter(|line| line.contains("FAIL ")).collect();
        assert!(faults.iter().all(|line| line.contains("name server 192.0.2.53")), "{said}");
        assert!(!faults.is_empty(), "{said}");
    }
}

fn image(root: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boot/image");
    let output = Command::new(script).arg(root).output().expect("tests/boot/image runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tests/boot/image {root} failed:\n{messages}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
