//! Verification against real networks: a namespace is the machine, others are what its wires lead to. Each test makes one
//! network, healthy or with one fault, and looks at what is said about it.

#[path = "verify/cases.rs"]
mod cases;
#[path = "verify/commands.rs"]
mod commands;
#[path = "verify/dns.rs"]
mod dns;
#[path = "verify/lldp.rs"]
mod lldp;
#[path = "netns/namespace.rs"]
#[allow(dead_code)]
mod namespace;
#[path = "verify/servers.rs"]
mod servers;
#[path = "verify/told.rs"]
mod told;
#[path = "verify/wires.rs"]
mod wires;
