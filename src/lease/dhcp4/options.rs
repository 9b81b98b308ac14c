//! Options of a message (RFC 2132), whose parts are concatenated (RFC 3396) before they are read.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::names;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $code:literal;)*) => {
        $($(#[$doc])* pub const $name: u8 = $code;)*
    };
}

codes! {
    /// Subnet mask.
    SUBNET_MASK 1;
    /// Routers, the preferred one first.
    ROUTERS 3;
    /// Name servers.
    NAME_SERVERS 6;
    /// Host name.
    HOST_NAME 12;
    /// Domain of the client.
    DOMAIN 15;
    /// MTU of the link.
    MTU 26;
    /// Broadcast address.
    BROADCAST 28;
    /// Routes by class: superseded by option 121.
    CLASSFUL_ROUTES 33;
    /// Time servers (NTP).
    TIME_SERVERS 42;
    /// Vendor-specific information.
    VENDOR_SPECIFIC 43;
    /// The requested address.
    REQUESTED_ADDRESS 50;
    /// Lifetime of the lease in seconds.
    LEASE_TIME 51;
    /// Whether `file` and `sname` contain options.
    OVERLOAD 52;
    /// The message type.
    MESSAGE_TYPE 53;
    /// The server identifier.
    SERVER 54;
    /// The parameter request list.
    PARAMETER_LIST 55;
    /// An error message for a person.
    MESSAGE 56;
    /// The maximum message size.
    LONGEST_MESSAGE 57;
    /// When to renew, in seconds (T1).
    T1 58;
    /// When to rebind with any server, in seconds (T2).
    T2 59;
    /// The vendor class.
    VENDOR_CLASS 60;
    /// The client identifier.
    CLIENT_ID 61;
    /// The user class (RFC 3004).
    USER_CLASS 77;
    /// How long a client that can do without IPv4 should do without it (RFC 8925).
    IPV6_ONLY 108;
    /// Domains to search (RFC 3397).
    SEARCH 119;
    /// Routes (RFC 3442).
    ROUTES 121;
    /// The end.
    END 255;
}

/// Padding.
const PAD: u8 = 0;
/// How many routes of a message are kept.
const MOST_ROUTES: usize = 256;
/// How many addresses of a list are kept.
const MOST_ADDRESSES: usize = 64;

/// The options of a message, the parts of each concatenated in the order of RFC 3396.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageOptions(BTreeMap<u8, Vec<u8>>);

impl MessageOptions {
    /// Reads the options field, and `file` and `sname` if option 52 says that they contain some. `None`: an option
    /// extends beyond its field.
    pub fn read(field: &[u8], file: &[u8], server_name: &[u8]) -> Option<MessageOptions> {
        let mut options = MessageOptions::default();
        options.add(field)?;
        // Only the field itself counts: elsewhere option 52 has no meaning (RFC 2131, section 4.1).
        let overload = options.byte(OVERLOAD).unwrap_or(0);
        options.0.remove(&OVERLOAD);
        if overload & 1 != 0 {
            options.add(file)?;
        }
        if overload & 2 != 0 {
            options.add(server_name)?;
        }
        Some(options)
    }

