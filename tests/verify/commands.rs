//! The commands one after the other, on a machine of their own: each finds what the previous one left.

use std::process::{Command, Output};

use netapply::inventory::{AddressEntry, Owed};
use netapply::machine::Machine;

use crate::lldp::{announce, frame};
use crate::wires::{assert_fits, in_machine, wire};
use harness::namespace::ip;

/// Runs the program to its end.
pub(crate) fn netapply(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netapply"));
    command.args(arguments.split_whitespace()).output().unwrap()
}

/// Runs the program and expects this exit status.
#[track_caller]
pub(crate) fn exits(code: i32, arguments: &str) {
    let output = netapply(arguments);
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(output.status.code(), Some(code), "{arguments}: {}", String::from_utf8_lossy(&said));
}

/// A file with a description of eth0.
pub(crate) fn description(eth0: &str) -> &'static str {
    const PATH: &str = "/run/net.yaml";
    std::fs::write(PATH, format!("network: {{version: 2, ethernets: {{eth0: {{{eth0}}}}}}}\n")).unwrap();
    PATH
}

#[test]
fn a_machine_with_described_offloads_is_as_described() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        let path = description("addresses: [192.0.2.2/24], generic-receive-offload: true");
        // A veth has it off.
        exits(0, &format!("apply --handoff=none --wait=10 {path}"));
        exits(0, "verify");
        exits(0, "verify --wait=10");
        ip("address flush dev eth0");
        exits(1, "verify");
    });
}

#[test]
fn what_a_killed_run_has_not_put_back_is_missing() {
    in_machine(async || {
        wire("eth0", "other", "port0");
        wire("eth1", "other", "port1");
        let path = description("addresses: [192.0.2.2/24]");
        exits(0, &format!("apply --handoff=none --wait=10 {path}"));
        let owed = Owed {
            addresses: vec![AddressEntry::new("eth1", "198.51.100.2/24".parse().unwrap())],
            ..Owed::default()
        };
        std::fs::write(Machine::default().owed(), serde_json::to_vec(&owed).unwrap()).unwrap();
        exits(1, "verify");
        exits(0, &format!("apply --handoff=none --wait=10 {path}"));
        exits(0, "verify");
    });
}

#[test]
fn the_inventory_has_the_switch_ports_that_were_announced() {
    in_machine(async || {
        wire("eth0", "leaf1", "port0");
        wire("eth1", "leaf2", "port1");
        wire("eth2", "other", "port2");
        ip("link set eth2 down");
        announce("leaf1", "port0", frame("leaf1", "Ethernet7", 100, 200));
        announce("leaf2", "port1", frame("leaf2", "Ethernet8", 1, 300));
        let begin = std::time::Instant::now();
        let output = netapply("inventory --lldp");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        let inventory: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_fits("inventory", &inventory);
        let links = inventory["links"].as_array().unwrap();
        let of = |name: &str| &links.iter().find(|link| link["name"] == name).unwrap()["lldp"];
        let port = serde_json::json!({"switch": "leaf1", "port": "Ethernet7", "pvid": 100, "vlans": [200]});
        assert_eq!((of("eth0"), &of("eth1")["port"]), (&port, &"Ethernet8".into()));
        assert!(of("eth2").is_null());
        assert!(
            errors.contains("waiting up to 31 s for announcements of the switch on eth0, eth1"),
            "{errors}"
        );
        assert!(errors.contains("not listening on eth2: down"), "{errors}");
        // Every NIC has heard its switch: the bound was not reached.
        assert!(begin.elapsed() < netapply::verify::LISTEN, "{:?}", begin.elapsed());
    });
}
