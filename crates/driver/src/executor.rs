//! The loop itself, and the handle through which tasks reach it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, LocalBoxFuture, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use crate::buffers::Buffers;
use crate::timers::{Elapsed, Sleep, Timers};
use crate::wakeups::{MAIN, TASKS, Unpark, Wakeups};
use crate::{Clock, Instant};

/// Passes over the flagged tasks before the loop looks at the outside world again.
///
/// While tasks keep each other busy the loop would never park, and a park is also what collects the readiness
/// of links. After this many passes, or this long, it parks without blocking.
const PASSES_BETWEEN_PARKS: u32 = 16;

/// How long busy tasks may keep the loop from looking at its links: what an urgent call waits for at least,
/// beside a bulk transfer on the same thread. A look costs one to two microseconds on a host.
const BUSY_BETWEEN_PARKS: Duration = Duration::from_micros(40);

/// Blocks the thread until something outside wants attention: the loop's last resort, never its pacemaker.
pub trait Park {
    /// Blocks until something became ready, `deadline` came or somebody called [`Unpark::unpark`], and wakes the wakers
    /// of what is ready, or leaves that to [`wake_ready`](Self::wake_ready). A deadline that has passed means: look, do
    /// not block. None means no deadline.
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()>;

    /// Wakes the wakers of what the last park found. The thread is not parked any more by then: those that are woken
    /// here do not unpark it, which may cost a system call each.
    fn wake_ready(&mut self) {}

    /// What ends a park from elsewhere.
    fn unpark(&self) -> Arc<dyn Unpark>;
}

/// The poll loop of one thread.
///
/// Tasks are futures that need not be `Send`. [`drive_until`](Self::drive_until) runs them while it waits for
/// one future of the caller's; between two calls nothing runs.
pub struct Driver {
    handle: Handle,
    tasks: FuturesUnordered<LocalBoxFuture<'static, ()>>,
    park: Box<dyn Park>,
    wakeups: Arc<Wakeups>,
}

impl Driver {
    /// A loop that tells the time by `clock` and blocks by `park`.
    #[must_use]
    pub fn new(clock: impl Clock + 'static, park: impl Park + 'static) -> Self {
        let wakeups = Wakeups::new(park.unpark());
        let shared = Shared {
            clock: Box::new(clock),
            timers: RefCell::default(),
            spawned: RefCell::new(Some(Vec::new())),
            wakeups: wakeups.clone(),
            buffers: Buffers::default(),
            pass_began: Cell::new(Instant::ORIGIN),
            rescues: Cell::new(0),
            looks: Cell::new(0),
            contains_panics: Cell::new(false),
            panics: Cell::new(0),
            on_panic: RefCell::default(),
        };
        Self {
            handle: Handle(Rc::new(shared)),
            tasks: FuturesUnordered::new(),
            park: Box::new(park),
            wakeups,
        }
    }

    /// Has a task that panics end alone, instead of taking the thread with it and whoever else it serves. The panic is
    /// told on standard error as always, and counted ([`Handle::panics`]).
    #[must_use]
    pub fn contain_panics(self) -> Self {
        self.handle.0.contains_panics.set(true);
        self
    }

