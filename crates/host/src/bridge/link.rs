//! A plain connection: one of a bounded number, watched for silence.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::channel::mpsc;
use futures::io::{AsyncRead, AsyncWrite};
use vatmux_driver::{Handle, Instant, Link};

use super::{PlainLimits, shown};

/// The shortest message: a segment table of one, and a root.
const SHORTEST_MESSAGE_BYTES: u64 = 16;

/// A bounded number of connections.
#[derive(Clone)]
pub(crate) struct Places(Arc<Taken>);

struct Taken {
    count: AtomicUsize,
    most: usize,
}

/// One of them, given back when dropped.
pub(crate) struct Place(Arc<Taken>);

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Taken { count: AtomicUsize::new(0), most }))
    }

    pub(crate) fn take(&self) -> Option<Place> {
        let Taken { count, most } = &*self.0;
        let taken = count
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |taken| (taken < *most).then_some(taken + 1));
        taken.ok().map(|_| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What has passed over a connection.
pub(crate) struct Traffic {
    received_bytes: Cell<u64>,
    moved_at: Cell<Instant>,
}

impl Traffic {
    /// Waits until the connection was silent for longer than it may be, and says so.
    pub(crate) async fn silence(&self, handle: &Handle, limits: &PlainLimits) -> String {
        handle.sleep(limits.first_message).await;
        if self.received_bytes.get() < SHORTEST_MESSAGE_BYTES {
            return format!("no message came within {}", shown(limits.first_message));
        }
        let Some(idle) = limits.idle else { return pending().await };
        loop {
            let due = self.moved_at.get() + idle;
            if handle.now() >= due {
                return format!("nothing has passed for {}", shown(idle));
            }
            handle.sleep_until(due).await;
        }
    }
}

/// A connection that holds its place until the vat on it has let go of it.
pub(crate) struct PlainLink {
    link: Box<dyn Link>,
    handle: Handle,
    traffic: Rc<Traffic>,
    _place: Place,
    _open: Option<mpsc::Sender<Infallible>>,
}

impl PlainLink {
    /// `open` is dropped with the connection.
    pub(crate) fn new(
        link: Box<dyn Link>,
        handle: &Handle,
        place: Place,
        open: Option<mpsc::Sender<Infallible>>,
    ) -> Self {
        let traffic = Traffic { received_bytes: Cell::new(0), moved_at: Cell::new(handle.now()) };
        Self { link, handle: handle.clone(), traffic: Rc::new(traffic), _place: place, _open: open }
    }

    pub(crate) fn traffic(&self) -> Rc<Traffic> {
        self.traffic.clone()
    }

    fn note(&self, moved: &Poll<io::Result<usize>>) -> u64 {
        let Poll::Ready(Ok(bytes)) = moved else { return 0 };
        self.traffic.moved_at.set(self.handle.now());
        *bytes as u64
    }
}

impl AsyncRead for PlainLink {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.link).poll_read(cx, buf);
        let received = self.traffic.received_bytes.get() + self.note(&read);
        self.traffic.received_bytes.set(received);
        read
    }
}

impl AsyncWrite for PlainLink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.link).poll_write(cx, buf);
        self.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join;
    use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use vatmux_driver::{pipe, virtual_time};

    use super::*;

    #[test]
    fn a_place_is_taken_once_and_given_back() {
        let places = Places::new(2);
        let (one, other) = (places.take(), places.take());
        assert!(one.is_some() && other.is_some() && places.take().is_none());
        drop(one);
        let again = places.take();
        assert!(again.is_some() && places.take().is_none());
    }

    #[test]
    fn less_than_a_message_is_no_message_in_time() {
        for bytes in [0, 1, 15] {
            let (mut driver, _) = virtual_time::driver();
            let handle = driver.handle();
            let (near, mut far) = pipe(1 << 10);
            let mut link = PlainLink::new(Box::new(near), &handle, Places::new(1).take().unwrap(), None);
            let traffic = link.traffic();
            let limits = PlainLimits { first_message: Duration::from_secs(10), ..PlainLimits::default() };
            let talking = async {
                far.write_all(&vec![0; bytes]).await?;
                link.read_exact(&mut vec![0; bytes]).await
            };
            let (silence, talked) =
                driver.drive_until(join(traffic.silence(&handle, &limits), talking)).unwrap();
            talked.unwrap();
            assert_eq!(silence, "no message came within 10 s", "{bytes} bytes");
        }
    }

    #[test]
    fn a_connection_is_silent_once_nothing_has_passed_either_way_for_as_long_as_it_may() {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let (near, mut far) = pipe(1 << 10);
        let mut link = PlainLink::new(Box::new(near), &handle, Places::new(1).take().unwrap(), None);
        let traffic = link.traffic();
        let limits = PlainLimits {
            first_message: Duration::from_secs(10),
            idle: Some(Duration::from_mins(1)),
            ..PlainLimits::default()
        };
        let talking = async {
            far.write_all(&[0; 16]).await?;
            link.read_exact(&mut [0; 16]).await?;
            handle.sleep(Duration::from_secs(40)).await;
            far.write_all(&[0]).await?;
            link.read_exact(&mut [0]).await?;
            handle.sleep(Duration::from_secs(40)).await;
            link.write_all(&[0]).await
        };
        let (silence, talked) = driver.drive_until(join(traffic.silence(&handle, &limits), talking)).unwrap();
        talked.unwrap();
        assert_eq!(silence, "nothing has passed for 60 s");
        assert_eq!(handle.now().saturating_since(Instant::ORIGIN), Duration::from_secs(40 + 40 + 60));
    }
}
