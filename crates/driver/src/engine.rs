//! The multiplexer with its storage erased, so that streams and what is built on them need not be generic over it.

use vatmux_mux::{
    AcceptError, CloseCode, ConsumeError, End, Event, ExclusiveNames, FinishError, OpenError, Passage,
    Priority, ReadError, ResetCode, Session, SessionStatistics, Storage, StreamId, StreamName,
    StreamStatistics, Ticks, UnknownStream, Violation, WriteError,
};

use crate::takers::Takers;

/// What the driver asks of a multiplexer: [`Session`]'s methods of the same names.
pub(crate) trait Engine {
    fn receive_into(&mut self, input: &[u8], now: Ticks, takers: &mut Takers) -> Result<(), Violation>;
    fn heard(&mut self, now: Ticks);
    fn transmit(&mut self, output: &mut [u8]) -> usize;
    fn wants_transmit(&self) -> bool;
    fn output_bytes(&self) -> usize;
    fn output_bytes_for(&self, id: StreamId) -> usize;
    fn next_deadline(&self) -> Option<Ticks>;
    fn handle_timeout(&mut self, now: Ticks);
    fn poll_event(&mut self) -> Option<Event>;
    fn end(&self) -> Option<End>;
    fn is_idle(&self) -> bool;
    fn open(&mut self, name: &StreamName, priority: Priority) -> Result<StreamId, OpenError>;
    fn accept(&mut self, id: StreamId) -> Result<(), AcceptError>;
    fn refuse(&mut self, id: StreamId, code: ResetCode) -> Result<(), AcceptError>;
    fn set_exclusive_names(&mut self, names: &ExclusiveNames);
    fn name(&self, id: StreamId) -> Option<&StreamName>;
    fn priority(&self, id: StreamId) -> Option<Priority>;
    fn write(&mut self, id: StreamId, bytes: &[u8]) -> Result<usize, WriteError>;
    /// Says as well how many bytes were put at the front of `output`.
    fn write_through(
        &mut self,
        id: StreamId,
        bytes: &[u8],
        output: &mut [u8],
    ) -> (Result<Passage, WriteError>, usize);
    fn finish(&mut self, id: StreamId) -> Result<(), FinishError>;
    fn readable(&self, id: StreamId) -> Result<(&[u8], &[u8]), ReadError>;
    fn consume(&mut self, id: StreamId, bytes: usize) -> Result<(), ConsumeError>;
    fn reset(&mut self, id: StreamId, code: ResetCode) -> Result<(), UnknownStream>;
    fn release(&mut self, id: StreamId);
    fn close(&mut self, code: CloseCode);
    fn statistics(&self) -> SessionStatistics;
    fn stream_statistics(&self, id: StreamId) -> Option<StreamStatistics>;
}

impl<S: Storage> Engine for Session<S> {
    fn receive_into(&mut self, input: &[u8], now: Ticks, takers: &mut Takers) -> Result<(), Violation> {
        Self::receive_into(self, input, now, takers)
    }

    fn heard(&mut self, now: Ticks) {
        Self::heard(self, now);
    }

    fn transmit(&mut self, output: &mut [u8]) -> usize {
        Self::transmit(self, output)
    }

    fn wants_transmit(&self) -> bool {
        Self::wants_transmit(self)
    }

    fn output_bytes(&self) -> usize {
        Self::output_bytes(self)
    }

    fn output_bytes_for(&self, id: StreamId) -> usize {
        Self::output_bytes_for(self, id)
    }

    fn next_deadline(&self) -> Option<Ticks> {
        Self::next_deadline(self)
    }

    fn handle_timeout(&mut self, now: Ticks) {
        Self::handle_timeout(self, now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }

    fn end(&self) -> Option<End> {
        Self::end(self)
    }

    fn is_idle(&self) -> bool {
        Self::is_idle(self)
    }

    fn open(&mut self, name: &StreamName, priority: Priority) -> Result<StreamId, OpenError> {
        Self::open(self, name, priority)
    }

    fn accept(&mut self, id: StreamId) -> Result<(), AcceptError> {
        Self::accept(self, id)
    }

    fn refuse(&mut self, id: StreamId, code: ResetCode) -> Result<(), AcceptError> {
        Self::refuse(self, id, code)
    }

    fn set_exclusive_names(&mut self, names: &ExclusiveNames) {
        Self::set_exclusive_names(self, names);
    }

    fn name(&self, id: StreamId) -> Option<&StreamName> {
        Self::name(self, id)
    }

    fn priority(&self, id: StreamId) -> Option<Priority> {
        Self::priority(self, id)
    }

    fn write(&mut self, id: StreamId, bytes: &[u8]) -> Result<usize, WriteError> {
        Self::write(self, id, bytes)
    }

    fn write_through(
        &mut self,
        id: StreamId,
        bytes: &[u8],
        mut output: &mut [u8],
    ) -> (Result<Passage, WriteError>, usize) {
        let before = output.len();
        let passage = Self::write_through(self, id, bytes, &mut output);
        (passage, before - output.len())
    }

    fn finish(&mut self, id: StreamId) -> Result<(), FinishError> {
        Self::finish(self, id)
    }

    fn readable(&self, id: StreamId) -> Result<(&[u8], &[u8]), ReadError> {
        Self::readable(self, id)
    }

    fn consume(&mut self, id: StreamId, bytes: usize) -> Result<(), ConsumeError> {
        Self::consume(self, id, bytes)
    }

    fn reset(&mut self, id: StreamId, code: ResetCode) -> Result<(), UnknownStream> {
        Self::reset(self, id, code)
    }

    fn release(&mut self, id: StreamId) {
        Self::release(self, id);
    }

    fn close(&mut self, code: CloseCode) {
        Self::close(self, code);
    }

    fn statistics(&self) -> SessionStatistics {
        Self::statistics(self)
    }

    fn stream_statistics(&self, id: StreamId) -> Option<StreamStatistics> {
        Self::stream_statistics(self, id)
    }
}
