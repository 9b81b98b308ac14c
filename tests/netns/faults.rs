//! Disturbed runs on the running kernel: bridges, veth pairs, addresses, routes, rules, settings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::disturb::{
    Case, State, alone, killed_at_every_step, lines_of_difference, lost_at_every_step, program,
    refused_at_every_step, said, settled, until_same,
};
use harness::namespace::private_folder;

/// More steps than the description has.
const ALL: std::ops::Range<usize> = 0..200;

static BRIDGES: Case = Case {
    machine: &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:01:01",
        "link add eth1 address 02:00:00:00:00:02 type veth peer name peer1 address 02:00:00:00:01:02",
        "link add eth2 address 02:00:00:00:00:03 type veth peer name peer2 address 02:00:00:00:01:03",
        "link set peer0 up",
        "link set peer1 up",
        "link set peer2 up",
        "link add br0 address 02:00:00:00:02:00 type bridge forward_delay 700",
        "link set eth0 master br0",
        "link set eth0 type bridge_slave cost 9",
        "link set eth0 up",
        "link set br0 up",
        "link add br9 address 02:00:00:00:02:09 type bridge",
        "link set eth1 master br9",
        "link set eth1 mtu 1400",
        "link set eth1 up",
        "link set br9 up",
        "link set eth2 up",
        "link property add dev eth2 altname an-old-name-of-the-third",
        "address add 192.0.2.1/24 broadcast 192.0.2.255 dev br0",
        "address add 192.0.2.2/24 broadcast 192.0.2.255 dev br0",
        "address add 198.51.100.9/24 dev br9",
        "address add 2001:db8:9::9/64 dev br9",
        "address add 203.0.113.7/25 dev eth2",
        "link add eth3 address 02:00:00:00:00:04 type veth peer name peer3 address 02:00:00:00:01:04",
        "link set peer3 up",
        "link set eth3 up",
        "address add 10.90.0.1/24 dev eth3 noprefixroute",
        "address add 2001:db8:90::1/64 dev eth2 noprefixroute nodad",
        "address add 2001:db8:91::1/64 dev eth2 metric 77 home",
        "address add 2001:db8:7::7/64 dev eth2",
        "route add default via 192.0.2.254 dev br0 proto static",
        "route add 10.9.0.0/16 via 198.51.100.1 dev br9",
        "route add 10.8.0.0/16 via 203.0.113.1 dev eth2 metric 7 mtu 1300",
        "route add 10.7.0.0/16 dev eth2 table 700",
        "route add 10.6.0.0/16 nexthop via 203.0.113.3 weight 5 nexthop via 203.0.113.4",
        "route add 10.4.0.0/16 nexthop via 203.0.113.3 nexthop via 198.51.100.1",
        "-6 route add 2001:db8:66::/48 nexthop via 2001:db8:7::3 weight 6 nexthop via 2001:db8:7::4",
        "-6 route add 2001:db8:44::/48 nexthop via 2001:db8:7::3 nexthop via 2001:db8:9::1 weight 2",
        "route add 2001:db8:99::/48 via 2001:db8:9::1 dev br9",
        "route add default via 2001:db8:7::1 dev eth2 metric 50",
        "rule add from 198.51.100.0/24 table 700 priority 700",
        "rule add from 192.0.2.0/24 table 700 priority 701 protocol static",
        "-6 rule add from 2001:db8:9::/64 table 700 priority 702",
    ],
    shell: "",
    sysctls: &[("net/ipv6/conf/eth2/accept_ra", "0"), ("net/ipv6/conf/eth2/use_tempaddr", "1")],
    text: "network:
  version: 2
  ethernets:
    one: {match: {macaddress: '02:00:00:00:00:01'}}
    four: {match: {macaddress: '02:00:00:00:00:04'}}
    two: {match: {macaddress: '02:00:00:00:00:02'}, mtu: 1450}
    three:
      match: {macaddress: '02:00:00:00:00:03'}
      set-name: lan0
      mtu: 1400
      accept-ra: true
      ipv6-privacy: true
      addresses: [203.0.113.7/24, '2001:db8:7::7/48', {203.0.113.77/32: {label: 'lan0:a'}}]
      routes:
        - {to: 10.8.0.0/16, via: 203.0.113.1, metric: 8}
        - {to: 10.6.0.0/16, via: 203.0.113.2, table: 700}
        - {to: '2001:db8:66::/48', via: '2001:db8:7::2'}
        - {to: 10.5.0.0/16, type: blackhole}
      routing-policy:
        - {from: 203.0.113.0/24, table: 700, priority: 650}
        - {to: '2001:db8:66::/48', table: 700, priority: 651}
  bridges:
    br0:
      interfaces: [one, two]
      macaddress: '02:00:00:00:02:01'
      mtu: 1420
      parameters: {forward-delay: 4, priority: 4096, path-cost: {one: 11, two: 12}}
      addresses: [192.0.2.2/24, '2001:db8::2/64']
      routes: [{to: default, via: 192.0.2.253}, {to: '::/0', via: '2001:db8::1'}]
    br1: {interfaces: [], macaddress: '02:00:00:00:02:02', addresses: [10.1.0.1/24]}
