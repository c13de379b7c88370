//! What arrives on a stream is shown to its taker before it is buffered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_driver::{Driver, Session, SessionOptions, Stream, Taker, accept, dial, pipe, virtual_time};
use vatmux_mux::{HeapStorage, Priority, StreamName};
use vatmux_noise::{AllowList, Entropy, SecretKey};

fn entropy(number: u8) -> Entropy {
    Entropy::from_bytes([number; 32]).unwrap()
}

/// Two sessions, and a stream between them, from the end that opened it to the other.
fn connected(driver: &mut Driver) -> (Session, Session, Stream, Stream) {
    let handle = driver.handle();
    let (ours, theirs) = pipe(100_000);
    let (dialer, acceptor) = (SecretKey::generate(entropy(1)), SecretKey::generate(entropy(2)));
    let (node, anyone) = (acceptor.node_id(), AllowList::Anyone);
    let (storage, options) = (HeapStorage::new, SessionOptions::default);
    let dialing = dial(&handle, ours, &dialer, node, entropy(3), storage(), options());
    let accepting = accept(&handle, theirs, &acceptor, &anyone, entropy(4), storage(), options());
    let (dialed, accepted) = driver.drive_until(join(dialing, accepting)).unwrap();
    let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
    let writer = dialed.open(&StreamName::new("bulk").unwrap(), Priority::FIRST).unwrap();
    let incoming = driver.drive_until(async { accepted.incoming().next().await }).unwrap();
    (dialed, accepted, writer, incoming.unwrap().accept())
}

fn some_bytes(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number * 7 % 251) as u8).collect()
}

/// Takes as much as it likes, behind what was read before.
struct Whims {
    received: Rc<RefCell<Vec<u8>>>,
    taken_bytes: Cell<usize>,
    seed: Cell<u32>,
    most: usize,
}

impl Taker for Whims {
    fn take(&self, payload: &[u8]) -> usize {
        assert!(!payload.is_empty());
        self.seed.set(self.seed.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let taken = ((self.seed.get() >> 8) as usize % 4 * self.most / 3).min(payload.len());
        self.received.borrow_mut().extend(&payload[..taken]);
        self.taken_bytes.set(self.taken_bytes.get() + taken);
        taken
    }
}

#[test]
fn what_a_taker_leaves_is_read_and_all_bytes_keep_their_order() {
    // Many times what the peer may send before it is given credit.
    let sent = some_bytes(3_000_000);
    for (seed, most) in [(1, 0), (2, 100), (3, 20_000), (4, usize::MAX / 4)] {
        let (mut driver, _) = virtual_time::driver();
        let (_dialed, _accepted, mut writer, mut reader) = connected(&mut driver);
        let received = Rc::new(RefCell::new(Vec::new()));
        let taker = Rc::new(Whims {
            received: received.clone(),
            taken_bytes: Cell::new(0),
            seed: Cell::new(seed),
            most,
        });
        reader.set_taker(taker.clone());
        let writing = async {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        };
        let reading = async {
            let mut buffer = [0; 5_000];
            loop {
                let read = reader.read(&mut buffer).await.unwrap();
                received.borrow_mut().extend(&buffer[..read]);
                if read == 0 {
                    break;
                }
            }
        };
        driver.drive_until(join(writing, reading)).unwrap();
        assert!(*received.borrow() == sent, "seed {seed}");
        assert_eq!(taker.taken_bytes.get() > 0, most > 0, "seed {seed}");
        assert_eq!(driver.handle().rescues(), 0);
    }
}

#[test]
fn a_taker_is_let_go_of_with_its_stream() {
    let (mut driver, _) = virtual_time::driver();
    let (_dialed, _accepted, mut writer, reader) = connected(&mut driver);
    let received = Rc::new(RefCell::new(Vec::new()));
    let taker = Rc::new(Whims {
        received: received.clone(),
        taken_bytes: Cell::new(0),
        seed: Cell::new(7),
        most: usize::MAX / 4,
    });
    reader.set_taker(taker.clone());
    assert_eq!(Rc::strong_count(&taker), 2);
    drop(reader);
    assert_eq!(Rc::strong_count(&taker), 1);
    driver
        .drive_until(async {
            // The peer hears that the stream is over some time later.
            let written = writer.write_all(&some_bytes(1_000_000)).await;
            assert!(written.is_err());
        })
        .unwrap();
    assert!(received.borrow().is_empty());
}
