//! Servers in a namespace, each in a thread that lasts as long as the test program.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

use crate::wires::{inside, spawn_inside};

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
    let socket = inside(at, move || UdpSocket::bind(address).unwrap());
    spawn_inside(at, move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let mut answer = query[..length].to_vec();
            let knows = query[..length].windows(12).any(|w| w == b"\x03api\x07example");
            let is_a = query[..length].ends_with(&[0, 1, 0, 1]);
            answer[2] |= 0x80;
            answer[3] = if knows || length < 20 { 0x80 } else { 0x83 };
            if knows && is_a {
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(ip);
            }
            let _ = socket.send_to(&answer, client);
        }
    });
}
