//! What is kept from one run of a boot to the next: the description that was applied last, for `netapply verify`, as by
//! then the drive may be gone; and what a run has still to put back, for the one after it if it is killed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::inventory::Owed;
use crate::machine::Machine;
use crate::source::{Found, Origin};

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
    pub(super) fn keep(&self, machine: &Machine) {
        write(&machine.description(), self);
    }

    /// What was kept, if anything was.
    pub(super) fn load(machine: &Machine) -> Option<Saved> {
        serde_json::from_slice(&fs::read(machine.description()).ok()?).ok()
    }
}

/// What an earlier run has taken and not put back.
pub(super) fn owed(machine: &Machine) -> Owed {
    fs::read(machine.owed()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Keeps what a run is about to take; nothing where that is nothing.
pub(super) fn keep_owed(machine: &Machine, owed: &Owed) {
    if *owed == Owed::default() {
        let _ = fs::remove_file(machine.owed());
    } else {
        write(&machine.owed(), owed);
    }
}

/// Only root may read it.
fn write(path: &Path, content: &impl Serialize) {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let new = path.with_extension("json.new");
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(content)?)?;
        fs::rename(&new, path)
    };
    if let Err(error) = write() {
        log::debug!("{} was not written: {error}", path.display());
    }
}
