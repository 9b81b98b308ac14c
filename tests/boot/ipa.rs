//! Ironic's agent in a ramdisk without DHCP: from the virtual CD over an LACP bond and a VLAN to the agent's own first
//! request to its API.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::{baked, ironic, overlay, script};
use harness::drive;
use harness::guest::{self, Builder, Cable, Guest, Kernel};

const MACS: [&str; 2] = ["7c:c2:55:6e:90:44", "7c:c2:55:6e:90:45"];

/// An address without an API.
const NOWHERE: &str = "http://192.0.2.99:6385";

/// Two ports in one LACP bond, and all traffic on a VLAN; without an address, by DHCP.
fn network_data(address: Option<&str>) -> String {
    let nic = |id: &str, mac: &str| serde_json::json!({"id": id, "type": "phy", "ethernet_mac_address": mac, "mtu": 1500, "vif_id": null});
    let id = "6f4b1f0a-0f1e-4a1e-9d55-2a3c2b1d7e01";
    let network = match address {
        Some(address) => serde_json::json!({
            "id": "deploy-net", "link": "deploy", "type": "ipv4", "network_id": id,
            "ip_address": address, "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}),
        None => {
            serde_json::json!({"id": "deploy-net", "link": "deploy", "type": "ipv4_dhcp", "network_id": id})
        }
    };
    serde_json::json!({
        "links": [
            nic("nic0", MACS[0]),
            nic("nic1", MACS[1]),
            {"id": "bond0", "type": "bond", "ethernet_mac_address": MACS[0], "bond_links": ["nic0", "nic1"],
             "bond_mode": "802.3ad", "bond_miimon": 100, "bond_lacp_rate": "fast", "mtu": 1500},
            {"id": "deploy", "type": "vlan", "vlan_link": "bond0", "vlan_id": 100, "vlan_mac_address": MACS[0]},
        ],
        "networks": [network],
        "services": [{"type": "dns", "address": ironic::SERVER}]
    })
    .to_string()
}

/// A switch that bonds its two ports, the router on VLAN 100, and behind it Ironic; also a DHCP server on the bond and
/// on the VLAN, which nobody should ask.
fn neighbour(cables: &[Cable; 2]) -> Guest {
    let mut builder = Guest::builder().inside().words("net.ifnames=0");
    for (number, cable) in cables.iter().enumerate() {
        builder = builder.nic_on_cable(&format!("02:00:00:00:01:{number:02x}"), cable.b());
    }
    let mut guest = builder.boot();
    let server = ironic::SERVER;
    guest.ok(&format!(
        "modprobe bonding max_bonds=0
        ip link add lag type bond mode 802.3ad miimon 100 lacp_rate fast
        for nic in eth0 eth1; do ip link set $nic master lag; done
        ip link set lag up
        ip link add link lag name lag.100 type vlan id 100
        ip link set lag.100 up
        ip address add 203.0.113.1/24 dev lag
        ip address add 192.0.2.1/24 dev lag.100
        ip address add {server}/32 dev lo
        for server in lag:203.0.113 lag.100:192.0.2; do
            link=${{server%%:*}} net=${{server#*:}}
            printf 'interface %s\nstart %s.100\nend %s.110\nopt router %s.1\nlease_file /tmp/leases-%s\npidfile /tmp/pid-%s\n' \
                $link $net $net $net $link $link >udhcpd-$link
            touch leases-$link
            udhcpd -f udhcpd-$link >dhcp-$link 2>&1 &
        done"
    ));
    guest.ok(ironic::START);
    guest.until(&format!("ss -lnt 2>/dev/null | grep -q :{0} || netstat -lnt | grep -q :{0}", ironic::PORT));
    guest
}

fn ramdisk(initramfs: &Path, cables: &[Cable; 2]) -> Builder {
    let mut builder = Guest::builder().ramdisk(initramfs).memory(2560);
    for (mac, cable) in MACS.iter().zip(cables) {
        builder = builder.nic_on_cable(mac, cable.a());
    }
    // The agent looks ten times, three seconds apart, for a disk that is large enough.
    builder.words("ipa-disk-wait-attempts=1")
}

#[test]
fn the_agents_lookup_arrives_over_the_bond_and_the_vlan() {
    let folder = tempfile::tempdir().expect("a folder for the ramdisk");
    let initramfs = baked(folder.path());
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = neighbour(&cables);
    let cd = drive::ironic_iso(&network_data(Some("192.0.2.10")));
    // The disk has an earlier deployment's config drive.
    let old =
        drive::vfat("config-2", &[("openstack/latest/network_data.json", &network_data(Some("192.0.2.66")))]);
    let begin = Instant::now();
    let mut guest = ramdisk(&initramfs, &cables)
        .words(&format!("boot_method=vmedia ir_pub_id={}", drive::PUBLISHER.to_uppercase()))
        // The first of the two does not exist; the agent uses the next one.
        .words(&format!("ipa-api-url={NOWHERE},http://{}:{}", ironic::NAME, ironic::PORT))
        .cd(cd.path())
        .disk(old.path())
        .boot();
    let asked = wait_for_the_heartbeat(&mut neighbour, &mut guest);
    eprintln!("the agent's first heartbeat {:.0} s after power on", begin.elapsed().as_secs_f32());

    // Every request, netapply's own included, came from the described address, over the VLAN.
    assert!(asked.lines().all(|line| line.starts_with("192.0.2.10 ")), "{asked}");
    let lookup = asked.lines().find(|line| line.contains(" GET /v1/lookup?")).expect("the agent's lookup");
    assert!(MACS.iter().all(|mac| lookup.contains(&mac.replace(':', "%3A"))), "{lookup}");
    let callback =
        format!(" POST /v1/heartbeat/{} {{\"callback_url\": \"https://192.0.2.10:9999\"", ironic::NODE);
    assert!(asked.contains(&callback), "{asked}");

    the_network_is_as_described(&mut guest);
    nobody_else_touched_it(&mut guest);
    guest.shows(0, &["netapply: OK - "]);
    let console = guest.console(0);
    for word in ["warning", "FAIL", "FAULT"] {
        assert!(!console.contains(word), "{word} on the console:\n{console}");
    }
    let report = guest.json("cat /run/netapply/report.json");
    assert_eq!((&report["exit"], &report["verdict"]), (&0.into(), &"works".into()), "{report:#}");
    let said =
        |kind: &str| report[kind].as_array().unwrap().iter().filter(|d| d["severity"] != "note").count();
    assert_eq!((said("diagnostics"), said("causes")), (0, 0), "{report:#}");
    let passed = |check: &serde_json::Value| check["outcome"] == "passed" || check["object"] == NOWHERE;
    assert!(report["checks"].as_array().unwrap().iter().all(passed), "{report:#}");
    let heard = neighbour.ok("cat dhcp-*");
    assert!(!heard.to_lowercase().contains("offer"), "nobody asked for a lease: {heard}");
}

/// netapply leases the VLAN's address itself; nightly.
#[test]
#[ignore = "nightly"]
fn the_agents_lookup_arrives_with_a_lease_on_the_vlan() {
    let folder = tempfile::tempdir().expect("a folder for the ramdisk");
    let initramfs = baked(folder.path());
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = neighbour(&cables);
    let cd = drive::ironic_iso(&network_data(None));
    let mut guest = ramdisk(&initramfs, &cables)
        .words(&format!("boot_method=vmedia ir_pub_id={} netapply.dhcp=own", drive::PUBLISHER.to_uppercase()))
        .words(&format!("ipa-api-url=http://{}:{}", ironic::NAME, ironic::PORT))
        .cd(cd.path())
        .boot();
    let asked = wait_for_the_heartbeat(&mut neighbour, &mut guest);
    assert!(asked.lines().all(|line| line.starts_with("192.0.2.1")), "{asked}");
    assert!(asked.contains(" GET /v1/lookup?"), "{asked}");
    guest.ok("systemctl is-active netapply-lease.service");
    let leases = guest.json("netapply leases --json");
    assert_eq!(
        (&leases["leases"][0]["link"], &leases["leases"][0]["state"]),
        (&"deploy".into(), &"BOUND".into())
    );
    let report = guest.json("cat /run/netapply/report.json");
    assert_eq!((&report["exit"], &report["verdict"]), (&0.into(), &"works".into()), "{report:#}");
    // On the VLAN alone, and one server's address alone.
    let untagged = neighbour.ok("cat dhcp-lag");
    assert!(!untagged.to_lowercase().contains("offer"), "{untagged}");
    let offers = neighbour.ok("cat dhcp-lag.100").to_lowercase().matches("sending ack").count();
    assert!(offers >= 1, "{}", neighbour.ok("cat dhcp-lag.100"));
    nobody_else_touched_it(&mut guest);
}

/// Returns all requests to the API until then.
fn wait_for_the_heartbeat(neighbour: &mut Guest, guest: &mut Guest) -> String {
    let asked = ironic::ASKED;
    // A script may run for two minutes, and an agent in an emulated machine takes longer.
    for _ in 0..5 {
        let arrived = format!("timeout 100 sh -c 'until grep -q /v1/heartbeat/ {asked}; do sleep 1; done'");
        if neighbour.run(&arrived).status == 0 {
            return neighbour.ok(&format!("cat {asked}"));
        }
    }
    let journal = guest.ok("journalctl -b --no-pager | tail -n 100");
    panic!(
        "no heartbeat, only:\n{}\n{journal}\n{}",
        neighbour.run(&format!("cat {asked}")).stdout,
        guest.console(0)
    );
}

fn the_network_is_as_described(guest: &mut Guest) {
    let bond = guest.json("ip -j -d link show dev bond0");
    let data = &bond[0]["linkinfo"]["info_data"];
    assert_eq!((&data["mode"], &data["ad_lacp_rate"]), (&"802.3ad".into(), &"fast".into()), "{bond}");
    let ports = guest.json("ip -j link show master bond0");
    assert_eq!(ports.as_array().unwrap().len(), 2, "{ports}");
    let vlan = guest.json("ip -j -d link show dev deploy");
    assert_eq!(vlan[0]["linkinfo"]["info_data"]["id"], 100, "{vlan}");
    assert_eq!(vlan[0]["link"], "bond0");
    // The earlier deployment's drive would have configured another address, DHCP a second one.
    let addresses = guest.json("ip -j -4 address show scope global");
    let of = |entry: &serde_json::Value| entry["addr_info"][0]["local"].as_str().map(str::to_owned);
    let addresses: Vec<String> = addresses.as_array().unwrap().iter().filter_map(of).collect();
    assert_eq!(addresses, ["192.0.2.10"]);
    assert_eq!(guest.ok("cat /etc/resolv.conf").matches(ironic::SERVER).count(), 1);
    assert!(guest.ok("netapply --dry-run").contains("Steps: none"));
}

/// glean, networkd and the image's drive finder ran, and did nothing; nothing has failed.
fn nobody_else_touched_it(guest: &mut Guest) {
    let failed = guest.ok("systemctl --failed --plain --no-legend");
    assert_eq!(failed, "", "{}", guest.ok("journalctl -b --no-pager | tail -n 80"));
    let ports = guest.json("ip -j link show master bond0");
    let mut skipped = vec!["ironic-agent-resolve-config-drive.service".to_owned()];
    for port in ports.as_array().unwrap() {
        skipped.push(format!("glean@{}.service", port["ifname"].as_str().unwrap()));
    }
    for unit in skipped {
        let state =
            guest.ok(&format!("systemctl show -p ConditionResult -p ConditionTimestampMonotonic {unit}"));
        assert!(state.contains("ConditionResult=no"), "{unit} ran: {state}");
        assert!(!state.contains("ConditionTimestampMonotonic=0\n"), "{unit} was never asked for: {state}");
    }
    let links = guest.ok("networkctl --no-legend --no-pager list");
    assert_eq!(links.lines().filter(|line| line.contains("unmanaged")).count(), 5, "{links}");
    assert_eq!(guest.run("findmnt -n -t iso9660").stdout, "", "the drive is free for the agent");
}

/// diskimage-builder's element installs the same files.
#[test]
fn the_elements_hooks_install_the_overlay() {
    let folder = tempfile::tempdir().expect("a folder for the overlay");
    let said = script("tests/boot/element", &[&overlay(folder.path())]);
    assert!(said.ends_with("enabled\nenabled"), "{said}");
}

/// The initramfs of a small guest, compressed by each common program, in an OpenStack-style tarball or alone.
#[test]
fn the_kernel_unpacks_the_overlay_behind_any_compression() {
    let folder = tempfile::tempdir().expect("a folder for the archives");
    let path = |name: &str| folder.path().join(name);
    let plain = guest::image(Kernel::Cloud).join("initrd");
    let overlay = overlay(folder.path());
    for (kind, compress) in [("gzip", "gzip -1"), ("zstd", "zstd -1"), ("lz4", "lz4 -l -1")] {
        let stock = path("stock.initramfs");
        shell(&format!("{compress} <{} >{}", plain.display(), stock.display()));
        let baked = path("baked.initramfs");
        let said = if kind == "gzip" {
            let tarball = path("stock.tar.gz");
            shell(&format!(
                "cd {}; echo a kernel >stock.kernel; tar -czf {} stock.kernel stock.initramfs",
                folder.path().display(),
                tarball.display()
            ));
            let said = script("ipa/bake", &[&overlay, &tarball, &path("baked")]);
            assert_eq!(std::fs::read_to_string(path("baked.kernel")).unwrap(), "a kernel\n");
            said
        } else {
            script("ipa/bake", &[&overlay, &stock, &baked])
        };
        assert!(said.contains(&format!("({kind} ")), "{said}");
        let mut guest = Guest::builder().initramfs(&baked).boot();
        guest.ok("netapply --version");
        guest.ok("[ -L /etc/systemd/system/sysinit.target.wants/netapply.service ]");
        let folders = guest.ok("stat -c '%a %u %g %n' / /etc /usr /usr/bin");
        assert!(folders.lines().all(|line| line.starts_with("755 0 0 ")), "{kind}: {folders}");
    }
}

fn shell(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().expect("sh runs");
    assert!(status.success(), "{script}: run tests/setup");
}
