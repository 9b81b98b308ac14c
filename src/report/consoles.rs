//! The consoles of a boot: writing only to the last `console=` would miss the BMC or the screen.
//!
//! A serial line with nothing connected may accept nothing, and closing it waits 30 s for its queue (`closing_wait`,
//! setserial(8)). So a console is opened once, is written to without waiting, and is closed at the end, after its queue
//! has drained or, past a bound, was discarded.

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
/// How often a draining queue is polled; there is no event for it.
const LOOK: Duration = Duration::from_millis(20);
/// How often a console that was hung up is reopened.
const MOST_HANGUPS: u8 = 8;
/// How much is buffered for a console that accepts nothing; lines beyond it are dropped.
const WAITING: usize = 16 * 1024;

/// Every active console.
#[derive(Debug, Default)]
pub struct Consoles(Vec<Console>);

#[derive(Debug)]
struct Console {
    path: PathBuf,
    state: ConsoleState,
    /// What it has not accepted yet.
    rest: Vec<u8>,
    /// What was written since its queue was last empty.
    written: Vec<u8>,
    /// How often it was hung up and reopened.
    hangups: u8,
    queue: Queue,
}

/// What a device still has to send.
#[derive(Debug)]
struct Queue {
    /// In bytes.
    length: usize,
    /// Since when it has sent nothing of it.
    since: Instant,
}

#[derive(Debug)]
enum ConsoleState {
    Unopened,
    Open(File),
    /// It has shown everything.
    Done,
    /// It does not exist, or accepts nothing.
    Dead(io::Error),
}

impl Consoles {
    /// The kernel's active consoles. None is opened yet.
    pub fn of(machine: &Machine) -> Consoles {
        let active = std::fs::read_to_string(machine.consoles()).unwrap_or_default();
        let names = active.split_whitespace().filter(|name| !name.contains('/'));
        let now = Instant::now();
        let console = |path| Console {
            path,
            state: ConsoleState::Unopened,
            rest: Vec::new(),
            written: Vec::new(),
            hangups: 0,
            queue: Queue { length: 0, since: now },
        };
        Consoles(names.map(|name| console(machine.dev().join(name))).collect())
    }

    /// Shows lines as far as that needs no waiting.
    pub fn show(&mut self, page: &Page) {
        for console in &mut self.0 {
            console.take(page);
        }
    }

    /// Shows the last lines, and closes each console once it has shown everything, or its bound has passed. Returns
    /// what could not be shown, each with the reason.
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
                ConsoleState::Open(file) => Some((file, !console.rest.is_empty())),
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
            ConsoleState::Dead(error) => Some((console.path, error)),
            _ => None,
        };
        self.0.into_iter().filter_map(reason).collect()
    }
}

impl Console {
    /// Queues lines, and writes as much as the console accepts at once.
    fn take(&mut self, page: &Page) {
        if matches!(self.state, ConsoleState::Unopened | ConsoleState::Done) {
            self.open();
        }
        if matches!(self.state, ConsoleState::Open(_)) && self.rest.len() < WAITING {
            // In raw mode (another program's) a line feed does not return to column 0; the current line is left as it
            // is.
            self.rest.push(b'\r');
            self.rest.extend(page.as_str().replace('\n', "\r\n").bytes());
        }
        self.write();
    }

    fn open(&mut self) {
        // Without making it our controlling terminal.
        let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
        self.state = match OpenOptions::new().write(true).custom_flags(flags).open(&self.path) {
            Ok(file) => ConsoleState::Open(file),
            Err(error) => ConsoleState::Dead(error),
        };
    }

    /// A starting getty hangs its line up (vhangup(2)): the kernel discards the queue, and open descriptors get EIO
    /// from then on. The line is reopened, and what may be lost is written again. systemd and the getty hang up one
    /// after the other.
    fn go_on_after_hangup(&mut self, error: io::Error) {
        if error.raw_os_error() != Some(libc::EIO) || self.hangups >= MOST_HANGUPS {
            self.state = ConsoleState::Dead(error);
            return;
        }
        self.hangups += 1;
        // Closed first: closing a hung-up line does not wait.
        self.state = ConsoleState::Unopened;
        self.open();
        let rest = std::mem::take(&mut self.rest);
        self.rest = std::mem::take(&mut self.written);
        self.rest.extend(rest);
        self.queue = Queue { length: 0, since: Instant::now() };
        self.write();
    }

