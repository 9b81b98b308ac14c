//! The typed readers shared by all formats: a value of the document becomes a checked one, or a diagnostic.
//!
//! Null and an empty string count as absent everywhere, as every producer means them. Each reader is given the key's
//! name for its message and returns `None` if nothing usable is there, after it has reported why.

mod address;
mod dhcp;
mod feature;
mod name;
mod option;
mod resolver;
mod tunnel;

use std::ops::RangeInclusive;

pub(super) use address::{
    AddressRules, destination, gateway, interface_address_by, prefix, route, token, try_gateway, try_ip,
};
pub(crate) use address::{interface_address, ip};
pub(super) use dhcp::{client_id, sent};
pub(super) use feature::{feature, features};
pub(super) use name::{interface_name, naming_for};
pub(crate) use option::{BRIDGE_NAMES, bond_option};
pub(super) use option::{set_bridge_option, set_option};
pub(super) use resolver::{name_servers, search_domains};
pub(crate) use tunnel::{Mode, VIRTUAL};
pub(super) use tunnel::{ends, hop_limits, key_of, set, tunnel_key};

use super::tree::{Node, Scalar, Value};
use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::model::{Family, Located, MacAddr, Mtu, Place, attribute};

/// A value that cannot be used; a diagnostic with the reason has been added.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// A string without surrounding spaces. `None` if it is absent or cannot be used; [`try_text`] distinguishes the two.
pub(crate) fn text<'a>(node: &'a Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<&'a str> {
    try_text(node, key, diags).ok().flatten()
}

/// A string without surrounding spaces; `None` if it is absent.
pub(super) fn try_text<'a>(
    node: &'a Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> Result<Option<&'a str>, Reported> {
    match &node.value {
        Value::Scalar(scalar) => Ok(Some(scalar.text.trim()).filter(|text| !text.is_empty())),
        Value::Null => Ok(None),
        Value::List(_) | Value::Map(_) => {
            diags.push(wrong_shape(node, key, "a single value"));
            Err(Reported)
        }
    }
}

/// A name that a DHCP client can send: one that no server would accept is not sent.
pub(super) fn sent_name(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<String> {
    let name = text(node, key, diags)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.len() > 63 || !name.bytes().all(plain) {
        diags.push(bad(Code::BadValue, node, key, "a name has at most 63 letters, digits, hyphens and dots"));
        return None;
    }
    Some(name.to_owned())
}

/// The name of a machine.
pub(super) fn host_name(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<String>> {
    let name = text(node, key, diags)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.len() > 253 || name.starts_with(['-', '.']) || !name.bytes().all(allowed) {
        diags.push(bad(Code::BadValue, node, key, "not a host name"));
        return None;
    }
    Some(Located::new(name.to_owned(), node.at))
}

/// Says by name what in a text does not concern the network: values may be secret.
pub(super) fn unrelated(names: &[&str], what: &str, diags: &mut Vec<Diagnostic>) {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return;
    }
    let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let message =
        format!("ignored {} {what} unrelated to networking: {}{more}", names.len(), shown.join(", "));
    diags.push(Diagnostic::new(Code::NoEffect, Place::NONE, message));
}

/// The items of a list.
pub(crate) fn items<'a>(node: Option<&'a Node>, key: &str, diags: &mut Vec<Diagnostic>) -> &'a [Node] {
    match node.map(|n| (n, &n.value)) {
        None | Some((_, Value::Null)) => &[],
        Some((_, Value::List(items))) => items,
        Some((node, _)) => {
            let wrong = wrong_shape(node, key, "a list");
            diags.push(match node.text() {
                Some(text) => wrong.hint(format!("write [{text}]")),
                None => wrong,
            });
            &[]
        }
    }
}

/// Words in one string.
const MAX_WORDS: usize = 10_000;

/// Strings that are written as a list, or in one string with spaces or commas between them.
pub(crate) fn words<'a>(node: &'a Node, key: &str, diags: &mut Vec<Diagnostic>) -> Vec<Located<&'a str>> {
    let nodes = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut words = Vec::new();
    for node in nodes {
        let text = text(node, key, diags).unwrap_or_default();
        let parts = text.split([' ', '\t', '\n', ',']).filter(|part| !part.is_empty());
        words.extend(parts.map(|part| Located::new(part, node.at)).take(MAX_WORDS));
        if words.len() >= MAX_WORDS {
            let message = format!("{key}: more than 10,000 words, the rest was left out");
            diags.push(Diagnostic::new(Code::BadValue, node.at, message));
            break;
        }
    }
    words
}

/// A whole number within a range.
pub(crate) fn number(
    node: &Node,
    key: &str,
    range: RangeInclusive<u64>,
    diags: &mut Vec<Diagnostic>,
) -> Option<Located<u64>> {
    let wanted = format!("a number from {} to {}", range.start(), range.end());
    let number = whole(node, key, &wanted, diags)?;
    if !range.contains(&number.value) {
        diags.push(bad(Code::BadValue, node, key, &format!("expected {wanted}")));
        return None;
    }
    Some(number)
}

