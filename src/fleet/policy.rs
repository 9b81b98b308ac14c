//! `--fleet-policy`: what a site allows that looks like a fault, and what it forbids. The schema is
//! docs/schema/fleet-policy.v1.json. Entry: [`FleetPolicy::read`].

use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::format::Text;
use crate::format::tree::{self, Node, Value};

/// A site's rules.
#[derive(Clone, Debug, Default)]
pub struct FleetPolicy {
    /// Every address must be in one of them, if there are any.
    pub(super) subnets: Vec<IpNet>,
    /// Addresses that several nodes may have: VRRP's, anycast.
    shared: Vec<IpNet>,
    /// Nodes' addresses that are gateways for others.
    routers: Vec<IpAddr>,
    /// The gateways of subnets with more than one.
    gateways: Vec<(IpNet, Vec<IpAddr>)>,
    /// The severity of a code; `None` ignores it.
    severities: HashMap<Code, Option<Severity>>,
}

const KEYS: [&str; 6] = ["version", "subnets", "shared", "routers", "gateways", "severity"];

impl FleetPolicy {
    /// Reads a policy, and reports its errors.
    pub fn read(name: &str, text: &str) -> (FleetPolicy, Vec<Diagnostic>, Text) {
        let mut policy = FleetPolicy::default();
        let mut diags = Vec::new();
        // An empty policy is valid.
        let root = if text.trim().is_empty() { None } else { tree::parse(text, 0, &mut diags) };
        if let Some(root) = &root {
            policy.fill(root, &mut diags);
        }
        (policy, diags, Text::new(name.to_owned(), text.to_owned(), root))
    }

    fn fill(&mut self, root: &Node, diags: &mut Vec<Diagnostic>) {
        let Value::Map(entries) = &root.value else {
            let message = format!("the policy is {}, but should be a mapping", root.noun());
            diags.push(Diagnostic::new(Code::WrongShape, root.at, message));
            return;
        };
        for entry in entries {
            let value = &entry.value;
            match entry.key.as_str() {
                "version" => {
                    if value.text() != Some("1") {
                        diags.push(bad(value, "version", "1 is the only version"));
                    }
                }
                "subnets" => self.subnets = list(value, "a subnet, such as 10.0.0.0/8", diags),
                "shared" => self.shared = list(value, "an address or a subnet", diags),
                "routers" => {
                    let nets = list(value, "an address", diags);
                    self.routers = nets.iter().map(IpNet::addr).collect();
                }
                "gateways" => self.gateways = gateways(value, diags),
                "severity" => self.severities = severities(value, diags),
                other => {
                    let message = format!("unknown key \"{other}\" of a policy");
                    let diagnostic = Diagnostic::new(Code::UnknownKey, entry.key_at, message);
                    diags.push(match nearest(other, KEYS) {
                        Some(near) => diagnostic.hint(format!("did you mean \"{near}\"?")),
                        None => diagnostic.hint(format!("a policy has {}", KEYS.join(", "))),
                    });
                }
            }
        }
    }

    pub(super) fn has(&self, ip: &IpAddr) -> bool {
        self.subnets.iter().any(|net| net.contains(ip))
    }

    pub(super) fn is_shared(&self, ip: &IpAddr) -> bool {
        self.shared.iter().any(|net| net.contains(ip))
    }

    pub(super) fn is_router(&self, ip: &IpAddr) -> bool {
        self.routers.contains(ip)
    }

    /// The gateways that nodes in a subnet may have.
    pub(super) fn gateways_of(&self, net: &IpNet) -> Vec<IpAddr> {
        let of = self.gateways.iter().filter(|(known, _)| known == net);
        of.flat_map(|(_, gateways)| gateways.iter().copied()).collect()
    }

    /// The severity of a code; `None` if it is ignored.
    pub(super) fn severity(&self, code: Code) -> Option<Severity> {
        self.severities.get(&code).copied().unwrap_or(Some(code.severity()))
    }
}

fn bad(node: &Node, what: &str, why: &str) -> Diagnostic {
    let value = node.text().map_or_else(|| node.noun().to_owned(), |text| format!("\"{text}\""));
    Diagnostic::new(Code::BadValue, node.at, format!("{value} is not valid for {what}: {why}"))
}

