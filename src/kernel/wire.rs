//! Netlink framing: requests as bytes, replies as slices.
//!
//! Knows headers, acks and extended acks (linux/netlink.h), and nothing of links or routes: the content of a reply is
//! decoded by its reader, so an undecodable reply never stalls a session. [`Request`] is sent, [`frames`] splits what
//! is received.

use std::fmt;

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_REQUEST, NLMSG_ALIGNTO, NetlinkBuffer,
};
use nix::errno::Errno;

use super::attributes::{Attributes, field, number, text};

/// Length of `struct nlmsghdr` in bytes.
pub(crate) const HEADER: usize = 16;

/// How much of a receive buffer an ack or a refusal with its text may take, in bytes. The kernel's bookkeeping counts
/// (`skb->truesize`): about 800 for a bare ack, 1280 with text.
const ACK_ROOM: usize = 1536;

/// The same for a link's reply and its ack.
const REPLY_ROOM: usize = 10 << 10;

/// Attributes of an extended ack: `enum nlmsgerr_attrs`.
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const NLMSGERR_ATTR_MISS_TYPE: u16 = 5;

/// The kernel's internal error number for "operation not supported", unknown to libc (linux/errno.h).
const ENOTSUPP: i32 = 524;

/// One netlink request, complete except for its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
    quiet: bool,
    answer_room: usize,
}

impl Request {
    /// A request of message type `kind` with the flags of linux/netlink.h; `NLM_F_REQUEST` is added.
    pub fn new(kind: u16, flags: u16, payload: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER + payload.len()];
        bytes[HEADER..].copy_from_slice(payload);
        Self::with_header(bytes, kind, flags)
    }

    /// A request of message type `kind` from a body of netlink-packet-route: a link, address, route or rule. Its enum
    /// of all messages would pull in 100 KiB of code for those that are never sent.
    pub fn from_message(kind: u16, flags: u16, message: &impl Emitable) -> Self {
        let mut bytes = vec![0; HEADER + message.buffer_len()];
        message.emit(&mut bytes[HEADER..]);
        Self::with_header(bytes, kind, flags)
    }

    fn with_header(mut bytes: Vec<u8>, kind: u16, flags: u16) -> Self {
        let length = bytes.len() as u32;
        let mut header = NetlinkBuffer::new(&mut bytes);
        header.set_length(length);
        header.set_message_type(kind);
        header.set_flags(flags | NLM_F_REQUEST);
        Self { bytes, quiet: false, answer_room: ACK_ROOM }
    }

    /// Success needs no answer of its own: it follows from the answer to a later message in the same datagram, since
    /// the kernel processes them in order. A refusal is always answered. Warnings on success are lost: addresses,
    /// routes and rules, of which there are thousands, have none.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The request has one reply of some kilobytes, like `RTM_GETLINK` by name.
    #[must_use]
    pub fn question(mut self) -> Self {
        self.answer_room = REPLY_ROOM;
        self
    }

    /// How much of the receive buffer the answer may take, in bytes.
    pub(crate) fn answer_room(&self) -> usize {
        self.answer_room
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Length in a datagram, padding included, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len().next_multiple_of(usize::from(NLMSG_ALIGNTO))
    }

    /// The attributes and fixed header behind the netlink header.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    /// Appends the request to a datagram under `sequence`, with `extra` flags.
    pub(crate) fn write(&self, datagram: &mut Vec<u8>, sequence: u32, extra: u16) {
        let start = datagram.len();
        datagram.extend_from_slice(&self.bytes);
        datagram.resize(start + self.len(), 0);
        let mut header = NetlinkBuffer::new(&mut datagram[start..]);
        let flags = header.flags();
        header.set_flags(flags | extra);
        header.set_sequence_number(sequence);
    }

    /// A message that every netlink family acknowledges and otherwise ignores.
    pub(crate) fn fence() -> Self {
        Self::new(netlink_packet_core::NLMSG_NOOP, NLM_F_ACK, &[])
    }
}

/// One message of a received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetlinkMessage<'a> {
    /// Message type (`RTM_…`, `NLMSG_…`).
    pub kind: u16,
    /// `NLM_F_…`.
    pub flags: u16,
    /// Number of the request this answers; 0 for a notification.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The messages of a datagram, up to the first that does not fit in it.
pub fn frames(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkMessage<'_>> {
    std::iter::from_fn(move || {
        let header = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = header.length() as usize;
        let frame = NetlinkMessage {
            kind: header.message_type(),
            flags: header.flags(),
            sequence: header.sequence_number(),
            payload: datagram.get(HEADER..length)?,
        };
        let next = length.next_multiple_of(usize::from(NLMSG_ALIGNTO));
        datagram = datagram.get(next..).unwrap_or_default();
        Some(frame)
    })
}

/// The kernel accepted a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The kernel's warning, if any.
    pub warning: Option<String>,
    /// Payload of the reply, if the request has one.
    pub reply: Option<Vec<u8>>,
}

