//! Every key of network_data.json, and its support.

use crate::format::keys::Support::{Applied, NoEffect};
use crate::format::keys::{Key, Object, key};

#[cfg(test)] // the reference and a test walk it
pub(in crate::format) const OBJECTS: &[&Object] =
    &[&TOP, &NIC, &BOND, &VLAN, &BRIDGE, &NETWORK, &ROUTE, &SERVICE];

pub(super) static TOP: Object = Object {
    name: "network_data.json",
    keys: &[
        key("links", Applied, "NICs, bonds, VLANs and bridges"),
        key("networks", Applied, "addresses and routes"),
        key("services", Applied, "name servers of the machine"),
        key("dns_nameservers", Applied, "name servers of the machine, as a list or one string"),
        key("dns_search", Applied, "search domains of the machine"),
    ],
};

const ID: Key = key(
    "id",
    Applied,
    "the link's name in networks, bonds and VLANs; also the interface name of a link that netapply makes, if it can be one",
);
const TYPE: Key = key("type", Applied, "bond, vlan, linux_bridge; everything else is a NIC");
const NAME: Key =
    key("name", Applied, "interface name: a NIC is renamed, a link that netapply makes gets this name");
const MTU: Key = key("mtu", Applied, "MTU in bytes; null and 0: not set");
const VIF_ID: Key = key("vif_id", NoEffect, "it is the cloud's own name of the port");

pub(super) static NIC: Object = Object {
    name: "links[] (NIC)",
    keys: &[
        ID,
        TYPE,
        NAME,
        MTU,
        key("ethernet_mac_address", Applied, "which NIC to match; without it the id is an interface name"),
        VIF_ID,
    ],
};

const BOND_OPTION: &str = "the bonding driver's option of this name";

pub(super) static BOND: Object = Object {
    name: "links[] (bond)",
    keys: &[
        ID,
        TYPE,
        NAME,
        MTU,
        key("ethernet_mac_address", Applied, "the bond's MAC address; without it the first member's"),
        VIF_ID,
        key("bond_links", Applied, "ids of the members (names work as well)"),
        key("bond_mode", Applied, "mode, by name or number"),
        key("bond_miimon", Applied, BOND_OPTION),
        key("bond_updelay", Applied, BOND_OPTION),
        key("bond_downdelay", Applied, BOND_OPTION),
        key("bond_peer_notify_delay", Applied, BOND_OPTION),
        key("bond_use_carrier", Applied, BOND_OPTION),
        key("bond_arp_interval", Applied, BOND_OPTION),
        key("bond_arp_ip_target", Applied, BOND_OPTION),
        key("bond_arp_validate", Applied, BOND_OPTION),
        key("bond_arp_all_targets", Applied, BOND_OPTION),
        key("bond_ns_ip6_target", Applied, BOND_OPTION),
        key("bond_missed_max", Applied, BOND_OPTION),
        key("bond_primary", Applied, BOND_OPTION),
        key("bond_primary_reselect", Applied, BOND_OPTION),
        key("bond_active_slave", Applied, BOND_OPTION),
        key("bond_fail_over_mac", Applied, BOND_OPTION),
        key("bond_xmit_hash_policy", Applied, BOND_OPTION),
        key("bond_resend_igmp", Applied, BOND_OPTION),
        key("bond_num_grat_arp", Applied, BOND_OPTION),
        key("bond_num_unsol_na", Applied, "the bonding driver's num_grat_arp"),
        key("bond_all_slaves_active", Applied, BOND_OPTION),
        key("bond_min_links", Applied, BOND_OPTION),
        key("bond_lp_interval", Applied, BOND_OPTION),
        key("bond_packets_per_slave", Applied, BOND_OPTION),
        key("bond_tlb_dynamic_lb", Applied, BOND_OPTION),
        key("bond_lacp_rate", Applied, BOND_OPTION),
        key("bond_lacp_active", Applied, BOND_OPTION),
        key("bond_ad_select", Applied, BOND_OPTION),
        key("bond_ad_actor_sys_prio", Applied, BOND_OPTION),
        key("bond_ad_user_port_key", Applied, BOND_OPTION),
        key("bond_ad_actor_system", Applied, BOND_OPTION),
        key("bond_coupled_control", Applied, BOND_OPTION),
    ],
};

