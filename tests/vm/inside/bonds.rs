//! A bond, its members, and the kernel's errors for changes at the wrong time.

use std::collections::BTreeMap;

use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::model::Kind;
use netapply::model::attribute::OptionValue;
use netapply::plan::{Action, LinkChange, NewLink};

use crate::plans::{all_done, apply, new_link, plan, set};
use harness::namespace::{in_namespace, ip, ip_json};

fn word(text: &str) -> OptionValue {
    OptionValue::Text(text.to_owned())
}

#[test]
#[ignore = "runs inside a guest"]
fn a_bond_is_made_with_its_members() {
    in_namespace(async || {
        ip("link add eth0 address 02:00:00:00:00:01 type dummy");
        ip("link add eth1 address 02:00:00:00:00:02 type dummy");
        let settings = BTreeMap::from([
            ("mode", word("802.3ad")),
            ("miimon", OptionValue::Number(100)),
            ("updelay", OptionValue::Number(200)),
            ("lacp_rate", word("fast")),
            ("xmit_hash_policy", word("layer3+4")),
            ("ad_actor_system", OptionValue::Mac("02:00:00:00:00:aa".parse().unwrap())),
        ]);
        let mac = Some("02:00:00:00:00:10".parse().unwrap());
        let join = |port: &str| set(port, LinkChange::Controller("bond0".to_owned()));
        let queue = LinkChange::PortOptions {
            kind: Kind::Bond,
            settings: BTreeMap::from([("queue_id", OptionValue::Number(3))]),
        };
        all_done(
            &apply(&plan(vec![
                (Action::AddLink(NewLink { settings, mac, ..new_link("bond0", Kind::Bond) }), &[]),
                (join("eth0"), &[0]),
                (join("eth1"), &[0]),
                (set("eth1", queue), &[2]),
                (set("bond0", LinkChange::Mtu(9000)), &[1, 2]),
                (set("bond0", LinkChange::Up), &[4]),
            ]))
            .await,
        );
        let bond = &ip_json("link show bond0")[0];
        let data = &bond["linkinfo"]["info_data"];
        assert_eq!(
            (&data["mode"], &data["miimon"], &data["updelay"]),
            (&"802.3ad".into(), &100.into(), &200.into())
        );
        assert_eq!((&data["ad_lacp_rate"], &data["xmit_hash_policy"]), (&"fast".into(), &"layer3+4".into()));
        assert_eq!((&data["ad_actor_system"], &bond["mtu"]), (&"02:00:00:00:00:aa".into(), &9000.into()));
        for port in ["eth0", "eth1"] {
            let port = &ip_json(&format!("link show {port}"))[0];
            assert_eq!(
                (&port["master"], &port["address"], &port["mtu"]),
                (&"bond0".into(), &bond["address"], &9000.into())
            );
        }
        assert_eq!(ip_json("link show eth1")[0]["linkinfo"]["info_slave_data"]["queue_id"], 3);
    });
}

#[test]
#[ignore = "runs inside a guest"]
fn a_change_at_the_wrong_time_is_refused_by_the_options_name() {
    in_namespace(async || {
        ip("link add bond0 type bond mode 802.3ad miimon 100");
        ip("link add eth0 type dummy");
        ip("link set eth0 master bond0");
        ip("link set bond0 up");
        ip("link set eth0 up");
        let option = |name: &'static str, value: OptionValue| {
            let settings = BTreeMap::from([(name, value)]);
            set("bond0", LinkChange::Options { kind: Kind::Bond, settings })
        };
        ip("link add eth1 up type dummy");
        let steps = plan(vec![
            (option("mode", word("active-backup")), &[]),
            (option("lacp_rate", word("fast")), &[]),
            (option("miimon", OptionValue::Number(50)), &[]),
            (set("eth1", LinkChange::Controller("bond0".to_owned())), &[]),
        ]);
        let outcome = apply(&steps).await;
        let texts: Vec<String> =
            outcome.failures().map(|(number, trouble)| format!("{}: {trouble}", number.0)).collect();
        assert_eq!(
            texts,
            [
                "0: the kernel refused mode: unable to set option because the bond device has slaves (ENOTEMPTY)",
                "1: the kernel refused lacp_rate: unable to set option because the bond is up (EBUSY)",
                "3: the kernel refused: Device can not be enslaved while up (EPERM)",
            ]
        );
        assert_eq!(ip_json("link show bond0")[0]["linkinfo"]["info_data"]["miimon"], 50);
    });
}

#[test]
#[ignore = "runs inside a guest"]
fn members_have_their_own_options() {
    in_namespace(async || {
        ip("link add bond0 type bond mode active-backup miimon 100");
        ip("link add eth0 type dummy");
        ip("link set eth0 master bond0");
        let settings = BTreeMap::from([("prio", OptionValue::Number(-7))]);
        let priority = LinkChange::PortOptions { kind: Kind::Bond, settings };
        let settings = BTreeMap::from([("active_slave", word("eth0"))]);
        let active = LinkChange::Options { kind: Kind::Bond, settings };
        all_done(
            &apply(&plan(vec![
                (set("eth0", priority), &[]),
                (set("eth0", LinkChange::Up), &[]),
                (set("bond0", LinkChange::Up), &[]),
                (set("bond0", active), &[1, 2]),
            ]))
            .await,
        );
        assert_eq!(ip_json("link show bond0")[0]["linkinfo"]["info_data"]["active_slave"], "eth0");
        // This ip(8) is older than the option, so the kernel itself is asked.
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let inventory = read::inventory(&mut session).await.unwrap();
        assert_eq!(inventory.link("eth0").unwrap().port.get("prio"), Some(&OptionValue::Number(-7)));
        all_done(&apply(&plan(vec![(set("eth0", LinkChange::NoController), &[])])).await);
        assert_eq!(ip_json("link show eth0")[0].get("master"), None);
    });
}
