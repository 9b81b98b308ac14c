//! How CPU time grows with each dimension of a description: links, addresses, routes, gateways, rules, name servers.
//! Each is multiplied by ten, planned (`--dry-run`), applied, and verified, on a machine of its own: a network
//! namespace of the running kernel. `cargo bench --bench growth` prints the ratios (needs root); 10 is linear, and
//! nothing is judged by them. `--profile dev` measures the debug build.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use harness::disturb::alone;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Writes a description with this many of something.
type Describe = fn(usize) -> String;

/// What grows, from how many, and the description with this many.
const DIMENSIONS: &[(&str, usize, Describe)] = &[
    ("links", 30, links),
    ("addresses", 300, addresses),
    ("routes", 1000, routes),
    ("gateways", 100, gateways),
    ("rules", 100, rules),
    // Nobody has more: a description may have 64.
    ("name servers", 6, name_servers),
];

/// The link below everything else. Its peer is up, so that it has carrier, and answers nothing.
const NIC: &str = "network:
  version: 2
  ethernets:
    eth0:
      match: {macaddress: '02:00:00:00:00:01'}
      addresses: [10.0.0.1/8";

fn links(count: usize) -> String {
    let mut text = format!("{NIC}]\n  bridges:\n");
    for number in 0..count {
        let _ = writeln!(text, "    b{number}: {{addresses: [172.16.{}.{}/32]}}", number / 250, number % 250);
    }
    text
}

fn addresses(count: usize) -> String {
    let more = (0..count).map(|number| format!(", 10.1.{}.{}/32", number / 250, number % 250));
    format!("{NIC}{}]\n", more.collect::<String>())
}

/// Routes over ten gateways.
fn routes(count: usize) -> String {
    over(count, |number| number % 10)
}

/// Each route has a gateway of its own.
fn gateways(count: usize) -> String {
    over(count, |number| number)
}

fn over(count: usize, gateway: fn(usize) -> usize) -> String {
    let mut text = format!("{NIC}]\n      routes:\n");
    for number in 0..count {
        let (to, via) = (number + 1, gateway(number) + 1);
        let _ = writeln!(
            text,
            "        - {{to: 172.{}.{}.0/24, via: 10.2.{}.{}}}",
            16 + to / 250,
            to % 250,
            via / 250,
            via % 250
        );
    }
    text
}

fn rules(count: usize) -> String {
    let mut text = format!("{NIC}]\n      routing-policy:\n");
    for number in 0..count {
        let (high, low) = (number / 250, number % 250);
        let _ = writeln!(
            text,
            "        - {{from: 10.3.{high}.{low}, table: {}, priority: {}}}",
            1000 + number,
            100 + number
        );
    }
    text
}

fn name_servers(count: usize) -> String {
    let servers: Vec<String> =
        (0..count).map(|number| format!("10.4.{}.{}", number / 250, number % 250 + 1)).collect();
    format!("{NIC}]\n      nameservers: {{addresses: [{}]}}\n", servers.join(", "))
}

/// The commands, in this order on one machine.
const COMMANDS: &[(&str, &[&str])] = &[
    ("plan", &["--dry-run"]),
    ("apply", &["apply", "--no-verify", "--handoff", "none"]),
    ("plan again", &["--dry-run"]),
    ("verify", &["verify", "--wait", "2"]),
];

/// For comparison, ip(8)'s time for the plan's steps: how the kernel itself grows.
const BY_IP: &str = "ip -batch";

fn main() {
    println!("{:<14}{:>16}{:>16}", "", "from", "to");
    for (what, count, text) in DIMENSIONS {
        let (small, large) = (seconds(text(*count)), seconds(text(*count * 10)));
        println!("{what:<14}{count:>16}{:>16}", count * 10);
        let rows = COMMANDS.iter().map(|(command, _)| *command).chain([BY_IP]);
        for ((command, small), large) in rows.zip(small).zip(large) {
            println!("  {command:<12}{small:>14.3} s{large:>14.3} s   times {:.1}", large / small);
        }
    }
}

/// The CPU time of each command, and of ip(8): the minimum of three machines.
fn seconds(text: String) -> Vec<f64> {
    let rounds = (0..3).map(|_| {
        let (here, there) = (text.clone(), text.clone());
        let program = || harness::netapply().display().to_string();
        let mut times = alone(program(), move |program| by_netapply(&program, &here));
        times.push(alone(program(), move |program| by_ip(&program, &there)));
        times
    });
    let least = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a.min(b)).collect();
    rounds.reduce(least).expect("three rounds")
}

const DESCRIPTION: &str = "/run/description.yaml";

fn machine(text: &str) {
    for line in [
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0",
        "link set peer0 up",
        "link set eth0 up",
    ] {
        harness::namespace::ip(line);
    }
    std::fs::write(DESCRIPTION, text).expect("a description");
}

/// The steps of the plan, each of which is one command of ip(8).
fn by_ip(program: &str, text: &str) -> f64 {
    machine(text);
    let script = Command::new(program).args(["--dry-run", "--format", "sh", DESCRIPTION]).output();
    let script = String::from_utf8(script.expect("netapply runs").stdout).expect("a script");
    let lines = script.lines().filter_map(|line| line.strip_prefix("ip "));
    // A batch determines the family by itself.
    let lines: Vec<&str> = lines.map(|line| line.trim_start_matches("-4 ")).collect();
    let before = of_children();
    harness::namespace::ip_batch(&lines).expect("ip(8) does the plan");
    of_children() - before
}

fn by_netapply(program: &str, text: &str) -> Vec<f64> {
    machine(text);
    let each = |(_, arguments): &(&str, &[&str])| {
        let before = of_children();
        let mut command = Command::new(program);
        command.args(*arguments).arg(DESCRIPTION).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().expect("netapply runs");
        // Gateways and name servers do not answer.
        assert!(matches!(status.code(), Some(0 | 1)), "{arguments:?}: {status}\n{text:.2000}");
        of_children() - before
    };
    COMMANDS.iter().map(each).collect()
}

/// CPU time of all children so far, in user space and in the kernel.
fn of_children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage(2)");
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}
