//! `up`, `pre-up` and `post-up` commands: nothing is run; the usual ip(8) and route(8) commands are interpreted.
//!
//! [`understand`] is all or nothing per command line: half of `test … && ip route add …` would have another meaning.

mod make;
mod nic;
pub(super) mod tables;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::attribute;
use crate::model::{Family, Kind, MacAddr, Mtu, NextHop, Place, PortVlan, Route, RouteKind, Rule, Scope};

pub(super) use make::Made;
pub(super) use tables::Tables;

/// The effect of a command, and the interface that it names, if any.
#[derive(Debug, PartialEq)]
pub(super) struct Effect {
    /// `dev NAME`; `None` is the stanza's own interface.
    pub(super) dev: Option<String>,
    pub(super) what: What,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    Route(Route),
    Address(IpNet),
    Mtu(Mtu),
    Mac(MacAddr),
    /// Whether it takes every frame.
    Promiscuous(bool),
    Rule(Rule),
    /// Members of the bond, bridge or VRF.
    Members(Vec<String>),
    /// The link itself, which the command creates.
    Make(Made),
    /// Options of an existing link, and its kind.
    Options(Made),
    /// A far end of a VXLAN.
    Remote(IpAddr),
    /// Features and parameters of a NIC.
    Tuned(nic::Tuned),
    /// VLANs that are added to or removed from a port of a bridge, or the bridge itself.
    Vlans {
        vlan: PortVlan,
        adds: bool,
    },
    /// A file below /proc/sys/net of the link ([`SYSCTLS`]), and what is written to it.
    Sysctl(&'static str, u32),
    /// `ip link set X up`: done anyway.
    Nothing,
}

/// The effects of a command given as its words; `interface` is the value of `$IFACE`. `None` if any part is not
/// supported.
pub(super) fn understand(words: &[&str], interface: &str, tables: &Tables, at: Place) -> Option<Vec<Effect>> {
    let command = words.join(" ").replace("\"$IFACE\"", interface).replace("${IFACE}", interface);
    let command = command.replace("$IFACE", interface).replace("2>/dev/null", "");
    let command = command.split(" #").next().unwrap_or_default();
    let mut effects = Vec::new();
    for statement in command.split([';', '\n']).filter(|s| !s.trim().is_empty()) {
        // What follows `||` is run only if the rest fails: usually it makes a link whose absence was tested.
        let (first, otherwise) = statement.split_once("||").unwrap_or((statement, ""));
        match all(first, tables, at) {
            Some(own) => effects.extend(own),
            None => {
                let made = all(otherwise, tables, at)?;
                let only_makes = made.iter().all(|effect| matches!(effect.what, What::Make(_)));
                effects.extend(Some(made).filter(|made| only_makes && !made.is_empty())?);
            }
        }
    }
    Some(effects)
}

/// Those of `… && …`.
fn all(commands: &str, tables: &Tables, at: Place) -> Option<Vec<Effect>> {
    let mut effects = Vec::new();
    for part in commands.split("&&") {
        if part.contains(['$', '`', '\\', '|', '<', '>', '(', ')', '{', '}', '*', '?', '\'', '"', '&']) {
            return None;
        }
        let words: Vec<&str> = part.split_whitespace().filter(|word| *word != "--").collect();
        effects.extend(one(&words, tables, at)?);
    }
    Some(effects)
}

fn one(words: &[&str], tables: &Tables, at: Place) -> Option<Vec<Effect>> {
    let (program, arguments) = words.split_first()?;
    let alone = |effect: Effect| vec![effect];
    match program.rsplit('/').next()? {
        "ip" => ip(arguments, tables, at),
        "route" => old_route(arguments, tables, at).map(alone),
        "ifconfig" => ifconfig(arguments),
        "bridge" => bridge_vlan(arguments).or_else(|| far_end(arguments)).map(alone),
        "ifenslave" => enslave(arguments).map(alone),
        "brctl" => brctl(arguments).map(alone),
        "vconfig" => vconfig(arguments).map(alone),
        "ethtool" => nic::ethtool(arguments).map(alone),
        "modprobe" => modprobe(arguments),
        "sysctl" => sysctl(arguments),
        // What they wait for is waited for anyway.
        "sleep" | "true" | ":" => Some(Vec::new()),
        _ => None,
    }
}

/// Modules that are loaded with the first link of their kind.
const MODULES: &[&str] =
    &["8021q", "bonding", "bridge", "dummy", "veth", "vrf", "vxlan", "ip_gre", "ipip", "sit"];

/// `modprobe MODULE`. That of dummy links makes the first of them, or as many as its parameter says.
fn modprobe(words: &[&str]) -> Option<Vec<Effect>> {
    let (module, parameters) = words.split_first().filter(|(name, _)| MODULES.contains(name))?;
    let count = match parameters {
        [] => 1,
        [only] => only.strip_prefix("numdummies=").filter(|_| *module == "dummy")?.parse::<u8>().ok()?,
        _ => return None,
    };
    let dummies = if *module == "dummy" { count } else { 0 };
    (0..dummies).map(|number| make::of(&format!("dummy{number}"), Kind::Dummy)).collect()
}

/// What sysctl(8) may set of a link: family and name, the smallest and the largest value.
const SYSCTLS: &[(&str, u32, u32)] = &[
    ("ipv4/forwarding", 0, 1),
    ("ipv6/accept_ra", 0, 2),
    // 2 needs a secret.
    ("ipv6/addr_gen_mode", 0, 1),
    ("ipv6/addr_gen_mode", 3, 3),
    ("ipv6/autoconf", 0, 1),
    ("ipv6/forwarding", 0, 1),
    ("ipv6/mtu", 1280, 65_535),
    ("ipv6/use_tempaddr", 0, 2),
];

/// `sysctl [-q] [-e] [-w] net.FAMILY.conf.LINK.NAME=VALUE…`, sysctl(8): the first separator tells whether the others are dots
/// or slashes, and what the other sign is in a link's name.
fn sysctl(words: &[&str]) -> Option<Vec<Effect>> {
    let mut effects = Vec::new();
    for word in words {
        if let Some(options) = word.strip_prefix('-') {
            if options.is_empty() || !options.chars().all(|option| "eqw".contains(option)) {
                return None;
            }
            continue;
        }
        let (key, value) = word.split_once('=')?;
        let separator = key.chars().find(|sign| "./".contains(*sign))?;
        let other = if separator == '.' { "/" } else { "." };
        let (family, rest) = key.strip_prefix("net")?.strip_prefix(separator)?.split_once(separator)?;
        let (link, name) = rest.strip_prefix("conf")?.strip_prefix(separator)?.split_once(separator)?;
        let (link, name) = (link.replace(other, "."), format!("{family}/{name}"));
        let value: u32 = value.parse().ok()?;
        let fits = |(known, low, high): &&(&str, u32, u32)| *known == name && (*low..=*high).contains(&value);
        let (known, ..) = SYSCTLS.iter().find(fits).filter(|_| link != "all" && link != "default")?;
        effects.push(Effect { dev: Some(link), what: What::Sysctl(known, value) });
    }
    (!effects.is_empty()).then_some(effects)
}

/// `ifenslave BOND MEMBER…`, as glean writes it next to `bond-slaves none`.
fn enslave(words: &[&str]) -> Option<Effect> {
    let (bond, members) = words.split_first()?;
    let named = !members.is_empty() && words.iter().all(|word| !word.starts_with('-'));
    let members = members.iter().map(|member| (*member).to_owned()).collect();
    named.then(|| Effect { dev: Some((*bond).to_owned()), what: What::Members(members) })
}

/// `brctl addbr BRIDGE`, `brctl addif BRIDGE PORT…`.
fn brctl(words: &[&str]) -> Option<Effect> {
    match words {
        ["addbr", bridge] => make::of(bridge, Kind::Bridge),
        ["addif", bridge, ports @ ..] if !ports.is_empty() => {
            let ports = ports.iter().map(|port| (*port).to_owned()).collect();
            Some(Effect { dev: Some((*bridge).to_owned()), what: What::Members(ports) })
        }
        _ => None,
    }
}

/// `ifconfig NAME [ADDRESS[/LENGTH] [netmask M] [broadcast B]] [mtu BYTES] [up]`, ifconfig(8). 0.0.0.0 is no address.
fn ifconfig(words: &[&str]) -> Option<Vec<Effect>> {
    let (name, words) = words.split_first().filter(|(name, _)| !name.starts_with('-'))?;
    let own = |what| Effect { dev: Some((*name).to_owned()), what };
    let mut effects = vec![own(What::Nothing)];
    let (mut address, mut mask) = (None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "up" | "inet" => {}
            "netmask" => mask = Some(words.next()?.parse::<IpAddr>().ok()?),
            "broadcast" => drop(words.next()?),
            "promisc" | "-promisc" => effects.push(own(What::Promiscuous(*word == "promisc"))),
            "mtu" => effects.push(own(What::Mtu(Mtu::new(words.next()?.parse().ok()?).ok()?))),
            text if address.is_none() => address = Some(text),
            _ => return None,
        }
    }
    if let Some(text) = address.filter(|text| *text != "0.0.0.0") {
        let net = match (text.parse::<IpNet>(), mask) {
            (Ok(net), None) => net,
            (Err(_), Some(mask)) => IpNet::with_netmask(text.parse().ok()?, mask).ok()?,
            // Without either it has its class's prefix, from before CIDR.
            _ => return None,
        };
        effects.push(own(What::Address(net)));
    }
    Some(effects)
}

