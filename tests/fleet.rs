//! `check --fleet` on fleets of ten thousand nodes with faults of every kind: each must be found and nothing else; and
//! on realistic fleets without faults.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const NODES: usize = 10_000;
/// Nodes in one rack, which is one subnet for each of its networks.
const RACK: usize = 100;

fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.arg("check").args(arguments).current_dir(folder).output().unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = check(folder, &[&["--json", "--fleet"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|wrong| panic!("{wrong}: {output:?}"))
}

/// A node before it is written: two NICs in a bond with a VLAN for storage, and what a fault may change.
#[derive(Clone)]
struct Node {
    number: usize,
    macs: [String; 2],
    address: String,
    prefix: u32,
    gateway: String,
    mtu: u32,
    storage: String,
    vlan: u32,
    mode: &'static str,
    hash: &'static str,
    servers: &'static str,
    default_on: Option<&'static str>,
}

impl Node {
    fn new(number: usize) -> Node {
        let (rack, unit) = (number / RACK, number % RACK + 10);
        let mac = |port: u8| format!("7c:c2:55:{:02x}:{:02x}:{port:02x}", number >> 8, number & 0xff);
        Node {
            number,
            macs: [mac(0x44), mac(0x45)],
            address: format!("10.{rack}.0.{unit}"),
            prefix: 24,
            gateway: format!("10.{rack}.0.1"),
            mtu: 9000,
            storage: format!("10.{rack}.1.{unit}/24"),
            vlan: 1000 + rack as u32,
            mode: "802.3ad",
            hash: "layer3+4",
            servers: "\"10.255.0.53\", \"10.255.1.53\"",
            default_on: Some("bond"),
        }
    }

    fn text(&self) -> String {
        let Node {
            number,
            macs,
            address,
            prefix,
            gateway,
            mtu,
            storage,
            vlan,
            mode,
            hash,
            servers,
            default_on,
        } = self;
        let rack = number / RACK;
        let route = |link: &str, via: &str| match default_on {
            Some(on) if *on == link => {
                format!(r#", "routes": [{{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "{via}"}}]"#)
            }
            _ => String::new(),
        };
        let servers: String = servers
            .split(", ")
            .map(|server| format!(r#"{{"type": "dns", "address": {server}}}"#))
            .collect::<Vec<_>>()
            .join(", ");
        format!(
            r#"{{"links": [
 {{"id": "n1", "type": "phy", "ethernet_mac_address": "{}", "mtu": {mtu}}},
 {{"id": "n2", "type": "phy", "ethernet_mac_address": "{}", "mtu": {mtu}}},
 {{"id": "bond", "type": "bond", "bond_links": ["n1", "n2"], "bond_mode": "{mode}", "bond_xmit_hash_policy": "{hash}", "bond_miimon": 100, "mtu": {mtu}}},
 {{"id": "storage", "type": "vlan", "vlan_link": "bond", "vlan_id": {vlan}, "vlan_mac_address": "{}"}}],
 "networks": [
 {{"id": "a", "link": "bond", "type": "ipv4", "ip_address": "{address}/{prefix}"{}}},
 {{"id": "b", "link": "storage", "type": "ipv4", "ip_address": "{storage}"{}}}],
 "services": [{servers}]}}
"#,
            macs[0],
            macs[1],
            macs[0],
            route("bond", gateway),
            route("storage", &format!("10.{rack}.1.1")),
        )
    }
}

/// A fault: the code that reports it, and how it is introduced into a node and another of its rack.
type Fault = (&'static str, fn(&mut Node, &Node));

const FAULTS: &[Fault] = &[
    ("fleet-mac", |node, other| node.macs = other.macs.clone()),
    ("fleet-address", |node, other| node.address = other.address.clone()),
    ("fleet-address", |node, other| node.storage = other.storage.clone()),
    ("fleet-gateway", |node, _| node.gateway = node.gateway.replace(".0.1", ".0.2")),
    ("fleet-gateway-is-node", |node, other| node.gateway = other.address.clone()),
    ("fleet-gateway-is-node", |node, _| node.address = node.gateway.clone()),
    ("fleet-prefix", |node, _| node.prefix = 25),
    ("fleet-prefix", |node, _| node.prefix = 23),
    ("fleet-mtu", |node, _| node.mtu = 1500),
    ("fleet-vlan", |node, _| node.vlan += 1000),
    ("fleet-bond", |node, _| node.mode = "active-backup"),
    ("fleet-bond", |node, _| node.hash = "layer2"),
    ("fleet-name-servers", |node, _| node.servers = "\"10.255.0.53\""),
    ("fleet-default-route", |node, _| node.default_on = None),
    ("fleet-default-route", |node, _| node.default_on = Some("storage")),
    ("fleet-outside", |node, _| {
        node.storage = node.storage.replace("10.", "172.16.");
        node.storage.truncate(node.storage.rfind('.').unwrap());
        node.storage += "/24";
    }),
    ("fleet-overlap", |node, _| node.storage = format!("10.{}.0.230/25", node.number / RACK)),
];

/// Pseudo-random numbers that are the same in every run (Knuth's linear congruential generator, MMIX).
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

/// A public key of WireGuard.
const PEER: &str = "ZAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Writes a node as a drive with a host name and a WireGuard key.
fn drive(folder: &Path, node: &Node, name: usize, key: usize) {
    std::fs::create_dir(folder).unwrap();
    let Node { macs, address, prefix, gateway, number, .. } = node;
    let config = format!(
        "network:\n  version: 2\n  ethernets:\n    nic:\n      match: {{macaddress: '{}'}}\n      addresses: [{address}/{prefix}]\n      \
         routes: [{{to: default, via: {gateway}}}]\n  tunnels:\n    wg0:\n      mode: wireguard\n      key: {key:A>42}A=\n      \
         addresses: [172.20.0.{}/32]\n      peers: [{{keys: {{public: {PEER}}}, allowed-ips: [172.20.1.0/24]}}]\n",
        macs[0],
        number % RACK + 1
    );
    std::fs::write(folder.join("network-config"), config).unwrap();
    std::fs::write(folder.join("meta-data"), format!("instance-id: {number}\n")).unwrap();
    std::fs::write(folder.join("user-data"), format!("#cloud-config\nhostname: n{name}\n")).unwrap();
}

/// What the machines of the nodes recorded at their boot: NIC n of each on switch n of its rack, at a port with its number.
/// Returns the faults that are introduced.
fn reports(folder: &Path, nodes: &[Node]) -> BTreeSet<(String, String)> {
    let (mut expected, mut state) = (BTreeSet::new(), 7);
    let mut ports: Vec<[(usize, usize); 2]> =
        (0..nodes.len()).map(|number| [0, 1].map(|nic| (nic, number % RACK + 1))).collect();
    let mut vlans = vec![[true; 2]; nodes.len()];
    let mut macs: Vec<[String; 2]> = nodes.iter().map(|node| node.macs.clone()).collect();
    let mut causes: Vec<&[(&str, &str)]> = vec![&[]; nodes.len()];
    for rack in 0..nodes.len() / RACK {
        let unit = random(&mut state) % (RACK - 1);
        let (at, later) = (rack * RACK + unit, rack * RACK + RACK - 1);
        let code = match rack % 9 {
            0 => {
                (ports[at][1], ports[later][1]) = (ports[later][1], ports[at][1]);
                "fleet-cables-swapped"
            }
            1 => {
                ports.swap(at, later);
                "fleet-cables-swapped"
            }
            2 => {
                ports[at].reverse();
                "fleet-switch-port"
            }
            3 => {
                vlans[at][1] = false;
                "fleet-switch-port"
            }
            4 => {
                macs[at][0] = format!("52:54:00:00:{:02x}:{:02x}", at >> 8, at & 0xff);
                "fleet-nic-missing"
            }
            5 => {
                causes[at] = &[("no-cable", "error")];
                "fleet-boot-fault"
            }
            _ => continue,
        };
        let told = if code == "fleet-cables-swapped" { later } else { at };
        expected.insert((code.to_owned(), format!("{told}.json")));
    }
    for number in 0..nodes.len() {
        let rack = number / RACK;
        let links: Vec<Value> = (0..2)
            .map(|nic| {
                let (switch, port) = ports[number][nic];
                let mut all = vec![1000 + rack];
                all.extend(vlans[number][nic].then_some(99));
                let lldp = serde_json::json!({"switch": format!("leaf{rack}-{switch}"), "port": format!("Ethernet{port}"),
                    "pvid": 1, "vlans": all});
                serde_json::json!({"index": nic + 2, "name": format!("eno{nic}"), "mac": macs[number][nic], "layer": "ether",
                    "lldp": lldp})
            })
            .collect();
        let path = folder.join(number.to_string());
        std::fs::create_dir_all(&path).unwrap();
        let inventory = serde_json::json!({"version": 1, "kernel": "6.1.0", "links": links});
        std::fs::write(path.join("inventory.json"), inventory.to_string()).unwrap();
        if !causes[number].is_empty() {
            let causes: Vec<Value> = causes[number]
                .iter()
                .map(|(code, severity)| serde_json::json!({"code": code, "severity": severity, "message": "eno0"}))
                .collect();
            let report = serde_json::json!({"version": 1, "verdict": "faults", "causes": causes});
            std::fs::write(path.join("report.json"), report.to_string()).unwrap();
        }
    }
    expected
}

#[test]
fn exactly_the_faults_among_ten_thousand_nodes_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes: Vec<Node> = (0..NODES).map(Node::new).collect();
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    let mut state = 19;
    // One fault in a rack, each kind several times. The last rack has drives.
    for rack in 0..NODES / RACK - 1 {
        let (code, change) = FAULTS[rack % FAULTS.len()];
        let unit = random(&mut state) % RACK;
        let (at, other) =
            (rack * RACK + unit, rack * RACK + (unit + 1 + random(&mut state) % (RACK - 1)) % RACK);
        let other_node = nodes[other].clone();
        change(&mut nodes[at], &other_node);
        // Of two equal ones the later node is reported, with the other one.
        let told = match code {
            "fleet-mac" | "fleet-address" => at.max(other),
            // The subnet that another overlaps, at its first node.
            "fleet-overlap" => rack * RACK,
            _ => at,
        };
        expected.insert((code.to_owned(), format!("{told}.json")));
    }
    for (number, node) in nodes.iter().enumerate().skip(NODES - RACK) {
        let (mut name, mut key) = (number, number);
        match number % RACK {
            40 => name -= 7,
            60 => key -= 13,
            _ => {}
        }
        drive(&folder.path().join(number.to_string()), node, name, key);
    }
    expected.insert(("fleet-host-name".to_owned(), format!("{}/user-data", NODES - RACK + 40)));
    expected.insert(("fleet-wireguard-key".to_owned(), format!("{}/network-config", NODES - RACK + 60)));
    for node in &nodes[..NODES - RACK] {
        std::fs::write(folder.path().join(format!("{}.json", node.number)), node.text()).unwrap();
    }
    let policy = "version: 1\nsubnets: [10.0.0.0/8, 172.20.0.0/16]\n";
    std::fs::write(folder.path().join("policy"), policy).unwrap();
    let booted = tempfile::tempdir().unwrap();
    expected.extend(reports(booted.path(), &nodes[..NODES - RACK]));
    let booted = booted.path().to_str().unwrap();
    let json = json(folder.path(), &["--fleet-policy", "policy", "--reports", booted, "."]);
    let alone: Vec<&Value> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|file| file["diagnostics"].as_array().unwrap())
        .collect();
    assert!(alone.iter().all(|diagnostic| diagnostic["severity"] != "error"), "{alone:#?}");
    let found: BTreeSet<(String, String)> = json["fleet"]["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            assert!(found["at"]["line"].as_u64().unwrap() > 0, "{found}");
            let alone = ["fleet-outside", "fleet-nic-missing", "fleet-boot-fault"];
            let alone = alone.contains(&found["code"].as_str().unwrap());
            assert!(alone || found["related"]["line"].as_u64().unwrap() > 0, "{found}");
            let file = found["at"]["file"].as_str().unwrap().trim_start_matches("./");
            (found["code"].as_str().unwrap().to_owned(), file.to_owned())
        })
        .collect();
    let right = found.intersection(&expected).count();
    println!(
        "{} faults: precision {:.3}, recall {:.3}",
        expected.len(),
        right as f64 / found.len() as f64,
        right as f64 / expected.len() as f64
    );
    let missed: Vec<_> = expected.difference(&found).collect();
    let invented: Vec<_> = found.difference(&expected).collect();
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:#?}\ninvented {invented:#?}");
}

