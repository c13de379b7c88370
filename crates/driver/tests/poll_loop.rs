//! The loop's promises, one test each, under virtual time.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use futures::channel::oneshot;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_driver::{Clock, Elapsed, Instant, pipe, virtual_time};
use vatmux_mux::Output;

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn the_output_of_the_driven_future_is_returned() {
    let (mut driver, _) = virtual_time::driver();
    assert_eq!(driver.drive_until(async { 42 }).unwrap(), 42);
}

#[test]
fn spawned_tasks_run_while_another_future_is_driven() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (tell, told) = oneshot::channel();
    let inner = handle.clone();
    handle.spawn(async move {
        inner.spawn(async move {
            tell.send("from a task of a task").unwrap();
        });
    });
    assert_eq!(driver.drive_until(told).unwrap(), Ok("from a task of a task"));
}

#[test]
fn a_task_spawned_between_two_drives_runs_in_the_second() {
    let (mut driver, _) = virtual_time::driver();
    driver.drive_until(async {}).unwrap();
    let (tell, told) = oneshot::channel();
    driver.handle().spawn(async move { tell.send(()).unwrap() });
    assert_eq!(driver.drive_until(told).unwrap(), Ok(()));
}

#[test]
fn time_jumps_to_the_nearest_deadline_and_no_further() {
    let (mut driver, clock) = virtual_time::driver();
    let handle = driver.handle();
    let order = Rc::new(RefCell::new(Vec::new()));
    for hours in [3, 1, 2] {
        let (inner, order) = (handle.clone(), order.clone());
        handle.spawn(async move {
            inner.sleep(HOUR * hours).await;
            order.borrow_mut().push(hours);
        });
    }
    driver.drive_until(handle.sleep(HOUR * 5 / 2)).unwrap();
    assert_eq!(clock.now(), Instant::ORIGIN + HOUR * 5 / 2);
    assert_eq!(*order.borrow(), [1, 2], "the third hour has not come");
}

#[test]
fn a_timeout_says_how_long_it_waited_and_drops_what_it_waited_for() {
    struct Flag(Rc<Cell<bool>>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let (mut driver, clock) = virtual_time::driver();
    let handle = driver.handle();
    let dropped = Rc::new(Cell::new(false));
    let flag = Flag(dropped.clone());
    let waiting = handle.timeout(HOUR, async move {
        let _flag = flag;
        pending::<()>().await;
    });
    assert_eq!(driver.drive_until(waiting).unwrap(), Err(Elapsed { after: HOUR }));
    assert!(dropped.get());
    assert_eq!(clock.now(), Instant::ORIGIN + HOUR);
}

#[test]
fn a_dropped_sleep_wakes_nobody() {
    let (mut driver, clock) = virtual_time::driver();
    let handle = driver.handle();
    driver.drive_until(async { handle.timeout(HOUR, async {}).await.unwrap() }).unwrap();
    let stalled = driver.drive_until(pending::<()>()).unwrap_err();
    assert_eq!(stalled.kind(), io::ErrorKind::Deadlock);
    assert_eq!(clock.now(), Instant::ORIGIN, "no deadline was left to jump to");
}

#[test]
fn a_reset_sleep_ends_at_its_new_deadline() {
    let (mut driver, clock) = virtual_time::driver();
    let handle = driver.handle();
    let mut sleep = handle.sleep(HOUR);
    driver
        .drive_until(async {
            assert!(futures::poll!(&mut sleep).is_pending());
            sleep.reset(Instant::ORIGIN + HOUR * 5);
            sleep.await;
        })
        .unwrap();
    assert_eq!(clock.now(), Instant::ORIGIN + HOUR * 5);
}

#[test]
fn a_task_is_polled_only_when_its_waker_was_used() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let polls = Rc::new(Cell::new(0));
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let (counted, parked) = (polls.clone(), waker.clone());
    handle.spawn(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        *parked.borrow_mut() = Some(cx.waker().clone());
        Poll::<()>::Pending
    }));
    driver.drive_until(handle.sleep(HOUR)).unwrap();
    assert_eq!(polls.get(), 1, "an hour passed, and nobody woke it");
    waker.take().unwrap().wake();
    driver.drive_until(handle.sleep(HOUR)).unwrap();
    assert_eq!(polls.get(), 2);
}

