//! Leftovers of earlier tools, clients, routers and people on the machine, next to a description: the kernel's own
//! lookup must match the description, and no steps may remain. The oracle is ip(8).

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::converge::left_to_do;
use harness::disturb::{alone, described, said};
use harness::namespace::{ip, ip_json};

const NETAPPLY: &str = env!("CARGO_BIN_EXE_netapply");

/// n0 is described; n1 is not.
const MACHINE: &[&str] = &[
    "link add n0 address 02:00:00:00:00:01 type veth peer name p0",
    "link add n1 address 02:00:00:00:00:02 type veth peer name p1",
    "link set p0 up",
    "link set p1 up",
    "link set n0 up",
    "link set n1 up",
];

const ADDRESSES: &[&str] = &["address add 10.1.0.2/24 dev n0", "address add 2001:db8:1::2/64 dev n0 nodad"];

const N0: &str = "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'},
  addresses: [10.1.0.2/24, '2001:db8:1::2/64'],
  routes: [{to: 0.0.0.0/0, via: 10.1.0.1}, {to: '::/0', via: '2001:db8:1::1'}]}}}";

/// A line of the leftover state: for ip(8), or `KEY=VALUE` for a file below /proc/sys/net.
fn set(line: &str) {
    match line.split_once('=') {
        Some((key, value)) => std::fs::write(format!("/proc/sys/net/{key}"), value).expect("a sysctl"),
        None => ip(line),
    }
}

/// Sets the leftovers, applies the description, compares the kernel with it, and inspects further.
#[track_caller]
fn heals(left: &[&'static str], text: &'static str, look: fn()) {
    ends(0, left, text, look);
}

/// Like [`heals`], with this exit status.
#[track_caller]
fn ends(code: i32, left: &[&'static str], text: &'static str, look: fn()) {
    let left = left.to_vec();
    alone(NETAPPLY.to_owned(), move |program| {
        std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("a sysctl");
        MACHINE.iter().chain(&left).for_each(|line| set(line));
        let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], text);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        look();
        assert_eq!(left_to_do(&program, text), Vec::<String>::new(), "the second plan");
    });
}

