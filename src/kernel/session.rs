//! A netlink session: every request gets an answer, and every wait has a bound.
//!
//! rtnetlink's own connection loses replies that it cannot decode and then waits forever, sends one request per round
//! trip, and has no extended acks; this replaces it below rtnetlink's message builders. It knows framing only
//! ([`super::wire`]); the meaning of replies is up to their readers.
//!
//! The kernel answers a request before `send` returns, so a wait here is for a lost answer: it ends at the session's
//! bound. (A change that blocks inside the kernel blocks the send itself, without a bound.) Entry points:
//! [`Session::batch`] for changes, [`Session::dump`] for lists.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::{Socket, SocketAddr, protocols};
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use crate::machine::Machine;

use super::wire::{self, Ack, NetlinkMessage, Refusal, Request};

/// How long the answers to a datagram may take, sending included: they are there before `send` returns unless one was
/// lost.
pub const BOUND: Duration = Duration::from_secs(5);

/// How many times that a dump may take, which is read in many datagrams, and repeated if it changed meanwhile.
const DUMP: u32 = 6;

/// Requested receive buffer, in bytes: room for the refusal of each message of a full datagram.
const RECEIVE_BUFFER: usize = 2 << 20;

/// Largest datagram sent, in bytes. Measured on 10,000 routes: datagrams of this size with only the last message
/// acknowledged take two thirds of the time of 8 KiB datagrams with every message acknowledged.
pub(super) const DATAGRAM: usize = 32 << 10;

/// The kernel fills at most 32 KiB a datagram when the reader offers that much (`netlink_dump`); one link
/// with hundreds of virtual functions can be longer, and then the buffer grows.
pub(super) const READ_BUFFER: usize = 64 << 10;

/// How often a dump that was interrupted by changes is repeated.
const DUMP_ATTEMPTS: usize = 10;

/// How often, after an overrun, the session asks whether the kernel is done.
const FENCES: usize = 3;

/// A family of the netlink protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetlinkFamily {
    /// Links, addresses, routes, rules (`NETLINK_ROUTE`).
    Route,
    /// WireGuard, ethtool and others, by name (`NETLINK_GENERIC`).
    Generic,
    /// Packet filters (`NETLINK_NETFILTER`).
    Netfilter,
}

/// Why a request has no ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The kernel refused.
    Refused(Refusal),
    /// The answer was lost: the receive buffer overran. The change may have been made.
    Lost,
    /// No answer came for this long. The change may have been made.
    Silent(Duration),
    /// The request could not be sent, or the socket failed.
    Socket(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Lost => f.write_str("the kernel's answer was lost (receive buffer overrun)"),
            Self::Silent(bound) => write!(f, "the kernel did not answer within {} s", bound.as_secs_f32()),
            Self::Socket(errno) => write!(f, "netlink socket: {}", errno.desc()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Socket(Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    }
}

/// A complete list from the kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Dump<T> {
    /// The decoded items.
    pub items: Vec<T>,
    /// False if the list changed during every attempt to read it: an item may be missing or duplicated.
    pub consistent: bool,
}

/// A netlink socket with its sequence numbers. One request, batch or dump at a time.
#[derive(Debug)]
pub struct Session {
    socket: AsyncFd<Socket>,
    sequence: u32,
    bound: Duration,
    /// When the pending requests must have been answered.
    until: Instant,
    /// The machine whose kernel it is.
    machine: Machine,
    /// Size of the receive buffer in bytes: a datagram holds only as many messages as have room for their
    /// answers, so that none is lost even if all are refused.
    room: usize,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

/// The result of a read.
pub(super) enum Read {
    /// A datagram of this length at the start of the incoming buffer.
    Datagram(usize),
    /// The receive buffer overran: answers are missing.
    Overrun,
    /// A datagram was longer than the incoming buffer, which has grown since.
    Cut,
}

impl Session {
    /// Opens a session with the kernel in the calling thread's network namespace, on the machine as it is. Needs a tokio
    /// runtime.
    pub fn open(family: NetlinkFamily) -> Result<Self, Failure> {
        Self::of(&Machine::default(), family)
    }

