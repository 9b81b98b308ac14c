//! One `iface` stanza: its header, and the options that concern only its own link.

use foldhash::HashMap;

use super::dhcp::dhcp;
use super::table::{IFACE, REPEATED, TOP};
use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::format::debian::{Method, desired_mac, subnet};
use crate::format::keys::Fields;
use crate::format::tree::{Duplicate, Entry, Node, Value};
use crate::format::value::{bad, boolean, mac_to_set, mtu, number, set_option, text, words};
use crate::model::attribute;
use crate::model::{Activation, AddressGeneration, DesiredMac, Dynamic, Family, Kind, Link, Located, Place};

/// A stanza.
pub(super) struct Stanza<'a> {
    /// As written: `eth0`, `eth0:1`.
    pub(super) name: &'a str,
    pub(super) at: Place,
    /// `None` if the header is `iface NAME` alone, as ifupdown-ng and ifupdown2 have it.
    family: Option<Family>,
    method: Option<Method>,
    /// The method if it creates a tunnel: `tunnel`, `v4tunnel`.
    pub(super) tunnel: Option<&'a str>,
    pub(super) entries: &'a [Entry],
    node: &'a Node,
}

/// Methods by family; `None` is either.
const METHODS: &[(Option<Family>, &str, Method)] = &[
    (None, "static", Method::Static),
    (None, "manual", Method::Manual),
    (None, "loopback", Method::Loopback),
    (Some(Family::V4), "dhcp", Method::Dhcp4),
    (Some(Family::V6), "dhcp", Method::Dhcp6),
    (Some(Family::V6), "auto", Method::Slaac),
    (None, "tunnel", Method::Static),
    (Some(Family::V6), "v4tunnel", Method::Static),
    (Some(Family::V6), "6to4", Method::OfKind),
];

/// Methods that create a tunnel.
const TUNNELS: &[&str] = &["tunnel", "v4tunnel", "6to4"];

/// Prefixes of options that `debian` and `eni` read, and `Fields` does not know.
const ELSEWHERE: &[&str] = &["bond-", "bridge-", "bond_", "bridge_", "slaves"];

impl<'a> Stanza<'a> {
    /// Reads the header, which is the entry's key. `None`, with a diagnostic, if netapply does not support it.
    pub(super) fn read(entry: &'a Entry, diags: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut header = entry.key.split(' ').skip(1);
        let at = entry.key_at;
        let entries = match &entry.value.value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        let Some(name) = header.next() else {
            diags.push(Diagnostic::new(Code::MissingKey, at, "iface without the name of an interface"));
            return None;
        };
        let mut stanza =
            Stanza { name, at, family: None, method: None, tunnel: None, entries, node: &entry.value };
        match (header.next(), header.next()) {
            (None, _) => {}
            (Some(family), method) => {
                stanza.family = Some(match family {
                    "inet" => Family::V4,
                    "inet6" => Family::V6,
                    _ => {
                        let message =
                            format!("\"{name}\": address family {family} cannot be configured, left out");
                        let wrong = Diagnostic::new(Code::Unsupported, at, message);
                        diags.push(match nearest(family, ["inet", "inet6"]) {
                            Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
                            None => wrong,
                        });
                        return None;
                    }
                });
                match method {
                    Some(method) => {
                        stanza.method = Some(stanza.known_method(method, diags)?);
                        stanza.tunnel = TUNNELS.contains(&method).then_some(method);
                        // ifupdown's tunnels may have no address of their own.
                        let is_static = stanza.method == Some(Method::Static);
                        if stanza.tunnel.is_some() && is_static && stanza.get("address").is_none() {
                            stanza.method = Some(Method::Manual);
                        }
                        // For `inet6 tunnel` the family is that of the outer packets.
                        if method == "tunnel" && stanza.family == Some(Family::V6) {
                            stanza.family = None;
                        }
                    }
                    // ifupdown2 accepts it, ifupdown does not.
                    None => {
                        let message =
                            format!("\"{name}\" has a family but no method: assuming {}", stanza.implied().0);
                        diags.push(
                            Diagnostic::new(Code::MissingKey, at, message)
                                .severity(Severity::Warning)
                                .hint("add static, dhcp, manual or (inet6) auto"),
                        );
                    }
                }
                let rest: Vec<&str> = header.collect();
                if !rest.is_empty() {
                    let message = format!("\"{}\" after the method is ignored", rest.join(" "));
                    diags.push(Diagnostic::new(Code::BadValue, at, message).severity(Severity::Warning));
                }
            }
        }
        Some(stanza)
    }

