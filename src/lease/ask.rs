//! Asks for leases and router advertisements: the clients of [`super::dhcp4::machine`], [`super::dhcp6::machine`] and
//! [`super::ra::machine`] on real links, each a task with sockets and timers of its own. What they learn comes out of [`Clients::next`]; nothing here changes a link.

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::dhcp4::frame::{self, CLIENT_PORT, FOR_CLIENTS, SERVER_PORT};
use super::dhcp4::machine::{Account, Arp, Client, ClientEvent, Config, Lease, LeaseEnd, Moment, Output};
use super::dhcp6::machine::{Account6, Client6, Config6, Event6, Lease6, Output6};
use super::ra::machine::{RaEvent, RaOutput, Router, Solicitor};
use super::ra::message::{ADVERTISEMENT, Advertisement, solicitation};
use crate::machine::clock::{Alarm, uptime};
use crate::model::{Dynamic, MacAddr};
use crate::socket::arp::ETH_P_ARP;
use crate::socket::{Socket, want_tags};

const ETH_P_IP: u16 = 0x0800;
/// The ports of DHCPv6, and its servers and relays on a link (RFC 9915, section 7).
const CLIENT_PORT6: u16 = 546;
const SERVER_PORT6: u16 = 547;
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// All routers of a link (RFC 4291, section 2.7.1).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Whole Ethernet frames with a tag fit.
const BUFFER: usize = 2048;

/// The time since boot, including suspend.
pub fn now() -> Moment {
    uptime()
}

/// A link that should get a lease.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub link: String,
    /// Its index.
    pub index: u32,
    /// What to request.
    pub asks: Asks,
}

/// The request of a client: who asks, how, and an earlier lease.
#[derive(Clone, Debug)]
pub enum Asks {
    /// DHCPv4.
    Four {
        /// Who asks, and how.
        config: Config,
        /// An earlier lease.
        kept: Option<Lease>,
        /// The earlier lease is known to be valid.
        confirmed: bool,
    },
    /// DHCPv6.
    Six {
        /// Who asks, and how.
        config: Config6,
        /// An earlier lease.
        kept: Option<Lease6>,
    },
    /// Routers.
    Routers {
        /// The link's address.
        mac: Option<MacAddr>,
        /// What they have advertised earlier.
        kept: Vec<Router>,
    },
}

impl Asks {
    fn what(&self) -> Dynamic {
        match self {
            Asks::Four { .. } => Dynamic::Dhcp4,
            Asks::Six { .. } => Dynamic::Dhcp6,
            Asks::Routers { .. } => Dynamic::RouterAdvertisements,
        }
    }

    /// Asks for no address: a client that does is another one.
    fn is_stateless(&self) -> bool {
        matches!(self, Asks::Six { config, .. } if config.stateless)
    }
}

/// What a client has and has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientHas {
    /// DHCPv4.
    Four(Option<Lease>, Account),
    /// DHCPv6.
    Six(Option<Lease6>, Account6),
    /// What routers advertise, and how often they were asked in vain.
    Routers(Vec<Router>, u32),
}

impl ClientHas {
    /// What is news when it changes, beside the lease. A flood of what cannot be read is none.
    fn heard(&self) -> ClientHas {
        match self {
            ClientHas::Four(_, account) => {
                ClientHas::Four(None, Account { malformed: account.malformed.min(1), ..account.clone() })
            }
            ClientHas::Six(_, account) => ClientHas::Six(None, account.clone()),
            ClientHas::Routers(_, unanswered) => ClientHas::Routers(Vec::new(), *unanswered),
        }
    }
}

/// How a link's client stands.
#[derive(Clone, Debug)]
pub struct News {
    /// The link.
    pub link: String,
    /// The state's name in the protocol.
    pub state: &'static str,
    /// The lease in force, and what was heard.
    pub heard: ClientHas,
    /// Why the last one ended, if it has just ended.
    pub lost: Option<LeaseEnd>,
    /// The lease in force is a different one, or has another lifetime.
    pub changed: bool,
}

#[derive(Debug)]
enum Command {
    Carrier(bool),
    Duplicate(Ipv6Addr),
    Release,
    Removed,
    OtherPrefixes,
}

