//! Recorded evidence with one fault each, and the cause expected for it.

use std::net::IpAddr;

use super::*;
use crate::inventory::Lldp;
use crate::kernel::live::LinkState;
use crate::kernel::neighbour::{Neighbour, NeighbourState};
use crate::model::{BondMode, Kind, Protocol};
use crate::verify::checks::Subject;
use crate::verify::evidence::{
    Answer, Flow, Heard, Lacp, Owner, ResolverEvidence, Stp, Stranger, Tally, TargetEvidence, Traffic,
    Undeliverable, Way,
};
use crate::verify::fixture::{
    add_route, default_via, ip, judged, lacp, mac, nic, one_nic, set_up, target, well,
};
use crate::verify::input::{DesiredLink, Input};

mod certainty;

type Network = fn() -> (Input, Evidence);
type Spoil = fn(&mut Input, &mut Evidence);

fn port<'e>(evidence: &'e mut Evidence, name: &str) -> &'e mut LinkState {
    evidence.links.iter_mut().find(|l| l.name == name).unwrap()
}

fn without_gateway(evidence: &mut Evidence) {
    for gateway in evidence.gateways.iter_mut() {
        (gateway.resolved, gateway.rtt_us, gateway.found_ms) = (false, None, None);
        (gateway.tried, gateway.largest, gateway.finished) = (None, None, false);
    }
}

fn answers_arp(evidence: &mut Evidence, link: &str, host: &str) {
    evidence.others.push(Owner { link: link.into(), ip: ip(host), mac: mac("02:00:00:00:00:09") });
}

fn answers_echo(evidence: &mut Evidence, link: &str, host: &str) {
    let received = [Flow::Echo].into();
    let (link, ip, sent) = (link.to_owned(), ip(host), Default::default());
    evidence.traffic.push(Traffic { link, ip, since_ms: 0, asked: false, told: false, sent, received });
}

fn without_partner(evidence: &mut Evidence, name: &str) {
    let port = port(evidence, name).bond_port.as_mut().unwrap();
    (port.partner, port.actor_state) = (None, Some(0x45));
}

fn silent_target(input: &mut Input, evidence: &mut Evidence) -> usize {
    target(input, evidence, "tcp://198.51.100.5:80");
    evidence.targets.len() - 1
}

fn answering(input: &mut Input, evidence: &mut Evidence, answer: Answer) {
    let at = silent_target(input, evidence);
    (evidence.targets[at].answer, evidence.targets[at].finished) = (Some(answer), true);
}

/// Nothing could be sent, by this error.
fn not_sent(input: &mut Input, evidence: &mut Evidence, error: i32) {
    let at = silent_target(input, evidence);
    (evidence.targets[at].refused_here, evidence.targets[at].finished) = (Some(error), true);
}

/// A path that ends after these routers.
fn way(to: IpAddr, hops: &[&str]) -> Way {
    let hops = hops.iter().map(|hop| Some(ip(hop))).collect();
    Way { to, echo: Some(false), echoes: Tally { sent: 3, received: 0 }, hops, refusal: None }
}

