//! Leases from a real server: busybox's udhcpd in a namespace next to the machine.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::namespace::{ip, ip_json};
use harness::wire::{Running, start};
use netapply::lease::dhcp6::message::{AnswerKind, Granted, QueryKind, ServerQuestion};
use netapply::lease::entry::{self, Entry6, LeaseEntry};
use netapply::machine::Machine;
use serde_json::Value;

use crate::commands::{description, exits, netapply};
use crate::wires::{in_machine, spawn_inside, wire};

/// A server behind `port0` that leases only 192.0.2.50, for this many seconds.
fn server(seconds: u32) -> Running {
    wire("eth0", "other", "port0");
    ip("-n other address add 192.0.2.1/24 dev port0");
    serve(seconds)
}

fn serve(seconds: u32) -> Running {
    std::fs::write("/run/udhcpd.leases", "").unwrap();
    let conf = format!(
        "start 192.0.2.50\nend 192.0.2.50\ninterface port0\nlease_file /run/udhcpd.leases\npidfile /run/udhcpd.pid\n\
         min_lease 1\nopt subnet 255.255.255.0\nopt router 192.0.2.1\nopt dns 192.0.2.53\nopt domain example.org\n\
         opt lease {seconds}\n"
    );
    std::fs::write("/run/udhcpd.conf", conf).unwrap();
    let mut command = Command::new("ip");
    start(command.args(["netns", "exec", "other", "busybox", "udhcpd", "-f", "-a", "1", "/run/udhcpd.conf"]))
}

/// The service that renews, once it accepts orders.
fn renewing() -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    let running = start(command.args(["leases", "--renew"]));
    // An earlier one that was killed has left its socket.
    until("the service takes orders", || UnixStream::connect(Machine::default().leases_socket()).is_ok());
    running
}

/// Waits for something that is certain to happen.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "{what}: {:#?}", entry::all(&Machine::default()));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn eth0() -> LeaseEntry {
    entry::all(&Machine::default()).remove("eth0").expect("netapply leases eth0")
}

/// The IPv4 address of eth0, as ip(8) shows it.
fn address() -> Option<Value> {
    let link = &ip_json("-4 address show dev eth0")[0];
    link["addr_info"].get(0).cloned()
}

const APPLY: &str = "apply --handoff=none --dhcp=own --no-verify";

#[test]
fn a_lease_is_applied_and_a_second_run_finds_nothing_to_do() {
    in_machine(async || {
        let _server = server(600);
        let path = description("dhcp4: true");
        exits(0, &format!("{APPLY} {path}"));
        let address = address().unwrap();
        assert_eq!(
            (address["local"].as_str(), address["prefixlen"].as_u64()),
            (Some("192.0.2.50"), Some(24))
        );
        let left = address["valid_life_time"].as_u64().unwrap();
        assert!((1..=600).contains(&left) && address["dynamic"] == true, "{address}");
        let route = &ip_json("-4 route show default")[0];
        let words = |key: &str| route[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (words("gateway"), words("protocol"), words("prefsrc")),
            ("192.0.2.1".into(), "dhcp".into(), "192.0.2.50".into())
        );
        assert_eq!(route["metric"], 100);
        let plan = netapply(&format!("--dry-run --dhcp=own --json {path}"));
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        assert_eq!(plan["steps"], Value::Array(Vec::new()), "{plan}");
        let shown = netapply("leases --json");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["leases"][0]["lease"]["address"], "192.0.2.50/24");
        assert_eq!(shown["leases"][0]["lease"]["search"][0], "example.org");
        crate::wires::assert_fits("leases", &shown);
    });
}

/// As a VLAN or a bond is, which this kernel does not have.
#[test]
fn a_link_that_the_run_itself_makes_or_renames_is_leased() {
    in_machine(async || {
        let server = server(600);
        let mac = ip_json("link show dev eth0")[0]["address"].as_str().unwrap().to_owned();
        let path = description(&format!("match: {{macaddress: '{mac}'}}, set-name: lan0, dhcp4: true"));
        exits(0, &format!("{APPLY} {path}"));
        let of =
            |link: &str| ip_json(&format!("-4 address show dev {link}"))[0]["addr_info"][0]["local"].clone();
        assert_eq!(of("lan0"), "192.0.2.50");
        exits(0, "leases --release lan0");
        drop(server);
        // The same NIC as a bridge's port.
        ip("link set lan0 name eth0");
        let _server = serve(600);
        let text = "network: {version: 2, ethernets: {eth0: {}}, bridges: {br0: {interfaces: [eth0], dhcp4: true, \
                    parameters: {stp: false, forward-delay: 0}}}}\n";
        std::fs::write("/run/bridge.yaml", text).unwrap();
        exits(0, &format!("{APPLY} /run/bridge.yaml"));
        assert_eq!(of("br0"), "192.0.2.50");
    });
}

