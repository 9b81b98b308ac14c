//! Subnets that conflict: prefix lengths that differ, and subnets that overlap.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{Code, Fleet, Member, Subnets, is_local};

/// Which of two subnets is within the other, in which VRF.
type Pair = (Option<u32>, IpNet, IpNet);

impl Fleet<'_> {
    pub(super) fn prefixes(&mut self, subnets: &Subnets) {
        // The addresses of the larger subnet that are within the smaller one.
        let mut pairs: BTreeMap<Pair, Vec<Member>> = BTreeMap::new();
        // The prefix lengths within each larger subnet: however many smaller ones it has, they are few.
        let mut lengths: BTreeMap<(Option<u32>, IpNet), BTreeSet<u8>> = BTreeMap::new();
        for (vrf, net) in subnets.keys() {
            for length in 1..net.prefix_len() {
                let outer = IpNet::new_assert(net.addr(), length).trunc();
                if subnets.contains_key(&(*vrf, outer)) {
                    pairs.entry((*vrf, outer, *net)).or_default();
                    lengths.entry((*vrf, outer)).or_default().insert(net.prefix_len());
                }
            }
        }
        for ((vrf, outer), lengths) in lengths {
            for member in subnets.get(&(vrf, outer)).into_iter().flatten() {
                let Some((net, _)) = self.link(member).addresses.get(member.address) else { continue };
                for length in &lengths {
                    let inner = IpNet::new_assert(net.addr(), *length).trunc();
                    if let Some(within) = pairs.get_mut(&(vrf, outer, inner)) {
                        within.push(*member);
                    }
                }
            }
        }
        // Mistaken subnets: their other overlaps are not reported as well.
        let mut odd: BTreeSet<(Option<u32>, IpNet)> = BTreeSet::new();
        // One message for a subnet that overlaps many.
        let mut overlaps: BTreeMap<(Option<u32>, IpNet), Vec<IpNet>> = BTreeMap::new();
        for ((vrf, outer, inner), within) in &pairs {
            let of = |net: &IpNet| subnets.get(&(*vrf, *net)).map_or(&[][..], Vec::as_slice);
            let (large, small) = (of(outer), of(inner));
            if within.is_empty() {
                overlaps.entry((*vrf, *outer)).or_default().push(*inner);
            } else if large.len() < small.len() {
                odd.insert((*vrf, *outer));
                self.prefix(within, outer, small, inner);
            } else {
                self.prefix(small, inner, large, outer);
            }
        }
        for ((vrf, outer), inner) in overlaps.into_iter().filter(|(outer, _)| !odd.contains(outer)) {
            let first = |net: &IpNet| subnets.get(&(vrf, *net)).and_then(|members| members.first()).copied();
            let Some((large, small)) = inner.first().and_then(|inner| Some((first(&outer)?, first(inner)?)))
            else {
                continue;
            };
            let others = match inner.len() {
                1 => String::new(),
                more => format!(" and {} others", more - 1),
            };
            let message = format!("subnet {outer} overlaps {}{others}", inner[0]);
            let other = Some((small.node, self.at(&small)));
            self.add(Code::FleetOverlap, large.node, self.at(&large), other, message);
        }
        self.single_hosts(subnets);
    }

    /// Reports the few that have another prefix length than the majority.
    fn prefix(&mut self, few: &[Member], odd: &IpNet, many: &[Member], net: &IpNet) {
        let Some(first) = many.first().copied() else { return };
        let other = Some((first.node, self.at(&first)));
        let each = few.len() <= 1.max(many.len() / 10);
        for member in few.iter().take(if each { few.len() } else { 1 }) {
            let address = self.link(member).addresses[member.address].0.addr();
            let whose = match few.len() {
                count if !each => format!(", as {count} nodes have it, where {} have", many.len()),
                _ if many.len() == 1 => format!(", where {} has", self.name(first.node)),
                _ => format!(", where {} nodes have", many.len()),
            };
            let message = format!(
                "address {address} has the prefix length {}{whose} {} ({net})",
                odd.prefix_len(),
                net.prefix_len()
            );
            self.add(Code::FleetPrefix, member.node, self.at(member), other, message);
        }
    }

    /// An address of a single host in a subnet that others have as such, on a node without an address there.
    fn single_hosts(&mut self, subnets: &Subnets) {
        let nodes = self.nodes;
        for (node, of) in nodes.iter().enumerate() {
            for (index, link) in of.links.iter().enumerate().filter(|(_, link)| !link.is_loopback()) {
                for (address, (net, _)) in link.addresses.iter().enumerate() {
                    let ip = net.addr();
                    if net.prefix_len() < net.max_prefix_len() || is_local(&ip) || self.policy.is_shared(&ip)
                    {
                        continue;
                    }
                    let around = (1..net.prefix_len()).rev().find_map(|length| {
                        let outer = IpNet::new_assert(ip, length).trunc();
                        subnets.get(&(link.domain.vrf, outer)).map(|members| (outer, members))
                    });
                    let Some((outer, members)) = around.filter(|(_, members)| members.len() >= 3) else {
                        continue;
                    };
                    let has_another =
                        of.links.iter().flat_map(|l| &l.addresses).any(|(other, _)| other.trunc() == outer);
                    if !has_another {
                        let member = Member { node, link: index, address };
                        self.prefix(&[member], net, members, &outer);
                    }
                }
            }
        }
    }
}
