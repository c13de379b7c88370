use capnp::Word;
use capnp::message::{Builder, HeapAllocator};

use super::*;
use crate::segments::SegmentTable;

fn message(segments: &[&[u64]]) -> Segments {
    let mut words = Word::allocate_zeroed_vec(segments.iter().map(|segment| segment.len()).sum());
    let bytes = Word::words_to_bytes_mut(&mut words);
    let all = segments.iter().flat_map(|segment| segment.iter());
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(all) {
        *place = word.to_le_bytes();
    }
    let mut start = 0;
    let mut table = Vec::new();
    for segment in segments {
        table.push(start..start + segment.len());
        start += segment.len();
    }
    Segments::new(words, SegmentTable::Many(table))
}

fn check(segments: &[&[u64]]) -> Result<(), Malformed> {
    TreeCheck::default().check(&message(segments))
}

/// A pointer to a struct.
fn to_struct(offset: i32, data_words: u16, pointers: u16) -> u64 {
    u64::from((offset << 2).cast_unsigned()) | u64::from(data_words) << 32 | u64::from(pointers) << 48
}

fn to_list(offset: i32, element: u64, count: u64) -> u64 {
    u64::from((offset << 2).cast_unsigned()) | 1 | element << 32 | count << 35
}

fn to_far(segment: u64, word: u64, double: bool) -> u64 {
    2 | u64::from(double) << 2 | word << 3 | segment << 32
}

const CAPABILITY: u64 = 3 | 9 << 32;

