//! What this machine itself does to packets and looks like a silent network: it must be reported as this machine's. The
//! state is set by nft(8), ip(8) and /proc; the oracle is a ping with the described source.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use netapply::diagnostic::{Code, Severity};
use netapply::verify::Verification;
use netapply::verify::checks::Outcome;
use netapply::verify::input::Input;

use crate::commands::{description as text, exits, netapply};
use crate::lookups::{description, review_now, two_routers, verified};
use crate::servers;
use crate::wires::{assert_cause, assert_healthy, in_machine, input, nic, outcome, reviewed, run, sh, wire};

/// The oracle: whether an echo with this source is answered.
fn ping(source: &str, to: &str) -> bool {
    let mut ping = Command::new("busybox");
    ping.args(["ping", "-c", "2", "-A", "-W", "2", "-I", source, to]);
    ping.output().expect("busybox runs").status.success()
}

const NFT: &str = "nft add table inet left; nft 'add chain inet left c { type filter hook HOOK priority 0; }'
    nft add rule inet left c ";

/// A base chain at that hook with one rule.
fn rule(hook: &str, rule: &str) -> String {
    NFT.replace("HOOK", hook) + rule
}

/// A base chain on the link that drops everything.
fn at_link(hook: &str) -> String {
    format!(
        "nft add table netdev left
        nft 'add chain netdev left c {{ type filter hook {hook} device n0 priority 0; policy drop; }}'"
    )
}

