//! `routes` and `route-rules`, which are global and name their links.

use foldhash::HashMap;
use ipnet::IpNet;

use super::{items, keys, number, text};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::check::references::ReferenceResolver;
use crate::format::keys::Fields;
use crate::format::tree::Node;
use crate::format::value::{self, family_word, one_of, prefix, try_gateway, try_ip};
use crate::model::{Family, IfName, Kind, Link, Located, Naming, NextHop, Route, RouteKind, Rule};

const MAIN_TABLE: u32 = 254;

/// A route with its link, and its weight if it has one.
struct Entry {
    link: Option<Located<String>>,
    route: Route,
    weighted: bool,
}

/// Assigns each route to its link. Routes without a link (blackhole) go to any link.
pub(super) fn routes(node: &Node, links: &mut Vec<Link>, diags: &mut Vec<Diagnostic>) {
    let Some(fields) = Fields::new(node, &keys::ROUTES, diags) else { return };
    let mut entries: Vec<Entry> = Vec::new();
    for item in items(fields.get("config"), "config", diags) {
        entries.extend(entry(item, diags));
    }
    let mut places = places(links);
    let mut resolver = ReferenceResolver::new(links, false);
    for Entry { link, route, .. } in shared(entries) {
        let Some(name) = link else {
            match links.first_mut() {
                Some(first) => first.routes.push(route),
                None => {
                    let message = format!("the route to {} has no link to be on", route.to);
                    diags.push(Diagnostic::new(Code::DanglingReference, route.at, message));
                }
            }
            continue;
        };
        if let Some(link) = places.get(&name.value).and_then(|at| links.get_mut(*at)) {
            link.routes.push(route);
        } else if let Some(link) = implied(name, route, &mut resolver, diags) {
            places.insert(link.id.clone(), links.len());
            links.push(link);
        }
    }
}

/// A route through an interface that is not described: one of the machine.
fn implied(
    name: Located<String>,
    route: Route,
    resolver: &mut ReferenceResolver,
    diags: &mut Vec<Diagnostic>,
) -> Option<Link> {
    let near = resolver.nearest("", &name.value);
    if IfName::new(&name.value).is_err() || near.is_some() {
        let message =
            format!("the route to {} is through \"{}\", which no interface is", route.to, name.value);
        let dangling = Diagnostic::new(Code::DanglingReference, name.at, message);
        diags.push(match near {
            Some(near) => dangling.hint(format!("did you mean \"{near}\"?")),
            None => dangling,
        });
        return None;
    }
    let message =
        format!("\"{}\" is not described: using the interface for the route to {}", name.value, route.to);
    diags.push(Diagnostic::new(Code::ImpliedLink, name.at, message));
    let mut link = Link::new(name.value, Kind::Physical, name.at);
    super::select_by_name(&mut link);
    link.select.implied = true;
    link.routes.push(route);
    Some(link)
}

/// The index of links, by their ids and by their desired names.
fn places(links: &[Link]) -> HashMap<String, usize> {
    let ids = links.iter().enumerate().map(|(at, link)| (link.id.clone(), at));
    let mut places: HashMap<String, usize> = ids.rev().collect();
    for (at, link) in links.iter().enumerate() {
        if let Naming::Set(name) | Naming::Alternative(name) = &link.naming {
            places.entry(name.value.to_string()).or_insert(at);
        }
    }
    places
}

/// Routes with a weight that differ only in the next hop share the traffic.
fn shared(entries: Vec<Entry>) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    let mut first: HashMap<(IpNet, Option<u32>, Option<u32>), usize> = HashMap::default();
    for entry in entries {
        let key = (entry.route.to, entry.route.metric, entry.route.table);
        let known = first.get(&key).and_then(|at| out.get_mut(*at)).filter(|_| entry.weighted);
        match known {
            Some(one) => one.route.more.push(NextHop {
                link: entry.link.map(|link| link.value),
                via: entry.route.via,
                on_link: false,
                weight: entry.route.weight,
            }),
            None => {
                if entry.weighted {
                    first.insert(key, out.len());
                }
                out.push(entry);
            }
        }
    }
    out
}

