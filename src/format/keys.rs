//! The support of each key of each format: the one table behind unknown-key messages, the reference in docs/ and the
//! test that every key has a case.
//!
//! A format declares an [`Object`] for each kind of mapping it reads. [`Fields`] walks such a mapping: it reports keys
//! that are unknown or have no effect at once, and returns the others.

use super::tree::{Entry, Node, Value};
use crate::diagnostic::{Code, Diagnostic, Severity, nearest};
use crate::model::Place;

/// Keys whose values are never shown, in lowercase.
const SECRETS: &[&str] = &["key", "password", "preshared", "private", "psk", "shared"];
/// A word of base64 characters of this length is a key, whatever precedes it (WireGuard's have 44).
const LONG: usize = 40;

/// The line with secrets masked character by character, so that columns stay: the values of secret keys, and long words
/// of base64.
pub(super) fn without_secrets(line: &str) -> String {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let lower = line.to_ascii_lowercase();
    // In interfaces files a space follows the key.
    const INTERFACES: &[&str] = &[
        "wpa-psk",
        "wpa-passphrase",
        "wpa-password",
        "wpa-wep-key",
        "wpa-private-key",
        "wifi-psk",
        "wireless-key",
    ];
    let interfaces = INTERFACES.iter().find_map(|key| Some(lower.find(key)? + key.len()));
    let secret_from = SECRETS
        .iter()
        .flat_map(|key| lower.match_indices(key).map(|(at, _)| at + key.len()))
        .filter_map(|end| {
            // `key:`, `"key" :`, `private_key=`; not `keys:` or `keyboard`.
            let rest = line.get(end..)?;
            let value = rest.trim_start_matches(['"', '\'', ' ']).strip_prefix([':', '='])?;
            Some(line.len() - value.trim_start().len())
        })
        .chain(interfaces)
        .min()
        .unwrap_or(line.len());
    let (shown, secret) = line.split_at_checked(secret_from).unwrap_or((line, ""));
    let mut out = String::with_capacity(line.len());
    for word in shown.split_inclusive(|c| !is_letter(c)) {
        let letters = word.trim_end_matches(|c| !is_letter(c));
        if letters.len() >= LONG {
            out.extend(letters.chars().map(|_| '*'));
            out.push_str(word.get(letters.len()..).unwrap_or_default());
        } else {
            out.push_str(word);
        }
    }
    out.extend(secret.chars().map(|c| if c.is_whitespace() { c } else { '*' }));
    out
}

/// A kind of mapping in a format.
#[derive(Debug)]
pub struct Object {
    /// Its name in the reference: `links[] (bond)`.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

impl Object {
    /// The row of a key.
    fn row(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.is(name))
    }
}

/// A key of a mapping.
#[derive(Copy, Clone, Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// Its support.
    pub support: Support,
    /// Its meaning here: the reference's text, and the reason in a message.
    pub what: &'static str,
    /// The name is `ovs-…`: the row of all keys that begin like it.
    open: bool,
}

impl Key {
    /// Whether this is the row of a key.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.open && name.starts_with(self.name.trim_end_matches('…'))
    }
}

/// The support of a key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It has an effect.
    Applied,
    /// It is accepted and has no effect here: a note.
    NoEffect,
    /// The format has it but netapply does not support it: an error with the reason.
    Unsupported,
    /// It has an effect, and another key should be used instead: a warning with [`Key::what`].
    Deprecated,
    /// Left to a client in the image: a note.
    LeftToOthers,
}

/// Shorthand for a row.
pub const fn key(name: &'static str, support: Support, what: &'static str) -> Key {
    // Every key of a file is compared with every row: this is not looked for each time.
    let open = matches!(name.as_bytes(), [.., 0xe2, 0x80, 0xa6]);
    Key { name, support, what, open }
}

