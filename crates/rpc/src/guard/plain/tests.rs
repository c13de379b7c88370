use capnp::Word;
use capnp::message::{Builder, HeapAllocator};
use capnp_rpc::rpc_capnp::message;

use super::*;
use crate::guard::tree::TreeCheck;
use crate::guard::{Limits, envelope};
use crate::incoming;
use crate::segments::{SegmentTable, Segments};

fn segment(build: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut builder = Builder::new(HeapAllocator::new().first_segment_words(512));
    build(builder.init_root());
    let segments = builder.get_segments_for_output();
    assert_eq!(segments.len(), 1);
    segments[0].to_vec()
}

fn segments(bytes: &[u8]) -> Segments {
    let mut words = Word::allocate_zeroed_vec(bytes.len() / 8);
    Word::words_to_bytes_mut(&mut words).copy_from_slice(bytes);
    Segments::new(words, SegmentTable::One)
}

fn plain(bytes: &[u8]) -> Option<Message> {
    read(bytes, &Limits::default())
}

/// What both readers say, or nothing where this one leaves the message to the other.
fn as_both_read_it(bytes: &[u8]) -> Option<String> {
    let read = format!("{:?}", plain(bytes)?);
    let careful = envelope::read(&incoming::reader(segments(bytes)), &Limits::default()).unwrap();
    assert_eq!(read, format!("{careful:?}"));
    Some(read)
}

fn call(root: message::Builder<'_>, caps: u32) {
    let mut call = root.init_call();
    call.set_question_id(0x0102_0304);
    call.set_interface_id(u64::MAX);
    call.set_method_id(9);
    call.reborrow().init_target().set_imported_cap(0x0506_0708);
    let mut params = call.init_params();
    params.reborrow().init_cap_table(caps);
    params.get_content().set_as("some text").unwrap();
}

fn answer(root: message::Builder<'_>, release: bool, caps: u32) {
    let mut answer = root.init_return();
    answer.set_answer_id(0x0102_0304);
    answer.set_release_param_caps(release);
    answer.set_no_finish_needed(release);
    answer.init_results().init_cap_table(caps);
}

/// Messages of every kind that is plain.
fn plain_messages() -> Vec<Vec<u8>> {
    let mut messages = vec![
        segment(|root| call(root, 0)),
        segment(|root| {
            let mut call = root.init_call();
            call.reborrow().init_target();
            call.init_params();
        }),
        segment(|root| {
            let mut call = root.init_call();
            call.reborrow().init_target().init_promised_answer().set_question_id(0x0506_0708);
            call.init_params();
        }),
        segment(|root| {
            let mut call = root.init_call();
            let mut target = call.reborrow().init_target().init_promised_answer();
            target.set_question_id(0x0506_0708);
            let mut transform = target.init_transform(3);
            transform.reborrow().get(0).set_get_pointer_field(7);
            transform.get(2).set_get_pointer_field(u16::MAX);
            call.init_params();
        }),
    ];
    for flag in [false, true] {
        messages.push(segment(|root| answer(root, flag, 0)));
        messages.push(segment(|root| {
            let mut finish = root.init_finish();
            finish.set_question_id(0x0102_0304);
            finish.set_release_result_caps(flag);
            finish.set_require_early_cancellation_workaround(!flag);
        }));
    }
    messages.push(segment(|root| {
        let mut release = root.init_release();
        release.set_id(0x0102_0304);
        release.set_reference_count(0x0506_0708);
    }));
    messages
}

#[test]
fn plain_messages_are_read_as_capnp_reads_them() {
    for message in plain_messages() {
        assert!(as_both_read_it(&message).is_some());
    }
    let read = as_both_read_it(&segment(|root| call(root, 0))).unwrap();
    assert!(read.contains(&0x0102_0304.to_string()) && read.contains(&0x0506_0708.to_string()), "{read}");
}

