//! Recorded evidence, and what it must be called.
