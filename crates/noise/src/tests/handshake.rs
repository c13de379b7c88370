//! What a handshake between honest nodes does.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::{
    ALICE_HELLO, BOB_HELLO, Random, acceptor, alice, bob, dialer, entropy, established, run, sent, suites,
    suites_and_ciphers,
};
use crate::{
    AllowList, Established, Handshake, HandshakeError, MAX_HELLO, PREFIX_LEN, Records, SetupError, Stage,
    Suite, TAG_LEN,
};

#[test]
fn both_ends_learn_who_the_other_is_whatever_ciphers_they_use() {
    for (suite, ours, theirs) in suites_and_ciphers() {
        let mut dialer =
            Handshake::dial_with(ours, &alice(), bob().node_id(), suite, ALICE_HELLO, entropy(3)).unwrap();
        let mut acceptor = Handshake::accept_with(theirs, &bob(), BOB_HELLO, entropy(4)).unwrap();
        run(&mut dialer, &mut acceptor).unwrap();
        assert!(dialer.is_complete() && acceptor.is_complete());
        let (mut dialer, mut acceptor) = (dialer.finish().unwrap(), acceptor.finish().unwrap());

        assert_eq!(dialer.peer, bob().node_id());
        assert_eq!(acceptor.peer, alice().node_id());
        assert_eq!(dialer.hello, BOB_HELLO);
        assert_eq!(acceptor.hello, ALICE_HELLO);
        assert_eq!((dialer.suite, acceptor.suite), (suite, suite));
        assert_eq!(dialer.handshake_hash, acceptor.handshake_hash);
        carry(&mut dialer.records, &mut acceptor.records, b"there");
        carry(&mut acceptor.records, &mut dialer.records, b"and back");
    }
}

fn carry(from: &mut Records, to: &mut Records, plaintext: &[u8]) {
    let mut wire = [&[0; PREFIX_LEN], plaintext, &[0; TAG_LEN]].concat();
    let sealed = from.seal(&mut wire, plaintext.len()).unwrap();
    assert_eq!(to.open(&mut wire[PREFIX_LEN..sealed]).unwrap(), plaintext);
}

#[test]
fn fresh_entropy_makes_a_fresh_session_between_the_same_nodes() {
    let (first, _) = established(Suite::ChaChaPoly);
    let mut dialer =
        Handshake::dial(&alice(), bob().node_id(), Suite::ChaChaPoly, ALICE_HELLO, entropy(5)).unwrap();
    let mut acceptor = acceptor();
    run(&mut dialer, &mut acceptor).unwrap();
    assert_ne!(first.handshake_hash, dialer.finish().unwrap().handshake_hash);
}

#[test]
fn a_link_may_cut_the_bytes_anywhere() {
    for suite in suites() {
        for seed in 0..20 {
            let mut random = Random(seed);
            // Seed 0 goes byte by byte, the others in pieces of any size, empty ones included.
            let mut piece = || if seed == 0 { 1 } else { random.below(20) };
            let (mut dialer, mut acceptor) = (dialer(suite), acceptor());
            while !(dialer.is_complete() && acceptor.is_complete()) {
                for _ in 0..2 {
                    let mut wire = vec![0; piece()];
                    let length = dialer.transmit(&mut wire);
                    assert_eq!(acceptor.receive(&wire[..length]), Ok(length));
                }
                let mut wire = vec![0; piece()];
                let length = acceptor.transmit(&mut wire);
                assert_eq!(dialer.receive(&wire[..length]), Ok(length));
            }
            assert_eq!(acceptor.finish().unwrap().peer, alice().node_id());
        }
    }
}

#[test]
fn what_follows_the_last_message_is_left_for_the_records() {
    let (mut dialer, mut acceptor) = (dialer(Suite::ChaChaPoly), acceptor());
    acceptor.receive(&sent(&mut dialer)).unwrap();
    dialer.receive(&sent(&mut acceptor)).unwrap();
    let mut flight = sent(&mut dialer);
    let last_message = flight.len();
    let mut dialer = dialer.finish().unwrap();
    let mut record = *b"  in the same segment                ";
    let sealed = dialer.records.seal(&mut record, 19).unwrap();
    flight.extend_from_slice(&record[..sealed]);

    assert_eq!(acceptor.receive(&flight), Ok(last_message));
    assert_eq!(acceptor.receive(&flight[last_message..]), Ok(0));
    let record = &mut flight[last_message + PREFIX_LEN..];
    assert_eq!(acceptor.finish().unwrap().records.open(record).unwrap(), b"in the same segment");
}

#[test]
fn a_dialer_takes_no_byte_beyond_message_2() {
    let (mut dialer, mut acceptor) = (dialer(Suite::ChaChaPoly), acceptor());
    acceptor.receive(&sent(&mut dialer)).unwrap();
    let mut flight = sent(&mut acceptor);
    let message = flight.len();
    flight.extend_from_slice(b"whatever comes next");
    assert_eq!(dialer.receive(&flight), Ok(message));
}

#[test]
fn a_hello_may_have_0_to_128_bytes() {
    for length in [0, 1, MAX_HELLO] {
        let hello = vec![0x77; length];
        let mut dialer =
            Handshake::dial(&alice(), bob().node_id(), Suite::ChaChaPoly, &hello, entropy(3)).unwrap();
        let mut acceptor = Handshake::accept(&bob(), &hello, entropy(4)).unwrap();
        run(&mut dialer, &mut acceptor).unwrap();
        assert_eq!(dialer.finish().unwrap().hello, hello);
        assert_eq!(acceptor.finish().unwrap().hello, hello);
    }
}

