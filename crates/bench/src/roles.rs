//! What a process of the bench can be told to be.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::contestants::{raw, yamux};
use crate::relay::Relay;
use crate::side::Bench;

/// A side of a contestant, with everything that it has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    RawServer(raw::Server),
    RawClient(raw::Client),
    YamuxServer(yamux::Server),
    YamuxClient(yamux::Client),
    Relay(Relay),
}

impl Role {
    /// For messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RawServer(_) => "the server of Noise-framed bytes",
            Self::RawClient(_) => "the client of Noise-framed bytes",
            Self::YamuxServer(_) => "the yamux server",
            Self::YamuxClient(_) => "the yamux client",
            Self::Relay(_) => "the relay",
        }
    }

    pub(crate) fn play(self, bench: &Bench) -> Result<()> {
        match self {
            Self::RawServer(role) => role.play(bench),
            Self::RawClient(role) => role.play(bench),
            Self::YamuxServer(role) => role.play(bench),
            Self::YamuxClient(role) => role.play(bench),
            Self::Relay(role) => role.play(bench),
        }
    }
}
