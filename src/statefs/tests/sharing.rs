//! Many clients of one store: what they share, and what they do not.

use std::sync::mpsc;

use futures::FutureExt as _;
use futures::future::join_all;

use super::*;

#[test]
fn many_who_wait_share_a_flush() {
    let (device, store) = fresh();
    put(&store, "warm", "up").unwrap();
    let operations = |count: usize| {
        // The writer is busy until all of them wait.
        let (entered, release) = device.hang_at_next_sync();
        let mut busy = std::pin::pin!(store.put(key("busy"), vec![0; 100], Condition::Any));
        assert!(busy.as_mut().now_or_never().is_none());
        entered.recv().unwrap();
        let before = device.operations();
        let puts = (0..count).map(|at| store.put(key(&format!("{at}")), vec![0; 100], Condition::Any));
        let mut puts = join_all(puts);
        assert!((&mut puts).now_or_never().is_none());
        release.send(()).unwrap();
        block_on(busy).unwrap();
        assert!(block_on(puts).iter().all(Result::is_ok));
        device.operations() - before
    };
    let (one, many) = (operations(1), operations(100));
    println!("{one} operations of the device for one put, {many} for 100 at once");
    assert!(many < 20 * one);
}

#[test]
fn requests_of_one_batch_see_what_those_before_them_did_and_a_refused_one_fails_no_neighbour() {
    let (_, store) = fresh();
    // More than the queue holds: whoever finds it full waits, and all are answered.
    let puts = (0..5 * MAX_WAITING).map(|_| store.put(key("a"), vec![1], Condition::Absent));
    let answers = block_on(join_all(puts));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused =
        answers.iter().filter(|answer| matches!(answer, Err(Error::VersionMismatch { .. }))).count();
    assert_eq!(refused, answers.len() - 1);
    assert_eq!(store.last_version().unwrap(), 1);
}

#[test]
fn compare_and_put_by_many_threads_loses_no_increment() {
    let (_, store) = fresh();
    put(&store, "count", "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    loop {
                        let value = store.get(&key("count")).unwrap().unwrap().read().unwrap();
                        let count: u32 = String::from_utf8(value.bytes).unwrap().parse().unwrap();
                        let next = (count + 1).to_string().into_bytes();
                        let put = store.put(key("count"), next, Condition::Version(value.version));
                        match block_on(put) {
                            Ok(_) => break,
                            Err(Error::VersionMismatch { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(get(&store, "count").unwrap().unwrap(), b"200");
}

#[test]
fn what_was_asked_for_is_done_when_the_store_is_dropped_before() {
    let (device, store) = fresh();
    let mut puts: Vec<_> = (0..50)
        .map(|at| {
            let store = store.clone();
            async move { store.put(key(&format!("{at}")), vec![0; 10], Condition::Any).await }.boxed()
        })
        .collect();
    let waker = futures::task::noop_waker();
    let mut context = std::task::Context::from_waker(&waker);
    for put in &mut puts {
        let _ = put.poll_unpin(&mut context);
    }
    drop((puts, store));
    let store = Store::open(device, OpenOptions::default()).unwrap();
    assert_eq!(store.usage(&Prefix::default()).unwrap().keys, 50);
}

#[test]
fn reads_do_not_wait_for_a_writer_that_hangs() {
    let (device, store) = fresh();
    put(&store, "a", "old").unwrap();
    let (entered, release) = device.hang_at_next_sync();
    let (done, finished) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            put(&store, "a", "new").unwrap();
            done.send(()).unwrap();
        });
        entered.recv().unwrap();
        assert_eq!(get(&store, "a").unwrap().unwrap(), b"old");
        assert_eq!(store.list(&Prefix::default(), None, 10).unwrap().entries.len(), 1);
        assert!(finished.try_recv().is_err(), "what is not durable is not acknowledged");
        release.send(()).unwrap();
        finished.recv().unwrap();
        assert_eq!(get(&store, "a").unwrap().unwrap(), b"new");
    });
}

#[test]
fn a_file_is_of_one_store_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let store = Store::open_file(&path, OpenOptions::default()).unwrap();
    put(&store, "a", "1").unwrap();
    let second = Store::open_file(&path, OpenOptions::default()).unwrap_err();
    assert!(second.to_string().contains("another process has this store open"), "{second}");
    drop(store);
    let store = Store::open_file(&path, OpenOptions::default()).unwrap();
    assert_eq!(get(&store, "a").unwrap().unwrap(), b"1");
}
