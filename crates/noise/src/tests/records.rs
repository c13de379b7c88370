//! What records promise: in order, unchanged, once, or an error.

use alloc::vec;
use alloc::vec::Vec;

use super::{Random, established, suites};
use crate::{
    MAX_PLAINTEXT, MAX_RECORD, MIN_RECORD, PREFIX_LEN, REKEY_INTERVAL, RecordError, Records, Suite, TAG_LEN,
};

fn pair(suite: Suite) -> (Records, Records) {
    let (dialer, acceptor) = established(suite);
    (dialer.records, acceptor.records)
}

/// A record without its prefix.
fn sealed(records: &mut Records, plaintext: &[u8]) -> Vec<u8> {
    let mut output = vec![0; PREFIX_LEN + plaintext.len() + TAG_LEN];
    assert_eq!(records.seal(plaintext, &mut output), Ok(output.len()));
    let record = output.split_off(PREFIX_LEN);
    assert_eq!(Records::record_len(output.try_into().unwrap()), Ok(record.len()));
    record
}

fn opened(records: &mut Records, record: &[u8]) -> Result<Vec<u8>, RecordError> {
    let mut output = vec![0; record.len()];
    let length = records.open(record, &mut output)?;
    output.truncate(length);
    Ok(output)
}

#[test]
fn records_of_every_size_from_1_byte_to_the_largest_arrive() {
    for suite in suites() {
        let (mut from, mut to) = pair(suite);
        let mut random = Random(1);
        for size in [1, 2, 15, 16, 17, 1_000, 32_780, MAX_PLAINTEXT - 1, MAX_PLAINTEXT] {
            let plaintext = random.bytes(size);
            let record = sealed(&mut from, &plaintext);
            assert!((MIN_RECORD..=MAX_RECORD).contains(&record.len()));
            assert_eq!(opened(&mut to, &record), Ok(plaintext));
        }
    }
}

#[test]
fn a_prefix_announces_17_to_65535_bytes() {
    for length in 0..=u16::MAX {
        let expected = match usize::from(length) {
            length @ 0..17 => Err(RecordError::Length(length)),
            length => Ok(length),
        };
        assert_eq!(Records::record_len(length.to_be_bytes()), expected);
    }
}

#[test]
fn a_mistake_of_the_caller_changes_nothing() {
    let (mut from, mut to) = pair(Suite::ChaChaPoly);
    let mut output = vec![0; MAX_RECORD + PREFIX_LEN + 1];
    assert_eq!(from.seal(&[], &mut output), Err(RecordError::Plaintext(0)));
    let large = vec![0; MAX_PLAINTEXT + 1];
    assert_eq!(from.seal(&large, &mut output), Err(RecordError::Plaintext(MAX_PLAINTEXT + 1)));
    assert_eq!(from.seal(b"four", &mut [0; 21]), Err(RecordError::Output { needed: 22 }));

    let record = sealed(&mut from, b"four");
    assert_eq!(to.open(&record, &mut [0; 19]), Err(RecordError::Output { needed: 20 }));
    assert_eq!(opened(&mut to, &record).unwrap(), b"four");
}

/// After the error both directions refuse, and say why.
fn assert_over(records: &mut Records, error: RecordError) {
    assert_eq!(records.open(&[0; 20], &mut [0; 20]), Err(error));
    assert_eq!(records.seal(b"more", &mut [0; 64]), Err(error));
}

#[test]
fn every_changed_byte_of_a_record_is_found() {
    for suite in suites() {
        let record = sealed(&mut pair(suite).0, b"a plaintext");
        for index in 0..record.len() {
            let mut changed = record.clone();
            changed[index] ^= 1 << (index % 8);
            let (_, mut to) = pair(suite);
            assert_eq!(opened(&mut to, &changed), Err(RecordError::Forged));
            assert_over(&mut to, RecordError::Forged);
        }
    }
}

