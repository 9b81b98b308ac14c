//! Probes a gateway with echoes: whether it exists, how much it loses, and whether full-sized packets reach it.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::evidence::{Loss, Losses, Tally};
use super::icmp::{self, ALONE, Echo, words};
use super::{Fact, Facts, arp, ndisc, refused_here, tell};
use crate::model::MacAddr;

/// How often an unanswered echo is sent again.
const INTERVAL: Duration = Duration::from_secs(1);
/// First byte of the sequence numbers of small echoes; full-sized ones have their round there.
const LONE: u16 = 0xfe;
/// How often each size is tried.
const ROUNDS: u16 = 3;
/// Sizes in bytes worth trying besides the MTU itself: jumbo, Ethernet, PPPoE, common tunnels, IPv6's minimum.
const SIZES: [u32; 6] = [9000, 8000, 1500, 1492, 1400, 1280];

/// The largest echo that is tried, in bytes.
const LARGEST: u32 = 65_000;

/// How many gateways are measured at once, with 20 echoes a second each. More would lose echoes that the network
/// carries: this process has one thread, and a thousand gateways may be one router.
pub(in crate::verify) const MEASURED: usize = 100;

static MEASURING: Semaphore = Semaphore::const_new(MEASURED);

/// A gateway to probe.
pub(super) struct Gateway {
    pub(super) link: String,
    /// The link's index.
    pub(super) index: u32,
    pub(super) ip: IpAddr,
    /// Our own address.
    pub(super) source: Option<IpAddr>,
    /// The link's hardware address, if it is Ethernet.
    pub(super) mac: Option<MacAddr>,
    /// MTU of the link in bytes.
    pub(super) mtu: u32,
}