/// One answers: the others have been asked by then, and none of them is waited for.
#[test]
fn sixteen_nics_are_asked_at_once() {
    in_machine(async || {
        let _server = server(600);
        let mut yaml = String::from("network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n");
        for number in 1..16 {
            wire(&format!("eth{number}"), "other", &format!("port{number}"));
            yaml.push_str(&format!("    eth{number}: {{dhcp4: true, optional: true}}\n"));
        }
        std::fs::write("/run/net.yaml", yaml).unwrap();
        exits(0, &format!("{APPLY} /run/net.yaml"));
        let entries = entry::all(&Machine::default());
        let asked = entries.values().filter(|entry| entry.lease.is_some() || entry.account.unanswered > 0);
        assert_eq!((asked.count(), entries["eth0"].lease.is_some()), (16, true), "{entries:#?}");
        assert_eq!(entries["eth0"].account.unanswered, 0);
    });
}

#[test]
fn a_lease_is_renewed_by_the_service_and_survives_its_end() {
    in_machine(async || {
        let _server = server(12);
        let path = description("dhcp4: true");
        exits(0, &format!("{APPLY} {path}"));
        let first = eth0().lease.unwrap();
        let service = renewing();
        until("the lease is renewed", || eth0().lease.is_some_and(|lease| lease.asked > first.asked));
        assert_eq!(eth0().lease.unwrap().terms.address, first.terms.address);
        // SIGKILL: only its file is left.
        drop(service);
        let second = eth0().lease.unwrap();
        let _service = renewing();
        until("the lease is renewed again", || eth0().lease.is_some_and(|lease| lease.asked > second.asked));
        until("the kernel has the new lifetime", || address().is_some());
        let lease = ip_json("-4 route show default");
        assert_eq!(lease[0]["gateway"], "192.0.2.1");
    });
}

#[test]
fn an_unrenewed_lease_expires_with_its_address_and_routes() {
    in_machine(async || {
        let server = server(8);
        let path = description("dhcp4: true");
        exits(0, &format!("{APPLY} {path}"));
        let _service = renewing();
        drop(server);
        until("the lease is lost", || eth0().lease.is_none());
        until("its address is gone", || address().is_none());
        assert_eq!(ip_json("-4 route show default"), Value::Array(Vec::new()));
        let shown = netapply("verify");
        let shown = String::from_utf8_lossy(&[shown.stdout, shown.stderr].concat()).into_owned();
        assert!(shown.contains("[lease-expired]"), "{shown}");
        // Another server in its place.
        let _server = serve(600);
        until("there is another lease", || eth0().lease.is_some());
        until("its address is there", || address().is_some());
    });
}

#[test]
fn an_address_of_another_host_is_declined() {
    in_machine(async || {
        let _server = server(600);
        wire("eth1", "squatter", "port1");
        // A third station on the same wire: a bridge in the server's namespace.
        ip("netns exec other ip link add br0 type bridge");
        drop(_server);
        ip("-n other link set br0 up");
        ip("link set eth1 netns other");
        for port in ["port0", "eth1"] {
            ip(&format!("-n other link set {port} master br0"));
            ip(&format!("-n other link set {port} up"));
        }
        ip("-n other address flush dev port0");
        ip("-n other address add 192.0.2.1/24 dev br0");
        ip("-n squatter address add 192.0.2.50/24 dev port1");
        let conf = std::fs::read_to_string("/run/udhcpd.conf").unwrap().replace("port0", "br0");
        // The server itself checks that its address is free, unless told not to.
        std::fs::write("/run/udhcpd.conf", conf).unwrap();
        let mut command = Command::new("ip");
        let _server = start(command.args([
            "netns",
            "exec",
            "other",
            "busybox",
            "udhcpd",
            "-f",
            "-a",
            "0",
            "/run/udhcpd.conf",
        ]));
        let path = description("dhcp4: true");
        std::thread::spawn(move || netapply(&format!("{APPLY} {path}")));
        until("the conflict is noticed", || {
            Path::new("/run/netapply/leases/eth0.json").exists() && eth0().account.conflict.is_some()
        });
        assert_eq!(address(), None);
        assert!(
            eth0().why(netapply::lease::ask::now()).why.contains("192.0.2.50 was offered, and "),
            "{}",
            eth0().why(netapply::lease::ask::now()).why
        );
    });
}

#[test]
fn a_lease_is_released_on_request() {
    in_machine(async || {
        let _server = server(600);
        let path = description("dhcp4: true");
        exits(0, &format!("{APPLY} {path}"));
        exits(0, "leases --release eth0");
        assert_eq!(
            (eth0().lease, eth0().why(netapply::lease::ask::now()).why.as_str()),
            (None, "the lease was given up by hand")
        );
        assert_eq!(address(), None);
        exits(2, "leases --release eth9");
        // Each apply requests again; with the service, too.
        exits(0, &format!("{APPLY} {path}"));
        assert!(address().is_some());
        let _service = renewing();
        exits(0, "leases --release eth0");
        until("the address is gone", || address().is_none());
    });
}

