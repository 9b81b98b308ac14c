//! Everything that a description can change, from ip(8) and /proc, without what comes and goes by itself.

use serde_json::Value;

/// The queries to ip(8). Every answer is a list.
pub const QUESTIONS: &[&str] =
    &["link", "address", "-4 route show table all", "-6 route show table all", "-4 rule", "-6 rule"];

/// The answer to one query: one item per paragraph, sorted, without the lines that are `left_out`.
pub fn comparable(mut shown: Value, left_out: impl Fn(&str) -> bool) -> String {
    if let Value::Array(items) = &mut shown {
        items.retain(|item| !comes_with_carrier(item));
    }
    strip(&mut shown);
    let items = shown.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |item: &Value| {
        let text = format!("{item:#}");
        text.lines().filter(|line| !left_out(line)).collect::<Vec<_>>().join("\n")
    };
    let mut items: Vec<String> = items.iter().map(text).collect();
    items.sort();
    items.join("\n")
}

/// What IPv6 adds by itself when a link gets carrier: the link-local address, and routes to local and multicast
/// addresses. A bond gets carrier when it first checks its members, a bridge with STP once a port forwards, so an early
/// query misses what a later one sees.
pub(crate) fn comes_with_carrier(item: &Value) -> bool {
    let is = |key: &str, word: &str| item[key] == word;
    let to = item["dst"].as_str().unwrap_or_default();
    let own_route = is("protocol", "kernel") && (!is("type", "unicast") || to.starts_with("fe80:"));
    to.contains(':') && own_route || is("family", "inet6") && is("scope", "link")
}

/// Removes what the kernel counts, negotiates or measures by itself.
pub(crate) fn strip(value: &mut Value) {
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
        // Only the active member of a bond has these.
        "allmulti",
        "promiscuity",
        "ad_actor_oper_port_state_str",
        "ad_partner_oper_port_state_str",
        "hello_timer",
        "tcn_timer",
        "topology_change",
        "topology_change_detected",
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
            // A lifetime decreases.
            for key in ["expires", "valid_life_time", "preferred_life_time"] {
                if let Some(time) =
                    map.get_mut(key).filter(|t| t.as_u64().is_some_and(|t| t != 0 && t < u32::MAX.into()))
                {
                    *time = "runs".into();
                }
            }
            // An index of another namespace, or the name of a link here with the same index.
            if map.remove("link_netnsid").is_some() {
                map.remove("link");
            }
            map.retain(|key, _| !OWN.contains(&key.as_str()));
            map.values_mut().for_each(strip);
            // Of IPv6 routes that are shown as one, a re-added one is last: the traffic is the same.
            if let Some(hops) = map.get_mut("nexthops").and_then(Value::as_array_mut) {
                hops.sort_by_key(Value::to_string);
            }
        }
        Value::Array(list) => {
            list.retain(|item| !FLAGS.iter().any(|flag| item == flag) && !comes_with_carrier(item));
            list.iter_mut().for_each(strip);
        }
        _ => {}
    }
}
