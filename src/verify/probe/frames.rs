//! What can be learnt from a received frame: LLDP, LACP, STP, VLAN tags, senders. Pure, and tested with recorded
//! frames; nothing in a frame is trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::evidence::{Heard, Lacp, Stp};
use crate::inventory::Lldp;
use crate::model::MacAddr;
use crate::page;
use crate::socket::arp::Arp;

/// The length of an Ethernet header.
pub(super) const HEADER: usize = 14;
pub(super) const LLDP: u16 = 0x88cc;
pub(super) const SLOW_PROTOCOLS: u16 = 0x8809;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: [u16; 2] = [0x8100, 0x88a8];
/// EtherTypes begin here; smaller numbers are lengths of 802.3 frames (IEEE 802.3 3.2.6).
const FIRST_ETHERTYPE: u16 = 0x0600;
/// How many VLANs, and how many senders, are recorded.
const MOST: usize = 32;

/// Records a frame, its header included. `tag` is the VLAN id that was stripped from it. Returns whether it contained
/// anything new.
pub(super) fn note(heard: &mut Heard, frame: &[u8], tag: Option<u16>) -> bool {
    let (Some(kind), Some(body)) = (number(frame, 12), frame.get(HEADER..)) else { return false };
    // Link-local frames of a switch may also come from a port that does not forward yet.
    match kind {
        LLDP => return replace(&mut heard.lldp, lldp(body)),
        SLOW_PROTOCOLS => return replace(&mut heard.lacp, lacp(body)),
        0..FIRST_ETHERTYPE => return replace(&mut heard.stp, stp(body)),
        _ => {}
    }
    let tag = tag.or_else(|| VLAN.contains(&kind).then(|| number(body, 0).map(|tci| tci & 0x0fff)).flatten());
    // Switches send their neighbours more protocols than are known here; hosts send IP or ARP, or tagged frames.
    if tag.is_none() && !matches!(kind, ARP | IPV4 | IPV6) {
        return false;
    }
    heard.frames = heard.frames.saturating_add(1);
    let first = heard.frames == 1;
    // VID 0 carries only a priority.
    if let Some(vlan) = tag.filter(|vlan| *vlan != 0) {
        let known = heard.tags.contains_key(&vlan);
        if known || heard.tags.len() < MOST {
            let count = heard.tags.entry(vlan).or_default();
            *count = count.saturating_add(1);
        }
        return first || !known;
    }
    match sender(kind, body) {
        Some(ip) if heard.untagged.len() < MOST && !heard.untagged.contains(&ip) => {
            heard.untagged.push(ip);
            true
        }
        _ => first,
    }
}

/// Keeps the newest, and returns whether it differs.
fn replace<T: PartialEq>(slot: &mut Option<T>, found: Option<T>) -> bool {
    let new = found.is_some() && *slot != found;
    if new {
        *slot = found;
    }
    new
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn mac(bytes: &[u8], at: usize) -> Option<MacAddr> {
    MacAddr::from_bytes(bytes.get(at..at + 6)?)
}

/// The sender of an untagged frame, if it has an address.
fn sender(kind: u16, body: &[u8]) -> Option<IpAddr> {
    let ip = match kind {
        ARP => IpAddr::V4(Arp::read(body)?.sender),
        IPV4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(body.get(12..16)?).ok()?)),
        IPV6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?)),
        _ => return None,
    };
    (!ip.is_unspecified()).then_some(ip)
}

/// An LLDP data unit (IEEE 802.1AB 8): a list of TLVs with a type of 7 and a length of 9 bits.
pub(super) fn lldp(mut unit: &[u8]) -> Option<Lldp> {
    let mut found = Lldp::default();
    let (mut chassis, mut description) = (String::new(), String::new());
    while let Some(head) = number(unit, 0) {
        let (kind, length) = (head >> 9, usize::from(head & 0x01ff));
        let value = unit.get(2..2 + length)?;
        unit = unit.get(2 + length..)?;
        match kind {
            0 => break,
            1 => chassis = identity(value, 4)?,
            2 => found.port = identity(value, 3)?,
            4 => description = printable(value),
            5 => found.switch = printable(value),
            127 => vlans(value, &mut found),
            _ => {}
        }
    }
    if found.switch.is_empty() {
        found.switch = chassis;
    }
    // If the port id is a MAC address, the description is more useful to a person.
    if found.port.parse::<MacAddr>().is_ok() && !description.is_empty() {
        found.port = description;
    }
    (!found.switch.is_empty() || !found.port.is_empty()).then_some(found)
}

/// A chassis or port id; `mac` is the subtype that is a MAC address.
fn identity(value: &[u8], mac: u8) -> Option<String> {
    let (subtype, id) = value.split_first()?;
    match MacAddr::from_bytes(id).filter(|_| *subtype == mac) {
        Some(mac) => Some(mac.to_string()),
        None => Some(printable(id)),
    }
}

/// The VLAN TLVs of IEEE 802.1Q annex D: port VLAN id, and a name for each VLAN.
fn vlans(value: &[u8], found: &mut Lldp) {
    match value {
        [0x00, 0x80, 0xc2, 1, high, low] => {
            found.pvid = Some(u16::from_be_bytes([*high, *low])).filter(|vlan| *vlan != 0);
        }
        [0x00, 0x80, 0xc2, 3, high, low, ..] if found.vlans.len() < MOST => {
            found.vlans.push(u16::from_be_bytes([*high, *low]) & 0x0fff);
        }
        _ => {}
    }
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_matches(['\0', ' ']).chars().take(64).map(page::one_column).collect()
}

