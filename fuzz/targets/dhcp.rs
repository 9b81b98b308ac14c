#![no_main]

//! What servers and routers send: messages of DHCPv4 with their terms, of DHCPv6, and advertisements.

use netapply::lease::{dhcp4, dhcp6, ra};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = dhcp4::message::ServerMessage::read(bytes) {
        let _ = dhcp4::terms::Terms::of(&message, &[]);
    }
    let _ = dhcp4::names::read(bytes);
    let _ = dhcp4::frame::payload(bytes, true);
    let iaid = bytes.get(16..20).and_then(|iaid| iaid.try_into().ok()).unwrap_or_default();
    let _ = dhcp6::message::ServerAnswer::read(bytes, iaid);
    let router = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let _ = ra::message::Advertisement::read(router, ra::message::HOP_LIMIT, bytes);
});
