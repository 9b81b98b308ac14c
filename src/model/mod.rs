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
