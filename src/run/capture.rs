//! `netapply capture`: a description of the network that a machine has. Only what somebody configured: what the kernel made
//! of it, or a lease or router brought, comes again by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use foldhash::{HashMap, HashSet};

use super::convert::{Converted, give_out};
use super::dry_run::recorded;
use super::show::observed;
use super::{Exit, complain};
use crate::cli::Args;
use crate::export::{self, Tool};
use crate::format::Parsed;
use crate::handoff::resolv_conf;
use crate::inventory::{AddressEntry, AddressFlag, Inventory, ObservedLink, RouteEntry, SettingName};
use crate::machine::Machine;
use crate::model::attribute::{self, OptionValue};
use crate::model::{
    Activation, Address, AddressGeneration, AddressProtocol, Desired, DesiredMac, Dynamic, Family, IfName,
    Kind, Link, LinkLayer, Located, Mtu, NamePattern, Naming, NextHop, Place, Protocol, Resolver, Route,
    RouteKind, Rule, Scope, Settings,
};
use crate::order::Order as _;
use crate::plan::far_ends;
use crate::resolve::{Missing, resolve};

/// Exit code 4 where nothing is configured, 5 where the kernel cannot be read, else that of `convert`.
pub(super) fn capture(args: &Args, tool: Tool) -> Exit {
    let machine = Machine::default();
    let observed = match recorded(args) {
        Ok(Some(inventory)) => Ok(inventory),
        Ok(None) => observed(&machine),
        Err(exit) => return exit,
    };
    let inventory = match observed {
        Ok(inventory) => inventory,
        Err(why) => {
            complain(&why);
            return Exit::Refused;
        }
    };
    let mut captured = describe(&inventory);
    if args.inventory.is_none() {
        captured.take_name_servers(&machine);
        captured.take_addresses_that_were_set(&machine);
    }
    for what in &captured.left_out {
        complain(what);
    }
    if captured.desired.links.is_empty() {
        complain("nothing is configured on this machine");
        return Exit::NoDescription;
    }
    let (resolved, _) = resolve(&captured.desired, &inventory, Missing::StandIn);
    let exported = export::export(tool, &captured.desired, &resolved);
    let parsed = Parsed { desired: captured.desired, ..Parsed::default() };
    give_out(args, &Converted::new(args, parsed, exported))
}

/// A description of a machine, and what is no part of it although somebody may have configured it.
#[derive(Debug, Default)]
struct Captured {
    desired: Desired,
    left_out: Vec<String>,
}

/// The names of the tunnels that the kernel makes with a module, which nobody asked for.
const FALLBACK: &[&str] =
    &["tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0"];

/// What each option of a new link is, where it is neither 0, off nor empty: drivers/net/bonding/bond_options.c,
/// net/bridge/br_if.c, drivers/net/vxlan.
const USUAL: &[(Kind, &str, &str)] = &[
    (Kind::Bond, "arp_validate", "none"),
    (Kind::Bond, "arp_all_targets", "any"),
    (Kind::Bond, "use_carrier", "1"),
    (Kind::Bond, "missed_max", "2"),
    (Kind::Bond, "primary_reselect", "always"),
    (Kind::Bond, "fail_over_mac", "none"),
    (Kind::Bond, "xmit_hash_policy", "layer2"),
    (Kind::Bond, "resend_igmp", "1"),
    (Kind::Bond, "num_grat_arp", "1"),
    (Kind::Bond, "lp_interval", "1"),
    (Kind::Bond, "packets_per_slave", "1"),
    (Kind::Bond, "tlb_dynamic_lb", "1"),
    (Kind::Bond, "lacp_rate", "slow"),
    (Kind::Bond, "lacp_active", "on"),
    (Kind::Bond, "ad_select", "stable"),
    (Kind::Bond, "ad_actor_sys_prio", "65535"),
    (Kind::Bond, "ad_actor_system", "00:00:00:00:00:00"),
    (Kind::Bond, "coupled_control", "1"),
    (Kind::Bridge, "forward_delay", "1500"),
    (Kind::Bridge, "hello_time", "200"),
    (Kind::Bridge, "max_age", "2000"),
    (Kind::Bridge, "ageing_time", "30000"),
    (Kind::Bridge, "priority", "32768"),
    (Kind::Bridge, "vlan_protocol", "802.1Q"),
    (Kind::Bridge, "group_address", "01:80:c2:00:00:00"),
    (Kind::Bridge, "mcast_router", "1"),
    (Kind::Bridge, "mcast_snooping", "1"),
    (Kind::Bridge, "mcast_hash_max", "4096"),
    (Kind::Bridge, "mcast_hash_max", "512"),
    (Kind::Bridge, "mcast_last_member_count", "2"),
    (Kind::Bridge, "mcast_startup_query_count", "2"),
    (Kind::Bridge, "mcast_last_member_interval", "100"),
    (Kind::Bridge, "mcast_membership_interval", "26000"),
    (Kind::Bridge, "mcast_querier_interval", "25500"),
    (Kind::Bridge, "mcast_query_interval", "12500"),
    (Kind::Bridge, "mcast_query_response_interval", "1000"),
    (Kind::Bridge, "mcast_startup_query_interval", "3125"),
    (Kind::Bridge, "mcast_startup_query_interval", "3124"),
    (Kind::Bridge, "mcast_igmp_version", "2"),
    (Kind::Bridge, "mcast_mld_version", "1"),
    (Kind::Bridge, "vlan_default_pvid", "1"),
    (Kind::Vlan, "protocol", "802.1Q"),
    (Kind::Vxlan, "learning", "1"),
    (Kind::Vxlan, "ageing", "300"),
    (Kind::Vxlan, "udpcsum", "1"),
    (Kind::Vxlan, "df", "unset"),
];

