//! A path with a delay: a relay that passes every byte on, in order, a fixed time after it came.
//!
//! Bytes are stamped as they arrive and released when their time has come, so that the delay limits no bandwidth and
//! bytes that arrive together leave together. The end of a direction is delayed like its bytes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::side::Bench;

/// Bytes taken with one read.
const CHUNK: usize = 64 * 1024;

/// Chunks that may be on their way in one direction: 64 MiB, more than 10 Gbit/s need for 40 ms.
const CHUNKS: usize = 1024;

/// Connects whoever connects to it with `target`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Relay {
    pub(crate) target: SocketAddr,
    /// How long a byte takes, each way.
    pub(crate) delay: Duration,
}

impl Relay {
    /// Says its address, and relays until the process ends.
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        bench.say(&listener.local_addr()?)?;
        self.serve(&listener)
    }

    fn serve(&self, listener: &TcpListener) -> Result<()> {
        loop {
            let (caller, _) = listener.accept()?;
            let target = TcpStream::connect(self.target)
                .with_context(|| format!("the relay cannot connect to {}", self.target))?;
            for (from, to) in [(&caller, &target), (&target, &caller)] {
                from.set_nodelay(true)?;
                let (from, to, delay) = (from.try_clone()?, to.try_clone()?, self.delay);
                let (sender, line) = mpsc::sync_channel(CHUNKS);
                thread::spawn(move || take_in(from, &sender, delay));
                thread::spawn(move || let_out(&line, to));
            }
        }
    }
}

/// Bytes, none at the end of the direction, and when they may leave.
struct Delayed {
    due: Instant,
    bytes: Vec<u8>,
}

/// Ends with the direction: a connection that breaks looks to the other end like one that was closed.
fn take_in(mut from: TcpStream, line: &SyncSender<Delayed>, delay: Duration) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).unwrap_or(0);
        let delayed = Delayed { due: Instant::now() + delay, bytes: chunk[..read].to_vec() };
        if line.send(delayed).is_err() || read == 0 {
            return;
        }
    }
}

fn let_out(line: &Receiver<Delayed>, mut to: TcpStream) {
    let mut pass_on = |delayed: Delayed| -> io::Result<()> {
        thread::sleep(delayed.due.saturating_duration_since(Instant::now()));
        if delayed.bytes.is_empty() { to.shutdown(Shutdown::Write) } else { to.write_all(&delayed.bytes) }
    };
    while let Ok(delayed) = line.recv() {
        if pass_on(delayed).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    /// A client behind a relay, and the server's end.
    fn relayed() -> (TcpStream, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay { target: server.local_addr().unwrap(), delay: DELAY };
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(door.local_addr().unwrap()).unwrap();
        thread::spawn(move || relay.serve(&door));
        (client, server.accept().unwrap().0)
    }

    #[test]
    fn a_round_trip_takes_the_delay_twice() {
        let (mut client, mut server) = relayed();
        let sent = Instant::now();
        client.write_all(b"ping").unwrap();
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes).unwrap();
        assert!(sent.elapsed() >= DELAY);
        server.write_all(&bytes).unwrap();
        client.read_exact(&mut bytes).unwrap();
        assert!(sent.elapsed() >= 2 * DELAY);
        assert_eq!(&bytes, b"ping");
    }

    #[test]
    fn bytes_keep_their_order_and_one_direction_can_end_alone() {
        let (mut client, mut server) = relayed();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let writing = {
            let (mut client, sent) = (client.try_clone().unwrap(), sent.clone());
            thread::spawn(move || {
                client.write_all(&sent).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            })
        };
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        writing.join().unwrap();
        assert!(received == sent, "other bytes arrived than were sent");
        server.write_all(b"still here").unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "still here");
    }
}
