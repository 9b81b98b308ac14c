//! Addresses with their prefix, destinations of routes, gateways: in every spelling that producers use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Reported, bad, text, try_text};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::tree::Node;
use crate::model::{Address, Family, Located, ParseError, Place, Route};

/// Like [`try_ip`], if the reason for `None` is irrelevant.
pub(crate) fn ip(node: &Node, key: &str, diags: &mut Vec<Diagnostic>) -> Option<Located<IpAddr>> {
    try_ip(node, key, diags).ok().flatten()
}

/// An IP address; `None` if it is absent. A prefix length or a zone after it (`fe80::1%eth0`) is meaningless here and
/// is dropped with a note.
pub(in crate::format) fn try_ip(
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> Result<Option<Located<IpAddr>>, Reported> {
    let Some(full) = try_text(node, key, diags)? else { return Ok(None) };
    let bare = full.split(['/', '%']).next().unwrap_or_default().trim();
    let Ok(ip) = bare.parse() else {
        diags.push(not_an_ip(node, key, bare));
        return Err(Reported);
    };
    if bare != full {
        let message = format!("{key} \"{full}\": using only the address {bare}");
        diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
    }
    Ok(Some(Located::new(ip, node.at)))
}

/// Like [`try_gateway`], if the reason for `None` is irrelevant.
pub(in crate::format) fn gateway(
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> Option<Located<IpAddr>> {
    try_gateway(node, key, diags).ok().flatten()
}

/// A gateway. `0.0.0.0` and `::` mean that there is none, as in Neutron's host routes.
pub(in crate::format) fn try_gateway(
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> Result<Option<Located<IpAddr>>, Reported> {
    let Some(gateway) = try_ip(node, key, diags)? else { return Ok(None) };
    if gateway.value.is_unspecified() {
        let message = format!("{key} {} means that there is no gateway", gateway.value);
        diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
        return Ok(None);
    }
    let is_broadcast = gateway.value == IpAddr::V4(Ipv4Addr::BROADCAST);
    if gateway.value.is_multicast() || gateway.value.is_loopback() || is_broadcast {
        diags.push(bad(Code::BadGateway, node, key, "cannot be a gateway"));
        return Err(Reported);
    }
    Ok(Some(gateway))
}

/// The prefix length of a netmask: `24`, `/24`, `255.255.255.0`, `ffff:ffff::`, `::/0`.
pub(in crate::format) fn prefix_length(text: &str, family: Family) -> Result<u8, ParseError> {
    const NO_MASK: ParseError = ParseError("not a netmask or prefix length");
    const HOLES: ParseError = ParseError("not a netmask: the ones must come first and the zeroes last");
    let number = text.rsplit('/').next().unwrap_or_default();
    if let Ok(length) = number.parse::<u8>() {
        let too_long = match family {
            Family::V4 => "an IPv4 prefix has at most 32 bits",
            Family::V6 => "an IPv6 prefix has at most 128 bits",
        };
        return if length <= family.bits() { Ok(length) } else { Err(ParseError(too_long)) };
    }
    let (ones, zeroes) = match (text.trim_start_matches('/').parse(), family) {
        (Ok(IpAddr::V4(mask)), Family::V4) => {
            let bits = u32::from(mask);
            (bits.leading_ones(), bits.trailing_zeros())
        }
        (Ok(IpAddr::V6(mask)), Family::V6) => {
            let bits = u128::from(mask);
            (bits.leading_ones(), bits.trailing_zeros())
        }
        (Ok(IpAddr::V4(_)), Family::V6) => return Err(ParseError("an IPv4 netmask for an IPv6 address")),
        (Ok(IpAddr::V6(_)), Family::V4) => return Err(ParseError("an IPv6 netmask for an IPv4 address")),
        (Err(_), _) => return Err(NO_MASK),
    };
    if ones + zeroes >= u32::from(family.bits()) { Ok(ones as u8) } else { Err(HOLES) }
}

/// How a format treats odd addresses.
#[derive(Copy, Clone, Debug)]
pub(in crate::format) struct AddressRules {
    /// Severity of a missing prefix length, which is assumed.
    pub(in crate::format) assumed: Severity,
    /// Whether an address with the prefix length 0 is left out.
    pub(in crate::format) refuse_zero: bool,
    /// Whether a netmask takes precedence over a prefix length after the address.
    pub(in crate::format) netmask_first: bool,
}

impl AddressRules {
    /// The rules of most formats.
    pub(in crate::format) const USUAL: AddressRules =
        AddressRules { assumed: Severity::Warning, refuse_zero: false, netmask_first: false };
}

/// The lower half of addresses from router advertisements.
pub(in crate::format) fn token(
    node: &Node,
    key: &str,
    diags: &mut Vec<Diagnostic>,
) -> Option<Located<Ipv6Addr>> {
    let ip = ip(node, key, diags)?;
    match ip.value {
        IpAddr::V6(token) if token.segments().get(..4) == Some(&[0; 4]) => Some(Located::new(token, ip.at)),
        _ => {
            let why = "not a token: an IPv6 address of which only the lower half is set, such as ::2";
            diags.push(bad(Code::BadAddress, node, key, why));
            None
        }
    }
}

/// Like [`interface_address_by`], by the usual rules.
pub(crate) fn interface_address(
    address: &Node,
    key: &str,
    netmask: Option<&Node>,
    diags: &mut Vec<Diagnostic>,
) -> Option<Address> {
    interface_address_by(AddressRules::USUAL, address, key, netmask, diags)
}

/// An address of an interface, with the prefix length after it or in a separate netmask. Without either it gets /24 or
/// /64, as in cloud-init.
pub(in crate::format) fn interface_address_by(
    rules: AddressRules,
    address: &Node,
    key: &str,
    netmask: Option<&Node>,
    diags: &mut Vec<Diagnostic>,
) -> Option<Address> {
    let full = text(address, key, diags)?;
    let (ip, behind) = split(address, key, full, diags)?;
    if ip.is_unspecified() || ip.is_multicast() {
        diags.push(bad(Code::BadAddress, address, key, "not an address that a host can have"));
        return None;
    }
    let length = Lengths { node: address, key, behind, netmask, family: Family::of(&ip) };
    let length = length.one(rules.netmask_first, diags).ok()?.unwrap_or_else(|| {
        let assumed = assumed_length(Family::of(&ip));
        let message = format!("{key} {ip} has no prefix length or netmask: /{assumed} was assumed");
        let hint = format!("write {ip}/{assumed}, or the right length, or add a netmask");
        let missing = Diagnostic::new(Code::AssumedPrefix, address.at, message);
        diags.push(missing.severity(rules.assumed).hint(hint));
        assumed
    });
    if length == 0 && rules.refuse_zero {
        diags.push(
            bad(Code::BadNetmask, address, key, "the prefix length is 0, left out")
                .hint("write the prefix length of the network, such as /24"),
        );
        return None;
    }
    if length == 0 {
        let message = format!("{key} {ip}/0 makes every address on-link");
        let warning = Diagnostic::new(Code::BadNetmask, address.at, message).severity(Severity::Warning);
        diags.push(warning.hint("the netmask or prefix length is probably missing its value"));
    }
    IpNet::new(ip, length).ok().map(|net| Address::new(net, address.at))
}

/// The destination of a route in all spellings: with the prefix after it (number or netmask), in a separate netmask, or
/// both; `default`, `0.0.0.0`, `::`, `::0` and `::/0` for everything. `default` alone is of `other_family`.
pub(in crate::format) fn destination(
    network: &Node,
    key: &str,
    netmask: Option<&Node>,
    other_family: Family,
    diags: &mut Vec<Diagnostic>,
) -> Option<IpNet> {
    let full = text(network, key, diags)?;
    if full == "default" {
        return Some(other_family.everything());
    }
    let (ip, behind) = split(network, key, full, diags)?;
    let length = Lengths { node: network, key, behind, netmask, family: Family::of(&ip) };
    let length = match length.one(false, diags).ok()? {
        Some(length) => length,
        None if ip.is_unspecified() => 0,
        None => assumed_destination(ip, network.at, key, diags),
    };
    let net = IpNet::new(ip, length).ok()?;
    if net.trunc() != net {
        let message = format!("{key} {net} has host bits set: using {}", net.trunc());
        diags.push(Diagnostic::new(Code::HostBits, network.at, message));
    }
    Some(net.trunc())
}

/// A prefix; a bare address is a host, as in networkd and nmstate.
pub(in crate::format) fn prefix(
    node: &Node,
    key: &str,
    family: Family,
    diags: &mut Vec<Diagnostic>,
) -> Option<IpNet> {
    let text = text(node, key, diags)?;
    match text.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() => Some(IpNet::from(ip)),
        Ok(ip) => {
            let message = format!("{key} {ip} without a prefix length is read as default");
            diags.push(Diagnostic::new(Code::AssumedPrefix, node.at, message).hint("write default"));
            Some(Family::of(&ip).everything())
        }
        _ => destination(node, key, None, family, diags),
    }
}

/// A route as network_data.json and cloud-init v1 write it. Without a gateway the destination is on-link; a default
/// route needs one.
pub(in crate::format) fn route(
    network: Located<&Node>,
    key: &str,
    netmask: Option<&Node>,
    via: Option<&Node>,
    diags: &mut Vec<Diagnostic>,
) -> Option<Route> {
    let gateway = via.map_or(Ok(None), |node| try_gateway(node, "gateway", diags));
    let family = gateway.ok().flatten().map_or(Family::V4, |g| Family::of(&g.value));
    let to = destination(network.value, key, netmask, family, diags)?;
    // Without its gateway it would be another route.
    let gateway = gateway.ok()?;
    if gateway.is_none() {
        let message = match to.prefix_len() {
            0 => format!("the default route {to} has no gateway and was left out"),
            _ => format!("the route to {to} has no gateway: treating its hosts as on this link"),
        };
        let severity = if to.prefix_len() == 0 { Severity::Error } else { Severity::Warning };
        diags.push(Diagnostic::new(Code::BadGateway, network.at, message).severity(severity));
        if severity == Severity::Error {
            return None;
        }
    }
    Some(Route::new(to, gateway.map(|g| g.value), network.at))
}

/// The address and the part after the slash.
fn split<'a>(
    node: &Node,
    key: &str,
    full: &'a str,
    diags: &mut Vec<Diagnostic>,
) -> Option<(IpAddr, Option<&'a str>)> {
    let (bare, behind) = match full.split_once('/') {
        Some((bare, behind)) => (bare.trim(), Some(behind.trim())),
        None => (full, None),
    };
    match bare.parse() {
        Ok(ip) => Some((ip, behind)),
        Err(_) => {
            diags.push(not_an_ip(node, key, bare));
            None
        }
    }
}

/// Where the prefix length of an address may be: after it, and in a separate netmask.
struct Lengths<'a> {
    node: &'a Node,
    key: &'a str,
    behind: Option<&'a str>,
    netmask: Option<&'a Node>,
    family: Family,
}