/// Leftovers next to [`N0`], whose addresses exist already.
#[track_caller]
fn n0_leads(left: &[&'static str], look: fn()) {
    let left: Vec<&str> = ADDRESSES.iter().chain(left).copied().collect();
    heals(&left, N0, look);
}

/// Where the kernel sends a packet: link, gateway, source.
#[track_caller]
fn way_to(destination: &str) -> String {
    let shown = ip_json(&format!("route get {destination}"));
    let word = |key: &str| shown[0][key].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", word("dev"), word("gateway"), word("prefsrc"))
}

#[track_caller]
fn leads_by_n0() {
    // A new address is not used as a source until duplicate detection has finished, which takes a moment even when off.
    let tentative = || ip_json("-6 address show dev n0 tentative")[0]["addr_info"].is_array();
    let end = Instant::now() + Duration::from_secs(10);
    while tentative() {
        assert!(Instant::now() < end, "duplicate detection ends");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(way_to("198.51.100.9"), "n0 10.1.0.1 10.1.0.2");
    assert_eq!(way_to("2001:db8:ff::9"), "n0 2001:db8:1::1 2001:db8:1::2");
    assert_eq!(way_to("10.1.0.9"), "n0 - 10.1.0.2");
    assert_eq!(way_to("2001:db8:1::9"), "n0 - 2001:db8:1::2");
}

/// The addresses of global scope of a link, those with a lifetime marked with a star.
fn addresses(link: &str) -> Vec<String> {
    let shown = ip_json(&format!("address show dev {link} scope global"));
    let list = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    let line = |a: &Value| {
        let star = if a["valid_life_time"].as_u64() == Some(u32::MAX.into()) { "" } else { "*" };
        format!("{}/{}{star}", a["local"].as_str().unwrap_or_default(), a["prefixlen"])
    };
    list.iter().filter(|a| a["local"].is_string()).map(line).collect()
}

fn count(question: &str) -> usize {
    ip_json(question).as_array().map_or(0, Vec::len)
}

fn sysctl(key: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{key}")).expect("a sysctl").trim().to_owned()
}

#[test]
fn a_route_for_one_source_is_another() {
    n0_leads(
        &["-6 route add default from 2001:db8:99::/64 via 2001:db8:1::1 dev n0 proto static metric 1024"],
        leads_by_n0,
    );
}

#[test]
fn a_route_that_runs_out_is_another() {
    n0_leads(&["-6 route add default via 2001:db8:1::1 dev n0 proto static metric 1024 expires 15"], || {
        leads_by_n0();
        assert!(ip_json("-6 route show default")[0].get("expires").is_none());
    });
}

#[test]
fn a_route_with_an_undescribed_metric_is_a_different_route() {
    n0_leads(&["-6 route add default via 2001:db8:1::1 dev n0 proto static metric 1024 hoplimit 1"], || {
        leads_by_n0();
        assert!(ip_json("-6 route show default")[0].get("metrics").is_none());
    });
    n0_leads(&["route add default via 10.1.0.1 dev n0 proto static mtu lock 900"], || {
        leads_by_n0();
        assert!(ip_json("-4 route show default")[0].get("metrics").is_none());
    });
}

#[test]
fn routes_for_a_type_of_service_are_others() {
    n0_leads(&["route add default tos 0x08 via 10.1.0.1", "route add default tos 0x10 via 10.1.0.9"], || {
        leads_by_n0();
        assert_eq!(count("-4 route show default"), 1);
    });
}

#[test]
fn a_route_by_a_next_hop_object_is_another() {
    n0_leads(&["nexthop add id 5 via 10.1.0.9 dev n0", "route add default nhid 5"], || {
        leads_by_n0();
        assert_eq!(count("-4 route show default"), 1);
    });
}

#[test]
fn an_address_without_its_connected_route_is_recreated() {
    heals(
        &[
            "address add 10.1.0.2/24 dev n0 noprefixroute",
            "address add 2001:db8:1::2/64 dev n0 noprefixroute",
        ],
        N0,
        leads_by_n0,
    );
    n0_leads(&["route del 10.1.0.0/24 dev n0", "-6 route del 2001:db8:1::/64 dev n0"], leads_by_n0);
}

#[test]
fn an_address_of_another_scope_is_recreated() {
    heals(&["address add 10.1.0.2/24 dev n0 scope link"], N0, leads_by_n0);
    heals(&["address add 10.1.0.2/24 dev n0 scope host"], N0, leads_by_n0);
    // The kernel refuses two scopes in one subnet.
    heals(&["address add 10.1.0.9/24 dev n0 scope link"], N0, || {
        leads_by_n0();
        assert_eq!(addresses("n0"), ["10.1.0.2/24", "2001:db8:1::2/64"]);
    });
}

#[test]
fn the_metric_of_a_subnets_route_is_the_kernels_own() {
    heals(
        &["address add 10.1.0.2/24 dev n0 metric 500", "address add 2001:db8:1::2/64 dev n0 metric 500"],
        N0,
        || {
            leads_by_n0();
            assert!(ip_json("route show 10.1.0.0/24")[0].get("metric").is_none());
            assert_eq!(ip_json("-6 route show 2001:db8:1::/64")[0]["metric"], 256);
        },
    );
}

#[test]
fn an_address_that_once_was_a_duplicate_is_added_again() {
    alone(NETAPPLY.to_owned(), |program| {
        MACHINE.iter().for_each(|line| set(line));
        ip("address add 2001:db8:1::2/64 dev p0 nodad");
        ip("address add 2001:db8:1::2/64 dev n0");
        let failed = || ip_json("-6 address show dev n0 dadfailed")[0]["addr_info"].is_array();
        let end = Instant::now() + Duration::from_secs(10);
        while !failed() {
            assert!(Instant::now() < end, "duplicate detection finds the other");
            std::thread::sleep(Duration::from_millis(50));
        }
        // The other host is gone.
        ip("address del 2001:db8:1::2/64 dev p0");
        let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], N0);
        assert!(output.status.success(), "{}", said(&output));
        assert!(!failed());
        assert_eq!(left_to_do(&program, N0), Vec::<String>::new(), "the second plan");
    });
}

#[test]
fn another_default_route_of_the_link_does_not_take_precedence() {
    // A routing daemon's stays, behind ours.
    n0_leads(
        &[
            "route add default via 10.1.0.9 dev n0 proto zebra",
            "-6 route add default via 2001:db8:1::9 dev n0 proto zebra metric 1024",
        ],
        || {
            leads_by_n0();
            assert_eq!((count("-4 route show default"), count("-6 route show default")), (2, 2));
        },
    );
    n0_leads(&["-6 route add default via fe80::9 dev n0 proto ra metric 1024"], leads_by_n0);
    n0_leads(&["route add 198.51.100.9 via 10.1.0.9 dev n0 proto redirect"], leads_by_n0);
}

