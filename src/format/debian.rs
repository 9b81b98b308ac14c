//! What cloud-init v1 and Debian interfaces files share: v1 was modelled on ifupdown. A subnet has the options of an
//! `iface` stanza, a bond those of ifenslave, a bridge those of bridge-utils, and links are identified by interface
//! name.
//!
//! A reader fills a [`Draft`] and ends with [`Draft::finish`], which joins the parts from different places.

mod bond;
mod bridge;
mod subnet;
mod vlans;

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::tree::Node;
use super::value::interface_name;
use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::model::attribute::{self, Attribute, OptionValue};
use crate::model::{
    Desired, DesiredMac, IfName, Kind, Link, LinkRef, Located, NamePattern, Naming, Place, PortVlan, Route,
};

pub(super) use bond::{BOND, bond_setting};
pub(super) use bridge::{BRIDGE, bridge_option, list, port_option};
pub(super) use subnet::{Method, either, metric, metric_alone, subnet};
use vlans::VlanOptions;
pub(super) use vlans::table as vlan_table;

/// A description before its parts are joined.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) desired: Desired,
    by_name: HashMap<String, usize>,
    /// Options of bridge ports, written at the bridge.
    ports: Vec<PortOption>,
    /// Routes that name no link.
    routes: Vec<Route>,
    /// VLANs of bridges and ports, by the name of the link.
    vlans: HashMap<String, VlanOptions>,
}

/// An option of a port: the port, the option, its value.
#[derive(Debug)]
struct PortOption {
    port: LinkRef,
    row: &'static Attribute,
    value: OptionValue,
}

impl Draft {
    /// Adds a link; of two with one name the first is found by it.
    pub(super) fn add(&mut self, link: Link) {
        self.by_name.entry(link.id.clone()).or_insert(self.desired.links.len());
        self.desired.links.push(link);
    }

    /// The link with this name.
    pub(super) fn link(&mut self, name: &str) -> Option<&mut Link> {
        self.by_name.get(name).and_then(|index| self.desired.links.get_mut(*index))
    }

    /// The loopback interface and its addresses are the kernel's own: only additional addresses are set. Name servers
    /// written there apply to the machine, as it is the one interface that is always up.
    pub(super) fn loopback(&mut self, mut link: Link, diags: &mut Vec<Diagnostic>) {
        self.desired.resolver.merge(&std::mem::take(&mut link.resolver));
        link.addresses.retain(|address| !address.net.addr().is_loopback());
        link.dynamic.clear();
        if link.addresses.is_empty() && link.routes.is_empty() && link.rules.is_empty() {
            let message = format!("{} is set up by the kernel; netapply leaves it alone", link.id);
            diags.push(Diagnostic::new(Code::LoopbackIgnored, link.at, message));
            return;
        }
        link.select.name = Some(Located::new(NamePattern::Exact(link.id.clone()), link.at));
        self.add(link);
    }

    /// Records the VLANs that `bridge vlan add` or `del` sets for a port or the bridge itself.
    pub(super) fn vlan_command(&mut self, link: &str, vlan: PortVlan, adds: bool, at: Place) {
        self.vlans.entry(link.to_owned()).or_default().command(vlan, adds, at);
    }

    /// Records a route for the link that reaches its gateway.
    pub(super) fn route(&mut self, route: Route) {
        self.routes.push(route);
    }

