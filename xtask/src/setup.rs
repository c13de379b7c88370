//! What the checks need of the machine, and how a Debian or Ubuntu machine gets it.

use std::env;
use std::ffi::OsStr;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bare;
use crate::check::Check;
use crate::interop;
use crate::repository::{Repository, call_of, output, succeed};

/// Whether what is missing may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Install {
    Allowed,
    Forbidden,
}

/// Something that a machine with Rust need not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The tool `capnp`.
    SchemaCompiler,
    /// The schemas that Cap'n Proto comes with. `-> stream` is defined there.
    StandardSchemas,
    Rustfmt,
    Clippy,
    /// What libFuzzer, which the fuzz targets link, is compiled with, and the C++ program of the guide.
    CppCompiler,
    /// The headers and libraries of the C++ implementation of Cap'n Proto.
    CppLibrary,
    /// Any of the compilers that can build for [`bare::TARGET`].
    BareCompiler,
    /// A compiler whose library source is here, the standard library's included.
    StdCompiler,
    /// The linker `ld.lld`, which links for any machine.
    Linker,
    /// The tool `qemu-system-riscv64`, and the firmware that it boots with.
    Emulator,
    /// The tool `valgrind`, which counts instructions.
    InstructionCounter,
    /// A Python that can make environments.
    Python,
    /// The C++ implementation of Cap'n Proto, in a Python environment.
    CppPeer,
}

/// Where a need is met from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Packages of Debian and Ubuntu.
    Packages(&'static [&'static str]),
    /// A component of the Rust toolchain. `package` holds it where the distribution provides the toolchain.
    Component { name: &'static str, package: &'static str },
    /// A Python environment of the checkout's own, made from the requirements that it holds.
    Environment,
}

impl Need {
    /// What is missing when the need is not met, in words.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Need::SchemaCompiler => "the schema compiler `capnp`",
            Need::StandardSchemas => "the standard schemas, `capnp/stream.capnp` among them",
            Need::Rustfmt => "`cargo fmt`",
            Need::Clippy => "`cargo clippy`",
            Need::CppCompiler => "the C++ compiler `c++`",
            Need::CppLibrary => "the C++ library of Cap'n Proto, `capnp/ez-rpc.h` among it",
            Need::BareCompiler => "a compiler for riscv64gc-unknown-none-elf, or one with its library source",
            Need::StdCompiler => "a compiler with its library source",
            Need::Linker => "the linker `ld.lld`",
            Need::Emulator => "the emulator `qemu-system-riscv64`",
            Need::InstructionCounter => "the instruction counter `valgrind`",
            Need::Python => "`python3` with its module `venv`",
            Need::CppPeer => "the C++ implementation of Cap'n Proto (pycapnp)",
        }
    }

    fn source(self) -> Source {
        match self {
            Need::SchemaCompiler => Source::Packages(&["capnproto"]),
            Need::StandardSchemas | Need::CppLibrary => Source::Packages(&["libcapnp-dev"]),
            Need::Rustfmt => Source::Component { name: "rustfmt", package: "rustfmt" },
            Need::Clippy => Source::Component { name: "clippy", package: "rust-clippy" },
            Need::CppCompiler => Source::Packages(&["g++"]),
            // The compiler for the distribution's browser, far newer than the one for its other packages.
            Need::BareCompiler | Need::StdCompiler => Source::Packages(&["rustc-web", "rust-web-src"]),
            Need::Linker => Source::Packages(&["lld"]),
            Need::Emulator => Source::Packages(&["qemu-system-misc", "opensbi"]),
            Need::InstructionCounter => Source::Packages(&["valgrind"]),
            Need::Python => Source::Packages(&["python3-venv"]),
            Need::CppPeer => Source::Environment,
        }
    }

    /// Whether a check can do without it, and then says itself what it skipped. Not every distribution has it.
    fn is_optional(self) -> bool {
        match self {
            Need::BareCompiler
            | Need::StdCompiler
            | Need::Linker
            | Need::Emulator
            | Need::InstructionCounter
            | Need::Python
            | Need::CppPeer => true,
            Need::SchemaCompiler
            | Need::StandardSchemas
            | Need::Rustfmt
            | Need::Clippy
            | Need::CppCompiler
            | Need::CppLibrary => false,
        }
    }

    pub(crate) fn is_met(self) -> bool {
        match self {
            Need::SchemaCompiler => find_program("capnp").is_some(),
            Need::StandardSchemas => {
                holds("capnp/stream.capnp", &include_directories(find_program("capnp").as_deref()))
            }
            Need::CppLibrary => {
                holds("capnp/ez-rpc.h", &include_directories(find_program("capnp").as_deref()))
            }
            Need::Rustfmt => answers("cargo", &["fmt", "--version"]),
            Need::Clippy => answers("cargo", &["clippy", "--version"]),
            Need::CppCompiler => env::var_os("CXX").is_some() || find_program("c++").is_some(),
            Need::BareCompiler => bare::Route::find().is_ok(),
            Need::StdCompiler => bare::Compiler::with_source().is_ok(),
            Need::Linker => answers("ld.lld", &["--version"]),
            Need::Emulator => answers("qemu-system-riscv64", &["--version"]),
            Need::InstructionCounter => answers("valgrind", &["--version"]),
            Need::Python => answers("python3", &["-c", "import venv, ensurepip"]),
            Need::CppPeer => cpp_peer().is_ok_and(|environment| environment.is_ready()),
        }
    }
}

