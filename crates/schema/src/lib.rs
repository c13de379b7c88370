//! A compiler for Cap'n Proto schemas: `.capnp` text in, a `CodeGeneratorRequest` out.
//!
//! The request means the same as the one that the C++ tool `capnp` makes: the same nodes, ids, layouts, brands,
//! defaults, annotations and doc comments. Code generators that read a request from standard input can read ours.
//!
//! ```
//! # use std::{io, path::Path};
//! struct Memory;
//!
//! impl vatmux_schema::Files for Memory {
//!     fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
//!         let text = "@0xbf5147cbbecf40c1; struct Point { x @0 :Int32; y @1 :Int32; }";
//!         Ok((path == Path::new("point.capnp")).then(|| text.into()))
//!     }
//! }
//!
//! let compiled = vatmux_schema::compile_from(&Memory, &["point.capnp"], &vatmux_schema::Options::default())?;
//! assert_eq!(compiled.request()?.get_nodes()?.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the compiler promises:
//! - **No input makes it panic**, overflow its stack or take memory without bound: see [`limits`].
//! - **One run reports many errors**, each with its place in the source, what was expected, and a hint where there is
//!   one: see [`Diagnostics`].
//! - **It is pure** but for reading the files: [`compile_from`] reads them from wherever the caller keeps them.

//!
//! The way from text to request, one module each: `load` finds files, `lexer` and `parser` read them into a `syntax`
//! tree, `declare` makes nodes of it. From there on things are looked at only when something depends on them: `nodes`
//! asks for all that a request needs, `resolve` says what names stand for, `structs` and `layout` where fields lie,
//! `values` what defaults and constants are. `request` and `encode` write it down. What is wrong anywhere goes into one
//! collector, and the run goes on.

#![forbid(unsafe_code)]

use std::path::Path;

mod compiled;
mod compiler;
mod declare;
mod diagnostics;
mod encode;
mod excerpt;
mod files;
mod ids;
mod layout;
mod lexer;
pub mod limits;
mod load;
mod model;
mod names;
mod nodes;
mod options;
mod parser;
mod request;
mod resolve;
mod source;
mod standard;
mod structs;
mod syntax;
mod values;

pub use compiled::Compiled;
pub use diagnostics::{Diagnostic, Diagnostics, Kind, Label, Severity, Span};
pub use files::{Disk, Files};
pub use ids::new_id;
pub use options::Options;

/// Compiles the schemas at `paths`, read from the disk, with all that they import.
pub fn compile<P: AsRef<Path>>(paths: &[P], options: &Options) -> Result<Compiled, Diagnostics> {
    compile_from(&Disk, paths, options)
}

/// Compiles the schemas at `paths`, read through `files`, with all that they import.
pub fn compile_from<P: AsRef<Path>>(
    files: &dyn Files,
    paths: &[P],
    options: &Options,
) -> Result<Compiled, Diagnostics> {
    compiler::Compiler::new(files, options).run(paths)
}
