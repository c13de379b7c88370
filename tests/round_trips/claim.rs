//! What is claimed of a method, and how it is put to the test.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, LocalBoxFuture, join, select};
use vatmux::schema::health::Health;
use vatmux::service::{Error, Interface, Method, Status};

use crate::scene::Scene;
use crate::stage::Held;
use crate::visit::Visit;

/// A method, by its descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) interface: &'static Interface,
    pub(crate) method: &'static Method,
}

impl Asked {
    /// The method of this name. That there is none is an error of compilation, where this makes a constant.
    pub(crate) const fn of(interface: &'static Interface, name: &str) -> Self {
        let mut at = 0;
        while at < interface.methods.len() {
            if same(interface.methods[at].name.as_bytes(), name.as_bytes()) {
                return Self { interface, method: &interface.methods[at] };
            }
            at += 1;
        }
        panic!("the interface has no such method")
    }

    pub(crate) fn key(self) -> (u64, u16) {
        (self.interface.id, self.method.ordinal)
    }

    /// Its calls, and what must not overtake them.
    pub(crate) fn held(self) -> Held {
        Held { interface: self.interface.id, method: (!self.method.streaming).then_some(self.method.ordinal) }
    }
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.method.fmt(f)
    }
}

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// It does what it is for.
    Good,
    /// It refuses with the status of this number.
    Refusal(u16),
    /// Its deadline passes while its server works on it: both ends hear of it, and the session lives.
    Deadline,
    /// The link is cut while its server works on it: both ends hear of it.
    Cut,
    /// Its caller gives it up while its server works on it: the server hears of it, and the session lives.
    Cancelled,
}

/// A claim.
pub(crate) struct Claim {
    pub(crate) asked: Asked,
    pub(crate) kind: Kind,
    /// What the serving side has.
    pub(crate) scene: Scene,
    /// Whether the caller serves its own sinks for moments only.
    pub(crate) impatient: bool,
    /// Whether it is the caller whose capability is called.
    pub(crate) here: bool,
    pub(crate) run: Box<dyn Fn(Visit) -> LocalBoxFuture<'static, ()>>,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} on {:?}", self.asked, self.kind, self.scene)
    }
}

fn claim<F: Future<Output = ()> + 'static>(
    asked: Asked,
    kind: Kind,
    scene: Scene,
    run: impl Fn(Visit) -> F + 'static,
) -> Claim {
    let run = move |visit| run(visit).boxed_local();
    Claim { asked, kind, scene, impatient: false, here: false, run: Box::new(run) }
}

/// That a method does what it is for.
pub(crate) fn good<F: Future<Output = ()> + 'static>(
    asked: Asked,
    scene: Scene,
    run: impl Fn(Visit) -> F + 'static,
) -> Claim {
    claim(asked, Kind::Good, scene, run)
}

/// That a method refuses with this status. `run` gives what the call came to.
pub(crate) fn refused<S, T, F>(
    asked: Asked,
    status: S,
    scene: Scene,
    run: impl Fn(Visit) -> F + 'static,
) -> Claim
where
    S: Status + Into<u16>,
    T: 'static,
    F: Future<Output = Result<T, Error<S>>> + 'static,
{
    claim(asked, Kind::Refusal(status.into()), scene, move |visit| {
        let outcome = run(visit);
        async move {
            match outcome.await {
                Ok(_) => panic!("{asked} is not refused"),
                Err(error) => {
                    assert_eq!(error.status(), Some(&status), "{error}");
                    assert_eq!(error.method().to_string(), asked.to_string(), "{error}");
                }
            }
        }
    })
}

/// What a call came to that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was not: it has results.
    Answered,
    Deadline,
    Disconnected,
    /// By this status.
    Refused(String),
    Failed(String),
}

impl<T, S: Status> From<Result<T, Error<S>>> for Ended {
    fn from(outcome: Result<T, Error<S>>) -> Self {
        match outcome {
            Ok(_) => Self::Answered,
            Err(error) if error.is_deadline() => Self::Deadline,
            Err(error) if error.disconnected().is_some() => Self::Disconnected,
            Err(error) => match error.status() {
                Some(status) => Self::Refused(format!("{status:?}")),
                None => Self::Failed(error.to_string()),
            },
        }
    }
}

/// A call that was sent, and what must be kept so that nothing but the call ends when its caller gives it up.
pub(crate) struct Pending {
    call: LocalBoxFuture<'static, Ended>,
    kept: Box<dyn Any>,
}

