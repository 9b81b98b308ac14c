//! What interfaces files and cloud-init v1 share, as in `format`: NICs are identified by interface name, links by the
//! name that they are created with.

use foldhash::{HashMap, HashSet};

use super::{Losses, Names, Part, lacking_match};
use crate::model::{Address, IfName, Kind, Link, Located, NamePattern, Naming};

/// The name of each link, by its id.
pub(super) struct Called {
    names: HashMap<String, String>,
    taken: HashSet<String>,
}

impl Called {
    /// Software links keep their names, so that no NIC gets the same one.
    pub(super) fn new<'a>(links: impl Iterator<Item = &'a Link>, names: &Names<'_>) -> Self {
        let made = links.filter(|link| link.kind != Kind::Physical);
        let names: HashMap<String, String> =
            made.map(|link| (link.id.clone(), names.of(link).to_owned())).collect();
        Called { taken: names.values().cloned().collect(), names }
    }

    /// The name of a link; its id if it is not written.
    pub(super) fn of<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    /// Gives a link that is made another name.
    pub(super) fn rename(&mut self, id: &str, name: String) {
        self.names.insert(id.to_owned(), name);
    }

    /// Gives a NIC its name. False, with a diagnostic, where only the machine could tell it.
    pub(super) fn nic(&mut self, link: &Link, names: &Names<'_>, losses: &mut Losses) -> bool {
        let select = &link.select;
        let exact = match &select.name {
            Some(Located { value: NamePattern::Exact(name), .. }) => Some(name.as_str()),
            _ => None,
        };
        let beside =
            !select.drivers.is_empty() || select.pci.is_some() || (select.name.is_some() && exact.is_none());
        let by_name = exact.filter(|_| select.mac.is_none() && !beside);
        let given = match &link.naming {
            Naming::Set(name) | Naming::Alternative(name) => Some(name.value.as_str()),
            Naming::Keep | Naming::Generate => None,
        };
        let by_mac = select.mac.filter(|_| !beside);
        let is_name = |id: &&str| IfName::to_give(id).is_ok() && !id.contains('.') && !WORDS.contains(id);
        let id = Some(link.id.as_str()).filter(is_name);
        let guessed = by_mac.and_then(|_| given.or(exact).or(id));
        let Some(name) = by_name.or(names.nic(link)).or(guessed) else {
            losses.none(link, Part::Kind, link.at, names.unnamed(link));
            return false;
        };
        let is_taken = by_name.is_none() && self.taken.contains(name);
        let name = if is_taken { format!("nic{}", self.taken.len()) } else { name.to_owned() };
        match (by_name, by_mac) {
            (Some(_), _) => {
                // As it is read back: by the kernel's old naming.
                if select.position != position(&name) {
                    let what = format!("{} takes {name} for a NIC by its position, too", losses.tool);
                    losses.differs(link, Part::Select, link.at, what);
                }
                if !select.otherwise.is_empty() {
                    lacking_match(link, losses);
                }
            }
            (None, Some(mac)) => {
                let what = format!(
                    "{} knows NICs by their names: that of {} is written as {name}",
                    losses.tool, mac.value
                );
                losses.differs(link, Part::Select, mac.at, what);
            }
            (None, None) => {
                let what =
                    format!("{} has no such match: the NIC is matched by its name, {name}", losses.tool);
                losses.differs(link, Part::Select, link.at, what);
            }
        }
        self.taken.insert(name.clone());
        self.names.insert(link.id.clone(), name);
        true
    }
}

/// Words that are not names among the ports of a bridge (bridge-utils-interfaces(5)).
const WORDS: &[&str] = &["all", "none", "regex", "noregex", "glob", "noglob"];

/// The N of `ethN`.
fn position(name: &str) -> Option<usize> {
    let number = name.strip_prefix("eth").filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|number| number.parse().ok())
}

/// The names of the links that others depend on.
pub(super) fn referred(links: &[Link]) -> HashSet<String> {
    links
        .iter()
        .flat_map(|link| link.members.iter().chain(&link.parent))
        .map(|below| below.value.clone())
        .collect()
}

/// The peer of an address, if it has the prefix length that both formats assume.
pub(super) fn far_end(address: &Address) -> Option<String> {
    let peer = address.peer.filter(|peer| peer.prefix_len() == address.net.prefix_len());
    peer.map(|peer| peer.addr().to_string())
}
