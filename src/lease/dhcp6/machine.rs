//! The protocol's states (RFC 9915, section 18.2) without sockets or a clock: a [`Event6`] and the time come in,
//! [`Output6`]s and the next [`Client6::deadline`] go out. Every message is sent to all servers on the link.
//!
//! One association of addresses is requested. The kernel, which adds an address to the link, finds out whether another
//! host has it: [`Event6::Duplicate`]. A link that loses its carrier keeps its lease, and confirms that the addresses
//! still belong there (CONFIRM) when the carrier returns.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::super::dhcp4::machine::{LeaseEnd, Moment, Random};
use super::super::exchange::{Exchange, Pace, millis, pace};
use super::message::{AnswerKind, Association, ClientQuestion, QueryKind, ServerAnswer, status};

const SOLICIT: Pace = pace(1, 3600, 0, 0);
const REQUEST: Pace = pace(1, 30, 10, 0);
const CONFIRM: Pace = pace(1, 4, 0, 10);
/// Until T2, and until the last address expires.
const RENEW: Pace = pace(10, 600, 0, 0);
const REBIND: Pace = RENEW;
const INFORM: Pace = pace(1, 3600, 0, 0);
const RELEASE: Pace = pace(1, 0, 4, 0);
const DECLINE: Pace = RELEASE;
/// How long the first message waits at most after a link got its carrier.
const MOST_DELAY: Duration = Duration::from_secs(1);
/// A server that refuses must not set the pace: each further refusal doubles the wait, up to 32 times this.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);
/// A link sends 20 messages at once at most, and then one each second (section 14.1).
const COST: Duration = Duration::from_secs(1);
const CREDIT: Duration = Duration::from_secs(19);
/// How long addresses that are released may take to go from the link before the server is told.
const REMOVAL: Duration = Duration::from_secs(2);
/// The least time between two exchanges that changes of the link's prefixes cause (section 18.2.12).
const BETWEEN_CHECKS: Duration = Duration::from_secs(30);
/// A server with this preference is chosen at once.
const AT_ONCE: u8 = 255;
/// An infinite lifetime, and a T1 or T2 of never.
const INFINITE: u32 = u32::MAX;
/// What was told without addresses is asked for again after a day where the server gives no time, and not sooner than
/// after ten minutes (IRT_DEFAULT and IRT_MINIMUM).
const REFRESH: u32 = 86_400;
const SOONEST_REFRESH: u32 = 600;
/// Servers that are remembered.
const MOST_SERVERS: usize = 8;

/// Who asks, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config6 {
    /// The machine's identifier (DUID).
    pub duid: Vec<u8>,
    /// The link's identifier (IAID).
    pub iaid: [u8; 4],
    /// The machine's name, as sent.
    pub host_name: Option<String>,
    /// Addresses are not asked for, only what else a server tells (INFORMATION-REQUEST).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stateless: bool,
    /// A server may grant addresses with its first answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rapid_commit: bool,
}

/// An address and its lifetimes, in milliseconds since boot; `None` is forever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedAddress {
    /// The address.
    pub address: Ipv6Addr,
    /// Preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_until: Option<u64>,
    /// Valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
}

/// What a server grants a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease6 {
    /// The server's identifier.
    pub server: Vec<u8>,
    /// None where only the rest was asked for.
    pub addresses: Vec<LeasedAddress>,
    /// When to renew or to ask again, and when to ask any server, in milliseconds since the machine was started; `None` is
    /// never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t1: Option<u64>,
    /// See `t1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t2: Option<u64>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<Ipv6Addr>,
    /// Domains to search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Time servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_servers: Vec<Ipv6Addr>,
    /// Prefixes that the server delegates without having been asked for them; they are not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegated: Vec<Ipv6Net>,
}

impl LeasedAddress {
    /// Whether it is valid.
    pub fn is_in_force(&self, now: Moment) -> bool {
        self.valid_until.is_none_or(|end| now < Duration::from_millis(end))
    }
}