    /// The same, with the kernel's files elsewhere.
    pub fn of(machine: &Machine, family: NetlinkFamily) -> Result<Self, Failure> {
        let socket = Socket::new(match family {
            NetlinkFamily::Route => protocols::NETLINK_ROUTE,
            NetlinkFamily::Generic => protocols::NETLINK_GENERIC,
            NetlinkFamily::Netfilter => protocols::NETLINK_NETFILTER,
        })?;
        // Connected to the kernel: nobody else can send answers to the socket.
        socket.connect(&SocketAddr::new(0, 0))?;
        // Both since 4.12; before, a refusal has only its number.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        // Since 4.20; before, the kernel ignores the filter of a dump request.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self { machine: machine.clone(), ..Self::over(socket, BOUND)? })
    }

    /// The machine whose kernel it is, for what the kernel exposes only as files.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A session over any connected datagram socket: the kernel's, or a test's other end.
    fn over(socket: Socket, bound: Duration) -> Result<Self, Failure> {
        // Without CAP_NET_ADMIN the size stays at net.core.rmem_default, and a datagram holds fewer messages.
        let _ = setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &RECEIVE_BUFFER);
        let room = getsockopt(&socket.as_fd(), sockopt::RcvBuf).map_err(Failure::Socket)?;
        Ok(Self {
            socket: register(socket)?,
            sequence: 0,
            bound,
            until: Instant::now(),
            machine: Machine::default(),
            room,
            incoming: vec![0; READ_BUFFER],
            outgoing: Vec::new(),
        })
    }

    /// Sends one request and waits for its answer.
    pub async fn request(&mut self, request: &Request) -> Result<Ack, Failure> {
        let mut answers = self.batch(std::slice::from_ref(request)).await;
        answers.pop().unwrap_or(Err(Failure::Lost))
    }