/// Sees to it that everything is there that `checks` need. Says what it installs before it does.
pub(crate) fn prepare(checks: &[Check], install: Install) -> Result<(), String> {
    let missing = unmet(checks);
    match install {
        Install::Forbidden => forbid(&missing, find_program("apt-get").is_some()),
        Install::Allowed => {
            let (optional, required): (Vec<_>, Vec<_>) =
                missing.into_iter().partition(|need| need.is_optional());
            provide(&required)?;
            // What takes no packages does not depend on whether they can be had.
            let (environments, packages): (Vec<_>, Vec<_>) =
                optional.into_iter().partition(|need| need.source() == Source::Environment);
            for group in [packages, environments] {
                if let Err(failure) = provide(&group) {
                    println!("== set-up: {failure}\n== set-up: going on without it");
                }
            }
            Ok(())
        }
    }
}

/// Sees to it that `needs` are met, all of them: there is nothing to do without them.
pub(crate) fn provide_for(needs: &[Need], install: Install) -> Result<(), String> {
    let missing: Vec<_> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    match install {
        Install::Allowed => provide(&missing),
        Install::Forbidden if missing.is_empty() => Ok(()),
        Install::Forbidden => {
            Err(format!("{}\nnothing was installed, because of --no-install", complaint(&missing)))
        }
    }
}

/// Fails where something is missing that could be installed, or that no check can do without.
fn forbid(missing: &[Need], has_apt: bool) -> Result<(), String> {
    let missing: Vec<_> = missing.iter().copied().filter(|need| has_apt || !need.is_optional()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nnothing was installed, because of --no-install", complaint(&missing)))
}

/// Installs what is missing, all of it in one go.
fn provide(missing: &[Need]) -> Result<(), String> {
    if missing.is_empty() {
        return Ok(());
    }
    Plan::new(missing, find_program("rustup").is_some())
        .carry_out()
        .map_err(|failure| format!("{}\n{failure}", complaint(missing)))?;
    let missing: Vec<_> = missing.iter().copied().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("{}\nalthough it was just installed", complaint(&missing)))
    }
}

fn unmet(checks: &[Check]) -> Vec<Need> {
    let mut missing = Vec::new();
    for &need in checks.iter().flat_map(|check| check.needs()) {
        if !missing.contains(&need) && !need.is_met() {
            missing.push(need);
        }
    }
    missing
}

