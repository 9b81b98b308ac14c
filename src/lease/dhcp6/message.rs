//! Messages (RFC 9915, section 8) and their options, bounded and checked.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::super::dhcp4::names;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $code:literal;)*) => {
        $($(#[$doc])* const $name: u16 = $code;)*
    };
}

codes! {
    /// The client identifier.
    CLIENT_ID 1;
    /// The server identifier.
    SERVER_ID 2;
    /// An association of non-temporary addresses (IA_NA).
    IA_NA 3;
    /// An address in an association.
    IA_ADDRESS 5;
    /// The option request.
    OPTION_REQUEST 6;
    /// The server's preference.
    PREFERENCE 7;
    /// The elapsed time, in hundredths of a second.
    ELAPSED_TIME 8;
    /// The status code.
    STATUS 13;
    /// Two messages instead of four (rapid commit).
    RAPID_COMMIT 14;
    /// Name servers (RFC 3646).
    NAME_SERVERS 23;
    /// Domains to search (RFC 3646).
    SEARCH 24;
    /// An association of prefixes, and a prefix in it.
    IA_PD 25;
    /// See `IA_PD`.
    IA_PREFIX 26;
    /// Time servers (RFC 4075).
    SNTP_SERVERS 31;
    /// When to ask again for what comes without addresses, in seconds.
    REFRESH_TIME 32;
    /// The client's name (RFC 4704).
    NAME 39;
    /// Time servers (RFC 5908).
    NTP 56;
    /// The longest delay between two SOLICIT messages, in seconds.
    SOL_MAX_RT 82;
    /// The same of those that ask for what comes without addresses.
    INF_MAX_RT 83;
}

/// The requested options.
const REQUESTED: [u16; 5] = [NAME_SERVERS, SEARCH, SNTP_SERVERS, NTP, SOL_MAX_RT];
/// The same without addresses (RFC 9915, section 21.7).
const REQUESTED_ALONE: [u16; 6] = [NAME_SERVERS, SEARCH, SNTP_SERVERS, NTP, REFRESH_TIME, INF_MAX_RT];
/// The sub-option of [`NTP`] that is an address.
const NTP_ADDRESS: u16 = 1;
/// How many addresses of an association, and of a list, are kept.
const MOST_ADDRESSES: usize = 16;
/// The longest DUID (RFC 9915, section 11.1), its type included.
const LONGEST_DUID: usize = 130;

/// The type of a client's message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the RFC's
pub enum QueryKind {
    Solicit = 1,
    Request = 3,
    Confirm = 4,
    Renew = 5,
    Rebind = 6,
    Release = 8,
    Decline = 9,
    InformationRequest = 11,
}

/// The numbers of a server's messages.
const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;

/// The type of a server's message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// An offer (ADVERTISE).
    Advertise,
    /// An answer (REPLY).
    Reply,
}

/// Status codes that the client distinguishes (RFC 9915, section 21.13).
pub mod status {
    /// All is well.
    pub const SUCCESS: u16 = 0;
    /// The server has no address left.
    pub const NO_ADDRESSES: u16 = 2;
    /// The server does not know the lease.
    pub const NO_BINDING: u16 = 3;
    /// The addresses do not belong to the link.
    pub const NOT_ON_LINK: u16 = 4;
}

/// A granted address: lifetimes are in seconds, `u32::MAX` is infinite.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The address.
    pub address: Ipv6Addr,
    /// Preferred lifetime.
    pub preferred: u32,
    /// Valid lifetime; 0 withdraws it.
    pub valid: u32,
}

/// The requested association.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Association {
    /// When to renew, in seconds; 0 leaves it to the client.
    pub t1: u32,
    /// When to rebind with any server.
    pub t2: u32,
    /// Its status.
    pub status: u16,
    /// Its addresses.
    pub addresses: Vec<Granted>,
}

/// A well-formed server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAnswer {
    /// Its type.
    pub kind: AnswerKind,
    /// The transaction id.
    pub id: u32,
    /// The client identifier.
    pub client: Vec<u8>,
    /// The server identifier.
    pub server: Vec<u8>,
    /// The server's preference.
    pub preference: u8,
    /// It ends an exchange of two messages (rapid commit).
    pub rapid: bool,
    /// The overall status.
    pub status: u16,
    /// The association.
    pub association: Option<Association>,
    /// Name servers.
    pub name_servers: Vec<Ipv6Addr>,
    /// Domains to search.
    pub search: Vec<String>,
    /// Time servers.
    pub time_servers: Vec<Ipv6Addr>,
    /// The longest delay between two SOLICIT messages, in seconds.
    pub longest_delay: Option<u32>,
    /// The same of those that ask for what comes without addresses.
    pub longest_inform: Option<u32>,
    /// When to ask for that again, in seconds; `u32::MAX` is never.
    pub refresh: Option<u32>,
    /// Prefixes that are delegated: nobody has asked for them.
    pub delegated: Vec<Ipv6Net>,
}