    /// Sends requests in order, as many per datagram as fit, and returns the answer to each. A refused one does not
    /// stop those after it. Requests with one reply (`RTM_GETLINK` by name) may be among them.
    pub async fn batch(&mut self, requests: &[Request]) -> Vec<Result<Ack, Failure>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while !rest.is_empty() {
            let (mut length, mut room) = (0, 0);
            let fitting = rest.iter().take_while(|request| {
                length += request.len();
                room += request.answer_room();
                length <= DATAGRAM && room <= self.room
            });
            let (now, later) = rest.split_at(fitting.count().max(1));
            answers.extend(self.exchange(now).await);
            rest = later;
        }
        answers
    }

    /// Sends one datagram and collects its answers.
    async fn exchange(&mut self, requests: &[Request]) -> Vec<Result<Ack, Failure>> {
        self.until = Instant::now() + self.bound;
        let first = self.take_sequence(requests.len());
        self.outgoing.clear();
        for (i, (request, sequence)) in requests.iter().zip(first..).enumerate() {
            let asked = !request.is_quiet() || i + 1 == requests.len();
            request.write(&mut self.outgoing, sequence, if asked { NLM_F_ACK } else { 0 });
        }
        let mut answers = Answers::new(first, requests.len());
        let failure = match self.converse(&mut answers).await {
            Ok(()) => Failure::Lost,
            Err(failure) => failure,
        };
        answers.finish(requests, failure)
    }

    /// Sends the outgoing datagram and reads until its last message, which always asks for an ack, has one.
    async fn converse(&mut self, answers: &mut Answers) -> Result<(), Failure> {
        self.send().await?;
        let mut fences = 0..FENCES;
        while !answers.last_is_in() {
            match self.read(answers.overrun).await? {
                Some(Read::Datagram(length)) => {
                    wire::frames(&self.incoming[..length]).for_each(|f| answers.take(&f))
                }
                Some(Read::Overrun | Read::Cut) => answers.overrun = true,
                // Everything after the overrun has been read. A fence's ack ends the wait for what was lost.
                None => {
                    fences.next().ok_or(Failure::Lost)?;
                    answers.fence = self.take_sequence(1);
                    self.outgoing.clear();
                    Request::fence().write(&mut self.outgoing, answers.fence, 0);
                    self.send().await?;
                    // From here on the fence's own ack is waited for.
                    answers.overrun = false;
                    answers.lost = true;
                }
            }
        }
        answers.lost |= answers.overrun;
        Ok(())
    }

    /// Requests a list and passes each item to `decode`, which keeps or skips it. A list that changed while it was read
    /// is requested again, so `decode` must not rely on seeing each item once.
    pub async fn dump<T>(
        &mut self,
        request: &Request,
        mut decode: impl FnMut(&NetlinkMessage<'_>) -> Option<T>,
    ) -> Result<Dump<T>, Failure> {
        self.until = Instant::now() + DUMP * self.bound;
        let mut last = Dump { items: Vec::new(), consistent: false };
        for _ in 0..DUMP_ATTEMPTS {
            match self.dump_once(request, &mut decode).await {
                Ok(dump) if dump.consistent => return Ok(dump),
                Ok(dump) => last = dump,
                // A dump that was abandoned half-way still occupies the socket.
                Err(Failure::Refused(refusal)) if refusal.errno() == Errno::EBUSY => {
                    drain(self.socket.get_ref(), &mut self.incoming)?
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(last)
    }

    async fn dump_once<T>(
        &mut self,
        request: &Request,
        decode: &mut impl FnMut(&NetlinkMessage<'_>) -> Option<T>,
    ) -> Result<Dump<T>, Failure> {
        let sequence = self.take_sequence(1);
        self.outgoing.clear();
        request.write(&mut self.outgoing, sequence, NLM_F_DUMP);
        self.send().await?;
        let mut dump = Dump { items: Vec::new(), consistent: true };
        loop {
            let Some(Read::Datagram(length)) = self.read(false).await? else {
                dump.consistent = false;
                continue;
            };
            for frame in wire::frames(&self.incoming[..length]).filter(|f| f.sequence == sequence) {
                dump.consistent &= frame.flags & NLM_F_DUMP_INTR == 0;
                match frame.kind {
                    NLMSG_DONE => return wire::done(&frame).map(|_| dump).map_err(Failure::Refused),
                    NLMSG_ERROR => {
                        if let Some(Err(refusal)) = wire::ack(&frame) {
                            return Err(Failure::Refused(refusal));
                        }
                    }
                    _ => dump.items.extend(decode(&frame)),
                }
            }
        }
    }

    /// Reserves `count` consecutive sequence numbers; never 0, which notifications carry.
    fn take_sequence(&mut self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let first = if self.sequence.checked_add(count).is_some() { self.sequence + 1 } else { 1 };
        self.sequence = first + (count - 1);
        first
    }

    async fn send(&self) -> Result<(), Failure> {
        let whole = async {
            loop {
                match self.socket.get_ref().send(&self.outgoing, 0) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.socket.writable().await?.clear_ready()
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result.map(|_| ()),
                }
            }
        };
        match timeout_at(self.until, whole).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Failure::Silent(self.bound)),
        }
    }

    /// Reads a datagram; if there is none, waits for one within the bound, or with `only_there` returns None.
    async fn read(&mut self, only_there: bool) -> Result<Option<Read>, Failure> {
        match read(self.socket.get_ref(), &mut self.incoming) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && only_there => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Ok(Some(result?)),
        }
        let Self { socket, incoming, bound, until, .. } = self;
        let next = read_next(socket, incoming);
        match timeout_at(*until, next).await {
            Ok(result) => Ok(Some(result?)),
            Err(_) => Err(Failure::Silent(*bound)),
        }
    }
}