/// The clients of all links.
#[derive(Debug)]
pub struct Clients {
    running: BTreeMap<(String, Dynamic), Running>,
    tell: UnboundedSender<News>,
    news: UnboundedReceiver<News>,
}

#[derive(Debug)]
struct Running {
    index: u32,
    stateless: bool,
    carrier: bool,
    commands: UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl Default for Clients {
    fn default() -> Self {
        let (tell, news) = unbounded_channel();
        Clients { running: BTreeMap::new(), tell, news }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.running.values().for_each(|running| running.task.abort());
    }
}

impl Clients {
    /// Starts a client on a link that has none of this family yet, or was recreated. Needs a tokio runtime.
    pub fn start(&mut self, job: Job) {
        let key = (job.link.clone(), job.asks.what());
        let stateless = job.asks.is_stateless();
        let is_same = |running: &Running| running.index == job.index && running.stateless == stateless;
        if self.running.get(&key).is_some_and(is_same) {
            return;
        }
        self.stop(&key.0, key.1);
        let (commands, inbox) = unbounded_channel();
        let Job { link, index, asks } = job;
        let told = Told::new(link, self.tell.clone());
        let task = match asks {
            Asks::Four { config, kept, confirmed } => {
                tokio::spawn(serve(index, config, kept, confirmed, inbox, told))
            }
            Asks::Six { config, kept } => tokio::spawn(serve6(index, config, kept, inbox, told)),
            Asks::Routers { mac, kept } => tokio::spawn(solicit(index, mac, kept, inbox, told)),
        };
        self.running.insert(key, Running { index, stateless, carrier: false, commands, task });
    }

    /// Ends a client of a link, which keeps its lease.
    pub fn stop(&mut self, link: &str, what: Dynamic) {
        if let Some(running) = self.running.remove(&(link.to_owned(), what)) {
            running.task.abort();
        }
    }

    /// The links that have a client, and what it asks for.
    pub fn links(&self) -> impl Iterator<Item = (&str, Dynamic)> {
        self.running.keys().map(|(link, what)| (link.as_str(), *what))
    }

    fn of_link(&mut self, link: &str) -> impl Iterator<Item = &mut Running> {
        self.running.iter_mut().filter(move |((name, _), _)| name == link).map(|(_, running)| running)
    }

    /// Sets whether a link carries packets now.
    pub fn carrier(&mut self, link: &str, carrier: bool) {
        for running in self.of_link(link).filter(|running| running.carrier != carrier) {
            running.carrier = carrier;
            let _ = running.commands.send(Command::Carrier(carrier));
        }
    }

    /// Another host has an address of the link with this index.
    pub fn duplicate_at(&mut self, index: u32, address: Ipv6Addr) {
        let there = self.running.values().filter(|running| running.index == index);
        there.for_each(|running| drop(running.commands.send(Command::Duplicate(address))));
    }

    /// Another host has an address of a link.
    pub fn duplicate(&mut self, link: &str, address: Ipv6Addr) {
        self.of_link(link).for_each(|running| drop(running.commands.send(Command::Duplicate(address))));
    }

    /// Releases the leases of a link.
    pub fn release(&mut self, link: &str) {
        self.of_link(link).for_each(|running| drop(running.commands.send(Command::Release)));
    }

    /// The addresses of leases that were released are no longer on their links.
    pub fn removed(&mut self) {
        self.running.values().for_each(|running| drop(running.commands.send(Command::Removed)));
    }

    /// Routers advertise other prefixes on a link than before.
    pub fn other_prefixes(&mut self, link: &str) {
        self.of_link(link).for_each(|running| drop(running.commands.send(Command::OtherPrefixes)));
    }

    /// The next event, however long that takes: the caller sets the bound. Cancel safe.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // This struct holds a sender.
            None => std::future::pending().await,
        }
    }
}

/// What the owner of the clients was told of one.
struct Told {
    link: String,
    tell: UnboundedSender<News>,
    last: Option<(&'static str, ClientHas)>,
}

/// What events have made of the lease in force.
#[derive(Default)]
struct LeaseChange {
    changed: bool,
    /// It is the same for longer.
    prolonged: bool,
    lost: Option<LeaseEnd>,
}

impl LeaseChange {
    fn bound(&mut self) {
        *self = LeaseChange { changed: true, ..LeaseChange::default() };
    }

