//! Descriptions applied to machines with existing state: the fewest changes, and none the second time. The oracle is
//! ip(8).

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use harness::disturb::{alone, described, said};
use harness::namespace::{ip, ip_json};

const NETAPPLY: &str = env!("CARGO_BIN_EXE_netapply");

/// Sets up the machine, applies the description, checks that no steps remain, and inspects the result.
#[track_caller]
fn converges(machine: &[&'static str], text: &'static str, look: fn()) {
    let machine = machine.to_vec();
    alone(NETAPPLY.to_owned(), move |program| {
        make(&machine);
        let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], text);
        assert!(output.status.success(), "{}", said(&output));
        look();
        assert_eq!(left_to_do(&program, text), Vec::<String>::new(), "the second run");
        look();
    });
}

fn make(machine: &[&str]) {
    std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("a sysctl");
    machine.iter().for_each(|line| ip(line));
}

/// The commands of the plan.
pub(crate) fn left_to_do(program: &str, text: &str) -> Vec<String> {
    let output = described(program, &["--dry-run", "--json"], text);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let steps = plan["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["command"].as_str().unwrap_or_default().to_owned()).collect()
}

/// One line per route: type, destination, gateway, link, metric, further next hops.
fn routes(question: &str) -> Vec<String> {
    let shown = ip_json(question);
    let word = |route: &Value, key: &str| route[key].as_str().unwrap_or("-").to_owned();
    let line = |r: &Value| {
        let keys = ["type", "dst", "gateway", "dev"].map(|key| word(r, key));
        let hops = r["nexthops"].as_array().into_iter().flatten();
        let hops = hops.map(|h| format!(" {}*{}", word(h, "gateway"), h["weight"])).collect::<String>();
        format!("{} {}{hops}", keys.join(" "), r["metric"].as_u64().unwrap_or(0))
    };
    let mut lines: Vec<String> = shown.as_array().into_iter().flatten().map(line).collect();
    lines.sort();
    lines
}

const WIRE: &[&str] = &[
    "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0",
    "link set peer0 up",
    "link set eth0 up",
];

/// ip(8) and the kernel put local, broadcast and anycast routes into the table `local`.
#[test]
fn routes_of_every_type() {
    converges(
        WIRE,
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'}, addresses: [192.0.2.1/24],
          routes: [{to: 10.1.0.0/16, type: local}, {to: 10.2.0.0/16, type: broadcast}, {to: 10.3.0.0/16, type: throw},
            {to: 10.4.0.0/16, type: unreachable}, {to: 10.5.0.0/16, type: prohibit}, {to: 10.6.0.0/16, type: blackhole},
            {to: '2001:db8:1::/48', type: local}, {to: '2001:db8:2::/48', type: blackhole},
            {to: '2001:db8:3::/48', type: unreachable}]}}}",
        || {
            assert_eq!(
                routes("-4 route show table local proto static"),
                ["broadcast 10.2.0.0/16 - eth0 0", "local 10.1.0.0/16 - eth0 0"]
            );
            assert_eq!(
                routes("-6 route show table local proto static"),
                ["local 2001:db8:1::/48 - eth0 1024"]
            );
            assert_eq!(
                routes("-4 route show proto static"),
                [
                    "blackhole 10.6.0.0/16 - - 0",
                    "prohibit 10.5.0.0/16 - - 0",
                    "throw 10.3.0.0/16 - - 0",
                    "unreachable 10.4.0.0/16 - - 0",
                ]
            );
        },
    );
}

/// An advertised default route has the metric that ours would get: ours takes precedence.
#[test]
fn a_route_next_to_an_advertised_one() {
    converges(
        &[
            "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0",
            "link set peer0 up",
            "link set eth0 up",
            "-6 route add default dev eth0 proto ra metric 1024",
        ],
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: ['2001:db8::1/64'], routes: [{to: '::/0', via: '2001:db8::fe'}]}}}",
        || {
            assert_eq!(
                routes("-6 route show default proto static"),
                ["unicast default 2001:db8::fe eth0 1023"]
            );
            assert_eq!(routes("-6 route show default proto ra"), ["unicast default - eth0 1024"]);
        },
    );
}