#[test]
fn what_a_builder_makes_passes() {
    for first_segment in [1, 8, 1_000] {
        let mut builder = Builder::new(HeapAllocator::new().first_segment_words(first_segment));
        let mut list = builder
            .init_root::<capnp::any_pointer::Builder<'_>>()
            .initn_as::<capnp::text_list::Builder<'_>>(40);
        for at in 0..40 {
            list.set(at, "text of some length");
        }
        let segments = builder.get_segments_for_output();
        let words: Vec<Vec<u64>> = segments
            .iter()
            .map(|segment| segment.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
            .collect();
        let words: Vec<&[u64]> = words.iter().map(Vec::as_slice).collect();
        assert_eq!(check(&words), Ok(()));
    }
}

#[test]
fn null_empty_structs_and_capabilities_need_no_words() {
    assert_eq!(check(&[&[0]]), Ok(()));
    assert_eq!(check(&[&[to_struct(-1, 0, 0)]]), Ok(()));
    assert_eq!(check(&[&[CAPABILITY]]), Ok(()));
}

#[test]
fn a_pointer_that_leads_out_of_its_segment_is_found() {
    for pointer in [
        to_struct(0, 1, 0),
        to_struct(-3, 1, 0),
        to_struct(1, 0, 0),
        to_list(0, 2, 9),
        to_list(0, 6, 1),
        to_list(0, 7, 0),
        to_far(0, 1, false),
        to_far(4, 0, false),
    ] {
        assert_eq!(check(&[&[pointer], &[0, 0]]), Err(Malformed::OutOfBounds), "{pointer:#x}");
    }
    assert_eq!(check(&[&[]]), Err(Malformed::OutOfBounds));
    assert_eq!(check(&[]), Err(Malformed::OutOfBounds));
}

#[test]
fn two_pointers_to_the_same_words_are_found() {
    // Two fields, one text.
    assert_eq!(
        check(&[&[to_struct(0, 0, 2), to_list(1, 2, 8), to_list(0, 2, 8), 0]]),
        Err(Malformed::Overlap)
    );
    // A struct that contains itself.
    assert_eq!(check(&[&[to_struct(0, 0, 1), to_struct(-1, 0, 1)]]), Err(Malformed::Overlap));
    // Objects that overlap by a word.
    assert_eq!(
        check(&[&[to_struct(0, 0, 2), to_list(1, 2, 16), to_list(1, 2, 16), 0, 0, 0]]),
        Err(Malformed::Overlap)
    );
    // Two far pointers to one landing pad.
    assert_eq!(
        check(&[&[to_struct(0, 0, 2), to_far(1, 0, false), to_far(1, 0, false)], &[to_struct(0, 1, 0), 7]]),
        Err(Malformed::Overlap)
    );
}

#[test]
fn far_pointers_are_followed_to_the_end() {
    assert_eq!(check(&[&[to_far(1, 1, false)], &[0, to_struct(-2, 1, 0)]]), Ok(()));
    assert_eq!(check(&[&[to_far(1, 0, true)], &[to_far(2, 0, false), to_struct(0, 2, 0)], &[5, 5]]), Ok(()));
    assert_eq!(check(&[&[to_far(1, 0, false)], &[CAPABILITY]]), Ok(()));
    for (pad, error) in [
        ([to_far(1, 0, false), 0], Malformed::UnknownPointer),
        ([to_struct(1, 1, 0), 0], Malformed::OutOfBounds),
    ] {
        assert_eq!(check(&[&[to_far(1, 0, false)], &pad]), Err(error));
    }
    for (pad, error) in [
        ([to_far(2, 0, true), to_struct(0, 1, 0)], Malformed::UnknownPointer),
        ([to_struct(0, 0, 0), to_struct(0, 1, 0)], Malformed::UnknownPointer),
        ([to_far(2, 0, false), CAPABILITY], Malformed::UnknownPointer),
        ([to_far(2, 1, false), to_struct(0, 1, 0)], Malformed::OutOfBounds),
    ] {
        assert_eq!(check(&[&[to_far(1, 0, true)], &pad, &[0]]), Err(error), "{pad:x?}");
    }
}

#[test]
fn pointers_of_unknown_kinds_are_found() {
    assert_eq!(check(&[&[7]]), Err(Malformed::UnknownPointer));
    // A list of lists in place of structs.
    assert_eq!(check(&[&[to_list(0, 7, 1), to_list(0, 2, 1), 0]]), Err(Malformed::UnknownPointer));
}

#[test]
fn a_list_with_more_structs_than_words_is_found() {
    assert_eq!(check(&[&[to_list(0, 7, 2), to_struct(3, 1, 0), 0, 0]]), Err(Malformed::Overrun));
    assert_eq!(check(&[&[to_list(0, 7, 2), to_struct(2, 1, 0), 0, 0]]), Ok(()));
}

#[test]
fn pointers_in_every_struct_of_a_list_are_followed() {
    let bad = to_struct(100, 1, 0);
    for place in 0..3 {
        let mut words = [to_list(0, 7, 6), to_struct(3, 1, 1), 0, 0, 0, 0, 0, 0];
        words[3 + 2 * place] = bad;
        assert_eq!(check(&[&words]), Err(Malformed::OutOfBounds), "{place}");
    }
}

#[test]
fn nesting_is_bounded() {
    // Structs of one pointer, one in the other.
    let mut words = vec![to_struct(0, 0, 1); MAX_DEPTH as usize];
    words.push(0);
    assert_eq!(check(&[&words]), Ok(()));
    words.insert(0, to_struct(0, 0, 1));
    assert_eq!(check(&[&words]), Err(Malformed::TooDeep));
}

#[test]
fn lists_of_nothing_are_bounded() {
    let most = MAX_EMPTY_ELEMENTS;
    assert_eq!(check(&[&[to_list(0, 0, most)]]), Ok(()));
    assert_eq!(check(&[&[to_list(0, 0, most + 1)]]), Err(Malformed::TooManyEmptyElements));
    let structs = |count: u64| [to_list(0, 7, 0), count << 2];
    assert_eq!(check(&[&structs(most)]), Ok(()));
    assert_eq!(check(&[&structs(most + 1)]), Err(Malformed::TooManyEmptyElements));
    // Together.
    let two = [to_struct(0, 0, 2), to_list(1, 0, most), to_list(0, 0, 1)];
    assert_eq!(check(&[&two]), Err(Malformed::TooManyEmptyElements));
}

#[test]
fn one_check_serves_message_after_message() {
    let mut tree = TreeCheck::default();
    let mut large = vec![to_list(0, 5, 20_000)];
    large.resize(20_001, 0);
    for _ in 0..3 {
        assert_eq!(tree.check(&message(&[&large])), Ok(()));
        assert!(tree.taken.capacity() <= KEPT_MARKS);
        assert_eq!(
            tree.check(&message(&[&[to_struct(0, 0, 1), to_struct(-1, 0, 1)]])),
            Err(Malformed::Overlap)
        );
        assert_eq!(tree.check(&message(&[&[to_struct(0, 1, 0), 5]])), Ok(()));
    }
}

/// Numbers that look random and are the same each time.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    }
}