/// The report shows the current state: the service has the network verified again, if it was verified before.
#[test]
fn the_report_follows_a_lease() {
    in_machine(async || {
        let server = server(8);
        let path = description("dhcp4: true");
        // Nobody answers for names.
        exits(1, &format!("apply --handoff=none --dhcp=own --wait=6 {path}"));
        let report = || std::fs::read_to_string(Machine::default().report()).unwrap_or_default();
        assert!(report().contains("192.0.2.50") && !report().contains("no DHCP lease"), "{}", report());
        let _service = renewing();
        drop(server);
        until("the report says that the lease is lost", || report().contains("no DHCP lease"));
    });
}

#[test]
fn requested_options_are_sent() {
    in_machine(async || {
        let _server = server(600);
        let path = description("dhcp4: true");
        exits(0, &format!("{APPLY} --dhcp-options=detect=off,user-class=ipa {path}"));
        let config = eth0().config;
        assert_eq!((config.user_class.as_deref(), config.ipv6_only), (Some("ipa"), false));
        exits(2, &format!("{APPLY} --dhcp-options=detect=never {path}"));
    });
}

/// A DHCPv6 server behind `port0` that leases only 2001:db8::50.
fn server6() -> Running {
    wire("eth0", "other", "port0");
    ip("-n other address add 2001:db8::1/64 dev port0 nodad");
    serve6("port0")
}

/// dnsmasq on a link of a namespace, for DHCP alone.
fn dnsmasq(at: &str, link: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", at, "dnsmasq", "-k", "-p", "0", "-i", link, "-u", "root"]);
    command
}

fn serve6(link: &str) -> Running {
    let mut command = dnsmasq("other", link);
    command.arg("--log-dhcp");
    command.args(["--dhcp-range=2001:db8::50,2001:db8::50,64,300", "--dhcp-leasefile=/run/dnsmasq.leases"]);
    command.args([
        "--dhcp-option=option6:dns-server,[2001:db8::53]",
        "--dhcp-option=option6:domain-search,example.org",
    ]);
    command.args(["--conf-file=/dev/null", "--pid-file=/run/dnsmasq.pid", "--log-facility=/run/dnsmasq.log"]);
    start(&mut command)
}

fn six() -> Entry6 {
    eth0().dhcp6.expect("netapply asks for DHCPv6 on eth0")
}

/// The global IPv6 addresses of eth0, as ip(8) shows them.
fn addresses6() -> Vec<Value> {
    let link = &ip_json("-6 address show dev eth0 scope global")[0];
    let addresses = link["addr_info"].as_array().cloned().unwrap_or_default();
    // An address of another scope is an empty object.
    addresses.into_iter().filter(|address| !address["local"].is_null()).collect()
}

#[test]
fn a_dhcpv6_lease_is_applied_renewed_and_released() {
    in_machine(async || {
        let _server = server6();
        let path = description("dhcp6: true, dhcp6-overrides: {use-domains: true}");
        exits(0, &format!("{APPLY} {path}"));
        let addresses = addresses6();
        let [address] = &addresses[..] else { panic!("{addresses:?}") };
        assert_eq!((address["local"].as_str(), &address["prefixlen"]), (Some("2001:db8::50"), &128.into()));
        let left = address["valid_life_time"].as_u64().unwrap();
        assert!((1..=300).contains(&left), "{address}");
        let plan = netapply(&format!("--dry-run --dhcp=own --json {path}"));
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        assert_eq!(plan["steps"], Value::Array(Vec::new()), "{plan}");
        let resolver = &plan["resolver"];
        assert_eq!(
            (&resolver["servers"][0], &resolver["search"][0]),
            (&"2001:db8::53".into(), &"example.org".into())
        );
        let shown = netapply("leases --json");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["leases"][0]["dhcp6"]["addresses"][0]["address"], "2001:db8::50");
        assert_eq!(shown["leases"][0]["dhcp6"]["search"][0], "example.org");
        crate::wires::assert_fits("leases", &shown);
        // The service has the lease confirmed when it begins, and goes on with it after a SIGKILL.
        let confirmed =
            || std::fs::read_to_string("/run/dnsmasq.log").unwrap().matches("DHCPCONFIRM").count();
        for _ in 0..2 {
            let before = confirmed();
            let service = renewing();
            until("the lease is confirmed", || confirmed() > before && six().state == "BOUND");
            assert_eq!(addresses6().len(), 1);
            drop(service);
        }
        exits(0, "leases --release eth0");
        assert_eq!(addresses6(), Vec::<Value>::new());
        let released = || std::fs::read_to_string("/run/dnsmasq.log").unwrap().matches("DHCPRELEASE").count();
        until("the server knows", || released() > 0);
        // Each apply requests again.
        exits(0, &format!("{APPLY} {path}"));
        assert_eq!(addresses6().len(), 1);
        let before = released();
        let _service = renewing();
        until("the lease is confirmed", || six().state == "BOUND");
        exits(0, "leases --release eth0");
        until("the service has told the server", || released() > before);
        assert_eq!(addresses6(), Vec::<Value>::new(), "the address has gone first");
    });
}

