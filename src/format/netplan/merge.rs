//! Several files as one: mappings are merged key by key, lists are joined, and what is neither is replaced by the later
//! file.

use std::collections::HashMap;

use crate::format::tree::{Entry, Node, Value};

/// Lists that a later file replaces, because netplan reads them as one value.
const REPLACED: &[&str] = &["link-local", "driver", "port-range"];
/// Lists over this length are joined without looking for what both have.
const SHORT: usize = 1000;

/// The documents as one, in their order. Places stay those of the files.
pub(super) fn merge(documents: &[&Node]) -> Option<Node> {
    let (first, later) = documents.split_first()?;
    let mut merged = (*first).clone();
    for document in later {
        into(&mut merged, document);
    }
    Some(merged)
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

/// Joins lists; netplan takes what stands in both once.
fn list(items: &mut Vec<Node>, more: &[Node]) {
    let own = items.len();
    let short = own <= SHORT && more.len() <= SHORT;
    for item in more {
        if !(short && items.iter().take(own).any(|there| same(there, item))) {
            items.push(item.clone());
        }
    }
}

/// Equal but for the place.
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
