//! The kernel's state, as shown by ip(8): in the few words that a test compares.

use serde_json::Value;

use harness::guest::Guest;
use harness::state::{QUESTIONS, comparable};

/// One link as `ip -j -d link` shows it; fails if there is none with that name.
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

/// The configured routes of the main table, as `default via 192.0.2.1 dev eth0`, sorted.
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
    for question in QUESTIONS {
        let shown = guest.json(&format!("ip -j -d {question}"));
        whole += &format!("# {question}\n{}\n", comparable(shown, |_| false));
    }
    whole
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
