//! Whether the protocol cores stand without a standard library.
//!
//! A probe shows it on any machine: a crate without `std` that brings its own panic handler and links a core. Two panic
//! handlers cannot stand side by side, so it compiles only if nothing that the core depends on links `std`. Building for
//! a target that has no standard library shows it once more, and that the core leaves nothing else to a larger machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::bare;
use crate::check::Skipped;
use crate::repository::{Repository, output, rustc, succeed};

/// The crates that must build without a standard library, with their default features off.
const CORES: [&str; 3] = ["vatmux-liveness", "vatmux-mux", "vatmux-noise"];

/// Probes each core, and builds it for [`bare::TARGET`]. The build is skipped where no compiler can make it.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let scratch = scratch_directory()?;
    let route = bare::Route::find();
    if let Ok(route) = &route {
        println!("{}: built by {route}", bare::TARGET);
    }
    let mut complaints = Vec::new();
    for core in CORES {
        if let Err(complaint) = build(repository, core, &scratch).and_then(|()| probe(&scratch, core)) {
            complaints.push(complaint);
            continue;
        }
        println!("{core}: nothing it depends on links the standard library");
        if let Ok(route) = &route {
            match route.build(repository, core, &scratch) {
                Ok(()) => println!("{core}: builds for {}", bare::TARGET),
                Err(complaint) => complaints.push(complaint),
            }
        }
    }
    if !complaints.is_empty() {
        return Err(complaints.join("\n"));
    }
    Ok(route.err().map(|reason| skipped(&reason)).into_iter().collect())
}

fn skipped(reason: &str) -> String {
    format!(
        "the build for {target}: {reason}; `rustup target add {target}`, `rustup component add rust-src` or Debian's \
         packages rustc-web and rust-web-src would make it possible",
        target = bare::TARGET
    )
}

/// A directory beside this program, and therefore inside the directory for what is built. Apart from the rest, so that
/// features which other packages ask for do not come in.
fn scratch_directory() -> Result<PathBuf, String> {
    let program =
        env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    Ok(program.with_file_name("no-std"))
}

fn build(repository: &Repository, core: &str, scratch: &Path) -> Result<(), String> {
    let mut cargo = repository.cargo(&["build", "--quiet", "--no-default-features", "--package", core]);
    succeed(cargo.arg("--target-dir").arg(scratch))
}

/// Compiles the probe against a core that was built for this machine.
fn probe(scratch: &Path, core: &str) -> Result<(), String> {
    let name = core.replace('-', "_");
    let source = scratch.join(format!("{name}_probe.rs"));
    fs::write(&source, probe_source(&name))
        .map_err(|error| format!("cannot write {}: {error}", source.display()))?;
    let built = scratch.join("debug");
    let mut library = OsString::from(format!("{name}="));
    library.push(built.join(format!("lib{name}.rlib")));
    let mut dependencies = OsString::from("dependency=");
    dependencies.push(built.join("deps"));
    let mut rustc = rustc();
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata"]).arg(&source);
    rustc.arg("--out-dir").arg(scratch).arg("--extern").arg(library).arg("-L").arg(dependencies);
    match output(&mut rustc) {
        Ok(_) => Ok(()),
        Err(failure) => {
            Err(format!("{core} links the standard library, or a crate below it does: {failure}"))
        }
    }
}

fn probe_source(name: &str) -> String {
    format!(
        "#![no_std]\nextern crate {name};\n\
         #[panic_handler]\nfn panic(_: &core::panic::PanicInfo<'_>) -> ! {{ loop {{}} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles `source` to a library called `vatmux_sample` where [`probe`] looks for one.
    fn sample(source: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("debug/deps")).unwrap();
        let file = directory.path().join("sample.rs");
        fs::write(&file, source).unwrap();
        let mut compile = rustc();
        compile.args(["--edition=2024", "--crate-type=rlib", "--crate-name=vatmux_sample", "--out-dir"]);
        succeed(compile.arg(directory.path().join("debug")).arg(file)).unwrap();
        directory
    }

    #[test]
    fn a_crate_without_std_passes_the_probe() {
        let directory =
            sample("#![no_std]\nextern crate alloc;\npub fn f() -> alloc::vec::Vec<u8> { alloc::vec![1] }");
        assert_eq!(probe(directory.path(), "vatmux-sample"), Ok(()));
    }

    #[test]
    fn a_crate_that_links_std_fails_the_probe() {
        let directory = sample("pub fn f() -> std::time::Instant { std::time::Instant::now() }");
        assert!(probe(directory.path(), "vatmux-sample").unwrap_err().contains("links the standard library"));
    }
}
