//! netapply's two units on a plain Debian with udev, dhcpcd and resolvconf, like those of NixOS.

use crate::network::{Neighbour, addresses, name, nic};
use crate::{booted, healthy, machine};
use harness::drive;
use harness::guest::{Builder, Cable, Guest};

const MAC: &str = "7c:c2:55:6e:90:44";

fn network_data() -> String {
    serde_json::json!({
        "links": [{"id": "nic", "type": "phy", "ethernet_mac_address": MAC, "mtu": 1500}],
        "networks": [{
            "id": "net", "link": "nic", "type": "ipv4", "network_id": "n",
            "ip_address": "192.0.2.10", "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}],
        "services": [{"type": "dns", "address": "192.0.2.53"}]
    })
    .to_string()
}

/// A machine with dhcpcd, which manages every NIC, and openresolv, which writes /etc/resolv.conf.
fn with_dhcpcd(cable: &Cable) -> Builder {
    nic(machine("base").words("systemd.wants=dhcpcd.service"), MAC, cable)
}

#[test]
fn the_network_is_up_and_dhcpcd_does_not_start() {
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let drive = drive::ironic_iso(&network_data());
    let mut guest = with_dhcpcd(&cable).words(drive::EXPECTED).cd(drive.path()).boot();
    healthy(&mut guest);

    let name = name(&mut guest, MAC);
    assert!(name.starts_with("en"), "udev gives its predictable name, not {name}");
    assert_eq!(addresses(&mut guest, MAC), ["192.0.2.10"]);
    guest.ok("systemctl is-active network-online.target netapply.service netapply-wait-online.service");
    guest.ok("ping -c 1 -W 30 192.0.2.1");
    neighbour.guest.ok("ping -c 1 -W 30 192.0.2.10");

    let state = guest.ok("systemctl show -p ConditionResult -p ActiveState dhcpcd.service");
    assert!(state.contains("ConditionResult=no") && state.contains("ActiveState=inactive"), "{state}");
    assert_eq!(neighbour.dhcp(0), "", "nobody asked for a lease");
    // openresolv has the name server in its records, and so keeps it when others add theirs.
    let records = guest.ok("resolvconf -l");
    assert!(records.contains("192.0.2.53"), "{records}");
    let servers = guest.ok("grep ^nameserver /etc/resolv.conf");
    assert_eq!(servers, "nameserver 192.0.2.53\n");
    guest.ok("resolvconf -u");
    assert_eq!(guest.ok("grep ^nameserver /etc/resolv.conf"), servers);
}

#[test]
fn without_a_drive_dhcpcd_takes_over_and_systemd_finds_no_fault_in_the_units() {
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let initrd = include_str!("../../dracut/50netapply/netapply-initrd.service");
    let mut guest =
        with_dhcpcd(&cable).file("/usr/lib/systemd/system/netapply-initrd.service", initrd, 0o644).boot();
    assert_eq!(booted(&mut guest), "", "{}", guest.ok("journalctl -b --no-pager | tail -n 60"));
    guest.until("ip -4 address | grep -q 'inet 192[.]0[.]2[.]1[01]'");
    let address = addresses(&mut guest, MAC).remove(0);
    neighbour.guest.ok(&format!("ping -c 1 -W 30 {address}"));
    guest.ok("systemctl is-active dhcpcd.service");
    check_units(&mut guest);
}

/// systemd's own verdict on units and drop-ins.
fn check_units(guest: &mut Guest) {
    let units = "netapply.service netapply-wait-online.service netapply-initrd.service";
    let output = guest.exits(0, &format!("systemd-analyze --man=no verify {units}"));
    assert_eq!(output.stderr, "");
    // In tenths: systemd's exposure level, of 10.
    let units = [
        ("netapply.service", 41),
        ("netapply-wait-online.service", 35),
        ("netapply-initrd.service", 41),
        ("netapply-lease.service", 37),
    ];
    for (unit, most) in units {
        guest.ok(&format!("systemd-analyze --no-pager security --threshold={most} {unit}"));
    }
    // A drop-in is read with its unit; units missing from this root get a placeholder.
    let output = guest.exits(
        0,
        "cd /usr/lib/systemd/system; units=
        for folder in *.d; do
            grep -qs netapply \"$folder/50-netapply.conf\" || continue
            unit=${folder%.d}
            [ -e \"$unit\" ] || printf '[Service]\\nType=oneshot\\nExecStart=/bin/true\\n' >\"$unit\"
            units=\"$units $(echo \"$unit\" | sed 's/@/@eth0/')\"
        done
        echo $units
        systemd-analyze --man=no verify $units",
    );
    assert!(output.stdout.split_whitespace().count() >= 9, "{}", output.stdout);
    assert!(!output.stderr.contains("50-netapply.conf"), "{}", output.stderr);
}