#[test]
fn what_the_simple_check_passes_is_sound() {
    let mut number = numbers(1);
    let (mut passed, mut sound) = (0, 0);
    for _ in 0..400_000 {
        let length = number() % 12 + 1;
        let words: Vec<u64> = (0..length)
            .map(|at| match number() % 8 {
                0..=3 => {
                    let offset =
                        (number() % (length - at + 1)) as i32 - i32::from(number().is_multiple_of(16));
                    to_struct(offset, (number() % 3) as u16, (number() % 3) as u16)
                }
                4 => to_list((number() % 4) as i32, number() % 8, number() % 9),
                5 => number() << 32 | number(),
                6 if number().is_multiple_of(16) => CAPABILITY,
                _ => 0,
            })
            .collect();
        let bytes: Vec<_> = words.iter().map(|word| word.to_le_bytes()).collect();
        let is_simple = simple::is_sound(&bytes);
        let careful = check(&[&words]);
        sound += u32::from(careful.is_ok());
        if is_simple {
            passed += 1;
            let mut tree = TreeCheck::default();
            assert_eq!(tree.check(&message(&[&words])), Ok(()), "{words:x?}");
            assert_eq!(tree.capabilities(), 0, "{words:x?}");
        }
    }
    assert!(passed > 10_000 && passed > sound / 2, "{passed} of {sound}");
}

#[test]
fn the_simple_check_passes_what_most_messages_are() {
    let mut builder = Builder::new(HeapAllocator::new().first_segment_words(64));
    let mut call = builder.init_root::<capnp_rpc::rpc_capnp::message::Builder<'_>>().init_call();
    call.reborrow().init_target().init_promised_answer();
    let mut params = call.init_params();
    params.reborrow().init_cap_table(0);
    params.get_content().set_as("some text").unwrap();
    let segments = builder.get_segments_for_output();
    assert!(simple::is_sound(segments[0].as_chunks().0));
}

#[test]
fn calls_and_answers_that_are_cut_short_or_lead_back_are_refused() {
    let call = [0x0001_0001_0000_0000, 2, 0x0003_0003_0000_0000, 1, 2, 3, 0, 0, 0];
    let answer = [0x0001_0001_0000_0000, 3, 0x0001_0002_0000_0000, 1, 2, 0];
    for (whole, first) in [(&call[..], 6), (&answer[..], 5)] {
        let as_bytes = |words: &[u64]| words.iter().map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        assert!(simple::is_sound(&as_bytes(whole)));
        for length in 0..whole.len() {
            assert!(!simple::is_sound(&as_bytes(&whole[..length])), "{length}");
            assert!(check(&[&whole[..length]]).is_err(), "{length}");
        }
        let offset = |from: usize, to: usize| i32::try_from(to).unwrap() - i32::try_from(from).unwrap() - 1;
        for (at, back) in (first..whole.len()).flat_map(|at| (0..whole.len()).map(move |back| (at, back))) {
            let mut words = whole.to_vec();
            words[at] = to_struct(offset(at, back), 1, 0);
            assert!(!simple::is_sound(&as_bytes(&words)), "{at} to {back}");
            assert_eq!(check(&[&words]), Err(Malformed::Overlap), "{at} to {back}");
            words.push(7);
            words[at] = to_struct(offset(at, whole.len()), 1, 0);
            assert!(simple::is_sound(&as_bytes(&words)), "{at}");
        }
    }
}

#[test]
fn words_are_marked_however_many_and_wherever_they_begin() {
    const WORDS: usize = 400;
    let mut number = numbers(3);
    let message = message(&[&[0; WORDS]]);
    let mut crossed = 0;
    for _ in 0..2_000 {
        let (mut taken, mut model) = (vec![0; WORDS.div_ceil(64)], [false; WORDS]);
        let mut ground = Large { message: &message, taken: &mut taken };
        loop {
            let start = number() as usize % WORDS;
            let end = (start + 1 + number() as usize % 200).min(WORDS);
            crossed += usize::from(end / 64 > start / 64 + 1);
            let free = !model[start..end].contains(&true);
            assert_eq!(ground.mark(start, end), free, "{start}..{end}");
            if !free {
                // Nobody goes on with such a message.
                break;
            }
            model[start..end].fill(true);
        }
        assert!(model.iter().enumerate().all(|(at, set)| !set || taken[at / 64] >> (at % 64) & 1 == 1));
    }
    assert!(crossed > 1_000);
    assert!(!Large { message: &message, taken: &mut [0; 2] }.mark(100, 129), "beyond the message");
}
