//! An initramfs built by dracut with netapply's module: the network is up before the real root is, and still up after.
//! Debian 12's dracut is the oldest that the module supports; the root `newest` has the newest.

use std::path::{Path, PathBuf};

use crate::network::{Neighbour, nic};
use crate::{healthy, machine, script};
use harness::drive;
use harness::guest::{Cable, Guest};

pub(crate) const MAC: &str = "52:54:00:12:34:05";

/// A bond of one NIC with an address and a name server.
pub(crate) fn network_data() -> String {
    serde_json::json!({
        "links": [
            {"id": "nic", "type": "phy", "ethernet_mac_address": MAC, "mtu": 1500},
            {"id": "bond0", "type": "bond", "ethernet_mac_address": MAC, "bond_mode": "active-backup",
             "bond_miimon": 100,
             "bond_links": ["nic"]},
        ],
        "networks": [{
            "id": "net", "link": "bond0", "type": "ipv4", "network_id": "n",
            "ip_address": "192.0.2.10", "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}],
        "services": [{"type": "dns", "address": "192.0.2.53"}]
    })
    .to_string()
}

/// Builds the initramfs from the content of this root, with additional dracut options.
pub(crate) fn initramfs(root: &str, folder: &tempfile::TempDir, options: &[&str]) -> PathBuf {
    let out = folder.path().join("initramfs");
    let mut arguments = [root, env!("CARGO_BIN_EXE_netapply")].map(Path::new).to_vec();
    arguments.push(&out);
    arguments.extend(options.iter().map(Path::new));
    script("tests/boot/initramfs", &arguments);
    out
}

/// Runs last in the initramfs, and writes down what it finds where it survives.
const WITNESS: &str = "ip -j address >/run/before-switch-root 2>&1
cp -a /tmp/net.* /run/ 2>/dev/null
";

fn boot(root: &str, options: &[&str], qemu: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder for the initramfs");
    let initramfs = initramfs(root, &folder, options);
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let drive = drive::ironic_iso(&network_data());
    let builder = machine(root)
        .qemu(qemu)
        .memory(1536)
        .words("cloud-init=disabled systemd.wants=systemd-networkd.service")
        .words(drive::EXPECTED)
        .file(
            "/etc/systemd/network/99-dhcp.network",
            "[Match]\nName=en* bond*\n\n[Network]\nDHCP=yes\n",
            0o644,
        )
        .cd(drive.path())
        .initramfs(&initramfs)
        .at_the_end_of_the_initramfs(WITNESS);
    let mut guest = nic(builder, MAC, &cable).boot();
    healthy(&mut guest);

    // Inside the initramfs.
    let before = guest.ok("cat /run/before-switch-root");
    assert!(
        before.contains("192.0.2.10"),
        "the address was there before the switch to the real root: {before}"
    );
    assert_eq!(guest.ok("cat /run/net.ifaces"), "bond0\n");
    guest.ok("[ -e /run/net.bond0.did-setup ]");
    assert!(guest.ok("cat /run/net.bond0.resolv.conf").contains("nameserver 192.0.2.53"));

    still_up(&mut guest, &mut neighbour);
    assert!(guest.ok("resolvectl dns").contains("192.0.2.53"));
}

/// In the real root: the bond was neither recreated nor handed to another tool.
pub(crate) fn still_up(guest: &mut Guest, neighbour: &mut Neighbour) {
    let links = guest.json("ip -j -d link show master bond0");
    assert!(links[0]["ifname"].as_str().unwrap().starts_with("en"), "{links}");
    let bond = guest.json("ip -j -4 address show dev bond0");
    assert_eq!(bond[0]["addr_info"].as_array().unwrap().len(), 1, "{bond}");
    assert_eq!(bond[0]["addr_info"][0]["local"], "192.0.2.10");
    guest.ok("systemctl is-active netapply.service");
    guest.ok("[ -e /run/netapply/applied ] && [ -e /run/netapply/links/bond0 ]");
    assert!(guest.ok("netapply --dry-run").contains("Steps: none"));
    guest.ok("ping -c 1 -W 30 192.0.2.1");
    neighbour.guest.ok("ping -c 1 -W 30 192.0.2.10");
    assert_eq!(neighbour.dhcp(0), "");
}

#[test]
fn with_systemd_in_the_initramfs() {
    boot("full", &[], &[]);
}

#[test]
fn without_systemd_in_the_initramfs() {
    boot("full", &["--omit", "systemd systemd-initrd dracut-systemd systemd-udevd"], &[]);
}

#[test]
fn with_the_newest_dracut_and_systemd() {
    // Two emulated processors on a busy machine have been seen to deadlock with this udev.
    boot("newest", &[], &["-smp", "1"]);
}
