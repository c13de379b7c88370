use std::collections::VecDeque;

use capnp::message::{Builder, HeapAllocator, ReaderOptions, ReaderSegments};
use futures::task::noop_waker;

use super::*;

/// A stream that gives what it has in pieces of one size, and then waits or ends.
struct Pieces {
    bytes: VecDeque<u8>,
    piece: usize,
    ends: bool,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.bytes.is_empty() && !this.ends {
            return Poll::Pending;
        }
        let wanted = buf.len().min(this.piece);
        Poll::Ready(io::Read::read(&mut this.bytes, &mut buf[..wanted]))
    }
}

fn options() -> Options {
    Options { max_message_bytes: 1 << 20, max_segments: 4, ..Options::default() }
}

/// Everything that a stream of `bytes` gives, and why there is no more; Pending where it waits.
fn read_all(bytes: &[u8], piece: usize, ends: bool) -> (Vec<Segments>, Poll<ReadEnd>) {
    let mut stream = Pieces { bytes: bytes.iter().copied().collect(), piece, ends };
    let mut reader = MessageReader::new(&options());
    let mut messages = Vec::new();
    let waker = noop_waker();
    loop {
        let mut arrived = Arrived::default();
        let end = reader.poll_read(&mut stream, &mut Context::from_waker(&waker), &mut arrived);
        messages.extend(std::iter::from_fn(|| arrived.pop()));
        if !matches!(end, Poll::Ready(ReadEnd::Enough)) {
            return (messages, end);
        }
    }
}

