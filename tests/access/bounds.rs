//! One peer does not take what others need.

use futures::future::{join_all, select};
use vatmux::bundlemgr::MAX_PEER_INSTALLS;
use vatmux::schema::packagefs::{ByteSink, ByteSinkServer};
use vatmux::schema::statefs::{StateFs, Upload};
use vatmux::service::{Call, Stub};
use vatmux::statefs::{Condition, MAX_PEER_READINGS, MAX_PEER_UPLOADS, Status};

use super::*;

async fn upload(state: &StateFs, name: &str) -> Result<Upload, Status> {
    let begun = state.write(|mut params| {
        params.set_key(name);
        params.set_size_bytes(10);
    });
    begun.await.map_err(|error| *error.status().unwrap_or_else(|| panic!("{error}")))
}

#[test]
fn the_uploads_of_one_peer_are_bounded_over_its_sessions_and_leave_others_theirs() {
    let world = World::new(policy());
    world.visit(1, async |first| {
        let state: StateFs = first.connect().unwrap();
        let mut held = Vec::new();
        for at in 0..MAX_PEER_UPLOADS - 1 {
            held.push(upload(&state, &format!("1/{at}")).await.unwrap());
        }
        // Another session of the same node's, and another stream.
        world.visit(1, async |again| {
            let state: StateFs = again.connect().unwrap();
            held.push(upload(&state, "1/last").await.unwrap());
            assert_eq!(upload(&state, "1/more").await.err(), Some(Status::Busy));
            let narrowed = state.narrow("1/", false).await.unwrap();
            assert_eq!(upload(&narrowed, "1/more").await.err(), Some(Status::Busy));
            let other: StateFs = again.connect().unwrap();
            assert_eq!(upload(&other, "1/more").await.err(), Some(Status::Busy));
        });
        world.visit(2, async |other| {
            let state: StateFs = other.connect().unwrap();
            for at in 0..MAX_PEER_UPLOADS {
                drop(upload(&state, &format!("2/{at}")).await.unwrap());
            }
        });
        // What is dropped, or over with its session, is free again.
        held.clear();
        while upload(&state, "1/more").await.err() == Some(Status::Busy) {}
    });
}

/// Takes a chunk, and never says that it has.
struct Clogged;

impl ByteSinkServer for Clogged {
    async fn write(&self, _call: &Call, _bytes: &[u8]) -> capnp::Result<()> {
        std::future::pending().await
    }

    async fn end(&self, _call: &Call, _total_bytes: u64) -> capnp::Result<()> {
        Ok(())
    }
}

#[test]
fn the_reads_of_one_peer_are_bounded_over_its_streams_and_leave_others_theirs() {
    let world = World::new(policy());
    let large = vec![7; 3_000_000];
    world.visit(3, async |peer| {
        for name in ["1/large", "2/large"] {
            state_of(peer).put(&key(name), &large, Condition::Any).await.unwrap();
        }
    });
    world.visit(1, async |peer| {
        let per_stream = 16;
        let streams: Vec<StateFs> =
            (0..=MAX_PEER_READINGS / per_stream).map(|_| peer.connect().unwrap()).collect();
        let refused = std::cell::Cell::new(0);
        let reads = streams.iter().flat_map(|state| std::iter::repeat_n(state, per_stream)).map(|state| {
            let refused = &refused;
            async move {
                let error = state.read("1/large", &ByteSink::serve(Clogged)).await.err().unwrap();
                assert_eq!(error.status(), Some(&Status::Busy), "{error}");
                refused.set(refused.get() + 1);
            }
        });
        let looking = async {
            while refused.get() < per_stream {
                state_of(peer).get(&key("1/small")).await.unwrap();
            }
            let found = world.visit(2, async |other| state_of(other).get(&key("2/large")).await.unwrap());
            assert_eq!(found.unwrap().bytes.len(), large.len());
            // Small values need no place.
            assert_eq!(state_of(peer).get(&key("1/small")).await.unwrap(), None);
        };
        select(Box::pin(join_all(reads)), Box::pin(looking)).await;
        assert_eq!(refused.get(), per_stream);
    });
}

#[test]
fn the_installs_of_one_peer_are_bounded_over_its_sessions_and_leave_others_theirs() {
    let world = World::new(policy());
    world.visit(1, async |first| {
        let bundles = bundles_of(first);
        let mut held = Vec::new();
        for _ in 0..MAX_PEER_INSTALLS {
            held.push(bundles.install(1000, false, false).await.unwrap());
        }
        world.visit(1, async |again| {
            let error = bundles_of(again).install(1000, false, false).await.err().unwrap();
            assert_eq!(error.status(), Some(&bundlemgr::Status::Busy), "{error}");
        });
        world.visit(3, async |other| {
            bundles_of(other).install(1000, false, false).await.unwrap();
        });
        held.clear();
        while let Err(error) = bundles.install(1000, false, false).await {
            assert_eq!(error.status(), Some(&bundlemgr::Status::Busy), "{error}");
        }
    });
}
