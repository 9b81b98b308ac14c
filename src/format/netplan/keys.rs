//! The support of every key of netplan. A test checks that each has a golden case.
//!
//! Sections that netapply refuses as a whole (`wifis`, …) are one row each: their content is not checked.

use crate::format::keys::{Key, Object, Support, key};

use super::options::{BOND, BRIDGE, VXLAN, keys_of};
use Support::{Applied, Deprecated, LeftToOthers, NoEffect, Unsupported};

/// Every kind of mapping, for the reference.
#[allow(dead_code)] // docs and tests walk it
pub(in crate::format) static OBJECTS: &[&Object] = &[
    &ROOT,
    &NETWORK,
    &ETHERNET,
    &BOND_LINK,
    &BRIDGE_LINK,
    &VLAN,
    &VRF,
    &DUMMY,
    &VETH,
    &TUNNEL,
    &MATCH,
    &NAMESERVERS,
    &ADDRESS,
    &ROUTE,
    &RULE,
    &DHCP_OVERRIDES,
    &RA_OVERRIDES,
    &BOND_PARAMETERS,
    &BRIDGE_PARAMETERS,
    &TUNNEL_KEYS,
    &PEER,
    &PEER_KEYS,
];

/// VMware's metadata contains the description next to what cloud-init needs to know about the machine.
pub(super) static ROOT: Object = Object {
    name: "the file",
    keys: &[
        key("network", Applied, "the description; may be left out"),
        key("instance-id", NoEffect, "it is for cloud-init"),
        key("local-hostname", NoEffect, "it is for cloud-init"),
        key("hostname", NoEffect, "it is for cloud-init"),
        key("wait-on-network", NoEffect, "it is for cloud-init"),
        key("redact", NoEffect, "it is for cloud-init"),
        key("cleanup-guestinfo", NoEffect, "it is for cloud-init"),
        key("network-drivers", NoEffect, "it is for cloud-init"),
    ],
};

pub(super) static NETWORK: Object = Object {
    name: "network",
    keys: &[
        key("version", Applied, "must be 2"),
        key("renderer", NoEffect, "netapply configures the kernel itself"),
        key("ethernets", Applied, "NICs of the machine"),
        key("bonds", Applied, "links made of several"),
        key("bridges", Applied, "switches in software"),
        key("vlans", Applied, "802.1Q VLANs on another link"),
        key("vrfs", Applied, "links with a routing table of their own"),
        key("tunnels", Applied, "tunnels, VXLAN, WireGuard"),
        key("dummy-devices", Applied, "links without hardware"),
        key("virtual-ethernets", Applied, "veth pairs"),
        key("wifis", Unsupported, "Wi-Fi needs a supplicant, which an early boot does not have"),
        key("modems", Unsupported, "a modem needs ModemManager"),
        key("nm-devices", Unsupported, "only NetworkManager can make these links"),
        key("openvswitch", Unsupported, "Open vSwitch needs its daemons and database"),
    ],
};

/// Keys that every link has.
const COMMON: &[Key] = &[
    key("accept-ra", Applied, "accept router advertisements"),
    key("activation-mode", Applied, "manual: not brought up; off: taken down"),
    key("addresses", Applied, "addresses with their prefix length"),
    key("critical", NoEffect, "netapply does not take the network down when it exits"),
    key("dhcp-identifier", Applied, "how DHCP identifies the link to the server: mac or duid"),
    key("dhcp4", Applied, "IPv4 by DHCP, from the image's client or netapply's own"),
    key("dhcp4-overrides", Applied, "what a DHCP request contains, and which parts of the answer are used"),
    key("dhcp6", Applied, "IPv6 by DHCPv6, from the image's client or netapply's own"),
    key("dhcp6-overrides", Applied, "as dhcp4-overrides: the same for both families if both are on"),
    key("gateway4", Deprecated, "write a route to default"),
    key("gateway6", Deprecated, "write a route to default"),
    key("hairpin", Applied, "as a bridge's port: send packets back through the port that they came in by"),
    key("ignore-carrier", Applied, "usable without carrier"),
    key(
        "ipv6-address-generation",
        Applied,
        "eui64, or stable-privacy: RFC 7217 with a secret derived from the machine id, or from the MAC address if the machine id changes at each boot",
    ),
    key("ipv6-address-token", Applied, "lower half of addresses from router advertisements"),
    key("ipv6-mtu", Applied, "MTU for IPv6 alone; set once the link has carrier, after at most 10 s"),
    key("ipv6-privacy", Applied, "prefer temporary addresses"),
    key("link-local", Applied, "families with a link-local address"),
    key(
        "macaddress",
        Applied,
        "the MAC address of the link; random: a new one at each boot, unless the kernel has chosen one (networkd's MACAddressPolicy=random)",
    ),
    key("mtu", Applied, "MTU in bytes"),
    key("nameservers", Applied, "name servers and search domains"),
    key("neigh-suppress", Applied, "as a bridge's port: answer ARP and neighbour discovery for others"),
    key("networkmanager", NoEffect, "it is for NetworkManager"),
    key("openvswitch", Unsupported, "Open vSwitch needs its daemons and database"),
    key("optional", Applied, "the boot does not wait for it"),
    key("optional-addresses", NoEffect, "netapply waits for links, not for families of addresses"),
    key("port-mac-learning", Applied, "as a bridge's port: learn MAC addresses"),
    key(
        "ra-overrides",
        Applied,
        "which parts of router advertisements are used: name servers and domains by netapply, the rest by the kernel",
    ),
    key("renderer", NoEffect, "netapply configures the kernel itself"),
    key("routes", Applied, "routes through the link"),
    key("routing-policy", Applied, "rules that select a routing table"),
];