#[test]
fn a_default_route_of_an_undescribed_link_does_not_take_precedence() {
    const N1: &[&str] = &[
        "address add 10.9.0.2/24 dev n1",
        "address add 2001:db8:9::2/64 dev n1 nodad",
        "route add default via 10.9.0.1 dev n1 proto dhcp",
        "-6 route add default via 2001:db8:9::1 dev n1 proto dhcp metric 1024",
    ];
    let look = || {
        leads_by_n0();
        assert_eq!((count("-4 route show default"), count("-6 route show default")), (2, 2));
        let joined = ip_json("-6 route show default");
        assert!(joined.as_array().unwrap().iter().all(|route| route.get("nexthops").is_none()));
    };
    n0_leads(N1, look);
    // An earlier version added ours behind it, or merged it.
    let behind = [
        "route append default via 10.1.0.1 dev n0 proto static",
        "-6 route append default via 2001:db8:1::1 dev n0 proto static metric 1024",
    ];
    n0_leads(&[N1, &behind].concat(), look);
}

#[test]
fn advertised_state_is_removed_with_accept_ra_false() {
    heals(
        &[
            ADDRESSES[0],
            ADDRESSES[1],
            "-6 address add 2001:db8:1::5054/64 dev n0 valid_lft 600 preferred_lft 300",
            "-6 route add default via fe80::9 dev n0 proto ra metric 512",
            "-6 route add default via fe80::8 dev n0 proto ra metric 1024",
            "-6 route add 2001:db8:77::/64 dev n0 proto kernel metric 256 expires 600",
        ],
        "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'}, accept-ra: false,
          addresses: [10.1.0.2/24, '2001:db8:1::2/64'],
          routes: [{to: 0.0.0.0/0, via: 10.1.0.1}, {to: '::/0', via: '2001:db8:1::1'}]}}}",
        || {
            leads_by_n0();
            assert_eq!(addresses("n0"), ["10.1.0.2/24", "2001:db8:1::2/64"]);
            assert_eq!(count("-6 route show dev n0 proto ra"), 0);
            assert_eq!(count("-6 route show 2001:db8:77::/64"), 0);
            assert_eq!(sysctl("ipv6/conf/n0/accept_ra"), "0");
        },
    );
}

/// The kernel shows routes with one key as one, with the first one's protocol.
#[test]
fn a_routing_daemons_next_hop_stays_when_merged_ones_are_removed() {
    const TEXT: &str =
        "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'}, accept-ra: false,
      addresses: [10.1.0.2/24, '2001:db8:1::2/64'],
      routes: [{to: 0.0.0.0/0, via: 10.1.0.1}, {to: '::/0', via: '2001:db8:1::1'}]}}}";
    let hops = || {
        let shown = ip_json("-6 route show default");
        let route =
            |r: &Value| format!("{} {} {}", r["gateway"], r["protocol"], r["metric"]).replace('"', "");
        let mut hops: Vec<String> = shown.as_array().unwrap().iter().map(route).collect();
        hops.sort();
        hops
    };
    for (first, second) in [("ra", "zebra"), ("zebra", "ra"), ("zebra", "static"), ("static", "zebra")] {
        let gateway = |maker| if maker == "zebra" { "fe80::8" } else { "fe80::9" };
        alone(NETAPPLY.to_owned(), move |program| {
            MACHINE.iter().chain(ADDRESSES).for_each(|line| set(line));
            for (word, maker) in [("add", first), ("append", second)] {
                let via = gateway(maker);
                ip(&format!("-6 route {word} default via {via} dev n0 proto {maker} metric 2000"));
            }
            let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], TEXT);
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            assert_eq!(hops(), ["2001:db8:1::1 static 1024", "fe80::8 zebra 2000"], "{first} and {second}");
            assert_eq!(left_to_do(&program, TEXT), Vec::<String>::new(), "the second plan");
        });
    }
}

