//! What a check is about, as a type: nothing parses a check's text.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// What a check is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The check's link itself; the whole machine if the check has no link.
    Whole,
    /// A member or port of the check's link, by its kernel name.
    Member(String),
    /// One of our addresses on the check's link.
    Address(IpAddr),
    /// A gateway on the check's link.
    Gateway(IpAddr),
    /// A name server.
    NameServer(IpAddr),
    /// A described route through the check's link.
    Route(IpNet),
    /// A target, by its index in the input, and as given.
    Target(usize, String),
}

impl Subject {
    /// Whether it is a link or the machine itself.
    pub fn is_whole(&self) -> bool {
        *self == Subject::Whole
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Subject::Address(ip) | Subject::Gateway(ip) | Subject::NameServer(ip) => Some(*ip),
            Subject::Whole | Subject::Member(_) | Subject::Route(_) | Subject::Target(..) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Whole => Ok(()),
            Subject::Member(text) | Subject::Target(_, text) => f.write_str(text),
            Subject::Route(net) => net.fmt(f),
            Subject::Address(ip) | Subject::Gateway(ip) | Subject::NameServer(ip) => ip.fmt(f),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
