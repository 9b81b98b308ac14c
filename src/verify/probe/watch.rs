//! Watches the frames to and from a host on a link: after this machine's filters for what it sends, and before them for
//! what comes in (net/core/dev.c has packet sockets there). An answer that arrives and is not delivered, or a request
//! that never leaves, is this machine's doing.

use std::net::IpAddr;

use super::super::evidence::Flow;
use super::{Fact, Facts, ndisc, tell};
use crate::socket::arp::Arp;
use crate::socket::{ETH_P_ALL, Socket, op, want_tags};

/// A frame that belongs to a flow with a host.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) enum Frame {
    /// A question for its hardware address.
    Asked,
    /// The reply to a request that the kernel sent.
    Told,
    /// A packet to it.
    Sent(Flow),
    /// A packet from it that answers one of ours.
    Received(Flow),
}

/// How many kinds of frames are reported: a host may talk to anybody.
const MOST: usize = 64;

/// Watches until it is dropped; each kind of frame is reported once.
pub(super) async fn watch(link: &str, index: u32, ip: IpAddr, facts: &Facts) {
    let prepared = Socket::filtered(index, ETH_P_ALL, &filter(ip))
        .and_then(|socket| want_tags(&socket).map(|()| socket));
    let socket = match prepared {
        Ok(socket) => socket,
        // Nothing can be concluded from traffic that was not watched.
        Err(error) => return log::debug!("watching {link}: {error}"),
    };
    tell(facts, Fact::Watched(link.to_owned(), ip));
    let (mut seen, mut buffer) = (Vec::new(), [0; 256]);
    while let Ok(received) = socket.receive(&mut buffer).await {
        let bytes = buffer.get(..received.length).unwrap_or_default();
        let kind = match received.tag {
            None => kind(bytes, received.outgoing, ip),
            Some(_) => None,
        };
        if let Some(kind) = kind.filter(|kind| seen.len() < MOST && !seen.contains(kind)) {
            seen.push(kind);
            tell(facts, Fact::Seen(link.to_owned(), ip, kind));
        }
    }
}

