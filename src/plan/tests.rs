//! Plans as lines, on machines built by hand. Once a plan has been applied, a second one is empty.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::*;
use crate::inventory::{AddressEntry, MacOrigin, ObservedLink, RouteEntry};
use crate::model::attribute::{self, OptionValue};
use crate::model::{
    Activation, Address, AddressGeneration, Desired, DesiredMac, IfName, Kind, Link, Located, Match, Mtu,
    Naming, Protocol, Route, Scope,
};
use crate::resolve::{Missing, resolve};

fn at() -> Place {
    Place { file: 0, line: 1, column: 1 }
}

fn nic(index: u32, name: &str, mac: &str) -> ObservedLink {
    let mac = mac.parse().ok();
    let layer = "ether".into();
    ObservedLink {
        index,
        name: name.into(),
        mac,
        permanent_mac: mac,
        layer,
        mtu: 1500,
        ..ObservedLink::default()
    }
}

fn by_mac(id: &str, mac: &str) -> Link {
    let mut link = Link::new(id, Kind::Physical, at());
    link.select = Match { mac: Some(Located::new(mac.parse().unwrap(), at())), ..Match::default() };
    link
}

fn bond(id: &str, mode: &str, members: &[&str]) -> Link {
    let mut link = Link::new(id, Kind::Bond, at());
    link.members = members.iter().map(|m| Located::new((*m).to_owned(), at())).collect();
    link.settings.set(attribute::of(Kind::Bond, "mode").unwrap(), OptionValue::Text(mode.into()), at());
    link
}

fn address(text: &str) -> Address {
    Address::new(text.parse().unwrap(), at())
}

/// The lines of a plan; checks that the machine is as described after it.
fn lines(links: &[Link], inventory: &Inventory) -> Vec<String> {
    let desired = Desired { links: links.to_vec(), ..Desired::default() };
    let (resolved, diags) = resolve(&desired, inventory, Missing::Report);
    assert!(diags.is_empty(), "{diags:?}");
    let plan = plan(&resolved, inventory);
    let mut state = State::of(inventory);
    plan.steps.iter().for_each(|s| state.effect(&s.action));
    let after = Inventory {
        links: state.links.into_values().map(Cow::into_owned).collect(),
        addresses: state.addresses.into_values().flatten().collect(),
        routes: state.routes.into_values().flat_map(Cow::into_owned).collect(),
        rules: state.rules,
        ..Inventory::default()
    };
    let (resolved, _) = resolve(&desired, &after, Missing::Report);
    let again: Vec<String> =
        super::plan(&resolved, &after).steps.iter().map(|s| script::line(&s.action)).collect();
    assert_eq!(again, Vec::<String>::new(), "a second plan is not empty");
    plan.steps.iter().map(|s| script::line(&s.action)).collect()
}

fn two_nics() -> Inventory {
    let links = vec![nic(2, "eth0", "7c:c2:55:6e:90:44"), nic(3, "eth1", "7c:c2:55:6e:90:45")];
    Inventory { links, ..Inventory::default() }
}

fn case_1() -> Vec<Link> {
    let mut aggi = bond("aggi", "802.3ad", &["int1", "int2"]);
    aggi.naming = Naming::Set(Located::new(IfName::new("aggi").unwrap(), at()));
    aggi.mtu = Some(Located::new(Mtu::new(9000).unwrap(), at()));
    aggi.addresses.push(address("10.158.175.249/31"));
    let via = "10.158.175.248".parse().ok();
    aggi.routes.push(Route::new("10.0.0.0/8".parse().unwrap(), via, at()));
    vec![by_mac("int1", "7c:c2:55:6e:90:44"), by_mac("int2", "7c:c2:55:6e:90:45"), aggi]
}

#[test]
fn a_bond_is_made_filled_brought_up_and_addressed() {
    assert_eq!(
        lines(&case_1(), &two_nics()),
        [
            "ip link add name aggi mtu 9000 type bond mode 802.3ad",
            "ip link set dev eth0 master aggi",
            "ip link set dev eth1 master aggi",
            "ip link set dev aggi up",
            "ip address add 10.158.175.249/31 dev aggi",
            "ip -4 route add 10.0.0.0/8 via 10.158.175.248 dev aggi proto static",
        ]
    );
}

