//! One network per test.

use netapply::diagnostic::Code;
use netapply::verify::cause::Certainty;
use netapply::verify::checks::Outcome;

use crate::lldp;
use crate::servers;
use crate::wires::{assert_cause, assert_healthy, in_machine, input, nic, outcome, run, sh, wire};
use harness::namespace::ip;

/// The deadline in seconds for a network with a fault, which is listened on until then. The fault is known much
/// earlier, but a busy machine may lose seconds.
const FAULT: u64 = 12;

/// A machine with 192.0.2.2/24 on eth0, and a router at 192.0.2.1 at the other end.
fn one_nic() {
    wire("eth0", "router", "port0");
    ip("address add 192.0.2.2/24 dev eth0");
    ip("-n router address add 192.0.2.1/24 dev port0");
    ip("route add default via 192.0.2.1");
}

/// `one_nic`, and behind the router a server at 198.51.100.5 with a return route.
fn with_server() {
    one_nic();
    sh("ip netns add server
        ip -n server link set lo up
        ip -n router link add out type veth peer name eth0 netns server
        ip -n router link set out up
        ip -n server link set eth0 up
        ip -n router address add 198.51.100.1/24 dev out
        ip -n server address add 198.51.100.5/24 dev eth0
        ip -n server route add default via 198.51.100.1
        ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'");
}

const GATEWAY: Option<&str> = Some("192.0.2.1");

#[test]
fn a_healthy_network_has_no_causes() {
    in_machine(async || {
        with_server();
        servers::dns("server", "198.51.100.5:53", [198, 51, 100, 5]);
        servers::tcp("server", "198.51.100.5:80", "HTTP/1.1 200 OK\r\n\r\n");
        let targets = ["http://api.example/", "ping://198.51.100.5", "tcp://198.51.100.5:80"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &["198.51.100.5"], &targets);
        let verification = run(&input, 60).await;
        assert_healthy(&verification);
        assert_eq!(outcome(&verification, Code::CheckPathMtu, "192.0.2.1"), Some(Outcome::Passed));
    });
}

#[test]
fn a_healthy_ipv6_network_has_no_causes() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        ip("-n router address add 2001:db8::1/64 dev port0 nodad");
        ip("address add 2001:db8::2/64 dev eth0");
        ip("route add default via 2001:db8::1");
        let input = input(vec![nic("eth0", "2001:db8::2/64", Some("2001:db8::1"))], &[], &[]);
        assert_healthy(&run(&input, 20).await);
    });
}

#[test]
fn a_gateway_that_ignores_echo_is_healthy() {
    in_machine(async || {
        one_nic();
        sh("ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all'");
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &[]);
        let verification = run(&input, 20).await;
        assert_healthy(&verification);
        assert_eq!(outcome(&verification, Code::CheckPathMtu, "192.0.2.1"), Some(Outcome::NotChecked));
    });
}

#[test]
fn a_bridge_without_ports_is_no_fault() {
    in_machine(async || {
        one_nic();
        ip("link add br0 type bridge");
        ip("link set br0 up");
        ip("address add 10.9.0.1/24 dev br0");
        let mut bridge = nic("br0", "10.9.0.1/24", None);
        bridge.kind = netapply::model::Kind::Bridge;
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY), bridge], &[], &[]);
        assert_healthy(&run(&input, 20).await);
    });
}

#[test]
fn without_a_cable_nothing_is_reported_about_the_gateway() {
    in_machine(async || {
        one_nic();
        wire("eth1", "router", "port1");
        ip("-n router link set port1 down");
        ip("address add 10.1.0.2/24 dev eth1");
        let links = vec![nic("eth0", "192.0.2.2/24", GATEWAY), nic("eth1", "10.1.0.2/24", Some("10.1.0.1"))];
        let verification = run(&input(links, &[], &[]), FAULT).await;
        assert_cause(&verification, Code::NoCable, &["eth1"]);
        assert_eq!(verification.causes.len(), 1, "{:#?}", verification.causes);
        assert_eq!(outcome(&verification, Code::CheckGateway, "10.1.0.1"), Some(Outcome::Blocked));
    });
}

#[test]
fn a_gateway_that_nobody_has() {
    in_machine(async || {
        one_nic();
        ip("-n router address del 192.0.2.1/24 dev port0");
        ip("-n router address add 192.0.2.254/24 dev port0");
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &["tcp://198.51.100.5:80"]);
        let verification = run(&input, FAULT).await;
        assert_cause(&verification, Code::GatewayAbsent, &["192.0.2.1", "while 192.0.2.254 does"]);
        assert_eq!(
            outcome(&verification, Code::CheckTarget, "tcp://198.51.100.5:80"),
            Some(Outcome::Blocked)
        );
    });
}