/// Creates two routers, breaks the machine, and expects this cause with these words, and no other error.
fn spoiled(spoil: String, target: Option<&'static str>, code: Code, words: &'static [&'static str]) {
    in_machine(async move || {
        two_routers();
        assert!(ping("10.1.0.2", "10.1.0.1") && ping("10.1.0.2", "198.51.100.5"), "before it is spoiled");
        sh(&spoil);
        let mut input = description();
        input.targets = target.iter().map(|target| target.parse().unwrap()).collect();
        named(&verified(&input).await, code, words);
    });
}

fn named(verification: &Verification, code: Code, words: &[&str]) {
    assert!(!verification.passed(), "{:#?}", verification.checks);
    let all = format!(
        "{:#?}\n{:#?}\n{:#?}",
        verification.causes, verification.checks, verification.evidence.traffic
    );
    for cause in verification.causes.iter().filter(|cause| cause.severity == Severity::Error) {
        assert_eq!(cause.code, code, "{all}");
    }
    let first = verification.causes.first().unwrap_or_else(|| panic!("{all}"));
    let said = format!("{} -> {}", first.message, first.action);
    words.iter().for_each(|word| assert!(said.contains(word), "{said} lacks {word}\n{all}"));
}

const ECHO: Option<&str> = Some("ping://198.51.100.5");
const TCP: Option<&str> = Some("tcp://198.51.100.5:80");

#[test]
fn answers_that_an_input_rule_drops() {
    let words = &["answers of 198.51.100.5 arrive on n0", "table inet left, chain c"];
    spoiled(rule("input", "ip saddr 198.51.100.5 drop"), ECHO, Code::DroppedHere, words);
}

#[test]
fn questions_that_an_output_rule_drops() {
    let words = &["refuses to send", "ping://198.51.100.5"];
    spoiled(rule("output", "ip daddr 198.51.100.5 drop"), ECHO, Code::RefusedHere, words);
}

#[test]
fn connections_that_an_output_rule_drops() {
    // The kernel reports no error for a connection's first packet.
    let words = &["no packets to 198.51.100.5 leave n0", "table inet left, chain c"];
    spoiled(rule("output", "ip daddr 198.51.100.5 tcp dport 80 drop"), TCP, Code::DroppedHere, words);
}

#[test]
fn connections_that_an_output_rule_rejects() {
    let words = &["no packets to 198.51.100.5 leave n0"];
    spoiled(
        rule("output", "ip daddr 198.51.100.5 tcp dport 80 reject with tcp reset"),
        TCP,
        Code::DroppedHere,
        words,
    );
}

#[test]
fn echo_replies_that_this_machine_drops_are_a_warning() {
    in_machine(async || {
        two_routers();
        sh(&rule("input", "icmp type echo-reply drop"));
        assert!(!ping("10.1.0.2", "10.1.0.1"));
        let input = Input { targets: Vec::new(), ..description() };
        let verification = verified(&input).await;
        assert!(verification.passed(), "{:#?}", verification.checks);
        assert_cause(&verification, Code::DroppedHere, &["echo replies of gateway 10.1.0.1 arrive on n0"]);
        assert_eq!(verification.causes.len(), 1, "{:#?}", verification.causes);
    });
}

#[test]
fn everything_is_dropped_as_it_comes_in() {
    let words = &["arrive on n0, but this machine drops them", "table netdev left, chain c"];
    spoiled(at_link("ingress"), None, Code::DroppedHere, words);
}

#[test]
fn everything_is_dropped_as_it_leaves() {
    let words = &["leave n0", "table netdev left, chain c"];
    spoiled(at_link("egress"), None, Code::DroppedHere, words);
}

#[test]
fn a_macvlan_in_passthru_mode_takes_every_frame() {
    let spoil = "ip link add m0 link n0 type macvlan mode passthru".to_owned();
    spoiled(spoil, None, Code::LocalSetting, &["m0 on n0 takes every frame"]);
}

#[test]
fn no_neighbour_is_asked_for() {
    let spoil = "echo 0 >/proc/sys/net/ipv6/neigh/n0/mcast_solicit; ip -6 neighbour flush dev n0";
    let words = &["n0 never asks for an unknown neighbour", "ipv6"];
    spoiled(spoil.to_owned(), None, Code::LocalSetting, words);
}

/// Frames of the gateway arrive on n0, and the route to it is through n1: with `rp_filter` 1 they are dropped.
#[test]
fn the_route_to_the_gateway_is_elsewhere_and_rp_filter_is_strict() {
    let spoil = "echo 1 >/proc/sys/net/ipv4/conf/n0/rp_filter; ip route add 10.1.0.1/32 dev n1".to_owned();
    spoiled(spoil, None, Code::CompetingRoute, &["10.1.0.1/32 dev n1"]);
}

/// The gateway answers ARP, and this machine refuses to send it an echo: that says nothing about the gateway.
#[test]
fn a_gateway_that_may_not_be_sent_an_echo_does_not_ignore_it() {
    in_machine(async || {
        two_routers();
        sh(&rule("output", "meta l4proto icmp drop"));
        let input = Input { targets: Vec::new(), ..description() };
        let verification = verified(&input).await;
        assert!(!verification.passed(), "{:#?}", verification.checks);
        assert_eq!(outcome(&verification, Code::CheckPathMtu, "10.1.0.1"), Some(Outcome::Unknown));
        let cause = verification.causes.iter().find(|cause| cause.code == Code::RefusedHere);
        let cause = cause.unwrap_or_else(|| panic!("{:#?}", verification.causes));
        assert_eq!(cause.severity, Severity::Warning);
        assert!(!format!("{:?}", verification.checks).contains("ignores echo"));
    });
}

/// As if it had answered: the kernel does not ask again for half a minute.
#[test]
fn a_neighbour_that_was_entered_as_reachable_is_asked_for() {
    in_machine(async || {
        two_routers();
        sh("ip neighbour replace 10.1.0.1 lladdr 02:00:00:00:99:99 dev n0 nud reachable");
        assert!(!ping("10.1.0.2", "10.1.0.1"));
        let verification = verified(&description()).await;
        assert_eq!(verification.passed(), ping("10.1.0.2", "10.1.0.1"), "{:#?}", verification.checks);
    });
}

/// A mark set by the firewall sends other programs' packets through another link, while the lookup without it shows n0.
#[test]
fn an_answer_rerouted_by_a_mark_proves_nothing() {
    in_machine(async || {
        two_routers();
        sh("ip rule add fwmark 7 lookup 77; ip route add default via 10.2.0.1 table 77; nft add table ip left
            nft 'add chain ip left c { type route hook output priority -150; }'
            nft add rule ip left c ip daddr 198.51.100.5 meta mark set 7");
        let verification = verified(&description()).await;
        let target = verification.checks.iter().find(|check| check.code == Code::CheckTarget);
        let target = target.expect("it is checked");
        assert_eq!(target.outcome, Outcome::NotChecked, "{target:?}");
    });
}

/// A queue that holds nothing, made with tc(8).
#[test]
fn a_queue_of_the_link_drops_everything() {
    let spoil = "tc qdisc replace dev n0 root pfifo limit 0".to_owned();
    spoiled(spoil, None, Code::DroppedHere, &["leave n0", "tc qdisc show"]);
}

#[test]
fn ipv6_packets_limited_to_one_hop() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        sh("ip address add 2001:db8:1::2/64 dev eth0 nodad
            ip -6 route add default via 2001:db8:1::1
            ip -n router address add 2001:db8:1::1/64 dev port0 nodad
            ip netns add server
            ip -n router link add out type veth peer name eth0 netns server
            ip -n router link set out up
            ip -n server link set eth0 up
            ip -n router address add 2001:db8:2::1/64 dev out nodad
            ip -n server address add 2001:db8:2::5/64 dev eth0 nodad
            ip -n server route add default via 2001:db8:2::1
            ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
            echo 1 >/proc/sys/net/ipv6/conf/eth0/hop_limit");
        assert!(!ping("2001:db8:1::2", "2001:db8:2::5"));
        let input = input(
            vec![nic("eth0", "2001:db8:1::2/64", Some("2001:db8:1::1"))],
            &[],
            &["ping://[2001:db8:2::5]"],
        );
        let verification = reviewed(&input, 20, async || review_now(&input).await).await;
        named(&verification, Code::LocalSetting, &["hop_limit is 1"]);
    });
}

