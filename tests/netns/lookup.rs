//! The kernel's own lookup, compared with `ip route get`.

use netapply::inventory::RouteEntry;
use netapply::kernel::lookup::{Decision, Egress, Query, lookup};
use netapply::kernel::names::Names;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::model::{Protocol, RouteKind};

use harness::namespace::{in_namespace, ip, ip_json};
use harness::world::until;

async fn ask(query: &Query<'_>) -> Decision {
    let mut session = Session::open(NetlinkFamily::Route).unwrap();
    let names = Names::from(&read::inventory(&mut session).await.unwrap());
    lookup(&mut session, &names, query).await.unwrap()
}

/// Asks ip(8) the same question and compares its output with our answer.
async fn route(query: &Query<'_>) -> Egress {
    let Decision::Route(route) = ask(query).await else { panic!("{query:?}: {:?}", ask(query).await) };
    let route = *route;
    let mut line = format!("route get {}", query.to);
    let words = [
        query.from.map(|from| format!(" from {from}")),
        query.link.map(|link| format!(" oif {link}")),
        query.mark.map(|mark| format!(" mark {mark}")),
    ];
    words.into_iter().flatten().for_each(|word| line += &word);
    let shown = ip_json(&line)[0].clone();
    let text = |key: &str| shown[key].as_str().map(str::to_owned);
    assert_eq!(text("dev"), route.link, "{line}: {shown}");
    assert_eq!(text("gateway"), route.via.map(|via| via.to_string()), "{line}: {shown}");
    assert_eq!(text("type").as_deref().unwrap_or("unicast"), route.kind.word(), "{line}: {shown}");
    let source = text("prefsrc").or(query.from.map(|from| from.to_string()));
    assert_eq!(source, route.source.map(|source| source.to_string()), "{line}: {shown}");
    let table = text("table").unwrap_or("main".to_owned());
    let ours = match route.table {
        254 => "main".to_owned(),
        255 => "local".to_owned(),
        number => number.to_string(),
    };
    assert_eq!(table, ours, "{line}: {shown}");
    route
}

fn entry(route: &Egress) -> &RouteEntry {
    route.entry.as_ref().expect("the kernel tells the entry of its table")
}

fn to(ip: &str) -> Query<'static> {
    Query::new(ip.parse().unwrap())
}

#[test]
fn a_lookup_answers_as_ip_route_get_does() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        ip("link add eth2 type veth peer name eth3");
        for link in ["eth0", "eth1", "eth2", "eth3"] {
            ip(&format!("link set {link} up"));
        }
        ip("address add 10.1.0.2/24 dev eth0");
        ip("address add 10.2.0.2/24 dev eth2");
        ip("-6 address add 2001:db8:1::2/64 dev eth0 nodad");
        ip("-6 address add 2001:db8:2::2/64 dev eth2 nodad");
        // The kernel adds the local route of an IPv6 address in a work item (addrconf_dad_work).
        until(|| {
            let local = ip_json("-6 route show table local").to_string();
            let is_there = |own| local.contains(&format!("\"{own}\""));
            if ["2001:db8:1::2", "2001:db8:2::2"].iter().all(is_there) { Ok(()) } else { Err(local) }
        })
        .unwrap();
        ip("route add default via 10.1.0.1 proto static metric 100");
        ip("-6 route add default via 2001:db8:1::1 proto static metric 1024");
        ip("route add default via 10.2.0.1 proto dhcp table 100");
        ip("-6 route add default via 2001:db8:2::1 proto ra table 100");
        ip("rule add fwmark 7 table 100");
        ip("-6 rule add fwmark 7 table 100");
        ip("rule add from 10.2.0.2 table 100");
        for (destination, prefix, gateway, own) in [
            ("198.51.100.1", "0.0.0.0/0", "10.1.0.1", "10.1.0.2"),
            ("2001:db8:ffff::1", "::/0", "2001:db8:1::1", "2001:db8:1::2"),
        ] {
            let route = route(&to(destination)).await;
            assert_eq!(route.via, Some(gateway.parse().unwrap()));
            assert_eq!(route.source, Some(own.parse().unwrap()));
            assert_eq!(
                (entry(&route).to.to_string().as_str(), entry(&route).protocol),
                (prefix, Protocol::Static)
            );
            assert_eq!(entry(&route).metric, if destination.contains(':') { 1024 } else { 100 });
            let marked = Query { mark: Some(7), ..to(destination) };
            let marked = self::route(&marked).await;
            assert_eq!((marked.link.as_deref(), marked.table), (Some("eth2"), 100));
            let by = if destination.contains(':') { Protocol::RouterAdvertisement } else { Protocol::Dhcp };
            assert_eq!(entry(&marked).protocol, by);
        }
        let from = Query { from: "10.2.0.2".parse().ok(), ..to("198.51.100.1") };
        assert_eq!(route(&from).await.link.as_deref(), Some("eth2"));
        let bound = Query { link: Some("eth0"), ..to("10.1.0.77") };
        assert_eq!((route(&bound).await.via, route(&bound).await.kind), (None, RouteKind::Unicast));
        for own in ["10.1.0.2", "2001:db8:1::2", "127.0.0.1", "::1"] {
            let route = route(&to(own)).await;
            assert_eq!((route.kind, route.table), (RouteKind::Local, 255), "{own}");
        }
        let stranger = Query { from: "10.9.9.9".parse().ok(), ..to("198.51.100.1") };
        assert_eq!(ask(&stranger).await, Decision::NotOurSource);
    });
}

#[test]
fn forbidden_and_missing_routes_are_distinguished() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        ip("link set eth0 up");
        ip("address add 10.1.0.2/24 dev eth0");
        for (family, base) in [("-4", "10.50"), ("-6", "2001:db8:50")] {
            let destination = |number: u8| match family {
                "-4" => (format!("{base}.{number}.0/24"), format!("{base}.{number}.1")),
                _ => (format!("{base}:{number}::/64"), format!("{base}:{number}::1")),
            };
            let kinds = [RouteKind::Unreachable, RouteKind::Prohibit, RouteKind::Blackhole];
            for (kind, number) in kinds.into_iter().zip(1..) {
                let (prefix, address) = destination(number);
                ip(&format!("{family} route add {} {prefix}", kind.word()));
                assert_eq!(ask(&to(&address)).await, Decision::Forbidden(kind), "{address}");
            }
            assert_eq!(ask(&to(&destination(9).1)).await, Decision::NoRoute, "{family}");
        }
        ip("rule add from 10.1.0.2 to 10.50.9.0/24 prohibit");
        let from = Query { from: "10.1.0.2".parse().ok(), ..to("10.50.9.1") };
        assert_eq!(ask(&from).await, Decision::Forbidden(RouteKind::Prohibit));
        let from = Query { from: "10.1.0.2".parse().ok(), ..to("10.50.3.1") };
        assert_eq!(ask(&from).await, Decision::Forbidden(RouteKind::Blackhole));
    });
}
