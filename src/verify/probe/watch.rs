//! Watches the frames to and from a host where a link hands them over: behind whatever filters what this machine sends, and
//! before whatever filters what comes in (net/core/dev.c has packet sockets there). An answer that arrives and reaches nobody,
//! or a question that never leaves, is this machine's doing.

use std::net::IpAddr;

use super::socket::{Socket, want_tags};
use super::{Fact, Facts, arp, ndisc, tell};

const ETH_P_ALL: u16 = 0x0003;

/// A frame that tells something of a conversation with a host.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) enum Frame {
    /// A question for its hardware address.
    Asked,
    /// The answer to one that the kernel has sent.
    Told,
    /// A packet to it.
    Sent,
    /// A packet from it that answers one of ours.
    Received,
}

/// Watches until it is dropped; each kind of frame is told once.
pub(super) async fn watch(link: &str, index: u32, ip: IpAddr, facts: &Facts) {
    let prepared = Socket::packet(index, ETH_P_ALL).and_then(|socket| {
        socket.filter(&filter(ip))?;
        want_tags(&socket)?;
        Ok(socket)
    });
    let socket = match prepared {
        Ok(socket) => socket,
        // Nothing follows from what was not watched.
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
        if let Some(kind) = kind.filter(|kind| !seen.contains(kind)) {
            seen.push(kind);
            tell(facts, Fact::Seen(link.to_owned(), ip, kind));
        }
    }
}

/// What a frame tells, if anything.
fn kind(frame: &[u8], outgoing: bool, ip: IpAddr) -> Option<Frame> {
    let packet = frame.get(14..)?;
    match (frame.get(12..14)?, ip) {
        ([8, 6], IpAddr::V4(ip)) => {
            let arp = arp::read(packet)?;
            match outgoing {
                true => (arp.target == ip && !arp.reply).then_some(Frame::Asked),
                // One that answers a question without a sender is not the kernel's.
                false => {
                    (arp.sender == ip && arp.reply && !arp.target.is_unspecified()).then_some(Frame::Told)
                }
            }
        }
        ([8, 0], IpAddr::V4(ip)) => {
            let ip = ip.octets();
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let is_answer = || is_answer(*packet.get(9)?, packet.get(header..)?, 0);
            match outgoing {
                true => (packet.get(16..20)? == ip).then_some(Frame::Sent),
                false => (packet.get(12..16)? == ip && is_answer()?).then_some(Frame::Received),
            }
        }
        ([0x86, 0xdd], IpAddr::V6(ip)) => {
            let (next, message) = (*packet.get(6)?, packet.get(40..)?);
            if next == 58 && matches!(message.first(), Some(135)) {
                return (outgoing && message.get(8..24)? == ip.octets()).then_some(Frame::Asked);
            }
            if next == 58 && matches!(message.first(), Some(136)) {
                let (target, _) = ndisc::advertisement(frame)?;
                // The answer to a question without a sender goes to all.
                let alone = packet.get(24)? != &0xff;
                return (!outgoing && target == ip && alone).then_some(Frame::Told);
            }
            let is_answer = || is_answer(next, message, 129);
            match outgoing {
                true => (packet.get(24..40)? == ip.octets()).then_some(Frame::Sent),
                false => (packet.get(8..24)? == ip.octets() && is_answer()?).then_some(Frame::Received),
            }
        }
        _ => None,
    }
}

/// True for what answers a question of ours: an echo reply (of this ICMP type), a connection that is made or refused, a name
/// server's answer.
fn is_answer(protocol: u8, message: &[u8], echo: u8) -> Option<bool> {
    Some(match protocol {
        1 | 58 => message.first() == Some(&echo),
        6 => matches!(message.get(13)?, flags if flags & 0b100 != 0 || flags & 0b1_0010 == 0b1_0010),
        17 => message.get(..2)? == [0, 53],
        _ => false,
    })
}

/// Lets through ARP, and packets from or to an address; for IPv6 also neighbour discovery.
fn filter(ip: IpAddr) -> Vec<libc::sock_filter> {
    const fn op(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt, jf, k }
    }
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
            // The last 32 bits are enough to keep other machines' traffic away; `kind` compares all.
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
    fn an_answer_is_told_from_other_traffic_of_the_host() {
        let (host, ours): (IpAddr, [u8; 4]) = ("192.0.2.1".parse().unwrap(), [192, 0, 2, 2]);
        let from = |protocol, message: &[u8]| kind(&v4(protocol, [192, 0, 2, 1], ours, message), false, host);
        assert_eq!(from(1, &[0, 0]), Some(Frame::Received));
        assert_eq!(from(1, &[8, 0]), None, "its own echo");
        let flags = |flags: u8| from(6, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags]);
        assert_eq!(
            [flags(0x12), flags(0x14), flags(0x10), flags(0x02)],
            [Some(Frame::Received), Some(Frame::Received), None, None]
        );
        assert_eq!(from(17, &[0, 53]), Some(Frame::Received));
        assert_eq!(from(17, &[1, 53]), None);
        assert_eq!(kind(&v4(6, ours, [192, 0, 2, 1], &[]), true, host), Some(Frame::Sent));
        for cut in 0..34 {
            assert_eq!(kind(&v4(1, [192, 0, 2, 1], ours, &[0])[..cut], false, host), None);
        }
    }
}
