//! Descriptions and evidence for unit tests, as recorded from machines: a two-NIC machine with an LACP bond, a VLAN and
//! a gateway, all working, for a test to break.

use std::net::IpAddr;

use super::checks::{Check, judge};
use super::evidence::{Claim, Evidence, GatewayEvidence, Heard, Losses, Tally, TargetEvidence};
use super::input::{DesiredLink, DesiredRoute, Input};
use super::ledger::Ledger;
use super::lookups::View;
use crate::inventory::{Lldp, RouteEntry};
use crate::kernel::live::{AddressState, BondPort, BondState, LinkState};
use crate::model::{BondMode, Kind, MacAddr, Place, Protocol};
use crate::plan::{Action, LinkChange, Step};
use std::time::Duration;

/// A MAC address.
pub(crate) fn mac(text: &str) -> MacAddr {
    text.parse().unwrap()
}

/// An IP address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A default route.
pub(crate) fn default_via(via: &str) -> DesiredRoute {
    let to = if via.contains(':') { "::/0" } else { "0.0.0.0/0" };
    DesiredRoute::new(to.parse().unwrap(), via.parse().ok())
}

/// A NIC that is up and has carrier.
pub(crate) fn nic(index: u32, name: &str, address: &str) -> LinkState {
    LinkState {
        index,
        name: name.into(),
        mac: address.parse().ok(),
        permanent_mac: address.parse().ok(),
        up: true,
        carrier: true,
        running: true,
        mtu: 1500,
        speed: Some(10_000),
        full_duplex: Some(true),
        ..LinkState::default()
    }
}

/// One NIC `eth0` with 192.0.2.2/24 and a default route via 192.0.2.1, all working.
pub(crate) fn one_nic() -> (Input, Evidence) {
    let mut link = DesiredLink::new("port0", "eth0", Kind::Physical);
    link.mac = Some(mac("7c:c2:55:6e:90:44"));
    link.addresses = vec!["192.0.2.2/24".parse().unwrap()];
    link.routes = vec![default_via("192.0.2.1")];
    let input = Input { links: vec![link], ..Input::default() };
    let links = vec![nic(2, "eth0", "7c:c2:55:6e:90:44")];
    let mut evidence = Evidence { links: links.into(), elapsed_ms: 60_000, ..Evidence::default() };
    well(&mut evidence, "eth0", 2, "192.0.2.2", "192.0.2.1");
    (input, evidence)
}

/// eth0 and eth1, described by their MAC addresses.
pub(crate) fn two_links() -> Input {
    let link = |name: &str, address: &str| DesiredLink {
        mac: Some(mac(address)),
        ..DesiredLink::new(name, name, Kind::Physical)
    };
    let links = vec![link("eth0", "02:00:00:00:00:02"), link("eth1", "02:00:00:00:00:03")];
    Input { links, ..Input::default() }
}

/// An address and a gateway on a link, both working.
pub(crate) fn well(evidence: &mut Evidence, link: &str, index: u32, address: &str, gateway: &str) {
    let address = ip(address);
    evidence.addresses.push(AddressState {
        index,
        ip: address,
        prefix: 24,
        tentative: false,
        duplicate: false,
    });
    evidence.claims.push(Claim { link: link.into(), ip: address, owner: None, finished: true, error: None });
    evidence.gateways.push(GatewayEvidence {
        link: link.into(),
        ip: Some(ip(gateway)),
        resolved: true,
        found_ms: Some(3),
        heard_ms: Some(59_000),
        losses: Losses { echoes: Tally { sent: 10, received: 10 }, ..Losses::default() },
        rtt_us: Some(412),
        tried: Some(1500),
        largest: Some(1500),
        finished: true,
        ..GatewayEvidence::default()
    });
}

/// The evidence of an answering target.
pub(crate) fn target(input: &mut Input, evidence: &mut Evidence, text: &str) {
    let target: super::input::Target = text.parse().unwrap();
    evidence.targets.push(TargetEvidence {
        target: text.into(),
        addresses: target.ip().into_iter().collect(),
        ..TargetEvidence::default()
    });
    input.targets.push(target);
}

