//! Plans made by hand, executed in a namespace, and checked with ip(8).

use std::collections::BTreeMap;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use netapply::kernel::apply::{self, AfterFailure, StepOutcome};
use netapply::kernel::effects::Real;
use netapply::kernel::names::Names;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::machine::Machine;
use netapply::model::attribute::OptionValue;
use netapply::model::{AddressGeneration, Kind, RouteKind};
use netapply::plan::{Action, LinkChange, NewLink, Plan, StepId};

use crate::plans::{address, all_done, apply, bridge, new_link, plan, route, rule, set, veth};
use harness::namespace::{in_namespace, ip, ip_json};

/// A kernel without bridge VLAN filtering refuses it with the error, and without the text, of one that has no bridges.
#[test]
fn a_missing_option_is_not_reported_as_a_missing_kind() {
    in_namespace(async || {
        let settings = BTreeMap::from([("vlan_filtering", OptionValue::Bool(true))]);
        let outcome =
            apply(&plan(vec![(Action::AddLink(NewLink { settings, ..new_link("br0", Kind::Bridge) }), &[])]))
                .await;
        let filters = std::process::Command::new("ip")
            .args(["link", "add", "br1", "type", "bridge", "vlan_filtering", "1"])
            .status()
            .expect("ip runs");
        let troubles: Vec<String> = outcome.failures().map(|(_, trouble)| trouble.to_string()).collect();
        let refused = "the kernel refused: Operation not supported (EOPNOTSUPP)";
        assert_eq!(troubles, if filters.success() { vec![] } else { vec![refused] });
    });
}

fn network() -> Plan {
    let mut far = route("br0", "10.0.0.0/8", "198.51.100.1");
    far.on_link = true;
    far.table = 1000;
    far.source = Some("192.0.2.1".parse().unwrap());
    far.metrics.insert("mtu".into(), 1300);
    let mut blackhole = route("br0", "10.9.0.0/16", "192.0.2.254");
    (blackhole.link, blackhole.via, blackhole.kind) = (None, None, RouteKind::Blackhole);
    let mut over_v6 = route("br0", "10.8.0.0/16", "fe80::1");
    over_v6.metric = 0;
    let mut labelled = address("br0", "192.0.2.2/24");
    labelled.label = Some("br0:a".to_owned());
    labelled.broadcast = Some("192.0.2.255".parse().unwrap());
    let mut deprecated = address("br0", "2001:db8::2/64");
    deprecated.preferred = Some(0);
    let port = BTreeMap::from([("cost", OptionValue::Number(7)), ("hairpin", OptionValue::Bool(true))]);
    plan(vec![
        (bridge("br0"), &[]),
        (veth("eth0", "eth1"), &[]),
        (set("eth0", LinkChange::Controller("br0".to_owned())), &[0, 1]),
        (set("eth0", LinkChange::PortOptions { kind: Kind::Bridge, settings: port }), &[2]),
        (set("eth1", LinkChange::AddAltName("a-rather-long-name-for-it".to_owned())), &[1]),
        (set("br0", LinkChange::Generation(AddressGeneration::None)), &[0]),
        // A bridge keeps an MTU only if it is set after creation (br_mtu_auto_adjust).
        (set("br0", LinkChange::Mtu(1400)), &[2]),
        (set("br0", LinkChange::Up), &[0]),
        (set("eth0", LinkChange::Up), &[1]),
        (set("eth1", LinkChange::Up), &[1]),
        (Action::AddAddress(address("br0", "192.0.2.1/24")), &[0]),
        (Action::AddAddress(labelled), &[0]),
        (Action::AddAddress(deprecated), &[0]),
        (Action::AddRoute(route("br0", "0.0.0.0/0", "192.0.2.254")), &[10]),
        (Action::AddRoute(far), &[10]),
        (Action::AddRoute(blackhole), &[]),
        (Action::AddRoute(over_v6), &[10]),
        (Action::AddRule(rule("192.0.2.0/24")), &[]),
        (Action::Sysctl { key: "net/ipv6/conf/br0/accept_ra".to_owned(), value: "0".to_owned() }, &[0]),
    ])
}

