//! netplan v2: `ethernets`, `bonds`, `vlans`, … Several files merge as netplan merges them.
//!
//! [`read`] walks the sections; [`keys`] has the support of every key. netplan gives up at the first mistake; here a
//! mistake costs only its key or link, and everything is reported. Checks common to all formats (references, stacking,
//! routes that exclude each other) are not done here.

mod dynamic;
mod finish;
mod keys;
mod link;
mod merge;
pub(crate) mod options;
mod physical;
mod route;
mod time;
mod tunnel;
mod wireguard;

use foldhash::{HashMap, HashSet};

use super::keys::{Fields, Object};
use super::recognise;
use super::tree::{Duplicate, Entry, Node, Value};
use super::value;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::model::{Desired, IfName, Kind, Link, LinkRef, Located, Naming, Place, attribute};

pub(super) use finish::vrf_gateways;
#[allow(unused_imports)] // docs and tests walk it
pub(super) use keys::OBJECTS;
pub(crate) use link::PORT;
pub(crate) use physical::OFFLOADS;

/// The table of ordinary routes (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;

/// A section of the document: its key, the kind of its links (a tunnel's is found later) and their keys.
type Section = (&'static str, Kind, &'static Object);

const SECTIONS: &[Section] = &[
    ("ethernets", Kind::Physical, &keys::ETHERNET),
    ("bonds", Kind::Bond, &keys::BOND_LINK),
    ("bridges", Kind::Bridge, &keys::BRIDGE_LINK),
    ("vlans", Kind::Vlan, &keys::VLAN),
    ("vrfs", Kind::Vrf, &keys::VRF),
    ("dummy-devices", Kind::Dummy, &keys::DUMMY),
    ("virtual-ethernets", Kind::Veth, &keys::VETH),
    ("tunnels", Kind::Gre, &keys::TUNNEL),
];

/// The section for links of this kind.
pub(crate) fn section(kind: Kind) -> &'static str {
    let own = SECTIONS.iter().find(|(_, of, object)| *of == kind && !std::ptr::eq(*object, &keys::TUNNEL));
    own.map_or("tunnels", |(name, ..)| name)
}

/// Sections that are refused; their ids are known, so that references to them are not called dangling.
const REFUSED: &[&str] = &["wifis", "modems", "nm-devices"];

/// Reports the support of keys next to `network`, which cloud-init's version 1 may have around it, too.
pub(super) fn beside(root: &Node, diags: &mut Vec<Diagnostic>) {
    Fields::new(root, &keys::ROOT, diags);
}

/// Reads one or more documents, each with or without the surrounding `network` key; later ones override earlier ones.
/// `duplicates` are the keys that occur more than once.
pub(crate) fn read(roots: &[&Node], duplicates: &[Duplicate], diags: &mut Vec<Diagnostic>) -> Desired {
    let mut documents = Vec::with_capacity(roots.len());
    for root in roots {
        match root.get("network").filter(|node| matches!(node.value, Value::Map(_) | Value::Null)) {
            Some(network) => {
                beside(root, diags);
                documents.push(recognise::repeated(network).map_or(network, |inner| &inner.value));
            }
            None => documents.push(root),
        }
    }
    let folded: Vec<_> = documents.iter().map(|document| merge::folded(document)).collect();
    let both: HashSet<Place> = folded.iter().flatten().flat_map(|(_, twice)| twice.iter().copied()).collect();
    let refused: HashSet<Place> = documents.iter().flat_map(|document| refused_twice(document)).collect();
    diags.extend(duplicates.iter().map(|duplicate| match duplicate.at {
        at if both.contains(&at) => {
            duplicate.diagnostic(
                "both are used, as netplan does",
                "merge them: other programs use only the last one",
            )
        }
        at if refused.contains(&at) => duplicate.last_is_used().severity(Severity::Error),
        _ => duplicate.last_is_used(),
    }));
    let documents: Vec<&Node> = documents
        .iter()
        .zip(&folded)
        .map(|(document, folded)| folded.as_ref().map_or(*document, |(document, _)| document))
        .collect();
    let merged;
    let document = match documents.as_slice() {
        [one] => *one,
        several => {
            let Some(node) = merge::merge(several) else { return Desired::default() };
            merged = node;
            &merged
        }
    };
    let mut reader = Reader {
        diags,
        renderer: Renderer::Networkd,
        links: Vec::new(),
        left_out: HashSet::default(),
        ports: Vec::new(),
    };
    reader.document(document);
    finish::finish(reader)
}

