//! Messages of addresses, routes and rules as the inventory's entries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_core::NLA_ALIGNTO;

use crate::inventory::{
    AddressEntry, AddressFlag, NextHopEntry, RouteEntry, RuleEntry, Selectors, SettingName,
};
use crate::kernel::attributes::{Attributes, field, ip, number};
use crate::kernel::names::Names;
use crate::model::{AddressProtocol, Family, Protocol, RouteKind, Scope};
use crate::order::Few as _;

/// linux/if_addr.h; missing from libc's list, `IFA_PROTO` of kernel 5.18.
pub(in crate::kernel) const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;

/// A next hop flag that libc's list lacks.
const RTNH_F_ONLINK: u32 = 4;

const RT_TABLE_MAIN: u32 = 254;
const RT_TABLE_LOCAL: u32 = 255;

/// `RTAX_…` (linux/rtnetlink.h) by ip(8)'s names.
pub(in crate::kernel) const ROUTE_METRICS: &[(u16, &str)] = &[
    (2, "mtu"),
    (3, "window"),
    (4, "rtt"),
    (5, "rttvar"),
    (6, "ssthresh"),
    (7, "cwnd"),
    (8, "advmss"),
    (9, "reordering"),
    (10, "hoplimit"),
    (11, "initcwnd"),
    (12, "features"),
    (13, "rto_min"),
    (14, "initrwnd"),
    (15, "quickack"),
];

/// linux/rtnetlink.h; missing from libc's list (RTA_VIA for musl).
const RTA_VIA: u16 = 18;
pub(in crate::kernel) const RTA_PREF: u16 = 20;
pub(in crate::kernel) const RTA_EXPIRES: u16 = 23;
const RTA_PAD: u16 = 24;
const RTA_UID: u16 = 25;
pub(in crate::kernel) const RTA_NH_ID: u16 = 30;

/// Ticks per second of the times in messages (`USER_HZ`).
const USER_HZ: u32 = 100;

/// `FRA_…` (linux/fib_rules.h).
pub(in crate::kernel) mod fra {
    pub(in crate::kernel) const DST: u16 = 1;
    pub(in crate::kernel) const SRC: u16 = 2;
    pub(in crate::kernel) const PRIORITY: u16 = 6;
    pub(in crate::kernel) const FWMARK: u16 = 10;
    pub(in crate::kernel) const SUPPRESS_IFGROUP: u16 = 13;
    pub(in crate::kernel) const SUPPRESS_PREFIXLEN: u16 = 14;
    pub(in crate::kernel) const TABLE: u16 = 15;
    pub(in crate::kernel) const FWMASK: u16 = 16;
    pub(in crate::kernel) const PAD: u16 = 18;
    pub(in crate::kernel) const IIFNAME: u16 = 3;
    pub(in crate::kernel) const OIFNAME: u16 = 17;
    pub(in crate::kernel) const UID_RANGE: u16 = 20;
    pub(in crate::kernel) const IP_PROTO: u16 = 22;
    pub(in crate::kernel) const SPORT_RANGE: u16 = 23;
    pub(in crate::kernel) const DPORT_RANGE: u16 = 24;
    pub(in crate::kernel) const PROTOCOL: u16 = 21;
    /// `FIB_RULE_INVERT`.
    pub(in crate::kernel) const INVERT: u32 = 2;
}

