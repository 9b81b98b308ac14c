//! A step of the plan as one netlink request, with rtnetlink's builders and netlink-packet-route's types.
//!
//! Encodes the step and nothing else; sends nothing. Entry function: [`request`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::{DefaultNla, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeVlanInfoFlags, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkMessage, Prop,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{LinkBridgeVlan, LinkMessageBuilder, LinkUnspec};

use crate::inventory::{AddressEntry, NextHopEntry, RouteEntry, RuleEntry};
use crate::model::attribute::{self, Attribute, OptionValue};
use crate::model::{Family, PortVlan, Protocol};
use crate::plan::{Action, LinkChange, NewLink};

use super::attributes::Attributes;
use super::names::Names;
use super::neighbour;
use super::newlink::HEADER;
use super::read::{IFA_RT_PRIORITY, ROUTE_METRICS, RTA_EXPIRES, RTA_NH_ID, RTA_PREF};
use super::value::{self, Unencodable};
use super::wire::Request;

/// `RT_TABLE_UNSPEC`: the table's number is in an attribute, since the header has room for 255 only.
const TABLE_IN_ATTRIBUTE: u8 = 0;

/// linux/rtnetlink.h; missing from libc's list.
const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;

/// The request for `action`; `None` for a step that does not use rtnetlink.
pub(super) fn request(action: &Action, names: &Names) -> Result<Option<Request>, Unencodable> {
    let index = |name: &str| names.index(name).ok_or_else(|| Unencodable::NoLink(name.to_owned()));
    // Only what may come by the thousand is sent without acks.
    let request = match action {
        Action::AddLink(new) => add_link(new, names)?,
        Action::DeleteLink { name } => delete_link(index(name)?),
        Action::SetLink { name, change } => set_link(index(name)?, change, names)?,
        Action::AddAddress(entry) | Action::ReplaceAddress(entry) => {
            let message = address(entry, index(&entry.link)?);
            Request::from_message(libc::RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &message).quiet()
        }
        Action::DeleteAddress(entry) => {
            Request::from_message(libc::RTM_DELADDR, 0, &address(entry, index(&entry.link)?)).quiet()
        }
        Action::AddRoute(entry) => {
            Request::from_message(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route(entry, names)?)
                .quiet()
        }
        Action::AppendRoute(entry) => {
            Request::from_message(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, &route(entry, names)?)
                .quiet()
        }
        // Neither APPEND nor REPLACE: inserted before those with the same key (fib_table_insert).
        Action::PrependRoute(entry) => {
            Request::from_message(libc::RTM_NEWROUTE, NLM_F_CREATE, &route(entry, names)?).quiet()
        }
        Action::ReplaceRoute(entry) => {
            let message = route(entry, names)?;
            Request::from_message(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &message).quiet()
        }
        // With its protocol, so that another's route is not found.
        Action::DeleteRoute(entry) => {
            Request::from_message(libc::RTM_DELROUTE, 0, &route(entry, names)?).quiet()
        }
        Action::AddRule(entry) => {
            Request::from_message(libc::RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &rule(entry)).quiet()
        }
        Action::DeleteRule(entry) => Request::from_message(libc::RTM_DELRULE, 0, &rule(entry)).quiet(),
        Action::AwaitAddresses { .. }
        | Action::AwaitCarrier { .. }
        | Action::Sysctl { .. }
        | Action::StableSecret { .. }
        | Action::Wireguard { .. }
        | Action::Feature { .. }
        | Action::Tune { .. }
        | Action::WakeOnLan { .. }
        | Action::WriteFile { .. }
        | Action::RemoveFile { .. }
        | Action::PutBack { .. }
        | Action::Resolvconf { .. }
        | Action::Refresh(_)
        | Action::Manage { .. } => return Ok(None),
    };
    Ok(Some(request))
}

