//! Any description that netplan can express is read back unchanged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::diagnostic::{Diagnostic, Severity};
use crate::format::netplan::{options, read};
use crate::format::tree;
use crate::model::attribute::{Attribute, OptionValue};
use crate::model::{IfName, LinkRef, Located, Match, Mtu, Place, RouteKind, Settings};
use crate::resolve::Resolved;

const IDS: &[&str] = &["l0", "l1", "l2", "l3", "l4", "l5"];

fn located<T>(value: T) -> Located<T> {
    Located::new(value, Place::NONE)
}

fn ip(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => (0u8..4, 1u8..255).prop_map(|(a, b)| Ipv4Addr::new(10, 0, a, b).into()).boxed(),
        Family::V6 => {
            (0u16..4, 1u16..).prop_map(|(a, b)| Ipv6Addr::new(0x2001, 0xdb8, a, 0, 0, 0, 0, b).into()).boxed()
        }
    }
}

fn family() -> impl Strategy<Value = Family> {
    select(&[Family::V4, Family::V6][..])
}

fn net() -> impl Strategy<Value = IpNet> {
    family()
        .prop_flat_map(|family| (ip(family), 1..=family.bits()))
        .prop_map(|(ip, length)| IpNet::new(ip, length).unwrap())
}

fn address() -> impl Strategy<Value = Address> {
    (net(), any::<bool>(), of(select(&["a:b", "mail"][..]))).prop_map(|(net, last, label)| {
        let mut address = Address::new(net, Place::NONE);
        address.preferred = (!last).then_some(0);
        address.label = label.filter(|_| net.addr().is_ipv4()).map(str::to_owned);
        address
    })
}

