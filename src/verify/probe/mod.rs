//! Probes of the network: one file per protocol. Each probe is a task that sends what it learns as [`Fact`]s, ends when
//! nothing more can be learnt, and is dropped at the deadline.

mod arp;
mod discover;
mod dns;
mod frames;
mod gateway;
#[cfg(test)]
mod hostile;
mod http;
mod icmp;
mod listen;
mod names;
mod ndisc;
mod target;
mod trace;
mod watch;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::sync::mpsc::UnboundedSender;

pub(super) use watch::Frame;

use super::evidence::{Answer, Heard, Losses, PortSubnet, Tally};
use super::input::Target;
use crate::machine::Machine;
use crate::model::MacAddr;
use crate::socket::Socket;

pub(super) use gateway::MEASURED;
pub use listen::{LISTEN, announcement, partner};

/// Where probes send what they learn.
pub(super) type Facts = UnboundedSender<Fact>;

/// A probe to be started. Equal ones are started once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Probe {
    /// Listens on a NIC.
    Listen {
        /// The NIC.
        link: String,
        /// Its index.
        index: u32,
    },
    /// Sends echoes to a gateway: small ones, then full-sized ones.
    Gateway {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// The gateway.
        ip: IpAddr,
        /// Our own address.
        source: Option<IpAddr>,
        /// The link's hardware address, if it is Ethernet.
        mac: Option<MacAddr>,
        /// MTU of the link in bytes.
        mtu: u32,
    },
    /// Checks whether another host has one of our IPv4 addresses.
    Claim {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// Its hardware address.
        mac: MacAddr,
        /// The address.
        ip: Ipv4Addr,
    },
    /// Asks which hosts have these IPv4 addresses.
    WhoHas {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// Its hardware address.
        mac: MacAddr,
        /// The addresses.
        ips: Vec<Ipv4Addr>,
    },
    /// Sends echoes to a host that has answered an ARP request on this link, whatever the routes say. [`Probe::Watch`] reports
    /// its answers.
    EchoHere {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// Its hardware address, and an address of ours.
        from: (MacAddr, Ipv4Addr),
        /// The host's.
        to: (MacAddr, Ipv4Addr),
    },
    /// Checks whether another host has one of our IPv6 addresses.
    Owner {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// Its hardware address.
        mac: MacAddr,
        /// The address.
        ip: Ipv6Addr,
    },
    /// Queries a name server.
    Resolver {
        /// The server.
        server: IpAddr,
        /// For a link-local one, the link's index.
        index: u32,
    },
    /// Connects to a target.
    Target {
        /// Its index in the input.
        position: usize,
        /// The target.
        target: Target,
        /// The name servers, and the index of the link of a link-local one.
        servers: Vec<(IpAddr, u32)>,
        /// The search domains.
        search: Vec<String>,
    },
    /// Watches the frames to and from a host.
    Watch {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// The host.
        ip: IpAddr,
    },
    /// Asks DHCP servers and routers which subnet a link is in.
    Discover {
        /// The link.
        link: String,
        /// Its index.
        index: u32,
        /// Its hardware address.
        mac: MacAddr,
    },
    /// Asks the routers on the way to a name server or target.
    Trace {
        /// Its address.
        to: IpAddr,
    },
}

/// Something that a probe learnt.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// The kernel's state has changed, or notifications were lost.
    Changed,
    /// The neighbour table has changed: a notification of this type, and what follows its header.
    Neighbour(u16, Vec<u8>),
    /// An echo request was sent to a gateway.
    EchoSent(String, IpAddr),
    /// A gateway answered the first echo: the round-trip time, in microseconds.
    Echo(String, IpAddr, u64),
    /// How much a gateway answers.
    Losses(String, IpAddr, Losses),
    /// The machine itself refuses to send to a gateway: the system's error number.
    EchoRefused(String, IpAddr, i32),
    /// The largest full-sized packet tried, and the largest that passed.
    Full(String, IpAddr, u32, Option<u32>),
    /// A gateway's echoes are over, and why they cannot be sent.
    EchoOver(String, IpAddr, Option<String>),
    /// Another host has one of our addresses.
    Claimed(String, IpAddr, MacAddr),
    /// No host claimed it within the time, or the probes could not be sent: the system's error text.
    Unclaimed(String, IpAddr, Option<String>),
    /// A host has an address.
    Has(String, IpAddr, MacAddr),
    /// A name server answered.
    Resolver(IpAddr, u64),
    /// A name server did not answer: whether its host refuses, the system's error text, and its error number if the
    /// machine itself refuses to send.
    ResolverError(IpAddr, bool, String, Option<i32>),
    /// A router or host on the path to the first address says that it cannot be reached, in these words.
    WayRefused(IpAddr, IpAddr, &'static str),
    /// The addresses of a target's name.
    Resolved(usize, Vec<IpAddr>),
    /// The name does not exist.
    UnknownName(usize),
    /// The name servers answer, but refuse or fail to resolve the name.
    NameRefused(usize),
    /// A target answered: the time, in microseconds; true if nothing better is waited for.
    Answer(usize, Answer, u64, bool),
    /// A router or the system says that a target cannot be reached, with the error number if the machine itself
    /// refuses.
    Unreachable(usize, String, Option<i32>),
    /// The number of rounds of echoes that a name server or target answers.
    WayEcho(IpAddr, Tally),
    /// The router on the path to the first address at this distance from 1, or nobody there.
    Hop(IpAddr, usize, Option<IpAddr>),
    /// The frames to and from a host are watched from now on.
    Watched(String, IpAddr),
    /// A frame of this kind was seen, for the first time.
    Seen(String, IpAddr, Frame),
    /// What was heard on a NIC so far.
    Heard(String, Box<Heard>),
    /// A server or router gives out a subnet on a link.
    Subnet(String, PortSubnet),
    /// Something cannot be looked at, for a person.
    Unreadable(String),
}

