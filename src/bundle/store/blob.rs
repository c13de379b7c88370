//! Reading content, verified.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::layout;
use crate::bundle::Blob;
use crate::bundle::groups::{GROUP_BYTES, GroupTable, table_bytes};

/// The content of a file, open: readable until it is dropped, also when its bundle is removed meanwhile.
///
/// Every byte that it gives was verified when it was read. It holds one descriptor, the table of its groups (a 2,048th of its
/// length) and at most one group of 64 KiB.
#[derive(Debug)]
pub struct BlobFile {
    blob: Blob,
    file: Box<dyn DiskFile>,
    table: GroupTable,
    /// The group that was last read in part: small reads in a row hash it once.
    last: Mutex<Option<(u64, Vec<u8>)>>,
}

impl BlobFile {
    /// Opens content, if what is on disk has its length and its table.
    pub(super) fn open(disk: &dyn Disk, blob: Blob) -> Result<Self, StoreError> {
        let path = layout::blob(&blob.digest);
        let damaged = || StoreError::Damaged { digest: blob.digest };
        let file = match disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged()),
            file => file.map_err(StoreError::io("open", &path))?,
        };
        let read = StoreError::io("read", &path);
        let table_bytes = table_bytes(blob.size_bytes);
        match file.size_bytes() {
            Ok(size_bytes) if size_bytes == blob.size_bytes + table_bytes => {}
            Ok(_) => return Err(damaged()),
            Err(error) => return Err(read(error)),
        }
        // Manifests have no file for which this would not fit.
        let mut encoded = vec![0; usize::try_from(table_bytes).map_err(|_| damaged())?];
        file.read_at(blob.size_bytes, &mut encoded).map_err(read)?;
        let table = GroupTable::parse(blob.digest, blob.size_bytes, &encoded).ok_or_else(damaged)?;
        Ok(Self { blob, file, table, last: Mutex::new(None) })
    }

    /// Which content it is.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.blob
    }

    /// Fills `buffer` from `offset` on: all of it, or nothing of worth. Bytes behind the end cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let fits = offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.blob.size_bytes);
        if !fits {
            return Err(self.failed(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (group, within) = (at / GROUP_BYTES as u64, (at % GROUP_BYTES as u64) as usize);
            let group_bytes = self.table.group_bytes(group);
            let taken = rest.len().min(group_bytes - within);
            let (part, behind) = rest.split_at_mut(taken);
            if taken == group_bytes {
                self.file.read_at(at, part).map_err(|error| self.failed(error))?;
                if !self.table.proves(group, part) {
                    return Err(StoreError::Damaged { digest: self.blob.digest });
                }
            } else {
                self.read_part(group, within, part)?;
            }
            at += taken as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Reads a part of a group, and verifies all of the group.
    fn read_part(&self, group: u64, within: usize, part: &mut [u8]) -> Result<(), StoreError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(held, _)| *held != group) {
            // Nothing is held until it was verified.
            let mut bytes = last.take().map(|(_, bytes)| bytes).unwrap_or_default();
            bytes.resize(self.table.group_bytes(group), 0);
            self.file.read_at(group * GROUP_BYTES as u64, &mut bytes).map_err(|error| self.failed(error))?;
            if !self.table.proves(group, &bytes) {
                return Err(StoreError::Damaged { digest: self.blob.digest });
            }
            *last = Some((group, bytes));
        }
        match last.as_ref().and_then(|(_, bytes)| bytes.get(within..within + part.len())) {
            Some(bytes) => part.copy_from_slice(bytes),
            // The caller keeps within the group.
            None => return Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
        }
        Ok(())
    }

    /// Reads and verifies all of it.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        let mut group = vec![0; GROUP_BYTES];
        let mut at = 0;
        loop {
            let bytes = (self.blob.size_bytes - at).min(GROUP_BYTES as u64) as usize;
            let part = group.get_mut(..bytes).unwrap_or_default();
            self.read_at(at, part)?;
            at += bytes as u64;
            if at == self.blob.size_bytes {
                // A file without bytes has no group that was read.
                let sound = bytes != 0 || self.table.proves(0, &[]);
                return if sound { Ok(()) } else { Err(StoreError::Damaged { digest: self.blob.digest }) };
            }
        }
    }

    fn failed(&self, error: io::Error) -> StoreError {
        match error.kind() {
            // It had its length when it was opened.
            io::ErrorKind::UnexpectedEof => StoreError::Damaged { digest: self.blob.digest },
            _ => StoreError::io("read", &layout::blob(&self.blob.digest))(error),
        }
    }
}
