//! The protocol's states (RFC 2131, figure 5) without sockets or a clock: an [`ClientEvent`] and the time come in,
//! [`Output`]s and the next [`Client::deadline`] go out.
//!
//! Three things go beyond the figure. An address is probed before it is used (RFC 5227), and declined if another host
//! has it. A link that loses its carrier keeps its lease, and confirms it (INIT-REBOOT) when the carrier returns. A
//! lease is in force until it expires, whatever is requested meanwhile.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{ClientMessage, Mac, MessageKind, ServerMessage};
use super::options;
use super::terms::{OfferFault, Terms};
use crate::model::MacAddr;
pub use crate::socket::arp::Arp;

/// A moment, as the time since boot, including suspend (CLOCK_BOOTTIME).
pub type Moment = Duration;

/// The delay before the first retransmission; it doubles up to [`LONGEST_DELAY`] (RFC 2131, section 4.1).
const FIRST_DELAY: Duration = Duration::from_secs(4);
const LONGEST_DELAY: Duration = Duration::from_secs(64);
/// Each of these delays varies by up to this much.
const SPREAD: Duration = Duration::from_secs(1);
/// How often an offer is requested before another is sought: 4 + 8 + 16 + 32 s, the example of section 3.1.
const REQUESTS: u32 = 4;
/// How often an earlier lease is confirmed with a server: 4 + 8 s.
const CONFIRMATIONS: u32 = 2;
/// After this many messages without an answer the next ones request broadcast answers.
const UNICAST_TRIES: u32 = 2;
/// The minimum time between two renewal requests (section 4.4.5).
const LEAST_RENEWAL_DELAY: Duration = Duration::from_secs(60);
/// How long a client that declined an address waits (section 3.1, step 5).
const AFTER_DECLINE: Duration = Duration::from_secs(10);
/// Conflicts after which it waits longer, and how long (RFC 5227, section 2.1.1).
const MANY_CONFLICTS: u32 = 10;
const AFTER_MANY_CONFLICTS: Duration = Duration::from_secs(60);
/// Probes for an address (RFC 5227, section 1.1).
const PROBES: u32 = 3;
/// Announcements of an address, and the time between them (RFC 5227, section 1.1).
const ANNOUNCEMENTS: u32 = 2;
const BETWEEN_ANNOUNCEMENTS: Duration = Duration::from_secs(2);
/// The shortest time for which IPv4 is off if a network requests that (MIN_V6ONLY_WAIT of RFC 8925).
const LEAST_IPV6_ONLY: Duration = Duration::from_secs(300);
/// The longest message that is accepted: what fits an Ethernet frame.
const LONGEST_MESSAGE: [u8; 2] = 1472_u16.to_be_bytes();
/// How many servers are remembered.
const MOST_SERVERS: usize = 8;

/// The parameter request list; 121 before 33 and 3 (RFC 3442).
const PARAMETERS: [u8; 14] = [
    options::SUBNET_MASK,
    options::ROUTES,
    options::CLASSFUL_ROUTES,
    options::ROUTERS,
    options::NAME_SERVERS,
    options::HOST_NAME,
    options::DOMAIN,
    options::MTU,
    options::BROADCAST,
    options::TIME_SERVERS,
    options::VENDOR_SPECIFIC,
    options::T1,
    options::T2,
    options::SEARCH,
];

/// Whether an address is probed before it is used.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// Never.
    Off,
    /// Three probes within 0.6 s.
    #[default]
    Fast,
    /// RFC 5227's own three probes within 4 to 7 s.
    Standard,
}

/// Who asks, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The link's hardware address.
    pub mac: Mac,
    /// Option 61.
    pub client_id: Vec<u8>,
    /// The machine's name, as sent.
    pub host_name: Option<String>,
    /// Option 60.
    pub vendor_class: Option<String>,
    /// Option 77.
    pub user_class: Option<String>,
    /// The requested lifetime, in seconds.
    pub lifetime: Option<u32>,
    /// The link can do without IPv4 if the network requests that (RFC 8925).
    pub ipv6_only: bool,
    /// Whether the address is probed.
    pub detection: Detection,
    /// Addresses of the machine's other links.
    #[serde(skip)]
    pub others: Vec<Ipv4Addr>,
}