/// A routing daemon's next hop with the described route's key: the described route gets the metric below.
#[test]
fn a_routing_daemons_next_hop_merged_with_a_described_route_stays() {
    n0_leads(
        &[
            "-6 route add default via 2001:db8:1::1 dev n0 proto static metric 1024",
            "-6 route append default via 2001:db8:1::8 dev n0 proto zebra metric 1024",
        ],
        || {
            leads_by_n0();
            let shown = ip_json("-6 route show default");
            let all: Vec<_> = shown
                .as_array()
                .unwrap()
                .iter()
                .map(|r| (r["gateway"].as_str(), r["metric"].as_u64()))
                .collect();
            assert_eq!(all, [(Some("2001:db8:1::1"), Some(1023)), (Some("2001:db8:1::8"), Some(1024))]);
        },
    );
}

/// The format has a keyword for addresses from advertisements, but the description does not use it.
#[test]
fn static_ipv6_alone_takes_no_addresses_of_advertisements() {
    const TEXT: &str = r#"{"links": [{"id": "l", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:01"}], "networks": [
      {"id": "4", "link": "l", "type": "ipv4", "ip_address": "10.1.0.2", "netmask": "255.255.255.0", "gateway": "10.1.0.1"},
      {"id": "6", "link": "l", "type": "ipv6", "ip_address": "2001:db8:1::2/64", "gateway": "2001:db8:1::1"}], "services": []}"#;
    heals(
        &[
            ADDRESSES[1],
            "ipv6/conf/n0/use_tempaddr=2",
            "-6 address add 2001:db8:1::5054/64 dev n0 valid_lft 600 preferred_lft 300",
            "-6 route add default via fe80::9 dev n0 proto ra metric 512",
        ],
        TEXT,
        || {
            leads_by_n0();
            assert_eq!(addresses("n0"), ["10.1.0.2/24", "2001:db8:1::2/64"]);
            let of_n0 = ["accept_ra", "autoconf", "accept_ra_defrtr", "use_tempaddr"]
                .map(|key| sysctl(&format!("ipv6/conf/n0/{key}")));
            assert_eq!(of_n0, ["1", "0", "0", "0"]);
        },
    );
}

#[test]
fn a_described_address_is_permanent_despite_advertised_lifetimes() {
    heals(&["address add 2001:db8:1::2/64 dev n0 valid_lft 600 preferred_lft 300"], N0, || {
        assert_eq!(addresses("n0"), ["10.1.0.2/24", "2001:db8:1::2/64"]);
    });
}

#[test]
fn an_earlier_clients_lease_is_removed() {
    heals(&["address add 10.1.0.77/24 dev n0 valid_lft 600 preferred_lft 300"], N0, || {
        leads_by_n0();
        assert_eq!(addresses("n0"), ["10.1.0.2/24", "2001:db8:1::2/64"]);
    });
}

#[test]
fn ipv6_that_was_turned_off_is_turned_on_for_the_link() {
    for line in ["ipv6/conf/n0/disable_ipv6=1", "ipv6/conf/all/disable_ipv6=1"] {
        heals(&[line], N0, || {
            leads_by_n0();
            assert_eq!(sysctl("ipv6/conf/n0/disable_ipv6"), "0");
        });
    }
}

#[test]
fn a_link_that_answers_no_arp_request_answers_again() {
    heals(&["ipv4/conf/n0/arp_ignore=8"], N0, || {
        leads_by_n0();
        assert_eq!(sysctl("ipv4/conf/n0/arp_ignore"), "0");
    });
}

#[test]
fn the_mtu_of_ipv6_follows_a_described_one() {
    heals(
        &["link set p0 mtu 9000", "link set n0 mtu 9000", "ipv6/conf/n0/mtu=1280"],
        "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'}, mtu: 9000,
          addresses: ['2001:db8:1::2/64']}}}",
        || assert_eq!(sysctl("ipv6/conf/n0/mtu"), "9000"),
    );
}

#[test]
fn an_mtu_that_ipv6_cannot_have_is_raised() {
    heals(&["link set n0 mtu 1000"], N0, || {
        leads_by_n0();
        assert_eq!(ip_json("link show n0")[0]["mtu"], 1500);
    });
}

#[test]
fn the_loopback_interface_is_brought_up() {
    heals(&["link set lo down"], N0, || {
        leads_by_n0();
        assert!(ip_json("link show lo")[0]["flags"].to_string().contains("\"UP\""));
    });
}

