//! Reads that may take long, or forever: a CD that spins up, a BMC whose virtual medium hangs. Each runs in a child
//! process and is given up after a bound. A thread would not do: one that waits for a dead drive (state D) cannot be
//! killed, and keeps the whole process from exiting. A child is left behind, and init reaps it. Entries: [`start`],
//! [`run`].

use super::tree::plain;
use super::wire::Wire;
use super::{NotFound, NotFoundKind};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, sigaction, sigprocmask,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, fork, getpid, getppid, pipe2};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// The maximum size of a child's answer, in bytes: a drive's budget is less.
const ANSWER_LIMIT: usize = 128 << 20;

/// Why a read gave no result.
#[derive(Debug)]
pub(super) enum Lost {
    /// The process or its pipe could not be created.
    NotStarted(io::Error),
    /// Its process ended without an answer: the kernel kills one if memory is short.
    Died,
    /// No answer came in this time.
    Late(Duration),
}

impl Lost {
    /// In a few words, for a list of drives.
    pub(super) fn shown(&self) -> String {
        match self {
            Lost::NotStarted(error) => format!("no process to read it: {}", plain(error)),
            Lost::Died => "the process that read it died".to_owned(),
            Lost::Late(bound) => format!("no answer within {} s", bound.as_secs_f32().round()),
        }
    }

    /// The read of `what` as a problem; `late` is what to do if the medium does not answer.
    pub(super) fn problem(&self, what: &str, late: &str) -> NotFound {
        let (message, hint) = match self {
            Lost::NotStarted(error) => (
                format!("There is no process to read {what}: {}.", plain(error)),
                "Check the limits of processes, open files and memory: ulimit -a, and the unit's.",
            ),
            Lost::Died => (
                format!("The process that read {what} died."),
                "The kernel's log says so if memory was short: dmesg.",
            ),
            Lost::Late(bound) => {
                (format!("Reading {what} did not end within {} s.", bound.as_secs_f32().round()), late)
            }
        };
        NotFound::new(NotFoundKind::Unreadable, message, hint)
    }
}

/// Children that had not exited when they were last needed.
static LEFT_BEHIND: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A read that is under way. Dropping it kills the child.
pub(super) struct PendingRead<T> {
    child: Pid,
    begin: Instant,
    answer: AsyncFd<OwnedFd>,
    received: Vec<u8>,
    result: std::marker::PhantomData<T>,
}

/// Runs `read` in a child process.
pub(super) fn start<T: Wire>(read: impl FnOnce() -> T) -> Result<PendingRead<T>, Lost> {
    reap();
    fork_reader(read).map_err(Lost::NotStarted)
}

