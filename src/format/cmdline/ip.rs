//! `ip=`: an interface with its method, or a static address with its settings.
//!
//! The fields are `CLIENT:PEER:GATEWAY:NETMASK:HOSTNAME:INTERFACE:METHOD`, followed by an MTU and a MAC address, or
//! name servers; klibc and the kernel call the second field the boot server and omit trailing fields.

use std::net::IpAddr;

use ipnet::IpNet;

use super::words::split;
use super::{BootNic, Reader, nic};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::Node;
use crate::format::value::{self, bad, gateway, host_name, interface_address, mac_to_set, mtu, name_servers};
use crate::model::{
    Address, AddressGeneration, DesiredMac, Dynamic, Family, Kind, Link, Located, NamePattern, Place, Route,
};

/// How an interface gets its addresses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// As described, or not at all.
    Static,
    Dhcp4,
    Dhcp6,
    /// Router advertisements.
    Auto6,
    /// Router advertisements, else DHCPv6.
    Either6,
    /// Only a link-local IPv6 address.
    Link6,
    /// iBFT's, which is a separate source.
    Ibft,
    /// Not supported by netapply, with the reason.
    Unsupported(&'static str),
}

const NO_BOOTP: &str = "only DHCP is asked for, not BOOTP or RARP";

/// The values of the seventh field.
const METHODS: &[(&str, Method)] = &[
    ("none", Method::Static),
    ("off", Method::Static),
    ("static", Method::Static),
    ("dhcp", Method::Dhcp4),
    ("dhcp4", Method::Dhcp4),
    ("on", Method::Dhcp4),
    ("any", Method::Dhcp4),
    ("single-dhcp", Method::Dhcp4),
    ("dhcp6", Method::Dhcp6),
    ("auto6", Method::Auto6),
    ("either6", Method::Either6),
    ("link6", Method::Link6),
    ("ibft", Method::Ibft),
    ("link-local", Method::Unsupported("IPv4 link-local addresses need a daemon that defends them")),
    ("bootp", Method::Unsupported(NO_BOOTP)),
    ("rarp", Method::Unsupported(NO_BOOTP)),
    ("both", Method::Unsupported(NO_BOOTP)),
];

fn method(word: &str) -> Option<Method> {
    METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, method)| *method)
}

/// The settings of an `ip=`.
#[derive(Default)]
pub(super) struct Wanted {
    at: Place,
    methods: Vec<Located<Method>>,
    address: Option<Address>,
    gateway: Option<Located<IpAddr>>,
    mtu: Option<Located<crate::model::Mtu>>,
    mac: Option<Located<crate::model::MacAddr>>,
    resolver: crate::model::Resolver,
}

/// A field, unless it is empty.
fn field(fields: &[Node], index: usize) -> Option<&Node> {
    fields.get(index).filter(|node| node.text().is_some_and(|text| !text.is_empty()))
}

