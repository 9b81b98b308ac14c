//! What is kept from one run of a boot to the next: the description that was applied last, for `netapply verify`, as by
//! then the drive may be gone; and what a run has still to put back, for the one after it if it is killed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

use crate::inventory::Owed;
use crate::source::{Found, Origin};

/// Only root may read it: a description can hold keys.
const PATH: &str = "/run/netapply/description.json";

/// A description with the line that says where it came from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Where it came from.
    pub(super) origin: Origin,
    /// Name and text of each document.
    pub(super) documents: Vec<(String, String)>,
    /// The machine's name, as the drive has it.
    #[serde(default)]
    pub(super) hostname: Option<String>,
}

impl From<&Found> for Saved {
    fn from(found: &Found) -> Self {
        let documents = found.documents.iter().map(|d| (d.name.clone(), d.text.clone())).collect();
        Saved { origin: found.origin.clone(), documents, hostname: found.metadata.hostname.clone() }
    }
}

impl Saved {
    /// Keeps it; a machine where that fails still has its network, so a failure is only logged.
    pub(super) fn keep(&self) {
        write(PATH, self);
    }

    /// What was kept, if anything was.
    pub(super) fn load() -> Option<Saved> {
        serde_json::from_slice(&fs::read(PATH).ok()?).ok()
    }
}

/// What a killed run owes: see [`Owed`].
const OWED: &str = "/run/netapply/owed.json";

/// What an earlier run has taken and not put back.
pub(super) fn owed() -> Owed {
    fs::read(OWED).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Keeps what a run is about to take; nothing where that is nothing.
pub(super) fn keep_owed(owed: &Owed) {
    if *owed == Owed::default() {
        let _ = fs::remove_file(OWED);
    } else {
        write(OWED, owed);
    }
}

/// Only root may read it.
fn write(path: &str, content: &impl Serialize) {
    let write = || {
        fs::create_dir_all("/run/netapply")?;
        let new = format!("{path}.new");
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(content)?)?;
        fs::rename(&new, path)
    };
    if let Err(error) = write() {
        log::debug!("{path} was not written: {error}");
    }
}