/// The keys of one mapping. Keys that the table does not know, or that have no effect, are reported on creation.
#[derive(Debug)]
pub struct Fields<'a> {
    /// Where the mapping begins.
    pub at: Place,
    /// Whether a key may be repeated, as in interfaces text; else that has been reported.
    pub repeats: bool,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    /// Reads `node` as the mapping `object`. `None`, with a diagnostic, if it is no mapping; null counts as empty.
    pub fn new(node: &'a Node, object: &'static Object, diags: &mut Vec<Diagnostic>) -> Option<Self> {
        Self::with_others(node, object, |_| false, diags)
    }

    /// Like [`Fields::new`], for a mapping that allows other spellings of its keys: those for which `other` is true are
    /// not reported and are left to the caller.
    pub fn with_others(
        node: &'a Node,
        object: &'static Object,
        other: impl Fn(&str) -> bool,
        diags: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let fields = Self::of(node, object, diags)?;
        // The preceding known key, if it is empty.
        let mut empty: Option<&Entry> = None;
        for entry in fields.entries {
            let row = object.row(&entry.key);
            let known = row.is_some();
            if known {
                empty = Some(entry).filter(|entry| entry.value.value == Value::Null);
            } else if other(&entry.key) {
                continue;
            }
            let near = diags.len() < super::MAX_DIAGNOSTICS;
            let report = report_entry(object, row, &entry.key, &entry.key, entry.key_at, near);
            diags.extend(report.map(
                |report| match empty.filter(|empty| !known && is_beside(empty, entry)) {
                    Some(empty) => report.hint(format!(
                        "\"{}\" above has nothing in it: does this belong there, indented further?",
                        empty.key
                    )),
                    None => report,
                },
            ));
        }
        Some(fields)
    }

    /// Like [`Fields::new`], for a mapping whose support as a whole has been reported: only unknown keys are reported.
    pub fn of_whole(node: &'a Node, object: &'static Object, diags: &mut Vec<Diagnostic>) -> Option<Self> {
        let fields = Self::of(node, object, diags)?;
        let reports = fields.entries.iter().filter_map(|entry| report(object, &entry.key, entry.key_at));
        diags.extend(reports.filter(|diags| diags.code == Code::UnknownKey));
        Some(fields)
    }

    fn of(node: &'a Node, object: &'static Object, diags: &mut Vec<Diagnostic>) -> Option<Self> {
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                let message = format!("{} should be a mapping, not {}", object.name, node.noun());
                let wrong = Diagnostic::new(Code::WrongShape, node.at, message);
                diags.push(match without_a_space(node) {
                    Some((key, value)) => {
                        let line = without_secrets(&format!("{key}: {value}"));
                        wrong.hint(format!("a space is missing: write \"{line}\""))
                    }
                    None => wrong,
                });
                return None;
            }
        };
        Some(Fields { at: node.at, repeats: false, entries })
    }

    /// The value of a key, unless it is absent, null or an empty text.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        let is_there = |node: &&Node| match &node.value {
            Value::Null => false,
            Value::Scalar(scalar) => !scalar.text.trim().is_empty(),
            Value::List(_) | Value::Map(_) => true,
        };
        self.entry(name).map(|e| &e.value).filter(is_there)
    }

    /// The entry of a key, even if its value is null. The last of several, as in every reader of these formats.
    pub fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().rev().find(|e| e.key == name)
    }

    /// Every entry, for mappings whose keys are names.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }
}

/// Whether a mapping is below an empty key, with the same indentation.
fn is_beside(empty: &Entry, entry: &Entry) -> bool {
    let is_map = matches!(entry.value.value, Value::Map(_));
    is_map && empty.key_at.column == entry.key_at.column && empty.key_at.line < entry.key_at.line
}

/// `dhcp4:true`, which is one word in YAML.
fn without_a_space(node: &Node) -> Option<(&str, &str)> {
    let (key, value) = node.text()?.split_once(':')?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let fits =
        !key.is_empty() && key.chars().all(is_key) && !value.is_empty() && !value.contains(['\n', ':']);
    fits.then_some((key, value))
}

/// The diagnostic for a key in a mapping; none if it has its effect.
pub(super) fn report(object: &Object, name: &str, at: Place) -> Option<Diagnostic> {
    report_as(object, name, name, at)
}

/// Like [`report`], for a key in another spelling.
pub(super) fn report_as(object: &Object, name: &str, written: &str, at: Place) -> Option<Diagnostic> {
    report_entry(object, object.row(name), name, written, at, true)
}

