//! What was stored is not what is read: an error says so, and nothing else happens.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const BLOCK_BYTES: usize = 4096;

type Contents = BTreeMap<String, (Version, Vec<u8>)>;

/// A device whose blocks are those of another one until they are written.
#[derive(Debug)]
struct Overlay {
    below: Arc<Vec<u8>>,
    written: Mutex<BTreeMap<usize, Vec<u8>>>,
    len: AtomicUsize,
    /// Blocks of the device below that were read.
    read: Mutex<BTreeSet<usize>>,
}

impl Overlay {
    fn of(below: &Arc<Vec<u8>>) -> Self {
        Self {
            below: below.clone(),
            written: Mutex::default(),
            len: AtomicUsize::new(below.len()),
            read: Mutex::default(),
        }
    }

    fn flip(self, at: usize) -> Self {
        let block = at / BLOCK_BYTES;
        let mut bytes = self.below[block * BLOCK_BYTES..][..BLOCK_BYTES].to_vec();
        bytes[at % BLOCK_BYTES] ^= 1 << (at % 8);
        self.written.lock().unwrap().insert(block, bytes);
        self
    }
}

impl BlockDevice for Overlay {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::SeqCst) as u64)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock().unwrap();
        for (block, within, part) in parts(offset_bytes as usize, buffer.len()) {
            let bytes = written.get(&block).map_or_else(
                || {
                    self.read.lock().unwrap().insert(block);
                    &self.below[block * BLOCK_BYTES..][..BLOCK_BYTES]
                },
                Vec::as_slice,
            );
            buffer[part.clone()].copy_from_slice(&bytes[within..][..part.len()]);
        }
        Ok(())
    }

    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock().unwrap();
        for (block, within, part) in parts(offset_bytes as usize, bytes.len()) {
            let below = || self.below.get(block * BLOCK_BYTES..).and_then(|below| below.get(..BLOCK_BYTES));
            let block = written
                .entry(block)
                .or_insert_with(|| below().map_or_else(|| vec![0; BLOCK_BYTES], <[u8]>::to_vec));
            block[within..][..part.len()].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.len.store(len_bytes as usize, Ordering::SeqCst);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The blocks of a range: each with the place in it where the range begins, and the part of the range that lies in it.
fn parts(offset: usize, bytes: usize) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (block, within) = ((offset + done) / BLOCK_BYTES, (offset + done) % BLOCK_BYTES);
        let part = done..(done + BLOCK_BYTES - within).min(bytes);
        done = part.end;
        (!part.is_empty()).then_some((block, within, part))
    })
}

/// Whether damage was seen, or did not matter; anything else fails the test.
fn check(device: Arc<dyn BlockDevice>, expected: &Contents) -> bool {
    match Store::open(device, OpenOptions::default()).and_then(|store| contents(&store)) {
        Ok(found) => {
            assert_eq!(&found, expected);
            false
        }
        Err(Error::Integrity(what)) => {
            assert!(!what.contains("the engine could make nothing"), "a panic: {what}");
            true
        }
        Err(error) => panic!("{error}"),
    }
}

fn small_store() -> (Vec<u8>, Contents) {
    let (device, store) = fresh();
    for name in ["a", "b/c", "b/d"] {
        put(&store, name, name.repeat(20)).unwrap();
    }
    put(&store, "large", vec![7; 3000]).unwrap();
    delete(&store, "b/d").unwrap();
    let expected = contents(&store).unwrap();
    // As a power cut leaves it: what opening it has to find out is read too.
    (device.bytes(), expected)
}

