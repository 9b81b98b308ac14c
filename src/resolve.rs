//! Desired and Inventory to [`Resolved`]: the only place where a MAC meets a NIC.
//!
//! Every link gets its desired name, and its current one if it exists. A name is never guessed: a missing NIC is
//! reported with the existing ones, and the links on top of it are left out ([`Missing::Report`]), or a stand-in is
//! shown for it ([`Missing::StandIn`], for a plan away from the machine). Entry: [`resolve`].

mod names;
mod nic;
mod tables;

use std::net::{IpAddr, Ipv4Addr};

use foldhash::{HashMap, HashSet};
use ipnet::Ipv4Net;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::inventory::Inventory;
use crate::model::{Activation, Desired, DesiredMac, Ipv6, Kind, Link, Located, Resolver, Rule};
use crate::order::Order as _;

pub use nic::MatchedBy;
pub use tables::numbered;

/// What to do about a missing NIC.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error; the links that need it are left out.
    Report,
    /// A placeholder NIC is used, with one note.
    StandIn,
}

/// The description resolved on this machine.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// In dependency order: NICs, then bonds, then their VLANs.
    pub links: Vec<ResolvedLink>,
    /// Ids of the links that are left out because several NICs match each.
    pub ambiguous: Vec<String>,
    /// What no NIC matches yet, but a later one may: `the MAC address 52:54:00:00:00:01 (link "a")`.
    pub unmatched: Vec<String>,
    /// Rules, including those given with links.
    pub rules: Vec<Rule>,
    /// Name servers and search domains, including those given with links.
    pub resolver: Resolver,
    /// Time servers of leases.
    pub time_servers: Vec<IpAddr>,
}

impl Resolved {
    /// The described links that exist, by their current names.
    pub fn present(&self) -> impl Iterator<Item = (&str, &Link)> {
        self.links.iter().filter_map(|link| Some((link.current.as_deref()?, &link.desired)))
    }
}

/// A link of the description on this machine. References are names in the kernel.
#[derive(Clone, Debug)]
pub struct ResolvedLink {
    /// The description. Its own references are still ids.
    pub desired: Link,
    /// Its desired name.
    pub name: String,
    /// Its current name; `None` if it has to be created.
    pub current: Option<String>,
    /// How its NIC was found; `None` for software links.
    pub matched: Option<MatchedBy>,
    /// It is a placeholder: this machine has no such NIC.
    pub stand_in: bool,
    /// Name of its parent.
    pub parent: Option<String>,
    /// Name of the other end of a veth pair.
    pub peer: Option<String>,
    /// Name and kind of its bond, bridge or VRF.
    pub controller: Option<(String, Kind)>,
    /// The table of its VRF, or its own if it is one.
    pub vrf_table: Option<u32>,
    /// Names of its members.
    pub members: Vec<String>,
    /// An alternative name to add.
    pub altname: Option<String>,
    /// netapply itself requests its IPv4 lease.
    pub lease: Option<Leased>,
    /// Who it is to DHCP servers, if a client of the image requests its lease and is told.
    pub identity: Option<DhcpIdentity>,
}

/// Who a link is to a DHCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpIdentity {
    /// Option 61 of DHCPv4.
    pub client_id: Vec<u8>,
    /// The DUID, with its type.
    pub duid: Vec<u8>,
    /// The IAID.
    pub iaid: u32,
    /// netapply had a lease with it, so that a client with another one gets a second address.
    pub leased: bool,
}

/// The state of a lease of netapply's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// It is in force, and what it gives is among the described addresses and routes.
    InForce(Vec<LeaseNote>),
    /// There is none.
    Missing(NoLease),
}

/// What is odd about a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseNote {
    /// Its server gives no default route.
    WithoutRouter {
        /// The server.
        server: Ipv4Addr,
    },
    /// Another server gives out another subnet on the same link.
    SecondServer {
        /// The one that was taken.
        server: Ipv4Addr,
        /// The other.
        other: Ipv4Addr,
        /// What the other offers.
        offers: Ipv4Net,
    },
}

