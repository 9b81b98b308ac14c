//! Wake-on-LAN on a NIC that supports it, in the guest's initial namespace.

use std::process::Command;

use netapply::kernel::details;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
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

#[test]
#[ignore = "runs inside a guest"]
fn a_magic_packet_wakes() {
    here(async || {
        let mut link = Link::new("eth0", Kind::Physical, Place::NONE);
        link.wake_on_lan = Some(Located::new(true, Place::NONE));
        for (on, letters) in [(true, "g"), (false, "d"), (true, "g")] {
            all_done(&apply(&plan(vec![(Action::WakeOnLan { name: "eth0".to_owned(), on }, &[])])).await);
            assert_eq!(shown(), letters);
            let mut inventory =
                read::inventory(&mut Session::open(NetlinkFamily::Route).unwrap()).await.unwrap();
            details::complete(
                &mut inventory,
                [("eth0", &link)].into_iter(),
                &netapply::machine::Machine::default(),
            )
            .await
            .unwrap();
            assert_eq!(inventory.link("eth0").unwrap().wake_on_lan, Some(on));
        }
        for (on, letters) in [(false, "d"), (true, "g")] {
            let line = script::line(&Action::WakeOnLan { name: "eth0".to_owned(), on });
            assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success(), "{line}");
            assert_eq!(shown(), letters, "after {line}");
        }
    });
}
