//! netapply: brings up the network that a config drive describes, checks that it works, and says why when it does
//! not. ARCHITECTURE.md is the map of these rooms.

pub mod cli;
pub mod diagnostic;
pub mod format;
pub mod handoff;
pub mod inventory;
pub mod kernel;
pub mod logging;
pub mod machine;
pub mod model;
pub mod page;
pub mod plan;
pub mod report;
pub mod resolve;
pub mod run;
pub mod source;
pub mod verify;

#[cfg(test)]
mod tidy;
