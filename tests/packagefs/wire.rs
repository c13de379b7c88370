//! Two vats with a link of 10 ms between them, on virtual time: round trips, flow control, and waits that
//! end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use vatmux::packagefs::{Client, Error, FetchOptions, SERVICE_NAME};
use vatmux::schema::packagefs::PackageFs;
use vatmux::schema::packagefs_capnp::{file, package_fs};
use vatmux::service::Service;
use vatmux_driver::virtual_time::{self, VirtualClock};
use vatmux_driver::{Clock, Driver, Handle, Instant, PipeEnd, Sleep, pipe};
use vatmux_rpc::{Options, Remote, Vat};

use crate::served::{Served, assert_nothing_left, quietly};

const ONE_WAY: Duration = Duration::from_millis(5);

const ROUND_TRIP: Duration = Duration::from_millis(10);

/// Far more than a window, so that only the round trips are felt.
const PIPE_BYTES: usize = 1 << 20;

/// A client and a server, each on its vat, with a link between them that delays and carries as much as it is
/// given.
struct Apart {
    driver: Driver,
    clock: VirtualClock,
    remote: Remote<package_fs::Client>,
    _server: Vat,
}

impl Apart {
    fn new(served: package_fs::Client) -> Self {
        let (driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let (client_end, near_end) = pipe(PIPE_BYTES);
        let (far_end, server_end) = pipe(PIPE_BYTES);
        let (near, far) = (near_end.split(), far_end.split());
        handle.spawn(carry(near.0, far.1, handle.clone()));
        handle.spawn(carry(far.0, near.1, handle.clone()));
        let options = PackageFs::DESCRIPTOR.bounds(&Options::default());
        let server = Vat::serve(server_end, SERVICE_NAME, served.client, &handle, &options);
        let remote = Vat::connect(client_end, SERVICE_NAME, &handle, &options);
        Self { driver, clock, remote, _server: server }
    }

    fn client(&self) -> Client {
        Client::new(self.remote.clone())
    }

    /// Runs `future` to its end, and says how long that took.
    fn run<F: Future>(&mut self, future: F) -> (F::Output, Duration) {
        let started = self.clock.now();
        let output = self.driver.drive_until(future).expect("something always goes on");
        (output, self.clock.now().saturating_since(started))
    }
}

/// Carries bytes from one pipe to another, each [`ONE_WAY`] after it came.
async fn carry(mut from: ReadHalf<PipeEnd>, mut to: WriteHalf<PipeEnd>, handle: Handle) {
    let mut on_the_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut arrival: Option<Sleep> = None;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let event = std::future::poll_fn(|context| {
            if let Some(sleep) = &mut arrival
                && Pin::new(sleep).poll(context).is_ready()
            {
                return Poll::Ready(Event::Arrived);
            }
            Pin::new(&mut from).poll_read(context, &mut buffer).map(Event::Read)
        })
        .await;
        match event {
            Event::Read(Ok(bytes)) if bytes > 0 => {
                on_the_way.push_back((handle.now() + ONE_WAY, buffer[..bytes].to_vec()));
            }
            Event::Read(_) => break,
            Event::Arrived => {
                while on_the_way.front().is_some_and(|(at, _)| *at <= handle.now()) {
                    let Some((_, bytes)) = on_the_way.pop_front() else { break };
                    if to.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }
        }
        arrival = on_the_way.front().map(|(at, _)| handle.sleep_until(*at));
    }
    for (at, bytes) in on_the_way {
        handle.sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.close().await;
}

enum Event {
    Arrived,
    Read(io::Result<usize>),
}

#[test]
fn a_thousand_small_files_cost_seventeen_round_trips() {
    let served = Served::new();
    for at in 0..1000_u32 {
        served.write(&format!("{at:03}"), &vec![at as u8; 2048]);
    }
    let mut apart = Apart::new(served.capability());
    let (client, destination) = (apart.client(), served.destination());
    let fetch = client.fetch_tree("", &destination, FetchOptions::default(), &quietly);
    let (summary, took) = apart.run(fetch);
    assert_eq!(summary.unwrap().files, 1000);
    assert!(took <= ROUND_TRIP * 18, "{took:?}");
    for at in 0..1000_u32 {
        assert!(fs::read(destination.join(format!("{at:03}"))).unwrap() == vec![at as u8; 2048]);
    }
}

#[test]
fn a_small_file_costs_one_round_trip() {
    let served = Served::new();
    served.write("file", &[1; 10_000]);
    let mut apart = Apart::new(served.capability());
    let (client, mut read) = (apart.client(), Vec::new());
    let (length, took) = apart.run(client.read_to("file", &mut read, &quietly));
    assert_eq!(length.unwrap(), 10_000);
    assert_eq!(took, ROUND_TRIP);
}

#[test]
fn a_large_file_is_streamed_a_window_each_round_trip() {
    let served = Served::new();
    let content: Vec<u8> = (0..=250).cycle().take(8 << 20).collect();
    served.write("file", &content);
    let mut apart = Apart::new(served.capability());
    let (client, mut read) = (apart.client(), Vec::new());
    let (length, took) = apart.run(client.read_to("file", &mut read, &quietly));
    assert_eq!(length.unwrap(), 8 << 20);
    assert!(read == content);
    let windows = (8 << 20) / Options::default().stream_window_bytes as u32;
    assert!(took <= ROUND_TRIP * (windows + 3), "{took:?}");
}

/// An output that takes a chunk of 100,000 bytes and then rests, as someone does who reads a page at a time.
struct Resting {
    taken: usize,
    rest: Option<Sleep>,
    handle: Handle,
}

const REST: Duration = Duration::from_mins(2);

impl AsyncWrite for Resting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(rest) = &mut self.rest
            && Pin::new(rest).poll(context).is_pending()
        {
            return Poll::Pending;
        }
        let taken = bytes.len().min(100_000);
        self.taken += taken;
        self.rest = Some(self.handle.sleep(REST));
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn whoever_reads_a_page_at_a_time_gets_it_all() {
    let served = Served::new();
    // Longer than all that is under way at once, so that the server waits as well.
    served.write("file", &vec![1; 2_000_000]);
    let mut apart = Apart::new(served.capability());
    let handle = apart.driver.handle();
    let mut output = Resting { taken: 0, rest: None, handle };
    let client = apart.client();
    let (length, took) = apart.run(client.read_to("file", &mut output, &quietly));
    assert_eq!(length.unwrap(), 2_000_000);
    assert_eq!(output.taken, 2_000_000);
    assert!(took > REST * 19, "{took:?}");
}

/// Opens a file whose stream sends nothing and never ends.
struct Stuck {
    streams: Rc<Cell<u32>>,
}

impl package_fs::Server for Stuck {
    async fn read_small(
        self: Rc<Self>,
        _: package_fs::ReadSmallParams,
        mut results: package_fs::ReadSmallResults,
    ) -> capnp::Result<()> {
        let mut results = results.get();
        results.reborrow().init_content(65_536);
        results.set_file(capnp_rpc::new_client(StuckFile { streams: Rc::clone(&self.streams) }));
        results.init_attributes().set_size_bytes(1 << 20);
        Ok(())
    }
}

struct StuckFile {
    streams: Rc<Cell<u32>>,
}

/// Counts the streams that run.
struct Running(Rc<Cell<u32>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl file::Server for StuckFile {
    async fn stream(self: Rc<Self>, _: file::StreamParams, _: file::StreamResults) -> capnp::Result<()> {
        self.streams.set(self.streams.get() + 1);
        let _running = Running(Rc::clone(&self.streams));
        std::future::pending().await
    }
}

#[test]
fn a_fetch_from_a_server_that_never_goes_on_ends_at_its_deadline_and_leaves_nothing() {
    let served = Served::new();
    let streams = Rc::new(Cell::new(0));
    let mut apart = Apart::new(capnp_rpc::new_client(Stuck { streams: Rc::clone(&streams) }));
    let (client, destination) = (apart.client(), served.destination());
    let (fetched, took) = apart.run(client.fetch_file("file", &destination, &quietly));
    let error = fetched.unwrap_err();
    assert!(matches!(error, Error::Call { .. }), "{error}");
    assert!(
        error.to_string().starts_with("cannot read `file`: the server did not answer in time"),
        "{error}"
    );
    // 30 s, and the rest of the file at 32 KiB a second.
    assert_eq!(took, ROUND_TRIP + Duration::from_mins(1));
    assert_nothing_left(&destination);
    apart.run(apart.driver.handle().sleep(ROUND_TRIP));
    assert_eq!(streams.get(), 0, "the server was told to stop");
}

#[test]
fn a_read_that_is_dropped_stops_the_stream_and_closes_the_file() {
    let mut served = Served::new();
    served.limits.open_files = 1;
    served.write("file", &vec![1; 8 << 20]);
    let mut apart = Apart::new(served.capability());
    let client = apart.client();
    let received = RefCell::new(Vec::new());
    {
        let mut output = Vec::new();
        let count = |progress| received.borrow_mut().push(progress);
        let read = client.read_to("file", &mut output, &count);
        let handle = apart.driver.handle();
        let cut = handle.sleep(ROUND_TRIP * 3);
        apart.run(futures::future::select(Box::pin(read), cut));
    }
    assert!(received.borrow().len() > 2, "it was under way: {:?}", received.borrow());
    apart.run(apart.driver.handle().sleep(ROUND_TRIP * 2));
    let (length, _) = apart.run(client.read_to("file", &mut Vec::new(), &quietly));
    assert_eq!(length.unwrap(), 8 << 20, "the one file that may be open is free again");
}