/// The same of a port. The cost follows from the speed: 2 is that of 10 Gbit/s, 100 of 10 Mbit/s or an unknown one.
const USUAL_PORT: &[(&str, &[&str])] =
    &[("priority", &["32"]), ("learning", &["1"]), ("cost", &["2", "4", "5", "19", "100"])];

/// The description of what an inventory shows.
fn describe(inventory: &Inventory) -> Captured {
    let mut captured = Captured::default();
    let mut desired = Desired { closed: true, ..Desired::default() };
    let by_name: HashMap<&str, &ObservedLink> =
        inventory.links.iter().map(|link| (link.name.as_str(), link)).collect();
    let mut members: HashMap<&str, Vec<&str>> = HashMap::default();
    for link in &inventory.links {
        if let Some(controller) = &link.controller {
            members.entry(controller).or_default().push(&link.name);
        }
    }
    let look = Look { inventory, by_name, members };
    for link in &inventory.links {
        desired.links.extend(look.link(link, &mut captured.left_out));
    }
    drop_unused(&mut desired.links);
    let at: HashMap<String, usize> =
        desired.links.iter().enumerate().map(|(at, link)| (link.id.clone(), at)).collect();
    look.routes(&at, &mut desired.links, &mut captured.left_out);
    for rule in &inventory.rules {
        if rule.foreign {
            let what = format!(
                "the rule of priority {} has parts that no description can have: left out",
                rule.priority
            );
            captured.left_out.push(what);
            continue;
        }
        desired.rules.push(Rule {
            from: rule.from,
            to: rule.to,
            action: rule.action,
            priority: Some(rule.priority),
            mark: rule.mark,
            mask: rule.mask,
            tos: rule.tos,
            iif: rule.selectors.iif.clone(),
            suppress: rule.suppress,
            ..Rule::new(rule.family, rule.table, Place::NONE)
        });
    }
    captured.desired = desired;
    captured
}

/// A NIC that is down, has nothing and is a part of nothing is one that nobody configured; so is loopback without
/// addresses of its own, and what a module made.
fn drop_unused(links: &mut Vec<Link>) {
    let used: HashSet<String> = links
        .iter()
        .flat_map(|link| link.members.iter().chain(&link.parent).chain(&link.peer))
        .map(|below| below.value.clone())
        .collect();
    links.retain(|link| {
        let is_bare = link.addresses.is_empty() && link.dynamic.is_empty();
        let is_idle = match link.kind {
            Kind::Physical => link.id == "lo" || link.activation != Activation::Up,
            Kind::Bond => link.members.is_empty() && link.activation != Activation::Up,
            _ => false,
        };
        !(is_bare && is_idle) || used.contains(&link.id)
    });
}

struct Look<'a> {
    inventory: &'a Inventory,
    by_name: HashMap<&'a str, &'a ObservedLink>,
    members: HashMap<&'a str, Vec<&'a str>>,
}

