//! Where a store keeps its bytes: anything that is read and written at an offset, and can be made to keep what it was
//! given.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// The unit that a device writes as a whole or not at all when its power fails, in bytes. Disks promise it; a
/// store relies on it for nothing but its first block.
pub const SECTOR_BYTES: usize = 512;

/// How much is written when a file grows, rather than reserved, in bytes.
const MAX_FILLED_BYTES: u64 = 64 * 1024 * 1024;

/// A block device, or what does for one.
///
/// Reads and writes may come from several threads at once, but never two of them to the same bytes unless both are
/// reads. Between two calls of [`sync`](Self::sync) writes may reach the medium in any order.
pub trait BlockDevice: Debug + Send + Sync + 'static {
    /// How many bytes there are.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset_bytes` on; it is an error if the device ends before that.
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes`, none of which lie beyond the end.
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes room, or gives it back. Room that was made is kept: a write to it does not fail because the disk is full.
    /// What is read from it before it is written does not matter.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;

    /// Returns when all that was done before is durable: it survives the loss of power.
    fn sync(&self) -> io::Result<()>;
}

/// A file that this process alone has open.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
}

impl FileDevice {
    /// Opens the file, makes it if it is not there, and locks it until it is dropped.
    ///
    /// A file that another process has locked is an error of the kind [`io::ErrorKind::ResourceBusy`].
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another process has this store open")
            }
            TryLockError::Error(error) => error,
        })?;
        if file.metadata()?.len() == 0
            && let Some(directory) = path.parent()
        {
            sync_directory(directory)?;
        }
        Ok(Self { file })
    }
}

impl FileDevice {
    /// Blocks that are merely reserved cost a second flush when they are first written, because the file system then notes
    /// that they were: what is added is written once, as far as that takes no time to speak of.
    fn reserve(&self, old_bytes: u64, len_bytes: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(
            &self.file,
            rustix::fs::FallocateFlags::empty(),
            old_bytes,
            len_bytes - old_bytes,
        ) {
            Ok(()) if len_bytes - old_bytes > MAX_FILLED_BYTES => return Ok(()),
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        let mut at = old_bytes;
        while at < len_bytes {
            let bytes = (len_bytes - at).min(ZEROS.len() as u64);
            self.write_at(at, &ZEROS[..bytes as usize])?;
            at += bytes;
        }
        Ok(())
    }
}

/// The file's name is as durable as what will be in it.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

impl BlockDevice for FileDevice {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset_bytes)
    }

    #[cfg(unix)]
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset_bytes)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset_bytes: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset_bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    buffer = &mut buffer[read..];
                    offset_bytes += read as u64;
                }
            }
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset_bytes: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(&self.file, bytes, offset_bytes)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    bytes = &bytes[written..];
                    offset_bytes += written as u64;
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let old_bytes = self.len_bytes()?;
        if len_bytes <= old_bytes {
            return if len_bytes == old_bytes { Ok(()) } else { self.file.set_len(len_bytes) };
        }
        self.reserve(old_bytes, len_bytes).inspect_err(|_| {
            // What there is of it is given back; that it was not enough is what counts.
            let _ = self.file.set_len(old_bytes);
        })
    }

    fn sync(&self) -> io::Result<()> {
        // It writes the length too, where what was written cannot be read without it.
        self.file.sync_data()
    }
}
