//! A [`Step`] is one change to the machine, specific enough that nothing is left to decide when it is made.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use crate::inventory::{AddressEntry, Owed, RouteEntry, RuleEntry};
use crate::model::attribute::OptionValue;
use crate::model::{AddressGeneration, Kind, MacAddr, Place, PortVlan, Wireguard};

/// All that will be done, in order. Empty if the machine is as described.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The steps; a [`StepId`] is an index into them.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The step with this id.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.0)
    }

    /// Each step with its id.
    pub fn numbered(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps.iter().enumerate().map(|(position, step)| (StepId(position), step))
    }

    /// What it removes from undescribed links and restores in later steps.
    pub fn owed(&self) -> Owed {
        let mut owed = Owed::default();
        for step in self.steps.iter().filter(|step| step.link.is_empty() && !step.at.is_known()) {
            match &step.action {
                Action::AddAddress(entry) => owed.addresses.push(entry.clone()),
                Action::AddRoute(entry) | Action::AppendRoute(entry) | Action::PrependRoute(entry) => {
                    owed.routes.push(entry.clone())
                }
                _ => {}
            }
        }
        owed
    }
}

/// A step of a plan: its index, from 0. It is displayed to people as a number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub usize);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0 + 1).fmt(f)
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The change.
    pub action: Action,
    /// The place in the description that asks for it, for messages about a refusal.
    pub at: Place,
    /// Id of the described link that it serves; empty if it serves none.
    pub link: String,
    /// Earlier steps that it depends on: if one of them fails, this one is not tried.
    pub needs: Vec<StepId>,
}

/// A change. Links are named as they are called when the step is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Creates a link, down.
    AddLink(NewLink),
    /// Removes a software link.
    DeleteLink {
        /// Its name.
        name: String,
    },
    /// Changes one thing of a link.
    SetLink {
        /// Its name before the change.
        name: String,
        /// What changes.
        change: LinkChange,
    },
    /// Adds an address.
    AddAddress(AddressEntry),
    /// Changes the lifetimes of an existing address.
    ReplaceAddress(AddressEntry),
    /// Removes an address.
    DeleteAddress(AddressEntry),
    /// Waits, within a bound, until these IPv6 addresses of a link are no longer tentative. The kernel refuses a route
    /// whose preferred source is tentative.
    AwaitAddresses {
        /// The link.
        link: String,
        /// The addresses.
        addresses: Vec<Ipv6Addr>,
    },
    /// Waits, within a bound, until a link that is up is ready for IPv6, which requires carrier: only then does the
    /// kernel leave the link's IPv6 MTU alone.
    AwaitCarrier {
        /// The link.
        link: String,
    },
    /// Adds a route next to existing ones.
    AddRoute(RouteEntry),
    /// Adds an IPv6 route next to another's with the same destination, table and metric.
    AppendRoute(RouteEntry),
    /// Adds an IPv4 route before those of the same destination, table and metric, so that it takes precedence.
    PrependRoute(RouteEntry),
    /// Replaces the route with the same destination, table and metric.
    ReplaceRoute(RouteEntry),
    /// Removes a route.
    DeleteRoute(RouteEntry),
    /// Adds a rule.
    AddRule(RuleEntry),
    /// Removes a rule.
    DeleteRule(RuleEntry),
    /// Writes a setting below /proc/sys.
    Sysctl {
        /// Path below /proc/sys, such as `net/ipv6/conf/bond0/accept_ra`.
        key: String,
        /// The value.
        value: String,
    },
    /// Sets a link's secret for stable IPv6 addresses (RFC 7217), and the mode that uses it.
    StableSecret {
        /// The link.
        link: String,
        /// The secret.
        secret: Secret,
    },
    /// Configures a WireGuard link.
    Wireguard {
        /// The link.
        name: String,
        /// Keys and peers.
        config: Wireguard,
    },
    /// Turns an offload feature on or off (ethtool).
    Feature {
        /// The link.
        name: String,
        /// ethtool's name of the feature.
        feature: &'static str,
        /// On or off.
        on: bool,
    },
    /// Sets parameters of a NIC that one command of ethtool sets.
    Tune {
        /// The link.
        name: String,
        /// By the names of [`crate::model::attribute::NIC`].
        settings: BTreeMap<&'static str, OptionValue>,
    },
    /// Turns wake-on-LAN by magic packet on or off (ethtool).
    WakeOnLan {
        /// The link.
        name: String,
        /// On or off.
        on: bool,
    },
    /// Writes a file atomically.
    WriteFile {
        /// Absolute path.
        path: String,
        /// Its content.
        content: String,
    },
    /// Removes a file.
    RemoveFile {
        /// Absolute path.
        path: String,
    },
    /// Restores a path to its state before a step wrote or removed it.
    PutBack {
        /// Absolute path.
        path: String,
        /// Its earlier state.
        former: Former,
    },
    /// Passes name servers to resolvconf(8), or removes them.
    Resolvconf {
        /// The program's path.
        program: String,
        /// The record's name, such as `bond0.netapply`.
        record: String,
        /// The resolv.conf text; `None` removes the record.
        content: Option<String>,
    },
    /// Makes a running service reload what was written for it.
    Refresh(Service),
    /// Makes a running tool release a link, or manage it, and waits until it does.
    Manage {
        /// The link.
        link: String,
        /// The tool.
        by: Manager,
        /// Whether it should manage the link.
        on: bool,
    },
}

