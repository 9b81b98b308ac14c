//! The guest itself, tested with ip(8) alone: the basis of the other tests.

use crate::switch;
use harness::drive;
use harness::guest::{Guest, Kernel};

#[test]
fn scripts_report_output_and_status() {
    let mut guest = Guest::builder().boot();
    let output = guest.run("echo one; echo two >&2; exit 7");
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (7, "one\n", "two\n"));
    guest.ok("echo on the console >/dev/hvc0");
    guest.shows(1, &["on the console"]);
}

#[test]
fn drives_mount_and_plug_in() {
    let iso = drive::ironic_iso("{}");
    let vfat = drive::vfat("config-2", &[("openstack/latest/network_data.json", "[]")]);
    let mut guest = Guest::builder().cd(iso.path()).boot();
    assert_eq!(
        guest.ok("mount -t iso9660 -o ro /dev/sr0 /mnt && cat /mnt/openstack/latest/network_data.json"),
        "{}"
    );
    guest.plug_drive("scsi-hd", "late", vfat.path());
    guest.until("[ -b /dev/sda ]");
    assert_eq!(guest.ok("umount /mnt; mount -t vfat -o ro /dev/sda /mnt; cat /mnt/*/*/*"), "[]");
}

#[test]
fn the_full_kernel_has_sata_usb_and_9p() {
    let iso = drive::ironic_iso("sata");
    let vfat = drive::vfat("config-2", &[("openstack/latest/network_data.json", "usb")]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "shared").unwrap();
    let mut guest = Guest::builder()
        .kernel(Kernel::Full)
        .sata_cd(iso.path())
        .usb_stick(vfat.path())
        .share("config-2", folder.path())
        .boot();
    guest.until("[ -b /dev/sr0 ] && [ -b /dev/sda ]");
    assert_eq!(guest.ok("mount -t iso9660 -o ro /dev/sr0 /mnt && cat /mnt/*/*/*; umount /mnt"), "sata");
    assert_eq!(guest.ok("mount -t vfat -o ro /dev/sda /mnt && cat /mnt/*/*/*; umount /mnt"), "usb");
    assert_eq!(
        guest.ok("mount -t 9p -o trans=virtio,ro config-2 /mnt && cat /mnt/file; umount /mnt"),
        "shared"
    );
}

#[test]
fn a_nic_plugs_in() {
    let mut guest = Guest::builder().boot();
    guest.plug_nic(0, "52:54:00:00:00:09", 9);
    guest.until("grep -q 52:54:00:00:00:09 /sys/class/net/*/address");
}

/// The wires carry LACP: a hub forwards what a real switch's port would not.
#[test]
fn a_bond_finds_its_partner_over_the_wires() {
    let mut guest = switch::machine().boot();
    guest.ok(&switch::lacp(9000, &["10.158.175.248/31"]));
    guest.ok("set -e
        ip link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast
        for nic in eth0 eth1; do ip link set $nic down; ip link set $nic master bond0; done
        ip link set bond0 mtu 9000 up
        ip address add 10.158.175.249/31 dev bond0
        ip link add link bond0 name bond0.7 type vlan id 7");
    // A bond without a partner carries frames as well, over one of its members: the ping alone proves nothing.
    guest.until("[ \"$(grep -c 'system mac address: 02:00:00:00:00:01' /proc/net/bonding/bond0)\" = 2 ]");
    guest.until("ping -c 1 -W 1 -s 8900 10.158.175.248 >/dev/null");
}

#[test]
fn plain_ports_answer() {
    let mut guest = switch::machine().boot();
    guest.ok(&switch::plain(&["192.0.2.1/24", "2001:db8::1/64"]));
    guest.ok("ip link set eth0 up; ip address add 192.0.2.10/24 dev eth0; ip address add 2001:db8::10/64 dev eth0 nodad");
    guest.until("ping -c 1 -W 1 192.0.2.1 >/dev/null && ping -c 1 -W 1 2001:db8::1 >/dev/null");
}

/// `SCRIPT='ip -d link' cargo test --test vm try_out -- --ignored --nocapture`, with `DRIVE=FILE` for an image in its
/// CD-ROM drive.
#[test]
#[ignore = "for trying things in a guest by hand"]
fn try_out() {
    let mut machine = switch::machine().netapply();
    if let Some(drive) = std::env::var_os("DRIVE") {
        machine = machine.cd(drive.as_ref());
    }
    let output = machine.boot().run(&std::env::var("SCRIPT").expect("SCRIPT says what to run"));
    println!("{}{}status {}", output.stdout, output.stderr, output.status);
}
