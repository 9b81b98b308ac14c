//! Reports of booted nodes, compared with their descriptions: boots that did not end well, NICs that are missing, or on another
//! node's machine; and with each other: cables.
//! Entry: [`compare`].

use std::ffi::OsStr;
use std::path::Path;

use foldhash::{HashMap, HashSet};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::cables::{Cable, cables};
use super::node::Spot;
use super::{Code, Finding, FleetNode, FleetPolicy};
use crate::diagnostic::DiagnosticRecord;
use crate::inventory::{Inventory, Lldp, ObservedLink};
use crate::model::{Kind, LinkKind, MacAddr};

/// What the machine of a node printed: `netapply inventory`, or the report of its boot.
#[derive(Debug, Default)]
pub struct BootedNode {
    path: String,
    /// The addresses of its NICs, if they are recorded.
    macs: Option<HashSet<MacAddr>>,
    /// NICs with the switch port at the other end of their cable.
    cables: Vec<(String, Option<MacAddr>, Lldp)>,
    /// How its boot ended.
    report: Option<BootReport>,
}

/// The part of report.json that is compared.
#[derive(Debug, Deserialize)]
struct BootReport {
    verdict: String,
    #[serde(default)]
    causes: Vec<BootCause>,
    #[serde(default)]
    evidence: Option<BootEvidence>,
}

