//! Any existing state: random leftovers next to one description, applied and verified by the program, and the verdict
//! compared with the kernel's own lookup (`ip route get`) and a ping with the described source.
//!
//! `NETAPPLY_LEFTOVERS=10000` tries this many machines instead of the few of every run, from the seed of
//! `NETAPPLY_LEFTOVERS_FROM`, in parallel according to `NETAPPLY_LEFTOVERS_JOBS`; each failure is printed with its
//! commands. `NETAPPLY_LEFTOVERS_PROGRAM` is another build of the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};

use serde_json::Value;

use crate::wires::in_machine;

const TEXT: &str = "network:
  version: 2
  ethernets:
    a:
      match: {macaddress: '02:00:00:00:00:01'}
      addresses: [10.1.0.2/24, '2001:db8:1::2/64']
      routes:
        - {to: default, via: 10.1.0.1}
        - {to: default, via: '2001:db8:1::1'}
";

/// n0 and n1, each to a router of its own; behind both are 198.51.100.5 and 2001:db8:ff::5. Another's subnets are on n1.
const WORLD: &str = "
ip netns add good; ip netns add other
ip -batch - <<EOF
link add n0 address 02:00:00:00:00:01 type veth peer name port0 netns good
link add n1 address 02:00:00:00:00:02 type veth peer name port0 netns other
link set n0 up
link set n1 up
address add 10.2.0.2/24 dev n1
address add 2001:db8:2::2/64 dev n1 nodad
EOF
ip -n good -batch - <<EOF
link set lo up
link set port0 up
address add 10.1.0.1/24 dev port0
address add 2001:db8:1::1/64 dev port0 nodad
address add 198.51.100.5/32 dev lo
address add 2001:db8:ff::5/128 dev lo nodad
route add default dev port0
EOF
ip -n other -batch - <<EOF
link set lo up
link set port0 up
address add 10.2.0.1/24 dev port0
address add 2001:db8:2::1/64 dev port0 nodad
address add 10.1.0.1/32 dev lo
address add 198.51.100.5/32 dev lo
address add 2001:db8:ff::5/128 dev lo nodad
route add default dev port0
EOF
";

/// Numbers from a seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Adjacent seeds begin alike.
        for _ in 0..8 {
            chance.number();
        }
        chance
    }

    fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.number() % count == 0
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.number() as usize % choices.len()]
    }
}

/// Something that an earlier tool, an installer or a router left.
fn leftover(chance: &mut Chance) -> String {
    match chance.number() % 20 {
        0..=4 => address(chance),
        5..=10 => route(chance),
        11..=12 => rule(chance),
        13..=15 => setting(chance),
        16 => neighbour(chance),
        17..=18 => link(chance),
        _ => filter(chance),
    }
}

fn address(chance: &mut Chance) -> String {
    let link = chance.of(&["n0", "n0", "n1", "lo"]);
    if chance.one_in(2) {
        let net = chance.of(&[
            "10.1.0.2/24",
            "10.1.0.2/16",
            "10.1.0.2/32",
            "10.1.0.9/24",
            "10.1.0.77/25",
            "10.9.9.9/32",
            "10.2.0.9/24",
            "10.1.0.200/8",
            "198.51.100.9/24",
        ]);
        let option = chance.of(&[
            "",
            "",
            "noprefixroute",
            "metric 500",
            "valid_lft 300 preferred_lft 100",
            "scope link",
            "scope host",
            "preferred_lft 0",
        ]);
        return format!("ip address add {net} dev {link} {option}");
    }
    let net = chance.of(&[
        "2001:db8:1::2/64",
        "2001:db8:1::2/128",
        "2001:db8:1::9/64",
        "2001:db8:2::9/64",
        "2001:db8:1::a/56",
        "2001:db8:ff::9/64",
        "fd00::9/64",
    ]);
    let option = chance.of(&[
        "",
        "",
        "noprefixroute",
        "metric 50",
        "valid_lft 300 preferred_lft 100",
        "preferred_lft 0",
        "mngtmpaddr",
        "home",
    ]);
    format!("ip address add {net} dev {link} {option} nodad")
}

