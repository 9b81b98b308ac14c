//! Descriptions found in the field, each from a drive to a working network.
//!
//! The order of each test: the drive, the machine, the switch; `netapply`; what ip(8) and the other end of the wire
//! show; a second `netapply`, which finds nothing to do.

use serde_json::json;

use crate::oracle::{addresses, link, names, ports, routes};
use crate::switch::{self, NICS};
use harness::drive;
use harness::guest::{Guest, Output};

/// A two-NIC LACP bond with jumbo frames and a /31, as a Terraform pipeline for Metal3 writes it.
pub(crate) const LACP: &str = r#"{"links": [
  {"id": "private-int1", "type": "phy", "ethernet_mac_address": "7c:c2:55:6e:90:44", "mtu": 9000},
  {"id": "private-int2", "type": "phy", "ethernet_mac_address": "7c:c2:55:6e:90:45", "mtu": 9000},
  {"id": "aggi", "type": "bond", "bond_links": ["private-int1", "private-int2"], "bond_mode": "802.3ad", "mtu": 9000}],
 "networks": [
  {"id": "private_network", "link": "aggi", "type": "ipv4", "ip_address": "10.158.175.249", "netmask": "255.255.255.254",
   "routes": [{"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "10.158.175.248"}]}]}
"#;

/// Runs netapply, which must exit with this status and leave a matching report; then once more, which must find nothing
/// to do.
#[track_caller]
fn apply(guest: &mut Guest, status: i32) -> Output {
    let output = guest.exits(status, "netapply");
    let report = guest.json("cat /run/netapply/report.json");
    assert_eq!(report["exit"], status, "{report:#}");
    let planned = guest.run("netapply --dry-run --json").stdout;
    let planned: serde_json::Value = serde_json::from_str(&planned).expect("--json prints JSON");
    assert_eq!(planned["steps"], json!([]), "there is nothing left to do");
    let again = guest.run("netapply apply --no-verify --json");
    let again: serde_json::Value = serde_json::from_str(&again.stdout).expect("--json prints JSON");
    assert_eq!(again["applied"]["planned"], 0, "a second run does nothing: {again:#}");
    assert_eq!(guest.ok("grep -E 'iso9660|vfat' /proc/mounts || true"), "", "the drive is not left mounted");
    output
}

#[test]
fn lacp_bond_with_jumbo_frames_and_a_31() {
    let drive = drive::ironic_iso(LACP);
    let mut guest = switch::machine().netapply().cd(drive.path()).boot();
    guest.ok(&switch::lacp(9000, &["10.158.175.248/31"]));
    apply(&mut guest, 0);

    assert_eq!(names(&mut guest), ["aggi", "eth0", "eth1"]);
    let bond = link(&mut guest, "aggi");
    assert_eq!(bond["linkinfo"]["info_data"]["mode"], "802.3ad");
    assert_eq!(bond["mtu"], 9000);
    for nic in ["eth0", "eth1"] {
        let nic = link(&mut guest, nic);
        assert_eq!((&nic["master"], &nic["mtu"]), (&json!("aggi"), &json!(9000)));
    }
    assert_eq!(addresses(&mut guest, "aggi"), ["10.158.175.249/31"]);
    assert_eq!(routes(&mut guest), ["10.0.0.0/8 via 10.158.175.248 dev aggi"]);
    let bonding = guest.ok("cat /proc/net/bonding/aggi");
    assert_eq!(bonding.matches("system mac address: 02:00:00:00:00:01").count(), 2, "{bonding}");
    guest.ok("ping -c 1 -W 30 -s 8900 10.158.175.248");
}

#[test]
fn a_drive_in_pure_udf_is_found_by_its_label_and_mounted_by_the_kernel() {
    let drive = drive::udf("config-2", &[("openstack/latest/network_data.json", LACP)]);
    let machine = || switch::machine().netapply().cd(drive.path()).boot();
    let mut guest = machine();
    guest.ok("netapply apply --no-verify");
    assert_eq!(ports(&mut guest, "aggi"), ["eth0", "eth1"]);
    guest.ok("lsmod | grep -q ^udf && ! grep -q udf /proc/mounts");

    let mut guest = machine();
    guest.ok("rm $(find /lib/modules -name 'udf.ko*') && depmod");
    let output = guest.exits(3, "netapply apply --no-verify --wait=0");
    let said = output.stdout + &output.stderr;
    assert!(said.contains("Put the module udf into the image"), "{said}");
}

/// NixOS has no /lib/modules, and modprobe and resolvconf are in its store. What a real one is made of beyond that is not here.
#[test]
fn modules_are_loaded_from_nixos_own_folder() {
    let drive = drive::cidata_iso(
        "version: 2
ethernets:
  a: {match: {macaddress: '7c:c2:55:6e:90:44'}}
  b: {match: {macaddress: '7c:c2:55:6e:90:45'}}
bonds:
  bond0: {interfaces: [a, b], parameters: {mode: active-backup}, addresses: [192.0.2.10/24]}
vlans:
  bond0.100: {id: 100, link: bond0, addresses: [10.1.0.10/24]}
tunnels:
  vx42: {mode: vxlan, id: 42, local: 192.0.2.10, remote: 192.0.2.11, addresses: [10.2.0.10/24]}
vrfs:
  red: {table: 100, interfaces: [bond0.100]}
",
    );
    let mut guest = Guest::builder().nic(NICS[0], 1).nic(NICS[1], 2).netapply().cd(drive.path()).boot();
    guest.ok("store=/nix/store/00000000000000000000000000000000-kernel-modules
        mkdir -p $store/lib /run/booted-system /nix/store/00000000000000000000000000000000-kmod/bin
        mv /lib/modules $store/lib
        ln -s $store /run/booted-system/kernel-modules
        echo /nix/store/00000000000000000000000000000000-kmod/bin/modprobe >/proc/sys/kernel/modprobe
        ! grep -qE '^(bonding|8021q|vxlan|vrf) ' /proc/modules");
    guest.ok("netapply apply --no-verify");
    assert_eq!(names(&mut guest), ["bond0", "bond0.100", "eth0", "eth1", "red", "vx42"]);
    assert_eq!(ports(&mut guest, "bond0"), ["eth0", "eth1"]);
    assert_eq!(link(&mut guest, "bond0.100")["master"], "red");
    assert_eq!(link(&mut guest, "vx42")["linkinfo"]["info_data"]["id"], 42);
    for module in ["bonding", "8021q", "vxlan", "vrf"] {
        guest.ok(&format!("grep -q '^{module} ' /proc/modules"));
    }
}

/// The bonding module creates an aggi of its own when the first bond is requested, which conflicts with ours.
#[test]
fn a_bond_that_loads_the_module() {
    let text = LACP.replace("aggi", "bond0");
    let drive = drive::vfat("config-2", &[("openstack/latest/network_data.json", &text)]);
    let mut guest = Guest::builder().nic(NICS[0], 1).nic(NICS[1], 2).netapply().disk(drive.path()).boot();
    guest.ok("! lsmod | grep -q bonding");
    guest.ok("netapply apply --no-verify");
    assert_eq!(names(&mut guest), ["bond0", "eth0", "eth1"]);
    assert_eq!(link(&mut guest, "bond0")["linkinfo"]["info_data"]["mode"], "802.3ad");
    assert_eq!(ports(&mut guest, "bond0"), ["eth0", "eth1"]);
}

#[test]
fn a_member_that_the_text_lacks_is_reported_and_the_bond_comes_up() {
    let text: String =
        LACP.lines().filter(|line| !line.contains(r#""id": "private-int2""#)).collect::<Vec<_>>().join("\n");
    let drive = drive::vfat("config-2", &[("openstack/latest/network_data.json", &text)]);
    let mut guest = switch::machine().netapply().disk(drive.path()).boot();
    guest.ok(&switch::lacp(9000, &["10.158.175.248/31"]));
    let output = apply(&mut guest, 1);
    let said = output.stdout + &output.stderr;
    assert!(said.contains("private-int2") && said.contains("network_data.json:3"), "{said}");

    assert_eq!(ports(&mut guest, "aggi"), ["eth0"]);
    assert_eq!(addresses(&mut guest, "aggi"), ["10.158.175.249/31"]);
    guest.ok("ping -c 1 -W 30 -s 8900 10.158.175.248");
}

/// Members by kernel name without links of their own, and a network without a link.
#[test]
fn the_loose_form_of_the_readmes() {
    let drive = drive::ironic_iso(
        r#"{"links": [{"id": "bond0", "type": "bond", "ethernet_mac_address": "7c:c2:55:6e:90:44",
             "bond_links": ["eno1", "eno2"], "bond_mode": "802.3ad"}],
            "networks": [{"id": "public", "type": "ipv4", "ip_address": "203.0.113.10", "netmask": "255.255.255.0",
             "gateway": "203.0.113.1"}]}"#,
    );
    let mut guest = switch::machine().netapply().cd(drive.path()).boot();
    guest.ok(&switch::lacp(1500, &["203.0.113.1/24"]));
    // As named by udev: one by its kernel name, one by an alternative name.
    guest.ok("ip link set eth0 name eno1; ip link property add dev eth1 altname eno2");
    apply(&mut guest, 0);

    assert_eq!(ports(&mut guest, "bond0"), ["eno1", "eth1"]);
    assert_eq!(link(&mut guest, "bond0")["address"], NICS[0]);
    assert_eq!(addresses(&mut guest, "bond0"), ["203.0.113.10/24"]);
    assert_eq!(routes(&mut guest), ["default via 203.0.113.1 dev bond0"]);
    guest.ok("ping -c 1 -W 30 203.0.113.1");
}

/// What cloud-localds puts on the drive of a libvirt VM.
fn cidata(wrapped: bool, matched: &str) -> String {
    let text = format!(
        "version: 2
renderer: networkd
ethernets:
  id0:
    match:
      {matched}
    addresses: [192.0.2.10/24]
    routes:
      - to: default
        via: 192.0.2.1
    nameservers:
      addresses: [192.0.2.53]
"
    );
    if wrapped {
        format!("network:\n{}", text.lines().map(|line| format!("  {line}\n")).collect::<String>())
    } else {
        text
    }
}

fn libvirt(network_config: &str, names: &str) -> Guest {
    let drive = drive::cidata_iso(network_config);
    let mut guest = switch::machine().netapply().inside().cd(drive.path()).boot();
    guest.ok(&switch::plain(&["192.0.2.1/24", "192.0.2.53/24"]));
    guest.ok(switch::START_NAME_SERVER);
    guest.until("ip netns exec switch grep -q ':0035 ' /proc/net/udp");
    guest.ok(names);
    guest
}

#[test]
fn netplan_on_cidata_by_mac() {
    let mut guest =
        libvirt(&cidata(false, "macaddress: '7c:c2:55:6e:90:44'"), "ip link set eth0 name enp1s0");
    apply(&mut guest, 0);
    assert_eq!(addresses(&mut guest, "enp1s0"), ["192.0.2.10/24"]);
    assert_eq!(routes(&mut guest), ["default via 192.0.2.1 dev enp1s0"]);
    assert_eq!(addresses(&mut guest, "eth1"), [""; 0]);
    guest.ok("grep -q 'nameserver 192.0.2.53' /etc/resolv.conf");
    guest.ok("ping -c 1 -W 30 192.0.2.1");
}

#[test]
fn netplan_on_cidata_by_name() {
    let mut guest = libvirt(&cidata(true, "name: en*"), "ip link set eth0 name enp1s0");
    apply(&mut guest, 0);
    assert_eq!(addresses(&mut guest, "enp1s0"), ["192.0.2.10/24"]);
    assert_eq!(routes(&mut guest), ["default via 192.0.2.1 dev enp1s0"]);
    guest.ok("ping -c 1 -W 30 192.0.2.1");
}

/// One static address cannot be on both: that is a duplicate address on the wire.
#[test]
fn netplan_with_a_name_that_two_nics_have() {
    let rename = "ip link set eth0 name enp1s0; ip link set eth1 name enp2s0";
    let mut guest = libvirt(&cidata(true, "name: en*"), rename);
    let output = guest.exits(1, "netapply");
    let said = output.stdout + &output.stderr;
    assert!(said.contains("enp1s0") && said.contains("enp2s0"), "{said}");
    assert_eq!(addresses(&mut guest, "enp1s0"), [""; 0]);
    assert_eq!(addresses(&mut guest, "enp2s0"), [""; 0]);
}

/// A virtual machine host: a bridge over one NIC, and one that its machines will be attached to.
#[test]
fn bridges_with_and_without_ports() {
    let drive = drive::cidata_iso(
        "network:
  version: 2
  ethernets:
    nic:
      match: {macaddress: '7c:c2:55:6e:90:44'}
  bridges:
    br0:
      interfaces: [nic]
      addresses: [192.0.2.10/24]
      routes: [{to: default, via: 192.0.2.1}]
    br1:
      addresses: [198.51.100.1/24]
",
    );
    let mut guest = switch::machine().netapply().cd(drive.path()).boot();
    guest.ok(&switch::plain(&["192.0.2.1/24"]));
    apply(&mut guest, 0);
    assert_eq!(names(&mut guest), ["br0", "br1", "eth0", "eth1"]);
    assert_eq!(ports(&mut guest, "br0"), ["eth0"]);
    assert_eq!(ports(&mut guest, "br1"), [""; 0]);
    assert_eq!(addresses(&mut guest, "br0"), ["192.0.2.10/24"]);
    assert_eq!(addresses(&mut guest, "br1"), ["198.51.100.1/24"]);
    assert_eq!(routes(&mut guest), ["default via 192.0.2.1 dev br0"]);
    guest.ok("ping -c 1 -W 30 192.0.2.1");
}