/// A LACPDU (IEEE 802.1AX 6.4.2.3): subtype 1, version, then the actor's TLV.
pub(super) fn lacp(unit: &[u8]) -> Option<Lacp> {
    if !matches!(unit, [1, _, 1, 20, ..]) {
        return None;
    }
    Some(Lacp {
        system: mac(unit, 6)?,
        key: number(unit, 12)?,
        port: number(unit, 16)?,
        state: *unit.get(18)?,
    })
}

/// A BPDU (IEEE 802.1D 9.3, 802.1Q 14) behind its LLC header, or behind the SNAP header of Cisco's per-VLAN one.
fn stp(body: &[u8]) -> Option<Stp> {
    const PER_VLAN: &[u8] = &[0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b];
    let unit = body.strip_prefix(&[0x42, 0x42, 3]).or_else(|| body.strip_prefix(PER_VLAN))?;
    let [0, 0, version, kind, flags, ..] = unit else { return None };
    // A topology change notification names no bridge.
    matches!(kind, 0 | 2).then_some(())?;
    Some(Stp {
        version: *version,
        bridge: mac(unit, 19)?,
        flags: if *version == 0 { 0 } else { *flags },
        forward_delay: number(unit, 33)? >> 8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes from hex, spaces ignored.
    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn heard(frames: &[(&str, Option<u16>)]) -> Heard {
        let mut heard = Heard::default();
        for (frame, tag) in frames {
            let frame = bytes(frame);
            for cut in 0..frame.len() {
                note(&mut Heard::default(), &frame[..cut], *tag);
            }
            note(&mut heard, &frame, *tag);
        }
        heard
    }

    #[test]
    fn what_a_switch_calls_itself_moves_no_cursor_and_reorders_nothing() {
        assert_eq!(printable("\0sw\x1b[2J\n\u{202e}1\u{2066} \0".as_bytes()), "sw [2J ?1?");
    }

    #[test]
    fn lldp_names_switch_port_and_vlans() {
        // Chassis by MAC, port by name, TTL 120, description, system name, PVID 100, VLANs 100 and 200.
        let frame = "0180c200000e 525400aabb01 88cc
            0207 04 525400aabb00  040f 05 45746865726e6574312f3131 3233
            0602 0078  0806 75706c696e6b  0a05 6c65616631
            fe06 0080c2 01 0064  fe0b 0080c2 03 0064 0570726f6431 fe08 0080c2 03 00c8 01 78 0000";
        let frame = frame.replace("0570726f6431", "0470726f64");
        let lldp = heard(&[(&frame, None)]).lldp.unwrap();
        assert_eq!((lldp.switch.as_str(), lldp.port.as_str()), ("leaf1", "Ethernet1/1123"));
        assert_eq!((lldp.pvid, lldp.vlans), (Some(100), vec![100, 200]));
    }

    #[test]
    fn lacp_names_the_partner() {
        let frame = "0180c2000002 020000000001 8809 01 01
            01 14 ffff 020000000001 000f 00ff 0001 3d 000000
            02 14 ffff 000000000000 0001 00ff 0001 00 000000";
        let lacp = heard(&[(frame, None)]).lacp.unwrap();
        assert_eq!(
            lacp,
            Lacp { system: "02:00:00:00:00:01".parse().unwrap(), key: 15, port: 1, state: 0x3d }
        );
    }

    #[test]
    fn bpdus_of_all_kinds_name_the_bridge() {
        let config = "0180c2000000 525400aabb01 0026 424203 0000 00 00 00
            8000525400aabb00 00000000 8000525400aabb00 8001 0000 1400 0200 0f00";
        let stp = heard(&[(config, None)]).stp.unwrap();
        assert_eq!((stp.version, stp.forward_delay), (0, 15));
        assert_eq!(stp.bridge, "52:54:00:aa:bb:00".parse().unwrap());
        let per_vlan = config.replace("424203 0000 00 00 00", "aaaa03 00000c010b 0000 02 02 3c");
        let stp = heard(&[(&per_vlan, None)]).stp.unwrap();
        assert_eq!((stp.version, stp.flags), (2, 0x3c));
    }

    #[test]
    fn tags_are_counted_wherever_they_stand() {
        let arp =
            "ffffffffffff 525400aabb01 0806 0001 0800 06 04 0001 525400aabb01 c0000201 000000000000 c0000207";
        let inside = "ffffffffffff 525400aabb01 8100 0064 0806 0001 0800 06 04 0001 525400aabb01 c0000201";
        let heard = heard(&[(arp, Some(100)), (arp, None), (inside, None), (arp, Some(0))]);
        assert_eq!(heard.tags, [(100, 2)].into());
        assert_eq!(heard.untagged, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(heard.frames, 4);
    }

    #[test]
    fn link_local_frames_of_a_switch_are_not_forwarded_ones() {
        let lldp = "0180c200000e 525400aabb01 88cc 0204 07 6c3166 0403 05 7031 0602 0078 0000";
        assert_eq!(heard(&[(lldp, None)]).frames, 0);
    }
}
