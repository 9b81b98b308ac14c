//! What a description leaves to DHCP and to router advertisements: which of them, and what of their answers is taken.

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::{Fields, Object};
use crate::format::tree::Node;
use crate::format::value;
use crate::model::{DhcpOptions, Dynamic, Link, Located};

use super::{Renderer, keys};

/// Boolean keys of the overrides, and their defaults.
const SWITCHES: &[(&str, bool)] = &[
    ("send-hostname", true),
    ("use-dns", true),
    ("use-hostname", true),
    ("use-mtu", true),
    ("use-ntp", true),
    ("use-routes", true),
];

/// Overrides that apply to DHCPv6.
const OF_DHCP6: &[&str] = &["hostname", "send-hostname", "use-dns", "use-domains", "use-ntp"];

/// `dhcp4`, `dhcp6` and related keys. The table of keys says which overrides are left to others.
pub(super) fn read(link: &mut Link, fields: &Fields<'_>, renderer: Renderer, diags: &mut Vec<Diagnostic>) {
    for (key, dynamic) in [("dhcp4", Dynamic::Dhcp4), ("dhcp6", Dynamic::Dhcp6)] {
        let Some(on) = fields.get(key).and_then(|node| super::boolean(node, key, diags)) else { continue };
        if on.value {
            link.dynamic.push(Located::new(dynamic, on.at));
            let (id, what) = (&link.id, dynamic.words());
            let message = format!(
                "\"{id}\" asks for {what}: a client of the image does, or netapply where none is enabled"
            );
            diags.push(Diagnostic::new(Code::LeftToOthers, on.at, message));
        }
    }
    if let Some(node) = fields.get("dhcp-identifier") {
        let known = ["mac", "duid"];
        let text = value::text(node, "dhcp-identifier", diags);
        match text.and_then(|text| known.iter().position(|k| k.eq_ignore_ascii_case(text))) {
            Some(position) => link.dhcp4.duid = position == 1,
            None if text.is_some() => diags.push(value::one_of(node, "dhcp-identifier", known.into_iter())),
            None => {}
        }
    }
    let dhcp4 = overrides(fields.get("dhcp4-overrides"), &keys::DHCP_OVERRIDES, diags);
    let dhcp6 = overrides(fields.get("dhcp6-overrides"), &keys::DHCP_OVERRIDES, diags);
    let (four, six) = (link.asks(Dynamic::Dhcp4), link.asks(Dynamic::Dhcp6));
    // networkd uses search domains only if told to.
    link.dhcp4.use_domains &= !four && !six;
    // There is one set for both.
    let set = if six && !four { &dhcp6 } else { &dhcp4 };
    if let Some(fields) = set {
        apply(fields, &mut link.dhcp4, diags);
    }
    if four && six {
        let severity = if renderer == Renderer::Networkd { Severity::Error } else { Severity::Warning };
        unequal(&dhcp4, &dhcp6, severity, diags);
    }
    advertisements(link, fields.get("ra-overrides"), diags);
}

/// What of router advertisements is taken.
fn advertisements(link: &mut Link, node: Option<&Node>, diags: &mut Vec<Diagnostic>) {
    let Some(fields) = overrides(node, &keys::RA_OVERRIDES, diags) else { return };
    let switch = |key: &str| {
        let node = fields.get(key)?;
        let on = crate::model::attribute::boolean(node.text()?)?;
        Some(Located::new(on, node.at))
    };
    (link.ipv6.ra_name_servers, link.ipv6.ra_domains) = (switch("use-dns"), switch("use-domains"));
}

/// Checks the values of overrides.
fn overrides<'a>(
    node: Option<&'a Node>,
    object: &'static Object,
    diags: &mut Vec<Diagnostic>,
) -> Option<Fields<'a>> {
    let fields = Fields::new(node?, object, diags)?;
    for (key, _) in SWITCHES {
        if let Some(node) = fields.get(key) {
            super::boolean(node, key, diags);
        }
    }
    if let Some(node) = fields.get("use-domains").filter(|node| node.text() != Some("route")) {
        super::boolean(node, "use-domains", diags);
    }
    for key in ["route-metric", "table"] {
        if let Some(node) = fields.get(key) {
            value::number(node, key, 0..=u64::from(u32::MAX), diags);
        }
    }
    Some(fields)
}

/// Reads the values of overrides; wrong ones have been reported.
fn apply(fields: &Fields<'_>, dhcp4: &mut DhcpOptions, diags: &mut Vec<Diagnostic>) {
    let switches: [(&str, &mut bool); 7] = [
        ("send-hostname", &mut dhcp4.send_host_name),
        ("use-dns", &mut dhcp4.use_name_servers),
        ("use-domains", &mut dhcp4.use_domains),
        ("use-hostname", &mut dhcp4.use_host_name),
        ("use-mtu", &mut dhcp4.use_mtu),
        ("use-ntp", &mut dhcp4.use_time_servers),
        ("use-routes", &mut dhcp4.use_routes),
    ];
    for (key, switch) in switches {
        let text = fields.get(key).and_then(Node::text);
        if let Some(on) = text.and_then(crate::model::attribute::boolean) {
            *switch = on;
        }
    }
    dhcp4.metric = fields.get("route-metric").and_then(|node| node.text()?.parse().ok());
    dhcp4.host_name = fields.get("hostname").and_then(|node| value::sent_name(node, "hostname", diags));
}

/// netplan refuses overrides that differ between IPv4 and IPv6 if both are on, because networkd has one set.
fn unequal(
    dhcp4: &Option<Fields<'_>>,
    dhcp6: &Option<Fields<'_>>,
    severity: Severity,
    diags: &mut Vec<Diagnostic>,
) {
    let get = |fields: &Option<Fields<'_>>, key| -> Option<(String, _)> {
        let node = fields.as_ref()?.get(key)?;
        Some((node.text()?.to_ascii_lowercase(), node.at))
    };
    // Elsewhere only what netapply uses of DHCPv6 matters.
    let matters = |key: &&str| severity == Severity::Error || OF_DHCP6.contains(key);
    for key in keys::DHCP_OVERRIDES.keys.iter().map(|key| key.name).filter(matters) {
        let (four, six) = (get(dhcp4, key), get(dhcp6, key));
        let default = SWITCHES.iter().find(|(name, _)| *name == key).map(|(_, on)| on.to_string());
        let text = |value: &Option<(String, _)>| {
            let text = value.as_ref().map(|(text, _)| text.clone()).or_else(|| default.clone());
            // yes, on and true are the same.
            text.map(|t| crate::model::attribute::boolean(&t).map_or(t, |on| on.to_string()))
        };
        if let (true, Some((_, at))) = (text(&four) != text(&six), four.as_ref().or(six.as_ref())) {
            let message = format!("{key} differs between dhcp4-overrides and dhcp6-overrides");
            diags.push(
                Diagnostic::new(Code::OptionConflict, *at, message).severity(severity).hint(
                    "write the same value in both: netplan, networkd and netapply have one for the two",
                ),
            );
        }
    }
}

/// A VLAN that a NIC filters for a virtual function (`renderer: sriov`) is no link of the machine.
pub(super) fn vlan_filter(id: &str, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> bool {
    let Some(node) = fields.get("renderer").filter(|node| node.text() == Some("sriov")) else { return false };
    let message = format!("VLAN \"{id}\" is a filter in an SR-IOV NIC, left to netplan's SR-IOV tools");
    diags.push(Diagnostic::new(Code::LeftToOthers, node.at, message));
    true
}
