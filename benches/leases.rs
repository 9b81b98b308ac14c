//! How soon an address is usable, and how many packets that takes, beside other DHCP clients on the same wire:
//! `cargo bench --bench leases` (as root; `--profile dev` measures the debug build, NETAPPLY_BINARY another one). Each
//! client gets a namespace with a cable to dnsmasq, all of them in turn, several times; medians and ratios are printed,
//! and nothing is judged by them. dhcpcd is that of tests/tools/tree. Then the memory of each with ten links.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use harness::namespace::{in_namespace, ip, ip_json};
use harness::wire::{Running, sh, start, wire};

const ROUNDS: usize = 3;
const LINKS: usize = 10;
/// How long a client may take.
const BOUND: Duration = Duration::from_secs(20);

/// A client's name, the script that starts it on eth0, or on all links, and whether it probes the address first.
const CLIENTS: &[(&str, &str, bool)] = &[
    (
        "netapply",
        "$NETAPPLY apply --handoff=none --dhcp=own --no-verify /run/net.yaml; exec $NETAPPLY leases --renew",
        true,
    ),
    ("udhcpc -a", "ip link set eth0 up; exec busybox udhcpc -a -f -i eth0 -s /run/udhcpc", true),
    ("networkd, SendDecline=yes", "SYSTEMD_LOG_TARGET=null exec /usr/lib/systemd/systemd-networkd", true),
    ("dhcpcd", "chroot /run/tree dhcpcd -4 -B -f /etc/bench.conf; :", true),
    (
        "netapply, detect=off",
        "$NETAPPLY apply --handoff=none --dhcp=own --dhcp-options=detect=off --no-verify /run/net.yaml; \
      exec $NETAPPLY leases --renew",
        false,
    ),
    ("udhcpc", "ip link set eth0 up; exec busybox udhcpc -f -i eth0 -s /run/udhcpc", false),
    ("networkd", "SYSTEMD_LOG_TARGET=null exec /usr/lib/systemd/systemd-networkd", false),
    ("dhcpcd, noarp", "chroot /run/tree dhcpcd -4 -B -A -f /etc/bench.conf; :", false),
];

/// What was measured of a client.
#[derive(Default)]
struct Measured {
    seconds: Vec<f64>,
    packets: Vec<u64>,
    memory: u64,
}

fn main() {
    static MEASURED: Mutex<Vec<Measured>> = Mutex::new(Vec::new());
    MEASURED.lock().unwrap().resize_with(CLIENTS.len(), Measured::default);
    let tree = Command::new(harness::root().join("tests/tools/tree")).arg("servers").output().unwrap();
    let tree = String::from_utf8_lossy(&tree.stdout).trim().to_owned();
    for _ in 0..ROUNDS {
        for (client, (name, ..)) in CLIENTS.iter().enumerate() {
            let tree = tree.clone();
            in_namespace(async move || {
                let (seconds, packets) = first_address(client, &tree);
                eprintln!("{name}: {seconds:.3} s, {packets} packets");
                let all = &mut MEASURED.lock().unwrap()[client];
                all.seconds.push(seconds);
                all.packets.push(packets);
            });
        }
    }
    for client in 0..CLIENTS.len() {
        let tree = tree.clone();
        in_namespace(async move || MEASURED.lock().unwrap()[client].memory = memory(client, &tree));
    }
    let mut measured = MEASURED.lock().unwrap();
    let medians: Vec<f64> = measured.iter_mut().map(|all| median(&mut all.seconds)).collect();
    println!("{:<28} {:>9} {:>7} {:>8} {:>24}", "", "seconds", "ratio", "packets", "memory, ten links, KiB");
    for (number, ((name, _, probes), all)) in CLIENTS.iter().zip(measured.iter_mut()).enumerate() {
        // Beside netapply with the same choice.
        let ours = CLIENTS.iter().position(|(_, _, same)| same == probes).unwrap();
        let (seconds, packets) = (medians[number], median(&mut all.packets));
        println!(
            "{name:<28} {seconds:>9.3} {:>7.2} {packets:>8} {:>24}",
            seconds / medians[ours],
            all.memory
        );
    }
}

fn median<T: PartialOrd + Copy>(values: &mut [T]) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

