//! `persist`, `capture` and kexec with the image's own daemons, in guests with a bond, VLANs, a /32 with an on-link gateway,
//! a link-local gateway, a rule with its table, and a lease.
//!
//! What `persist` wrote makes, without netapply, the network that netapply makes; `capture` describes it so that a fresh
//! machine gets the same; and it goes along with a kexec. By hand and by the nightly workflow, `tests/all boots`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::booted;
use crate::network::{Neighbour, nic};
use harness::boot::{self, stripped};
use harness::guest::{Builder, Cable, Guest, Kernel, image};
use serde_json::Value as Json;

const MACS: [(&str, &str); 3] =
    [("52:54:00:da:e0:01", "a"), ("52:54:00:da:e0:02", "b"), ("52:54:00:da:e0:03", "c")];
const DESCRIPTION: &str = "version: 2
ethernets:
  a: {match: {macaddress: '52:54:00:da:e0:01'}}
  b: {match: {macaddress: '52:54:00:da:e0:02'}}
bonds:
  bond0:
    interfaces: [a, b]
    parameters: {mode: active-backup, mii-monitor-interval: 100}
    accept-ra: false
    addresses: [192.0.2.10/24, '2001:db8:1::10/64']
    routes:
      - {to: default, via: 192.0.2.1, metric: 50}
      - {to: '2001:db8:7::/48', via: 'fe80::1'}
      - {to: 203.0.113.0/24, via: 192.0.2.1, table: 100}
    routing-policy: [{from: 192.0.2.10, table: 100, priority: 1000}]
vlans:
  v7:
    {id: 7, link: bond0, addresses: [198.51.100.7/32], routes: [{to: 10.7.0.0/16, via: 198.51.100.1, on-link: true}]}
  v8: {id: 8, link: bond0, addresses: [172.16.8.1/24]}
";
const LEASE: &str = "  c: {match: {macaddress: '52:54:00:da:e0:03'}, dhcp4: true}\n";

fn description() -> String {
    DESCRIPTION.replace("bonds:\n", &format!("{LEASE}bonds:\n"))
}

/// What is configured, from ip(8), with each NIC called by its permanent MAC address; without the lease of NIC `c`.
fn network(guest: &mut Guest) -> Vec<String> {
    let links = guest.json("ip -j -d address show");
    let links = links.as_array().unwrap();
    let called = |name: &str| {
        let link = links.iter().find(|link| link["ifname"] == name);
        let mac = link.map(|link| link.get("permaddr").unwrap_or(&link["address"]));
        let known = MACS.iter().find(|(own, _)| mac.is_some_and(|mac| mac == own)).map(|(_, name)| *name);
        // Links on a NIC have its address.
        let is_nic = link.is_some_and(|link| link["linkinfo"].get("info_kind").is_none());
        known.filter(|_| is_nic).unwrap_or(name).to_owned()
    };
    let name = |value: &Json| called(value.as_str().unwrap_or_default());
    let mut lines = Vec::new();
    for link in links.iter().filter(|link| link["ifname"] != "lo") {
        let own = name(&link["ifname"]);
        let parts = [
            "/mtu",
            "/linkinfo/info_kind",
            "/linkinfo/info_data/mode",
            "/linkinfo/info_data/id",
            "/linkinfo/info_data/miimon",
        ];
        for part in parts {
            lines.extend(link.pointer(part).map(|value| format!("{own} {part} {value}")));
        }
        lines.push(format!("{own} of {} on {}", name(&link["master"]), name(&link["link"])));
        let addresses = link["addr_info"].as_array().unwrap().iter();
        for address in addresses.filter(|address| address["scope"] == "global" && own != "c") {
            lines.push(format!("{own} has {}/{}", address["local"], address["prefixlen"]));
        }
    }
    for family in ["-4", "-6"] {
        let routes = guest.json(&format!("ip -j {family} route show table all"));
        let others = routes.as_array().unwrap().iter().filter(|route| route["protocol"] != "kernel");
        for route in others.filter(|route| name(&route["dev"]) != "c") {
            let dev = name(&route["dev"]);
            let parts = ["dst", "gateway", "metric", "table", "type"].map(|part| route[part].to_string());
            lines.push(format!("route {} dev {dev}", parts.join(" ")));
        }
        let rules = guest.json(&format!("ip -j {family} rule"));
        for rule in rules.as_array().unwrap().iter().filter(|rule| rule["protocol"] != "kernel") {
            lines.push(format!("rule {} {} {}", rule["priority"], rule["src"], rule["table"]));
        }
    }
    lines.sort();
    lines.dedup();
    lines
}