/// Why a link lacks what it is to be given for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLease {
    /// What is missing: `DHCP lease`.
    pub what: &'static str,
    /// The kind of reason.
    pub reason: NoLeaseReason,
    /// The reason in words: a clause.
    pub why: String,
}

impl std::fmt::Display for NoLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

/// Kinds of reasons why nothing was given.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NoLeaseReason {
    /// Nothing was asked yet.
    Pending,
    /// The link carries nothing.
    NoCarrier,
    /// No server answers.
    Silence,
    /// A server refuses an address.
    Refused,
    /// Another machine uses the address.
    InUse,
    /// A server has no address to give.
    NoAddresses,
    /// A server offers an address, and then does not grant it.
    SilentAfterOffer,
    /// What a server sends cannot be used.
    Unusable,
    /// There was a lease, and nobody has renewed it.
    Expired,
    /// It was given up by hand, or the network asks for that.
    Released,
    /// No router answers.
    NoAdvertisement,
    /// A router says that there is DHCPv6, and no server answers.
    ManagedSilence,
}

impl Resolved {
    /// The link that will have this name.
    pub fn link(&self, name: &str) -> Option<&ResolvedLink> {
        self.links.iter().find(|l| l.name == name)
    }
}

/// Resolves a checked description on a machine.
pub fn resolve(desired: &Desired, inventory: &Inventory, missing: Missing) -> (Resolved, Vec<Diagnostic>) {
    let mut diags = Vec::new();
    let desired = &*numbered(desired, inventory, &mut diags);
    let nic::Matches { found, unmatched, ambiguous } = nic::find(desired, inventory, missing, &mut diags);
    let mut links = Vec::new();
    for link in &desired.links {
        match found.get(&link.id) {
            Some(nics) => links.extend(nics.iter().map(|nic| resolved_nic(link, nic))),
            None if link.kind == Kind::Physical => {}
            None => links.push(blank(link, String::new(), None)),
        }
    }
    let mut links = leave_out_links(links, &mut diags);
    names::give(&mut links, inventory, &mut diags);
    connect(&mut links);
    for link in &mut links {
        leave_out_ipv6(link, inventory, &mut diags);
        leave_out_routes(link, inventory, &mut diags);
    }
    emptied_controllers(&links, inventory, &mut diags);
    let links = foundations_first(links);
    let mut resolver = desired.resolver.clone();
    let mut rules = desired.rules.clone();
    for link in &links {
        let mut own = link.desired.resolver.clone();
        own.stand_on(&link.desired.id);
        resolver.merge(&own);
        rules.extend(link.desired.rules.iter().cloned());
    }
    let incoming = rules.iter_mut().filter_map(|rule| rule.iif.as_mut());
    for named in resolver.zones.values_mut().chain(incoming) {
        let is = |link: &&ResolvedLink| {
            [Some(&link.desired.id), link.current.as_ref(), Some(&link.name)].contains(&Some(&*named))
        };
        if let Some(name) = links.iter().find(is).map(|link| link.name.clone()) {
            *named = name;
        }
    }
    (Resolved { links, ambiguous, unmatched, rules, resolver, time_servers: Vec::new() }, diags)
}

/// A link with only its names so far.
pub(crate) fn blank(link: &Link, name: String, current: Option<String>) -> ResolvedLink {
    ResolvedLink {
        desired: link.clone(),
        name,
        current,
        matched: None,
        stand_in: false,
        parent: None,
        peer: None,
        controller: None,
        vrf_table: None,
        members: Vec::new(),
        altname: None,
        lease: None,
        identity: None,
    }
}

fn resolved_nic(link: &Link, nic: &nic::FoundNic) -> ResolvedLink {
    let current = (!nic.stand_in).then(|| nic.name.clone());
    let mut resolved = blank(link, nic.name.clone(), current);
    // Looked for by MAC address and found by name: it gets that address.
    let by_name = matches!(nic.by, nic::MatchedBy::Name(_)) && !link.select.otherwise.is_empty();
    if let Some(mac) = link.select.mac.filter(|_| by_name && link.mac.is_none()) {
        resolved.desired.mac = Some(Located::new(DesiredMac::Is(mac.value), mac.at));
    }
    ResolvedLink { matched: Some(nic.by.clone()), stand_in: nic.stand_in, ..resolved }
}

