//! The log: what it costs, what it keeps, and what is none of it.

use std::collections::BTreeMap;

use super::device::Fault;
use super::*;
use crate::statefs::blocks::Blocks;
use crate::statefs::device::SECTOR_BYTES;
use crate::statefs::log::{LOG_BYTES, Log, LogKey};

const KEY: LogKey = LogKey([7; 32]);

/// What a record takes besides its payload.
const HEAD_BYTES: usize = 36;

/// How far behind a record that is none another one is found, whatever is left of it.
const LOOKED_AHEAD_BYTES: usize = 8 * 1024;

/// Where the copies begin on the device.
const COPIES_AT: [u64; 2] = [4096, 4096 + LOG_BYTES];

fn blocks(device: &Arc<SimulatedDevice>) -> Arc<Blocks> {
    Arc::new(Blocks::open(device.clone()).unwrap())
}

/// A device with a log of these payloads.
fn logged(payloads: &[Vec<u8>]) -> Arc<SimulatedDevice> {
    let device = Arc::new(SimulatedDevice::default());
    let mut log = Log::begin(blocks(&device), KEY);
    for payload in payloads {
        log.append(payload).unwrap();
    }
    device
}

fn read(bytes: Vec<u8>) -> Result<(Arc<SimulatedDevice>, Vec<Vec<u8>>), Error> {
    let device = Arc::new(SimulatedDevice::of(bytes));
    let payloads = Log::open(blocks(&device), KEY)?.1;
    Ok((device, payloads))
}

/// Of one sector, of several, and of more than are looked through.
fn some_payloads() -> Vec<Vec<u8>> {
    [10, 476, 477, 3000, 20_000, 1].map(|bytes| vec![bytes as u8; bytes]).into()
}

#[test]
fn records_come_back_in_order_and_either_copy_is_enough() {
    let payloads = some_payloads();
    let whole = logged(&payloads).bytes();
    assert_eq!(read(whole.clone()).unwrap().1, payloads);
    for damaged in COPIES_AT {
        let mut bytes = whole.clone();
        bytes[damaged as usize..][..LOG_BYTES as usize].fill(0xa5);
        let (repaired, found) = read(bytes).unwrap();
        assert_eq!(found, payloads);
        // From here on the other one may go.
        let mut bytes = repaired.bytes();
        for other in COPIES_AT.into_iter().filter(|at| *at != damaged) {
            bytes[other as usize..][..LOG_BYTES as usize].fill(0xa5);
        }
        assert_eq!(read(bytes).unwrap().1, payloads);
    }
}

#[test]
fn a_log_takes_what_fits_to_its_last_byte_and_not_a_byte_more() {
    let (whole, sector) = (LOG_BYTES as usize - HEAD_BYTES, SECTOR_BYTES - HEAD_BYTES);
    // One record, one with a sector before it, and one that has the last sector.
    for before in [None, Some(sector), Some(whole - SECTOR_BYTES)] {
        let device = Arc::new(SimulatedDevice::default());
        let mut log = Log::begin(blocks(&device), KEY);
        let mut payloads: Vec<Vec<u8>> = before.map(|bytes| vec![1; bytes]).into_iter().collect();
        for payload in &payloads {
            log.append(payload).unwrap();
        }
        let used = before.map_or(0, |bytes| bytes + HEAD_BYTES);
        let room = LOG_BYTES as usize - used - HEAD_BYTES;
        assert!(log.has_room(room) && !log.has_room(room + 1), "{before:?}");
        payloads.push(vec![2; room]);
        log.append(payloads.last().unwrap()).unwrap();
        assert!(!log.has_room(1));
        assert_eq!(read(device.bytes()).unwrap().1, payloads, "{before:?}");
    }
}

#[test]
fn test_reject_integrity_violation_a_record_damaged_in_both_copies_before_another() {
    let payloads = some_payloads();
    let whole = logged(&payloads).bytes();
    let mut at = 0;
    for (number, payload) in payloads.iter().enumerate() {
        let mut bytes = whole.clone();
        for copy in COPIES_AT {
            bytes[copy as usize + at + 36] ^= 1;
        }
        let found = read(bytes);
        if number + 1 == payloads.len() {
            // A power cut leaves the same, and nobody was told of it then.
            assert_eq!(found.unwrap().1, payloads[..number]);
        } else {
            assert!(matches!(found, Err(Error::Integrity(_))), "record {number}: {found:?}");
        }
        at += (36 + payload.len()).next_multiple_of(SECTOR_BYTES);
    }
}

#[test]
fn test_reject_integrity_violation_a_record_in_the_place_of_another() {
    let payloads = ["one", "two", "six"].map(|payload| payload.as_bytes().to_vec());
    let mut bytes = logged(&payloads).bytes();
    for copy in COPIES_AT {
        let first = copy as usize;
        bytes.copy_within(first..first + SECTOR_BYTES, first + SECTOR_BYTES);
    }
    assert!(matches!(read(bytes), Err(Error::Integrity(_))));
}

