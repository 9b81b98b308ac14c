//! Listens on a NIC without sending: switches announce themselves, partners send LACP, others' frames show which VLANs
//! the port carries.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::evidence::{Heard, Lacp};
use super::icmp::words;
use super::{Fact, Facts, frames, tell};
use crate::inventory::Lldp;
use crate::socket::{ETH_P_ALL, Socket, op, want_tags};

const PACKET_IGNORE_OUTGOING: i32 = 23;
/// The group addresses that switches use towards their neighbours: nearest bridge (STP, LLDP), slow protocols (LACP),
/// LLDP's other two scopes, Cisco's per-VLAN STP.
const GROUPS: [[u8; 6]; 5] = [
    [0x01, 0x80, 0xc2, 0, 0, 0x00],
    [0x01, 0x80, 0xc2, 0, 0, 0x02],
    [0x01, 0x80, 0xc2, 0, 0, 0x03],
    [0x01, 0x80, 0xc2, 0, 0, 0x0e],
    [0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd],
];
/// When something is late, after this time the NIC is made promiscuous: NICs filter VLANs that are not configured.
const PATIENCE: Duration = Duration::from_secs(4);

/// LLDP is sent every 30 s: a NIC is listened on for this long.
pub const LISTEN: Duration = Duration::from_secs(31);

/// The first announcement of the switch at the other end of a NIC's cable, however long that takes: the caller sets the
/// bound.
///
/// # Errors
/// The kernel refuses the socket, or the NIC is gone.
pub async fn announcement(index: u32) -> io::Result<Lldp> {
    first(index, frames::LLDP, frames::lldp).await
}

/// The first LACP partner at the other end of a NIC's cable, however long that takes: the caller sets the bound.
///
/// # Errors
/// The kernel refuses the socket, or the NIC is gone.
pub async fn partner(index: u32) -> io::Result<Lacp> {
    first(index, frames::SLOW_PROTOCOLS, frames::lacp).await
}

/// The first frame of a protocol that can be read.
async fn first<T>(index: u32, protocol: u16, read: fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let socket = Socket::packet(index, protocol)?;
    for group in GROUPS {
        socket.join(index, Some(group))?;
    }
    let mut buffer = [0; 1600];
    loop {
        let received = socket.receive(&mut buffer).await?;
        let body = buffer.get(frames::HEADER..received.length).filter(|_| !received.outgoing);
        if let Some(read) = body.and_then(read) {
            return Ok(read);
        }
    }
}

/// Listens until it is dropped.
pub(super) async fn listen(link: &str, index: u32, facts: &Facts) {
    let result = listen_on(link, index, facts).await;
    if let Err(error) = result {
        tell(facts, Fact::Unreadable(format!("listening on {link}: {}", words(&error))));
    }
}

async fn listen_on(link: &str, index: u32, facts: &Facts) -> io::Result<()> {
    let socket = Socket::filtered(index, ETH_P_ALL, &FILTER)?;
    want_tags(&socket)?;
    // Since Linux 4.20; older kernels mark outgoing frames by packet type.
    let _ = socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    for group in GROUPS {
        socket.join(index, Some(group))?;
    }
    let patience = Instant::now() + PATIENCE;
    let mut promiscuous = false;
    let mut heard = Heard::default();
    let mut buffer = [0; 1600];
    loop {
        let next = socket.receive(&mut buffer);
        let received = if promiscuous { Ok(next.await) } else { timeout_at(patience, next).await };
        let Ok(received) = received else {
            promiscuous = true;
            socket.join(index, None)?;
            continue;
        };
        let received = received?;
        let frame = buffer.get(..received.length).unwrap_or_default();
        if !received.outgoing && frames::note(&mut heard, frame, received.tag) {
            tell(facts, Fact::Heard(link.to_owned(), Box::new(heard.clone())));
        }
    }
}

/// Passes ARP and multicast: the rest is other machines' traffic.
static FILTER: [libc::sock_filter; 6] = {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET};
    [
        op(BPF_LD | BPF_H | BPF_ABS, 12, 0, 0),
        op(BPF_JMP | BPF_JEQ | BPF_K, 0x0806, 2, 0),
        op(BPF_LD | BPF_B | BPF_ABS, 0, 0, 0),
        op(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
        op(BPF_RET | BPF_K, 1600, 0, 0),
        op(BPF_RET | BPF_K, 0, 0, 0),
    ]
};
