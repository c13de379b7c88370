//! MUX-3: headers, and what a frame that is wrong leaves behind.

use vatmux_mux::wire::{Frame, Header};
use vatmux_mux::{Event, Violation};

use crate::spec::{number, table};
use crate::support::{Fresh, LIMITS, Victim, encoded, events, id, name, on_every_storage, priority};

on_every_storage! {
    a_frame_that_is_wrong_changes_nothing,
}

/// The bounds of a payload as the table writes them: `4`, or `1 to 32,768`.
fn bounds(cell: &str) -> (u64, u64) {
    let (least, most) = cell.split_once(" to ").unwrap_or((cell, cell));
    (number(least).expect("a number"), number(most).expect("a number"))
}

/// MUX-3.1, MUX-3.2, MUX-3.3.
#[test]
fn a_header_is_legal_exactly_when_the_table_of_kinds_says_so() {
    let rows = table("MUX-3.2");
    for kind in (0..=9).chain([0x48, 0xff]) {
        for stream in [0_u8, 1] {
            let place = if stream == 0 { "0" } else { "a stream" };
            let row = rows.iter().find(|row| number(&row[0]) == Some(kind.into()) && row[2] == place);
            let exists = rows.iter().any(|row| number(&row[0]) == Some(kind.into()));
            for length in 0..=u16::MAX {
                let [low, high] = length.to_le_bytes();
                let bytes = [kind, 0, low, high, stream, 0, 0, 0];
                let found = Header::parse(&bytes);
                let expected = match row.map(|row| bounds(&row[3])) {
                    _ if !exists => Err("unknown_frame_kind"),
                    None => Err("misplaced_frame"),
                    Some((_, most)) if u64::from(length) > most => Err("frame_oversize"),
                    Some((least, _)) if u64::from(length) < least => Err("frame_too_short"),
                    Some(_) => Ok(()),
                };
                assert_eq!(found.as_ref().map(|_| ()).map_err(Violation::label), expected, "{bytes:?}");
                if let Ok(header) = found {
                    assert_eq!(header.emit(), bytes);
                    assert_eq!(header.kind.to_string(), row.expect("it is legal")[1]);
                }
            }
        }
    }
    for flags in 1..=u8::MAX {
        for kind in [3, 6] {
            let found = Header::parse(&[kind, flags, 0xff, 0xff, 0, 0, 0, 0]);
            assert_eq!(found, Err(Violation::ReservedFlags { flags }), "before place and length");
        }
    }
}

/// MUX-3.5.
fn a_frame_that_is_wrong_changes_nothing<S: Fresh>() {
    let open = |raw: u32| encoded(&Frame::Open { stream: id(raw), priority: priority(0), name: name("n") });
    let changed = |mut bytes: Vec<u8>, position: usize, byte: u8| {
        bytes[position] = byte;
        bytes
    };
    let update = |increment| encoded(&Frame::WindowUpdate { stream: id(1), increment });
    let data = |length: usize| encoded(&Frame::Data { stream: id(1), payload: &vec![7; length] });
    for wrong in [
        changed(open(3), 8, 8),
        changed(open(3), 9, b' '),
        changed(open(3), 1, 1),
        open(1),
        open(2),
        changed(update(5), 8, 0),
        update(u32::MAX),
        changed(data(1), 2, 0),
        changed(data(1), 4, 9),
        encoded(&Frame::OpenAck { stream: id(1) }),
        encoded(&Frame::Close { stream: id(4) }),
    ] {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        let stream = victim.accepted(1);
        victim.data(1, &[5; 100]).unwrap();
        assert_eq!(events(&mut victim.session), [Event::Readable(stream)]);
        let before = (victim.session.statistics(), victim.session.stream_statistics(stream));
        assert!(victim.send_bytes(&wrong).is_err(), "{wrong:?}");
        let after = (victim.session.statistics(), victim.session.stream_statistics(stream));
        assert_eq!(after, before, "{wrong:?}");
        assert_eq!(events(&mut victim.session), [Event::Ended], "{wrong:?}");
    }
}
