//! What holds for any inputs. A failure names the seed that shows it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use vatmux_liveness::{
    AskError, AttemptBudget, Backoff, Correlation, Deadline, Exhausted, Instant, MismatchBudget, Next, Nonce,
    Redial, RedialLimits, RejectedReply, Retry, RetryLimits, Unanswered,
};

use crate::support::{Random, at, backoff, milliseconds};

/// Checks `property` for many seeds, and names the first for which it does not hold.
fn for_each_seed(property: impl Fn(&mut Random)) {
    for seed in 0..2_000 {
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| property(&mut Random(seed)))) {
            println!("seed {seed}");
            resume_unwind(failure);
        }
    }
}

fn some_limits(random: &mut Random) -> RetryLimits {
    let first = 1 + random.below(200);
    RetryLimits {
        within: milliseconds(random.below(5_000)),
        attempts: AttemptBudget::new(1 + random.below(20) as u32).unwrap(),
        mismatches: MismatchBudget::new(random.below(5) as u32),
        backoff: if random.below(8) == 0 {
            Backoff::NONE
        } else {
            backoff(first, first + random.below(2_000))
        },
    }
}

#[test]
fn a_retry_ends_within_all_of_its_bounds() {
    for_each_seed(|random| {
        let limits = some_limits(random);
        let start = at(random.below(1_000));
        let deadline = Deadline::after(start, limits.within);
        let mut retry = Retry::new(limits, start);
        let (mut now, mut latest) = (start, start);
        let (mut attempts, mut mismatches) = (0, 0);
        let most = limits.attempts.get().get();
        for _ in 0..=most {
            let jitter = random.jitter();
            let least = limits.backoff.pause(attempts, vatmux_liveness::Jitter::LEAST);
            let longest = limits.backoff.pause(attempts, vatmux_liveness::Jitter::MOST);
            match retry.next(now, jitter) {
                Next::At(attempt) => {
                    attempts += 1;
                    assert_eq!(attempt.number, attempts);
                    assert_eq!(attempt.left.get(), most - attempts + 1);
                    assert!(attempt.due >= latest + least && attempt.due <= latest + longest);
                    assert!(!deadline.has_come(attempt.due) && attempt.deadline == deadline);
                    assert!(mismatches <= limits.mismatches.get());
                    now = attempt.due;
                }
                Next::GiveUp(exhausted) => {
                    match exhausted {
                        Exhausted::Deadline { .. } => assert!(deadline.has_come(latest + longest)),
                        Exhausted::Attempts { .. } => assert_eq!(attempts, most),
                        Exhausted::Mismatches { .. } => assert!(mismatches > limits.mismatches.get()),
                    }
                    assert_eq!(retry.next(now, jitter), Next::GiveUp(exhausted));
                    return;
                }
            }
            if random.below(3) == 0 {
                mismatches += 1;
                retry.mismatch();
            }
            // The attempt takes a while, or the clock goes back.
            now = match random.below(4) {
                0 => at(random.below(1_000)),
                _ => now + milliseconds(random.below(300)),
            };
            latest = latest.max(now);
        }
        panic!("it never gave up");
    });
}

#[test]
fn the_same_inputs_give_the_same_retry() {
    let run = |seed: u64| {
        let mut random = Random(seed);
        let mut retry = Retry::new(some_limits(&mut random), at(0));
        let steps = (0..30).map(|_| retry.next(at(random.below(5_000)), random.jitter()));
        steps.collect::<Vec<_>>()
    };
    for seed in 0..200 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn a_pause_lies_between_half_and_all_of_its_doubling() {
    for_each_seed(|random| {
        let first = 1 + random.below(1 << 40);
        let longest = first + random.below(1 << 50);
        let backoff = Backoff::new(Duration::from_nanos(first), Duration::from_nanos(longest)).unwrap();
        let failures = 1 + random.below(80) as u32;
        let most = u128::from(longest).min(u128::from(first) << (failures - 1).min(64));
        let pause = backoff.pause(failures, random.jitter()).as_nanos();
        assert!(most.div_ceil(2) <= pause && pause <= most);
    });
}

#[test]
fn a_redial_never_dials_more_often_than_its_budget_between_settled_sessions() {
    for_each_seed(|random| {
        let outage = some_limits(random);
        let settled_after = milliseconds(1 + random.below(1_000));
        let mut redial = Redial::new(RedialLimits { outage, settled_after }, at(0));
        let mut now = at(0);
        let mut dials = 0;
        for _ in 0..200 {
            match redial.next(now, random.jitter()) {
                None => panic!("there is no session"),
                Some(Next::GiveUp(_)) => {
                    assert!(redial.start_over(now));
                    dials = 0;
                }
                Some(Next::At(attempt)) => {
                    dials += 1;
                    assert!(dials <= outage.attempts.get().get());
                    now = now.max(attempt.due) + milliseconds(random.below(50));
                    if random.below(2) == 0 {
                        let epoch = redial.connected(now);
                        let lasted = milliseconds(random.below(1_200));
                        now = now + lasted;
                        assert!(redial.lost(epoch, now) && !redial.is_current(epoch));
                        if lasted >= settled_after {
                            dials = 0;
                        }
                    }
                }
            }
        }
    });
}

/// What a window should do, in plain words and with all the memory it likes.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<u64, (Instant, bool)>,
    /// Questions that are over, in order, and whether a reply has come.
    over: Vec<(u64, bool)>,
    next: u64,
    mismatches: u32,
    closed: bool,
}

