//! Tests that run inside a guest: see kernel.rs.

#[path = "inside/bonds.rs"]
mod bonds;
#[path = "inside/disturbed.rs"]
mod disturbed;
#[path = "inside/kinds.rs"]
mod kinds;
#[path = "inside/modules.rs"]
mod modules;
#[path = "inside/names.rs"]
mod names;
#[path = "inside/wake.rs"]
mod wake;
#[path = "inside/wireguard.rs"]
mod wireguard;