/// Mappings, keys that are written in them by mistake, and where those belong.
static HOMES: &[(&Object, &Object, &str)] = &[
    (&keys::NETWORK, &keys::ETHERNET, "it belongs to a link: ethernets: NAME:"),
    (&keys::BRIDGE_LINK, &keys::BRIDGE_PARAMETERS, "it belongs below \"parameters\""),
    (&keys::BOND_LINK, &keys::BOND_PARAMETERS, "it belongs below \"parameters\""),
    (&keys::BRIDGE_PARAMETERS, &keys::BRIDGE_LINK, "it belongs to the bridge, next to \"parameters\""),
    (&keys::BOND_PARAMETERS, &keys::BOND_LINK, "it belongs to the bond, next to \"parameters\""),
    (&keys::ETHERNET, &keys::MATCH, "it belongs below \"match\""),
    (&keys::MATCH, &keys::ETHERNET, "it belongs to the link, next to \"match\""),
    (&keys::ROUTE, &keys::RULE, "it belongs to an entry of routing-policy"),
    (&keys::RULE, &keys::ROUTE, "it belongs to an entry of routes"),
];

/// Like [`Fields::new`]; for keys of another mapping, reports where they belong.
fn fields_at_home<'a>(
    node: &'a Node,
    object: &'static Object,
    diags: &mut Vec<Diagnostic>,
) -> Option<Fields<'a>> {
    let has = |object: &Object, key: &str| object.keys.iter().any(|known| known.name == key);
    let home = |key: &str| {
        let of_this = HOMES.iter().filter(|(here, ..)| std::ptr::eq(*here, object) && !has(here, key));
        of_this.filter(|(_, there, _)| has(there, key)).map(|(.., hint)| *hint).next()
    };
    let fields = Fields::with_others(node, object, |key| home(key).is_some(), diags)?;
    for entry in fields.entries() {
        if let Some(hint) = home(&entry.key) {
            let message = format!("unknown key \"{}\" in {}, ignored", entry.key, object.name);
            diags.push(Diagnostic::new(Code::UnknownKey, entry.key_at, message).hint(hint));
        }
    }
    Some(fields)
}

/// The second places of keys that netplan refuses to see twice, where it otherwise uses the last: a bond's `primary`,
/// and the ports in a bridge's `path-cost` and `port-priority`.
fn refused_twice(document: &Node) -> HashSet<Place> {
    let parameters = |section: &str| {
        let links = document.get(section).map(entries).unwrap_or_default().iter();
        links.filter_map(|link| link.value.get("parameters"))
    };
    let mut refused = HashSet::default();
    for bond in parameters("bonds") {
        refused.extend(entries(bond).iter().filter(|entry| entry.key == "primary").skip(1).map(|e| e.key_at));
    }
    for bridge in parameters("bridges") {
        for ports in ["path-cost", "port-priority"].iter().filter_map(|key| bridge.get(key)) {
            let mut seen = HashSet::default();
            let again = entries(ports).iter().filter(|e| !seen.insert(e.key.as_str()));
            refused.extend(again.map(|e| e.key_at));
        }
    }
    refused
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

/// What has been read so far.
struct Reader<'d> {
    diags: &'d mut Vec<Diagnostic>,
    /// What the whole document is for.
    renderer: Renderer,
    links: Vec<Link>,
    /// Ids in the document that become no link; the reason has been reported.
    left_out: HashSet<String>,
    /// Options that a bridge gives its ports, by the port's id.
    ports: Vec<PortOption>,
}