fn route(chance: &mut Chance) -> String {
    let six = chance.one_in(3);
    let [to, via] = match six {
        false => [
            chance.of(&[
                "default",
                "default",
                "0.0.0.0/1",
                "128.0.0.0/1",
                "10.1.0.0/24",
                "10.1.0.0/25",
                "10.1.0.1/32",
                "198.51.100.0/24",
                "198.51.100.5/32",
                "203.0.113.0/24",
                "10.0.0.0/8",
            ]),
            chance.of(&["via 10.1.0.1", "via 10.2.0.1", "via 10.2.0.1", "via 10.1.0.254", ""]),
        ],
        true => [
            chance.of(&[
                "default",
                "default",
                "::/1",
                "2000::/3",
                "2001:db8:1::/64",
                "2001:db8:1::1/128",
                "2001:db8:ff::/48",
                "2001:db8:ff::5/128",
            ]),
            chance.of(&["via 2001:db8:1::1", "via 2001:db8:2::1", "via 2001:db8:2::1", "via fe80::99", ""]),
        ],
    };
    let family = if six { "-6" } else { "-4" };
    let mut words =
        format!("ip {family} route {} ", chance.of(&["add", "add", "append", "prepend", "replace"]));
    if chance.one_in(6) {
        let kind = chance.of(&["unreachable", "blackhole", "prohibit", "throw"]);
        let _ = write!(words, "{kind} {to}");
    } else {
        let _ = write!(words, "{to} {via} dev {}", chance.of(&["n0", "n1"]));
        if chance.one_in(4) {
            words += " onlink";
        }
        if chance.one_in(8) {
            words += if six { " expires 60" } else { " src 10.2.0.2" };
        }
        if chance.one_in(8) {
            words += " mtu 1300";
        }
    }
    let _ = write!(
        words,
        " proto {}",
        chance.of(&["static", "dhcp", "boot", "ra", "zebra", "redirect", "kernel"])
    );
    if chance.one_in(2) {
        let _ = write!(words, " metric {}", chance.of(&["1", "5", "100", "1023", "1024", "20000"]));
    }
    if !six && chance.one_in(8) {
        words += " tos 0x10";
    }
    if chance.one_in(6) {
        words += " table 200";
    }
    words
}

fn rule(chance: &mut Chance) -> String {
    let family = chance.of(&["-4", "-4", "-6"]);
    if chance.one_in(8) {
        return format!("ip {family} rule del pref 32766");
    }
    let what = match family {
        "-4" => chance.of(&[
            "from 10.1.0.2",
            "to 198.51.100.0/24",
            "from all",
            "fwmark 7",
            "iif n0",
            "to 10.1.0.0/24",
        ]),
        _ => chance.of(&["from 2001:db8:1::2", "to 2001:db8:ff::/48", "from all", "fwmark 7", "iif n0"]),
    };
    let to = chance.of(&["lookup 200", "lookup 200", "lookup 201", "unreachable", "prohibit", "blackhole"]);
    format!("ip {family} rule add pref {} {what} {to}", chance.of(&["10", "100", "32767", "40000"]))
}

fn setting(chance: &mut Chance) -> String {
    let [key, value] = match chance.number() % 22 {
        0 => ["ipv4/conf/n0/rp_filter", chance.of(&["1", "2"])],
        1 => ["ipv4/conf/all/rp_filter", chance.of(&["1", "2"])],
        2 => ["ipv4/conf/n0/arp_ignore", chance.of(&["1", "2", "8"])],
        3 => ["ipv4/conf/all/arp_announce", "2"],
        4 => ["ipv4/conf/n0/arp_filter", "1"],
        5 => ["ipv4/ip_default_ttl", chance.of(&["1", "255"])],
        6 => ["ipv6/conf/n0/disable_ipv6", "1"],
        7 => ["ipv6/conf/all/disable_ipv6", "1"],
        8 => ["ipv6/conf/default/disable_ipv6", "1"],
        9 => ["ipv6/conf/n0/accept_dad", chance.of(&["0", "2"])],
        10 => ["ipv6/conf/n0/hop_limit", "1"],
        11 => ["ipv6/conf/n0/mtu", "1280"],
        12 => ["ipv6/neigh/n0/mcast_solicit", "0"],
        13 => ["ipv4/neigh/n0/mcast_solicit", "0"],
        14 => ["ipv4/conf/n0/forwarding", "1"],
        15 => ["ipv6/conf/all/forwarding", "1"],
        16 => ["ipv6/conf/n0/use_tempaddr", "2"],
        17 => ["ipv4/conf/n0/route_localnet", "1"],
        18 => ["ipv4/conf/n0/promote_secondaries", chance.of(&["0", "1"])],
        19 => ["ipv6/conf/n0/addr_gen_mode", chance.of(&["1", "2"])],
        20 => ["ipv6/conf/n0/ignore_routes_with_linkdown", "1"],
        _ => ["ipv4/icmp_echo_ignore_all", "1"],
    };
    format!("echo {value} >/proc/sys/net/{key}")
}

