//! Random valid schemas: everything that the language has, in orders that people do not write.
//!
//! A seed decides all of a set of schemas, the files of which import each other. Every so often one is not quite valid
//! — two ids meet, a name hides another —, which the reference says.

mod author;
mod parts;
mod shrink;
mod types;
mod values;
mod world;
mod write;

use std::collections::BTreeSet;

use author::Author;
use parts::Text;
pub use shrink::smallest;

/// Schemas that import each other.
#[derive(Debug)]
pub struct Schemas {
    files: Vec<(String, Text)>,
    optional_parts: u32,
}

impl Schemas {
    /// The schemas that a seed stands for; the names of the files start with `name`.
    #[must_use]
    pub fn random(seed: u64, name: &str) -> Self {
        let mut author = Author::new(seed);
        author.declare(name);
        let mut files = Vec::new();
        for file in author.world.files.clone() {
            let text = author.write(file);
            files.push((author.world.get(file).name.clone(), text));
        }
        Self { files, optional_parts: author.counter.parts() }
    }

    /// The files: what each is called, and its text.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, String)> {
        self.without(&BTreeSet::new())
    }

    fn without(&self, omitted: &BTreeSet<u32>) -> Vec<(String, String)> {
        self.files.iter().map(|(name, text)| (name.clone(), text.without(omitted))).collect()
    }
}
