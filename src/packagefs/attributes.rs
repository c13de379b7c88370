//! What is known about a path, in Rust's terms, and its passage to and from the wire.

#[cfg(feature = "host")]
use cap_std::fs::Metadata;

use super::path;
use crate::schema::packagefs as wire;
use crate::schema::packagefs_capnp::{Kind, attributes, entry};

/// What is known about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// File, directory, symlink or something else.
    pub kind: Kind,
    /// The lower nine bits of the POSIX mode.
    pub mode: u16,
    /// The length of a file; 0 for anything else.
    pub size_bytes: u64,
    /// When it was last modified, in nanoseconds since 1970; negative before, 0 where it is not known.
    pub modified_ns: i64,
    /// Where a symlink points, as it is written there. `None` for anything else, and for a target that is not
    /// UTF-8.
    pub link_target: Option<String>,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// One valid path segment.
    pub name: String,
    /// What has this name. A symlink is not followed.
    pub attributes: Attributes,
}

impl Attributes {
    /// Whether the owner may run the file.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    #[cfg(feature = "host")]
    pub(super) fn of(metadata: &Metadata, link_target: Option<String>) -> Self {
        let kind = match metadata.file_type() {
            it if it.is_file() => Kind::File,
            it if it.is_dir() => Kind::Directory,
            it if it.is_symlink() => Kind::Symlink,
            _ => Kind::Other,
        };
        Self {
            kind,
            mode: mode_of(metadata),
            size_bytes: if kind == Kind::File { metadata.len() } else { 0 },
            modified_ns: modified_ns_of(metadata),
            link_target,
        }
    }

    pub(super) fn write(&self, mut to: attributes::Builder<'_>) {
        to.set_kind(self.kind);
        to.set_mode(self.mode);
        to.set_size_bytes(self.size_bytes);
        to.set_modified(self.modified_ns);
        if let Some(target) = &self.link_target {
            to.set_link_target(target);
        }
    }

    pub(super) fn read(from: attributes::Reader<'_>) -> capnp::Result<Self> {
        wire::Attributes::read(from).map(Self::from)
    }
}

impl From<Attributes> for wire::Attributes {
    fn from(attributes: Attributes) -> Self {
        Self {
            kind: attributes.kind,
            mode: attributes.mode,
            size_bytes: attributes.size_bytes,
            modified: attributes.modified_ns,
            link_target: attributes.link_target.unwrap_or_default(),
        }
    }
}

impl From<wire::Attributes> for Attributes {
    fn from(attributes: wire::Attributes) -> Self {
        Self {
            kind: attributes.kind,
            mode: attributes.mode & 0o777,
            size_bytes: attributes.size_bytes,
            modified_ns: attributes.modified,
            link_target: Some(attributes.link_target).filter(|target| !target.is_empty()),
        }
    }
}

impl Entry {
    pub(super) fn write(&self, mut to: entry::Builder<'_>) {
        to.set_name(&self.name);
        self.attributes.write(to.init_attributes());
    }

    /// Reads an entry that a server sent. `None` when its name is not one valid segment: a name that would
    /// lead elsewhere when joined to a path is how a server attacks the one who fetches.
    pub(super) fn read(from: entry::Reader<'_>) -> capnp::Result<Option<Self>> {
        let Ok(name) = from.get_name()?.to_str() else { return Ok(None) };
        if path::check_segment(name).is_err() {
            return Ok(None);
        }
        Ok(Some(Self { name: name.to_owned(), attributes: Attributes::read(from.get_attributes()?)? }))
    }
}

#[cfg(all(feature = "host", unix))]
fn mode_of(metadata: &Metadata) -> u16 {
    use cap_std::fs::PermissionsExt;
    (metadata.permissions().mode() & 0o777) as u16
}

#[cfg(all(feature = "host", not(unix)))]
fn mode_of(metadata: &Metadata) -> u16 {
    if metadata.is_dir() { 0o555 } else { 0o444 }
}

#[cfg(feature = "host")]
fn modified_ns_of(metadata: &Metadata) -> i64 {
    let Ok(modified) = metadata.modified() else { return 0 };
    match modified.into_std().duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}
