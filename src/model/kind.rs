//! The kind of a link: in a description, and in the kernel.

use serde::{Deserialize, Serialize};

/// The kind of a link. All except [`Kind::Physical`] are software links, created by netapply if missing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are the kernel's, see KINDS
pub enum Kind {
    Physical,
    Bond,
    Bridge,
    Vlan,
    Vrf,
    Dummy,
    Veth,
    Macvlan,
    Vxlan,
    Wireguard,
    Sit,
    Gre,
    Gretap,
    Ip6gre,
    Ip6gretap,
    Ipip,
    Ip6tnl,
    Vti,
    Vti6,
}

/// The kernel's name for InfiniBand interfaces, which are hardware but have a kind.
pub const IPOIB: &str = "ipoib";

/// Each kind with the kernel's name for it (`IFLA_INFO_KIND`) and the name for a person.
const KINDS: &[(Kind, &str, &str)] = &[
    (Kind::Physical, "", "NIC"),
    (Kind::Bond, "bond", "bond"),
    (Kind::Bridge, "bridge", "bridge"),
    (Kind::Vlan, "vlan", "VLAN"),
    (Kind::Vrf, "vrf", "VRF"),
    (Kind::Dummy, "dummy", "dummy link"),
    (Kind::Veth, "veth", "veth pair"),
    (Kind::Macvlan, "macvlan", "macvlan"),
    (Kind::Vxlan, "vxlan", "VXLAN"),
    (Kind::Wireguard, "wireguard", "WireGuard link"),
    (Kind::Sit, "sit", "SIT tunnel"),
    (Kind::Gre, "gre", "GRE tunnel"),
    (Kind::Gretap, "gretap", "GRE tap"),
    (Kind::Ip6gre, "ip6gre", "IPv6 GRE tunnel"),
    (Kind::Ip6gretap, "ip6gretap", "IPv6 GRE tap"),
    (Kind::Ipip, "ipip", "IPIP tunnel"),
    (Kind::Ip6tnl, "ip6tnl", "IPv6 tunnel"),
    (Kind::Vti, "vti", "VTI tunnel"),
    (Kind::Vti6, "vti6", "IPv6 VTI tunnel"),
];

impl Kind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Kind> {
        KINDS.iter().map(|(kind, _, _)| *kind)
    }

    /// The kernel's name, as in `ip link add … type WORD`; empty for a NIC.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(kind, _, _)| *kind == self).map_or("", |(_, word, _)| word)
    }

    /// The name for a person: `bond`, `VLAN`.
    pub fn noun(self) -> &'static str {
        KINDS.iter().find(|(kind, _, _)| *kind == self).map_or("link", |(_, _, noun)| noun)
    }

    /// The kernel's name with which options are read and set. A NIC's options are InfiniBand's.
    pub fn options_word(self) -> &'static str {
        if self == Kind::Physical { IPOIB } else { self.word() }
    }

    /// The kind for the kernel's name; `None` for a kind that netapply does not know.
    pub fn from_word(word: &str) -> Option<Self> {
        if word == IPOIB {
            return Some(Kind::Physical);
        }
        KINDS.iter().find(|(_, w, _)| *w == word && !w.is_empty()).map(|(kind, _, _)| *kind)
    }

    /// Whether it can have ports: bond, bridge, VRF.
    pub fn is_controller(self) -> bool {
        matches!(self, Kind::Bond | Kind::Bridge | Kind::Vrf)
    }

    /// Whether it carries Ethernet frames; the others carry IP packets.
    pub fn is_ethernet(self) -> bool {
        use Kind::{Gre, Ip6gre, Ip6tnl, Ipip, Sit, Vti, Vti6, Wireguard};
        !matches!(self, Sit | Ipip | Ip6tnl | Gre | Ip6gre | Vti | Vti6 | Wireguard)
    }

    /// Whether the kernel accepts a member of that kind in a controller of this kind. Of links without Ethernet only an
    /// active-backup bond accepts `any`, and then of one kind only.
    pub fn takes(self, member: Kind, any: bool) -> bool {
        match (self, member) {
            (Kind::Bond | Kind::Bridge | Kind::Vrf, Kind::Vrf) | (Kind::Bridge, Kind::Bridge) => false,
            (Kind::Bridge, _) => member.is_ethernet(),
            (Kind::Bond, _) => any || member.is_ethernet(),
            (Kind::Vrf, _) => true,
            _ => false,
        }
    }
}

