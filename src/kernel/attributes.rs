//! Netlink attributes as encoded in a message: read one at a time, by number.
//!
//! The kernel's messages grow with every release. A reader here takes the attributes that it knows and skips
//! the rest, so that a new, missing or malformed attribute does not affect the others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLA_ALIGNTO, NLA_HEADER_SIZE, NLA_TYPE_MASK};

/// Must be set in the type of a nest if the kernel parses strictly.
pub(crate) use netlink_packet_core::NLA_F_NESTED as NESTED;

/// A run of attributes: what follows a message's fixed header, or the content of a nest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Each attribute with its type, up to the first malformed one.
    pub(crate) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let length = usize::from(number(rest.get(..2)?, u16::from_ne_bytes)?);
            let kind = number(rest.get(2..4)?, u16::from_ne_bytes)? & NLA_TYPE_MASK;
            let value = rest.get(NLA_HEADER_SIZE..length)?;
            rest = rest.get(length.next_multiple_of(NLA_ALIGNTO)..).unwrap_or_default();
            Some((kind, value))
        })
    }

    /// The first attribute of that type.
    pub(crate) fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.iter().find(|(k, _)| *k == kind).map(|(_, value)| value)
    }

    /// The attributes in a form in which each is found at once: a table asks for fifty of as many.
    pub(crate) fn indexed(self) -> Indexed<'a> {
        let mut places: Vec<Option<&[u8]>> = Vec::with_capacity(64);
        for (kind, value) in self.iter() {
            // Types are small numbers, whatever a message says.
            let place = usize::from(kind);
            if place >= places.len() && place < 256 {
                places.resize(place + 1, None);
            }
            if let Some(first @ None) = places.get_mut(place) {
                *first = Some(value);
            }
        }
        Indexed(places)
    }

    /// The attributes nested in that one; none if it is missing.
    pub(crate) fn nest(self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }

    pub(crate) fn u8(self, kind: u16) -> Option<u8> {
        number(self.get(kind)?, u8::from_ne_bytes)
    }

    pub(crate) fn u16(self, kind: u16) -> Option<u16> {
        number(self.get(kind)?, u16::from_ne_bytes)
    }

    pub(crate) fn u32(self, kind: u16) -> Option<u32> {
        number(self.get(kind)?, u32::from_ne_bytes)
    }

    /// A string, up to its terminating zero.
    pub(crate) fn text(self, kind: u16) -> Option<String> {
        self.get(kind).map(text)
    }

    pub(crate) fn ip(self, kind: u16) -> Option<IpAddr> {
        ip(self.get(kind)?)
    }

    pub(crate) fn ip6(self, kind: u16) -> Option<Ipv6Addr> {
        number(self.get(kind)?, Ipv6Addr::from)
    }

    pub(crate) fn ip4(self, kind: u16) -> Option<Ipv4Addr> {
        number(self.get(kind)?, Ipv4Addr::from)
    }
}

/// The first attribute of each type, by number.
#[derive(Debug)]
pub(crate) struct Indexed<'a>(Vec<Option<&'a [u8]>>);

impl<'a> Indexed<'a> {
    /// The first attribute of that type.
    pub(crate) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        *self.0.get(usize::from(kind))?
    }
}

/// A value of exactly `N` bytes.
pub(crate) fn number<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Option<T> {
    bytes.try_into().ok().map(convert)
}

/// A field of `N` bytes at `offset` in a fixed header.
pub(crate) fn field<const N: usize, T>(
    header: &[u8],
    offset: usize,
    convert: impl Fn([u8; N]) -> T,
) -> Option<T> {
    number(header.get(offset..offset + N)?, convert)
}

/// An address of 4 or 16 bytes.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = number(bytes, Ipv4Addr::from).map(IpAddr::V4);
    v4.or_else(|| number(bytes, Ipv6Addr::from).map(IpAddr::V6))
}

/// A string, up to its terminating zero.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// Appends an attribute to a message under construction.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = (NLA_HEADER_SIZE + value.len()) as u16;
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(NLA_ALIGNTO), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_back_and_a_malformed_tail_is_skipped() {
        let mut bytes = Vec::new();
        put(&mut bytes, 3, b"eth0\0");
        put(&mut bytes, 4 | 0x8000, &7u32.to_ne_bytes());
        let whole = bytes.len();
        bytes.extend([0xff, 0xff, 5, 0, 1, 2]);
        let attributes = Attributes::new(&bytes);
        assert_eq!(attributes.text(3).as_deref(), Some("eth0"));
        assert_eq!(attributes.u32(4), Some(7));
        assert_eq!(attributes.u8(4), None);
        assert_eq!(attributes.iter().count(), 2);
        for cut in 0..whole {
            assert!(Attributes::new(&bytes[..cut]).iter().count() < 2);
        }
        // A length below the header's own, which would cause an endless loop.
        assert_eq!(Attributes::new(&[0, 0, 1, 0, 0, 0, 1, 0]).iter().count(), 0);
    }
}
