//! Frames that a switch sends itself: its announcements (IEEE 802.1AB), and floods from other hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use crate::wires::spawn_inside;

/// Sends frames out of `port` of the thread's namespace; returns whether the port accepted one.
fn sender(port: &str) -> impl Fn(&[u8]) -> bool + use<> {
    // SAFETY: socket(2) takes three numbers.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    assert!(socket >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: sockaddr_ll is plain data, for which all zeroes are valid.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = if_nametoindex(port).unwrap() as i32;
    move |frame| {
        let (data, address) = (frame.as_ptr().cast(), (&raw const to).cast());
        let length = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: both pointers are to live data of the lengths given with them.
        let sent = unsafe { libc::sendto(socket, data, frame.len(), 0, address, length) };
        sent == frame.len() as isize
    }
}

/// Sends `frame` out of `port` of namespace `at` ten times a second, until the test program ends: a network that works
/// is verified in about a second, and nobody waits for a switch then.
pub(crate) fn announce(at: &str, port: &'static str, frame: Vec<u8>) {
    spawn_inside(at, move || {
        let send = sender(port);
        loop {
            assert!(send(&frame), "{}", std::io::Error::last_os_error());
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

/// Sends ARP requests and replies of ever different hosts out of `port` of namespace `at` as fast as it can, until
/// `stop`. Returns how many.
pub(crate) fn flood(at: &str, port: &'static str, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    spawn_inside(at, move || {
        let send = sender(port);
        let mut sent = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            let [.., a, b, c] = sent.to_be_bytes();
            let mut frame = vec![0xff; 6];
            frame.extend([2, 0, 0, a, b, c, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + (c & 1)]);
            frame.extend([2, 0, 0, a, b, c, 192, 0, b, c, 2, 0, 0, 0, 0, 0, 192, 0, 2, c]);
            sent += u64::from(send(&frame));
        }
        sent
    })
}

/// A switch's frame: chassis id, port id, time to live, system name, port VLAN id, one VLAN's name.
pub(crate) fn frame(switch: &str, port: &str, pvid: u16, vlan: u16) -> Vec<u8> {
    let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 1, 0, 0x88, 0xcc];
    let mut tlv = |kind: u16, value: &[u8]| {
        frame.extend((kind << 9 | value.len() as u16).to_be_bytes());
        frame.extend(value);
    };
    tlv(1, &[4, 2, 0, 0, 0, 1, 0]);
    tlv(2, &[&[5], port.as_bytes()].concat());
    tlv(3, &[0, 120]);
    tlv(5, switch.as_bytes());
    tlv(127, &[&[0x00, 0x80, 0xc2, 1], &pvid.to_be_bytes()[..]].concat());
    tlv(127, &[&[0x00, 0x80, 0xc2, 3], &vlan.to_be_bytes()[..], &[4], b"prod"].concat());
    tlv(0, &[]);
    frame
}
