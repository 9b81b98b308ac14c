//! The only room that speaks netlink, sysctl and ethtool.

pub mod session;
