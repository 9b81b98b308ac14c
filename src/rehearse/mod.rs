//! A machine to rehearse on, of this kernel's own namespaces, for an ordinary user: stand-ins for its NICs, and the other
//! ends of their wires.
//!
//! [`private`] leaves this machine alone: from there on the process has a network, files below /etc and /run, and a host
//! name of its own. [`nics`] (pure) says which NICs stand in, [`switch`] (pure) what is on the other side: by default
//! whatever the description needs. [`other_side`] makes it, in a network namespace beside ours, with a plan like any other;
//! `servers` answers there.

pub mod nics;
pub mod other_side;
pub mod private;
mod servers;
pub mod switch;
