//! WireGuard, compared with wg(8).

use std::process::Command;

use netapply::kernel::details;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::model::{Kind, Link, Located, Peer, Place, Wireguard};
use netapply::plan::Action;

use crate::plans::{all_done, apply, new_link, plan};
use harness::namespace::{in_namespace, ip};

const PRIVATE: &str = "QO1hYkWLQ5yxTbs1P0bFUNYnMTbZ3aFQXvhxX6lPXEE=";
const SHARED: &str = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";
const PEERS: [&str; 2] =
    ["xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="];

fn wg(arguments: &str) -> String {
    let output = Command::new("wg").args(arguments.split_whitespace()).output().expect("wg is in the guest");
    assert!(output.status.success(), "wg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn located<T>(value: T) -> Located<T> {
    Located::new(value, Place::NONE)
}

fn config() -> Wireguard {
    let prefixes = |n: u8| (0..=255).map(|i| format!("10.{n}.{i}.0/24").parse().unwrap()).collect();
    let first = Peer {
        public_key: located(PEERS[0].to_owned()),
        shared_key: Some(located(SHARED.to_owned())),
        endpoint: Some(located(("192.0.2.1".parse().unwrap(), 51820))),
        allowed: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        keepalive: Some(25),
    };
    let second = Peer {
        public_key: located(PEERS[1].to_owned()),
        shared_key: None,
        endpoint: Some(located(("2001:db8::7".parse().unwrap(), 7))),
        // More than fits in one of the kernel's replies.
        allowed: prefixes(1),
        keepalive: None,
    };
    Wireguard {
        private_key: Some(located(PRIVATE.to_owned())),
        listen_port: Some(51821),
        mark: Some(9),
        peers: vec![first, second],
    }
}

async fn is_as_described(config: &Wireguard) -> bool {
    let mut link = Link::new("wg0", Kind::Wireguard, Place::NONE);
    link.wireguard = Some(config.clone());
    let mut inventory = read::inventory(&mut Session::open(NetlinkFamily::Route).unwrap()).await.unwrap();
    details::complete(&mut inventory, [("wg0", &link)].into_iter(), &netapply::machine::Machine::default())
        .await
        .unwrap();
    inventory.link("wg0").unwrap().wireguard_as_described.unwrap()
}

#[test]
#[ignore = "runs inside a guest"]
fn keys_and_peers_are_as_wg_shows_them() {
    in_namespace(async || {
        let config = config();
        let configure = |config: &Wireguard| {
            (Action::Wireguard { name: "wg0".to_owned(), config: config.clone() }, &[][..])
        };
        all_done(&apply(&plan(vec![(Action::AddLink(new_link("wg0", Kind::Wireguard)), &[])])).await);
        ip("link set wg0 up");
        assert!(!is_as_described(&config).await);
        all_done(&apply(&plan(vec![configure(&config)])).await);
        assert_eq!(wg("show wg0 private-key").trim(), PRIVATE);
        assert_eq!((wg("show wg0 listen-port").trim(), wg("show wg0 fwmark").trim()), ("51821", "0x9"));
        let shown = wg("show wg0 dump");
        let first = shown.lines().find(|line| line.starts_with(PEERS[0])).unwrap();
        let fields: Vec<&str> = first.split('\t').collect();
        assert_eq!(fields[1..4], [SHARED, "192.0.2.1:51820", "10.0.0.0/8,2001:db8::/32"]);
        assert_eq!(fields[7], "25");
        let second = shown.lines().find(|line| line.starts_with(PEERS[1])).unwrap();
        assert!(second.contains("[2001:db8::7]:7"));
        assert_eq!(second.matches("/24").count(), 256);
        assert!(is_as_described(&config).await);
        // A change is detected, and what is not described is removed.
        let mut fewer = config.clone();
        fewer.peers.truncate(1);
        fewer.peers[0].allowed.truncate(1);
        assert!(!is_as_described(&fewer).await);
        all_done(&apply(&plan(vec![configure(&fewer)])).await);
        assert_eq!(wg("show wg0 allowed-ips").trim(), format!("{}\t10.0.0.0/8", PEERS[0]));
        assert!(is_as_described(&fewer).await);
    });
}
