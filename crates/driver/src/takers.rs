//! Who takes in what arrives on streams, past their rings.
//!
//! The ring of a stream costs a copy in and a copy out, of memory that is as cold as the window is long. A [`Taker`] is shown
//! bytes where the record that brought them was opened, and puts them where they stay. What it leaves is read from the
//! [`Stream`](crate::Stream) as ever, and nothing is shown to it before that is read: the bytes keep their order.

use std::collections::BTreeMap;
use std::rc::Rc;

use vatmux_mux::{Sink, StreamId};

/// Takes in the bytes of one stream.
///
/// It is called while the session is at work, and so must not use it, nor any of its streams: it takes bytes, and wakes
/// whoever they are for. What it takes counts as read: the peer is given credit for it, so that the bounds of what is taken
/// and not used up are the taker's own.
pub trait Taker {
    /// Takes in the front of `payload`, which is never empty and follows what was taken or read before, and says how many
    /// bytes. The rest can be read from the stream, as can the stream's end.
    fn take(&self, payload: &[u8]) -> usize;
}

/// The takers of a session's streams.
#[derive(Default)]
pub(crate) struct Takers(BTreeMap<StreamId, Rc<dyn Taker>>);

impl Takers {
    pub(crate) fn insert(&mut self, stream: StreamId, taker: Rc<dyn Taker>) {
        self.0.insert(stream, taker);
    }

    pub(crate) fn remove(&mut self, stream: StreamId) -> Option<Rc<dyn Taker>> {
        self.0.remove(&stream)
    }
}

impl Sink for Takers {
    fn take(&mut self, stream: StreamId, payload: &[u8]) -> usize {
        self.0.get(&stream).map_or(0, |taker| taker.take(payload))
    }
}