/// The source of a link's stable IPv6 addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The machine id, which is read when the step is reached, because it must not be shown.
    MachineId,
    /// Something that is not secret: a MAC address, which survives a reboot if the machine id does not, or a link's
    /// name.
    Of(Vec<u8>),
}

impl Secret {
    /// The secret in the form that the kernel reads.
    pub fn address(bytes: &[u8]) -> Ipv6Addr {
        let mut secret = [0; 16];
        secret.iter_mut().rev().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
        secret.into()
    }
}

/// A tool that manages links and can be told at run time which ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// systemd-networkd: its files say which links it manages, so it is only waited for.
    Networkd,
    /// NetworkManager.
    NetworkManager,
}

impl Manager {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Manager::Networkd => "systemd-networkd",
            Manager::NetworkManager => "NetworkManager",
        }
    }
}

/// The state of a path before a step of the hand-off changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Former {
    /// Nothing was there.
    Absent,
    /// A symbolic link to this.
    Link(PathBuf),
    /// A file.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// Its user and group.
        owner: (u32, u32),
    },
}

/// A service that reads its configuration when it starts, and may be running already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// systemd-networkd reads its .network files.
    Networkd,
    /// systemd-networkd restarts: it reads networkd.conf only then.
    NetworkdAgain,
    /// systemd-resolved restarts.
    Resolved,
    /// NetworkManager reloads its configuration, and rewrites what the resolver reads.
    NetworkManager,
    /// dhcpcd restarts: its unit mounts the list of the links that it must not manage over its configuration.
    Dhcpcd,
    /// connman restarts, for the same reason.
    Connman,
    /// systemd-timesyncd restarts: it reads its servers only then.
    Timesyncd,
    /// chrony restarts, for the same reason: Debian's unit.
    Chrony,
    /// The unit of others.
    Chronyd,
}

impl Service {
    /// The equivalent command. Up to systemd 255, systemd-resolved rereads its files only when it starts.
    pub fn command(self) -> &'static str {
        match self {
            Service::Networkd => "networkctl reload",
            Service::NetworkdAgain => "systemctl try-restart systemd-networkd.service",
            Service::NetworkManager => "nmcli general reload conf dns-full",
            Service::Resolved => "systemctl try-restart systemd-resolved.service",
            Service::Dhcpcd => "systemctl try-restart dhcpcd.service",
            Service::Connman => "systemctl try-restart connman.service",
            Service::Timesyncd => "systemctl try-restart systemd-timesyncd.service",
            Service::Chrony => "systemctl try-restart chrony.service",
            Service::Chronyd => "systemctl try-restart chronyd.service",
        }
    }
}

