//! `vatmux bundle …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vatmux::bundle::{BundleName, PublisherId, Version};
use vatmux_host::NodeAddress;

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Make a key to sign bundles with, and print the publisher's id
    #[command(after_long_help = help::KEYGEN)]
    Keygen {
        /// Write the key to FILE instead of `publisher.key` in this node's home
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Make a signed bundle of a directory
    #[command(after_long_help = help::PACK)]
    Pack(Pack),
    /// Check that a packed bundle is whole and signed
    #[command(after_long_help = help::VERIFY)]
    Verify(Verify),
    /// Show the manifest of a packed bundle, whose signature is checked and whose content is not
    #[command(after_long_help = help::INSPECT)]
    Inspect {
        /// The packed bundle
        file: PathBuf,

        /// List what is in it
        #[arg(short, long)]
        files: bool,
    },
    /// Make a directory of a packed bundle
    #[command(after_long_help = help::UNPACK)]
    Unpack(Unpack),
    /// Install a packed bundle on a node
    #[command(after_long_help = help::INSTALL)]
    Install(Install),
    /// List the bundles of a node
    #[command(after_long_help = help::LIST)]
    List {
        /// The node
        address: NodeAddress,
    },
    /// Show the versions of one bundle of a node
    #[command(after_long_help = help::LIST)]
    Query {
        /// The node
        address: NodeAddress,

        /// The bundle
        name: BundleName,
    },
    /// Have a bundle's name mean one of its versions
    Activate {
        #[command(flatten)]
        bundle: BundleRef,

        /// Also if it is an earlier version than the active one
        #[arg(long)]
        allow_downgrade: bool,
    },
    /// Remove a version of a bundle from a node
    Remove {
        #[command(flatten)]
        bundle: BundleRef,

        /// Also if it is the active version
        #[arg(long)]
        even_if_active: bool,
    },
    /// Remove the content that no bundle of a node needs any more
    Collect {
        /// The node
        address: NodeAddress,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// The directory
    pub(crate) dir: PathBuf,

    /// What the packed bundle will be called [default: NAME-VERSION.vatb, here]
    pub(crate) file: Option<PathBuf>,

    /// The bundle's name: a-z, 0-9, `.`, `-` and `_`, beginning with a letter
    #[arg(long)]
    pub(crate) name: BundleName,

    /// The bundle's version, such as 1.2.3
    #[arg(long)]
    pub(crate) version: Version,

    /// Sign with the key in FILE instead of `publisher.key` in this node's home
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Replace the file if there is one
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Trusted {
    /// Refuse what was not published by PUBLISHER; may be given several times
    #[arg(long, value_name = "PUBLISHER", num_args = 1..)]
    pub(crate) publisher: Vec<PublisherId>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The packed bundle
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) trusted: Trusted,
}

#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// The packed bundle
    pub(crate) file: PathBuf,

    /// The directory to make; there must be nothing of that name, or an empty directory
    pub(crate) dest: PathBuf,

    #[command(flatten)]
    pub(crate) trusted: Trusted,
}

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The node
    pub(crate) address: NodeAddress,

    /// The packed bundle
    pub(crate) file: PathBuf,

    /// Leave the active version as it is
    #[arg(long)]
    pub(crate) no_activate: bool,

    /// Activate it also if a later version is active
    #[arg(long, conflicts_with = "no_activate")]
    pub(crate) allow_downgrade: bool,
}

/// A version of a bundle on a node.
#[derive(Debug, Args)]
pub(crate) struct BundleRef {
    /// The node
    pub(crate) address: NodeAddress,

    /// The bundle
    pub(crate) name: BundleName,

    /// The version, such as 1.2.3
    pub(crate) version: Version,
}

/// Examples, and what `--json` prints.
mod help {
    pub(super) const KEYGEN: &str = "\
Example:
  vatmux bundle keygen

Only its owner can read the file. Who has it can publish as this publisher; a file that is there is never replaced.

JSON: {\"publisher\", \"key_file\"}";

    pub(super) const PACK: &str = "\
Example:
  vatmux bundle pack ./site --name org.example.site --version 1.0.0

The same directory gives the same bytes, whenever and wherever it is packed. Of a file counts what is in it and whether its \
owner may run it. Links must stay inside; FIFOs, sockets and devices cannot be packed.

JSON: {\"file\", \"name\", \"version\", \"publisher\", \"manifest_digest\", \"tree_digest\", \"files\", \"content_bytes\", \
\"packed_bytes\"}";

    pub(super) const VERIFY: &str = "\
Example:
  vatmux bundle verify org.example.site-1.0.0.vatb --publisher vatpub1…

Without --publisher it is checked that somebody signed it, and told who.

JSON: as of pack";

    pub(super) const INSPECT: &str = "\
Example:
  vatmux bundle inspect --files org.example.site-1.0.0.vatb

JSON: as of pack; with --files then one object per entry: {\"path\", \"kind\": \"file\"|\"directory\"|\"symlink\", \"mode\", \
\"size_bytes\", \"digest\", \"link_target\"}";

    pub(super) const UNPACK: &str = "\
Example:
  vatmux bundle unpack org.example.site-1.0.0.vatb ./site --publisher vatpub1…

The directory has its name when all of it is there and was verified: whatever fails before, nothing has changed.

JSON: as of pack, and \"destination\"";

    pub(super) const INSTALL: &str = "\
Example:
  vatmux bundle install vat://vat1…@127.0.0.1:7070/ org.example.site-1.0.0.vatb

The node must trust its publisher (vatmux serve --publisher) and let this node install (--installer). Nothing of it is visible \
there before all of it was verified and is on disk.

JSON: {\"name\", \"version\", \"publisher\", \"tree_digest\", \"files\", \"content_bytes\", \"stored_bytes\", \"installed_ns\", \
\"active\", \"was_there\", \"seconds\"}";

    pub(super) const LIST: &str = "\
JSON: one object per version: {\"name\", \"version\", \"publisher\", \"tree_digest\", \"files\", \"content_bytes\", \
\"stored_bytes\", \"installed_ns\", \"active\"}; stored_bytes are those that nothing else needs";
}
