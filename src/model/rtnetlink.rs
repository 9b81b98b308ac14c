//! The kernel's numbers for routes and addresses, each with ip(8)'s name, in one table per type. A number without a
//! name is kept: unknown values must not look like something else.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What made a route (`rtm_protocol`, linux/rtnetlink.h) or a rule (`FRA_PROTOCOL`). In JSON it is the number.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are RTPROT_…
pub enum Protocol {
    #[default]
    Unspecified,
    Redirect,
    Kernel,
    Boot,
    Static,
    Gated,
    RouterAdvertisement,
    Mrt,
    Zebra,
    Bird,
    Dnrouted,
    Xorp,
    Ntk,
    Dhcp,
    Keepalived,
    Babel,
    Bgp,
    Isis,
    Ospf,
    Rip,
    Eigrp,
    /// Any other number.
    Other(u8),
}

/// Numbers from linux/rtnetlink.h, names from iproute2's lib/rt_names.c, names for a person.
const PROTOCOLS: &[(Protocol, u8, &str, &str)] = &[
    (Protocol::Unspecified, 0, "unspec", ""),
    (Protocol::Redirect, 1, "redirect", "an ICMP redirect"),
    (Protocol::Kernel, 2, "kernel", "the kernel"),
    (Protocol::Boot, 3, "boot", ""),
    (Protocol::Static, 4, "static", ""),
    (Protocol::Gated, 8, "gated", "the routing daemon gated"),
    (Protocol::RouterAdvertisement, 9, "ra", "a router advertisement"),
    (Protocol::Mrt, 10, "mrt", "the routing daemon mrt"),
    (Protocol::Zebra, 11, "zebra", "the routing daemon zebra"),
    (Protocol::Bird, 12, "bird", "the routing daemon bird"),
    (Protocol::Dnrouted, 13, "dnrouted", "a DECnet routing daemon"),
    (Protocol::Xorp, 14, "xorp", "the routing daemon xorp"),
    (Protocol::Ntk, 15, "ntk", "the routing daemon ntkd"),
    (Protocol::Dhcp, 16, "dhcp", "a DHCP client"),
    (Protocol::Keepalived, 18, "keepalived", "keepalived"),
    (Protocol::Babel, 42, "babel", "the routing daemon babel"),
    (Protocol::Bgp, 186, "bgp", "a BGP daemon"),
    (Protocol::Isis, 187, "isis", "an IS-IS daemon"),
    (Protocol::Ospf, 188, "ospf", "an OSPF daemon"),
    (Protocol::Rip, 189, "rip", "a RIP daemon"),
    (Protocol::Eigrp, 192, "eigrp", "an EIGRP daemon"),
];

impl Protocol {
    /// The protocol with this number.
    pub fn from_number(number: u8) -> Self {
        let known = PROTOCOLS.iter().find(|(_, known, _, _)| *known == number);
        known.map_or(Protocol::Other(number), |(protocol, _, _, _)| *protocol)
    }

    fn row(self) -> Option<&'static (Protocol, u8, &'static str, &'static str)> {
        PROTOCOLS.iter().find(|(protocol, _, _, _)| *protocol == self)
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Other(number) => number,
            known => known.row().map_or(0, |(_, number, _, _)| *number),
        }
    }

    /// Its name for a person: `a DHCP client`; `None` if the number does not tell.
    pub fn maker(self) -> Option<&'static str> {
        self.row().map(|(_, _, _, maker)| *maker).filter(|maker| !maker.is_empty())
    }
}

impl fmt::Display for Protocol {
    /// As accepted by ip(8).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some((_, _, word, _)) => f.write_str(word),
            None => self.number().fmt(f),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self::from_number)
    }
}

/// What made an address (`IFA_PROTO`, linux/if_addr.h, kernel 5.18). In JSON it is the number.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressProtocol {
    /// Unknown: an older kernel, or a program that does not set it.
    #[default]
    Unspecified,
    /// The kernel, for the loopback interface.
    Loopback,
    /// The kernel, by a router advertisement.
    RouterAdvertisement,
    /// The kernel, as a link-local address.
    LinkLocal,
    /// Any other number.
    Other(u8),
}

impl AddressProtocol {
    /// The protocol with this number.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => AddressProtocol::Unspecified,
            1 => AddressProtocol::Loopback,
            2 => AddressProtocol::RouterAdvertisement,
            3 => AddressProtocol::LinkLocal,
            other => AddressProtocol::Other(other),
        }
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        match self {
            AddressProtocol::Unspecified => 0,
            AddressProtocol::Loopback => 1,
            AddressProtocol::RouterAdvertisement => 2,
            AddressProtocol::LinkLocal => 3,
            AddressProtocol::Other(number) => number,
        }
    }

    /// Unknown.
    pub fn is_unspecified(&self) -> bool {
        *self == AddressProtocol::Unspecified
    }
}

