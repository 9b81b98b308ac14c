//! What a process needs at its start, whatever starts it.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{SysconfVar, dup, sysconf};

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

/// The program may be idle for long when it waits the next time.
static RESTS: AtomicBool = AtomicBool::new(false);

/// Unmaps the program's code when it waits the next time, and not before: what runs until then would map it again.
pub(super) fn rest() {
    RESTS.store(true, Ordering::Relaxed);
}

/// Called by the runtime before the program waits.
pub(super) fn before_waiting() {
    if RESTS.swap(false, Ordering::Relaxed) {
        unmap_code();
    }
}

/// Takes the pages of the program's code and constants out of this process's memory, for a program that has done its work and
/// will be idle for long. Nothing is lost or written: they stay in the page cache, and what is used again is mapped again.
fn unmap_code() {
    // SAFETY: the kernel passes every program its own program headers, which stay (getauxval(3), execve(2)).
    let headers: &[libc::Elf64_Phdr] = unsafe {
        let table = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        if table.is_null() {
            return;
        }
        std::slice::from_raw_parts(table, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok());
    let (Some(own), Some(page)) = (own, page) else { return };
    let base = (headers.as_ptr() as usize).wrapping_sub(own.p_vaddr as usize);
    // What can be written, or could while the program was relocated, differs from the file.
    let unchanged =
        |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
    for header in headers.iter().filter(unchanged) {
        let begin = base.wrapping_add(header.p_vaddr as usize);
        // Whole pages: the first and the last may have something else, too.
        let (first, end) = (begin.next_multiple_of(page), (begin + header.p_memsz as usize) / page * page);
        if first < end {
            // SAFETY: these pages are mapped from the file and were never written: the kernel reads them from there
            // again (madvise(2)).
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_DONTNEED) };
        }
    }
}
