//! Blocks that are known to be what was written: a checksum for each of them, checked whenever it is read.
//!
//! The engine above rests on the medium: what it reads it takes for what it wrote, and a flipped bit may lead it to a wrong
//! value, to no value, or to a panic. Here each of its pages gets a BLAKE3 checksum, bound to the page's place, and a page
//! that does not match is an error ([`Damage`]) instead of a page.
//!
//! # On the device
//!
//! Blocks have 4,096 bytes. Block 0 is the **superblock**; then follow both copies of the [log](super::log), whose records have
//! checksums of their own, and then groups of 257 blocks: one of 256 checksums of 16 bytes, and the 256 pages that they are
//! of. A page that was never written matches no checksum: the engine reads none.
//!
//! The superblock holds the engine's own header, which the engine overwrites in place (its other pages it writes
//! afresh before it forgets the old), and how many pages there are. It is there twice, in two sectors, each with a number and a
//! checksum; both are written together. A power cut leaves each of them old or new, and the newer one is valid:
//! either is a state that the engine may find. After a sync both are the same, so that damage to one of them harms nothing.
//!
//! A block of checksums is overwritten in place as well. That is sound: of a page that the engine relies on after a
//! power cut, the checksum was there before and is the same after.
//!
//! Memory: 16 bytes for each page of 4,096 that was touched, so at most 1/256 of the store.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::device::{BlockDevice, SECTOR_BYTES};
use super::log::{COPIES, LOG_BYTES};

/// The size of a block, and of a page of the engine.
pub(super) const BLOCK_BYTES: usize = 4096;

const BLOCK: u64 = BLOCK_BYTES as u64;
const SUM_BYTES: usize = 16;
const GROUP_PAGES: u64 = (BLOCK_BYTES / SUM_BYTES) as u64;

/// 4 PiB: no offset comes near the end of its type.
const MAX_PAGES: u64 = 1 << 40;

/// Where the groups begin.
const GROUPS_AT: u64 = BLOCK + COPIES * LOG_BYTES;

const MAGIC: [u8; 16] = *b"vatmux statefs 2";
/// Of the engine's page 0 this much is kept; it uses no more.
const HEADER_BYTES: usize = 320;
const SEQUENCE_AT: usize = 16;
const PAGES_AT: usize = 24;
const HEADER_AT: usize = 32;
const SEAL_AT: usize = HEADER_AT + HEADER_BYTES;
const SUPERBLOCK_BYTES: usize = SEAL_AT + blake3::OUT_LEN;
/// Where its two copies are: in sectors of their own.
const COPIES_AT: [usize; 2] = [0, BLOCK_BYTES / 2];

const _: () = assert!(SUPERBLOCK_BYTES <= SECTOR_BYTES);

/// What was read is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// Neither copy of the superblock is one.
    #[error("its first block is not that of a state store")]
    Superblock,
    /// A page does not match its checksum.
    #[error("page {0} does not match its checksum")]
    Page(u64),
    /// The device is shorter than the superblock says.
    #[error("its end is missing")]
    Truncated,
    /// Both copies of a record of the log are damaged.
    #[error("its log does not match its checksums")]
    Log,
}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        Self::new(io::ErrorKind::InvalidData, damage)
    }
}

/// Pages on a device, each with its checksum; to the engine, a plain file.
pub(super) struct Blocks {
    device: Arc<dyn BlockDevice>,
    fenced: AtomicBool,
    superblock: Mutex<Superblock>,
    sums: RwLock<Sums>,
}

/// Checksums that were read or changed, by group; `None` for a group whose checksums are still on the device alone.
#[derive(Default)]
struct Sums {
    groups: Vec<Option<Box<SumBlock>>>,
    dirty: BTreeSet<usize>,
}

type SumBlock = [[u8; SUM_BYTES]; GROUP_PAGES as usize];