/// The kernel's route from an advertisement that comes after ours is behind it: no steps remain.
#[test]
fn a_route_before_a_routers_own() {
    converges(
        &[
            WIRE[0],
            WIRE[1],
            WIRE[2],
            "-6 address add 2001:db8::1/64 dev eth0",
            "-6 route add default via 2001:db8::fe dev eth0 proto static metric 1024",
            "-6 route append default dev eth0 proto ra metric 1024",
        ],
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: ['2001:db8::1/64'], routes: [{to: '::/0', via: '2001:db8::fe'}]}}}",
        || {
            assert_eq!(
                routes("-6 route show default proto static"),
                ["unicast default 2001:db8::fe eth0 1024"]
            );
            assert_eq!(routes("-6 route show default proto ra"), ["unicast default - eth0 1024"]);
        },
    );
}

/// With a gateway from a router advertisement, added by a program: the kernel would merge the two routes.
#[test]
fn a_gateway_next_to_an_advertised_one() {
    const RA: &str = "-6 route add default via fe80::9 dev eth0 proto ra metric 1024";
    const OURS: &str = "-6 route append default via 2001:db8::fe dev eth0 proto static metric 1024";
    const TEXT: &str = "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: ['2001:db8::1/64'], routes: [{to: '::/0', via: '2001:db8::fe'}]}}}";
    converges(&[WIRE[0], WIRE[1], WIRE[2], "-6 address add 2001:db8::1/64 dev eth0", RA], TEXT, || {
        assert_eq!(
            routes("-6 route show default"),
            ["unicast default 2001:db8::fe eth0 1023", "unicast default fe80::9 eth0 1024"]
        );
    });
    // Whichever came first.
    converges(
        &[
            WIRE[0],
            WIRE[1],
            WIRE[2],
            "-6 address add 2001:db8::1/64 dev eth0",
            OURS,
            "-6 route append default via fe80::9 dev eth0 proto ra metric 1024",
        ],
        TEXT,
        || {
            assert_eq!(
                routes("-6 route show default"),
                ["unicast default 2001:db8::fe eth0 1023", "unicast default fe80::9 eth0 1024"]
            );
        },
    );
}

/// The described gateway is the advertised one: the route must stay when the advertisement expires.
#[test]
fn the_gateway_that_a_router_announces() {
    converges(
        &[
            WIRE[0],
            WIRE[1],
            WIRE[2],
            "-6 address add 2001:db8::1/64 dev eth0",
            "-6 route add default via fe80::9 dev eth0 proto ra metric 1024 expires 1800",
        ],
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: ['2001:db8::1/64'], routes: [{to: '::/0', via: 'fe80::9'}]}}}",
        || {
            assert_eq!(routes("-6 route show default"), ["unicast default fe80::9 eth0 1024"]);
            let shown = ip_json("-6 route show default");
            assert_eq!((&shown[0]["protocol"], shown[0].get("expires")), (&"static".into(), None));
        },
    );
}

