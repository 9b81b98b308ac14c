//! Options of links, by the one table in `model::attribute`, under every name that the formats use.

use super::{bad, text, words};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::format::tree::{Node, Value};
use crate::model::attribute::{self, Attribute};
use crate::model::{Kind, Settings};

/// Names of bond options that differ from ip(8)'s: the left one is found in descriptions.
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
    ("up_delay", "updelay"),
    ("down_delay", "downdelay"),
    ("fail_over_mac_policy", "fail_over_mac"),
    ("primary_reselect_policy", "primary_reselect"),
    ("gratuitous_arp", "num_grat_arp"),
    // ifupdown2 and ifupdown-ng.
    ("ad_sys_priority", "ad_actor_sys_prio"),
    ("ad_sys_mac_addr", "ad_actor_system"),
    ("peer_notif_delay", "peer_notify_delay"),
];

/// The mode of a bond whose mode is missing or invalid.
const DEFAULT_BOND_MODE: &str = "balance-rr";

/// Common synonyms of the kernel's keywords.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("lacp", "802.3ad"),
    ("802.3.ad", "802.3ad"),
    ("active-passive", "active-backup"),
    ("failover", "active-backup"),
    ("round-robin", "balance-rr"),
    ("layer4", "layer3+4"),
    ("layer3", "layer3+4"),
    ("layer34", "layer3+4"),
    ("layer23", "layer2+3"),
];

/// The row of a bond option: `bond_miimon`, `bond-miimon`, `miimon`, in any case. `None` for other names.
pub(crate) fn bond_option(name: &str) -> Option<&'static Attribute> {
    let folded = name.to_ascii_lowercase().replace('-', "_");
    let bare = folded.strip_prefix("bond_").unwrap_or(&folded);
    let name = BOND_ALIASES.iter().find(|(alias, _)| *alias == bare).map_or(bare, |(_, name)| *name);
    attribute::of(Kind::Bond, name)
}

/// Reads a value by its row and sets it; null and an empty string set nothing. A list becomes one value if the row is a
/// list of addresses.
pub(in crate::format) fn set_option(
    settings: &mut Settings,
    row: &'static Attribute,
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) {
    let joined = match &node.value {
        Value::List(_) => words(node, key, diags).iter().map(|w| w.value).collect::<Vec<_>>().join(","),
        _ => text(node, key, diags).unwrap_or_default().to_owned(),
    };
    if joined.is_empty() {
        return;
    }
    // The kernel shows this for an unset one, and refuses it.
    if row.name == "ad_actor_system" && joined.bytes().all(|b| matches!(b, b'0' | b':' | b'-')) {
        let message = format!("{key} {joined} counts as not set");
        diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
        return;
    }
    match row.parse(&joined) {
        Ok(value) => settings.set(row, value, node.at),
        Err(why) => {
            // In a list, the first invalid item.
            let wrong_item =
                node.items().iter().find(|item| item.text().is_some_and(|t| row.parse(t).is_err()));
            let at = wrong_item.unwrap_or(node).at;
            let joined = wrong_item.and_then(Node::text).unwrap_or(&joined);
            let mut wrong = format!("{key} \"{joined}\": {why}");
            if row.words().iter().any(|(word, _)| *word == DEFAULT_BOND_MODE) {
                settings.set(row, attribute::OptionValue::Text(DEFAULT_BOND_MODE.to_owned()), node.at);
                wrong += "; using the kernel's default, balance-rr";
            }
            let wrong_value = Diagnostic::new(Code::BadValue, at, wrong);
            if let Some(number) = number_with_unit(joined) {
                let wrong_unit = Diagnostic { code: Code::BadUnit, ..wrong_value };
                diags.push(
                    wrong_unit
                        .hint(format!("write the number alone, without a unit ({number} if it is in ms)")),
                );
                return;
            }
            let words = || row.words().iter().map(|(word, _)| *word);
            let other = OTHER_WORDS.iter().find(|(wrong, _)| wrong.eq_ignore_ascii_case(joined));
            let meant = other.map(|(_, word)| *word).filter(|meant| words().any(|word| word == *meant));
            diags.push(match meant.or_else(|| nearest(joined, words())) {
                Some(near) => wrong_value.hint(format!("did you mean \"{near}\"?")),
                None => wrong_value,
            });
        }
    }
}

/// The number of `100ms`, `1s`.
fn number_with_unit(text: &str) -> Option<&str> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let (number, unit) = text.split_at_checked(digits)?;
    matches!(unit.trim(), "ms" | "s" | "sec" | "us").then_some(number)
}

