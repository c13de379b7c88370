//! Counters of one service's vats.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::service::Method;
use crate::sight::{CallStatistics, Latency, MethodStatistics, Outcome, ServiceStatistics};

/// Services of its peer that a session counts by name. What it uses beyond is counted under [`OTHERS`].
const MAX_USED: usize = 64;

/// Stands for every service beyond [`MAX_USED`]. No stream has this name.
const OTHERS: &str = "(others)";

/// Methods of a service that are counted by name, 120 bytes each: 7.5 KiB at most for each service of a session, and of a thread.
/// Calls of those beyond are counted by the service alone, and so are calls of methods that no descriptor here knows: a peer can
/// name as many of them as it likes.
const MAX_METHODS: usize = 64;

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
    methods: RefCell<Vec<Named>>,
    parent: Option<Rc<Meter>>,
}

#[derive(Default)]
struct Tally {
    counts: Counts,
    latency: RefCell<Latency>,
}

#[derive(Default)]
struct Counts {
    started: Cell<u64>,
    ended: [Cell<u64>; Outcome::ALL.len()],
}

/// The calls of one method. How long they took would be 4 KiB more for each direction, and is left to the service.
struct Named {
    method: &'static Method,
    asked: Counts,
    served: Counts,
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

    /// `method` where its name is known.
    pub(crate) fn call_started(&self, caller: Caller, method: Option<&'static Method>) {
        for meter in self.chain() {
            increment(&meter.tally(caller).counts.started);
            if let Some(method) = method {
                meter.begin_counting(method);
                meter.with_named(method, caller, |counts| increment(&counts.started));
            }
        }
    }

    pub(crate) fn call_ended(
        &self,
        caller: Caller,
        method: Option<&'static Method>,
        outcome: Outcome,
        took: Duration,
    ) {
        for meter in self.chain() {
            let tally = meter.tally(caller);
            tally.counts.end(outcome);
            if outcome.is_timed() {
                tally.latency.borrow_mut().record(took);
            }
            if let Some(method) = method {
                meter.with_named(method, caller, |counts| counts.end(outcome));
            }
        }
    }

    /// Counts calls of the method by its name from now on, where there is room.
    fn begin_counting(&self, method: &'static Method) {
        let mut methods = self.methods.borrow_mut();
        if methods.len() < MAX_METHODS && !methods.iter().any(|named| named.is(method)) {
            methods.push(Named { method, asked: Counts::default(), served: Counts::default() });
        }
    }

    /// Counts a call by the name of its method, unless it is one beyond the bound.
    fn with_named(&self, method: &Method, caller: Caller, count: impl FnOnce(&Counts)) {
        let methods = self.methods.borrow();
        if let Some(named) = methods.iter().find(|named| named.is(method)) {
            count(match caller {
                Caller::Us => &named.asked,
                Caller::Peer => &named.served,
            });
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
        let methods = self.methods.borrow();
        let mut methods: Vec<_> = methods.iter().map(Named::statistics).collect();
        methods.sort_by(|one, other| one.method.cmp(&other.method));
        ServiceStatistics {
            service: service.to_owned(),
            vats_opened: self.opened.get(),
            vats_open: self.open.get(),
            violations: self.violations.get(),
            asked: self.asked.statistics(),
            served: self.served.statistics(),
            methods,
        }
    }
}

impl Tally {
    fn statistics(&self) -> CallStatistics {
        CallStatistics { latency: self.latency.borrow().clone(), ..self.counts.statistics() }
    }
}

impl Counts {
    fn end(&self, outcome: Outcome) {
        if let Some(ended) = self.ended.get(outcome as usize) {
            increment(ended);
        }
    }

    fn statistics(&self) -> CallStatistics {
        CallStatistics {
            started: self.started.get(),
            ended: self.ended.each_ref().map(Cell::get),
            latency: Latency::default(),
        }
    }
}

impl Named {
    /// A schema's constants may be in the program several times: it is the names that tell methods apart.
    fn is(&self, method: &Method) -> bool {
        self.method.ordinal == method.ordinal && self.method.interface == method.interface
    }