/// The README's case for every node: a subnet of two addresses each, so that only the nodes' shape can differ.
#[test]
fn nodes_with_a_subnet_of_their_own_are_compared_by_their_shape() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/network_data/two-nic-lacp-bond/network_data.json"),
    )
    .unwrap();
    let node = |number: usize| {
        let (high, low) = (number / 100, number % 100 * 2);
        text.replace("7c:c2:55:6e", &format!("7c:c2:{high:02x}:{low:02x}"))
            .replace("10.158.175.249", &format!("10.158.{high}.{}", low + 1))
            .replace("10.158.175.248", &format!("10.158.{high}.{low}"))
    };
    let mut nodes = String::from("{");
    for number in 0..200 {
        let odd = if number == 70 { node(number).replace("9000", "1500") } else { node(number) };
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(nodes, "{comma}\n\"node{number}\": {odd}");
    }
    nodes += "}\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("nodes.json"), nodes).unwrap();
    let json = json(folder.path(), &["nodes.json"]);
    let found = json["fleet"]["diagnostics"].as_array().unwrap();
    let codes: Vec<&str> = found.iter().map(|found| found["code"].as_str().unwrap()).collect();
    assert_eq!((json["fleet"]["nodes"].as_u64(), codes), (Some(200), vec!["fleet-mtu"]), "{found:#?}");
}

