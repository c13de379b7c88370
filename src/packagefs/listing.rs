//! Pages of a directory, in bounded memory whatever its size, and stable while it changes.
//!
//! The order is by the bytes of the names, and the cursor is the last name that the page before looked at: it
//! needs no memory on the server, cannot go stale, and an entry that stays is listed once whatever comes and
//! goes around it. A directory gives its names in no order, so that a page after a cursor means reading all
//! of them. To keep that from being done for every thousand entries, one reading keeps the next
//! [`AHEAD_NAMES`] names for the pages that follow.

use std::collections::{BinaryHeap, VecDeque};
use std::io;

use cap_std::fs::Dir;
use vatmux_driver::yield_now;

use super::attributes::Entry;
use super::bundles;
use super::path::{self, TreePath};
use super::tree::{Backing, Refusal, Tree, attributes_in, directory_under, readable};
use crate::bundle::Rights;
use crate::schema::packagefs_capnp::Status;

/// The most entries that a page has.
pub(super) const MAX_PAGE_ENTRIES: usize = 1000;

/// A page ends with the entry that reaches this size; one entry is less than 5 KiB.
pub(super) const PAGE_BYTES: usize = 512 * 1024;

/// What an entry takes in a message besides its name and its link's target.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// How many names one reading of a directory keeps: at most 4.5 MiB, in names of 255 bytes.
const AHEAD_NAMES: usize = 16_384;

/// How many names are read between two chances for other tasks: about a millisecond.
const NAMES_PER_TURN: usize = 4096;

/// One page of a directory.
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Where the next page begins; `None` when this was the last.
    pub(super) next: Option<String>,
    /// How many entries of the directory no path can name. Only the first page counts them.
    pub(super) omitted: u32,
}

/// The names of one directory that follow those already listed.
#[derive(Debug)]
pub(super) struct Ahead {
    path: String,
    /// The cursor that these names follow.
    after: String,
    names: VecDeque<String>,
    /// Whether the directory had further names than these.
    more: bool,
    omitted: u32,
}

/// The page of `path` that follows `cursor`, as whoever has these rights sees it. `ahead` is what an earlier page left, and what this one leaves.
pub(super) async fn page(
    tree: &Tree,
    rights: &Rights,
    ahead: &mut Option<Ahead>,
    path: TreePath<'_>,
    cursor: &[u8],
    limit: usize,
) -> Result<Page, Refusal> {
    let cursor = parse_cursor(cursor)?;
    let directory = match tree.backing() {
        Backing::Directory(root) => directory_under(root, path)?,
        Backing::Bundles(store) => return bundles::page(readable(store, rights), path, cursor, limit),
    };
    let mut names = match ahead.take() {
        Some(left) if !cursor.is_empty() && left.path == path.as_str() && left.after == cursor => left,
        _ => read_names(&directory, path, cursor).await?,
    };

    let omitted = std::mem::take(&mut names.omitted);
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut looked_at = 0;
    while looked_at < limit.clamp(1, MAX_PAGE_ENTRIES) && bytes < PAGE_BYTES {
        let Some(name) = names.names.pop_front() else { break };
        looked_at += 1;
        names.after.clone_from(&name);
        let attributes = match attributes_in(&directory, &name) {
            Ok(attributes) => attributes,
            // Removed since its name was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let entry = Entry { name, attributes };
        bytes += page_bytes(&entry);
        entries.push(entry);
    }

    let next = if names.names.is_empty() && !names.more { None } else { Some(names.after.clone()) };
    if !names.names.is_empty() {
        *ahead = Some(names);
    }
    Ok(Page { entries, next, omitted })
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

/// Reads the whole directory and keeps the first [`AHEAD_NAMES`] names after `after`.
async fn read_names(directory: &Dir, path: TreePath<'_>, after: &str) -> Result<Ahead, Refusal> {
    let mut first = BinaryHeap::new();
    let mut more = false;
    let mut omitted = 0;
    for (seen, entry) in directory.entries()?.enumerate() {
        if seen % NAMES_PER_TURN == NAMES_PER_TURN - 1 {
            yield_now().await;
        }
        let name = match entry?.file_name().into_string() {
            Ok(name) if path::check_segment(&name).is_ok() => name,
            _ => {
                omitted += 1;
                continue;
            }
        };
        if name.as_str() <= after {
            continue;
        }
        if first.len() < AHEAD_NAMES {
            first.push(name);
            continue;
        }
        more = true;
        if let Some(mut last) = first.peek_mut()
            && name < *last
        {
            *last = name;
        }
    }
    Ok(Ahead {
        path: path.as_str().to_owned(),
        after: after.to_owned(),
        names: first.into_sorted_vec().into(),
        more,
        omitted: if after.is_empty() { omitted } else { 0 },
    })
}
