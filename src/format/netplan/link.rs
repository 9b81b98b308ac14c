//! What every link may have: addresses, name servers, MAC address, MTU, IPv6, activation, bridge port options.

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::Fields;
use crate::format::tree::{Node, Value};
use crate::format::value::{self, AddressRules};
use crate::model::attribute;
use crate::model::{Activation, Address, AddressGeneration, DesiredMac, Kind, Link, Located, Resolver};

use super::{Renderer, dynamic, keys, route};

/// The keys that all kinds of links share.
pub(super) fn common(link: &mut Link, fields: &Fields<'_>, renderer: Renderer, diags: &mut Vec<Diagnostic>) {
    link.addresses = addresses(fields.get("addresses"), diags);
    route::read(link, fields, diags);
    link.resolver = resolver(fields.get("nameservers"), diags);
    link.mac = fields.get("macaddress").and_then(|node| mac(node, diags));
    link.mtu = fields.get("mtu").and_then(|node| value::mtu(node, "mtu", diags));
    ipv6(link, fields, diags);
    activation(link, fields, diags);
    port(link, fields, diags);
    dynamic::read(link, fields, renderer, diags);
}

/// `addresses`: `ip/length`, or a mapping of that to its options.
fn addresses(list: Option<&Node>, diags: &mut Vec<Diagnostic>) -> Vec<Address> {
    let mut addresses = Vec::new();
    for item in value::items(list, "addresses", diags) {
        let Value::Map(entries) = &item.value else {
            addresses.extend(address(item, diags));
            continue;
        };
        for entry in entries {
            let key = Node::scalar(&entry.key, entry.key_at);
            let Some(mut address) = address(&key, diags) else { continue };
            if let Some(fields) = Fields::new(&entry.value, &keys::ADDRESS, diags) {
                options(&mut address, &fields, diags);
            }
            addresses.push(address);
        }
    }
    addresses
}

/// netplan requires the prefix length and refuses 0. A missing length is assumed nonetheless, as in the other formats:
/// a machine with a guessed length can mostly be reached, one without an address cannot.
fn address(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Address> {
    let rules = AddressRules { assumed: Severity::Error, refuse_zero: true, ..AddressRules::USUAL };
    value::interface_address_by(rules, node, "address", None, diags)
}

fn options(address: &mut Address, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    if let Some(node) = fields.get("lifetime") {
        match value::text(node, "lifetime", diags) {
            Some("0") => address.preferred = Some(0),
            Some(text) if !text.eq_ignore_ascii_case("forever") => {
                diags.push(value::bad(Code::BadValue, node, "lifetime", "expected 0 or forever"));
            }
            _ => {}
        }
    }
    let Some(node) = fields.get("label") else { return };
    let Some(label) = value::text(node, "label", diags) else { return };
    if address.net.addr().is_ipv6() {
        let message = format!("the label of {} has no effect: only IPv4 has labels", address.net);
        diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
    } else if label.len() > 15 || label.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let why = "not a label (1 to 15 bytes without spaces): the address is added without a label";
        diags.push(value::bad(Code::BadValue, node, "label", why).severity(Severity::Warning));
    } else {
        address.label = Some(label.to_owned());
    }
}

fn resolver(node: Option<&Node>, diags: &mut Vec<Diagnostic>) -> Resolver {
    let mut resolver = Resolver::default();
    let fields = node.and_then(|node| Fields::new(node, &keys::NAMESERVERS, diags));
    if let Some(fields) = fields {
        if let Some(node) = fields.get("addresses") {
            value::name_servers(node, "nameservers", &mut resolver, diags);
        }
        if let Some(node) = fields.get("search") {
            value::search_domains(node, "search", &mut resolver, diags);
        }
    }
    resolver
}

/// An address, or a keyword for networkd (permanent, random) or for NetworkManager (the others).
fn mac(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Located<DesiredMac>> {
    let word = value::text(node, "macaddress", diags)?;
    let mac = match word {
        "permanent" => DesiredMac::Permanent,
        "random" => DesiredMac::Random,
        "stable" | "stable-ssid" | "preserve" => {
            let message =
                format!("macaddress {word} is for NetworkManager: the MAC address is left as it is");
            let severity = if word == "preserve" { Severity::Note } else { Severity::Warning };
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message).severity(severity));
            return None;
        }
        _ => DesiredMac::Is(value::mac_to_set(node, "macaddress", diags)?.value),
    };
    Some(Located::new(mac, node.at))
}