/// A message of several segments, the first of them of `words` at most.
fn in_segments(words: u32, build: impl FnOnce(message::Builder<'_>)) -> (Segments, Builder<HeapAllocator>) {
    let allocator = HeapAllocator::new().first_segment_words(words);
    let strategy = capnp::message::AllocationStrategy::FixedSize;
    let mut builder = Builder::new(allocator.allocation_strategy(strategy));
    build(builder.init_root());
    let segments = builder.get_segments_for_output();
    let mut all = Word::allocate_zeroed_vec(segments.iter().map(|segment| segment.len() / 8).sum());
    Word::words_to_bytes_mut(&mut all).copy_from_slice(&segments.concat());
    let mut start = 0;
    let ranges = segments.iter().map(|segment| {
        let range = start..start + segment.len() / 8;
        start = range.end;
        range
    });
    let ranges = ranges.collect();
    drop(segments);
    (Segments::new(all, SegmentTable::Many(ranges)), builder)
}

#[test]
fn messages_of_several_segments_are_read_alike() {
    let mut plain_ones = 0;
    let builds: [fn(message::Builder<'_>); 3] =
        [|root| call(root, 0), |root| answer(root, true, 0), |root| call(root, 1)];
    for words in 1..40 {
        for build in builds {
            let (segments, sent) = in_segments(words, build);
            assert_eq!(TreeCheck::default().check(&segments), Ok(()));
            let said = segments.first().and_then(plain).map(|said| format!("{said:?}"));
            let kind = sent.get_segments_for_output().first().and_then(|segment| read_sent(segment));
            assert_eq!(said.is_some(), kind.is_some());
            let Some(said) = said else { continue };
            plain_ones += 1;
            let careful = envelope::read(&incoming::reader(segments), &Limits::default()).unwrap();
            assert_eq!(said, format!("{careful:?}"), "{words}");
            assert_eq!(kind, Some(crate::outgoing::kind_of(&sent).unwrap()), "{words}");
        }
    }
    assert!(plain_ones > 20, "{plain_ones}");
}

#[test]
fn messages_with_capabilities_are_left_to_capnp() {
    assert!(plain(&segment(|root| call(root, 1))).is_none());
    assert!(plain(&segment(|root| answer(root, false, 1))).is_none());
    assert!(read_sent(&segment(|root| call(root, 1))).is_none());
    assert!(read_sent(&segment(|root| answer(root, false, 2))).is_none());
}

#[test]
fn plain_messages_that_are_sent_are_read_as_capnp_reads_them() {
    let mut messages = plain_messages();
    messages.push(segment(|root| {
        let mut answer = root.init_return();
        answer.set_answer_id(7);
        answer.init_results();
    }));
    for bytes in messages {
        let mut builder = Builder::new(HeapAllocator::new().first_segment_words(512));
        let reader = incoming::reader(segments(&bytes));
        builder.set_root(reader.get_root::<message::Reader<'_>>().unwrap()).unwrap();
        let kind = read_sent(&bytes).unwrap();
        assert_eq!(kind, crate::outgoing::kind_of(&builder).unwrap());
        assert!(envelope::sent::caps(&builder).unwrap().is_empty());
    }
}

#[test]
fn what_is_not_plain_is_left_to_capnp() {
    let left = [
        segment(|root| {
            let mut call = root.init_call();
            // One step too many.
            call.reborrow().init_target().init_promised_answer().init_transform(65);
            call.init_params();
        }),
        segment(|root| {
            let mut call = root.init_call();
            call.reborrow().init_target();
            call.reborrow().init_params();
            call.get_send_results_to().set_yourself(());
        }),
        segment(|root| root.init_return().set_canceled(())),
        segment(|root| root.init_return().init_exception().set_reason("no")),
        segment(|root| root.init_bootstrap().set_question_id(1)),
        segment(|root| root.init_abort().set_reason("no")),
        segment(|root| root.init_resolve().set_promise_id(1)),
        segment(|root| root.init_disembargo().init_context().set_accept(())),
        // Pointers that are missing.
        segment(|root| root.init_call().set_question_id(1)),
        vec![0; 8],
        Vec::new(),
    ];
    for message in left {
        assert!(plain(&message).is_none(), "{message:?}");
    }
}

#[test]
fn whatever_passes_the_check_of_pointers_is_read_alike() {
    let mut tree = TreeCheck::default();
    let (mut read_alike, mut number) = (0, 1_u64);
    for message in plain_messages() {
        for bit in 0..message.len() * 8 {
            for _ in 0..8 {
                let mut message = message.clone();
                message[bit / 8] ^= 1 << (bit % 8);
                // And another byte.
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (number >> 33) as usize % message.len();
                message[at] = message[at].wrapping_add((number >> 20) as u8 & 7);
                if tree.check(&segments(&message)).is_ok() {
                    read_alike += usize::from(as_both_read_it(&message).is_some());
                } else {
                    // Read by nobody, and survived.
                    let _ = (plain(&message), read_sent(&message));
                }
            }
        }
    }
    assert!(read_alike > 8_000, "{read_alike}");
}