impl Blocks {
    /// Opens what is on the device, or begins it if the device is empty.
    pub(super) fn open(device: Arc<dyn BlockDevice>) -> io::Result<Self> {
        let len_bytes = device.len_bytes()?;
        let mut first = [0; BLOCK_BYTES];
        device.read_at(0, &mut first[..len_bytes.min(BLOCK) as usize])?;
        let mut superblock = match Superblock::read(&first) {
            Some(superblock) => superblock,
            // Nothing follows it, nor is there anything in it: a store that nobody was told of yet.
            None if len_bytes <= BLOCK && first == [0; BLOCK_BYTES] => {
                let superblock = Superblock::default();
                device.set_len(BLOCK)?;
                device.write_at(0, &superblock.block())?;
                device.sync()?;
                superblock
            }
            None => return Err(Damage::Superblock.into()),
        };
        if superblock.header[0] == 0 {
            // The engine writes the first byte of its header last: a store that nobody was told of yet.
            superblock.pages = 0;
            if device.len_bytes()? < device_bytes(0) {
                device.set_len(device_bytes(0))?;
            }
        }
        if device.len_bytes()? < device_bytes(superblock.pages) {
            return Err(Damage::Truncated.into());
        }
        let groups = groups(superblock.pages);
        let sums = Sums { groups: (0..groups).map(|_| None).collect(), dirty: BTreeSet::new() };
        Ok(Self {
            device,
            fenced: AtomicBool::new(false),
            superblock: Mutex::new(superblock),
            sums: RwLock::new(sums),
        })
    }

    /// From now on all that is asked of this is refused: the device has another user.
    pub(super) fn fence(&self) {
        self.fenced.store(true, Ordering::SeqCst);
    }

    fn check_fence(&self) -> io::Result<()> {
        if self.fenced.load(Ordering::SeqCst) {
            return Err(io::Error::other("the store was opened anew after it had failed"));
        }
        Ok(())
    }