#[test]
fn a_plan_becomes_what_ip_shows() {
    in_namespace(async || {
        all_done(&apply(&network()).await);
        let bridge = &ip_json("link show br0")[0];
        assert_eq!((&bridge["mtu"], &bridge["address"]), (&1400.into(), &"02:00:00:00:00:10".into()));
        assert_eq!(bridge["linkinfo"]["info_data"]["forward_delay"], 400);
        assert_eq!(bridge["linkinfo"]["info_data"]["stp_state"], 1);
        assert_eq!(bridge["inet6_addr_gen_mode"], "none");
        let port = &ip_json("link show eth0")[0];
        assert_eq!(
            (&port["master"], &port["linkinfo"]["info_slave_data"]["cost"]),
            (&"br0".into(), &7.into())
        );
        assert_eq!(port["linkinfo"]["info_slave_data"]["hairpin"], true);
        assert_eq!(ip_json("link show eth1")[0]["altnames"][0], "a-rather-long-name-for-it");
        let addresses = ip_json("address show br0");
        let addresses = addresses[0]["addr_info"].as_array().unwrap();
        let shown: Vec<_> =
            addresses.iter().map(|a| (a["local"].as_str().unwrap(), a["label"].as_str())).collect();
        assert_eq!(shown, [("192.0.2.1", Some("br0")), ("192.0.2.2", Some("br0:a")), ("2001:db8::2", None)]);
        assert_eq!(addresses[2]["preferred_life_time"], 0);
        let routes = ip_json("-4 route show table all proto static");
        let find = |to: &str| {
            routes.as_array().unwrap().iter().find(|r| r["dst"] == to).unwrap_or_else(|| panic!("no {to}"))
        };
        assert_eq!(
            (&find("default")["gateway"], &find("default")["metric"]),
            (&"192.0.2.254".into(), &100.into())
        );
        let far = find("10.0.0.0/8");
        assert_eq!((&far["prefsrc"], &far["table"]), (&"192.0.2.1".into(), &"1000".into()));
        assert_eq!((&far["flags"][0], &far["metrics"][0]["mtu"]), (&"onlink".into(), &1300.into()));
        assert_eq!(find("10.9.0.0/16")["type"], "blackhole");
        assert_eq!(find("10.8.0.0/16")["via"]["host"], "fe80::1");
        let rules = ip_json("rule");
        let rule = rules.as_array().unwrap().iter().find(|r| r["priority"] == 99).unwrap();
        assert_eq!(
            (&rule["src"], &rule["fwmark"], &rule["table"]),
            (&"192.0.2.0".into(), &"0x7".into(), &"1000".into())
        );
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv6/conf/br0/accept_ra").unwrap(), "0\n");
    });
}

#[test]
fn already_satisfied_steps_succeed() {
    in_namespace(async || {
        let network = network();
        all_done(&apply(&network).await);
        ip("link set br0 type bridge forward_delay 1500");
        let before = ip_json("route show table all");
        all_done(&apply(&network).await);
        assert_eq!(ip_json("route show table all"), before);
        assert_eq!(ip_json("link show br0")[0]["linkinfo"]["info_data"]["forward_delay"], 400);
        let mut gone = Vec::new();
        for step in &network.steps {
            gone.push((
                match &step.action {
                    Action::AddRoute(entry) => Action::DeleteRoute(entry.clone()),
                    Action::AddAddress(entry) => Action::DeleteAddress(entry.clone()),
                    Action::AddRule(entry) => Action::DeleteRule(entry.clone()),
                    _ => continue,
                },
                &[][..],
            ));
        }
        gone.reverse();
        let gone = plan(gone);
        all_done(&apply(&gone).await);
        assert_eq!(ip_json("route show table all proto static").as_array().unwrap().len(), 0);
        assert_eq!(ip_json("-4 address show dev br0")[0]["addr_info"].as_array().map_or(0, Vec::len), 0);
        all_done(&apply(&gone).await);
    });
}

