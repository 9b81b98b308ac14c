//! One table for the options of bonds, bridges, VLANs and the other software links.
//!
//! Each row has an option's name in ip(8), its netlink attribute and encoding, and when the kernel allows a change.
//! Formats check values against a row, the kernel room encodes and decodes by it, the plan compares and prints by it:
//! an option is added here and nowhere else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{BondMode, Kind, MacAddr};

mod nic;
mod row;
mod tables;
mod tunnels;

pub use nic::{NIC, NicGroup, parameter};
pub use tables::{of_kind, of_port};

/// One option of a kind of link, or of a port of such a link.
#[derive(Debug)]
pub struct Attribute {
    /// Its name in ip(8), which is the kernel's own name of the option.
    pub name: &'static str,
    /// The netlink attribute inside `IFLA_INFO_DATA` (or `IFLA_INFO_SLAVE_DATA`), from linux/if_link.h.
    pub nla: u16,
    /// How the value is encoded.
    pub form: Form,
    /// When the option of an existing link can be changed.
    pub change: Change,
    /// The bond modes that know the option; empty for all (`unsuppmodes` in drivers/net/bonding/bond_options.c).
    pub modes: &'static [BondMode],
    /// First kernel that has it, if newer than 4.19; else empty.
    pub since: &'static str,
    /// How ip(8) writes it.
    pub print: Print,
    /// The range that the kernel accepts, if narrower than the form's.
    pub range: Option<(i64, i64)>,
}

/// How a value is encoded in a netlink attribute. Numbers are in host order unless the name says otherwise.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Form {
    /// Unsigned 8 bits.
    U8,
    /// Unsigned 16 bits.
    U16,
    /// Unsigned 32 bits.
    U32,
    /// Signed 32 bits.
    I32,
    /// Unsigned 64 bits.
    U64,
    /// Unsigned 16 bits in network order.
    U16Be,
    /// Unsigned 32 bits in network order.
    U32Be,
    /// 0 or 1 in 8 bits.
    Bool,
    /// 0 or 1 in 32 bits.
    Bool32,
    /// One of a list of words, as a number of 8 bits.
    Word8(&'static [(&'static str, u32)]),
    /// One of a list of words, as a number of 16 bits.
    Word16(&'static [(&'static str, u32)]),
    /// One of a list of words, as a number of 16 bits in network order.
    Word16Be(&'static [(&'static str, u32)]),
    /// One of a list of words, as a number of 32 bits.
    Word32(&'static [(&'static str, u32)]),
    /// Six bytes.
    Mac,
    /// Four bytes.
    Ip4,
    /// Sixteen bytes.
    Ip6,
    /// A nest of IPv4 addresses, numbered from 0.
    Ip4List,
    /// A nest of IPv6 addresses, numbered from 0.
    Ip6List,
    /// Index of another link; the value is that link's name ([`OptionValue::Text`]).
    Link,
    /// A flag: an attribute without content, present or absent.
    Flag,
    /// Two 16-bit port numbers in network order, low and high ([`OptionValue::Range`]).
    PortRange,
    /// A GRE key: unsigned 32 bits in network order, valid only with the bit [`GRE_KEY`] in the flags of its direction,
    /// 16 bits in network order in the attribute [`GRE_FLAGS_BEFORE`] numbers before it. Read and written together.
    GreKey,
}

/// `GRE_KEY` of linux/if_tunnel.h: the flag for packets with a key.
pub const GRE_KEY: u16 = 0x2000;
/// From `IFLA_GRE_IKEY` back to `IFLA_GRE_IFLAGS`, and from `IFLA_GRE_OKEY` to `IFLA_GRE_OFLAGS`.
pub const GRE_FLAGS_BEFORE: u16 = 2;

/// When the option of an existing link can be changed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// At any time.
    Anytime,
    /// While the link is down (`BOND_OPTFLAG_IFDOWN`).
    Down,
    /// While it has no members (`BOND_OPTFLAG_NOSLAVES`).
    WithoutMembers,
    /// While it is down and has no members.
    DownWithoutMembers,
    /// At any time, but all options of the link must be sent together: missing ones are reset to zero (the tunnels'
    /// `…_netlink_parms` in net/ipv4 and net/ipv6 begin with an empty set).
    Together,
    /// Never: the link must be recreated.
    Never,
}

