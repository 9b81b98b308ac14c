//! Asks for leases: the clients of [`super::dhcp4::machine`] on real links, each a task with sockets and timers of its
//! own. What they learn comes out of [`Clients::next`]; nothing here changes a link.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::dhcp4::frame::{self, CLIENT_PORT, SERVER_PORT};
use super::dhcp4::machine::{Account, Arp, Client, ClientEvent, Config, Lease, LeaseEnd, Moment, Output};
use crate::machine::clock;
use crate::socket::arp::ETH_P_ARP;
use crate::socket::{Socket, op, want_tags};

const ETH_P_IP: u16 = 0x0800;
/// Whole Ethernet frames with a tag fit.
const BUFFER: usize = 2048;

/// The time since the machine was started; it goes on while the machine sleeps.
pub fn now() -> Moment {
    clock::uptime()
}

/// A link that is to get a lease.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub link: String,
    /// Its index.
    pub index: u32,
    /// Who asks, and how.
    pub config: Config,
    /// An earlier lease.
    pub kept: Option<Lease>,
    /// The earlier lease is known to hold.
    pub confirmed: bool,
}

/// How a link's client stands.
#[derive(Clone, Debug)]
pub struct News {
    /// The link.
    pub link: String,
    /// The state's name in RFC 2131.
    pub state: &'static str,
    /// The lease in force.
    pub lease: Option<Lease>,
    /// Why the last one is gone, where it has gone now.
    pub lost: Option<LeaseEnd>,
    /// The lease in force is another than before, or has another lifetime.
    pub changed: bool,
    /// What was heard.
    pub account: Account,
}

#[derive(Debug)]
enum Command {
    Carrier(bool),
    Release,
}

/// The clients of all links.
#[derive(Debug)]
pub struct Clients {
    running: BTreeMap<String, Running>,
    tell: UnboundedSender<News>,
    news: UnboundedReceiver<News>,
}

#[derive(Debug)]
struct Running {
    index: u32,
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
    /// Begins to ask on a link that has none of these clients yet, or was made anew. Needs a tokio runtime.
    pub fn start(&mut self, job: Job) {
        if self.running.get(&job.link).is_some_and(|running| running.index == job.index) {
            return;
        }
        self.stop(&job.link);
        let (commands, inbox) = unbounded_channel();
        let (link, index) = (job.link.clone(), job.index);
        let task = tokio::spawn(serve(job, inbox, self.tell.clone()));
        self.running.insert(link, Running { index, carrier: false, commands, task });
    }

    /// Ends the client of a link, which keeps its lease.
    pub fn stop(&mut self, link: &str) {
        if let Some(running) = self.running.remove(link) {
            running.task.abort();
        }
    }

    /// The links that have a client.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.running.keys().map(String::as_str)
    }

    /// Whether a link carries packets now.
    pub fn carrier(&mut self, link: &str, carrier: bool) {
        let Some(running) = self.running.get_mut(link).filter(|running| running.carrier != carrier) else {
            return;
        };
        running.carrier = carrier;
        let _ = running.commands.send(Command::Carrier(carrier));
    }

    /// Gives the lease of a link up.
    pub fn release(&mut self, link: &str) {
        if let Some(running) = self.running.get(link) {
            let _ = running.commands.send(Command::Release);
        }
    }

    /// What comes next, however long that takes: the caller sets the bound. Cancel safe.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // A sender is held here.
            None => std::future::pending().await,
        }
    }
}

/// Runs a client until it is dropped.
async fn serve(job: Job, mut commands: UnboundedReceiver<Command>, tell: UnboundedSender<News>) {
    let Job { link, index, config, kept, confirmed } = job;
    let mut client = Client::new(config.clone(), kept, confirmed, now());
    let mut wire = Wire { link: link.clone(), index, config, ip: None, arp: None, udp: None };
    let (secret, mut count) = (RandomState::new(), 0_u64);
    let mut random = || {
        count += 1;
        secret.hash_one(count) as u32
    };
    let (mut ip_frame, mut arp_frame) = ([0; BUFFER], [0; 128]);
    let mut told = None;
    loop {
        wire.follow(&client);
        let left = client.deadline().map(|deadline| deadline.saturating_sub(now()));
        let timer = async {
            match left {
                Some(left) => sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let outputs = tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Carrier(up)) => client.handle(now(), ClientEvent::Carrier(up), &mut random),
                Some(Command::Release) => client.handle(now(), ClientEvent::Release, &mut random),
                None => return,
            },
            () = timer => client.handle(now(), ClientEvent::Timer, &mut random),
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
        let mut changed = false;
        let mut lost = None;
        for output in outputs {
            match output {
                Output::Bound(_) => changed = true,
                Output::Lost(why) => (changed, lost) = (true, Some(why)),
                output => wire.send(&output).await,
            }
        }
        // A flood of what cannot be read is no news.
        let account = Account { malformed: client.account().malformed.min(1), ..client.account().clone() };
        let state = (client.state(), account);
        if changed || told.as_ref() != Some(&state) {
            let lease = client.lease().cloned();
            let account = client.account().clone();
            let _ = tell.send(News { link: link.clone(), state: state.0, lease, lost, changed, account });
            told = Some(state);
        }
    }
}

/// The next frame of a socket, and whether its check sum stands; never without one.
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
    /// Held while a renewal by unicast is under way, so that the kernel does not refuse the answer.
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
            Output::Unicast { from, to, payload } => self.unicast(*from, *to, payload),
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
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::BindToDevice, &OsString::from(&self.link))?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, CLIENT_PORT)))?;
        let socket = UdpSocket::from(fd);
        socket.send_to(payload, (to, SERVER_PORT))?;
        self.udp = Some(socket);
        Ok(())
    }
}

/// Whole UDP datagrams for the client's port (linux/filter.h).
const FOR_CLIENTS: [libc::sock_filter; 9] = [
    // The IP protocol is UDP.
    op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 23, 0, 0),
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 17, 0, 6),
    // No fragment but the first.
    op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 20, 0, 0),
    op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0x1fff, 4, 0),
    // The port behind a header of any length.
    op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 14, 0, 0),
    op(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 16, 0, 0),
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, CLIENT_PORT as u32, 0, 1),
    op(libc::BPF_RET | libc::BPF_K, BUFFER as u32, 0, 0),
    op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
];
