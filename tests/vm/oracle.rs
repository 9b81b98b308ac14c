//! What the kernel has, as ip(8) tells it: in the few words that a test compares.

#![allow(dead_code)]

use serde_json::Value;

use crate::guest::Guest;

/// One link as `ip -j -d link` shows it; fails where there is none of that name.
#[track_caller]
pub(crate) fn link(guest: &mut Guest, name: &str) -> Value {
    guest.json(&format!("ip -j -d link show dev {name}"))[0].take()
}

/// The permanent global addresses of a link, as `192.0.2.10/24`, sorted.
#[track_caller]
pub(crate) fn addresses(guest: &mut Guest, name: &str) -> Vec<String> {
    let shown = guest.json(&format!("ip -j address show dev {name} scope global"));
    let mut found: Vec<String> = items(&shown)
        .flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default())
        // `ip` leaves an empty object for each address that the scope filters out.
        .filter(|address| address["local"].is_string())
        .map(|address| format!("{}/{}", text(&address["local"]), address["prefixlen"]))
        .collect();
    found.sort();
    found
}

/// The routes of the main table that somebody configured, as `default via 192.0.2.1 dev eth0`, sorted.
#[track_caller]
pub(crate) fn routes(guest: &mut Guest) -> Vec<String> {
    let mut found = Vec::new();
    for family in ["-4", "-6"] {
        let shown = guest.json(&format!("ip -j {family} route show"));
        found.extend(items(&shown).filter(|route| route["protocol"] != "kernel").map(|route| {
            let mut line = text(&route["dst"]);
            for (word, key) in [("via", "gateway"), ("dev", "dev"), ("metric", "metric"), ("src", "prefsrc")]
            {
                if !route[key].is_null() {
                    line += &format!(" {word} {}", text(&route[key]));
                }
            }
            if items(&route["flags"]).any(|flag| flag == "onlink") {
                line += " onlink";
            }
            line
        }));
    }
    found.sort();
    found
}

/// The names of all links but the loopback, sorted.
#[track_caller]
pub(crate) fn names(guest: &mut Guest) -> Vec<String> {
    let shown = guest.json("ip -j link");
    let mut found: Vec<String> =
        items(&shown).map(|link| text(&link["ifname"])).filter(|name| name != "lo").collect();
    found.sort();
    found
}

/// The links of a controller, sorted.
#[track_caller]
pub(crate) fn ports(guest: &mut Guest, controller: &str) -> Vec<String> {
    let shown = guest.json(&format!("ip -j link show master {controller}"));
    let mut found: Vec<String> = items(&shown).map(|link| text(&link["ifname"])).collect();
    found.sort();
    found
}

/// Everything that a description can change, for comparing two machines: links, addresses, routes and rules without
/// what differs from boot to boot.
#[track_caller]
pub(crate) fn state(guest: &mut Guest) -> String {
    let mut whole = String::new();
    for command in [
        "ip -j -d link",
        "ip -j address",
        "ip -j -4 route show table all",
        "ip -j -6 route show table all",
        "ip -j -4 rule",
        "ip -j -6 rule",
    ] {
        let mut shown = guest.json(command);
        strip(&mut shown);
        let mut lines: Vec<String> = items(&shown).map(|item| format!("{item:#}")).collect();
        lines.sort();
        whole += &format!("# {command}\n{}\n", lines.join("\n"));
    }
    whole
}

/// Removes what the kernel counts, negotiates or measures by itself.
fn strip(value: &mut Value) {
    const OWN: &[&str] = &[
        "ifindex",
        "link_index",
        "iflink",
        "operstate",
        "ad_info",
        "state",
        "mii_status",
        "link_failure_count",
        "ad_aggregator_id",
        "ad_actor_oper_port_state",
        "ad_partner_oper_port_state",
        "active_slave",
        "ad_actor_oper_port_state_str",
        "ad_partner_oper_port_state_str",
        "hello_timer",
        "tcn_timer",
        "topology_change_timer",
        "gc_timer",
        "forward_delay_timer",
        "hold_timer",
        "message_age_timer",
        "cacheinfo",
        "tentative",
        "numtxqueues",
        "numrxqueues",
    ];
    const FLAGS: &[&str] = &["LOWER_UP", "NO-CARRIER", "M-DOWN", "linkdown", "dead"];
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !OWN.contains(&key.as_str()));
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => {
            list.retain(|item| !FLAGS.iter().any(|flag| item == flag));
            list.iter_mut().for_each(strip);
        }
        _ => {}
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