/// The fault, and the first cause: code, certainty, a word of its message.
const CASES: &[(Network, Spoil, Code, Certainty, &str)] = &[
    (
        one_nic,
        |_, e| port(e, "eth0").carrier = false,
        Code::NoCable,
        Certainty::Proved,
        "eth0 (7c:c2:55:6e:90:44)",
    ),
    (
        lacp,
        |_, e| {
            port(e, "eth0").carrier = false;
            port(e, "eth1").carrier = false;
        },
        Code::NoCableAnywhere,
        Certainty::Proved,
        "neither eth0 nor eth1 has carrier",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].missing = true;
            *e = Evidence { links: vec![nic(2, "eth0", "7c:c2:55:6e:90:45")].into(), ..Evidence::default() };
        },
        Code::NicMissing,
        Certainty::Proved,
        "eth0 has 7c:c2:55:6e:90:45, one digit apart",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].missing = true;
            let links = vec![nic(2, "eth0", "7c:c2:55:6e:90:45"), nic(3, "eth1", "7c:c2:55:6e:90:46")];
            *e = Evidence { links: links.into(), ..Evidence::default() };
        },
        Code::NicMissing,
        Certainty::Proved,
        "eth0 has 7c:c2:55:6e:90:45 and eth1 has 7c:c2:55:6e:90:46, each one digit apart",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].missing = true;
            let links = vec![nic(2, "eth0", "7c:c2:55:6e:91:13"), nic(3, "eth1", "7c:c2:55:6e:91:14")];
            *e = Evidence { links: links.into(), ..Evidence::default() };
        },
        Code::NicMissing,
        Certainty::Proved,
        "other ports of that card",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].missing = true;
            *e = Evidence { links: vec![nic(2, "eth0", "7c:c2:55:6e:91:13")].into(), ..Evidence::default() };
        },
        Code::NicMissing,
        Certainty::Proved,
        "another port of that card",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].missing = true;
            *e = Evidence { links: vec![nic(2, "eth0", "52:54:00:12:34:56")].into(), ..Evidence::default() };
        },
        Code::NicMissing,
        Certainty::Proved,
        "there is only eth0 52:54:00:12:34:56",
    ),
    (one_nic, |i, _| i.links[0].missing = true, Code::NicLate, Certainty::Proved, "appeared only after"),
    (one_nic, |_, e| port(e, "eth0").up = false, Code::LinkTakenDown, Certainty::Likely, "eth0 is down"),
    (
        one_nic,
        |i, e| {
            i.links[0].mtu = Some(9000);
            e.gateways[0].tried = Some(1500);
        },
        Code::WrongMtu,
        Certainty::Proved,
        "MTU 1500 of 9000",
    ),
    (one_nic, |_, e| port(e, "eth0").full_duplex = Some(false), Code::HalfDuplex, Certainty::Proved, "eth0"),
    (
        lacp,
        |_, e| {
            without_partner(e, "eth0");
            without_partner(e, "eth1");
        },
        Code::LacpNoPartner,
        Certainty::Proved,
        "nobody answers on eth0 and eth1",
    ),
    (
        lacp,
        |_, e| without_partner(e, "eth1"),
        Code::LacpPartnerOnSome,
        Certainty::Proved,
        "no LACP partner on eth1, 02:00:00:00:00:01 on the others",
    ),
    (
        lacp,
        |_, e| {
            let port = port(e, "eth1").bond_port.as_mut().unwrap();
            (port.partner, port.aggregator) = (Some(mac("02:00:00:00:00:02")), Some(2));
        },
        Code::LacpTwoPartners,
        Certainty::Proved,
        "eth0 to 02:00:00:00:00:01 and eth1 to 02:00:00:00:00:02",
    ),
    (
        lacp,
        |_, e| {
            let port = port(e, "eth1").bond_port.as_mut().unwrap();
            (port.partner_key, port.aggregator) = (Some(16), Some(2));
        },
        Code::LacpTwoPartners,
        Certainty::Proved,
        "eth1 to 02:00:00:00:00:01 (LAG key 16)",
    ),
    (
        lacp,
        |_, e| port(e, "eth1").bond_port.as_mut().unwrap().actor_state = Some(0x0f),
        Code::LacpNotThrough,
        Certainty::Likely,
        "does not take eth1 in",
    ),
    (
        lacp,
        |i, e| {
            i.links[2].mode = Some(BondMode::ActiveBackup);
            port(e, "bond0").bond.as_mut().unwrap().mode = Some(BondMode::ActiveBackup);
            let lacp = Lacp { system: mac("02:00:00:00:00:01"), key: 15, port: 1, state: 0x45 };
            e.heard.get_mut("eth0").unwrap().lacp = Some(lacp);
            without_gateway(e);
        },
        Code::SwitchRunsLacp,
        Certainty::Likely,
        "bond0 is active-backup, and the switch speaks LACP on eth0",
    ),
    (lacp, |_, e| port(e, "eth1").speed = Some(1000), Code::UnequalSpeed, Certainty::Proved, "eth1 1 Gb/s"),
    (
        lacp,
        |_, e| {
            without_gateway(e);
            let heard = e.heard.get_mut("eth0").unwrap();
            heard.lldp =
                Some(Lldp { vlans: vec![1, 200], switch: "leaf1".into(), port: "p1".into(), pvid: None });
            heard.tags = [(200, 4)].into();
            e.heard.get_mut("eth1").unwrap().tags.clear();
        },
        Code::VlanNotCarried,
        Certainty::Likely,
        "VLAN 100 is not on port p1 of leaf1; it has 1 and 200",
    ),
    (
        lacp,
        |_, e| {
            without_gateway(e);
            e.heard.values_mut().for_each(|h| h.tags = [(200, 4), (300, 1)].into());
        },
        Code::VlanNotCarried,
        Certainty::Likely,
        "the port carries VLANs 200 and 300",
    ),
    (
        lacp,
        |_, e| {
            without_gateway(e);
            e.heard.values_mut().for_each(|h| h.tags.clear());
            e.heard.get_mut("eth0").unwrap().untagged = vec![ip("10.0.0.1")];
        },
        Code::VlanNotCarried,
        Certainty::Likely,
        "10.0.0.1 of its subnet is heard untagged",
    ),
    (
        one_nic,
        |_, e| {
            without_gateway(e);
            let owner = Owner { link: "eth0".into(), ip: ip("192.0.2.254"), mac: mac("02:00:00:00:00:09") };
            e.others.push(owner);
        },
        Code::GatewayAbsent,
        Certainty::Likely,
        "while 192.0.2.254 does",
    ),
    (
        one_nic,
        |i, e| {
            without_gateway(e);
            e.links.push(nic(3, "eth1", "7c:c2:55:6e:90:45"));
            let mut other = DesiredLink::new("b", "eth1", Kind::Physical);
            other.addresses = vec!["10.1.0.2/24".parse().unwrap()];
            well(e, "eth1", 3, "10.1.0.2", "10.1.0.1");
            i.links.push(other);
            i.links[0].routes[0].via = Some(ip("10.1.0.9"));
        },
        Code::GatewayElsewhere,
        Certainty::Likely,
        "gateway 10.1.0.9 of eth0 is in the subnet of eth1",
    ),
    (
        one_nic,
        |_, e| {
            without_gateway(e);
            answers_arp(e, "eth1", "192.0.2.1");
            answers_echo(e, "eth1", "192.0.2.1");
        },
        Code::GatewayElsewhere,
        Certainty::Proved,
        "gateway 192.0.2.1 of eth0 answers on eth1 (02:00:00:00:00:09)",
    ),
    (
        one_nic,
        |_, e| {
            without_gateway(e);
            answers_arp(e, "eth1", "192.0.2.1");
        },
        Code::GatewayElsewhere,
        Certainty::Likely,
        "gateway 192.0.2.1 of eth0 answers ARP requests on eth1 (02:00:00:00:00:09)",
    ),
    (
        lacp,
        |_, e| {
            without_gateway(e);
            e.heard.values_mut().for_each(|h| h.tags.clear());
            answers_arp(e, "bond0", "10.0.0.1");
        },
        Code::VlanNotCarried,
        Certainty::Likely,
        "10.0.0.1 of its subnet is heard untagged",
    ),
    (
        lacp,
        |_, e| {
            without_gateway(e);
            e.heard.values_mut().for_each(|h| h.tags.clear());
            answers_arp(e, "bond0", "10.0.0.1");
            answers_echo(e, "bond0", "10.0.0.1");
        },
        Code::VlanNotCarried,
        Certainty::Proved,
        "gateway 10.0.0.1 answers untagged, and nothing in VLAN 100",
    ),
    (
        // Another VLAN of the bond works, with the same router.
        lacp,
        |_, e| {
            without_gateway(e);
            e.heard.values_mut().for_each(|h| h.tags = [(200, 4)].into());
            answers_arp(e, "bond0.200", "10.0.0.1");
        },
        Code::VlanNotCarried,
        Certainty::Likely,
        "the port carries VLAN 200",
    ),
    (
        one_nic,
        |_, e| e.policy.sysctls.extend([("net/ipv4/conf/all/arp_ignore".into(), 8)]),
        Code::LocalSetting,
        Certainty::Proved,
        "answers no ARP request",
    ),
    (
        one_nic,
        |_, e| {
            without_gateway(e);
            e.heard.entry("eth0".into()).or_default().untagged = vec![ip("172.16.0.9")];
            e.heard.entry("eth0".into()).or_default().frames = 3;
        },
        Code::NothingAnswers,
        Certainty::Likely,
        "172.16.0.9 of another subnet is heard",
    ),
    (
        one_nic,
        |_, e| e.claims[0].owner = Some(mac("02:00:00:00:00:09")),
        Code::DuplicateIpv4,
        Certainty::Proved,
        "another machine uses 192.0.2.2 on eth0: 02:00:00:00:00:09",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].addresses.push("2001:db8::2/64".parse().unwrap());
            let mut address = e.addresses[0].clone();
            (address.ip, address.duplicate) = (ip("2001:db8::2"), true);
            e.addresses.push(address);
        },
        Code::DuplicateIpv6,
        Certainty::Proved,
        "2001:db8::2",
    ),
    (
        one_nic,
        |_, e| (e.gateways[0].tried, e.gateways[0].largest) = (Some(9000), Some(1500)),
        Code::MtuBlackHole,
        Certainty::Likely,
        "eth0 sends 9000 bytes, and packets of 1500 bytes reach gateway 192.0.2.1",
    ),
    (
        one_nic,
        |i, e| {
            let at = silent_target(i, e);
            let to = e.targets[at].addresses[0];
            e.ways.push(way(to, &["192.0.2.1"]));
        },
        Code::NoWayBack,
        Certainty::Likely,
        "gateway 192.0.2.1 answers, and nothing behind it",
    ),
    (
        one_nic,
        |i, e| {
            let at = silent_target(i, e);
            let to = e.targets[at].addresses[0];
            e.ways.push(way(to, &["192.0.2.1", "198.51.100.1"]));
        },
        Code::TargetSilent,
        Certainty::Possible,
        "leads through 198.51.100.1",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].routes.clear();
            silent_target(i, e);
        },
        Code::NoRoute,
        Certainty::Likely,
        "no route to 198.51.100.5",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].routes[0].table = Some(100);
            silent_target(i, e);
        },
        Code::NoRoute,
        Certainty::Likely,
        "a route to 198.51.100.5 in table 100 only",
    ),
    (
        one_nic,
        |i, e| not_sent(i, e, libc::EMSGSIZE),
        Code::RefusedHere,
        Certainty::Proved,
        "tcp://198.51.100.5:80: message too long",
    ),
    (
        one_nic,
        |i, e| not_sent(i, e, libc::EMFILE),
        Code::RefusedHere,
        Certainty::Proved,
        "too many open files",
    ),
    (one_nic, |i, e| answering(i, e, Answer::Refused), Code::TargetRefuses, Certainty::Proved, "is refused"),
    (one_nic, |i, e| answering(i, e, Answer::Status(503)), Code::TargetStatus, Certainty::Proved, "HTTP 503"),
    (
        one_nic,
        |i, e| answering(i, e, Answer::Strange("SSH-2.0".into())),
        Code::TargetStrange,
        Certainty::Proved,
        "something else answers: SSH-2.0",
    ),
    (one_nic, |i, _| i.resolvers.push(ip("192.0.2.53")), Code::ResolverDead, Certainty::Likely, "192.0.2.53"),
    (
        one_nic,
        |i, e| {
            let server = ip("198.51.100.53");
            i.resolvers.push(server);
            let error = Some("connection refused".into());
            e.resolvers.push(ResolverEvidence {
                server,
                rtt_us: None,
                refused: true,
                error,
                ..ResolverEvidence::silent(server)
            });
        },
        Code::ResolverDead,
        Certainty::Proved,
        "name server 198.51.100.53 refuses name queries",
    ),
    (
        one_nic,
        |i, e| {
            i.resolvers.push(ip("198.51.100.53"));
            let echoes = Tally { sent: 3, received: 3 };
            e.ways.push(Way { echo: Some(true), echoes, ..way(ip("198.51.100.53"), &["192.0.2.1"]) });
        },
        Code::ResolverDead,
        Certainty::Likely,
        "198.51.100.53 answers echo, and not name queries",
    ),
    (
        one_nic,
        |i, e| {
            let at = silent_target(i, e);
            let to = e.targets[at].addresses[0];
            let refusal = Some(Undeliverable { by: ip("192.0.2.1"), words: "host unreachable".into() });
            e.ways.push(Way { refusal, ..way(to, &["192.0.2.1"]) });
        },
        Code::TargetSilent,
        Certainty::Likely,
        "host unreachable, says 192.0.2.1",
    ),
    (
        one_nic,
        |i, e| target(i, e, "http://api.example/"),
        Code::NoNameServer,
        Certainty::Proved,
        "no name server to resolve",
    ),
    (
        one_nic,
        |i, e| {
            target(i, e, "http://api.example/");
            e.targets[0].name_refused = true;
        },
        Code::NameUnknown,
        Certainty::Likely,
        "refuse to look up its name",
    ),
    (
        one_nic,
        |_, e| {
            without_gateway(e);
            let owner = Owner { link: "eth0".into(), ip: ip("192.0.2.1"), mac: mac("02:00:00:00:00:01") };
            e.others.push(owner);
        },
        Code::GatewayIgnores,
        Certainty::Likely,
        "gateway 192.0.2.1 is on eth0, and ignores 192.0.2.2",
    ),
    (
        one_nic,
        |i, e| {
            i.links[0].routes = vec![default_via("fe80::1")];
            without_gateway(e);
            let heard = Heard { untagged: vec![ip("fe80::7")], frames: 3, ..Heard::default() };
            e.heard.insert("eth0".into(), heard);
        },
        Code::GatewayAbsent,
        Certainty::Possible,
        "nobody answers for gateway fe80::1 on eth0, while fe80::7 is heard",
    ),
    (
        lacp,
        |_, e| e.remaining.push(add_route("bond0.100", "0.0.0.0/0", "10.0.0.1")),
        Code::NotApplied,
        Certainty::Likely,
        "to be done: ip -4 route add default",
    ),
    (
        lacp,
        |_, e| e.links.retain(|l| l.name != "bond0.100"),
        Code::NotApplied,
        Certainty::Likely,
        "bond0.100 the link does not exist",
    ),
    (
        one_nic,
        |i, e| {
            target(i, e, "http://api.example/");
            e.targets[0] = TargetEvidence { unknown_name: true, finished: true, ..e.targets[0].clone() };
        },
        Code::NameUnknown,
        Certainty::Proved,
        "api.example",
    ),
    (
        one_nic,
        |_, e| {
            e.remaining.push(add_route("eth0", "0.0.0.0/0", "192.0.2.1"));
            let (link, what) = ("eth0".into(), "a default route via 192.0.2.254".into());
            e.strangers.push(Stranger {
                link,
                what,
                who: Some("a DHCP client".into()),
                protocol: Some(Protocol::Dhcp),
            });
        },
        Code::ChangedByOther,
        Certainty::Proved,
        "a DHCP client has put a default route via 192.0.2.254 on eth0",
    ),
    (
        one_nic,
        |_, e| {
            let stp = Stp { version: 0, bridge: mac("02:00:00:00:00:0a"), flags: 0, forward_delay: 15 };
            e.heard.entry("eth0".into()).or_default().stp = Some(stp);
            e.gateways[0].found_ms = Some(31_400);
        },
        Code::StpDelay,
        Certainty::Likely,
        "took 31 s to forward",
    ),
];

