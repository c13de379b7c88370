//! `bench schema`: compiling the schemas that this machine has, with the C++ tool and with ours, whole processes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use vatmux_schema_reference::corpus::{Collection, Corpus};
use vatmux_schema_reference::{difference, have_reference};

use crate::arguments::Arguments;
use crate::figures::{self, Contestant, Figures, Purpose};
use crate::machine::Machine;
use crate::report::{Column, Goal, Ratio, Report, Table};

pub(super) const CONTESTANTS: &[&str] = &["capnp", "vatmux"];

/// How often the corpus is compiled in one run: once takes some dozens of milliseconds.
const ROUNDS: usize = 10;

const COLUMNS: &[Column] = &[
    Column { figure: "whole_ms", heading: "whole corpus ms", decimals: 2 },
    Column { figure: "each_ms", heading: "one by one ms", decimals: 2 },
];

pub(super) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let corpus = Corpus::find();
    ensure!(!corpus.collections.is_empty(), "there are no schemas on this machine");
    // Those that the C++ tool does not take together are compiled one by one in either case.
    let have_capnp = have_reference();
    let together: Vec<_> = corpus
        .collections
        .iter()
        .flat_map(|collection| {
            let takes_all = !have_capnp || collection.reference().compile(&collection.files).is_ok();
            let files = |files: &[PathBuf]| Job { collection, files: files.to_vec() };
            if takes_all {
                vec![files(&collection.files)]
            } else {
                collection.files.chunks(1).map(files).collect()
            }
        })
        .collect();
    let each: Vec<_> = corpus
        .collections
        .iter()
        .flat_map(|collection| {
            collection.files.chunks(1).map(|file| Job { collection, files: file.to_vec() })
        })
        .collect();
    let ours = super::our_command()?;
    let contestants = vec![
        if have_capnp {
            Contestant::new("capnp", |_| measure(&together, &each, Job::theirs))
        } else {
            Contestant::absent("capnp", "the C++ tool is not installed")
        },
        Contestant::new("vatmux", |purpose| {
            if purpose == Purpose::WarmUp && have_capnp {
                for job in together.iter().chain(&each) {
                    job.compare(&ours)?;
                }
            }
            measure(&together, &each, |job| job.ours(&ours))
        }),
    ];
    let missing = if corpus.missing.is_empty() {
        String::new()
    } else {
        format!("; without {}", corpus.missing.join("; "))
    };
    let table = Table {
        title: format!(
            "{} schemas, a process for each of {} collections and files, and a process for each schema: medians \
             (least–greatest) of once through{missing}",
            each.len(),
            together.len()
        ),
        columns: COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    };
    let ratio = |figure| Some(table.median("vatmux", figure)? / table.median("capnp", figure)?);
    let ratios = [
        Ratio::new("schema.compile.vs_capnp", ratio("whole_ms"), Some(Goal::AtMost(1.0))),
        Ratio::new("schema.compile_each.vs_capnp", ratio("each_ms"), None),
    ];
    Ok(Report {
        suite: "schema",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        ratios: ratios.into_iter().flatten().collect(),
        tables: vec![table],
    })
}

/// Schemas for one process.
struct Job<'a> {
    collection: &'a Collection,
    files: Vec<PathBuf>,
}

impl Job<'_> {
    fn theirs(&self) -> Command {
        self.collection.reference().command(&self.files)
    }

    /// The same words, said to ours.
    fn ours(&self, program: &PathBuf) -> Command {
        let theirs = self.theirs();
        let mut call = Command::new(program);
        call.arg("schema").args(theirs.get_args()).current_dir(&self.collection.directory);
        call
    }

    /// Both must have done the same work.
    fn compare(&self, program: &PathBuf) -> Result<()> {
        let [theirs, ours] = [self.theirs(), self.ours(program)].map(|mut call| call.output());
        let found = difference(&theirs?.stdout, &ours?.stdout)?;
        if let Some(difference) = found.first() {
            bail!("{:?} of {}: {difference}", self.files, self.collection.origin);
        }
        Ok(())
    }
}

fn measure<'a>(
    together: &[Job<'a>],
    each: &[Job<'a>],
    call: impl Fn(&Job<'a>) -> Command,
) -> Result<Figures> {
    let time = |jobs: &[Job<'a>]| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for job in jobs {
                let mut call = call(job);
                let status =
                    call.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
                ensure!(status.success(), "{:?} of {}: {status}", job.files, job.collection.origin);
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64)
    };
    Ok(Figures::default().with("whole_ms", time(together)?).with("each_ms", time(each)?))
}
