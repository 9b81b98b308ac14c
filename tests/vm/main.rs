//! What needs a whole kernel: bonds, VLANs, drives, hot-plugging, each in a guest of its own.
//!
//! See guest.rs for how a guest works and drive.rs for config drives. `tests/setup` installs what is needed.

mod drive;
mod guest;
mod harness;
mod inside;
mod kernel;
#[allow(dead_code)] // shared with tests/netns.rs, which needs all of it
#[path = "../netns/namespace.rs"]
mod namespace;
#[allow(dead_code)]
#[path = "../netns/plans.rs"]
mod plans;
mod switch;
