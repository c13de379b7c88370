//! Each service is on a stream of its own, and what is urgent does not wait for what is large.
//!
//! Both nodes run on one driver under virtual time, over a pipe, and what is compared is counted: a run is the same each time.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures::future::{Either, select, try_join};
use futures::io::AsyncReadExt as _;
use vatmux::bundle::InstallOptions;
use vatmux::bundlemgr::{self, BundleMgr};
use vatmux::schema::bundlemgr::{BundleMgrDouble, Upload, UploadDouble};
use vatmux::schema::health::Health;
use vatmux::schema::packagefs::{PackageFs, PackageFsDouble};
use vatmux::schema::statefs::{StateFs, StateFsDouble};
use vatmux::service::{Service, Stub as _};
use vatmux::statefs::{self, Condition, Key};
use vatmux::{
    AllowList, Entropy, HandshakeFailure, Peer, Priority, SecretKey, Services, SessionOptions, VatOptions,
    health,
};
use vatmux_driver::{Driver, pipe, virtual_time};
use vatmux_mux::HeapStorage;

/// What a socket holds, more or less.
const PIPE_BYTES: usize = 128 * 1024;

/// A record, and what one call of an upload carries.
const RECORD_BYTES: usize = 64 * 1024;
const PIECE_BYTES: usize = 128 * 1024;

/// A peer that serves `services`, seen from here, and we, as it sees us.
fn peers(driver: &mut Driver, services: Services) -> (Peer, Peer) {
    let handle = driver.handle();
    let (ours, theirs) = pipe(PIPE_BYTES);
    let key = |seed| SecretKey::generate(entropy(seed));
    let (our_key, their_key) = (key(1), key(2));
    let options = SessionOptions::default;
    let dialing = vatmux_driver::dial(
        &handle,
        ours,
        &our_key,
        their_key.node_id(),
        entropy(3),
        HeapStorage::new(),
        options(),
    );
    let anyone = AllowList::Anyone;
    let accepting = vatmux_driver::accept(
        &handle,
        theirs,
        &their_key,
        &anyone,
        entropy(4),
        HeapStorage::new(),
        options(),
    );
    let both: Result<_, HandshakeFailure> = driver.drive_until(try_join(dialing, accepting)).unwrap();
    let (dialed, accepted) = both.unwrap();
    let vats = VatOptions::default;
    (Peer::new(dialed, Rc::default(), vats()), Peer::new(accepted, Rc::new(services), vats()))
}

fn entropy(seed: u8) -> Entropy {
    Entropy::from_bytes([seed; 32]).unwrap()
}

#[test]
fn each_service_has_a_stream_of_its_own_and_the_more_urgent_ones_go_first() {
    let (mut driver, _) = virtual_time::driver();
    let mut services = Services::default();
    health::offer_among(&mut services).unwrap();
    services.serve::<StateFs, _>(|_| StateFsDouble::default().on_sync(|| Ok(7))).unwrap();
    services.serve::<PackageFs, _>(|_| PackageFsDouble::default()).unwrap();
    services.serve::<BundleMgr, _>(|_| BundleMgrDouble::default().on_query(|_| Ok(Vec::new()))).unwrap();
    let (peer, seen) = peers(&mut driver, services);
    let (health, state): (Health, StateFs) = (peer.connect().unwrap(), peer.connect().unwrap());
    let (files, bundles): (PackageFs, BundleMgr) = (peer.connect().unwrap(), peer.connect().unwrap());
    let calls = async {
        health::ping(health.capability().client(), 1).await.unwrap();
        assert_eq!(state.sync().await.unwrap(), 7);
        // The double has no answer to this, and says so: that it was asked is enough.
        assert!(files.open("file").await.is_err());
        bundles.query("bundle").await.unwrap();
    };
    driver.drive_until(calls).unwrap();

    let mut streams = seen.statistics().streams;
    streams.sort_by_key(|stream| stream.priority);
    let names: Vec<&str> = streams.iter().map(|stream| stream.service.as_str()).collect();
    let expected = [Health::DESCRIPTOR, StateFs::DESCRIPTOR, PackageFs::DESCRIPTOR, BundleMgr::DESCRIPTOR];
    assert_eq!(names, expected.map(|descriptor| descriptor.name));
    let mut priorities: Vec<Priority> = streams.iter().map(|stream| stream.priority).collect();
    assert_eq!(priorities, expected.map(|descriptor| descriptor.priority));
    assert_eq!(priorities.first(), Some(&Priority::FIRST));
    priorities.dedup();
    assert_eq!(priorities.len(), expected.len(), "no two of them share a priority");
    let mut ids: Vec<_> = streams.iter().map(|stream| stream.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), expected.len(), "no two of them share a stream");
}