/// Multipath routes, with a metric or next to others with it: described ones replace them, undescribed ones are
/// removed, and those on undescribed links stay.
#[test]
fn routes_of_several_next_hops() {
    converges(
        &[
            WIRE[0],
            WIRE[1],
            WIRE[2],
            "link add eth1 type veth peer name peer1",
            "link set peer1 up",
            "link set eth1 up",
            "address add 192.0.2.1/24 dev eth0",
            "-6 address add 2001:db8::1/64 dev eth0",
            "address add 198.51.100.1/24 dev eth1",
            "route add default nexthop via 192.0.2.2 weight 3 nexthop via 192.0.2.3",
            "route add 10.1.0.0/16 nexthop via 192.0.2.2 nexthop via 192.0.2.3",
            "route add 10.2.0.0/16 nexthop via 192.0.2.2 nexthop via 198.51.100.2",
            "route add 10.3.0.0/16 via 192.0.2.7",
            "route append 10.3.0.0/16 via 192.0.2.8",
            "route append 10.3.0.0/16 via 192.0.2.9 proto 99",
            "-6 route add default nexthop via 2001:db8::2 nexthop via 2001:db8::3 weight 4",
            "-6 route add 2001:db8:1::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3",
            "-6 route add 2001:db8:2::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3",
        ],
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: [192.0.2.1/24, '2001:db8::1/64'],
          routes: [{to: 0.0.0.0/0, via: 192.0.2.254}, {to: 10.3.0.0/16, via: 192.0.2.8},
            {to: '::/0', via: '2001:db8::3'}, {to: '2001:db8:2::/48', via: '2001:db8::4'}]}}}",
        || {
            assert_eq!(routes("-4 route show default"), ["unicast default 192.0.2.254 eth0 0"]);
            assert_eq!(
                routes("-4 route show root 10.0.0.0/8"),
                [
                    "unicast 10.2.0.0/16 - - 0 192.0.2.2*1 198.51.100.2*1",
                    "unicast 10.3.0.0/16 192.0.2.8 eth0 0",
                    "unicast 10.3.0.0/16 192.0.2.9 eth0 0",
                ]
            );
            let gateways: Vec<String> =
                routes("-6 route show").into_iter().filter(|route| !route.contains(" - ")).collect();
            assert_eq!(
                gateways,
                ["unicast 2001:db8:2::/48 2001:db8::4 eth0 1024", "unicast default 2001:db8::3 eth0 1024"]
            );
        },
    );
}

/// Only commands in Debian's interfaces file can express it. Some of it exists already, and some differs.
#[test]
fn described_routes_of_several_next_hops() {
    converges(
        &[
            WIRE[0],
            WIRE[1],
            WIRE[2],
            "link add eth1 type veth peer name peer1",
            "link set peer1 up",
            "link set eth1 up",
            "address add 192.0.2.1/24 dev eth0",
            "-6 address add 2001:db8::1/64 dev eth0",
            "route add default nexthop via 192.0.2.2 nexthop via 192.0.2.3",
            "-6 route add default via 2001:db8::3 dev eth0 proto static",
            "-6 route add 2001:db8:2::/48 proto static nexthop via 2001:db8::2 weight 2 nexthop via 2001:db8::3",
            "-6 route add 2001:db8:3::/48 via 2001:db8::9 proto static",
        ],
        "auto eth0\niface eth0 inet static\n  address 192.0.2.1/24\n  up ip route add default metric 0 \
         nexthop via 192.0.2.2 weight 3 nexthop via 198.51.100.2\n  up ip route add 10.1.0.0/16 window 4096 via 192.0.2.2\n\
         iface eth0 inet6 static\n  address 2001:db8::1/64\n  \
         up ip -6 route add default nexthop via 2001:db8::2 nexthop via 2001:db8::3\n  \
         up ip -6 route add 2001:db8:2::/48 nexthop via 2001:db8::2 weight 2 nexthop via 2001:db8::4\n  \
         up ip -6 route add 2001:db8:3::/48 nexthop via 2001:db8::2 weight 4 nexthop via 2001:db8::3 weight 5\n\
         auto eth1\niface eth1 inet static\n  address 198.51.100.1/24\n",
        || {
            assert_eq!(
                routes("-4 route show proto static"),
                ["unicast 10.1.0.0/16 192.0.2.2 eth0 0", "unicast default - - 0 192.0.2.2*3 198.51.100.2*1"]
            );
            assert_eq!(ip_json("route show 10.1.0.0/16")[0]["metrics"][0]["window"], 4096);
            assert_eq!(
                routes("-6 route show proto static"),
                [
                    "unicast 2001:db8:2::/48 - - 1024 2001:db8::2*2 2001:db8::4*1",
                    "unicast 2001:db8:3::/48 - - 1024 2001:db8::2*4 2001:db8::3*5",
                    "unicast default - - 1024 2001:db8::3*1 2001:db8::2*1",
                ]
            );
        },
    );
}

