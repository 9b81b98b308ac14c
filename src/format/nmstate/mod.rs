//! nmstate 2: `interfaces`, `routes`, `route-rules`, `dns-resolver`, `hostname`, each of which is optional.
//!
//! nmstate merges a state with the machine's; here it is the complete description. [`keys`] has the support of every
//! key, `link` reads an interface, `kind` what only some kinds of links have, `ip` addresses, DHCP and advertisements,
//! `route` what is global.

pub(crate) mod bridge;
mod ip;
pub(crate) mod keys;
pub(crate) mod kind;
pub(crate) mod link;
mod route;

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};

use super::keys::{Fields, Object};
use super::tree::{Node, Value};
use super::value::{self, bad, boolean, items, name_servers, search_domains, text};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Desired, IfName, Kind, Link, LinkRef, Located, MacAddr, NamePattern, Naming, Resolver};

/// Reads the mapping of a state.
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let mut desired = Desired::default();
    let Some(fields) = Fields::new(root, &keys::TOP, diags) else { return desired };
    let mut reader = Reader::default();
    for node in items(fields.get("interfaces"), "interfaces", diags) {
        link::read(node, &mut reader, diags);
    }
    let Reader { mut links, joins, copies, lost, macs, ports: mut of_ports } = reader;
    join(&mut links, &joins, diags);
    unique_members(&mut links);
    peers(&mut links);
    ports(&mut links, &mut of_ports);
    leave_out(&mut links, lost, diags);
    copy_macs(&mut links, &copies, &macs, diags);
    if let Some(node) = fields.get("routes") {
        route::routes(node, &mut links, diags);
    }
    if let Some(node) = fields.get("route-rules") {
        desired.rules = route::rules(node, diags);
    }
    if let Some(fields) = below(&fields, "dns-resolver", &keys::DNS, diags) {
        resolver(&fields, &mut desired.resolver, diags);
    }
    if let Some(fields) = below(&fields, "hostname", &keys::HOST_NAME, diags) {
        desired.host_name = host_name(&fields, diags);
    }
    super::netplan::vrf_gateways(&mut links);
    desired.links = links;
    desired
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    links: Vec<Link>,
    /// A link and the controller that it names.
    joins: Vec<(String, LinkRef)>,
    /// A link and the one whose MAC address it should have.
    copies: Vec<(String, LinkRef)>,
    /// Interfaces that are given but not created; the reason has been reported.
    lost: HashSet<String>,
    /// The MAC addresses in the state, by the interface's name.
    macs: HashMap<String, MacAddr>,
    /// Controllers' settings of their ports, by the port's name.
    ports: HashMap<String, Vec<Port>>,
}

/// A controller's settings of one of its ports.
enum Port {
    Setting(&'static crate::model::attribute::Attribute, Located<crate::model::attribute::OptionValue>),
    Vlans(Vec<Located<crate::model::PortVlan>>),
}

/// The mapping below a key.
fn below<'a>(
    fields: &Fields<'a>,
    key: &str,
    object: &'static Object,
    diags: &mut Vec<Diagnostic>,
) -> Option<Fields<'a>> {
    Fields::new(fields.get(key)?, object, diags)
}

/// The NIC with the name, which may be an alternative one.
fn select_by_name(link: &mut Link) {
    link.select.name = Some(Located::new(NamePattern::Exact(link.id.clone()), link.at));
}

/// Names of members.
fn members(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    for key in ["port", "ports"] {
        for node in items(fields.get(key), key, diags) {
            let id = text(node, key, diags);
            link.members.extend(id.map(|id| Located::new(id.to_owned(), node.at)));
        }
    }
}

/// Keeps the first of each member that is named more than once.
fn unique_members(links: &mut [Link]) {
    for link in links {
        let mut seen = HashSet::default();
        link.members.retain(|member| seen.insert(member.value.clone()));
    }
}

/// The index of links, by their ids; of two with one id the first.
fn positions(links: &[Link]) -> HashMap<String, usize> {
    links.iter().enumerate().rev().map(|(at, link)| (link.id.clone(), at)).collect()
}

/// A boolean of `fields`, if given.
fn switch(fields: &Fields<'_>, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<bool>> {
    boolean(fields.get(key)?, key, diags)
}

/// `controller: bond0` in a member: as if the controller named it. Has no effect if the controller is not described.
fn join(links: &mut [Link], joins: &[(String, LinkRef)], diags: &mut Vec<Diagnostic>) {
    let positions = positions(links);
    for (member, controller) in joins {
        let found = positions.get(&controller.value).and_then(|at| links.get_mut(*at));
        let Some(link) = found else {
            let message =
                format!("\"{member}\" names its controller \"{}\", which no interface is", controller.value);
            diags.push(Diagnostic::new(Code::DanglingReference, controller.at, message));
            continue;
        };
        if !link.kind.is_controller() {
            let message =
                format!("\"{member}\" names its controller \"{}\", a {}", controller.value, link.kind.noun());
            diags.push(Diagnostic::new(Code::BadMember, controller.at, message));
        } else {
            link.members.push(Located::new(member.clone(), controller.at));
        }
    }
}