#[test]
fn a_members_old_address_is_removed_and_it_is_taken_down_to_join() {
    let mut inventory = two_nics();
    inventory.links[0].up = true;
    let entry = AddressEntry::new("eth0", "10.158.175.249/31".parse().unwrap());
    inventory.addresses.push(entry);
    let lines = lines(&case_1(), &inventory);
    assert_eq!(lines[0], "ip address delete 10.158.175.249/31 dev eth0");
    let place = |what: &str| lines.iter().position(|l| l == what).unwrap();
    assert!(place("ip link set dev eth0 down") < place("ip link set dev eth0 master aggi"));
}

#[test]
fn a_bonds_mode_changes_without_recreating_it() {
    let mut inventory = two_nics();
    let mut there =
        ObservedLink { kind: "bond".into(), up: true, mtu: 9000, ..nic(4, "aggi", "7c:c2:55:6e:90:44") };
    there.settings.insert("mode".into(), OptionValue::Text("active-backup".into()));
    inventory.links.push(there);
    for link in &mut inventory.links[..2] {
        link.controller = Some("aggi".into());
        link.up = true;
        link.mtu = 9000;
    }
    let lines = lines(&case_1(), &inventory);
    assert_eq!(
        lines[..7],
        [
            "ip link set dev aggi down",
            "ip link set dev eth0 nomaster",
            "ip link set dev eth1 nomaster",
            "ip link set dev aggi type bond mode 802.3ad",
            "ip link set dev eth0 master aggi",
            "ip link set dev eth1 master aggi",
            "ip link set dev aggi up",
        ]
    );
}

#[test]
fn swapped_names_use_a_third_one() {
    let mut a = by_mac("a", "7c:c2:55:6e:90:44");
    let mut b = by_mac("b", "7c:c2:55:6e:90:45");
    a.naming = Naming::Set(Located::new(IfName::new("eth1").unwrap(), at()));
    b.naming = Naming::Set(Located::new(IfName::new("eth0").unwrap(), at()));
    assert_eq!(
        lines(&[a, b], &two_nics())[..3],
        [
            "ip link set dev eth0 name netapply2",
            "ip link set dev eth1 name eth0",
            "ip link set dev netapply2 name eth1",
        ]
    );
}

#[test]
fn a_vlan_follows_its_link_and_gets_its_routes_after_its_addresses() {
    let mut vlan = Link::new("v", Kind::Vlan, at());
    vlan.parent = Some(Located::new("n".into(), at()));
    vlan.settings.set(attribute::of(Kind::Vlan, "id").unwrap(), OptionValue::Number(100), at());
    vlan.addresses.push(address("2001:db8::2/64"));
    let mut route = Route::new("::/0".parse().unwrap(), "2001:db8::1".parse().ok(), at());
    route.source = "2001:db8::2".parse().ok();
    vlan.routes.push(route);
    assert_eq!(
        lines(&[vlan, by_mac("n", "7c:c2:55:6e:90:44")], &two_nics()),
        [
            "ip link set dev eth0 up",
            "ip link add name eth0.100 link eth0 type vlan id 100",
            "ip link set dev eth0.100 up",
            "ip address add 2001:db8::2/64 dev eth0.100",
            "n=0; while ip -6 -o address show dev eth0.100 tentative | grep -q . && [ $n -lt 10 ]; do sleep 1; n=$((n+1)); done",
            "ip -6 route add default via 2001:db8::1 dev eth0.100 proto static src 2001:db8::2",
        ]
    );
}

