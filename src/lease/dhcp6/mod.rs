//! DHCPv6 (RFC 9915): a codec that trusts nothing ([`message`]), and the protocol's states ([`machine`]). Both are
//! pure: packets and the time come in, packets and deadlines go out.

pub mod machine;
pub mod message;