/// Sets the options that controllers give their ports. A port that is not in the state is added: the reference check
/// would take it for a NIC with its name, and lose the options.
fn ports(links: &mut Vec<Link>, ports: &mut HashMap<String, Vec<Port>>) {
    let ids: HashSet<&str> = links.iter().map(|link| link.id.as_str()).collect();
    let members = links.iter().flat_map(|link| &link.members);
    let mut implied: BTreeMap<String, Link> = BTreeMap::new();
    for member in members.filter(|m| !ids.contains(m.value.as_str()) && ports.contains_key(&m.value)) {
        implied.entry(member.value.clone()).or_insert_with(|| {
            let mut link = Link::new(member.value.clone(), Kind::Physical, member.at);
            select_by_name(&mut link);
            link.select.implied = true;
            link
        });
    }
    links.extend(implied.into_values());
    for link in links {
        for port in ports.remove(&link.id).unwrap_or_default() {
            match port {
                Port::Setting(row, value) => link.port.set(row, value.value, value.at),
                Port::Vlans(vlans) => link.vlans = Some(vlans),
            }
        }
    }
}

/// Leaves out what depends on an interface that is not created, and removes such interfaces from their controllers.
fn leave_out(links: &mut Vec<Link>, mut lost: HashSet<String>, diags: &mut Vec<Diagnostic>) {
    loop {
        let before = lost.len();
        links.retain(|link| {
            let below = link.parent.iter().chain(&link.peer).find(|below| lost.contains(&below.value));
            let Some(below) = below else { return true };
            let message = format!("\"{}\" is left out: its link \"{}\" is", link.id, below.value);
            diags.push(Diagnostic::new(Code::LeftOut, below.at, message));
            lost.insert(link.id.clone());
            false
        });
        if lost.len() == before {
            break;
        }
    }
    for link in links {
        let (id, noun) = (link.id.clone(), link.kind.noun());
        link.members.retain(|member| {
            let is_lost = lost.contains(&member.value);
            if is_lost {
                let message =
                    format!("{noun} \"{id}\" is created without \"{}\", which is left out", member.value);
                diags.push(Diagnostic::new(Code::LeftOut, member.at, message));
            }
            !is_lost
        });
    }
}

/// `copy-mac-from`: set if the state has that address. A bond has its first member's anyway.
fn copy_macs(
    links: &mut [Link],
    copies: &[(String, LinkRef)],
    macs: &HashMap<String, MacAddr>,
    diags: &mut Vec<Diagnostic>,
) {
    let positions = positions(links);
    for (id, from) in copies {
        let Some(link) = positions.get(id).and_then(|at| links.get_mut(*at)) else { continue };
        let is_first = link.kind == Kind::Bond && link.members.first().is_some_and(|m| m.value == from.value);
        if let Some(mac) = macs.get(&from.value) {
            link.mac = Some(Located::new(crate::model::DesiredMac::Is(*mac), from.at));
        } else if !is_first {
            let message =
                format!("the MAC address of \"{}\" is not in the text: \"{id}\" keeps its own", from.value);
            let hint = format!("write the mac-address of \"{}\", or that of \"{id}\" itself", from.value);
            diags.push(Diagnostic::new(Code::Unsupported, from.at, message).hint(hint));
        }
    }
}

/// A veth's peer is created with it, whether it is described or not. Then both name each other.
fn peers(links: &mut Vec<Link>) {
    let mut missing = Vec::new();
    let positions = positions(links);
    for link in links.iter().filter(|link| link.kind == Kind::Veth) {
        let Some(peer) = link.peer.as_ref().filter(|peer| peer.value != link.id) else { continue };
        missing.push((positions.get(&peer.value).copied(), peer.clone(), link.id.clone()));
    }
    for (other, peer, id) in missing {
        let back = Some(Located::new(id, peer.at));
        match other.and_then(|other| links.get_mut(other)) {
            Some(other) => other.peer = other.peer.take().or(back),
            None => {
                let mut link = Link::new(peer.value.clone(), Kind::Veth, peer.at);
                link.peer = back;
                if let Ok(name) = IfName::to_give(&peer.value) {
                    link.naming = Naming::Set(Located::new(name, peer.at));
                }
                links.push(link);
            }
        }
    }
}

fn resolver(fields: &Fields<'_>, resolver: &mut Resolver, diags: &mut Vec<Diagnostic>) {
    let Some(fields) = below(fields, "config", &keys::RESOLVER, diags) else { return };
    if let Some(node) = fields.get("server") {
        name_servers(node, "server", resolver, diags);
    }
    if let Some(node) = fields.get("search") {
        search_domains(node, "search", resolver, diags);
    }
}

