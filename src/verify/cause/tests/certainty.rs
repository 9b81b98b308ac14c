//! Cases in which a rule could be wrong: two causes at once, one that only looks like another, silence that proves
//! little.

use super::*;
use crate::inventory::AddressEntry;
use crate::kernel::live::AddressState;
use crate::model::Protocol;
use crate::plan::{Action, Step};
use crate::verify::evidence::Claim;
use crate::verify::fixture::step;

/// The causes in a network with some faults, as code and certainty.
fn causes(network: Network, spoil: Spoil) -> Vec<(Code, Certainty, String)> {
    let (mut input, mut evidence) = network();
    spoil(&mut input, &mut evidence);
    let checks = judged(&input, &evidence);
    let causes = explain(&View::new(&input), &evidence, &checks);
    causes.into_iter().map(|c| (c.code, c.certainty, c.message)).collect()
}

#[test]
fn silent_targets_behind_one_gateway_are_one_cause() {
    let found = causes(one_nic, |input, evidence| {
        input.resolvers.push(ip("198.51.100.53"));
        silent_target(input, evidence);
        for host in ["198.51.100.53", "198.51.100.5"] {
            evidence.ways.push(way(ip(host), &["192.0.2.1"]));
        }
    });
    let message = "gateway 192.0.2.1 answers, and nothing behind it does: name server 198.51.100.53 and \
                   tcp://198.51.100.5:80";
    assert_eq!(found, [(Code::NoWayBack, Certainty::Likely, message.to_owned())]);
}

#[test]
fn a_return_route_is_not_missing_if_another_host_answers() {
    let found = causes(one_nic, |input, evidence| {
        let server = ip("198.51.100.53");
        input.resolvers.push(server);
        evidence.resolvers.push(ResolverEvidence {
            server,
            rtt_us: Some(900),
            ..ResolverEvidence::silent(server)
        });
        silent_target(input, evidence);
        evidence.ways.push(way(ip("198.51.100.5"), &["192.0.2.1"]));
    });
    assert_eq!((found.len(), found[0].0), (1, Code::TargetSilent), "{found:#?}");
}

#[test]
fn a_path_that_was_not_probed_proves_little() {
    let found = causes(one_nic, |input, evidence| {
        silent_target(input, evidence);
    });
    assert_eq!((found[0].0, found[0].1), (Code::NoWayBack, Certainty::Possible), "{found:#?}");
}

#[test]
fn a_host_to_which_packets_are_lost_need_not_be_silent() {
    let found = causes(one_nic, |input, evidence| {
        silent_target(input, evidence);
        let echoes = Tally { sent: 3, received: 2 };
        evidence.ways.push(Way { echo: Some(true), echoes, ..way(ip("198.51.100.5"), &["192.0.2.1"]) });
    });
    assert_eq!((found[0].0, found[0].1), (Code::TargetSilent, Certainty::Possible), "{found:#?}");
}

#[test]
fn a_routers_mtu_below_the_described_one_is_a_warning() {
    fn advertise(input: &mut Input, evidence: &mut Evidence, in_force: i64) {
        let six = "2001:db8::2/64";
        input.links[0].mtu = Some(1500);
        input.links[0].addresses.push(six.parse().unwrap());
        let ip = ip("2001:db8::2");
        evidence.addresses.push(AddressState { ip, ..evidence.addresses[0].clone() });
        evidence.claims.push(Claim { ip, ..evidence.claims[0].clone() });
        evidence.policy.advertised_mtus.insert("eth0".into(), 1400);
        evidence.policy.settings.insert("eth0".into(), [("mtu".into(), in_force)].into());
    }
    assert_eq!(causes(one_nic, |input, evidence| advertise(input, evidence, 1500)), []);
    let found = causes(one_nic, |input, evidence| advertise(input, evidence, 1400));
    assert_eq!((found.len(), found[0].0), (1, Code::WrongMtu), "{found:#?}");
}

#[test]
fn two_causes_at_once_are_both_named() {
    let found = causes(lacp, |_, evidence| {
        without_partner(evidence, "eth1");
        without_gateway(evidence);
        evidence.heard.values_mut().for_each(|h| h.tags = [(200, 4)].into());
    });
    let codes: Vec<Code> = found.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, [Code::LacpPartnerOnSome, Code::VlanNotCarried], "{found:#?}");
}

