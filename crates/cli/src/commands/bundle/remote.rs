//! What nodes are asked about their bundles.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use futures::io::AllowStdIo;
use indicatif::BinaryBytes;
use serde_json::{Value, json};
use vatmux::bundle::{BundleName, Digest, InstallOptions, PublisherId, Version};
use vatmux::bundlemgr::{self, BundleMgr, InstallError, Status};
use vatmux::packagefs::Progress;
use vatmux::schema::bundle as manifest_schema;
use vatmux::schema::bundlemgr::Bundle;
use vatmux::service;
use vatmux_host::NodeAddress;

use super::open;
use crate::arguments::{Arguments, BundleRef, Install};
use crate::failure::Failure;
use crate::interrupt::Interruptible;
use crate::json::seconds;
use crate::pulse::Pulse;
use crate::text;
use crate::visit::{self, Calls, Visit};
use crate::{latency, output};

pub(super) fn install(arguments: &Arguments, install: &Install) -> Result<(), Failure> {
    let interruptible = Some(Interruptible::new()?);
    let json = arguments.json;
    let (file, bar) = open(arguments, "installing", &install.file)?;
    let started = Instant::now();
    let installed =
        visit::pay(arguments, &install.address, Calls::Transfers, interruptible, |visit| async move {
            let bundles = visit.bundles()?;
            let pulse = Pulse::new(&visit.handle, Rc::new(Cell::new(false)));
            let doing = format!("install `{}`", install.file.display());
            let options = InstallOptions {
                announced_bytes: None,
                activate: !install.no_activate,
                allow_downgrade: install.allow_downgrade,
            };
            let size_bytes = size_of(&file, &install.file)?;
            let progress = |bytes| {
                pulse.beat();
                bar.advance(Progress::Received { bytes });
            };
            let mut input = AllowStdIo::new(file);
            let sending = async {
                bundlemgr::install(&bundles, &mut input, size_bytes, options, &progress)
                    .await
                    .map_err(|error| Failure::Bundles { doing: doing.clone(), error: Box::new(error) })
            };
            pulse.guard(&doing, sending).await
        })?;
    let mut value = described(&installed.bundle);
    let time = started.elapsed();
    if json {
        value["was_there"] = json!(installed.was_there);
        value["seconds"] = json!(seconds(time));
        return output::print_line(&value.to_string());
    }
    output::print_line(&format!(
        "installed {} {} ({}, {}) in {}{}{}",
        text::Harmless(&installed.bundle.name),
        version(&installed.bundle.version),
        text::count(installed.bundle.files.into(), "file", "files"),
        BinaryBytes(installed.bundle.content_bytes),
        latency::shown(time),
        if installed.bundle.active { "" } else { "; it is not active" },
        if installed.was_there { "; it was there already" } else { "" },
    ))
}

fn size_of(file: &File, path: &Path) -> Result<u64, Failure> {
    let metadata = file.metadata();
    let failed = |error| Failure::Local { what: "look at", path: path.to_owned(), error };
    Ok(metadata.map_err(failed)?.len())
}

pub(super) fn list(arguments: &Arguments, address: &NodeAddress) -> Result<(), Failure> {
    let json = arguments.json;
    visit::pay(arguments, address, Calls::Short, None, |visit| async move {
        let bundles = visit.bundles()?;
        let mut cursor = Vec::new();
        loop {
            let page = bundles.list(&cursor, 256).await.map_err(failed("list the bundles"))?;
            for bundle in &page.bundles {
                output::print_line(&line(bundle, json))?;
            }
            // A node that goes on for ever with nothing is not followed.
            if page.next.is_empty() || page.bundles.is_empty() {
                return Ok(());
            }
            cursor = page.next;
        }
    })
}

pub(super) fn query(arguments: &Arguments, address: &NodeAddress, name: &BundleName) -> Result<(), Failure> {
    let doing = format!("query {name}");
    let versions = ask(arguments, address, &doing, |bundles| bundles.query(name.as_str()))?;
    versions.iter().try_for_each(|bundle| output::print_line(&line(bundle, arguments.json)))
}

