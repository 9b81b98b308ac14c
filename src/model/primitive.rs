//! Small checked values: places in a file, MAC addresses, interface names, MTUs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A place in the user's file. `file` is the index among the documents that were read together; line and column start
/// at 1, columns count characters. Line 0 means "no place": the value was not written by anybody.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Index of the document.
    pub file: u16,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The place of a value that nobody wrote.
    pub const NONE: Place = Place { file: 0, line: 0, column: 0 };

    /// False for [`Place::NONE`].
    pub fn is_known(self) -> bool {
        self.line != 0
    }

    /// Converts a place in an embedded part that begins at `begin` to a place in the file.
    #[must_use]
    pub fn within(self, begin: Place) -> Place {
        let column = if self.line == 1 { begin.column - 1 } else { 0 };
        Place { file: begin.file, line: self.line + begin.line - 1, column: self.column + column }
    }
}

/// A value and where it was written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Place,
}

impl<T> Located<T> {
    /// A value at a place.
    pub fn new(value: T, at: Place) -> Self {
        Located { value, at }
    }
}

/// Why a string is not a valid value: a clause that follows "…: ", such as `not six pairs of hex digits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(pub &'static str);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A hardware address: 6 bytes (Ethernet) or 20 (InfiniBand).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr {
    bytes: [u8; 20],
    len: u8,
}

impl MacAddr {
    /// From 6 or 20 bytes as the kernel reports them; anything else, and all zeroes, is no address.
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        if !matches!(raw.len(), 6 | 20) || raw.iter().all(|b| *b == 0) {
            return None;
        }
        let mut bytes = [0; 20];
        for (to, from) in bytes.iter_mut().zip(raw) {
            *to = *from;
        }
        Some(MacAddr { bytes, len: raw.len() as u8 })
    }

    /// The bytes, 6 or 20 of them.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether `written` is this address, or the six-byte form of a twenty-byte InfiniBand address: OpenStack writes
    /// its bytes 13 to 15 and 18 to 20, the GUID without its middle, as an Ethernet address.
    pub fn means(&self, written: &MacAddr) -> bool {
        self == written || self.short().is_some_and(|short| short == *written)
    }

    /// The six-byte form of an InfiniBand address.
    pub fn short(&self) -> Option<MacAddr> {
        let b = &self.bytes;
        let short = [b[12], b[13], b[14], b[17], b[18], b[19]];
        (self.len == 20).then(|| MacAddr::from_bytes(&short)).flatten()
    }

    /// Whether it is a group address, which no NIC can have.
    pub fn is_multicast(&self) -> bool {
        self.len == 6 && self.bytes[0] & 1 == 1
    }

    /// In how many hex digits two addresses of one length differ; `None` if the lengths differ.
    pub fn digits_apart(&self, other: &MacAddr) -> Option<u32> {
        (self.len == other.len).then(|| {
            let differs = |b: u8| u32::from(b & 0xf0 != 0) + u32::from(b & 0x0f != 0);
            self.as_bytes().iter().zip(other.as_bytes()).map(|(a, b)| differs(a ^ b)).sum()
        })
    }
}

/// Bytes in hex with colons: `01:02:00`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

impl FromStr for MacAddr {
    type Err = ParseError;

    /// Pairs of hex digits separated by `:` or `-`, in any case.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const WRONG: ParseError = ParseError("not a MAC address (six pairs of hex digits, joined by ':')");
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut raw = Vec::with_capacity(20);
        for pair in text.trim().split(separator) {
            let hex = matches!(pair.len(), 1 | 2) && pair.bytes().all(|b| b.is_ascii_hexdigit());
            match u8::from_str_radix(pair, 16) {
                Ok(byte) if hex && raw.len() < 20 => raw.push(byte),
                _ => return Err(WRONG),
            }
        }
        match raw.len() {
            6 | 20 => MacAddr::from_bytes(&raw).ok_or(ParseError("all zeroes")),
            _ => Err(WRONG),
        }
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.as_bytes().iter().enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for MacAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A name that the kernel accepts for an interface: 1 to 15 bytes, no `/`, `:`, `%` or white space, not `.` or `..`
/// (`dev_valid_name` in net/core/dev.c; a `%` would make it a template).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct IfName(String);

/// Why a string is not an interface name.
pub type IfNameError = ParseError;

impl IfName {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, IfNameError> {
        let wrong = match text {
            "" => "empty",
            "." | ".." => "not usable as an interface name",
            _ if text.len() > 15 => "longer than the 15 bytes that an interface name may have",
            _ if text
                .chars()
                .any(|c| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control()) =>
            {
                "not an interface name: '/', ':', '%' and spaces are not allowed"
            }
            _ => return Ok(IfName(text.to_owned())),
        };
        Err(ParseError(wrong))
    }

