//! A [`Step`] is one change to the machine, specific enough that nothing is left to decide when it is made.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use crate::inventory::{AddressEntry, Owed, RouteEntry, RuleEntry};
use crate::model::attribute::OptionValue;
use crate::model::{AddressGeneration, Kind, MacAddr, Place, PortVlan, Wireguard};

/// All that will be done, in order. Empty when the machine is as described.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The steps; a [`StepId`] is a position in here.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The step of this id.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.0)
    }

    /// Each step with its id.
    pub fn numbered(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps.iter().enumerate().map(|(position, step)| (StepId(position), step))
    }

    /// What it takes from links that are not described and puts back in later steps.
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

/// A step of a plan: its position, from 0. For a person it is a number from 1, which is how it is displayed.
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
    /// What is done.
    pub action: Action,
    /// The place in the user's text that asks for it, for messages about a refusal.
    pub at: Place,
    /// Id of the described link that it serves; empty for what serves none.
    pub link: String,
    /// Earlier steps without which this one makes no sense: where one of them fails, this is not tried.
    pub needs: Vec<StepId>,
}

/// What a step does. Links are named by what they are called when the step's turn comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Makes a link, down.
    AddLink(NewLink),
    /// Removes a link that software made.
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
    /// Gives an address that is there other lifetimes.
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
    /// Waits, within a bound, until a link that is up is ready for IPv6, which takes carrier: only then does the kernel
    /// leave the link's IPv6 MTU alone.
    AwaitCarrier {
        /// The link.
        link: String,
    },
    /// Adds a route beside those that are there.
    AddRoute(RouteEntry),
    /// Adds an IPv6 route beside another's of the same destination, table and metric.
    AppendRoute(RouteEntry),
    /// Adds an IPv4 route before those of the same destination, table and metric, so that it takes precedence.
    PrependRoute(RouteEntry),
    /// Puts a route in the place of the one of the same destination, table and metric.
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
        /// What is written.
        value: String,
    },
    /// Gives a link the secret from which stable IPv6 addresses are made (RFC 7217), and the mode that uses it.
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
    /// Turns wake-on-LAN by magic packet on or off (ethtool).
    WakeOnLan {
        /// The link.
        name: String,
        /// On or off.
        on: bool,
    },
    /// Writes a file whole, atomically.
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
    /// Makes a path what it was before a step wrote or removed it.
    PutBack {
        /// Absolute path.
        path: String,
        /// What it was.
        former: Former,
    },
    /// Hands name servers to resolvconf(8), or takes them back.
    Resolvconf {
        /// The program's path.
        program: String,
        /// The record's name, such as `bond0.netapply`.
        record: String,
        /// The resolv.conf text; `None` removes the record.
        content: Option<String>,
    },
    /// Has a running service read what was written for it.
    Refresh(Service),
    /// Has a running tool leave a link alone, or take it, and waits until it has.
    Manage {
        /// The link.
        link: String,
        /// The tool.
        by: Manager,
        /// Whether it is to take the link.
        on: bool,
    },
}

/// From what a link's stable IPv6 addresses are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The machine's id, which is read when the step's turn comes: it is not to be shown.
    MachineId,
    /// What is no secret: a MAC address, which outlives the boot where a machine's id does not, or a link's name.
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

/// A tool that manages links and can be told at run time which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// systemd-networkd: it reads in its files which links it manages, and is only waited for.
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

/// What a path was before a step of the hand-off changed it.
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
    /// systemd-networkd starts again: it reads networkd.conf only then.
    NetworkdAgain,
    /// systemd-resolved starts again.
    Resolved,
    /// NetworkManager reads its configuration, and writes for the resolver what follows from it.
    NetworkManager,
    /// dhcpcd starts again: its unit mounts the list of the links that are not its own over its configuration.
    Dhcpcd,
    /// connman starts again, for the same reason.
    Connman,
}

impl Service {
    /// The command that does the same. systemd-resolved reads its files again only when it starts, up to systemd 255.
    pub fn command(self) -> &'static str {
        match self {
            Service::Networkd => "networkctl reload",
            Service::NetworkdAgain => "systemctl try-restart systemd-networkd.service",
            Service::NetworkManager => "nmcli general reload conf dns-full",
            Service::Resolved => "systemctl try-restart systemd-resolved.service",
            Service::Dhcpcd => "systemctl try-restart dhcpcd.service",
            Service::Connman => "systemctl try-restart connman.service",
        }
    }
}

