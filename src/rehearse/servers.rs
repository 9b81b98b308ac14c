//! Servers on the other side: DNS, and TCP ports. Only our own verification asks them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::switch::PortService;
use crate::socket::endpoint;

/// A name server: every name has the server's own address. `index` is the link of a link-local one.
pub(super) async fn name_server(ip: IpAddr, index: u32) -> io::Result<()> {
    let socket = UdpSocket::bind(endpoint(ip, 53, index)).await?;
    let mut query = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut query).await?;
        if let Some(answer) = query.get(..length).and_then(|query| answer(query, ip)) {
            // A client that has gone needs no answer.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// The answer to a question for one name (RFC 1035): `ip` for its family, and no record for other types.
fn answer(query: &[u8], ip: IpAddr) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const RESPONSE_AND_RECURSION: [u8; 2] = [0x81, 0x80];
    let mut end = HEADER;
    while let length @ 1..=63 = *query.get(end)? {
        end += 1 + usize::from(length);
    }
    // The name's end, type and class. Anything after it, such as EDNS, is left out.
    let question = query.get(HEADER..end + 5)?;
    let (kind, data) = match ip {
        IpAddr::V4(ip) => (1_u16, ip.octets().to_vec()),
        IpAddr::V6(ip) => (28, ip.octets().to_vec()),
    };
    let knows = end > HEADER && question.get(question.len() - 4..)? == [0, kind as u8, 0, 1];
    let mut out = query.get(..2)?.to_vec();
    out.extend(RESPONSE_AND_RECURSION);
    out.extend([0, 1, 0, u8::from(knows), 0, 0, 0, 0]);
    out.extend(question);
    if knows {
        // The name by a pointer, type, class, a minute to live, and the data.
        out.extend([0xc0, HEADER as u8, 0, kind as u8, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        out.extend(data);
    }
    Some(out)
}

/// A TCP port on every address.
pub(super) async fn service(port: u16, service: PortService) -> io::Result<()> {
    let anywhere = |ip: IpAddr| TcpListener::bind(SocketAddr::new(ip, port));
    let listener = match anywhere(Ipv6Addr::UNSPECIFIED.into()).await {
        Ok(listener) => listener,
        // A kernel without IPv6.
        Err(_) => anywhere(Ipv4Addr::UNSPECIFIED.into()).await?,
    };
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // The client may be gone.
            let _ = converse(&stream, service).await;
        });
    }
}

/// Reads what the client sends first: closing with unread data would reset the connection.
async fn converse(stream: &TcpStream, service: PortService) -> io::Result<()> {
    let words: &[u8] = match service {
        PortService::Accept => b"",
        PortService::Http => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        // A fatal alert, handshake_failure (RFC 8446, section 6).
        PortService::Tls => &[21, 3, 3, 0, 2, 2, 40],
    };
    stream.readable().await?;
    let _ = stream.try_read(&mut [0; 4096]);
    stream.writable().await?;
    stream.try_write(words).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &[u8], kind: u8) -> Vec<u8> {
        [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1], name, &[0, 0, kind, 0, 1], b"more"].concat()
    }

    #[test]
    fn every_name_has_the_servers_address() {
        let four = answer(&question(b"\x03api\x07example", 1), "192.0.2.53".parse().unwrap()).unwrap();
        assert_eq!((&four[..4], &four[6..8]), (&[7, 7, 0x81, 0x80][..], &[0, 1][..]));
        assert!(four.ends_with(&[0, 4, 192, 0, 2, 53]));
        let none = answer(&question(b"\x03api\x07example", 28), "192.0.2.53".parse().unwrap()).unwrap();
        assert_eq!((&none[6..8], none.ends_with(&[0, 28, 0, 1])), (&[0, 0][..], true));
        let root = answer(&question(b"", 1), "192.0.2.53".parse().unwrap()).unwrap();
        assert_eq!(root[6..8], [0, 0]);
        let whole = question(b"\x03api\x07example", 1);
        for cut in 0..whole.len() {
            let _ = answer(&whole[..cut], "2001:db8::53".parse().unwrap());
        }
    }
}
