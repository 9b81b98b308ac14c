//! The current state of links, addresses and neighbours that an [`crate::inventory::Inventory`] leaves out because
//! no description asks for it. LACP states, a bridge port's forwarding state, speeds, tentative addresses.
//!
//! For verification. [`Live`] reads; changes in between come from a [`super::monitor::Monitor`].

use std::net::IpAddr;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use super::attributes::{Attributes, field, number};
use super::lookup::{self, Decision, Query};
use super::names::Names;
use super::neighbour::{self, Neighbour};
use super::newlink::{self, LinkMessage};
use super::session::{Failure, NetlinkFamily, Session};
use super::wire::Request;
use crate::machine::Machine;
use crate::model::{BondMode, Kind, LinkKind, MacAddr};

const RTM_GETADDR: u16 = 22;
/// Length of `struct ifaddrmsg` in bytes.
const ADDRESS_HEADER: usize = 8;

/// The current state of a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkState {
    /// Kernel index.
    pub index: u32,
    /// Kernel name; for a link renamed during a verification, the name in the description.
    pub name: String,
    /// Its kernel name if that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed: Option<String>,
    /// `IFLA_INFO_KIND`; empty for hardware.
    pub kind: LinkKind,
    /// Current hardware address.
    pub mac: Option<MacAddr>,
    /// Permanent hardware address.
    pub permanent_mac: Option<MacAddr>,
    /// Administratively up.
    pub up: bool,
    /// It does not use ARP and neighbour discovery (`IFF_NOARP`).
    pub no_arp: bool,
    /// How often carrier has come or gone since the link was created.
    pub carrier_changes: u32,
    /// `IFF_LOWER_UP`.
    pub carrier: bool,
    /// `IFF_RUNNING`: operationally up as in RFC 2863; a bond without an active member is not.
    pub running: bool,
    /// It is the loopback interface.
    pub loopback: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Name of its bond, bridge or VRF.
    pub controller: Option<String>,
    /// Name of its parent, if that is in this namespace.
    pub parent: Option<String>,
    /// Megabits per second, if the driver reports it.
    pub speed: Option<u32>,
    /// False for half duplex; `None` if the driver does not report it.
    pub full_duplex: Option<bool>,
    /// For a bond.
    pub bond: Option<BondState>,
    /// For a bond's member.
    pub bond_port: Option<BondPort>,
    /// For a bridge: it runs STP itself.
    pub stp: Option<bool>,
    /// For a bridge: how long a port listens, and then learns, in milliseconds each.
    pub forward_delay_ms: u32,
    /// For a bridge's port: `disabled`, `listening`, `learning`, `forwarding` or `blocking`.
    pub bridge_port: Option<String>,
}

/// The current state of a bond.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BondState {
    /// Mode; `None` for one that netapply does not know.
    pub mode: Option<BondMode>,
    /// Name of the active member, in the modes that have one.
    pub active: Option<String>,
    /// The active aggregator, for 802.3ad.
    pub aggregator: Option<u16>,
    /// How many ports it has.
    pub ports: u16,
    /// The partner of the active aggregator.
    pub partner: Option<MacAddr>,
}

/// The current state of a bond's member. Port states are the bits of IEEE 802.1AX 6.4.2.3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BondPort {
    /// The bond sends through it.
    pub active: bool,
    /// The bond's own link monitor considers it up.
    pub link_up: bool,
    /// The aggregator it belongs to.
    pub aggregator: Option<u16>,
    /// Our own port state.
    pub actor_state: Option<u8>,
    /// The partner's port state.
    pub partner_state: Option<u8>,
    /// The partner's system address, from /proc/net/bonding; netlink has only the active aggregator's.
    pub partner: Option<MacAddr>,
    /// The partner's key: ports of one LAG of the switch have one key.
    pub partner_key: Option<u16>,
}

/// The current state of an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressState {
    /// Index of its link.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// `IFA_F_TENTATIVE`, and not an optimistic one.
    pub tentative: bool,
    /// `IFA_F_DADFAILED`.
    pub duplicate: bool,
}

/// What reading the kernel for an inventory also yields, because it is in the same messages.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The message of each link.
    pub(super) links: Vec<Vec<u8>>,
    /// Where the rest is read.
    pub(super) machine: Machine,
    /// Every address.
    pub addresses: Vec<AddressState>,
}

impl Snapshot {
    /// Every link, including the partners of bond members and the speeds of NICs, which are read now.
    pub fn links(&self) -> Vec<LinkState> {
        states(self.links.iter().filter_map(|payload| decode_link(payload)).collect(), &self.machine)
    }
}

