//! The screen of whole reports.

use super::*;
use crate::source::OriginKind;
use crate::verify::cause::explain;
use crate::verify::fixture::{ip, judged, lacp, one_nic, set_up};
use crate::verify::lookups::View;

pub(super) fn origin() -> Origin {
    Origin {
        kind: OriginKind::BlockDevice,
        path: "/dev/sr0".into(),
        label: Some("config-2".into()),
        filesystem: Some("ISO 9660".into()),
        created: Some("2026-03-01 10:20:30 UTC".into()),
        instance_id: Some("4a7c6f4e-8d1b-4c55-a7a5-6b1f6c1de201".into()),
        hash: "0badcafe".into(),
        why: String::new(),
        others: Vec::new(),
    }
}

fn report(input: &Input, evidence: Evidence, exit_code: u8) -> Report {
    let checks = judged(input, &evidence);
    let causes = explain(&View::new(input), &evidence, &checks);
    let verification = Verification { checks, causes, evidence, seconds: 3.2, interrupted: false };
    let builder = Builder {
        source: Some(origin()),
        format: "network_data.json",
        applied: Some(Applied { planned: 11, done: 11, failed: Vec::new() }),
        input: Some(input),
        verification: Some(verification),
        seconds: 3.4,
        ..Builder::default()
    };
    builder.finish(exit_code)
}

fn assert_fits(report: &Report) {
    assert!(report.screen.len() <= 20, "{:#?}", report.screen);
    for line in &report.screen {
        assert!(line.len() <= 80 && line.is_ascii() && line.trim_end() == line, "{line:?}");
    }
}

#[test]
fn a_healthy_machine() {
    let (input, evidence) = lacp();
    let report = report(&input, evidence, 0);
    assert_fits(&report);
    let expected = "\
netapply: OK - /dev/sr0 \"config-2\", of 2026-03-01 10:20:30 UTC, text 0badcafe
     instance 4a7c6f4e-8d1b-4c55-a7a5-6b1f6c1de201, network_data.json, 11 of 1..
ok   bond0  802.3ad, 2 of 2 members
ok   |- eth0  10 Gb/s, LACP 02:00:00:00:00:01, at leaf1 port Ethernet12
ok   |- eth1  10 Gb/s, LACP 02:00:00:00:00:01, at leaf2 port Ethernet12
ok   `- bond0.100  VLAN 100, 10.0.0.2/24
ok      `- gateway 10.0.0.1  answers in 0.4 ms, packets of 1500 bytes pass";
    assert_eq!(report.screen.join("\n"), expected);
    assert_eq!(report.verdict, Verdict::Works);
}

#[test]
fn one_cable_is_out() {
    let (input, mut evidence) = lacp();
    evidence.links[1].carrier = false;
    let report = report(&input, evidence, 1);
    assert_fits(&report);
    let expected = "\
FAIL |- eth1  no carrier, LACP 02:00:00:00:00:01, at leaf2 port Ethernet12
ok   `- bond0.100  VLAN 100, 10.0.0.2/24
ok      `- gateway 10.0.0.1  answers in 0.4 ms, packets of 1500 bytes pass
* eth1 (7c:c2:55:6e:90:45) has no carrier (proved) [no-cable]
  -> Plug in its cable, check the optics, or enable the switch's port";
    assert_eq!(report.screen[4..].join("\n"), expected);
    assert!(report.screen[0].starts_with("netapply: FAULT - /dev/sr0"));
}

#[test]
fn addresses_from_a_dhcp_client_are_shown() {
    let (mut input, mut evidence) = one_nic();
    input.links[0].dynamic = true;
    (input.links[0].addresses, input.links[0].routes) = (Vec::new(), Vec::new());
    let first = report(&input, evidence.clone(), 0);
    assert_eq!(first.screen[2], "ok   eth0  10 Gb/s, 192.0.2.2/24 by DHCP or router advertisement");
    evidence.addresses = Default::default();
    let then = report(&input, evidence, 0);
    assert_eq!(then.screen[2], "ok   eth0  10 Gb/s, left to DHCP or router advertisement, no address yet");
}

#[test]
fn the_screen_always_fits() {
    let (mut input, mut evidence) = one_nic();
    for number in 0..40 {
        input.resolvers.push(ip(&format!("192.0.2.{}", number + 100)));
        let mut link = input.links[0].clone();
        link.name = format!("vlan-with-name{number}");
        link.addresses = vec![format!("10.{number}.0.2/24").parse().unwrap(); 9];
        input.links.push(link);
        let mut state = evidence.links[0].clone();
        state.name = format!("vlan-with-name{number}");
        state.carrier = number % 2 == 0;
        evidence.links.push(state);
    }
    let report = report(&input, evidence, 1);
    assert_fits(&report);
    assert_eq!(report.screen.len(), 20);
    let text = report.screen.join("\n");
    assert!(text.contains(" more causes: netapply report --json"), "{text}");
    assert!(text.contains(" more, "), "{text}");
}