fn fork_reader<T: Wire>(read: impl FnOnce() -> T) -> io::Result<PendingRead<T>> {
    let parent = getpid();
    let (answer, to_parent) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&answer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // No signal may arrive between the fork and the moment when the child no longer has this process's handlers, which
    // would notify this process.
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: other threads may hold locks at this moment, and in the child nobody releases them. The log's thread is
    // one of them, and holds the log's queue and standard error: the child logs nothing (`serve` turns that off first)
    // and prints nothing, not even a panic message. It does use the allocator: the C libraries make theirs usable after
    // a fork. Everything else it calls is system calls and this program's own parsing, which has no locks.
    let forked = unsafe { fork() };
    if matches!(forked, Ok(ForkResult::Child)) {
        serve(parent, &before, to_parent, read);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    let ForkResult::Parent { child } = forked? else { unreachable!("the child does not return") };
    // SAFETY: an OwnedFd keeps its one descriptor open until it is dropped, and nothing here replaces it.
    let answer = unsafe { AsyncFd::register(answer) };
    match answer {
        Ok(answer) => {
            let begin = Instant::now();
            Ok(PendingRead { child, begin, answer, received: Vec::new(), result: std::marker::PhantomData })
        }
        Err(error) => {
            leave(child);
            Err(error.into())
        }
    }
}

/// Runs `read` in a child process and waits for it, at most `bound`.
pub(super) async fn run<T: Wire>(bound: Duration, read: impl FnOnce() -> T) -> Result<T, Lost> {
    start(read)?.finish(Instant::now() + bound).await
}

impl<T: Wire> PendingRead<T> {
    /// The result, if it comes until then.
    pub(super) async fn finish(mut self, until: Instant) -> Result<T, Lost> {
        let begin = self.begin;
        let received = tokio::time::timeout_at(until, self.receive()).await;
        received.map_err(|_| Lost::Late(until - begin))?.map_err(|_| Lost::Died)?;
        let mut bytes = &self.received[..];
        T::take(&mut bytes).filter(|_| bytes.is_empty()).ok_or(Lost::Died)
    }

    /// Everything that the child writes, up to its end.
    async fn receive(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let mut ready = self.answer.readable().await?;
            match nix::unistd::read(ready.get_inner(), &mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) if self.received.len() > ANSWER_LIMIT => return Err(io::ErrorKind::FileTooLarge.into()),
                Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl<T> Drop for PendingRead<T> {
    fn drop(&mut self) {
        leave(self.child);
    }
}

/// Ends a child without waiting for it: one in state D takes the signal once its drive answers, if ever.
fn leave(child: Pid) {
    let _ = kill(child, Signal::SIGKILL);
    if let Ok(mut left) = LEFT_BEHIND.lock() {
        left.push(child);
    }
    reap();
}

/// Takes the status of children that have exited, so that no zombies pile up.
fn reap() {
    if let Ok(mut left) = LEFT_BEHIND.lock() {
        left.retain(|child| {
            matches!(waitpid(*child, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
        });
    }
}

/// The child's main function: reads, answers, exits.
fn serve<T: Wire>(parent: Pid, mask: &SigSet, to_parent: OwnedFd, read: impl FnOnce() -> T) -> ! {
    log::set_max_level(log::LevelFilter::Off);
    std::panic::set_hook(Box::new(|_| {}));
    let serve = || {
        let prepared = detach(parent, &to_parent, mask);
        if prepared.is_err() {
            return;
        }
        let mut answer = Vec::new();
        read().put(&mut answer);
        // A parent that has given up no longer reads.
        let _ = File::from(to_parent).write_all(&answer);
    };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
    // SAFETY: ends this process at once, without running the parent's destructors and exit handlers.
    unsafe { libc::_exit(0) }
}

/// Signals that ask the program to end, or mean nothing to it: a terminal and systemd send them to the whole group. The
/// parent decides about a read; a child that ended first would look like an unreadable drive.
const PARENTS: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGALRM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
];

/// Detaches the child from the parent's resources: a child left behind would keep locks held, sockets open, and readers
/// of the parent's output waiting.
fn detach(parent: Pid, to_parent: &OwnedFd, mask: &SigSet) -> io::Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in PARENTS {
        // SAFETY: an ignored signal runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    // A parent that is killed takes its children with it, and one that was killed before this line has no children.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let null = File::options().read(true).write(true).open("/dev/null");
    // Descriptors that an executed program would inherit stay open: `netapply /dev/fd/63` reads the shell's <(command).
    for fd in descriptors() {
        // SAFETY: the call only asks whether the number is an open descriptor.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        let keep = fd == to_parent.as_raw_fd() || null.as_ref().is_ok_and(|null| null.as_raw_fd() == fd);
        if flags >= 0 && flags & FdFlag::FD_CLOEXEC.bits() != 0 && !keep {
            // SAFETY: this process uses none of the parent's descriptors and ends without dropping their owners.
            unsafe { libc::close(fd) };
        }
    }
    if let Ok(null) = null {
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None)?;
    Ok(())
}

/// The open descriptors but the standard ones, and possibly others; without /proc the usual range. A thousand questions
/// about closed ones are a noticeable part of a short run.
fn descriptors() -> Vec<RawFd> {
    let numbers = fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).filter(|fd| *fd > 2).collect()
    });
    numbers.unwrap_or_else(|_| (3..1024).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    const LONG: Duration = Duration::from_secs(60);

    fn hangs() -> String {
        loop {
            std::thread::sleep(LONG);
        }
    }

    #[test]
    fn results_of_any_size_come_and_a_child_that_dies_is_not_late() {
        block_on(async {
            assert_eq!(run(LONG, || "x".repeat(3_000_000)).await.map(|s| s.len()).unwrap(), 3_000_000);
            // SAFETY: ends the child, as a signal would.
            let dies = run(LONG, || -> String { unsafe { libc::_exit(1) } }).await;
            assert!(matches!(dies, Err(Lost::Died)), "{dies:?}");
            let panics = run(LONG, || -> String { panic!("in the child") }).await;
            assert!(matches!(panics, Err(Lost::Died)), "{panics:?}");
        });
    }

    #[test]
    fn a_hanging_read_is_given_up_and_its_child_is_killed() {
        block_on(async {
            let job = start(hangs).unwrap();
            let child = job.child;
            let late = job.finish(Instant::now() + Duration::from_millis(10)).await;
            assert!(matches!(late, Err(Lost::Late(_))), "{late:?}");
            // Killed, and reaped here or by another test.
            while kill(child, None).is_ok() {
                reap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// A terminal and systemd send them to the child as well, and it may get them first.
    #[test]
    fn what_ends_the_parent_leaves_the_child_to_it() {
        block_on(async {
            let (mut go, child) = std::os::unix::net::UnixStream::pair().unwrap();
            // A copy that the child keeps.
            fcntl(&child, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            let waits = || {
                let mut child = &child;
                child.write_all(b"r").unwrap();
                child.read_exact(&mut [0]).unwrap();
                "read".to_owned()
            };
            let job = start(waits).unwrap();
            go.set_read_timeout(Some(LONG)).unwrap();
            go.read_exact(&mut [0]).unwrap();
            for signal in PARENTS {
                kill(job.child, signal).unwrap();
            }
            go.write_all(b"g").unwrap();
            assert_eq!(job.finish(Instant::now() + LONG).await.unwrap(), "read");
        });
    }

    #[test]
    fn each_loss_has_its_own_message() {
        let lost = [
            (
                Lost::NotStarted(io::Error::from_raw_os_error(libc::EAGAIN)),
                "There is no process to read /dev/sr0: ",
            ),
            (Lost::Died, "The process that read /dev/sr0 died."),
            (Lost::Late(Duration::from_secs(20)), "Reading /dev/sr0 did not end within 20 s."),
        ];
        for (lost, message) in lost {
            let problem = lost.problem("/dev/sr0", "Check the medium.");
            assert!(problem.message.starts_with(message), "{}", problem.message);
            assert_eq!(problem.hint == "Check the medium.", matches!(lost, Lost::Late(_)));
        }
    }

    #[test]
    fn a_child_left_behind_keeps_no_descriptor_of_the_parents() {
        block_on(async {
            let (mut held, other) = std::os::unix::net::UnixStream::pair().unwrap();
            held.set_read_timeout(Some(LONG)).unwrap();
            let job = start(hangs).unwrap();
            drop(other);
            // The end of the stream: the child has closed its copy.
            assert_eq!(held.read(&mut [0]).unwrap(), 0);
            drop(job);
        });
    }
}
