//! What the kernel wants to know of a kind of link beyond its options: one row a kind.

use crate::model::Kind;

/// A row.
pub(crate) struct KindRow {
    kind: Kind,
    /// The module that has it.
    pub(crate) module: &'static str,
    /// The attribute inside `IFLA_INFO_DATA` that names the link it is made on; `None` where that is `IFLA_LINK`.
    pub(crate) parent_in_data: Option<u16>,
}

const fn row(kind: Kind, module: &'static str, parent_in_data: Option<u16>) -> KindRow {
    KindRow { kind, module, parent_in_data }
}

/// linux/if_link.h and linux/if_tunnel.h: `IFLA_VXLAN_LINK` 3, `IFLA_GRE_LINK`, `IFLA_IPTUN_LINK`, `IFLA_VTI_LINK` 1.
const KINDS: &[KindRow] = &[
    row(Kind::Bond, "bonding", None),
    row(Kind::Bridge, "bridge", None),
    row(Kind::Vlan, "8021q", None),
    row(Kind::Vrf, "vrf", None),
    row(Kind::Dummy, "dummy", None),
    row(Kind::Veth, "veth", None),
    row(Kind::Macvlan, "macvlan", None),
    row(Kind::Vxlan, "vxlan", Some(3)),
    row(Kind::Wireguard, "wireguard", None),
    row(Kind::Sit, "sit", Some(1)),
    row(Kind::Gre, "ip_gre", Some(1)),
    row(Kind::Gretap, "ip_gre", Some(1)),
    row(Kind::Ip6gre, "ip6_gre", Some(1)),
    row(Kind::Ip6gretap, "ip6_gre", Some(1)),
    row(Kind::Ipip, "ipip", Some(1)),
    row(Kind::Ip6tnl, "ip6_tunnel", Some(1)),
    row(Kind::Vti, "ip_vti", Some(1)),
    row(Kind::Vti6, "ip6_vti", Some(1)),
];

/// The row of a kind; `None` for a NIC.
pub(crate) fn of(kind: Kind) -> Option<&'static KindRow> {
    KINDS.iter().find(|row| row.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_is_made_has_a_row() {
        assert!(Kind::all().filter(|k| *k != Kind::Physical).all(|k| of(k).is_some()));
    }
}
