//! Where the description comes from.
