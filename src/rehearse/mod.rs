//! A machine to rehearse on, in this kernel's own namespaces, for an ordinary user: stand-ins for its NICs, and the
//! other ends of their wires.
//!
//! [`private`] isolates the process from this machine: it then has a network, files below /etc and /run, and a host
//! name of its own. [`nics`] (pure) decides which NICs have stand-ins, [`switch`] (pure) what is on the other side: by
//! default whatever the description needs, or what a [file](mod@file) says. [`other_side`] creates it, in another network namespace, with a plan like
//! any other; `servers` answers there.

pub mod file;
pub mod nics;
pub mod other_side;
pub mod private;
mod servers;
pub mod switch;
