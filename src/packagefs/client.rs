//! The client of a packagefs service, and its listings.

#[cfg(feature = "host")]
use std::path::Path;

use futures::io::AsyncWrite;
use vatmux_mux::Priority;
use vatmux_rpc::service::{Capability, Stub};
use vatmux_rpc::{ConnectError, Peer};

use super::attributes::{Attributes, Entry};
use super::error::{Error, Operation, Violation};
#[cfg(feature = "host")]
use super::fetch::{self, FetchOptions, Summary};
#[cfg(feature = "host")]
use super::fetch_tree;
use super::receive::{self, Opening, Pace, Progress, failed};
use crate::schema::packagefs::PackageFs;
use crate::schema::packagefs_capnp::package_fs;

/// How much of a file that may be large is asked for with its opening.
pub(super) const FIRST_BYTES: u32 = 64 * 1024;

/// The most entries of a page.
const PAGE_ENTRIES: u32 = 1000;

/// Pages in a row that a listing may have without an entry in them. A server skips what was removed since it
/// read the names, a page of a thousand at a time; nobody removes a million files that fast.
const MAX_EMPTY_PAGES: u32 = 1000;

/// Someone's content, by path.
///
/// Paths are relative to the root of what is served, as `schema/packagefs.capnp` has them; the empty path is
/// the root. Each method takes as many round trips as it says. The vat puts its deadline on every call,
/// except on streams, which may last 30 s and a second for each 32 KiB, and an hour longer where someone may
/// be reading what comes.
#[derive(Clone)]
pub struct Client {
    remote: PackageFs,
    /// How long the pieces are that files are streamed in.
    chunk_bytes: u32,
}

/// What [`Client::stat`] does when the path is a symbolic link's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Says what the link is.
    Inspect,
    /// Says what the link leads to.
    Follow,
}

impl Client {
    /// A client of the service behind `remote`, for as long as the vat lives through which that came.
    #[must_use]
    pub fn new(remote: package_fs::Client) -> Self {
        Self { remote: PackageFs::of(Capability::of(remote)), chunk_bytes: receive::SHORT_CHUNK_BYTES }
    }

    /// A client of the packagefs that `peer` offers, on a stream of its own that ends with the last clone: at
    /// [`PRIORITY`](super::PRIORITY), or behind. No round trip: where the peer has no such service, the first
    /// call says so.
    pub fn connect(peer: &Peer, priority: Priority) -> Result<Self, ConnectError> {
        let chunk_bytes = receive::chunk_bytes(peer.options().max_message_bytes);
        Ok(Self { remote: peer.connect_at(priority)?, chunk_bytes })
    }

    /// What `path` names. One round trip.
    pub async fn stat(&self, path: &str, links: Links) -> Result<Attributes, Error> {
        let attributes = self.remote.stat(path, links == Links::Follow).await;
        attributes.map(Attributes::from).map_err(|error| failed(Operation::Stat, path, error))
    }

    /// The entries of the directory `path`, page by page. Asks nothing yet.
    #[must_use]
    pub fn listing(&self, path: &str) -> Listing {
        Listing {
            client: self.clone(),
            path: path.to_owned(),
            cursor: Some(Vec::new()),
            last_name: String::new(),
            omitted: 0,
        }
    }

    /// All entries of the directory `path`, in the order of their names, if they are no more than `limit`.
    /// One round trip per thousand.
    pub async fn list(&self, path: &str, limit: u64) -> Result<Vec<Entry>, Error> {
        let mut listing = self.listing(path);
        let mut entries = Vec::new();
        while let Some(page) = listing.next_page().await? {
            if (entries.len() + page.len()) as u64 > limit {
                let (operation, path) = (Operation::List, path.to_owned());
                return Err(Error::TooManyEntries { operation, path, limit });
            }
            entries.extend(page);
        }
        Ok(entries)
    }

    /// Writes the file `path` to `output` and flushes it. Returns its length.
    ///
    /// One round trip for a file of up to 64 KiB; a longer one is streamed, at the pace at which `output`
    /// takes it. When this fails, a part of the file may have been written.
    pub async fn read_to<W: AsyncWrite + Unpin>(
        &self,
        path: &str,
        output: &mut W,
        progress: &dyn Fn(Progress),
    ) -> Result<u64, Error> {
        let opening = self.open(path, FIRST_BYTES).await?;
        progress(Progress::Found { files: 1, bytes: opening.attributes.size_bytes });
        opening.copy_to(output, Pace::Person, progress).await
    }

