//! Desired and Inventory to Resolved: where a MAC meets a NIC.
