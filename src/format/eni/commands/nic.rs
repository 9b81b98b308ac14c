//! `ethtool -K`, `-s`, `-G`, `-C` and `-A`: features and parameters of a NIC.

use super::{Effect, What};
use crate::format::eni::OFFLOADS;
use crate::format::value::feature;
use crate::model::attribute::{self, NIC, OptionValue};

/// What a command sets on a NIC.
#[derive(Debug, Default, PartialEq)]
pub(in crate::format::eni) struct Tuned {
    /// Features by the kernel's names.
    pub(in crate::format::eni) features: Vec<(&'static str, bool)>,
    /// Parameters by the names of their rows.
    pub(in crate::format::eni) parameters: Vec<(&'static str, OptionValue)>,
    /// Wake on LAN by magic packets.
    pub(in crate::format::eni) wake_on_lan: Option<bool>,
}

/// ethtool(8)'s long options.
const LONG: &[(&str, &str)] = &[
    ("--features", "-K"),
    ("--offload", "-K"),
    ("--change", "-s"),
    ("--set-ring", "-G"),
    ("--coalesce", "-C"),
    ("--pause", "-A"),
];

/// `ethtool FLAG NAME WORD VALUE [WORD VALUE]…`, ethtool(8).
pub(super) fn ethtool(words: &[&str]) -> Option<Effect> {
    let [flag, name, pairs @ ..] = words else { return None };
    let flag = LONG.iter().find(|(long, _)| long == flag).map_or(*flag, |(_, short)| short);
    let mut tuned = Tuned::default();
    let pairs = pairs.chunks(2);
    for pair in pairs {
        let [word, value] = pair else { return None };
        match (flag, *word) {
            ("-K", _) => {
                let on = attribute::boolean(value)?;
                tuned.features.extend(features(word)?.iter().map(|feature| (*feature, on)));
            }
            ("-s", "wol") if matches!(*value, "g" | "d") => tuned.wake_on_lan = Some(*value == "g"),
            _ => {
                let group = NIC.iter().find(|group| group.flag == flag)?;
                let row = group.rows.iter().find(|row| row.name.strip_prefix(group.prefix) == Some(word))?;
                tuned.parameters.push((row.name, row.parse(value).ok()?));
            }
        }
    }
    (tuned != Tuned::default()).then(|| Effect { dev: Some((*name).to_owned()), what: What::Tuned(tuned) })
}

/// The kernel's features for a word of `ethtool -K`; some words are groups of them.
fn features(word: &str) -> Option<Vec<&'static str>> {
    let group = OFFLOADS.iter().find(|(key, _)| key.strip_prefix("offload-") == Some(word));
    match (group, word) {
        (Some((_, features)), _) => Some(features.to_vec()),
        (None, "sg") => Some(vec!["tx-scatter-gather"]),
        (None, _) => Some(vec![feature(word)?]),
    }
}
