//! The only room that speaks netlink, sysctl and ethtool.

pub mod monitor;
pub mod session;
pub mod wire;
