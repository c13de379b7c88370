//! The parsers of the mux against a second reading of the specification.

use vatmux_mux::wire::{Frame, HEADER_BYTES, Header, Kind};
use vatmux_mux::{Hello, MAX_NAME_BYTES, NameError, StreamName, Violation};

/// Takes `bytes` for a hello, for a name, and for as many frames as there are in it.
pub(crate) fn run(bytes: &[u8]) {
    hello(bytes);
    name(bytes);
    let mut rest = bytes;
    while let Some(frames) = frame(rest) {
        rest = frames;
    }
}

/// MUX-2.1 and MUX-2.2.
fn hello(bytes: &[u8]) {
    let legal = <[u8; 12]>::try_from(bytes).ok().and_then(|bytes| {
        let [1, 0, 0, 0, w0, w1, w2, w3, s0, s1, s2, s3] = bytes else { return None };
        let (window, streams) = (u32::from_le_bytes([w0, w1, w2, w3]), u32::from_le_bytes([s0, s1, s2, s3]));
        ((1..=0x7fff_ffff).contains(&window) && streams <= 0xffff).then_some((window, streams))
    });
    let hello = Hello::decode(bytes).ok();
    assert_eq!(hello.map(|hello| (hello.initial_window_bytes, hello.max_streams)), legal);
    if let Some(hello) = hello {
        assert_eq!(hello.encode(), bytes, "a hello is written as it was read");
    }
}

/// MUX-4.2.
fn name(bytes: &[u8]) {
    match StreamName::from_bytes(bytes) {
        Ok(name) => {
            assert_eq!(name.as_str().as_bytes(), bytes);
            assert!((1..=64).contains(&bytes.len()) && bytes.iter().all(|byte| (0x21..=0x7e).contains(byte)));
            assert_eq!(StreamName::new(name.as_str()), Ok(name));
        }
        Err(NameError::Empty) => assert!(bytes.is_empty()),
        Err(NameError::TooLong { bytes: length }) => {
            assert!(length == bytes.len() && length > MAX_NAME_BYTES);
        }
        Err(NameError::Byte { position, byte }) => {
            assert!(bytes[position] == byte && !(0x21..=0x7e).contains(&byte));
            assert!(bytes[..position].iter().all(|byte| (0x21..=0x7e).contains(byte)));
        }
    }
}

/// Reads one frame and returns what follows it; `None` when no whole legal frame is there.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let (first, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let outcome = Header::parse(first);
    assert_eq!(outcome.map_err(|violation| violation.label()).map(|_| ()), judgement(*first));
    let header = outcome.ok()?;
    assert_eq!(header.emit(), *first, "a header is written as it was read");
    let (payload, rest) = rest.split_at_checked(usize::from(header.length))?;
    let whole = &bytes[..HEADER_BYTES + payload.len()];
    match Frame::parse(&header, payload) {
        Ok(frame) => round_trip(&frame, whole),
        Err(violation) => {
            let wrong = match violation {
                Violation::InvalidPriority { priority } => payload.first() == Some(&priority) && priority > 7,
                Violation::InvalidStreamName(error) => StreamName::from_bytes(&payload[1..]) == Err(error),
                Violation::EmptyWindowUpdate { .. } => header.kind == Kind::WindowUpdate && payload == [0; 4],
                _ => false,
            };
            assert!(wrong, "{header:?} {payload:?}: {violation}");
        }
    }
    Some(rest)
}

fn round_trip(frame: &Frame<'_>, whole: &[u8]) {
    assert_eq!(frame.bytes(), whole.len());
    let mut output = vec![0xee; whole.len() + 1];
    assert_eq!(frame.emit(&mut output), Some(whole.len()));
    assert_eq!(&output[..whole.len()], whole, "a frame is written as it was read");
    assert_eq!(output[whole.len()], 0xee, "and nothing behind it");
    let mut tight = vec![0xee; whole.len() - 1];
    assert_eq!(frame.emit(&mut tight), None);
    assert!(tight.iter().all(|byte| *byte == 0xee), "a frame that does not fit is not begun");
}

/// MUX-3.2 and MUX-3.3, read once more: the label of the first check that fails.
fn judgement(header: [u8; HEADER_BYTES]) -> Result<(), &'static str> {
    let [kind, flags, l0, l1, id @ ..] = header;
    let length = u16::from_le_bytes([l0, l1]);
    let on_stream = id != [0; 4];
    if !(1..=8).contains(&kind) {
        return Err("unknown_frame_kind");
    }
    if flags != 0 {
        return Err("reserved_flags");
    }
    let (least, most) = match (kind, on_stream) {
        (1, true) => (2, 65),
        (2 | 8, true) => (0, 0),
        (3, true) => (1, 32_768),
        (4 | 5, true) | (8, false) => (4, 4),
        (6 | 7, false) => (8, 8),
        _ => return Err("misplaced_frame"),
    };
    match length {
        _ if length > most => Err("frame_oversize"),
        _ if length < least => Err("frame_too_short"),
        _ => Ok(()),
    }
}
