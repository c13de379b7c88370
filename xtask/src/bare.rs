//! Builds for a machine without an operating system, and which compiler makes them.
//!
//! A toolchain that has the target's libraries is the simplest. Any other compiler does as well if its library source
//! lies beside it, because cargo then builds the libraries along with the crate. Cargo fetches what the libraries
//! themselves depend on, at the versions that the source locks.

use std::env::consts::EXE_SUFFIX;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::repository::{Repository, output, rustc, succeed};

/// The target of the operating system's image. It has no standard library.
pub(crate) const TARGET: &str = "riscv64gc-unknown-none-elf";

/// Where Debian's packages put the compiler. It need not be on the path, or not be the first there.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

/// The oldest compiler that takes this project's source.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// How this machine builds for [`TARGET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The active toolchain has the target's libraries.
    Installed,
    /// The libraries are built from the source that this compiler comes with.
    FromSource(Compiler),
}

/// A compiler that may not know the target's libraries, and what must be known of it to build them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    origin: Origin,
    rustc: PathBuf,
    /// The cargo beside it, if it is to build; otherwise that does which builds everything else.
    cargo: Option<PathBuf>,
    /// As the compiler gives it: `1.97.0-nightly`.
    version: String,
    has_source: bool,
}

/// Whose compiler it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// That of the toolchain which builds everything else.
    Active,
    /// That of another of rustup's toolchains, by its name.
    Toolchain(String),
    Distribution,
}

impl Route {
    /// The best route of this machine. The complaint says of each why it is closed.
    pub(crate) fn find() -> Result<Route, String> {
        let has_target = has_target(TARGET)?;
        choose(has_target, if has_target { Vec::new() } else { compilers() })
    }

    /// Builds `core`, without its default features, below `scratch`.
    pub(crate) fn build(&self, repository: &Repository, core: &str, scratch: &Path) -> Result<(), String> {
        succeed(&mut self.call(repository, core, scratch))
    }

    fn call(&self, repository: &Repository, core: &str, scratch: &Path) -> Command {
        let arguments = ["build", "--quiet", "--no-default-features", "--package", core, "--target", TARGET];
        let mut cargo = match self {
            Route::FromSource(Compiler { cargo: Some(cargo), .. }) => {
                repository.cargo_at(cargo.as_os_str(), &arguments)
            }
            Route::FromSource(_) | Route::Installed => repository.cargo(&arguments),
        };
        match self {
            Route::Installed => cargo.arg("--target-dir").arg(scratch),
            // A released compiler builds its own libraries only where it is told that it may.
            Route::FromSource(compiler) => cargo
                .args(["-Zbuild-std=core,alloc", "--target-dir"])
                .arg(scratch.join("from-source"))
                .env("RUSTC", &compiler.rustc)
                .env("RUSTC_BOOTSTRAP", "1"),
        };
        cargo
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Installed => formatter.write_str("the active toolchain, which has the target"),
            Route::FromSource(compiler) => write!(formatter, "{compiler}, with libraries from its source"),
        }
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Active => write!(formatter, "the active toolchain")?,
            Origin::Toolchain(name) => write!(formatter, "rustup's toolchain {name}")?,
            Origin::Distribution => write!(formatter, "the distribution's {}", self.rustc.display())?,
        }
        write!(formatter, " ({})", self.version)
    }
}

impl Compiler {
    /// The best compiler of this machine that has its library source. The complaint says of each what it lacks.
    pub(crate) fn with_source() -> Result<Compiler, String> {
        match choose(false, compilers())? {
            Route::FromSource(compiler) => Ok(compiler),
            Route::Installed => Err("the active toolchain has no library source".to_owned()),
        }
    }

    pub(crate) fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// The cargo that came with it, if that is to build.
    pub(crate) fn cargo(&self) -> Option<&Path> {
        self.cargo.as_deref()
    }

