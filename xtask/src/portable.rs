//! Whether the protocol cores stand without a standard library.
//!
//! Building for a target that has no standard library shows it, where the toolchain knows such a target. Everywhere
//! else a probe shows it: a crate without `std` that brings its own panic handler and links a core. Two panic handlers
//! cannot stand side by side, so it compiles only if nothing that the core depends on links `std`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::check::Skipped;
use crate::repository::{Repository, output, succeed};

/// The crates that must build without a standard library, with their default features off.
const CORES: [&str; 2] = ["vatmux-mux", "vatmux-noise"];

/// A target that has no standard library: that of the operating system's image.
const BARE_TARGET: &str = "riscv64gc-unknown-none-elf";

/// Builds each core both ways. Says what it skipped where the toolchain lacks [`BARE_TARGET`].
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let scratch = scratch_directory()?;
    let has_bare_target = has_target(BARE_TARGET)?;
    let mut complaints = Vec::new();
    for core in CORES {
        if let Err(complaint) = build(repository, core, &scratch, None).and_then(|()| probe(&scratch, core)) {
            complaints.push(complaint);
            continue;
        }
        println!("{core}: nothing it depends on links the standard library");
        if has_bare_target {
            match build(repository, core, &scratch, Some(BARE_TARGET)) {
                Ok(()) => println!("{core}: builds for {BARE_TARGET}"),
                Err(complaint) => complaints.push(complaint),
            }
        }
    }
    if !complaints.is_empty() {
        return Err(complaints.join("\n"));
    }
    if has_bare_target {
        return Ok(Skipped::new());
    }
    Ok(vec![format!(
        "the build for {BARE_TARGET}, which this toolchain lacks (`rustup target add {BARE_TARGET}` adds it); \
         that nothing links the standard library was shown by the probe on this machine's own target"
    )])
}

/// A directory beside this program, and therefore inside the directory for what is built. Apart from the rest, so that
/// features which other packages ask for do not come in.
fn scratch_directory() -> Result<PathBuf, String> {
    let program =
        env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    Ok(program.with_file_name("no-std"))
}

fn build(repository: &Repository, core: &str, scratch: &Path, target: Option<&str>) -> Result<(), String> {
    let mut cargo = repository.cargo(&["build", "--quiet", "--no-default-features", "--package", core]);
    cargo.arg("--target-dir").arg(scratch);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    succeed(&mut cargo)
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

fn has_target(target: &str) -> Result<bool, String> {
    let directory = output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    Ok(Path::new(String::from_utf8_lossy(&directory).trim_end()).is_dir())
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
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

    #[test]
    fn a_target_that_the_toolchain_lacks_is_told_from_one_that_it_has() {
        assert_eq!(
            has_target("x86_64-unknown-linux-gnu").unwrap(),
            cfg!(all(target_arch = "x86_64", target_env = "gnu"))
        );
        assert_eq!(has_target("avr-none"), Ok(false));
    }
}
