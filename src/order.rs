//! Sorting, and small maps and sets, without a copy of the standard library's sort for every type of item: a copy is 4 KB,
//! and there were more than sixty. The one copy here sorts positions, and the items are swapped to theirs.

use std::cmp::Ordering;

/// Stable sorting, as `sort`, `sort_by` and `sort_by_key` of a slice do it.
pub trait Order<T> {
    /// Sorts by the items themselves.
    fn order(&mut self)
    where
        T: Ord;

    /// Sorts by `compare`.
    fn order_by(&mut self, compare: impl Fn(&T, &T) -> Ordering);

    /// Sorts by a key of each item.
    fn order_by_key<K: Ord>(&mut self, key: impl Fn(&T) -> K);
}

impl<T> Order<T> for [T] {
    fn order(&mut self)
    where
        T: Ord,
    {
        self.order_by(T::cmp);
    }

    fn order_by(&mut self, compare: impl Fn(&T, &T) -> Ordering) {
        let mut targets = targets(self.len(), &|one, other| compare(&self[one], &self[other]));
        for at in 0..targets.len() {
            while targets[at] != at {
                let target = targets[at];
                self.swap(at, target);
                targets.swap(at, target);
            }
        }
    }

    fn order_by_key<K: Ord>(&mut self, key: impl Fn(&T) -> K) {
        self.order_by(|one, other| key(one).cmp(&key(other)));
    }
}

/// The position to which each of `count` items belongs; none if they are in order.
fn targets(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    if (1..count).all(|item| compare(item - 1, item).is_le()) {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|one, other| compare(*one, *other));
    let mut targets = vec![0; count];
    for (target, item) in order.into_iter().enumerate() {
        targets[item] = target;
    }
    targets
}

/// Collecting into a map or set.
pub trait Few: Iterator {
    /// A map or set of a few entries, in which the last of equal keys counts. `collect` sorts them all first.
    fn few<C: Default + Extend<Self::Item>>(self) -> C
    where
        Self: Sized,
    {
        let mut all = C::default();
        all.extend(self);
        all
    }
}

impl<I: Iterator> Few for I {}

#[cfg(test)]
mod tests {
    use super::Order as _;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn orders_as_the_standard_library_does(items: Vec<(u8, u32)>) {
            let mut expected = items.clone();
            expected.sort();
            let mut ordered = items.clone();
            ordered.order();
            prop_assert_eq!(&ordered, &expected);

            expected.clone_from(&items);
            expected.sort_by_key(|(key, _)| key % 4);
            ordered.clone_from(&items);
            ordered.order_by_key(|(key, _)| key % 4);
            prop_assert_eq!(&ordered, &expected);

            let compare = |one: &(u8, u32), other: &(u8, u32)| one.0.cmp(&other.0).then(other.1.cmp(&one.1));
            expected.sort_by(compare);
            ordered.order_by(compare);
            prop_assert_eq!(&ordered, &expected);
        }
    }
}