/// A link to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLink {
    /// Its name.
    pub name: String,
    /// Its kind; never [`Kind::Physical`].
    pub kind: Kind,
    /// Its parent.
    pub parent: Option<String>,
    /// For a veth: the other end's name.
    pub peer: Option<String>,
    /// Hardware address, if one is desired.
    pub mac: Option<MacAddr>,
    /// MTU in bytes, if one is desired.
    pub mtu: Option<u32>,
    /// Options by the table's names, links by name. Encoded in the table's order.
    pub settings: BTreeMap<&'static str, OptionValue>,
}

/// A change of a link.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkChange {
    /// Administratively up.
    Up,
    /// Administratively down.
    Down,
    /// Renamed; the link must be down on kernels before 6.2.
    Rename(String),
    /// Adds an alternative name.
    AddAltName(String),
    /// Removes an alternative name.
    DeleteAltName(String),
    /// Hardware address.
    Mac(MacAddr),
    /// MTU in bytes.
    Mtu(u32),
    /// Becomes a port of this link.
    Controller(String),
    /// Leaves its bond, bridge or VRF.
    NoController,
    /// Options of its kind, which the kernel requires to be named.
    Options {
        /// Its kind.
        kind: Kind,
        /// By the table's names.
        settings: BTreeMap<&'static str, OptionValue>,
    },
    /// Options as a port of a controller of this kind.
    PortOptions {
        /// The controller's kind.
        kind: Kind,
        /// By the table's names.
        settings: BTreeMap<&'static str, OptionValue>,
    },
    /// How IPv6 addresses are generated.
    Generation(AddressGeneration),
    /// Token for addresses from router advertisements.
    Token(Ipv6Addr),
    /// Whether it takes every frame.
    Promiscuous(bool),
    /// Adds a far end of a VXLAN.
    AddRemote(IpAddr),
    /// Removes a far end of a VXLAN.
    DeleteRemote(IpAddr),
    /// Adds VLANs to a port of a bridge, or, with `own`, to the bridge itself.
    AddVlan {
        /// The VLANs.
        vlan: PortVlan,
        /// The link is the bridge.
        own: bool,
    },
    /// Removes VLANs.
    DeleteVlan {
        /// The VLANs.
        vlan: PortVlan,
        /// The link is the bridge.
        own: bool,
    },
}

/// The means by which a step is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A request over rtnetlink.
    Netlink,
    /// A request over generic netlink: ethtool, WireGuard.
    GenericNetlink,
    /// A file below /proc/sys.
    Sysctl,
    /// A file of the image.
    File,
    /// A program of the image.
    Program,
    /// A call over D-Bus.
    Bus,
    /// It changes nothing, but waits for the kernel.
    Wait,
}

/// The effect of a step on the machine, for a review of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Creates something new.
    Make,
    /// Changes something that exists, or that an earlier step created.
    Change,
    /// Removes something that exists.
    Remove,
}

impl Mark {
    /// As marked by terraform: `+`, `~` or `-`.
    pub fn sign(self) -> &'static str {
        match self {
            Mark::Make => "+",
            Mark::Change => "~",
            Mark::Remove => "-",
        }
    }

    /// `make`, `change` or `remove`.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Make => "make",
            Mark::Change => "change",
            Mark::Remove => "remove",
        }
    }
}

impl Action {
    /// Whether the step makes, changes or removes something; `None` if it only waits.
    pub fn mark(&self) -> Option<Mark> {
        Some(match self {
            Action::AddLink(_)
            | Action::AddAddress(_)
            | Action::AddRoute(_)
            | Action::AppendRoute(_)
            | Action::PrependRoute(_)
            | Action::AddRule(_)
            | Action::WriteFile { .. }
            | Action::Resolvconf { content: Some(_), .. } => Mark::Make,
            Action::SetLink { .. }
            | Action::ReplaceAddress(_)
            | Action::ReplaceRoute(_)
            | Action::Sysctl { .. }
            | Action::StableSecret { .. }
            | Action::Wireguard { .. }
            | Action::Feature { .. }
            | Action::Tune { .. }
            | Action::WakeOnLan { .. }
            | Action::PutBack { .. }
            | Action::Refresh(_)
            | Action::Manage { .. } => Mark::Change,
            Action::DeleteLink { .. }
            | Action::DeleteAddress(_)
            | Action::DeleteRoute(_)
            | Action::DeleteRule(_)
            | Action::RemoveFile { .. }
            | Action::Resolvconf { content: None, .. } => Mark::Remove,
            Action::AwaitAddresses { .. } | Action::AwaitCarrier { .. } => return None,
        })
    }

