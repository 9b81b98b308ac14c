//! Reports of booted nodes, compared with their descriptions: NICs that are missing, or on another node's machine; and
//! with each other: cables.
//! Entry: [`compare`].

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::cables::{Cable, cables};
use super::node::Spot;
use super::{Code, Finding, FleetNode, FleetPolicy};
use crate::diagnostic::DiagnosticRecord;
use crate::inventory::{Inventory, Lldp, ObservedLink};
use crate::model::MacAddr;

/// The machine of a node, from `netapply inventory` there.
#[derive(Debug)]
pub struct BootedNode {
    path: String,
    macs: HashSet<MacAddr>,
    /// NICs with the switch port at the other end of their cable.
    cables: Vec<(String, Option<MacAddr>, Lldp)>,
}

impl BootedNode {
    /// The file that it was read from.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads an inventory. `Ok(None)` for JSON of another kind, such as a report.
    ///
    /// # Errors
    /// The text is not JSON, or not a readable inventory: a clause.
    pub fn read(path: &str, text: &str) -> Result<Option<BootedNode>, String> {
        #[derive(Deserialize)]
        struct Marks {
            kernel: Option<IgnoredAny>,
            links: Option<IgnoredAny>,
        }
        match serde_json::from_str(text) {
            Ok(Marks { kernel: Some(_), links: Some(_) }) => {}
            Err(error) if !error.is_data() => return Err(error.to_string()),
            _ => return Ok(None),
        }
        let inventory: Inventory = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let hardware = inventory.links.iter().filter(|link| link.kind.is(crate::model::Kind::Physical));
        let macs = hardware.flat_map(|link| [link.permanent_mac, link.mac]).flatten();
        // OpenStack writes six bytes of an InfiniBand address.
        let macs = macs.flat_map(|mac| [Some(mac), mac.short()]).flatten().collect();
        let plugged = |link: ObservedLink| {
            let mac = link.permanent_mac.or(link.mac);
            Some((link.name, mac.map(|mac| mac.short().unwrap_or(mac)), link.lldp?))
        };
        let cables = inventory.links.into_iter().filter_map(plugged).collect();
        Ok(Some(BootedNode { path: path.to_owned(), macs, cables }))
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

/// Compares descriptions with the machines. Those without a machine are skipped.
pub fn compare(nodes: &[FleetNode], booted: &[BootedNode], policy: &FleetPolicy) -> Vec<DiagnosticRecord> {
    let mut owners: HashMap<MacAddr, usize> = HashMap::new();
    for (machine, of) in booted.iter().enumerate() {
        owners.extend(of.macs.iter().map(|mac| (*mac, machine)));
    }
    let names: HashMap<&str, usize> =
        booted.iter().enumerate().map(|(machine, of)| (short(&of.path), machine)).collect();
    let mut found = Vec::new();
    let (mut plugged, mut spots) = (Vec::new(), Vec::new());
    for (index, node) in nodes.iter().enumerate() {
        let nics: Vec<(MacAddr, Spot)> = node.nics().collect();
        // The machine with that name, else the one that has most of the NICs.
        let by_name = names.get(short(&node.name)).copied();
        let most = || {
            let mut counts: HashMap<usize, usize> = HashMap::new();
            let machines = nics.iter().filter_map(|(mac, _)| owners.get(mac));
            machines.for_each(|machine| *counts.entry(*machine).or_default() += 1);
            counts.into_iter().max_by_key(|(machine, count)| (*count, usize::MAX - machine)).map(|(m, _)| m)
        };
        let Some(machine) = by_name.or_else(most) else { continue };
        for (nic, mac, port) in &booted[machine].cables {
            plugged.push(Cable { node: (index, short(&node.name)), nic, port });
            let described =
                nics.iter().find(|(of, _)| mac.is_some_and(|mac| of.short().unwrap_or(*of) == mac));
            spots.push(
                described.map(|(_, at)| *at).or(node.links.first().map(|link| link.at)).unwrap_or_default(),
            );
        }
        for (mac, at) in nics.iter().filter(|(mac, _)| !booted[machine].macs.contains(mac)) {
            let elsewhere = match owners.get(mac) {
                Some(other) => format!("; {} has it", booted[*other].path),
                None => String::new(),
            };
            found.push(Finding {
                code: Code::FleetNicMissing,
                message: format!("no NIC of {} has the MAC address {mac}{elsewhere}", booted[machine].path),
                hint: None,
                node: index,
                at: *at,
                other: None,
            });
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
        assert!(matches!(BootedNode::read("report.json", "{\"verdict\": \"ok\"}"), Ok(None)));
        assert!(BootedNode::read("x.json", "{").is_err());
    }
}
