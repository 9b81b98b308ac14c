//! The boot's clock: when the network is as described, and what happened until then, beside the same boots with other tools.
//!
//! `cargo bench --bench boot` boots the ramdisk of the tests with a config drive in four ways: with netapply; with a unit
//! that runs netapply's own plan as a shell script (`--format sh`), after `udevadm settle` and a mount; with glean and
//! ifupdown, as the ramdisk has them; and a Debian root with cloud-init, with and without netapply. The guests are
//! emulated and their clock counts instructions, a nanosecond each, on one processor: only the ratios of these times are
//! meaningful, and they are the same however busy the machine is. `cargo bench --bench boot -- script` runs only the
//! boots with that word in their name. Nothing is judged here.

use harness::boot::{baked, machine, ramdisk};
use harness::drive::{self, Drive};
use harness::guest::{Builder, Guest};

const NIC: &str = "7c:c2:55:6e:90:44";
/// The NIC that is the gateway, in a network namespace of the same guest.
const FAR: &str = "02:00:00:00:01:00";

const NETWORK_DATA: &str = r#"{
  "links": [{"id": "nic0", "type": "phy", "ethernet_mac_address": "7c:c2:55:6e:90:44", "mtu": 1500}],
  "networks": [{"id": "net0", "link": "nic0", "type": "ipv4", "network_id": "net0", "ip_address": "192.0.2.10",
    "netmask": "255.255.255.0", "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}],
  "services": []}"#;
const NETPLAN: &str = r#"version: 2
ethernets:
  nic0:
    match: {macaddress: "7c:c2:55:6e:90:44"}
    addresses: [192.0.2.10/24]
    routes: [{to: 0.0.0.0/0, via: 192.0.2.1}]
"#;
/// The machine before it is configured, for the plan's script.
const INVENTORY: &str = r#"{"links": [{"name": "eth0", "mac": "7c:c2:55:6e:90:44", "mtu": 1500}]}"#;

/// Writes down when the kernel's addresses and routes change.
const RECORDER: &str = "[Unit]\nDefaultDependencies=no\n[Service]\n\
    ExecStart=/bin/sh -c 'exec ip -4 -ts monitor address route >/run/changes'\n";
/// Makes the second NIC the gateway.
const GATEWAY: &str =
    "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh /usr/local/bin/gateway\n";
const GATEWAY_SCRIPT: &str =
    "until grep -l 02:00:00:00:01:00 /sys/class/net/*/address >/run/far; do sleep 0.1; done
nic=$(sed 's,/sys/class/net/,,; s,/address,,' /run/far)
ip netns add far
ip link set \"$nic\" netns far
ip -n far address add 192.0.2.1/24 dev \"$nic\"
ip -n far link set \"$nic\" up
";
/// What somebody without netapply would write: the plan's own commands once the NICs and the drive are there.
const SCRIPT: &str = "[Unit]\nDefaultDependencies=no\nWants=network-pre.target systemd-udev-trigger.service\n\
    Before=network-pre.target network-online.target systemd-networkd.service\n\
    Before=system-glean.slice ironic-agent-resolve-config-drive.service\n\
    After=systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service\n\
    [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -e /usr/local/bin/network\n";
const SCRIPT_HEAD: &str = "udevadm settle
mkdir -p /run/drive
mount -o ro /dev/disk/by-label/config-2 /run/drive
test -e /run/drive/openstack/latest/network_data.json
umount /run/drive
";

/// networkd has no link here, and its wait would end after two minutes.
const NO_WAIT: &str = "systemd.mask=systemd-networkd-wait-online.service";

/// A boot: its name, the unit that configures the network, and the machine.
struct Boot {
    name: &'static str,
    units: &'static [&'static str],
    machine: fn(&Drives) -> Builder,
}

struct Drives {
    folder: tempfile::TempDir,
    config: Drive,
    seed: Drive,
}

const BOOTS: &[Boot] = &[
    Boot {
        name: "ramdisk, netapply",
        units: &["netapply.service", "netapply-wait-online.service"],
        machine: |drives| in_ramdisk(Guest::builder().ramdisk(&baked(drives.folder.path())), drives),
    },
    Boot {
        name: "ramdisk, the plan's script",
        units: &["script.service"],
        machine: |drives| {
            let builder = Guest::builder()
                .ramdisk(&ramdisk())
                .words("systemd.mask=systemd-networkd-wait-online.service");
            let script = format!("{SCRIPT_HEAD}{}", plan(drives));
            let builder = builder.file("/usr/local/bin/network", script, 0o755);
            started(in_ramdisk(builder, drives), "script.service", SCRIPT)
        },
    },
    Boot {
        name: "ramdisk, glean and ifupdown",
        units: &["ironic-agent-resolve-config-drive.service", "glean@eth0.service"],
        machine: |drives| {
            // As it is, the drive is looked for before udev has its label, and glean falls back to DHCP.
            let later = "[Unit]\nWants=systemd-udev-settle.service\nAfter=systemd-udev-settle.service\n";
            let path = "/etc/systemd/system/ironic-agent-resolve-config-drive.service.d/settle.conf";
            let builder = Guest::builder().ramdisk(&ramdisk()).file(path, later, 0o644);
            in_ramdisk(builder.words(NO_WAIT), drives)
        },
    },
    Boot {
        name: "root, netapply and cloud-init",
        units: &["netapply.service", "netapply-wait-online.service", "cloud-init-local.service"],
        machine: |drives| in_root(drives),
    },
    Boot {
        name: "root, cloud-init and networkd",
        units: &["cloud-init-local.service", "systemd-networkd.service"],
        machine: |drives| in_root(drives).words("netapply=off systemd.wants=systemd-networkd.service"),
    },
];