",
};

/// Leftovers on a machine, all of which the description replaces.
static LEFTOVERS: Case = Case {
    machine: &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:01:01",
        "link add eth1 address 02:00:00:00:00:02 type veth peer name peer1 address 02:00:00:00:01:02",
        "link add eth2 address 02:00:00:00:00:03 type veth peer name peer2 address 02:00:00:00:01:03",
        "link add eth3 address 02:00:00:00:00:04 type veth peer name peer3 address 02:00:00:00:01:04",
        "link set peer0 up",
        "link set peer1 up",
        "link set peer2 up",
        "link set eth0 up",
        "link set eth1 up",
        "link property add dev eth1 altname lan1",
        "link set eth2 mtu 1000",
        "link set eth2 up",
        "link set peer3 up",
        "link set eth3 up",
        // A lease with its default route, one more as the first of the described subnet, and addresses of other kinds.
        "address add 10.4.0.2/24 dev eth0 metric 500",
        "address add 10.1.0.77/24 dev eth0 valid_lft 6000 preferred_lft 3000",
        "address add 10.1.0.3/24 dev eth0",
        "address add 10.2.0.2/24 dev eth0 noprefixroute",
        "address add 10.3.0.2/24 dev eth0 scope link",
        "address add 10.5.0.9/24 dev eth0 scope link",
        "route add default via 10.1.0.9 dev eth0 proto dhcp src 10.1.0.77",
        "route append default via 10.1.0.8 dev eth0 proto zebra",
        "route add 192.0.2.9 via 10.1.0.9 dev eth0 proto redirect",
        "route add default tos 0x10 via 10.1.0.9 dev eth0",
        "nexthop add id 5 via 10.1.0.9 dev eth0",
        "route add 192.0.2.0/24 nhid 5",
        // A router's.
        "-6 address add 2001:db8:3::2/64 dev eth0 nodad noprefixroute",
        "-6 address add 2001:db8:1::5054/64 dev eth0 nodad valid_lft 6000 preferred_lft 3000",
        "-6 address add 2001:db8:2::2/64 dev eth0 nodad valid_lft 6000 preferred_lft 3000",
        "-6 route add default via fe80::9 dev eth0 proto ra metric 1024 expires 1800",
        "-6 route add default via fe80::8 dev eth0 proto zebra metric 99",
        "-6 route add 2001:db8:77::/64 dev eth0 proto kernel metric 256 expires 6000",
        "-6 route add default from 2001:db8:99::/64 via 2001:db8:1::1 dev eth0 proto static metric 1024",
        // Another program's, with described addresses; what the kernel should have added with one, and somebody
        // deleted.
        "address add 10.9.0.2/24 dev eth1",
        "route add 198.51.100.0/24 via 10.9.0.1 dev eth1 src 10.4.0.2 proto 77",
        "-6 address add 2001:db8:5::5/64 dev eth1 nodad",
        "route del 10.9.0.0/24 dev eth1",
        "link set lo up",
        "link set lo down",
    ],
    shell: "",
    sysctls: &[
        ("net/ipv6/conf/eth0/use_tempaddr", "2"),
        ("net/ipv6/conf/eth3/disable_ipv6", "1"),
        ("net/ipv6/conf/eth1/mtu", "1280"),
    ],
    text: "network:
  version: 2
  ethernets:
    zero:
      match: {macaddress: '02:00:00:00:00:01'}
      accept-ra: false
      ipv6-privacy: false
      addresses: [10.1.0.3/24, 10.2.0.2/24, 10.3.0.2/24, 10.4.0.2/24, 10.5.0.2/24,
        '2001:db8:2::2/64', '2001:db8:3::2/64']
      routes: [{to: default, via: 10.1.0.1}, {to: '::/0', via: '2001:db8:2::1'}]
    one:
      match: {macaddress: '02:00:00:00:00:02'}
      set-name: lan1
      mtu: 1500
      addresses: [10.9.0.2/24, '2001:db8:5::5/64']
    two:
      match: {macaddress: '02:00:00:00:00:03'}
      addresses: ['2001:db8:6::6/64']
    three:
      match: {macaddress: '02:00:00:00:00:04'}
      addresses: ['2001:db8:8::8/64']
