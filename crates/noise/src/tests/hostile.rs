//! What a handshake does with peers that are wrong, or worse.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::identity::low_order_keys;
use super::{ALICE_HELLO, Random, acceptor, alice, bob, dialer, entropy, run, sent, suites};
use crate::{
    Handshake, HandshakeError, HandshakeMessage, MAX_UNAUTHENTICATED_BYTES, PREAMBLE_LEN, PREFIX_LEN,
    Refusal, Suite,
};

const FIRST_FORGED: HandshakeError = HandshakeError::Authentication(HandshakeMessage::First);
const SECOND_FORGED: HandshakeError = HandshakeError::Authentication(HandshakeMessage::Second);
const THIRD_FORGED: HandshakeError = HandshakeError::Authentication(HandshakeMessage::Third);

/// The three flights of an honest handshake: preamble and message 1, message 2, message 3.
fn flights(suite: Suite) -> [Vec<u8>; 3] {
    let (mut dialer, mut acceptor) = (dialer(suite), acceptor());
    let first = sent(&mut dialer);
    acceptor.receive(&first).unwrap();
    let second = sent(&mut acceptor);
    dialer.receive(&second).unwrap();
    [first, second, sent(&mut dialer)]
}

/// A dialer that has sent its first flight, and an acceptor that has sent message 2.
fn after_first_flight(suite: Suite) -> (Handshake, Handshake) {
    let (mut dialer, mut acceptor) = (dialer(suite), acceptor());
    acceptor.receive(&sent(&mut dialer)).unwrap();
    sent(&mut acceptor);
    (dialer, acceptor)
}

#[test]
fn a_dialer_that_wants_another_node_is_told_so() {
    for suite in suites() {
        let mut dialer =
            Handshake::dial(&alice(), alice().node_id(), suite, ALICE_HELLO, entropy(3)).unwrap();
        let mut acceptor = acceptor();
        assert_eq!(acceptor.receive(&sent(&mut dialer)), Err(FIRST_FORGED));
        let alert = sent(&mut acceptor);
        assert_eq!(alert, [0xff, 0xff, 3]);
        let refused = HandshakeError::Refused(Refusal::Key);
        assert_eq!(dialer.receive(&alert), Err(refused));
        assert!(refused.to_string().contains("another node id"), "{refused}");
        assert!(!dialer.has_output());
    }
}

#[test]
fn nobody_can_answer_for_the_node_that_was_dialed() {
    // A man in the middle has seen message 1 and answers with a well-formed message of his own.
    let mut honest_to_mallory =
        Handshake::dial(&alice(), alice().node_id(), Suite::ChaChaPoly, &[], entropy(7)).unwrap();
    let mut mallory = Handshake::accept(&alice(), b"trust me", entropy(8)).unwrap();
    mallory.receive(&sent(&mut honest_to_mallory)).unwrap();
    assert_eq!(dialer(Suite::ChaChaPoly).receive(&sent(&mut mallory)), Err(SECOND_FORGED));
}

#[test]
fn every_change_to_the_preamble_is_refused() {
    let [first, ..] = flights(Suite::ChaChaPoly);
    for index in 0..PREAMBLE_LEN {
        for change in 1..=255 {
            let mut changed = first.clone();
            changed[index] ^= change;
            let value = changed[index];
            let mut acceptor = acceptor();
            let expected = match index {
                0..6 => HandshakeError::NotVatmux,
                6 => HandshakeError::UnsupportedVersion(value),
                _ if value == 2 && Suite::AesGcm.is_available() => FIRST_FORGED,
                _ => HandshakeError::UnsupportedSuite(value),
            };
            assert_eq!(acceptor.receive(&changed), Err(expected));
            let alert: &[u8] = match index {
                0..6 => &[],
                6 => &[0xff, 0xff, 1],
                _ if expected == FIRST_FORGED => &[0xff, 0xff, 3],
                _ => &[0xff, 0xff, 2],
            };
            assert_eq!(sent(&mut acceptor), alert);
        }
    }
}