/// `bridge vlan add|del dev NAME vid N[-M] [pvid] [untagged] [self|master]`, bridge(8).
fn bridge_vlan(words: &[&str]) -> Option<Effect> {
    let (verb, words) = match words {
        ["vlan", verb, rest @ ..] => (*verb, rest),
        _ => return None,
    };
    let adds = is(verb, "add");
    let removes = verb.len() > 1 && is(verb, "delete");
    if !(adds || removes) {
        return None;
    }
    let id = |text: &str| text.parse::<u16>().ok().filter(|id| (1..=4094).contains(id));
    let (mut dev, mut vlan) = (None, PortVlan { first: 0, last: 0, pvid: false, untagged: false });
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "dev" => dev = Some((*words.next()?).to_owned()),
            "vid" => {
                let range = words.next()?;
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                (vlan.first, vlan.last) = (id(first)?, id(last)?);
            }
            "pvid" => vlan.pvid = true,
            "untagged" => vlan.untagged = true,
            // The link's role decides which of the two it is.
            "self" | "master" => {}
            _ => return None,
        }
    }
    let is_range = vlan.first > 0 && vlan.first <= vlan.last && !(vlan.pvid && vlan.first < vlan.last);
    is_range.then_some(Effect { dev: Some(dev?), what: What::Vlans { vlan, adds } })
}

