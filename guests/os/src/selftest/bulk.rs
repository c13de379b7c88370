//! A large file, with something urgent going on beside it, and with nobody who takes its bytes.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use blake2::{Blake2s256, Digest};
use futures::future::join;
use futures::io::AsyncWrite;
use vatmux::packagefs::{self, Client};
use vatmux_rpc::Peer;

use super::{Answered, Complaint, Pings, said};
use crate::content::{BULK, BULK_DIGEST, hexadecimal};

/// How many pings are answered while the file comes, at least: one of them was asked and answered with nothing but the file around it.
const PINGS_BESIDE: u32 = 2;

/// How much of the file may come between a ping and its answer. Pings wait for what is on its way already, and never for the file:
/// that is a window of 64 KiB, another for which credit was on its way in the other direction, and a record that was begun.
const PASSED_BYTES: u64 = 192 * 1024;

/// Pings that are answered between two looks at what has arrived: so many times the path was free for more of the file.
const PINGS_BETWEEN_LOOKS: u32 = 5;

/// Looks until what may be under way has arrived, at most.
const LOOKS: u32 = 100;

/// What may arrive between two looks although the file is held: the pings, and the ends of their frames.
const TRICKLE_BYTES: u64 = 4 * 1024;

/// Reads the large file and checks it; and whether pings went through meanwhile.
pub(super) async fn transfer(
    peer: &Peer,
    root: &str,
    pings: &Pings,
) -> (Result<String, Complaint>, Result<String, Complaint>) {
    pings.reset();
    let handle = peer.session().handle();
    let began = handle.now();
    let outcome = read(peer, root, &Gate::open()).await;
    let took = handle.now() - began;
    let control = pings.since().and_then(|Answered { count, slowest, passed_bytes }| {
        if count < PINGS_BESIDE {
            Err(format!("{count} pings were answered in the {took:?} of the bulk transfer"))
        } else if passed_bytes > PASSED_BYTES {
            Err(format!("{passed_bytes} bytes came before the answer to a ping"))
        } else {
            Ok(format!("pings={count} passed={passed_bytes} slowest_us={}", slowest.as_micros()))
        }
    });
    let bulk = outcome.map(|bytes| format!("bytes={bytes} us={}", took.as_micros()));
    (bulk, control)
}

/// Reads the file into something that takes nothing for a while: the peer stops, others go on, and then it arrives whole.
pub(super) async fn backpressure(peer: &Peer, root: &str, pings: &Pings) -> Result<String, Complaint> {
    let gate = Gate::closed();
    let received = || peer.session().statistics().data_bytes_received;
    let held = async {
        let before = received();
        let mut last = before;
        for _ in 0..LOOKS {
            let answered = pings.answered_more(PINGS_BETWEEN_LOOKS).await?;
            let now = received();
            if now > before + TRICKLE_BYTES && now - last <= TRICKLE_BYTES {
                gate.release();
                return Ok((now - before, answered));
            }
            last = now;
        }
        gate.release();
        Err(format!("{} bytes came although nobody took them, and more would have", last - before))
    };
    let (bytes, held) = join(read(peer, root, &gate), held).await;
    let (bytes, (held, answered)) = (bytes?, held?);
    if held >= bytes {
        return Err(format!("all {bytes} bytes came although nobody took them"));
    }
    Ok(format!("held={held} of={bytes} pings={answered}"))
}

/// Reads the file through the gate, and checks its digest.
async fn read(peer: &Peer, root: &str, gate: &Gate) -> Result<u64, Complaint> {
    let client = Client::connect(peer, packagefs::PRIORITY).map_err(said)?;
    let mut digest = Vec::new();
    client.read_to(&format!("{root}{BULK_DIGEST}"), &mut digest, &|_| {}).await.map_err(said)?;
    let mut content = Through { gate: gate.clone(), digest: Blake2s256::new() };
    let bytes = client.read_to(&format!("{root}{BULK}"), &mut content, &|_| {}).await.map_err(said)?;
    let computed = hexadecimal(&content.digest.finalize());
    if computed.as_bytes() == digest.trim_ascii() {
        Ok(bytes)
    } else {
        Err(format!("the {bytes} bytes have another digest: {computed}"))
    }
}

/// Whether bytes are taken.
#[derive(Clone)]
struct Gate {
    is_open: Rc<Cell<bool>>,
    waiting: Rc<RefCell<Option<Waker>>>,
}

impl Gate {
    fn open() -> Self {
        Self { is_open: Rc::new(Cell::new(true)), waiting: Rc::default() }
    }

    fn closed() -> Self {
        Self { is_open: Rc::new(Cell::new(false)), waiting: Rc::default() }
    }

    fn release(&self) {
        self.is_open.set(true);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Takes bytes for their digest, when the gate is open.
struct Through {
    gate: Gate,
    digest: Blake2s256,
}

impl AsyncWrite for Through {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.gate.is_open.get() {
            self.digest.update(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        *self.gate.waiting.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