#[test]
fn a_wrong_preamble_is_refused_at_its_first_wrong_byte() {
    let refusals: [(&[u8], HandshakeError); 5] = [
        (b"GET / HTTP/1.1\r\n\r\n", HandshakeError::NotVatmux),
        (b"\x16\x03\x01", HandshakeError::NotVatmux),
        (b"vatmuX", HandshakeError::NotVatmux),
        (b"vatmux\x02", HandshakeError::UnsupportedVersion(2)),
        (b"vatmux\x01\x00", HandshakeError::UnsupportedSuite(0)),
    ];
    for (bytes, refusal) in refusals {
        let mut acceptor = acceptor();
        let wrong = bytes.iter().position(|byte| acceptor.receive(&[*byte]).is_err()).unwrap();
        assert_eq!(acceptor.receive(b"anything"), Err(refusal));
        let honest = b"vatmux\x01\x01";
        assert_eq!(bytes[..wrong], honest[..wrong]);
        assert_ne!(bytes[wrong], honest[wrong]);
    }
}

#[test]
fn a_dialer_that_reached_another_protocol_says_so() {
    for greeting in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"SSH-2.0-",
        b"220 mail",
        b"\xff\xfd\x18 telnet",
        b"vatmux\x01\x01",
    ] {
        for piece in [1, greeting.len()] {
            let mut dialer = dialer(Suite::ChaChaPoly);
            let result = greeting.chunks(piece).try_for_each(|bytes| dialer.receive(bytes).map(|_| ()));
            assert_eq!(result, Err(HandshakeError::NotVatmux));
        }
    }
}

#[test]
fn a_message_of_impossible_length_is_refused_from_its_prefix() {
    let [first, ..] = flights(Suite::ChaChaPoly);
    let beside_the_bounds = [0, 1, 47, 48, 49, 63, 64, 175, 176, 177, 191, 192, 193, 255, 256];
    for length in beside_the_bounds.into_iter().chain([512, 0x4854, 0xff00, 0xfffe, 0xffff]) {
        let prefix = u16::to_be_bytes(length);
        let refused = |message| Err(HandshakeError::MessageLength { message, length });

        let mut acceptor = acceptor();
        acceptor.receive(&first[..PREAMBLE_LEN]).unwrap();
        let answer = if length == 48 { Ok(PREFIX_LEN) } else { refused(HandshakeMessage::First) };
        assert_eq!(acceptor.receive(&prefix), answer);
        assert!(!acceptor.has_output());

        let (mut dialer, mut acceptor) = after_first_flight(Suite::ChaChaPoly);
        let answer = match length {
            48..=176 | 0xffff => Ok(PREFIX_LEN),
            0..=255 => refused(HandshakeMessage::Second),
            _ => Err(HandshakeError::NotVatmux),
        };
        assert_eq!(dialer.receive(&prefix), answer);
        let answer =
            if (64..=192).contains(&length) { Ok(PREFIX_LEN) } else { refused(HandshakeMessage::Third) };
        assert_eq!(acceptor.receive(&prefix), answer);
    }
}

/// Changes a bit of each byte of `flight`, gives it to what `receiver` makes, and expects an error or a wait.
fn change_each_byte(flight: &[u8], receiver: impl Fn() -> Handshake, forged: HandshakeError) {
    for index in 0..flight.len() {
        let mut changed = flight.to_vec();
        changed[index] ^= 1 << (index % 8);
        let mut receiver = receiver();
        let result = receiver.receive(&changed);
        if index < PREFIX_LEN {
            // Too great a length waits for bytes that do not come, any other is refused.
            assert!(receiver.finish().is_err(), "byte {index}");
        } else {
            assert_eq!(result, Err(forged), "byte {index}");
            assert_eq!(receiver.finish().unwrap_err(), forged);
        }
    }
}

#[test]
fn the_bit_that_x25519_ignores_is_not_ignored() {
    let [mut first, mut second, _] = flights(Suite::ChaChaPoly);
    let top_of_the_ephemeral_key = PREFIX_LEN + 31;
    first[PREAMBLE_LEN + top_of_the_ephemeral_key] ^= 0x80;
    assert_eq!(acceptor().receive(&first), Err(FIRST_FORGED));
    second[top_of_the_ephemeral_key] ^= 0x80;
    assert_eq!(dialer(Suite::ChaChaPoly).receive(&second), Err(SECOND_FORGED));
}

