//! Advertisements and solicitations (RFC 4861, section 4), their options for names (RFC 8106) and routes (RFC 4191), bounded
//! and checked before anybody believes them. Further flags (RFC 5175) say nothing that is of use here.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::super::dhcp4::names;
use crate::model::MacAddr;

/// ICMPv6 types.
pub const SOLICITATION: u8 = 133;
/// See [`SOLICITATION`].
pub const ADVERTISEMENT: u8 = 134;
/// What nobody can send from elsewhere: each router on the way would lower it.
pub const HOP_LIMIT: u8 = 255;

/// Types of options.
const SOURCE_LINK_LAYER: u8 = 1;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const ROUTE: u8 = 24;
const NAME_SERVERS: u8 = 25;
const SEARCH: u8 = 31;

/// Items that are kept of a list.
pub const MOST: usize = 16;
/// The head of an advertisement, and of the options that are longer than one unit.
const HEAD: usize = 16;

/// A prefix that a router advertises.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedPrefix {
    /// The prefix.
    pub net: Ipv6Net,
    /// Its addresses are on the link.
    pub on_link: bool,
    /// Machines make addresses of it.
    pub autonomous: bool,
    /// Seconds; `u32::MAX` has no end.
    pub valid: u32,
}

/// What a router says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// M: addresses come by DHCPv6.
    pub managed: bool,
    /// O: other things come by DHCPv6.
    pub other: bool,
    /// Seconds for which it is a default router; 0 is not.
    pub lifetime: u16,
    /// Its hardware address.
    pub mac: Option<MacAddr>,
    /// The link's MTU.
    pub mtu: Option<u32>,
    /// Prefixes.
    pub prefixes: Vec<AdvertisedPrefix>,
    /// Routes through it, and for how many seconds.
    pub routes: Vec<(Ipv6Net, u32)>,
    /// Name servers, and for how many seconds; 0 takes one back, `u32::MAX` has no end.
    pub name_servers: Vec<(Ipv6Addr, u32)>,
    /// Domains to search, in the same form.
    pub search: Vec<(String, u32)>,
}

/// The options one after the other; the last item is `None` where one does not fit (RFC 4861, section 6.1.2: length 0 makes
/// the whole invalid).
fn options(mut field: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    std::iter::from_fn(move || match field {
        [] => None,
        [kind, length, ..] if *length > 0 && field.len() >= usize::from(*length) * 8 => {
            let (option, rest) = field.split_at(usize::from(*length) * 8);
            field = rest;
            Some(Some((*kind, option)))
        }
        _ => {
            field = &[];
            Some(None)
        }
    })
}

fn long(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}

/// A prefix whose address may be cut after its last byte that counts.
fn net(bytes: &[u8], length: u8) -> Option<Ipv6Net> {
    let mut octets = [0; 16];
    let count = bytes.len().min(16);
    (usize::from(length) <= count * 8).then_some(())?;
    octets.get_mut(..count)?.copy_from_slice(bytes.get(..count)?);
    Ipv6Net::new(Ipv6Addr::from(octets), length).ok().map(|net| net.trunc())
}

/// One machine's address, which may be of the link alone.
fn is_server(address: &Ipv6Addr) -> bool {
    !address.is_multicast()
        && !address.is_unspecified()
        && !address.is_loopback()
        && address.to_ipv4().is_none()
}

impl Advertisement {
    /// Reads an ICMPv6 packet, whose check sum the kernel has looked at; `None` where it is not an advertisement that may be
    /// believed (RFC 4861, section 6.1.2).
    pub fn read(from: Ipv6Addr, hop_limit: u8, packet: &[u8]) -> Option<Advertisement> {
        let (head, field) = packet.split_first_chunk::<HEAD>()?;
        let good = from.is_unicast_link_local() && hop_limit == HOP_LIMIT;
        (good && head[0] == ADVERTISEMENT && head[1] == 0).then_some(())?;
        let mut advertisement = Advertisement {
            managed: head[5] & 0x80 != 0,
            other: head[5] & 0x40 != 0,
            lifetime: u16::from_be_bytes([head[6], head[7]]),
            ..Advertisement::default()
        };
        for option in options(field) {
            let (kind, option) = option?;
            // An option that is too short says nothing.
            let _ = advertisement.take(kind, option);
        }
        Some(advertisement)
    }

