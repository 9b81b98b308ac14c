//! Which of many values is the odd one. Entry: [`count`].

use std::hash::Hash;

use foldhash::HashMap;

/// How often each value occurs.
pub(super) struct Counted<T> {
    /// The number of values.
    pub(super) all: usize,
    /// The most common value, its number, and its first owner.
    pub(super) most: (usize, T),
    /// Each other value's owners, in order.
    pub(super) others: Vec<Vec<T>>,
}

impl<T> Counted<T> {
    /// Whether those with another value are few compared with the others: each of them is odd.
    pub(super) fn is_clear(&self, others: usize) -> bool {
        self.all >= 3 && self.most.0 * 2 > self.all && others <= 1.max(self.all / 10)
    }
}

/// Counts values; `None` if all are the same.
pub(super) fn count<V: Eq + Hash, T: Copy>(values: impl Iterator<Item = (V, T)>) -> Option<Counted<T>> {
    let mut order: HashMap<V, usize> = HashMap::default();
    let mut owners: Vec<Vec<T>> = Vec::new();
    let mut all = 0;
    for (value, owner) in values {
        let next = owners.len();
        let index = *order.entry(value).or_insert(next);
        if index == next {
            owners.push(Vec::new());
        }
        owners[index].push(owner);
        all += 1;
    }
    if owners.len() < 2 {
        return None;
    }
    // Of equally common ones the first, so that the later one is reported.
    let index = (0..owners.len()).max_by_key(|index| (owners[*index].len(), usize::MAX - index))?;
    let most = owners.remove(index);
    Some(Counted { all, most: (most.len(), *most.first()?), others: owners })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_value_is_the_odd_one() {
        assert!(count([(1, 0), (1, 1)].into_iter()).is_none());
        let counted = count([(1, 0), (2, 1), (1, 2)].into_iter()).unwrap();
        assert_eq!((counted.all, counted.most, &counted.others), (3, (2, 0), &vec![vec![1]]));
        assert!(counted.is_clear(1) && !counted.is_clear(2));
        let tie = count([(1, 0), (2, 1)].into_iter()).unwrap();
        assert_eq!((tie.most, tie.is_clear(1)), ((1, 0), false));
    }
}
