//! What is at the other ends of the wires: ports, LAGs, and the hosts that answer in each segment. Pure.
//! [`Switch::ideal`] is whatever a description needs in order to work.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::inventory::Lldp;
use crate::lease::ra::message::Advertisement;
use crate::model::{BondMode, Desired, Kind, Link, needs_zone};
use crate::order::Few as _;
use crate::resolve::{Resolved, ResolvedLink};
use crate::verify::input::Target;

/// The complete other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// A port for each NIC, by its name when the rehearsal begins.
    pub ports: BTreeMap<String, Port>,
    /// Ports that form one link, by a name of ours.
    pub lags: BTreeMap<String, Lag>,
    /// Which hosts answer where.
    pub segments: Vec<Segment>,
    /// Addresses behind the routers of all segments: name servers and targets that are in no described subnet.
    pub beyond: BTreeSet<IpAddr>,
    /// Addresses that answer DNS queries.
    pub name_servers: BTreeSet<IpAddr>,
    /// The only names that the name servers know, with their addresses; without it every name has the server's own.
    pub names: Option<BTreeMap<String, BTreeSet<IpAddr>>>,
    /// TCP ports that answer, at any of the addresses.
    pub services: BTreeSet<(u16, PortService)>,
}

/// A port of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The largest packet that it passes, in bytes.
    pub mtu: u32,
    /// It is connected.
    pub up: bool,
    /// What it announces by LLDP.
    pub lldp: Option<Lldp>,
}

impl Default for Port {
    fn default() -> Self {
        Port { mtu: LARGEST_MTU, up: true, lldp: None }
    }
}

/// The largest MTU of a veth, in bytes (`ETH_MAX_MTU`).
pub const LARGEST_MTU: u32 = 65535;

/// A link aggregation group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// It speaks LACP; else it is static. Without a partner it carries no frames, as most switches do.
    pub lacp: bool,
    /// The NICs on its ports.
    pub ports: Vec<String>,
}

/// Where frames leave the switch: a port, by its NIC, or a LAG.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trunk {
    /// A port.
    Port(String),
    /// A LAG.
    Lag(String),
}

/// Frames of a trunk: those with these VLAN tags, the outermost first; untagged ones if there is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// Where they leave.
    pub trunk: Trunk,
    /// Their tags.
    pub tags: Vec<Tag>,
}

/// A VLAN tag.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// The VLAN.
    pub vid: u16,
    /// It is a service tag (802.1ad); else a customer tag (802.1Q).
    pub service: bool,
}

/// Hosts that share a broadcast domain with the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Where the machine is attached to it; several are joined.
    pub attachments: BTreeSet<Attachment>,
    /// The addresses that answer, each with its subnet's prefix length.
    pub hosts: BTreeSet<IpNet>,
    /// What can be reached through it and is in no host's subnet: addresses of the machine.
    pub behind: BTreeSet<IpNet>,
    /// Its DHCP servers.
    pub dhcp: Vec<DhcpServer>,
    /// Its DHCPv6 server.
    pub dhcp6: Option<Dhcp6Server>,
    /// What its router advertises.
    pub advertised: Option<Advertisement>,
    /// What is behind the routers has no route back to its subnets.
    pub no_way_back: bool,
    /// The switch runs STP, so that a port forwards only after some time.
    pub stp: bool,
    /// Its hosts send broadcasts now and then, as those of a real one do.
    pub chatter: bool,
    /// A link to another router, whose hosts these are.
    pub uplink: Option<String>,
}

/// A DHCPv4 server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpServer {
    /// Its own address, with the subnet's prefix length.
    pub server: Ipv4Net,
    /// The addresses that it gives out.
    pub range: Range<Ipv4Addr>,
    /// The router that it names.
    pub router: Option<Ipv4Addr>,
    /// The name servers that it names.
    pub name_servers: Vec<Ipv4Addr>,
}

/// A DHCPv6 server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp6Server {
    /// The addresses that it gives out.
    pub range: Range<Ipv6Addr>,
    /// The name servers that it names.
    pub name_servers: Vec<Ipv6Addr>,
}

/// The addresses that a server gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range<A> {
    /// The first one; each further client gets the next one.
    pub first: A,
    /// The last one.
    pub last: A,
    /// How long a lease lasts, in seconds.
    pub lifetime: u32,
    /// How requests are answered.
    pub requests: Requests,
}

/// How a server answers requests.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Requests {
    /// It grants them.
    Grant,
    /// It refuses them.
    Refuse,
    /// It offers addresses, and then keeps silent.
    Ignore,
}

/// How a TCP port answers.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortService {
    /// It accepts the connection.
    Accept,
    /// HTTP with this status.
    Http(u16),
    /// A TLS alert.
    Tls,
    /// Not at all, as if a firewall dropped the packets.
    Silent,
}

