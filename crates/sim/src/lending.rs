//! Applications that lend what they send and take what arrives where it lies.

use std::collections::BTreeMap;

use vatmux_mux::{Sink, Source, StreamId};

use crate::world::{Application, Truth, byte};

/// The most bytes that are lent at once, in both pieces together.
const MOST_LENT: u64 = 2000;

/// What one end has promised to send and the engine has not asked for.
pub(crate) struct Lender {
    end: usize,
    /// The next offset and the end of each stream's.
    promised: BTreeMap<StreamId, (u64, u64)>,
    lent: Vec<u8>,
}

impl Lender {
    pub(crate) const fn new(end: usize) -> Self {
        Self { end, promised: BTreeMap::new(), lent: Vec::new() }
    }

    /// `bytes` more will be lent from `offset` on, unless some are on offer already, which they follow then.
    pub(crate) fn promise(&mut self, stream: StreamId, offset: u64, bytes: u32) {
        self.promised.entry(stream).or_insert((offset, offset)).1 += u64::from(bytes);
    }

    /// The stream is over, or is not asked for.
    pub(crate) fn withdraw(&mut self, stream: StreamId) {
        self.promised.remove(&stream);
    }

    pub(crate) fn left(&self, stream: StreamId) -> u64 {
        self.promised.get(&stream).map_or(0, |(next, end)| end - next)
    }
}

impl Source for Lender {
    fn lend(&mut self, stream: StreamId) -> (&[u8], &[u8]) {
        let Some((next, end)) = self.promised.get(&stream).copied() else { return (&[], &[]) };
        let bytes = (end - next).min(MOST_LENT);
        self.lent.clear();
        self.lent.extend((next..next + bytes).map(|offset| byte(stream, self.end, offset)));
        // Cut somewhere, and differently each time.
        let (front, back) = self.lent.split_at((next * 31 % (bytes + 1)) as usize);
        if front.is_empty() { (back, front) } else { (front, back) }
    }

    fn sent(&mut self, stream: StreamId, bytes: usize) -> bool {
        assert!(0 < bytes && bytes <= self.lent.len(), "more was sent than lent");
        let (next, end) = self.promised.get_mut(&stream).expect("what was lent was promised");
        *next += bytes as u64;
        let has_more = next < end;
        if !has_more {
            self.promised.remove(&stream);
        }
        has_more
    }
}

/// One end's readers, while something is delivered.
pub(crate) struct Taker<'a> {
    pub(crate) end: usize,
    /// How many bytes of each piece are taken at most.
    pub(crate) appetite: u32,
    pub(crate) streams: &'a mut BTreeMap<StreamId, Application>,
    pub(crate) truth: &'a BTreeMap<StreamId, Truth>,
}

impl Sink for Taker<'_> {
    fn take(&mut self, stream: StreamId, payload: &[u8]) -> usize {
        let application =
            self.streams.get_mut(&stream).expect("only the application's own streams are shown");
        assert!(application.held && !application.read_to_end && !payload.is_empty());
        let writer = 1 - self.end;
        for (offset, shown) in (application.read..).zip(payload) {
            assert_eq!(*shown, byte(stream, writer, offset), "stream {stream} at {offset}, where it lies");
        }
        let taken = payload.len().min(self.appetite as usize);
        application.read += taken as u64;
        assert!(application.read <= self.truth[&stream].written[writer]);
        taken
    }
}
