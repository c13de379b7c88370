//! The services as a node offers them, each on a stream of its own, and those who use them.

mod bundles;
mod registry;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use vatmux::bundle::{Access, Store, StoreOptions, Trust};
use vatmux::packagefs::{Limits, Tree};
use vatmux::{bundlemgr, health, packagefs, samgr, statefs};
use vatmux_noise::AllowList;

pub(crate) use bundles::{BUNDLE, Installer, Packed};
pub(crate) use registry::{Resolved, Resolver};
pub(crate) use state::{Call, Caller, Database, Engine, Guest, Puts, VALUE_BYTES};

use super::node;
use crate::side::Bench;

/// A node with a registry, a store of keys and values, a store of bundles, and what is in these.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    /// The file of the state.
    pub(crate) state: PathBuf,
    /// The directory of the bundles.
    pub(crate) bundles: PathBuf,
}

impl Server {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let state = statefs::Store::open_file(&self.state, statefs::OpenOptions::default())?;
        let bundles = Arc::new(open_bundles(&self.bundles)?);
        node::serve(bench, |node| {
            let node = health::offer(node, AllowList::Anyone);
            let registry = samgr::Registry::new(samgr::Limits::default());
            let node = samgr::offer(node, registry, |_| samgr::Access::full());
            let node = statefs::offer(node, state, |_| statefs::Access::full());
            let node = packagefs::offer(node, Arc::new(Tree::of_bundles(bundles.clone())), Limits::default());
            bundlemgr::offer(node, bundles, AllowList::Anyone)
        })
    }
}

fn open_bundles(directory: &Path) -> Result<Store> {
    let options = StoreOptions { trust: Trust::Anyone, ..StoreOptions::default() };
    Ok(Store::open(directory, Access::ReadWrite, options)?)
}
