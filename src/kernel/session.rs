//! A netlink session with bounds, extended acks and batches.
