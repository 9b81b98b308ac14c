//! The inventory, compared with ip(8)'s view of the same namespace.

use std::time::Duration;

use netapply::inventory::{Inventory, ObservedLink};
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::model::attribute::OptionValue;
use serde_json::{Value as Json, json};

use harness::namespace::{in_namespace, ip, ip_json};

async fn inventory() -> Inventory {
    let inventory = read::inventory(&mut Session::open(NetlinkFamily::Route).unwrap()).await.unwrap();
    assert_eq!(inventory.undecoded, [""; 0]);
    inventory
}

/// The inventory, and ip(8)'s answers to these queries from the same moment: the kernel propagates carrier, and adds
/// link-local addresses, shortly after a link was brought up.
async fn inventory_beside<const N: usize>(questions: [&str; N]) -> (Inventory, [Json; N]) {
    for _ in 0..200 {
        let before = questions.map(ip_json);
        let inventory = inventory().await;
        if questions.map(ip_json) == before {
            return (inventory, before);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the machine is never at rest");
}

fn link<'a>(inventory: &'a Inventory, name: &str) -> &'a ObservedLink {
    inventory.link(name).unwrap_or_else(|| panic!("{name} is missing"))
}

#[test]
fn links_are_as_ip_shows_them() {
    in_namespace(async || {
        ip(
            "link add br0 address 02:00:00:00:00:10 mtu 1400 type bridge stp_state 1 forward_delay 400 priority 4096",
        );
        ip("link add eth0 address 02:00:00:00:00:01 type veth peer name eth1");
        ip("link set eth0 master br0 up");
        ip("link set eth0 type bridge_slave hairpin on cost 7 learning off");
        ip("link property add dev eth1 altname a-name-longer-than-the-fifteen-bytes altname eno1");
        ip("link set eth1 addrgenmode none");
        ip("link add mv0 link eth1 type macvlan mode bridge");
        ip("link add vx0 type vxlan id 42 dev eth1 dstport 4789");
        let (inventory, [shown]) = inventory_beside(["link show"]).await;
        let shown = shown.as_array().unwrap();
        assert_eq!(inventory.links.len(), shown.len());
        for theirs in shown {
            let ours = link(&inventory, theirs["ifname"].as_str().unwrap());
            assert_eq!(comparable(ours), comparable_json(theirs), "{theirs}");
        }
        let port = link(&inventory, "eth0");
        assert_eq!(port.controller.as_deref(), Some("br0"));
        assert_eq!(port.port.get("hairpin"), Some(&OptionValue::Bool(true)));
        assert_eq!(port.port.get("learning"), Some(&OptionValue::Bool(false)));
        assert_eq!(port.port.get("cost"), Some(&OptionValue::Number(7)));
        let bridge = link(&inventory, "br0");
        assert_eq!(bridge.settings.get("stp_state"), Some(&OptionValue::Bool(true)));
        assert_eq!(bridge.settings.get("forward_delay"), Some(&OptionValue::Number(400)));
        assert_eq!(bridge.settings.get("priority"), Some(&OptionValue::Number(4096)));
        for made_on_eth1 in ["mv0", "vx0"] {
            assert_eq!(link(&inventory, made_on_eth1).parent.as_deref(), Some("eth1"));
        }
        assert_eq!(link(&inventory, "eth0").parent.as_deref(), Some("eth1"), "a veth's peer");
    });
}

fn comparable(link: &ObservedLink) -> Json {
    json!({
        "index": link.index, "mtu": link.mtu, "layer": link.layer, "kind": link.kind, "up": link.up,
        "carrier": link.carrier, "operstate": link.operstate, "altnames": link.altnames,
        "mac": link.mac.map(|m| m.to_string()), "controller": link.controller, "max_mtu": link.max_mtu,
        "generation": link.generation.map(|g| g.word()),
    })
}

