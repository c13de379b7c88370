//! The other implementation, and what a session of ours is made of.

use std::io;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_driver::{Driver, Handle, HandshakeFailure, Link, PipeEnd, Session, SessionOptions, accept, dial};
use vatmux_mux::wire::{Frame, HEADER_BYTES, Header};
use vatmux_mux::{HeapStorage, Hello, Limits, StreamId};
use vatmux_noise::{
    AllowList, Entropy, Established, Handshake, MAX_RECORD, PREFIX_LEN, Records, SecretKey, Suite,
};

pub(crate) const OURS: u8 = 1;
pub(crate) const THEIRS: u8 = 2;

pub(crate) fn entropy(number: u8) -> Entropy {
    Entropy::from_bytes([number; 32]).unwrap()
}

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::generate(entropy(number))
}

/// Which end of the link ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    Dials,
    Accepts,
}

impl Ours {
    pub(crate) const EITHER: [Self; 2] = [Self::Dials, Self::Accepts];

    /// Our session over `link`.
    pub(crate) async fn start(
        self,
        handle: &Handle,
        link: impl Link + 'static,
        options: SessionOptions,
    ) -> Result<Session, HandshakeFailure> {
        self.start_as(OURS, THEIRS, handle, link, options).await
    }

    /// A session as the node `me` with the node `other`.
    pub(crate) async fn start_as(
        self,
        me: u8,
        other: u8,
        handle: &Handle,
        link: impl Link + 'static,
        options: SessionOptions,
    ) -> Result<Session, HandshakeFailure> {
        let (me, other, storage) = (key(me), key(other).node_id(), HeapStorage::default());
        let random = entropy(if self == Self::Dials { 5 } else { 6 });
        match self {
            Self::Dials => dial(handle, link, &me, other, random, storage, options).await,
            Self::Accepts => accept(handle, link, &me, &AllowList::Anyone, random, storage, options).await,
        }
    }
}

/// The other implementation, after its handshake.
pub(crate) struct Foreign {
    pub(crate) link: PipeEnd,
    records: Records,
}

impl Foreign {
    /// Shakes hands with ours, and says `hello`.
    pub(crate) async fn start(ours: Ours, mut link: PipeEnd, hello: &[u8]) -> Self {
        let mut handshake = match ours {
            Ours::Dials => Handshake::accept(&key(THEIRS), hello, entropy(4)),
            Ours::Accepts => {
                Handshake::dial(&key(THEIRS), key(OURS).node_id(), Suite::default(), hello, entropy(4))
            }
        }
        .unwrap();
        let mut buffer = [0; 1];
        let mut output = [0; 512];
        loop {
            let length = handshake.transmit(&mut output);
            link.write_all(&output[..length]).await.unwrap();
            if handshake.is_complete() {
                break;
            }
            // Byte by byte: what follows the handshake is left in the link.
            link.read_exact(&mut buffer).await.expect("ours goes on");
            handshake.receive(&buffer).expect("ours shakes hands as it should");
        }
        let Established { records, .. } = handshake.finish().unwrap();
        Self { link, records }
    }

    /// Sends `plaintext` as one record.
    pub(crate) async fn send(&mut self, plaintext: &[u8]) -> io::Result<()> {
        let mut record = vec![0; PREFIX_LEN + MAX_RECORD];
        record[PREFIX_LEN..][..plaintext.len()].copy_from_slice(plaintext);
        let length = self.records.seal(&mut record, plaintext.len()).unwrap();
        self.link.write_all(&record[..length]).await
    }

    /// What the next record carries; nothing once ours has hung up.
    pub(crate) async fn record(&mut self) -> Vec<u8> {
        let mut prefix = [0; PREFIX_LEN];
        if self.link.read(&mut prefix[..1]).await.unwrap() == 0 {
            return Vec::new();
        }
        self.link.read_exact(&mut prefix[1..]).await.unwrap();
        let mut record = vec![0; Records::record_len(prefix).unwrap()];
        self.link.read_exact(&mut record).await.unwrap();
        self.records.open(&mut record).unwrap().to_vec()
    }

    /// Everything that ours sends from now on until it hangs up, as a stream of frames.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        loop {
            let record = self.record().await;
            if record.is_empty() {
                return frames;
            }
            frames.extend(record);
        }
    }
}

/// Both ends over a pipe: ours with `options`, theirs with a good hello.
pub(crate) fn connected(
    driver: &mut Driver,
    ours: Ours,
    capacity_bytes: usize,
    options: SessionOptions,
) -> (Session, Foreign) {
    connected_to(driver, ours, capacity_bytes, options, good_hello())
}

/// [`connected`], with another hello.
pub(crate) fn connected_to(
    driver: &mut Driver,
    ours: Ours,
    capacity_bytes: usize,
    options: SessionOptions,
    hello: Hello,
) -> (Session, Foreign) {
    let handle = driver.handle();
    let (near, far) = vatmux_driver::pipe(capacity_bytes);
    let hello = hello.encode();
    let both = futures::future::join(ours.start(&handle, near, options), Foreign::start(ours, far, &hello));
    let (session, foreign) = driver.drive_until(both).unwrap();
    (session.unwrap(), foreign)
}

pub(crate) fn good_hello() -> Hello {
    Limits::HOST.hello()
}

pub(crate) fn id(raw: u32) -> StreamId {
    StreamId::new(raw).unwrap()
}

/// Frames as a peer sends them.
pub(crate) fn bytes_of(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let start = bytes.len();
        bytes.resize(start + frame.bytes(), 0);
        frame.emit(&mut bytes[start..]).unwrap();
    }
    bytes
}

/// The frames in what ours sent.
pub(crate) fn frames_in(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(header).unwrap();
        let (payload, rest) = rest.split_at(usize::from(header.length));
        frames.push(Frame::parse(&header, payload).unwrap());
        bytes = rest;
    }
    assert_eq!(bytes, [], "whole frames only");
    frames
}