    /// Makes the local file `destination` of the file `path`. Returns its length.
    ///
    /// A regular file of that name is replaced; anything else is left alone and refused. The bytes go to a
    /// temporary file beside it, which takes its name only when it is complete and on disk: whatever fails
    /// before, nothing has changed. It may be run if the file on the server may be.
    #[cfg(feature = "host")]
    pub async fn fetch_file(
        &self,
        path: &str,
        destination: &Path,
        progress: &dyn Fn(Progress),
    ) -> Result<u64, Error> {
        fetch::check_file_destination(destination)?;
        let opening = self.open(path, FIRST_BYTES).await?;
        progress(Progress::Found { files: 1, bytes: opening.attributes.size_bytes });
        fetch::file(opening, destination, progress).await
    }

    /// Makes the local directory `destination` of the directory `path` and all that is in it.
    ///
    /// There must be nothing of that name yet, or an empty directory. Everything is put together in a
    /// temporary directory beside it, which takes its name when it is complete: whatever fails before,
    /// nothing has changed. Small files come in one round trip each, many of them at once; large ones are
    /// streamed, a few at a time.
    ///
    /// What cannot be had does not end it: it is left out, and the summary says what and why. Files may be
    /// run if they may be on the server; other modes, owners and times are not kept.
    #[cfg(feature = "host")]
    pub async fn fetch_tree(
        &self,
        path: &str,
        destination: &Path,
        options: FetchOptions,
        progress: &dyn Fn(Progress),
    ) -> Result<Summary, Error> {
        fetch_tree::run(self, path, destination, options, progress).await
    }

    pub(super) async fn open(&self, path: &str, limit: u32) -> Result<Opening, Error> {
        Opening::open(&self.remote, path, limit, self.chunk_bytes).await
    }
}

/// A listing under way. One that is dropped costs the server nothing.
pub struct Listing {
    client: Client,
    path: String,
    /// Where the next page begins; `None` after the last.
    cursor: Option<Vec<u8>>,
    last_name: String,
    omitted: u32,
}

impl Listing {
    /// The next entries, in the order of their names; `None` when there are no more. One round trip, unless
    /// the server sends pages without entries: those are skipped, up to a bound.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        for _ in 0..MAX_EMPTY_PAGES {
            let Some(cursor) = self.cursor.take() else { return Ok(None) };
            let entries = self.page(&cursor).await?;
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
            if self.cursor.as_ref() == Some(&cursor) {
                break;
            }
        }
        match self.cursor {
            None => Ok(None),
            Some(_) => Err(self.violation(Violation::EndlessListing)),
        }
    }

    /// The directory's path on the server.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many entries the server has left out so far because no path can name them.
    #[must_use]
    pub fn omitted(&self) -> u32 {
        self.omitted
    }

    async fn page(&mut self, cursor: &[u8]) -> Result<Vec<Entry>, Error> {
        let path = self.path.clone();
        let response = self.client.remote.list(&path, cursor, PAGE_ENTRIES).await;
        let response = response.map_err(|error| failed(Operation::List, &path, error))?;
        let failed = |source| Error::Call { operation: Operation::List, path: path.clone(), source };
        let results = response.get().map_err(failed)?;
        let listed = results.get_entries().map_err(failed)?;
        let mut entries = Vec::new();
        for entry in listed {
            let Some(entry) = Entry::read(entry).map_err(failed)? else {
                return Err(self.violation(Violation::InvalidName));
            };
            if entry.name <= self.last_name {
                return Err(self.violation(Violation::UnorderedListing));
            }
            self.last_name.clone_from(&entry.name);
            entries.push(entry);
        }
        self.omitted = self.omitted.saturating_add(results.get_omitted());
        let next = results.get_next().map_err(failed)?;
        self.cursor = if next.is_empty() { None } else { Some(next.to_owned()) };
        Ok(entries)
    }

    fn violation(&self, violation: Violation) -> Error {
        Error::Violation { operation: Operation::List, path: self.path.clone(), violation }
    }
}
