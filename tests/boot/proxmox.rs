//! Drives as Proxmox writes them, and names: udev's own stay, and netapply adds others.

use crate::network::{Neighbour, addresses, name};
use crate::{healthy, healthy_but, machine};
use harness::drive;
use harness::guest::Cable;

const MACS: [&str; 2] = ["bc:24:11:0a:0b:0c", "bc:24:11:0a:0b:0d"];

const NOCLOUD: &str = "\
version: 1
config:
    - type: physical
      name: eth0
      mac_address: 'bc:24:11:0a:0b:0c'
      subnets:
      - type: static
        address: '192.0.2.10'
        netmask: '255.255.255.0'
        gateway: '192.0.2.1'
      - type: static6
        address: '2001:db8:1::10/64'
        gateway: '2001:db8:1::1'
    - type: physical
      name: eth1
      mac_address: 'bc:24:11:0a:0b:0d'
      subnets:
      - type: static
        address: '192.0.3.10'
        netmask: '255.255.255.0'
    - type: nameserver
      address:
      - '192.0.2.53'
      search:
      - 'example.lan'
";

#[test]
fn nocloud_and_the_names_of_nics() {
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    let id = "instance-id: 3f0c6f6c8d8d0b1f5d0f6b3b7c1d2e3f4a5b6c7d\n";
    let drive = drive::proxmox_iso(
        "cidata",
        &[
            ("meta-data", id),
            ("network-config", NOCLOUD),
            ("user-data", "#cloud-config\n"),
            ("vendor-data", ""),
        ],
    );
    let link = "[Match]\nMACAddress=bc:24:11:0a:0b:0c\n[Link]\nNamePolicy=path\nAlternativeName=front\n";
    let mut guest = machine("base")
        .file("/etc/systemd/network/10-front.link", link, 0o644)
        .nic_in_slot(18, MACS[0], cables[0].a())
        .nic_in_slot(19, MACS[1], cables[1].a())
        .cd(drive.path())
        .words(drive::EXPECTED)
        .boot();
    healthy(&mut guest);

    assert_eq!(addresses(&mut guest, MACS[0]), ["192.0.2.10"]);
    assert_eq!(addresses(&mut guest, MACS[1]), ["192.0.3.10"]);
    let global = guest.json("ip -j -6 address show scope global");
    assert!(global.to_string().contains("2001:db8:1::10"), "{global}");
    // udev named them concurrently; the names in the file are udev's too, and udev's own alternative stays.
    let names = [name(&mut guest, MACS[0]), name(&mut guest, MACS[1])];
    assert_eq!(names, ["enp0s18", "enp0s19"]);
    for (name, alternatives) in [(&names[0], &["front", "eth0"][..]), (&names[1], &["eth1"])] {
        let link = guest.json(&format!("ip -j link show dev {name}"));
        for alternative in alternatives {
            let all = link[0]["altnames"].as_array().unwrap();
            assert!(
                all.iter().any(|each| each == alternative),
                "{name} is also called {alternative}: {link}"
            );
        }
    }
    neighbour
        .guest
        .ok("ping -c 1 -W 30 192.0.2.10 && ping -c 1 -W 30 192.0.3.10 && ping -c 1 -W 30 2001:db8:1::10");
    assert_eq!(neighbour.dhcp(0) + &neighbour.dhcp(1), "");
}

const INTERFACES: &str = "\
auto lo
iface lo inet loopback

        dns_nameservers 192.0.2.53
        dns_search example.lan
auto eth0
iface eth0 inet static
        address 192.0.2.10
        netmask 255.255.255.0
        gateway 192.0.2.1
iface eth0 inet6 static
        address 2001:db8:1::10
        netmask 64
        gateway 2001:db8:1::1
auto eth1
iface eth1 inet static
        address 192.0.3.10
        netmask 255.255.255.0
";

/// The file has no MAC address: net0 and net1 of the virtual machine are identified by their slots.
#[test]
fn configdrive2() {
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    let meta_data = "{\n     \"uuid\": \"0d5b8a3c6f6e4c1a9f0e5d3f6c2a7e108b1f2b9e\",\n     \
        \"network_config\": { \"content_path\": \"/content/0000\" }\n}\n";
    let drive = drive::proxmox_iso(
        "config-2",
        &[
            ("openstack/content/0000", INTERFACES),
            ("openstack/latest/meta_data.json", meta_data),
            ("openstack/latest/user_data", "#cloud-config\n"),
            ("openstack/latest/vendor_data.json", ""),
        ],
    );
    // Attached in the other order, so that only the slots identify them.
    let mut guest = machine("base")
        .nic_in_slot(19, MACS[1], cables[1].a())
        .nic_in_slot(18, MACS[0], cables[0].a())
        .cd(drive.path())
        .words(drive::EXPECTED)
        .boot();
    // The assumed order, for want of a MAC address, is reported once for each NIC.
    healthy_but(&mut guest, &["nic-by-position", "nic-by-position"]);
    assert_eq!(addresses(&mut guest, MACS[0]), ["192.0.2.10"]);
    assert_eq!(addresses(&mut guest, MACS[1]), ["192.0.3.10"]);
    neighbour
        .guest
        .ok("ping -c 1 -W 30 192.0.2.10 && ping -c 1 -W 30 192.0.3.10 && ping -c 1 -W 30 2001:db8:1::10");
}