#[test]
fn every_changed_byte_of_every_message_is_found() {
    let [first, second, third] = flights(Suite::ChaChaPoly);
    let expecting_first = || {
        let mut acceptor = acceptor();
        acceptor.receive(&first[..PREAMBLE_LEN]).unwrap();
        acceptor
    };
    change_each_byte(&first[PREAMBLE_LEN..], expecting_first, FIRST_FORGED);
    change_each_byte(&second, || dialer(Suite::ChaChaPoly), SECOND_FORGED);
    change_each_byte(&third, || after_first_flight(Suite::ChaChaPoly).1, THIRD_FORGED);
}

#[test]
fn a_cut_message_is_never_enough() {
    for suite in suites() {
        let [first, second, third] = flights(suite);
        for length in 0..first.len() {
            let mut acceptor = acceptor();
            assert_eq!(acceptor.receive(&first[..length]), Ok(length));
            assert!(!acceptor.has_output());
        }
        for length in 0..second.len() {
            let mut dialer = dialer(suite);
            assert_eq!(dialer.receive(&second[..length]), Ok(length));
            assert!(dialer.finish().is_err());
        }
        let (_, mut acceptor) = after_first_flight(suite);
        assert_eq!(acceptor.receive(&third[..third.len() - 1]), Ok(third.len() - 1));
        assert!(!acceptor.is_complete());
    }
}

#[test]
fn a_recorded_handshake_does_not_authenticate_again() {
    let [first, _, third] = flights(Suite::ChaChaPoly);
    // Another session, so other entropy at the acceptor.
    let mut acceptor = Handshake::accept(&bob(), &[], entropy(9)).unwrap();
    acceptor.receive(&first).unwrap();
    assert_eq!(acceptor.receive(&third), Err(THIRD_FORGED));
    // The alert is for message 1 only: a dialer that has sent message 3 reads records.
    assert_eq!(sent(&mut acceptor).get(..2), Some(&[0, 48][..]));
}

#[test]
fn keys_of_low_order_are_refused_where_they_appear() {
    for key in low_order_keys() {
        let mut acceptor = acceptor();
        acceptor.receive(b"vatmux\x01\x01\x00\x30").unwrap();
        let message = [&key[..], &[0; 16]].concat();
        assert_eq!(acceptor.receive(&message), Err(HandshakeError::WeakKey(HandshakeMessage::First)));

        let answer = [&[0, 48], &key[..], &[0; 16]].concat();
        let refused = Err(HandshakeError::WeakKey(HandshakeMessage::Second));
        assert_eq!(dialer(Suite::ChaChaPoly).receive(&answer), refused);
    }
}

#[test]
fn an_alert_is_a_hint_that_ends_a_dial_and_nothing_else() {
    for (code, refusal) in [
        (1, Refusal::Version),
        (2, Refusal::Suite),
        (3, Refusal::Key),
        (0, Refusal::Unknown(0)),
        (77, Refusal::Unknown(77)),
    ] {
        for piece in [1, 3] {
            let mut dialer = dialer(Suite::ChaChaPoly);
            let refused = Err(HandshakeError::Refused(refusal));
            let result =
                [0xff, 0xff, code].chunks(piece).try_for_each(|bytes| dialer.receive(bytes).map(|_| ()));
            assert_eq!(result, refused.map(|_: usize| ()));
            assert_eq!(dialer.receive(&flights(Suite::ChaChaPoly)[1]), refused);
        }
    }
}

#[test]
fn an_acceptor_does_not_take_an_alert() {
    let (_, mut acceptor) = after_first_flight(Suite::ChaChaPoly);
    let refused = HandshakeError::MessageLength { message: HandshakeMessage::Third, length: 0xffff };
    assert_eq!(acceptor.receive(&[0xff, 0xff, 3]), Err(refused));
}