/// How ip(8) writes an option.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Print {
    /// `name value`; booleans as 1 and 0.
    Value,
    /// `name on` or `name off`.
    OnOff,
    /// `name` or `noname`.
    No,
    /// As a different word: `word value`.
    As(&'static str),
    /// `name value` in hexadecimal, which is how ip(8) parses a type of service.
    Hex,
    /// `group value` for a multicast address, else `remote value`.
    Group,
    /// ip(8) cannot set it.
    Unprintable,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// On or off.
    Bool(bool),
    /// A number in the kernel's unit.
    Number(i64),
    /// Two numbers, low and high.
    Range(u16, u16),
    /// A list of addresses.
    Ips(Vec<IpAddr>),
    /// An address.
    Ip(IpAddr),
    /// A hardware address.
    Mac(MacAddr),
    /// A word from the row's list, or the name (in a description the id) of a link.
    Text(String),
}

impl fmt::Display for OptionValue {
    /// As accepted by ip(8).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Bool(on) => f.write_str(if *on { "1" } else { "0" }),
            OptionValue::Number(number) => number.fmt(f),
            OptionValue::Range(low, high) => write!(f, "{low} {high}"),
            OptionValue::Ips(ips) => {
                let texts: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
                f.write_str(&texts.join(","))
            }
            OptionValue::Ip(ip) => ip.fmt(f),
            OptionValue::Mac(mac) => mac.fmt(f),
            OptionValue::Text(text) => f.write_str(text),
        }
    }
}

impl Attribute {
    /// Parses `text` as a value of this option: a word or its number, a number in the kernel's range and unit, an
    /// address, on/off/yes/no/true/false/1/0. The error says what was expected.
    pub fn parse(&self, text: &str) -> Result<OptionValue, String> {
        let text = text.trim();
        match self.form {
            Form::U8
            | Form::U16
            | Form::U16Be
            | Form::U32
            | Form::U32Be
            | Form::GreKey
            | Form::I32
            | Form::U64 => {
                let (low, high) = self.range();
                number(text, low, high)
            }
            Form::Bool | Form::Bool32 | Form::Flag => {
                boolean(text).map(OptionValue::Bool).ok_or_else(|| "expected on or off".into())
            }
            Form::Word8(words) | Form::Word16(words) | Form::Word16Be(words) | Form::Word32(words) => {
                word(words, text)
            }
            Form::Mac => match text.parse::<MacAddr>() {
                // A bridge has a group address of its own.
                Ok(mac) if self.name == "ad_actor_system" && mac.is_multicast() => {
                    Err("a group address (the first byte is odd), which the kernel refuses".into())
                }
                Ok(mac) => Ok(OptionValue::Mac(mac)),
                Err(wrong) => Err(wrong.to_string()),
            },
            Form::Ip4 => text
                .parse::<Ipv4Addr>()
                .map(|ip| OptionValue::Ip(ip.into()))
                .map_err(|_| "expected an IPv4 address".into()),
            Form::Ip6 => text
                .parse::<Ipv6Addr>()
                .map(|ip| OptionValue::Ip(ip.into()))
                .map_err(|_| "expected an IPv6 address".into()),
            Form::Ip4List => list(text, |t| t.parse::<Ipv4Addr>().ok().map(IpAddr::V4), "IPv4"),
            Form::Ip6List => list(text, |t| t.parse::<Ipv6Addr>().ok().map(IpAddr::V6), "IPv6"),
            Form::Link => Ok(OptionValue::Text(text.to_owned())),
            Form::PortRange => {
                match text.split_once(['-', ' ', ',']).map(|(l, h)| (l.trim().parse(), h.trim().parse())) {
                    Some((Ok(low), Ok(high))) if low <= high => Ok(OptionValue::Range(low, high)),
                    _ => Err("expected two port numbers, low and high".into()),
                }
            }
        }
    }

    /// The range that the kernel accepts for this option, lowest and highest.
    pub fn range(&self) -> (i64, i64) {
        self.range.unwrap_or(match self.form {
            Form::U8 => (0, u8::MAX.into()),
            Form::U16 | Form::U16Be => (0, u16::MAX.into()),
            Form::I32 => (i32::MIN.into(), i32::MAX.into()),
            _ => (0, u32::MAX.into()),
        })
    }

    /// The words that the option accepts, in the kernel's order; empty if it has none.
    pub fn words(&self) -> &'static [(&'static str, u32)] {
        match self.form {
            Form::Word8(words) | Form::Word16(words) | Form::Word16Be(words) | Form::Word32(words) => words,
            _ => &[],
        }
    }

    /// The option as ip(8) writes it: `miimon 100`, `nolearning`, `hairpin on`.
    pub fn ip_words(&self, value: &OptionValue) -> Vec<String> {
        match (self.print, value) {
            (Print::OnOff, OptionValue::Bool(on)) => {
                vec![self.name.into(), if *on { "on" } else { "off" }.into()]
            }
            (Print::No, OptionValue::Bool(true)) => vec![self.name.into()],
            (Print::No, OptionValue::Bool(false)) => vec![format!("no{}", self.name)],
            (Print::As(word), _) => vec![word.into(), value.to_string()],
            (Print::Hex, OptionValue::Number(number)) => vec![self.name.into(), format!("0x{number:x}")],
            (Print::Group, OptionValue::Ip(ip)) if ip.is_multicast() => vec!["group".into(), ip.to_string()],
            (Print::Group, _) => vec!["remote".into(), value.to_string()],
            (Print::Unprintable, _) => Vec::new(),
            (_, OptionValue::Range(low, high)) => vec![self.name.into(), low.to_string(), high.to_string()],
            _ => vec![self.name.into(), value.to_string()],
        }
    }
}

