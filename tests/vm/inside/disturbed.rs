//! Disturbed runs on a whole kernel: bonds, VLANs, a VRF, tunnels, and links on top of them. See harness::disturb.

use std::fs;
use std::ops::Range;

use harness::disturb::{Case, killed_at_every_step, lost_at_every_step, program, refused_at_every_step};

static BONDS: Case = Case {
    machine: &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:01:01",
        "link add eth1 address 02:00:00:00:00:02 type veth peer name peer1 address 02:00:00:00:01:02",
        "link add eth2 address 02:00:00:00:00:03 type veth peer name peer2 address 02:00:00:00:01:03",
        "link add eth3 address 02:00:00:00:00:04 type veth peer name peer3 address 02:00:00:00:01:04",
        "link set peer0 up",
        "link set peer1 up",
        "link set peer2 up",
        "link set peer3 up",
        // A bond in another mode, with a member that should leave it, and links on top of it.
        "link add bond0 address 02:00:00:00:03:00 type bond mode active-backup miimon 200 fail_over_mac none",
        "link set eth0 master bond0",
        "link set eth1 master bond0",
        "link set bond0 up",
        "link add link bond0 name bond0.50 type vlan id 50",
        "link set bond0.50 mtu 1400",
        "link set bond0.50 up",
        "link add link bond0 name bond0.100 type vlan id 100",
        "link set bond0.100 up",
        // Another bond, with a member that should join.
        "link add bond1 address 02:00:00:00:03:01 type bond mode balance-xor miimon 100",
        "link set eth2 master bond1",
        "link set bond1 up",
        "link add br0 address 02:00:00:00:02:00 type bridge forward_delay 700",
        "link set bond0.100 master br0",
        "link set br0 up",
        "link set eth3 up",
        "address add 192.0.2.1/24 broadcast 192.0.2.255 dev bond0",
        "address add 2001:db8::1/64 dev bond0",
        "address add 198.51.100.5/24 dev bond0.50",
        "address add 2001:db8:5::5/64 dev bond0.50",
        "address add 2001:db8:90::1/64 dev bond0.50 noprefixroute nodad",
        "address add 2001:db8:91::1/64 dev bond0.50 metric 77",
        "address add 203.0.113.7/24 dev br0",
        "address add 10.3.0.1/24 dev eth3",
        "address add 10.3.0.2/24 dev eth3",
        "address add 2001:db8:33::3/64 dev eth3",
        "route add default via 192.0.2.254 dev bond0 proto static",
        "route add 10.5.0.0/16 via 198.51.100.1 dev bond0.50",
        "route add 10.4.0.0/16 nexthop via 198.51.100.1 weight 2 nexthop via 198.51.100.2",
        "route add 2001:db8:44::/48 nexthop via 2001:db8:5::1 weight 2 nexthop via 2001:db8:5::2",
        "route add 2001:db8:55::/48 via 2001:db8:5::1 dev bond0.50",
        "route add default via 2001:db8::fe dev bond0 metric 7",
        "route add 10.6.0.0/16 via 10.3.0.254 dev eth3 metric 3 mtu 1300",
        "route add 10.7.0.0/16 via 203.0.113.254 dev br0 table 700",
        "rule add from 198.51.100.0/24 table 700 priority 700",
        "rule add from 192.0.2.0/24 table 700 priority 701 protocol static",
    ],
    shell: "",
    sysctls: &[("net/ipv6/conf/bond0/accept_ra", "0"), ("net/ipv6/conf/bond0.50/use_tempaddr", "1")],
    text: "network:
  version: 2
  ethernets:
    one: {match: {macaddress: '02:00:00:00:00:01'}}
    three: {match: {macaddress: '02:00:00:00:00:03'}}
    four:
      match: {macaddress: '02:00:00:00:00:04'}
      set-name: lan0
      addresses: [10.3.0.2/24, '2001:db8:33::3/56']
      routes: [{to: 10.6.0.0/16, via: 10.3.0.254, metric: 4}]
  bonds:
    bond0:
      interfaces: [one, three]
      macaddress: '02:00:00:00:03:10'
      mtu: 9000
      accept-ra: true
      parameters: {mode: 802.3ad, mii-monitor-interval: 100, lacp-rate: fast, transmit-hash-policy: layer3+4}
      addresses: [192.0.2.1/25, '2001:db8::1/64']
      routes:
        - {to: default, via: 192.0.2.126}
        - {to: '::/0', via: '2001:db8::fe'}
  bridges:
    br0:
      interfaces: [bond0.100]
      macaddress: '02:00:00:00:02:01'
      parameters: {stp: false, priority: 8192, path-cost: {bond0.100: 44}}
      addresses: [203.0.113.7/25]
  vlans:
    bond0.100: {id: 100, link: bond0}
    bond0.200: {id: 200, link: bond0, mtu: 1500, addresses: [10.200.0.1/24, '2001:db8:200::1/64']}
  vrfs:
    red: {table: 700, interfaces: [bond0.200], routes: [{to: default, via: 10.200.0.254}]}
  tunnels:
    gre1: {mode: gre, local: 192.0.2.1, remote: 192.0.2.9, ttl: 9, addresses: [10.99.0.1/30]}
  dummy-devices:
    dum0: {addresses: [10.98.0.1/32], routes: [{to: 10.97.0.0/16, scope: link}]}
