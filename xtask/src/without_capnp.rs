//! The build scripts of the workspace, run where nobody can find the C++ tool: what each writes there must be what it
//! wrote when the workspace was built. That a crate of `vatmux new` builds there is one of the tests of the command.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::check::Skipped;
use crate::repository::{Repository, output};

/// The tool, with whose name those of its plug-ins begin.
const TOOL: &str = "capnp";

/// Runs each build script of a package of the checkout once more, and fails with those that say or write anything else.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let bare = BarePath::of(&std::env::var_os("PATH").unwrap_or_default())?;
    // What the tests are built with; only what is not there yet is built.
    let mut build =
        repository.cargo(&["test", "--workspace", "--no-run", "--quiet", "--message-format=json"]);
    let scripts = scripts(&output(&mut build)?)?;
    if scripts.is_empty() {
        return Err("cargo names no build script of the workspace".to_owned());
    }
    let mut complaints = Vec::new();
    for script in &scripts {
        match script.run_again(&bare) {
            Ok(()) => println!("{}: writes the same without {TOOL}", script.package.display()),
            Err(complaint) => complaints.push(format!("{}: {complaint}", script.package.display())),
        }
    }
    if complaints.is_empty() { Ok(Skipped::new()) } else { Err(complaints.join("\n")) }
}

/// What `PATH` leads to, but for the tool.
struct BarePath {
    path: OsString,
    /// Links to what else is in the directories that have the tool.
    _links: TempDir,
}

impl BarePath {
    fn of(path: &OsStr) -> Result<Self, String> {
        let failed = |error| format!("cannot make a path without {TOOL}: {error}");
        let links = tempfile::tempdir().map_err(failed)?;
        let mut directories = Vec::new();
        for (index, directory) in std::env::split_paths(path).enumerate() {
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let (tool, others): (Vec<_>, Vec<_>) = entries.partition(|entry| is_tool(&entry.file_name()));
            if tool.is_empty() {
                directories.push(directory);
                continue;
            }
            let replacement = links.path().join(index.to_string());
            fs::create_dir(&replacement).map_err(failed)?;
            for program in others {
                link(&program.path(), &replacement.join(program.file_name())).map_err(failed)?;
            }
            directories.push(replacement);
        }
        let path = std::env::join_paths(&directories).map_err(|error| error.to_string())?;
        // What is not shown here shows nothing below.
        match Command::new(TOOL).env("PATH", &path).stdin(Stdio::null()).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self { path, _links: links }),
            Err(error) => Err(failed(error)),
            Ok(_) => Err(format!("{TOOL} is found by other means than PATH")),
        }
    }
}

fn is_tool(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(TOOL))
}

#[cfg(unix)]
fn link(program: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(program, at)
}

#[cfg(not(unix))]
fn link(program: &Path, at: &Path) -> std::io::Result<()> {
    fs::copy(program, at).map(drop)
}

/// A build script of a package of the checkout, and where it wrote.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    package: PathBuf,
    program: PathBuf,
    out_dir: PathBuf,
}

/// The scripts that cargo's messages name, by their packages.
fn scripts(messages: &[u8]) -> Result<Vec<Script>, String> {
    let mut programs = BTreeMap::new();
    let mut out_dirs = BTreeMap::new();
    for line in String::from_utf8_lossy(messages).lines().filter(|line| line.starts_with('{')) {
        let message: Value =
            serde_json::from_str(line).map_err(|error| format!("cargo's message {line:?}: {error}"))?;
        let text = |name: &str| message[name].as_str().map(str::to_owned);
        // Packages of a registry are not ours.
        let Some(id) = text("package_id").filter(|id| id.starts_with("path+file:")) else { continue };
        match message["reason"].as_str() {
            Some("compiler-artifact") if message["target"]["kind"][0] == "custom-build" => {
                let program = message["filenames"][0].as_str().map(PathBuf::from);
                let package = text("manifest_path").map(PathBuf::from);
                let package = package.as_deref().and_then(Path::parent).map(Path::to_owned);
                if let (Some(program), Some(package)) = (program, package) {
                    programs.insert(id, (package, program));
                }
            }
            Some("build-script-executed") => {
                out_dirs.extend(text("out_dir").map(|out_dir| (id, PathBuf::from(out_dir))));
            }
            _ => {}
        }
    }
    let scripts = programs.into_iter().filter_map(|(id, (package, program))| {
        Some(Script { package, program, out_dir: out_dirs.remove(&id)? })
    });
    Ok(scripts.collect())
}

