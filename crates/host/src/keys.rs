//! A secret key in a file: a node's, and what else is 32 bytes and nobody's business.
//!
//! The file is one line of text that says what it is, and one with the key in hexadecimal. It is made with mode
//! 0600, and one that others can read or write is refused: who could read it can be this node.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use vatmux_noise::{Entropy, EntropyError, SecretKey};
use zeroize::Zeroizing;

const FIRST_LINE: &str = "vatmux secret key 1";

/// The longest key file that is read, in bytes; a good one has 85.
const MAX_FILE_BYTES: u64 = 256;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, made or written.
    #[error("cannot {what} the key file {path}: {error}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others than the owner have rights on the file.
    #[error(
        "the key file {path} has mode {mode:04o}: others may have read the key; if nobody has, run: chmod 600 {path}",
        path = .path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error(
        "{path} is not a vatmux key file, or is damaged; move it away and a new key (and node id) will be made",
        path = .path.display()
    )]
    Contents {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else than what it was taken for.
    #[error(
        "{path} is not the key file that was expected, or is damaged: its first line should be `{first_line}`",
        path = .path.display()
    )]
    NotThisKind {
        /// The file.
        path: PathBuf,
        /// What its first line should be.
        first_line: &'static str,
    },
    /// There are no random bytes to make a key of.
    #[error("cannot make a key: {0}")]
    Entropy(#[from] EntropyError),
}

/// Reads the key in `path`; where there is no such file, makes a fresh key and writes it there, with the folders
/// that lead to it.
pub fn load_or_create(path: &Path) -> Result<SecretKey, KeyError> {
    match load(path) {
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
        outcome => return outcome,
    }
    match create(path) {
        // Another process was faster: its key is the node's.
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => load(path),
        outcome => outcome,
    }
}

/// Reads the key in `path`.
pub fn load(path: &Path) -> Result<SecretKey, KeyError> {
    let contents = || KeyError::Contents { path: path.to_owned() };
    match load_secret(path, FIRST_LINE) {
        Ok(secret) => SecretKey::from_bytes(*secret).map_err(|_| contents()),
        Err(KeyError::NotThisKind { .. }) => Err(contents()),
        Err(error) => Err(error),
    }
}

/// Reads the 32 bytes in `path`, whose first line must be `first_line`.
pub fn load_secret(path: &Path, first_line: &'static str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let failed = |error| KeyError::Io { what: "read", path: path.to_owned(), error };
    let not_this_kind = || KeyError::NotThisKind { path: path.to_owned(), first_line };
    // Opening a FIFO would wait for a writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(not_this_kind());
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(not_this_kind());
    }
    check_mode(path, &metadata)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize));
    match file.take(MAX_FILE_BYTES).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(not_this_kind());
        }
        Err(error) => return Err(failed(error)),
    }
    parse(&text, first_line).ok_or_else(not_this_kind)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Mode { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

/// Makes a fresh key and writes it to `path`, which must not exist.
///
/// The file has its name only when it is complete and on disk: nobody ever reads half a key.
pub fn create(path: &Path) -> Result<SecretKey, KeyError> {
    let key = SecretKey::generate(Entropy::from_system()?);
    create_secret(path, FIRST_LINE, key.expose())?;
    Ok(key)
}

/// Writes 32 bytes to `path`, which must not exist, below `first_line`, which says what they are.
///
/// As with [`create`], the file has its name only when it is complete and on disk.
pub fn create_secret(path: &Path, first_line: &str, secret: &[u8; 32]) -> Result<(), KeyError> {
    let failed = |what| move |error| KeyError::Io { what, path: path.to_owned(), error };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    create_private_folder(folder).map_err(failed("make the folder of"))?;
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed("make"))?;
    let written =
        file.write_all(render(first_line, secret).as_bytes()).and_then(|()| file.as_file().sync_all());
    written.map_err(failed("write"))?;
    file.persist_noclobber(path).map_err(|error| failed("make")(error.error))?;
    Ok(())
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn render(first_line: &str, secret: &[u8; 32]) -> Zeroizing<String> {
    use std::fmt::Write as _;

    // Room for all of it, so that nothing is left behind where it grew.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize));
    let _ = writeln!(text, "{first_line}");
    for byte in secret {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

fn parse(text: &str, first_line: &str) -> Option<Zeroizing<[u8; 32]>> {
    let hex = text.strip_prefix(first_line)?.strip_prefix('\n')?.strip_suffix('\n')?;
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_new_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/node.key");
        (folder, path)
    }

    #[test]
    fn a_key_is_made_once_and_then_read() {
        let (_folder, path) = in_new_folder();
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().expose(), made.expose());
        assert!(matches!(create(&path), Err(KeyError::Io { what: "make", .. })));
    }

    #[test]
    fn two_first_runs_at_once_agree_on_one_key() {
        for _ in 0..20 {
            let (_folder, path) = in_new_folder();
            let runs: Vec<_> = (0..4)
                .map(|_| {
                    let path = path.clone();
                    std::thread::spawn(move || *load_or_create(&path).unwrap().expose())
                })
                .collect();
            let keys: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
            assert!(keys.iter().all(|key| *key == keys[0]));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let (_folder, path) = in_new_folder();
        load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o644, 0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(load(&path), Err(KeyError::Mode { mode: found, .. }) if found == mode));
        }
    }

    #[test]
    fn a_file_with_anything_else_in_it_is_refused_and_kept() {
        let (_folder, path) = in_new_folder();
        load_or_create(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for bad in [
            Vec::new(),
            b"\xff\xfe".to_vec(),
            good.replace("key 1", "key 2").into_bytes(),
            good.trim_end().as_bytes().to_vec(),
            good.replace(&good[30..31], "g").into_bytes(),
            good.as_bytes()[..good.len() - 2].to_vec(),
            [good.as_bytes(), b"more\n"].concat(),
            format!("{FIRST_LINE}\n{}\n", "0".repeat(64)).into_bytes(),
        ] {
            fs::write(&path, &bad).unwrap();
            assert!(matches!(load_or_create(&path), Err(KeyError::Contents { .. })), "{bad:?}");
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
    }
}