    fn write(&mut self) {
        let ConsoleState::Open(file) = &mut self.state else { return };
        // Before anything is added: it may have sent for seconds what it was given last.
        match queued(file) {
            Ok(length) => self.queue.shrinks_to(length, Instant::now()),
            Err(error) => return self.go_on_after_hangup(error),
        }
        while !self.rest.is_empty() {
            match file.write(&self.rest) {
                Ok(written) => self.written.extend(self.rest.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return self.go_on_after_hangup(error),
            }
        }
        match queued(file) {
            Ok(length) => self.queue.length = length,
            Err(error) => self.go_on_after_hangup(error),
        }
    }

    /// Continues, and closes it if everything is shown, or will not be: past the bound, or after its queue has not
    /// moved for as long.
    fn drain(&mut self, late: bool) {
        self.write();
        let ConsoleState::Open(file) = &self.state else { return };
        if self.rest.is_empty() && self.queue.length == 0 {
            self.state = ConsoleState::Done;
            self.written.clear();
        } else if late || self.queue.is_stuck(Instant::now()) {
            // Otherwise closing would wait for the queue.
            // SAFETY: the descriptor is the file's, open until the state is replaced below.
            unsafe { libc::tcflush(file.as_raw_fd(), libc::TCOFLUSH) };
            self.state = ConsoleState::Dead(io::ErrorKind::TimedOut.into());
        }
    }
}

impl Queue {
    fn shrinks_to(&mut self, length: usize, now: Instant) {
        if length == 0 || length < self.length {
            self.since = now;
        }
        self.length = length;
    }

    fn is_stuck(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= BOUND
    }
}

/// Bytes that the device still has to send; none if it is no terminal. EIO: it was hung up.
fn queued(file: &File) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (tty_ioctl(4)) writes one int, which outlives the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 {
        return Ok(usize::try_from(bytes).unwrap_or(0));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EIO) { Err(error) } else { Ok(0) }
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
    fn a_console_that_a_getty_hangs_up_shows_the_page_again() {
        let folder = tempfile::tempdir().unwrap();
        let machine = machine(&folder, "ttyS0");
        let (mut reader, path) = terminal();
        symlink(&path, machine.dev().join("ttyS0")).unwrap();
        let mut consoles = Consoles::of(&machine);
        consoles.show(&page(&["first"]));
        let line =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&path).unwrap();
        const TIOCVHANGUP: libc::Ioctl = 0x5437;
        // SAFETY: what vhangup(2) does, to this line; there is no argument.
        let done = unsafe { libc::ioctl(line.as_raw_fd(), TIOCVHANGUP) };
        if done != 0 && !nix::unistd::Uid::effective().is_root() {
            eprintln!("NOT TESTED: only root may hang up a line");
            return;
        }
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
        drop(line);
        match &consoles.0[0].state {
            ConsoleState::Open(file) => {
                assert_eq!(queued(file).unwrap_err().raw_os_error(), Some(libc::EIO), "it was hung up");
            }
            state => panic!("{state:?}"),
        }
        // If nobody had the line open, the reader would see its end.
        let again =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&path).unwrap();
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            let mut buffer = [0; 512];
            while !String::from_utf8_lossy(&read).contains("last") {
                let length = reader.read(&mut buffer).unwrap();
                read.extend(&buffer[..length]);
            }
            // The reader, too: without it the line is gone.
            (reader, String::from_utf8(read).unwrap())
        });
        let troubles = consoles.finish(&page(&["last"]));
        let (_reader, read) = reading.join().unwrap();
        drop(again);
        assert!(troubles.is_empty(), "{troubles:?}");
        assert!(read.matches("first").count() >= 1 && read.contains("last"), "{read:?}");
    }

    #[test]
    fn a_queue_is_stuck_from_when_it_last_sent_something() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut queue = Queue { length: 0, since: begin };
        // Empty for longer than the bound, then the last page is written.
        queue.shrinks_to(0, at(20));
        queue.length = 400;
        queue.shrinks_to(400, at(21));
        assert!(!queue.is_stuck(at(21)));
        queue.shrinks_to(300, at(24));
        assert!(!queue.is_stuck(at(28)));
        // What is added to a queue that does not move is no progress.
        queue.length = 700;
        queue.shrinks_to(700, at(29));
        assert!(queue.is_stuck(at(29)));
    }

    #[test]
    fn a_dead_console_delays_by_its_bound_and_a_slow_one_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let machine = machine(&folder, "ttyS0 ttyS3");
        // Nobody reads from the first; the second is read slowly.
        let ((_dead, dead), (mut reader, slow)) = (terminal(), terminal());
        symlink(dead, machine.dev().join("ttyS3")).unwrap();
        symlink(slow, machine.dev().join("ttyS0")).unwrap();
        // More than an unread pseudo-terminal holds: 8 KiB in transit (drivers/tty/pty.c) and 4 KiB received.
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