/// The kind of an observed link (`IFLA_INFO_KIND`). In JSON it is the kernel's name, empty for hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// Hardware.
    #[default]
    Hardware,
    /// An InfiniBand interface: hardware, but with a kind.
    Ipoib,
    /// A kind that netapply creates; never [`Kind::Physical`].
    Made(Kind),
    /// Any other kind, by the kernel's name.
    Other(String),
}

impl LinkKind {
    /// Whether the link is of this kind; all hardware is [`Kind::Physical`].
    pub fn is(&self, kind: Kind) -> bool {
        self.known() == Some(kind)
    }

    /// The corresponding kind in a description.
    pub fn known(&self) -> Option<Kind> {
        match self {
            LinkKind::Hardware | LinkKind::Ipoib => Some(Kind::Physical),
            LinkKind::Made(kind) => Some(*kind),
            LinkKind::Other(_) => None,
        }
    }

    /// The kind whose options it has: hardware without a kind of its own has none.
    pub fn with_options(&self) -> Option<Kind> {
        self.known().filter(|_| *self != LinkKind::Hardware)
    }

    /// Whether it is hardware without a kind of its own.
    pub fn is_hardware(&self) -> bool {
        *self == LinkKind::Hardware
    }

    /// The kernel's name.
    pub fn word(&self) -> &str {
        match self {
            LinkKind::Hardware => "",
            LinkKind::Ipoib => IPOIB,
            LinkKind::Made(kind) => kind.word(),
            LinkKind::Other(word) => word,
        }
    }
}

impl From<&str> for LinkKind {
    fn from(word: &str) -> Self {
        match (word, Kind::from_word(word)) {
            ("", _) => LinkKind::Hardware,
            (IPOIB, _) => LinkKind::Ipoib,
            (_, Some(kind)) => LinkKind::Made(kind),
            (other, None) => LinkKind::Other(other.to_owned()),
        }
    }
}

impl From<Kind> for LinkKind {
    fn from(kind: Kind) -> Self {
        if kind == Kind::Physical { LinkKind::Hardware } else { LinkKind::Made(kind) }
    }
}

impl Serialize for LinkKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for LinkKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| word.as_str().into())
    }
}

/// Link layer of an observed link (`ARPHRD_…`). In JSON it is ip(8)'s name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkLayer {
    /// Unknown.
    #[default]
    Unknown,
    /// Ethernet.
    Ether,
    /// InfiniBand.
    Infiniband,
    /// The loopback interface.
    Loopback,
    /// Any other, by ip(8)'s name.
    Other(String),
}

impl LinkLayer {
    /// ip(8)'s name.
    pub fn word(&self) -> &str {
        match self {
            LinkLayer::Unknown => "",
            LinkLayer::Ether => "ether",
            LinkLayer::Infiniband => "infiniband",
            LinkLayer::Loopback => "loopback",
            LinkLayer::Other(word) => word,
        }
    }
}

impl From<&str> for LinkLayer {
    fn from(word: &str) -> Self {
        match word {
            "" => LinkLayer::Unknown,
            "ether" => LinkLayer::Ether,
            "infiniband" => LinkLayer::Infiniband,
            "loopback" => LinkLayer::Loopback,
            other => LinkLayer::Other(other.to_owned()),
        }
    }
}

impl Serialize for LinkLayer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for LinkLayer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| word.as_str().into())
    }
}
