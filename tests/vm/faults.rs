//! Descriptions that cannot be applied, and termination signals.

use crate::oracle::{addresses, names};
use crate::{cases, oracle, switch};
use harness::drive;
use harness::guest::Guest;

/// A machine with this network_data.json on its drive, and its switch.
fn machine(network_data: &str) -> Guest {
    let drive = drive::ironic_iso(network_data);
    let mut guest = switch::machine().netapply().cd(drive.path()).boot();
    guest.ok(&switch::plain(&["192.0.2.1/24"]));
    guest
}

/// netapply exits with this status, prints all of this, and changes nothing.
#[track_caller]
fn refused(network_data: &str, command: &str, status: i32, words: &[&str]) {
    let mut guest = machine(network_data);
    let before = oracle::state(&mut guest);
    let output = guest.exits(status, command);
    let said = output.stdout + &output.stderr;
    for word in words {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
    let after = oracle::state(&mut guest);
    assert!(before == after, "the machine was changed: before\n{before}\nafter\n{after}");
    let report = guest.json("cat /run/netapply/report.json");
    assert_eq!(report["exit"], status, "{report:#}");
}

#[test]
fn a_truncated_file() {
    refused(&cases::LACP[..200], "netapply", 3, &["network_data.json:"]);
}

#[test]
fn an_empty_file() {
    refused("", "netapply", 3, &["network_data.json"]);
}

#[test]
fn a_drive_without_a_description() {
    let drive = drive::iso(&["-r", "-V", "config-2"], &[("openstack/latest/meta_data.json", "{}")]);
    let mut guest = switch::machine().netapply().cd(drive.path()).boot();
    guest.exits(4, "netapply");
}

/// A thread that waited for it would keep the whole process from exiting.
#[test]
fn a_drive_that_stops_answering_is_left_to_a_child() {
    let mut guest = machine(cases::LACP);
    guest.stall_drive();
    let output = guest.exits(3, "netapply apply --wait=0");
    let said = output.stdout + &output.stderr;
    assert!(said.contains("/dev/sr0 (no answer within 10 s)"), "{said}");
    // The child is killed but cannot die: it waits for the drive without a parent.
    let state = guest.ok("grep -h -e ^State -e ^PPid $(grep -l '^Name:.netapply$' /proc/[0-9]*/status)");
    assert!(state.contains("D (disk sleep)") && state.contains("PPid:\t1\n"), "{state}");
}

/// Closing a serial port waits 30 s for unsent data: line by line that would take forever.
#[test]
fn a_serial_port_that_sends_nothing_costs_five_seconds() {
    let folder = tempfile::tempdir().expect("a folder for pipes");
    let pipe = folder.path().join("dead");
    for end in ["in", "out"] {
        nix::unistd::mkfifo(&pipe.with_extension(end), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    }
    let chardev = format!("pipe,id=dead,path={}", pipe.display());
    let drive = drive::ironic_iso(cases::LACP);
    let builder = switch::machine().netapply().cd(drive.path());
    let mut guest = builder.qemu(&["-chardev", &chardev, "-serial", "chardev:dead"]).boot();
    // Full pipe, full port: from here on it sends nothing. Only a killed process closes it at once.
    guest.ok("stty -F /dev/ttyS1 raw; cat /dev/zero >/dev/ttyS1 & last=
        until now=$(grep '^1:' /proc/tty/driver/serial); [ -n \"$last\" ] && [ \"$now\" = \"$last\" ]; do last=$now; sleep 2; done
        kill -9 $!; wait $! || true
        : >/etc/initrd-release; echo ttyS1 hvc0 >/tmp/active; mount --bind /tmp/active /sys/class/tty/console/active");
    let output = guest.exits(
        0,
        "begin=$(cut -d. -f1 /proc/uptime); netapply apply --no-verify
        echo seconds $(($(cut -d. -f1 /proc/uptime) - begin))",
    );
    let seconds = output.stdout.lines().find_map(|line| line.strip_prefix("seconds ")).expect("seconds");
    assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds < 30), "{seconds} s: {}", output.stderr);
    guest.ok("grep -q /dev/ttyS1: /run/netapply/netapply.log");
    guest.shows(1, &["applied, not yet verified"]);
}

/// Several mistakes in one file: a VLAN id out of range, a cycle, a duplicate link name, an invalid address.
const MISTAKES: &str = r#"{"links": [
  {"id": "good", "type": "phy", "ethernet_mac_address": "7c:c2:55:6e:90:44"},
  {"id": "v4095", "type": "vlan", "vlan_link": "good", "vlan_id": 4095},
  {"id": "a", "type": "vlan", "vlan_link": "b", "vlan_id": 5},
  {"id": "b", "type": "vlan", "vlan_link": "a", "vlan_id": 6}],
 "networks": [
  {"id": "n1", "link": "good", "type": "ipv4", "ip_address": "192.0.2.10", "netmask": "255.255.255.0"},
  {"id": "n2", "link": "good", "type": "ipv4", "ip_address": "192.0.2.500", "netmask": "255.255.255.0"}]}
"#;

#[test]
fn mistakes_cost_only_their_dependents() {
    let mut guest = machine(MISTAKES);
    let output = guest.exits(1, "netapply");
    let said = output.stdout + &output.stderr;
    for word in ["4095", "192.0.2.500"] {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
    assert_eq!(names(&mut guest), ["eth0", "eth1"]);
    assert_eq!(addresses(&mut guest, "eth0"), ["192.0.2.10/24"]);
    guest.ok("ping -c 1 -W 30 192.0.2.1");
}

#[test]
fn strict_changes_nothing() {
    refused(MISTAKES, "netapply --strict", 3, &["4095"]);
}

/// On a signal while it waits, netapply exits soon, with a report and without a mount.
#[track_caller]
fn stops_by(signal: &str) {
    // The second NIC of the bond is not in this machine, so there is something to wait for.
    let text = cases::LACP.replace("7c:c2:55:6e:90:45", "7c:c2:55:6e:90:99");
    let mut guest = machine(&text);
    // netapply in the foreground: a shell starts background processes with SIGINT ignored.
    guest.ok(&format!(
        "{{
            for i in $(seq 300); do [ -e /sys/class/net/aggi ] && break; sleep 0.1; done
            kill -{signal} $(pidof netapply)
            sleep 60; kill -9 $(pidof netapply)
        }} &
        netapply --wait=100 >/tmp/out 2>&1; echo $? >/tmp/status; kill $!"
    ));
    let said = guest.ok("cat /tmp/out");
    let status = guest.ok("cat /tmp/status");
    assert_ne!(status.trim(), "137", "it had to be killed\n{said}");
    assert_ne!(status.trim(), "0", "it did not do what was asked\n{said}");
    guest.json("cat /run/netapply/report.json");
    assert_eq!(guest.ok("grep -l iso9660 /proc/[0-9]*/mounts || true"), "");
}

#[test]
fn ctrl_c_while_waiting() {
    stops_by("INT");
}

#[test]
fn sigterm_while_waiting() {
    stops_by("TERM");
}
