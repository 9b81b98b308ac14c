//! Boots on networks with DHCP. They take long, and the nightly workflow alone runs them: `tests/all dynamic`.

use std::collections::BTreeSet;

use crate::dracut::initramfs;
use crate::network::{Neighbour, addresses, addresses6, name, nic};
use crate::{booted, healthy, machine};
use harness::drive;
use harness::guest::{Builder, Cable, Guest};

const MACS: [&str; 4] = ["52:54:00:12:34:21", "52:54:00:12:34:22", "52:54:00:12:34:23", "52:54:00:12:34:24"];

/// The beginning of the list of options that netapply asks for.
const NETAPPLY: &str = "01792103";

/// The options that it asks for by DHCPv6.
const NETAPPLY6: &str = "00170018001f00380052";

/// A unit is enabled in the image.
fn enabled(builder: Builder, unit: &str) -> Builder {
    let link = format!("/etc/systemd/system/multi-user.target.wants/{unit}.service");
    builder.link(&link, &format!("/lib/systemd/system/{unit}.service"))
}

/// The first NIC on DHCP, the second one with an address.
fn description() -> String {
    format!(
        "version: 2\nethernets:\n  a: {{match: {{macaddress: '{}'}}, dhcp4: true}}\n  b: {{match: {{macaddress: '{}'}}, \
         addresses: [192.0.3.20/24]}}\n",
        MACS[0], MACS[1]
    )
}

/// The lists of the clients that asked on a wire, without what gives an address up.
fn lists(neighbour: &mut Neighbour, wire: usize) -> BTreeSet<String> {
    let asked = neighbour.clients(wire).into_iter().filter(|(kind, _)| [1, 3].contains(kind));
    asked.map(|(_, list)| list).collect()
}

/// networkd's file for every NIC.
const NETWORKD: (&str, &str) =
    ("/etc/systemd/network/99-dhcp.network", "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n");

/// Boots with these files and a NIC on each cable; no unit may fail.
fn boot(mut builder: Builder, files: &[(&str, &str)], cables: &[Cable]) -> Guest {
    for (path, text) in files {
        builder = builder.file(path, *text, 0o644);
    }
    for (mac, cable) in MACS.iter().zip(cables) {
        builder = nic(builder, mac, cable);
    }
    let mut guest = builder.boot();
    let failed = booted(&mut guest);
    assert_eq!(failed, "", "{}", guest.ok("journalctl -b --no-pager | tail -n 80"));
    guest
}

/// The image's client is enabled and udev runs: it alone asks, and on the one link that the description leaves to DHCP.
fn the_image_s_client_alone_asks(root: &str, client: &str, files: &[(&str, &str)]) {
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    neighbour.watch();
    let drive = drive::cidata_iso(&description());
    let builder = enabled(machine(root), client)
        .words(&format!("cloud-init=disabled {}", drive::EXPECTED))
        .cd(drive.path());
    let mut guest = boot(builder, files, &cables);
    let link = name(&mut guest, MACS[0]);
    guest.until(&format!("ip -4 -o address show dev {link} | grep -q 'inet 192[.]0[.]2[.]1'"));
    // Whoever else is there has begun to ask by now.
    guest.ok("sleep 20");
    assert_eq!(addresses(&mut guest, MACS[0]).len(), 1);
    assert_eq!(addresses(&mut guest, MACS[1]), ["192.0.3.20"]);
    let lists = lists(&mut neighbour, 0);
    assert!(lists.len() == 1 && !lists.iter().any(|list| list.starts_with(NETAPPLY)), "{client}: {lists:?}");
    assert_eq!(neighbour.clients(1), [], "{client} asks on the static link");
    assert_eq!(guest.ok("ls /run/netapply/leases 2>/dev/null || true"), "");
}

#[test]
#[ignore = "nightly"]
fn dhcpcd_alone_asks() {
    the_image_s_client_alone_asks("base", "dhcpcd", &[]);
}

#[test]
#[ignore = "nightly"]
fn network_manager_alone_asks() {
    the_image_s_client_alone_asks("full", "NetworkManager", &[]);
}

#[test]
#[ignore = "nightly"]
fn networkd_alone_asks() {
    the_image_s_client_alone_asks("full", "systemd-networkd", &[NETWORKD]);
}

