//! A server's grant, checked: the only form in which the rest of the program sees it.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::message::ServerMessage;
use super::{names, options};
use crate::model::hex;

/// An infinite lifetime (RFC 2131, section 3.3).
const INFINITE: u32 = u32::MAX;
/// The shortest lease that can be renewed in time, in seconds.
const SHORTEST: u32 = 4;
/// The smallest accepted MTU: every IPv4 host accepts such packets (RFC 791), and IPv6 would go below 1280 in any case.
const LEAST_MTU: u16 = 576;

/// What a server grants a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The address, with the prefix of its subnet.
    pub address: Ipv4Net,
    /// The server that grants it.
    pub server: Ipv4Addr,
    /// The subnet's broadcast address, if the server sends one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Ipv4Addr>,
    /// Routes with their gateways; without one the destination is on-link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<LeasedRoute>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<Ipv4Addr>,
    /// Domains to search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Time servers (NTP).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_servers: Vec<Ipv4Addr>,
    /// MTU of the link, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// A host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Vendor-specific information (option 43), which only the vendor's programs understand: `01:04:c0:00:02:01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_specific: Option<String>,
    /// Lifetime of the address in seconds; `None` is forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u32>,
    /// When to renew, in seconds; meaningless without a lifetime.
    pub t1: u32,
    /// When to rebind with any server, in seconds; meaningless without a lifetime.
    pub t2: u32,
}

/// A route that comes with a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedRoute {
    /// Destination.
    pub to: Ipv4Net,
    /// Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Ipv4Addr>,
}

/// Why an offer is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OfferFault {
    /// It lacks the server identifier.
    NoServer,
    /// It lacks a lifetime.
    NoLifetime,
    /// It is too short to be renewed.
    TooShort(u32),
    /// The address cannot be a host's in that subnet.
    Unusable(Ipv4Addr),
    /// The mask is not contiguous.
    Mask(Ipv4Addr),
    /// The address is also the gateway.
    Gateway(Ipv4Addr),
    /// The address is another link's of this machine.
    OtherLink(Ipv4Addr),
    /// The address is not the requested one.
    OtherAddress(Ipv4Addr),
}

impl fmt::Display for OfferFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OfferFault::NoServer => f.write_str("it does not name its server"),
            OfferFault::NoLifetime => f.write_str("it has no lifetime"),
            OfferFault::TooShort(seconds) => {
                write!(f, "its lifetime is {seconds} s, which is too short to renew it")
            }
            OfferFault::Unusable(address) => {
                write!(f, "{address} cannot be a machine's address in that subnet")
            }
            OfferFault::Mask(mask) => write!(f, "{mask} is not a subnet mask"),
            OfferFault::Gateway(address) => write!(f, "{address} is also its gateway"),
            OfferFault::OtherLink(address) => write!(f, "another link of this machine has {address}"),
            OfferFault::OtherAddress(address) => write!(f, "{address} is not the address that was asked for"),
        }
    }
}

#[cfg(test)]
impl Terms {
    /// An address by the first one of its subnet, for ever, and nothing else.
    pub(crate) fn sample(address: &str) -> Terms {
        let address: Ipv4Net = address.parse().unwrap();
        Terms {
            address,
            server: address.hosts().next().unwrap(),
            broadcast: None,
            routes: Vec::new(),
            name_servers: Vec::new(),
            search: Vec::new(),
            time_servers: Vec::new(),
            mtu: None,
            host_name: None,
            vendor_specific: None,
            lifetime: None,
            t1: u32::MAX,
            t2: u32::MAX,
        }
    }
}

