//! The network around a booted machine: a guest that is gateway and DHCP server on each of its cables.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd as _;

use harness::guest::{Builder, Cable, Guest};
use netapply::lease::dhcp6::message::{AnswerKind, Granted, QueryKind, ServerQuestion};
use netapply::lease::ra::message::Advertisement;
use nix::net::if_::{if_indextoname, if_nametoindex};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, recvfrom, sendto,
    setsockopt, socket, sockopt,
};

/// Where the neighbour answers DNS queries.
const NAME_SERVER: &str = "192.0.2.53";

/// The neighbour on one or two cables. Wire N is 192.0.(N+2).0/24 and 2001:db8:(N+1)::/64, the neighbour is .1 and ::1,
/// and it leases .100 to .110. It is also the name server 192.0.2.53.
pub(crate) struct Neighbour {
    pub(crate) guest: Guest,
}

impl Neighbour {
    /// Boots the neighbour at the far ends of these cables.
    pub(crate) fn on(cables: &[&Cable]) -> Self {
        let mut builder = Guest::builder().words("net.ifnames=0").inside();
        for (number, cable) in cables.iter().enumerate() {
            builder = builder.nic_on_cable(&format!("02:00:00:00:01:{number:02x}"), cable.b());
        }
        let mut guest = builder.boot();
        guest.ok(&format!("ip address add {NAME_SERVER}/32 dev lo; ip link set lo up"));
        for number in 0..cables.len() {
            let net = format!("192.0.{}", number + 2);
            guest.ok(&format!(
                "ip link set eth{number} up; ip address add {net}.1/24 dev eth{number}
                ip address add 2001:db8:{wire}::1/64 dev eth{number} nodad
                cat >udhcpd{number} <<EOF
interface eth{number}
start {net}.100
end {net}.110
option subnet 255.255.255.0
option router {net}.1
lease_file /tmp/leases{number}
pidfile /tmp/pid{number}
EOF
                touch leases{number}; udhcpd -f udhcpd{number} >dhcp{number} 2>&1 &",
                wire = number + 1
            ));
        }
        guest.ok("inside --ignored --exact network::name_server >/dev/null 2>&1 &");
        guest.until("grep -q ':0035 ' /proc/net/udp");
        Neighbour { guest }
    }

    /// The DHCP server's log of this wire: a line for each offer and lease.
    pub(crate) fn dhcp(&mut self, wire: usize) -> String {
        self.guest.ok(&format!("grep -iE 'offer|ack' dhcp{wire} || true"))
    }
}

impl Neighbour {
    /// Notes from now on which DHCP clients ask ([`Neighbour::clients`]).
    pub(crate) fn watch(&mut self) {
        self.guest.ok("inside --ignored --exact network::witness --nocapture >/tmp/heard 2>&1 &");
        self.guest.until("grep -q listening /tmp/heard");
    }

    /// The DHCP messages that were heard on this wire, oldest first: their type, and what tells one client's software from
    /// another's, the list of the options that it asks for.
    pub(crate) fn clients(&mut self, wire: usize) -> Vec<(u8, String)> {
        let heard = self.guest.ok("cat /tmp/heard");
        let of_wire = heard.lines().filter_map(|line| line.strip_prefix(&format!("eth{wire} ")));
        of_wire
            .filter_map(|line| line.split_once(' '))
            .map(|(kind, list)| (kind.parse().unwrap(), list.to_owned()))
            .collect()
    }
}

/// What was heard of a DHCPv6 client: the type of its message, its DUID and IAID, and the options that it asks for.
#[derive(Debug)]
pub(crate) struct Heard6 {
    pub(crate) kind: u8,
    pub(crate) identity: String,
    pub(crate) list: String,
}

impl Neighbour {
    /// Leases by DHCPv6 on the first wire from now on, and advertises there that it does.
    pub(crate) fn lease_ipv6(&mut self) {
        self.guest.ok("inside --ignored --exact network::dhcpv6_server --nocapture >/tmp/heard6 2>&1 &");
        self.guest.until("grep -q listening /tmp/heard6");
    }

    /// The DHCPv6 messages that it has got, oldest first.
    pub(crate) fn clients6(&mut self) -> Vec<Heard6> {
        let heard = self.guest.ok("cat /tmp/heard6");
        let lines = heard.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let read = |words: Vec<&str>| match words[..] {
            [kind, identity, list] => Some(Heard6 {
                kind: kind.parse().ok()?,
                identity: identity.to_owned(),
                list: list.to_owned(),
            }),
            _ => None,
        };
        lines.filter_map(read).collect()
    }
}

