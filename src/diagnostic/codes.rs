//! The table of codes: each with its severity, its meaning and what to do, for `netapply explain`.

use super::Severity;

macro_rules! codes {
    ($($(#[$_meta:meta])* $name:ident $text:literal $severity:ident $explanation:literal;)*) => {
        /// What a diagnostic is about. The text form is stable: scripts may match it.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // each row explains itself
        pub enum Code { $($name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable text, such as `dangling-reference`.
            pub fn text(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// The severity unless overridden.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// What it means, why, and what to do.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$name => $explanation,)* }
            }
        }
    };
}

codes! {
    // The file as a whole
    EmptyText "empty-text" Error "The description is empty. Describe the network in it, or remove the file so that netapply looks elsewhere.";
    Syntax "syntax" Error "The file is not valid JSON or YAML at this position, and nothing in it was used. Parsing failed at this position; the mistake is there or just before it. A file that ends early was truncated when it was written.";
    Unreadable "unreadable" Error "The description cannot be read: the file, drive or directory does not exist, is damaged, or needs root.";
    UnknownFormat "unknown-format" Error "The file can be read, but it is not in a format that netapply knows: network_data.json (links, networks, services), netplan (version: 2), cloud-init network-config (version: 1), Debian interfaces text (auto, iface), OpenNebula context.sh (ETH0_IP=), nmstate (interfaces), or a kernel command line (ip=, bond=, vlan=).";
    UnrenderedTemplate "unrendered-template" Error "The value, or the file, is a template that was not rendered: {{ … }} and {% … %} are Jinja's, Ansible's and Helm's, ${…} and %{…} Terraform's or envsubst's, <% … %> ERB's. Run the program that renders it and check what that writes; a variable that it does not know may be left as it is.";
    Templated "templated" Note "The value is not in the file: another program fills it in for each machine (a Metal3DataTemplate takes MAC addresses from the host and addresses from a pool). What is a literal was checked, this was not.";
    TooLarge "too-large" Error "The file is larger or more deeply nested than any real description: over 10 MiB, 100,000 values (after YAML aliases are expanded), 20,000 values in one list or mapping, 10,000 links, 256 KiB of YAML in one value, or 100 levels. It is rejected so that it cannot exhaust the machine's memory.";
    TooMany "too-many" Note "There are too many messages to show them all. The rest are counted, and still decide the exit code.";
    DuplicateKey "duplicate-key" Warning "A mapping has the same key twice. Most programs silently use the last one, and so does netapply: the other value is lost. Remove one of them.";
    NoLinks "no-links" Warning "The description has no links, so there is nothing to configure: not even rules, name servers or a host name. This is how a drive is written for a machine without a network; more often, the program that wrote it had no data.";
    NothingUsable "nothing-usable" Error "The description was read, but no link in it can be configured.";

    // Keys and values
    UnknownKey "unknown-key" Warning "The format has no such key at this position. It was ignored. The usual reasons are a misspelled key, whose likely spelling is suggested, and wrong indentation.";
    NoEffect "no-effect" Note "The key is valid but has no effect here: it is meant for another program (netplan's renderer, cloud-init's user-data) or a later stage. It can stay.";
    NotInFormat "not-in-format" Warning "netapply convert: the format that is written has no place for this, so it is left out there, or (a note) written elsewhere. With --strict it is an error and nothing is written. Choose another format, or configure it in the tool itself.";
    Unsupported "unsupported" Error "The format has this key, but netapply does not support it. Remove it, or leave the link to a tool in the image that supports it.";
    LeftToOthers "left-to-others" Note "The description leaves this to a client in the image, such as a DHCP client: netapply brings the link up and does not touch what that client sets.";
    DeprecatedKey "deprecated-key" Warning "The key works, but the format has a newer one, which the hint names.";
    MissingKey "missing-key" Error "A required key is missing, such as a VLAN's id. The object was left out.";
    BadValue "bad-value" Error "The value is not valid for this key; the message or the hint says which values are. The key was ignored, and so was its object if the key is required.";
    WrongShape "wrong-shape" Error "The value has the wrong type: a list where a mapping is expected, or a string where a list is, for example. In YAML the usual reasons are a missing dash and wrong indentation.";
    BadUnit "bad-unit" Error "The value has a unit that this key does not take, or lacks one that it needs. Most times are in milliseconds or seconds; docs/keys.md says which.";
    OddNumber "odd-number" Warning "YAML 1.1 reads an unquoted MAC address or number with colons or a leading zero as a number in base 60 or 8. It was read as it is written. Quote it.";

    // Links and names
    DuplicateLink "duplicate-link" Error "Two links have the same id. References to it are ambiguous, so the first link was used and the second was left out, even if its NIC exists. Give each link its own id.";
    DanglingReference "dangling-reference" Error "A link, network or route refers to a link that the description does not have. Whatever needs it was left out; in netplan files, where the name may be that of an interface, that interface was used. Add the link with its MAC address, or correct the name; a similar id is suggested.";
    ReferenceByName "reference-by-name" Warning "A link is referred to by its interface name instead of its id. netapply accepts that, but other programs do not: use the id.";
    ImpliedLink "implied-link" Warning "The description has no link for a member. The member was taken as the name of an interface on the machine. Interface names differ between machines: add a link with the member's MAC address.";
    LinkCycle "link-cycle" Error "Links depend on each other in a cycle. They were left out. One of them names the wrong parent or member.";
    TwoControllers "two-controllers" Error "A link is a member of two bonds or bridges. It can only be in one: remove it from the other.";
    BadMember "bad-member" Error "This link cannot be a member because the kernel refuses it: a bond takes no VRF, a bridge no bridge and no VRF, a VRF no VRF.";
    BadName "bad-name" Error "The name cannot be given to an interface. A name has 1 to 15 characters: letters, digits and _ - . + @. It begins with a letter, a digit or _, and is not a number. Other names are patterns, lists or options to programs that are told of the link (a networkd file for `*` would match every NIC), or are reserved: all, default, lo, bonding_masters. The link was given a name made from its kind; a NIC keeps its own.";
    GeneratedName "generated-name" Note "The id was generated by a program (tapX, a UUID), so the link was named after its kind instead.";
    DuplicateName "duplicate-name" Error "The interface name is taken, by another link or by a NIC of this machine. The link was given another name. Choose a unique name.";
    DuplicateMac "duplicate-mac" Warning "Two links in the description have the same MAC address, so they describe the same NIC. It was given the settings of both.";
    UnknownLinkType "unknown-link-type" Note "The link's type is not known, missing or null. It was taken as a physical NIC, which is what programs that write such files mean.";
    NoMac "no-mac" Warning "The link has no MAC address, so its id was taken as the name of an interface. Names depend on the kernel, the driver and the slot; a MAC address does not.";

    // NICs
    NicMissing "nic-missing" Error "No NIC of this machine matches. The message lists the NICs that exist and, if there is one, the likely typo. Compare with `netapply inventory` on the machine. The usual reasons are a replaced card, the MAC address of another port or of the BMC, and a driver or firmware that the image lacks.";
    NicAmbiguous "nic-ambiguous" Error "More than one NIC matches a link that has an address, which cannot be on two. Match by MAC address, or by a pattern that matches one name only.";
    NicStandIn "nic-stand-in" Note "This machine lacks the NICs of the description, so a dry run shows stand-ins for them: the plan is what such a machine would get. --inventory plans for a machine recorded with `netapply inventory`.";
    NicByPosition "nic-by-position" Warning "The description names ethN without a MAC address; the N-th NIC in PCI order was taken, as the kernel would have numbered them. Adding or moving a card changes the order: match by MAC address.";
    RootNic "root-nic" Error "By this NIC the machine reaches its root, as the firmware's table says (iBFT for iSCSI, nBFT for NVMe over TCP), and the description would take it down, put it into a bond or bridge, or take away the route to its target. What asks for that was left out, so that the machine goes on. An address that the description lacks is kept, with a warning. Describe the NIC with the address that it has.";
    Superseded "superseded" Note "Two sources describe this NIC or link, such as a drive and the kernel command line. The one that is named first in netapply.source= or --source was used; what the other says of it was left out.";
    NicShared "nic-shared" Note "Two NICs have this permanent MAC address (such as a paravirtual NIC and its virtual function). The one without a controller was used.";
    NoIpv6 "no-ipv6" Error "The description has IPv6 addresses or routes, but the running kernel has no IPv6: it was built without it, or booted with ipv6.disable=1. They were left out.";
    ControllerEmptied "controller-emptied" Warning "An undescribed bridge or bond of this machine loses its last port to the description. It is set down: up, its addresses and routes would go on taking precedence over those of the NIC. Delete it if it is not needed.";
    NicByCurrentMac "nic-by-current-mac" Note "No NIC has this permanent MAC address. One has it as its current address and was used.";

    // Bonds, VLANs, bridges
    MissingBondMode "missing-bond-mode" Warning "The bond has no mode. The kernel's default is balance-rr, which few switches support well.";
    ForeignMac "foreign-mac" Warning "A bond has the MAC address of a NIC that is not one of its members. Two interfaces with the same MAC address do not work in one network; the bond's members are probably wrong.";
    BondWithoutMembers "bond-without-members" Error "None of the bond's members exist, so it would carry nothing. It was left out, and so were the links above it. Name its members (bond_links, interfaces, bond-slaves), and add a link for each. A netplan bond that names no members at all is created anyway, as netplan does, with a warning.";
    OptionIgnored "option-ignored" Warning "The option has no effect here and was ignored: the bond's mode does not have it, only NICs have it, or what it belongs to is missing, such as the gateway of a metric. The message says which. Remove it, or add what it needs.";
    UnknownTable "unknown-table" Error "A route or rule names a routing table, and the machine's rt_tables (in /etc/iproute2 or /usr/share/iproute2) has no such name. It was left out: in another table it would be another route. Write the table's number, or add a line with the number and the name to rt_tables of the image.";
    OptionConflict "option-conflict" Warning "Two options exclude each other. One of them was ignored.";
    NoLinkMonitoring "no-link-monitoring" Warning "The bond has neither miimon nor arp_interval, so it would never notice a lost link. miimon 100 (milliseconds) was used.";
    VlanMtu "vlan-mtu" Warning "A VLAN's MTU is larger than that of the link below it, which the kernel refuses. If the description gives the link below no MTU, it was given the VLAN's; otherwise the VLAN was given the MTU of the link below.";
    MemberMtu "member-mtu" Warning "A bond and its members have the same MTU: that of the bond or, if it has none, the smallest of its members.";

    // Addresses and routes
    BadAddress "bad-address" Error "This is not an IP address of the required family. The usual mistakes are leading zeroes, a missing octet, and a prefix length where none is allowed.";
    BadNetmask "bad-netmask" Error "The netmask is neither a prefix length nor a mask of ones followed by zeroes, such as 255.255.255.0.";
    AssumedPrefix "assumed-prefix" Warning "The address has no prefix length or netmask; /24 was assumed for IPv4 and /64 for IPv6, as in cloud-init.";
    ConflictingPrefix "conflicting-prefix" Warning "Address and netmask give different prefix lengths. The one in the address was used. Keep only one of them.";
    DuplicateAddress "duplicate-address" Warning "Two links have the same address. The kernel accepts that and answers for it on both, so that hosts and switches see it move. Remove it from one of them, unless both lead to a router that expects it.";
    RepeatedAddress "repeated-address" Warning "The link has the same address twice.";
    MemberAddress "member-address" Warning "A member of a bond or bridge has addresses, routes or DHCP. Packets that arrive there go to the bond or bridge, so an address of the member never gets an answer. They were moved to the bond or bridge.";
    NoLinkForNetwork "no-link-for-network" Error "The network names no link and more than one is possible, so it was left out. Add the key \"link\" with a link's id.";
    AssumedLink "assumed-link" Warning "The network names no link; the only possible one was used. Other programs reject this: add the key \"link\".";
    HostBits "host-bits" Warning "The destination of the route has host bits set. They were cleared, as the kernel requires.";
    GatewayOffSubnet "gateway-off-subnet" Warning "The gateway is in no subnet of the link. The route was marked on-link, so that the kernel looks for the gateway on that link directly.";
    GatewayIsSelf "gateway-is-self" Error "The gateway is the machine's own address. The kernel takes an IPv4 one and sends on-link, so that route is made, with a warning; it refuses an IPv6 one, and that route was left out. The gateway is the router's address, often the first or last of the subnet.";
    ForeignSource "foreign-source" Warning "The route has a source address that no link in the description has. The kernel refuses such a route unless the machine has the address otherwise. Add the address to a link, or correct the route.";
    BadGateway "bad-gateway" Error "The gateway is missing, or its address cannot be a gateway's. The route was left out.";
    MixedFamilies "mixed-families" Error "IPv4 and IPv6 are mixed in one route or rule. The kernel routes each family by its own tables. It was left out.";
    TwoDefaultRoutes "two-default-routes" Warning "Two default routes have one metric, so the kernel takes only one of them or alternates. They were given different metrics, in the order of the file.";
    RepeatedRoute "repeated-route" Note "The link has the same route twice. One was ignored.";
    ConflictingRoute "conflicting-route" Warning "Two routes to one destination have one metric, and the kernel takes only one such route. The later one was given a higher metric.";
    RepeatedServer "repeated-server" Note "The same name server is listed twice. One was ignored.";
    NotADns "not-a-dns" Note "The service is not a name server, the only kind that netapply uses.";
    NotBroughtUp "not-brought-up" Warning "The interface is described, but no auto or allow-hotplug line names it, so ifupdown would not bring it up during boot, and netapply does not either. Add the line if the interface is needed.";
    CommandIgnored "command-ignored" Warning "The file contains a command. netapply does not run commands from descriptions. In interfaces files it understands the usual ip and route commands (routes, addresses, rules, MTU) and does the same itself; anything else has to be done by the image.";
    LoopbackIgnored "loopback-ignored" Note "The kernel sets up the loopback interface; netapply leaves it alone.";

    IronicRefuses "ironic-refuses" Error "Ironic validates network_data against a JSON schema and would reject this. netapply itself accepts it; only check --for ironic reports it.";

    // The kernel and the machine
    KernelRefused "kernel-refused" Error "The kernel refused a step; the message quotes its error. Steps that do not depend on it were done anyway, unless --strict was given.";
    KernelLacks "kernel-lacks" Error "The kernel has no support for this kind of link or option. The message names the module: add it to the image, or to the initramfs.";
    LeftOut "left-out" Error "The link depends on another link that cannot be created.";
    NotDone "not-done" Error "The step was not done because a step that it depends on failed.";

    // What is verified
    CheckDescribed "described" Error "Whether the kernel's state is as described, that is, whether a new plan has no steps. Remaining steps were refused, or something else has changed the network since. `netapply --dry-run` shows them.";
    CheckPresent "present" Error "Whether the link exists. If a NIC is missing, this machine has no NIC with the described MAC address or name.";
    CheckUp "up" Error "Whether the link is administratively up. If not, something took it down after netapply brought it up.";
    CheckCarrier "carrier" Error "Whether the link has carrier: for a NIC a cable and an active device at the other end, for a bond an active member, for a bridge a forwarding port. Waits up to 30 s; for optional links and all that belongs to them, 5 s.";
    CheckDuplex "duplex" Warning "Whether the NIC runs full duplex. Half duplex usually means that one side negotiates and the other is fixed: let both negotiate.";
    CheckMtu "mtu" Error "Whether the link has the described MTU. Drivers may round or refuse it.";
    CheckMode "bond-mode" Error "Whether the bond runs in the described mode.";
    CheckMember "member" Error "Whether the link is in the described bond or bridge.";
    CheckLacp "lacp" Error "Whether LACP negotiation has completed on a member of the bond: there is a partner, both sides collect and distribute, and the member is in the bond's active aggregator. Waits up to 40 s, because slow LACP sends every 30 s.";
    CheckForwarding "forwarding" Error "Whether a port of the bridge forwards, or blocks as intended. The spanning tree first listens and learns, for twice its forward delay.";
    CheckAddress "address" Error "Whether the address is on its link and can be used: for IPv6, duplicate address detection has succeeded.";
    CheckLease "lease" Error "Whether the link has a DHCP lease, where netapply itself asks for one. The finding says what was heard: no server answers, a server refuses, the offered address is in use by another machine, or what a server offers cannot be used. See `netapply leases`.";
    CheckUnique "address-unique" Error "Whether another machine has the IPv4 address, by three ARP probes with sender 0.0.0.0 (RFC 5227). The address is in use meanwhile.";
    CheckGateway "gateway" Error "Whether the gateway is reachable: the kernel resolves its hardware address on the right link, or it answers an echo request. A gateway may ignore echo requests. Waits up to 10 s once other machines are heard, and up to 40 s while the switch's port may still be in the spanning tree's forward delay.";
    CheckRoute "route" Error "Whether the kernel would send packets as described: its own lookup (as `ip route get` shows it) for each gateway, each name server, each target and one address of each described route is compared with the described link, next hop and source address. Rules, routes and addresses that are not described can take precedence.";
    CheckPathMtu "path-mtu" Error "Whether a packet of the link's full MTU reaches the gateway unfragmented, by an echo request. Not checked if the gateway ignores echo requests.";
    CheckResolver "resolver" Error "Whether the name server answers a query for the root zone. Any DNS response counts, including REFUSED. Waits up to 15 s.";
    CheckNames "names" Error "Whether the image's programs ask the described name servers, by the file that /etc/resolv.conf leads to, the servers of systemd-resolved, and the hosts line of /etc/nsswitch.conf. Not checked with --handoff none.";
    CheckTools "other-tools" Error "Whether another network tool in the image manages the link, according to that tool: systemd-networkd, NetworkManager, connman, or a DHCP client that listens on it. Such a tool may change the link at any time. Not checked with --handoff none.";
    CheckTarget "target" Error "Whether the target of --probe, netapply.probe= or ipa-api-url= answers: a TCP connection, an HTTP status below 400 (401 and 403 count as an answer), the beginning of a TLS handshake (certificates are not checked), or an echo reply. Asked once a route to it works, and waits up to 20 s; an unsuccessful answer is retried twice.";

    // Why something does not work
    LinkRenamed "link-renamed" Error "A NIC has another name than the one that it is described by. Either the kernel refused the rename, usually because another interface has that name or has it as an alternative name, or another program renamed the NIC afterwards; that is a warning, as the NIC works.";
    NoCable "no-cable" Error "A NIC has no carrier. Its cable is unplugged or broken, the switch's port is shut down, the optics do not match, or the two sides have different fixed speed or FEC settings.";
    NoCableAnywhere "no-cable-anywhere" Error "No NIC of the description has carrier. Either the cables are in other ports of this machine, or the switch is off or has all these ports shut down.";
    NicLate "nic-late" Error "The NIC appeared after netapply had stopped waiting for it, because of a slow driver or firmware. Wait longer (netapply.wait= on the kernel command line, or --wait).";
    LinkTakenDown "link-taken-down" Error "The link is down but otherwise as described: something took it down after netapply brought it up, such as another network tool in the image. `netapply apply` brings it up again.";
    LinkFlaps "link-flaps" Error "The NIC lost and regained carrier several times during verification. The cable or the optics are bad, or speed, FEC or auto-negotiation of the two sides do not match. Answers in between prove nothing.";
    HalfDuplex "half-duplex" Warning "The NIC runs half duplex. One side negotiates and the other is fixed. Let both negotiate.";
    WrongMtu "wrong-mtu" Error "The link does not have the described MTU. The driver may not support it, or something else changed it.";
    LacpNoPartner "lacp-no-partner" Error "The bond sends LACP and no member gets an answer: the switch's ports are not in a LAG (port channel), or their LAG is static. Configure LACP on these ports, or describe another bond mode.";
    LacpPartnerOnSome "lacp-partner-on-some" Error "Only some members have an LACP partner: the switch's ports of the others are not in the LAG, or their cables are in other ports. The bond works with the members that have one. It is only likely after less than 31 s of silence, because slow LACP sends every 30 s.";
    LacpTwoPartners "lacp-two-partners" Error "The members have different LACP partners: they are cabled to two switches without MLAG (vPC, MC-LAG), or to two LAGs of one switch. Only one side carries traffic. Cable them to one LAG, or set up MLAG between the switches.";
    LacpNotThrough "lacp-not-through" Error "The partner sends LACP, but negotiation does not complete: the partner does not take this member into its LAG, for example because of its speed, its VLANs or its minimum number of links.";
    SwitchRunsLacp "switch-runs-lacp" Error "The switch sends LACP on the members' ports, but the bond's mode does not use it. A switch keeps such ports out of service until it gets an answer. Describe the bond as 802.3ad, or remove the ports from the LAG.";
    VlanNotCarried "vlan-not-carried" Error "The switch's port does not carry the VLAN: no frames tagged with it arrive, while untagged frames or other VLANs do. Allow the VLAN on the port (trunk), or correct the VLAN in the description.";
    GatewayAbsent "gateway-absent" Error "Nothing answers for the gateway's address, while other hosts in its subnet answer or are heard. The gateway's address is wrong in the description, or that router is down. A filter between this port and the router's (private VLANs, port security) looks the same.";
    GatewayIgnores "gateway-ignores" Error "The gateway answers ARP requests without a sender address, but not those from this machine's address. It believes that another machine owns the address (a duplicate), or has another subnet on this link. Compare the address and its prefix length with the gateway's.";
    CompetingRoute "competing-route" Error "The kernel would not send packets as described, because something on the machine takes precedence: a route of a lower metric or a longer prefix, a rule that leads to another table, an address or subnet that is also on another link, or a route or rule that prohibits it. The message names it and what created it. Remove it, remove the program that creates it, or describe it. It is only a warning if the described route has a metric, since a lower metric may be intended.";
    GatewayElsewhere "gateway-elsewhere" Error "The gateway is in the subnet of another link, or answers on another link. Either the description has it on the wrong link, or cables or MAC addresses are swapped.";
    NothingAnswers "nothing-answers" Error "The link has carrier, and nothing answers or is heard on it. The port is in another VLAN, the cable is in another port, or the subnet is wrong.";
    PortInOtherSubnet "port-in-other-subnet" Error "A gateway does not answer, and a DHCP server or a router on the same port gives out another subnet: the port is in another VLAN, the cable is in another port, or the described subnet is wrong. netapply has sent a DHCPDISCOVER, which it never follows with a request, and a router solicitation. Turn that off with --no-discover or netapply.no-discover where a switch raises an alarm for DHCP on such a port.";
    NoDhcpServer "no-dhcp-server" Error "No DHCP server answers on the link. The server or the relay of the subnet is down, has no range for it, or does not know this machine; or the port is in another VLAN. `netapply leases` shows what was asked.";
    DhcpOnOtherVlan "dhcp-on-other-vlan" Error "No DHCP server answers on the link, and one does on another link of the same NIC, with or without another VLAN tag. The switch's port has the other VLAN, or the description has the wrong one.";
    DhcpRefuses "dhcp-refuses" Error "A DHCP server refuses the address that was asked for, or that the machine had until then (DHCPNAK): it belongs to another subnet than the port, or to another machine by now. If it goes on, two servers disagree; see their logs.";
    LeasedInUse "leased-in-use" Error "The address that a DHCP server gives is in use by another machine, so it was declined. Find that machine by its MAC address, or take the address out of the server's range.";
    DhcpExhausted "dhcp-exhausted" Error "A DHCP server answers and grants no address: it has none left (NoAddrsAvail), or it offers one and then keeps silent. Look at its ranges and leases; a server that counts each stage of a boot as a machine runs out of them.";
    DhcpUnusable "dhcp-unusable" Error "What a DHCP server sends cannot be used: the message says why. Correct the server's configuration.";
    LeaseExpired "lease-expired" Error "There was a lease, and it ran out or was taken back while the machine was up: its server no longer answers, or refuses to renew it. Its address and routes are gone.";
    NoRouterAdvertisement "no-router-advertisement" Error "No router answers a solicitation, so that the link gets no IPv6 address and no default route. The router does not advertise on this subnet, the port is in another VLAN, or a switch drops advertisements (RA guard).";
    AdvertisedWithoutServer "dhcpv6-advertised-without-server" Error "A router says that addresses come by DHCPv6 (the M flag of its advertisements), and no DHCPv6 server answers. Start the server or its relay, or turn the flag off.";
    LeaseWithoutRouter "lease-without-router" Warning "The DHCP server gives an address and no router, and no other link has a default route: only the subnet can be reached. Configure the router option (3, or 121) at the server, unless that is intended.";
    SecondDhcpServer "second-dhcp-server" Warning "Two DHCP servers answer on one link and give out different subnets. The machine gets the address of whichever is faster. One of them is not meant to be there: find it by its address.";
    DuplicateIpv4 "duplicate-ipv4" Error "Another machine uses the IPv4 address. Both lose traffic at random. Find it by its MAC address and change one of the two. If that MAC address is a router's, it may be answering for others (proxy ARP): disable that on this subnet, or check the router's addresses.";
    DuplicateIpv6 "duplicate-ipv6" Error "Another machine uses the IPv6 address, so the kernel does not use it. Find it by its MAC address and change one of the two.";
    PacketLoss "packet-loss" Error "The gateway answers, but many packets to it are lost: echo requests more than a second apart, and requests for its hardware address. The usual reasons are a bad cable or optics, half duplex, and an overloaded link or router. Packet sizes are not tested then. If only echo requests are lost, this is a warning: the gateway may limit how many it answers. A gateway that drops only echo requests in quick succession limits them, which is no fault.";
    NeighbourFixed "neighbour-fixed" Error "The gateway has a permanent or NOARP neighbour entry, so the kernel does not resolve its address, and the gateway does not answer echo requests. Delete the entry if it is wrong; if it is right, the gateway is down.";
    RefusedHere "refused-here" Error "The machine itself refuses to send the packet: its firewall's output rules or an xfrm policy (operation not permitted, permission denied), a limit of the process, or a packet that cannot be sent on that link. Nothing was sent.";
    ResolverSlow "resolver-slow" Warning "A name server answers only after seconds. Programs wait that long for each name, and give up after five. It may be overloaded, or may wait itself for a server that does not answer.";
    DroppedHere "dropped-here" Error "The machine itself drops packets: answers arrive on the link but reach nobody, or packets to the host never leave it. The usual reasons are nftables or iptables rules, a tc filter, rp_filter while the route back leads elsewhere, and a macvlan in passthru mode. The message says which frames were seen, and the hint which filters they pass.";
    LocalSetting "local-setting" Error "A setting of this machine prevents communication: a link that does not resolve neighbours (NOARP, mcast_solicit 0), a very low hop limit, or a macvlan in passthru mode that takes every frame. The message names it.";
    MtuBlackHole "mtu-black-hole" Error "Small packets pass and full ones do not: the switch or the gateway has a smaller MTU than the link. Connections open and then hang. Raise the MTU of every port in between, or lower the described MTU.";
    NoWayBack "no-way-back" Error "The gateway answers, but none of the name servers, targets and routers behind it do. Most often the routers behind it have no route back to this machine's subnet, or a firewall drops the packets. If only one target was tried, it may also be down behind a firewall: try a second --probe.";
    NoRoute "no-route" Error "The machine has no route to the target: the description has none, or a DHCP client or router advertisement has not provided one.";
    TargetRefuses "target-refuses" Error "The target's host is reached and refuses the connection: the network works, but nothing listens on that port, or a firewall rejects it.";
    TargetSilent "target-silent" Error "The target does not answer, but at least part of the path works: its host answers an echo request, a router reports it unreachable, or others behind the same gateway answer. The host is down, its address is wrong, or a firewall drops the packets.";
    TargetStatus "target-status" Error "The target answers with an HTTP error. The network works; the service does not, or the path is wrong.";
    TargetStrange "target-strange" Error "The target's answer is not of the expected protocol: it comes from another service, or from a proxy or login page in between.";
    NoNameServer "no-name-server" Error "The target is a host name, and there is no name server: the description has none, and no DHCP client has written one into /etc/resolv.conf. Describe name servers, or use the target's address.";
    NamesUnused "names-unused" Error "The image's programs do not ask the described name servers. The message says which they ask and which setting takes precedence: change that setting, or make /etc/resolv.conf a regular file, and run netapply apply.";
    ToolManages "tool-manages" Error "Another network tool in the image manages a described link, and may remove its addresses and routes or add others. `netapply apply` tells the tools that it knows to leave the link alone.";
    ResolverDead "resolver-dead" Error "The name server does not answer queries, or its host refuses them. Its address is wrong, the service is down, or a firewall drops the packets.";
    NameUnknown "name-unknown" Error "The name servers answer, but none knows the target's name, or all refuse to look it up. The name is misspelled, or the servers do not serve its zone or this machine.";
    NotApplied "not-applied" Error "The machine is not as described, and nothing shows why: the description was never applied, a step was refused, or something undid it. `netapply --dry-run` shows what is left to do, `netapply apply` does it, and its log names steps that the kernel refuses.";
    ChangedByOther "changed-by-other" Error "Something has changed the link since netapply configured it: a DHCP client, a network manager, or a script in the image. Keep it away from this link; netapply tells the tools that it knows.";
    StpDelay "stp-delay" Warning "The switch's port runs the spanning tree without portfast (edge port): it forwards only about 30 s after the link comes up, which delays every boot. Make it an edge port.";
    UnequalSpeed "unequal-speed" Warning "Members of the bond run at different speeds. 802.3ad uses only members of one speed; other modes reorder packets or lose capacity. Check cables, optics and the switch's ports.";
    NoSource "no-source" Error "No drive or file with a description was found. A drive is recognised by its label (config-2, cidata, CONTEXT). Check that the virtual media is attached and that the node has network data.";
    NoDescription "no-description" Error "A drive was found, but it has no network description.";
    SourceUnreadable "source-unreadable" Error "The drive or file with the description cannot be read.";
    DescriptionUnusable "description-unusable" Error "The description cannot be parsed, or nothing in it can be used. `netapply check` shows every mistake with its place.";
    CheckFailed "check-failed" Error "Something does not work, and netapply could not find out why. The message says what was observed and the action where to look; `netapply report --json` has all observations.";

    // Several descriptions beside each other (check --fleet)
    FleetMac "fleet-mac" Error "Two nodes are described with the same MAC address, so one of them will find no NIC, or the other's. Usually a line was copied. Compare with the labels, or with `netapply inventory` on both.";
    FleetAddress "fleet-address" Error "Two nodes have the same address in the same VRF and VLAN. Whichever answers first gets the packets, and that changes. Give one of them another address. Addresses that several nodes share on purpose (VRRP, anycast) are named in the policy: shared.";
    FleetHostName "fleet-host-name" Error "The drives of two nodes give them the same host name. They register as one node with DHCP servers, monitoring and clusters.";
    FleetWireguardKey "fleet-wireguard-key" Error "Two nodes have the same WireGuard private key. Their peers cannot tell them apart and send to whichever spoke last. Make a key of its own for each: wg genkey.";
    FleetGateway "fleet-gateway" Error "Nodes of one subnet have different gateways. Where most agree, the odd one is probably wrong. A subnet with more than one router lists them in the policy: gateways.";
    FleetPrefix "fleet-prefix" Error "Nodes of one subnet have different prefix lengths. The one with the longer one sends packets for some neighbours to the gateway; the one with the shorter one looks for strangers on the link.";
    FleetMtu "fleet-mtu" Error "Nodes of one subnet have different MTUs, or one of many similar nodes has another MTU. Packets larger than the smaller MTU are dropped without a message: connections open and then hang.";
    FleetVlan "fleet-vlan" Error "Nodes of one subnet are in different VLANs, so they cannot reach each other. Where most agree, the odd one is probably wrong.";
    FleetBond "fleet-bond" Warning "A bond has another mode or hash policy than those of the other nodes in its subnet, or of nodes of the same shape. The switch is usually configured for one of them.";
    FleetNameServers "fleet-name-servers" Warning "A node has other name servers than the other nodes in its subnet, or than nodes of the same shape.";
    FleetGatewayIsNode "fleet-gateway-is-node" Error "A gateway is an address of another described node. Either that node has taken the router's address, or the gateway is misspelled. Nodes that do route for others are named in the policy: routers.";
    FleetOutside "fleet-outside" Error "The address is in none of the subnets that the policy lists.";
    FleetOverlap "fleet-overlap" Warning "Two subnets overlap: nodes of the larger one look for those of the smaller one on their own link, and do not reach them. Subnets in different VRFs are not compared.";
    FleetDefaultRoute "fleet-default-route" Warning "A node has no default route, or has it on another link than the nodes of the same shape (the same links with as many addresses).";
    FleetNicMissing "fleet-nic-missing" Error "The machine that booted as this node has no NIC with the described MAC address, by its inventory or the report of its boot (check --fleet --reports). Either a card was replaced, or the address is another machine's: the message says whose.";
    FleetBootFault "fleet-boot-fault" Error "The node's last boot ended with a fault, by its report.json (check --fleet --reports). The message has the first cause; `netapply explain` describes its code.";
    FleetBootUnverified "fleet-boot-unverified" Warning "The node's last boot ended before everything was known to work, by its report.json (check --fleet --reports): it was not verified, or interrupted.";
    FleetCablesSwapped "fleet-cables-swapped" Error "Two nodes are on each other's switch ports, by what the switches announced when the nodes booted (netapply inventory --lldp). Nearly all nodes there have the same port number on each of their switches, or port numbers in the order of their names, and these two would have them with their cables exchanged.";
    FleetSwitchPort "fleet-switch-port" Warning "A switch port, or the switch that a NIC is plugged into, differs from those of the other nodes on the same switches, by what the switches announced (netapply inventory --lldp): it has other VLANs, or the cables of the node's own NICs are crossed.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl std::str::FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Code::ALL.iter().find(|code| code.text() == text).copied().ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for code in Code::ALL {
            assert_eq!(code.text().parse(), Ok(*code));
        }
    }
}
