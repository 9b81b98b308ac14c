//! Every option of every kind, set by us and set by ip(8): the two links must look alike to ip(8).

use std::collections::BTreeMap;

use netapply::inventory::Inventory;
use netapply::kernel::read;
use netapply::kernel::session::{Family, Session};
use netapply::model::Kind;
use netapply::model::attribute::{self, Value};
use netapply::plan::{Action, LinkChange, NewLink};

use crate::namespace::{in_namespace, ip, ip_batch, ip_json};
use crate::plans::{all_done, apply, new_link, plan, set};

/// An option, a value other than the kernel's own, and what else must be said for the kernel to take it.
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
    ("mcast_snooping", "off", ""),
    ("vlan_default_pvid", "7", ""),
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

/// Options of the table that no sample sets, and why.
const UNTRIED: &[(&str, &str)] = &[
    ("active_slave", "needs a member that is up"),
    ("coupled_control", "the guest's kernel is older"),
    ("gpe", "refused without the collection of metadata, which netapply does not set"),
];

/// Options that ip(8) insists on, or sends unasked with a value other than the kernel's.
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

/// One test a kind: a guest runs each on its own, within its bound.
macro_rules! options_of_new_links {
    ($($test:ident: $($kind:ident)+;)+) => {$(
        #[test]
        #[ignore = "runs inside a guest"]
        fn $test() {
            in_namespace(async || options_of(&[$(Kind::$kind),+]).await);
        }
    )+};
}

options_of_new_links! {
    bond: Bond;
    bridge: Bridge;
    vxlan: Vxlan;
    small_kinds: Vlan Vrf Macvlan Veth Dummy Wireguard;
    ip4_tunnels: Sit Ipip Gre Gretap Vti;
    ip6_tunnels: Ip6tnl Ip6gre Ip6gretap Vti6;
}

async fn options_of(kinds: &[Kind]) {
    ip("link add eth0 type dummy");
    let mut wrong = Vec::new();
    for kind in kinds {
        for row in kind.attributes() {
            let tried = samples(*kind).iter().any(|(name, _, _)| *name == row.name);
            assert!(
                tried || UNTRIED.iter().any(|(name, _)| *name == row.name),
                "{} of {}",
                row.name,
                kind.word()
            );
        }
        for sample in samples(*kind) {
            if let Err(why) = compare(*kind, sample).await {
                wrong.push(format!("{} {} {}: {why}", kind.word(), sample.0, sample.1));
            }
            let _ = apply(&plan(vec![(Action::DeleteLink { name: "new0".to_owned() }, &[])])).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Makes a link with a sample ourselves, and one with ip(8), one after the other; says where they differ.
async fn compare(kind: Kind, (name, text, with): &Sample) -> Result<(), String> {
    let mut settings = BTreeMap::new();
    for (name, text) in with.split_whitespace().filter_map(|w| w.split_once('=')).chain([(*name, *text)]) {
        let row = attribute::of(kind, name).ok_or(format!("{name} is not in the table"))?;
        settings.insert(row.name, row.parse(text)?);
    }
    // What ip(8) says of its own accord.
    for (name, text) in said_by_ip(kind) {
        let row = attribute::of(kind, name).ok_or(format!("{name} is not in the table"))?;
        settings.entry(row.name).or_insert(row.parse(text)?);
    }
    let parent = matches!(kind, Kind::Vlan | Kind::Macvlan).then(|| "eth0".to_owned());
    let on = parent.as_ref().map_or(String::new(), |p| format!("link {p} "));
    let words: Vec<String> = kind
        .attributes()
        .iter()
        .filter_map(|row| Some(row.ip_words(settings.get(row.name)?).join(" ")))
        .collect();
    let new = NewLink { settings: settings.clone(), parent, ..new_link("new0", kind) };
    let outcome = apply(&plan(vec![(Action::AddLink(new), &[])])).await;
    if let Some((_, trouble)) = outcome.failures().next() {
        return Err(trouble.to_string());
    }
    let ours = shown();
    let read = read::inventory(&mut Session::open(Family::Route).unwrap()).await.unwrap();
    let add = format!("link add {on}name new0 type {} {}", kind.word(), words.join(" "));
    ip_batch(&["link delete new0", &add])?;
    let theirs = shown();
    if ours != theirs {
        return Err(format!("ours {ours}\n  ip's {theirs}"));
    }
    read_back(&read, &settings)
}

fn read_back(read: &Inventory, settings: &BTreeMap<&'static str, Value>) -> Result<(), String> {
    let link = read.link("new0").expect("it is there");
    // The kernel shows a bond's primary only once that is a member (bond_fill_info).
    let shown = |name: &str| name != "primary";
    match settings.iter().find(|(name, value)| shown(name) && link.settings.get(**name) != Some(value)) {
        Some((name, _)) => Err(format!("read back as {:?}", link.settings.get(*name))),
        None => Ok(()),
    }
}

fn shown() -> serde_json::Value {
    let mut shown = ip_json("link show new0")[0]["linkinfo"]["info_data"].clone();
    if let Some(options) = shown.as_object_mut() {
        options.retain(|name, _| !name.ends_with("_timer"));
    }
    shown
}

#[test]
#[ignore = "runs inside a guest"]
fn ports_of_a_bridge() {
    in_namespace(async || {
        ip("link add br0 type bridge");
        ip("link add eth0 type dummy");
        ip("link set eth0 master br0");
        for (name, text) in [
            ("priority", "9"),
            ("cost", "77"),
            ("hairpin", "on"),
            ("guard", "on"),
            ("learning", "off"),
            ("neigh_suppress", "on"),
        ] {
            let row = attribute::find(Kind::Bridge.port_attributes(), name).unwrap();
            let value = row.parse(text).unwrap();
            let before = ip_json("link show eth0")[0]["linkinfo"]["info_slave_data"][name].clone();
            let settings = BTreeMap::from([(row.name, value.clone())]);
            let change = LinkChange::PortOptions { kind: Kind::Bridge, settings };
            all_done(&apply(&plan(vec![(set("eth0", change), &[])])).await);
            let after = ip_json("link show eth0")[0]["linkinfo"]["info_slave_data"][name].clone();
            assert_ne!(before, after, "{name}");
            assert_eq!(
                after.to_string().trim_matches('"').replace("true", "1").replace("false", "0"),
                value.to_string()
            );
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