/// A frame of segments of these lengths in words, each filled with its number.
fn frame(lengths: &[u32]) -> Vec<u8> {
    let mut bytes = (lengths.len() as u32 - 1).to_le_bytes().to_vec();
    for length in lengths {
        bytes.extend(length.to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(WORD_BYTES), 0);
    for (number, length) in lengths.iter().enumerate() {
        bytes.extend(std::iter::repeat_n(number as u8 + 1, *length as usize * WORD_BYTES));
    }
    bytes
}

fn error_of(bytes: &[u8]) -> FrameError {
    match read_all(bytes, usize::MAX, true) {
        (messages, Poll::Ready(ReadEnd::Over(Over::Frame(error)))) if messages.is_empty() => error,
        _ => panic!("no error"),
    }
}

#[test]
fn messages_of_one_and_of_several_segments_arrive_however_they_are_cut() {
    let tables: [&[u32]; 6] = [&[1], &[0], &[3, 0], &[1, 2, 3], &[1, 0, 0, 5], &[20_000]];
    let bytes: Vec<u8> = tables.iter().flat_map(|lengths| frame(lengths)).collect();
    for piece in [1, 3, 8, 1_000, usize::MAX] {
        let (messages, end) = read_all(&bytes, piece, true);
        assert!(matches!(end, Poll::Ready(ReadEnd::Over(Over::Clean))));
        assert_eq!(messages.len(), tables.len());
        for (message, lengths) in messages.iter().zip(tables) {
            assert_eq!(message.len(), lengths.len());
            for (number, length) in lengths.iter().enumerate() {
                let segment = message.get_segment(number as u32).unwrap();
                assert_eq!(segment.len(), *length as usize * WORD_BYTES);
                assert!(segment.iter().all(|byte| *byte == number as u8 + 1));
            }
            assert!(message.get_segment(lengths.len() as u32).is_none());
        }
    }
}

#[test]
fn what_capnp_writes_is_what_we_read() {
    let allocator = HeapAllocator::new().first_segment_words(1);
    let mut builder =
        Builder::new(allocator.allocation_strategy(capnp::message::AllocationStrategy::FixedSize));
    builder.set_root("of several segments").unwrap();
    let bytes = capnp::serialize::write_message_to_words(&builder);
    let (messages, _) = read_all(&bytes, 5, true);
    assert!(messages[0].len() > 1);
    let message = capnp::message::Reader::new(messages.into_iter().next().unwrap(), ReaderOptions::default());
    assert_eq!(message.get_root::<capnp::text::Reader<'_>>().unwrap(), "of several segments");
}

#[test]
fn a_message_over_the_limit_is_refused_from_its_header_alone() {
    let words = (1_u32 << 20) / 8;
    assert_eq!(
        error_of(&frame(&[words + 1])[..8]),
        FrameError::TooLarge { bytes: (1 << 20) + 8, limit: 1 << 20 }
    );
    let two = frame(&[words, 1]);
    assert!(matches!(error_of(&two[..16]), FrameError::TooLarge { .. }));
    let overflow: Vec<u8> = [3, u32::MAX, u32::MAX, u32::MAX, u32::MAX, 0].map(u32::to_le_bytes).concat();
    assert!(
        matches!(error_of(&overflow), FrameError::TooLarge { bytes, .. } if bytes == u64::from(u32::MAX) * 8)
    );
    assert!(read_all(&frame(&[words]), usize::MAX, true).1.is_ready(), "at the limit it passes");
}

#[test]
fn too_many_segments_are_refused_from_the_first_word() {
    assert_eq!(error_of(&frame(&[0; 5])[..8]), FrameError::TooManySegments { segments: 5, limit: 4 });
    assert_eq!(error_of(&[255; 8]), FrameError::TooManySegments { segments: 1 << 32, limit: 4 });
}

#[test]
fn a_stream_that_ends_inside_a_message_is_told_from_one_that_ends_between_two() {
    let bytes = frame(&[2, 1]);
    for cut in 1..bytes.len() {
        let (messages, end) = read_all(&bytes[..cut], usize::MAX, true);
        assert!(messages.is_empty());
        assert!(matches!(end, Poll::Ready(ReadEnd::Over(Over::Frame(FrameError::Truncated)))), "{cut}");
        assert!(read_all(&bytes[..cut], usize::MAX, false).1.is_pending());
    }
    assert!(matches!(read_all(&[], 1, true).1, Poll::Ready(ReadEnd::Over(Over::Clean))));
}

#[test]
fn a_buffer_grows_no_faster_than_the_bytes_that_arrive() {
    let whole = frame(&[(1 << 20) / 8]);
    for arrived in [8, 100, (FIRST_WORDS * WORD_BYTES), 2 * (FIRST_WORDS * WORD_BYTES) + 100, 500_000] {
        let mut stream =
            Pieces { bytes: whole[..arrived].iter().copied().collect(), piece: 999, ends: false };
        let mut reader = MessageReader::new(&options());
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        assert!(reader.poll_read(&mut stream, &mut context, &mut Arrived::default()).is_pending());
        let State::Body { words, .. } = &reader.state else { panic!() };
        assert!(words.capacity() * WORD_BYTES <= (FIRST_WORDS * WORD_BYTES).max(2 * arrived), "{arrived}");
    }
}

#[test]
fn a_header_is_believed_as_far_as_the_longest_message_before_it_and_no_further_than_what_is_kept() {
    let held_words = |before: &[usize]| {
        let mut reader = MessageReader::new(&options());
        let mut arrived = Arrived::default();
        for &words in before {
            let message = frame(&[words as u32]);
            let (head, body) = message.split_at(WORD_BYTES);
            reader.take(head, &mut arrived).unwrap();
            reader.take(body, &mut arrived).unwrap();
        }
        // All of the next one is still to come.
        reader.take(&frame(&[1 << 17])[..WORD_BYTES], &mut arrived).unwrap();
        let State::Body { words, .. } = &reader.state else { panic!() };
        words.len()
    };
    let longer = 2 * FIRST_WORDS;
    assert_eq!(held_words(&[]), FIRST_WORDS);
    assert_eq!(held_words(&[100]), FIRST_WORDS);
    assert_eq!(held_words(&[longer, 100]), longer, "whatever small ones come between");
    assert_eq!(held_words(&[2 * KEPT_WORDS]), KEPT_WORDS);
}

#[test]
fn no_more_is_read_ahead_than_the_bound_and_one_buffer() {
    let small = frame(&[100]);
    let bytes = small.repeat(1_000);
    let mut stream = Pieces { bytes: bytes.iter().copied().collect(), piece: usize::MAX, ends: true };
    let mut reader = MessageReader::new(&options());
    let waker = noop_waker();
    let mut context = Context::from_waker(&waker);
    let mut arrived = Arrived::default();
    assert!(matches!(
        reader.poll_read(&mut stream, &mut context, &mut arrived),
        Poll::Ready(ReadEnd::Enough)
    ));
    let read_bytes = bytes.len() - stream.bytes.len();
    let weight = small.len() + MESSAGE_BYTES - WORD_BYTES;
    let messages = READ_AHEAD_BYTES.div_ceil(weight);
    let least = messages * small.len();
    assert!((least..least + 2 * SCRATCH_BYTES).contains(&read_bytes), "{read_bytes}");
    assert!(matches!(
        reader.poll_read(&mut stream, &mut context, &mut arrived),
        Poll::Ready(ReadEnd::Enough)
    ));
    assert_eq!(bytes.len() - stream.bytes.len(), read_bytes, "nothing is read while enough waits");
    while arrived.pop().is_some() {}
    assert!(arrived.is_empty());
    assert!(matches!(
        reader.poll_read(&mut stream, &mut context, &mut arrived),
        Poll::Ready(ReadEnd::Enough)
    ));
}

#[test]
fn messages_before_a_bad_frame_arrive() {
    let bytes = [frame(&[1]), frame(&[2]), vec![255; 8]].concat();
    let (messages, end) = read_all(&bytes, usize::MAX, true);
    assert_eq!(messages.len(), 2);
    assert!(matches!(end, Poll::Ready(ReadEnd::Over(Over::Frame(FrameError::TooManySegments { .. })))));
}

/// As [`read_all`], where the bytes are taken in pieces, as far as there is room for them.
fn take_all(bytes: &[u8], piece: usize) -> Result<Vec<Segments>, FrameError> {
    let mut reader = MessageReader::new(&options());
    let (mut arrived, mut messages) = (Arrived::default(), Vec::new());
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let taken = reader.take_until_enough(piece, &mut arrived)?;
            assert!(taken == piece.len() || arrived.is_enough());
            piece = &piece[taken..];
            messages.extend(std::iter::from_fn(|| arrived.pop()));
        }
    }
    Ok(messages)
}

