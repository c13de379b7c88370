//! vatmux's own sessions, as its users have them: Noise, the driver and its tasks, over the driver's pipe.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join;
use vatmux_driver::{SessionOptions, accept, dial, pipe, virtual_time};
use vatmux_mux::HeapStorage;
use vatmux_noise::{AllowList, Entropy, SecretKey};

use super::PIPE_BYTES;
use crate::HEAP;

/// How long the sessions are left alone, in their own time: keepalive included.
const IDLE: Duration = Duration::from_secs(5);

/// Bytes of heap for each of `sessions` idle sessions, both ends; what they share is with the one before them.
pub(crate) fn idle_sessions(sessions: usize) -> Result<f64> {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (dialer, acceptor) =
        (SecretKey::generate(Entropy::from_system()?), SecretKey::generate(Entropy::from_system()?));
    let mut open_sessions = Vec::with_capacity(2 * (sessions + 1));
    let mut pipes: Vec<_> = (0..=sessions).map(|_| pipe(PIPE_BYTES)).collect();
    let mut connect = |(near, far)| {
        let allow = AllowList::Anyone;
        let (ours, theirs) = (Entropy::from_system()?, Entropy::from_system()?);
        let (storage, options) = (HeapStorage::new, SessionOptions::default);
        let dialed = dial(&handle, near, &dialer, acceptor.node_id(), ours, storage(), options());
        let accepted = accept(&handle, far, &acceptor, &allow, theirs, storage(), options());
        let (dialed, accepted) = driver.drive_until(try_join(dialed, accepted))??;
        open_sessions.extend([dialed, accepted]);
        driver.drive_until(handle.sleep(IDLE))?;
        anyhow::Ok(())
    };
    connect(pipes.pop().context("there is a pipe for the first session")?)?;
    HEAP.count();
    for pipe in pipes {
        connect(pipe)?;
    }
    Ok(HEAP.live_bytes() as f64 / sessions as f64)
}