/// An address brings its connected route: describing that as well changes nothing.
#[test]
fn the_route_that_comes_with_an_address() {
    converges(
        WIRE,
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: [192.0.2.1/24, '2001:db8::1/64'],
          routes: [{to: 192.0.2.0/24, scope: link}, {to: '2001:db8::/64', scope: link, metric: 256}]}}}",
        || assert_eq!(routes("-4 route show"), ["unicast 192.0.2.0/24 - eth0 0"]),
    );
}

/// When a link loses its last address the kernel drops all its routes.
#[test]
fn an_address_changes_its_prefix_and_a_route_its_metric() {
    converges(
        &[
            "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0",
            "link set peer0 up",
            "link set eth0 up",
            "address add 192.0.2.1/25 dev eth0",
            "-6 address add 2001:db8::1/56 dev eth0",
            "route add default via 192.0.2.2 dev eth0 proto static",
            "route add 10.0.0.0/8 via 192.0.2.3 dev eth0 proto static metric 5",
            "-6 route add 2001:db8:9::/48 via 2001:db8::9 dev eth0 proto static metric 5",
        ],
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
          addresses: [192.0.2.1/24, '2001:db8::1/64'], routes: [{to: default, via: 192.0.2.2},
          {to: 10.0.0.0/8, via: 192.0.2.3, metric: 6}, {to: '2001:db8:9::/48', via: '2001:db8::9', metric: 6}]}}}",
        || {
            assert_eq!(
                routes("-4 route show proto static"),
                ["unicast 10.0.0.0/8 192.0.2.3 eth0 6", "unicast default 192.0.2.2 eth0 0"]
            );
            assert_eq!(
                routes("-6 route show proto static"),
                ["unicast 2001:db8:9::/48 2001:db8::9 eth0 6"]
            );
            let shown = ip_json("address show dev eth0 scope global");
            let addresses: Vec<String> = shown[0]["addr_info"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|a| a["local"].is_string())
                .map(|a| format!("{}/{}", a["local"].as_str().unwrap_or_default(), a["prefixlen"]))
                .collect();
            assert_eq!(addresses, ["192.0.2.1/24", "2001:db8::1/64"]);
        },
    );
}

/// The kernel resets it to the link's MTU when the link comes up, and when that MTU changes.
#[test]
fn the_mtu_of_ipv6() {
    converges(
        &["link add eth0 address 02:00:00:00:00:01 type veth peer name peer0", "link set peer0 up"],
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'}, mtu: 1450, ipv6-mtu: 1300,
          addresses: ['2001:db8::1/64']}}}",
        || {
            let mtu = std::fs::read_to_string("/proc/sys/net/ipv6/conf/eth0/mtu").expect("a sysctl");
            assert_eq!(mtu.trim(), "1300");
        },
    );
}

/// Carrier comes while the program runs, or not at all.
#[test]
fn the_mtu_of_ipv6_and_a_late_carrier() {
    let text =
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'}, ipv6-mtu: 1300,
          addresses: ['2001:db8::1/64']}}}";
    let mtu = || std::fs::read_to_string("/proc/sys/net/ipv6/conf/eth0/mtu").expect("a sysctl");
    alone(NETAPPLY.to_owned(), move |program| {
        make(&WIRE[..1]);
        let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], text);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("eth0 has no carrier"), "{}", said(&output));
        assert_eq!(left_to_do(&program, text), Vec::<String>::new(), "the second run");
        // The program reports correctly.
        ip("link set peer0 up");
        while ip_json("link show eth0")[0]["operstate"] != "UP" {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(mtu().trim(), "1500");
        assert_eq!(left_to_do(&program, text), ["echo 1300 >/proc/sys/net/ipv6/conf/eth0/mtu"]);
    });
    alone(NETAPPLY.to_owned(), move |program| {
        make(&WIRE[..1]);
        std::fs::write("/run/description", text).expect("the description");
        let mut command = Command::new(program.clone());
        command.args(["apply", "--no-verify", "--handoff", "none", "/run/description"]).stderr(Stdio::null());
        let mut running = command.spawn().expect("netapply runs");
        // Once the link is up the program waits for carrier, or is about to.
        while !ip_json("link show eth0")[0]["flags"].to_string().contains("\"UP\"") {
            assert!(running.try_wait().expect("it runs").is_none(), "it ended too soon");
            std::thread::sleep(Duration::from_millis(20));
        }
        ip("link set peer0 up");
        assert!(running.wait().expect("it ends").success());
        assert_eq!(mtu().trim(), "1300");
        assert_eq!(left_to_do(&program, text), Vec::<String>::new(), "the second run");
    });
}

