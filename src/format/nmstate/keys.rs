//! Every key of nmstate 2, and its support. A test checks that each has a golden case.

use crate::format::keys::Support::{Applied, NoEffect, Unsupported};
use crate::format::keys::{Key, Object, key};

#[cfg(test)] // the reference and a test walk it
pub(in crate::format) const OBJECTS: &[&Object] = &[
    &TOP,
    &INTERFACE,
    &ALT_NAME,
    &IPV4,
    &IPV6,
    &ADDRESS,
    &BOND,
    &BOND_OPTIONS,
    &BOND_PORT,
    &BRIDGE,
    &BRIDGE_OPTIONS,
    &STP,
    &BRIDGE_PORT,
    &PORT_VLAN,
    &TRUNK_TAG,
    &RANGE,
    &VLAN,
    &VRF,
    &VXLAN,
    &VETH,
    &MACVLAN,
    &INFINIBAND,
    &TUNNEL,
    &ETHERNET,
    &ETHTOOL,
    &RING,
    &COALESCE,
    &PAUSE,
    &ROUTES,
    &ROUTE,
    &RULES,
    &RULE,
    &DNS,
    &RESOLVER,
    &HOST_NAME,
];

const OVS: &str = "Open vSwitch needs its daemons and database";
const QUERY: &str = "it is what nmstate shows of a machine";
const CURRENT: &str = "it is the state of a machine, not what is desired";

pub(super) static TOP: Object = Object {
    name: "the state",
    keys: &[
        key("interfaces", Applied, "the links"),
        key("routes", Applied, "routes of all links"),
        key("route-rules", Applied, "rules that select a routing table"),
        key("dns-resolver", Applied, "name servers and search domains of the machine"),
        key("hostname", Applied, "the machine's name"),
        key("description", NoEffect, "it is for people"),
        key(
            "capture",
            Unsupported,
            "policies are evaluated by nmstate alone: write the state that they give",
        ),
        key("desired", Unsupported, "of a policy: write this state by itself"),
        key("desiredState", Unsupported, "of a policy: write this state by itself"),
        key("ovs-db", Unsupported, OVS),
        key("ovn", Unsupported, OVS),
    ],
};

pub(super) static INTERFACE: Object = Object {
    name: "interfaces[]",
    keys: &[
        key("name", Applied, "interface name; with another identifier the link's id alone"),
        key(
            "type",
            Applied,
            "ethernet, bond, vlan, linux-bridge, vrf, vxlan, dummy, veth, mac-vlan, infiniband, ip-tunnel, loopback",
        ),
        key("state", Applied, "up, down (not brought up); absent and ignore: not described"),
        key("identifier", Applied, "what the NIC is matched by: name, mac-address or pci-address"),
        key("mac-address", Applied, "the MAC address of the link, or by which its NIC is matched"),
        key("pci-address", Applied, "PCI address by which the NIC is matched"),
        key("alt-names", Applied, "alternative names to add; of a NIC the first"),
        key("mtu", Applied, "MTU in bytes"),
        key("min-mtu", NoEffect, QUERY),
        key("max-mtu", NoEffect, QUERY),
        key("ipv4", Applied, "IPv4 addresses and DHCP"),
        key("ipv6", Applied, "IPv6 addresses, DHCPv6 and router advertisements"),
        key("wait-ip", NoEffect, "netapply waits for links, not for families of addresses"),
        key("controller", Applied, "the bond, bridge or VRF that the link is a member of"),
        key("copy-mac-from", Applied, "the link whose MAC address it takes"),
        key("link-aggregation", Applied, "settings of a bond"),
        key("bridge", Applied, "settings of a bridge"),
        key("vlan", Applied, "settings of a VLAN"),
        key("vrf", Applied, "settings of a VRF"),
        key("vxlan", Applied, "settings of a VXLAN"),
        key("veth", Applied, "settings of a veth pair"),
        key("mac-vlan", Applied, "settings of a macvlan"),
        key("infiniband", Applied, "InfiniBand settings"),
        key("ip-tunnel", Applied, "settings of a tunnel"),
        key("ethernet", Applied, "Ethernet settings"),
        key("ethtool", Applied, "offloads, ring sizes, interrupt coalescing, flow control"),
        key("lldp", NoEffect, "LLDP needs a daemon"),
        key("profile-name", NoEffect, "it is NetworkManager's name of the profile"),
        key("description", NoEffect, "it is for people"),
        key("driver", NoEffect, QUERY),
        key("permanent-mac-address", NoEffect, QUERY),
        key("accept-all-mac-addresses", Applied, "take every frame (promiscuous mode)"),
        key("mptcp", Unsupported, "MPTCP end points are not set up"),
        key("802.1x", Unsupported, "802.1X needs a supplicant, which an early boot does not have"),
        key("ovs-db", Unsupported, OVS),
        key("dispatch", Unsupported, "netapply executes nothing"),
    ],
};

