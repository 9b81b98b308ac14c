//! Where the report goes: report.json, the login prompt's issue file, every active console.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::screen::screen;
use super::{Applied, Report};
use crate::diagnostic::Style;
use crate::machine::Machine;

/// How long one console may take: a serial line at 9600 baud needs two seconds for the whole screen, and one with flow
/// control and nobody behind it takes nothing at all.
const CONSOLE: Duration = Duration::from_secs(5);

/// Where the report of a machine goes.
#[derive(Copy, Clone, Debug)]
pub struct Places<'a>(pub &'a Machine);

impl Places<'_> {
    /// Writes report.json and the issue file. What cannot be written is given back, each with the reason; nothing of it
    /// is worth ending for.
    pub fn write(&self, report: &Report) -> Vec<(PathBuf, io::Error)> {
        let json = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
        let plain = screen(report, Style::Plain);
        let mut troubles = Vec::new();
        // agetty reads backslashes as escapes.
        let issue = format!("{}\n", plain.replace('\\', "\\\\"));
        for (path, text) in [(self.0.report(), json), (self.0.issue(), issue)] {
            if let Err(error) = write_atomically(&path, text.as_bytes()) {
                troubles.push((path, error));
            }
        }
        troubles
    }

    /// Writes the screen to every active console: the last `console=` alone would miss the BMC or the screen. Takes five
    /// seconds a console at most.
    pub fn show(&self, text: &str) -> Vec<(PathBuf, io::Error)> {
        self.show_within(text, CONSOLE)
    }

    /// Writes a line to every active console that takes it at once; it is not worth waiting for.
    pub fn show_line(&self, line: &str) {
        let _ = self.show_within(line, Duration::ZERO);
    }

    fn show_within(&self, text: &str, bound: Duration) -> Vec<(PathBuf, io::Error)> {
        let active = std::fs::read_to_string(self.0.consoles()).unwrap_or_default();
        let consoles = active.split_whitespace().filter(|name| !name.contains('/'));
        let tried = consoles.map(|name| self.0.dev().join(name)).map(|path| {
            let result = write_console(&path, text, bound);
            (path, result)
        });
        tried.filter_map(|(path, result)| result.err().map(|error| (path, error))).collect()
    }

    /// What an earlier run of this boot did for the same text, for the report of one that only verifies.
    pub fn applied_before(&self, hash: &str) -> Option<Applied> {
        let last = self.last().ok()?;
        (last.pointer("/source/hash")?.as_str()? == hash).then_some(())?;
        serde_json::from_value(last.get("applied")?.clone()).ok()
    }

    /// The last report as it stands in the file.
    pub fn last(&self) -> io::Result<serde_json::Value> {
        let text = std::fs::read(self.0.report())?;
        serde_json::from_slice(&text).map_err(io::Error::from)
    }
}

/// Writes a file beside its place and moves it there: a reader sees the old one or the new one.
fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("new.{}", std::process::id()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.flush()
    });
    let moved = written.and_then(|()| std::fs::rename(&beside, path));
    if moved.is_err() {
        // Half a file is of no use to anybody, and there may be none.
        let _ = std::fs::remove_file(&beside);
    }
    moved
}

/// Writes to a terminal without waiting longer than the bound, and without making it ours.
fn write_console(path: &Path, text: &str, bound: Duration) -> io::Result<()> {
    let mut console =
        OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)?;
    // A console in raw mode (another program's) would go down without going back; what it was at stays on its line.
    let text = format!("\r{}", text.replace('\n', "\r\n"));
    let mut rest = text.as_bytes();
    let end = Instant::now() + bound;
    while !rest.is_empty() {
        match console.write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                let mut waiting = [PollFd::new(console.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut waiting, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A time as `2026-03-01T10:20:30Z`.
pub(super) fn utc(time: SystemTime) -> String {
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

    #[test]
    fn times_are_those_of_date() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_772_360_430), "2026-03-01T10:20:30Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
    }

    #[test]
    fn what_was_applied_is_remembered_for_the_same_text() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::below(folder.path());
        let places = Places(&machine);
        let applied = Applied { planned: 3, done: 2, failed: Vec::new() };
        let mut report = Builder { applied: Some(applied.clone()), ..Builder::default() }.finish(1);
        report.source = Some(crate::report::tests::origin());
        assert!(places.write(&report).is_empty());
        assert_eq!(places.applied_before("0badcafe"), Some(applied));
        assert_eq!(places.applied_before("another"), None);
        let issue = std::fs::read_to_string(machine.issue()).unwrap();
        assert!(issue.starts_with("netapply: FAULT - /dev/sr0"), "{issue}");
        assert_eq!(std::fs::read_dir(machine.run()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn every_active_console_is_written_to_and_a_missing_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::below(folder.path());
        std::fs::create_dir_all(machine.consoles().parent().unwrap()).unwrap();
        std::fs::create_dir(machine.dev()).unwrap();
        std::fs::write(machine.consoles(), "tty0 ttyS1 ttyS0\n").unwrap();
        for name in ["tty0", "ttyS0"] {
            std::fs::write(machine.dev().join(name), "").unwrap();
        }
        let troubles = Places(&machine).show("one\ntwo\n");
        assert_eq!(troubles.len(), 1);
        assert!(troubles[0].0.ends_with("ttyS1"));
        for name in ["tty0", "ttyS0"] {
            assert_eq!(std::fs::read_to_string(machine.dev().join(name)).unwrap(), "\rone\r\ntwo\r\n");
        }
    }
}
