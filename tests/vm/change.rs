//! Existing bonds that are described differently: what can stay stays. The oracle is ip(8).

use serde_json::Value;

use crate::{oracle, switch};
use harness::guest::Guest;

/// A machine with four NICs, none of which is described yet.
fn machine() -> Guest {
    let mut guest = switch::machine().netapply().boot();
    // Duplicate detection takes seconds and is not tested here.
    guest.ok("modprobe bonding max_bonds=0; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
        for nic in eth0 eth1 eth2 eth3; do echo 0 >/proc/sys/net/ipv6/conf/$nic/accept_dad; done");
    guest
}

/// Applies a description whose NICs are eth0 to eth3; returns the plan's commands. No steps remain after it.
#[track_caller]
fn applied(guest: &mut Guest, text: &str) -> Vec<String> {
    let nics = "eth0: {}, eth1: {}, eth2: {}, eth3: {}";
    guest.ok(&format!(
        "cat >/tmp/netplan.yaml <<'END'\nnetwork:\n  version: 2\n  ethernets: {{{nics}}}\n{text}\nEND"
    ));
    let steps = |guest: &mut Guest| -> Vec<String> {
        let plan = guest.json("netapply --dry-run --json /tmp/netplan.yaml");
        let steps = plan["steps"].as_array().expect("steps");
        steps.iter().map(|step| step["command"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let commands = steps(guest);
    guest.ok("netapply apply --no-verify --handoff none /tmp/netplan.yaml");
    assert_eq!(steps(guest), Vec::<String>::new(), "the second run, after {commands:#?}");
    commands
}

/// Index and MAC address of links, and how often each lost or got carrier.
fn identities(guest: &mut Guest, names: &[&str]) -> Vec<String> {
    let mut one = |name: &&str| {
        let link = oracle::link(guest, name);
        let changes = guest.ok(&format!("cat /sys/class/net/{name}/carrier_changes"));
        format!("{name} {} {} {}", link["ifindex"], link["address"], changes.trim())
    };
    names.iter().map(&mut one).collect()
}

/// What is on top of the bond, described or not.
fn addresses_and_routes(guest: &mut Guest) -> Value {
    let addresses: Vec<Vec<String>> =
        ["bond0", "bond0.50", "bond0.100"].iter().map(|name| oracle::addresses(guest, name)).collect();
    serde_json::json!([addresses, oracle::routes(guest)])
}

const BOND: &str = "set -e
    ip link add bond0 address 02:00:00:00:03:00 type bond mode active-backup miimon 100 fail_over_mac none
    for nic in eth0 eth1; do ip link set $nic master bond0; done
    ip link set bond0 mtu 9000 up
    ip link add link bond0 name bond0.50 type vlan id 50
    ip link set bond0.50 mtu 1400 up
    ip link add link bond0 name bond0.100 type vlan id 100
    ip link set bond0.100 up
    ip address add 192.0.2.1/24 broadcast 192.0.2.255 dev bond0
    ip address add 2001:db8::1/64 dev bond0
    ip address add 198.51.100.1/24 dev bond0.50
    ip address add 198.51.100.2/24 dev bond0.50
    ip address add 2001:db8:5::1/64 dev bond0.50
    ip address add 203.0.113.1/24 broadcast 203.0.113.255 dev bond0.100
    ip route add default via 192.0.2.254 dev bond0 proto static
    ip route add 10.5.0.0/16 via 198.51.100.254 dev bond0.50
    ip route add 10.6.0.0/16 nexthop via 198.51.100.253 dev bond0.50 weight 2 nexthop via 198.51.100.254 dev bond0.50
    ip route add 2001:db8:55::/48 via 2001:db8:5::fe dev bond0.50 metric 7";

/// VLAN 50 is not described: it keeps its state, and so does everything described.
#[test]
fn a_bond_changes_its_mode_and_everything_on_it_stays() {
    let mut guest = machine();
    guest.ok(BOND);
    let before = addresses_and_routes(&mut guest);
    let indexes = |guest: &mut Guest| {
        ["bond0", "bond0.50", "bond0.100"].map(|name| oracle::link(guest, name)["ifindex"].clone())
    };
    let index = indexes(&mut guest);
    let commands = applied(
        &mut guest,
        "  bonds:
    bond0:
      interfaces: [eth0, eth1]
      macaddress: '02:00:00:00:03:00'
      mtu: 9000
      parameters: {mode: 802.3ad, mii-monitor-interval: 100, lacp-rate: fast}
      addresses: [192.0.2.1/24, '2001:db8::1/64']
      routes: [{to: default, via: 192.0.2.254}]
  vlans:
    bond0.100: {id: 100, link: bond0, addresses: [203.0.113.1/24]}",
    );
    assert!(!commands.iter().any(|c| c.contains("link delete") || c.contains("link add")), "{commands:#?}");
    assert_eq!(indexes(&mut guest), index);
    assert_eq!(addresses_and_routes(&mut guest), before, "{commands:#?}");
    assert_eq!(oracle::ports(&mut guest, "bond0"), ["eth0", "eth1"]);
    let bond = oracle::link(&mut guest, "bond0");
    assert_eq!(bond["linkinfo"]["info_data"]["mode"], "802.3ad");
    assert_eq!((&bond["mtu"], &bond["address"]), (&9000.into(), &"02:00:00:00:03:00".into()));
    let vlan = oracle::link(&mut guest, "bond0.50");
    assert_eq!((&vlan["mtu"], vlan["flags"].to_string().contains("\"UP\"")), (&1400.into(), true));
}

/// From each mode to each other, with options that only one of them supports.
#[test]
fn a_bond_goes_through_all_modes() {
    const MODES: &[(&str, &str)] = &[
        ("balance-rr", "packets-per-slave: 7"),
        ("802.3ad", "lacp-rate: fast, ad-select: bandwidth, min-links: 2"),
        ("active-backup", "primary: eth1, fail-over-mac-policy: active"),
        ("balance-tlb", "transmit-hash-policy: layer3+4"),
        ("broadcast", ""),
        ("balance-alb", "primary: eth0"),
        ("balance-xor", "transmit-hash-policy: layer2+3"),
        ("active-backup", "arp-interval: 200, arp-ip-targets: [192.0.2.9], arp-validate: all"),
        ("802.3ad", "lacp-rate: slow, mii-monitor-interval: 50"),
        ("balance-rr", "arp-interval: 300, arp-ip-targets: [192.0.2.9]"),
        ("balance-alb", "mii-monitor-interval: 200, up-delay: 400"),
        // The kernel rounds delays down to multiples of the interval.
        ("balance-rr", "mii-monitor-interval: 100, up-delay: 250, down-delay: 199"),
        ("balance-rr", "mii-monitor-interval: 60, up-delay: 250, down-delay: 199"),
    ];
    let mut guest = machine();
    guest.ok(BOND);
    let before = addresses_and_routes(&mut guest);
    let index = oracle::link(&mut guest, "bond0")["ifindex"].clone();
    for (mode, options) in MODES {
        // With that policy the address is a member's.
        let mac = if options.contains("fail-over") { "" } else { "macaddress: '02:00:00:00:03:00'" };
        let commands = applied(
            &mut guest,
            &format!(
                "  bonds:
    bond0:
      interfaces: [eth0, eth1]
      {mac}
      parameters: {{mode: {mode}, {options}}}
      addresses: [192.0.2.1/24, '2001:db8::1/64']
      routes: [{{to: default, via: 192.0.2.254}}]"
            ),
        );
        let bond = oracle::link(&mut guest, "bond0");
        assert_eq!(bond["linkinfo"]["info_data"]["mode"], *mode, "{commands:#?}");
        assert_eq!(bond["ifindex"], index);
        assert_eq!(addresses_and_routes(&mut guest), before, "{mode}: {commands:#?}");
    }
}

#[test]
fn members_move_between_bonds() {
    let mut guest = machine();
    guest.ok("set -e
        ip link add bond0 type bond mode active-backup miimon 100
        ip link add bond1 type bond mode balance-xor miimon 100
        for nic in eth0 eth1; do ip link set $nic master bond0; done
        for nic in eth2 eth3; do ip link set $nic master bond1; done
        ip link set bond0 up; ip link set bond1 up
        ip address add 192.0.2.1/24 dev bond0; ip address add 198.51.100.1/24 dev bond1");
    guest.until("[ \"$(cat /sys/class/net/eth0/carrier /sys/class/net/eth3/carrier | tr -d '\\n')\" = 11 ]");
    let stay = ["bond0", "bond1", "eth0", "eth3"];
    let before = identities(&mut guest, &["eth0", "eth3"]);
    let indexes = |guest: &mut Guest| stay.map(|name| oracle::link(guest, name)["ifindex"].clone());
    let index = indexes(&mut guest);
    let text = |first: &str, second: &str| {
        format!(
            "  bonds:
    bond0: {{interfaces: [{first}], parameters: {{mode: active-backup, mii-monitor-interval: 100}},
      addresses: [192.0.2.1/24]}}
    bond1: {{interfaces: [{second}], parameters: {{mode: balance-xor, mii-monitor-interval: 100}},
      addresses: [198.51.100.1/24]}}"
        )
    };
    // One moves, then two change places; the remaining ones are untouched.
    for (first, second) in
        [(&["eth0"][..], &["eth1", "eth2", "eth3"][..]), (&["eth0", "eth2"], &["eth1", "eth3"])]
    {
        let commands = applied(&mut guest, &text(&first.join(", "), &second.join(", ")));
        assert_eq!(oracle::ports(&mut guest, "bond0"), first);
        assert_eq!(oracle::ports(&mut guest, "bond1"), second);
        let touched = |name: &str| commands.iter().any(|c| c.split(' ').any(|word| word == name));
        assert!(stay.iter().all(|name| !touched(name) || name.starts_with("bond")), "{commands:#?}");
        assert_eq!(identities(&mut guest, &["eth0", "eth3"]), before, "{commands:#?}");
    }
    // All change places, and both bonds keep their indexes and addresses.
    applied(&mut guest, &text("eth1, eth3", "eth0, eth2"));
    assert_eq!(oracle::ports(&mut guest, "bond0"), ["eth1", "eth3"]);
    assert_eq!(oracle::ports(&mut guest, "bond1"), ["eth0", "eth2"]);
    assert_eq!(indexes(&mut guest), index);
    assert_eq!(oracle::addresses(&mut guest, "bond0"), ["192.0.2.1/24"]);
    assert_eq!(oracle::addresses(&mut guest, "bond1"), ["198.51.100.1/24"]);
}

/// The root file system comes over VLAN 100 of the bond, by a route; the description matches the existing state, with
/// much else present. The kernel notifies every change of a link, an address or a route: there is no notification of
/// these.
#[test]
fn links_below_the_root_file_system_are_untouched() {
    let mut guest = machine();
    guest.ok(BOND);
    guest.ok("ip route add 10.9.0.0/16 via 203.0.113.254 dev bond0.100 proto static
        ip link set bond0.100 up; ip link del bond0.50
        ip link set eth2 up; ip link set eth3 up");
    // At rest: the bond notifies once more when its members are up.
    guest.until("[ \"$(cat /sys/class/net/bond0.100/operstate)\" = up ]");
    let root = "  bonds:
    bond0:
      interfaces: [eth0, eth1]
      macaddress: '02:00:00:00:03:00'
      mtu: 9000
      parameters: {mode: active-backup, mii-monitor-interval: 100}
      addresses: [192.0.2.1/24, '2001:db8::1/64']
      routes: [{to: default, via: 192.0.2.254}]
  vlans:
    bond0.100: {id: 100, link: bond0, addresses: [203.0.113.1/24], routes: [{to: 10.9.0.0/16, via: 203.0.113.254}]}";
    assert_eq!(applied(&mut guest, root), Vec::<String>::new());
    let links = ["eth0", "eth1", "bond0", "bond0.100"];
    let before = identities(&mut guest, &links);
    // A marker shows that the monitor listens, and another that it has received everything.
    guest.ok("ip -o monitor link address route rule >/tmp/heard 2>&1 & echo $! >/tmp/monitor
        for i in $(seq 300); do
            ip link add begin type dummy; ip link del begin
            grep -q begin /tmp/heard && exit 0; sleep 0.1
        done; exit 1");
    let more = format!(
        "{root}
    bond0.7: {{id: 7, link: bond0, addresses: [10.7.0.1/24], routes: [{{to: 10.77.0.0/16, via: 10.7.0.254}}]}}
  bridges:
    br0: {{interfaces: [eth2], addresses: [10.8.0.1/24], mtu: 1400}}"
    );
    let commands = applied(&mut guest, &more);
    assert!(commands.len() > 5, "{commands:#?}");
    guest.until("[ \"$(cat /sys/class/net/br0/operstate)\" = up ]");
    guest.ok("ip link add between type dummy");
    guest.until("grep -q between /tmp/heard");
    guest.ok("netapply apply --no-verify --handoff none /tmp/netplan.yaml; ip link add end type dummy");
    guest.until("grep -q end /tmp/heard");
    let heard = guest.ok("kill $(cat /tmp/monitor); cat /tmp/heard");
    assert_eq!(identities(&mut guest, &links), before, "{heard}");
    let (first, second) = heard.split_once("between:").expect("the marker");
    let is_about = |line: &&str| {
        let words: Vec<&str> = line.split([' ', ':', '@', '\\']).collect();
        links.iter().any(|link| words.contains(link)) && !words.contains(&"bond0.7")
    };
    // The kernel notifies of a link again when something is added on top of it: it is unchanged.
    let is_as_it_was =
        |line: &&str| line.contains("bond0: <BROADCAST,MULTICAST,MASTER,UP,LOWER_UP> mtu 9000 ");
    let disturbed: Vec<&str> = first.lines().filter(is_about).filter(|line| !is_as_it_was(line)).collect();
    assert_eq!(disturbed, Vec::<&str>::new(), "{heard}");
    // A second run changes nothing at all.
    let changes: Vec<&str> = second.lines().skip(1).filter(|line| !line.contains(" end: ")).collect();
    assert_eq!(changes, Vec::<&str>::new(), "{heard}");
}

/// As shown by bridge(8): `eth0 1u 2-4`, with `u` for pvid and untagged.
fn bridge_vlans(guest: &mut Guest) -> Vec<String> {
    let shown = guest.json("bridge -j -compressvlans vlan show");
    let entry = |vlan: &Value| {
        let last = vlan["vlanEnd"].as_u64().map(|end| format!("-{end}")).unwrap_or_default();
        let flags: Vec<&str> =
            vlan["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let flags = match flags[..] {
            [] => "",
            ["PVID", "Egress Untagged"] => "u",
            _ => "?",
        };
        format!(" {}{last}{flags}", vlan["vlan"])
    };
    let line = |link: &Value| {
        let vlans: String = link["vlans"].as_array().into_iter().flatten().map(entry).collect();
        format!("{}{vlans}", link["ifname"].as_str().unwrap_or_default())
    };
    shown.as_array().into_iter().flatten().map(line).collect()
}

/// The tables are those that ifupdown2 gives its ports. A bridge without filtering yet gets its ports' VLANs first, and
/// what somebody else added to it stays.
#[test]
fn a_bridge_gets_the_vlans_of_its_ports_in_place() {
    const BEFORE: &str = "set -e
        ip link add br0 type bridge
        for nic in eth0 eth1 eth2; do ip link set $nic master br0; done
        ip link set br0 up
        bridge vlan add dev eth0 vid 3
        bridge vlan add dev eth0 vid 9 pvid untagged
        bridge vlan add dev eth2 vid 700";
    const TEXT: &str = "auto br0
iface br0 inet static
    address 192.0.2.10/24
    bridge-ports eth0 eth1
    bridge-vlan-aware yes
    bridge-vids 2-5 100
iface eth1 inet manual
    bridge-access 30
auto br0.20
iface br0.20 inet static
    address 198.51.100.10/24
";
    let mut guest = machine();
    guest.ok(BEFORE);
    let index = oracle::link(&mut guest, "br0")["ifindex"].clone();
    guest.ok(&format!("cat >/tmp/interfaces <<'END'\n{TEXT}\nEND"));
    let plan = guest.ok("netapply --dry-run --format sh /tmp/interfaces");
    guest.ok("netapply apply --no-verify --handoff none /tmp/interfaces");
    assert_eq!(
        bridge_vlans(&mut guest),
        ["eth0 1u 2-5 100", "eth1 30u", "eth2 1u 700", "br0 1u 20"],
        "after {plan}"
    );
    let link = oracle::link(&mut guest, "br0");
    assert_eq!((&link["ifindex"], &link["linkinfo"]["info_data"]["vlan_filtering"]), (&index, &1.into()));
    let last = plan.lines().position(|line| line.contains("vlan_filtering 1")).expect("it is turned on");
    assert!(plan.lines().skip(last).all(|line| !line.starts_with("bridge vlan")), "{plan}");
    let again = guest.json("netapply --dry-run --json /tmp/interfaces");
    assert_eq!(again["steps"], serde_json::json!([]));
}
