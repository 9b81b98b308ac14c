//! Every option of every kind, set by netapply and set by ip(8): ip(8) must show the two links alike.

use std::collections::BTreeMap;
use std::process::Command;

use netapply::inventory::Inventory;
use netapply::kernel::read;
use netapply::kernel::session::{NetlinkFamily, Session};
use netapply::model::Kind;
use netapply::model::attribute::{self, Change, Form, OptionValue};
use netapply::plan::{Action, LinkChange, NewLink, script};
use serde_json::Value as Json;

use crate::plans::{all_done, apply, new_link, plan, set};
use harness::namespace::{in_namespace, ip, ip_json};

/// An option, a value other than the kernel's default, and what else the kernel requires with it.
type Sample = (&'static str, &'static str, &'static str);

const BOND: &[Sample] = &[
    ("mode", "802.3ad", ""),
    ("miimon", "150", ""),
    ("updelay", "300", "miimon=100"),
    ("downdelay", "300", "miimon=100"),
    ("peer_notify_delay", "300", "miimon=100"),
    ("use_carrier", "off", ""),
    ("arp_interval", "250", "arp_ip_target=192.0.2.1"),
    ("arp_ip_target", "192.0.2.1,192.0.2.2", ""),
    ("arp_validate", "active", "mode=active-backup arp_interval=100 arp_ip_target=192.0.2.1"),
    ("arp_all_targets", "all", ""),
    ("ns_ip6_target", "2001:db8::1,2001:db8::2", "mode=active-backup arp_interval=100"),
    ("missed_max", "5", "mode=active-backup"),
    ("primary", "eth0", "mode=active-backup"),
    ("primary_reselect", "failure", "mode=active-backup"),
    ("fail_over_mac", "active", "mode=active-backup"),
    ("xmit_hash_policy", "vlan+srcmac", "mode=balance-xor"),
    ("resend_igmp", "5", ""),
    ("num_grat_arp", "3", ""),
    ("all_slaves_active", "on", ""),
    ("min_links", "2", ""),
    ("lp_interval", "9", ""),
    ("packets_per_slave", "4", "mode=balance-rr"),
    ("tlb_dynamic_lb", "off", "mode=balance-tlb"),
    ("lacp_rate", "fast", "mode=802.3ad"),
    ("lacp_active", "off", "mode=802.3ad"),
    ("ad_select", "bandwidth", "mode=802.3ad"),
    ("ad_actor_sys_prio", "7", "mode=802.3ad"),
    ("ad_user_port_key", "9", "mode=802.3ad"),
    ("ad_actor_system", "02:00:00:00:00:aa", "mode=802.3ad"),
];

const BRIDGE: &[Sample] = &[
    ("forward_delay", "700", ""),
    ("hello_time", "300", ""),
    ("max_age", "1000", ""),
    ("ageing_time", "1234", ""),
    ("stp_state", "on", ""),
    ("priority", "4096", ""),
    ("vlan_filtering", "on", ""),
    ("group_fwd_mask", "8", ""),
    ("vlan_protocol", "802.1ad", ""),
    ("group_address", "01:80:c2:00:00:0e", ""),
    ("mcast_router", "2", ""),
    ("mcast_snooping", "off", ""),
    ("mcast_query_use_ifaddr", "on", ""),
    ("mcast_querier", "on", ""),
    ("mcast_hash_max", "1024", ""),
    ("mcast_last_member_count", "3", ""),
    ("mcast_startup_query_count", "4", ""),
    ("mcast_last_member_interval", "200", ""),
    ("mcast_membership_interval", "20000", ""),
    ("mcast_querier_interval", "21000", ""),
    ("mcast_query_interval", "11000", ""),
    ("mcast_query_response_interval", "900", ""),
    ("mcast_startup_query_interval", "3000", ""),
    ("vlan_default_pvid", "7", ""),
    ("vlan_stats_enabled", "on", ""),
    ("mcast_stats_enabled", "on", ""),
    ("mcast_igmp_version", "3", ""),
    ("mcast_mld_version", "2", ""),
];

const VXLAN: &[Sample] = &[
    ("id", "43", ""),
    ("dev", "eth0", ""),
    ("remote", "192.0.2.9", ""),
    ("remote", "239.1.1.1", "dev=eth0"),
    ("remote6", "2001:db8::9", ""),
    ("local", "192.0.2.1", ""),
    ("local6", "2001:db8::1", "remote6=2001:db8::9"),
    ("ttl", "9", ""),
    ("tos", "16", ""),
    ("df", "set", ""),
    ("flowlabel", "7", "remote6=2001:db8::9"),
    ("dstport", "4790", ""),
    ("srcport", "5000-6000", ""),
    ("learning", "off", ""),
    ("proxy", "on", ""),
    ("rsc", "on", ""),
    ("l2miss", "on", ""),
    ("l3miss", "on", ""),
    ("ageing", "77", ""),
    ("maxaddress", "88", ""),
    ("udpcsum", "off", ""),
    ("udp6zerocsumtx", "on", ""),
    ("udp6zerocsumrx", "on", ""),
    ("remcsumtx", "on", ""),
    ("remcsumrx", "on", ""),
    ("gbp", "on", ""),
];

const TUNNEL4: &str = "local=192.0.2.1 remote=192.0.2.9";
const TUNNEL6: &str = "local=2001:db8::1 remote=2001:db8::9";

const IP_IN_IP4: &[Sample] = &[
    ("mode", "any", TUNNEL4),
    ("local", "192.0.2.1", "remote=192.0.2.9"),
    ("remote", "192.0.2.9", ""),
    ("ttl", "9", TUNNEL4),
    ("dev", "eth0", TUNNEL4),
];
const GRE: &[Sample] = &[
    ("local", "192.0.2.1", "remote=192.0.2.9"),
    ("remote", "192.0.2.9", ""),
    ("ttl", "9", TUNNEL4),
    ("dev", "eth0", TUNNEL4),
    ("ikey", "7", TUNNEL4),
    ("okey", "8", TUNNEL4),
];
const IP6GRE: &[Sample] = &[
    ("local", "2001:db8::1", "remote=2001:db8::9"),
    ("remote", "2001:db8::9", ""),
    ("hoplimit", "9", TUNNEL6),
    ("encaplimit", "5", TUNNEL6),
    ("dev", "eth0", TUNNEL6),
    ("ikey", "7", TUNNEL6),
    ("okey", "8", TUNNEL6),
];
const IP6TNL: &[Sample] = &[
    ("mode", "ipip6", TUNNEL6),
    ("local", "2001:db8::1", "remote=2001:db8::9"),
    ("remote", "2001:db8::9", ""),
    ("hoplimit", "9", TUNNEL6),
    ("encaplimit", "5", TUNNEL6),
    ("dev", "eth0", TUNNEL6),
];
const VTI: &[Sample] = &[
    ("local", "192.0.2.1", "remote=192.0.2.9"),
    ("remote", "192.0.2.9", ""),
    ("dev", "eth0", TUNNEL4),
    ("ikey", "7", TUNNEL4),
    ("okey", "8", TUNNEL4),
];
const VTI6: &[Sample] = &[
    ("local", "2001:db8::1", "remote=2001:db8::9"),
    ("remote", "2001:db8::9", ""),
    ("dev", "eth0", TUNNEL6),
    ("ikey", "7", TUNNEL6),
    ("okey", "8", TUNNEL6),
];

fn samples(kind: Kind) -> &'static [Sample] {
    match kind {
        Kind::Bond => BOND,
        Kind::Bridge => BRIDGE,
        Kind::Vlan => &[("id", "9", ""), ("protocol", "802.1ad", "id=9")],
        Kind::Vrf => &[("table", "1000", "")],
        Kind::Macvlan => &[("mode", "private", ""), ("mode", "bridge", "")],
        Kind::Vxlan => VXLAN,
        Kind::Sit | Kind::Ipip => IP_IN_IP4,
        Kind::Gre | Kind::Gretap => GRE,
        Kind::Ip6gre | Kind::Ip6gretap => IP6GRE,
        Kind::Ip6tnl => IP6TNL,
        Kind::Vti => VTI,
        Kind::Vti6 => VTI6,
        Kind::Physical | Kind::Dummy | Kind::Veth | Kind::Wireguard => &[],
    }
}

