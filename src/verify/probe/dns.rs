//! DNS by hand (RFC 1035): one query, the addresses in the answer. No recursion of our own, no cache.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::icmp::{identifier, words};
use super::{Fact, Facts, refused_here, tell};
use crate::socket::endpoint;

const PORT: u16 = 53;
const INTERVAL: Duration = Duration::from_secs(1);
const TYPE_A: u16 = 1;
const TYPE_NS: u16 = 2;
const TYPE_AAAA: u16 = 28;

/// The answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The addresses; none if the name has none of this family.
    Addresses(Vec<IpAddr>),
    /// The name does not exist.
    NoSuchName,
    /// The server cannot or will not answer this.
    Refuses,
}

/// A query for a name; `None` if the name is not a valid DNS name.
fn query(identifier: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut message = identifier.to_be_bytes().to_vec();
    // Recursion desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.').filter(|_| !name.trim_end_matches('.').is_empty()) {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    (message.len() <= 12 + 255 + 4).then_some(message)
}

/// Parses the answer to the query with this identifier. Addresses are taken from the answer section whatever their
/// owner name: a server includes the chain of aliases.
pub(super) fn read(message: &[u8], identifier: u16) -> Option<Reply> {
    let number = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let flags = number(2)?;
    if number(0)? != identifier || flags & 0x8000 == 0 {
        return None;
    }
    match flags & 0x0f {
        0 => {}
        3 => return Some(Reply::NoSuchName),
        _ => return Some(Reply::Refuses),
    }
    let mut at = 12;
    for _ in 0..number(4)? {
        at = skip_name(message, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..number(6)? {
        at = skip_name(message, at)?;
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        match kind {
            TYPE_A => addresses.extend(<[u8; 4]>::try_from(data).ok().map(|b| IpAddr::V4(Ipv4Addr::from(b)))),
            TYPE_AAAA => {
                addresses.extend(<[u8; 16]>::try_from(data).ok().map(|b| IpAddr::V6(Ipv6Addr::from(b))));
            }
            _ => {}
        }
        at += 10 + length;
    }
    Some(Reply::Addresses(addresses))
}

/// Where the name at `at` ends.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// A socket that receives packets only from that server, and its ICMP errors.
async fn connected(server: IpAddr, index: u32) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(endpoint(server, PORT, index)).await?;
    Ok(socket)
}

/// Sends a query and waits for its answer until then.
async fn exchange(server: IpAddr, index: u32, name: &str, kind: u16, until: Instant) -> io::Result<Reply> {
    let socket = connected(server, index).await?;
    let identifier = identifier();
    let query = query(identifier, name, kind).ok_or(io::ErrorKind::InvalidInput)?;
    socket.send(&query).await?;
    let mut buffer = [0; 4096];
    loop {
        let length =
            timeout_at(until, socket.recv(&mut buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if let Some(reply) = read(buffer.get(..length).unwrap_or_default(), identifier) {
            return Ok(reply);
        }
    }
}

/// Queries a server for the root's name servers, which every server can answer or refuse, until it answers.
pub(super) async fn server(server: IpAddr, index: u32, facts: &Facts) {
    loop {
        let start = Instant::now();
        match first_answer(server, index).await {
            Ok(time) => return tell(facts, Fact::Resolver(server, time.as_micros() as u64)),
            Err(error) => {
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                let here = refused_here(&error, &server);
                tell(facts, Fact::ResolverError(server, refused, words(&error), here));
            }
        }
        sleep_until(start + INTERVAL).await;
    }
}

/// Sends a query every second, and returns the time of the first answer to any of them: a resolver waits longer than
/// that for a slow server (five seconds: resolv.conf(5), `timeout`).
async fn first_answer(server: IpAddr, index: u32) -> io::Result<Duration> {
    let socket = connected(server, index).await?;
    let (mut sent, mut buffer): (Vec<(u16, Instant)>, _) = (Vec::new(), [0; 4096]);
    loop {
        let (identifier, now) = (identifier(), Instant::now());
        let query = query(identifier, ".", TYPE_NS).ok_or(io::ErrorKind::InvalidInput)?;
        socket.send(&query).await?;
        sent.push((identifier, now));
        while let Ok(length) = timeout_at(now + INTERVAL, socket.recv(&mut buffer)).await {
            let answer = buffer.get(..length?).unwrap_or_default();
            if let Some((_, at)) = sent.iter().find(|(identifier, _)| read(answer, *identifier).is_some()) {
                return Ok(at.elapsed());
            }
        }
    }
}

/// The result of resolving a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Its addresses, at least one.
    Found(Vec<IpAddr>),
    /// The name does not exist, or has no address.
    Unknown,
    /// The servers that answer refuse or fail.
    Refused,
    /// Nobody answers.
    Silent,
}

/// Queries the servers one after the other for the addresses of a name, each for so long.
pub(super) async fn addresses(name: &str, servers: &[(IpAddr, u32)], wait: Duration) -> Lookup {
    let mut result = Lookup::Silent;
    for (server, index) in servers {
        let until = Instant::now() + wait;
        let mut found = Vec::new();
        let ask = |kind| exchange(*server, *index, name, kind, until);
        let (four, six) = tokio::join!(ask(TYPE_A), ask(TYPE_AAAA));
        for reply in [four, six].into_iter().flatten() {
            match reply {
                Reply::Addresses(addresses) => {
                    result = Lookup::Unknown;
                    found.extend(addresses);
                }
                Reply::NoSuchName => result = Lookup::Unknown,
                Reply::Refuses if result == Lookup::Silent => result = Lookup::Refused,
                Reply::Refuses => {}
            }
        }
        if !found.is_empty() {
            return Lookup::Found(found);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer as a server writes it: the name compressed, an alias before the address.
    fn answer() -> Vec<u8> {
        let mut message = query(7, "api.example", TYPE_A).unwrap();
        message[2] = 0x81;
        message[3] = 0x80;
        message[7] = 2;
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'b', 0xc0, 16]);
        message.extend([0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 80]);
        message
    }

    #[test]
    fn addresses_are_found_behind_an_alias() {
        let address: IpAddr = "192.0.2.80".parse().unwrap();
        assert_eq!(read(&answer(), 7), Some(Reply::Addresses(vec![address])));
        assert_eq!(read(&answer(), 8), None, "another's answer");
        for cut in 0..answer().len() {
            assert_eq!(read(&answer()[..cut], 7), None, "cut at {cut}");
        }
    }

    #[test]
    fn refusals_are_answers() {
        let mut message = query(7, "x", TYPE_A).unwrap();
        message[2] = 0x81;
        message[3] = 3;
        assert_eq!(read(&message, 7), Some(Reply::NoSuchName));
        message[3] = 5;
        assert_eq!(read(&message, 7), Some(Reply::Refuses));
    }

    #[test]
    fn names_that_cannot_be_asked_for_are_not() {
        assert!(query(1, ".", TYPE_NS).is_some_and(|q| q.len() == 17));
        assert!(query(1, "a..b", TYPE_A).is_none());
        assert!(query(1, &"a".repeat(64), TYPE_A).is_none());
        assert!(query(1, &"abc.".repeat(80), TYPE_A).is_none());
    }
}
