//! Neighbour discovery by hand (RFC 4861, RFC 4862): which other host has one of our IPv6 addresses. The kernel only
//! reports that there is one, and drops its answers.

use std::net::{IpAddr, Ipv6Addr};

use foldhash::HashSet;

use super::super::evidence::Tally;
use super::arp::{MOST, PROBES, SOON, rounds_of, tally_of};
use super::icmp::words;
use super::{Fact, Facts, tell};
use crate::model::MacAddr;
use crate::socket::{checksum, op};

const ETHERTYPE: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Passes neighbour advertisements without extension headers: other IPv6 packets are other machines' traffic.
static FILTER: [libc::sock_filter; 6] = {
    use libc::{BPF_ABS, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET};
    [
        op(BPF_LD | BPF_B | BPF_ABS, 14 + 6, 0, 0),
        op(BPF_JMP | BPF_JEQ | BPF_K, ICMPV6 as u32, 0, 3),
        op(BPF_LD | BPF_B | BPF_ABS, 14 + 40, 0, 0),
        op(BPF_JMP | BPF_JEQ | BPF_K, ADVERTISEMENT as u32, 0, 1),
        op(BPF_RET | BPF_K, 128, 0, 0),
        op(BPF_RET | BPF_K, 0, 0, 0),
    ]
};

/// A neighbour solicitation as duplicate address detection sends it, from the unspecified address to the solicited-node
/// group, as a whole frame. The answer goes to all nodes.
fn solicitation(mac: &[u8], target: Ipv6Addr) -> Vec<u8> {
    let octets = target.octets();
    let low = octets.get(13..).unwrap_or_default();
    let mut group = vec![0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
    group.extend(low);
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(octets);
    // The pseudo-header of RFC 8200 8.1: source, destination, length, next header.
    let mut summed = vec![0; 16];
    summed.extend(&group);
    summed.extend([0, 0, 0, message.len() as u8, 0, 0, 0, ICMPV6]);
    summed.extend(&message);
    let sum = checksum(&summed).to_be_bytes();
    message.iter_mut().skip(2).zip(sum).for_each(|(slot, byte)| *slot = byte);
    let mut frame = vec![0x33, 0x33, 0xff];
    frame.extend(low);
    frame.extend(mac);
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, ICMPV6, 255]);
    frame.extend([0; 16]);
    frame.extend(group);
    frame.extend(message);
    frame
}

/// The address that a neighbour advertisement is for, and the hardware address that it came from. `frame` includes the
/// Ethernet header.
pub(super) fn advertisement(frame: &[u8]) -> Option<(Ipv6Addr, MacAddr)> {
    let packet = frame.get(14..)?;
    let (header, message) = (packet.get(..40)?, packet.get(40..64)?);
    if header.get(6) != Some(&ICMPV6) || message.first() != Some(&ADVERTISEMENT) {
        return None;
    }
    let target = <[u8; 16]>::try_from(message.get(8..24)?).ok()?;
    Some((Ipv6Addr::from(target), MacAddr::from_bytes(frame.get(6..12)?)?))
}

/// Asks three times for each of our addresses, a second apart or less, and reports everybody who answers.
pub(super) async fn owner(link: &str, index: u32, mac: MacAddr, ips: &[Ipv6Addr], facts: &Facts) {
    let frames: Vec<Vec<u8>> = ips.iter().map(|ip| solicitation(mac.as_bytes(), *ip)).collect();
    let ours: HashSet<Ipv6Addr> = ips.iter().copied().collect();
    let mut reported: HashSet<(Ipv6Addr, MacAddr)> = HashSet::default();
    let heard = |frame: &[u8]| {
        if let Some((ip, owner)) =
            advertisement(frame).filter(|(ip, owner)| ours.contains(ip) && *owner != mac)
        {
            if reported.len() < MOST && reported.insert((ip, owner)) {
                tell(facts, Fact::Claimed(link.to_owned(), IpAddr::V6(ip), owner));
            }
        }
    };
    let error = rounds_of(index, (ETHERTYPE, &FILTER), (PROBES, SOON), &frames, heard)
        .await
        .err()
        .map(|error| words(&error));
    for ip in ips {
        tell(facts, Fact::Unclaimed(link.to_owned(), IpAddr::V6(*ip), error.clone()));
    }
}

/// Measures how many requests for a hardware address are answered.
pub(super) async fn tally(index: u32, mac: MacAddr, ip: Ipv6Addr) -> std::io::Result<Tally> {
    let is_answer = |frame: &[u8]| advertisement(frame).is_some_and(|(target, _)| target == ip);
    tally_of(index, ETHERTYPE, &FILTER, &solicitation(mac.as_bytes(), ip), is_answer).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solicitation_equals_the_kernels() {
        let mac: MacAddr = "02:00:00:00:00:01".parse().unwrap();
        let frame = solicitation(mac.as_bytes(), "2001:db8::1:2".parse().unwrap());
        assert_eq!(frame.len(), 14 + 40 + 24);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 1, 0, 2]);
        let packet = &frame[14..];
        let summed = [&packet[8..40], &[0, 0, 0, 24, 0, 0, 0, 58], &packet[40..]].concat();
        assert_eq!(checksum(&summed), 0);
        assert_eq!(advertisement(&frame), None, "a question is no answer");
        let mut answer = frame.clone();
        answer[54] = ADVERTISEMENT;
        assert_eq!(advertisement(&answer), Some(("2001:db8::1:2".parse().unwrap(), mac)));
        for cut in 0..answer.len() {
            assert_eq!(advertisement(&answer[..cut]), None);
        }
    }
}