#[test]
fn turning_wake_on_lan_off_without_support_is_no_step() {
    converges(
        WIRE,
        "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'}, wakeonlan: false}}}",
        || {},
    );
}

/// The addresses of a VXLAN's forwarding table for frames without an entry of their own, by bridge(8).
fn far_ends(vxlan: &str) -> Vec<String> {
    let output =
        Command::new("bridge").args(["-j", "fdb", "show", "dev", vxlan]).output().expect("bridge(8)");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of_all = |entry: &&Value| entry["mac"] == "00:00:00:00:00:00";
    let entries = shown.as_array().into_iter().flatten().filter(of_all);
    let mut ends: Vec<String> =
        entries.map(|entry| entry["dst"].as_str().unwrap_or("-").to_owned()).collect();
    ends.sort();
    ends
}

/// As ifupdown2 has them. Whoever was a far end before is none any more.
#[test]
fn a_vxlan_with_several_far_ends() {
    converges(
        &[WIRE, &["link add vx8 type vxlan id 8 local 10.9.0.1 dstport 4789 remote 10.9.0.99"]].concat(),
        "auto eth0
iface eth0
    address 10.9.0.1/24
    ip-forward yes
    ip6-forward on
auto vx7
iface vx7
    vxlan-id 7
    vxlan-remoteip 2001:db8::2 2001:db8::3 2001:db8::4
auto vx8
iface vx8
    vxlan-id 8
    vxlan-local-tunnelip 10.9.0.1
    vxlan-remoteip 10.9.0.2 10.9.0.3
auto vx9
iface vx9 inet manual
    pre-up ip link add vx9 type vxlan id 9 dstport 4789
    up bridge fdb append 00:00:00:00:00:00 dev vx9 dst 10.9.0.2
    up bridge fdb append 00:00:00:00:00:00 dev vx9 dst 10.9.0.3
",
        || {
            assert_eq!(far_ends("vx7"), ["2001:db8::2", "2001:db8::3", "2001:db8::4"]);
            assert_eq!(far_ends("vx8"), ["10.9.0.2", "10.9.0.3"]);
            assert_eq!(far_ends("vx9"), ["10.9.0.2", "10.9.0.3"]);
            for (family, of) in [("ipv4", "eth0"), ("ipv6", "eth0")] {
                let path = format!("/proc/sys/net/{family}/conf/{of}/forwarding");
                assert_eq!(std::fs::read_to_string(path).expect("a sysctl").trim(), "1", "{family}");
            }
        },
    );
}

/// A driver that lacks a parameter is reported, and costs nothing else.
#[test]
fn parameters_that_a_driver_lacks_are_reported() {
    alone(NETAPPLY.to_owned(), |program| {
        make(WIRE);
        let text = "auto eth0
iface eth0
    address 10.9.0.1/24
    hardware-dma-ring-rx 512
    ethernet-pause-rx on
";
        let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], text);
        let shown = said(&output);
        assert!(
            shown.contains("ethtool -G eth0 rx 512") || shown.contains("Operation not supported"),
            "{shown}"
        );
        let addresses = ip_json("-4 address show dev eth0");
        assert_eq!(addresses[0]["addr_info"][0]["local"], "10.9.0.1", "{shown}");
    });
}

