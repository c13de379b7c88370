//! What a caller may choose.

use std::path::PathBuf;

/// How to compile: where imports are looked for, and how files are named in the request.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories in which `import "/name"` is looked for, the first that has it wins.
    pub import_paths: Vec<PathBuf>,
    /// Prefixes taken off the paths on the command line before they are named in the request, the longest first.
    pub source_prefixes: Vec<PathBuf>,
    /// Whether `/capnp/*.capnp` is built in. A file found through `import_paths` goes before a built-in one.
    pub standard_imports: bool,
    /// More built-in files, found after `import_paths`: each an absolute import's name, such as
    /// `/vatmux/vatmux.capnp`, and its text.
    pub built_in: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            import_paths: Vec::new(),
            source_prefixes: Vec::new(),
            standard_imports: true,
            built_in: Vec::new(),
        }
    }
}

impl Options {
    /// Looks for absolute imports in `path` as well, after those that were given before.
    #[must_use]
    pub fn import_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.import_paths.push(path.into());
        self
    }

    /// Takes `prefix` off the names of files in the request.
    #[must_use]
    pub fn source_prefix(mut self, prefix: impl Into<PathBuf>) -> Self {
        self.source_prefixes.push(prefix.into());
        self
    }

    /// Says whether `/capnp/c++.capnp` and its siblings can be imported though no import path has them.
    #[must_use]
    pub fn standard_imports(mut self, built_in: bool) -> Self {
        self.standard_imports = built_in;
        self
    }

    /// Makes `import "NAME"` find `text` if no import path has it. `name` starts with a slash.
    #[must_use]
    pub fn built_in(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.built_in.push((name.into(), text.into()));
        self
    }
}