pub(super) static ALT_NAME: Object = Object {
    name: "alt-names[]",
    keys: &[key("name", Applied, "the name"), key("state", Applied, "absent: not described")],
};

/// The keys of both families.
const IP: &[Key] = &[
    key("enabled", Applied, "false: no addresses of the family"),
    key("dhcp", Applied, "addresses by DHCP"),
    key("address", Applied, "static addresses"),
    key("dhcp-send-hostname", Applied, "send a name"),
    key("dhcp-custom-hostname", Applied, "the name to send"),
    key("auto-dns", Applied, "take name servers; of IPv6 left to the image"),
    key("auto-routes", Applied, "take routes; of IPv6 left to the image"),
    key("auto-gateway", Applied, "take the default route: only together with auto-routes"),
    key("auto-route-metric", Applied, "metric of the routes that it gets"),
    key(
        "auto-route-table-id",
        Applied,
        "table of the routes of a DHCPv4 lease; those of IPv6 are in the main one",
    ),
    key("allow-extra-address", NoEffect, "it is for nmstate's own verification"),
    key("forwarding", Applied, "packets that come in by it are forwarded"),
];

const IPV4_ONLY: &[Key] = &[key(
    "dhcp-client-id",
    Applied,
    "ll (by the MAC address), iaid+duid, bytes in hex with colons, or text",
)];
const IPV6_ONLY: &[Key] = &[
    key("autoconf", Applied, "addresses and routes by router advertisements"),
    key("addr-gen-mode", Applied, "eui64 or stable-privacy"),
    key("token", Applied, "lower half of addresses from router advertisements"),
    key("dhcp-duid", Applied, "ll, uuid or bytes in hex with colons; llt is not supported"),
];

const fn joined<const N: usize>(a: &[Key], b: &[Key]) -> [Key; N] {
    let mut all = [key("", Applied, ""); N];
    let mut i = 0;
    while i < N {
        all[i] = if i < a.len() { a[i] } else { b[i - a.len()] };
        i += 1;
    }
    all
}

pub(super) static IPV4: Object =
    Object { name: "ipv4", keys: &joined::<{ IP.len() + IPV4_ONLY.len() }>(IP, IPV4_ONLY) };
pub(super) static IPV6: Object =
    Object { name: "ipv6", keys: &joined::<{ IP.len() + IPV6_ONLY.len() }>(IP, IPV6_ONLY) };

pub(super) static ADDRESS: Object = Object {
    name: "address[]",
    keys: &[
        key("ip", Applied, "the address"),
        key("prefix-length", Applied, "its prefix length"),
        key("valid-life-time", NoEffect, CURRENT),
        key("preferred-life-time", NoEffect, CURRENT),
        key("mptcp-flags", NoEffect, QUERY),
    ],
};

pub(super) static BOND: Object = Object {
    name: "link-aggregation",
    keys: &[
        key("mode", Applied, "mode, by name or number"),
        key("options", Applied, "the bonding driver's options"),
        key("port", Applied, "names of the members"),
        key("ports", Applied, "the same"),
        key("ports-config", Applied, "options of the members; members without port"),
    ],
};

const OPTION: &str = "the bonding driver's option of this name";