const ROOM: usize = 4;

impl Model {
    fn reply(&mut self, number: u64, now: Instant, budget: u32) -> Result<u64, RejectedReply> {
        let nonce = Nonce::new(number);
        if self.closed {
            return Err(RejectedReply::Closed);
        }
        let remembered = self.over.len().saturating_sub(ROOM);
        let rejected = if let Some((deadline, answered)) = self.waiting.get_mut(&number) {
            if now < *deadline {
                self.waiting.remove(&number);
                self.over.push((number, true));
                self.mismatches = 0;
                return Ok(number);
            }
            if !std::mem::replace(answered, true) {
                return Err(RejectedReply::Late(nonce));
            }
            RejectedReply::Duplicate(nonce)
        } else if let Some((_, answered)) = self.over[remembered..].iter_mut().find(|over| over.0 == number) {
            if !std::mem::replace(answered, true) {
                return Err(RejectedReply::Late(nonce));
            }
            RejectedReply::Duplicate(nonce)
        } else if number < self.next {
            RejectedReply::Stale(nonce)
        } else {
            RejectedReply::Unasked(nonce)
        };
        self.mismatches += 1;
        self.closed = self.mismatches > budget;
        Err(if self.closed { RejectedReply::Closed } else { rejected })
    }

    fn unanswered(&mut self, now: Instant) -> Option<(Nonce, u64, Unanswered)> {
        let (&number, &(deadline, answered)) =
            self.waiting.iter().min_by_key(|(number, (deadline, _))| (*deadline, **number))?;
        let why = if now >= deadline {
            Unanswered::Deadline
        } else if self.closed {
            Unanswered::Closed
        } else {
            return None;
        };
        self.waiting.remove(&number);
        self.over.push((number, answered));
        Some((Nonce::new(number), number, why))
    }
}

#[test]
fn a_window_does_what_the_model_does() {
    for_each_seed(|random| {
        let budget = random.below(12) as u32;
        let mut window = Correlation::<u64, ROOM>::new(Nonce::new(0), MismatchBudget::new(budget));
        let mut model = Model::default();
        let mut now = at(0);
        for _ in 0..300 {
            now = now + milliseconds(random.below(3));
            match random.below(8) {
                0..3 => {
                    let deadline = now + milliseconds(random.below(20));
                    let expected = if model.closed {
                        Err(AskError::Closed)
                    } else if deadline <= now {
                        Err(AskError::DeadlineHasCome)
                    } else if model.waiting.len() == ROOM {
                        Err(AskError::Full { capacity: ROOM })
                    } else {
                        model.waiting.insert(model.next, (deadline, false));
                        model.next += 1;
                        Ok(Nonce::new(model.next - 1))
                    };
                    let context = model.next.saturating_sub(1);
                    assert_eq!(window.ask(context, Deadline::at(deadline), now), expected);
                }
                3..7 => {
                    let number = (model.next + 1).saturating_sub(random.below(10));
                    assert_eq!(window.reply(Nonce::new(number), now), model.reply(number, now, budget));
                }
                _ => assert_eq!(window.unanswered(now), model.unanswered(now)),
            }
            assert_eq!(window.waiting(), model.waiting.len());
            assert_eq!(window.is_closed(), model.closed);
            let nearest = model.waiting.values().map(|(deadline, _)| Deadline::at(*deadline)).min();
            assert_eq!(window.next_deadline(), nearest);
        }
    });
}
