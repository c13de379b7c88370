//! Sessions as nodes have them: driver, Noise and pipe, on virtual time.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_driver::{Driver, Handle, Session, SessionOptions, accept, dial, pipe, virtual_time};
use vatmux_mux::{CloseCode, HeapStorage, Priority, StreamName};
use vatmux_noise::{AllowList, Entropy, SecretKey, Suite};

use super::{SMALL, WRITE};

/// What the pipe holds in each direction.
const PIPE_BYTES: usize = 64 * 1024;

pub(super) fn bulk(writes: u64) -> Result<()> {
    let (mut driver, _) = virtual_time::driver();
    let (near, far) = connect(&mut driver)?;
    send(&driver.handle(), &near, writes)?;
    driver.drive_until(async {
        let mut stream = far.incoming().next().await.context("the stream did not come")?.accept();
        let mut buffer = vec![0; 2 * WRITE];
        let mut left = writes as usize * WRITE;
        while left > 0 {
            let read = stream.read(&mut buffer).await?;
            ensure!(read > 0, "{left} bytes did not arrive");
            left -= read;
        }
        Ok(())
    })?
}

/// Has a task write, and close the stream behind it.
fn send(handle: &Handle, session: &Session, writes: u64) -> Result<()> {
    let mut stream = session.open(&StreamName::new("count")?, Priority::default())?;
    handle.spawn(async move {
        let block = vec![7; WRITE];
        for _ in 0..writes {
            // Who fails hangs up, which the reader reports.
            if stream.write_all(&block).await.is_err() {
                return;
            }
        }
        // The reader has all bytes whether this succeeds or not.
        let _ = stream.close().await;
    });
    Ok(())
}

pub(super) fn echo(rounds: u64) -> Result<()> {
    let (mut driver, _) = virtual_time::driver();
    let (near, far) = connect(&mut driver)?;
    driver.handle().spawn(async move {
        let Some(incoming) = far.incoming().next().await else { return };
        let mut stream = incoming.accept();
        let mut buffer = [0; SMALL];
        // Who fails hangs up, which the other end reports.
        while stream.read_exact(&mut buffer).await.is_ok() {
            if stream.write_all(&buffer).await.is_err() {
                return;
            }
        }
    });
    driver.drive_until(async {
        let mut stream = near.open(&StreamName::new("count")?, Priority::default())?;
        let mut buffer = [7; SMALL];
        for _ in 0..rounds {
            stream.write_all(&buffer).await?;
            stream.read_exact(&mut buffer).await?;
        }
        Ok(())
    })?
}

pub(super) fn handshakes(count: u64) -> Result<()> {
    let (mut driver, _) = virtual_time::driver();
    for _ in 0..count {
        let (near, far) = connect(&mut driver)?;
        near.close(CloseCode::GOING_AWAY);
        driver.drive_until(async {
            near.closed().await;
            far.closed().await
        })?;
    }
    Ok(())
}

/// A session, both ends, the same each time.
fn connect(driver: &mut Driver) -> Result<(Session, Session)> {
    let handle = driver.handle();
    let key = |number| -> Result<SecretKey> { Ok(SecretKey::generate(entropy(number)?)) };
    let (dialer, acceptor) = (key(1)?, key(2)?);
    let (near, far) = pipe(PIPE_BYTES);
    let options = || SessionOptions { suite: Suite::ChaChaPoly, ..SessionOptions::default() };
    let (ours, theirs) = (entropy(3)?, entropy(4)?);
    let allow = AllowList::Anyone;
    let dialed = dial(&handle, near, &dialer, acceptor.node_id(), ours, HeapStorage::new(), options());
    let accepted = accept(&handle, far, &acceptor, &allow, theirs, HeapStorage::new(), options());
    Ok(driver.drive_until(try_join(dialed, accepted))??)
}

/// Known to everybody: nothing is secret here.
fn entropy(number: u8) -> Result<Entropy> {
    let mut bytes = [number; 32];
    for (at, byte) in (0..).zip(&mut bytes) {
        *byte = byte.wrapping_mul(31).wrapping_add(at);
    }
    Ok(Entropy::from_bytes(bytes)?)
}
