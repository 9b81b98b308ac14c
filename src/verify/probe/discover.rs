//! Which subnet a link is in, by whoever gives out addresses there: a DHCPDISCOVER that is never followed by a request, and
//! a router solicitation.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::{Instant, sleep_until};

use super::super::evidence::PortSubnet;
use super::icmp::words;
use super::{Fact, Facts, tell};
use crate::lease::dhcp4::frame::{self, FOR_CLIENTS};
use crate::lease::dhcp4::message::{ClientMessage, MessageKind, ServerMessage};
use crate::lease::dhcp4::options::{CLIENT_ID, PARAMETER_LIST, ROUTERS, SUBNET_MASK};
use crate::lease::dhcp4::terms::Terms;
use crate::lease::ra::message::{ADVERTISEMENT, Advertisement, solicitation};
use crate::model::MacAddr;
use crate::socket::{Socket, want_tags};

const ETH_P_IP: u16 = 0x0800;
/// When to ask, since the beginning: a server may first look whether an address is free.
const TIMES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(4), Duration::from_secs(10)];
/// After the last question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks until nothing more can come.
pub(super) async fn ask(link: &str, index: u32, mac: MacAddr, facts: &Facts) {
    tokio::join!(async { unless_failed(servers(link, index, mac, facts).await, link, facts) }, async {
        unless_failed(routers(link, index, mac, facts).await, link, facts)
    },);
}

fn unless_failed(result: io::Result<()>, link: &str, facts: &Facts) {
    if let Err(error) = result {
        tell(facts, Fact::Unreadable(format!("the subnet of {link}: {}", words(&error))));
    }
}

/// The moments of the questions, and then the end.
fn times() -> impl Iterator<Item = Instant> {
    let (begin, last) = (Instant::now(), TIMES.into_iter().max().unwrap_or_default());
    TIMES.into_iter().chain([last + PATIENCE]).map(move |after| begin + after)
}

async fn servers(link: &str, index: u32, mac: MacAddr, facts: &Facts) -> io::Result<()> {
    let Ok(hardware) = <[u8; 6]>::try_from(mac.as_bytes()) else { return Ok(()) };
    let socket = Socket::filtered(index, ETH_P_IP, &FOR_CLIENTS)?;
    want_tags(&socket)?;
    let xid = RandomState::new().hash_one(index) as u32;
    let client = [&[1], &hardware[..]].concat();
    let message = ClientMessage {
        kind: MessageKind::Discover,
        xid,
        seconds: 0,
        broadcast: true,
        address: Ipv4Addr::UNSPECIFIED,
        mac: hardware,
        options: vec![(CLIENT_ID, &client), (PARAMETER_LIST, &[SUBNET_MASK, ROUTERS])],
    };
    let question = frame::broadcast(&message.write(), hardware, Ipv4Addr::UNSPECIFIED);
    let mut buffer = [0; 2048];
    let mut times = times();
    let Some(mut next) = times.next() else { return Ok(()) };
    loop {
        tokio::select! {
            () = sleep_until(next) => {
                let Some(then) = times.next() else { return Ok(()) };
                next = then;
                socket.send_frame(&question, index).await?;
            }
            received = socket.receive(&mut buffer) => {
                let received = received?;
                let frame = buffer.get(..received.length).unwrap_or_default();
                if let Some(subnet) = offered(frame, !received.unsummed, xid).filter(|_| !received.outgoing) {
                    tell(facts, Fact::Subnet(link.to_owned(), subnet));
                }
            }
        }
    }
}

/// The subnet of an offer for this question.
fn offered(frame: &[u8], whole: bool, xid: u32) -> Option<PortSubnet> {
    let (_, payload) = frame::payload(frame, whole)?;
    let message = ServerMessage::read(payload).ok()?;
    (message.xid == xid && message.kind == MessageKind::Offer).then_some(())?;
    let terms = Terms::of(&message, &[]).ok()?;
    let net = IpNet::V4(terms.address.trunc());
    Some(PortSubnet { net, by: IpAddr::V4(terms.server), is_router: false })
}

async fn routers(link: &str, index: u32, mac: MacAddr, facts: &Facts) -> io::Result<()> {
    const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    let socket = Socket::icmpv6_of_link(index, ADVERTISEMENT)?;
    let mut buffer = [0; 2048];
    let mut times = times();
    let Some(mut next) = times.next() else { return Ok(()) };
    loop {
        tokio::select! {
            () = sleep_until(next) => {
                let Some(then) = times.next() else { return Ok(()) };
                next = then;
                // A link without IPv6 cannot ask.
                let _ = socket.send_to(&solicitation(Some(mac)), ALL_ROUTERS.into(), index).await;
            }
            received = socket.receive(&mut buffer) => {
                let received = received?;
                let packet = buffer.get(..received.length).unwrap_or_default();
                let (Some(IpAddr::V6(from)), Some(hops)) = (received.from, received.hop_limit) else { continue };
                let Some(heard) = Advertisement::read(from, hops, packet) else { continue };
                for prefix in heard.prefixes.iter().filter(|prefix| prefix.on_link && prefix.valid > 0) {
                    let subnet = PortSubnet { net: IpNet::V6(prefix.net), by: IpAddr::V6(from), is_router: true };
                    tell(facts, Fact::Subnet(link.to_owned(), subnet));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_offer_for_the_own_question_tells_of_a_subnet() {
        let mut payload = vec![0; 240];
        payload[..3].copy_from_slice(&[2, 1, 6]);
        payload[4..8].copy_from_slice(&7_u32.to_be_bytes());
        payload[16..20].copy_from_slice(&[198, 51, 100, 50]);
        payload[236..].copy_from_slice(&[99, 130, 83, 99]);
        payload.extend([53, 1, 2, 54, 4, 198, 51, 100, 1, 1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 14, 16, 255]);
        let frame = |payload: &[u8]| {
            let mut frame = frame::broadcast(payload, [2, 0, 0, 0, 0, 1], Ipv4Addr::new(198, 51, 100, 1));
            // From the server's port to the client's; the check sum is left to hardware.
            frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
            frame
        };
        let whole = frame(&payload);
        let subnet = offered(&whole, false, 7).unwrap();
        assert_eq!(
            (subnet.net.to_string(), subnet.by.to_string()),
            ("198.51.100.0/24".into(), "198.51.100.1".into())
        );
        assert_eq!(offered(&whole, false, 8), None);
        payload[242] = 5;
        assert_eq!(offered(&frame(&payload), false, 7), None, "an acknowledgement that nobody asked for");
        for length in 0..whole.len() {
            assert_eq!(offered(&whole[..length], false, 7), None, "{length}");
        }
    }
}
