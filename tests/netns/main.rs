//! The kernel room on the running kernel, in a private network namespace. The oracle is ip(8).

mod apply;
mod capture;
mod converge;
mod ethtool;
mod faults;
mod fields;
mod leftovers;
mod lookup;
mod neighbour;
mod plans;
mod read;
mod rehearse;
mod session;
mod transitions;
mod vanish;
