//! `cargo xtask fuzz`: runs a target of `fuzz/` under libFuzzer and the address sanitizer.
//!
//! The targets are laid out as cargo-fuzz expects them, but nothing has to be installed: cargo builds them with the flags
//! that cargo-fuzz would give. Those are unstable; any compiler takes them that is told it may, if the sanitizer's runtime
//! lies beside it, as it does in rustup's toolchains.
//!
//! What a run finds goes below the directory for what is built: inputs that reach something new to `corpus`, inputs
//! that break a promise to `artifacts`. The checkout is changed by `--merge` alone.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bare;
use crate::check::Skipped;
use crate::repository::{Repository, output, rustc, succeed};

/// The manifest of the fuzz targets, which are a workspace of their own.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";

/// How many inputs of a target the test command tries, those of its corpus included: a few seconds' worth. A number and not a time,
/// so that a machine finds what another one finds.
fn check_runs(target: &str) -> u32 {
    match target {
        "mux_decoder" => 50_000,
        "bundle_unpack" => 20_000,
        "mux_engine" => 3_000,
        _ => 1_000,
    }
}

/// When a target's fuzzing ends.
#[derive(Clone, Copy)]
enum Until {
    Seconds(u32),
    Runs(u32),
}
/// The longest that one input may take, in seconds: what takes longer is a finding.
const INPUT_SECONDS: u32 = 10;

/// Coverage as libFuzzer reads it, and the sanitizer.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Branches that are folded into one cannot be told apart.
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// What `cargo xtask fuzz` is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fuzz {
    /// Name the targets.
    List,
    /// Fuzz one.
    Run { target: String, seconds: NonZero<u32> },
    /// Make the committed corpus of one anew.
    Merge { target: String },
}

impl Fuzz {
    /// How long a target runs when nobody says so.
    pub(crate) const DEFAULT_SECONDS: NonZero<u32> = NonZero::new(60).unwrap();

    pub(crate) fn run(self, repository: &Repository) -> Result<(), String> {
        let targets = targets(repository)?;
        let target = match &self {
            Fuzz::List => {
                println!("{}", targets.join("\n"));
                return Ok(());
            }
            Fuzz::Run { target, .. } | Fuzz::Merge { target } => target,
        };
        if !targets.contains(target) {
            return Err(format!("there is no fuzz target {target}; there are {}", targets.join(", ")));
        }
        let bench = Bench::new(repository, Toolchain::find()?)?;
        bench.build(&["--bin", target])?;
        match &self {
            Fuzz::List => Ok(()),
            Fuzz::Run { seconds, .. } => succeed(&mut bench.fuzz(target, Until::Seconds(seconds.get()))?)
                .map_err(|failure| format!("{failure}\n{}", bench.remedy(target))),
            Fuzz::Merge { .. } => bench.merge(target),
        }
    }
}

/// Builds every target, replays what is committed, and fuzzes for a few seconds. Skipped where no compiler can build them.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(reason) => return Ok(vec![format!("every fuzz target: {reason}")]),
    };
    let bench = Bench::new(repository, toolchain)?;
    bench.build(&["--bins"])?;
    let mut complaints = Vec::new();
    for target in targets(repository)? {
        // The same numbers each time, and nothing that was found here before: what this finds, it finds again.
        bench.forget(&target)?;
        let run = output_of_fuzzer(bench.fuzz(&target, Until::Runs(check_runs(&target)))?.arg("-seed=1"));
        match run {
            Ok(report) => {
                println!("{target}: {} inputs, nothing found", executed(&report).unwrap_or("?"));
            }
            Err(failure) => complaints.push(format!("{failure}\n{}", bench.remedy(&target))),
        }
    }
    if complaints.is_empty() { Ok(Skipped::new()) } else { Err(complaints.join("\n")) }
}

/// The names of the targets, sorted.
fn targets(repository: &Repository) -> Result<Vec<String>, String> {
    let directory = repository.root().join("fuzz/fuzz_targets");
    let files = files(&directory)?;
    Ok(files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect())
}

/// What a directory holds, sorted.
fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot_list = |error| format!("cannot list {}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(cannot_list)?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, std::io::Error>>()
        .map_err(cannot_list)?;
    files.sort();
    Ok(files)
}

