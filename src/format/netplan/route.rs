//! Routes, gateways and rules of a link.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::{Code, Diagnostic};
use crate::format::keys::Fields;
use crate::format::tree::Node;
use crate::format::value::{self, Reported, family_word};
use crate::model::{Family, Link, Place, Route, RouteKind, Rule, Scope};

use super::keys;

/// Types that netplan knows but the kernel no longer has.
const GONE: &[&str] = &["nat", "xresolve"];
/// The table of the machine's own addresses (`RT_TABLE_LOCAL`).
const LOCAL_TABLE: u32 = 255;

/// `routes`, `gateway4`, `gateway6` and `routing-policy`.
pub(super) fn read(link: &mut Link, fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) {
    for (key, family) in [("gateway4", Family::V4), ("gateway6", Family::V6)] {
        let Some(node) = fields.get(key) else { continue };
        let Some(via) = value::gateway(node, key, diags) else { continue };
        if Family::of(&via.value) == family {
            link.routes.push(Route::new(family.everything(), Some(via.value), node.at));
        } else {
            let why = format!("not an {} address", family_word(family));
            diags.push(value::bad(Code::MixedFamilies, node, key, &why));
        }
    }
    let items = value::items(fields.get("routes"), "routes", diags);
    link.routes.reserve(items.len());
    for item in items {
        link.routes.extend(route(item, diags));
    }
    for item in value::items(fields.get("routing-policy"), "routing-policy", diags) {
        link.rules.extend(rule(item, diags));
    }
}

fn route(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Route> {
    let fields = super::fields_at_home(node, &keys::ROUTE, diags)?;
    let Some(to) = fields.get("to") else {
        let message = "the route has no destination, left out";
        diags.push(Diagnostic::new(Code::MissingKey, node.at, message).hint("add to: default, or a network"));
        return None;
    };
    let kind = kind(&fields, diags)?;
    let via = fields.get("via").map_or(Ok(None), |node| value::try_gateway(node, "via", diags));
    let source = fields.get("from").map_or(Ok(None), |node| value::try_ip(node, "from", diags));
    // With another gateway, or none, it would be another route.
    let (via, source) = (via.ok()?, source.ok()?);
    let family = via.or(source).map_or(Family::V4, |ip| Family::of(&ip.value));
    let destination = value::prefix(to, "to", family, diags)?;
    let family = Family::of(&destination.addr());
    for (key, ip) in [("via", via), ("from", source)] {
        if let Some(ip) = ip.filter(|ip| Family::of(&ip.value) != family) {
            diags.push(mixed("route", "to", destination, key, ip.value, ip.at));
            return None;
        }
    }
    let mut route = Route::new(destination, via.map(|via| via.value), to.at);
    route.kind = kind;
    route.source = source.map(|source| source.value);
    route.on_link = fields
        .get("on-link")
        .and_then(|node| super::boolean(node, "on-link", diags))
        .is_some_and(|on| on.value);
    route.scope = fields.get("scope").and_then(|node| scope(node, family, diags));
    needs_gateway(&mut route, diags)?;
    route.scope = route.scope.filter(|_| family == Family::V4);
    let table = table(&fields, diags);
    let mut number = |key: &'static str| {
        fields.get(key).and_then(|node| value::number(node, key, 0..=u64::from(u32::MAX), diags))
    };
    route.metric = number("metric").map(|n| n.value as u32);
    let mut unless_zero = |key| number(key).map(|n| n.value as u32).filter(|n| *n > 0);
    route.mtu = unless_zero("mtu");
    route.congestion_window = unless_zero("congestion-window");
    route.receive_window = unless_zero("advertised-receive-window");
    route.advertised_mss = unless_zero("advertised-mss");
    // In the main table it would be another route.
    route.table = table.ok()?.or_else(|| {
        // As displayed by ip(8) and networkd.
        matches!(kind, RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast).then_some(LOCAL_TABLE)
    });
    Some(route)
}

/// A unicast route without a gateway is to neighbours on the link: netplan refuses one of global scope, and such a
/// default route is almost never intended.
fn needs_gateway(route: &mut Route, diags: &mut Vec<Diagnostic>) -> Option<()> {
    let alone = route.kind == RouteKind::Unicast && route.via.is_none();
    if alone && route.scope == Some(Scope::Global) {
        let message = format!("the route to {} has global scope and no gateway, left out", route.to);
        diags.push(
            Diagnostic::new(Code::BadGateway, route.at, message)
                .hint("add via, or write scope: link where the hosts are on the link itself"),
        );
        return None;
    }
    if let Some(via) = route.via.take_if(|_| route.kind.is_linkless()) {
        let message = format!("a route of type {} goes nowhere: via {via} was left out", route.kind.word());
        diags.push(Diagnostic::new(Code::OptionIgnored, route.at, message));
    }
    Some(())
}