    fn lost(&mut self, why: LeaseEnd) {
        *self = LeaseChange { changed: true, lost: Some(why), ..LeaseChange::default() };
    }
}

impl Told {
    fn new(link: String, tell: UnboundedSender<News>) -> Told {
        Told { link, tell, last: None }
    }

    /// Tells it where something is new.
    fn tell(&mut self, state: &'static str, heard: ClientHas, change: LeaseChange) {
        let LeaseChange { changed, prolonged, lost } = change;
        let now = Some((state, heard.heard()));
        if changed || prolonged || self.last != now {
            let _ = self.tell.send(News { link: self.link.clone(), state, heard, lost, changed });
            self.last = now;
        }
    }
}

/// Runs a client until it is dropped.
async fn serve(
    index: u32,
    config: Config,
    kept: Option<Lease>,
    confirmed: bool,
    mut commands: UnboundedReceiver<Command>,
    mut told: Told,
) {
    let mut client = Client::new(config.clone(), kept, confirmed, now());
    let mut wire = Wire { link: told.link.clone(), index, config, ip: None, arp: None, udp: None };
    let (mut random, mut alarm) = (unguessable(), Alarm::default());
    let (mut ip_frame, mut arp_frame) = ([0; BUFFER], [0; 128]);
    loop {
        wire.follow(&client);
        let outputs = tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Carrier(up)) => client.handle(now(), ClientEvent::Carrier(up), &mut random),
                Some(Command::Release) => client.handle(now(), ClientEvent::Release, &mut random),
                Some(Command::Duplicate(_) | Command::Removed | Command::OtherPrefixes) => continue,
                None => return,
            },
            () = alarm.at(client.deadline()) => client.handle(now(), ClientEvent::Timer, &mut random),
            received = receive(wire.ip.as_ref(), &mut ip_frame) => match received {
                Ok((frame, whole)) => match frame::payload(frame, whole) {
                    Some((_, payload)) => client.handle(now(), ClientEvent::Message(payload), &mut random),
                    None => continue,
                },
                Err(error) => {
                    wire.failed::<()>(&error);
                    continue;
                }
            },
            received = receive(wire.arp.as_ref(), &mut arp_frame) => match received.ok().and_then(|(f, _)| Arp::of_frame(f)) {
                Some(arp) => client.handle(now(), ClientEvent::Arp(arp), &mut random),
                None => continue,
            },
        };
        wire.follow(&client);
        let mut change = LeaseChange::default();
        for output in outputs {
            match output {
                Output::Bound(_) => change.bound(),
                Output::Lost(why) => change.lost(why),
                output => wire.send(&output).await,
            }
        }
        let heard = ClientHas::Four(client.lease().cloned(), client.account().clone());
        told.tell(client.state(), heard, change);
    }
}

