//! What must agree within one subnet: VLAN, MTU, gateway, the bond below, name servers.

use std::hash::Hash;
use std::net::IpAddr;

use foldhash::HashSet;
use ipnet::IpNet;

use super::count::count;
use super::node::Spot;
use super::{Code, Fleet, Member, Subnets};
use crate::order::Order as _;

impl Fleet<'_> {
    pub(super) fn within_subnets(&mut self, subnets: &Subnets, taken: &HashSet<(usize, IpAddr)>) {
        let mut keys: Vec<_> = subnets.keys().copied().collect();
        keys.order();
        for key in keys {
            let Some(members) = subnets.get(&key).filter(|members| members.len() > 1) else { continue };
            let net = key.1;
            let members = one_a_node(members);
            if members.len() > 1 {
                self.within_subnet(&net, &members, taken);
            }
        }
    }

    fn within_subnet(&mut self, net: &IpNet, members: &[Member], taken: &HashSet<(usize, IpAddr)>) {
        let nodes = self.nodes;
        let link = |member: &Member| &nodes[member.node].links[member.link];
        self.agree(Code::FleetVlan, net, members, true, |member| {
            let link = link(member);
            Some((link.domain.vlan, link.vlan_at, link.domain.vlan_name()))
        });
        self.agree(Code::FleetMtu, net, members, true, |member| {
            let link = link(member);
            let (mtu, at) = link.mtu;
            Some((mtu, at.unwrap_or(link.at), format!("MTU {mtu}")))
        });
        let allowed = self.policy.gateways_of(net);
        self.agree(Code::FleetGateway, net, members, true, |member| {
            let within = |via: &IpAddr| net.contains(via) && !taken.contains(&(member.node, *via));
            let gateways = link(member).gateways.iter().filter(|(via, ..)| within(via));
            let defaults = gateways.clone().filter(|(_, is_default, _)| *is_default);
            let (via, _, at) = *defaults.chain(gateways).next()?;
            (!allowed.contains(&via)).then(|| (via, at, format!("gateway {via}")))
        });
        let bond = |member: &Member| nodes[member.node].links.get(link(member).bond?);
        self.agree(Code::FleetBond, net, members, false, |member| {
            let bond = bond(member)?;
            let (mode, at) = bond.mode.clone().unwrap_or_else(|| ("balance-rr".to_owned(), bond.at));
            Some((mode.clone(), at, format!("bond mode {mode}")))
        });
        self.agree(Code::FleetBond, net, members, false, |member| {
            let bond = bond(member)?;
            let (hash, at) = bond.hash.clone().unwrap_or_else(|| ("layer2".to_owned(), bond.at));
            Some((hash.clone(), at, format!("hash policy {hash}")))
        });
        self.agree(Code::FleetNameServers, net, members, false, |member| {
            let node = &nodes[member.node];
            let leads_out =
                link(member).gateways.iter().any(|(via, is_default, _)| *is_default && net.contains(via));
            let (value, at, words) = node.servers_told()?;
            leads_out.then_some((value, at, words))
        });
    }

    /// Compares a value of all members. If one value clearly prevails, each node with another is reported; else, if
    /// they `must` agree, one node of each other value.
    fn agree<V: Eq + Hash>(
        &mut self,
        code: Code,
        net: &IpNet,
        members: &[Member],
        must: bool,
        value: impl Fn(&Member) -> Option<(V, Spot, String)>,
    ) {
        let values = members.iter().filter_map(|member| value(member).map(|(value, ..)| (value, *member)));
        let Some(counted) = count(values) else { return };
        let (majority, first) = counted.most;
        let Some((_, there, theirs)) = value(&first) else { return };
        for owners in &counted.others {
            let clear = counted.is_clear(owners.len());
            if !clear && !must {
                continue;
            }
            for member in owners.iter().take(if clear { owners.len() } else { 1 }) {
                let Some((_, at, own)) = value(member) else { continue };
                let message = match (clear, majority) {
                    (true, _) => {
                        format!("{own} in {net}, where {majority} of {} nodes have {theirs}", counted.all)
                    }
                    (false, 1) => format!("{own} in {net}, where {} has {theirs}", self.name(first.node)),
                    (false, _) => format!(
                        "{own} in {net}, as {} of {} nodes have it, where {majority} have {theirs}",
                        owners.len(),
                        counted.all
                    ),
                };
                self.add(code, member.node, at, Some((first.node, there)), message);
            }
        }
    }
}

/// The first link of each node in a subnet: two NICs of one node count once.
fn one_a_node(members: &[Member]) -> Vec<Member> {
    let mut seen = HashSet::default();
    members.iter().filter(|member| seen.insert(member.node)).copied().collect()
}
