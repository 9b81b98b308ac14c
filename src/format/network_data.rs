//! network_data.json of OpenStack (Nova, Ironic), Metal3 and CloudStack: `links`, `networks`, `services`.
//!
//! Writers deviate from the schema, and from each other, in many small ways; each known one has a case in
//! testdata/network_data. `read` accepts all of them and reports what it assumed; [`ironic_schema`] reports what
//! Ironic's API would refuse. Knows nothing of the machine.

mod ironic;
pub(super) mod keys;
mod links;
mod networks;

pub use ironic::check as ironic_schema;

use foldhash::{HashMap, HashSet};

use super::keys::Fields;
use super::tree::Node;
use super::value::{items, name_servers, search_domains, text};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Desired, DesiredMac, Kind, Located, MacAddr, Place, Resolver};

/// Reads the mapping that has `links` and `networks`. Either may be absent or null.
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let mut desired = Desired::default();
    let Some(fields) = Fields::new(root, &keys::TOP, diags) else { return desired };
    // Ids of links that cannot be created: references to them must not be taken for interfaces of the machine.
    let mut lost: HashSet<String> = HashSet::default();
    for node in items(fields.get("links"), "links", diags) {
        links::read(node, &mut desired, &mut lost, diags);
    }
    lose(&mut desired, &mut lost, diags);
    foreign_macs(&desired, diags);
    let nodes = items(fields.get("networks"), "networks", diags);
    networks::read(nodes, &mut desired, &lost, diags);
    services(fields.get("services"), &mut desired.resolver, diags);
    resolver(&fields, &mut desired.resolver, diags);
    desired
}

/// Leaves out what depends on a lost link: its VLANs, and its membership in a bond or bridge.
fn lose(desired: &mut Desired, lost: &mut HashSet<String>, diags: &mut Vec<Diagnostic>) {
    // Links by their parent, with the place that names it, and how many members each has left.
    let mut standing: HashMap<String, Vec<(usize, Place)>> = HashMap::default();
    let mut left: Vec<usize> = desired.links.iter().map(|link| link.members.len()).collect();
    for (i, link) in desired.links.iter().enumerate() {
        for below in link.members.iter().chain(&link.parent) {
            standing.entry(below.value.clone()).or_default().push((i, below.at));
        }
    }
    let mut next: Vec<String> = lost.iter().cloned().collect();
    while let Some(id) = next.pop() {
        for (i, at) in standing.remove(&id).unwrap_or_default() {
            let (Some(link), Some(left)) = (desired.links.get(i), left.get_mut(i)) else { continue };
            *left = left.saturating_sub(1);
            let noun = link.kind.noun();
            let falls = link.parent.is_some() || (link.kind == Kind::Bond && *left == 0);
            let (at, message) = match falls {
                true => (link.at, format!("{noun} \"{}\" was left out with \"{id}\"", link.id)),
                false => {
                    (at, format!("{noun} \"{}\" is created without \"{id}\", which was left out", link.id))
                }
            };
            diags.push(Diagnostic::new(Code::LeftOut, at, message));
            if falls && lost.insert(link.id.clone()) {
                next.push(link.id.clone());
            }
        }
    }
    desired.links.retain(|link| !lost.contains(&link.id));
    for link in &mut desired.links {
        link.members.retain(|member| !lost.contains(&member.value));
    }
}

/// A bond with the MAC address of a NIC that is not a member: Ironic numbers the members of the second and later port
/// groups wrongly, so that one bond gets the NICs of another.
fn foreign_macs(desired: &Desired, diags: &mut Vec<Diagnostic>) {
    let nics: HashMap<MacAddr, &str> =
        desired.links.iter().filter_map(|link| Some((link.select.mac?.value, link.id.as_str()))).collect();
    for bond in desired.links.iter().filter(|link| link.kind == Kind::Bond && !link.members.is_empty()) {
        let Some(Located { value: DesiredMac::Is(mac), at }) = bond.mac else { continue };
        let Some(nic) = nics.get(&mac).filter(|nic| bond.members.iter().all(|m| m.value != **nic)) else {
            continue;
        };
        let message =
            format!("bond \"{}\" has the MAC address of \"{nic}\", which is none of its members", bond.id);
        diags.push(
            Diagnostic::new(Code::ForeignMac, at, message)
                .hint("check bond_links: Ironic writes wrong ones for a node with several port groups"),
        );
    }
}

/// Services at the top level, in a network or in a route: the name servers among them.
fn services(node: Option<&Node>, resolver: &mut Resolver, diags: &mut Vec<Diagnostic>) {
    for service in items(node, "services", diags) {
        let Some(fields) = Fields::new(service, &keys::SERVICE, diags) else { continue };
        let kind = fields.get("type").and_then(|node| text(node, "type", diags)).unwrap_or("dns");
        if !kind.eq_ignore_ascii_case("dns") {
            let message = format!("a service of type \"{kind}\" is not a name server and has no effect here");
            diags.push(Diagnostic::new(Code::NotADns, service.at, message));
            continue;
        }
        let search = fields.get("search");
        if let Some(domains) = search {
            search_domains(domains, "search", resolver, diags);
        }
        match fields.get("address") {
            Some(address) => name_servers(address, "address", resolver, diags),
            None if search.is_some() => {}
            None => {
                let message = "a name server without an address was left out";
                diags.push(Diagnostic::new(Code::MissingKey, service.at, message));
            }
        }
    }
}

/// `dns_nameservers` and `dns_search`.
fn resolver(fields: &Fields<'_>, resolver: &mut Resolver, diags: &mut Vec<Diagnostic>) {
    if let Some(node) = fields.get("dns_nameservers") {
        name_servers(node, "dns_nameservers", resolver, diags);
    }
    if let Some(node) = fields.get("dns_search") {
        search_domains(node, "dns_search", resolver, diags);
    }
}

#[cfg(test)]
mod tests;
