//! The values of link options as bytes and back, by the table in [`crate::model::attribute`].

use std::net::IpAddr;

use crate::model::MacAddr;
use crate::model::attribute::{Attribute, Form, GRE_FLAGS_BEFORE, GRE_KEY, OptionValue};

use super::attributes::{self, Attributes, Indexed, number};
use super::names::Names;

/// Why a value cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unencodable {
    /// It names a link that does not exist.
    NoLink(String),
    /// It does not have the option's form; the formats check that, so this is a bug.
    WrongForm,
}

/// Appends an option to the options of a link: one attribute, two for a key, none for a flag that is off.
pub(crate) fn encode(
    options: &mut Vec<u8>,
    row: &Attribute,
    value: &OptionValue,
    names: &Names,
) -> Result<(), Unencodable> {
    if row.form == Form::Flag && *value == OptionValue::Bool(false) {
        return Ok(());
    }
    if row.form == Form::GreKey {
        attributes::put(options, row.nla - GRE_FLAGS_BEFORE, &GRE_KEY.to_be_bytes());
    }
    attributes::put(options, row.nla, &bytes(row.form, value, names)?);
    Ok(())
}

fn bytes(form: Form, value: &OptionValue, names: &Names) -> Result<Vec<u8>, Unencodable> {
    let number = |bytes: fn(i64) -> Option<Vec<u8>>| match value {
        OptionValue::Number(n) => bytes(*n),
        OptionValue::Bool(on) => bytes(i64::from(*on)),
        OptionValue::Text(word) => word_number(form, word).and_then(|n| bytes(n.into())),
        _ => None,
    };
    let bytes = match (form, value) {
        (Form::U8 | Form::Bool | Form::Word8(_), _) => {
            number(|n| Some(u8::try_from(n).ok()?.to_ne_bytes().to_vec()))
        }
        (Form::U16 | Form::Word16(_), _) => number(|n| Some(u16::try_from(n).ok()?.to_ne_bytes().to_vec())),
        (Form::U16Be | Form::Word16Be(_), _) => {
            number(|n| Some(u16::try_from(n).ok()?.to_be_bytes().to_vec()))
        }
        (Form::U32 | Form::Bool32 | Form::Word32(_), _) => {
            number(|n| Some(u32::try_from(n).ok()?.to_ne_bytes().to_vec()))
        }
        (Form::U32Be | Form::GreKey, _) => number(|n| Some(u32::try_from(n).ok()?.to_be_bytes().to_vec())),
        (Form::U64, _) => number(|n| Some(u64::try_from(n).ok()?.to_ne_bytes().to_vec())),
        (Form::I32, _) => number(|n| Some(i32::try_from(n).ok()?.to_ne_bytes().to_vec())),
        (Form::Mac, OptionValue::Mac(mac)) => Some(mac.as_bytes().to_vec()),
        (Form::Ip4 | Form::Ip6, OptionValue::Ip(ip)) => Some(ip_bytes(ip)),
        (Form::Ip4List | Form::Ip6List, OptionValue::Ips(ips)) => {
            let mut nest = Vec::new();
            for (i, ip) in ips.iter().enumerate() {
                attributes::put(&mut nest, i as u16, &ip_bytes(ip));
            }
            Some(nest)
        }
        (Form::Link, OptionValue::Text(name)) => {
            let index = names.index(name).ok_or_else(|| Unencodable::NoLink(name.clone()))?;
            Some(index.to_ne_bytes().to_vec())
        }
        (Form::Flag, OptionValue::Bool(_)) => Some(Vec::new()),
        (Form::PortRange, OptionValue::Range(low, high)) => {
            Some([low.to_be_bytes(), high.to_be_bytes()].concat())
        }
        _ => None,
    };
    bytes.ok_or(Unencodable::WrongForm)
}

/// The value of an option among the options of a link: `None` if it does not decode, `None` inside where
/// nothing is set.
pub(crate) fn decode(row: &Attribute, options: &Indexed<'_>, names: &Names) -> Option<Option<OptionValue>> {
    let Some(bytes) = options.get(row.nla) else {
        return Some((row.form == Form::Flag).then_some(OptionValue::Bool(false)));
    };
    if row.form == Form::GreKey {
        let flags = options.get(row.nla - GRE_FLAGS_BEFORE).and_then(|f| number(f, u16::from_be_bytes))?;
        if flags & GRE_KEY == 0 {
            return Some(None);
        }
    }
    value(row.form, bytes, names)
}

