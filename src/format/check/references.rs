//! Ids and references to them.

use foldhash::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::model::attribute::{self, Form, OptionValue};
use crate::model::{Desired, IfName, Kind, Link, LinkRef, Located, MacAddr, NamePattern, Naming, Place};

/// Leaves out the second of two links with the same id.
pub(super) fn unique_ids(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, (Place, Option<MacAddr>)> = HashMap::default();
    desired.links.retain(|link| match seen.get(&link.id) {
        None => {
            seen.insert(link.id.clone(), (link.at, link.select.mac.map(|mac| mac.value)));
            true
        }
        Some((first, mac)) => {
            let with = |mac: &Option<MacAddr>| mac.map_or(String::new(), |mac| format!(" with MAC address {mac}"));
            let message = format!(
                "a second link has the id \"{0}\"{1} (first on line {2}{3}): references to \"{0}\" mean the first",

                link.id,
                with(&link.select.mac.map(|mac| mac.value)),
                first.line,
                with(mac)
            );
            diags.push(
                Diagnostic::new(Code::DuplicateLink, link.at, message)
                    .hint("give each link an id of its own"),
            );
            false
        }
    });
}

/// Two physical links with one MAC address are the same NIC: the settings of the second are applied to the first, and
/// so are references to it.
pub(super) fn one_link_for_a_mac(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let mut first: HashMap<MacAddr, usize> = HashMap::default();
    let mut twins: Vec<(usize, usize)> = Vec::new();
    for (i, link) in desired.links.iter().enumerate() {
        // A name or driver besides the MAC distinguishes two NICs with one address.
        let alone = link.select.name.is_none() && link.select.drivers.is_empty();
        if let (Kind::Physical, Some(mac), true) = (link.kind, link.select.mac, alone) {
            match first.get(&mac.value) {
                Some(earlier) => twins.push((*earlier, i)),
                None => {
                    first.insert(mac.value, i);
                }
            }
        }
    }
    let mut renamed: HashMap<String, String> = HashMap::default();
    for (keep, drop) in &twins {
        let Some(twin) = desired.links.get(*drop).cloned() else { continue };
        let Some(link) = desired.links.get_mut(*keep) else { continue };
        let at = twin.select.mac.map_or(twin.at, |m| m.at);
        let message =
            format!("\"{}\" and \"{}\" have the same MAC address: treated as one NIC", link.id, twin.id);
        diags.push(
            Diagnostic::new(Code::DuplicateMac, at, message).hint("check the MAC addresses of the two links"),
        );
        renamed.insert(twin.id, link.id.clone());
        link.mtu = link.mtu.or(twin.mtu);
        link.addresses.extend(twin.addresses);
        link.routes.extend(twin.routes);
        link.dynamic.extend(twin.dynamic);
        link.resolver.merge(&twin.resolver);
    }
    let dropped: HashSet<usize> = twins.iter().map(|(_, drop)| *drop).collect();
    let mut index = 0;
    desired.links.retain(|_| {
        index += 1;
        !dropped.contains(&(index - 1))
    });
    for reference in desired.links.iter_mut().flat_map(references) {
        if let Some(id) = renamed.get(&reference.value) {
            reference.value.clone_from(id);
        }
    }
}

/// Parent, peer and members of a link.
fn references(link: &mut Link) -> impl Iterator<Item = &mut LinkRef> {
    link.parent.iter_mut().chain(link.peer.iter_mut()).chain(link.members.iter_mut())
}

/// Resolves each reference to the id of a link: by id, by name, as an interface of the machine, or not at all.
pub(super) fn resolve(desired: &mut Desired, diags: &mut Vec<Diagnostic>) {
    let mut resolver = ReferenceResolver::new(&desired.links, desired.closed);
    for link in &mut desired.links {
        let id = link.id.clone();
        resolver.taken = link.members.iter().map(|member| member.value.clone()).collect();
        link.members.retain_mut(|member| resolver.resolve(&id, "member", member, diags));
        resolver.taken.clear();
        // A missing parent stays: `stacking` leaves the link out because of it.
        for (role, reference) in [("link", link.parent.as_mut()), ("peer", link.peer.as_mut())] {
            let _ = reference.is_some_and(|reference| resolver.resolve(&id, role, reference, diags));
        }
        let kind = link.kind;
        link.settings.0.retain(|name, setting| {
            let is_link = attribute::of(kind, name).is_some_and(|a| a.form == Form::Link);
            let OptionValue::Text(text) = &mut setting.value else { return true };
            if !is_link {
                return true;
            }
            let mut reference = Located::new(text.clone(), setting.at);
            let found = resolver.resolve(&id, name, &mut reference, diags);
            *text = reference.value;
            found
        });
    }
    desired.links.append(&mut resolver.implied);
}