/// What the clients need, for so many links.
fn prepare(client: usize, tree: &str, links: usize) -> Vec<Running> {
    harness::namespace::private_folder("/run");
    let decline = if CLIENTS[client].2 { "SendDecline=yes\n" } else { "" };
    sh(&format!(
        "mkdir -p /run/netns /run/systemd/network /run/tree /run/up /run/work
        mount -t overlay overlay -o lowerdir={tree},upperdir=/run/up,workdir=/run/work /run/tree
        mount --bind /dev /run/tree/dev; mount --bind /proc /run/tree/proc
        printf 'nodev\\nnohook resolv.conf, hostname\\n' >/run/tree/etc/bench.conf
        printf '#!/bin/sh\\n[ \"$1\" = bound ] && ip address add $ip/$mask dev $interface\\n:\\n' >/run/udhcpc
        chmod +x /run/udhcpc
        printf '[Match]\\nName=eth*\\n[Network]\\nDHCP=ipv4\\nLinkLocalAddressing=no\\nIPv6AcceptRA=no\\n[DHCPv4]\\n{}' \
          >/run/systemd/network/10-eth.network
        sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
        decline.replace('\n', "\\n")
    ));
    let mut yaml = String::from("network:\n  version: 2\n  ethernets:\n");
    let serve = |number: usize| {
        let (at, net) = (format!("at{number}"), format!("192.0.{number}"));
        wire(&format!("eth{number}"), &at, "port");
        ip(&format!("link set eth{number} down"));
        sh(&format!("ip netns exec {at} sysctl -qw net.ipv6.conf.all.disable_ipv6=1"));
        ip(&format!("-n {at} address add {net}.1/24 dev port"));
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &at,
            "dnsmasq",
            "-k",
            "-p",
            "0",
            "-i",
            "port",
            "-u",
            "root",
            "--no-ping",
        ]);
        command.args(["--conf-file=/dev/null", &format!("--dhcp-range={net}.50,{net}.50,3600")]);
        command.args([format!("--pid-file=/run/{at}.pid"), format!("--dhcp-leasefile=/run/{at}.leases")]);
        start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    };
    let servers = (0..links).map(serve).collect();
    (0..links).for_each(|number| yaml.push_str(&format!("    eth{number}: {{dhcp4: true}}\n")));
    fs::write("/run/net.yaml", yaml).unwrap();
    while (0..links).any(|number| !Path::new(&format!("/run/at{number}.pid")).exists()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    servers
}

/// Starts a client; without udev here networkd takes links at once only where /sys is read-only.
fn run(client: usize, links: usize) -> Running {
    let mut script = CLIENTS[client].1.to_owned();
    if links > 1 {
        let all = (0..links).map(|number| format!("eth{number}")).collect::<Vec<_>>();
        if script.contains("udhcpc") {
            let each = script.replace("exec ", "");
            script = all.iter().map(|link| format!("{{ {}; }} &\n", each.replace("eth0", link))).collect();
            script.push_str("wait");
        }
    }
    let mut command = Command::new("unshare");
    // In a PID namespace of its own everything ends with its first process. dhcpcd changes its user, and would survive as
    // that one.
    command.args(["-m", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
    command.arg(format!("mount -o remount,ro /sys; {script}"));
    command.env("NETAPPLY", harness::netapply()).stdout(Stdio::null()).stderr(Stdio::null());
    start(&mut command)
}

/// A socket can have the address once it is usable.
fn await_address(number: usize, begin: Instant) -> bool {
    while UdpSocket::bind((format!("192.0.{number}.50"), 0)).is_err() {
        if begin.elapsed() > BOUND {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Seconds from the start of the client, with the link down, to the address, and the packets that were sent by then.
fn first_address(client: usize, tree: &str) -> (f64, u64) {
    let _servers = prepare(client, tree, 1);
    let received =
        || ip_json("-n at0 -s link show dev port")[0]["stats64"]["rx"]["packets"].as_u64().unwrap();
    let (before, begin) = (received(), Instant::now());
    let _running = run(client, 1);
    if !await_address(0, begin) {
        return (f64::INFINITY, received() - before);
    }
    (begin.elapsed().as_secs_f64(), received() - before)
}

/// The proportional set size of a client's processes, once all links have their addresses.
fn memory(client: usize, tree: &str) -> u64 {
    let _servers = prepare(client, tree, LINKS);
    let running = run(client, LINKS);
    let begin = Instant::now();
    let all = (0..LINKS).all(|number| await_address(number, begin));
    assert!(all, "{}: not every link has got its address", CLIENTS[client].0);
    std::thread::sleep(Duration::from_secs(2));
    size(running.id())
}

/// In KiB, with all children.
fn size(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let own = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    own + children.split_whitespace().filter_map(|child| child.parse().ok()).map(size).sum::<u64>()
}
