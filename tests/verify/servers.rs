//! Servers in a namespace, each in a thread that lasts as long as the test program.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::Duration;

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

/// A name server that answers each query this late; all know the address.
pub(crate) fn slow_dns(at: &str, address: &'static str, ip: [u8; 4], late: Duration) {
    let socket = inside(at, move || UdpSocket::bind(address).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let (query, back) = (buffer[..length].to_vec(), socket.try_clone().unwrap());
            std::thread::spawn(move || {
                std::thread::sleep(late);
                let _ = back.send_to(&dns::answer(&query, ip.into()), from);
            });
        }
    });
}

/// Answers one in this many ICMP echoes, instead of the kernel.
pub(crate) fn echo_every(at: &str, count: usize) {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    spawn_inside(at, move || {
        // SAFETY: socket(2) takes three numbers, and the descriptor is nobody else's.
        let socket =
            unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)) };
        let mut buffer = [0_u8; 2048];
        for number in (0..count).cycle() {
            let length = loop {
                // SAFETY: the buffer is live and of the length given.
                let read =
                    unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
                let Ok(length) = usize::try_from(read) else { return };
                if buffer[20] == 8 {
                    break length;
                }
            };
            if number != 0 {
                continue;
            }
            let mut reply = buffer[20..length].to_vec();
            // An echo reply has type 0: the checksum grows by the 8 << 8 that is gone.
            reply[0] = 0;
            let sum = u32::from(u16::from_be_bytes([reply[2], reply[3]])) + 0x0800;
            let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
            reply[2..4].copy_from_slice(&sum.to_be_bytes());
            // SAFETY: a sockaddr_in is plain data, for which all zeroes are valid.
            let mut to: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            to.sin_family = libc::AF_INET as u16;
            to.sin_addr.s_addr = u32::from_ne_bytes([buffer[12], buffer[13], buffer[14], buffer[15]]);
            let size = std::mem::size_of::<libc::sockaddr_in>() as u32;
            // SAFETY: both pointers are to live data of the length given with them.
            unsafe {
                libc::sendto(
                    socket.as_raw_fd(),
                    reply.as_ptr().cast(),
                    reply.len(),
                    0,
                    (&raw const to).cast(),
                    size,
                )
            };
        }
    });
}