/// The support of an option that is unsupported without further consequences: a warning.
pub(super) const KERNEL: &str = "the kernel's default stays";

/// Names of a key in other formats and tools, and its names here.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("gw", &["via", "gateway"]),
    ("gateway", &["via", "gateway4"]),
    ("nexthop", &["via", "gateway"]),
    ("dst", &["to", "network", "destination"]),
    ("destination", &["to", "network"]),
    ("network", &["to"]),
    ("ip", &["addresses", "ip_address", "address"]),
    ("ip_address", &["addresses", "address"]),
    ("ipaddr", &["addresses", "ip_address", "address"]),
    ("address", &["addresses", "ip_address"]),
    ("addresses", &["ip_address", "address"]),
    ("dns", &["nameservers", "dns_nameservers", "dns-nameservers"]),
    ("dns_nameservers", &["nameservers"]),
    ("nameserver", &["dns-nameservers", "dns_nameservers", "nameservers"]),
    ("mac", &["macaddress", "mac_address", "ethernet_mac_address", "hwaddress"]),
    ("mac_address", &["macaddress", "ethernet_mac_address"]),
    ("hwaddr", &["macaddress", "mac_address", "ethernet_mac_address"]),
    ("slaves", &["interfaces", "bond_interfaces", "bond_links"]),
    ("members", &["interfaces", "bond_interfaces", "bond_links"]),
    ("bond_interfaces", &["bond_links"]),
    ("miimon", &["mii-monitor-interval"]),
    ("xmit-hash-policy", &["transmit-hash-policy"]),
    ("vlan_id", &["id"]),
    ("vlan-raw-device", &["link", "vlan_link"]),
];

/// Names of mappings, keys that are written in them by mistake, and where those belong. netplan's are beside its reader.
pub(super) const MISPLACED: &[(&[&str], &[&str], &str)] = &[
    (
        &["links[] (NIC)", "links[] (bond)", "links[] (vlan)", "links[] (bridge)"],
        &["ip_address", "netmask", "gateway", "routes", "dns_nameservers", "dns_search"],
        "it belongs to an entry of networks, with this link's id as its link",
    ),
    (
        &["networks[]"],
        &["mtu", "ethernet_mac_address", "vlan_id", "vlan_link", "bond_mode", "bond_links"],
        "it belongs to an entry of links",
    ),
    (
        &["network_data.json"],
        &["ip_address", "netmask", "gateway", "routes"],
        "it belongs to an entry of networks",
    ),
    (
        &[
            "config[] (physical, infiniband, loopback)",
            "config[] (bond)",
            "config[] (bridge)",
            "config[] (vlan)",
        ],
        &["address", "netmask", "gateway", "routes", "dns_nameservers", "dns_search", "pointopoint"],
        "it belongs to an entry of subnets",
    ),
    (
        &["subnets[]"],
        &["mac_address", "name", "vlan_id", "vlan_link", "bond_interfaces", "bridge_interfaces", "params"],
        "it belongs to the item, next to subnets",
    ),
    (
        &["interfaces[]"],
        &["address", "dhcp", "autoconf", "auto-dns", "addr-gen-mode", "token"],
        "it belongs below ipv4 or ipv6",
    ),
    (&["interfaces[]"], &["speed", "duplex", "auto-negotiation"], "it belongs below ethernet"),
    (&["interfaces[]"], &["ring", "coalesce", "pause", "feature"], "it belongs below ethtool"),
    (
        &["interfaces[]"],
        &["mode", "port", "options", "base-iface", "id", "peer", "remote", "local", "route-table-id"],
        "it belongs below the key of the type: link-aggregation, bridge, vlan, …",
    ),
    (&["bridge"], &["stp", "group-forward-mask"], "it belongs below options"),
    (
        &["link-aggregation"],
        &["miimon", "primary", "lacp_rate", "xmit_hash_policy"],
        "it belongs below options",
    ),
    (
        &["routes"],
        &["destination", "next-hop-address", "next-hop-interface"],
        "it belongs to an entry of config",
    ),
    (&["dns-resolver"], &["server", "search"], "it belongs below config"),
];

