//! Streaming methods: as calls, as a sink, and served.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::Shared;
use futures::{FutureExt, SinkExt, StreamExt};
use vatmux_driver::Handle;
use vatmux_rpc::Options;
use vatmux_rpc::service::testing::InMemory;
use vatmux_rpc::service::{Call, Stub};

use crate::schema::notes::{Note, Notes, NotesDouble, Watcher, WatcherServer};
use crate::server::{Server, note};

/// Counts what it is told, once the gate is open.
#[derive(Clone, Default)]
struct Counting {
    keys: Rc<RefCell<Vec<String>>>,
    waiting: Rc<Cell<usize>>,
    gate: Rc<RefCell<Option<Shared<oneshot::Receiver<()>>>>>,
    fails: Rc<Cell<bool>>,
}

impl WatcherServer for Counting {
    async fn note(&self, call: &Call, note: Note) -> capnp::Result<()> {
        self.seen(call, &note.key, 1).await
    }

    async fn seen(&self, _call: &Call, key: &str, _count: u64) -> capnp::Result<()> {
        self.waiting.set(self.waiting.get() + 1);
        let gate = self.gate.borrow().clone();
        if let Some(gate) = gate {
            let _ = gate.await;
        }
        if self.fails.get() {
            return Err(capnp::Error::failed("I look away".to_owned()));
        }
        self.keys.borrow_mut().push(key.to_owned());
        Ok(())
    }

    async fn end(&self, _call: &Call) -> capnp::Result<u64> {
        Ok(self.keys.borrow().len() as u64)
    }
}

/// The watcher that a service was given, at the service's side of the vats.
fn at_the_other_side(node: &mut InMemory, watcher: &Counting) -> (Notes, Watcher) {
    let (give, given) = oneshot::channel();
    let give = RefCell::new(Some(give));
    let double = NotesDouble::default().on_watch(move |watcher| {
        if let Some(give) = give.borrow_mut().take() {
            let _ = give.send(watcher);
        }
        Ok(())
    });
    let notes: Notes = node.serve(double);
    let watcher = node.run(async {
        notes.watch(&Watcher::serve(watcher.clone())).await.unwrap();
        given.await.unwrap()
    });
    (notes, watcher)
}

#[test]
fn a_server_streams_to_a_capability_of_its_caller() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    let watcher = Counting::default();
    node.run(notes.watch(&Watcher::serve(watcher.clone()))).unwrap();
    assert_eq!(*watcher.keys.borrow(), ["a", "b", "c"]);
}

#[test]
fn a_sink_sends_every_item_in_order() {
    let mut node = InMemory::new();
    let counting = Counting::default();
    let (_notes, watcher) = at_the_other_side(&mut node, &counting);
    let total = node.run(async {
        let mut sink = watcher.seen_sink();
        let items = futures::stream::iter((0..100).map(|n| Ok((n.to_string(), n))));
        items.forward(&mut sink).await.unwrap();
        watcher.note_sink().send(note("last")).await.unwrap();
        watcher.end().await.unwrap()
    });
    assert_eq!(total, 101);
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).chain(["last".to_owned()]).collect();
    assert_eq!(*counting.keys.borrow(), expected);
}

async fn turns(handle: &Handle) {
    handle.sleep(std::time::Duration::from_millis(1)).await;
}

#[test]
fn a_sink_waits_for_a_peer_that_takes_nothing() {
    let mut node = InMemory::new().options(Options { stream_window_bytes: 16 << 10, ..Options::default() });
    let counting = Counting::default();
    let (_notes, watcher) = at_the_other_side(&mut node, &counting);
    let (open, gate) = oneshot::channel();
    *counting.gate.borrow_mut() = Some(gate.shared());
    let handle = node.handle();
    node.run(async {
        let mut sink = watcher.seen_sink();
        let sent = Rc::new(Cell::new(0));
        let counted = sent.clone();
        let sending = async {
            for n in 0..100 {
                sink.send(("x".repeat(1_000), n)).await.unwrap();
                counted.set(counted.get() + 1);
            }
        };
        let looking = async {
            turns(&handle).await;
            let before = sent.get();
            assert!((5..30).contains(&before), "{before} of 100 were sent to somebody who takes none");
            turns(&handle).await;
            assert_eq!(sent.get(), before, "and no more after that");
            open.send(()).unwrap();
        };
        futures::join!(sending, looking);
        assert_eq!(watcher.end().await.unwrap(), 100);
    });
}

#[test]
fn a_sink_ends_with_the_first_failure() {
    let mut node = InMemory::new().options(Options { stream_window_bytes: 4 << 10, ..Options::default() });
    let counting = Counting::default();
    let (_notes, watcher) = at_the_other_side(&mut node, &counting);
    counting.fails.set(true);
    node.run(async {
        let items = futures::stream::iter((0..1_000).map(|n| Ok(("x".repeat(1_000), n))));
        let error = items.forward(watcher.seen_sink()).await.unwrap_err();
        assert!(error.to_string().contains("I look away"), "{error}");
        assert!(counting.waiting.get() < 100, "nobody sends on to somebody who failed");
    });
}