/// A state of nmstate with these keys of eth0.
fn state(keys: &str) -> &'static str {
    let text = format!("interfaces: [{{name: eth0, type: ethernet, state: up, {keys}}}]\n");
    std::fs::write("/run/nmstate.yaml", text).unwrap();
    "/run/nmstate.yaml"
}

#[test]
fn the_routes_of_a_lease_go_to_the_described_table() {
    in_machine(async || {
        let _server = server(600);
        let path = state("ipv4: {enabled: true, dhcp: true, auto-route-table-id: 77, auto-route-metric: 7}");
        exits(0, &format!("{APPLY} {path}"));
        let route = &ip_json("-4 route show table 77")[0];
        assert_eq!((&route["dst"], &route["gateway"]), (&"default".into(), &"192.0.2.1".into()), "{route}");
        assert_eq!((&route["metric"], &route["protocol"]), (&7.into(), &"dhcp".into()), "{route}");
        assert_eq!(ip_json("-4 route show default"), Value::Array(Vec::new()));
        let plan = netapply(&format!("--dry-run --dhcp=own --json {path}"));
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        assert_eq!(plan["steps"], Value::Array(Vec::new()), "{plan}");
    });
}

#[test]
fn the_server_is_shown_the_described_identifier() {
    in_machine(async || {
        let _server = server6();
        let mac = ip_json("link show dev eth0")[0]["address"].as_str().unwrap().to_owned();
        for (duid, shown) in [
            ("ll", format!("00:03:00:01:{mac}")),
            ("00:02:00:00:ab:11:0c:7d", "00:02:00:00:ab:11:0c:7d".to_owned()),
        ] {
            let path =
                state(&format!("ipv6: {{enabled: true, dhcp: true, autoconf: true, dhcp-duid: '{duid}'}}"));
            exits(0, &format!("{APPLY} {path}"));
            let leases = std::fs::read_to_string("/run/dnsmasq.leases").unwrap();
            let lease = leases.lines().find(|line| line.contains(" 2001:db8::50 ")).expect("a lease");
            assert!(lease.ends_with(&format!(" {shown}")), "{duid}: {leases}");
            exits(0, "leases --release eth0");
        }
    });
}

#[test]
fn a_leased_ipv6_address_in_use_is_declined() {
    in_machine(async || {
        let _server = server6();
        // Another host on the wire: the server's namespace has a second link into it.
        wire("eth1", "squatter", "port1");
        ip("link set eth1 netns other");
        ip("-n other link add br0 type bridge");
        for link in ["br0", "eth1"] {
            ip(&format!("-n other link set {link} up"));
        }
        ip("-n squatter address add 2001:db8::50/64 dev port1 nodad");
        drop(_server);
        for port in ["port0", "eth1"] {
            ip(&format!("-n other link set {port} master br0"));
        }
        until("the bridge forwards", || {
            ["port0", "eth1"].iter().all(|port| {
                let link = &ip_json(&format!("-n other -details link show dev {port}"))[0];
                link["linkinfo"]["info_slave_data"]["state"] == "forwarding"
            })
        });
        ip("-n other address add 2001:db8::1/64 dev br0 nodad");
        let _server = serve6("br0");
        let path = description("dhcp6: true");
        let _ = netapply(&format!("{APPLY} {path}"));
        let _service = renewing();
        until("the conflict is noticed", || six().account.duplicate.is_some());
        until("the server is told", || {
            std::fs::read_to_string("/run/dnsmasq.log").unwrap().contains("DHCPDECLINE")
        });
        let why = eth0().why(netapply::lease::ask::now()).why;
        assert_eq!(why, "2001:db8::50 was leased, and another machine uses it");
    });
}

