//! What a store promises: refusals by name, and nothing half-done, whatever the disk does.

mod changes;
mod crashes;
mod damage;
mod refusals;

use std::sync::Arc;

use super::model::ModelDisk;
use super::*;
use crate::bundle::samples::{content, packed, small};

/// The store on a disk.
fn on(disk: &ModelDisk, options: StoreOptions) -> Arc<Store> {
    Arc::new(Store::on(Box::new(disk.clone()), Access::ReadWrite, options).unwrap())
}

/// What most tests want: everybody may publish.
fn open_to_all() -> StoreOptions {
    StoreOptions { trust: Trust::Anyone, ..StoreOptions::default() }
}

/// An empty store.
fn empty() -> (ModelDisk, Arc<Store>) {
    let disk = ModelDisk::default();
    let store = on(&disk, open_to_all());
    (disk, store)
}

fn name(text: &str) -> BundleName {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn install_with(
    store: &Arc<Store>,
    bytes: &[u8],
    options: InstallOptions,
) -> Result<Installation, StoreError> {
    let mut install = store.install(options)?;
    for piece in bytes.chunks(4096) {
        install.write(piece)?;
    }
    install.finish()
}

fn install(store: &Arc<Store>, bytes: &[u8]) -> Result<Installation, StoreError> {
    install_with(store, bytes, InstallOptions::default())
}

fn install_small(store: &Arc<Store>, version: &str) -> Result<Installation, StoreError> {
    install(store, &small(version).1)
}

/// A bundle of so many files of so many bytes each, no two alike.
fn many(files: u16, bytes: usize) -> Vec<u8> {
    let contents: Vec<_> = (0..files)
        .map(|at| (format!("{at:03}"), content((u64::from(files) << 16) + u64::from(at), bytes)))
        .collect();
    let listed: Vec<_> = contents.iter().map(|(path, content)| (&**path, &**content, false)).collect();
    packed("org.example", &format!("1.0.{files}"), &listed, &[]).1
}

/// Reads every file of a bundle, and checks that it is what the manifest says.
fn read_all(store: &Store, bundle: &Installed) -> Result<(), StoreError> {
    for blob in bundle.manifest().blobs() {
        let file = store.open_blob(blob)?;
        let mut bytes = vec![0; blob.size_bytes as usize];
        file.read_at(0, &mut bytes)?;
        assert_eq!(Digest::of(&bytes), blob.digest, "wrong bytes were given out");
        file.verify()?;
    }
    Ok(())
}

/// Names and versions, `*` behind the active ones.
fn listed(store: &Store) -> Vec<String> {
    let listed = store.list(None, usize::MAX);
    listed
        .iter()
        .map(|it| {
            let manifest = it.bundle.manifest();
            format!("{}@{}{}", manifest.name(), manifest.version(), if it.active { "*" } else { "" })
        })
        .collect()
}