/// The three NICs, of which `a` and `c` lead to the neighbour.
fn nics(builder: Builder, cables: &[Cable; 2]) -> Builder {
    let builder = nic(builder, MACS[0].0, &cables[0]).nic(MACS[1].0, 9);
    nic(builder, MACS[2].0, &cables[1])
}

/// A fresh machine on which netapply alone applies a description.
fn applied(text: &str) -> Vec<String> {
    let builder = Guest::builder().netapply().file("/root/network-config", text, 0o600);
    let mut guest = MACS.iter().fold(builder, |builder, (mac, _)| builder.nic(mac, 9)).boot();
    guest.ok("netapply apply --no-verify --handoff none --dhcp image /root/network-config");
    guest.until("[ -z \"$(ip -6 address show tentative)\" ]");
    network(&mut guest)
}

fn sh(script: &str) {
    let output = Command::new("bash").args(["-euc", script]).output().expect("bash runs");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Unpacks packages of Debian 12 into a folder.
pub(crate) fn unpack(packages: &[&str], folder: &Path) {
    sh(&format!(
        "work=$(mktemp -d); cd $work; apt-get -o APT::Sandbox::User=root download -qq {}
        for each in *.deb; do dpkg -x $each {folder}; done; rm -r $work; cd {folder}
        # As in a root whose /lib is a link.
        for each in bin sbin lib; do
            if [ -d $each ]; then mkdir -p usr/$each; cp -a $each/. usr/$each/; rm -r $each; fi
        done",
        packages.join(" "),
        folder = folder.display()
    ));
}

/// A tool, its unit, what is in the root that `persist` looks at (files that are in the guest's root already, and
/// packages that are not), and what comes to be there.
struct Daemon {
    name: &'static str,
    unit: &'static str,
    has: &'static str,
    packages: &'static [&'static str],
    writes: &'static str,
}

const DAEMONS: &[Daemon] = &[
    Daemon {
        name: "systemd-networkd",
        unit: "systemd-networkd",
        has: "usr/lib/systemd/systemd-networkd",
        packages: &[],
        writes: "etc/systemd/network/10-netapply-bond0.network",
    },
    Daemon {
        name: "NetworkManager",
        unit: "NetworkManager",
        has: "usr/sbin/NetworkManager",
        packages: &[],
        writes: "etc/NetworkManager/system-connections/netapply-bond0.nmconnection",
    },
    Daemon {
        name: "netplan",
        unit: "",
        has: "usr/lib/systemd/systemd-networkd",
        packages: &["netplan.io", "libnetplan0"],
        writes: "etc/netplan/50-netapply.yaml",
    },
    Daemon {
        name: "ifupdown",
        unit: "networking",
        has: "",
        packages: &["ifupdown", "ifenslave", "vlan", "isc-dhcp-client"],
        writes: "etc/network/interfaces.d/netapply",
    },
];