    /// Checks a name to give to a link: one that the kernel and the programs of an image take for this link and nothing
    /// else.
    ///
    /// # Errors
    /// What else it would mean, and to which program.
    pub fn to_give(text: &str) -> Result<Self, IfNameError> {
        let wrong = match text {
            // /proc/sys/net has settings by these names; the kernel creates none for such a link
            // (sysctl_dev_name_is_allowed).
            "all" | "default" => "reserved: kernel settings of all links have this name",
            "lo" => "reserved: it is the loopback's",
            // There is a file with this name next to the links in /sys/class/net.
            "bonding_masters" => "reserved: a file of the kernel has this name",
            _ => {
                let name = IfName::new(text)?;
                return if is_plain(text) { Ok(name) } else { Err(ParseError(NOT_PLAIN)) };
            }
        };
        Err(ParseError(wrong))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const NOT_PLAIN: &str = "not a plain name: other programs take it for a pattern, an option or a number";

/// Whether a link's name is neither a pattern nor an option, a list, a comment or an index to any program that is given
/// it: networkd, NetworkManager and ifupdown accept patterns, dhcpcd, connman and shells lists, resolvconf(8) options,
/// and a number is an index to systemd and getaddrinfo(3).
pub fn is_plain(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let made_of = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+@".contains(c));
    begins && made_of && !name.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IfName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IfName::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A maximum transmission unit in bytes. The kernel's lower bound for IPv4 is 68 (RFC 791), its upper 65535.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mtu(u32);

impl Mtu {
    /// Checks the range.
    pub fn new(bytes: u64) -> Result<Self, ParseError> {
        match u32::try_from(bytes) {
            Ok(bytes @ 68..=65535) => Ok(Mtu(bytes)),
            _ => Err(ParseError("outside the 68 to 65535 bytes that an MTU may have")),
        }
    }

    /// Bytes.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_in_every_spelling_and_printed_in_one() {
        for text in ["7C:C2:55:6E:90:44", "7c-c2-55-6e-90-44", "7c:c2:55:6e:90:44"] {
            assert_eq!(text.parse::<MacAddr>().unwrap().to_string(), "7c:c2:55:6e:90:44");
        }
        for text in [
            "",
            "7c:c2",
            "7c:c2:55:6e:90:4g",
            "7c:c2:55:6e:90:44:00",
            "00:00:00:00:00:00",
            "+c:c2:55:6e:90:44",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
        let guid = "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1";
        assert_eq!(guid.parse::<MacAddr>().unwrap().to_string(), guid);
    }

    #[test]
    fn six_bytes_stand_for_an_infiniband_address() {
        let mac = |t: &str| t.parse::<MacAddr>().unwrap();
        let guid = mac("80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1");
        assert!(guid.means(&mac("f4:52:14:7b:cb:a1")) && guid.means(&guid));
        assert!(!guid.means(&mac("f4:52:14:7b:cb:a2")) && !mac("f4:52:14:7b:cb:a1").means(&guid));
    }

    #[test]
    fn digits_apart_counts_hex_digits() {
        let mac = |t: &str| t.parse::<MacAddr>().unwrap();
        assert_eq!(mac("7c:c2:55:6e:90:44").digits_apart(&mac("7c:c2:55:6e:90:45")), Some(1));
        assert_eq!(mac("7c:c2:55:6e:90:44").digits_apart(&mac("7c:c2:55:6e:90:33")), Some(2));
    }

    #[test]
    fn interface_names_follow_the_kernels_rule() {
        for good in ["eth0", "bond0.100", "a23456789012345"] {
            assert!(IfName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a b", "a/b", "eth0:1", "eth%d", "a234567890123456"] {
            assert!(IfName::new(bad).is_err(), "{bad}");
        }
    }

    /// The kernel accepts each of these, but another program would misread it.
    #[test]
    fn link_names_with_a_special_meaning_are_rejected() {
        for good in ["eth0", "bond0.100", "_x", "0lan", "a@b+c-d"] {
            assert!(IfName::to_give(good).is_ok() && is_plain(good), "{good}");
        }
        let patterns = ["*", "!x", "x*", "x?", "[x]", "x\\"];
        let lists =
            ["a,b", "a;b", "a|b", "#x", "x=1", "\"x\"", "'x'", "$x", "`x`", "x&", "(x)", "<x", "~x", ".x"];
        let others = ["-x", "--help", "7", "0", "b\u{fc}ro0", "all", "default", "lo", "bonding_masters"];
        for bad in patterns.iter().chain(&lists).chain(&others) {
            assert!(IfName::new(bad).is_ok() && IfName::to_give(bad).is_err(), "{bad}");
        }
    }
}