/// A list of prefixes; a bare address is a host.
fn list(node: &Node, what: &str, diags: &mut Vec<Diagnostic>) -> Vec<IpNet> {
    let Value::List(items) = &node.value else {
        if node.value != Value::Null {
            diags.push(Diagnostic::new(
                Code::WrongShape,
                node.at,
                format!("{} where a list is expected", node.noun()),
            ));
        }
        return Vec::new();
    };
    let mut nets = Vec::with_capacity(items.len());
    for item in items {
        let text = item.text().unwrap_or_default();
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match net {
            Some(net) => nets.push(net),
            None => diags.push(bad(item, "the list", &format!("expected {what}"))),
        }
    }
    nets
}

fn gateways(node: &Node, diags: &mut Vec<Diagnostic>) -> Vec<(IpNet, Vec<IpAddr>)> {
    let Value::Map(entries) = &node.value else {
        diags.push(Diagnostic::new(
            Code::WrongShape,
            node.at,
            format!("{} where a mapping from subnets to gateways is expected", node.noun()),
        ));
        return Vec::new();
    };
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let ips = list(&entry.value, "an address", diags).iter().map(IpNet::addr).collect();
        match entry.key.parse::<IpNet>() {
            Ok(net) => all.push((net.trunc(), ips)),
            Err(_) => {
                diags.push(bad(&Node::scalar(&entry.key, entry.key_at), "gateways", "expected a subnet"))
            }
        }
    }
    all
}

fn severities(node: &Node, diags: &mut Vec<Diagnostic>) -> HashMap<Code, Option<Severity>> {
    let mut all = HashMap::default();
    let Value::Map(entries) = &node.value else {
        diags.push(Diagnostic::new(
            Code::WrongShape,
            node.at,
            format!("{} where a mapping from codes to severities is expected", node.noun()),
        ));
        return all;
    };
    let is_ours = |code: &Code| code.text().starts_with("fleet-");
    for entry in entries {
        let Some(code) = entry.key.parse::<Code>().ok().filter(is_ours) else {
            let codes = || Code::ALL.iter().filter(|code| is_ours(code)).map(|code| code.text());
            let why = match nearest(&entry.key, codes()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("expected one of {}", codes().collect::<Vec<_>>().join(", ")),
            };
            diags.push(bad(&Node::scalar(&entry.key, entry.key_at), "severity", &why));
            continue;
        };
        let severity = match entry.value.text() {
            Some("error") => Some(Severity::Error),
            Some("warning") => Some(Severity::Warning),
            Some("note") => Some(Severity::Note),
            Some("ignore") => None,
            _ => {
                diags.push(bad(&entry.value, "severity", "expected error, warning, note or ignore"));
                continue;
            }
        };
        all.insert(code, severity);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_or_reported_with_its_place() {
        let text = "version: 1\nsubnets: [10.0.0.0/8]\nshared: [10.0.0.254, x]\nrouters: [10.0.0.5]\n\
                    gateways: {10.1.0.0/24: [10.1.0.1, 10.1.0.2]}\n\
                    severity: {fleet-mtu: error, fleet-mt: error, fleet-vlan: bad}\nsubnet: []\n";
        let (policy, diags, _) = FleetPolicy::read("policy.yaml", text);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(policy.has(&ip("10.2.3.4")) && !policy.has(&ip("192.0.2.1")));
        assert!(policy.is_shared(&ip("10.0.0.254")) && policy.is_router(&ip("10.0.0.5")));
        assert_eq!(policy.gateways_of(&"10.1.0.0/24".parse().unwrap()).len(), 2);
        assert_eq!(policy.severity(Code::FleetMtu), Some(Severity::Error));
        let found: Vec<_> = diags.iter().map(|d| (d.code, d.at.line)).collect();
        let expected = [(Code::BadValue, 3), (Code::BadValue, 6), (Code::BadValue, 6), (Code::UnknownKey, 7)];
        assert_eq!(found, expected, "{diags:?}");
        let (policy, diags, _) = FleetPolicy::read("p", "severity: {fleet-mtu: ignore}\n");
        assert_eq!((policy.severity(Code::FleetMtu), diags.len()), (None, 0));
    }
}