/// The netplan renderer of the document: some mistakes are none for NetworkManager.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Renderer {
    Networkd,
    NetworkManager,
}

impl Renderer {
    /// The renderer of a mapping that may name one, within `outer`.
    fn of(node: Option<&Node>, outer: Renderer, diags: &mut Vec<Diagnostic>) -> Renderer {
        match node.and_then(Node::text) {
            None | Some("sriov") => outer,
            Some("networkd") => Renderer::Networkd,
            Some("NetworkManager") => Renderer::NetworkManager,
            Some(_) => {
                let words = ["networkd", "NetworkManager"].into_iter();
                diags.extend(node.map(|n| value::one_of(n, "renderer", words).severity(Severity::Warning)));
                outer
            }
        }
    }
}

/// An option that a bridge gives one of its ports.
struct PortOption {
    bridge: String,
    port: LinkRef,
    key: &'static str,
    row: &'static attribute::Attribute,
    value: Located<attribute::OptionValue>,
}

impl Reader<'_> {
    fn document(&mut self, document: &Node) {
        let Some(fields) = fields_at_home(document, &keys::NETWORK, self.diags) else { return };
        if let Some(node) = fields.get("version").filter(|node| node.text() != Some("2")) {
            self.diags.push(
                value::bad(Code::BadValue, node, "version", "netplan has version 2 only")
                    .hint("it was read as version 2"),
            );
        }
        self.renderer = Renderer::of(fields.get("renderer"), self.renderer, self.diags);
        for entry in last_of_each(fields.entries()) {
            if let Some(section) = SECTIONS.iter().find(|(name, ..)| *name == entry.key) {
                self.section(section, &entry.value);
            } else if entry.key == "openvswitch" {
                let ports = entry.value.get("ports").map(Node::items).unwrap_or_default();
                let ends = ports.iter().flat_map(Node::items).filter_map(Node::text);
                self.left_out.extend(ends.map(str::to_owned));
            } else if REFUSED.contains(&entry.key.as_str()) {
                if let Value::Map(entries) = &entry.value.value {
                    self.left_out.extend(entries.iter().map(|entry| entry.key.clone()));
                }
            }
        }
    }

    fn section(&mut self, (name, kind, object): &Section, node: &Node) {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => return,
            _ => {
                let message = format!("{name} should be a mapping of ids, not {}", node.noun());
                let wrong = Diagnostic::new(Code::WrongShape, node.at, message);
                let hint = "write the ids without a dash before them, as in eth0: {…}";
                return self.diags.push(if node.items().is_empty() { wrong } else { wrong.hint(hint) });
            }
        };
        let renderer = Renderer::of(node.get("renderer"), self.renderer, self.diags);
        for entry in last_of_each(entries) {
            if entry.key == "renderer" {
                let message = "\"renderer\" has no effect here: netapply configures the kernel itself";
                self.diags.push(Diagnostic::new(Code::NoEffect, entry.key_at, message));
                continue;
            }
            match self.link(entry, *kind, object, renderer) {
                Some(link) => self.links.push(link),
                None => {
                    self.left_out.insert(entry.key.clone());
                }
            }
        }
    }

    /// A link; `None`, with the reason reported, if it cannot be created or is left to others.
    fn link(
        &mut self,
        entry: &Entry,
        kind: Kind,
        object: &'static Object,
        renderer: Renderer,
    ) -> Option<Link> {
        let id = &entry.key;
        if !is_id(id) {
            let message = format!("\"{}\" is not an id", id.escape_default());
            self.diags.push(
                Diagnostic::new(Code::BadName, entry.key_at, message)
                    .hint("use letters, digits and signs, but none of *[]? and no spaces"),
            );
            return None;
        }
        if !matches!(entry.value.value, Value::Map(_)) && object.keys.iter().any(|key| key.name == *id) {
            let message = format!("\"{id}\" is in the place of a link's id");
            self.diags.push(
                Diagnostic::new(Code::WrongShape, entry.key_at, message)
                    .hint("indent it further, so that it is below the id that it belongs to"),
            );
            return None;
        }
        let fields = fields_at_home(&entry.value, object, self.diags)?;
        let is_tunnel = std::ptr::eq(object, &keys::TUNNEL);
        let kind = if is_tunnel { tunnel::kind(id, &fields, self.diags)? } else { kind };
        let mut link = Link::new(id.clone(), kind, entry.key_at);
        if kind == Kind::Vlan && dynamic::vlan_filter(id, &fields, self.diags) {
            return None;
        }
        let renderer = Renderer::of(fields.get("renderer"), renderer, self.diags);
        link::common(&mut link, &fields, renderer, self.diags);
        let diags = &mut *self.diags;
        match kind {
            Kind::Physical => physical::read(&mut link, &fields, diags)?,
            _ => link.naming = naming(&link, diags),
        }
        match kind {
            Kind::Bond => bond(&mut link, &fields, diags)?,
            Kind::Bridge => self.bridge(&mut link, &fields)?,
            Kind::Vlan => vlan(&mut link, &fields, diags)?,
            Kind::Vrf => vrf(&mut link, &fields, diags)?,
            Kind::Veth => link.peer = fields.get("peer").and_then(|node| reference(node, "peer", diags)),
            _ if is_tunnel => tunnel::read(&mut link, &fields, diags)?,
            _ => {}
        }
        Some(link)
    }

    fn bridge(&mut self, link: &mut Link, fields: &Fields<'_>) -> Option<()> {
        virtual_switch(link, fields)?;
        link.members = members(fields, self.diags);
        let Some(node) = fields.get("parameters") else { return Some(()) };
        let Some(parameters) = fields_at_home(node, &keys::BRIDGE_PARAMETERS, self.diags) else {
            return Some(());
        };
        options::read(options::BRIDGE, &parameters, Kind::Bridge, &mut link.settings, self.diags);
        // netplan turns the spanning tree on if there are any parameters.
        let stp = parameters.get("stp").and_then(|node| boolean(node, "stp", self.diags));
        let stp = stp.unwrap_or(Located::new(true, node.at));
        if let Some(row) = attribute::of(Kind::Bridge, "stp_state") {
            link.settings.set(row, attribute::OptionValue::Bool(stp.value), stp.at);
        }
        for (key, option) in [("path-cost", "cost"), ("port-priority", "priority")] {
            if let Some(node) = parameters.get(key) {
                self.port_options(&link.id, key, option, node);
            }
        }
        Some(())
    }

    /// `path-cost: {eth0: 5}`. 0 is unset.
    fn port_options(&mut self, bridge: &str, key: &'static str, option: &str, node: &Node) {
        let Some(row) = attribute::find(Kind::Bridge.port_attributes(), option) else { return };
        let Value::Map(entries) = &node.value else {
            let message = format!("{key} should be a mapping of members to numbers, not {}", node.noun());
            return self.diags.push(Diagnostic::new(Code::WrongShape, node.at, message));
        };
        for entry in last_of_each(entries) {
            let most = u64::try_from(row.range().1).unwrap_or_default();
            let Some(number) = value::number(&entry.value, key, 0..=most, self.diags) else { continue };
            if number.value == 0 {
                options::unset(key, &entry.value, self.diags);
                continue;
            }
            self.ports.push(PortOption {
                bridge: bridge.to_owned(),
                port: Located::new(entry.key.clone(), entry.key_at),
                key,
                row,
                value: Located::new(attribute::OptionValue::Number(number.value as i64), number.at),
            });
        }
    }
}

