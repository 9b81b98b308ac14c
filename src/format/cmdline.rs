//! The kernel command line: dracut.cmdline(7)'s `ip=`, `bond=`, `vlan=`, `bridge=`, `nameserver=`, `rd.route=`,
//! `ifname=` and klibc's `ip=`. [`tree`] parses it into a tree of values, [`read`] reads that.
//!
//! Parameters that create links are read first, then `ip=`, which may name them in any order. Where dracut's
//! network-legacy, klibc's ipconfig and systemd-network-generator differ, docs/cmdline.md says which is followed.

mod ip;
mod table;
mod words;

use foldhash::HashSet;

use super::debian::{Draft, dotted, made, vlan};
use super::keys::report;
use super::tree::{Entry, Node, Value};
use super::value::{self, bad, bond_option, interface_name, mac, mtu, name_servers, set_option};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::attribute::boolean;
use crate::model::{
    Desired, Kind, Link, LinkRef, Located, MacAddr, NamePattern, Naming, Place, Route, attribute,
};
#[allow(unused_imports)] // docs and tests walk it
pub(super) use table::OBJECTS;
use table::TOP;
pub(super) use words::tree;
use words::{parts, split};

/// Parameters that identify a kernel command line; one is enough.
const MARKS: &[&str] = &[
    "ip=",
    "nfsaddrs=",
    "bond=",
    "vlan=",
    "bridge=",
    "team=",
    "nameserver=",
    "rd.neednet",
    "rd.route=",
    "ifname=",
];

/// Whether a line is from a kernel command line. `key: ip=dhcp` is YAML, and `export ip=…` a script's.
pub(super) fn is_line(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let first = words.clone().next().unwrap_or_default();
    let is_other = first.ends_with(':') || first.starts_with(['-', '#', '"', '\'']) || first == "export";
    !is_other && words.any(|word| MARKS.iter().any(|mark| word.starts_with(mark)))
}

/// Reads the result of [`tree`].
pub(super) fn read(root: &Node, diags: &mut Vec<Diagnostic>) -> Desired {
    let Value::Map(entries) = &root.value else { return Desired::default() };
    let mut reader = Reader::default();
    let mut others: Vec<&str> = Vec::new();
    for entry in entries {
        if TOP.keys.iter().any(|key| key.name == entry.key) {
            diags.extend(report(&TOP, &entry.key, entry.key_at));
        } else {
            others.push(&entry.key);
        }
    }
    value::unrelated(&others, "parameters", diags);
    reader.boot = boot_nic(entries, diags);
    for entry in entries {
        match entry.key.as_str() {
            "ifname" => reader.ifname(&entry.value, diags),
            "bond" => reader.bond(&entry.value, diags),
            "bridge" => reader.bridge(&entry.value, diags),
            "vlan" => reader.vlan(&entry.value, diags),
            "team" => {
                reader.lost.extend(split(&entry.value).first().and_then(|n| n.text().map(str::to_owned)))
            }
            _ => {}
        }
    }
    reader.name_members();
    for entry in entries.iter().filter(|entry| matches!(entry.key.as_str(), "ip" | "nfsaddrs")) {
        reader.ip(&entry.value, diags);
    }
    reader.everywhere(diags);
    for entry in entries {
        match entry.key.as_str() {
            "nameserver" => {
                name_servers(&entry.value, "nameserver", &mut reader.draft.desired.resolver, diags)
            }
            "rd.route" => reader.route(&entry.value, diags),
            _ => {}
        }
    }
    for entry in entries {
        reader.option_of_leases(entry, diags);
    }
    reader.draft.finish(false, diags)
}

/// The NIC of an `ip=` without an interface.
#[derive(Debug)]
enum BootNic {
    Mac(Located<MacAddr>),
    Name(Located<String>),
}

/// `bootdev=`, else `BOOTIF=`, which PXE boot loaders write, unless `rd.bootif=0`.
fn boot_nic(entries: &[Entry], diags: &mut Vec<Diagnostic>) -> Option<BootNic> {
    let last = |key: &str| entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value);
    if let Some((node, name)) = last("bootdev").and_then(|node| Some((node, node.text()?))) {
        return Some(BootNic::Name(Located::new(name.to_owned(), node.at)));
    }
    if last("rd.bootif").and_then(Node::text).and_then(boolean) == Some(false) {
        return None;
    }
    let node = last("BOOTIF")?;
    let text = node.text()?;
    // The hardware type before the address: 01 is Ethernet's.
    let bare = text.get(3..).filter(|_| text.len() == 20).unwrap_or(text);
    mac(&Node::scalar(bare, node.at), "BOOTIF", diags).map(BootNic::Mac)
}

#[derive(Default)]
struct Reader {
    draft: Draft,
    boot: Option<BootNic>,
    /// Links that are not created; the reason has been reported.
    lost: HashSet<String>,
    /// The settings of an `ip=` that names no interface: for every link that no other `ip=` names.
    everywhere: Vec<ip::Wanted>,
    /// Links named in an `ip=`.
    addressed: HashSet<String>,
}

