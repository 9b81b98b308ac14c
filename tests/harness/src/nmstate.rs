//! What nmstate itself makes of the state that `convert --to nmstate` writes of a case, without NetworkManager, on a machine
//! with the case's NICs: the same links, addresses and routes as netapply. Entry: [`same`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cases::source;
use crate::disturb::said;
use crate::namespace::ip_json;
use crate::world::{Description, World, make, nics, until};

/// The kinds of links that it makes.
pub const KINDS: &[&str] = &["bond", "bridge", "veth", "vlan"];

/// What nmstate's mode without NetworkManager does not do, and does not say, by a part of the state.
const LACKING: &[(&str, &str)] = &[
    ("state: down", "it leaves links up"),
    ("route-type:", "it has no routes that drop packets"),
    ("source:", "its routes have no source"),
];

/// What it says that it does not do, by a part of its error.
const REFUSED: &[(&str, &str)] = &[
    ("not support", "it says that it does not support something of it"),
    ("does not exists", "it refuses a state with a NIC that is missing"),
    ("no interface is holding", "it refuses a state with a NIC that is missing"),
    ("already an interface name of other NIC", "it gives no NIC the name that another has"),
];

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both made the same network.
    Same,
    /// Not compared, and why.
    Not(String),
}

/// Applies a case with netapply, and with nmstate what netapply converts it to; the error has the differences.
pub fn same(case: &Path, netapply: &Path, nmstate: &Path) -> Result<Outcome, String> {
    let nics = nics(case)?;
    let mut convert = Command::new(netapply);
    convert.args(["convert", "--strict", "--to", "nmstate", "--inventory", "inventory.json"]);
    convert.arg(source(case)).current_dir(case);
    let output = convert.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Ok(Outcome::Not("nmstate's format lacks something of it".to_owned()));
    }
    if String::from_utf8_lossy(&output.stderr).contains("nmstate has no on-link routes") {
        return Ok(Outcome::Not("it has no on-link routes".to_owned()));
    }
    let state = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    if let Some((_, what)) = LACKING.iter().find(|(word, _)| state.contains(word)) {
        return Ok(Outcome::Not((*what).to_owned()));
    }
    let (ours, theirs) = (World::default(), World::default());
    let description = Description { case: case.to_owned(), program: netapply.to_owned() };
    let here = nics.clone();
    if let Err(refused) = ours.run(move || make(&here).and_then(|()| description.apply())) {
        return match refused.contains("kernel-lacks") {
            true => Ok(Outcome::Not("this kernel lacks a kind of link".to_owned())),
            false => Err(refused),
        };
    }
    let (nmstate, text): (PathBuf, String) = (nmstate.to_owned(), state.clone());
    let refused = theirs.run(move || {
        make(&nics)?;
        fs::write("/run/nmstate.yaml", text).map_err(|error| error.to_string())?;
        let output = Command::new(nmstate).args(["apply", "/run/nmstate.yaml"]).output();
        let output = output.map_err(|error| error.to_string())?;
        Ok::<_, String>((!output.status.success()).then(|| said(&output)))
    })?;
    if let Some(error) = refused {
        let known = REFUSED.iter().find(|(word, _)| error.contains(word));
        return known
            .map(|(_, what)| Outcome::Not((*what).to_owned()))
            .ok_or_else(|| format!("{error}\n{state}"));
    }
    until(|| {
        let (ours, theirs) = (ours.start(made), theirs.start(made));
        let (ours, theirs) = (ours.recv().expect("a state"), theirs.recv().expect("a state"));
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>, sign: &str| -> String {
            a.difference(b).map(|line| format!("{sign} {line}\n")).collect()
        };
        let differs = only(&ours, &theirs, "-") + &only(&theirs, &ours, "+");
        if differs.is_empty() {
            Ok(())
        } else {
            Err(format!("only by netapply -, only by nmstate +\n{differs}"))
        }
    })
    .map_err(|differs| format!("{differs}{state}"))?;
    Ok(Outcome::Same)
}

/// The links, addresses and routes of this namespace, as far as nmstate makes them without NetworkManager.
fn made() -> BTreeSet<String> {
    let list = |line: &str| ip_json(line).as_array().cloned().unwrap_or_default();
    let mut lines = BTreeSet::new();
    for link in list("address show") {
        let name = link["ifname"].as_str().unwrap_or_default();
        for part in ["/linkinfo/info_kind", "/linkinfo/info_data/id", "/link", "/master"] {
            lines.extend(link.pointer(part).map(|value| format!("{name} {part} {value}")));
        }
        let is_up = link["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "UP"));
        lines.insert(format!("{name} up {is_up}"));
        let addresses = link["addr_info"].as_array().into_iter().flatten();
        for address in addresses.filter(|address| address["scope"] == "global") {
            lines.insert(format!("{name} has {}/{}", address["local"], address["prefixlen"]));
        }
    }
    for family in ["-4", "-6"] {
        let routes = list(&format!("{family} route show table all"));
        for route in routes.iter().filter(|route| route["protocol"] != "kernel") {
            let parts = ["type", "dst", "gateway", "via", "dev", "metric", "table", "prefsrc"];
            let parts = parts.map(|part| format!("{part} {}", route[part]));
            lines.insert(format!("{family} {}", parts.join(" ")));
        }
    }
    lines
}