impl Lease6 {
    /// Whether any of its addresses may be used. What came without addresses holds until something else is told.
    pub fn is_in_force(&self, now: Moment) -> bool {
        self.addresses.is_empty() || self.addresses.iter().any(|address| address.is_in_force(now))
    }

    /// Only the addresses.
    pub fn ips(&self) -> Vec<Ipv6Addr> {
        self.addresses.iter().map(|address| address.address).collect()
    }

    /// What a server tells beside addresses and times.
    fn of(answer: &ServerAnswer) -> Lease6 {
        Lease6 {
            server: answer.server.clone(),
            addresses: Vec::new(),
            t1: None,
            t2: None,
            name_servers: answer.name_servers.clone(),
            search: answer.search.clone(),
            time_servers: answer.time_servers.clone(),
            delegated: answer.delegated.clone(),
        }
    }

    /// What two leases that differ in their times alone have in common.
    pub fn without_times(&self) -> Lease6 {
        let addresses = self.addresses.iter().map(|address| LeasedAddress {
            preferred_until: None,
            valid_until: None,
            ..address.clone()
        });
        Lease6 { addresses: addresses.collect(), t1: None, t2: None, ..self.clone() }
    }

    /// When the first of its addresses expires.
    fn first_end(&self) -> Option<Moment> {
        self.addresses.iter().filter_map(|address| address.valid_until).min().map(Duration::from_millis)
    }
}

/// An event for a client.
#[derive(Copy, Clone, Debug)]
pub enum Event6<'a> {
    /// The link carries packets from now on, or no longer.
    Carrier(bool),
    /// The deadline has been reached. An earlier call does nothing.
    Timer,
    /// The payload of a datagram for the client's port.
    Message(&'a [u8]),
    /// Another host has this address.
    Duplicate(Ipv6Addr),
    /// The lease should be released.
    Release,
    /// The addresses of a lease that is being released are no longer on the link.
    Removed,
    /// Routers advertise other prefixes than before: the lease may not belong there any more.
    OtherPrefixes,
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output6 {
    /// Send to all servers on the link.
    Send(Vec<u8>),
    /// This lease is in force from now on, and no other.
    Bound(Lease6),
    /// No lease is in force any longer.
    Lost(LeaseEnd),
}

/// What was heard since the client started, for a person who wonders why no address is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account6 {
    /// Messages sent without an answer since the last valid one.
    pub unanswered: u32,
    /// Servers that answered without an address: their identifiers and status codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_address: Vec<(Vec<u8>, u16)>,
    /// The last address in use by another host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Ipv6Addr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State6 {
    /// The link carries no packets.
    Down,
    /// Nothing is requested until then.
    Init {
        at: Moment,
    },
    /// With the best answer so far.
    Soliciting(Exchange, Option<Box<ServerAnswer>>),
    Requesting(Exchange, Box<ServerAnswer>),
    /// Whether a server has said that the addresses do not belong to the link.
    Confirming(Exchange, bool),
    Bound,
    /// Asks for what comes without addresses.
    Informing(Exchange),
    /// Has it.
    Informed,
    Renewing(Exchange),
    Rebinding(Exchange),
    Declining(Exchange, Vec<Ipv6Addr>, Vec<u8>),
    Releasing(Exchange, Vec<Ipv6Addr>, Vec<u8>),
    /// Given up: nothing more is asked.
    Released,
}

/// The longest delay between two messages, which servers may set (SOL_MAX_RT, INF_MAX_RT).
#[derive(Copy, Clone, Debug)]
struct LongestDelay {
    value: Duration,
    default: Duration,
    /// What advertisements of this exchange say; zero where they differ.
    advertised: Option<Duration>,
}

impl LongestDelay {
    fn new(pace: Pace) -> LongestDelay {
        LongestDelay { value: pace.longest, default: pace.longest, advertised: None }
    }

