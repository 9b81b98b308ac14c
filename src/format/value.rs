//! The typed readers that all formats share: addresses, masks, routes, MAC addresses, names, bond options.