/// Bridge options by their bridge-utils names (interfaces(5), cloud-init v1): the row, and true if the value is in
/// seconds and the kernel's unit is 1/100 s.
pub(crate) const BRIDGE_NAMES: &[(&str, &str, bool)] = &[
    ("stp", "stp_state", false),
    ("fd", "forward_delay", true),
    ("hello", "hello_time", true),
    ("maxage", "max_age", true),
    ("ageing", "ageing_time", true),
    ("bridgeprio", "priority", false),
    ("priority", "priority", false),
    ("mcsnoop", "mcast_snooping", false),
    ("mcrouter", "mcast_router", false),
    ("mcquerier", "mcast_querier", false),
    ("mcqifaddr", "mcast_query_use_ifaddr", false),
    ("hashmax", "mcast_hash_max", false),
    ("mclmc", "mcast_last_member_count", false),
    ("mcsqc", "mcast_startup_query_count", false),
    ("mclmi", "mcast_last_member_interval", true),
    ("mcmi", "mcast_membership_interval", true),
    ("mcqpi", "mcast_querier_interval", true),
    ("mcqi", "mcast_query_interval", true),
    ("mcqri", "mcast_query_response_interval", true),
    ("mcsqi", "mcast_startup_query_interval", true),
    ("mcstats", "mcast_stats_enabled", false),
    ("igmp_version", "mcast_igmp_version", false),
    ("mld_version", "mcast_mld_version", false),
    ("vlan_protocol", "vlan_protocol", false),
    ("vlan_stats", "vlan_stats_enabled", false),
    ("vlan_aware", "vlan_filtering", false),
    ("pvid", "vlan_default_pvid", false),
];

/// Sets a bridge option by its bridge-utils name: `bridge_fd`, `bridge-fd`, `fd`. False for other names.
pub(in crate::format) fn set_bridge_option(
    settings: &mut Settings,
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> bool {
    let folded = key.to_ascii_lowercase().replace('-', "_");
    let bare = folded.strip_prefix("bridge_").unwrap_or(&folded);
    let Some((_, row, seconds)) = BRIDGE_NAMES.iter().find(|(name, _, _)| *name == bare) else {
        return false;
    };
    let Some(row) = attribute::of(Kind::Bridge, row) else { return false };
    if !seconds {
        // ifupdown2 takes yes and no beside the kernel's numbers.
        let of_router = Some(node).filter(|_| row.name == "mcast_router").and_then(Node::text);
        match of_router.and_then(attribute::boolean) {
            Some(on) => settings.set(row, attribute::OptionValue::Number(on.into()), node.at),
            None => set_option(settings, row, node, key, diags),
        }
        return true;
    }
    let Some(text) = text(node, key, diags) else { return true };
    // bridge-utils accepts fractions of a second.
    match text.parse::<f64>() {
        Ok(time) if (0.0..=1e7).contains(&time) => {
            settings.set(row, attribute::OptionValue::Number((time * 100.0).round() as i64), node.at);
        }
        _ => diags.push(bad(Code::BadValue, node, key, "expected a number of seconds")),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;
    use crate::model::attribute::OptionValue;

    fn set(name: &str, yaml: &str) -> (Option<OptionValue>, Vec<String>) {
        let row = bond_option(name).unwrap();
        read(yaml, |node, diags| {
            let mut settings = Settings::default();
            set_option(&mut settings, row, node, name, diags);
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
    fn bridge_options_are_in_seconds() {
        let set = |key: &str, yaml: &str| {
            read(yaml, |node, diags| {
                let mut settings = Settings::default();
                let known = set_bridge_option(&mut settings, node, key, diags);
                (known, settings.0.into_iter().map(|(name, v)| (name, v.value)).next())
            })
            .0
        };
        assert_eq!(set("bridge_stp", "on"), (true, Some(("stp_state", OptionValue::Bool(true)))));
        assert_eq!(set("bridge-fd", "0"), (true, Some(("forward_delay", OptionValue::Number(0)))));
        assert_eq!(set("hello", "1.5"), (true, Some(("hello_time", OptionValue::Number(150)))));
        assert_eq!(set("bridge_ageing", "NaN"), (true, None));
        assert_eq!(set("bridge_ports", "eth0"), (false, None));
        for (_, row, _) in BRIDGE_NAMES {
            assert!(attribute::of(Kind::Bridge, row).is_some(), "{row}");
        }
    }

    #[test]
    fn a_wrong_item_of_a_list_is_reported_at_the_item() {
        let mut diags = Vec::new();
        let root = crate::format::tree::parse("t: [192.0.2.1, x, 192.0.2.3]\n", 0, &mut diags).unwrap();
        let row = bond_option("arp_ip_target").unwrap();
        set_option(&mut Settings::default(), row, root.get("t").unwrap(), "t", &mut diags);
        assert_eq!(diags.len(), 1, "{diags:?}");
        assert_eq!((diags[0].at.column, diags[0].message.split(':').next()), (16, Some("t \"x\"")));
    }

    #[test]
    fn values_by_word_number_and_list() {
        assert_eq!(set("bond_mode", "'4'").0, Some(OptionValue::Text("802.3ad".into())));
        assert_eq!(set("bond_lacp_rate", "1").0, Some(OptionValue::Text("fast".into())));
        assert_eq!(set("bond_miimon", "'100'").0, Some(OptionValue::Number(100)));
        assert_eq!(set("bond_xmit_hash_policy", "''"), (None, vec![]));
        let targets =
            Some(OptionValue::Ips(vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]));
        assert_eq!(set("bond-arp-ip-target", "[192.0.2.1, 192.0.2.2]").0, targets);
        assert_eq!(set("arp_ip_target", "192.0.2.1 192.0.2.2").0, targets);
        assert_eq!(
            set("bond_miimon", "100ms").1,
            ["bad-unit: bond_miimon \"100ms\": expected a number from 0 to 2147483647"]
        );
        assert_eq!(
            set("bond_miimon", "fast").1,
            ["bad-value: bond_miimon \"fast\": expected a number from 0 to 2147483647"]
        );
    }
}