/// A machine with this daemon alone, for which `persist` has written the description. netapply lies in /root, where nothing
/// finds it.
fn persisted(daemon: &Daemon, cables: &[Cable; 2], files: &[(&str, &Path)]) -> Guest {
    let folder = tempfile::tempdir().expect("a folder for the root");
    let root = folder.path().join("root");
    fs::create_dir_all(&root).unwrap();
    unpack_all(daemon, &root);
    let source = folder.path().join("network-config");
    fs::write(&source, description()).unwrap();
    // How ifupdown calls NICs is known on the machine alone.
    let inventory = folder.path().join("inventory.json");
    let mut guest = nics(Guest::builder().netapply().words("net.ifnames=0"), cables).boot();
    fs::write(&inventory, guest.ok("netapply inventory")).unwrap();
    drop(guest);
    let output = Command::new(env!("CARGO_BIN_EXE_netapply"))
        .arg("persist")
        .arg("--inventory")
        .args([&inventory, &root, &source])
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    println!("{}: {}{messages}", daemon.name, String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{}: {messages}", daemon.name);
    assert!(
        root.join(daemon.writes).exists(),
        "{}: {}",
        daemon.name,
        String::from_utf8_lossy(&output.stdout)
    );
    if !daemon.has.is_empty() {
        fs::remove_file(root.join(daemon.has)).unwrap();
    }
    let builder = Guest::builder().root(&boot::image("full")).tree(&root);
    let builder = builder.words("cloud-init=disabled net.ifnames=0").memory(1536);
    let builder = builder.file("/root/netapply", fs::read(stripped(folder.path())).unwrap(), 0o755);
    let builder = files
        .iter()
        .fold(builder, |builder, (path, file)| builder.file(path, fs::read(file).unwrap(), 0o755));
    let mut guest = nics(builder, cables).boot();
    booted(&mut guest);
    guest.ok("! command -v netapply");
    for condition in [
        "ip route show table 100 | grep -q 203.0.113.0/24",
        "ip route | grep -q '10.7.0.0/16 via 198.51.100.1 dev v7'",
        "ip -4 address show | grep -q '192.0.3.1'",
        "ip -6 route | grep -q '2001:db8:7::/48 via fe80::1'",
        "ip -4 address show dev v8 | grep -q 172.16.8.1",
        "[ -z \"$(ip -6 address show tentative)\" ]",
    ] {
        guest.until(condition);
    }
    guest
}

fn unpack_all(daemon: &Daemon, root: &Path) {
    if !daemon.packages.is_empty() {
        unpack(daemon.packages, root);
    }
    let put = |path: &str, text: &str| {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    };
    if daemon.name == "ifupdown" {
        put("etc/network/interfaces", "source /etc/network/interfaces.d/*\n");
        fs::create_dir_all(root.join("etc/network/interfaces.d")).unwrap();
    }
    if !daemon.has.is_empty() {
        put(daemon.has, "");
    }
    if !daemon.unit.is_empty() {
        let wants = root.join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        let unit = format!("{}.service", daemon.unit);
        std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{unit}"), wants.join(&unit)).unwrap();
    }
}

/// Fails where two networks differ.
#[track_caller]
fn same(what: &str, expected: &[String], found: &[String]) {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).cloned().collect()
    };
    let (missing, more) = (only(expected, found), only(found, expected));
    assert!(missing.is_empty() && more.is_empty(), "{what}: missing {missing:#?}, more {more:#?}");
    assert!(expected.len() > 20, "{expected:#?}");
}

/// Boots with a daemon, compares, captures, and compares again.
fn comes_back(name: &str) {
    let daemon = DAEMONS.iter().find(|daemon| daemon.name == name).expect("a daemon");
    let cables = [Cable::new(), Cable::new()];
    let _neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    let own = applied(&description());
    let mut guest = persisted(daemon, &cables, &[]);
    let theirs = network(&mut guest);
    same(&format!("{name} after persist"), &own, &theirs);
    let output = guest.run("/root/netapply capture");
    println!("{name}: {}{}", output.stdout, output.stderr);
    assert_eq!(output.status, 0);
    assert!(output.stdout.contains("dhcp4: true"), "{}", output.stdout);
    same(&format!("{name} captured"), &theirs, &applied(&output.stdout));
}

#[test]
#[ignore = "boots more would make a whole run too long"]
fn with_networkd() {
    comes_back("systemd-networkd");
}

#[test]
#[ignore = "boots more would make a whole run too long"]
fn with_network_manager() {
    comes_back("NetworkManager");
}

