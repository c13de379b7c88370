//! The Noise session that the contestants without one of their own run over: vatmux's handshake and records, sealed and
//! opened where they lie, over blocking sockets, with nothing around it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use vatmux_noise::{
    Entropy, Handshake, MAX_PLAINTEXT, NodeId, PREFIX_LEN, RecordError, Records, SecretKey, Suite, TAG_LEN,
};

use crate::payload::RECORD_PLAINTEXT;

/// The longest record with its prefix.
pub(crate) const RECORD: usize = PREFIX_LEN + RECORD_PLAINTEXT + TAG_LEN;
const _: () = assert!(RECORD_PLAINTEXT == MAX_PLAINTEXT);

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
    key: SecretKey,
}

impl Server {
    pub(crate) fn bind(cipher: Cipher) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        Ok(Self { listener, cipher, key: SecretKey::generate(Entropy::from_system()?) })
    }

    pub(crate) fn contact(&self) -> Result<Contact> {
        Ok(Contact { address: self.listener.local_addr()?, key: *self.key.node_id().as_bytes() })
    }

    /// Takes the first client.
    pub(crate) fn accept(&self) -> Result<(TcpStream, Records)> {
        let (stream, _) = self.listener.accept().context("cannot accept the client")?;
        shake_hands(stream, Handshake::accept(&self.key, &[], Entropy::from_system()?)?, self.cipher)
    }
}

/// Connects to `server` with a fresh key.
pub(crate) fn dial(server: &Contact, cipher: Cipher) -> Result<(TcpStream, Records)> {
    let stream = TcpStream::connect(server.address)
        .with_context(|| format!("cannot connect to {}", server.address))?;
    let key = SecretKey::generate(Entropy::from_system()?);
    let peer = NodeId::from_bytes(server.key)?;
    shake_hands(stream, Handshake::dial(&key, peer, cipher.suite(), &[], Entropy::from_system()?)?, cipher)
}

fn shake_hands(
    mut stream: TcpStream,
    mut handshake: Handshake,
    cipher: Cipher,
) -> Result<(TcpStream, Records)> {
    stream.set_nodelay(true)?;
    // As vatmux does: bytes that pile up in the system have left the caches when they are sent, and the slower half of
    // the runs then takes twice as long.
    socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut output = [0; 512];
    loop {
        let length = handshake.transmit(&mut output);
        stream.write_all(&output[..length])?;
        if handshake.is_complete() {
            break;
        }
        // Byte by byte: what follows the handshake is left in the socket.
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        handshake.receive(&byte)?;
    }
    let established = handshake.finish()?;
    ensure!(established.suite == cipher.suite(), "the client chose another suite");
    Ok((stream, established.records))
}

/// Copies `plaintext` to its place in `output`, which holds [`RECORD`] bytes, seals it there, and says how long the
/// record is.
pub(crate) fn seal(records: &mut Records, plaintext: &[u8], output: &mut [u8]) -> Result<usize, RecordError> {
    output[PREFIX_LEN..][..plaintext.len()].copy_from_slice(plaintext);
    records.seal(output, plaintext.len())
}

/// The records in a stream of bytes, cut out of large reads.
pub(crate) struct Inbox {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 4 * RECORD].into_boxed_slice(), start: 0, end: 0 }
    }

    /// The next whole record without its prefix, if it is here.
    pub(crate) fn next(&mut self) -> Option<&mut [u8]> {
        let range = self.next_range()?;
        Some(&mut self.buffer[range])
    }

    /// Opens the next record, if it is here, and says where its plaintext lies until the next call of
    /// [`space`](Self::space).
    pub(crate) fn open_next(&mut self, records: &mut Records) -> Result<Option<Range<usize>>, RecordError> {
        let Some(range) = self.next_range() else { return Ok(None) };
        let length = records.open(&mut self.buffer[range.clone()])?.len();
        Ok(Some(range.start..range.start + length))
    }

    /// Bytes that [`open_next`](Self::open_next) spoke of.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    fn next_range(&mut self) -> Option<Range<usize>> {
        let here = &self.buffer[self.start..self.end];
        let (prefix, rest) = here.split_first_chunk::<PREFIX_LEN>()?;
        let length = usize::from(u16::from_be_bytes(*prefix));
        if rest.len() < length {
            return None;
        }
        let start = self.start + PREFIX_LEN;
        self.start = start + length;
        Some(start..self.start)
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
        let mut inbox = Inbox::new();
        let mut lengths = Vec::new();
        for piece in wire.chunks(777) {
            inbox.space()[..piece.len()].copy_from_slice(piece);
            inbox.added(piece.len());
            while let Some(record) = inbox.next() {
                let plaintext = client.open(record).unwrap();
                assert!(plaintext.iter().all(|&byte| byte == plaintext.len() as u8));
                lengths.push(plaintext.len());
            }
        }
        assert_eq!(lengths, [1, 500, RECORD_PLAINTEXT]);
    }
}