/// The options one after the other; the last item is `None` if one does not fit.
fn options(mut field: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    std::iter::from_fn(move || {
        if field.is_empty() {
            return None;
        }
        let mut take = || {
            let (head, rest) = field.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (value, rest) = rest.split_at_checked(length)?;
            field = rest;
            Some((u16::from_be_bytes([head[0], head[1]]), value))
        };
        let option = take();
        if option.is_none() {
            field = &[];
        }
        Some(option)
    })
}

fn long(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}

/// A longest delay, within what the RFC allows (section 21.24).
fn longest(value: &[u8]) -> Option<u32> {
    long(value).filter(|delay| (60..=86_400).contains(delay))
}

fn code(value: &[u8]) -> Option<u16> {
    value.first_chunk().copied().map(u16::from_be_bytes)
}

fn addresses(value: &[u8]) -> impl Iterator<Item = Ipv6Addr> {
    let whole = if value.len() % 16 == 0 { value } else { &[] };
    let chunks = whole.chunks_exact(16).filter_map(|chunk| <[u8; 16]>::try_from(chunk).ok());
    chunks.map(Ipv6Addr::from).filter(is_host).take(MOST_ADDRESSES)
}

/// Whether a host can have the address: not multicast, loopback, unspecified or an IPv4 address.
fn is_host(address: &Ipv6Addr) -> bool {
    !address.is_multicast()
        && !address.is_loopback()
        && !address.is_unspecified()
        && address.to_ipv4().is_none()
}

impl ServerAnswer {
    /// Reads the UDP payload of a server's message for the association with this number; `None` for other packets, or
    /// if an option does not fit. A server's RECONFIGURE is ignored: there is no key that would authenticate it.
    pub fn read(bytes: &[u8], iaid: [u8; 4]) -> Option<ServerAnswer> {
        let (head, field) = bytes.split_first_chunk::<4>()?;
        let kind = match head[0] {
            ADVERTISE => AnswerKind::Advertise,
            REPLY => AnswerKind::Reply,
            _ => return None,
        };
        let mut answer = ServerAnswer {
            kind,
            id: u32::from_be_bytes([0, head[1], head[2], head[3]]),
            client: Vec::new(),
            server: Vec::new(),
            preference: 0,
            rapid: false,
            status: status::SUCCESS,
            association: None,
            name_servers: Vec::new(),
            search: Vec::new(),
            time_servers: Vec::new(),
            longest_delay: None,
            longest_inform: None,
            refresh: None,
            delegated: Vec::new(),
        };
        let mut seen = 0_u128;
        for option in options(field) {
            let (code, value) = option?;
            // Of an option that may occur once the first one counts (RFC 9915, section 21); of those with greater numbers
            // none is known.
            let bit = 1_u128.checked_shl(code.into()).unwrap_or(0);
            if seen & bit == 0 || [IA_NA, IA_PD, NTP].contains(&code) {
                answer.take(code, value, iaid)?;
            }
            seen |= bit;
        }
        let is_duid = |duid: &Vec<u8>| (3..=LONGEST_DUID).contains(&duid.len());
        (is_duid(&answer.client) && is_duid(&answer.server)).then_some(answer)
    }

    fn take(&mut self, option: u16, value: &[u8], iaid: [u8; 4]) -> Option<()> {
        match option {
            CLIENT_ID => self.client = value.to_vec(),
            SERVER_ID => self.server = value.to_vec(),
            PREFERENCE => self.preference = *value.first()?,
            STATUS => self.status = code(value)?,
            RAPID_COMMIT => self.rapid = true,
            IA_NA if self.association.is_none() && value.starts_with(&iaid) => {
                self.association = association(value)?;
            }
            NAME_SERVERS => self.name_servers.extend(addresses(value)),
            SEARCH => self.search = names::read(value).unwrap_or_default(),
            SNTP_SERVERS => self.add_time_servers(value),
            NTP => {
                for (kind, value) in options(value).map_while(|option| option) {
                    if kind == NTP_ADDRESS {
                        self.add_time_servers(value);
                    }
                }
            }
            SOL_MAX_RT => self.longest_delay = longest(value),
            INF_MAX_RT => self.longest_inform = longest(value),
            REFRESH_TIME => self.refresh = Some(long(value)?),
            IA_PD => prefixes(value, &mut self.delegated)?,
            _ => {}
        }
        Some(())
    }

