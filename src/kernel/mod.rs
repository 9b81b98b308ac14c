//! The only room that speaks netlink, sysctl and ethtool.
//!
//! [`read`] makes an inventory of the kernel's state, [`apply`] executes a plan; both use [`session`]. This room does
//! what a plan says and decides nothing.

pub mod apply;
mod attributes;
pub mod details;
pub mod effects;
mod ethtool;
pub mod firewall;
mod generic;
pub mod live;
pub mod lookup;
pub mod modules;
pub mod monitor;
pub mod names;
pub mod neighbour;
mod newlink;
pub mod read;
pub mod session;
mod tools;
pub mod trouble;
mod value;
pub mod veth;
pub mod wire;
mod wireguard;
mod write;

/// The system's error number; errors of std itself (a name with a zero byte) count as an invalid argument.
fn errno(error: &std::io::Error) -> nix::errno::Errno {
    error.raw_os_error().map_or(nix::errno::Errno::EINVAL, nix::errno::Errno::from_raw)
}