/// A NIC's own options.
const IPOIB_MODE: &str = "mode of a NIC";

/// Options of the table that no sample sets, and why.
const UNTRIED: &[(&str, &str)] = &[
    ("active_slave", "needs a member that is up"),
    ("coupled_control", "the guest's kernel is older"),
    (IPOIB_MODE, "InfiniBand's: QEMU has none"),
    ("gpe", "refused without the collection of metadata, which netapply does not set"),
];

/// Options that ip(8) requires, or sends by default with a value other than the kernel's.
fn said_by_ip(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Vlan => &[("id", "7")],
        Kind::Vrf => &[("table", "7")],
        Kind::Vxlan => &[("id", "42"), ("dstport", "8472")],
        Kind::Sit => &[("mode", "ip6ip"), ("ttl", "64")],
        Kind::Ipip => &[("mode", "ipip")],
        Kind::Ip6tnl | Kind::Ip6gre | Kind::Ip6gretap => &[("hoplimit", "64"), ("encaplimit", "4")],
        _ => &[],
    }
}

/// One test per kind: a guest runs each on its own, within its bound.
macro_rules! options_of_new_links {
    ($($test:ident: $($kind:ident)+;)+) => {
        const TRIED: &[Kind] = &[$($(Kind::$kind),+),+];
        $(
            #[test]
            #[ignore = "runs inside a guest"]
            fn $test() {
                in_namespace(async || options_of(&[$(Kind::$kind),+]).await);
            }
        )+
    };
}