    fn add_time_servers(&mut self, value: &[u8]) {
        for server in addresses(value) {
            if self.time_servers.len() < MOST_ADDRESSES && !self.time_servers.contains(&server) {
                self.time_servers.push(server);
            }
        }
    }
}

/// Without addresses whose preferred lifetime is longer than the valid one; `Some(None)` if T1 is after T2, which makes the
/// whole association as good as absent (RFC 9915, sections 21.4 and 21.6). `None` if an option does not fit.
fn association(value: &[u8]) -> Option<Option<Association>> {
    let (head, field) = value.split_first_chunk::<12>()?;
    let (t1, t2) = (long(&head[4..])?, long(&head[8..])?);
    let mut association = Association { t1, t2, ..Association::default() };
    for option in options(field) {
        match option? {
            (STATUS, value) => association.status = code(value)?,
            (IA_ADDRESS, value) => {
                let (head, inner) = value.split_first_chunk::<24>()?;
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(&head[..16]).ok()?);
                let granted = Granted { address, preferred: long(&head[16..])?, valid: long(&head[20..])? };
                let mut good = granted.preferred <= granted.valid
                    && is_host(&address)
                    && !address.is_unicast_link_local()
                    && association.addresses.len() < MOST_ADDRESSES;
                for option in options(inner) {
                    let (option, value) = option?;
                    good &= option != STATUS || code(value)? == status::SUCCESS;
                }
                if good && !association.addresses.iter().any(|other| other.address == address) {
                    association.addresses.push(granted);
                }
            }
            _ => {}
        }
    }
    Some(Some(association).filter(|_| t1 <= t2 || t2 == 0))
}

/// Adds the prefixes of an association (RFC 9915, section 21.21) that are valid at all.
fn prefixes(value: &[u8], delegated: &mut Vec<Ipv6Net>) -> Option<()> {
    let (_, field) = value.split_first_chunk::<12>()?;
    for option in options(field) {
        let (IA_PREFIX, value) = option? else { continue };
        let (head, _) = value.split_first_chunk::<25>()?;
        let address = Ipv6Addr::from(<[u8; 16]>::try_from(&head[9..]).ok()?);
        let net = Ipv6Net::new(address, head[8]).ok()?.trunc();
        if long(&head[4..])? > 0 && delegated.len() < MOST_ADDRESSES && !delegated.contains(&net) {
            delegated.push(net);
        }
    }
    Some(())
}

/// Adds an option.
fn add(bytes: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(usize::from(u16::MAX))).unwrap_or_default();
    bytes.extend(code.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
}

/// A client's message as a server reads it.
#[derive(Debug)]
pub struct ServerQuestion<'a> {
    /// What it asks.
    pub kind: QueryKind,
    id: &'a [u8],
    /// Who asks.
    pub client: &'a [u8],
    /// The server identifier, if one server is meant.
    pub server: Option<&'a [u8]>,
    iaid: Option<&'a [u8]>,
    /// The server may grant at once.
    pub rapid: bool,
}

impl ServerQuestion<'_> {
    /// Reads the UDP payload of a client's message; `None` if it is none.
    pub fn read(bytes: &[u8]) -> Option<ServerQuestion<'_>> {
        use QueryKind::{Confirm, Decline, InformationRequest, Rebind, Release, Renew, Request, Solicit};
        let (kind, rest) = bytes.split_first()?;
        let (id, field) = rest.split_at_checked(3)?;
        let kinds = [Solicit, Request, Confirm, Renew, Rebind, Release, Decline, InformationRequest];
        let kind = kinds.into_iter().find(|known| *known as u8 == *kind)?;
        let mut question = ServerQuestion { kind, id, client: &[], server: None, iaid: None, rapid: false };
        for option in options(field) {
            match option? {
                (CLIENT_ID, value) => question.client = value,
                (SERVER_ID, value) => question.server = Some(value),
                (IA_NA, value) => question.iaid = value.get(..4),
                (RAPID_COMMIT, _) => question.rapid = true,
                _ => {}
            }
        }
        Some(question)
    }

    /// The UDP payload of an answer: if an association is asked for, with this address or status.
    pub fn answer(
        &self,
        kind: AnswerKind,
        server: &[u8],
        granted: Result<Granted, u16>,
        name_servers: &[Ipv6Addr],
    ) -> Vec<u8> {
        let kind = if kind == AnswerKind::Advertise { ADVERTISE } else { REPLY };
        let mut bytes = [&[kind][..], self.id].concat();
        add(&mut bytes, CLIENT_ID, self.client);
        add(&mut bytes, SERVER_ID, server);
        if let Some(iaid) = self.iaid {
            // When to renew is left to the client.
            let mut association = [iaid, &[0; 8]].concat();
            match granted {
                Ok(Granted { address, preferred, valid }) => {
                    let times = [preferred.to_be_bytes(), valid.to_be_bytes()].concat();
                    add(&mut association, IA_ADDRESS, &[&address.octets()[..], &times].concat());
                }
                Err(status) => add(&mut association, STATUS, &status.to_be_bytes()),
            }
            add(&mut bytes, IA_NA, &association);
        }
        if self.rapid && kind == REPLY {
            add(&mut bytes, RAPID_COMMIT, &[]);
        }
        if !name_servers.is_empty() {
            let all: Vec<u8> = name_servers.iter().flat_map(Ipv6Addr::octets).collect();
            add(&mut bytes, NAME_SERVERS, &all);
        }
        bytes
    }
}