/// Resolves references to links.
pub(in crate::format) struct ReferenceResolver {
    closed: bool,
    /// Ids in the description, for finding typing errors.
    described: Vec<String>,
    ids: HashSet<String>,
    /// Interface names that the description gives or matches, and the ids of those links.
    names: HashMap<String, String>,
    /// Links that are not described: interfaces of the machine, by name.
    pub(in crate::format) implied: Vec<Link>,
    /// How many more ids may be compared with a dangling one.
    comparisons: usize,
    /// The other members of the link: none of them is meant a second time.
    taken: HashSet<String>,
}

impl ReferenceResolver {
    /// `closed`: only described links may be named.
    pub(in crate::format) fn new(links: &[Link], closed: bool) -> Self {
        let mut names = HashMap::default();
        for link in links {
            if let Naming::Set(name) | Naming::Alternative(name) = &link.naming {
                names.entry(name.value.to_string()).or_insert(link.id.clone());
            }
        }
        for link in links {
            if let Some(Located { value: NamePattern::Exact(name), .. }) = &link.select.name {
                names.entry(name.clone()).or_insert(link.id.clone());
            }
        }
        let described: Vec<String> = links.iter().map(|l| l.id.clone()).collect();
        let ids = described.iter().cloned().collect();
        ReferenceResolver {
            closed,
            described,
            ids,
            names,
            implied: Vec::new(),
            comparisons: 200_000,
            taken: HashSet::default(),
        }
    }

    /// Resolves the reference `id`, which is the link's `role`. False if it is dangling.
    pub(in crate::format) fn resolve(
        &mut self,
        id: &str,
        role: &str,
        reference: &mut LinkRef,
        diags: &mut Vec<Diagnostic>,
    ) -> bool {
        if self.ids.contains(&reference.value) {
            return true;
        }
        if let Some(found) = self.names.get(&reference.value).filter(|found| *found != id) {
            let message = format!(
                "\"{id}\" names its {role} \"{}\", which is the name of link \"{found}\"",
                reference.value
            );
            let elsewhere = if self.closed { ": otherwise netplan rejects the whole file" } else { "" };
            diags.push(
                Diagnostic::new(Code::ReferenceByName, reference.at, message)
                    .hint(format!("write its id: \"{found}\"{elsewhere}")),
            );
            reference.value.clone_from(found);
            return true;
        }
        let near = self.nearest(id, &reference.value);
        // netplan gives up here, and cloud-init assumes an interface: a bond of two existing NICs is better than none.
        // The machine shows whether it exists. A VLAN on a misspelt parent would have none.
        let is_slip = near.as_ref().is_some_and(|near| stem(near) != stem(&reference.value));
        let is_taken = match role {
            "member" => true,
            "link" => !is_slip,
            _ => !is_slip && !self.closed,
        };
        let is_interface = is_taken && IfName::new(&reference.value).is_ok();
        if !is_interface {
            let message =
                format!("\"{id}\" names its {role} \"{}\", but no link has this id", reference.value);
            let hint = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "add the link, or remove the reference".to_owned(),
            };
            diags.push(Diagnostic::new(Code::DanglingReference, reference.at, message).hint(hint));
            return false;
        }
        let (code, message, mut hint) = if self.closed {
            (
                Code::DanglingReference,
                format!(
                    "\"{id}\" names its {role} \"{0}\", but no link has this id: using the interface {0}",
                    reference.value
                ),
                format!(
                    "add \"{}\" to the ethernets: without it netplan rejects the whole file",
                    reference.value
                ),
            )
        } else {
            (
                Code::ImpliedLink,
                format!(
                    "\"{0}\" is not a link in the description; \"{id}\" uses the interface {0}",
                    reference.value
                ),
                "give it a link with its MAC address: names can differ between boot images".to_owned(),
            )
        };
        if let Some(near) = near.as_ref().filter(|_| is_slip) {
            hint = format!("did you mean \"{near}\"? Otherwise {hint}");
        }
        diags.push(Diagnostic::new(code, reference.at, message).severity(Severity::Warning).hint(hint));
        self.imply(reference, near);
        true
    }

    /// The likeliest intended id for a dangling one; neither the link that names it, nor a member that it has already.
    /// Bounded: a description may have ten thousand ids and as many dangling references.
    pub(in crate::format) fn nearest(&mut self, of: &str, id: &str) -> Option<String> {
        self.comparisons = self.comparisons.checked_sub(self.described.len())?;
        let others = self.described.iter().filter(|other| *other != of && !self.taken.contains(*other));
        nearest(id, others.map(String::as_str)).map(str::to_owned)
    }

    fn imply(&mut self, reference: &LinkRef, similar: Option<String>) {
        let mut link = Link::new(reference.value.clone(), Kind::Physical, reference.at);
        link.select.name = Some(Located::new(NamePattern::Exact(reference.value.clone()), reference.at));
        link.select.implied = true;
        link.select.similar = similar;
        self.ids.insert(link.id.clone());
        self.implied.push(link);
    }
}

/// An id without its numbers: `eth0` and `eth1` are not misspellings of each other.
fn stem(id: &str) -> String {
    id.chars().filter(|c| !c.is_ascii_digit()).collect()
}
