//! Every wait ends, and says why: deadlines, budgets, bounded retries, and replies that find their questions.
//!
//! Pure like the other protocol cores: no heap, no I/O, no clock and no random numbers of its own. The caller brings the
//! time and the jitter; same inputs, same outputs.
//!
//! What it promises:
//!
//! - **A retry ends**, by success, by [`Deadline`], by [`AttemptBudget`], by [`MismatchBudget`], or because an attempt was
//!   rejected for good. All of the bounds always hold; none can be left out. The [`Outcome`] says which it was, and must
//!   be looked at.
//! - **Nothing is tried again at once.** Between attempts at the same thing there is a [`Backoff`], which grows to a bound
//!   and is jittered.
//! - **A reply is taken once, for the question it answers, in time.** A [`Correlation`] drops every other one by name, and
//!   past its budget of those it fails closed.
//! - **What is over stays over.** Bounds that ran out do not come back, also not when time seems to go backwards.
//!
//! | to … | take | it is driven by |
//! |---|---|---|
//! | try again until it works | [`retry()`] | its caller's `await`, through a [`Pace`] |
//! | the same without a future | [`Retry`] | asking for the [`Next`] step |
//! | stay in touch with a peer | [`Redial`] | asking for the [`Next`] dial |
//! | match replies to questions | [`Correlation`] | questions, replies and the nearest deadline |
//!
//! Memory: each is a plain value of fixed size. Without correlation none is larger than 256 bytes; a window of `N`
//! questions is `N × (32 bytes + context) + N × 24 bytes`, and a few words.
//!
//! ```
//! use core::time::Duration;
//! use vatmux_liveness::{Correlation, Deadline, Instant, MismatchBudget, Nonce, RejectedReply};
//!
//! let now = Instant::ORIGIN;
//! let mut window = Correlation::<&str, 4>::new(Nonce::new(1), MismatchBudget::new(8));
//! let nonce = window.ask("the time of day", Deadline::after(now, Duration::from_secs(1)), now)?;
//!
//! assert_eq!(window.reply(nonce, now), Ok("the time of day"));
//! assert_eq!(window.reply(nonce, now), Err(RejectedReply::Duplicate(nonce)));
//! # Ok::<(), vatmux_liveness::AskError>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod backoff;
mod budget;
mod correlation;
mod nonce;
mod redial;
mod retry;
mod run;
mod time;

pub use backoff::{Backoff, InvalidBackoff, Jitter};
pub use budget::{AttemptBudget, MismatchBudget};
pub use correlation::{AskError, Correlation, RejectedReply, Unanswered};
pub use nonce::{MalformedNonce, Nonce};
pub use redial::{Epoch, Redial, RedialLimits};
pub use retry::{Attempt, Exhausted, Next, Retry, RetryLimits};
pub use run::{Attempted, Outcome, Pace, retry};
pub use time::{Deadline, Instant};