impl Reader {
    /// One `ip=`.
    pub(super) fn ip(&mut self, node: &Node, diags: &mut Vec<Diagnostic>) {
        let fields = split(node);
        let text = |index: usize| field(&fields, index).and_then(Node::text).unwrap_or_default();
        let is_method = text(1).split(',').all(|word| method(word).is_some());
        // `eth0:dhpc` is no address.
        let is_name = fields.len() == 2 && text(0).parse::<IpAddr>().is_err();
        let short = !text(1).is_empty() && (is_method || is_name);
        let (device, wanted) = match fields.len() {
            0 | 1 if text(0).is_empty() => return,
            1 if text(0).parse::<IpAddr>().is_ok() => {
                let wrong = bad(Code::BadValue, node, "ip", "an address alone, left out");
                diags.push(wrong.hint(format!("write ip={}::GATEWAY:NETMASK::INTERFACE:none", text(0))));
                return;
            }
            1 => (None, Wanted { methods: methods(&fields[0], diags), ..Wanted::default() }),
            _ if short => {
                let mut wanted = Wanted { methods: methods(&fields[1], diags), ..Wanted::default() };
                wanted.mtu = field(&fields, 2).and_then(|node| mtu(node, "ip", diags));
                wanted.mac = mac_of(&fields, 3, diags);
                (field(&fields, 0).cloned(), wanted)
            }
            _ => (field(&fields, 5).cloned(), self.long(&fields, diags)),
        };
        let wanted = Wanted { at: node.at, ..wanted };
        let Some(device) = device else {
            if wanted.address.is_some() {
                self.without_device(wanted, diags);
            } else {
                self.everywhere.push(wanted);
            }
            return;
        };
        let (name, at) = (device.text().unwrap_or_default().to_owned(), device.at);
        if self.is_lost(&name, at, diags) {
            return;
        }
        // NetworkManager takes a MAC address with hyphens for the name.
        if let Some(address) = name.parse().ok().filter(|_| name.contains('-')) {
            if !self.addressed.contains(&name) {
                let mut link = Link::new(name.as_str(), Kind::Physical, at);
                link.select.mac = Some(Located::new(address, at));
                self.draft.add(link);
            }
        }
        self.addressed.insert(name.clone());
        if let Some(link) = self.link(&name, at) {
            wanted.apply(link, diags);
        }
    }

    /// The form with an address.
    fn long(&mut self, fields: &[Node], diags: &mut Vec<Diagnostic>) -> Wanted {
        let address = field(fields, 0).and_then(|n| interface_address(n, "ip", field(fields, 3), diags));
        let mut wanted = Wanted { address, ..Wanted::default() };
        peer(fields, &mut wanted, diags);
        wanted.gateway = field(fields, 2).and_then(|node| gateway(node, "ip", diags));
        if let Some(name) = field(fields, 4).and_then(|node| host_name(node, "ip", diags)) {
            self.draft.desired.host_name = Some(name);
        }
        match field(fields, 6) {
            Some(node) => wanted.methods = methods(node, diags),
            // klibc, the kernel and dracut request a lease by default.
            None if field(fields, 0).is_none() => {
                let at = fields.first().map_or(Place::NONE, |node| node.at);
                wanted.methods.push(Located::new(Method::Dhcp4, at));
            }
            None => {}
        }
        if let Some(node) =
            field(fields, 0).filter(|_| wanted.methods.iter().any(|m| m.value == Method::Dhcp4))
        {
            let message = "an address and DHCP: dracut refuses this; netapply, as systemd, sets the address and asks for a lease";
            diags.push(
                Diagnostic::new(Code::OptionConflict, node.at, message).hint("write none in place of dhcp"),
            );
        }
        rest(fields, &mut wanted, diags);
        wanted
    }

    /// A static address without an interface: for the NIC that the machine booted from, else for the only link.
    fn without_device(&mut self, wanted: Wanted, diags: &mut Vec<Diagnostic>) {
        let at = wanted.at;
        let name = match &self.boot {
            Some(BootNic::Name(name)) => name.value.clone(),
            Some(BootNic::Mac(mac)) => {
                let (id, mac) = (mac.value.to_string(), *mac);
                let known = self
                    .draft
                    .desired
                    .links
                    .iter()
                    .find(|l| l.select.mac.is_some_and(|m| m.value == mac.value));
                match known.map(|link| link.id.clone()) {
                    Some(id) => id,
                    None => {
                        let mut link = Link::new(id.as_str(), Kind::Physical, mac.at);
                        link.select.mac = Some(mac);
                        self.draft.add(link);
                        id
                    }
                }
            }
            None => {
                let links = self.free();
                match &links[..] {
                    [only] => only.clone(),
                    [] => {
                        // The only NIC of the machine; if there are several, an error names them.
                        let mut link = Link::new("boot-nic", Kind::Physical, at);
                        link.select.name = Some(Located::new(NamePattern::Glob("*".to_owned()), at));
                        link.select.many = true;
                        let id = link.id.clone();
                        self.draft.add(link);
                        id
                    }
                    _ => {
                        let message = format!(
                            "the address names no interface, and several are possible: {}",
                            links.join(", ")
                        );
                        let hint = "write the interface into the sixth field, or add bootdev=";
                        diags.push(Diagnostic::new(Code::NoLinkForNetwork, at, message).hint(hint));
                        return;
                    }
                }
            }
        };
        self.addressed.insert(name.clone());
        if let Some(link) = self.link(&name, at) {
            wanted.apply(link, diags);
        }
    }