#[derive(Debug, Deserialize)]
struct BootCause {
    code: String,
    severity: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct BootEvidence {
    #[serde(default)]
    links: Vec<BootLink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BootLink {
    kind: LinkKind,
    mac: Option<MacAddr>,
    permanent_mac: Option<MacAddr>,
}

impl BootedNode {
    /// The file that it was read from.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads an inventory or a report. `Ok(None)` for JSON of another kind.
    ///
    /// # Errors
    /// The text is not JSON, or not a readable inventory or report: a clause.
    pub fn read(path: &str, text: &str) -> Result<Option<BootedNode>, String> {
        #[derive(Deserialize)]
        struct Marks {
            kernel: Option<IgnoredAny>,
            links: Option<IgnoredAny>,
            verdict: Option<IgnoredAny>,
            causes: Option<IgnoredAny>,
        }
        let marks: Marks = match serde_json::from_str(text) {
            Ok(marks) => marks,
            Err(error) if !error.is_data() => return Err(error.to_string()),
            Err(_) => return Ok(None),
        };
        let wrong = |error: serde_json::Error| error.to_string();
        let mut booted = BootedNode { path: path.to_owned(), ..BootedNode::default() };
        match marks {
            Marks { kernel: Some(_), links: Some(_), .. } => {
                let inventory: Inventory = serde_json::from_str(text).map_err(wrong)?;
                let links = inventory.links.iter();
                booted.macs = Some(macs(&mut links.map(|l| (&l.kind, [l.permanent_mac, l.mac]))));
                let plugged = |link: ObservedLink| {
                    let mac = link.permanent_mac.or(link.mac);
                    Some((link.name, mac.map(|mac| mac.short().unwrap_or(mac)), link.lldp?))
                };
                booted.cables = inventory.links.into_iter().filter_map(plugged).collect();
            }
            Marks { verdict: Some(_), causes: Some(_), .. } => {
                let report: BootReport = serde_json::from_str(text).map_err(wrong)?;
                let links = report.evidence.as_ref().map(|evidence| evidence.links.iter());
                let recorded =
                    links.map(|links| macs(&mut links.map(|l| (&l.kind, [l.permanent_mac, l.mac]))));
                (booted.macs, booted.report) = (recorded, Some(report));
            }
            _ => return Ok(None),
        }
        Ok(Some(booted))
    }
}

/// The addresses of the hardware among links.
fn macs(links: &mut dyn Iterator<Item = (&LinkKind, [Option<MacAddr>; 2])>) -> HashSet<MacAddr> {
    let hardware = links.filter(|(kind, _)| kind.is(Kind::Physical)).flat_map(|(_, macs)| macs).flatten();
    // OpenStack writes six bytes of an InfiniBand address.
    hardware.flat_map(|mac| [Some(mac), mac.short()]).flatten().collect()
}

impl BootReport {
    /// How it ended if it did not end well, and why. Missing NICs are reported by themselves, at their line.
    fn fault(&self) -> Option<(Code, String)> {
        let (code, how) = match self.verdict.as_str() {
            "faults" => (Code::FleetBootFault, "FAULT"),
            "nothing" => (Code::FleetBootFault, "NOTHING APPLIED"),
            "unverified" => (Code::FleetBootUnverified, "NOT VERIFIED"),
            "interrupted" => (Code::FleetBootUnverified, "INTERRUPTED"),
            _ => return None,
        };
        let told = [Code::NicMissing.text(), Code::NicLate.text()];
        let errors = self.causes.iter().filter(|cause| cause.severity == "error");
        let (of_nics, others): (Vec<_>, Vec<_>) =
            errors.partition(|cause| told.contains(&cause.code.as_str()));
        let why = match others.as_slice() {
            [] if !of_nics.is_empty() => return None,
            [] => String::new(),
            [one] => format!(": {} [{}]", one.message, one.code),
            [first, more @ ..] => format!(": {} [{}], and {} more", first.message, first.code, more.len()),
        };
        Some((code, format!("{how}{why}")))
    }
}

/// The name of a node or of its report, without directories and extension: that of the directory if every node has the
/// same file name.
fn short(path: &str) -> &str {
    const COMMON: [&str; 5] = ["inventory", "report", "network_data", "network-config", "latest"];
    let path = Path::new(path);
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let above = path.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    if COMMON.contains(&stem) { above.unwrap_or_default() } else { stem }
}

/// The machines by what identifies them.
struct Machines<'a> {
    all: &'a [BootedNode],
    /// The one that has a NIC.
    owners: HashMap<MacAddr, usize>,
    /// By the names of their files.
    names: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Machines<'a> {
    fn new(all: &'a [BootedNode]) -> Machines<'a> {
        let (mut owners, mut names) = (HashMap::default(), HashMap::<&str, Vec<usize>>::default());
        for (machine, of) in all.iter().enumerate() {
            for mac in of.macs.iter().flatten() {
                owners.entry(*mac).or_insert(machine);
            }
            names.entry(short(&of.path)).or_default().push(machine);
        }
        Machines { all, owners, names }
    }

    /// What is recorded of a node: under its name, and, if its NICs are not among that, of the machine that has most of them.
    fn of(&self, node: &FleetNode, nics: &[(MacAddr, Spot)]) -> Vec<usize> {
        let mut found = self.names.get(short(&node.name)).cloned().unwrap_or_default();
        if found.iter().all(|machine| self.all[*machine].macs.is_none()) {
            let mut counts: HashMap<usize, usize> = HashMap::default();
            let machines = nics.iter().filter_map(|(mac, _)| self.owners.get(mac));
            machines.for_each(|machine| *counts.entry(*machine).or_default() += 1);
            let most = counts.into_iter().max_by_key(|(machine, count)| (*count, usize::MAX - machine));
            found.extend(most.map(|(machine, _)| machine));
        }
        found
    }
}

/// Compares descriptions with the machines. Those without a machine are skipped.
pub fn compare(nodes: &[FleetNode], booted: &[BootedNode], policy: &FleetPolicy) -> Vec<DiagnosticRecord> {
    let machines = Machines::new(booted);
    let mut found = Vec::new();
    let (mut plugged, mut spots) = (Vec::new(), Vec::new());
    for (index, node) in nodes.iter().enumerate() {
        let nics: Vec<(MacAddr, Spot)> = node.nics().collect();
        let own = machines.of(node, &nics);
        let first = node.links.first().map(|link| link.at).unwrap_or_default();
        let mut add = |code, at, message| {
            found.push(Finding { code, message, hint: None, node: index, at, other: None });
        };
        for machine in own.iter().map(|machine| &booted[*machine]) {
            for (nic, mac, port) in &machine.cables {
                plugged.push(Cable { node: (index, short(&node.name)), nic, port });
                let described =
                    nics.iter().find(|(of, _)| mac.is_some_and(|mac| of.short().unwrap_or(*of) == mac));
                spots.push(described.map_or(first, |(_, at)| *at));
            }
            if let Some((code, how)) = machine.report.as_ref().and_then(BootReport::fault) {
                add(code, first, format!("by {} it booted with {how}", machine.path));
            }
        }
        let recorded =
            own.iter().find_map(|machine| Some((&booted[*machine], booted[*machine].macs.as_ref()?)));
        let Some((machine, macs)) = recorded else { continue };
        for (mac, at) in nics.iter().filter(|(mac, _)| !macs.contains(mac)) {
            let elsewhere = match machines.owners.get(mac) {
                Some(other) => format!("; {} has it", booted[*other].path),
                None => String::new(),
            };
            add(
                Code::FleetNicMissing,
                *at,
                format!("no NIC of {} has the MAC address {mac}{elsewhere}", machine.path),
            );
        }
    }
    let odd = cables(&plugged).into_iter().map(|odd| Finding {
        code: odd.code,
        message: odd.message,
        hint: None,
        node: plugged[odd.cable].node.0,
        at: spots[odd.cable],
        other: Some((plugged[odd.other].node.0, spots[odd.other])),
    });
    found.extend(odd);
    found.iter().filter_map(|finding| finding.record(nodes, policy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::parse;

    fn machine(path: &str, macs: &[&str]) -> BootedNode {
        let links: Vec<_> = macs
            .iter()
            .enumerate()
            .map(|(index, mac)| {
                serde_json::json!({"index": index + 2, "name": format!("eth{index}"), "mac": mac, "layer": "ether"})
            })
            .collect();
        let text = serde_json::json!({"version": 1, "kernel": "6.1", "links": links}).to_string();
        BootedNode::read(path, &text).unwrap().unwrap()
    }

    #[test]
    fn missing_and_misplaced_nics_are_reported() {
        let node = |name: &str, macs: [&str; 2]| {
            let links: Vec<_> = macs
                .iter()
                .map(|mac| serde_json::json!({"id": mac, "type": "phy", "ethernet_mac_address": mac}))
                .collect();
            let text = serde_json::json!({"links": links}).to_string();
            FleetNode::new(name.into(), vec![name.into()], &parse(vec![(name.into(), text)]).desired, None)
        };
        let (a, b, c, d) =
            ("52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03", "52:54:00:00:00:04");
        let nodes =
            [node("nodes/n1.json", [a, d]), node("nodes/n2.json", [c, b]), node("nodes/n3.json", [d, d])];
        let booted = [machine("r/n1/inventory.json", &[a, b]), machine("r/n2.json", &[c])];
        let found = compare(&nodes, &booted, &FleetPolicy::default());
        let messages: Vec<_> = found.iter().map(|record| record.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "no NIC of r/n1/inventory.json has the MAC address 52:54:00:00:00:04",
                "no NIC of r/n2.json has the MAC address 52:54:00:00:00:02; r/n1/inventory.json has it",
            ]
        );
        assert!(found.iter().all(|record| record.at.as_ref().is_some_and(|at| at.line > 0)));
        // By its NICs, if its name differs.
        let booted = [machine("serial-77.json", &[a])];
        assert_eq!(compare(&nodes[..1], &booted, &FleetPolicy::default()).len(), 1);
        assert!(matches!(BootedNode::read("other.json", "{\"verdict\": \"works\"}"), Ok(None)));
        assert!(BootedNode::read("x.json", "{").is_err());
    }

    #[test]
    fn boots_that_did_not_end_well_are_reported() {
        let node = |name: &str, mac: &str| {
            let text =
                format!(r#"{{"links": [{{"id": "a", "type": "phy", "ethernet_mac_address": "{mac}"}}]}}"#);
            FleetNode::new(name.into(), vec![name.into()], &parse(vec![(name.into(), text)]).desired, None)
        };
        let report = |path: &str, verdict: &str, causes: &[(&str, &str)], mac: &str| {
            let causes: Vec<_> = causes
                .iter()
                .map(|(code, severity)| {
                    serde_json::json!({"code": code, "severity": severity, "message": "why", "link": "eth0"})
                })
                .collect();
            let links = [serde_json::json!({"index": 2, "name": "eth0", "kind": "", "mac": mac})];
            let text = serde_json::json!({"version": 1, "verdict": verdict, "causes": causes,
                "evidence": {"links": links}});
            BootedNode::read(path, &text.to_string()).unwrap().unwrap()
        };
        let (a, b) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
        let found = |booted: &[BootedNode]| -> Vec<String> {
            let found = compare(&[node("n1.json", a)], booted, &FleetPolicy::default());
            found.iter().map(|record| format!("{} {}", record.code, record.message)).collect()
        };
        assert_eq!(found(&[report("n1/report.json", "works", &[("unequal-speed", "warning")], a)]), [""; 0]);
        assert_eq!(found(&[report("n1/report.json", "applied", &[], a)]), [""; 0]);
        assert_eq!(
            found(&[report("n1/report.json", "faults", &[("no-cable", "error"), ("no-route", "error")], a)]),
            ["fleet-boot-fault by n1/report.json it booted with FAULT: why [no-cable], and 1 more"]
        );
        assert_eq!(
            found(&[report("n1/report.json", "unverified", &[], a)]),
            ["fleet-boot-unverified by n1/report.json it booted with NOT VERIFIED"]
        );
        // The NIC that is not there is one fault; the inventory beside the report tells as much.
        let missing = report("n1/report.json", "faults", &[("nic-missing", "error")], b);
        let expected = "has the MAC address 52:54:00:00:00:01";
        let all = found(&[missing]);
        assert!(all.len() == 1 && all[0].contains(expected), "{all:?}");
        let missing = report("n1/report.json", "faults", &[("nic-missing", "error")], b);
        let all = found(&[machine("n1/inventory.json", &[b]), missing]);
        assert!(all.len() == 1 && all[0].contains("n1/inventory.json"), "{all:?}");
    }
}