/// The kernel refuses routes through a link that is down, and netapply leaves some links down: their routes are added
/// by the run after the link was brought up.
fn leave_out_routes(link: &mut ResolvedLink, inventory: &Inventory, diags: &mut Vec<Diagnostic>) {
    let is_up = || link.current.as_deref().and_then(|name| inventory.link(name)).is_some_and(|l| l.up);
    let down = match link.desired.activation {
        Activation::Up => false,
        Activation::Manual => !is_up() && !matches!(link.controller, Some((_, Kind::Bond))),
        Activation::Off => true,
    };
    let Some(at) = link.desired.routes.iter().find(|r| down && !r.kind.is_linkless()).map(|r| r.at) else {
        return;
    };
    link.desired.routes.retain(|route| route.kind.is_linkless());
    let id = &link.desired.id;
    let message = format!(
        "the routes of \"{id}\" are left out: the link stays down, and the kernel accepts no routes through it"
    );
    diags.push(Diagnostic::new(Code::NoEffect, at, message).hint("once it is up, run netapply again"));
}

/// A kernel without IPv6 refuses its addresses and routes, and has none of its settings.
fn leave_out_ipv6(link: &mut ResolvedLink, inventory: &Inventory, diags: &mut Vec<Diagnostic>) {
    if inventory.has_ipv6() {
        return;
    }
    let Link { id, addresses, routes, ipv6, .. } = &mut link.desired;
    let of_addresses = addresses.iter().filter(|a| a.net.addr().is_ipv6()).map(|a| a.at);
    let of_routes = routes.iter().filter(|r| r.to.addr().is_ipv6()).map(|r| r.at);
    let first = of_addresses.chain(of_routes).next();
    addresses.retain(|address| address.net.addr().is_ipv4());
    routes.retain(|route| route.to.addr().is_ipv4());
    *ipv6 = Ipv6::default();
    if let Some(at) = first {
        let message =
            format!("the IPv6 addresses and routes of \"{id}\" are left out: this kernel has no IPv6");
        let hint = "boot it without ipv6.disable=1, or use a kernel with IPv6";
        diags.push(Diagnostic::new(Code::NoIpv6, at, message).hint(hint));
    }
}

/// Leaves out what needs a missing NIC: a VLAN without its parent, a bond without any member.
fn leave_out_links(mut links: Vec<ResolvedLink>, diags: &mut Vec<Diagnostic>) -> Vec<ResolvedLink> {
    loop {
        let there: HashSet<String> = links.iter().map(|l| l.desired.id.clone()).collect();
        let before = links.len();
        links.retain_mut(|link| {
            let described = link.desired.members.len();
            link.desired.members.retain(|m| there.contains(&m.value));
            let Link { id, at, kind, members, parent, peer, optional, .. } = &link.desired;
            let lost = parent.iter().chain(peer).find(|p| !there.contains(&p.value));
            let (code, message) = if let Some(lost) = lost {
                (
                    Code::LeftOut,
                    format!("{} \"{id}\" is left out: there is no \"{}\"", kind.noun(), lost.value),
                )
            } else if *kind == Kind::Bond && members.is_empty() && described > 0 {
                (Code::BondWithoutMembers, format!("bond \"{id}\" is left out: none of its members exist"))
            } else {
                return true;
            };
            let severity = if *optional { Severity::Warning } else { code.severity() };
            diags.push(Diagnostic::new(code, *at, message).severity(severity));
            false
        });
        if links.len() == before {
            return links;
        }
    }
}