/// A lease, and when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What was granted.
    #[serde(flatten)]
    pub terms: Terms,
    /// When it was requested, in milliseconds since boot: lifetimes count from there (RFC 2131, section 4.4.1).
    pub asked: u64,
}

impl Lease {
    fn at(&self, seconds: u32) -> Option<Moment> {
        let since = Duration::from_millis(self.asked);
        self.terms.lifetime.map(|_| since + Duration::from_secs(seconds.into()))
    }

    /// When to renew it; `None` if it does not expire.
    pub fn t1(&self) -> Option<Moment> {
        self.at(self.terms.t1)
    }

    /// When to rebind, with any server.
    pub fn t2(&self) -> Option<Moment> {
        self.at(self.terms.t2)
    }

    /// When it expires.
    pub fn end(&self) -> Option<Moment> {
        self.at(self.terms.lifetime?)
    }

    /// Whether it is still valid.
    pub fn is_in_force(&self, now: Moment) -> bool {
        self.end().is_none_or(|end| now < end)
    }
}

/// An event for a client.
#[derive(Copy, Clone, Debug)]
pub enum ClientEvent<'a> {
    /// The link carries packets from now on, or no longer.
    Carrier(bool),
    /// The deadline has been reached. An earlier call does nothing.
    Timer,
    /// The payload of a datagram for the client's port.
    Message(&'a [u8]),
    /// ARP was heard.
    Arp(Arp),
    /// The lease should be released.
    Release,
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send to everybody on the link, from this address.
    Broadcast {
        /// 0.0.0.0, or the leased one.
        from: Ipv4Addr,
        /// The UDP payload.
        payload: Vec<u8>,
    },
    /// Send to a server.
    Unicast {
        /// The leased address.
        from: Ipv4Addr,
        /// The server.
        to: Ipv4Addr,
        /// The UDP payload.
        payload: Vec<u8>,
    },
    /// Send an ARP packet.
    Arp(Arp),
    /// This lease is in force from now on, and no other.
    Bound(Lease),
    /// The lease is no longer in force.
    Lost(LeaseEnd),
}

/// Why a lease is no longer in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseEnd {
    /// It expired, and no server renewed it.
    Expired,
    /// A server said that it is not valid.
    Refused,
    /// The network requests to do without IPv4.
    Ipv6Only,
    /// It was released.
    Released,
}

/// What was heard since the client started, for a person who wonders why no address is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Messages sent without an answer since the last valid one.
    pub unanswered: u32,
    /// Servers that offered something, with the address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offered>,
    /// The last refusal by a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The last address in use by another host, and that host's hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// Answers that could not be read.
    pub malformed: u32,
}

/// An offer that was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The server; 0.0.0.0 if not given.
    pub server: Ipv4Addr,
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its prefix, where the offer can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_taken: Option<OfferFault>,
    /// It was requested, and the server did not answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}

/// A refusal (DHCPNAK).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The server; 0.0.0.0 if not given.
    pub server: Ipv4Addr,
    /// The requested address.
    pub address: Ipv4Addr,
}

/// An address that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The address.
    pub address: Ipv4Addr,
    /// Its owner.
    pub mac: MacAddr,
}

/// An exchange: its transaction id, and when it began.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Exchange {
    xid: u32,
    began: Moment,
    /// Messages sent.
    sent: u32,
    /// `secs`; a request has the value of the message that the offer answers.
    seconds: u16,
    /// Request broadcast answers.
    broadcast: bool,
    /// When the last one was sent.
    last: Moment,
    /// When the next one is due.
    next: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The link carries no packets.
    Down,
    /// Nothing is requested until then.
    Init {
        at: Moment,
    },
    Selecting(Exchange),
    Requesting(Exchange, Box<Terms>),
    Probing {
        lease: Box<Lease>,
        sent: u32,
        next: Moment,
    },
    Rebooting(Exchange),
    /// `announced` counts announcements, the next of which is due at `next`.
    Bound {
        announced: u32,
        next: Moment,
    },
    Renewing(Exchange),
    Rebinding(Exchange),
    /// Released: nothing more is requested.
    Released,
}

