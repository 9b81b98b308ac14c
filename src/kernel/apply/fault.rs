//! Fault injection for tests, only with the cargo feature `fault`, which is off in releases.
//!
//! `NETAPPLY_FAULT=refuse:N` has the kernel refuse the process's N-th step (from 0), in the datagram in which it would
//! have been sent; `NETAPPLY_FAULT=die:N` kills the process once N steps are done; `NETAPPLY_FAULT=lose:N` loses the
//! kernel's answer to the N-th step of each plan, which it has applied; `NETAPPLY_FAULT=stop:N` sends the process
//! SIGTERM when it reaches the N-th step. A step that does not use netlink fails without being tried.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};

use crate::kernel::trouble::Trouble;
use crate::kernel::wire::{Refusal, Request};
use crate::plan::{Action, Means};

use super::Executor;

/// `RTM_SETLINK`, which the kernel refuses if it names no link.
const RTM_SETLINK: u16 = 19;

/// Steps that the process has reached, in all plans: undoing a failed step is not disturbed itself.
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// What replaces a step.
pub(super) enum Fault {
    /// This request is sent instead, and refused by the kernel.
    Refused(Request),
    /// The step fails without being tried.
    Failed(Trouble),
}

impl Executor<'_> {
    /// The fault for the step that the process has reached, if any.
    pub(super) async fn fault(&mut self, action: &Action) -> Option<Fault> {
        let number = REACHED.fetch_add(1, Ordering::Relaxed);
        let wanted = std::env::var("NETAPPLY_FAULT").ok()?;
        let (what, at) = wanted.split_once(':')?;
        if at.parse() != Ok(number) {
            return None;
        }
        match what {
            "lose" => None,
            "die" | "stop" => {
                self.send().await;
                let signal = if what == "die" { Signal::SIGKILL } else { Signal::SIGTERM };
                let _ = raise(signal);
                // The runtime handles the signal in its next iteration.
                tokio::task::yield_now().await;
                None
            }
            _ if action.means() == Means::Netlink => {
                Some(Fault::Refused(Request::new(RTM_SETLINK, 0, &[0; 16])))
            }
            _ => {
                let refusal = Refusal::bare(Errno::EPERM);
                Some(Fault::Failed(Trouble::Refused { refusal, option: None }))
            }
        }
    }
}

/// Whether the reply to this step is to be lost.
pub(super) fn loses(number: usize) -> bool {
    std::env::var("NETAPPLY_FAULT").is_ok_and(|wanted| wanted == format!("lose:{number}"))
}
