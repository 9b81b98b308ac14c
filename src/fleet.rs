//! Compares the descriptions of many nodes: what must differ (MAC and IP addresses, host names, keys) and what must agree
//! (gateways, prefix lengths, MTUs, VLANs within one subnet). Pure: answers from the descriptions alone, and from what booted
//! nodes reported. Entries: [`FleetNode::new`] for each description, then [`compare`].

mod agree;
pub mod booted;
mod cables;
mod count;
mod differ;
mod node;
pub mod policy;
mod shape;
mod subnets;
pub mod table;

use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use crate::diagnostic::{At, Code, DiagnosticRecord, Severity};
use crate::order::Order as _;
pub use node::FleetNode;
use node::{Domain, Spot};
use policy::FleetPolicy;

/// The nodes of a fleet, and the findings.
struct Fleet<'a> {
    nodes: &'a [FleetNode],
    policy: &'a FleetPolicy,
    found: Vec<Finding>,
}

/// A fault of a fleet: its place, and the other place.
struct Finding {
    code: Code,
    message: String,
    hint: Option<String>,
    node: usize,
    at: Spot,
    other: Option<(usize, Spot)>,
}

/// An address in the fleet: node, link and index among the link's addresses.
#[derive(Copy, Clone, Debug)]
struct Member {
    node: usize,
    link: usize,
    address: usize,
}

/// The addresses of each subnet of each VRF, whatever VLAN they are in.
type Subnets = HashMap<(Option<u32>, IpNet), Vec<Member>>;

/// Compares the nodes. Findings are in the order of the nodes; each has file and line.
pub fn compare(nodes: &[FleetNode], policy: &FleetPolicy) -> Vec<DiagnosticRecord> {
    let mut fleet = Fleet { nodes, policy, found: Vec::new() };
    let subnets = fleet.subnets();
    fleet.duplicates();
    let taken = fleet.gateways_that_are_nodes();
    fleet.outside();
    fleet.prefixes(&subnets);
    fleet.within_subnets(&subnets, &taken);
    fleet.shapes(&subnets);
    let mut found = fleet.found;
    found.order_by_key(|finding| (finding.node, finding.at, finding.code));
    found.iter().filter_map(|finding| finding.record(nodes, policy)).collect()
}

impl Fleet<'_> {
    fn add(&mut self, code: Code, node: usize, at: Spot, other: Option<(usize, Spot)>, message: String) {
        self.found.push(Finding { code, message, hint: None, node, at, other });
    }

    /// Adds a hint to the last finding.
    fn hint(&mut self, hint: &str) {
        if let Some(last) = self.found.last_mut() {
            last.hint = Some(hint.to_owned());
        }
    }

    /// All addresses by subnet; those of a single host have none.
    fn subnets(&self) -> Subnets {
        let mut subnets = Subnets::default();
        for (node, facts) in self.nodes.iter().enumerate() {
            for (link, of) in facts.links.iter().enumerate() {
                for (address, (net, _)) in of.addresses.iter().enumerate() {
                    if net.prefix_len() < net.max_prefix_len() && !is_local(&net.addr()) {
                        let key = (of.domain.vrf, net.trunc());
                        subnets.entry(key).or_default().push(Member { node, link, address });
                    }
                }
            }
        }
        subnets
    }

    fn at(&self, member: &Member) -> Spot {
        let address = self.link(member).addresses.get(member.address);
        address.map_or_else(Spot::default, |(_, at)| *at)
    }

    fn link(&self, member: &Member) -> &node::FleetLink {
        &self.nodes[member.node].links[member.link]
    }

    fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }
}

/// Whether every machine may have the address: link-local, loopback.
fn is_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

impl Finding {
    /// As a diagnostic, unless the policy ignores the code.
    fn record(&self, nodes: &[FleetNode], policy: &FleetPolicy) -> Option<DiagnosticRecord> {
        let severity: Severity = policy.severity(self.code)?;
        let at = |node: usize, at: Spot| -> Option<At> { nodes.get(node).map(|node| node.at(at)) };
        Some(DiagnosticRecord {
            code: self.code,
            severity,
            message: crate::diagnostic::printable(self.message.clone()),
            at: at(self.node, self.at),
            hint: self.hint.clone(),
            related: self.other.and_then(|(node, spot)| at(node, spot)),
        })
    }
}

#[cfg(test)]
mod tests;
