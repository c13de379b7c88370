//! Sockets that are told of changes only: nothing is missed between two of them.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vatmux_driver::{Driver, Handle, yield_now};

use super::*;
use crate::MonotonicClock;

/// Longer than anything takes here; what is missed would wait for ever.
const PATIENCE: Duration = Duration::from_secs(10);

fn driver() -> (Driver, Reactor) {
    let clock = MonotonicClock::default();
    let reactor = Reactor::new(clock).unwrap();
    (Driver::new(clock, reactor.clone().into_park()), reactor)
}

/// A link, and the other end of it.
fn connected(reactor: &Reactor) -> (SocketLink<TcpStream>, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    (SocketLink::new(reactor, near).unwrap(), far)
}

/// Has the driver look at its links: what happened before is announced after.
async fn look(handle: &Handle) {
    handle.sleep(Duration::from_millis(2)).await;
}

#[test]
fn bytes_that_come_after_a_short_read_are_announced() {
    let (mut driver, reactor) = driver();
    let handle = driver.handle();
    let (mut near, mut far) = connected(&reactor);
    let reads = async {
        for round in 0..100_u8 {
            far.write_all(&[round; 3]).unwrap();
            let mut buf = [0; 64];
            assert_eq!(near.read(&mut buf).await.unwrap(), 3);
            assert_eq!(buf[..3], [round; 3]);
            if round % 2 == 0 {
                yield_now().await;
            }
        }
    };
    driver.drive_until(handle.timeout(PATIENCE, reads)).unwrap().unwrap();
}

#[test]
fn an_end_that_is_announced_with_the_last_bytes_is_seen_after_a_short_read() {
    let (mut driver, reactor) = driver();
    let handle = driver.handle();
    let (mut near, mut far) = connected(&reactor);
    let reads = async {
        far.write_all(b"bye").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        // The one announcement that there will be is heard before the bytes are read.
        look(&handle).await;
        let mut buf = [0; 64];
        assert_eq!(near.read(&mut buf).await.unwrap(), 3);
        assert_eq!(near.read(&mut buf).await.unwrap(), 0);
    };
    driver.drive_until(handle.timeout(PATIENCE, reads)).unwrap().unwrap();
}

#[test]
fn an_end_that_comes_after_a_short_read_is_announced() {
    let (mut driver, reactor) = driver();
    let handle = driver.handle();
    let (mut near, mut far) = connected(&reactor);
    let reads = async {
        far.write_all(b"bye").unwrap();
        look(&handle).await;
        let mut buf = [0; 64];
        assert_eq!(near.read(&mut buf).await.unwrap(), 3);
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.read(&mut buf).await.unwrap(), 0);
    };
    driver.drive_until(handle.timeout(PATIENCE, reads)).unwrap().unwrap();
}

#[test]
fn both_directions_go_on_when_the_socket_was_full() {
    const BYTES: usize = 8 << 20;
    let (mut driver, reactor) = driver();
    let handle = driver.handle();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    let (near, far) = (SocketLink::new(&reactor, near).unwrap(), SocketLink::new(&reactor, far).unwrap());
    let carry = async |link: SocketLink<TcpStream>| {
        let (mut reader, mut writer) = link.split();
        let write = async {
            writer.write_all(&vec![7; BYTES]).await.unwrap();
            writer.close().await.unwrap();
        };
        let mut taken = Vec::new();
        let read = async { reader.read_to_end(&mut taken).await.unwrap() };
        assert_eq!(join(write, read).await.1, BYTES);
    };
    let both = join(carry(near), carry(far));
    driver.drive_until(handle.timeout(PATIENCE, both)).unwrap().unwrap();
}

#[test]
fn a_full_buffer_is_no_sign_that_all_was_read() {
    let (mut driver, reactor) = driver();
    let handle = driver.handle();
    let (mut near, mut far) = connected(&reactor);
    let reads = async {
        far.write_all(&[1; 10]).unwrap();
        look(&handle).await;
        let mut buf = [0; 4];
        let mut lengths = Vec::new();
        for _ in 0..3 {
            lengths.push(near.read(&mut buf).await.unwrap());
        }
        assert_eq!(lengths, [4, 4, 2]);
    };
    driver.drive_until(handle.timeout(PATIENCE, reads)).unwrap().unwrap();
}