",
};

#[test]
fn strict_restores_the_machine_whichever_step_is_refused() {
    assert!(!refused_at_every_step(&BRIDGES, &program(), ALL), "there are more steps");
}

#[test]
fn strict_puts_back_what_was_left_on_the_machine_whichever_step_is_refused() {
    assert!(!refused_at_every_step(&LEFTOVERS, &program(), ALL), "there are more steps");
}

#[test]
fn a_run_killed_among_leftovers_and_repeated_ends_as_undisturbed() {
    assert!(!killed_at_every_step(&LEFTOVERS, &program(), ALL), "there are more steps");
}

#[test]
fn a_run_killed_at_any_step_and_repeated_ends_as_undisturbed() {
    assert!(!killed_at_every_step(&BRIDGES, &program(), ALL), "there are more steps");
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    assert!(!lost_at_every_step(&BRIDGES, &program(), ALL), "there are more steps");
}

/// A NIC that is ready a second after it came up, as hardware is: here somebody has to say so (RFC 2863's dormant
/// state).
static SLOW: Case = Case {
    machine: &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:01:01",
        "link set peer0 up",
        "link set eth0 mode dormant",
        "link set eth0 up",
    ],
    shell: "
ready() { ip -br link | awk '$2 == \"DORMANT\" {print $1}' | cut -d@ -f1 | xargs -rI{} ip link set {} state up; }
until ip -br link show eth0 | grep -q ' UP '; do ready; sleep 0.1; done
(for _ in $(seq 60); do sleep 1; ready; done) >/dev/null 2>&1 &
",
    sysctls: &[("net/ipv6/conf/eth0/mtu", "1280")],
    text: "network:
  version: 2
  ethernets:
    zero: {match: {macaddress: '02:00:00:00:00:01'}, set-name: lan0, mtu: 1400, addresses: [192.0.2.2/24]}
",
};

#[test]
fn strict_puts_back_the_mtu_of_ipv6_of_a_nic_that_takes_its_time() {
    assert!(!refused_at_every_step(&SLOW, &program(), ALL), "there are more steps");
}

/// The released program contains none of it.
#[test]
fn the_released_program_cannot_be_disturbed() {
    let has_it = |path: &str| {
        let bytes = std::fs::read(path).expect("the program");
        bytes.windows(14).any(|part| part == b"NETAPPLY_FAULT")
    };
    assert!(has_it(&program()), "the one for tests has it");
    let released = env!("CARGO_BIN_EXE_netapply");
    assert!(!has_it(released), "the one that is released has not");
    let features = Command::new(released).arg("--version").env("NETAPPLY_FAULT", "die:0").output();
    assert!(features.expect("netapply runs").status.success());
    // Otherwise each kill would be detected.
    let result = std::panic::catch_unwind(|| killed_at_every_step(&BRIDGES, released, 0..1));
    assert_eq!(result.ok(), Some(false), "it takes no step for one to be killed at");
}

