//! The kernel room on the running kernel, in a private network namespace. The oracle is ip(8).

#[path = "netns/apply.rs"]
mod apply;
#[allow(dead_code)] // shared with tests/golden.rs
#[path = "golden/cases.rs"]
mod cases;
#[path = "netns/converge.rs"]
mod converge;
#[path = "netns/disturb.rs"]
mod disturb;
#[path = "netns/ethtool.rs"]
mod ethtool;
#[path = "netns/faults.rs"]
mod faults;
#[path = "netns/fields.rs"]
mod fields;
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
#[path = "netns/state.rs"]
mod state;
#[path = "netns/vanish.rs"]
mod vanish;