#[test]
fn a_hello_that_is_too_long_is_refused_before_anything_is_sent() {
    let hello = [0; MAX_HELLO + 1];
    let refused = SetupError::HelloTooLong(MAX_HELLO + 1);
    let dialed = Handshake::dial(&alice(), bob().node_id(), Suite::ChaChaPoly, &hello, entropy(3));
    assert_eq!(dialed.err(), Some(refused));
    assert_eq!(Handshake::accept(&bob(), &hello, entropy(4)).err(), Some(refused));
}

#[cfg(not(feature = "ring"))]
#[test]
fn a_build_without_ring_neither_offers_nor_takes_aes() {
    let refused = Handshake::dial(&alice(), bob().node_id(), Suite::AesGcm, &[], entropy(3)).err();
    assert_eq!(refused, Some(SetupError::SuiteUnavailable(Suite::AesGcm)));
    assert_eq!(acceptor().receive(b"vatmux\x01\x02"), Err(HandshakeError::UnsupportedSuite(2)));
}

#[test]
fn a_dialer_is_complete_only_when_its_last_message_has_been_transmitted() {
    let (mut dialer, mut acceptor) = (dialer(Suite::ChaChaPoly), acceptor());
    acceptor.receive(&sent(&mut dialer)).unwrap();
    dialer.receive(&sent(&mut acceptor)).unwrap();
    assert_eq!(dialer.stage(), Stage::Complete);
    assert!(!dialer.is_complete());
    assert_eq!(dialer.finish().unwrap_err(), HandshakeError::Incomplete(Stage::Complete));
}

#[test]
fn the_stage_says_what_is_awaited() {
    let (mut dialer, mut acceptor) = (dialer(Suite::ChaChaPoly), acceptor());
    assert_eq!(dialer.stage(), Stage::AwaitingSecond);
    assert_eq!(acceptor.stage(), Stage::AwaitingPreamble);
    let flight = sent(&mut dialer);
    acceptor.receive(&flight[..8]).unwrap();
    assert_eq!(acceptor.stage(), Stage::AwaitingFirst);
    acceptor.receive(&flight[8..]).unwrap();
    assert_eq!(acceptor.stage(), Stage::AwaitingThird);
    dialer.receive(&sent(&mut acceptor)).unwrap();
    acceptor.receive(&sent(&mut dialer)).unwrap();
    assert_eq!((dialer.stage(), acceptor.stage()), (Stage::Complete, Stage::Complete));
}

#[test]
fn a_link_that_ends_early_is_an_error_that_says_where() {
    let mut dialer = dialer(Suite::ChaChaPoly);
    let ended = HandshakeError::LinkEnded(Stage::AwaitingSecond);
    assert_eq!(dialer.link_ended(), ended);
    assert!(ended.to_string().contains("another node id"), "{ended}");
    assert_eq!(dialer.receive(b"too late"), Err(ended));
    assert_eq!(dialer.link_ended(), ended);
    assert_eq!(dialer.finish().unwrap_err(), ended);

    let mut acceptor = acceptor();
    assert_eq!(acceptor.link_ended(), HandshakeError::LinkEnded(Stage::AwaitingPreamble));
}

#[test]
fn an_empty_read_changes_nothing() {
    let mut acceptor = acceptor();
    assert_eq!(acceptor.receive(&[]), Ok(0));
    assert_eq!(acceptor.transmit(&mut [0; 16]), 0);
    assert_eq!(acceptor.stage(), Stage::AwaitingPreamble);
}

#[test]
fn a_node_may_call_itself() {
    let mut dialer = Handshake::dial(&bob(), bob().node_id(), Suite::ChaChaPoly, &[], entropy(3)).unwrap();
    let mut acceptor = acceptor();
    run(&mut dialer, &mut acceptor).unwrap();
    assert_eq!(acceptor.finish().unwrap().peer, bob().node_id());
}

#[test]
fn handshakes_and_sessions_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Handshake>();
    is_send::<Established>();
}

#[test]
fn debug_shows_no_secret() {
    let secrets: Vec<_> = vec![
        format!("{:?}", alice()),
        format!("{:?}", entropy(3)),
        format!("{:?}", dialer(Suite::ChaChaPoly)),
    ];
    assert_eq!(secrets, ["SecretKey(..)", "Entropy(..)", "Handshake { stage: AwaitingSecond, .. }"]);
}

#[test]
fn an_allow_list_permits_its_nodes_and_nobody_else() {
    let only_alice: AllowList = [alice().node_id()].into_iter().collect();
    assert!(only_alice.permits(&alice().node_id()));
    assert!(!only_alice.permits(&bob().node_id()));
    assert!(AllowList::Anyone.permits(&bob().node_id()));
    assert!(!core::iter::empty().collect::<AllowList>().permits(&alice().node_id()));
}

/// The operating system's entropy differs each time it is asked.
#[cfg(feature = "ring")]
#[test]
fn the_system_gives_fresh_entropy() {
    use crate::{Entropy, SecretKey};

    let [one, other] = [(), ()].map(|()| SecretKey::generate(Entropy::from_system().unwrap()));
    assert_ne!(one.expose(), other.expose());
}

#[test]
fn the_fastest_suite_is_one_that_this_build_has() {
    assert!(Suite::fastest().is_available());
}

#[cfg(all(feature = "ring", target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_fastest_suite_is_aes_where_linux_lists_the_instructions() {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = text.lines().find(|line| line.starts_with("flags")).unwrap();
    let has = |name| flags.split_whitespace().any(|flag| flag == name);
    let expected = if has("aes") && has("pclmulqdq") { Suite::AesGcm } else { Suite::ChaChaPoly };
    assert_eq!(Suite::fastest(), expected);
}