fn route() -> impl Strategy<Value = Route> {
    let kind =
        select(&[RouteKind::Unicast, RouteKind::Blackhole, RouteKind::Throw, RouteKind::Multicast][..]);
    let ends = family().prop_flat_map(|f| (ip(f), 0..=f.bits(), of(ip(f)), of(ip(f))));
    let numbers = (of(any::<u32>()), of(1u32..), of(1u32..), of(1u32..), of(1u32..), of(1u32..));
    let scope = of(select(&[Scope::Global, Scope::Link, Scope::Host][..]));
    (ends, kind, any::<bool>(), scope, numbers).prop_map(
        |((to, length, via, from), kind, on_link, scope, n)| {
            let mut route = Route::new(IpNet::new(to, length).unwrap(), via, Place::NONE);
            route.kind = kind;
            route.via = via.filter(|_| !kind.is_linkless());
            route.source = from;
            route.on_link = on_link;
            route.scope = scope.filter(|s| to.is_ipv4() && !(*s == Scope::Global && route.via.is_none()));
            (route.metric, route.table, route.mtu) = (n.0, n.1, n.2);
            (route.congestion_window, route.receive_window, route.advertised_mss) = (n.3, n.4, n.5);
            route
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let sides = family().prop_flat_map(|f| (ip(f), of(ip(f))));
    (sides, 1u32.., of(any::<u32>()), of(any::<u32>()), of(any::<u8>())).prop_map(
        |((from, to), table, priority, mark, tos)| Rule {
            from: Some(IpNet::from(from)),
            to: to.map(IpNet::from),
            priority,
            mark,
            tos,
            ..Rule::new(Family::of(&from), table, Place::NONE)
        },
    )
}

/// A value that an option accepts and netplan can express.
fn value(parameter: &options::Parameter, row: &'static Attribute) -> BoxedStrategy<OptionValue> {
    let least = i64::from(parameter.zero_is_unset());
    match row.form {
        Form::Bool | Form::Bool32 | Form::Flag if matches!(parameter.how, How::Set(_)) => {
            Just(OptionValue::Bool(true)).boxed()
        }
        Form::Bool | Form::Bool32 | Form::Flag => any::<bool>().prop_map(OptionValue::Bool).boxed(),
        Form::Word8(words) | Form::Word32(words) => {
            let known: Vec<String> = words.iter().map(|(word, _)| (*word).to_owned()).collect();
            select(known).prop_filter("netplan's", |w| w != "inherit").prop_map(OptionValue::Text).boxed()
        }
        Form::U8 | Form::U16 | Form::U16Be | Form::U32 | Form::U32Be => {
            let (low, high) = row.range();
            (low.max(least)..=high.min(100_000)).prop_map(OptionValue::Number).boxed()
        }
        Form::Ip4List => vec(ip(Family::V4), 1..4).prop_map(OptionValue::Ips).boxed(),
        Form::Link => select(IDS).prop_map(|id| OptionValue::Text(id.to_owned())).boxed(),
        Form::PortRange => {
            (1u16..100, 100u16..).prop_map(|(low, high)| OptionValue::Range(low, high)).boxed()
        }
        _ => Just(OptionValue::Number(1)).boxed(),
    }
}

/// Some options of a table.
fn settings(parameters: &'static [options::Parameter], kind: Kind) -> impl Strategy<Value = Settings> {
    let mut known = HashSet::default();
    let rows: Vec<_> = parameters
        .iter()
        .filter(|p| p.is_usual() && known.insert(p.option))
        .map(|p| (p, attribute::of(kind, p.option).unwrap()))
        .filter(|(_, row)| row.name != "id")
        .collect();
    let all = rows.len();
    subsequence(rows, 0..=all).prop_flat_map(|rows| {
        let values: Vec<_> = rows.iter().map(|(p, row)| value(p, row)).collect();
        values.prop_map(move |values| {
            let mut settings = Settings::default();
            for ((_, row), value) in rows.iter().zip(values) {
                settings.set(row, value, Place::NONE);
            }
            settings
        })
    })
}

fn kind_and_settings() -> impl Strategy<Value = (Kind, Settings)> {
    let just = |kind| Just((kind, Settings::default())).boxed();
    prop_oneof![
        just(Kind::Physical),
        just(Kind::Dummy),
        settings(options::BOND, Kind::Bond).prop_map(|s| (Kind::Bond, s)),
        (settings(options::BRIDGE, Kind::Bridge), any::<bool>()).prop_map(|(mut s, stp)| {
            s.set(attribute::of(Kind::Bridge, "stp_state").unwrap(), OptionValue::Bool(stp), Place::NONE);
            (Kind::Bridge, s)
        }),
        (0i64..=4094).prop_map(|id| (Kind::Vlan, one_setting(Kind::Vlan, "id", id))),
        (1i64..=4_294_967_295).prop_map(|table| (Kind::Vrf, one_setting(Kind::Vrf, "table", table))),
        (settings(options::VXLAN, Kind::Vxlan), 1i64..=0xff_ffff).prop_map(|(mut s, id)| {
            s.0.extend(one_setting(Kind::Vxlan, "id", id).0);
            (Kind::Vxlan, s)
        }),
        (ip(Family::V4), ip(Family::V4), any::<u32>(), 1i64..256).prop_map(|(local, remote, key, ttl)| {
            let mut s = Settings::default();
            let values = [
                ("local", OptionValue::Ip(local)),
                ("remote", OptionValue::Ip(remote)),
                ("ikey", OptionValue::Number(key.into())),
                ("okey", OptionValue::Number(7)),
                ("ttl", OptionValue::Number(ttl)),
            ];
            for (name, value) in values {
                s.set(attribute::of(Kind::Gre, name).unwrap(), value, Place::NONE);
            }
            (Kind::Gre, s)
        }),
    ]
}

fn one_setting(kind: Kind, name: &str, number: i64) -> Settings {
    let mut settings = Settings::default();
    settings.set(attribute::of(kind, name).unwrap(), OptionValue::Number(number), Place::NONE);
    settings
}

fn select_nic() -> impl Strategy<Value = Option<Match>> {
    let name = of(select(&["eth0", "en*"][..]));
    let drivers = vec(select(&["ixgbe", "mlx*"][..]), 0..3);
    of((any::<bool>(), name, drivers).prop_map(|(mac, name, drivers)| Match {
        mac: mac.then(|| located("52:54:00:00:00:01".parse().unwrap())),
        name: name.map(|name| {
            let pattern = if name.contains('*') { NamePattern::Glob } else { NamePattern::Exact };
            located(pattern(name.to_owned()))
        }),
        drivers: drivers.into_iter().map(|d| located(d.to_owned())).collect(),
        many: true,
        ..Match::default()
    }))
}

fn link(id: &'static str) -> impl Strategy<Value = Link> {
    let lists =
        (vec(address(), 0..3), vec(route(), 0..3), vec(rule(), 0..2), subsequence(IDS.to_vec(), 0..3));
    let flags =
        (any::<bool>(), any::<bool>(), of(any::<bool>()), of(any::<bool>()), any::<bool>(), any::<bool>());
    let numbers = (of(68u64..=65535), of(1280u32..), of(any::<bool>()), of(any::<bool>()));
    let words = (
        select(&[Activation::Up, Activation::Manual, Activation::Off][..]),
        of(select(&[AddressGeneration::Eui64, AddressGeneration::StableSecret, AddressGeneration::None][..])),
        of(select(vec![
            DesiredMac::Permanent,
            DesiredMac::Random,
            DesiredMac::Is("02:00:00:00:00:01".parse().unwrap()),
        ])),
        select_nic(),
        of(Just("lan0")),
    );
    (kind_and_settings(), lists, flags, numbers, words).prop_map(
        move |((kind, settings), lists, flags, n, w)| {
            let mut link = Link::new(id, kind, Place::NONE);
            (link.addresses, link.routes, link.rules) = (lists.0, lists.1, lists.2);
            let others = lists.3.iter().filter(|other| **other != id);
            let members: Vec<LinkRef> = others.map(|other| located((*other).to_owned())).collect();
            match kind {
                Kind::Bond => link.members = members,
                Kind::Vlan | Kind::Vxlan => link.parent = members.into_iter().next(),
                _ => {}
            }
            if let Some(table) = settings.number("table").filter(|_| kind == Kind::Vrf) {
                link.routes.iter_mut().for_each(|route| route.table = Some(table as u32));
                link.rules.iter_mut().for_each(|rule| rule.table = table as u32);
            }
            link.settings = settings;
            (link.optional, link.ignore_carrier) = (flags.0 || w.0 != Activation::Up, flags.1);
            link.ipv6.accept_ra = flags.2.map(located);
            link.ipv6.privacy = flags.3.map(located);
            if flags.4 {
                link.dynamic.push(located(Dynamic::Dhcp4));
                link.dhcp4.use_domains = false;
            }
            if flags.5 {
                link.dynamic.push(located(Dynamic::Dhcp6));
            }
            link.mtu = n.0.map(|mtu| located(Mtu::new(mtu).unwrap()));
            link.ipv6.mtu = n.1.map(located);
            link.activation = w.0;
            link.ipv6.generation = w.1.map(located);
            link.mac = w.2.map(located);
            link.naming = match kind {
                Kind::Physical => Naming::Keep,
                _ => Naming::Set(located(IfName::new(id).unwrap())),
            };
            if kind == Kind::Physical {
                link.wake_on_lan = n.2.map(located);
                if let Some(gro) = n.3 {
                    link.features.insert("rx-gro", located(gro));
                }
                let exact = located(NamePattern::Exact(id.to_owned()));
                let by_id = Match { name: Some(exact), ..Match::default() };
                if let (Some(name), true) = (w.4, w.3.is_some()) {
                    link.naming = Naming::Set(located(IfName::new(name).unwrap()));
                }
                link.select = w.3.unwrap_or(by_id);
            }
            link
        },
    )
}

fn description() -> impl Strategy<Value = Desired> {
    let links: Vec<_> = IDS.iter().map(|id| link(id).boxed()).collect();
    (links, 0..=IDS.len()).prop_map(|(mut links, count)| {
        links.truncate(count);
        Desired { links, closed: true, ..Desired::default() }
    })
}

fn written(desired: &Desired) -> String {
    let mut losses = Losses { tool: "netplan", list: Vec::new(), unfit: HashMap::default() };
    let files = write(desired, &Names::new(&Resolved::default()), &mut losses);
    assert!(losses.list.is_empty(), "{:?}", losses.list);
    files.into_iter().next().map_or("network: {}\n".to_owned(), |file| file.text)
}

/// A complete description without places, which a written one does not have.
fn without_places(desired: &Desired) -> String {
    crate::export::tests::without_places(&format!("{desired:#?}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_description_reads_back_the_same(desired in description()) {
        // The sections of the document reorder the links.
        let mut desired = desired;
        let text = written(&desired);
        let mut diags = Vec::new();
        let root = tree::parse(&text, 0, &mut diags).unwrap();
        let mut back = read(&[&root], &[], &mut diags);
        desired.links.sort_by(|a, b| a.id.cmp(&b.id));
        back.links.sort_by(|a, b| a.id.cmp(&b.id));
        let heard: Vec<&Diagnostic> =
            diags.iter().filter(|d| d.severity > Severity::Note).collect();
        prop_assert!(heard.is_empty(), "{heard:?}\n{text}");
        let (wanted, got) = (without_places(&desired), without_places(&back));
        let difference = wanted.lines().zip(got.lines()).find(|(a, b)| a != b);
        prop_assert!(wanted == got, "{difference:?}\n{text}");
    }
}
