//! Signals: after a termination signal the program still writes its report; others do not end it.

use std::fs;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Termination signals. A closing terminal (SIGHUP) counts as `systemctl stop`.
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP];
/// Signals that would kill the program by default, but mean nothing to it.
const MEANINGLESS: [i32; 6] =
    [libc::SIGALRM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGVTALRM, libc::SIGPROF, libc::SIGIO];

/// Ready once a termination signal has arrived, and from then on: several stages look at it one after the other.
pub(super) struct Stop {
    signals: Vec<Signal>,
    came: bool,
}

impl Stop {
    /// Handles the signals from now on. Needs a tokio runtime.
    pub(super) fn new() -> Stop {
        // What the caller ignores stays ignored: nohup(1) does so with SIGHUP.
        let ignored = ignored();
        let taken = |number: &i32| ignored & (1 << (number - 1)) == 0;
        let take = |number: i32| signal(SignalKind::from_raw(number)).ok();
        // A handler stays for the life of the process; programs that it runs get the default back.
        MEANINGLESS.into_iter().filter(taken).for_each(|number| drop(take(number)));
        Stop { signals: ENDING.into_iter().filter(taken).filter_map(take).collect(), came: false }
    }
}

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let came = self.came;
        self.came = self.signals.iter_mut().fold(came, |came, s| s.poll_recv(context).is_ready() || came);
        if self.came { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// From now on termination signals end the program at once: the report is done.
pub(super) fn end_at_once() {
    let ignored = ignored();
    for number in ENDING.into_iter().filter(|number| ignored & (1 << (number - 1)) == 0) {
        if let Ok(signal) = nix::sys::signal::Signal::try_from(number) {
            // SAFETY: the default action replaces a handler; the runtime that installed it has ended.
            let _ = unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) };
        }
    }
}

/// The signals that were ignored when the program started, as a mask (proc_pid_status(5)).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
