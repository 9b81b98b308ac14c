//! Every field of an address, a route and a rule: created by netapply, checked with ip(8), and created again by the
//! line that a plan prints for it, with the same result. A field without a sample fails the tests.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use netapply::inventory::{AddressEntry, AddressFlag, NextHopEntry, RouteEntry, RuleEntry};
use netapply::model::{Family, Protocol, RouteKind, Scope};
use netapply::plan::{Action, script};
use serde_json::{Value as Json, json};

use crate::plans::{address, all_done, apply, plan, route, rule};
use harness::namespace::{in_namespace, ip, ip_json};

/// What is created, the fields that it tests, and what ip(8) must show of it.
struct Sample<Entry> {
    fields: &'static [&'static str],
    entry: Entry,
    shown: Json,
}

fn sample<Entry>(fields: &'static [&'static str], entry: Entry, shown: Json) -> Sample<Entry> {
    Sample { fields, entry, shown }
}

/// The names of a struct's fields; does not compile if one is missing.
macro_rules! fields {
    ($type:ident { $($field:ident),+ }) => {{
        let _ = |entry: $type| { let $type { $($field: _),+ } = entry; };
        [$(stringify!($field)),+]
    }};
}

fn every_field_has_a_sample<Entry>(fields: &[&str], samples: &[Sample<Entry>], observed: &[(&str, &str)]) {
    for field in fields {
        let sampled = samples.iter().any(|sample| sample.fields.contains(field));
        let listed = observed.iter().any(|(name, _)| name == field);
        assert!(sampled != listed, "{field} has no sample, or one and a reason against it");
    }
}

