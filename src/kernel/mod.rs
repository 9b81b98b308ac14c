//! The only room that speaks netlink, sysctl and ethtool.
//!
//! [`read`] makes an inventory of what the kernel says, `write` makes a step a message to it; both stand on
//! [`session`]. This room does what a plan says and decides nothing.

#![allow(dead_code)] // until write.rs is there

mod attributes;
pub mod monitor;
pub mod names;
pub mod read;
pub mod session;
mod value;
pub mod wire;
