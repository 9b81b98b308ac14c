//! The netlink session with a real kernel, with the privilege to change something.

use std::net::Ipv4Addr;

use netapply::kernel::monitor::{Event, Group, Monitor};
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::kernel::wire::Request;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::{LinkBridge, LinkUnspec, RouteMessageBuilder};

use harness::namespace::{in_namespace, ip, ip_json};

fn new_bridge(name: &str) -> Request {
    Request::from_message(libc::RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &LinkBridge::new(name).build())
}

fn routes(count: u32, output: u32) -> Vec<Request> {
    let route = |i: u32| {
        let destination = Ipv4Addr::from(0x0a00_0000 + (i << 8));
        let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, 24);
        let message = route.output_interface(output).build();
        Request::from_message(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &message).quiet()
    };
    (0..count).map(route).collect()
}

#[test]
fn a_refusal_in_the_middle_of_a_batch_stops_nothing() {
    in_namespace(async || {
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let batch = [new_bridge("br0"), new_bridge("br0"), new_bridge("br1")];
        let answers = session.batch(&batch).await;
        assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
        assert_eq!(answers[1].as_ref().unwrap_err().to_string(), "File exists (EEXIST)");
        assert_eq!(ip_json("link show type bridge").as_array().unwrap().len(), 2);
    });
}

#[test]
fn a_refusal_comes_in_the_kernels_words() {
    in_namespace(async || {
        ip("link add br0 type bridge");
        ip("link add br1 type bridge");
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let index = ip_json("link show br0")[0]["ifindex"].as_u64().unwrap() as u32;
        let into = ip_json("link show br1")[0]["ifindex"].as_u64().unwrap() as u32;
        let enslave = LinkUnspec::new_with_index(index).controller(into).build();
        let refused = session.request(&Request::from_message(libc::RTM_SETLINK, 0, &enslave)).await;
        assert_eq!(refused.unwrap_err().to_string(), "Can not enslave a bridge to a bridge (ELOOP)");
    });
}

#[test]
fn ten_thousand_routes_are_added_once() {
    in_namespace(async || {
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let routes = routes(10_000, 1);
        assert!(session.batch(&routes).await.iter().all(Result::is_ok));
        assert_eq!(ip_json("-4 route").as_array().unwrap().len(), 10_000);
        let again = session.batch(&routes).await;
        assert!(again.iter().all(|a| a.as_ref().is_err_and(|e| e.to_string() == "File exists (EEXIST)")));
    });
}

#[test]
fn a_monitor_that_was_overrun_says_so() {
    in_namespace(async || {
        let mut monitor = Monitor::open(&[Group::Link, Group::Ipv4Route]).unwrap();
        ip("link add br0 type bridge");
        let Event::Message { kind, .. } = monitor.next().await.unwrap() else { panic!("no loss yet") };
        assert_eq!(kind, 16, "RTM_NEWLINK");
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        session.batch(&routes(40_000, 1)).await;
        let mut events = 0;
        while monitor.next().await.unwrap() != Event::Resync {
            events += 1;
        }
        assert!(events < 40_000);
    });
}

/// A hand-off writes below /etc, and to the target of /etc/resolv.conf: never to this machine's files.
#[test]
fn the_files_of_the_machine_are_out_of_reach_of_a_test() {
    in_namespace(async || {
        for path in ["/etc/netapply-test", "/netapply-test"] {
            let error = std::fs::write(path, "").expect_err(path);
            assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{path}: {error}");
            let touch = std::process::Command::new("touch").arg(path).output().expect("touch(1) runs");
            assert!(!touch.status.success(), "what a test starts can write {path}");
        }
    });
}