    /// Advertisements that differ leave the default (section 18.2.9).
    fn take(&mut self, told: Option<u32>, kind: AnswerKind) {
        let Some(told) = told.map(|seconds| Duration::from_secs(seconds.into())) else { return };
        let others = self.advertised.filter(|_| kind == AnswerKind::Advertise);
        let agrees = others.is_none_or(|others| others == told);
        self.value = if agrees { told } else { self.default };
        if kind == AnswerKind::Advertise {
            self.advertised = Some(if agrees { told } else { Duration::ZERO });
        }
    }
}

/// A client of one link.
#[derive(Clone, Debug)]
pub struct Client6 {
    config: Config6,
    state: State6,
    /// What is in force.
    lease: Option<Lease6>,
    /// Of SOLICIT and INFORMATION-REQUEST.
    longest_delay: LongestDelay,
    longest_inform: LongestDelay,
    /// The last server that did not grant what it had offered (empty: none), and how often servers have not.
    avoided: Vec<u8>,
    refusals: u32,
    /// Each message costs a second: until when those sent so far are paid for.
    paid_until: Moment,
    /// When a change of the link's prefixes was last looked into.
    checked: Option<Moment>,
    account: Account6,
}

impl Client6 {
    /// A client of a link that carries no packets yet. A `kept` lease that is in force stays so.
    pub fn new(config: Config6, kept: Option<Lease6>, now: Moment) -> Client6 {
        let is_alike = |lease: &Lease6| lease.addresses.is_empty() == config.stateless;
        Client6 {
            state: State6::Down,
            lease: kept.filter(|lease| lease.is_in_force(now) && is_alike(lease)),
            config,
            longest_delay: LongestDelay::new(SOLICIT),
            longest_inform: LongestDelay::new(INFORM),
            avoided: Vec::new(),
            refusals: 0,
            paid_until: now,
            checked: None,
            account: Account6::default(),
        }
    }

    /// What is in force.
    pub fn lease(&self) -> Option<&Lease6> {
        self.lease.as_ref()
    }

    /// What was heard.
    pub fn account(&self) -> &Account6 {
        &self.account
    }

