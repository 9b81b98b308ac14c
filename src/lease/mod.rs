//! Networks that are not static: what DHCP servers and routers give a link, for as long as they give it.
//!
//! [`dhcp4`] is DHCPv4: a codec that believes nothing, and a machine of the protocol's states. Both are pure: packets and
//! the time come in, packets and deadlines go out. Knows no sockets.

pub mod dhcp4;