pub(super) fn activate(
    arguments: &Arguments,
    bundle: &BundleRef,
    allow_downgrade: bool,
) -> Result<(), Failure> {
    let BundleRef { address, name, version: number } = bundle;
    let doing = format!("activate {name} {number}");
    let before = ask(arguments, address, &doing, |bundles| {
        bundles.activate(name.as_str(), &numbers(*number), allow_downgrade)
    })?;
    let before = Version::new(before.major, before.minor, before.patch).map(|before| before.to_string());
    output::print_line(&if arguments.json {
        json!({ "name": name.as_str(), "version": number.to_string(), "before": before }).to_string()
    } else {
        match before {
            Some(before) => format!("{name} is {number} now, and was {before}"),
            None => format!("{name} is {number} now"),
        }
    })
}

pub(super) fn remove(arguments: &Arguments, bundle: &BundleRef, even_if_active: bool) -> Result<(), Failure> {
    let BundleRef { address, name, version: number } = bundle;
    let doing = format!("remove {name} {number}");
    ask(arguments, address, &doing, |bundles| {
        bundles.uninstall(name.as_str(), &numbers(*number), even_if_active)
    })?;
    output::print_line(&if arguments.json {
        json!({ "name": name.as_str(), "version": number.to_string(), "removed": true }).to_string()
    } else {
        format!("removed {name} {number}")
    })
}

pub(super) fn collect(arguments: &Arguments, address: &NodeAddress) -> Result<(), Failure> {
    let collected = ask(arguments, address, "collect", BundleMgr::collect)?;
    output::print_line(&if arguments.json {
        json!({ "blobs": collected.blobs, "freed_bytes": collected.freed_bytes }).to_string()
    } else {
        format!(
            "removed {} ({})",
            text::count(collected.blobs, "blob", "blobs"),
            BinaryBytes(collected.freed_bytes)
        )
    })
}

/// Makes one call.
fn ask<T: 'static>(
    arguments: &Arguments,
    address: &NodeAddress,
    doing: &str,
    call: impl FnOnce(&BundleMgr) -> service::Calling<T, Status>,
) -> Result<T, Failure> {
    visit::pay(arguments, address, Calls::Short, None, |visit: Visit| async move {
        let bundles = visit.bundles()?;
        call(&bundles).await.map_err(failed(doing))
    })
}

fn failed(doing: &str) -> impl FnOnce(service::Error<Status>) -> Failure {
    move |error| Failure::Bundles { doing: doing.to_owned(), error: Box::new(InstallError::Service(error)) }
}

fn numbers(version: Version) -> manifest_schema::Version {
    let [major, minor, patch] = version.numbers();
    manifest_schema::Version { major, minor, patch }
}

fn version(version: &manifest_schema::Version) -> String {
    format!("{}.{}.{}", version.major, version.minor, version.patch)
}

/// A publisher's id, or what a node said in its place.
fn publisher(bytes: &[u8]) -> String {
    let id = bytes.try_into().ok().and_then(|bytes| PublisherId::from_bytes(bytes).ok());
    id.map_or_else(|| "?".to_owned(), |id| id.to_string())
}

fn described(bundle: &Bundle) -> Value {
    let digest = bundle.tree_digest.as_slice().try_into().ok().map(Digest::from_bytes);
    json!({
        "name": bundle.name,
        "version": version(&bundle.version),
        "publisher": publisher(&bundle.publisher),
        "tree_digest": digest.map(|digest| digest.to_string()),
        "files": bundle.files,
        "content_bytes": bundle.content_bytes,
        "stored_bytes": bundle.stored_bytes,
        "installed_ns": (bundle.installed != 0).then_some(bundle.installed),
        "active": bundle.active,
    })
}

fn line(bundle: &Bundle, json: bool) -> String {
    if json {
        return described(bundle).to_string();
    }
    format!(
        "{} {}{} ({}, {}) by {}",
        text::Harmless(&bundle.name),
        version(&bundle.version),
        if bundle.active { ", active" } else { "" },
        text::count(bundle.files.into(), "file", "files"),
        BinaryBytes(bundle.content_bytes),
        publisher(&bundle.publisher),
    )
}