impl Serialize for AddressProtocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for AddressProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self::from_number)
    }
}

/// The type of a route (`rtm_type`), numbered as in the kernel (linux/rtnetlink.h).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the words are rtnetlink(7)'s
pub enum RouteKind {
    Unicast = 1,
    Local = 2,
    Broadcast = 3,
    Anycast = 4,
    Multicast = 5,
    Blackhole = 6,
    Unreachable = 7,
    Prohibit = 8,
    Throw = 9,
}

impl RouteKind {
    /// Every type with ip(8)'s name.
    pub const WORDS: &'static [(&'static str, RouteKind)] = &[
        ("unicast", RouteKind::Unicast),
        ("local", RouteKind::Local),
        ("broadcast", RouteKind::Broadcast),
        ("anycast", RouteKind::Anycast),
        ("multicast", RouteKind::Multicast),
        ("blackhole", RouteKind::Blackhole),
        ("unreachable", RouteKind::Unreachable),
        ("prohibit", RouteKind::Prohibit),
        ("throw", RouteKind::Throw),
    ];

    /// ip(8)'s name.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, k)| *k == self).map_or("unicast", |(w, _)| w)
    }

    /// The type with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(w, _)| *w == word).map(|(_, k)| *k)
    }

    /// The type for `rtm_type`.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::WORDS.iter().find(|(_, k)| k.number() == number).map(|(_, k)| *k)
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The default table of ip(8) for a route of this type: `local` (255) or `main` (254).
    pub fn natural_table(self) -> u32 {
        if matches!(self, RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast) { 255 } else { 254 }
    }

    /// Whether the kernel drops or refuses packets and requires no link: blackhole, unreachable, prohibit, throw.
    pub fn is_linkless(self) -> bool {
        matches!(self, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw)
    }
}

/// The scope of an address or an IPv4 route (`rtm_scope`). In JSON it is ip(8)'s name, or the number if it has none.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the words are rtnetlink(7)'s
pub enum Scope {
    Global,
    Site,
    Link,
    Host,
    Nowhere,
    /// Any other number: 1 to 199 are user-defined.
    Other(u8),
}

const SCOPES: &[(Scope, u8, &str)] = &[
    (Scope::Global, 0, "global"),
    (Scope::Site, 200, "site"),
    (Scope::Link, 253, "link"),
    (Scope::Host, 254, "host"),
    (Scope::Nowhere, 255, "nowhere"),
];

impl Scope {
    /// The scope with ip(8)'s name.
    pub fn from_word(word: &str) -> Option<Self> {
        SCOPES.iter().find(|(_, _, known)| *known == word).map(|(scope, _, _)| *scope)
    }

    /// The names that ip(8) knows.
    pub fn words() -> impl Iterator<Item = &'static str> {
        SCOPES.iter().map(|(_, _, word)| *word)
    }

    /// The scope for `rtm_scope`.
    pub fn from_number(number: u8) -> Self {
        let known = SCOPES.iter().find(|(_, known, _)| *known == number);
        known.map_or(Scope::Other(number), |(scope, _, _)| *scope)
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        match self {
            Scope::Other(number) => number,
            known => SCOPES.iter().find(|(scope, _, _)| *scope == known).map_or(0, |(_, number, _)| *number),
        }
    }
}

impl fmt::Display for Scope {
    /// As accepted by ip(8).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SCOPES.iter().find(|(scope, _, _)| scope == self) {
            Some((_, _, word)) => f.write_str(word),
            None => self.number().fmt(f),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Scope::Other(number) => serializer.serialize_u8(*number),
            known => serializer.collect_str(known),
        }
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u8),
            Word(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self::from_number(number)),
            Form::Word(word) => Self::from_word(&word)
                .ok_or_else(|| serde::de::Error::custom(format_args!("unknown scope \"{word}\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_the_type_and_json() {
        for number in 0..=u8::MAX {
            assert_eq!(Protocol::from_number(number).number(), number);
            assert_eq!(AddressProtocol::from_number(number).number(), number);
            let scope = Scope::from_number(number);
            assert_eq!(scope.number(), number);
            let json = serde_json::to_string(&scope).unwrap();
            assert_eq!(serde_json::from_str::<Scope>(&json).unwrap(), scope);
        }
        assert!(serde_json::from_str::<Scope>("\"elsewhere\"").is_err());
        assert_eq!(serde_json::to_string(&Protocol::Dhcp).unwrap(), "16");
        assert_eq!(Protocol::from_number(99).to_string(), "99");
        assert_eq!(Protocol::from_number(16).to_string(), "dhcp");
    }
}
