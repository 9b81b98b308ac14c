//! Options of links, by the one table in `model::attribute`, under every name that the formats give them.

use super::{bad, text, words};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::format::tree::{Node, Value};
use crate::model::attribute::{self, Attribute};
use crate::model::{Kind, Settings};

/// Names of bond options that differ from ip(8)'s: the left one is what is found in texts.
const BOND_ALIASES: &[(&str, &str)] = &[
    ("num_unsol_na", "num_grat_arp"),
    ("arp_ip_targets", "arp_ip_target"),
    ("learn_packet_interval", "lp_interval"),
    ("all_ports_active", "all_slaves_active"),
    ("packets_per_port", "packets_per_slave"),
    ("active_port", "active_slave"),
    ("transmit_hash_policy", "xmit_hash_policy"),
    ("ns_ip6_targets", "ns_ip6_target"),
    ("arp_missed_max", "missed_max"),
    ("mii_monitor_interval", "miimon"),
];

/// The row of a bond option: `bond_miimon`, `bond-miimon`, `miimon`, in any case. `None` for what is none.
pub(in crate::format) fn bond_option(name: &str) -> Option<&'static Attribute> {
    let folded = name.to_ascii_lowercase().replace('-', "_");
    let bare = folded.strip_prefix("bond_").unwrap_or(&folded);
    let name = BOND_ALIASES.iter().find(|(alias, _)| *alias == bare).map_or(bare, |(_, name)| *name);
    attribute::of(Kind::Bond, name)
}

/// Reads a value by its row and sets it; null and an empty text set nothing. A list becomes one value where the row is
/// one of a list of addresses.
pub(in crate::format) fn set_option(
    settings: &mut Settings,
    row: &'static Attribute,
    node: &Node,
    key: &str,
    said: &mut Vec<Diagnostic>,
) {
    let joined = match &node.value {
        Value::List(_) => words(node, key, said).iter().map(|w| w.value).collect::<Vec<_>>().join(","),
        _ => text(node, key, said).unwrap_or_default().to_owned(),
    };
    if joined.is_empty() {
        return;
    }
    match row.parse(&joined) {
        Ok(value) => settings.set(row, value, node.at),
        Err(why) => {
            let said_bad = match &node.value {
                Value::List(_) => {
                    Diagnostic::new(Code::BadValue, node.at, format!("{key} \"{joined}\": {why}"))
                }
                _ => bad(Code::BadValue, node, key, &why),
            };
            said.push(match nearest(&joined, row.words().iter().map(|(word, _)| *word)) {
                Some(near) => said_bad.hint(format!("did you mean \"{near}\"?")),
                None => said_bad,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;
    use crate::model::attribute::Value as Option_;

    fn set(name: &str, yaml: &str) -> (Option<Option_>, Vec<String>) {
        let row = bond_option(name).unwrap();
        read(yaml, |node, said| {
            let mut settings = Settings::default();
            set_option(&mut settings, row, node, name, said);
            settings.get(row.name).cloned()
        })
    }

    #[test]
    fn every_row_is_found_under_every_spelling() {
        for row in attribute::of_kind(Kind::Bond) {
            for name in [
                row.name.to_owned(),
                format!("bond_{}", row.name),
                format!("bond-{}", row.name.replace('_', "-")),
                row.name.to_uppercase(),
            ] {
                assert_eq!(bond_option(&name).map(|r| r.name), Some(row.name), "{name}");
            }
        }
        for (alias, name) in BOND_ALIASES {
            assert_eq!(bond_option(alias).map(|r| r.name), Some(*name));
            assert!(attribute::of(Kind::Bond, alias).is_none(), "{alias} is a row of its own");
        }
        assert!(bond_option("bond_links").is_none());
    }

    #[test]
    fn values_by_word_number_and_list() {
        assert_eq!(set("bond_mode", "'4'").0, Some(Option_::Text("802.3ad".into())));
        assert_eq!(set("bond_lacp_rate", "1").0, Some(Option_::Text("fast".into())));
        assert_eq!(set("bond_miimon", "'100'").0, Some(Option_::Number(100)));
        assert_eq!(set("bond_xmit_hash_policy", "''"), (None, vec![]));
        let targets = Some(Option_::Ips(vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]));
        assert_eq!(set("bond-arp-ip-target", "[192.0.2.1, 192.0.2.2]").0, targets);
        assert_eq!(set("arp_ip_target", "192.0.2.1 192.0.2.2").0, targets);
        assert_eq!(
            set("bond_miimon", "fast").1,
            ["bad-value: bond_miimon \"fast\": expected a number from 0 to 4294967295"]
        );
    }
}