    fn add(&mut self, mut field: &[u8]) -> Option<()> {
        while let Some((code, rest)) = field.split_first() {
            field = match *code {
                PAD => rest,
                END => return Some(()),
                code => {
                    let (length, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                    self.0.entry(code).or_default().extend(value);
                    rest
                }
            };
        }
        // Servers omit the end if a message is full.
        Some(())
    }

    /// The value of an option.
    pub fn bytes(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    /// A number of one byte.
    pub fn byte(&self, code: u8) -> Option<u8> {
        <[u8; 1]>::try_from(self.bytes(code)?).ok().map(|[byte]| byte)
    }

    /// A number of two bytes.
    pub fn short(&self, code: u8) -> Option<u16> {
        self.bytes(code)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// A number of four bytes.
    pub fn long(&self, code: u8) -> Option<u32> {
        self.bytes(code)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// An address.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.long(code).map(Ipv4Addr::from)
    }

    /// Addresses; `None` if the length is wrong.
    pub fn addresses(&self, code: u8) -> Option<Vec<Ipv4Addr>> {
        let (addresses, rest) = self.bytes(code)?.as_chunks_of_four();
        rest.is_empty().then(|| addresses.into_iter().take(MOST_ADDRESSES).map(Ipv4Addr::from).collect())
    }

    /// A text without trailing zeroes, which some servers add.
    pub fn text(&self, code: u8) -> Option<&str> {
        let text = std::str::from_utf8(self.bytes(code)?).ok()?;
        Some(text.trim_end_matches('\0')).filter(|text| !text.is_empty())
    }

    /// One domain, or several with spaces between them, as many servers write option 15. Invalid names are left out.
    pub fn domains(&self) -> Vec<String> {
        let written = self.text(DOMAIN).unwrap_or_default().split(' ');
        written.filter_map(names::checked).take(names::MOST).collect()
    }

    /// Domains to search (RFC 3397); `None` if they are malformed.
    pub fn search(&self) -> Option<Vec<String>> {
        names::read(self.bytes(SEARCH)?)
    }

    /// Routes with their gateways (RFC 3442); 0.0.0.0 is no gateway: the subnet is on-link. `None` if they are
    /// malformed.
    pub fn routes(&self) -> Option<Vec<(Ipv4Net, Ipv4Addr)>> {
        let mut bytes = self.bytes(ROUTES)?;
        let mut routes = Vec::new();
        while let Some((width, rest)) = bytes.split_first() {
            // Only the significant bytes of the destination are sent.
            let (written, rest) = rest.split_at_checked(usize::from(width.div_ceil(8)))?;
            let mut destination = [0; 4];
            destination.get_mut(..written.len())?.copy_from_slice(written);
            let (gateway, rest) = rest.split_first_chunk::<4>()?;
            let net = Ipv4Net::new(destination.into(), *width).ok()?;
            routes.push((net.trunc(), Ipv4Addr::from(*gateway)));
            bytes = rest;
        }
        routes.truncate(MOST_ROUTES);
        Some(routes)
    }

    /// Routes to hosts and to networks by their class (RFC 2132, section 5.8); `None` if the length is wrong.
    pub fn classful_routes(&self) -> Option<Vec<(Ipv4Net, Ipv4Addr)>> {
        let addresses = self.addresses(CLASSFUL_ROUTES)?;
        let pairs = addresses.chunks_exact(2);
        pairs.remainder().is_empty().then_some(())?;
        // A default route is illegal here.
        let pairs = pairs.filter(|pair| !pair[0].is_unspecified());
        pairs.map(|pair| Some((of_class(pair[0])?, pair[1]))).collect()
    }
}

/// The network of a destination: by its class (RFC 791) if the rest is zeroes, else the host.
fn of_class(destination: Ipv4Addr) -> Option<Ipv4Net> {
    let net = Ipv4Net::new(destination, natural_length(destination)).ok()?;
    if net.trunc() == net { Some(net) } else { Ipv4Net::new(destination, 32).ok() }
}

/// The prefix length of an address by its class: used if a server sends no mask.
pub fn natural_length(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

trait Fours {
    fn as_chunks_of_four(&self) -> (Vec<[u8; 4]>, &[u8]);
}

impl Fours for [u8] {
    fn as_chunks_of_four(&self) -> (Vec<[u8; 4]>, &[u8]) {
        let chunks = self.chunks_exact(4);
        let rest = chunks.remainder();
        (chunks.filter_map(|chunk| chunk.try_into().ok()).collect(), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(field: &[u8]) -> MessageOptions {
        MessageOptions::read(field, &[], &[]).unwrap()
    }

    #[test]
    fn parts_are_joined_across_the_fields_in_their_order() {
        // RFC 3396, section 5: the field, then `file`, then `sname`.
        let field = [119, 2, 1, 2, 0, 52, 1, 3, 119, 1, 3, 255, 119, 1, 9];
        let read = MessageOptions::read(&field, &[119, 1, 4, 255], &[119, 1, 5]).unwrap();
        assert_eq!(read.bytes(SEARCH), Some(&[1, 2, 3, 4, 5][..]));
        let only_file =
            MessageOptions::read(&[52, 1, 1], &[6, 4, 1, 2, 3, 4, 52, 1, 2], &[6, 4, 9, 9, 9, 9]).unwrap();
        assert_eq!(only_file.addresses(NAME_SERVERS), Some(vec![[1, 2, 3, 4].into()]), "52 counts once");
        let none = MessageOptions::read(&[1, 4, 255, 0, 0, 0], &[6, 4, 1, 2, 3, 4], &[]).unwrap();
        assert_eq!(none.bytes(NAME_SERVERS), None, "a boot file's name is no option");
    }

    #[test]
    fn an_option_that_does_not_fit_spoils_the_message() {
        for field in [&[1][..], &[1, 4, 0, 0, 0], &[1, 255, 0]] {
            assert_eq!(MessageOptions::read(field, &[], &[]), None);
        }
        assert_eq!(MessageOptions::read(&[52, 1, 2], &[], &[1, 5, 0]), None);
        assert!(MessageOptions::read(&[0, 0, 0], &[], &[]).is_some());
    }

    #[test]
    fn a_value_of_another_length_is_none() {
        let read = options(&[
            51, 3, 0, 0, 1, 26, 1, 5, 53, 2, 1, 1, 3, 5, 1, 2, 3, 4, 5, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        assert_eq!((read.long(LEASE_TIME), read.short(MTU), read.byte(MESSAGE_TYPE)), (None, None, None));
        assert_eq!((read.addresses(ROUTERS), read.address(SUBNET_MASK)), (None, None));
    }

    fn nets(routes: Option<Vec<(Ipv4Net, Ipv4Addr)>>) -> Option<Vec<String>> {
        Some(routes?.into_iter().map(|(to, via)| format!("{to} {via}")).collect())
    }

    #[test]
    fn routes_are_read_as_rfc_3442_packs_them() {
        let read = options(&[
            121, 27, 0, 10, 0, 0, 1, 8, 10, 10, 0, 0, 2, 24, 10, 0, 0, 10, 0, 0, 3, 32, 10, 1, 2, 3, 10, 0, 0,
        ]);
        assert_eq!(nets(read.routes()), None, "cut in the last gateway");
        let read = options(&[121, 13, 0, 10, 0, 0, 1, 17, 10, 27, 200, 0, 0, 0, 0]);
        let expected = ["0.0.0.0/0 10.0.0.1", "10.27.128.0/17 0.0.0.0"].map(str::to_owned).to_vec();
        assert_eq!(nets(read.routes()), Some(expected), "bits behind the prefix are cleared");
        assert_eq!(nets(options(&[121, 9, 33, 1, 1, 1, 1, 10, 0, 0, 1]).routes()), None);
        assert_eq!(nets(options(&[121, 10, 40, 1, 1, 1, 1, 1, 10, 0, 0, 1]).routes()), None);
    }

    #[test]
    fn routes_by_class() {
        let read =
            options(&[33, 24, 10, 0, 0, 0, 1, 1, 1, 1, 172, 16, 5, 0, 1, 1, 1, 2, 0, 0, 0, 0, 1, 1, 1, 3]);
        let expected = ["10.0.0.0/8 1.1.1.1", "172.16.5.0/32 1.1.1.2"].map(str::to_owned).to_vec();
        assert_eq!(nets(read.classful_routes()), Some(expected));
        assert_eq!(nets(options(&[33, 4, 10, 0, 0, 0]).classful_routes()), None);
    }

    #[test]
    fn domains_that_are_no_names_are_left_out() {
        let mut field = vec![15, 0];
        field.extend(b"a.example b\x1b[31m.example 'x' c.example\0\0");
        field[1] = (field.len() - 2) as u8;
        assert_eq!(options(&field).domains(), ["a.example", "c.example"]);
    }
}
