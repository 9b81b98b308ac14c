//! ICMP and ICMPv6 echo: the messages, and a socket that sends and receives them.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::model::MacAddr;
use crate::socket::{Socket, checksum};

/// Interval of echoes that a host limited to one reply a second still answers (Linux's `icmp_ratelimit`).
pub(super) const ALONE: Duration = Duration::from_millis(1_100);

/// An ICMP message that answers one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// An echo reply to this identifier and sequence number.
    Echo(u16, u16),
    /// Time exceeded for our echo of this identifier and sequence number.
    Exceeded(u16, u16),
    /// Destination unreachable, with its code, for our echo.
    Unreachable(u16, u16, u8),
}

/// An identifier that no other probe of this process uses.
pub(super) fn identifier() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    (std::process::id() as u16).wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An echo request whose IP packet is `size` bytes long, headers included; at least the headers.
pub(super) fn request(v4: bool, identifier: u16, sequence: u16, size: u32) -> Vec<u8> {
    let header = if v4 { 28 } else { 48 };
    let length = 8 + size.saturating_sub(header).min(65_000) as usize;
    let mut message = vec![if v4 { 8 } else { 128 }, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.resize(length, b'n');
    if v4 {
        // The kernel fills in the checksum of ICMPv6, but not of ICMP.
        let sum = checksum(&message).to_be_bytes();
        message.iter_mut().skip(2).zip(sum).for_each(|(slot, byte)| *slot = byte);
    }
    message
}

/// An IPv4 echo request in a whole Ethernet frame, for a host whose hardware address is known.
pub(super) fn frame(to: (&MacAddr, Ipv4Addr), from: (&MacAddr, Ipv4Addr), sequence: u16) -> Vec<u8> {
    let message = request(true, identifier(), sequence, 64);
    let length = (20 + message.len()) as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    // No identification, "don't fragment", TTL 64, ICMP, and the checksum to be filled in.
    header.extend([0, 0, 0x40, 0, 64, 1, 0, 0]);
    header.extend(from.1.octets());
    header.extend(to.1.octets());
    let sum = checksum(&header).to_be_bytes();
    header.iter_mut().skip(10).zip(sum).for_each(|(slot, byte)| *slot = byte);
    [to.0.as_bytes(), from.0.as_bytes(), &[8, 0], &header, &message].concat()
}

/// Which message a received packet answers: for IPv4 with its IP header, as raw sockets get it; for IPv6 without.
pub(super) fn reply(v4: bool, packet: &[u8]) -> Option<Reply> {
    let message = if v4 { behind_ipv4(packet)? } else { packet };
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let pair = |message: &[u8]| {
        let number = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
        Some((number(4)?, number(6)?))
    };
    // The quoted packet of an error: ours, with its IP header.
    let quoted = || {
        let inner = message.get(8..)?;
        let echo = if v4 { behind_ipv4(inner)? } else { inner.get(40..)? };
        (*echo.first()? == if v4 { 8 } else { 128 }).then_some(echo)
    };
    match (v4, kind) {
        (true, 0) | (false, 129) => pair(message).map(|(id, sequence)| Reply::Echo(id, sequence)),
        (true, 11) | (false, 3) => pair(quoted()?).map(|(id, sequence)| Reply::Exceeded(id, sequence)),
        (true, 3) | (false, 1) => {
            pair(quoted()?).map(|(id, sequence)| Reply::Unreachable(id, sequence, code))
        }
        _ => None,
    }
}

fn behind_ipv4(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 0x0f) * 4..)
}

/// A socket for echoes through the link with that index (0 for any) that never fragments.
pub(super) fn open(ip: IpAddr, index: u32) -> io::Result<Socket> {
    let socket = Socket::icmp(ip.is_ipv4(), index)?;
    if ip.is_ipv4() {
        // Sets DF and ignores the path MTU that the kernel has learnt.
        socket.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
    } else {
        socket.set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        socket.set(libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)?;
    }
    Ok(socket)
}

/// An echo socket and its destination.
pub(super) struct Echo {
    socket: Socket,
    ip: IpAddr,
    index: u32,
    identifier: u16,
    buffer: Vec<u8>,
}

