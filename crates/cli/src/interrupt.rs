//! Being told to stop: SIGINT, SIGTERM and SIGHUP, or what there is of them on other systems.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::oneshot;
use futures::future::{Either, select};

use crate::failure::Failure;

/// The exit status of a process that was interrupted: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Calls `stop` when somebody asks the process to end, on a thread of its own. Who asks a second time does not want to
/// wait for an orderly end: the process exits at once. One per process.
pub(crate) fn on_request(stop: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let asked = AtomicBool::new(false);
    let handler = move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
        stop();
    };
    ctrlc::set_handler(handler)
        .map_err(|error| Failure::System { what: "to tell of signals", error: io::Error::other(error) })
}

/// What can be interrupted so that it leaves nothing behind.
pub(crate) struct Interruptible(oneshot::Receiver<()>);

impl Interruptible {
    /// From here on a request to end no longer kills the process: it ends what [runs](Self::run).
    pub(crate) fn new() -> Result<Self, Failure> {
        let (stop, stopped) = oneshot::channel();
        let stop = Mutex::new(Some(stop));
        on_request(move || {
            let stop = stop.lock().ok().and_then(|mut stop| stop.take());
            stop.map(|stop| stop.send(()));
        })?;
        Ok(Self(stopped))
    }

    /// Does `work`, or drops it when the process is asked to end.
    pub(crate) async fn run<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match select(pin!(work), &mut self.0).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(Failure::Interrupted),
        }
    }
}