/// Names everything that is missing, one line each, and where to get it.
fn complaint(missing: &[Need]) -> String {
    let lines = missing.iter().map(|need| {
        let remedy = match need.source() {
            Source::Packages([package]) => format!("Debian package {package}"),
            Source::Packages(packages) => format!("Debian packages {}", packages.join(" and ")),
            Source::Component { name, package } => {
                format!("rustup component add {name}, or Debian package {package}")
            }
            Source::Environment => "from the Python package index, by pip".to_owned(),
        };
        format!("missing: {} ({remedy})", need.describe())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What to install.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    components: Vec<&'static str>,
    packages: Vec<&'static str>,
    /// The environment with the C++ implementation.
    environment: bool,
}

impl Plan {
    fn new(missing: &[Need], has_rustup: bool) -> Plan {
        let mut plan = Plan { components: Vec::new(), packages: Vec::new(), environment: false };
        for need in missing {
            match need.source() {
                Source::Component { name, .. } if has_rustup => plan.components.push(name),
                Source::Component { package, .. } => plan.packages.push(package),
                Source::Packages(packages) => plan.packages.extend(packages),
                Source::Environment => plan.environment = true,
            }
        }
        plan
    }

    fn carry_out(&self) -> Result<(), String> {
        if !self.components.is_empty() {
            announced(Command::new("rustup").args(["component", "add"]).args(&self.components))?;
        }
        if !self.packages.is_empty() {
            let apt = AptGet::find()?;
            if let Err(failure) = announced(&mut apt.call(&["update"])) {
                // A repository that we do not need may be the one that does not answer.
                println!("== set-up: {failure}; going on with the package lists as they are");
            }
            apt.install(&self.packages)?;
        }
        if self.environment { cpp_peer()?.make() } else { Ok(()) }
    }
}

fn cpp_peer() -> Result<interop::Environment, String> {
    interop::Environment::of(&Repository::locate()?)
}

fn announced(call: &mut Command) -> Result<(), String> {
    println!("== set-up: {}", call_of(call));
    succeed(call)
}

/// What `apt-get` is told before the packages.
const INSTALL: [&str; 4] = ["install", "--yes", "--no-install-recommends", "--no-remove"];

/// Packages made of one source, which can be here in one version only: a tool that somebody has of another distribution
/// release keeps the other from being installed.
const SIBLINGS: [(&str, &str); 1] = [("qemu-system-misc", "qemu-utils")];

/// What stands in the way of `packages` where it is here in another version.
fn siblings(packages: &[&str]) -> impl Iterator<Item = &'static str> {
    SIBLINGS.into_iter().filter(|(wanted, _)| packages.contains(wanted)).map(|(_, sibling)| sibling)
}

/// An installed package as `NAME=VERSION`, in the version that the distribution has.
fn distributed(package: &str) -> Option<String> {
    if !answers("dpkg-query", &["--status", package]) {
        return None;
    }
    let table = output(Command::new("apt-cache").args(["madison", package])).ok()?;
    let version = first_version(&String::from_utf8_lossy(&table))?.to_owned();
    Some(format!("{package}={version}"))
}

/// The version in the first row of `PACKAGE | VERSION | SOURCE`, which is the newest.
fn first_version(table: &str) -> Option<&str> {
    table.lines().next()?.split('|').nth(1).map(str::trim).filter(|version| !version.is_empty())
}

/// `apt-get`, with the words before it that make its caller root.
#[derive(Debug, PartialEq, Eq)]
struct AptGet {
    prefix: &'static [&'static str],
}

impl AptGet {
    fn find() -> Result<AptGet, String> {
        if find_program("apt-get").is_none() {
            return Err("this machine has no apt-get: install what is missing by its own means".to_owned());
        }
        let is_root = output(Command::new("id").arg("-u"))?.trim_ascii() == b"0";
        AptGet::new(is_root, find_program("sudo").is_some(), stdin().is_terminal())
    }

    fn new(is_root: bool, has_sudo: bool, can_ask: bool) -> Result<AptGet, String> {
        let prefix: &[&str] = match (is_root, has_sudo, can_ask) {
            (true, _, _) => &[],
            (false, true, true) => &["sudo"],
            // Without a terminal nobody can give a password: fail instead of waiting for one.
            (false, true, false) => &["sudo", "--non-interactive"],
            (false, false, _) => {
                return Err("installing it takes root, or sudo, which is not here".to_owned());
            }
        };
        Ok(AptGet { prefix })
    }

    /// Installs packages without removing any: a compiler that conflicts with the caller's own is not worth the caller's own.
    fn install(&self, packages: &[&str]) -> Result<(), String> {
        let Err(failure) = announced(self.call(&INSTALL).args(packages)) else { return Ok(()) };
        let siblings: Vec<_> = siblings(packages).filter_map(distributed).collect();
        if siblings.is_empty() {
            return Err(failure);
        }
        println!(
            "== set-up: {failure}; again, with the distribution's version of what is here from elsewhere"
        );
        announced(self.call(&INSTALL).arg("--allow-downgrades").args(packages).args(siblings))
    }

    fn call(&self, arguments: &[&str]) -> Command {
        let unattended =
            ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"];
        let mut words = self.prefix.iter().chain(&unattended).chain(arguments);
        let mut call = Command::new(words.next().unwrap_or(&"env"));
        call.args(words);
        call
    }
}

fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(name, &env::var_os("PATH").unwrap_or_default())
}

fn find_program_in(name: &str, search_path: &OsStr) -> Option<PathBuf> {
    env::split_paths(search_path).map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// Whether a program runs and ends well. Tools that come with rustup are on the path even where their component is not.
fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut call = Command::new(program);
    call.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    call.status().is_ok_and(|status| status.success())
}

/// Where `capnp` looks for an import that starts with a slash: the system's directories, and the one it was installed with.
fn include_directories(capnp: Option<&Path>) -> Vec<PathBuf> {
    let own = capnp.and_then(Path::parent).and_then(Path::parent).map(|prefix| prefix.join("include"));
    ["/usr/local/include", "/usr/include"].into_iter().map(PathBuf::from).chain(own).collect()
}