    /// The means by which the step is made.
    pub fn means(&self) -> Means {
        match self {
            Action::AddLink(_)
            | Action::DeleteLink { .. }
            | Action::SetLink { .. }
            | Action::AddAddress(_)
            | Action::ReplaceAddress(_)
            | Action::DeleteAddress(_)
            | Action::AddRoute(_)
            | Action::AppendRoute(_)
            | Action::PrependRoute(_)
            | Action::ReplaceRoute(_)
            | Action::DeleteRoute(_)
            | Action::AddRule(_)
            | Action::DeleteRule(_) => Means::Netlink,
            Action::Wireguard { .. }
            | Action::Feature { .. }
            | Action::Tune { .. }
            | Action::WakeOnLan { .. } => Means::GenericNetlink,
            Action::Sysctl { .. } | Action::StableSecret { .. } => Means::Sysctl,
            Action::WriteFile { .. } | Action::RemoveFile { .. } | Action::PutBack { .. } => Means::File,
            Action::Resolvconf { .. } => Means::Program,
            Action::Refresh(_) | Action::Manage { .. } => Means::Bus,
            Action::AwaitAddresses { .. } | Action::AwaitCarrier { .. } => Means::Wait,
        }
    }

    /// The step notifies the image's other tools and changes nothing of the network. If it fails, that is reported, and
    /// nothing is undone even under `--strict`: a working network is worth more than a file.
    pub fn is_handoff(&self) -> bool {
        matches!(self.means(), Means::File | Means::Program | Means::Bus) || self.sets_host_name()
    }

    /// The step sets the host name.
    pub fn sets_host_name(&self) -> bool {
        matches!(self, Action::Sysctl { key, .. } if key == "kernel/hostname")
    }

    /// The step tunes a NIC but is not part of the network: offloads, ring sizes, wake-on-LAN. A driver that lacks them is no
    /// reason to undo a network under `--strict`.
    pub fn is_tuning(&self) -> bool {
        matches!(self, Action::Feature { .. } | Action::Tune { .. } | Action::WakeOnLan { .. })
    }

    /// The step only waits.
    pub fn is_wait(&self) -> bool {
        self.means() == Means::Wait
    }

    /// Why `--strict` cannot undo the step; `None` if it can.
    pub fn irreversible(&self) -> Option<&'static str> {
        match self {
            Action::DeleteRoute(route) | Action::ReplaceRoute(route) if !route.unknown.is_empty() => {
                Some("the route has attributes that netapply does not know")
            }
            _ => None,
        }
    }

    /// The link that the step acts on, if any.
    pub fn link(&self) -> Option<&str> {
        match self {
            Action::AddLink(new) => Some(&new.name),
            Action::DeleteLink { name }
            | Action::SetLink { name, .. }
            | Action::Wireguard { name, .. }
            | Action::Feature { name, .. }
            | Action::Tune { name, .. }
            | Action::WakeOnLan { name, .. } => Some(name),
            Action::AddAddress(entry) | Action::ReplaceAddress(entry) | Action::DeleteAddress(entry) => {
                Some(&entry.link)
            }
            Action::AwaitAddresses { link, .. }
            | Action::AwaitCarrier { link }
            | Action::StableSecret { link, .. }
            | Action::Manage { link, .. } => Some(link),
            Action::AddRoute(entry)
            | Action::AppendRoute(entry)
            | Action::PrependRoute(entry)
            | Action::ReplaceRoute(entry)
            | Action::DeleteRoute(entry) => entry.link.as_deref(),
            _ => None,
        }
    }

    /// The route that the step adds.
    pub fn added_route(&self) -> Option<&RouteEntry> {
        match self {
            Action::AddRoute(route)
            | Action::AppendRoute(route)
            | Action::PrependRoute(route)
            | Action::ReplaceRoute(route) => Some(route),
            _ => None,
        }
    }
}