/// Runs a DHCPv6 client until it is dropped.
async fn serve6(
    index: u32,
    config: Config6,
    kept: Option<Lease6>,
    mut commands: UnboundedReceiver<Command>,
    mut told: Told,
) {
    let link = told.link.clone();
    let mut client = Client6::new(config, kept, now());
    let (mut random, mut alarm) = (unguessable(), Alarm::default());
    let mut socket: Option<tokio::net::UdpSocket> = None;
    let mut buffer = [0; BUFFER];
    let failed = |error: &io::Error| log::debug!("DHCPv6 on {link}: {error}");
    loop {
        match (client.listens(), &socket) {
            (false, _) => socket = None,
            (true, None) => socket = client_socket(&link).inspect_err(failed).ok(),
            (true, Some(_)) => {}
        }
        let received = async {
            match &socket {
                Some(socket) => socket.recv(&mut buffer).await,
                None => std::future::pending().await,
            }
        };
        let outputs = tokio::select! {
            command = commands.recv() => {
                let event = match command {
                    Some(Command::Carrier(up)) => Event6::Carrier(up),
                    Some(Command::Duplicate(address)) => Event6::Duplicate(address),
                    Some(Command::Release) => Event6::Release,
                    Some(Command::Removed) => Event6::Removed,
                    Some(Command::OtherPrefixes) => Event6::OtherPrefixes,
                    None => return,
                };
                client.handle(now(), event, &mut random)
            }
            () = alarm.at(client.deadline()) => client.handle(now(), Event6::Timer, &mut random),
            received = received => match received {
                Ok(length) => {
                    let payload = buffer.get(..length).unwrap_or_default();
                    client.handle(now(), Event6::Message(payload), &mut random)
                }
                Err(error) => {
                    failed(&error);
                    continue;
                }
            },
        };
        let mut change = LeaseChange::default();
        for output in outputs {
            match output {
                Output6::Bound(_) => change.bound(),
                Output6::Lost(why) => change.lost(why),
                Output6::Send(payload) => {
                    // The first message may arrive before the socket is open.
                    if socket.is_none() {
                        socket = client_socket(&link).inspect_err(failed).ok();
                    }
                    if let Some(socket) = &socket {
                        let to = SocketAddrV6::new(ALL_SERVERS, SERVER_PORT6, 0, index);
                        if let Err(error) = socket.send_to(&payload, to).await {
                            failed(&error);
                        }
                    }
                }
            }
        }
        let heard = ClientHas::Six(client.lease().cloned(), client.account().clone());
        told.tell(client.state(), heard, change);
    }
}

/// Solicits router advertisements, and remembers them, until it is dropped.
async fn solicit(
    index: u32,
    mac: Option<MacAddr>,
    kept: Vec<Router>,
    mut commands: UnboundedReceiver<Command>,
    mut told: Told,
) {
    let mut solicitor = Solicitor::new(kept, now());
    let (mut random, mut alarm) = (unguessable(), Alarm::default());
    let mut buffer = [0; BUFFER];
    // Open while there is carrier: routers speak unasked, too.
    let mut socket: Option<Socket> = None;
    let failed = |link: &str, error: &io::Error| log::debug!("router advertisements on {link}: {error}");
    loop {
        let received = async {
            match &socket {
                Some(socket) => socket.receive(&mut buffer).await,
                None => std::future::pending().await,
            }
        };
        let outputs = tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Carrier(up)) => {
                    let open = || Socket::icmpv6_of_link(index, ADVERTISEMENT);
                    let opened = up.then(open).transpose();
                    socket = opened.inspect_err(|error| failed(&told.link, error)).ok().flatten();
                    solicitor.handle(now(), RaEvent::Carrier(up), &mut random)
                }
                Some(_) => continue,
                None => return,
            },
            () = alarm.at(solicitor.deadline()) => solicitor.handle(now(), RaEvent::Timer, &mut random),
            received = received => match received {
                Ok(received) => {
                    let packet = buffer.get(..received.length).unwrap_or_default();
                    let (Some(IpAddr::V6(from)), Some(hops)) = (received.from, received.hop_limit) else { continue };
                    let Some(heard) = Advertisement::read(from, hops, packet) else { continue };
                    solicitor.handle(now(), RaEvent::Advertised(from, &heard), &mut random)
                }
                Err(error) => {
                    failed(&told.link, &error);
                    continue;
                }
            },
        };
        let mut change = LeaseChange::default();
        for output in outputs {
            match output {
                RaOutput::Changed => change.bound(),
                RaOutput::Prolonged => change.prolonged = true,
                RaOutput::Solicit => {
                    let sent = match &socket {
                        Some(socket) => socket.send_to(&solicitation(mac), ALL_ROUTERS.into(), index).await,
                        None => Err(io::ErrorKind::NotConnected.into()),
                    };
                    if let Err(error) = sent {
                        failed(&told.link, &error);
                        solicitor.handle(now(), RaEvent::Unsent, &mut random);
                    }
                }
            }
        }
        let heard = ClientHas::Routers(solicitor.routers().to_vec(), solicitor.unanswered());
        told.tell(solicitor.state(), heard, change);
    }
}

/// Takes what comes for the client's port of a link.
fn client_socket(link: &str) -> io::Result<tokio::net::UdpSocket> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, CLIENT_PORT6));
    tokio::net::UdpSocket::from_std(udp_socket(link, any)?)
}