impl Switch {
    /// What a description needs to work: each NIC is plugged in, bonds have partners, gateways, name servers and
    /// targets answer. NICs that are not in one bond share no segment.
    pub fn ideal(nics: &[String], desired: &Desired, resolved: &Resolved, targets: &[Target]) -> Switch {
        let mut switch = Switch {
            ports: nics.iter().map(|nic| (nic.clone(), Port::default())).few(),
            ..Switch::default()
        };
        let grounds = Grounds::of(resolved);
        for link in &resolved.links {
            switch.lags.extend(grounds.lag(link).map(|lag| (link.name.clone(), lag)));
        }
        for link in &resolved.links {
            let gateways = gateways(link, desired, resolved);
            let subnets: Vec<IpNet> = link.desired.addresses.iter().map(|address| address.net).collect();
            let attachments = grounds.under(link);
            if attachments.is_empty() || subnets.is_empty() && gateways.is_empty() {
                continue;
            }
            let segment = switch.segment(attachments);
            segment
                .hosts
                .extend(gateways.iter().map(|ip| in_subnet(*ip, &subnets).unwrap_or(IpNet::from(*ip))));
            segment.behind.extend(subnets.iter().map(IpNet::trunc));
        }
        switch.serve(resolved, targets);
        switch
    }

    /// The segment of these attachments, created if there is none.
    pub fn segment(&mut self, attachments: BTreeSet<Attachment>) -> &mut Segment {
        let at = self.segments.iter().position(|segment| segment.attachments == attachments);
        let at = at.unwrap_or_else(|| {
            self.segments.push(Segment { attachments, ..Segment::default() });
            self.segments.len() - 1
        });
        &mut self.segments[at]
    }

    /// Takes out the segments whose subnets overlap those of others, as in VRFs: no router can have both. Returns the
    /// routers that have them: each port of these is the other end of an `uplink` with that name.
    pub fn take_routers(&mut self) -> Vec<Switch> {
        let overlap = |one: &IpNet, other: &IpNet| one.contains(&other.addr()) || other.contains(&one.addr());
        let mut taken: Vec<BTreeSet<IpNet>> = vec![BTreeSet::new()];
        let mut routers: Vec<Switch> = Vec::new();
        let mut segments = std::mem::take(&mut self.segments);
        for (number, segment) in segments.iter_mut().enumerate() {
            let subnets = segment.hosts.iter().chain(&segment.behind).map(IpNet::trunc);
            let subnets: BTreeSet<IpNet> = subnets.filter(|net| !needs_zone(&net.addr())).few();
            let is_free =
                |known: &BTreeSet<IpNet>| !subnets.iter().any(|net| known.iter().any(|k| overlap(net, k)));
            let at = taken.iter().position(is_free).unwrap_or(taken.len());
            taken.resize_with(taken.len().max(at + 1), BTreeSet::new);
            taken[at].extend(subnets);
            let Some(at) = at.checked_sub(1) else { continue };
            let alike = || Switch { ports: BTreeMap::new(), lags: BTreeMap::new(), ..self.clone() };
            routers.resize_with(routers.len().max(at + 1), alike);
            let uplink = format!("up{number}");
            let own = Segment {
                attachments: segment.attachments.clone(),
                stp: segment.stp,
                uplink: Some(uplink.clone()),
                ..Segment::default()
            };
            let trunk = Trunk::Port(uplink.clone());
            let attachments = BTreeSet::from([Attachment { trunk, tags: Vec::new() }]);
            let moved = Segment { attachments, stp: false, ..std::mem::replace(segment, own) };
            routers[at].ports.insert(uplink, Port::default());
            routers[at].segments.push(moved);
        }
        self.segments = segments;
        routers
    }

