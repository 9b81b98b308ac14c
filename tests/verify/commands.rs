//! The commands one after the other, on a machine of their own: each finds what the previous one left.

use std::process::{Command, Output};

use netapply::inventory::{AddressEntry, Owed};
use netapply::machine::Machine;

use crate::wires::{in_machine, wire};
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
