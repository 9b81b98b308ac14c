//! The keys of version 1, by the type of their item. Options of bonds and bridges (`params`) have tables of their own:
//! `model::attribute` and `debian::bridge`.

use crate::format::debian;
use crate::format::keys::Support::{Applied, NoEffect};
use crate::format::keys::{Key, Object, key};

const TYPE: Key = key("type", Applied, "what the item is");
const NAME: Key = key("name", Applied, "name of the interface, by which other items refer to it");
const MAC: Key = key("mac_address", Applied, "MAC address of the link");
const MTU: Key = key("mtu", Applied, "MTU in bytes; null: not set");
const ACCEPT_RA: Key = key("accept-ra", Applied, "accept router advertisements");
const KEEP: Key = key("keep_configuration", NoEffect, "it is for systemd-networkd");
const ID: Key = key("id", NoEffect, "it is MAAS's and curtin's name for the item");
const SYSCTLS: &str = "cloud-init sets no sysctls of it either";
const SUBNETS: Key = key("subnets", Applied, "addresses, and how the link gets them; null: none");
const GATEWAY: Key = key("gateway", Applied, "address of the router");
const METRIC: Key = key("metric", Applied, "priority of the route, the lowest takes precedence");
const NETMASK: Key = key("netmask", Applied, "netmask or prefix length; /24 or /64 by default");
const ROUTE_NETMASK: Key = key(
    "netmask",
    Applied,
    "netmask or prefix length; by default /24 or /64, or the host alone if bits beyond that are set",
);
const PREFIX: Key = key("prefix", Applied, "prefix length, as netmask");

pub(in crate::format) static TOP: Object = Object {
    name: "the top level",
    keys: &[key("version", Applied, "1"), key("config", Applied, "list of items")],
};

pub(in crate::format) static PHYSICAL: Object = Object {
    name: "config[] (physical, infiniband, loopback)",
    keys: &[
        TYPE,
        ID,
        key("name", Applied, "name for other items to refer to; the NIC gets it as an alternative name"),
        key("mac_address", Applied, "which NIC to match; by default the one with this name"),
        MTU,
        ACCEPT_RA,
        key("wakeonlan", Applied, "wake-on-LAN by magic packet"),
        key("params", NoEffect, "cloud-init records the NIC's driver there"),
        KEEP,
        SUBNETS,
    ],
};

pub(in crate::format) static BOND: Object = Object {
    name: "config[] (bond)",
    keys: &[
        TYPE,
        ID,
        NAME,
        key("bond_interfaces", Applied, "names of the members"),
        key("params", Applied, "options of the bond"),
        MAC,
        MTU,
        ACCEPT_RA,
        KEEP,
        SUBNETS,
    ],
};

pub(in crate::format) static BRIDGE: Object = Object {
    name: "config[] (bridge)",
    keys: &[
        TYPE,
        ID,
        NAME,
        key("bridge_interfaces", Applied, "names of the ports"),
        key("ipv4_conf", NoEffect, SYSCTLS),
        key("ipv6_conf", NoEffect, SYSCTLS),
        key("params", Applied, "options of the bridge and its ports"),
        MAC,
        MTU,
        ACCEPT_RA,
        KEEP,
        SUBNETS,
    ],
};

pub(in crate::format) static VLAN: Object = Object {
    name: "config[] (vlan)",
    keys: &[
        TYPE,
        ID,
        NAME,
        key("vlan_link", Applied, "name of the link below"),
        key("vlan_id", Applied, "VLAN id, 0 to 4094"),
        MAC,
        MTU,
        ACCEPT_RA,
        KEEP,
        SUBNETS,
    ],
};

pub(in crate::format) static NAMESERVER: Object = Object {
    name: "config[] (nameserver)",
    keys: &[
        TYPE,
        ID,
        key("address", Applied, "addresses of name servers, a list or one text"),
        key("search", Applied, "search domains, a list or one text"),
        key("interface", Applied, "name of the link that they belong to; without it they are the machine's"),
    ],
};

pub(in crate::format) static GLOBAL_ROUTE: Object = Object {
    name: "config[] (route)",
    keys: &[
        TYPE,
        ID,
        key("destination", Applied, "destination with prefix length, or with a separate netmask"),
        key("network", Applied, "as destination"),
        ROUTE_NETMASK,
        PREFIX,
        GATEWAY,
        METRIC,
    ],
};

pub(in crate::format) static SUBNET: Object = Object {
    name: "subnets[]",
    keys: &[
        key(
            "type",
            Applied,
            "static, static6, manual, dhcp, dhcp4, dhcp6, ipv6_slaac, ipv6_dhcpv6-stateless, ipv6_dhcpv6-stateful",
        ),
        key("control", Applied, "auto and hotplug bring the link up, manual leaves it as it is"),
        key("address", Applied, "address, with or without prefix length"),
        key("ip_address", Applied, "as address"),
        NETMASK,
        PREFIX,
        key("gateway", Applied, "default route through this address"),
        key("broadcast", Applied, "IPv4 broadcast address"),
        key("pointopoint", Applied, "address of the far end"),
        METRIC,
        key("mtu", Applied, "MTU in bytes; that of IPv6 alone beside an IPv6 address"),
        key("scope", NoEffect, "the kernel derives the scope from the address"),
        key("ipv4", NoEffect, "the family follows from the address"),
        key("ipv6", NoEffect, "the family follows from the address"),
        key("dns_nameservers", Applied, "name servers of this link, a list or one text"),
        key("dns_search", Applied, "search domains of this link, a list or one text"),
        key("routes", Applied, "routes through this link"),
    ],
};

pub(in crate::format) static ROUTE: Object = Object {
    name: "subnets[].routes[]",
    keys: &[
        ID,
        key("type", NoEffect, "it is for curtin"),
        key("network", Applied, "destination, with prefix length or with a separate netmask"),
        key("destination", Applied, "as network"),
        ROUTE_NETMASK,
        PREFIX,
        GATEWAY,
        METRIC,
    ],
};

/// Every table, for the reference.
#[allow(dead_code)] // docs and tests walk it
pub(in crate::format) static OBJECTS: &[&Object] = &[
    &TOP,
    &PHYSICAL,
    &BOND,
    &debian::BOND,
    &BRIDGE,
    &debian::BRIDGE,
    &VLAN,
    &NAMESERVER,
    &GLOBAL_ROUTE,
    &SUBNET,
    &ROUTE,
];
