//! Which link depends on which: members, parents, cycles, and what is left out because of them.

use foldhash::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::{BondMode, Desired, Kind, Link, LinkRef, NamePattern};
use crate::order::Order as _;

/// Bonds that may have no members, which only netplan creates: elsewhere the key is required.
pub(super) fn memberless(desired: &Desired) -> HashSet<String> {
    let bonds =
        desired.links.iter().filter(|l| desired.closed && l.kind == Kind::Bond && l.members.is_empty());
    bonds.map(|l| l.id.clone()).collect()
}

/// Leaves out wrong members, cycles, links whose parent is missing, and all links above those. `memberless` are bonds
/// that never had a member.
pub(super) fn check(desired: &mut Desired, memberless: &HashSet<String>, diags: &mut Vec<Diagnostic>) {
    one_controller(desired, diags);
    let ports: HashMap<String, Port> = desired.links.iter().map(|l| (l.id.clone(), Port::of(l))).collect();
    let mut out: HashSet<String> = HashSet::default();
    for link in &mut desired.links {
        wrong_members(link, &ports, memberless, &mut out, diags);
        if let Some(wrong) = missing_foundation(link) {
            diags.push(wrong);
            out.insert(link.id.clone());
        }
    }
    for link in circles(desired) {
        let message = format!("\"{}\" depends on itself: {}", link.0, link.1);
        if let Some(at) = desired.links.iter().find(|l| l.id == link.0).map(|l| l.at) {
            diags.push(
                Diagnostic::new(Code::LinkCycle, at, message).hint("break the cycle at one of its links"),
            );
        }
        out.insert(link.0);
    }
    fall(desired, out, diags);
}

/// A link is a member of one bond, bridge or VRF at most: the first that lists it.
fn one_controller(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let mut taken: HashMap<String, String> = HashMap::default();
    for controller in &mut desired.links {
        let id = controller.id.clone();
        controller.members.retain(|member| match taken.get(&member.value) {
            None => {
                taken.insert(member.value.clone(), id.clone());
                true
            }
            Some(other) if *other == id => false,
            Some(other) => {
                let message = format!(
                    "\"{}\" is a member of \"{other}\" already, so it cannot be one of \"{id}\"",
                    member.value
                );
                diags.push(
                    Diagnostic::new(Code::TwoControllers, member.at, message)
                        .hint("remove it from one of the two"),
                );
                false
            }
        });
    }
}

/// A prospective port of a controller.
#[derive(Clone, Copy, PartialEq)]
enum Port {
    Loopback,
    Of(Kind),
}

impl Port {
    fn of(link: &Link) -> Port {
        let name = link.select.name.as_ref().map(|name| &name.value);
        match name {
            Some(NamePattern::Exact(name)) if name == "lo" && link.kind == Kind::Physical => Port::Loopback,
            _ => Port::Of(link.kind),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Port::Loopback => "loopback interface",
            Port::Of(kind) => kind.noun(),
        }
    }
}

/// What to do instead if the kernel refuses a member; `None` if it accepts it.
fn refusal(controller: &Link, port: Port, ports: &[Port]) -> Option<&'static str> {
    let Port::Of(kind) = port else { return Some("remove it from there") };
    let any = controller.settings.bond_mode().unwrap_or_default() == BondMode::ActiveBackup
        && ports.iter().all(|other| *other == port);
    match controller.kind {
        of if of.takes(kind, any) => None,
        _ if kind.is_ethernet() => Some("put its NICs there instead"),
        Kind::Bond => Some("an active-backup bond can have links without Ethernet frames, all of one kind"),
        _ => Some("it carries no Ethernet frames: use a GRE tap or a VXLAN"),
    }
}

/// Removes the members that the kernel refuses.
fn wrong_members(
    link: &mut Link,
    ports: &HashMap<String, Port>,
    memberless: &HashSet<String>,
    out: &mut HashSet<String>,
    diags: &mut Vec<Diagnostic>,
) {
    let (id, kind) = (link.id.clone(), link.kind);
    let before = link.members.len();
    let port = |member: &LinkRef| ports.get(&member.value).copied().unwrap_or(Port::Of(Kind::Physical));
    let all: Vec<Port> = link.members.iter().map(port).collect();
    let refusals: Vec<_> = all.iter().map(|port| refusal(link, *port, &all)).collect();
    let mut refusals = refusals.into_iter();
    link.members.retain(|member| {
        let Some(hint) = refusals.next().flatten() else { return true };
        let (noun, member, at) = (port(member).noun(), &member.value, member.at);
        let itself = *member == id;
        let hint = if itself { "remove it from its own list" } else { hint };
        let message = format!("{} \"{id}\" cannot have the {noun} \"{member}\" as a member", kind.noun());
        diags.push(Diagnostic::new(Code::BadMember, at, message).hint(hint));
        false
    });
    // A bond needs a member; a bridge without ports is valid, for guests to join later.
    if kind == Kind::Bond && link.members.is_empty() {
        if memberless.contains(&id) {
            let message =
                format!("bond \"{id}\" has no members: it is created, but has no carrier until one joins");
            let without =
                Diagnostic::new(Code::BondWithoutMembers, link.at, message).severity(Severity::Warning);
            diags.push(without.hint("list its members"));
            return;
        }
        if before == 0 {
            let message = format!("none of the members of bond \"{id}\" exist: it was left out");
            diags.push(Diagnostic::new(Code::BondWithoutMembers, link.at, message).hint("list its members"));
        }
        out.insert(id);
    }
}

/// A VLAN requires a parent.
fn missing_foundation(link: &Link) -> Option<Diagnostic> {
    let without = matches!(link.kind, Kind::Vlan | Kind::Macvlan) && link.parent.is_none();
    without.then(|| {
        let message = format!("{} \"{}\" has no parent link", link.kind.noun(), link.id);
        Diagnostic::new(Code::MissingKey, link.at, message)
    })
}

