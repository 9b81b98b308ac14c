//! The compared facts of one node: few, each with its place, so that a hundred thousand nodes fit in memory.

use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use crate::diagnostic::At;
use crate::model::{self, Desired, DesiredMac, Dynamic, Kind, Located, MacAddr, Place};
use crate::order::Order as _;

/// A place in one of a node's files.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    file: u16,
    line: u32,
    column: u32,
}

impl From<Place> for Spot {
    fn from(at: Place) -> Spot {
        Spot { file: at.file, line: at.line, column: at.column }
    }
}

/// The scope of an address, within which it must be unique: the VRF's table and the VLAN.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Domain {
    /// The table of its VRF.
    pub(super) vrf: Option<u32>,
    /// The VLAN's id, with outer VLANs above it; a VXLAN's number with the highest bit.
    pub(super) vlan: Option<u64>,
}

impl Domain {
    /// The VLAN for a person.
    pub(super) fn vlan_name(self) -> String {
        match self.vlan {
            None => "no VLAN".to_owned(),
            Some(vlan) if vlan & VXLAN != 0 => format!("VXLAN {}", vlan & !VXLAN),
            Some(vlan) if vlan >> 12 != 0 => format!("VLAN {} in {}", vlan & 0xfff, vlan >> 12),
            Some(vlan) => format!("VLAN {vlan}"),
        }
    }
}

const VXLAN: u64 = 1 << 63;

/// A link of a node.
#[derive(Clone, Debug)]
pub(super) struct FleetLink {
    pub(super) id: String,
    pub(super) at: Spot,
    pub(super) kind: Kind,
    pub(super) domain: Domain,
    /// Where its VLAN is written.
    pub(super) vlan_at: Spot,
    pub(super) mac: Option<(MacAddr, Spot)>,
    /// What identifies its NIC.
    pub(super) nic: Option<(MacAddr, Spot)>,
    /// MTU in bytes, and its place if it is written.
    pub(super) mtu: (u32, Option<Spot>),
    pub(super) members: u32,
    /// The bond that it is or is on top of.
    pub(super) bond: Option<usize>,
    /// The bond, bridge or VRF that it is in.
    pub(super) member_of: Option<usize>,
    pub(super) mode: Option<(String, Spot)>,
    pub(super) hash: Option<(String, Spot)>,
    pub(super) addresses: Vec<(IpNet, Spot)>,
    /// Next hops: whether of a default route, and where.
    pub(super) gateways: Vec<(IpAddr, bool, Spot)>,
    pub(super) dynamic: Vec<Dynamic>,
    /// A WireGuard private key, which is never shown.
    pub(super) key: Option<(u128, Spot)>,
}

/// The compared facts of a node.
#[derive(Clone, Debug)]
pub struct FleetNode {
    /// The file's path, and the name in a file with many.
    pub name: String,
    files: Vec<String>,
    pub(super) links: Vec<FleetLink>,
    pub(super) servers: Vec<(IpAddr, Spot)>,
    pub(super) host_name: Option<(String, Spot)>,
}

/// The MTU of a link that has none.
const DEFAULT_MTU: u32 = 1500;

impl FleetNode {
    /// The facts of a description. `files` are the names of its documents, by [`Place::file`]; `host_name` is the
    /// drive's, with the file and line.
    pub fn new(
        name: String,
        files: Vec<String>,
        desired: &Desired,
        host_name: Option<(String, String, u32)>,
    ) -> FleetNode {
        let mut node = FleetNode {
            name,
            files,
            links: Vec::with_capacity(desired.links.len()),
            servers: desired.resolver.servers.iter().map(located).collect(),
            host_name: None,
        };
        if let Some((host, file, line)) = host_name {
            let number = u16::try_from(node.files.len()).unwrap_or(u16::MAX);
            node.files.push(file);
            node.host_name = Some((host, Spot { file: number, line, column: 1 }));
        }
        let graph = Graph::new(desired);
        for (index, link) in desired.links.iter().enumerate() {
            node.links.push(graph.facts(index, link));
            node.servers.extend(link.resolver.servers.iter().map(located));
        }
        node.servers.order();
        node.servers.dedup_by_key(|(ip, _)| *ip);
        node
    }

    /// The MAC addresses of its NICs, and where they are.
    pub(super) fn nics(&self) -> impl Iterator<Item = (MacAddr, Spot)> {
        self.links.iter().filter(|link| link.kind == Kind::Physical).filter_map(|link| link.nic)
    }

    /// A place for a person.
    pub(super) fn at(&self, spot: Spot) -> At {
        let file = self.files.get(usize::from(spot.file)).cloned().unwrap_or_else(|| self.name.clone());
        At { file, line: spot.line, column: spot.column, path: String::new() }
    }
}

fn located<T: Copy>(located: &Located<T>) -> (T, Spot) {
    (located.value, located.at.into())
}