    /// What a compiler tells of itself; `None` when it does not answer.
    fn inspect(origin: Origin, rustc: PathBuf) -> Option<Compiler> {
        let answer = |question: &[&str]| {
            let answer = output(Command::new(&rustc).args(question)).ok()?;
            Some(String::from_utf8_lossy(&answer).trim_end().to_owned())
        };
        let version = answer(&["--version"])?.split(' ').nth(1)?.to_owned();
        let has_source = has_source(Path::new(&answer(&["--print", "sysroot"])?));
        let cargo = match origin {
            // How cargo builds the libraries changes with their source: take the one that came with it.
            Origin::Toolchain(_) => Some(rustc.with_file_name(format!("cargo{EXE_SUFFIX}"))),
            // The distribution's may be far older than its compiler.
            Origin::Active | Origin::Distribution => None,
        };
        // A toolchain that was built by hand and linked need not have one.
        let cargo = cargo.filter(|cargo| cargo.is_file());
        Some(Compiler { origin, rustc, cargo, version, has_source })
    }

    /// Why the libraries cannot be built with it.
    fn fault(&self) -> Option<String> {
        if release(&self.version) < release(OLDEST) {
            Some(format!("{self} is older than {OLDEST}"))
        } else if !self.has_source {
            Some(format!("{self} lacks its library source"))
        } else {
            None
        }
    }
}

/// Takes the first compiler that will do, where the target is not installed.
fn choose(has_target: bool, compilers: Vec<Compiler>) -> Result<Route, String> {
    if has_target {
        return Ok(Route::Installed);
    }
    let mut faults = vec!["the active toolchain lacks the target".to_owned()];
    for compiler in compilers {
        match compiler.fault() {
            Some(fault) => faults.push(fault),
            None => return Ok(Route::FromSource(compiler)),
        }
    }
    Err(faults.join("; "))
}

/// Every compiler of this machine, in the order of preference.
fn compilers() -> Vec<Compiler> {
    let mut compilers = Vec::new();
    compilers.extend(Compiler::inspect(Origin::Active, rustc().get_program().into()));
    for (name, path) in toolchains() {
        compilers.extend(Compiler::inspect(Origin::Toolchain(name), path));
    }
    compilers.extend(Compiler::inspect(Origin::Distribution, DISTRIBUTION_RUSTC.into()));
    compilers
}

/// The compilers of rustup's toolchains, with their names; none where there is no rustup.
pub(crate) fn toolchains() -> Vec<(String, PathBuf)> {
    let list = output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let compilers = toolchain_names(&list).filter_map(|name| {
        let path = output(Command::new("rustup").args(["which", "--toolchain", name, "rustc"])).ok()?;
        Some((name.to_owned(), PathBuf::from(String::from_utf8_lossy(&path).trim_end())))
    });
    compilers.collect()
}

/// The names in what `rustup toolchain list` prints; behind a name it says whether the toolchain is the active one.
fn toolchain_names(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| line.split_whitespace().next())
}

/// Major and minor number. What is no version at all is older than any.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Whether the library source is where cargo looks for it, with the lock file that cargo insists on.
fn has_source(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").is_file()
}

