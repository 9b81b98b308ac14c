//! The complete network state of the kernel, as text for comparing two machines: ip(8), bridge(8), wg(8) and
//! ethtool(8), and the settings of the links below /proc/sys.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::state::{comes_with_carrier, comparable, strip};

/// The queries to ip(8), made together, by family.
const QUESTIONS: [(&str, &[&str]); 2] = [
    ("-4", &["link show", "address show", "route show table all", "rule show"]),
    ("-6", &["address show", "route show table all", "rule show"]),
];

/// Settings that cannot be read until they have been set.
const UNREADABLE: &str = "stable_secret";

/// The state of this namespace; random values are replaced by the name of their link. `features` includes the NICs'
/// offloads, which takes longer.
pub fn state(features: bool) -> String {
    let (links, told) = told();
    let mut state = String::new();
    for ((family, questions), answers) in QUESTIONS.iter().zip(told) {
        for (question, mut answer) in questions.iter().zip(answers) {
            // The rest is in the answer about links.
            if *question == "address show" {
                let each = answer.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
                each.for_each(|link| link.retain(|key, _| key == "ifname" || key == "addr_info"));
            }
            let _ = writeln!(state, "# ip {family} {question}\n{}", comparable(answer, |_| false));
        }
    }
    for link in &links {
        let name = link["ifname"].as_str().unwrap_or_default();
        // Told only by a kernel whose bridges have VLANs (br_fill_info).
        let has_vlans = link["linkinfo"]["info_data"]["vlan_protocol"].is_string();
        let (program, text) = match link["linkinfo"]["info_kind"].as_str() {
            Some("wireguard") => ("wg", wireguard(name)),
            Some("bridge") if has_vlans => ("bridge vlan", run("bridge", &["-d", "vlan", "show"])),
            Some("veth") if features => ("ethtool", run("ethtool", &["-k", name])),
            _ => ("", String::new()),
        };
        let _ = writeln!(state, "# {program} of {name}\n{text}");
        settings(name, &mut state);
    }
    state
}

/// The links, and the answers to [`QUESTIONS`] without random values.
fn told() -> (Vec<Value>, [Vec<Value>; 2]) {
    let asked = QUESTIONS.map(|(family, questions)| {
        run_with("ip", &[family, "-j", "-d", "-batch", "-"], &questions.join("\n"))
    });
    let links = items(answers(&asked[0]).swap_remove(0));
    let chances = chances(&links, &answers(&asked[1])[0]);
    let by_name = |text: String| chances.iter().fold(text, |text, (chance, name)| text.replace(chance, name));
    let told = asked.map(|text| answers(&by_name(text)));
    for ((_, questions), answers) in QUESTIONS.iter().zip(&told) {
        assert_eq!(answers.len(), questions.len(), "an answer to each question");
    }
    (links, told)
}

fn items(answer: Value) -> Vec<Value> {
    if let Value::Array(items) = answer { items } else { Vec::new() }
}

/// An address or a route, in JSON, with its links and its family.
pub type OnLinks = (String, &'static str, String);

/// A machine's state in lines that can be compared one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// `eth0 mtu = 1500`: the attributes of each link, and its settings below /proc/sys.
    pub links: BTreeSet<String>,
    /// Addresses and routes, one for each next hop: the link, the family, and the complete entry.
    pub on_links: BTreeSet<OnLinks>,
    /// Policy rules, including the kernel's own.
    pub rules: BTreeSet<String>,
}

/// Alternative names are given if no link has them. While a bridge's topology changes, its ageing time is twice its
/// forward delay (__br_set_topology_change).
const NOT_COMPARED: &[&str] = &["altnames", "ageing_time"];

/// The state of this namespace.
pub fn lines() -> Lines {
    let (links, told) = told();
    let mut lines = Lines::default();
    for link in &links {
        let name = link["ifname"].as_str().unwrap_or_default();
        let mut text = String::new();
        settings(name, &mut text);
        lines.links.extend(text.lines().map(str::to_owned));
    }
    for ((family, questions), answers) in QUESTIONS.iter().zip(told) {
        for (question, answer) in questions.iter().zip(answers) {
            for mut item in items(answer).into_iter().filter(|item| !comes_with_carrier(item)) {
                strip(&mut item);
                let link = item["ifname"].as_str().unwrap_or_default().to_owned();
                match *question {
                    "link show" => {
                        // One attribute by itself: what a description does not say of it stays.
                        if let Some(flags) = item["flags"].as_array_mut() {
                            let count = flags.len();
                            flags.retain(|flag| flag != "PROMISC");
                            let takes_all = flags.len() < count;
                            item["promiscuous"] = takes_all.into();
                        }
                        flatten(&link, &item, &mut lines.links);
                    }
                    "address show" => {
                        for mut address in items(item["addr_info"].take()) {
                            // An unnamed one may be unchanged.
                            address.as_object_mut().map(|address| address.remove("broadcast"));
                            lines.on_links.insert((link.clone(), family, address.to_string()));
                        }
                    }
                    "rule show" => drop(lines.rules.insert(format!("{family} {item}"))),
                    _ if item["type"] == "broadcast" && item["protocol"] == "kernel" => {}
                    // A random link-local address comes with carrier, too.
                    _ if item["dst"].as_str().is_some_and(|to| to.starts_with('(')) => {}
                    _ => lines
                        .on_links
                        .extend(routes(family, item).into_iter().map(|(link, r)| (link, *family, r))),
                }
            }
        }
    }
    lines
}

