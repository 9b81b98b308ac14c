//! Matches physical links with NICs.

use std::fmt;

use foldhash::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::inventory::{Inventory, ObservedLink};
use crate::model::{
    Desired, IfName, Kind, Link, LinkLayer, LinkRef, Located, MacAddr, Match, NamePattern, Naming, Place,
    fits,
};
use crate::order::Order as _;

use super::Missing;

/// A NIC that matches a link.
#[derive(Clone, Debug)]
pub(super) struct FoundNic {
    pub(super) name: String,
    pub(super) by: MatchedBy,
    pub(super) stand_in: bool,
}

/// How a NIC was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// Its permanent MAC address.
    PermanentMac(MacAddr),
    /// Its current MAC address.
    CurrentMac(MacAddr),
    /// Its PCI address.
    Pci(String),
    /// Its name or an alternative name.
    Name(String),
    /// A pattern for names or drivers.
    Pattern(String),
    /// Its position among the NICs in PCI order, from 0.
    Position(usize),
    /// Every NIC matches.
    Anything,
    /// Not found: it is a stand-in.
    Nothing,
}

impl fmt::Display for MatchedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MatchedBy::PermanentMac(mac) => write!(f, "permanent MAC {mac}"),
            MatchedBy::CurrentMac(mac) => write!(f, "current MAC {mac}"),
            MatchedBy::Pci(address) => write!(f, "PCI address {address}"),
            MatchedBy::Name(name) => write!(f, "name {name}"),
            MatchedBy::Pattern(pattern) => write!(f, "pattern {pattern}"),
            MatchedBy::Position(position) => write!(f, "position {position} in PCI order"),
            MatchedBy::Anything => f.write_str("being a NIC"),
            MatchedBy::Nothing => f.write_str("nothing: this machine has no such NIC"),
        }
    }
}

/// The result of matching the physical links.
#[derive(Default)]
pub(super) struct Matches {
    /// The NICs of each link that has any, by the link's id.
    pub(super) found: HashMap<String, Vec<FoundNic>>,
    /// What no NIC matches, in words.
    pub(super) unmatched: Vec<String>,
    /// Ids of the links that mean one NIC, but match several.
    pub(super) ambiguous: Vec<String>,
}

/// Finds the NICs of each physical link. Links with a MAC address or a full name choose first, so that `en*` does not
/// take the NIC that another link names.
pub(super) fn find(
    desired: &Desired,
    inventory: &Inventory,
    missing: Missing,
    diags: &mut Vec<Diagnostic>,
) -> Matches {
    let Matches { mut found, mut unmatched, mut ambiguous } = Matches::default();
    let mut taken: HashSet<String> = HashSet::default();
    let mut unmet: Vec<&Link> = Vec::new();
    let order = PciOrder::new(desired, inventory);
    let table = Nics::of(inventory);
    let physical = || desired.links.iter().filter(|l| l.kind == Kind::Physical);
    let mut links: Vec<&Link> = physical().collect();
    links.order_by_key(|link| (link.yields, !is_exact(&link.select)));
    for link in links {
        let nics = fitting(link, &table, &taken, &order, diags);
        taken.extend(nics.iter().map(|n| n.name.clone()));
        if nics.is_empty() {
            match superseded(link, &table, &order) {
                Some(superseded) => diags.push(superseded),
                None => unmet.push(link),
            }
        } else if too_many(link, &nics, diags) {
            ambiguous.push(link.id.clone());
        } else {
            found.insert(link.id.clone(), nics);
        }
    }
    let (spare, missed): (Vec<&Link>, Vec<&Link>) =
        unmet.into_iter().partition(|link| is_spare(link, desired, &found));
    diags.extend(spare.iter().map(|link| not_there(link, inventory, &found).severity(Severity::Note)));
    if missing == Missing::StandIn {
        stand_in(&missed, inventory, &mut found, diags);
        return Matches { found, unmatched, ambiguous };
    }
    for link in missed {
        unmatched.push(what_is_sought(link));
        diags.push(not_there(link, inventory, &found));
    }
    Matches { found, unmatched, ambiguous }
}

