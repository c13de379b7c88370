//! A Noise session as a stream of bytes, for peers that run on tokio.

use std::io;
use std::net;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use snow::TransportState;
use tokio::net::TcpStream;

use crate::noise::{self, RECORD, Records};
use crate::payload::RECORD_PLAINTEXT;

/// Plaintext that is written waits for a full record or for a flush, so that short writes share a record; each record
/// leaves with one call. Reads are as large as those of the contestant without a multiplexer.
pub(crate) struct NoiseStream {
    tcp: TcpStream,
    noise: TransportState,
    records: Records,
    opened: Part,
    written: Part,
    sealed: Part,
}

/// A buffer and the part of it that is in use.
struct Part {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Part {
    fn new(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes].into_boxed_slice(), start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

impl NoiseStream {
    /// Must be called on a tokio runtime.
    pub(crate) fn new(stream: net::TcpStream, noise: TransportState) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            tcp: TcpStream::from_std(stream)?,
            noise,
            records: Records::new(),
            opened: Part::new(RECORD),
            written: Part::new(RECORD_PLAINTEXT),
            sealed: Part::new(RECORD),
        })
    }

    /// Sends the record that is under way.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            match self.tcp.try_write(self.sealed.bytes()) {
                Ok(written) => self.sealed.start += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Seals what was written, once the record before is sent.
    fn poll_seal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        let length = noise::seal(&mut self.noise, self.written.bytes(), &mut self.sealed.buffer)
            .map_err(io::Error::other)?;
        (self.sealed.start, self.sealed.end) = (0, length);
        self.written.end = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for NoiseStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, output: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        while this.opened.is_empty() {
            if let Some(record) = this.records.next() {
                let length =
                    this.noise.read_message(record, &mut this.opened.buffer).map_err(io::Error::other)?;
                (this.opened.start, this.opened.end) = (0, length);
                continue;
            }
            match this.tcp.try_read(this.records.space()) {
                Ok(0) => return Poll::Ready(Ok(0)),
                Ok(read) => this.records.added(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(this.tcp.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let length = output.len().min(this.opened.bytes().len());
        output[..length].copy_from_slice(&this.opened.bytes()[..length]);
        this.opened.start += length;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for NoiseStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, input: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written.end == RECORD_PLAINTEXT {
            ready!(this.poll_seal(cx))?;
        }
        let room = &mut this.written.buffer[this.written.end..];
        let length = input.len().min(room.len());
        room[..length].copy_from_slice(&input[..length]);
        this.written.end += length;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.written.is_empty() {
            ready!(this.poll_seal(cx))?;
        }
        this.poll_send(cx)
    }

    /// The socket itself is closed with the process.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