/// Reads the current state.
#[derive(Debug)]
pub struct Live {
    session: Session,
}

impl Live {
    /// Opens a session in the calling thread's network namespace.
    pub fn open(machine: &Machine) -> Result<Self, Failure> {
        Ok(Live { session: Session::of(machine, NetlinkFamily::Route)? })
    }

    /// Every link, including the partners of bond members and the speeds of NICs.
    pub async fn links(&mut self) -> Result<Vec<LinkState>, Failure> {
        let dump = self.session.dump(&newlink::all(), |frame| decode_link(frame.payload)).await?;
        Ok(states(dump.items, self.session.machine()))
    }

    /// Every address.
    pub async fn addresses(&mut self) -> Result<Vec<AddressState>, Failure> {
        let request = Request::new(RTM_GETADDR, 0, &[0; ADDRESS_HEADER]);
        let dump = self.session.dump(&request, |frame| decode_address(frame.payload)).await?;
        Ok(dump.items)
    }

    /// Makes the kernel resolve neighbours, by link and address; returns what it knew of them before. `anew`: also
    /// those that answered recently.
    pub async fn ask_neighbours(
        &mut self,
        names: &Names,
        places: &[(String, IpAddr)],
    ) -> Result<Vec<Neighbour>, Failure> {
        neighbour::ask(&mut self.session, names, places).await
    }
}

impl Live {
    /// What the kernel would do with a packet.
    pub async fn lookup(&mut self, names: &Names, query: &Query<'_>) -> Result<Decision, Failure> {
        lookup::lookup(&mut self.session, names, query).await
    }
}

/// Replaces indexes by names, and adds what only files contain.
fn states(raw: Vec<(References, LinkState)>, machine: &Machine) -> Vec<LinkState> {
    let names: HashMap<u32, String> = raw.iter().map(|(_, l)| (l.index, l.name.clone())).collect();
    let name_of = |index: u32| names.get(&index).cloned();
    let finish = |(refs, mut link): (References, LinkState)| {
        link.controller = name_of(refs.controller);
        link.parent = name_of(refs.parent);
        if let Some(bond) = &mut link.bond {
            bond.active = name_of(refs.active);
        }
        link
    };
    let mut links: Vec<LinkState> = raw.into_iter().map(finish).collect();
    add_partners(&mut links, machine);
    links.iter_mut().filter(|l| l.kind.is_hardware() && !l.loopback).for_each(|l| add_speed(l, machine));
    links
}

/// Indexes of other links, to be replaced by names.
#[derive(Default)]
struct References {
    controller: u32,
    parent: u32,
    active: u32,
}

// linux/if_link.h, linux/if_addr.h
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_ACTIVE_SLAVE: u16 = 2;
const IFLA_BOND_AD_INFO: u16 = 23;
const IFLA_BOND_AD_INFO_AGGREGATOR: u16 = 1;
const IFLA_BOND_AD_INFO_NUM_PORTS: u16 = 2;
const IFLA_BOND_AD_INFO_PARTNER_MAC: u16 = 5;
const IFLA_BOND_SLAVE_STATE: u16 = 1;
const IFLA_BOND_SLAVE_MII_STATUS: u16 = 2;
const IFLA_BOND_SLAVE_AD_AGGREGATOR_ID: u16 = 6;
const IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE: u16 = 7;
const IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE: u16 = 8;
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BRPORT_STATE: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;

/// A link from the payload of an `RTM_NEWLINK`.
fn decode_link(payload: &[u8]) -> Option<(References, LinkState)> {
    let message = LinkMessage::new(payload)?;
    let mut link = LinkState {
        index: message.index,
        mac: message.mac(libc::IFLA_ADDRESS),
        permanent_mac: message.mac(libc::IFLA_PERM_ADDRESS),
        mtu: message.mtu(),
        up: message.has(libc::IFF_UP),
        no_arp: message.has(libc::IFF_NOARP),
        carrier_changes: message.attributes.u32(libc::IFLA_CARRIER_CHANGES).unwrap_or(0),
        running: message.has(libc::IFF_RUNNING),
        loopback: message.has(libc::IFF_LOOPBACK),
        carrier: message.has(libc::IFF_LOWER_UP),
        kind: message.kind(),
        ..LinkState::default()
    };
    let mut refs = References {
        controller: message.controller().unwrap_or(0),
        parent: message.parent().unwrap_or(0),
        active: 0,
    };
    let options = message.options();
    match link.kind.known() {
        Some(Kind::Bond) => {
            refs.active = options.u32(IFLA_BOND_ACTIVE_SLAVE).unwrap_or(0);
            link.bond = Some(bond(options));
        }
        Some(Kind::Bridge) => {
            link.stp = options.u32(IFLA_BR_STP_STATE).map(|state| state != 0);
            // In clock ticks of 10 ms.
            link.forward_delay_ms = options.u32(IFLA_BR_FORWARD_DELAY).unwrap_or(0).saturating_mul(10);
        }
        _ => {}
    }
    let port = message.port_options();
    match message.port_of() {
        Some(Kind::Bond) => link.bond_port = Some(bond_port(port)),
        Some(Kind::Bridge) => link.bridge_port = port.u8(IFLA_BRPORT_STATE).and_then(port_word),
        _ => {}
    }
    link.name = message.name;
    Some((refs, link))
}