/// A link to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLink {
    /// Its name.
    pub name: String,
    /// What it is; never [`Kind::Physical`].
    pub kind: Kind,
    /// The link it is made on.
    pub parent: Option<String>,
    /// For a veth: the other end's name.
    pub peer: Option<String>,
    /// Hardware address, where one is asked for.
    pub mac: Option<MacAddr>,
    /// MTU in bytes, where one is asked for.
    pub mtu: Option<u32>,
    /// Options by the table's names, links by name. Written in the table's order.
    pub settings: BTreeMap<&'static str, OptionValue>,
}

/// What changes at a link.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkChange {
    /// Administratively up.
    Up,
    /// Administratively down.
    Down,
    /// Another name; the link must be down on kernels before 6.2.
    Rename(String),
    /// One more alternative name.
    AddAltName(String),
    /// An alternative name less.
    DeleteAltName(String),
    /// Hardware address.
    Mac(MacAddr),
    /// MTU in bytes.
    Mtu(u32),
    /// Becomes a port of this link.
    Controller(String),
    /// Leaves its bond, bridge or VRF.
    NoController,
    /// Options of its kind, which is named because the kernel wants it said.
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
    /// VLANs that a port of a bridge passes, or, with `own`, that the bridge itself has.
    AddVlan {
        /// The VLANs.
        vlan: PortVlan,
        /// The link is the bridge.
        own: bool,
    },
    /// VLANs less.
    DeleteVlan {
        /// The VLANs.
        vlan: PortVlan,
        /// The link is the bridge.
        own: bool,
    },
}

/// By what means a step is made.
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
    /// It changes nothing, and waits for the kernel.
    Wait,
}

/// What a step does to the machine, for a review of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Makes what is not there.
    Make,
    /// Changes what is there, or what an earlier step made.
    Change,
    /// Removes what is there.
    Remove,
}

impl Mark {
    /// As terraform marks it: `+`, `~` or `-`.
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

    /// By what means the step is made.
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
            Action::Wireguard { .. } | Action::Feature { .. } | Action::WakeOnLan { .. } => {
                Means::GenericNetlink
            }
            Action::Sysctl { .. } | Action::StableSecret { .. } => Means::Sysctl,
            Action::WriteFile { .. } | Action::RemoveFile { .. } | Action::PutBack { .. } => Means::File,
            Action::Resolvconf { .. } => Means::Program,
            Action::Refresh(_) | Action::Manage { .. } => Means::Bus,
            Action::AwaitAddresses { .. } | Action::AwaitCarrier { .. } => Means::Wait,
        }
    }

    /// The step tells the image's other tools something and changes nothing of the network. Where it fails that is
    /// reported, and undoes nothing even under `--strict`: a network that works is worth more than a file.
    pub fn is_handoff(&self) -> bool {
        matches!(self.means(), Means::File | Means::Program | Means::Bus) || self.sets_host_name()
    }

    /// The step gives the machine its name.
    pub fn sets_host_name(&self) -> bool {
        matches!(self, Action::Sysctl { key, .. } if key == "kernel/hostname")
    }

    /// The step tunes a NIC without being the network: offloads, wake-on-LAN. A driver that lacks them is no reason to
    /// undo a network under `--strict`.
    pub fn is_tuning(&self) -> bool {
        matches!(self, Action::Feature { .. } | Action::WakeOnLan { .. })
    }

    /// The step only waits.
    pub fn is_wait(&self) -> bool {
        self.means() == Means::Wait
    }

    /// Why `--strict` cannot take the step back; `None` if it can.
    pub fn irreversible(&self) -> Option<&'static str> {
        match self {
            Action::DeleteRoute(route) | Action::ReplaceRoute(route) if !route.unknown.is_empty() => {
                Some("the route has attributes that netapply does not know")
            }
            _ => None,
        }
    }

    /// The link that the step acts on, if it acts on one.
    pub fn link(&self) -> Option<&str> {
        match self {
            Action::AddLink(new) => Some(&new.name),
            Action::DeleteLink { name }
            | Action::SetLink { name, .. }
            | Action::Wireguard { name, .. }
            | Action::Feature { name, .. }
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

    /// The route that the step puts there.
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
