//! The Noise session that the contestants without one of their own run over: the pattern, suites and record format of
//! vatmux, over blocking sockets, with nothing around it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use snow::resolvers::{DefaultResolver, FallbackResolver, RingResolver};
use snow::{Builder, HandshakeState, TransportState};
use vatmux_noise::Suite;

use crate::payload::RECORD_PLAINTEXT;

/// Bytes of the length before a record.
pub(crate) const PREFIX: usize = 2;

/// Bytes that a record has more than its plaintext, its prefix not counted.
const TAG: usize = 16;

/// The longest record with its prefix.
pub(crate) const RECORD: usize = PREFIX + RECORD_PLAINTEXT + TAG;

/// Bytes that may wait in the system for the wire: as many as on vatmux's own sockets.
const UNSENT_BYTES: u32 = 128 * 1024;

/// How long a side waits for the other's bytes.
const SILENCE: Duration = Duration::from_secs(30);

/// The cipher of a session; both ends are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cipher {
    ChaChaPoly,
    AesGcm,
}

impl Cipher {
    /// vatmux's name for it.
    pub(crate) fn suite(self) -> Suite {
        match self {
            Self::ChaChaPoly => Suite::ChaChaPoly,
            Self::AesGcm => Suite::AesGcm,
        }
    }

    fn builder(self) -> Result<Builder<'static>> {
        let resolver = FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver));
        Ok(Builder::with_resolver(self.suite().name().parse()?, Box::new(resolver)))
    }
}

/// Where a server is, and who: what a client needs to know.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Contact {
    pub(crate) address: SocketAddr,
    /// Its X25519 public key.
    pub(crate) key: [u8; 32],
}

/// A server that has a fresh key and waits for its client.
pub(crate) struct Server {
    listener: TcpListener,
    cipher: Cipher,
    key: snow::Keypair,
}

impl Server {
    pub(crate) fn bind(cipher: Cipher) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        Ok(Self { listener, cipher, key: cipher.builder()?.generate_keypair()? })
    }

    pub(crate) fn contact(&self) -> Result<Contact> {
        let key = self.key.public.as_slice().try_into().context("an X25519 key has 32 bytes")?;
        Ok(Contact { address: self.listener.local_addr()?, key })
    }

    /// Takes the first client.
    pub(crate) fn accept(&self) -> Result<(TcpStream, TransportState)> {
        let (stream, _) = self.listener.accept().context("cannot accept the client")?;
        let handshake = self.cipher.builder()?.local_private_key(&self.key.private)?.build_responder()?;
        shake_hands(stream, handshake)
    }
}

/// Connects to `server` with a fresh key.
pub(crate) fn dial(server: &Contact, cipher: Cipher) -> Result<(TcpStream, TransportState)> {
    let stream = TcpStream::connect(server.address)
        .with_context(|| format!("cannot connect to {}", server.address))?;
    let key = cipher.builder()?.generate_keypair()?;
    let builder = cipher.builder()?.local_private_key(&key.private)?;
    let handshake = builder.remote_public_key(&server.key)?.build_initiator()?;
    shake_hands(stream, handshake)
}

fn shake_hands(mut stream: TcpStream, mut handshake: HandshakeState) -> Result<(TcpStream, TransportState)> {
    stream.set_nodelay(true)?;
    // As vatmux does: bytes that pile up in the system have left the caches when they are sent, and the slower half of
    // the runs then takes twice as long.
    socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut buffer = vec![0; RECORD];
    while !handshake.is_handshake_finished() {
        if handshake.is_my_turn() {
            let length = handshake.write_message(&[], &mut buffer[PREFIX..])?;
            set_prefix(&mut buffer, length);
            stream.write_all(&buffer[..PREFIX + length])?;
        } else {
            let mut prefix = [0; PREFIX];
            stream.read_exact(&mut prefix)?;
            let message = &mut buffer[..usize::from(u16::from_be_bytes(prefix))];
            stream.read_exact(message)?;
            handshake.read_message(message, &mut [])?;
        }
    }
    Ok((stream, handshake.into_transport_mode()?))
}

/// Seals `plaintext` at the front of `output`, which holds [`RECORD`] bytes, and says how long the record is.
pub(crate) fn seal(
    noise: &mut TransportState,
    plaintext: &[u8],
    output: &mut [u8],
) -> Result<usize, snow::Error> {
    let length = noise.write_message(plaintext, &mut output[PREFIX..])?;
    set_prefix(output, length);
    Ok(PREFIX + length)
}

fn set_prefix(output: &mut [u8], length: usize) {
    // snow refuses messages of more than 65,535 bytes.
    output[..PREFIX].copy_from_slice(&(length as u16).to_be_bytes());
}

/// The records in a stream of bytes, cut out of large reads.
pub(crate) struct Records {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Records {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 4 * RECORD].into_boxed_slice(), start: 0, end: 0 }
    }

    /// The next whole record without its prefix, if it is here.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        let here = &self.buffer[self.start..self.end];
        let (prefix, rest) = here.split_first_chunk::<PREFIX>()?;
        let length = usize::from(u16::from_be_bytes(*prefix));
        let record = rest.get(..length)?;
        self.start += PREFIX + length;
        Some(record)
    }

    /// Where more bytes go; what is read into it is then to be [`added`](Self::added).
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.buffer[self.end..]
    }

    pub(crate) fn added(&mut self, bytes: usize) {
        self.end += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn records_arrive_whole_however_they_are_cut() {
        let server = Server::bind(Cipher::AesGcm).unwrap();
        let contact = server.contact().unwrap();
        let accepting = thread::spawn(move || server.accept().unwrap());
        let (_, mut client) = dial(&contact, Cipher::AesGcm).unwrap();
        let (_, mut server) = accepting.join().unwrap();
        let mut wire = Vec::new();
        let mut sealed = vec![0; RECORD];
        for length in [1, 500, RECORD_PLAINTEXT] {
            let length = seal(&mut server, &vec![length as u8; length], &mut sealed).unwrap();
            wire.extend_from_slice(&sealed[..length]);
        }
        let mut records = Records::new();
        let mut plaintext = vec![0; RECORD];
        let mut lengths = Vec::new();
        for piece in wire.chunks(777) {
            records.space()[..piece.len()].copy_from_slice(piece);
            records.added(piece.len());
            while let Some(record) = records.next() {
                lengths.push(client.read_message(record, &mut plaintext).unwrap());
            }
        }
        assert_eq!(lengths, [1, 500, RECORD_PLAINTEXT]);
    }
}