fn comparable_json(link: &Json) -> Json {
    let flag = |name: &str| link["flags"].as_array().unwrap().iter().any(|f| f == name);
    json!({
        "index": link["ifindex"], "mtu": link["mtu"], "layer": link["link_type"],
        "kind": link["linkinfo"]["info_kind"].as_str().unwrap_or_default(), "up": flag("UP"),
        "carrier": flag("LOWER_UP"), "operstate": link["operstate"].as_str().unwrap().to_lowercase(),
        "altnames": link.get("altnames").unwrap_or(&json!([])),
        "mac": link["address"].as_str().filter(|a| *a != "00:00:00:00:00:00"),
        "controller": link["master"], "max_mtu": link["max_mtu"].as_u64().unwrap_or(0),
        "generation": link["inet6_addr_gen_mode"],
    })
}

#[test]
fn ipv6_settings_are_as_the_kernels_files_say() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        // Each setting has a different value, so that none is mistaken for its neighbour.
        for (number, key) in ["rp_filter", "arp_ignore", "arp_announce", "accept_local"].iter().enumerate() {
            let value = (number % 2 + 1).to_string();
            std::fs::write(format!("/proc/sys/net/ipv4/conf/eth0/{key}"), value).unwrap();
        }
        let six = [
            ("accept_ra", "2"),
            ("use_tempaddr", "2"),
            ("mtu", "1300"),
            ("accept_dad", "0"),
            ("hop_limit", "9"),
            ("autoconf", "0"),
            ("accept_ra_rt_info_max_plen", "48"),
        ];
        for (key, value) in six {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/eth0/{key}"), value).unwrap();
        }
        ip("token set ::42 dev eth0");
        let inventory = inventory().await;
        let link = link(&inventory, "eth0");
        assert_eq!((link.ipv4.len(), link.ipv6.len()), (6, 12));
        for (family, settings) in [("ipv4", &link.ipv4), ("ipv6", &link.ipv6)] {
            for (key, value) in settings {
                let file =
                    std::fs::read_to_string(format!("/proc/sys/net/{family}/conf/eth0/{key}")).unwrap();
                assert_eq!(file.trim(), value.to_string(), "{key}");
            }
        }
        assert_eq!(inventory.sysctls.len(), 20);
        for (key, value) in &inventory.sysctls {
            let file = std::fs::read_to_string(format!("/proc/sys/{key}")).unwrap();
            assert_eq!(file.trim(), value.to_string(), "{key}");
        }
        assert_eq!(link.token, Some("::42".parse().unwrap()));
    });
}

#[test]
fn what_makes_a_route_another_is_read() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        ip("link set eth0 up");
        ip("link set eth1 up");
        ip("address add 192.0.2.1/24 dev eth0");
        ip("-6 address add 2001:db8::1/64 dev eth0 nodad");
        ip("nexthop add id 7 via 192.0.2.3 dev eth0");
        for line in [
            "-6 route add 2001:db8:1::/48 from 2001:db8:99::/64 via 2001:db8::2",
            "-6 route add 2001:db8:2::/48 via 2001:db8::2 expires 1000",
            "-6 route add 2001:db8:3::/48 via 2001:db8::2 hoplimit 1",
            "-6 route add 2001:db8:4::/48 via 2001:db8::2 pref high",
            "-4 route add 10.5.0.0/16 tos 0x10 via 192.0.2.2",
            "-4 route add 10.6.0.0/16 nhid 7",
            "-4 route add 10.7.0.0/16 via 192.0.2.2 realm 5",
            "-4 route add 10.8.0.0/16 via 192.0.2.2 congctl reno",
        ] {
            ip(line);
        }
        let inventory = inventory().await;
        let found = |to: &str| inventory.routes.iter().find(|r| r.to.to_string() == to).unwrap();
        assert_eq!(found("2001:db8:1::/48").from, Some("2001:db8:99::/64".parse().unwrap()));
        assert!((900..=1000).contains(&found("2001:db8:2::/48").expires.unwrap()));
        assert_eq!(found("2001:db8:3::/48").metrics["hoplimit"], 1);
        assert_eq!(found("2001:db8:4::/48").preference, Some(1));
        assert_eq!(found("10.5.0.0/16").tos, 0x10);
        assert_eq!(found("10.6.0.0/16").next_hop_id, Some(7));
        assert_eq!(found("10.6.0.0/16").via, Some("192.0.2.3".parse().unwrap()));
        assert_eq!(found("10.7.0.0/16").unknown, [11], "RTA_FLOW");
        assert_eq!(found("10.8.0.0/16").unknown, [8], "RTA_METRICS: a congestion control");
        let plain = |r: &&netapply::inventory::RouteEntry| r.protocol == netapply::model::Protocol::Kernel;
        assert!(inventory.routes.iter().filter(plain).all(|r| r.unknown.is_empty() && r.expires.is_none()));
        assert!(!link(&inventory, "eth0").no_arp);
        ip("link set eth0 arp off");
        assert!(link(&self::inventory().await, "eth0").no_arp);
    });
}