    /// Links that no `ip=` names and that belong to no bond, bridge or VLAN.
    fn free(&self) -> Vec<String> {
        let links = &self.draft.desired.links;
        let used = |id: &str| {
            links.iter().any(|link| link.members.iter().chain(&link.parent).any(|below| below.value == id))
        };
        links
            .iter()
            .map(|link| link.id.clone())
            .filter(|id| !self.addressed.contains(id) && !used(id))
            .collect()
    }

    /// An `ip=` without an interface applies to every link that the command line names, and to the NIC that the machine
    /// booted from. Other NICs are left alone: `ip=dhcp` alone describes nothing.
    pub(super) fn everywhere(&mut self, diags: &mut Vec<Diagnostic>) {
        let everywhere = std::mem::take(&mut self.everywhere);
        let Some(first) = everywhere.first() else { return };
        let at = first.at;
        if let Some(BootNic::Name(name)) = &self.boot {
            let name = name.value.clone();
            if self.draft.link(&name).is_none() {
                self.draft.add(nic(&name, at));
            }
        }
        let free = self.free();
        let is_static = |wanted: &Wanted| wanted.methods.iter().all(|m| m.value == Method::Static);
        if free.is_empty() && !everywhere.iter().all(is_static) {
            let message = "an ip= without an interface leaves the NICs to the image: no parameter describes a link that it could mean";
            diags.push(
                Diagnostic::new(Code::LeftToOthers, at, message).hint("name the interface: ip=eth0:dhcp"),
            );
        }
        for name in free {
            for wanted in &everywhere {
                if let Some(link) = self.draft.link(&name) {
                    wanted.apply(link, diags);
                }
            }
        }
    }
}

/// The values of a method, of which dracut accepts several with commas between.
fn methods(node: &Node, diags: &mut Vec<Diagnostic>) -> Vec<Located<Method>> {
    let mut methods = Vec::new();
    for word in super::items(node) {
        let text = word.text().unwrap_or_default();
        match method(text) {
            Some(Method::Unsupported(why)) => diags.push(bad(Code::Unsupported, &word, "ip", why)),
            Some(Method::Ibft) => {
                let message = "the addresses of ip=ibft are those of the firmware's table, which is a source of its own";
                diags.push(
                    Diagnostic::new(Code::NoEffect, word.at, message)
                        .hint("add it: netapply.source=cmdline,ibft"),
                );
            }
            Some(method) => methods.push(Located::new(method, word.at)),
            None => diags.push(value::one_of(&word, "ip", METHODS.iter().map(|(name, _)| *name))),
        }
    }
    methods
}