fn neighbour(chance: &mut Chance) -> String {
    let ip = chance.of(&["10.1.0.1", "2001:db8:1::1", "198.51.100.5", "10.1.0.254"]);
    let kind = chance.of(&["permanent", "noarp", "stale", "reachable"]);
    format!("ip neighbour replace {ip} lladdr 02:00:00:00:99:99 dev n0 nud {kind}")
}

fn link(chance: &mut Chance) -> String {
    chance
        .of(&[
            "ip link set n0 arp off",
            "ip link set n0 mtu 1400",
            "ip link set n0 mtu 1000",
            "ip link set n0 down",
            "ip link set n1 down",
            "ip link set n0 promisc on",
            "ip link set n0 multicast off",
            "ip link add m0 link n0 type macvlan mode passthru",
            "ip link add m0 link n0 type macvlan mode bridge; ip link set m0 up; ip address add 10.1.0.2/24 dev m0",
            "ip link add old0 type bridge; ip link set n0 master old0; ip link set old0 up; ip address add 10.1.0.3/24 dev old0",
            "ip link add old0 type bridge; ip link set old0 up; ip address add 10.1.0.2/24 dev old0",
            "ip link set n1 address 02:00:00:00:00:01",
            "ip -n good address add 10.1.0.2/24 dev port0",
        ])
        .to_owned()
}

fn filter(chance: &mut Chance) -> String {
    let chain = |hook: &str, rule: &str| {
        format!(
            "nft add table inet left; nft 'add chain inet left c {{ type filter hook {hook} priority 0; }}'; nft add rule inet left c {rule}"
        )
    };
    match chance.number() % 7 {
        0 => chain("output", chance.of(&["ip daddr 10.1.0.1 drop", "ip daddr 198.51.100.5 reject", "ip6 daddr 2001:db8:ff::5 drop"])),
        1 => chain("input", chance.of(&["ip saddr 198.51.100.5 drop", "meta l4proto icmp drop", "icmpv6 type echo-reply drop"])),
        2 => "nft add table netdev left; nft 'add chain netdev left c { type filter hook ingress device n0 priority 0; policy drop; }'".to_owned(),
        3 => "nft add table netdev left; nft 'add chain netdev left c { type filter hook egress device n0 priority 0; policy drop; }'".to_owned(),
        4 => "ip xfrm policy add src 10.1.0.2/32 dst 198.51.100.5/32 dir out action block".to_owned(),
        5 => "nft add table ip left; nft 'add chain ip left c { type nat hook output priority -100; }'; nft add rule ip left c ip daddr 198.51.100.5 dnat to 127.0.0.1".to_owned(),
        _ => "ip -n good route del default; ip -n good route add default dev port0".to_owned(),
    }
}

/// The outcome for one machine.
struct Result {
    /// Nothing, or what is wrong.
    wrong: Option<String>,
    works: bool,
    /// A fault is reported although everything works by the oracle; the codes of the causes.
    alarm: Option<String>,
}

/// Whether packets go as described, by `ip route get`.
fn leaves(to: &str, from: Option<&str>, via: &str, source: &str) -> std::result::Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["-j", "route", "get", to]);
    command.args(from.iter().flat_map(|from| ["from", from]));
    let output = command.output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let route = &answer[0];
    let next_hop = route["gateway"] == via || to == via && route["gateway"].is_null();
    let right = route["dev"] == "n0" && next_hop && (from.is_some() || route["prefsrc"] == source);
    if right {
        Ok(())
    } else {
        Err(format!("ip route get {to} {from:?}: {}", String::from_utf8_lossy(&output.stdout).trim()))
    }
}

/// Whether a ping with the described source is answered.
fn answers(to: &str, source: &str) -> std::result::Result<(), String> {
    let ping = Command::new("busybox")
        .args(["ping", "-c", "3", "-A", "-W", "2", "-I", source, to])
        .output()
        .unwrap();
    if ping.status.success() { Ok(()) } else { Err(format!("ping from {source} to {to} is not answered")) }
}

