//! WireGuard's keys and peers. Messages never contain a key.

use std::net::{IpAddr, SocketAddr};

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::Fields;
use crate::format::tree::{Node, Value};
use crate::format::value;
use crate::model::{Link, Located, Peer, Wireguard};

use super::keys;

/// Keys and peers of a WireGuard link; `None` without a private key.
pub(super) fn read(link: &Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<Wireguard> {
    let mut private_key = None;
    for name in ["key", "keys"] {
        let Some(node) = fields.get(name) else { continue };
        if matches!(node.value, Value::Map(_)) {
            let Some(fields) = Fields::new(node, &keys::TUNNEL_KEYS, diags) else { continue };
            if let Some(node) = fields.get("private") {
                private_key = secret(node, "the private key", diags);
            }
        } else {
            private_key = secret(node, "the private key", diags);
        }
    }
    if private_key.is_none() {
        let message = format!("WireGuard link \"{}\" has no usable private key", link.id);
        diags.push(
            Diagnostic::new(Code::MissingKey, link.at, message)
                .hint("add key: the private key (wg genkey), or the path of a file that has it"),
        );
        return None;
    }
    let mut number = |key: &'static str, most: u64| {
        value::number(fields.get(key)?, key, 0..=most, diags).filter(|n| n.value > 0)
    };
    let listen_port = number("port", 65_535).and_then(|n| u16::try_from(n.value).ok());
    let mark = number("mark", u32::MAX.into()).and_then(|n| u32::try_from(n.value).ok());
    let nodes = value::items(fields.get("peers"), "peers", diags);
    let peers: Vec<Peer> = nodes.iter().filter_map(|node| peer(node, diags)).collect();
    if nodes.is_empty() {
        let message = format!("WireGuard link \"{}\" has no peers", link.id);
        diags.push(Diagnostic::new(Code::MissingKey, link.at, message).hint("add peers"));
    }
    Some(Wireguard { private_key, listen_port, mark, peers })
}

fn peer(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Peer> {
    let fields = Fields::new(node, &keys::PEER, diags)?;
    let own = fields.get("keys").and_then(|node| Fields::new(node, &keys::PEER_KEYS, diags));
    let public = own.as_ref().and_then(|keys| keys.get("public"));
    let Some(public) = public else {
        let message = "the peer has no public key, left out";
        diags.push(Diagnostic::new(Code::MissingKey, node.at, message).hint("add keys: {public: …}"));
        return None;
    };
    let public_key = value::text(public, "public", diags).filter(|key| is_key(key));
    let Some(public_key) = public_key.map(|key| Located::new(key.to_owned(), public.at)) else {
        diags.push(not_a_key(public, "the public key").hint("it should be 44 letters of base64"));
        return None;
    };
    let shared_key = match own.as_ref().and_then(|keys| keys.get("shared")) {
        // Without the preshared key that the peer has, no packet could be decrypted.
        Some(node) => Some(secret(node, "the shared key", diags)?),
        None => None,
    };
    let mut allowed = Vec::new();
    for item in value::items(fields.get("allowed-ips"), "allowed-ips", diags) {
        allowed.extend(value::destination(item, "allowed-ips", None, crate::model::Family::V4, diags));
    }
    if allowed.is_empty() {
        let message = "the peer has no allowed-ips, so it may send nothing";
        diags.push(
            Diagnostic::new(Code::MissingKey, node.at, message)
                .hint("add allowed-ips: the prefixes behind it, or 0.0.0.0/0 and ::/0"),
        );
    }
    let endpoint = fields.get("endpoint").and_then(|node| endpoint(node, diags));
    let keepalive = fields
        .get("keepalive")
        .and_then(|node| value::number(node, "keepalive", 0..=65_535, diags))
        .and_then(|seconds| u16::try_from(seconds.value).ok());
    Some(Peer { public_key, shared_key, endpoint, allowed, keepalive })
}

/// `192.0.2.1:51820` or `[2001:db8::1]:51820`. A host name would need name servers before the network is up.
fn endpoint(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Located<(IpAddr, u16)>> {
    let text = value::text(node, "endpoint", diags)?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Located::new((address.ip(), address.port()), node.at));
    }
    let is_name = |host: &str| {
        host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
            && host.bytes().any(|b| b.is_ascii_alphabetic())
    };
    diags.push(match text.rsplit_once(':') {
        Some((host, port)) if is_name(host) && port.parse::<u16>().is_ok() => {
            let message = format!("endpoint {text}: names cannot be resolved before the network is up");
            Diagnostic::new(Code::Unsupported, node.at, message)
                .severity(Severity::Warning)
                .hint("write its IP address; without it the peer has to make the first contact")
        }
        _ => value::bad(Code::BadAddress, node, "endpoint", "not an address and a port")
            .hint("write 192.0.2.1:51820 or [2001:db8::1]:51820"),
    });
    None
}

/// A key, or the path of a file that contains it.
fn secret(node: &Node, what: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<String>> {
    let text = value::text(node, what, diags)?;
    if !is_key(text) && !text.starts_with('/') {
        diags.push(not_a_key(node, what).hint("it should be 44 letters of base64, or an absolute path"));
        return None;
    }
    Some(Located::new(text.to_owned(), node.at))
}

fn not_a_key(node: &Node, what: &str) -> Diagnostic {
    Diagnostic::new(Code::BadValue, node.at, format!("{what} is not a WireGuard key"))
}

/// 32 bytes in base64: 43 characters and one `=`.
fn is_key(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    text.len() == 44 && text.strip_suffix('=').is_some_and(|key| key.bytes().all(letter))
}
