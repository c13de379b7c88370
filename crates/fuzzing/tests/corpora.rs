//! The committed inputs of every fuzz target, run once each: the corpora, and the inputs that broke a promise once.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use vatmux_fuzzing::Target;

/// The most files in one corpus.
const MOST_FILES: usize = 200;
/// The most bytes in one corpus.
const MOST_BYTES: u64 = 300 * 1024;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a directory, sorted; none when there is no such directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("a directory that can be listed").path())
        .collect();
    files.sort();
    files
}

fn replay(target: Target, file: &Path) {
    let bytes = fs::read(file).expect("a file that can be read");
    if let Err(broken) = panic::catch_unwind(AssertUnwindSafe(|| target.run(&bytes))) {
        eprintln!("{} breaks a promise of {}", file.display(), target.name());
        panic::resume_unwind(broken);
    }
}

#[test]
fn every_input_of_the_corpora_keeps_every_promise() {
    for target in Target::ALL {
        let corpus = files(&fuzz().join("corpus").join(target.name()));
        assert!(!corpus.is_empty(), "{} has no corpus", target.name());
        for file in &corpus {
            replay(target, file);
        }
    }
}

#[test]
fn every_input_that_broke_a_promise_once_keeps_it_now() {
    for target in Target::ALL {
        for file in &files(&fuzz().join("regressions").join(target.name())) {
            replay(target, file);
        }
    }
}

#[test]
fn corpora_stay_small() {
    for target in Target::ALL {
        let corpus = files(&fuzz().join("corpus").join(target.name()));
        let bytes: u64 = corpus.iter().map(|file| fs::metadata(file).map_or(0, |data| data.len())).sum();
        assert!(corpus.len() <= MOST_FILES && bytes <= MOST_BYTES, "{}: {bytes} bytes", target.name());
    }
}

#[test]
fn every_target_is_one_that_a_fuzzer_can_run_and_no_input_lacks_its_target() {
    let names: Vec<_> = Target::ALL.into_iter().map(Target::name).collect();
    let stems = |directory: &str| -> Vec<String> {
        let files = files(&fuzz().join(directory));
        files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect()
    };
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
    assert!(stems("regressions").iter().all(|directory| names.contains(&directory.as_str())));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
    }
}