#[test]
fn addresses_are_as_ip_shows_them() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        ip("address add 192.0.2.1/24 broadcast 192.0.2.255 label eth0:a dev eth0");
        ip("address add 192.0.2.9 peer 192.0.2.10/32 dev eth0");
        ip("address add 198.51.100.0/31 dev eth0");
        ip("address add 2001:db8::1/64 dev eth0 nodad preferred_lft 0");
        ip("address add 192.0.2.77/25 dev eth0 noprefixroute metric 7");
        ip("address add 2001:db8::3/64 dev eth0 home mngtmpaddr");
        ip("address add 2001:db8::2/128 dev eth1 valid_lft 1000 preferred_lft 500");
        ip("link set eth0 up");
        let inventory = inventory().await;
        let entry = |text: &str| {
            let net = text.parse().unwrap();
            inventory.addresses.iter().find(|a| a.net == net).unwrap_or_else(|| panic!("{text} is missing"))
        };
        let all: usize = ip_json("address")
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["addr_info"].as_array().unwrap().len())
            .sum();
        assert_eq!(inventory.addresses.len(), all);
        let first = entry("192.0.2.1/24");
        assert_eq!(first.label.as_deref(), Some("eth0:a"));
        assert_eq!(first.broadcast, Some("192.0.2.255".parse().unwrap()));
        assert!(
            first.permanent && first.valid.is_none() && first.preferred.is_none() && first.peer.is_none()
        );
        assert_eq!(entry("192.0.2.9/32").peer, Some("192.0.2.10/32".parse().unwrap()));
        assert_eq!(entry("198.51.100.0/31").broadcast, None);
        let deprecated = entry("2001:db8::1/64");
        assert_eq!((deprecated.preferred, deprecated.valid, deprecated.tentative), (Some(0), None, false));
        let leased = entry("2001:db8::2/128");
        assert!(!leased.permanent && leased.preferred.unwrap() <= 500 && leased.valid.unwrap() > 900);
        let flags = |text| serde_json::to_value(&entry(text).flags).unwrap();
        assert_eq!(flags("192.0.2.77/25"), json!(["noprefixroute"]));
        assert_eq!((entry("192.0.2.77/25").metric, first.metric), (7, 0));
        assert_eq!(flags("2001:db8::3/64"), json!(["home", "mngtmpaddr"]));
        assert_eq!(flags("2001:db8::1/64"), json!(["nodad"]));
        assert_eq!(entry("127.0.0.1/8").scope.to_string(), "host");
    });
}

