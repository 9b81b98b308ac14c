//! What needs a whole kernel: bonds, VLANs, drives, hot-plugging, each in a guest of its own.
//!
//! See guest.rs for how a guest works and drive.rs for config drives. `tests/setup` installs what is needed.

mod drive;
mod guest;
mod harness;
mod switch;