/// Turns ids into names: parents, peers, members, and the controllers of members.
fn connect(links: &mut [ResolvedLink]) {
    let mut names: HashMap<String, Vec<String>> = HashMap::default();
    for link in links.iter() {
        names.entry(link.desired.id.clone()).or_default().push(link.name.clone());
    }
    let first = |id: &str| names.get(id).and_then(|n| n.first()).cloned();
    let mut controllers: HashMap<String, (String, Kind)> = HashMap::default();
    let mut tables: HashMap<String, u32> = HashMap::default();
    for link in links.iter_mut() {
        link.parent = link.desired.parent.as_ref().and_then(|p| first(&p.value));
        link.peer = link.desired.peer.as_ref().and_then(|p| first(&p.value));
        let members = link.desired.members.iter().filter_map(|m| names.get(&m.value)).flatten();
        link.members = members.cloned().collect();
        link.vrf_table = vrf_table(&link.desired);
        for member in &link.members {
            tables.extend(link.vrf_table.map(|table| (member.clone(), table)));
            controllers.insert(member.clone(), (link.name.clone(), link.desired.kind));
        }
        names::settings_by_name(&mut link.desired, &first);
    }
    for link in links.iter_mut() {
        link.controller = controllers.remove(&link.name);
        link.vrf_table = link.vrf_table.or(tables.get(&link.name).copied());
    }
}

/// Reports which undescribed bonds and bridges of the machine lose their last port: the plan sets them down.
fn emptied_controllers(links: &[ResolvedLink], inventory: &Inventory, diags: &mut Vec<Diagnostic>) {
    let current: HashMap<&str, &ResolvedLink> =
        links.iter().filter_map(|link| Some((link.current.as_deref()?, link))).collect();
    let leaves = |port: &str, controller: &str| {
        current
            .get(port)
            .is_some_and(|link| link.controller.as_ref().is_none_or(|(name, _)| name != controller))
    };
    let mut ports: HashMap<&str, Vec<&str>> = HashMap::default();
    for link in &inventory.links {
        if let Some(controller) = &link.controller {
            ports.entry(controller).or_default().push(&link.name);
        }
    }
    for controller in inventory.links.iter().filter(|l| l.up && !l.kind.is(Kind::Vrf)) {
        let name = controller.name.as_str();
        let ports = ports.get(name).map_or(&[][..], Vec::as_slice);
        let Some(first) = ports.first().and_then(|port| current.get(port)) else { continue };
        if !current.contains_key(name) && ports.iter().all(|port| leaves(port, name)) {
            let what = controller.kind.known().map_or("link", Kind::noun);
            let message =
                format!("{what} {name}, which is not described, loses its last port and is set down");
            diags.push(Diagnostic::new(Code::ControllerEmptied, first.desired.at, message));
        }
    }
}

fn vrf_table(link: &Link) -> Option<u32> {
    let table = link.settings.number("table").filter(|_| link.kind == Kind::Vrf)?;
    u32::try_from(table).ok()
}

/// Sorts by dependency, otherwise in file order.
pub(crate) fn foundations_first(links: Vec<ResolvedLink>) -> Vec<ResolvedLink> {
    let places: HashMap<&str, usize> =
        links.iter().enumerate().map(|(place, link)| (link.name.as_str(), place)).collect();
    let mut above = vec![Vec::new(); links.len()];
    let mut lacking = vec![0; links.len()];
    for (place, link) in links.iter().enumerate() {
        for foundation in link.members.iter().chain(&link.parent) {
            if let Some(&below) = places.get(foundation.as_str()) {
                above[below].push(place);
                lacking[place] += 1;
            }
        }
    }
    // A link described before one that it depends on waits for another pass over the description. The passes are
    // counted, not made: 10,000 VLANs, each on the next one, would be moved fifty million times.
    let mut passes = vec![0; links.len()];
    let mut ready: Vec<usize> = (0..links.len()).filter(|&place| lacking[place] == 0).collect();
    while let Some(below) = ready.pop() {
        for &place in &above[below] {
            passes[place] = passes[place].max(passes[below] + usize::from(below > place));
            lacking[place] -= 1;
            if lacking[place] == 0 {
                ready.push(place);
            }
        }
    }
    // The checks have removed cycles; if any is left, its links are kept at the end, in their order.
    let pass = |place: usize| if lacking[place] == 0 { passes[place] } else { usize::MAX };
    let mut order: Vec<_> = (0..links.len()).collect();
    order.order_by_key(|&place| pass(place));
    let mut links: Vec<_> = links.into_iter().map(Some).collect();
    order.into_iter().filter_map(|place| links[place].take()).collect()
}

#[cfg(test)]
mod tests;
