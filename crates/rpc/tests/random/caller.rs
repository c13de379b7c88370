//! A vat that calls, and a peer that answers, calls back, resolves, releases and lifts embargoes as it likes.
//!
//! What must hold: nothing panics, every caller gets an answer in time, a vat ends by a reason that has a name, and
//! everything is let go of afterwards.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use capnp::Error;
use futures::FutureExt;
use futures::io::AsyncWriteExt;
use vatmux_driver::{Driver, Handle, pipe, virtual_time};
use vatmux_rpc::{Remote, Vat, VatEnd};

use crate::common::wire::{Place, Wire};
use crate::common::{PIPE_BYTES, Seen, add, counter, echo, new_counter, probe};
use crate::corrupt::{is_named, options};
use crate::peer::{Peer, Random};
use crate::{Outcome, heap, setting};

/// Messages in one run of the test.
const MESSAGES: u64 = 300_000;

/// Messages to one vat, unless it ends before.
const MESSAGES_PER_VAT: u64 = 1_000;

/// As for a vat that serves.
const HEAP_BYTES: usize = 2 << 20;

/// Capabilities that the program keeps.
const KEPT: usize = 6;

/// Calls that the program has under way at a time.
const MOST_CALLS: usize = 40;

/// A program with a service of the peer's.
struct Program {
    random: Random,
    handle: Handle,
    seen: Rc<Seen>,
    probe: Option<Remote<probe::Client>>,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    under_way: Cell<usize>,
    answered: Cell<u64>,
    kept: RefCell<Vec<counter::Client>>,
}

impl State {
    fn keep(&self, counter: counter::Client) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(counter);
    }
}

impl Program {
    /// Makes a call, or lets go of something.
    fn act(&mut self) {
        let Some(probe) = self.probe.as_deref().cloned() else { return };
        let (state, seen) = (self.state.clone(), self.seen.clone());
        if state.under_way.get() >= MOST_CALLS {
            return;
        }
        let kept = self.random.pick(state.kept.borrow().iter()).cloned();
        let given = if self.random.one_in(2) { kept.clone() } else { None };
        let given = given.unwrap_or_else(|| new_counter(&seen));
        match (self.random.below(9), kept) {
            (0, _) => self.start(async move { echo(&probe, 1).await.map(drop) }),
            (1, _) => {
                let mut request = probe.never_request();
                request.get().set_held(given);
                let answer = request.send().promise;
                self.start(async move {
                    let answer = answer.await?;
                    state.keep(answer.get()?.get_counter()?);
                    Ok(())
                });
            }
            (2, _) => {
                // A call on what is not there yet; the pipeline is not asked again.
                let promise = probe.counter_request().send();
                let counter = promise.pipeline.get_counter();
                self.start(async move { add(&counter, 1).await.map(drop) });
                self.start(async move {
                    let answer = promise.promise.await?;
                    state.keep(answer.get()?.get_counter()?);
                    Ok(())
                });
            }
            (3, _) => {
                let mut request = probe.count_twice_request();
                request.get().set_counter(given);
                let answer = request.send().promise;
                self.start(async move { answer.await?.get().map(drop) });
            }
            (4, Some(kept)) => self.start(async move { add(&kept, 1).await.map(drop) }),
            (5, Some(kept)) => {
                let answer = kept.self_request().send().promise;
                self.start(async move {
                    let answer = answer.await?;
                    state.keep(answer.get()?.get_counter()?);
                    Ok(())
                });
            }
            (6, Some(_)) => drop(state.kept.borrow_mut().pop()),
            (7, _) => {
                let mut request = probe.write_request();
                request.get().init_bytes(100);
                let sent = request.send();
                self.start(sent);
            }
            _ => {
                let mut request = probe.after_request();
                request.get().set_millis(5);
                let answer = request.send();
                self.start(async move { answer.promise.await?.get().map(drop) });
            }
        }
    }

