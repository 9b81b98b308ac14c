//! Dynamic networks: what DHCP servers lease to a link.
//!
//! [`dhcp4`] is DHCPv4: a codec that trusts nothing, and the protocol's state machine; [`dhcp6`] is DHCPv6 in the same
//! form. All are pure: packets and the time come in, packets and deadlines go out. [`ask`] runs these state machines on
//! real links. What they learn is kept in files ([`entry`]), and is added to the description ([`facts`], pure) before
//! anything is planned. [`identity`] (pure) is a link's client id. Changes no link, and does not decide which links
//! request leases.

pub mod ask;
pub mod dhcp4;
pub mod dhcp6;
pub mod entry;
pub mod facts;
pub mod identity;