/// The kind of a frame, if it belongs to a flow.
fn kind(frame: &[u8], outgoing: bool, ip: IpAddr) -> Option<Frame> {
    let packet = frame.get(14..)?;
    match (frame.get(12..14)?, ip) {
        ([8, 6], IpAddr::V4(ip)) => {
            let arp = Arp::read(packet)?;
            match outgoing {
                true => (arp.target == ip && !arp.reply).then_some(Frame::Asked),
                // One that answers a probe (without a sender address) is not the kernel's.
                false => {
                    (arp.sender == ip && arp.reply && !arp.target.is_unspecified()).then_some(Frame::Told)
                }
            }
        }
        ([8, 0], IpAddr::V4(ip)) => {
            let ip = ip.octets();
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let (protocol, message) = (*packet.get(9)?, packet.get(header..)?);
            match outgoing {
                true if packet.get(16..20)? == ip => Some(Frame::Sent(question(protocol, message)?)),
                false if packet.get(12..16)? == ip => Some(Frame::Received(answer(protocol, message, 0)?)),
                _ => None,
            }
        }
        ([0x86, 0xdd], IpAddr::V6(ip)) => {
            let (next, message) = (*packet.get(6)?, packet.get(40..)?);
            if next == 58 && matches!(message.first(), Some(135)) {
                return (outgoing && message.get(8..24)? == ip.octets()).then_some(Frame::Asked);
            }
            if next == 58 && matches!(message.first(), Some(136)) {
                let (target, _) = ndisc::advertisement(frame)?;
                // The answer to a solicitation without a source address goes to all nodes.
                let alone = packet.get(24)? != &0xff;
                return (!outgoing && target == ip && alone).then_some(Frame::Told);
            }
            match outgoing {
                true if packet.get(24..40)? == ip.octets() => Some(Frame::Sent(question(next, message)?)),
                false if packet.get(8..24)? == ip.octets() => {
                    Some(Frame::Received(answer(next, message, 129)?))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn port(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// The flow that a packet to a host belongs to.
fn question(protocol: u8, message: &[u8]) -> Option<Flow> {
    match protocol {
        1 | 58 => Some(Flow::Echo),
        6 => Some(Flow::Tcp(port(message, 2)?)),
        17 => Some(Flow::Udp(port(message, 2)?)),
        _ => None,
    }
}

/// The flow that a packet from a host answers: an echo (by this ICMP type), a connection accepted or refused, a
/// datagram.
fn answer(protocol: u8, message: &[u8], echo: u8) -> Option<Flow> {
    match protocol {
        1 | 58 => (message.first() == Some(&echo)).then_some(Flow::Echo),
        6 => {
            let flags = *message.get(13)?;
            let answers = flags & 0b100 != 0 || flags & 0b1_0010 == 0b1_0010;
            answers.then_some(Flow::Tcp(port(message, 0)?))
        }
        17 => Some(Flow::Udp(port(message, 0)?)),
        _ => None,
    }
}

/// Passes ARP, and packets from or to an address; for IPv6 also neighbour discovery.
fn filter(ip: IpAddr) -> Vec<libc::sock_filter> {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    const TAKE: u32 = 256;
    let (half, word, byte) = (BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_B | BPF_ABS);
    let equal = BPF_JMP | BPF_JEQ | BPF_K;
    let (take, leave) = (op(BPF_RET | BPF_K, TAKE, 0, 0), op(BPF_RET | BPF_K, 0, 0, 0));
    match ip {
        IpAddr::V4(ip) => {
            let ip = u32::from(ip);
            vec![
                op(half, 12, 0, 0),
                op(equal, 0x0806, 5, 0),
                op(equal, 0x0800, 0, 5),
                op(word, 26, 0, 0),
                op(equal, ip, 2, 0),
                op(word, 30, 0, 0),
                op(equal, ip, 0, 1),
                take,
                leave,
            ]
        }
        IpAddr::V6(ip) => {
            // The last 32 bits suffice to filter out other machines' traffic; `kind` compares all.
            let last = (u128::from(ip) & 0xffff_ffff) as u32;
            vec![
                op(half, 12, 0, 0),
                op(equal, 0x86dd, 0, 10),
                op(word, 34, 0, 0),
                op(equal, last, 7, 0),
                op(word, 50, 0, 0),
                op(equal, last, 5, 0),
                op(byte, 20, 0, 0),
                op(equal, 58, 0, 4),
                op(byte, 54, 0, 0),
                op(equal, 135, 1, 0),
                op(equal, 136, 0, 1),
                take,
                leave,
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, from: [u8; 4], to: [u8; 4], message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0]);
        [&frame[..], &from, &to, message].concat()
    }

    #[test]
    fn an_answer_is_distinguished_from_other_traffic() {
        let (host, ours): (IpAddr, [u8; 4]) = ("192.0.2.1".parse().unwrap(), [192, 0, 2, 2]);
        let from = |protocol, message: &[u8]| kind(&v4(protocol, [192, 0, 2, 1], ours, message), false, host);
        assert_eq!(from(1, &[0, 0]), Some(Frame::Received(Flow::Echo)));
        assert_eq!(from(1, &[8, 0]), None, "its own echo");
        let flags = |flags: u8| from(6, &[0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags]);
        let made = Some(Frame::Received(Flow::Tcp(80)));
        assert_eq!([flags(0x12), flags(0x14), flags(0x10), flags(0x02)], [made, made, None, None]);
        assert_eq!(from(17, &[0, 53]), Some(Frame::Received(Flow::Udp(53))));
        let sent = kind(&v4(6, ours, [192, 0, 2, 1], &[9, 9, 0, 80]), true, host);
        assert_eq!(sent, Some(Frame::Sent(Flow::Tcp(80))));
        for cut in 0..34 {
            assert_eq!(kind(&v4(1, [192, 0, 2, 1], ours, &[0])[..cut], false, host), None);
        }
    }
}
