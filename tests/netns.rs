//! The kernel room on the running kernel, in a private network namespace. The oracle is ip(8).

#[path = "netns/apply.rs"]
mod apply;
#[path = "netns/namespace.rs"]
mod namespace;
#[path = "netns/neighbour.rs"]
mod neighbour;
#[path = "netns/read.rs"]
mod read;
#[path = "netns/session.rs"]
mod session;
