//! What needs a whole kernel: bonds, VLANs, drives, hot-plugging, each in a guest of its own.
//!
//! A new case is a `#[test]` in the matching module: build a drive ([`harness::drive`]), boot a machine with it
//! (switch.rs for one with two NICs and a switch, [`harness::guest`] for any other), run netapply in it, and ask ip(8)
//! (oracle.rs). `tests/setup` installs what is needed; `cargo test --test vm NAME` runs one.

mod cases;
mod causes;
mod change;
mod faults;
mod figures;
mod guest;
mod inside;
mod kernel;
mod oracle;
#[path = "../harness/plans.rs"]
mod plans;
mod script;
mod switch;