/// How many puts are made beside an install, each as soon as the one before is answered.
const PUTS: usize = 200;

/// How many bytes of an install arrive between the moment at which a put is sent and that of its answer, in the worst case of
/// many: with the state at the priority `state`.
fn worst_wait_bytes(state: Priority) -> u64 {
    let (mut driver, _) = virtual_time::driver();
    let uploaded = Rc::new(Cell::new(0));
    let mut services = Services::default();
    services
        .serve::<StateFs, _>(|_| {
            StateFsDouble::default().on_put(|params, mut results| {
                assert_eq!(params.get_value()?.len(), 1024);
                results.set_version(1);
                Ok(())
            })
        })
        .unwrap();
    let counted = uploaded.clone();
    services
        .serve::<BundleMgr, _>(move |_| {
            let counted = counted.clone();
            BundleMgrDouble::default().on_install(move |_, _, _| {
                let counted = counted.clone();
                Ok(Upload::serve(UploadDouble::default().on_refused(|| Ok(())).on_write(move |bytes| {
                    counted.set(counted.get() + bytes.len() as u64);
                    Ok(())
                })))
            })
        })
        .unwrap();
    let (peer, _seen) = peers(&mut driver, services);
    let bundles: BundleMgr = peer.connect().unwrap();
    let state = statefs::Client::new(peer.connect_at(state).unwrap());
    let key: Key = "a/key".parse().unwrap();

    let mut endless = futures::io::repeat(7).take(u64::MAX);
    let install = InstallOptions::default();
    let installing = pin!(bundlemgr::install(&bundles, &mut endless, u64::MAX, install, &|_| {}));
    let putting = pin!(async {
        let mut worst = 0;
        // The window of the upload grows to what it is at full rate.
        while uploaded.get() < 16 << 20 {
            state.put(&key, &[1; 1024], Condition::Any).await.unwrap();
        }
        for _ in 0..PUTS {
            let before = uploaded.get();
            state.put(&key, &[1; 1024], Condition::Any).await.unwrap();
            worst = worst.max(uploaded.get() - before);
        }
        worst
    });
    match driver.drive_until(select(putting, installing)).unwrap() {
        Either::Left((worst, _)) => {
            assert_eq!(driver.handle().rescues(), 0);
            worst
        }
        Either::Right((ended, _)) => panic!("the install ended: {ended:?}"),
    }
}

#[test]
fn state_puts_are_not_starved_by_an_install_at_full_rate() {
    let descriptor = StateFs::DESCRIPTOR.priority;
    let worst = worst_wait_bytes(descriptor);
    let behind = worst_wait_bytes(Priority::LAST);
    println!("{worst} bytes of an install pass a put in the worst case; {behind} where it is less urgent");
    // What is in the pipe already cannot be overtaken, nor a record in the making at either end; and a piece of the bundle counts
    // when all of it is there.
    let bound = (PIPE_BYTES + 2 * RECORD_BYTES + PIECE_BYTES) as u64;
    assert!(worst <= bound, "{worst} bytes of the install passed a put, more than {bound}");
    assert!(behind > worst, "the priority is what spares the put the wait");
}