#[test]
fn a_refused_step_skips_only_its_dependents() {
    in_namespace(async || {
        ip("link add br9 type bridge");
        let steps = plan(vec![
            (bridge("br0"), &[]),
            (set("br9", LinkChange::Controller("br0".to_owned())), &[0]),
            (set("br9", LinkChange::Up), &[1]),
            (Action::AddAddress(address("br9", "192.0.2.9/24")), &[2]),
            (Action::AddAddress(address("br0", "192.0.2.1/24")), &[0]),
            (set("br0", LinkChange::Up), &[0]),
            (Action::AddRoute(route("br0", "0.0.0.0/0", "203.0.113.1")), &[4, 5]),
            (set("eth7", LinkChange::Up), &[]),
            (Action::AddRoute(route("br0", "10.0.0.0/8", "192.0.2.254")), &[4, 5]),
        ]);
        let outcome = apply(&steps).await;
        let text = |step: &StepOutcome| match step {
            StepOutcome::Done { .. } => "done".to_owned(),
            StepOutcome::Failed(trouble) => trouble.to_string(),
            StepOutcome::Skipped { because } => format!("because of {}", because.0),
            StepOutcome::Underway | StepOutcome::NotReached => "not reached".to_owned(),
        };
        let texts: Vec<String> = outcome.steps.iter().map(text).collect();
        assert_eq!(
            texts,
            [
                "done",
                "the kernel refused: Can not enslave a bridge to a bridge (ELOOP)",
                "because of 1",
                "because of 1",
                "done",
                "done",
                "the kernel refused: Nexthop has invalid gateway (ENETUNREACH)",
                "no link named eth7",
                "done"
            ]
        );
    });
}

#[test]
fn a_refused_option_is_named() {
    in_namespace(async || {
        let settings =
            BTreeMap::from([("id", OptionValue::Number(1 << 24)), ("ageing", OptionValue::Number(30))]);
        let vxlan = Action::AddLink(NewLink { settings, ..new_link("vx0", Kind::Vxlan) });
        let outcome = apply(&plan(vec![(vxlan, &[])])).await;
        let texts: Vec<String> = outcome.failures().map(|(_, trouble)| trouble.to_string()).collect();
        assert_eq!(texts, ["the kernel refused id: VXLAN ID must be lower than 16777216 (ERANGE)"]);
    });
}

#[test]
fn names_are_swapped_and_the_steps_after_mean_the_new_ones() {
    in_namespace(async || {
        ip("link add eth0 address 02:00:00:00:00:01 type veth peer name eth1 address 02:00:00:00:00:02");
        let rename = |from: &str, to: &str| set(from, LinkChange::Rename(to.to_owned()));
        let steps = plan(vec![
            (rename("eth0", "tmp0"), &[]),
            (rename("eth1", "eth0"), &[0]),
            (rename("tmp0", "eth1"), &[1]),
            (set("eth1", LinkChange::Mtu(1300)), &[2]),
            (Action::DeleteLink { name: "eth0".to_owned() }, &[3]),
            (bridge("eth0"), &[4]),
            (Action::AddAddress(address("eth0", "192.0.2.1/24")), &[5]),
        ]);
        let mut before_the_end = steps.clone();
        before_the_end.steps.truncate(4);
        all_done(&apply(&before_the_end).await);
        let link = &ip_json("link show eth1")[0];
        assert_eq!((&link["address"], &link["mtu"]), (&"02:00:00:00:00:01".into(), &1300.into()));
        let mut the_end = steps;
        the_end.steps.drain(..4);
        the_end.steps.iter_mut().for_each(|step| step.needs.clear());
        all_done(&apply(&the_end).await);
        assert_eq!(ip_json("address show eth0")[0]["addr_info"][0]["local"], "192.0.2.1");
    });
}