fn located<T>(value: T) -> Located<T> {
    Located::new(value, Place::NONE)
}

impl Look<'_> {
    fn link(&self, link: &ObservedLink, left_out: &mut Vec<String>) -> Option<Link> {
        let kind = match link.kind.known() {
            // A container's NIC: the other end is elsewhere.
            Some(Kind::Veth) if link.parent.is_none() => Kind::Physical,
            Some(kind) => kind,
            None => {
                let what = format!(
                    "{} is a {}, which no description can have: left out",
                    link.name,
                    link.kind.word()
                );
                left_out.push(what);
                return None;
            }
        };
        if FALLBACK.contains(&link.name.as_str()) && !link.up {
            return None;
        }
        if kind == Kind::Wireguard {
            left_out.push(format!("the keys and peers of {} are not read: left out", link.name));
            return None;
        }
        let mut out = Link::new(link.name.as_str(), kind, Place::NONE);
        if kind == Kind::Physical {
            match link.permanent_mac {
                Some(mac) => out.select.mac = Some(located(mac)),
                None => out.select.name = Some(located(NamePattern::Exact(link.name.clone()))),
            }
        } else {
            out.naming = IfName::new(&link.name).map_or(Naming::Generate, |name| Naming::Set(located(name)));
            out.settings = settings(kind, &link.settings);
            let alone = far_ends(|name| link.settings.get(name));
            let several = link.remotes.iter().filter(|ip| !alone.contains(ip));
            out.remotes = several.copied().map(located).collect();
        }
        out.forwarding = self.forwards("ipv4", &link.ipv4);
        out.promiscuous = link.promiscuous.then_some(located(true));
        out.ipv6.forwarding = self.forwards("ipv6", &link.ipv6);
        let controller = link.controller.as_deref().and_then(|name| self.by_name.get(name));
        let of = controller.and_then(|controller| controller.kind.known());
        out.port = of.map(|of| port(of, &link.port)).unwrap_or_default();
        out.members = self
            .members
            .get(link.name.as_str())
            .into_iter()
            .flatten()
            .map(|name| located((*name).to_owned()))
            .collect();
        match kind {
            Kind::Veth => out.peer = link.parent.clone().map(located),
            Kind::Physical => {}
            _ => out.parent = link.parent.clone().map(located),
        }
        let filters =
            |link: &ObservedLink| link.settings.get("vlan_filtering") == Some(&OptionValue::Bool(true));
        if controller.is_some_and(|controller| filters(controller)) {
            out.vlans = link.vlans.as_ref().map(|vlans| vlans.iter().copied().map(located).collect());
        }
        out.mtu = self.mtu(link, kind, of);
        if kind == Kind::Physical && of != Some(Kind::Bond) && link.permanent_mac.is_some() {
            let other = link.mac.filter(|mac| Some(*mac) != link.permanent_mac);
            out.mac = other.map(|mac| located(DesiredMac::Is(mac)));
        }
        if !link.up {
            out.activation = Activation::Off;
        }
        let is_port = matches!(of, Some(Kind::Bond | Kind::Bridge));
        if !is_port {
            self.addresses(link, &mut out);
            self.ipv6(link, &mut out);
        }
        Some(out)
    }

    /// The MTU, unless it is the one that the kernel gives such a link.
    fn mtu(&self, link: &ObservedLink, kind: Kind, controller: Option<Kind>) -> Option<Located<Mtu>> {
        let of = |name: &str| self.by_name.get(name).map(|other| other.mtu);
        let below = link.parent.as_deref().and_then(of);
        let ports = || self.members.get(link.name.as_str()).into_iter().flatten().filter_map(|name| of(name));
        let usual = match kind {
            Kind::Vlan | Kind::Macvlan => below,
            // It has its bond's.
            Kind::Physical if controller == Some(Kind::Bond) => link.controller.as_deref().and_then(of),
            Kind::Bridge => ports().min().or(Some(1500)),
            Kind::Physical if link.layer == LinkLayer::Loopback => Some(link.mtu),
            Kind::Physical | Kind::Bond | Kind::Dummy | Kind::Veth => Some(1500),
            Kind::Vrf => Some(link.mtu),
            _ => None,
        };
        let other = Some(link.mtu).filter(|mtu| Some(*mtu) != usual);
        other.and_then(|mtu| Mtu::new(mtu.into()).ok()).map(located)
    }

    /// Whether packets that come in by a link are forwarded, if that is not so for the whole machine.
    fn forwards(&self, family: &str, link: &BTreeMap<SettingName, i64>) -> Option<Located<bool>> {
        let all = self.inventory.sysctls.get(&format!("net/{family}/conf/all/forwarding"));
        let own = *link.get("forwarding")?;
        (own != 0 && *all.unwrap_or(&0) == 0).then(|| located(true))
    }

    /// The addresses that somebody configured, and what brings the others.
    fn addresses(&self, link: &ObservedLink, out: &mut Link) {
        let own = || self.inventory.addresses.iter().filter(|address| address.link == link.name);
        let routes =
            || self.inventory.routes.iter().filter(|route| route.link.as_deref() == Some(&link.name));
        let leased: HashSet<IpAddr> = routes()
            .filter(|route| route.protocol == Protocol::Dhcp)
            .filter_map(|route| route.source)
            .collect();
        let tells = self.inventory.addresses.iter().any(|a| a.protocol == AddressProtocol::LinkLocal);
        let mut dynamic: HashSet<Dynamic> = HashSet::default();
        for address in own() {
            let ip = address.net.addr();
            match ip {
                _ if ip.is_loopback() => {}
                IpAddr::V4(_) if !address.permanent || leased.contains(&ip) => {
                    dynamic.insert(Dynamic::Dhcp4);
                }
                IpAddr::V6(six) if six.is_unicast_link_local() => {
                    // Since 5.18 the kernel tells which it made itself; before that, nearly always.
                    if tells && address.protocol != AddressProtocol::LinkLocal {
                        out.addresses.push(described(address));
                    }
                }
                IpAddr::V6(_) if is_advertised(address) => {
                    dynamic.insert(Dynamic::RouterAdvertisements);
                }
                IpAddr::V6(_) if !address.permanent => {
                    dynamic.insert(Dynamic::Dhcp6);
                    dynamic.insert(Dynamic::RouterAdvertisements);
                }
                _ => out.addresses.push(described(address)),
            }
        }
        if routes().any(|route| route.protocol == Protocol::RouterAdvertisement) {
            dynamic.insert(Dynamic::RouterAdvertisements);
        }
        // The kernel shows IPv4 addresses as they were added, IPv6 ones the newest first (ipv6_link_dev_addr).
        let (four, mut six): (Vec<_>, Vec<_>) =
            std::mem::take(&mut out.addresses).into_iter().partition(|address| address.net.addr().is_ipv4());
        six.reverse();
        out.addresses = four.into_iter().chain(six).collect();
        let mut dynamic: Vec<Dynamic> = dynamic.into_iter().collect();
        dynamic.order();
        out.dynamic = dynamic.into_iter().map(located).collect();
    }

    fn ipv6(&self, link: &ObservedLink, out: &mut Link) {
        let set = |key: &str| link.ipv6.get(key).copied();
        let advertised = out.asks(Dynamic::RouterAdvertisements);
        // networkd and NetworkManager take advertisements themselves, and turn the kernel's part off.
        let usual = self.inventory.sysctls.get("net/ipv6/conf/default/accept_ra").copied().unwrap_or(1);
        out.ipv6.accept_ra = match set("accept_ra") {
            _ if advertised => Some(located(true)),
            Some(0) if usual != 0 => Some(located(false)),
            Some(2) => Some(located(true)),
            _ => None,
        };
        let usual = self.inventory.sysctls.get("net/ipv6/conf/default/autoconf").copied().unwrap_or(1);
        if set("autoconf") == Some(0) && usual != 0 && set("accept_ra") != Some(0) {
            out.ipv6.autoconf = Some(located(false));
        }
        if set("use_tempaddr") == Some(2) {
            out.ipv6.privacy = Some(located(true));
        }
        let bytes = set("mtu").and_then(|mtu| u32::try_from(mtu).ok());
        out.ipv6.mtu = bytes.filter(|mtu| *mtu != link.mtu && *mtu >= 1280).map(located);
        out.ipv6.token = link.token.filter(|token| *token != Ipv6Addr::UNSPECIFIED).map(located);
        let is_off = set("disable_ipv6") == Some(1);
        let own = |address: &&AddressEntry| address.link == link.name;
        let is_link_local =
            |a: &AddressEntry| matches!(a.net.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        let has_one = self.inventory.addresses.iter().filter(own).any(is_link_local);
        out.ipv6.generation = match link.generation {
            // NetworkManager and networkd make the address themselves.
            Some(AddressGeneration::None) if has_one || out.kind == Kind::Vrf => None,
            Some(AddressGeneration::None) => Some(located(AddressGeneration::None)),
            _ if is_off => Some(located(AddressGeneration::None)),
            Some(AddressGeneration::Eui64) | None => None,
            Some(other) => Some(located(other)),
        };
    }

    /// The routes that somebody configured, at their links; those without a link at the one that leads out.
    fn routes(&self, at: &HashMap<String, usize>, links: &mut [Link], left_out: &mut Vec<String>) {
        let main = links
            .iter()
            .position(|link| !link.addresses.is_empty() || !link.dynamic.is_empty())
            .unwrap_or_default();
        // IPv6 shows each next hop of several as a route of its own.
        let mut several: BTreeMap<(String, u32, u32), (usize, usize)> = BTreeMap::new();
        for route in &self.inventory.routes {
            let is_configured =
                matches!(route.protocol, Protocol::Static | Protocol::Boot | Protocol::Unspecified);
            if !is_configured || route.expires.is_some() {
                continue;
            }
            let first = route.links().next();
            let owner = match first.filter(|_| !route.kind.is_linkless()) {
                Some(link) => at.get(link).copied(),
                None => Some(main),
            };
            let Some(owner) = owner else { continue };
            let Some(link) = links.get_mut(owner) else { continue };
            let is_lease = link.asks(Dynamic::Dhcp4)
                && link.addresses.iter().all(|address| address.net.addr().is_ipv6());
            // dhclient and udhcpc make theirs as ip(8) does.
            if is_lease && route.protocol == Protocol::Boot && route.to.addr().is_ipv4() {
                continue;
            }
            let what = [
                (route.tos != 0, "type of service"),
                (route.from.is_some(), "source prefix"),
                (route.next_hop_id.is_some(), "next-hop object"),
                (!route.unknown.is_empty(), "attribute that netapply does not know"),
            ];
            if let Some((_, what)) = what.iter().find(|(is_there, _)| *is_there) {
                left_out.push(format!("the route to {} has a {what}: left out", route.to));
                continue;
            }
            let new = described_route(route, left_out);
            let key = (route.to.to_string(), route.table, route.metric);
            let earlier = several.get(&key).copied().filter(|_| route.weight.is_some());
            match earlier.and_then(|(link, index)| links.get_mut(link)?.routes.get_mut(index)) {
                Some(first) => first.more.push(NextHop {
                    link: route.link.clone(),
                    via: new.via,
                    on_link: new.on_link,
                    weight: route.weight.unwrap_or(1),
                }),
                None => {
                    if let Some(link) = links.get_mut(owner) {
                        link.routes.push(new);
                        several.insert(key, (owner, link.routes.len() - 1));
                    }
                }
            }
        }
    }
}

