//! The table of codes: each with its severity, what it means and what to do, for `netapply explain`.

use super::Severity;

macro_rules! codes {
    ($($(#[$_meta:meta])* $name:ident $text:literal $severity:ident $explanation:literal;)*) => {
        /// What a diagnostic is about. The text form is stable: it may be matched by scripts.
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

            /// How bad it is unless said otherwise.
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
    // The text as a whole
    EmptyText "empty-text" Error "The description is empty. Write the network into it, or remove the file so that netapply looks elsewhere.";
    Syntax "syntax" Error "The text is neither valid JSON nor valid YAML at this place. Nothing of it was used. The place is where the reader lost the thread; the mistake is there or just before it. A file that ends in the middle was cut off when it was written.";
    Unreadable "unreadable" Error "The description cannot be read: the file, drive or directory is not there, is damaged, or needs root.";
    UnknownFormat "unknown-format" Error "The text can be read but is none of the formats that netapply knows: network_data.json (links, networks, services), netplan (version: 2), cloud-init network-config (version: 1), Debian interfaces text (auto, iface), OpenNebula context.sh (ETH0_IP=).";
    TooLarge "too-large" Error "The text is larger or deeper than any real description: over 10 MiB, 100,000 values (those that YAML aliases make count, too), 20,000 values in one list or mapping, 10,000 links, 256 KiB of YAML in one value, or 100 levels. It is refused so that it cannot exhaust the machine.";
    TooMany "too-many" Note "There are more messages than anybody would read. Those that are left out are counted, and the exit code takes them into account.";
    DuplicateKey "duplicate-key" Warning "A mapping has the same key twice. Most programs silently use the last one, so one of the two values is lost. netapply uses the last, too. Remove one of the two.";
    NoLinks "no-links" Warning "The description can be read and has no link in it, so there is nothing to configure. A drive whose machine has no network is written so; more often, what wrote the description had nothing to put in.";
    NothingUsable "nothing-usable" Error "The description was read, but no link in it can be configured.";

    // Keys and values
    UnknownKey "unknown-key" Warning "The format has no such key at this place. It was ignored. Where a key of nearly this name exists, it is named: a misspelt key is the usual reason. A key at the wrong depth is the next.";
    NoEffect "no-effect" Note "The key is valid and has no effect here: it speaks to another program (netplan's renderer, cloud-init's user-data) or a later stage. It can stay.";
    Unsupported "unsupported" Error "The format has this key, and netapply cannot do what it asks for. Take it out, or leave the link to a tool of the image that can.";
    LeftToOthers "left-to-others" Note "The description leaves this to a client in the image, such as a DHCP client: netapply brings the link up and does not touch what that client sets.";
    DeprecatedKey "deprecated-key" Warning "The key works and its format has a newer one that should be used instead; the hint names it.";
    MissingKey "missing-key" Error "A key is missing without which the object means nothing, such as a VLAN's id. The object was left out.";
    BadValue "bad-value" Error "The value is not one that this key takes; the message or hint says which are. The key was left out, and the object with it where it means nothing without.";
    WrongShape "wrong-shape" Error "The value has the wrong shape: a list where a mapping is expected, text where a list is, or the like. In YAML a missing dash or a wrong indentation does it.";
    BadUnit "bad-unit" Error "The value has a unit that this key does not know, or none where one is needed. Most times are in milliseconds or seconds: docs/keys.md says which.";
    OddNumber "odd-number" Warning "YAML 1.1 reads an unquoted MAC address or number with colons or a leading zero as a number in base 60 or 8. It was taken as the text that is written. Quote it.";

    // Links and names
    DuplicateLink "duplicate-link" Error "Two links have one id. What refers to it can mean either, so the first was taken everywhere and the second was left out, though both NICs may be there. Give each an id of its own.";
    DanglingReference "dangling-reference" Error "A link, network or route refers to a link that the description does not have. What needs it was left out; in netplan text, where the name can be that of an interface, the interface was taken. Add the link with its MAC address, or correct the name; where an id is nearly the same, it is named.";
    ReferenceByName "reference-by-name" Warning "A link is referred to by its interface name instead of its id. It was found all the same. Other programs would not find it: use the id.";
    ImpliedLink "implied-link" Warning "A member has no link of its own in the description. It was taken as the name of an interface of the machine. Names differ from machine to machine: give the member a link with its MAC address.";
    LinkCycle "link-cycle" Error "Links are stacked in a circle: each needs the other first. They were left out. One of them names the wrong parent or member.";
    TwoControllers "two-controllers" Error "A link is a member of two bonds or bridges. It can be in one: take it out of the other.";
    BadMember "bad-member" Error "This link cannot be a member: a bond takes NICs, not bonds, and a bridge takes no bridges.";
    BadName "bad-name" Error "The name cannot be given to an interface: 1 to 15 bytes, no '/', ':', '%' or space.";
    GeneratedName "generated-name" Note "The id is one that a program made up (tapX, a UUID). The link was named by its kind instead.";
    DuplicateName "duplicate-name" Error "The interface name is taken, by another link or by a NIC of this machine. The link got another name: give it one of its own.";
    DuplicateMac "duplicate-mac" Warning "Two links of the description have one MAC address, so they mean one NIC. What both ask for was put on it.";
    UnknownLinkType "unknown-link-type" Note "The link's type is not known, missing or null. It was taken as a physical NIC, as every producer means it.";
    NoMac "no-mac" Warning "The link has no MAC address, so its id was taken as the name of an interface. Names differ between kernels, drivers and slots; a MAC address does not.";

    // NICs
    NicMissing "nic-missing" Error "No NIC of this machine fits what the description says. The message lists the NICs that are there, and the likeliest slip where there is one. Compare with `netapply inventory` on the machine: a changed card, a wrong port of the same card and the BMC's own MAC address are the usual reasons; a driver or firmware that is missing in the image is the other.";
    NicAmbiguous "nic-ambiguous" Error "More than one NIC fits, and the description gives one of them an address. An address cannot be on two. Match by MAC address, or by a pattern that only one name fits.";
    NicStandIn "nic-stand-in" Note "This machine lacks the NICs of the description, so a dry run shows stand-ins for them: the plan is what such a machine would get. --inventory plans for a machine recorded with `netapply inventory`.";
    NicByPosition "nic-by-position" Warning "The description names ethN without a MAC address; the N-th NIC in PCI order was taken, as the kernel would have numbered them. A card added or moved changes the order: match by MAC address.";
    NicShared "nic-shared" Note "Two NICs have this permanent MAC address (a paravirtual NIC and its virtual function, say). The one without a controller was taken.";
    NicByCurrentMac "nic-by-current-mac" Note "No NIC has this permanent MAC address; one has it as its current address and was taken.";

    // Bonds, VLANs, bridges
    MissingBondMode "missing-bond-mode" Warning "The bond has no mode. The kernel's default is balance-rr, which few switches take well.";
    ForeignMac "foreign-mac" Warning "A bond has the MAC address of a NIC that is not one of its members. Two interfaces with one MAC address do not work in one network, and the members of the bond are probably wrong.";
    BondWithoutMembers "bond-without-members" Error "The bond has no member that exists, so it would carry nothing. It was left out, with the links above it. Name its members (bond_links, interfaces, bond-slaves), and give each a link of its own. A bond of netplan whose text names no members at all is made all the same, as netplan does, with a warning.";
    OptionIgnored "option-ignored" Warning "The bond's mode has no such option. The kernel would refuse it, so it was left out. Take it out, or choose a mode that has it.";
    OptionConflict "option-conflict" Warning "Two options exclude each other. One of them was left out.";
    NoLinkMonitoring "no-link-monitoring" Warning "The bond has neither miimon nor arp_interval, so it would never notice a lost link. miimon 100 (milliseconds) was taken.";
    VlanMtu "vlan-mtu" Warning "A VLAN's MTU is larger than that of the link below it, which the kernel refuses. Where the link below has no MTU of its own it was given the VLAN's, else the VLAN got that of the link below.";
    MemberMtu "member-mtu" Warning "A bond and its members have one MTU: the bond's, or where it has none of its own, the smallest of its members.";

    // Addresses and routes
    BadAddress "bad-address" Error "The text is no IP address of the family that is needed. Leading zeroes, a missing octet or a prefix where none belongs are the usual slips.";
    BadNetmask "bad-netmask" Error "The netmask is neither a prefix length nor a mask of ones followed by zeroes, such as 255.255.255.0.";
    AssumedPrefix "assumed-prefix" Warning "The address has no prefix length or netmask; /24 was taken for IPv4, /64 for IPv6, as cloud-init does.";
    ConflictingPrefix "conflicting-prefix" Warning "Address and netmask say different prefix lengths. The one beside the address was taken. Write only one of them.";
    DuplicateAddress "duplicate-address" Warning "One address is on two links. The kernel takes it on both and answers for it on either; hosts and switches see it wander. Take it from one of them, unless both lead to one router that knows of it.";
    RepeatedAddress "repeated-address" Warning "The link has the same address twice.";
    MemberAddress "member-address" Warning "Addresses, routes or DHCP are asked for on a member of a bond or bridge. Whatever arrives there goes to the bond or bridge, so that an address of the member gets no answers. They were put on the bond or bridge.";
    NoLinkForNetwork "no-link-for-network" Error "The network names no link, and more than one could be meant, so it was left out. Add the key \"link\" with a link's id.";
    AssumedLink "assumed-link" Warning "The network names no link; the only one that it can mean was taken. Other programs refuse it: add the key \"link\".";
    HostBits "host-bits" Warning "The destination of the route has host bits set. They were cleared, as the kernel wants it.";
    GatewayOffSubnet "gateway-off-subnet" Warning "The gateway is in no subnet of the link. The route was made on-link, so that the kernel asks for the gateway on that link directly.";
    GatewayIsSelf "gateway-is-self" Error "The gateway is the machine's own address. The kernel takes an IPv4 one and sends on-link, so that route is made, with a warning; it refuses an IPv6 one, and that route was left out. The gateway is the router's address, often the first or last of the subnet.";
    BadGateway "bad-gateway" Error "The gateway is missing or cannot be one. The route was left out.";
    MixedFamilies "mixed-families" Error "IPv4 and IPv6 are mixed in one route or rule. The kernel has a table for each and no path from one to the other. It was left out.";
    TwoDefaultRoutes "two-default-routes" Warning "Two default routes have one metric, so the kernel takes only one of them or alternates. They were given different metrics in the order of the text.";
    RepeatedRoute "repeated-route" Note "The link has the same route twice; once is enough.";
    ConflictingRoute "conflicting-route" Warning "Two routes to one destination have one metric, and the kernel takes only one such route. The later one was given a higher metric.";
    RepeatedServer "repeated-server" Note "The same name server is given twice; once is enough.";
    NotADns "not-a-dns" Note "The service is not a name server. netapply has no use for it.";
    NotBroughtUp "not-brought-up" Warning "Interfaces text describes the interface and no auto or allow-hotplug line names it, so ifupdown would not bring it up in a boot. netapply does the same. Add the line where the interface is wanted.";
    CommandIgnored "command-ignored" Warning "The text holds a command. netapply executes nothing that a description holds; of interfaces text it understands the usual ip and route commands (routes, addresses, rules, MTU) and does those itself. Whatever else the command does must be done by the image.";
    LoopbackIgnored "loopback-ignored" Note "The loopback interface is the kernel's own; nothing was done to it.";

    IronicRefuses "ironic-refuses" Error "Ironic validates network_data against a JSON schema before it takes it, and this would be refused there. It is no fault for netapply itself; only check --for ironic says it.";

    // The kernel and the machine
    KernelRefused "kernel-refused" Error "The kernel refused a step. Its own words are in the message. What does not need that step was done all the same, unless --strict was given.";
    KernelLacks "kernel-lacks" Error "The kernel has no support for this kind of link or option. The message names the module: add it to the image, or to the initramfs.";
    LeftOut "left-out" Error "The link needs another link that cannot be made, so it cannot be made either.";
    NotDone "not-done" Error "The step was not done because one that it needs failed.";

    // What is verified
    CheckDescribed "described" Error "Whether the kernel's state is as described: a new plan would have no step. If steps are left, they were refused, or something else changed the network since. `netapply --dry-run` shows them.";
    CheckPresent "present" Error "Whether the link is there. A NIC that is missing was named by a MAC address or name that this machine does not have.";
    CheckUp "up" Error "Whether the link is administratively up. If it is not, something took it down after netapply brought it up.";
    CheckCarrier "carrier" Error "Whether the link has carrier: for a NIC a cable and a live partner at its other end, for a bond an active member, for a bridge a forwarding port. Waited for 30 s; for an optional link, as everything of it, 5 s.";
    CheckDuplex "duplex" Warning "Whether the NIC runs full duplex. Half duplex today means that one side negotiates and the other is fixed: set both to negotiate.";
    CheckMtu "mtu" Error "Whether the link has the MTU that was described. Drivers may round or refuse it.";
    CheckMode "bond-mode" Error "Whether the bond runs in the mode that was described.";
    CheckMember "member" Error "Whether the link is in the bond or bridge that it was described for.";
    CheckLacp "lacp" Error "Whether LACP is through on a member of the bond: a partner is there, member and partner collect and distribute, and the member is in the aggregator that the bond uses. Waited for 40 s, because slow LACP speaks every 30 s.";
    CheckForwarding "forwarding" Error "Whether a port of the bridge forwards, or is meant to block. The spanning tree listens and learns for twice its forward delay first.";
    CheckAddress "address" Error "Whether the address is on its link and can be used: for IPv6, that duplicate detection has ended well.";
    CheckUnique "address-unique" Error "Whether another machine has the IPv4 address, asked by three ARP probes with sender 0.0.0.0 (RFC 5227). The address is used meanwhile.";
    CheckGateway "gateway" Error "Whether the gateway is there: the kernel resolves its hardware address on the right link, or it answers an echo. A gateway that ignores echo is healthy. Waited for 10 s from when other machines are heard, and for 40 s while the switch's port may still be in its spanning tree's delay.";
    CheckRoute "route" Error "Whether the kernel would send packets as described: its own lookup (as `ip route get` shows it) for each gateway, an address of each described route, each name server and each target, against the described link, next hop and source address. Rules, routes and addresses that nobody described take part in it.";
    CheckPathMtu "path-mtu" Error "Whether a packet of the link's full MTU reaches the gateway unfragmented, asked by an echo. Not checked where the gateway ignores echo.";
    CheckResolver "resolver" Error "Whether the name server answers a query for the root zone. Any answer counts, a refusal in DNS words, too. Waited for 15 s.";
    CheckNames "names" Error "Whether the image's own programs ask the described name server: the links of /etc/resolv.conf to their end, the file there, the servers of systemd-resolved, and the hosts line of /etc/nsswitch.conf. Not checked with --handoff none.";
    CheckTools "other-tools" Error "Whether another network tool of the image manages the link, by the tool's own state: systemd-networkd, NetworkManager, connman, or a DHCP client that listens on it. Such a tool may change the link at any time. Not checked with --handoff none.";
    CheckTarget "target" Error "Whether the target of --probe, netapply.probe= or ipa-api-url= answers: a TCP connection, an HTTP status below 400 (401 and 403 count as an answer), the beginning of a TLS handshake (certificates are not looked at), or an echo. Asked once the way to it is open, and waited for 20 s; an answer that is no success is asked for three times.";

    // Why something does not work
    NoCable "no-cable" Error "A NIC has no carrier. Its cable is not plugged in or broken, the switch's port is shut down, the optics do not fit, or speed and FEC are fixed differently on both sides.";
    NoCableAnywhere "no-cable-anywhere" Error "No NIC of the description has carrier. Either the cables are in other ports of this machine, or the switch is off or has all these ports shut down.";
    NicLate "nic-late" Error "The NIC came only after netapply had stopped waiting for it: a slow driver or firmware. Give it more time (netapply.wait= on the kernel command line, or --wait).";
    LinkTakenDown "link-taken-down" Error "The link is down, and has what else was described: something took it down after netapply brought it up, such as another network tool of the image. `netapply apply` brings it up again.";
    LinkFlaps "link-flaps" Error "Carrier of the NIC came and went several times while it was verified. The cable or the optics are bad, or speed, FEC or auto-negotiation of both sides do not fit. What answers in between proves nothing.";
    HalfDuplex "half-duplex" Warning "The NIC runs half duplex. One side negotiates and the other is fixed. Set both to negotiate.";
    WrongMtu "wrong-mtu" Error "The link does not have the MTU that was described. The driver may not take it, or something else changed it.";
    LacpNoPartner "lacp-no-partner" Error "The bond speaks LACP and nobody answers on any member: the switch's ports are not in a LAG (port channel), or their LAG is static. Configure LACP on these ports, or describe another bond mode.";
    LacpPartnerOnSome "lacp-partner-on-some" Error "Only some members have a LACP partner: the switch's ports of the others are not in the LAG, or those cables are in other ports. The bond works on the members that have one. Less than 31 s of silence prove nothing, because slow LACP speaks every 30 s: it says likely then.";
    LacpTwoPartners "lacp-two-partners" Error "The members have different LACP partners: they are cabled to two switches without MLAG (vPC, MC-LAG), or to two LAGs of one switch. Only one side carries traffic. Cable them to one LAG, or join the switches.";
    LacpNotThrough "lacp-not-through" Error "The partner speaks LACP, but the negotiation does not end: the partner does not take this member into its LAG, for instance because of its speed, its VLANs or its minimum of links.";
    SwitchRunsLacp "switch-runs-lacp" Error "The switch speaks LACP on the members' ports, and the bond's mode does not. A switch holds such ports back until somebody answers. Describe the bond as 802.3ad, or take the ports out of the LAG.";
    VlanNotCarried "vlan-not-carried" Error "The switch's port does not carry the VLAN: nothing tagged with it arrives, while untagged frames or other VLANs do. Allow the VLAN on the port (trunk), or describe the VLAN that is meant.";
    GatewayAbsent "gateway-absent" Error "Nobody answers for the gateway's address, while other hosts of its subnet answer or are heard. The gateway's address is wrong in the description, or that router is down. A filter between this port and the router's (private VLANs, port security) looks the same.";
    GatewayIgnores "gateway-ignores" Error "The gateway answers ARP when it is asked without an address of this machine, and not when it is asked from its address. It takes another machine for the owner of the address (a duplicate), or has the link in another subnet. Compare the address and its prefix with the gateway's.";
    CompetingRoute "competing-route" Error "The kernel would not send packets as described, because something on the machine takes precedence: a route of a lower metric or a longer prefix, a rule that leads to another table, an address or subnet that another link has, too, or a route or rule that forbids it. The message names it and who made it. Remove it, keep the program that makes it off this machine, or describe it. Where the described route has a metric of its own, a lower one may be meant: it is a warning then.";
    GatewayElsewhere "gateway-elsewhere" Error "The gateway is in the subnet of another link, or answers on another link. Either the description has it at the wrong link, or cables or MAC addresses are swapped.";
    NothingAnswers "nothing-answers" Error "The link has carrier, and nothing answers or is heard on it. The port is in another VLAN, the cable is in another port, or the subnet is wrong.";
    DuplicateIpv4 "duplicate-ipv4" Error "Another machine uses the IPv4 address. Both lose traffic at random. Find it by its MAC address and change one of the two. Where that MAC address is a router's, the router may merely answer for others (proxy ARP): switch that off on this subnet, or look which address it has.";
    DuplicateIpv6 "duplicate-ipv6" Error "Another machine uses the IPv6 address, so the kernel does not use it. Find it by its MAC address and change one of the two.";
    PacketLoss "packet-loss" Error "The gateway answers, and a good part of the echoes to it is lost: of ten, so many percent. A bad cable or optics, half duplex, or an overloaded link or router. Sizes of packets are not compared then.";
    NeighbourFixed "neighbour-fixed" Error "The gateway's hardware address is entered by hand (a permanent or NOARP neighbour entry), so the kernel asks nobody for it, and the gateway does not answer an echo. Delete the entry, unless it is right and the gateway is down.";
    RefusedHere "refused-here" Error "The machine itself refuses to send the packet: its firewall's output rules or an xfrm policy (operation not permitted, permission denied), a limit of the process, or a packet that cannot be sent that way. The network was not asked.";
    LocalSetting "local-setting" Error "A setting of this machine keeps packets from getting anywhere: a link that asks for no neighbours (NOARP, mcast_solicit 0), a hop limit of a few hops, or a macvlan in mode passthru that takes every frame. The message names it.";
    MtuBlackHole "mtu-black-hole" Error "Small packets pass and full ones do not: the switch or the gateway has a smaller MTU than the link. Connections open and then hang. Raise the MTU of every port between, or lower the described one.";
    NoWayBack "no-way-back" Error "The gateway answers, and none of the name servers and targets behind it does, nor does a router on the way. Most often the routers behind it have no route back to this machine's subnet, or a firewall drops the packets. Where only one target is asked, that may be down, too, behind a firewall that hides it: a second --probe tells.";
    NoRoute "no-route" Error "The machine has no route to the target: the description has none that leads there, or a DHCP client or router advertisement that should bring one has not.";
    TargetRefuses "target-refuses" Error "The target's host is reached and refuses the connection: the network works, but nothing listens on that port, or a firewall rejects it.";
    TargetSilent "target-silent" Error "The target does not answer, and the way there works at least in part: its host answers an echo, a router says that it cannot deliver, or others behind the same gateway answer. Its host is down or its address wrong, or a firewall drops the packets.";
    TargetStatus "target-status" Error "The target answers with an HTTP status that is no success. The network works; the service behind it does not, or the path is wrong.";
    TargetStrange "target-strange" Error "Something else than expected answers at the target: another service, or a proxy or login page in between.";
    NoNameServer "no-name-server" Error "The target is given by a name, and there is no name server to ask: the description has none, and no DHCP client has written one into /etc/resolv.conf. Describe name servers, or give the target by its address.";
    NamesUnused "names-unused" Error "The described name servers are not what the image's programs ask. The message says whom they ask instead and which setting takes precedence: change that setting, or make /etc/resolv.conf a plain file, and run netapply apply.";
    ToolManages "tool-manages" Error "Another network tool of the image manages a link that the description configures, and may take its addresses and routes away, or add its own. `netapply apply` tells the tools that it knows to leave the link alone.";
    ResolverDead "resolver-dead" Error "The name server does not answer queries, or its host refuses them. Its address is wrong, the service is down, or a firewall drops the packets.";
    NameUnknown "name-unknown" Error "The name servers answer, and none knows the target's name, or all refuse to look it up. The name is misspelt, these servers do not serve its zone, or they do not serve this machine.";
    NotApplied "not-applied" Error "The machine is not as described, and nothing shows who changed it: the description was never applied, a step was refused, or something undid it. `netapply --dry-run` shows what is left to do, `netapply apply` does it, and its log names a step that the kernel refuses.";
    ChangedByOther "changed-by-other" Error "Something else has changed the link after netapply: a DHCP client, a network manager, or a script of the image. Keep it away from this link; netapply tells those that it knows.";
    StpDelay "stp-delay" Warning "The switch's port runs the spanning tree without portfast (edge port): it forwards only some 30 s after the link comes up. Every boot loses that time. Make it an edge port.";
    UnequalSpeed "unequal-speed" Warning "Members of the bond run at different speeds. 802.3ad uses only members of one speed; other modes lose packets' order or capacity. Check cables, optics and the switch's ports.";
    NoSource "no-source" Error "No drive or file with a description was found. A drive is recognised by its label (config-2, cidata, CONTEXT). Check that the virtual media is attached and that the node has network data.";
    NoDescription "no-description" Error "A drive was found, and there is no network description on it.";
    SourceUnreadable "source-unreadable" Error "The drive or file with the description cannot be read.";
    DescriptionUnusable "description-unusable" Error "The description was read and cannot be parsed, or nothing in it can be used. `netapply check` shows every mistake with its place.";
    CheckFailed "check-failed" Error "Something does not work, and nothing that was observed tells why. The message says what was seen, the action where to look; `netapply report --json` has everything that was observed.";
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
