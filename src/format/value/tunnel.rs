//! Tunnels, as in netplan and interfaces files: modes, ends, keys, hop limits.

use std::net::IpAddr;

use super::{bad, family_word, text};
use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::Node;
use crate::model::attribute::{self, OptionValue};
use crate::model::{Family, Kind, Link, Located, Place};

/// A mode of a tunnel, as in ip-tunnel(8).
pub(crate) struct Mode {
    pub(crate) word: &'static str,
    pub(crate) kind: Kind,
    /// The family of both ends; `None` if it is free, or there are none.
    pub(in crate::format) family: Option<Family>,
}

const MODES: &[Mode] = &[
    mode("gre", Kind::Gre, Some(Family::V4)),
    mode("gretap", Kind::Gretap, Some(Family::V4)),
    mode("ip6gre", Kind::Ip6gre, Some(Family::V6)),
    mode("ip6gretap", Kind::Ip6gretap, Some(Family::V6)),
    mode("ip6ip6", Kind::Ip6tnl, Some(Family::V6)),
    mode("ipip", Kind::Ipip, Some(Family::V4)),
    mode("ipip6", Kind::Ip6tnl, Some(Family::V6)),
    mode("sit", Kind::Sit, Some(Family::V4)),
    mode("vti", Kind::Vti, Some(Family::V4)),
    mode("vti6", Kind::Vti6, Some(Family::V6)),
];

const fn mode(word: &'static str, kind: Kind, family: Option<Family>) -> Mode {
    Mode { word, kind, family }
}

/// Modes that only netplan has.
pub(crate) const VIRTUAL: &[Mode] =
    &[mode("vxlan", Kind::Vxlan, None), mode("wireguard", Kind::Wireguard, None)];

impl Mode {
    /// The mode with this name.
    pub(in crate::format) fn of(word: &str) -> Option<&'static Mode> {
        MODES.iter().find(|mode| mode.word == word)
    }

    /// The names of all modes.
    pub(in crate::format) fn words() -> impl Iterator<Item = &'static str> + Clone {
        MODES.iter().map(|mode| mode.word)
    }

    /// Every mode.
    pub(crate) fn all() -> impl Iterator<Item = &'static Mode> {
        MODES.iter()
    }

    /// What is inside the tunnel, as in ip(8): the mode's own name except for sit.
    pub(crate) fn inside(&self) -> &'static str {
        if self.kind == Kind::Sit { "ip6ip" } else { self.word }
    }

    /// Sets what is inside the tunnel.
    pub(in crate::format) fn set(&self, link: &mut Link) {
        set(link, "mode", OptionValue::Text(self.inside().to_owned()), link.at);
    }
}

/// Both ends, of the outer packets' family. A tunnel requires only the remote end.
pub(in crate::format) fn ends(
    link: &mut Link,
    local: Option<Located<IpAddr>>,
    remote: Option<Located<IpAddr>>,
    family: Family,
    diags: &mut Vec<Diagnostic>,
) -> Option<()> {
    if remote.is_none() {
        let message = format!("{} \"{}\" has no remote address", link.kind.noun(), link.id);
        diags
            .push(Diagnostic::new(Code::MissingKey, link.at, message).hint("add the address of the far end"));
        return None;
    }
    for (key, ip) in [("local", local), ("remote", remote)] {
        let Some(ip) = ip else { continue };
        if Family::of(&ip.value) != family {
            let noun = link.kind.noun();
            let message = format!(
                "{key} {} of {noun} \"{}\" should be an {} address",
                ip.value,
                link.id,
                family_word(family)
            );
            diags.push(Diagnostic::new(Code::MixedFamilies, ip.at, message));
            return None;
        }
        set(link, key, OptionValue::Ip(ip.value), ip.at);
    }
    Some(())
}

/// The kernel's default of 0 means "as in the inner packet" with IPv4 outside. With IPv6 outside it would be a hop
/// limit of 0 in older kernels and leave no room for nested tunnels, so ip(8)'s values are set: 64 and 4. False if a
/// limit is given and the kind has none.
pub(in crate::format) fn hop_limits(link: &mut Link, given: Option<Located<u64>>) -> bool {
    let has = |name| attribute::of(link.kind, name).is_some();
    let (ttl, hoplimit) = (has("ttl"), has("hoplimit"));
    let known = match given {
        Some(number) if ttl || hoplimit => {
            let name = if ttl { "ttl" } else { "hoplimit" };
            set(link, name, OptionValue::Number(number.value as i64), number.at);
            true
        }
        Some(_) => false,
        None => {
            set(link, "hoplimit", OptionValue::Number(64), link.at);
            true
        }
    };
    set(link, "encaplimit", OptionValue::Number(4), link.at);
    known
}

/// A number of 32 bits, also as a dotted quad.
pub(in crate::format) fn tunnel_key(node: &Node, name: &str, diags: &mut Vec<Diagnostic>) -> Option<i64> {
    let text = text(node, name, diags)?;
    let key = key_of(text);
    if key.is_none() {
        let why = "not a tunnel key: a number up to 4294967295, or four numbers such as 10.0.0.1";
        diags.push(bad(Code::BadValue, node, name, why));
    }
    key
}

/// A number of 32 bits, also as a dotted quad.
pub(in crate::format) fn key_of(text: &str) -> Option<i64> {
    let quad = || text.parse::<std::net::Ipv4Addr>().ok().map(u32::from);
    text.parse::<u32>().ok().or_else(quad).map(i64::from)
}

/// Sets an option if the kind has it.
pub(in crate::format) fn set(link: &mut Link, name: &str, value: OptionValue, at: Place) {
    if let Some(row) = attribute::of(link.kind, name) {
        link.settings.set(row, value, at);
    }
}
