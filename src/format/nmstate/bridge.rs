//! Bridges: options, ports, and the VLANs of ports.

use std::collections::BTreeMap;

use super::{Port, Reader, below, items, keys, number, switch, text};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::debian::vlan_table;
use crate::format::keys::Fields;
use crate::format::tree::Node;
use crate::format::value::{bad, one_of, set_option};
use crate::model::attribute::{self, OptionValue};
use crate::model::{Kind, Link, Located};

/// Keys with one option each; true if the key is in seconds and the kernel's unit is 1/100 s.
pub(crate) const OPTIONS: &[(&str, &str, bool)] = &[
    ("group-forward-mask", "group_fwd_mask", false),
    ("group-fwd-mask", "group_fwd_mask", false),
    ("group-addr", "group_address", false),
    ("hash-max", "mcast_hash_max", false),
    ("mac-ageing-time", "ageing_time", true),
    ("multicast-last-member-count", "mcast_last_member_count", false),
    // Those of multicast are in the kernel's unit, as nmstate shows its defaults.
    ("multicast-last-member-interval", "mcast_last_member_interval", false),
    ("multicast-membership-interval", "mcast_membership_interval", false),
    ("multicast-querier", "mcast_querier", false),
    ("multicast-querier-interval", "mcast_querier_interval", false),
    ("multicast-query-interval", "mcast_query_interval", false),
    ("multicast-query-response-interval", "mcast_query_response_interval", false),
    ("multicast-query-use-ifaddr", "mcast_query_use_ifaddr", false),
    ("multicast-router", "mcast_router", false),
    ("multicast-snooping", "mcast_snooping", false),
    ("multicast-startup-query-count", "mcast_startup_query_count", false),
    ("multicast-startup-query-interval", "mcast_startup_query_interval", false),
    ("vlan-default-pvid", "vlan_default_pvid", false),
    ("vlan-protocol", "vlan_protocol", false),
];

pub(crate) const STP: &[(&str, &str, bool)] = &[
    ("enabled", "stp_state", false),
    ("forward-delay", "forward_delay", true),
    ("hello-time", "hello_time", true),
    ("max-age", "max_age", true),
    ("priority", "priority", false),
];

pub(crate) const PORT: &[(&str, &str)] =
    &[("stp-hairpin-mode", "hairpin"), ("stp-path-cost", "cost"), ("stp-priority", "priority")];

pub(super) fn read(link: &mut Link, fields: &Fields<'_>, reader: &mut Reader, diags: &mut Vec<Diagnostic>) {
    if let Some(options) = below(fields, "options", &keys::BRIDGE_OPTIONS, diags) {
        set(link, OPTIONS, &options, diags);
        if let Some(stp) = below(&options, "stp", &keys::STP, diags) {
            set(link, STP, &stp, diags);
        }
    }
    let mut filters = false;
    for key in ["port", "ports"] {
        for node in items(fields.get(key), key, diags) {
            filters |= port(link, node, reader, diags);
        }
    }
    if let (true, Some(row)) = (filters, attribute::of(Kind::Bridge, "vlan_filtering")) {
        link.settings.set(row, OptionValue::Bool(true), link.at);
    }
}

fn set(link: &mut Link, table: &[(&str, &str, bool)], fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    for (key, option, seconds) in table {
        let Some(node) = fields.get(key) else { continue };
        let Some(row) = attribute::of(link.kind, option) else { continue };
        if *seconds {
            if let Some(time) = number(node, key, 1_000_000, diags) {
                link.settings.set(row, OptionValue::Number(time.value as i64 * 100), node.at);
            }
        } else if let Some(number) = router(key, node) {
            link.settings.set(row, OptionValue::Number(number), node.at);
        } else {
            set_option(&mut link.settings, row, node, key, diags);
        }
    }
}

/// nmstate's words for `mcast_router`, whose numbers it takes, too.
const ROUTER: &[&str] = &["disabled", "auto", "enabled"];

/// The word for one of its numbers, which is NetworkManager's, too.
pub(crate) fn router_word(number: i64) -> Option<&'static str> {
    ROUTER.get(usize::try_from(number).ok()?).copied()
}