/// Creates a link.
fn add_link(new: &NewLink, names: &Names) -> Result<Request, Unencodable> {
    let mut link = described(new, names)?;
    if let Some(peer) = &new.peer {
        let peer = LinkUnspec::new_with_name(peer).build();
        link = link.set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
    }
    Ok(Request::from_message(libc::RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link.build()))
}

/// Makes a veth whose other end is in another network namespace.
pub(super) fn add_veth(new: &NewLink, peer: &str, namespace: BorrowedFd<'_>) -> Result<Request, Unencodable> {
    let peer = LinkUnspec::new_with_name(peer).setns_by_fd(namespace.as_raw_fd()).build();
    let link = described(new, &Names::default())?.set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
    Ok(Request::from_message(libc::RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link.build()))
}

/// Sets the options of an existing link of that name and kind to those of a new one.
pub(super) fn adopt_link(new: &NewLink, names: &Names) -> Result<Request, Unencodable> {
    Ok(Request::from_message(libc::RTM_NEWLINK, 0, &described(new, names)?.build()))
}

fn described(new: &NewLink, names: &Names) -> Result<LinkMessageBuilder<LinkUnspec>, Unencodable> {
    let kind = InfoKind::Other(new.kind.word().to_owned());
    let mut link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind).name(new.name.as_str());
    let mut settings = new.settings.clone();
    if let Some(parent) = &new.parent {
        // Tunnels and VXLAN have their parent among their options, the others in IFLA_LINK.
        if let Some(row) = attribute::of(new.kind, "dev") {
            settings.entry(row.name).or_insert_with(|| OptionValue::Text(parent.clone()));
        } else {
            link = link.link(names.index(parent).ok_or_else(|| Unencodable::NoLink(parent.clone()))?);
        }
    }
    if let Some(mac) = &new.mac {
        link = link.address(mac.as_bytes().to_vec());
    }
    if let Some(mtu) = new.mtu {
        link = link.mtu(mtu);
    }
    if !settings.is_empty() {
        link = link.set_info_data(InfoData::Other(options(new.kind.attributes(), &settings, names)?));
    }
    Ok(link)
}

/// Removes a link.
pub(super) fn delete_link(index: u32) -> Request {
    Request::from_message(libc::RTM_DELLINK, 0, &LinkUnspec::new_with_index(index).build())
}

fn set_link(index: u32, change: &LinkChange, names: &Names) -> Result<Request, Unencodable> {
    let link = LinkUnspec::new_with_index(index);
    let inet6 = |spec| LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![spec])]);
    let link = match change {
        LinkChange::Up => link.up(),
        LinkChange::Down => link.down(),
        LinkChange::Rename(name) => link.name(name.as_str()),
        LinkChange::AddAltName(name) | LinkChange::DeleteAltName(name) => {
            let property = LinkAttribute::PropList(vec![Prop::AltIfName(name.clone())]);
            let message = link.append_extra_attribute(property).build();
            return Ok(match change {
                LinkChange::DeleteAltName(_) => Request::from_message(RTM_DELLINKPROP, 0, &message),
                _ => {
                    let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND;
                    Request::from_message(RTM_NEWLINKPROP, flags, &message)
                }
            });
        }
        LinkChange::Mac(mac) => link.address(mac.as_bytes().to_vec()),
        LinkChange::Mtu(mtu) => link.mtu(*mtu),
        LinkChange::Controller(name) => {
            link.controller(names.index(name).ok_or_else(|| Unencodable::NoLink(name.clone()))?)
        }
        LinkChange::NoController => link.nocontroller(),
        LinkChange::Options { kind, settings } => {
            let data = InfoData::Other(options(kind.attributes(), settings, names)?);
            let kind = InfoKind::Other(kind.options_word().to_owned());
            let builder = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind);
            builder.index(index).set_info_data(data)
        }
        LinkChange::PortOptions { kind, settings } => {
            let data = options(kind.port_attributes(), settings, names)?;
            link.set_port_kind(InfoPortKind::Other(kind.word().to_owned()))
                .set_port_data(InfoPortData::Other(data))
        }
        LinkChange::AddVlan { vlan, own } => {
            return Ok(Request::from_message(libc::RTM_SETLINK, 0, &bridge_vlan(index, *vlan, *own)));
        }
        LinkChange::DeleteVlan { vlan, own } => {
            return Ok(Request::from_message(libc::RTM_DELLINK, 0, &bridge_vlan(index, *vlan, *own)));
        }
        LinkChange::AddRemote(ip) => {
            return Ok(neighbour::far_end(index, *ip, true));
        }
        LinkChange::DeleteRemote(ip) => {
            return Ok(neighbour::far_end(index, *ip, false));
        }
        LinkChange::Generation(generation) => {
            link.append_extra_attribute(inet6(AfSpecInet6::AddrGenMode((*generation as u8).into())))
        }
        LinkChange::Promiscuous(on) => link.promiscuous(*on),
        LinkChange::Token(token) => link.append_extra_attribute(inet6(AfSpecInet6::Token(*token))),
    };
    // RTM_NEWLINK without NLM_F_CREATE: RTM_SETLINK would ignore the options of a kind (rtnl_setlink).
    Ok(Request::from_message(libc::RTM_NEWLINK, 0, &link.build()))
}