/// `bridge fdb append|add 00:00:00:00:00:00 dev NAME dst ADDRESS [self] [permanent]`, bridge(8): a far end of a VXLAN.
fn far_end(words: &[&str]) -> Option<Effect> {
    let (verb, words) = match words {
        ["fdb", verb, "00:00:00:00:00:00", rest @ ..] => (*verb, rest),
        _ => return None,
    };
    let (mut dev, mut end) = (None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "dev" => dev = Some((*words.next()?).to_owned()),
            "dst" => end = Some(words.next()?.parse().ok()?),
            "self" | "permanent" => {}
            _ => return None,
        }
    }
    let adds = is(verb, "append") || is(verb, "add");
    adds.then_some(Effect { dev: Some(dev?), what: What::Remote(end?) })
}

/// `vconfig add LINK ID`, which makes `LINK.ID`.
fn vconfig(words: &[&str]) -> Option<Effect> {
    match words {
        ["add", parent, id] => {
            make::link(&["link", parent, "name", &format!("{parent}.{id}"), "type", "vlan", "id", id])
        }
        _ => None,
    }
}

/// Whether `word` is `full` or an abbreviation of it that ip(8) accepts.
fn is(word: &str, full: &str) -> bool {
    !word.is_empty() && full.starts_with(word)
}

/// `ip [-4|-6] route|address|link|rule …`.
fn ip(words: &[&str], tables: &Tables, at: Place) -> Option<Vec<Effect>> {
    let mut words = words.iter().copied().peekable();
    let mut family = None;
    while let Some(option) = words.next_if(|w| w.starts_with('-')) {
        family = Some(match option {
            "-4" => Family::V4,
            "-6" => Family::V6,
            "-f" | "-family" => match words.next()? {
                "inet" => Family::V4,
                "inet6" => Family::V6,
                _ => return None,
            },
            _ => return None,
        });
    }
    let object = words.next()?;
    let mut words = Words { rest: words.collect(), tables, at };
    let verb = words.next()?;
    let adds = ["add", "replace", "append", "change", "prepend"].iter().any(|full| is(verb, full));
    let alone = |effect: Effect| vec![effect];
    if is(object, "route") && adds {
        words.route(family).map(alone)
    } else if is(object, "address") && adds {
        words.address().map(alone)
    } else if is(object, "link") && is(verb, "set") {
        words.link()
    } else if is(object, "link") && is(verb, "add") {
        make::link(words.rest.make_contiguous()).map(alone)
    } else if is(object, "tunnel") && is(verb, "add") {
        make::tunnel(words.rest.make_contiguous()).map(alone)
    } else if object.starts_with("ru") && is(object, "rule") && is(verb, "add") {
        words.rule(family).map(alone)
    } else {
        None
    }
}

/// A number, decimal or with `0x`.
fn number(text: &str) -> Option<u32> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
}