impl Terms {
    /// Checks an offer or an ACK. `others` are the addresses of this machine's other links.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn of(reply: &ServerMessage, others: &[Ipv4Addr]) -> Result<Terms, OfferFault> {
        let options = &reply.options;
        let server = options.address(options::SERVER).filter(is_host).ok_or(OfferFault::NoServer)?;
        let address = reply.address;
        let length = match options.address(options::SUBNET_MASK) {
            Some(mask) => ipnet::ipv4_mask_to_prefix(mask).map_err(|_| OfferFault::Mask(mask))?,
            None => options::natural_length(address),
        };
        let net = Ipv4Net::new(address, length).map_err(|_| OfferFault::Unusable(address))?;
        if !is_host(&address) || length == 0 || is_end(&net) {
            return Err(OfferFault::Unusable(address));
        }
        if others.contains(&address) {
            return Err(OfferFault::OtherLink(address));
        }
        let lifetime = options.long(options::LEASE_TIME).ok_or(OfferFault::NoLifetime)?;
        if lifetime < SHORTEST {
            return Err(OfferFault::TooShort(lifetime));
        }
        let routes = routes(reply);
        if routes.iter().any(|route| route.via == Some(address) && route.to.prefix_len() == 0) {
            return Err(OfferFault::Gateway(address));
        }
        let (t1, t2) = times(options.long(options::T1), options.long(options::T2), lifetime);
        let list = |code| {
            let mut list = options.addresses(code).unwrap_or_default();
            list.retain(is_host);
            list
        };
        let mut search = options.search().unwrap_or_default();
        for domain in options.domains() {
            if !search.contains(&domain) {
                search.push(domain);
            }
        }
        Ok(Terms {
            address: net,
            server,
            broadcast: options.address(options::BROADCAST).filter(|b| *b == net.broadcast() && length < 31),
            routes,
            name_servers: list(options::NAME_SERVERS),
            search,
            time_servers: list(options::TIME_SERVERS),
            mtu: options.short(options::MTU).filter(|mtu| *mtu >= LEAST_MTU),
            host_name: options.text(options::HOST_NAME).and_then(names::checked),
            vendor_specific: options.bytes(options::VENDOR_SPECIFIC).map(hex),
            lifetime: (lifetime != INFINITE).then_some(lifetime),
            t1,
            t2,
        })
    }
}

/// Routes of option 121, which supersedes those by class and the routers if present (RFC 3442); of several routers the
/// first is the preferred one.
fn routes(reply: &ServerMessage) -> Vec<LeasedRoute> {
    let options = &reply.options;
    let classless = options.routes().filter(|routes| !routes.is_empty());
    let mut routes = classless.unwrap_or_else(|| {
        let mut routes = options.classful_routes().unwrap_or_default();
        let routers = options.addresses(options::ROUTERS).unwrap_or_default();
        routes.extend(routers.into_iter().find(is_host).map(|router| (Ipv4Net::default(), router)));
        routes
    });
    let believed = |(to, via): &(Ipv4Net, Ipv4Addr)| {
        let destination = to.addr();
        let local = destination.is_loopback() || destination.is_multicast() || destination.octets()[0] >= 240;
        (via.is_unspecified() && to.prefix_len() > 0 || is_host(via)) && !local
    };
    routes.retain(believed);
    let mut seen = Vec::new();
    for (to, via) in routes {
        let via = (!via.is_unspecified()).then_some(via);
        if !seen.iter().any(|route: &LeasedRoute| route.to == to) {
            seen.push(LeasedRoute { to, via });
        }
    }
    seen
}

/// T1 and T2 in seconds: the server's if they are in order, else half of the lifetime and seven eighths (RFC 2131,
/// section 4.4.5).
fn times(t1: Option<u32>, t2: Option<u32>, lifetime: u32) -> (u32, u32) {
    let seven_eighths = lifetime - (lifetime / 8).max(1);
    let t2 = t2.filter(|t2| (2..lifetime).contains(t2)).unwrap_or(seven_eighths);
    let t1 = t1.filter(|t1| (1..t2).contains(t1));
    (t1.unwrap_or((lifetime / 2).min(t2 - 1)), t2)
}

/// Whether a host can have the address: not 0.0.0.0/8, loopback, multicast, reserved or broadcast.
fn is_host(address: &Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first < 240 && !address.is_loopback() && !address.is_multicast()
}