fn host_name(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<Located<String>> {
    let (key, node) = ["config", "running"].into_iter().find_map(|key| Some((key, fields.get(key)?)))?;
    value::host_name(node, key, diags)
}

/// A number that may be hexadecimal, which nmstate accepts for marks.
fn number(node: &Node, key: &str, most: u64, diags: &mut Vec<Diagnostic>) -> Option<Located<u64>> {
    let hexadecimal = node.text().and_then(|text| text.trim().strip_prefix("0x"));
    let Some(digits) = hexadecimal else { return value::number(node, key, 0..=most, diags) };
    match u64::from_str_radix(digits, 16) {
        Ok(number) if number <= most => Some(Located::new(number, node.at)),
        _ => {
            diags.push(bad(Code::BadValue, node, key, &format!("expected a number from 0 to {most}")));
            None
        }
    }
}

/// Reports that only one value of a key has an effect, if another one is given.
fn only(
    fields: &Fields<'_>,
    key: &str,
    is_usual: impl Fn(&str) -> bool,
    why: &str,
    diags: &mut Vec<Diagnostic>,
) {
    let Some(node) = fields.get(key) else { return };
    if !node.text().is_some_and(|text| is_usual(&text.trim().to_ascii_lowercase())) {
        diags.push(bad(Code::Unsupported, node, key, why));
    }
}

/// A non-empty mapping.
fn is_map(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if !entries.is_empty())
}

/// Whether a mapping is a state or a policy: by a list of interfaces with names, or by keys that only nmstate has.
pub(super) fn is_state(root: &Node) -> bool {
    let interfaces = root.get("interfaces").is_some_and(|list| match &list.value {
        Value::List(items) => items.iter().all(|item| item.get("name").is_some()),
        _ => false,
    });
    let within = |key: &str, inner: &str| root.get(key).is_some_and(|node| node.get(inner).is_some());
    let is_policy = root.get("capture").is_some()
        && ["desired", "desiredState"].iter().any(|key| root.get(key).is_some());
    interfaces
        || is_policy
        || ["dns-resolver", "hostname", "route-rules", "routes"].iter().any(|key| within(key, "config"))
        || within("hostname", "running")
        || root.get("ovs-db").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree;

    fn state(text: &str) -> (Desired, Vec<String>) {
        let mut diags = Vec::new();
        let root = tree::parse(text, 0, &mut diags).unwrap();
        assert!(is_state(&root), "{text}");
        let desired = read(&root, &mut diags);
        (desired, diags.iter().map(|d| format!("{}: {}", d.code, d.message)).collect())
    }

    #[test]
    fn the_name_of_the_machine_is_the_configured_one() {
        let name = |text: &str| state(text).0.host_name.map(|name| name.value);
        let both = "interfaces: []\nhostname: {running: a, config: b.example}\n";
        assert_eq!(name(both).as_deref(), Some("b.example"));
        assert_eq!(name("interfaces: []\nhostname: {running: a}\n").as_deref(), Some("a"));
        assert_eq!(name("interfaces: []\nhostname: {config: -a}\n"), None);
    }

    #[test]
    fn numbers_may_be_hexadecimal() {
        let rule = |mark: &str| {
            let text =
                format!("route-rules: {{config: [{{family: ipv4, fwmark: {mark}, route-table: 5}}]}}\n");
            let (desired, diags) = state(&text);
            (desired.rules.first().and_then(|rule| rule.mark), diags.len())
        };
        assert_eq!(rule("0x30"), (Some(0x30), 0));
        assert_eq!(rule("48"), (Some(48), 0));
        // Without its mark it would be a rule for every packet.
        assert_eq!(rule("0x1ffffffff"), (None, 1));
    }

    #[test]
    fn a_copied_address_must_be_in_the_description() {
        let text = |nic: &str, from: &str| {
            format!(
                "interfaces:\n- {{name: p0, type: ethernet{nic}}}\n- {{name: p1, type: ethernet}}\n\
                 - {{name: b, type: bond, copy-mac-from: {from}, link-aggregation: {{port: [p1, p0]}}}}\n"
            )
        };
        let mac = |text: &str| {
            let (desired, diags) = state(text);
            let bond = desired.links.into_iter().find(|link| link.id == "b").unwrap();
            (bond.mac.map(|mac| mac.value), diags.len())
        };
        let is = "52:54:00:00:00:07".parse().map(crate::model::DesiredMac::Is).unwrap();
        assert_eq!(mac(&text(", mac-address: '52:54:00:00:00:07'", "p0")), (Some(is), 0));
        assert_eq!(mac(&text("", "p1")), (None, 0), "the first member's is the bond's anyway");
        assert_eq!(mac(&text("", "p0")), (None, 1));
    }
}
