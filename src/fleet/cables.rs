//! Where the cables of booted nodes lead, by what the switches announced (`netapply inventory --lldp`): two nodes whose
//! cables are swapped, and a NIC or a switch port that differs from its siblings. Entry: [`cables`].

use std::collections::{BTreeMap, BTreeSet};

use super::Code;
use super::count::{Counted, count};
use crate::inventory::Lldp;
use crate::order::Few as _;

/// How many nodes show a rule.
const ENOUGH: usize = 5;

/// A NIC of a node and the switch port at the other end of its cable.
#[derive(Copy, Clone, Debug)]
pub(super) struct Cable<'a> {
    /// The node's index and name.
    pub(super) node: (usize, &'a str),
    /// The NIC's name on its machine.
    pub(super) nic: &'a str,
    /// The port.
    pub(super) port: &'a Lldp,
}

impl Cable<'_> {
    fn place(&self) -> String {
        format!("port {} of {}", self.port.port, self.port.switch)
    }

    /// The VLANs of its port, if they are announced.
    fn vlans(&self) -> Option<(Option<u16>, BTreeSet<u16>)> {
        let vlans = (self.port.pvid, self.port.vlans.iter().copied().few::<BTreeSet<u16>>());
        Some(vlans).filter(|(pvid, vlans)| pvid.is_some() || !vlans.is_empty())
    }

    /// The VLANs in words.
    fn vlan_words(&self) -> String {
        let (pvid, vlans) = self.vlans().unwrap_or_default();
        let untagged = pvid.map(|vlan| format!("untagged VLAN {vlan}"));
        let list: Vec<String> = vlans.iter().map(u16::to_string).collect();
        let all = (!list.is_empty()).then(|| format!("VLANs {}", list.join(", ")));
        untagged.into_iter().chain(all).collect::<Vec<_>>().join(" and ")
    }
}

/// A fault: the cable that it is reported for, and another one.
pub(super) struct Odd {
    pub(super) code: Code,
    pub(super) cable: usize,
    pub(super) other: usize,
    pub(super) message: String,
}

/// Finds the faults among the cables, which are in the order of the nodes.
pub(super) fn cables(all: &[Cable<'_>]) -> Vec<Odd> {
    let mut found = Vec::new();
    let mut nodes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, cable) in all.iter().enumerate() {
        nodes.entry(cable.node.0).or_default().push(index);
    }
    // Nodes with the same NICs at the same switches: usually those of a rack.
    let mut racks: BTreeMap<Vec<&str>, Vec<Vec<usize>>> = BTreeMap::new();
    for of_node in nodes.into_values() {
        let nics = of_node.iter().map(|index| all[*index].nic);
        let switches: BTreeSet<&str> = of_node.iter().map(|index| all[*index].port.switch.as_str()).few();
        racks.entry(nics.chain(switches).collect()).or_default().push(of_node);
    }
    // Nodes that are reported, once each.
    let mut told: BTreeSet<usize> = BTreeSet::new();
    for rack in racks.values() {
        crossed(all, rack, &mut told, &mut found);
        let aligned = |of_node: &&Vec<usize>| of_node.len() > 1 && number_of(all, of_node).is_some();
        let odd: Vec<&Vec<usize>> = rack.iter().filter(|of_node| !aligned(of_node)).collect();
        if rack.len() >= ENOUGH && few(odd.len(), rack.len()) {
            let numbers = |of_node: &[usize]| -> Vec<Option<u64>> {
                of_node.iter().map(|index| last_number(&all[*index].port.port)).collect()
            };
            // Both have two numbers, the same ones, and no NIC has the same on both.
            swapped(all, &odd, &mut told, &mut found, |one, other| {
                let (one, other) = (numbers(one), numbers(other));
                let both: BTreeSet<Option<u64>> = one.iter().copied().few();
                let differ = one.iter().zip(&other).all(|(a, b)| a != b && both.contains(b));
                both.len() == 2 && differ
            });
        }
    }
    let mut groups: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (index, cable) in all.iter().enumerate() {
        groups.entry((cable.nic, &cable.port.switch)).or_default().push(index);
    }
    for group in groups.values() {
        in_order(all, group, &mut told, &mut found);
        let vlans = group.iter().filter_map(|index| Some((all[*index].vlans()?, *index)));
        let message = |cable: &Cable<'_>, most: &Cable<'_>, others: usize| {
            format!(
                "{} is on {} with {}; {others} others there have {}",
                cable.nic,
                cable.place(),
                cable.vlan_words(),
                most.vlan_words()
            )
        };
        odd_ones(all, count(vlans), message, &mut |_| true, &mut found);
    }
    found
}

