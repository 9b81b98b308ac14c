//! Verification against real networks: a namespace is the machine, others are what its wires lead to. Each test makes one
//! network, healthy or with one fault, and looks at what is said about it.

mod cases;
mod commands;
mod disturbed;
mod growth;
mod leases;
mod leftovers;
mod lldp;
mod local;
mod lookups;
mod losses;
mod servers;
mod told;
mod wires;
