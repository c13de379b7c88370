//! What a compilation results in.

use std::fmt;
use std::path::PathBuf;

use capnp::message::{Builder, HeapAllocator};
use capnp::schema_capnp::code_generator_request;

/// A compiled set of schemas.
pub struct Compiled {
    pub(crate) message: Builder<HeapAllocator>,
    pub(crate) files: Vec<PathBuf>,
}

impl Compiled {
    /// The request, as code generators read it.
    pub fn request(&self) -> capnp::Result<code_generator_request::Reader<'_>> {
        self.message.get_root_as_reader()
    }

    /// The request as a framed message: what a code generator reads from its standard input.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        capnp::serialize::write_message_to_words(&self.message)
    }

    /// Every file that was read, imported and embedded ones too, but not those that are built in. In a build script,
    /// each is worth a `cargo::rerun-if-changed`.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("files", &self.files).finish_non_exhaustive()
    }
}