impl Lengths<'_> {
    /// The prefix length from either place; `None` if both are absent. If they differ, the one after the address
    /// counts, or the netmask if `netmask_first`.
    fn one(&self, netmask_first: bool, diags: &mut Vec<Diagnostic>) -> Result<Option<u8>, Reported> {
        let beside = match self.netmask {
            Some(node) => length(node, "netmask", self.family, diags)?,
            None => None,
        };
        let behind = self.behind.map(|text| prefix_length(text, self.family)).transpose();
        let behind = behind.map_err(|why| {
            diags.push(bad(Code::BadNetmask, self.node, self.key, why.0));
            Reported
        })?;
        if let (Some(behind), Some(beside), Some(mask)) = (behind, beside, self.netmask) {
            if behind != beside {
                diags.push(self.conflict(behind, beside, mask, netmask_first));
            }
        }
        Ok(if netmask_first { beside.or(behind) } else { behind.or(beside) })
    }

    fn conflict(&self, behind: u8, beside: u8, mask: &Node, netmask_first: bool) -> Diagnostic {
        let [whole, mask_text] = [self.node, mask].map(|n| n.text().unwrap_or_default());
        let key = self.key;
        let taken = match netmask_first {
            true => "using the netmask, as ifupdown does".to_owned(),
            false => format!("using /{behind}"),
        };
        let message =
            format!("{key} \"{whole}\" has /{behind}, and netmask \"{mask_text}\" means /{beside}: {taken}");
        Diagnostic::new(Code::ConflictingPrefix, mask.at, message).hint("remove one of the two")
    }
}

