//! What can go wrong in a build script.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no code for a schema. Its `Debug` is its `Display`, because that is what `main` of a build script prints.
#[derive(thiserror::Error)]
pub enum Error {
    /// The schema does not compile: what is wrong, and where.
    #[error("the schema does not compile\n{0}")]
    Schema(String),
    /// An annotation makes no sense.
    #[error("{name}: {reason}")]
    Annotation {
        /// What is annotated.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Two things would have one name in Rust.
    #[error("{file}: {first} and {second} would both be called {name} in Rust; rename one of them")]
    Names {
        /// The schema.
        file: String,
        /// One of them.
        first: String,
        /// The other one.
        second: String,
        /// What both would be called.
        name: String,
    },
    /// A method, a type or a schema has a name that Rust keeps for itself, and that capnpc uses as it is.
    #[error(
        "{name}: `{word}` is a keyword of Rust's (`gen` is one from edition 2024 on), which capnpc does not know; \
         call it otherwise. Names are not on the wire: peers do not see the difference"
    )]
    Keyword {
        /// What is called so, in the schema.
        name: String,
        /// What capnpc would call it.
        word: String,
    },
    /// Two schemas have one name.
    #[error("two schemas are named {0}; the modules made of them would be one")]
    Files(String),
    /// A request makes no sense.
    #[error("what the schema compiler made of the schema cannot be read: {0}")]
    Request(#[from] capnp::Error),
    /// The generated code is no Rust.
    #[error("a defect of the code generator: {reason} in the code for {file}")]
    Generated {
        /// The schema.
        file: String,
        /// What the parser said.
        reason: String,
    },
    /// It is not known where the code goes.
    #[error("OUT_DIR is not set: this is for build scripts, which cargo runs; elsewhere say `out_dir`")]
    NoOutDir,
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<capnp::NotInSchema> for Error {
    fn from(error: capnp::NotInSchema) -> Self {
        Self::Request(error.into())
    }
}

impl From<std::str::Utf8Error> for Error {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::Request(error.into())
    }
}
