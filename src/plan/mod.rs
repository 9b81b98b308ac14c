//! Resolved and Inventory to Plan: what differs, in which order.