pub(crate) static BOND_OPTIONS: Object = Object {
    name: "link-aggregation.options",
    keys: &[
        key("ad_actor_sys_prio", Applied, OPTION),
        key("ad_actor_system", Applied, OPTION),
        key("ad_select", Applied, OPTION),
        key("ad_user_port_key", Applied, OPTION),
        key("all_slaves_active", Applied, "dropped or delivered"),
        key("arp_all_targets", Applied, OPTION),
        key("arp_interval", Applied, OPTION),
        key("arp_ip_target", Applied, OPTION),
        key("arp_missed_max", Applied, OPTION),
        key("arp_validate", Applied, OPTION),
        key("balance-slb", Unsupported, "only Open vSwitch and nftables rules of NetworkManager do this"),
        key("balance_slb", Unsupported, "only Open vSwitch and nftables rules of NetworkManager do this"),
        key("downdelay", Applied, OPTION),
        key("fail_over_mac", Applied, OPTION),
        key("lacp_active", Applied, OPTION),
        key("lacp_rate", Applied, OPTION),
        key("lp_interval", Applied, OPTION),
        key("miimon", Applied, OPTION),
        key("min_links", Applied, OPTION),
        key("ns_ip6_target", Applied, OPTION),
        key("num_grat_arp", Applied, OPTION),
        key("num_unsol_na", Applied, "the bonding driver's num_grat_arp"),
        key("packets_per_slave", Applied, OPTION),
        key("primary", Applied, "the member to prefer"),
        key("primary_reselect", Applied, OPTION),
        key("resend_igmp", Applied, OPTION),
        key("tlb_dynamic_lb", Applied, OPTION),
        key("updelay", Applied, OPTION),
        key("use_carrier", Applied, OPTION),
        key("xmit_hash_policy", Applied, OPTION),
    ],
};

pub(super) static BOND_PORT: Object = Object {
    name: "ports-config[]",
    keys: &[
        key("name", Applied, "the member"),
        key("priority", Applied, "which member is preferred, the highest"),
        key("queue-id", Applied, "its queue"),
    ],
};

pub(super) static BRIDGE: Object = Object {
    name: "bridge",
    keys: &[
        key("options", Applied, "the bridge's options"),
        key("port", Applied, "its ports"),
        key("ports", Applied, "the same"),
    ],
};

const MULTICAST: &str = "as in ip-link(8): times in 1/100 s";

pub(super) static BRIDGE_OPTIONS: Object = Object {
    name: "bridge.options",
    keys: &[
        key("stp", Applied, "spanning tree"),
        key("group-forward-mask", Applied, "link-local groups that are forwarded, as a mask"),
        key("group-fwd-mask", Applied, "the same"),
        key("mac-ageing-time", Applied, "how long a MAC address is kept, seconds"),
        key("multicast-snooping", Applied, "multicast snooping"),
        key("vlan-default-pvid", Applied, "VLAN of untagged frames where a port has none of its own"),
        key("gc-timer", NoEffect, QUERY),
        key("hello-timer", NoEffect, QUERY),
        key("group-addr", Applied, "the group that the spanning tree sends to"),
        key("hash-max", Applied, "most multicast groups"),
        key("multicast-last-member-count", Applied, MULTICAST),
        key("multicast-last-member-interval", Applied, MULTICAST),
        key("multicast-membership-interval", Applied, MULTICAST),
        key("multicast-querier", Applied, MULTICAST),
        key("multicast-querier-interval", Applied, MULTICAST),
        key("multicast-query-interval", Applied, MULTICAST),
        key("multicast-query-response-interval", Applied, MULTICAST),
        key("multicast-query-use-ifaddr", Applied, MULTICAST),
        key("multicast-router", Applied, MULTICAST),
        key("multicast-startup-query-count", Applied, MULTICAST),
        key("multicast-startup-query-interval", Applied, MULTICAST),
        key("vlan-protocol", Applied, "802.1q or 802.1ad"),
    ],
};

pub(super) static STP: Object = Object {
    name: "stp",
    keys: &[
        key("enabled", Applied, "on or off"),
        key("forward-delay", Applied, "seconds"),
        key("hello-time", Applied, "seconds"),
        key("max-age", Applied, "seconds"),
        key("priority", Applied, "0 to 65535"),
    ],
};

pub(super) static BRIDGE_PORT: Object = Object {
    name: "bridge.port[]",
    keys: &[
        key("name", Applied, "the port"),
        key("stp-hairpin-mode", Applied, "send packets back through the port that they came in by"),
        key("stp-path-cost", Applied, "its cost in the spanning tree"),
        key("stp-priority", Applied, "its priority in the spanning tree, 0 to 63"),
        key("vlan", Applied, "the VLANs that it passes; with one such port the bridge filters VLANs"),
    ],
};

pub(super) static PORT_VLAN: Object = Object {
    name: "bridge.port[].vlan",
    keys: &[
        key("mode", Applied, "access or trunk"),
        key("tag", Applied, "the VLAN of untagged frames"),
        key("enable-native", Applied, "a trunk has untagged frames, too"),
        key("trunk-tags", Applied, "the VLANs of a trunk"),
    ],
};

