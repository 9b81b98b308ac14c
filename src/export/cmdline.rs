//! Parameters of the kernel command line for dracut, dracut.cmdline(7): an address of each family, routes, name servers,
//! bonds, VLANs and bridges.

use std::fmt::Write as _;
use std::net::IpAddr;

use foldhash::HashSet;

use super::debian::Called;
use super::{
    File, Losses, Names, Part, expressible, lacking, lacking_address, lacking_dhcp, lacking_ipv6,
    lacking_match, lacking_route, machine_rules, other_protocol, whole_resolver,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::attribute::{self, Form, OptionValue};
use crate::model::{Activation, Desired, DesiredMac, Dynamic, Family, IfName, Kind, Link, Naming, Route};

/// The file as dracut reads it in /etc/cmdline.d of an initramfs: it has no comments.
pub(super) fn write(desired: &Desired, names: &Names<'_>, losses: &mut Losses) -> Vec<File> {
    let mut called = Called::new(desired.links.iter(), names);
    let links =
        expressible(desired, |link, losses| can_make(link, names, &mut called, losses), false, losses);
    machine_rules(desired, losses);
    if links.is_empty() {
        return Vec::new();
    }
    vlan_names(&links, &mut called, losses);
    let mut writer = Writer {
        called,
        bonds: links.iter().filter(|link| link.kind == Kind::Bond).collect(),
        host_name: desired.host_name.as_ref().map(|name| name.value.as_str()),
        words: vec!["rd.neednet=1".to_owned()],
    };
    let named: HashSet<&str> = links
        .iter()
        .flat_map(|link| link.members.iter().chain(&link.parent))
        .map(|other| other.value.as_str())
        .collect();
    for link in &links {
        let before = writer.words.len();
        writer.link(link, losses);
        if writer.words.len() == before && !named.contains(link.id.as_str()) {
            let what = "no parameter brings up a link without an address: it is not named";
            losses.differs(link, Part::Kind, link.at, what);
        }
    }
    let resolver = whole_resolver(desired, &links);
    for server in &resolver.servers {
        // It has no other part, so dracut takes it as it is.
        writer.words.push(format!("nameserver={}", server.value));
    }
    if let Some(domain) = resolver.search.first() {
        let message = "the command line has no search domains, left out";
        losses.push("", Part::Resolver, Diagnostic::new(Code::NotInFormat, domain.at, message));
    }
    if let (Some(name), Some(_)) = (&desired.host_name, writer.host_name) {
        let message =
            format!("the command line has a host name beside an address only ({}), left out", name.value);
        losses.push("", Part::HostName, Diagnostic::new(Code::NotInFormat, name.at, message));
    }
    let text = writer.words.join(" ") + "\n";
    vec![File { name: "50-netapply.conf".to_owned(), mode: 0o644, group: None, text }]
}

fn can_make(link: &Link, names: &Names<'_>, called: &mut Called, losses: &mut Losses) -> bool {
    let lacks = match link.kind {
        Kind::Physical => return called.nic(link, names, losses),
        Kind::Bond | Kind::Bridge => None,
        Kind::Vlan if other_protocol(link).is_some() => Some("VLANs of protocol 802.1ad".to_owned()),
        Kind::Vlan => None,
        kind => Some(kind.noun().to_owned()),
    };
    if let Some(what) = &lacks {
        losses.none(link, Part::Kind, link.at, what);
    }
    lacks.is_none()
}

/// The id of a VLAN is what its name ends with: one that says another gets a name that does not.
fn vlan_names(links: &[Link], called: &mut Called, losses: &mut Losses) {
    for link in links.iter().filter(|link| link.kind == Kind::Vlan) {
        let (Some(id), Some(parent)) = (link.settings.number("id"), &link.parent) else { continue };
        let name = called.of(&link.id);
        let says = |name: &str| {
            let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            name.get(digits..).and_then(|digits| digits.parse::<i64>().ok()) == Some(id)
        };
        if says(name) {
            continue;
        }
        let long = format!("{}.{id}", called.of(&parent.value));
        let name = if IfName::new(&long).is_ok() { long } else { format!("vlan{id}") };
        let what = format!("dracut reads the id of a VLAN from its name: it is called {name}");
        losses.differs(link, Part::Naming, link.at, what);
        called.rename(&link.id, name);
    }
}

struct Writer<'a> {
    called: Called,
    bonds: Vec<&'a Link>,
    /// The name of the machine, until it is written.
    host_name: Option<&'a str>,
    words: Vec<String>,
}

/// An address as a part of a parameter whose parts have colons between them.
fn bracketed(ip: IpAddr) -> String {
    if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
}

