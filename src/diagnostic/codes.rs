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
    Syntax "syntax" Error "The text is neither valid JSON nor valid YAML at this place. Nothing of it was used.";
    Unreadable "unreadable" Error "The description cannot be read: the file, drive or directory is not there, is damaged, or needs root.";
    UnknownFormat "unknown-format" Error "The text can be read but is none of the formats that netapply knows: network_data.json (links, networks, services), netplan (version: 2), cloud-init network-config (version: 1), Debian interfaces text (auto, iface), OpenNebula context.sh (ETH0_IP=).";
    TooLarge "too-large" Error "The text is larger or deeper than any real description: over 10 MiB, 500,000 values, 100 levels or 100,000 values made by YAML aliases. It is refused so that it cannot exhaust the machine.";
    DuplicateKey "duplicate-key" Error "A key stands twice in one mapping. Most programs silently use the last one, so one of the two values is lost. netapply uses the last, too, but counts it as an error.";
    NoLinks "no-links" Warning "The description can be read and has no link in it, so there is nothing to configure. A drive whose machine has no network is written so; more often, what wrote the description had nothing to put in.";
    NothingUsable "nothing-usable" Error "The description was read, but no link in it can be configured.";

    // Keys and values
    UnknownKey "unknown-key" Warning "The format has no such key. It was ignored.";
    NoEffect "no-effect" Note "The key is valid and has no effect here: it speaks to another program or a later stage.";
    Unsupported "unsupported" Error "The format has this key, and netapply cannot do what it asks for.";
    LeftToOthers "left-to-others" Note "The description leaves this to a client in the image, such as a DHCP client: netapply brings the link up and does not touch what that client sets.";
    DeprecatedKey "deprecated-key" Warning "The key works and its format has a newer one that should be used instead.";
    MissingKey "missing-key" Error "A key is missing without which the object means nothing.";
    BadValue "bad-value" Error "The value is not one that this key takes.";
    WrongShape "wrong-shape" Error "The value has the wrong shape: a list where a mapping is expected, or the like.";
    BadUnit "bad-unit" Error "The value has a unit that this key does not know, or none where one is needed.";
    OddNumber "odd-number" Warning "YAML 1.1 reads an unquoted MAC address or number with colons or a leading zero as a number in base 60 or 8. It was taken as the text that stands there. Quote it.";

    // Links and names
    DuplicateLink "duplicate-link" Error "Two links have one name. Everything that refers to it is ambiguous, so the second was left out.";
    DanglingReference "dangling-reference" Error "A link refers to another that the description does not have.";
    ReferenceByName "reference-by-name" Warning "A link is referred to by its interface name instead of its id. It was found all the same.";
    ImpliedLink "implied-link" Warning "A member has no link of its own in the description. It was taken as the name of an interface of the machine.";
    LinkCycle "link-cycle" Error "Links are stacked in a circle: each needs the other first.";
    TwoControllers "two-controllers" Error "A link is a member of two bonds or bridges. It can be in one.";
    BadMember "bad-member" Error "This link cannot be a member: a bond takes NICs, not bonds, and a bridge takes no bridges.";
    BadName "bad-name" Error "The name cannot be given to an interface: 1 to 15 bytes, no '/', ':', '%' or blank.";
    GeneratedName "generated-name" Note "The id is one that a program made up (tapX, a UUID). The link was named by its kind instead.";
    DuplicateName "duplicate-name" Error "Two links would get one interface name.";
    DuplicateMac "duplicate-mac" Warning "Two links of the description have one MAC address, so they mean one NIC. What both ask for was put on it.";
    UnknownLinkType "unknown-link-type" Note "The link's type is not known, missing or null. It was taken as a physical NIC, as every producer means it.";
    NoMac "no-mac" Warning "The link has no MAC address, so its id was taken as the name of an interface.";

    // NICs
    NicMissing "nic-missing" Error "No NIC of this machine fits what the description says.";
    NicAmbiguous "nic-ambiguous" Error "More than one NIC fits, and the description gives one of them an address. An address cannot be on two.";
    NicStandIn "nic-stand-in" Note "This machine lacks the NICs of the description; the plan shows stand-ins for them.";
    NicByPosition "nic-by-position" Warning "The description names ethN without a MAC address; the N-th NIC in PCI order was taken.";
    NicShared "nic-shared" Note "Two NICs have this permanent MAC address (a paravirtual NIC and its virtual function, say). The one without a controller was taken.";
    NicByCurrentMac "nic-by-current-mac" Note "No NIC has this permanent MAC address; one has it as its current address and was taken.";

    // Bonds, VLANs, bridges
    MissingBondMode "missing-bond-mode" Warning "The bond has no mode. The kernel's default is balance-rr, which few switches take well.";
    ForeignMac "foreign-mac" Warning "A bond has the MAC address of a NIC that is not one of its members. Two interfaces with one MAC address do not work in one network, and the members of the bond are probably wrong.";
    BondWithoutMembers "bond-without-members" Error "The bond has no member that exists, so it carries nothing.";
    MemberMissing "member-missing" Error "A member of the bond or bridge is missing. The bond is made of the others.";
    OptionIgnored "option-ignored" Warning "The bond's mode has no such option. The kernel would refuse it, so it was left out.";
    OptionConflict "option-conflict" Warning "Two options exclude each other. One of them was left out.";
    NoLinkMonitoring "no-link-monitoring" Warning "The bond has neither miimon nor arp_interval, so it would never notice a lost link. miimon 100 (milliseconds) was taken.";
    VlanMtu "vlan-mtu" Warning "A VLAN's MTU is larger than that of the link below it, which the kernel refuses. Where the link below has no MTU of its own it was given the VLAN's, else the VLAN got that of the link below.";
    MemberMtu "member-mtu" Warning "A bond and its members have one MTU: the bond's, or where it has none of its own, the smallest of its members.";

    // Addresses and routes
    BadAddress "bad-address" Error "The text is no IP address of the family that is needed.";
    BadNetmask "bad-netmask" Error "The netmask is neither a prefix length nor a mask of ones followed by zeroes.";
    AssumedPrefix "assumed-prefix" Warning "The address has no prefix length or netmask; /24 was taken for IPv4, /64 for IPv6, as cloud-init does.";
    ConflictingPrefix "conflicting-prefix" Warning "Address and netmask say different prefix lengths. The one beside the address was taken.";
    DuplicateAddress "duplicate-address" Error "One address is on two links.";
    RepeatedAddress "repeated-address" Warning "The address stands twice on one link.";
    MemberAddress "member-address" Warning "Addresses, routes or DHCP are asked for on a member of a bond or bridge. Whatever arrives there goes to the bond or bridge, so that an address of the member gets no answers. They were put on the bond or bridge.";
    NoLinkForNetwork "no-link-for-network" Error "The network names no link, and more than one could be meant.";
    AssumedLink "assumed-link" Warning "The network names no link; the only one that it can mean was taken.";
    HostBits "host-bits" Warning "The destination of the route has bits set beyond its prefix. They were cleared, as the kernel wants it.";
    GatewayOffSubnet "gateway-off-subnet" Warning "The gateway is in no subnet of the link. The route was made on-link, so that the kernel asks for the gateway on that link directly.";
    GatewayIsSelf "gateway-is-self" Error "The gateway is the machine's own address.";
    BadGateway "bad-gateway" Error "The gateway is missing or cannot be one.";
    MixedFamilies "mixed-families" Error "IPv4 and IPv6 are mixed in one route or rule.";
    TwoDefaultRoutes "two-default-routes" Warning "Two default routes have one metric, so the kernel takes only one of them or alternates. They were given different metrics in the order of the text.";
    RepeatedRoute "repeated-route" Note "The route stands twice; once is enough.";
    ConflictingRoute "conflicting-route" Warning "Two routes to one destination have one metric, and the kernel takes only one such route. The later one was given a higher metric.";
    RepeatedServer "repeated-server" Note "The name server stands twice; once is enough.";
    NotADns "not-a-dns" Note "The service is not a name server. netapply has no use for it.";
    NotBroughtUp "not-brought-up" Warning "Interfaces text describes the interface and no auto or allow-hotplug line names it, so ifupdown would not bring it up in a boot. netapply does the same. Add the line where the interface is wanted.";
    CommandIgnored "command-ignored" Warning "The text holds a command. netapply executes nothing that a description holds; of interfaces text it understands the usual ip and route commands (routes, addresses, rules, MTU) and does those itself. Whatever else the command does must be done by the image.";
    LoopbackIgnored "loopback-ignored" Note "The loopback interface is the kernel's own; nothing was done to it.";

    IronicRefuses "ironic-refuses" Error "Ironic validates network_data against a JSON schema before it takes it, and this would be refused there. It is no fault for netapply itself; only check --for ironic says it.";

    // The kernel and the machine
    KernelRefused "kernel-refused" Error "The kernel refused a step. Its own words are in the message.";
    KernelLacks "kernel-lacks" Error "The kernel has no support for this kind of link or option.";
    LeftOut "left-out" Error "The link stands on another that cannot be made, so it cannot be made either.";
    NotDone "not-done" Error "The step was not done because one that it needs failed.";
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
