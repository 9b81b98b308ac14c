//! Where packets really go: the machine has more than the description, and the kernel's own lookup and a ping with the
//! described source decide whether the verdict may be OK. One network per test; [`STATES`] is the table of competing
//! states.

use std::process::Command;
use std::time::Duration;

use netapply::diagnostic::{Code, Severity};
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::plan::Plan;
use netapply::verify::checks::Outcome;
use netapply::verify::input::Input;
use netapply::verify::{Review, Verification};

use crate::wires::{in_machine, input, nic, outcome, reviewed, sh, wire};
use harness::namespace::{ip, ip_json};

/// n0 and n1, each to a router of its own; the description has n0 with a default route per family, n1 is another's.
/// Behind both routers is a server at 198.51.100.5, which is the name server's address, too.
pub(crate) fn two_routers() {
    wire("n0", "good", "port0");
    wire("n1", "other", "port0");
    sh("ip address add 10.1.0.2/24 dev n0
        ip address add 2001:db8:1::2/64 dev n0 nodad
        ip address add 10.2.0.2/24 dev n1
        ip -n good address add 10.1.0.1/24 dev port0
        ip -n good address add 2001:db8:1::1/64 dev port0 nodad
        ip -n other address add 10.2.0.1/24 dev port0
        ip -n other address add 10.1.0.1/32 dev lo
        for router in good other; do
          ip -n $router address add 198.51.100.5/32 dev lo
          ip -n $router route replace default dev port0
        done
        ip route add default via 10.1.0.1 proto static
        ip -6 route add default via 2001:db8:1::1 proto static");
}

pub(crate) fn description() -> Input {
    let mut link = nic("n0", "10.1.0.2/24", Some("10.1.0.1"));
    let six = nic("n0", "2001:db8:1::2/64", Some("2001:db8:1::1"));
    link.addresses.extend(six.addresses);
    link.routes.extend(six.routes);
    input(vec![link], &[], &["ping://198.51.100.5"])
}

/// No steps remain.
pub(crate) async fn review_now(input: &Input) -> Review {
    let mut session = Session::open(NetlinkFamily::Route).unwrap();
    let inventory = read::inventory(&mut session).await.unwrap();
    Review::of(input, &Plan::default(), &inventory)
}

pub(crate) async fn verified(input: &Input) -> Verification {
    reviewed(input, 9, async || review_now(input).await).await
}

/// By the oracle: `ip route get` sends packets to the server through n0 via 10.1.0.1 from 10.1.0.2, and it answers a
/// ping with the described source.
fn is_as_described() -> bool {
    let get = Command::new("ip").args(["-j", "route", "get", "198.51.100.5"]).output().unwrap();
    let get: serde_json::Value = serde_json::from_slice(&get.stdout).unwrap_or_default();
    let route = &get[0];
    route["dev"] == "n0" && route["gateway"] == "10.1.0.1" && route["prefsrc"] == "10.1.0.2"
}

/// What competes, the word that the cause must contain, and whether it is only a warning.
const STATES: &[(&str, &str, &str)] = &[
    (
        "route-of-lower-metric",
        "ip route replace default via 10.1.0.1 proto static metric 50
        ip route del default via 10.1.0.1 metric 0
        ip route add default via 10.2.0.1 proto dhcp metric 20",
        "a DHCP client",
    ),
    (
        "route-of-the-same-metric",
        "ip route del default; ip route add default via 10.2.0.1
        ip route append default via 10.1.0.1 proto static",
        "default via 10.2.0.1 dev n1",
    ),
    (
        "unreachable-default",
        "ip route del default; ip route add default via 10.1.0.1 proto static metric 50
        ip route add unreachable default metric 5",
        "unreachable default",
    ),
    (
        "blackhole-to-the-subnet-of-the-target",
        "ip route add blackhole 198.51.100.0/24",
        "blackhole 198.51.100.0/24",
    ),
    ("prohibit-to-the-target", "ip route add prohibit 198.51.100.5", "prohibit 198.51.100.5"),
    ("host-route-to-the-gateway", "ip route add 10.1.0.1/32 dev n1", "10.1.0.1/32 dev n1"),
    (
        "more-specific-route-to-the-target",
        "ip route add 198.51.100.0/24 via 10.2.0.1",
        "198.51.100.0/24 via 10.2.0.1",
    ),
    ("subnet-on-lo", "ip address add 198.51.100.9/24 dev lo", "198.51.100.9/24 on lo"),
    (
        "two-halves",
        "ip route add 0.0.0.0/1 via 10.2.0.1; ip route add 128.0.0.0/1 via 10.2.0.1",
        "/1 via 10.2.0.1",
    ),
    ("lower-half-only", "ip route add 0.0.0.0/1 via 10.2.0.1", "0.0.0.0/1 via 10.2.0.1"),
    (
        "rule-to-another-table",
        "ip route add default via 10.2.0.1 table 200; ip rule add pref 100 lookup 200",
        "rule 100",
    ),
    (
        "rule-by-source",
        "ip route add default via 10.2.0.1 table 200; ip rule add pref 100 from 10.1.0.2 lookup 200",
        "rule 100",
    ),
    (
        "rule-by-source-to-one-half",
        "ip route add prohibit 64.0.0.0/2 table 200; ip rule add pref 100 from 10.1.0.2 lookup 200",
        "prohibit 64.0.0.0/2",
    ),
    ("rule-that-forbids", "ip rule add pref 100 from 10.1.0.2 prohibit", "prohibit"),
    ("rule-that-forbids-the-target", "ip rule add pref 100 to 198.51.100.5 unreachable", "rule 100"),
    (
        "rule-by-protocol",
        "ip rule add pref 90 iif n1 to 198.51.100.5 lookup 200
        ip route add default via 10.2.0.1 table 200; ip rule add pref 100 ipproto 1 lookup 200",
        "rule 100 (from all ipproto icmp) leads to table 200",
    ),
    (
        "rules-for-other-packets-do-not-matter",
        "ip rule add pref 90 iif n1 unreachable; ip rule add pref 91 ipproto 6 dport 22-25 unreachable
        ip rule add pref 92 uidrange 100000-200000 unreachable",
        "",
    ),
    (
        "no-rule-to-the-main-table",
        "ip rule del pref 32766",
        "no rule leads IPv4 packets to the routing table main",
    ),
    (
        "address-on-another-link",
        "ip address add 10.1.0.9/24 dev n1; ip route del 10.1.0.0/24 dev n0
        ip route append 10.1.0.0/24 dev n0 src 10.1.0.2",
        "n1 also has the subnet 10.1.0.0/24",
    ),
    (
        "longer-subnet-on-another-link",
        "ip address add 10.1.0.9/28 dev n1",
        "n1 also has the subnet 10.1.0.0/28",
    ),
    (
        "source-of-another",
        "ip address add 10.9.9.9/32 dev n0; ip route replace default via 10.1.0.1 proto static src 10.9.9.9",
        "10.9.9.9",
    ),
    (
        "multipath",
        "ip route del default; ip route add default nexthop via 10.2.0.1 weight 255 nexthop via 10.1.0.1",
        "n1",
    ),
    (
        "ipv6-route-of-lower-metric",
        "ip address add 2001:db8:2::2/64 dev n1 nodad
        ip -6 route add default via 2001:db8:2::1 dev n1 metric 20",
        "2001:db8:2::1 dev n1",
    ),
    (
        // The kernel passes over it until it has forgotten that the router did not answer: how soon depends on the other
        // namespaces' neighbours (gc_thresh1).
        "ipv6-route-over-a-router-that-did-not-answer",
        "ip -6 route add 2000::/3 via fe80::99 dev n1 metric 100
        ip -6 neighbour replace fe80::99 dev n1 nud failed",
        "2000::/3 via fe80::99 dev n1 proto boot metric 100 takes precedence",
    ),
    (
        "ipv6-rule",
        "ip -6 route add unreachable default table 200; ip -6 rule add pref 100 lookup 200",
        "unreachable",
    ),
    ("ipv6-blackhole-to-the-gateway", "ip -6 route add blackhole 2001:db8:1::1/128", "2001:db8:1::1"),
    (
        "ipv6-subnet-on-another-link",
        "ip address add 2001:db8:1::9/64 dev n1 nodad
        ip -6 route del 2001:db8:1::/64 dev n0; ip -6 route add 2001:db8:1::/64 dev n0 metric 1024",
        "n1",
    ),
    (
        "throw-in-an-earlier-table",
        "ip route add default via 10.2.0.1 table 201; ip route add throw 198.51.100.0/24 table 200
        ip rule add pref 90 lookup 200; ip rule add pref 91 lookup 201",
        "rule 91",
    ),
    (
        "gateway-that-another-link-has-as-its-address",
        "ip -6 route del default; ip -6 address add 2001:db8:1::1/128 dev n1 nodad",
        "to this machine itself, by 2001:db8:1::1/128 on n1",
    ),
    ("redirected-host-route", "ip route add 198.51.100.5 via 10.2.0.1 proto redirect", "an ICMP redirect"),
    ("tos-does-not-matter", "ip route add default tos 0x10 via 10.2.0.1", ""),
    ("higher-metric-does-not-matter", "ip route add default via 10.2.0.1 metric 700", ""),
    ("unrelated-route-does-not-matter", "ip route add 203.0.114.0/24 via 10.2.0.1", ""),
    (
        "rule-for-others-does-not-matter",
        "ip route add default via 10.2.0.1 table 200; ip rule add from 10.2.0.2 lookup 200",
        "",
    ),
];

fn state(name: &'static str) {
    let (_, spoil, word) = *STATES.iter().find(|(known, ..)| *known == name).expect("it is in the table");
    in_machine(async move || {
        two_routers();
        assert!(is_as_described(), "before it is spoiled");
        sh(spoil);
        let input = description();
        let verification = verified(&input).await;
        let text = format!("{:#?}\n{:#?}", verification.causes, verification.checks);
        if word.is_empty() {
            assert!(
                is_as_described() && verification.passed() && verification.causes.is_empty(),
                "{name}: {text}"
            );
            return;
        }
        assert!(!verification.passed(), "{name}: OK is untrue: {text}");
        let cause = verification.causes.iter().find(|cause| cause.code == Code::CompetingRoute);
        let cause = cause.unwrap_or_else(|| panic!("{name}: no competing route is named: {text}"));
        assert!(cause.message.contains(word), "{name}: {} lacks {word}", cause.message);
        for other in verification.causes.iter().filter(|cause| cause.severity == Severity::Error) {
            assert_eq!(other.code, Code::CompetingRoute, "{name}: {text}");
        }
    });
}

macro_rules! states {
    ($($test:ident $name:literal;)*) => {
        $(#[test] fn $test() { state($name); })*

        #[test]
        fn every_state_is_tried() {
            let tried = [$($name),*];
            for (name, ..) in STATES {
                assert!(tried.contains(name), "{name}");
            }
        }
    };
}

states! {
    route_of_lower_metric "route-of-lower-metric";
    route_of_the_same_metric "route-of-the-same-metric";
    unreachable_default "unreachable-default";
    blackhole_to_the_subnet_of_the_target "blackhole-to-the-subnet-of-the-target";
    prohibit_to_the_target "prohibit-to-the-target";
    host_route_to_the_gateway "host-route-to-the-gateway";
    more_specific_route_to_the_target "more-specific-route-to-the-target";
    subnet_on_lo "subnet-on-lo";
    two_halves "two-halves";
    lower_half_only "lower-half-only";
    rule_to_another_table "rule-to-another-table";
    rule_by_source "rule-by-source";
    rule_by_source_to_one_half "rule-by-source-to-one-half";
    rule_that_forbids "rule-that-forbids";
    rule_that_forbids_the_target "rule-that-forbids-the-target";
    rule_by_protocol "rule-by-protocol";
    rules_for_other_packets_do_not_matter "rules-for-other-packets-do-not-matter";
    no_rule_to_the_main_table "no-rule-to-the-main-table";
    address_on_another_link "address-on-another-link";
    longer_subnet_on_another_link "longer-subnet-on-another-link";
    source_of_another "source-of-another";
    multipath "multipath";
    ipv6_route_of_lower_metric "ipv6-route-of-lower-metric";
    ipv6_route_over_a_router_that_did_not_answer "ipv6-route-over-a-router-that-did-not-answer";
    ipv6_rule "ipv6-rule";
    ipv6_blackhole_to_the_gateway "ipv6-blackhole-to-the-gateway";
    ipv6_subnet_on_another_link "ipv6-subnet-on-another-link";
    throw_in_an_earlier_table "throw-in-an-earlier-table";
    gateway_that_another_link_has_as_its_address "gateway-that-another-link-has-as-its-address";
    redirected_host_route "redirected-host-route";
    tos_does_not_matter "tos-does-not-matter";
    higher_metric_does_not_matter "higher-metric-does-not-matter";
    unrelated_route_does_not_matter "unrelated-route-does-not-matter";
    rule_for_others_does_not_matter "rule-for-others-does-not-matter";
}

#[test]
fn a_lower_metric_than_the_one_given_on_purpose_is_a_warning() {
    in_machine(async || {
        two_routers();
        sh("ip route replace default via 10.1.0.1 proto static metric 50; ip route del default via 10.1.0.1 metric 0
            ip route add default via 10.2.0.1 proto dhcp metric 20");
        let mut input = description();
        input.targets.clear();
        input.links[0].routes[0].metric = Some(50);
        let verification = verified(&input).await;
        assert!(verification.passed(), "{:#?}", verification.causes);
        let [cause] = verification.causes.as_slice() else { panic!("{:#?}", verification.causes) };
        assert_eq!((cause.code, cause.severity), (Code::CompetingRoute, Severity::Warning));
    });
}

#[test]
fn what_is_this_machine_itself_proves_nothing() {
    in_machine(async || {
        two_routers();
        let mut input = description();
        input.resolvers = vec!["127.0.0.53".parse().unwrap(), "10.2.0.2".parse().unwrap()];
        input.targets = vec!["ping://10.1.0.2".parse().unwrap()];
        let verification = verified(&input).await;
        assert!(verification.passed() && verification.causes.is_empty(), "{verification:#?}");
        for (code, object) in [
            (Code::CheckResolver, "127.0.0.53"),
            (Code::CheckResolver, "10.2.0.2"),
            (Code::CheckTarget, "ping://10.1.0.2"),
        ] {
            assert_eq!(outcome(&verification, code, object), Some(Outcome::NotChecked), "{object}");
        }
    });
}

#[test]
fn a_neighbour_that_was_entered_by_hand_is_not_heard() {
    in_machine(async || {
        two_routers();
        for kind in ["permanent", "noarp"] {
            sh(&format!("ip neighbour replace 10.1.0.1 lladdr 02:00:00:00:99:99 dev n0 nud {kind}"));
            let mut input = description();
            input.targets.clear();
            let verification = verified(&input).await;
            let causes: Vec<_> = verification.causes.iter().map(|c| (c.code, c.message.clone())).collect();
            assert_eq!(causes.first().map(|c| c.0), Some(Code::NeighbourFixed), "{causes:#?}");
            assert!(causes[0].1.contains("02:00:00:00:99:99"), "{causes:#?}");
        }
        ip("neighbour del 10.1.0.1 dev n0");
        assert_eq!(ip_json("neighbour show 10.1.0.1 nud permanent").as_array().unwrap().len(), 0);
    });
}

/// An address on another link has the whole subnet, the gateway's address included.
#[test]
fn a_gateway_that_is_this_machine_itself_by_anothers_address_is_not_ok() {
    in_machine(async || {
        two_routers();
        sh("ip address add 10.1.0.2/24 dev lo valid_lft 300 preferred_lft 100");
        let mut input = description();
        input.targets.clear();
        let verification = verified(&input).await;
        let causes: Vec<_> = verification.causes.iter().map(|c| (c.code, c.message.clone())).collect();
        assert_eq!(causes.first().map(|c| c.0), Some(Code::CompetingRoute), "{causes:#?}");
        assert!(causes[0].1.contains("10.1.0.2/24 on lo"), "{causes:#?}");
    });
}

/// The kernel does not check whether another host has the address, so netapply does.
#[test]
fn another_machine_has_the_ipv6_address_that_the_kernel_did_not_check() {
    in_machine(async || {
        two_routers();
        sh("ip -n good link set port0 address 02:00:00:00:00:99
            ip -n good address add 2001:db8:1::2/64 dev port0 nodad");
        let mut input = description();
        input.targets.clear();
        let verification = verified(&input).await;
        let codes: Vec<_> = verification.causes.iter().map(|c| c.code).collect();
        assert!(codes.contains(&Code::DuplicateIpv6), "{:#?}", verification.causes);
    });
}

/// The gateway goes away while a silent target is waited for: the verdict is about the end.
#[test]
fn a_gateway_that_goes_away_meanwhile_is_not_ok() {
    in_machine(async || {
        two_routers();
        let mut input = description();
        input.targets = vec!["tcp://198.51.100.77:80".parse().unwrap()];
        let gone = || sh("ip -n good link set port0 arp off; ip -n good address flush dev port0");
        let verification = verified_while(&input, 40, gone).await;
        let found = outcome(&verification, Code::CheckGateway, "10.1.0.1");
        assert_eq!(found, Some(Outcome::Failed), "{:#?}", verification.checks);
    });
}

/// Verifies, and changes the network once the gateway has answered.
async fn verified_while(input: &Input, seconds: u64, change: impl FnOnce()) -> Verification {
    let run = reviewed(input, seconds, async || review_now(input).await);
    let change = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        change();
    };
    tokio::join!(run, change).0
}

#[test]
fn a_machine_that_cannot_be_read_is_not_ok() {
    in_machine(async || {
        two_routers();
        let input = description();
        let verification = reviewed(&input, 9, async || Review::failed(&"socket: injected")).await;
        assert!(!verification.passed(), "{:#?}", verification.checks);
        assert_eq!(outcome(&verification, Code::CheckDescribed, ""), Some(Outcome::Unknown));
        assert!(verification.causes.is_empty(), "{:#?}", verification.causes);
    });
}

#[test]
fn what_this_machine_refuses_to_send_is_not_the_networks_fault() {
    in_machine(async || {
        two_routers();
        // A blocking xfrm policy sends nothing, and fails with EPERM.
        sh("ip xfrm policy add src 10.1.0.2/32 dst 198.51.100.5/32 dir out action block");
        let verification = verified(&description()).await;
        let causes: Vec<_> = verification.causes.iter().map(|c| (c.code, c.message.clone())).collect();
        assert_eq!(causes.first().map(|c| c.0), Some(Code::RefusedHere), "{causes:#?}");
        assert_eq!(causes.len(), 1, "{causes:#?}");
    });
}

#[test]
fn a_link_without_arp_is_named() {
    in_machine(async || {
        two_routers();
        ip("link set n0 arp off");
        let mut input = description();
        input.targets.clear();
        let verification = verified(&input).await;
        let causes: Vec<_> = verification.causes.iter().map(|c| (c.code, c.message.clone())).collect();
        assert_eq!(causes.first().map(|c| c.0), Some(Code::LocalSetting), "{causes:#?}");
        assert!(causes[0].1.contains("NOARP"), "{causes:#?}");
    });
}

#[test]
fn carrier_that_comes_and_goes_is_counted() {
    in_machine(async || {
        two_routers();
        let mut input = description();
        // Something to wait for, so that the end is after the change.
        input.targets = vec!["tcp://198.51.100.77:80".parse().unwrap()];
        let flap = || {
            sh("for i in 1 2 3 4; do ip -n good link set port0 down; ip -n good link set port0 up; done
            ip -n good route replace default dev port0")
        };
        let verification = verified_while(&input, 12, flap).await;
        let causes: Vec<_> = verification.causes.iter().map(|c| (c.code, c.message.clone())).collect();
        assert_eq!(causes.first().map(|c| c.0), Some(Code::LinkFlaps), "{causes:#?}");
    });
}