fn bond(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    virtual_switch(link, fields)?;
    link.members = members(fields, diags);
    let parameters = fields.get("parameters").and_then(|n| fields_at_home(n, &keys::BOND_PARAMETERS, diags));
    let Some(parameters) = parameters else { return Some(()) };
    if let Some(node) =
        parameters.get("mode").filter(|n| matches!(n.text(), Some("balance-tcp" | "balance-slb")))
    {
        diags.push(value::bad(Code::Unsupported, node, "mode", "only Open vSwitch has this mode"));
        return None;
    }
    options::read(options::BOND, &parameters, Kind::Bond, &mut link.settings, diags);
    Some(())
}

/// `None` if the link belongs to Open vSwitch, which the table of keys has refused already. `external-ids` and
/// `other-config` alone leave it an ordinary link.
fn virtual_switch(link: &Link, fields: &Fields<'_>) -> Option<()> {
    let settings = fields.entry("openvswitch").map(|entry| &entry.value.value);
    let ordinary = match settings {
        None => true,
        Some(Value::Map(_)) if matches!(link.kind, Kind::Bond | Kind::Bridge) => false,
        Some(_) => true,
    };
    ordinary.then_some(())
}

fn vlan(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let Some(node) = fields.get("id") else {
        let message = format!("VLAN \"{}\" has no id", link.id);
        diags.push(Diagnostic::new(Code::MissingKey, link.at, message).hint("add id: its number, 1 to 4094"));
        return None;
    };
    let id = value::number(node, "id", 0..=4094, diags)?;
    if let Some(row) = attribute::of(Kind::Vlan, "id") {
        link.settings.set(row, attribute::OptionValue::Number(id.value as i64), id.at);
    }
    link.parent = fields.get("link").and_then(|node| reference(node, "link", diags));
    Some(())
}