#[test]
fn a_duplicate_explains_a_gateway_only_if_the_gateway_exists() {
    let spoil = |evidence: &mut Evidence| {
        without_gateway(evidence);
        evidence.claims[0].owner = Some(mac("02:00:00:00:00:09"));
    };
    let owner = |address: &str| Owner { link: "eth0".into(), ip: ip(address), mac: mac("02:00:00:00:00:01") };
    let (input, mut evidence) = one_nic();
    spoil(&mut evidence);
    evidence.others.push(owner("192.0.2.1"));
    let found = explain(&View::new(&input), &evidence, &judged(&input, &evidence));
    assert_eq!((found.len(), found[0].code), (1, Code::DuplicateIpv4), "{found:#?}");
    evidence.others = vec![owner("192.0.2.254")].into();
    let found = explain(&View::new(&input), &evidence, &judged(&input, &evidence));
    let codes: Vec<Code> = found.iter().map(|c| c.code).collect();
    assert_eq!(codes, [Code::DuplicateIpv4, Code::GatewayAbsent], "{found:#?}");
}

#[test]
fn a_router_that_answers_for_others_may_only_be_a_proxy() {
    let found = causes(one_nic, |_, evidence| {
        let router = mac("02:00:00:00:00:01");
        evidence.claims[0].owner = Some(router);
        let (link, state) = ("eth0".into(), NeighbourState::Reachable);
        evidence.neighbours.push(Neighbour { link, ip: ip("192.0.2.1"), mac: Some(router), state });
    });
    assert_eq!((found[0].0, found[0].1), (Code::DuplicateIpv4, Certainty::Likely), "{found:#?}");
    assert!(found[0].2.ends_with("which is also 192.0.2.1 (or does proxy ARP)"), "{found:#?}");
}

#[test]
fn a_partner_that_may_be_slow_is_not_proved_to_be_missing() {
    let found = causes(lacp, |_, evidence| {
        without_partner(evidence, "eth1");
        evidence.elapsed_ms = 20_000;
    });
    assert_eq!((found[0].0, found[0].1), (Code::LacpPartnerOnSome, Certainty::Likely), "{found:#?}");
}

#[test]
fn losses_of_a_downed_link_are_no_second_cause() {
    let found = causes(one_nic, |_, evidence| {
        port(evidence, "eth0").up = false;
        evidence.remaining.push(set_up("eth0"));
        evidence.remaining.push(add_route("eth0", "0.0.0.0/0", "192.0.2.1"));
    });
    assert_eq!((found.len(), found[0].0), (1, Code::LinkTakenDown), "{found:#?}");
}

/// A member comes up with its bond, and this kernel cannot make one.
#[test]
fn members_of_a_missing_bond_were_not_taken_down() {
    let found = causes(lacp, |_, evidence| {
        port(evidence, "eth0").up = false;
        port(evidence, "eth1").up = false;
        let nics = evidence.links.iter().filter(|link| link.name.starts_with("eth")).cloned();
        evidence.links = nics.collect::<Vec<_>>().into();
    });
    assert!(found.iter().all(|cause| cause.0 != Code::LinkTakenDown), "{found:#?}");
}

/// The kernel drops IPv6 addresses when a link goes down; what can be reapplied is no separate cause.
#[test]
fn a_link_with_ipv6_that_was_set_down_is_one_cause() {
    fn lost(link: &str) -> Step {
        let net = "2001:db8::2/64".parse().unwrap();
        step(Action::AddAddress(AddressEntry::new(link, net)))
    }
    fn bond_down(evidence: &mut Evidence) {
        port(evidence, "bond0").up = false;
        port(evidence, "bond0.100").up = false;
        let route = add_route("bond0.100", "0.0.0.0/0", "10.0.0.1");
        evidence.remaining = vec![set_up("bond0"), set_up("bond0.100"), route];
    }
    let found = causes(one_nic, |input, evidence| {
        input.links[0].addresses = vec!["2001:db8::2/64".parse().unwrap()];
        input.links[0].routes = vec![default_via("2001:db8::1")];
        port(evidence, "eth0").up = false;
        evidence.addresses = Default::default();
        evidence.remaining = vec![set_up("eth0"), lost("eth0"), add_route("eth0", "::/0", "2001:db8::1")];
    });
    assert_eq!((found.len(), found[0].0), (1, Code::LinkTakenDown), "{found:#?}");
    // Its IPv6 MTU is a file, and the address is back.
    let found = causes(one_nic, |input, evidence| {
        input.links[0].addresses.push("2001:db8::2/64".parse().unwrap());
        port(evidence, "eth0").up = false;
        evidence.addresses.push(AddressState { ip: ip("2001:db8::2"), ..evidence.addresses[0].clone() });
        let key = "net/ipv6/conf/eth0/mtu".into();
        let sysctl = Step { link: "port0".into(), ..step(Action::Sysctl { key, value: "1280".into() }) };
        evidence.remaining = vec![set_up("eth0"), sysctl];
    });
    assert_eq!((found.len(), found[0].0), (1, Code::LinkTakenDown), "{found:#?}");
    // A VLAN goes down with the bond below it; another link's route is unrelated.
    let found = causes(lacp, |_, evidence| bond_down(evidence));
    assert_eq!((found.len(), found[0].0), (1, Code::LinkTakenDown), "{found:#?}");
    assert!(found[0].2.starts_with("bond0 is down"), "{found:#?}");
    let found = causes(lacp, |_, evidence| {
        bond_down(evidence);
        evidence.remaining.push(add_route("eth0", "10.9.0.0/16", "10.0.0.9"));
    });
    assert_eq!(
        found.iter().map(|f| f.0).collect::<Vec<_>>(),
        [Code::LinkTakenDown, Code::NotApplied],
        "{found:#?}"
    );
}

