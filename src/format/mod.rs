//! Text to Desired. Never sees the machine.
