//! Reads that may take long, or for ever: a CD that spins up, a BMC whose virtual medium hangs. Each runs in a child
//! process and is given up after a bound. A thread would not do: one that waits for a dead drive (state D) cannot be
//! killed, and keeps the whole process from exiting. A child is left behind, and init reaps it. Entries: [`start`],
//! [`run`].

use super::wire::Wire;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, sigaction, sigprocmask,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, fork, pipe2};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// The most that a child may answer, in bytes: a drive's budget is less.
const ANSWER_LIMIT: usize = 128 << 20;

/// Children that had not exited when they were last needed.
static LEFT_BEHIND: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A read that is under way. Dropping it kills the child.
pub(super) struct Job<T> {
    child: Pid,
    answer: AsyncFd<OwnedFd>,
    received: Vec<u8>,
    result: std::marker::PhantomData<T>,
}

/// Runs `read` in a child process.
pub(super) fn start<T: Wire>(read: impl FnOnce() -> T) -> io::Result<Job<T>> {
    reap();
    let (answer, to_parent) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&answer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // No signal may come between the fork and the moment when the child no longer has this process's handlers, which
    // would tell this process.
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: the program has one thread here. Where a test has several, the child calls nothing that needs a lock which
    // another may hold: the C library makes its allocator usable after a fork.
    let forked = unsafe { fork() };
    if matches!(forked, Ok(ForkResult::Child)) {
        serve(&before, to_parent, read);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    let ForkResult::Parent { child } = forked? else { unreachable!("the child does not return") };
    // SAFETY: an OwnedFd keeps its one descriptor open until it is dropped, and nothing here replaces it.
    let answer = unsafe { AsyncFd::register(answer) };
    match answer {
        Ok(answer) => Ok(Job { child, answer, received: Vec::new(), result: std::marker::PhantomData }),
        Err(error) => {
            leave(child);
            Err(error.into())
        }
    }
}

/// Runs `read` in a child process and waits for it, at most `bound`.
pub(super) async fn run<T: Wire>(bound: Duration, read: impl FnOnce() -> T) -> Option<T> {
    start(read).ok()?.finish(bound).await
}

impl<T: Wire> Job<T> {
    /// The result, or `None` if it did not come in time or the child died.
    pub(super) async fn finish(mut self, bound: Duration) -> Option<T> {
        tokio::time::timeout(bound, self.receive()).await.ok()?.ok()?;
        let mut bytes = &self.received[..];
        T::take(&mut bytes).filter(|_| bytes.is_empty())
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

impl<T> Drop for Job<T> {
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

/// The child's whole life: reads, answers, exits.
fn serve<T: Wire>(mask: &SigSet, to_parent: OwnedFd, read: impl FnOnce() -> T) -> ! {
    log::set_max_level(log::LevelFilter::Off);
    let serve = || {
        let prepared = detach(&to_parent, mask);
        if prepared.is_err() {
            return;
        }
        let mut answer = Vec::new();
        read().put(&mut answer);
        // A parent that has given up reads nothing.
        let _ = File::from(to_parent).write_all(&answer);
    };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
    // SAFETY: ends this process at once, without running the parent's destructors and exit handlers.
    unsafe { libc::_exit(0) }
}

/// Makes the child hold nothing of the parent's: a child that is left behind would keep locks held, sockets open, and
/// whoever reads the parent's output waiting.
fn detach(to_parent: &OwnedFd, mask: &SigSet) -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGUSR1, Signal::SIGUSR2]
    {
        // SAFETY: the default action runs no code of ours.
        unsafe { sigaction(signal, &default) }?;
    }
    // A parent that is killed takes its children along.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let null = File::options().read(true).write(true).open("/dev/null");
    // What a program that is executed would keep stays open: `netapply /dev/fd/63` reads the shell's <(command).
    for fd in 3..1024 {
        // SAFETY: whether the number is an open descriptor is what is asked.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        let keep = fd == to_parent.as_raw_fd() || null.as_ref().is_ok_and(|null| null.as_raw_fd() == fd);
        if flags >= 0 && flags & FdFlag::FD_CLOEXEC.bits() != 0 && !keep {
            // SAFETY: this process reads with none of the parent's descriptors and ends without dropping their owners.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn results_of_any_size_come_and_a_child_that_dies_gives_none() {
        block_on(async {
            assert_eq!(run(LONG, || "x".repeat(3_000_000)).await.map(|s| s.len()), Some(3_000_000));
            // SAFETY: ends the child, as a signal would.
            assert_eq!(run(LONG, || -> String { unsafe { libc::_exit(1) } }).await, None);
        });
    }

    #[test]
    fn a_hanging_read_is_given_up_and_its_child_is_killed() {
        block_on(async {
            let hangs = || -> String {
                loop {
                    std::thread::sleep(LONG);
                }
            };
            let job = start(hangs).unwrap();
            let child = job.child;
            assert_eq!(job.finish(Duration::from_millis(10)).await, None);
            // Killed, and reaped here or by what another test starts.
            while kill(child, None).is_ok() {
                reap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    #[test]
    fn a_child_left_behind_keeps_no_descriptor_of_the_parents() {
        block_on(async {
            let (mut held, other) = std::os::unix::net::UnixStream::pair().unwrap();
            held.set_read_timeout(Some(LONG)).unwrap();
            let job = start(|| -> String {
                loop {
                    std::thread::sleep(LONG);
                }
            })
            .unwrap();
            drop(other);
            // The end of the stream: the child has closed its copy.
            assert_eq!(held.read(&mut [0]).unwrap(), 0);
            drop(job);
        });
    }
}
