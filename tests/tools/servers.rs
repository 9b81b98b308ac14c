//! Leases from the servers that Debian has: Kea, isc-dhcp-server with a relay, systemd-networkd. Each runs in a namespace
//! beside netapply's, from the tree `servers`; their logs are the oracle of what was sent.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use harness::namespace::{ip, ip_json};
use harness::wire::{Running, in_machine, sh, start, wire};
use netapply::lease::dhcp4::machine::{Config, Detection};
use netapply::lease::entry::{self, LeaseEntry};
use netapply::machine::Machine;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;

/// The file tree with the servers' programs.
const TREE: &str = "/run/tree";
const APPLY: &str = "apply --handoff=none --dhcp=own --no-verify /run/net.yaml";

/// Runs `body` on a machine with the tree mounted, and this machine's devices and processes in it.
fn with_servers(body: impl AsyncFnOnce() + Send + 'static) {
    let lower = super::machine::lower("servers");
    in_machine(async move || {
        sh(&format!(
            "mkdir {TREE} /run/up /run/work
            mount -t overlay overlay -o lowerdir={lower},upperdir=/run/up,workdir=/run/work {TREE}
            mount --bind /dev {TREE}/dev; mount --bind /proc {TREE}/proc
            mkdir -p {TREE}/var/lib/kea {TREE}/run/kea"
        ));
        body().await;
    });
}

/// Writes a file of the tree.
fn file(path: &str, text: &str) {
    let path = format!("{TREE}{path}");
    fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Starts a program of the tree in a namespace; what it prints goes to /run/NAME.log.
fn serve(at: &str, name: &str, line: &str) -> Running {
    let log = fs::File::options().create(true).append(true).open(format!("/run/{name}.log")).unwrap();
    let mut command = Command::new("ip");
    command.args([
        "netns",
        "exec",
        at,
        "chroot",
        TREE,
        "env",
        "KEA_PIDFILE_DIR=/run",
        "KEA_LOCKFILE_DIR=none",
    ]);
    command.args(line.split_whitespace()).stdout(log.try_clone().unwrap()).stderr(log);
    start(&mut command)
}

fn log(name: &str) -> String {
    fs::read_to_string(format!("/run/{name}.log")).unwrap_or_default()
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        let logs = ["kea", "isc", "relay", "networkd"].map(log).concat();
        assert!(Instant::now() < end, "{what}: {:#?}\n{logs}", entry::all(&Machine::default()));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn netapply(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netapply")).args(arguments.split_whitespace()).output().unwrap()
}

#[track_caller]
fn exits(code: i32, arguments: &str) -> String {
    let output = netapply(arguments);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let logs = ["kea", "isc", "relay", "networkd"].map(log).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments}: {text}\n{logs}");
    text
}

fn describe(eth0: &str) {
    let text = format!("network: {{version: 2, ethernets: {{eth0: {{{eth0}}}}}}}\n");
    fs::write("/run/net.yaml", text).unwrap();
}

fn eth0() -> LeaseEntry {
    entry::all(&Machine::default()).remove("eth0").unwrap_or_default()
}

/// The addresses of eth0 that are not link-local.
fn addresses() -> Vec<String> {
    let link = &ip_json("address show dev eth0 scope global")[0];
    let infos = link["addr_info"].as_array().cloned().unwrap_or_default();
    infos.iter().filter_map(|info| info["local"].as_str()).map(str::to_owned).collect()
}

/// The service that renews, once it accepts orders.
fn renewing() -> Running {
    let _ = fs::remove_file(Machine::default().leases_socket());
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    let running = start(command.args(["leases", "--renew"]));
    until("the service takes orders", || Machine::default().leases_socket().exists());
    running
}

const KEA4: &str = r#"{"Dhcp4": {
    "interfaces-config": {"interfaces": ["port0"]}, "lease-database": {"type": "memfile", "persist": false},
    "valid-lifetime": 12, "renew-timer": 4, "rebind-timer": 8, "authoritative": true,
    "option-data": [{"name": "routers", "data": "NET.1"}, {"name": "domain-name-servers", "data": "NET.53"},
      {"name": "domain-search", "data": "example.org, example.net"},
      {"code": 121, "name": "rfc3442", "csv-format": false, "data": "18cb0071c0000202", "always-send": true}],
    "option-def": [{"name": "rfc3442", "code": 121, "type": "binary"}],
    "subnet4": [{"subnet": "NET.0/24", "pools": [{"pool": "NET.50 - NET.60"}]}],
    "loggers": [{"name": "kea-dhcp4", "severity": "DEBUG", "debuglevel": 50, "output_options": [{"output": "stdout"}]}]}}"#;