#[test]
fn the_primary_address_is_the_first_described() {
    let mut inventory = two_nics();
    inventory.links[0].up = true;
    let there = |net: &str| AddressEntry::new("eth0", net.parse().unwrap());
    inventory.addresses = vec![there("10.0.0.3/24"), there("10.0.0.2/24"), there("10.1.0.2/24")];
    inventory.routes = inventory.addresses[1..].iter().map(|a| state::connected_route(a, None)).collect();
    let mut link = by_mac("n", "7c:c2:55:6e:90:44");
    link.addresses = vec![address("10.0.0.2/24"), address("10.0.0.3/24"), address("10.1.0.2/24")];
    assert_eq!(
        lines(&[link], &inventory),
        [
            "ip address delete 10.0.0.3/24 dev eth0",
            "ip address delete 10.0.0.2/24 dev eth0",
            "ip address add 10.0.0.2/24 broadcast 10.0.0.255 dev eth0",
            "ip address add 10.0.0.3/24 broadcast 10.0.0.255 dev eth0",
        ]
    );
}

/// The route that the kernel creates for an address.
fn connected(link: &str, to: &str) -> RouteEntry {
    let to = RouteEntry::new(to.parse().unwrap());
    RouteEntry { link: Some(link.to_owned()), scope: Scope::Link, protocol: Protocol::Kernel, ..to }
}

/// A secondary address is removed alone, and so is a primary one if the next is promoted: routes stay, so that
/// undescribed ones are removed by steps of their own.
#[test]
fn removing_an_address_removes_its_dependents() {
    let mut inventory = two_nics();
    inventory.links[0].up = true;
    let there = |net: &str| AddressEntry::new("eth0", net.parse().unwrap());
    inventory.addresses = vec![there("10.0.0.2/24"), there("10.0.0.3/24")];
    let (link, via) = (Some("eth0".to_owned()), "10.0.0.1".parse().ok());
    let old = RouteEntry::new("10.9.0.0/16".parse().unwrap());
    inventory.routes =
        vec![connected("eth0", "10.0.0.0/24"), RouteEntry { link, via, protocol: Protocol::Static, ..old }];
    let with = |net: &str| {
        let mut link = by_mac("n", "7c:c2:55:6e:90:44");
        link.addresses = vec![address(net)];
        [link]
    };
    let route = "ip -4 route delete 10.9.0.0/16 via 10.0.0.1 dev eth0 proto static";
    assert_eq!(lines(&with("10.0.0.2/24"), &inventory), ["ip address delete 10.0.0.3/24 dev eth0", route]);
    let first = "ip address delete 10.0.0.2/24 dev eth0";
    let again = "ip address add 10.0.0.3/24 broadcast 10.0.0.255 dev eth0";
    assert_eq!(lines(&with("10.0.0.3/24"), &inventory), [first, again]);
    inventory.links[0].ipv4.insert("promote_secondaries".into(), 1);
    assert_eq!(lines(&with("10.0.0.3/24"), &inventory), [first, route]);
    inventory.links[0].ipv4.clear();
    inventory.sysctls.insert("net/ipv4/conf/all/promote_secondaries".to_owned(), 1);
    assert_eq!(lines(&with("10.0.0.3/24"), &inventory), [first, route]);
}

#[test]
fn a_broadcast_address_that_is_named_replaces_another() {
    let mut inventory = two_nics();
    inventory.links[0].up = true;
    let there = AddressEntry::new("eth0", "10.0.0.2/24".parse().unwrap());
    inventory.addresses = vec![AddressEntry { broadcast: "10.0.0.9".parse().ok(), ..there }];
    inventory.routes = vec![connected("eth0", "10.0.0.0/24")];
    let mut link = by_mac("n", "7c:c2:55:6e:90:44");
    link.addresses = vec![address("10.0.0.2/24")];
    assert_eq!(lines(&[link.clone()], &inventory), Vec::<String>::new());
    link.addresses[0].broadcast = "10.0.0.0".parse().ok();
    assert_eq!(
        lines(&[link], &inventory),
        ["ip address delete 10.0.0.2/24 dev eth0", "ip address add 10.0.0.2/24 broadcast 10.0.0.0 dev eth0"]
    );
}

