//! From a bare link to an authenticated session, within a deadline and within 4 KiB.

use std::io;
use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_mux::{CloseCode, Hello, HelloError, LimitsError, Role, Storage};
use vatmux_noise::{
    AllowList, Entropy, Established, Handshake, HandshakeError, NodeId, SecretKey, SetupError, Stage,
};

use crate::session::Agreed;
use crate::{Handle, Link, Session, SessionOptions};

/// The most that is read from a link before its peer is authenticated, in bytes.
const UNAUTHENTICATED_BYTES: usize = 4096;

/// Why a link did not become a session.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFailure {
    /// The options do not fit the handshake: the caller's mistake.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The options do not fit the multiplexer or its storage: the caller's mistake, found before a byte is sent.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The peer, or somebody on the way, failed the handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The link failed.
    #[error("the link failed during the handshake: {0}")]
    Link(#[from] io::Error),
    /// The peer took too long; the deadline is fixed from the start, so that a byte now and then buys no time.
    #[error("the handshake took longer than {after:?}; it stopped while {stage}")]
    Deadline {
        /// How long it was given.
        after: Duration,
        /// How far it had got.
        stage: Stage,
    },
    /// The peer proved who it is, and then asked for a session that cannot be.
    #[error("the peer's hello is not valid: {0}")]
    Hello(#[from] HelloError),
    /// The dialer is who it says, and is not on the list. It was told.
    #[error("the dialer {0} is not allowed here")]
    NotAllowed(NodeId),
}

/// Calls the node `peer` over `link`: the link must lead to that very node, or the handshake fails.
///
/// The session is ready as soon as the last handshake message is written. Whether the peer allows this dialer
/// shows right after: then the session ends with [`CloseCode::NOT_ALLOWED`].
pub async fn dial<S: Storage + 'static>(
    handle: &Handle,
    link: impl Link + 'static,
    key: &SecretKey,
    peer: NodeId,
    entropy: Entropy,
    storage: S,
    options: SessionOptions,
) -> Result<Session, HandshakeFailure> {
    options.limits.check(&storage)?;
    let hello = options.limits.hello().encode();
    let handshake = Handshake::dial(key, peer, options.suite, &hello, entropy)?;
    let agreed =
        shake_hands(handle, Box::new(link), handshake, Role::Dialer, options.handshake_deadline).await?;
    Ok(Session::start(handle, agreed, storage, options)?)
}

/// Answers a dialer on `link`, and turns away whoever is not on `allow`.
pub async fn accept<S: Storage + 'static>(
    handle: &Handle,
    link: impl Link + 'static,
    key: &SecretKey,
    allow: &AllowList,
    entropy: Entropy,
    storage: S,
    options: SessionOptions,
) -> Result<Session, HandshakeFailure> {
    options.limits.check(&storage)?;
    let hello = options.limits.hello().encode();
    let handshake = Handshake::accept(key, &hello, entropy)?;
    let agreed =
        shake_hands(handle, Box::new(link), handshake, Role::Acceptor, options.handshake_deadline).await?;
    let peer = agreed.peer;
    let session = Session::start(handle, agreed, storage, options)?;
    if !allow.permits(&peer) {
        // It proved its key and knows ours: it may be told that it is not wanted, so that a person can mend it.
        session.close(CloseCode::NOT_ALLOWED);
        // Until it is gone it costs a descriptor: the caller counts it as long. `linger` bounds the wait.
        session.closed().await;
        return Err(HandshakeFailure::NotAllowed(peer));
    }
    Ok(session)
}

async fn shake_hands(
    handle: &Handle,
    mut link: Box<dyn Link>,
    mut handshake: Handshake,
    role: Role,
    deadline: Duration,
) -> Result<Agreed, HandshakeFailure> {
    let mut received = Vec::new();
    let exchanged = handle.timeout(deadline, exchange(&mut link, &mut handshake, &mut received)).await;
    match exchanged {
        Ok(outcome) => outcome?,
        Err(_) => return Err(HandshakeFailure::Deadline { after: deadline, stage: handshake.stage() }),
    }
    let Established { records, peer, hello, .. } = handshake.finish()?;
    let peer_hello = Hello::decode(&hello)?;
    Ok(Agreed { link, records, peer, peer_hello, role, received })
}

/// Moves the handshake's bytes until it is complete. What arrived behind it is left in `received`.
async fn exchange(
    link: &mut Box<dyn Link>,
    handshake: &mut Handshake,
    received: &mut Vec<u8>,
) -> Result<(), HandshakeFailure> {
    let mut buffer = [0; 1024];
    let mut read_in_all = 0;
    loop {
        flush(link, handshake, &mut buffer).await?;
        if handshake.is_complete() {
            return Ok(());
        }
        let room = buffer.len().min(UNAUTHENTICATED_BYTES - read_in_all);
        debug_assert!(room > 0, "the handshake refuses a peer long before");
        let read = match link.read(&mut buffer[..room]).await {
            Ok(0) => return Err(handshake.link_ended().into()),
            Ok(read) => read,
            // A peer that hangs up on us with bytes unread resets the connection: the stage says more than that.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(handshake.link_ended().into());
            }
            Err(error) => return Err(error.into()),
        };
        read_in_all += read;
        match handshake.receive(&buffer[..read]) {
            Ok(taken) => received.extend_from_slice(&buffer[taken..read]),
            Err(error) => {
                // The alert, if there is one, is a courtesy: the error is what counts.
                let _ = flush(link, handshake, &mut buffer).await;
                let _ = link.close().await;
                return Err(error.into());
            }
        }
    }
}

async fn flush(link: &mut Box<dyn Link>, handshake: &mut Handshake, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match handshake.transmit(buffer) {
            0 => return Ok(()),
            length => link.write_all(&buffer[..length]).await?,
        }
    }
}