#[test]
fn what_is_taken_makes_the_same_messages_as_what_is_read() {
    let tables: [&[u32]; 7] = [&[1], &[0], &[3, 0], &[1, 2, 3], &[8_300], &[1, 0, 0, 5], &[40_000]];
    let bytes: Vec<u8> = tables.iter().cycle().take(50).flat_map(|lengths| frame(lengths)).collect();
    let expected = read_all(&bytes, usize::MAX, true).0;
    for piece in [1, 7, 1_000, 65_000, bytes.len()] {
        let messages = take_all(&bytes, piece).unwrap();
        assert_eq!(messages.len(), expected.len());
        for (message, expected) in messages.iter().zip(&expected) {
            assert_eq!(message.len(), expected.len());
            for segment in 0..message.len() as u32 {
                assert!(message.get_segment(segment) == expected.get_segment(segment), "{piece}");
            }
        }
    }
    assert!(matches!(
        take_all(&[bytes, vec![255; 8]].concat(), 999),
        Err(FrameError::TooManySegments { .. })
    ));
}

#[test]
fn nothing_is_taken_while_enough_waits_and_empty_messages_count() {
    let bytes = frame(&[0]).repeat(1_000_000);
    let mut reader = MessageReader::new(&options());
    let mut arrived = Arrived::default();
    let taken = reader.take_until_enough(&bytes, &mut arrived).unwrap();
    assert_eq!(arrived.messages.len(), taken / WORD_BYTES);
    assert!(arrived.messages.len() <= READ_AHEAD_BYTES / MESSAGE_BYTES + 1);
    assert_eq!(reader.take_until_enough(&bytes[taken..], &mut arrived), Ok(0));
    while arrived.pop().is_some() {}
    assert_eq!(reader.take_until_enough(&bytes[taken..], &mut arrived), Ok(taken));
}
