//! A Noise session as a stream of bytes, for peers that run on tokio.

use std::io;
use std::mem;
use std::net;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use vatmux_noise::{PREFIX_LEN, Records};

use crate::noise::{Inbox, RECORD};
use crate::payload::RECORD_PLAINTEXT;

/// Plaintext that is written waits for a full record or for a flush, so that short writes share a record; each record
/// leaves with one call. Reads are as large as those of the contestant without a multiplexer.
pub(crate) struct NoiseStream {
    tcp: TcpStream,
    records: Records,
    inbox: Inbox,
    /// Where in the inbox the plaintext lies that is not read yet.
    opened: Range<usize>,
    /// A record to be, and how much plaintext it has.
    written: Box<[u8]>,
    written_bytes: usize,
    /// A record, and the part of it that is not sent yet.
    sealed: Box<[u8]>,
    unsent: Range<usize>,
}

impl NoiseStream {
    /// Must be called on a tokio runtime.
    pub(crate) fn new(stream: net::TcpStream, records: Records) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let record = || vec![0; RECORD].into_boxed_slice();
        Ok(Self {
            tcp: TcpStream::from_std(stream)?,
            records,
            inbox: Inbox::new(),
            opened: 0..0,
            written: record(),
            written_bytes: 0,
            sealed: record(),
            unsent: 0..0,
        })
    }

    /// Sends the record that is under way.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match self.tcp.try_write(&self.sealed[self.unsent.clone()]) {
                Ok(written) => self.unsent.start += written,
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
        let length = self.records.seal(&mut self.written, self.written_bytes).map_err(io::Error::other)?;
        mem::swap(&mut self.written, &mut self.sealed);
        self.unsent = 0..length;
        self.written_bytes = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for NoiseStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, output: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        while this.opened.is_empty() {
            if let Some(opened) = this.inbox.open_next(&mut this.records).map_err(io::Error::other)? {
                this.opened = opened;
                continue;
            }
            match this.tcp.try_read(this.inbox.space()) {
                Ok(0) => return Poll::Ready(Ok(0)),
                Ok(read) => this.inbox.added(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(this.tcp.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let length = output.len().min(this.opened.len());
        let taken = this.opened.start..this.opened.start + length;
        output[..length].copy_from_slice(this.inbox.bytes(taken));
        this.opened.start += length;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for NoiseStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, input: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written_bytes == RECORD_PLAINTEXT {
            ready!(this.poll_seal(cx))?;
        }
        let length = input.len().min(RECORD_PLAINTEXT - this.written_bytes);
        this.written[PREFIX_LEN + this.written_bytes..][..length].copy_from_slice(&input[..length]);
        this.written_bytes += length;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.written_bytes > 0 {
            ready!(this.poll_seal(cx))?;
        }
        this.poll_send(cx)
    }

    /// The socket itself is closed with the process.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
