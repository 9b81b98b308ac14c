//! A gateway that limits its echo replies, compared with one with packet loss.

use netapply::diagnostic::{Code, Severity};
use netapply::verify::Verification;
use netapply::verify::checks::Outcome;

use crate::servers;
use crate::wires::{assert_cause, assert_healthy, in_machine, input, nic, outcome, run, sh, wire};

/// A deadline that no test should reach.
const ENOUGH: u64 = 120;

fn one_nic() {
    wire("eth0", "router", "port0");
    sh("ip address add 192.0.2.2/24 dev eth0
        ip address add 2001:db8::2/64 dev eth0 nodad
        ip route add default via 192.0.2.1
        ip -6 route add default via 2001:db8::1
        ip -n router address add 192.0.2.1/24 dev port0
        ip -n router address add 2001:db8::1/64 dev port0 nodad");
}

async fn verified(v6: bool) -> Verification {
    let link = match v6 {
        true => nic("eth0", "2001:db8::2/64", Some("2001:db8::1")),
        false => nic("eth0", "192.0.2.2/24", Some("192.0.2.1")),
    };
    run(&input(vec![link], &[], &[]), ENOUGH).await
}

fn in_router(script: &str) {
    sh(&format!("ip netns exec router sh -euc '{script}'"));
}

/// The healthy ones: without a fault and without a warning, and the packet size is known.
fn limits_echo(v6: bool, limit: &'static str) {
    in_machine(async move || {
        one_nic();
        in_router(limit);
        let verification = verified(v6).await;
        assert_healthy(&verification);
        let gateway = if v6 { "2001:db8::1" } else { "192.0.2.1" };
        assert_eq!(outcome(&verification, Code::CheckPathMtu, gateway), Some(Outcome::Passed));
        let losses = verification.evidence.gateways[0].losses;
        assert!(losses.echoes.is_lossy(), "the limit was not felt: {losses:?}");
    });
}

#[test]
fn a_gateway_that_answers_one_echo_a_second_is_healthy() {
    // Bit 0 is the echo reply.
    limits_echo(false, "cd /proc/sys/net/ipv4; echo 6169 >icmp_ratemask; echo 1000 >icmp_ratelimit");
}

#[test]
fn an_ipv6_gateway_that_answers_one_echo_a_second_is_healthy() {
    limits_echo(true, "cd /proc/sys/net/ipv6/icmp; echo 0-1,3-129 >ratemask; echo 1000 >ratelimit");
}

#[test]
fn a_gateway_that_allows_two_echoes_a_second_is_healthy() {
    limits_echo(
        false,
        "nft add table ip f; nft \"add chain ip f i { type filter hook input priority 0; }\"
        nft add rule ip f i icmp type echo-request limit rate over 2/second burst 1 packets drop",
    );
}

#[test]
fn echo_loss_with_answered_arp_is_a_warning() {
    in_machine(async || {
        one_nic();
        in_router("echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all");
        servers::echo_every("router", 4);
        let verification = verified(false).await;
        assert!(verification.passed(), "{verification:#?}");
        assert_cause(&verification, Code::PacketLoss, &["of the echoes", "no ARP request"]);
        assert_eq!(verification.causes[0].severity, Severity::Warning);
    });
}

/// Lets the wire lose packets; `which` is an expression of nft(8).
fn lose(which: &str) {
    in_router(&format!(
        "nft add table netdev f
        nft \"add chain netdev f i {{ type filter hook ingress device port0 priority 0; }}\"
        nft add rule netdev f i numgen {which} drop"
    ));
}

#[test]
fn one_of_seven_packets_that_is_lost_is_a_warning() {
    in_machine(async || {
        one_nic();
        lose("inc mod 7 0");
        let verification = verified(false).await;
        assert!(verification.passed(), "{verification:#?}");
        assert_cause(&verification, Code::PacketLoss, &["% of the"]);
        assert_eq!(verification.causes[0].severity, Severity::Warning);
    });
}

/// The faults: this many of ten packets are lost on the wire.
fn loses(v6: bool, of_ten: u32, which: &'static str) {
    in_machine(async move || {
        one_nic();
        lose(&format!("{which} mod 10 \"<\" {of_ten}"));
        let verification = verified(v6).await;
        assert!(!verification.passed(), "{verification:#?}");
        assert_cause(&verification, Code::PacketLoss, &["% of the packets"]);
        assert_eq!(verification.causes.len(), 1, "sizes are not compared: {:#?}", verification.causes);
    });
}

#[test]
fn three_of_ten_packets_are_lost() {
    // Ten packets in succession may pass by chance.
    loses(false, 3, "inc");
}

#[test]
fn seven_of_ten_packets_are_lost() {
    loses(false, 7, "random");
}

#[test]
fn nine_of_ten_packets_are_lost() {
    // By chance nothing may get through for long.
    loses(false, 9, "inc");
}

#[test]
fn seven_of_ten_ipv6_packets_are_lost() {
    loses(true, 7, "random");
}

/// As on a VLAN whose bond still negotiates LACP: the address is probed all the same.
#[test]
fn a_link_that_drops_frames_at_first_is_probed_afterwards() {
    in_machine(async || {
        one_nic();
        sh("tc qdisc replace dev eth0 root pfifo limit 0
            (sleep 2; tc qdisc del dev eth0 root) >/dev/null 2>&1 &");
        let verification = verified(false).await;
        assert_eq!(outcome(&verification, Code::CheckUnique, "192.0.2.2"), Some(Outcome::Passed));
        assert_healthy(&verification);
    });
}