#[test]
fn a_vlan_of_another_tag_protocol_is_recreated() {
    let mut inventory = two_nics();
    inventory.links[0].up = true;
    let settings = BTreeMap::from([
        ("id".into(), OptionValue::Number(100)),
        ("protocol".into(), OptionValue::Text("802.1ad".into())),
    ]);
    let (parent, up) = (Some("eth0".into()), true);
    let there =
        ObservedLink { kind: "vlan".into(), parent, up, settings, ..nic(4, "eth0.100", "7c:c2:55:6e:90:44") };
    inventory.links.push(there);
    let mut vlan = Link::new("v", Kind::Vlan, at());
    vlan.parent = Some(Located::new("n".into(), at()));
    vlan.settings.set(attribute::of(Kind::Vlan, "id").unwrap(), OptionValue::Number(100), at());
    let links = [vlan, by_mac("n", "7c:c2:55:6e:90:44")];
    assert_eq!(
        lines(&links, &inventory),
        [
            "ip link delete dev eth0.100",
            "ip link add name eth0.100 link eth0 type vlan id 100",
            "ip link set dev eth0.100 up",
        ]
    );
    // With another name it is another VLAN.
    "stag".clone_into(&mut inventory.links[2].name);
    assert_eq!(lines(&links, &inventory).len(), 2);
}

#[test]
fn a_smaller_mtu_of_ipv6_is_a_leftover_unless_a_router_advertises_it() {
    let mut link = by_mac("n", "7c:c2:55:6e:90:44");
    link.mtu = Some(Located::new(Mtu::new(1500).unwrap(), at()));
    link.addresses = vec![address("2001:db8::2/64")];
    let mut inventory = two_nics();
    (inventory.links[0].up, inventory.links[0].carrier) = (true, true);
    inventory.links[0].ipv6 = BTreeMap::from([("mtu".into(), 1400)]);
    let sets_mtu = |inventory: &Inventory| {
        lines(std::slice::from_ref(&link), inventory)
            .iter()
            .any(|line| line == "echo 1500 >/proc/sys/net/ipv6/conf/eth0/mtu")
    };
    assert!(sets_mtu(&inventory));
    inventory.links[0].advertised_mtu = Some(1400);
    assert!(!sets_mtu(&inventory));
}

#[test]
fn the_mtu_of_ipv6_waits_for_a_nic_that_has_carrier_and_is_not_ready_yet() {
    let mut link = by_mac("n", "7c:c2:55:6e:90:44");
    link.ipv6.mtu = Some(Located::new(1300, at()));
    let mut inventory = two_nics();
    let nic = &mut inventory.links[0];
    (nic.up, nic.carrier, nic.mtu) = (true, true, 1500);
    let waits = |inventory: &Inventory| {
        lines(std::slice::from_ref(&link), inventory).iter().any(|line| line.contains("eth0/operstate"))
    };
    assert!(!waits(&inventory));
    "down".clone_into(&mut inventory.links[0].operstate);
    assert!(waits(&inventory));
}

#[test]
fn a_nic_gets_the_mtu_that_its_described_vlan_needs() {
    let mut inventory = two_nics();
    (inventory.links[0].up, inventory.links[0].mtu) = (true, 1400);
    let mut vlan = Link::new("v", Kind::Vlan, at());
    vlan.parent = Some(Located::new("n".into(), at()));
    vlan.mtu = Some(Located::new(Mtu::new(1500).unwrap(), at()));
    vlan.settings.set(attribute::of(Kind::Vlan, "id").unwrap(), OptionValue::Number(100), at());
    let lines = lines(&[vlan, by_mac("n", "7c:c2:55:6e:90:44")], &inventory);
    assert_eq!(lines[0], "ip link set dev eth0 mtu 1500");
}

