//! Values in pieces: whole or not at all.

use super::*;

fn begin(store: &Store, value: &[u8]) -> Upload {
    store.upload(key("u"), value.len() as u64, Condition::Any).unwrap()
}

fn staged_chunks(store: &Store) -> usize {
    use super::super::error::engine;
    use super::super::record::CHUNKS;
    use redb::{ReadableDatabase as _, ReadableTableMetadata as _};

    let database = store.shared().database().1.unwrap();
    let transaction = database.begin_read().map_err(engine).unwrap();
    transaction.open_table(CHUNKS).unwrap().len().unwrap() as usize
}

#[test]
fn a_value_of_any_size_comes_back_as_it_was_sent_and_none_of_it_is_seen_before_the_commit() {
    let (_, store) = fresh();
    let mut dice = Dice(3);
    for size in [0, 1, 2048, 2049, 65_407, 65_408, 65_409, 1_046_528, 1_046_529, 5_000_000] {
        let value = dice.bytes(size);
        let mut upload = begin(&store, &value);
        let before = get(&store, "u").unwrap();
        for piece in value.chunks(100_000) {
            block_on(upload.write(piece)).unwrap();
            assert_eq!(get(&store, "u").unwrap(), before);
        }
        block_on(upload.commit()).unwrap();
        assert_eq!(get(&store, "u").unwrap().unwrap(), value, "{size} bytes");
        assert_eq!(store.usage(&Prefix::default()).unwrap().value_bytes, size as u64);
    }
}

#[test]
fn a_value_that_is_being_read_is_read_to_its_end_while_it_is_replaced_and_deleted() {
    let (_, store) = fresh();
    let value = Dice(4).bytes(3_000_000);
    let mut upload = begin(&store, &value);
    block_on(upload.write(&value)).unwrap();
    block_on(upload.commit()).unwrap();
    let mut reading = store.get(&key("u")).unwrap().unwrap();
    let mut read = reading.next_chunk().unwrap().unwrap();
    put(&store, "u", "other").unwrap();
    delete(&store, "u").unwrap();
    for at in 0..40 {
        put(&store, &format!("{at}"), vec![9; 60_000]).unwrap();
    }
    while let Some(chunk) = reading.next_chunk().unwrap() {
        read.extend(chunk);
    }
    assert!(read == value);
}

#[test]
fn test_reject_malformed_uploads_of_another_size_than_was_announced() {
    let (_, store) = fresh();
    let mut short = begin(&store, &[0; 10]);
    block_on(short.write(&[0; 9])).unwrap();
    assert!(matches!(block_on(short.commit()), Err(Error::Malformed(_))));
    let mut long = begin(&store, &[0; 10]);
    assert!(matches!(block_on(long.write(&[0; 11])), Err(Error::Malformed(_))));
    assert!(matches!(block_on(long.commit()), Err(Error::Malformed(_))));
    assert_eq!(get(&store, "u").unwrap(), None);
}

#[test]
fn test_reject_busy_uploads_and_reads_beyond_the_limit() {
    let (_, store) = fresh();
    let uploads: Vec<_> = (0..MAX_UPLOADS).map(|_| begin(&store, &[0; 10])).collect();
    assert!(matches!(store.upload(key("u"), 10, Condition::Any), Err(Error::Busy(_))));
    drop(uploads);
    drop(begin(&store, &[0; 10]));
    put(&store, "large", vec![1; 5000]).unwrap();
    put(&store, "small", "1").unwrap();
    let readings: Vec<_> = (0..MAX_READINGS).map(|_| store.get(&key("large")).unwrap()).collect();
    assert!(matches!(store.get(&key("large")), Err(Error::Busy(_))));
    assert_eq!(get(&store, "small").unwrap().unwrap(), b"1");
    drop(readings);
    assert_eq!(get(&store, "large").unwrap().unwrap().len(), 5000);
}

#[test]
fn an_upload_that_was_dropped_or_cut_off_leaves_nothing_behind() {
    let (device, store) = fresh();
    let value = vec![5; 2_500_000];
    let mut dropped = begin(&store, &value);
    block_on(dropped.write(&value)).unwrap();
    assert_eq!(staged_chunks(&store), 32);
    drop(dropped);
    put(&store, "a", "").unwrap();
    assert_eq!(staged_chunks(&store), 0);

    let mut cut_off = begin(&store, &value);
    block_on(cut_off.write(&value)).unwrap();
    assert_eq!(staged_chunks(&store), 32);
    let bytes = device.bytes();
    let store = Store::open(Arc::new(SimulatedDevice::of(bytes)), OpenOptions::default()).unwrap();
    assert_eq!(staged_chunks(&store), 0);
    assert_eq!(get(&store, "u").unwrap(), None);

    let refused = store.upload(key("u"), 2_500_000, Condition::Present).unwrap();
    let mut refused = refused;
    block_on(refused.write(&value)).unwrap();
    assert!(matches!(block_on(refused.commit()), Err(Error::VersionMismatch { found: None })));
    put(&store, "a", "").unwrap();
    assert_eq!(staged_chunks(&store), 0);
}

#[test]
fn replaced_and_deleted_values_leave_no_chunks_behind() {
    let (_, store) = fresh();
    put(&store, "u", vec![1; 60_000]).unwrap();
    put(&store, "u", vec![1; 65_536]).unwrap();
    assert_eq!(staged_chunks(&store), 2);
    put(&store, "u", "small").unwrap();
    assert_eq!(staged_chunks(&store), 0);
    put(&store, "u", vec![1; 60_000]).unwrap();
    delete(&store, "u").unwrap();
    assert_eq!(staged_chunks(&store), 0);
}