/// A description for any network requests both families.
/// Servers answer a client alone (RFC 9915, section 16): what one sends to all nodes of the link is not taken.
#[test]
fn a_dhcpv6_answer_to_everybody_is_not_taken() {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    in_machine(async || {
        wire("eth0", "other", "port0");
        let server = spawn_inside("other", || {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 547)).unwrap();
            let index = nix::net::if_::if_nametoindex("port0").unwrap();
            socket.join_multicast_v6(&Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2), index).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let address = "2001:db8::7".parse().unwrap();
            let (mut heard, mut buffer) = (Vec::new(), [0; 1500]);
            while heard.last() != Some(&QueryKind::Request) {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let question = ServerQuestion::read(&buffer[..length]).unwrap();
                heard.push(question.kind);
                let to = match heard.len() {
                    ..3 => SocketAddrV6::new(ALL_NODES, 546, 0, index).into(),
                    _ => from,
                };
                let kind = match question.kind {
                    QueryKind::Solicit => AnswerKind::Advertise,
                    _ => AnswerKind::Reply,
                };
                let granted = Granted { address, preferred: 600, valid: 600 };
                socket.send_to(&question.answer(kind, &[0, 3, 0, 1, 9], Ok(granted), &[]), to).unwrap();
            }
            heard
        });
        exits(0, &format!("{APPLY} {}", description("dhcp6: true")));
        let solicited = [QueryKind::Solicit; 3];
        assert_eq!(server.join().unwrap(), [&solicited[..], &[QueryKind::Request]].concat());
    });
}

#[test]
fn with_an_ipv4_lease_a_missing_dhcpv6_server_does_not_count() {
    in_machine(async || {
        let _server = server(600);
        let path = description("dhcp4: true, dhcp6: true");
        exits(0, &format!("{APPLY} {path}"));
        assert!(address().is_some() && !eth0().lacks(netapply::lease::ask::now()));
        assert!(six().account.unanswered >= 3, "{:?}", six().account);
        let path = description("dhcp6: true");
        let output = netapply(&format!("apply --handoff=none --dhcp=own --wait=5 {path}"));
        let screen =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{screen}");
        assert!(screen.contains("no DHCPv6 server answers"), "{screen}");
    });
}

/// A router behind `port0`: radvd with these lines for the interface.
fn router(lines: &str) -> Running {
    if !Path::new("/run/netns/other").exists() {
        wire("eth0", "other", "port0");
    }
    ip("netns exec other sysctl -qw net.ipv6.conf.all.forwarding=1");
    let intervals = "AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;";
    std::fs::write("/run/radvd.conf", format!("interface port0 {{ {intervals} {lines} }};\n")).unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", "other", "radvd", "-n", "-C", "/run/radvd.conf", "-p", "/run/radvd.pid"]);
    start(command.args(["-u", "root", "-m", "stderr"]))
}

/// A description that leaves IPv6 to router advertisements.
fn advertised() -> &'static str {
    const PATH: &str = "/run/network_data.json";
    let links = r#""links": [{"id": "eth0", "type": "phy", "name": "eth0"}]"#;
    let networks = r#""networks": [{"id": "n", "type": "ipv6_slaac", "link": "eth0"}]"#;
    std::fs::write(PATH, format!("{{{links}, {networks}, \"services\": []}}")).unwrap();
    PATH
}

/// The name servers and search domains of a plan without steps.
fn resolver(path: &str) -> (Value, Value) {
    let plan = netapply(&format!("--dry-run --dhcp=own --json {path}"));
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["steps"], Value::Array(Vec::new()), "{plan}");
    (plan["resolver"]["servers"].clone(), plan["resolver"]["search"].clone())
}

fn routers() -> usize {
    eth0().routers.map_or(0, |ra| ra.routers.len())
}

#[test]
fn name_servers_and_domains_of_a_router_are_followed() {
    in_machine(async || {
        let router_ = router(
            "prefix 2001:db8:1::/64 {}; route 2001:db8:f::/48 {}; RDNSS 2001:db8::53 { AdvRDNSSLifetime 8; }; \
             DNSSL example.org { AdvDNSSLLifetime 8; };",
        );
        let path = advertised();
        exits(0, &format!("{APPLY} {path}"));
        assert_eq!(resolver(path), (serde_json::json!(["2001:db8::53"]), serde_json::json!(["example.org"])));
        let shown = netapply("leases --json");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["leases"][0]["routers"][0]["prefixes"][0], "2001:db8:1::/64", "{shown}");
        crate::wires::assert_fits("leases", &shown);
        // Addresses and routes are the kernel's work, those of route information, too.
        until("the kernel has an address", || !addresses6().is_empty());
        until("the kernel has the route", || {
            let routes = ip_json("-6 route show 2001:db8:f::/48");
            routes[0]["dev"] == "eth0" && routes[0]["protocol"] == "ra"
        });
        let _service = renewing();
        drop(router_);
        until("the name server is over", || {
            let routers = eth0().routers.unwrap().routers;
            routers.iter().all(|router| router.name_servers.is_empty())
        });
        assert_eq!(resolver(path), (serde_json::json!([]), serde_json::json!([])));
        assert_eq!(routers(), 1, "the router itself is remembered for longer");
    });
}