/// Through any number of VLANs, down to a bond, whose members follow it (bond_change_mtu).
#[test]
fn every_parent_gets_the_mtu_that_a_described_vlan_needs() {
    let mut bond = ObservedLink { kind: "bond".into(), up: true, ..nic(4, "bond0", "02:00:00:00:00:0b") };
    bond.mtu = 1400;
    let inventory = Inventory { links: vec![bond], ..Inventory::default() };
    let vlan = |id: &str, parent: &str, number: i64| {
        let mut vlan = Link::new(id, Kind::Vlan, at());
        vlan.naming = Naming::Set(Located::new(IfName::new(id).unwrap(), at()));
        vlan.parent = Some(Located::new(parent.into(), at()));
        vlan.settings.set(attribute::of(Kind::Vlan, "id").unwrap(), OptionValue::Number(number), at());
        vlan
    };
    let mut upper = vlan("upper", "lower", 200);
    upper.mtu = Some(Located::new(Mtu::new(1500).unwrap(), at()));
    let mut below = Link::new("bond0", Kind::Bond, at());
    below.naming = Naming::Set(Located::new(IfName::new("bond0").unwrap(), at()));
    let lines = lines(&[upper, vlan("lower", "bond0", 100), below], &inventory);
    assert!(lines.contains(&"ip link set dev bond0 mtu 1500".to_owned()), "{lines:#?}");
}

#[test]
fn a_vxlan_of_the_id_under_another_name_is_renamed() {
    let parent = ObservedLink { up: true, ..nic(2, "eth0", "02:00:00:00:00:01") };
    let there = ObservedLink {
        kind: "vxlan".into(),
        parent: Some("eth0".into()),
        settings: BTreeMap::from([("id".into(), OptionValue::Number(7))]),
        ..nic(3, "old", "02:00:00:00:00:02")
    };
    let inventory = Inventory { links: vec![parent, there], ..Inventory::default() };
    let mut vxlan = Link::new("vx0", Kind::Vxlan, at());
    vxlan.naming = Naming::Set(Located::new(IfName::new("vx0").unwrap(), at()));
    vxlan.parent = Some(Located::new("e".to_owned(), at()));
    vxlan.settings.set(attribute::of(Kind::Vxlan, "id").unwrap(), OptionValue::Number(7), at());
    assert_eq!(
        lines(&[by_mac("e", "02:00:00:00:00:01"), vxlan], &inventory),
        ["ip link set dev old name vx0", "ip link set dev vx0 up"]
    );
}

#[test]
fn each_step_has_one_means_and_hand_off_tuning_and_waits_undo_nothing() {
    let sysctl = |key: &str| Action::Sysctl { key: key.to_owned(), value: "0".to_owned() };
    let wait = Action::AwaitCarrier { link: "eth0".to_owned() };
    let wake = Action::WakeOnLan { name: "eth0".to_owned(), on: true };
    let down = Action::SetLink { name: "eth0".to_owned(), change: LinkChange::Down };
    for (action, means, counts, undone) in [
        (down, Means::Netlink, true, true),
        (wake, Means::GenericNetlink, false, true),
        (sysctl("net/ipv6/conf/eth0/autoconf"), Means::Sysctl, true, true),
        (sysctl("kernel/hostname"), Means::Sysctl, false, true),
        (Action::RemoveFile { path: "/run/x".to_owned() }, Means::File, false, true),
        (Action::Refresh(Service::Networkd), Means::Bus, false, true),
        (wait, Means::Wait, false, true),
    ] {
        let counted = !(action.is_handoff() || action.is_tuning() || action.is_wait());
        let found = (action.means(), counted, action.irreversible().is_none());
        assert_eq!(found, (means, counts, undone), "{action:?}");
    }
}

#[test]
fn a_console_is_spared_what_a_step_writes() {
    let content = "nameserver 192.0.2.53\n".to_owned();
    let [program, record, path] = ["/sbin/resolvconf", "eth0.netapply", "/run/x"].map(str::to_owned);
    let resolvconf = Action::Resolvconf { program, record, content: Some(content.clone()) };
    assert_eq!(script::brief(&resolvconf), "/sbin/resolvconf -a eth0.netapply");
    assert_eq!(script::brief(&Action::WriteFile { path, content }), "write /run/x");
    let up = Action::SetLink { name: "eth0".to_owned(), change: LinkChange::Up };
    assert_eq!(script::brief(&up), script::line(&up));
}

