//! The earlier content of other programs' files that netapply wrote, so that it can be restored. Files that are
//! netapply's alone are known by their names and need no record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the record is kept.
pub(super) const RECORD: &str = "/run/netapply/handoff.json";

/// The earlier state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// By path: the content; `None` if there was no file.
    pub files: BTreeMap<String, Option<String>>,
    /// Links that NetworkManager was told to release while it ran.
    pub released: Vec<String>,
}

impl Record {
    /// The stored form.
    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