/// Whether router advertisements brought an address: the kernel, networkd or NetworkManager says so, or it has the lower
/// half that follows from them and a lifetime.
fn is_advertised(address: &AddressEntry) -> bool {
    let is_told = address.protocol == AddressProtocol::RouterAdvertisement;
    let is_made = address.flags.contains(&AddressFlag::MngTmpAddr);
    is_told || is_made || (!address.permanent && address.net.prefix_len() == 64)
}

fn described(address: &AddressEntry) -> Address {
    let mut out = Address::new(address.net, Place::NONE);
    out.peer = address.peer;
    out.label.clone_from(&address.label);
    out.broadcast = address.broadcast;
    out.preferred = address.preferred.filter(|seconds| *seconds == 0);
    out
}

fn described_route(route: &RouteEntry, left_out: &mut Vec<String>) -> Route {
    let mut out = Route::new(route.to, route.via, Place::NONE);
    let family = out.family();
    out.kind = route.kind;
    out.on_link = route.on_link;
    let usual = if family == Family::V4 { 0 } else { 1024 };
    out.metric = Some(route.metric).filter(|metric| *metric != usual);
    out.table = Some(route.table).filter(|table| *table != route.kind.natural_table());
    out.source = route.source;
    out.weight = route.weight.unwrap_or(1);
    if let Some((first, others)) = route.hops.split_first() {
        (out.via, out.on_link, out.weight) = (first.via, first.on_link, first.weight);
        let hop = |hop: &crate::inventory::NextHopEntry| NextHop {
            link: hop.link.clone(),
            via: hop.via,
            on_link: hop.on_link,
            weight: hop.weight,
        };
        out.more = others.iter().map(hop).collect();
    }
    let natural = match route.kind {
        RouteKind::Unicast if !route.has_gateway() => Scope::Link,
        RouteKind::Local => Scope::Host,
        RouteKind::Broadcast | RouteKind::Multicast | RouteKind::Anycast => Scope::Link,
        _ => Scope::Global,
    };
    out.scope = Some(route.scope).filter(|scope| family == Family::V4 && *scope != natural);
    for (metric, value) in &route.metrics {
        let slot = match &**metric {
            "mtu" => &mut out.mtu,
            "window" => &mut out.window,
            "initcwnd" => &mut out.congestion_window,
            "initrwnd" => &mut out.receive_window,
            "advmss" => &mut out.advertised_mss,
            _ => {
                left_out.push(format!("the {metric} of the route to {} is left out", route.to));
                continue;
            }
        };
        *slot = Some(*value);
    }
    out
}

