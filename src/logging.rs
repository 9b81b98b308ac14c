//! The log: to standard error, with journal priorities under systemd, and whole into files for those who collect a
//! ramdisk's logs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};

/// How the lines on standard error begin.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// `netapply: `, for a person.
    Name,
    /// `<4>netapply: `: the priority that the journal and /dev/kmsg take off (sd-daemon(3)).
    Priority,
}

/// Standard error, and the files of a boot.
struct Tee {
    level: LevelFilter,
    prefix: Prefix,
    files: Vec<File>,
}

/// Starts the log. Everything down to `debug` goes to those of the files that can be written, whatever `level` is.
pub fn start(level: LevelFilter, prefix: Prefix, files: &[PathBuf]) {
    let files: Vec<File> = files.iter().filter_map(|path| open(path)).collect();
    let most = if files.is_empty() { level } else { level.max(LevelFilter::Debug) };
    let tee = Tee { level, prefix, files };
    let started = Builder::new()
        .filter_module("netapply", most)
        .target(Target::Pipe(Box::new(tee)))
        // The first byte carries the level to `Tee`, which takes it off.
        .format(|out, record| writeln!(out, "{}{}", record.level() as u8, record.args()))
        .try_init();
    if started.is_err() {
        let _ = writeln!(io::stderr(), "netapply: the log could not be started twice");
    }
}

/// No symbolic link is followed: /var/log may be the work of others.
fn open(path: &Path) -> Option<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(libc::O_NOFOLLOW).open(path).ok()
}

impl Tee {
    /// To standard error in a write for each line, which is a message of its own to /dev/kmsg (printk.c,
    /// devkmsg_write); to a file in one write, since a record may have thousands of lines.
    fn record(&mut self, level: Level, text: &str) {
        if level.to_level_filter() <= self.level {
            let priority = match self.prefix {
                Prefix::Name => String::new(),
                Prefix::Priority => format!("<{}>", priority(level)),
            };
            for line in text.lines() {
                let line = format!("{priority}netapply: {line}\n");
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
        }
        if self.files.is_empty() {
            return;
        }
        // There may be ten thousand lines: they are not formatted one by one.
        let begin = format!("{} {level:5} ", uptime());
        let mut lines = String::with_capacity(2 * text.len());
        for line in text.lines() {
            lines.extend([begin.as_str(), line, "\n"]);
        }
        for file in &mut self.files {
            let _ = file.write_all(lines.as_bytes());
        }
    }
}

/// syslog(3)'s number for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Seconds since boot, as the kernel log has them: the clock may be wrong this early.
fn uptime() -> String {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    now.map_or_else(|_| "?".to_owned(), |t| format!("[{:5}.{:06}]", t.tv_sec(), t.tv_nsec() / 1000))
}

impl Write for Tee {
    /// One record: its level as a digit, then the text, which may have several lines.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let mut rest = text.chars();
        let level = match rest.next() {
            Some('1') => Level::Error,
            Some('2') => Level::Warn,
            Some('3') => Level::Info,
            Some('4') => Level::Debug,
            _ => Level::Trace,
        };
        self.record(level, rest.as_str());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.files.iter_mut().try_for_each(Write::flush)
    }
}

/// True where standard error goes to the journal (sd_journal_stream: the variable names its device and inode), or
/// nowhere a person types.
pub fn to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let stat = nix::sys::stat::fstat(io::stderr());
    stat.is_ok_and(|s| stream == format!("{}:{}", s.st_dev, s.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_record_gets_into_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = open(&path).unwrap();
        let mut tee = Tee { level: LevelFilter::Off, prefix: Prefix::Priority, files: vec![file] };
        tee.write_all(b"2first\nsecond\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|l| l.split_once("] ").unwrap().1).collect();
        assert_eq!(lines, ["WARN  first", "WARN  second"]);
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        assert!(open(&folder.path().join("link")).is_none());
    }
}
