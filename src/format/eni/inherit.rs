//! `iface eth0 inet static inherits ethernet`: a stanza takes over the options of another, as in interfaces(5);
//! ifupdown-ng writes `inherit` inside the stanza.
//!
//! [`resolve`] copies them in the tree, so that readers of a stanza find all of its options there.

use foldhash::{HashMap, HashSet};

use super::table::REPEATED;
use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::{Entry, MAX_NODES, Node, Value};
use crate::format::value::words;
use crate::model::Place;

const KEYWORD: &str = "inherits";
/// ifupdown-ng's option.
const OPTION: &str = "inherit";

/// The tree without `inherits`, and the names of the stanzas that others inherit from. `None` if no stanza inherits, or
/// if they would inherit too much, which has been reported then.
pub(super) fn resolve(root: &Node, diags: &mut Vec<Diagnostic>) -> Option<(Node, HashSet<String>)> {
    let Value::Map(entries) = &root.value else { return None };
    let mut templates = HashSet::default();
    let mut resolved: Vec<Entry> = Vec::with_capacity(entries.len());
    // The stanzas of each name: earlier ones, with their own templates already resolved, before later ones.
    let mut above: HashMap<&str, Vec<usize>> = HashMap::default();
    let mut below: HashMap<&str, Vec<usize>> = HashMap::default();
    for (i, entry) in entries.iter().enumerate() {
        if let Some(header) = Header::of(entry) {
            below.entry(header.name).or_default().push(i);
        }
    }
    let (mut any, mut taken) = (false, 0);
    for (i, entry) in entries.iter().enumerate() {
        let Some(header) = Header::of(entry) else {
            resolved.push(entry.clone());
            continue;
        };
        above.entry(header.name).or_default().push(i);
        let Some((template, at)) = header.template(entry, diags) else {
            any |= header.inherits.is_some();
            resolved.push(header.with(entry, None));
            continue;
        };
        let candidates = |map: &HashMap<&str, Vec<usize>>, all: &[Entry]| {
            let stanzas = map.get(template).into_iter().flatten().filter(|n| **n != i);
            stanzas.filter_map(|n| all.get(*n)).find(|e| header.fits(e)).cloned()
        };
        let found = candidates(&above, &resolved).or_else(|| candidates(&below, entries));
        if let Some(found) = &found {
            templates.insert(template.to_owned());
            taken += options(found).len();
        } else {
            let message =
                format!("\"{}\" inherits from \"{template}\", which no stanza describes", header.name);
            diags.push(Diagnostic::new(Code::DanglingReference, at, message));
        }
        if taken > MAX_NODES {
            let message = "stanzas inherit more than 100,000 options: none is inherited";
            diags.push(Diagnostic::new(Code::TooLarge, at, message));
            return None;
        }
        any = true;
        resolved.push(header.with(entry, found.as_ref()));
    }
    any.then_some((Node { at: root.at, value: Value::Map(resolved) }, templates))
}

/// The words of `iface NAME [FAMILY [METHOD]] [inherits TEMPLATE]`.
struct Header<'a> {
    name: &'a str,
    family: Option<&'a str>,
    method: Option<&'a str>,
    /// The template in the header; empty if the word has no name after it.
    inherits: Option<&'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Header<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        let mut words: Vec<&str> = entry.key.strip_prefix("iface ")?.split(' ').collect();
        let mut inherits = None;
        if let Some(at) = words.iter().skip(1).position(|word| *word == KEYWORD) {
            let behind = words.split_off(at + 1);
            inherits = Some(behind.get(1).copied().unwrap_or_default());
        }
        let mut words = words.into_iter();
        let (name, family, method) = (words.next()?, words.next(), words.next());
        Some(Header { name, family, method, inherits, rest: words.collect() })
    }

    /// The template that the stanza names in its header or among its options, and where.
    fn template(&self, entry: &'a Entry, diags: &mut Vec<Diagnostic>) -> Option<(&'a str, Place)> {
        let option = options(entry).iter().find(|e| e.key == OPTION).map(|e| &e.value);
        let word = option.and_then(|node| words(node, OPTION, diags).into_iter().next());
        match (self.inherits, word) {
            (Some(""), None) => {
                let message = format!("\"{}\" inherits from nothing", self.name);
                diags.push(
                    Diagnostic::new(Code::MissingKey, entry.key_at, message)
                        .hint("write the name of the stanza after inherits"),
                );
                None
            }
            (_, Some(word)) => Some((word.value, word.at)),
            (Some(name), None) => Some((name, entry.key_at)),
            (None, None) => None,
        }
    }

    /// Whether the stanza may inherit from `template`: both of one family, if they name one.
    fn fits(&self, template: &Entry) -> bool {
        let of = Header::of(template).and_then(|header| header.family.map(str::to_owned));
        self.family.is_none() || of.is_none() || of.as_deref() == self.family
    }

    /// The stanza with what it inherits: family and method unless it names them, and the options it lacks.
    fn with(&self, entry: &Entry, template: Option<&Entry>) -> Entry {
        let of = template.and_then(Header::of);
        let family = self.family.or(of.as_ref().and_then(|of| of.family));
        let method = self.method.or(of.as_ref().and_then(|of| of.method));
        let header =
            ["iface", self.name].into_iter().chain(family).chain(method).chain(self.rest.iter().copied());
        let own = options(entry);
        let keys: HashSet<&str> = own.iter().map(|e| e.key.as_str()).collect();
        // Repeatable options are taken from both: ifupdown-ng uses the addresses of both.
        let is_inherited = |e: &&Entry| {
            e.key != OPTION && (REPEATED.contains(&e.key.as_str()) || !keys.contains(e.key.as_str()))
        };
        let inherited = template.map(options).unwrap_or_default().iter().filter(is_inherited);
        let all = inherited.chain(own).cloned().collect();
        Entry {
            key: header.collect::<Vec<_>>().join(" "),
            key_at: entry.key_at,
            value: Node { at: entry.value.at, value: Value::Map(all) },
        }
    }
}

fn options(entry: &Entry) -> &[Entry] {
    match &entry.value.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}
