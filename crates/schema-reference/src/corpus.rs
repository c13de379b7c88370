//! Schemas that others wrote, as far as this machine has them, and the project's own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs, io};

use tempfile::TempDir;
use vatmux_schema::Options;

use crate::Reference;

/// The variable that names a Python with `pycapnp`.
pub const PYTHON: &str = "VATMUX_INTEROP_PYTHON";

/// The Debian packages of Cap'n Proto. Which of them has schemas is a matter of the release.
const PACKAGES: [&str; 2] = ["capnproto", "libcapnp-dev"];
/// The crates that have schemas.
const CRATES: [&str; 3] = ["capnp", "capnpc", "capnp-rpc"];
/// Where the C++ tool finds the standard schemas by itself.
const STANDARD: [&str; 2] = ["/usr/local/include", "/usr/include"];
/// Where this project has schemas.
const OWN: [&str; 7] = [
    "schema",
    "crates/bench/schema",
    "crates/cli/tests/interop",
    "crates/rpc/schema",
    "crates/rpc/tests/schema",
    "crates/schema/standard",
    "crates/schema/tests/schemas",
];
/// The schema that others import by an absolute name, as it is called there, and where it is.
const ANNOTATIONS: (&str, &str) = ("vatmux/vatmux.capnp", "schema/vatmux.capnp");

/// Schemas that came together.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Whose they are.
    pub origin: String,
    /// Where they are, and where a compiler is called.
    pub directory: PathBuf,
    /// The files, relative to the directory.
    pub files: Vec<PathBuf>,
    /// Whether they bring the standard schemas along.
    has_standard: bool,
    /// Where the project's own schemas are found by absolute names.
    include: Option<Arc<TempDir>>,
}

/// Every collection that this machine has, and what it has not.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// What there is.
    pub collections: Vec<Collection>,
    /// What there is not, each with the reason.
    pub missing: Vec<String>,
}

impl Corpus {
    /// Looks for all of them.
    #[must_use]
    pub fn find() -> Self {
        let mut corpus = Self::default();
        for package in PACKAGES {
            corpus.add(&format!("Debian package {package}"), debian_package(package));
        }
        for name in CRATES {
            corpus.add(&format!("crate {name}"), crate_source(name));
        }
        corpus.add("PyPI pycapnp", pycapnp());
        for directory in OWN {
            let directory = repository().join(directory);
            let files = schemas_in(&directory, Path::new(""));
            corpus.add("this project", Ok((directory, files)));
        }
        let include = include().map(Arc::new).ok();
        for own in corpus.collections.iter_mut().filter(|collection| collection.origin == "this project") {
            own.include.clone_from(&include);
        }
        corpus
    }

    fn add(&mut self, origin: &str, found: Result<(PathBuf, Vec<PathBuf>), String>) {
        match found {
            Ok((directory, _)) if !directory.is_dir() => {
                self.missing.push(format!("{origin}: there is no {}", directory.display()));
            }
            Ok((_, files)) if files.is_empty() => self.missing.push(format!("{origin}: it has no schemas")),
            Ok((directory, files)) => {
                let has_standard = files.iter().any(|file| file == Path::new("capnp/c++.capnp"));
                let (origin, include) = (origin.to_owned(), None);
                self.collections.push(Collection { origin, directory, files, has_standard, include });
            }
            Err(reason) => self.missing.push(format!("{origin}: {reason}")),
        }
    }
}

impl Collection {
    /// The C++ tool, called for these schemas.
    #[must_use]
    pub fn reference(&self) -> Reference {
        let mut reference = Reference::new(&self.directory);
        if let Some(include) = &self.include {
            reference = reference.import_path(include.path());
        }
        if self.has_standard { reference.without_standard_imports().import_path(".") } else { reference }
    }

    /// The same for us, with the standard schemas from where the C++ tool has them.
    #[must_use]
    pub fn options(&self) -> Options {
        let mut options = Options::default().standard_imports(false);
        if let Some(include) = &self.include {
            options = options.import_path(include.path());
        }
        match standard_schemas() {
            _ if self.has_standard => options.import_path("."),
            Some(directory) => options.import_path(directory),
            None => options,
        }
    }

    /// The same with those that are built in; `None` for schemas that bring their own.
    #[must_use]
    pub fn built_in_options(&self) -> Option<Options> {
        let options = match &self.include {
            Some(include) => Options::default().import_path(include.path()),
            None => Options::default(),
        };
        (!self.has_standard).then_some(options)
    }
}

/// The top of the checkout.
#[must_use]
pub fn repository() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    top.canonicalize().unwrap_or(top)
}

/// Where the C++ tool finds the standard schemas.
#[must_use]
pub fn standard_schemas() -> Option<PathBuf> {
    STANDARD.iter().map(PathBuf::from).find(|directory| directory.join("capnp/c++.capnp").is_file())
}

/// A directory in which absolute imports of the project's own schemas are found.
fn include() -> io::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let (name, place) = ANNOTATIONS;
    let file = directory.path().join(name);
    fs::create_dir_all(file.parent().unwrap_or(directory.path()))?;
    fs::copy(repository().join(place), file)?;
    Ok(directory)
}

fn debian_package(name: &str) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let listing = output(Command::new("dpkg").args(["-L", name]))?;
    let directory = PathBuf::from("/usr/include");
    let files = listing.lines().map(Path::new).filter(|path| is_schema(path));
    let files = files.map(|path| path.strip_prefix(&directory).unwrap_or(path).to_owned()).collect();
    Ok((directory, sorted(files)))
}

fn crate_source(name: &str) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = repository().join("Cargo.toml");
    let arguments = ["metadata", "--format-version", "1", "--offline", "--locked", "--manifest-path"];
    let metadata = output(Command::new(cargo).args(arguments).arg(manifest))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let manifest = packages
        .iter()
        .find(|package| package["name"] == name && !package["source"].is_null())
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("cargo does not know it")?;
    let directory = Path::new(manifest).parent().ok_or("it has no directory")?.to_owned();
    let mut files = schemas_in(&directory, Path::new(""));
    files.extend(schemas_in(&directory, Path::new("schema")));
    Ok((directory, files))
}

fn pycapnp() -> Result<(PathBuf, Vec<PathBuf>), String> {
    let python = env::var_os(PYTHON).ok_or(format!("{PYTHON} does not say where it is"))?;
    let script = "import capnp, os; print(os.path.dirname(os.path.dirname(capnp.__file__)))";
    let directory = PathBuf::from(output(Command::new(python).args(["-c", script]))?.trim_end());
    let files = schemas_in(&directory, Path::new("capnp"));
    Ok((directory, files))
}

/// The schemas that lie in a directory, themselves and not below it, relative to `top`.
fn schemas_in(top: &Path, directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(top.join(directory)).into_iter().flatten().flatten();
    sorted(entries.map(|entry| directory.join(entry.file_name())).filter(|path| is_schema(path)).collect())
}

fn is_schema(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("capnp"))
}

fn sorted(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.sort();
    files
}

fn output(call: &mut Command) -> Result<String, String> {
    let name = call.get_program().to_string_lossy().into_owned();
    let output =
        call.stdin(Stdio::null()).output().map_err(|error| format!("cannot start {name}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name}: {}: {}", output.status, said.trim_end()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{name}: {error}"))
}
