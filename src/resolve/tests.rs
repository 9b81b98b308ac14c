//! Matching and naming on machines built by hand.

use super::*;
use crate::inventory::ObservedLink;
use crate::model::attribute::{self, OptionValue};
use crate::model::{
    Address, Family, IfName, Located, Match, NAMED_TABLES, NamePattern, Naming, Place, Route,
};

fn nic(index: u32, name: &str, mac: &str) -> ObservedLink {
    let mac = mac.parse().ok();
    ObservedLink {
        index,
        name: name.into(),
        mac,
        permanent_mac: mac,
        layer: "ether".into(),
        ..ObservedLink::default()
    }
}

fn machine(links: Vec<ObservedLink>) -> Inventory {
    Inventory { links, ..Inventory::default() }
}

fn at() -> Place {
    Place { file: 0, line: 1, column: 1 }
}

fn by_mac(id: &str, mac: &str) -> Link {
    let mut link = Link::new(id, Kind::Physical, at());
    link.select = Match { mac: Some(Located::new(mac.parse().unwrap(), at())), ..Match::default() };
    link
}

fn run(links: Vec<Link>, inventory: &Inventory) -> (Resolved, Vec<Diagnostic>) {
    resolve(&Desired { links, ..Desired::default() }, inventory, Missing::Report)
}

#[test]
fn the_permanent_mac_wins_over_the_current_one() {
    let mut moved = nic(2, "eth0", "02:00:00:00:00:0a");
    moved.mac = "02:00:00:00:00:0b".parse().ok();
    let inventory = machine(vec![moved, nic(3, "eth1", "02:00:00:00:00:0b")]);
    let (resolved, diags) =
        run(vec![by_mac("b", "02:00:00:00:00:0b"), by_mac("a", "02:00:00:00:00:0a")], &inventory);
    assert!(diags.is_empty());
    assert_eq!(resolved.links[0].name, "eth1");
    assert_eq!(resolved.links[1].name, "eth0");
}

#[test]
fn a_vxlan_of_the_number_on_another_port_is_anothers() {
    for (port, current) in [(8472, None), (4789, Some("flannel.1"))] {
        let mut other = ObservedLink { index: 3, name: "flannel.1".into(), ..ObservedLink::default() };
        other.kind = Kind::Vxlan.into();
        other.settings.insert("id".into(), OptionValue::Number(1));
        other.settings.insert("dstport".into(), OptionValue::Number(port));
        let mut vxlan = Link::new("vx1", Kind::Vxlan, at());
        vxlan.naming = Naming::Set(Located::new(IfName::new("vx1").unwrap(), at()));
        for (option, value) in [("id", 1), ("dstport", 4789)] {
            let row = attribute::of(Kind::Vxlan, option).unwrap();
            vxlan.settings.set(row, OptionValue::Number(value), at());
        }
        let (resolved, _) = run(vec![vxlan], &machine(vec![other]));
        assert_eq!(resolved.links[0].current.as_deref(), current, "port {port}");
    }
}

#[test]
fn a_missing_nic_is_reported_with_existing_and_similar_ones() {
    let inventory = machine(vec![nic(2, "eth0", "7c:c2:55:6e:90:44"), nic(3, "eth1", "52:54:00:00:00:01")]);
    let (resolved, diags) = run(vec![by_mac("a", "7c:c2:55:6e:90:45")], &inventory);
    assert!(resolved.links.is_empty());
    assert_eq!(diags[0].message, "no NIC has the MAC address 7c:c2:55:6e:90:45 (link \"a\")");
    assert_eq!(
        diags[0].hint.as_deref(),
        Some("eth0's differs in one digit; NICs here: eth0 7c:c2:55:6e:90:44, eth1 52:54:00:00:00:01")
    );
}

#[test]
fn of_several_near_misses_the_nearest_is_named() {
    let with_driver = |nic| ObservedLink { driver: "virtio_net".to_owned(), ..nic };
    let nics = vec![nic(2, "eth0", "02:00:00:00:00:01"), nic(3, "eth1", "02:00:00:00:00:02")];
    let inventory = machine(nics.into_iter().map(with_driver).collect());
    let mut link = by_mac("a", "02:00:00:00:00:02");
    link.select.name = Some(Located::new(NamePattern::Exact("eth0".into()), at()));
    let hint = |link: &Link| run(vec![link.clone()], &inventory).1.remove(0).hint.unwrap();
    assert!(
        hint(&link).starts_with("eth1 has the MAC address 02:00:00:00:00:02, but without the name eth0;")
    );
    link.select.name = Some(Located::new(NamePattern::Glob("en*".into()), at()));
    link.select.drivers = vec![Located::new("virtio_net".to_owned(), at())];
    let near =
        "eth1 has the MAC address 02:00:00:00:00:02 and the driver virtio_net, but without a name like en*;";
    assert!(hint(&link).starts_with(near), "{}", hint(&link));
}