    /// The ICMPv6 packet; the kernel fills in the checksum. Prefixes are preferred as long as they are valid. Search domains
    /// and routes are left out.
    pub fn write(&self) -> Vec<u8> {
        let flags = if self.managed { 0x80 } else { 0 } | if self.other { 0x40 } else { 0 };
        // The hop limit of packets is left to the machine, as are the times of neighbour discovery.
        let mut packet = vec![ADVERTISEMENT, 0, 0, 0, 0, flags];
        packet.extend(self.lifetime.to_be_bytes());
        packet.extend([0; 8]);
        let mut add = |kind: u8, parts: &[&[u8]]| {
            let value = parts.concat();
            // Of whole units of eight bytes, the type and the length included.
            packet.extend([kind, ((value.len() + 2) / 8) as u8]);
            packet.extend(value);
        };
        if let Some(mac) = self.mac.filter(|mac| mac.as_bytes().len() == 6) {
            add(SOURCE_LINK_LAYER, &[mac.as_bytes()]);
        }
        if let Some(mtu) = self.mtu {
            add(MTU, &[&[0; 2], &mtu.to_be_bytes()]);
        }
        for AdvertisedPrefix { net, on_link, autonomous, valid } in self.prefixes.iter().take(MOST) {
            let flags = if *on_link { 0x80 } else { 0 } | if *autonomous { 0x40 } else { 0 };
            let valid = valid.to_be_bytes();
            add(PREFIX, &[&[net.prefix_len(), flags], &valid, &valid, &[0; 4], &net.addr().octets()]);
        }
        for (server, lifetime) in self.name_servers.iter().take(MOST) {
            add(NAME_SERVERS, &[&[0; 2], &lifetime.to_be_bytes(), &server.octets()]);
        }
        packet
    }

    fn take(&mut self, kind: u8, option: &[u8]) -> Option<()> {
        match kind {
            SOURCE_LINK_LAYER => self.mac = MacAddr::from_bytes(option.get(2..8)?),
            MTU => self.mtu = Some(long(option.get(4..)?)?).filter(|mtu| *mtu >= 1280),
            PREFIX if self.prefixes.len() < MOST => {
                let net = net(option.get(16..32)?, option[2])?;
                let (valid, preferred) = (long(option.get(4..)?)?, long(option.get(8..)?)?);
                // Others give no address (RFC 4862, section 5.5.3).
                let usable = net.prefix_len() == 64 && preferred <= valid;
                let (on_link, autonomous) = (option[3] & 0x80 != 0, option[3] & 0x40 != 0 && usable);
                if !net.addr().is_unicast_link_local() && !net.addr().is_multicast() {
                    self.prefixes.push(AdvertisedPrefix { net, on_link, autonomous, valid });
                }
            }
            // Of a preference that is reserved the whole option is ignored (RFC 4191, section 2.3).
            ROUTE if self.routes.len() < MOST && option[3] & 0x18 != 0x10 => {
                let lifetime = long(option.get(4..)?)?;
                self.routes.push((net(option.get(8..)?, option[2])?, lifetime));
            }
            NAME_SERVERS => {
                let lifetime = long(option.get(4..)?)?;
                // Whole addresses, or the option is invalid (RFC 8106, section 5.3.1).
                let addresses = option.get(8..).filter(|addresses| addresses.len() % 16 == 0)?;
                for chunk in addresses.chunks_exact(16) {
                    let address = Ipv6Addr::from(<[u8; 16]>::try_from(chunk).ok()?);
                    if is_server(&address) && self.name_servers.len() < MOST {
                        self.name_servers.push((address, lifetime));
                    }
                }
            }
            SEARCH => {
                let lifetime = long(option.get(4..)?)?;
                // What fills the last unit reads as names without labels, which are none.
                for name in names::read(option.get(8..)?)? {
                    if self.search.len() < MOST {
                        self.search.push((name, lifetime));
                    }
                }
            }
            _ => {}
        }
        Some(())
    }
}

