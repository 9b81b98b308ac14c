//! The whole program on one screen: arguments, stages, exit code.

fn main() {}
