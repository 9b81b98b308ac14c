//! Generic netlink: families that are looked up by name. ethtool and WireGuard use it.

use nix::errno::Errno;

use super::attributes::{self, Attributes};
use super::session::{Failure, NetlinkFamily, Session};
use super::wire::{Ack, Refusal, Request};

/// linux/genetlink.h: the family that lists the others.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// Length of `struct genlmsghdr` in bytes.
const HEADER: usize = 4;

/// A session with one family.
#[derive(Debug)]
pub(super) struct Generic {
    session: Session,
    id: u16,
}

impl Generic {
    /// Opens a session with a family; `None` if the kernel does not have it.
    pub(super) async fn open(family: &str) -> Result<Option<Self>, Failure> {
        let mut session = Session::open(NetlinkFamily::Generic)?;
        let mut name = Vec::new();
        attributes::put(&mut name, CTRL_ATTR_FAMILY_NAME, &[family.as_bytes(), &[0]].concat());
        let request = Request::new(GENL_ID_CTRL, 0, &message(CTRL_CMD_GETFAMILY, &name)).question();
        match session.request(&request).await {
            Ok(ack) => {
                let id = answer(&ack).u16(CTRL_ATTR_FAMILY_ID);
                Ok(id.map(|id| Self { session, id }))
            }
            Err(Failure::Refused(refusal)) if refusal.errno() == Errno::ENOENT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The same, but its absence is an error.
    pub(super) async fn open_or_refuse(family: &str) -> Result<Self, Failure> {
        let refused = || Failure::Refused(Refusal::bare(Errno::EOPNOTSUPP));
        Self::open(family).await?.ok_or_else(refused)
    }

    /// Sends a command; the reply's attributes are [`answer`].
    pub(super) async fn command(&mut self, command: u8, attributes: &[u8]) -> Result<Ack, Failure> {
        self.session.request(&Request::new(self.id, 0, &message(command, attributes)).question()).await
    }

    /// The attributes of each message of a dump.
    pub(super) async fn list(&mut self, command: u8, attributes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let request = Request::new(self.id, 0, &message(command, attributes));
        let dump = self.session.dump(&request, |frame| frame.payload.get(HEADER..).map(<[u8]>::to_vec));
        Ok(dump.await?.items)
    }
}

/// The attributes of a command's reply.
pub(super) fn answer(ack: &Ack) -> Attributes<'_> {
    Attributes::new(ack.reply.as_deref().and_then(|reply| reply.get(HEADER..)).unwrap_or_default())
}

fn message(command: u8, attributes: &[u8]) -> Vec<u8> {
    // Command, version, two reserved bytes. All families used here have version 1.
    [&[command, 1, 0, 0], attributes].concat()
}
