//! The routers on the path to a name server or target that does not answer: echoes with a small hop limit, as
//! traceroute(8) sends them. Where they end tells a missing return route from a silent host.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::evidence::Tally;
use super::icmp::{self, Reply};
use super::{Fact, Facts, tell};

/// How many hops are probed.
const HOPS: u16 = 6;
const ROUNDS: u16 = 3;
const INTERVAL: Duration = Duration::from_secs(1);
/// Sequence number of the echo with the full hop limit.
const WHOLE: u16 = 64;

/// Probes each distance three times, a second apart.
pub(super) async fn trace(ip: IpAddr, facts: &Facts) {
    let Ok(socket) = icmp::open(ip, 0) else { return };
    let v4 = ip.is_ipv4();
    let (identifier, mut buffer) = (icmp::identifier(), [0; 1024]);
    let mut echoes = Tally::default();
    for round in 1..=ROUNDS {
        let mut answered = false;
        for hop in (1..=HOPS).chain([WHOLE]) {
            let (level, option) = if v4 {
                (libc::IPPROTO_IP, libc::IP_TTL)
            } else {
                (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS)
            };
            let sent = socket.set(level, option, i32::from(hop));
            if sent.is_ok() && socket.send_to(&icmp::request(v4, identifier, hop, 64), ip, 0).await.is_err() {
                return;
            }
        }
        // A router asks three seconds for a host before it reports it unreachable.
        let last = if round == ROUNDS { INTERVAL } else { Duration::ZERO };
        let until = Instant::now() + INTERVAL + last;
        while let Ok(Ok(received)) = timeout_at(until, socket.receive(&mut buffer)).await {
            let packet = buffer.get(..received.length).unwrap_or_default();
            match icmp::reply(v4, packet) {
                Some(Reply::Echo(id, _)) if id == identifier && received.from == Some(ip) => answered = true,
                Some(Reply::Exceeded(id, hop)) if id == identifier && (1..=HOPS).contains(&hop) => {
                    tell(facts, Fact::Hop(ip, usize::from(hop), received.from));
                }
                Some(Reply::Unreachable(id, _, code)) if id == identifier => {
                    let by = received.from.unwrap_or(ip);
                    tell(facts, Fact::WayRefused(ip, by, refusal(v4, code)));
                }
                _ => {}
            }
        }
        (echoes.sent, echoes.received) = (echoes.sent + 1, echoes.received + u32::from(answered));
    }
    tell(facts, Fact::WayEcho(ip, echoes));
}

/// The meaning of the codes of ICMP's "destination unreachable" (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1).
fn refusal(v4: bool, code: u8) -> &'static str {
    match (v4, code) {
        (true, 0 | 6 | 11) | (false, 0) => "no route to its network",
        (true, 1 | 7 | 12) | (false, 3) => "host unreachable",
        (true, 9 | 10 | 13) | (false, 1 | 5 | 6) => "a filter forbids it",
        _ => "unreachable",
    }
}