#[test]
fn tasks_that_keep_each_other_busy_do_not_hold_back_timers() {
    let (mut driver, clock) = virtual_time::driver();
    let handle = driver.handle();
    handle.spawn(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    // Under virtual time a busy loop never lets the clock advance, so the deadline is one that has come.
    driver.drive_until(handle.sleep(Duration::ZERO)).unwrap();
    assert_eq!(clock.now(), Instant::ORIGIN);
}

#[test]
fn a_wake_up_from_another_thread_ends_a_park() {
    let (mut driver, _) = virtual_time::driver();
    let (tell, told) = oneshot::channel();
    let handle = driver.handle();
    let thread = Cell::new(None);
    let (start, started) = std::sync::mpsc::channel::<()>();
    let told = async {
        let teller = std::thread::spawn(move || {
            started.recv().unwrap();
            tell.send(7).unwrap();
        });
        thread.set(Some(teller));
        start.send(()).unwrap();
        // A deadline that virtual time reaches at once, over and over, until the other thread has spoken.
        let mut told = told;
        loop {
            match handle.timeout(HOUR, &mut told).await {
                Ok(number) => return number.unwrap(),
                Err(Elapsed { .. }) => std::thread::yield_now(),
            }
        }
    };
    assert_eq!(driver.drive_until(told).unwrap(), 7);
    thread.take().unwrap().join().unwrap();
}

#[test]
fn a_future_that_drops_its_driver_leaves_nothing_behind() {
    let (driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let kept = Rc::new(());
    let (in_task, inner) = (kept.clone(), handle.clone());
    handle.spawn(async move {
        let _kept = (in_task, inner);
        pending::<()>().await;
    });
    drop(driver);
    assert_eq!(Rc::strong_count(&kept), 1);
    let in_task = kept.clone();
    handle.spawn(async move { drop(in_task) });
    assert_eq!(Rc::strong_count(&kept), 1, "what is spawned after the driver is gone is dropped");
}

#[test]
fn a_pipe_holds_no_more_than_its_capacity_and_loses_nothing() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (mut ours, mut theirs) = pipe(7);
    let sent: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
    let expected = sent.clone();
    handle.spawn(async move {
        ours.write_all(&sent).await.unwrap();
        ours.close().await.unwrap();
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"the other direction is still open");
    });
    driver
        .drive_until(async move {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, expected);
            theirs.write_all(b"the other direction is still open").await.unwrap();
        })
        .unwrap();
}

#[test]
fn a_pipe_lends_its_room_and_what_is_in_it() {
    let (mut driver, _) = virtual_time::driver();
    let (mut ours, mut theirs) = pipe(7);
    let sent: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
    let expected = sent.clone();
    driver.handle().spawn(async move {
        let mut left = &sent[..];
        while !left.is_empty() {
            // Four at a time: what has fewer bytes of room waits for more.
            let piece = &left[..left.len().min(4)];
            let put = poll_fn(|cx| {
                ours.poll_put(cx, |room| {
                    if room.room() >= piece.len() {
                        room.put(piece);
                    }
                })
            });
            left = &left[put.await.unwrap()..];
        }
    });
    let mut received = Vec::new();
    let taking = poll_fn(|cx| {
        loop {
            let mut shown = 0;
            // At most three of what is shown.
            ready!(theirs.poll_take(cx, |bytes| {
                shown = bytes.len();
                assert!(shown <= 7);
                received.extend_from_slice(&bytes[..shown.min(3)]);
                shown.min(3)
            }));
            if shown == 0 {
                return Poll::Ready(());
            }
        }
    });
    driver.drive_until(taking).unwrap();
    assert!(received == expected);
}

#[test]
fn a_pipe_whose_other_end_is_gone_says_so() {
    let (mut driver, _) = virtual_time::driver();
    let (mut ours, theirs) = pipe(7);
    drop(theirs);
    driver
        .drive_until(async move {
            assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0);
            assert_eq!(ours.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let put = poll_fn(|cx| ours.poll_put(cx, |_| unreachable!("there is nobody to read it"))).await;
            assert_eq!(put.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        })
        .unwrap();
}

#[test]
fn a_destructor_of_a_task_that_never_ran_may_spawn() {
    struct Spawns(vatmux_driver::Handle);
    impl Drop for Spawns {
        fn drop(&mut self) {
            self.0.spawn(async {});
        }
    }
    let (driver, _) = virtual_time::driver();
    let spawns = Spawns(driver.handle());
    driver.handle().spawn(async move { drop(spawns) });
    drop(driver);
}

#[test]
fn a_panic_ends_its_task_alone_where_that_was_asked_for() {
    let (driver, _) = virtual_time::driver();
    let mut driver = driver.contain_panics();
    let handle = driver.handle();
    handle.spawn(async { panic!("a defect in a task, on purpose") });
    driver.drive_until(handle.sleep(HOUR)).unwrap();
    assert_eq!(handle.panics(), 1);
}
