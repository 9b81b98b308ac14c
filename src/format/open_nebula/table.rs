//! The variables of context.sh about networking. Others are ignored.

use crate::format::keys::Support::{Applied, NoEffect};
use crate::format::keys::{Key, Object, key};

const IP: Key = key("IP", Applied, "IPv4 address");
const MASK: Key = key("MASK", Applied, "its netmask; /24 by default");
const IP6: Key = key("IP6", Applied, "IPv6 address");
const IPV6: Key = key("IPV6", Applied, "as IP6, in older contexts");
const IP6_ULA: Key = key("IP6_ULA", Applied, "unique local IPv6 address, /64");
const IP6_PREFIX_LENGTH: Key = key("IP6_PREFIX_LENGTH", Applied, "prefix length of IP6; /64 by default");
const NETWORK: Key = key("NETWORK", NoEffect, "it follows from address and mask");
const ROUTER: &str = "it concerns OpenNebula's virtual routers";

pub(in crate::format) static TOP: Object = Object {
    name: "context.sh",
    keys: &[
        key("ETHn_…", Applied, "variables of the n-th NIC"),
        key("PCIn_…", Applied, "the same for a NIC that is passed through to the machine, found by its MAC"),
        key("DNS", Applied, "name servers of the machine"),
        key("SEARCH_DOMAIN", Applied, "search domains of the machine"),
        key(
            "ROUTES",
            Applied,
            "routes, `PREFIX via GATEWAY` or `NETWORK MASK GATEWAY [METRIC]`, with commas between them",
        ),
    ],
};

pub(in crate::format) static NIC: Object = Object {
    name: "ETHn_…",
    keys: &[
        key("MAC", Applied, "which NIC to match; without it the n-th in PCI order"),
        key("METHOD", Applied, "static, dhcp, or skip, which leaves the NIC alone"),
        key("DHCP", Applied, "YES is method dhcp, as Proxmox writes it"),
        IP,
        MASK,
        NETWORK,
        key("GATEWAY", Applied, "default route through this address"),
        key("METRIC", Applied, "metric of the default routes, the lowest takes precedence"),
        key("IP6_METHOD", Applied, "static, auto, dhcp, disable or skip; without it as METHOD"),
        key("DHCP6", Applied, "YES is IPv6 method dhcp, as Proxmox writes it"),
        key("AUTO6", Applied, "YES is IPv6 method auto, as Proxmox writes it"),
        IP6,
        IPV6,
        IP6_ULA,
        IP6_PREFIX_LENGTH,
        key("MASK6", Applied, "as IP6_PREFIX_LENGTH, as Proxmox writes it"),
        key("IP6_GATEWAY", Applied, "IPv6 default route through this address"),
        key("GATEWAY6", Applied, "as IP6_GATEWAY"),
        key("IP6_METRIC", Applied, "metric of the IPv6 default route; without it METRIC"),
        key("MTU", Applied, "MTU in bytes"),
        key("DNS", Applied, "name servers of this link"),
        key("SEARCH_DOMAIN", Applied, "search domains of this link"),
        key("DOMAIN", Applied, "as SEARCH_DOMAIN"),
        key(
            "ROUTES",
            Applied,
            "routes, `PREFIX via GATEWAY` or `NETWORK MASK GATEWAY [METRIC]`, with commas between them",
        ),
        key("ALIASn_…", Applied, "further addresses of this NIC"),
        key("MAC6", NoEffect, "the NIC is the same"),
        key("ADDRESS", NoEffect, "the NIC is found by its MAC address"),
        key("VLAN_ID", NoEffect, "the hypervisor tags the frames"),
        key("EXTERNAL", NoEffect, "it is the hypervisor's"),
        key("CONTEXT_FORCE_IPV4", NoEffect, "every address that is given is set"),
        key("VROUTER_IP", NoEffect, ROUTER),
        key("VROUTER_IP6", NoEffect, ROUTER),
        key("VROUTER_MANAGEMENT", NoEffect, ROUTER),
    ],
};

pub(in crate::format) static ALIAS: Object = Object {
    name: "ETHn_ALIASn_…",
    keys: &[
        IP,
        MASK,
        NETWORK,
        IP6,
        IPV6,
        IP6_ULA,
        IP6_PREFIX_LENGTH,
        key("EXTERNAL", Applied, "YES: the address is not set in the machine"),
        key("DETACH", Applied, "if it is not empty, the address is not set"),
        key("MAC", NoEffect, "it is that of its NIC"),
        key("GATEWAY", NoEffect, "the NIC has its own"),
        key("DNS", NoEffect, "the NIC has its own"),
        key("SEARCH_DOMAIN", NoEffect, "the NIC has its own"),
        key("MTU", NoEffect, "it is that of its NIC"),
    ],
};

/// Every table, for the reference.
#[allow(dead_code)] // docs and tests walk it
pub(in crate::format) static OBJECTS: &[&Object] = &[&TOP, &NIC, &ALIAS];