/// Whether it is the reserved first or last address of a subnet.
fn is_end(net: &Ipv4Net) -> bool {
    net.prefix_len() < 31 && (net.addr() == net.network() || net.addr() == net.broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::dhcp4::message::MessageKind;
    use crate::lease::dhcp4::options::MessageOptions;

    fn reply(address: [u8; 4], more: &[u8]) -> ServerMessage {
        // Last comes what is asked for, in parts that are not joined with it.
        let field = [more, &[54, 4, 192, 0, 2, 1]].concat();
        let options = MessageOptions::read(&field, &[], &[]).unwrap();
        ServerMessage {
            kind: MessageKind::Ack,
            xid: 1,
            address: address.into(),
            relay: Ipv4Addr::UNSPECIFIED,
            mac: [0; 6],
            options,
        }
    }

    const HOUR: [u8; 6] = [51, 4, 0, 0, 14, 16];

    fn granted(more: &[u8]) -> Result<Terms, OfferFault> {
        let mask = [1, 4, 255, 255, 255, 0];
        Terms::of(&reply([192, 0, 2, 7], &[&HOUR[..], &mask, more].concat()), &[])
    }

    #[test]
    fn an_address_that_no_machine_can_have_is_refused() {
        for (address, mask) in [
            ([0, 0, 0, 0], [255, 255, 255, 0]),
            ([127, 0, 0, 5], [255, 0, 0, 0]),
            ([224, 0, 0, 9], [255, 255, 255, 0]),
            ([250, 0, 0, 9], [255, 255, 255, 0]),
            ([255, 255, 255, 255], [255, 255, 255, 255]),
            ([192, 0, 2, 0], [255, 255, 255, 0]),
            ([192, 0, 2, 255], [255, 255, 255, 0]),
            ([192, 0, 2, 9], [0, 0, 0, 0]),
        ] {
            let mask = [&[1, 4][..], &mask].concat();
            let result = Terms::of(&reply(address, &[&HOUR[..], &mask].concat()), &[]);
            assert_eq!(result, Err(OfferFault::Unusable(address.into())));
        }
        let net = |mask: [u8; 4], last| {
            let mask = [&[1, 4][..], &mask].concat();
            Terms::of(&reply([192, 0, 2, last], &[&HOUR[..], &mask].concat()), &[])
                .map(|t| t.address.to_string())
        };
        assert_eq!(net([255, 255, 255, 254], 0).as_deref(), Ok("192.0.2.0/31"));
        assert_eq!(net([255, 255, 255, 255], 9).as_deref(), Ok("192.0.2.9/32"));
        assert_eq!(net([255, 0, 255, 0], 9), Err(OfferFault::Mask([255, 0, 255, 0].into())));
    }

    #[test]
    fn missing_parts_are_reported() {
        let terms = |field: &[u8]| {
            let options = MessageOptions::read(field, &[], &[]).unwrap();
            Terms::of(&ServerMessage { options, ..reply([192, 0, 2, 7], &[]) }, &[])
        };
        assert_eq!(terms(&HOUR), Err(OfferFault::NoServer));
        assert_eq!(terms(&[54, 4, 0, 0, 0, 0]), Err(OfferFault::NoServer));
        assert_eq!(terms(&[54, 4, 192, 0, 2, 1]), Err(OfferFault::NoLifetime));
        assert_eq!(terms(&[54, 4, 192, 0, 2, 1, 51, 4, 0, 0, 0, 0]), Err(OfferFault::TooShort(0)));
        let classful = terms(&[&[54, 4, 192, 0, 2, 1][..], &HOUR].concat()).unwrap();
        assert_eq!(classful.address.to_string(), "192.0.2.7/24", "no mask: by class");
    }

    #[test]
    fn the_address_of_the_gateway_or_of_another_link_is_refused() {
        let gateway = granted(&[3, 4, 192, 0, 2, 7]);
        assert_eq!(gateway, Err(OfferFault::Gateway([192, 0, 2, 7].into())));
        let other = Terms::of(&reply([192, 0, 2, 7], &HOUR), &[[192, 0, 2, 7].into()]);
        assert_eq!(other, Err(OfferFault::OtherLink([192, 0, 2, 7].into())));
    }

    #[test]
    fn times_out_of_order_are_replaced() {
        assert_eq!(times(Some(10), Some(20), 30), (10, 20));
        assert_eq!(times(None, None, 3600), (1800, 3150));
        assert_eq!(times(Some(20), Some(10), 3600), (9, 10), "T1 comes before T2");
        assert_eq!(times(Some(10), Some(3600), 3600), (10, 3150), "T2 comes before the end");
        assert_eq!(times(Some(0), Some(0), 3600), (1800, 3150));
        for lifetime in [4, 5, 7, 8, 100, u32::MAX] {
            for t in [None, Some(0), Some(1), Some(2), Some(lifetime), Some(u32::MAX)] {
                let (t1, t2) = times(t, t, lifetime);
                assert!(0 < t1 && t1 < t2 && t2 < lifetime, "{t:?} of {lifetime}");
            }
        }
        let infinite = [51, 4, 255, 255, 255, 255];
        assert_eq!(Terms::of(&reply([192, 0, 2, 7], &infinite), &[]).unwrap().lifetime, None);
    }

    #[test]
    fn classless_routes_displace_the_others() {
        let old = [3, 8, 0, 0, 0, 0, 192, 0, 2, 1, 33, 8, 10, 1, 1, 1, 192, 0, 2, 2];
        let words = |terms: Terms| -> Vec<String> {
            let via = |r: &LeasedRoute| r.via.map_or("link".to_owned(), |via| via.to_string());
            terms.routes.iter().map(|r| format!("{} {}", r.to, via(r))).collect()
        };
        assert_eq!(words(granted(&old).unwrap()), ["10.1.1.1/32 192.0.2.2", "0.0.0.0/0 192.0.2.1"]);
        let new = [&old[..], &[121, 14, 24, 10, 9, 9, 192, 0, 2, 3, 16, 172, 16, 0, 0, 0, 0]].concat();
        let new = [&new[..new.len() - 1], &[0]].concat();
        let mut fixed = new.clone();
        fixed[21] = 15;
        assert_eq!(words(granted(&fixed).unwrap()), ["10.9.9.0/24 192.0.2.3", "172.16.0.0/16 link"]);
        let broken = [&old[..], &[121, 3, 24, 10, 9]].concat();
        assert_eq!(words(granted(&broken).unwrap()).len(), 2, "unreadable: the old ones hold");
        let local =
            [121, 24, 8, 127, 192, 0, 2, 1, 4, 224, 192, 0, 2, 1, 0, 0, 0, 0, 0, 8, 10, 224, 0, 0, 1, 0];
        assert_eq!(
            words(granted(&local[..26]).unwrap()),
            [""; 0],
            "no route to oneself, to groups, or by them"
        );
    }

    #[test]
    fn plausible_details_are_accepted() {
        let terms =
            granted(&[6, 8, 0, 0, 0, 0, 192, 0, 2, 53, 26, 2, 5, 220, 28, 4, 192, 0, 2, 255]).unwrap();
        assert_eq!((terms.name_servers.len(), terms.mtu), (1, Some(1500)));
        assert_eq!(terms.broadcast, Some([192, 0, 2, 255].into()));
        let terms = granted(&[6, 4, 224, 0, 0, 1, 26, 2, 0, 68, 28, 4, 1, 2, 3, 4, 12, 3, b'a', b'\n', b'b'])
            .unwrap();
        assert_eq!(
            (terms.name_servers.len(), terms.mtu, terms.broadcast, terms.host_name),
            (0, None, None, None)
        );
        let terms = granted(&[
            12, 2, b'n', b'1', 15, 5, b'a', b'.', b'e', b'x', 0, 43, 2, 1, 0, 119, 6, 1, b'b', 2, b'e', b'x',
            0,
        ]);
        let terms = terms.unwrap();
        assert_eq!(
            (terms.host_name.as_deref(), terms.vendor_specific.as_deref(), terms.search),
            (Some("n1"), Some("01:00"), vec!["b.ex".to_owned(), "a.ex".to_owned()])
        );
    }
}