pub(super) static TRUNK_TAG: Object = Object {
    name: "trunk-tags[]",
    keys: &[key("id", Applied, "one VLAN"), key("id-range", Applied, "several")],
};

pub(super) static RANGE: Object =
    Object { name: "id-range", keys: &[key("min", Applied, "the first"), key("max", Applied, "the last")] };

const BASE: Key = key("base-iface", Applied, "the link below it");

pub(super) static VLAN: Object = Object {
    name: "vlan",
    keys: &[
        BASE,
        key("id", Applied, "0 to 4094"),
        key("protocol", Applied, "802.1q or 802.1ad"),
        key("registration-protocol", Applied, "none: no other one"),
        key("reorder-headers", Applied, "true, the kernel's default: false is unsupported"),
        key("loose-binding", Applied, "false, the kernel's default: true is unsupported"),
    ],
};

pub(super) static VRF: Object = Object {
    name: "vrf",
    keys: &[
        key("port", Applied, "names of the members"),
        key("ports", Applied, "the same"),
        key("route-table-id", Applied, "its routing table"),
    ],
};

pub(super) static VXLAN: Object = Object {
    name: "vxlan",
    keys: &[
        BASE,
        key("id", Applied, "its number, 0 to 16777215"),
        key("learning", Applied, "learn MAC addresses"),
        key("local", Applied, "address of this end"),
        key("remote", Applied, "address of the other end, or a group's"),
        key("destination-port", Applied, "UDP port to send to"),
    ],
};

pub(super) static VETH: Object =
    Object { name: "veth", keys: &[key("peer", Applied, "the other end, made if it is not described")] };

pub(super) static MACVLAN: Object = Object {
    name: "mac-vlan",
    keys: &[
        BASE,
        key("mode", Applied, "bridge, vepa, private, passthru or source"),
        key("promiscuous", Applied, "true, the kernel's default: false is unsupported"),
        key("accept-all-mac", Applied, "the same"),
    ],
};

pub(super) static INFINIBAND: Object = Object {
    name: "infiniband",
    keys: &[
        key("mode", Applied, "datagram or connected"),
        key("base-iface", Unsupported, "partitions (P_Key) are not made"),
        key("pkey", Applied, "0xffff, the default: no other one"),
    ],
};

pub(super) static TUNNEL: Object = Object {
    name: "ip-tunnel",
    keys: &[
        BASE,
        key("mode", Applied, "ipip, sit, ip6ip6 or ipip6"),
        key("local", Applied, "address of this end"),
        key("remote", Applied, "address of the other end"),
        key("ttl", Applied, "time to live of the outer packets"),
        key("encap-limit", Applied, "nested tunnels that are allowed"),
        key("tos", Unsupported, "the outer packets have the kernel's type of service"),
        key("flow-label", Unsupported, "the outer packets have no flow label"),
        key("ip6tun-flags", Unsupported, "the kernel's flags stay"),
        key("pmtu-disc", Applied, "true, the kernel's default: false is unsupported"),
        key("fwmark", Unsupported, "the outer packets have no firewall mark"),
    ],
};

pub(super) static ETHERNET: Object = Object {
    name: "ethernet",
    keys: &[
        key("sr-iov", Unsupported, "other tools create virtual functions"),
        key("auto-negotiation", Applied, "false: the speed and duplex given are forced"),
        key("speed", Applied, "Mb/s; with auto-negotiation what is offered"),
        key("duplex", Applied, "full or half"),
    ],
};

const TUNED: &str = "as ethtool sets it";

pub(super) static RING: Object = Object {
    name: "ring",
    keys: &[
        key("rx", Applied, TUNED),
        key("rx-max", NoEffect, QUERY),
        key("rx-jumbo", Applied, TUNED),
        key("rx-jumbo-max", NoEffect, QUERY),
        key("rx-mini", Applied, TUNED),
        key("rx-mini-max", NoEffect, QUERY),
        key("tx", Applied, TUNED),
        key("tx-max", NoEffect, QUERY),
    ],
};