fn entry(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Entry> {
    let fields = Fields::new(node, &keys::ROUTE, diags)?;
    if not_described(&fields, &["absent", "ignore"], "route", diags) {
        return None;
    }
    let Some(to) = fields.get("destination") else {
        let message = "the route has no destination, left out";
        diags.push(Diagnostic::new(Code::MissingKey, node.at, message).hint("add destination"));
        return None;
    };
    let kind = kind(fields.get("route-type"), "route-type", diags)?;
    let via =
        fields.get("next-hop-address").map_or(Ok(None), |node| try_gateway(node, "next-hop-address", diags));
    let source = fields.get("source").map_or(Ok(None), |node| try_ip(node, "source", diags));
    // With another gateway, or none, it would be another route.
    let (via, source) = (via.ok()?, source.ok()?);
    let family = via.or(source).map_or(Family::V4, |ip| Family::of(&ip.value));
    let net = prefix(to, "destination", family, diags)?;
    for ip in [via, source].into_iter().flatten() {
        // An IPv4 route may have an IPv6 gateway, but no IPv6 route an IPv4 one.
        let is_gateway = via.is_some_and(|via| via.at == ip.at) && ip.value.is_ipv6();
        if Family::of(&ip.value) != Family::of(&net.addr()) && !is_gateway {
            let message = format!(
                "the route to {net} has the {} address {}, left out",
                family_word(Family::of(&ip.value)),
                ip.value
            );
            diags.push(Diagnostic::new(Code::MixedFamilies, ip.at, message));
            return None;
        }
    }
    let mut route = Route::new(net, via.map(|via| via.value), to.at);
    (route.kind, route.source) = (kind, source.map(|source| source.value));
    numbers(&mut route, &fields, diags);
    let weight = fields.get("weight").and_then(|node| value::number(node, "weight", 1..=256, diags));
    route.weight = weight.and_then(|weight| u16::try_from(weight.value).ok()).unwrap_or(1);
    let link = fields.get("next-hop-interface");
    let link = link
        .and_then(|node| Some(Located::new(text(node, "next-hop-interface", diags)?.to_owned(), node.at)));
    if link.is_none() && !kind.is_linkless() {
        let message = format!("the route to {net} has no next-hop-interface, left out");
        diags.push(Diagnostic::new(Code::MissingKey, node.at, message).hint("name its link"));
        return None;
    }
    if let Some(via) = route.via.take_if(|_| kind.is_linkless()) {
        let message = format!("a route of type {} goes nowhere: {via} was left out", kind.word());
        diags.push(Diagnostic::new(Code::OptionIgnored, route.at, message));
    }
    Some(Entry { link, route, weighted: weight.is_some() })
}

/// Absent items are not created.
fn not_described(fields: &Fields<'_>, words: &[&str], what: &str, diags: &mut Vec<Diagnostic>) -> bool {
    let Some(node) = fields.get("state") else { return false };
    match text(node, "state", diags) {
        Some(word) if words.contains(&word) => {
            let message = format!("this {what} is not made (state: {word})");
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            true
        }
        Some(_) => {
            diags.push(one_of(node, "state", words.iter().copied()));
            true
        }
        None => false,
    }
}

/// `None` if nmstate has no such type.
fn kind(node: Option<&Node>, key: &str, diags: &mut Vec<Diagnostic>) -> Option<RouteKind> {
    const KINDS: [&str; 3] = ["blackhole", "unreachable", "prohibit"];
    let Some(node) = node else { return Some(RouteKind::Unicast) };
    let word = text(node, key, diags)?.to_ascii_lowercase();
    let kind = KINDS.contains(&word.as_str()).then(|| RouteKind::from_word(&word)).flatten();
    if kind.is_none() {
        diags.push(one_of(node, key, KINDS.into_iter()));
    }
    kind
}

fn numbers(route: &mut Route, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    // -1 means the backend's default metric in nmstate.
    let metric = fields.get("metric").filter(|node| node.text() != Some("-1"));
    route.metric = metric
        .and_then(|node| value::number(node, "metric", 0..=u64::from(u32::MAX), diags))
        .and_then(|metric| u32::try_from(metric.value).ok());
    route.table = table(fields, "table-id", diags).filter(|table| *table != MAIN_TABLE);
    let mut unless_zero = |key: &'static str| {
        let number = value::number(fields.get(key)?, key, 0..=u64::from(u32::MAX), diags)?;
        u32::try_from(number.value).ok().filter(|number| *number > 0)
    };
    route.congestion_window = unless_zero("cwnd").or(unless_zero("initcwnd"));
    route.receive_window = unless_zero("initrwnd");
    route.mtu = unless_zero("mtu");
    route.advertised_mss = unless_zero("advmss");
}

