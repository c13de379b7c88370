//! Fetching a tree: many small files at once, a few large ones, and listings ahead of both.
//!
//! The server is not trusted with this machine: names are checked when they are listed, everything is written
//! through the handle of a fresh directory that nothing leads out of, and no link is followed.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use vatmux_driver::yield_now;

use super::Kind;
use super::attributes::{Attributes, Entry};
use super::client::{Client, FIRST_BYTES, Listing};
use super::error::{DestinationState, Error, LocalOperation, Operation};
use super::fetch::{self, FetchOptions, OutsideLinks, PARTIAL_PREFIX, SkipReason, Skipped, Summary};
use super::link::{self, Escape};
use super::path::TreePath;
use super::receive::Progress;
use super::server::MAX_SMALL_BYTES;

/// Files of up to this size come in one round trip each.
const SMALL_FILE_BYTES: u32 = MAX_SMALL_BYTES;

/// How many of them are asked for at once.
const SMALL_FILES_AT_ONCE: usize = 64;

/// How many bytes of them are asked for at once, and one file more: so few that a slow link brings them
/// within the deadline of a call.
const SMALL_BYTES_AT_ONCE: u64 = 2 * 1024 * 1024;

/// How many larger files are streamed at once.
const LARGE_FILES_AT_ONCE: usize = 2;

/// How many directories are listed at once.
const LISTINGS_AT_ONCE: usize = 16;

/// No further page is asked for while so many files wait to be fetched.
const BACKLOG_FILES: usize = 1000;

/// Fetches the directory `path` into a temporary directory, and gives it the name `destination`.
pub(super) async fn run(
    client: &Client,
    path: &str,
    destination: &Path,
    options: FetchOptions,
    progress: &dyn Fn(Progress),
) -> Result<Summary, Error> {
    check_destination(destination)?;
    // The first page tells whether there is a directory at all, before anything is made here.
    let mut listing = client.listing(path);
    let page = listing.next_page().await?;

    let failed = |operation| move |source| fetch::local(operation, destination, source);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL_PREFIX);
    #[cfg(unix)]
    let permissions = {
        use std::os::unix::fs::PermissionsExt;
        fs::Permissions::from_mode(0o777)
    };
    #[cfg(unix)]
    builder.permissions(permissions);
    let partial = builder.tempdir_in(fetch::parent(destination)).map_err(failed(LocalOperation::Create))?;
    let into =
        Dir::open_ambient_dir(partial.path(), ambient_authority()).map_err(failed(LocalOperation::Create))?;

    let mut walk = Walk {
        target: Target { client, root: path, destination, into: &into, progress },
        options,
        entries: 0,
        listings: Vec::new(),
        small: VecDeque::new(),
        large: VecDeque::new(),
        summary: Summary { directories: 1, ..Summary::default() },
    };
    walk.take_page(listing, page)?;
    walk.run().await?;
    let summary = walk.summary;
    drop(into);
    fs::rename(partial.path(), destination).map_err(failed(LocalOperation::Rename))?;
    // Nothing has the temporary name any more.
    let _ = partial.keep();
    Ok(summary)
}

/// Refuses a destination that is neither free nor an empty directory.
fn check_destination(destination: &Path) -> Result<(), Error> {
    let refused = |state| Err(Error::Destination { path: destination.to_owned(), state });
    let failed = |source| fetch::local(LocalOperation::Inspect, destination, source);
    if destination.file_name().is_none() {
        return refused(DestinationState::Nameless);
    }
    match fs::symlink_metadata(destination) {
        Ok(metadata) if metadata.is_dir() => match fs::read_dir(destination).map_err(failed)?.next() {
            None => Ok(()),
            Some(_) => refused(DestinationState::NotEmpty),
        },
        Ok(_) => refused(DestinationState::NotEmpty),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed(source)),
    }
}

/// Where the tree comes from and goes to.
#[derive(Clone, Copy)]
struct Target<'a> {
    client: &'a Client,
    /// The path on the server that the tree is made of.
    root: &'a str,
    /// What the tree will be called here, for messages.
    destination: &'a Path,
    into: &'a Dir,
    progress: &'a dyn Fn(Progress),
}

