//! Where the kernel itself would send a packet: `RTM_GETROUTE` for one destination, as in `ip route get`.
//!
//! Rules, tables, VRFs and next-hop objects all count, whichever program made them. Changes nothing.
//! Entry function: [`lookup`].

use std::net::IpAddr;

use nix::errno::Errno;

use crate::inventory::RouteEntry;
use crate::model::RouteKind;

use super::attributes;
use super::names::Names;
use super::read;
use super::session::{Failure, Session};
use super::wire::{Refusal, Request};

const RTM_GETROUTE: u16 = 26;

/// Return the table of the route that was found; only IPv4 accepts this flag, and IPv6 always returns it
/// (`inet_rtm_valid_getroute_req`, `inet6_rtm_valid_getroute_req`).
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;
/// Return the table's entry instead of the route derived from it (kernel 4.13).
const RTM_F_FIB_MATCH: u32 = 0x2000;

/// linux/rtnetlink.h; missing from libc's list. The port is in network byte order.
const RTA_IP_PROTO: u16 = 27;
const RTA_DPORT: u16 = 29;

/// A packet that the machine itself would send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Its destination.
    pub to: IpAddr,
    /// Its source, if the sending program chooses one.
    pub from: Option<IpAddr>,
    /// The link, or the VRF, that the socket is bound to (`SO_BINDTODEVICE`).
    pub link: Option<&'a str>,
    /// Its firewall mark.
    pub mark: Option<u32>,
    /// Its IP protocol, and its destination port if it has one. Kernels from 4.18 on support rules by them.
    pub protocol: Option<(u8, Option<u16>)>,
}

impl Query<'_> {
    /// A packet to `to`, with everything else left to the kernel.
    pub fn new(to: IpAddr) -> Self {
        Query { to, from: None, link: None, mark: None, protocol: None }
    }
}

/// What the kernel does with the packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It sends it, or delivers it locally.
    Route(Box<Egress>),
    /// It has no route (`ENETUNREACH`).
    NoRoute,
    /// A route or rule forbids it: unreachable, prohibit or blackhole.
    Forbidden(RouteKind),
    /// The source is not an address of this machine. Only for IPv4; for IPv6 the kernel does not check it.
    NotOurSource,
}

/// How a packet leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// `Unicast`, or `Local` if the destination is this machine itself.
    pub kind: RouteKind,
    /// The link that it leaves by; `None` for one that `names` lacks.
    pub link: Option<String>,
    /// The next hop's address; `None` if the destination is on-link.
    pub via: Option<IpAddr>,
    /// The source address that the kernel uses, or the given one.
    pub source: Option<IpAddr>,
    /// The table that has the route.
    pub table: u32,
    /// The route in that table: its prefix, metric, protocol, and next hops if it has several. `None` if the kernel
    /// does not return it (before 4.13).
    pub entry: Option<RouteEntry>,
}

/// Asks the kernel. `Err` means that the question was not answered: the link is unknown, or the kernel did not reply.
pub async fn lookup(session: &mut Session, names: &Names, query: &Query<'_>) -> Result<Decision, Failure> {
    let oif = match query.link {
        None => None,
        Some(name) => Some(names.index(name).ok_or_else(|| Failure::Refused(Refusal::bare(Errno::ENODEV)))?),
    };
    let reply = match ask(session, query, oif, 0).await {
        Ok(reply) => reply,
        Err(Failure::Refused(refusal)) => {
            // `fib_props`: the error number of each route type.
            let answer = match refusal.errno() {
                Errno::EHOSTUNREACH => return Ok(Decision::Forbidden(RouteKind::Unreachable)),
                Errno::EACCES => return Ok(Decision::Forbidden(RouteKind::Prohibit)),
                Errno::ENETUNREACH => Decision::NoRoute,
                Errno::EINVAL => Decision::Forbidden(RouteKind::Blackhole),
                _ => return Err(Failure::Refused(refusal)),
            };
            return unless_source_is_strange(session, names, query, oif, answer).await;
        }
        Err(failure) => return Err(failure),
    };
    let found = reply.as_deref().and_then(|reply| read::any_route(reply, names)).ok_or(Failure::Lost)?;
    let matched = match ask(session, query, oif, RTM_F_FIB_MATCH).await {
        Ok(reply) => reply.as_deref().and_then(|reply| read::any_route(reply, names)),
        // An old kernel, or the route has gone meanwhile.
        Err(Failure::Refused(_)) => None,
        Err(failure) => return Err(failure),
    };
    Ok(Decision::Route(Box::new(Egress {
        kind: found.kind,
        link: found.link,
        via: found.via,
        source: query.from.or(found.source),
        table: found.table,
        entry: matched,
    })))
}

/// Refused with `ENETUNREACH` or `EINVAL`, which for IPv4 may also mean a source that this machine does not have
/// (`ip_route_output_key_hash_rcu`): a lookup of the source itself shows which.
async fn unless_source_is_strange(
    session: &mut Session,
    names: &Names,
    query: &Query<'_>,
    oif: Option<u32>,
    answer: Decision,
) -> Result<Decision, Failure> {
    let Some(from) = query.from else { return Ok(answer) };
    let own = match ask(session, &Query::new(from), oif, 0).await {
        Ok(reply) => reply.as_deref().and_then(|reply| read::any_route(reply, names)),
        Err(Failure::Refused(_)) => None,
        Err(failure) => return Err(failure),
    };
    let is_ours = own.is_some_and(|route| route.kind == RouteKind::Local);
    Ok(if is_ours { answer } else { Decision::NotOurSource })
}

async fn ask(
    session: &mut Session,
    query: &Query<'_>,
    oif: Option<u32>,
    flags: u32,
) -> Result<Option<Vec<u8>>, Failure> {
    let ack = session.request(&request(query, oif, flags)).await?;
    Ok(ack.reply)
}

/// `struct rtmsg` and `RTA_…`.
fn request(query: &Query<'_>, oif: Option<u32>, flags: u32) -> Request {
    let (family, bits) = if query.to.is_ipv4() { (libc::AF_INET, 32) } else { (libc::AF_INET6, 128) };
    let mut payload = vec![0; 12];
    payload[0] = family as u8;
    payload[1] = bits;
    payload[2] = if query.from.is_some() { bits } else { 0 };
    let flags = if query.to.is_ipv4() { flags | RTM_F_LOOKUP_TABLE } else { flags };
    payload[8..12].copy_from_slice(&flags.to_ne_bytes());
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    attributes::put(&mut payload, libc::RTA_DST, &octets(query.to));
    if let Some(from) = query.from {
        attributes::put(&mut payload, libc::RTA_SRC, &octets(from));
    }
    if let Some(oif) = oif {
        attributes::put(&mut payload, libc::RTA_OIF, &oif.to_ne_bytes());
    }
    if let Some(mark) = query.mark {
        attributes::put(&mut payload, libc::RTA_MARK, &mark.to_ne_bytes());
    }
    if let Some((protocol, port)) = query.protocol {
        attributes::put(&mut payload, RTA_IP_PROTO, &[protocol]);
        if let Some(port) = port {
            attributes::put(&mut payload, RTA_DPORT, &port.to_be_bytes());
        }
    }
    Request::new(RTM_GETROUTE, 0, &payload).question()
}