pub(super) static VLAN: Object = Object {
    name: "links[] (vlan)",
    keys: &[
        ID,
        TYPE,
        NAME,
        MTU,
        key("vlan_link", Applied, "id of the link below it"),
        key("vlan_id", Applied, "0 to 4094"),
        key(
            "vlan_mac_address",
            Applied,
            "the VLAN's MAC address; null, empty or absent is that of the link below",
        ),
        key("ethernet_mac_address", Applied, "as vlan_mac_address"),
        VIF_ID,
    ],
};

pub(super) static BRIDGE: Object = Object {
    name: "links[] (bridge)",
    keys: &[
        ID,
        TYPE,
        NAME,
        MTU,
        key("ethernet_mac_address", Applied, "the bridge's MAC address"),
        VIF_ID,
        key(
            "bridge_links",
            Applied,
            "ids of the ports; a bridge without this key and the next is a NIC (Nova)",
        ),
        key("bridge_interfaces", Applied, "as bridge_links"),
        key("bridge_stp", Applied, "spanning tree, on or off"),
        key("bridge_fd", Applied, "forwarding delay in seconds"),
        key("bridge_hello", Applied, "hello time in seconds"),
        key("bridge_maxage", Applied, "maximum age in seconds"),
        key("bridge_ageing", Applied, "ageing time in seconds"),
        key("bridge_bridgeprio", Applied, "priority"),
        key("bridge_priority", Applied, "priority"),
        key("bridge_mcsnoop", Applied, "multicast snooping"),
        key("bridge_vlan_aware", Applied, "VLAN filtering"),
    ],
};

pub(super) static NETWORK: Object = Object {
    name: "networks[]",
    keys: &[
        key("id", Applied, "its name in messages; it may repeat"),
        key("network_id", NoEffect, "it is the cloud's own name of the network"),
        key(
            "type",
            Applied,
            "ipv4, ipv6, static, static6, ipv4_dhcp, ipv6_dhcp, dhcp4, dhcp6, ipv6_slaac, ipv6_dhcpv6-stateful, ipv6_dhcpv6-stateless",
        ),
        key("link", Applied, "id of its link; without it the only link that can be meant"),
        key("ip_address", Applied, "address, with or without prefix length"),
        key("netmask", Applied, "netmask or prefix length"),
        key("broadcast", Applied, "IPv4 broadcast address"),
        key("gateway", Applied, "gateway of a default route"),
        key("metric", Applied, "metric of that default route"),
        key("routes", Applied, "routes through the link"),
        key("services", Applied, "name servers of the link"),
        key("dns_nameservers", Applied, "name servers of the link, as a list or one string"),
        key("dns_search", Applied, "search domains of the link"),
    ],
};

pub(super) static ROUTE: Object = Object {
    name: "networks[].routes[]",
    keys: &[
        key(
            "network",
            Applied,
            "destination; 0.0.0.0, ::, ::0 and ::/0 with a mask of zeroes or none are the default route",
        ),
        key("netmask", Applied, "its netmask or prefix length"),
        key("gateway", Applied, "gateway"),
        key("metric", Applied, "metric: the lowest takes precedence"),
        key("services", Applied, "name servers of the link"),
    ],
};

pub(super) static SERVICE: Object = Object {
    name: "services[]",
    keys: &[
        key("type", Applied, "dns; others have no effect"),
        key("address", Applied, "its address"),
        key("search", Applied, "search domains"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, attribute};

    #[test]
    fn every_option_of_the_bonding_driver_is_a_key() {
        for row in attribute::of_kind(Kind::Bond) {
            let name = format!("bond_{}", row.name);
            assert!(BOND.keys.iter().any(|key| key.name == name), "{name} is missing");
        }
    }

    #[test]
    fn keys_are_unique() {
        for object in OBJECTS {
            for (i, key) in object.keys.iter().enumerate() {
                assert!(object.keys[..i].iter().all(|other| other.name != key.name), "{}", key.name);
            }
        }
    }
}
