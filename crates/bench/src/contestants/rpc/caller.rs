//! The calls and their times, the same whoever makes them.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::stream::{FuturesUnordered, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::series::Series;
use crate::side::Bench;
use crate::transfer::Connected;

/// How many calls.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// One after the other.
    pub(crate) sequential: u64,
    /// Overall, where many are under way at a time.
    pub(crate) concurrent: u64,
    /// How many are under way then.
    pub(crate) in_flight: u64,
}

/// A caller says what its calls took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Called {
    /// What a call takes that nothing got in the way of.
    pub(crate) p10_seconds: f64,
    pub(crate) p50_seconds: f64,
    pub(crate) p99_seconds: f64,
    /// All of them together.
    pub(crate) seconds: f64,
}

/// Makes the calls by `call`, which asks for the number after the one that it is given. Every answer is checked.
pub(super) async fn increments(
    bench: &Bench,
    dialed: Instant,
    calls: Calls,
    call: impl AsyncFn(u64) -> Result<u64>,
) -> Result<()> {
    let checked = async |value| {
        let answer = call(value).await?;
        ensure!(answer == value + 1, "{answer} was the answer to {value}");
        Ok(())
    };
    measure(bench, dialed, calls, checked).await
}

/// Makes the calls by `call`, which is given their number.
///
/// The connection is made by now; the first call, which the caller's machinery may need to get going, is not timed.
pub(crate) async fn measure(
    bench: &Bench,
    dialed: Instant,
    calls: Calls,
    call: impl AsyncFn(u64) -> Result<()>,
) -> Result<()> {
    call(0).await?;
    bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;

    bench.wait_for_go()?;
    let began = Instant::now();
    let mut latencies = Series::default();
    for value in 0..calls.sequential {
        let sent = Instant::now();
        call(value).await?;
        latencies.push(sent.elapsed().as_secs_f64());
    }
    bench.say(&Called::of(&latencies, began)?)?;

    bench.wait_for_go()?;
    let began = Instant::now();
    let latencies = Cell::new(Series::default());
    let next = Cell::new(0);
    let caller = async || {
        while next.get() < calls.concurrent {
            let value = next.replace(next.get() + 1);
            let sent = Instant::now();
            call(value).await?;
            let mut taken = latencies.take();
            taken.push(sent.elapsed().as_secs_f64());
            latencies.set(taken);
        }
        anyhow::Ok(())
    };
    let callers: FuturesUnordered<_> = (0..calls.in_flight).map(|_| caller()).collect();
    callers.try_collect::<()>().await?;
    bench.say(&Called::of(&latencies.take(), began)?)
}

impl Called {
    /// What calls took of which the first began then.
    pub(crate) fn of(latencies: &Series, began: Instant) -> Result<Self> {
        let seconds = began.elapsed().as_secs_f64();
        let percentile = |percent| latencies.percentile(percent).context("there were no calls");
        Ok(Self {
            p10_seconds: percentile(10)?,
            p50_seconds: percentile(50)?,
            p99_seconds: percentile(99)?,
            seconds,
        })
    }
}
