//! MUX-12: codes and labels, as their tables say.

use vatmux_mux::wire::{Frame, Kind};
use vatmux_mux::{BudgetKind, CloseCode, End, Event, NameError, ResetCode, Violation};

use crate::spec::{number, table};
use crate::support::{Fresh, LIMITS, Victim, events, id, on_every_storage};

on_every_storage! {
    a_code_that_nobody_knows_arrives_as_its_number,
}

/// MUX-12.2.
#[test]
fn the_table_of_reset_codes_is_the_codes() {
    let known = [
        ("CANCELLED", ResetCode::CANCELLED),
        ("NO_SUCH_SERVICE", ResetCode::NO_SUCH_SERVICE),
        ("STREAM_LIMIT", ResetCode::STREAM_LIMIT),
        ("INTERNAL", ResetCode::INTERNAL),
        ("DUPLICATE_NAME", ResetCode::DUPLICATE_NAME),
        ("NOT_ALLOWED", ResetCode::NOT_ALLOWED),
        ("PROTOCOL_ERROR", ResetCode::PROTOCOL_ERROR),
        ("OVERLOADED", ResetCode::OVERLOADED),
    ];
    let rows = table("MUX-12.2");
    let written: Vec<_> = rows.iter().map(|row| (&row[1][..], number(&row[0]))).collect();
    assert_eq!(written, known.map(|(name, code)| (name, Some(u64::from(code.0)))));
    // The codes that the table does not have are not known either.
    for code in 0..64 {
        let named = ResetCode(code).to_string() != format!("code {code}");
        assert_eq!(named, known.iter().any(|(_, known)| known.0 == code), "{code}");
    }
}

/// MUX-12.3.
#[test]
fn the_table_of_close_codes_is_the_codes() {
    let known = [
        ("DONE", CloseCode::DONE),
        ("GOING_AWAY", CloseCode::GOING_AWAY),
        ("INTERNAL", CloseCode::INTERNAL),
        ("KEEPALIVE_TIMEOUT", CloseCode::KEEPALIVE_TIMEOUT),
        ("NOT_ALLOWED", CloseCode::NOT_ALLOWED),
        ("OVERLOADED", CloseCode::OVERLOADED),
        ("UNAUTHENTICATED", CloseCode::UNAUTHENTICATED),
        ("FRAME_OVERSIZE", CloseCode::FRAME_OVERSIZE),
        ("MALFORMED_FRAME", CloseCode::MALFORMED_FRAME),
        ("INVALID_STATE", CloseCode::INVALID_STATE),
        ("WINDOW_CREDIT", CloseCode::WINDOW_CREDIT),
        ("UNKNOWN_STREAM", CloseCode::UNKNOWN_STREAM),
        ("STREAM_LIMIT", CloseCode::STREAM_LIMIT),
        ("INVALID_NAME", CloseCode::INVALID_NAME),
        ("FLOOD", CloseCode::FLOOD),
    ];
    let rows = table("MUX-12.3");
    let written: Vec<_> = rows.iter().map(|row| (&row[1][..], number(&row[0]))).collect();
    assert_eq!(written, known.map(|(name, code)| (name, Some(u64::from(code.0)))));
    for code in 0..64 {
        let named = CloseCode(code).to_string() != format!("code {code}");
        assert_eq!(named, known.iter().any(|(_, known)| known.0 == code), "{code}");
    }
}

/// MUX-12.5.
#[test]
fn every_violation_has_the_label_and_the_code_of_the_table() {
    let (kind, stream) = (Kind::Data, id(1));
    let violations = [
        Violation::FrameOversize { kind, length: 1, maximum: 0 },
        Violation::UnknownKind { kind: 0 },
        Violation::ReservedFlags { flags: 1 },
        Violation::FrameTooShort { kind, length: 0 },
        Violation::MisplacedFrame { kind, stream: 0 },
        Violation::InvalidPriority { priority: 8 },
        Violation::InvalidOpen { stream },
        Violation::InvalidStreamState { kind, stream },
        Violation::EmptyWindowUpdate { stream },
        Violation::CreditExceeded { stream, length: 1, credit: 0 },
        Violation::CreditOverflow { stream },
        Violation::UnknownStream { kind, stream },
        Violation::StreamLimitExceeded { maximum: 0 },
        Violation::InvalidStreamName(NameError::Empty),
        Violation::Flood(BudgetKind::Pings),
    ];
    let mut found: Vec<_> = violations
        .iter()
        .map(|violation| (violation.label().to_owned(), violation.close_code().0.into()))
        .collect();
    found.dedup();
    let written: Vec<_> = table("MUX-12.5")
        .iter()
        .flat_map(|row| {
            let code = number(&row[1]).expect("a code");
            row[0].split(", ").map(|label| (label.trim_matches('`').to_owned(), code)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, written);
}

/// MUX-12.1.
fn a_code_that_nobody_knows_arrives_as_its_number<S: Fresh>() {
    for code in [8, 255, 256, u32::MAX] {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        let stream = victim.accepted(1);
        victim.send(&Frame::Reset { stream, code: ResetCode(code) }).unwrap();
        assert_eq!(events(&mut victim.session), [Event::Reset(stream, ResetCode(code))]);
        victim.send(&Frame::CloseSession(CloseCode(code))).unwrap();
        assert_eq!(victim.session.end(), Some(End::PeerClosed(CloseCode(code))));
    }
}
