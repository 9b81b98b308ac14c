//! Gateways that answer and gateways that do not.

use std::net::IpAddr;
use std::time::Duration;

use netapply::kernel::monitor::{Group, Monitor};
use netapply::kernel::names::Names;
use netapply::kernel::neighbour::{self, NeighbourState};
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};

use harness::namespace::{in_namespace, ip, ip_in, neighbour_namespace};

async fn state_of(address: &str) -> NeighbourState {
    let address: IpAddr = address.parse().unwrap();
    let mut session = Session::open(NetlinkFamily::Route).unwrap();
    let names = Names::from(&read::inventory(&mut session).await.unwrap());
    let mut monitor = Monitor::open(&[Group::Neighbour]).unwrap();
    neighbour::ask(&mut session, &names, &[("eth0".into(), address)]).await.unwrap();
    let settled = async {
        loop {
            let known = neighbour::list(&mut session, &names).await.unwrap();
            match known.iter().find(|n| n.ip == address).map(|n| n.state) {
                Some(state @ (NeighbourState::Reachable | NeighbourState::Failed)) => return state,
                _ => monitor.changed().await.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled)
        .await
        .expect("the kernel gives up after three requests")
}

#[test]
fn an_existing_neighbour_is_reached_and_a_missing_one_is_not() {
    in_namespace(async || {
        let other = neighbour_namespace();
        ip("link add eth0 type veth peer name eth1");
        ip(&format!("link set eth1 netns {}", other.pid()));
        ip("address add 192.0.2.1/24 dev eth0");
        ip("-6 address add 2001:db8::1/64 dev eth0 nodad");
        ip("link set eth0 up");
        ip_in(&other, "address add 192.0.2.2/24 dev eth1");
        ip_in(&other, "-6 address add 2001:db8::2/64 dev eth1 nodad");
        ip_in(&other, "link set eth1 up");
        assert_eq!(state_of("192.0.2.2").await, NeighbourState::Reachable);
        assert_eq!(state_of("2001:db8::2").await, NeighbourState::Reachable);
        assert_eq!(state_of("192.0.2.3").await, NeighbourState::Failed);
        // A known one is asked again.
        ip("neighbour change 192.0.2.2 dev eth0 nud stale");
        assert_eq!(state_of("192.0.2.2").await, NeighbourState::Reachable);
    });
}