static HANDOFF: Case = Case {
    machine: &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:01:01",
        "link set peer0 up",
        "address add 192.0.2.7/24 dev eth0",
        "link set eth0 up",
        "route add default via 192.0.2.254 dev eth0 metric 77",
    ],
    shell: "",
    sysctls: &[],
    text: r"
version: 2
ethernets:
  n0:
    match: {macaddress: '02:00:00:00:00:01'}
    generic-receive-offload: true
    addresses: [192.0.2.8/24]
    routes: [{to: default, via: 192.0.2.1}]
    nameservers: {addresses: [192.0.2.53], search: [example.org]}
",
};

/// The network's steps are undone with everything that other tools were told; those of the hand-off undo nothing.
#[test]
fn under_strict_a_handoff_that_fails_undoes_nothing_and_an_undo_takes_back_the_handoff() {
    let statuses = handoff_disturbed_at_every_step(&HANDOFF, &program(), Disturbed::Refused);
    assert!(statuses.keys().eq(&[0, 1, 5]), "{statuses:?}");
    // The host name, and the offload.
    assert_eq!(statuses[&1], 2, "{statuses:?}");
    assert!(statuses[&0] >= 4 && statuses[&5] >= 3, "{statuses:?}");
}

#[test]
fn a_signal_under_strict_undoes_the_network_and_the_handoff() {
    let statuses = handoff_disturbed_at_every_step(&HANDOFF, &program(), Disturbed::Stopped);
    assert!(statuses.keys().eq(&[1]), "{statuses:?}");
}

/// How a step of a hand-off is disturbed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disturbed {
    /// It fails.
    Refused,
    /// SIGTERM comes at it.
    Stopped,
}

/// Under `--strict` and with the hand-off, disturbs each step in turn: either everything is undone, files included, or
/// the network stays. Returns how often the program exited with each status.
fn handoff_disturbed_at_every_step(
    case: &'static Case,
    program: &str,
    how: Disturbed,
) -> BTreeMap<i32, usize> {
    let undisturbed = alone(program.to_owned(), |program| {
        make_with_image(case);
        let output = run_with_image(&program, "");
        assert!(output.status.success(), "{}", said(&output));
        settled()
    });
    let mut statuses = BTreeMap::new();
    for step in 0_u64.. {
        let undisturbed = undisturbed.clone();
        let status = alone(program.to_owned(), move |program| {
            let before = make_with_image(case);
            let files = files();
            let fault = if how == Disturbed::Refused { "refuse" } else { "stop" };
            let output = run_with_image(&program, &format!("{fault}:{step}"));
            let status = output.status.code().unwrap_or_else(|| panic!("{step}: {}", said(&output)));
            let report = fs::read_to_string("/run/netapply/report.json").expect("a report");
            let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
            // A busy machine may lose an answer and plan again: this run is what counts.
            if report["applied"]["planned"].as_u64().is_some_and(|planned| planned <= step) {
                return None;
            }
            let undone = how == Disturbed::Stopped || status == 5;
            let wanted = if undone { &before } else { &undisturbed };
            until_same(wanted).unwrap_or_else(|differs| panic!("step {step}:\n{differs}\n{}", said(&output)));
            if undone {
                let differs = lines_of_difference(&files, &self::files());
                assert!(
                    differs.is_empty() || files == self::files(),
                    "step {step}:\n{differs}\n{}",
                    said(&output)
                );
            }
            Some(status)
        });
        let Some(status) = status else { break };
        *statuses.entry(status).or_default() += 1;
    }
    assert!(!statuses.is_empty());
    statuses
}

fn run_with_image(program: &str, fault: &str) -> Output {
    let mut command = Command::new(program);
    command.args(["apply", "--no-verify", "--strict", "--handoff", "auto", "/run/seed"]);
    command.env("NETAPPLY_FAULT", fault).output().expect("netapply runs")
}