/// The kernel refused a request: its error number, and its text if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Error number, positive.
    pub code: i32,
    /// The extended ack's text.
    pub text: Option<String>,
    /// Where in the request's payload the refused attribute starts, in bytes.
    pub offset: Option<usize>,
    /// Type of an attribute that was missing.
    pub missing: Option<u16>,
}

impl Refusal {
    /// A refusal without text from the kernel.
    pub fn bare(errno: Errno) -> Self {
        Self { code: errno as i32, text: None, offset: None, missing: None }
    }

    /// The error number; `ENOTSUPP`, which is internal to the kernel, counts as `EOPNOTSUPP`.
    pub fn errno(&self) -> Errno {
        if self.code == ENOTSUPP { Errno::EOPNOTSUPP } else { Errno::from_raw(self.code) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = self.errno();
        // The kernel's text sometimes ends with a line break or a full stop.
        match self.text.as_deref().map(|text| text.trim_end_matches(['\n', '.', ' '])) {
            Some(text) if !text.is_empty() => f.write_str(text)?,
            // nix's text mentions a transport endpoint here.
            _ if errno == Errno::EOPNOTSUPP => f.write_str("Operation not supported")?,
            _ => f.write_str(errno.desc())?,
        }
        match errno {
            Errno::UnknownErrno => write!(f, " (error {})", self.code),
            // The variants of Errno are named as errno(3) names them.
            known => write!(f, " ({known:?})"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Reads the payload of an `NLMSG_ERROR`: an ack, or a refusal.
pub(crate) fn ack(frame: &NetlinkMessage<'_>) -> Option<Result<Ack, Refusal>> {
    let code = code(frame.payload)?;
    // The number is followed by the request's header and, unless capped, the rest of the request.
    let echoed = frame.payload.get(4..)?;
    let skip = if code != 0 && frame.flags & NLM_F_CAPPED == 0 {
        NetlinkBuffer::new_checked(echoed).ok()?.length() as usize
    } else {
        HEADER
    };
    let skip = skip.next_multiple_of(usize::from(NLMSG_ALIGNTO));
    Some(outcome(code, frame.flags, echoed.get(skip..).unwrap_or_default()))
}

/// Reads the payload of an `NLMSG_DONE`, which ends a dump. Old kernels leave it empty.
pub(crate) fn done(frame: &NetlinkMessage<'_>) -> Result<Ack, Refusal> {
    let code = code(frame.payload).unwrap_or(0);
    outcome(code, frame.flags, frame.payload.get(4..).unwrap_or_default())
}

fn code(payload: &[u8]) -> Option<i32> {
    field(payload, 0, i32::from_ne_bytes)
}

fn outcome(code: i32, flags: u16, attributes: &[u8]) -> Result<Ack, Refusal> {
    let mut refusal = Refusal { code: code.saturating_neg(), text: None, offset: None, missing: None };
    let attributes = if flags & NLM_F_ACK_TLVS != 0 { attributes } else { &[] };
    for (kind, value) in Attributes::new(attributes).iter() {
        let number = number(value, u32::from_ne_bytes);
        match kind {
            NLMSGERR_ATTR_MSG => refusal.text = Some(text(value)),
            // Counted from the netlink header; our callers know only what follows it.
            NLMSGERR_ATTR_OFFS => refusal.offset = number.and_then(|n| (n as usize).checked_sub(HEADER)),
            NLMSGERR_ATTR_MISS_TYPE => refusal.missing = number.and_then(|n| u16::try_from(n).ok()),
            _ => {}
        }
    }
    if code == 0 { Ok(Ack { warning: refusal.text, reply: None }) } else { Err(refusal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_datagram_yields_its_complete_messages() {
        let mut datagram = Vec::new();
        Request::new(16, 0, &[1, 2, 3, 4, 5]).write(&mut datagram, 7, 0);
        Request::new(17, 0, &[9; 8]).write(&mut datagram, 8, NLM_F_ACK);
        let all: Vec<_> = frames(&datagram).map(|f| (f.kind, f.sequence, f.payload.len())).collect();
        assert_eq!(all, [(16, 7, 5), (17, 8, 8)]);
        for cut in 0..datagram.len() {
            assert!(frames(&datagram[..cut]).count() < 2, "cut at {cut}");
        }
    }

    #[test]
    fn a_refusal_reads_as_the_kernel_says_it() {
        let refusal = Refusal { text: Some("Device can not be enslaved while up.\n".into()), ..bare(16) };
        assert_eq!(refusal.to_string(), "Device can not be enslaved while up (EBUSY)");
        assert_eq!(bare(17).to_string(), "File exists (EEXIST)");
        assert_eq!(bare(524).errno(), Errno::EOPNOTSUPP);
        assert_eq!(bare(530).to_string(), "Unknown errno (error 530)");
    }

    fn bare(code: i32) -> Refusal {
        Refusal { code, text: None, offset: None, missing: None }
    }
}
