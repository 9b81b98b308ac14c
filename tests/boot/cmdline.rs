//! The kernel command line as the description, in an initramfs of dracut and in one of initramfs-tools: the network is up
//! before the root is, and netapply.service finds it as described.

use crate::dracut::initramfs;
use crate::network::{Neighbour, nic};
use crate::{healthy, machine};
use harness::guest::Cable;

const MAC: &str = "52:54:00:12:34:05";
const WORDS: &str = "netapply.source=cmdline ifname=port0:52:54:00:12:34:05 \
    bond=bond0:port0:mode=active-backup,miimon=100 vlan=bond0.7:bond0 \
    ip=192.0.2.10::192.0.2.1:255.255.255.0:node1:bond0:none ip=198.51.100.7:::24::bond0.7:none \
    rd.route=203.0.113.0/24:192.0.2.1:bond0 nameserver=192.0.2.53";
/// As docs/initramfs.md keeps dracut's own network modules off.
const OMITTED: &[&str] = &["--omit", "network network-legacy network-manager systemd-networkd connman"];

fn boot(root: &str, options: &[&str], wanted: &str, witness: &str) {
    let folder = tempfile::tempdir().expect("a folder for the initramfs");
    let initramfs = initramfs(root, &folder, options);
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let builder = machine(root)
        .memory(1536)
        .words("cloud-init=disabled")
        .words(wanted)
        .words(WORDS)
        .initramfs(&initramfs)
        .at_the_end_of_the_initramfs(&format!("{witness} >/run/before-the-root 2>&1"));
    let mut guest = nic(builder, MAC, &cable).boot();
    healthy(&mut guest);
    let before = guest.ok("cat /run/before-the-root");
    assert!(before.contains("192.0.2.10") && before.contains("198.51.100.7"), "{before}");
    let bond = guest.json("ip -j -d link show master bond0");
    assert_eq!(bond[0]["ifname"], "port0", "{bond}");
    assert!(guest.ok("netapply --dry-run --source cmdline").contains("Steps: none"));
    let route = guest.json("ip -j route show 203.0.113.0/24");
    assert_eq!((&route[0]["gateway"], &route[0]["dev"]), (&"192.0.2.1".into(), &"bond0".into()), "{route}");
    guest.ok("ip -d link show dev bond0.7 | grep -q 'vlan protocol 802.1Q id 7 '");
    guest.ok("ping -c 1 -W 30 192.0.2.1");
    neighbour.guest.ok("ping -c 1 -W 30 192.0.2.10");
    assert_eq!(neighbour.dhcp(0), "", "nobody asked for a lease");
}

/// By hand and by the nightly workflow, `tests/all boots`.
#[test]
#[ignore = "one boot more would make a whole run too long"]
fn dracut_leaves_the_command_line_to_netapply() {
    boot("full", OMITTED, "systemd.wants=systemd-networkd.service", "ip -j address");
}

#[test]
#[ignore = "one boot more would make a whole run too long"]
fn initramfs_tools_leaves_the_command_line_to_netapply() {
    // It contains no ip(8).
    boot("base", &[], "systemd.wants=dhcpcd.service", "cat /proc/net/fib_trie");
}
