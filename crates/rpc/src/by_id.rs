//! A table by ids that the other side chooses.
//!
//! Every implementation that we know gives out the lowest id that is free, or counts upwards. The low ids have a place each,
//! which is found without a search; all others are in an ordered map. A table with places for `n` ids had `n` of them in it
//! one after the other, and there are never more than [`MAX_PLACES`]: whoever chooses wild ids pays with time, a little, and
//! nobody with memory.

use std::collections::BTreeMap;
use std::marker::PhantomData;

/// Places at most. Beyond are the ids of a peer with as many calls under way, or one that counts upwards.
const MAX_PLACES: usize = 256;

/// Values by id.
pub(crate) struct ById<K, V> {
    places: Vec<Option<V>>,
    others: BTreeMap<u32, V>,
    taken_places: usize,
    key: PhantomData<K>,
}

impl<K, V> Default for ById<K, V> {
    fn default() -> Self {
        Self { places: Vec::new(), others: BTreeMap::new(), taken_places: 0, key: PhantomData }
    }
}

impl<K: Into<u32>, V> ById<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.taken_places + self.others.len()
    }

    pub(crate) fn contains(&self, id: K) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn get(&self, id: K) -> Option<&V> {
        let id = id.into();
        match self.places.get(id as usize) {
            Some(Some(value)) => Some(value),
            Some(None) | None if self.others.is_empty() => None,
            Some(None) | None => self.others.get(&id),
        }
    }

    pub(crate) fn get_mut(&mut self, id: K) -> Option<&mut V> {
        let id = id.into();
        match self.places.get_mut(id as usize) {
            Some(Some(value)) => Some(value),
            Some(None) | None if self.others.is_empty() => None,
            Some(None) | None => self.others.get_mut(&id),
        }
    }

    /// Gives the value that the id had before.
    pub(crate) fn insert(&mut self, id: K, value: V) -> Option<V> {
        let id = id.into();
        let index = id as usize;
        // An id that came before its place was there stays where it is.
        let elsewhere = !self.others.is_empty() && self.others.contains_key(&id);
        if !elsewhere && index == self.places.len() && index < MAX_PLACES {
            self.places.push(None);
        }
        match self.places.get_mut(index).filter(|_| !elsewhere) {
            Some(place) => {
                let before = place.replace(value);
                self.taken_places += usize::from(before.is_none());
                before
            }
            None => self.others.insert(id, value),
        }
    }

    pub(crate) fn remove(&mut self, id: K) -> Option<V> {
        let id = id.into();
        let taken = self.places.get_mut(id as usize).and_then(Option::take);
        if taken.is_some() {
            self.taken_places -= 1;
            return taken;
        }
        if self.others.is_empty() { None } else { self.others.remove(&id) }
    }

    /// In the order of their ids, but for those that came before their place was there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &V)> {
        let places = (0..).zip(&self.places).filter_map(|(id, place)| Some((id, place.as_ref()?)));
        places.chain(self.others.iter().map(|(id, value)| (*id, value)))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = V> {
        self.places.into_iter().flatten().chain(self.others.into_values())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same each time.
    fn numbers(mut seed: u32) -> impl Iterator<Item = u32> {
        std::iter::repeat_with(move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        })
    }

    #[test]
    fn it_is_a_map_whatever_the_ids() {
        for range in [3, 40, 300, u32::MAX] {
            let mut table = ById::<u32, u32>::default();
            let mut model = BTreeMap::new();
            let mut numbers = numbers(range);
            let mut number = || numbers.next().unwrap();
            for _ in 0..20_000 {
                let (id, value) = (number() % range, number());
                match number() % 4 {
                    0 | 1 => assert_eq!(table.insert(id, value), model.insert(id, value)),
                    2 => assert_eq!(table.remove(id), model.remove(&id)),
                    _ => {
                        assert_eq!(table.get(id), model.get(&id));
                        assert_eq!(table.get_mut(id), model.get_mut(&id));
                        assert_eq!(table.contains(id), model.contains_key(&id));
                    }
                }
                assert_eq!(table.len(), model.len());
            }
            assert_eq!(
                table.iter().collect::<BTreeMap<_, _>>(),
                model.iter().map(|(id, value)| (*id, value)).collect()
            );
            let mut values: Vec<_> = table.values().copied().collect();
            let mut expected: Vec<_> = model.into_values().collect();
            values.sort_unstable();
            expected.sort_unstable();
            assert_eq!(values, expected);
            values = table.into_values().collect();
            values.sort_unstable();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn ids_that_are_high_or_many_take_no_places() {
        let mut table = ById::<u32, u8>::default();
        table.insert(1_000_000, 0);
        table.insert(u32::MAX, 0);
        assert_eq!(table.places.len(), 0);
        for id in 0..100_000 {
            table.insert(id, 0);
            table.remove(id);
        }
        assert_eq!(table.places.len(), MAX_PLACES);
        table.clear();
        assert_eq!((table.len(), table.places.capacity()), (0, 0));
    }
}
