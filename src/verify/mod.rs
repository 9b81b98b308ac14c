//! Is it true, and does it work.