options_of_new_links! {
    bond: Bond;
    bridge: Bridge;
    vxlan: Vxlan;
    small_kinds: Vlan Vrf Macvlan Veth Dummy Wireguard;
    ip4_tunnels: Sit Ipip Gre Gretap Vti;
    ip6_tunnels: Ip6tnl Ip6gre Ip6gretap Vti6;
}

#[test]
fn every_option_of_every_kind_has_a_sample() {
    let listed = |name: &str| UNTRIED.iter().any(|(untried, _)| *untried == name);
    for kind in Kind::all() {
        assert!(kind == Kind::Physical || TRIED.contains(&kind), "{}", kind.noun());
        for row in kind.attributes() {
            let tried = samples(kind).iter().any(|(name, _, _)| *name == row.name);
            let of_a_nic = kind == Kind::Physical && listed(&format!("{} of a NIC", row.name));
            assert!(tried || of_a_nic || listed(row.name), "{} of {}", row.name, kind.noun());
        }
        for row in kind.port_attributes() {
            let tried = port_samples(kind).iter().any(|(name, _)| *name == row.name);
            assert!(tried, "{} of a port of {}", row.name, kind.noun());
        }
    }
}

async fn options_of(kinds: &[Kind]) {
    ip("link add eth0 type dummy");
    let mut wrong = Vec::new();
    for kind in kinds {
        for sample in samples(*kind) {
            if let Err(why) = compare(*kind, sample).await {
                wrong.push(format!("{} {} {}: {why}", kind.word(), sample.0, sample.1));
            }
            let _ = apply(&plan(vec![(Action::DeleteLink { name: "new0".to_owned() }, &[])])).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Creates a link with a sample by netapply, by ip(8) with the plan's line, and, if the kernel allows the option to
/// change, by changing a link without it, with netapply and with ip(8); reports differences.
async fn compare(kind: Kind, (name, text, with): &Sample) -> Result<(), String> {
    let row = |name: &str| attribute::of(kind, name).ok_or(format!("{name} is not in the table"));
    let mut before = BTreeMap::new();
    for (name, text) in with.split_whitespace().filter_map(|w| w.split_once('=')) {
        before.insert(row(name)?.name, row(name)?.parse(text)?);
    }
    // ip(8)'s defaults.
    for (name, text) in said_by_ip(kind) {
        before.entry(row(name)?.name).or_insert(row(name)?.parse(text)?);
    }
    let mut settings = before.clone();
    settings.insert(row(name)?.name, row(name)?.parse(text)?);
    let parent = matches!(kind, Kind::Vlan | Kind::Macvlan).then(|| "eth0".to_owned());
    let new = |settings: &BTreeMap<&'static str, OptionValue>| {
        let (settings, parent) = (settings.clone(), parent.clone());
        Action::AddLink(NewLink { settings, parent, ..new_link("new0", kind) })
    };
    let ours = made_by_us(&new(&settings)).await?;
    let read = read::inventory(&mut Session::open(NetlinkFamily::Route).unwrap()).await.unwrap();
    read_back(&read, &settings)?;
    ip("link delete new0");
    same(&ours, &made_by_line(&new(&settings))?, "made by ip(8)")?;
    // A VXLAN keeps the address family of its ends, an IPv4 tunnel keeps having a remote end: the plan recreates them.
    let other_ends = match (row(name)?.change, row(name)?.form) {
        (Change::Together, Form::Ip4) => *name == "remote",
        _ => kind == Kind::Vxlan && *name == "remote6",
    };
    if row(name)?.change == Change::Never || other_ends {
        return Ok(());
    }
    let changed = match row(name)?.change {
        Change::Together => settings,
        // ip(8) accepts a group only together with the link.
        _ if *name == "remote" => {
            settings.into_iter().filter(|(n, _)| ["remote", "dev"].contains(n)).collect()
        }
        _ => settings.into_iter().filter(|(changed, _)| changed == name).collect(),
    };
    let change = set("new0", LinkChange::Options { kind, settings: changed });
    ip("link delete new0");
    made_by_us(&new(&before)).await?;
    same(&ours, &made_by_us(&change).await?, "changed by us")?;
    ip("link delete new0");
    made_by_us(&new(&before)).await?;
    same(&ours, &made_by_line(&change)?, "changed by ip(8)")
}

async fn made_by_us(action: &Action) -> Result<Json, String> {
    let outcome = apply(&plan(vec![(action.clone(), &[])])).await;
    match outcome.failures().next() {
        Some((_, trouble)) => Err(trouble.to_string()),
        None => Ok(shown()),
    }
}

fn made_by_line(action: &Action) -> Result<Json, String> {
    run(action).map(|()| shown())
}

/// Runs the line that the plan prints.
fn run(action: &Action) -> Result<(), String> {
    let line = script::line(action);
    let output = Command::new("sh").args(["-c", &line]).output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{line}: {said}")) }
}

fn same(ours: &Json, other: &Json, how: &str) -> Result<(), String> {
    if ours == other { Ok(()) } else { Err(format!("ours {ours}\n  {how} {other}")) }
}

fn read_back(read: &Inventory, settings: &BTreeMap<&'static str, OptionValue>) -> Result<(), String> {
    let link = read.link("new0").expect("it is there");
    // The kernel shows a bond's primary only once that is a member (bond_fill_info).
    let shown = |name: &str| name != "primary";
    match settings.iter().find(|(name, value)| shown(name) && link.settings.get(**name) != Some(value)) {
        Some((name, _)) => Err(format!("read back as {:?}", link.settings.get(*name))),
        None => Ok(()),
    }
}

fn shown() -> Json {
    options_shown("new0", "info_data")
}

fn options_shown(link: &str, which: &str) -> Json {
    let mut shown = ip_json(&format!("link show {link}"))[0]["linkinfo"][which].clone();
    if let Some(options) = shown.as_object_mut() {
        options.retain(|name, _| !name.ends_with("_timer"));
    }
    shown
}

/// An option of a port, and a value other than the kernel's default.
fn port_samples(controller: Kind) -> &'static [(&'static str, &'static str)] {
    match controller {
        Kind::Bond => &[("queue_id", "3"), ("prio", "-7")],
        Kind::Bridge => &[
            ("priority", "9"),
            ("cost", "77"),
            ("hairpin", "on"),
            ("guard", "on"),
            ("learning", "off"),
            ("neigh_suppress", "on"),
        ],
        _ => &[],
    }
}

#[test]
#[ignore = "runs inside a guest"]
fn ports_of_bonds_and_bridges() {
    in_namespace(async || {
        ip("link add eth0 type dummy");
        for (kind, options) in [(Kind::Bond, "mode active-backup"), (Kind::Bridge, "")] {
            ip(&format!("link add new0 type {} {options}", kind.word()));
            for (name, text) in port_samples(kind) {
                let row = attribute::find(kind.port_attributes(), name).unwrap();
                let value = row.parse(text).unwrap();
                let settings = BTreeMap::from([(row.name, value.clone())]);
                let change = set("eth0", LinkChange::PortOptions { kind, settings });
                let joined = || {
                    ip("link set eth0 nomaster");
                    ip("link set eth0 master new0");
                    options_shown("eth0", "info_slave_data")
                };
                let before = joined();
                all_done(&apply(&plan(vec![(change.clone(), &[])])).await);
                let ours = options_shown("eth0", "info_slave_data");
                assert_ne!(before, ours, "{name}");
                let word = ours[name].to_string().replace("true", "1").replace("false", "0");
                assert_eq!(word, value.to_string(), "{name}");
                joined();
                run(&change).unwrap();
                assert_eq!(options_shown("eth0", "info_slave_data"), ours, "{}", script::line(&change));
            }
            ip("link delete new0");
        }
    });
}

#[test]
#[ignore = "runs inside a guest"]
fn links_without_options() {
    in_namespace(async || {
        for kind in [Kind::Dummy, Kind::Wireguard] {
            all_done(&apply(&plan(vec![(Action::AddLink(new_link("new0", kind)), &[])])).await);
            assert_eq!(ip_json("link show new0")[0]["linkinfo"]["info_kind"], kind.word());
            ip("link delete new0");
        }
    });
}

/// What a link of a kind requires.
fn needed(kind: Kind) -> BTreeMap<&'static str, OptionValue> {
    let of = |name: &str| attribute::of(kind, name);
    let ends = ["192.0.2.9", "2001:db8::9"].into_iter().filter_map(|end| {
        let row = of("remote").filter(|_| kind != Kind::Vxlan)?;
        Some((row.name, row.parse(end).ok()?))
    });
    let said = said_by_ip(kind)
        .iter()
        .filter_map(|(name, text)| Some((of(name)?.name, of(name)?.parse(text).ok()?)));
    ends.chain(said).collect()
}

