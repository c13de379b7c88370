//! Files of the node, step by step.

use vatmux::packagefs::{Client, Kind, Links, PRIORITY};
use vatmux::schema::packagefs::{File, PackageFs};
use vatmux::schema::packagefs_capnp::file;
use vatmux_rpc::Peer;

use super::{Complaint, said};
use crate::content::BULK;

/// How much is read at once.
const STEP_BYTES: u32 = 4096;

/// How many steps.
const STEPS: u64 = 8;

/// Files opened and let go of one after the other: more than a server lets anybody have open at once.
const OPENINGS: u32 = 300;

/// Asks for a file, opens it, reads it in steps and lets it go. Hands each outcome to `judge`.
pub(super) async fn steps(peer: &Peer, root: &str, judge: &mut impl FnMut(&str, Result<String, Complaint>)) {
    let path = format!("{root}{BULK}");
    let files = match peer.connect::<PackageFs>() {
        Ok(files) => files,
        Err(error) => return judge("SELFTEST: remote pkgfs stat", Err(said(error))),
    };
    judge("SELFTEST: remote pkgfs stat", stat(peer, &files, root, &path).await);
    let file = match files.open(&path).await {
        Ok(opened) => {
            let size = opened.attributes.size_bytes;
            judge("SELFTEST: remote pkgfs open", Ok(format!("size={size}")));
            opened.file
        }
        Err(error) => return judge("SELFTEST: remote pkgfs open", Err(said(error))),
    };
    judge("SELFTEST: remote pkgfs read step", read(&files, &path, &file).await);
    drop(file);
    judge("SELFTEST: remote pkgfs close", close(&files, &path).await);
}

async fn stat(peer: &Peer, files: &PackageFs, root: &str, path: &str) -> Result<String, Complaint> {
    let attributes = files.stat(path, false).await.map_err(said)?;
    let listed = Client::connect(peer, PRIORITY)
        .map_err(said)?
        .list(root.trim_end_matches('/'), 1000)
        .await
        .map_err(said)?;
    let entry = listed.iter().find(|entry| entry.name == BULK).ok_or("it is not listed")?;
    if attributes.kind != Kind::File || entry.attributes.size_bytes != attributes.size_bytes {
        return Err(format!(
            "listed with {} bytes, and has {}",
            entry.attributes.size_bytes, attributes.size_bytes
        ));
    }
    let missing = Client::connect(peer, PRIORITY).map_err(said)?.stat("no such file", Links::Inspect).await;
    if missing.is_ok() {
        return Err("a file is there that is not".to_owned());
    }
    Ok(format!("size={}", attributes.size_bytes))
}

/// Reads in steps, and compares them with the same bytes read at once.
async fn read(files: &PackageFs, path: &str, file: &File) -> Result<String, Complaint> {
    let whole = files.open(path).await.map_err(said)?.file;
    let total = STEP_BYTES * STEPS as u32;
    let response = whole.read(0, total).await.map_err(said)?;
    let expected = response.get().and_then(file::read_results::Reader::get_data).map_err(said)?;
    if expected.len() != total as usize {
        return Err(format!("{} bytes of {total} were read at once", expected.len()));
    }
    for (step, expected) in (0..).zip(expected.chunks(STEP_BYTES as usize)) {
        let response = file.read(step * u64::from(STEP_BYTES), STEP_BYTES).await.map_err(said)?;
        let bytes = response.get().and_then(file::read_results::Reader::get_data).map_err(said)?;
        if bytes != expected {
            return Err(format!("step {step} read other bytes"));
        }
    }
    Ok(format!("steps={STEPS} bytes={total}"))
}

/// A file that was let go of is closed: as many can be opened as anybody likes, one after the other.
async fn close(files: &PackageFs, path: &str) -> Result<String, Complaint> {
    for opening in 0..OPENINGS {
        files.open(path).await.map_err(|error| format!("opening {opening}: {error}"))?;
    }
    Ok(format!("openings={OPENINGS}"))
}
