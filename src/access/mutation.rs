//! The log of mutations: who changed what, or tried to, and what came of it.

use std::fmt;

use tracing::Level;
use vatmux_noise::NodeId;
use vatmux_rpc::service::{Call, Refusal, Status};

/// Under which target `tracing` is told of mutations, each as an event of level info: those that were refused as well, and those
/// whose outcome nobody waited for.
///
/// An event has the fields `peer` (the key that the handshake proved; `local` for this process), `service`, `method`, `target`
/// (the key, the bundle, or the name that was to change, at most [`MAX_TARGET_BYTES`] of it), and `outcome`: `ok`, the status of
/// the service's schema that refused it, `failed` where something is broken, or `abandoned`: nobody waited for the end, and the change
/// may have been made or not. It has no contents.
pub const MUTATIONS: &str = "vatmux::mutation";

/// How much of a target is told, in bytes. What is refused may be of any length.
pub const MAX_TARGET_BYTES: usize = 300;

/// A mutation that was asked for. When it is dropped without an end, it was abandoned.
#[derive(Debug)]
pub(crate) struct Mutation(Option<Asked>);

#[derive(Debug)]
struct Asked {
    peer: Option<NodeId>,
    service: &'static str,
    method: &'static str,
    target: String,
}

impl Mutation {
    /// A call asks for it. `target` is as the caller has it, whatever that is.
    pub(crate) fn asked(service: &'static str, call: &Call, target: &[u8]) -> Self {
        // Without anybody who listens it costs a look.
        let listens = tracing::enabled!(target: MUTATIONS, Level::INFO);
        Self(listens.then(|| Asked {
            peer: call.peer(),
            service,
            method: call.method().name,
            target: shortened(target),
        }))
    }

    /// What it is about, where that is learned later.
    #[cfg(feature = "host")]
    pub(crate) fn set_target(&mut self, target: &str) {
        if let Some(asked) = &mut self.0 {
            asked.target = shortened(target.as_bytes());
        }
    }

    /// What came of it.
    pub(crate) fn end<T, S: Status>(self, outcome: &Result<T, Refusal<S>>) {
        match outcome {
            Ok(_) => self.done(),
            Err(refusal) => self.failed(refusal),
        }
    }

    /// It was made.
    pub(crate) fn done(self) {
        self.tell(&"ok");
    }

    /// It was not made, or not for certain.
    pub(crate) fn failed<S: Status>(self, refusal: &Refusal<S>) {
        match refusal {
            Refusal::Status { status, .. } => self.refused(*status),
            Refusal::Failed(_) => self.tell(&"failed"),
        }
    }

    /// It was refused.
    pub(crate) fn refused(self, status: impl Status) {
        self.tell(&Word(status));
    }

    fn tell(mut self, outcome: &dyn fmt::Display) {
        if let Some(asked) = self.0.take() {
            asked.tell(outcome);
        }
    }
}

impl Drop for Mutation {
    fn drop(&mut self) {
        if let Some(asked) = self.0.take() {
            asked.tell(&"abandoned");
        }
    }
}

impl Asked {
    fn tell(&self, outcome: &dyn fmt::Display) {
        let Self { peer, service, method, target } = self;
        let peer = peer.map_or_else(|| "local".to_owned(), |peer| peer.to_string());
        tracing::event!(target: MUTATIONS, Level::INFO, %peer, service, method, target, %outcome, "mutation");
    }
}

/// A status as its schema writes it.
struct Word<S>(S);

impl<S: Status> fmt::Display for Word<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = format!("{:?}", self.0);
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_lowercase());
        first.into_iter().chain(letters).try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}

fn shortened(target: &[u8]) -> String {
    let shown = target.get(..MAX_TARGET_BYTES).unwrap_or(target);
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < target.len() {
        text.push('…');
    }
    text
}
