//! `bench template`: building a service's crate from nothing, as its author does first: with our build script, and with
//! capnpc and the C++ tool.
//!
//! Both crates offer and call the same service over the same library, so that what differs is the way from the schema to
//! the program. Cargo builds everything that they need, the library included, into an empty directory, without a network.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use vatmux_schema_reference::have_reference;

use crate::arguments::Arguments;
use crate::figures::{self, Contestant, Figures, Purpose};
use crate::machine::Machine;
use crate::report::{Column, Goal, Ratio, Report, Table};
use crate::usage;

pub(super) const CONTESTANTS: &[&str] = &["capnpc", "vatmux"];

/// What the crates are called.
const NAME: &str = "greeting";

/// The crate with capnpc: the name of each file in it, and its text.
const PLAIN: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml.in")),
    ("build.rs", include_str!("../../template/build.rs.in")),
    ("schema/greeting.capnp", include_str!("../../template/schema/greeting.capnp.in")),
    ("src/lib.rs", include_str!("../../template/src/lib.rs.in")),
    ("src/main.rs", include_str!("../../template/src/main.rs.in")),
    ("tests/round_trip.rs", include_str!("../../template/tests/round_trip.rs.in")),
];

const COLUMNS: &[Column] = &[
    Column { figure: "wall_s", heading: "wall s", decimals: 1 },
    Column { figure: "cpu_s", heading: "CPU s", decimals: 1 },
    Column { figure: "own_wall_s", heading: "its own part, wall s", decimals: 2 },
    Column { figure: "own_cpu_s", heading: "CPU s", decimals: 2 },
];

pub(super) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let scratch = tempfile::tempdir_in(beside_this_program()?).context("cannot make a directory")?;
    let ours = make_ours(scratch.path())?;
    let plain = make_plain(scratch.path())?;
    let contestants = vec![
        if have_reference() {
            Contestant::new("capnpc", |purpose| measure(&plain, purpose))
        } else {
            Contestant::absent("capnpc", "the C++ tool is not installed")
        },
        Contestant::new("vatmux", |purpose| measure(&ours, purpose)),
    ];
    let table = Table {
        title: "a service's crate built from nothing, and then the crate alone once more with its build script and its \
                compilers: medians (least–greatest)"
            .to_owned(),
        columns: COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    };
    let ratio = |figure| Some(table.median("vatmux", figure)? / table.median("capnpc", figure)?);
    let ratios = [
        Ratio::new("schema.template_build.vs_capnpc", ratio("wall_s"), Some(Goal::AtMost(1.05))),
        Ratio::new("schema.template_build_cpu.vs_capnpc", ratio("cpu_s"), None),
        Ratio::new("schema.template_own_build.vs_capnpc", ratio("own_wall_s"), None),
    ];
    Ok(Report {
        suite: "template",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        ratios: ratios.into_iter().flatten().collect(),
        tables: vec![table],
    })
}

fn beside_this_program() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    Ok(program.parent().map(Path::to_owned).unwrap_or_default())
}

/// The checkout that this program was built from.
fn checkout() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().with_context(|| format!("the checkout {} is gone", root.display()))
}

/// The crate that `vatmux new` makes.
fn make_ours(scratch: &Path) -> Result<PathBuf> {
    let command = super::our_command()?;
    let directory = scratch.join("vatmux").join(NAME);
    fs::create_dir_all(directory.parent().unwrap_or(scratch))?;
    let mut call = Command::new(command);
    call.arg("new").arg(&directory).arg("--path").arg(checkout()?);
    let made = call.output()?;
    ensure!(made.status.success(), "vatmux new: {}", String::from_utf8_lossy(&made.stderr));
    Ok(directory)
}

/// The crate with capnpc. Both have the lock file of the checkout.
fn make_plain(scratch: &Path) -> Result<PathBuf> {
    let directory = scratch.join("capnpc").join(NAME);
    let checkout = checkout()?;
    let path = checkout.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    for (file, text) in PLAIN {
        let file = directory.join(file);
        fs::create_dir_all(file.parent().unwrap_or(&directory))?;
        fs::write(&file, text.replace("@CHECKOUT@", &path))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    fs::copy(checkout.join("Cargo.lock"), directory.join("Cargo.lock"))
        .context("cannot copy the checkout's Cargo.lock")?;
    Ok(directory)
}

/// Builds the crate from nothing. Whoever is warmed up passes its tests as well: both must do what they say.
fn measure(directory: &Path, purpose: Purpose) -> Result<Figures> {
    let target = tempfile::tempdir_in(directory.parent().unwrap_or(directory))?;
    let whole = timed(|| cargo(directory, &target, &["build"]))?;
    if purpose == Purpose::WarmUp {
        cargo(directory, &target, &["test"])?;
    }
    cargo(directory, &target, &["clean", "--package", NAME])?;
    let own = timed(|| cargo(directory, &target, &["build"]))?;
    Ok(Figures::default()
        .with("wall_s", whole.0)
        .with("cpu_s", whole.1)
        .with("own_wall_s", own.0)
        .with("own_cpu_s", own.1))
}

/// How long something takes: by the clock, and for the processors, both in seconds.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (start, cpu_seconds) = (Instant::now(), usage::cpu_seconds_of_ended_children()?);
    work()?;
    Ok((start.elapsed().as_secs_f64(), usage::cpu_seconds_of_ended_children()? - cpu_seconds))
}

fn cargo(directory: &Path, target: &TempDir, words: &[&str]) -> Result<()> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut call = Command::new(program);
    // Neither what this was built with, nor how, is the crate's business.
    for (name, _) in env::vars_os() {
        let is_of_cargo = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name == "CARGO_INCREMENTAL"
        });
        if is_of_cargo {
            call.env_remove(name);
        }
    }
    call.args(words)
        .args(["--offline", "--quiet"])
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", target.path());
    let said = call.output().context("cannot start cargo")?;
    let name = directory.parent().and_then(Path::file_name).unwrap_or(OsStr::new("?")).to_string_lossy();
    ensure!(
        said.status.success(),
        "cargo {} of {name}: {}",
        words.join(" "),
        String::from_utf8_lossy(&said.stderr)
    );
    Ok(())
}