impl Echo {
    /// With an identifier of its own; the index of the link matters for a link-local address.
    pub(super) fn new(socket: Socket, ip: IpAddr, index: u32) -> Self {
        Echo { socket, ip, index, identifier: identifier(), buffer: vec![0; 65_536] }
    }

    pub(super) async fn send(&self, sequence: u16, size: u32) -> io::Result<()> {
        let message = request(self.ip.is_ipv4(), self.identifier, sequence, size);
        self.socket.send_to(&message, self.ip, self.index).await
    }

    /// Whether an echo is answered before the next may be sent.
    pub(super) async fn alone(&mut self, sequence: u16, size: u32) -> bool {
        if let Err(error) = self.send(sequence, size).await {
            log::debug!("echo of {size} bytes to {}: {error}", self.ip);
            return false;
        }
        let until = Instant::now() + ALONE;
        while let Some(answered) = self.answer(until).await {
            if answered == sequence {
                return true;
            }
        }
        false
    }

    /// The sequence number of the next reply that arrives until then.
    pub(super) async fn answer(&mut self, until: Instant) -> Option<u16> {
        loop {
            let received = timeout_at(until, self.socket.receive(&mut self.buffer)).await.ok()?;
            let Ok(received) = received else {
                // An ICMP error about another packet; the bound limits a series of them.
                tokio::task::yield_now().await;
                if Instant::now() >= until {
                    return None;
                }
                continue;
            };
            let packet = self.buffer.get(..received.length).unwrap_or_default();
            match reply(self.ip.is_ipv4(), packet) {
                Some(Reply::Echo(id, sequence))
                    if id == self.identifier && received.from == Some(self.ip) =>
                {
                    return Some(sequence);
                }
                _ => {}
            }
        }
    }
}

/// An error as a person reads it, without the number that Rust appends.
pub(super) fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_size_asked_for_and_a_checksum_that_adds_up() {
        for size in [0, 28, 64, 1500, 9000] {
            let message = request(true, 7, 9, size);
            assert_eq!(message.len(), 8 + size.max(28) as usize - 28);
            assert_eq!(checksum(&message), 0, "{size}");
        }
        assert_eq!(request(false, 7, 9, 1280).len(), 1240);
    }

    #[test]
    fn a_whole_frame_has_the_checksums_of_its_headers() {
        let (host, ours) = ("02:00:00:00:00:01".parse().unwrap(), "02:00:00:00:00:02".parse().unwrap());
        let frame = frame((&host, Ipv4Addr::new(192, 0, 2, 1)), (&ours, Ipv4Addr::new(192, 0, 2, 2)), 7);
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        assert_eq!((checksum(&frame[14..34]), checksum(&frame[34..])), (0, 0));
        assert_eq!((frame.len(), &frame[16..18], &frame[30..34]), (78, &[0, 64][..], &[192, 0, 2, 1][..]));
    }

    #[test]
    fn replies_and_errors_are_distinguished() {
        let ip_header = [0x45_u8, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let with = |kind: u8, rest: &[u8]| [&ip_header[..], &[kind, 1, 0, 0], rest].concat();
        assert_eq!(reply(true, &with(0, &[0, 7, 0, 9])), Some(Reply::Echo(7, 9)));
        let quoted = [&[0, 0, 0, 0][..], &ip_header, &[8, 0, 0, 0, 0, 7, 0, 9]].concat();
        assert_eq!(reply(true, &with(11, &quoted)), Some(Reply::Exceeded(7, 9)));
        assert_eq!(reply(true, &with(3, &quoted)), Some(Reply::Unreachable(7, 9, 1)));
        assert_eq!(reply(true, &with(8, &[0, 7, 0, 9])), None, "a request is no reply");
        let six = [&[3, 0, 0, 0, 0, 0, 0, 0][..], &[0; 40], &[128, 0, 0, 0, 0, 7, 0, 9]].concat();
        assert_eq!(reply(false, &six), Some(Reply::Exceeded(7, 9)));
        for cut in 0..six.len() {
            assert_eq!(reply(false, &six[..cut]), None);
        }
    }
}
