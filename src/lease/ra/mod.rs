//! Router advertisements (RFC 4861): a reader that believes nothing ([`message`]), and who solicits them and remembers what
//! they say ([`machine`]). Both are pure: packets and the time come in, packets and deadlines go out.
//!
//! Addresses and routes of an advertisement are the kernel's work. What is read here is the rest: whether there is DHCPv6,
//! name servers and search domains; and that there is a router at all.

pub mod machine;
pub mod message;
