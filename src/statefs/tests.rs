//! A store against a model, against power cuts, and against storage that fails or lies.

mod crash;
mod damage;
mod device;
mod log;
mod marks;
mod model;
mod refusals;
mod sharing;
mod trouble;
mod uploads;

use std::sync::Arc;

use futures::executor::block_on;

use super::*;
use device::SimulatedDevice;

/// A device, and a new store on it.
fn fresh() -> (Arc<SimulatedDevice>, Store) {
    let device = Arc::new(SimulatedDevice::default());
    let store = Store::open(device.clone(), OpenOptions::default()).unwrap();
    (device, store)
}

fn key(key: &str) -> Key {
    key.parse().unwrap()
}

fn prefix(prefix: &str) -> Prefix {
    prefix.parse().unwrap()
}

fn put(store: &Store, name: &str, value: impl Into<Vec<u8>>) -> Result<Version, Error> {
    block_on(store.put(key(name), value.into(), Condition::Any))
}

fn delete(store: &Store, name: &str) -> Result<Version, Error> {
    block_on(store.delete(key(name), Condition::Any))
}

fn get(store: &Store, name: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(store.get(&key(name))?.map(Reading::read).transpose()?.map(|value| value.bytes))
}

/// All keys and values, and that what the store counts is what there is.
fn contents(store: &Store) -> Result<std::collections::BTreeMap<String, (Version, Vec<u8>)>, Error> {
    let mut all = std::collections::BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.list(&Prefix::default(), after.as_ref(), 7)?;
        for entry in page.entries {
            let value = store.get(&entry.key)?.expect("it is listed").read()?;
            assert_eq!((entry.version, entry.size_bytes), (value.version, value.bytes.len() as u64));
            all.insert(entry.key.to_string(), (value.version, value.bytes));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let value_bytes = all.values().map(|(_, value)| value.len() as u64).sum();
    assert_eq!(store.usage(&Prefix::default())?, Usage { keys: all.len() as u64, value_bytes });
    Ok(all)
}

/// Random numbers that a seed repeats (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.roll().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Mostly small, now and then of several chunks.
    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(10) {
            0 => 0,
            1..=6 => self.below(300),
            7 => 2040 + self.below(20),
            8 => self.below(20_000),
            _ => 65_400 + self.below(137),
        };
        self.bytes(len)
    }
}