/// Proxmox' drives name their machines: two with one name are reported, with their lines.
#[test]
fn drives_of_proxmox_and_their_host_names() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..50 {
        let drive = folder.path().join(format!("vm{number}"));
        std::fs::create_dir(&drive).unwrap();
        let name = if number == 40 { 12 } else { number };
        let config = format!(
            "version: 1\nconfig:\n    - type: physical\n      name: eth0\n      mac_address: 'bc:24:11:00:00:{number:02x}'\n      subnets:\n      \
             - type: static\n        address: '192.0.2.{}'\n        netmask: '255.255.255.0'\n        gateway: '192.0.2.1'\n    \
             - type: nameserver\n      address:\n      - '192.0.2.53'\n      search:\n      - 'example.org'\n",
            number + 10
        );
        std::fs::write(drive.join("network-config"), config).unwrap();
        std::fs::write(drive.join("meta-data"), format!("instance-id: {number}\n")).unwrap();
        let user = format!("#cloud-config\nhostname: vm{name:03}\nmanage_etc_hosts: true\n");
        std::fs::write(drive.join("user-data"), user).unwrap();
    }
    let json = json(folder.path(), &["."]);
    let found = json["fleet"]["diagnostics"].as_array().unwrap();
    let [twice] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(twice["code"], "fleet-host-name");
    let sides = [&twice["at"], &twice["related"]]
        .map(|at| (at["file"].as_str().unwrap(), at["line"].as_u64().unwrap()));
    assert_eq!(sides, [("./vm40/user-data", 2), ("./vm12/user-data", 2)]);
}

