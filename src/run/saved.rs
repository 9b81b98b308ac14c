//! What is kept from one run of a boot to the next: the description that was applied last, for `netapply verify`,
//! because the drive may be gone by then; and what a killed run would have to restore, for the next run.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::inventory::Owed;
use crate::machine::{Machine, files};
use crate::source::{Found, Origin};

/// A description with the line that says where it came from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Where it came from.
    pub(super) origin: Origin,
    /// Name and text of each document.
    pub(super) documents: Vec<(String, String)>,
    /// The host name from the drive.
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
    /// Saves it; failure is only logged, because the network does not depend on it.
    pub(super) fn keep(&self, machine: &Machine) {
        write(&machine.description(), self);
    }

    /// The saved description, if any.
    pub(super) fn load(machine: &Machine) -> Option<Saved> {
        files::read_json(&machine.description()).ok()
    }
}

/// What an earlier run has taken and not put back.
pub(super) fn owed(machine: &Machine) -> Owed {
    files::read_json(&machine.owed()).unwrap_or_default()
}

/// Saves what a run is about to take; does nothing if that is empty.
pub(super) fn keep_owed(machine: &Machine, owed: &Owed) {
    if *owed == Owed::default() {
        if let Err(error) = files::remove(&machine.owed()) {
            log::warn!("cannot remove {}: {error}", machine.owed().display());
        }
    } else {
        write(&machine.owed(), owed);
    }
}

/// Only root may read it.
fn write(path: &Path, content: &impl Serialize) {
    let written = serde_json::to_vec(content).map_err(io::Error::from);
    let Err(error) = written.and_then(|bytes| files::write(path, &bytes, 0o600)) else { return };
    log::warn!("cannot write {}: {error}", path.display());
    // The file of an earlier run would be mistaken for this one's.
    if let Err(error) = files::remove(path) {
        log::warn!("cannot remove {}, which is from an earlier run: {error}", path.display());
    }
}
