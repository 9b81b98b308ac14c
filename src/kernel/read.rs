//! One read of the kernel's state: links, addresses, routes and rules become an [`Inventory`].
//!
//! Reads tolerantly: what cannot be decoded is skipped or listed, and the rest is kept. Changes
//! nothing and decides nothing. Entry function: [`inventory`].

mod files;
mod link;
mod network;

use std::net::Ipv6Addr;

use ipnet::IpNet;
use nix::errno::Errno;

use crate::inventory::{AddressEntry, Inventory, ObservedLink, RouteEntry, RuleEntry};
use crate::machine::Machine;
use crate::model::Kind;
use crate::order::Order as _;

use super::attributes;
use super::live::{self, Snapshot};
use super::names::Names;
use super::neighbour;
use super::newlink::{self, LinkMessage};
use super::session::{Failure, Session};
use super::wire::{NetlinkMessage, Request};

pub use files::link_settings;
pub(super) use network::{IFA_RT_PRIORITY, ROUTE_METRICS, RTA_EXPIRES, RTA_NH_ID, RTA_PREF, any_route};

const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;

/// Reads everything that a description is compared with, except offload features and what else ethtool sets, which is
/// read if a description names it.
pub async fn inventory(session: &mut Session) -> Result<Inventory, Failure> {
    Ok(inventory_and_moment(session).await?.0)
}

/// The same, and what else the messages contain about links and addresses.
pub async fn inventory_and_moment(session: &mut Session) -> Result<(Inventory, Snapshot), Failure> {
    let machine = session.machine().clone();
    let mut inventory =
        Inventory { version: 1, kernel: files::kernel_release(&machine), ..Inventory::default() };
    let (names, messages) = links(session, &mut inventory).await?;
    let mut moment = Snapshot { links: messages, addresses: Vec::new(), machine: machine.clone() };
    let request = Request::new(RTM_GETADDR, 0, &[0; 8]);
    let both = |frame: &NetlinkMessage<'_>| {
        Some((network::address(frame.payload, &names)?, live::decode_address(frame.payload)?))
    };
    (inventory.addresses, moment.addresses) = session.dump(&request, both).await?.items.into_iter().unzip();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut read = without_family(routes(session, family, &names).await)?;
        // The first list is taken as it is: it may have ten thousand.
        match inventory.routes.is_empty() {
            true => inventory.routes = read,
            false => inventory.routes.append(&mut read),
        }
        let read = without_family(rules(session, family).await)?;
        let leads = read.iter().any(|(_, leads)| *leads);
        if !leads && !read.is_empty() {
            inventory.no_main_rule.push(network::family(family));
        }
        inventory.rules.extend(read.into_iter().filter_map(|(rule, _)| rule));
    }
    inventory.sysctls = files::sysctls(&machine);
    inventory.routing_tables = files::routing_tables(&machine);
    inventory.machine_id_lasts = files::machine_id_lasts(&machine.machine_id());
    Ok((inventory, moment))
}

/// A kernel without IPv6 or without policy rules refuses the request; then there are none.
fn without_family<T>(read: Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    match read {
        Err(Failure::Refused(r)) if matches!(r.errno(), Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT) => {
            Ok(Vec::new())
        }
        read => read,
    }
}

/// How often the list of links is compared with /sys, while links keep coming.
const LOOKS: usize = 4;

/// Adds the links to the inventory; returns their names and messages.
async fn links(session: &mut Session, inventory: &mut Inventory) -> Result<(Names, Vec<Vec<u8>>), Failure> {
    let dump = session.dump(&newlink::all(), |frame| Some(frame.payload.to_vec())).await?;
    let mut payloads = dump.items;
    if !dump.consistent {
        inventory.undecoded.push("links came and went while the kernel listed them".to_owned());
    }
    let mut names = Names::default();
    for link in payloads.iter().filter_map(|payload| LinkMessage::new(payload)) {
        names.insert(link.index, &link.name);
    }
    let mut undecoded = Vec::new();
    for look in 1..=LOOKS {
        // With what udev says of the NICs, before the list is checked: where it has finished, it has renamed them.
        undecoded.clear();
        inventory.links = decoded(&payloads, &names, session.machine(), &mut undecoded);
        if look == LOOKS || !add_unlisted(session, &mut names, &mut payloads).await {
            break;
        }
    }
    inventory.undecoded.append(&mut undecoded);
    if inventory.links.iter().any(|link| link.kind.is(Kind::Bridge)) {
        bridge_vlans(session, &mut inventory.links).await?;
    }
    for link in inventory.links.iter_mut().filter(|link| link.kind.is(Kind::Vxlan)) {
        link.remotes = neighbour::far_ends(session, link.index).await?;
    }
    Ok((names, payloads))
}

/// Requests by name what /sys has and the list of links lacks, or has by an old name, and adds it to both; whether there
/// was any. If /sys shows another namespace, or the link has gone, there is no such link.
async fn add_unlisted(session: &mut Session, names: &mut Names, payloads: &mut Vec<Vec<u8>>) -> bool {
    let known = payloads.len();
    for missing in files::links(session.machine()) {
        if names.index(&missing).is_some() {
            continue;
        }
        let Some(reply) = session.request(&newlink::by_name(&missing)).await.ok().and_then(|ack| ack.reply)
        else {
            continue;
        };
        if let Some(link) = LinkMessage::new(&reply) {
            names.insert(link.index, &link.name);
            payloads.push(reply);
        }
    }
    payloads.len() > known
}