impl Script {
    fn run_again(&self, bare: &BarePath) -> Result<(), String> {
        let directory = tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
        let mut call = Command::new(&self.program);
        call.current_dir(&self.package).stdin(Stdio::null());
        call.env("PATH", &bare.path)
            .env("OUT_DIR", directory.path())
            .env("CARGO_MANIFEST_DIR", &self.package);
        output(&mut call)?;
        let (before, now) = (contents(&self.out_dir)?, contents(directory.path())?);
        let names: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
        let differ: Vec<_> = names.into_iter().filter(|name| before.get(*name) != now.get(*name)).collect();
        match differ.first() {
            None if now.is_empty() => Err("it writes nothing".to_owned()),
            None => Ok(()),
            Some(first) => Err(format!("it writes another {} without {TOOL}", first.display())),
        }
    }
}

/// The files of a directory, and of those in it.
fn contents(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", directory.display());
    let mut files = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap_or(&path).to_owned();
                files.insert(name, fs::read(&path).map_err(failed)?);
            }
        }
    }
    Ok(files)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(at: &Path, script: &str) {
        fs::write(at, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_tool_is_not_on_the_path_and_all_else_is() {
        let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["capnp", "capnpc-c++", "other"] {
            program(&with.path().join(name), "echo here");
        }
        program(&without.path().join("another"), "echo here");
        let bare = BarePath::of(&std::env::join_paths([with.path(), without.path()]).unwrap()).unwrap();
        let directories: Vec<_> = std::env::split_paths(&bare.path).collect();
        assert_eq!(directories[1], without.path());
        let names: Vec<_> =
            fs::read_dir(&directories[0]).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["other"]);
    }

    #[test]
    fn scripts_are_those_of_the_checkout_that_ran() {
        let messages = r#"
            {"reason":"compiler-artifact","package_id":"path+file:///w/a#0.1.0","manifest_path":"/w/a/Cargo.toml","target":{"kind":["custom-build"]},"filenames":["/t/build-script-build"]}
            {"reason":"compiler-artifact","package_id":"path+file:///w/a#0.1.0","manifest_path":"/w/a/Cargo.toml","target":{"kind":["lib"]},"filenames":["/t/liba.rlib"]}
            {"reason":"compiler-artifact","package_id":"registry+https://r#b@1.0.0","manifest_path":"/r/b/Cargo.toml","target":{"kind":["custom-build"]},"filenames":["/t/b"]}
            {"reason":"build-script-executed","package_id":"registry+https://r#b@1.0.0","out_dir":"/t/b/out"}
            {"reason":"build-script-executed","package_id":"path+file:///w/a#0.1.0","out_dir":"/t/a/out"}
            {"reason":"build-finished","success":true}
        "#
        .replace("            {", "{");
        let script = Script {
            package: "/w/a".into(),
            program: "/t/build-script-build".into(),
            out_dir: "/t/a/out".into(),
        };
        assert_eq!(scripts(messages.as_bytes()), Ok(vec![script]));
        assert!(scripts(b"{rubbish").is_err());
    }

    #[test]
    fn a_script_that_writes_something_else_or_asks_for_the_tool_is_found_out() {
        let directory = tempfile::tempdir().unwrap();
        let (package, out_dir) = (directory.path().join("package"), directory.path().join("out"));
        for made in [&package, &out_dir] {
            fs::create_dir(made).unwrap();
        }
        fs::write(out_dir.join("a.rs"), "code\n").unwrap();
        let bare = BarePath::of(&std::env::var_os("PATH").unwrap()).unwrap();
        let run = |text: &str| {
            let script = Script {
                package: package.clone(),
                program: package.join("script"),
                out_dir: out_dir.clone(),
            };
            program(&script.program, text);
            script.run_again(&bare)
        };
        assert_eq!(run("echo code > $OUT_DIR/a.rs"), Ok(()));
        assert!(run("echo other > $OUT_DIR/a.rs").unwrap_err().contains("another a.rs"));
        assert!(run("echo code > $OUT_DIR/a.rs; echo > $OUT_DIR/b.rs").unwrap_err().contains("another b.rs"));
        assert!(run("true").unwrap_err().contains("another a.rs"));
        assert!(run("capnp --version").unwrap_err().contains("script"));
    }
}
