//! What happened, for a person and for a program.