fn in_ramdisk(builder: Builder, drives: &Drives) -> Builder {
    let builder = builder.memory(2560).cd(drives.config.path());
    let builder = builder.words(&format!("boot_method=vmedia ir_pub_id={}", drive::PUBLISHER.to_uppercase()));
    with_gateway(
        builder.words("systemd.mask=ironic-python-agent.service systemd.wants=network-online.target"),
    )
}

fn in_root(drives: &Drives) -> Builder {
    let cloud = "cloud_init_modules: []\ncloud_config_modules: []\ncloud_final_modules: []\n";
    let builder = machine("full").words(drive::EXPECTED).cd(drives.seed.path());
    with_gateway(builder.file("/etc/cloud/cloud.cfg.d/60-bench.cfg", cloud, 0o644))
}

fn with_gateway(builder: Builder) -> Builder {
    let builder = builder.counted().words("net.ifnames=0").nic(NIC, 1).nic(FAR, 1);
    let builder = builder.file("/usr/local/bin/gateway", GATEWAY_SCRIPT, 0o755);
    started(started(builder, "recorder.service", RECORDER), "gateway.service", GATEWAY)
}

fn started(builder: Builder, unit: &str, text: &str) -> Builder {
    let builder = builder.file(&format!("/etc/systemd/system/{unit}"), text, 0o644);
    builder.link(
        &format!("/etc/systemd/system/sysinit.target.wants/{unit}"),
        &format!("/etc/systemd/system/{unit}"),
    )
}

/// The plan as a shell script.
fn plan(drives: &Drives) -> String {
    let path = |name: &str| drives.folder.path().join(name);
    std::fs::write(path("inventory.json"), INVENTORY).expect("an inventory");
    std::fs::write(path("network_data.json"), NETWORK_DATA).expect("a description");
    let output = std::process::Command::new(harness::netapply())
        .args(["--dry-run", "--format", "sh", "--inventory"])
        .args([path("inventory.json"), path("network_data.json")])
        .output()
        .expect("netapply runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a script")
}

/// What was seen of a boot, in seconds since the kernel's start.
fn seen(boot: &Boot, guest: &mut Guest) {
    guest.until("ip -4 address | grep -q 192.0.2.10 && ip -4 route | grep -q '^default via 192.0.2.1'");
    guest.until("[ $(systemctl show -P ActiveEnterTimestampMonotonic network-online.target) != 0 ]");
    let clock = guest.ok("cut -d' ' -f1 /proc/uptime; date +%H:%M:%S.%N; cat /run/changes");
    let mut lines = clock.lines();
    let uptime: f64 = lines.next().and_then(|text| text.parse().ok()).expect("the uptime");
    let now = seconds(lines.next().expect("the time of day"));
    let changes: Vec<&str> = lines.collect();
    let first = |what: &str| {
        let line = changes.iter().find(|line| line.contains(what) && !line.contains("Deleted"));
        let line = line.unwrap_or_else(|| panic!("no {what} in {changes:#?}"));
        // "[2026-01-01T12:00:00.123456] default via ..."
        let stamp = line.split(['T', ']']).nth(1).expect("a time stamp");
        uptime - (now - seconds(stamp))
    };
    let state = first("192.0.2.10").max(first("default via 192.0.2.1"));
    let user_space = monotonic(guest, "UserspaceTimestampMonotonic", "");
    let online = monotonic(guest, "ActiveEnterTimestampMonotonic", "network-online.target");
    println!("{}", boot.name);
    println!("  {:>6.2} s  the state is as described", state - user_space);
    println!("  {:>6.2} s  network-online.target", online - user_space);
    for unit in boot.units {
        let [start, end] = ["ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic"]
            .map(|stamp| monotonic(guest, stamp, unit) - user_space);
        match (start > 0.0, end > 0.0) {
            (true, true) => println!("  {start:>6.2} s  {unit}, until {end:.2} s"),
            (true, false) => println!("  {start:>6.2} s  {unit}, which runs on"),
            _ => println!("           {unit} did not start"),
        }
    }
    if boot.units.contains(&"netapply.service") {
        print!("{}", guest.ok("netapply report --timeline"));
    }
    println!();
}

/// A time stamp of a unit, or of systemd itself, in seconds since the kernel's start.
fn monotonic(guest: &mut Guest, stamp: &str, unit: &str) -> f64 {
    let text = guest.ok(&format!("systemctl show -P {stamp} {unit}"));
    text.trim().parse::<f64>().unwrap_or_default() / 1e6
}

/// A time of day in seconds.
fn seconds(text: &str) -> f64 {
    text.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a part of a time"))
}

fn main() {
    let wanted = std::env::args().skip(1).find(|word| word != "--bench").unwrap_or_default();
    let drives = Drives {
        folder: tempfile::tempdir().expect("a folder"),
        config: drive::ironic_iso(NETWORK_DATA),
        seed: drive::iso(
            &["-J", "-r", "-V", "cidata"],
            &[
                ("meta-data", "instance-id: i-1\n"),
                ("user-data", "#cloud-config\n"),
                ("network-config", NETPLAN),
            ],
        ),
    };
    println!("seconds since the start of user space; a second is 1,000,000,000 instructions\n");
    for boot in BOOTS.iter().filter(|boot| boot.name.contains(&wanted)) {
        let mut guest = (boot.machine)(&drives).boot();
        seen(boot, &mut guest);
    }
}