/// A DHCPv6 server, inside the neighbour, until it ends: each client and association gets an address of its own, from
/// 2001:db8:1::100. Prints what it is asked.
#[test]
#[ignore = "runs inside a guest"]
fn dhcpv6_server() {
    assert!(std::path::Path::new("/agent").exists(), "this is no guest");
    const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
    let index = if_nametoindex("eth0").unwrap();
    std::thread::spawn(move || advertise(index));
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 547)).unwrap();
    socket.join_multicast_v6(&ALL_SERVERS, index).unwrap();
    println!("listening");
    let (mut known, mut buffer) = (Vec::new(), [0; 2048]);
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let packet = &buffer[..length];
        let Some(question) = ServerQuestion::read(packet) else { continue };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let iaid = option6(packet, 3).and_then(|association| association.get(..4)).unwrap_or_default();
        let identity = format!("{}/{}", hex(question.client), hex(iaid));
        println!("{} {identity} {}", packet[0], hex(option6(packet, 6).unwrap_or_default()));
        let number = known.iter().position(|other| *other == identity).unwrap_or_else(|| {
            known.push(identity);
            known.len() - 1
        });
        let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100 + number as u16);
        let granted = Granted { address, preferred: 3000, valid: 3000 };
        let kind = match question.kind {
            QueryKind::Solicit => AnswerKind::Advertise,
            _ => AnswerKind::Reply,
        };
        let answer = question.answer(kind, &[0, 3, 0, 1, 2, 0, 0, 0, 1, 0], Ok(granted), &[]);
        let _ = socket.send_to(&answer, from);
    }
}

/// The first such option of a DHCPv6 message.
fn option6(packet: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut field = packet.get(4..)?;
    loop {
        let (head, rest) = field.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([head[2], head[3]]).into())?;
        if u16::from_be_bytes([head[0], head[1]]) == wanted {
            return Some(value);
        }
        field = rest;
    }
}

/// Advertises a router on this link that says that addresses come by DHCPv6.
fn advertise(index: u32) {
    let protocol = SockProtocol::IcmpV6;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::empty(), protocol).unwrap();
    setsockopt(&socket, sockopt::Ipv6MulticastHops, &255).unwrap();
    let packet = Advertisement { managed: true, lifetime: 1800, ..Advertisement::default() }.write();
    let all_nodes = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index);
    loop {
        let _ = sendto(socket.as_raw_fd(), &packet, &SockaddrIn6::from(all_nodes), MsgFlags::empty());
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// Prints who asks for DHCP, inside the neighbour, until it ends. It reads beside the server, whose socket it leaves alone.
#[test]
#[ignore = "runs inside a guest"]
fn witness() {
    assert!(std::path::Path::new("/agent").exists(), "this is no guest");
    let family = (AddressFamily::Packet, SockType::Datagram);
    let socket = socket(family.0, family.1, SockFlag::empty(), SockProtocol::EthAll).unwrap();
    println!("listening");
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer).unwrap();
        let packet = &buffer[..length];
        // IPv4 and UDP, to a server's port.
        let header = usize::from(packet.first().copied().unwrap_or(0) & 15) * 4;
        let is_ours = packet.first().is_some_and(|byte| byte >> 4 == 4)
            && packet.get(9) == Some(&17)
            && packet.get(header + 2..header + 4) == Some(&67_u16.to_be_bytes()[..]);
        let Some(mut options) = packet.get(header + 8 + 240..).filter(|_| is_ours) else { continue };
        let (mut kind, mut list) = (0, String::new());
        while let [code, length, rest @ ..] = options {
            let Some((value, rest)) = rest.split_at_checked(usize::from(*length)).filter(|_| *code != 255)
            else {
                break;
            };
            match code {
                53 => kind = value[0],
                55 => list = value.iter().map(|byte| format!("{byte:02x}")).collect(),
                _ => {}
            }
            options = rest;
        }
        let index = from.map_or(0, |from| from.ifindex());
        let name = if_indextoname(u32::try_from(index).unwrap()).unwrap();
        println!("{} {kind} {list}", name.to_string_lossy());
    }
}

/// Answers DNS queries inside the neighbour, until it ends.
#[test]
#[ignore = "runs inside a guest"]
fn name_server() {
    assert!(std::path::Path::new("/agent").exists(), "this is no guest");
    harness::dns::serve(&UdpSocket::bind((NAME_SERVER, 53)).unwrap(), [192, 0, 2, 1].into());
}

/// A machine's NIC on a cable.
pub(crate) fn nic(builder: Builder, mac: &str, cable: &Cable) -> Builder {
    builder.nic_on_cable(mac, cable.a())
}

/// The name of the interface with this MAC.
pub(crate) fn name(guest: &mut Guest, mac: &str) -> String {
    let links = guest.json("ip -j link");
    let nic = links.as_array().unwrap().iter().find(|link| link["address"] == mac);
    nic.unwrap_or_else(|| panic!("no NIC {mac} in {links}"))["ifname"].as_str().unwrap().to_owned()
}

/// The IPv4 addresses of the interface with this MAC.
pub(crate) fn addresses(guest: &mut Guest, mac: &str) -> Vec<String> {
    addresses_of(guest, mac, "-4")
}

/// Its global IPv6 addresses.
pub(crate) fn addresses6(guest: &mut Guest, mac: &str) -> Vec<String> {
    addresses_of(guest, mac, "-6")
}

fn addresses_of(guest: &mut Guest, mac: &str, family: &str) -> Vec<String> {
    let name = name(guest, mac);
    let entries = guest.json(&format!("ip -j {family} address show dev {name} scope global"));
    let infos = entries[0]["addr_info"].as_array().cloned().unwrap_or_default();
    // ip(8) leaves an empty object for each address of another scope.
    infos.iter().filter_map(|info| info["local"].as_str().map(str::to_owned)).collect()
}
