//! `vatmux new`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// What a crate cannot be called, because it uses these itself.
const TAKEN: [&str; 10] =
    ["alloc", "capnp", "capnp-rpc", "core", "schema", "service", "std", "test", "vatmux", "vatmux-build"];

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
        return Err(Failure::Usage(format!("{name:?} is taken; give the crate another name")));
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
        // A greeter of this name is what the crate serves with.
        if ["Greeter", "Status"].contains(&interface.as_str()) {
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

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
