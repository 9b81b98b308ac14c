//! Servers on the other side: DHCP, DNS and TCP ports, and hosts that are heard. Only netapply itself asks them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::sleep;

use super::switch::{Dhcp6Server, DhcpServer, PortService, Range, Requests};
use crate::inventory::Lldp;
use crate::lease::dhcp4::frame::{CLIENT_PORT, SERVER_PORT};
use crate::lease::dhcp4::message::{ClientQuery, MessageKind};
use crate::lease::dhcp4::options;
use crate::lease::dhcp6::message::{AnswerKind, Granted, QueryKind, ServerQuestion, status};
use crate::lease::ra::message::{Advertisement, SOLICITATION};
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

/// Clients that have an address, in order: the first one has the first address.
type Clients = Vec<Vec<u8>>;

/// The number of a client among those that have an address.
fn number(clients: &mut Clients, client: &[u8]) -> u32 {
    let known = clients.iter().position(|known| known == client);
    let number = known.unwrap_or_else(|| {
        clients.push(client.to_vec());
        clients.len() - 1
    });
    number as u32
}

/// The DHCPv4 servers on a link. They broadcast all answers.
pub(super) async fn dhcp(servers: Vec<DhcpServer>, device: String) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVER_PORT)).await?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.set_broadcast(true)?;
    let mut servers: Vec<(DhcpServer, Clients)> =
        servers.into_iter().map(|server| (server, Vec::new())).collect();
    let mut query = [0; 1500];
    loop {
        let (length, _) = socket.recv_from(&mut query).await?;
        let query = query.get(..length).unwrap_or_default();
        for answer in servers.iter_mut().filter_map(|(server, clients)| lease(server, clients, query)) {
            let _ = socket.send_to(&answer, (Ipv4Addr::BROADCAST, CLIENT_PORT)).await;
        }
    }
}

/// The answer to a client's message.
fn lease(server: &DhcpServer, clients: &mut Clients, query: &[u8]) -> Option<Vec<u8>> {
    let query = ClientQuery::read(query)?;
    let own = server.server.addr();
    if query.options.address(options::SERVER).is_some_and(|other| other != own) {
        return None;
    }
    let Range { first, last, lifetime, requests } = server.range;
    let address = u32::from(first).checked_add(number(clients, &query.mac)).map(Ipv4Addr::from)?;
    let wanted = query
        .options
        .address(options::REQUESTED_ADDRESS)
        .or(Some(query.address).filter(|ip| !ip.is_unspecified()));
    let kind = match query.kind {
        // There are no more addresses.
        _ if address > last => return None,
        MessageKind::Discover => MessageKind::Offer,
        MessageKind::Request if requests == Requests::Ignore => return None,
        MessageKind::Request if requests == Requests::Grant && wanted.is_none_or(|ip| ip == address) => {
            MessageKind::Ack
        }
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
    let (id, mask, time) = (own.octets(), server.server.netmask().octets(), lifetime.to_be_bytes());
    let router = server.router.map(|router| router.octets());
    more.extend([(options::SERVER, &id[..]), (options::LEASE_TIME, &time), (options::SUBNET_MASK, &mask)]);
    more.extend(router.iter().map(|router| (options::ROUTERS, &router[..])));
    if !name_servers.is_empty() {
        more.push((options::NAME_SERVERS, &name_servers));
    }
    Some(query.answer(kind, address, &more))
}

/// A DHCPv6 server on a link, by its index.
pub(super) async fn dhcp6(server: Dhcp6Server, device: String, index: u32) -> io::Result<()> {
    /// All servers and relays of the link, and their port (RFC 9915, section 7).
    const SERVERS: (Ipv6Addr, u16) = (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2), 547);
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, SERVERS.1)).await?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.join_multicast_v6(&SERVERS.0, index)?;
    let mut clients = Vec::new();
    let mut query = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut query).await?;
        let query = query.get(..length).unwrap_or_default();
        if let Some(answer) = lease6(&server, &mut clients, query) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// The answer to a client's message.
fn lease6(server: &Dhcp6Server, clients: &mut Clients, query: &[u8]) -> Option<Vec<u8>> {
    /// A link-layer address of ours (RFC 9915, section 11.4).
    const OWN: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
    let query = ServerQuestion::read(query)?;
    if query.server.is_some_and(|other| other != OWN) {
        return None;
    }
    let Range { first, last, lifetime, requests } = server.range;
    let number = number(clients, query.client);
    let address = u128::from(first).checked_add(number.into()).map(Ipv6Addr::from)?;
    let granted = match requests {
        Requests::Refuse => Err(status::NO_ADDRESSES),
        _ if address > last => Err(status::NO_ADDRESSES),
        _ => Ok(Granted { address, preferred: lifetime, valid: lifetime }),
    };
    let kind = match query.kind {
        QueryKind::Solicit if query.rapid && requests == Requests::Grant => AnswerKind::Reply,
        QueryKind::Solicit => AnswerKind::Advertise,
        QueryKind::InformationRequest => AnswerKind::Reply,
        _ if requests == Requests::Ignore => return None,
        _ => AnswerKind::Reply,
    };
    Some(query.answer(kind, OWN, granted, &server.name_servers))
}

