//! Servers on the other side: DHCP, DNS and TCP ports, and hosts that are heard. Only netapply itself asks them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::sleep;

use super::switch::{DhcpServer, PortService};
use crate::inventory::Lldp;
use crate::lease::dhcp4::frame::{CLIENT_PORT, SERVER_PORT};
use crate::lease::dhcp4::message::{ClientQuery, Mac, MessageKind};
use crate::lease::dhcp4::options;
use crate::socket::{Socket, endpoint};

/// The EtherType of LLDP.
const LLDP: u16 = 0x88cc;
/// How often a host or a switch is heard.
const CHATTER: Duration = Duration::from_secs(1);

/// A host that multicasts something now and then. `index` is that of its link.
pub(super) async fn chatter(ip: IpAddr, device: String, index: u32) -> io::Result<()> {
    /// The discard protocol (RFC 863).
    const DISCARD: u16 = 9;
    let socket = UdpSocket::bind(endpoint(ip, 0, index)).await?;
    socket.bind_device(Some(device.as_bytes()))?;
    // All hosts of the link.
    let all: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::new(224, 0, 0, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
    };
    loop {
        // A link that is down is tried again.
        let _ = socket.send_to(&[0], endpoint(all, DISCARD, index)).await;
        sleep(CHATTER).await;
    }
}

/// A switch that announces itself at a port, by its index, as LLDP does (IEEE 802.1AB), and more often.
pub(super) async fn announce(lldp: Lldp, index: u32) -> io::Result<()> {
    let socket = Socket::packet(index, LLDP)?;
    let unit = announcement(&lldp);
    loop {
        // A port that is down is tried again.
        let _ = socket.send_frame(&unit, index).await;
        sleep(CHATTER).await;
    }
}

/// The frame of an announcement.
fn announcement(lldp: &Lldp) -> Vec<u8> {
    /// The subtype of a chassis or port id that is a name of the switch's own.
    const LOCAL: u8 = 7;
    // To the nearest bridge, from an address of ours.
    let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1];
    frame.extend(LLDP.to_be_bytes());
    // A type of 7 bits, a length of 9 bits.
    let mut add = |kind: u16, value: &[&[u8]]| {
        let value: Vec<u8> = value.concat().into_iter().take(255).collect();
        frame.extend((kind << 9 | value.len() as u16).to_be_bytes());
        frame.extend(value);
    };
    add(1, &[&[LOCAL], lldp.switch.as_bytes()]);
    add(2, &[&[LOCAL], lldp.port.as_bytes()]);
    // Its time to live in seconds.
    add(3, &[&[0, 120]]);
    add(5, &[lldp.switch.as_bytes()]);
    // IEEE 802.1Q annex D: the port's own VLAN, and each with a name, which is empty.
    add(127, &[&[0x00, 0x80, 0xc2, 1], &lldp.pvid.unwrap_or(0).to_be_bytes()]);
    for vlan in &lldp.vlans {
        add(127, &[&[0x00, 0x80, 0xc2, 3], &vlan.to_be_bytes(), &[0]]);
    }
    add(0, &[]);
    frame
}

/// A DHCPv4 server on a link. It broadcasts all answers.
pub(super) async fn dhcp(server: DhcpServer, device: String) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVER_PORT)).await?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.set_broadcast(true)?;
    let mut clients = Vec::new();
    let mut query = [0; 1500];
    loop {
        let (length, _) = socket.recv_from(&mut query).await?;
        if let Some(answer) = query.get(..length).and_then(|query| lease(&server, &mut clients, query)) {
            let _ = socket.send_to(&answer, (Ipv4Addr::BROADCAST, CLIENT_PORT)).await;
        }
    }
}

