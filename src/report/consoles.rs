//! The consoles of a boot: the last `console=` alone would miss the BMC or the screen.
//!
//! A serial line with nothing connected may accept nothing, and closing it waits 30 s for what is left (`closing_wait`,
//! setserial(8)). So a console is opened once, is written to without waiting, and is closed at the end, after its own
//! queue has drained or, past a bound, was discarded.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::machine::Machine;
use crate::page::Page;

/// How long a console may take: a serial line of 9600 baud needs two seconds for a screen.
pub(crate) const BOUND: Duration = Duration::from_secs(5);
/// How often a queue that drains is looked at; there is no event for it.
const LOOK: Duration = Duration::from_millis(20);
/// What waits for a console that takes nothing; a line beyond it is left out.
const WAITING: usize = 16 * 1024;

/// Every active console.
#[derive(Debug, Default)]
pub struct Consoles(Vec<Console>);

#[derive(Debug)]
struct Console {
    path: PathBuf,
    state: RowState,
    /// What it has not accepted yet.
    rest: Vec<u8>,
    /// What was in its queue when that last became less, and when.
    queue: (usize, Instant),
}

#[derive(Debug)]
enum RowState {
    Unopened,
    Open(File),
    /// It has shown everything.
    Done,
    /// It is not there, or takes nothing.
    Dead(io::Error),
}

impl Consoles {
    /// Those that the kernel writes to. None is opened yet.
    pub fn of(machine: &Machine) -> Consoles {
        let active = std::fs::read_to_string(machine.consoles()).unwrap_or_default();
        let names = active.split_whitespace().filter(|name| !name.contains('/'));
        let now = Instant::now();
        let console = |path| Console { path, state: RowState::Unopened, rest: Vec::new(), queue: (0, now) };
        Consoles(names.map(|name| console(machine.dev().join(name))).collect())
    }

    /// Shows lines where that needs no waiting.
    pub fn show(&mut self, page: &Page) {
        for console in &mut self.0 {
            console.take(page);
        }
    }

    /// Shows the last lines, and closes each console once it has shown everything, or its bound has passed. What could
    /// not be shown is returned, each with the reason.
    pub fn finish(mut self, page: &Page) -> Vec<(PathBuf, io::Error)> {
        for console in &mut self.0 {
            console.take(page);
        }
        let end = Instant::now() + BOUND;
        loop {
            let late = Instant::now() >= end;
            for console in &mut self.0 {
                console.drain(late);
            }
            let open = self.0.iter().filter_map(|console| match &console.state {
                RowState::Open(file) => Some((file, !console.rest.is_empty())),
                _ => None,
            });
            let mut full: Vec<PollFd<'_>> = Vec::new();
            let mut any = false;
            for (file, waits) in open {
                any = true;
                if waits {
                    full.push(PollFd::new(file.as_fd(), PollFlags::POLLOUT));
                }
            }
            if !any {
                break;
            }
            let _ = poll(&mut full, PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO));
        }
        let reason = |console: Console| match console.state {
            RowState::Dead(error) => Some((console.path, error)),
            _ => None,
        };
        self.0.into_iter().filter_map(reason).collect()
    }
}

impl Console {
    /// Takes lines, and writes as much as the console takes at once.
    fn take(&mut self, page: &Page) {
        if matches!(self.state, RowState::Unopened | RowState::Done) {
            // Without making it our controlling terminal.
            let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
            self.state = match OpenOptions::new().write(true).custom_flags(flags).open(&self.path) {
                Ok(file) => RowState::Open(file),
                Err(error) => RowState::Dead(error),
            };
        }
        if matches!(self.state, RowState::Open(_)) && self.rest.len() < WAITING {
            // A console in raw mode (another program's) would go down without going back; what it was at stays on its line.
            self.rest.push(b'\r');
            self.rest.extend(page.as_str().replace('\n', "\r\n").bytes());
        }
        self.write();
    }