/// `None` if the kernel has no such type.
fn kind(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Option<RouteKind> {
    let Some(node) = fields.get("type") else { return Some(RouteKind::Unicast) };
    let text = value::text(node, "type", diags)?.to_ascii_lowercase();
    if GONE.contains(&text.as_str()) {
        let message = format!("the kernel has no routes of type {text} any more, left out");
        diags.push(Diagnostic::new(Code::Unsupported, node.at, message));
        return None;
    }
    let kind = RouteKind::from_word(&text);
    if kind.is_none() {
        diags.push(value::one_of(node, "type", RouteKind::WORDS.iter().map(|(word, _)| *word)));
    }
    kind
}

fn scope(node: &Node, family: Family, diags: &mut Vec<Diagnostic>) -> Option<Scope> {
    const SCOPES: [&str; 3] = ["global", "link", "host"];
    let text = value::text(node, "scope", diags)?;
    let known = SCOPES.iter().find(|word| word.eq_ignore_ascii_case(text));
    let scope = known.and_then(|word| Scope::from_word(word));
    match scope {
        None => diags.push(value::one_of(node, "scope", SCOPES.into_iter())),
        Some(scope @ (Scope::Link | Scope::Host)) if family == Family::V6 => {
            let message = format!("scope {scope} has no effect: IPv6 routes have no scope");
            diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            return None;
        }
        Some(_) => {}
    }
    scope
}

fn rule(node: &Node, diags: &mut Vec<Diagnostic>) -> Option<Rule> {
    let fields = super::fields_at_home(node, &keys::RULE, diags)?;
    // `get` skips absent keys: a side without a prefix could not be read.
    let mut side = |key: &'static str| match fields.get(key) {
        Some(node) => value::prefix(node, key, Family::V4, diags).map(Some).ok_or(Reported),
        None => Ok(None),
    };
    let (from, to) = (side("from"), side("to"));
    let (from, to) = (from.ok()?, to.ok()?);
    let Some(one) = from.or(to) else {
        let message = "the rule has neither from nor to, left out";
        diags.push(
            Diagnostic::new(Code::MissingKey, node.at, message)
                .hint("write whose packets are meant, such as from: 192.0.2.0/24"),
        );
        return None;
    };
    let family = Family::of(&one.addr());
    if let (Some(from), Some(to)) = (from, to.filter(|to| Family::of(&to.addr()) != family)) {
        diags.push(mixed("rule", "from", from, "to", to.addr(), node.at));
        return None;
    }
    let table = table(&fields, diags);
    let mut number = |key: &'static str, most: u32| match fields.get(key) {
        Some(node) => match value::number(node, key, 0..=u64::from(most), diags) {
            Some(number) => Ok(u32::try_from(number.value).ok()),
            None => Err(Reported),
        },
        None => Ok(None),
    };
    let priority = number("priority", u32::MAX).ok().flatten();
    let (mark, tos) = (number("mark", u32::MAX), number("type-of-service", 255));
    // Without what selects its packets, or with another table, it would be another rule.
    let (table, mark, tos) = (table.ok()?.unwrap_or(super::MAIN_TABLE), mark.ok()?, tos.ok()?);
    let tos = tos.and_then(|n| u8::try_from(n).ok());
    Some(Rule { from, to, priority, mark, tos, ..Rule::new(family, table, node.at) })
}

fn table(fields: &Fields<'_>, diags: &mut Vec<Diagnostic>) -> Result<Option<u32>, Reported> {
    let Some(node) = fields.get("table") else { return Ok(None) };
    let number = value::number(node, "table", 1..=u64::from(u32::MAX), diags).ok_or(Reported)?;
    Ok(u32::try_from(number.value).ok())
}

fn mixed(what: &str, one: &str, net: IpNet, other: &str, ip: IpAddr, at: Place) -> Diagnostic {
    let families = |ip| family_word(Family::of(ip));
    let message = format!(
        "the {what} mixes {} ({one} {net}) and {} ({other} {ip}), left out",
        families(&net.addr()),
        families(&ip)
    );
    Diagnostic::new(Code::MixedFamilies, at, message).hint("use one family in it")
}