/// Runs a fuzzer, which says everything on standard error, and takes what it said.
fn output_of_fuzzer(fuzzer: &mut Command) -> Result<String, String> {
    let call = crate::repository::call_of(fuzzer);
    let said = fuzzer.output().map_err(|error| format!("cannot start {call}: {error}"))?;
    let report = String::from_utf8_lossy(&said.stderr).into_owned();
    if said.status.success() {
        Ok(report)
    } else {
        Err(format!("{call}: {}\n{}", said.status, last_lines(&report)))
    }
}

/// The end of a long report, where the fuzzer says what it found.
fn last_lines(report: &str) -> String {
    let lines: Vec<_> = report.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// How many inputs the fuzzer says it has run.
fn executed(report: &str) -> Option<&str> {
    report.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).map(str::trim)
}

/// A compiler with the sanitizer's runtime.
#[derive(Debug, PartialEq, Eq)]
struct Toolchain {
    rustc: PathBuf,
    /// The cargo beside it; none for that of the toolchain that builds everything else.
    cargo: Option<PathBuf>,
    host: String,
}

impl Toolchain {
    /// The active one if it will do, and else the first of rustup's.
    fn find() -> Result<Toolchain, String> {
        let active = (None, PathBuf::from(rustc().get_program()));
        let others = bare::toolchains().into_iter().map(|(_, rustc)| {
            let cargo = rustc.with_file_name(format!("cargo{}", std::env::consts::EXE_SUFFIX));
            (Some(cargo).filter(|cargo| cargo.is_file()), rustc)
        });
        std::iter::once(active)
            .chain(others)
            .find_map(|(cargo, rustc)| Toolchain::inspect(rustc, cargo))
            .ok_or_else(|| {
                "no compiler here has the runtime of the address sanitizer; `rustup toolchain install nightly` \
                 brings one"
                    .to_owned()
            })
    }

    /// `None` when the compiler does not answer, or has no such runtime.
    fn inspect(rustc: PathBuf, cargo: Option<PathBuf>) -> Option<Toolchain> {
        let answer = |question: &[&str]| {
            let answer = output(Command::new(&rustc).args(question)).ok()?;
            Some(String::from_utf8_lossy(&answer).into_owned())
        };
        let libraries = PathBuf::from(answer(&["--print", "target-libdir"])?.trim_end());
        let host =
            answer(&["-vV"])?.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)?;
        has_runtime(&libraries).then_some(Toolchain { rustc, cargo, host })
    }
}

/// Whether the runtime of the address sanitizer lies among a compiler's libraries.
fn has_runtime(libraries: &Path) -> bool {
    files(libraries).is_ok_and(|files| {
        let mut names = files.iter().filter_map(|file| file.file_name()?.to_str());
        names.any(|name| name.contains("rt.asan."))
    })
}

