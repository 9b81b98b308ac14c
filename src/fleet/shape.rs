//! What must agree between nodes of one shape: the same links with the same addresses, whatever their names. If a
//! subnet of several nodes has been compared already, that counts.

use std::hash::Hash;

use foldhash::{HashMap, HashSet};

use super::count::count;
use super::node::{FleetLink, FleetNode, Spot};
use super::{Code, Fleet, Subnets};
use crate::model::{Dynamic, Family, Kind};
use crate::order::Order as _;

/// The parts of a link that nodes of one shape have in common: kind, members, IPv4 and IPv6 addresses, what is left to
/// clients.
type Form = (Kind, u32, usize, usize, Vec<Dynamic>);

/// How many nodes of a shape are a fleet.
const ENOUGH: usize = 5;
/// Of how many nodes one may be odd.
const RARE: usize = 50;

impl FleetLink {
    fn form(&self) -> Form {
        let v4 = self.addresses.iter().filter(|(net, _)| net.addr().is_ipv4()).count();
        (self.kind, self.members, v4, self.addresses.len() - v4, self.dynamic.clone())
    }

    /// Has the machine's own addresses, which others reach by routes.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(self.kind, Kind::Dummy | Kind::Vrf) || self.id == "lo"
    }
}

impl FleetNode {
    /// The name servers as one value, the place of the first, and as text.
    pub(super) fn servers_told(&self) -> Option<(Vec<std::net::IpAddr>, Spot, String)> {
        let value: Vec<_> = self.servers.iter().map(|(ip, _)| *ip).collect();
        let at = self.servers.iter().map(|(_, at)| *at).min().or_else(|| self.links.first().map(|l| l.at))?;
        let words: Vec<String> = value.iter().map(ToString::to_string).collect();
        let words = match words.len() {
            0 => "no name servers".to_owned(),
            1 => format!("name server {}", words[0]),
            _ => format!("name servers {}", words.join(", ")),
        };
        Some((value, at, words))
    }

    /// The link of a family's default route, by its form and its index among those: `None` without one.
    fn default_route(&self, family: Family) -> Option<(usize, Spot)> {
        self.links.iter().enumerate().find_map(|(index, link)| {
            let is_default = |(via, is_default, _): &&(std::net::IpAddr, bool, Spot)| {
                *is_default && Family::of(via) == family
            };
            link.gateways.iter().find(is_default).map(|(.., at)| (index, *at))
        })
    }

    /// Its links in one order, by form.
    fn sorted(&self) -> Vec<(Form, usize)> {
        let mut forms: Vec<_> =
            self.links.iter().enumerate().map(|(index, link)| (link.form(), index)).collect();
        forms.order();
        forms
    }
}