/// The ICMPv6 packet that asks routers to advertise; the kernel puts its check sum in.
pub fn solicitation(mac: Option<MacAddr>) -> Vec<u8> {
    let mut packet = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    if let Some(mac) = mac.filter(|mac| mac.as_bytes().len() == 6) {
        packet.extend([SOURCE_LINK_LAYER, 1]);
        packet.extend(mac.as_bytes());
    }
    packet
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    /// An option of this type; the value is filled up to whole units.
    pub(in super::super) fn option(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut option = [&[kind, 0], value].concat();
        option.resize(option.len().next_multiple_of(8), 0);
        option[1] = (option.len() / 8) as u8;
        option
    }

    pub(in super::super) fn rdnss(lifetime: u32, servers: &[&str]) -> Vec<u8> {
        let servers = servers.iter().flat_map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets());
        let value: Vec<u8> = [0, 0].into_iter().chain(lifetime.to_be_bytes()).chain(servers).collect();
        option(NAME_SERVERS, &value)
    }

    pub(in super::super) fn route(net: &str, preference: u8, lifetime: u32) -> Vec<u8> {
        let net: Ipv6Net = net.parse().unwrap();
        let head = [&[net.prefix_len(), preference], &lifetime.to_be_bytes()[..]].concat();
        option(
            ROUTE,
            &[&head[..], &net.addr().octets()[..net.prefix_len().div_ceil(64) as usize * 8]].concat(),
        )
    }

    pub(in super::super) fn dnssl(lifetime: u32, names: &[u8]) -> Vec<u8> {
        option(SEARCH, &[&[0, 0], &lifetime.to_be_bytes()[..], names].concat())
    }

    pub(in super::super) fn prefix(net: &str, flags: u8, valid: u32) -> Vec<u8> {
        prefix_for(net, flags, valid, valid)
    }

    pub(in super::super) fn prefix_for(net: &str, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
        let net: Ipv6Net = net.parse().unwrap();
        let times = [valid.to_be_bytes(), preferred.to_be_bytes()].concat();
        let head = [&[net.prefix_len(), flags], &times[..], &[0; 4]].concat();
        option(PREFIX, &[&head[..], &net.addr().octets()].concat())
    }

    /// An advertisement with these flags and options.
    pub(in super::super) fn packet(flags: u8, lifetime: u16, options: &[u8]) -> Vec<u8> {
        let lifetime = lifetime.to_be_bytes();
        [&[ADVERTISEMENT, 0, 0, 0, 64, flags, lifetime[0], lifetime[1]], &[0; 8][..], options].concat()
    }

    fn read(options: &[u8]) -> Option<Advertisement> {
        Advertisement::read(ROUTER, 255, &packet(0, 0, options))
    }

    #[test]
    fn an_advertisement_is_read() {
        let parts = [
            option(SOURCE_LINK_LAYER, &[2, 0, 0, 0, 0, 1]),
            option(MTU, &[0, 0, 0, 0, 5, 220]),
            prefix("2001:db8:1::/64", 0xc0, 3600),
            route("2001:db8::/32", 8, 600),
            rdnss(600, &["2001:db8::53", "fe80::53", "ff02::1"]),
            dnssl(601, b"\x07example\x03org\0\x01x\0"),
            // Of a type that nobody knows.
            option(200, &[1; 6]),
        ];
        let read = Advertisement::read(ROUTER, 255, &packet(0xc0, 1800, &parts.concat())).unwrap();
        assert_eq!((read.managed, read.other, read.lifetime, read.mtu), (true, true, 1800, Some(1500)));
        assert_eq!(read.mac.unwrap().to_string(), "02:00:00:00:00:01");
        let net = "2001:db8:1::/64".parse().unwrap();
        assert_eq!(read.prefixes, [AdvertisedPrefix { net, on_link: true, autonomous: true, valid: 3600 }]);
        assert_eq!(read.routes, [("2001:db8::/32".parse().unwrap(), 600)]);
        let servers = ["2001:db8::53", "fe80::53"].map(|ip| (ip.parse().unwrap(), 600));
        assert_eq!(read.name_servers, servers, "a group is no server");
        assert_eq!(read.search, [("example.org".to_owned(), 601), ("x".to_owned(), 601)]);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let prefix = |net: &str, autonomous| AdvertisedPrefix {
            net: net.parse().unwrap(),
            on_link: true,
            autonomous,
            valid: 3600,
        };
        let advertisement = Advertisement {
            managed: true,
            other: false,
            lifetime: 1800,
            mac: "02:00:00:00:00:01".parse().ok(),
            mtu: Some(1500),
            prefixes: vec![prefix("2001:db8:1::/64", true), prefix("2001:db8:2::/56", false)],
            name_servers: vec![("2001:db8::53".parse().unwrap(), 600), ("fe80::53".parse().unwrap(), 1)],
            ..Advertisement::default()
        };
        assert_eq!(Advertisement::read(ROUTER, 255, &advertisement.write()), Some(advertisement));
        let nothing = Advertisement { other: true, ..Advertisement::default() };
        assert_eq!(Advertisement::read(ROUTER, 255, &nothing.write()), Some(nothing));
    }

    #[test]
    fn what_a_router_of_the_link_cannot_have_sent_is_not_believed() {
        let good = packet(0, 1800, &[]);
        assert!(Advertisement::read(ROUTER, 255, &good).is_some());
        assert_eq!(Advertisement::read(ROUTER, 254, &good), None, "it came through a router");
        assert_eq!(Advertisement::read("2001:db8::1".parse().unwrap(), 255, &good), None);
        for length in 0..16 {
            assert_eq!(Advertisement::read(ROUTER, 255, &good[..length]), None, "{length} bytes");
        }
        for (at, byte) in [(0, 133), (1, 1)] {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(Advertisement::read(ROUTER, 255, &other), None, "byte {at}");
        }
        assert_eq!(read(&[SEARCH, 0, 0, 0, 0, 0, 0, 0]), None, "an option without a length");
        assert_eq!(read(&[SEARCH, 2, 0, 0, 0, 0, 0, 0]), None, "an option that does not fit");
        assert_eq!(read(&[SEARCH]), None, "an option that is cut");
    }

    #[test]
    fn options_that_hold_nothing_say_nothing() {
        let empty = Advertisement::default();
        let wrong = [
            prefix("fe80::/64", 0xc0, 60),
            option(PREFIX, &[64, 0xc0]),
            option(PREFIX, &[&[129, 0xc0], &[0; 28][..]].concat()),
            option(ROUTE, &[64, 0, 0, 0, 0, 60]),
            rdnss(60, &[]),
            dnssl(60, b"\x3fexample"),
            dnssl(60, b"\x04a\x1b[m\0"),
            option(MTU, &[0, 0, 0, 0, 4, 0]),
        ];
        for option in &wrong {
            assert_eq!(read(option), Some(empty.clone()), "{option:?}");
        }
        assert_eq!(read(&wrong.concat()), Some(empty));
        let many = rdnss(60, &["2001:db8::53"; 60]).repeat(4);
        assert_eq!(read(&many).unwrap().name_servers.len(), MOST);
    }
}
