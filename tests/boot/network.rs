//! The network around a booted machine: a guest that is gateway and DHCP server on each of its cables.

use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use harness::guest::{Builder, Cable, Guest};
use nix::net::if_::if_indextoname;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket};

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
    let name = name(guest, mac);
    let entries = guest.json(&format!("ip -j -4 address show dev {name}"));
    let infos = entries[0]["addr_info"].as_array().cloned().unwrap_or_default();
    infos.iter().map(|info| info["local"].as_str().unwrap().to_owned()).collect()
}
