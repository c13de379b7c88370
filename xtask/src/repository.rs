//! The checkout: where it is, which files it holds, and how its tools are called.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// The checkout that `cargo xtask` was called in.
pub(crate) struct Repository {
    root: PathBuf,
}

impl Repository {
    /// Finds the checkout through the environment that `cargo run` and `cargo test` set.
    pub(crate) fn locate() -> Result<Repository, String> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let root = manifest
            .as_deref()
            .and_then(Path::parent)
            .ok_or("call it as `cargo xtask`, which says where it is")?;
        Ok(Repository { root: root.to_owned() })
    }

    /// The checkout whose top is `root`.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Repository {
        Repository { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Every file of the checkout, relative to its top, sorted. What version control and builds leave there is not of
    /// the checkout: `.git`, and each directory that carries cargo's cache tag.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut files = Vec::new();
        let mut pending = vec![PathBuf::new()];
        while let Some(directory) = pending.pop() {
            let cannot_list =
                |error: io::Error| format!("cannot list {}: {error}", self.root.join(&directory).display());
            for entry in fs::read_dir(self.root.join(&directory)).map_err(cannot_list)? {
                let entry = entry.map_err(cannot_list)?;
                let path = directory.join(entry.file_name());
                let kind = entry.file_type().map_err(cannot_list)?;
                if kind.is_file() {
                    files.push(path);
                } else if kind.is_dir() && !self.is_foreign(&path) {
                    pending.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn is_foreign(&self, directory: &Path) -> bool {
        directory.file_name() == Some(OsStr::new(".git"))
            || self.root.join(directory).join("CACHEDIR.TAG").exists()
    }

    /// The text of a file of the checkout; `None` when it is not UTF-8.
    pub(crate) fn text(&self, file: &Path) -> Result<Option<String>, String> {
        let bytes = fs::read(self.root.join(file))
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        Ok(String::from_utf8(bytes).ok())
    }

    /// A call of the cargo that runs us, at the top of the checkout, which can ask nobody.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        self.cargo_at(&env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
    }

    /// The same with another cargo.
    pub(crate) fn cargo_at(&self, program: &OsStr, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).args(arguments).stdin(Stdio::null());
        // `cargo run` describes our own package in our environment. Build scripts that watch these variables would
        // build anew each time cargo is called by us and then by hand.
        for (name, _) in env::vars_os() {
            let describes_us = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_")
                    || name.starts_with("CARGO_MANIFEST_")
                    || name == "CARGO_BIN_NAME"
            });
            if describes_us {
                command.env_remove(name);
            }
        }
        command
    }
}

/// A call of the active toolchain's compiler.
pub(crate) fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Runs a command that prints for itself, and fails unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let call = call_of(command);
    let status = command.status().map_err(|error| format!("cannot start {call}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{call}: {status}")) }
}

/// Runs a command that prints nothing of interest unless it fails, and takes its standard output. What it has to say on
/// standard error becomes part of the complaint, or is passed on when it succeeds all the same.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let call = call_of(command);
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("cannot start {call}: {error}"))?;
    let remarks = String::from_utf8_lossy(output.stderr.trim_ascii_end());
    if !output.status.success() {
        return Err(format!("{call}: {}\n{remarks}", output.status));
    }
    if !remarks.is_empty() {
        eprintln!("{remarks}");
    }
    Ok(output.stdout)
}

/// How one would type a command, its program without the directory.
pub(crate) fn call_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words: Vec<_> =
        std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_checkout_leave_out_what_builds_and_version_control_keep_there() {
        let directory = tempfile::tempdir().unwrap();
        for file in [".git/config", ".ci/run", "a/b/c.rs", "built/CACHEDIR.TAG", "built/x.rs", "README.md"] {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let files = Repository::at(directory.path()).files().unwrap();
        assert_eq!(files, [".ci/run", "README.md", "a/b/c.rs"].map(PathBuf::from));
    }

    #[test]
    fn a_failing_command_is_named_with_its_arguments_and_its_status() {
        let complaint = succeed(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(complaint, "`sh -c exit 3`: exit status: 3");
    }

    #[test]
    fn what_a_failing_command_says_is_part_of_the_complaint() {
        let complaint = output(Command::new("/bin/sh").args(["-c", "echo sorry >&2; exit 3"])).unwrap_err();
        assert!(complaint.ends_with("exit status: 3\nsorry"), "{complaint}");
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let complaint = succeed(&mut Command::new("vatmux-no-such-command")).unwrap_err();
        assert!(complaint.starts_with("cannot start `vatmux-no-such-command`"), "{complaint}");
    }

    #[test]
    fn cargo_is_not_told_about_our_own_package() {
        let command = Repository::locate().unwrap().cargo(&["--version"]);
        assert!(command.get_envs().any(|(name, value)| name == "CARGO_PKG_NAME" && value.is_none()));
    }
}
