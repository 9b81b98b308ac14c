//! ARP by hand: whether others have one of our addresses (RFC 5227), and which hosts have given addresses in a subnet.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use foldhash::HashSet;
use tokio::time::{Instant, timeout_at};

use super::super::evidence::Tally;
use super::icmp::words;
use super::{Fact, Facts, tell};
use crate::model::MacAddr;
use crate::socket::Socket;
use crate::socket::arp::{Arp, ETH_P_ARP};

/// RFC 5227 1.1: PROBE_NUM, and PROBE_MIN between two. The random wait before the first is left out, because the
/// address is in use already.
pub(super) const PROBES: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two once another host was heard: the port carries frames, and an owner of the address would have received the
/// first. As often as a lease asks for an address (docs/leases.md).
pub(super) const SOON: Duration = Duration::from_millis(300);
/// How many rounds are repeated because a frame was dropped: LACP negotiates in three seconds.
const REPEATS: u32 = 5;
/// How many claims are reported: a host may send any number.
pub(super) const MOST: usize = 4096;

/// Sends three probes for each of our addresses, a second apart or less, and reports everybody who claims one. A mere probe
/// (sender 0.0.0.0) is no conflict: the address is in use already, and switches that track their hosts probe for
/// existing addresses. The caller decides whether the hardware address is one of our own.
pub(super) async fn claim(link: &str, index: u32, mac: MacAddr, ips: &[Ipv4Addr], facts: &Facts) {
    let frames: Vec<Vec<u8>> = ips.iter().map(|ip| Arp::probe(mac, *ip).frame()).collect();
    let ours: HashSet<Ipv4Addr> = ips.iter().copied().collect();
    let mut reported: HashSet<(Ipv4Addr, MacAddr)> = HashSet::default();
    let heard = |arp: Arp| {
        let ip = arp.sender;
        if ours.contains(&ip) && arp.mac != mac && reported.len() < MOST && reported.insert((ip, arp.mac)) {
            tell(facts, Fact::Claimed(link.to_owned(), IpAddr::V4(ip), arp.mac));
        }
    };
    let error = ask(index, PROBES, SOON, &frames, heard).await.err().map(|error| words(&error));
    for ip in ips {
        tell(facts, Fact::Unclaimed(link.to_owned(), IpAddr::V4(*ip), error.clone()));
    }
}

/// Asks for these addresses twice.
pub(super) async fn who_has(link: &str, index: u32, mac: MacAddr, ips: &[Ipv4Addr], facts: &Facts) {
    let frames: Vec<Vec<u8>> = ips.iter().map(|ip| Arp::probe(mac, *ip).frame()).collect();
    let heard = |arp: Arp| {
        if arp.reply && ips.contains(&arp.sender) {
            tell(facts, Fact::Has(link.to_owned(), IpAddr::V4(arp.sender), arp.mac));
        }
    };
    if let Err(error) = ask(index, 2, INTERVAL, &frames, heard).await {
        log::debug!("ARP on {link}: {error}");
    }
}

/// As [`rounds_of`], with every ARP packet of others.
async fn ask(
    index: u32,
    rounds: u32,
    soon: Duration,
    frames: &[Vec<u8>],
    mut heard: impl FnMut(Arp),
) -> std::io::Result<()> {
    let hear = |frame: &[u8]| {
        if let Some(arp) = Arp::of_frame(frame) {
            heard(arp);
        }
    };
    rounds_of(index, (ETH_P_ARP, &[]), (rounds, soon), frames, hear).await
}

/// Measures how many requests for a hardware address are answered.
pub(super) async fn tally(index: u32, mac: MacAddr, ip: Ipv4Addr) -> std::io::Result<Tally> {
    let is_answer = |frame: &[u8]| Arp::of_frame(frame).is_some_and(|arp| arp.reply && arp.sender == ip);
    tally_of(index, ETH_P_ARP, &[], &Arp::probe(mac, ip).frame(), is_answer).await
}

/// Sends a frame repeatedly for six seconds, and counts how often a reply arrives before the next.
pub(super) async fn tally_of(
    index: u32,
    ethertype: u16,
    filter: &[libc::sock_filter],
    frame: &[u8],
    is_answer: impl Fn(&[u8]) -> bool,
) -> std::io::Result<Tally> {
    const QUESTIONS: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(300);
    let socket = Socket::filtered(index, ethertype, filter)?;
    let (mut tally, mut buffer) = (Tally { sent: QUESTIONS, received: 0 }, [0; 128]);
    for _ in 0..QUESTIONS {
        socket.send_frame(frame, index).await?;
        let (until, mut answered) = (Instant::now() + PAUSE, false);
        while Instant::now() < until {
            let Ok(received) = timeout_at(until, socket.receive(&mut buffer)).await else { break };
            let received = received?;
            answered |= !received.outgoing && is_answer(buffer.get(..received.length).unwrap_or_default());
        }
        tally.received += u32::from(answered);
    }
    Ok(tally)
}

/// Sends whole frames so many times, a second apart, or `soon` once another host was heard, and passes on every frame of
/// that EtherType that others send until as long after the last. A round in which a device below drops a frame does not
/// count, within a bound: a bond does that while LACP negotiates, and a VLAN on it has carrier already.
pub(super) async fn rounds_of(
    index: u32,
    (ethertype, filter): (u16, &[libc::sock_filter]),
    (rounds, soon): (u32, Duration),
    frames: &[Vec<u8>],
    mut heard: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let socket = Socket::filtered(index, ethertype, filter)?;
    let (mut buffer, mut pause) = ([0; 128], INTERVAL);
    let (mut left, mut repeats) = (rounds, REPEATS);
    while left > 0 {
        let mut dropped = false;
        for frame in frames {
            match socket.send_frame(frame, index).await {
                // The kernel's word for a dropped frame (`net_xmit_errno`).
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) && repeats > 0 => dropped = true,
                sent => sent?,
            }
        }
        if dropped {
            repeats -= 1;
        } else {
            left -= 1;
        }
        let sent = Instant::now();
        // In a flood there is always a frame to read, and the timer would starve.
        let until = |pause: Duration| sent + if dropped { INTERVAL } else { pause };
        while Instant::now() < until(pause) {
            let Ok(received) = timeout_at(until(pause), socket.receive(&mut buffer)).await else { break };
            let received = received?;
            if !received.outgoing {
                pause = soon;
                heard(buffer.get(..received.length).unwrap_or_default());
            }
        }
    }
    Ok(())
}
