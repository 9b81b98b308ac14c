//! DHCPv4 (RFC 2131, 2132): [`message`] reads and writes messages, [`options`] their options, [`frame`] their framing
//! before a link has an address, [`terms`] checks what a server grants, [`machine`] requests and renews.

pub mod frame;
pub mod machine;

pub mod message;
pub mod names;
pub mod options;
pub mod terms;