fn bond(data: Attributes<'_>) -> BondState {
    let lacp = data.nest(IFLA_BOND_AD_INFO);
    let number = |kind| lacp.get(kind).and_then(|v| number(v, u16::from_ne_bytes));
    BondState {
        mode: data.u8(IFLA_BOND_MODE).and_then(BondMode::from_number),
        active: None,
        aggregator: number(IFLA_BOND_AD_INFO_AGGREGATOR),
        ports: number(IFLA_BOND_AD_INFO_NUM_PORTS).unwrap_or(0),
        partner: lacp.get(IFLA_BOND_AD_INFO_PARTNER_MAC).and_then(MacAddr::from_bytes),
    }
}

fn bond_port(data: Attributes<'_>) -> BondPort {
    let number = |kind| data.get(kind).and_then(|v| number(v, u16::from_ne_bytes));
    BondPort {
        active: data.u8(IFLA_BOND_SLAVE_STATE) == Some(0),
        link_up: data.u8(IFLA_BOND_SLAVE_MII_STATUS) == Some(0),
        aggregator: number(IFLA_BOND_SLAVE_AD_AGGREGATOR_ID),
        actor_state: data.u8(IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE),
        partner_state: number(IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE).map(|state| state as u8),
        partner: None,
        partner_key: None,
    }
}

/// `BR_STATE_…` of linux/if_bridge.h, as bridge(8) names them.
fn port_word(state: u8) -> Option<String> {
    let word = ["disabled", "listening", "learning", "forwarding", "blocking"].get(usize::from(state))?;
    Some((*word).to_owned())
}

pub(super) fn decode_address(payload: &[u8]) -> Option<AddressState> {
    let attributes = Attributes::new(payload.get(ADDRESS_HEADER..)?);
    let short = u32::from(*payload.get(2)?);
    let flags = attributes.u32(IFA_FLAGS).unwrap_or(short);
    let has = |flag: u32| flags & flag != 0;
    Some(AddressState {
        index: field(payload, 4, u32::from_ne_bytes)?,
        ip: attributes.ip(IFA_LOCAL).or_else(|| attributes.ip(IFA_ADDRESS))?,
        prefix: *payload.get(1)?,
        tentative: has(libc::IFA_F_TENTATIVE) && !has(libc::IFA_F_OPTIMISTIC),
        duplicate: has(libc::IFA_F_DADFAILED),
    })
}

/// Adds the partners of bond members, which only /proc/net/bonding contains. The main thread's namespace is not always
/// ours: hence `thread-self`. The kernel tells them to root of the initial user namespace alone
/// (`bond_info_show_slave`): to others it tells that of the active aggregator, which is that of the ports in it.
fn add_partners(links: &mut [LinkState], machine: &Machine) {
    let bond =
        |l: &LinkState| Some((l.name.clone(), l.bond.clone().filter(|b| b.mode == Some(BondMode::Lacp))?));
    let bonds: Vec<(String, BondState)> = links.iter().filter_map(bond).collect();
    for (name, bond) in bonds {
        let path = machine.proc().join("thread-self/net/bonding").join(&name);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for (member, partner, key) in partners(&text) {
            let Some(port) = links.iter_mut().find(|l| l.name == member).and_then(|l| l.bond_port.as_mut())
            else {
                continue;
            };
            port.partner = partner;
            port.partner_key = key;
        }
        let members = links.iter_mut().filter(|link| link.controller.as_ref() == Some(&name));
        for port in members.filter_map(|link| link.bond_port.as_mut()) {
            port.partner = port.partner.or_else(|| partner_of_active(&bond, port));
        }
    }
}