#[test]
fn routes_and_rules_are_as_ip_shows_them() {
    in_namespace(async || {
        ip("link add eth0 type veth peer name eth1");
        ip("address add 192.0.2.1/24 dev eth0");
        ip("-6 address add 2001:db8::1/64 dev eth0 nodad");
        ip("link set eth0 up");
        ip("link set eth1 up");
        ip("route add default via 192.0.2.254 dev eth0 proto static metric 100 mtu 1400");
        ip("route add 10.0.0.0/8 via 198.51.100.1 dev eth0 onlink src 192.0.2.1");
        ip("route add 10.1.0.0/16 via inet6 fe80::1 dev eth0 table 1000");
        ip("route add blackhole 10.2.0.0/16");
        ip("route add 10.3.0.0/16 nexthop via 192.0.2.2 weight 7 nexthop via inet6 fe80::7 dev eth0");
        ip("-6 route add 2001:db8:3::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3 weight 9");
        ip("-6 route append 2001:db8:3::/48 via 2001:db8::4 dev eth0 proto 99");
        ip("-6 route add default via fe80::1 dev eth0");
        ip("rule add from 192.0.2.0/24 fwmark 7 table 1000 priority 99");
        ip("rule add to 10.0.0.0/8 oif eth0 table 1000 priority 98");
        ip("-6 rule add to 2001:db8::/32 tos 0x10 table 1000 priority 97");
        let (inventory, shown) =
            inventory_beside(["-4 route show table all", "-6 route show table all"]).await;
        for (family, shown) in ["-4", "-6"].into_iter().zip(shown) {
            let shown: Vec<&Json> =
                shown.as_array().unwrap().iter().filter(|r| r["table"] != "local").collect();
            let ours = inventory.routes.iter().filter(|r| r.to.addr().is_ipv6() == (family == "-6"));
            let mut ours: Vec<String> = ours.map(|r| one_line(&comparable_route(r))).collect();
            let theirs = shown.iter().flat_map(|r| apart(r, family));
            let mut theirs: Vec<String> = theirs.map(|r| one_line(&comparable_route_json(&r))).collect();
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs);
        }
        let rules: Vec<_> =
            inventory.rules.iter().map(|r| (r.family.number(), r.priority, r.table, r.foreign)).collect();
        assert_eq!(rules, [(4, 98, 1000, true), (4, 99, 1000, false), (6, 97, 1000, false)]);
        assert_eq!(inventory.rules[1].mark, Some(7));
        assert_eq!(inventory.rules[1].from, Some("192.0.2.0/24".parse().unwrap()));
        assert_eq!(inventory.rules[2].tos, Some(0x10));
    });
}

fn one_line(json: &Json) -> String {
    json.to_string()
}

fn comparable_route(route: &netapply::inventory::RouteEntry) -> Json {
    json!({
        "to": if route.to.prefix_len() == 0 { "default".to_owned() } else { route.to.to_string() },
        "link": route.link, "via": route.via, "kind": route.kind.word(), "metric": route.metric,
        "on_link": route.on_link, "source": route.source, "mtu": route.metrics.get("mtu"),
        "hops": route.hops.iter().map(|h| json!([h.via, h.link, h.weight])).collect::<Vec<_>>(),
        "table": if route.table == 254 { 0 } else { route.table },
    })
}

/// What ip(8) shows as one multipath IPv6 route is several routes.
fn apart(route: &Json, family: &str) -> Vec<Json> {
    let hops = route["nexthops"].as_array().filter(|_| family == "-6");
    let Some(hops) = hops else { return vec![route.clone()] };
    let single = |hop: &Json| {
        let mut route = route.clone();
        route.as_object_mut().unwrap().remove("nexthops");
        (route["gateway"], route["dev"]) = (hop["gateway"].clone(), hop["dev"].clone());
        route
    };
    hops.iter().map(single).collect()
}

fn comparable_route_json(route: &Json) -> Json {
    let hop = |h: &Json| {
        let via = h.get("gateway").or(h["via"].get("host")).unwrap_or(&Json::Null);
        json!([via, h["dev"], h["weight"]])
    };
    let to = route["dst"].as_str().unwrap();
    let host = if to.contains(':') { "/128" } else { "/32" };
    let to = if to.contains('/') || to == "default" { to.to_owned() } else { format!("{to}{host}") };
    let flags = route["flags"].as_array().cloned().unwrap_or_default();
    // ip(8) shows no link for routes that drop packets; IPv6 keeps such routes on lo.
    json!({
        "to": to, "link": route["dev"], "via": route.get("gateway").or(route["via"].get("host")).unwrap_or(&Json::Null),
        "kind": route["type"].as_str().unwrap_or("unicast"), "metric": route["metric"].as_u64().unwrap_or(0),
        "on_link": flags.iter().any(|f| f == "onlink"), "source": route["prefsrc"],
        "mtu": route["metrics"][0]["mtu"],
        "hops": route["nexthops"].as_array().into_iter().flatten().map(hop).collect::<Vec<_>>(),
        "table": route["table"].as_str().map_or(0, |t| t.parse::<u64>().unwrap_or(0)),
    })
}
