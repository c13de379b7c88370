//! Which reply answers which question.

use core::fmt;

use crate::{Deadline, Instant, MalformedNonce, MismatchBudget, Nonce};

/// The questions that await their replies, at most `N`, each with its deadline and what the caller wants back with the
/// reply.
///
/// - A question is answered once, before its deadline, by a reply with its [`Nonce`]. Every other reply is dropped, and the
///   [`RejectedReply`] says why.
/// - Replies that our own questions do not account for are counted, from one good reply to the next. Past the
///   [`MismatchBudget`] the window **closes**: it takes no question and no reply from then on, and gives up what it holds. One
///   late reply to each of the `N` questions that were over last is not counted: it is slow, not wrong.
/// - No reply makes it search or store more than it has: a reply costs at most `3 × N` comparisons, and the window's size is
///   fixed, `N` questions and `N` nonces of questions that are over.
///
/// A session has a window of its own, and the reply to an earlier session's question has no way into it: start each
/// window at the last one's [`next_nonce`](Self::next_nonce).
#[derive(Clone, Debug)]
pub struct Correlation<T, const N: usize> {
    questions: [Option<Question<T>>; N],
    /// The `N` questions that were over last; the oldest is overwritten.
    over: [Option<Over>; N],
    oldest: usize,
    first: Nonce,
    /// The nonce of the next question; `None` when they are used up.
    next: Option<Nonce>,
    latest: Instant,
    budget: MismatchBudget,
    mismatches: u32,
    closed: bool,
}

#[derive(Clone, Debug)]
struct Question<T> {
    nonce: Nonce,
    deadline: Deadline,
    /// A reply came after the deadline; there is no other for it to expect.
    answered_late: bool,
    context: T,
}

/// A question that does not await its reply any more.
#[derive(Clone, Copy, Debug)]
struct Over {
    nonce: Nonce,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// A reply came, in time or not.
    Answered,
    /// No reply came so far.
    Abandoned,
}

/// Why a question was not asked. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// As many questions as there is room for await their replies: ask again when one is over.
    Full {
        /// How many there is room for.
        capacity: usize,
    },
    /// The deadline has come before the question was asked.
    DeadlineHasCome,
    /// All nonces from the first on are used.
    NoncesUsedUp,
    /// Too many replies matched no question.
    Closed,
}

/// Why a reply was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a peer that sends replies to nothing wants to be noticed"]
pub enum RejectedReply {
    /// What should be the nonce is none.
    Malformed(MalformedNonce),
    /// Its question has not been asked, or not through this window.
    Unasked(Nonce),
    /// Its question was answered already.
    Duplicate(Nonce),
    /// Its question ran out of time or was given up, not long ago. The next reply to it is a duplicate.
    Late(Nonce),
    /// Its question was over so long ago that nothing is known of it any more.
    Stale(Nonce),
    /// Too many replies matched no question: with this one, or before.
    Closed,
}

/// Why a question is over without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Its deadline has come.
    Deadline,
    /// The window has closed.
    Closed,
}

impl<T, const N: usize> Correlation<T, N> {
    /// A window without questions. The first question gets the nonce `first`.
    #[must_use]
    pub const fn new(first: Nonce, budget: MismatchBudget) -> Self {
        const { assert!(N > 0, "a window without room could never ask") };
        Self {
            questions: [const { None }; N],
            over: [const { None }; N],
            oldest: 0,
            first,
            next: Some(first),
            latest: Instant::ORIGIN,
            budget,
            mismatches: 0,
            closed: false,
        }
    }

    /// Registers a question that is about to be sent, and gives it its nonce.
    pub fn ask(&mut self, context: T, deadline: Deadline, now: Instant) -> Result<Nonce, AskError> {
        let now = self.see(now);
        if self.closed {
            return Err(AskError::Closed);
        }
        if deadline.has_come(now) {
            return Err(AskError::DeadlineHasCome);
        }
        let nonce = self.next.ok_or(AskError::NoncesUsedUp)?;
        let place =
            self.questions.iter_mut().find(|place| place.is_none()).ok_or(AskError::Full { capacity: N })?;
        *place = Some(Question { nonce, deadline, answered_late: false, context });
        self.next = nonce.successor();
        Ok(nonce)
    }

    /// Takes the nonce of a reply as it arrived, and gives back what was registered with the question that it answers.
    pub fn reply_bytes(&mut self, nonce: &[u8], now: Instant) -> Result<T, RejectedReply> {
        match Nonce::try_from(nonce) {
            Ok(nonce) => self.reply(nonce, now),
            Err(malformed) => Err(self.reject(RejectedReply::Malformed(malformed))),
        }
    }

