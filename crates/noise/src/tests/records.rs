//! What records promise: in order, unchanged, once, or an error.

use alloc::vec;
use alloc::vec::Vec;

use snow::HandshakeState;

use super::{Random, established, suites, suites_and_ciphers};
use crate::cipher::{CipherError, CipherState};
use crate::crypto::{self, Ciphers, Role};
use crate::{
    MAX_PLAINTEXT, MAX_RECORD, MIN_RECORD, PREFIX_LEN, REKEY_INTERVAL, RecordError, Records, Suite, TAG_LEN,
};

fn pair(suite: Suite) -> (Records, Records) {
    let (dialer, acceptor) = established(suite);
    (dialer.records, acceptor.records)
}

/// A record without its prefix.
fn sealed(records: &mut Records, plaintext: &[u8]) -> Vec<u8> {
    let mut buffer = [&[0; PREFIX_LEN], plaintext, &[0; TAG_LEN]].concat();
    assert_eq!(records.seal(&mut buffer, plaintext.len()), Ok(buffer.len()));
    let record = buffer.split_off(PREFIX_LEN);
    assert_eq!(Records::record_len(buffer.try_into().unwrap()), Ok(record.len()));
    record
}

fn opened(records: &mut Records, record: &[u8]) -> Result<Vec<u8>, RecordError> {
    records.open(&mut record.to_vec()).map(|plaintext| plaintext.to_vec())
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
    let mut buffer = vec![7; MAX_RECORD + PREFIX_LEN + 1];
    assert_eq!(from.seal(&mut buffer, 0), Err(RecordError::Plaintext(0)));
    for length in [MAX_PLAINTEXT + 1, MAX_RECORD, usize::MAX] {
        assert_eq!(from.seal(&mut buffer, length), Err(RecordError::Plaintext(length)));
    }
    for room in 0..22 {
        assert_eq!(from.seal(&mut buffer[..room], 4), Err(RecordError::Buffer { needed: 22 }));
    }
    assert!(buffer.iter().all(|&byte| byte == 7));
    assert_eq!(opened(&mut to, &sealed(&mut from, b"four")).unwrap(), b"four");
}

#[test]
fn sealing_touches_nothing_behind_the_record_and_opening_nothing_outside_it() {
    for suite in suites() {
        let (mut from, mut to) = pair(suite);
        let mut buffer = [7; 64];
        assert_eq!(from.seal(&mut buffer, 20), Ok(38));
        assert_eq!(buffer[38..], [7; 26]);
        let prefix: [u8; PREFIX_LEN] = *buffer.first_chunk().unwrap();
        assert_eq!(to.open(&mut buffer[PREFIX_LEN..38]).unwrap(), [7; 20]);
        assert_eq!(buffer[..PREFIX_LEN], prefix);
        assert_eq!(buffer[PREFIX_LEN..22], [7; 20]);
        assert_eq!(buffer[38..], [7; 26]);
    }
}

/// After the error both directions refuse, and say why.
fn assert_over(records: &mut Records, error: RecordError) {
    assert_eq!(records.open(&mut [0; 20]), Err(error));
    assert_eq!(records.seal(&mut [0; 64], 4), Err(error));
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
    for suite in suites() {
        let (mut from, mut to) = pair(suite);
        from.outgoing.set_nonce(u64::MAX - 1);
        to.incoming.set_nonce(u64::MAX - 1);
        let last = sealed(&mut from, b"the last");
        assert_eq!(opened(&mut to, &last).unwrap(), b"the last");
        assert_eq!(from.seal(&mut [0; 64], 4), Err(RecordError::Exhausted));
        assert_over(&mut from, RecordError::Exhausted);
        assert_eq!(opened(&mut to, &last), Err(RecordError::Exhausted));
        assert_over(&mut to, RecordError::Exhausted);
    }
}

