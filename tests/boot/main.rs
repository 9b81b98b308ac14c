//! Whole boots: a Debian root with systemd and udev, netapply's own units in it, and a drive.
//!
//! tests/boot/image makes the roots; the guests and drives are those of tests/vm.

mod cloud_init;
mod cmdline;
mod daemons;
mod dracut;
mod dynamic;
mod fallback;
mod firmware;
mod initramfs_tools;
mod ipa;
mod ironic;
mod late;
mod leases;
mod network;
mod nixos;
mod proxmox;
mod units;

pub(crate) use harness::boot::{baked, machine, overlay, script};
use harness::guest::Guest;

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

/// Waits for a boot in which everything works and nothing is reported: no unit failed, and neither report, journal nor
/// console has a warning. Both consoles and the login prompt have the report.
fn healthy(guest: &mut Guest) {
    healthy_but(guest, &[]);
}

/// Like [`healthy`], if the description itself causes warnings with these codes.
fn healthy_but(guest: &mut Guest, open: &[&str]) {
    let failed = booted(guest);
    assert_eq!(failed, "", "{}", guest.ok("journalctl -b --no-pager | tail -n 80"));
    let report = guest.json("cat /run/netapply/report.json");
    let shown = report["screen"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let screen: Vec<&str> = shown.collect();
    assert_eq!((&report["verdict"], &report["exit"]), (&"works".into(), &0.into()), "{screen:#?}");
    assert_eq!(report["causes"], serde_json::json!([]), "{screen:#?}");
    let diagnostics = report["diagnostics"].as_array().unwrap();
    let warnings: Vec<&str> = diagnostics
        .iter()
        .filter(|said| said["severity"] != "note")
        .map(|said| said["code"].as_str().unwrap())
        .collect();
    assert_eq!(warnings, open, "{screen:#?}");
    if open.is_empty() {
        let units = ["-u netapply.service", "-u netapply-wait-online.service", "-t netapply"].join(" ");
        let journal = guest.ok(&format!("journalctl -b -q -o cat -p warning {units} || true"));
        assert_eq!(journal, "", "nothing is wrong, and the journal says so");
    }
    for number in [0, 1] {
        guest.shows(number, &screen);
    }
    let issue = guest.ok("cat /run/issue.d/50-netapply.issue");
    assert!(screen.iter().all(|line| issue.contains(line)), "{issue}");
}

/// Runs a script in a booted root, for debugging: `ROOT=full SCRIPT='systemctl' cargo test --test boot try_out --
/// --ignored --nocapture`.
#[test]
#[ignore = "for people"]
fn try_out() {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let mut guest =
        machine(&variable("ROOT", "base")).words(&variable("WORDS", "")).nic("52:54:00:12:34:56", 1).boot();
    booted(&mut guest);
    let output = guest.run(&variable("SCRIPT", "systemctl --no-pager"));
    println!("{}{}(status {})", output.stdout, output.stderr, output.status);
    println!("--- console 0\n{}\n--- console 1\n{}", guest.console(0), guest.console(1));
}