/// The prefix length of a netmask.
fn length(
    node: &Node,
    key: &str,
    family: Family,
    diags: &mut Vec<Diagnostic>,
) -> Result<Option<u8>, Reported> {
    let Some(text) = try_text(node, key, diags)? else { return Ok(None) };
    prefix_length(text, family).map(Some).map_err(|why| {
        diags.push(bad(Code::BadNetmask, node, key, why.0));
        Reported
    })
}

fn assumed_length(family: Family) -> u8 {
    match family {
        Family::V4 => 24,
        Family::V6 => 64,
    }
}

/// A network without a mask: /24 or /64 as in cloud-init, but a single host if host bits are set.
fn assumed_destination(ip: IpAddr, at: Place, key: &str, diags: &mut Vec<Diagnostic>) -> u8 {
    let family = Family::of(&ip);
    let short = assumed_length(family);
    let is_network = IpNet::new(ip, short).is_ok_and(|net| net.trunc() == net);
    let assumed = if is_network { short } else { family.bits() };
    let message = format!("{key} {ip} has no netmask: {ip}/{assumed} was assumed");
    let elsewhere = if is_network { "" } else { ": cloud-init takes the whole network of that host" };
    diags.push(Diagnostic::new(Code::AssumedPrefix, at, message).hint(format!("add the netmask{elsewhere}")));
    assumed
}