",
};

/// A WireGuard link with keys and peers of its own, which the description changes.
static WIREGUARD: Case = Case {
    machine: &[
        "link add wg0 mtu 1400 type wireguard",
        "address add 10.9.0.1/24 dev wg0",
        "link set wg0 up",
        "route add 10.10.0.0/16 dev wg0",
        "link add wg1 type wireguard",
        "link set wg1 up",
    ],
    shell: "
        echo QO1hYkWLQ5yxTbs1P0bFUNYnMTbZ3aFQXvhxX6lPXEE= >/run/old
        echo FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE= >/run/shared
        wg set wg0 private-key /run/old listen-port 51900 fwmark 0x77 \
            peer xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= preshared-key /run/shared \
                endpoint 192.0.2.7:51820 persistent-keepalive 25 allowed-ips 10.9.0.2/32,2001:db8:9::/48 \
            peer TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0= allowed-ips 10.9.0.3/32",
    sysctls: &[],
    text: "network:
  version: 2
  tunnels:
    wg0:
      mode: wireguard
      mtu: 1380
      addresses: [10.9.0.1/25]
      key: /run/shared
      port: 51901
      peers:
        - keys: {public: 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0='}
          allowed-ips: [10.9.0.0/16]
          endpoint: 192.0.2.8:51820
    wg1:
      mode: wireguard
      port: 51902
      key: 'QO1hYkWLQ5yxTbs1P0bFUNYnMTbZ3aFQXvhxX6lPXEE='
      peers: [{keys: {public: 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='}, allowed-ips: [10.8.0.0/16]}]
    wg2:
      mode: wireguard
      port: 51903
      key: 'QO1hYkWLQ5yxTbs1P0bFUNYnMTbZ3aFQXvhxX6lPXEE='
      peers: [{keys: {public: 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='}, allowed-ips: [10.7.0.0/16]}]
",
};

/// A bridge with VLAN filtering: a port that stays, one that joins, and one that moves to another bridge.
static BRIDGES: Case = Case {
    machine: &[
        "link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:01:01",
        "link add eth1 address 02:00:00:00:00:02 type veth peer name peer1 address 02:00:00:00:01:02",
        "link add eth2 address 02:00:00:00:00:03 type veth peer name peer2 address 02:00:00:00:01:03",
        "link add br0 address 02:00:00:00:02:00 type bridge vlan_filtering 1",
        "link add br1 address 02:00:00:00:02:01 type bridge",
        // A bridge that had a port keeps another `tso_max_size` than one that never had (`br_set_gso_limits`).
        "link set eth2 master br1",
        "link set eth2 nomaster",
        "link set eth0 master br0",
        "link set eth1 master br0",
        "link set eth0 up",
        "link set eth1 up",
        "link set eth2 up",
        "link set br0 up",
        "link set br1 up",
    ],
    shell: "
        bridge vlan add dev eth0 vid 100 pvid untagged
        bridge vlan add dev eth0 vid 10-19
        bridge vlan add dev eth1 vid 20 untagged
        bridge vlan del dev eth1 vid 1
        bridge vlan add dev br0 vid 10 self",
    sysctls: &[],
    text: "iface eth1 inet manual
    bridge-access 7
auto br0
iface br0 inet manual
    hwaddress 02:00:00:00:02:00
    bridge-ports eth0 eth2
    bridge-vlan-aware yes
    bridge-vids 15-30
    bridge-pvid 5
auto br1
iface br1 inet manual
    hwaddress 02:00:00:00:02:01
    bridge-ports eth1
    bridge-vlan-aware yes
auto br0.11
iface br0.11 inet static
    address 192.0.2.1/24
",
};

/// Which steps: FIRST and END are in a file, and `no more` if the plan ends before.
fn some(disturb: impl Fn(Range<usize>) -> bool) {
    let steps = fs::read_to_string("/tmp/steps").expect("/tmp/steps");
    let numbers: Vec<usize> = steps.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    if !disturb(numbers[0]..numbers[1]) {
        fs::write("/tmp/steps", "no more").expect("/tmp/steps");
    }
}

#[test]
#[ignore = "runs inside a guest"]
fn refused() {
    some(|steps| refused_at_every_step(&BONDS, &program(), steps));
}

#[test]
#[ignore = "runs inside a guest"]
fn lost() {
    some(|steps| lost_at_every_step(&BONDS, &program(), steps));
}

#[test]
#[ignore = "runs inside a guest"]
fn bridges_refused() {
    some(|steps| refused_at_every_step(&BRIDGES, &program(), steps));
}

#[test]
#[ignore = "runs inside a guest"]
fn bridges_killed() {
    some(|steps| killed_at_every_step(&BRIDGES, &program(), steps));
}

#[test]
#[ignore = "runs inside a guest"]
fn wireguard_refused() {
    some(|steps| refused_at_every_step(&WIREGUARD, &program(), steps));
}

#[test]
#[ignore = "runs inside a guest"]
fn wireguard_killed() {
    some(|steps| killed_at_every_step(&WIREGUARD, &program(), steps));
}

#[test]
#[ignore = "runs inside a guest"]
fn killed() {
    some(|steps| killed_at_every_step(&BONDS, &program(), steps));
}
