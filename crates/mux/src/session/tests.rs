//! What cannot be seen from outside: ids at their end, and memory.

extern crate std;

use super::*;
use crate::storage::StaticStorage;

const LIMITS: Limits = Limits {
    initial_window_bytes: 4096,
    max_window_bytes: 4096,
    send_buffer_bytes: 4096,
    max_incoming_streams: 4,
    max_outgoing_streams: 4,
    ..Limits::FIXED
};

type Small = Session<StaticStorage<8, 4096>>;

fn session<S: Storage>(role: Role, storage: S) -> Session<S> {
    Session::new(role, LIMITS, LIMITS.hello(), storage, Ticks::ZERO).unwrap()
}

fn name() -> StreamName {
    StreamName::new("inside").unwrap()
}

#[test]
fn ids_that_are_used_up_are_an_error_and_not_a_second_stream() {
    for (role, last) in [(Role::Dialer, u32::MAX), (Role::Acceptor, u32::MAX - 1)] {
        let mut session: Small = session(role, StaticStorage::new());
        session.next_id = StreamId::new(last);
        assert_eq!(session.open(&name(), Priority::FIRST).map(StreamId::get), Ok(last));
        assert_eq!(session.open(&name(), Priority::FIRST), Err(OpenError::IdsExhausted));
    }
}

#[test]
fn the_worst_case_is_what_the_limits_say() {
    assert_eq!(Limits::FIXED.worst_case_bytes() >> 20, 16);
    assert_eq!(Limits::HOST.worst_case_bytes() >> 20, 176);
    // The 256 bytes per stream and 2 KiB per session of the formula.
    let storage = |streams: usize, bytes: usize| bytes - streams * 2 * 4096;
    let (one, nine) =
        (storage(1, size_of::<StaticStorage<1, 4096>>()), storage(9, size_of::<StaticStorage<9, 4096>>()));
    let per_stream = (nine - one) / 8;
    assert!(per_stream <= 256, "{per_stream}");
    // What storage has beside its streams is mostly the exclusive names.
    let session = size_of::<Session<&mut StaticStorage<1, 1>>>() + one - per_stream;
    assert!(session <= 2048, "{session}");
}

#[cfg(feature = "alloc")]
mod on_the_heap {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::heap::{HeapRing, HeapStorage};

    type Host = Session<HeapStorage>;

    fn hosts() -> (Host, Host) {
        (session(Role::Dialer, HeapStorage::new()), session(Role::Acceptor, HeapStorage::new()))
    }

    fn carry(from: &mut Host, to: &mut Host, now: Ticks) {
        let mut output = vec![0; 65_519];
        let bytes = from.transmit(&mut output);
        to.receive(&output[..bytes], now).unwrap();
    }

    fn held(session: &Host) -> usize {
        let slots = session.storage.slots().iter();
        slots
            .map(|slot| usize::from(slot.send.holds_memory()) + usize::from(slot.receive.holds_memory()))
            .sum()
    }

    #[test]
    fn an_idle_stream_costs_its_slot() {
        assert!(size_of::<Slot<HeapRing>>() <= 176, "{}", size_of::<Slot<HeapRing>>());
    }

    #[test]
    fn rings_are_allocated_by_their_first_byte_and_given_back_after_an_idle_tick() {
        let (mut dialer, mut acceptor) = hosts();
        let stream = dialer.open(&name(), Priority::FIRST).unwrap();
        carry(&mut dialer, &mut acceptor, Ticks(0));
        assert_eq!((held(&dialer), held(&acceptor)), (0, 0));
        dialer.write(stream, b"x").unwrap();
        carry(&mut dialer, &mut acceptor, Ticks(0));
        assert_eq!((held(&dialer), held(&acceptor)), (1, 1));
        assert_eq!(dialer.next_deadline(), Some(Ticks(1)));
        dialer.handle_timeout(Ticks(1));
        assert_eq!(held(&dialer), 0);
        assert_eq!(dialer.next_deadline(), Some(Ticks(3)), "nothing is left to give back");

        acceptor.handle_timeout(Ticks(1));
        assert_eq!(held(&acceptor), 1, "it holds a byte that nobody has read");
        assert!(matches!(acceptor.poll_event(), Some(Event::Incoming { .. })));
        acceptor.accept(stream).unwrap();
        assert_eq!(acceptor.readable(stream), Ok((&b"x"[..], &b""[..])));
        acceptor.consume(stream, 1).unwrap();
        acceptor.handle_timeout(Ticks(2));
        assert_eq!(held(&acceptor), 0);
    }

    #[test]
    fn slots_are_given_back_when_their_streams_are_gone() {
        let (mut dialer, mut acceptor) = hosts();
        let streams: Vec<_> = (0..4).map(|_| dialer.open(&name(), Priority::FIRST).unwrap()).collect();
        for stream in &streams {
            dialer.write(*stream, b"x").unwrap();
        }
        carry(&mut dialer, &mut acceptor, Ticks(0));
        assert_eq!(acceptor.storage.slots().len(), 4);
        for stream in &streams {
            dialer.release(*stream);
        }
        carry(&mut dialer, &mut acceptor, Ticks(0));
        acceptor.handle_timeout(Ticks(1));
        dialer.handle_timeout(Ticks(1));
        assert_eq!((dialer.storage.slots().len(), acceptor.storage.slots().len()), (0, 0));
        let again = dialer.open(&name(), Priority::FIRST).unwrap();
        carry(&mut dialer, &mut acceptor, Ticks(1));
        assert!(matches!(acceptor.poll_event(), Some(Event::Incoming { id, .. }) if id == again));
    }
}
