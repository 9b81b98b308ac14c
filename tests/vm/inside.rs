//! Tests that run inside a guest: see kernel.rs.

#[path = "inside/bonds.rs"]
mod bonds;
#[path = "inside/disturbed.rs"]
mod disturbed;
#[path = "inside/golden.rs"]
mod golden;
#[path = "inside/kinds.rs"]
mod kinds;
#[path = "inside/modules.rs"]
mod modules;
#[path = "inside/names.rs"]
mod names;
#[path = "inside/wake.rs"]
mod wake;
#[path = "inside/whole.rs"]
mod whole;
#[path = "inside/wireguard.rs"]
mod wireguard;
