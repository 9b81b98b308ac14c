//! What a process needs at its start, whatever starts it.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::dup;

/// Sets it up, before anything else and before any other thread exists.
pub fn prepare() {
    let missing = standard_files();
    // File modes are exactly those in the code, whatever the umask.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    // A closed pipe, and a file that may not grow (RLIMIT_FSIZE), are errors of the write instead.
    for number in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: ignoring a signal runs no code of ours.
        let _ = unsafe { signal(number, SigHandler::SigIgn) };
    }
    for (name, why) in missing {
        super::complain(&format!("{name} is closed, and /dev/null cannot be opened: {}", why.desc()));
    }
}

/// Opens closed standard files, so that no other file gets their numbers and the output: from /dev/null, or if there is
/// none, something that cannot be written to. Returns which, and why.
fn standard_files() -> Vec<(&'static str, Errno)> {
    let mut missing = Vec::new();
    for (number, name) in [(0, "standard input"), (1, "standard output"), (2, "standard error")] {
        // SAFETY: the call only asks whether the number is an open descriptor.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl(file, FcntlArg::F_GETFD) != Err(Errno::EBADF) {
            continue;
        }
        // The lowest free number is used, and those below are open.
        let opened = open("/dev/null", OFlag::O_RDWR, Mode::empty()).or_else(|why| {
            missing.push((name, why));
            open("/", OFlag::O_PATH, Mode::empty())
        });
        // It stays open for the life of the process.
        if let Ok(file) = opened {
            std::mem::forget(file);
        }
    }
    missing
}

/// Whether a few more files can be opened: the runtime needs some for itself, and panics if it cannot open them.
pub(super) fn has_spare_files() -> std::io::Result<()> {
    const SPARE: usize = 10;
    let spare: Result<Vec<_>, Errno> = (0..SPARE).map(|_| dup(std::io::stdin())).collect();
    spare.map(drop).map_err(std::io::Error::from)
}
