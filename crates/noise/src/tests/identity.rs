//! Keys, node ids, and their text.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bech32::{Bech32, Bech32m, ByteIterExt, Checksum, Fe32, Fe32IterExt, Hrp};
use curve25519_dalek::montgomery::MontgomeryPoint;

use super::{Random, bob};
use crate::{EntropyError, NodeId, NodeIdError, SecretKey};

fn bytes(hex: &str) -> [u8; 32] {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

/// Every encoding of every point of low order, with and without the bit that X25519 ignores.
pub(super) fn low_order_keys() -> Vec<[u8; 32]> {
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]
    .into_iter()
    .flat_map(|key| {
        let low = bytes(key);
        let mut high = low;
        high[31] |= 0x80;
        [low, high]
    })
    .collect()
}

const BOB: &str = "vat1srs620f7a6ptv2esfptceuuvnqxa6yf3ysapq3l7fpyzjskkkeyq8vr39q";

#[test]
fn the_node_id_is_the_public_key_of_rfc_7748() {
    // RFC 7748, section 6.1.
    let vectors = [
        (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        ),
        (
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ),
    ];
    for (private, public) in vectors {
        assert_eq!(SecretKey::from_bytes(bytes(private)).unwrap().node_id().as_bytes(), &bytes(public));
    }
}

#[test]
fn a_node_id_and_its_text_are_one_to_one() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let id = SecretKey::from_bytes(random.array()).unwrap().node_id();
        let text = id.to_string();
        assert_eq!(text.len(), 62);
        assert!(text.starts_with("vat1"));
        assert_eq!(text, text.to_lowercase());
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(NodeId::from_bytes(*id.as_bytes()), Ok(id));
        assert_eq!(format!("{id:?}"), text);
    }
    assert_eq!(format!("{:>70}", bob().node_id()), format!("        {BOB}"));
}

#[test]
fn the_text_of_a_node_id_never_changes_between_versions() {
    assert_eq!(bob().node_id().to_string(), BOB);
}

#[test]
fn every_mistyped_character_is_found() {
    let typed: Vec<char> = ('!'..='~').chain(['\u{e9}', '\u{1f600}', ' ', '\0']).collect();
    for index in 0..BOB.len() {
        for &character in &typed {
            let mut text: Vec<char> = BOB.chars().collect();
            if text[index] == character {
                continue;
            }
            text[index] = character;
            let text: String = text.into_iter().collect();
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }
}

#[test]
fn swapped_lost_and_doubled_characters_are_found() {
    for index in 0..BOB.len() {
        let text: Vec<char> = BOB.chars().collect();
        let (mut swapped, mut lost, mut doubled) = (text.clone(), text.clone(), text.clone());
        lost.remove(index);
        doubled.insert(index, text[index]);
        if index + 1 < text.len() && text[index] != text[index + 1] {
            swapped.swap(index, index + 1);
            assert!(swapped.iter().collect::<String>().parse::<NodeId>().is_err());
        }
        for wrong in [lost, doubled] {
            let error = wrong.iter().collect::<String>().parse::<NodeId>().unwrap_err();
            assert!(matches!(
                error,
                NodeIdError::Length(61 | 63) | NodeIdError::Prefix | NodeIdError::Character('1')
            ));
        }
    }
}

fn encoded<C: Checksum>(prefix: &str, bytes: &[u8]) -> String {
    bech32::encode::<C>(Hrp::parse(prefix).unwrap(), bytes).unwrap()
}

#[test]
fn what_is_no_node_id_is_refused_with_the_reason() {
    let id = bob().node_id();
    let mixed = BOB.replacen("vat1", "VAT1", 1);
    let wrong_checksum = encoded::<Bech32>("vat", id.as_bytes());
    let refusals = [
        ("", NodeIdError::Prefix),
        ("vat", NodeIdError::Prefix),
        ("vat://", NodeIdError::Prefix),
        ("\u{e9}\u{e9}\u{e9}\u{e9}", NodeIdError::Prefix),
        (&encoded::<Bech32m>("bc", id.as_bytes()), NodeIdError::Prefix),
        (&encoded::<Bech32m>("vatx", id.as_bytes()), NodeIdError::Prefix),
        (&format!(" {BOB}"), NodeIdError::Prefix),
        (&format!("{BOB}\n"), NodeIdError::Character('\n')),
        (&BOB.replacen("vat1", "vat1b", 1), NodeIdError::Character('b')),
        ("vat1", NodeIdError::Length(4)),
        (&BOB[..61], NodeIdError::Length(61)),
        (&encoded::<Bech32m>("vat", &[7; 31]), NodeIdError::Length(60)),
        (&encoded::<Bech32m>("vat", &[7; 33]), NodeIdError::Length(63)),
        (&mixed, NodeIdError::MixedCase),
        (&wrong_checksum, NodeIdError::Checksum),
        (&encoded::<Bech32m>("vat", &[0; 32]), NodeIdError::NotAKey),
    ];
    for (text, refusal) in refusals {
        assert_eq!(text.parse::<NodeId>(), Err(refusal), "{text:?}");
    }
    let long = format!("vat1{}", "q".repeat(100_000));
    assert_eq!(long.parse::<NodeId>(), Err(NodeIdError::Length(100_004)));
}

#[test]
fn a_node_id_has_no_second_text() {
    let hrp = Hrp::parse("vat").unwrap();
    let id = bob().node_id();
    for padding in 0..16 {
        let mut symbols: Vec<Fe32> = id.as_bytes().iter().copied().bytes_to_fes().collect();
        let last = symbols.pop().unwrap().to_u8() | padding;
        symbols.push(Fe32::try_from(last).unwrap());
        let text: String = symbols.into_iter().with_checksum::<Bech32m>(&hrp).chars().collect();
        let expected = if padding == 0 { Ok(id) } else { Err(NodeIdError::Padding) };
        assert_eq!(text.parse(), expected);
    }
}

#[test]
fn keys_with_which_nothing_is_secret_are_no_node_ids() {
    for key in low_order_keys() {
        // With them every private key has the same shared secret.
        assert_eq!(MontgomeryPoint(key).mul_clamped([0x42; 32]).to_bytes(), [0; 32]);
        assert_eq!(NodeId::from_bytes(key), Err(NodeIdError::NotAKey));
    }
}

#[test]
fn keys_out_of_canonical_form_are_no_node_ids() {
    // From 2^255 - 19 on, and with the bit that X25519 ignores.
    for low in 0xed..=0xff {
        let mut key = [0xff; 32];
        key[0] = low;
        key[31] = 0x7f;
        assert_eq!(NodeId::from_bytes(key), Err(NodeIdError::NotAKey));
    }
    let mut key = *bob().node_id().as_bytes();
    key[31] |= 0x80;
    assert_eq!(NodeId::from_bytes(key), Err(NodeIdError::NotAKey));

    let mut largest = [0xff; 32];
    largest[0] = 0xeb;
    largest[31] = 0x7f;
    assert!(NodeId::from_bytes(largest).is_ok());
    let mut below = [0xff; 32];
    below[15] = 0xfe;
    below[31] = 0x7f;
    assert!(NodeId::from_bytes(below).is_ok());
}

#[test]
fn a_key_file_that_lost_its_contents_is_no_key() {
    assert_eq!(SecretKey::from_bytes([0; 32]).unwrap_err(), EntropyError::AllZero);
    assert_eq!(SecretKey::from_bytes(*bob().expose()).unwrap().node_id(), bob().node_id());
}