#[test]
fn tables_are_numbered_by_the_machine() {
    let mut desired = Desired { links: vec![by_mac("a", "02:00:00:00:00:01")], ..Desired::default() };
    desired.tables = ["isp", "backup"].map(|name| Located::new(name.to_owned(), at())).to_vec();
    let everything = Family::V4.everything();
    let route = |table| Route { table, ..Route::new(everything, Some("192.0.2.1".parse().unwrap()), at()) };
    let numbers = [None, Some(7), Some(NAMED_TABLES), Some(NAMED_TABLES + 1)];
    desired.links[0].routes = numbers.map(route).to_vec();
    let mut inventory = machine(vec![nic(2, "eth0", "02:00:00:00:00:01")]);
    inventory.routing_tables.insert("isp".to_owned(), 200);
    let (resolved, diags) = resolve(&desired, &inventory, Missing::Report);
    let tables: Vec<_> = resolved.links[0].desired.routes.iter().map(|route| route.table).collect();
    assert_eq!(tables, [None, Some(7), Some(200)]);
    let messages: Vec<_> = diags.iter().map(|diag| diag.message.as_str()).collect();
    assert_eq!(messages, ["this machine has no routing table called backup: what is in it is left out"]);
}

#[test]
fn a_pattern_leaves_what_others_name_and_refuses_two_for_an_address() {
    let inventory = machine(vec![nic(2, "ens3", "02:00:00:00:00:03"), nic(3, "ens4", "02:00:00:00:00:04")]);
    let mut all = Link::new("all", Kind::Physical, at());
    all.select.name = Some(Located::new(NamePattern::Glob("en*".into()), at()));
    all.select.many = true;
    all.addresses.push(Address::new("10.0.0.2/24".parse().unwrap(), at()));
    let (resolved, diags) = run(vec![all.clone()], &inventory);
    assert!(resolved.links.is_empty());
    assert_eq!(
        diags[0].message,
        "\"all\" fits 2 NICs (ens3, ens4), and an address cannot be on each of them"
    );
    let (resolved, diags) = run(vec![all, by_mac("one", "02:00:00:00:00:03")], &inventory);
    assert!(diags.is_empty());
    assert_eq!(resolved.links.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["ens4", "ens3"]);
}

#[test]
fn names_are_generated_alike_at_every_run_and_foundations_come_first() {
    let mut bond = Link::new("b", Kind::Bond, at());
    bond.members = vec![Located::new("a".into(), at())];
    let mut vlan = Link::new("v", Kind::Vlan, at());
    vlan.parent = Some(Located::new("b".into(), at()));
    vlan.settings.set(attribute::of(Kind::Vlan, "id").unwrap(), OptionValue::Number(100), at());
    let text = || vec![vlan.clone(), bond.clone(), by_mac("a", "02:00:00:00:00:0a")];
    let mut inventory = machine(vec![nic(2, "eth0", "02:00:00:00:00:0a")]);
    let (resolved, _) = run(text(), &inventory);
    let names: Vec<&str> = resolved.links.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["eth0", "bond0", "bond0.100"]);
    assert_eq!(resolved.links[0].controller, Some(("bond0".into(), Kind::Bond)));
    let made = |index, name: &str, kind: &str| ObservedLink {
        index,
        name: name.into(),
        kind: kind.into(),
        ..ObservedLink::default()
    };
    inventory.links.push(made(3, "bond0", "bond"));
    let mut existing = made(4, "renamed", "vlan");
    existing.parent = Some("bond0".into());
    existing.settings.insert("id".into(), OptionValue::Number(100));
    inventory.links.push(existing);
    let (resolved, _) = run(text(), &inventory);
    assert_eq!(resolved.links[1].current.as_deref(), Some("bond0"));
    assert_eq!(
        (resolved.links[2].name.as_str(), resolved.links[2].current.as_deref()),
        ("bond0.100", Some("renamed"))
    );
}

#[test]
fn without_any_member_the_bond_and_its_vlans_fall() {
    let mut bond = Link::new("b", Kind::Bond, at());
    bond.members = vec![Located::new("a".into(), at())];
    let mut vlan = Link::new("v", Kind::Vlan, at());
    vlan.parent = Some(Located::new("b".into(), at()));
    let (resolved, diags) = run(vec![by_mac("a", "02:00:00:00:00:0a"), bond, vlan], &machine(Vec::new()));
    assert!(resolved.links.is_empty());
    let codes: Vec<&str> = diags.iter().map(|d| d.code.text()).collect();
    assert_eq!(codes, ["nic-missing", "bond-without-members", "left-out"]);
}