/// `struct ifaddrmsg` and `IFA_…`; `None` for an address of an unknown family or link.
pub(super) fn address(payload: &[u8], names: &Names) -> Option<AddressEntry> {
    let [_, prefix, low_flags, scope] = field(payload, 0, |bytes: [u8; 4]| bytes)?;
    let link = names.name(field(payload, 4, u32::from_ne_bytes)?)?;
    let attributes = Attributes::new(payload.get(8..)?);
    let flags = attributes.u32(libc::IFA_FLAGS).unwrap_or_else(|| low_flags.into());
    let far = attributes.ip(libc::IFA_ADDRESS);
    let own = attributes.ip(libc::IFA_LOCAL).or(far)?;
    let lifetimes = attributes.get(libc::IFA_CACHEINFO).unwrap_or_default();
    let lifetime =
        |offset| field(lifetimes, offset, u32::from_ne_bytes).filter(|seconds| *seconds != u32::MAX);
    let label = attributes.text(libc::IFA_LABEL).filter(|label| label != link);
    Some(AddressEntry {
        link: link.to_owned(),
        net: IpNet::new(own, prefix).ok()?,
        peer: far.filter(|far| *far != own).and_then(|far| IpNet::new(far, prefix).ok()),
        broadcast: attributes.ip4(libc::IFA_BROADCAST),
        label,
        scope: Scope::from_number(scope),
        // IPv4 omits the lifetimes of a permanent address (inet_fill_ifaddr).
        preferred: if flags & libc::IFA_F_DEPRECATED != 0 { Some(0) } else { lifetime(0) },
        valid: lifetime(4),
        tentative: flags & libc::IFA_F_TENTATIVE != 0,
        duplicate: flags & libc::IFA_F_DADFAILED != 0,
        permanent: flags & libc::IFA_F_PERMANENT != 0,
        protocol: AddressProtocol::from_number(attributes.u8(IFA_PROTO).unwrap_or(0)),
        flags: AddressFlag::WORDS.iter().map(|(flag, _)| *flag).filter(|f| flags & *f as u32 != 0).collect(),
        metric: attributes.u32(IFA_RT_PRIORITY).unwrap_or(0),
    })
}

/// A route of a table; `None` for a cached route, one of the kernel's in the table `local`, or of another family.
pub(super) fn route(payload: &[u8], names: &Names) -> Option<RouteEntry> {
    let flags = field(payload, 8, u32::from_ne_bytes)?;
    if flags & libc::RTM_F_CLONED != 0 {
        return None;
    }
    any_route(payload, names)
        .filter(|route| route.table != RT_TABLE_LOCAL || route.protocol != Protocol::Kernel)
}

/// `struct rtmsg` and `RTA_…`: a route, or the answer to a lookup; `None` for one of another family.
pub(in crate::kernel) fn any_route(payload: &[u8], names: &Names) -> Option<RouteEntry> {
    let [family, prefix, from, tos, table, protocol, scope, kind] =
        field(payload, 0, |bytes: [u8; 8]| bytes)?;
    let flags = field(payload, 8, u32::from_ne_bytes)?;
    let mut route = RouteEntry {
        on_link: flags & RTNH_F_ONLINK != 0,
        kind: RouteKind::from_number(kind)?,
        scope: Scope::from_number(scope),
        protocol: Protocol::from_number(protocol),
        table: table.into(),
        tos,
        ..RouteEntry::new(prefix_of(family, None, 0)?)
    };
    // One pass, unlike elsewhere: there may be tens of thousands of routes.
    for (kind, value) in Attributes::new(payload.get(12..)?).iter() {
        let number = || number(value, u32::from_ne_bytes);
        match kind {
            libc::RTA_DST => route.to = prefix_of(family, ip(value), prefix)?,
            libc::RTA_OIF => route.link = number().and_then(|index| names.name(index)).map(str::to_owned),
            libc::RTA_GATEWAY => route.via = ip(value),
            RTA_VIA => route.via = via(value),
            libc::RTA_PRIORITY => route.metric = number().unwrap_or(0),
            libc::RTA_TABLE => route.table = number().unwrap_or(route.table),
            libc::RTA_PREFSRC => route.source = ip(value),
            libc::RTA_METRICS => metrics(&mut route, Attributes::new(value)),
            libc::RTA_MULTIPATH => hops(&mut route, value, names),
            libc::RTA_SRC => route.from = prefix_of(family, ip(value), from),
            libc::RTA_CACHEINFO => route.expires = expires(value),
            RTA_NH_ID => route.next_hop_id = number(),
            RTA_PREF => route.preference = value.first().copied().filter(|preference| *preference != 0),
            // The parameters of a lookup, and padding.
            libc::RTA_IIF | libc::RTA_MARK | RTA_UID | RTA_PAD => {}
            unknown => note(&mut route, unknown),
        }
    }
    Some(route)
}

