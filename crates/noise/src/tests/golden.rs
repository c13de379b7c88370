//! Bytes that must never change while the protocol version is 1, and which a second implementation can check itself by.

use alloc::string::String;
use core::fmt::Write;

use super::{acceptor, dialer, sent};
use crate::Suite;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The flights, the handshake hash, and the dialer's first record.
struct Golden {
    suite: Suite,
    first: &'static str,
    second: &'static str,
    third: &'static str,
    handshake_hash: &'static str,
    record: &'static str,
}

/// Private keys a1…, b0…; ephemeral keys 03…, 04…; hellos `alice says hello`, `bob says hello to you`; plaintext `ping`.
const GOLDEN: [Golden; 2] = [
    Golden {
        suite: Suite::ChaChaPoly,
        first: "7661746d7578010100305dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22df98819c2a254ac84056f4198e979522",
        second: "0045ac01b2209e86354fb853237b5de0f4fab13c7fcbf433a61c019369617fecf10b80a5331eb64a2f04dbe3e5e38326d4037b96400812fe3e2d7284d4018a21ee53b6e98e5a91",
        third: "0050f448faade89a4511770eca3afc4b93d774753ad9f28f381f9ce1043168e7b07d124e682448f0816fe5afa7f6f9122b984a75e2f8e076ce24ea69e79e853bb5a07abe754812a71115d346fcd3f7cb14b8",
        handshake_hash: "66d2d42b548c048107c3fbc77b4552d6d6a4556254d130704fa5ed7b0a593581",
        record: "001461c4c7241fea911de9854fe17b6c5bc16b15c7d5",
    },
    Golden {
        suite: Suite::AesGcm,
        first: "7661746d7578010200305dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef2219e0b5c3ed7fc22ef7d0952aa382156f",
        second: "0045ac01b2209e86354fb853237b5de0f4fab13c7fcbf433a61c019369617fecf10b75edc460c2205f9fabda83328f5dc57e5a8700306200e19c1a53df8c15de291d6c37d51ecd",
        third: "005060ebf935739af866a06aedc7b973f40fa659c988f219e9f3737f757b0716272b4bcc5a1f23a57ac4323082c2ea7b9c7916b8df3964fc7b773a713addbfe779e8be70dd9146e225d784c716b60232ed96",
        handshake_hash: "2904ac1a25c2a7e2f0f805f95332a03998b31f69765428027b32647cbef115d6",
        record: "0014c94979943935eaf0b3ecaf408714e07a42dd5982",
    },
];

#[test]
fn the_bytes_on_the_wire_are_those_of_version_1() {
    for golden in GOLDEN.iter().filter(|golden| golden.suite.is_available()) {
        let (mut dialer, mut acceptor) = (dialer(golden.suite), acceptor());
        let first = sent(&mut dialer);
        acceptor.receive(&first).unwrap();
        let second = sent(&mut acceptor);
        dialer.receive(&second).unwrap();
        let third = sent(&mut dialer);
        acceptor.receive(&third).unwrap();
        let mut established = dialer.finish().unwrap();
        let mut record = *b"  ping                ";
        established.records.seal(&mut record, 4).unwrap();

        let actual = [&first[..], &second, &third, &established.handshake_hash, &record].map(hex);
        assert_eq!(actual, [golden.first, golden.second, golden.third, golden.handshake_hash, golden.record]);
    }
}
