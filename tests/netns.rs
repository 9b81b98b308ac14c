//! The kernel room on the running kernel, in a private network namespace. The oracle is ip(8).

#[path = "netns/apply.rs"]
mod apply;
#[path = "netns/ethtool.rs"]
mod ethtool;
#[allow(dead_code)] // shared with tests/vm
#[path = "netns/namespace.rs"]
mod namespace;
#[path = "netns/neighbour.rs"]
mod neighbour;
#[path = "netns/plans.rs"]
mod plans;
#[path = "netns/read.rs"]
mod read;
#[path = "netns/session.rs"]
mod session;