    /// How many tasks there are: spawned, and not ended yet.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len() + self.handle.0.spawned.borrow().as_ref().map_or(0, Vec::len)
    }

    /// Has `listener` hear the message of each panic that is contained. It may spawn, and must not panic itself.
    #[must_use]
    pub fn on_panic(self, listener: impl Fn(&str) + 'static) -> Self {
        *self.handle.0.on_panic.borrow_mut() = Some(Rc::new(listener));
        self
    }

    /// What tasks use: spawn, sleep, the time.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs the loop until `future` is done, and gives its output.
    ///
    /// Fails where parking fails, which on a host means that the operating system took the poller away, and
    /// under [virtual time](crate::virtual_time) that everything waits for something that cannot happen.
    pub fn drive_until<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        let main_waker = self.wakeups.waker(MAIN);
        let task_waker = self.wakeups.waker(TASKS);
        // Whatever was flagged between two drives, and everything once: this is a new pair of wakers.
        let mut flags = MAIN | TASKS;
        let mut passes = 0;
        let mut parked_at = self.handle.begin_pass();
        loop {
            if flags & MAIN != 0
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&main_waker))
            {
                return Ok(output);
            }
            if flags & TASKS != 0 {
                self.poll_tasks(&mut Context::from_waker(&task_waker));
            }
            passes += 1;
            if !self.wakeups.any()
                || passes >= PASSES_BETWEEN_PARKS
                || self.handle.begin_pass() >= parked_at + BUSY_BETWEEN_PARKS
            {
                // A deadline that has come by now does not let it block.
                self.park()?;
                passes = 0;
                parked_at = self.handle.begin_pass();
                self.fire_timers(parked_at);
            }
            flags = self.wakeups.take();
        }
    }

    fn poll_tasks(&mut self, cx: &mut Context<'_>) {
        self.handle.adopt_spawned(&mut self.tasks);
        while let Poll::Ready(Some(())) = self.tasks.poll_next_unpin(cx) {
            self.handle.adopt_spawned(&mut self.tasks);
        }
        // What was spawned since has set the flag: the next pass adopts it.
    }

    fn fire_timers(&mut self, now: Instant) {
        loop {
            let due = self.handle.timers().borrow_mut().take_due(now);
            match due {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    fn park(&mut self) -> io::Result<()> {
        let parked = if self.wakeups.prepare_to_park() {
            let nearest = self.handle.timers().borrow().nearest();
            let parked = self.park.park(nearest);
            self.wakeups.parked_no_more();
            parked
        } else {
            self.park.park(Some(Instant::ORIGIN))
        };
        parked?;
        self.park.wake_ready();
        self.handle.0.looks.set(self.handle.0.looks.get() + 1);
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Tasks hold handles: what was spawned and never ran would keep itself alive for ever.
        let never_ran = self.handle.0.spawned.borrow_mut().take();
        // Their destructors may spawn: nothing is borrowed here.
        drop(never_ran);
    }
}

/// A task's way to its driver. Cheap to clone; it stays on its thread.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

struct Shared {
    clock: Box<dyn Clock>,
    timers: RefCell<Timers>,
    /// Spawned, not yet in the task set; None once the driver is gone.
    spawned: RefCell<Option<Vec<LocalBoxFuture<'static, ()>>>>,
    wakeups: Arc<Wakeups>,
    buffers: Buffers,
    pass_began: Cell<Instant>,
    rescues: Cell<u64>,
    /// How often the loop has looked at its links.
    looks: Cell<u64>,
    contains_panics: Cell<bool>,
    panics: Cell<u64>,
    on_panic: RefCell<Option<OnPanic>>,
}

/// Hears what a task that panicked said.
type OnPanic = Rc<dyn Fn(&str)>;

impl Handle {
    /// The present, by the driver's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// When the loop began its present pass over the tasks: the present, as far as it was known then.
    ///
    /// To read a clock takes as long as much of what is done in a pass. This costs nothing, and is late by what the tasks
    /// of this pass have taken so far. It is for whoever asks whether a moment has come that a timer wakes them at;
    /// what is to last for some time begins [`now`](Self::now).
    #[must_use]
    pub fn pass_began(&self) -> Instant {
        self.0.pass_began.get()
    }

    fn begin_pass(&self) -> Instant {
        let now = self.now();
        self.0.pass_began.set(now);
        now
    }

    /// Runs `task` whenever the driver is driven. It ends with itself or with the driver, which drops it.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let task: LocalBoxFuture<'static, ()> = if self.0.contains_panics.get() {
            let handle = self.clone();
            // What a task shared with others is plain data behind cells; no unsafe code rests on it.
            Box::pin(AssertUnwindSafe(task).catch_unwind().map(move |outcome| {
                if let Err(payload) = outcome {
                    handle.panicked(&*payload);
                }
            }))
        } else {
            Box::pin(task)
        };
        if let Some(spawned) = self.0.spawned.borrow_mut().as_mut() {
            spawned.push(task);
            self.0.wakeups.set(TASKS);
        }
    }

    /// A future that ends at `deadline`.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(self.clone(), deadline)
    }

    /// A future that ends after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Waits for `future`, but no longer than `duration`; past it the future is dropped.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Result<F::Output, Elapsed> {
        match select(pin!(future), self.sleep(duration)).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(((), _)) => Err(Elapsed { after: duration }),
        }
    }

    /// Wake-ups that were missed and that a keepalive tick made good. Anything but zero is a bug in a link.
    #[must_use]
    pub fn rescues(&self) -> u64 {
        self.0.rescues.get()
    }

    /// Tasks that panicked, where [`Driver::contain_panics`] was asked for. Anything but zero is a defect in a task.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0.panics.get()
    }

    fn panicked(&self, payload: &(dyn Any + Send)) {
        self.0.panics.set(self.0.panics.get() + 1);
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let listener = self.0.on_panic.borrow().clone();
        if let Some(listener) = listener {
            listener(message.unwrap_or("(what it said is no text)"));
        }
    }

    pub(crate) fn looks(&self) -> u64 {
        self.0.looks.get()
    }

    pub(crate) fn count_rescue(&self) {
        self.0.rescues.set(self.0.rescues.get() + 1);
    }

    pub(crate) fn timers(&self) -> &RefCell<Timers> {
        &self.0.timers
    }

    pub(crate) fn buffers(&self) -> &Buffers {
        &self.0.buffers
    }

    fn adopt_spawned(&self, tasks: &mut FuturesUnordered<LocalBoxFuture<'static, ()>>) {
        if let Some(spawned) = self.0.spawned.borrow_mut().as_mut() {
            tasks.extend(spawned.drain(..));
        }
    }
}

/// Lets every other task that is ready run before the caller goes on.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
