//! Flow control for `-> stream` methods: how far a caller runs ahead of the answers.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use capnp::Error;
use capnp::capability::Promise;
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, Stream};

use crate::disconnected;

/// A window of fixed size for the calls on one capability.
///
/// A call leaves at once, in the order of the calls; what waits for room is the caller, before its next one. The
/// window grows by the largest call seen, so that one larger than the window still lets the next one be under
/// way beside it. The first call that fails fails all later ones.
pub(crate) struct FixedWindow(Rc<RefCell<Window>>);

/// What a call takes of the window beside its message. A call costs the callee its entry as well, and the callee
/// bounds how many there are: tiny calls must not fill its table before they fill the window.
const CALL_BYTES: usize = 512;

type Acknowledged = LocalBoxFuture<'static, (usize, Result<(), Error>)>;

struct Window {
    size_bytes: usize,
    largest_bytes: usize,
    in_flight_bytes: usize,
    in_flight_calls: usize,
    failed: Option<Error>,
    /// A call failed because it was not delivered. That is not said before it is known of all that are in flight.
    undelivered: Option<Error>,
    /// Callers that wait for room.
    blocked: Vec<oneshot::Sender<Result<(), Error>>>,
    /// Those who wait until nothing is in flight.
    emptied: Vec<oneshot::Sender<Result<(), Error>>>,
    /// Calls that were sent and whose answers nobody watches yet.
    unwatched: Vec<Acknowledged>,
    /// Whoever watches the answers.
    watcher: Option<Waker>,
    /// No more calls come.
    abandoned: bool,
}

impl FixedWindow {
    /// The window, and the future that watches the answers for it.
    pub(crate) fn new(window_bytes: usize) -> (Self, Promise<(), Error>) {
        let window = Rc::new(RefCell::new(Window {
            size_bytes: window_bytes,
            largest_bytes: 0,
            in_flight_bytes: 0,
            in_flight_calls: 0,
            failed: None,
            undelivered: None,
            blocked: Vec::new(),
            emptied: Vec::new(),
            unwatched: Vec::new(),
            watcher: None,
            abandoned: false,
        }));
        let mut watched = FuturesUnordered::new();
        let watching = window.clone();
        let watch = poll_fn(move |cx| poll_watch(&watching, &mut watched, cx));
        (Self(window), Promise::from_future(watch))
    }
}

fn poll_watch(
    window: &RefCell<Window>,
    watched: &mut FuturesUnordered<Acknowledged>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    loop {
        watched.extend(std::mem::take(&mut window.borrow_mut().unwatched));
        // An answer's future may run anything, this window included: nothing is borrowed here.
        match Pin::new(&mut *watched).poll_next(cx) {
            Poll::Ready(Some((bytes, result))) => window.borrow_mut().acknowledge(bytes, result),
            Poll::Ready(None) | Poll::Pending => {
                let mut window = window.borrow_mut();
                if !window.unwatched.is_empty() {
                    continue;
                }
                if window.abandoned && watched.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                window.watcher = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

impl Window {
    fn has_room(&self) -> bool {
        self.in_flight_bytes < self.size_bytes.saturating_add(self.largest_bytes)
    }

    fn outcome(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn acknowledge(&mut self, bytes: usize, result: Result<(), Error>) {
        self.in_flight_bytes -= bytes;
        self.in_flight_calls -= 1;
        match result {
            Ok(()) => {}
            Err(error) if disconnected::is_undelivered(&error) => {
                self.undelivered.get_or_insert(error);
            }
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
        if self.in_flight_calls == 0 && self.failed.is_none() {
            self.failed = self.undelivered.take();
        }
        let outcome = self.outcome();
        if (self.has_room() && self.undelivered.is_none()) || outcome.is_err() {
            for caller in self.blocked.drain(..) {
                let _ = caller.send(outcome.clone());
            }
        }
        if self.in_flight_calls == 0 {
            for waiting in self.emptied.drain(..) {
                let _ = waiting.send(outcome.clone());
            }
        }
    }

    fn watch(&mut self, answer: Acknowledged) {
        self.unwatched.push(answer);
        self.wake_watcher();
    }

    fn wake_watcher(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }
}

impl capnp_rpc::FlowController for FixedWindow {
    fn send(
        &mut self,
        message: Box<dyn capnp_rpc::OutgoingMessage>,
        ack: Promise<(), Error>,
    ) -> Promise<(), Error> {
        let bytes = message.size_in_words().saturating_mul(crate::segments::WORD_BYTES) + CALL_BYTES;
        // The order of calls is the order of their sending, whatever the window says.
        drop(message.send());
        let mut window = self.0.borrow_mut();
        window.largest_bytes = window.largest_bytes.max(bytes);
        window.in_flight_bytes += bytes;
        window.in_flight_calls += 1;
        window.watch(Box::pin(async move { (bytes, ack.await) }));
        if let Some(error) = &window.failed {
            return Promise::err(error.clone());
        }
        if window.has_room() && window.undelivered.is_none() {
            return Promise::ok(());
        }
        let (caller, room) = oneshot::channel();
        window.blocked.push(caller);
        wait(room)
    }

    fn wait_all_acked(&mut self) -> Promise<(), Error> {
        let mut window = self.0.borrow_mut();
        if window.in_flight_calls == 0 {
            return match window.outcome() {
                Ok(()) => Promise::ok(()),
                Err(error) => Promise::err(error),
            };
        }
        let (waiting, emptied) = oneshot::channel();
        window.emptied.push(waiting);
        wait(emptied)
    }
}

fn wait(outcome: oneshot::Receiver<Result<(), Error>>) -> Promise<(), Error> {
    Promise::from_future(async move {
        outcome
            .await
            .unwrap_or_else(|_| Err(Error::disconnected("the stream of calls was dropped".to_owned())))
    })
}

impl Drop for FixedWindow {
    fn drop(&mut self) {
        let mut window = self.0.borrow_mut();
        window.abandoned = true;
        window.wake_watcher();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undelivered() -> Error {
        disconnected::undelivered(Error::disconnected("gone".to_owned()))
    }

    /// A window with three calls in flight, of which the answers come in any order.
    fn outcome_of(answers: [Result<(), Error>; 3]) -> Vec<Option<String>> {
        let (window, _watch) = FixedWindow::new(0);
        let mut window = window.0.borrow_mut();
        (window.in_flight_bytes, window.in_flight_calls) = (3, 3);
        answers
            .into_iter()
            .map(|answer| {
                window.acknowledge(1, answer);
                window.failed.as_ref().map(|error| error.extra.clone())
            })
            .collect()
    }

    #[test]
    fn undelivered_is_said_only_when_it_is_known_of_all() {
        let said = Some("not delivered: gone".to_owned());
        let maybe = Some("remote exception: gone".to_owned());
        let sent = || Error::disconnected("remote exception: gone".to_owned());
        assert_eq!(
            outcome_of([Err(undelivered()), Err(undelivered()), Err(undelivered())]),
            [None, None, said.clone()]
        );
        assert_eq!(
            outcome_of([Err(undelivered()), Err(undelivered()), Err(sent())]),
            [None, None, maybe.clone()]
        );
        assert_eq!(
            outcome_of([Err(sent()), Err(undelivered()), Err(undelivered())]),
            [maybe.clone(), maybe.clone(), maybe]
        );
        assert_eq!(outcome_of([Err(undelivered()), Ok(()), Ok(())]), [None, None, said]);
    }
}