fn value(form: Form, bytes: &[u8], names: &Names) -> Option<Option<OptionValue>> {
    let word = |words: &[(&str, u32)], n: u32| {
        // A value known only to newer kernels is shown as its number.
        let word = words.iter().find(|(_, number)| *number == n);
        word.map_or(OptionValue::Number(n.into()), |(word, _)| OptionValue::Text((*word).to_owned()))
    };
    let unsigned = |n: u32| OptionValue::Number(n.into());
    let value = match form {
        Form::U8 => unsigned(number(bytes, u8::from_ne_bytes)?.into()),
        Form::U16 => unsigned(number(bytes, u16::from_ne_bytes)?.into()),
        Form::U16Be => unsigned(number(bytes, u16::from_be_bytes)?.into()),
        Form::U32 => unsigned(number(bytes, u32::from_ne_bytes)?),
        Form::U32Be | Form::GreKey => unsigned(number(bytes, u32::from_be_bytes)?),
        Form::I32 => OptionValue::Number(number(bytes, i32::from_ne_bytes)?.into()),
        Form::U64 => OptionValue::Number(i64::try_from(number(bytes, u64::from_ne_bytes)?).ok()?),
        Form::Bool => OptionValue::Bool(number(bytes, u8::from_ne_bytes)? != 0),
        Form::Bool32 => OptionValue::Bool(number(bytes, u32::from_ne_bytes)? != 0),
        Form::Word8(words) => word(words, number(bytes, u8::from_ne_bytes)?.into()),
        Form::Word16(words) => word(words, number(bytes, u16::from_ne_bytes)?.into()),
        Form::Word16Be(words) => word(words, number(bytes, u16::from_be_bytes)?.into()),
        Form::Word32(words) => word(words, number(bytes, u32::from_ne_bytes)?),
        Form::Mac => match MacAddr::from_bytes(bytes) {
            Some(mac) => OptionValue::Mac(mac),
            None if bytes.iter().all(|b| *b == 0) => return Some(None),
            None => return None,
        },
        Form::Ip4 | Form::Ip6 => match attributes::ip(bytes)? {
            ip if ip.is_unspecified() => return Some(None),
            ip => OptionValue::Ip(ip),
        },
        Form::Ip4List | Form::Ip6List => {
            let ips: Option<Vec<IpAddr>> =
                Attributes::new(bytes).iter().map(|(_, v)| attributes::ip(v)).collect();
            match ips? {
                ips if ips.is_empty() => return Some(None),
                ips => OptionValue::Ips(ips),
            }
        }
        Form::Link => match number(bytes, u32::from_ne_bytes)? {
            0 => return Some(None),
            index => return Some(names.name(index).map(|name| OptionValue::Text(name.to_owned()))),
        },
        Form::Flag => OptionValue::Bool(true),
        Form::PortRange => OptionValue::Range(
            number(bytes.get(..2)?, u16::from_be_bytes)?,
            number(bytes.get(2..4)?, u16::from_be_bytes)?,
        ),
    };
    Some(Some(value))
}

fn word_number(form: Form, word: &str) -> Option<u32> {
    match form {
        Form::Word8(words) | Form::Word16(words) | Form::Word16Be(words) | Form::Word32(words) => {
            words.iter().find(|(w, _)| *w == word).map(|(_, n)| *n)
        }
        _ => None,
    }
}

fn ip_bytes(ip: &IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    /// A value of each row's form, different from the default.
    fn sample(form: Form) -> OptionValue {
        match form {
            Form::U8
            | Form::U16
            | Form::U32
            | Form::U64
            | Form::I32
            | Form::U16Be
            | Form::U32Be
            | Form::GreKey => OptionValue::Number(77),
            Form::Bool | Form::Bool32 | Form::Flag => OptionValue::Bool(true),
            Form::Word8(words) | Form::Word16(words) | Form::Word16Be(words) | Form::Word32(words) => {
                OptionValue::Text(words.last().unwrap().0.to_owned())
            }
            Form::Mac => OptionValue::Mac("7c:c2:55:6e:90:44".parse().unwrap()),
            Form::Ip4 => OptionValue::Ip("192.0.2.1".parse().unwrap()),
            Form::Ip6 => OptionValue::Ip("2001:db8::1".parse().unwrap()),
            Form::Ip4List => {
                OptionValue::Ips(vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()])
            }
            Form::Ip6List => OptionValue::Ips(vec!["2001:db8::1".parse().unwrap()]),
            Form::Link => OptionValue::Text("eth0".to_owned()),
            Form::PortRange => OptionValue::Range(4789, 4800),
        }
    }

    #[test]
    fn every_row_of_the_table_round_trips() {
        let mut names = Names::default();
        names.insert(2, "eth0");
        for row in Kind::all().flat_map(|kind| kind.attributes().iter().chain(kind.port_attributes())) {
            let value = sample(row.form);
            let mut options = Vec::new();
            encode(&mut options, row, &value, &names).unwrap();
            assert_eq!(
                decode(row, &Attributes::new(&options).indexed(), &names),
                Some(Some(value)),
                "{}",
                row.name
            );
            // A value too long for the form is refused, not truncated. A list, a flag and a range take more.
            if !matches!(row.form, Form::Ip4List | Form::Ip6List | Form::Flag | Form::PortRange) {
                let long = [Attributes::new(&options).get(row.nla).unwrap(), &[1]].concat();
                assert_eq!(super::value(row.form, &long, &names), None, "{}", row.name);
            }
        }
    }

    #[test]
    fn unset_values_are_omitted() {
        let names = Names::default();
        for (form, length) in [(Form::Link, 4), (Form::Mac, 6), (Form::Ip4, 4), (Form::Ip4List, 0)] {
            assert_eq!(value(form, &vec![0; length], &names), Some(None));
        }
        let nobody = OptionValue::Text("eth9".to_owned());
        assert_eq!(bytes(Form::Link, &nobody, &names), Err(Unencodable::NoLink("eth9".to_owned())));
        assert_eq!(bytes(Form::U8, &OptionValue::Number(256), &names), Err(Unencodable::WrongForm));
    }
}