#[test]
fn a_router_says_whether_there_is_dhcpv6() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        ip("-n other address add 2001:db8::1/64 dev port0 nodad");
        let _server = serve6("port0");
        // O: what comes without addresses.
        let first = router("AdvOtherConfigFlag on; prefix 2001:db8:1::/64 {};");
        let path = advertised();
        exits(0, &format!("{APPLY} {path}"));
        assert_eq!(six().state, "INFORMED", "{:?}", eth0());
        assert_eq!(resolver(path), (serde_json::json!(["2001:db8::53"]), serde_json::json!(["example.org"])));
        assert!(addresses6().iter().all(|address| address["local"] != "2001:db8::50"));
        crate::wires::assert_fits(
            "leases",
            &serde_json::from_slice(&netapply("leases --json").stdout).unwrap(),
        );
        // M: the service begins to ask for addresses.
        let _service = renewing();
        drop(first);
        let _second = router("AdvManagedFlag on; AdvOtherConfigFlag on;");
        until("there is a lease", || six().state == "BOUND");
        until("its address is there", || addresses6().iter().any(|a| a["local"] == "2001:db8::50"));
        exits(0, "leases --release eth0");
        until("the address is gone", || addresses6().iter().all(|a| a["local"] != "2001:db8::50"));
    });
}

#[test]
fn why_no_router_has_given_an_address() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = advertised();
        let screen = || {
            let output = netapply(&format!("apply --handoff=none --dhcp=own --wait=3 {path}"));
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let first = screen();
        assert!(first.contains("no router advertisement for eth0: no router answers"), "{first}");
        assert!(first.contains("[no-router-advertisement]"), "{first}");
        let _router = router("AdvManagedFlag on;");
        let second = screen();
        assert!(second.contains("[dhcpv6-advertised-without-server]"), "{second}");
    });
}

/// A DHCP server behind `port0` that gives out 198.51.100.0/24 and notes what it is asked.
fn other_subnet(port: &str) -> Running {
    ip(&format!("-n other address add 198.51.100.1/24 dev {port}"));
    let mut command = dnsmasq("other", port);
    command.arg("--no-ping");
    command.args(["--dhcp-range=198.51.100.50,198.51.100.60,300", "--dhcp-leasefile=/run/dnsmasq4.leases"]);
    command.args(["--conf-file=/dev/null", "--pid-file=/run/dnsmasq4.pid", "--log-dhcp"]);
    start(command.args(["--log-facility=/run/dnsmasq4.log"]))
}

#[test]
fn dhcp_tells_which_subnet_a_port_is_really_in() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let _server = other_subnet("port0");
        let path = description("addresses: [192.0.2.2/24], routes: [{to: default, via: 192.0.2.1}]");
        let screen = |options: &str| {
            let output = netapply(&format!("apply --handoff=none --wait=12 {options} {path}"));
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let log = || std::fs::read_to_string("/run/dnsmasq4.log").unwrap_or_default();
        let quiet = screen("--no-discover");
        assert!(!quiet.contains("[port-in-other-subnet]") && !log().contains("DHCPDISCOVER"), "{quiet}");
        let told = screen("");
        assert!(told.contains("the port of eth0 is in 198.51.100.0/24 (DHCP server 198.51.100.1)"), "{told}");
        assert!(log().contains("DHCPOFFER") && !log().contains("DHCPREQUEST"), "{}", log());
        assert_eq!(address().unwrap()["local"], "192.0.2.2");
    });
}

#[test]
fn a_lease_without_a_router_is_a_warning() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        ip("-n other address add 192.0.2.1/24 dev port0");
        let mut command = dnsmasq("other", "port0");
        command.args(["--no-ping", "--dhcp-range=192.0.2.50,192.0.2.60,300", "--dhcp-option=3"]);
        command.args(["--dhcp-leasefile=/run/dnsmasq4.leases", "--conf-file=/dev/null", "--dhcp-option=6"]);
        let _server = start(command.args(["--pid-file=/run/dnsmasq4.pid"]));
        let path = description("dhcp4: true");
        let output = netapply(&format!("apply --handoff=none --dhcp=own --wait=8 {path}"));
        let screen = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(screen.contains("[lease-without-router]"), "{screen}");
    });
}

/// A DHCP server behind a wire `LINK` into a namespace of its own, for this network and with this option.
fn network(link: &str, net: &str, option: &str) -> Running {
    let at = format!("at-{link}");
    ip(&format!("-n {at} address add {net}.1/24 dev port"));
    let mut command = dnsmasq(&at, "port");
    command.arg("--no-ping");
    command.args(["--log-dhcp", "--conf-file=/dev/null"]);
    command.args([format!("--dhcp-range={net}.50,{net}.60,300"), format!("--dhcp-option={option}")]);
    for (name, suffix) in [("dhcp-leasefile", "leases"), ("pid-file", "pid"), ("log-facility", "log")] {
        command.arg(format!("--{name}=/run/{link}.{suffix}"));
    }
    start(&mut command)
}

/// How often a server of [`network`] has logged something.
fn logged(link: &str, what: &str) -> usize {
    std::fs::read_to_string(format!("/run/{link}.log")).unwrap_or_default().matches(what).count()
}