impl Reader {
    /// The link with this name; a NIC if it is not described.
    fn link(&mut self, name: &str, at: Place) -> Option<&mut Link> {
        if self.draft.link(name).is_none() {
            self.draft.add(nic(name, at));
        }
        self.draft.link(name)
    }

    /// `ifname=NAME:MAC`.
    fn ifname(&mut self, node: &Node, diags: &mut Vec<Diagnostic>) {
        let Some((name, rest)) = parts(node, 1) else { return };
        let Some(address) = rest else {
            diags.push(
                bad(Code::BadValue, node, "ifname", "it has no MAC address").hint("write ifname=NAME:MAC"),
            );
            return;
        };
        let [name] = &name[..] else { return };
        let (Some(given), Some(address)) =
            (interface_name(name, "ifname", diags), mac(&address, "ifname", diags))
        else {
            return;
        };
        let mut link = Link::new(given.value.as_str(), Kind::Physical, node.at);
        link.select.mac = Some(address);
        link.naming = Naming::Set(given);
        self.draft.add(link);
    }

    /// `bond=NAME[:MEMBERS[:OPTIONS[:MTU]]]`. Without members dracut uses eth0 and eth1.
    fn bond(&mut self, node: &Node, diags: &mut Vec<Diagnostic>) {
        let fields = split(node);
        let field = |index: usize| fields.get(index).filter(|n| !n.text().unwrap_or_default().is_empty());
        if let Some(extra) = fields.get(4) {
            diags.push(
                bad(Code::BadValue, extra, "bond", "more than a name, members, options and an MTU, left out")
                    .hint("write bond=NAME:MEMBER,MEMBER:OPTION=VALUE,OPTION=VALUE:MTU"),
            );
            return;
        }
        let name = field(0).cloned().unwrap_or_else(|| Node::scalar("bond0", node.at));
        let mut link = made(&name, Kind::Bond, diags);
        link.at = node.at;
        let default = Node::scalar("eth0,eth1", node.at);
        link.members = list(field(1).unwrap_or(&default));
        for option in field(2).map(items).unwrap_or_default() {
            bond_setting(&option, &mut link, diags);
        }
        if field(0).is_none() {
            if let Some(row) = bond_option("mode") {
                set_option(&mut link.settings, row, &Node::scalar("balance-rr", node.at), "bond", diags);
            }
        }
        link.mtu = field(3).and_then(|node| mtu(node, "bond", diags));
        self.draft.add(link);
    }

    /// `bridge=NAME:PORTS`. Without either dracut creates br0 with eth0.
    fn bridge(&mut self, node: &Node, diags: &mut Vec<Diagnostic>) {
        let fields = split(node);
        let is_bare = fields.iter().all(|n| n.text().unwrap_or_default().is_empty());
        let (name, ports) = match &fields[..] {
            _ if is_bare => (Node::scalar("br0", node.at), list(&Node::scalar("eth0", node.at))),
            [name, ports] => (name.clone(), list(ports)),
            _ => {
                let wrong = bad(Code::BadValue, node, "bridge", "not a name and ports, left out");
                diags.push(wrong.hint("write bridge=NAME:PORT,PORT"));
                return;
            }
        };
        let mut link = made(&name, Kind::Bridge, diags);
        link.at = node.at;
        link.members = ports;
        self.draft.add(link);
    }

    /// `vlan=NAME:PARENT`: the id is the number that the name ends in.
    fn vlan(&mut self, node: &Node, diags: &mut Vec<Diagnostic>) {
        let fields = split(node);
        let [name, parent] = &fields[..] else {
            let wrong = bad(Code::BadValue, node, "vlan", "not a name and the link below it, left out");
            diags.push(wrong.hint("write vlan=eth0.5:eth0"));
            return;
        };
        let text = name.text().unwrap_or_default();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let id = text.get(digits..).and_then(|digits| digits.parse::<u64>().ok()).filter(|id| *id <= 4094);
        let Some(id) = id.filter(|_| digits > 0) else {
            let wrong = bad(
                Code::BadValue,
                name,
                "vlan",
                "the name does not end in a VLAN id of 0 to 4094, left out",
            );
            diags.push(wrong.hint("call it vlan5, vlan0005, eth0.5 or eth0.0005"));
            return;
        };
        let mut link = made(name, Kind::Vlan, diags);
        link.at = node.at;
        let parent = Located::new(parent.text().unwrap_or_default().to_owned(), parent.at);
        vlan(&mut link, parent, Located::new(id, name.at));
        self.draft.add(link);
    }

    /// Members and parents without a parameter of their own are NICs of the machine.
    fn name_members(&mut self) {
        let links = &self.draft.desired.links;
        let named = links.iter().flat_map(|link| link.members.iter().chain(&link.parent));
        let named: Vec<LinkRef> = named.cloned().collect();
        for reference in named {
            let is_vlan = dotted(&reference.value).is_some();
            if self.draft.link(&reference.value).is_none() && !is_vlan {
                let mut link = nic(&reference.value, reference.at);
                link.select.implied = true;
                self.draft.add(link);
            }
        }
    }