/// The remaining words of a command.
struct Words<'a> {
    rest: std::collections::VecDeque<&'a str>,
    tables: &'a Tables,
    at: Place,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.rest.pop_front()
    }

    fn number(&mut self) -> Option<u32> {
        self.next().and_then(number)
    }

    fn ip(&mut self) -> Option<IpAddr> {
        self.next()?.parse().ok()
    }

    /// `[TYPE] PREFIX [via GATEWAY] [dev NAME] …`, ip-route(8).
    fn route(&mut self, family: Option<Family>) -> Option<Effect> {
        let mut to = None;
        let kind = self.rest.front().and_then(|word| RouteKind::from_word(word));
        if kind.is_some() {
            self.next();
        }
        let mut route = Route::new(Family::V4.everything(), None, self.at);
        route.kind = kind.unwrap_or(RouteKind::Unicast);
        let mut dev = None;
        while let Some(word) = self.next() {
            match word {
                "to" => to = Some(self.next()?),
                "via" => route.via = Some(self.gateway()?),
                "dev" => dev = Some(self.next()?.to_owned()),
                "metric" | "priority" | "preference" => route.metric = Some(self.number()?),
                "table" => route.table = Some(self.table()?),
                "src" => route.source = Some(self.ip()?),
                "onlink" => route.on_link = true,
                "scope" => route.scope = Some(self.scope()?),
                "nexthop" => {
                    // Nothing else comes after the first.
                    self.next_hops(&mut route, &mut dev)?;
                    break;
                }
                "mtu" => route.mtu = Some(self.number()?),
                "window" => route.window = Some(self.number()?),
                "advmss" => route.advertised_mss = Some(self.number()?),
                "initcwnd" => route.congestion_window = Some(self.number()?),
                "initrwnd" => route.receive_window = Some(self.number()?),
                // Whatever protocol the route names, netapply adds it.
                "proto" | "protocol" => drop(self.next()?),
                // The destination may come after its options.
                _ if to.is_none() => to = Some(word),
                _ => return None,
            }
        }
        let family = family.or(route.via.as_ref().map(Family::of));
        route.to = prefix(to?, family.unwrap_or(Family::V4))?.trunc();
        (route.via.is_some() || dev.is_some() || route.kind.is_linkless())
            .then_some(Effect { dev, what: What::Route(route) })
    }

    /// `[via GATEWAY] [dev NAME] [weight N] [onlink]`, once for each `nexthop`. The first next hop is the route's own.
    fn next_hops(&mut self, route: &mut Route, dev: &mut Option<String>) -> Option<()> {
        let mut hops = Vec::new();
        let mut more = true;
        while more {
            let mut hop = NextHop { link: None, via: None, on_link: false, weight: 1 };
            more = false;
            while let Some(word) = self.next() {
                match word {
                    "via" => hop.via = Some(self.gateway()?),
                    "dev" => hop.link = Some(self.next()?.to_owned()),
                    "weight" => {
                        let weight = self.number().filter(|weight| (1..=256).contains(weight))?;
                        hop.weight = u16::try_from(weight).ok()?;
                    }
                    "onlink" => hop.on_link = true,
                    "nexthop" => {
                        more = true;
                        break;
                    }
                    _ => return None,
                }
            }
            // IPv6 has only gateways for this, and one family for all of them.
            let family = |hop: &NextHop| hop.via.as_ref().map(Family::of);
            let same = hops.first().is_none_or(|first| family(first) == family(&hop));
            if !same || hop.via.is_none() || route.via.is_some() {
                return None;
            }
            hops.push(hop);
        }
        let mut hops = hops.into_iter();
        let first = hops.next()?;
        (route.via, route.on_link, route.weight) = (first.via, first.on_link, first.weight);
        *dev = first.link.or(dev.take());
        route.more = hops.collect();
        Some(())
    }

    /// `via [inet|inet6] ADDRESS`.
    fn gateway(&mut self) -> Option<IpAddr> {
        if self.rest.front().is_some_and(|w| matches!(*w, "inet" | "inet6")) {
            self.next();
        }
        self.ip()
    }

    fn table(&mut self) -> Option<u32> {
        self.next().and_then(|word| self.tables.number(word))
    }

    fn scope(&mut self) -> Option<Scope> {
        let word = self.next()?;
        Scope::from_word(word).or_else(|| word.parse().ok().map(Scope::from_number))
    }

    /// `ADDRESS/PREFIX dev NAME`, ip-address(8); the broadcast address is derived anyway.
    fn address(&mut self) -> Option<Effect> {
        let net = prefix(self.next()?, Family::V4)?;
        let mut dev = None;
        while let Some(word) = self.next() {
            match word {
                "dev" => dev = Some(self.next()?.to_owned()),
                "brd" | "broadcast" | "label" | "scope" => drop(self.next()?),
                _ => return None,
            }
        }
        Some(Effect { dev, what: What::Address(net) })
    }

    /// `[dev] NAME [up] [mtu BYTES] [master NAME]` in any order, ip-link(8).
    fn link(&mut self) -> Option<Vec<Effect>> {
        let (mut dev, mut controller, mut own) = (None, None, Vec::new());
        while let Some(word) = self.next() {
            match word {
                "dev" => dev = Some(self.next()?),
                "up" => {}
                "mtu" => own.push(What::Mtu(Mtu::new(self.number()?.into()).ok()?)),
                "address" => {
                    let mac = self.next()?.parse().ok().filter(|mac: &MacAddr| !mac.is_multicast());
                    own.push(What::Mac(mac?));
                }
                "promisc" => {
                    let on = attribute::boolean(self.next()?)?;
                    own.push(What::Promiscuous(on));
                }
                "master" => controller = Some(self.next()?.to_owned()),
                "type" => {
                    let options = make::options(self.rest.make_contiguous())?;
                    self.rest.clear();
                    own.push(What::Options(options));
                }
                name if dev.is_none() => dev = Some(name),
                _ => return None,
            }
        }
        let dev = dev?.to_owned();
        let joins = controller.map(|name| Effect { dev: Some(name), what: What::Members(vec![dev.clone()]) });
        if own.is_empty() && joins.is_none() {
            own.push(What::Nothing);
        }
        let own = own.into_iter().map(|what| Effect { dev: Some(dev.clone()), what });
        Some(own.chain(joins).collect())
    }

    /// `[from PREFIX] [to PREFIX] table N …`, ip-rule(8).
    fn rule(&mut self, family: Option<Family>) -> Option<Effect> {
        let (mut from, mut to, mut table) = (None, None, None);
        let mut rule = Rule::new(Family::V4, 0, self.at);
        while let Some(word) = self.next() {
            match word {
                "from" => from = Some(self.next()?),
                "to" => to = Some(self.next()?),
                "table" | "lookup" => table = Some(self.table()?),
                "priority" | "preference" | "prio" | "pref" | "order" => rule.priority = Some(self.number()?),
                "fwmark" => {
                    let word = self.next()?;
                    let (mark, mask) = word.split_once('/').unwrap_or((word, "0xffffffff"));
                    rule.mark = Some(number(mark)?);
                    rule.mask = Some(number(mask)?).filter(|mask| *mask != u32::MAX);
                }
                "tos" | "dsfield" => rule.tos = Some(u8::try_from(self.number()?).ok()?),
                "iif" | "dev" => rule.iif = Some(self.next()?.to_owned()),
                "suppress_prefixlength" | "sup_pl" => rule.suppress = Some(self.number()?),
                "type" => {}
                "blackhole" | "unreachable" | "prohibit" => rule.action = RouteKind::from_word(word)?,
                _ => return None,
            }
        }
        let v6 = [from, to].iter().flatten().any(|text| text.contains(':'));
        let family = family.unwrap_or(if v6 { Family::V6 } else { Family::V4 });
        let net = |text: Option<&str>| match text {
            None | Some("all" | "any" | "default") => Some(None),
            Some(text) => prefix(text, family).map(Some),
        };
        let (from, to) = (net(from)?, net(to)?);
        let table = if rule.action == RouteKind::Unicast { table? } else { 0 };
        let rule = Rule { family, from, to, table, ..rule };
        Some(Effect { dev: None, what: What::Rule(rule) })
    }
}

