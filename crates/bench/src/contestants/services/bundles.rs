//! A bundle with one large file: installed over a link, and read from there.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::io::AllowStdIo;
use serde::{Deserialize, Serialize};
use vatmux::bundle::{InstallOptions, PublisherKey, Source};
use vatmux::bundlemgr::{self, BundleMgr};
use vatmux::schema::bundle::Version;
use vatmux_noise::Entropy;
use vatmux_rpc::Peer;

use super::open_bundles;
use crate::contestants::node;
use crate::noise::Contact;
use crate::side::Bench;
use crate::transfer::{Connected, Transfer};

/// The name of the bundle, and of its only version.
pub(crate) const BUNDLE: &str = "bench";
const VERSION: Version = Version { major: 1, minor: 0, patch: 0 };

/// A packed bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Packed {
    pub(crate) file: PathBuf,
    pub(crate) bytes: u64,
}

impl Packed {
    /// Packs all that is in `directory`.
    pub(crate) fn pack(directory: &Path, file: PathBuf) -> Result<Self> {
        let source = Source::scan(directory, &mut |_| {})?;
        let Version { major, minor, patch } = VERSION;
        let version = vatmux::bundle::Version::new(major, minor, patch).context("0.0.0 is no version")?;
        let key = PublisherKey::generate(Entropy::from_system()?);
        let signed = source.sign(BUNDLE.parse()?, version, &key)?;
        let failed = || format!("cannot write {}", file.display());
        let mut output = BufWriter::new(File::create(&file).with_context(failed)?);
        source.write(&signed, &mut output, &mut |_| {})?;
        output.into_inner().with_context(failed)?;
        Ok(Self { bytes: signed.packed_bytes(), file })
    }

    /// Installs it in the store that this process opens in `directory`.
    pub(crate) fn unpack(&self, directory: &Path) -> Result<()> {
        let mut install = std::sync::Arc::new(open_bundles(directory)?).install(InstallOptions::default())?;
        install.write(&fs::read(&self.file)?)?;
        install.finish()?;
        Ok(())
    }

    /// Installs it on a node. `progress` is told of the bytes that were sent.
    pub(super) async fn install(&self, peer: &Peer, progress: &dyn Fn(u64)) -> Result<()> {
        let bundles: BundleMgr = peer.connect()?;
        let mut input = AllowStdIo::new(File::open(&self.file)?);
        bundlemgr::install(&bundles, &mut input, self.bytes, InstallOptions::default(), progress).await?;
        Ok(())
    }

    /// Removes it from a node again, and its content, which could not be installed anew otherwise.
    pub(super) async fn remove(&self, peer: &Peer) -> Result<()> {
        let bundles: BundleMgr = peer.connect()?;
        bundles.uninstall(BUNDLE, &VERSION, true).await?;
        bundles.collect().await?;
        Ok(())
    }
}

/// Installs a bundle on a node that does not have it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Installer {
    pub(crate) server: Contact,
    pub(crate) packed: Packed,
}

impl Installer {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        node::dial(&self.server, async |dialed, peer| {
            bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
            bench.wait_for_go()?;
            let asked = Instant::now();
            self.packed.install(&peer, &|_| {}).await?;
            // That it arrived is what the node has verified.
            bench.say(&Transfer::of(asked.elapsed(), self.packed.bytes, 0))
        })
    }
}
