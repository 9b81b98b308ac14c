//! The DHCP client's options in an `inet dhcp` stanza (interfaces(5), "The dhcp Method").

use crate::diagnostic::{Code, Diagnostic};
use crate::format::keys::Fields;
use crate::format::tree::Node;
use crate::format::value::{bad, number, sent_name, text};
use crate::model::DhcpOptions;

/// The keys that only concern a client.
const KEYS: &[&str] = &["hostname", "dhcp-hostname", "leasehours", "leasetime", "vendor", "client"];
/// The longest value of a DHCP option.
const LONGEST: usize = 255;

/// Reads them if the stanza requests DHCP.
pub(super) fn dhcp(fields: &Fields<'_>, asks: bool, options: &mut DhcpOptions, diags: &mut Vec<Diagnostic>) {
    if !asks {
        for (key, node) in KEYS.iter().filter_map(|key| Some((key, fields.get(key)?))) {
            let message = format!("\"{key}\" has no effect here: the stanza does not ask for DHCP");
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
        }
        return;
    }
    options.host_name = ["hostname", "dhcp-hostname"]
        .into_iter()
        .find_map(|key| Some((key, fields.get(key)?)))
        .and_then(|(key, node)| sent_name(node, key, diags));
    let seconds = |key: &str, of: u64, diags: &mut Vec<Diagnostic>| {
        let number = number(fields.get(key)?, key, 1..=u64::from(u32::MAX - 1) / of, diags)?;
        u32::try_from(number.value * of).ok()
    };
    let hours = seconds("leasehours", 3600, diags);
    options.lifetime = seconds("leasetime", 1, diags).or(hours);
    options.vendor_class =
        fields.get("vendor").and_then(|node| sent(node, "vendor", diags)).map(str::to_owned);
    options.client_id = fields.get("client").and_then(|node| sent(node, "client", diags)).map(client_id);
}

/// A value that fits into an option.
fn sent<'a>(node: &'a Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<&'a str> {
    let text = text(node, key, diags)?;
    if text.len() >= LONGEST {
        diags.push(bad(Code::BadValue, node, key, "it is longer than a DHCP option"));
        return None;
    }
    Some(text)
}

/// Bytes in hex with colons are the client id as sent; other values are sent with type 0, as dhcpcd(8) does with `-I`.
fn client_id(text: &str) -> Vec<u8> {
    let byte = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2);
    let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
    match bytes.filter(|bytes| bytes.len() > 1) {
        Some(bytes) => bytes,
        None => [&[0], text.as_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_bytes_or_text() {
        assert_eq!(client_id("01:52:54:00:6b:30:03"), [1, 0x52, 0x54, 0, 0x6b, 0x30, 3]);
        assert_eq!(client_id("node:7"), b"\0node:7");
        assert_eq!(client_id("ab"), b"\0ab", "one word is a text");
    }
}
