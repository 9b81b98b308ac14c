//! The arguments, and nothing of the machine.
