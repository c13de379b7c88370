//! How long calls wait, where the vat's default does not fit.
//!
//! Every call has a deadline; when it comes, the caller gets an error that [`is_exceeded`] recognises, and the
//! peer is told to stop working on the call.

use std::cell::Cell;
use std::time::Duration;

use capnp::{Error, ErrorKind};

thread_local! {
    static OVERRIDE: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// How the reason of every exceeded deadline begins.
const REASON: &str = "deadline exceeded";

/// Gives each call that is sent within `send` this long instead of
/// [`Options::call_deadline`](crate::Options::call_deadline).
///
/// What counts is the moment of sending: `deadline::with(limit, || request.send())`, and the promise may be
/// awaited anywhere. A call on a capability that is still a promise of a local computation is sent when that
/// promise resolves, and has the default. Inner uses win over outer ones.
pub fn with<R>(patience: Duration, send: impl FnOnce() -> R) -> R {
    let _restore = Restore(OVERRIDE.replace(Some(patience)));
    send()
}

struct Restore(Option<Duration>);

impl Drop for Restore {
    fn drop(&mut self) {
        OVERRIDE.set(self.0);
    }
}

pub(crate) fn overridden() -> Option<Duration> {
    OVERRIDE.get()
}

/// True for the error of a call whose deadline came before its answer.
#[must_use]
pub fn is_exceeded(error: &Error) -> bool {
    // capnp-rpc puts its own words before every reason that comes out of a Return.
    error.kind == ErrorKind::Failed
        && error.extra.trim_start_matches("remote exception: ").starts_with(REASON)
}

/// The reason that the caller reads.
pub(crate) fn reason(patience: Duration, what: &str, service: &str) -> String {
    format!("{REASON}: no answer within {patience:?} to {what} of service {service:?}")
}
