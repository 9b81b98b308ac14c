//! netapply's two units on a plain Debian with udev.

use crate::guest::{Cable, Guest};
use crate::{booted, drive, machine};

const MAC: &str = "7c:c2:55:6e:90:44";

fn network_data() -> String {
    serde_json::json!({
        "links": [{"id": "nic", "type": "phy", "ethernet_mac_address": MAC, "mtu": 1500}],
        "networks": [{
            "id": "net", "link": "nic", "type": "ipv4", "network_id": "n",
            "ip_address": "192.0.2.10", "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}],
        "services": []
    })
    .to_string()
}

/// A machine on the other end of the cable: the gateway.
fn gateway(cable: &Cable) -> Guest {
    let mut gateway =
        Guest::builder().nic_on_cable("02:00:00:00:00:01", cable.b()).words("net.ifnames=0").boot();
    gateway.ok("ip link set eth0 up; ip address add 192.0.2.1/24 dev eth0");
    gateway
}

#[test]
fn the_network_is_up_and_udev_has_named_the_nic() {
    let cable = Cable::new();
    let mut gateway = gateway(&cable);
    let drive = drive::ironic_iso(&network_data());
    // Nothing in this root asks for the network by itself.
    let mut guest = machine("base")
        .words("systemd.wants=network-online.target")
        .nic_on_cable(MAC, cable.a())
        .cd(drive.path())
        .boot();
    assert_eq!(
        booted(&mut guest),
        "",
        "{}",
        guest.ok("systemctl status netapply; journalctl -b --no-pager | tail -n 60")
    );

    let links = guest.json("ip -j link");
    let nic = links.as_array().unwrap().iter().find(|link| link["address"] == MAC).expect("the NIC is there");
    let name = nic["ifname"].as_str().unwrap();
    assert!(name.starts_with("en"), "udev gives its predictable name, not {name}");
    let addresses = guest.json(&format!("ip -j -4 address show dev {name}"));
    assert_eq!(addresses[0]["addr_info"][0]["local"], "192.0.2.10");
    guest.ok("systemctl is-active network-online.target netapply.service netapply-wait-online.service");
    gateway.ok("ping -c 1 -W 5 192.0.2.10");
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    let mut guest = machine("base").boot();
    booted(&mut guest);
    let output = guest.exits(0, "systemd-analyze verify netapply.service netapply-wait-online.service");
    assert_eq!(output.stderr, "");
}