/// A UDP socket of a link, with this source.
fn udp_socket(link: &str, from: SocketAddr) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if from.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        without_groups(&fd);
    }
    setsockopt(&fd, sockopt::BindToDevice, &OsString::from(link))?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(from))?;
    Ok(UdpSocket::from(fd))
}

/// Servers answer a client alone (RFC 9915, section 16): what is sent to a group that the machine is in, such as all of the
/// link's nodes, is not received. Kernels before Linux 4.20 cannot do that; the transaction id still has to match there.
fn without_groups(socket: &impl AsRawFd) {
    // linux/in6.h.
    const IPV6_MULTICAST_ALL: i32 = 29;
    let (off, length) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the pointer is to an integer of the length given with it, which the kernel only reads.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            IPV6_MULTICAST_ALL,
            (&raw const off).cast(),
            length,
        )
    };
}

/// Unpredictable random numbers.
fn unguessable() -> impl FnMut() -> u32 {
    let (secret, mut count) = (RandomState::new(), 0_u64);
    move || {
        count += 1;
        secret.hash_one(count) as u32
    }
}

/// The next frame of a socket, and whether its checksum is filled in; never without a socket.
async fn receive<'b>(socket: Option<&Socket>, buffer: &'b mut [u8]) -> io::Result<(&'b [u8], bool)> {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        let received = socket.receive(buffer).await?;
        if !received.outgoing {
            return Ok((buffer.get(..received.length).unwrap_or_default(), !received.unsummed));
        }
    }
}

/// The sockets of a link, open only while the client waits for something.
struct Wire {
    link: String,
    index: u32,
    config: Config,
    ip: Option<Socket>,
    arp: Option<Socket>,
    /// Open during a renewal by unicast, so that the kernel does not reject the answer.
    udp: Option<UdpSocket>,
}

impl Wire {
    fn follow(&mut self, client: &Client) {
        let open = |wanted: bool, there: Option<Socket>, protocol, filter: &[libc::sock_filter]| match (
            wanted, there,
        ) {
            (false, _) => Ok(None),
            (true, Some(there)) => Ok(Some(there)),
            (true, None) => {
                let socket = Socket::filtered(self.index, protocol, filter)?;
                want_tags(&socket)?;
                Ok(Some(socket))
            }
        };
        let ip = open(client.listens(), self.ip.take(), ETH_P_IP, &FOR_CLIENTS);
        let arp = open(client.probes(), self.arp.take(), ETH_P_ARP, &[]);
        self.ip = ip.unwrap_or_else(|error| self.failed(&error));
        self.arp = arp.unwrap_or_else(|error| self.failed(&error));
        if !client.listens() {
            self.udp = None;
        }
    }

    /// Timers ask again.
    fn failed<T>(&self, error: &io::Error) -> Option<T> {
        log::debug!("DHCP on {}: {error}", self.link);
        None
    }

    async fn send(&mut self, output: &Output) {
        let sent = match output {
            Output::Broadcast { from, payload } => {
                self.frame(&frame::broadcast(payload, self.config.mac, *from)).await
            }
            Output::Arp(arp) => self.frame(&arp.frame()).await,
            Output::Unicast { from, to, payload } => match self.unicast(*from, *to, payload) {
                // A lease that is released before its address was on the link.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    self.frame(&frame::broadcast(payload, self.config.mac, *from)).await
                }
                sent => sent,
            },
            Output::Bound(_) | Output::Lost(_) => Ok(()),
        };
        if let Err(error) = sent {
            self.failed::<()>(&error);
        }
    }

    async fn frame(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.ip {
            Some(socket) => socket.send_frame(bytes, self.index).await,
            // Protocol 0 receives nothing.
            None => Socket::packet(self.index, 0)?.send_frame(bytes, self.index).await,
        }
    }

    fn unicast(&mut self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> io::Result<()> {
        let socket = udp_socket(&self.link, SocketAddr::from((from, CLIENT_PORT)))?;
        socket.send_to(payload, (to, SERVER_PORT))?;
        self.udp = Some(socket);
        Ok(())
    }
}