#[test]
fn a_route_from_a_tentative_address_waits_for_it() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        ip("link set eth0 up");
        ip("link set eth1 up");
        let own = "2001:db8::1".parse().unwrap();
        let mut from_it = route("eth0", "2001:db8:1::/48", "2001:db8::fe");
        from_it.source = Some(own);
        let wait = || Action::AwaitAddresses {
            link: "eth0".to_owned(),
            addresses: vec!["2001:db8::1".parse().unwrap()],
        };
        let steps = plan(vec![
            (Action::AddAddress(address("eth0", "2001:db8::1/64")), &[]),
            (wait(), &[0]),
            (Action::AddRoute(from_it), &[1]),
        ]);
        all_done(&apply(&steps).await);
        assert_eq!(ip_json("-6 route show 2001:db8:1::/48")[0]["prefsrc"], "2001:db8::1");
        // If another host has the address, that is reported.
        ip("-6 address del 2001:db8::1/64 dev eth0");
        ip("-6 address add 2001:db8::1/64 dev eth1 nodad");
        let steps = plan(vec![(Action::AddAddress(address("eth0", "2001:db8::1/64")), &[]), (wait(), &[0])]);
        let outcome = apply(&steps).await;
        let (number, trouble) = outcome.failures().next().expect("the address is taken");
        assert_eq!(
            (number, trouble.to_string().as_str()),
            (StepId(1), "another machine on the link has 2001:db8::1")
        );
    });
}

#[test]
fn a_run_that_is_ended_sends_nothing_more() {
    in_namespace(async || {
        let steps = plan(vec![(bridge("br0"), &[])]);
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let stop = std::future::ready(());
        let outcome = apply::apply(
            &mut session,
            &mut Real::on(&Machine::default()),
            &steps,
            Names::default(),
            AfterFailure::GoOn,
            stop,
        )
        .await;
        assert_eq!(outcome.steps, [StepOutcome::NotReached]);
        assert_eq!(ip_json("link show").as_array().unwrap().len(), 1);
    });
}

/// `--strict` stops at the first failed step, but not for a file for other tools.
#[test]
fn a_handoff_that_fails_stops_nothing() {
    in_namespace(async || {
        let unwritable = Action::WriteFile { path: "/proc/version/x".to_owned(), content: String::new() };
        let steps = plan(vec![
            (bridge("br0"), &[]),
            (unwritable, &[]),
            (set("br0", LinkChange::Up), &[0]),
            (set("eth7", LinkChange::Up), &[]),
            (set("br0", LinkChange::Mtu(1400)), &[0]),
        ]);
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let never = std::future::pending();
        let outcome = apply::apply(
            &mut session,
            &mut Real::on(&Machine::default()),
            &steps,
            Names::default(),
            AfterFailure::Stop,
            never,
        )
        .await;
        let texts: Vec<String> =
            outcome.failures().map(|(n, trouble)| format!("{} {trouble}", n.0)).collect();
        assert_eq!(texts, ["1 /proc/version/x: Not a directory", "3 no link named eth7"]);
        assert_eq!(outcome.cost(&steps), Some(apply::Cost::Network));
        assert!(outcome.is_done(StepId(2)) && !outcome.is_done(StepId(4)));
        assert!(ip_json("link show br0")[0]["flags"].as_array().unwrap().iter().any(|flag| flag == "UP"));
    });
}

/// A signal that arrives while a program hangs ends the run, and the program.
#[test]
fn a_stop_is_seen_while_a_program_hangs() {
    in_namespace(async || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolvconf");
        let started = folder.path().join("started");
        fs::write(&path, format!("#!/bin/sh\necho $$ > {}\nsleep 1000\n", started.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let hangs = Action::Resolvconf {
            program: path.to_str().unwrap().to_owned(),
            record: "br0.netapply".to_owned(),
            content: Some(String::new()),
        };
        let steps = plan(vec![(bridge("br0"), &[]), (hangs, &[]), (set("br0", LinkChange::Up), &[0])]);
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let stop = async {
            while !fs::read_to_string(&started).is_ok_and(|text| text.ends_with('\n')) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let mut effects = Real::on(&Machine::default());
        let outcome =
            apply::apply(&mut session, &mut effects, &steps, Names::default(), AfterFailure::Stop, stop)
                .await;
        let expected = [StepOutcome::Done { warning: None }, StepOutcome::Underway, StepOutcome::NotReached];
        assert_eq!(outcome.steps, expected);
        assert_eq!(outcome.inverses.len(), 1, "what takes the program's work back is known");
        let pid = fs::read_to_string(&started).unwrap();
        for _ in 0..1000 {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if stat
                .rsplit(')')
                .next()
                .is_none_or(|rest| rest.trim().is_empty() || rest.trim().starts_with('Z'))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the program is still there");
    });
}