/// Leases in both families that an initramfs of this root has taken. The image has this client, if any.
fn leased_in_the_initramfs(
    root: &str,
    client: &str,
    files: &[(&str, &str)],
) -> (Neighbour, Guest, [String; 2]) {
    let folder = tempfile::tempdir().expect("a folder for the initramfs");
    let initramfs = initramfs(root, &folder, &[]);
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    neighbour.watch();
    neighbour.lease_ipv6();
    let drive = drive::cidata_iso(&description().replace("dhcp4: true", "dhcp4: true, dhcp6: true"));
    let mut builder = machine(root)
        .memory(1536)
        .words(&format!("cloud-init=disabled {}", drive::EXPECTED))
        .cd(drive.path())
        .initramfs(&initramfs)
        .at_the_end_of_the_initramfs("cat /proc/net/fib_trie /proc/net/if_inet6 >/run/before-the-root");
    if !client.is_empty() {
        builder = enabled(builder, client);
    }
    let mut guest = boot(builder, files, &cables);
    let before = guest.ok("cat /run/before-the-root");
    let with = |begin: &str| {
        let word = before.split([' ', '\n']).find(|word| word.starts_with(begin));
        word.unwrap_or_else(|| panic!("no lease before the root: {before}")).to_owned()
    };
    let digits = u128::from_str_radix(&with("20010db8000100000000000000000"), 16).unwrap();
    let leased = [with("192.0.2.1"), std::net::Ipv6Addr::from(digits).to_string()];
    (neighbour, guest, leased)
}

/// One identity alone has asked for IPv6 addresses. Returns the lists of those that asked, oldest first.
fn lists6(neighbour: &mut Neighbour) -> Vec<String> {
    let heard = neighbour.clients6();
    let identities: BTreeSet<&str> = heard.iter().map(|heard| heard.identity.as_str()).collect();
    assert_eq!(identities.len(), 1, "{heard:?}");
    assert!(heard.iter().all(|heard| ![8, 9].contains(&heard.kind)), "nothing is given up: {heard:?}");
    // CONFIRM has none.
    heard.into_iter().map(|heard| heard.list).filter(|list| !list.is_empty()).collect()
}

/// No client in the image: netapply-lease.service goes on with the leases.
#[test]
#[ignore = "nightly"]
fn the_lease_of_the_initramfs_is_kept() {
    let (mut neighbour, mut guest, leased) = leased_in_the_initramfs("base", "", &[]);
    healthy(&mut guest);
    assert_eq!(addresses(&mut guest, MACS[0]), [leased[0].as_str()]);
    assert_eq!(addresses6(&mut guest, MACS[0]), [leased[1].as_str()]);
    guest.ok("systemctl is-active netapply-lease.service");
    assert!(guest.ok("netapply leases").contains("(BOUND)"));
    let heard = neighbour.clients(0);
    assert_eq!(
        heard.iter().filter(|(kind, _)| *kind == 1).count(),
        1,
        "asked once for an address: {heard:?}"
    );
    assert!(heard.iter().all(|(_, list)| list.starts_with(NETAPPLY)), "{heard:?}");
    assert!(lists6(&mut neighbour).iter().all(|list| list == NETAPPLY6));
    let solicits = neighbour.clients6().iter().filter(|heard| heard.kind == 1).count();
    assert_eq!(solicits, 1, "the addresses are confirmed: {:?}", neighbour.clients6());
}

/// The image's client is enabled: it takes the link over, and gets the same addresses by the same identity.
fn the_image_s_client_goes_on(root: &str, client: &str, files: &[(&str, &str)]) {
    let (mut neighbour, mut guest, leased) = leased_in_the_initramfs(root, client, files);
    for (file, message, netapply) in [("heard", "eth0 [13]", NETAPPLY), ("heard6", "[1356]", NETAPPLY6)] {
        let asks = format!("grep -E '^{message} .' /tmp/{file} | grep -vq ' {netapply}'");
        neighbour.guest.until(&asks);
    }
    // Whoever else is there has begun to ask by now.
    guest.ok("sleep 20");
    let state =
        guest.ok("ip address; journalctl -b --no-pager -t netapply; ls /run/netapply/leases 2>&1 || true");
    assert_eq!(addresses(&mut guest, MACS[0]), [leased[0].as_str()], "{client}: {state}");
    assert_eq!(addresses6(&mut guest, MACS[0]), [leased[1].as_str()], "{client}: {state}");
    let four = neighbour.clients(0).into_iter().map(|(_, list)| list).collect();
    for (lists, netapply) in [(four, NETAPPLY), (lists6(&mut neighbour), NETAPPLY6)] {
        // One after the other, never in turn. networkd's list for DHCPv6 depends on the message.
        let mut netapplys: Vec<bool> = lists.iter().map(|list| list.starts_with(netapply)).collect();
        netapplys.dedup();
        assert_eq!(netapplys, [true, false], "{client}: {lists:?}");
    }
    assert_eq!(neighbour.clients(1), [], "{client} asks on the static link");
    assert_eq!(addresses(&mut guest, MACS[1]), ["192.0.3.20"]);
}

