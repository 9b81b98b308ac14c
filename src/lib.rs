//! netapply configures the network that a config drive describes, checks that it works, and says why when it does not.
//!
//! One thing flows through the crate, and each room changes it once:
//!
//! 1. [`source`] finds the drive, directory or file and reads it.
//! 2. [`format::parse`] recognises the format and makes a [`model::Desired`] of the text, with a
//!    [`diagnostic::Diagnostic`] for everything that is not applied as written.
//! 3. [`kernel::read`] observes the machine: an [`inventory::Inventory`].
//! 4. [`resolve::resolve`] matches the NICs of both and names every link: a [`resolve::Resolved`].
//! 5. [`plan::plan`] compares the two and puts the changes in order: a [`plan::Plan`], which [`plan::script`] prints as
//!    ip(8) commands.
//! 6. [`handoff`] adds what the image's other tools must be told.
//! 7. [`kernel::apply`] makes the changes: an [`kernel::apply::PlanOutcome`].
//! 8. [`verify`] checks links, addresses, gateways, name servers and targets, and explains what fails.
//! 9. [`report`] writes the result for people and for programs.
//!
//! [`run`] takes a command through these stages, [`cli`] reads the command line, and [`machine`] owns every path of the
//! machine. Steps 2, 4 and 5 are pure: no file system, clock, environment or netlink. A dry run on a recorded machine:
//!
//! ```
//! use netapply::{format, inventory::Inventory, plan, resolve};
//!
//! let text = "network: {version: 2, bridges: {br0: {addresses: [192.0.2.1/24]}}}";
//! let parsed = format::parse(vec![("net.yaml".to_owned(), text.to_owned())]);
//! let machine = Inventory::default();
//! let (resolved, _) = resolve::resolve(&parsed.desired, &machine, resolve::Missing::Report);
//! let script = plan::script::script(&plan::plan(&resolved, &machine), &[]);
//! assert!(script.contains("ip address add 192.0.2.1/24 dev br0"));
//! ```
//!
//! ARCHITECTURE.md has the map, the invariants and the edges between these rooms.

pub mod bus;
pub mod cli;
pub mod diagnostic;
pub mod export;
pub mod fleet;
pub mod format;
pub mod handoff;
pub mod inventory;
pub mod kernel;
pub mod lease;
pub mod logging;
pub mod machine;
pub mod model;
pub mod order;
pub mod page;
pub mod plan;
pub mod rehearse;
pub mod report;
pub mod resolve;
pub mod run;
mod socket;
pub mod source;
pub mod verify;

#[cfg(test)]
mod tidy;