#[test]
fn a_gateway_on_the_other_wire() {
    in_machine(async || {
        wire("eth0", "left", "port0");
        wire("eth1", "right", "port0");
        ip("address add 192.0.2.2/24 dev eth0");
        ip("address add 10.1.0.2/24 dev eth1");
        ip("route add default via 192.0.2.1");
        ip("-n right address add 192.0.2.1/24 dev port0");
        ip("-n left address add 10.1.0.1/24 dev port0");
        let links = vec![nic("eth0", "192.0.2.2/24", GATEWAY), nic("eth1", "10.1.0.2/24", None)];
        let verification = run(&input(links, &[], &[]), FAULT).await;
        assert_cause(&verification, Code::GatewayElsewhere, &["192.0.2.1", "answers on eth1"]);
        assert_eq!(verification.causes[0].certainty, Certainty::Proved);
    });
}

/// Linux answers ARP requests for each of its addresses on each of its interfaces, and echoes by the one that has the subnet.
#[test]
fn a_gateway_answering_arp_on_another_wire_may_be_proxied() {
    in_machine(async || {
        wire("eth0", "left", "port0");
        wire("eth1", "router", "port0");
        ip("address add 192.0.2.2/24 dev eth0");
        ip("address add 10.1.0.2/24 dev eth1");
        ip("route add default via 192.0.2.1");
        ip("-n router address add 10.1.0.1/24 dev port0");
        ip("-n router link add lan type bridge");
        ip("-n router link set lan up");
        ip("-n router address add 192.0.2.1/24 dev lan");
        let links = vec![nic("eth0", "192.0.2.2/24", GATEWAY), nic("eth1", "10.1.0.2/24", None)];
        let verification = run(&input(links, &[], &[]), FAULT).await;
        assert_cause(&verification, Code::GatewayElsewhere, &["answers ARP requests on eth1"]);
        assert_eq!(verification.causes[0].certainty, Certainty::Likely);
    });
}

#[test]
fn nothing_at_all_answers() {
    in_machine(async || {
        one_nic();
        ip("-n router address flush dev port0");
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &[]);
        assert_cause(&run(&input, FAULT).await, Code::NothingAnswers, &["eth0"]);
    });
}

#[test]
fn another_machine_has_the_ipv4_address() {
    in_machine(async || {
        one_nic();
        ip("-n router address add 192.0.2.2/24 dev port0");
        ip("-n router link set port0 address 02:00:00:00:00:99");
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &[]);
        assert_cause(&run(&input, FAULT).await, Code::DuplicateIpv4, &["192.0.2.2", "02:00:00:00:00:99"]);
    });
}

#[test]
fn another_machine_has_the_ipv6_address() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        ip("-n router link set port0 address 02:00:00:00:00:99");
        ip("-n router address add 2001:db8::2/64 dev port0 nodad");
        ip("address add 2001:db8::2/64 dev eth0");
        let input = input(vec![nic("eth0", "2001:db8::2/64", None)], &[], &[]);
        assert_cause(&run(&input, FAULT).await, Code::DuplicateIpv6, &["2001:db8::2", "02:00:00:00:00:99"]);
    });
}

#[test]
fn full_packets_do_not_pass() {
    in_machine(async || {
        one_nic();
        ip("link set eth0 mtu 9000");
        ip("-n router link set port0 mtu 1500");
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &[]);
        assert_cause(&run(&input, FAULT).await, Code::MtuBlackHole, &["9000", "1500", "192.0.2.1"]);
    });
}

#[test]
fn no_route_back() {
    in_machine(async || {
        with_server();
        ip("-n server route del default");
        let targets = ["tcp://198.51.100.5:80"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &targets);
        assert_cause(&run(&input, FAULT).await, Code::NoWayBack, &["gateway 192.0.2.1 answers"]);
    });
}

#[test]
fn the_target_refuses() {
    in_machine(async || {
        with_server();
        let targets = ["tcp://198.51.100.5:81"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &targets);
        assert_cause(&run(&input, FAULT).await, Code::TargetRefuses, &["is refused"]);
    });
}

#[test]
fn the_target_times_out() {
    in_machine(async || {
        with_server();
        // Packets to this port are dropped on their way in; echo is answered.
        // The rule must come before that of local addresses.
        sh("ip -n server rule add pref 5 lookup local
            ip -n server rule del pref 0
            ip -n server rule add pref 1 iif eth0 ipproto 6 dport 80 blackhole");
        let targets = ["tcp://198.51.100.5:80"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &targets);
        assert_cause(&run(&input, FAULT).await, Code::TargetSilent, &["answers echo, and not this port"]);
    });
}

#[test]
fn the_target_reports_an_error() {
    in_machine(async || {
        with_server();
        servers::tcp("server", "198.51.100.5:80", "HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let targets = ["http://198.51.100.5/v1"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &targets);
        assert_cause(&run(&input, FAULT).await, Code::TargetStatus, &["503"]);
    });
}

#[test]
fn the_target_is_something_else() {
    in_machine(async || {
        with_server();
        servers::tcp("server", "198.51.100.5:80", "SSH-2.0-OpenSSH_9.6\r\n");
        let targets = ["https://198.51.100.5:80"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &targets);
        assert_cause(&run(&input, FAULT).await, Code::TargetStrange, &["SSH-2.0"]);
    });
}

#[test]
fn the_name_server_is_dead() {
    in_machine(async || {
        with_server();
        let input =
            input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &["198.51.100.5"], &["http://api.example/"]);
        let verification = run(&input, FAULT).await;
        assert_cause(&verification, Code::ResolverDead, &["198.51.100.5"]);
        assert_eq!(outcome(&verification, Code::CheckTarget, "http://api.example/"), Some(Outcome::Blocked));
    });
}

#[test]
fn the_name_does_not_exist() {
    in_machine(async || {
        with_server();
        servers::dns("server", "198.51.100.5:53", [198, 51, 100, 5]);
        let targets = ["http://wrong.example/"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &["198.51.100.5"], &targets);
        assert_cause(&run(&input, FAULT).await, Code::NameUnknown, &["wrong.example"]);
    });
}

#[test]
fn a_switch_that_announces_itself_is_named() {
    in_machine(async || {
        one_nic();
        lldp::announce("router", "port0", lldp::frame("leaf1", "Ethernet1/7", 100, 200));
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &[]);
        let verification = run(&input, 20).await;
        assert_healthy(&verification);
        let heard = verification.evidence.heard["eth0"].lldp.as_ref().expect("it was heard");
        assert_eq!((heard.switch.as_str(), heard.port.as_str()), ("leaf1", "Ethernet1/7"));
        assert_eq!((heard.pvid, heard.vlans.as_slice()), (Some(100), &[200][..]));
    });
}

