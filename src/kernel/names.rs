//! The names and indexes of links. The kernel uses indexes; everything outside this room uses names.

use foldhash::HashMap;

use crate::inventory::Inventory;

/// Names and indexes of the links of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_index: HashMap<u32, String>,
    by_name: HashMap<String, u32>,
}

impl Names {
    /// The link with this index is called `name` from now on.
    pub fn insert(&mut self, index: u32, name: &str) {
        if let Some(old) = self.by_index.insert(index, name.to_owned()) {
            self.by_name.remove(&old);
        }
        self.by_name.insert(name.to_owned(), index);
    }

    /// Forgets the link with this name; returns its index.
    pub fn remove(&mut self, name: &str) -> Option<u32> {
        let index = self.by_name.remove(name)?;
        self.by_index.remove(&index);
        Some(index)
    }

    /// The name of the link with this index.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.by_index.get(&index).map(String::as_str)
    }

    /// The index of the link with this name.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }
}

impl From<&Inventory> for Names {
    fn from(inventory: &Inventory) -> Self {
        let mut names = Self::default();
        for link in &inventory.links {
            names.insert(link.index, &link.name);
        }
        names
    }
}