    fn write(&mut self) {
        let RowState::Open(file) = &mut self.state else { return };
        let before = self.rest.len();
        while !self.rest.is_empty() {
            match file.write(&self.rest) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.state = RowState::Dead(error);
                    return;
                }
            }
        }
        let queued = queued(file);
        // Its queue shrank, or it was not full.
        if queued == 0 || queued < self.queue.0 {
            self.queue = (queued, Instant::now());
        } else if self.rest.len() < before {
            self.queue.0 = queued;
        }
    }

    /// Goes on, and closes it where everything is shown, or will not be: past the bound, or after its queue has not
    /// moved for as long.
    fn drain(&mut self, late: bool) {
        self.write();
        let RowState::Open(file) = &self.state else { return };
        if self.rest.is_empty() && queued(file) == 0 {
            self.state = RowState::Done;
        } else if late || self.queue.1.elapsed() >= BOUND {
            // Else closing it would wait for what is left.
            // SAFETY: the descriptor is the file's, open until the state is replaced below.
            unsafe { libc::tcflush(file.as_raw_fd(), libc::TCOFLUSH) };
            self.state = RowState::Dead(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Bytes that the device still has to send; none for what is no terminal.
fn queued(file: &File) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (tty_ioctl(4)) writes one int, which outlives the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Style;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    fn page(lines: &[&str]) -> Page {
        let mut page = Page::new(Style::Plain);
        lines.iter().for_each(|line| page.line(format_args!("{line}")));
        page
    }

    fn machine(folder: &tempfile::TempDir, active: &str) -> Machine {
        let machine = Machine::below(folder.path());
        std::fs::create_dir_all(machine.consoles().parent().unwrap()).unwrap();
        std::fs::create_dir(machine.dev()).unwrap();
        std::fs::write(machine.consoles(), active).unwrap();
        machine
    }

    /// The other side of a terminal, and the terminal's path.
    fn terminal() -> (File, PathBuf) {
        let master = OpenOptions::new().read(true).write(true).open("/dev/ptmx").unwrap();
        let (mut locked, mut number): (libc::c_int, libc::c_uint) = (0, 0);
        // SAFETY: both requests (ioctl_tty(2)) read or write one int, which outlives the call.
        let done = unsafe {
            libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw mut locked)
                + libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number)
        };
        assert_eq!(done, 0);
        (master, format!("/dev/pts/{number}").into())
    }

    #[test]
    fn every_active_console_is_written_to_and_a_missing_one_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let machine = machine(&folder, "tty0 ttyS1 ttyS0\n");
        for name in ["tty0", "ttyS0"] {
            std::fs::write(machine.dev().join(name), "").unwrap();
        }
        let mut consoles = Consoles::of(&machine);
        consoles.show(&page(&["waiting"]));
        let troubles = consoles.finish(&page(&["one", "two"]));
        assert_eq!(troubles.len(), 1);
        assert!(troubles[0].0.ends_with("ttyS1"));
        for name in ["tty0", "ttyS0"] {
            let shown = std::fs::read_to_string(machine.dev().join(name)).unwrap();
            assert_eq!(shown, "\rwaiting\r\n\rone\r\ntwo\r\n");
        }
    }

    #[test]
    fn a_dead_console_delays_by_its_bound_and_a_slow_one_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let machine = machine(&folder, "ttyS0 ttyS3");
        // Nobody reads from the first; from the second somebody does, slowly.
        let ((_dead, dead), (mut reader, slow)) = (terminal(), terminal());
        symlink(dead, machine.dev().join("ttyS3")).unwrap();
        symlink(slow, machine.dev().join("ttyS0")).unwrap();
        // More than a pseudo-terminal holds that nobody reads: 8 KiB on its way (drivers/tty/pty.c) and 4 KiB that came.
        let long = "x".repeat(60_000);
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            let mut buffer = [0; 512];
            while !read.ends_with(b"end\r\n") && !read.ends_with(b"end\r\r\n") {
                std::thread::sleep(Duration::from_millis(5));
                let length = reader.read(&mut buffer).unwrap();
                read.extend(&buffer[..length]);
            }
            read.len()
        });
        let begin = Instant::now();
        let troubles = Consoles::of(&machine).finish(&page(&[&long, "end"]));
        let took = begin.elapsed();
        assert!(reading.join().unwrap() > long.len());
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert!(troubles[0].0.ends_with("ttyS3"));
        assert!(took < BOUND + Duration::from_secs(20), "{took:?}");
    }
}