/// Creates and removes each, by netapply and by its line; `question` is the query to ip(8).
async fn each_is_as_shown<Entry>(
    samples: Vec<Sample<Entry>>,
    question: fn(&Entry) -> String,
    is_it: fn(&Entry, &Json) -> bool,
    actions: fn(Entry) -> (Action, Action),
) where
    Entry: Clone,
{
    let mut wrong = Vec::new();
    for Sample { fields, entry, shown } in samples {
        let look = || -> Option<Json> {
            let answer = ip_json(&question(&entry));
            let items = answer.as_array().cloned().unwrap_or_default();
            // An address is in a list of its link.
            let items = items.into_iter().flat_map(|item| match item.get("addr_info") {
                Some(addresses) => addresses.as_array().cloned().unwrap_or_default(),
                None => vec![item],
            });
            items.into_iter().find(|item| is_it(&entry, item)).map(at_rest)
        };
        let (make, remove) = actions(entry.clone());
        all_done(&apply(&plan(vec![(make.clone(), &[])])).await);
        let has = |item: &Json, (key, value): (&String, &Json)| item[key] == *value;
        let is_right = |item: &Json| shown.as_object().unwrap().iter().all(|expected| has(item, expected));
        soon(|| look().is_some_and(|item| is_right(&item)));
        let ours = look();
        if !ours.as_ref().is_some_and(is_right) {
            wrong.push(format!("{fields:?}: {shown} is not in {ours:?}"));
        }
        all_done(&apply(&plan(vec![(remove.clone(), &[])])).await);
        if let Some(left) = look() {
            wrong.push(format!("{fields:?} is not removed: {left}"));
        }
        run(&script::line(&make));
        if !soon(|| look() == ours) {
            wrong.push(format!("{fields:?}: {} gives {:?}\n  ours is {ours:?}", script::line(&make), look()));
        }
        run(&script::line(&remove));
        if let Some(left) = look() {
            wrong.push(format!("{} leaves {left}", script::line(&remove)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Without transient values.
fn at_rest(mut item: Json) -> Json {
    if let Some(map) = item.as_object_mut() {
        map.remove("tentative");
    }
    item
}

/// Whether it gets there: the kernel finishes an IPv6 address later.
fn soon(is_so: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !is_so() {
        if begin.elapsed() > Duration::from_secs(10) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[track_caller]
fn run(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn wire() {
    ip("link add eth0 type veth peer name eth1");
    for link in ["eth0", "eth1"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{link}/accept_dad"), "0").unwrap();
        ip(&format!("link set {link} up"));
    }
}

fn addresses() -> Vec<Sample<AddressEntry>> {
    let with = |net: &str, change: fn(&mut AddressEntry)| {
        let mut entry = address("eth0", net);
        change(&mut entry);
        entry
    };
    let plain = |net: &str| with(net, |_| {});
    vec![
        sample(
            &["link", "net"],
            plain("192.0.2.1/24"),
            json!({"local": "192.0.2.1", "prefixlen": 24, "scope": "global"}),
        ),
        sample(&["net"], plain("198.51.100.0/31"), json!({"local": "198.51.100.0", "prefixlen": 31})),
        sample(&["net"], plain("203.0.113.9/32"), json!({"local": "203.0.113.9", "prefixlen": 32})),
        sample(
            &["net"],
            plain("2001:db8::1/64"),
            json!({"local": "2001:db8::1", "prefixlen": 64, "scope": "global"}),
        ),
        sample(&["net"], plain("2001:db8:7::7/128"), json!({"local": "2001:db8:7::7", "prefixlen": 128})),
        sample(
            &["peer"],
            with("192.0.2.9/32", |entry| entry.peer = Some("192.0.2.10/32".parse().unwrap())),
            json!({"local": "192.0.2.9", "address": "192.0.2.10", "prefixlen": 32}),
        ),
        sample(
            &["peer"],
            with("2001:db8::9/128", |entry| entry.peer = Some("2001:db8::a/128".parse().unwrap())),
            json!({"local": "2001:db8::9", "address": "2001:db8::a", "prefixlen": 128}),
        ),
        sample(
            &["broadcast"],
            with("192.0.2.1/24", |entry| entry.broadcast = Some("192.0.2.255".parse().unwrap())),
            json!({"broadcast": "192.0.2.255"}),
        ),
        sample(
            &["label"],
            with("192.0.2.1/24", |entry| entry.label = Some("eth0:a".to_owned())),
            json!({"label": "eth0:a"}),
        ),
        sample(&["scope"], with("192.0.2.1/24", |entry| entry.scope = Scope::Link), json!({"scope": "link"})),
        sample(&["scope"], with("192.0.2.1/24", |entry| entry.scope = Scope::Host), json!({"scope": "host"})),
        sample(
            &["preferred"],
            with("192.0.2.1/24", |entry| entry.preferred = Some(0)),
            json!({"deprecated": true}),
        ),
        sample(
            &["preferred"],
            with("2001:db8::1/64", |entry| entry.preferred = Some(0)),
            json!({"deprecated": true, "preferred_life_time": 0}),
        ),
        sample(
            &["flags"],
            with("192.0.2.1/24", |entry| entry.flags = vec![AddressFlag::NoPrefixRoute]),
            json!({"noprefixroute": true}),
        ),
        sample(
            &["flags"],
            with("2001:db8::1/64", |entry| entry.flags = vec![AddressFlag::NoDad, AddressFlag::Home]),
            json!({"nodad": true, "home": true}),
        ),
        sample(&["metric"], with("192.0.2.1/24", |entry| entry.metric = 7), json!({"metric": 7})),
        sample(&["metric"], with("2001:db8::1/64", |entry| entry.metric = 7), json!({"metric": 7})),
    ]
}

#[test]
fn of_an_address() {
    let fields = fields!(AddressEntry {
        link,
        net,
        peer,
        broadcast,
        label,
        scope,
        preferred,
        valid,
        tentative,
        duplicate,
        permanent,
        protocol,
        flags,
        metric
    });
    let observed = [
        ("valid", "only read: what expires is a client's"),
        ("tentative", "the kernel's"),
        ("duplicate", "the kernel's"),
        ("permanent", "the kernel's: ours are"),
        ("protocol", "the kernel's"),
    ];
    every_field_has_a_sample(&fields, &addresses(), &observed);
    in_namespace(async || {
        wire();
        each_is_as_shown(
            addresses(),
            |entry| format!("address show dev {}", entry.link),
            |entry, item| item["local"] == entry.net.addr().to_string(),
            |entry| (Action::AddAddress(entry.clone()), Action::DeleteAddress(entry)),
        )
        .await;
    });
}

fn routes() -> Vec<Sample<RouteEntry>> {
    let with = |to: &str, via: &str, change: &dyn Fn(&mut RouteEntry)| {
        let mut entry = route("eth0", to, via);
        change(&mut entry);
        entry
    };
    let four = |change: &dyn Fn(&mut RouteEntry)| with("10.0.0.0/8", "192.0.2.2", change);
    let six = |change: &dyn Fn(&mut RouteEntry)| with("2001:db8:9::/48", "2001:db8::2", change);
    let hop = |via: &str, weight| NextHopEntry {
        link: Some("eth0".to_owned()),
        via: Some(via.parse().unwrap()),
        on_link: false,
        weight,
    };
    let mut samples = vec![
        sample(
            &["to", "link", "via"],
            four(&|_| {}),
            json!({"dst": "10.0.0.0/8", "dev": "eth0", "gateway": "192.0.2.2"}),
        ),
        sample(
            &["to", "link", "via"],
            six(&|_| {}),
            json!({"dst": "2001:db8:9::/48", "gateway": "2001:db8::2"}),
        ),
        sample(&["to"], with("0.0.0.0/0", "192.0.2.2", &|_| {}), json!({"dst": "default"})),
        sample(&["to"], with("::/0", "2001:db8::2", &|_| {}), json!({"dst": "default"})),
        sample(
            &["via"],
            four(&|entry| entry.via = Some("fe80::1".parse().unwrap())),
            json!({"via": {"family": "inet6", "host": "fe80::1"}}),
        ),
        sample(
            &["on_link"],
            four(&|entry| (entry.via, entry.on_link) = (Some("203.0.113.1".parse().unwrap()), true)),
            json!({"flags": ["onlink"], "gateway": "203.0.113.1"}),
        ),
        sample(
            &["on_link"],
            six(&|entry| (entry.via, entry.on_link) = (Some("2001:db8:1::1".parse().unwrap()), true)),
            json!({"flags": ["onlink"], "gateway": "2001:db8:1::1"}),
        ),
        sample(
            &["scope"],
            four(&|entry| (entry.via, entry.scope) = (None, Scope::Link)),
            json!({"scope": "link"}),
        ),
        sample(
            &["scope"],
            four(&|entry| (entry.via, entry.scope) = (None, Scope::Host)),
            json!({"scope": "host"}),
        ),
        sample(
            &["scope"],
            four(&|entry| (entry.via, entry.scope) = (None, Scope::Site)),
            json!({"scope": "site"}),
        ),
        sample(&["scope"], four(&|entry| entry.via = None), json!({"scope": "global"})),
        sample(&["protocol"], four(&|entry| entry.protocol = Protocol::Boot), json!({"protocol": "boot"})),
        sample(&["protocol"], six(&|entry| entry.protocol = Protocol::Dhcp), json!({"protocol": "dhcp"})),
        sample(&["metric"], four(&|entry| entry.metric = 7), json!({"metric": 7})),
        sample(&["metric"], six(&|entry| entry.metric = 7), json!({"metric": 7})),
        sample(&["table"], four(&|entry| entry.table = 1000), json!({"table": "1000"})),
        sample(&["table"], six(&|entry| entry.table = 100_000), json!({"table": "100000"})),
        sample(
            &["source"],
            four(&|entry| entry.source = Some("192.0.2.1".parse().unwrap())),
            json!({"prefsrc": "192.0.2.1"}),
        ),
        sample(
            &["source"],
            six(&|entry| entry.source = Some("2001:db8::1".parse().unwrap())),
            json!({"prefsrc": "2001:db8::1"}),
        ),
        sample(
            &["from"],
            six(&|entry| entry.from = Some("2001:db8:7::/48".parse().unwrap())),
            json!({"from": "2001:db8:7::/48"}),
        ),
        sample(&["tos"], four(&|entry| entry.tos = 0x10), json!({"tos": "0x10"})),
        sample(&["preference"], six(&|entry| entry.preference = Some(1)), json!({"pref": "high"})),
        sample(&["preference"], six(&|entry| entry.preference = Some(3)), json!({"pref": "low"})),
        sample(
            &["next_hop_id"],
            four(&|entry| (entry.link, entry.via, entry.next_hop_id) = (None, None, Some(7))),
            json!({"nhid": 7, "gateway": "192.0.2.3"}),
        ),
        sample(
            &["hops"],
            four(&|entry| {
                (entry.link, entry.via) = (None, None);
                entry.hops = vec![hop("192.0.2.2", 1), hop("192.0.2.3", 5)];
            }),
            json!({"nexthops": [
                {"gateway": "192.0.2.2", "dev": "eth0", "weight": 1, "flags": []},
                {"gateway": "192.0.2.3", "dev": "eth0", "weight": 5, "flags": []}]}),
        ),
    ];
    for (metric, value) in [
        ("mtu", 1300),
        ("window", 20000),
        ("ssthresh", 7),
        ("cwnd", 8),
        ("advmss", 1200),
        ("reordering", 4),
        ("hoplimit", 5),
        ("initcwnd", 9),
        ("initrwnd", 11),
        ("quickack", 1),
    ] {
        let mut shown = serde_json::Map::new();
        shown.insert(metric.to_owned(), value.into());
        let set = |entry: &mut RouteEntry| entry.metrics = BTreeMap::from([(metric.into(), value)]);
        let shown = json!({"metrics": [shown]});
        samples.push(sample(&["metrics"], four(&set), shown.clone()));
        samples.push(sample(&["metrics"], six(&set), shown));
    }
    for (word, kind) in RouteKind::WORDS {
        let shown = json!({"type": word});
        let of_kind = |entry: &mut RouteEntry| {
            (entry.kind, entry.table, entry.via) = (*kind, kind.natural_table(), None);
            if kind.is_linkless() {
                entry.link = None;
            }
            entry.scope = match kind {
                RouteKind::Local => Scope::Host,
                _ if kind.is_linkless() => Scope::Global,
                _ => Scope::Link,
            };
        };
        samples.push(sample(&["kind"], four(&of_kind), shown.clone()));
        let of_kind_six = |entry: &mut RouteEntry| {
            of_kind(entry);
            entry.scope = Scope::Global;
        };
        // IPv6 has no broadcast.
        if *kind != RouteKind::Broadcast {
            samples.push(sample(&["kind"], six(&of_kind_six), shown));
        }
    }
    samples
}

#[test]
fn of_a_route() {
    let fields = fields!(RouteEntry {
        to,
        link,
        via,
        on_link,
        kind,
        scope,
        protocol,
        metric,
        table,
        source,
        metrics,
        hops,
        weight,
        from,
        tos,
        expires,
        next_hop_id,
        preference,
        unknown
    });
    let observed = [
        (
            "weight",
            "of routes that the kernel shows as one: converge.rs, described_routes_of_several_next_hops",
        ),
        ("expires", "counts down: read.rs, what_makes_a_route_another_is_read"),
        ("unknown", "only read: read.rs, what_makes_a_route_another_is_read"),
    ];
    every_field_has_a_sample(&fields, &routes(), &observed);
    in_namespace(async || {
        wire();
        ip("address add 192.0.2.1/24 dev eth0");
        ip("-6 address add 2001:db8::1/64 dev eth0");
        ip("nexthop add id 7 via 192.0.2.3 dev eth0");
        each_is_as_shown(
            routes(),
            |entry| format!("{} route show table all", if entry.to.addr().is_ipv6() { "-6" } else { "-4" }),
            |entry, item| match entry.to.prefix_len() {
                0 => item["dst"] == "default",
                _ => item["dst"] == entry.to.to_string(),
            },
            |entry| (Action::AddRoute(entry.clone()), Action::DeleteRoute(entry)),
        )
        .await;
    });
}

fn rules() -> Vec<Sample<RuleEntry>> {
    let with = |family: Family, change: fn(&mut RuleEntry)| {
        let bare = RuleEntry { family, from: None, mark: None, ..rule("192.0.2.0/24") };
        let mut entry = bare;
        change(&mut entry);
        entry
    };
    vec![
        sample(
            &["family", "table", "priority"],
            with(Family::V4, |_| {}),
            json!({"priority": 99, "table": "1000", "src": "all"}),
        ),
        sample(
            &["family", "table"],
            with(Family::V6, |entry| entry.table = 100_000),
            json!({"table": "100000"}),
        ),
        sample(
            &["from"],
            with(Family::V4, |entry| entry.from = Some("192.0.2.0/24".parse().unwrap())),
            json!({"src": "192.0.2.0", "srclen": 24}),
        ),
        sample(
            &["from"],
            with(Family::V6, |entry| entry.from = Some("2001:db8::/32".parse().unwrap())),
            json!({"src": "2001:db8::", "srclen": 32}),
        ),
        sample(
            &["to"],
            with(Family::V4, |entry| entry.to = Some("192.0.2.7/32".parse().unwrap())),
            json!({"dst": "192.0.2.7"}),
        ),
        sample(
            &["to"],
            with(Family::V6, |entry| entry.to = Some("2001:db8::/32".parse().unwrap())),
            json!({"dst": "2001:db8::", "dstlen": 32}),
        ),
        sample(&["mark"], with(Family::V4, |entry| entry.mark = Some(0x2a)), json!({"fwmark": "0x2a"})),
        sample(&["mark"], with(Family::V6, |entry| entry.mark = Some(0x2a)), json!({"fwmark": "0x2a"})),
        sample(
            &["mask"],
            with(Family::V4, |entry| (entry.mark, entry.mask) = (Some(0x2a), Some(0xff))),
            json!({"fwmark": "0x2a", "fwmask": "0xff"}),
        ),
        sample(
            &["suppress"],
            with(Family::V6, |entry| entry.suppress = Some(0)),
            json!({"table": "1000", "suppress_prefixlen": 0}),
        ),
        sample(
            &["action"],
            with(Family::V4, |entry| (entry.table, entry.action) = (0, RouteKind::Blackhole)),
            json!({"action": "blackhole"}),
        ),
        sample(
            &["selectors"],
            with(Family::V6, |entry| entry.selectors.iif = Some("eth0".to_owned())),
            json!({"iif": "eth0"}),
        ),
        sample(&["tos"], with(Family::V4, |entry| entry.tos = Some(0x10)), json!({"tos": "0x10"})),
        sample(&["tos"], with(Family::V6, |entry| entry.tos = Some(0x10)), json!({"tos": "0x10"})),
        sample(
            &["protocol"],
            with(Family::V4, |entry| entry.protocol = Protocol::Static),
            json!({"protocol": "static"}),
        ),
    ]
}

#[test]
fn of_a_rule() {
    let fields = fields!(RuleEntry {
        family,
        from,
        to,
        table,
        action,
        priority,
        mark,
        mask,
        suppress,
        tos,
        protocol,
        foreign,
        selectors
    });
    every_field_has_a_sample(&fields, &rules(), &[("foreign", "only read: another's selectors")]);
    in_namespace(async || {
        each_is_as_shown(
            rules(),
            |entry| format!("-{} rule", entry.family.number()),
            |entry, item| item["priority"] == entry.priority,
            |entry| (Action::AddRule(entry.clone()), Action::DeleteRule(entry)),
        )
        .await;
    });
}