fn router(key: &str, node: &Node) -> Option<i64> {
    let word = node.text().filter(|_| key == "multicast-router")?;
    (0..).zip(ROUTER).find(|(_, known)| **known == word).map(|(number, _)| number)
}

/// A port, with its options from the bridge. True if it has VLANs.
fn port(link: &mut Link, node: &Node, reader: &mut Reader, diags: &mut Vec<Diagnostic>) -> bool {
    let Some(fields) = Fields::new(node, &keys::BRIDGE_PORT, diags) else { return false };
    let Some(name) =
        fields.get("name").and_then(|node| Some(Located::new(text(node, "name", diags)?, node.at)))
    else {
        let message = format!("a port of bridge \"{}\" has no name", link.id);
        diags.push(Diagnostic::new(Code::MissingKey, node.at, message));
        return false;
    };
    link.members.push(Located::new(name.value.to_owned(), name.at));
    let ports = reader.ports.entry(name.value.to_owned()).or_default();
    let mut settings = crate::model::Settings::default();
    for (key, option) in PORT {
        let Some(node) = fields.get(key) else { continue };
        if let Some(row) = attribute::find(Kind::Bridge.port_attributes(), option) {
            set_option(&mut settings, row, node, key, diags);
            ports.extend(settings.0.remove(row.name).map(|value| Port::Setting(row, value)));
        }
    }
    let Some(vlan) = below(&fields, "vlan", &keys::PORT_VLAN, diags) else { return false };
    let Some(vids) = vlans(&vlan, diags) else { return false };
    ports.push(Port::Vlans(vlan_table(&vids, vlan.at)));
    true
}

/// The VLANs of a port, each with whether it is untagged; `None` if none are given.
fn vlans(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<BTreeMap<u16, bool>> {
    let mode = fields.get("mode");
    let trunk = match mode.and_then(|node| text(node, "mode", diags)) {
        Some("trunk") => true,
        Some("access") | None => fields.get("trunk-tags").is_some_and(|tags| !tags.items().is_empty()),
        Some(_) => {
            diags.extend(mode.map(|node| one_of(node, "mode", ["access", "trunk"].into_iter())));
            return None;
        }
    };
    let mut vids = BTreeMap::new();
    let native = switch(fields, "enable-native", diags).is_some_and(|on| on.value);
    let tag = fields.get("tag").and_then(|node| vid(node, "tag", diags));
    for item in items(fields.get("trunk-tags"), "trunk-tags", diags) {
        let Some(entry) = Fields::new(item, &keys::TRUNK_TAG, diags) else { continue };
        let one = entry.get("id").and_then(|node| vid(node, "id", diags));
        vids.extend(one.map(|vid| (vid, false)));
        if let Some(range) = below(&entry, "id-range", &keys::RANGE, diags) {
            let mut end = |key: &'static str| range.get(key).and_then(|node| vid(node, key, diags));
            if let (Some(min), Some(max)) = (end("min"), end("max")) {
                vids.extend((min..=max).map(|vid| (vid, false)));
            }
        }
    }
    // The kernel's default VLAN of untagged frames stays if neither is given.
    if mode.is_none() && vids.is_empty() && tag.is_none() {
        return None;
    }
    match tag {
        Some(tag) if !trunk || native => {
            vids.insert(tag, true);
        }
        Some(_) => {
            let at = fields.get("tag").map_or(fields.at, |node| node.at);
            let message = "tag has no effect: a trunk has untagged frames with enable-native only";
            diags.push(Diagnostic::new(Code::OptionIgnored, at, message));
        }
        None => {}
    }
    Some(vids)
}

fn vid(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<u16> {
    let vid = crate::format::value::number(node, key, 0..=4094, diags)?;
    if vid.value == 0 {
        // nmstate writes 0 for a trunk without untagged frames.
        if key != "tag" {
            diags.push(bad(Code::BadValue, node, key, "expected a VLAN id from 1 to 4094"));
        }
        return None;
    }
    u16::try_from(vid.value).ok()
}
