//! The keys of interfaces text. ifupdown folds `_` to `-` and case, so each is here once. Options of bonds and
//! bridges (`bond-…`, `bridge-…`) have tables of their own: `model::attribute` and `debian::bridge`.

use crate::format::debian;
use crate::format::keys::Support::{Applied, LeftToOthers, NoEffect, Unsupported};
use crate::format::keys::{Object, key};

const DRIVERS: &str = "it is left as the driver has it";

pub(in crate::format) static TOP: Object = Object {
    name: "interfaces text outside a stanza",
    keys: &[
        key("iface", Applied, "begins the stanza of an interface: `iface NAME FAMILY METHOD`"),
        key("auto", Applied, "interfaces to bring up"),
        key("allow-auto", Applied, "as auto"),
        key("allow-hotplug", Applied, "as auto"),
        key("mapping", Unsupported, "its script is not executed"),
        key("template", Unsupported, "templates are ifupdown2's own"),
        key("source", Unsupported, "other files are not read"),
        key("source-directory", Unsupported, "other files are not read"),
        key("no-auto-down", NoEffect, "netapply takes no interface down"),
        key("no-scripts", NoEffect, "netapply runs no scripts"),
        key("rename", Unsupported, "write the name that the interface has, or its hwaddress"),
    ],
};

pub(in crate::format) static IFACE: Object = Object {
    name: "an iface stanza",
    keys: &[
        key("address", Applied, "address, with or without prefix length; may be repeated"),
        key("netmask", Applied, "netmask or prefix length; /24 or /64 where none is given"),
        key("broadcast", Applied, "IPv4 broadcast address"),
        key("network", NoEffect, "it follows from address and netmask"),
        key("gateway", Applied, "default route through this address"),
        key("metric", Applied, "metric of the default route, the lowest takes precedence"),
        key("pointopoint", Applied, "address of the far end"),
        key("description", NoEffect, "it is a note for people"),
        key("scope", NoEffect, "the kernel derives the scope from the address"),
        key("preferred-lifetime", Applied, "0 or forever"),
        key("mtu", Applied, "MTU in bytes"),
        key("inherit", Applied, "as inherits in the first line: the options of another stanza"),
        key("use", Applied, "of ifupdown-ng: bond, bridge or dhcp; the others follow from the options"),
        key("requires", Applied, "of ifupdown-ng: the members of a bond or bridge, else no effect"),
        key(
            "hwaddress",
            Applied,
            "of a NIC: which one is meant; of a bond, bridge or VLAN: the MAC address it gets",
        ),
        key("hwaddr", Applied, "as hwaddress, as Nova's older templates have it"),
        key("hw-mac-address", NoEffect, "it is glean's note on the NIC: the stanza goes by the name"),
        key("accept-ra", Applied, "take router advertisements: 0, 1 or 2"),
        key("autoconf", NoEffect, "addresses come with router advertisements, see accept-ra"),
        key("privext", Applied, "prefer temporary addresses: 0, 1 or 2"),
        key("dhcp", LeftToOthers, "DHCPv6 for what router advertisements do not say"),
        key("dad-attempts", NoEffect, "netapply waits for duplicate address detection, within its own bound"),
        key("dad-interval", NoEffect, "netapply waits for duplicate address detection, within its own bound"),
        key("dns-nameservers", Applied, "name servers; those at lo are the machine's"),
        key("dns-nameserver", Applied, "as dns-nameservers, may be repeated"),
        key("dns-search", Applied, "search domains"),
        key("dns-domain", Applied, "as dns-search"),
        key("dns-sortlist", NoEffect, "an option of the resolver library"),
        key("dns-options", NoEffect, "an option of the resolver library"),
        key("vlan-raw-device", Applied, "the link that a VLAN is on"),
        key("vlan-id", Applied, "VLAN id, where the name (eth0.100, vlan100) does not say it"),
        key("vlan-protocol", Applied, "802.1Q or 802.1ad"),
        key("up", Applied, "ip and route commands are understood; nothing is executed"),
        key("post-up", Applied, "as up"),
        key("pre-up", Applied, "as up"),
        key("down", NoEffect, "netapply takes no interface down"),
        key("pre-down", NoEffect, "netapply takes no interface down"),
        key("post-down", NoEffect, "netapply takes no interface down"),
        key("hostname", LeftToOthers, "it is the DHCP client's"),
        key("leasehours", LeftToOthers, "it is the DHCP client's"),
        key("leasetime", LeftToOthers, "it is the DHCP client's"),
        key("vendor", LeftToOthers, "it is the DHCP client's"),
        key("client", LeftToOthers, "it is the DHCP client's"),
        key("request-prefix", LeftToOthers, "it is the DHCP client's"),
        key("media", NoEffect, "no driver of today has a media type"),
        key("offload-rx", Applied, "ethtool's rx-checksum"),
        key("offload-tx", Applied, "ethtool's tx-checksumming"),
        key("offload-tso", Applied, "ethtool's tx-tcp-segmentation and tx-tcp6-segmentation"),
        key("offload-gso", Applied, "ethtool's tx-generic-segmentation"),
        key("offload-gro", Applied, "ethtool's rx-gro"),
        key("offload-lro", Applied, "ethtool's rx-lro"),
        key("offload-sg", NoEffect, DRIVERS),
        key("offload-ufo", NoEffect, "kernels since 4.14 have no such offload"),
        key("ethernet-wol", Applied, "wake up by a magic packet (g) or not at all (d)"),
        key("ethernet-autoneg", NoEffect, DRIVERS),
        key("ethernet-pause-rx", NoEffect, DRIVERS),
        key("ethernet-pause-tx", NoEffect, DRIVERS),
        key("link-autoneg", NoEffect, DRIVERS),
        key("link-duplex", NoEffect, DRIVERS),
        key("link-speed", NoEffect, DRIVERS),
        key("hardware-dma-ring-rx", NoEffect, DRIVERS),
        key("hardware-dma-ring-tx", NoEffect, DRIVERS),
        key("driver-message-level", NoEffect, DRIVERS),
        key("wpa-ssid", Unsupported, "Wi-Fi needs a supplicant, which an early boot does not have"),
        key("wpa-psk", Unsupported, "Wi-Fi needs a supplicant, which an early boot does not have"),
        key("wpa-conf", Unsupported, "Wi-Fi needs a supplicant, which an early boot does not have"),
        key("wpa-passphrase", Unsupported, "Wi-Fi needs a supplicant, which an early boot does not have"),
        key("wireless-key", Unsupported, "Wi-Fi needs a supplicant, which an early boot does not have"),
        key("wireless-essid", Unsupported, "Wi-Fi needs a supplicant, which an early boot does not have"),
    ],
};

/// How bonds and their members find each other.
pub(in crate::format) static MEMBERS: Object = Object {
    name: "members of a bond",
    keys: &[
        key("bond-slaves", Applied, "at the bond: its members; `none` where they name the bond themselves"),
        key("bond-ports", Applied, "as bond-slaves"),
        key("bond-members", Applied, "as bond-slaves"),
        key("slaves", Applied, "as bond-slaves"),
        key("bond-master", Applied, "at a member: its bond"),
    ],
};

/// Every table, for the reference.
#[allow(dead_code)] // docs and tests walk it
pub(in crate::format) static OBJECTS: &[&Object] = &[&TOP, &IFACE, &debian::BOND, &MEMBERS, &debian::BRIDGE];