#[test]
#[ignore = "runs inside a guest"]
fn the_kernel_accepts_the_members_that_check_accepts() {
    in_namespace(async || {
        ip("link add eth0 type dummy");
        ip("link set eth0 up");
        let mut wrong = Vec::new();
        let controllers = [
            (Kind::Bond, "mode active-backup", true),
            (Kind::Bond, "mode balance-rr", false),
            (Kind::Bond, "mode 802.3ad", false),
            (Kind::Bridge, "", false),
            (Kind::Vrf, "table 9", false),
        ];
        for (controller, options, any) in controllers {
            for kind in Kind::all().filter(|kind| *kind != Kind::Physical) {
                ip(&format!("link add over0 type {} {options}", controller.word()));
                let parent = matches!(kind, Kind::Vlan | Kind::Macvlan).then(|| "eth0".to_owned());
                let new = NewLink { settings: needed(kind), parent, ..new_link("new0", kind) };
                all_done(&apply(&plan(vec![(Action::AddLink(new), &[])])).await);
                let join = set("new0", LinkChange::Controller("over0".to_owned()));
                let taken = apply(&plan(vec![(join, &[])])).await.failures().next().is_none();
                if taken != controller.takes(kind, any) {
                    wrong.push(format!("{} {options}: {}: {taken}", controller.word(), kind.word()));
                }
                // A bond without Ethernet goes with its last member (bond_slave_netdev_event).
                ip("link delete over0");
                ip("link delete new0");
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Options whose range is not in the table, and why.
const NO_RANGE: &[(&str, &str)] = &[
    ("group_fwd_mask", "a mask of bits, of which the kernel refuses some"),
    ("flowlabel", "the kernel takes more bits and drops them"),
    ("queue_id", "up to the module's parameter tx_queues"),
];

/// The numbers just inside and just outside of a row's range, with whether the kernel should accept them.
fn bounds(row: &attribute::Attribute) -> Vec<(i64, bool)> {
    let numbers =
        matches!(row.form, Form::U8 | Form::U16 | Form::U16Be | Form::U32 | Form::U32Be | Form::I32);
    if !numbers || NO_RANGE.iter().any(|(name, _)| *name == row.name) {
        return Vec::new();
    }
    let (low, high) = row.range();
    let form = attribute::Attribute { range: None, ..*row }.range();
    let fits = |(number, _): &(i64, bool)| (form.0..=form.1).contains(number);
    [(low, true), (high, true), (low - 1, false), (high + 1, false)].into_iter().filter(fits).collect()
}

#[test]
#[ignore = "runs inside a guest"]
fn ranges_are_the_kernels() {
    in_namespace(async || {
        ip("link add eth0 type dummy");
        let mut wrong = Vec::new();
        for kind in TRIED {
            for (name, _, with) in samples(*kind) {
                let row = attribute::of(*kind, name).unwrap();
                for (number, right) in bounds(row) {
                    let mut settings = needed(*kind);
                    for (name, text) in with.split_whitespace().filter_map(|w| w.split_once('=')) {
                        let row = attribute::of(*kind, name).unwrap();
                        settings.insert(row.name, row.parse(text).unwrap());
                    }
                    settings.insert(row.name, OptionValue::Number(number));
                    let parent = (*kind == Kind::Vlan).then(|| "eth0".to_owned());
                    let new = NewLink { settings, parent, ..new_link("new0", *kind) };
                    let outcome = apply(&plan(vec![(Action::AddLink(new), &[])])).await;
                    if outcome.failures().next().is_none() != right {
                        wrong.push(format!("{} {name} {number}", kind.word()));
                    }
                    let _ = apply(&plan(vec![(Action::DeleteLink { name: "new0".to_owned() }, &[])])).await;
                }
            }
        }
        for (kind, options) in [(Kind::Bond, "mode active-backup"), (Kind::Bridge, "")] {
            ip(&format!("link add new0 type {} {options}", kind.word()));
            ip("link set eth0 master new0");
            for row in kind.port_attributes() {
                for (number, right) in bounds(row) {
                    let settings = BTreeMap::from([(row.name, OptionValue::Number(number))]);
                    let change = set("eth0", LinkChange::PortOptions { kind, settings });
                    if apply(&plan(vec![(change, &[])])).await.failures().next().is_none() != right {
                        wrong.push(format!("port of {}: {} {number}", kind.word(), row.name));
                    }
                }
            }
            ip("link delete new0");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
