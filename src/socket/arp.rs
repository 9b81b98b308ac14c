//! ARP packets (RFC 826) for Ethernet and IPv4: who has an address, and whether anybody has it (RFC 5227).

use std::net::Ipv4Addr;

use crate::model::MacAddr;

/// The EtherType.
pub(crate) const ETH_P_ARP: u16 = 0x0806;
const ETHERNET: usize = 14;
/// Ethernet, IPv4, of 6 and 4 bytes, and the first byte of the operation.
const HEADER: [u8; 7] = [0, 1, 8, 0, 6, 4, 0];
const LENGTH: usize = 28;
/// The smallest Ethernet frame without its checksum (IEEE 802.3).
const SHORTEST: usize = 60;

/// The content of an ARP packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// A reply; else a request.
    pub reply: bool,
    /// The sender's hardware address.
    pub mac: MacAddr,
    /// The sender's address; 0.0.0.0 in a probe.
    pub sender: Ipv4Addr,
    /// The address that it asks about.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Asks whether anybody has the address, without claiming it (RFC 5227, section 1.1).
    pub fn probe(mac: MacAddr, address: Ipv4Addr) -> Arp {
        Arp { reply: false, mac, sender: Ipv4Addr::UNSPECIFIED, target: address }
    }

    /// Announces that the address is the sender's.
    pub fn announcement(mac: MacAddr, address: Ipv4Addr) -> Arp {
        Arp { reply: false, mac, sender: address, target: address }
    }

    /// The packet in a broadcast frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend(self.mac.as_bytes());
        frame.extend(ETH_P_ARP.to_be_bytes());
        frame.extend(HEADER);
        frame.push(if self.reply { 2 } else { 1 });
        frame.extend(self.mac.as_bytes());
        frame.extend(self.sender.octets());
        frame.extend([0; 6]);
        frame.extend(self.target.octets());
        frame.resize(SHORTEST, 0);
        frame
    }

    /// Reads what follows an Ethernet header of type ARP.
    pub fn read(packet: &[u8]) -> Option<Arp> {
        let packet: &[u8; LENGTH] = packet.first_chunk()?;
        (packet[..7] == HEADER && matches!(packet[7], 1 | 2)).then_some(())?;
        let four = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        let mac = MacAddr::from_bytes(&packet[8..14])?;
        Some(Arp { reply: packet[7] == 2, mac, sender: four(14), target: four(24) })
    }

    /// Reads a whole frame.
    pub fn of_frame(frame: &[u8]) -> Option<Arp> {
        (frame.get(12..ETHERNET)? == ETH_P_ARP.to_be_bytes()).then_some(())?;
        Arp::read(&frame[ETHERNET..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_round_trips() {
        let mac: MacAddr = "7c:c2:55:6e:90:44".parse().unwrap();
        let probe = Arp::probe(mac, Ipv4Addr::new(192, 0, 2, 7));
        let frame = probe.frame();
        assert_eq!(Arp::of_frame(&frame), Some(probe));
        assert_eq!((frame.len(), probe.sender), (60, Ipv4Addr::UNSPECIFIED));
        for length in 0..42 {
            assert_eq!(Arp::of_frame(&frame[..length]), None);
        }
        for (at, byte) in [(12, 0x86), (14, 9), (18, 8), (21, 3)] {
            let mut other = frame.clone();
            other[at] = byte;
            assert_eq!(Arp::of_frame(&other), None, "byte {at}");
        }
    }
}