#[test]
fn packets_limited_to_one_hop() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        sh("ip address add 192.0.2.2/24 dev eth0
            ip route add default via 192.0.2.1
            ip -n router address add 192.0.2.1/24 dev port0
            ip netns add server
            ip -n router link add out type veth peer name eth0 netns server
            ip -n router link set out up
            ip -n server link set eth0 up
            ip -n router address add 198.51.100.1/24 dev out
            ip -n server address add 198.51.100.5/24 dev eth0
            ip -n server route add default via 198.51.100.1
            ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
            echo 1 >/proc/sys/net/ipv4/ip_default_ttl");
        assert!(!ping("192.0.2.2", "198.51.100.5"));
        let input =
            input(vec![nic("eth0", "192.0.2.2/24", Some("192.0.2.1"))], &[], &["ping://198.51.100.5"]);
        let verification = reviewed(&input, 20, async || review_now(&input).await).await;
        named(&verification, Code::LocalSetting, &["ip_default_ttl is 1"]);
    });
}

#[test]
fn ipv6_that_the_kernel_turned_off_for_a_duplicate_link_local_address() {
    in_machine(async || {
        wire("n0", "good", "port0");
        sh("ip link set n0 down address 02:00:00:00:00:01
            ip -n good address add fe80::ff:fe00:1/64 dev port0 nodad
            echo 2 >/proc/sys/net/ipv6/conf/n0/accept_dad
            ip link set n0 up
            for i in $(seq 100); do
              [ \"$(cat /proc/sys/net/ipv6/conf/n0/disable_ipv6)\" = 1 ] && break
              sleep 0.2
            done");
        let input = input(vec![nic("n0", "2001:db8:1::2/64", None)], &[], &[]);
        let verification = run(&input, 20).await;
        named(&verification, Code::DuplicateIpv6, &["turned IPv6 off on n0", "fe80::ff:fe00:1"]);
    });
}

#[test]
fn an_answer_of_this_machine_itself_by_address_translation_proves_nothing() {
    in_machine(async || {
        two_routers();
        sh("nft add table ip left; nft 'add chain ip left c { type nat hook output priority -100; }'
            nft add rule ip left c ip daddr 198.51.100.77 dnat to 10.1.0.2");
        let mut input = description();
        let targets = ["ping://198.51.100.77", "ping://198.51.100.5"];
        input.targets = targets.iter().map(|target| target.parse().unwrap()).collect();
        assert!(ping("10.1.0.2", "198.51.100.77"), "it answers");
        let verification = verified(&input).await;
        assert_healthy(&verification);
        assert_eq!(outcome(&verification, Code::CheckTarget, targets[0]), Some(Outcome::NotChecked));
        assert_eq!(outcome(&verification, Code::CheckTarget, targets[1]), Some(Outcome::Passed));
    });
}

#[test]
fn a_name_server_that_answers_late_is_a_warning() {
    in_machine(async || {
        two_routers();
        servers::slow_dns("good", "198.51.100.5:53", [10, 1, 0, 1], Duration::from_millis(2_500));
        let input = Input { resolvers: vec!["198.51.100.5".parse().unwrap()], ..description() };
        let mut with_name = input.clone();
        with_name.targets = vec!["ping://api.example".parse().unwrap()];
        let verification = run(&with_name, 60).await;
        assert!(verification.passed(), "{:#?}", verification.checks);
        assert_cause(&verification, Code::ResolverSlow, &["198.51.100.5", " s to answer"]);
        assert_eq!(verification.causes[0].severity, Severity::Warning);
    });
}

/// The program, for which a system call fails with this error if an argument (by its position) is this one (seccomp(2)).
fn failing(call: libc::c_long, (at, value): (u32, u32), error: libc::c_int, arguments: &str) -> Command {
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let (load, equal) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    // struct seccomp_data: the number at 0, the arguments from 16 on.
    let mut filter = vec![
        step(load, 0, 0),
        step(equal, 3, u32::try_from(call).unwrap()),
        step(load, 0, 16 + 8 * at),
        step(equal, 1, value),
        step(libc::BPF_RET, 0, libc::SECCOMP_RET_ERRNO | error as u32),
        step(libc::BPF_RET, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.args(arguments.split_whitespace());
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the program's filter outlives the call, which copies it.
        let result = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::c_ulong::from(libc::SECCOMP_MODE_FILTER),
                std::ptr::from_ref(&program),
            )
        };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(install) };
    command
}

/// Everything answers, and whether another machine has the address could not be asked.
#[test]
fn without_packet_sockets_the_verdict_is_unverified() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        sh("ip -n router address add 192.0.2.1/24 dev port0");
        let path = text("addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]");
        exits(0, &format!("apply --no-verify --handoff=none {path}"));
        let mut verify =
            failing(libc::SYS_socket, (0, libc::AF_PACKET as u32), libc::EAFNOSUPPORT, "verify --wait=12");
        let output = verify.output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&netapply("report --json").stdout).unwrap();
        assert_eq!((output.status.code(), &report["verdict"]), (Some(1), &"unverified".into()), "{report:#}");
        let checks = report["checks"].as_array().unwrap().iter();
        let not_known: Vec<&str> = checks
            .filter(|check| check["outcome"] == "unknown")
            .filter_map(|check| check["code"].as_str())
            .collect();
        assert_eq!(not_known, ["address-unique"], "{report:#}");
        exits(0, "verify --wait=12");
    });
}