/// An integer of any size; `wanted` is the expected type, for a message.
fn whole(node: &Node, key: &str, wanted: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<u64>> {
    let text = text(node, key, diags)?;
    warn_if_octal(node, key, diags);
    // JSON has one kind of number: some writers print 1500.0.
    match text.strip_suffix(".0").unwrap_or(text).parse() {
        Ok(number) => Some(Located::new(number, node.at)),
        Err(_) => {
            diags.push(bad(Code::BadValue, node, key, &format!("expected {wanted}")));
            None
        }
    }
}

/// An MTU. 0 means unset, as several producers write it.
pub(crate) fn mtu(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<Mtu>> {
    let bytes = whole(node, key, "a number of bytes from 68 to 65535", diags)?;
    if bytes.value == 0 {
        diags.push(Diagnostic::new(Code::NoEffect, node.at, format!("{key} 0 counts as not set")));
        return None;
    }
    match Mtu::new(bytes.value) {
        Ok(mtu) => Some(Located::new(mtu, node.at)),
        Err(why) => {
            diags.push(bad(Code::BadValue, node, key, why.0));
            None
        }
    }
}

/// on, yes, true, y, 1 and their opposites, in any case.
pub(crate) fn boolean(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<bool>> {
    let text = text(node, key, diags)?;
    let value = attribute::boolean(text);
    if value.is_none() {
        diags.push(bad(Code::BadValue, node, key, "expected true or false"));
    }
    value.map(|value| Located::new(value, node.at))
}

/// A MAC address, Ethernet's or InfiniBand's, in any spelling.
pub(super) fn mac(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<MacAddr>> {
    let text = text(node, key, diags)?;
    match text.parse() {
        Ok(mac) => {
            if let Value::Scalar(scalar) = &node.value {
                if is_base_60(scalar) {
                    let message = format!("{key} {text} is not quoted, and YAML 1.1 reads it as a number");
                    diags.push(
                        Diagnostic::new(Code::OddNumber, node.at, message)
                            .hint(format!("write \"{text}\"; it is read as that")),
                    );
                }
            }
            Some(Located::new(mac, node.at))
        }
        Err(why) => {
            diags.push(bad(Code::BadValue, node, key, why.0));
            None
        }
    }
}

/// A MAC address that identifies a NIC: like [`mac`], but zeroes, which some writers use for an unknown one, count as
/// absent. Fails, after reporting, if it cannot be read.
pub(super) fn mac_of_nic(
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> Result<Option<Located<MacAddr>>, Reported> {
    let Some(text) = try_text(node, key, diags)? else { return Ok(None) };
    if text.bytes().all(|b| matches!(b, b'0' | b':' | b'-')) && text.contains("00") {
        let message = format!("{key} {text} is not a MAC address: counts as not set");
        diags.push(Diagnostic::new(Code::NoEffect, node.at, message).severity(Severity::Warning));
        return Ok(None);
    }
    mac(node, key, diags).map(Some).ok_or(Reported)
}

/// A MAC address to set on a link: like [`mac`], but not a group address, which the kernel refuses.
pub(super) fn mac_to_set(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<MacAddr>> {
    let mac = mac(node, key, diags)?;
    if mac.value.is_multicast() {
        let why = "a group address (the first byte is odd), which no interface can have: left as it is";
        diags.push(bad(Code::BadValue, node, key, why).severity(Severity::Warning));
        return None;
    }
    Some(mac)
}

/// The family of an address, for a message.
pub(super) fn family_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// `KEY "VALUE": WHY`.
pub(crate) fn bad(code: Code, node: &Node, key: &str, why: &str) -> Diagnostic {
    Diagnostic::new(code, node.at, format!("{key} \"{}\": {why}", node.text().unwrap_or_default()))
}

/// `KEY "VALUE": expected one of …`, with the nearest of them.
pub(crate) fn one_of<'a>(node: &Node, key: &str, words: impl Iterator<Item = &'a str> + Clone) -> Diagnostic {
    let all: Vec<&str> = words.clone().collect();
    let diags = bad(Code::BadValue, node, key, &format!("expected one of {}", all.join(", ")));
    match nearest(node.text().unwrap_or_default(), words) {
        Some(near) => diags.hint(format!("did you mean \"{near}\"?")),
        None => diags,
    }
}

fn wrong_shape(node: &Node, key: &str, wanted: &str) -> Diagnostic {
    Diagnostic::new(Code::WrongShape, node.at, format!("{key} should be {wanted}, not {}", node.noun()))
}

/// PyYAML and other YAML 1.1 parsers see a number in base 60 here: `52:54:00:12:34:56`.
fn is_base_60(scalar: &Scalar) -> bool {
    let mut parts = scalar.text.trim().split(':');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    !scalar.quoted
        && digits(first)
        && !first.is_empty()
        && !first.starts_with('0')
        && !rest.is_empty()
        && rest.iter().all(|p| digits(p) && matches!(p.parse(), Ok(0..=59)) && p.len() <= 2)
}

/// `mtu: 01500` is 832 to a YAML 1.1 parser.
fn warn_if_octal(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) {
    let Value::Scalar(scalar) = &node.value else { return };
    let text = scalar.text.trim();
    if !scalar.quoted
        && text.len() > 1
        && text.starts_with('0')
        && text.bytes().all(|b| (b'0'..=b'7').contains(&b))
    {
        let message = format!("{key} {text} begins with 0, and YAML 1.1 reads it as an octal number");
        diags.push(
            Diagnostic::new(Code::OddNumber, node.at, message)
                .hint("remove the leading zero; it is read as a decimal number"),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::tree;

    /// A value of YAML text, and the reader's result with the messages.
    pub(in crate::format) fn read<T>(
        yaml: &str,
        reader: impl FnOnce(&Node, &mut Vec<Diagnostic>) -> T,
    ) -> (T, Vec<String>) {
        let mut diags = Vec::new();
        let root = tree::parse(&format!("x: {yaml}\n"), 0, &mut diags).unwrap();
        let value = reader(root.get("x").unwrap(), &mut diags);
        let diags = diags.iter().map(|d| format!("{}: {}", d.code, d.message)).collect();
        (value, diags)
    }

    #[test]
    fn macs_in_every_spelling_and_absence() {
        let mac = |yaml: &str| {
            let (mac, diags) = read(yaml, |n, s| mac(n, "mac", s));
            (mac.map(|m| m.value.to_string()), diags)
        };
        for yaml in ["'52:54:00:AB:CD:EF'", "52-54-00-ab-cd-ef", "\" 52:54:00:ab:cd:ef \""] {
            assert_eq!(mac(yaml), (Some("52:54:00:ab:cd:ef".into()), vec![]), "{yaml}");
        }
        for yaml in ["", "''", "null"] {
            assert_eq!(mac(yaml), (None, vec![]), "{yaml}");
        }
        let (value, diags) = mac("52:54:00:12:34:56");
        assert_eq!(value.unwrap(), "52:54:00:12:34:56");
        assert_eq!(
            diags,
            ["odd-number: mac 52:54:00:12:34:56 is not quoted, and YAML 1.1 reads it as a number"]
        );
        assert_eq!(
            mac("52:54").1,
            ["bad-value: mac \"52:54\": not a MAC address (six pairs of hex digits, joined by ':')"]
        );
        assert_eq!(mac("[a]").1, ["wrong-shape: mac should be a single value, not a list"]);
        let (group, diags) = read("'01:00:5e:00:00:01'", |n, s| mac_to_set(n, "mac", s));
        assert!(group.is_none() && diags[0].contains("group address"));
    }

    #[test]
    fn parses_integers_mtus_and_booleans() {
        let mtu = |yaml: &str| read(yaml, |n, s| mtu(n, "mtu", s).map(|m| m.value.get()));
        for yaml in ["9000", "'9000'", "9000.0"] {
            assert_eq!(mtu(yaml), (Some(9000), vec![]));
        }
        assert_eq!(mtu("null"), (None, vec![]));
        assert_eq!(mtu("0"), (None, vec!["no-effect: mtu 0 counts as not set".into()]));
        assert_eq!(
            mtu("'70000'").1,
            ["bad-value: mtu \"70000\": outside the 68 to 65535 bytes that an MTU may have"]
        );
        assert_eq!(mtu("01500").0, Some(1500));
        assert!(mtu("01500").1[0].starts_with("odd-number"));
        assert_eq!(mtu("-1").1, ["bad-value: mtu \"-1\": expected a number of bytes from 68 to 65535"]);
        let parsed = |yaml: &str| read(yaml, |n, s| boolean(n, "optional", s).map(|b| b.value));
        assert_eq!(parsed("Yes").0, Some(true));
        assert_eq!(parsed("off").0, Some(false));
        assert_eq!(parsed("maybe").1, ["bad-value: optional \"maybe\": expected true or false"]);
    }

    #[test]
    fn lists_of_words() {
        let all = |yaml: &str| {
            let root = tree::parse(&format!("x: {yaml}\n"), 0, &mut Vec::new()).unwrap();
            words(root.get("x").unwrap(), "x", &mut Vec::new())
                .iter()
                .map(|w| w.value.to_owned())
                .collect::<Vec<_>>()
        };
        for yaml in ["[a, b]", "'a b'", "a, b", "['a b']"] {
            assert_eq!(all(yaml), ["a", "b"], "{yaml}");
        }
        assert!(all("null").is_empty());
    }
}
