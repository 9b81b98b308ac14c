//! Verification on real networks: a namespace is the machine, others are at the ends of its wires. Each test creates
//! one network, healthy or with one fault, and checks what is reported about it.

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
