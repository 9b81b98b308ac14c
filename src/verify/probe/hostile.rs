//! Whatever a stranger sends is parsed within bounds: frames, echoes, answers of name servers and web servers. Random
//! bytes, and valid input with some bytes changed or cut off, which gets further into a parser.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::evidence::Heard;
use super::{dns, frames, http, icmp, ndisc};
use crate::socket::arp::Arp;

/// The frame headers that a parser recognises: destination, source, EtherType or length.
fn frame(kind: [u8; 2], body: &[u8]) -> Vec<u8> {
    [&[1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1], &kind[..], body].concat()
}

/// One valid frame of each kind.
fn right_frames() -> Vec<Vec<u8>> {
    let lldp = [
        &[2, 7, 4, 2, 0, 0, 0, 0, 1][..],
        b"\x04\x05\x05Eth1",
        &[6, 2, 0, 120],
        b"\x0a\x05leaf1",
        &[0xfe, 6, 0, 0x80, 0xc2, 1, 0, 100],
        &[0xfe, 8, 0, 0x80, 0xc2, 3, 0, 200, 1, b'x'],
        &[0, 0],
    ];
    let lacp = [&[1, 1, 1, 20, 0x80, 0, 2, 0, 0, 0, 0, 1, 0, 1, 0x80, 0, 0, 1, 0x3d][..], &[0; 91]];
    let stp = [&[0x42, 0x42, 3, 0, 0, 2, 2, 0x3c][..], &[0; 30]];
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1][..], &[0; 10]];
    let nd = [&[0x60, 0, 0, 0, 0, 24, 58, 255][..], &[0xfe; 32], &[136, 0, 0, 0, 0, 0, 0, 0], &[0x20; 16]];
    vec![
        frame([0x88, 0xcc], &lldp.concat()),
        frame([0x88, 0x09], &lacp.concat()),
        frame([0, 38], &stp.concat()),
        frame([8, 6], &arp.concat()),
        frame([0x86, 0xdd], &nd.concat()),
        frame([0x81, 0], &[0, 100, 8, 0, 0x45]),
    ]
}

/// Bytes with some of them changed, and truncated somewhere.
fn damaged(right: &[u8], changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let mut bytes = right.to_vec();
    for (at, byte) in changes {
        let length = bytes.len();
        bytes[at % length] = *byte;
    }
    bytes.truncate(right.len().saturating_sub(cut % 8));
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    vec((any::<usize>(), any::<u8>()), 0..6)
}

/// What a listener keeps is bounded and printable, however many frames come.
fn check(heard: &Heard) {
    assert!(heard.tags.len() <= 32 && heard.untagged.len() <= 32);
    if let Some(lldp) = &heard.lldp {
        assert!(lldp.vlans.len() <= 32);
        for text in [&lldp.switch, &lldp.port] {
            assert!(text.chars().count() <= 64 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn frames_that_are_heard(
        any in vec(any::<u8>(), 0..200),
        kind in 0_usize..6,
        changes in changes(),
        cut in 0_usize..8,
        tag in proptest::option::of(any::<u16>()),
    ) {
        let mut heard = Heard::default();
        let right = &right_frames()[kind];
        for bytes in [any.clone(), damaged(right, &changes, cut), frame([0x88, 0xcc], &any)] {
            frames::note(&mut heard, &bytes, tag);
            check(&heard);
            Arp::read(bytes.get(14..).unwrap_or_default());
            ndisc::advertisement(&bytes);
        }
    }

    #[test]
    fn echoes_and_errors(any in vec(any::<u8>(), 0..120), kind in any::<u8>(), code in any::<u8>()) {
        for v4 in [true, false] {
            icmp::reply(v4, &any);
            // Behind an IPv4 header of any length, and an error that quotes one.
            let message = [&[0x45][..], &[0; 19], &[kind, code, 0, 0, 0, 0, 0, 0], &any].concat();
            icmp::reply(v4, if v4 { &message } else { &message[20..] });
        }
    }

    #[test]
    fn answers_of_name_servers(any in vec(any::<u8>(), 0..300), changes in changes(), cut in 0_usize..8) {
        dns::read(&any, 7);
        let header = [0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        let question = b"\x01a\x07example\x00\x00\x01\x00\x01";
        let answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
        let right = [&header[..], question, &answer, &answer].concat();
        let expected = IpAddr::from([192, 0, 2, 1]);
        prop_assert_eq!(dns::read(&right, 7), Some(dns::Reply::Addresses(vec![expected; 2])));
        if let Some(dns::Reply::Addresses(addresses)) = dns::read(&damaged(&right, &changes, cut), 7) {
            prop_assert!(addresses.len() <= right.len() / 4);
        }
    }

    #[test]
    fn answers_of_web_servers(any in vec(any::<u8>(), 0..600), prefix in "(HTTP/1[.]1 [0-9]{0,4} ?)?") {
        let bytes = [prefix.as_bytes(), &any].concat();
        for answer in [http::status(&bytes), http::tls(&bytes)].into_iter().flatten() {
            // It is printed on a console.
            let shown = format!("{answer:?}");
            prop_assert!(shown.len() < 200 && shown.is_ascii(), "{}", shown);
        }
    }
}
