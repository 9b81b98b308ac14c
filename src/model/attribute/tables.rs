//! The rows. Numbers from linux/if_link.h, restrictions from drivers/net/bonding/bond_options.c, words from ip-link(8).

use super::row::row;
use super::{Attribute, Change, Form, Print, tunnels};
use crate::model::{BondMode, Kind};

use Change::{Down, DownWithoutMembers, Never, WithoutMembers};

/// The options of a kind of link.
pub fn of_kind(kind: Kind) -> &'static [Attribute] {
    match kind {
        Kind::Bond => BOND,
        Kind::Bridge => BRIDGE,
        Kind::Vlan => VLAN,
        Kind::Vrf => VRF,
        Kind::Macvlan => tunnels::MACVLAN,
        Kind::Vxlan => tunnels::VXLAN,
        Kind::Sit | Kind::Ipip => tunnels::IP_IN_IP4,
        Kind::Ip6tnl => tunnels::IP6TNL,
        Kind::Gre | Kind::Gretap => tunnels::GRE,
        Kind::Ip6gre | Kind::Ip6gretap => tunnels::IP6GRE,
        Kind::Vti => tunnels::VTI,
        Kind::Vti6 => tunnels::VTI6,
        Kind::Physical => IPOIB,
        Kind::Dummy | Kind::Veth | Kind::Wireguard => &[],
    }
}

/// The options of a port of this kind of link.
pub fn of_port(controller: Kind) -> &'static [Attribute] {
    match controller {
        Kind::Bond => BOND_PORT,
        Kind::Bridge => BRIDGE_PORT,
        _ => &[],
    }
}

const LACP: &[BondMode] = &[BondMode::Lacp];
const ONE_ACTIVE: &[BondMode] = &[BondMode::ActiveBackup, BondMode::BalanceTlb, BondMode::BalanceAlb];
const ARP_MONITORED: &[BondMode] =
    &[BondMode::BalanceRr, BondMode::ActiveBackup, BondMode::BalanceXor, BondMode::Broadcast];

/// The highest number that the bonding driver accepts (`bond_intmax_tbl`).
const INT_MAX: i64 = i32::MAX as i64;

static BOND: &[Attribute] = &[
    row("mode", 1, Form::Word8(BondMode::WORDS)).when(DownWithoutMembers),
    row("miimon", 3, Form::U32).within(0, INT_MAX),
    row("updelay", 4, Form::U32).within(0, INT_MAX),
    row("downdelay", 5, Form::U32).within(0, INT_MAX),
    row("peer_notify_delay", 28, Form::U32).within(0, 300_000).since("5.3"),
    row("use_carrier", 6, Form::Bool),
    row("arp_interval", 7, Form::U32).within(0, INT_MAX).only(ARP_MONITORED),
    row("arp_ip_target", 8, Form::Ip4List),
    row("arp_validate", 9, Form::Word32(ARP_VALIDATE)).only(ARP_MONITORED),
    row("arp_all_targets", 10, Form::Word32(&[("any", 0), ("all", 1)])),
    row("ns_ip6_target", 31, Form::Ip6List).since("5.19"),
    row("missed_max", 30, Form::U8)
        .within(1, 255)
        .only(ARP_MONITORED)
        .since("5.17")
        .print(Print::As("arp_missed_max")),
    row("primary", 11, Form::Link).only(ONE_ACTIVE),
    row("primary_reselect", 12, Form::Word8(&[("always", 0), ("better", 1), ("failure", 2)])),
    row("active_slave", 2, Form::Link).only(ONE_ACTIVE),
    row("fail_over_mac", 13, Form::Word8(&[("none", 0), ("active", 1), ("follow", 2)])).when(WithoutMembers),
    row("xmit_hash_policy", 14, Form::Word8(HASH_POLICIES)),
    row("resend_igmp", 15, Form::U32).within(0, 255),
    row("num_grat_arp", 16, Form::U8),
    row("all_slaves_active", 17, Form::Bool),
    row("min_links", 18, Form::U32).within(0, INT_MAX),
    row("lp_interval", 19, Form::U32).within(1, INT_MAX),
    row("packets_per_slave", 20, Form::U32).within(0, 65_535).only(&[BondMode::BalanceRr]),
    row("tlb_dynamic_lb", 27, Form::Bool).when(Down).only(&[BondMode::BalanceTlb, BondMode::BalanceAlb]),
    row("lacp_rate", 21, Form::Word8(&[("slow", 0), ("fast", 1)])).when(Down).only(LACP),
    row("lacp_active", 29, Form::Word8(&[("off", 0), ("on", 1)])).when(Down).only(LACP).since("5.15"),
    row("ad_select", 22, Form::Word8(&[("stable", 0), ("bandwidth", 1), ("count", 2)])).when(Down),
    row("ad_actor_sys_prio", 24, Form::U16).within(1, 65_535).when(Down).only(LACP),
    row("ad_user_port_key", 25, Form::U16).within(0, 1023).when(Down).only(LACP),
    row("ad_actor_system", 26, Form::Mac).when(Down).only(LACP),
    row("coupled_control", 32, Form::Bool).when(Down).only(LACP).since("6.9"),
];