/// The links in dependency order.
struct Graph<'a> {
    links: &'a [model::Link],
    by_id: HashMap<&'a str, usize>,
    /// The controller of each link.
    above: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    fn new(desired: &'a Desired) -> Graph<'a> {
        let links = &desired.links[..];
        let by_id = links.iter().enumerate().map(|(index, link)| (link.id.as_str(), index)).collect();
        let mut above = HashMap::default();
        for (index, link) in links.iter().enumerate() {
            above.extend(link.members.iter().map(|member| (member.value.as_str(), index)));
        }
        Graph { links, by_id, above }
    }

    fn below(&self, link: &'a model::Link) -> impl Iterator<Item = (usize, &'a model::Link)> {
        let ids = link.parent.iter().chain(link.members.iter().filter(|_| link.kind != Kind::Vrf));
        let found = ids.filter_map(|id| self.by_id.get(id.value.as_str()).copied());
        let links = self.links;
        found.filter_map(move |index| Some((index, links.get(index)?))).collect::<Vec<_>>().into_iter()
    }

    fn facts(&self, index: usize, link: &'a model::Link) -> FleetLink {
        let (vlan, vlan_at) = self.vlan(link, 0);
        let table = self.above.get(link.id.as_str()).and_then(|above| self.links.get(*above));
        let vrf = std::iter::once(link).chain(table).find(|link| link.kind == Kind::Vrf);
        let mac = match link.mac {
            Some(Located { value: DesiredMac::Is(mac), at }) => Some((mac, at.into())),
            _ => link.select.mac.as_ref().map(located),
        };
        let word = |name: &str| {
            let at = link.settings.0.get(name)?.at;
            Some((link.settings.word(name)?.to_owned(), at.into()))
        };
        let is_bond = link.kind == Kind::Bond;
        let gateways = link.routes.iter().filter(|route| route.table.is_none() || vrf.is_some());
        let key = link.wireguard.as_ref().and_then(|wireguard| wireguard.private_key.as_ref());
        FleetLink {
            id: link.id.clone(),
            at: link.at.into(),
            kind: link.kind,
            domain: Domain {
                vrf: vrf.and_then(|vrf| u32::try_from(vrf.settings.number("table")?).ok()),
                vlan,
            },
            vlan_at: vlan_at.map_or_else(|| link.at.into(), Spot::from),
            mac,
            nic: link.select.mac.as_ref().map(located),
            mtu: self.mtu(link, 0),
            members: link.members.len() as u32,
            bond: self.bond(index, 0),
            member_of: self.above.get(link.id.as_str()).copied(),
            mode: word("mode").filter(|_| is_bond),
            hash: word("xmit_hash_policy").filter(|_| is_bond),
            addresses: link.addresses.iter().map(|address| (address.net, address.at.into())).collect(),
            gateways: gateways
                .flat_map(|route| {
                    let more = route.more.iter().filter_map(|hop| hop.via);
                    let hops = route.via.into_iter().chain(more);
                    hops.map(|via| (via, route.is_default(), route.at.into()))
                })
                .collect(),
            dynamic: link.dynamic.iter().map(|dynamic| dynamic.value).collect(),
            // A path is the same on every node, but the key in the file is not.
            key: key
                .filter(|key| !key.value.starts_with('/'))
                .map(|key| (fingerprint(&key.value), key.at.into())),
        }
    }

    /// The VLAN of a link's frames, from the links below it.
    fn vlan(&self, link: &'a model::Link, level: usize) -> (Option<u64>, Option<Place>) {
        let at = || link.settings.0.get("id").map(|id| id.at);
        let id = || link.settings.number("id").and_then(|id| u64::try_from(id).ok());
        match link.kind {
            Kind::Vxlan => return (id().map(|id| id | VXLAN), at()),
            // A bond's members carry no VLAN of their own.
            _ if level > 16 || link.kind == Kind::Bond => return (None, None),
            _ => {}
        }
        let below = self.below(link).map(|(_, below)| self.vlan(below, level + 1));
        let outer = below.fold((None, None), |found, each| if found.0.is_some() { found } else { each });
        match link.kind {
            Kind::Vlan => (id().map(|id| id | outer.0.unwrap_or(0) << 12), at()),
            _ => outer,
        }
    }

    /// The effective MTU of a link: its own, else that of the links below, the smallest first.
    fn mtu(&self, link: &'a model::Link, level: usize) -> (u32, Option<Spot>) {
        match &link.mtu {
            Some(mtu) => (mtu.value.get(), Some(mtu.at.into())),
            None if level > 16 || matches!(link.kind, Kind::Vxlan | Kind::Wireguard) => (DEFAULT_MTU, None),
            None => {
                let below = self.below(link).map(|(_, below)| self.mtu(below, level + 1));
                below.min_by_key(|(mtu, _)| *mtu).unwrap_or((DEFAULT_MTU, None))
            }
        }
    }

    fn bond(&self, index: usize, level: usize) -> Option<usize> {
        let link = self.links.get(index)?;
        if link.kind == Kind::Bond {
            return Some(index);
        }
        self.below(link).filter(|_| level < 16).find_map(|(index, _)| self.bond(index, level + 1))
    }
}

/// FNV-1a of 128 bits: keys are compared and not kept.
fn fingerprint(key: &str) -> u128 {
    key.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}
