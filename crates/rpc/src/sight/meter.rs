//! Counters of one service's vats.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::sight::{CallStatistics, Latency, Outcome, ServiceStatistics};

/// Services of its peer that a session counts by name. What it uses beyond is counted under [`OTHERS`].
const MAX_USED: usize = 64;

/// Stands for every service beyond [`MAX_USED`]. No stream has this name.
const OTHERS: &str = "(others)";

/// Which side of a vat a call is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Us,
    Peer,
}

/// What the vats of one service count. Each count goes to the parent as well.
#[derive(Default)]
pub(crate) struct Meter {
    opened: Cell<u64>,
    open: Cell<u64>,
    violations: Cell<u64>,
    asked: Tally,
    served: Tally,
    parent: Option<Rc<Meter>>,
}

#[derive(Default)]
struct Tally {
    started: Cell<u64>,
    ended: [Cell<u64>; Outcome::ALL.len()],
    latency: RefCell<Latency>,
}

fn increment(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

impl Meter {
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |meter| meter.parent.as_deref())
    }

    fn tally(&self, caller: Caller) -> &Tally {
        match caller {
            Caller::Us => &self.asked,
            Caller::Peer => &self.served,
        }
    }

    pub(crate) fn call_started(&self, caller: Caller) {
        for meter in self.chain() {
            increment(&meter.tally(caller).started);
        }
    }

    pub(crate) fn call_ended(&self, caller: Caller, outcome: Outcome, took: Duration) {
        for meter in self.chain() {
            let tally = meter.tally(caller);
            if let Some(ended) = tally.ended.get(outcome as usize) {
                increment(ended);
            }
            if outcome.is_timed() {
                tally.latency.borrow_mut().record(took);
            }
        }
    }

    pub(crate) fn vat_opened(&self) {
        for meter in self.chain() {
            increment(&meter.opened);
            increment(&meter.open);
        }
    }

    /// `violated` where the peer's conduct is what ended it.
    pub(crate) fn vat_ended(&self, violated: bool) {
        for meter in self.chain() {
            meter.open.set(meter.open.get().saturating_sub(1));
            if violated {
                increment(&meter.violations);
            }
        }
    }

    pub(crate) fn statistics(&self, service: &str) -> ServiceStatistics {
        ServiceStatistics {
            service: service.to_owned(),
            vats_opened: self.opened.get(),
            vats_open: self.open.get(),
            violations: self.violations.get(),
            asked: self.asked.statistics(),
            served: self.served.statistics(),
        }
    }
}

impl Tally {
    fn statistics(&self) -> CallStatistics {
        CallStatistics {
            started: self.started.get(),
            ended: self.ended.each_ref().map(Cell::get),
            latency: self.latency.borrow().clone(),
        }
    }
}

/// Meters by the name of the service.
#[derive(Default)]
pub(crate) struct Meters {
    by_service: RefCell<BTreeMap<String, Rc<Meter>>>,
    parent: Option<Rc<Meters>>,
}

impl Meters {
    pub(crate) fn below(parent: Rc<Self>) -> Self {
        Self { by_service: RefCell::default(), parent: Some(parent) }
    }

    /// The meter of a service that this side offers: there are as many as it has registered.
    pub(crate) fn offered(&self, service: &str) -> Rc<Meter> {
        self.get(service, usize::MAX)
    }

    /// The meter of a service of the peer's, whose name anybody may have made up.
    pub(crate) fn used(&self, service: &str) -> Rc<Meter> {
        self.get(service, MAX_USED)
    }

    fn get(&self, service: &str, most: usize) -> Rc<Meter> {
        let mut meters = self.by_service.borrow_mut();
        if let Some(meter) = meters.get(service) {
            return meter.clone();
        }
        let name = if meters.len() < most { service } else { OTHERS };
        let parent = || self.parent.as_ref().map(|parent| parent.get(service, most));
        let new = || Rc::new(Meter { parent: parent(), ..Meter::default() });
        meters.entry(name.to_owned()).or_insert_with(new).clone()
    }

    pub(crate) fn statistics(&self) -> Vec<ServiceStatistics> {
        self.by_service.borrow().iter().map(|(service, meter)| meter.statistics(service)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_counts_is_counted_for_its_thread_as_well() {
        let thread = Rc::new(Meters::default());
        let sessions = [Meters::below(thread.clone()), Meters::below(thread.clone())];
        for session in &sessions {
            let meter = session.offered("probe");
            meter.vat_opened();
            meter.call_started(Caller::Peer);
            meter.call_ended(Caller::Peer, Outcome::Exception, Duration::from_millis(3));
        }
        sessions[0].offered("probe").vat_ended(true);
        drop(sessions);
        let [total] = &thread.statistics()[..] else { panic!() };
        assert_eq!((total.vats_opened, total.vats_open, total.violations), (2, 1, 1));
        assert_eq!((total.served.started, total.served.ended(Outcome::Exception)), (2, 2));
        assert_eq!((total.served.latency.count(), total.asked.started), (2, 0));
    }

    #[test]
    fn names_that_are_made_up_share_one_place_beyond_a_bound() {
        let thread = Rc::new(Meters::default());
        let session = Meters::below(thread.clone());
        for number in 0..1_000 {
            session.used(&number.to_string()).vat_opened();
        }
        for meters in [&session, &*thread] {
            let statistics = meters.statistics();
            assert_eq!(statistics.len(), MAX_USED + 1);
            assert_eq!(statistics.iter().map(|service| service.vats_opened).sum::<u64>(), 1_000);
        }
        assert_eq!(session.offered("late").statistics("late").vats_opened, 0, "what is offered has its own");
    }
}
