//! The files of a report: report.json, and the login prompt's issue file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Applied, Report};
use crate::machine::{Machine, files};

/// Where the report of a machine goes.
#[derive(Copy, Clone, Debug)]
pub struct Places<'a>(pub &'a Machine);

impl Places<'_> {
    /// Writes report.json and the issue file. If one cannot be written, an earlier run's is removed, so that it is not
    /// mistaken for this run's.
    ///
    /// # Errors
    /// report.json could not be written.
    pub fn write(&self, report: &Report) -> Result<(), NotWritten> {
        // agetty interprets backslashes as escapes.
        let issue = format!("{}\n\n", report.screen.join("\n").replace('\\', "\\\\"));
        if let Err(trouble) = replace(&self.0.issue(), issue.as_bytes()) {
            log::debug!("{trouble}");
        }
        let json = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
        replace(&self.0.report(), json.as_bytes())
    }

    /// What an earlier run of this boot did with the same description, for the report of one that only verifies.
    pub fn applied_before(&self, hash: &str) -> Option<Applied> {
        #[derive(Deserialize)]
        struct EarlierReport {
            source: EarlierSource,
            applied: Applied,
        }
        #[derive(Deserialize)]
        struct EarlierSource {
            hash: String,
        }
        let earlier: EarlierReport = self.last().ok()?;
        (earlier.source.hash == hash).then_some(earlier.applied)
    }

    /// The last report, or the part that `T` reads.
    ///
    /// # Errors
    /// It does not exist, or does not match `T` ([`io::ErrorKind::InvalidData`]).
    pub fn last<T: DeserializeOwned>(&self) -> io::Result<T> {
        files::read_json(&self.0.report())
    }
}

/// Why a file could not be written, and whether an earlier run's still exists.
#[derive(Debug)]
pub struct NotWritten {
    /// The file.
    pub path: PathBuf,
    /// Why it could not be written.
    pub why: io::Error,
    /// Why the old one could not be removed; `None` if it is gone.
    pub stale: Option<io::Error>,
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}: {}", self.path.display(), self.why)?;
        match &self.stale {
            Some(why) => write!(f, "; the file of an earlier run cannot be removed: {why}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NotWritten {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

fn replace(path: &Path, content: &[u8]) -> Result<(), NotWritten> {
    files::write(path, content, 0o644).map_err(|why| {
        let stale = files::remove(path).err();
        NotWritten { path: path.to_owned(), why, stale }
    })
}

/// A time as `2026-03-01T10:20:30Z`.
pub(crate) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01 in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let (day, year) = (of_year - (153 * shifted + 2) / 5 + 1, year + era * 400 + u64::from(month <= 2));
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Builder;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_date() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_772_360_430), "2026-03-01T10:20:30Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
    }

    #[test]
    fn the_last_apply_is_remembered_for_the_same_description() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::below(folder.path());
        let places = Places(&machine);
        let applied = Applied { planned: 3, done: 2, failed: Vec::new() };
        let source = Some(crate::report::tests::origin());
        let report = Builder { source, applied: Some(applied.clone()), ..Builder::default() }.finish(1);
        places.write(&report).unwrap();
        assert_eq!(places.applied_before("0badcafe"), Some(applied));
        assert_eq!(places.applied_before("another"), None);
        let issue = std::fs::read_to_string(machine.issue()).unwrap();
        assert!(issue.starts_with("netapply: FAULT - /dev/sr0"), "{issue}");
        assert_eq!(std::fs::read_dir(machine.run()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_report_that_cannot_be_written_removes_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::below(folder.path());
        let report = Builder::default().finish(0);
        Places(&machine).write(&report).unwrap();
        // A folder in the new file's place prevents the rename.
        std::fs::create_dir(machine.run().join("report.json.new")).unwrap();
        let trouble = Places(&machine).write(&report).unwrap_err();
        assert!(trouble.stale.is_none());
        assert!(trouble.to_string().contains("report.json: "), "{trouble}");
        assert!(!machine.report().exists());
    }
}
