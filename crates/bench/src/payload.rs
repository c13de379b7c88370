//! What is moved, and the check that it arrived.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use futures::io::AsyncWrite;
use serde::{Deserialize, Serialize};

/// The most plaintext that one Noise record carries, in bytes.
pub(crate) const RECORD_PLAINTEXT: usize = 65_519;

/// Where the bytes come from that a server sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Source {
    /// One block, over and over: what sending costs without reading.
    Memory {
        /// How many bytes.
        bytes: u64,
    },
    /// A file, which lies in the page cache.
    File {
        /// Where it is.
        path: PathBuf,
    },
}

/// Bytes to send, in blocks of the reader's choice.
pub(crate) enum Blocks {
    Memory { left: u64 },
    File(File),
}

impl Source {
    /// Opens it, and fills `block` with what memory sends.
    pub(crate) fn open(&self, block: &mut [u8]) -> Result<Blocks> {
        Ok(match self {
            Self::Memory { bytes } => {
                fill(block);
                Blocks::Memory { left: *bytes }
            }
            Self::File { path } => {
                Blocks::File(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
            }
        })
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> Result<u64> {
        match self {
            Self::Memory { bytes } => Ok(*bytes),
            Self::File { path } => {
                Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
            }
        }
    }

    /// The checksum of all its bytes, sent in blocks of `block_bytes`.
    pub(crate) fn checksum(&self, block_bytes: usize) -> Result<u64> {
        let mut block = vec![0; block_bytes];
        let mut blocks = self.open(&mut block)?;
        let mut sink = Sink::new(true);
        loop {
            match blocks.next(&mut block)? {
                0 => return Ok(sink.checksum),
                length => sink.take(&block[..length]),
            }
        }
    }
}

impl Blocks {
    /// Makes the front of `block` the next bytes and says how many they are: all of `block` before the last, 0 after.
    pub(crate) fn next(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match self {
            // The block holds its bytes since it was opened.
            Self::Memory { left } => {
                let length = (block.len() as u64).min(*left);
                *left -= length;
                Ok(length as usize)
            }
            Self::File(file) => {
                let mut length = 0;
                while length < block.len() {
                    match file.read(&mut block[length..])? {
                        0 => break,
                        read => length += read,
                    }
                }
                Ok(length)
            }
        }
    }
}

/// Fills `block` with bytes that no compressor would shorten, the same ones each time.
pub(crate) fn fill(block: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in block.chunks_mut(8) {
        // Xorshift by Marsaglia, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}

/// Where a client's bytes end: counted, and thrown away.
pub(crate) struct Sink {
    pub(crate) bytes: u64,
    /// FNV-1a, computed only when the run is not timed.
    pub(crate) checksum: u64,
    checks: bool,
}

impl Sink {
    pub(crate) fn new(checks: bool) -> Self {
        Self { bytes: 0, checksum: 0xcbf2_9ce4_8422_2325, checks }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.checks {
            for byte in bytes {
                self.checksum = (self.checksum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_depends_on_the_bytes_and_not_on_how_they_arrive() {
        let mut whole = Sink::new(true);
        whole.take(b"vatmux");
        let mut parts = Sink::new(true);
        parts.take(b"va");
        parts.take(b"tmux");
        let mut swapped = Sink::new(true);
        swapped.take(b"vatmxu");
        assert_eq!(whole.checksum, parts.checksum);
        assert_ne!(whole.checksum, swapped.checksum);
    }

    #[test]
    fn a_source_gives_all_its_bytes_and_then_none() {
        let mut block = [0; 1000];
        let mut blocks = Source::Memory { bytes: 2500 }.open(&mut block).unwrap();
        let lengths: Vec<_> = (0..4).map(|_| blocks.next(&mut block).unwrap()).collect();
        assert_eq!(lengths, [1000, 1000, 500, 0]);
    }
}