/// Errors that only this machine gives: they are no word of the network.
#[test]
fn an_error_of_sending_is_this_machines() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        sh("ip -n router address add 192.0.2.1/24 dev port0");
        let path = text("addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]");
        exits(0, &format!("apply --no-verify --handoff=none {path}"));
        // The length of a sockaddr_in: netlink sockets are connected, too.
        const IPV4: u32 = 16;
        for (error, words) in [
            (libc::EMSGSIZE, "message too long"),
            (libc::EMFILE, "too many open files"),
            (libc::EINVAL, "invalid argument"),
        ] {
            let mut verify =
                failing(libc::SYS_connect, (2, IPV4), error, "verify --wait=6 --probe tcp://192.0.2.1:80");
            let output = verify.output().unwrap();
            let report: serde_json::Value =
                serde_json::from_slice(&netapply("report --json").stdout).unwrap();
            assert_eq!(output.status.code(), Some(1), "{report:#}");
            let causes: Vec<(&str, &str)> = report["causes"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|cause| (cause["code"].as_str().unwrap(), cause["message"].as_str().unwrap()))
                .collect();
            assert!(
                causes.iter().all(|(code, _)| *code == "refused-here") && !causes.is_empty(),
                "{causes:#?}"
            );
            assert!(causes.iter().any(|(_, message)| message.contains(words)), "{words}: {causes:#?}");
        }
    });
}

