//! From a Cap'n Proto schema to services, in a build script.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), vatmux_build::Error> {
//!     vatmux_build::compile("schema/notes.capnp")
//! }
//! ```
//!
//! ```ignore
//! // src/lib.rs
//! /// What the build script makes of `schema/`.
//! pub mod schema {
//!     include!(concat!(env!("OUT_DIR"), "/schema.rs"));
//! }
//! ```
//!
//! For `notes.capnp` the module `schema` then has two: `notes_capnp`, capnpc's readers, builders and clients, and `notes`,
//! which has for each interface that is not generic
//!
//! * a client stub, `Notes`, whose methods take and give values of Rust;
//! * a server trait, `NotesServer`, of the same values;
//! * a test double, `NotesDouble`: a server whose answers a test says;
//! * a descriptor, where the interface is annotated as a service: see `schema/vatmux.capnp`, which schemas import as
//!   `/vatmux/vatmux.capnp`.
//!
//! What is a value of Rust: numbers, enums, text (`&str`, `String`), data (`&[u8]`, `Vec<u8>`), structs without unions and groups
//! whose fields are such values, lists of these, and, among the parameters and results of a method, capabilities, as stubs.
//! Results that have anything else in them, or that are annotated as `bulk`, are read where they arrived and written where
//! they leave, by capnpc's readers and builders; so are parameters, and more than six of them. `stub.capability().client()`
//! is capnpc's own client, for whatever a stub has no word for.
//!
//! The code is for a crate that depends on `vatmux`, and on nothing else for its sake: see [`Build::runtime`].

#![forbid(unsafe_code)]

mod annotations;
mod digest;
mod emit;
mod error;
mod frontend;
mod keywords;
mod names;
mod schema;
mod types;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use capnp::serialize;

pub use error::Error;
pub use frontend::{VATMUX_CAPNP, options};

use crate::schema::Schema;

/// Compiles one schema; see [`Build`].
pub fn compile(path: impl AsRef<Path>) -> Result<(), Error> {
    Build::new().compile(&[path])
}

/// Compiles schemas in a build script: all of a crate's in one go, so that they may import each other.
#[derive(Clone, Debug)]
#[must_use]
pub struct Build {
    import_paths: Vec<PathBuf>,
    module: String,
    runtime: String,
    out_dir: Option<PathBuf>,
    doubles: bool,
    services: bool,
}

impl Default for Build {
    fn default() -> Self {
        Self::new()
    }
}

impl Build {
    /// A build that says nothing but what is common.
    pub fn new() -> Self {
        Self {
            import_paths: Vec::new(),
            module: "schema".to_owned(),
            runtime: "::vatmux".to_owned(),
            out_dir: None,
            doubles: true,
            services: true,
        }
    }

    /// Adds a directory in which imports that begin with `/` are looked for. `/vatmux/vatmux.capnp` and what Cap'n Proto
    /// ships as `/capnp/…` is found without.
    pub fn import_path(mut self, directory: impl Into<PathBuf>) -> Self {
        self.import_paths.push(directory.into());
        self
    }

    /// The module of the crate that includes the generated code, as in `schema` (the default) or `api::schema`; the crate
    /// itself if it is empty. The file to include is named after the last word.
    pub fn module(mut self, module: impl Into<String>) -> Self {
        self.module = module.into();
        self
    }

    /// The crate whose `service`, `capnp` and `capnp_rpc` the generated code uses. Default: `::vatmux`.
    pub fn runtime(mut self, path: impl Into<String>) -> Self {
        self.runtime = path.into();
        self
    }

    /// Where the generated files go. Default: what cargo says in `OUT_DIR`.
    pub fn out_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(directory.into());
        self
    }

    /// Whether test doubles are generated. Default: yes.
    pub fn doubles(mut self, doubles: bool) -> Self {
        self.doubles = doubles;
        self
    }

    /// Whether there is more than capnpc's code, which then uses the crate `capnp` and nothing of this project. Default: yes.
    pub fn services(mut self, services: bool) -> Self {
        self.services = services;
        self
    }

    /// Compiles `schemas`, whose names must differ, and tells cargo to do so again when one of them, or what they import,
    /// has changed.
    #[allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
    pub fn compile<P: AsRef<Path>>(&self, schemas: &[P]) -> Result<(), Error> {
        let paths: Vec<&Path> = schemas.iter().map(AsRef::as_ref).collect();
        let compiled = frontend::compile(&paths, &self.import_paths)?;
        for file in &compiled.files {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        self.generate(&compiled.request)
    }

    /// Generates from what a schema compiler has made of the schemas: a `CodeGeneratorRequest`, as plugins get it.
    pub fn generate(&self, request: &[u8]) -> Result<(), Error> {
        let out_dir = match &self.out_dir {
            Some(directory) => directory.clone(),
            None => env::var_os("OUT_DIR").map(PathBuf::from).ok_or(Error::NoOutDir)?,
        };
        let message = serialize::read_message(request, capnp::message::ReaderOptions::new())?;
        let schema = Schema::new(message.get_root()?)?;
        keywords::check(&schema)?;
        let parent: Vec<String> =
            self.module.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect();
        capnpc::codegen::CodeGenerationCommand::new()
            .output_directory(&out_dir)
            .default_parent_module(parent.clone())
            .capnp_root(&if self.services {
                format!("{}::capnp", self.runtime)
            } else {
                "::capnp".to_owned()
            })
            .run(request)?;

        if !self.services {
            return Ok(());
        }
        for file in &schema.files {
            let text = emit::file(&schema, file, &self.runtime, self.doubles)?;
            write(&out_dir.join(format!("{}.rs", file.module)), &text)?;
        }
        let entry = parent.last().map_or("schema", String::as_str);
        write(&out_dir.join(format!("{entry}.rs")), &emit::entry(&schema)?)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}