impl Kind {
    /// The options of this kind.
    pub fn attributes(self) -> &'static [Attribute] {
        of_kind(self)
    }

    /// The options of a port of this controller.
    pub fn port_attributes(self) -> &'static [Attribute] {
        of_port(self)
    }
}

/// The row of an option by name.
pub fn find(rows: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    rows.iter().find(|row| row.name == name)
}

/// The row of `kind` for an option by name.
pub fn of(kind: Kind, name: &str) -> Option<&'static Attribute> {
    find(of_kind(kind), name)
}

/// ip(8)'s default values for a new link of `kind`, if they differ from the kernel's.
pub fn defaults(kind: Kind) -> impl Iterator<Item = (&'static str, OptionValue)> {
    let defaults = tunnels::ip_defaults(kind).iter();
    defaults.filter_map(move |(name, text)| {
        let row = of(kind, name)?;
        Some((row.name, row.parse(text).ok()?))
    })
}

/// on/yes/true/y/1 and off/no/false/n/0 in any case.
pub fn boolean(text: &str) -> Option<bool> {
    const ON: &[&str] = &["on", "yes", "true", "y", "1"];
    const OFF: &[&str] = &["off", "no", "false", "n", "0"];
    let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(text));
    if is(ON) { Some(true) } else { is(OFF).then_some(false) }
}

fn number(text: &str, low: i64, high: i64) -> Result<OptionValue, String> {
    match text.parse::<i64>() {
        Ok(n) if (low..=high).contains(&n) => Ok(OptionValue::Number(n)),
        _ => Err(format!("expected a number from {low} to {high}")),
    }
}

fn word(words: &[(&'static str, u32)], text: &str) -> Result<OptionValue, String> {
    let by_number = |n: u32| words.iter().find(|(_, number)| *number == n);
    let found = words
        .iter()
        .find(|(w, _)| w.eq_ignore_ascii_case(text))
        .or_else(|| text.parse().ok().and_then(by_number));
    match found {
        Some((word, _)) => Ok(OptionValue::Text((*word).to_owned())),
        None => {
            let all: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
            Err(format!("expected one of {}", all.join(", ")))
        }
    }
}

fn list(text: &str, one: impl Fn(&str) -> Option<IpAddr>, family: &str) -> Result<OptionValue, String> {
    let ips: Option<Vec<IpAddr>> =
        text.split([',', ' ']).filter(|t| !t.is_empty()).map(|t| one(t.trim_start_matches('+'))).collect();
    match ips {
        Some(ips) if (1..=16).contains(&ips.len()) => Ok(OptionValue::Ips(ips)),
        _ => Err(format!("expected 1 to 16 {family} addresses")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_by_name_and_by_number() {
        let mode = of(Kind::Bond, "mode").unwrap();
        for text in ["802.3ad", "4", "802.3AD"] {
            assert_eq!(mode.parse(text), Ok(OptionValue::Text("802.3ad".into())));
        }
        assert_eq!(
            mode.parse("lacp").unwrap_err(),
            "expected one of balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb"
        );
    }

    #[test]
    fn names_and_netlink_numbers_are_unique_in_every_table() {
        let of_nics = NIC.iter().map(|group| group.rows);
        for rows in Kind::all().flat_map(|k| [of_kind(k), of_port(k)]).chain(of_nics) {
            for (i, row) in rows.iter().enumerate() {
                assert!(rows[..i].iter().all(|r| r.name != row.name && r.nla != row.nla), "{}", row.name);
            }
        }
    }

    #[test]
    fn a_value_survives_json() {
        for value in [
            OptionValue::Bool(true),
            OptionValue::Number(100),
            OptionValue::Text("802.3ad".into()),
            OptionValue::Text("eth0".into()),
            OptionValue::Mac("7c:c2:55:6e:90:44".parse().unwrap()),
            OptionValue::Ip("10.0.0.1".parse().unwrap()),
            OptionValue::Ips(vec!["10.0.0.1".parse().unwrap()]),
            OptionValue::Range(1, 9),
        ] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<OptionValue>(&json).unwrap(), value, "{json}");
        }
    }
}
