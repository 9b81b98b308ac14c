//! Who solicits advertisements, and what they say for how long, without sockets or a clock: a [`RaEvent`] and the time come
//! in, [`RaOutput`]s and the next [`Solicitor::deadline`] go out.
//!
//! Routers are solicited until a default router has answered (RFC 7559), and again when the carrier returns. What a router says stays
//! until its lifetime is over or it says something else.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::super::dhcp4::machine::{Moment, Random};
use super::super::exchange::{Exchange, Pace, millis, pace};
use super::message::{Advertisement, MOST};
use crate::order::Order as _;

/// RFC 7559, section 2.
const SOLICIT: Pace = pace(4, 3600, 0, 0);
/// MAX_RTR_SOLICITATION_DELAY (RFC 4861, section 10).
const MOST_DELAY: Duration = Duration::from_secs(1);
/// A link that has no address yet cannot send: its own is being probed, which ends within so many tries. One that never
/// has an address is left in peace after them.
const NOT_READY: Duration = Duration::from_millis(300);
const MOST_UNSENT: u8 = 10;
/// Routers advertise at least this often (MaxRtrAdvInterval, RFC 4861, section 6.2.1), so that one which says nothing of
/// longer lifetimes is remembered for so long.
const LONGEST_INTERVAL: u32 = 1800;
/// News are told at most this often, whatever is sent.
const BREATH: Duration = Duration::from_secs(1);

/// What one router says. Times are milliseconds since the machine was started; `None` is never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// M: addresses come by DHCPv6.
    #[serde(default)]
    pub managed: bool,
    /// O: other things come by DHCPv6.
    #[serde(default)]
    pub other: bool,
    /// Until then it is a default router; 0 where it is none.
    #[serde(default)]
    pub default_until: u64,
    /// Prefixes, whether machines make addresses of them, and until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<(Ipv6Net, bool, Option<u64>)>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<(Ipv6Addr, Option<u64>)>,
    /// Domains to search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<(String, Option<u64>)>,
    /// Until then it is remembered.
    pub until: u64,
}

fn is_over(until: Option<u64>, now: Moment) -> bool {
    until.is_some_and(|until| until <= millis(now))
}

/// Keeps what lasts.
fn keep<T>(list: &mut Vec<(T, Option<u64>)>, now: Moment) {
    list.retain(|(_, until)| !is_over(*until, now));
}

/// Takes what is new before what is older: a lifetime of 0 takes an item back.
fn update<T: PartialEq + Clone>(list: &mut Vec<(T, Option<u64>)>, told: &[(T, u32)], now: Moment) {
    for (item, lifetime) in told {
        let has_room = list.len() < MOST;
        match list.iter_mut().find(|(known, _)| known == item) {
            Some(known) => known.1 = end(now, *lifetime),
            None if has_room => list.push((item.clone(), end(now, *lifetime))),
            None => {}
        }
    }
    keep(list, now);
}

fn end(now: Moment, lifetime: u32) -> Option<u64> {
    (lifetime != u32::MAX).then(|| millis(now + Duration::from_secs(lifetime.into())))
}

impl Router {
    /// Name servers that are in force.
    pub fn name_servers(&self, now: Moment) -> impl Iterator<Item = Ipv6Addr> {
        self.name_servers.iter().filter(move |(_, until)| !is_over(*until, now)).map(|(server, _)| *server)
    }

    /// Search domains that are in force.
    pub fn search(&self, now: Moment) -> impl Iterator<Item = &str> {
        self.search.iter().filter(move |(_, until)| !is_over(*until, now)).map(|(domain, _)| domain.as_str())
    }

    /// Machines make addresses of a prefix that it advertises.
    pub fn gives_addresses(&self, now: Moment) -> bool {
        self.prefixes.iter().any(|(_, autonomous, until)| *autonomous && !is_over(*until, now))
    }

    /// It is not forgotten yet.
    pub fn is_in_force(&self, now: Moment) -> bool {
        !is_over(Some(self.until), now)
    }