/// VLANs of a port (answered by its bridge), or of the bridge itself.
fn bridge_vlan(index: u32, vlan: PortVlan, own: bool) -> LinkMessage {
    let mut flags = BridgeVlanInfoFlags::empty();
    flags.set(BridgeVlanInfoFlags::Pvid, vlan.pvid);
    flags.set(BridgeVlanInfoFlags::Untagged, vlan.untagged);
    let mut link = LinkBridgeVlan::new(index);
    if own {
        link = link.bridge_self();
    }
    if vlan.first == vlan.last {
        return link.vlan(vlan.first, flags).build();
    }
    link.vlan_range_start(vlan.first, flags).vlan_range_end(vlan.last, flags).build()
}

/// Options in the table's order, which is the order in which their dependencies are met.
fn options(
    rows: &'static [Attribute],
    settings: &BTreeMap<&'static str, OptionValue>,
    names: &Names,
) -> Result<Vec<u8>, Unencodable> {
    let mut bytes = Vec::new();
    for row in rows {
        if let Some(value) = settings.get(row.name) {
            value::encode(&mut bytes, row, value, names)?;
        }
    }
    Ok(bytes)
}

fn address(entry: &AddressEntry, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(&entry.net.addr());
    message.header.prefix_len = entry.peer.unwrap_or(entry.net).prefix_len();
    message.header.scope = entry.scope.number().into();
    message.header.index = index;
    let own = entry.net.addr();
    // IFA_ADDRESS is the peer's address if there is one, IFA_LOCAL always our own (linux/if_addr.h).
    message.attributes.push(AddressAttribute::Local(own));
    message.attributes.push(AddressAttribute::Address(entry.peer.map_or(own, |peer| peer.addr())));
    if let Some(broadcast) = entry.broadcast {
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if let Some(label) = &entry.label {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    let flags = entry.flags.iter().fold(0, |flags, flag| flags | *flag as u32);
    if flags != 0 {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::from_bits_retain(flags)));
    }
    if entry.metric != 0 {
        let metric = DefaultNla::new(IFA_RT_PRIORITY, entry.metric.to_ne_bytes().to_vec());
        message.attributes.push(AddressAttribute::Other(metric));
    }
    if entry.preferred.is_some() || entry.valid.is_some() {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = entry.preferred.unwrap_or(u32::MAX);
        lifetimes.ifa_valid = entry.valid.unwrap_or(u32::MAX);
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    message
}

fn route(entry: &RouteEntry, names: &Names) -> Result<RouteMessage, Unencodable> {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(&entry.to.addr());
    header.destination_prefix_length = entry.to.prefix_len();
    header.table = u8::try_from(entry.table).unwrap_or(TABLE_IN_ATTRIBUTE);
    header.protocol = entry.protocol.number().into();
    header.scope = entry.scope.number().into();
    header.tos = entry.tos;
    header.source_prefix_length = entry.from.map_or(0, |from| from.prefix_len());
    header.kind = entry.kind.number().into();
    if entry.on_link {
        header.flags |= RouteFlags::Onlink;
    }
    let mut put = |attribute| message.attributes.push(attribute);
    if entry.to.prefix_len() > 0 {
        put(RouteAttribute::Destination(route_address(entry.to.addr())));
    }
    match entry.weight.filter(|weight| *weight != 1) {
        // The next-hop object has link and gateway; the kernel accepts them only from there.
        _ if entry.next_hop_id.is_some() => {}
        None => {
            entry.via.into_iter().for_each(|via| put(gateway(entry, via)));
            if let Some(link) = &entry.link {
                put(RouteAttribute::Oif(index_of(link, names)?));
            }
            if !entry.hops.is_empty() {
                put(next_hops(entry, &entry.hops, names)?);
            }
        }
        // Only a next hop can have a weight.
        Some(weight) => {
            let RouteEntry { link, via, on_link, .. } = entry.clone();
            put(next_hops(entry, &[NextHopEntry { link, via, on_link, weight }], names)?);
        }
    }
    if entry.metric != 0 {
        put(RouteAttribute::Priority(entry.metric));
    }
    if u8::try_from(entry.table).is_err() {
        put(RouteAttribute::Table(entry.table));
    }
    if let Some(source) = entry.source {
        put(RouteAttribute::PrefSource(route_address(source)));
    }
    if let Some(from) = entry.from {
        put(RouteAttribute::Source(route_address(from.addr())));
    }
    let mut put_number =
        |kind, bytes: &[u8]| put(RouteAttribute::Other(DefaultNla::new(kind, bytes.to_vec())));
    if let Some(id) = entry.next_hop_id {
        put_number(RTA_NH_ID, &id.to_ne_bytes());
    }
    if let Some(preference) = entry.preference {
        put_number(RTA_PREF, &[preference]);
    }
    if let Some(seconds) = entry.expires {
        put_number(RTA_EXPIRES, &seconds.to_ne_bytes());
    }
    let metrics: Vec<RouteMetric> = ROUTE_METRICS.iter().filter_map(|row| metric(entry, row)).collect();
    if !metrics.is_empty() {
        put(RouteAttribute::Metrics(metrics));
    }
    Ok(message)
}

fn index_of(link: &str, names: &Names) -> Result<u32, Unencodable> {
    names.index(link).ok_or_else(|| Unencodable::NoLink(link.to_owned()))
}

fn gateway(entry: &RouteEntry, via: IpAddr) -> RouteAttribute {
    match via {
        IpAddr::V6(via) if entry.to.addr().is_ipv4() => RouteAttribute::Via(RouteVia::Inet6(via)),
        via => RouteAttribute::Gateway(route_address(via)),
    }
}

fn next_hops(
    entry: &RouteEntry,
    hops: &[NextHopEntry],
    names: &Names,
) -> Result<RouteAttribute, Unencodable> {
    let hop = |hop: &NextHopEntry| {
        let mut next = RouteNextHop::default();
        next.interface_index = hop.link.as_deref().map_or(Ok(0), |link| index_of(link, names))?;
        // The kernel counts from 0.
        next.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
        if hop.on_link {
            next.flags = RouteNextHopFlags::Onlink;
        }
        next.attributes.extend(hop.via.map(|via| gateway(entry, via)));
        Ok(next)
    };
    Ok(RouteAttribute::MultiPath(hops.iter().map(hop).collect::<Result<_, _>>()?))
}

fn metric(entry: &RouteEntry, (number, name): &(u16, &str)) -> Option<RouteMetric> {
    let value = entry.metrics.get(*name)?;
    Some(RouteMetric::Other(DefaultNla::new(*number, value.to_ne_bytes().to_vec())))
}

fn rule(entry: &RuleEntry) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = if entry.family == Family::V4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    header.src_len = entry.from.map_or(0, |from| from.prefix_len());
    header.dst_len = entry.to.map_or(0, |to| to.prefix_len());
    header.tos = entry.tos.unwrap_or(0);
    header.table = u8::try_from(entry.table).unwrap_or(TABLE_IN_ATTRIBUTE);
    header.action = RuleAction::from(entry.action.number());
    let mut put = |attribute| message.attributes.push(attribute);
    let prefix = |net: Option<IpNet>| net.filter(|net| net.prefix_len() > 0).map(|net| net.addr());
    if let Some(from) = prefix(entry.from) {
        put(RuleAttribute::Source(from));
    }
    if let Some(to) = prefix(entry.to) {
        put(RuleAttribute::Destination(to));
    }
    put(RuleAttribute::Priority(entry.priority));
    if entry.table > 0 {
        put(RuleAttribute::Table(entry.table));
    }
    if let Some(mark) = entry.mark {
        put(RuleAttribute::FwMark(mark));
    }
    if let Some(mask) = entry.mask {
        put(RuleAttribute::FwMask(mask));
    }
    if let Some(length) = entry.suppress {
        put(RuleAttribute::SuppressPrefixLen(length));
    }
    if let Some(iif) = &entry.selectors.iif {
        put(RuleAttribute::Iifname(iif.clone()));
    }
    if entry.protocol != Protocol::Unspecified {
        put(RuleAttribute::Protocol(entry.protocol.number().into()));
    }
    message
}

