//! An initramfs built by initramfs-tools with netapply's hook: the network is up before the root file system is looked
//! for, and still up after.

use crate::dracut::{MAC, initramfs, network_data, still_up};
use crate::network::{Neighbour, nic};
use crate::{healthy, machine};
use harness::drive;
use harness::guest::Cable;

#[test]
fn the_network_is_up_before_the_root_is() {
    let folder = tempfile::tempdir().expect("a folder for the initramfs");
    let initramfs = initramfs("base", &folder, &[]);
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let drive = drive::ironic_iso(&network_data());
    let builder = machine("base")
        .memory(1536)
        .words("systemd.wants=dhcpcd.service")
        .words(drive::EXPECTED)
        .cd(drive.path())
        .initramfs(&initramfs)
        // It contains no ip(8).
        .at_the_end_of_the_initramfs("cat /proc/net/fib_trie >/run/before-the-root");
    let mut guest = nic(builder, MAC, &cable).boot();
    healthy(&mut guest);

    let before = guest.ok("cat /run/before-the-root");
    assert!(before.contains("192.0.2.10"), "the address was not there before the root: {before}");
    still_up(&mut guest, &mut neighbour);
}