/// Four NICs, of which only the first two are up.
fn four_nics() {
    for number in 0..4 {
        wire(&format!("eth{number}"), &format!("at-eth{number}"), "port");
    }
    ip("link set eth2 down");
    ip("link set eth3 down");
}

/// The links with an IPv4 address, and those that are up.
fn used() -> (Vec<String>, Vec<String>) {
    let links = ip_json("-4 address show");
    let of = |wanted: &dyn Fn(&Value) -> bool| {
        let links = links.as_array().unwrap().iter().filter(|link| wanted(link));
        links.filter_map(|link| link["ifname"].as_str().filter(|n| *n != "lo")).map(str::to_owned).collect()
    };
    let has_address = |link: &Value| link["addr_info"].as_array().is_some_and(|list| !list.is_empty());
    let all = ip_json("link show up");
    let up = all.as_array().unwrap().iter().filter_map(|link| link["ifname"].as_str());
    (of(&has_address), up.filter(|name| *name != "lo").map(str::to_owned).collect())
}

const WITHOUT: &str = "apply --handoff=none --no-verify --wait=0";

#[test]
fn without_a_description_the_only_nic_with_a_network_is_used() {
    in_machine(async || {
        four_nics();
        exits(4, WITHOUT);
        let _server = network("eth2", "192.0.2", "3,192.0.2.1");
        exits(0, &format!("{WITHOUT} --fallback=dhcp"));
        let route = &ip_json("-4 route show default")[0];
        assert_eq!((&route["gateway"], &route["dev"]), (&"192.0.2.1".into(), &"eth2".into()));
        let (addressed, up) = used();
        assert_eq!(
            (addressed, up),
            (vec!["eth2".to_owned()], ["eth0", "eth1", "eth2"].map(str::to_owned).to_vec())
        );
        let leased: Vec<String> = entry::all(&Machine::default()).into_keys().collect();
        assert_eq!(leased, ["eth2"]);
        // A second run of the same boot keeps to it, and finds nothing to do.
        let asked = logged("eth2", "DHCPDISCOVER");
        exits(0, &format!("{WITHOUT} --fallback=dhcp"));
        assert_eq!(logged("eth2", "DHCPDISCOVER"), asked);
        // The service goes on with it.
        let _service = renewing();
        until("it is bound", || entry::all(&Machine::default())["eth2"].state == "BOUND");
        exits(0, "leases --release eth2");
        until("the server knows", || logged("eth2", "DHCPRELEASE") == 1);
    });
}

/// As in a boot: Ironic's ISO for a node without network_data, and everything else on the kernel command line.
#[test]
fn without_network_data_the_nic_that_leads_to_the_target_is_used() {
    in_machine(async || {
        four_nics();
        let drive =
            harness::drive::iso(&["-r", "-V", "config-2"], &[("openstack/latest/meta_data.json", "{}")]);
        let cmdline = |words: &str| {
            let text = format!("quiet netapply.source={} netapply.wait=0 {words}\n", drive.path().display());
            std::fs::write("/run/cmdline", text).unwrap();
        };
        cmdline("");
        crate::wires::sh("mount --bind /run/cmdline /proc/cmdline");
        let apply = "apply --handoff=none --no-verify";
        exits(4, apply);
        cmdline("netapply.fallback=dhcp netapply.probe=ping://198.51.100.9");
        let run = std::thread::spawn(move || exits(0, apply));
        // A lease that does not lead there, and then one that does.
        let _first = network("eth1", "192.0.2", "3");
        until("the first server has granted a lease", || logged("eth1", "DHCPACK") > 0);
        let _second = network("eth3", "198.51.100", "3");
        run.join().unwrap();
        let (addressed, up) = used();
        assert_eq!(addressed, ["eth3"]);
        assert_eq!(up, ["eth0", "eth1", "eth3"]);
        until("the first lease is released", || logged("eth1", "DHCPRELEASE") == 1);
        assert_eq!(logged("eth3", "DHCPRELEASE"), 0);
    });
}

/// What `apply` shows after waiting for six seconds.
fn screen(path: &str) -> String {
    let output = netapply(&format!("apply --handoff=none --dhcp=own --wait=6 {path}"));
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A server that knows nobody refuses what another had leased, and offers nothing.
#[test]
fn a_server_that_refuses_is_the_cause() {
    in_machine(async || {
        let first = server(600);
        let path = description("dhcp4: true");
        exits(0, &format!("{APPLY} {path}"));
        let _service = renewing();
        until("the service has the lease", || eth0().state == "BOUND");
        drop(first);
        ip("-n other address flush dev port0");
        ip("-n other address add 198.51.100.1/24 dev port0");
        let mut command = dnsmasq("other", "port0");
        command.args([
            "--dhcp-range=198.51.100.0,static,300",
            "--dhcp-authoritative",
            "--conf-file=/dev/null",
        ]);
        command.args(["--dhcp-leasefile=/run/dnsmasq4.leases", "--pid-file=/run/dnsmasq4.pid"]);
        let _server = start(&mut command);
        until("the server has started", || Path::new("/run/dnsmasq4.pid").exists());
        // After the carrier was gone the lease has to be confirmed.
        ip("link set eth0 down");
        until("the service notices", || eth0().state == "DOWN");
        ip("link set eth0 up");
        until("the server refuses", || eth0().account.refused.is_some());
        let shown = netapply("verify");
        let shown = String::from_utf8_lossy(&[shown.stdout, shown.stderr].concat()).into_owned();
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("server 198.51.100.1 refuses 192.0.2.50 (proved) [dhcp-refuses]"), "{shown}");
    });
}

