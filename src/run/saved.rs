//! The description that was applied last, kept for `netapply verify`: by then the drive may be gone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

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
        let write = || {
            fs::create_dir_all("/run/netapply")?;
            let new = format!("{PATH}.new");
            let _ = fs::remove_file(&new);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            fs::rename(&new, PATH)
        };
        if let Err(error) = write() {
            log::debug!("{PATH} was not written: {error}");
        }
    }

    /// What was kept, if anything was.
    pub(super) fn load() -> Option<Saved> {
        serde_json::from_slice(&fs::read(PATH).ok()?).ok()
    }
}
