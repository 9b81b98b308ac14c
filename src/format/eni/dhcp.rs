//! The DHCP client's options in an `inet dhcp` stanza (interfaces(5), "The dhcp Method").

use crate::diagnostic::{Code, Diagnostic};
use crate::format::keys::Fields;
use crate::format::value::{client_id, number, sent, sent_name};
use crate::model::DhcpOptions;

/// The keys that only concern a client.
const KEYS: &[&str] = &[
    "hostname",
    "dhcp-hostname",
    "leasehours",
    "leasetime",
    "dhcp-leasetime",
    "vendor",
    "dhcp-vendor",
    "client",
];

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
    let of_ng = seconds("dhcp-leasetime", 1, diags);
    options.lifetime = seconds("leasetime", 1, diags).or(of_ng).or(hours);
    let vendor = fields.get("vendor").or_else(|| fields.get("dhcp-vendor"));
    options.vendor_class = vendor.and_then(|node| sent(node, "vendor", diags)).map(str::to_owned);
    options.client_id = fields.get("client").and_then(|node| sent(node, "client", diags)).map(client_id);
}