/// The note about a link whose NIC is another's, of a source that takes precedence.
fn superseded(link: &Link, table: &Nics<'_>, order: &PciOrder) -> Option<Diagnostic> {
    let nic = match link.yields {
        true => fitting(link, table, &HashSet::default(), order, &mut Vec::new()).into_iter().next()?,
        false => return None,
    };
    let message = format!(
        "\"{}\" is {}, which a source of higher preference describes: what this one says of it is left out",
        link.id, nic.name
    );
    Some(Diagnostic::new(Code::Superseded, link.at, message))
}

/// Whether it is harmless that no NIC matches a pattern: `en*` and `eth*` together mean whichever exists. Nothing else
/// needs the link, another described NIC exists, and the link asks only for a lease, or for addresses that another link
/// has.
fn is_spare(link: &Link, desired: &Desired, found: &HashMap<String, Vec<FoundNic>>) -> bool {
    let is_needed = |other: &Link| {
        let names = |reference: &&LinkRef| reference.value == link.id;
        other.members.iter().chain(&other.parent).chain(&other.peer).any(|reference| names(&reference))
    };
    let nets = |of: &Link| of.addresses.iter().map(|address| address.net).collect::<Vec<_>>();
    let stands_in = |other: &Link| found.contains_key(&other.id) && nets(other) == nets(link);
    let asks_for_a_lease = link.addresses.is_empty() && link.routes.is_empty();
    !is_exact(&link.select)
        && !found.is_empty()
        && !desired.links.iter().any(is_needed)
        && (asks_for_a_lease || !link.addresses.is_empty() && desired.links.iter().any(stands_in))
}

fn is_exact(select: &Match) -> bool {
    select.mac.is_some() || select.pci.is_some() || exact_name(select).is_some()
}

fn exact_name(select: &Match) -> Option<&str> {
    match &select.name {
        Some(Located { value: NamePattern::Exact(name), .. }) => Some(name),
        _ => None,
    }
}

/// The machine's links by the properties that identify them, each list in the inventory's order: a thousand links each
/// look up their own.
struct Nics<'a> {
    all: Vec<&'a ObservedLink>,
    /// NICs by their permanent and their current address.
    by_mac: HashMap<MacAddr, Vec<&'a ObservedLink>>,
    /// Every link by its name and its alternative names.
    by_name: HashMap<&'a str, Vec<&'a ObservedLink>>,
}

impl<'a> Nics<'a> {
    fn of(inventory: &'a Inventory) -> Self {
        let mut nics = Nics { all: Vec::new(), by_mac: HashMap::default(), by_name: HashMap::default() };
        for link in &inventory.links {
            let names: HashSet<&str> = link.altnames.iter().chain([&link.name]).map(String::as_str).collect();
            names.into_iter().for_each(|name| nics.by_name.entry(name).or_default().push(link));
            if link.is_nic() {
                nics.all.push(link);
                let macs = link.permanent_mac.into_iter().chain(link.mac);
                let macs: HashSet<MacAddr> =
                    macs.flat_map(|mac| [Some(mac), mac.short()]).flatten().collect();
                macs.into_iter().for_each(|mac| nics.by_mac.entry(mac).or_default().push(link));
            }
        }
        nics
    }

    fn with_mac(&self, mac: &MacAddr) -> &[&'a ObservedLink] {
        self.by_mac.get(mac).map_or(&[], Vec::as_slice)
    }

