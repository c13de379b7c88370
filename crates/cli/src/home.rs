//! Where this node's key is kept, and its publisher's.

use std::env;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use vatmux_host::keys;
use vatmux_noise::SecretKey;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// The name of the key file in the home.
const KEY_FILE: &str = "node.key";

/// The name of the publisher's key file in the home.
const PUBLISHER_KEY_FILE: &str = "publisher.key";

/// This node's key, made when it is first asked for, and the file that it is in.
pub(crate) fn key(arguments: &Arguments) -> Result<(SecretKey, PathBuf), Failure> {
    let file = directory(arguments.home.as_deref())?.join(KEY_FILE);
    let key = keys::load_or_create(&file)?;
    Ok((key, file))
}

/// The file of this user's own publisher key, which may or may not be there.
pub(crate) fn publisher_key_file(arguments: &Arguments) -> Result<PathBuf, Failure> {
    Ok(directory(arguments.home.as_deref())?.join(PUBLISHER_KEY_FILE))
}

fn directory(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(home) = given {
        return Ok(home.to_owned());
    }
    if let Some(home) = env::var_os("VATMUX_HOME").filter(|home| !home.is_empty()) {
        return Ok(home.into());
    }
    let project = ProjectDirs::from("", "", "vatmux").ok_or(Failure::NoHome)?;
    Ok(project.config_dir().to_owned())
}
