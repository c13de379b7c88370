//! Paths of bundles: `NAME/path` in the active version, `NAME@VERSION/path` in that one.

use std::sync::Arc;

use super::attributes::{Attributes, Entry};
use super::listing::{Page, paged};
use super::path::TreePath;
use super::tree::{Refusal, regular_file};
use crate::bundle::{Blob, BlobFile, BundleName, Content, Installed, StoreError, View};
use crate::schema::packagefs_capnp::{Kind, Status};

/// The most symbolic links on a path, as on most systems.
const MAX_LINKS: u32 = 40;

/// What a path leads to.
struct Found {
    bundle: Arc<Installed>,
    /// The path inside the bundle after every link on it; empty for the bundle itself.
    path: String,
}

pub(super) fn attributes(
    bundles: View<'_>,
    path: TreePath<'_>,
    follow_links: bool,
) -> Result<Attributes, Refusal> {
    match find(bundles, path, follow_links)? {
        None => Ok(directory(0)),
        Some(found) => found.attributes(),
    }
}

/// Opens a regular file, and nothing else.
pub(super) fn open(bundles: View<'_>, path: TreePath<'_>) -> Result<(BlobFile, Attributes), Refusal> {
    let Some(found) = find(bundles, path, true)? else { return Err(Status::IsADirectory.into()) };
    let attributes = regular_file(found.attributes()?)?;
    let Some(Content::File { size_bytes, digest, .. }) = found.content() else {
        return Err(Status::NotAFile.into());
    };
    let blob = Blob { digest: *digest, size_bytes: *size_bytes };
    match bundles.store().open_blob(blob) {
        Ok(file) => Ok((file, attributes)),
        Err(error) => {
            // What was removed since it was found is no damage.
            let manifest = found.bundle.manifest();
            match bundles.find(manifest.name(), Some(manifest.version())) {
                Some(_) => Err(error.into()),
                None => Err(Status::NotFound.into()),
            }
        }
    }
}

/// The page of a directory that follows `cursor`.
pub(super) fn page(
    bundles: View<'_>,
    path: TreePath<'_>,
    cursor: &str,
    limit: usize,
) -> Result<Page, Refusal> {
    let Some(found) = find(bundles, path, true)? else {
        return Ok(paged(roots(bundles).into_iter().filter(|entry| entry.name.as_str() > cursor), limit));
    };
    if found.attributes()?.kind != Kind::Directory {
        return Err(Status::NotADirectory.into());
    }
    let prefix = if found.path.is_empty() { String::new() } else { format!("{}/", found.path) };
    let entries = found.bundle.manifest().entries();
    let from = entries.partition_point(|entry| entry.path.as_str() <= format!("{prefix}{cursor}").as_str());
    let children = entries
        .get(from..)
        .unwrap_or_default()
        .iter()
        .map_while(|entry| Some((entry.path.as_str().strip_prefix(&prefix)?, entry)))
        .filter(|(name, _)| !name.contains('/'))
        .map(|(name, entry)| Entry {
            name: name.to_owned(),
            attributes: attributes_of(&entry.content, found.bundle.installed_ns()),
        });
    Ok(paged(children, limit))
}

/// Each version of each bundle once: the active one by the bundle's name.
fn roots(bundles: View<'_>) -> Vec<Entry> {
    let listed = bundles.list(None, usize::MAX);
    let mut roots: Vec<_> = listed
        .iter()
        .map(|listed| {
            let manifest = listed.bundle.manifest();
            let name = if listed.active {
                manifest.name().to_string()
            } else {
                format!("{}@{}", manifest.name(), manifest.version())
            };
            Entry { name, attributes: directory(listed.bundle.installed_ns()) }
        })
        .collect();
    roots.sort_by(|one, other| one.name.cmp(&other.name));
    roots
}

/// What `path` leads to; `None` for the root. Links on it are followed inside their bundle, the last one on request.
fn find(bundles: View<'_>, path: TreePath<'_>, follow_last: bool) -> Result<Option<Found>, Refusal> {
    if path.is_root() {
        return Ok(None);
    }
    let (bundle, inside) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
    let bundle = find_bundle(bundles, bundle).ok_or(Status::NotFound)?;
    let manifest = bundle.manifest();
    // The names that are still to be walked, the next one last.
    let mut ahead: Vec<&str> = inside.rsplit('/').filter(|name| !name.is_empty()).collect();
    let mut here = String::new();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match name {
            // Of the targets of links, alone.
            "" | "." => continue,
            ".." if here.is_empty() => return Err(Status::OutsideRoot.into()),
            ".." => {
                here.truncate(here.rfind('/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let directory_bytes = here.len();
        if !here.is_empty() {
            here.push('/');
        }
        here.push_str(name);
        let entry = manifest.entry(&here).ok_or(Status::NotFound)?;
        match &entry.content {
            Content::Directory => {}
            Content::File { .. } if ahead.is_empty() => {}
            Content::File { .. } => return Err(Status::NotADirectory.into()),
            Content::Symlink { .. } if ahead.is_empty() && !follow_last => {}
            Content::Symlink { target } => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Status::LinkLoop.into());
                }
                here.truncate(directory_bytes);
                ahead.extend(target.rsplit('/'));
            }
        }
    }
    Ok(Some(Found { path: here, bundle }))
}

fn find_bundle(bundles: View<'_>, segment: &str) -> Option<Arc<Installed>> {
    let (name, version) = match segment.split_once('@') {
        Some((name, version)) => (name, Some(version.parse().ok()?)),
        None => (segment, None),
    };
    let name: BundleName = name.parse().ok()?;
    bundles.find(&name, version)
}

impl Found {
    /// What it is; `None` for the bundle itself.
    fn content(&self) -> Option<&Content> {
        self.bundle.manifest().entry(&self.path).map(|entry| &entry.content)
    }

    fn attributes(&self) -> Result<Attributes, Refusal> {
        if self.path.is_empty() {
            return Ok(directory(self.bundle.installed_ns()));
        }
        // It was found by this path.
        let content = self.content().ok_or(Status::NotFound)?;
        Ok(attributes_of(content, self.bundle.installed_ns()))
    }
}

fn directory(modified_ns: i64) -> Attributes {
    attributes_of(&Content::Directory, modified_ns)
}

fn attributes_of(content: &Content, modified_ns: i64) -> Attributes {
    let (kind, size_bytes, link_target) = match content {
        Content::Directory => (Kind::Directory, 0, None),
        Content::File { size_bytes, .. } => (Kind::File, *size_bytes, None),
        Content::Symlink { target } => (Kind::Symlink, 0, Some(target.clone())),
    };
    Attributes { kind, mode: content.mode(), size_bytes, modified_ns, link_target }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::Damaged { .. } => Status::IntegrityViolation,
            _ => Status::IoError,
        };
        Self { status, detail: error.to_string() }
    }
}