    fn check(&self, offset: u64, bytes: usize) -> io::Result<()> {
        self.check_fence()?;
        let whole_pages = offset.is_multiple_of(BLOCK) && bytes.is_multiple_of(BLOCK_BYTES);
        let end = offset.checked_add(bytes as u64);
        if offset < BLOCK || !whole_pages || end.is_none_or(|end| end / BLOCK > self.superblock().pages) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not pages of the store"));
        }
        Ok(())
    }

    fn superblock(&self) -> MutexGuard<'_, Superblock> {
        self.superblock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads whole pages, none of them page 0.
    fn read_pages(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(offset, out.len())?;
        let mut rest = out;
        for (page, count) in runs(offset, rest.len()) {
            let (run, after) = rest.split_at_mut(count * BLOCK_BYTES);
            rest = after;
            let mut sums = vec![[0; SUM_BYTES]; count];
            self.load(page, &mut sums)?;
            self.device.read_at(device_offset(page), run)?;
            for ((page, bytes), sum) in (page..).zip(run.chunks_exact_mut(BLOCK_BYTES)).zip(&sums) {
                if *sum != sum_of(page, bytes) {
                    return Err(Damage::Page(page).into());
                }
            }
        }
        Ok(())
    }

    /// Writes whole pages, none of them page 0.
    fn write_pages(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(offset, bytes.len())?;
        let mut rest = bytes;
        for (page, count) in runs(offset, rest.len()) {
            let (run, after) = rest.split_at(count * BLOCK_BYTES);
            rest = after;
            self.device.write_at(device_offset(page), run)?;
            let sums: Vec<_> = (page..)
                .zip(run.chunks_exact(BLOCK_BYTES))
                .map(|(page, bytes)| sum_of(page, bytes))
                .collect();
            self.store(page, &sums)?;
        }
        Ok(())
    }

    /// The checksums of pages from `page` on, all of one group.
    fn load(&self, page: u64, sums: &mut [[u8; SUM_BYTES]]) -> io::Result<()> {
        let (group, at) = place(page);
        let copy = |block: &SumBlock, sums: &mut [[u8; SUM_BYTES]]| {
            sums.copy_from_slice(&block[at..at + sums.len()]);
        };
        {
            let known = self.sums.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(Some(block)) = known.groups.get(group) {
                copy(block, sums);
                return Ok(());
            }
        }
        let mut known = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        copy(self.group(&mut known, group)?, sums);
        Ok(())
    }

    fn store(&self, page: u64, sums: &[[u8; SUM_BYTES]]) -> io::Result<()> {
        let (group, at) = place(page);
        let mut known = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        self.group(&mut known, group)?[at..at + sums.len()].copy_from_slice(sums);
        known.dirty.insert(group);
        Ok(())
    }

    fn group<'a>(&self, known: &'a mut Sums, group: usize) -> io::Result<&'a mut SumBlock> {
        let slot = known.groups.get_mut(group).ok_or(Damage::Truncated)?;
        if slot.is_none() {
            let mut block = Box::new([[0; SUM_BYTES]; GROUP_PAGES as usize]);
            self.device.read_at(sums_offset(group), block.as_flattened_mut())?;
            *slot = Some(block);
        }
        slot.as_deref_mut().ok_or_else(|| Damage::Truncated.into())
    }

    /// Changes how many pages there are. The superblock never names more than the device is known to have.
    fn resize(&self, pages: u64) -> io::Result<()> {
        self.check_fence()?;
        let mut superblock = self.superblock();
        if pages <= superblock.pages {
            if pages < superblock.pages {
                self.forget(pages);
                superblock.pages = pages;
                superblock.write(&*self.device)?;
                self.device.sync()?;
                self.device.set_len(device_bytes(pages))?;
            }
            return Ok(());
        }
        self.device.set_len(device_bytes(pages))?;
        self.device.sync()?;
        {
            let mut known = self.sums.write().unwrap_or_else(PoisonError::into_inner);
            // What is made room for was never written, whatever there was before.
            for page in superblock.pages..pages {
                let (group, at) = place(page);
                if known.groups.len() <= group {
                    known.groups.push(Some(Box::new([[0; SUM_BYTES]; GROUP_PAGES as usize])));
                }
                self.group(&mut known, group)?[at] = [0; SUM_BYTES];
                known.dirty.insert(group);
            }
        }
        superblock.pages = pages;
        superblock.write(&*self.device)
    }

    fn forget(&self, pages: u64) {
        let groups = groups(pages);
        let mut known = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        known.groups.truncate(groups);
        known.dirty.retain(|group| *group < groups);
    }

    fn sync(&self) -> io::Result<()> {
        self.check_fence()?;
        {
            let mut known = self.sums.write().unwrap_or_else(PoisonError::into_inner);
            let Sums { groups, dirty } = &mut *known;
            for group in dirty.iter() {
                if let Some(Some(block)) = groups.get(*group) {
                    self.device.write_at(sums_offset(*group), block.as_flattened())?;
                }
            }
            dirty.clear();
        }
        self.device.sync()
    }

    /// Reads from a copy of the log, unchecked.
    pub(super) fn read_log(&self, copy: u64, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.device.read_at(log_offset(copy, at, out.len())?, out)
    }

    /// Writes to a copy of the log.
    pub(super) fn write_log(&self, copy: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_fence()?;
        self.device.write_at(log_offset(copy, at, bytes.len())?, bytes)
    }

    /// Returns when what was written to the log is durable.
    pub(super) fn sync_log(&self) -> io::Result<()> {
        self.check_fence()?;
        self.device.sync()
    }
}

/// What page 0 and the number of pages come down to.
#[derive(Clone, PartialEq, Eq)]
struct Superblock {
    sequence: u64,
    pages: u64,
    header: [u8; HEADER_BYTES],
}

impl Default for Superblock {
    fn default() -> Self {
        Self { sequence: 0, pages: 0, header: [0; HEADER_BYTES] }
    }
}

impl Superblock {
    /// The newer one of the two copies.
    fn read(block: &[u8; BLOCK_BYTES]) -> Option<Self> {
        let copies = COPIES_AT.map(|at| Self::read_copy(&block[at..at + SUPERBLOCK_BYTES]));
        copies.into_iter().flatten().max_by_key(|copy| copy.sequence)
    }

