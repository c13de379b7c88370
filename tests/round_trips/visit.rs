//! What a claim has: a peer with the services behind some link, the way behind the stage, and the time.

use std::rc::Rc;
use std::time::Duration;

use capnp::capability::Client;
use vatmux::{Peer, Remote, deadline};
use vatmux_driver::Handle;

use crate::claim::Asked;
use crate::link::Cutter;
use crate::stage::{Held, Stage};
use crate::time::HeldClock;
use crate::world::Place;

/// A caller's view.
#[derive(Clone)]
pub(crate) struct Visit {
    /// The serving node, over a link of this visit's own.
    pub(crate) peer: Peer,
    /// What cuts that.
    pub(crate) cutter: Cutter,
    /// The way behind the stage of the serving side, over another link.
    pub(crate) backstage: Backstage,
    /// Where the caller's own capabilities are.
    pub(crate) stage: Stage,
    pub(crate) time: Time,
    pub(crate) place: Rc<Place>,
    patience: Option<Duration>,
}

impl Visit {
    /// A visit that serves its own sinks for so long only, where that is said.
    pub(crate) async fn new(place: &Rc<Place>, backstage: &Backstage, impatience: Option<Duration>) -> Self {
        Self::over(place.dial(impatience).await, place, backstage)
    }

    fn over((peer, cutter): (Peer, Cutter), place: &Rc<Place>, backstage: &Backstage) -> Self {
        Self {
            peer,
            cutter,
            backstage: backstage.clone(),
            stage: Stage::default(),
            time: place.time(),
            place: place.clone(),
            patience: None,
        }
    }

    /// Another link to the same node.
    pub(crate) async fn again(&self) -> Self {
        Self::new(&self.place, &self.backstage, None).await
    }

    /// Another link to the same node, by another peer.
    pub(crate) async fn as_a_stranger(&self) -> Self {
        Self::over(self.place.dial_as_a_stranger().await, &self.place, &self.backstage)
    }

    pub(crate) fn with_patience(&self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self.clone() }
    }

    /// Lets everything go on that is held, here or there.
    pub(crate) async fn open(&self, here: bool) {
        if here { self.stage.open() } else { self.backstage.open().await }
    }

    /// Sends the call that the claim is of, with the deadline that the claim wants.
    pub(crate) fn send<T>(&self, send: impl FnOnce() -> T) -> T {
        match self.patience {
            Some(patience) => deadline::with(patience, send),
            None => send(),
        }
    }
}

/// The time that a claim is in.
#[derive(Clone)]
pub(crate) enum Time {
    /// It passes when a claim lets it.
    Held(HeldClock, Handle),
    /// It passes.
    Real,
}

impl Time {
    /// How long a call waits that is to run out of time.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Held(..) => Duration::from_secs(20),
            Self::Real => Duration::from_millis(20),
        }
    }

    /// How long a call of a sink is served where it is to run out of time.
    pub(crate) fn impatience(&self) -> Duration {
        match self {
            // As long as the schema lets it be.
            Self::Held(..) => Duration::from_hours(1),
            Self::Real => Duration::from_millis(100),
        }
    }

    /// Lets so much time pass, or be passed.
    pub(crate) async fn pass(&self, time: Duration) {
        if let Self::Held(clock, handle) = self {
            clock.allow(time);
            handle.sleep(time).await;
        }
    }
}

/// The way behind the stage: a capability of the serving side that takes cues.
///
/// It is no service of vatmux, and needs no schema: a cue is a text, and so is its answer.
#[derive(Clone)]
pub(crate) struct Backstage(pub(crate) Rc<Remote<Client>>);

/// The interface of what takes cues. Its one method has the ordinal 0.
pub(crate) const CUES: u64 = 0xa3c1_7d35_0b5d_9e11;

impl Backstage {
    /// Gives a cue, and hears what came of it.
    pub(crate) async fn cue(&self, cue: impl AsRef<str>) -> String {
        let cue = cue.as_ref();
        let mut request =
            self.0.new_call::<capnp::any_pointer::Owned, capnp::any_pointer::Owned>(CUES, 0, None);
        request.get().set_as(cue).expect("a text");
        let answered = request.send().promise.await;
        let response = answered.unwrap_or_else(|error| panic!("the cue {cue:?}: {error}"));
        let answer = response.get().and_then(|answer| answer.get_as::<capnp::text::Reader<'_>>());
        answer.expect("a text").to_string().expect("UTF-8")
    }

    async fn cue_of(&self, what: &str, asked: Asked) -> String {
        let (interface, ordinal) = asked.key();
        self.cue(format!("{what} {interface} {ordinal}")).await
    }

    /// Has the calls of a method wait before its service.
    pub(crate) async fn hold(&self, asked: Asked) {
        let Held { interface, method } = asked.held();
        let method = method.map_or_else(|| "all".to_owned(), |method| method.to_string());
        self.cue(format!("hold {interface} {method}")).await;
    }

    /// Lets everything go on that is held.
    pub(crate) async fn open(&self) {
        self.cue("open").await;
    }

    /// Until a call of the method is under way.
    pub(crate) async fn under_way(&self, asked: Asked) {
        self.cue_of("under-way", asked).await;
    }

    /// Until none is.
    pub(crate) async fn over(&self, asked: Asked) {
        self.cue_of("over", asked).await;
    }

    /// How many calls of the method there were.
    pub(crate) async fn seen(&self, asked: Asked) -> u32 {
        self.cue_of("seen", asked).await.parse().expect("a number")
    }
}
