//! The whole program on one screen: arguments, command, exit status.
//!
//! C's `main`, because Rust's aborts the process if a standard file is closed and there is no /dev/null.
#![no_main]

#[cfg(without_unwind_tables)]
use std::ffi::c_void;
use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use netapply::cli::{self, Complaint, Instead};
use netapply::run::{self, Exit};

/// Called by the C library.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    run::prepare_process();
    let count = usize::try_from(count).unwrap_or(0);
    let argument = |number: usize| -> OsString {
        // SAFETY: the kernel and the C library pass `count` pointers to texts that end with a NUL and stay for the life of
        // the process (execve(2)).
        let text = unsafe { CStr::from_ptr(*arguments.add(number)) };
        OsStr::from_bytes(text.to_bytes()).to_owned()
    };
    let exit = command((1..count).map(argument));
    // Rust's own `main` would.
    let _ = std::io::stdout().flush();
    exit as c_int
}

/// Without its tables (`linker.ld`) nothing can walk the stack. That the walk ends before it begins is said here, so that
/// the compiler leaves out what would print a backtrace, 180 KB. (`unwind.h`: `_URC_END_OF_STACK`.)
#[cfg(without_unwind_tables)]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *const c_void) -> c_int {
    5
}

fn command(arguments: impl Iterator<Item = OsString>) -> Exit {
    match cli::parse(arguments) {
        Ok(args) => run::run(&args),
        Err(Instead::Complaint(Complaint(what))) => {
            run::complain(&what);
            Exit::Usage
        }
        Err(Instead::Answer(text)) => {
            // A closed pipe is not an error.
            let _ = text.print();
            Exit::Success
        }
        Err(Instead::Wrong(text)) => {
            let _ = text.print();
            Exit::Usage
        }
    }
}