fn not_an_ip(node: &Node, key: &str, bare: &str) -> Diagnostic {
    let diags = bad(Code::BadAddress, node, key, "not an IP address");
    let zeroes = bare.split('.').any(|part| part.len() > 1 && part.starts_with('0'));
    if zeroes && bare.split('.').count() == 4 {
        diags.hint("write it without leading zeroes: some programs read 010 as 8")
    } else {
        diags
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;
    use crate::format::tree;

    /// Reads `{a: ADDRESS, m: NETMASK}`.
    fn address(yaml: &str) -> (Option<String>, Vec<String>) {
        read(yaml, |n, s| {
            let netmask = n.get("m");
            interface_address(n.get("a").unwrap(), "ip_address", netmask, s).map(|a| a.net.to_string())
        })
    }

    fn route_to(yaml: &str) -> (Option<String>, Vec<String>) {
        read(yaml, |n, s| {
            let network = n.get("n").unwrap();
            destination(network, "network", n.get("m"), Family::V4, s).map(|net| net.to_string())
        })
    }

    #[test]
    fn a_netmask_is_read_in_every_spelling() {
        for (yaml, net) in [
            ("{a: 192.0.2.1, m: 255.255.255.0}", "192.0.2.1/24"),
            ("{a: 192.0.2.1, m: '24'}", "192.0.2.1/24"),
            ("{a: 192.0.2.1, m: 24}", "192.0.2.1/24"),
            ("{a: 192.0.2.1, m: /24}", "192.0.2.1/24"),
            ("{a: 192.0.2.1, m: 255.255.255.254}", "192.0.2.1/31"),
            ("{a: 192.0.2.1, m: 255.255.255.255}", "192.0.2.1/32"),
            ("{a: 192.0.2.1/26}", "192.0.2.1/26"),
            ("{a: 192.0.2.1/255.255.255.192}", "192.0.2.1/26"),
            ("{a: 192.0.2.1/26, m: ''}", "192.0.2.1/26"),
            ("{a: '2001:db8::1', m: '64'}", "2001:db8::1/64"),
            ("{a: '2001:db8::1', m: 'ffff:ffff:ffff:ffff::'}", "2001:db8::1/64"),
            ("{a: '2001:db8::1', m: 'ffff:ffff:ffff:ffff:0000:0000:0000:0000'}", "2001:db8::1/64"),
            ("{a: '2001:0db8:0000:0000:0000:0000:0000:0001', m: 48}", "2001:db8::1/48"),
            ("{a: '2000:0:100::/56'}", "2000:0:100::/56"),
        ] {
            assert_eq!(address(yaml), (Some(net.into()), vec![]), "{yaml}");
        }
    }

    #[test]
    fn assumptions_and_errors_are_reported() {
        for (yaml, net, message) in [
            (
                "{a: 192.0.2.1}",
                Some("192.0.2.1/24"),
                "assumed-prefix: ip_address 192.0.2.1 has no prefix length or netmask: /24 was assumed",
            ),
            (
                "{a: '2001:db8::1', m: ''}",
                Some("2001:db8::1/64"),
                "assumed-prefix: ip_address 2001:db8::1 has no prefix length or netmask: /64 was assumed",
            ),
            (
                "{a: 192.0.2.1/24, m: 255.255.0.0}",
                Some("192.0.2.1/24"),
                "conflicting-prefix: ip_address \"192.0.2.1/24\" has /24, and netmask \"255.255.0.0\" means /16: using /24",
            ),
            (
                "{a: 192.0.2.1, m: 255.0.255.0}",
                None,
                "bad-netmask: netmask \"255.0.255.0\": not a netmask: the ones must come first and the zeroes last",
            ),
            (
                "{a: 192.0.2.1, m: 33}",
                None,
                "bad-netmask: netmask \"33\": an IPv4 prefix has at most 32 bits",
            ),
            (
                "{a: 192.0.2.1, m: 'ffff::'}",
                None,
                "bad-netmask: netmask \"ffff::\": an IPv6 netmask for an IPv4 address",
            ),
            (
                "{a: 192.0.2.1/x}",
                None,
                "bad-netmask: ip_address \"192.0.2.1/x\": not a netmask or prefix length",
            ),
            ("{a: 192.0.2.256, m: 24}", None, "bad-address: ip_address \"192.0.2.256\": not an IP address"),
            (
                "{a: 0.0.0.0, m: 24}",
                None,
                "bad-address: ip_address \"0.0.0.0\": not an address that a host can have",
            ),
        ] {
            assert_eq!(address(yaml), (net.map(str::to_owned), vec![message.to_owned()]), "{yaml}");
        }
    }

    #[test]
    fn a_default_route_is_read_in_every_spelling() {
        for (yaml, net) in [
            ("{n: 0.0.0.0, m: 0.0.0.0}", "0.0.0.0/0"),
            ("{n: '::', m: '::'}", "::/0"),
            ("{n: '::0', m: '::0'}", "::/0"),
            ("{n: '::/0'}", "::/0"),
            ("{n: '::/0', m: '::/0'}", "::/0"),
            ("{n: '::', m: '0'}", "::/0"),
            ("{n: 0.0.0.0, m: 0}", "0.0.0.0/0"),
            ("{n: 0.0.0.0/0}", "0.0.0.0/0"),
            ("{n: 0.0.0.0/0.0.0.0}", "0.0.0.0/0"),
            ("{n: 0.0.0.0}", "0.0.0.0/0"),
            ("{n: '::'}", "::/0"),
            ("{n: default}", "0.0.0.0/0"),
            ("{n: '::', m: 'ffff:ffff:ffff::'}", "::/48"),
            ("{n: 0.0.0.0, m: 255.255.255.0}", "0.0.0.0/24"),
            ("{n: 10.0.0.0, m: 255.0.0.0}", "10.0.0.0/8"),
            ("{n: 10.1.2.3, m: 255.255.255.255}", "10.1.2.3/32"),
        ] {
            assert_eq!(route_to(yaml), (Some(net.into()), vec![]), "{yaml}");
        }
        for (yaml, net, message) in [
            (
                "{n: 10.1.2.3, m: 255.0.0.0}",
                "10.0.0.0/8",
                "host-bits: network 10.1.2.3/8 has host bits set: using 10.0.0.0/8",
            ),
            (
                "{n: 10.1.2.0}",
                "10.1.2.0/24",
                "assumed-prefix: network 10.1.2.0 has no netmask: 10.1.2.0/24 was assumed",
            ),
            (
                "{n: 10.1.2.3}",
                "10.1.2.3/32",
                "assumed-prefix: network 10.1.2.3 has no netmask: 10.1.2.3/32 was assumed",
            ),
        ] {
            assert_eq!(route_to(yaml), (Some(net.into()), vec![message.to_owned()]), "{yaml}");
        }
    }

    #[test]
    fn routes_without_a_gateway() {
        let one = |yaml: &str| {
            read(yaml, |n, s| {
                let network = Located::new(n.get("n").unwrap(), n.at);
                route(network, "network", n.get("m"), n.get("g"), s).map(|r| (r.to.to_string(), r.via))
            })
        };
        assert_eq!(one("{n: 10.0.0.0, m: 8, g: 192.0.2.1}").0.unwrap().1, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(one("{n: default, g: 'fe80::1'}").0.unwrap().0, "::/0");
        let (direct, diags) = one("{n: 10.0.0.0, m: 8, g: ''}");
        assert_eq!(direct, Some(("10.0.0.0/8".into(), None)));
        assert_eq!(
            diags,
            ["bad-gateway: the route to 10.0.0.0/8 has no gateway: treating its hosts as on this link"]
        );
        let (none, diags) = one("{n: 0.0.0.0, m: 0}");
        assert_eq!((none, diags.len()), (None, 1));
        assert_eq!(
            one("{n: 10.0.0.0, m: 8, g: nowhere}").1,
            ["bad-address: gateway \"nowhere\": not an IP address"]
        );
    }

    #[test]
    fn zones_and_leading_zeroes() {
        let (gw, diags) = read("'fe80::1%eth0'", |n, s| gateway(n, "gateway", s));
        assert_eq!(gw.unwrap().value.to_string(), "fe80::1");
        assert_eq!(diags, ["no-effect: gateway \"fe80::1%eth0\": using only the address fe80::1"]);
        let mut diags = Vec::new();
        let root = tree::parse("x: 192.168.001.010", 0, &mut diags).unwrap();
        assert!(ip(root.get("x").unwrap(), "address", &mut diags).is_none());
        assert!(diags[0].hint.as_ref().unwrap().contains("leading zeroes"));
    }
}