fn holds(file: &str, directories: &[PathBuf]) -> bool {
    directories.iter().any(|directory| directory.join(file).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let plan = Plan::new(&[Need::StandardSchemas, Need::Clippy], true);
        assert_eq!(
            plan,
            Plan { components: vec!["clippy"], packages: vec!["libcapnp-dev"], environment: false }
        );
    }

    #[test]
    fn without_rustup_the_distribution_provides_the_components() {
        let plan = Plan::new(&[Need::Rustfmt, Need::Clippy], false);
        assert_eq!(
            plan,
            Plan { components: vec![], packages: vec!["rustfmt", "rust-clippy"], environment: false }
        );
    }

    #[test]
    fn a_compiler_from_the_distribution_comes_with_its_source() {
        let plan = Plan::new(&[Need::BareCompiler], true);
        assert_eq!(
            plan,
            Plan { components: vec![], packages: vec!["rustc-web", "rust-web-src"], environment: false }
        );
    }

    #[test]
    fn an_environment_is_made_when_its_python_is_there() {
        let plan = Plan::new(&[Need::CppPeer, Need::Python], true);
        assert_eq!(plan, Plan { components: vec![], packages: vec!["python3-venv"], environment: true });
    }

    #[test]
    fn forbidden_to_install_it_names_everything_that_could_be_installed() {
        let complaint = forbid(&[Need::SchemaCompiler, Need::BareCompiler], true).unwrap_err();
        for part in ["capnproto", "rustc-web and rust-web-src", bare::TARGET, "--no-install"] {
            assert!(complaint.contains(part), "{complaint}");
        }
        assert_eq!(forbid(&[], true), Ok(()));
    }

    #[test]
    fn what_cannot_be_installed_here_is_left_to_the_check_only_if_that_can_do_without() {
        assert_eq!(forbid(&[Need::BareCompiler], false), Ok(()));
        let complaint = forbid(&[Need::Clippy, Need::BareCompiler], false).unwrap_err();
        assert!(complaint.contains("clippy") && !complaint.contains("rustc-web"), "{complaint}");
    }

    #[test]
    fn root_installs_without_sudo() {
        let call = AptGet::new(true, true, true).unwrap().call(&["update"]);
        assert_eq!(
            call_of(&call),
            "`env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update`"
        );
    }

    #[test]
    fn what_stands_in_the_way_is_named_in_the_distributions_version() {
        assert_eq!(siblings(&["opensbi", "qemu-system-misc"]).collect::<Vec<_>>(), ["qemu-utils"]);
        assert_eq!(siblings(&["lld"]).count(), 0);
        let table =
            "qemu-utils | 1:7.2+b3 | https://mirror bookworm/main\nqemu-utils | 1:7.1 | https://mirror\n";
        assert_eq!(first_version(table), Some("1:7.2+b3"));
        assert_eq!(first_version(""), None);
        assert_eq!(distributed("vatmux-no-such-package"), None);
    }

    #[test]
    fn sudo_asks_for_a_password_only_where_somebody_can_answer() {
        assert_eq!(AptGet::new(false, true, true), Ok(AptGet { prefix: &["sudo"] }));
        assert_eq!(AptGet::new(false, true, false), Ok(AptGet { prefix: &["sudo", "--non-interactive"] }));
    }

    #[test]
    fn without_root_and_sudo_nothing_is_installed() {
        assert!(AptGet::new(false, false, true).is_err());
    }

    #[test]
    fn everything_missing_is_named_with_its_remedy() {
        let complaint = complaint(&[Need::SchemaCompiler, Need::Rustfmt]);
        for part in ["`capnp`", "package capnproto", "`cargo fmt`", "rustup component add rustfmt"] {
            assert!(complaint.contains(part), "{complaint}");
        }
    }

    #[test]
    fn a_program_is_found_in_the_first_directory_that_holds_it() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let search_path = env::join_paths([first.path(), second.path()]).unwrap();
        assert_eq!(find_program_in("tool", &search_path), None);
        std::fs::write(second.path().join("tool"), "").unwrap();
        assert_eq!(find_program_in("tool", &search_path), Some(second.path().join("tool")));
        // A directory of that name is no program.
        std::fs::create_dir(first.path().join("tool")).unwrap();
        assert_eq!(find_program_in("tool", &search_path), Some(second.path().join("tool")));
    }

    #[test]
    fn a_program_that_is_missing_or_fails_does_not_answer() {
        assert!(answers("true", &[]));
        assert!(!answers("false", &[]));
        assert!(!answers("vatmux-no-such-command", &[]));
    }

    #[test]
    fn the_schemas_beside_the_compiler_count() {
        let prefix = tempfile::tempdir().unwrap();
        let directories = include_directories(Some(&prefix.path().join("bin/capnp")));
        let own = directories.last().unwrap().clone();
        assert_eq!(own, prefix.path().join("include"));
        assert!(!holds("capnp/stream.capnp", std::slice::from_ref(&own)));
        std::fs::create_dir_all(own.join("capnp")).unwrap();
        std::fs::write(own.join("capnp/stream.capnp"), "").unwrap();
        assert!(holds("capnp/stream.capnp", &directories));
    }
}
