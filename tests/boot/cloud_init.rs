//! A Debian with cloud-init and a NoCloud drive, alone and with each network manager: netapply runs first, and the
//! network stays as described.

use crate::network::{Neighbour, addresses, name, nic};
use crate::{healthy, machine};
use harness::drive;
use harness::guest::{Builder, Cable, Guest};

/// The NIC that the drive describes.
const STATIC: &str = "52:54:00:12:34:01";
/// A NIC that is not in the description.
const OTHER: &str = "52:54:00:12:34:02";

const DESCRIPTION: &str = r#"
version: 2
ethernets:
  uplink:
    match: {macaddress: "52:54:00:12:34:01"}
    addresses: [192.0.2.10/24]
    routes: [{to: 0.0.0.0/0, via: 192.0.2.1}, {to: 0.0.0.0/0, via: 192.0.2.1, table: 100}]
    routing-policy: [{from: 198.51.100.0/24, table: 100, priority: 1000}]
    nameservers: {addresses: [192.0.2.53], search: [example.lan]}
"#;

/// What is added to it later, by hand.
const BY_HAND: &str = r#"
  second:
    match: {macaddress: "52:54:00:12:34:02"}
    addresses: [192.0.3.20/24]
    nameservers: {addresses: [192.0.3.53]}
"#;

/// Runs before cloud-init's first stage and writes down what it finds.
const WITNESS: &str = "[Service]\nExecStartPre=/bin/sh -c 'ip -j address >/run/before-cloud-init'\n";

/// The modules that a test needs; others require locales and an SSH server.
const CLOUD_CFG: &str = "cloud_init_modules: [write-files]\n\
    cloud_config_modules: []\ncloud_final_modules: []\n";

fn cidata() -> drive::Drive {
    drive::iso(
        &["-J", "-r", "-V", "cidata"],
        &[
            ("meta-data", "instance-id: i-1\nlocal-hostname: web1\n"),
            ("user-data", "#cloud-config\nwrite_files:\n- {path: /run/user-data-was-here, content: here}\n"),
            ("network-config", DESCRIPTION),
        ],
    )
}

/// A machine with the drive, and the NICs on their cables.
fn with_cloud_init(drive: &drive::Drive, cables: &[Cable; 2]) -> Builder {
    let builder = machine("full")
        .file("/usr/lib/systemd/system/cloud-init-local.service.d/witness.conf", WITNESS, 0o644)
        .file("/etc/cloud/cloud.cfg.d/60-test.cfg", CLOUD_CFG, 0o644)
        .words(drive::EXPECTED)
        .cd(drive.path());
    nic(nic(builder, STATIC, &cables[0]), OTHER, &cables[1])
}

/// What holds with any other tools in the image.
fn check(guest: &mut Guest, neighbour: &mut Neighbour) {
    healthy(guest);

    let before = guest.ok("cat /run/before-cloud-init");
    assert!(before.contains("192.0.2.10"), "the address was there before cloud-init: {before}");
    guest.until("[ -e /run/cloud-init/result.json ]");
    guest.ok("cat /run/user-data-was-here");
    let result = guest.json("cat /run/cloud-init/result.json");
    assert_eq!(result["v1"]["errors"], serde_json::json!([]), "{result}");
    assert!(result["v1"]["datasource"].as_str().unwrap().contains("NoCloud"), "{result}");
    let rendered =
        guest.ok("ls /etc/netplan /etc/network/interfaces.d /run/systemd/network 2>/dev/null || true");
    assert!(!rendered.contains("cloud-init"), "cloud-init wrote a network configuration: {rendered}");

    let nic = name(guest, STATIC);
    assert!(nic.starts_with("en"), "udev gives its predictable name, not {nic}");
    assert_eq!(addresses(guest, STATIC), ["192.0.2.10"]);
    let routes = guest.json(&format!("ip -j -4 route show default dev {nic}"));
    assert_eq!(routes[0]["gateway"], "192.0.2.1");
    assert_eq!(routes.as_array().unwrap().len(), 1, "{routes}");
    let rules = guest.ok("ip rule");
    assert!(rules.contains("from 198.51.100.0/24 lookup 100"), "{rules}");
    assert!(guest.ok("ip route show table 100").contains("192.0.2.1"));
    let servers = guest.ok("resolvectl dns; resolvectl domain");
    assert!(servers.contains("192.0.2.53") && servers.contains("example.lan"), "{servers}");

    guest.ok("ping -c 1 -W 30 192.0.2.1");
    neighbour.guest.ok("ping -c 1 -W 30 192.0.2.10");
    assert_eq!(neighbour.dhcp(0), "", "nobody asked for a lease on the described NIC");
    let again = guest.ok("netapply --dry-run");
    assert!(again.contains("Steps: none"), "{again}");
}