    /// Adds links for members and parents that are only named, ports' options, and routes without a link.
    /// `said_implied` is false if a format only ever has names.
    pub(super) fn finish(mut self, report_implied: bool, diags: &mut Vec<Diagnostic>) -> Desired {
        for link in &mut self.desired.links {
            let mut seen = HashSet::default();
            link.members.retain(|member| seen.insert(member.value.clone()));
        }
        let mut references: VecDeque<(String, LinkRef)> = self
            .desired
            .links
            .iter()
            .flat_map(|l| l.members.iter().chain(&l.parent).map(|r| (l.id.clone(), r.clone())))
            .collect();
        // As in `check::references`: thousands of links may name as many that are missing.
        let mut comparisons = 200_000_usize;
        while let Some((id, reference)) = references.pop_front() {
            if self.by_name.contains_key(&reference.value) || IfName::new(&reference.value).is_err() {
                continue;
            }
            if let Some((parent, vid)) = dotted(&reference.value) {
                let parent = Located::new(parent.to_owned(), reference.at);
                references.push_back((reference.value.clone(), parent.clone()));
                self.add(implied_vlan(&reference, &id, parent, vid, report_implied, diags));
                continue;
            }
            if report_implied {
                let message = format!(
                    "\"{0}\" has no item of its own; \"{id}\" uses the interface {0}",
                    reference.value
                );
                diags.push(
                    Diagnostic::new(Code::ImpliedLink, reference.at, message)
                        .hint("give it an item with its mac_address: names can differ between boot images"),
                );
            }
            let mut link = nic(&reference.value, reference.at);
            link.select.implied = true;
            link.select.similar = self.similar(&id, &reference.value, &mut comparisons);
            self.add(link);
        }
        for option in std::mem::take(&mut self.ports) {
            match self.link(&option.port.value) {
                Some(link) => link.port.set(option.row, option.value, option.port.at),
                None => diags.push(dangling(&option.port, "a port option is written for")),
            }
        }
        vlans::tables(&mut self.desired.links, std::mem::take(&mut self.vlans), diags);
        self.place(diags);
        self.desired
    }

    /// The described link, other than the one that names it and its members, that a missing one's name resembles.
    fn similar(&self, of: &str, name: &str, comparisons: &mut usize) -> Option<String> {
        let links = &self.desired.links;
        *comparisons = comparisons.checked_sub(links.len())?;
        let members = links.iter().find(|link| link.id == of).map_or(&[][..], |link| &link.members);
        let others = links.iter().filter(|link| {
            link.id != of && !link.select.implied && !members.iter().any(|member| member.value == link.id)
        });
        nearest(name, others.map(|link| link.id.as_str())).map(str::to_owned)
    }

    /// A route that names no link belongs to the one that reaches its gateway, else to the only one with addresses.
    fn place(&mut self, diags: &mut Vec<Diagnostic>) {
        if self.routes.is_empty() {
            return;
        }
        let reach = Reach::of(&self.desired.links);
        for route in std::mem::take(&mut self.routes) {
            let Some(via) = route.via else {
                let message = format!("the route to {} has neither a gateway nor a link", route.to);
                diags.push(Diagnostic::new(Code::NoLinkForNetwork, route.at, message));
                continue;
            };
            if let Some(link) = reach.link(via).and_then(|index| self.desired.links.get_mut(index)) {
                link.routes.push(route);
                continue;
            }
            // A lease may bring the subnet; the only certainty is that nothing described does.
            let leased = |link: &Link| link.dynamic.iter().any(|d| d.value.family() == route.family());
            let (severity, unless) = match self.desired.links.iter().any(leased) {
                true => (Severity::Warning, " unless DHCP brings its subnet: left out"),
                false => (Severity::Error, ""),
            };
            let message = format!(
                "the route to {} names no link, and no link reaches its gateway {via}{unless}",
                route.to
            );
            diags.push(
                Diagnostic::new(Code::NoLinkForNetwork, route.at, message)
                    .severity(severity)
                    .hint("write the route at the link that it belongs to"),
            );
        }
    }
}

/// Which link reaches an address.
struct Reach {
    /// Links by their subnets.
    subnets: HashMap<IpNet, usize>,
    lengths: HashSet<u8>,
    /// For each family the links with an address of it.
    with_address: [Vec<usize>; 2],
    /// The only link.
    only: Option<usize>,
}