    fn known_method(&self, word: &str, diags: &mut Vec<Diagnostic>) -> Option<Method> {
        let fits = |family: &Option<Family>| family.is_none() || *family == self.family;
        let mut methods = METHODS.iter().filter(|(family, _, _)| fits(family));
        if let Some((_, _, method)) = methods.clone().find(|(_, name, _)| *name == word) {
            return Some(*method);
        }
        let message = format!("\"{}\": method {word} cannot be configured, left out", self.name);
        let wrong = Diagnostic::new(Code::Unsupported, self.at, message);
        let near = nearest(word, methods.by_ref().map(|(_, name, _)| *name));
        diags.push(match near {
            Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
            None => wrong,
        });
        None
    }

    /// The interface that the stanza configures: `eth0` for the alias `eth0:1`.
    pub(super) fn base(&self) -> &'a str {
        self.name.split(':').next().unwrap_or(self.name)
    }

    /// The value of an option, the last if it is repeated.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        let entry = self.entries.iter().rev().find(|e| e.key == key);
        entry.map(|e| &e.value).filter(|n| !matches!(n.value, Value::Null))
    }

    /// The default method is static if the stanza has an address.
    fn implied(&self) -> (&'static str, Method) {
        match self.get("address") {
            Some(_) => ("static", Method::Static),
            None if self.get("gateway").is_some() => ("static", Method::Routes),
            None if self.base() == super::LOOPBACK => ("loopback", Method::Loopback),
            None => ("manual", Method::Manual),
        }
    }

    fn method(&self) -> Method {
        self.method.unwrap_or(self.implied().1)
    }

    /// `use bond`, with which ifupdown-ng declares a stanza's kind.
    pub(super) fn uses(&self, what: &str) -> bool {
        let nodes = self.entries.iter().filter(|e| e.key == "use").map(|e| &e.value);
        let is_it = |node: &Node| node.text() == Some(what);
        nodes.into_iter().any(|node| is_it(node) || node.items().iter().any(is_it))
    }

    /// Reads the options that concern only the stanza's link.
    pub(super) fn apply(&self, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        let elsewhere = |key: &str| ELSEWHERE.iter().any(|prefix| key.starts_with(prefix));
        let others = |key: &str| elsewhere(key) || top_word(key).is_some();
        let Some(mut fields) = Fields::with_others(self.node, &IFACE, others, diags) else { return };
        for (entry, word) in self.entries.iter().filter_map(|entry| Some((entry, top_word(&entry.key)?))) {
            let message = format!("unknown key \"{}\" in an iface stanza, ignored", entry.key);
            let hint = format!("it is written with a dash: {word}");
            diags.push(Diagnostic::new(Code::UnknownKey, entry.key_at, message).hint(hint));
        }
        if let Some(node) = fields.get("link-down") {
            if boolean(node, "link-down", diags).is_some_and(|down| down.value) {
                link.activation = Activation::Off;
            }
        }
        fields.repeats = true;
        self.report_repeated(diags);
        let before = link.addresses.len();
        subnet(&fields, Located::new(self.method(), self.at), self.family, link, diags);
        if self.uses("dhcp") {
            link.dynamic.push(Located::new(Dynamic::Dhcp4, self.at));
        }
        let asks = self.uses("dhcp") || self.method() == Method::Dhcp4;
        dhcp(&fields, asks, &mut link.dhcp4, diags);
        if self.name != self.base() && self.name.len() <= 15 {
            let added = link.addresses.iter_mut().skip(before).filter(|a| a.net.addr().is_ipv4());
            added.for_each(|address| address.label = Some(self.name.to_owned()));
        }
        self.mtu(&fields, link, diags);
        if let Some(node) = fields.get("hwaddress").or(fields.get("hwaddr")) {
            hwaddress(node, link, diags);
        }
        for (key, feature) in OFFLOADS {
            // ifupdown2 has the words in the other order: rx-offload.
            let other = key.strip_prefix("offload-").map(|what| format!("{what}-offload"));
            for key in [Some(*key), other.as_deref()].into_iter().flatten() {
                let Some(on) = fields.get(key).and_then(|node| boolean(node, key, diags)) else { continue };
                link.features.extend(feature.iter().map(|feature| (*feature, on)));
            }
        }
        for (key, name) in PARAMETERS {
            if let (Some(node), Some(row)) = (fields.get(key), attribute::parameter(name)) {
                set_option(&mut link.tuning, row, node, key, diags);
            }
        }
        let mut flag = |key| fields.get(key).and_then(|node| boolean(node, key, diags));
        link.forwarding = flag("ip-forward").or_else(|| flag("forward-ipv4")).or(link.forwarding);
        let of_v6 = flag("ip6-forward").or_else(|| flag("forward-ipv6"));
        link.ipv6.forwarding = of_v6.or(link.ipv6.forwarding);
        if let Some(on) = flag("ipv6-addrgen") {
            let generation = if on.value { AddressGeneration::Eui64 } else { AddressGeneration::None };
            link.ipv6.generation = Some(Located::new(generation, on.at));
        }
        if let Some(node) = fields.get("ethernet-wol") {
            wake_on_lan(node, link, diags);
        }
        let level = |key: &str, diags: &mut Vec<Diagnostic>| {
            let level = fields.get(key).and_then(|n| number(n, key, 0..=2, diags));
            level.map(|l| Located::new(l.value > 0, l.at))
        };
        for key in ["accept-ra", "ipv6-accept-ra"] {
            link.ipv6.accept_ra = level(key, diags).or(link.ipv6.accept_ra);
        }
        for key in ["autoconf", "ipv6-autoconf"] {
            link.ipv6.autoconf = level(key, diags).or(link.ipv6.autoconf);
        }
        link.ipv6.privacy = level("privext", diags).or(link.ipv6.privacy);
        if self.family == Some(Family::V6) {
            let asks = level("dhcp", diags).filter(|asks| asks.value);
            link.ipv6.information = asks.or(link.ipv6.information);
        }
    }

    /// ifupdown refuses a repeated option, the others use the last one.
    fn report_repeated(&self, diags: &mut Vec<Diagnostic>) {
        let mut seen: HashMap<&str, Place> = HashMap::default();
        for entry in self.entries.iter().filter(|e| !REPEATED.contains(&e.key.as_str())) {
            if let Some(first) = seen.insert(&entry.key, entry.key_at) {
                let duplicate = Duplicate { key: entry.key.clone(), at: entry.key_at, first };
                diags.push(duplicate.last_is_used());
            }
        }
    }

    /// ifupdown sets the link's MTU from either family's stanza. If both have one, the second is that of IPv6.
    fn mtu(&self, fields: &Fields, link: &mut Link, diags: &mut Vec<Diagnostic>) {
        let Some(bytes) = fields.get("mtu").and_then(|n| mtu(n, "mtu", diags)) else { return };
        match link.mtu {
            Some(of_link) if self.family == Some(Family::V6) && of_link.value != bytes.value => {
                link.ipv6.mtu = Some(Located::new(bytes.value.get(), bytes.at));
            }
            _ => link.mtu = Some(bytes),
        }
    }
}