#[test]
fn a_vxlan_changes_its_group_in_place_and_its_family_by_recreation() {
    let parent = nic(2, "eth0", "02:00:00:00:00:01");
    let settings = BTreeMap::from([
        ("id".into(), OptionValue::Number(7)),
        ("remote".into(), OptionValue::Ip("239.1.1.1".parse().unwrap())),
    ]);
    let there = ObservedLink {
        kind: "vxlan".into(),
        parent: Some("eth0".into()),
        up: true,
        settings,
        ..nic(3, "vx0", "02:00:00:00:00:02")
    };
    let inventory =
        Inventory { links: vec![ObservedLink { up: true, ..parent }, there], ..Inventory::default() };
    let with = |option: &str, ip: &str| {
        let mut vxlan = Link::new("vx0", Kind::Vxlan, at());
        vxlan.naming = Naming::Set(Located::new(IfName::new("vx0").unwrap(), at()));
        vxlan.parent = Some(Located::new("e".to_owned(), at()));
        for (name, value) in [("id", OptionValue::Number(7)), (option, OptionValue::Ip(ip.parse().unwrap()))]
        {
            vxlan.settings.set(attribute::of(Kind::Vxlan, name).unwrap(), value, at());
        }
        [by_mac("e", "02:00:00:00:00:01"), vxlan]
    };
    assert_eq!(
        lines(&with("remote", "239.1.1.2"), &inventory),
        ["ip link set dev vx0 type vxlan dev eth0 group 239.1.1.2"]
    );
    assert_eq!(
        lines(&with("remote6", "2001:db8::1"), &inventory),
        [
            "ip link delete dev vx0",
            "ip link add name vx0 type vxlan id 7 remote 2001:db8::1 dev eth0",
            "ip link set dev vx0 up"
        ]
    );
}

#[test]
fn a_random_mac_is_set_unless_the_kernel_or_a_program_has_drawn_one() {
    let there = |mac: &str, permanent: bool, mac_origin| {
        let link = ObservedLink { mac_origin, ..nic(2, "eth0", mac) };
        ObservedLink { permanent_mac: link.mac.filter(|_| permanent), ..link }
    };
    let drawn = |there: ObservedLink, random: u64| {
        let mut link = by_mac("eth0", &there.mac.unwrap().to_string());
        link.mac = Some(Located::new(DesiredMac::Random, at()));
        link.activation = Activation::Manual;
        lines(&[link], &Inventory { links: vec![there], random, ..Inventory::default() })
    };
    // A virtual machine's address is locally administered and permanent.
    let virtual_one = || there("52:54:00:00:00:01", true, Some(MacOrigin::Permanent));
    let first = drawn(virtual_one(), 1);
    assert!(matches!(&first[..], [line] if line.starts_with("ip link set dev eth0 address ")), "{first:?}");
    assert_ne!(first, drawn(virtual_one(), 2));
    assert_eq!(drawn(virtual_one(), 0), drawn(virtual_one(), 0));
    assert_eq!(drawn(there("52:54:00:00:00:01", true, None), 1).len(), 1);
    assert_eq!(drawn(there("00:16:3e:00:00:01", false, Some(MacOrigin::Set)), 1).len(), 1);
    for origin in [Some(MacOrigin::Random), Some(MacOrigin::Set), None] {
        assert_eq!(drawn(there("02:11:22:33:44:55", false, origin), 1), Vec::<String>::new());
    }
}

#[test]
fn stable_addresses_have_a_secret_that_outlives_the_boot() {
    let mut bond = bond("bond0", "active-backup", &["eth0"]);
    bond.ipv6.generation = Some(Located::new(AddressGeneration::StableSecret, at()));
    let links = [by_mac("eth0", "7c:c2:55:6e:90:44"), bond];
    let secret = |machine_id_lasts| {
        let inventory = Inventory { machine_id_lasts, ..two_nics() };
        let lines = lines(&links, &inventory);
        lines.into_iter().find(|line| line.ends_with("bond0/stable_secret")).unwrap()
    };
    assert_eq!(secret(false), "echo ::7cc2:556e:9044 >/proc/sys/net/ipv6/conf/bond0/stable_secret");
    let of_the_machine =
        "sed 's/..../&:/g; s/:$//' /etc/machine-id >/proc/sys/net/ipv6/conf/bond0/stable_secret";
    assert_eq!(secret(true), of_the_machine);
}