/// Keys of NICs.
const PHYSICAL: &[Key] = &[
    key("auth", Unsupported, "802.1X needs a supplicant, which an early boot does not have"),
    key("delay-virtual-functions-rebind", LeftToOthers, "it is for netplan's SR-IOV tools"),
    key("embedded-switch-mode", LeftToOthers, "it is for netplan's SR-IOV tools"),
    key("emit-lldp", NoEffect, "LLDP needs a daemon"),
    key("generic-receive-offload", Applied, "ethtool's rx-gro"),
    key("generic-segmentation-offload", Applied, "ethtool's tx-generic-segmentation"),
    key("infiniband-mode", Applied, "datagram or connected"),
    key("large-receive-offload", Applied, "ethtool's rx-lro"),
    key("link", LeftToOthers, "the NIC is a virtual function, made by netplan's SR-IOV tools"),
    key("match", Applied, "which NIC to match"),
    key("receive-checksum-offload", Applied, "ethtool's rx-checksum"),
    key("set-name", Applied, "the new name of the NIC"),
    key("tcp-segmentation-offload", Applied, "ethtool's tx-tcp-segmentation"),
    key("tcp6-segmentation-offload", Applied, "ethtool's tx-tcp6-segmentation"),
    key("transmit-checksum-offload", Applied, "ethtool's tx-checksumming"),
    key("virtual-function-count", LeftToOthers, "it is for netplan's SR-IOV tools"),
    key("wakeonlan", Applied, "wake up by a magic packet"),
    key("wakeonwlan", NoEffect, "it is for Wi-Fi"),
];

/// Concatenates `a` and `b`, for a table.
const fn joined<const N: usize>(a: &[Key], b: &[Key]) -> [Key; N] {
    let mut all = [key("", Applied, ""); N];
    let mut i = 0;
    while i < N {
        all[i] = if i < a.len() { a[i] } else { b[i - a.len()] };
        i += 1;
    }
    all
}

macro_rules! link {
    ($name:literal, $own:expr) => {
        Object { name: $name, keys: &joined::<{ COMMON.len() + $own.len() }>(COMMON, $own) }
    };
}

const MEMBERS: &[Key] =
    &[key("interfaces", Applied, "ids of its members"), key("parameters", Applied, "its options")];

pub(super) static ETHERNET: Object = link!("an entry of ethernets", PHYSICAL);
pub(super) static BOND_LINK: Object = link!("an entry of bonds", MEMBERS);
pub(super) static BRIDGE_LINK: Object = link!("an entry of bridges", MEMBERS);
pub(super) static DUMMY: Object = link!("an entry of dummy-devices", &[] as &[Key]);

const VLAN_KEYS: &[Key] =
    &[key("id", Applied, "0 to 4094"), key("link", Applied, "id of the link that it is on")];
pub(super) static VLAN: Object = link!("an entry of vlans", VLAN_KEYS);

const VRF_KEYS: &[Key] =
    &[key("interfaces", Applied, "ids of its members"), key("table", Applied, "its routing table")];
pub(super) static VRF: Object = link!("an entry of vrfs", VRF_KEYS);

const VETH_KEYS: &[Key] = &[key("peer", Applied, "id of the other end")];
pub(super) static VETH: Object = link!("an entry of virtual-ethernets", VETH_KEYS);

const TUNNEL_ONLY: &[Key] = &[
    key("key", Applied, "GRE or VTI key, or WireGuard's private key"),
    key("keys", Applied, "the same; or input, output and private one by one"),
    key("link", Applied, "VXLAN: id of the link that it is on"),
    key("local", Applied, "address of this end"),
    key("mark", Applied, "WireGuard: firewall mark"),
    key("mode", Applied, "kind of tunnel"),
    key("peers", Applied, "WireGuard: the other ends"),
    key("remote", Applied, "address of the other end, or a group's"),
    key("ttl", Applied, "time to live of the outer packets"),
];
const VXLAN_KEYS: [Key; VXLAN.len()] = keys_of(VXLAN);
const TUNNEL_KEYS_ALL: [Key; TUNNEL_ONLY.len() + VXLAN_KEYS.len()] = joined(TUNNEL_ONLY, &VXLAN_KEYS);
pub(super) static TUNNEL: Object = link!("an entry of tunnels", &TUNNEL_KEYS_ALL);