#[test]
fn a_missing_drive_is_the_only_cause() {
    let no_drive = Cause::new(
        Code::NoSource,
        Certainty::Proved,
        "",
        "no drive labelled config-2, cidata or CONTEXT was found in 30 s",
        "Attach the virtual media, or give the node network data",
    );
    let report = Builder { causes: vec![no_drive.clone()], ..Builder::default() }.finish(4);
    assert_fits(&report);
    let expected = "\
netapply: NOTHING APPLIED
* no drive labelled config-2, cidata or CONTEXT was found in 30 s (proved)
  [no-source]
  -> Attach the virtual media, or give the node network data";
    assert_eq!(report.screen.join("\n"), expected);
    let looked = Builder { causes: vec![no_drive], only_verified: true, ..Builder::default() }.finish(4);
    assert_eq!(looked.screen[0], "netapply: NOTHING VERIFIED");
    assert_eq!(looked.screen[1..], report.screen[1..]);
}

#[test]
fn a_boot_without_a_description_by_design_has_no_fault() {
    let cause = Cause::new(
        Code::NoDescription,
        Certainty::Proved,
        "",
        "this node has no network_data: the ISO in /dev/sr0 holds none. The image's own DHCP is used",
        "For a network without DHCP set the node's network_data field in Ironic",
    );
    let cause = Cause { severity: Severity::Note, ..cause };
    let report = Builder { causes: vec![cause], ..Builder::default() }.finish(4);
    assert_fits(&report);
    let expected = "\
netapply: nothing to apply
* this node has no network_data: the ISO in /dev/sr0 holds none. The image's own
  DHCP is used (proved) [no-description]
  -> For a network without DHCP set the node's network_data field in Ironic";
    assert_eq!(report.screen.join("\n"), expected);
    assert!(!screen::screen(&report, Style::Colour).as_str().contains("\x1b[31m"), "nothing is red");
}

#[test]
fn hints_of_diagnostics_become_sentences_in_ascii() {
    let action = |hint: &str| {
        let cause = Cause::new(Code::Syntax, Certainty::Proved, "", "wrong", hint);
        let report = Builder { causes: vec![cause], ..Builder::default() }.finish(3);
        assert_fits(&report);
        report.screen[2].clone()
    };
    assert_eq!(action("ethernets, bonds, \u{2026}, \u{e9}"), "  -> ethernets, bonds, ..., ?");
    assert_eq!(action("eth0's differs"), "  -> eth0's differs");
    assert_eq!(action("check the quotes"), "  -> Check the quotes");
}

#[test]
fn colour_changes_no_letter() {
    let (input, mut evidence) = lacp();
    evidence.links[1].carrier = false;
    let report = report(&input, evidence, 1);
    let coloured = screen::screen(&report, Style::Colour).to_string();
    let mut plain = String::new();
    let mut parts = coloured.split("\x1b[");
    plain.push_str(parts.next().unwrap());
    for part in parts {
        plain.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(plain, report.screen.join("\n") + "\n");
    assert_ne!(plain, coloured);
}

#[test]
fn a_failed_step_is_shown_once_and_keeps_its_code() {
    let (input, mut evidence) = one_nic();
    evidence.links = Default::default();
    evidence.remaining.push(set_up("eth0"));
    let checks = judged(&input, &evidence);
    let causes = explain(&View::new(&input), &evidence, &checks);
    let failed = FailedStep {
        code: "kernel-lacks".into(),
        link: "eth0".into(),
        step: "ip link add eth0 type vti6".into(),
        why: "the kernel has no such links; ".repeat(9),
        at: Some(At { file: "net.yaml".into(), line: 3, column: 7, path: String::new() }),
        remedy: None,
    };
    let mut causes = causes;
    causes.retain(|c| c.code != Code::NicLate && c.code != Code::NicMissing);
    let verification = Verification { checks, causes, evidence, seconds: 1.0, interrupted: false };
    let applied = Some(Applied { planned: 2, done: 1, failed: vec![failed] });
    let builder =
        Builder { applied, input: Some(&input), verification: Some(verification), ..Builder::default() };
    let report = builder.finish(5);
    assert_fits(&report);
    assert_eq!(report.causes.len(), 1, "{:#?}", report.causes);
    assert!(report.screen.iter().any(|line| line.ends_with("[kernel-lacks]")), "{:#?}", report.screen);
}
