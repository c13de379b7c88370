//! `vatmux bundle`: what can be done here, with files; `remote` asks nodes.

mod remote;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use indicatif::BinaryBytes;
use serde_json::{Value, json};
use vatmux::bundle::{self, Content, Entry, ExtractError, PublisherKey, SignedManifest, Source};
use vatmux::packagefs::Progress;

use crate::arguments::{Arguments, Bundle, Pack, Trusted, Unpack, Verify};
use crate::failure::Failure;
use crate::progress::Bar;
use crate::text::{self, Harmless};
use crate::{home, output};

pub(crate) fn run(arguments: &Arguments, bundle: &Bundle) -> Result<(), Failure> {
    match bundle {
        Bundle::Keygen { file } => keygen(arguments, file.as_deref()),
        Bundle::Pack(pack) => self::pack(arguments, pack),
        Bundle::Verify(verify) => self::verify(arguments, verify),
        Bundle::Inspect { file, files } => inspect(arguments, file, *files),
        Bundle::Unpack(unpack) => self::unpack(arguments, unpack),
        Bundle::Install(install) => remote::install(arguments, install),
        Bundle::List { address } => remote::list(arguments, address),
        Bundle::Query { address, name } => remote::query(arguments, address, name),
        Bundle::Activate { bundle, allow_downgrade } => remote::activate(arguments, bundle, *allow_downgrade),
        Bundle::Remove { bundle, even_if_active } => remote::remove(arguments, bundle, *even_if_active),
        Bundle::Collect { address } => remote::collect(arguments, address),
    }
}

fn keygen(arguments: &Arguments, file: Option<&Path>) -> Result<(), Failure> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => home::publisher_key_file(arguments)?,
    };
    let publisher = PublisherKey::create(&file)?.id().to_string();
    output::print_line(&if arguments.json {
        json!({ "publisher": publisher, "key_file": file.to_string_lossy() }).to_string()
    } else {
        publisher
    })
}

fn pack(arguments: &Arguments, pack: &Pack) -> Result<(), Failure> {
    let key_file = match &pack.key {
        Some(file) => file.clone(),
        None => home::publisher_key_file(arguments)?,
    };
    let key = PublisherKey::load(&key_file).map_err(|error| match error {
        vatmux_host::keys::KeyError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => {
            Failure::NoPublisherKey { path: key_file }
        }
        error => error.into(),
    })?;
    let destination = match &pack.file {
        Some(file) => file.clone(),
        None => PathBuf::from(format!("{}-{}.vatb", pack.name, pack.version)),
    };
    if !pack.force && destination.symlink_metadata().is_ok() {
        return Err(Failure::Exists { path: destination });
    }
    let label = format!("packing {}", pack.dir.display());
    let bar = Bar::new(label, arguments.json);
    let mut advance = |bytes| bar.advance(Progress::Received { bytes });
    let source = Source::scan(&pack.dir, &mut advance)?;
    let signed = source.sign(pack.name.clone(), pack.version, &key)?;
    source.write_file(&signed, &destination, pack.force, &mut advance)?;
    drop(bar);
    report(arguments, "packed", &destination, &signed, json!({}))
}

fn verify(arguments: &Arguments, verify: &Verify) -> Result<(), Failure> {
    let (mut file, bar) = open(arguments, "verifying", &verify.file)?;
    let signed = bundle::verify(&mut file, &mut judge(&verify.trusted), &mut |bytes| {
        bar.advance(Progress::Received { bytes });
    });
    drop(bar);
    let signed = signed.map_err(refused(&verify.file))?;
    report(arguments, "verified", &verify.file, &signed, json!({}))
}

fn unpack(arguments: &Arguments, unpack: &Unpack) -> Result<(), Failure> {
    let (mut file, bar) = open(arguments, "unpacking", &unpack.file)?;
    let progress = &mut |bytes| bar.advance(Progress::Received { bytes });
    let signed = bundle::extract(&mut file, &unpack.dest, &mut judge(&unpack.trusted), progress);
    drop(bar);
    let signed = signed.map_err(refused(&unpack.file))?;
    let more = json!({ "destination": unpack.dest.to_string_lossy() });
    report(arguments, "unpacked", &unpack.file, &signed, more)
}