    fn take(&mut self, told: &Advertisement, now: Moment) {
        (self.managed, self.other) = (told.managed, told.other);
        let until = |lifetime: u16| millis(now + Duration::from_secs(lifetime.into()));
        self.default_until = if told.lifetime == 0 { 0 } else { until(told.lifetime) };
        for prefix in &told.prefixes {
            self.prefixes.retain(|(net, ..)| *net != prefix.net);
            if self.prefixes.len() < MOST && prefix.valid > 0 {
                self.prefixes.push((prefix.net, prefix.autonomous, end(now, prefix.valid)));
            }
        }
        self.prefixes.order();
        update(&mut self.name_servers, &told.name_servers, now);
        update(&mut self.search, &told.search, now);
        let lifetimes = told.name_servers.iter().map(|(_, s)| *s).chain(told.search.iter().map(|(_, s)| *s));
        let longest = lifetimes.chain([told.lifetime.into(), LONGEST_INTERVAL]).max().unwrap_or_default();
        self.until = millis(now + Duration::from_secs(longest.into()));
    }

    fn expire(&mut self, now: Moment) {
        self.prefixes.retain(|(.., until)| !is_over(*until, now));
        keep(&mut self.name_servers, now);
        keep(&mut self.search, now);
    }

    fn first_end(&self) -> Option<u64> {
        let servers = self.name_servers.iter().filter_map(|(_, until)| *until);
        let search = self.search.iter().filter_map(|(_, until)| *until);
        let prefixes = self.prefixes.iter().filter_map(|(.., until)| *until);
        servers.chain(search).chain(prefixes).chain([self.until]).min()
    }

    /// What two that differ in their times alone have in common.
    pub fn without_times(&self) -> Router {
        Router {
            default_until: u64::from(self.default_until > 0),
            prefixes: self.prefixes.iter().map(|(net, autonomous, _)| (*net, *autonomous, None)).collect(),
            name_servers: self.name_servers.iter().map(|(server, _)| (*server, None)).collect(),
            search: self.search.iter().map(|(domain, _)| (domain.clone(), None)).collect(),
            until: 0,
            ..self.clone()
        }
    }
}

/// What happens on a link.
#[derive(Copy, Clone, Debug)]
pub enum RaEvent<'a> {
    /// The link carries packets from now on, or no longer.
    Carrier(bool),
    /// The deadline has come. A call before that does nothing.
    Timer,
    /// A router has advertised.
    Advertised(Ipv6Addr, &'a Advertisement),
    /// The solicitation could not be sent.
    Unsent,
}

/// What is to be done.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RaOutput {
    /// Ask all routers of the link.
    Solicit,
    /// What routers say is another than what was told before.
    Changed,
    /// The same, for longer.
    Prolonged,
}

/// Solicits on one link.
#[derive(Clone, Debug)]
pub struct Solicitor {
    carrier: bool,
    /// `None` once a default router has answered.
    exchange: Option<Exchange>,
    routers: Vec<Router>,
    unanswered: u32,
    /// Solicitations that could not be sent since the carrier came.
    unsent: u8,
    /// What was told last, and when.
    told: Vec<Router>,
    told_at: Option<Moment>,
}

impl Solicitor {
    /// Of a link that carries nothing yet. What is remembered holds until its end.
    pub fn new(kept: Vec<Router>, now: Moment) -> Solicitor {
        let routers: Vec<Router> =
            kept.into_iter().filter(|router| router.is_in_force(now)).take(MOST).collect();
        let told = routers.clone();
        Solicitor { carrier: false, exchange: None, routers, unanswered: 0, unsent: 0, told, told_at: None }
    }

    /// What routers say.
    pub fn routers(&self) -> &[Router] {
        &self.routers
    }

