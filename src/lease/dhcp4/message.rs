//! A message: the fixed header of BOOTP (RFC 951) and options after a magic cookie (RFC 2131, section 2).

use std::net::Ipv4Addr;

use super::options::{self, MessageOptions};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Length of the header, the magic cookie included.
const HEADER: usize = 240;
/// The magic cookie before the options (RFC 2131, section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// `op` of a client's message and of a server's.
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// `htype` and `hlen` of Ethernet (RFC 1700).
const ETHERNET: u8 = 1;
const MAC_LENGTH: u8 = 6;
/// BOOTP relays drop shorter messages (RFC 1542, section 2.1).
const SHORTEST: usize = 300;
/// The bit of `flags` that requests broadcast answers (RFC 2131, section 4.1).
const BROADCAST: u16 = 0x8000;

/// The type of a message: option 53.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the RFC's
pub enum MessageKind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
}

impl MessageKind {
    pub(super) fn from_number(number: u8) -> Option<MessageKind> {
        use MessageKind::{Ack, Decline, Discover, Nak, Offer, Release, Request};
        [Discover, Offer, Request, Decline, Ack, Nak, Release].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A well-formed server's answer, whose terms are not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMessage {
    /// Offer, ACK or NAK.
    pub kind: MessageKind,
    /// The transaction id.
    pub xid: u32,
    /// The address that it is about (`yiaddr`); 0.0.0.0 in a NAK.
    pub address: Ipv4Addr,
    /// The relay that it came through (`giaddr`); 0.0.0.0 without one.
    pub relay: Ipv4Addr,
    /// The client's hardware address (`chaddr`).
    pub mac: Mac,
    /// The options, including those in `file` and `sname`.
    pub options: MessageOptions,
}

/// Why a packet is not a valid answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than the header.
    Short,
    /// Not a server's answer to an Ethernet client.
    Foreign,
    /// No magic cookie: plain BOOTP.
    NoCookie,
    /// An option extends beyond its field.
    Options,
    /// Without a type, or of a type that servers do not send.
    Type,
}

impl ServerMessage {
    /// Reads the UDP payload of a server's answer.
    ///
    /// # Errors
    /// It is not an answer, or its options are malformed.
    pub fn read(bytes: &[u8]) -> Result<ServerMessage, Malformed> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(Malformed::Short)?;
        if header[0] != REPLY || header[1] != ETHERNET || header[2] != MAC_LENGTH {
            return Err(Malformed::Foreign);
        }
        if header[236..] != COOKIE {
            return Err(Malformed::NoCookie);
        }
        let (server_name, file) = (&header[44..108], &header[108..236]);
        let options = MessageOptions::read(&bytes[HEADER..], file, server_name).ok_or(Malformed::Options)?;
        let kind = options.byte(options::MESSAGE_TYPE).and_then(MessageKind::from_number);
        let kind =
            kind.filter(|kind| matches!(kind, MessageKind::Offer | MessageKind::Ack | MessageKind::Nak));
        let four = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        Ok(ServerMessage {
            kind: kind.ok_or(Malformed::Type)?,
            xid: u32::from_be_bytes(four(4)),
            address: four(16).into(),
            relay: four(24).into(),
            mac: [header[28], header[29], header[30], header[31], header[32], header[33]],
            options,
        })
    }
}

/// A client's message.
#[derive(Clone, Debug)]
pub struct ClientMessage<'a> {
    /// What it asks.
    pub kind: MessageKind,
    /// The transaction id.
    pub xid: u32,
    /// Seconds since the client began to ask.
    pub seconds: u16,
    /// Request broadcast answers.
    pub broadcast: bool,
    /// The address that the client has and answers ARP for (`ciaddr`), else 0.0.0.0.
    pub address: Ipv4Addr,
    /// The client's hardware address.
    pub mac: Mac,
    /// Options in sending order; each at most 255 bytes long.
    pub options: Vec<(u8, &'a [u8])>,
}

impl ClientMessage<'_> {
    /// The UDP payload.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[0] = REQUEST;
        bytes[1] = ETHERNET;
        bytes[2] = MAC_LENGTH;
        bytes[4..8].copy_from_slice(&self.xid.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[10..12].copy_from_slice(&(if self.broadcast { BROADCAST } else { 0 }).to_be_bytes());
        bytes[12..16].copy_from_slice(&self.address.octets());
        bytes[28..34].copy_from_slice(&self.mac);
        bytes[236..].copy_from_slice(&COOKIE);
        write_options(&mut bytes, self.kind, &self.options);
        bytes
    }
}