#[test]
fn a_forged_record_uses_up_no_nonce() {
    for (suite, ciphers, _) in suites_and_ciphers() {
        let key = [9; 32];
        let mut from = CipherState::new(suite, ciphers, &key).unwrap();
        let mut to = CipherState::new(suite, ciphers, &key).unwrap();
        let mut message = *b"the message";
        let tag = from.encrypt(&mut message).unwrap();
        let genuine = [&message[..], &tag].concat();
        for index in 0..genuine.len() {
            let mut forged = genuine.clone();
            forged[index] ^= 1;
            assert_eq!(to.decrypt(&mut forged), Err(CipherError::Forged));
        }
        assert_eq!(to.decrypt(&mut [0; TAG_LEN - 1]), Err(CipherError::Forged));
        assert_eq!(to.decrypt(&mut genuine.clone()).unwrap(), b"the message");
    }
}

/// Both ends of one handshake, as snow has them when it is finished.
fn finished(suite: Suite, ciphers: Ciphers) -> [HandshakeState; 2] {
    let role = Role::Dialer { responder: super::bob_id() };
    let mut dialer = crypto::start(suite, ciphers, &role, &super::alice(), super::entropy(3)).unwrap();
    let mut acceptor =
        crypto::start(suite, ciphers, &Role::Acceptor, &super::bob(), super::entropy(4)).unwrap();
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    for number in 0..3 {
        let (from, to) =
            if number % 2 == 0 { (&mut dialer, &mut acceptor) } else { (&mut acceptor, &mut dialer) };
        let length = from.write_message(&[], &mut message).unwrap();
        to.read_message(&message[..length], &mut payload).unwrap();
    }
    [dialer, acceptor]
}

/// One end by this crate and the other by snow, of every cipher, in either role.
#[test]
fn every_record_and_every_key_is_the_one_that_snow_makes() {
    const INTERVAL: u64 = 3;
    for (suite, ours, theirs) in suites_and_ciphers() {
        for we_dial in [false, true] {
            let [our_dialer, our_acceptor] = finished(suite, ours);
            let [their_dialer, their_acceptor] = finished(suite, theirs);
            let (noise, same, peer) = if we_dial {
                (our_dialer, their_dialer, their_acceptor)
            } else {
                (our_acceptor, their_acceptor, their_dialer)
            };
            let mut ours = Records::new(noise, suite, ours).unwrap();
            ours.set_rekey_interval(INTERVAL);
            let mut same = same.into_transport_mode().unwrap();
            let mut peer = peer.into_transport_mode().unwrap();

            let mut random = Random(2);
            let mut message = vec![0; MAX_RECORD];
            let mut payload = vec![0; MAX_RECORD];
            for number in 1..=4 * INTERVAL {
                let size = 1 + random.below(if number % 5 == 0 { MAX_PLAINTEXT } else { 300 });
                let plaintext = random.bytes(size);

                let record = sealed(&mut ours, &plaintext);
                let length = same.write_message(&plaintext, &mut message).unwrap();
                assert!(record == message[..length], "{suite}, record {number} of {size} bytes");
                let length = peer.read_message(&record, &mut payload).unwrap();
                assert!(payload[..length] == plaintext[..]);

                let length = peer.write_message(&plaintext, &mut message).unwrap();
                assert!(opened(&mut ours, &message[..length]).unwrap() == plaintext);
                if number % INTERVAL == 0 {
                    same.rekey_outgoing();
                    peer.rekey_incoming();
                    peer.rekey_outgoing();
                }
            }
        }
    }
}

#[test]
fn there_are_no_records_before_the_handshake_is_finished() {
    let role = Role::Dialer { responder: super::bob_id() };
    let ciphers = Ciphers::default();
    let noise = crypto::start(Suite::ChaChaPoly, ciphers, &role, &super::alice(), super::entropy(3)).unwrap();
    assert!(Records::new(noise, Suite::ChaChaPoly, ciphers).is_none());
}
