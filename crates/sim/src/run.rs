//! Runs of cases, and what is made of one that fails.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use vatmux_mux::HeapStorage;

use crate::case::{Attack, Case, Clock, Setting, Step};
use crate::fresh::NoHeap;
use crate::{hostile, world};

/// How many cases are tried to make a failing one shorter.
const SHRINK_TRIES: u32 = 4000;
/// Seeds that a thread takes at once.
const CHUNK: u64 = 64;

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run that broke it, where a seed gave it.
    pub seed: Option<u64>,
    /// What the oracle said.
    pub complaint: String,
    /// Where in the source it was said.
    pub place: String,
    /// The shortest part of the run that still breaks it in the same place.
    pub case: Case,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn trace<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, setting: &Setting, steps: &[T]) -> fmt::Result {
            writeln!(f, "{setting}")?;
            steps.iter().enumerate().try_for_each(|(number, step)| writeln!(f, "{number:>4}  {step:?}"))
        }
        match &self.case {
            Case::Honest(setting, steps) => trace(f, setting, steps)?,
            Case::Hostile(setting, steps) => trace(f, setting, steps)?,
        }
        let Self { place, complaint, .. } = self;
        match self.seed {
            Some(seed) => {
                writeln!(f, "seed {seed} failed at {place}: {complaint}")?;
                write!(f, "replay it with: cargo xtask sim --seed {seed}")
            }
            None => write!(f, "these steps failed at {place}: {complaint}"),
        }
    }
}

/// What the oracle said and where.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    pub(crate) text: String,
    pub(crate) place: String,
}

/// Runs the case of `seed` over each storage.
///
/// # Errors
/// The promise that was broken, with a shortened case.
pub fn run(seed: u64) -> Result<(), Box<Failure>> {
    judge(Case::new(seed), Some(seed))
}

/// Runs `case`, which anybody may have made, over each storage.
///
/// # Errors
/// The promise that was broken, with a shortened case.
pub fn replay(case: Case) -> Result<(), Box<Failure>> {
    judge(case, None)
}

fn judge(case: Case, seed: Option<u64>) -> Result<(), Box<Failure>> {
    run_case(&case).map_err(|complaint| {
        let (case, complaint) = shrink(case, complaint);
        Box::new(Failure { seed, complaint: complaint.text, place: complaint.place, case })
    })
}

/// Runs all `seeds` on as many threads as there are cores, until one fails.
///
/// # Errors
/// The first failure that was found.
pub fn run_all(seeds: Range<u64>) -> Result<(), Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let over = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let work = || {
        while !over.load(Ordering::Relaxed) {
            let first = next.fetch_add(CHUNK, Ordering::Relaxed);
            if first >= seeds.end {
                return;
            }
            for seed in first..seeds.end.min(first + CHUNK) {
                if let Err(found) = run(seed) {
                    over.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(found);
                    return;
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

fn run_case(case: &Case) -> Result<(), Complaint> {
    caught(|| {
        let (without_heap, on_the_heap, comparable) = match case {
            Case::Honest(setting, steps) => (
                world::run::<NoHeap>(setting, steps),
                world::run::<HeapStorage>(setting, steps),
                setting.clock == Clock::Ticks,
            ),
            Case::Hostile(setting, steps) => {
                (hostile::run::<NoHeap>(setting, steps), hostile::run::<HeapStorage>(setting, steps), true)
            }
        };
        assert!(!comparable || without_heap == on_the_heap, "the two storages do not do the same");
    })
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `claim`, and gives back the panic of an oracle or of the engine, unprinted.
pub(crate) fn caught(claim: impl FnOnce()) -> Result<(), Complaint> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                PLACE.set(info.location().map(ToString::to_string).unwrap_or_default());
            } else {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(claim));
    QUIET.set(false);
    outcome.map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_default();
        Complaint { text, place: PLACE.take() }
    })
}

/// Leaves out what the failure does not need.
fn shrink(case: Case, complaint: Complaint) -> (Case, Complaint) {
    match case {
        Case::Honest(setting, steps) => {
            let (steps, complaint) = shorten(steps, complaint, &|steps: &[Step]| {
                run_case(&Case::Honest(setting.clone(), steps.to_vec()))
            });
            (Case::Honest(setting, steps), complaint)
        }
        Case::Hostile(setting, steps) => {
            let (steps, complaint) = shorten(steps, complaint, &|steps: &[Attack]| {
                run_case(&Case::Hostile(setting.clone(), steps.to_vec()))
            });
            (Case::Hostile(setting, steps), complaint)
        }
    }
}

/// Takes out ever shorter stretches of steps for as long as the rest fails in the same place.
fn shorten<T: Clone>(
    mut steps: Vec<T>,
    mut complaint: Complaint,
    fails: &dyn Fn(&[T]) -> Result<(), Complaint>,
) -> (Vec<T>, Complaint) {
    let mut tries = 0;
    let mut stretch = steps.len().div_ceil(2);
    while stretch > 0 {
        let mut removed = false;
        let mut at = 0;
        while at < steps.len() && tries < SHRINK_TRIES {
            let rest = [&steps[..at], &steps[steps.len().min(at + stretch)..]].concat();
            tries += 1;
            match fails(&rest) {
                Err(same) if same.place == complaint.place => {
                    (steps, complaint, removed) = (rest, same, true);
                }
                _ => at += stretch,
            }
        }
        if !removed || tries >= SHRINK_TRIES {
            stretch /= 2;
        }
    }
    (steps, complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Choices, Random};

    #[test]
    fn a_failure_is_shown_by_the_steps_that_cause_it() {
        let complaint = Complaint { text: "both".to_owned(), place: "here".to_owned() };
        let fails = |steps: &[u32]| match (steps.contains(&17), steps.contains(&60)) {
            (true, true) => Err(complaint.clone()),
            (false, false) => Err(Complaint { place: "elsewhere".to_owned(), ..complaint.clone() }),
            _ => Ok(()),
        };
        let (steps, found) = shorten((0..260).collect(), complaint.clone(), &fails);
        assert_eq!(steps, [17, 60]);
        assert_eq!(found.place, "here");
    }

    #[test]
    fn a_panic_is_caught_with_its_place() {
        let complaint = caught(|| panic!("broken {}", 1)).expect_err("it panics");
        assert_eq!(complaint.text, "broken 1");
        assert!(complaint.place.contains("run.rs"));
        assert!(caught(|| ()).is_ok());
    }

    #[test]
    fn a_seed_gives_the_same_case_each_time() {
        assert_eq!(format!("{:?}", Case::new(7)), format!("{:?}", Case::new(7)));
        assert_ne!(format!("{:?}", Case::new(7)), format!("{:?}", Case::new(8)));
    }

    #[test]
    fn any_bytes_give_a_case_that_ends_with_them() {
        let mut random = Random::new(11);
        for length in (0..80).chain([4000, 100_000]) {
            let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let case = Case::from_bytes(&bytes);
            assert!(case.len() <= length.min(520), "{length} bytes gave {} steps", case.len());
            assert!(length < 100_000 || case.len() == 520);
            if let Err(failure) = replay(case) {
                panic!("{length} bytes: {failure}");
            }
        }
    }
}