#[test]
fn an_error_is_final_and_its_alert_goes_out_once() {
    let mut acceptor = acceptor();
    let refused = Err(HandshakeError::UnsupportedVersion(9));
    assert_eq!(acceptor.receive(b"vatmux\x09\x01"), refused);
    assert_eq!(sent(&mut acceptor), [0xff, 0xff, 1]);
    assert_eq!(acceptor.receive(&flights(Suite::ChaChaPoly)[0]), refused);
    assert_eq!(acceptor.receive(&[]), refused);
    assert!(!acceptor.has_output());
}

/// Feeds `bytes` in random pieces; how many were taken until the first error, and that error.
fn feed(receiver: &mut Handshake, bytes: &[u8], random: &mut Random) -> (usize, Option<HandshakeError>) {
    let mut taken = 0;
    while taken < bytes.len() {
        let end = (taken + 1 + random.below(64)).min(bytes.len());
        match receiver.receive(&bytes[taken..end]) {
            Ok(consumed) => {
                assert_eq!(consumed, end - taken);
                taken = end;
            }
            Err(error) => return (end, Some(error)),
        }
    }
    (taken, None)
}

#[test]
fn garbage_ends_in_a_typed_error_within_the_bound() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let garbage = random.bytes(4096);
        let (taken, error) = feed(&mut acceptor(), &garbage, &mut random);
        assert_eq!((taken <= 64, error), (true, Some(HandshakeError::NotVatmux)), "seed {seed}");

        let (_, error) = feed(&mut dialer(Suite::ChaChaPoly), &garbage, &mut random);
        assert!(error.is_some(), "seed {seed}");
    }
}

#[test]
fn well_framed_garbage_ends_in_a_typed_error_within_the_bound() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let second = [&[0, 48 + random.below(129) as u8], &random.bytes(4096)[..]].concat();
        let third = [&[0, 64 + random.below(129) as u8], &random.bytes(4096)[..]].concat();
        let first = [b"vatmux\x01\x01\x00\x30", &random.bytes(4096)[..]].concat();

        let (taken, error) = feed(&mut acceptor(), &first, &mut random);
        assert_eq!(error, Some(FIRST_FORGED), "seed {seed}");
        assert!(taken <= MAX_UNAUTHENTICATED_BYTES);
        let (mut dialer, mut acceptor) = after_first_flight(Suite::ChaChaPoly);
        assert_eq!(feed(&mut dialer, &second, &mut random).1, Some(SECOND_FORGED), "seed {seed}");
        assert_eq!(feed(&mut acceptor, &third, &mut random).1, Some(THIRD_FORGED), "seed {seed}");
    }
}

#[test]
fn an_acceptor_takes_252_bytes_at_most_from_a_stranger() {
    let hello = [0; crate::MAX_HELLO];
    let mut dialer =
        Handshake::dial(&alice(), bob().node_id(), Suite::ChaChaPoly, &hello, entropy(3)).unwrap();
    let mut acceptor = acceptor();
    let first = sent(&mut dialer);
    acceptor.receive(&first).unwrap();
    dialer.receive(&sent(&mut acceptor)).unwrap();
    let third = sent(&mut dialer);
    assert_eq!(first.len() + third.len(), MAX_UNAUTHENTICATED_BYTES);
    assert_eq!(MAX_UNAUTHENTICATED_BYTES, 252);

    // One byte short of it the peer is still a stranger; whatever the stranger sends next, it is decided there.
    acceptor.receive(&third[..third.len() - 1]).unwrap();
    assert_eq!(acceptor.receive(&vec![!third[third.len() - 1]; 4096]), Err(THIRD_FORGED));
}

#[test]
fn a_handshake_that_meets_itself_fails() {
    // Both ends of the link dial, or both answer.
    let (mut one, mut other) = (dialer(Suite::ChaChaPoly), dialer(Suite::ChaChaPoly));
    assert_eq!(run(&mut one, &mut other), Err(HandshakeError::NotVatmux));
    let (mut one, mut other) = (acceptor(), acceptor());
    run(&mut one, &mut other).unwrap();
    assert!(!one.is_complete());
}
