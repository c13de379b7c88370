//! How long calls wait, where the vat's default does not fit.
//!
//! Every call has a deadline; when it comes, the caller gets an error that [`is_exceeded`] recognises, and the
//! peer is told to stop working on the call. The callee has one as well, whatever the caller does: it stops working on the
//! call, and the caller gets the same error.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::LocalKey;
use std::time::Duration;

use capnp::{Error, ErrorKind};

thread_local! {
    static OVERRIDE: Cell<Option<Duration>> = const { Cell::new(None) };
    static SCHEMA: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// How the reason of every exceeded deadline begins.
const REASON: &str = "deadline exceeded";

/// How long calls may take, by method: at the caller, unless [`with`] says otherwise, and at the callee, whoever calls. What a
/// schema says holds where this says nothing.
///
/// A method is known by its interface's id, which is like no other in the world, and so one table serves all services
/// of a node, and all that it uses. Clones share it until one is changed.
///
/// ```
/// use std::time::Duration;
/// use vatmux_rpc::{Deadlines, Options};
///
/// const INTERFACE: u64 = 0xdacd_bc4e_6710_0113;
/// let table = Deadlines::from_iter([((INTERFACE, 0), Duration::from_secs(2))]);
/// let options = Options { deadlines: table, ..Options::default() };
/// assert_eq!(options.deadlines.get(INTERFACE, 0), Some(Duration::from_secs(2)));
/// assert_eq!(options.deadlines.get(INTERFACE, 1), None, "has the default");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deadlines(Arc<BTreeMap<(u64, u16), Duration>>);

impl Deadlines {
    /// What is said of a method, by its interface's id and its ordinal.
    #[must_use]
    pub fn get(&self, interface: u64, method: u16) -> Option<Duration> {
        self.0.get(&(interface, method)).copied()
    }
}

impl Extend<((u64, u16), Duration)> for Deadlines {
    /// What is said last of a method holds.
    fn extend<I: IntoIterator<Item = ((u64, u16), Duration)>>(&mut self, methods: I) {
        Arc::make_mut(&mut self.0).extend(methods);
    }
}

impl FromIterator<((u64, u16), Duration)> for Deadlines {
    fn from_iter<I: IntoIterator<Item = ((u64, u16), Duration)>>(methods: I) -> Self {
        Self(Arc::new(methods.into_iter().collect()))
    }
}

/// Gives each call that is sent within `send` this long, whatever [`Options`](crate::Options) and the schema say.
///
/// What counts is the moment of sending: `deadline::with(limit, || request.send())`, and the promise may be
/// awaited anywhere. A call on a capability that is still a promise of a local computation is sent when that
/// promise resolves, and has the default. Inner uses win over outer ones.
pub fn with<R>(patience: Duration, send: impl FnOnce() -> R) -> R {
    let _restore = Restore { of: &OVERRIDE, before: OVERRIDE.replace(Some(patience)) };
    send()
}

/// Says what the schema does of the call that is sent within `send`. Whoever calls may say otherwise.
pub(crate) fn as_schema_says<R>(patience: Option<Duration>, send: impl FnOnce() -> R) -> R {
    let _restore = Restore { of: &SCHEMA, before: SCHEMA.replace(patience) };
    send()
}

struct Restore {
    of: &'static LocalKey<Cell<Option<Duration>>>,
    before: Option<Duration>,
}

impl Drop for Restore {
    fn drop(&mut self) {
        self.of.set(self.before);
    }
}

pub(crate) fn overridden() -> Option<Duration> {
    OVERRIDE.get()
}

/// What the schema says of the call that is being sent, where a stub sends it.
pub(crate) fn of_schema() -> Option<Duration> {
    SCHEMA.get()
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