#[test]
fn a_dhcpv6_server_without_addresses_is_the_cause() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        ip("-n other address add 2001:db8::1/64 dev port0 nodad");
        let mut command = dnsmasq("other", "port0");
        command.args(["--dhcp-range=2001:db8::,static,64,300", "--conf-file=/dev/null"]);
        let _server = start(command.args(["--dhcp-leasefile=/run/six.leases", "--pid-file=/run/six.pid"]));
        let shown = screen(description("dhcp6: true"));
        assert!(shown.contains("[dhcp-exhausted]"), "{shown}");
    });
}

#[test]
fn a_second_server_with_another_subnet_is_a_warning() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        ip("-n other link add br0 type bridge");
        ip("-n other link set br0 up");
        ip("-n other link set port0 master br0");
        let mut servers = Vec::new();
        for (at, net) in [("one", "192.0.2"), ("two", "198.51.100")] {
            wire("up0", &format!("at-{at}"), "port");
            ip(&format!("link set up0 name {at} netns other"));
            ip(&format!("-n other link set {at} master br0 up"));
            servers.push(network(at, net, &format!("3,{net}.1")));
        }
        for at in ["one", "two"] {
            until("both servers have started", || Path::new(&format!("/run/{at}.pid")).exists());
        }
        let shown = screen(description("dhcp4: true"));
        assert!(shown.contains("[second-dhcp-server]"), "{shown}");
    });
}

/// A figure from a file of a process in /proc.
fn of_process(process: &Running, file: &str, line: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", process.id())).unwrap();
    let value =
        text.lines().find_map(|each| each.strip_prefix(line)).unwrap_or_else(|| panic!("{line} in {text}"));
    value.split_whitespace().next().unwrap().parse().unwrap()
}

/// Ten links with leases that are far from their ends.
#[test]
fn the_service_sleeps_between_its_timers_and_is_small() {
    in_machine(async || {
        let links = || {
            (0..10).map(|number| (format!("eth{number}"), format!("port{number}"), format!("10.0.{number}")))
        };
        let mut command = dnsmasq("other", "port*");
        command.arg("--no-ping");
        command.args([
            "--conf-file=/dev/null",
            "--pid-file=/run/dnsmasq.pid",
            "--dhcp-leasefile=/run/dnsmasq.leases",
        ]);
        let mut yaml = String::from("network:\n  version: 2\n  ethernets:\n");
        for (link, port, net) in links() {
            wire(&link, "other", &port);
            ip(&format!("-n other address add {net}.1/24 dev {port}"));
            command.arg(format!("--dhcp-range={net}.50,{net}.60,86400"));
            yaml.push_str(&format!("    {link}: {{dhcp4: true, accept-ra: false}}\n"));
        }
        let _server = start(&mut command);
        until("the server has started", || Path::new("/run/dnsmasq.pid").exists());
        std::fs::write("/run/net.yaml", yaml).unwrap();
        exits(0, &format!("{APPLY} /run/net.yaml"));
        let service = renewing();
        let bound =
            || entry::all(&Machine::default()).values().filter(|entry| entry.state == "BOUND").count();
        until("all links are bound", || bound() == 10);
        let woken = || of_process(&service, "status", "voluntary_ctxt_switches:");
        // Until duplicate detection of the kernel's own addresses and the like is over.
        let mut last = 0;
        until("nothing happens for two seconds", || {
            std::thread::sleep(Duration::from_secs(2));
            std::mem::replace(&mut last, woken()) == woken()
        });
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(woken(), last, "it was woken");
        // Beside the pages of the program itself, which depend on how it was built (benches/leases has them).
        let size = of_process(&service, "smaps_rollup", "Pss_Anon:");
        assert!(size < 3072, "{size} KiB");
    });
}

#[test]
fn silence_is_reported_as_the_cause() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = description("dhcp4: true");
        let output = netapply(&format!("apply --handoff=none --dhcp=own --wait=5 {path}"));
        let screen =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{screen}");
        assert!(screen.contains("no DHCP server answers") && screen.contains("[no-dhcp-server]"), "{screen}");
    });
}
