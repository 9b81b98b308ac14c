//! Resolved and Inventory to [`Plan`]: what differs, in which order, and each step as the ip(8) line that does the same.
//!
//! Pure: no clock, no files, no kernel. What is not in the plan does not happen to the machine.

mod step;

pub use step::{Action, LinkChange, NewLink, Plan, Step};
