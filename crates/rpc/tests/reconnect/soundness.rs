//! Whatever happens to the link, what callers are told is so: an answer means once, "not delivered" means never, and nothing
//! happens twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, join, join_all};
use vatmux_liveness::{AttemptBudget, Jitter, RedialLimits, RetryLimits};
use vatmux_mux::CloseCode;
use vatmux_rpc::{CallError, deadline};

use crate::common::probe;
use crate::world::{Door, MILLISECOND, World, limits};

const SEEDS: u64 = 60;
const CALLS: u64 = 60;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Answered,
    NeverSent,
    MaybeDelivered,
    Failed,
}

fn told<T, E>(outcome: &Result<T, CallError<E>>) -> Told {
    match outcome {
        Ok(_) => Told::Answered,
        Err(CallError::Disconnected { lost, .. }) if lost.maybe_delivered => Told::MaybeDelivered,
        Err(CallError::Disconnected { .. } | CallError::Unreachable(_)) => Told::NeverSent,
        Err(CallError::Failed(_)) => Told::Failed,
    }
}

/// Some calls of one seed, and how often the server saw each.
fn run(seed: u64) -> BTreeMap<u64, (Told, usize)> {
    let outage = RetryLimits { attempts: AttemptBudget::new(30).unwrap(), ..limits().outage };
    let limits = RedialLimits { outage, settled_after: MILLISECOND * 50 };
    let mut jitter = Random(seed + 1_000);
    let mut world = World::with(limits, move || Jitter::new(jitter.below(1 << 32) as u32));
    let mut random = Random(seed);
    world.far.delay.set(MILLISECOND * (random.below(30) as u32 + 1));
    let probe = Rc::new(world.probe());
    let outcomes = RefCell::new(BTreeMap::new());
    let calls: Vec<_> = (0..CALLS)
        .map(|id| {
            let (handle, probe, outcomes) = (world.handle.clone(), probe.clone(), &outcomes);
            let (at, patience) = (random.below(3_000), random.below(2_000) + 100);
            let (bytes, streams) = (random.below(120_000) as usize, random.below(3) == 0);
            async move {
                handle.sleep(MILLISECOND * at as u32).await;
                let send = |probe: &probe::Client| {
                    if streams {
                        let mut request = probe.write_request();
                        request.get().set_bytes(&numbered(id, bytes));
                        return Either::Left(request.send());
                    }
                    let mut request = probe.echo_request();
                    request.get().set_n(id);
                    let promise = request.send().promise;
                    Either::Right(async move { promise.await.map(drop) })
                };
                let patience = Duration::from_millis(patience);
                let outcome = deadline::with(patience, || probe.call(send)).await;
                outcomes.borrow_mut().insert(id, (told(&outcome), streams));
            }
        })
        .collect();
    let (handle, far) = (world.handle.clone(), world.far.clone());
    let trouble = async {
        for _ in 0..20 {
            handle.sleep(MILLISECOND * random.below(200) as u32).await;
            match random.below(5) {
                0 | 1 => far.kill(),
                2 => far.peers.borrow().iter().for_each(|peer| peer.close(CloseCode::GOING_AWAY)),
                3 => far.door.set(Door::Closed),
                _ => far.door.set(Door::Open),
            }
        }
        far.door.set(Door::Open);
    };
    world.run(join(join_all(calls), trouble));
    world.pass(Duration::from_secs(20));
    let seen = world.far.seen.numbers.borrow();
    let count = |id| seen.iter().filter(|other| **other == id).count();
    outcomes
        .into_inner()
        .into_iter()
        .map(|(id, (told, streams))| {
            // That there was room for a streaming call says nothing of its delivery.
            let told = if streams && told == Told::Answered { Told::MaybeDelivered } else { told };
            (id, (told, count(id)))
        })
        .collect()
}

fn numbered(id: u64, bytes: usize) -> Vec<u8> {
    let mut content = id.to_le_bytes().to_vec();
    content.resize(bytes.max(8), 0);
    content
}

#[test]
fn what_callers_are_told_is_so() {
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        for (id, (told, seen)) in run(seed) {
            let right = match told {
                Told::Answered => seen == 1,
                Told::NeverSent => seen == 0,
                Told::MaybeDelivered | Told::Failed => seen <= 1,
            };
            assert!(right, "seed {seed}, call {id}: {told:?}, and the server saw it {seen} times");
            let kind = match (told, seen) {
                (Told::Answered, _) => "answered",
                (Told::NeverSent, _) => "never sent",
                (Told::MaybeDelivered, 0) => "maybe, and not",
                (Told::MaybeDelivered, _) => "maybe, and was",
                (Told::Failed, _) => "failed",
            };
            *all.entry(kind).or_default() += 1;
        }
    }
    println!("{all:?}");
    for kind in ["answered", "never sent", "maybe, and not", "maybe, and was"] {
        assert!(all.get(kind).is_some_and(|count| *count > 20), "{all:?}");
    }
}
