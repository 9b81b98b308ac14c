//! What changes in the kernel, as it happens: a socket in netlink's multicast groups.
//!
//! For waits: for a carrier, a neighbour, the end of duplicate address detection. A waiter opens
//! the [`Monitor`] first and reads the state afterwards, so that no change is missed. If the kernel sent messages
//! faster than they were read, [`Event::Resync`] says that the state must be read again.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::unix::AsyncFd;

use super::attributes::Attributes;
use super::session::{Failure, READ_BUFFER, Read, drain, read_next, register};
use super::wire;

/// Requested receive buffer, in bytes: enough for a thousand links coming up at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Groups of `NETLINK_ROUTE` notifications (linux/rtnetlink.h, `RTNLGRP_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Group {
    /// Links created, changed (flags, carrier, attributes) and removed.
    Link = 1,
    /// Neighbour entries.
    Neighbour = 3,
    /// IPv4 addresses.
    Ipv4Address = 5,
    /// IPv4 routes.
    Ipv4Route = 7,
    /// IPv4 rules.
    Ipv4Rule = 8,
    /// IPv6 addresses, with the flags of duplicate address detection.
    Ipv6Address = 9,
    /// IPv6 routes.
    Ipv6Route = 11,
    /// IPv6 rules.
    Ipv6Rule = 19,
}

/// linux/if_addr.h.
const IFA_F_DADFAILED: u32 = 0x08;
/// How many events are read before the state is read anew.
const MOST_EVENTS: usize = 1000;

/// The address in an event that says it was deleted because another host has it, and the index of its link.
fn duplicate(event: &Event) -> Option<(u32, Ipv6Addr)> {
    let Event::Message { kind: libc::RTM_DELADDR, payload } = event else { return None };
    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let (head, attributes) = payload.split_first_chunk::<8>()?;
    let failed = u32::from(head[2]) & IFA_F_DADFAILED != 0;
    (i32::from(head[0]) == libc::AF_INET6 && failed).then_some(())?;
    let index = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    match Attributes::new(attributes).ip(libc::IFA_ADDRESS)? {
        IpAddr::V6(ip) => Some((index, ip)),
        IpAddr::V4(_) => None,
    }
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message of type `kind` (`RTM_NEWLINK`, …) with what follows its header.
    Message {
        /// Message type.
        kind: u16,
        /// Fixed header and attributes.
        payload: Vec<u8>,
    },
    /// Notifications were lost: read the state again.
    Resync,
}

/// A stream of notifications.
#[derive(Debug)]
pub struct Monitor {
    socket: AsyncFd<Socket>,
    incoming: Vec<u8>,
    pending: VecDeque<Event>,
}

impl Monitor {
    /// Joins `groups` in the calling thread's network namespace. Needs a tokio runtime.
    pub fn open(groups: &[Group]) -> Result<Self, Failure> {
        let mut socket = Socket::new(protocols::NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in groups {
            socket.add_membership(*group as u32)?;
        }
        Self::over(socket)
    }

    fn over(socket: Socket) -> Result<Self, Failure> {
        // Refused without CAP_NET_ADMIN; a smaller buffer only means an earlier Resync.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        Ok(Self { socket: register(socket)?, incoming: vec![0; READ_BUFFER], pending: VecDeque::new() })
    }

    /// The next notification, however long that takes: the caller sets the bound. Cancel safe.
    pub async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            match read_next(&self.socket, &mut self.incoming).await? {
                Read::Datagram(length) => {
                    let events = wire::frames(&self.incoming[..length]);
                    self.pending
                        .extend(events.map(|f| Event::Message { kind: f.kind, payload: f.payload.to_vec() }));
                }
                Read::Overrun | Read::Cut => return Ok(Event::Resync),
            }
        }
    }

    /// Like [`Monitor::changed`]; returns the addresses that were deleted because another host has them, each with the
    /// index of its link: an address with a lifetime is deleted if duplicate detection fails (addrconf_dad_stop).
    pub async fn changed_or_duplicate(&mut self) -> Result<Vec<(u32, Ipv6Addr)>, Failure> {
        let mut duplicates = Vec::new();
        let mut event = self.next().await?;
        // Bounded, so that the state is read even if events never stop.
        for _ in 0..MOST_EVENTS {
            duplicates.extend(duplicate(&event));
            match tokio::time::timeout(Duration::ZERO, self.next()).await {
                Ok(next) => event = next?,
                Err(_) => break,
            }
        }
        Ok(duplicates)
    }

    /// Waits until something has changed, and consumes all notifications that have arrived by then: for a caller that
    /// reads the state anew. No bound; cancel safe.
    pub async fn changed(&mut self) -> Result<(), Failure> {
        self.next().await?;
        self.pending.clear();
        drain(self.socket.get_ref(), &mut self.incoming)
    }
}