/// Whether these are few of all.
fn few(odd: usize, all: usize) -> bool {
    odd <= 2.max(all / 10)
}

/// The number that the ports of all of a node's NICs have, if it is one.
fn number_of(all: &[Cable<'_>], of_node: &[usize]) -> Option<u64> {
    let mut numbers = of_node.iter().map(|index| last_number(&all[*index].port.port));
    let first = numbers.next()??;
    numbers.all(|number| number == Some(first)).then_some(first)
}

/// The last number in a name: 12 in `Ethernet1/12`, 7 in `node07`.
fn last_number(name: &str) -> Option<u64> {
    let end = name.trim_end_matches(|c: char| !c.is_ascii_digit());
    let digits = end.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    end.get(digits..)?.parse().ok()
}

/// Adds each value that differs from that of nearly all.
fn odd_ones(
    all: &[Cable<'_>],
    counted: Option<Counted<usize>>,
    message: impl Fn(&Cable<'_>, &Cable<'_>, usize) -> String,
    is_new: &mut dyn FnMut(usize) -> bool,
    found: &mut Vec<Odd>,
) {
    let Some(counted) = counted else { return };
    let odd: Vec<usize> = counted.others.iter().flatten().copied().collect();
    let (most, example) = counted.most;
    if !counted.is_clear(odd.len()) {
        return;
    }
    for cable in odd {
        if is_new(all[cable].node.0) {
            let message = message(&all[cable], &all[example], most);
            found.push(Odd { code: Code::FleetSwitchPort, cable, other: example, message });
        }
    }
}

/// A node whose own cables are crossed: a NIC is on the switch of another of its NICs.
fn crossed(all: &[Cable<'_>], rack: &[Vec<usize>], told: &mut BTreeSet<usize>, found: &mut Vec<Odd>) {
    for place in 0..rack[0].len() {
        let switches = rack.iter().map(|of_node| (all[of_node[place]].port.switch.as_str(), of_node[place]));
        let message = |cable: &Cable<'_>, most: &Cable<'_>, others: usize| {
            format!(
                "{} is on {}; on {others} others with the same switches it is on {}",
                cable.nic,
                cable.place(),
                most.port.switch
            )
        };
        odd_ones(all, count(switches), message, &mut |node| told.insert(node), found);
    }
}

/// Adds pairs of nodes for which `is_pair` holds.
fn swapped(
    all: &[Cable<'_>],
    odd: &[&Vec<usize>],
    told: &mut BTreeSet<usize>,
    found: &mut Vec<Odd>,
    is_pair: impl Fn(&[usize], &[usize]) -> bool,
) {
    for (number, one) in odd.iter().enumerate() {
        for other in odd.iter().skip(number + 1) {
            let nodes = [one, other].map(|of_node| all[of_node[0]].node.0);
            if nodes.iter().any(|node| told.contains(node)) || !is_pair(one, other) {
                continue;
            }
            told.extend(nodes);
            // The last NIC whose ports differ: which of the cables was moved cannot be seen.
            let places = one.iter().zip(other.iter()).rev();
            let mut differ = places.filter(|(a, b)| all[**a].port.port != all[**b].port.port);
            let Some((&left, &right)) = differ.next() else { continue };
            let (a, b) = (&all[left], &all[right]);
            let message = format!(
                "the cables of {} and {} are swapped: {} is on {} here, and on {} there",
                a.node.1,
                b.node.1,
                a.nic,
                a.place(),
                b.place()
            );
            found.push(Odd { code: Code::FleetCablesSwapped, cable: right, other: left, message });
        }
    }
}

/// Nodes of one switch whose ports have the order of their names, except for two that have each other's.
fn in_order(all: &[Cable<'_>], group: &[usize], told: &mut BTreeSet<usize>, found: &mut Vec<Odd>) {
    let numbers = |index: usize| -> Option<(i64, i64)> {
        let cable = &all[index];
        let (port, node) = (last_number(&cable.port.port)?, last_number(cable.node.1)?);
        Some((i64::try_from(port).ok()?, i64::try_from(node).ok()?))
    };
    let offsets = group.iter().filter_map(|index| Some((numbers(*index)?, *index)));
    let Some(counted) = count(offsets.map(|((port, node), index)| (port - node, index))) else { return };
    let odd: Vec<Vec<usize>> = counted.others.iter().flatten().map(|index| vec![*index]).collect();
    let Some((port, node)) = numbers(counted.most.1) else { return };
    if counted.all < ENOUGH || !few(odd.len(), counted.all) || counted.most.0 < 3 {
        return;
    }
    let offset = port - node;
    let odd: Vec<&Vec<usize>> = odd.iter().collect();
    swapped(all, &odd, told, found, |one, other| match (numbers(one[0]), numbers(other[0])) {
        (Some((port, node)), Some((others_port, others_node))) => {
            port - offset == others_node && others_port - offset == node
        }
        _ => false,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings for nodes with two NICs, each with switch and port.
    fn found(nodes: &[[(&str, String); 2]], vlans: impl Fn(usize) -> Vec<u16>) -> Vec<String> {
        let names: Vec<String> = (0..nodes.len()).map(|number| format!("node{number:02}")).collect();
        let port = |number: usize, (switch, port): &(&str, String)| Lldp {
            switch: (*switch).to_owned(),
            port: port.clone(),
            pvid: Some(1),
            vlans: vlans(number),
        };
        let ports: Vec<Lldp> = nodes
            .iter()
            .enumerate()
            .flat_map(|(number, nics)| nics.each_ref().map(|nic| port(number, nic)))
            .collect();
        let cables: Vec<Cable<'_>> = ports
            .iter()
            .enumerate()
            .map(|(index, port)| Cable {
                node: (index / 2, &names[index / 2]),
                nic: ["eno1", "eno2"][index % 2],
                port,
            })
            .collect();
        cables_found(&cables)
    }

    fn cables_found(all: &[Cable<'_>]) -> Vec<String> {
        super::cables(all).into_iter().map(|odd| format!("{} {}", odd.code.text(), odd.message)).collect()
    }

    fn rack(swap: impl Fn(usize, usize) -> usize) -> Vec<[(&'static str, String); 2]> {
        let port = |number: usize, nic: usize| format!("Ethernet{}", swap(number, nic) + 10);
        (0..12).map(|number| [("leaf1", port(number, 0)), ("leaf2", port(number, 1))]).collect()
    }

    #[test]
    fn swapped_cables_crossed_ones_and_odd_ports_are_found_once() {
        let same = |_| vec![100, 200];
        let straight = |number: usize, _: usize| number;
        assert_eq!(found(&rack(straight), same), Vec::<String>::new());
        // One NIC's cables of two nodes: by the other NIC's ports, whatever the nodes are called.
        let one = |number: usize, nic: usize| match (number, nic) {
            (3, 1) => 7,
            (7, 1) => 3,
            _ => number,
        };
        let expected = "fleet-cables-swapped the cables of node03 and node07 are swapped: eno2 is on port Ethernet17 of leaf2 here, and on port Ethernet13 of leaf2 there";
        assert_eq!(found(&rack(one), same), [expected]);
        // All cables of two nodes: by the order of the names.
        let both = |number: usize, _: usize| match number {
            3 => 7,
            7 => 3,
            _ => number,
        };
        let all = found(&rack(both), same);
        assert!(all.len() == 1 && all[0].contains("node03 and node07 are swapped"), "{all:?}");
        // Ports without an order.
        assert_eq!(found(&rack(|number, _| number * 7 % 12), same), Vec::<String>::new());
        // The cables of one node.
        let mut crossed = rack(straight);
        crossed[5].reverse();
        let all = found(&crossed, same);
        assert_eq!(
            all,
            [
                "fleet-switch-port eno1 is on port Ethernet15 of leaf2; on 11 others with the same switches it is on leaf1"
            ]
        );
        // A port that lacks a VLAN.
        let all = found(&rack(straight), |number| if number == 4 { vec![100] } else { vec![100, 200] });
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].starts_with("fleet-switch-port eno1 is on port Ethernet14 of leaf1 with untagged VLAN 1 and VLANs 100; 11 others"), "{all:?}");
    }

    #[test]
    fn the_last_number_of_a_name() {
        let of = ["Ethernet1/12", "node07", "swp3s1", "n12.example", "leaf"].map(last_number);
        assert_eq!(of, [Some(12), Some(7), Some(1), Some(12), None]);
    }
}
