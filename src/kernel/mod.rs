//! The only room that speaks netlink, sysctl and ethtool.
//!
//! [`read`] makes an inventory of what the kernel says, [`apply`] executes a plan; both stand on [`session`]. This room does what a plan says and decides nothing.

pub mod apply;
mod attributes;
pub mod details;
mod ethtool;
mod generic;
mod host;
pub mod live;
pub mod lookup;
pub mod modules;
pub mod monitor;
pub mod names;
pub mod neighbour;
pub mod read;
pub mod session;
mod tools;
mod value;
pub mod wire;
mod wireguard;
mod write;