/// Adds the options after the header, the type first.
fn write_options(bytes: &mut Vec<u8>, kind: MessageKind, values: &[(u8, &[u8])]) {
    bytes.extend([options::MESSAGE_TYPE, 1, kind as u8]);
    for (code, value) in values {
        let value = value.get(..255).unwrap_or(value);
        bytes.extend([*code, value.len() as u8]);
        bytes.extend(value);
    }
    bytes.push(options::END);
    bytes.resize(bytes.len().max(SHORTEST), 0);
}

/// A client's message as a server reads it.
#[derive(Debug)]
pub struct ClientQuery<'a> {
    header: &'a [u8; HEADER],
    /// What it asks.
    pub kind: MessageKind,
    /// The address that the client has (`ciaddr`), else 0.0.0.0.
    pub address: Ipv4Addr,
    /// The client's hardware address.
    pub mac: Mac,
    /// The options.
    pub options: MessageOptions,
}

impl ClientQuery<'_> {
    /// Reads the UDP payload of a client's message; `None` if it is none.
    pub fn read(bytes: &[u8]) -> Option<ClientQuery<'_>> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        if header[..3] != [REQUEST, ETHERNET, MAC_LENGTH] || header[236..] != COOKIE {
            return None;
        }
        let options = MessageOptions::read(&bytes[HEADER..], &[], &[])?;
        Some(ClientQuery {
            header,
            kind: MessageKind::from_number(options.byte(options::MESSAGE_TYPE)?)?,
            address: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
            mac: *header[28..].first_chunk()?,
            options,
        })
    }

    /// The UDP payload of an answer that gives this address.
    pub fn answer(&self, kind: MessageKind, address: Ipv4Addr, values: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        bytes[0] = REPLY;
        bytes[16..20].copy_from_slice(&address.octets());
        write_options(&mut bytes, kind, values);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..3].copy_from_slice(&[2, 1, 6]);
        bytes[236..].copy_from_slice(&COOKIE);
        bytes.extend(options);
        bytes
    }

    #[test]
    fn every_prefix_of_a_message_is_read_or_refused() {
        let whole = reply(&[53, 1, 2, 51, 4, 0, 0, 1, 0, 255]);
        for length in 0..whole.len() {
            let _ = ServerMessage::read(&whole[..length]);
        }
        assert_eq!(ServerMessage::read(&whole).unwrap().kind, MessageKind::Offer);
        assert_eq!(ServerMessage::read(&whole[..239]), Err(Malformed::Short));
        assert_eq!(ServerMessage::read(&whole[..241]), Err(Malformed::Options));
    }

    #[test]
    fn answers_to_other_clients_are_rejected() {
        for (at, byte, why) in [
            (0, 1, Malformed::Foreign),
            (1, 32, Malformed::Foreign),
            (2, 16, Malformed::Foreign),
            (238, 0, Malformed::NoCookie),
            (242, 3, Malformed::Type),
            (242, 0, Malformed::Type),
            (242, 200, Malformed::Type),
        ] {
            let mut bytes = reply(&[53, 1, 5, 255]);
            bytes[at] = byte;
            assert_eq!(ServerMessage::read(&bytes), Err(why), "byte {at}");
        }
        assert_eq!(ServerMessage::read(&reply(&[255])), Err(Malformed::Type));
    }

    #[test]
    fn a_query_has_the_length_that_relays_ask_for() {
        let query = ClientMessage {
            kind: MessageKind::Discover,
            xid: 0x0102_0304,
            seconds: 7,
            broadcast: true,
            address: Ipv4Addr::UNSPECIFIED,
            mac: [2, 0, 0, 0, 0, 9],
            options: vec![(12, b"node"), (60, &[7; 300])],
        };
        let bytes = query.write();
        assert_eq!(bytes[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 7, 0x80, 0]);
        assert_eq!(bytes[28..34], [2, 0, 0, 0, 0, 9]);
        assert_eq!(bytes[236..250], [99, 130, 83, 99, 53, 1, 1, 12, 4, b'n', b'o', b'd', b'e', 60]);
        assert_eq!((bytes[250], bytes.last()), (255, Some(&255)));
        let short = ClientMessage { options: Vec::new(), ..query };
        assert_eq!(short.write().len(), 300);
    }
}