/// Unpredictable random numbers.
pub type Random<'r> = &'r mut dyn FnMut() -> u32;

/// A client of one link.
#[derive(Clone, Debug)]
pub struct Client {
    config: Config,
    state: State,
    /// What is in force.
    lease: Option<Lease>,
    /// The lease has been confirmed since the link got its carrier, so no server need be asked.
    confirmed: bool,
    /// An address to request: the last one.
    wanted: Option<Ipv4Addr>,
    /// Refusals and conflicts in a row.
    refusals: u32,
    conflicts: u32,
    account: Account,
}

impl Client {
    /// A client of a link that carries no packets yet. A `kept` lease that is in force stays so; if it is `confirmed`,
    /// no server is asked before it has to be renewed.
    pub fn new(config: Config, kept: Option<Lease>, confirmed: bool, now: Moment) -> Client {
        let wanted = kept.as_ref().map(|lease| lease.terms.address.addr());
        let lease = kept.filter(|lease| lease.is_in_force(now));
        Client {
            config,
            state: State::Down,
            confirmed: confirmed && lease.is_some(),
            lease,
            wanted,
            refusals: 0,
            conflicts: 0,
            account: Account::default(),
        }
    }

    /// What is in force.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// What was heard.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The state's name in the RFC.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Down => "DOWN",
            State::Init { .. } => "INIT",
            State::Selecting(_) => "SELECTING",
            State::Requesting(..) => "REQUESTING",
            State::Probing { .. } => "PROBING",
            State::Rebooting(_) => "REBOOTING",
            State::Bound { .. } => "BOUND",
            State::Renewing(_) => "RENEWING",
            State::Rebinding(_) => "REBINDING",
            State::Released => "RELEASED",
        }
    }

    /// Whether it waits for packets: otherwise nothing needs to wake the machine.
    pub fn listens(&self) -> bool {
        !matches!(self.state, State::Down | State::Init { .. } | State::Bound { .. } | State::Released)
    }

    /// Whether it waits for ARP.
    pub fn probes(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// When [`ClientEvent::Timer`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        let end = self.lease.as_ref().and_then(Lease::end);
        let own = match &self.state {
            State::Down | State::Released => None,
            State::Init { at } => Some(*at),
            State::Selecting(e) | State::Requesting(e, _) | State::Rebooting(e) => Some(e.next),
            State::Probing { next, .. } => Some(*next),
            State::Bound { announced, next } if *announced < ANNOUNCEMENTS => Some(*next),
            State::Bound { .. } => self.lease.as_ref().and_then(Lease::t1),
            State::Renewing(e) => {
                Some(e.next).into_iter().chain(self.lease.as_ref().and_then(Lease::t2)).min()
            }
            State::Rebinding(e) => Some(e.next),
        };
        own.into_iter().chain(end).min()
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Moment, event: ClientEvent<'_>, random: Random<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        match event {
            ClientEvent::Carrier(true) if self.state == State::Down => self.up(now, random, &mut out),
            ClientEvent::Carrier(true) => {}
            ClientEvent::Carrier(false) => {
                self.confirmed = false;
                if self.state != State::Released {
                    self.state = State::Down;
                }
            }
            ClientEvent::Timer => self.timer(now, random, &mut out),
            ClientEvent::Message(payload) => match ServerMessage::read(payload) {
                Ok(reply) => self.reply(now, &reply, random, &mut out),
                Err(_) if self.listens() => self.account.malformed = self.account.malformed.saturating_add(1),
                Err(_) => {}
            },
            ClientEvent::Arp(arp) => self.arp(now, arp, random, &mut out),
            ClientEvent::Release => self.release(random, &mut out),
        }
        out
    }

    fn up(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output>) {
        self.account = Account::default();
        (self.refusals, self.conflicts) = (0, 0);
        self.lease.take_if(|lease| !lease.is_in_force(now));
        match (&self.lease, self.confirmed, self.wanted) {
            (Some(_), true, _) => self.bind(now),
            (_, _, Some(_)) => {
                self.state = State::Rebooting(self.exchange(now, random));
                self.send(now, random, out);
            }
            _ => self.discover(now, random, out),
        }
    }

    /// The lease in force is valid.
    fn bind(&mut self, now: Moment) {
        self.confirmed = true;
        self.state = State::Bound { announced: ANNOUNCEMENTS, next: now };
    }

    fn timer(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output>) {
        if self.lease.as_ref().is_some_and(|lease| !lease.is_in_force(now)) {
            self.lose(LeaseEnd::Expired, out);
            if matches!(self.state, State::Bound { .. } | State::Renewing(_) | State::Rebinding(_)) {
                self.discover(now, random, out);
            }
        }
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let time =
            |of: fn(&Lease) -> Option<Moment>| self.lease.as_ref().and_then(of).is_some_and(|t| t <= now);
        match self.state.clone() {
            State::Down | State::Released => {}
            State::Init { .. } => self.discover(now, random, out),
            State::Requesting(exchange, terms) if exchange.sent >= REQUESTS => {
                self.remember(Offered {
                    server: terms.server,
                    address: terms.address.addr(),
                    prefix: Some(terms.address.prefix_len()),
                    not_taken: None,
                    silent: true,
                });
                self.discover(now, random, out);
            }
            // The lease, if any, stays in force until it expires or is replaced.
            State::Rebooting(exchange) if exchange.sent >= CONFIRMATIONS => self.discover(now, random, out),
            State::Selecting(_) | State::Requesting(..) | State::Rebooting(_) => self.send(now, random, out),
            State::Probing { lease, sent, .. } => self.probe(now, lease, sent, random, out),
            State::Bound { announced, .. } if announced < ANNOUNCEMENTS => {
                if let Some(lease) = &self.lease {
                    out.extend(
                        self.mac().map(|mac| Output::Arp(Arp::announcement(mac, lease.terms.address.addr()))),
                    );
                }
                self.state = State::Bound { announced: announced + 1, next: now + BETWEEN_ANNOUNCEMENTS };
            }
            State::Bound { .. } | State::Renewing(_) if time(Lease::t2) => {
                self.state = State::Rebinding(self.exchange(now, random));
                self.send(now, random, out);
            }
            State::Bound { .. } => {
                self.state = State::Renewing(self.exchange(now, random));
                self.send(now, random, out);
            }
            State::Renewing(_) | State::Rebinding(_) => self.send(now, random, out),
        }
    }

    fn exchange(&self, now: Moment, random: Random<'_>) -> Exchange {
        Exchange { xid: random(), began: now, sent: 0, seconds: 0, broadcast: false, last: now, next: now }
    }

    fn discover(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output>) {
        self.state = State::Selecting(self.exchange(now, random));
        self.send(now, random, out);
    }

    /// Sends the message of the current state, and schedules the next one.
    fn send(&mut self, now: Moment, random: Random<'_>, out: &mut Vec<Output>) {
        let lease = self.lease.clone();
        let held = lease.as_ref().map_or(Ipv4Addr::UNSPECIFIED, |lease| lease.terms.address.addr());
        let (server, end) = match &lease {
            Some(lease) => (lease.terms.server, lease.end()),
            None => (Ipv4Addr::UNSPECIFIED, None),
        };
        let t2 = lease.as_ref().and_then(Lease::t2);
        let wanted = self.wanted;
        let mut state = std::mem::replace(&mut self.state, State::Down);
        match &mut state {
            State::Selecting(exchange) => {
                exchange.sent(now, delay(exchange.sent, random));
                let payload =
                    self.query(MessageKind::Discover, exchange, Ipv4Addr::UNSPECIFIED, wanted, None);
                out.push(Output::Broadcast { from: Ipv4Addr::UNSPECIFIED, payload });
            }
            State::Requesting(exchange, terms) => {
                let seconds = exchange.seconds;
                exchange.sent(now, delay(exchange.sent, random));
                exchange.seconds = seconds;
                let address = Some(terms.address.addr());
                let payload = self.query(
                    MessageKind::Request,
                    exchange,
                    Ipv4Addr::UNSPECIFIED,
                    address,
                    Some(terms.server),
                );
                out.push(Output::Broadcast { from: Ipv4Addr::UNSPECIFIED, payload });
            }
            State::Rebooting(exchange) => {
                exchange.sent(now, delay(exchange.sent, random));
                let payload = self.query(MessageKind::Request, exchange, Ipv4Addr::UNSPECIFIED, wanted, None);
                out.push(Output::Broadcast { from: Ipv4Addr::UNSPECIFIED, payload });
            }
            State::Renewing(exchange) => {
                exchange.sent(now, renewal_delay(now, t2));
                let payload = self.query(MessageKind::Request, exchange, held, None, None);
                out.push(Output::Unicast { from: held, to: server, payload });
            }
            State::Rebinding(exchange) => {
                exchange.sent(now, renewal_delay(now, end));
                let payload = self.query(MessageKind::Request, exchange, held, None, None);
                out.push(Output::Broadcast { from: held, payload });
            }
            State::Down
            | State::Init { .. }
            | State::Probing { .. }
            | State::Bound { .. }
            | State::Released => {}
        }
        self.state = state;
        self.account.unanswered = self.account.unanswered.saturating_add(1);
    }

    /// A message with the common options, and options 50 and 54 if given.
    fn query(
        &self,
        kind: MessageKind,
        exchange: &Exchange,
        held: Ipv4Addr,
        address: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Vec<u8> {
        let config = &self.config;
        let (address, server) = (address.map(|a| a.octets()), server.map(|s| s.octets()));
        let lifetime = config.lifetime.map(u32::to_be_bytes);
        let asks = matches!(kind, MessageKind::Discover | MessageKind::Request);
        let mut parameters = PARAMETERS.to_vec();
        if config.ipv6_only {
            parameters.push(options::IPV6_ONLY);
        }
        // One class: its length, then its text (RFC 3004).
        let user = config.user_class.as_ref().map(|class| [&[class.len() as u8], class.as_bytes()].concat());
        let mut list: Vec<(u8, &[u8])> = vec![(options::CLIENT_ID, &config.client_id)];
        let optional: [(u8, Option<&[u8]>, bool); 8] = [
            (options::REQUESTED_ADDRESS, address.as_ref().map(|a| &a[..]), true),
            (options::SERVER, server.as_ref().map(|s| &s[..]), true),
            (options::LEASE_TIME, lifetime.as_ref().map(|l| &l[..]), asks),
            (options::LONGEST_MESSAGE, Some(&LONGEST_MESSAGE), asks),
            (options::HOST_NAME, config.host_name.as_deref().map(str::as_bytes), asks),
            (options::VENDOR_CLASS, config.vendor_class.as_deref().map(str::as_bytes), asks),
            (options::USER_CLASS, user.as_deref(), asks),
            (options::PARAMETER_LIST, Some(&parameters), asks),
        ];
        list.extend(
            optional
                .iter()
                .filter(|(.., sent)| *sent)
                .filter_map(|(code, value, _)| Some((*code, (*value)?))),
        );
        list.retain(|(_, value)| !value.is_empty());
        ClientMessage {
            kind,
            xid: exchange.xid,
            seconds: exchange.seconds,
            // A server that cannot answer to the hardware address may be able to broadcast.
            broadcast: exchange.broadcast && held.is_unspecified() && asks,
            address: held,
            mac: config.mac,
            options: list,
        }
        .write()
    }

    fn reply(&mut self, now: Moment, reply: &ServerMessage, random: Random<'_>, out: &mut Vec<Output>) {
        let exchange = match &self.state {
            State::Selecting(e)
            | State::Requesting(e, _)
            | State::Rebooting(e)
            | State::Renewing(e)
            | State::Rebinding(e) => *e,
            // A slower server has offered something, too.
            State::Probing { .. } if reply.kind == MessageKind::Offer && reply.mac == self.config.mac => {
                if self.offered(reply).is_err() {
                    self.account.offers.retain(|offer| offer.not_taken.is_none());
                }
                return;
            }
            _ => return,
        };
        if reply.xid != exchange.xid || reply.mac != self.config.mac {
            return;
        }
        match reply.kind {
            MessageKind::Offer => self.offer(now, reply, exchange, random, out),
            MessageKind::Ack => self.ack(now, reply, exchange, random, out),
            MessageKind::Nak => self.nak(now, reply, random, out),
            _ => {}
        }
    }

    fn offer(
        &mut self,
        now: Moment,
        reply: &ServerMessage,
        exchange: Exchange,
        random: Random<'_>,
        out: &mut Vec<Output>,
    ) {
        let terms = self.offered(reply);
        if !matches!(self.state, State::Selecting(_)) {
            // Another server: it is remembered.
            return;
        }
        if self.without_ipv4(now, reply, out) {
            return;
        }
        let Ok(terms) = terms else { return };
        // The same transaction id and start for `secs` (RFC 2131, section 4.4.1).
        self.state = State::Requesting(Exchange { sent: 0, ..exchange }, Box::new(terms));
        self.send(now, random, out);
    }

    /// Remembers an offer, and returns its terms.
    fn offered(&mut self, reply: &ServerMessage) -> Result<Terms, OfferFault> {
        let terms = Terms::of(reply, &self.config.others);
        self.remember(Offered {
            server: reply.options.address(options::SERVER).unwrap_or(Ipv4Addr::UNSPECIFIED),
            address: reply.address,
            prefix: terms.as_ref().ok().map(|terms| terms.address.prefix_len()),
            not_taken: terms.as_ref().err().cloned(),
            silent: false,
        });
        terms
    }

    /// Whether the network requests to do without IPv4, and the link can (RFC 8925, section 3.2).
    fn without_ipv4(&mut self, now: Moment, reply: &ServerMessage, out: &mut Vec<Output>) -> bool {
        let wait = reply.options.long(options::IPV6_ONLY).filter(|_| self.config.ipv6_only);
        let Some(wait) = wait else { return false };
        if self.lease.is_some() {
            self.lose(LeaseEnd::Ipv6Only, out);
        }
        self.state = State::Init { at: now + Duration::from_secs(wait.into()).max(LEAST_IPV6_ONLY) };
        true
    }

    fn ack(
        &mut self,
        now: Moment,
        reply: &ServerMessage,
        exchange: Exchange,
        random: Random<'_>,
        out: &mut Vec<Output>,
    ) {
        let asked = match &self.state {
            State::Requesting(_, terms) => Some(terms.address.addr()),
            State::Rebooting(_) => self.wanted,
            State::Renewing(_) | State::Rebinding(_) => self.lease.as_ref().map(|l| l.terms.address.addr()),
            // Unsolicited (no rapid commit, RFC 4039).
            _ => return,
        };
        let checked = Terms::of(reply, &self.config.others).and_then(|terms| match asked {
            Some(asked) if asked == terms.address.addr() => Ok(terms),
            _ => Err(OfferFault::OtherAddress(reply.address)),
        });
        let server = reply.options.address(options::SERVER).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let terms = match checked {
            Ok(terms) => terms,
            Err(why) => {
                self.remember(Offered {
                    server,
                    address: reply.address,
                    prefix: None,
                    not_taken: Some(why),
                    silent: false,
                });
                return;
            }
        };
        if matches!(self.state, State::Rebooting(_)) && self.without_ipv4(now, reply, out) {
            return;
        }
        let lease = Lease { terms, asked: exchange.last.as_millis().try_into().unwrap_or(u64::MAX) };
        // Whoever else has offered something is worth a word as long as the lease is in force.
        let (conflict, mut offers) = (self.account.conflict.take(), std::mem::take(&mut self.account.offers));
        offers
            .retain(|offer| offer.server != lease.terms.server && offer.not_taken.is_none() && !offer.silent);
        self.account = Account { conflict, offers, ..Account::default() };
        let held = self.lease.as_ref().is_some_and(|held| held.terms.address == lease.terms.address);
        // An address in use already is not probed: the answer would be our own.
        if held || self.config.detection == Detection::Off {
            self.take(now, lease, !held, out);
        } else {
            let next = now + self.before_probes(random);
            self.state = State::Probing { lease: Box::new(lease), sent: 0, next };
            self.timer(now, random, out);
        }
    }

    /// A lease is in force from now on.
    fn take(&mut self, now: Moment, lease: Lease, new: bool, out: &mut Vec<Output>) {
        self.wanted = Some(lease.terms.address.addr());
        self.lease = Some(lease.clone());
        (self.refusals, self.conflicts) = (0, 0);
        self.bind(now);
        out.push(Output::Bound(lease));
        if new {
            self.state = State::Bound { announced: 0, next: now };
        }
    }

    fn mac(&self) -> Option<MacAddr> {
        MacAddr::from_bytes(&self.config.mac)
    }

    fn before_probes(&self, random: Random<'_>) -> Duration {
        match self.config.detection {
            Detection::Standard => between(Duration::ZERO, Duration::from_secs(1), random),
            _ => Duration::ZERO,
        }
    }

    fn probe(
        &mut self,
        now: Moment,
        lease: Box<Lease>,
        sent: u32,
        random: Random<'_>,
        out: &mut Vec<Output>,
    ) {
        if sent >= PROBES {
            // The lifetime counts from the request: it may be over by now.
            if lease.is_in_force(now) {
                self.take(now, *lease, true, out);
                self.timer(now, random, out);
            } else {
                self.discover(now, random, out);
            }
            return;
        }
        let probe = |mac| Output::Arp(Arp::probe(mac, lease.terms.address.addr()));
        out.extend(self.mac().map(probe));
        let wait = match (self.config.detection, sent + 1 == PROBES) {
            (Detection::Standard, true) => Duration::from_secs(2),
            (Detection::Standard, false) => between(Duration::from_secs(1), Duration::from_secs(2), random),
            _ => Duration::from_millis(200),
        };
        self.state = State::Probing { lease, sent: sent + 1, next: now + wait };
    }

    /// Another host that sends from the address, or probes for it too, has it (RFC 5227, section 2.1.1).
    fn arp(&mut self, now: Moment, arp: Arp, random: Random<'_>, out: &mut Vec<Output>) {
        let State::Probing { lease, .. } = &self.state else { return };
        let address = lease.terms.address.addr();
        let speaks = arp.sender == address;
        let probes = arp.sender.is_unspecified() && arp.target == address && !arp.reply;
        if Some(arp.mac) == self.mac() || !(speaks || probes) {
            return;
        }
        let server = lease.terms.server;
        self.account.conflict = Some(Conflict { address, mac: arp.mac });
        let exchange = self.exchange(now, random);
        let payload =
            self.query(MessageKind::Decline, &exchange, Ipv4Addr::UNSPECIFIED, Some(address), Some(server));
        out.push(Output::Broadcast { from: Ipv4Addr::UNSPECIFIED, payload });
        self.conflicts = self.conflicts.saturating_add(1);
        self.wanted.take_if(|wanted| *wanted == address);
        let wait = if self.conflicts >= MANY_CONFLICTS { AFTER_MANY_CONFLICTS } else { AFTER_DECLINE };
        self.state = State::Init { at: now + wait };
    }

    fn nak(&mut self, now: Moment, reply: &ServerMessage, random: Random<'_>, out: &mut Vec<Output>) {
        let server = reply.options.address(options::SERVER);
        let asked = match &self.state {
            State::Requesting(_, terms) => Some((Some(terms.server), terms.address.addr())),
            State::Rebooting(_) => self.wanted.map(|wanted| (None, wanted)),
            State::Renewing(_) => self.lease.as_ref().map(|l| (Some(l.terms.server), l.terms.address.addr())),
            State::Rebinding(_) => self.lease.as_ref().map(|l| (None, l.terms.address.addr())),
            _ => None,
        };
        // If a specific server was asked, only its own answer counts.
        let Some((_, address)) = asked.filter(|(by, _)| by.is_none() || *by == server) else { return };
        self.account.unanswered = 0;
        self.account.refused = Some(Refused { server: server.unwrap_or(Ipv4Addr::UNSPECIFIED), address });
        if self.lease.as_ref().is_some_and(|lease| lease.terms.address.addr() == address) {
            self.lose(LeaseEnd::Refused, out);
        }
        self.wanted = None;
        // A server that offers and refuses in turn must not set the pace.
        match self.refusals {
            0 => self.discover(now, random, out),
            refusals => self.state = State::Init { at: now + delay(refusals - 1, random) },
        }
        self.refusals = self.refusals.saturating_add(1);
    }

    fn release(&mut self, random: Random<'_>, out: &mut Vec<Output>) {
        let probed = match &self.state {
            State::Probing { lease, .. } => Some((**lease).clone()),
            _ => None,
        };
        if let Some(lease) = self.lease.take().or(probed) {
            let address = lease.terms.address.addr();
            let exchange = self.exchange(Moment::ZERO, random);
            let payload =
                self.query(MessageKind::Release, &exchange, address, None, Some(lease.terms.server));
            out.push(Output::Unicast { from: address, to: lease.terms.server, payload });
            out.push(Output::Lost(LeaseEnd::Released));
        }
        self.state = State::Released;
    }

    fn lose(&mut self, why: LeaseEnd, out: &mut Vec<Output>) {
        self.lease = None;
        self.confirmed = false;
        self.account.offers.clear();
        out.push(Output::Lost(why));
    }

    fn remember(&mut self, offered: Offered) {
        self.account.unanswered = 0;
        let offers = &mut self.account.offers;
        let same = |other: &Offered| (other.server, other.address) == (offered.server, offered.address);
        match offers.iter().position(same) {
            Some(at) => offers[at] = offered,
            None if offers.len() < MOST_SERVERS => offers.push(offered),
            None => {}
        }
    }
}