    /// Takes the nonce of a reply, and gives back what was registered with the question that it answers.
    ///
    /// A reply whose question's deadline has come is late, and the question stays for
    /// [`unanswered`](Self::unanswered) to give up.
    pub fn reply(&mut self, nonce: Nonce, now: Instant) -> Result<T, RejectedReply> {
        let now = self.see(now);
        if self.closed {
            return Err(RejectedReply::Closed);
        }
        let in_time =
            |question: &mut Question<T>| question.nonce == nonce && !question.deadline.has_come(now);
        if let Some(question) = self.questions.iter_mut().find_map(|place| place.take_if(in_time)) {
            self.conclude(nonce, How::Answered);
            self.mismatches = 0;
            return Ok(question.context);
        }
        if let Some(question) = self.questions.iter_mut().flatten().find(|question| question.nonce == nonce) {
            if core::mem::replace(&mut question.answered_late, true) {
                return Err(self.reject(RejectedReply::Duplicate(nonce)));
            }
            return Err(RejectedReply::Late(nonce));
        }
        if nonce < self.first || self.next.is_some_and(|next| nonce >= next) {
            return Err(self.reject(RejectedReply::Unasked(nonce)));
        }
        match self.over.iter_mut().flatten().find(|over| over.nonce == nonce) {
            None => Err(self.reject(RejectedReply::Stale(nonce))),
            Some(Over { how: How::Answered, .. }) => Err(self.reject(RejectedReply::Duplicate(nonce))),
            Some(over) => {
                over.how = How::Answered;
                Err(RejectedReply::Late(nonce))
            }
        }
    }

    /// Gives up a question, whose reply is not wanted any more. `None` where it is over already.
    pub fn cancel(&mut self, nonce: Nonce) -> Option<T> {
        let question = self.take(nonce)?;
        Some(self.abandon(question))
    }

    /// Gives up one question that will not be answered: its deadline has come, nearest first, or the window has closed.
    /// Drain it when [`next_deadline`](Self::next_deadline) has come and after a [`RejectedReply::Closed`].
    pub fn unanswered(&mut self, now: Instant) -> Option<(Nonce, T, Unanswered)> {
        let now = self.see(now);
        let waiting = self.questions.iter().flatten();
        let (deadline, nonce) = waiting.map(|question| (question.deadline, question.nonce)).min()?;
        let why = match (deadline.has_come(now), self.closed) {
            (true, _) => Unanswered::Deadline,
            (false, true) => Unanswered::Closed,
            (false, false) => return None,
        };
        let question = self.take(nonce)?;
        Some((nonce, self.abandon(question), why))
    }

    /// The nearest deadline of a question that awaits its reply.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.questions.iter().flatten().map(|question| question.deadline).min()
    }

    /// The nonce of the next question, with which the next session's window begins; `None` when they are used up.
    #[must_use]
    pub const fn next_nonce(&self) -> Option<Nonce> {
        self.next
    }

    /// How many questions await their replies.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.questions.iter().flatten().count()
    }

    /// Whether too many replies matched no question.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Time does not go back: the latest that was seen.
    fn see(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn take(&mut self, nonce: Nonce) -> Option<Question<T>> {
        self.questions.iter_mut().find_map(|place| place.take_if(|question| question.nonce == nonce))
    }

    fn abandon(&mut self, question: Question<T>) -> T {
        let how = if question.answered_late { How::Answered } else { How::Abandoned };
        self.conclude(question.nonce, how);
        question.context
    }

    /// Remembers a question that is over, in the place of the one that was over first.
    fn conclude(&mut self, nonce: Nonce, how: How) {
        if let Some(place) = self.over.get_mut(self.oldest) {
            *place = Some(Over { nonce, how });
        }
        self.oldest = (self.oldest + 1) % N;
    }

    /// Counts a reply that nothing accounts for; the one past the budget closes the window.
    fn reject(&mut self, rejected: RejectedReply) -> RejectedReply {
        self.mismatches = self.mismatches.saturating_add(1);
        self.closed |= self.mismatches > self.budget.get();
        if self.closed { RejectedReply::Closed } else { rejected }
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { capacity } => {
                write!(f, "{capacity} questions await their replies already: ask again when one is over")
            }
            Self::DeadlineHasCome => f.write_str("the question's deadline has come before it was asked"),
            Self::NoncesUsedUp => f.write_str("no nonces are left: begin a new session"),
            Self::Closed => f.write_str("too many replies matched no question: begin a new session"),
        }
    }
}

impl core::error::Error for AskError {}

impl fmt::Display for RejectedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "dropped a reply: {malformed}"),
            Self::Unasked(nonce) => write!(f, "dropped the reply {nonce}: nothing was asked by that number"),
            Self::Duplicate(nonce) => {
                write!(f, "dropped the reply {nonce}: its question was answered before")
            }
            Self::Late(nonce) => {
                write!(f, "dropped the reply {nonce}: its question was given up before it came")
            }
            Self::Stale(nonce) => write!(f, "dropped the reply {nonce}: its question was over long before"),
            Self::Closed => f.write_str("dropped a reply: too many have matched no question"),
        }
    }
}

impl core::error::Error for RejectedReply {}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "no reply came before the deadline",
            Self::Closed => "too many replies matched no question",
        })
    }
}
