//! ICMP and ICMPv6 echo: is a gateway there, and do full packets reach it.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::socket::Socket;
use super::{Fact, Facts, refused_here, tell};

/// How often an unanswered echo is sent again.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often each size is tried.
const ROUNDS: u16 = 3;
/// Sizes in bytes that tell something, beside the MTU itself: jumbo, Ethernet, PPPoE, common tunnels, IPv6's least.
const SIZES: [u32; 6] = [9000, 8000, 1500, 1492, 1400, 1280];

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

/// An identifier that no other probe of this process has.
pub(super) fn identifier() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    (std::process::id() as u16).wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An echo request that makes an IP packet of `size` bytes with its headers; at least the headers.
pub(super) fn request(v4: bool, identifier: u16, sequence: u16, size: u32) -> Vec<u8> {
    let header = if v4 { 28 } else { 48 };
    let length = 8 + size.saturating_sub(header).min(65_000) as usize;
    let mut message = vec![if v4 { 8 } else { 128 }, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.resize(length, b'n');
    if v4 {
        // The kernel fills in ICMPv6's checksum, and not ICMP's.
        let sum = checksum(&message).to_be_bytes();
        message.iter_mut().skip(2).zip(sum).for_each(|(slot, byte)| *slot = byte);
    }
    message
}

/// The Internet checksum (RFC 1071).
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    };
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What a received packet answers: for IPv4 with its IP header, as raw sockets give it; for IPv6 without.
pub(super) fn reply(v4: bool, packet: &[u8]) -> Option<Reply> {
    let message = if v4 { behind_ipv4(packet)? } else { packet };
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let pair = |message: &[u8]| {
        let number = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
        Some((number(4)?, number(6)?))
    };
    // What an error speaks of: our packet, with its IP header.
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

/// A socket for echoes through a link (any for an empty name) that never fragments.
pub(super) fn open(ip: IpAddr, link: &str) -> io::Result<Socket> {
    let socket = Socket::icmp(ip.is_ipv4(), link)?;
    if ip.is_ipv4() {
        // Forbids fragmentation and does not look at the path MTU that the kernel has learnt.
        socket.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
    } else {
        socket.set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        socket.set(libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)?;
    }
    Ok(socket)
}

/// Sends small echoes to a gateway until one is answered, then full ones. Never gives up on the small ones: the
/// gateway's port may forward only after STP's delay.
pub(super) async fn gateway(
    link: &str,
    index: u32,
    ip: IpAddr,
    source: Option<IpAddr>,
    mtu: u32,
    facts: &Facts,
) {
    let prepared = open(ip, link).and_then(|socket| {
        source.map_or(Ok(()), |source| socket.bind_source(source, index))?;
        // A raw socket gets every echo that the machine gets, unless it is connected: of a thousand gateways that is a
        // million. Where there is no route yet, it stays so.
        let _ = socket.connect(ip, index);
        Ok(socket)
    });
    let over = |error: Option<String>| tell(facts, Fact::EchoOver(link.to_owned(), ip, error));
    let socket = match prepared {
        Ok(socket) => socket,
        Err(error) => return over(Some(words(&error))),
    };
    let mut echo = Echo { socket, ip, index, identifier: identifier(), buffer: vec![0; 65_536] };
    let rtt = loop {
        let start = Instant::now();
        match echo.send(0, 64).await {
            // No route (an IPv6 gateway outside every subnet) or not yet an address: the kernel's own question to the
            // neighbour goes on beside this.
            Err(error) => {
                if let Some(number) = refused_here(&error, &ip) {
                    tell(facts, Fact::EchoRefused(link.to_owned(), ip, number));
                }
                log::debug!("echo to {ip} on {link}: {error}");
            }
            Ok(()) => tell(facts, Fact::EchoSent(link.to_owned(), ip)),
        }
        if let Some(rtt) = first_answer(&mut echo, start).await {
            break rtt;
        }
    };
    tell(facts, Fact::Echo(link.to_owned(), ip, rtt.as_micros() as u64));
    let (sent, received) = settled_loss(&mut echo).await;
    tell(facts, Fact::Loss(link.to_owned(), ip, sent, received));
    // Where small packets are lost, full ones that do not pass tell nothing of their size.
    if received * 10 >= sent * 9 {
        let (tried, largest) = full(&mut echo, mtu).await;
        tell(facts, Fact::Full(link.to_owned(), ip, tried, largest));
    }
    over(None);
    // It may go away while others are waited for.
    loop {
        let start = Instant::now();
        // An error that is passing is like an echo that is lost.
        let sent = echo.send(0, 64).await.is_ok();
        if sent && echo.answer(start + INTERVAL).await.is_some() {
            tell(facts, Fact::Echo(link.to_owned(), ip, start.elapsed().as_micros() as u64));
        }
        sleep_until(start + 2 * INTERVAL).await;
    }
}

/// The time of the first answer within a second of `start`. Further echoes follow every 100 ms, so that a gateway of which
/// most are lost is told from one that ignores them.
async fn first_answer(echo: &mut Echo, start: Instant) -> Option<Duration> {
    for step in 1..=10 {
        if echo.answer(start + step * INTERVAL / 10).await.is_some() {
            return Some(start.elapsed());
        }
        if step < 10 && echo.send(0, 64).await.is_err() {
            return echo.answer(start + INTERVAL).await.map(|_| start.elapsed());
        }
    }
    None
}

/// Measures the loss until it is small, six times at most, so that what is lost while a bond's partner or a switch still
/// learns where this machine is does not count. The sums of the last three tell of a loss that stays.
async fn settled_loss(echo: &mut Echo) -> (u32, u32) {
    let mut rounds = Vec::new();
    for round in 0..6 {
        let (sent, received) = loss(echo, round).await;
        if received * 10 >= sent * 9 {
            return (sent, received);
        }
        rounds.push((sent, received));
    }
    let last = rounds.iter().rev().take(3);
    last.fold((0, 0), |sum, round| (sum.0 + round.0, sum.1 + round.1))
}

/// How many of the small echoes of half a second are answered within another.
async fn loss(echo: &mut Echo, round: u16) -> (u32, u32) {
    const ECHOES: u16 = 10;
    const LOSS: u16 = 0xff;
    // An answer that comes in the next round is late, and not one of its own.
    let first = (LOSS << 8) + round * ECHOES;
    let is_ours = |sequence: u16| (first..first + ECHOES).contains(&sequence);
    let mut answered = std::collections::HashSet::new();
    let start = Instant::now();
    for number in 0..ECHOES {
        // An error is an echo that does not arrive.
        let _ = echo.send(first + number, 64).await;
        while let Some(sequence) = echo.answer(start + u32::from(number + 1) * INTERVAL / 20).await {
            answered.extend(is_ours(sequence).then_some(sequence));
        }
    }
    while answered.len() < usize::from(ECHOES) {
        let Some(sequence) = echo.answer(start + INTERVAL).await else { break };
        answered.extend(is_ours(sequence).then_some(sequence));
    }
    (ECHOES.into(), answered.len() as u32)
}

/// The largest size tried, and the largest that passed.
async fn full(echo: &mut Echo, mtu: u32) -> (u32, Option<u32>) {
    let mtu = mtu.min(65_000);
    let sizes: Vec<u32> = std::iter::once(mtu).chain(SIZES.into_iter().filter(|size| *size < mtu)).collect();
    let mut largest = None;
    for round in 1..=ROUNDS {
        for (position, size) in sizes.iter().enumerate().filter(|(_, size)| Some(**size) > largest) {
            if let Err(error) = echo.send(round << 8 | position as u16, *size).await {
                log::debug!("echo of {size} bytes to {}: {error}", echo.ip);
            }
        }
        let until = Instant::now() + INTERVAL;
        while let Some(sequence) = echo.answer(until).await {
            let size = sizes
                .get(usize::from(sequence & 0xff))
                .copied()
                .filter(|_| (1..=ROUNDS).contains(&(sequence >> 8)));
            largest = largest.max(size);
            if largest == Some(mtu) {
                return (mtu, largest);
            }
        }
    }
    (mtu, largest)
}

/// An echo socket and whom it asks.
struct Echo {
    socket: Socket,
    ip: IpAddr,
    index: u32,
    identifier: u16,
    buffer: Vec<u8>,
}

impl Echo {
    async fn send(&self, sequence: u16, size: u32) -> io::Result<()> {
        let message = request(self.ip.is_ipv4(), self.identifier, sequence, size);
        self.socket.send_to(&message, self.ip, self.index).await
    }

    /// The sequence number of the next answer that comes until then.
    async fn answer(&mut self, until: Instant) -> Option<u16> {
        loop {
            let received = timeout_at(until, self.socket.receive(&mut self.buffer)).await.ok()?;
            let Ok(received) = received else {
                // An ICMP error of another packet; the bound ends a row of them.
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
    fn replies_and_errors_are_told_apart() {
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
