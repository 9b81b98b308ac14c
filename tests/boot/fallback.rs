//! Boots without a usable description: no worse than without netapply.

use crate::network::{Neighbour, addresses, nic};
use crate::{booted, machine};
use harness::drive;
use harness::guest::{Builder, Cable};

const MAC: &str = "52:54:00:12:34:03";

/// A machine whose own networkd asks for DHCP on every NIC.
fn with_networkd(cable: &Cable) -> Builder {
    let builder = machine("full")
        .file("/etc/systemd/network/99-dhcp.network", "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n", 0o644)
        .words("systemd.wants=systemd-networkd.service systemd.wants=systemd-networkd-wait-online.service")
        .words("cloud-init=disabled");
    nic(builder, MAC, cable)
}

const STATUS: &str = "systemctl show --value -p ExecMainStatus netapply.service";

#[test]
fn without_a_drive_the_images_own_network_comes_up() {
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let mut guest = with_networkd(&cable).boot();
    let failed = booted(&mut guest);
    assert_eq!(failed, "", "{}", guest.ok("journalctl -b --no-pager | tail -n 80"));
    assert_eq!(guest.ok(STATUS).trim(), "4");
    guest.until("ip -4 address | grep -q 'inet 192[.]0[.]2[.]1'");
    let address = addresses(&mut guest, MAC).remove(0);
    neighbour.guest.ok(&format!("ping -c 1 -W 30 {address}"));
    guest.ok("systemctl is-active network-online.target systemd-networkd-wait-online.service");
    assert_eq!(guest.ok("find /run/netapply -path '*/links/*' -o -name applied"), "");
}

#[test]
fn with_a_broken_description_the_images_own_network_comes_up_and_the_console_says_why() {
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let drive = drive::ironic_iso("{\"links\": [\n  {\"id\": \"nic\", \"type\": \"phy\"\n");
    let mut guest = with_networkd(&cable).words(drive::EXPECTED).cd(drive.path()).boot();
    let failed = booted(&mut guest);
    let mut units: Vec<&str> = failed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    units.sort_unstable();
    // There is nothing to wait for: the other unit is skipped.
    assert_eq!(units, ["netapply.service"], "{failed}");
    assert_eq!(guest.ok(STATUS).trim(), "3");
    guest.until("ip -4 address | grep -q 'inet 192[.]0[.]2[.]1'");
    let address = addresses(&mut guest, MAC).remove(0);
    neighbour.guest.ok(&format!("ping -c 1 -W 30 {address}"));
    assert_eq!(guest.ok("find /run/netapply -path '*/links/*' -o -name applied"), "");
    guest.shows(0, &["network_data.json:3:1"]);
}