/// Runs a probe to its end.
pub(super) async fn run(probe: Probe, machine: Machine, facts: Facts) {
    match probe {
        Probe::Listen { link, index } => listen::listen(&link, index, &facts).await,
        Probe::Gateway { link, index, ip, source, mac, mtu } => {
            gateway::ask(&gateway::Gateway { link, index, ip, source, mac, mtu }, &facts).await;
        }
        Probe::Claim { link, index, mac, ip } => claims(link, index, mac, vec![ip], facts).await,
        Probe::WhoHas { link, index, mac, ips } => arp::who_has(&link, index, mac, &ips, &facts).await,
        Probe::EchoHere { link, index, from, to } => echo_here(&link, index, from, to).await,
        Probe::Owner { link, index, mac, ip } => owners(link, index, mac, vec![ip], facts).await,
        Probe::Resolver { server, index } => dns::server(server, index, &facts).await,
        Probe::Target { position, target, servers, search } => {
            target::ask(position, &target, &servers, &search, (&machine, &facts)).await;
        }
        Probe::Watch { link, index, ip } => watch::watch(&link, index, ip, &facts).await,
        Probe::Discover { link, index, mac } => discover::ask(&link, index, mac, &facts).await,
        Probe::Trace { to } => trace::trace(to, &facts).await,
    }
}

/// Checks whether other hosts have IPv4 addresses of a link, all with one socket.
pub(super) async fn claims(link: String, index: u32, mac: MacAddr, ips: Vec<Ipv4Addr>, facts: Facts) {
    arp::claim(&link, index, mac, &ips, &facts).await;
}

/// Sends three echoes to a host on a link, a second apart.
async fn echo_here(link: &str, index: u32, from: (MacAddr, Ipv4Addr), to: (MacAddr, Ipv4Addr)) {
    // It receives nothing.
    let sent = async {
        let socket = Socket::packet(index, 0)?;
        for sequence in 0..3 {
            let frame = icmp::frame((&to.0, to.1), (&from.0, from.1), sequence);
            socket.send_frame(&frame, index).await?;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        Ok::<(), std::io::Error>(())
    };
    if let Err(error) = sent.await {
        log::debug!("echo to {} on {link}: {error}", to.1);
    }
}

/// The same for IPv6 addresses.
pub(super) async fn owners(link: String, index: u32, mac: MacAddr, ips: Vec<Ipv6Addr>, facts: Facts) {
    ndisc::owner(&link, index, mac, &ips, &facts).await;
}

/// The error number if this machine refuses to send, rather than a router: netfilter and xfrm drop with EPERM,
/// prohibiting policy gives EACCES (which for IPv6 a router's ICMP gives, too), and what cannot be sent at all or has
/// no room in this process the others. ENETUNREACH and EHOSTUNREACH come from routers, too: the kernel's lookup
/// decides.
pub(super) fn refused_here(error: &std::io::Error, ip: &IpAddr) -> Option<i32> {
    let number = error.raw_os_error()?;
    let here = match number {
        libc::EACCES => ip.is_ipv4(),
        libc::EPERM | libc::EINVAL | libc::EMSGSIZE | libc::EMFILE | libc::ENFILE => true,
        libc::ENOMEM | libc::ENOBUFS | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT => true,
        _ => false,
    };
    here.then_some(number)
}

/// Sends a fact; ignored if the receiver is gone.
fn tell(facts: &Facts, fact: Fact) {
    let _ = facts.send(fact);
}