/// 0 is the main table.
fn table(fields: &Fields<'_>, key: &str, diags: &mut Vec<Diagnostic>) -> Option<u32> {
    let number = value::number(fields.get(key)?, key, 0..=u64::from(u32::MAX), diags)?;
    u32::try_from(number.value).ok().map(|table| if table == 0 { MAIN_TABLE } else { table })
}

/// The rules of the machine.
pub(super) fn rules(node: &Node, diags: &mut Vec<Diagnostic>) -> Vec<Rule> {
    let Some(fields) = Fields::new(node, &keys::RULES, diags) else { return Vec::new() };
    items(fields.get("config"), "config", diags).iter().filter_map(|item| rule(item, diags)).collect()
}

fn rule(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Rule> {
    let fields = Fields::new(node, &keys::RULE, diags)?;
    if not_described(&fields, &["absent"], "rule", diags) {
        return None;
    }
    let mut side = |key: &'static str| match fields.get(key) {
        Some(node) => prefix(node, key, Family::V4, diags).map(Some).ok_or(()),
        None => Ok(None),
    };
    let (from, to) = (side("ip-from"), side("ip-to"));
    let (from, to) = (from.ok()?, to.ok()?);
    let written = match fields.get("family") {
        Some(node) => match text(node, "family", diags)? {
            "ipv4" => Some(Family::V4),
            "ipv6" => Some(Family::V6),
            _ => {
                diags.push(one_of(node, "family", ["ipv4", "ipv6"].into_iter()));
                return None;
            }
        },
        None => None,
    };
    if from.or(to).is_none() && written.is_none() {
        let message = "the rule has neither ip-from, ip-to nor family, left out";
        let hint = "write whose packets are meant, such as ip-from: 192.0.2.0/24";
        diags.push(Diagnostic::new(Code::MissingKey, node.at, message).hint(hint));
        return None;
    }
    let family = from.or(to).map(|net| Family::of(&net.addr())).or(written).unwrap_or(Family::V4);
    let mixed = [from, to].into_iter().flatten().any(|net| Family::of(&net.addr()) != family);
    if mixed || written.is_some_and(|written| written != family) {
        let message = "the rule mixes IPv4 and IPv6, left out";
        diags.push(Diagnostic::new(Code::MixedFamilies, node.at, message).hint("use one family in it"));
        return None;
    }
    // Without its selector, a rule would match packets that it should not.
    let mut selector = |key: &'static str| match fields.get(key) {
        Some(node) => number(node, key, u32::MAX.into(), diags)
            .and_then(|number| u32::try_from(number.value).ok())
            .map(Some)
            .ok_or(()),
        None => Ok(None),
    };
    let (mark, mask) = (selector("fwmark").ok()?, selector("fwmask").ok()?);
    let length = match fields.get("suppress-prefix-length") {
        Some(_) => "suppress-prefix-length",
        None => "suppress_prefixlength",
    };
    let suppress = selector(length).ok()?;
    let iif = match fields.get("iif") {
        Some(node) => Some(text(node, "iif", diags)?.to_owned()),
        None => None,
    };
    let action = kind(fields.get("action"), "action", diags)?;
    let table = match action {
        RouteKind::Unicast => table(&fields, "route-table", diags).unwrap_or(MAIN_TABLE),
        _ => 0,
    };
    let priority = fields.get("priority").filter(|node| node.text() != Some("-1"));
    let priority = priority.and_then(|node| value::number(node, "priority", 0..=u64::from(u32::MAX), diags));
    Some(Rule {
        from: from.filter(|net| net.prefix_len() > 0),
        to: to.filter(|net| net.prefix_len() > 0),
        action,
        priority: priority.and_then(|priority| u32::try_from(priority.value).ok()),
        mark,
        mask: mask.filter(|mask| *mask != u32::MAX),
        iif,
        suppress,
        ..Rule::new(family, table, node.at)
    })
}