/// Where a key that is unknown here belongs.
fn home(object: &Object, name: &str) -> Option<&'static str> {
    let is_it = |(objects, keys, _): &&(&[&str], &[&str], &str)| {
        objects.contains(&object.name) && keys.contains(&name)
    };
    MISPLACED.iter().find(is_it).map(|(.., hint)| *hint)
}

/// The key here that has this other name.
fn elsewhere(object: &Object, name: &str) -> Option<&'static str> {
    let (_, here) = ELSEWHERE.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    here.iter().copied().find(|here| object.keys.iter().any(|key| key.name == *here))
}

/// `row`: the key's. `near`: with the nearest key as a hint. That takes time, and messages beyond the limit are not shown.
fn report_entry(
    object: &Object,
    row: Option<&Key>,
    name: &str,
    written: &str,
    at: Place,
    near: bool,
) -> Option<Diagnostic> {
    let Some(key) = row else {
        if let Some(home) = home(object, name) {
            let message = format!("unknown key \"{written}\" in {}, ignored", object.name);
            return Some(Diagnostic::new(Code::UnknownKey, at, message).hint(home));
        }
        let names = || object.keys.iter().map(|k| k.name).filter(|name| !name.ends_with('…'));
        let near = near.then(|| nearest(name, names())).flatten();
        let near = near.or_else(|| elsewhere(object, name));
        let message = format!("unknown key \"{written}\" in {}, ignored", object.name);
        let diags = Diagnostic::new(Code::UnknownKey, at, message);
        return Some(match near {
            Some(near) => diags.hint(format!("did you mean \"{near}\"?")),
            None => diags,
        });
    };
    #[cfg(test)]
    seen::note(key);
    let (code, message) = match key.support {
        Support::Applied => return None,
        Support::NoEffect => (Code::NoEffect, format!("\"{}\" has no effect here: {}", written, key.what)),
        Support::Unsupported if key.what == KERNEL => {
            let message = format!("\"{}\" is not supported: {KERNEL}", written);
            return Some(Diagnostic::new(Code::Unsupported, at, message).severity(Severity::Warning));
        }
        Support::Unsupported => {
            (Code::Unsupported, format!("\"{}\" is not supported: {}", written, key.what))
        }
        Support::Deprecated => (Code::DeprecatedKey, format!("\"{}\" is deprecated: {}", written, key.what)),
        Support::LeftToOthers => {
            (Code::LeftToOthers, format!("\"{}\" is left to the image: {}", written, key.what))
        }
    };
    Some(Diagnostic::new(code, at, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_columns_stay() {
        for (line, shown) in [
            ("      key: abc=", "      key: ****"),
            ("  \"private_key\": \"abc\", \"x\": 1", "  \"private_key\": ****** **** *"),
            ("password=it is this", "password=** ** ****"),
            ("- {keys: {public: x, shared: yz}}", "- {keys: {public: x, shared: ****"),
            ("  private-key-flags: [not-saved]", "  private-key-flags: [not-saved]"),
            ("  keyboard: us", "  keyboard: us"),
            ("ROOT_PASSWORD='x'", "ROOT_PASSWORD=***"),
            ("\twpa-psk abc", "\twpa-psk ***"),
            ("\twifi-psk abc", "\twifi-psk ***"),
            ("\twpa-password abc", "\twpa-password ***"),
            ("\twpa-wep-key0 abc", "\twpa-wep-key* ***"),
            (
                "  yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk= # x",
                "  ******************************************** # x",
            ),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }
}

/// The table keys that a test's descriptions contained, on this thread. A row that several tables share is one key.
#[cfg(test)]
pub(super) mod seen {
    use std::cell::RefCell;

    use foldhash::HashSet;

    use super::Key;

    thread_local! {
        static SEEN: RefCell<HashSet<(&'static str, &'static str)>> = RefCell::default();
    }

    pub(super) fn note(key: &Key) {
        SEEN.with_borrow_mut(|seen| seen.insert((key.name, key.what)));
    }

    /// Whether a description had this key.
    pub(in crate::format) fn has(key: &Key) -> bool {
        SEEN.with_borrow(|seen| seen.contains(&(key.name, key.what)))
    }
}