/// A router that advertises itself on a link, by its index: when it is asked, and now and then.
pub(super) async fn advertise(advertised: Advertisement, index: u32) -> io::Result<()> {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let socket = Socket::icmpv6_of_link(index, SOLICITATION)?;
    let packet = advertised.write();
    loop {
        // A link that is down is tried again.
        let _ = socket.send_to(&packet, ALL_NODES.into(), index).await;
        sleep(CHATTER).await;
    }
}

/// The names that name servers know.
pub(super) type KnownNames = Option<BTreeMap<String, BTreeSet<IpAddr>>>;

/// A name server. `index` is the link of a link-local one.
pub(super) async fn name_server(ip: IpAddr, index: u32, names: KnownNames) -> io::Result<()> {
    let socket = UdpSocket::bind(endpoint(ip, 53, index)).await?;
    let mut query = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut query).await?;
        if let Some(answer) = query.get(..length).and_then(|query| answer(query, ip, &names)) {
            // A client that has gone needs no answer.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// The answer to a question for one name (RFC 1035): its addresses, or the server's own for every name if none are given,
/// and no record for other types.
fn answer(query: &[u8], server: IpAddr, names: &KnownNames) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const RESPONSE: u8 = 0x81;
    const RECURSION: u8 = 0x80;
    const NO_SUCH_NAME: u8 = 3;
    let mut end = HEADER;
    let mut name = String::new();
    while let length @ 1..=63 = *query.get(end)? {
        let label = query.get(end + 1..end + 1 + usize::from(length))?;
        name += if name.is_empty() { "" } else { "." };
        name += &String::from_utf8_lossy(label).to_ascii_lowercase();
        end += 1 + usize::from(length);
    }
    // The name's end, type and class. Anything after it, such as EDNS, is left out.
    let question = query.get(HEADER..end + 5)?;
    let own = BTreeSet::from([server]);
    let addresses = match names {
        // The root has no address.
        _ if name.is_empty() => Some(BTreeSet::new()),
        Some(names) => names.get(&name).cloned(),
        None => Some(own),
    };
    let code = if addresses.is_some() { 0 } else { NO_SUCH_NAME };
    let records: Vec<Vec<u8>> = addresses
        .into_iter()
        .flatten()
        .map(|ip| match ip {
            IpAddr::V4(ip) => (1_u8, ip.octets().to_vec()),
            IpAddr::V6(ip) => (28, ip.octets().to_vec()),
        })
        .filter(|(kind, _)| question.ends_with(&[0, *kind, 0, 1]))
        // The name by a pointer, type, class, a minute to live, and the data.
        .map(|(kind, data)| {
            let head = [0xc0, HEADER as u8, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8];
            [&head[..], &data].concat()
        })
        .take(16)
        .collect();
    let mut out = query.get(..2)?.to_vec();
    out.extend([RESPONSE, RECURSION | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    out.extend(question);
    out.extend(records.concat());
    Some(out)
}

/// A TCP port on every address.
pub(super) async fn service(port: u16, service: PortService) -> io::Result<()> {
    if service == PortService::Silent {
        return silent(port).await;
    }
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

/// A TCP port whose queue is full with a connection of its own, so that the kernel drops all others (listen(2)).
async fn silent(port: u16) -> io::Result<()> {
    let listen = |any: IpAddr| {
        let socket = if any.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
        socket.bind(SocketAddr::new(any, port))?;
        socket.listen(0)
    };
    let (_listener, own): (_, IpAddr) = match listen(Ipv6Addr::UNSPECIFIED.into()) {
        Ok(listener) => (listener, Ipv6Addr::LOCALHOST.into()),
        Err(_) => (listen(Ipv4Addr::UNSPECIFIED.into())?, Ipv4Addr::LOCALHOST.into()),
    };
    let _connection = TcpStream::connect(SocketAddr::new(own, port)).await?;
    std::future::pending().await
}

/// Reads what the client sends first: closing with unread data would reset the connection.
async fn converse(stream: &TcpStream, service: PortService) -> io::Result<()> {
    let words: Vec<u8> = match service {
        PortService::Accept | PortService::Silent => Vec::new(),
        PortService::Http(status) => {
            format!("HTTP/1.1 {status} rehearsed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .into_bytes()
        }
        // A fatal alert, handshake_failure (RFC 8446, section 6).
        PortService::Tls => vec![21, 3, 3, 0, 2, 2, 40],
    };
    stream.readable().await?;
    let _ = stream.try_read(&mut [0; 4096]);
    stream.writable().await?;
    stream.try_write(&words).map(drop)
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
            range: Range {
                first: "192.0.2.2".parse().unwrap(),
                last: "192.0.2.2".parse().unwrap(),
                lifetime: 600,
                requests: Requests::Grant,
            },
            router: "192.0.2.1".parse().ok(),
            name_servers: vec!["192.0.2.53".parse().unwrap()],
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
        for (requests, answer) in [(Requests::Refuse, Some(MessageKind::Nak)), (Requests::Ignore, None)] {
            let range = Range { requests, ..server.range.clone() };
            let odd = DhcpServer { range, ..server.clone() };
            let kind =
                |query: &[u8]| Some(ServerMessage::read(&lease(&odd, &mut vec![], query)?).unwrap().kind);
            assert_eq!(kind(&ask(MessageKind::Discover, 1, vec![])), Some(MessageKind::Offer));
            assert_eq!(kind(&whole), answer);
        }
    }

    #[test]
    fn each_client_gets_an_ipv6_address_until_there_are_none() {
        use crate::lease::dhcp6::message::{ClientQuestion, ServerAnswer};
        let range = Range {
            first: "2001:db8::100".parse().unwrap(),
            last: "2001:db8::100".parse().unwrap(),
            lifetime: 600,
            requests: Requests::Grant,
        };
        let server = Dhcp6Server { range, name_servers: vec!["2001:db8::53".parse().unwrap()] };
        let ask = |kind, client: u8, rapid| {
            let (client, iaid) = ([0, 3, 0, 1, client], [1, 2, 3, 4]);
            let question = ClientQuestion {
                kind,
                id: 7,
                client: &client,
                server: None,
                elapsed: 0,
                iaid,
                addresses: &[],
                name: None,
                rapid,
            };
            question.write()
        };
        let mut clients = Vec::new();
        let mut answer = |server: &Dhcp6Server, query: &[u8]| {
            ServerAnswer::read(&lease6(server, &mut clients, query)?, [1, 2, 3, 4])
        };
        let offer = answer(&server, &ask(QueryKind::Solicit, 1, false)).unwrap();
        assert_eq!(
            (offer.kind, offer.id, offer.client[4], offer.name_servers.len()),
            (AnswerKind::Advertise, 7, 1, 1)
        );
        let at_once = answer(&server, &ask(QueryKind::Solicit, 1, true)).unwrap();
        assert_eq!((at_once.kind, at_once.rapid), (AnswerKind::Reply, true));
        let granted = answer(&server, &ask(QueryKind::Request, 1, false)).unwrap().association.unwrap();
        assert_eq!((granted.addresses[0].address, granted.addresses[0].valid), (server.range.first, 600));
        let none = answer(&server, &ask(QueryKind::Solicit, 2, false)).unwrap().association.unwrap();
        assert_eq!((none.addresses.len(), none.status), (0, status::NO_ADDRESSES));
        let more = answer(&server, &ask(QueryKind::InformationRequest, 3, false)).unwrap();
        assert_eq!((more.association, more.name_servers.len()), (None, 1));
        let odd =
            Dhcp6Server { range: Range { requests: Requests::Ignore, ..server.range.clone() }, ..server };
        assert!(answer(&odd, &ask(QueryKind::Solicit, 1, false)).is_some());
        assert_eq!(answer(&odd, &ask(QueryKind::Request, 1, false)), None);
        let whole = ask(QueryKind::Request, 1, false);
        for cut in 0..whole.len() {
            let _ = answer(&odd, &whole[..cut]);
        }
    }

    fn question(name: &[u8], kind: u8) -> Vec<u8> {
        [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1], name, &[0, 0, kind, 0, 1], b"more"].concat()
    }

    #[test]
    fn every_name_has_the_servers_address() {
        let server: IpAddr = "192.0.2.53".parse().unwrap();
        let ask = |question: Vec<u8>, names: &KnownNames| answer(&question, server, names).unwrap();
        let four = ask(question(b"\x03api\x07example", 1), &None);
        assert_eq!((&four[..4], &four[6..8]), (&[7, 7, 0x81, 0x80][..], &[0, 1][..]));
        assert!(four.ends_with(&[0, 4, 192, 0, 2, 53]));
        let none = ask(question(b"\x03api\x07example", 28), &None);
        assert_eq!((&none[6..8], none.ends_with(&[0, 28, 0, 1])), (&[0, 0][..], true));
        let root = ask(question(b"", 1), &None);
        assert_eq!(root[6..8], [0, 0]);
        let both = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        let names = Some([("api.example".to_owned(), both.into())].into());
        assert!(ask(question(b"\x03API\x07example", 1), &names).ends_with(&[0, 4, 192, 0, 2, 7]));
        assert!(ask(question(b"\x03api\x07example", 28), &names).ends_with(&[0, 7]));
        let codes = [b"\x03api\x07example".as_slice(), b"\x03www\x07example", b""];
        let codes = codes.map(|name| ask(question(name, 1), &names)[3] & 15);
        assert_eq!(codes, [0, 3, 0], "www does not exist");
        let whole = question(b"\x03api\x07example", 1);
        for cut in 0..whole.len() {
            let _ = answer(&whole[..cut], "2001:db8::53".parse().unwrap(), &None);
        }
    }
}
