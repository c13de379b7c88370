//! Sending a bundle.

use std::io;

use futures::future::{Either, select};
use futures::io::{AsyncRead, AsyncReadExt};
use vatmux_rpc::service;

use super::{BundleMgr, Status};
use crate::bundle::InstallOptions;
use crate::schema::bundlemgr::UploadFinishResults;

/// How many bytes one call carries. With what RPC puts around it it fits two records of the link: with 128 KiB it took three, of
/// which the last had a few hundred bytes. As many calls are under way as the stream's window lets be.
const PIECE_BYTES: usize = 127 * 1024;

/// Installs a packed bundle of exactly `size_bytes`, read from `input`, on the node whose `bundles` these are: at the pace at which
/// the node takes it. `progress` is told of bytes as they are sent.
///
/// Of `options` the announced size is not used: it is `size_bytes`.
pub async fn install(
    bundles: &BundleMgr,
    input: &mut (impl AsyncRead + Unpin),
    size_bytes: u64,
    options: InstallOptions,
    progress: &dyn Fn(u64),
) -> Result<UploadFinishResults, InstallError> {
    let upload = bundles.install(size_bytes, options.activate, options.allow_downgrade).await?;
    let mut refused = Some(upload.refused());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match input.read(&mut piece).await {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(InstallError::Input)?,
        };
        let Some(bytes @ [_, ..]) = piece.get(..read) else { break };
        let writing = upload.write(bytes);
        match refused.take() {
            None => writing.await.map_err(InstallError::Stream)?,
            Some(asked) => match select(asked, writing).await {
                Either::Left((Err(error @ service::Error::Refused { .. }), _)) => return Err(error.into()),
                // Nothing more is to be heard, and `finish` has the last word.
                Either::Left((_, writing)) => writing.await.map_err(InstallError::Stream)?,
                Either::Right((written, asked)) => {
                    written.map_err(InstallError::Stream)?;
                    refused = Some(asked);
                }
            },
        }
        progress(bytes.len() as u64);
    }
    Ok(upload.finish().await?)
}

/// Why a bundle was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It could not be read.
    #[error("the bundle cannot be read: {0}")]
    Input(io::Error),
    /// The node refused it, or did not answer.
    #[error(transparent)]
    Service(#[from] service::Error<Status>),
    /// The stream of its bytes ended.
    #[error(transparent)]
    Stream(service::Error),
}
