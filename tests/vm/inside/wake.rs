//! Wake-on-LAN and ring sizes of a NIC that supports them, in the guest's initial namespace.

use std::process::Command;

use netapply::inventory::ObservedLink;
use netapply::kernel::details;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::machine::Machine;
use netapply::model::attribute::{OptionValue, parameter};
use netapply::model::{Kind, Link, Located, Place};
use netapply::plan::{Action, script};

use crate::plans::{all_done, apply, plan};
use harness::namespace::here;

/// The letters after `Wake-on:`.
fn shown() -> String {
    let output = Command::new("ethtool").arg("eth0").output().expect("ethtool is in the guest");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Wake-on: "));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// The present sizes of the rings for receiving and sending, by ethtool(8).
fn rings() -> Vec<String> {
    let output = Command::new("ethtool").args(["-g", "eth0"]).output().expect("ethtool is in the guest");
    let text = String::from_utf8(output.stdout).unwrap();
    let now = text.split("Current hardware settings:").nth(1).unwrap_or_else(|| panic!("{text}"));
    let size = |name: &str| now.lines().find_map(|line| line.strip_prefix(name));
    ["RX:", "TX:"].map(|name| size(name).unwrap_or_else(|| panic!("{text}")).trim().to_owned()).to_vec()
}

/// The NIC as netapply reads it, with what this description asks for.
async fn observed(link: &Link) -> ObservedLink {
    let mut inventory = read::inventory(&mut Session::open(NetlinkFamily::Route).unwrap()).await.unwrap();
    details::complete(&mut inventory, [("eth0", link)].into_iter(), &Machine::default()).await.unwrap();
    inventory.link("eth0").unwrap().clone()
}

#[test]
#[ignore = "runs inside a guest"]
fn rings_get_their_sizes() {
    here(async || {
        let tune = |rx: i64, tx: i64| Action::Tune {
            name: "eth0".to_owned(),
            settings: [("ring-rx", OptionValue::Number(rx)), ("ring-tx", OptionValue::Number(tx))].into(),
        };
        all_done(&apply(&plan(vec![(tune(512, 1024), &[])])).await);
        assert_eq!(rings(), ["512", "1024"]);
        let mut link = Link::new("eth0", Kind::Physical, Place::NONE);
        for name in ["ring-rx", "ring-tx", "speed", "pause-rx"] {
            link.tuning.set(parameter(name).unwrap(), OptionValue::Number(1), Place::NONE);
        }
        let tuning = observed(&link).await.tuning;
        let value = |name: &str| tuning.get(name).map(ToString::to_string);
        assert_eq!(value("ring-rx").as_deref(), Some("512"));
        assert_eq!(value("ring-tx").as_deref(), Some("1024"));
        // The driver has no flow control.
        assert_eq!(value("pause-rx"), None);
        let line = script::line(&tune(256, 512));
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success(), "{line}");
        assert_eq!(rings(), ["256", "512"], "after {line}");
    });
}

#[test]
#[ignore = "runs inside a guest"]
fn a_magic_packet_wakes() {
    here(async || {
        let mut link = Link::new("eth0", Kind::Physical, Place::NONE);
        link.wake_on_lan = Some(Located::new(true, Place::NONE));
        for (on, letters) in [(true, "g"), (false, "d"), (true, "g")] {
            all_done(&apply(&plan(vec![(Action::WakeOnLan { name: "eth0".to_owned(), on }, &[])])).await);
            assert_eq!(shown(), letters);
            assert_eq!(observed(&link).await.wake_on_lan, Some(on));
        }
        for (on, letters) in [(false, "d"), (true, "g")] {
            let line = script::line(&Action::WakeOnLan { name: "eth0".to_owned(), on });
            assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success(), "{line}");
            assert_eq!(shown(), letters, "after {line}");
        }
    });
}