const BOND_KEYS: [Key; BOND.len()] = keys_of(BOND);
pub(super) static BOND_PARAMETERS: Object = Object { name: "a bond's parameters", keys: &BOND_KEYS };

const BRIDGE_ONLY: &[Key] = &[
    key("path-cost", Applied, "cost of each port, by id"),
    key("port-priority", Applied, "priority of each port, by id, 0 to 63"),
    key("stp", Applied, "spanning tree; on where there are parameters, else off"),
];
const BRIDGE_OPTIONS: [Key; BRIDGE.len()] = keys_of(BRIDGE);
const BRIDGE_KEYS: [Key; BRIDGE_ONLY.len() + BRIDGE.len()] = joined(BRIDGE_ONLY, &BRIDGE_OPTIONS);
pub(super) static BRIDGE_PARAMETERS: Object = Object { name: "a bridge's parameters", keys: &BRIDGE_KEYS };

pub(super) static MATCH: Object = Object {
    name: "match",
    keys: &[
        key("driver", Applied, "driver, or one of a list; shell patterns"),
        key("macaddress", Applied, "permanent MAC address"),
        key("name", Applied, "kernel's name; a shell pattern"),
    ],
};

pub(super) static NAMESERVERS: Object = Object {
    name: "nameservers",
    keys: &[key("addresses", Applied, "name servers"), key("search", Applied, "search domains")],
};

pub(super) static ADDRESS: Object = Object {
    name: "an address's options",
    keys: &[
        key("label", Applied, "IPv4 label, at most 15 bytes"),
        key("lifetime", Applied, "0 (not preferred as a source) or forever"),
    ],
};

pub(super) static ROUTE: Object = Object {
    name: "an entry of routes",
    keys: &[
        key("advertised-mss", Applied, "segment size to advertise, bytes"),
        key("advertised-receive-window", Applied, "initial receive window, segments"),
        key("congestion-window", Applied, "initial congestion window, segments"),
        key("from", Applied, "preferred source address"),
        key("metric", Applied, "priority, the lowest takes precedence"),
        key("mtu", Applied, "path MTU in bytes"),
        key("on-link", Applied, "the gateway is on the link, whatever the subnets say"),
        key("scope", Applied, "global, link or host; IPv4 only"),
        key("table", Applied, "routing table"),
        key("to", Applied, "destination, or default"),
        key("type", Applied, "unicast, blackhole, …"),
        key("via", Applied, "gateway"),
    ],
};

pub(super) static RULE: Object = Object {
    name: "an entry of routing-policy",
    keys: &[
        key("from", Applied, "source prefix"),
        key("mark", Applied, "firewall mark"),
        key("priority", Applied, "rules with lower values come first"),
        key("table", Applied, "the table to look up"),
        key("to", Applied, "destination prefix"),
        key("type-of-service", Applied, "0 to 255"),
    ],
};

/// The support of the mapping as a whole is reported when its keys are read.
pub(super) static DHCP_OVERRIDES: Object = Object {
    name: "DHCP overrides",
    keys: &[
        key("hostname", Applied, "the name to send"),
        key("route-metric", Applied, "metric of the routes that it gets"),
        key("send-hostname", Applied, "send a name"),
        key("use-dns", Applied, "take name servers"),
        key("use-domains", Applied, "take search domains"),
        key("use-hostname", Applied, "take the host's name"),
        key("use-mtu", Applied, "take the MTU"),
        key("use-ntp", Applied, "take time servers, for systemd-timesyncd or chrony"),
        key("use-routes", Applied, "take routes"),
    ],
};

pub(super) static RA_OVERRIDES: Object = Object {
    name: "ra-overrides",
    keys: &[
        key(
            "table",
            NoEffect,
            "the kernel puts the routes into the main table, or into that of the link's VRF",
        ),
        key("use-dns", Applied, "take name servers"),
        key("use-domains", Applied, "take search domains"),
    ],
};

pub(super) static TUNNEL_KEYS: Object = Object {
    name: "a tunnel's keys",
    keys: &[
        key("input", Applied, "key of received packets"),
        key("output", Applied, "key of sent packets"),
        key("private", Applied, "WireGuard's private key, base64 or a path"),
        key("private-key-flags", NoEffect, "it is for NetworkManager"),
    ],
};

pub(super) static PEER: Object = Object {
    name: "an entry of peers",
    keys: &[
        key("allowed-ips", Applied, "prefixes that the peer may send from"),
        key("endpoint", Applied, "its address and port"),
        key("keepalive", Applied, "seconds between keepalives, 0 is none"),
        key("keys", Applied, "its keys"),
    ],
};

pub(super) static PEER_KEYS: Object = Object {
    name: "a peer's keys",
    keys: &[
        key("public", Applied, "its public key, base64"),
        key("shared", Applied, "a key that both share, base64 or a path"),
    ],
};