/// Records the number of an attribute that changes the meaning of the route.
fn note(route: &mut RouteEntry, unknown: u16) {
    if !route.unknown.contains(&unknown) {
        route.unknown.push(unknown);
    }
}

/// `rta_expires` of a `struct rta_cacheinfo`, in ticks of [`USER_HZ`]; 0 is never.
fn expires(cache: &[u8]) -> Option<u32> {
    let ticks = field(cache, 8, i32::from_ne_bytes).filter(|ticks| *ticks != 0)?;
    Some(u32::try_from(ticks).unwrap_or(0) / USER_HZ)
}

/// `struct rtnexthop`, each followed by its attributes, one after the other.
fn hops(route: &mut RouteEntry, mut bytes: &[u8], names: &Names) {
    while let Some([low, high, flags, share]) = field(bytes, 0, |head: [u8; 4]| head) {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let Some(given) = bytes.get(8..length) else { break };
        let given = Attributes::new(given);
        let known = [libc::RTA_GATEWAY, RTA_VIA, RTA_PAD];
        given.iter().filter(|(kind, _)| !known.contains(kind)).for_each(|(kind, _)| note(route, kind));
        let index = field(bytes, 4, u32::from_ne_bytes);
        route.hops.push(NextHopEntry {
            link: index.and_then(|index| names.name(index)).map(str::to_owned),
            via: given.ip(libc::RTA_GATEWAY).or_else(|| given.get(RTA_VIA).and_then(via)),
            on_link: u32::from(flags) & RTNH_F_ONLINK != 0,
            weight: u16::from(share) + 1,
        });
        bytes = bytes.get(length.next_multiple_of(NLA_ALIGNTO)..).unwrap_or_default();
    }
}

/// A family and an address: an IPv6 gateway of an IPv4 route.
fn via(value: &[u8]) -> Option<IpAddr> {
    value.get(2..).and_then(ip)
}

/// IPv6 has no multipath routes: the kernel shows several that share a destination, a table and a metric as one
/// (`rt6_fill_node`).
pub(super) fn apart(routes: Vec<RouteEntry>) -> Vec<RouteEntry> {
    let mut single = Vec::with_capacity(routes.len());
    for mut route in routes {
        let hops = std::mem::take(&mut route.hops);
        if hops.is_empty() {
            single.push(route);
            continue;
        }
        single.extend(hops.into_iter().map(|hop| RouteEntry {
            link: hop.link,
            via: hop.via,
            on_link: hop.on_link,
            weight: Some(hop.weight),
            ..route.clone()
        }));
    }
    single
}

