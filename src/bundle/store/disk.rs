//! What a store needs of a disk, and the disks of an operating system.
//!
//! The store is careful about what is on disk when: it is written against this interface, so that a test can stop it between any
//! two steps, and lose whatever was not synced by then.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A directory tree of one store. Paths are relative to its root, with `/`; the empty one is the root.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Makes a directory, if it is not there already. Says whether it was made.
    fn create_directory(&self, path: &str) -> io::Result<bool>;
    /// The names in a directory, in no order.
    fn names(&self, path: &str) -> io::Result<Vec<String>>;
    /// Makes a file that must not exist.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read it.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, in place of what has that.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Who has it open can go on reading it.
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &str) -> io::Result<()>;
    /// Returns when the names in a directory are as durable as they can be.
    fn sync_directory(&self, path: &str) -> io::Result<()>;
    /// What has all files and names on disk in one go; `None` where each has to be synced by itself.
    fn whole(&self) -> io::Result<Option<Box<dyn Whole>>>;
}

/// All of a disk at once.
pub(crate) trait Whole: Debug + Send + Sync {
    /// Returns when all that was written since this was asked for is durable, names included. Fails where any of it is not.
    fn sync(&self) -> io::Result<()>;
}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Writes behind what was written before.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when all that was written is durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Its length.
    fn size_bytes(&self) -> io::Result<u64>;
    /// When it was last changed, in nanoseconds since 1970; 0 where that is not known.
    fn modified_ns(&self) -> i64;
    /// Fills `buffer` from `offset` on.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A directory of this machine.
#[derive(Debug)]
pub(crate) struct HostDisk {
    root: PathBuf,
}

impl HostDisk {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Disk for HostDisk {
    fn create_directory(&self, path: &str) -> io::Result<bool> {
        match fs::create_dir(self.at(path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(path))? {
            // The store gives no name that is not text: whatever has one is not the store's.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(self.at(path))?;
        Ok(Box::new(HostFile(file)))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.at(path);
        // Opening a FIFO would wait for a writer.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Box::new(HostFile(fs::File::open(path)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn remove_directory(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.at(path))
    }

    #[cfg(unix)]
    fn sync_directory(&self, path: &str) -> io::Result<()> {
        fs::File::open(self.at(path))?.sync_all()
    }

    /// Elsewhere a directory cannot be opened, and names are as durable as the file system makes them.
    #[cfg(not(unix))]
    fn sync_directory(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn whole(&self) -> io::Result<Option<Box<dyn Whole>>> {
        // What fails is told to files that were open by then.
        let root = fs::File::open(&self.root)?;
        let whole = file_system::syncs_as_a_whole(&root)?;
        Ok(whole.then(|| Box::new(WholeFileSystem(root)) as Box<dyn Whole>))
    }

    #[cfg(not(target_os = "linux"))]
    fn whole(&self) -> io::Result<Option<Box<dyn Whole>>> {
        Ok(None)
    }
}

/// The file system that a directory is on.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct WholeFileSystem(fs::File);

#[cfg(target_os = "linux")]
impl Whole for WholeFileSystem {
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }
}

/// Where `syncfs` does for all files what `fsync` does for one.
#[cfg(target_os = "linux")]
mod file_system {
    use std::os::fd::AsFd;
    use std::{fs, io};

    /// Those of which it is known that they flush the disk, and log what names were given: ext2 to ext4, XFS, btrfs, F2FS, and
    /// tmpfs, which has no disk. A file system of another machine or program may write to it and not have it flush.
    const KNOWN: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

    /// The first Linux whose `syncfs` tells that something could not be written.
    const FIRST_TO_TELL: (u32, u32) = (5, 8);

    pub(super) fn syncs_as_a_whole(root: &fs::File) -> io::Result<bool> {
        let kind = rustix::fs::fstatfs(root.as_fd())?.f_type;
        let known = u32::try_from(kind).is_ok_and(|kind| KNOWN.contains(&kind));
        let system = rustix::system::uname();
        let tells = system.release().to_str().ok().and_then(version).is_some_and(|it| it >= FIRST_TO_TELL);
        Ok(known && tells)
    }

    /// The first two numbers of a release, which may go on with anything.
    fn version(release: &str) -> Option<(u32, u32)> {
        let mut numbers = release.split(|at: char| !at.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_release_that_is_old_or_unreadable_is_not_believed_to_tell_of_errors() {
            for (release, tells) in [
                ("6.18.44-fc-v669", true),
                ("5.8.0", true),
                ("5.10.0-28-amd64", true),
                ("10.0", true),
                ("5.7.19", false),
                ("4.19.0", false),
                ("5", false),
                ("", false),
                ("six.eighteen", false),
            ] {
                assert_eq!(version(release).is_some_and(|it| it >= FIRST_TO_TELL), tells, "{release}");
            }
        }
    }
}

#[derive(Debug)]
struct HostFile(fs::File);

impl DiskFile for HostFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn modified_ns(&self) -> i64 {
        let modified = self.0.metadata().and_then(|metadata| metadata.modified()).ok();
        let since = modified.and_then(|modified| modified.duration_since(std::time::UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    offset += read as u64;
                    buffer = buffer.get_mut(read..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
