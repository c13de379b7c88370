//! rust-yamux, two of its versions. Its frames are as long as the writes.

/// How far a sender may be ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Windows {
    /// They tune themselves, as they do by default.
    Growing,
    /// They stay at 256 KiB, the least that yamux knows.
    Least,
}

/// The least window of a stream, in bytes.
const LEAST_WINDOW: usize = 256 * 1024;

/// How many streams there may be where windows stay: more than any work opens.
const STREAMS: usize = 128;

macro_rules! yamux {
    ($version:ident, $yamux:ident) => {
        pub(crate) mod $version {
            use std::future::poll_fn;
            use std::sync::{Arc, Mutex, PoisonError};
            use std::task::Waker;

            use anyhow::{Context as _, Result, ensure};
            use futures::StreamExt;
            use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
            use futures::io::{AsyncReadExt, AsyncWriteExt};
            use tokio::io::DuplexStream;
            use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
            use $yamux::{Config, Connection, Mode, Stream};

            use super::super::bytes::{self, Rate};
            use super::super::meter::Lane;
            use super::super::{PIPE_BYTES, WRITE, Work, not_done};
            use super::{LEAST_WINDOW, STREAMS, Windows};
            use crate::HEAP;

            type Pipe = Compat<DuplexStream>;
            type Shared = Arc<Mutex<Driven>>;

            /// A connection, and the task that moves it.
            struct Driven {
                connection: Connection<Pipe>,
                task: Option<Waker>,
            }

            pub(crate) async fn measure(work: Work, windows: Windows) -> Result<f64> {
                if let Work::IdleSessions { sessions } = work {
                    return idle_sessions(sessions, windows).await;
                }
                let (near, mut incoming) = connect(tokio::io::duplex(PIPE_BYTES), windows);
                if let Some(meter) = work.meter()?.map(Arc::new) {
                    for _ in 0..meter.streams {
                        let (mut stream, blocks) = (open(&near).await?, meter.blocks);
                        tokio::spawn(async move { bytes::send(&mut stream, blocks).await });
                    }
                    let mut receivers = Vec::new();
                    for _ in 0..meter.streams {
                        let mut stream = incoming.next().await.context("a stream did not come")?;
                        let lane = Lane::new(&meter);
                        receivers.push(tokio::spawn(async move { bytes::receive(&mut stream, lane).await }));
                    }
                    for receiver in receivers {
                        receiver.await??;
                    }
                    return meter.measured();
                }
                match work {
                    Work::Echo { rounds } => {
                        tokio::spawn(async move {
                            let mut stream = incoming.next().await.context("the stream did not come")?;
                            bytes::answer(&mut stream).await
                        });
                        bytes::ping(&mut open(&near).await?, rounds).await
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
            fn connect(
                (near, far): (DuplexStream, DuplexStream),
                windows: Windows,
            ) -> (Shared, UnboundedReceiver<Stream>) {
                let mut config = Config::default();
                if windows == Windows::Least {
                    // No more in all than every stream has from the start.
                    config.set_max_num_streams(STREAMS);
                    config.set_max_connection_receive_window(Some(STREAMS * LEAST_WINDOW));
                }
                config.set_split_send_size(WRITE);
                let end = |pipe: DuplexStream, mode| {
                    let connection = Connection::new(pipe.compat(), config.clone(), mode);
                    let shared = Arc::new(Mutex::new(Driven { connection, task: None }));
                    let (sender, incoming) = mpsc::unbounded();
                    tokio::spawn(drive(shared.clone(), sender));
                    (shared, incoming)
                };
                let (near, _) = end(near, Mode::Client);
                let (_, incoming) = end(far, Mode::Server);
                (near, incoming)
            }

            /// Moves the connection's bytes until it ends.
            async fn drive(session: Shared, incoming: UnboundedSender<Stream>) {
                let next = || {
                    poll_fn(|cx| {
                        let mut driven = session.lock().unwrap_or_else(PoisonError::into_inner);
                        if !driven.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                            driven.task = Some(cx.waker().clone());
                        }
                        driven.connection.poll_next_inbound(cx)
                    })
                };
                while let Some(Ok(stream)) = next().await {
                    // The near end expects none and takes none.
                    let _ = incoming.unbounded_send(stream);
                }
            }

            /// Opens a stream, and has the connection's task look at it: the connection itself wakes nobody for a new
            /// stream beside others.
            async fn open(session: &Shared) -> Result<Stream> {
                let opened = poll_fn(|cx| {
                    let mut driven = session.lock().unwrap_or_else(PoisonError::into_inner);
                    let opened = driven.connection.poll_new_outbound(cx);
                    if let Some(task) = &driven.task {
                        task.wake_by_ref();
                    }
                    opened
                });
                Ok(opened.await?)
            }

            async fn close_all(mut incoming: UnboundedReceiver<Stream>) -> Result<()> {
                let mut byte = [0; 1];
                while let Some(mut stream) = incoming.next().await {
                    while stream.read(&mut byte).await? > 0 {}
                    stream.close().await?;
                }
                Ok(())
            }

            async fn open_and_close(near: &Shared, streams: usize) -> Result<f64> {
                let mut rate = Rate::new(streams);
                while rate.next() {
                    let mut stream = open(near).await?;
                    stream.write_all(&[7]).await?;
                    stream.close().await?;
                    ensure!(stream.read(&mut [0]).await? == 0, "a byte came back");
                }
                Ok(rate.measured())
            }

            async fn idle_streams(
                near: &Shared,
                mut incoming: UnboundedReceiver<Stream>,
                streams: usize,
            ) -> Result<f64> {
                let mut open_streams = Vec::with_capacity(2 * (streams + 1));
                HEAP.count();
                let mut before = 0;
                for number in 0..=streams {
                    let mut ours = open(near).await?;
                    ours.write_all(&[7]).await?;
                    let mut theirs = incoming.next().await.context("a stream did not come")?;
                    let mut byte = [0; 1];
                    theirs.read_exact(&mut byte).await?;
                    theirs.write_all(&byte).await?;
                    ours.read_exact(&mut byte).await?;
                    open_streams.extend([ours, theirs]);
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
                    open_sessions.push(connect(pipe, windows));
                }
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                Ok(HEAP.live_bytes() as f64 / sessions as f64)
            }
        }
    };
}

yamux!(v13, yamux13);
yamux!(v14, yamux);