impl Writer<'_> {
    fn link(&mut self, link: &Link, losses: &mut Losses) {
        let name = self.called.of(&link.id).to_owned();
        let members: Vec<String> = link.members.iter().map(|m| self.called.of(&m.value).to_owned()).collect();
        let members = members.join(",");
        let mtu = link.mtu.map(|mtu| mtu.value.get());
        let mut mtu_is_written = false;
        match link.kind {
            Kind::Physical => self.nic(link, &name, losses),
            Kind::Bond => {
                let options = self.bond(link, losses);
                let mut word = format!("bond={name}:{members}:{options}");
                if let Some(mtu) = mtu {
                    let _ = write!(word, ":{mtu}");
                    mtu_is_written = true;
                }
                self.words.push(word);
            }
            Kind::Bridge => {
                self.words.push(format!("bridge={name}:{members}"));
                self.bridge(link, losses);
                if let Some(first) = link.vlans.as_ref().and_then(|vlans| vlans.first()) {
                    losses.none(link, Part::Vlans, first.at, "VLANs of a bridge");
                }
            }
            _ => {
                let parent = link.parent.as_ref().map_or("", |parent| self.called.of(&parent.value));
                self.words.push(format!("vlan={name}:{parent}"));
            }
        }
        let mac = match link.mac.map(|mac| (mac.value, mac.at)) {
            Some((DesiredMac::Is(mac), _)) => Some(mac),
            Some((_, at)) => {
                losses.none(link, Part::Mac, at, "such a MAC address");
                None
            }
            None => None,
        };
        let tail = match (mtu.filter(|_| !mtu_is_written), mac) {
            (None, None) => String::new(),
            (mtu, mac) => {
                let mtu = mtu.map(|mtu| mtu.to_string()).unwrap_or_default();
                format!(":{mtu}{}", mac.map(|mac| format!(":{mac}")).unwrap_or_default())
            }
        };
        if !self.addresses(link, &name, &tail, losses) && !tail.is_empty() {
            // The kernel gives a bond's MTU to its members.
            let of_bond = self.bonds.iter().find(|bond| bond.members.iter().any(|m| m.value == link.id));
            let follows =
                of_bond.is_some_and(|bond| bond.mtu.map(|mtu| mtu.value) == link.mtu.map(|mtu| mtu.value));
            if let Some(mtu) = link.mtu.filter(|_| !mtu_is_written && !follows) {
                losses.none(link, Part::Mtu, mtu.at, "MTU of a link without an address");
            }
            if let Some(mac) = link.mac {
                losses.none(link, Part::Mac, mac.at, "MAC address of a link without an IP address");
            }
        }
        let parts = [
            Part::Features,
            Part::Tuning,
            Part::Remotes,
            Part::Forwarding,
            Part::Promiscuous,
            Part::WakeOnLan,
            Part::IgnoreCarrier,
            Part::Activation,
            Part::Port,
            Part::Rules,
            Part::Optional,
        ];
        lacking(link, &parts, losses);
        if link.kind != Kind::Bridge {
            lacking(link, &[Part::Vlans], losses);
        }
        if link.activation == Activation::Manual {
            losses.differs(link, Part::Activation, link.at, "dracut brings up every link that it is told of");
        }
    }

    /// What the kernel has off anyway is not lost.
    fn bridge(&self, link: &Link, losses: &mut Losses) {
        let is_off = |option: &str, value: &OptionValue| {
            matches!(option, "stp_state" | "vlan_filtering") && *value == OptionValue::Bool(false)
        };
        for (option, setting) in link.settings.0.iter().filter(|(name, set)| !is_off(name, &set.value)) {
            losses.none(link, Part::Settings, setting.at, format_args!("bridge option {option}"));
        }
    }

    fn nic(&mut self, link: &Link, name: &str, losses: &mut Losses) {
        lacking(link, &[Part::Settings], losses);
        lacking_match(link, losses);
        if let Some(mac) = link.select.mac {
            self.words.push(format!("ifname={name}:{}", mac.value));
            if !matches!(&link.naming, Naming::Set(own) if own.value.as_str() == name) {
                let what = format!("dracut renames a NIC that is matched by its MAC address: to {name}");
                losses.differs(link, Part::Naming, link.at, what);
            }
            return;
        }
        match &link.naming {
            Naming::Set(own) if own.value.as_str() != name => {
                losses.none(link, Part::Naming, own.at, format_args!("name to give a NIC ({})", own.value));
            }
            Naming::Alternative(own) => {
                let what = format!("dracut has no alternative names: {} is none of the NIC", own.value);
                losses.differs(link, Part::Naming, own.at, what);
            }
            _ => {}
        }
    }

    /// The options of a bond, by the kernel's names.
    fn bond(&self, link: &Link, losses: &mut Losses) -> String {
        let mut options = Vec::new();
        for (option, setting) in &link.settings.0 {
            let is_link = attribute::of(Kind::Bond, option).is_some_and(|row| row.form == Form::Link);
            match &setting.value {
                OptionValue::Text(id) if is_link => options.push(format!("{option}={}", self.called.of(id))),
                // There are commas between options.
                OptionValue::Ips(ips) if ips.len() > 1 => {
                    losses.none(
                        link,
                        Part::Settings,
                        setting.at,
                        format_args!("{option} of several addresses"),
                    );
                }
                OptionValue::Ips(ips) if ips.iter().any(IpAddr::is_ipv6) => {
                    losses.none(link, Part::Settings, setting.at, format_args!("{option} of IPv6"));
                }
                OptionValue::Mac(_) => {
                    losses.none(link, Part::Settings, setting.at, format_args!("bond option {option}"));
                }
                other => options.push(format!("{option}={other}")),
            }
        }
        options.join(",")
    }

    /// The `ip=` parameters of a link, and its routes. False where there is none that could carry an MTU.
    fn addresses(&mut self, link: &Link, name: &str, tail: &str, losses: &mut Losses) -> bool {
        let accept = link.ipv6.accept_ra.is_some_and(|accept| accept.value)
            || link.asks(Dynamic::RouterAdvertisements);
        let mut tail = Some(tail);
        let mut words: Vec<String> = Vec::new();
        for (is_asked, word) in [
            (link.asks(Dynamic::Dhcp4), "dhcp"),
            (link.asks(Dynamic::Dhcp6), "dhcp6"),
            (accept && !link.asks(Dynamic::Dhcp6), "auto6"),
        ] {
            if is_asked {
                words.push(format!("ip={name}:{word}{}", tail.take().unwrap_or_default()));
            }
        }
        let six = link.addresses.iter().find(|address| address.net.addr().is_ipv6());
        if link.ipv6.accept_ra.is_none() && link.asks(Dynamic::Dhcp6) {
            losses.differs(link, Part::Ipv6, link.at, "DHCPv6 of dracut comes with router advertisements");
        } else if let Some(address) = six.filter(|_| link.ipv6.static_alone && link.ipv6.accept_ra.is_none())
        {
            let what = "the described IPv6 addresses are to be the only ones: dracut takes those that routers advertise, too";
            losses.differs(link, Part::Ipv6, address.at, what);
        }
        lacking_dhcp(link, &[], losses);
        lacking_ipv6(link, if accept { &["accept_ra"] } else { &[] }, losses);
        let mut routes: Vec<&Route> = link.routes.iter().collect();
        for address in &link.addresses {
            if !lacking_address(link, address, &[], losses) {
                continue;
            }
            let family = Family::of(&address.net.addr());
            let own = routes
                .iter()
                .position(|route| route.is_default() && route.family() == family && route.metric.is_none());
            let gateway =
                own.map(|at| routes.remove(at)).filter(|route| lacking_route(link, route, true, losses));
            let gateway = gateway.and_then(|route| route.via);
            let gateway = gateway.map(bracketed).unwrap_or_default();
            let mask = match address.net {
                ipnet::IpNet::V4(net) => net.netmask().to_string(),
                ipnet::IpNet::V6(net) => net.prefix_len().to_string(),
            };
            let host = self.host_name.take().unwrap_or_default();
            let ip = bracketed(address.net.addr());
            let tail = tail.take().unwrap_or_default();
            words.push(format!("ip={ip}::{gateway}:{mask}:{host}:{name}:none{tail}"));
        }
        for route in routes {
            if !lacking_route(link, route, true, losses) {
                continue;
            }
            let Some(via) = route.via else {
                losses.none(
                    link,
                    Part::Routes,
                    route.at,
                    format_args!("route to {} without a gateway", route.to),
                );
                continue;
            };
            if let Some(metric) = route.metric {
                losses.none(link, Part::Routes, route.at, format_args!("metric of a route ({metric})"));
            }
            let to = match route.to.addr() {
                IpAddr::V6(ip) => format!("[{ip}]/{}", route.to.prefix_len()),
                IpAddr::V4(_) => route.to.to_string(),
            };
            words.push(format!("rd.route={to}:{}:{name}", bracketed(via)));
        }
        let is_there = words.iter().any(|word| word.starts_with("ip="));
        self.words.append(&mut words);
        is_there
    }
}
