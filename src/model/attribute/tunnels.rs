//! The rows of VXLAN, tunnels and macvlan. Numbers from linux/if_link.h and linux/if_tunnel.h, words from ip-link(8).
//!
//! The parent of a VXLAN or tunnel is an option (`dev`), not `IFLA_LINK` as for a VLAN or macvlan.

use super::row::row;
use super::{Attribute, Change, Form, Print};
use crate::model::Kind;

use Change::{Never, Together};

/// What can be changed is what `vxlan_nl2conf` in drivers/net/vxlan accepts with `changelink`.
pub(super) static VXLAN: &[Attribute] = &[
    row("id", 1, Form::U32).within(0, 0xff_ffff).when(Never),
    row("dev", 3, Form::Link),
    row("remote", 2, Form::Ip4).print(Print::Group),
    row("remote6", 16, Form::Ip6).print(Print::Group),
    row("local", 4, Form::Ip4),
    row("local6", 17, Form::Ip6).print(Print::As("local")),
    row("ttl", 5, Form::U8),
    row("tos", 6, Form::U8).print(Print::Hex),
    row("df", 29, Form::Word8(&[("unset", 0), ("set", 1), ("inherit", 2)])).since("5.0"),
    row("flowlabel", 26, Form::U32Be).within(0, 0xf_ffff),
    row("dstport", 15, Form::U16Be).when(Never),
    row("srcport", 10, Form::PortRange).when(Never),
    row("learning", 7, Form::Bool).print(Print::No),
    row("proxy", 11, Form::Bool).when(Never).print(Print::No),
    row("rsc", 12, Form::Bool).when(Never).print(Print::No),
    row("l2miss", 13, Form::Bool).when(Never).print(Print::No),
    row("l3miss", 14, Form::Bool).when(Never).print(Print::No),
    row("ageing", 8, Form::U32),
    row("maxaddress", 9, Form::U32).when(Never),
    row("udpcsum", 18, Form::Bool).when(Never).print(Print::No),
    row("udp6zerocsumtx", 19, Form::Bool).when(Never).print(Print::No),
    row("udp6zerocsumrx", 20, Form::Bool).when(Never).print(Print::No),
    row("remcsumtx", 21, Form::Bool).when(Never).print(Print::No),
    row("remcsumrx", 22, Form::Bool).when(Never).print(Print::No),
    row("gbp", 23, Form::Flag).when(Never).print(Print::No),
    row("gpe", 27, Form::Flag).when(Never).print(Print::No),
];

/// sit and ipip: packets of one protocol in IPv4 (net/ipv4/ipip.c, net/ipv6/sit.c). The mode is the inner protocol's
/// number; if unset, the kernel uses the one the kind is named for, and ip(8) sends `any`. It cannot be changed: the
/// kernel accepts another one and ignores it (ip_tunnel_update, ipip6_tunnel_update).
pub(super) static IP_IN_IP4: &[Attribute] = &[
    row("mode", 9, Form::Word8(&[("any", 0), ("ipip", 4), ("ip6ip", 41), ("mplsip", 137)])).when(Never),
    row("dev", 1, Form::Link).when(Together),
    row("local", 2, Form::Ip4).when(Together),
    row("remote", 3, Form::Ip4).when(Together),
    row("ttl", 4, Form::U8).when(Together),
];

/// ip6tnl: IPv4 or IPv6 in IPv6 (net/ipv6/ip6_tunnel.c). The mode is the inner protocol's number.
pub(super) static IP6TNL: &[Attribute] = &[
    row("mode", 9, Form::Word8(&[("any", 0), ("ipip6", 4), ("ip6ip6", 41)])).when(Together),
    row("dev", 1, Form::Link).when(Together),
    row("local", 2, Form::Ip6).when(Together),
    row("remote", 3, Form::Ip6).when(Together),
    row("hoplimit", 4, Form::U8).when(Together),
    row("encaplimit", 6, Form::U8).when(Together),
];

/// gre and gretap (net/ipv4/ip_gre.c).
pub(super) static GRE: &[Attribute] = &[
    row("dev", 1, Form::Link).when(Together),
    row("local", 6, Form::Ip4).when(Together),
    row("remote", 7, Form::Ip4).when(Together),
    row("ikey", 4, Form::GreKey).when(Together),
    row("okey", 5, Form::GreKey).when(Together),
    row("ttl", 8, Form::U8).when(Together),
];

/// ip6gre and ip6gretap (net/ipv6/ip6_gre.c).
pub(super) static IP6GRE: &[Attribute] = &[
    row("dev", 1, Form::Link).when(Together),
    row("local", 6, Form::Ip6).when(Together),
    row("remote", 7, Form::Ip6).when(Together),
    row("ikey", 4, Form::GreKey).when(Together),
    row("okey", 5, Form::GreKey).when(Together),
    row("hoplimit", 8, Form::U8).when(Together),
    row("encaplimit", 11, Form::U8).when(Together),
];

/// vti: IPsec in IPv4, by policy (net/ipv4/ip_vti.c).
pub(super) static VTI: &[Attribute] = &[
    row("dev", 1, Form::Link).when(Together),
    row("local", 4, Form::Ip4).when(Together),
    row("remote", 5, Form::Ip4).when(Together),
    row("ikey", 2, Form::U32Be).when(Together),
    row("okey", 3, Form::U32Be).when(Together),
];

/// vti6 (net/ipv6/ip6_vti.c).
pub(super) static VTI6: &[Attribute] = &[
    row("dev", 1, Form::Link).when(Together),
    row("local", 4, Form::Ip6).when(Together),
    row("remote", 5, Form::Ip6).when(Together),
    row("ikey", 2, Form::U32Be).when(Together),
    row("okey", 3, Form::U32Be).when(Together),
];

pub(super) static MACVLAN: &[Attribute] = &[row(
    "mode",
    1,
    Form::Word32(&[("private", 1), ("vepa", 2), ("bridge", 4), ("passthru", 8), ("source", 16)]),
)];

/// ip(8)'s defaults for a new tunnel, if they differ from the kernel's: without them `ip link add` and a plan's step
/// would create two different links (iproute2, ip/iplink_*.c and ip/link_*.c).
pub(super) fn ip_defaults(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Sit => &[("mode", "ip6ip"), ("ttl", "64")],
        Kind::Ipip => &[("mode", "ipip")],
        Kind::Ip6tnl | Kind::Ip6gre | Kind::Ip6gretap => &[("hoplimit", "64"), ("encaplimit", "4")],
        _ => &[],
    }
}