#[test]
fn test_reject_integrity_violation_a_record_whose_first_block_is_lost_before_another_that_is_left_once() {
    for bytes in [10, 4096, LOOKED_AHEAD_BYTES - HEAD_BYTES] {
        let whole = logged(&[vec![1; bytes], b"next".to_vec()]).bytes();
        let next = (HEAD_BYTES + bytes).next_multiple_of(SECTOR_BYTES);
        for left in COPIES_AT {
            let mut bytes = whole.clone();
            for copy in COPIES_AT {
                // No length is left of it, by which one could tell where the next one is.
                bytes[copy as usize..][..SECTOR_BYTES].fill(0);
                if copy != left {
                    bytes[copy as usize + next..][..SECTOR_BYTES].fill(0);
                }
            }
            assert!(matches!(read(bytes), Err(Error::Integrity(_))), "a record {next} bytes behind");
        }
    }
}

#[test]
fn what_is_read_of_a_log_is_durable_from_then_on() {
    let payloads = some_payloads();
    for seed in 0..10 {
        let device = logged(&payloads);
        let mut log = Log::open(blocks(&device), KEY).unwrap().0;
        // The process dies between the last writes and their flush, and the power fails later.
        device.set_fault(Fault::FailsAt(device.operations() + 3));
        log.append(b"last").unwrap_err();
        device.set_fault(Fault::None);
        let (_, found) = Log::open(blocks(&device), KEY).unwrap();
        assert_eq!(found.last().unwrap(), b"last");
        let left = device.after_power_cut(&mut Dice(seed));
        assert_eq!(read(left).unwrap().1, found, "seed {seed}");
    }
}

#[test]
fn what_an_older_log_has_left_is_no_record_and_values_cannot_pretend_to_be() {
    let payloads = some_payloads();
    let device = logged(&payloads);
    let mut log = Log::begin(blocks(&device), KEY.next());
    log.append(b"new").unwrap();
    let (_, found) = Log::open(blocks(&device), KEY.next()).unwrap();
    assert_eq!(found, [b"new".to_vec()]);
    // A value that has records of another log in it, in a record that is torn.
    let forged = logged(&payloads).bytes()[COPIES_AT[0] as usize..][..4096].to_vec();
    let mut log = Log::begin(blocks(&device), KEY.next().next());
    log.append(&[vec![0; SECTOR_BYTES - 36], forged].concat()).unwrap();
    let mut bytes = device.bytes();
    for copy in COPIES_AT {
        bytes[copy as usize] ^= 1;
    }
    let torn = Arc::new(SimulatedDevice::of(bytes));
    assert!(Log::open(blocks(&torn), KEY.next().next()).unwrap().1.is_empty());
}

#[test]
fn a_small_put_is_two_writes_and_one_flush() {
    let (device, store) = fresh();
    // The first one of an opening is told of it, too.
    put(&store, "first", "value").unwrap();
    for at in 0..20 {
        let before = device.operations();
        put(&store, &format!("key/{at}"), vec![at; 1024]).unwrap();
        assert_eq!(device.operations() - before, 3);
    }
}

#[test]
fn a_log_that_is_full_gives_way_to_a_commit_and_a_power_cut_there_loses_nothing() {
    let (device, store) = fresh();
    let mut expected = BTreeMap::new();
    let mut write = |store: &Store, at: usize| {
        let (name, value) = (format!("key/{}", at % 50), vec![at as u8; 2000]);
        put(store, &name, value.clone()).map(|_| expected.insert(name, value))
    };
    // Each takes five sectors: one more than these, and there is no room.
    let puts = LOG_BYTES as usize / (5 * SECTOR_BYTES);
    for at in 0..puts - 2 {
        write(&store, at).unwrap();
    }
    let begun = device.bytes();
    let before = device.operations();
    let mut most = 0;
    for at in 0..5 {
        let before = device.operations();
        write(&store, puts + at).unwrap();
        most = most.max(device.operations() - before);
    }
    let operations = device.operations() - before;
    assert!(most > 10, "one of them had the engine commit: {most}");
    let kept: BTreeMap<_, _> = expected;

    for cut in 0..operations {
        let device = Arc::new(SimulatedDevice::of(begun.clone()));
        let store = Store::open(device.clone(), OpenOptions::default()).unwrap();
        device.set_fault(Fault::PowerCutAt(device.operations() + cut));
        let mut acknowledged = Vec::new();
        for at in 0..5 {
            let name = format!("key/{}", (puts + at) % 50);
            if put(&store, &name, kept[&name].clone()).is_ok() {
                acknowledged.push(name);
            }
        }
        let mut dice = Dice(cut);
        let left = Arc::new(SimulatedDevice::of(device.after_power_cut(&mut dice)));
        let store =
            Store::open(left, OpenOptions::default()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        for name in acknowledged {
            assert_eq!(get(&store, &name).unwrap().as_ref(), Some(&kept[&name]), "cut at {cut}");
        }
        assert_eq!(contents(&store).unwrap().len(), 50);
    }
}