fn kea4(net: &str) -> Running {
    file("/etc/kea4.json", &KEA4.replace("NET", net));
    let running = serve("other", "kea", "kea-dhcp4 -c /etc/kea4.json");
    until("Kea has started", || log("kea").contains("DHCP4_STARTED"));
    running
}

#[test]
fn kea_leases_renews_and_refuses_after_a_move() {
    with_servers(async || {
        wire("eth0", "other", "port0");
        ip("-n other address add 192.0.2.1/24 dev port0");
        let server = kea4("192.0.2");
        describe("dhcp4: true");
        exits(0, APPLY);
        let first = eth0().lease.unwrap();
        let terms = &first.terms;
        assert_eq!(addresses(), [terms.address.addr().to_string()]);
        assert_eq!(terms.search, ["example.org", "example.net"]);
        assert_eq!(terms.name_servers, ["192.0.2.53".parse::<std::net::Ipv4Addr>().unwrap()]);
        // Option 121 displaces the router (RFC 3442).
        assert_eq!(ip_json("route show default"), serde_json::json!([]));
        assert_eq!(ip_json("route show 203.0.113.0/24")[0]["gateway"], "192.0.2.2");
        let service = renewing();
        until("it is renewed", || eth0().lease.is_some_and(|lease| lease.asked > first.asked));
        assert_eq!(eth0().lease.unwrap().terms.address, terms.address);
        // Another server in its place, for another subnet, refuses what it did not lease.
        drop(server);
        ip("-n other address flush dev port0");
        ip("-n other address add 198.51.100.1/24 dev port0");
        fs::write("/run/kea.log", "").unwrap();
        let _server = kea4("198.51.100");
        // After the carrier was gone the lease has to be confirmed.
        ip("link set eth0 down");
        until("the carrier is gone", || eth0().state == "DOWN");
        ip("link set eth0 up");
        until("Kea refuses", || log("kea").contains("DHCPNAK"));
        until("the other server's lease is used", || {
            addresses().iter().any(|a| a.starts_with("198.51.100."))
        });
        until("the first address is gone", || addresses().len() == 1);
        drop(service);
    });
}

const KEA6: &str = r#"{"Dhcp6": {
    "interfaces-config": {"interfaces": ["port0"]}, "lease-database": {"type": "memfile", "persist": false},
    "valid-lifetime": 16, "preferred-lifetime": 12, "renew-timer": 4, "rebind-timer": 8,
    "option-data": [{"name": "dns-servers", "data": "2001:db8::53"}, {"name": "domain-search", "data": "example.org"}],
    "subnet6": [{"subnet": "2001:db8::/64", "interface": "port0", "rapid-commit": true POOLS}],
    "loggers": [{"name": "kea-dhcp6", "severity": "INFO", "output_options": [{"output": "stdout"}]}]}}"#;

fn kea6(pools: &str) -> Running {
    file("/etc/kea6.json", &KEA6.replace("POOLS", pools));
    fs::write("/run/kea.log", "").unwrap();
    let running = serve("other", "kea", "kea-dhcp6 -c /etc/kea6.json");
    until("Kea has started", || log("kea").contains("DHCP6_STARTED"));
    running
}

