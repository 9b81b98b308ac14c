//! A root laid out as NixOS lays one out (tests/boot/nixos-root), with the package and the units of nix/.

use crate::network::{Neighbour, nic};
use crate::{booted, script};
use harness::boot::stripped;
use harness::drive;
use harness::guest::{Cable, Guest};
use std::path::Path;

const MACS: [&str; 2] = ["52:54:00:6e:90:01", "52:54:00:6e:90:02"];
const PACKAGE: &str = "nix/store/0123456789abcdfghijklmnpqrsvwxyz-netapply";

/// The package as nix/package.nix installs it, below a folder.
fn package(root: &Path) {
    let out = root.join(PACKAGE);
    let binary = stripped(root);
    let copy = format!(
        "mkdir -p {out}/bin {out}/lib/systemd/system && mv {binary} {out}/bin/netapply
        cp -r {source}/*.service {source}/*.d {out}/lib/systemd/system/
        sed -i 's#/usr/bin/netapply#/{PACKAGE}/bin/netapply#' {out}/lib/systemd/system/netapply*.service",
        out = out.display(),
        binary = binary.display(),
        source = harness::root().join("systemd").display(),
    );
    let status = std::process::Command::new("sh").args(["-ec", &copy]).status().expect("sh runs");
    assert!(status.success(), "{copy}");
}

/// By hand and by the nightly workflow, `tests/all nixos`.
#[test]
#[ignore = "one boot more would make a whole run too long"]
fn a_bond_a_vlan_and_kinds_whose_modules_are_not_loaded() {
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    let description = format!(
        "version: 2
ethernets:
  a: {{match: {{macaddress: \"{}\"}}}}
  b: {{match: {{macaddress: \"{}\"}}}}
bonds:
  bond0:
    interfaces: [a, b]
    parameters: {{mode: active-backup, primary: a, mii-monitor-interval: 100}}
    addresses: [192.0.2.10/24]
    routes: [{{to: default, via: 192.0.2.1}}]
    nameservers: {{addresses: [192.0.2.53], search: [example.org]}}
vlans:
  bond0.7: {{id: 7, link: bond0, addresses: [198.51.100.7/24]}}
tunnels:
  vx42: {{mode: vxlan, id: 42, local: 192.0.2.10, remote: 192.0.2.1, addresses: [203.0.113.1/24]}}
vrfs:
  red: {{table: 1001, interfaces: [bond0.7]}}
",
        MACS[0], MACS[1]
    );
    let drive = drive::cidata_iso(&description);
    let folder = tempfile::tempdir().expect("a folder for the package");
    package(folder.path());
    let root = script("tests/boot/nixos-root", &[]);
    let builder = Guest::builder().memory(1024).root(Path::new(&root)).tree(folder.path());
    let builder = builder.words(drive::EXPECTED).cd(drive.path());
    let mut guest = nic(builder, MACS[0], &cable).nic(MACS[1], 9).boot();
    let failed = booted(&mut guest);
    assert_eq!(failed, "", "{}", guest.ok("journalctl -b --no-pager | tail -n 120"));

    guest.ok("test ! -e /lib && test ! -e /sbin && test ! -e /usr/lib && test -L /etc/systemd");
    let report = guest.json("cat /run/netapply/report.json");
    assert_eq!(report["verdict"], "works", "{:#}", report["screen"]);
    guest.ok("ping -c 1 -W 30 192.0.2.1");
    neighbour.guest.ok("ping -c 1 -W 30 192.0.2.10");
    for (link, kind) in [("bond0", "bond"), ("bond0.7", "vlan"), ("vx42", "vxlan"), ("red", "vrf")] {
        let links = guest.json(&format!("ip -d -j link show dev {link}"));
        assert_eq!(links[0]["linkinfo"]["info_kind"], kind, "{link}");
    }
    // They were loaded from the one place that has them.
    for module in ["bonding", "8021q", "vxlan", "vrf"] {
        guest.ok(&format!("grep -q '^{module} ' /proc/modules"));
    }
    // The condition of the package holds dhcpcd off, and resolvconf keeps the name server.
    let state = guest.ok("systemctl show -p ConditionResult -p ActiveState dhcpcd.service");
    assert!(state.contains("ConditionResult=no") && state.contains("ActiveState=inactive"), "{state}");
    assert_eq!(neighbour.dhcp(0), "", "nobody asked for a lease");
    assert!(guest.ok("resolvconf -l").contains("192.0.2.53"));
    assert!(guest.ok("cat /etc/resolv.conf").contains("nameserver 192.0.2.53"));
}
