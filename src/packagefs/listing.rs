//! Pages of a directory, in bounded memory whatever its size, and stable while it changes.
//!
//! The order is by the bytes of the names, and the cursor is the last name that the page before looked at: it
//! needs no memory on the server, cannot go stale, and an entry that stays is listed once whatever comes and
//! goes around it.

use super::attributes::Entry;
#[cfg(feature = "host")]
use super::bundles;
#[cfg(feature = "host")]
use super::directory;
use super::path::{self, TreePath};
#[cfg(feature = "host")]
use super::tree::readable;
use super::tree::{Backing, Refusal, Rights, Tree};
use crate::schema::packagefs_capnp::Status;

#[cfg(feature = "host")]
pub(super) use super::directory::Ahead;

/// The most entries that a page has.
pub(super) const MAX_PAGE_ENTRIES: usize = 1000;

/// A page ends with the entry that reaches this size; one entry is less than 5 KiB.
pub(super) const PAGE_BYTES: usize = 512 * 1024;

/// What an entry takes in a message besides its name and its link's target.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// One page of a directory.
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Where the next page begins; `None` when this was the last.
    pub(super) next: Option<String>,
    /// How many entries of the directory no path can name. Only the first page counts them.
    pub(super) omitted: u32,
}

/// What a page leaves for the next one: nothing, where no directory has to be read for it.
#[cfg(not(feature = "host"))]
#[derive(Debug)]
pub(super) enum Ahead {}

/// The page of `path` that follows `cursor`, as whoever has these rights sees it. `ahead` is what an earlier page left, and what this
/// one leaves.
#[cfg_attr(
    not(feature = "host"),
    allow(
        unused_variables,
        clippy::unused_async,
        reason = "only a directory of a system is read and waited for"
    )
)]
pub(super) async fn page(
    tree: &Tree,
    rights: &Rights,
    ahead: &mut Option<Ahead>,
    path: TreePath<'_>,
    cursor: &[u8],
    limit: usize,
) -> Result<Page, Refusal> {
    let cursor = parse_cursor(cursor)?;
    match tree.backing() {
        #[cfg(feature = "host")]
        Backing::Directory(root) => directory::page(root, ahead, path, cursor, limit).await,
        #[cfg(feature = "host")]
        Backing::Bundles(store) => bundles::page(readable(store, rights), path, cursor, limit),
        Backing::Memory(files) => Ok(paged(files.children(path, cursor)?, limit)),
    }
}

/// As many entries as a page has, and where the next one begins.
pub(super) fn paged(mut entries: impl Iterator<Item = Entry>, limit: usize) -> Page {
    let limit = limit.clamp(1, MAX_PAGE_ENTRIES);
    let mut page = Page { entries: Vec::new(), next: None, omitted: 0 };
    let mut bytes = 0;
    while page.entries.len() < limit && bytes < PAGE_BYTES {
        let Some(entry) = entries.next() else { return page };
        bytes += page_bytes(&entry);
        page.entries.push(entry);
    }
    if entries.next().is_some() {
        page.next = page.entries.last().map(|entry| entry.name.clone());
    }
    page
}

/// What an entry adds to its page.
pub(super) fn page_bytes(entry: &Entry) -> usize {
    let target_bytes = entry.attributes.link_target.as_ref().map_or(0, String::len);
    entry.name.len() + target_bytes + ENTRY_OVERHEAD_BYTES
}

fn parse_cursor(cursor: &[u8]) -> Result<&str, Refusal> {
    if cursor.is_empty() {
        return Ok("");
    }
    match std::str::from_utf8(cursor) {
        Ok(name) if path::check_segment(name).is_ok() => Ok(name),
        _ => Err(Status::InvalidCursor.into()),
    }
}