#[test]
fn kea_leases_ipv6_addresses_and_says_when_it_has_none() {
    with_servers(async || {
        wire("eth0", "other", "port0");
        ip("-n other address add 2001:db8::1/64 dev port0 nodad");
        // Its link-local address must be usable.
        sh(
            "for i in $(seq 100); do ip -n other -6 address show dev port0 tentative | grep -q inet6 || break; sleep 0.1; done",
        );
        let server = kea6("");
        describe("dhcp6: true");
        let text = exits(1, "apply --handoff=none --dhcp=own --wait=3 /run/net.yaml");
        assert!(text.contains("[dhcp-exhausted]"), "{text}");
        drop(server);
        let server = kea6(r#", "pools": [{"pool": "2001:db8::50 - 2001:db8::50"}]"#);
        for options in ["", " --dhcp-options=rapid-commit"] {
            exits(0, &format!("{APPLY}{options}"));
            assert_eq!(addresses(), ["2001:db8::50"], "{options}");
            let service = renewing();
            let renewed = || log("kea").matches("DHCP6_LEASE_RENEW").count();
            let before = renewed();
            until("it is renewed", || renewed() > before);
            assert_eq!(addresses(), ["2001:db8::50"]);
            drop(service);
            exits(0, "leases --release eth0");
            assert_eq!(addresses(), Vec::<String>::new());
        }
        drop(server);
    });
}

/// isc-dhcp-server behind a relay: it never sees the link, and answers by unicast to the relay.
#[test]
fn a_lease_through_a_relay_is_taken_renewed_and_released() {
    with_servers(async || {
        wire("eth0", "relay", "port0");
        ip("-n relay address add 192.0.2.1/24 dev port0");
        ip("netns add other");
        ip("-n other link set lo up");
        ip("-n relay link add up0 type veth peer name port1 netns other");
        ip("-n relay address add 203.0.113.1/24 dev up0");
        ip("-n other address add 203.0.113.2/24 dev port1");
        ip("-n relay link set up0 up");
        ip("-n other link set port1 up");
        ip("-n other route add 192.0.2.0/24 via 203.0.113.1");
        sh("ip netns exec relay sysctl -qw net.ipv4.ip_forward=1");
        file(
            "/etc/dhcp/relayed.conf",
            "authoritative; default-lease-time 12; min-lease-time 12; max-lease-time 12;
            subnet 203.0.113.0 netmask 255.255.255.0 {}
            subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.50 192.0.2.60; option routers 192.0.2.1; }\n",
        );
        file("/run/relayed.leases", "");
        let _server = serve(
            "other",
            "isc",
            "dhcpd -4 -d -f -cf /etc/dhcp/relayed.conf -lf /run/relayed.leases -pf /run/isc.pid --no-pid port1",
        );
        until("the server listens", || log("isc").contains("Server starting service"));
        let _relay = serve("relay", "relay", "dhcrelay -4 -d --no-pid -id port0 -iu up0 203.0.113.2");
        until("the relay listens", || log("relay").contains("Sending on   Socket/fallback"));
        describe("dhcp4: true");
        exits(0, APPLY);
        let first = eth0().lease.unwrap();
        assert_eq!(first.terms.server.to_string(), "203.0.113.2");
        let _service = renewing();
        until("it is renewed", || eth0().lease.is_some_and(|lease| lease.asked > first.asked));
        assert_eq!(addresses(), [first.terms.address.addr().to_string()]);
        // The renewal came by itself, through the router.
        let renewed = log("isc")
            .lines()
            .filter(|line| line.contains("DHCPREQUEST") && !line.contains(" via 192.0.2.1"))
            .count();
        assert!(renewed > 0, "{}", log("isc"));
        exits(0, "leases --release eth0");
        until("the server knows", || log("isc").contains("DHCPRELEASE of"));
    });
}

#[test]
fn networkd_as_a_server_leases() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        sh("mkdir -p /run/systemd/network");
        fs::write(
            "/run/systemd/network/10-server.network",
            "[Match]\nName=port0\n[Network]\nAddress=192.0.2.1/24\nDHCPServer=yes\nLinkLocalAddressing=no\n\
             [DHCPServer]\nPoolOffset=50\nPoolSize=10\nDNS=192.0.2.53\nDefaultLeaseTimeSec=300\n",
        )
        .unwrap();
        let log = fs::File::create("/run/networkd.log").unwrap();
        let mut command = Command::new("ip");
        // Without udev in this namespace it would wait for it, unless /sys is read-only as in a container.
        command.args(["netns", "exec", "other", "unshare", "-m", "sh", "-c"]);
        command.arg(
            "mount -o remount,ro /sys; SYSTEMD_LOG_TARGET=console exec /usr/lib/systemd/systemd-networkd",
        );
        let _server = start(command.stdout(log.try_clone().unwrap()).stderr(log));
        until("the server has its address", || {
            ip_json("-n other -4 address show dev port0")[0]["addr_info"][0]["local"] == "192.0.2.1"
        });
        describe("dhcp4: true");
        exits(0, APPLY);
        let lease = eth0().lease.unwrap();
        assert_eq!(addresses(), [lease.terms.address.addr().to_string()]);
        assert_eq!(lease.terms.name_servers, ["192.0.2.53".parse::<std::net::Ipv4Addr>().unwrap()]);
        assert_eq!(ip_json("route show default")[0]["gateway"], "192.0.2.1");
    });
}

