//! The described network as a Mermaid flowchart (<https://mermaid.js.org/syntax/flowchart.html>), for reviews and
//! wikis: NICs on the left, links on top of them to the right, and the gateways after them. Entry: [`diagram`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use foldhash::{HashMap, HashSet};

use crate::model::Kind;
use crate::page::printable;
use crate::plan::Plan;
use crate::resolve::{Resolved, ResolvedLink};

/// Draws the links, marking those that the plan creates or changes.
pub(super) fn diagram(resolved: &Resolved, plan: &Plan) -> String {
    let mut out = String::from("flowchart LR\n");
    let numbers: HashMap<&str, usize> =
        resolved.links.iter().enumerate().map(|(number, link)| (link.name.as_str(), number)).collect();
    for (number, link) in resolved.links.iter().enumerate() {
        let _ = writeln!(out, "  l{number}[\"{}\"]", label(link));
    }
    for (number, link) in resolved.links.iter().enumerate() {
        for member in link.members.iter().filter_map(|member| numbers.get(member.as_str())) {
            let _ = writeln!(out, "  l{member} --> l{number}");
        }
        if let Some(parent) = link.parent.as_ref().and_then(|parent| numbers.get(parent.as_str())) {
            let id = link.desired.settings.number("id").filter(|_| link.desired.kind == Kind::Vlan);
            let words = id.map_or(String::new(), |id| format!("|VLAN {id}|"));
            let _ = writeln!(out, "  l{parent} -->{words} l{number}");
        }
    }
    gateways(&mut out, resolved);
    let servers: Vec<String> =
        resolved.resolver.servers.iter().map(|s| resolved.resolver.shown(&s.value)).collect();
    if !servers.is_empty() {
        let _ = writeln!(out, "  names[(\"name servers<br/>{}\")]", text(&servers.join(", ")));
    }
    marks(&mut out, resolved, plan);
    out
}

/// The label of a link: its name, kind, options that must match its peers, and addresses.
fn label(link: &ResolvedLink) -> String {
    let desired = &link.desired;
    let mut lines = vec![link.name.clone()];
    let nic = desired.select.mac.map(|mac| mac.value.to_string());
    match (desired.kind, nic) {
        (Kind::Physical, Some(mac)) => lines.push(mac),
        (Kind::Physical, None) => {}
        (Kind::Bond, _) => {
            lines.push(format!("bond {}", desired.settings.word("mode").unwrap_or("balance-rr")))
        }
        (kind, _) => lines.push(kind.noun().to_owned()),
    }
    lines.extend(desired.mtu.map(|mtu| format!("MTU {}", mtu.value)));
    lines.extend(
        link.controller.iter().filter(|(_, kind)| *kind == Kind::Vrf).map(|(vrf, _)| format!("in {vrf}")),
    );
    lines.extend(desired.addresses.iter().map(|address| address.net.to_string()));
    lines.extend(desired.dynamic.iter().map(|dynamic| dynamic.value.words().to_owned()));
    lines.iter().map(|line| text(line)).collect::<Vec<_>>().join("<br/>")
}

/// Each gateway once, with what goes through it from which link.
fn gateways(out: &mut String, resolved: &Resolved) {
    let mut nodes: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut edges: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (number, link) in resolved.links.iter().enumerate() {
        for route in &link.desired.routes {
            let to = if route.is_default() { "default".to_owned() } else { route.to.to_string() };
            let more = route.more.iter().filter(|hop| hop.link.is_none()).filter_map(|hop| hop.via);
            for via in route.via.into_iter().chain(more) {
                let next = nodes.len();
                let gateway = *nodes.entry(via).or_insert(next);
                edges.entry((number, gateway)).or_default().push(to.clone());
            }
        }
    }
    for (ip, number) in &nodes {
        let _ = writeln!(out, "  g{number}((\"gateway<br/>{}\"))", text(&ip.to_string()));
    }
    for ((link, gateway), to) in edges {
        /// How many destinations are named; a thousand routes are no readable picture.
        const MOST: usize = 4;
        let more = to.len().checked_sub(MOST).filter(|more| *more > 0);
        let mut words: Vec<String> = to.into_iter().take(MOST).collect();
        words.extend(more.map(|more| format!("and {more} more")));
        let _ = writeln!(out, "  l{link} -->|\"{}\"| g{gateway}", text(&words.join(", ")));
    }
}

/// Colours of created and changed links, as for a plan's additions and changes elsewhere.
fn marks(out: &mut String, resolved: &Resolved, plan: &Plan) {
    let of = |wanted: &dyn Fn(&ResolvedLink) -> bool| -> Vec<String> {
        let links = resolved.links.iter().enumerate().filter(|(_, link)| wanted(link));
        links.map(|(number, _)| format!("l{number}")).collect()
    };
    let is_new = |link: &ResolvedLink| link.current.is_none();
    let served: HashSet<&str> = plan.steps.iter().map(|step| step.link.as_str()).collect();
    let has_steps = |link: &ResolvedLink| served.contains(link.desired.id.as_str());
    for (class, look, links) in [
        ("made", "stroke:#2a7d2a,stroke-width:3px", of(&is_new)),
        ("changed", "stroke:#b8860b,stroke-width:3px", of(&|link| !is_new(link) && has_steps(link))),
    ] {
        if !links.is_empty() {
            let _ = writeln!(out, "  classDef {class} {look}\n  class {} {class}", links.join(","));
        }
    }
}

/// A quoted label: characters with a meaning in Mermaid, HTML or Markdown are written as numbers.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in printable(value).chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '`' | ';' | '\\' | '*' | '_' | '|' | '[' | ']' | '{' | '}' => {
                let _ = write!(out, "#{};", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::parse;
    use crate::inventory::Inventory;
    use crate::plan::plan;
    use crate::resolve::{Missing, resolve};

    fn draw(description: &str) -> String {
        let desired = parse(vec![("n".into(), description.into())]).desired;
        let machine = Inventory::default();
        let (resolved, _) = resolve(&desired, &machine, Missing::StandIn);
        diagram(&resolved, &plan(&resolved, &machine))
    }

    #[test]
    fn links_vlans_and_gateways_are_drawn() {
        let drawn = draw(
            "network:\n  version: 2\n  ethernets:\n    a: {match: {macaddress: '52:54:00:00:00:01'}}\n    b: {}\n  bonds:\n    bond0:\n      interfaces: [a, b]\n      \
             mtu: 9000\n      parameters: {mode: 802.3ad}\n  vlans:\n    v:\n      id: 7\n      link: bond0\n      addresses: [192.0.2.2/24]\n      \
             routes: [{to: default, via: 192.0.2.1}, {to: 198.51.100.0/24, via: 192.0.2.1}]\n      nameservers: {addresses: [192.0.2.53]}\n",
        );
        for line in [
            "flowchart LR\n",
            "<br/>bond 802.3ad<br/>MTU 9000\"]\n",
            " -->|VLAN 7| ",
            "[\"v<br/>VLAN<br/>192.0.2.2/24\"]\n",
            "  g0((\"gateway<br/>192.0.2.1\"))\n",
            " -->|\"default, 198.51.100.0/24\"| g0\n",
            "  names[(\"name servers<br/>192.0.2.53\")]\n",
            "  classDef made ",
        ] {
            assert!(drawn.contains(line), "{line}\n{drawn}");
        }
        assert_eq!(drawn.matches(" --> ").count(), 2, "{drawn}");
    }

    #[test]
    fn nothing_in_a_name_is_markup() {
        assert_eq!(text("a\"]\n<b>#1;"), "a#34;#93;#92;n#60;b#62;#35;1#59;");
    }
}
