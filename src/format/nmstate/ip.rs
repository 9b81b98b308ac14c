//! `ipv4` and `ipv6`: addresses, DHCP, router advertisements.

use super::{below, items, keys, switch, text};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::Fields;
use crate::format::tree::Node;
use crate::format::value::{self, AddressRules, bad, family_word, one_of};
use crate::model::{Address, AddressGeneration, DhcpOptions, Dynamic, Family, Link, Located};

pub(super) fn read(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    if let Some(own) = below(fields, "ipv4", &keys::IPV4, diags) {
        ipv4(link, &own, diags);
    }
    if let Some(own) = below(fields, "ipv6", &keys::IPV6, diags) {
        ipv6(link, &own, diags);
    }
}

/// Whether the family is on: `enabled` may be omitted.
fn enabled(fields: &Fields<'_>, family: Family, diags: &mut Vec<Diagnostic>) -> Option<bool> {
    let on = switch(fields, "enabled", diags)?;
    if !on.value {
        for key in ["address", "dhcp", "autoconf"] {
            let Some(node) = fields.get(key) else { continue };
            let is_on = match node.text() {
                Some(text) => crate::model::attribute::boolean(text) != Some(false),
                None => !node.items().is_empty(),
            };
            if is_on {
                let message = format!("{key} has no effect: {} is not enabled", family_word(family));
                diags.push(Diagnostic::new(Code::OptionIgnored, node.at, message));
            }
        }
    }
    Some(on.value)
}

fn ipv4(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    if enabled(fields, Family::V4, diags) == Some(false) {
        return;
    }
    addresses(link, fields, Family::V4, diags);
    link.forwarding = switch(fields, "forwarding", diags);
    let Some(dhcp) = switch(fields, "dhcp", diags).filter(|dhcp| dhcp.value) else { return };
    link.dynamic.push(Located::new(Dynamic::Dhcp4, dhcp.at));
    let message = format!(
        "\"{}\" asks for DHCP: a client of the image does, or netapply where none is enabled",
        link.id
    );
    diags.push(Diagnostic::new(Code::LeftToOthers, dhcp.at, message));
    dhcp_options(&mut link.dhcp4, fields, diags);
    if let Some(node) = fields.get("dhcp-client-id") {
        let id = value::sent(node, "dhcp-client-id", diags);
        match id.map(str::to_ascii_lowercase).as_deref() {
            Some("ll") | None => {}
            Some("iaid+duid") => link.dhcp4.duid = true,
            Some(_) => link.dhcp4.client_id = id.map(value::client_id),
        }
    }
}

/// What DHCP sends, and which parts of its answer are used.
fn dhcp_options(options: &mut DhcpOptions, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let mut switch = |key: &'static str| switch(fields, key, diags).map(|on| on.value);
    options.send_host_name = switch("dhcp-send-hostname").unwrap_or(true);
    let name_servers = switch("auto-dns").unwrap_or(true);
    (options.use_name_servers, options.use_domains) = (name_servers, name_servers);
    options.use_routes = switch("auto-routes").unwrap_or(true);
    let gateway = switch("auto-gateway").unwrap_or(true);
    if let Some(node) = fields.get("auto-gateway").filter(|_| gateway != options.use_routes) {
        let why = "the default route is taken or left together with the other routes of a lease";
        diags.push(bad(Code::Unsupported, node, "auto-gateway", why).hint("set auto-routes to the same"));
    }
    if let Some(node) = fields.get("auto-route-metric") {
        options.metric = value::number(node, "auto-route-metric", 0..=u64::from(u32::MAX), diags)
            .and_then(|metric| u32::try_from(metric.value).ok());
    }
    options.table = fields.get("auto-route-table-id").and_then(|node| {
        let table = value::number(node, "auto-route-table-id", 0..=u64::from(u32::MAX), diags)?;
        u32::try_from(table.value).ok().filter(|table| !matches!(table, 0 | 254))
    });
    if let Some(node) = fields.get("dhcp-custom-hostname") {
        let name = text(node, "dhcp-custom-hostname", diags);
        options.host_name = name.filter(|name| name.is_ascii() && name.len() <= 63).map(str::to_owned);
        if name.is_some() && options.host_name.is_none() {
            diags.push(bad(Code::BadValue, node, "dhcp-custom-hostname", "not a name of at most 63 letters"));
        }
    }
}

/// The identifier for DHCPv6 as nmstate takes it.
fn duid(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Vec<u8>> {
    match text(node, "dhcp-duid", diags)?.to_ascii_lowercase().as_str() {
        "ll" => Some(Vec::new()),
        // It is the usual one.
        "uuid" => None,
        "llt" => {
            let why = "the time in it would be another at each boot";
            diags.push(bad(Code::Unsupported, node, "dhcp-duid", why).hint("write ll, uuid or the bytes"));
            None
        }
        word => {
            let bytes: Option<Vec<u8>> = word
                .split(':')
                .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() < 3))
                .collect();
            // RFC 8415, 11.1.
            let bytes = bytes.filter(|bytes| (3..=130).contains(&bytes.len()));
            if bytes.is_none() {
                diags.push(bad(
                    Code::BadValue,
                    node,
                    "dhcp-duid",
                    "expected ll, uuid or 3 to 130 bytes in hex",
                ));
            }
            bytes
        }
    }
}

