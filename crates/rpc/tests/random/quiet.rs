//! What a call allocates, and that telling of it allocates nothing where nobody listens.

use std::cell::Cell;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::common::{Pair, echo};
use crate::heap;

/// What a call and its answer take at both ends together, all but a few of it in capnp-rpc.
const ALLOCATIONS_PER_CALL: usize = 96;

const CALLS: usize = 100;

/// Blocks that the calls of one vat to another allocate, once their tables and buffers are there.
fn allocations() -> usize {
    let mut pair = Pair::new();
    let probe = pair.probe.clone();
    pair.run(async {
        for n in 0..200 {
            echo(&probe, n).await.unwrap();
        }
        let before = heap::allocations();
        for n in 0..CALLS {
            echo(&probe, n as u64).await.unwrap();
        }
        heap::allocations() - before
    })
}

thread_local! {
    static TOLD: Cell<usize> = const { Cell::new(0) };
}

/// Hears everything or nothing.
struct Listener(LevelFilter);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        TOLD.set(TOLD.get() + 1);
        // As a listener does that wants to know what it is about.
        drop(format!("{:?}", span.values()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_call_allocates_nothing_to_be_told_of_where_nobody_listens() {
    let alone = allocations();
    println!("{} allocations per call", alone as f64 / CALLS as f64);
    assert!(alone <= ALLOCATIONS_PER_CALL * CALLS, "{alone} for {CALLS} calls");
    let deaf = tracing::subscriber::with_default(Listener(LevelFilter::OFF), allocations);
    assert_eq!(deaf, alone);
    assert_eq!(TOLD.get(), 0);
    // While there is a single listener, what other threads meet first is asked of theirs, who have none, and never told again.
    let _second = Dispatch::new(Listener(LevelFilter::OFF));
    let told = tracing::subscriber::with_default(Listener(LevelFilter::TRACE), allocations);
    assert!(TOLD.get() >= 2 * CALLS, "{} spans", TOLD.get());
    assert!(told > alone, "what is told can be seen here");
}