/// The links in messages, sorted by index. The last message about a link counts.
fn decoded(
    payloads: &[Vec<u8>],
    names: &Names,
    machine: &Machine,
    undecoded: &mut Vec<String>,
) -> Vec<ObservedLink> {
    let mut links = Vec::with_capacity(payloads.len());
    for payload in payloads {
        match LinkMessage::new(payload) {
            Some(message) => {
                let mut link = link::decode(&message, names, undecoded);
                files::complete(&mut link, machine);
                links.push(link);
            }
            None => undecoded.push("a link without index or name".to_owned()),
        }
    }
    links.order_by_key(|link| link.index);
    links.dedup_by(|later, earlier| {
        let is_same = later.index == earlier.index;
        if is_same {
            std::mem::swap(later, earlier);
        }
        is_same
    });
    links
}

/// The VLANs of bridges and of their ports, which come in messages of a family of their own.
async fn bridge_vlans(session: &mut Session, links: &mut [ObservedLink]) -> Result<(), Failure> {
    for (index, vlans) in
        session.dump(&newlink::bridges(), |frame| newlink::vlans(frame.payload)).await?.items
    {
        // Sorted by index.
        if let Ok(place) = links.binary_search_by_key(&index, |link| link.index) {
            links[place].vlans = Some(vlans);
        }
    }
    Ok(())
}

/// The addresses of all links.
pub async fn addresses(session: &mut Session, names: &Names) -> Result<Vec<AddressEntry>, Failure> {
    let request = Request::new(RTM_GETADDR, 0, &[0; 8]);
    let dump = session.dump(&request, |frame| network::address(frame.payload, names)).await?;
    Ok(dump.items)
}

/// The routes of a family (`AF_INET`, `AF_INET6`), without cached ones and the kernel's own in the table `local`.
pub(super) async fn routes(
    session: &mut Session,
    family: i32,
    names: &Names,
) -> Result<Vec<RouteEntry>, Failure> {
    let mut header = [0; 12];
    header[0] = family as u8;
    let request = Request::new(RTM_GETROUTE, 0, &header);
    let dump = session.dump(&request, |frame| network::route(frame.payload, names)).await?;
    let mut routes = dump.items;
    if family == libc::AF_INET6 {
        routes = network::apart(routes);
        name_makers(session, names, &mut routes).await?;
    }
    Ok(routes)
}

/// For how many multipath IPv6 routes the protocols are looked up, and how often per next hop.
const ASKED_GROUPS: usize = 64;
const ASKED_TIMES: usize = 12;

/// Looks up the protocols of IPv6 routes that the kernel shows as one multipath route, with the first protocol only. A
/// lookup returns that of the next hop which its flow takes (`rt6_fill_node`): enough destinations are looked up for
/// each to have its turn. If lookups lead elsewhere, all next hops get the first one's protocol.
async fn name_makers(session: &mut Session, names: &Names, routes: &mut [RouteEntry]) -> Result<(), Failure> {
    let joined = |a: &RouteEntry, b: &RouteEntry| {
        let key = |r: &RouteEntry| (r.to, r.table, r.metric, r.from);
        a.weight.is_some() && b.weight.is_some() && key(a) == key(b)
    };
    let groups = routes.chunk_by_mut(joined).filter(|group| group.len() > 1);
    for group in groups.take(ASKED_GROUPS) {
        let Some(IpNet::V6(to)) = group.first().map(|route| route.to) else { continue };
        let times = u32::try_from(group.len() * ASKED_TIMES).unwrap_or(u32::MAX).min(512);
        let asked: Vec<Request> = (0..times).map(|number| lookup(network::one_of(to, number))).collect();
        for answer in session.batch(&asked).await {
            let found = match answer {
                Ok(ack) => ack.reply.as_deref().and_then(|reply| any_route(reply, names)),
                Err(Failure::Refused(_)) => None,
                Err(failure) => return Err(failure),
            };
            let Some(found) = found else { continue };
            let is_it = |hop: &&mut RouteEntry| {
                let of = |r: &RouteEntry| (r.table, r.metric, r.via, r.link.clone());
                of(hop) == of(&found)
            };
            group.iter_mut().filter(is_it).for_each(|hop| hop.protocol = found.protocol);
        }
    }
    Ok(())
}

/// Looks up where a packet to that address goes.
fn lookup(to: Ipv6Addr) -> Request {
    let mut payload = vec![0; 12];
    (payload[0], payload[1]) = (libc::AF_INET6 as u8, 128);
    attributes::put(&mut payload, libc::RTA_DST, &to.octets());
    Request::new(RTM_GETROUTE, 0, &payload).question()
}

/// The rules of a family, without the kernel's own; for each, whether it leads all packets to the main table.
async fn rules(session: &mut Session, family: i32) -> Result<Vec<(Option<RuleEntry>, bool)>, Failure> {
    let mut header = [0; 12];
    header[0] = family as u8;
    let request = Request::new(RTM_GETRULE, 0, &header);
    let dump = session.dump(&request, |frame| network::rule(frame.payload)).await?;
    Ok(dump.items)
}

/// Whether a link has carrier (`IFF_LOWER_UP`); `None` if there is no such link.
pub(super) async fn has_carrier(session: &mut Session, name: &str) -> Option<bool> {
    let reply = session.request(&newlink::by_name(name)).await.ok()?.reply?;
    Some(LinkMessage::new(&reply)?.has(libc::IFF_LOWER_UP))
}

/// Whether a link is up as IPv6 sees it (`netif_oper_up`): a link of a kind without carrier is, once it is up; `None`
/// if there is no such link.
pub(super) async fn is_ready(session: &mut Session, name: &str) -> Option<bool> {
    let reply = session.request(&newlink::by_name(name)).await.ok()?.reply?;
    let state = LinkMessage::new(&reply)?.attributes.u8(libc::IFLA_OPERSTATE)?;
    Some(matches!(link::operstate_word(state), "up" | "unknown"))
}
