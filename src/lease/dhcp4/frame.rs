//! The framing of messages on a link without an address: Ethernet, IPv4 and UDP headers by hand.

use std::net::Ipv4Addr;

use super::message::Mac;
use crate::socket::{checksum, op};

/// The ports of DHCP.
pub const SERVER_PORT: u16 = 67;
/// See [`SERVER_PORT`].
pub const CLIENT_PORT: u16 = 68;

/// All of a link's stations.
const BROADCAST: Mac = [0xff; 6];
const IPV4: [u8; 2] = [0x08, 0x00];
const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
/// IP protocol number.
const UDP_PROTOCOL: u8 = 17;

/// Whole Ethernet frames with a tag fit.
const LONGEST: u32 = 2048;

/// Whole UDP datagrams for the client's port (linux/filter.h).
pub(crate) const FOR_CLIENTS: [libc::sock_filter; 9] = [
    // The IP protocol is UDP.
    op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 23, 0, 0),
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 17, 0, 6),
    // No fragment but the first.
    op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 20, 0, 0),
    op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0x1fff, 4, 0),
    // The port behind a header of any length.
    op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 14, 0, 0),
    op(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 16, 0, 0),
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, CLIENT_PORT as u32, 0, 1),
    op(libc::BPF_RET | libc::BPF_K, LONGEST, 0, 0),
    op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
];

/// A message in a broadcast frame, from an address that may be 0.0.0.0.
pub fn broadcast(payload: &[u8], mac: Mac, from: Ipv4Addr) -> Vec<u8> {
    let to = Ipv4Addr::BROADCAST;
    let udp_length = (UDP + payload.len()) as u16;
    let mut udp = Vec::with_capacity(UDP + payload.len());
    udp.extend(CLIENT_PORT.to_be_bytes());
    udp.extend(SERVER_PORT.to_be_bytes());
    udp.extend(udp_length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = match udp_sum(from, to, &udp) {
        // 0 means no checksum (RFC 768).
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut ip = [0_u8; IP];
    ip[0] = 0x45;
    // Precedence "internetwork control", as set by other clients.
    ip[1] = 0xc0;
    ip[2..4].copy_from_slice(&(udp_length + IP as u16).to_be_bytes());
    ip[8] = 64;
    ip[9] = UDP_PROTOCOL;
    ip[12..16].copy_from_slice(&from.octets());
    ip[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&BROADCAST[..], &mac, &IPV4].concat();
    frame.extend(ip);
    frame.extend(udp);
    frame
}

/// The DHCP message for a client in a frame, and its sender. `whole` is false if the kernel or a virtual NIC has left
/// the UDP checksum for the hardware to fill in.
pub fn payload(frame: &[u8], whole: bool) -> Option<(Ipv4Addr, &[u8])> {
    let packet = frame.get(ETHERNET..).filter(|_| frame[12..14] == IPV4)?;
    let header_length = usize::from(packet.first()? & 0x0f) * 4;
    let version = packet.first()? >> 4;
    let header = packet.get(..header_length).filter(|h| version == 4 && h.len() >= IP)?;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Not a fragment: neither more fragments nor an offset.
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    (header[9] == UDP_PROTOCOL && fragment == 0 && checksum(header) == 0).then_some(())?;
    // After the packet a frame may be padded.
    let datagram = packet.get(header_length..total)?;
    let &[_, _, high, low, long, short, sum_high, sum_low, ..] = datagram else { return None };
    let length = usize::from(u16::from_be_bytes([long, short]));
    let datagram = datagram.get(..length).filter(|d| d.len() >= UDP)?;
    (u16::from_be_bytes([high, low]) == CLIENT_PORT).then_some(())?;
    let from = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let to = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    let summed = whole && [sum_high, sum_low] != [0, 0];
    (!summed || udp_sum(from, to, datagram) == 0).then_some((from, &datagram[UDP..]))
}

fn udp_sum(from: Ipv4Addr, to: Ipv4Addr, datagram: &[u8]) -> u16 {
    let length = (datagram.len() as u16).to_be_bytes();
    let pseudo = [0, UDP_PROTOCOL, length[0], length[1]];
    checksum(&[&from.octets()[..], &to.octets(), &pseudo, datagram].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    /// A server's answer: the same frame with the ports swapped, which keeps the checksums.
    fn answer(payload: &[u8]) -> Vec<u8> {
        let mut frame = broadcast(payload, MAC, [192, 0, 2, 1].into());
        frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
        frame
    }

    #[test]
    fn a_frame_round_trips() {
        for text in [&b""[..], b"odd", b"even"] {
            let mut frame = answer(text);
            assert_eq!(payload(&frame, true), Some(([192, 0, 2, 1].into(), text)));
            frame.resize(100, 7);
            assert_eq!(
                payload(&frame, true),
                Some(([192, 0, 2, 1].into(), text)),
                "padding is no part of it"
            );
            for length in 0..42 + text.len() {
                assert_eq!(payload(&frame[..length], true), None);
            }
        }
    }

    #[test]
    fn a_damaged_frame_is_dropped() {
        let frame = answer(b"text");
        // Every byte from the IP header on: the checksums cover all of it.
        for at in 14..frame.len() {
            let mut damaged = frame.clone();
            damaged[at] ^= 0x10;
            assert_eq!(payload(&damaged, true), None, "byte {at}");
        }
        let mut unsummed = frame.clone();
        unsummed[40..42].copy_from_slice(&[0, 0]);
        assert!(payload(&unsummed, true).is_some(), "0 is no sum");
        let mut partial = frame;
        partial[40..42].copy_from_slice(&[9, 9]);
        assert!(payload(&partial, false).is_some() && payload(&partial, true).is_none());
    }

    #[test]
    fn other_ports_and_fragments_are_not_ours() {
        let mut to_server = broadcast(b"x", MAC, Ipv4Addr::UNSPECIFIED);
        assert_eq!(payload(&to_server, true), None);
        to_server[12] = 0x86;
        assert_eq!(payload(&to_server, true), None);
        let mut fragment = answer(b"x");
        fragment[20] = 0x20;
        fragment[24..26].copy_from_slice(&[0, 0]);
        let sum = checksum(&fragment[14..34]);
        fragment[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(payload(&fragment, true), None);
    }
}
