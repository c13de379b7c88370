//! Bytes without a multiplexer, and what is done with anything that reads and writes like a stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::compat::TokioAsyncReadCompatExt;
use vatmux_driver::virtual_time;
use vatmux_mux::Output;

use super::meter::Lane;
use super::{ECHO, PIPE_BYTES, WRITE, Work, not_done, warm_up};
use crate::payload;
use crate::series::Series;

/// Over tokio's pipe.
pub(crate) async fn on_tokio(work: Work) -> Result<f64> {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (mut near, mut far) = (near.compat(), far.compat());
    if let Some(meter) = work.meter()?.map(Arc::new) {
        let blocks = meter.blocks;
        tokio::spawn(async move { send(&mut near, blocks).await });
        receive(&mut far, Lane::new(&meter)).await?;
        return meter.measured();
    }
    let Work::Echo { rounds } = work else { return not_done(work) };
    tokio::spawn(async move { answer(&mut far).await });
    ping(&mut near, rounds).await
}

/// Over the driver's pipe.
pub(crate) fn on_driver(work: Work) -> Result<f64> {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (mut near, mut far) = vatmux_driver::pipe(PIPE_BYTES);
    driver.drive_until(async {
        if let Some(meter) = work.meter()?.map(Arc::new) {
            let blocks = meter.blocks;
            // A sender that fails hangs up, which the receiver reports.
            handle.spawn(async move { drop(send(&mut near, blocks).await) });
            receive(&mut far, Lane::new(&meter)).await?;
            return meter.measured();
        }
        let Work::Echo { rounds } = work else { return not_done(work) };
        handle.spawn(async move { drop(answer(&mut far).await) });
        ping(&mut near, rounds).await
    })?
}

/// Over the driver's pipe, without a copy of the application's own: what the pipe itself costs.
pub(crate) fn lent(work: Work) -> Result<f64> {
    let Some(meter) = work.meter()?.map(Arc::new) else { return not_done(work) };
    let (mut driver, _) = virtual_time::driver();
    let (mut near, mut far) = vatmux_driver::pipe(PIPE_BYTES);
    let (block, blocks) = (block(), meter.blocks);
    driver.handle().spawn(async move {
        let (mut at, end) = (0, blocks * WRITE);
        while at < end {
            let put = poll_fn(|cx| {
                far.poll_put(cx, |room| {
                    let length = room.room().min(WRITE - at % WRITE);
                    room.put(&block[at % WRITE..][..length]);
                })
            });
            // A receiver that fails hangs up, which it reports itself.
            let Ok(written) = put.await else { return };
            at += written;
        }
    });
    let mut lane = Lane::new(&meter);
    driver.drive_until(poll_fn(|cx| {
        loop {
            let mut hung_up = false;
            ready!(near.poll_take(cx, |bytes| {
                hung_up = bytes.is_empty();
                lane.take(bytes);
                bytes.len()
            }));
            if hung_up {
                return Poll::Ready(());
            }
        }
    }))?;
    lane.end()?;
    meter.measured()
}

/// The block that is written over and over.
pub(crate) fn block() -> Vec<u8> {
    let mut block = vec![0; WRITE];
    payload::fill(&mut block);
    block
}

/// Writes `blocks` blocks and closes the direction.
pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), blocks: usize) -> Result<()> {
    let block = block();
    for _ in 0..blocks {
        stream.write_all(&block).await?;
    }
    Ok(stream.close().await?)
}

/// Reads to the end.
pub(crate) async fn receive(stream: &mut (impl AsyncRead + Unpin), mut lane: Lane) -> Result<()> {
    let mut buffer = vec![0; 2 * WRITE];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return lane.end(),
            read => lane.take(&buffer[..read]),
        }
    }
}

/// Answers echoes until the other end hangs up.
pub(crate) async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
    let mut buffer = [0; ECHO];
    loop {
        stream.read_exact(&mut buffer).await?;
        stream.write_all(&buffer).await?;
        stream.flush().await?;
    }
}

/// Sends echoes; the median in microseconds.
pub(crate) async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), rounds: usize) -> Result<f64> {
    let mut buffer = [7; ECHO];
    let mut times = Times::new(rounds);
    while !times.are_complete() {
        let sent = Instant::now();
        stream.write_all(&buffer).await?;
        stream.flush().await?;
        stream.read_exact(&mut buffer).await?;
        times.push(sent);
    }
    times.median()
}

/// The times of round trips, without those that warm up.
pub(crate) struct Times {
    microseconds: Vec<f64>,
    rounds: usize,
}

impl Times {
    pub(crate) fn new(rounds: usize) -> Self {
        Self { microseconds: Vec::with_capacity(rounds), rounds }
    }

    /// A round that began at `sent` is complete.
    pub(crate) fn push(&mut self, sent: Instant) {
        self.microseconds.push(sent.elapsed().as_secs_f64() * 1e6);
    }

    pub(crate) fn are_complete(&self) -> bool {
        self.microseconds.len() == self.rounds
    }

    pub(crate) fn median(&self) -> Result<f64> {
        let measured = self.microseconds.iter().skip(warm_up(self.rounds)).copied();
        measured.collect::<Series>().median().context("no echo was measured")
    }
}

/// Opening and closing, timed without those that warm up.
pub(crate) struct Rate {
    left: usize,
    measured: usize,
    began: Instant,
}

impl Rate {
    pub(crate) fn new(count: usize) -> Self {
        Self { left: count, measured: count - warm_up(count), began: Instant::now() }
    }

    /// Whether there is another one to do.
    pub(crate) fn next(&mut self) -> bool {
        if self.left == self.measured {
            self.began = Instant::now();
        }
        let left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        left
    }

    /// Thousands per second.
    pub(crate) fn measured(&self) -> f64 {
        self.measured as f64 / self.began.elapsed().as_secs_f64() / 1e3
    }
}