#[test]
fn a_cut_or_lengthened_record_is_refused() {
    let record = sealed(&mut pair(Suite::ChaChaPoly).0, b"a plaintext");
    for length in 0..record.len() {
        let error = if length < MIN_RECORD { RecordError::Length(length) } else { RecordError::Forged };
        let (_, mut to) = pair(Suite::ChaChaPoly);
        assert_eq!(opened(&mut to, &record[..length]), Err(error));
        assert_over(&mut to, error);
    }
    let (_, mut to) = pair(Suite::ChaChaPoly);
    assert_eq!(opened(&mut to, &[&record[..], &[0]].concat()), Err(RecordError::Forged));
    let (_, mut to) = pair(Suite::ChaChaPoly);
    assert_eq!(opened(&mut to, &vec![0; MAX_RECORD + 1]), Err(RecordError::Length(MAX_RECORD + 1)));
}

#[test]
fn a_repeated_record_is_refused() {
    let (mut from, mut to) = pair(Suite::ChaChaPoly);
    let record = sealed(&mut from, b"pay 10 euros");
    opened(&mut to, &record).unwrap();
    assert_eq!(opened(&mut to, &record), Err(RecordError::Forged));
    assert_over(&mut to, RecordError::Forged);
}

#[test]
fn a_record_out_of_order_is_refused() {
    let (mut from, mut to) = pair(Suite::ChaChaPoly);
    let (first, second) = (sealed(&mut from, b"first"), sealed(&mut from, b"second"));
    assert_eq!(opened(&mut to, &second), Err(RecordError::Forged));
    assert_eq!(opened(&mut to, &first), Err(RecordError::Forged));
}

#[test]
fn a_record_sent_back_to_its_sender_is_refused() {
    let (mut from, _) = pair(Suite::ChaChaPoly);
    let record = sealed(&mut from, b"echo");
    assert_eq!(opened(&mut from, &record), Err(RecordError::Forged));
}

#[test]
fn a_record_of_another_session_is_refused() {
    let (mut from, _) = pair(Suite::ChaChaPoly);
    let mut dialer = super::dialer(Suite::ChaChaPoly);
    let mut acceptor = crate::Handshake::accept(&super::bob(), &[], super::entropy(9)).unwrap();
    super::run(&mut dialer, &mut acceptor).unwrap();
    let mut to = acceptor.finish().unwrap().records;
    assert_eq!(opened(&mut to, &sealed(&mut from, b"hello")), Err(RecordError::Forged));
}

#[test]
fn random_records_are_refused() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let length = 1 + random.below(300);
        let (_, mut to) = pair(Suite::ChaChaPoly);
        assert!(opened(&mut to, &random.bytes(length)).is_err(), "seed {seed}");
    }
}

#[test]
fn keys_change_after_every_interval_and_both_directions_count_alone() {
    for suite in suites() {
        let (mut dialer, mut acceptor) = pair(suite);
        dialer.set_rekey_interval(3);
        acceptor.set_rekey_interval(3);
        for number in 0..20_u8 {
            let record = sealed(&mut dialer, &[number]);
            assert_eq!(opened(&mut acceptor, &record).unwrap(), [number]);
            if number % 4 == 0 {
                let record = sealed(&mut acceptor, &[number, number]);
                assert_eq!(opened(&mut dialer, &record).unwrap(), [number, number]);
            }
        }
    }
}

#[test]
fn the_key_is_another_one_after_the_interval() {
    let (mut from, mut to) = pair(Suite::ChaChaPoly);
    from.set_rekey_interval(3);
    for _ in 0..3 {
        opened(&mut to, &sealed(&mut from, b"same key")).unwrap();
    }
    assert_eq!(opened(&mut to, &sealed(&mut from, b"other key")), Err(RecordError::Forged));
}

#[test]
fn the_interval_of_a_session_is_the_documented_one() {
    let (mut from, mut to) = pair(Suite::ChaChaPoly);
    assert_eq!(REKEY_INTERVAL, 1_048_576);
    from.sealed = REKEY_INTERVAL - 1;
    opened(&mut to, &sealed(&mut from, b"the last with this key")).unwrap();
    assert_eq!(from.sealed, 0);
    assert_eq!(opened(&mut to, &sealed(&mut from, b"other key")), Err(RecordError::Forged));
}

#[test]
fn a_direction_ends_before_its_nonces_repeat() {
    let (mut from, mut to) = pair(Suite::ChaChaPoly);
    let record = sealed(&mut from, b"one more");
    to.transport.set_receiving_nonce(u64::MAX);
    assert_eq!(opened(&mut to, &record), Err(RecordError::Exhausted));
    assert_over(&mut to, RecordError::Exhausted);
}
