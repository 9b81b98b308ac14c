//! Servers in a namespace, each in a thread that lasts as long as the test program.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};

use crate::wires::{inside, spawn_inside};
use harness::dns;

/// Answers every connection with `words`.
pub(crate) fn tcp(at: &str, address: &'static str, words: &'static str) {
    let listener = inside(at, move || TcpListener::bind(address).unwrap());
    spawn_inside(at, move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(words.as_bytes());
            // Reads what the client sends: closing with unread data would reset the connection.
            let _ = stream.read(&mut [0; 4096]);
        }
    });
}

/// A name server that knows `api.example` by `ip`, and no other name.
pub(crate) fn dns(at: &str, address: &'static str, ip: [u8; 4]) {
    dns_of(at, address, ip.into());
}

/// The same, with an address of either family, and none of the other.
pub(crate) fn dns_of(at: &str, address: &'static str, ip: IpAddr) {
    let socket = inside(at, move || UdpSocket::bind(address).unwrap());
    spawn_inside(at, move || dns::serve(&socket, ip));
}