/// A client's message.
#[derive(Clone, Debug)]
pub struct ClientQuestion<'a> {
    /// What it asks.
    pub kind: QueryKind,
    /// The transaction id; 24 bits.
    pub id: u32,
    /// Who asks.
    pub client: &'a [u8],
    /// The server identifier, if one server is meant.
    pub server: Option<&'a [u8]>,
    /// Hundredths of a second since the exchange began.
    pub elapsed: u16,
    /// The association.
    pub iaid: [u8; 4],
    /// The addresses that it is about.
    pub addresses: &'a [Ipv6Addr],
    /// The client's name.
    pub name: Option<&'a str>,
    /// The server may grant at once.
    pub rapid: bool,
}

impl ClientQuestion<'_> {
    /// The UDP payload.
    pub fn write(&self) -> Vec<u8> {
        let id = self.id.to_be_bytes();
        let mut bytes = vec![self.kind as u8, id[1], id[2], id[3]];
        let mut option = |code: u16, value: &[u8]| add(&mut bytes, code, value);
        option(CLIENT_ID, self.client);
        if let Some(server) = self.server {
            option(SERVER_ID, server);
        }
        option(ELAPSED_TIME, &self.elapsed.to_be_bytes());
        let alone = self.kind == QueryKind::InformationRequest;
        if !alone {
            // Times and lifetimes are the server's to say.
            let mut association = [&self.iaid[..], &[0; 8]].concat();
            for address in self.addresses {
                add(&mut association, IA_ADDRESS, &[&address.octets()[..], &[0; 8]].concat());
            }
            option(IA_NA, &association);
        }
        if self.rapid {
            option(RAPID_COMMIT, &[]);
        }
        let asks = !matches!(self.kind, QueryKind::Release | QueryKind::Decline | QueryKind::Confirm);
        if asks {
            let codes: &[u16] = if alone { &REQUESTED_ALONE } else { &REQUESTED };
            let requested: Vec<u8> = codes.iter().flat_map(|code| code.to_be_bytes()).collect();
            option(OPTION_REQUEST, &requested);
        }
        if let Some(name) = self.name.filter(|_| asks && !alone) {
            // The server may enter it into its zone: no flag is set. Without the end of a whole name.
            let mut wire = vec![0];
            for label in name.split('.').filter(|label| (1..64).contains(&label.len())) {
                wire.push(label.len() as u8);
                wire.extend(label.bytes());
            }
            option(NAME, &wire);
        }
        bytes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const CLIENT: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 7];
    pub(in super::super) const SERVER: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
    pub(in super::super) const IAID: [u8; 4] = [1, 2, 3, 4];

    pub(in super::super) fn option(code: u16, value: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    pub(in super::super) fn address(address: &str, preferred: u32, valid: u32, inner: &[u8]) -> Vec<u8> {
        let address: Ipv6Addr = address.parse().unwrap();
        let times = [preferred.to_be_bytes(), valid.to_be_bytes()].concat();
        option(IA_ADDRESS, &[&address.octets()[..], &times, inner].concat())
    }

    pub(in super::super) fn ia(t1: u32, t2: u32, inner: &[u8]) -> Vec<u8> {
        option(IA_NA, &[&IAID[..], &t1.to_be_bytes(), &t2.to_be_bytes(), inner].concat())
    }

    pub(in super::super) fn status_of(code: u16) -> Vec<u8> {
        option(STATUS, &code.to_be_bytes())
    }

    /// A server's message with both identifiers and these options.
    pub(in super::super) fn answer(kind: u8, id: u32, more: &[u8]) -> Vec<u8> {
        answer_of(SERVER, kind, id, more)
    }

    /// The same of this server.
    pub(in super::super) fn answer_of(server: &[u8], kind: u8, id: u32, more: &[u8]) -> Vec<u8> {
        let id = id.to_be_bytes();
        let head = [kind, id[1], id[2], id[3]];
        [&head, &option(CLIENT_ID, CLIENT)[..], &option(SERVER_ID, server), more].concat()
    }

    fn read(more: &[u8]) -> Option<ServerAnswer> {
        ServerAnswer::read(&answer(7, 0x01_0203, more), IAID)
    }

    #[test]
    fn grants_are_read() {
        let inner =
            [address("2001:db8::7", 60, 90, &[]), address("2001:db8::8", 9, 9, &status_of(0))].concat();
        let more = [
            ia(10, 20, &inner),
            option(PREFERENCE, &[255]),
            option(
                NAME_SERVERS,
                &[&"2001:db8::53".parse::<Ipv6Addr>().unwrap().octets()[..], &[0xff; 16]].concat(),
            ),
            option(SEARCH, b"\x01b\x02ex\0"),
            option(NTP, &option(1, &"2001:db8::123".parse::<Ipv6Addr>().unwrap().octets())),
            option(SOL_MAX_RT, &[0, 0, 0, 60]),
        ];
        let read = read(&more.concat()).unwrap();
        assert_eq!((read.id, read.preference, read.longest_delay), (0x01_0203, 255, Some(60)));
        let association = read.association.unwrap();
        assert_eq!((association.t1, association.t2, association.addresses.len()), (10, 20, 2));
        assert_eq!(read.name_servers.len(), 1, "a group is no server");
        assert_eq!((read.search, read.time_servers.len()), (vec!["b.ex".to_owned()], 1));
    }

    #[test]
    fn inconsistent_associations_are_ignored() {
        let addresses = |inner: &[u8]| read(&ia(0, 0, inner)).unwrap().association.unwrap().addresses.len();
        assert_eq!(addresses(&address("2001:db8::7", 91, 90, &[])), 0, "preferred longer than valid");
        for no_host in ["ff02::1", "::", "::1", "fe80::7", "::ffff:192.0.2.1"] {
            assert_eq!(addresses(&address(no_host, 1, 1, &[])), 0, "{no_host}");
        }
        assert_eq!(addresses(&address("2001:db8::7", 1, 1, &status_of(status::NOT_ON_LINK))), 0);
        let twice = address("2001:db8::7", 1, 1, &[]).repeat(2);
        assert_eq!(addresses(&twice), 1);
        let many: Vec<u8> =
            (1..100_u16).flat_map(|n| address(&format!("2001:db8::{n:x}"), 1, 1, &[])).collect();
        assert_eq!(addresses(&many), MOST_ADDRESSES);
        let late = read(&ia(20, 10, &address("2001:db8::7", 1, 1, &[]))).unwrap();
        assert_eq!(late.association, None, "T1 comes before T2");
    }

    #[test]
    fn messages_of_other_types_or_shapes_are_rejected() {
        let whole = answer(7, 1, &ia(10, 20, &address("2001:db8::7", 60, 90, &status_of(0))));
        assert!(ServerAnswer::read(&whole, IAID).is_some());
        for length in 0..whole.len() {
            // A message may end between two options: then the association is missing.
            let cut = ServerAnswer::read(&whole[..length], IAID);
            assert!(cut.is_none_or(|answer| answer.association.is_none()), "{length}");
        }
        for kind in (0..=255).filter(|kind| ![2, 7].contains(kind)) {
            assert_eq!(
                ServerAnswer::read(&answer(kind, 1, &[]), IAID),
                None,
                "{kind}: a client takes no such message"
            );
        }
        let other = ServerAnswer::read(&whole, [9; 4]).unwrap();
        assert_eq!(other.association, None, "another association");
        let nobody = [&[7, 0, 0, 1], &option(CLIENT_ID, CLIENT)[..]].concat();
        assert_eq!(ServerAnswer::read(&nobody, IAID), None, "it says of no server");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0_u8.., 0..400)) {
            let _ = ServerAnswer::read(&bytes, IAID);
            let _ = ServerAnswer::read(&answer(7, 1, &bytes), IAID);
            let _ = ServerAnswer::read(&answer(2, 1, &ia(1, 2, &bytes)), IAID);
        }
    }
}
