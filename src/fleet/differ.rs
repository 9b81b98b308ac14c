//! What no two nodes may share: MAC and IP addresses, host names, WireGuard keys; and addresses that no node may have.

use std::hash::Hash;
use std::net::IpAddr;

use foldhash::{HashMap, HashSet};

use super::node::Spot;
use super::{Code, Domain, Fleet, is_local};

impl Fleet<'_> {
    pub(super) fn duplicates(&mut self) {
        let nodes = self.nodes;
        let links =
            || nodes.iter().enumerate().flat_map(|(node, of)| of.links.iter().map(move |l| (node, l)));
        let macs = links().filter_map(|(node, link)| link.mac.map(|(mac, at)| (mac, node, at)));
        self.once(macs, Code::FleetMac, |mac| format!("MAC address {mac}"));
        let names = nodes.iter().enumerate().filter_map(|(node, of)| {
            let (name, at) = of.host_name.as_ref()?;
            Some((name.to_ascii_lowercase(), node, *at))
        });
        self.once(names, Code::FleetHostName, |name| format!("host name {name}"));
        let keys = links().filter_map(|(node, link)| link.key.map(|(key, at)| (key, node, at)));
        self.once(keys, Code::FleetWireguardKey, |_| "WireGuard private key".to_owned());
        let policy = self.policy;
        let addresses = links().flat_map(|(node, link)| {
            let ips = link.addresses.iter().map(|(net, at)| (net.addr(), *at));
            ips.map(move |(ip, at)| ((ip, link.domain), node, at))
        });
        let addresses = addresses.filter(|((ip, _), ..)| !is_local(ip) && !policy.is_shared(ip));
        self.once(addresses, Code::FleetAddress, |(ip, domain): &(IpAddr, Domain)| match domain.vlan {
            Some(_) => format!("address {ip} in {}", domain.vlan_name()),
            None => format!("address {ip}"),
        });
    }

    /// Adds a finding for each value that a second node has; one node may have it several times.
    fn once<V: Eq + Hash>(
        &mut self,
        values: impl Iterator<Item = (V, usize, Spot)>,
        code: Code,
        what: impl Fn(&V) -> String,
    ) {
        let mut first: HashMap<V, (usize, Spot)> = HashMap::default();
        let mut told = HashSet::default();
        for (value, node, at) in values {
            match first.get(&value) {
                Some((other, _)) if *other == node => {}
                Some((other, there)) => {
                    let (other, there) = (*other, *there);
                    // Once per node, however many of its links have it.
                    if told.insert((node, there, other)) {
                        let message = format!("{} is also that of {}", what(&value), self.name(other));
                        self.add(code, node, at, Some((other, there)), message);
                    }
                }
                None => {
                    first.insert(value, (node, at));
                }
            }
        }
    }

    /// Gateways that are an address of another node. Returns them, so that nothing else is reported about them.
    pub(super) fn gateways_that_are_nodes(&mut self) -> HashSet<(usize, IpAddr)> {
        let nodes = self.nodes;
        let mut users: HashMap<(Option<u32>, IpAddr), (usize, usize, Spot)> = HashMap::default();
        for (node, of) in nodes.iter().enumerate() {
            for link in &of.links {
                for (via, _, at) in &link.gateways {
                    let user = users.entry((link.domain.vrf, *via)).or_insert((0, node, *at));
                    user.0 += 1;
                }
            }
        }
        let mut taken = HashSet::default();
        for (node, of) in nodes.iter().enumerate() {
            for link in &of.links {
                for (net, at) in &link.addresses {
                    let ip = net.addr();
                    let known = self.policy.is_shared(&ip) || self.policy.is_router(&ip);
                    let user = users.get(&(link.domain.vrf, ip)).filter(|_| !known && !is_local(&ip));
                    let Some((count, user, used)) = user.copied().filter(|(_, user, _)| *user != node) else {
                        continue;
                    };
                    // For one node the gateway may be the mistake; for many it is the address.
                    match count {
                        1 => {
                            let message =
                                format!("gateway {ip} is an address of another node, {}", self.name(node));
                            self.add(Code::FleetGatewayIsNode, user, used, Some((node, *at)), message);
                            taken.insert((user, ip));
                        }
                        _ => {
                            let message = format!("address {ip} is the gateway of {count} nodes");
                            self.add(Code::FleetGatewayIsNode, node, *at, Some((user, used)), message);
                        }
                    }
                    self.hint("if that node is a router, name the address as one in the policy (routers)");
                }
            }
        }
        taken
    }

    /// Addresses in none of the policy's subnets.
    pub(super) fn outside(&mut self) {
        let nodes = self.nodes;
        if self.policy.subnets.is_empty() {
            return;
        }
        for (node, of) in nodes.iter().enumerate() {
            for (net, at) in of.links.iter().flat_map(|link| &link.addresses) {
                if !is_local(&net.addr()) && !self.policy.has(&net.addr()) {
                    let message = format!("address {} is in none of the policy's subnets", net.addr());
                    self.add(Code::FleetOutside, node, *at, None, message);
                }
            }
        }
    }
}