/// The kernel drops it with the address that is its source.
#[test]
fn another_programs_route_survives_a_recreated_address() {
    heals(
        &[
            "address add 10.9.0.2/24 dev n1",
            "address add 10.1.0.2/24 dev n0 noprefixroute",
            "address add 2001:db8:1::2/64 dev n0 metric 99 nodad",
            "route add 192.0.2.0/24 via 10.9.0.1 dev n1 src 10.1.0.2 proto 77",
            "-6 route add 2001:db8:7::/64 dev n0 src 2001:db8:1::2 proto 77",
        ],
        N0,
        || {
            leads_by_n0();
            assert_eq!(way_to("192.0.2.9"), "n1 10.9.0.1 10.1.0.2");
            assert_eq!(ip_json("-6 route show 2001:db8:7::/64")[0]["prefsrc"], "2001:db8:1::2");
        },
    );
}

/// Its gateway's subnet goes with an address that is not described: the kernel would refuse the route.
#[test]
fn another_programs_route_goes_with_the_subnet_of_its_gateway() {
    heals(
        &[
            "address add 10.2.0.9/24 dev n0",
            "route add 10.0.0.0/8 via 10.2.0.1 dev n0 proto zebra",
            "route add 10.3.0.0/16 via 10.1.0.9 dev n0 onlink proto zebra",
        ],
        N0,
        || {
            leads_by_n0();
            assert_eq!(ip_json("route show proto zebra")[0]["dst"], "10.3.0.0/16");
        },
    );
}

/// Each of two described links has routes whose source is an address of the other, and both addresses are made anew.
#[test]
fn routes_with_a_source_on_another_link_survive_its_recreated_address() {
    const BOTH: &str = "network: {version: 2, ethernets: {
        n0: {match: {macaddress: '02:00:00:00:00:01'}, addresses: [10.1.0.2/24, '2001:db8:1::2/64'],
          routes: [{to: 0.0.0.0/0, via: 10.1.0.1}, {to: '::/0', via: '2001:db8:1::1'},
            {to: 192.0.2.0/24, via: 10.1.0.1, from: 10.2.0.2},
            {to: '2001:db8:7::/64', via: '2001:db8:1::1', from: '2001:db8:2::2'}]},
        n1: {match: {macaddress: '02:00:00:00:00:02'}, addresses: [10.2.0.2/24, '2001:db8:2::2/64'],
          routes: [{to: 203.0.113.0/24, via: 10.2.0.1, from: 10.1.0.2},
            {to: '2001:db8:8::/64', via: '2001:db8:2::1', from: '2001:db8:1::2'}]}}}";
    heals(
        &[
            "address add 10.1.0.2/24 dev n0 noprefixroute",
            "address add 10.2.0.2/24 dev n1 noprefixroute",
            "address add 2001:db8:1::2/64 dev n0 metric 99 nodad",
            "address add 2001:db8:2::2/64 dev n1 metric 99 nodad",
            "route add 192.0.2.0/24 via 10.1.0.1 dev n0 onlink src 10.2.0.2 proto static",
            "route add 203.0.113.0/24 via 10.2.0.1 dev n1 onlink src 10.1.0.2 proto static",
            "route add 198.18.0.0/24 dev n0 src 10.2.0.2 proto 77",
            "route add 198.18.1.0/24 dev n1 src 10.1.0.2 proto 77 table 200",
            "-6 route add 2001:db8:7::/64 via 2001:db8:1::1 dev n0 src 2001:db8:2::2 proto static",
            "-6 route add 2001:db8:9::/64 dev n0 src 2001:db8:2::2 proto 77",
        ],
        BOTH,
        || {
            leads_by_n0();
            assert_eq!(way_to("192.0.2.9"), "n0 10.1.0.1 10.2.0.2");
            assert_eq!(way_to("203.0.113.9"), "n1 10.2.0.1 10.1.0.2");
            assert_eq!(way_to("198.18.0.9"), "n0 - 10.2.0.2");
            assert_eq!(ip_json("route show table 200")[0]["prefsrc"], "10.1.0.2");
            for (to, source) in [
                ("2001:db8:7::/64", "2001:db8:2::2"),
                ("2001:db8:8::/64", "2001:db8:1::2"),
                ("2001:db8:9::/64", "2001:db8:2::2"),
            ] {
                assert_eq!(ip_json(&format!("-6 route show {to}"))[0]["prefsrc"], source, "{to}");
            }
        },
    );
}