/// Everything that is not as described. If a target was given, what is beyond the gateways counts, too.
fn oracle(with_target: bool) -> Vec<String> {
    let (four, six) = (("10.1.0.1", "10.1.0.2"), ("2001:db8:1::1", "2001:db8:1::2"));
    let mut found = Vec::new();
    for (far, behind, (via, source)) in [
        ("203.0.113.77", "198.51.100.5", four),
        // The lower half of the addresses.
        ("45.0.0.77", "198.51.100.5", four),
        ("2001:db8:ffff::77", "2001:db8:ff::5", six),
    ] {
        found.push(leaves(via, Some(source), via, source));
        found.push(leaves(far, None, via, source));
        found.push(leaves(far, Some(source), via, source));
        found.push(answers(via, source));
        if with_target {
            found.push(leaves(behind, None, via, source));
            found.push(answers(behind, source));
        }
    }
    found.into_iter().filter_map(std::result::Result::err).collect()
}

/// Runs a shell script, ignoring failures in it.
fn try_sh(script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("sh runs");
}

fn program(arguments: &str) -> (i32, Value) {
    let program = std::env::var("NETAPPLY_LEFTOVERS_PROGRAM");
    let program = program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_netapply"));
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn machine(seed: u64) -> Result {
    let mut chance = Chance::new(seed);
    let count = 1 + chance.number() % 4;
    let left: Vec<String> = (0..count).map(|_| leftover(&mut chance)).collect();
    let with_target = chance.one_in(2);
    try_sh(WORLD);
    left.iter().for_each(|line| try_sh(line));
    std::fs::write("/run/d.yaml", TEXT).unwrap();
    let targets = if with_target { "--probe ping://198.51.100.5 --probe ping://2001:db8:ff::5 " } else { "" };
    let (exit, _) = program(&format!("apply --handoff none --wait=12 {targets}/run/d.yaml"));
    let report = std::fs::read("/run/netapply/report.json").unwrap_or_default();
    let report: Value = serde_json::from_slice(&report).unwrap_or_default();
    let causes = report["causes"].as_array().into_iter().flatten();
    let causes: Vec<String> = causes
        .map(|c| format!("{}: {}", c["code"].as_str().unwrap_or("?"), c["message"].as_str().unwrap_or("?")))
        .collect();
    let oracle = oracle(with_target);
    let warned = causes.iter().any(|cause| cause.starts_with("dropped-here"));
    let told = || {
        let target = if with_target { " (with targets)" } else { "" };
        format!(
            "seed {seed}{target}, exit {exit}, {}\n  {}\n  causes {causes:#?}",
            report["verdict"],
            left.join("\n  ")
        )
    };
    let wrong = match (exit, oracle.as_slice()) {
        (0, []) => None,
        // If only this machine drops echo replies, that is a warning.
        (0, _) if warned && oracle.iter().all(|line| line.starts_with("ping ")) => None,
        (0, _) => Some(format!("OK is untrue: {}\n  {oracle:#?}", told())),
        (1 | 5, _) => None,
        _ => Some(format!("{}\n  {oracle:#?}", told())),
    };
    let alarm = (exit != 0 && oracle.is_empty()).then(told);
    Result { wrong, works: exit == 0, alarm }
}

fn alone(seed: u64) -> Result {
    let (sender, receiver) = mpsc::channel();
    in_machine(async move || drop(sender.send(machine(seed))));
    receiver.recv().expect("the machine ran")
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn the_verdict_is_true_with_random_leftovers() {
    let (from, count) = (number("NETAPPLY_LEFTOVERS_FROM", 1), number("NETAPPLY_LEFTOVERS", 40));
    let next = AtomicU64::new(from);
    let tally: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let wrong: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..number("NETAPPLY_LEFTOVERS_JOBS", 8) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let Result { wrong: untrue, works, alarm } = alone(seed);
                    let word = match (&untrue, works, &alarm) {
                        (Some(_), ..) => "untrue",
                        (_, true, _) => "works",
                        (.., Some(_)) => "fault, and the oracle sees none",
                        (.., None) => "fault",
                    };
                    *tally.lock().unwrap().entry(word).or_default() += 1;
                    if let Some(alarm) = alarm {
                        eprintln!("ALARM {alarm}");
                    }
                    if let Some(untrue) = untrue {
                        eprintln!("UNTRUE {untrue}");
                        wrong.lock().unwrap().push(untrue);
                    }
                }
            });
        }
    });
    eprintln!("{:?}", tally.lock().unwrap());
    let wrong = wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} of {count} verdicts are untrue:\n{}", wrong.len(), wrong.join("\n"));
}