fn ipv6(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let flag = |key: &'static str, diags: &mut Vec<Diagnostic>| {
        fields.get(key).and_then(|node| super::boolean(node, key, diags))
    };
    link.ipv6.accept_ra = flag("accept-ra", diags);
    link.ipv6.privacy = flag("ipv6-privacy", diags);
    link.ipv6.mtu = fields
        .get("ipv6-mtu")
        .and_then(|node| {
            let least = if node.text() == Some("0") { 0 } else { 1280 };
            value::number(node, "ipv6-mtu", least..=u64::from(u32::MAX), diags)
        })
        .filter(|mtu| mtu.value > 0)
        .map(|mtu| Located::new(mtu.value as u32, mtu.at));
    link.ipv6.generation = fields.get("ipv6-address-generation").and_then(|node| generation(node, diags));
    link.ipv6.token =
        fields.get("ipv6-address-token").and_then(|node| value::token(node, "ipv6-address-token", diags));
    if let (Some(_), Some(generation)) = (link.ipv6.token, link.ipv6.generation) {
        let message = "ipv6-address-generation and ipv6-address-token exclude each other: using the token";
        diags.push(
            Diagnostic::new(Code::OptionConflict, generation.at, message)
                .severity(Severity::Error)
                .hint("remove one of the two"),
        );
        link.ipv6.generation = None;
    }
    if let Some(node) = fields.get("link-local") {
        link_local(link, node, diags);
    }
}

/// stable-privacy is RFC 7217, with a secret that survives a reboot, as in networkd.
fn generation(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Located<AddressGeneration>> {
    let generation = match value::text(node, "ipv6-address-generation", diags)? {
        "eui64" => AddressGeneration::Eui64,
        "stable-privacy" => AddressGeneration::StableSecret,
        _ => {
            let words = ["eui64", "stable-privacy"].into_iter();
            diags.push(value::one_of(node, "ipv6-address-generation", words));
            return None;
        }
    };
    Some(Located::new(generation, node.at))
}

fn link_local(link: &mut Link, node: &Node, diags: &mut Vec<Diagnostic>) {
    let mut v6 = false;
    for item in value::items(Some(node), "link-local", diags) {
        match value::text(item, "link-local", diags).map(str::to_ascii_lowercase).as_deref() {
            Some("ipv6") => v6 = true,
            Some("ipv4") => {
                let message = "link-local ipv4 is left to the image: a daemon must claim such an address";
                diags.push(
                    Diagnostic::new(Code::LeftToOthers, item.at, message).severity(Severity::Warning).hint(
                        "have avahi-autoipd or systemd-networkd in the image, or give the link an address",
                    ),
                );
            }
            Some(_) => diags.push(value::one_of(item, "link-local", ["ipv4", "ipv6"].into_iter())),
            None => {}
        }
    }
    if !v6 {
        link.ipv6.generation = Some(Located::new(AddressGeneration::None, node.at));
    }
}

/// netplan makes a link optional that is not activated.
fn activation(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    let mut flag = |key: &'static str| {
        fields.get(key).and_then(|node| super::boolean(node, key, diags)).is_some_and(|flag| flag.value)
    };
    link.optional = flag("optional");
    link.ignore_carrier = flag("ignore-carrier");
    let Some(node) = fields.get("activation-mode") else { return };
    match value::text(node, "activation-mode", diags) {
        Some("manual") => link.activation = Activation::Manual,
        Some("off") => link.activation = Activation::Off,
        Some(_) => return diags.push(value::one_of(node, "activation-mode", ["manual", "off"].into_iter())),
        None => return,
    }
    link.optional = true;
}

/// Keys of a bridge's port, and their options.
pub(crate) const PORT: &[(&str, &str)] =
    &[("hairpin", "hairpin"), ("port-mac-learning", "learning"), ("neigh-suppress", "neigh_suppress")];

/// Options as a port of a bridge. Whether the link is one is known at the end ([`super::finish`]).
fn port(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    for (key, option) in PORT {
        let Some(node) = fields.get(key) else { continue };
        if let Some(row) = attribute::find(Kind::Bridge.port_attributes(), option) {
            value::set_option(&mut link.port, row, node, key, diags);
        }
    }
}