/// Otherwise its connected route would still take precedence.
#[test]
fn a_bridge_that_loses_its_last_port_is_set_down() {
    n0_leads(
        &[
            "link add br9 type bridge",
            "address add 10.1.0.2/24 dev br9",
            "link set br9 up",
            "link set n0 master br9",
        ],
        || {
            leads_by_n0();
            assert!(!ip_json("link show br9")[0]["flags"].to_string().contains("\"UP\""));
        },
    );
    // One that keeps another port is not ours.
    n0_leads(
        &["link add br9 type bridge", "link set br9 up", "link set n0 master br9", "link set n1 master br9"],
        || {
            leads_by_n0();
            assert!(ip_json("link show br9")[0]["flags"].to_string().contains("\"UP\""));
        },
    );
}

#[test]
fn a_nic_that_cannot_have_its_name_works_under_the_one_it_has() {
    const TEXT: &str =
        "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'}, set-name: eth0,
      addresses: [10.1.0.2/24, '2001:db8:1::2/64'],
      routes: [{to: 0.0.0.0/0, via: 10.1.0.1}, {to: '::/0', via: '2001:db8:1::1'}]}}}";
    for taken in
        [&["link set n1 down", "link set n1 name eth0"][..], &["link property add dev n1 altname eth0"]]
    {
        ends(1, taken, TEXT, leads_by_n0);
    }
    // Its own alternative name is no other's.
    heals(&["link set n0 down", "link property add dev n0 altname eth0", "link set n0 up"], TEXT, || {
        assert_eq!(way_to("198.51.100.9"), "eth0 10.1.0.1 10.1.0.2");
    });
}

/// The message names what is in the way, not the description.
#[test]
fn a_vxlan_that_has_the_number_already_is_named() {
    alone(NETAPPLY.to_owned(), |program| {
        MACHINE.iter().for_each(|line| set(line));
        ip("link add old7 type vxlan id 7 dstport 4789 dev n1 local 10.1.0.2");
        let text = "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: [10.1.0.2/24]}}, tunnels: {vx7: {mode: vxlan, id: 7, port: 4789, local: 10.1.0.2,
          addresses: [10.7.0.1/24]}}}";
        let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], text);
        let screen = said(&output);
        assert_eq!(output.status.code(), Some(5), "{screen}");
        assert!(
            screen.contains("ip -d link show type vxlan") && !screen.contains("Fix the description"),
            "{screen}"
        );
    });
}

/// A NIC that goes away between plan and step, and comes back with another index, is waited for.
#[test]
fn a_nic_recreated_meanwhile_is_configured() {
    alone(NETAPPLY.to_owned(), |program| {
        const MAKE: &str = "link add n0 address 02:00:00:00:00:01 type veth peer name p0";
        ip(MAKE);
        // Like a driver that is reloaded again and again.
        let turmoil = std::thread::spawn(|| {
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                ip("link delete n0");
                ip(MAKE);
            }
            ip("link set p0 up");
        });
        let text = "network: {version: 2, ethernets: {n0: {match: {macaddress: '02:00:00:00:00:01'}, addresses: [10.1.0.2/24]}}}";
        for _ in 0..20 {
            let output =
                described(&program, &["apply", "--no-verify", "--wait=10", "--handoff", "none"], text);
            assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
        }
        turmoil.join().expect("the links are made");
        let output = described(&program, &["apply", "--no-verify", "--wait=10", "--handoff", "none"], text);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(addresses("n0"), ["10.1.0.2/24"]);
    });
}

#[test]
fn a_broadcast_address_that_is_the_gateway_is_removed() {
    heals(&["address add 10.1.0.2/24 broadcast 10.1.0.1 dev n0"], N0, || {
        leads_by_n0();
        assert_eq!(ip_json("-4 address show dev n0")[0]["addr_info"][0]["broadcast"], "10.1.0.255");
    });
}

#[test]
fn a_nic_that_shares_its_mac_address_did_not_come_late() {
    alone(NETAPPLY.to_owned(), |program| {
        MACHINE.iter().for_each(|line| set(line));
        ip("link set n1 address 02:00:00:00:00:01");
        let output = described(&program, &["apply", "--wait=1", "--handoff", "none"], N0);
        let screen = said(&output);
        assert_eq!(output.status.code(), Some(1), "{screen}");
        assert!(screen.contains("nic-ambiguous") && !screen.contains("nic-late"), "{screen}");
        assert!(!screen.contains("too late"), "{screen}");
    });
}