/// Where targets are built and run.
struct Bench<'a> {
    repository: &'a Repository,
    toolchain: Toolchain,
    scratch: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(repository: &'a Repository, toolchain: Toolchain) -> Result<Self, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
        Ok(Self { repository, toolchain, scratch: program.with_file_name("fuzz") })
    }

    fn build(&self, which: &[&str]) -> Result<(), String> {
        succeed(&mut self.build_call(which))
    }

    /// A target is named, so that build scripts and procedural macros are built without the sanitizer.
    fn build_call(&self, which: &[&str]) -> Command {
        let Toolchain { rustc, cargo, host } = &self.toolchain;
        let arguments = ["build", "--quiet", "--release", "--manifest-path", MANIFEST, "--target", host];
        let arguments = [&arguments[..], which].concat();
        let mut call = match cargo {
            Some(cargo) => self.repository.cargo_at(cargo.as_os_str(), &arguments),
            None => self.repository.cargo(&arguments),
        };
        call.arg("--target-dir").arg(self.scratch.join("build"));
        call.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
        call.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
        call
    }

    /// A call of a target that was built.
    fn call(&self, target: &str) -> Command {
        let mut call =
            Command::new(self.scratch.join("build").join(&self.toolchain.host).join("release").join(target));
        // Each crate brings its own copy of what the coverage counters are called.
        call.current_dir(self.repository.root()).env("ASAN_OPTIONS", "detect_odr_violation=0");
        call
    }

    fn directory(&self, kind: &str, target: &str) -> Result<PathBuf, String> {
        let directory = self.scratch.join(kind).join(target);
        fs::create_dir_all(&directory)
            .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        Ok(directory)
    }

    /// Has the next run of a target begin with what is committed.
    fn forget(&self, target: &str) -> Result<(), String> {
        remove_found(&self.directory("checked", target)?)
    }

    /// Runs what is committed, then what was found before, then what the fuzzer makes of them. What a check finds is kept apart: it
    /// is no part of what comes next.
    fn fuzz(&self, target: &str, until: Until) -> Result<Command, String> {
        let mut call = self.call(target);
        let mut artifacts = self.directory("artifacts", target)?.into_os_string();
        artifacts.push("/");
        let mut prefix = std::ffi::OsString::from("-artifact_prefix=");
        prefix.push(artifacts);
        let (kept, end) = match until {
            Until::Seconds(seconds) => ("corpus", format!("-max_total_time={seconds}")),
            Until::Runs(runs) => ("checked", format!("-runs={runs}")),
        };
        call.arg(prefix).arg(end).arg(format!("-timeout={INPUT_SECONDS}"));
        // A script says little before it is some dozens of bytes long: let inputs grow ten times as fast as they would.
        call.args(["-len_control=10", "-print_final_stats=1"]).arg(self.directory(kept, target)?);
        call.args(self.committed(target));
        Ok(call)
    }

    fn committed(&self, target: &str) -> Vec<PathBuf> {
        let kinds = ["corpus", "regressions"].map(|kind| Path::new("fuzz").join(kind).join(target));
        kinds.into_iter().filter(|directory| self.repository.root().join(directory).is_dir()).collect()
    }

    /// What to do about a finding.
    fn remedy(&self, target: &str) -> String {
        format!(
            "the input is in {}: once the fault is mended, commit it to fuzz/regressions/{target}",
            self.scratch.join("artifacts").join(target).display()
        )
    }

    /// Replaces what fuzzers found for the corpus by inputs of its own and of what was found since, which together reach
    /// as much code. How often they reach it does not count: a corpus is to stay small. Inputs with a name of their own
    /// were made by hand, and stay.
    fn merge(&self, target: &str) -> Result<(), String> {
        let merged = self.directory("merged", target)?;
        let committed = self.repository.root().join("fuzz/corpus").join(target);
        remove_found(&merged)?;
        let mut call = self.call(target);
        call.args(["-set_cover_merge=1", "-use_counters=0"]);
        succeed(call.arg(&merged).arg(&committed).arg(self.directory("corpus", target)?))?;
        remove_found(&committed)?;
        for input in files(&merged)? {
            let name = input.file_name().unwrap_or_default();
            fs::copy(&input, committed.join(name))
                .map_err(|error| format!("cannot copy {}: {error}", input.display()))?;
        }
        println!("{target}: {} inputs", files(&committed)?.len());
        Ok(())
    }
}

