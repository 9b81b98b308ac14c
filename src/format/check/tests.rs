//! Each repair and each error once, on descriptions built by hand.

use super::*;
use crate::model::{Address, Match, Route};

fn at(line: u32) -> Place {
    Place { file: 0, line, column: 1 }
}

fn nic(id: &str, mac: &str) -> Link {
    let mut link = Link::new(id, Kind::Physical, at(1));
    link.select = Match { mac: Some(Located::new(mac.parse().unwrap(), at(1))), ..Match::default() };
    link
}

fn over(id: &str, kind: Kind, members: &[&str]) -> Link {
    let mut link = Link::new(id, kind, at(2));
    link.members = members.iter().map(|m| Located::new((*m).to_owned(), at(3))).collect();
    if kind == Kind::Bond {
        let mode = crate::model::attribute::of(Kind::Bond, "mode").unwrap();
        link.settings.set(mode, OptionValue::Text("802.3ad".into()), at(2));
    }
    link
}

fn vlan(id: &str, parent: &str) -> Link {
    let mut link = Link::new(id, Kind::Vlan, at(4));
    link.parent = Some(Located::new(parent.to_owned(), at(4)));
    link
}

fn run(links: Vec<Link>) -> (Desired, Vec<&'static str>) {
    let mut desired = Desired { links, ..Desired::default() };
    let mut diags = Vec::new();
    check(&mut desired, &mut diags);
    (desired, diags.iter().map(|d| d.code.text()).collect())
}

fn ids(desired: &Desired) -> Vec<&str> {
    desired.links.iter().map(|l| l.id.as_str()).collect()
}

#[test]
fn cyclic_links_are_left_out_with_all_links_above_them() {
    let (desired, diags) =
        run(vec![vlan("a", "b"), vlan("b", "a"), vlan("c", "b"), nic("n", "02:00:00:00:00:01")]);
    assert_eq!(ids(&desired), ["n"]);
    assert_eq!(diags, ["link-cycle", "left-out", "left-out"]);
    let (desired, _) = run(vec![vlan("a", "a")]);
    assert!(desired.links.is_empty());
}

#[test]
fn a_bond_accepts_a_bond_but_no_vrf() {
    let (desired, diags) = run(vec![
        nic("n1", "02:00:00:00:00:01"),
        over("inner", Kind::Bond, &["n1"]),
        over("outer", Kind::Bond, &["inner"]),
        over("red", Kind::Vrf, &[]),
        over("b", Kind::Bond, &["red"]),
        vlan("v", "b"),
    ]);
    assert_eq!(ids(&desired), ["n1", "inner", "outer", "red"]);
    assert_eq!(diags, ["bad-member", "left-out"]);
}

#[test]
fn members_may_be_interface_names_and_typing_errors_are_reported() {
    let (desired, diags) = run(vec![over("bond0", Kind::Bond, &["eno1", "eno2"])]);
    assert_eq!(ids(&desired), ["bond0", "eno1", "eno2"]);
    assert_eq!(diags, ["implied-link", "implied-link"]);
    let (desired, diags) = run(vec![
        nic("private-int1", "02:00:00:00:00:01"),
        over("b", Kind::Bond, &["private-int1", "private-int2"]),
    ]);
    // The machine shows whether it exists.
    assert_eq!(ids(&desired), ["private-int1", "b", "private-int2"]);
    assert_eq!(diags, ["implied-link"]);
    // A VLAN on a misspelt parent would have none.
    let (desired, diags) = run(vec![nic("uplink", "02:00:00:00:00:01"), vlan("v", "uplnk")]);
    assert_eq!(ids(&desired), ["uplink"]);
    assert_eq!(diags, ["dangling-reference", "left-out"]);
}

#[test]
fn a_link_in_two_bonds_belongs_to_the_first() {
    let (desired, diags) = run(vec![
        nic("n1", "02:00:00:00:00:01"),
        nic("n2", "02:00:00:00:00:02"),
        over("a", Kind::Bond, &["n1"]),
        over("b", Kind::Bond, &["n1", "n2"]),
    ]);
    assert_eq!(diags, ["two-controllers"]);
    assert_eq!(desired.links[3].members.len(), 1);
}

