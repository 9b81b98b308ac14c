//! A list in which each item is found by its key: there may be a thousand links, gateways and name servers, and each
//! event looks some up. Serialised as a plain list.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};

use foldhash::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What identifies an item of a list; each kind of item uses the parts it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ItemKey<'a> {
    /// The name of a link.
    pub link: &'a str,
    /// A number that is unique in combination with the other parts.
    pub number: u32,
    /// An address.
    pub ip: Option<IpAddr>,
    /// A second one.
    pub source: Option<IpAddr>,
}

/// An item that has a key. The key of an item in a list never changes.
pub trait Keyed {
    /// Its key.
    fn key(&self) -> ItemKey<'_>;
}

/// The list. If keys are equal, the first item is found.
#[derive(Clone, Debug)]
pub struct KeyedList<T> {
    items: Vec<T>,
    /// Indexes by the hash of the key.
    positions: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
}

impl<T> Default for KeyedList<T> {
    fn default() -> Self {
        KeyedList { items: Vec::new(), positions: HashMap::default(), hasher: RandomState::new() }
    }
}

impl<T: PartialEq> PartialEq for KeyedList<T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<T> Deref for KeyedList<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> DerefMut for KeyedList<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<'a, T> IntoIterator for &'a KeyedList<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<T: Keyed> From<Vec<T>> for KeyedList<T> {
    fn from(items: Vec<T>) -> Self {
        let mut list = KeyedList::default();
        items.into_iter().for_each(|item| list.push(item));
        list
    }
}

impl<T: Keyed> KeyedList<T> {
    fn position(&self, key: ItemKey<'_>) -> Option<usize> {
        let positions = self.positions.get(&self.hasher.hash_one(key))?;
        positions.iter().copied().find(|at| self.items.get(*at).is_some_and(|item| item.key() == key))
    }

    /// The item with this key.
    pub fn find(&self, key: ItemKey<'_>) -> Option<&T> {
        self.items.get(self.position(key)?)
    }

    /// Appends an item.
    pub fn push(&mut self, item: T) {
        let hash = self.hasher.hash_one(item.key());
        self.positions.entry(hash).or_default().push(self.items.len());
        self.items.push(item);
    }

    /// Replaces the item with the same key, or appends.
    pub fn put(&mut self, item: T) {
        match self.position(item.key()).and_then(|at| self.items.get_mut(at)) {
            Some(slot) => *slot = item,
            None => self.push(item),
        }
    }

    /// The item with this key, created if there is none.
    pub fn find_or_push(&mut self, key: ItemKey<'_>, new: impl FnOnce() -> T) -> &mut T {
        let at = self.position(key).unwrap_or_else(|| {
            self.push(new());
            self.items.len() - 1
        });
        &mut self.items[at]
    }

    /// Keeps only those items.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.items.retain(keep);
        *self = std::mem::take(&mut self.items).into();
    }
}

impl<T: Serialize> Serialize for KeyedList<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

impl<'de, T: Keyed + Deserialize<'de>> Deserialize<'de> for KeyedList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(&'static str, u32);

    impl Keyed for Item {
        fn key(&self) -> ItemKey<'_> {
            ItemKey { link: self.0, ..ItemKey::default() }
        }
    }

    #[test]
    fn items_are_found_after_every_change() {
        let key = |link| ItemKey { link, ..ItemKey::default() };
        let mut list = KeyedList::from(vec![Item("a", 1), Item("b", 2), Item("a", 3)]);
        assert_eq!(list.find(key("a")), Some(&Item("a", 1)), "the first of equals");
        list.retain(|item| item.1 != 1);
        assert_eq!(list.find(key("a")), Some(&Item("a", 3)));
        list.put(Item("a", 4));
        list.find_or_push(key("c"), || Item("c", 5)).1 += 1;
        assert_eq!(&list[..], [Item("b", 2), Item("a", 4), Item("c", 6)]);
        assert_eq!(list.find(key("d")), None);
    }
}