/// `default`, a prefix, an address with a netmask after the slash, or an address, which is a host.
fn prefix(text: &str, family: Family) -> Option<IpNet> {
    if matches!(text, "default" | "any" | "all") {
        return Some(family.everything());
    }
    let masked = || {
        let (address, mask) = text.split_once('/')?;
        IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()
    };
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).or_else(masked)
}

/// `route [-A inet6] add [-net|-host] TARGET [netmask M] [gw G] [metric N] [[dev] NAME]`, route(8).
fn old_route(words: &[&str], tables: &Tables, at: Place) -> Option<Effect> {
    let mut words = Words { rest: words.iter().copied().collect(), tables, at };
    let (mut family, mut target, mut mask, mut dev, mut added) = (Family::V4, None, None, None, false);
    let mut route = Route::new(family.everything(), None, at);
    while let Some(word) = words.next() {
        match word {
            "add" => added = true,
            "-A" | "-family" => match words.next()? {
                "inet" => family = Family::V4,
                "inet6" => family = Family::V6,
                _ => return None,
            },
            "-4" => family = Family::V4,
            "-6" | "--inet6" => family = Family::V6,
            "-net" | "-host" => {}
            "netmask" => mask = Some(words.ip()?),
            "gw" | "gateway" => route.via = Some(words.ip()?),
            "metric" => route.metric = Some(words.number()?),
            "mss" => route.advertised_mss = Some(words.number()?),
            "window" => route.window = Some(words.number()?),
            "dev" => dev = Some(words.next()?.to_owned()),
            _ if target.is_none() => target = Some(word),
            _ if dev.is_none() && !word.starts_with('-') => dev = Some(word.to_owned()),
            _ => return None,
        }
    }
    let net = prefix(target?, family)?;
    let net = match mask {
        Some(mask) => IpNet::with_netmask(net.addr(), mask).ok()?,
        None => net,
    };
    route.to = net.trunc();
    let usable = added && (route.via.is_some() || dev.is_some());
    // `metric 0`, as cloud-init writes it, is the default.
    route.metric = route.metric.filter(|metric| *metric != 0);
    usable.then_some(Effect { dev, what: What::Route(route) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(command: &str) -> Option<Vec<String>> {
        let words: Vec<&str> = command.split(' ').collect();
        let effects = understand(&words, "eth0", &Tables::default(), Place::NONE)?;
        let text = |effect: Effect| {
            let dev = effect.dev.map_or(String::new(), |d| format!(" dev {d}"));
            match effect.what {
                What::Route(r) => {
                    let via = r.via.map_or(String::new(), |v| format!(" via {v}"));
                    let metric = r.metric.map_or(String::new(), |m| format!(" metric {m}"));
                    let table = r.table.map_or(String::new(), |t| format!(" table {t}"));
                    let more = r.more.iter().map(|w| {
                        let link = w.link.as_deref().unwrap_or("-");
                        format!(" + {} {link}*{}", w.via.map_or("-".into(), |v| v.to_string()), w.weight)
                    });
                    let more: String = more.collect();
                    format!("{} {}{via}{dev}{metric}{table}{more}", r.kind.word(), r.to)
                }
                What::Address(net) => format!("address {net}{dev}"),
                What::Mtu(mtu) => format!("mtu {mtu}{dev}"),
                What::Mac(mac) => format!("mac {mac}{dev}"),
                What::Promiscuous(on) => format!("promiscuous {on}{dev}"),
                What::Rule(r) => format!("rule from {:?} table {}", r.from.map(|n| n.to_string()), r.table),
                What::Members(members) => format!("members {}{dev}", members.join(" ")),
                What::Make(made) => {
                    format!("make {}{dev} {:?} {:?}", made.kind.word(), made.parent, made.settings)
                }
                What::Options(made) => format!("options of {}{dev} {:?}", made.kind.word(), made.settings),
                What::Vlans { vlan, adds } => {
                    let PortVlan { first, last, pvid, untagged } = vlan;
                    format!("vlans{dev} {first}-{last} {adds} {pvid} {untagged}")
                }
                What::Remote(ip) => format!("far end {ip}{dev}"),
                What::Tuned(tuned) => {
                    let parameters = tuned.parameters.iter().map(|(name, value)| format!("{name} {value}"));
                    let parameters = parameters.collect::<Vec<_>>().join(" ");
                    format!("tuned{dev} {:?} {parameters} {:?}", tuned.features, tuned.wake_on_lan)
                }
                What::Sysctl(key, value) => format!("{key} {value}{dev}"),
                What::Nothing => format!("nothing{dev}"),
            }
        };
        Some(effects.into_iter().map(text).collect())
    }

    #[test]
    fn ip_and_route_lines_are_understood() {
        for (command, expected) in [
            ("ip route add 10.0.0.0/8 via 192.0.2.1", "unicast 10.0.0.0/8 via 192.0.2.1"),
            ("/sbin/ip r a 10.1.2.3 dev $IFACE || true", "unicast 10.1.2.3/32 dev eth0"),
            ("ip -6 route add default via fe80::1 dev eth0", "unicast ::/0 via fe80::1 dev eth0"),
            ("ip route add default via 2001:db8::1", "unicast ::/0 via 2001:db8::1"),
            ("ip route add unreachable 10.0.0.0/8", "unreachable 10.0.0.0/8"),
            (
                "ip ro replace default via 192.0.2.1 table 100 proto static",
                "unicast 0.0.0.0/0 via 192.0.2.1 table 100",
            ),
            (
                "route add -net 10.0.0.0 netmask 255.0.0.0 gw 192.0.2.1 metric 0 || true",
                "unicast 10.0.0.0/8 via 192.0.2.1",
            ),
            (
                "route add default gw 192.0.2.1 metric 10000 || true",
                "unicast 0.0.0.0/0 via 192.0.2.1 metric 10000",
            ),
            ("route add -A inet6 default gw 2001:db8::1 || true", "unicast ::/0 via 2001:db8::1"),
            ("route add -host 198.51.100.7 eth1", "unicast 198.51.100.7/32 dev eth1"),
            (
                "ip route add default metric 7 nexthop via 192.0.2.1 weight 2 nexthop via 198.51.100.1 dev eth1 onlink",
                "unicast 0.0.0.0/0 via 192.0.2.1 metric 7 + 198.51.100.1 eth1*1",
            ),
            (
                "ip route replace 2001:db8:1::/48 nexthop via fe80::1 dev $IFACE nexthop via fe80::2 weight 256",
                "unicast 2001:db8:1::/48 via fe80::1 dev eth0 + fe80::2 -*256",
            ),
            ("ip route add table 128 default via 192.0.2.1", "unicast 0.0.0.0/0 via 192.0.2.1 table 128"),
            ("ip route add table 128 to 10.9.0.0/16 dev eth1", "unicast 10.9.0.0/16 dev eth1 table 128"),
            ("ip addr add 192.0.2.9/24 dev eth0", "address 192.0.2.9/24 dev eth0"),
            ("ip link set dev $IFACE mtu 9000", "mtu 9000 dev eth0"),
            ("ip link set eth1 up", "nothing dev eth1"),
            ("ip link set up dev eth1", "nothing dev eth1"),
            ("ip link set eth1 up   # the uplink; really", "nothing dev eth1"),
            ("[ -d /sys/class/net/br0 ] || brctl addbr br0", "make bridge dev br0 None {}"),
            (
                "(ip link show | grep dummy7) || ip link add dummy7 type dummy",
                "make dummy dev dummy7 None {}",
            ),
            ("modprobe dummy", "make dummy dev dummy0 None {}"),
            (
                "ip route add 192.0.2.8/255.255.255.248 dev eth1 table 7",
                "unicast 192.0.2.8/29 dev eth1 table 7",
            ),
            ("ip link set dev $IFACE address 02:00:5e:10:00:01", "mac 02:00:5e:10:00:01 dev eth0"),
            ("ifenslave bond0 eth1 eth2", "members eth1 eth2 dev bond0"),
            ("brctl addif br0 eth1", "members eth1 dev br0"),
            ("ip link set $IFACE master br0", "members eth0 dev br0"),
            ("ip link add dummy0 type dummy", "make dummy dev dummy0 None {}"),
            (
                "ip link add link $IFACE name v5 type vlan proto 802.1ad id 5",
                "make vlan dev v5 Some(\"eth0\") {\"id\": Number(5), \"protocol\": Text(\"802.1ad\")}",
            ),
            ("vconfig add eth0 7", "make vlan dev eth0.7 Some(\"eth0\") {\"id\": Number(7)}"),
            (
                "ip tunnel add t0 mode gre remote 192.0.2.1 ttl inherit key 1.0.0.0 dev eth0",
                "make gre dev t0 Some(\"eth0\") {\"ikey\": Number(16777216), \"okey\": Number(16777216), \"remote\": Ip(192.0.2.1), \"ttl\": Number(0)}",
            ),
            (
                "ip link add vx type vxlan id 5 remote 2001:db8::1 nolearning dstport 4789",
                "make vxlan dev vx None {\"dstport\": Number(4789), \"id\": Number(5), \"learning\": Bool(false), \"remote6\": Ip(2001:db8::1)}",
            ),
            (
                "bridge fdb append 00:00:00:00:00:00 dev vx dst 192.0.2.9 self permanent",
                "far end 192.0.2.9 dev vx",
            ),
            (
                "ip link add vy type vxlan id 6 tos 10 srcport 4000 5000",
                "make vxlan dev vy None {\"id\": Number(6), \"srcport\": Range(4000, 5000), \"tos\": Number(16)}",
            ),
            ("bridge vlan add dev $IFACE vid 10-20", "vlans dev eth0 10-20 true false false"),
            ("/sbin/bridge vlan add vid 7 dev br0 self pvid untagged", "vlans dev br0 7-7 true true true"),
            ("bridge vlan del dev eth1 vid 1", "vlans dev eth1 1-1 false false false"),
            (
                "ip link set dev br0 type bridge vlan_filtering 1",
                "options of bridge dev br0 {\"vlan_filtering\": Bool(true)}",
            ),
            (
                "/sbin/ethtool -K $IFACE tso off gro on",
                "tuned dev eth0 [(\"tx-tcp-segmentation\", false), (\"tx-tcp6-segmentation\", false), (\"rx-gro\", true)]  None",
            ),
            ("ethtool --set-ring eth1 rx 4096 tx 512", "tuned dev eth1 [] ring-rx 4096 ring-tx 512 None"),
            (
                "ethtool -s $IFACE speed 1000 duplex full autoneg off wol g",
                "tuned dev eth0 [] speed 1000 duplex full autoneg 0 Some(true)",
            ),
            ("ip rule add from 192.0.2.9 table 100", "rule from Some(\"192.0.2.9/32\") table 100"),
            ("ip rule add iif eth1 fwmark 0x1/0xf blackhole", "rule from None table 0"),
            ("ip link set dev eth1 promisc off", "promiscuous false dev eth1"),
            ("sysctl -qw net.ipv6.conf.$IFACE.accept_ra=0", "ipv6/accept_ra 0 dev eth0"),
            ("/sbin/sysctl net.ipv6.conf.eth0/7.mtu=1400", "ipv6/mtu 1400 dev eth0.7"),
            ("sysctl -e -w net/ipv4/conf/eth0.7/forwarding=1", "ipv4/forwarding 1 dev eth0.7"),
            (
                "ip link set dev b0 type bond mode active-backup arp_missed_max 3 ns_ip6_target 2001:db8::1,2001:db8::2",
                "options of bond dev b0 {\"missed_max\": Number(3), \"mode\": Text(\"active-backup\"), \"ns_ip6_target\": Ips([2001:db8::1, 2001:db8::2])}",
            ),
        ] {
            assert_eq!(routes(command), Some(vec![expected.to_owned()]), "{command}");
        }
        for command in ["sleep 2", "true", "modprobe 8021q", "modprobe dummy numdummies=0 || true"] {
            assert_eq!(routes(command), Some(Vec::new()), "{command}");
        }
        assert_eq!(
            routes("ip route add 10.0.0.0/8 via 192.0.2.1; ip route add 10.0.0.0/9 via 192.0.2.2"),
            Some(vec!["unicast 10.0.0.0/8 via 192.0.2.1".into(), "unicast 10.0.0.0/9 via 192.0.2.2".into()])
        );
    }

    #[test]
    fn ifconfig_brings_up_and_sets_addresses() {
        let effects = |command| routes(command).map(|all| all.join(", "));
        for (command, expected) in [
            ("/sbin/ifconfig $IFACE up", "nothing dev eth0"),
            ("ifconfig $IFACE promisc up", "nothing dev eth0, promiscuous true dev eth0"),
            ("ifconfig $IFACE 0.0.0.0 up", "nothing dev eth0"),
            ("ifconfig $IFACE 192.0.2.9/29", "nothing dev eth0, address 192.0.2.9/29 dev eth0"),
            (
                "ifconfig eth1 192.0.2.9 netmask 255.255.255.0 broadcast 192.0.2.255 mtu 1400",
                "nothing dev eth1, mtu 1400 dev eth1, address 192.0.2.9/24 dev eth1",
            ),
        ] {
            assert_eq!(effects(command).as_deref(), Some(expected), "{command}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for command in [
            "",
            "iptables-restore < /etc/iptables",
            "test -e /x && ip route add 10.0.0.0/8 via 192.0.2.1",
            "ip route del default",
            "ip route add 10.0.0.0/8",
            "ip route add 10.0.0.0/8 10.0.0.0/9 dev eth0",
            "ip route add default via 192.0.2.1 table provider",
            "ifconfig eth0 192.0.2.9",
            "bridge vlan add dev eth0 vid 4095",
            "bridge vlan add dev eth0 vid 2-7 pvid",
            "bridge vlan add dev eth0",
            "bridge vlan show",
            "bridge fdb add 02:00:00:00:00:01 dev eth0",
            "bridge fdb append 02:00:00:00:00:01 dev vx dst 192.0.2.9",
            "bridge fdb del 00:00:00:00:00:00 dev vx dst 192.0.2.9",
            "ifconfig",
            "ip route add $NET via 192.0.2.1",
            "ip route add 10.0.0.0/8 nexthop dev eth0 nexthop via 192.0.2.1",
            "ip route add 10.0.0.0/8 nexthop via 192.0.2.1 weight 0",
            "ip route add 10.0.0.0/8 via 192.0.2.1 nexthop via 192.0.2.2",
            "ip route add 10.0.0.0/8 nexthop via 192.0.2.1 nexthop via 2001:db8::1",
            "ip tunnel add x mode isatap",
            "ip link add x type nonsense",
            "ip link add x type vlan id 5000",
            "ip link add x type vlan colour 7",
            "brctl delbr br0",
            "modprobe bonding mode=1",
            "modprobe nf_conntrack",
            "test -e /etc/site || ip route add 10.0.0.0/8 via 192.0.2.1",
            "ip rule add from 192.0.2.9 oif eth0 table 100",
            "route del default",
            "route",
            "ifenslave -d bond0 eth1",
            "ethtool -K eth0",
            "ethtool -K eth0 tso",
            "ethtool -K eth0 nonsense off",
            "ethtool -s eth0 wol p",
            "ethtool -s eth0 speed fast",
            "ethtool -i eth0",
            "ip link set eth0 address 01:00:5e:00:00:01",
            "sysctl -p",
            "sysctl -w net.ipv6.conf.all.forwarding=1",
            "sysctl -w net.ipv6.conf.eth0.addr_gen_mode=2",
            "sysctl -w net.ipv6.conf.eth0.disable_ipv6",
            "sysctl -w net.ipv4.tcp_syncookies=1",
        ] {
            assert!(routes(command).is_none_or(|r| r.is_empty()), "{command}");
        }
    }
}