impl Pending {
    pub(crate) fn new<T, E>(kept: impl Any, call: impl Future<Output = Result<T, E>> + 'static) -> Self
    where
        T: 'static,
        E: 'static,
        Ended: From<Result<T, E>>,
    {
        Self::of(kept, call.map(Ended::from))
    }

    pub(crate) fn of(kept: impl Any, call: impl Future<Output = Ended> + 'static) -> Self {
        Self { call: call.boxed_local(), kept: Box::new(kept) }
    }
}

/// Where a call is held so that it is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Before its service, which has no place of its own where it waits.
    AtTheDoor,
    /// In its service, where that syncs its device.
    AtTheDevice,
    /// In its service, which waits for something else: the caller's sink, or another call.
    Nowhere,
    /// At the door of the caller's own capability, which the service calls.
    AtTheCallersDoor,
}

/// A call that is interrupted in the middle: by its deadline, by the loss of the link, by its caller.
pub(crate) struct Interrupted<A, C> {
    pub(crate) asked: Asked,
    pub(crate) scene: Scene,
    pub(crate) hold: Hold,
    /// Makes the call.
    pub(crate) attempt: A,
    /// Looks at what is left, on a link of its own, with nothing held any more.
    pub(crate) aftermath: C,
}

type Attempt = Rc<dyn Fn(Visit) -> LocalBoxFuture<'static, Pending>>;
type Aftermath = Rc<dyn Fn(Visit) -> LocalBoxFuture<'static, ()>>;

/// The claims of [`Interrupted`], one for each way.
pub(crate) fn interrupted<A, P, C, F>(of: Interrupted<A, C>) -> Vec<Claim>
where
    A: Fn(Visit) -> P + 'static,
    P: Future<Output = Pending> + 'static,
    C: Fn(Visit) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let Interrupted { asked, scene, hold, attempt, aftermath } = of;
    let attempt: Attempt = Rc::new(move |visit| attempt(visit).boxed_local());
    let aftermath: Aftermath = Rc::new(move |visit| aftermath(visit).boxed_local());
    let here = hold == Hold::AtTheCallersDoor;
    [Kind::Deadline, Kind::Cut, Kind::Cancelled]
        .into_iter()
        .map(|kind| {
            let (attempt, aftermath) = (attempt.clone(), aftermath.clone());
            let run = move |visit| interrupt(asked, kind, hold, attempt.clone(), aftermath.clone(), visit);
            let impatient = here && kind == Kind::Deadline;
            Claim { impatient, here, ..claim(asked, kind, scene, run) }
        })
        .collect()
}

async fn interrupt(
    asked: Asked,
    kind: Kind,
    hold: Hold,
    attempt: Attempt,
    aftermath: Aftermath,
    visit: Visit,
) {
    match hold {
        Hold::AtTheDoor => visit.backstage.hold(asked).await,
        Hold::AtTheDevice => drop(visit.backstage.cue("device hold").await),
        Hold::AtTheCallersDoor => visit.stage.hold(asked.held()),
        Hold::Nowhere => {}
    }
    let here = hold == Hold::AtTheCallersDoor;
    let mut patience = visit.time.patience();
    let (call, kept) = loop {
        let visit =
            if kind == Kind::Deadline && !here { visit.with_patience(patience) } else { visit.clone() };
        let Pending { call, kept } = attempt(visit.clone()).await;
        let under_way = async {
            if here {
                visit.stage.under_way(asked.key()).await;
            } else {
                visit.backstage.under_way(asked).await;
            }
        };
        match select(call, under_way.boxed_local()).await {
            Either::Right(((), call)) => break (call, kept),
            // A real clock does not stand still until the call has arrived.
            Either::Left((Ended::Deadline, _)) if patience < Duration::from_secs(5) => patience *= 2,
            Either::Left((ended, _)) => panic!("it ended before it was under way: {ended:?}"),
        }
    };
    match kind {
        Kind::Deadline if here => {
            let refused = join(visit.time.pass(visit.time.impatience()), call).await.1;
            assert!(matches!(refused, Ended::Refused(_) | Ended::Failed(_)), "{refused:?}");
        }
        Kind::Deadline => assert_eq!(join(visit.time.pass(patience), call).await.1, Ended::Deadline),
        Kind::Cut => {
            visit.cutter.cut();
            assert_eq!(call.await, Ended::Disconnected);
        }
        Kind::Cancelled => drop(call),
        Kind::Good | Kind::Refusal(_) => unreachable!("{kind:?} interrupts nothing"),
    }
    let over =
        async || if here { visit.stage.over(asked.key()).await } else { visit.backstage.over(asked).await };
    if kind == Kind::Cancelled && asked.method.streaming {
        // Whoever sent it had its answer: that there is room for the next. It is the stream that ends, and this goes on by itself.
        visit.open(here).await;
        over().await;
    } else {
        // It is held still: what is over now was given up, not finished.
        over().await;
        visit.open(here).await;
    }
    if kind != Kind::Cut {
        let health: Health = visit.peer.connect().expect("the session lives");
        assert_eq!(health.ping(6).await.expect("the session lives"), 6);
    }
    drop(kept);
    aftermath(visit.again().await).await;
}
