//! Tests that run inside a guest: see kernel.rs.

mod bonds;
mod disturbed;
mod golden;
mod kinds;
mod modules;
mod names;
mod wake;
mod wireguard;