#[test]
fn a_dhcp_client_on_another_link_is_not_proved_to_have_done_it() {
    let found = causes(one_nic, |_, evidence| {
        evidence.remaining.push(add_route("eth0", "0.0.0.0/0", "192.0.2.1"));
        let (link, what) = ("eth7".into(), "a default route via 192.0.2.254".into());
        evidence.strangers.push(Stranger {
            link,
            what,
            who: Some("a DHCP client".into()),
            protocol: Some(Protocol::Dhcp),
        });
    });
    assert_eq!((found[0].0, found[0].1), (Code::ChangedByOther, Certainty::Likely), "{found:#?}");
}

#[test]
fn an_lacp_port_without_partner_has_no_vague_second_cause() {
    let found = causes(lacp, |input, evidence| {
        input.links[2].mode = Some(BondMode::ActiveBackup);
        port(evidence, "bond0").bond.as_mut().unwrap().mode = Some(BondMode::ActiveBackup);
        let lacp = Lacp { system: mac("02:00:00:00:00:01"), key: 15, port: 1, state: 0x45 };
        evidence.heard.values_mut().for_each(|h| *h = Heard { lacp: Some(lacp.clone()), ..Heard::default() });
        without_gateway(evidence);
    });
    assert_eq!((found.len(), found[0].0), (1, Code::SwitchRunsLacp), "{found:#?}");
}

#[test]
fn two_silent_gateways_of_one_link_are_one_cause() {
    let found = causes(one_nic, |input, evidence| {
        input.links[0].addresses.push("2001:db8::2/64".parse().unwrap());
        input.links[0].routes.push(default_via("2001:db8::1"));
        let mut address = evidence.addresses[0].clone();
        address.ip = ip("2001:db8::2");
        evidence.addresses.push(address);
        let claim = Claim { ip: ip("2001:db8::2"), ..evidence.claims[0].clone() };
        evidence.claims.push(claim);
        without_gateway(evidence);
        evidence.heard.insert("eth0".into(), Heard::default());
    });
    let message =
        "eth0 has carrier, but gateways 192.0.2.1 and 2001:db8::1 do not answer and nothing is heard";
    assert_eq!(found, [(Code::NothingAnswers, Certainty::Likely, message.to_owned())]);
}

/// Every failure leaves the console with something to do; no rule or fallback ends at a bare code.
#[test]
fn every_check_that_can_fail_has_an_action_of_its_own() {
    let (input, evidence) = lacp();
    for code in Code::ALL
        .iter()
        .filter(|code| format!("{code:?}").starts_with("Check") && **code != Code::CheckFailed)
    {
        let check = Check {
            code: *code,
            link: "bond0".into(),
            subject: Subject::Gateway(ip("192.0.2.1")),
            outcome: Outcome::Failed,
            finding: "does not work".into(),
            root: None,
            optional: false,
        };
        let causes = explain(&View::new(&input), &evidence, std::slice::from_ref(&check));
        let cause = causes.first().unwrap_or_else(|| panic!("{code}: no cause"));
        assert!(!cause.action.starts_with("See `netapply explain"), "{code}: {cause:#?}");
    }
}
