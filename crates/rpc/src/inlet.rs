//! What comes from the stream and waits for capnp-rpc, and the two ways in which it comes: read from the stream, or taken
//! where the session has it.

use std::task::{Context, Poll};

use futures::io::AsyncRead;

use crate::Options;
use crate::read::{Arrived, MessageReader, Over, ReadEnd};
use crate::segments::Segments;

/// The incoming half of one vat: whole messages in their order, and after the last of them why no more come.
pub(crate) struct Inlet {
    reader: MessageReader,
    arrived: Arrived,
    over: Option<Over>,
}

impl Inlet {
    pub(crate) fn new(options: &Options) -> Self {
        Self { reader: MessageReader::new(options), arrived: Arrived::default(), over: None }
    }

    /// True where no message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }

    /// The next message.
    pub(crate) fn pop(&mut self) -> Option<Segments> {
        self.arrived.pop()
    }

    /// Lets go of every message, and of the one that has begun to come.
    pub(crate) fn clear(&mut self) {
        self.reader.clear();
        self.arrived = Arrived::default();
    }

    /// True where no more comes.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Reads until enough waits or no more comes. Pending where the stream has no more for now: it wakes the task then.
    pub(crate) fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.over.is_some() {
            return Poll::Ready(());
        }
        self.reader.poll_read(stream, cx, &mut self.arrived).map(|end| match end {
            ReadEnd::Enough => {}
            ReadEnd::Over(over) => self.over = Some(over),
        })
    }

    /// Takes in bytes until enough waits, and says how many. After a frame that cannot be accepted it takes none.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        if self.over.is_some() {
            return 0;
        }
        match self.reader.take_until_enough(bytes, &mut self.arrived) {
            Ok(taken) => taken,
            Err(error) => {
                self.over = Some(Over::Frame(error));
                bytes.len()
            }
        }
    }

    /// Why no more comes, once all that came has been taken.
    pub(crate) fn take_end(&mut self) -> Option<Over> {
        if self.is_empty() { self.over.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::task::noop_waker;

    use super::*;
    use crate::read::FrameError;

    /// A message of one segment of one word.
    const MESSAGE: [u8; 16] = [0, 0, 0, 0, 1, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7];

    #[test]
    fn a_message_may_come_in_both_ways_and_its_end_is_told_after_it() {
        let mut inlet = Inlet::new(&Options::default());
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        assert_eq!(inlet.take(&MESSAGE[..11]), 11);
        assert!(inlet.is_empty());
        assert!(inlet.poll_read(&mut &MESSAGE[11..], &mut context).is_ready());
        assert!(inlet.is_over() && inlet.take_end().is_none(), "a message waits");
        assert_eq!(inlet.take(&MESSAGE), 0, "after the end");
        assert_eq!(inlet.pop().map(|message| message.total_bytes()), Some(8));
        assert!(matches!(inlet.take_end(), Some(Over::Clean)));
    }

    #[test]
    fn nothing_is_taken_behind_a_frame_that_cannot_be_accepted() {
        let mut inlet = Inlet::new(&Options::default());
        assert_eq!(inlet.take(&[&MESSAGE[..], &[255; 100]].concat()), 116);
        assert_eq!(inlet.take(&MESSAGE), 0);
        assert!(inlet.pop().is_some());
        assert!(inlet.pop().is_none());
        assert!(matches!(inlet.take_end(), Some(Over::Frame(FrameError::TooManySegments { .. }))));
    }

    #[test]
    fn what_is_cleared_holds_nothing_of_a_message_that_had_begun() {
        let mut inlet = Inlet::new(&Options::default());
        inlet.take(&MESSAGE[..11]);
        inlet.clear();
        assert_eq!(inlet.take(&MESSAGE), 16);
        assert!(inlet.pop().is_some());
        let waker = noop_waker();
        let end = inlet.poll_read(&mut &[0_u8; 0][..], &mut Context::from_waker(&waker));
        assert_eq!(end, Poll::Ready(()));
    }
}