/// A route, by its links. In IPv6 each of several next hops is a route of its own. A route without a link is on no
/// link.
fn routes(family: &str, mut route: Value) -> Vec<(String, String)> {
    let dev = |value: &Value| value["dev"].as_str().unwrap_or_default().to_owned();
    let one = |route: &Value| (dev(route), route.to_string());
    let hops = route["nexthops"].as_array().cloned().unwrap_or_default();
    if hops.is_empty() {
        return vec![one(&route)];
    }
    if family == "-4" {
        let links: Vec<String> = hops.iter().map(dev).collect();
        return vec![(links.join(" "), route.to_string())];
    }
    let map = route.as_object_mut().expect("a route");
    map.remove("nexthops");
    let each = |hop: &Value| {
        let mut route = map.clone();
        route.extend(hop.as_object().cloned().unwrap_or_default());
        // As in the single route.
        if route.get("weight") == Some(&1.into()) {
            route.remove("weight");
        }
        one(&Value::Object(route))
    };
    hops.iter().map(each).collect()
}

fn flatten(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(key, _)| !NOT_COMPARED.contains(&key.as_str())) {
                flatten(&format!("{path} {key}"), value, lines);
            }
        }
        _ => drop(lines.insert(format!("{path} = {value}"))),
    }
}

/// The lines that one state has more often than the other, each below its query.
pub fn difference(left: &str, right: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        let mut others: HashMap<(&str, &str), usize> = HashMap::new();
        by_question(b).for_each(|line| *others.entry(line).or_default() += 1);
        let more = by_question(a).filter(|line| match others.get_mut(line) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        more.map(|(question, line)| format!("{sign} {question}: {}\n", line.trim())).collect()
    };
    format!("{}{}", only(left, right, "-"), only(right, left, "+"))
}

fn by_question(state: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut question = "";
    state.lines().map(move |line| {
        question = line.strip_prefix("# ").unwrap_or(question);
        (question, line)
    })
}

/// The answers of ip(8), query by query.
fn answers(text: &str) -> Vec<Value> {
    let answers = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>();
    answers.unwrap_or_else(|error| panic!("{error} in what ip(8) printed:\n{text}"))
}

/// Keys, port and peers; peers in order of their keys.
fn wireguard(name: &str) -> String {
    let shown = run("wg", &["showconf", name]);
    let mut paragraphs: Vec<&str> = shown.split("\n\n").map(str::trim).collect();
    paragraphs.sort_unstable();
    paragraphs.join("\n\n")
}

fn settings(name: &str, state: &mut String) {
    for family in ["ipv4", "ipv6"] {
        let folder = format!("/proc/sys/net/{family}/conf/{name}");
        // A link whose MTU is too small has no IPv6.
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().expect("a setting's name"));
        let values: BTreeMap<String, String> = names
            .filter(|setting| setting != UNREADABLE)
            .map(|setting| {
                let value = fs::read_to_string(format!("{folder}/{setting}")).expect("a setting");
                (setting, value)
            })
            .collect();
        for (setting, value) in values {
            let _ = writeln!(state, "{family}/{name}/{setting} = {}", value.trim());
        }
    }
}

/// Random values of the kernel, and their names: hardware addresses (`NET_ADDR_RANDOM`, and a tunnel's permanent one)
/// with the link-local addresses derived from them, and link-local addresses from a random secret.
fn chances(links: &[Value], addresses: &Value) -> Vec<(String, String)> {
    let mut chances = Vec::new();
    for link in links {
        let name = link["ifname"].as_str().unwrap_or_default();
        let kind = fs::read_to_string(format!("/sys/class/net/{name}/addr_assign_type")).unwrap_or_default();
        // A bridge that lost its ports has none.
        let random = link["address"].as_str().filter(|mac| kind.trim() == "1" && *mac != "00:00:00:00:00:00");
        let permanent = link["permaddr"].as_str().filter(|_| link["linkinfo"]["info_kind"].is_string());
        for (what, mac) in [("random", random), ("permanent", permanent)] {
            let forms = mac.map(forms).unwrap_or_default();
            chances.extend(forms.into_iter().map(|form| (form, format!("({what} of {name})"))));
        }
        if link["inet6_addr_gen_mode"] == "random" {
            let of_it = addresses.as_array().into_iter().flatten().filter(|a| a["ifname"] == name);
            let local = of_it.flat_map(|a| a["addr_info"].as_array().into_iter().flatten());
            let local =
                local.filter(|address| address["scope"] == "link").filter_map(|a| a["local"].as_str());
            chances.extend(local.map(|address| (address.to_owned(), format!("(link-local of {name})"))));
        }
    }
    chances
}

/// A MAC address in its forms: plain, in a bridge's id, and in a link-local address. That of an IPv6 tunnel has the
/// length of an IPv6 address, and is written like one.
fn forms(mac: &str) -> Vec<String> {
    let bytes: Vec<u8> = match mac.parse::<Ipv6Addr>() {
        Ok(long) => long.octets()[..6].to_vec(),
        Err(_) => mac.split(':').filter_map(|part| u8::from_str_radix(part, 16).ok()).collect(),
    };
    // A bridge's id has no leading zeroes.
    let short: Vec<String> = bytes.iter().map(|byte| format!("{byte:x}")).collect();
    let mut forms = vec![mac.to_owned(), short.join(":")];
    if let [a, b, c, d, e, f] = bytes[..] {
        let half = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        let local = Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(half));
        forms.push(local.to_string());
    }
    forms
}

fn run(program: &str, arguments: &[&str]) -> String {
    run_with(program, arguments, "")
}

/// Runs a program that must succeed; returns its output.
pub fn run_with(program: &str, arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}