/// Whether a fuzzer named the file: by the SHA-1 of what is in it.
fn is_found(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove_found(directory: &Path) -> Result<(), String> {
    for file in files(directory)?.iter().filter(|file| is_found(file)) {
        fs::remove_file(file).map_err(|error| format!("cannot remove {}: {error}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn bench(repository: &Repository) -> Bench<'_> {
        let toolchain =
            Toolchain { rustc: "/tools/bin/rustc".into(), cargo: None, host: "host-triple".to_owned() };
        Bench { repository, toolchain, scratch: "/scratch".into() }
    }

    fn variable(call: &Command, name: &str) -> Option<String> {
        let value = call.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
        value.map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn a_target_is_built_with_the_sanitizer_and_everything_for_this_machine_without() {
        let repository = Repository::at(Path::new("/checkout"));
        let call = bench(&repository).build_call(&["--bins"]);
        assert!(variable(&call, "CARGO_ENCODED_RUSTFLAGS").unwrap().contains("-Zsanitizer=address"));
        assert_eq!(variable(&call, "RUSTC").unwrap(), "/tools/bin/rustc");
        let arguments: Vec<_> = call.get_args().collect();
        assert!(arguments.windows(2).any(|pair| pair == ["--target", "host-triple"].map(OsStr::new)));
        assert!(arguments.contains(&OsStr::new("--bins")));
        assert_eq!(arguments.last(), Some(&OsStr::new("/scratch/build")));
    }

    #[test]
    fn the_cargo_that_came_with_a_compiler_builds() {
        let repository = Repository::at(Path::new("/checkout"));
        let mut bench = bench(&repository);
        bench.toolchain.cargo = Some("/tools/bin/cargo".into());
        assert_eq!(bench.build_call(&[]).get_program(), "/tools/bin/cargo");
    }

    #[test]
    fn a_compiler_counts_only_with_the_runtime_of_the_sanitizer() {
        let libraries = tempfile::tempdir().unwrap();
        assert!(!has_runtime(libraries.path()));
        fs::write(libraries.path().join("librustc-nightly_rt.tsan.a"), "").unwrap();
        assert!(!has_runtime(libraries.path()));
        fs::write(libraries.path().join("librustc-nightly_rt.asan.a"), "").unwrap();
        assert!(has_runtime(libraries.path()));
        assert!(!has_runtime(Path::new("/vatmux/no/such/directory")));
    }

    #[test]
    fn a_compiler_that_does_not_answer_does_not_count() {
        assert_eq!(Toolchain::inspect("/vatmux/no/such/rustc".into(), None), None);
    }

    #[test]
    fn findings_go_to_the_build_directory_and_the_corpus_comes_from_the_checkout() {
        let (checkout, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(checkout.path().join("fuzz/corpus/some_target")).unwrap();
        let repository = Repository::at(checkout.path());
        let bench = Bench { scratch: scratch.path().to_owned(), ..bench(&repository) };
        let call = bench.fuzz("some_target", Until::Seconds(7)).unwrap();
        let arguments: Vec<_> =
            call.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        assert!(arguments.contains(&"-max_total_time=7".to_owned()));
        let directories: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
        // libFuzzer writes to the first directory.
        let grows = scratch.path().join("corpus/some_target");
        assert_eq!(directories, [&grows.display().to_string(), "fuzz/corpus/some_target"]);

        // A check begins with what is committed and nothing else, and ends after so many inputs.
        let kept = scratch.path().join("checked/some_target");
        let call = bench.fuzz("some_target", Until::Runs(9)).unwrap();
        let arguments: Vec<_> =
            call.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        assert!(arguments.contains(&"-runs=9".to_owned()) && arguments.contains(&kept.display().to_string()));
        let found = kept.join("0123456789abcdef0123456789abcdef01234567");
        fs::write(&found, "").unwrap();
        bench.forget("some_target").unwrap();
        assert!(!found.exists());
    }

    #[test]
    fn a_target_that_does_not_exist_is_named_with_those_that_do() {
        let run = |target: &str| Fuzz::Run { target: target.to_owned(), seconds: Fuzz::DEFAULT_SECONDS };
        let complaint = run("mux_dance").run(&Repository::locate().unwrap()).unwrap_err();
        assert!(complaint.contains("mux_dance") && complaint.contains("mux_engine"), "{complaint}");
    }

    #[test]
    fn what_a_fuzzer_found_is_removed_and_what_has_a_name_stays() {
        let corpus = tempfile::tempdir().unwrap();
        let found = "0123456789abcdef0123456789abcdef01234567";
        for name in [found, "honest", "0123"] {
            fs::write(corpus.path().join(name), "").unwrap();
        }
        remove_found(corpus.path()).unwrap();
        assert_eq!(files(corpus.path()).unwrap(), ["0123", "honest"].map(|name| corpus.path().join(name)));
    }

    #[test]
    fn the_number_of_inputs_is_read_from_the_report() {
        let report = "Done 5 runs\nstat::number_of_executed_units: 1234\nstat::average_exec_per_sec: 9\n";
        assert_eq!(executed(report), Some("1234"));
        assert_eq!(executed(""), None);
    }

    #[test]
    fn of_a_long_report_the_end_is_told() {
        let report: Vec<_> = (0..100).map(|line| line.to_string()).collect();
        let end = last_lines(&report.join("\n"));
        assert!(end.starts_with("40\n") && end.ends_with("\n99"));
        assert_eq!(last_lines("one"), "one");
    }
}
