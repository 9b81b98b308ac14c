//! What needs a whole kernel: bonds, VLANs, drives, hot-plugging, each in a guest of its own.
//!
//! A new case is a `#[test]` in the module that fits: build a drive (drive.rs), boot a machine with it (switch.rs for
//! one with two NICs and a switch, guest.rs for any other), run netapply in it, and ask ip(8) (oracle.rs).
//! `tests/setup` installs what is needed; `cargo test --test vm NAME` runs one.

mod cases;
mod causes;
mod change;
#[allow(dead_code)] // shared with tests/netns.rs
#[path = "../netns/disturb.rs"]
mod disturb;
#[path = "../verify/dns.rs"]
mod dns;
mod drive;
mod faults;
mod figures;
#[path = "../golden/cases.rs"]
mod golden;
mod guest;
mod harness;
mod inside;
mod kernel;
#[allow(dead_code)] // shared with tests/netns.rs, which needs all of it
#[path = "../netns/namespace.rs"]
mod namespace;
mod oracle;
#[allow(dead_code)]
#[path = "../netns/plans.rs"]
mod plans;
mod script;
#[path = "../netns/state.rs"]
mod state;
mod switch;