fn family(ip: &IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn route_address(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    }
}

/// The option that the kernel refers to: `offset` is where its attribute begins in the request's payload.
pub(super) fn option_at(action: &Action, payload: &[u8], offset: usize) -> Option<&'static str> {
    let (rows, data) = match action {
        Action::AddLink(new) => (new.kind.attributes(), libc::IFLA_INFO_DATA),
        Action::SetLink { change: LinkChange::Options { kind, .. }, .. } => {
            (kind.attributes(), libc::IFLA_INFO_DATA)
        }
        Action::SetLink { change: LinkChange::PortOptions { kind, .. }, .. } => {
            (kind.port_attributes(), libc::IFLA_INFO_SLAVE_DATA)
        }
        _ => return None,
    };
    let nest = Attributes::new(payload.get(HEADER..)?).nest(libc::IFLA_LINKINFO).get(data)?;
    // Both are slices of one buffer: the nest's start shows where in the payload its attributes are.
    let start = nest.as_ptr() as usize - payload.as_ptr() as usize;
    let attribute = nest.get(offset.checked_sub(start)?..)?;
    let (nla, _) = Attributes::new(attribute).iter().next()?;
    rows.iter().find(|row| row.nla == nla).map(|row| row.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn the_option_that_a_refusal_points_at_is_named() {
        let action = Action::SetLink {
            name: "bond0".to_owned(),
            change: LinkChange::Options {
                kind: Kind::Bond,
                settings: BTreeMap::from([
                    ("miimon", OptionValue::Number(100)),
                    ("mode", OptionValue::Text("802.3ad".into())),
                ]),
            },
        };
        let mut names = Names::default();
        names.insert(4, "bond0");
        let request = request(&action, &names).unwrap().unwrap();
        // ifinfomsg is followed by the headers of IFLA_LINKINFO, of the kind with "bond\0", and of the data.
        let mode = HEADER + 4 + 12 + 4;
        assert_eq!(option_at(&action, request.payload(), mode), Some("mode"));
        assert_eq!(option_at(&action, request.payload(), mode + 8), Some("miimon"));
        assert_eq!(option_at(&action, request.payload(), 0), None);
        assert_eq!(option_at(&action, request.payload(), 10_000), None);
    }
}
