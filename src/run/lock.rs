//! One `apply` at a time: a lock on a file in /run, held by the kernel, so that a killed run leaves none.
//!
//! A run of `apply` holds it exclusively and writes its process id into the file. A run of `verify` shares it briefly
//! when it begins and when it reports: if the file has changed by then, another `apply` has begun since, and the
//! findings are out of date.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::machine::{Machine, clock, files};
use crate::page::printable;
use crate::report::places::utc;

/// How long an `apply` waits for another.
pub(super) const BOUND: Duration = Duration::from_secs(30);
/// How long the report waits for somebody who holds the lock briefly.
pub(super) const MOMENT: Duration = Duration::from_secs(2);

/// This run may change the machine.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    machine: &'a Machine,
    /// The content of the file until another run applies; `None` if the file cannot be locked.
    written: Option<String>,
    held: Option<Flock<File>>,
}

/// Why the lock could not be taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// Another run is applying, and has not finished in time.
    Busy(LockHolder),
    /// A signal came first.
    Interrupted,
}

/// Who is applying, or did last: `pid 123, since 2026-03-01T10:20:30Z`.
#[derive(Debug)]
pub(super) struct LockHolder(String);

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The second line is not for people.
        match self.0.lines().next() {
            Some(line) => write!(f, "another netapply is applying, {}", printable(line)),
            None => f.write_str("another netapply is applying"),
        }
    }
}

impl<'a> Turn<'a> {
    /// Takes the lock for an `apply`.
    pub(super) async fn to_apply(
        machine: &'a Machine,
        stop: &mut (impl Future<Output = ()> + Unpin),
        progress: &mut dyn FnMut(&str),
    ) -> Result<Turn<'a>, NotTaken> {
        let Some(lock) = take(machine, FlockArg::LockExclusive, BOUND, stop, progress).await? else {
            return Ok(Turn { machine, written: None, held: None });
        };
        // The clock may stand still or jump this early, so the file could have its earlier content; the uptime differs.
        let uptime = clock::uptime().as_nanos();
        let (pid, since) = (std::process::id(), utc(SystemTime::now()));
        let text = format!("pid {pid}, since {since}\n{uptime}\n");
        let written = lock.set_len(0).and_then(|()| lock.write_all_at(text.as_bytes(), 0));
        if let Err(error) = written {
            log::warn!("cannot write {}: {error}", machine.lock().display());
        }
        Ok(Turn { machine, written: Some(content(&lock)), held: Some(lock) })
    }

    /// Waits until no `apply` is under way, and remembers which was the last.
    pub(super) async fn to_verify(
        machine: &'a Machine,
        bound: Duration,
        stop: &mut (impl Future<Output = ()> + Unpin),
        progress: &mut dyn FnMut(&str),
    ) -> Result<Turn<'a>, NotTaken> {
        let lock = take(machine, FlockArg::LockShared, bound, stop, progress).await?;
        Ok(Turn { machine, written: lock.map(|lock| content(&lock)), held: None })
    }

    /// Takes the lock for a change that follows from what was applied, such as a lease's: concurrent verifications
    /// remain valid.
    pub(super) async fn to_adjust(
        machine: &'a Machine,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<Turn<'a>, NotTaken> {
        let held = take(machine, FlockArg::LockExclusive, BOUND, stop, &mut |_| {}).await?;
        Ok(Turn { machine, written: None, held })
    }

    /// Releases the lock: others may apply from now on.
    pub(super) fn release(&mut self) {
        self.held = None;
    }

    /// Takes the lock for the report, unless another run has begun to apply since, which makes this one's findings
    /// outdated.
    pub(super) async fn ready_to_report(&mut self) -> Result<(), NotTaken> {
        let Some(written) = &self.written else { return Ok(()) };
        if self.held.is_some() {
            return Ok(());
        }
        let never = &mut std::future::pending();
        let lock = take(self.machine, FlockArg::LockShared, MOMENT, never, &mut |_| {}).await?;
        match lock.map(|lock| (content(&lock), lock)) {
            Some((now, _)) if now != *written => Err(NotTaken::Busy(LockHolder(now))),
            lock => {
                self.held = lock.map(|(_, lock)| lock);
                Ok(())
            }
        }
    }
}

/// Takes the lock within a bound. `None` if there cannot be one: a machine without /run still gets its network.
async fn take(
    machine: &Machine,
    how: FlockArg,
    bound: Duration,
    stop: &mut (impl Future<Output = ()> + Unpin),
    progress: &mut dyn FnMut(&str),
) -> Result<Option<Flock<File>>, NotTaken> {
    let path = machine.lock();
    let open = || match files::lockable(&path) {
        Ok(file) => Some(file),
        // Somebody without the permission to lock may not change anything, either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        Err(error) => {
            log::warn!("another netapply may run at the same time: cannot open {}: {error}", path.display());
            None
        }
    };
    let Some(file) = open() else { return Ok(None) };
    let at_once = match how {
        FlockArg::LockShared => FlockArg::LockSharedNonblock,
        _ => FlockArg::LockExclusiveNonblock,
    };
    let file = match Flock::lock(file, at_once) {
        Ok(lock) => return Ok(Some(lock)),
        Err((file, Errno::EWOULDBLOCK)) => file,
        Err((_, error)) => {
            log::warn!("another netapply may run at the same time: cannot lock {}: {error}", path.display());
            return Ok(None);
        }
    };
    let holder = LockHolder(content(&file));
    progress(&format!("waiting up to {} s: {holder}", bound.as_secs()));
    // A thread waits in the kernel; it ends with the process at the latest.
    let waiting = tokio::task::spawn_blocking(move || Flock::lock(file, how));
    tokio::select! {
        biased;
        () = stop => Err(NotTaken::Interrupted),
        result = tokio::time::timeout(bound, waiting) => match result {
            Ok(Ok(Ok(lock))) => Ok(Some(lock)),
            Ok(_) => Ok(None),
            Err(_) => Err(NotTaken::Busy(holder)),
        },
    }
}

fn content(file: &File) -> String {
    let mut bytes = [0; 256];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()
}