impl Exchange {
    fn sent(&mut self, now: Moment, delay: Duration) {
        self.sent = self.sent.saturating_add(1);
        self.broadcast |= self.sent > UNICAST_TRIES;
        self.seconds = u16::try_from(now.saturating_sub(self.began).as_secs()).unwrap_or(u16::MAX);
        self.last = now;
        self.next = now + delay;
    }
}

/// The delay after this many messages: 4, 8, 16, 32 and then 64 s, each by up to a second longer or shorter.
fn delay(sent: u32, random: Random<'_>) -> Duration {
    let base = (FIRST_DELAY * (1 << sent.min(4))).min(LONGEST_DELAY);
    between(base - SPREAD, base + SPREAD, random)
}

/// Half of the remaining time, and at least a minute.
fn renewal_delay(now: Moment, until: Option<Moment>) -> Duration {
    let left = until.map_or(Duration::ZERO, |until| until.saturating_sub(now));
    (left / 2).max(LEAST_RENEWAL_DELAY)
}

fn between(least: Duration, most: Duration, random: Random<'_>) -> Duration {
    let milliseconds = u64::try_from((most - least).as_millis()).unwrap_or(0);
    least + Duration::from_millis(u64::from(random()) % (milliseconds + 1))
}

#[cfg(test)]
mod tests;