impl Fleet<'_> {
    pub(super) fn shapes(&mut self, subnets: &Subnets) {
        let nodes = self.nodes;
        // Links that have been compared with others in their subnet.
        let mut told: HashSet<(usize, usize)> = HashSet::default();
        for members in subnets.values() {
            if members.iter().any(|member| member.node != members[0].node) {
                told.extend(members.iter().map(|member| (member.node, member.link)));
            }
        }
        let mut shapes: HashMap<Vec<Form>, Vec<(usize, Vec<usize>)>> = HashMap::default();
        for (node, of) in nodes.iter().enumerate() {
            let (forms, order): (Vec<_>, Vec<_>) = of.sorted().into_iter().unzip();
            shapes.entry(forms).or_default().push((node, order));
        }
        let mut shapes: Vec<_> = shapes.into_values().filter(|nodes| nodes.len() >= ENOUGH).collect();
        shapes.order_by_key(|nodes| nodes[0].0);
        let bond = |(node, link): &(usize, usize)| Some((*node, nodes[*node].links[*link].bond?));
        let bonds: HashSet<(usize, usize)> = told.iter().filter_map(bond).collect();
        for shape in shapes {
            self.shape(&shape, &told, &bonds);
        }
    }

    /// Compares the nodes of one shape, each with its links in the shape's order. `told` are links that have been
    /// compared in their subnet, `bonds` those below such links.
    fn shape(
        &mut self,
        shape: &[(usize, Vec<usize>)],
        told: &HashSet<(usize, usize)>,
        bonds: &HashSet<(usize, usize)>,
    ) {
        let nodes = self.nodes;
        let places = shape[0].1.len();
        for place in 0..places {
            let link = |(node, order): &(usize, Vec<usize>)| {
                let index = *order.get(place)?;
                Some((*node, index, nodes[*node].links.get(index)?))
            };
            let is_told =
                |node: usize, index: usize| told.contains(&(node, index)) || bonds.contains(&(node, index));
            self.alike(Code::FleetMtu, shape, |of| {
                let (node, index, link) = link(of)?;
                let counts = !link.addresses.is_empty() && !is_told(node, index);
                let (mtu, at) = link.mtu;
                counts.then(|| (mtu, at.unwrap_or(link.at), format!("MTU {mtu}")))
            });
            for (name, default) in [("bond mode", "balance-rr"), ("hash policy", "layer2")] {
                self.alike(Code::FleetBond, shape, |of| {
                    let (node, index, link) = link(of)?;
                    let set = if name == "bond mode" { &link.mode } else { &link.hash };
                    let (word, at) = set.clone().unwrap_or_else(|| (default.to_owned(), link.at));
                    let counts = link.kind == Kind::Bond && !is_told(node, index);
                    counts.then(|| (word.clone(), at, format!("{name} {word}")))
                });
            }
        }
        self.alike(Code::FleetNameServers, shape, |(node, _)| {
            let node_told = nodes[*node].links.iter().enumerate().any(|(index, link)| {
                told.contains(&(*node, index)) && link.gateways.iter().any(|(_, default, _)| *default)
            });
            nodes[*node].servers_told().filter(|_| !node_told)
        });
        for family in [Family::V4, Family::V6] {
            self.default_routes(shape, family);
        }
    }

    /// A default route that is missing, or on another link than the others'.
    fn default_routes(&mut self, shape: &[(usize, Vec<usize>)], family: Family) {
        let nodes = self.nodes;
        self.alike(Code::FleetDefaultRoute, shape, |(node, order)| {
            let of = &nodes[*node];
            let Some((index, at)) = of.default_route(family) else {
                let at = of.links.iter().find(|link| !link.addresses.is_empty()).map_or_else(
                    || of.links.first().map(|link| link.at),
                    |link| link.addresses.first().map(|(_, at)| *at),
                )?;
                return Some((None, at, format!("no IPv{} default route", family.number())));
            };
            let place = order.iter().position(|link| *link == index);
            let link = &of.links[index];
            let words =
                format!("the IPv{} default route on {} {}", family.number(), link.kind.noun(), link.id);
            Some((place, at, words))
        });
    }

    /// Compares a value of all nodes of a shape; only a rare one is odd.
    fn alike<V: Eq + Hash>(
        &mut self,
        code: Code,
        shape: &[(usize, Vec<usize>)],
        value: impl Fn(&(usize, Vec<usize>)) -> Option<(V, Spot, String)>,
    ) {
        let values = shape.iter().enumerate().filter_map(|(i, of)| value(of).map(|(value, ..)| (value, i)));
        let Some(counted) = count(values) else { return };
        let (majority, first) = counted.most;
        let Some((_, there, theirs)) = value(&shape[first]) else { return };
        let first = shape[first].0;
        for owners in counted.others.iter().filter(|owners| owners.len() <= 1.max(counted.all / RARE)) {
            if counted.all < ENOUGH {
                continue;
            }
            for index in owners {
                let Some((_, at, own)) = value(&shape[*index]) else { continue };
                let message =
                    format!("{own}, where {majority} of {} nodes of this shape have {theirs}", counted.all);
                self.add(code, shape[*index].0, at, Some((first, there)), message);
            }
        }
    }
}