impl Target<'_> {
    /// The path inside the tree of a path on the server.
    fn inside<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.root).map_or(path, |rest| rest.strip_prefix('/').unwrap_or(rest))
    }

    /// What a path on the server will be called here.
    fn name(&self, path: &str) -> PathBuf {
        self.destination.join(self.inside(path))
    }

    fn failed(&self, operation: LocalOperation, path: &str) -> impl FnOnce(io::Error) -> Error {
        let name = self.name(path);
        move |source| fetch::local(operation, &name, source)
    }

    /// Fetches one file. When that fails, nothing has its name.
    async fn file(&self, path: &str, limit: u32) -> Result<u64, Error> {
        let opening = self.client.open(path, limit).await?;
        let inside = self.inside(path);
        let file = self
            .into
            .open_with(inside, &creation_options(&opening.attributes))
            .map_err(self.failed(LocalOperation::Create, path))?
            .into_std();
        let completed = fetch::complete(opening, &file, &self.name(path), self.progress).await;
        if completed.is_err() {
            self.into.remove_file(inside).map_err(self.failed(LocalOperation::Remove, path))?;
        }
        completed
    }
}

fn creation_options(attributes: &Attributes) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        options.mode(fetch::creation_mode(attributes));
    }
    options
}

/// A tree on its way.
struct Walk<'a> {
    target: Target<'a>,
    options: FetchOptions,
    entries: u64,
    /// Directories that are not listed to their end, the one to go on with last: going deep first keeps them
    /// few.
    listings: Vec<Listing>,
    /// Files to fetch, by their paths on the server; the small ones with the lengths that they were listed
    /// with.
    small: VecDeque<(String, u32)>,
    large: VecDeque<String>,
    summary: Summary,
}

/// A part of the work that has been done.
enum Done {
    Page(Listing, Result<Option<Vec<Entry>>, Error>),
    Small(String, u32, Result<u64, Error>),
    Large(String, Result<u64, Error>),
}