/// The routes learnt are in the main table.
fn main_table(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let is_main = |word: &str| matches!(word, "0" | "254");
    super::only(fields, "auto-route-table-id", is_main, "such routes are in the main table, 254", diags);
}

fn ipv6(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let on = enabled(fields, Family::V6, diags);
    if on == Some(false) {
        let at = fields.get("enabled").map_or(fields.at, |node| node.at);
        link.ipv6.generation = Some(Located::new(AddressGeneration::None, at));
        link.ipv6.accept_ra = Some(Located::new(false, at));
        return;
    }
    addresses(link, fields, Family::V6, diags);
    link.ipv6.forwarding = switch(fields, "forwarding", diags);
    let dhcp = switch(fields, "dhcp", diags);
    let autoconf = switch(fields, "autoconf", diags);
    if let Some(dhcp) = dhcp.filter(|dhcp| dhcp.value) {
        link.dynamic.push(Located::new(Dynamic::Dhcp6, dhcp.at));
        let message = format!("\"{}\" is brought up; DHCPv6 is left to a client of the image", link.id);
        diags.push(Diagnostic::new(Code::LeftToOthers, dhcp.at, message));
        link.dhcp4.duid6 = fields.get("dhcp-duid").and_then(|node| duid(node, diags));
    }
    // Without autoconf nmstate's NetworkManager ignores advertisements, whether it uses DHCPv6 or not.
    let at = autoconf.or(dhcp).map_or(fields.at, |written| written.at);
    let takes = autoconf.is_some_and(|autoconf| autoconf.value);
    if takes {
        link.dynamic.push(Located::new(Dynamic::RouterAdvertisements, at));
    }
    let is_static = link.addresses.iter().any(|address| address.net.addr().is_ipv6());
    if takes || on.is_some() || autoconf.is_some() || is_static {
        link.ipv6.accept_ra = Some(Located::new(takes, at));
    }
    link.ipv6.generation = fields.get("addr-gen-mode").and_then(|node| generation(node, diags));
    if let Some(node) = fields.get("token") {
        link.ipv6.token = value::token(node, "token", diags);
    }
    if let (Some(_), Some(generation)) = (link.ipv6.token, link.ipv6.generation) {
        if generation.value != AddressGeneration::Eui64 {
            let message = "addr-gen-mode and token exclude each other: using the token";
            diags.push(Diagnostic::new(Code::OptionConflict, generation.at, message));
        }
        link.ipv6.generation = None;
    }
    if takes || dhcp.is_some_and(|dhcp| dhcp.value) {
        automatic(fields, diags);
    }
}

/// The kernel and the image's client decide which parts of advertisements and DHCPv6 are used.
fn automatic(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    main_table(fields, diags);
    for key in ["auto-dns", "auto-routes", "auto-gateway", "dhcp-send-hostname"] {
        let Some(on) = switch(fields, key, diags).filter(|on| !on.value) else { continue };
        let message = format!("{key} of IPv6 is left to the image: the kernel takes what routers advertise");
        diags.push(Diagnostic::new(Code::LeftToOthers, on.at, message).severity(Severity::Warning));
    }
    for key in ["auto-route-metric", "dhcp-custom-hostname"] {
        if let Some(node) = fields.get(key) {
            let message = format!("{key} of IPv6 is left to the image");
            diags.push(Diagnostic::new(Code::LeftToOthers, node.at, message).severity(Severity::Warning));
        }
    }
}

fn generation(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Located<AddressGeneration>> {
    let mode = match text(node, "addr-gen-mode", diags)?.to_ascii_lowercase().as_str() {
        "eui64" => AddressGeneration::Eui64,
        "stable-privacy" => AddressGeneration::StableSecret,
        _ => {
            diags.push(one_of(node, "addr-gen-mode", ["eui64", "stable-privacy"].into_iter()));
            return None;
        }
    };
    Some(Located::new(mode, node.at))
}

fn addresses(link: &mut Link, fields: &Fields<'_>, family: Family, diags: &mut Vec<Diagnostic>) {
    for item in items(fields.get("address"), "address", diags) {
        let Some(fields) = Fields::new(item, &keys::ADDRESS, diags) else { continue };
        let Some(address) = address(&fields, family, diags) else { continue };
        // The kernel adds these itself, and nmstate omits them, too.
        if family == Family::V6 && crate::model::needs_zone(&address.net.addr()) && is_shown(&fields) {
            continue;
        }
        link.addresses.push(address);
    }
}

/// Copied from a machine's current state: with lifetimes.
fn is_shown(fields: &Fields<'_>) -> bool {
    fields.get("valid-life-time").is_some()
}

fn address(fields: &Fields<'_>, family: Family, diags: &mut Vec<Diagnostic>) -> Option<Address> {
    let Some(node) = fields.get("ip") else {
        let message = "an address without ip was left out";
        diags.push(Diagnostic::new(Code::MissingKey, fields.at, message).hint("add ip and prefix-length"));
        return None;
    };
    let rules = AddressRules { assumed: Severity::Error, refuse_zero: true, ..AddressRules::USUAL };
    let address = value::interface_address_by(rules, node, "ip", fields.get("prefix-length"), diags)?;
    if Family::of(&address.net.addr()) != family {
        let why = format!("not an {} address", family_word(family));
        diags.push(bad(Code::MixedFamilies, node, "ip", &why));
        return None;
    }
    Some(address)
}
