//! `vatmux new`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::arguments::{Arguments, New};
use crate::failure::Failure;
use crate::output;

/// The files of a crate, by the name that each has in it.
const TEMPLATE: [(&str, &str); 9] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml.in")),
    ("build.rs", include_str!("../../template/build.rs.in")),
    ("schema/@MODULE@.capnp", include_str!("../../template/schema/service.capnp.in")),
    ("src/lib.rs", include_str!("../../template/src/lib.rs.in")),
    ("src/main.rs", include_str!("../../template/src/main.rs.in")),
    ("tests/round_trip.rs", include_str!("../../template/tests/round_trip.rs.in")),
    ("README.md", include_str!("../../template/README.md.in")),
    ("rustfmt.toml", include_str!("../../template/rustfmt.toml.in")),
    (".gitignore", include_str!("../../template/gitignore.in")),
];

/// The longest name of a crate: that of its service, which has `org.example.` before it, is one of a stream.
const MAX_NAME_BYTES: usize = 40;

/// What a crate cannot be called: names that it uses itself, crates that Rust brings, types that a crate of that name
/// would hide, names that cargo does not give to programs, and names that no file has on Windows.
#[rustfmt::skip]
const TAKEN: [&str; 59] = [
    // Used by the crate itself.
    "capnp", "capnp-rpc", "env", "keys", "schema", "service", "thread", "vatmux", "vatmux-build",
    // Crates of Rust's.
    "alloc", "core", "proc-macro", "std", "test",
    // Types.
    "bool", "char", "f16", "f32", "f64", "f128", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16",
    "u32", "u64", "u128", "usize",
    // Where cargo puts what it builds.
    "build", "deps", "examples", "incremental",
    // Devices.
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];

/// What an interface cannot be called: the crate says these words for something else. It is called a `…Service` then.
#[rustfmt::skip]
const TAKEN_BY_TYPES: [&str; 46] = [
    "Arc", "AsMut", "AsRef", "BTreeMap", "Box", "Call", "Clone", "Copy", "Debug", "Default", "Drop", "Entropy", "Eq",
    "Err", "Error", "Fn", "FnMut", "FnOnce", "From", "FromIterator", "Greeter", "InMemory", "Into", "Iterator",
    "Local", "Mutex", "Node", "NodeAddress", "NodeId", "None", "Ok", "Option", "PathBuf", "PoisonError", "Refusal",
    "Result", "SecretKey", "Self", "Send", "Some", "Status", "String", "Sync", "Text", "UInt64", "Vec",
];

/// And what Rust uses.
const KEYWORDS: [&str; 50] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while",
];

pub(crate) fn run(arguments: &Arguments, new: &New) -> Result<(), Failure> {
    let name = new.directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    let local = |what| {
        let path = new.directory.clone();
        move |error| Failure::Local { what, path, error }
    };
    let checkout = match &new.path {
        Some(path) => Some(checkout(path)?),
        None => None,
    };
    fs::create_dir(&new.directory).map_err(local("create"))?;
    let words = Words::of(name, checkout.as_deref())?;
    for (file, text) in TEMPLATE {
        let path = new.directory.join(words.put_into(file));
        write(&path, &words.put_into(text)).map_err(|error| Failure::Local {
            what: "write",
            path: path.clone(),
            error,
        })?;
    }
    lay_out(&new.directory);
    // What the checkout is tested with is what its users should build with.
    if let Some(lock) = checkout.map(|checkout| checkout.join("Cargo.lock"))
        && lock.exists()
    {
        fs::copy(&lock, new.directory.join("Cargo.lock")).map_err(local("write the Cargo.lock of"))?;
    }
    let shown = new.directory.display();
    output::print_line(&if arguments.json {
        json!({ "directory": new.directory.to_string_lossy(), "name": name }).to_string()
    } else {
        format!("made {shown}; now: cd {shown} && cargo test")
    })
}

/// A checkout of this project, as a path that holds wherever the crate is.
fn checkout(path: &Path) -> Result<PathBuf, Failure> {
    let local = |what, error| Failure::Local { what, path: path.to_owned(), error };
    let checkout = path.canonicalize().map_err(|error| local("find", error))?;
    if checkout.join("crates/build/Cargo.toml").exists() {
        return Ok(checkout);
    }
    Err(local("use", io::Error::other("it is no checkout of vatmux; it has no crates/build")))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    let rest = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let has_words = name.split('-').all(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
    if !begins || !name.chars().all(rest) || !has_words || name.len() > MAX_NAME_BYTES {
        return Err(Failure::Usage(format!(
            "{name:?} cannot name a service's crate: that takes words of lower-case letters and digits with `-` between \
             them, at most {MAX_NAME_BYTES} bytes in all; see: vatmux new --help"
        )));
    }
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        return Err(Failure::Usage(format!(
            "{name:?} is taken: Rust, cargo or the crate itself means something else by it; give the crate another name"
        )));
    }
    Ok(())
}

/// What is put in place of the template's words.
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn of(name: &str, checkout: Option<&Path>) -> Result<Self, Failure> {
        let module = name.replace('-', "_");
        let mut interface = String::new();
        for word in name.split('-') {
            let mut letters = word.chars();
            interface.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            interface.push_str(letters.as_str());
        }
        if TAKEN_BY_TYPES.contains(&interface.as_str()) {
            interface.push_str("Service");
        }
        let id = getrandom::u64()
            .map_err(|error| Failure::System { what: "random bytes", error: io::Error::other(error) })?;
        let dependency = |package: &str, directory: &str| match checkout {
            Some(checkout) => {
                // A path is any bytes but quotes and backslashes, which TOML would read.
                let path =
                    checkout.join(directory).to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
                format!("{package} = {{ path = \"{path}\" }}")
            }
            None => format!("{package} = \"{}\"", env!("CARGO_PKG_VERSION")),
        };
        Ok(Self(vec![
            ("@@ID@", format!("@{:#018x}", id | 1 << 63)),
            ("@NAME@", name.to_owned()),
            ("@CRATE@", module.clone()),
            ("@VARIABLE@", module.to_uppercase()),
            ("@MODULE@", module),
            ("@INTERFACE@", interface),
            ("@VATMUX@", dependency("vatmux", "")),
            ("@VATMUX_BUILD@", dependency("vatmux-build", "crates/build")),
        ]))
    }

    fn put_into(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

/// Has the sources laid out: how long the name is decides where lines break and what comes first. A machine without rustfmt
/// has nobody to mind.
fn lay_out(directory: &Path) {
    let sources = TEMPLATE
        .iter()
        .map(|(file, _)| file)
        .filter(|file| Path::new(file).extension() == Some("rs".as_ref()));
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--quiet"]).args(sources).current_dir(directory);
    rustfmt.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What it does not lay out compiles as well.
    let _ = rustfmt.status();
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
