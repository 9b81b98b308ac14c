//! Neighbour entries: whether a gateway answers on its link, by ARP or neighbour discovery; and the far ends of a VXLAN,
//! which are entries of its forwarding table for the address of zeroes.

use std::net::IpAddr;

use foldhash::{HashMap, HashSet};
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE};
use serde::{Deserialize, Serialize};

use crate::model::MacAddr;

use super::attributes::{self, Attributes, field};
use super::names::Names;
use super::session::{Failure, Session};
use super::wire::Request;

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
/// Length of `struct ndmsg` in bytes.
const HEADER: usize = 12;
/// `NTF_USE` (linux/neighbour.h): behave as if a packet were to be sent there.
const NTF_USE: u8 = 1;

/// An entry of the neighbour table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Name of the link.
    pub link: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address, if known.
    pub mac: Option<MacAddr>,
    /// The state of its entry.
    pub state: NeighbourState,
}

/// The state of a neighbour entry (`NUD_…`, linux/neighbour.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeighbourState {
    /// It has answered recently.
    Reachable,
    /// It is a permanent entry, or the link does not resolve neighbours (`NUD_PERMANENT`, `NUD_NOARP`): nothing was
    /// asked.
    Fixed,
    /// It is being resolved.
    Asked,
    /// It has answered before, and may be gone.
    Stale,
    /// It did not answer.
    Failed,
}

impl NeighbourState {
    fn from_number(number: u16) -> Self {
        const FIXED: u16 = libc::NUD_PERMANENT | libc::NUD_NOARP;
        const STALE: u16 = libc::NUD_STALE | libc::NUD_DELAY;
        match number {
            n if n & FIXED != 0 => Self::Fixed,
            n if n & libc::NUD_REACHABLE != 0 => Self::Reachable,
            n if n & STALE != 0 => Self::Stale,
            n if n & libc::NUD_FAILED != 0 => Self::Failed,
            _ => Self::Asked,
        }
    }
}

/// All entries of the neighbour table. Changes are notified to [`super::monitor::Group::Neighbour`].
pub async fn list(session: &mut Session, names: &Names) -> Result<Vec<Neighbour>, Failure> {
    let dump =
        session.dump(&Request::new(RTM_GETNEIGH, 0, &[0; HEADER]), |f| decode(f.payload, names)).await?;
    Ok(dump.items)
}

/// The entry in a notification of message type `kind`; `None` for other types, and for a deleted entry.
pub fn notified(kind: u16, payload: &[u8], names: &Names) -> Option<Neighbour> {
    if kind == RTM_NEWNEIGH { decode(payload, names) } else { None }
}

fn decode(payload: &[u8], names: &Names) -> Option<Neighbour> {
    let index = field(payload, 4, u32::from_ne_bytes)?;
    let state = field(payload, 8, u16::from_ne_bytes)?;
    let attributes = Attributes::new(payload.get(HEADER..)?);
    Some(Neighbour {
        link: names.name(index)?.to_owned(),
        ip: attributes.ip(libc::NDA_DST)?,
        mac: attributes.get(libc::NDA_LLADDR).and_then(MacAddr::from_bytes),
        state: NeighbourState::from_number(state),
    })
}

/// Makes the kernel resolve neighbours, by link and address, without sending them packets. A stale one is asked again,
/// and so is one that counts as reachable: it may have been entered by hand. The result is notified. Returns what the
/// kernel knew of them before.
pub async fn ask(
    session: &mut Session,
    names: &Names,
    places: &[(String, IpAddr)],
) -> Result<Vec<Neighbour>, Failure> {
    let places: HashSet<(&str, IpAddr)> = places.iter().map(|(link, ip)| (link.as_str(), *ip)).collect();
    let mut known = list(session, names).await?;
    known.retain(|neighbour| places.contains(&(neighbour.link.as_str(), neighbour.ip)));
    let by_place: HashMap<_, _> = known.iter().map(|n| ((n.link.as_str(), n.ip), n)).collect();
    let request = |(link, ip): &(&str, IpAddr)| {
        let index = names.index(link).unwrap_or(0);
        question(index, *ip, by_place.get(&(*link, *ip)).copied())
    };
    let requests: Vec<Request> = places.iter().filter_map(request).collect();
    for answer in session.batch(&requests).await {
        answer?;
    }
    Ok(known)
}

/// `NTF_SELF`: the link's own table, not that of its bridge.
const NTF_SELF: u8 = 2;
/// The index of the link whose forwarding table is listed.
const NDA_IFINDEX: u16 = 8;
const NO_MAC: [u8; 6] = [0; 6];

/// The request that adds a far end to a VXLAN beside the others, or removes it.
pub(super) fn far_end(index: u32, ip: IpAddr, add: bool) -> Request {
    let mut payload = vec![0; HEADER];
    payload[0] = libc::AF_BRIDGE as u8;
    payload.splice(4..8, index.to_ne_bytes());
    payload.splice(8..10, libc::NUD_PERMANENT.to_ne_bytes());
    payload[10] = NTF_SELF;
    attributes::put(&mut payload, libc::NDA_LLADDR, &NO_MAC);
    destination(&mut payload, ip);
    match add {
        true => Request::new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND, &payload),
        false => Request::new(RTM_DELNEIGH, 0, &payload),
    }
}

/// The far ends of a VXLAN.
pub(super) async fn far_ends(session: &mut Session, index: u32) -> Result<Vec<IpAddr>, Failure> {
    let mut payload = vec![0; HEADER];
    payload[0] = libc::AF_BRIDGE as u8;
    attributes::put(&mut payload, NDA_IFINDEX, &index.to_ne_bytes());
    let far_end = |payload: &[u8]| {
        let attributes = Attributes::new(payload.get(HEADER..)?);
        // Kernels before 4.20 list the tables of all links.
        let is_it = field(payload, 4, u32::from_ne_bytes)? == index;
        let of_all = attributes.get(libc::NDA_LLADDR)? == NO_MAC;
        attributes.ip(libc::NDA_DST).filter(|ip| is_it && of_all && !ip.is_multicast())
    };
    let dump = session.dump(&Request::new(RTM_GETNEIGH, 0, &payload), |f| far_end(f.payload)).await?;
    Ok(dump.items)
}

fn destination(payload: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => attributes::put(payload, libc::NDA_DST, &ip.octets()),
        IpAddr::V6(ip) => attributes::put(payload, libc::NDA_DST, &ip.octets()),
    }
}

/// The request that makes the kernel resolve an address; `None` if it already does, or need not.
fn question(index: u32, ip: IpAddr, known: Option<&Neighbour>) -> Option<Request> {
    let (state, flags, mac) = match known {
        Some(Neighbour { state: NeighbourState::Fixed | NeighbourState::Asked, .. }) => return None,
        // `NTF_USE` alone would only start a delay of five seconds (DELAY_PROBE_TIME).
        Some(Neighbour {
            state: NeighbourState::Stale | NeighbourState::Reachable, mac: Some(mac), ..
        }) => (libc::NUD_PROBE, 0, Some(mac)),
        _ => (libc::NUD_NONE, NTF_USE, None),
    };
    let mut payload = vec![0; HEADER];
    payload[0] = if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u8;
    payload.splice(4..8, index.to_ne_bytes());
    payload.splice(8..10, state.to_ne_bytes());
    payload[10] = flags;
    destination(&mut payload, ip);
    if let Some(mac) = mac {
        attributes::put(&mut payload, libc::NDA_LLADDR, mac.as_bytes());
    }
    Some(Request::new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &payload))
}
