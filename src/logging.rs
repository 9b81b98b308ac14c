//! The log: to standard error, with journal priorities under systemd, and in full to files that are collected with a
//! ramdisk's logs.
//!
//! Standard error may be a pipe or a socket that nobody reads, or a serial line that accepts nothing. A thread writes
//! to it, so that the work never waits for the log; [`finish`] gives it a moment at the end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};

use crate::machine::{clock, files};
use crate::page::{Page, printable};

/// Bytes that may be queued for standard error. Further lines are dropped and counted.
const WAITING: usize = 8 << 20;
/// At the end, standard error is given up after it has accepted nothing for this long.
const STUCK: Duration = Duration::from_secs(2);
/// At the end, the most time that standard error gets, however slow it is.
pub(crate) const FINISH: Duration = Duration::from_secs(8);
/// Records for this target are pages, which may have several lines.
const PAGE: &str = "netapply::page";

/// The prefix of lines on standard error.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// `netapply: `, for a person.
    Name,
    /// `<4>netapply: `: the priority that the journal and /dev/kmsg strip (sd-daemon(3)).
    Priority,
}

/// Standard error, and the files of a boot.
struct Tee {
    level: LevelFilter,
    prefix: Prefix,
    stderr: Arc<Pending>,
    files: Vec<File>,
}

/// Lines queued for standard error.
#[derive(Default)]
struct Pending {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    bytes: usize,
    lost: usize,
    /// Number of lines written.
    written: u64,
    /// A line is being written.
    busy: bool,
}

/// The log's own, for [`finish`].
static STDERR: OnceLock<Arc<Pending>> = OnceLock::new();

/// Starts the log. Everything down to `debug` goes to the files that can be written, whatever `level` is.
pub fn start(level: LevelFilter, prefix: Prefix, files: &[PathBuf]) {
    let files: Vec<File> = files.iter().filter_map(|path| files::append(path).ok()).collect();
    let most = if files.is_empty() { level } else { level.max(LevelFilter::Debug) };
    let stderr = STDERR.get_or_init(Arc::default).clone();
    let pending = stderr.clone();
    let thread = std::thread::Builder::new().name("log".to_owned());
    let writes = thread.spawn(move || pending.write_all(|line| io::stderr().lock().write_all(line))).is_ok();
    let level = if writes { level } else { LevelFilter::Off };
    let tee = Tee { level, prefix, stderr, files };
    // A second start changes nothing: the first log continues.
    let _ = Builder::new()
        .filter_module("netapply", most)
        .target(Target::Pipe(Box::new(tee)))
        // The first byte passes the level to `Tee`, which removes it.
        .format(|out, record| {
            let level = record.level() as u8;
            match record.target() {
                PAGE => write!(out, "{level}{}", record.args()),
                _ => write!(out, "{level}{}", printable(&record.args().to_string())),
            }
        })
        .try_init();
}

/// Logs the lines of a page as one record.
pub fn page(level: Level, page: &Page) {
    if !page.is_empty() {
        log::log!(target: PAGE, level, "{page}");
    }
}

/// Waits for standard error to accept what is queued, as long as it accepts anything.
pub fn finish() {
    // A boot calls it before its report goes to standard output, and every run at its end: one bound for both.
    static FINISHED: Once = Once::new();
    FINISHED.call_once(|| {
        if let Some(stderr) = STDERR.get() {
            stderr.drain(STUCK, FINISH);
        }
    });
}

impl Pending {
    fn push(&self, line: String) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.bytes + line.len() > WAITING {
            queue.lost += 1;
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line);
        }
        self.changed.notify_all();
    }

    /// The thread's work: writes queued lines, forever.
    fn write_all(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let line = match queue.lines.pop_front() {
                Some(line) => line,
                None if queue.lost > 0 => {
                    format!("netapply: {} log lines were lost\n", std::mem::take(&mut queue.lost))
                }
                None => {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            queue.bytes = queue.bytes.saturating_sub(line.len());
            queue.busy = true;
            drop(queue);
            // A line that cannot be written is dropped.
            let _ = write(line.as_bytes());
            queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.busy = false;
            queue.written += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until everything is written, nothing was written for `stuck`, or `bound` is over.
    fn drain(&self, stuck: Duration, bound: Duration) {
        let end = Instant::now() + bound;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = (queue.written, Instant::now());
        while queue.busy || !queue.lines.is_empty() || queue.lost > 0 {
            if queue.written != last.0 {
                last = (queue.written, Instant::now());
            }
            let left = (last.1 + stuck).min(end).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Tee {
    /// To standard error in a write per line, which is a message of its own to /dev/kmsg (printk.c, devkmsg_write); to
    /// a file in one write, since a record may have thousands of lines.
    fn record(&mut self, level: Level, text: &str) {
        if level.to_level_filter() <= self.level {
            let priority = match self.prefix {
                Prefix::Name => String::new(),
                Prefix::Priority => format!("<{}>", priority(level)),
            };
            for line in text.lines() {
                self.stderr.push(format!("{priority}netapply: {line}\n"));
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
    let now = clock::uptime();
    format!("[{:5}.{:06}]", now.as_secs(), now.subsec_micros())
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

/// Whether standard error goes to the journal (sd_journal_stream: the variable names its device and inode), or
/// nowhere a person types.
pub fn to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let stat = nix::sys::stat::fstat(io::stderr());
    stat.is_ok_and(|s| stream == format!("{}:{}", s.st_dev, s.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_line_of_a_record_gets_into_the_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let files = vec![files::append(&path).unwrap()];
        let mut tee =
            Tee { level: LevelFilter::Off, prefix: Prefix::Priority, stderr: Arc::default(), files };
        tee.write_all(b"2first\nsecond\n").unwrap();
        tee.write_all(b"3third").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|l| l.split_once("] ").unwrap().1).collect();
        assert_eq!(lines, ["WARN  first", "WARN  second", "INFO  third"]);
    }

    #[test]
    fn a_reader_that_reads_nothing_blocks_nothing() {
        let pending = Arc::new(Pending::default());
        let (took, taken) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let writer = pending.clone();
        std::thread::spawn(move || {
            writer.write_all(|line| {
                let _ = gate.recv();
                took.send(String::from_utf8_lossy(line).into_owned()).map_err(io::Error::other)
            });
        });
        let line = "x".repeat(1023) + "\n";
        for _ in 0..9000 {
            pending.push(line.clone());
        }
        // Ends by its bound.
        pending.drain(Duration::from_millis(10), FINISH);
        drop(go);
        pending.drain(STUCK, FINISH);
        let lines: Vec<String> = taken.try_iter().collect();
        assert!(lines.len() > 8000 && lines.len() < 9000, "{}", lines.len());
        let last = lines.last().unwrap();
        assert!(last.ends_with(" log lines were lost\n"), "{} bytes", last.len());
    }
}
