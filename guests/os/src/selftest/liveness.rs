//! Every wait ends, and says why.

use std::time::Duration;

use vatmux::schema::packagefs::{ByteSink, ByteSinkServer, PackageFs};
use vatmux_driver::{Handle, Instant};
use vatmux_liveness::{
    AttemptBudget, Attempted, Backoff, Jitter, MismatchBudget, Outcome, Pace, RetryLimits, retry,
};
use vatmux_os_disk::Dial;
use vatmux_rpc::service::{Call, Stub};
use vatmux_rpc::{Peer, ReconnectingPeer, deadline};

use super::{Complaint, said};
use crate::content::BULK;
use crate::node::{DialError, Node, jitter};

/// How long a call is given that nobody answers.
const PATIENCE: Duration = Duration::from_millis(400);

/// How much is sent at once of a file that nobody takes.
const CHUNK_BYTES: u32 = 16 * 1024;

/// How much later it may end.
const SLACK: Duration = Duration::from_secs(2);

/// How often a port is dialed where nobody is.
const ATTEMPTS: u32 = 3;

/// How long all those attempts are given.
const DIALING: Duration = Duration::from_secs(10);

/// A call without an answer ends at its deadline, a dial without a node with its budget, and the session outlives both.
pub(super) async fn bounded(
    node: &Node,
    reconnecting: &ReconnectingPeer<DialError>,
    peer: &Peer,
    root: &str,
    dial: Dial,
) -> Result<String, Complaint> {
    let handle = node.handle();
    let began = handle.now();
    let files = peer.connect::<PackageFs>().map_err(said)?;
    let file = files.open(&format!("{root}{BULK}")).await.map_err(said)?.file;
    let sink = ByteSink::serve(Never);
    let called = handle.now();
    if deadline::with(PATIENCE, || file.stream(0, u64::MAX, &sink, CHUNK_BYTES)).await.is_ok() {
        return Err("a file was streamed to where nothing is taken".to_owned());
    }
    let ended = handle.now() - called;
    if ended < PATIENCE || ended > PATIENCE + SLACK {
        return Err(format!("a call with a deadline of {PATIENCE:?} ended after {ended:?}"));
    }

    let limits = RetryLimits {
        within: DIALING,
        attempts: AttemptBudget::new(ATTEMPTS).unwrap_or(AttemptBudget::ONE),
        mismatches: MismatchBudget::ZERO,
        backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(100)).unwrap_or(Backoff::NONE),
    };
    // Nobody listens on the discard port.
    let nowhere = Dial { port: 9, ..dial };
    let mut pace = MachinePace(handle);
    let outcome = retry(limits, &mut pace, async |attempt| {
        let within = attempt.deadline.remaining(handle.now());
        match node.dial(&nowhere, within).await {
            Ok(peer) => Attempted::Success(peer),
            Err(error) => Attempted::Failed(error),
        }
    });
    let attempts = match outcome.await {
        Outcome::Attempts { attempts, .. } | Outcome::Deadline { attempts, .. } => attempts,
        Outcome::Success(_) => return Err("there is a node where there is none".to_owned()),
        Outcome::Mismatches { attempts, .. } | Outcome::Rejected { attempts, .. } => {
            return Err(format!("the dial ended for another reason, after {attempts} attempts"));
        }
    };
    let took = handle.now() - began;
    if took > PATIENCE + SLACK + DIALING + SLACK {
        return Err(format!("it took {took:?}"));
    }
    if peer.session().end().is_some() || reconnecting.reconnects() > 0 {
        return Err("the session was lost over it".to_owned());
    }
    Ok(format!("call_us={} dials={attempts}", ended.as_micros()))
}

/// Takes nothing, ever.
struct Never;

impl ByteSinkServer for Never {
    async fn write(&self, _call: &Call, _bytes: &[u8]) -> vatmux_rpc::capnp::Result<()> {
        std::future::pending().await
    }

    async fn end(&self, _call: &Call, _total_bytes: u64) -> vatmux_rpc::capnp::Result<()> {
        std::future::pending().await
    }
}

/// The driver's time and timers, and the machine's random numbers.
struct MachinePace<'a>(&'a Handle);

impl Pace for MachinePace<'_> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn jitter(&mut self) -> Jitter {
        jitter()
    }

    fn until(&self, instant: Instant) -> impl Future<Output = ()> {
        self.0.sleep_until(instant)
    }
}