    /// The state, named by the RFC's message.
    pub fn state(&self) -> &'static str {
        match self.state {
            State6::Down => "DOWN",
            State6::Init { .. } => "INIT",
            State6::Soliciting(..) => "SOLICITING",
            State6::Requesting(..) => "REQUESTING",
            State6::Confirming(..) => "CONFIRMING",
            State6::Bound => "BOUND",
            State6::Informing(_) => "INFORMING",
            State6::Informed => "INFORMED",
            State6::Renewing(_) => "RENEWING",
            State6::Rebinding(_) => "REBINDING",
            State6::Declining(..) => "DECLINING",
            State6::Releasing(exchange, ..) if exchange.sent == 0 => "RELEASING",
            State6::Releasing(..) | State6::Released => "RELEASED",
        }
    }

    /// Whether it waits for packets.
    pub fn listens(&self) -> bool {
        self.exchange().is_some()
    }

    fn exchange(&self) -> Option<&Exchange> {
        match &self.state {
            State6::Soliciting(exchange, _)
            | State6::Requesting(exchange, _)
            | State6::Confirming(exchange, _)
            | State6::Informing(exchange)
            | State6::Renewing(exchange)
            | State6::Rebinding(exchange)
            | State6::Declining(exchange, ..)
            | State6::Releasing(exchange, ..) => Some(exchange),
            State6::Down | State6::Init { .. } | State6::Bound | State6::Informed | State6::Released => None,
        }
    }

    /// When [`Event6::Timer`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        let lease = self.lease.as_ref();
        let t = |time: Option<u64>| time.map(Duration::from_millis);
        let own = match &self.state {
            State6::Init { at } => Some(*at),
            State6::Bound | State6::Informed => lease.and_then(|lease| t(lease.t1)),
            State6::Renewing(exchange) => {
                Some(exchange.next).into_iter().chain(lease.and_then(|lease| t(lease.t2))).min()
            }
            _ => self.exchange().map(|exchange| exchange.next),
        };
        own.into_iter().chain(lease.and_then(Lease6::first_end)).min()
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Moment, event: Event6<'_>, random: Random<'_>) -> Vec<Output6> {
        let mut out = Vec::new();
        match event {
            Event6::Carrier(true) if self.state == State6::Down => self.up(now, random),
            Event6::Carrier(true) => {}
            Event6::Carrier(false) => {
                if !matches!(self.state, State6::Released | State6::Releasing(..)) {
                    self.state = State6::Down;
                }
            }
            Event6::Timer => self.timer(now, random, &mut out),
            Event6::Message(payload) => {
                if let Some(answer) = ServerAnswer::read(payload, self.config.iaid) {
                    self.answer(now, answer, random, &mut out);
                }
            }
            Event6::Duplicate(address) => self.duplicate(now, address, random, &mut out),
            Event6::Release => self.release(now, random, &mut out),
            Event6::Removed => {
                if matches!(&self.state, State6::Releasing(exchange, ..) if exchange.sent == 0) {
                    self.send(now, random, &mut out);
                }
            }
            Event6::OtherPrefixes => self.other_prefixes(now, random),
        }
        out
    }

    fn up(&mut self, now: Moment, random: Random<'_>) {
        (self.account, self.avoided, self.refusals) = (Account6::default(), Vec::new(), 0);
        self.lease.take_if(|lease| !lease.is_in_force(now));
        let exchange = Exchange::delayed(now, MOST_DELAY, random);
        match self.lease {
            _ if self.config.stateless => self.state = State6::Informing(exchange),
            Some(_) => self.state = State6::Confirming(exchange, false),
            None => self.solicit(exchange),
        }
    }

    /// Looks for servers. No address may be in force (section 18).
    fn solicit(&mut self, exchange: Exchange) {
        (self.longest_delay.advertised, self.longest_inform.advertised) = (None, None);
        self.state = State6::Soliciting(exchange, None);
    }

    /// The network may have been renumbered.
    fn other_prefixes(&mut self, now: Moment, random: Random<'_>) {
        if self.checked.is_some_and(|at| now < at + BETWEEN_CHECKS) {
            return;
        }
        let exchange = Exchange::delayed(now, MOST_DELAY, random);
        self.state = match self.state {
            State6::Bound => State6::Confirming(exchange, false),
            State6::Informed => State6::Informing(exchange),
            _ => return,
        };
        self.checked = Some(now);
    }

    /// A server has not granted what was requested. Addresses that are in force are kept up later; without any, other
    /// servers are looked for.
    fn not_granted(&mut self, now: Moment, wait: Duration, random: Random<'_>) {
        if let State6::Requesting(_, offer) = &self.state {
            self.avoided.clone_from(&offer.server);
        }
        let mut later = Exchange::new(now, random);
        later.next = now + RENEW.longest;
        self.state = match self.lease.as_ref().map(|lease| lease.t2) {
            None => State6::Init { at: now + wait },
            Some(Some(t2)) if t2 <= millis(now) => State6::Rebinding(later),
            Some(_) => State6::Renewing(later),
        };
    }

    /// The same, said by the server itself.
    fn refused(&mut self, now: Moment, random: Random<'_>) {
        let wait = AFTER_REFUSAL * (1 << self.refusals.min(5));
        self.refusals += 1;
        self.not_granted(now, wait, random);
    }

    /// Addresses that do not belong to the link, or that the server has withdrawn, are not used any more.
    fn start_again(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output6>) {
        self.lose(LeaseEnd::Refused, out);
        self.solicit(Exchange::new(now, random));
    }

    fn timer(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output6>) {
        self.expire(now, random, out);
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let t2 = self.lease.as_ref().and_then(|lease| lease.t2).map(Duration::from_millis);
        match self.state.clone() {
            State6::Down | State6::Released => return,
            State6::Init { .. } => self.solicit(Exchange::new(now, random)),
            State6::Soliciting(exchange, Some(best)) if exchange.sent > 0 => {
                self.state = State6::Requesting(Exchange::new(now, random), best);
            }
            State6::Requesting(exchange, _) if exchange.is_over(REQUEST, now) => {
                self.not_granted(now, Duration::ZERO, random);
            }
            // No server has said meanwhile that they belong to it.
            State6::Confirming(_, true) => self.start_again(now, random, out),
            // Nobody answers: the addresses remain in use.
            State6::Confirming(exchange, _) if exchange.is_over(CONFIRM, now) => {
                self.state = State6::Bound;
                return self.timer(now, random, out);
            }
            State6::Declining(exchange, ..) if exchange.is_over(DECLINE, now) => self.go_on(now, random),
            State6::Releasing(exchange, ..) if exchange.is_over(RELEASE, now) => {
                self.state = State6::Released;
                return;
            }
            State6::Bound | State6::Renewing(_) if t2.is_some_and(|t2| t2 <= now) => {
                self.state = State6::Rebinding(Exchange::new(now, random));
            }
            State6::Bound => self.state = State6::Renewing(Exchange::new(now, random)),
            State6::Informed => self.state = State6::Informing(Exchange::delayed(now, MOST_DELAY, random)),
            _ => {}
        }
        if self.exchange().is_some_and(|exchange| exchange.next <= now) {
            self.send(now, random, out);
        }
    }

    /// Removes expired addresses.
    fn expire(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output6>) {
        let Some(lease) = self.lease.as_mut().filter(|lease| !lease.addresses.is_empty()) else { return };
        let before = lease.addresses.len();
        lease.addresses.retain(|address| address.is_in_force(now));
        if lease.addresses.is_empty() {
            self.lose(LeaseEnd::Expired, out);
            if matches!(
                self.state,
                State6::Bound | State6::Renewing(_) | State6::Rebinding(_) | State6::Confirming(..)
            ) {
                self.solicit(Exchange::new(now, random));
            }
        } else if lease.addresses.len() < before {
            out.push(Output6::Bound(lease.clone()));
        }
    }

    /// After an address was declined: continue with the rest, or start again.
    fn go_on(&mut self, now: Moment, random: Random<'_>) {
        match self.lease {
            Some(_) => self.state = State6::Bound,
            None => self.solicit(Exchange::new(now, random)),
        }
    }

    /// Sends the message of the current state, and schedules the next one; later, if too many were sent.
    fn send(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output6>) {
        let held = self.lease.as_ref().map(Lease6::ips).unwrap_or_default();
        let lease_server = self.lease.as_ref().map(|lease| lease.server.clone());
        let solicit = Pace { longest: self.longest_delay.value, ..SOLICIT };
        let inform = Pace { longest: self.longest_inform.value, ..INFORM };
        let (kind, pace, addresses, server, exchange) = match &mut self.state {
            State6::Soliciting(exchange, _) => (QueryKind::Solicit, solicit, Vec::new(), None, exchange),
            State6::Requesting(exchange, offer) => {
                let offered = offer.association.iter().flat_map(|ia| ia.addresses.iter().map(|a| a.address));
                (QueryKind::Request, REQUEST, offered.collect(), Some(offer.server.clone()), exchange)
            }
            State6::Confirming(exchange, _) => (QueryKind::Confirm, CONFIRM, held, None, exchange),
            State6::Informing(exchange) => {
                (QueryKind::InformationRequest, inform, Vec::new(), None, exchange)
            }
            State6::Renewing(exchange) => (QueryKind::Renew, RENEW, held, lease_server, exchange),
            State6::Rebinding(exchange) => (QueryKind::Rebind, REBIND, held, None, exchange),
            State6::Declining(exchange, addresses, server) => {
                (QueryKind::Decline, DECLINE, addresses.clone(), Some(server.clone()), exchange)
            }
            State6::Releasing(exchange, addresses, server) => {
                (QueryKind::Release, RELEASE, addresses.clone(), Some(server.clone()), exchange)
            }
            State6::Down | State6::Init { .. } | State6::Bound | State6::Informed | State6::Released => {
                return;
            }
        };
        if self.paid_until > now + CREDIT {
            exchange.next = self.paid_until - CREDIT;
            return;
        }
        self.paid_until = self.paid_until.max(now) + COST;
        // Time counts from the first message.
        if exchange.sent == 0 {
            exchange.began = now;
        }
        let elapsed = now.saturating_sub(exchange.began).as_millis() / 10;
        exchange.sent(now, pace, kind == QueryKind::Solicit, random);
        let question = ClientQuestion {
            kind,
            id: exchange.id,
            client: &self.config.duid,
            server: server.as_deref(),
            elapsed: u16::try_from(elapsed).unwrap_or(u16::MAX),
            iaid: self.config.iaid,
            addresses: &addresses,
            name: self.config.host_name.as_deref(),
            rapid: kind == QueryKind::Solicit && self.config.rapid_commit,
        };
        out.push(Output6::Send(question.write()));
        self.account.unanswered = self.account.unanswered.saturating_add(1);
    }

    fn answer(&mut self, now: Moment, answer: ServerAnswer, random: Random<'_>, out: &mut Vec<Output6>) {
        let Some(exchange) = self.exchange().copied() else { return };
        // Nobody can have answered before the first message.
        if answer.id != exchange.id || answer.client != self.config.duid || exchange.sent == 0 {
            return;
        }
        self.longest_delay.take(answer.longest_delay, answer.kind);
        self.longest_inform.take(answer.longest_inform, answer.kind);
        match (self.state.clone(), answer.kind) {
            (State6::Soliciting(exchange, best), AnswerKind::Advertise) => {
                self.advertised(now, answer, exchange, best, random, out);
            }
            // Whoever does not ask for a commit in two messages believes none.
            (State6::Soliciting(..), AnswerKind::Reply) if answer.rapid && self.config.rapid_commit => {
                self.replied(now, &answer, random, out);
            }
            (State6::Informing(_), AnswerKind::Reply) => self.informed(now, &answer, out),
            (State6::Requesting(_, offer), AnswerKind::Reply) if answer.server == offer.server => {
                self.replied(now, &answer, random, out);
            }
            // One server that knows the addresses is enough, whatever others say (section 18.2.10.3).
            (State6::Confirming(exchange, _), AnswerKind::Reply) => match answer.status {
                status::SUCCESS => self.state = State6::Bound,
                status::NOT_ON_LINK => self.state = State6::Confirming(exchange, true),
                _ => {}
            },
            (State6::Renewing(_), AnswerKind::Reply)
                if self.lease.as_ref().is_some_and(|lease| lease.server == answer.server) =>
            {
                self.replied(now, &answer, random, out);
            }
            (State6::Rebinding(_), AnswerKind::Reply) => self.replied(now, &answer, random, out),
            (State6::Declining(..), AnswerKind::Reply) => {
                self.go_on(now, random);
                self.timer(now, random, out);
            }
            (State6::Releasing(..), AnswerKind::Reply) => self.state = State6::Released,
            _ => {}
        }
    }

    /// Of several servers the one with the highest preference is chosen, of equals the first (RFC 9915, section
    /// 18.2.9); one that has just refused only if no other answers.
    fn advertised(
        &mut self,
        now: Moment,
        answer: ServerAnswer,
        exchange: Exchange,
        best: Option<Box<ServerAnswer>>,
        random: Random<'_>,
        out: &mut Vec<Output6>,
    ) {
        let usable = |a: &Association| a.status == status::SUCCESS && a.addresses.iter().any(|a| a.valid > 0);
        if answer.status != status::SUCCESS || !answer.association.as_ref().is_some_and(usable) {
            self.remember(&answer);
            return;
        }
        self.account.unanswered = 0;
        let rank = |answer: &ServerAnswer| (answer.server != self.avoided, answer.preference);
        let better = best.as_ref().is_none_or(|best| rank(&answer) > rank(best));
        // After the first delay the first answer is accepted.
        let at_once = rank(&answer) == (true, AT_ONCE) || exchange.sent > 1;
        let best = if better { Box::new(answer) } else { best.unwrap_or_else(|| Box::new(answer)) };
        if at_once {
            self.state = State6::Requesting(Exchange::new(now, random), best);
            self.send(now, random, out);
        } else {
            self.state = State6::Soliciting(exchange, Some(best));
        }
    }

    /// A server's grant, or its reason for none.
    fn replied(&mut self, now: Moment, answer: &ServerAnswer, random: Random<'_>, out: &mut Vec<Output6>) {
        let empty = Association::default();
        let association = answer.association.as_ref().unwrap_or(&empty);
        let code = if answer.status == status::SUCCESS { association.status } else { answer.status };
        let requesting = matches!(self.state, State6::Requesting(..));
        match code {
            status::SUCCESS if answer.association.is_some() => {}
            // The server has lost its records: it may grant the same again.
            status::NO_BINDING if !requesting && self.lease.is_some() => {
                let addresses = self.lease.iter().flat_map(|lease| &lease.addresses);
                let again =
                    addresses.map(|a| super::message::Granted { address: a.address, preferred: 0, valid: 0 });
                let association = Association { addresses: again.collect(), ..Association::default() };
                let offer = ServerAnswer { association: Some(association), ..answer.clone() };
                self.state = State6::Requesting(Exchange::new(now, random), Box::new(offer));
                self.send(now, random, out);
                return;
            }
            _ if requesting => {
                self.remember(answer);
                return self.refused(now, random);
            }
            // Another server may grant more; until T2, or until the end.
            _ => {
                self.remember(answer);
                return;
            }
        }
        let Some(lease) = self.granted(now, answer, association) else {
            self.remember(answer);
            // Every address is withdrawn.
            if association.addresses.iter().any(|granted| granted.valid == 0) && self.lease.is_some() {
                self.start_again(now, random, out);
                self.timer(now, random, out);
            } else if requesting {
                self.refused(now, random);
            }
            return;
        };
        self.account = Account6 { duplicate: self.account.duplicate, ..Account6::default() };
        (self.avoided, self.refusals) = (Vec::new(), 0);
        self.lease = Some(lease.clone());
        self.state = State6::Bound;
        out.push(Output6::Bound(lease));
    }

    /// A server has told what comes without addresses.
    fn informed(&mut self, now: Moment, answer: &ServerAnswer, out: &mut Vec<Output6>) {
        if answer.status != status::SUCCESS {
            return self.remember(answer);
        }
        let refresh = answer.refresh.unwrap_or(REFRESH).max(SOONEST_REFRESH);
        let again = (refresh != INFINITE).then(|| millis(now + Duration::from_secs(refresh.into())));
        let lease = Lease6 { t1: again, ..Lease6::of(answer) };
        let is_new = self.lease.as_ref().map(Lease6::without_times) != Some(lease.without_times());
        self.account = Account6::default();
        self.state = State6::Informed;
        self.lease = Some(lease.clone());
        if is_new {
            out.push(Output6::Bound(lease));
        }
    }

    /// The lease that follows: what is granted, and earlier addresses that it does not mention. `None` where nothing is
    /// left. Lifetimes count from the answer.
    fn granted(&self, now: Moment, answer: &ServerAnswer, association: &Association) -> Option<Lease6> {
        let until =
            |seconds: u32| (seconds != INFINITE).then(|| millis(now + Duration::from_secs(seconds.into())));
        let known =
            |address: &LeasedAddress| association.addresses.iter().any(|a| a.address == address.address);
        let earlier = self.lease.iter().flat_map(|lease| &lease.addresses);
        let mut addresses: Vec<LeasedAddress> = earlier.filter(|address| !known(address)).cloned().collect();
        let granted: Vec<_> = association.addresses.iter().filter(|granted| granted.valid > 0).collect();
        addresses.extend(granted.iter().map(|granted| LeasedAddress {
            address: granted.address,
            preferred_until: until(granted.preferred),
            valid_until: until(granted.valid),
        }));
        if granted.is_empty() {
            return None;
        }
        // The defaults are half of the shortest preferred lifetime, and four fifths (section 14.2).
        let preferred = granted.iter().map(|granted| granted.preferred).filter(|p| *p > 0).min();
        let valid = granted.iter().map(|granted| granted.valid).min().unwrap_or(INFINITE);
        let shortest = preferred.unwrap_or(valid);
        let fifths = |n: u64, of: u64| match shortest {
            INFINITE => INFINITE,
            shortest => u32::try_from((u64::from(shortest) * n / of).max(1)).unwrap_or(INFINITE),
        };
        let t2 = if association.t2 > 0 { association.t2 } else { fifths(4, 5) };
        let t1 = match association.t1 {
            0 if matches!(association.t2, 0 | INFINITE) => fifths(1, 2),
            // Before the server's own T2.
            0 => fifths(1, 2).min(t2 / 2),
            t1 => t1,
        };
        Some(Lease6 { addresses, t1: until(t1.min(t2)), t2: until(t2), ..Lease6::of(answer) })
    }

    /// Another host has an address of the lease: it is declined and not used.
    fn duplicate(&mut self, now: Moment, address: Ipv6Addr, random: Random<'_>, out: &mut Vec<Output6>) {
        let Some(lease) = &mut self.lease else { return };
        let before = lease.addresses.len();
        lease.addresses.retain(|leased| leased.address != address);
        if lease.addresses.len() == before {
            return;
        }
        let server = lease.server.clone();
        self.account.duplicate = Some(address);
        match lease.addresses.is_empty() {
            true => self.lose(LeaseEnd::Refused, out),
            false => out.push(Output6::Bound(lease.clone())),
        }
        let mut declined = match &self.state {
            State6::Down => return,
            State6::Declining(_, before, _) => before.clone(),
            _ => Vec::new(),
        };
        declined.push(address);
        self.state = State6::Declining(Exchange::new(now, random), declined, server);
        self.send(now, random, out);
    }

    /// An address is not used any more when the server is told so (section 18.2.7): it goes from the link first.
    fn release(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output6>) {
        let Some(lease) = self.lease.take() else {
            self.state = State6::Released;
            return;
        };
        out.push(Output6::Lost(LeaseEnd::Released));
        if lease.addresses.is_empty() {
            self.state = State6::Released;
            return;
        }
        let mut exchange = Exchange::new(now, random);
        exchange.next = now + REMOVAL;
        self.state = State6::Releasing(exchange, lease.ips(), lease.server);
    }

    fn lose(&mut self, why: LeaseEnd, out: &mut Vec<Output6>) {
        self.lease = None;
        out.push(Output6::Lost(why));
    }

    fn remember(&mut self, answer: &ServerAnswer) {
        self.account.unanswered = 0;
        let inner = answer.association.as_ref().map_or(status::SUCCESS, |association| association.status);
        let code = if answer.status == status::SUCCESS { inner } else { answer.status };
        let servers = &mut self.account.without_address;
        let has_room = servers.len() < MOST_SERVERS;
        match servers.iter_mut().find(|(server, _)| *server == answer.server) {
            Some(known) => known.1 = code,
            None if has_room => servers.push((answer.server.clone(), code)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