#[test]
fn gateways_off_every_subnet_are_made_on_link() {
    let mut link = nic("n", "02:00:00:00:00:01");
    link.addresses = vec![Address::new("10.0.0.2/24".parse().unwrap(), at(5))];
    let to = Family::V4.everything();
    link.routes = vec![
        Route::new("10.1.0.0/16".parse().unwrap(), Some("10.0.0.1".parse().unwrap()), at(6)),
        Route::new(to, Some("192.0.2.1".parse().unwrap()), at(7)),
        Route::new(to, Some("10.0.0.1".parse().unwrap()), at(8)),
        Route::new("10.2.0.0/16".parse().unwrap(), Some("10.0.0.2".parse().unwrap()), at(9)),
    ];
    let (desired, diags) = run(vec![link]);
    assert_eq!(diags, ["gateway-off-subnet", "gateway-is-self", "two-default-routes"]);
    let routes = &desired.links[0].routes;
    // The kernel accepts the link's own address as gateway, but not on-link.
    assert_eq!(routes.iter().map(|r| r.on_link).collect::<Vec<_>>(), [false, true, false, false]);
    // The default route whose gateway is reached without an assumption counts.
    assert_eq!((routes[1].metric, routes[2].metric), (Some(100), None));
}

#[test]
fn a_subnet_that_dhcp_may_bring_causes_no_warning() {
    let mut link = nic("n", "02:00:00:00:00:01");
    link.dynamic = vec![Located::new(crate::model::Dynamic::Dhcp4, at(5))];
    link.routes = vec![Route::new("10.1.0.0/16".parse().unwrap(), Some("192.0.2.1".parse().unwrap()), at(6))];
    let mut desired = Desired { links: vec![link], ..Desired::default() };
    let mut diags = Vec::new();
    check(&mut desired, &mut diags);
    assert!(desired.links[0].routes[0].on_link);
    assert_eq!(diags[0].severity, crate::diagnostic::Severity::Note);
}

#[test]
fn a_member_has_no_network_of_its_own() {
    let mut nic = nic("n", "02:00:00:00:00:01");
    nic.addresses = vec![Address::new("192.0.2.5/24".parse().unwrap(), at(5))];
    nic.routes = vec![Route::new("10.0.0.0/8".parse().unwrap(), Some("192.0.2.1".parse().unwrap()), at(6))];
    for (kind, moved) in [(Kind::Bond, true), (Kind::Bridge, true), (Kind::Vrf, false)] {
        let (desired, diags) = run(vec![nic.clone(), over("c", kind, &["n"])]);
        assert_eq!(diags.contains(&"member-address"), moved, "{kind:?}");
        let with = &desired.links[usize::from(moved)];
        assert_eq!((with.addresses.len(), with.routes.len()), (1, 1), "{kind:?}");
    }
}

use crate::model::Family;

#[test]
fn bond_options_follow_the_mode() {
    let mut bond = over("b", Kind::Bond, &["n1"]);
    for (name, value) in
        [("mode", "active-backup"), ("lacp_rate", "fast"), ("arp_interval", "100"), ("miimon", "100")]
    {
        let row = crate::model::attribute::of(Kind::Bond, name).unwrap();
        bond.settings.set(row, row.parse(value).unwrap(), at(2));
    }
    let (desired, diags) = run(vec![nic("n1", "02:00:00:00:00:01"), bond]);
    assert_eq!(diags, ["option-ignored", "option-conflict"]);
    assert_eq!(desired.links[1].settings.0.keys().copied().collect::<Vec<_>>(), ["arp_interval", "mode"]);
}

#[test]
fn mtus_go_up_from_vlans_and_members() {
    let mut n1 = nic("n1", "02:00:00:00:00:01");
    n1.mtu = Some(Located::new(Mtu::new(9000).unwrap(), at(1)));
    let (desired, diags) = run(vec![n1, over("b", Kind::Bond, &["n1"])]);
    assert_eq!(desired.links[1].mtu.unwrap().value.get(), 9000);
    assert!(diags.is_empty());
    let mut v = vlan("v", "b");
    v.mtu = Some(Located::new(Mtu::new(9000).unwrap(), at(4)));
    let (desired, diags) = run(vec![nic("n1", "02:00:00:00:00:01"), over("b", Kind::Bond, &["n1"]), v]);
    assert_eq!(desired.links[0].mtu.unwrap().value.get(), 9000);
    assert_eq!(diags, ["vlan-mtu"]);
}

#[test]
fn a_bond_that_follows_its_members_has_no_address_of_its_own() {
    for (policy, kept) in [("none", true), ("active", false), ("follow", false)] {
        let mut bond = over("b", Kind::Bond, &["n"]);
        for (name, word) in [("mode", "active-backup"), ("fail_over_mac", policy)] {
            let row = crate::model::attribute::of(Kind::Bond, name).unwrap();
            bond.settings.set(row, OptionValue::Text(word.into()), at(2));
        }
        let mac = "02:00:00:00:00:09".parse().unwrap();
        bond.mac = Some(Located::new(crate::model::DesiredMac::Is(mac), at(5)));
        let (desired, diags) = run(vec![nic("n", "02:00:00:00:00:01"), bond]);
        assert_eq!(desired.links[1].mac.is_some(), kept, "{policy}");
        assert_eq!(diags.contains(&"option-ignored"), !kept, "{diags:?}");
    }
}