fn inspect(arguments: &Arguments, path: &Path, files: bool) -> Result<(), Failure> {
    let (mut file, bar) = open(arguments, "inspecting", path)?;
    drop(bar);
    let signed = bundle::inspect(&mut file).map_err(refused(path))?;
    if arguments.json {
        output::print_line(&summary(path, &signed, json!({})).to_string())?;
    } else {
        let manifest = signed.manifest();
        for (what, value) in [
            ("name", manifest.name().to_string()),
            ("version", manifest.version().to_string()),
            ("publisher", manifest.publisher().to_string()),
            ("manifest", manifest.digest().to_string()),
            ("tree", manifest.tree_digest().to_string()),
            ("files", text::count(manifest.file_count().into(), "file", "files")),
            ("content", format!("{}", BinaryBytes(manifest.content_bytes()))),
            ("packed", format!("{}", BinaryBytes(signed.packed_bytes()))),
        ] {
            output::print_line(&format!("{what:<10} {value}"))?;
        }
    }
    if files {
        for entry in signed.manifest().entries() {
            output::print_line(&listed(entry, arguments.json))?;
        }
    }
    Ok(())
}

fn listed(entry: &Entry, json: bool) -> String {
    let mode = entry.content.mode();
    let (kind, size_bytes, digest, target) = match &entry.content {
        Content::Directory => ("directory", 0, None, None),
        Content::File { size_bytes, digest, .. } => ("file", *size_bytes, Some(digest.to_string()), None),
        Content::Symlink { target } => ("symlink", 0, None, Some(target)),
    };
    if json {
        return json!({
            "path": entry.path.as_str(),
            "kind": kind,
            "mode": format!("{mode:04o}"),
            "size_bytes": size_bytes,
            "digest": digest,
            "link_target": target,
        })
        .to_string();
    }
    let path = Harmless(entry.path.as_str());
    match target {
        Some(target) => format!("{mode:04o} {size_bytes:>12} {path} -> {}", Harmless(target)),
        None => format!("{mode:04o} {size_bytes:>12} {path}{}", if kind == "directory" { "/" } else { "" }),
    }
}

/// Opens a packed bundle, and shows how far it was read.
fn open(arguments: &Arguments, doing: &str, path: &Path) -> Result<(File, Bar), Failure> {
    let failed = |error| Failure::Local { what: "read", path: path.to_owned(), error };
    // Opening a FIFO would wait for a writer.
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    let bar = Bar::new(format!("{doing} {}", path.display()), arguments.json);
    bar.advance(Progress::Found { files: 1, bytes: metadata.len() });
    Ok((file, bar))
}

/// Refuses publishers that were not named, where some were.
fn judge(trusted: &Trusted) -> impl FnMut(&SignedManifest) -> Result<(), ExtractError> {
    |signed| {
        let publisher = signed.manifest().publisher();
        if trusted.publisher.is_empty() || trusted.publisher.contains(&publisher) {
            Ok(())
        } else {
            Err(ExtractError::UnknownPublisher { publisher })
        }
    }
}

fn refused(path: &Path) -> impl FnOnce(ExtractError) -> Failure {
    |error| Failure::Bundle { path: path.to_owned(), error }
}

fn summary(path: &Path, signed: &SignedManifest, more: Value) -> Value {
    let manifest = signed.manifest();
    let mut value = json!({
        "file": path.to_string_lossy(),
        "name": manifest.name().to_string(),
        "version": manifest.version().to_string(),
        "publisher": manifest.publisher().to_string(),
        "manifest_digest": manifest.digest().to_string(),
        "tree_digest": manifest.tree_digest().to_string(),
        "files": manifest.file_count(),
        "content_bytes": manifest.content_bytes(),
        "packed_bytes": signed.packed_bytes(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// What was done, to which bundle, and who published it.
fn report(
    arguments: &Arguments,
    done: &str,
    path: &Path,
    signed: &SignedManifest,
    more: Value,
) -> Result<(), Failure> {
    if arguments.json {
        return output::print_line(&summary(path, signed, more).to_string());
    }
    let manifest = signed.manifest();
    output::print_line(&format!(
        "{done} {} {} ({}, {}) by {}: {}",
        manifest.name(),
        manifest.version(),
        text::count(manifest.file_count().into(), "file", "files"),
        BinaryBytes(manifest.content_bytes()),
        manifest.publisher(),
        Harmless(&path.to_string_lossy()),
    ))
}
