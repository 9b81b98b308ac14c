//! What only NICs have: matching, name, wake-on-LAN and offloads.

use crate::diagnostic::{Code, Diagnostic};
use crate::format::keys::Fields;
use crate::format::tree::{Node, Value};
use crate::format::value::{self, Reported};
use crate::model::{Link, Located, Match, NamePattern, Naming};

use super::keys;

/// netplan's keys and ethtool's names of the features. `tx-checksumming` stands for all of tx-checksum-*, of which a
/// NIC has one or some.
pub(crate) const OFFLOADS: &[(&str, &str)] = &[
    ("receive-checksum-offload", "rx-checksum"),
    ("transmit-checksum-offload", "tx-checksumming"),
    ("tcp-segmentation-offload", "tx-tcp-segmentation"),
    ("tcp6-segmentation-offload", "tx-tcp6-segmentation"),
    ("generic-segmentation-offload", "tx-generic-segmentation"),
    ("generic-receive-offload", "rx-gro"),
    ("large-receive-offload", "rx-lro"),
];

/// The keys of NICs. `None` if no NIC can be meant.
pub(super) fn read(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    link.select = match fields.entry("match") {
        Some(entry) => select(&entry.value, diags)?,
        // Without a match the id is the kernel's name.
        None => Match {
            name: Some(Located::new(NamePattern::Exact(link.id.clone()), link.at)),
            ..Match::default()
        },
    };
    if let Some(node) = fields.get("set-name") {
        if fields.entry("match").is_some() {
            link.naming = value::interface_name(node, "set-name", diags).map_or(Naming::Keep, Naming::Set);
        } else {
            let message = format!("\"{}\" has set-name and no match, so it keeps its name", link.id);
            diags.push(
                Diagnostic::new(Code::MissingKey, node.at, message)
                    .hint("say which NIC to match: add a match, such as match: {macaddress: …}"),
            );
        }
    }
    link.wake_on_lan = fields.get("wakeonlan").and_then(|node| super::boolean(node, "wakeonlan", diags));
    for (key, feature) in OFFLOADS {
        let Some(on) = fields.get(key).and_then(|node| super::boolean(node, key, diags)) else { continue };
        link.features.insert(feature, on);
    }
    if let Some(node) = fields.get("infiniband-mode") {
        infiniband(link, node, diags);
    }
    Some(())
}

/// All given parts must match; without any part every NIC matches.
fn select(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Match> {
    let mut select = Match { many: true, ..Match::default() };
    let fields = super::fields_at_home(node, &keys::MATCH, diags)?;
    // Ignoring an invalid part would match more NICs than intended: none matches instead.
    if let Some(node) = fields.get("macaddress") {
        select.mac = Some(value::mac(node, "macaddress", diags)?);
    }
    if let Some(node) = fields.get("name") {
        let name = value::text(node, "name", diags)?;
        if name.contains(char::is_whitespace) {
            diags.push(
                value::bad(
                    Code::BadName,
                    node,
                    "name",
                    "no interface has a space in its name, so none matches",
                )
                .hint("write one name or one pattern, such as enp*"),
            );
            return None;
        }
        let glob = name.contains(['*', '?', '[', '\\']);
        let pattern = if glob { NamePattern::Glob } else { NamePattern::Exact };
        select.name = Some(Located::new(pattern(name.to_owned()), node.at));
    }
    if let Some(node) = fields.get("driver") {
        let nodes = if let Value::List(items) = &node.value { items } else { std::slice::from_ref(node) };
        if nodes.is_empty() {
            let message = "driver is an empty list, which no NIC fits";
            diags.push(
                Diagnostic::new(Code::BadValue, node.at, message).hint("name a driver, or remove the key"),
            );
            return None;
        }
        let mut refused = false;
        for node in nodes {
            match value::try_text(node, "driver", diags) {
                Ok(Some(driver)) if driver.contains(char::is_whitespace) => {
                    refused = true;
                    diags.push(
                        value::bad(Code::BadValue, node, "driver", "a driver's name has no spaces")
                            .hint("write several drivers as a list"),
                    );
                }
                Ok(Some(driver)) => select.drivers.push(Located::new(driver.to_owned(), node.at)),
                Ok(None) => {}
                Err(Reported) => refused = true,
            }
        }
        if select.drivers.is_empty() && refused {
            return None;
        }
    }
    Some(select)
}

fn infiniband(link: &mut Link, node: &Node, diags: &mut Vec<Diagnostic>) {
    if let Some(row) = crate::model::attribute::of(link.kind, "mode") {
        value::set_option(&mut link.settings, row, node, "infiniband-mode", diags);
    }
}
