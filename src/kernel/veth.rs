//! A veth with its ends in two network namespaces, for a stand-in of a NIC and its cable. Entry: [`add`].

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use super::newlink;
use super::session::{Failure, Session};
use super::trouble::Trouble;
use super::write;
use crate::model::{Kind, MacAddr};
use crate::plan::NewLink;

/// Creates a veth in the session's namespace, down, and its other end in `namespace`; returns its index.
///
/// # Errors
/// The kernel refuses, or does not answer.
pub async fn add(
    session: &mut Session,
    name: &str,
    mac: Option<MacAddr>,
    mtu: u32,
    (peer, namespace): (&str, BorrowedFd<'_>),
) -> Result<u32, Trouble> {
    let (name, settings) = (name.to_owned(), BTreeMap::new());
    let new = NewLink { name, kind: Kind::Veth, parent: None, peer: None, mac, mtu: Some(mtu), settings };
    session.request(&write::add_veth(&new, peer, namespace)?).await?;
    let reply = session.request(&newlink::by_name(&new.name)).await?.reply;
    let found = reply.as_deref().and_then(newlink::found);
    found.map(|(index, _)| index).ok_or(Trouble::Unanswered(Failure::Lost))
}