#[test]
fn every_spoiled_part_is_named() {
    for (network, spoil, code, certainty, word) in CASES {
        let (mut input, mut evidence) = network();
        spoil(&mut input, &mut evidence);
        let checks = judged(&input, &evidence);
        let causes = explain(&View::new(&input), &evidence, &checks);
        let Some(first) = causes.first() else { panic!("{code}: nothing is said: {checks:#?}") };
        assert_eq!((first.code, first.certainty), (*code, *certainty), "{causes:#?}\n{checks:#?}");
        assert!(first.message.contains(word), "{} lacks {word}", first.message);
        for text in [&first.message, &first.action] {
            assert!(!text.ends_with('.') && !text.is_empty(), "{text}");
        }
    }
}

#[test]
fn a_healthy_network_has_no_cause() {
    for network in [one_nic as Network, lacp] {
        let (input, evidence) = network();
        let checks = judged(&input, &evidence);
        assert!(!checks.iter().any(Check::is_fault), "{checks:#?}");
        assert_eq!(explain(&View::new(&input), &evidence, &checks), []);
    }
}

#[test]
fn every_failure_has_a_cause_and_its_dependents_have_none() {
    let (input, mut evidence) = lacp();
    port(&mut evidence, "eth0").carrier = false;
    port(&mut evidence, "eth1").carrier = false;
    port(&mut evidence, "bond0").carrier = false;
    port(&mut evidence, "bond0.100").carrier = false;
    without_gateway(&mut evidence);
    let checks = judged(&input, &evidence);
    let gateway = checks.iter().find(|c| c.code == Code::CheckGateway).unwrap();
    assert_eq!(gateway.outcome, Outcome::Blocked);
    assert_eq!(checks[gateway.root.unwrap()].code, Code::CheckCarrier);
    assert_eq!(checks[gateway.root.unwrap()].link, "eth0", "the root of all, not the next below");
    let causes = explain(&View::new(&input), &evidence, &checks);
    assert_eq!(causes.len(), 1, "{causes:#?}");
    assert_eq!(causes[0].checks.len(), 2);
}