/// Routers that share an address by VRRP, and hosts that use it.
#[test]
fn vrrp_is_no_fault_if_the_policy_lists_it() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..40 {
        let shared = if number < 2 { ", 198.51.100.1/32" } else { "" };
        let text = format!(
            "network:\n  version: 2\n  ethernets:\n    nic:\n      match: {{macaddress: '52:54:00:00:00:{number:02x}'}}\n      \
             addresses: [198.51.100.{}/24{shared}]\n      routes: [{{to: default, via: {}}}]\n",
            number + 10,
            if number < 2 { "198.51.100.2" } else { "198.51.100.1" }
        );
        std::fs::write(folder.path().join(format!("n{number:02}.yaml")), text).unwrap();
    }
    let policy =
        "version: 1\nshared: [198.51.100.1]\ngateways: {198.51.100.0/24: [198.51.100.1, 198.51.100.2]}\n";
    std::fs::write(folder.path().join("policy"), policy).unwrap();
    let without = json(folder.path(), &["."]);
    assert!(!without["fleet"]["diagnostics"].as_array().unwrap().is_empty());
    let with = json(folder.path(), &["--fleet-policy", "policy", "."]);
    assert_eq!(with["fleet"]["diagnostics"], Value::Array(Vec::new()));
}

/// Inventories of machines that booted: a NIC that none has, and one that another has.
#[test]
fn reports_of_booted_nodes_reveal_missing_nics() {
    let folder = tempfile::tempdir().unwrap();
    let machine = |macs: &[&str]| {
        let links: Vec<Value> = macs
            .iter()
            .enumerate()
            .map(|(index, mac)| {
                serde_json::json!({"index": index + 2, "name": format!("eth{index}"), "permanent_mac": mac,
                    "mac": mac, "layer": "ether", "up": true, "mtu": 1500})
            })
            .collect();
        serde_json::json!({"version": 1, "kernel": "6.1.0", "links": links, "addresses": [], "routes": [], "rules": []})
    };
    let node = |mac: &str| {
        format!(r#"{{"links": [{{"id": "a", "type": "phy", "ethernet_mac_address": "{mac}"}}]}}"#)
    };
    for (name, mac) in [("n1", "52:54:00:00:00:01"), ("n2", "52:54:00:00:00:03"), ("n3", "52:54:00:00:00:04")]
    {
        std::fs::create_dir_all(folder.path().join("nodes")).unwrap();
        std::fs::write(folder.path().join(format!("nodes/{name}.json")), node(mac)).unwrap();
    }
    let write = |path: &str, text: String| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("reports/n1/inventory.json", machine(&["52:54:00:00:00:01", "52:54:00:00:00:03"]).to_string());
    write("reports/n2.json", machine(&["52:54:00:00:00:02"]).to_string());
    write("reports/n1/report.json", r#"{"verdict": "ok"}"#.to_owned());
    let json = json(folder.path(), &["--reports", "reports", "nodes"]);
    let found = json["fleet"]["diagnostics"].as_array().unwrap();
    let [missing] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(
        (&missing["code"], &missing["at"]["file"]),
        (&"fleet-nic-missing".into(), &"nodes/n2.json".into())
    );
    assert!(
        missing["message"].as_str().unwrap().ends_with("; reports/n1/inventory.json has it"),
        "{missing}"
    );
    write("reports/n3.json", "{\"links\"".to_owned());
    assert_eq!(check(folder.path(), &["--fleet", "--reports", "reports", "nodes"]).status.code(), Some(2));
}
