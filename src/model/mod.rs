//! The vocabulary of all rooms: the content of a description, in types that are checked once.
//!
//! Nothing here knows a format, a file or the kernel. `format` fills a [`Desired`], `resolve` joins it with the
//! machine, `plan` compares. Link options are in one table, [`attribute`].

pub mod attribute;
pub mod base64;
mod bond;
mod desired;
mod kind;
mod link;
mod net;
mod primitive;
mod rtnetlink;

pub use bond::BondMode;
pub use desired::{Desired, NAMED_TABLES};
pub use kind::{IPOIB, Kind, LinkKind, LinkLayer};
pub use link::{
    Activation, DesiredMac, DhcpOptions, Dynamic, Ipv6, Link, LinkRef, Match, NamePattern, Naming, Peer,
    PortVlan, Settings, Wireguard, fits,
};
pub use net::{Address, AddressGeneration, Family, NextHop, Resolver, Route, Rule, needs_zone};
pub use primitive::{IfName, IfNameError, Located, MacAddr, Mtu, ParseError, Place, hex, is_plain};
pub use rtnetlink::{AddressProtocol, Protocol, RouteKind, Scope};

use std::collections::BTreeMap;

/// A map of a few entries, in which the last of equal keys counts. `collect` sorts them all first, and adds 3 KB of
/// sorting code for each call site.
pub fn few<K: Ord, V>(entries: impl Iterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(entries);
    map
}