/// Whether a value is what a new link has anyway.
fn is_usual(value: &OptionValue, usual: impl Iterator<Item = &'static str>) -> bool {
    let is_nothing = match value {
        OptionValue::Bool(on) => !on,
        OptionValue::Number(number) => *number == 0,
        OptionValue::Range(low, high) => (*low, *high) == (0, 0),
        OptionValue::Ips(ips) => ips.is_empty(),
        OptionValue::Ip(ip) => ip.is_unspecified(),
        OptionValue::Text(text) => text.is_empty(),
        OptionValue::Mac(_) => false,
    };
    let mut usual = usual.peekable();
    match usual.peek() {
        Some(_) => usual.any(|word| value.to_string() == word),
        None => is_nothing,
    }
}

/// The options that are not as a new link of the kind has them.
fn settings(kind: Kind, observed: &BTreeMap<SettingName, OptionValue>) -> Settings {
    // What decides on the kind of link is always there; what the kernel chose is no configuration.
    const ALWAYS: &[&str] = &["mode", "id", "table", "dstport"];
    const NEVER: &[&str] = &["active_slave", "dev"];
    let mode = match observed.get("mode") {
        Some(OptionValue::Text(mode)) if kind == Kind::Bond => crate::model::BondMode::from_word(mode),
        _ => None,
    };
    let mut out = Settings::default();
    for (name, value) in observed {
        let Some(row) = attribute::of(kind, name) else { continue };
        let usual =
            USUAL.iter().filter(|(of, option, _)| *of == kind && option == name).map(|(.., word)| *word);
        let is_of_mode = row.modes.is_empty() || mode.is_none_or(|mode| row.modes.contains(&mode));
        let is_always = ALWAYS.contains(&row.name);
        if !NEVER.contains(&row.name) && is_of_mode && (is_always || !is_usual(value, usual)) {
            out.set(row, value.clone(), Place::NONE);
        }
    }
    out
}