/// A word outside a stanza that would be an option with a dash: `allow_hotplug`. ifupdown takes it for an option that
/// nothing reads.
fn top_word(key: &str) -> Option<String> {
    let dashed = key.to_ascii_lowercase().replace('_', "-");
    let known = dashed.starts_with("allow-") || TOP.keys.iter().any(|top| top.name == dashed);
    (key.contains('_') && known).then_some(dashed)
}

/// The options of Debian's ethtool package, and ethtool's features for them.
pub(crate) const OFFLOADS: &[(&str, &[&str])] = &[
    ("offload-rx", &["rx-checksum"]),
    ("offload-tx", &["tx-checksumming"]),
    ("offload-tso", &["tx-tcp-segmentation", "tx-tcp6-segmentation"]),
    ("offload-gso", &["tx-generic-segmentation"]),
    ("offload-gro", &["rx-gro"]),
    ("offload-lro", &["rx-lro"]),
    ("rx-vlan-filter", &["rx-vlan-filter"]),
];

/// The options of Debian's ethtool package and of ifupdown2, and the parameters of [`attribute::NIC`] for them.
pub(crate) const PARAMETERS: &[(&str, &str)] = &[
    ("link-autoneg", "autoneg"),
    ("ethernet-autoneg", "autoneg"),
    ("link-speed", "speed"),
    ("link-duplex", "duplex"),
    ("ethernet-pause-autoneg", "pause-autoneg"),
    ("ethernet-pause-rx", "pause-rx"),
    ("ethernet-pause-tx", "pause-tx"),
    ("hardware-dma-ring-rx", "ring-rx"),
    ("hardware-dma-ring-rx-mini", "ring-rx-mini"),
    ("hardware-dma-ring-rx-jumbo", "ring-rx-jumbo"),
    ("hardware-dma-ring-tx", "ring-tx"),
    ("ring-rx", "ring-rx"),
    ("ring-tx", "ring-tx"),
    ("hardware-irq-coalesce-adaptive-rx", "coalesce-adaptive-rx"),
    ("hardware-irq-coalesce-adaptive-tx", "coalesce-adaptive-tx"),
    ("hardware-irq-coalesce-pkt-rate-high", "coalesce-pkt-rate-high"),
    ("hardware-irq-coalesce-pkt-rate-low", "coalesce-pkt-rate-low"),
    ("hardware-irq-coalesce-rx-frames", "coalesce-rx-frames"),
    ("hardware-irq-coalesce-rx-frames-high", "coalesce-rx-frames-high"),
    ("hardware-irq-coalesce-rx-frames-irq", "coalesce-rx-frames-irq"),
    ("hardware-irq-coalesce-rx-frames-low", "coalesce-rx-frames-low"),
    ("hardware-irq-coalesce-rx-usecs", "coalesce-rx-usecs"),
    ("hardware-irq-coalesce-rx-usecs-high", "coalesce-rx-usecs-high"),
    ("hardware-irq-coalesce-rx-usecs-irq", "coalesce-rx-usecs-irq"),
    ("hardware-irq-coalesce-rx-usecs-low", "coalesce-rx-usecs-low"),
    ("hardware-irq-coalesce-sample-interval", "coalesce-sample-interval"),
    ("hardware-irq-coalesce-stats-block-usecs", "coalesce-stats-block-usecs"),
    ("hardware-irq-coalesce-tx-frames", "coalesce-tx-frames"),
    ("hardware-irq-coalesce-tx-frames-high", "coalesce-tx-frames-high"),
    ("hardware-irq-coalesce-tx-frames-irq", "coalesce-tx-frames-irq"),
    ("hardware-irq-coalesce-tx-frames-low", "coalesce-tx-frames-low"),
    ("hardware-irq-coalesce-tx-usecs", "coalesce-tx-usecs"),
    ("hardware-irq-coalesce-tx-usecs-high", "coalesce-tx-usecs-high"),
    ("hardware-irq-coalesce-tx-usecs-irq", "coalesce-tx-usecs-irq"),
    ("hardware-irq-coalesce-tx-usecs-low", "coalesce-tx-usecs-low"),
];