impl Reach {
    fn of(links: &[Link]) -> Self {
        let only = if links.len() == 1 { Some(0) } else { None };
        let mut reach = Reach {
            subnets: HashMap::default(),
            lengths: HashSet::default(),
            with_address: Default::default(),
            only,
        };
        for (index, link) in links.iter().enumerate() {
            for address in &link.addresses {
                let net = address.peer.unwrap_or(address.net).trunc();
                reach.subnets.entry(net).or_insert(index);
                reach.lengths.insert(net.prefix_len());
                let [v4, v6] = &mut reach.with_address;
                let family = if net.addr().is_ipv4() { v4 } else { v6 };
                if family.last() != Some(&index) {
                    family.push(index);
                }
            }
        }
        reach
    }

    fn link(&self, via: IpAddr) -> Option<usize> {
        let subnet =
            |length: &u8| IpNet::new(via, *length).ok().and_then(|net| self.subnets.get(&net.trunc()));
        let [v4, v6] = &self.with_address;
        let family = if via.is_ipv4() { v4 } else { v6 };
        let only_of_family = if let [index] = family.as_slice() { Some(*index) } else { None };
        self.lengths.iter().find_map(subnet).copied().or(only_of_family).or(self.only)
    }
}

/// The VLAN of a name such as `eth0.100` that is a member or parent and has no description of its own: bridge-utils and
/// ifupdown2 create it.
fn implied_vlan(
    name: &LinkRef,
    of: &str,
    parent: LinkRef,
    vid: u16,
    report: bool,
    diags: &mut Vec<Diagnostic>,
) -> Link {
    if report {
        let message = format!(
            "\"{0}\" has no item of its own; \"{of}\" uses VLAN {vid} on {1}",
            name.value, parent.value
        );
        let implied = Diagnostic::new(Code::ImpliedLink, name.at, message);
        diags.push(implied.hint("give it an item of type vlan"));
    }
    let mut link = made(&Node::scalar(&name.value, name.at), Kind::Vlan, diags);
    vlan(&mut link, parent, Located::new(u64::from(vid), name.at));
    link
}

/// `eth0.100`: parent and VLAN id.
pub(super) fn dotted(name: &str) -> Option<(&str, u16)> {
    let (parent, id) = name.rsplit_once('.').filter(|(parent, id)| !parent.is_empty() && is_number(id))?;
    Some((parent, id.parse().ok().filter(|id| *id <= 4094)?))
}

/// A NIC identified by its interface name. `ethN` is the kernel's old order: if no NIC has the name, the N-th is meant.
pub(super) fn nic(name: &str, at: Place) -> Link {
    let mut link = Link::new(name, Kind::Physical, at);
    link.select.name = Some(Located::new(NamePattern::Exact(name.to_owned()), at));
    link.select.position = name.strip_prefix("eth").filter(|n| is_number(n)).and_then(|n| n.parse().ok());
    link
}

/// A software link, with the name in the file.
pub(super) fn made(name: &Node, kind: Kind, diags: &mut Vec<Diagnostic>) -> Link {
    let mut link = Link::new(name.text().unwrap_or_default().trim(), kind, name.at);
    if let Some(name) = interface_name(name, "name", diags) {
        link.naming = Naming::Set(name);
    }
    link
}

/// Makes a link the VLAN `id` on `parent`.
pub(super) fn vlan(link: &mut Link, parent: LinkRef, id: Located<u64>) {
    link.parent = Some(parent);
    if let Some(row) = attribute::of(Kind::Vlan, "id") {
        link.settings.set(row, OptionValue::Number(id.value as i64), id.at);
    }
}

/// The MAC address to set on a software link.
pub(super) fn desired_mac(node: &Node, key: &str, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    if let Some(mac) = super::value::mac_to_set(node, key, diags) {
        link.mac = Some(Located::new(DesiredMac::Is(mac.value), mac.at));
    }
}

/// A reference to a link that is not in the file.
pub(super) fn dangling(reference: &LinkRef, what: &str) -> Diagnostic {
    let message = format!("{what} \"{}\", and no link has this name", reference.value);
    Diagnostic::new(Code::DanglingReference, reference.at, message)
}

/// Decimal digits only.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests;