#[test]
fn success_does_not_wait_for_the_switch_and_a_fault_listens_until_the_deadline() {
    in_machine(async || {
        one_nic();
        let input_of = |via| input(vec![nic("eth0", "192.0.2.2/24", Some(via))], &[], &[]);
        let healthy = run(&input_of("192.0.2.1"), 60).await;
        assert_healthy(&healthy);
        assert!(healthy.evidence.heard["eth0"].lldp.is_none());
        assert!(healthy.evidence.heard["eth0"].listened_ms < 31_000, "{}", healthy.seconds);
        // Nobody has 192.0.2.9: the fault is known after 10 s, and the switch may send only every 30 s.
        ip("route replace default via 192.0.2.9");
        let faulty = run(&input_of("192.0.2.9"), 60).await;
        assert_cause(&faulty, Code::GatewayAbsent, &[]);
        assert!(faulty.evidence.heard["eth0"].listened_ms >= 31_000, "{:#?}", faulty.evidence.heard);
        let bounded = run(&input_of("192.0.2.9"), 12).await;
        assert_cause(&bounded, Code::GatewayAbsent, &[]);
        assert!(bounded.evidence.heard["eth0"].listened_ms < 31_000, "{:#?}", bounded.evidence.heard);
    });
}

#[test]
fn a_name_with_an_ipv6_address_only_is_reached() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        ip("-n router address add 2001:db8::1/64 dev port0 nodad");
        ip("address add 2001:db8::2/64 dev eth0");
        servers::dns_of("router", "[2001:db8::1]:53", "2001:db8::1".parse().unwrap());
        servers::tcp("router", "[2001:db8::1]:80", "HTTP/1.1 200 OK\r\n\r\n");
        let targets = ["http://api.example/"];
        let input = input(vec![nic("eth0", "2001:db8::2/64", None)], &["2001:db8::1"], &targets);
        assert_healthy(&run(&input, 20).await);
    });
}

#[test]
fn both_ends_of_a_small_subnet_are_asked() {
    in_machine(async || {
        wire("eth0", "router", "port0");
        ip("-n router address add 192.0.2.0/31 dev port0");
        ip("address add 192.0.2.1/31 dev eth0");
        ip("route add default via 192.0.2.0");
        let input = input(vec![nic("eth0", "192.0.2.1/31", Some("192.0.2.0"))], &[], &[]);
        assert_healthy(&run(&input, 20).await);
    });
}

#[test]
fn an_arp_probe_of_a_host_tracking_switch_is_no_duplicate() {
    in_machine(async || {
        one_nic();
        // Sender 0.0.0.0, target our own address, as device tracking sends it.
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 9, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 9, 9]);
        frame.extend([0; 10]);
        frame.extend([192, 0, 2, 2]);
        lldp::announce("router", "port0", frame);
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &[]);
        assert_healthy(&run(&input, 20).await);
    });
}

#[test]
fn what_is_silent_behind_the_gateway_is_one_cause() {
    in_machine(async || {
        with_server();
        // The path there works, the return path does not.
        ip("-n server route del default");
        let targets = ["tcp://198.51.100.5:80", "ping://198.51.100.5"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &["198.51.100.5"], &targets);
        let verification = run(&input, FAULT).await;
        let all = "name server 198.51.100.5, tcp://198.51.100.5:80 and ping://198.51.100.5";
        assert_cause(&verification, Code::NoWayBack, &[all]);
        assert_eq!(verification.causes.len(), 1, "{:#?}", verification.causes);
    });
}

#[test]
fn a_router_that_says_why_is_believed() {
    in_machine(async || {
        with_server();
        let targets = ["tcp://198.51.100.77:80"];
        let input = input(vec![nic("eth0", "192.0.2.2/24", GATEWAY)], &[], &targets);
        assert_cause(&run(&input, FAULT).await, Code::TargetSilent, &["host unreachable, says 192.0.2.1"]);
    });
}