/// An address in a prefix, a different one for each number as far as the prefix allows.
pub(super) fn one_of(prefix: Ipv6Net, number: u32) -> Ipv6Addr {
    // For a default route: global unicast (2000::/3).
    let (begin, length) = match prefix.prefix_len() {
        0 => (0x2 << 124, 3),
        length => (u128::from(prefix.network()), u32::from(length)),
    };
    // Odd: every number has a different product.
    let spread = (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (begin | spread.checked_shr(length).unwrap_or(0)).into()
}

fn metrics(route: &mut RouteEntry, given: Attributes<'_>) {
    let metric = |(kind, name): &(u16, &'static str)| Some((SettingName::Borrowed(name), given.u32(*kind)?));
    route.metrics = ROUTE_METRICS.iter().filter_map(metric).few();
    // A locked metric, or a congestion control of its own.
    if given.iter().any(|(kind, _)| !ROUTE_METRICS.iter().any(|(known, _)| *known == kind)) {
        note(route, libc::RTA_METRICS);
    }
}

/// What netapply's rules do with packets; the others are goto and nop.
const RULE_ACTIONS: &[RouteKind] =
    &[RouteKind::Unicast, RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit];

/// `struct fib_rule_hdr` and `FRA_…`, unless it is one of the kernel's own rules; whether it leads all packets to the
/// main table; `None` if it cannot be decoded.
pub(super) fn rule(payload: &[u8]) -> Option<(Option<RuleEntry>, bool)> {
    let [family, to, from, tos, table, _, _, action] = field(payload, 0, |bytes: [u8; 8]| bytes)?;
    let flags = field(payload, 8, u32::from_ne_bytes)?;
    let attributes = Attributes::new(payload.get(12..)?);
    // Their numbers are those of routes.
    let known = RouteKind::from_number(action).filter(|kind| RULE_ACTIONS.contains(kind));
    let entry = RuleEntry {
        family: self::family(family.into()),
        from: attributes.ip(fra::SRC).and_then(|ip| prefix_of(family, Some(ip), from)),
        to: attributes.ip(fra::DST).and_then(|ip| prefix_of(family, Some(ip), to)),
        table: attributes.u32(fra::TABLE).unwrap_or_else(|| table.into()),
        priority: attributes.u32(fra::PRIORITY).unwrap_or(0),
        mark: attributes.u32(fra::FWMARK).filter(|mark| *mark != 0),
        mask: attributes.u32(fra::FWMASK).filter(|mask| *mask != u32::MAX),
        suppress: attributes.u32(fra::SUPPRESS_PREFIXLEN).filter(|length| *length != u32::MAX),
        tos: Some(tos).filter(|tos| *tos != 0),
        protocol: Protocol::from_number(attributes.u8(fra::PROTOCOL).unwrap_or(0)),
        // The only flag that changes what a rule selects.
        foreign: known.is_none() || flags & fra::INVERT != 0 || attributes.iter().any(is_foreign),
        action: known.unwrap_or(RouteKind::Unicast),
        selectors: selectors(&attributes, flags),
    };
    let is_all = entry.mark.is_none() && entry.suppress.is_none() && entry.selectors.is_empty();
    let is_table = entry.action == RouteKind::Unicast && !entry.foreign;
    let bare = entry.from.is_none() && entry.to.is_none() && is_all && is_table;
    let kernels = entry.protocol == Protocol::Kernel && bare && matches!(entry.priority, 0 | 32766 | 32767);
    let leads_to_main = bare && entry.tos.is_none() && entry.table == RT_TABLE_MAIN;
    Some(((!kernels).then_some(entry), leads_to_main))
}

fn selectors(attributes: &Attributes<'_>, flags: u32) -> Selectors {
    // `struct fib_rule_port_range`, `struct fib_rule_uid_range`.
    let ports = |kind| {
        let value = attributes.get(kind)?;
        Some((field(value, 0, u16::from_ne_bytes)?, field(value, 2, u16::from_ne_bytes)?))
    };
    let uids = || {
        let value = attributes.get(fra::UID_RANGE)?;
        Some((field(value, 0, u32::from_ne_bytes)?, field(value, 4, u32::from_ne_bytes)?))
    };
    Selectors {
        not: flags & fra::INVERT != 0,
        iif: attributes.text(fra::IIFNAME),
        oif: attributes.text(fra::OIFNAME),
        uids: uids(),
        ipproto: attributes.u8(fra::IP_PROTO),
        sport: ports(fra::SPORT_RANGE),
        dport: ports(fra::DPORT_RANGE),
    }
}

/// `AF_INET`, `AF_INET6`.
pub(super) fn family(number: i32) -> Family {
    if number == libc::AF_INET { Family::V4 } else { Family::V6 }
}

/// A selector or limit that netapply's rules never have.
fn is_foreign((kind, value): (u16, &[u8])) -> bool {
    match kind {
        fra::DST | fra::SRC | fra::PRIORITY | fra::FWMARK | fra::FWMASK | fra::IIFNAME => false,
        fra::TABLE | fra::PAD | fra::PROTOCOL | fra::SUPPRESS_PREFIXLEN => false,
        // All ones: no limit.
        fra::SUPPRESS_IFGROUP => value.iter().any(|b| *b != 0xff),
        _ => true,
    }
}

/// A prefix; without an address, the family's default route.
fn prefix_of(family: u8, address: Option<IpAddr>, length: u8) -> Option<IpNet> {
    let nowhere: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    IpNet::new(address.unwrap_or(nowhere), length).ok()
}
