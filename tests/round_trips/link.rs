//! A link that can be cut.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::io::{AsyncRead, AsyncWrite};
use vatmux_driver::Link;

/// A link until it is cut: then its socket, or its end of the pipe, is gone, without a word to the other side.
pub(crate) struct Cuttable(Rc<RefCell<State>>);

/// What cuts it.
#[derive(Clone)]
pub(crate) struct Cutter(Rc<RefCell<State>>);

struct State {
    link: Option<Box<dyn Link>>,
    /// Who reads, and who writes.
    waiting: [Option<Waker>; 2],
}

impl Cuttable {
    pub(crate) fn new(link: Box<dyn Link>) -> (Self, Cutter) {
        let state = Rc::new(RefCell::new(State { link: Some(link), waiting: [None, None] }));
        (Self(state.clone()), Cutter(state))
    }

    fn poll<T>(
        &self,
        who: usize,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Box<dyn Link>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let state = &mut *self.0.borrow_mut();
        let Some(link) = &mut state.link else {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, "the link was cut")));
        };
        state.waiting[who] = Some(cx.waker().clone());
        poll(Pin::new(link), cx)
    }
}

impl Cutter {
    /// Cuts the link.
    pub(crate) fn cut(&self) {
        let (link, waiting) = {
            let mut state = self.0.borrow_mut();
            (state.link.take(), std::mem::take(&mut state.waiting))
        };
        drop(link);
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(0, cx, |link, cx| link.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(1, cx, |link, cx| link.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(1, cx, AsyncWrite::poll_flush)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(1, cx, AsyncWrite::poll_close)
    }
}

impl Link for Cuttable {
    fn recheck(&mut self) {
        if let Some(link) = &mut self.0.borrow_mut().link {
            link.recheck();
        }
    }
}