/// `eth0` and `eth1` in the LACP bond `bond0`, with the VLAN `bond0.100` on it that has 10.0.0.2/24 and the gateway
/// 10.0.0.1; each NIC on another leaf of one MLAG pair. All working.
pub(crate) fn lacp() -> (Input, Evidence) {
    let member = |id: &str, name: &str, address: &str| {
        let mut link = DesiredLink::new(id, name, Kind::Physical);
        link.mac = Some(mac(address));
        link
    };
    let mut bond = DesiredLink::new("bond", "bond0", Kind::Bond);
    bond.mode = Some(BondMode::Lacp);
    bond.members = vec!["eth0".into(), "eth1".into()];
    let mut vlan = DesiredLink::new("vlan", "bond0.100", Kind::Vlan);
    (vlan.parent, vlan.vlan) = (Some("bond0".into()), Some(100));
    vlan.addresses = vec!["10.0.0.2/24".parse().unwrap()];
    vlan.routes = vec![default_via("10.0.0.1")];
    let macs = ["7c:c2:55:6e:90:44", "7c:c2:55:6e:90:45"];
    let links = vec![member("a", "eth0", macs[0]), member("b", "eth1", macs[1]), bond, vlan];
    let input = Input { links, ..Input::default() };

    let mut evidence = Evidence { elapsed_ms: 60_000, ..Evidence::default() };
    for (number, address) in macs.iter().enumerate() {
        let name = format!("eth{number}");
        evidence.links.push(LinkState {
            controller: Some("bond0".into()),
            bond_port: Some(BondPort {
                active: true,
                link_up: true,
                aggregator: Some(1),
                actor_state: Some(0x3f),
                partner_state: Some(0x3d),
                partner: Some(mac("02:00:00:00:00:01")),
                partner_key: Some(15),
            }),
            ..nic(number as u32 + 2, &name, address)
        });
        let lldp =
            Lldp { switch: format!("leaf{}", number + 1), port: "Ethernet12".into(), ..Lldp::default() };
        let heard = Heard { lldp: Some(lldp), frames: 9, tags: [(100, 9)].into(), ..Heard::default() };
        evidence.heard.insert(name, heard);
    }
    let bond = BondState {
        mode: Some(BondMode::Lacp),
        aggregator: Some(1),
        ports: 2,
        partner: Some(mac("02:00:00:00:00:01")),
        ..BondState::default()
    };
    let bond0 = LinkState { kind: "bond".into(), bond: Some(bond), speed: None, ..nic(4, "bond0", macs[0]) };
    evidence.links.push(bond0);
    evidence.links.push(LinkState { kind: "vlan".into(), speed: None, ..nic(5, "bond0.100", macs[0]) });
    well(&mut evidence, "bond0.100", 5, "10.0.0.2", "10.0.0.1");
    (input, evidence)
}

/// The checks after every bound is over.
pub(crate) fn judged(input: &Input, evidence: &Evidence) -> Vec<Check> {
    let index = View::new(input);
    let mut ledger = Ledger::default();
    let mut checks = judge(&index, evidence);
    ledger.apply(&mut checks, &index, evidence, Duration::ZERO);
    ledger.apply(&mut checks, &index, evidence, Duration::from_secs(120));
    checks
}

/// A remaining step that brings a link up.
pub(crate) fn set_up(link: &str) -> Step {
    step(Action::SetLink { name: link.into(), change: LinkChange::Up })
}

/// A remaining step that adds a route through a link.
pub(crate) fn add_route(link: &str, to: &str, via: &str) -> Step {
    step(Action::AddRoute(route(link, to, via, Protocol::Static)))
}

/// A remaining step that serves no link by its id.
pub(crate) fn step(action: Action) -> Step {
    Step { action, at: Place::NONE, link: String::new(), needs: Vec::new() }
}

/// A route as in an inventory.
pub(crate) fn route(link: &str, to: &str, via: &str, protocol: Protocol) -> RouteEntry {
    let fields = serde_json::json!({
        "to": to, "link": link, "via": via, "protocol": protocol,
        "kind": "unicast", "scope": "global", "metric": 100, "table": 254,
    });
    serde_json::from_value(fields).unwrap()
}
