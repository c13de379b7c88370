//! Names that one open stream of the peer's may carry at a time.
//!
//! A name belongs to the stream that was let in under it for as long as that stream counts against the limit of
//! streams. Frames stay in order, so an opener that waits for its own count never meets a refusal.

use super::Session;
use crate::code::ResetCode;
use crate::exclusive::ExclusiveNames;
use crate::id::StreamId;
use crate::name::StreamName;
use crate::storage::Storage;
use crate::stream::{Handle, Reset};

impl<S: Storage> Session<S> {
    /// Lets one open stream of the peer's at a time carry each of `names`, and any number every other name.
    ///
    /// While there is one, the session answers a second OPEN of its name with [`ResetCode::DUPLICATE_NAME`] by itself:
    /// the application hears nothing of it, and nothing is kept of it but its id until that RST is sent. Each such
    /// answer is charged to [`Limits::reset_budget`](crate::Limits::reset_budget). Streams that we open are not
    /// concerned.
    ///
    /// The set replaces the one before. Of streams that are open already, one keeps the name: the last that the
    /// application accepted, or else the first that waits; the others that wait are turned away, and those that were
    /// accepted stay.
    pub fn set_exclusive_names(&mut self, names: &ExclusiveNames) {
        self.storage.set_exclusive(names);
        for position in 0..self.storage.exclusive().len() {
            self.settle_claims(position);
        }
    }

    /// Decides which of the streams that came before their name was exclusive has it.
    fn settle_claims(&mut self, position: usize) {
        let (mut accepted, mut first) = (None, None);
        let opener = self.role.peer();
        for entry in self.storage.index(opener) {
            let stream = self.slot(entry.slot);
            if !stream.settled && self.storage.exclusive()[position].name == stream.name {
                match stream.handle {
                    Handle::Held => accepted = StreamId::new(stream.id),
                    Handle::Unseen | Handle::Offered | Handle::Released => {
                        first = first.or(StreamId::new(stream.id));
                    }
                }
            }
        }
        let holder = accepted.or(first);
        self.storage.exclusive_mut()[position].holder = holder;
        for entry in 0..self.storage.index(opener).len() {
            // Too many refusals end the session, and then nothing else is to be done.
            let Some(entry) = self.storage.index(opener).get(entry).filter(|_| self.end.is_none()) else {
                return;
            };
            let slot = entry.slot;
            let stream = self.slot(slot);
            let waits =
                matches!(stream.handle, Handle::Unseen | Handle::Offered) && stream.reset == Reset::No;
            let competes = stream.name == self.storage.exclusive()[position].name;
            if waits && competes && StreamId::new(stream.id) != holder {
                self.unaccepted -= 1;
                self.let_go(slot, ResetCode::DUPLICATE_NAME);
            }
        }
    }

    /// The place of a name among the exclusive ones.
    pub(super) fn exclusive_position(&self, name: &StreamName) -> Option<usize> {
        self.storage.exclusive().iter().position(|exclusive| exclusive.name == *name)
    }

    /// Whether an open stream has the exclusive name at `position`.
    pub(super) fn is_held(&self, position: usize) -> bool {
        let holder = self.storage.exclusive().get(position).and_then(|exclusive| exclusive.holder);
        holder.and_then(|holder| self.find(holder)).is_some_and(|slot| !self.slot(slot).settled)
    }
}