impl<'a> Walk<'a> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut running: FuturesUnordered<LocalBoxFuture<'a, Done>> = FuturesUnordered::new();
        let (mut listings, mut small, mut large) = (0, 0, 0);
        let mut small_bytes = 0;
        let target = self.target;
        loop {
            while small < SMALL_FILES_AT_ONCE
                && small_bytes < SMALL_BYTES_AT_ONCE
                && let Some((path, bytes)) = self.small.pop_front()
            {
                small += 1;
                small_bytes += u64::from(bytes);
                running.push(Box::pin(async move {
                    let fetched = target.file(&path, SMALL_FILE_BYTES).await;
                    Done::Small(path, bytes, fetched)
                }));
            }
            while large < LARGE_FILES_AT_ONCE
                && let Some(path) = self.large.pop_front()
            {
                large += 1;
                running.push(Box::pin(async move {
                    let fetched = target.file(&path, FIRST_BYTES).await;
                    Done::Large(path, fetched)
                }));
            }
            while listings < LISTINGS_AT_ONCE
                && self.small.len() + self.large.len() < BACKLOG_FILES
                && let Some(mut listing) = self.listings.pop()
            {
                listings += 1;
                running.push(Box::pin(async move {
                    let page = listing.next_page().await;
                    Done::Page(listing, page)
                }));
            }
            match running.next().await {
                None => return Ok(()),
                Some(Done::Page(listing, page)) => {
                    listings -= 1;
                    match page {
                        Ok(page) => self.take_page(listing, page)?,
                        Err(error) => self.skip_or_fail(listing.path().to_owned(), error)?,
                    }
                }
                Some(Done::Small(path, bytes, fetched)) => {
                    small -= 1;
                    small_bytes -= u64::from(bytes);
                    self.take_file(path, fetched)?;
                    // Sixty answers may have come in one record, and to write a file takes a tenth of a
                    // millisecond: whoever waits for something urgent on this thread must not wait for them all.
                    yield_now().await;
                }
                Some(Done::Large(path, fetched)) => {
                    large -= 1;
                    self.take_file(path, fetched)?;
                }
            }
        }
    }

    /// Makes the directories and links of a page, and notes the files to fetch.
    fn take_page(&mut self, listing: Listing, page: Option<Vec<Entry>>) -> Result<(), Error> {
        let Some(page) = page else {
            if listing.omitted() > 0 {
                self.skip(listing.path().to_owned(), SkipReason::Unnameable { count: listing.omitted() });
            }
            return Ok(());
        };
        self.entries += page.len() as u64;
        if self.entries > self.options.max_entries {
            let (path, limit) = (self.target.root.to_owned(), self.options.max_entries);
            return Err(Error::TooManyEntries { operation: Operation::FetchTree, path, limit });
        }
        let directory = listing.path().to_owned();
        // Its further pages come after the directories in this one.
        self.listings.push(listing);
        let (mut files, mut bytes) = (0, 0_u64);
        for Entry { name, attributes } in page {
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if TreePath::parse(path.as_bytes()).is_err() {
                self.skip(path, SkipReason::PathTooLong);
                continue;
            }
            match attributes.kind {
                Kind::Directory => {
                    self.target
                        .into
                        .create_dir(self.target.inside(&path))
                        .map_err(self.target.failed(LocalOperation::Create, &path))?;
                    self.summary.directories += 1;
                    self.listings.push(self.target.client.listing(&path));
                }
                Kind::File => {
                    files += 1;
                    bytes = bytes.saturating_add(attributes.size_bytes);
                    match u32::try_from(attributes.size_bytes) {
                        Ok(bytes) if bytes <= SMALL_FILE_BYTES => self.small.push_back((path, bytes)),
                        _ => self.large.push_back(path),
                    }
                }
                Kind::Symlink => self.link(path, attributes.link_target)?,
                Kind::Other => self.skip(path, SkipReason::NotAFile),
            }
        }
        (self.target.progress)(Progress::Found { files, bytes });
        Ok(())
    }

    fn take_file(&mut self, path: String, fetched: Result<u64, Error>) -> Result<(), Error> {
        match fetched {
            Ok(bytes) => {
                self.summary.files += 1;
                self.summary.bytes += bytes;
                (self.target.progress)(Progress::FileDone);
                Ok(())
            }
            Err(error) => self.skip_or_fail(path, error),
        }
    }

    fn link(&mut self, path: String, target: Option<String>) -> Result<(), Error> {
        let Some(target) = target else {
            self.skip(path, SkipReason::LinkInvalid);
            return Ok(());
        };
        let inside = self.target.inside(&path);
        let depth = inside.matches('/').count();
        let reason = match (link::check_target(&target, depth), self.options.outside_links) {
            (Ok(()), _) | (Err(Escape::LeavesTree | Escape::ClimbsLate), OutsideLinks::Recreate) => {
                return make_link(self.target.into, &target, inside)
                    .map_err(self.target.failed(LocalOperation::Create, &path))
                    .map(|()| self.summary.links += 1);
            }
            (Err(Escape::LeavesTree), OutsideLinks::Skip) => SkipReason::LinkLeavesTree { target },
            (Err(Escape::ClimbsLate), OutsideLinks::Skip) => SkipReason::LinkClimbs { target },
            (Err(Escape::Invalid), _) => SkipReason::LinkInvalid,
        };
        self.skip(path, reason);
        Ok(())
    }

    /// What the server refuses is left out; anything else ends the fetch.
    fn skip_or_fail(&mut self, path: String, error: Error) -> Result<(), Error> {
        match error {
            Error::Refused { status, detail, .. } => {
                self.skip(path, SkipReason::Refused { status, detail });
                Ok(())
            }
            other => Err(other),
        }
    }

    fn skip(&mut self, path: String, reason: SkipReason) {
        self.summary.skipped.push(Skipped { path, reason });
    }
}

#[cfg(unix)]
fn make_link(into: &Dir, target: &str, inside: &str) -> io::Result<()> {
    into.symlink_contents(target, inside)
}

#[cfg(not(unix))]
fn make_link(_into: &Dir, _target: &str, _inside: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
