//! Where schemas are read from.

use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use crate::limits::{EMBED_BYTES, FILE_BYTES};

/// A place that schema files, and those for `embed`, are read from.
pub trait Files {
    /// The contents of the file at `path`, or `None` if there is no such file.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;
}

/// The file system. Only regular files are read: a device may never end, and a pipe may never begin. Of one that is longer
/// than any file may be, no more is read than shows that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match read_regular(path) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // To open a pipe waits for somebody at its other end, and so this is asked before.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let most = FILE_BYTES.max(EMBED_BYTES) as u64 + 1;
    let mut contents = Vec::with_capacity(metadata.len().min(most) as usize);
    fs::File::open(path)?.take(most).read_to_end(&mut contents)?;
    Ok(contents)
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let pipe = std::env::temp_dir().join(format!("vatmux-schema-pipe-{}", std::process::id()));
        assert!(Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()));
        for path in [Path::new("/dev/zero"), &pipe] {
            let error = Disk.read(path).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{error}");
        }
        fs::remove_file(&pipe).unwrap();
        assert_eq!(Disk.read(Path::new("/")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(Disk.read(&pipe).unwrap(), None);
    }
}
