//! A target: its name, a connection, and the first bytes of the answer.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::machine::Machine;

use super::super::evidence::Answer;
use super::super::input::{Scheme, Target};
use super::dns::Lookup;
use super::icmp::{self, words};
use super::{Fact, Facts, http, names, refused_here, tell};
use crate::socket;

/// How long one attempt may take, and how often one is made.
const ATTEMPT: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a resolver waits for a name server (resolv.conf(5), `timeout`).
const SLOW: Duration = Duration::from_secs(5);
/// How often an unsuccessful answer must come to be final: a service that just starts refuses at first.
const FINAL: u32 = 3;

/// Tries a target until it answers successfully, or unsuccessfully for the third time.
pub(super) async fn ask(
    position: usize,
    target: &Target,
    servers: &[(IpAddr, u32)],
    search: &[String],
    (machine, facts): (&Machine, &Facts),
) {
    let (mut bad, mut unknown) = (0, 0);
    for attempt_number in 1_u32.. {
        let start = Instant::now();
        // Each attempt waits longer: a slow server gets its time, and a dead one does not hold up the first.
        let wait = (attempt_number * INTERVAL).min(SLOW);
        match names::resolve(&target.host, servers, search, wait, machine).await {
            Lookup::Unknown => {
                unknown += 1;
                if unknown == FINAL {
                    return tell(facts, Fact::UnknownName(position));
                }
            }
            Lookup::Found(addresses) => {
                tell(facts, Fact::Resolved(position, addresses.clone()));
                for ip in addresses {
                    let begin = Instant::now();
                    match attempt(target, ip, begin + ATTEMPT).await {
                        Ok(answer) => {
                            let good = answer.is_good();
                            bad += u32::from(!good);
                            let time = begin.elapsed().as_micros() as u64;
                            tell(facts, Fact::Answer(position, answer, time, good || bad >= FINAL));
                            if good || bad >= FINAL {
                                return;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                        Err(error) => {
                            let here = refused_here(&error, &ip);
                            tell(facts, Fact::Unreachable(position, words(&error), here));
                        }
                    }
                }
            }
            Lookup::Refused => tell(facts, Fact::NameRefused(position)),
            Lookup::Silent => {}
        }
        sleep_until(start + INTERVAL).await;
    }
}

/// One attempt at one address.
async fn attempt(target: &Target, ip: IpAddr, until: Instant) -> io::Result<Answer> {
    if target.scheme == Scheme::Ping {
        return ping(ip, until).await;
    }
    let connect = TcpStream::connect(socket::endpoint(ip, target.port, 0));
    let stream = match timeout_at(until, connect).await {
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(Answer::Refused),
        Ok(result) => result?,
    };
    match target.scheme {
        Scheme::Tcp | Scheme::Ping => Ok(Answer::Connected),
        Scheme::Http => {
            let request = http::request(&target.host, target.port, &target.path);
            talk(&stream, &request, until, http::status).await
        }
        Scheme::Https => talk(&stream, &http::hello(&target.host), until, http::tls).await,
    }
}

/// Sends `words` and reads until `understand` returns an answer.
async fn talk(
    stream: &TcpStream,
    words: &[u8],
    until: Instant,
    understand: impl Fn(&[u8]) -> Option<Answer>,
) -> io::Result<Answer> {
    let silent = |_| io::Error::from(io::ErrorKind::TimedOut);
    let mut rest = words;
    while !rest.is_empty() {
        timeout_at(until, stream.writable()).await.map_err(silent)??;
        match stream.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        timeout_at(until, stream.readable()).await.map_err(silent)??;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(Answer::Strange("closes without sending data".into())),
            Ok(length) => answer.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if let Some(understood) = understand(&answer) {
            return Ok(understood);
        }
    }
}

async fn ping(ip: IpAddr, until: Instant) -> io::Result<Answer> {
    let socket = icmp::open(ip, 0)?;
    let (identifier, mut buffer) = (icmp::identifier(), [0; 512]);
    socket.send_to(&icmp::request(ip.is_ipv4(), identifier, 1, 64), ip, 0).await?;
    let until = until.min(Instant::now() + INTERVAL);
    loop {
        let received =
            timeout_at(until, socket.receive(&mut buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let packet = buffer.get(..received.length).unwrap_or_default();
        match icmp::reply(ip.is_ipv4(), packet) {
            Some(icmp::Reply::Echo(id, _)) if id == identifier && received.from == Some(ip) => {
                return Ok(Answer::Connected);
            }
            Some(icmp::Reply::Unreachable(id, ..)) if id == identifier => {
                return Err(io::Error::from_raw_os_error(libc::EHOSTUNREACH));
            }
            _ => {}
        }
    }
}
