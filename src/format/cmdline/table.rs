//! The parameters that concern the network. Others are ignored.

use crate::format::keys::Support::{Applied, LeftToOthers, NoEffect, Unsupported};
use crate::format::keys::{Object, key};

const DRACUT: &str = "it tells dracut's own network modules when to run and how long to wait";
const UDEV: &str = "udev names the NICs";

pub(in crate::format) static TOP: Object = Object {
    name: "the kernel command line",
    keys: &[
        key("ip", Applied, "an interface with its address, or with what it asks for"),
        key("nfsaddrs", Applied, "as ip, in older kernels"),
        key("bond", Applied, "`NAME:MEMBER,MEMBER:OPTION=VALUE,OPTION=VALUE:MTU`"),
        key("bridge", Applied, "`NAME:PORT,PORT`"),
        key("vlan", Applied, "`NAME:LINK`; the name ends in the VLAN id"),
        key("team", Unsupported, "the kernel's team driver needs a daemon; a bond does the same"),
        key("ifname", Applied, "`NAME:MAC`: the name of the NIC with this MAC address"),
        key("nameserver", Applied, "a name server of the machine"),
        key("rd.route", Applied, "`DESTINATION:GATEWAY:INTERFACE`"),
        key("bootdev", Applied, "the interface of an ip= that names none"),
        key(
            "BOOTIF",
            Applied,
            "the MAC address of the NIC of an ip= that names none, as PXE boot loaders write it",
        ),
        key("rd.bootif", Applied, "0: BOOTIF is not for the network"),
        key("rd.peerdns", Applied, "0: name servers and search domains of leases are not used"),
        key("rd.net.dhcp.vendor-class", Applied, "the vendor class that is sent for a lease (option 60)"),
        key("rd.neednet", NoEffect, DRACUT),
        key("rd.net.timeout.dhcp", NoEffect, DRACUT),
        key("rd.net.dhcp.retry", NoEffect, DRACUT),
        key("rd.net.timeout.iflink", NoEffect, DRACUT),
        key("rd.net.timeout.ifup", NoEffect, DRACUT),
        key("rd.net.timeout.route", NoEffect, DRACUT),
        key("rd.net.timeout.ipv6dad", NoEffect, DRACUT),
        key("rd.net.timeout.ipv6auto", NoEffect, DRACUT),
        key("rd.net.timeout.carrier", NoEffect, DRACUT),
        key("rd.net.dhcp.dscp", LeftToOthers, "the class of a client's packets is the client's own"),
        key("rd.ethtool", Unsupported, "speed and negotiation are set by formats that have keys for them"),
        key("rd.znet", Unsupported, "the channels of an s390 machine are set online by its own tools"),
        key("rd.znet_ifname", Unsupported, "the channels of an s390 machine are named by its own tools"),
        key("biosdevname", NoEffect, UDEV),
        key("net.ifnames", NoEffect, UDEV),
        key("net.ifname_policy", NoEffect, UDEV),
    ],
};

#[allow(dead_code)] // docs and tests walk it
pub(in crate::format) static OBJECTS: &[&Object] = &[&TOP];