    /// Solicitations since the carrier came, or since the last answer.
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// The state in a word.
    pub fn state(&self) -> &'static str {
        match (self.carrier, &self.exchange) {
            (false, _) => "DOWN",
            (true, Some(_)) => "SOLICITING",
            (true, None) => "HEARD",
        }
    }

    /// When [`RaEvent::Timer`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        let exchange = self.exchange.filter(|_| self.carrier).map(|exchange| exchange.next);
        let ends = self.routers.iter().filter_map(Router::first_end).map(Duration::from_millis).min();
        let told = self.told_at.filter(|_| self.has_news()).map(|at| at + BREATH);
        exchange.into_iter().chain(ends).chain(told).min()
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Moment, event: RaEvent<'_>, random: Random<'_>) -> Vec<RaOutput> {
        let mut out = Vec::new();
        match event {
            RaEvent::Carrier(carrier) => {
                if carrier && !self.carrier {
                    (self.unanswered, self.unsent) = (0, 0);
                    self.exchange = Some(Exchange::delayed(now, MOST_DELAY, random));
                }
                self.carrier = carrier;
            }
            RaEvent::Timer => self.timer(now, random, &mut out),
            RaEvent::Advertised(from, told) => self.advertised(now, from, told),
            RaEvent::Unsent => {
                self.unanswered = self.unanswered.saturating_sub(1);
                if self.unsent < MOST_UNSENT {
                    self.unsent += 1;
                    let mut exchange = Exchange::new(now, random);
                    exchange.next = now + NOT_READY;
                    self.exchange = self.exchange.map(|_| exchange);
                }
            }
        }
        self.tell(now, &mut out);
        out
    }

    fn timer(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<RaOutput>) {
        self.routers.iter_mut().for_each(|router| router.expire(now));
        self.routers.retain(|router| router.is_in_force(now));
        if self.routers.is_empty() && self.carrier && self.exchange.is_none() {
            self.exchange = Some(Exchange::new(now, random));
        }
        if let Some(exchange) = self.exchange.as_mut().filter(|e| self.carrier && e.next <= now) {
            exchange.sent(now, SOLICIT, false, random);
            self.unanswered = self.unanswered.saturating_add(1);
            out.push(RaOutput::Solicit);
        }
    }

    fn advertised(&mut self, now: Moment, address: Ipv6Addr, told: &Advertisement) {
        let is_known = self.routers.iter().any(|router| router.address == address);
        if !is_known && self.routers.len() < MOST {
            let new = Router {
                address,
                managed: false,
                other: false,
                default_until: 0,
                prefixes: Vec::new(),
                name_servers: Vec::new(),
                search: Vec::new(),
                until: 0,
            };
            self.routers.push(new);
        }
        if let Some(router) = self.routers.iter_mut().find(|router| router.address == address) {
            router.take(told, now);
            self.unanswered = 0;
            // Another router than the one that is looked for may answer first (RFC 7559, section 2.1).
            self.exchange.take_if(|_| told.lifetime > 0);
        }
    }

    fn has_news(&self) -> bool {
        let is_same = |(now, told): (&Router, &Router)| now.without_times() == told.without_times();
        self.routers.len() != self.told.len() || !self.routers.iter().zip(&self.told).all(is_same)
    }

    /// Half of the time that was told last is over, and there is more of it.
    fn is_prolonged(&self, now: Moment) -> bool {
        let first = |routers: &[Router]| routers.iter().filter_map(Router::first_end).min();
        let (Some(told), Some(until)) = (first(&self.told), first(&self.routers)) else { return false };
        let left = |until: u64| until.saturating_sub(millis(now));
        left(told) < left(until) / 2
    }

    fn tell(&mut self, now: Moment, out: &mut Vec<RaOutput>) {
        if self.told_at.is_some_and(|at| now < at + BREATH) {
            return;
        }
        let output = match self.has_news() {
            true => RaOutput::Changed,
            false if self.is_prolonged(now) => RaOutput::Prolonged,
            false => return,
        };
        out.push(output);
        (self.told, self.told_at) = (self.routers.clone(), Some(now));
    }
}

#[cfg(test)]
mod tests;