#[test]
fn cloud_init_leaves_the_network_alone() {
    let (drive, cables) = (cidata(), [Cable::new(), Cable::new()]);
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    let mut guest = with_cloud_init(&drive, &cables).boot();
    check(&mut guest, &mut neighbour);
}

#[test]
fn network_manager_leaves_the_described_nic_alone() {
    let (drive, cables) = (cidata(), [Cable::new(), Cable::new()]);
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    let mut guest = with_cloud_init(&drive, &cables)
        .words("systemd.wants=NetworkManager.service systemd.wants=NetworkManager-wait-online.service")
        .boot();
    check(&mut guest, &mut neighbour);
    // It works: the undescribed NIC is its own.
    guest.until("ip -4 address | grep -q 'inet 192[.]0[.]3[.]1'");
    assert_ne!(neighbour.dhcp(1), "");
    let devices = guest.ok("nmcli -t -f DEVICE,STATE device");
    let nic = name(&mut guest, STATIC);
    assert!(devices.contains(&format!("{nic}:unmanaged")), "{devices}");
    skipped(&mut guest, "NetworkManager-wait-online.service");
    assert_eq!(addresses(&mut guest, STATIC), ["192.0.2.10"]);
    assert_eq!(neighbour.dhcp(0), "");
}

#[test]
fn networkd_leaves_the_described_nic_alone() {
    let (drive, cables) = (cidata(), [Cable::new(), Cable::new()]);
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    let mut guest = with_cloud_init(&drive, &cables)
        // As in the agent's Debian ramdisk.
        .file("/etc/systemd/network/99-dhcp.network", "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n", 0o644)
        .words("systemd.wants=systemd-networkd.service systemd.wants=systemd-networkd-wait-online.service")
        .boot();
    check(&mut guest, &mut neighbour);
    guest.until("ip -4 address | grep -q 'inet 192[.]0[.]3[.]1'");
    assert_ne!(neighbour.dhcp(1), "");
    let nic = name(&mut guest, STATIC);
    let links = guest.ok("networkctl --no-legend --no-pager list");
    let line = links.lines().find(|line| line.contains(&nic)).expect("networkd lists the NIC");
    assert!(line.contains("unmanaged"), "{links}");
    skipped(&mut guest, "systemd-networkd-wait-online.service");
    // networkd has configured a link by now, which is when it drops others' rules and routes.
    assert!(guest.ok("ip rule").contains("from 198.51.100.0/24 lookup 100"));
    assert_eq!(addresses(&mut guest, STATIC), ["192.0.2.10"]);
    assert_eq!(neighbour.dhcp(0), "");

    // By hand, with everything running already: networkd releases the NIC, and systemd-resolved has the additional
    // server.
    let other = name(&mut guest, OTHER);
    let both = format!("{DESCRIPTION}{BY_HAND}");
    guest.ok(&format!("cat >both.yaml <<'END'\n{both}END\nnetapply apply --no-verify both.yaml"));
    guest.until(&format!("networkctl --no-legend --no-pager list {other} | grep -q unmanaged"));
    guest.until("resolvectl dns | grep -q 192[.]0[.]3[.]53");
    guest.until(&format!("[ \"$(ip -4 -o address show dev {other} | wc -l)\" = 1 ]"));
    assert_eq!(addresses(&mut guest, OTHER), ["192.0.3.20"]);
    assert_eq!(addresses(&mut guest, STATIC), ["192.0.2.10"]);
    assert!(guest.ok("netapply --dry-run both.yaml").contains("Steps: none"));
    neighbour.guest.ok("ping -c 1 -W 30 192.0.3.20");
}

/// The unit was requested but its condition was not met.
fn skipped(guest: &mut Guest, unit: &str) {
    let state = guest.ok(&format!("systemctl show -p ConditionResult -p ConditionTimestampMonotonic {unit}"));
    assert!(state.contains("ConditionResult=no"), "{unit}: {state}");
    assert!(!state.contains("ConditionTimestampMonotonic=0\n"), "{unit} was never asked for: {state}");
}
