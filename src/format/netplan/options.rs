//! netplan's parameters of bonds, bridges and VXLANs, each with the kernel's option that it sets: one table for the
//! keys, their units and their unset values.

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::format::keys::{Fields, Key, Support, key};
use crate::format::tree::Node;
use crate::format::value;
use crate::model::attribute::{self, Attribute, OptionValue};
use crate::model::{Kind, Located, Settings};

use super::time;
use How::{Centiseconds, Milliseconds, Range, Row, Seconds, Set, UnlessZero, Words};
use Support::{Applied, Deprecated};

/// A key and the option that it sets.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Parameter {
    /// The key.
    pub(crate) key: Key,
    /// [`Attribute::name`] in the kind's table.
    pub(crate) option: &'static str,
    /// How its value is converted to the option's.
    pub(crate) how: How,
}

/// How a value is converted to the option's.
#[derive(Copy, Clone, Debug)]
pub(crate) enum How {
    /// By the option's row: a keyword, a boolean, a number, an address, the id of a link.
    Row,
    /// A whole number, with 0 for unset: netplan writes no line for it.
    UnlessZero,
    /// A time; a bare number is milliseconds. The kernel's unit is milliseconds, and 0 means unset.
    Milliseconds,
    /// A time; a bare number is seconds. The kernel's unit is seconds.
    Seconds,
    /// A time; a bare number is seconds. The kernel's unit is 1/100 s (USER_HZ). True if 0 is set as well: networkd
    /// passes 0 on for the ageing time only.
    Centiseconds(bool),
    /// On or off, as these words of the option.
    Words { on: &'static str, off: &'static str },
    /// A list of words, each of which turns on the option next to it.
    Set(&'static [(&'static str, &'static str)]),
    /// A list of two ports.
    Range,
}

/// The keys of a table, for the reference.
pub(super) const fn keys_of<const N: usize>(parameters: &[Parameter]) -> [Key; N] {
    let mut keys = [key("", Applied, ""); N];
    let mut i = 0;
    while i < N {
        keys[i] = parameters[i].key;
        i += 1;
    }
    keys
}

const fn row(name: &'static str, option: &'static str, how: How, what: &'static str) -> Parameter {
    Parameter { key: key(name, Applied, what), option, how }
}

/// Parameters of bonds. `primary` names a link by its id; the reference check resolves it.
pub(crate) const BOND: &[Parameter] = &[
    row("ad-select", "ad_select", Row, "which aggregate 802.3ad uses: stable, bandwidth, count"),
    row("all-members-active", "all_slaves_active", Row, "accept packets on inactive members"),
    row("all-slaves-active", "all_slaves_active", Row, "older name of all-members-active"),
    row("arp-all-targets", "arp_all_targets", Row, "any or all"),
    row("arp-interval", "arp_interval", Milliseconds, "time between ARP probes; a bare number is ms"),
    row("arp-ip-targets", "arp_ip_target", Row, "IPv4 addresses to probe, at most 16"),
    row("arp-validate", "arp_validate", Row, "none, active, backup, all"),
    row("down-delay", "downdelay", Milliseconds, "wait before a lost link is given up; a bare number is ms"),
    row("fail-over-mac-policy", "fail_over_mac", Row, "none, active, follow"),
    Parameter {
        key: key("gratuitious-arp", Deprecated, "misspelled: use gratuitous-arp"),
        option: "num_grat_arp",
        how: UnlessZero,
    },
    row("gratuitous-arp", "num_grat_arp", UnlessZero, "ARP packets sent after a failover"),
    row("lacp-rate", "lacp_rate", Row, "slow or fast"),
    row("learn-packet-interval", "lp_interval", Seconds, "between learning packets; a bare number is s"),
    row("mii-monitor-interval", "miimon", Milliseconds, "interval of link monitoring; a bare number is ms"),
    row("min-links", "min_links", UnlessZero, "members with carrier that the bond needs"),
    row("mode", "mode", Row, "802.3ad, active-backup, balance-xor, …; balance-rr where it is missing"),
    row("packets-per-member", "packets_per_slave", UnlessZero, "packets before balance-rr goes on"),
    row("packets-per-slave", "packets_per_slave", UnlessZero, "older name of packets-per-member"),
    row("primary", "primary", Row, "id of the member to prefer"),
    row("primary-reselect-policy", "primary_reselect", Row, "always, better, failure"),
    row("resend-igmp", "resend_igmp", UnlessZero, "IGMP reports sent after a failover"),
    row("transmit-hash-policy", "xmit_hash_policy", Row, "what chooses the member: layer2, layer3+4, …"),
    row("up-delay", "updelay", Milliseconds, "wait before a found link is used; a bare number is ms"),
];

/// Parameters of bridges with one option each.
pub(crate) const BRIDGE: &[Parameter] = &[
    row(
        "ageing-time",
        "ageing_time",
        Centiseconds(true),
        "how long a MAC address is kept; a bare number is s",
    ),
    row("aging-time", "ageing_time", Centiseconds(true), "the same"),
    row("forward-delay", "forward_delay", Centiseconds(false), "spanning tree's delay; a bare number is s"),
    row("hello-time", "hello_time", Centiseconds(false), "between hello packets; a bare number is s"),
    row("max-age", "max_age", Centiseconds(false), "how long a hello packet counts; a bare number is s"),
    row("priority", "priority", UnlessZero, "of the bridge in the spanning tree, 0 to 65535"),
];

/// Keys of VXLANs with one option each. `port` is also WireGuard's.
pub(crate) const VXLAN: &[Parameter] = &[
    row("ageing", "ageing", UnlessZero, "VXLAN: how long a MAC address is kept, seconds"),
    row("aging", "ageing", UnlessZero, "the same"),
    row("arp-proxy", "proxy", Row, "VXLAN: answer ARP for others"),
    row("checksums", "udpcsum", Set(CHECKSUMS), "VXLAN: UDP checksums"),
    row("do-not-fragment", "df", Words { on: "set", off: "unset" }, "VXLAN: DF flag of the outer packets"),
    row("extensions", "gbp", Set(EXTENSIONS), "VXLAN: group-policy, generic-protocol"),
    row("flow-label", "flowlabel", Row, "VXLAN: flow label of the outer packets, 0 to 1048575"),
    row("id", "id", Row, "VXLAN: its number, 1 to 16777215"),
    row("limit", "maxaddress", UnlessZero, "VXLAN: MAC addresses that are kept"),
    row("mac-learning", "learning", Row, "VXLAN: learn MAC addresses"),
    row("notifications", "l2miss", Set(NOTIFICATIONS), "VXLAN: l2-miss, l3-miss"),
    row("port", "dstport", UnlessZero, "VXLAN: UDP port to send to; WireGuard: UDP port to listen on"),
    row("port-range", "srcport", Range, "VXLAN: UDP ports to send from, lowest and highest"),
    row("short-circuit", "rsc", Row, "VXLAN: route short circuit"),
    row("type-of-service", "tos", UnlessZero, "VXLAN: type of service of the outer packets"),
];

const NOTIFICATIONS: &[(&str, &str)] = &[("l2-miss", "l2miss"), ("l3-miss", "l3miss")];
const EXTENSIONS: &[(&str, &str)] = &[("group-policy", "gbp"), ("generic-protocol", "gpe")];
const CHECKSUMS: &[(&str, &str)] = &[
    ("udp", "udpcsum"),
    ("zero-udp6-tx", "udp6zerocsumtx"),
    ("zero-udp6-rx", "udp6zerocsumrx"),
    ("remote-tx", "remcsumtx"),
    ("remote-rx", "remcsumrx"),
];

/// Sets the options of `kind` that the mapping names.
pub(super) fn read(
    parameters: &[Parameter],
    fields: &Fields<'_>,
    kind: Kind,
    settings: &mut Settings,
    diags: &mut Vec<Diagnostic>,
) {
    for parameter in parameters {
        let Some(node) = fields.get(parameter.key.name) else { continue };
        let Some(row) = attribute::of(kind, parameter.option) else { continue };
        parameter.read(row, node, kind, settings, diags);
    }
}

impl Parameter {
    fn read(
        &self,
        row: &'static Attribute,
        node: &Node,
        kind: Kind,
        settings: &mut Settings,
        diags: &mut Vec<Diagnostic>,
    ) {
        let name = self.key.name;
        let number = match self.how {
            UnlessZero if node.text() == Some("0") => return unset(name, node, diags),
            // netplan passes the word on, and networkd ignores unknown ones.
            Row if node.text() == Some("none") && has_no_none(row) => {
                let default =
                    if row.name == "mode" { ": the kernel's default, balance-rr, is used" } else { "" };
                let message = format!("{name} none counts as not set{default}");
                return diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
            }
            Row | UnlessZero => return value::set_option(settings, row, node, name, diags),
            Milliseconds => time::read(node, name, time::MILLISECOND, diags).map(|us| us / 1000),
            Seconds => time::read(node, name, time::SECOND, diags).map(|us| us / time::SECOND),
            Centiseconds(_) => {
                time::read(node, name, time::SECOND, diags).map(|us| us.div_ceil(time::SECOND / 100))
            }
            Words { on, off } => {
                let word = super::boolean(node, name, diags).map(|b| if b.value { on } else { off });
                if let Some(word) = word {
                    settings.set(row, OptionValue::Text(word.to_owned()), node.at);
                }
                return;
            }
            Set(words) => return set(words, node, name, kind, settings, diags),
            Range => return range(row, node, name, settings, diags),
        };
        match number.map(i64::try_from) {
            Some(Ok(0)) if self.zero_is_unset() => {
                if matches!(self.how, Centiseconds(_)) {
                    unset(name, node, diags);
                }
            }
            Some(Ok(number)) if number <= u32::MAX.into() => {
                settings.set(row, OptionValue::Number(number), node.at);
            }
            Some(_) => diags.push(value::bad(Code::BadValue, node, name, "too long a time")),
            None => {}
        }
    }
}

/// netplan writes no line for 0, whatever the kernel's default.
pub(super) fn unset(name: &str, node: &Node, diags: &mut Vec<Diagnostic>) {
    let message = format!("{name} 0 counts as not set, as in netplan: the kernel's default stays");
    diags.push(Diagnostic::new(Code::NoEffect, node.at, message));
}

/// An option of words, none of which is `none`.
fn has_no_none(row: &Attribute) -> bool {
    !row.words().is_empty() && row.words().iter().all(|(word, _)| *word != "none")
}

/// A list of words that turn options on.
fn set(
    words: &[(&str, &str)],
    node: &Node,
    name: &str,
    kind: Kind,
    settings: &mut Settings,
    diags: &mut Vec<Diagnostic>,
) {
    for item in value::items(Some(node), name, diags) {
        let Some(text) = value::text(item, name, diags) else { continue };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        match found.and_then(|(_, option)| attribute::of(kind, option)) {
            Some(row) => settings.set(row, OptionValue::Bool(true), item.at),
            None => diags.push(value::one_of(item, name, words.iter().map(|(word, _)| *word))),
        }
    }
}

/// Two ports, in ascending order.
fn range(
    row: &'static Attribute,
    node: &Node,
    name: &str,
    settings: &mut Settings,
    diags: &mut Vec<Diagnostic>,
) {
    let items = value::items(Some(node), name, diags);
    let ports: Vec<Located<u64>> =
        items.iter().filter_map(|item| value::number(item, name, 0..=65535, diags)).collect();
    match ports.as_slice() {
        [a, b] => {
            if a.value > b.value {
                let message = format!("{name} [{}, {}] is read as [{1}, {0}]", a.value, b.value);
                diags.push(Diagnostic::new(Code::BadValue, node.at, message).severity(Severity::Warning));
            }
            let (low, high) = (a.value.min(b.value) as u16, a.value.max(b.value) as u16);
            settings.set(row, OptionValue::Range(low, high), node.at);
        }
        _ if items.len() != 2 => {
            let message = format!("{name} should be a list of two ports, the lowest and the highest");
            diags.push(Diagnostic::new(Code::BadValue, node.at, message));
        }
        _ => {}
    }
}

/// The names of a table's keys.
pub(super) fn keys(parameters: &'static [Parameter]) -> impl Iterator<Item = &'static str> {
    parameters.iter().map(|parameter| parameter.key.name)
}

impl Parameter {
    /// Whether a writer uses this key: of several for one option, the first is the usual one.
    pub(crate) fn is_usual(&self) -> bool {
        self.key.support == Applied
    }

    /// 0 means unset.
    pub(crate) fn zero_is_unset(&self) -> bool {
        !matches!(self.how, Row | Seconds | Centiseconds(true))
    }
}
