//! What is moved, and the check that it arrived.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use futures::io::AsyncWrite;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// The most plaintext that one Noise record carries, in bytes.
pub(crate) const RECORD_PLAINTEXT: usize = 65_519;

/// The name of the large file in [`Files`].
pub(crate) const LARGE_NAME: &str = "large";

/// The name of the directory of small files in [`Files`].
pub(crate) const SMALL_NAME: &str = "small";

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
fn fill(block: &mut [u8]) {
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

/// The files that are served, in memory where the system has a file system there. Removed when dropped.
pub(crate) struct Files {
    directory: TempDir,
}

impl Files {
    /// One file of `large_bytes`, and a directory of `small_files` files of `small_bytes` each.
    pub(crate) fn create(large_bytes: u64, small_files: usize, small_bytes: usize) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new()
            .prefix("vatmux-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
        let files = Self { directory };
        files.fill(large_bytes, small_files, small_bytes).with_context(|| {
            format!("cannot write {large_bytes} bytes of test files to {}", parent.display())
        })?;
        Ok(files)
    }

    fn fill(&self, large_bytes: u64, small_files: usize, small_bytes: usize) -> Result<()> {
        // A prime length, so that no block of the protocols repeats in step with it.
        let mut block = vec![0; 1_048_573];
        let mut blocks = Source::Memory { bytes: large_bytes }.open(&mut block)?;
        let mut large = BufWriter::new(File::create(self.large())?);
        loop {
            match blocks.next(&mut block)? {
                0 => break,
                length => large.write_all(&block[..length])?,
            }
        }
        large.flush()?;
        std::fs::create_dir(self.small())?;
        for number in 0..small_files {
            let mut content = vec![0; small_bytes];
            fill(&mut content);
            let name = number.to_le_bytes();
            let length = name.len().min(content.len());
            content[..length].copy_from_slice(&name[..length]);
            std::fs::write(self.small().join(format!("file-{number:04}")), content)?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn large(&self) -> PathBuf {
        self.root().join(LARGE_NAME)
    }

    pub(crate) fn small(&self) -> PathBuf {
        self.root().join(SMALL_NAME)
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

    #[test]
    fn the_files_have_the_promised_lengths_and_differ() {
        let files = Files::create(3_000_000, 3, 2048).unwrap();
        assert_eq!(std::fs::metadata(files.large()).unwrap().len(), 3_000_000);
        let read = |name: &str| std::fs::read(files.small().join(name)).unwrap();
        assert_eq!(read("file-0000").len(), 2048);
        assert_ne!(read("file-0000"), read("file-0002"));
    }
}