    fn read_copy(copy: &[u8]) -> Option<Self> {
        let (sealed, seal) = copy.split_at_checked(SEAL_AT)?;
        if sealed[..SEQUENCE_AT] != MAGIC || seal != blake3::hash(sealed).as_bytes() {
            return None;
        }
        let pages = u64::from_le_bytes(sealed[PAGES_AT..HEADER_AT].try_into().ok()?);
        (pages <= MAX_PAGES).then_some(())?;
        Some(Self {
            sequence: u64::from_le_bytes(sealed[SEQUENCE_AT..PAGES_AT].try_into().ok()?),
            pages,
            header: sealed[HEADER_AT..].try_into().ok()?,
        })
    }

    fn block(&self) -> [u8; BLOCK_BYTES] {
        let mut copy = [0; SUPERBLOCK_BYTES];
        copy[..SEQUENCE_AT].copy_from_slice(&MAGIC);
        copy[SEQUENCE_AT..PAGES_AT].copy_from_slice(&self.sequence.to_le_bytes());
        copy[PAGES_AT..HEADER_AT].copy_from_slice(&self.pages.to_le_bytes());
        copy[HEADER_AT..SEAL_AT].copy_from_slice(&self.header);
        let seal = blake3::hash(&copy[..SEAL_AT]);
        copy[SEAL_AT..].copy_from_slice(seal.as_bytes());
        let mut block = [0; BLOCK_BYTES];
        for at in COPIES_AT {
            block[at..at + SUPERBLOCK_BYTES].copy_from_slice(&copy);
        }
        block
    }

    fn write(&mut self, device: &dyn BlockDevice) -> io::Result<()> {
        self.sequence += 1;
        device.write_at(0, &self.block())
    }
}

/// The checksum of a page: bound to its place, so that a page that strayed matches nowhere else.
fn sum_of(page: u64, bytes: &[u8]) -> [u8; SUM_BYTES] {
    let mut place = [0; blake3::KEY_LEN];
    place[..8].copy_from_slice(&page.to_le_bytes());
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&blake3::keyed_hash(&place, bytes).as_bytes()[..SUM_BYTES]);
    sum
}

/// A page's group, and its place there.
fn place(page: u64) -> (usize, usize) {
    ((page / GROUP_PAGES) as usize, (page % GROUP_PAGES) as usize)
}

fn groups(pages: u64) -> usize {
    pages.div_ceil(GROUP_PAGES) as usize
}

fn sums_offset(group: usize) -> u64 {
    GROUPS_AT + group as u64 * (GROUP_PAGES + 1) * BLOCK
}

fn log_offset(copy: u64, at: u64, bytes: usize) -> io::Result<u64> {
    let within = copy < COPIES && at.checked_add(bytes as u64).is_some_and(|end| end <= LOG_BYTES);
    if within { Ok(BLOCK + copy * LOG_BYTES + at) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn device_offset(page: u64) -> u64 {
    let (group, at) = place(page);
    sums_offset(group) + (1 + at as u64) * BLOCK
}

/// How large a device must be for so many pages.
fn device_bytes(pages: u64) -> u64 {
    pages.checked_sub(1).map_or(GROUPS_AT, |last| device_offset(last).saturating_add(BLOCK))
}

/// The pages of a range, split where a group ends: the first of each run, and how many.
fn runs(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize)> {
    let mut page = offset / BLOCK;
    let end = page + (bytes / BLOCK_BYTES) as u64;
    std::iter::from_fn(move || {
        let count = (end - page).min(GROUP_PAGES - page % GROUP_PAGES);
        let run = (page, count as usize);
        page += count;
        (count > 0).then_some(run)
    })
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("device", &self.device).finish_non_exhaustive()
    }
}

/// The blocks as the engine wants them.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Arc<Blocks>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.superblock().pages * BLOCK)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset >= BLOCK {
            return self.0.read_pages(offset, out);
        }
        let superblock = self.0.superblock();
        let header = usize::try_from(offset).ok().and_then(|at| superblock.header.get(at..at + out.len()));
        out.copy_from_slice(header.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.resize(len.div_ceil(BLOCK))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset >= BLOCK {
            return self.0.write_pages(offset, data);
        }
        self.0.check_fence()?;
        let mut superblock = self.0.superblock();
        let header =
            usize::try_from(offset).ok().and_then(|at| superblock.header.get_mut(at..at + data.len()));
        header.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(data);
        superblock.write(&*self.0.device)
    }
}