fn port(controller: Kind, observed: &BTreeMap<SettingName, OptionValue>) -> Settings {
    let mut out = Settings::default();
    for (name, value) in observed {
        let Some(row) = attribute::find(controller.port_attributes(), name) else { continue };
        let usual = USUAL_PORT
            .iter()
            .filter(|(option, _)| option == name)
            .flat_map(|(_, words)| words.iter().copied());
        if !is_usual(value, usual) {
            out.set(row, value.clone(), Place::NONE);
        }
    }
    out
}

impl Captured {
    /// The name servers of the machine, unless a lease may have brought them.
    fn take_name_servers(&mut self, machine: &Machine) {
        let text = |path: &str| std::fs::read_to_string(machine.at(path)).unwrap_or_default();
        let mut resolver = read_resolv_conf(&text("/etc/resolv.conf"));
        // systemd-resolved's own address says nothing of the servers that it asks.
        if resolver.servers.iter().any(|server| server.value.is_loopback()) {
            resolver = read_resolv_conf(&text("/run/systemd/resolve/resolv.conf"));
        }
        let is_leased = self.desired.links.iter().any(|link| !link.dynamic.is_empty());
        if resolver.servers.is_empty() && resolver.search.is_empty() {
            return;
        }
        if is_leased {
            let what = "name servers may come with a lease or router: those of /etc/resolv.conf are left out";
            self.left_out.push(what.to_owned());
            return;
        }
        self.desired.resolver = resolver;
    }