/// A link that carries the root file system is described in its current state: it is not changed, whatever else exists,
/// not even while other links change.
#[test]
fn a_link_that_is_as_described_is_untouched() {
    let machine: &[&str] = &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0",
        "link add eth1 address 02:00:00:00:00:02 type veth peer name peer1",
        "link set peer0 up",
        "link set peer1 up",
        "link set eth0 up",
        "address add 192.0.2.1/24 dev eth0",
        "route add default via 192.0.2.2 dev eth0 proto static",
        // Not described.
        "route add 10.9.0.0/16 via 192.0.2.9 dev eth0 proto 99",
        "link add br9 type bridge",
        "address add 198.51.100.1/24 dev br9",
        "link set br9 up",
        "rule add from 198.51.100.0/24 table 9 priority 9",
    ];
    let root = "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
      addresses: [192.0.2.1/24], routes: [{to: default, via: 192.0.2.2}]}}}";
    let more = "network: {version: 2, ethernets: {e: {match: {macaddress: '02:00:00:00:00:01'},
      addresses: [192.0.2.1/24], routes: [{to: default, via: 192.0.2.2}]},
      f: {match: {macaddress: '02:00:00:00:00:02'}, mtu: 1400, addresses: [203.0.113.1/24]}},
      bridges: {br0: {interfaces: [f]}}}";
    alone(NETAPPLY.to_owned(), move |program| {
        make(machine);
        assert_eq!(left_to_do(&program, root), Vec::<String>::new());
        let steps = left_to_do(&program, more);
        assert!(!steps.is_empty() && steps.iter().all(|step| !step.contains("eth0")), "{steps:#?}");
    });
}

/// The link-local address and the MAC address of n0, once the description is applied to a new machine with one MAC
/// address.
fn made_anew(text: &'static str) -> (String, String) {
    let (sender, receiver) = std::sync::mpsc::channel();
    alone(NETAPPLY.to_owned(), move |program| {
        make(&["link add n0 address 00:16:3e:00:00:01 type veth peer name p0", "link set p0 up"]);
        let output = described(&program, &["apply", "--no-verify", "--handoff", "none"], text);
        assert!(output.status.success(), "{}", said(&output));
        let of = || {
            let link = &ip_json("address show dev n0")[0];
            let local = link["addr_info"].as_array().into_iter().flatten().find(|a| a["scope"] == "link");
            (local.unwrap_or(&Value::Null)["local"].to_string(), link["address"].to_string())
        };
        let first = of();
        assert_eq!(left_to_do(&program, text), Vec::<String>::new());
        sender.send(first).expect("the test waits");
    });
    receiver.recv().expect("an address")
}

#[test]
fn stable_addresses_are_the_same_at_the_next_boot_and_random_macs_are_not() {
    const STABLE: &str = "network: {version: 2, ethernets: {n0: {ipv6-address-generation: stable-privacy}}}";
    let (first, second) = (made_anew(STABLE), made_anew(STABLE));
    assert_eq!(first, second);
    assert!(first.0.contains("fe80::") && !first.0.contains("ff:fe"), "{first:?}");
    const RANDOM: &str = "network: {version: 2, ethernets: {n0: {macaddress: random}}}";
    let (first, second) = (made_anew(RANDOM), made_anew(RANDOM));
    assert_ne!(first.1, second.1);
    assert_ne!(first.1, "\"00:16:3e:00:00:01\"");
}

#[test]
fn a_mac_that_the_kernel_drew_is_random_already() {
    converges(
        &["link add n0 type veth peer name p0", "link set p0 up", "link set n0 up"],
        "network: {version: 2, ethernets: {n0: {macaddress: random, addresses: [192.0.2.1/24]}}}",
        || {
            let origin = std::fs::read_to_string("/sys/class/net/n0/addr_assign_type");
            assert_eq!(origin.expect("of this namespace").trim(), "1", "the kernel's NET_ADDR_RANDOM");
        },
    );
}