/// Sends small echoes to a gateway until one is answered, then full-sized ones. Never gives up on the small ones: the
/// gateway's port may forward only after STP's delay.
pub(super) async fn ask(gateway: &Gateway, facts: &Facts) {
    let Gateway { link, index, ip, source, mtu, .. } = gateway;
    let (index, ip, mtu) = (*index, *ip, (*mtu).min(LARGEST));
    let prepared = icmp::open(ip, index).and_then(|socket| {
        source.map_or(Ok(()), |source| socket.bind_source(source, index))?;
        // An unconnected raw socket receives every echo of the machine: a million with a thousand gateways. It stays
        // unconnected while there is no route yet.
        let _ = socket.connect(ip, index);
        Ok(socket)
    });
    let over = |error: Option<String>| tell(facts, Fact::EchoOver(link.to_owned(), ip, error));
    let socket = match prepared {
        Ok(socket) => socket,
        Err(error) => return over(Some(words(&error))),
    };
    let mut echo = Echo::new(socket, ip, index);
    let rtt = loop {
        let start = Instant::now();
        match echo.send(0, 64).await {
            // No route (an IPv6 gateway outside every subnet) or no address yet: the kernel's own neighbour resolution
            // goes on in the meantime.
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
    // The semaphore is never closed.
    let turn = MEASURING.acquire().await;
    let losses = losses(&mut echo, gateway, facts).await;
    // If small packets are lost, lost full-sized ones say nothing about their size.
    let sizes = match losses.meaning() {
        Loss::None => Some(full(&mut echo, mtu).await),
        Loss::Limited => Some(full_alone(&mut echo, mtu).await),
        Loss::Unclear | Loss::Echoes(_) | Loss::Packets(_) => None,
    };
    if let Some((tried, largest)) = sizes {
        tell(facts, Fact::Full(link.to_owned(), ip, tried, largest));
    }
    drop(turn);
    over(None);
    // It may go away while others are waited for.
    loop {
        let start = Instant::now();
        // A transient error counts as a lost echo.
        let sent = echo.send(0, 64).await.is_ok();
        if sent && echo.answer(start + INTERVAL).await.is_some() {
            tell(facts, Fact::Echo(link.to_owned(), ip, start.elapsed().as_micros() as u64));
        }
        sleep_until(start + 2 * INTERVAL).await;
    }
}

/// Measures how much a gateway answers. If echoes in quick succession are lost, slower ones follow: it may limit its
/// replies. Losses while a bond's partner or a switch still learns this machine's location do not count, but after a loss one
/// round without any proves nothing: if three of ten packets are lost, ten pass in 3 of 100 cases.
async fn losses(echo: &mut Echo, gateway: &Gateway, facts: &Facts) -> Losses {
    let tell_of = |losses: Losses| tell(facts, Fact::Losses(gateway.link.clone(), gateway.ip, losses));
    let mut losses = Losses::default();
    let mut whole_rounds = 0;
    for round in 0..4 {
        losses.echoes = quick(echo, round).await;
        tell_of(losses);
        whole_rounds = if losses.echoes.is_whole() { whole_rounds + 1 } else { 0 };
        if whole_rounds == 2 || whole_rounds == 1 && round == 0 {
            return losses;
        }
    }
    (losses.lone, losses.neighbour) = tokio::join!(lone(echo), neighbour(gateway));
    tell_of(losses);
    losses
}

/// Echoes so far apart that no rate limit in use drops one.
async fn lone(echo: &mut Echo) -> Tally {
    const ECHOES: u16 = 5;
    let mut tally = Tally::default();
    for number in 0..ECHOES {
        sleep(ALONE).await;
        let sequence = LONE << 8 | number;
        tally.sent += 1;
        tally.received += u32::from(echo.alone(sequence, 64).await);
    }
    tally
}

/// Requests for a gateway's hardware address.
async fn neighbour(gateway: &Gateway) -> Tally {
    let Some(mac) = gateway.mac else { return Tally::default() };
    let asked = match gateway.ip {
        IpAddr::V4(ip) => arp::tally(gateway.index, mac, ip).await,
        IpAddr::V6(ip) => ndisc::tally(gateway.index, mac, ip).await,
    };
    asked.unwrap_or_else(|error| {
        log::debug!("questions for {} on {}: {error}", gateway.ip, gateway.link);
        Tally::default()
    })
}

/// The time of the first answer within a second of `start`. Further echoes follow every 100 ms, to tell a gateway with
/// heavy loss from one that ignores echo.
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

/// How many of the small echoes of half a second are answered within another.
async fn quick(echo: &mut Echo, round: u16) -> Tally {
    const ECHOES: u16 = 10;
    const QUICK: u16 = 0xff;
    // A reply that arrives in the next round is late, not a reply to that round.
    let first = (QUICK << 8) + round * ECHOES;
    let is_ours = |sequence: u16| (first..first + ECHOES).contains(&sequence);
    let mut answered = foldhash::HashSet::default();
    let start = Instant::now();
    for number in 0..ECHOES {
        // An error counts as a lost echo.
        let _ = echo.send(first + number, 64).await;
        while let Some(sequence) = echo.answer(start + u32::from(number + 1) * INTERVAL / 20).await {
            answered.extend(is_ours(sequence).then_some(sequence));
        }
    }
    while answered.len() < usize::from(ECHOES) {
        let Some(sequence) = echo.answer(start + INTERVAL).await else { break };
        answered.extend(is_ours(sequence).then_some(sequence));
    }
    Tally { sent: ECHOES.into(), received: answered.len() as u32 }
}

/// The sizes in bytes to be tried, the largest first.
fn sizes(mtu: u32) -> impl Iterator<Item = u32> {
    std::iter::once(mtu).chain(SIZES.into_iter().filter(move |size| *size < mtu))
}

/// The largest size tried, and the largest that passed.
async fn full(echo: &mut Echo, mtu: u32) -> (u32, Option<u32>) {
    let sizes: Vec<u32> = sizes(mtu).collect();
    let mut largest = None;
    for round in 1..=ROUNDS {
        for (position, size) in sizes.iter().enumerate().filter(|(_, size)| Some(**size) > largest) {
            if let Err(error) = echo.send(round << 8 | position as u16, *size).await {
                log::debug!("echo of {size} bytes: {error}");
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

/// The same for a gateway that limits echo replies: one at a time, the largest first.
async fn full_alone(echo: &mut Echo, mtu: u32) -> (u32, Option<u32>) {
    for (position, size) in (0_u16..).zip(sizes(mtu)) {
        for round in 1..=2 {
            sleep(ALONE).await;
            if echo.alone(round << 8 | position, size).await {
                return (mtu, Some(size));
            }
        }
    }
    (mtu, None)
}