#[test]
fn an_optional_link_is_no_fault() {
    let (mut input, mut evidence) = one_nic();
    input.links[0].optional = true;
    port(&mut evidence, "eth0").carrier = false;
    let checks = judged(&input, &evidence);
    assert!(!checks.iter().any(Check::is_fault));
    assert_eq!(explain(&View::new(&input), &evidence, &checks), []);
}

#[test]
fn one_alternative_that_answers_is_enough() {
    let (mut input, mut evidence) = one_nic();
    silent_target(&mut input, &mut evidence);
    target(&mut input, &mut evidence, "https://198.51.100.6:6385");
    input.targets.iter_mut().for_each(|target| target.alternative = true);
    let checks = judged(&input, &evidence);
    assert_eq!(checks.iter().filter(|c| c.is_fault()).count(), 2, "both are silent");

    (evidence.targets[1].answer, evidence.targets[1].finished) = (Some(Answer::Tls), true);
    let checks = judged(&input, &evidence);
    assert!(!checks.iter().any(Check::is_fault), "{checks:#?}");
    assert_eq!(explain(&View::new(&input), &evidence, &checks), []);
    let said = |at: &str| checks.iter().find(|c| c.subject.to_string().contains(at)).unwrap().finding.clone();
    assert_eq!(said("198.51.100.5"), "does not answer; another of the list answers");
    assert_eq!(said("198.51.100.6"), "answers in TLS, certificate not checked");
}