    /// Adds the name servers and targets: in the segment whose subnet they are in, or beyond its router.
    pub fn serve(&mut self, resolved: &Resolved, targets: &[Target]) {
        let own: BTreeSet<IpAddr> = resolved
            .links
            .iter()
            .flat_map(|link| &link.desired.addresses)
            .map(|address| address.net.addr())
            .few();
        let servers = resolved.resolver.servers.iter().map(|server| server.value);
        self.name_servers = servers.filter(|ip| !own.contains(ip)).few();
        let named: Vec<IpAddr> = self.name_servers.iter().copied().collect();
        for ip in
            named.into_iter().chain(targets.iter().filter_map(Target::ip)).filter(|ip| !own.contains(ip))
        {
            // A link-local server is on the link of its zone in the description, or on the first one.
            if needs_zone(&ip) {
                let zone = resolved.resolver.zones.get(&ip);
                let links = resolved.links.iter().filter(|link| zone.is_none_or(|zone| *zone == link.name));
                let grounds = Grounds::of(resolved);
                let mut under = links.map(|link| grounds.under(link)).filter(|under| !under.is_empty());
                if let Some(attachments) = under.next() {
                    self.segment(attachments).hosts.insert(subnet_of_link_local(ip));
                }
                continue;
            }
            // Several NICs can be in its subnet.
            let mut is_near = false;
            for segment in &mut self.segments {
                let subnet = in_subnet(ip, segment.behind.iter());
                is_near |= subnet.is_some();
                segment.hosts.extend(subnet);
            }
            if !is_near {
                self.beyond.insert(ip);
            }
        }
        use crate::verify::input::Scheme;
        self.services = targets
            .iter()
            .filter_map(|target| match target.scheme {
                Scheme::Tcp => Some((target.port, PortService::Accept)),
                Scheme::Http => Some((target.port, PortService::Http(200))),
                Scheme::Https => Some((target.port, PortService::Tls)),
                Scheme::Ping => None,
            })
            .few();
    }
}

/// An address with the prefix length of the first subnet that has it.
fn in_subnet<'a>(ip: IpAddr, subnets: impl IntoIterator<Item = &'a IpNet>) -> Option<IpNet> {
    if needs_zone(&ip) {
        return Some(subnet_of_link_local(ip));
    }
    let subnet = subnets.into_iter().find(|net| net.contains(&ip))?;
    IpNet::new(ip, subnet.prefix_len()).ok()
}

fn subnet_of_link_local(ip: IpAddr) -> IpNet {
    let length = if ip.is_ipv4() { 16 } else { 64 };
    IpNet::new(ip, length).unwrap_or_else(|_| IpNet::from(ip))
}

/// The gateways of a link's routes, and of others' routes with a next hop on it. None of the machine's own addresses.
fn gateways(link: &ResolvedLink, desired: &Desired, resolved: &Resolved) -> BTreeSet<IpAddr> {
    let of_route = |on: &Link| -> Vec<IpAddr> {
        let routes = on.routes.iter();
        let hops = routes.flat_map(|route| {
            let own = route.via.filter(|_| on.id == link.desired.id);
            let more = route.more.iter().filter(|hop| {
                hop.link.as_ref().map_or(on.id == link.desired.id, |id| *id == link.desired.id)
            });
            own.into_iter().chain(more.filter_map(|hop| hop.via)).collect::<Vec<_>>()
        });
        hops.few()
    };
    let own = |ip: &IpAddr| {
        let mut addresses = resolved.links.iter().flat_map(|link| &link.desired.addresses);
        addresses.any(|address| address.net.addr() == *ip)
    };
    let unusable = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let all = desired.links.iter().flat_map(of_route);
    all.filter(|ip| !own(ip) && !unusable.contains(ip) && !ip.is_multicast()).few()
}

/// Which frames of which ports reach a link.
struct Grounds<'a>(BTreeMap<&'a str, &'a ResolvedLink>);

impl<'a> Grounds<'a> {
    fn of(resolved: &'a Resolved) -> Self {
        Grounds(resolved.links.iter().map(|link| (link.name.as_str(), link)).few())
    }

    /// The NICs among the members of a bond, by their current names.
    fn nics(&self, bond: &ResolvedLink) -> Vec<String> {
        let members = bond.members.iter().filter_map(|name| self.0.get(name.as_str()));
        members
            .filter(|link| link.desired.kind == Kind::Physical)
            .filter_map(|link| link.current.clone())
            .collect()
    }

    /// The LAG at the other end of a bond whose mode needs one.
    fn lag(&self, link: &ResolvedLink) -> Option<Lag> {
        if link.desired.kind != Kind::Bond {
            return None;
        }
        let lacp = match link.desired.settings.bond_mode().unwrap_or(BondMode::BalanceRr) {
            BondMode::Lacp => true,
            BondMode::BalanceRr | BondMode::BalanceXor | BondMode::Broadcast => false,
            BondMode::ActiveBackup | BondMode::BalanceTlb | BondMode::BalanceAlb => return None,
        };
        let ports = self.nics(link);
        (!ports.is_empty()).then_some(Lag { lacp, ports })
    }

    /// Empty for a link without a NIC below it, such as a tunnel.
    fn under(&self, link: &ResolvedLink) -> BTreeSet<Attachment> {
        self.below(link, 0)
    }

