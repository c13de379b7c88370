//! Events of a command that runs until it is told to stop, on standard error.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::failure::Failure;
use crate::output;

/// How many events wait to be printed; more are dropped.
const EVENTS: usize = 1024;

/// How long the last events have to be printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Prints events on a thread that may wait for whoever reads them; those on which they happen must not.
pub(crate) struct Reporter<E> {
    events: mpsc::SyncSender<E>,
    done: mpsc::Receiver<()>,
    /// Events that there was no room for since the last line.
    untold: Arc<AtomicU64>,
}

impl<E: Send + 'static> Reporter<E> {
    /// `line` writes an event, as JSON or for people.
    pub(crate) fn start(json: bool, line: fn(&E, bool) -> String) -> Result<Self, Failure> {
        let (events, told) = mpsc::sync_channel(EVENTS);
        let (finished, done) = mpsc::channel();
        let untold = Arc::new(AtomicU64::new(0));
        let counted = untold.clone();
        thread::Builder::new()
            .name("vatmux-events".into())
            .spawn(move || {
                for event in told {
                    output::tell(&line(&event, json));
                    let untold = counted.swap(0, Ordering::Relaxed);
                    if untold > 0 {
                        output::tell(&gap(untold, json));
                    }
                }
                // Nobody waits where the last words took too long.
                let _ = finished.send(());
            })
            .map_err(Failure::system("a thread"))?;
        Ok(Self { events, done, untold })
    }

    /// What hears of events and never waits.
    pub(crate) fn listener(&self) -> impl Fn(E) + Send + Sync + use<E> {
        let (events, untold) = (self.events.clone(), self.untold.clone());
        move |event| {
            // With a thousand lines unread, one more is worth less than the node's time. It is counted.
            if events.try_send(event).is_err() {
                untold.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits a moment for what is not printed yet.
    pub(crate) fn finish(self) {
        drop(self.events);
        let _ = self.done.recv_timeout(LAST_WORDS);
    }
}

/// Says that there were more events than anybody read.
fn gap(untold: u64, json: bool) -> String {
    if json {
        json!({ "event": "untold", "peer": null, "detail": format!("{untold} events") }).to_string()
    } else {
        format!("{untold} events were not shown: they came faster than they were read")
    }
}