/// Discards pending datagrams; reading also finishes an abandoned dump.
pub(super) fn drain(socket: &Socket, incoming: &mut Vec<u8>) -> Result<(), Failure> {
    loop {
        match read(socket, incoming) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
    }
}

/// Registers a socket with the runtime.
pub(super) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    socket.set_non_blocking(true)?;
    // SAFETY: `Socket` owns its descriptor, always returns the same one, and closes it only when dropped.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

/// Reads a pending datagram; `WouldBlock` if there is none.
fn read(socket: &Socket, incoming: &mut Vec<u8>) -> io::Result<Read> {
    loop {
        // With MSG_TRUNC the returned length is the datagram's, whatever the buffer's.
        match socket.recv(&mut &mut incoming[..], libc::MSG_TRUNC) {
            Ok(length) if length > incoming.len() => {
                incoming.resize(length.next_power_of_two(), 0);
                return Ok(Read::Cut);
            }
            Ok(length) => return Ok(Read::Datagram(length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Read::Overrun),
            Err(error) => return Err(error),
        }
    }
}

/// Waits for a datagram, however long that takes, and reads it.
pub(super) async fn read_next(socket: &AsyncFd<Socket>, incoming: &mut Vec<u8>) -> io::Result<Read> {
    loop {
        // `try_io` clears a stale readiness.
        if let Ok(result) = socket.readable().await?.try_io(|s| read(s.get_ref(), incoming)) {
            return result;
        }
    }
}

/// Collects the answers to one datagram.
struct Answers {
    first: u32,
    acks: Vec<Option<Result<Ack, Refusal>>>,
    replies: Vec<Option<Vec<u8>>>,
    /// Sequence number of the fence, 0 while there is none.
    fence: u32,
    fenced: bool,
    /// The receive buffer overran, and its remaining content has not been read.
    overrun: bool,
    /// Answers have been lost: a missing one is not a success.
    lost: bool,
}

impl Answers {
    fn new(first: u32, count: usize) -> Self {
        Self {
            first,
            acks: vec![None; count],
            replies: Vec::new(),
            fence: 0,
            fenced: false,
            overrun: false,
            lost: false,
        }
    }

    fn take(&mut self, frame: &NetlinkMessage<'_>) {
        if frame.sequence == self.fence && self.fence != 0 {
            self.fenced = true;
            return;
        }
        let Some(index) = frame.sequence.checked_sub(self.first).map(|i| i as usize) else { return };
        let Some(slot) = self.acks.get_mut(index) else { return };
        if frame.kind == NLMSG_ERROR {
            *slot = wire::ack(frame);
        } else {
            self.replies.resize(self.acks.len(), None);
            self.replies[index] = Some(frame.payload.to_vec());
        }
    }

    fn last_is_in(&self) -> bool {
        self.fenced || matches!(self.acks.last(), Some(Some(_)))
    }

    /// One result per request. Those without an answer succeeded if they requested none and the answer to a later one
    /// has arrived; else they failed in the given way.
    fn finish(mut self, requests: &[Request], failure: Failure) -> Vec<Result<Ack, Failure>> {
        let through = self.last_is_in() && !self.lost;
        self.replies.resize(self.acks.len(), None);
        let answers = self.acks.into_iter().zip(self.replies).zip(requests);
        let result = |((ack, reply), request): ((Option<Result<Ack, Refusal>>, _), &Request)| match ack {
            Some(Ok(ack)) => Ok(Ack { reply, ..ack }),
            Some(Err(refusal)) => Err(Failure::Refused(refusal)),
            None if through && request.is_quiet() => Ok(Ack { warning: None, reply }),
            None => Err(failure.clone()),
        };
        answers.map(result).collect()
    }
}

#[cfg(test)]
mod tests;