    /// `rd.route=DESTINATION:[GATEWAY][:INTERFACE]`.
    fn route(&mut self, node: &Node, diags: &mut Vec<Diagnostic>) {
        let fields = split(node);
        let field = |index: usize| fields.get(index).filter(|n| !n.text().unwrap_or_default().is_empty());
        let Some(to) = field(0).filter(|_| matches!(fields.len(), 2 | 3)) else {
            let wrong =
                bad(Code::BadValue, node, "rd.route", "not a destination, a gateway and an interface");
            diags.push(wrong.hint("write rd.route=198.51.100.0/24:192.0.2.1:eth0"));
            return;
        };
        let Some(link) = field(2) else {
            if let Some(route) = value::route(Located::new(to, node.at), "rd.route", None, field(1), diags) {
                self.draft.route(route);
            }
            return;
        };
        let via = match field(1) {
            Some(node) => match value::gateway(node, "rd.route", diags) {
                Some(via) => Some(via.value),
                None => return,
            },
            None => None,
        };
        let family = via.map_or(crate::model::Family::V4, |via| crate::model::Family::of(&via));
        let Some(to) = value::destination(to, "rd.route", None, family, diags) else { return };
        let name = link.text().unwrap_or_default().to_owned();
        if self.is_lost(&name, link.at, diags) {
            return;
        }
        if let Some(link) = self.link(&name, link.at) {
            link.routes.push(Route::new(to, via, node.at));
        }
    }

    /// The settings of every link's lease.
    fn option_of_leases(&mut self, entry: &Entry, diags: &mut Vec<Diagnostic>) {
        let text = entry.value.text();
        match entry.key.as_str() {
            // Without a value it is a switch that is on, as in systemd.
            "rd.peerdns" => match text.map_or(Some(true), boolean) {
                Some(on) => {
                    for link in &mut self.draft.desired.links {
                        (link.dhcp4.use_name_servers, link.dhcp4.use_domains) = (on, on);
                    }
                }
                None => diags.push(bad(Code::BadValue, &entry.value, "rd.peerdns", "expected 0 or 1")),
            },
            "rd.net.dhcp.vendor-class" => {
                for link in &mut self.draft.desired.links {
                    link.dhcp4.vendor_class = text.map(str::to_owned);
                }
            }
            _ => {}
        }
    }

    /// Whether the link is not created; reports what it loses.
    fn is_lost(&self, name: &str, at: Place, diags: &mut Vec<Diagnostic>) -> bool {
        let lost = self.lost.contains(name);
        if lost {
            let message = format!("this is left out: its link \"{name}\" is");
            diags.push(Diagnostic::new(Code::LeftOut, at, message));
        }
        lost
    }
}

/// A NIC by its interface name.
fn nic(name: &str, at: Place) -> Link {
    let mut link = Link::new(name, Kind::Physical, at);
    // dracut writes ifname= for such a name (parse-ip-opts.sh), whether udev assigns it or not.
    let digits = name.strip_prefix("enx").filter(|digits| digits.len() == 12 && digits.is_ascii());
    let pairs = digits.map(|digits| {
        let pairs: Vec<&str> = (0..6).filter_map(|pair| digits.get(pair * 2..pair * 2 + 2)).collect();
        pairs.join(":")
    });
    if let Some(mac) = pairs.and_then(|text| text.parse::<MacAddr>().ok()) {
        link.select.mac = Some(Located::new(mac, at));
        return link;
    }
    link.select.name = Some(Located::new(NamePattern::Exact(name.to_owned()), at));
    link
}

/// Comma-separated values.
fn items(node: &Node) -> Vec<Node> {
    words::by(node, ',')
}

fn list(node: &Node) -> Vec<LinkRef> {
    let names =
        items(node).into_iter().filter_map(|item| Some(Located::new(item.text()?.to_owned(), item.at)));
    names.filter(|name| !name.value.is_empty()).collect()
}

/// `mode=802.3ad`; items of a list of addresses are separated by `;` or, in initscripts, `+`.
fn bond_setting(node: &Node, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let text = node.text().unwrap_or_default();
    let Some((name, value)) = text.split_once('=') else {
        let wrong = bad(Code::BadValue, node, "bond", "not OPTION=VALUE");
        diags.push(wrong.hint("write bond=NAME:MEMBERS:mode=802.3ad,miimon=100"));
        return;
    };
    let Some(row) = bond_option(name) else {
        let message = format!("unknown bond option \"{name}\", ignored");
        let unknown = Diagnostic::new(Code::UnknownKey, node.at, message);
        let names = attribute::of_kind(Kind::Bond).iter().map(|row| row.name);
        diags.push(match crate::diagnostic::nearest(name, names) {
            Some(near) => unknown.hint(format!("did you mean \"{near}\"?")),
            None => unknown,
        });
        return;
    };
    let is_list = matches!(row.name, "arp_ip_target" | "ns_ip6_target");
    let value = if is_list { value.replace([';', '+'], ",") } else { value.to_owned() };
    let at = Place { column: node.at.column + name.chars().count() as u32 + 1, ..node.at };
    set_option(&mut link.settings, row, &Node::scalar(&value, at), name, diags);
}

#[cfg(test)]
mod tests;
