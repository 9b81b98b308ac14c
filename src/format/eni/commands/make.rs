//! `ip link add` and `ip tunnel add`: a link that a command creates. Its options are those of the table of attributes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Effect, What};
use crate::format::value::{Mode, key_of};
use crate::model::attribute::{self, Attribute, Form, OptionValue, Print};
use crate::model::{Kind, MacAddr, Mtu};

/// A link that a command creates.
#[derive(Debug, PartialEq)]
pub(in crate::format::eni) struct Made {
    pub(in crate::format::eni) kind: Kind,
    /// The link below it.
    pub(in crate::format::eni) parent: Option<String>,
    /// The other end of a veth pair.
    pub(in crate::format::eni) peer: Option<String>,
    pub(in crate::format::eni) mac: Option<MacAddr>,
    pub(in crate::format::eni) mtu: Option<Mtu>,
    /// Options by the names of their rows.
    pub(in crate::format::eni) settings: BTreeMap<&'static str, OptionValue>,
}

impl Made {
    fn new(kind: Kind) -> Self {
        Made { kind, parent: None, peer: None, mac: None, mtu: None, settings: BTreeMap::new() }
    }

    fn set(&mut self, row: &'static Attribute, value: OptionValue) {
        self.settings.insert(row.name, value);
    }

    /// Sets `local` or `remote`: a VXLAN has a row for each family.
    fn end(&mut self, name: &str, text: &str) -> Option<()> {
        let ip: IpAddr = text.parse().ok()?;
        let of_family = if ip.is_ipv6() { format!("{name}6") } else { name.to_owned() };
        let row = attribute::of(self.kind, &of_family).or_else(|| attribute::of(self.kind, name))?;
        self.set(row, row.parse(text).ok()?);
        Some(())
    }

    fn keys(&mut self, names: &[&str], text: &str) -> Option<()> {
        for name in names {
            let row = attribute::of(self.kind, name)?;
            self.set(row, OptionValue::Number(key_of(text)?));
        }
        Some(())
    }

    fn effect(self, name: &str) -> Effect {
        Effect { dev: Some(name.to_owned()), what: What::Make(self) }
    }

    /// One option with its value, of any kind of link.
    fn option<'a>(&mut self, word: &'a str, words: &mut impl Iterator<Item = &'a str>) -> Option<()> {
        let called =
            |row: &&Attribute| row.name == word || matches!(row.print, Print::As(printed) if printed == word);
        match word {
            "dev" => {
                self.parent = Some(words.next()?.to_owned());
                Some(())
            }
            "peer" if self.kind == Kind::Veth => {
                let name = words.next()?;
                self.peer = Some(if name == "name" { words.next()? } else { name }.to_owned());
                Some(())
            }
            "proto" if self.kind == Kind::Vlan => self.option("protocol", words),
            "group" => self.end("remote", words.next()?),
            "remote" | "local" => self.end(word, words.next()?),
            "key" => self.keys(&["ikey", "okey"], words.next()?),
            "ikey" | "okey" => self.keys(&[word], words.next()?),
            // Kernel defaults, or options without a row.
            "pmtudisc" | "external" if self.kind != Kind::Vxlan => Some(()),
            _ => {
                let flags = || self.kind.attributes().iter().filter(|row| row.print == Print::No);
                let off = word.strip_prefix("no");
                if let Some(row) = flags().find(|row| row.name == word) {
                    self.set(row, OptionValue::Bool(true));
                    return Some(());
                }
                if let Some(row) = flags().find(|row| Some(row.name) == off) {
                    self.set(row, OptionValue::Bool(false));
                    return Some(());
                }
                let row = self.kind.attributes().iter().find(called)?;
                let text = words.next()?;
                // ip(8) reads a type of service in hexadecimal, and expects both ports of a range as words.
                if row.print == Print::Hex && text != "inherit" {
                    let tos = i64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
                    self.set(row, row.parse(&tos.to_string()).ok()?);
                    return Some(());
                }
                let range;
                let text = match row.form {
                    Form::PortRange => {
                        range = format!("{text} {}", words.next()?);
                        range.as_str()
                    }
                    _ => text,
                };
                let inherit = text == "inherit" && matches!(row.name, "ttl" | "hoplimit" | "tos");
                let value = if inherit { OptionValue::Number(0) } else { row.parse(text).ok()? };
                self.set(row, value);
                Some(())
            }
        }
    }
}

/// A link of a kind, without options.
pub(super) fn of(name: &str, kind: Kind) -> Option<Effect> {
    Some(Made::new(kind).effect(name))
}

/// `[link PARENT] [name] NAME [mtu N] [address MAC] [up] type KIND OPTIONS…`, ip-link(8).
pub(super) fn link(words: &[&str]) -> Option<Effect> {
    let mut words = words.iter().copied();
    let (mut parent, mut name, mut mac, mut mtu) = (None, None, None, None);
    let kind = loop {
        match words.next()? {
            "link" => parent = Some(words.next()?.to_owned()),
            "name" | "dev" => name = Some(words.next()?),
            "mtu" => mtu = Some(Mtu::new(words.next()?.parse().ok()?).ok()?),
            "address" => mac = Some(words.next()?.parse::<MacAddr>().ok()?),
            "up" => {}
            "type" => break words.next()?,
            word if name.is_none() => name = Some(word),
            _ => return None,
        }
    };
    let made = of_kind(kind, words)?;
    let made = Made { parent: made.parent.clone().or(parent), mac, mtu, ..made };
    Some(made.effect(name?))
}

/// `KIND OPTIONS…`.
pub(super) fn options(words: &[&str]) -> Option<Made> {
    let (kind, words) = words.split_first()?;
    of_kind(kind, words.iter().copied())
}

fn of_kind<'a>(kind: &str, mut words: impl Iterator<Item = &'a str>) -> Option<Made> {
    // InfiniBand interfaces are not created this way.
    let kind = Kind::from_word(kind).filter(|kind| *kind != Kind::Physical)?;
    let mut made = Made::new(kind);
    while let Some(word) = words.next() {
        made.option(word, &mut words)?;
    }
    Some(made)
}

/// `NAME mode MODE [remote ADDRESS] [local ADDRESS] [ttl N] [dev NAME] [key K]`, ip-tunnel(8).
pub(super) fn tunnel(words: &[&str]) -> Option<Effect> {
    let at = words.iter().position(|word| *word == "mode")?;
    let mode = Mode::of(words.get(at + 1)?)?;
    let rest = words.iter().enumerate().filter(|(i, _)| *i != at && *i != at + 1).map(|(_, word)| *word);
    let mut rest = rest.peekable();
    let mut made = Made::new(mode.kind);
    let mut name = None;
    while let Some(word) = rest.next() {
        match word {
            "name" => name = Some(rest.next()?),
            _ if name.is_none() => name = Some(word),
            _ => made.option(word, &mut rest)?,
        }
    }
    let inside = if mode.kind == Kind::Sit { "ip6ip" } else { mode.word };
    if let Some(row) = attribute::of(mode.kind, "mode") {
        made.set(row, row.parse(inside).ok()?);
    }
    Some(made.effect(name?))
}
