//! What a DHCP client sends.

use super::{bad, text};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::Node;

/// The longest value of a DHCP option.
const LONGEST: usize = 255;

/// A value that fits into an option of DHCP.
pub(in crate::format) fn sent<'a>(node: &'a Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<&'a str> {
    let text = text(node, key, diags)?;
    if text.len() >= LONGEST {
        diags.push(bad(Code::BadValue, node, key, "it is longer than a DHCP option"));
        return None;
    }
    Some(text)
}

/// Bytes in hex with colons are the client id as sent; other values are sent with type 0, as dhcpcd(8) does with `-I`.
pub(in crate::format) fn client_id(text: &str) -> Vec<u8> {
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