#[test]
#[ignore = "boots more would make a whole run too long"]
fn with_netplan() {
    comes_back("netplan");
}

#[test]
#[ignore = "boots more would make a whole run too long"]
fn with_ifupdown() {
    comes_back("ifupdown");
}

/// kexec(8) as far as the script of docs/transplant.md uses it: Debian's needs Xen's libraries.
const KEXEC: &str = r#"#!/usr/bin/python3
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if sys.argv[1:] in (["-e"], ["--exec"]):
    # reboot(2), LINUX_REBOOT_CMD_KEXEC: as systemd-shutdown runs it last of all.
    libc.syscall(169, ctypes.c_ulong(0xfee1dead), ctypes.c_ulong(672274793), ctypes.c_ulong(0x45584543), None)
    sys.exit(os.strerror(ctypes.get_errno()))
kernel = next(word for word in sys.argv[1:] if not word.startswith("-"))
options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--") and "=" in word)
line = options["command-line"].encode() + b"\0"
files = [os.open(path, os.O_RDONLY) for path in (kernel, options["initrd"])]
# kexec_file_load(2)
if libc.syscall(320, files[0], files[1], ctypes.c_ulong(len(line)), line, ctypes.c_ulong(0)) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
"#;

/// What the new system runs before the harness's own agent: netapply as a boot would, and what listens.
const NEW: &str = "#!/bin/sh
netapply >/run/netapply.log 2>&1
nc -ll -p 7 -e cat &
exec sh /agent.old
";

#[test]
#[ignore = "boots more would make a whole run too long"]
fn the_network_goes_along_with_a_kexec() {
    let cables = [Cable::new(), Cable::new()];
    let mut neighbour = Neighbour::on(&[&cables[0], &cables[1]]);
    let folder = tempfile::tempdir().expect("a folder for the new system");
    let new = image(Kernel::Cloud);
    sh(&format!(
        "cd {folder}; mkdir more; cp {agent} more/agent.old; cat >more/agent <<'END'\n{NEW}END
        chmod 755 more/agent; cp {new}/initrd initramfs
        (cd more; find . | cpio -o -H newc --quiet -R 0:0) >>initramfs",
        folder = folder.path().display(),
        agent = harness::root().join("tests/vm/guest-agent").display(),
        new = new.display(),
    ));
    let page = fs::read_to_string(harness::root().join("docs/transplant.md")).unwrap();
    let (_, script) = page.split_once("```sh\n").expect("the script");
    let (script, _) = script.split_once("```").expect("its end");

    let path = |name: &str| folder.path().join(name);
    fs::write(path("kexec"), KEXEC).unwrap();
    fs::write(path("transplant"), script).unwrap();
    let files = [
        ("/usr/sbin/kexec", &*path("kexec")),
        ("/root/transplant", &*path("transplant")),
        ("/root/vmlinuz", &*new.join("vmlinuz")),
        ("/root/initramfs", &*path("initramfs")),
    ];
    // The old system has its network by networkd.
    let mut guest = persisted(&DAEMONS[0], &cables, &files);
    let before = network(&mut guest);
    guest.ok("ln -s /root/netapply /usr/bin/netapply; echo old >/run/which");
    let words = "console=hvc0 console=ttyS0 panic=-1 quiet no_timer_check norandmaps";
    guest.ok(&format!(
        "systemd-run --quiet sh -c 'sh /root/transplant /root/vmlinuz /root/initramfs {words} >/dev/ttyS0 2>&1'"
    ));
    guest.boots_again();
    guest.ok("test ! -e /run/which && test ! -e /usr/lib/systemd");
    guest.until("[ -z \"$(ip -6 address show tentative)\" ]");
    let log = guest.ok("cat /run/netapply.log");
    same(&format!("after the kexec\n{log}"), &before, &network(&mut guest));
    neighbour.guest.until("echo hello | timeout 10 nc 192.0.2.10 7 | grep -q hello");
}