/// SIGKILL of the service in every state that is written down: after its restart the link has the same lease.
#[test]
fn the_service_is_killed_in_every_state_and_goes_on_with_the_lease() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        ip("-n other address add 192.0.2.1/24 dev port0");
        fs::write("/run/udhcpd.leases", "").unwrap();
        fs::write(
            "/run/udhcpd.conf",
            "start 192.0.2.50\nend 192.0.2.60\ninterface port0\nlease_file /run/udhcpd.leases\npidfile /run/udhcpd.pid\n\
             min_lease 1\nopt subnet 255.255.255.0\nopt router 192.0.2.1\nopt lease 16\n",
        )
        .unwrap();
        let mut command = Command::new("ip");
        let server =
            start(command.args(["netns", "exec", "other", "busybox", "udhcpd", "-f", "/run/udhcpd.conf"]));
        let server_is = |signal| kill(Pid::from_raw(server.id().cast_signed()), signal).unwrap();
        describe("dhcp4: true");
        exits(0, APPLY);
        let address = addresses();
        let mut seen = BTreeSet::new();
        // Without an answer a lease goes through these states by itself.
        for state in ["BOUND", "RENEWING", "REBINDING", "SELECTING"] {
            let service = renewing();
            if state != "BOUND" {
                server_is(Signal::SIGSTOP);
            }
            until(state, || eth0().state == state);
            // SIGKILL.
            drop(service);
            seen.insert(eth0().state);
            let service = renewing();
            server_is(Signal::SIGCONT);
            until("the lease is in force", || {
                eth0().state == "BOUND" && eth0().in_force(netapply::lease::ask::now()).is_some()
            });
            until("its address is there", || addresses() == address);
            drop(service);
        }
        // While it is confirmed after the carrier was gone.
        let service = renewing();
        until("it is bound", || eth0().state == "BOUND");
        server_is(Signal::SIGSTOP);
        ip("link set eth0 down");
        until("the carrier is gone", || eth0().state == "DOWN");
        ip("link set eth0 up");
        until("it is being confirmed", || eth0().state == "REBOOTING");
        drop(service);
        let _service = renewing();
        server_is(Signal::SIGCONT);
        until("the lease is in force", || eth0().state == "BOUND");
        until("its address is there", || addresses() == address);
        assert_eq!(seen.len(), 4, "{seen:?}");
    });
}

/// A server for `port0` that answers with one address what it is told to answer: no message; DISCOVER; every one.
fn obedient(answered: Arc<AtomicU8>) {
    let at = fs::File::open("/run/netns/other").unwrap();
    std::thread::spawn(move || {
        setns(at, CloneFlags::CLONE_NEWNET).unwrap();
        let socket = UdpSocket::bind("0.0.0.0:67").unwrap();
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from("port0")).unwrap();
        socket.set_broadcast(true).unwrap();
        let mut buffer = [0; 1500];
        while let Ok(length) = socket.recv(&mut buffer) {
            // The kind is netapply's first option.
            let Some(message) = buffer.get(..length).filter(|m| m.len() > 243 && m[240] == 53) else {
                continue;
            };
            let kind = match (message[242], answered.load(Ordering::SeqCst)) {
                (1, 1..) => 2,
                (3, 2..) => 5,
                _ => continue,
            };
            let mut reply = message[..240].to_vec();
            reply[0] = 2;
            reply[12..20].copy_from_slice(&[0, 0, 0, 0, 192, 0, 2, 50]);
            reply
                .extend([53, 1, kind, 54, 4, 192, 0, 2, 1, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 255]);
            socket.send_to(&reply, "255.255.255.255:68").unwrap();
        }
    });
}

/// And in the states that last only as long as an answer takes.
#[test]
fn the_service_is_killed_while_it_gets_a_lease_and_gets_the_same() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        ip("-n other address add 192.0.2.1/24 dev port0");
        let answered = Arc::new(AtomicU8::new(2));
        obedient(Arc::clone(&answered));
        describe("dhcp4: true");
        exits(0, APPLY);
        assert_eq!(addresses(), ["192.0.2.50"]);
        for (state, before) in [("REQUESTING", 1), ("PROBING", 2)] {
            // As a boot leaves a link: described, and nothing heard yet.
            ip("address flush dev eth0");
            let entry = LeaseEntry { config: eth0().config, ..LeaseEntry::new("eth0") };
            let config = Config { detection: Detection::Standard, ..entry.config.clone() };
            LeaseEntry { config, ..entry }.keep(&Machine::default()).unwrap();
            answered.store(before, Ordering::SeqCst);
            let service = renewing();
            until(state, || eth0().state == state);
            // SIGKILL.
            drop(service);
            assert!(eth0().lease.is_none() && addresses().is_empty(), "{:?}", eth0());
            answered.store(2, Ordering::SeqCst);
            let _service = renewing();
            until("the lease is in force", || eth0().state == "BOUND");
            until("its address is there", || addresses() == ["192.0.2.50"]);
        }
    });
}