/// ethtool's letters for wake-up events: `g` is the magic packet, `d` nothing.
fn wake_on_lan(node: &Node, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let Some(letters) = text(node, "ethernet-wol", diags) else { return };
    match letters {
        "g" | "d" => link.wake_on_lan = Some(Located::new(letters == "g", node.at)),
        _ => diags.push(
            bad(Code::Unsupported, node, "ethernet-wol", "only g (magic packet) and d (off) can be set")
                .severity(Severity::Warning),
        ),
    }
}

/// `ether MAC`, `MAC` or `random`. Nova and people write a NIC's existing address to identify it, so for a NIC that is
/// its meaning. If no NIC has it, it is set on the one with the stanza's name, as ifupdown does.
fn hwaddress(node: &Node, link: &mut Link, diags: &mut Vec<Diagnostic>) {
    let Some(word) = words(node, "hwaddress", diags).into_iter().next_back() else { return };
    if word.value == "random" {
        link.mac = Some(Located::new(DesiredMac::Random, word.at));
        return;
    }
    let one = Node::scalar(word.value, word.at);
    if link.kind != Kind::Physical {
        desired_mac(&one, "hwaddress", link, diags);
    } else if let Some(mac) = mac_to_set(&one, "hwaddress", diags) {
        link.select.mac = Some(mac);
        link.select.name = None;
        link.select.otherwise = vec![Located::new(link.id.clone(), link.at)];
        link.select.position = None;
    }
}