    fn called(&self, name: &str) -> &[&'a ObservedLink] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}

fn fitting<'a>(
    link: &Link,
    table: &Nics<'a>,
    taken: &HashSet<String>,
    order: &PciOrder,
    diags: &mut Vec<Diagnostic>,
) -> Vec<FoundNic> {
    let select = &link.select;
    // The loopback interface matches only by name.
    let loopback = exact_name(select) == Some("lo");
    let free = |l: &&&ObservedLink| !taken.contains(&l.name) && (l.layer != LinkLayer::Loopback || loopback);
    let found = |by: MatchedBy| {
        move |l: &&ObservedLink| FoundNic { name: l.name.clone(), by: by.clone(), stand_in: false }
    };
    let among = |nics: &[&'a ObservedLink]| -> Vec<&'a ObservedLink> {
        nics.iter().filter(free).filter(|l| fits_names(select, l)).copied().collect()
    };
    // The first name that a NIC has.
    let otherwise = || {
        let mut names = select.otherwise.iter();
        names.find_map(|name| {
            let mut called = table.called(&name.value).iter().filter(free).filter(|l| l.is_nic());
            called.find(|l| fits_drivers(select, l)).map(found(MatchedBy::Name(name.value.clone())))
        })
    };
    if let Some(mac) = select.mac {
        let (by, fitting) = with_mac(link, mac.value, &among(table.with_mac(&mac.value)), diags);
        let fitting: Vec<FoundNic> = fitting.iter().map(found(by)).collect();
        return if fitting.is_empty() { otherwise().into_iter().collect() } else { fitting };
    }
    if let Some(pci) = &select.pci {
        let nics = table.all.iter().filter(free).filter(|nic| nic.pci_address() == Some(&pci.value));
        return nics.map(found(MatchedBy::Pci(pci.value.clone()))).collect();
    }
    match &select.name {
        Some(Located { value: NamePattern::Exact(name), .. }) => {
            let called = table.called(name).iter().filter(free).filter(|l| fits_drivers(select, l));
            let by_name: Vec<FoundNic> = called.take(1).map(found(MatchedBy::Name(name.clone()))).collect();
            match select.position {
                Some(position) if by_name.is_empty() => {
                    let nic = order.nic(position).filter(|(_, nic)| !taken.contains(*nic));
                    nic.map(|nic| at_position(link, name, nic, diags)).into_iter().collect()
                }
                _ if by_name.is_empty() => otherwise().into_iter().collect(),
                _ => by_name,
            }
        }
        Some(Located { value: NamePattern::Glob(glob), .. }) => {
            among(&table.all).iter().map(found(MatchedBy::Pattern(glob.clone()))).collect()
        }
        None => {
            let by = match select.drivers.first() {
                Some(driver) => MatchedBy::Pattern(format!("{} of the driver", driver.value)),
                None => MatchedBy::Anything,
            };
            among(&table.all).iter().map(found(by)).collect()
        }
    }
}

/// Permanent MAC first, then current; of two, the one without a controller.
fn with_mac<'a>(
    link: &Link,
    mac: MacAddr,
    nics: &[&'a ObservedLink],
    diags: &mut Vec<Diagnostic>,
) -> (MatchedBy, Vec<&'a ObservedLink>) {
    let permanent: Vec<&ObservedLink> =
        nics.iter().filter(|l| l.permanent_mac.is_some_and(|own| own.means(&mac))).copied().collect();
    if !permanent.is_empty() {
        // A virtual function below a paravirtual NIC with the same address (netvsc, virtio failover).
        let single: Vec<&ObservedLink> =
            permanent.iter().filter(|l| l.controller.is_none()).copied().collect();
        if permanent.len() > 1 && single.len() == 1 {
            let names: Vec<&str> = permanent.iter().map(|l| l.name.as_str()).collect();
            let message = format!(
                "{} have the permanent MAC address {mac}; the one without a controller is used",
                names.join(" and ")
            );
            diags.push(Diagnostic::new(Code::NicShared, link.at, message));
            return (MatchedBy::PermanentMac(mac), single);
        }
        return (MatchedBy::PermanentMac(mac), permanent);
    }
    // Members of a bond share its address: it identifies none of them if they have a permanent one.
    let own = |l: &&&ObservedLink| {
        l.mac.is_some_and(|own| own.means(&mac)) && (l.controller.is_none() || l.permanent_mac.is_none())
    };
    let current: Vec<&ObservedLink> = nics.iter().filter(own).copied().collect();
    if let Some(nic) = current.iter().find(|l| l.permanent_mac.is_some()) {
        let message =
            format!("no NIC has the permanent MAC address {mac}; {} has it as its current one", nic.name);
        diags.push(Diagnostic::new(Code::NicByCurrentMac, link.at, message));
    }
    (MatchedBy::CurrentMac(mac), current)
}

fn fits_names(select: &Match, nic: &ObservedLink) -> bool {
    has_name(select, nic) && fits_drivers(select, nic)
}

fn has_name(select: &Match, nic: &ObservedLink) -> bool {
    match &select.name {
        None => true,
        Some(Located { value: NamePattern::Exact(name), .. }) => nic.is_called(name),
        Some(Located { value: NamePattern::Glob(glob), .. }) => {
            fits(glob, &nic.name) || nic.altnames.iter().any(|name| fits(glob, name))
        }
    }
}

fn fits_drivers(select: &Match, nic: &ObservedLink) -> bool {
    select.drivers.is_empty() || select.drivers.iter().any(|d| fits(&d.value, &nic.driver))
}

/// The NICs in PCI order, for descriptions with `ethN` and no MAC address.
struct PciOrder {
    /// Each with whether a link of the description names it.
    nics: Vec<(String, bool)>,
    /// The N of every `ethN`, ascending.
    positions: Vec<usize>,
}

impl PciOrder {
    /// Bus paths have fixed-width hex numbers, so they sort as strings.
    fn new(desired: &Desired, inventory: &Inventory) -> Self {
        let mut nics: Vec<&ObservedLink> = inventory.links.iter().filter(|l| l.is_nic()).collect();
        nics.order_by_key(|l| (l.bus.is_empty(), &l.bus, l.index));
        let mut positions: Vec<usize> = desired.links.iter().filter_map(|l| l.select.position).collect();
        positions.order();
        positions.dedup();
        let names: HashSet<&str> = desired.links.iter().filter_map(|l| exact_name(&l.select)).collect();
        let is_named = |nic: &ObservedLink| {
            names.contains(nic.name.as_str()) || nic.altnames.iter().any(|name| names.contains(name.as_str()))
        };
        PciOrder { nics: nics.into_iter().map(|l| (l.name.clone(), is_named(l))).collect(), positions }
    }

    /// The N-th NIC, unless it is another link's by its name. Proxmox VE numbers a machine's NICs with gaps (eth0,
    /// eth1, eth10): if there are as many NICs as names, and too few to count to N, they are matched in order.
    fn nic(&self, position: usize) -> Option<(usize, &str)> {
        let gaps = self.positions.last().is_some_and(|last| *last >= self.nics.len());
        let in_order = gaps && self.positions.len() == self.nics.len();
        let index = if in_order { self.positions.binary_search(&position).ok()? } else { position };
        self.nics.get(index).filter(|(_, named)| !named).map(|(name, _)| (index, name.as_str()))
    }
}

fn at_position(
    link: &Link,
    name: &str,
    (position, nic): (usize, &str),
    diags: &mut Vec<Diagnostic>,
) -> FoundNic {
    let message =
        format!("\"{name}\" has no MAC address: using {nic}, by the order of the NICs on the PCI bus");
    diags.push(
        Diagnostic::new(Code::NicByPosition, link.at, message)
            .hint("add the MAC address if the format allows it: the order can differ between machines"),
    );
    FoundNic { name: nic.to_owned(), by: MatchedBy::Position(position), stand_in: false }
}

/// Several NICs are an error if the link means one: an address cannot be on two.
fn too_many(link: &Link, nics: &[FoundNic], diags: &mut Vec<Diagnostic>) -> bool {
    let fixed =
        !link.addresses.is_empty() || !link.routes.is_empty() || matches!(link.naming, Naming::Set(_));
    if nics.len() < 2 || (link.select.many && !fixed) {
        return false;
    }
    let names: Vec<&str> = nics.iter().map(|n| n.name.as_str()).collect();
    let what = if link.addresses.is_empty() {
        "only one can be meant"
    } else {
        "an address cannot be on each of them"
    };
    let message = format!("\"{}\" fits {} NICs ({}), and {what}", link.id, nics.len(), names.join(", "));
    let at = link.select.name.as_ref().map(|n| n.at).or(link.select.mac.map(|m| m.at)).unwrap_or(link.at);
    diags.push(
        Diagnostic::new(Code::NicAmbiguous, at, message).hint("match the intended one by its MAC address"),
    );
    true
}

/// What a NIC must have to match the link.
fn what_is_sought(link: &Link) -> String {
    let what = match (&link.select.mac, &link.select.name) {
        (None, None) if link.select.pci.is_some() => link.select.what(),
        (Some(mac), _) => format!("the MAC address {}", mac.value),
        (None, Some(Located { value: NamePattern::Exact(name), .. })) => format!("interface {name}"),
        (None, Some(Located { value: NamePattern::Glob(glob), .. })) => format!("a NIC called {glob}"),
        (None, None) => "a NIC".to_owned(),
    };
    if link.select.implied { what } else { format!("{what} (link \"{}\")", link.id) }
}

/// A property that a link requires of a NIC: in words, where it is written, and which NICs have it.
struct Property<'a> {
    kind: PropertyKind<'a>,
    words: String,
    at: Place,
    has: Box<dyn Fn(&ObservedLink) -> bool + 'a>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum PropertyKind<'a> {
    Mac,
    Pci,
    /// A full name.
    Name(&'a str),
    /// A pattern of names.
    Glob,
    Driver,
}

fn properties(select: &Match) -> Vec<Property<'_>> {
    let mac = select.mac.as_ref().map(|mac| Property {
        kind: PropertyKind::Mac,
        words: format!("the MAC address {}", mac.value),
        at: mac.at,
        has: Box::new(|nic| [nic.permanent_mac, nic.mac].iter().flatten().any(|own| own.means(&mac.value))),
    });
    let pci = select.pci.as_ref().map(|pci| Property {
        kind: PropertyKind::Pci,
        words: format!("the PCI address {}", pci.value),
        at: pci.at,
        has: Box::new(|nic| nic.pci_address() == Some(&pci.value)),
    });
    let name = select.name.as_ref().map(|name| {
        let (kind, words) = match &name.value {
            NamePattern::Exact(name) => (PropertyKind::Name(name), format!("the name {name}")),
            NamePattern::Glob(glob) => (PropertyKind::Glob, format!("a name like {glob}")),
        };
        Property { kind, words, at: name.at, has: Box::new(|nic| has_name(select, nic)) }
    });
    let driver = select.drivers.first().map(|first| {
        let all: Vec<&str> = select.drivers.iter().map(|driver| driver.value.as_str()).collect();
        let words = if all.len() > 1 { "one of the drivers" } else { "the driver" };
        Property {
            kind: PropertyKind::Driver,
            words: format!("{words} {}", all.join(", ")),
            at: first.at,
            has: Box::new(|nic| fits_drivers(select, nic)),
        }
    });
    mac.into_iter().chain(pci).chain(name).chain(driver).collect()
}

fn not_there(link: &Link, inventory: &Inventory, found: &HashMap<String, Vec<FoundNic>>) -> Diagnostic {
    let nics: Vec<&ObservedLink> = inventory.links.iter().filter(|l| l.is_nic()).collect();
    let properties = properties(&link.select);
    let words: Vec<&str> = properties.iter().map(|property| property.words.as_str()).collect();
    let what = match (&link.select.name, &words[..]) {
        (_, []) => "no NIC fits".to_owned(),
        (Some(Located { value: NamePattern::Exact(name), .. }), [_]) => {
            format!("there is no interface {name}")
        }
        (Some(Located { value: NamePattern::Glob(glob), .. }), [_]) => format!("no NIC fits {glob}"),
        (_, words) => format!("no NIC has {}", words.join(" and ")),
    };
    let at = properties.first().map_or(link.at, |property| property.at);
    let message = if link.select.implied { what } else { format!("{what} (link \"{}\")", link.id) };
    let code = if link.select.implied { Code::DanglingReference } else { Code::NicMissing };
    let severity = if link.optional { Severity::Warning } else { Severity::Error };
    let hint = hint(link, &nics, &properties, found);
    Diagnostic::new(code, at, message).hint(hint).severity(severity)
}

/// Why a partially matching NIC does not match: `eth0 has the MAC address X, but not the driver Y`.
fn near_miss(
    nics: &[&ObservedLink],
    properties: &[Property<'_>],
    found: &HashMap<String, Vec<FoundNic>>,
) -> Option<String> {
    // The one with the most of them; of those the first that has the MAC address.
    let fits = |nic: &&&ObservedLink| {
        let has: Vec<bool> = properties.iter().map(|property| (property.has)(nic)).collect();
        (has.iter().filter(|has| **has).count(), has)
    };
    let nic = nics.iter().rev().max_by_key(fits).filter(|nic| fits(nic).0 > 0)?;
    let (has, lacks): (Vec<_>, Vec<_>) = properties.iter().partition(|property| (property.has)(nic));
    let words = |part: &[&Property<'_>]| {
        part.iter().map(|property| property.words.as_str()).collect::<Vec<_>>().join(" and ")
    };
    let name = &nic.name;
    if lacks.is_empty() {
        let (owner, _) = found.iter().find(|(_, nics)| nics.iter().any(|nic| nic.name == *name))?;
        return Some(format!("{name} has {}, and is link \"{owner}\" already; ", words(&has)));
    }
    let driver = if lacks.iter().any(|property| property.kind == PropertyKind::Driver) {
        format!(" (its driver is {})", if nic.driver.is_empty() { "unknown" } else { &nic.driver })
    } else {
        String::new()
    };
    let has = match &has[..] {
        [only] if only.kind == PropertyKind::Name(name) => "is there".to_owned(),
        _ => format!("has {}", words(&has)),
    };
    Some(format!("{name} {has}, but without {}{driver}; ", words(&lacks)))
}

/// The existing NICs, and the one that was probably meant.
fn hint(
    link: &Link,
    nics: &[&ObservedLink],
    properties: &[Property<'_>],
    found: &HashMap<String, Vec<FoundNic>>,
) -> String {
    if nics.is_empty() {
        return "this machine has no NICs: does the image have the driver?".to_owned();
    }
    let mac_of = |l: &ObservedLink| l.permanent_mac.or(l.mac);
    let mut hint = String::new();
    if let Some(near) = near_miss(nics, properties, found) {
        hint = near;
    } else if let Some(similar) = &link.select.similar {
        hint = format!("the description has a link \"{similar}\"; ");
    } else if let Some(mac) = link.select.mac {
        let apart =
            |l: &&ObservedLink| mac_of(l).and_then(|m| m.digits_apart(&mac.value)).filter(|d| *d <= 2);
        if let Some(near) = nics.iter().filter(|l| apart(l).is_some()).min_by_key(|l| apart(l)) {
            let digits = if apart(near) == Some(1) { "one digit" } else { "two digits" };
            hint = format!("{}'s differs in {digits}; ", near.name);
        }
    } else if let Some(Located { value: NamePattern::Exact(name), .. }) = &link.select.name {
        if let Some(near) = nearest(name, nics.iter().map(|l| l.name.as_str())) {
            hint = format!("did you mean {near}? ");
        }
    }
    const SHOWN: usize = 8;
    let list: Vec<String> = nics
        .iter()
        .take(SHOWN)
        .map(|l| mac_of(l).map_or_else(|| l.name.clone(), |mac| format!("{} {mac}", l.name)))
        .collect();
    let more = nics.len().saturating_sub(SHOWN);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{hint}NICs here: {}{and_more}", list.join(", "))
}

/// Creates a placeholder NIC for each link without one, and reports that once.
fn stand_in(
    links: &[&Link],
    inventory: &Inventory,
    found: &mut HashMap<String, Vec<FoundNic>>,
    diags: &mut Vec<Diagnostic>,
) {
    let mut names: HashSet<String> = inventory.links.iter().map(|l| l.name.clone()).collect();
    for (number, link) in links.iter().enumerate() {
        let requested = match &link.select.name {
            Some(Located { value: NamePattern::Exact(name), .. }) => name.as_str(),
            _ => link.id.as_str(),
        };
        let name = match IfName::new(requested) {
            Ok(name) if !names.contains(name.as_str()) => name.to_string(),
            _ => format!("nic{number}"),
        };
        names.insert(name.clone());
        found.insert(link.id.clone(), vec![FoundNic { name, by: MatchedBy::Nothing, stand_in: true }]);
    }
    if let Some(first) = links.first() {
        let ids: Vec<&str> = links.iter().map(|l| l.id.as_str()).collect();
        let message = format!("this machine lacks the NICs of {}: stand-ins are shown", ids.join(", "));
        diags.push(Diagnostic::new(Code::NicStandIn, first.at, message));
    }
}
