//! h2: a stream is a request whose body is sent, and a response.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use ::bytes::Bytes;
use ::h2::client::{self, ResponseFuture, SendRequest};
use ::h2::server::{self, SendResponse};
use ::h2::{RecvStream, SendStream};
use anyhow::{Context as _, Result, ensure};
use futures::StreamExt;
use futures::channel::mpsc::{self, UnboundedReceiver};
use http::{Request, Response};
use tokio::io::DuplexStream;

use super::bytes::{Rate, Times, block};
use super::meter::Lane;
use super::{ECHO, PIPE_BYTES, WRITE, Work, not_done};
use crate::HEAP;

/// How far a sender may be ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Windows {
    /// 65,535 bytes, in frames of 16 KiB.
    Default,
    /// 1 MiB, in frames as long as the writes.
    OneMib,
}

/// A stream as it arrives.
type Arrived = (Request<RecvStream>, SendResponse<Bytes>);

pub(crate) async fn measure(work: Work, windows: Windows) -> Result<f64> {
    if let Work::IdleSessions { sessions } = work {
        return idle_sessions(sessions, windows).await;
    }
    let (near, mut incoming) = connect(tokio::io::duplex(PIPE_BYTES), windows).await?;
    if let Some(meter) = work.meter()?.map(Arc::new) {
        let block = Bytes::from(block());
        for _ in 0..meter.streams {
            let (response, stream) = open(&near).await?;
            tokio::spawn(send(stream, response, block.clone(), meter.blocks));
        }
        let mut receivers = Vec::new();
        for _ in 0..meter.streams {
            let arrived = incoming.next().await.context("a stream did not come")?;
            receivers.push(tokio::spawn(receive(arrived, Lane::new(&meter))));
        }
        for receiver in receivers {
            receiver.await??;
        }
        return meter.measured();
    }
    match work {
        Work::Echo { rounds } => {
            tokio::spawn(answer(incoming));
            ping(&near, rounds).await
        }
        Work::OpenClose { streams } => {
            tokio::spawn(close_all(incoming));
            open_and_close(&near, streams).await
        }
        Work::IdleStreams { streams } => idle_streams(&near, incoming, streams).await,
        _ => not_done(work),
    }
}

/// Both ends of a session, moved by a task each, and the streams that arrive at the far one.
async fn connect(
    (near, far): (DuplexStream, DuplexStream),
    windows: Windows,
) -> Result<(SendRequest<Bytes>, UnboundedReceiver<Arrived>)> {
    let (mut client, mut server) = (client::Builder::new(), server::Builder::new());
    if windows == Windows::OneMib {
        let (bytes, frame) = (1 << 20, WRITE as u32);
        client.initial_window_size(bytes).initial_connection_window_size(bytes).max_frame_size(frame);
        server.initial_window_size(bytes).initial_connection_window_size(bytes).max_frame_size(frame);
    }
    let (sender, incoming) = mpsc::unbounded();
    tokio::spawn(async move {
        let mut connection = server.handshake::<_, Bytes>(far).await?;
        while let Some(arrived) = connection.accept().await {
            // Nobody takes streams any more when the run is over.
            let _ = sender.unbounded_send(arrived?);
        }
        anyhow::Ok(())
    });
    let (near, connection) = client.handshake(near).await?;
    tokio::spawn(connection);
    Ok((near, incoming))
}

async fn open(near: &SendRequest<Bytes>) -> Result<(ResponseFuture, SendStream<Bytes>)> {
    let request = Request::post("http://bench/").body(())?;
    Ok(near.clone().ready().await?.send_request(request, false)?)
}

/// Writes `blocks` blocks and ends the request.
async fn send(
    mut stream: SendStream<Bytes>,
    response: ResponseFuture,
    block: Bytes,
    blocks: usize,
) -> Result<()> {
    for _ in 0..blocks {
        let mut left = block.clone();
        while !left.is_empty() {
            stream.reserve_capacity(left.len());
            if stream.capacity() == 0 {
                poll_fn(|cx| stream.poll_capacity(cx)).await.context("the stream ended early")??;
            }
            let length = stream.capacity().min(left.len());
            if length > 0 {
                stream.send_data(left.split_to(length), false)?;
            }
        }
    }
    stream.send_data(Bytes::new(), true)?;
    response.await?;
    Ok(())
}