#[test]
fn test_reject_integrity_violation_each_byte_of_a_small_store_flipped() {
    let (bytes, expected) = small_store();
    let bytes = Arc::new(bytes);
    let untouched = Arc::new(Overlay::of(&bytes));
    assert!(!check(untouched.clone(), &expected));
    let read = untouched.read.lock().unwrap().clone();
    println!("{} bytes, {} of {} blocks are read", bytes.len(), read.len(), bytes.len() / BLOCK_BYTES);
    // Of the other blocks one byte each: nobody looks at them.
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| read.contains(&(at / BLOCK_BYTES)) || at % BLOCK_BYTES == at / BLOCK_BYTES)
        .collect();
    let (seen, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(at) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let flipped = Arc::new(Overlay::of(&bytes).flip(*at));
                    seen.fetch_add(usize::from(check(flipped, &expected)), Ordering::Relaxed);
                }
            });
        }
    });
    let seen = seen.into_inner();
    println!("{seen} were seen, the others did not matter");
    assert!(seen > 4 * 4096, "the pages of the tree are each checked");
}

#[test]
fn test_reject_integrity_violation_blocks_swapped_or_zeroed_or_missing() {
    let (bytes, expected) = small_store();
    let check = |bytes| check(Arc::new(SimulatedDevice::of(bytes)), &expected);
    let written: Vec<usize> = (0..bytes.len() / 4096)
        .filter(|block| bytes[block * 4096..][..4096].iter().any(|byte| *byte != 0))
        .collect();
    let mut seen = 0;
    for (one, other) in written.iter().zip(&written[1..]) {
        let mut swapped = bytes.clone();
        let (low, high) = swapped.split_at_mut(other * 4096);
        low[one * 4096..][..4096].swap_with_slice(&mut high[..4096]);
        seen += u32::from(check(swapped));
        let mut zeroed = bytes.clone();
        zeroed[one * 4096..][..4096].fill(0);
        seen += u32::from(check(zeroed));
    }
    for blocks in 1..bytes.len() / 4096 {
        assert!(check(bytes[..blocks * 4096].to_vec()), "{blocks} blocks are left");
    }
    println!("{seen} of {} were seen", 2 * (written.len() - 1));
    assert!(seen >= 8);
}

#[test]
fn test_reject_integrity_violation_what_is_no_store_and_leave_it_alone() {
    for bytes in [b"some text of somebody".to_vec(), vec![b'x'; 4096], vec![0; 8192], vec![0xff; 100_000]] {
        let device = Arc::new(SimulatedDevice::of(bytes.clone()));
        let opened = Store::open(device.clone(), OpenOptions::default());
        assert!(matches!(opened, Err(Error::Integrity(_))), "{opened:?}");
        assert_eq!(device.bytes(), bytes);
    }
}

#[test]
fn damage_of_one_value_harms_no_other_while_the_store_is_open() {
    let (device, store) = fresh();
    for name in ["a", "b"] {
        put(&store, name, vec![name.as_bytes()[0]; 60_000]).unwrap();
    }
    drop(store);
    let mut bytes = device.bytes();
    let at = bytes.windows(64).position(|window| window == [b'a'; 64]).unwrap();
    bytes[at] = b'b';
    let store = Store::open(Arc::new(SimulatedDevice::of(bytes)), OpenOptions::default()).unwrap();
    for _ in 0..3 {
        assert!(matches!(get(&store, "a"), Err(Error::Integrity(_))));
        assert_eq!(get(&store, "b").unwrap().unwrap(), vec![b'b'; 60_000]);
        put(&store, "c", "still written").unwrap();
    }
    put(&store, "a", "replaced").unwrap();
    assert_eq!(get(&store, "a").unwrap().unwrap(), b"replaced");
}

#[test]
fn test_reject_rollback_detected_by_the_version_that_the_owner_has_seen() {
    let (device, store) = fresh();
    put(&store, "a", "1").unwrap();
    let old = device.bytes();
    put(&store, "a", "2").unwrap();
    let seen_version = store.last_version().unwrap();
    drop(store);
    let options = OpenOptions { seen_version, ..OpenOptions::default() };
    let restored = Store::open(Arc::new(SimulatedDevice::of(old)), options);
    assert!(matches!(restored, Err(Error::Rollback { seen: 2, found: 1 })), "{restored:?}");
    Store::open(device, options).unwrap();
}