/// Routes and rules of a VRF are in its table.
fn vrf(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let Some(node) = fields.get("table") else {
        let message = format!("VRF \"{}\" has no table", link.id);
        diags.push(
            Diagnostic::new(Code::MissingKey, link.at, message)
                .hint("add table: a number of its own, such as 1000"),
        );
        return None;
    };
    let table = value::number(node, "table", 1..=u64::from(u32::MAX), diags)?;
    if let Some(row) = attribute::of(Kind::Vrf, "table") {
        link.settings.set(row, attribute::OptionValue::Number(table.value as i64), table.at);
    }
    link.members = members(fields, diags);
    let own = u32::try_from(table.value).ok()?;
    finish::vrf_tables(link, own, diags);
    Some(())
}

/// Ids of members.
fn members(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Vec<LinkRef> {
    let mut seen = HashSet::default();
    let mut members = Vec::new();
    for item in value::items(fields.get("interfaces"), "interfaces", diags) {
        members.extend(reference(item, "interfaces", diags).filter(|id| seen.insert(id.value.clone())));
    }
    members
}

/// A boolean. netplan refuses 1 and 0, which cloud-init accepts.
fn boolean(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<bool>> {
    if matches!(node.text(), Some("0" | "1")) {
        let why = "netplan accepts only true, on, yes and y, or false, off, no and n";
        diags.push(value::bad(Code::BadValue, node, key, why).severity(Severity::Warning));
    }
    value::boolean(node, key, diags)
}

/// The id of another link.
fn reference(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<LinkRef> {
    value::text(node, key, diags).map(|id| Located::new(id.to_owned(), node.at))
}

/// A software link is named by its id.
fn naming(link: &Link, diags: &mut Vec<Diagnostic>) -> Naming {
    match IfName::to_give(&link.id) {
        Ok(name) => Naming::Set(Located::new(name, link.at)),
        Err(why) => {
            let message =
                format!("the id \"{}\" is {why}: the {} is not named by it", link.id, link.kind.noun());
            diags.push(
                Diagnostic::new(Code::BadName, link.at, message).hint("give it an id that can be its name"),
            );
            Naming::Generate
        }
    }
}

/// Printable ASCII without spaces and patterns (`assert_valid_id` in netplan's parse.c).
pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic() && !b"*[]?".contains(&b))
}

/// The last entry of each key: earlier ones have been reported as duplicates.
fn last_of_each(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    let last: HashMap<&str, usize> = entries.iter().enumerate().map(|(i, e)| (e.key.as_str(), i)).collect();
    entries.iter().enumerate().filter(move |(i, e)| last.get(e.key.as_str()) == Some(i)).map(|(_, e)| e)
}

#[cfg(test)]
mod tests;