    fn statistics(&self) -> MethodStatistics {
        MethodStatistics {
            method: self.method.to_string(),
            asked: self.asked.statistics(),
            served: self.served.statistics(),
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
    use crate::service::Limit;

    #[test]
    fn what_a_session_counts_is_counted_for_its_thread_as_well() {
        let thread = Rc::new(Meters::default());
        let sessions = [Meters::below(thread.clone()), Meters::below(thread.clone())];
        for session in &sessions {
            let meter = session.offered("probe");
            meter.vat_opened();
            meter.call_started(Caller::Peer, None);
            meter.call_ended(Caller::Peer, None, Outcome::Exception, Duration::from_millis(3));
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
    /// As a schema's constants are.
    fn method(interface: &'static str, name: &'static str, ordinal: u16) -> &'static Method {
        Box::leak(Box::new(Method {
            name,
            interface,
            ordinal,
            deadline: None,
            idempotent: false,
            streaming: false,
            limit: Limit::NONE,
            params: "",
            results: "",
            docs: "",
        }))
    }

    #[test]
    fn calls_are_counted_by_the_names_of_their_methods_for_the_session_and_its_thread() {
        let thread = Rc::new(Meters::default());
        let [get, put] = [("get", 0), ("put", 1)].map(|(name, ordinal)| method("Store", name, ordinal));
        let session = Meters::below(thread.clone());
        let meter = session.offered("store");
        for (caller, called, outcome) in [
            (Caller::Peer, put, Some(Outcome::Ok)),
            (Caller::Peer, get, Some(Outcome::Ok)),
            (Caller::Peer, get, Some(Outcome::Deadline)),
            (Caller::Peer, get, None),
            (Caller::Us, get, Some(Outcome::Canceled)),
        ] {
            meter.call_started(caller, Some(called));
            if let Some(outcome) = outcome {
                meter.call_ended(caller, Some(called), outcome, Duration::ZERO);
            }
        }
        // The same method, from another copy of the schema's constants; and one that nobody knows.
        meter.call_started(Caller::Peer, Some(method("Store", "put", 1)));
        meter.call_started(Caller::Peer, None);
        for meters in [&session, &*thread] {
            let [service] = &meters.statistics()[..] else { panic!() };
            let [get, put] = &service.methods[..] else { panic!("{service:?}") };
            assert_eq!((get.method.as_str(), put.method.as_str()), ("Store.get", "Store.put"));
            assert_eq!((get.served.started, get.served.open(), put.served.started), (3, 1, 2));
            assert_eq!((get.served.ended(Outcome::Ok), get.served.ended(Outcome::Deadline)), (1, 1));
            assert_eq!((get.asked.started, get.asked.ended(Outcome::Canceled)), (1, 1));
            assert_eq!((put.asked.started, put.served.ended(Outcome::Ok)), (0, 1));
            assert_eq!((service.served.started, service.asked.started), (6, 1));
        }
    }

    #[test]
    fn methods_beyond_a_bound_are_counted_by_their_service_alone() {
        let session = Meters::below(Rc::default());
        let meter = session.used("large");
        let methods: Vec<_> = (0..1_000).map(|ordinal| method("Large", "method", ordinal)).collect();
        for method in methods.iter().chain(&methods) {
            meter.call_started(Caller::Us, Some(method));
            meter.call_ended(Caller::Us, Some(method), Outcome::Ok, Duration::ZERO);
        }
        let statistics = meter.statistics("large");
        assert_eq!((statistics.methods.len(), statistics.asked.started), (MAX_METHODS, 2_000));
        for method in &statistics.methods {
            assert_eq!((method.asked.started, method.asked.ended(Outcome::Ok)), (2, 2));
        }
        assert_eq!(size_of::<Named>(), 120, "as MAX_METHODS says");
    }
}