    fn below(&self, link: &ResolvedLink, depth: usize) -> BTreeSet<Attachment> {
        /// Deeper than any stack that the kernel allows (`MAX_NEST_DEV`).
        const DEEPEST: usize = 8;
        let parent = || link.parent.as_ref().and_then(|name| self.0.get(name.as_str()));
        let below = |link: &ResolvedLink| self.below(link, depth + 1);
        let untagged = |trunk| BTreeSet::from([Attachment { trunk, tags: Vec::new() }]);
        if depth > DEEPEST {
            return BTreeSet::new();
        }
        match link.desired.kind {
            Kind::Physical => link.current.clone().map(Trunk::Port).map(untagged).unwrap_or_default(),
            Kind::Bond => match self.lag(link) {
                Some(_) => untagged(Trunk::Lag(link.name.clone())),
                None => self.nics(link).into_iter().flat_map(|nic| untagged(Trunk::Port(nic))).few(),
            },
            Kind::Vlan => {
                let Some(vid) = link.desired.settings.number("id").and_then(|id| u16::try_from(id).ok())
                else {
                    return BTreeSet::new();
                };
                let service = link.desired.settings.word("protocol").is_some_and(|p| p.contains("ad"));
                let mut found = parent().map(|link| below(link)).unwrap_or_default();
                if let Some(parent) = parent().filter(|parent| self.passes_untagged(parent, vid)) {
                    return below(parent);
                }
                found = found
                    .into_iter()
                    .map(|Attachment { trunk, mut tags }| {
                        tags.push(Tag { vid, service });
                        Attachment { trunk, tags }
                    })
                    .few();
                found
            }
            Kind::Macvlan => parent().map(|link| below(link)).unwrap_or_default(),
            // One port is enough; several would be a loop.
            Kind::Bridge => {
                let ports = link.members.iter().filter_map(|name| self.0.get(name.as_str()));
                ports.map(|port| below(port)).find(|found| !found.is_empty()).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }

    /// A bridge with VLAN filtering, whose first port with a NIC has this VLAN untagged.
    fn passes_untagged(&self, link: &ResolvedLink, vid: u16) -> bool {
        let mut ports = link.members.iter().filter_map(|name| self.0.get(name.as_str()));
        let port = ports.find(|port| link.desired.kind == Kind::Bridge && !self.under(port).is_empty());
        let vlans = port.and_then(|port| port.desired.vlans.as_ref());
        vlans.into_iter().flatten().any(|vlan| {
            let vlan = vlan.value;
            vlan.untagged && (vlan.first..=vlan.last).contains(&vid)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of a port, with these subnets.
    fn segment(port: &str, subnets: &[&str]) -> Segment {
        let attachments = [Attachment { trunk: Trunk::Port(port.to_owned()), tags: Vec::new() }].into();
        let hosts = subnets.iter().map(|net| net.parse().unwrap()).collect();
        Segment { attachments, hosts, stp: true, ..Segment::default() }
    }

    #[test]
    fn overlapping_subnets_have_a_router_each() {
        let segments = [
            segment("a", &["10.0.0.1/24", "fe80::1/64"]),
            segment("b", &["10.0.0.1/16"]),
            segment("c", &["192.0.2.1/24", "fe80::1/64"]),
            segment("d", &["192.0.2.254/24"]),
            segment("e", &["10.0.0.9/32"]),
        ];
        let beyond = BTreeSet::from(["198.51.100.53".parse().unwrap()]);
        let mut switch = Switch { segments: segments.into(), beyond, ..Switch::default() };
        let before = switch.segments.clone();
        let routers = switch.take_routers();
        let hosts = |switch: &Switch| -> Vec<String> {
            let hosts = switch.segments.iter().flat_map(|segment| &segment.hosts);
            hosts.map(ToString::to_string).filter(|host| !host.contains(':')).collect()
        };
        assert_eq!(hosts(&switch), ["10.0.0.1/24", "192.0.2.1/24"]);
        let of_routers: Vec<_> = routers.iter().map(hosts).collect();
        assert_eq!(of_routers, [vec!["10.0.0.1/16", "192.0.2.254/24"], vec!["10.0.0.9/32"]]);
        // A wire leads from where the segment is to the router that has it, which lacks the switch's own ports.
        let uplinks: Vec<_> =
            switch.segments.iter().filter_map(|segment| segment.uplink.as_deref()).collect();
        assert_eq!(uplinks, ["up1", "up3", "up4"]);
        assert_eq!(routers[0].ports.keys().collect::<Vec<_>>(), ["up1", "up3"]);
        assert!(routers.iter().all(|router| router.beyond.len() == 1));
        for (segment, before) in switch.segments.iter().zip(&before) {
            assert_eq!((&segment.attachments, segment.stp), (&before.attachments, true));
        }
        assert!(routers.iter().flat_map(|router| &router.segments).all(|segment| !segment.stp));
    }
}