/// The answer to a client's message. `clients` are those that have an address, in order: the first has the first one.
fn lease(server: &DhcpServer, clients: &mut Vec<Mac>, query: &[u8]) -> Option<Vec<u8>> {
    let query = ClientQuery::read(query)?;
    let own = server.server.addr();
    if query.options.address(options::SERVER).is_some_and(|other| other != own) {
        return None;
    }
    let number = clients.iter().position(|mac| *mac == query.mac).unwrap_or_else(|| {
        clients.push(query.mac);
        clients.len() - 1
    });
    let address = Ipv4Addr::from(u32::from(server.first).checked_add(u32::try_from(number).ok()?)?);
    let has = |ip: &Ipv4Addr| server.server.contains(ip) && *ip != server.server.broadcast();
    let wanted = query
        .options
        .address(options::REQUESTED_ADDRESS)
        .or(Some(query.address).filter(|ip| !ip.is_unspecified()));
    let kind = match query.kind {
        // There are no more addresses.
        _ if !has(&address) => return None,
        MessageKind::Discover => MessageKind::Offer,
        MessageKind::Request if wanted.is_none_or(|ip| ip == address) => MessageKind::Ack,
        MessageKind::Request => {
            return Some(query.answer(
                MessageKind::Nak,
                Ipv4Addr::UNSPECIFIED,
                &[(options::SERVER, &own.octets())],
            ));
        }
        _ => return None,
    };
    let name_servers: Vec<u8> = server.name_servers.iter().take(63).flat_map(Ipv4Addr::octets).collect();
    let mut more: Vec<(u8, &[u8])> = Vec::new();
    let (id, mask, time) = (own.octets(), server.server.netmask().octets(), server.lifetime.to_be_bytes());
    let router = server.router.map(|router| router.octets());
    more.extend([(options::SERVER, &id[..]), (options::LEASE_TIME, &time), (options::SUBNET_MASK, &mask)]);
    more.extend(router.iter().map(|router| (options::ROUTERS, &router[..])));
    if !name_servers.is_empty() {
        more.push((options::NAME_SERVERS, &name_servers));
    }
    Some(query.answer(kind, address, &more))
}

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
    use crate::lease::dhcp4::message::{ClientMessage, ServerMessage};
    use crate::lease::dhcp4::terms::Terms;

    fn ask(kind: MessageKind, mac: u8, more: Vec<(u8, &[u8])>) -> Vec<u8> {
        let mac = [2, 0, 0, 0, 0, mac];
        let address = Ipv4Addr::UNSPECIFIED;
        ClientMessage { kind, xid: 7, seconds: 0, broadcast: false, address, mac, options: more }.write()
    }

    #[test]
    fn each_client_gets_an_address_that_our_client_accepts() {
        let server = DhcpServer {
            server: "192.0.2.1/30".parse().unwrap(),
            first: "192.0.2.2".parse().unwrap(),
            router: "192.0.2.1".parse().ok(),
            name_servers: vec!["192.0.2.53".parse().unwrap()],
            lifetime: 600,
        };
        let mut clients = Vec::new();
        let mut answer = |query: &[u8]| lease(&server, &mut clients, query);
        let offer = ServerMessage::read(&answer(&ask(MessageKind::Discover, 1, vec![])).unwrap()).unwrap();
        assert_eq!((offer.kind, offer.xid, offer.mac[5]), (MessageKind::Offer, 7, 1));
        let terms = Terms::of(&offer, &[]).unwrap();
        assert_eq!((terms.address.to_string(), terms.lifetime), ("192.0.2.2/30".to_owned(), Some(600)));
        assert_eq!((terms.routes.len(), terms.name_servers.len()), (1, 1));
        let request = |ip: [u8; 4]| ask(MessageKind::Request, 1, vec![(options::REQUESTED_ADDRESS, &ip[..])]);
        let mut kind = |query: &[u8]| answer(query).map(|answer| ServerMessage::read(&answer).unwrap().kind);
        assert_eq!(kind(&request([192, 0, 2, 2])), Some(MessageKind::Ack));
        assert_eq!(kind(&request([10, 0, 0, 2])), Some(MessageKind::Nak));
        // Another server's offer was taken; there is no second address; nonsense.
        assert_eq!(kind(&ask(MessageKind::Request, 1, vec![(options::SERVER, &[10, 0, 0, 1])])), None);
        assert_eq!(kind(&ask(MessageKind::Discover, 2, vec![])), None);
        let whole = request([192, 0, 2, 2]);
        assert!((0..240).all(|cut| kind(&whole[..cut]).is_none()));
    }

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