#[test]
fn a_requested_name_becomes_an_alternative_name_if_free() {
    let inventory = machine(vec![nic(2, "ens3", "02:00:00:00:00:03"), nic(3, "eth0", "02:00:00:00:00:04")]);
    let named = |id: &str, mac: &str, name: &str| {
        let mut link = by_mac(id, mac);
        link.naming = Naming::Alternative(Located::new(IfName::new(name).unwrap(), at()));
        link
    };
    let (resolved, _) = run(
        vec![named("a", "02:00:00:00:00:03", "eth0"), named("b", "02:00:00:00:00:04", "eth1")],
        &inventory,
    );
    assert_eq!(resolved.links[0].altname, None);
    assert_eq!(resolved.links[1].altname.as_deref(), Some("eth1"));
}

#[test]
fn a_stand_in_has_its_name_although_a_nic_here_has_it_too() {
    let mut inventory = machine(vec![nic(2, "eth0", "02:00:00:00:00:04")]);
    inventory.addresses.push(crate::inventory::AddressEntry::new("eth0", "192.0.2.2/24".parse().unwrap()));
    let mut link = by_mac("l0", "02:00:00:00:00:03");
    link.naming = Naming::Set(Located::new(IfName::new("eth0").unwrap(), at()));
    let desired = |links| Desired { links, ..Desired::default() };
    let (resolved, diags) = resolve(&desired(vec![link.clone()]), &inventory, Missing::StandIn);
    assert_eq!(diags.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::NicStandIn]);
    assert_eq!(resolved.links[0].name, "eth0");
    // The settings of the NIC here do not matter.
    let lines: Vec<String> = crate::plan::plan(&resolved, &inventory)
        .steps
        .iter()
        .map(|step| crate::plan::script::line(&step.action))
        .collect();
    assert_eq!(lines, ["ip link set dev eth0 up"]);
    // If a described NIC keeps the name, another cannot get it.
    let both = vec![link, by_mac("b", "02:00:00:00:00:04")];
    let (resolved, diags) = resolve(&desired(both), &inventory, Missing::StandIn);
    assert_eq!(diags[1].code, Code::DuplicateName);
    assert_eq!(resolved.links[0].name, "nic0");
}

fn on_bus(index: u32, name: &str, slot: &str) -> ObservedLink {
    let bus = format!("pci0000:00/0000:00:{slot}.0/virtio{index}");
    ObservedLink { bus, ..nic(index, name, &format!("bc:24:11:00:00:{index:02x}")) }
}

fn numbered(id: &str, position: usize) -> Link {
    let mut link = Link::new(id, Kind::Physical, at());
    link.select.name = Some(Located::new(NamePattern::Exact(id.into()), at()));
    link.select.position = Some(position);
    link
}

#[test]
fn eth_n_is_the_nth_nic_on_the_bus_if_no_nic_has_the_name() {
    let names = |links: Vec<Link>, nics: Vec<ObservedLink>| -> Vec<String> {
        let (resolved, _) = run(links, &machine(nics));
        resolved.links.iter().map(|l| format!("{}={}", l.desired.id, l.name)).collect()
    };
    // Bus order, not that of the kernel's indexes.
    let two = || vec![on_bus(2, "ens19", "13"), on_bus(3, "ens18", "12")];
    assert_eq!(names(vec![numbered("eth0", 0), numbered("eth1", 1)], two()), ["eth0=ens18", "eth1=ens19"]);
    assert_eq!(names(vec![numbered("eth1", 1)], two()), ["eth1=ens19"]);
    // A machine with net0, net1 and net10: as many NICs as names, so they are matched in order.
    let gaps = || vec![numbered("eth0", 0), numbered("eth10", 10)];
    assert_eq!(names(gaps(), two()), ["eth0=ens18", "eth10=ens19"]);
    // With one NIC more, it is unknown which one is eth10.
    let mut three = two();
    three.push(on_bus(4, "ens20", "14"));
    assert_eq!(names(gaps(), three), ["eth0=ens18"]);
    // A NIC that has the name is never matched to another link.
    let mixed = vec![on_bus(2, "eth0", "13"), on_bus(3, "ens18", "12")];
    assert_eq!(names(vec![numbered("eth1", 1), numbered("eth0", 0)], mixed), ["eth0=eth0"]);
}