/// The program without permission to open raw sockets, and with hardly a descriptor left: what it could not ask is not
/// OK.
#[test]
fn what_was_not_asked_is_not_ok() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        let path = text("addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]");
        exits(0, &format!("apply --no-verify --handoff=none {path}"));
        let program = env!("CARGO_BIN_EXE_netapply");
        let tried = |command: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{command} {program} verify --wait=12")]);
            // Descriptors that tests beside this one have open count, too.
            let close = || {
                // SAFETY: the call takes no pointer.
                let result =
                    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
                if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            };
            // SAFETY: the closure makes one system call.
            unsafe { shell.pre_exec(close) };
            let output = shell.output().unwrap();
            let report: serde_json::Value =
                serde_json::from_slice(&netapply("report --json").stdout).unwrap();
            (output.status.code(), report["verdict"].as_str().unwrap_or_default().to_owned())
        };
        let without_raw = "setpriv --bounding-set=-net_raw --inh-caps=-net_raw";
        // Nobody is there.
        for command in [without_raw, "ulimit -n 16; exec"] {
            let (exit, verdict) = tried(command);
            assert_eq!(exit, Some(1), "{command}: {verdict}");
        }
        // The gateway exists, as the kernel's own neighbour resolution shows; whether another host has the address is
        // not known.
        sh("ip -n router address add 192.0.2.1/24 dev port0");
        assert_eq!(tried(without_raw), (Some(1), "unverified".to_owned()));
        assert_eq!(tried("exec"), (Some(0), "works".to_owned()));
    });
}

/// The NIC has another name for a while, and its name goes to another: it is still the one that was matched.
#[test]
fn a_nic_that_others_rename_meanwhile_is_followed() {
    in_machine(async || {
        two_routers();
        sh("ip link set n0 down address 02:00:00:00:00:01; ip link set n0 up
            ip address add 2001:db8:1::2/64 dev n0 nodad
            ip route replace default via 10.1.0.1 proto static
            ip -6 route replace default via 2001:db8:1::1 proto static");
        let mut input = description();
        input.links[0].mac = "02:00:00:00:00:01".parse().ok();
        // Something to wait for.
        input.targets = vec!["tcp://198.51.100.77:80".parse().unwrap()];
        let swap = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            sh("ip link set n0 name x0; ip link set n1 name n0; ip link set x0 name n1");
        };
        let (verification, ()) = tokio::join!(run(&input, 12), swap);
        let codes: Vec<Code> = verification.causes.iter().map(|cause| cause.code).collect();
        assert_eq!((codes.len(), codes.last()), (2, Some(&Code::LinkRenamed)), "{:#?}", verification.causes);
        assert_eq!(outcome(&verification, Code::CheckGateway, "10.1.0.1"), Some(Outcome::Passed));
        let renamed = verification.causes.last().unwrap();
        assert!(renamed.message.contains("renamed n0 to n1"), "{}", renamed.message);
    });
}
