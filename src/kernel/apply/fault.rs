//! Trouble on purpose, for tests: only with the cargo feature `fault`, which no release has.
//!
//! `NETAPPLY_FAULT=refuse:N` has the kernel refuse the N-th step (from 0) that the process comes to, in the datagram in
//! which it would have travelled; `NETAPPLY_FAULT=die:N` kills the process once N steps are done; `NETAPPLY_FAULT=lose:N`
//! loses the kernel's answer to the N-th step of each plan, which it has taken.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, raise};

use crate::kernel::wire::Request;

use super::Executor;

/// `RTM_SETLINK`, which the kernel refuses when it names no link.
const RTM_SETLINK: u16 = 19;

/// Steps that the process has come to, in all plans: what undoes a step that failed is not disturbed itself.
static REACHED: AtomicUsize = AtomicUsize::new(0);

impl Executor<'_> {
    /// What is sent in place of the step that is to be refused.
    pub(super) async fn fault(&mut self) -> Option<Request> {
        let number = REACHED.fetch_add(1, Ordering::Relaxed);
        let wanted = std::env::var("NETAPPLY_FAULT").ok()?;
        let (what, at) = wanted.split_once(':')?;
        if at.parse() != Ok(number) {
            return None;
        }
        match what {
            "lose" => None,
            "die" => {
                self.send().await;
                let _ = raise(Signal::SIGKILL);
                None
            }
            _ => Some(Request::new(RTM_SETLINK, 0, &[0; 16])),
        }
    }
}

/// The answer to a step is as good as lost.
pub(super) fn loses(number: usize) -> bool {
    std::env::var("NETAPPLY_FAULT").is_ok_and(|wanted| wanted == format!("lose:{number}"))
}