/// Reads to the end, and answers.
async fn receive((request, mut respond): Arrived, mut lane: Lane) -> Result<()> {
    let mut body = request.into_body();
    while let Some(data) = next(&mut body).await? {
        lane.take(&data);
    }
    respond.send_response(Response::new(()), true)?;
    lane.end()
}

/// The next bytes of a stream, whose credit is given back at once.
async fn next(body: &mut RecvStream) -> Result<Option<Bytes>> {
    let Some(data) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(data.len())?;
    Ok(Some(data))
}

async fn answer(mut incoming: UnboundedReceiver<Arrived>) -> Result<()> {
    let (request, mut respond) = incoming.next().await.context("the stream did not come")?;
    let mut stream = respond.send_response(Response::new(()), false)?;
    let mut body = request.into_body();
    while let Some(data) = next(&mut body).await? {
        stream.send_data(data, false)?;
    }
    Ok(())
}

async fn ping(near: &SendRequest<Bytes>, rounds: usize) -> Result<f64> {
    let (response, mut stream) = open(near).await?;
    let mut body = response.await?.into_body();
    let mut times = Times::new(rounds);
    let payload = Bytes::from_static(&[7; ECHO]);
    while !times.are_complete() {
        let sent = Instant::now();
        stream.send_data(payload.clone(), false)?;
        let mut left = ECHO;
        while left > 0 {
            left -= next(&mut body).await?.context("the echo ended")?.len();
        }
        times.push(sent);
    }
    times.median()
}

async fn close_all(mut incoming: UnboundedReceiver<Arrived>) -> Result<()> {
    while let Some((request, mut respond)) = incoming.next().await {
        let mut body = request.into_body();
        while next(&mut body).await?.is_some() {}
        respond.send_response(Response::new(()), true)?;
    }
    Ok(())
}

async fn open_and_close(near: &SendRequest<Bytes>, streams: usize) -> Result<f64> {
    let mut rate = Rate::new(streams);
    while rate.next() {
        let (response, mut stream) = open(near).await?;
        stream.send_data(Bytes::from_static(&[7]), true)?;
        let mut body = response.await?.into_body();
        ensure!(next(&mut body).await?.is_none(), "a byte came back");
    }
    Ok(rate.measured())
}

async fn idle_streams(
    near: &SendRequest<Bytes>,
    mut incoming: UnboundedReceiver<Arrived>,
    streams: usize,
) -> Result<f64> {
    let mut open_streams = Vec::with_capacity(streams + 1);
    HEAP.count();
    let mut before = 0;
    for number in 0..=streams {
        let (response, mut ours) = open(near).await?;
        ours.send_data(Bytes::from_static(&[7]), false)?;
        let (request, mut respond) = incoming.next().await.context("a stream did not come")?;
        let mut theirs = respond.send_response(Response::new(()), false)?;
        let (mut there, mut back) = (request.into_body(), response.await?.into_body());
        let byte = next(&mut there).await?.context("no byte came")?;
        theirs.send_data(byte, false)?;
        next(&mut back).await?.context("no byte came back")?;
        open_streams.push((ours, back, theirs, there, respond));
        if number == 0 {
            before = HEAP.live_bytes();
        }
    }
    Ok((HEAP.live_bytes() - before) as f64 / streams as f64)
}

async fn idle_sessions(sessions: usize, windows: Windows) -> Result<f64> {
    let mut open_sessions = Vec::with_capacity(sessions);
    let pipes: Vec<_> = (0..sessions).map(|_| tokio::io::duplex(PIPE_BYTES)).collect();
    HEAP.count();
    for pipe in pipes {
        open_sessions.push(connect(pipe, windows).await?);
    }
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    Ok(HEAP.live_bytes() as f64 / sessions as f64)
}