/// The link that a link cannot exist without.
fn foundations(link: &Link) -> impl Iterator<Item = &LinkRef> {
    link.parent.iter().chain(&link.members)
}

/// The links that depend on themselves, each with its cycle.
fn circles(desired: &Desired) -> Vec<(String, String)> {
    let by_id: HashMap<&str, &Link> = desired.links.iter().map(|l| (l.id.as_str(), l)).collect();
    let mut done: HashSet<&str> = HashSet::default();
    let mut named: HashSet<&str> = HashSet::default();
    let mut found = Vec::new();
    for start in desired.links.iter().filter(|l| !l.members.is_empty() || l.parent.is_some()) {
        // Depth first without recursion: the current path, and the next dependency to visit on each level.
        let mut path: Vec<(&Link, Vec<&str>)> = vec![(start, below(start))];
        let mut on_path: HashSet<&str> = HashSet::from_iter([start.id.as_str()]);
        while let Some((link, rest)) = path.last_mut() {
            let Some(next) = rest.pop() else {
                done.insert(&link.id);
                on_path.remove(link.id.as_str());
                path.pop();
                continue;
            };
            if on_path.contains(next) {
                let round =
                    path.iter().map(|(l, _)| l.id.as_str()).skip_while(|id| *id != next).chain([next]);
                if named.insert(next) {
                    found.push((next.to_owned(), round.collect::<Vec<_>>().join(" -> ")));
                }
            } else if let Some(link) = by_id.get(next).filter(|_| !done.contains(next)) {
                on_path.insert(&link.id);
                path.push((link, below(link)));
            }
        }
    }
    found
}

fn below(link: &Link) -> Vec<&str> {
    foundations(link).map(|r| r.value.as_str()).collect()
}

/// Removes what is left out, and then what depended on it: a VLAN without its parent, a bond without any member.
fn fall(desired: &mut Desired, mut out: HashSet<String>, diags: &mut Vec<Diagnostic>) {
    let there: HashSet<&str> = desired.links.iter().map(|l| l.id.as_str()).collect();
    let mut standing: HashMap<String, Vec<usize>> = HashMap::default();
    let mut left: Vec<usize> = desired.links.iter().map(|l| l.members.len()).collect();
    let mut next: Vec<String> = out.iter().cloned().collect();
    for (i, link) in desired.links.iter().enumerate() {
        for below in foundations(link).chain(&link.peer) {
            standing.entry(below.value.clone()).or_default().push(i);
            if !there.contains(below.value.as_str()) {
                next.push(below.value.clone());
            }
        }
    }
    let mut fallen = Vec::new();
    while let Some(lost) = next.pop() {
        for i in standing.remove(&lost).unwrap_or_default() {
            let (Some(link), Some(left)) = (desired.links.get(i), left.get_mut(i)) else { continue };
            *left = left.saturating_sub(1);
            let bare = link.kind == Kind::Bond && *left == 0;
            let parent = link.parent.as_ref().or(link.peer.as_ref()).filter(|p| p.value == lost);
            let why = match parent {
                Some(_) => format!("\"{}\" is left out: its link \"{lost}\" is", link.id),
                None if bare => format!("bond \"{}\" is left out: its members are", link.id),
                None => continue,
            };
            if out.insert(link.id.clone()) {
                fallen.push(Diagnostic::new(Code::LeftOut, link.at, why));
                next.push(link.id.clone());
            }
        }
    }
    fallen.order_by_key(|d| d.at);
    diags.extend(fallen);
    desired.links.retain(|l| !out.contains(&l.id));
    let there: HashSet<String> = desired.links.iter().map(|l| l.id.clone()).collect();
    for link in &mut desired.links {
        link.members.retain(|m| there.contains(&m.value));
    }
}

/// What arrives at a port of a bond or bridge belongs to the controller: an address on the port itself gets no answers
/// (rx_handler in net/core/dev.c). Its addresses and routes move there.
pub(super) fn networks_of_members(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let controllers =
        desired.links.iter().enumerate().filter(|(_, l)| matches!(l.kind, Kind::Bond | Kind::Bridge));
    let controller: HashMap<String, usize> =
        controllers.flat_map(|(i, l)| l.members.iter().map(move |m| (m.value.clone(), i))).collect();
    for i in 0..desired.links.len() {
        let Some(port) = desired.links.get_mut(i) else { continue };
        let Some(to) = controller.get(&port.id).copied() else { continue };
        let at = port.addresses.first().map(|a| a.at).or(port.routes.first().map(|r| r.at));
        let Some(at) = at.or(port.dynamic.first().map(|d| d.at)) else { continue };
        let (addresses, routes) = (std::mem::take(&mut port.addresses), std::mem::take(&mut port.routes));
        let (dynamic, rules) = (std::mem::take(&mut port.dynamic), std::mem::take(&mut port.rules));
        let (id, accept_ra) = (port.id.clone(), port.ipv6.accept_ra.take());
        let Some(controller) = desired.links.get_mut(to) else { continue };
        let message = format!(
            "\"{id}\" is a member of {} \"{}\" and cannot have a network of its own: the {0} got it",
            controller.kind.noun(),
            controller.id
        );
        diags.push(
            Diagnostic::new(Code::MemberAddress, at, message)
                .hint(format!("write it at \"{}\", or take \"{id}\" out of that", controller.id)),
        );
        controller.addresses.extend(addresses);
        controller.routes.extend(routes);
        controller.rules.extend(rules);
        controller.dynamic.extend(dynamic);
        controller.ipv6.accept_ra = controller.ipv6.accept_ra.or(accept_ra);
    }
}