#[test]
#[ignore = "nightly"]
fn networkd_goes_on_with_the_lease_of_the_initramfs() {
    the_image_s_client_goes_on("full", "systemd-networkd", &[NETWORKD]);
}

#[test]
#[ignore = "nightly"]
fn network_manager_goes_on_with_the_lease_of_the_initramfs() {
    the_image_s_client_goes_on("full", "NetworkManager", &[]);
}

#[test]
#[ignore = "nightly"]
fn dhcpcd_goes_on_with_the_lease_of_the_initramfs() {
    the_image_s_client_goes_on("base", "dhcpcd", &[]);
}

/// No drive, and of four NICs one leads somewhere.
#[test]
#[ignore = "nightly"]
fn without_a_drive_the_nic_with_a_network_is_found() {
    let cable = Cable::new();
    let mut neighbour = Neighbour::on(&[&cable]);
    neighbour.watch();
    let mut builder = machine("base").words("netapply.fallback=dhcp netapply.wait=5");
    for (number, mac) in MACS.iter().enumerate() {
        builder = match number {
            2 => nic(builder, mac, &cable),
            number => builder.nic(mac, 20 + number as u32),
        };
    }
    let mut guest = builder.boot();
    let failed = booted(&mut guest);
    assert_eq!(failed, "", "{}", guest.ok("journalctl -b --no-pager | tail -n 80"));
    let all: Vec<usize> = MACS.iter().map(|mac| addresses(&mut guest, mac).len()).collect();
    assert_eq!(all, [0, 0, 1, 0]);
    let report = guest.json("cat /run/netapply/report.json");
    assert_eq!((&report["verdict"], &report["exit"]), (&"works".into(), &0.into()), "{:#}", report["screen"]);
    guest.ok("systemctl is-active netapply-lease.service network-online.target; ping -c 1 -W 30 192.0.2.1");
    let lists = lists(&mut neighbour, 0);
    assert!(lists.len() == 1 && lists.iter().all(|list| list.starts_with(NETAPPLY)), "{lists:?}");
}

/// Two of the NICs are ports of a LAG, on which the switch lets nothing through before it hears LACP on both.
#[test]
#[ignore = "nightly"]
fn without_a_drive_a_lag_is_used_as_a_bond() {
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    neighbour.guest.ok(
        "kill $(cat /tmp/pid0 /tmp/pid1); modprobe bonding max_bonds=0
        ip link add lag type bond mode 802.3ad miimon 100 lacp_rate fast min_links 2
        for nic in eth0 eth1; do ip address flush dev $nic; ip link set $nic down; ip link set $nic master lag; done
        ip link set lag up; ip address add 192.0.2.1/24 dev lag; cat /sys/class/net/lag/carrier
        sed -i 's/^interface eth0/interface lag/' udhcpd0; udhcpd -f udhcpd0 >dhcp0 2>&1 &",
    );
    assert_eq!(neighbour.guest.ok("cat /sys/class/net/lag/carrier").trim(), "0");
    let mut builder = machine("base").words("netapply.fallback=dhcp netapply.wait=5");
    for (number, mac) in MACS.iter().enumerate() {
        builder = match cables.get(number) {
            Some(cable) => nic(builder, mac, cable),
            None => builder.nic(mac, 20 + number as u32),
        };
    }
    let mut guest = builder.boot();
    let failed = booted(&mut guest);
    let log = guest.ok("journalctl -b --no-pager -t netapply; ip address; cat /proc/net/bonding/* || true");
    assert_eq!(failed, "", "{log}");
    let ports = guest.json("ip -j link show master bond0");
    assert_eq!(ports.as_array().unwrap().len(), 2, "{log}");
    let bond = guest.json("ip -j -4 address show dev bond0");
    let leased = bond[0]["addr_info"][0]["local"].as_str().unwrap_or_default();
    assert!(leased.starts_with("192.0.2.1"), "{log}");
    let report = guest.json("cat /run/netapply/report.json");
    assert_eq!((&report["verdict"], &report["exit"]), (&"works".into(), &0.into()), "{:#}", report["screen"]);
    guest.ok("systemctl is-active netapply-lease.service; ping -c 1 -W 30 192.0.2.1");
}