fn has_target(target: &str) -> Result<bool, String> {
    let directory = output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    Ok(Path::new(String::from_utf8_lossy(&directory).trim_end()).is_dir())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;

    use super::*;

    fn compiler(origin: Origin, version: &str, has_source: bool) -> Compiler {
        let version = version.to_owned();
        Compiler { origin, rustc: "/tools/bin/rustc".into(), cargo: None, version, has_source }
    }

    fn nightly() -> Origin {
        Origin::Toolchain("nightly".to_owned())
    }

    fn call(route: &Route) -> Command {
        route.call(&Repository::at(Path::new("/checkout")), "core", Path::new("/scratch"))
    }

    fn variable(call: &Command, name: &str) -> Option<PathBuf> {
        call.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value).map(PathBuf::from)
    }

    #[test]
    fn an_installed_target_is_preferred_to_every_source() {
        let route = choose(true, vec![compiler(Origin::Active, "1.99.0", true)]);
        assert_eq!(route, Ok(Route::Installed));
    }

    #[test]
    fn the_first_compiler_with_source_is_taken() {
        let active = compiler(Origin::Active, "1.99.0", false);
        let nightly = compiler(nightly(), "1.99.0-nightly", true);
        let distribution = compiler(Origin::Distribution, "1.99.0", true);
        let route = choose(false, vec![active, nightly.clone(), distribution]);
        assert_eq!(route, Ok(Route::FromSource(nightly)));
    }

    #[test]
    fn a_compiler_that_is_too_old_is_passed_over() {
        let old = compiler(nightly(), "1.80.0-nightly", true);
        let distribution = compiler(Origin::Distribution, OLDEST, true);
        let route = choose(false, vec![old, distribution.clone()]);
        assert_eq!(route, Ok(Route::FromSource(distribution)));
    }

    #[test]
    fn where_no_compiler_will_do_each_is_named_with_its_fault() {
        let bare = compiler(nightly(), "1.99.0-nightly", false);
        let old = compiler(Origin::Distribution, "1.63.0", true);
        let complaint = choose(false, vec![bare, old]).unwrap_err();
        for part in [
            "the active toolchain lacks the target",
            "nightly (1.99.0-nightly) lacks its library source",
            "/tools/bin/rustc (1.63.0) is older than",
        ] {
            assert!(complaint.contains(part), "{complaint}");
        }
    }

    #[test]
    fn an_installed_target_is_built_without_anything_unstable() {
        let call = call(&Route::Installed);
        assert_eq!(variable(&call, "RUSTC_BOOTSTRAP"), None);
        assert!(call.get_args().all(|argument| !argument.to_string_lossy().starts_with("-Z")));
    }

    #[test]
    fn libraries_are_built_by_the_compiler_they_came_with_and_in_a_directory_of_their_own() {
        let call = call(&Route::FromSource(compiler(Origin::Distribution, "1.99.0", true)));
        assert_eq!(variable(&call, "RUSTC"), Some("/tools/bin/rustc".into()));
        assert_eq!(variable(&call, "RUSTC_BOOTSTRAP"), Some("1".into()));
        assert!(call.get_args().any(|argument| argument == "-Zbuild-std=core,alloc"));
        assert_eq!(call.get_args().last(), Some(OsStr::new("/scratch/from-source")));
        let own = Repository::at(Path::new("/checkout")).cargo(&[]);
        assert_eq!(call.get_program(), own.get_program());
    }

    #[test]
    fn the_cargo_that_came_with_a_compiler_builds() {
        let cargo = Some("/tools/bin/cargo".into());
        let nightly = Compiler { cargo, ..compiler(nightly(), "1.99.0-nightly", true) };
        assert_eq!(call(&Route::FromSource(nightly)).get_program(), "/tools/bin/cargo");
    }

    #[test]
    fn toolchains_are_listed_by_name() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\nnightly-x86_64-unknown-linux-gnu\n\n";
        let names: Vec<_> = toolchain_names(list).collect();
        assert_eq!(names, ["stable-x86_64-unknown-linux-gnu", "nightly-x86_64-unknown-linux-gnu"]);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(release("1.100.0") > release("1.95"));
        assert_eq!(release("1.97.0-nightly"), Some((1, 97)));
        assert!(release("unknown") < release("0.1"));
        assert!(release(OLDEST).is_some());
    }

    #[test]
    fn source_counts_only_with_its_lock_file() {
        let sysroot = tempfile::tempdir().unwrap();
        let library = sysroot.path().join("lib/rustlib/src/rust/library");
        fs::create_dir_all(&library).unwrap();
        assert!(!has_source(sysroot.path()));
        fs::write(library.join("Cargo.lock"), "").unwrap();
        assert!(has_source(sysroot.path()));
    }

    #[test]
    fn the_active_compiler_tells_of_itself_and_a_missing_one_does_not() {
        let active = Compiler::inspect(Origin::Active, rustc().get_program().into()).unwrap();
        assert!(release(&active.version) >= release(OLDEST), "{active}");
        assert_eq!(Compiler::inspect(Origin::Distribution, "/vatmux/no/such/rustc".into()), None);
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