/// The partner of a port in the active aggregator that has heard from its partner.
fn partner_of_active(bond: &BondState, port: &BondPort) -> Option<MacAddr> {
    /// Nothing has been heard: the partner is made up (IEEE 802.1AX, 6.4.2.3).
    const DEFAULTED: u8 = 0b0100_0000;
    let is_heard = port.actor_state.is_some_and(|state| state & DEFAULTED == 0);
    let is_active = port.aggregator.is_some() && port.aggregator == bond.aggregator;
    bond.partner.filter(|mac| is_heard && is_active && mac.as_bytes().iter().any(|byte| *byte != 0))
}

/// Member, partner's system address and key, from the text of /proc/net/bonding/X (`bond_info_show_slave`).
pub fn partners(text: &str) -> Vec<(String, Option<MacAddr>, Option<u16>)> {
    let mut found: Vec<(String, Option<MacAddr>, Option<u16>)> = Vec::new();
    let mut in_partner = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("Slave Interface: ") {
            found.push((name.to_owned(), None, None));
            in_partner = false;
        } else if line.starts_with("details partner lacp pdu") {
            in_partner = true;
        } else if line.starts_with("details actor lacp pdu") {
            in_partner = false;
        } else if let (true, Some(last)) = (in_partner, found.last_mut()) {
            if let Some(mac) = line.strip_prefix("system mac address: ") {
                last.1 = mac.parse().ok();
            } else if let Some(key) = line.strip_prefix("oper key: ") {
                last.2 = key.parse().ok();
            }
        }
    }
    found
}

/// Speed and duplex as the driver reports them; a NIC without carrier reports none.
fn add_speed(link: &mut LinkState, machine: &Machine) {
    let read = |what: &str| std::fs::read_to_string(machine.sys_net().join(&link.name).join(what)).ok();
    let speed = read("speed").and_then(|t| t.trim().parse::<i64>().ok()).and_then(|s| u32::try_from(s).ok());
    let full_duplex = match read("duplex").as_deref().map(str::trim) {
        Some("full") => Some(true),
        Some("half") => Some(false),
        _ => None,
    };
    // u32::MAX is SPEED_UNKNOWN.
    link.speed = speed.filter(|s| *s != u32::MAX && *s != 0);
    link.full_duplex = full_duplex;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_and_actors_are_distinguished() {
        let text = "Ethernet Channel Bonding Driver: v6.1\n\nSlave Interface: eth0\nMII Status: up\ndetails actor lacp pdu:\n    system priority: 65535\n    system mac address: 7c:c2:55:6e:90:44\n    port key: 15\ndetails partner lacp pdu:\n    system priority: 32768\n    system mac address: 02:00:00:00:00:01\n    oper key: 15\n    port state: 63\n\nSlave Interface: eth1\ndetails actor lacp pdu:\n    system mac address: 7c:c2:55:6e:90:44\ndetails partner lacp pdu:\n    system mac address: 00:00:00:00:00:00\n    oper key: 1\n";
        let found = partners(text);
        assert_eq!(found[0], ("eth0".into(), "02:00:00:00:00:01".parse().ok(), Some(15)));
        assert_eq!(found[1], ("eth1".into(), None, Some(1)));
    }

    #[test]
    fn a_port_in_the_active_aggregator_has_the_partner_of_the_bond() {
        let mac: Option<MacAddr> = "02:00:00:00:00:01".parse().ok();
        let bond = BondState { aggregator: Some(1), partner: mac, ..BondState::default() };
        let port = BondPort { aggregator: Some(1), actor_state: Some(0x3d), ..BondPort::default() };
        assert_eq!(partner_of_active(&bond, &port), mac);
        let other = BondPort { aggregator: Some(2), ..port.clone() };
        assert_eq!(partner_of_active(&bond, &other), None);
        let silent = BondPort { actor_state: Some(0x45), ..port.clone() };
        assert_eq!(partner_of_active(&bond, &silent), None);
        let alone = BondState { partner: MacAddr::from_bytes(&[0; 6]), ..bond };
        assert_eq!(partner_of_active(&alone, &port), None);
    }

    #[test]
    fn truncated_messages_are_read_without_panic() {
        let mut payload = vec![0_u8; 16];
        payload[4] = 7;
        payload.extend([8, 0, 4, 0, 0x28, 0x23, 0, 0]);
        payload.extend([9, 0, 3, 0, b'b', b'o', b'n', b'd', 0, 0, 0, 0]);
        assert_eq!(decode_link(&payload).unwrap().1.mtu, 9000);
        for cut in 0..payload.len() {
            let _ = decode_link(&payload[..cut]);
            let _ = decode_address(&payload[..cut]);
        }
    }
}
