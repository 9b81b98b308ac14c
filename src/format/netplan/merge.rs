//! Several files as one: mappings are merged key by key, lists are joined, and anything else is replaced by the later
//! file. A section that occurs twice in one file is merged the same way.

use foldhash::{HashMap, HashSet};

use crate::format::tree::{Entry, Node, Value};
use crate::model::Place;

/// Lists that a later file replaces, because netplan treats them as one value.
const REPLACED: &[&str] = &["link-local", "driver", "port-range"];
/// Longer lists are joined without looking for common items.
const SHORT: usize = 1000;

/// The documents as one, in their order. Places still refer to the files.
pub(super) fn merge(documents: &[&Node]) -> Option<Node> {
    let (first, later) = documents.split_first()?;
    let mut merged = (*first).clone();
    for document in later {
        into(&mut merged, document);
    }
    Some(merged)
}

/// A document in which a section, or an id in a section, occurs twice, with the two merged: netplan reads them one
/// after the other into the same links. `None` for any other document, which is nearly every one. The places are those
/// of the second keys.
pub(super) fn folded(document: &Node) -> Option<(Node, HashSet<Place>)> {
    let Value::Map(sections) = &document.value else { return None };
    let mut twice = second_keys(sections);
    twice.extend(sections.iter().filter_map(|e| entries(&e.value)).flat_map(second_keys));
    if twice.is_empty() {
        return None;
    }
    let with_ids_once = |section: &Entry| {
        let Some(ids) = entries(&section.value) else { return section.clone() };
        let mut once = Vec::with_capacity(ids.len());
        map(&mut once, ids);
        let value = Node { at: section.value.at, value: Value::Map(once) };
        Entry { key: section.key.clone(), key_at: section.key_at, value }
    };
    let sections: Vec<Entry> = sections.iter().map(with_ids_once).collect();
    let mut once = Vec::with_capacity(sections.len());
    map(&mut once, &sections);
    Some((Node { at: document.at, value: Value::Map(once) }, twice))
}

fn entries(node: &Node) -> Option<&[Entry]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}

fn second_keys(entries: &[Entry]) -> HashSet<Place> {
    let mut seen = HashSet::default();
    entries.iter().filter(|e| !seen.insert(e.key.as_str())).map(|e| e.key_at).collect()
}

fn into(node: &mut Node, later: &Node) {
    match (&mut node.value, &later.value) {
        (_, Value::Null) => {}
        (Value::Map(entries), Value::Map(more)) => map(entries, more),
        (Value::List(items), Value::List(more)) => list(items, more),
        _ => node.clone_from(later),
    }
}

fn map(entries: &mut Vec<Entry>, more: &[Entry]) {
    let mut by_key: HashMap<String, usize> =
        entries.iter().enumerate().map(|(i, entry)| (entry.key.clone(), i)).collect();
    for entry in more {
        let here = by_key.get(&entry.key).and_then(|index| entries.get_mut(*index));
        match here {
            Some(here) if REPLACED.contains(&entry.key.as_str()) => here.value.clone_from(&entry.value),
            Some(here) => into(&mut here.value, &entry.value),
            None => {
                by_key.insert(entry.key.clone(), entries.len());
                entries.push(entry.clone());
            }
        }
    }
}

/// Joins lists; netplan uses common items once.
fn list(items: &mut Vec<Node>, more: &[Node]) {
    let own = items.len();
    let short = own <= SHORT && more.len() <= SHORT;
    for item in more {
        if !(short && items.iter().take(own).any(|there| same(there, item))) {
            items.push(item.clone());
        }
    }
}

/// Equal except for the place.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Scalar(a), Value::Scalar(b)) => a.text == b.text,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && same(&a.value, &b.value))
        }
        _ => false,
    }
}