    /// Waits for an answer, or for some of the time until it is there.
    fn start(&mut self, answer: impl Future<Output = Result<(), Error>> + 'static) {
        let state = self.state.clone();
        state.under_way.set(state.under_way.get() + 1);
        let patience = self.random.one_in(5).then(|| Duration::from_millis(self.random.below(30)));
        let patience = self.handle.sleep(patience.unwrap_or(Duration::from_hours(1)));
        self.handle.spawn(async move {
            futures::future::select(Box::pin(answer), Box::pin(patience)).await;
            state.under_way.set(state.under_way.get() - 1);
            state.answered.set(state.answered.get() + 1);
        });
    }
}

/// One vat, until it ends or has had its messages.
fn session(seed: u64) -> Outcome {
    let heap_before = heap::used();
    let mut heap_peak = 0;
    let (mut driver, _): (Driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (near, far) = pipe(PIPE_BYTES);
    let mut wire = Wire::new(far);
    let remote: Remote<probe::Client> = Vat::connect(near, "probe", &handle, &options());
    let vat = remote.vat().clone();
    let seen = Rc::new(Seen::default());
    let mut program = Program {
        random: Random(!seed),
        handle: handle.clone(),
        seen: seen.clone(),
        probe: Some(remote),
        state: Rc::default(),
    };
    let mut peer = Peer::that_is_called(seed);
    driver
        .drive_until(async {
            let bootstrap = wire.read().await.expect("a request for the bootstrap capability");
            peer.told(&bootstrap);
            peer.hosts_bootstrap();
            wire.answer_with_cap(0, 0, Place::Bootstrap).await;
            while peer.said < MESSAGES_PER_VAT && vat.ended().is_none() {
                for _ in 0..program.random.below(6) {
                    program.act();
                }
                handle.sleep(peer.pause()).await;
                while let Some(Some(message)) = wire.read().now_or_never() {
                    peer.told(&message);
                }
                let batch = peer.next_batch();
                let mut saying = std::pin::pin!(async {
                    let _ = wire.stream.write_all(&batch).await;
                });
                while saying.as_mut().now_or_never().is_none() && vat.ended().is_none() {
                    handle.sleep(Duration::from_nanos(1)).await;
                }
                let heap = heap::used().saturating_sub(heap_before);
                assert!(heap < HEAP_BYTES, "{heap} bytes of heap");
                heap_peak = heap_peak.max(heap);
            }
            // What nobody answers has its deadline.
            for _ in 0..40 {
                handle.sleep(Duration::from_secs(1)).await;
                while let Some(Some(message)) = wire.read().now_or_never() {
                    peer.told(&message);
                }
            }
            assert_eq!(program.state.under_way.get(), 0, "callers wait that should have heard");
        })
        .unwrap();
    let end = vat.ended();
    drop(program.probe.take());
    program.state.kept.borrow_mut().clear();
    drop((program, wire));
    driver.drive_until(async { handle.sleep(Duration::from_mins(2)).await }).unwrap();
    assert_eq!(seen.counters.get(), 0, "something is held after the end");
    Outcome { said: peer.said, end, heap_peak }
}

#[test]
fn a_caller_withstands_random_answers() {
    let first = setting("VATMUX_RPC_SEED").unwrap_or(1);
    let seeds = setting("VATMUX_RPC_SEEDS").unwrap_or(u64::MAX);
    println!("first seed: {first}");
    let (mut said, mut ended, mut seed, mut heap) = (0, 0, first, 0);
    while said < MESSAGES && seed - first < seeds {
        let outcome = std::panic::catch_unwind(|| session(seed));
        let outcome = outcome.unwrap_or_else(|_| panic!("VATMUX_RPC_SEED={seed} VATMUX_RPC_SEEDS=1"));
        if let Some(end) = &outcome.end {
            assert!(is_named(end) || matches!(end, VatEnd::TooManyExpired { .. }), "seed {seed}: {end:?}");
            ended += 1;
        }
        said += outcome.said;
        heap = heap.max(outcome.heap_peak);
        seed += 1;
    }
    println!("{said} messages to {} callers, of which {ended} ended; {heap} bytes at most", seed - first);
}