/// Every file that a hand-off may change, with its kind, mode and content.
fn files() -> String {
    use std::os::unix::fs::PermissionsExt;
    fn below(folder: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let own =
                ["report.json", "description.json", "owed.json", "lock", "netapply.log", "50-netapply.issue"];
            if own.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            if metadata.is_dir() {
                below(&path, out);
            } else if metadata.is_symlink() {
                out.push(format!("{} -> {}", path.display(), fs::read_link(&path).unwrap().display()));
            } else if metadata.is_file() {
                let content = fs::read_to_string(&path).unwrap_or_default();
                out.push(format!("{} {:o} {content:?}", path.display(), metadata.permissions().mode()));
            }
        }
    }
    let mut out = Vec::new();
    below(Path::new("/run"), &mut out);
    below(Path::new("/etc"), &mut out);
    out.push(fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name"));
    out.sort();
    out.join("\n")
}

/// The machine, in an image with files for the hand-off: an /etc of its own, the units of other tools, and an earlier
/// description's leftovers. The description is a seed that names the machine.
fn make_with_image(case: &Case) -> State {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS).expect("root may make namespaces");
    nix::unistd::sethostname("localhost").expect("the name of the namespace");
    private_folder("/etc");
    fs::create_dir_all("/run/systemd/system").unwrap();
    for unit in ["systemd-networkd.service", "NetworkManager.service", "cloud-init-local.service"] {
        fs::write(Path::new("/run/systemd/system").join(unit), "").unwrap();
    }
    // resolv.conf as a dangling link has to be restored, too.
    std::os::unix::fs::symlink("/nowhere/resolv.conf", "/etc/resolv.conf").unwrap();
    fs::create_dir_all("/run/netapply/links").unwrap();
    fs::write("/run/netapply/links/old0", "").unwrap();
    fs::create_dir_all("/run/systemd/network").unwrap();
    fs::write("/run/systemd/network/00-netapply-old0.network", "[Match]\nName=old0\n").unwrap();
    fs::create_dir_all("/run/seed").unwrap();
    fs::write("/run/seed/network-config", case.text).unwrap();
    fs::write("/run/seed/meta-data", "instance-id: i\nlocal-hostname: node1\n").unwrap();
    case.make()
}

/// A machine with one NIC.
static PLAIN: Case = Case {
    machine: &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:01:01",
        "link set peer0 up",
        "link set eth0 up",
    ],
    shell: "",
    sysctls: &[],
    text: "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'},
      addresses: [192.0.2.2/24, '2001:db8::2/64'], routes: [{to: default, via: 192.0.2.1}]}}}",
};

/// Runs the program on a case and returns its report.
fn reported(case: &'static Case, arguments: &[&str], fault: &str, text: &str) -> serde_json::Value {
    case.make();
    fs::write("/run/description", text).expect("the description");
    let mut command = Command::new(program());
    command.arg("apply").args(arguments).args(["--handoff", "none", "/run/description"]);
    let output = command.env("NETAPPLY_FAULT", fault).output().expect("netapply runs");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let report = fs::read_to_string("/run/netapply/report.json").expect("a report");
    serde_json::from_str(&report).expect("JSON")
}

/// The second step adds the IPv6 address.
#[test]
fn what_a_refused_step_was_to_make_is_not_shown_as_made() {
    alone(String::new(), |_| {
        let report = reported(&PLAIN, &["--no-verify"], "refuse:1", PLAIN.text);
        let lines = report["screen"].to_string();
        assert!(
            lines.contains("FAIL eth0") && lines.contains("2001:db8::2/64 is not on the link"),
            "{lines}"
        );
        let addresses: Vec<String> = report["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .filter(|check| check["code"] == "address")
            .map(|check| format!("{} {}", check["object"], check["outcome"]).replace('"', ""))
            .collect();
        assert_eq!(addresses, ["192.0.2.2 passed", "2001:db8::2 failed"], "{:#}", report["checks"]);
    });
}

/// The NIC with another name is the described one, and existed all the time.
#[test]
fn a_refused_rename_is_named_as_such() {
    alone(String::new(), |_| {
        let text = PLAIN.text.replace("addresses:", "set-name: wan0, addresses:");
        let report = reported(&PLAIN, &["--wait=6"], "refuse:1", &text);
        let causes: Vec<&str> =
            report["causes"].as_array().expect("causes").iter().filter_map(|c| c["code"].as_str()).collect();
        assert_eq!(causes, ["kernel-refused", "link-renamed"], "{:#}", report["causes"]);
    });
}