const HASH_POLICIES: &[(&str, u32)] =
    &[("layer2", 0), ("layer3+4", 1), ("layer2+3", 2), ("encap2+3", 3), ("encap3+4", 4), ("vlan+srcmac", 5)];

const ARP_VALIDATE: &[(&str, u32)] = &[
    ("none", 0),
    ("active", 1),
    ("backup", 2),
    ("all", 3),
    ("filter", 4),
    ("filter_active", 5),
    ("filter_backup", 6),
];

static BOND_PORT: &[Attribute] =
    &[row("queue_id", 5, Form::U16), row("prio", 9, Form::I32).only(ONE_ACTIVE).since("6.0")];

/// Times are in 1/100 s (USER_HZ), as in ip(8). Ranges are those of net/bridge/br_stp.c; the forward delay has one (2
/// to 30 s) only with the spanning tree on.
static BRIDGE: &[Attribute] = &[
    row("forward_delay", 1, Form::U32),
    row("hello_time", 2, Form::U32).within(100, 1000),
    row("max_age", 3, Form::U32).within(600, 4000),
    row("ageing_time", 4, Form::U32),
    row("stp_state", 5, Form::Bool32),
    row("priority", 6, Form::U16),
    row("vlan_filtering", 7, Form::Bool),
    row("vlan_protocol", 8, Form::Word16Be(VLAN_PROTOCOLS)),
    row("group_fwd_mask", 9, Form::U16),
    row("group_address", 20, Form::Mac),
    row("mcast_router", 22, Form::U8).within(0, 2),
    row("mcast_snooping", 23, Form::Bool),
    row("mcast_query_use_ifaddr", 24, Form::Bool),
    row("mcast_querier", 25, Form::Bool),
    row("mcast_hash_max", 27, Form::U32),
    row("mcast_last_member_count", 28, Form::U32),
    row("mcast_startup_query_count", 29, Form::U32),
    row("mcast_last_member_interval", 30, Form::U64),
    row("mcast_membership_interval", 31, Form::U64),
    row("mcast_querier_interval", 32, Form::U64),
    row("mcast_query_interval", 33, Form::U64),
    row("mcast_query_response_interval", 34, Form::U64),
    row("mcast_startup_query_interval", 35, Form::U64),
    row("vlan_default_pvid", 39, Form::U16).within(0, 4094),
    row("vlan_stats_enabled", 41, Form::Bool),
    row("mcast_stats_enabled", 42, Form::Bool),
    row("mcast_igmp_version", 43, Form::U8).within(2, 3),
    row("mcast_mld_version", 44, Form::U8).within(1, 2),
];

static BRIDGE_PORT: &[Attribute] = &[
    row("priority", 2, Form::U16).within(0, 63),
    row("cost", 3, Form::U32).within(1, 65_535),
    row("hairpin", 4, Form::Bool).print(Print::OnOff),
    row("guard", 5, Form::Bool).print(Print::OnOff),
    row("learning", 8, Form::Bool).print(Print::OnOff),
    row("neigh_suppress", 32, Form::Bool).print(Print::OnOff),
];

const VLAN_PROTOCOLS: &[(&str, u32)] = &[("802.1Q", 0x8100), ("802.1ad", 0x88a8)];

static VLAN: &[Attribute] = &[
    row("protocol", 5, Form::Word16Be(VLAN_PROTOCOLS)).when(Never),
    row("id", 1, Form::U16).within(0, 4094).when(Never),
];

static VRF: &[Attribute] = &[row("table", 1, Form::U32).within(1, u32::MAX as i64).when(Never)];

/// The options of a NIC: InfiniBand's mode (`IFLA_IPOIB_MODE`, drivers/infiniband/ulp/ipoib/ipoib_netlink.c).
static IPOIB: &[Attribute] = &[row("mode", 2, Form::Word16(&[("datagram", 0), ("connected", 1)]))];