/// The second field is the peer of a point-to-point address to dracut, and the boot server to klibc and the kernel. It
/// is taken for a peer if it has a prefix, or if the address has no subnet.
fn peer(fields: &[Node], wanted: &mut Wanted, diags: &mut Vec<Diagnostic>) {
    let Some(node) = field(fields, 1) else { return };
    let text = node.text().unwrap_or_default();
    let Some(address) = &mut wanted.address else { return };
    let family = Family::of(&address.net.addr());
    if !text.contains('/') && address.net.prefix_len() < family.bits() {
        let message =
            format!("{text} is taken for the boot server, as klibc and the kernel do, and not for a far end");
        diags.push(
            Diagnostic::new(Code::NoEffect, node.at, message)
                .hint(format!("for a far end write {text}/{} or the netmask 255.255.255.255", family.bits())),
        );
        return;
    }
    let net = match text.contains('/') {
        true => text.parse::<IpNet>().ok(),
        false => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    match net.filter(|net| Family::of(&net.addr()) == family) {
        Some(net) => address.peer = Some(net),
        None => diags.push(bad(Code::BadAddress, node, "ip", "not the address of a far end")),
    }
}

/// After the method: an MTU and a MAC address, or up to two name servers and a time server.
fn rest(fields: &[Node], wanted: &mut Wanted, diags: &mut Vec<Diagnostic>) {
    let is_ip =
        |index: usize| field(fields, index).and_then(Node::text).is_some_and(|t| t.parse::<IpAddr>().is_ok());
    if is_ip(7) || (field(fields, 7).is_none() && is_ip(8)) {
        for node in [7, 8].into_iter().filter_map(|index| field(fields, index)) {
            name_servers(node, "ip", &mut wanted.resolver, diags);
        }
        if let Some(node) = field(fields, 9) {
            let message = "the time server of ip= has no effect here: the clock is the image's";
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
        }
        return;
    }
    wanted.mtu = field(fields, 7).and_then(|node| mtu(node, "ip", diags));
    wanted.mac = mac_of(fields, 8, diags);
}

/// The MAC address in the fields from `first` on: six with colons between, or one with hyphens.
fn mac_of(
    fields: &[Node],
    first: usize,
    diags: &mut Vec<Diagnostic>,
) -> Option<Located<crate::model::MacAddr>> {
    let begin = field(fields, first)?;
    let parts: Vec<&str> = fields.get(first..)?.iter().filter_map(Node::text).collect();
    mac_to_set(&Node::scalar(&parts.join(":"), begin.at), "ip", diags)
}

impl Wanted {
    fn apply(&self, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        for method in &self.methods {
            let at = method.at;
            let mut ask = |dynamic: Dynamic| {
                if !link.asks(dynamic) {
                    link.dynamic.push(Located::new(dynamic, at));
                }
            };
            match method.value {
                Method::Dhcp4 => ask(Dynamic::Dhcp4),
                Method::Dhcp6 => {
                    // DHCPv6 provides no routes: they come from router advertisements.
                    ask(Dynamic::Dhcp6);
                    ask(Dynamic::RouterAdvertisements);
                }
                Method::Auto6 => ask(Dynamic::RouterAdvertisements),
                Method::Either6 => {
                    ask(Dynamic::RouterAdvertisements);
                    ask(Dynamic::Dhcp6);
                }
                Method::Link6 => {
                    link.ipv6.accept_ra = Some(Located::new(false, at));
                    link.ipv6.generation = Some(Located::new(AddressGeneration::Eui64, at));
                }
                Method::Static | Method::Ibft | Method::Unsupported(_) => {}
            }
            if link.asks(Dynamic::RouterAdvertisements) {
                link.ipv6.accept_ra = Some(Located::new(true, at));
            }
        }
        let asks = |dynamic: &&Located<Dynamic>| dynamic.value != Dynamic::RouterAdvertisements;
        let words: Vec<&str> = link.dynamic.iter().filter(asks).map(|d| d.value.words()).collect();
        if !words.is_empty() {
            let at = self.methods.first().map_or(self.at, |method| method.at);
            let message = format!(
                "\"{}\" asks for {}: a client of the image does, or netapply where none is enabled",
                link.id,
                words.join(" and ")
            );
            diags.push(Diagnostic::new(Code::LeftToOthers, at, message));
        }
        link.addresses.extend(self.address.clone());
        if let Some(via) = self.gateway {
            let to = Family::of(&via.value).everything();
            link.routes.push(Route::new(to, Some(via.value), via.at));
        }
        link.mtu = self.mtu.or(link.mtu);
        if let Some(mac) = self.mac {
            link.mac = Some(Located::new(DesiredMac::Is(mac.value), mac.at));
        }
        link.resolver.merge(&self.resolver);
    }
}