    /// The addresses that somebody gave to links which are made: the kernel tells in sysfs who did.
    fn take_addresses_that_were_set(&mut self, machine: &Machine) {
        /// `NET_ADDR_SET` (linux/netdevice.h).
        const SET: &str = "3";
        for link in self.desired.links.iter_mut().filter(|link| link.kind != Kind::Physical) {
            let folder = machine.sys_net().join(&link.id);
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            if read("addr_assign_type").trim() == SET && link.kind.is_ethernet() {
                link.mac = read("address").trim().parse().ok().map(|mac| located(DesiredMac::Is(mac)));
            }
        }
    }
}

/// The resolver that a resolv.conf(5) describes.
fn read_resolv_conf(text: &str) -> Resolver {
    let (servers, search) = resolv_conf::parse(text);
    let mut resolver = Resolver::default();
    for server in servers {
        resolver.servers.push(located(server.ip));
        resolver.zones.extend(server.zone.map(|zone| (server.ip, zone)));
    }
    resolver.search = search.into_iter().filter(|domain| domain != ".").map(located).collect();
    resolver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_link_has_anyway_is_not_described() {
        let observed = BTreeMap::from([
            ("mode".into(), OptionValue::Text("802.3ad".into())),
            ("miimon".into(), OptionValue::Number(100)),
            ("updelay".into(), OptionValue::Number(0)),
            ("xmit_hash_policy".into(), OptionValue::Text("layer2".into())),
            ("lacp_rate".into(), OptionValue::Text("fast".into())),
            ("packets_per_slave".into(), OptionValue::Number(7)),
        ]);
        let settings = settings(Kind::Bond, &observed);
        assert_eq!(settings.0.keys().copied().collect::<Vec<_>>(), ["lacp_rate", "miimon", "mode"]);
    }

    #[test]
    fn leases_and_advertisements_become_what_brings_them() {
        let mut inventory = Inventory::default();
        let nic =
            ObservedLink { name: "eth0".into(), index: 2, up: true, mtu: 1500, ..ObservedLink::default() };
        inventory.links = vec![nic];
        let address = |net: &str| AddressEntry::new("eth0", net.parse().unwrap());
        let leased = AddressEntry { permanent: false, valid: Some(3600), ..address("192.0.2.100/24") };
        let advertised = AddressEntry {
            permanent: false,
            flags: vec![AddressFlag::MngTmpAddr],
            ..address("2001:db8::5054:ff:fe00:1/64")
        };
        inventory.addresses = vec![leased, address("198.51.100.7/32"), advertised, address("fe80::1/64")];
        let route = |to: &str, protocol| RouteEntry {
            link: Some("eth0".into()),
            protocol,
            ..RouteEntry::new(to.parse().unwrap())
        };
        inventory.routes = vec![
            RouteEntry { via: "192.0.2.1".parse().ok(), ..route("0.0.0.0/0", Protocol::Dhcp) },
            RouteEntry { via: "192.0.2.1".parse().ok(), ..route("10.0.0.0/8", Protocol::Static) },
            route("192.0.2.0/24", Protocol::Kernel),
        ];
        let Captured { desired, left_out } = describe(&inventory);
        assert!(left_out.is_empty(), "{left_out:?}");
        let [link] = desired.links.as_slice() else { panic!("{desired:?}") };
        let dynamic: Vec<Dynamic> = link.dynamic.iter().map(|d| d.value).collect();
        assert_eq!(dynamic, [Dynamic::Dhcp4, Dynamic::RouterAdvertisements]);
        assert_eq!(link.addresses.iter().map(|a| a.net.to_string()).collect::<Vec<_>>(), ["198.51.100.7/32"]);
        assert_eq!(link.routes.iter().map(|r| r.to.to_string()).collect::<Vec<_>>(), ["10.0.0.0/8"]);
    }

    #[test]
    fn a_resolv_conf_is_read() {
        let resolver = read_resolv_conf(
            "# x\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nsearch a.example b.example\n",
        );
        assert_eq!(resolver.servers.len(), 2);
        assert_eq!(resolver.zones.values().collect::<Vec<_>>(), ["eth0"]);
        assert_eq!(resolver.search.len(), 2);
    }
}