pub(super) static COALESCE: Object = Object {
    name: "coalesce",
    keys: &[
        key("adaptive-rx", Applied, TUNED),
        key("adaptive-tx", Applied, TUNED),
        key("pkt-rate-high", Applied, TUNED),
        key("pkt-rate-low", Applied, TUNED),
        key("rx-frames", Applied, TUNED),
        key("rx-frames-high", Applied, TUNED),
        key("rx-frames-irq", Applied, TUNED),
        key("rx-frames-low", Applied, TUNED),
        key("rx-usecs", Applied, TUNED),
        key("rx-usecs-high", Applied, TUNED),
        key("rx-usecs-irq", Applied, TUNED),
        key("rx-usecs-low", Applied, TUNED),
        key("sample-interval", Applied, TUNED),
        key("stats-block-usecs", Applied, TUNED),
        key("tx-frames", Applied, TUNED),
        key("tx-frames-high", Applied, TUNED),
        key("tx-frames-irq", Applied, TUNED),
        key("tx-frames-low", Applied, TUNED),
        key("tx-usecs", Applied, TUNED),
        key("tx-usecs-high", Applied, TUNED),
        key("tx-usecs-irq", Applied, TUNED),
        key("tx-usecs-low", Applied, TUNED),
    ],
};

pub(super) static PAUSE: Object = Object {
    name: "pause",
    keys: &[key("autoneg", Applied, TUNED), key("rx", Applied, TUNED), key("tx", Applied, TUNED)],
};

pub(super) static ETHTOOL: Object = Object {
    name: "ethtool",
    keys: &[
        key("feature", Applied, "offloads, by the kernel's or ethtool's names"),
        key("pause", Applied, "flow control"),
        key("coalesce", Applied, "interrupt coalescing"),
        key("ring", Applied, "ring sizes"),
        key("fec", Unsupported, "forward error correction stays as it is"),
    ],
};

pub(super) static ROUTES: Object = Object {
    name: "routes",
    keys: &[key("config", Applied, "the routes"), key("running", NoEffect, CURRENT)],
};

pub(super) static ROUTE: Object = Object {
    name: "routes.config[]",
    keys: &[
        key("state", Applied, "absent: not described; ignore: not touched"),
        key("destination", Applied, "destination; 0.0.0.0/0 or ::/0 is the default route"),
        key("next-hop-interface", Applied, "the link"),
        key("next-hop-address", Applied, "gateway"),
        key("metric", Applied, "priority, the lowest takes precedence; -1 is none"),
        key("table-id", Applied, "routing table; 0 and 254 are the main one"),
        key("weight", Applied, "share of the traffic: routes of one destination with it are one route"),
        key("route-type", Applied, "blackhole, unreachable or prohibit"),
        key("cwnd", Applied, "initial congestion window, segments"),
        key("source", Applied, "preferred source address"),
        key("mtu", Applied, "path MTU in bytes"),
        key("advmss", Applied, "segment size to advertise, bytes"),
        key("initcwnd", Applied, "initial congestion window, segments"),
        key("initrwnd", Applied, "initial receive window, segments"),
        key("quickack", Unsupported, "acknowledgements are sent as the kernel does"),
        key("vrf-name", Unsupported, "write the table of the VRF as table-id"),
    ],
};

pub(super) static RULES: Object =
    Object { name: "route-rules", keys: &[key("config", Applied, "the rules")] };

pub(super) static RULE: Object = Object {
    name: "route-rules.config[]",
    keys: &[
        key("state", Applied, "absent: not described"),
        key("family", Applied, "ipv4 or ipv6"),
        key("ip-from", Applied, "source prefix"),
        key("ip-to", Applied, "destination prefix"),
        key("priority", Applied, "rules with lower values come first"),
        key("route-table", Applied, "the table to look up"),
        key("fwmark", Applied, "firewall mark"),
        key("fwmask", Applied, "the bits of the mark that are compared"),
        key("action", Applied, "blackhole, unreachable or prohibit instead of a table"),
        key("iif", Applied, "the interface that packets arrive on"),
        key("suppress-prefix-length", Applied, "routes of this prefix length or shorter ones are not used"),
        key("suppress_prefixlength", Applied, "the same"),
    ],
};

pub(super) static DNS: Object = Object {
    name: "dns-resolver",
    keys: &[key("config", Applied, "name servers and search domains"), key("running", NoEffect, CURRENT)],
};

pub(super) static RESOLVER: Object = Object {
    name: "dns-resolver.config",
    keys: &[
        key("server", Applied, "name servers"),
        key("search", Applied, "search domains"),
        key("options", NoEffect, "resolv.conf keeps the options that it has"),
    ],
};

pub(super) static HOST_NAME: Object = Object {
    name: "hostname",
    keys: &[
        key("config", Applied, "the machine's name"),
        key("running", Applied, "the same, if config is missing"),
    ],
};
